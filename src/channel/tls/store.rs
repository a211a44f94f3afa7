//! Trust stores and key stores, of whatever kind: what a file is, its first bytes say, and neither its
//! name nor `ssl.truststore.type` do (`keytool` of today writes PKCS12 into files called `.jks`).

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

use super::der::{Der, Malformed, OCTETS, SEQUENCE};
use super::{jks, pbe, pem, pkcs12};
use crate::channel::wire::reason;
use crate::config::secret::Secret;
use crate::config::tls::{KeyStore, Stored, TrustStore};
use crate::os;

/// Larger files are no stores: a system's bundle has 250 KB.
const STORE_BYTES_MAX: u64 = 16 << 20;

/// What a store holds.
#[derive(Debug)]
pub(super) enum Entry {
    Trusted(Vec<u8>),
    Key {
        alias: String,
        /// PKCS8; `None` if it was not asked for.
        key: Option<Vec<u8>>,
        /// Its own certificate first.
        chain: Vec<Vec<u8>>,
    },
}

/// What is wrong with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    Malformed,
    /// A cipher or a kind of content that is not known.
    Unknown,
    WrongPassword,
    NoPassword,
    WrongKeyPassword,
}

impl From<Malformed> for Flaw {
    fn from(_: Malformed) -> Flaw {
        Flaw::Malformed
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flaw::Malformed => "it is damaged, or not a store of the kind that its first bytes say",
            Flaw::Unknown => {
                "it is encrypted in a way that is not supported; write it again with keytool \
                 -importkeystore -deststoretype pkcs12"
            }
            Flaw::WrongPassword => "its password is wrong, or it is damaged",
            Flaw::NoPassword => "it needs a password, and none is configured",
            Flaw::WrongKeyPassword => "the password of its key is wrong (ssl.key.password)",
        })
    }
}

/// A file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, u64, i64, i64);

/// `None` where there is no such file.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let stat = std::fs::metadata(path).ok()?;
    Some(Stamp(stat.dev(), stat.ino(), stat.size(), stat.mtime(), stat.mtime_nsec()))
}

/// Whom we trust.
#[derive(Debug)]
pub(super) struct Trust {
    pub certificates: Vec<CertificateDer<'static>>,
    /// What it was read from, for a message.
    pub source: String,
}

/// Who we are.
#[derive(Debug)]
pub(super) struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// Where systems keep their trusted certificates.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
];

/// The system's bundle.
pub(super) fn bundle() -> Option<PathBuf> {
    BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file())
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let told = |e: &std::io::Error| reason(e);
    let mut bytes = Vec::new();
    let file = os::open_regular(path, 0).map_err(|e| told(&e))?;
    file.take(STORE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| told(&e))?;
    match bytes.len() as u64 > STORE_BYTES_MAX {
        true => Err(format!("it is larger than {} MB", STORE_BYTES_MAX >> 20)),
        false => Ok(bytes),
    }
}

/// A store's entries, and what kind it is.
fn entries(
    bytes: &[u8],
    password: Option<&Secret>,
    key_password: Option<&Secret>,
) -> Result<(Vec<Entry>, &'static str), String> {
    let password = password.map(Secret::reveal);
    let key_password = key_password.map(Secret::reveal);
    let told = |kind: &'static str| move |flaw: Flaw| format!("as {kind}: {flaw}");
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => {
            Ok((jks::read(bytes, password, key_password).map_err(told("JKS"))?, "JKS"))
        }
        [0xce, 0xce, 0xce, 0xce, ..] => {
            Err("it is a JCEKS store, which is not supported; write it again with keytool \
                 -importkeystore -deststoretype pkcs12"
                .to_string())
        }
        _ if pem::is_pem(bytes) => Ok((pem_entries(bytes, key_password)?, "PEM")),
        [0x30, ..] => {
            Ok((pkcs12::read(bytes, password, key_password).map_err(told("PKCS12"))?, "PKCS12"))
        }
        [] => Err("it is empty".to_string()),
        _ => Err("it is neither JKS nor PKCS12 nor PEM".to_string()),
    }
}

/// All certificates, and the first key with them as its chain.
fn pem_entries(text: &[u8], password: Option<&str>) -> Result<Vec<Entry>, String> {
    let (mut certificates, mut key) = (Vec::new(), None);
    for section in pem::sections(text) {
        let label = section.label.as_str();
        let is_certificate = label.ends_with("CERTIFICATE");
        if !is_certificate && !label.ends_with("PRIVATE KEY") {
            continue;
        }
        if label == "RSA PRIVATE KEY" && section.der.is_none() {
            return Err("its key is encrypted in OpenSSL's old way; write it again with openssl \
                        pkcs8 \
                        -topk8"
                .to_string());
        }
        let Some(der) = section.der else {
            return Err(format!("its {label} is not base64"));
        };
        if is_certificate {
            // OpenSSL adds what it trusts a certificate for behind it.
            let whole = Der(&der).take(SEQUENCE).map_err(|_| format!("its {label} is damaged"))?;
            certificates.push(whole.whole.to_vec());
        } else if label == "ENCRYPTED PRIVATE KEY" {
            let Some(password) = password else { continue };
            let opened = open(&der, password).map_err(|flaw| flaw.to_string())?;
            key.get_or_insert(opened);
        } else {
            key.get_or_insert(der);
        }
    }
    Ok(match key {
        Some(key) => {
            let alias = String::new();
            vec![Entry::Key { alias, key: Some(key), chain: certificates }]
        }
        None => certificates.into_iter().map(Entry::Trusted).collect(),
    })
}

/// `EncryptedPrivateKeyInfo`.
fn open(der: &[u8], password: &str) -> Result<Vec<u8>, Flaw> {
    let mut info = Der(der).enter(SEQUENCE)?;
    let algorithm = info.enter(SEQUENCE)?;
    pbe::open_key(algorithm, info.take(OCTETS)?.content, password).map_err(|why| match why {
        pbe::Locked::WrongPassword => Flaw::WrongKeyPassword,
        other => other.into(),
    })
}

/// Reads the trusted certificates. As in Java, of a store with keys these keys' own certificates count.
///
/// # Errors
/// In words, with the store's name.
pub(super) fn trust(store: Option<&TrustStore>) -> Result<Trust, String> {
    let (path, text, password) = match store {
        Some(TrustStore { stored: Stored::File(path), password }) => {
            (Some(path.clone()), None, password.as_ref())
        }
        Some(TrustStore { stored: Stored::Text(text), password }) => {
            (None, Some(text), password.as_ref())
        }
        None => match bundle() {
            Some(path) => (Some(path), None, None),
            None => {
                return Err("this system has no bundle of certificates in a known place; set \
                            ssl.truststore.location"
                    .to_string());
            }
        },
    };
    let (name, bytes) = match (&path, text) {
        (Some(path), _) => {
            let name = format!("trust store {}", path.display());
            let bytes = read_file(path).map_err(|why| format!("{name}: {why}"))?;
            (name, bytes)
        }
        (None, text) => {
            let text = text.map_or("", Secret::reveal);
            ("ssl.truststore.certificates".to_string(), text.as_bytes().to_vec())
        }
    };
    let (entries, kind) =
        entries(&bytes, password, None).map_err(|why| format!("{name}: {why}"))?;
    let certificates: Vec<CertificateDer<'static>> = entries
        .into_iter()
        .flat_map(|entry| match entry {
            Entry::Trusted(der) => vec![der],
            Entry::Key { chain, .. } if kind == "PEM" => chain,
            Entry::Key { chain, .. } => chain.into_iter().take(1).collect(),
        })
        .map(CertificateDer::from)
        .collect();
    if certificates.is_empty() {
        return Err(format!("{name}: as {kind}: it holds no certificate to be trusted"));
    }
    Ok(Trust { certificates, source: name })
}

/// Reads who we are: each key with its certificates.
///
/// # Errors
/// In words, with the store's name.
pub(super) fn identities(store: &KeyStore) -> Result<Vec<Identity>, String> {
    let (name, bytes) = match &store.stored {
        Stored::File(path) => {
            let name = format!("key store {}", path.display());
            let bytes = read_file(path).map_err(|why| format!("{name}: {why}"))?;
            (name, bytes)
        }
        Stored::Text(text) => ("ssl.keystore.key".to_string(), text.reveal().as_bytes().to_vec()),
    };
    // As in Kafka, keys are locked with the store's password where they have none of their own.
    let key_password = store.key_password.as_ref().or(store.password.as_ref());
    let empty = Secret::default();
    let (entries, kind) = entries(&bytes, store.password.as_ref(), key_password.or(Some(&empty)))
        .map_err(|why| format!("{name}: {why}"))?;
    let mut identities = Vec::new();
    for entry in entries {
        let Entry::Key { alias, key: Some(key), chain } = entry else { continue };
        if chain.is_empty() {
            return Err(format!("{name}: as {kind}: key {alias} has no certificate"));
        }
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        identities.push(Identity { chain, key: private_key(key) });
    }
    match identities.is_empty() {
        true => Err(format!("{name}: as {kind}: it holds no private key")),
        false => Ok(identities),
    }
}

/// What kind it is, by its inside: PKCS8 has an algorithm behind its version, the others a number or
/// bytes.
fn private_key(der: Vec<u8>) -> PrivateKeyDer<'static> {
    let second = Der(&der).enter(SEQUENCE).and_then(|mut inside| {
        inside.number()?;
        inside.any()
    });
    match second.map(|value| value.tag) {
        Ok(OCTETS) => PrivateKeyDer::from(PrivateSec1KeyDer::from(der)),
        Ok(super::der::INTEGER) => PrivateKeyDer::from(PrivatePkcs1KeyDer::from(der)),
        _ => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der)),
    }
}

/// Whatever it is.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn fuzz(bytes: &[u8], password: &str) {
    let secret = Secret::new(password);
    // Without a password nothing has to match the sum at the end.
    for store_password in [None, Some(&secret)] {
        let Ok((entries, _)) = entries(bytes, store_password, Some(&secret)) else { continue };
        for entry in entries {
            let (key, certificates) = match entry {
                Entry::Trusted(der) => (None, vec![der]),
                Entry::Key { key, chain, .. } => (key, chain),
            };
            for der in certificates {
                let _ = super::x509::Certificate::read(&der).map(|c| c.names(true).len());
            }
            let _ = key.map(private_key);
        }
    }
}
