//! Getting a token from whoever gives them, over a connection of its own. A step never waits.

use std::cell::RefCell;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::RawFd;
use std::time::Instant;

use super::token::{self, BYTES_MAX, Given, NoToken};
use crate::channel::broker::{Fault, Progress};
use crate::channel::client::Client;
use crate::channel::connecting::{Attempt, Connecting};
use crate::channel::wire::{Connection, host_port};
use crate::config::sasl::{Endpoint, Login, Token};
use crate::config::secret::Secret;

/// One that has begun.
pub struct Fetch {
    endpoint: Endpoint,
    stage: Stage,
    deadline: Instant,
}

enum Stage {
    Connecting(Connecting),
    Asking(Connection),
    Over,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}

impl Fetch {
    /// Begins to connect.
    ///
    /// # Errors
    /// `NotReady`.
    pub fn start(endpoint: &Endpoint, client: &Client, deadline: Instant) -> Result<Fetch, Fault> {
        let address = host_port(&endpoint.host, endpoint.port.into());
        let connecting = Connecting::start(&address, None, client, deadline)
            .map_err(|fault| not_ready(endpoint, &fault.to_string()))?;
        Ok(Fetch { endpoint: endpoint.clone(), stage: Stage::Connecting(connecting), deadline })
    }

    /// Goes as far as it can now.
    ///
    /// # Errors
    /// `NotReady`: it cannot be reached, or gives none now; `LoginRefused`: it gives none.
    pub fn poll(&mut self) -> Result<Progress<Given>, Fault> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Connecting(connecting) => match connecting.poll() {
                    Ok(Attempt::Later(connecting)) => {
                        self.stage = Stage::Connecting(connecting);
                        return Ok(Progress::Pending);
                    }
                    Ok(Attempt::Made(mut connection)) => {
                        let request = token::request(&self.endpoint);
                        connection
                            .send(&[IoSlice::new(&request)])
                            .map_err(|fault| not_ready(&self.endpoint, &fault.to_string()))?;
                        self.stage = Stage::Asking(connection);
                    }
                    Err(fault) => return Err(not_ready(&self.endpoint, &fault.to_string())),
                },
                Stage::Asking(mut connection) => {
                    let (answer, is_over) = connection
                        .poll_all(BYTES_MAX)
                        .map_err(|fault| not_ready(&self.endpoint, &fault.to_string()))?;
                    return match token::read(answer, is_over) {
                        Ok(Some(given)) => Ok(Progress::Done(given)),
                        Ok(None) if Instant::now() >= self.deadline => {
                            Err(not_ready(&self.endpoint, "it does not answer"))
                        }
                        Ok(None) => {
                            self.stage = Stage::Asking(connection);
                            Ok(Progress::Pending)
                        }
                        Err(NoToken::Now(why)) => Err(not_ready(&self.endpoint, &why)),
                        Err(NoToken::Refused(why)) => {
                            Err(Fault::LoginRefused(no_token(&self.endpoint, &why)))
                        }
                    };
                }
                Stage::Over => return Err(not_ready(&self.endpoint, "it was asked before")),
            }
        }
    }

    /// What is waited for.
    pub fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        match &self.stage {
            Stage::Connecting(connecting) => connecting.descriptors(add),
            Stage::Asking(connection) => add(connection.fd(), connection.wants_write()),
            Stage::Over => {}
        }
    }
}

fn no_token(endpoint: &Endpoint, why: &str) -> String {
    format!("no token from {}: {why}", host_port(&endpoint.host, endpoint.port.into()))
}

/// Another broker would want the same token, so none is asked.
fn not_ready(endpoint: &Endpoint, why: &str) -> Fault {
    Fault::NotReady(no_token(endpoint, why))
}

/// The token that was given last, over all connections of a channel.
#[derive(Debug, Default)]
pub struct Tokens(RefCell<Option<Kept>>);

struct Kept {
    bearer: Secret,
    /// When another one has to be asked for: after half of its time. A session that it has begun ends with it,
    /// and is renewed after four fifths: by a token that is as old it would be over in a moment.
    until: Instant,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.bearer)
    }
}

impl Tokens {
    /// The server to ask for a token before this login.
    pub fn missing_of<'a>(&self, login: &'a Login) -> Option<&'a Endpoint> {
        let Login::OAuth { token: Token::Endpoint(endpoint), .. } = login else { return None };
        let is_good = self.0.borrow().as_ref().is_some_and(|kept| Instant::now() < kept.until);
        (!is_good).then_some(endpoint)
    }

    pub fn keep(&self, Given { bearer, lifetime }: Given) {
        let until = Instant::now() + lifetime / 2;
        *self.0.borrow_mut() = Some(Kept { bearer: Secret::new(&bearer), until });
    }

    /// A broker does not take it: whoever gives them may have taken it back.
    pub fn forget(&self) {
        *self.0.borrow_mut() = None;
    }

    pub fn kept(&self) -> Option<String> {
        self.0.borrow().as_ref().map(|kept| kept.bearer.reveal().to_string())
    }
}
