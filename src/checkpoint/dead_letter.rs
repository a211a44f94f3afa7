//! Reading the dead-letter file: entries of a head (a line of words `key=value`), as many bytes as
//! the head says, and a newline. The ledger writes it.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::os;

/// A head is a line of words; what is longer is none.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// An entry, but for its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// When it was written, Unix ms; 0 where the head does not tell.
    pub time_ms: i64,
    pub topic: String,
    /// -1 where it was never one of a batch.
    pub partition: i32,
    /// Bare name of the file that the event stood in; what is not UTF-8 in it is replaced.
    pub file: String,
    /// Its bytes in that file.
    pub start: u64,
    pub end: u64,
    /// The body is a line as it stood in the file, longer than an event may be, and no event.
    pub is_giant: bool,
    /// Why no broker takes it.
    pub reason: String,
    /// Where the body begins in the dead-letter file, and how long it is.
    pub at: u64,
    pub bytes: u64,
}

/// Hands each entry to `visit`, up to the first that is none (half an entry, after a disk was
/// full). No file is as good as an empty one.
pub(crate) fn each(path: &Path, visit: &mut dyn FnMut(Letter)) -> io::Result<()> {
    each_from(path, 0, visit).map(drop)
}

/// The same from `from` on, where an entry has to begin. Returns where the last one ended.
pub(crate) fn each_from(path: &Path, from: u64, visit: &mut dyn FnMut(Letter)) -> io::Result<u64> {
    let file = match os::read_own(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let len = file.metadata()?.len();
    (&file).seek(SeekFrom::Start(from))?;
    let mut input = BufReader::new(&file);
    let (mut at, mut head) = (from, Vec::new());
    loop {
        head.clear();
        let begin = at;
        at += input.by_ref().take(HEAD_BYTES_MAX).read_until(b'\n', &mut head)? as u64;
        let Some(letter) = parse(&head, at).filter(|letter| letter.bytes < len.saturating_sub(at))
        else {
            return Ok(begin);
        };
        let entry_bytes = letter.bytes + 1;
        at += entry_bytes;
        visit(letter);
        // Less than the file is long, which is less than half of all numbers.
        input.seek_relative(entry_bytes as i64)?;
    }
}

fn parse(head: &[u8], at: u64) -> Option<Letter> {
    let head = std::str::from_utf8(head.strip_suffix(b"\n")?).ok()?;
    let word = |key: &str| {
        let words = head.split(' ').filter_map(|word| word.split_once('='));
        words.filter(|(k, _)| *k == key).map(|(_, value)| value).next()
    };
    let number = |key| word(key).and_then(number_of);
    let partition = number_of(word("partition")?)?;
    Some(Letter {
        time_ms: word("time").and_then(number_of).unwrap_or(0),
        topic: word("topic")?.to_string(),
        partition,
        file: String::from_utf8_lossy(&unescape(word("file")?)).into_owned(),
        start: number("start")?,
        end: number("end")?,
        is_giant: partition == -1,
        reason: String::from_utf8_lossy(&unescape(word("reason").unwrap_or(""))).into_owned(),
        at,
        bytes: number("bytes")?,
    })
}

fn number_of<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

/// The bytes of a word of a head, in which some are written as `%XX`.
fn unescape(word: &str) -> Vec<u8> {
    let bytes = word.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = word.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Vec<Letter> {
        let name = format!("flume-ng-letters-{}-{}", std::process::id(), content.len());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        let mut letters = Vec::new();
        each(&path, &mut |letter| letters.push(letter)).unwrap();
        std::fs::remove_file(&path).unwrap();
        letters
    }

    #[test]
    fn entries_are_found_by_their_heads_whatever_their_bodies_hold() {
        let entry = "time=1 topic=t partition=2 file=a%20%25b start=3 end=9 bytes=12 reason=x\n\
                     bytes=99\nabc\n";
        let letters = read(&[entry, entry].concat());
        let head = entry.find('\n').unwrap() as u64 + 1;
        let first = Letter {
            time_ms: 1,
            topic: "t".to_string(),
            partition: 2,
            file: "a %b".to_string(),
            start: 3,
            end: 9,
            is_giant: false,
            reason: "x".to_string(),
            at: head,
            bytes: 12,
        };
        let second = Letter { at: head + entry.len() as u64, ..first.clone() };
        assert_eq!(letters, [first, second]);
    }

    #[test]
    fn half_an_entry_is_none() {
        let entry = "topic=t partition=-1 file=f start=0 end=3 bytes=3 reason=x\nabc\n";
        for cut in 0..entry.len() {
            let whole_and_half = format!("{entry}{}", &entry[..cut]);
            assert_eq!(read(&whole_and_half).len(), 1, "{cut}");
        }
        assert!(read("").is_empty() && read("topic=t bytes=-1\n").is_empty());
        let path = Path::new("/nonexistent/dead-letter");
        assert!(each(path, &mut |_| panic!("there is none")).is_ok());
    }

    #[test]
    fn a_word_that_was_not_escaped_is_left_alone() {
        assert_eq!(unescape("%C3%A4%2"), "ä%2".as_bytes());
        assert_eq!(unescape("%€%zz"), "%€%zz".as_bytes());
    }
}
