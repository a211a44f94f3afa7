//! Who we are, told to a broker before it answers anything but what it speaks; and told again on the
//! same connection before what it has believed is over (KIP-368).

pub mod base64;
pub mod crypto;
pub mod exchange;
pub mod fetch;
pub mod gssapi;
pub mod msk;
pub mod oauth;
pub mod plain;
pub mod scram;
pub mod session;
pub mod sigv4;
pub mod token;
pub mod tries;

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::broker::{Fault, Progress};
use super::client::{Client, Security};
use super::greet::LOOK_PAUSE;
use super::protocol::{self, Asked, SASL_AUTHENTICATE, SASL_HANDSHAKE, Versions};
use super::wire::Connection;
use crate::config::sasl::Login;
use exchange::{Exchange, Refusal, Step};
use fetch::Fetch;
pub use session::Session;

/// Largest answer of a broker during a login. A ticket of Kerberos takes some kilobytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// An exchange has a few tokens; one that never ends is refused.
const TOKENS_MAX: u32 = 20;
/// What the broker has said of itself is shown up to here, characters.
const WORDS_MAX: usize = 200;

/// A login under way. From its first word to the broker on the connection carries nothing else.
#[derive(Debug)]
pub struct Authentication {
    client: Client,
    security: Rc<Security>,
    deadline: Instant,
    stage: Stage,
    /// How many were sent.
    tokens: u32,
}

#[derive(Debug)]
enum Stage {
    Begun,
    /// A token comes from elsewhere first.
    Fetching(Box<Fetch>),
    /// All that it takes is here; the broker has heard nothing of it.
    Prepared {
        exchange: Exchange,
        token: Vec<u8>,
    },
    /// The mechanism was named; `is_bare`: tokens come without requests around them.
    Naming {
        exchange: Exchange,
        token: Vec<u8>,
        asked: Asked,
        is_bare: bool,
    },
    Asking {
        exchange: Exchange,
        asked: Asked,
    },
    /// As brokers before 1.0 have it: a length and a token, to and fro.
    Bare {
        exchange: Exchange,
    },
    Over,
}

enum Next {
    /// More can be done at once.
    Stage(Stage),
    Later(Stage),
    /// For how long, where the broker tells.
    Done(Option<Duration>),
}

impl Authentication {
    /// Begins; `None` if the client does not log in. Asks nothing yet.
    pub fn begin(client: &Client, deadline: Instant) -> Option<Authentication> {
        let security = client.security.as_ref()?;
        security.config.login.is_some().then(|| Authentication {
            client: client.clone(),
            security: Rc::clone(security),
            deadline,
            stage: Stage::Begun,
            tokens: 0,
        })
    }

    /// Gets what is to be shown to the broker, of which it hears nothing yet: the connection may carry whatever it likes.
    ///
    /// # Errors
    /// `NotReady`, `LoginRefused`: there is nothing to show; it is over then.
    pub fn prepare(&mut self, peer: &str) -> Result<Progress<()>, Fault> {
        let security = Rc::clone(&self.security);
        let Some(login) = &security.config.login else {
            return Err(Fault::Lost("no login is configured".to_string()));
        };
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Begun => match security.tokens.missing_of(login) {
                    Some(endpoint) => {
                        let client = Client::of_endpoint(endpoint);
                        let fetch = Fetch::start(endpoint, &client, self.deadline)?;
                        Stage::Fetching(Box::new(fetch))
                    }
                    None => prepared(login, &security, peer)?,
                },
                Stage::Fetching(mut fetch) => match fetch.poll()? {
                    Progress::Pending => {
                        self.stage = Stage::Fetching(fetch);
                        return Ok(Progress::Pending);
                    }
                    Progress::Done(given) => {
                        security.tokens.keep(given);
                        prepared(login, &security, peer)?
                    }
                },
                further => {
                    self.stage = further;
                    return Ok(Progress::Done(()));
                }
            };
        }
    }

    /// Has the broker heard nothing of it yet?
    pub fn is_untold(&self) -> bool {
        matches!(self.stage, Stage::Begun | Stage::Fetching(_) | Stage::Prepared { .. })
    }

    /// Is all that it takes here, or was it told already?
    pub fn is_prepared(&self) -> bool {
        !matches!(self.stage, Stage::Begun | Stage::Fetching(_))
    }

    /// What it took to prepare it is no part of the broker's time.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Goes as far as it can now. It is called again when one of its descriptors stirs or
    /// [`Authentication::patience`] is over.
    ///
    /// # Errors
    /// `Lost`, `LoginRefused`; it is over then.
    pub fn step(
        &mut self,
        connection: &mut Connection,
        versions: &Versions,
    ) -> Result<Progress<()>, Fault> {
        match self.prepare(connection.peer()) {
            Ok(Progress::Done(())) => {}
            Err(fault @ Fault::LoginRefused(_)) => {
                self.security.tokens.forget();
                return Err(fault);
            }
            other => return other,
        }
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Over);
            let next = self.advance(stage, connection, versions);
            if matches!(next, Err(Fault::LoginRefused(_))) {
                // Shown again it would be refused again.
                self.security.tokens.forget();
            }
            match next? {
                Next::Stage(stage) => self.stage = stage,
                Next::Later(stage) => {
                    self.stage = stage;
                    return Ok(Progress::Pending);
                }
                Next::Done(lifetime) => {
                    let begun = |lifetime| Session::begun(lifetime, self.client.clone());
                    connection.set_session(lifetime.map(begun));
                    self.security.renewals.done(connection.peer());
                    return Ok(Progress::Done(()));
                }
            }
        }
    }

    /// What is waited for: the broker on `connection`, or whoever gives the token. Nobody reads what the
    /// broker says meanwhile, and its end would stir for ever.
    pub fn descriptors(&self, connection: &Connection, add: &mut dyn FnMut(RawFd, bool)) {
        match &self.stage {
            Stage::Fetching(fetch) => fetch.descriptors(add),
            _ => add(connection.fd(), connection.wants_write()),
        }
    }

    /// How long it may be left alone though nothing of that stirs.
    pub fn patience(&self) -> Duration {
        LOOK_PAUSE.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    fn advance(
        &mut self,
        stage: Stage,
        connection: &mut Connection,
        versions: &Versions,
    ) -> Result<Next, Fault> {
        let security = Rc::clone(&self.security);
        let Some(login) = &security.config.login else {
            return Err(Fault::Lost("no login is configured".to_string()));
        };
        match stage {
            Stage::Prepared { exchange, token } => {
                self.name(login, (exchange, token), connection, versions)
            }
            Stage::Naming { exchange, token, asked, is_bare } => {
                let Progress::Done(answer) = asked.poll::<SaslHandshakeResponse>(connection)?
                else {
                    return Ok(Next::Later(Stage::Naming { exchange, token, asked, is_bare }));
                };
                named(&answer, login, connection.peer())?;
                self.send(exchange, token, is_bare, connection, versions)
            }
            Stage::Asking { mut exchange, asked } => {
                let answer = asked.poll::<SaslAuthenticateResponse>(connection)?;
                let Progress::Done(answer) = answer else {
                    return Ok(Next::Later(Stage::Asking { exchange, asked }));
                };
                believed(&answer, login, &exchange, connection)?;
                let step = exchange.answer(&answer.auth_bytes);
                match step.map_err(|r| refused(login, connection.peer(), r))? {
                    Step::Send(token) | Step::SendLast(token) => {
                        self.send(exchange, token, false, connection, versions)
                    }
                    Step::Done => {
                        let ms = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
                        Ok(Next::Done(Some(Duration::from_millis(ms)).filter(|t| !t.is_zero())))
                    }
                }
            }
            Stage::Bare { mut exchange } => {
                let Some(token) = self.bare_token(login, connection)? else {
                    return Ok(Next::Later(Stage::Bare { exchange }));
                };
                match exchange.answer(&token).map_err(|r| refused(login, connection.peer(), r))? {
                    Step::Send(token) => self.send(exchange, token, true, connection, versions),
                    Step::SendLast(token) => {
                        self.send(exchange, token, true, connection, versions)?;
                        Ok(Next::Done(None))
                    }
                    Step::Done => Ok(Next::Done(None)),
                }
            }
            Stage::Begun | Stage::Fetching(_) | Stage::Over => {
                Err(Fault::Lost("this login is over".to_string()))
            }
        }
    }

    /// Names the mechanism.
    fn name(
        &self,
        login: &Login,
        (exchange, token): (Exchange, Vec<u8>),
        connection: &mut Connection,
        versions: &Versions,
    ) -> Result<Next, Fault> {
        let highest = versions.highest(SASL_HANDSHAKE);
        if highest < 0 {
            let why = Refusal("this broker accepts no logins".to_string());
            return Err(refused(login, connection.peer(), why));
        }
        let is_bare = highest < 1 || versions.highest(SASL_AUTHENTICATE) < 0;
        let version = if is_bare { 0 } else { 1 };
        let mechanism = StrBytes::from_static_str(login.mechanism());
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
        let (api, id, bytes_max) = (SASL_HANDSHAKE, &self.client.id, TOKEN_BYTES_MAX);
        let asked =
            protocol::ask(connection, api, version, id, &request, bytes_max, self.deadline)?;
        Ok(Next::Stage(Stage::Naming { exchange, token, asked, is_bare }))
    }

    fn send(
        &mut self,
        exchange: Exchange,
        token: Vec<u8>,
        is_bare: bool,
        connection: &mut Connection,
        versions: &Versions,
    ) -> Result<Next, Fault> {
        self.tokens += 1;
        if self.tokens > TOKENS_MAX {
            let why = format!("{}: the login does not end", connection.peer());
            return Err(Fault::Lost(why));
        }
        if is_bare {
            let length = (token.len() as u32).to_be_bytes();
            connection.send(&[IoSlice::new(&length), IoSlice::new(&token)])?;
            return Ok(Next::Stage(Stage::Bare { exchange }));
        }
        // Version 1 tells for how long a login is believed.
        let version = versions.highest(SASL_AUTHENTICATE).clamp(0, SASL_AUTHENTICATE.highest);
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token.into());
        let (api, id, bytes_max) = (SASL_AUTHENTICATE, &self.client.id, TOKEN_BYTES_MAX);
        let asked =
            protocol::ask(connection, api, version, id, &request, bytes_max, self.deadline)?;
        Ok(Next::Stage(Stage::Asking { exchange, asked }))
    }

    fn bare_token(
        &self,
        login: &Login,
        connection: &mut Connection,
    ) -> Result<Option<Vec<u8>>, Fault> {
        match connection.poll_token(TOKEN_BYTES_MAX) {
            Ok(None) if Instant::now() >= self.deadline => {
                Err(Fault::Lost(format!("{} does not answer", connection.peer())))
            }
            // They have no other way to refuse it. The first time it may be a broker that goes down.
            Err(Fault::Lost(_)) if connection.has_ended() => {
                if !tries::closed(&self.security.config) {
                    let peer = connection.peer();
                    return Err(Fault::Lost(format!(
                        "{peer} closed the connection in the middle of the login; it is tried once more"
                    )));
                }
                let why = "the broker closed the connection in place of an answer, which is how those \
                           before 1.0 refuse a name or a password";
                Err(refused(login, connection.peer(), Refusal(why.to_string())))
            }
            other => other,
        }
    }
}

/// Does the broker take the mechanism?
fn named(answer: &SaslHandshakeResponse, login: &Login, peer: &str) -> Result<(), Fault> {
    let (mechanism, code) = (login.mechanism(), answer.error_code);
    if code == 0 {
        return Ok(());
    }
    Err(match ResponseError::try_from_code(code) {
        Some(ResponseError::UnsupportedSaslMechanism) => {
            let names: Vec<&str> = answer.mechanisms.iter().map(|name| name.as_str()).collect();
            let names = shown(&names.join(", "));
            Fault::LoginRefused(format!(
                "{peer} accepts no logins by {mechanism} (error 33); it accepts {names}: set \
                 kafka.producer.sasl.mechanism"
            ))
        }
        Some(ResponseError::IllegalSaslState) => Fault::LoginRefused(format!(
            "{peer} wants no login here (error 34): name a SASL listener of the brokers, or set \
             kafka.producer.security.protocol"
        )),
        _ => Fault::Lost(format!("{peer}: the login was answered by error {code}")),
    })
}

/// Does it believe who we are, so far?
fn believed(
    answer: &SaslAuthenticateResponse,
    login: &Login,
    exchange: &Exchange,
    connection: &Connection,
) -> Result<(), Fault> {
    let code = answer.error_code;
    if code == 0 {
        return Ok(());
    }
    match ResponseError::try_from_code(code) {
        Some(
            ResponseError::SaslAuthenticationFailed
            | ResponseError::UnsupportedSaslMechanism
            | ResponseError::IllegalSaslState,
        ) => {
            let told = answer.error_message.as_ref().map_or("", |words| words.as_str());
            let words = exchange.objection().map_or_else(|| shown(told), str::to_string);
            let words = if words.is_empty() { "it does not say why".to_string() } else { words };
            Err(refused(login, connection.peer(), Refusal(format!("{words} (error {code})"))))
        }
        _ => {
            let peer = connection.peer();
            Err(Fault::Lost(format!("{peer}: the login was answered by error {code}")))
        }
    }
}

/// The exchange with the broker at `peer` and its first token: of Kerberos the ticket.
fn prepared(login: &Login, security: &Security, peer: &str) -> Result<Stage, Fault> {
    let bearer = security.tokens.kept();
    let begun = Exchange::start(login, peer, bearer.as_deref());
    let (exchange, token) = begun.map_err(|why| refused(login, peer, why))?;
    Ok(Stage::Prepared { exchange, token })
}

fn refused(login: &Login, peer: &str, Refusal(why): Refusal) -> Fault {
    let mechanism = login.mechanism();
    let who = login.principal().map_or(String::new(), |name| format!(" as {}", shown(name)));
    Fault::LoginRefused(format!("{peer}: no login{who} by {mechanism}: {why}"))
}

/// Words of others, for a message.
fn shown(words: &str) -> String {
    let harmless = |c: char| if c.is_control() { '?' } else { c };
    words.chars().take(WORDS_MAX).map(harmless).collect()
}

#[cfg(test)]
mod tests;
