//! Is a broker who it says it is? Judged as Java does where the field depends on that: a certificate
//! that stands in the trust store itself is taken, and one without other names is known by its common
//! name. The signatures and chains are rustls' own business.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::store::Trust;
use super::summary::shown_time;
use super::x509::Certificate;

/// Why a broker's certificate is refused, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Unreadable,
    /// Without any extension: made by a plain `openssl x509 -req`.
    Version1 {
        subject: String,
        host: String,
    },
    Expired {
        subject: String,
        at: i64,
    },
    NotYet {
        subject: String,
        at: i64,
    },
    UnknownIssuer {
        subject: String,
        issuer: String,
        source: String,
        is_own: bool,
    },
    /// An authority of that name is trusted, and has another key.
    OtherKey {
        subject: String,
        issuer: String,
        source: String,
    },
    WrongName {
        subject: String,
        host: String,
        names: String,
    },
    /// SHA-1, or an RSA key of less than 2,048 bits.
    Weak {
        subject: String,
    },
    /// It may not be used by servers, or something else that rustls says of it.
    Other {
        subject: String,
        why: String,
    },
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unreadable => f.write_str("its certificate cannot be read"),
            Refusal::Version1 { subject, host } => write!(
                f,
                "its certificate ({subject}) is of version 1, which has no place for names; make \
                 a new one with a name, for example with openssl x509 -req -extfile <(echo \
                 subjectAltName=DNS:{host}) and what \
                 else it was made with"
            ),
            Refusal::Expired { subject, at } => write!(
                f,
                "its certificate ({subject}) has expired on {}; renew it there",
                shown_time(*at)
            ),
            Refusal::NotYet { subject, at } => write!(
                f,
                "its certificate ({subject}) is not valid before {}; is the clock of this machine right?",
                shown_time(*at)
            ),
            Refusal::UnknownIssuer { subject, source, is_own: true, .. } => write!(
                f,
                "its certificate ({subject}) is signed by itself, and {source} does not hold it; add it \
                 there if it is the right one"
            ),
            Refusal::UnknownIssuer { subject, issuer, source, .. } => write!(
                f,
                "its certificate ({subject}) was issued by {issuer}, whose certificate {source} does not \
                 hold; add it there if it is the right one"
            ),
            Refusal::OtherKey { subject, issuer, source } => write!(
                f,
                "its certificate ({subject}) is not signed by the {issuer} that {source} holds, but by another \
                 key of that name; add the authority's present certificate there if it is the right one"
            ),
            Refusal::WrongName { subject, host, names } => write!(
                f,
                "its certificate ({subject}) is for {names}, and not for {host}; name the broker so, in \
                 the list of brokers and in its advertised.listeners, or give it a certificate for {host}; \
                 ssl.disableTLSHostnameVerification = true takes any name"
            ),
            Refusal::Weak { subject } => write!(
                f,
                "its certificate ({subject}) is signed with SHA-1 or a key that is too short; \
                 make a new one with SHA-256 and an RSA key of 2,048 bits or more, or an EC key"
            ),
            Refusal::Other { subject, why } => write!(f, "its certificate ({subject}): {why}"),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// Checks a broker's certificate as Java's clients do.
#[derive(Debug)]
pub(super) struct Verifier {
    trusted: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    source: String,
    checks_names: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        trust: Trust,
        checks_names: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Verifier {
        let Trust { certificates, source } = trust;
        let mut roots = RootCertStore::empty();
        // One that rustls cannot read issues nothing, and may be a broker's own all the same.
        roots.add_parsable_certificates(certificates.iter().cloned());
        Verifier { trusted: certificates, roots, source, checks_names, algorithms }
    }

    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let certificate = Certificate::read(leaf).map_err(|_| Refusal::Unreadable)?;
        let subject = certificate.subject.clone();
        let host = name.to_str().into_owned();
        if certificate.version < 3 {
            return Err(Refusal::Version1 { subject, host });
        }
        let other = |why: String| Refusal::Other { subject: subject.clone(), why };
        let parsed = ParsedCertificate::try_from(leaf).map_err(|e| other(e.to_string()))?;
        if !self.trusted.iter().any(|trusted| trusted == leaf) {
            let chain = verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots,
                above,
                now,
                self.algorithms.all,
            );
            chain.map_err(|e| self.refusal(&e, &certificate, above, now))?;
        }
        let is_known = !self.checks_names
            || match (name, certificate.dns.is_empty()) {
                (ServerName::DnsName(host), true) => {
                    certificate.common_names.first().is_some_and(|cn| is_name(cn, host.as_ref()))
                }
                (ServerName::IpAddress(address), _) => {
                    certificate.addresses.contains(&IpAddr::from(*address))
                }
                _ => verify_server_name(&parsed, name).is_ok(),
            };
        match is_known {
            true => Ok(()),
            false => {
                let names = certificate.names(matches!(name, ServerName::DnsName(_)));
                Err(Refusal::WrongName { subject, host, names })
            }
        }
    }

    fn refusal(
        &self,
        error: &Error,
        leaf: &Certificate<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Refusal {
        let subject = leaf.subject.clone();
        let Error::InvalidCertificate(why) = error else {
            return Refusal::Other { subject, why: error.to_string() };
        };
        let now = now.as_secs() as i64;
        let chain = || {
            let above = above.iter().filter_map(|der| Certificate::read(der).ok());
            std::iter::once(leaf.clone()).chain(above)
        };
        match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let expired = chain().find(|c| c.not_after < now).unwrap_or_else(|| leaf.clone());
                Refusal::Expired { subject: expired.subject, at: expired.not_after }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let early = chain().find(|c| c.not_before > now).unwrap_or_else(|| leaf.clone());
                Refusal::NotYet { subject: early.subject, at: early.not_before }
            }
            CertificateError::UnknownIssuer => {
                // The last of the chain that came is the one whose issuer is sought.
                let last = chain().fold(leaf.clone(), |last, next| {
                    if next.subject_der == last.issuer_der { next } else { last }
                });
                let source = self.source.clone();
                let (issuer, is_own) = (last.issuer.clone(), leaf.is_self_issued());
                Refusal::UnknownIssuer { subject, issuer, source, is_own }
            }
            CertificateError::BadSignature => {
                let (issuer, source) = (leaf.issuer.clone(), self.source.clone());
                Refusal::OtherKey { subject, issuer, source }
            }
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Refusal::Weak { subject }
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                let why = "it may not be used by servers; make a new one with \
                     extendedKeyUsage=serverAuth";
                Refusal::Other { subject, why: why.to_string() }
            }
            other => Refusal::Other { subject, why: other.to_string() },
        }
    }
}

/// Is `pattern`, of which the first label may be `*`, this host?
fn is_name(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(pattern), Some((first, rest))) = (pattern.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    !first.is_empty() && pattern.contains('.') && pattern.eq_ignore_ascii_case(rest)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(leaf, above, name, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_are_compared_as_names() {
        for (pattern, host) in [
            ("kafka1", "KAFKA1"),
            ("*.example.com", "kafka1.example.com"),
            ("kafka1.example.com", "kafka1.example.com."),
        ] {
            assert!(is_name(pattern, host), "{pattern} {host}");
        }
        for (pattern, host) in [
            ("*", "kafka1"),
            ("*.com", "example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("kafka", "kafka1"),
            ("", "kafka1"),
        ] {
            assert!(!is_name(pattern, host), "{pattern} {host}");
        }
    }
}
