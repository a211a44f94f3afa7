//! `java.util.Properties` text, read as Java reads it, with the line each entry stands on.
//!
//! Four things differ from Java on purpose. The text is UTF-8 whatever the locale (under cron Java
//! turns each non-ASCII byte into U+FFFD), a byte order mark at the start is no part of the first
//! key, bytes or escapes that are no text are faults with their line instead of silent repairs,
//! and every entry is kept: the last of two with one key wins, but the caller can tell.

use std::fmt;

/// One key with its value, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Escapes resolved, blanks as they are (Flume trims them, Java does not).
    pub key: String,
    pub value: String,
    /// The first physical line of the entry, from 1.
    pub line: usize,
    /// The first character of the value of which Java drops the backslash, since the two are no escape,
    /// and which would mean something else to a regular expression with it: `\d`, `\.`.
    pub bare: Option<char>,
    /// The entry as it was typed, continuation lines joined, escapes untouched.
    pub raw: String,
}

/// A whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    /// All entries, duplicates too.
    pub entries: Vec<Entry>,
    /// A byte order mark was removed.
    pub had_bom: bool,
}

/// Why a line is no property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// From 1.
    pub line: usize,
    pub kind: SyntaxErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyntaxErrorKind {
    /// The bytes are not UTF-8; the position of the first bad one in its line, from 1.
    NotUtf8 { column: usize },
    /// `\u` without four hexadecimal digits.
    MalformedEscape,
    /// `\ud800` and the like without its other half.
    LoneSurrogate(u16),
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SyntaxErrorKind::NotUtf8 { column } => write!(
                f,
                "byte {column} of the line is not UTF-8; save the file as UTF-8 (iconv -t UTF-8)"
            ),
            SyntaxErrorKind::MalformedEscape => f.write_str(
                "Malformed \\uxxxx encoding: four hexadecimal digits must follow \\u; \
                 write \\\\u for a backslash and a u",
            ),
            SyntaxErrorKind::LoneSurrogate(unit) => write!(
                f,
                "\\u{unit:04x} is half a character; write both halves, or the character itself"
            ),
        }
    }
}

impl std::error::Error for SyntaxError {}

/// Reads a whole file.
///
/// # Errors
/// Every line that cannot be read, in order; never an empty list.
pub(crate) fn parse(bytes: &[u8]) -> Result<Properties, Vec<SyntaxError>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => return Err(lines_not_utf8(bytes)),
    };
    let without_bom = text.strip_prefix('\u{feff}');
    let mut properties = Properties { entries: Vec::new(), had_bom: without_bom.is_some() };
    let mut errors = Vec::new();
    let mut lines = LogicalLines::new(without_bom.unwrap_or(text));
    while let Some((line, raw)) = lines.next_line() {
        match split(&raw) {
            Ok((key, value, bare)) => {
                properties.entries.push(Entry { key, value, line, bare, raw });
            }
            Err(kind) => errors.push(SyntaxError { line, kind }),
        }
    }
    if errors.is_empty() { Ok(properties) } else { Err(errors) }
}

/// All lines with bytes that are not UTF-8. CR and LF never are part of another character, so
/// each line can be looked at alone.
fn lines_not_utf8(bytes: &[u8]) -> Vec<SyntaxError> {
    let mut errors = Vec::new();
    let mut line = 1;
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let len = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len());
        if let Err(error) = std::str::from_utf8(&rest[..len]) {
            let kind = SyntaxErrorKind::NotUtf8 { column: error.valid_up_to() + 1 };
            errors.push(SyntaxError { line, kind });
        }
        let crlf = rest[len..].starts_with(b"\r\n");
        start += len + if crlf { 2 } else { 1 };
        line += 1;
    }
    errors
}

/// Joins continuation lines and leaves comments out: `Properties.LineReader` as a state machine.
struct LogicalLines<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    /// Physical line of the next character.
    line: usize,
}

impl<'a> LogicalLines<'a> {
    fn new(text: &'a str) -> Self {
        LogicalLines { chars: text.chars().peekable(), line: 1 }
    }

    /// The next character; CRLF comes as one `\n`, as does a lone CR.
    fn next_char(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\r' {
            self.chars.next_if_eq(&'\n');
        }
        if matches!(c, '\r' | '\n') {
            self.line += 1;
            return Some('\n');
        }
        Some(c)
    }

    fn skip_comment(&mut self) {
        while self.next_char().is_some_and(|c| c != '\n') {}
    }

    /// The next logical line and the number of its first physical line; `None` at the end.
    ///
    /// A comment may follow a line that is only a backslash, as in Java. Such a line at the very
    /// end is nothing here; for Java it is an empty key, or nothing, depending on the line's end.
    fn next_line(&mut self) -> Option<(usize, String)> {
        let mut raw = String::new();
        let mut first_line = None;
        let mut skip_blanks = true;
        let mut continued = false;
        let mut escaped = false;
        loop {
            let line = self.line;
            let Some(c) = self.next_char() else { break };
            if skip_blanks {
                if matches!(c, ' ' | '\t' | '\u{c}') || (!continued && c == '\n') {
                    continue;
                }
                skip_blanks = false;
                continued = false;
            }
            if raw.is_empty() && matches!(c, '#' | '!') {
                self.skip_comment();
                (skip_blanks, first_line) = (true, None);
            } else if c != '\n' {
                first_line.get_or_insert(line);
                raw.push(c);
                escaped = c == '\\' && !escaped;
            } else if raw.is_empty() {
                (skip_blanks, first_line) = (true, None);
            } else if escaped && self.chars.peek().is_some() {
                raw.pop();
                (skip_blanks, continued, escaped) = (true, true, false);
            } else {
                break;
            }
        }
        // A backslash before the end of the file continues nothing and is dropped.
        if escaped {
            raw.pop();
        }
        first_line.filter(|_| !raw.is_empty()).map(|line| (line, raw))
    }
}

/// Splits a logical line at the first unescaped separator and resolves the escapes.
fn split(raw: &str) -> Result<(String, String, Option<char>), SyntaxErrorKind> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\u{c}');
    let mut escaped = false;
    let end = raw.find(|c: char| {
        let separates = !escaped && (c == '=' || c == ':' || blank(c));
        escaped = c == '\\' && !escaped;
        separates
    });
    let key = &raw[..end.unwrap_or(raw.len())];
    let rest = raw[key.len()..].trim_start_matches(blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(blank);
    Ok((unescape(key)?, unescape(value)?, without_backslash(value)))
}

/// See [`Entry::bare`].
fn without_backslash(value: &str) -> Option<char> {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        let next = chars.next()?;
        let is_escape = "tnrfu\\".contains(next);
        if !is_escape && (next.is_ascii_alphanumeric() || ".+*?()[]{}|^$".contains(next)) {
            return Some(next);
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, SyntaxErrorKind> {
    let mut out = String::with_capacity(text.len());
    let mut high = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let unit = if c == '\\' && rest.starts_with('u') {
            let digits = rest.get(1..5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            let unit = digits.and_then(|d| u16::from_str_radix(d, 16).ok());
            rest = rest.get(5..).unwrap_or_default();
            Some(unit.ok_or(SyntaxErrorKind::MalformedEscape)?)
        } else {
            None
        };
        if let Some(first) = high.take() {
            let pair = [first, unit.unwrap_or_default()];
            let joined = char::decode_utf16(pair).next().and_then(Result::ok);
            out.push(joined.ok_or(SyntaxErrorKind::LoneSurrogate(first))?);
            continue;
        }
        match unit {
            Some(unit @ 0xd800..=0xdbff) => high = Some(unit),
            Some(unit) => out
                .push(char::from_u32(u32::from(unit)).ok_or(SyntaxErrorKind::LoneSurrogate(unit))?),
            None if c == '\\' => {
                let Some(c) = rest.chars().next() else { break };
                rest = &rest[c.len_utf8()..];
                out.push(match c {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    'f' => '\u{c}',
                    other => other,
                });
            }
            None => out.push(c),
        }
    }
    match high {
        Some(first) => Err(SyntaxErrorKind::LoneSurrogate(first)),
        None => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let properties = parse(text.as_bytes()).unwrap();
        properties.entries.into_iter().map(|e| (e.key, e.value)).collect()
    }

    fn unhex(text: &str) -> String {
        let bytes = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).unwrap();
            u8::from_str_radix(pair, 16).unwrap()
        });
        String::from_utf8(bytes.collect()).unwrap()
    }

    /// `tests/data/java_properties.tsv` was written by the JDK (see `JavaProperties.java` there):
    /// input, then key and value of each entry with the last of duplicates winning, sorted by
    /// key, all as hexadecimal UTF-8; or the word `refused`. Empty keys are left out of the
    /// comparison, see `next_line`.
    #[test]
    fn reads_what_java_reads() {
        let table = include_str!("../../tests/data/java_properties.tsv");
        let mut rows = 0;
        for row in table.lines().filter(|row| !row.starts_with('#')) {
            let mut fields = row.split('\t');
            let input = unhex(fields.next().unwrap());
            let expected: Vec<&str> = fields.collect();
            let got = parse(input.as_bytes());
            rows += 1;
            if expected == ["refused"] {
                assert!(got.is_err(), "{input:?} gave {got:?}");
                continue;
            }
            let expected: BTreeMap<String, String> = expected
                .chunks(2)
                .filter(|pair| pair.len() == 2)
                .filter(|pair| !pair[0].is_empty())
                .map(|pair| (unhex(pair[0]), unhex(pair[1])))
                .collect();
            let got = got.unwrap_or_else(|errors| panic!("{input:?}: {errors:?}"));
            let pairs = got.entries.into_iter().map(|e| (e.key, e.value));
            let got = pairs.filter(|(key, _)| !key.is_empty()).collect();
            assert_eq!(expected, got, "{input:?}");
        }
        assert!(rows > 300, "only {rows} rows");
        assert_eq!(pairs("=b\n:"), [("".into(), "b".into()), ("".into(), "".into())]);
    }

    #[test]
    fn lines_are_counted_at_the_start_of_an_entry() {
        let text = "# c\r\n\r\na = 1\\\r\n  2\rb : \\\n\n! d\nc";
        let lines: Vec<_> =
            parse(text.as_bytes()).unwrap().entries.into_iter().map(|e| (e.key, e.line)).collect();
        assert_eq!(lines, [("a".into(), 3), ("b".into(), 5), ("c".into(), 8)]);
    }

    #[test]
    fn a_backslash_that_vanishes_is_noticed() {
        let bare = |text: &str| parse(text.as_bytes()).unwrap().entries[0].bare;
        assert_eq!(bare(r"a = .*(\\d){4}\\."), None);
        assert_eq!(bare(r"a = .*(\d){4}"), Some('d'));
        assert_eq!(bare(r"a = x\\\.log"), Some('.'));
        assert_eq!(bare(r"a\d = \t\u0041\ \:"), None);
    }

    #[test]
    fn duplicates_are_all_kept_in_order() {
        assert_eq!(pairs("a=1\na=2"), [("a".into(), "1".into()), ("a".into(), "2".into())]);
    }

    #[test]
    fn raw_text_keeps_its_escapes() {
        let parsed = parse(b"a1.p = .*(\\\\d)\\\n  {4}").unwrap();
        assert_eq!(parsed.entries[0].raw, "a1.p = .*(\\\\d){4}");
        assert_eq!(parsed.entries[0].value, ".*(\\d){4}");
    }

    #[test]
    fn a_byte_order_mark_is_removed_once() {
        let parsed = parse("\u{feff}a=\u{feff}b".as_bytes()).unwrap();
        assert!(parsed.had_bom);
        assert_eq!(parsed.entries[0].key, "a");
        assert_eq!(parsed.entries[0].value, "\u{feff}b");
    }

    #[test]
    fn every_bad_line_is_named() {
        let escapes = parse(b"a=\\u12\nb=1\nc\\uzzzz=1\nd=\\ud83d\ne=\\ude00").unwrap_err();
        assert_eq!(escapes.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 3, 4, 5]);
        let bytes = parse(b"a=\xff\r\nb=1\nc=\xe4\xb8").unwrap_err();
        assert_eq!(bytes.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(bytes[1].kind, SyntaxErrorKind::NotUtf8 { column: 3 });
    }

    #[test]
    fn surrogate_pairs_join() {
        assert_eq!(pairs("a=\\ud83d\\ude00"), [("a".into(), "\u{1f600}".into())]);
        assert!(parse(b"a=\\ud83dx").is_err());
    }
}
