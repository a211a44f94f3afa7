//! OAUTHBEARER (RFC 7628): a token from another server, in one message.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::base64;
use super::exchange::{Refusal, Step};
use crate::config::sasl::{Claims, Token};

/// No token is longer: a broker takes 512 KiB of a request before it knows who asks.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// One exchange.
#[derive(Debug)]
pub struct OAuth {
    /// What the broker has against the token. It hears that this was understood, and ends it.
    objection: Option<String>,
}

impl OAuth {
    /// Begins, and the first token.
    pub fn start(bearer: &str, extensions: &[(String, String)]) -> (OAuth, Vec<u8>) {
        let mut token = format!("n,,\x01auth=Bearer {bearer}\x01");
        for (key, value) in extensions {
            token.push_str(&format!("{key}={value}\x01"));
        }
        token.push('\x01');
        (OAuth { objection: None }, token.into_bytes())
    }

    /// What is to be done on the broker's token.
    ///
    /// # Errors
    /// The broker does not take the token.
    pub fn answer(&mut self, token: &[u8]) -> Result<Step, Refusal> {
        if let Some(why) = self.objection.take() {
            return Err(Refusal(why));
        }
        if token.is_empty() {
            return Ok(Step::Done);
        }
        let told: Option<Value> = serde_json::from_slice(token).ok();
        let status = told.as_ref().and_then(|told| told["status"].as_str()).unwrap_or("no reason");
        let status: String = status.chars().take(100).collect();
        self.objection = Some(format!("the broker refuses the token: {status}"));
        Ok(Step::Send(vec![1]))
    }

    /// What the broker has said against the token, if it has.
    pub fn objection(&self) -> Option<&str> {
        self.objection.as_deref()
    }
}

/// The token itself.
///
/// # Errors
/// There is no token, or it is not valid.
pub fn bearer(token: &Token, given: Option<&str>) -> Result<String, Refusal> {
    match token {
        Token::Unsecured(claims) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
            Ok(unsecured(claims, now))
        }
        Token::Endpoint(_) => {
            given.map(str::to_string).ok_or_else(|| Refusal("no token was given".to_string()))
        }
        Token::File(path) => {
            let told = |why: String| {
                let path = path.display();
                Refusal(format!("the token in {path} cannot be used: {why}"))
            };
            let text = read(path).map_err(|e| told(crate::channel::wire::reason(&e)))?;
            let text = text.trim();
            match text.bytes().all(|b| b.is_ascii_graphic()) && !text.is_empty() {
                true => Ok(text.to_string()),
                false => Err(told("it is not a token; write it again".to_string())),
            }
        }
    }
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    crate::os::open_regular(path, 0)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// An unsigned JSON Web Token, as Kafka's own client makes it for trials.
fn unsecured(claims: &Claims, now_s: u64) -> String {
    let mut body = Map::new();
    for (name, value) in &claims.texts {
        body.insert(name.clone(), Value::from(value.as_str()));
    }
    for (name, value) in &claims.numbers {
        body.insert(name.clone(), Value::from(*value));
    }
    for (name, values) in &claims.lists {
        body.insert(name.clone(), Value::from(values.clone()));
    }
    body.insert("iat".to_string(), Value::from(now_s));
    body.insert("exp".to_string(), Value::from(now_s + claims.lifetime_s));
    let part = |text: String| base64::encode_for_url(text.as_bytes());
    format!("{}.{}.", part(r#"{"alg":"none"}"#.to_string()), part(Value::Object(body).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_that_of_the_standard() {
        let (_, token) = OAuth::start("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", &[]);
        // RFC 7628, section 4.1, without the fields that Kafka does not take.
        assert_eq!(token, b"n,,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01");
        let (_, token) = OAuth::start("t", &[("team".to_string(), "a b".to_string())]);
        assert_eq!(token, b"n,,\x01auth=Bearer t\x01team=a b\x01\x01");
    }

    #[test]
    fn a_refused_token_is_told_with_the_brokers_reason() {
        let (mut oauth, _) = OAuth::start("t", &[]);
        assert_eq!(oauth.answer(b""), Ok(Step::Done));
        assert_eq!(oauth.answer(br#"{"status":"invalid_token"}"#), Ok(Step::Send(vec![1])));
        assert!(oauth.objection().unwrap().ends_with("the token: invalid_token"));
        assert!(oauth.answer(b"").unwrap_err().0.ends_with("the token: invalid_token"));
        // Anything else is no reason, and no reason to panic.
        assert_eq!(oauth.answer(&[0xff, 0]), Ok(Step::Send(vec![1])));
        assert!(oauth.answer(b"").unwrap_err().0.ends_with("no reason"));
    }

    #[test]
    fn an_unsecured_token_says_who_and_for_how_long() {
        let claims = Claims {
            texts: vec![("sub".to_string(), "alice".to_string())],
            lifetime_s: 60,
            ..Claims::default()
        };
        let token = unsecured(&claims, 1_000);
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts, ["eyJhbGciOiJub25lIn0", parts[1], ""]);
        let padded = format!("{}{}", parts[1], &"==="[..(4 - parts[1].len() % 4) % 4]);
        let body = base64::decode(&padded).unwrap();
        assert_eq!(body, br#"{"sub":"alice","iat":1000,"exp":1060}"#);
    }

    #[test]
    fn a_token_of_a_file_is_one_word() {
        let path = std::env::temp_dir().join(format!("flume-ng-token-{}", std::process::id()));
        let take = |text: &str| {
            std::fs::write(&path, text).unwrap();
            bearer(&Token::File(path.clone()), None)
        };
        assert_eq!(take("abc.def.ghi\n"), Ok("abc.def.ghi".to_string()));
        for wrong in ["", " \n", "a b", "a\x01b", "ä"] {
            assert!(take(wrong).is_err(), "{wrong:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let refused = || bearer(&Token::File(path.clone()), None).unwrap_err().0;
        let why = refused();
        assert!(why.ends_with("cannot be used: No such file or directory"), "{why}");
        // One that nobody writes to would be waited for.
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let why = refused();
        assert!(why.ends_with("cannot be used: not a regular file"), "{why}");
        std::fs::remove_file(&path).unwrap();
    }
}
