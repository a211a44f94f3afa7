//! The LINE deserializer: blocks of a file into event bodies.
//!
//! An event ends after a newline character, and nothing else ends one; or, as soon as
//! it is `max_line_units` long, without a newline (so a line of exactly that length is
//! followed by an empty event). Where an event ends depends on the bytes from the
//! event's beginning only, never on how the file came in blocks: reading can be
//! resumed at any event's end and gives the same events.
//!
//! Three roads, by the charset and the bytes:
//! * valid UTF-8 to UTF-8: bodies are slices of the block; newlines come from
//!   `memchr`, and units are counted only in a line with at least as many bytes;
//! * a line of ASCII in any charset that contains ASCII: likewise;
//! * everything else: character by character into a buffer.
//!
//! A stateful charset (ISO-2022-JP) begins each line in ASCII, and a 0x0A byte ends
//! the line in any state. Its overlong lines are cut only where the state is ASCII
//! again, so that a cut is also a place to resume at; their events can therefore be
//! longer than the limit.

mod slow;
#[cfg(test)]
mod tests;
pub(super) mod verbatim;

use std::fmt;

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use crate::config::model::DecodePolicy;
pub use crate::config::model::LineEnds;
use crate::java::charset::{Charset, Mode};

/// Settings of a [`LineDecoder`].
#[derive(Debug, Clone)]
pub struct LineConfig {
    pub ends: LineEnds,
    /// `inputCharset`.
    pub charset: Charset,
    /// `deserializer.outputCharset`; what it does not have becomes `?`.
    pub output: Charset,
    /// `decodeErrorPolicy`.
    pub policy: DecodePolicy,
    /// `deserializer.maxLineLength` in UTF-16 units, at least 1. A surrogate pair is
    /// never cut: one that would go over the limit begins the next event.
    pub max_line_units: usize,
}

/// What to do with the beginning of a character at the very end of a finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutCharacter {
    /// Drop it, as Flume does, whatever the policy.
    Drop,
    /// Malformed bytes, as for Java's decoder at the end of its input.
    Malformed,
}

/// What follows a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// More may: an incomplete last line is not an event yet.
    Open,
    /// More may, but an event ends here: what stands after the last newline is one, and its line may go on.
    Cut,
    /// Nothing: what stands after the last newline is an event, unless it has no text.
    Final(CutCharacter),
}

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Bytes from the block's start to the end of the last event; with
    /// [`Tail::Cut`] or [`Tail::Final`] and not stopped, the whole block.
    pub consumed: usize,
    /// The closure asked to stop.
    pub stopped: bool,
    /// Events that were the last of their line (those before were cut off it).
    pub lines: u64,
}

/// Bytes that are not in the charset, under [`DecodePolicy::Fail`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Where they begin in the block.
    pub offset: usize,
    /// The malformed sequence, a few bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed input:")?;
        self.bytes.iter().try_for_each(|byte| write!(f, " {byte:02X}"))
    }
}

impl std::error::Error for Malformed {}

/// Splits blocks of one file at a time into events.
pub struct LineDecoder {
    config: LineConfig,
    /// What the present file is in: `config.charset`, or what its byte order mark says.
    charset: Charset,
    /// Decoded text, and the body in another charset than UTF-8.
    text: String,
    encoded: Vec<u8>,
}

/// Bytes that are checked and split at a time: few enough to stay in the first cache.
const WINDOW: usize = 16 * 1024;

/// Where the text of an event ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// At a newline of that many bytes.
    Newline(usize),
    /// At the end of the block.
    Block(Tail),
}

/// A line that has to be decoded.
#[derive(Clone, Copy)]
struct OddLine {
    /// Where its text ends.
    limit: usize,
    /// Up to here it is the same in UTF-8, and for all one knows no further.
    plain: usize,
    end: End,
}

impl LineDecoder {
    /// A decoder; it allocates only when it meets text that must be converted.
    pub fn new(config: LineConfig) -> LineDecoder {
        let charset = config.charset.for_file(&[]).0;
        LineDecoder { config, charset, text: String::new(), encoded: Vec::new() }
    }

    /// Turns to a file that begins with `head`. Only needed before reading a file from
    /// its middle, and only if the charset [looks at the file](Charset::looks_at_file);
    /// two bytes are enough.
    pub fn begin_file(&mut self, head: &[u8]) {
        self.charset = self.config.charset.for_file(head).0;
    }

    pub fn ends(&self) -> LineEnds {
        self.config.ends
    }

    /// Bytes of the smallest unit of the present file's text.
    pub fn unit_bytes(&self) -> u64 {
        if self.charset.little_endian().is_some() { 2 } else { 1 }
    }

    /// Where the first newline of `block` ends, for lines that are only measured. The block begins
    /// at an even distance from the beginning of the line.
    pub fn newline_end(&self, block: &[u8]) -> Option<usize> {
        let Some(little) = self.charset.little_endian() else {
            return memchr(b'\n', block).map(|at| at + 1);
        };
        let newline = if little { [b'\n', 0] } else { [0, b'\n'] };
        block.chunks_exact(2).position(|unit| unit == newline).map(|at| at * 2 + 2)
    }

    /// Splits `block`, which begins at an event boundary of the file, into events.
    /// `at_file_start`: the block begins at the file's first byte.
    ///
    /// `emit(body, end)` gets each event: the body in the output charset, and the bytes
    /// of the block used up once the event is taken. If it returns false, that event is
    /// the last.
    ///
    /// With [`Tail::Open`] the bytes after the last event (`consumed`) are to be given
    /// again with what follows them.
    ///
    /// # Errors
    /// [`Malformed`] under [`DecodePolicy::Fail`]; the events before it have been given
    /// to `emit`.
    pub fn split(
        &mut self,
        block: &[u8],
        at_file_start: bool,
        tail: Tail,
        mut emit: impl FnMut(&[u8], usize) -> bool,
    ) -> Result<Split, Malformed> {
        let mut split = Split::default();
        if at_file_start && self.config.charset.looks_at_file() {
            if block.len() < 2 && tail == Tail::Open {
                return Ok(split);
            }
            let (charset, mark) = self.config.charset.for_file(block);
            self.charset = charset;
            // A mark alone is not used up: it belongs to the first event.
            split.consumed = mark;
        }
        match self.config.ends {
            LineEnds::Newline | LineEnds::NewlineLater => {}
            LineEnds::Verbatim => return Ok(verbatim::split(block, tail, &mut emit)),
            LineEnds::Any => {
                self.split_any(block, tail, &mut split, &mut emit)?;
                return Ok(split);
            }
        }
        let start = split.consumed;
        match self.charset.little_endian() {
            Some(little) => self.split_utf16(block, little, tail, &mut split, &mut emit)?,
            None => self.split_bytes(block, tail, &mut split, &mut emit)?,
        }
        if split.consumed == start && tail == Tail::Open {
            split.consumed = 0;
        }
        Ok(split)
    }

    /// Charsets in which newline and ASCII are bytes, in windows of whole lines: each is
    /// checked once, and what of it is valid UTF-8 or ASCII goes the short way.
    fn split_bytes(
        &mut self,
        block: &[u8],
        tail: Tail,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> Result<(), Malformed> {
        while !split.stopped {
            let Some(end) = whole_lines(block, split.consumed) else {
                return self.last_line(block, tail, split, emit);
            };
            let window = &block[split.consumed..end];
            let valid = split.consumed + self.charset.plain_run(window, Mode::default()).len();
            self.valid_lines(block, valid, split, emit);
            if valid < end && !split.stopped {
                // The line that the bad byte is in has a newline: the window ends with one.
                let newline = memchr(b'\n', &block[valid..end]).map_or(end - 1, |at| valid + at);
                let line = OddLine { limit: newline, plain: valid, end: End::Newline(1) };
                self.odd_line(block, line, split, emit)?;
            }
        }
        Ok(())
    }

    /// The lines of `block` that end before `valid`, up to which it is the same in UTF-8.
    fn valid_lines(
        &mut self,
        block: &[u8],
        valid: usize,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) {
        let first = split.consumed;
        // Locals, so that the loop need not write through the reference.
        let (mut start, mut lines) = (first, 0);
        let direct = self.config.output.is_utf8();
        for newline in memchr_iter(b'\n', &block[first..valid]) {
            let newline = first + newline;
            let line = &block[start..newline];
            let end = newline + 1;
            if direct && line.len() < self.config.max_line_units {
                start = end;
                lines += 1;
                if !emit(line, end) {
                    split.stopped = true;
                    break;
                }
            } else {
                split.consumed = start;
                self.valid_line(block, newline, End::Newline(1), split, emit);
                start = split.consumed;
                if split.stopped {
                    break;
                }
            }
        }
        split.consumed = start;
        split.lines += lines;
    }

    fn split_utf16(
        &mut self,
        block: &[u8],
        little: bool,
        tail: Tail,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> Result<(), Malformed> {
        let first = split.consumed;
        // The byte before or after a 0A must be 00, and the two a unit of the file.
        let (back, other) = if little { (0, 1) } else { (1, -1) };
        for at in memchr_iter(b'\n', &block[first..]) {
            let unit = first + at - usize::min(back, at);
            let zero = (first + at).checked_add_signed(other).and_then(|at| block.get(at));
            // An earlier cut may have moved the alignment by no odd number of bytes.
            if zero == Some(&0) && at >= back && (at - back).is_multiple_of(2) {
                self.slow_line(block, unit, End::Newline(2), split, emit)?;
                if split.stopped {
                    return Ok(());
                }
            }
        }
        self.last_line(block, tail, split, emit)
    }

    /// Lines as Java reads them: what ends one is a newline, a carriage return, or both. A carriage return
    /// at the end of the block may be the first of the two.
    fn split_any(
        &mut self,
        block: &[u8],
        tail: Tail,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> Result<(), Malformed> {
        while !split.stopped
            && let Some(at) = memchr2(b'\n', b'\r', &block[split.consumed..])
        {
            let limit = split.consumed + at;
            let length = match block[limit..] {
                [b'\r', b'\n', ..] => 2,
                [b'\r'] if tail == Tail::Open => return Ok(()),
                _ => 1,
            };
            self.slow_line(block, limit, End::Newline(length), split, emit)?;
        }
        if !split.stopped && split.consumed < block.len() && tail != Tail::Open {
            self.slow_line(block, block.len(), End::Block(tail), split, emit)?;
        }
        Ok(())
    }

    /// What stands after the last newline.
    fn last_line(
        &mut self,
        block: &[u8],
        tail: Tail,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> Result<(), Malformed> {
        // There are never more units than bytes, so a shorter one cannot be cut.
        let rest = block.len() - split.consumed;
        if rest < self.config.max_line_units && tail == Tail::Open {
            return Ok(());
        }
        self.slow_line(block, block.len(), End::Block(tail), split, emit)
    }

    /// Gives one event of valid UTF-8 to `emit`.
    fn deliver(
        &mut self,
        text: &str,
        end: usize,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) {
        split.consumed = end;
        let go_on = if self.config.output.is_utf8() {
            emit(text.as_bytes(), end)
        } else {
            self.encoded.clear();
            self.config.output.encode(text, &mut self.encoded);
            emit(&self.encoded, end)
        };
        split.stopped = !go_on;
    }
}

/// The end of a window of whole lines from `start` on: after a newline, and near
/// [`WINDOW`] bytes away if lines are short. None if no newline is left.
fn whole_lines(block: &[u8], start: usize) -> Option<usize> {
    let rest = &block[start..];
    let near = &rest[..rest.len().min(WINDOW)];
    let newline = match memrchr(b'\n', near) {
        Some(newline) => newline,
        None => near.len() + memchr(b'\n', &rest[near.len()..])?,
    };
    Some(start + newline + 1)
}
