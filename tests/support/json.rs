//! What recorded cases and `--json` say. It panics at what is not JSON, or not what is expected.

pub use serde_json::Value as Json;

pub trait Members {
    fn parse(text: &str) -> Self;
    fn text(&self, name: &str) -> &str;
    fn number(&self, name: &str) -> u64;
    fn list(&self, name: &str) -> &[Json];
}

impl Members for Json {
    #[track_caller]
    fn parse(text: &str) -> Json {
        serde_json::from_str(text).unwrap_or_else(|e| panic!("not JSON ({e}): {text:?}"))
    }

    #[track_caller]
    fn text(&self, name: &str) -> &str {
        let member = &self[name];
        member.as_str().unwrap_or_else(|| panic!("{name} is not text: {member}"))
    }

    /// The whole part of a number.
    #[track_caller]
    fn number(&self, name: &str) -> u64 {
        let member = &self[name];
        let number = member.as_u64().or_else(|| member.as_f64().map(|x| x as u64));
        number.unwrap_or_else(|| panic!("{name} is not a number: {member}"))
    }

    #[track_caller]
    fn list(&self, name: &str) -> &[Json] {
        let member = &self[name];
        member.as_array().unwrap_or_else(|| panic!("{name} is not a list: {member}"))
    }
}

pub fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes().filter(|&digit| digit != b'=') {
        let value = ALPHABET.iter().position(|&known| known == digit).expect("base64");
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
