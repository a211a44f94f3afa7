//! AWS_MSK_IAM: a signed address in place of a password, which a broker of Amazon's has judged by IAM.
//!
//! Where the keys come from the machine itself, its metadata service is asked, and waited for up to a
//! second each time; a request to stop ends the process then, as on the wire before 0.10.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::exchange::{Refusal, Step};
use super::sigv4::{self, Keys, Request};
use crate::config::sasl::AwsKeys;
use crate::config::secret::Secret;
use crate::os;

const SERVICE: &str = "kafka-cluster";
/// SHA-256 of nothing.
const NO_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const EXPIRES_S: u32 = 900;
const METADATA: ([u8; 4], u16) = ([169, 254, 169, 254], 80);
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// No answer of the metadata service, and no file of keys, is longer.
const BYTES_MAX: u64 = 64 << 10;

/// One exchange. Everything is said in its first token.
pub struct Msk(());

/// Keys as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    id: String,
    secret: Secret,
    token: Option<Secret>,
}

impl Msk {
    /// Begins at the broker at `peer` (`host:port`), and the only token.
    ///
    /// # Errors
    /// There are no keys, or the broker's region is not known.
    pub fn start(keys: &AwsKeys, peer: &str) -> Result<(Msk, Vec<u8>), Refusal> {
        let _guard = os::arm_last_words(format!("stopped while asking for keys for {peer}\n"));
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let region = region_of(host)
            .map(str::to_string)
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .ok_or_else(|| {
                let why = format!("{host} names no region of AWS; set AWS_REGION for the agent");
                Refusal(why)
            })?;
        let found = find(keys, &variable)?;
        let stamp = stamp(SystemTime::now());
        Ok((Msk(()), token(&found, host, &region, &stamp)))
    }

    /// What is to be done on the broker's token.
    ///
    /// # Errors
    /// It is not valid.
    pub fn answer(&mut self, token: &[u8]) -> Result<Step, Refusal> {
        match serde_json::from_slice::<Value>(token) {
            Ok(Value::Object(_)) => Ok(Step::Done),
            _ => Err(Refusal("the broker's answer is not valid for AWS_MSK_IAM".to_string())),
        }
    }
}

fn token(found: &Found, host: &str, region: &str, stamp: &str) -> Vec<u8> {
    let token = found.token.as_ref().map(Secret::reveal);
    let keys = Keys { id: &found.id, secret: found.secret.reveal(), token };
    let request = Request {
        host,
        path: "/",
        query: &[("Action", "kafka-cluster:Connect")],
        region,
        service: SERVICE,
        stamp,
        expires_s: EXPIRES_S,
        body: NO_BODY,
    };
    let mut told = Map::new();
    let mut tell = |name: &str, value: &str| told.insert(name.to_string(), Value::from(value));
    tell("version", "2020_10_22");
    tell("host", host);
    tell("user-agent", concat!("flume-ng/", env!("CARGO_PKG_VERSION")));
    for (name, value) in sigv4::sign(&keys, &request) {
        tell(&name.to_ascii_lowercase(), &value);
    }
    Value::Object(told).to_string().into_bytes()
}

/// `b-1.name.id.c2.kafka.eu-west-1.amazonaws.com`
fn region_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    labels.find(|label| matches!(*label, "kafka" | "kafka-serverless"))?;
    let region = labels.next()?;
    (labels.next() == Some("amazonaws")).then_some(region)
}

/// `20130524T000000Z`
fn stamp(now: SystemTime) -> String {
    let now = time::OffsetDateTime::from(now);
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let month = u8::from(month);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Environment, then the file of profiles, then the machine; a named profile alone where there is one.
fn find(keys: &AwsKeys, variable: &dyn Fn(&str) -> Option<String>) -> Result<Found, Refusal> {
    if keys.profile.is_none()
        && let (Some(id), Some(secret)) =
            (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
    {
        let token = variable("AWS_SESSION_TOKEN").map(|token| Secret::new(&token));
        return Ok(Found { id, secret: Secret::new(&secret), token });
    }
    let name = keys.profile.clone().or_else(|| variable("AWS_PROFILE"));
    let path = variable("AWS_SHARED_CREDENTIALS_FILE")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".aws").join("credentials")));
    let text = path.as_deref().and_then(|path| read(path).ok());
    let profile = name.as_deref().unwrap_or("default");
    if let Some(found) = text.as_deref().and_then(|text| of_profile(text, profile)) {
        return Ok(found);
    }
    if let Some(name) = name {
        let path = path.map_or("~/.aws/credentials".to_string(), |path| path.display().to_string());
        return Err(Refusal(format!(
            "{path} has no keys for the profile {name}; write them there"
        )));
    }
    of_machine().map_err(|why| {
        Refusal(format!(
            "there are no AWS keys: none in the environment (AWS_ACCESS_KEY_ID), none in \
             ~/.aws/credentials, and the machine gives none ({why}); set one of them"
        ))
    })
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    crate::os::open_regular(path, 0)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// A section `[name]` of lines `key = value`.
fn of_profile(text: &str, name: &str) -> Option<Found> {
    let mut is_it = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_it = section.trim() == name;
        } else if is_it && let Some((key, value)) = line.split_once('=') {
            let value = value.trim();
            match key.trim() {
                "aws_access_key_id" => id = Some(value.to_string()),
                "aws_secret_access_key" => secret = Some(Secret::new(value)),
                "aws_session_token" => token = Some(Secret::new(value)),
                _ => {}
            }
        }
    }
    Some(Found { id: id?, secret: secret?, token })
}

/// The role of the machine (IMDSv2).
fn of_machine() -> Result<Found, String> {
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 300";
    let session = ask("PUT", "/latest/api/token", ttl)?;
    let head = format!("X-aws-ec2-metadata-token: {}", word(&session)?);
    let path = "/latest/meta-data/iam/security-credentials/";
    let roles = ask("GET", path, &head)?;
    let role = word(roles.lines().next().unwrap_or_default())?;
    of_role(&ask("GET", &format!("{path}{role}"), &head)?)
}

/// What goes into a request has no end of a line in it.
fn word(text: &str) -> Result<&str, String> {
    let text = text.trim();
    let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    is_word.then_some(text).ok_or_else(|| "its answer is invalid".to_string())
}

fn of_role(text: &str) -> Result<Found, String> {
    let told: Value =
        serde_json::from_str(text).map_err(|_| "its answer is invalid".to_string())?;
    let field = |name: &str| told[name].as_str().map(str::to_string);
    match (field("AccessKeyId"), field("SecretAccessKey")) {
        (Some(id), Some(secret)) => {
            let token = field("Token").map(|token| Secret::new(&token));
            Ok(Found { id, secret: Secret::new(&secret), token })
        }
        _ => Err("its role has no keys".to_string()),
    }
}

/// One request to the metadata service, and the body of its answer.
fn ask(method: &str, path: &str, head: &str) -> Result<String, String> {
    let told = |e: std::io::Error| crate::channel::wire::reason(&e);
    let address = SocketAddr::from(METADATA);
    let mut stream = TcpStream::connect_timeout(&address, METADATA_TIMEOUT).map_err(told)?;
    let timeout = Some(METADATA_TIMEOUT);
    stream
        .set_read_timeout(timeout)
        .and_then(|()| stream.set_write_timeout(timeout))
        .map_err(told)?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 169.254.169.254\r\n{head}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    stream.take(BYTES_MAX).read_to_string(&mut answer).map_err(told)?;
    body(&answer).map(str::to_string)
}

fn body(answer: &str) -> Result<&str, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("its answer is invalid")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body),
        status => Err(format!("it answers {}", status.unwrap_or("nothing"))),
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    fn found() -> Found {
        let (id, secret) = ("AKID".to_string(), Secret::new("secret"));
        Found { id, secret, token: Some(Secret::new("tok/en")) }
    }

    #[test]
    fn the_token_holds_a_signed_address() {
        let host = "b-1.name.id.c2.kafka.eu-west-1.amazonaws.com";
        let token = token(&found(), host, "eu-west-1", "20260102T030405Z");
        let told: Value = serde_json::from_slice(&token).unwrap();
        for (name, value) in [
            ("version", "2020_10_22"),
            ("host", host),
            ("action", "kafka-cluster:Connect"),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", "AKID/20260102/eu-west-1/kafka-cluster/aws4_request"),
            ("x-amz-date", "20260102T030405Z"),
            ("x-amz-expires", "900"),
            ("x-amz-security-token", "tok/en"),
            ("x-amz-signedheaders", "host"),
        ] {
            assert_eq!(told[name], value, "{name}");
        }
        assert_eq!(told["x-amz-signature"].as_str().unwrap().len(), 64);
        assert!(!String::from_utf8(token).unwrap().contains("\"secret\""));
    }

    #[test]
    fn regions_and_stamps() {
        assert_eq!(region_of("b-1.n.i.c2.kafka.eu-west-1.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(
            region_of("boot-x.c1.kafka-serverless.us-east-2.amazonaws.com"),
            Some("us-east-2")
        );
        assert_eq!(region_of("b-1.n.i.c2.kafka.cn-north-1.amazonaws.com.cn"), Some("cn-north-1"));
        for other in ["kafka.example.org", "kafka", "", "h.kafka.amazonaws"] {
            assert_eq!(region_of(other), None, "{other}");
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        assert_eq!(stamp(at), "20130524T000000Z");
    }

    #[test]
    fn keys_of_the_environment_come_first_and_a_named_profile_alone() {
        let path = std::env::temp_dir().join(format!("flume-ng-aws-{}", std::process::id()));
        let text = "[default]\naws_access_key_id = D\naws_secret_access_key=ds\n\n[other]\n\
                    aws_access_key_id=O\naws_secret_access_key = os = \naws_session_token=t\n";
        std::fs::write(&path, text).unwrap();
        let file = path.display().to_string();
        let of = |profile: Option<&str>, variables: &[(&str, &str)]| {
            let keys = AwsKeys { profile: profile.map(str::to_string) };
            let variable = |name: &str| match name {
                "AWS_SHARED_CREDENTIALS_FILE" => Some(file.clone()),
                name => variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()),
            };
            find(&keys, &variable).map(|found| found.id)
        };
        let both = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "es")];
        assert_eq!(of(None, &both), Ok("E".to_string()));
        assert_eq!(of(None, &[]), Ok("D".to_string()));
        assert_eq!(of(Some("other"), &both), Ok("O".to_string()));
        assert_eq!(of(None, &[("AWS_PROFILE", "other")]), Ok("O".to_string()));
        let why = of(Some("third"), &both).unwrap_err().0;
        assert!(why.ends_with("has no keys for the profile third; write them there"), "{why}");
        let other = of_profile(text, "other").unwrap();
        assert_eq!((other.secret.reveal(), other.token.is_some()), ("os =", true));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn answers_of_the_machine() {
        let role = r#"{"Code":"Success","AccessKeyId":"I","SecretAccessKey":"s","Token":"t"}"#;
        assert_eq!(of_role(role).unwrap().id, "I");
        assert!(of_role("{}").is_err() && of_role("").is_err() && of_role("[1]").is_err());
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\nx"), Ok("x"));
        assert_eq!(body("HTTP/1.0 404 Not Found\r\n\r\n"), Err("it answers 404".to_string()));
        assert!(body("").is_err() && word("a\r\nb").is_err() && word("").is_err());
        let mut msk = Msk(());
        assert_eq!(msk.answer(br#"{"version":"2020_10_22","request-id":"x"}"#), Ok(Step::Done));
        assert!(msk.answer(b"").is_err());
    }
}
