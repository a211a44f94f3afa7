//! TLS, by rustls: which brokers to trust, which certificate to show, and which ciphers to use. Stores that
//! have changed on the disk are read again at the next connection, since certificates are renewed while an
//! agent runs.

mod der;
mod jks;
mod pbe;
mod pem;
mod pkcs12;
mod session;
pub(crate) mod store;
mod summary;
mod verifier;
mod x509;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, SignatureScheme, SupportedProtocolVersion};

pub use session::Session;
use store::{Identity, Stamp};
pub use summary::{Spoken, Summary};
use verifier::Verifier;
use x509::Certificate;

use crate::config::tls::{self, Stored, Version};
use crate::log;

/// What a channel's connections have in common.
pub struct Tls {
    config: tls::Tls,
    loaded: RefCell<Option<Loaded>>,
}

struct Loaded {
    stamps: Vec<Option<Stamp>>,
    config: Arc<ClientConfig>,
    /// Of our own certificate.
    own: Option<Summary>,
}

impl Summary {
    fn of(der: &[u8]) -> Option<Summary> {
        let Certificate { subject, issuer, not_after, .. } = Certificate::read(der).ok()?;
        Some(Summary { subject, issuer, not_after })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Tls {
    pub fn new(config: tls::Tls) -> Tls {
        Tls { config, loaded: RefCell::new(None) }
    }

    /// A session with the host of `peer` (`host:port`).
    ///
    /// # Errors
    /// In words: what is wrong with a store, or with the name of the host.
    pub fn session(&self, peer: &str) -> Result<Session, String> {
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| format!("{host} is not a name that a certificate can be for"))?;
        let config = self.config()?;
        let connection = ClientConnection::new(config, name).map_err(|e| e.to_string())?;
        Ok(Session::new(connection, self.config.key.is_some()))
    }

    /// Our own certificate, as it was read last.
    pub fn own(&self) -> Option<Summary> {
        self.loaded.borrow().as_ref()?.own.clone()
    }

    fn paths(&self) -> Vec<PathBuf> {
        let file = |stored: &Stored| match stored {
            Stored::File(path) => Some(path.clone()),
            Stored::Text(_) => None,
        };
        let trust = match &self.config.trust {
            Some(store) => file(&store.stored),
            None => store::bundle(),
        };
        let key = self.config.key.as_ref().and_then(|store| file(&store.stored));
        trust.into_iter().chain(key).collect()
    }

    /// As the stores are now. One that cannot be read anew is used as it was.
    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        // Before they are read, so that what changes meanwhile is seen the next time.
        let stamps: Vec<_> =
            self.paths().iter().map(|path: &PathBuf| store::stamp(path as &Path)).collect();
        let mut loaded = self.loaded.borrow_mut();
        if let Some(loaded) = loaded.as_ref().filter(|loaded| loaded.stamps == stamps) {
            return Ok(Arc::clone(&loaded.config));
        }
        match (build(&self.config), loaded.as_mut()) {
            (Ok((config, own)), _) => {
                let config = Arc::new(config);
                *loaded = Some(Loaded { stamps, config: Arc::clone(&config), own });
                Ok(config)
            }
            (Err(why), None) => Err(why),
            (Err(why), Some(loaded)) => {
                let line = format_args!(
                    "{why}; the file has changed, and its old content stays \
                in use"
                );
                log::warn("kafka.KafkaChannel", line);
                loaded.stamps = stamps;
                Ok(Arc::clone(&loaded.config))
            }
        }
    }
}

fn build(config: &tls::Tls) -> Result<(ClientConfig, Option<Summary>), String> {
    let mut provider = ring::default_provider();
    if !config.suites.is_empty() {
        let is_wanted = |name: &str| config.suites.iter().any(|suite| java_name(name) == *suite);
        provider.cipher_suites.retain(|s| s.suite().as_str().is_some_and(is_wanted));
    }
    let trust = store::trust(config.trust.as_ref())?;
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(Verifier::new(trust, config.checks_names, algorithms));
    let identities = config.key.as_ref().map(store::identities).transpose()?.unwrap_or_default();
    let own = identities.first().and_then(|identity| Summary::of(identity.chain.first()?));
    let keys = identities.into_iter().map(|identity| certified(identity, &provider));
    let keys: Vec<Arc<CertifiedKey>> = keys.collect::<Result<_, String>>()?;
    let versions: Vec<&SupportedProtocolVersion> = config
        .versions
        .iter()
        .map(|version| match version {
            Version::Tls12 => &rustls::version::TLS12,
            Version::Tls13 => &rustls::version::TLS13,
        })
        .collect();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .map_err(|e| format!("ssl.enabled.protocols and ssl.cipher.suites: {e}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut built = match keys.is_empty() {
        true => builder.with_no_client_auth(),
        false => builder.with_client_cert_resolver(Arc::new(Keys(keys))),
    };
    // A certificate is judged at each connection, and not once in the life of a ticket.
    built.resumption = Resumption::disabled();
    Ok((built, own))
}

/// rustls calls those of TLS 1.3 by another name than Java does.
fn java_name(name: &str) -> String {
    name.replacen("TLS13_", "TLS_", 1)
}

fn certified(
    Identity { chain, key }: Identity,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, String> {
    let subject = chain.first().and_then(|der| Summary::of(der)).map(|s| s.subject);
    let subject = subject.unwrap_or_default();
    let told = |e: rustls::Error| format!("key store: the private key of {subject}: {e}");
    let key = provider.key_provider.load_private_key(key).map_err(told)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(
            format!("key store: the private key beside {subject} is that of another certificate"),
        ),
        // What cannot be compared is for the broker to judge.
        _ => Ok(Arc::new(certified)),
    }
}

/// Our certificates, of which the first is shown that one of the issuers wanted has issued; without
/// such a one, the first of all.
#[derive(Debug)]
struct Keys(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for Keys {
    fn resolve(
        &self,
        issuers: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let is_wanted = |key: &&Arc<CertifiedKey>| {
            key.cert
                .iter()
                .any(|der| Certificate::read(der).is_ok_and(|c| issuers.contains(&c.issuer_der)))
        };
        self.0.iter().find(is_wanted).or(self.0.first()).cloned()
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
