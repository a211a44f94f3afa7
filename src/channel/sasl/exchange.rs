//! The exchange of tokens of one login, whatever the mechanism: bytes in, bytes out, no socket.

use std::fmt;

use super::crypto::Hash;
use super::gssapi::{Gssapi, Ticket};
use super::msk::Msk;
use super::oauth::{self, OAuth};
use super::plain;
use super::scram::Scram;
use crate::config::sasl::Login;

/// What is to be done on a token of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// The last one. Only brokers from 1.0 on answer it.
    SendLast(Vec<u8>),
    /// Nothing: for this side it is over.
    Done,
}

/// Why a login cannot succeed, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

/// One login under way.
pub enum Exchange {
    /// Everything is said.
    Plain,
    Scram(Scram),
    OAuth(OAuth),
    Gssapi(Box<Gssapi>),
    Msk(Msk),
}

impl Exchange {
    /// Begins at the broker at `peer` (`host:port`), and the first token. `given`: what is to be shown,
    /// where somebody else gives it.
    ///
    /// # Errors
    /// What is needed for it is not there.
    pub fn start(
        login: &Login,
        peer: &str,
        given: Option<&str>,
    ) -> Result<(Exchange, Vec<u8>), Refusal> {
        Ok(match login {
            Login::Plain { name, password } => {
                (Exchange::Plain, plain::token(name, password.reveal()))
            }
            Login::Scram256 { name, password } => scram(Hash::Sha256, name, password.reveal())?,
            Login::Scram512 { name, password } => scram(Hash::Sha512, name, password.reveal())?,
            Login::OAuth { token, extensions } => {
                let bearer = oauth::bearer(token, given)?;
                let (exchange, token) = OAuth::start(&bearer, extensions);
                (Exchange::OAuth(exchange), token)
            }
            Login::Gssapi { service, principal, tickets, configuration } => {
                let (principal, configuration) = (principal.as_deref(), configuration.as_deref());
                let ticket = Ticket { service, principal, tickets, configuration };
                let (exchange, token) = Gssapi::start(&ticket, peer)?;
                (Exchange::Gssapi(Box::new(exchange)), token)
            }
            Login::Msk(keys) => {
                let (exchange, token) = Msk::start(keys, peer)?;
                (Exchange::Msk(exchange), token)
            }
        })
    }

    /// What is to be done on the broker's token.
    ///
    /// # Errors
    /// The broker refuses, or is not who it should be.
    pub fn answer(&mut self, token: &[u8]) -> Result<Step, Refusal> {
        match self {
            Exchange::Plain if token.is_empty() => Ok(Step::Done),
            Exchange::Plain => Err(Refusal(
                "the broker's answer is not valid for \
            PLAIN"
                    .to_string(),
            )),
            Exchange::Scram(scram) => scram.answer(token),
            Exchange::OAuth(oauth) => oauth.answer(token),
            Exchange::Gssapi(gssapi) => gssapi.answer(token),
            Exchange::Msk(msk) => msk.answer(token),
        }
    }
}

impl Exchange {
    /// What the broker has said in the last token but one against us, where its last word says less.
    pub fn objection(&self) -> Option<&str> {
        match self {
            Exchange::OAuth(oauth) => oauth.objection(),
            _ => None,
        }
    }
}

fn scram(hash: Hash, name: &str, password: &str) -> Result<(Exchange, Vec<u8>), Refusal> {
    let (scram, token) = Scram::start(hash, name, password)?;
    Ok((Exchange::Scram(scram), token))
}

/// Shows nothing of it, since it holds secrets.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}
