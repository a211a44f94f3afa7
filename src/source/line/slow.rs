//! Lines that must be looked at character by character.

use super::{
    CutCharacter, DecodePolicy, End, LineDecoder, LineEnds, Malformed, OddLine, Split, Tail,
};
use crate::java::charset::{Mode, Step};

/// UTF-16 units of (a piece of) UTF-8 text. Written so that the compiler can vectorise it.
fn units(text: &[u8]) -> usize {
    text.chunks(128)
        .map(|chunk| {
            let count: u8 = chunk.iter().map(|&b| u8::from(b & 0xC0 != 0x80)).sum();
            let pairs: u8 = chunk.iter().map(|&b| u8::from(b >= 0xF0)).sum();
            count as usize + pairs as usize
        })
        .sum()
}

/// The length of the longest beginning of `text` that has at most `max` units, at
/// least one character; none if it has fewer than `max` units, or `later` no more.
fn cut(text: &str, max: usize, later: bool) -> Option<usize> {
    let mut count = 0;
    for (at, c) in text.char_indices() {
        count += c.len_utf16();
        if count > max && at > 0 {
            return Some(at);
        }
        let end = at + c.len_utf8();
        if count >= max && !(later && end == text.len()) {
            return Some(end);
        }
    }
    None
}

impl LineDecoder {
    /// Is an event as long as it may be only cut off when more of its line has come?
    fn cuts_later(&self) -> bool {
        self.config.ends == LineEnds::NewlineLater
    }

    /// The line of `block` from `split.consumed` to `limit`, which is valid UTF-8 (or
    /// ASCII in any charset), in as many events as it needs.
    pub(super) fn valid_line(
        &mut self,
        block: &[u8],
        limit: usize,
        end: End,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) {
        let max = self.config.max_line_units;
        let line = &block[split.consumed..limit];
        // Valid as the caller says; looking again costs little next to the rest.
        let Ok(mut text) = simdutf8::basic::from_utf8(line) else {
            return;
        };
        if line.len() >= max && units(line) >= max {
            while let Some(length) = cut(text, max, self.cuts_later()) {
                let (piece, rest) = text.split_at(length);
                text = rest;
                self.deliver(piece, split.consumed + length, split, emit);
                if split.stopped {
                    return;
                }
            }
        }
        self.finish(text, limit, end, split, emit);
    }

    /// The same of a line of any bytes.
    pub(super) fn slow_line(
        &mut self,
        block: &[u8],
        limit: usize,
        end: End,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> Result<(), Malformed> {
        if self.charset.is_utf8()
            && simdutf8::basic::from_utf8(&block[split.consumed..limit]).is_ok()
        {
            self.valid_line(block, limit, end, split, emit);
            return Ok(());
        }
        let line = OddLine { limit, plain: split.consumed, end };
        self.odd_line(block, line, split, emit)
    }

    /// The same of a line of which more is known.
    pub(super) fn odd_line(
        &mut self,
        block: &[u8],
        line: OddLine,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> Result<(), Malformed> {
        // Taken out for the time, so that it can be lent while `self` is changed.
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let done = self.decode_line(block, line, &mut text, split, emit);
        if let Ok(true) = done {
            self.finish(&text, line.limit, line.end, split, emit);
        }
        self.text = text;
        done.map(|_| ())
    }

    /// Decodes to `limit`, cutting where needed; `text` is then what is left of the
    /// line. False if it did not get there.
    fn decode_line(
        &mut self,
        block: &[u8],
        OddLine { limit, plain, end }: OddLine,
        text: &mut String,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> Result<bool, Malformed> {
        let max = self.config.max_line_units;
        let stop = match end {
            End::Newline(length) => limit + length,
            End::Block(_) => limit,
        };
        let (mut at, mut count, mut mode) = (split.consumed, 0, Mode::default());
        while at < limit {
            // First what needs no conversion; of so many bytes it is never too long.
            let room = max.saturating_sub(count).min(limit - at);
            let run = match &block[at..at + room] {
                room if at < plain => &room[..room.len().min(plain - at)],
                room => self.charset.plain_run(room, mode),
            };
            if let Some(run) = std::str::from_utf8(run).ok().filter(|run| !run.is_empty()) {
                text.push_str(run);
                at += run.len();
                count += units(run.as_bytes());
            } else if let (length @ 1.., more) =
                self.charset.foreign_run(&block[at..limit], room, text)
            {
                at += length;
                count += more;
            } else {
                let (c, length) = match self.charset.step(&block[at..stop], &mut mode) {
                    Step::Char(c, length) => (Some(c), length),
                    Step::Shift(length) => (None, length),
                    Step::Bad(length) => self.malformed(block, at, length.min(limit - at))?,
                    Step::Short => match end {
                        // No event ends inside a character.
                        End::Block(Tail::Open | Tail::Cut) => return Ok(false),
                        End::Block(Tail::Final(CutCharacter::Drop)) => break,
                        _ => self.malformed(block, at, limit - at)?,
                    },
                };
                if let Some(c) = c {
                    let more = c.len_utf16();
                    let over = count > 0 && count + more > max && mode == Mode::default();
                    if over && !self.cut_off(text, &mut count, at, split, emit) {
                        return Ok(false);
                    }
                    text.push(c);
                    count += more;
                }
                at += length;
            }
            let full =
                count >= max && mode == Mode::default() && !(self.cuts_later() && at == limit);
            if full && !self.cut_off(text, &mut count, at, split, emit) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes an event of `text`, which ends at `at`; false if it was to be the last.
    fn cut_off(
        &mut self,
        text: &mut String,
        count: &mut usize,
        at: usize,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) -> bool {
        self.deliver(text, at, split, emit);
        text.clear();
        *count = 0;
        !split.stopped
    }

    /// What stands for malformed bytes under the policy.
    fn malformed(
        &self,
        block: &[u8],
        offset: usize,
        length: usize,
    ) -> Result<(Option<char>, usize), Malformed> {
        match self.config.policy {
            DecodePolicy::Fail => {
                Err(Malformed { offset, bytes: block[offset..offset + length].to_vec() })
            }
            DecodePolicy::Replace => Ok((Some(char::REPLACEMENT_CHARACTER), length)),
            DecodePolicy::Ignore => Ok((None, length)),
        }
    }

    /// The last event of a line, or of what was announced of it, if that has ended.
    fn finish(
        &mut self,
        text: &str,
        limit: usize,
        end: End,
        split: &mut Split,
        emit: &mut impl FnMut(&[u8], usize) -> bool,
    ) {
        // What was cut off is none.
        let is_line = end != End::Block(Tail::Cut);
        let end = match end {
            End::Newline(length) => limit + length,
            End::Block(Tail::Open) => return,
            End::Block(Tail::Cut | Tail::Final(_)) => {
                split.consumed = limit;
                if text.is_empty() {
                    return;
                }
                limit
            }
        };
        split.lines += u64::from(is_line);
        self.deliver(text, end, split, emit);
    }
}
