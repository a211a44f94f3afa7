//! How a channel's connections are encrypted: `kafka.producer.ssl.*`, and what stands for them globally.

use std::path::PathBuf;

use super::diagnostics::Diagnostics;
use super::expand::Setting;
use super::known::{Property, Scope, row};
use super::secret::Secret;
use super::section::Section;

/// TLS as it is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Without one, the authorities that the system trusts.
    pub trust: Option<TrustStore>,
    pub key: Option<KeyStore>,
    /// Has a broker's certificate to be for the host that was connected to?
    pub checks_names: bool,
    /// Never empty.
    pub versions: Vec<Version>,
    /// Java's names; all that there are where it is empty.
    pub suites: Vec<&'static str>,
}

/// The trusted authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustStore {
    pub stored: Stored,
    pub password: Option<Secret>,
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStore {
    pub stored: Stored,
    pub password: Option<Secret>,
    /// The store's where there is none.
    pub key_password: Option<Secret>,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    File(PathBuf),
    /// PEM in the configuration.
    Text(Secret),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

/// What rustls has, by Java's names, and of which version each is.
const SUITES: [(&str, Version); 9] = [
    ("TLS_AES_256_GCM_SHA384", Version::Tls13),
    ("TLS_AES_128_GCM_SHA256", Version::Tls13),
    ("TLS_CHACHA20_POLY1305_SHA256", Version::Tls13),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Version::Tls12),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Version::Tls12),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Version::Tls12),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Version::Tls12),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Version::Tls12),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Version::Tls12),
];

const fn of(name: &str) -> &'static Property {
    row(Scope::Channel, name)
}

const TRUST_LOCATION: &str = of("kafka.producer.ssl.truststore.location").name;
const TRUST_PASSWORD: &str = of("kafka.producer.ssl.truststore.password").name;
const TRUST_TEXT: &str = of("kafka.producer.ssl.truststore.certificates").name;
const KEY_LOCATION: &str = of("kafka.producer.ssl.keystore.location").name;
const KEY_STORE_PASSWORD: &str = of("kafka.producer.ssl.keystore.password").name;
const KEY_TEXT: &str = of("kafka.producer.ssl.keystore.key").name;
const KEY_CHAIN: &str = of("kafka.producer.ssl.keystore.certificate.chain").name;
const KEY_PASSWORD: &str = of("kafka.producer.ssl.key.password").name;
const PROTOCOLS: &str = of("kafka.producer.ssl.enabled.protocols").name;
const PROTOCOL: &str = of("kafka.producer.ssl.protocol").name;
const CIPHERS: &str = of("kafka.producer.ssl.cipher.suites").name;
const ALGORITHM: &str = of("kafka.producer.ssl.endpoint.identification.algorithm").name;
const ANY_NAME: &Property = of("kafka.producer.ssl.disableTLSHostnameVerification");

impl Tls {
    /// For connections to a server that is not a broker and wants no certificate.
    pub fn to_others(trust: Option<TrustStore>) -> Tls {
        let versions = vec![Version::Tls12, Version::Tls13];
        Tls { trust, key: None, checks_names: true, versions, suites: Vec::new() }
    }
}

/// Reads it. What is wrong is in `found` and has a harmless value in the result.
pub(super) fn build(section: &Section, setting: &Setting<'_>, found: &mut Diagnostics) -> Tls {
    if !cfg!(feature = "tls") {
        let name = "kafka.producer.security.protocol";
        section.error(found, name, "this build has no TLS; use one with the cargo feature tls");
    }
    let versions = versions(section, found);
    let suites = suites(section, &versions, found);
    Tls {
        trust: trust(section, setting, found),
        key: key(section, setting, found),
        checks_names: checks_names(section, found),
        versions,
        suites,
    }
}

/// Where nothing is encrypted, how it would be is without meaning.
pub(super) fn warn_of_idle_ones(section: &Section, protocol: &str, found: &mut Diagnostics) {
    if let Some(prop) = section.props.iter().find(|p| p.name.starts_with("kafka.producer.ssl.")) {
        let message = format!(
            "nothing is encrypted, since the protocol is {protocol}; write {} = SSL or SASL_SSL, or remove \
             this",
            section.key("kafka.producer.security.protocol")
        );
        section.warn(found, &prop.name, message);
    }
}

/// A value of the section, else one that holds for all of the program (Flume 1.9): `-Dkey=value`, else the
/// environment.
fn value(
    section: &Section,
    setting: &Setting<'_>,
    name: &str,
    system: &str,
    variable: &str,
) -> Option<String> {
    let own = section.get(name).map(|prop| prop.value.clone());
    let global = || setting.system(system).or_else(|| (setting.variable)(variable));
    own.or_else(global).filter(|value| !value.trim().is_empty())
}

/// PEM may have `\n` in it by the time that it is here, or blanks.
fn text(section: &Section, names: &[&str]) -> Option<Secret> {
    let texts: Vec<&str> =
        names.iter().filter_map(|name| section.get(name)).map(|p| p.value.as_str()).collect();
    (!texts.is_empty()).then(|| Secret::new(&texts.join("\n")))
}

fn refuse_two(section: &Section, found: &mut Diagnostics, file: &str, text: &str) {
    if section.get(file).is_some() && section.get(text).is_some() {
        let message = format!("{} says otherwise; remove one of the two", section.key(file));
        section.error(found, text, message);
    }
}

fn trust(section: &Section, setting: &Setting<'_>, found: &mut Diagnostics) -> Option<TrustStore> {
    refuse_two(section, found, TRUST_LOCATION, TRUST_TEXT);
    if let Some(text) = text(section, &[TRUST_TEXT]) {
        return Some(TrustStore { stored: Stored::Text(text), password: None });
    }
    let of = |name, system, variable| value(section, setting, name, system, variable);
    let location = of(TRUST_LOCATION, "javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH")?;
    let password =
        of(TRUST_PASSWORD, "javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD");
    let password = password.map(|password| Secret::new(&password));
    Some(TrustStore { stored: Stored::File(absolute(&location)), password })
}

fn key(section: &Section, setting: &Setting<'_>, found: &mut Diagnostics) -> Option<KeyStore> {
    refuse_two(section, found, KEY_LOCATION, KEY_TEXT);
    let key_password = section.get(KEY_PASSWORD).map(|prop| Secret::new(&prop.value));
    if let Some(text) = text(section, &[KEY_TEXT, KEY_CHAIN]) {
        for (name, other) in [(KEY_TEXT, KEY_CHAIN), (KEY_CHAIN, KEY_TEXT)] {
            if section.get(name).is_none() {
                let message = format!("{} is missing; both belong together", section.key(name));
                section.error(found, other, message);
            }
        }
        return Some(KeyStore { stored: Stored::Text(text), password: None, key_password });
    }
    let of = |name, system, variable| value(section, setting, name, system, variable);
    let location = of(KEY_LOCATION, "javax.net.ssl.keyStore", "FLUME_SSL_KEYSTORE_PATH")?;
    let password =
        of(KEY_STORE_PASSWORD, "javax.net.ssl.keyStorePassword", "FLUME_SSL_KEYSTORE_PASSWORD");
    let password = password.map(|password| Secret::new(&password));
    Some(KeyStore { stored: Stored::File(absolute(&location)), password, key_password })
}

fn absolute(path: &str) -> PathBuf {
    // Fails only where there is no current directory; then every use of it will.
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

fn checks_names(section: &Section, found: &mut Diagnostics) -> bool {
    if let Some(prop) = section.get(ALGORITHM)
        && !prop.value.eq_ignore_ascii_case("https")
    {
        let message = format!(
            "{} is not known; write https, or {} = true for any name",
            prop.shown(),
            section.key(ANY_NAME.name)
        );
        section.error(found, ALGORITHM, message);
    }
    !section.boolean(found, ANY_NAME)
}

fn listed(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn versions(section: &Section, found: &mut Diagnostics) -> Vec<Version> {
    let all = vec![Version::Tls12, Version::Tls13];
    if let Some(prop) = section.get(PROTOCOL)
        && !["TLS", "TLSv1.2", "TLSv1.3"].iter().any(|known| prop.value == **known)
    {
        let message = format!(
            "{} is no longer supported; write TLSv1.3 or TLSv1.2, or remove it",
            prop.shown()
        );
        section.error(found, PROTOCOL, message);
    }
    let Some(prop) = section.get(PROTOCOLS) else { return all };
    let (mut versions, mut others) = (Vec::new(), Vec::new());
    for word in listed(&prop.value) {
        match word {
            "TLSv1.2" => versions.push(Version::Tls12),
            "TLSv1.3" => versions.push(Version::Tls13),
            other => others.push(other),
        }
    }
    if versions.is_empty() {
        let message = format!("none of {} is supported here; write TLSv1.2,TLSv1.3", prop.shown());
        section.error(found, PROTOCOLS, message);
        return all;
    }
    if !others.is_empty() {
        let message = format!("{} is not supported here, and is left out", others.join(", "));
        section.warn(found, PROTOCOLS, message);
    }
    versions
}

fn suites(section: &Section, versions: &[Version], found: &mut Diagnostics) -> Vec<&'static str> {
    let Some(prop) = section.get(CIPHERS) else { return Vec::new() };
    let (mut suites, mut others) = (Vec::new(), Vec::new());
    for word in listed(&prop.value) {
        match SUITES.iter().find(|(name, version)| *name == word && versions.contains(version)) {
            Some((name, _)) => suites.push(*name),
            None => others.push(word),
        }
    }
    if suites.is_empty() {
        let known = SUITES.iter().filter(|(_, version)| versions.contains(version));
        let known: Vec<&str> = known.map(|(name, _)| *name).collect();
        let message =
            format!("none of {} can be used; use some of {}", prop.shown(), known.join(", "));
        section.error(found, CIPHERS, message);
    } else if !others.is_empty() {
        let message = format!("{} cannot be used, and is left out", others.join(", "));
        section.warn(found, CIPHERS, message);
    }
    suites
}
