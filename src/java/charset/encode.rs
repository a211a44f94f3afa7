//! Text to bytes, `?` for what the charset does not have, as `String.getBytes` does.

use super::tables::{NONE, Pairs};
use super::{Charset, Form};

impl Charset {
    /// Appends `text` in this charset to `out`; unmappable characters become `?`.
    /// `UTF-16` and `x-UTF-16LE-BOM` begin a text that is not empty with a byte order
    /// mark, as Java does.
    pub fn encode(&self, text: &str, out: &mut Vec<u8>) {
        match &self.form {
            Form::Utf8 => out.extend_from_slice(text.as_bytes()),
            Form::Utf16 { little, by_mark } => {
                let mark = (*by_mark && !text.is_empty()).then_some(0xFEFF);
                for unit in mark.into_iter().chain(text.encode_utf16()) {
                    let pair = if *little { unit.to_le_bytes() } else { unit.to_be_bytes() };
                    out.extend_from_slice(&pair);
                }
            }
            Form::Single(table) => each(text, out, |unit, out| {
                let at = table.0.iter().position(|&u| u == unit && u != NONE);
                out.push(at.map_or(b'?', |at| at as u8 + 0x80));
            }),
            Form::Double(pairs) | Form::EucJp(pairs) => each(text, out, |unit, out| {
                let bytes = pairs.bytes_of(unit).or_else(|| best_fit(self.name, unit));
                put_pair(bytes.unwrap_or(b'?'.into()), out);
            }),
            Form::Gb18030(pairs) => gb18030(pairs, text, out),
            Form::Iso2022Jp(pairs) => iso_2022_jp(pairs, text, out),
        }
    }
}

/// ASCII as it is, other BMP characters through `put`, the rest `?`.
fn each(text: &str, out: &mut Vec<u8>, put: impl Fn(u16, &mut Vec<u8>)) {
    for c in text.chars() {
        match u16::try_from(u32::from(c)) {
            Ok(unit) if unit < 0x80 => out.push(unit as u8),
            Ok(unit) => put(unit, out),
            Err(_) => out.push(b'?'),
        }
    }
}

/// A byte or a pair.
fn put_pair(bytes: u16, out: &mut Vec<u8>) {
    match bytes.to_be_bytes() {
        [0, byte] => out.push(byte),
        pair => out.extend_from_slice(&pair),
    }
}

/// Characters that Java encodes as others which look like them.
fn best_fit(charset: &str, unit: u16) -> Option<u16> {
    const WINDOWS_31J: [(u16, u16); 10] = [
        (0xA2, 0x8191),
        (0xA3, 0x8192),
        (0xAB, 0x81E1),
        (0xAC, 0x81CA),
        (0xAF, 0x8150),
        (0xB5, 0x83CA),
        (0xB7, 0x8145),
        (0xB8, 0x8143),
        (0xBB, 0x81E2),
        (0x3094, 0x8394),
    ];
    match (charset, unit) {
        ("Shift_JIS" | "windows-31j" | "EUC-JP", 0xA5) => Some(b'\\'.into()),
        ("Shift_JIS" | "windows-31j" | "EUC-JP", 0x203E) => Some(b'~'.into()),
        ("windows-31j", _) => WINDOWS_31J.iter().find(|fit| fit.0 == unit).map(|fit| fit.1),
        _ => None,
    }
}

/// Every character has two or four bytes.
fn gb18030(pairs: &Pairs, text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        let pair = u16::try_from(u32::from(c)).ok().and_then(|unit| pairs.bytes_of(unit));
        match pair {
            _ if c.is_ascii() => out.push(c as u8),
            Some(pair) => put_pair(pair, out),
            None => out.extend_from_slice(&pairs.base.encode(c.encode_utf8(&mut [0; 4])).0),
        }
    }
}

/// With the escapes of Java, which writes 21 29 (a wide question mark) for what is
/// unmappable.
fn iso_2022_jp(pairs: &Pairs, text: &str, out: &mut Vec<u8>) {
    const ASCII: &[u8] = b"\x1B(B";
    let mut set = ASCII;
    for c in text.chars() {
        let pair = u16::try_from(u32::from(c)).ok().and_then(|unit| pairs.bytes_of(unit));
        let (next, bytes): (&[u8], u16) = match (c, pair) {
            ('\0'..='\x7F', _) => (ASCII, c as u16),
            ('\u{A5}', _) => (b"\x1B(J", b'\\'.into()),
            ('\u{203E}', _) => (b"\x1B(J", b'~'.into()),
            ('\u{FF61}'..='\u{FF9F}', _) => (b"\x1B(I", (c as u32 - 0xFF40) as u16),
            (_, Some(pair @ 0xA1A1..)) => (b"\x1B$B", pair & 0x7F7F),
            _ => (b"\x1B$B", 0x2129),
        };
        if next != set {
            out.extend_from_slice(next);
            set = next;
        }
        put_pair(bytes, out);
    }
    if set != ASCII {
        out.extend_from_slice(ASCII);
    }
}
