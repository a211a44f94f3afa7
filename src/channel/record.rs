//! A record of a record batch v2 that has more than a value: a key, a time of its own, headers.
//!
//! Records that have a value alone are written by `batch.rs`, where every nanosecond counts.

use super::batch::Extras;
use crate::event::{put_bytes, put_long};

/// Appends record number `index` with a value made of `parts`, in a batch stamped `stamp_ms`.
pub(super) fn push(
    out: &mut Vec<u8>,
    index: u32,
    parts: [&[u8]; 3],
    extras: &Extras<'_>,
    stamp_ms: i64,
) {
    let begin = out.len();
    // No attribute has a meaning yet.
    out.push(0);
    let time_ms = extras.time_ms.unwrap_or(stamp_ms);
    put_long(time_ms.wrapping_sub(stamp_ms), out);
    put_long(index.into(), out);
    match extras.key {
        Some(key) => put_bytes(key, out),
        None => put_long(-1, out),
    }
    put_long(parts.iter().map(|part| part.len()).sum::<usize>() as i64, out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    put_long(extras.headers.len() as i64, out);
    for (name, value) in extras.headers {
        put_bytes(name.as_bytes(), out);
        put_bytes(value.as_bytes(), out);
    }
    // Its length stands before it, and is known now: a few bytes are moved.
    let length = out.len() - begin;
    put_long(length as i64, out);
    let field = out.len() - begin - length;
    out[begin..].rotate_right(field);
}
