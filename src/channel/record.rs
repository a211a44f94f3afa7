//! A record of a record batch v2 that has more than a value: a key, a time of its own, headers.
//!
//! Records that have a value alone are written by `batch.rs`, where every nanosecond counts.

use super::batch::Extras;
use crate::event::each_byte_of_long;

/// A record without a key.
const NO_KEY: i64 = -1;

/// Appends record number `index` with a value made of `parts`, in a batch stamped `stamp_ms`.
///
/// Its length stands before it: all is measured first, then written where it stays.
pub(super) fn push(
    out: &mut Vec<u8>,
    index: u32,
    parts: [&[u8]; 3],
    extras: &Extras<'_>,
    stamp_ms: i64,
) {
    let time_ms = extras.time_ms.unwrap_or(stamp_ms).wrapping_sub(stamp_ms);
    let key = extras.key.unwrap_or_default();
    let key_bytes = extras.key.map_or(NO_KEY, |key| key.len() as i64);
    let value_bytes = parts.iter().map(|part| part.len()).sum::<usize>();
    let of_headers: usize = extras.headers.iter().map(|(name, value)| of(name) + of(value)).sum();
    // No attribute has a meaning yet, so that it is one byte.
    let fixed = Numbers::of([0, time_ms, index.into(), key_bytes]);
    let value_length = Numbers::of([value_bytes as i64]);
    let header_count = Numbers::of([extras.headers.len() as i64]);
    let numbers = fixed.len + value_length.len + header_count.len;
    let length = numbers + key.len() + value_bytes + of_headers;
    Numbers::of([length as i64]).append_to(out);
    fixed.append_to(out);
    out.extend_from_slice(key);
    value_length.append_to(out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    header_count.append_to(out);
    for part in extras.headers.iter().flat_map(|(name, value)| [name, value]) {
        Numbers::of([part.len() as i64]).append_to(out);
        out.extend_from_slice(part.as_bytes());
    }
}

/// Bytes of a text behind its length.
fn of(text: &str) -> usize {
    Numbers::of([text.len() as i64]).len + text.len()
}

/// Numbers one behind the other.
struct Numbers {
    bytes: [u8; Numbers::BYTES_MAX],
    len: usize,
}

impl Numbers {
    /// Four of ten bytes each.
    const BYTES_MAX: usize = 40;

    fn of<const COUNT: usize>(numbers: [i64; COUNT]) -> Numbers {
        const { assert!(10 * COUNT <= Numbers::BYTES_MAX) };
        let (mut bytes, mut len) = ([0; Numbers::BYTES_MAX], 0);
        for number in numbers {
            each_byte_of_long(number, |byte| {
                bytes[len] = byte;
                len += 1;
            });
        }
        Numbers { bytes, len }
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len]);
    }
}
