//! Just enough JSON to read the recorded cases. It panics at what is not JSON.

use std::iter::Peekable;
use std::str::Chars;

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &str) -> Json {
        let mut chars = text.chars().peekable();
        let value = value(&mut chars);
        skip_blanks(&mut chars);
        assert_eq!(chars.next(), None, "something behind the JSON value");
        value
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else {
            panic!("not an object: {self:?}");
        };
        members
            .iter()
            .find(|member| member.0 == name)
            .map(|member| &member.1)
    }

    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Json::Text(text)) => text,
            other => panic!("{name} is not text: {other:?}"),
        }
    }

    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        match self.get(name) {
            Some(Json::Number(number)) => *number as u64,
            other => panic!("{name} is not a number: {other:?}"),
        }
    }

    #[track_caller]
    pub fn list(&self, name: &str) -> &[Json] {
        match self.get(name) {
            Some(Json::List(items)) => items,
            other => panic!("{name} is not a list: {other:?}"),
        }
    }
}

fn value(chars: &mut Peekable<Chars>) -> Json {
    skip_blanks(chars);
    match *chars.peek().expect("a value") {
        '{' => Json::Object(items(chars, '}', |chars| {
            let name = string(chars);
            skip_blanks(chars);
            assert_eq!(chars.next(), Some(':'));
            (name, value(chars))
        })),
        '[' => Json::List(items(chars, ']', value)),
        '"' => Json::Text(string(chars)),
        _ => word(chars),
    }
}

fn items<T>(
    chars: &mut Peekable<Chars>,
    end: char,
    item: impl Fn(&mut Peekable<Chars>) -> T,
) -> Vec<T> {
    chars.next();
    let mut items = Vec::new();
    loop {
        skip_blanks(chars);
        match chars.peek() {
            Some(&next) if next == end => {
                chars.next();
                return items;
            }
            Some(',') => {
                chars.next();
                skip_blanks(chars);
            }
            _ => {}
        }
        items.push(item(chars));
    }
}

fn word(chars: &mut Peekable<Chars>) -> Json {
    let mut word = String::new();
    while let Some(&next) = chars.peek()
        && (next.is_alphanumeric() || "+-.".contains(next))
    {
        word.push(next);
        chars.next();
    }
    match word.as_str() {
        "null" => Json::Null,
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        number => Json::Number(
            number
                .parse()
                .unwrap_or_else(|_| panic!("not JSON: {number:?}")),
        ),
    }
}

fn string(chars: &mut Peekable<Chars>) -> String {
    assert_eq!(chars.next(), Some('"'));
    let mut units: Vec<u16> = Vec::new();
    loop {
        let mut buffer = [0; 2];
        let next = match chars.next().expect("the end of a string") {
            '"' => return String::from_utf16(&units).expect("paired surrogates"),
            '\\' => match chars.next().expect("an escape") {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&hex, 16).expect("four hex digits"));
                    continue;
                }
                other => other,
            },
            other => other,
        };
        units.extend_from_slice(next.encode_utf16(&mut buffer));
    }
}

fn skip_blanks(chars: &mut Peekable<Chars>) {
    while chars.next_if(|next| next.is_whitespace()).is_some() {}
}

pub fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes().filter(|&digit| digit != b'=') {
        let value = ALPHABET
            .iter()
            .position(|&known| known == digit)
            .expect("base64");
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
