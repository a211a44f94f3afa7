//! An authority, and keys and certificates in stores of all kinds, made by `openssl` and `keytool`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::children::TempDir;

/// The password of every store.
pub const PASSWORD: &str = "test-password";

/// A directory of them, with an authority of its own.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    pub fn new() -> Certificates {
        let certificates = Certificates { dir: TempDir::new("certificates") };
        std::fs::write(certificates.path("ca.cnf"), CA_CNF).expect("a new file");
        certificates.openssl(
            "req -x509 -config ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /O=Example/CN=Authority -keyout ca.key -out ca.pem",
        );
        certificates
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// A key and a certificate that the authority has issued for this machine's loopback: NAME.key,
    /// NAME.pem, and both as PKCS12 in NAME.p12.
    pub fn issue(&self, name: &str) {
        self.issue_for(name, 20);
    }

    /// The same, valid for so many days.
    pub fn issue_for(&self, name: &str, days: u32) {
        self.request(name);
        std::fs::write(self.path("leaf.ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            .expect("a new file");
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
             -extfile leaf.ext -out {name}.pem"
        ));
        self.export(name);
    }

    /// The same, but it has expired yesterday.
    pub fn issue_expired(&self, name: &str) {
        self.request(name);
        for (file, text) in [("index.txt", ""), ("serial", "4242"), ("old.cnf", OLD_CNF)] {
            std::fs::write(self.path(file), text).expect("a new file");
        }
        let day = |ago: i64| {
            let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
            let output = Command::new("date")
                .args(["-u", "-d", &format!("@{}", now as i64 - ago * 86_400), "+%Y%m%d%H%M%SZ"])
                .output()
                .expect("date runs");
            String::from_utf8_lossy(&output.stdout).trim().to_string()
        };
        self.openssl(&format!(
            "ca -batch -config old.cnf -in {name}.csr -out {name}.pem -notext -startdate {} -enddate {}",
            day(10),
            day(1)
        ));
        self.export(name);
    }

    fn request(&self, name: &str) {
        self.openssl(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ));
    }

    fn export(&self, name: &str) {
        self.openssl(&format!(
            "pkcs12 -export -in {name}.pem -inkey {name}.key -certfile ca.pem -name {name} \
             -passout pass:{PASSWORD} -out {name}.p12"
        ));
    }

    /// The authority's certificate in a store that `keytool` writes: `JKS` or `PKCS12`.
    pub fn trust(&self, file: &str, kind: &str) {
        self.keytool(&[
            "-importcert",
            "-noprompt",
            "-alias",
            "ca",
            "-file",
            "ca.pem",
            "-keystore",
            file,
            "-storetype",
            kind,
            "-storepass",
            PASSWORD,
        ]);
    }

    /// Key and certificate in a store of Java's own kind.
    pub fn java_key(&self, name: &str, file: &str) {
        let from = format!("{name}.p12");
        self.keytool(&[
            "-importkeystore",
            "-noprompt",
            "-srckeystore",
            &from,
            "-srcstoretype",
            "PKCS12",
            "-srcstorepass",
            PASSWORD,
            "-destkeystore",
            file,
            "-deststoretype",
            "JKS",
            "-deststorepass",
            PASSWORD,
        ]);
    }

    fn openssl(&self, arguments: &str) {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        run(self.dir.path(), "openssl", &arguments);
    }

    fn keytool(&self, arguments: &[&str]) {
        run(self.dir.path(), "keytool", arguments);
    }

    /// Lines of server.properties for a broker that shows NAME's certificate.
    pub fn of_broker(&self, name: &str) -> Vec<(String, String)> {
        let store = self.path(&format!("{name}.p12")).display().to_string();
        let trust = self.path("broker-trust.p12");
        if !trust.exists() {
            self.trust("broker-trust.p12", "PKCS12");
        }
        [
            ("ssl.keystore.location", store.as_str()),
            ("ssl.keystore.type", "PKCS12"),
            ("ssl.keystore.password", PASSWORD),
            ("ssl.key.password", PASSWORD),
            ("ssl.truststore.location", &trust.display().to_string()),
            ("ssl.truststore.type", "PKCS12"),
            ("ssl.truststore.password", PASSWORD),
            ("ssl.endpoint.identification.algorithm", ""),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .to_vec()
    }
}

fn run(dir: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}{failed}");
}

const CA_CNF: &str = "[req]\ndistinguished_name=d\nprompt=no\nx509_extensions=x\n[d]\nCN=unused\n[x]\n\
                      basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n";

const OLD_CNF: &str = "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n\
                       certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=p\n\
                       x509_extensions=x\n[p]\ncommonName=supplied\n[x]\n\
                       subjectAltName=DNS:localhost,IP:127.0.0.1\n";
