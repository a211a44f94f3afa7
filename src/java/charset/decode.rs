//! One character at a time, with Java's idea of how long a malformed sequence is.
//!
//! A malformed sequence may reach over a newline here, as it does in Java; the splitter ends
//! it before the newline.

use encoding_rs::Encoding;

use super::tables::{NONE, Pairs};
use super::{Charset, Form};

/// The shift state of a stateful charset between two characters of a line. The default
/// is that at the start of each line, and the only one of stateless charsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mode {
    set: Set,
    /// What a shift-in goes back to.
    before: Set,
}

/// A character set of ISO-2022-JP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Set {
    #[default]
    Ascii,
    /// ASCII with a yen sign and an overline.
    Roman,
    Katakana,
    /// Two bytes of JIS X 0208.
    Kanji,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A character and the number of its bytes.
    Char(char, usize),
    /// Bytes that are no text (an escape sequence).
    Shift(usize),
    /// Malformed or unmappable bytes, which make one U+FFFD.
    Bad(usize),
    /// The bytes may be the beginning of a character.
    Short,
}

impl Charset {
    /// The longest beginning of `bytes` that is the same text in UTF-8. In UTF-16 none.
    #[inline]
    pub(crate) fn plain_run<'a>(&self, bytes: &'a [u8], mode: Mode) -> &'a [u8] {
        let length = match &self.form {
            Form::Utf8 => match simdutf8::compat::from_utf8(bytes) {
                Ok(_) => bytes.len(),
                Err(error) => error.valid_up_to(),
            },
            Form::Utf16 { .. } => 0,
            Form::Iso2022Jp(_) if mode.set != Set::Ascii => 0,
            // Stops at escapes.
            Form::Iso2022Jp(_) => Encoding::iso_2022_jp_ascii_valid_up_to(bytes),
            _ if bytes.first().is_some_and(|&first| first >= 0x80) => 0,
            _ => Encoding::ascii_valid_up_to(bytes),
        };
        &bytes[..length]
    }

    /// Appends to `text` the longest beginning of `bytes` that is well-formed, as far as
    /// it has at most `room` UTF-16 units and holds no ASCII (UTF-16: no surrogates).
    /// Gives the number of bytes and of units. What it stops at is for [`Charset::step`].
    #[inline]
    pub(crate) fn foreign_run(
        &self,
        bytes: &[u8],
        room: usize,
        text: &mut String,
    ) -> (usize, usize) {
        let mut count = 0;
        let push = |unit: u16| {
            let c = char::from_u32(unit.into())?;
            text.push(c);
            count += 1;
            Some(())
        };
        let mapped = |unit: u16| Some(unit).filter(|&unit| unit != NONE);
        // One pair of bytes, or one byte, is one unit in all of these.
        let pairs = bytes.chunks_exact(2).take(room);
        let _ = match &self.form {
            Form::Utf16 { little: true, .. } => {
                pairs.map(|p| u16::from_le_bytes([p[0], p[1]])).try_for_each(push)
            }
            Form::Utf16 { little: false, .. } => {
                pairs.map(|p| u16::from_be_bytes([p[0], p[1]])).try_for_each(push)
            }
            Form::Double(table) | Form::Gb18030(table) | Form::EucJp(table) => pairs
                .map_while(|p| if p[0] < 0x80 { None } else { mapped(table.pair(p[0], p[1])) })
                .try_for_each(push),
            Form::Single(table) => {
                let upper = |byte: u8| mapped(table.0[byte.checked_sub(0x80)? as usize]);
                let _ = bytes.iter().take(room).map_while(|&b| upper(b)).try_for_each(push);
                return (count, count);
            }
            Form::Utf8 | Form::Iso2022Jp(_) => None,
        };
        (count * 2, count)
    }

    /// Decodes the first character of `bytes`, which must not be empty.
    #[inline]
    pub(crate) fn step(&self, bytes: &[u8], mode: &mut Mode) -> Step {
        match &self.form {
            Form::Utf8 => utf8(bytes),
            Form::Utf16 { little, .. } => utf16(bytes, *little),
            Form::Single(table) => single(&table.0, bytes[0]),
            Form::Double(pairs) => double(pairs, bytes),
            Form::Gb18030(pairs) => gb18030(pairs, bytes),
            Form::EucJp(pairs) => euc_jp(pairs, bytes),
            Form::Iso2022Jp(pairs) => iso_2022_jp(pairs, bytes, mode),
        }
    }
}

/// A BMP character of a table, or malformed.
fn mapped(unit: u16, length: usize) -> Step {
    match char::from_u32(unit.into()) {
        Some(c) if unit != NONE => Step::Char(c, length),
        _ => Step::Bad(length),
    }
}

fn single(table: &[u16; 128], byte: u8) -> Step {
    if byte < 0x80 { Step::Char(byte.into(), 1) } else { mapped(table[byte as usize - 0x80], 1) }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// UTF-8 as `sun.nio.cs.UTF_8` reads it: like the WHATWG decoder, except that an
/// encoded surrogate is one malformed sequence, of three bytes (two if cut).
fn utf8(bytes: &[u8]) -> Step {
    let first = bytes[0];
    match first {
        0..=0x7F => Step::Char(first.into(), 1),
        0xC2..=0xDF => match bytes.get(1) {
            None => Step::Short,
            Some(&b) if is_continuation(b) => {
                scalar((first as u32 & 0x1F) << 6 | (b as u32 & 0x3F), 2)
            }
            Some(_) => Step::Bad(1),
        },
        0xE0..=0xEF => utf8_three(bytes),
        0xF0..=0xF4 => utf8_four(bytes),
        _ => Step::Bad(1),
    }
}

fn scalar(value: u32, length: usize) -> Step {
    // Only surrogates fail here; a sequence of that many bytes is then malformed.
    char::from_u32(value).map_or(Step::Bad(length), |c| Step::Char(c, length))
}

fn utf8_three(bytes: &[u8]) -> Step {
    let Some(&second) = bytes.get(1) else {
        return Step::Short;
    };
    if !is_continuation(second) || bytes[0] == 0xE0 && second < 0xA0 {
        return Step::Bad(1);
    }
    match bytes.get(2) {
        None => Step::Short,
        Some(&third) if is_continuation(third) => {
            let high = (bytes[0] as u32 & 0x0F) << 12 | (second as u32 & 0x3F) << 6;
            scalar(high | (third as u32 & 0x3F), 3)
        }
        Some(_) => Step::Bad(2),
    }
}

fn utf8_four(bytes: &[u8]) -> Step {
    let first = bytes[0];
    let Some(&second) = bytes.get(1) else {
        return Step::Short;
    };
    let possible = match first {
        0xF0 => (0x90..=0xBF).contains(&second),
        0xF4 => (0x80..=0x8F).contains(&second),
        _ => is_continuation(second),
    };
    match (possible, bytes.get(2), bytes.get(3)) {
        (false, ..) => Step::Bad(1),
        (true, None, _) => Step::Short,
        (true, Some(&third), _) if !is_continuation(third) => Step::Bad(2),
        (true, Some(_), None) => Step::Short,
        (true, Some(_), Some(&fourth)) if !is_continuation(fourth) => Step::Bad(3),
        (true, Some(&third), Some(&fourth)) => {
            let high = (first as u32 & 0x07) << 18 | (second as u32 & 0x3F) << 12;
            scalar(high | (third as u32 & 0x3F) << 6 | (fourth as u32 & 0x3F), 4)
        }
    }
}

fn utf16(bytes: &[u8], little: bool) -> Step {
    let unit = |at: usize| {
        let pair = [*bytes.get(at)?, *bytes.get(at + 1)?];
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let Some(first) = unit(0) else {
        return Step::Short;
    };
    match first {
        0xD800..=0xDBFF => match unit(2) {
            None => Step::Short,
            Some(second @ 0xDC00..=0xDFFF) => {
                let high = (first as u32 - 0xD800) << 10;
                scalar(0x10000 + (high | (second as u32 - 0xDC00)), 4)
            }
            Some(_) => Step::Bad(4),
        },
        0xDC00..=0xDFFF => Step::Bad(2),
        _ => scalar(first.into(), 2),
    }
}

/// `sun.nio.cs.DoubleByte`: of a pair that maps to nothing only the first byte is
/// malformed if the second may begin a character.
fn double(pairs: &Pairs, bytes: &[u8]) -> Step {
    let first = bytes[0];
    if first < 0x80 {
        return Step::Char(first.into(), 1);
    }
    let row = first as usize - 0x80;
    if pairs.single[row] != NONE {
        return mapped(pairs.single[row], 1);
    }
    let Some(&second) = bytes.get(1) else {
        return Step::Short;
    };
    let unit = pairs.pair(first, second);
    if unit != NONE {
        return mapped(unit, 2);
    }
    let begins = |b: u8| {
        b < 0x80 || pairs.lead[b as usize - 0x80] || pairs.single[b as usize - 0x80] != NONE
    };
    if pairs.lead[row] && !begins(second) { Step::Bad(2) } else { Step::Bad(1) }
}

fn gb18030(pairs: &Pairs, bytes: &[u8]) -> Step {
    let first = bytes[0];
    match first {
        0..=0x7F => return Step::Char(first.into(), 1),
        0x80 | 0xFF => return Step::Bad(1),
        _ => {}
    }
    match bytes.get(1) {
        None => Step::Short,
        Some(0..=0x2F) => Step::Bad(1),
        Some(0x30..=0x39) => match (bytes.get(2), bytes.get(3)) {
            (Some(0x81..=0xFE), Some(0x30..=0x39)) => by_base(pairs, &bytes[..4]),
            (Some(0x81..=0xFE), Some(_)) => Step::Bad(4),
            (Some(0x81..=0xFE), None) | (None, _) => Step::Short,
            _ => Step::Bad(3),
        },
        Some(&second) => mapped(pairs.pair(first, second), 2),
    }
}

/// A longer sequence, looked up in the base encoding.
fn by_base(pairs: &Pairs, bytes: &[u8]) -> Step {
    let text = pairs.base.decode_without_bom_handling_and_without_replacement(bytes);
    let mut chars = text.iter().flat_map(|text| text.chars());
    match (chars.next(), chars.next()) {
        (Some(c), None) => Step::Char(c, bytes.len()),
        _ => Step::Bad(bytes.len()),
    }
}

fn euc_jp(pairs: &Pairs, bytes: &[u8]) -> Step {
    match *bytes {
        [first @ ..0x80, ..] => Step::Char(first.into(), 1),
        [0x8F, second, third, ..] => by_base(pairs, &[0x8F, second, third]),
        [0x8F, ..] => Step::Short,
        [first, second, ..] => mapped(pairs.pair(first, second), 2),
        _ => Step::Short,
    }
}

fn iso_2022_jp(pairs: &Pairs, bytes: &[u8], mode: &mut Mode) -> Step {
    let first = bytes[0];
    match (first, mode.set) {
        (0x80.., _) => return Step::Bad(1),
        (0x1B, _) => return escape(bytes, mode),
        (0x0E, _) => {
            *mode = Mode { set: Set::Katakana, before: mode.set };
            return Step::Shift(1);
        }
        (0x0F, _) => {
            mode.set = mode.before;
            return Step::Shift(1);
        }
        _ => {}
    }
    match (mode.set, first, bytes.get(1)) {
        (Set::Roman, b'\\', _) => Step::Char('\u{A5}', 1),
        (Set::Roman, b'~', _) => Step::Char('\u{203E}', 1),
        (Set::Ascii | Set::Roman, ..) => Step::Char(first.into(), 1),
        (Set::Katakana, ..=0x5F, _) => mapped(0xFF40 + u16::from(first), 1),
        (Set::Katakana, ..) => Step::Bad(1),
        (Set::Kanji, _, None) => Step::Short,
        (Set::Kanji, _, Some(0x80..)) => Step::Bad(2),
        (Set::Kanji, _, Some(&second)) => mapped(pairs.pair(first | 0x80, second | 0x80), 2),
    }
}

fn escape(bytes: &[u8], mode: &mut Mode) -> Step {
    mode.set = match bytes {
        [_, b'(', b'B', ..] => Set::Ascii,
        [_, b'(', b'J', ..] => Set::Roman,
        [_, b'(', b'I', ..] => Set::Katakana,
        [_, b'$', b'@' | b'B', ..] => Set::Kanji,
        [_] | [_, _] => return Step::Short,
        [_, b'(' | b'$', ..] => return Step::Bad(3),
        _ => return Step::Bad(2),
    };
    Step::Shift(3)
}
