//! The file `trouble`: what keeps the agent from its work, or has ended it, for those who ask when its
//! log is not at hand. `status` and `check` show it first.
//!
//! ```text
//! brokers channel=c1 since_ms=1792000000000 why=no broker can be reached: h1:9092: Connection refused
//! end code=70 since_ms=1792000000000 why=...
//! ```
//!
//! Written beside and renamed, when something changes and not more; not synced, since nothing rests on
//! it. Without trouble there is no file.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use crate::os;

/// Name of the file in the tracker directory.
pub(crate) const FILE_NAME: &str = "trouble";

/// No reason is longer, bytes; the rest is in the log.
const WHY_BYTES_MAX: usize = 1_024;
/// No more are kept, the last ones: a source has few channels.
const TROUBLES_MAX: usize = 16;
/// What is read of a file, whoever wrote it, bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The brokers of a channel do not take anything since then (Unix time, ms).
    Brokers { channel: String, since_ms: i64, why: String },
    /// The agent has ended with this exit code.
    End { code: u8, since_ms: i64, why: String },
}

impl Trouble {
    fn line(&self) -> String {
        match self {
            Trouble::Brokers { channel, since_ms, why } => {
                let channel = one_line(channel).replace(' ', "_");
                format!("brokers channel={channel} since_ms={since_ms} why={}\n", one_line(why))
            }
            Trouble::End { code, since_ms, why } => {
                format!("end code={code} since_ms={since_ms} why={}\n", one_line(why))
            }
        }
    }

    fn parse(line: &str) -> Option<Trouble> {
        let (head, why) = line.split_once(" why=")?;
        let word = |key: &str| {
            let words = head.split(' ').filter_map(|word| word.split_once('='));
            words.filter(|(k, _)| *k == key).map(|(_, value)| value).next()
        };
        let (since_ms, why) = (word("since_ms")?.parse().ok()?, why.to_string());
        match head.split(' ').next()? {
            "brokers" => {
                Some(Trouble::Brokers { channel: word("channel")?.to_string(), since_ms, why })
            }
            "end" => Some(Trouble::End { code: word("code")?.parse().ok()?, since_ms, why }),
            _ => None,
        }
    }

    /// The same but for the words in which it is told, which may change with each try.
    pub(crate) fn is_alike(&self, other: &Trouble) -> bool {
        match (self, other) {
            (Trouble::Brokers { channel: a, .. }, Trouble::Brokers { channel: b, .. }) => a == b,
            _ => self == other,
        }
    }
}

fn one_line(text: &str) -> String {
    let mut end = text.len().min(WHY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Puts these in the place of what the file in the tracker directory `dir` says.
pub(crate) fn write(dir: &Path, troubles: &[Trouble]) -> io::Result<()> {
    let path = dir.join(FILE_NAME);
    if troubles.is_empty() {
        return match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    }
    let last = &troubles[troubles.len().saturating_sub(TROUBLES_MAX)..];
    let text: String = last.iter().map(Trouble::line).collect();
    let beside = dir.join(format!("{FILE_NAME}.new"));
    os::write_anew(&beside, text.as_bytes())?;
    fs::rename(&beside, &path)
}

/// Adds the end of an agent.
pub(crate) fn add_end(dir: &Path, code: u8, since_ms: i64, why: &str) -> io::Result<()> {
    let mut troubles = read(dir).unwrap_or_default();
    troubles.retain(|trouble| !matches!(trouble, Trouble::End { .. }));
    troubles.push(Trouble::End { code, since_ms, why: why.to_string() });
    write(dir, &troubles)
}

/// What the file says; lines that are none are left out.
pub(crate) fn read(dir: &Path) -> io::Result<Vec<Trouble>> {
    let file = match os::read_own(&dir.join(FILE_NAME)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(Trouble::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let scratch = Scratch::new("trouble");
        let dir = &scratch.dir;
        assert_eq!(read(dir).unwrap(), []);
        let why = "no broker: h1:9092 why=\u{7f}\nx".to_string();
        let brokers = Trouble::Brokers { channel: "c1".to_string(), since_ms: 5, why };
        write(dir, std::slice::from_ref(&brokers)).unwrap();
        add_end(dir, 70, 6, &"\u{e4}".repeat(WHY_BYTES_MAX)).unwrap();
        add_end(dir, 78, 7, "the last one").unwrap();
        let read_back = read(dir).unwrap();
        assert!(read_back[0].is_alike(&brokers) && read_back.len() == 2, "{read_back:?}");
        let Trouble::Brokers { why, since_ms: 5, .. } = &read_back[0] else { panic!() };
        assert_eq!(why, "no broker: h1:9092 why=  x");
        let end = Trouble::End { code: 78, since_ms: 7, why: "the last one".to_string() };
        assert_eq!(read_back[1], end);
        write(dir, &[]).unwrap();
        write(dir, &[]).unwrap();
        assert!(!dir.join(FILE_NAME).exists());
    }

    #[test]
    fn hostile_bytes_are_no_trouble() {
        let scratch = Scratch::new("trouble-noise");
        fs::write(scratch.dir.join(FILE_NAME), b"end code=700 since_ms=1 why=\n\xff why=\nend")
            .unwrap();
        assert_eq!(read(&scratch.dir).unwrap(), []);
    }
}
