//! TLS against servers in this process, with certificates that `openssl` makes.

mod certificates;
mod stores;

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::super::transport::{Received, Transport};
use super::{Spoken, Tls};
use crate::config::secret::Secret;
use crate::config::tls::{self, Stored, TrustStore, Version};

/// A directory with certificates in it, removed at the end.
struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// With an authority, `ca`. `name` must be that of one test only.
    fn new(name: &str) -> Certificates {
        let dir = std::env::temp_dir().join(format!("flume-ng-tls-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let certificates = Certificates { dir };
        certificates.own("ca", "/O=Example/CN=Authority", "basicConstraints=critical,CA:TRUE");
        certificates
    }

    fn openssl(&self, arguments: &str) {
        let run = std::process::Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.dir)
            .output()
            .expect("openssl is needed for this test");
        let told = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "openssl {arguments}: {told}");
    }

    /// A key and a certificate that it signs itself.
    fn own(&self, name: &str, subject: &str, extensions: &str) {
        let text = format!(
            "[req]\ndistinguished_name=d\nprompt=no\nx509_extensions=x\n[d]\nCN=unused\n[x]\n{extensions}\n"
        );
        std::fs::write(self.dir.join(format!("{name}.cnf")), text).unwrap();
        self.openssl(&format!(
            "req -x509 -config {name}.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj {subject} -keyout {name}.key -out {name}.pem"
        ));
    }

    /// A key and a certificate that the authority has issued; of version 1 without extensions.
    fn issue(&self, name: &str, subject: &str, extensions: &str) {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj {subject} -keyout {name}.key \
             -out {name}.csr"
        ));
        let mut line = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {} -days 30 -out {name}.pem",
            name.bytes().fold(7u32, |n, b| n.wrapping_mul(31).wrapping_add(b.into()) & 0xff_ffff)
        );
        if !extensions.is_empty() {
            std::fs::write(self.dir.join(format!("{name}.ext")), extensions).unwrap();
            line.push_str(&format!(" -extfile {name}.ext"));
        }
        self.openssl(&line);
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn der(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()
    }

    fn key(&self, name: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap()
    }

    /// One that trusts what is in this file.
    fn trusting(&self, file: &str) -> tls::Tls {
        let stored = Stored::File(self.path(file));
        tls::Tls {
            trust: Some(TrustStore { stored, password: None }),
            key: None,
            checks_names: true,
            versions: vec![Version::Tls12, Version::Tls13],
            suites: Vec::new(),
        }
    }

    /// A server that shows this certificate; one that `clients` asks for a certificate of the
    /// authority.
    fn server(&self, name: &str, clients: bool) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            false => builder.with_no_client_auth(),
            true => {
                let mut roots = RootCertStore::empty();
                roots.add(self.der("ca")).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        builder.with_single_cert(vec![self.der(name)], self.key(name)).unwrap()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Sends back what it gets, over connection after connection.
fn serve(config: ServerConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let mut session = ServerConnection::new(config).unwrap();
                let mut tls = rustls::Stream::new(&mut session, &mut stream);
                let mut bytes = vec![0; 100_000];
                while let Ok(n @ 1..) = tls.read(&mut bytes) {
                    if tls.write_all(&bytes[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// Waits until `step` tells something.
fn until<T>(mut step: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(done) = step() {
            return done;
        }
        assert!(Instant::now() < deadline, "nothing happens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Connects by TLS, sends `bytes` and gets them back.
fn talk(config: &tls::Tls, host: &str, port: u16, bytes: &[u8]) -> Result<Spoken, String> {
    let session = Tls::new(config.clone()).session(&format!("{host}:{port}"))?;
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut transport = Transport::new(stream, Some(Box::new(session)));
    until(|| match transport.handshake() {
        Ok(false) => None,
        Ok(true) => Some(Ok(())),
        Err(e) => Some(Err(e.to_string())),
    })?;
    let spoken = transport.spoken().unwrap();
    let (mut sent, mut back) = (0, Vec::new());
    until(|| {
        let (first, rest) = bytes[sent..].split_at(bytes[sent..].len().min(7));
        if !first.is_empty() {
            match transport.write(&[IoSlice::new(first), IoSlice::new(rest)]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Some(Err(e.to_string())),
            }
        }
        loop {
            match transport.flush().and_then(|()| transport.read(&mut back)) {
                Ok(Received::Some) => {}
                Ok(Received::Nothing) => break,
                Ok(Received::End) => return Some(Err("closed".to_string())),
                Err(e) => return Some(Err(e.to_string())),
            }
        }
        (back.len() >= bytes.len()).then_some(Ok(()))
    })?;
    assert!(back == bytes);
    assert!(!transport.wants_write() && transport.carried() > 2 * bytes.len() as u64);
    Ok(spoken)
}

#[test]
fn what_is_sent_comes_as_it_was_sent_by_both_versions() {
    let certificates = Certificates::new("echo");
    certificates.issue("broker", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1");
    let port = serve(certificates.server("broker", false));
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i >> 3) as u8).collect();
    let mut config = certificates.trusting("ca.pem");
    let spoken = talk(&config, "localhost", port, &bytes).unwrap();
    assert_eq!(spoken.version, "TLSv1.3");
    let certificate = spoken.certificate.unwrap();
    assert_eq!(certificate.subject, "CN=localhost");
    assert_eq!(certificate.issuer, "CN=Authority, O=Example");
    config.versions = vec![Version::Tls12];
    config.suites = vec!["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"];
    let spoken = talk(&config, "127.0.0.1", port, &bytes[..100_000]).unwrap();
    assert_eq!((spoken.version, spoken.cipher.as_str()), ("TLSv1.2", config.suites[0]));
}

#[test]
fn a_client_certificate_is_shown_where_it_is_wanted() {
    let certificates = Certificates::new("client");
    certificates.issue("broker", "/CN=localhost", "subjectAltName=DNS:localhost");
    certificates.issue("agent", "/CN=agent", "extendedKeyUsage=clientAuth");
    certificates.own("foreign", "/CN=foreign", "basicConstraints=CA:FALSE");
    certificates
        .openssl("pkcs12 -export -in agent.pem -inkey agent.key -passout pass:pw -out agent.p12");
    let port = serve(certificates.server("broker", true));
    let mut config = certificates.trusting("ca.pem");
    for version in [Version::Tls12, Version::Tls13] {
        config.versions = vec![version];
        config.key = None;
        let why = talk(&config, "localhost", port, b"one").unwrap_err();
        assert!(why.contains("it wants a certificate of ours, and there is none"), "{why}");
        let store = |stored| tls::KeyStore {
            stored,
            password: Some(Secret::new("pw")),
            key_password: None,
        };
        config.key = Some(store(Stored::File(certificates.path("agent.p12"))));
        talk(&config, "localhost", port, b"one").unwrap();
        let read = |file: &str| std::fs::read_to_string(certificates.path(file)).unwrap();
        let pem = read("agent.key") + &read("agent.pem");
        config.key = Some(store(Stored::Text(Secret::new(&pem.replace('\n', " ")))));
        talk(&config, "localhost", port, b"one").unwrap();
        let pem = read("foreign.key") + &read("foreign.pem");
        config.key = Some(store(Stored::Text(Secret::new(&pem))));
        let why = talk(&config, "localhost", port, b"one").unwrap_err();
        assert!(why.contains("it refuses our certificate"), "{why}");
        let pem = read("foreign.key") + &read("agent.pem");
        config.key = Some(store(Stored::Text(Secret::new(&pem))));
        let why = talk(&config, "localhost", port, b"one").unwrap_err();
        assert!(why.contains("is that of another certificate"), "{why}");
    }
}

#[test]
fn who_speaks_no_tls_is_named_as_such() {
    let certificates = Certificates::new("plain");
    let config = certificates.trusting("ca.pem");
    for (answer, words) in [
        (&b""[..], "it closed the connection when TLS began; a listener without TLS does so"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak TLS; name a listener of SSL"),
        // An alert: protocol_version.
        (&[0x15, 3, 1, 0, 2, 2, 70], "it has no version of TLS or no cipher in common with us"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        });
        let why = talk(&config, "localhost", port, b"one").unwrap_err();
        assert!(why.starts_with(words), "{why}");
    }
}

#[test]
fn a_store_that_has_changed_is_read_anew_and_one_that_is_damaged_is_not_used() {
    let certificates = Certificates::new("renewed");
    certificates.issue("broker", "/CN=localhost", "subjectAltName=DNS:localhost");
    certificates.own("other", "/CN=Other", "basicConstraints=CA:TRUE");
    let copy = |from: &str| {
        std::fs::copy(certificates.path(from), certificates.path("trust.tmp")).unwrap();
        std::fs::rename(certificates.path("trust.tmp"), certificates.path("trust.pem")).unwrap();
    };
    copy("other.pem");
    let tls = Tls::new(certificates.trusting("trust.pem"));
    let before = tls.config().unwrap();
    assert!(Arc::ptr_eq(&before, &tls.config().unwrap()));
    copy("ca.pem");
    let after = tls.config().unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    std::fs::write(certificates.path("trust.pem"), "").unwrap();
    let (same, lines) = crate::log::capture(|| tls.config().unwrap());
    assert!(Arc::ptr_eq(&after, &same));
    assert!(
        lines[0].contains(
            "trust.pem: it is empty; the file has changed, and its old content stays in use"
        ),
        "{lines:?}"
    );
    copy("other.pem");
    assert!(!Arc::ptr_eq(&after, &tls.config().unwrap()));
}
