//! Who connects to a broker.

use std::rc::Rc;

use crate::config::model::Destination;
use crate::config::security;

/// How connections are kept from others, and as whom they are made.
#[derive(Debug)]
pub struct Security {
    pub config: security::Security,
}

/// Under which name brokers know us, and how they are spoken to.
#[derive(Debug, Clone)]
pub struct Client {
    /// The name that brokers log and that quotas are for.
    pub id: String,
    /// `None`: in the clear, and as nobody.
    pub security: Option<Rc<Security>>,
}

impl Client {
    /// That of a channel. Made once and kept: it remembers what it has read from the disk.
    pub fn of(config: &Destination) -> Client {
        let security = match config.security.protocol {
            security::Protocol::Plaintext => None,
            _ => Some(Rc::new(Security { config: config.security.clone() })),
        };
        Client { id: config.client_id.clone(), security }
    }

    /// In the clear.
    pub fn plain(id: &str) -> Client {
        Client { id: id.to_string(), security: None }
    }
}
