//! Text to bytes, `?` for what the charset does not have, as `String.getBytes` does.

use encoding_rs::{EncoderResult, ISO_2022_JP};

use super::tables::NONE;
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
                    let pair = if *little {
                        unit.to_le_bytes()
                    } else {
                        unit.to_be_bytes()
                    };
                    out.extend_from_slice(&pair);
                }
            }
            Form::Single(table) => each(text, out, |unit, out| {
                let at = table.0.iter().position(|&u| u == unit && u != NONE);
                out.push(at.map_or(b'?', |at| at as u8 + 0x80));
            }),
            Form::Double(pairs) | Form::EucJp(pairs) => {
                each(text, out, |unit, out| match pairs.bytes_of(unit) {
                    Some(bytes @ 0x100..) => out.extend_from_slice(&bytes.to_be_bytes()),
                    Some(byte) => out.push(byte as u8),
                    None => out.push(b'?'),
                })
            }
            Form::Gb18030(pairs) => out.extend_from_slice(&pairs.base.encode(text).0),
            Form::Iso2022Jp(_) => iso_2022_jp(text, out),
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

fn iso_2022_jp(mut text: &str, out: &mut Vec<u8>) {
    let mut encoder = ISO_2022_JP.new_encoder();
    let mut buffer = [0; 256];
    loop {
        let (result, read, written) =
            encoder.encode_from_utf8_without_replacement(text, &mut buffer, true);
        out.extend_from_slice(&buffer[..written]);
        text = &text[read..];
        match result {
            EncoderResult::InputEmpty => return,
            EncoderResult::OutputFull => {}
            // The encoder has gone back to ASCII before it reports.
            EncoderResult::Unmappable(_) => out.push(b'?'),
        }
    }
}
