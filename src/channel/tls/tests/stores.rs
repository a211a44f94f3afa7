//! Stores of all kinds, and what is no store.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::*;
use crate::channel::tls::store::{self, Entry};
use crate::channel::tls::x509::Certificate;
use crate::channel::tls::{jks, pkcs12};
use crate::config::tls::KeyStore;

impl Certificates {
    fn trust(&self, file: &str, password: Option<&str>) -> Result<usize, String> {
        let stored = Stored::File(self.path(file));
        let password = password.map(Secret::new);
        Ok(store::trust(Some(&TrustStore { stored, password }))?.certificates.len())
    }

    fn identity(&self, file: &str, password: &str, key: Option<&str>) -> Result<usize, String> {
        let stored = Stored::File(self.path(file));
        let (password, key_password) = (Some(Secret::new(password)), key.map(Secret::new));
        let identities = store::identities(&KeyStore { stored, password, key_password })?;
        assert_eq!(identities.len(), 1);
        let provider = rustls::crypto::ring::default_provider();
        let chain = identities[0].chain.len();
        let identity = identities.into_iter().next().unwrap();
        super::super::certified(identity, &provider)?;
        Ok(chain)
    }
}

/// As `keytool` writes it.
fn java_store(certificates: &[&[u8]], password: &str) -> Vec<u8> {
    let mut out = jks::MAGIC.to_vec();
    out.extend_from_slice(&2u32.to_be_bytes());
    out.extend_from_slice(&(certificates.len() as u32).to_be_bytes());
    for der in certificates {
        out.extend_from_slice(&2u32.to_be_bytes());
        out.extend_from_slice(b"\0\x02ca\0\0\0\0\0\0\0\0\0\x05X.509");
        out.extend_from_slice(&(der.len() as u32).to_be_bytes());
        out.extend_from_slice(der);
    }
    let password: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let sealed = [&password, &b"Mighty Aphrodite"[..], &out].concat();
    out.extend_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &sealed).as_ref());
    out
}

#[test]
fn stores_are_known_by_their_content_and_opened_by_their_password() {
    let certificates = Certificates::new("stores");
    certificates.issue("agent", "/CN=agent", "basicConstraints=CA:FALSE");
    let export = |name: &str, how: &str| {
        certificates.openssl(&format!(
            "pkcs12 -export -in agent.pem -inkey agent.key -certfile ca.pem -name agent -passout pass:pä {how} \
             -out {name}"
        ));
    };
    let old = "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg SHA1";
    for (name, how) in [
        ("new.jks", ""),
        ("old.p12", old),
        ("open.p12", "-keypbe NONE -certpbe NONE"),
        ("aes128.p12", "-keypbe AES-128-CBC -certpbe AES-192-CBC -macalg SHA512"),
        ("3des.p12", "-keypbe DES-EDE3-CBC -certpbe DES-EDE3-CBC -macalg SHA384"),
    ] {
        export(name, how);
        assert_eq!(certificates.identity(name, "pä", None), Ok(2), "{name}");
        // Of a store with a key in it the key's own certificate is trusted.
        assert_eq!(certificates.trust(name, Some("pä")), Ok(1), "{name}");
        let why = certificates.identity(name, "pa", None).unwrap_err();
        assert!(why.contains("as PKCS12: its password is wrong, or it is damaged"), "{why}");
        let why = certificates.trust(name, None).unwrap_err();
        assert!(why.contains("it needs a password, and none is configured"), "{why}");
    }
    certificates.openssl("pkcs12 -export -nokeys -in ca.pem -passout pass:pw -out trust.p12");
    assert_eq!(certificates.trust("trust.p12", Some("pw")), Ok(1));
    let why = certificates.identity("trust.p12", "pw", None).unwrap_err();
    assert!(why.contains("trust.p12: as PKCS12: it holds no private key"), "{why}");
    let (ca, agent) = (certificates.der("ca"), certificates.der("agent"));
    std::fs::write(certificates.path("trust.jks"), java_store(&[&ca, &agent], "pä")).unwrap();
    for password in [None, Some("pä")] {
        assert_eq!(certificates.trust("trust.jks", password), Ok(2));
    }
    let why = certificates.trust("trust.jks", Some("pa")).unwrap_err();
    assert!(why.contains("as JKS: its password is wrong, or it is damaged"), "{why}");
    assert_eq!(certificates.trust("ca.pem", None), Ok(1));
    let (why, missing) = (certificates.trust("none.jks", None), "No such file or directory");
    assert!(why.unwrap_err().ends_with(missing));
    std::fs::write(certificates.path("text"), "a certificate").unwrap();
    let why = certificates.trust("text", None).unwrap_err();
    assert!(why.ends_with("it is neither JKS nor PKCS12 nor PEM"), "{why}");
}

#[test]
fn keys_in_pem_may_be_locked_and_of_any_form() {
    let certificates = Certificates::new("keys");
    certificates.issue("agent", "/CN=agent", "basicConstraints=CA:FALSE");
    let read = |file: &str| std::fs::read_to_string(certificates.path(file)).unwrap();
    let chain = read("agent.pem") + &read("ca.pem");
    for (form, words) in [
        ("pkcs8 -topk8 -in agent.key -passout pass:pw -out locked.key", ""),
        ("pkcs8 -topk8 -in agent.key -v1 PBE-SHA1-3DES -passout pass:pw -out locked.key", ""),
        ("ec -in agent.key -out locked.key", ""),
        (
            "pkcs8 -topk8 -in agent.key -passout pass:other -out locked.key",
            "the password of its key",
        ),
    ] {
        certificates.openssl(form);
        std::fs::write(certificates.path("key.pem"), read("locked.key") + &chain).unwrap();
        match certificates.identity("key.pem", "unused", Some("pw")) {
            Ok(2) => assert!(words.is_empty(), "{form}"),
            other => assert!(
                other.clone().unwrap_err().contains(words) && !words.is_empty(),
                "{form}: {other:?}"
            ),
        }
    }
}

/// Every byte changed, and every length; nothing but an answer in words may come of it.
#[test]
fn damaged_stores_and_certificates_neither_panic_nor_take_memory() {
    let certificates = Certificates::new("damaged");
    certificates.issue("agent", "/CN=agent", "subjectAltName=DNS:a,IP:10.0.0.1");
    certificates.openssl(
        "pkcs12 -export -in agent.pem -inkey agent.key -certfile ca.pem -nomac -keypbe NONE -certpbe NONE \
         -passout pass:pw -out open.p12",
    );
    certificates.openssl(
        "pkcs12 -export -in agent.pem -inkey agent.key -nomac -iter 1 -passout pass:pw -out locked.p12",
    );
    let read = |file: &str| std::fs::read(certificates.path(file)).unwrap();
    let der = certificates.der("agent");
    let all: [(&str, Vec<u8>); 4] = [
        ("jks", java_store(&[&der, &der], "pw")),
        ("pkcs12", read("open.p12")),
        ("pkcs12", read("locked.p12")),
        ("x509", der.to_vec()),
    ];
    let try_it = |kind: &str, bytes: &[u8]| match kind {
        "jks" => drop(jks::read(bytes, None, Some("pw")).map(drop)),
        "pkcs12" => drop(pkcs12::read(bytes, Some("pw"), Some("pw")).map(drop)),
        _ => drop(Certificate::read(bytes).map(|c| c.names(true))),
    };
    for (kind, bytes) in all {
        for at in 0..bytes.len() {
            try_it(kind, &bytes[..at]);
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                // Rounds of a password are what a store may say; a few of them would take long.
                if kind == "x509" || kind == "jks" || at % 3 == 0 {
                    try_it(kind, &changed);
                }
            }
        }
    }
    let entries = jks::read(&java_store(&[&der], "pw"), Some("pw"), None).unwrap();
    assert!(matches!(&entries[..], [Entry::Trusted(one)] if one[..] == der[..]));
    // A count of four thousand million.
    let mut many = java_store(&[&der], "pw");
    many[8..12].fill(0xff);
    assert!(jks::read(&many, None, None).is_err());
}
