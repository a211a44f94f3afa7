//! The dead-letter file: entries of a head (a line of words `key=value`), as many bytes as the head says,
//! and a newline. The ledger appends to it, and nothing is ever removed from it.
//!
//! The first word of a head says when it was written: `time=1792000000000`. Who has settled a letter
//! writes `sent` or `drop` over the key, in place ([`mark`]): the entry stays as long as it was, so that
//! an agent may append meanwhile and every entry is found where it was.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::half_letter::{self, Half};
use crate::os;

/// A head is a line of words; a longer one is not a head. It may have a key and headers that are as long
/// as a line each.
pub(super) const HEAD_BYTES_MAX: u64 = 64 << 20;

/// The last word of a head without the record's key and headers, which are too long for it.
const SHORT: &str = "record=short";

/// What an entry begins with when it is written.
pub(super) const BEGIN: &[u8] = b"time=";

/// Between names and values of headers.
const SEPARATORS: &[u8] = b":,";

/// What has become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A person has to look at it.
    Unsettled,
    /// It was sent once more, and is in the topic.
    Sent,
    /// It is not wanted any more.
    Dropped,
}

impl State {
    /// The key of its time. All are as long.
    const fn key(self) -> &'static str {
        match self {
            State::Unsettled => "time",
            State::Sent => "sent",
            State::Dropped => "drop",
        }
    }

    /// What is neither (half a mark, after a crash in the middle of it) is not settled.
    fn of_head(head: &str) -> State {
        let is = |state: &State| head.starts_with(state.key());
        [State::Sent, State::Dropped].into_iter().find(is).unwrap_or(State::Unsettled)
    }

    /// For people and scripts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Unsettled => "unsettled",
            State::Sent => "sent",
            State::Dropped => "dropped",
        }
    }
}

/// Says in the file what has become of a letter; durable when it returns.
///
/// # Errors
/// Also where another entry stands in its place by now.
pub(crate) fn mark(path: &Path, letter: &Letter, state: State) -> io::Result<()> {
    let file = os::open_own(path, OpenOptions::new().read(true).write(true))?;
    let mut head = vec![0; usize::try_from(letter.at - letter.head_at).unwrap_or(0)];
    file.read_exact_at(&mut head, letter.head_at)?;
    let has_key = head.get(state.key().len()) == Some(&b'=');
    if !has_key || !letter.has(&head) {
        return Err(io::Error::other("its entry is gone"));
    }
    file.write_all_at(state.key().as_bytes(), letter.head_at)?;
    file.sync_data()
}

/// What [`mark`] leaves of a head.
pub(crate) fn unmarked(head: &[u8]) -> &[u8] {
    head.get(State::Unsettled.key().len()..).unwrap_or_default()
}

/// What stands before a letter, in one line.
pub(super) struct Head<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) file: &'a [u8],
    /// As in [`Letter::names_from`].
    pub(super) names_from: &'a [u8],
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) bytes: u64,
    pub(super) reason: &'a str,
    pub(super) key: Option<&'a [u8]>,
    pub(super) headers: &'a [(String, String)],
}

impl Head<'_> {
    pub(super) fn written(&self, now_ms: i64) -> String {
        let head = format!(
            "time={now_ms}{}{}{}{}\n",
            self.before_name(),
            self.name(),
            self.behind_name(),
            self.of_record()
        );
        match head.len() as u64 > HEAD_BYTES_MAX {
            // It would hide whatever stands behind it.
            true => Head { key: None, headers: &[], ..*self }.written_short(now_ms),
            false => head,
        }
    }

    fn written_short(&self, now_ms: i64) -> String {
        let (before, behind) = (self.before_name(), self.behind_name());
        format!("time={now_ms}{before}{}{behind} {SHORT}\n", self.name())
    }

    /// Is this the head of the same letter? Its file may have another name since: what was read of it was
    /// found in a copy. Before these words stands the one that tells when it was written, or settled.
    pub(super) fn is_in(&self, line: &[u8]) -> bool {
        let words = line.iter().position(|b| *b == b' ').map_or(line, |at| &line[at..]);
        let behind = self.behind_name();
        let is_end = |rest: &str| words.ends_with(format!("{behind}{rest}\n").as_bytes());
        // Versions before headers were kept left them out.
        let key = Head { headers: &[], ..*self }.of_record();
        words.starts_with(self.before_name().as_bytes())
            && (is_end(&self.of_record()) || is_end(&key) || is_end(&format!(" {SHORT}")))
    }

    fn before_name(&self) -> String {
        format!(" topic={} partition={} file=", self.topic, self.partition)
    }

    fn name(&self) -> String {
        let name = escape(self.file, &[]);
        match self.names_from.is_empty() {
            true => name,
            false => format!("{name} names_from={}", escape(self.names_from, &[])),
        }
    }

    fn behind_name(&self) -> String {
        let Head { start, end, bytes, .. } = self;
        let reason = escape(self.reason.as_bytes(), &[]);
        format!(" start={start} end={end} bytes={bytes} reason={reason}")
    }

    /// What its record has beside the value.
    fn of_record(&self) -> String {
        let mut words = self.key.map_or(String::new(), |key| format!(" key={}", escape(key, &[])));
        for (n, (name, value)) in self.headers.iter().enumerate() {
            words += if n == 0 { " headers=" } else { "," };
            words += &escape(name.as_bytes(), SEPARATORS);
            words.push(':');
            words += &escape(value.as_bytes(), SEPARATORS);
        }
        words
    }
}

/// An entry, but for its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub state: State,
    /// When it was written, Unix ms; 0 where the head does not tell.
    pub time_ms: i64,
    pub topic: String,
    /// -1 where it was never one of a batch.
    pub partition: i32,
    /// Bare name of the file that the event stood in; what is not UTF-8 in it is replaced.
    pub file: String,
    /// As in [`Record`](super::record::Record::names_from).
    pub names_from: Vec<u8>,
    /// Its bytes in that file.
    pub start: u64,
    pub end: u64,
    /// The body is a line as it stood in the file, longer than an event may be, and no event.
    pub is_giant: bool,
    /// Why no broker takes it.
    pub reason: String,
    /// The record's.
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
    /// Its record had a key or headers that were too long to be kept.
    pub is_short: bool,
    /// Where its entry begins in the dead-letter file, where its body does, and how long that is.
    pub head_at: u64,
    pub at: u64,
    pub bytes: u64,
}

impl Letter {
    /// Is this its head, whatever has become of it since?
    pub(crate) fn has(&self, head: &[u8]) -> bool {
        let there = parse(head, self.head_at, self.at);
        there.is_some_and(|there| Letter { state: self.state, ..there } == *self)
    }
}

/// What was read of a file of letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Where the last entry ended.
    pub(crate) end: u64,
    /// What hides no entry any more.
    pub(crate) halves: Vec<Half>,
}

/// Hands each entry to `visit`, also those behind half a one; what is none at the end of the file (half an entry,
/// after a crash) is left out. No file is as good as an empty one.
pub(crate) fn each(path: &Path, visit: &mut dyn FnMut(Letter)) -> io::Result<Reading> {
    each_from(path, 0, visit)
}

/// The same from `from` on, where an entry has to begin.
pub(crate) fn each_from(
    path: &Path,
    from: u64,
    visit: &mut dyn FnMut(Letter),
) -> io::Result<Reading> {
    let file = match os::read_own(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Reading::default()),
        Err(e) => return Err(e),
    };
    let len = file.metadata()?.len();
    let mut reading = Reading { end: from, halves: Vec::new() };
    let mut input = reader(&file, from)?;
    loop {
        let at = reading.end;
        let letter = read_entry(&mut input, at, len)?;
        let end = letter.as_ref().map_or(len, |letter| letter.at + letter.bytes + 1);
        if letter.is_none() || !half_letter::is_boundary(&file, end, len)? {
            if let Some(next) = half_letter::next_entry(&file, at + 1..end, len)? {
                reading.halves.push(Half { at, end: next });
                (input, reading.end) = (reader(&file, next)?, next);
                continue;
            }
            // Whatever stands behind that: the place is the file's own again.
            input = reader(&file, end)?;
        }
        let Some(letter) = letter else { return Ok(reading) };
        reading.end = end;
        visit(letter);
    }
}

fn reader(mut file: &File, from: u64) -> io::Result<BufReader<&File>> {
    file.seek(SeekFrom::Start(from))?;
    Ok(BufReader::new(file))
}

/// Its head, where `input` stands.
fn read_head(input: &mut BufReader<&File>) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES_MAX).read_until(b'\n', &mut head)?;
    Ok(head)
}

/// The entry that begins at `at`, where `input` stands, and is behind it then; `None` where there is no whole one.
fn read_entry(input: &mut BufReader<&File>, at: u64, len: u64) -> io::Result<Option<Letter>> {
    let head = read_head(input)?;
    let body_at = at + head.len() as u64;
    let letter = parse(&head, at, body_at);
    let Some(letter) = letter.filter(|letter| letter.bytes < len.saturating_sub(body_at)) else {
        return Ok(None);
    };
    // Less than the file is long, which is less than half of all numbers.
    input.seek_relative(letter.bytes as i64)?;
    // Zeros may end a file whose last bytes were not on the disk when the power failed.
    if input.fill_buf()?.first() != Some(&b'\n') {
        return Ok(None);
    }
    input.consume(1);
    Ok(Some(letter))
}

/// Does a whole entry stand there?
pub(super) fn is_entry(file: &File, at: u64, len: u64) -> io::Result<bool> {
    // That of the file is another reader's.
    let mut place = file;
    let before = place.stream_position()?;
    let letter = read_entry(&mut reader(file, at)?, at, len)?;
    place.seek(SeekFrom::Start(before))?;
    Ok(letter.is_some())
}

/// Are these bytes a head, and nothing else?
pub(super) fn is_head(bytes: &[u8]) -> bool {
    parse(bytes, 0, 0).is_some()
}

/// Is what stands there, up to the end of the file, the beginning of one entry and nothing else? It has no
/// newline behind its head, as any whole entry in it would have. The power failed before what is zero was
/// on the disk.
pub(super) fn is_torn(path: &Path, from: u64) -> io::Result<bool> {
    let file = os::read_own(path)?;
    let mut input = reader(&file, from)?;
    let head = read_head(&mut input)?;
    let written = head.split(|b| *b == 0).next().unwrap_or_default();
    let is_begun = written.starts_with(BEGIN) || BEGIN.starts_with(written);
    if !is_begun || head.ends_with(b"\n") && parse(&head, from, from).is_none() {
        return Ok(false);
    }
    loop {
        let piece = input.fill_buf()?;
        if piece.is_empty() || piece.contains(&b'\n') {
            return Ok(piece.is_empty());
        }
        let length = piece.len();
        input.consume(length);
    }
}

fn parse(head: &[u8], head_at: u64, at: u64) -> Option<Letter> {
    let head = std::str::from_utf8(head.strip_suffix(b"\n")?).ok()?;
    let word = |key: &str| {
        let words = head.split(' ').filter_map(|word| word.split_once('='));
        words.filter(|(k, _)| *k == key).map(|(_, value)| value).next()
    };
    // Half a head, and another one behind it, have some twice.
    let is_once = |key: &&str| {
        let keys = head.split(' ').filter_map(|word| word.split_once('=')).map(|(k, _)| k);
        keys.filter(|k| k == key).count() == 1
    };
    if !["topic", "partition", "file", "start", "end", "bytes"].iter().all(is_once) {
        return None;
    }
    let number = |key| word(key).and_then(number_of);
    let partition = number_of(word("partition")?)?;
    let time = head.split_once(' ').and_then(|(first, _)| first.split_once('='));
    Some(Letter {
        state: State::of_head(head),
        time_ms: time.and_then(|(_, time)| number_of(time)).unwrap_or(0),
        topic: word("topic")?.to_string(),
        partition,
        file: String::from_utf8_lossy(&unescape(word("file")?)).into_owned(),
        names_from: word("names_from").map(unescape).unwrap_or_default(),
        start: number("start")?,
        end: number("end")?,
        is_giant: partition == -1,
        reason: String::from_utf8_lossy(&unescape(word("reason").unwrap_or(""))).into_owned(),
        key: word("key").map(unescape),
        headers: word("headers").map(headers_of).unwrap_or_default(),
        is_short: head.split(' ').next_back() == Some(SHORT),
        head_at,
        at,
        bytes: number("bytes")?,
    })
}

fn headers_of(word: &str) -> Vec<(String, String)> {
    let text = |word: &str| String::from_utf8_lossy(&unescape(word)).into_owned();
    let pairs = word.split(',').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, value)| (text(name), text(value))).collect()
}

fn number_of<T: std::str::FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

/// Blanks, control characters, `%` and what is not ASCII as `%XX`, so that an entry's head is one
/// line of words, and so are the bytes of `also`.
fn escape(bytes: &[u8], also: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            // Writing to a String does not fail.
            b'%' | 0..=b' ' | 0x7f.. => drop(write!(out, "%{byte:02X}")),
            _ if also.contains(&byte) => drop(write!(out, "%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
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
        let entry = "time=1 topic=t partition=2 file=a%20%25b start=3 end=9 bytes=12 reason=x key=k%20 headers=a%3A:b%2C%20,c:\n\
                     bytes=99\nabc\n";
        let letters = read(&[entry, entry].concat());
        let head = entry.find('\n').unwrap() as u64 + 1;
        let first = Letter {
            state: State::Unsettled,
            time_ms: 1,
            topic: "t".to_string(),
            partition: 2,
            file: "a %b".to_string(),
            names_from: Vec::new(),
            start: 3,
            end: 9,
            is_giant: false,
            reason: "x".to_string(),
            key: Some(b"k ".to_vec()),
            headers: vec![("a:".to_string(), "b, ".to_string()), ("c".to_string(), String::new())],
            is_short: false,
            head_at: 0,
            at: head,
            bytes: 12,
        };
        let length = entry.len() as u64;
        let second = Letter { head_at: length, at: head + length, ..first.clone() };
        assert_eq!(letters, [first, second]);
    }

    #[test]
    fn what_a_record_has_beside_its_value_comes_back() {
        let headers = vec![("a b".to_string(), "1,2:3%".to_string()), ("ä".to_string(), "".into())];
        let head = Head {
            topic: "t",
            partition: 2,
            file: b"f",
            names_from: b"/v/a b",
            start: 0,
            end: 9,
            bytes: 3,
            reason: "too large",
            key: Some(b"k"),
            headers: &headers,
        };
        let letters = read(&format!("{}abc\n", head.written(1)));
        assert_eq!((letters[0].key.as_deref(), &letters[0].headers), (Some(&b"k"[..]), &headers));
        assert!(head.is_in(head.written(7).as_bytes()));
        assert_eq!((letters[0].file.as_str(), &letters[0].names_from[..]), ("f", &b"/v/a b"[..]));
        let elsewhere = Head { names_from: b"/v", file: b"a/f", ..head };
        assert!(head.is_in(elsewhere.written(7).as_bytes()));
        assert!(head.is_in(Head { names_from: b"", ..head }.written(7).as_bytes()));
        // That of a version before is known again; that of another record is not.
        let before = Head { headers: &[], ..head };
        assert!(head.is_in(before.written(7).as_bytes()));
        assert!(!before.is_in(head.written(7).as_bytes()));
        // What is too long for a head would hide what stands behind it.
        let long = vec![b' '; HEAD_BYTES_MAX as usize / 3];
        let long = Head { key: Some(&long), ..head };
        let text = [long.written(1), "abc\n".into(), head.written(2), "abc\n".into()].concat();
        let letters = read(&text);
        assert_eq!(letters.len(), 2);
        assert_eq!((letters[0].is_short, &letters[0].key), (true, &None));
        assert!(long.is_in(long.written(3).as_bytes()) && !letters[1].is_short);
    }

    #[test]
    fn a_mark_is_in_place_and_only_where_the_letter_is() {
        let path = std::env::temp_dir().join(format!("flume-ng-marks-{}", std::process::id()));
        let entry = "time=1 topic=t partition=0 file=f start=0 end=3 bytes=3 reason=x\nabc\n";
        std::fs::write(&path, [entry, entry].concat()).unwrap();
        let letters = || {
            let mut letters = Vec::new();
            each(&path, &mut |letter| letters.push(letter)).unwrap();
            letters
        };
        let before = letters();
        mark(&path, &before[1], State::Sent).unwrap();
        let states: Vec<State> = letters().iter().map(|letter| letter.state).collect();
        assert_eq!(states, [State::Unsettled, State::Sent]);
        assert_eq!(letters()[1], Letter { state: State::Sent, ..before[1].clone() });
        // It may be done again, as after a crash.
        mark(&path, &before[1], State::Sent).unwrap();
        mark(&path, &before[1], State::Dropped).unwrap();
        assert_eq!(letters()[1].state, State::Dropped);
        let other = Letter { head_at: before[1].head_at + 1, ..before[1].clone() };
        assert!(mark(&path, &other, State::Sent).is_err());
        std::fs::write(&path, entry.replace("file=f", "file=g")).unwrap();
        assert!(mark(&path, &before[0], State::Sent).is_err());
        assert_eq!(letters()[0].state, State::Unsettled);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn half_an_entry_is_none() {
        let entry = "topic=t partition=-1 file=f start=0 end=3 bytes=3 reason=x\nabc\n";
        for cut in 0..entry.len() {
            let whole_and_half = format!("{entry}{}", &entry[..cut]);
            assert_eq!(read(&whole_and_half).len(), 1, "{cut}");
            let zeros = "\0".repeat(entry.len() - cut);
            assert_eq!(read(&format!("{whole_and_half}{zeros}")).len(), 1, "{cut} and zeros");
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
