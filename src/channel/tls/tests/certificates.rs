//! Which certificates are taken, and in which words others are refused.

use rustls::pki_types::{ServerName, UnixTime};

use super::*;
use crate::channel::tls::store;
use crate::channel::tls::verifier::{Refusal, Verifier};

const DAY: Duration = Duration::from_secs(86_400);

struct Judge<'a> {
    certificates: &'a Certificates,
    checks_names: bool,
    now: UnixTime,
}

impl Judge<'_> {
    fn judge(&self, name: &str, trusted: &str, host: &str) -> Result<(), Refusal> {
        let stored = Stored::File(self.certificates.path(&format!("{trusted}.pem")));
        let trust = store::trust(Some(&TrustStore { stored, password: None })).unwrap();
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let verifier = Verifier::new(trust, self.checks_names, algorithms);
        let host = ServerName::try_from(host).unwrap();
        verifier.judge(&self.certificates.der(name), &[], &host, self.now)
    }

    fn takes(&self, name: &str, trusted: &str, host: &str) {
        assert_eq!(self.judge(name, trusted, host), Ok(()), "{name} {trusted} {host}");
    }

    fn refuses(&self, name: &str, trusted: &str, host: &str, words: &[&str]) {
        let why = self.judge(name, trusted, host).unwrap_err().to_string();
        let all = words.iter().all(|word| why.contains(word));
        assert!(all && !why.contains('\n'), "{name} {trusted} {host}: {why}");
    }
}

#[test]
fn certificates_of_the_field_are_judged_as_java_does() {
    let certificates = Certificates::new("judged");
    certificates.issue(
        "named",
        "/CN=any",
        "subjectAltName=DNS:kafka1,DNS:*.example.com,IP:10.0.0.1",
    );
    certificates.issue("common", "/O=Example/CN=kafka1", "basicConstraints=CA:FALSE");
    certificates.issue("address", "/CN=10.0.0.1", "basicConstraints=CA:FALSE");
    certificates.issue("first", "/CN=kafka1", "");
    certificates.issue(
        "client",
        "/CN=kafka1",
        "subjectAltName=DNS:kafka1\nextendedKeyUsage=clientAuth",
    );
    certificates.own("alone", "/CN=kafka1", "subjectAltName=DNS:kafka1");
    certificates.own("both", "/CN=kafka1", "subjectAltName=DNS:kafka1\nbasicConstraints=CA:TRUE");
    let now = UnixTime::now();
    let judge = Judge { certificates: &certificates, checks_names: true, now };
    // The names that it is for, and its common name only where there is no other.
    for host in ["kafka1", "KAFKA1", "a.example.com", "10.0.0.1"] {
        judge.takes("named", "ca", host);
    }
    for host in ["any", "kafka2", "a.b.example.com", "10.0.0.2"] {
        let names = "is for kafka1, *.example.com, 10.0.0.1, and not for";
        judge.refuses("named", "ca", host, &[names, host, "advertised.listeners"]);
    }
    judge.takes("common", "ca", "kafka1");
    judge.refuses(
        "common",
        "ca",
        "kafka2",
        &["(CN=kafka1, O=Example) is for kafka1, and not for kafka2"],
    );
    judge.refuses("address", "ca", "10.0.0.1", &["and not for 10.0.0.1"]);
    // What stands in the trust store itself.
    judge.takes("alone", "alone", "kafka1");
    judge.takes("both", "both", "kafka1");
    judge.takes("client", "client", "kafka1");
    judge.refuses(
        "alone",
        "ca",
        "kafka1",
        &["is signed by itself, and trust store ", "ca.pem does not hold it"],
    );
    let issuer = "was issued by CN=Authority, O=Example, whose certificate trust store ";
    judge.refuses("named", "alone", "kafka1", &[issuer, "alone.pem does not hold"]);
    judge.refuses("client", "ca", "kafka1", &["extendedKeyUsage=serverAuth"]);
    // Of version 1.
    for trusted in ["ca", "first"] {
        let line = "openssl x509 -req -extfile <(echo subjectAltName=DNS:kafka1)";
        judge.refuses("first", trusted, "kafka1", &["is of version 1", line]);
    }
    // No names.
    let judge = Judge { certificates: &certificates, checks_names: false, now };
    judge.takes("named", "ca", "elsewhere");
    judge.refuses("named", "alone", "elsewhere", &[issuer]);
}

#[test]
fn a_certificate_that_has_expired_is_refused_with_its_date() {
    let certificates = Certificates::new("expired");
    certificates.issue("named", "/CN=kafka1", "subjectAltName=DNS:kafka1");
    let now = UnixTime::now();
    let at = |now: Duration| Judge {
        certificates: &certificates,
        checks_names: true,
        now: UnixTime::since_unix_epoch(now),
    };
    let der = certificates.der("named");
    let end = crate::channel::tls::Summary::of(&der).unwrap();
    assert!((29..=30).contains(&end.days_left(now.as_secs() as i64)));
    assert!(end.days_left(now.as_secs() as i64 + 31 * 86_400) < 0);
    let now = Duration::from_secs(now.as_secs());
    let expired = format!("(CN=kafka1) has expired on {}; renew it there", end.end());
    at(now + 31 * DAY).refuses("named", "ca", "kafka1", &[&expired]);
    let early = ["(CN=kafka1) is not valid before 20", "is the clock of this machine right?"];
    at(now - DAY).refuses("named", "ca", "kafka1", &early);
    // As Java does: who holds it has decided.
    at(now + 31 * DAY).takes("named", "named", "kafka1");
}
