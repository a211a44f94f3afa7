//! JSON as it is printed for scripts and monitors (RFC 8259).

use std::fmt::{self, Write as _};

/// A JSON value to be printed.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i128),
    /// Rounded to three places.
    Real(f64),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(&'static str, Json)>),
}

impl Json {
    pub fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }

    pub fn int(n: impl Into<i128>) -> Json {
        Json::Int(n.into())
    }

    pub fn opt<T>(value: Option<T>, to: impl FnOnce(T) -> Json) -> Json {
        value.map_or(Json::Null, to)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(b) => write!(f, "{b}"),
            Json::Int(n) => write!(f, "{n}"),
            Json::Real(x) if x.is_finite() => write!(f, "{}", (x * 1000.0).round() / 1000.0),
            Json::Real(_) => f.write_str("null"),
            Json::Text(text) => quote(text, f),
            Json::List(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { "," } else { "" })?;
                }
                f.write_char(']')
            }
            Json::Map(members) => {
                f.write_char('{')?;
                for (at, (key, value)) in members.iter().enumerate() {
                    write!(f, "{}\"{key}\":{value}", if at > 0 { "," } else { "" })?;
                }
                f.write_char('}')
            }
        }
    }
}

/// Text in quotes, as JSON wants it.
pub fn quote(text: &str, f: &mut dyn fmt::Write) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            c if (c as u32) < 0x20 || c == '\u{7f}' => write!(f, "\\u{:04x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_any_text() {
        let text = Json::text("a\"b\\c\n\u{1}中");
        let json = Json::Map(vec![
            ("t", text),
            ("l", Json::List(vec![Json::int(1), Json::Null, Json::Real(0.12345)])),
            ("b", Json::Bool(true)),
        ]);
        assert_eq!(
            json.to_string(),
            "{\"t\":\"a\\\"b\\\\c\\n\\u0001中\",\"l\":[1,null,0.123],\"b\":true}"
        );
    }
}
