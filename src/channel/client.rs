//! Who connects to a broker.

use std::fmt;
use std::rc::Rc;

use super::sasl::fetch::Tokens;
use super::sasl::session::Renewals;
use super::tls::{Session, Summary, Tls};
use crate::config::model::Destination;
use crate::config::sasl::{Endpoint, Login};
use crate::config::security;

/// How connections are secured, and the user that they log in as.
#[derive(Debug)]
pub struct Security {
    pub config: security::Security,
    pub tls: Option<Tls>,
    pub tokens: Tokens,
    pub renewals: Renewals,
}

impl Security {
    pub fn new(config: security::Security) -> Security {
        let tls = config.tls.clone().map(Tls::new);
        Security { config, tls, tokens: Tokens::default(), renewals: Renewals::default() }
    }
}

/// As whom brokers take us, for their ACLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody: they do not ask.
    Anonymous,
    /// By the login.
    Named(String),
    /// The subject of our certificate, if they want to see one.
    Certificate,
    /// A token or a ticket says it to them, and not to us.
    Unknown,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Anonymous => f.write_str("User:ANONYMOUS"),
            Principal::Named(name) => write!(f, "User:{name}"),
            Principal::Certificate => {
                f.write_str("User:CN=..., the subject of our certificate, or else User:ANONYMOUS")
            }
            Principal::Unknown => f.write_str("the user that the brokers take this agent for"),
        }
    }
}

/// Under which name brokers know us, and how they are spoken to.
#[derive(Debug, Clone)]
pub struct Client {
    /// The name that brokers log and that quotas are for.
    pub id: String,
    /// `None`: unencrypted, without a login.
    pub security: Option<Rc<Security>>,
}

impl Client {
    /// That of a channel. Made once and kept: it remembers what it has read from the disk.
    pub fn of(config: &Destination) -> Client {
        let security = match config.security.protocol {
            security::Protocol::Plaintext => None,
            _ => Some(Rc::new(Security::new(config.security.clone()))),
        };
        Client { id: config.client_id.clone(), security }
    }

    /// Do brokers want to know who we are?
    pub fn logs_in(&self) -> bool {
        self.security.as_ref().is_some_and(|security| security.config.login.is_some())
    }

    /// The certificate that we show, as it was read last.
    pub fn own_certificate(&self) -> Option<Summary> {
        self.security.as_ref()?.tls.as_ref()?.own()
    }

    /// As brokers call us in their ACLs, as far as that is known here.
    pub fn principal(&self) -> Principal {
        let Some(security) = &self.security else { return Principal::Anonymous };
        match &security.config.login {
            Some(login) => match login.principal() {
                // Unless the brokers are told otherwise (sasl.kerberos.principal.to.local.rules).
                Some(name) if matches!(login, Login::Gssapi { .. }) => {
                    Principal::Named(name.split(['@', '/']).next().unwrap_or(name).to_string())
                }
                Some(name) => Principal::Named(name.to_string()),
                None => Principal::Unknown,
            },
            None if security.config.protocol.has_tls() => Principal::Certificate,
            None => Principal::Anonymous,
        }
    }

    /// The client that fetches tokens: without a login, and encrypted if the address says so.
    pub fn of_endpoint(endpoint: &Endpoint) -> Client {
        if !endpoint.is_encrypted {
            return Client::plain("");
        }
        let tls = crate::config::tls::Tls::to_others(endpoint.trust.clone());
        let config = security::Security {
            protocol: security::Protocol::Ssl,
            tls: Some(tls),
            ..Default::default()
        };
        Client { id: String::new(), security: Some(Rc::new(Security::new(config))) }
    }

    /// In the clear.
    pub fn plain(id: &str) -> Client {
        Client { id: id.to_string(), security: None }
    }

    /// A session of TLS with `peer` (`host:port`), if that is spoken.
    ///
    /// # Errors
    /// In words: what is wrong here.
    pub fn session(&self, peer: &str) -> Result<Option<Box<Session>>, String> {
        let tls = self.security.as_ref().and_then(|security| security.tls.as_ref());
        tls.map(|tls| tls.session(peer).map(Box::new)).transpose()
    }
}
