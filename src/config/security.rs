//! How a channel's connections are secured, and the user that they log in as.

use super::diagnostics::Diagnostics;
use super::expand::Setting;
use super::known::{Property, Scope, row};
use super::sasl::{self, Login};
use super::section::Section;
use super::tls::{self, Tls};

/// What is configured of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    pub protocol: Protocol,
    /// The login, if the protocol has one.
    pub login: Option<Login>,
    /// How everything is encrypted, where the protocol says that it is.
    pub tls: Option<Tls>,
}

/// `security.protocol`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Unencrypted, without a login.
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "PLAINTEXT",
            Protocol::Ssl => "SSL",
            Protocol::SaslPlaintext => "SASL_PLAINTEXT",
            Protocol::SaslSsl => "SASL_SSL",
        }
    }

    /// Is everything encrypted?
    pub fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    /// Do we say who we are?
    pub fn has_sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }
}

const PROTOCOL: &Property = row(Scope::Channel, "kafka.producer.security.protocol");

/// Reads it. What is wrong is in `found` and has a harmless value in the result.
pub(super) fn build(section: &Section, setting: &Setting<'_>, found: &mut Diagnostics) -> Security {
    use Protocol::{Plaintext, SaslPlaintext, SaslSsl, Ssl};
    let all = [Plaintext, Ssl, SaslPlaintext, SaslSsl];
    let protocol = section.choice(found, PROTOCOL, all.map(|protocol| (protocol.name(), protocol)));
    let login = match protocol.has_sasl() {
        true => sasl::build(section, &|key| setting.system(key), found),
        false => {
            sasl::warn_of_idle_ones(section, protocol.name(), found);
            None
        }
    };
    let tls = match protocol.has_tls() {
        true => Some(tls::build(section, setting, found)),
        false => {
            tls::warn_of_idle_ones(section, protocol.name(), found);
            None
        }
    };
    Security { protocol, login, tls }
}
