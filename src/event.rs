//! The value of a record: `AvroFlumeEvent`, a map of headers and a body, in Avro binary.
//!
//! The order of the headers is that of a `java.util.HashMap` filled in the same order,
//! so that the bytes are those that Flume writes.

use std::fmt;

use crate::java::hash::string_hash;

/// Zigzag: small numbers of either sign become small unsigned ones.
const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Undoes [`zigzag`].
const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The bytes of an Avro long, at most ten (a zigzag varint; Kafka's record fields are the same).
#[inline]
pub fn each_byte_of_long(value: i64, mut put: impl FnMut(u8)) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        put(rest as u8 | 0x80);
        rest >>= 7;
    }
    put(rest as u8);
}

/// Appends an Avro long.
pub fn put_long(value: i64, out: &mut Vec<u8>) {
    each_byte_of_long(value, |byte| out.push(byte));
}

/// Takes an Avro long off the front of `bytes`; none if it is cut or longer than ten
/// bytes.
fn take_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        // The tenth byte holds the last bit.
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            *bytes = &bytes[i + 1..];
            return Some(unzigzag(value));
        }
    }
    None
}

/// The headers of an event, in the order in which a `java.util.HashMap<String, String>`
/// gives them.
///
/// One is made for each event where interceptors look at bodies, so it allocates nothing once it has
/// grown: `clone_from` another, then `insert`.
#[derive(Debug, Default)]
pub struct HeaderMap {
    /// By bucket, then by age; `hash` is the spread one.
    entries: Vec<Entry>,
    /// Buckets by which they are in order.
    buckets: usize,
    /// What keys and values are made of, and values that were replaced.
    text: String,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    /// How many entries the map had when this one came: the order within a bucket.
    age: usize,
    /// Where they are in the text, from and to.
    key: (usize, usize),
    value: (usize, usize),
}

impl Clone for HeaderMap {
    fn clone(&self) -> HeaderMap {
        let HeaderMap { entries, buckets, text } = self;
        HeaderMap { entries: entries.clone(), buckets: *buckets, text: text.clone() }
    }

    fn clone_from(&mut self, other: &HeaderMap) {
        self.entries.clone_from(&other.entries);
        self.buckets = other.buckets;
        self.text.clone_from(&other.text);
    }
}

impl PartialEq for HeaderMap {
    fn eq(&self, other: &HeaderMap) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for HeaderMap {}

/// The number of buckets of a map that has grown to `count` entries: 16 up to 12, then
/// doubled whenever the load goes over three quarters.
fn buckets(count: usize) -> usize {
    let mut buckets = 16;
    while count > buckets / 4 * 3 {
        buckets *= 2;
    }
    buckets
}

impl HeaderMap {
    /// An empty map.
    pub fn new() -> HeaderMap {
        HeaderMap::default()
    }

    /// Sets a header. One that is there keeps its place.
    pub fn insert(&mut self, key: &str, value: &str) {
        // Spread as `HashMap` does.
        let code = string_hash(key);
        let hash = code ^ code >> 16;
        let is_it = |entry: &Entry| entry.hash == hash && self.part(entry.key) == key;
        if let Some(at) = self.entries.iter().position(is_it) {
            self.replace(at, value);
            return;
        }
        let age = self.entries.iter().map(|entry| entry.age + 1).max().unwrap_or(0);
        let (key, value) = (self.append(key), self.append(value));
        let entry = Entry { hash, age, key, value };
        let buckets = buckets(self.entries.len() + 1);
        let bucket = |entry: &Entry| entry.hash as usize & (buckets - 1);
        if self.buckets == buckets {
            // The youngest is the last of its bucket.
            let at = self.entries.partition_point(|other| bucket(other) <= bucket(&entry));
            self.entries.insert(at, entry);
            return;
        }
        // Growing keeps the order within a bucket, so the order follows from the final
        // size and the ages alone.
        self.entries.push(entry);
        self.entries.sort_by_key(|entry| (bucket(entry), entry.age));
        self.buckets = buckets;
    }

    /// What was replaced is left behind, but no more of it than is in use.
    fn replace(&mut self, at: usize, value: &str) {
        let (from, to) = self.entries[at].value;
        if to == self.text.len() {
            self.text.truncate(from);
        }
        self.entries[at].value = self.append(value);
        let in_use = |entry: &Entry| entry.key.1 - entry.key.0 + entry.value.1 - entry.value.0;
        if self.text.len() > 2 * self.entries.iter().map(in_use).sum::<usize>() {
            let old = std::mem::take(&mut self.text);
            for entry in &mut self.entries {
                for part in [&mut entry.key, &mut entry.value] {
                    let from = self.text.len();
                    self.text.push_str(&old[part.0..part.1]);
                    *part = (from, self.text.len());
                }
            }
        }
    }

    fn append(&mut self, part: &str) -> (usize, usize) {
        let from = self.text.len();
        self.text.push_str(part);
        (from, self.text.len())
    }

    fn part(&self, (from, to): (usize, usize)) -> &str {
        &self.text[from..to]
    }

    /// Takes out the headers of which this is said.
    pub fn remove(&mut self, is_removed: impl Fn(&str) -> bool) {
        let text = &self.text;
        self.entries.retain(|entry| !is_removed(&text[entry.key.0..entry.key.1]));
    }

    /// The value of a header.
    pub fn get(&self, key: &str) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| self.part(entry.key) == key)?;
        Some(self.part(entry.value))
    }

    /// Keys and values in Java's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (self.part(entry.key), self.part(entry.value)))
    }

    /// Number of headers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// `{k=v, k=v}`, as Java prints a map.
impl fmt::Display for HeaderMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (key, value)) in self.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{key}={value}")?;
        }
        f.write_str("}")
    }
}

/// Appends the headers as an Avro map. An event's value is this, the length of the body
/// by [`put_long`], and the body.
pub fn avro_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    if !headers.is_empty() {
        put_long(headers.len() as i64, out);
        for (key, value) in headers.iter() {
            put_bytes(key.as_bytes(), out);
            put_bytes(value.as_bytes(), out);
        }
    }
    out.push(0);
}

/// Appends an Avro string or bytes: length and content.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// An event read back, borrowing from the record's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// In the order of the record; a key that is there twice is given twice.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The bytes of the line.
    pub body: &'a [u8],
}

/// Why a record's value is no `AvroFlumeEvent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// It ends too early, or a length or count is absurd.
    Cut,
    /// A header is not UTF-8.
    NotUtf8,
    /// A block of headers is not as long as it says.
    BlockSize,
    /// This many bytes follow the body.
    Trailing(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Cut => f.write_str("the event is cut"),
            DecodeError::NotUtf8 => f.write_str("a header is not UTF-8"),
            DecodeError::BlockSize => {
                f.write_str("a block of headers has another size than stated")
            }
            DecodeError::Trailing(count) => write!(f, "{count} bytes follow the event"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads a record's value. Headers may come in several blocks, with or without sizes.
///
/// # Errors
/// [`DecodeError`] unless the value is exactly one event.
pub fn decode(value: &[u8]) -> Result<Event<'_>, DecodeError> {
    let mut headers = Vec::new();
    let body = visit(value, &mut |key, value| headers.push((key, value)))?;
    Ok(Event { headers, body })
}

/// The same without holding the headers, of which a value may have any number: each is handed to
/// `header`, also of a value that then turns out to be no event. Returns the body.
///
/// # Errors
/// As [`decode`].
pub fn visit<'a>(
    mut value: &'a [u8],
    header: &mut dyn FnMut(&'a str, &'a str),
) -> Result<&'a [u8], DecodeError> {
    let rest = &mut value;
    loop {
        let count = take_long(rest).ok_or(DecodeError::Cut)?;
        if count == 0 {
            break;
        }
        // A negative count is followed by the size of the block in bytes.
        let size = if count < 0 { Some(take_long(rest).ok_or(DecodeError::Cut)?) } else { None };
        let before = rest.len();
        for _ in 0..count.unsigned_abs() {
            header(take_str(rest)?, take_str(rest)?);
        }
        if size.is_some_and(|size| usize::try_from(size) != Ok(before - rest.len())) {
            return Err(DecodeError::BlockSize);
        }
    }
    let body = take_bytes(rest)?;
    match rest.len() {
        0 => Ok(body),
        count => Err(DecodeError::Trailing(count)),
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = take_long(rest).ok_or(DecodeError::Cut)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::Cut)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(DecodeError::Cut)?;
    *rest = after;
    Ok(bytes)
}

fn take_str<'a>(rest: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(take_bytes(rest)?).map_err(|_| DecodeError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(key, value)| map.insert(key, value));
        let mut out = Vec::new();
        avro_headers(&map, &mut out);
        put_bytes(body.as_bytes(), &mut out);
        out
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn values_are_those_that_flume_writes() {
        assert_eq!(hex(&value(&[], "hello")), "000a68656c6c6f");
        assert_eq!(hex(&value(&[], "")), "0000");
        assert_eq!(hex(&value(&[], "中文 line\tab\u{1}\r")[..8]), "0020e4b8ade69687");
        assert_eq!(hex(&value(&[], &"x".repeat(107))[..3]), "00d601");
        assert_eq!(
            hex(&value(&[("basename", "010_2026112415.log")], "one header")),
            "0210626173656e616d65243031305f323032363131323431352e6c6f6700146f6e6520686561646572"
        );
        // The two are in one bucket: first come, first written.
        let two = value(&[("file", "f"), ("basename", "b")], "");
        assert_eq!(hex(&two), "040866696c65026610626173656e616d6502620000");
    }

    /// From a JVM: keys in the order of insertion, and in that of iteration.
    #[test]
    fn headers_are_in_the_order_of_a_java_hash_map() {
        for line in include_str!("../tests/data/java_hash_map.tsv").lines() {
            let (inserted, iterated) = line.split_once('\t').unwrap();
            let mut map = HeaderMap::new();
            inserted.split(' ').for_each(|key| map.insert(key, "v"));
            let keys: Vec<&str> = map.iter().map(|(key, _)| key).collect();
            assert_eq!(keys.join(" "), iterated, "{inserted}");
        }
    }

    #[test]
    fn inserting_again_replaces_in_place() {
        let mut map = HeaderMap::new();
        // "Aa" and "BB" have one hash.
        ["Aa", "BB", "Aa"].iter().zip(["1", "2", "3"]).for_each(|(k, v)| map.insert(k, v));
        assert_eq!(map.to_string(), "{Aa=3, BB=2}");
        assert_eq!((map.get("Aa"), map.get("x"), map.len()), (Some("3"), None, 2));
        assert_eq!(HeaderMap::new().to_string(), "{}");
    }

    #[test]
    fn what_is_replaced_again_and_again_takes_no_more_room() {
        let mut map = HeaderMap::new();
        ["offset", "line", "x"].iter().for_each(|key| map.insert(key, ""));
        for n in 0..10_000 {
            map.insert("offset", &n.to_string());
            map.insert("line", &(n * 7).to_string());
        }
        assert_eq!(map.get("offset").zip(map.get("line")), Some(("9999", "69993")));
        assert_eq!((map.get("x"), map.len()), (Some(""), 3));
        assert!(map.text.len() < 100, "{}", map.text.len());
        let mut same = HeaderMap::new();
        same.insert("old", "gone");
        same.clone_from(&map);
        assert_eq!(same, map);
    }

    #[test]
    fn longs() {
        for value in [0, -1, 1, 63, 64, -64, -65, 8191, 8192, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_long(value, &mut out);
            let mut rest = &out[..];
            assert_eq!(take_long(&mut rest), Some(value));
            assert!(rest.is_empty());
            assert_eq!(take_long(&mut &out[..out.len() - 1]), None);
        }
        assert_eq!(take_long(&mut &[0xFF; 11][..]), None);
    }

    #[test]
    fn decode_takes_what_other_avro_writers_write_and_nothing_else() {
        let bytes = value(&[("file", "f"), ("basename", "b")], "body");
        let event = decode(&bytes).unwrap();
        assert_eq!(event.headers, [("file", "f"), ("basename", "b")]);
        assert_eq!(event.body, b"body");
        // Two blocks, the first with its size.
        let blocks = b"\x01\x08\x02a\x02b\x02\x02c\x02d\x00\x02x";
        let event = decode(blocks).unwrap();
        assert_eq!((&event.headers[..], event.body), (&[("a", "b"), ("c", "d")][..], &b"x"[..]));
        assert_eq!(decode(b"\x01\x06\x02a\x02b\x00\x00"), Err(DecodeError::BlockSize));
        assert_eq!(decode(b"\x00\x02xy"), Err(DecodeError::Trailing(1)));
        assert_eq!(decode(b"\x00\x04x"), Err(DecodeError::Cut));
        assert_eq!(decode(b"\x00\x01"), Err(DecodeError::Cut));
        assert_eq!(decode(b""), Err(DecodeError::Cut));
        assert_eq!(decode(b"\x02\x02\xff\x00\x00\x00"), Err(DecodeError::NotUtf8));
        assert_eq!(decode(&[&[0xFE; 9][..], &[1, 0]].concat()), Err(DecodeError::Cut));
    }
}
