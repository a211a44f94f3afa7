//! Half an entry in the middle of a dead-letter file. An agent that was killed while it wrote a letter left one, and
//! earlier versions appended to it (see [`super::inherited_letters`]). Its head counts bytes that never came, and
//! takes them from the entries behind it.
//!
//! *An entry behind it is recognised by its head alone*: a line that ends with all words of a head, each once, and
//! is followed by as many bytes as it says and a newline. Nothing in a letter can look like that, since the event of
//! a letter is a line, and has no newline before its last byte.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use memchr::memmem;

use super::dead_letter::{self, BEGIN};
use crate::log::{self, counted};

/// Bytes of a file of letters that belong to no whole entry; whole ones stand behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Half {
    pub(crate) at: u64,
    pub(crate) end: u64,
}

impl Half {
    pub(super) fn tell(&self, path: &Path) {
        log::warn(CLASS, format_args!("{}", self.text(path)));
    }

    pub(crate) fn text(&self, path: &Path) -> String {
        let (path, Half { at, end }) = (path.display(), self);
        format!(
            "{path}: {} from byte {at} on belong to no whole letter; an agent was killed while it wrote one, or somebody \
             has edited the file. The letters behind are read. Such bytes do no harm and may stay; if the event that \
             they name is not among the letters, it is still in its own file. They are shown by: \
             tail -c +{} {path} | head -c {}",
            counted(end - at, "byte"),
            at + 1,
            end - at
        )
    }
}

/// Class name in log lines, as Flume's.
const CLASS: &str = "source.SpoolDirectoryTailFileSource";

/// Longer heads than this are not recognised behind half an entry.
const HEAD_BYTES: usize = 1 << 20;

/// What follows the time in a head.
const BEHIND_TIME: &[u8] = b" topic=";
/// Of the first word, at most: a state, and a number.
const TIME_BYTES: usize = 4 + 1 + 20;

/// Where the first whole entry begins that does so in this range.
pub(super) fn next_entry(
    file: &File,
    range: std::ops::Range<u64>,
    len: u64,
) -> io::Result<Option<u64>> {
    let mut input = file;
    input.seek(SeekFrom::Start(range.start))?;
    let mut input = BufReader::new(input);
    // What is left of a line, and where that begins.
    let (mut line, mut at) = (Vec::new(), range.start);
    while at < range.end {
        let piece = input.by_ref().take(64 << 10).read_until(b'\n', &mut line)?;
        if piece == 0 {
            break;
        }
        let begin = last_begin(&line);
        if line.ends_with(b"\n") {
            let begin = begin.map(|begin| at + begin as u64).filter(|begin| *begin < range.end);
            if let Some(begin) = begin
                && dead_letter::is_entry(file, begin, len)?
            {
                return Ok(Some(begin));
            }
            at += line.len() as u64;
            line.clear();
            continue;
        }
        let tail = line.len().saturating_sub(TIME_BYTES + BEHIND_TIME.len());
        let kept = begin.filter(|begin| line.len() - begin <= HEAD_BYTES).unwrap_or(tail);
        line.drain(..kept);
        at += kept as u64;
    }
    Ok(None)
}

/// Does a whole head stand among these bytes? Then they are no event, or half of one and another entry.
pub(crate) fn has_head(bytes: &[u8]) -> bool {
    let lines = bytes.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n"));
    let mut heads = lines.filter_map(|line| last_begin(line).map(|begin| &line[begin..]));
    heads.any(dead_letter::is_head)
}

/// Where the last head of this line begins. There is one at most, since its words have no blanks within.
fn last_begin(line: &[u8]) -> Option<usize> {
    let behind = memmem::rfind(line, BEHIND_TIME)?;
    let digits = line[..behind].iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let begin = behind.checked_sub(digits + 5)?;
    (digits > 0 && is_state(&line[begin..])).then_some(begin)
}

/// Whatever it is: a mark is written over it.
fn is_state(bytes: &[u8]) -> bool {
    let (word, rest) = bytes.split_at(bytes.len().min(4));
    word.len() == 4 && word.iter().all(u8::is_ascii_lowercase) && rest.starts_with(b"=")
}

/// May an entry begin there, or the file end? The power failed before what is zero was on the disk.
pub(super) fn is_boundary(file: &File, at: u64, len: u64) -> io::Result<bool> {
    let mut bytes = [0; BEGIN.len()];
    let wanted = &mut bytes[..len.saturating_sub(at).min(BEGIN.len() as u64) as usize];
    file.read_exact_at(wanted, at)?;
    Ok(is_state(wanted) || BEGIN.starts_with(wanted) || wanted.first() == Some(&0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::dead_letter::{Letter, each};
    use crate::checkpoint::scratch::Scratch;

    fn entry(file: &str, body: &str) -> String {
        let bytes = body.len();
        let head = "topic=t partition=0 file";
        format!("time=17 {head}={file} start=0 end=9 bytes={bytes} reason=too%20large\n{body}\n")
    }

    /// Bodies, and what is in no letter.
    fn read(name: &str, content: &str) -> (Vec<String>, Vec<Half>) {
        let scratch = Scratch::new(name);
        let path = scratch.dir.join("dead-letter");
        std::fs::write(&path, content).unwrap();
        let mut bodies = Vec::new();
        let mut take = |letter: Letter| {
            bodies.push(content[letter.at as usize..(letter.at + letter.bytes) as usize].into());
        };
        let reading = each(&path, &mut take).unwrap();
        (bodies, reading.halves)
    }

    #[test]
    fn letters_behind_half_a_one_are_read_wherever_it_ends() {
        let one = entry("a", "one");
        let mut told = 0;
        for second in
            [entry("b", "second"), entry("b", &"long ".repeat(1_000)), entry("c", "third")]
        {
            for cut in 0..(second.len() - 1).min(300) {
                let (half, third) = (&second[..cut], entry("c", "third"));
                let content = [&one, half, &third, half, &third].concat();
                let (bodies, halves) = read("behind-half", &content);
                assert_eq!(bodies, ["one", "third", "third"], "{cut} of {second}");
                // To less than a word that counts the next head is the rest.
                if cut > "time=17 topic".len() {
                    told += 1;
                    let at = one.len() as u64;
                    let first = Half { at, end: at + cut as u64 };
                    let at = first.end + third.len() as u64;
                    assert_eq!(halves, [first, Half { at, end: at + cut as u64 }], "{cut}");
                }
            }
        }
        assert!(told > 300);
    }

    #[test]
    fn what_looks_like_a_letter_within_one_is_none() {
        let looks = entry("f", "x").replace('\n', " ");
        for body in [looks.clone(), looks.repeat(20_000), "time=1 topic=".repeat(9)] {
            let whole = [entry("a", &body), entry("b", "two")].concat();
            assert_eq!(read("within", &whole).0, [&*body, "two"]);
            let half = whole[..whole.len() / 2].len() - 9;
            let (bodies, _) = read("within-half", &[&whole[..half], &entry("c", "three")].concat());
            assert!(bodies.iter().all(|b| *b == body || b == "three"), "{bodies:?}");
            assert_eq!(bodies.last().map(String::as_str), Some("three"));
            assert!(!has_head(body.as_bytes()));
        }
    }

    /// A length that ends with another entry by chance.
    #[test]
    fn half_a_letter_that_seems_whole_is_told_by_the_head_in_it() {
        let hidden = entry("b", "hidden");
        let body = ["half", hidden.trim_end()].concat();
        let (bodies, halves) = read("by-chance", &[entry("a", &body), entry("c", "c")].concat());
        assert_eq!((bodies, halves), (vec![body.clone(), "c".to_string()], vec![]));
        assert!(has_head(body.as_bytes()));
    }

    #[test]
    fn what_somebody_has_noted_between_letters_hides_none() {
        let (one, two) = (entry("a", "one"), entry("b", "two"));
        let (bodies, halves) = read("noted", &[&one, "a note\n", &two, "a note\n"].concat());
        let at = one.len() as u64;
        assert_eq!(
            (bodies, halves),
            (vec!["one".into(), "two".into()], vec![Half { at, end: at + 7 }])
        );
    }
}
