//! From bytes to a *slice*: a run of whole events of one file that becomes one batch a channel.

use std::fmt;
use std::io;

use super::line::{CutCharacter, LineDecoder, LineEnds, Tail, verbatim};
use super::tracked::Tracked;
use super::window::{HeadBytes, TailBytes, Window};
use crate::checkpoint::record::HEAD_BYTES;

/// A slice ends after so many bytes at the latest, so that a file of which every event is
/// filtered out is committed on the way, too.
const SLICE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The end of a finished file. Half a character there is dropped, as Flume does.
const FINAL: Tail = Tail::Final(CutCharacter::Drop);

/// A run of events that has been read but not announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Byte range of the file.
    pub start: u64,
    pub end: u64,
    /// Lines that end in it.
    pub lines: u64,
    /// CRC-32 of its bytes.
    pub bytes_crc: u32,
    /// The bytes before `end`.
    pub tail: TailBytes,
    /// The first bytes of the file, as far as they were read.
    pub head: HeadBytes,
    /// Its last bytes from here on are NULs, if it was read as the end of its file.
    pub zeros_from: Option<u64>,
    /// The file was looked at to its end: behind the slice there is no whole event.
    pub is_exhausted: bool,
}

/// How far a slice may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// As far as there are whole events; an incomplete last line is left alone.
    Open,
    /// To the end of the file, whose last line needs no newline.
    Final,
    /// To this offset, where an event ended once, whether its line goes on or not.
    Until(u64),
    /// Exactly to this offset (unless the taker has enough before), where an event ended when the
    /// range was announced; `is_final` as it was then.
    Exactly { end: u64, is_final: bool },
}

/// Why a slice could not be read. Events before the place have been handed over.
#[derive(Debug)]
pub enum SliceError {
    Io(io::Error),
    /// Bytes that are not text in the input charset, under `decodeErrorPolicy = FAIL`.
    Malformed {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The line is longer than [`super::window::EVENT_BYTES_MAX`].
    Giant,
    /// The range does not hold what it held when it was announced.
    Changed,
}

impl fmt::Display for SliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SliceError::Io(e) => write!(f, "{e}"),
            SliceError::Malformed { offset, bytes } => {
                write!(f, "bytes")?;
                for byte in bytes {
                    write!(f, " {byte:02X}")?;
                }
                write!(f, " at byte {offset} are not text in the input charset")
            }
            SliceError::Giant => write!(f, "a line is too long to be held in memory"),
            SliceError::Changed => write!(f, "the bytes are no longer those that were read"),
        }
    }
}

impl From<io::Error> for SliceError {
    fn from(e: io::Error) -> SliceError {
        SliceError::Io(e)
    }
}

/// What the taker of events says to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    More,
    /// This one was taken; the slice ends behind it.
    Enough,
}

/// Reads a slice of `tracked` from offset `start` on and hands each event body to `take`, with the
/// offset of its first byte.
/// Changes nothing in `tracked` but the decoder's scratch memory.
pub fn read(
    window: &mut Window,
    tracked: &mut Tracked,
    start: u64,
    bound: Bound,
    mut take: impl FnMut(&[u8], u64) -> Take,
) -> Result<Slice, SliceError> {
    let mut progress = Progress::new(tracked, start)?;
    // The last read came to the end of the file.
    let mut at_end = false;
    if window.is_raw || start == 0 {
        // What it holds beyond the last range may have been zeros, and may be lines by now. Of a file of
        // which nothing was announced nothing tells whether what was read of it still stands there.
        window.clear();
    }
    window.is_raw = bound != Bound::Open;
    loop {
        let stop = progress.advance(window, tracked, bound, at_end, &mut take)?;
        if stop {
            // The last half line of a file may be what fills a batch.
            let rest = window.bytes(tracked.record.id, progress.position);
            progress.exhausted = bound == Bound::Final && at_end && rest.is_empty();
            return Ok(progress.finish());
        }
        if at_end {
            progress.exhausted = true;
            break;
        }
        if progress.position - start >= SLICE_BYTES_MAX && !bound.is_exact() {
            break;
        }
        if bound.reached(progress.position) {
            break;
        }
        let came = match read_more(window, tracked, progress.position, bound) {
            Ok(came) => came,
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                // What stands before the giant line goes first.
                if progress.position > start && !bound.is_exact() {
                    break;
                }
                return Err(SliceError::Giant);
            }
            Err(e) => return Err(e.into()),
        };
        if !progress.still_stands(window, tracked, bound)? {
            // Another content stands there since the last look. What came of it is none of this one; what
            // was taken before is.
            window.clear();
            tracked.forget_look();
            if progress.position > start {
                break;
            }
            return Err(SliceError::Changed);
        }
        if came == 0 {
            progress.exhausted = true;
            if bound == Bound::Final {
                progress.advance(window, tracked, bound, true, &mut take)?;
            }
            break;
        }
        // That is not asked twice. One that is being written to would go on like this for another line or
        // two, again and again; and what comes to a file that ends comes later than its end, as it does a
        // moment after the second answer.
        at_end = matches!(bound, Bound::Open | Bound::Final) && window.is_at_end();
    }
    if let Bound::Exactly { end, .. } = bound
        && progress.position != end
    {
        return Err(SliceError::Changed);
    }
    Ok(progress.finish())
}

/// Reads more into the window. Of an open file what is not written yet is left out.
fn read_more(
    window: &mut Window,
    tracked: &mut Tracked,
    position: u64,
    bound: Bound,
) -> io::Result<usize> {
    let came = match (tracked.trimmed, bound) {
        // What was read of it were zeros from there on.
        (Some(size), Bound::Exactly { end, .. }) => {
            window.read_padded(tracked.record.id, &tracked.file, position, size, end)?
        }
        _ => window.read_more(tracked.record.id, &tracked.file, position, tracked.size)?,
    };
    if bound != Bound::Open {
        return Ok(came);
    }
    let (bytes, at) = window.last_read(came);
    tracked.gap = tracked.place().find(bytes, at, window.is_at_end())?;
    let Some(gap) = &tracked.gap else { return Ok(came) };
    let start = gap.start;
    window.end_at(start);
    Ok(usize::try_from(start - at).unwrap_or(came).min(came))
}

impl Bound {
    fn is_exact(self) -> bool {
        matches!(self, Bound::Exactly { .. })
    }

    fn reached(self, position: u64) -> bool {
        matches!(self, Bound::Until(end) | Bound::Exactly { end, .. } if position >= end)
    }

    /// The part of the window that may be decoded now, and how its end is to be taken.
    fn clip(self, bytes: &[u8], position: u64, window_at_end: bool) -> (&[u8], Tail) {
        let up_to = |end: u64, tail| {
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            if bytes.len() >= left { (&bytes[..left], tail) } else { (bytes, Tail::Open) }
        };
        match self {
            Bound::Open => (bytes, Tail::Open),
            // Only then is the end of the window the end of the file.
            Bound::Final if window_at_end => (bytes, FINAL),
            Bound::Final => (bytes, Tail::Open),
            Bound::Until(end) => up_to(end, FINAL),
            // An event ended there when the range was announced. What comes behind it, and how long a line may
            // be by now, must not change that.
            Bound::Exactly { end, is_final: false } => up_to(end, Tail::Cut),
            Bound::Exactly { end, is_final: true } => up_to(end, FINAL),
        }
    }
}

struct Progress {
    start: u64,
    position: u64,
    lines: u64,
    crc: crc32fast::Hasher,
    tail: TailBytes,
    head: HeadBytes,
    zeros_from: Option<u64>,
    exhausted: bool,
}

impl Progress {
    fn new(tracked: &Tracked, start: u64) -> io::Result<Progress> {
        let tail = if start == tracked.read_position {
            tracked.tail
        } else {
            TailBytes::read(&tracked.file, start)?
        };
        Ok(Progress {
            start,
            position: start,
            lines: 0,
            crc: crc32fast::Hasher::new(),
            tail,
            head: tracked.head,
            zeros_from: None,
            exhausted: false,
        })
    }

    /// Does that still stand in the file behind which the last read came? It may have been truncated, and
    /// have grown past this place, since it was looked at. What is read again is known by its CRC-32.
    fn still_stands(&self, window: &Window, tracked: &Tracked, bound: Bound) -> io::Result<bool> {
        if bound.is_exact() || self.start != tracked.read_position {
            return Ok(true);
        }
        let held = match self.position {
            0 => window.bytes(tracked.record.id, 0),
            _ => self.head.as_slice(),
        };
        let head = &held[..held.len().min(HEAD_BYTES)];
        tracked.stands_there(self.position, self.tail.as_slice(), head)
    }

    /// Decodes what the window holds; `at_end`: the file ends with it. Returns whether the taker has enough.
    fn advance(
        &mut self,
        window: &Window,
        tracked: &mut Tracked,
        bound: Bound,
        at_end: bool,
        take: &mut impl FnMut(&[u8], u64) -> Take,
    ) -> Result<bool, SliceError> {
        let held = window.bytes(tracked.record.id, self.position);
        let (bytes, tail) = bound.clip(held, self.position, at_end);
        if bytes.is_empty() {
            return Ok(false);
        }
        let Some(passed) = self.left_of_line(tracked, bytes, tail) else { return Ok(false) };
        let (rest, position) = (&bytes[passed..], self.position + passed as u64);
        let split = split(&mut tracked.decoder, rest, position, tail, take)?;
        let consumed = &bytes[..passed + split.consumed];
        self.crc.update(consumed);
        self.tail.push(consumed);
        self.head.push(consumed, self.position);
        if bound == Bound::Final {
            let unit = tracked.decoder.unit_bytes();
            self.zeros_from = zeros_at_end(consumed, self.position, unit, self.zeros_from);
        }
        self.lines += split.lines;
        self.position += consumed.len() as u64;
        Ok(split.stopped)
    }

    /// How many bytes here are left of a line that is no event any more: it was one before its newline
    /// came, or it was being written when the file was first seen. `None`: that cannot be told yet.
    fn left_of_line(&self, tracked: &Tracked, bytes: &[u8], tail: Tail) -> Option<usize> {
        if self.position == 0 || tracked.decoder.ends() == LineEnds::Newline {
            return Some(0);
        }
        if tracked.record.skips_line && self.position == tracked.record.position {
            return verbatim::rest_of_line(bytes, tail);
        }
        match (self.tail.as_slice().last(), tracked.decoder.ends()) {
            (None | Some(b'\n'), _) => Some(0),
            // A line of its own, if it is not the second half of an end.
            (Some(b'\r'), LineEnds::Any) => Some(usize::from(bytes[0] == b'\n')),
            (Some(_), LineEnds::Any) => Some(0),
            // No line is cut off right before its newline.
            (Some(_), LineEnds::NewlineLater) => {
                let is_late = bytes[0] == b'\n' && tracked.decoder.unit_bytes() == 1;
                Some(usize::from(is_late))
            }
            (Some(_), _) => verbatim::late_newline(bytes, tail),
        }
    }

    fn finish(self) -> Slice {
        Slice {
            start: self.start,
            end: self.position,
            lines: self.lines,
            bytes_crc: self.crc.finalize(),
            tail: self.tail,
            head: self.head,
            zeros_from: self.zeros_from,
            is_exhausted: self.exhausted,
        }
    }
}

/// Where the run of NULs begins in which `bytes` end, which stand at offset `at`, in units of text of so
/// many bytes; `before`: the same of what stands before them.
fn zeros_at_end(bytes: &[u8], at: u64, unit: u64, before: Option<u64>) -> Option<u64> {
    let zeros = bytes.iter().rev().take_while(|b| **b == 0).count();
    let (text, end) = ((bytes.len() - zeros) as u64, at + bytes.len() as u64);
    let start = Some((at + text).next_multiple_of(unit)).filter(|start| *start < end);
    if text == 0 { before.or(start) } else { start }
}

fn split(
    decoder: &mut LineDecoder,
    bytes: &[u8],
    position: u64,
    tail: Tail,
    take: &mut impl FnMut(&[u8], u64) -> Take,
) -> Result<super::line::Split, SliceError> {
    let mut start = position;
    decoder
        .split(bytes, position == 0, tail, |body, end| {
            let begun = std::mem::replace(&mut start, position + end as u64);
            take(body, begun) == Take::More
        })
        .map_err(|m| SliceError::Malformed { offset: position + m.offset as u64, bytes: m.bytes })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::config::model::DecodePolicy;
    use crate::java::charset::Charset;
    use crate::source::line::LineConfig;
    use crate::source::tracked::{self, Look};
    use crate::source::window;

    /// Reads two ranges one behind the other, with a line written over zeros in between.
    fn read_around_a_write(label: &str, second: Bound) -> (Vec<Vec<u8>>, u32) {
        let name = format!("flume-ng-slice-{label}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, b"one\ntw\0\0\0\0").unwrap();
        let mut tracked = tracked::new_for_test(&path);
        assert_eq!(tracked.look(0).unwrap(), Look::Readable);
        let mut window = Window::default();
        let first = Bound::Exactly { end: 4, is_final: false };
        read(&mut window, &mut tracked, 0, first, |_, _| Take::More).unwrap();
        let writer = std::fs::File::options().write(true).open(&path).unwrap();
        writer.write_all_at(b"two\nsix\n", 4).unwrap();
        let mut events = Vec::new();
        let slice = read(&mut window, &mut tracked, 4, second, |body, _| {
            events.push(body.to_vec());
            Take::More
        });
        std::fs::remove_file(&path).unwrap();
        (events, slice.unwrap().bytes_crc)
    }

    #[test]
    fn what_was_read_with_zeros_in_it_is_read_anew() {
        let bounds = [
            ("open", Bound::Open),
            ("final", Bound::Final),
            ("exact", Bound::Exactly { end: 12, is_final: false }),
        ];
        for (label, bound) in bounds {
            let (events, crc) = read_around_a_write(label, bound);
            assert_eq!(events, [b"two".to_vec(), b"six".to_vec()], "{label}");
            assert_eq!(crc, crc32fast::hash(b"two\nsix\n"), "{label}");
        }
    }

    /// Announced ranges whose last event ends where more of its line follows, or where nothing but what follows
    /// tells that it ends. The settings may have been changed since.
    #[test]
    fn a_range_that_ends_at_a_cut_can_be_read_again() {
        /// How lines end, the longest, the file, the end of the range; its events, and lines.
        type Case = (LineEnds, usize, &'static [u8], u64, &'static [&'static str], u64);
        let cases: [Case; 7] = [
            (LineEnds::NewlineLater, 4, b"abcdefghij\n", 8, &["abcd", "efgh"], 0),
            (LineEnds::NewlineLater, 4, b"one\nabcdefghij\n", 8, &["one", "abcd"], 1),
            (
                LineEnds::NewlineLater,
                4,
                "ab\u{1F600}\u{1F600}cd\n".as_bytes(),
                6,
                &["ab\u{1F600}"],
                0,
            ),
            (LineEnds::NewlineLater, 4, "abc\u{1F600}d\n".as_bytes(), 3, &["abc"], 0),
            (LineEnds::Newline, 100, b"abcdefghij\n", 8, &["abcdefgh"], 0),
            (LineEnds::Any, 100, b"a\rb\n", 2, &["a"], 1),
            (LineEnds::Any, 100, b"a\nb\r\rc\n", 4, &["a", "b"], 2),
        ];
        let name = format!("flume-ng-slice-cut-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for (ends, max_line_units, content, end, expected, lines) in cases {
            std::fs::write(&path, content).unwrap();
            let mut tracked = tracked::new_for_test(&path);
            tracked.decoder = LineDecoder::new(LineConfig {
                ends,
                charset: Charset::UTF_8,
                output: Charset::UTF_8,
                policy: DecodePolicy::Fail,
                max_line_units,
            });
            assert_eq!(tracked.look(0).unwrap(), Look::Readable);
            let mut events = Vec::new();
            let bound = Bound::Exactly { end, is_final: false };
            let slice = read(&mut Window::default(), &mut tracked, 0, bound, |body, _| {
                events.push(String::from_utf8(body.to_vec()).unwrap());
                Take::More
            });
            let slice = slice.unwrap_or_else(|e| panic!("{ends:?} {end}: {e}"));
            assert_eq!(
                (events, slice.end, slice.lines),
                (expected.iter().map(|s| s.to_string()).collect(), end, lines),
                "{ends:?}"
            );
        }
        std::fs::remove_file(&path).unwrap();
    }

    /// Its file counted as one of which the end was not read.
    #[test]
    fn the_half_line_at_the_end_of_a_file_is_its_last_also_where_it_fills_a_batch() {
        let name = format!("flume-ng-slice-last-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, b"one\ntwo\nhalf").unwrap();
        for (enough, end, is_last) in [(1, 4, false), (2, 8, false), (3, 12, true), (9, 12, true)] {
            let mut tracked = tracked::new_for_test(&path);
            assert_eq!(tracked.look(0).unwrap(), Look::Readable);
            let mut taken = 0;
            let slice = read(&mut Window::default(), &mut tracked, 0, Bound::Final, |_, _| {
                taken += 1;
                if taken == enough { Take::Enough } else { Take::More }
            });
            let slice = slice.unwrap();
            assert_eq!((slice.end, slice.is_exhausted), (end, is_last), "{enough}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    /// It can go nowhere yet, and its file is truncated and written anew meanwhile.
    #[test]
    fn what_was_read_and_not_announced_is_read_anew() {
        let name = format!("flume-ng-slice-anew-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut window = Window::default();
        std::fs::write(&path, b"one\ntwo\n").unwrap();
        let mut tracked = tracked::new_for_test(&path);
        let mut events = Vec::new();
        for content in ["one\ntwo\n", "seven\nsix\n"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(tracked.look(0).unwrap(), Look::Readable);
            events.clear();
            read(&mut window, &mut tracked, 0, Bound::Open, |body, _| {
                events.push(body.to_vec());
                Take::More
            })
            .unwrap();
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(events, [b"seven".to_vec(), b"six".to_vec()]);
    }

    /// Rows of 64 bytes, of which only the first tell one content from another: all end alike.
    fn rows(label: &str, count: usize) -> String {
        (0..count).map(|at| format!("{label} {at:<6}{:x<53}\n", "")).collect()
    }

    /// A file of which the first rows were read and announced.
    fn read_so_far(name: &str, content: &str, count: usize) -> (std::path::PathBuf, Tracked) {
        let name = format!("flume-ng-slice-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        let mut tracked = tracked::new_for_test(&path);
        assert_eq!(tracked.look(0).unwrap(), Look::Readable);
        let bound = Bound::Exactly { end: (count * 64) as u64, is_final: false };
        let slice =
            read(&mut Window::default(), &mut tracked, 0, bound, |_, _| Take::More).unwrap();
        (tracked.read_position, tracked.tail, tracked.head) = (slice.end, slice.tail, slice.head);
        (path, tracked)
    }

    /// A pause of the process or of the machine is enough for that.
    #[test]
    fn a_file_that_is_truncated_and_grows_between_look_and_read_is_not_read_on() {
        for bound in [Bound::Open, Bound::Final] {
            let (path, mut tracked) = read_so_far("between", &rows("old", 300), 100);
            assert_eq!(tracked.look(0).unwrap(), Look::Readable);
            std::fs::write(&path, rows("new", 300)).unwrap();
            let mut taken = 0;
            let start = tracked.read_position;
            let found = read(&mut Window::default(), &mut tracked, start, bound, |_, _| {
                taken += 1;
                Take::More
            });
            assert!(matches!(found, Err(SliceError::Changed)), "{found:?}");
            assert_eq!(taken, 0);
            assert_eq!(tracked.look(0).unwrap(), Look::Rewritten);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_truncated_and_grows_between_two_reads_gives_only_what_came_before() {
        for first in [0, 100] {
            let count = 3 * window::BLOCK_BYTES / 64;
            let (path, mut tracked) = read_so_far("blocks", &rows("old", count), first);
            assert_eq!(tracked.look(0).unwrap(), Look::Readable);
            let mut events: Vec<Vec<u8>> = Vec::new();
            let start = tracked.read_position;
            let slice =
                read(&mut Window::default(), &mut tracked, start, Bound::Open, |body, _| {
                    if events.is_empty() {
                        std::fs::write(&path, rows("new", count)).unwrap();
                    }
                    events.push(body.to_vec());
                    Take::More
                });
            let slice = slice.unwrap();
            assert!(!events.is_empty() && events.iter().all(|body| body.starts_with(b"old")));
            assert_eq!(slice.end, ((first + events.len()) * 64) as u64);
            (tracked.read_position, tracked.tail, tracked.head) =
                (slice.end, slice.tail, slice.head);
            assert_eq!(tracked.look(0).unwrap(), Look::Rewritten);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
