//! The position file of Flume's TAILDIR source: read at a take-over, and kept up for who watches it, or
//! goes back.
//!
//! One line of JSON, `[{"inode":1,"pos":2,"file":"/logs/a.log"},…]`, as Gson writes it: the characters
//! `= & ' < >` are escapes. Flume writes in place and may be killed meanwhile, so that what stands before
//! a damage counts, as it does for Flume.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::os;

/// A longer file is not a position file: entries for some hundred thousand files.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where the next version is written before it takes the name.
const NEXT_NAME: &str = "positions.tmp";

/// How far a file was read, as Flume has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlumePosition {
    pub inode: u64,
    pub pos: u64,
    /// Its path when that was written.
    pub file: String,
}

/// What a position file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlumePositions {
    Absent,
    /// What was read, and what is wrong behind it.
    Found(Vec<FlumePosition>, Option<String>),
    /// It is JSON, and no position file: Flume does not start by it, either.
    Unusable(String),
}

/// Reads a position file.
///
/// # Errors
/// It is there and cannot be read.
pub fn read(path: &Path) -> io::Result<FlumePositions> {
    let file = match os::open_regular(path, 0) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(FlumePositions::Absent),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Ok(FlumePositions::Unusable(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(parse(&bytes))
}

/// What the bytes of a position file say.
pub fn parse(bytes: &[u8]) -> FlumePositions {
    let mut found = Vec::new();
    let Some(mut rest) = after(bytes, b'[') else {
        let why = match serde_json::from_slice::<Value>(bytes) {
            Ok(_) => return FlumePositions::Unusable("it holds no list of positions".to_owned()),
            Err(_) if bytes.is_empty() => "it is empty",
            Err(_) => "it is not JSON",
        };
        return FlumePositions::Found(found, Some(why.to_owned()));
    };
    if after(rest, b']').is_some() {
        return FlumePositions::Found(found, None);
    }
    loop {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            _ => return damaged(found),
        };
        rest = &rest[values.byte_offset()..];
        match position(&value) {
            Ok(position) => found.push(position),
            Err(why) => return FlumePositions::Unusable(why),
        }
        if let Some(next) = after(rest, b',') {
            rest = next;
        } else if after(rest, b']').is_some() {
            return FlumePositions::Found(found, None);
        } else {
            return damaged(found);
        }
    }
}

fn damaged(found: Vec<FlumePosition>) -> FlumePositions {
    let why = format!("it is cut or damaged behind entry {}", found.len());
    FlumePositions::Found(found, Some(why))
}

/// What follows this byte, if it comes next.
fn after(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let bytes = bytes.trim_ascii_start();
    bytes.strip_prefix(&[wanted])
}

fn position(value: &Value) -> Result<FlumePosition, String> {
    let number = |name: &str| {
        value.get(name).and_then(Value::as_u64).ok_or_else(|| format!("an entry has no {name}"))
    };
    let file = value.get("file").and_then(Value::as_str);
    Ok(FlumePosition {
        inode: number("inode")?,
        pos: number("pos")?,
        file: file.ok_or_else(|| "an entry has no file".to_owned())?.to_owned(),
    })
}

/// The bytes of a position file.
pub fn encode<'a>(positions: impl Iterator<Item = (u64, u64, &'a str)>) -> Vec<u8> {
    let mut out = String::from("[");
    for (at, (inode, pos, file)) in positions.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{{\"inode\":{inode},\"pos\":{pos},\"file\":\"");
        put_text(&mut out, file);
        out.push_str("\"}");
    }
    out.push(']');
    out.into_bytes()
}

/// As Gson does.
fn put_text(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '=' | '&' | '\'' | '<' | '>' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            other => out.push(other),
        }
    }
}

/// Puts a new version in place of the old one, written and synced first in `dir`, which must be on the
/// same file system.
pub fn replace(path: &Path, dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = dir.join(NEXT_NAME);
    // Not what somebody may have put there.
    match fs::remove_file(&next) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = fs::File::create_new(&next)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inode: u64, pos: u64, file: &str) -> FlumePosition {
        FlumePosition { inode, pos, file: file.to_owned() }
    }

    #[test]
    fn what_flume_has_written_is_read_and_written_alike() {
        let name = "/srv/p-clean/logs/a=b & 'c' <ü>.log";
        let bytes = concat!(
            r#"[{"inode":10379408,"pos":8,"file":"/srv/p-clean/logs/plain.log"},"#,
            r#"{"inode":10379432,"pos":4,"file":"/srv/p-clean/logs/a\u003db \u0026 \u0027c\u0027 \u003cü\u003e.log"}]"#
        );
        let expected =
            vec![entry(10379408, 8, "/srv/p-clean/logs/plain.log"), entry(10379432, 4, name)];
        assert_eq!(parse(bytes.as_bytes()), FlumePositions::Found(expected.clone(), None));
        let again = encode(expected.iter().map(|p| (p.inode, p.pos, p.file.as_str())));
        assert_eq!(again, bytes.as_bytes());
        assert_eq!(encode(std::iter::empty()), b"[]");
        assert_eq!(parse(b"[]"), FlumePositions::Found(Vec::new(), None));
    }

    /// Position files that Flume 1.11 has left, and what they mean.
    #[test]
    fn recorded_position_files_mean_what_they_meant_to_flume() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-1.11/positions");
        let fixtures = fs::read_to_string(dir.join("fixtures.json")).unwrap();
        let fixtures: Value = serde_json::from_str(&fixtures).unwrap();
        let mut count = 0;
        for fixture in fixtures.as_array().unwrap().iter().filter(|f| f["kind"] == "TAILDIR") {
            let name = fixture["name"].as_str().unwrap();
            let found = read(&dir.join(name).join("taildir_position.json")).unwrap();
            let FlumePositions::Found(found, damage) = found else { panic!("{name}: {found:?}") };
            let prefix = fixture["path_prefix_in_it"].as_str().unwrap();
            let expected = fixture["entries"].as_array().unwrap().iter().map(|e| {
                let file = format!("{prefix}{}", e["file"].as_str().unwrap());
                entry(e["inode"].as_u64().unwrap(), e["pos"].as_u64().unwrap(), &file)
            });
            assert_eq!(found, expected.collect::<Vec<_>>(), "{name}");
            // An empty one tells no position.
            assert_eq!(damage.is_some(), found.is_empty(), "{name}");
            count += 1;
        }
        assert_eq!(count, 5);
    }

    /// The directory may be open to others; a pipe that nobody writes to would be waited for.
    #[test]
    fn a_pipe_is_no_position_file() {
        let path = std::env::temp_dir().join(format!("flume-ng-positions-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(read(&path).unwrap_err().to_string(), "not a regular file");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_stands_before_a_damage_counts() {
        let whole = br#"[{"inode":1,"pos":2,"file":"/a"},{"pos":3,"file":"/b","inode":4}]"#;
        let both = [entry(1, 2, "/a"), entry(4, 3, "/b")];
        for cut in 0..=whole.len() {
            let FlumePositions::Found(found, damage) = parse(&whole[..cut]) else {
                panic!("cut at {cut}");
            };
            assert_eq!(found, both[..found.len()], "{cut}");
            assert_eq!(damage.is_none(), cut == whole.len(), "{cut}");
        }
        for damaged in [&b""[..], b"x", b"[x]", b"[{]", b"\xff", b"[{\"inode\":1}"] {
            let parsed = parse(damaged);
            assert!(!matches!(parsed, FlumePositions::Found(_, None)), "{parsed:?}");
        }
    }

    #[test]
    fn json_of_another_shape_is_no_position_file() {
        for text in
            ["{}", "1", r#"[{"inode":1,"file":"/x"}]"#, r#"[{"inode":"x","pos":1,"file":""}]"#]
        {
            let parsed = parse(text.as_bytes());
            assert!(matches!(parsed, FlumePositions::Unusable(_)), "{text} {parsed:?}");
        }
    }
}
