//! One batch of events for one partition, encoded for the wire as the events arrive.
//!
//! On the modern wire the buffer *is* the record batch v2: 61 bytes are left free for its header,
//! each event is copied once, behind the last one, and [`Batch::seal`] fills the header in. On the
//! middle wire it is the message set, likewise (`message_set.rs`). On the legacy wire the values
//! stand end to end and the `kafka` crate makes messages of them.

use super::compress::{self, codec_id};
use super::message_set;
use super::record;
use crate::config::model::{Compression, ValueFormat};

/// Which protocol a batch is encoded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Message sets of magic 0 without identity: brokers before 0.10.
    Legacy,
    /// Message sets of magic 1, with a timestamp and without identity: Kafka 0.10, and topics that
    /// answer 43.
    Middle,
    /// Record batches v2 with producer id, epoch and sequence.
    Modern,
}

impl Wire {
    /// Does a batch bear who sent it, so that it is known in the log beyond doubt?
    pub fn has_identity(self) -> bool {
        self == Wire::Modern
    }
}

/// Producer id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub producer_id: i64,
    pub epoch: i16,
}

impl Identity {
    /// Before 0.11 there is none.
    pub const NONE: Identity = Identity { producer_id: -1, epoch: -1 };
}

/// Bytes before the first record of a record batch v2 (KIP-98).
pub const HEADER_BYTES: usize = 61;
/// Bytes of a message of magic 0 beside its value: offset 8, size 4, CRC 4, magic 1, attributes 1,
/// key length 4, value length 4.
const MESSAGE_OVERHEAD: usize = 26;

/// Where fields of a record batch v2 begin.
mod field {
    pub(super) const LENGTH: usize = 8;
    pub(super) const LEADER_EPOCH: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const CRC: usize = 17;
    pub(super) const ATTRIBUTES: usize = 21;
    pub(super) const LAST_OFFSET_DELTA: usize = 23;
    pub(super) const BASE_TIMESTAMP: usize = 27;
    pub(super) const MAX_TIMESTAMP: usize = 35;
    pub(super) const PRODUCER_ID: usize = 43;
    pub(super) const PRODUCER_EPOCH: usize = 51;
    pub(super) const BASE_SEQUENCE: usize = 53;
    pub(super) const COUNT: usize = 57;
}

/// One batch, encoded. Its buffers are kept from one use to the next: `begin` starts anew.
pub struct Batch {
    wire: Wire,
    format: ValueFormat,
    compression: Compression,
    partition: i32,
    stamp_ms: i64,
    base_sequence: i32,
    count: u32,
    /// Modern: header and records, uncompressed. Middle: the messages. Legacy: the values, end to
    /// end.
    plain: Vec<u8>,
    /// Legacy: where each value ends in `plain`.
    ends: Vec<u32>,
    /// Legacy: keys, of batches in which a record has one.
    keys: Vec<Option<Vec<u8>>>,
    /// The latest of the times that records have of their own, ms since 1970. While there is one, another
    /// stamp would move all of them.
    latest_ms: Option<i64>,
    /// Where there is a compression, header and compressed records, or the message that holds all.
    packed: Vec<u8>,
    sealed: bool,
}

/// What a record has beside its value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras<'a> {
    pub key: Option<&'a [u8]>,
    /// Its own time, ms since 1970.
    pub time_ms: Option<i64>,
    /// From Kafka 0.11 on; left out before.
    pub headers: &'a [(&'a str, &'a str)],
}

impl Extras<'_> {
    /// It has a value alone.
    fn is_empty(&self) -> bool {
        self.key.is_none() && self.time_ms.is_none() && self.headers.is_empty()
    }
}

impl Batch {
    /// An empty one; `begin` comes next.
    ///
    /// # Panics
    /// If this build cannot write `compression` (`compress::is_supported`).
    pub fn new(wire: Wire, format: ValueFormat, compression: Compression) -> Batch {
        assert!(compression.is_supported(), "{compression:?} is not in this build");
        Batch {
            wire,
            format,
            compression,
            partition: -1,
            stamp_ms: -1,
            base_sequence: -1,
            count: 0,
            plain: Vec::new(),
            ends: Vec::new(),
            keys: Vec::new(),
            latest_ms: None,
            packed: Vec::new(),
            sealed: false,
        }
    }

    /// Empties it for a new run of events of `partition`, all stamped `stamp_ms` (Unix time, ms).
    pub fn begin(&mut self, partition: i32, stamp_ms: i64) {
        self.partition = partition;
        self.stamp_ms = stamp_ms;
        self.base_sequence = -1;
        self.count = 0;
        self.plain.clear();
        if self.wire == Wire::Modern {
            self.plain.resize(HEADER_BYTES, 0);
        }
        self.ends.clear();
        self.keys.clear();
        self.latest_ms = None;
        self.packed.clear();
        self.sealed = false;
    }

    /// Appends an event: `headers` is its encoded Avro header map (`event::avro_headers`; unused
    /// where the value is the bare body).
    #[inline]
    pub fn push(&mut self, headers: &[u8], body: &[u8]) {
        debug_assert!(!self.sealed, "begin comes before the first event");
        match self.wire {
            Wire::Modern => self.push_record(headers, body),
            Wire::Middle => self.push_message(headers, body),
            Wire::Legacy => self.push_value(headers, body),
        }
        self.count += 1;
    }

    #[inline(never)]
    fn push_value(&mut self, headers: &[u8], body: &[u8]) {
        if self.format == ValueFormat::Avro {
            self.plain.extend_from_slice(headers);
            Field::varint(body.len() as u64).append_to(&mut self.plain);
        }
        self.plain.extend_from_slice(body);
        self.ends.push(self.plain.len() as u32);
    }

    /// Appends an event whose record has more than a value. All events of a batch come so, or none.
    pub fn push_with(&mut self, headers: &[u8], body: &[u8], extras: Extras<'_>) {
        debug_assert!(!self.sealed, "begin comes before the first event");
        debug_assert_eq!(
            self.keys.len(),
            if self.wire == Wire::Legacy { self.ends.len() } else { 0 }
        );
        if self.wire == Wire::Legacy {
            self.keys.push(extras.key.map(<[u8]>::to_vec));
            return self.push(headers, body);
        }
        if extras.time_ms.is_some() || self.latest_ms.is_some() {
            let time_ms = extras.time_ms.unwrap_or(self.stamp_ms);
            self.latest_ms = Some(self.latest_ms.map_or(time_ms, |latest| latest.max(time_ms)));
        }
        if self.wire == Wire::Modern && extras.is_empty() {
            return self.push(headers, body);
        }
        let length = Field::varint(body.len() as u64);
        let bytes = length.bytes.to_le_bytes();
        let parts = match self.format {
            ValueFormat::Bare => [&[], &[], body],
            ValueFormat::Avro => [headers, &bytes[..length.len as usize], body],
        };
        if self.wire == Wire::Middle {
            let time_ms = extras.time_ms.unwrap_or(self.stamp_ms);
            message_set::push_with(&mut self.plain, self.count, parts, extras.key, time_ms);
        } else {
            record::push(&mut self.plain, self.count, parts, &extras, self.stamp_ms);
        }
        self.count += 1;
    }

    #[inline(never)]
    fn push_message(&mut self, headers: &[u8], body: &[u8]) {
        match self.format {
            ValueFormat::Bare => message_set::push(&mut self.plain, self.count, [&[], &[], body]),
            ValueFormat::Avro => {
                let length = Field::varint(body.len() as u64);
                let bytes = length.bytes.to_le_bytes();
                let parts = [headers, &bytes[..length.len as usize], body];
                message_set::push(&mut self.plain, self.count, parts);
            }
        }
    }

    /// A record: length, attributes, timestamp delta, offset delta, key, value, headers; all
    /// numbers zigzag varints (KIP-98).
    #[inline(always)]
    fn push_record(&mut self, headers: &[u8], body: &[u8]) {
        let body_len = Field::varint(body.len() as u64);
        let value_len = match self.format {
            ValueFormat::Avro => headers.len() + body_len.len as usize + body.len(),
            ValueFormat::Bare => body.len(),
        };
        let offset_delta = Field::varint(self.count.into());
        let value_len_field = Field::varint(value_len as u64);
        // Attributes, timestamp delta, key length and number of headers take one byte each.
        let numbers = 4 + offset_delta.len + value_len_field.len;
        let record_len = Field::varint(value_len as u64 + u64::from(numbers));
        let out = &mut self.plain;
        out.reserve(4 * Field::BYTES_MAX + value_len + 1);
        record_len.then(0).then(0).append_to(out);
        offset_delta.then(NO_KEY).append_to(out);
        match (self.format, headers) {
            (ValueFormat::Bare, _) => value_len_field.append_to(out),
            // The empty map, as nearly always.
            (ValueFormat::Avro, [byte]) => {
                value_len_field.then(*byte).append_to(out);
                body_len.append_to(out);
            }
            (ValueFormat::Avro, _) => {
                value_len_field.append_to(out);
                out.extend_from_slice(headers);
                body_len.append_to(out);
            }
        }
        out.extend_from_slice(body);
        out.push(0);
    }

    /// Another partition than that of `begin`. No byte of it says which one that is.
    pub fn set_partition(&mut self, partition: i32) {
        self.partition = partition;
    }

    /// The wire that it is encoded for.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Events so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Encoded size so far, before compression, bytes; what the broker's `message.max.bytes`
    /// counts (before compression it counts less).
    pub fn size(&self) -> usize {
        match self.wire {
            Wire::Modern | Wire::Middle => self.plain.len(),
            Wire::Legacy => self.plain.len() + self.ends.len() * MESSAGE_OVERHEAD,
        }
    }

    /// Completes it: header, compression, checksum. Until the next `begin` it may be sent any
    /// number of times, and sealed again under another identity.
    pub fn seal(&mut self, identity: Identity, base_sequence: i32) {
        assert!(self.count > 0, "an empty batch is never sent");
        self.base_sequence = base_sequence;
        self.sealed = true;
        match self.wire {
            Wire::Modern => self.seal_records(identity, base_sequence),
            Wire::Middle => self.seal_messages(),
            Wire::Legacy => {}
        }
    }

    fn seal_messages(&mut self) {
        let count = self.count;
        let stamp_ms = self.latest_ms.unwrap_or(self.stamp_ms);
        let of_all = self.latest_ms.is_none().then_some(stamp_ms);
        message_set::seal(&mut self.plain, of_all);
        if self.compression != Compression::None {
            message_set::wrap(&mut self.packed, self.compression, &self.plain, count, stamp_ms);
        }
    }

    fn seal_records(&mut self, identity: Identity, base_sequence: i32) {
        let bytes = match self.compression {
            Compression::None => &mut self.plain,
            _ => {
                if self.packed.is_empty() {
                    self.packed.resize(HEADER_BYTES, 0);
                    compress::pack(self.compression, &self.plain[HEADER_BYTES..], &mut self.packed);
                }
                &mut self.packed
            }
        };
        let after_length = (bytes.len() - field::LEADER_EPOCH) as i32;
        let count = self.count as i32;
        let latest_ms = self.latest_ms.unwrap_or(self.stamp_ms);
        put(bytes, field::LENGTH, &after_length.to_be_bytes());
        put(bytes, field::LEADER_EPOCH, &(-1i32).to_be_bytes());
        put(bytes, field::MAGIC, &[2]);
        put(bytes, field::ATTRIBUTES, &codec_id(self.compression).to_be_bytes());
        put(bytes, field::LAST_OFFSET_DELTA, &(count - 1).to_be_bytes());
        put(bytes, field::BASE_TIMESTAMP, &self.stamp_ms.to_be_bytes());
        put(bytes, field::MAX_TIMESTAMP, &latest_ms.to_be_bytes());
        put(bytes, field::PRODUCER_ID, &identity.producer_id.to_be_bytes());
        put(bytes, field::PRODUCER_EPOCH, &identity.epoch.to_be_bytes());
        put(bytes, field::BASE_SEQUENCE, &base_sequence.to_be_bytes());
        put(bytes, field::COUNT, &count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[field::ATTRIBUTES..]);
        put(bytes, field::CRC, &crc.to_be_bytes());
    }

    /// Another timestamp than that of `begin`; `seal` comes next. No value changes. Records that have
    /// times of their own keep them.
    pub fn stamp(&mut self, stamp_ms: i64) {
        if self.latest_ms.is_none() {
            self.stamp_ms = stamp_ms;
        }
    }

    /// Have records times of their own?
    pub fn has_times(&self) -> bool {
        self.latest_ms.is_some()
    }

    /// The key of record `index` on the legacy wire.
    pub(super) fn key(&self, index: usize) -> Option<&[u8]> {
        self.keys.get(index)?.as_deref()
    }

    /// The partition given to `begin`.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// That of `seal`.
    pub fn base_sequence(&self) -> i32 {
        self.base_sequence
    }

    /// The record batch, or the message set, as it travels.
    ///
    /// # Panics
    /// If it is not sealed or is one of the legacy wire.
    pub fn sealed_bytes(&self) -> &[u8] {
        assert!(self.sealed && self.wire != Wire::Legacy);
        if self.compression == Compression::None { &self.plain } else { &self.packed }
    }

    /// The record values, in order (also after `seal`).
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = if self.wire == Wire::Modern { HEADER_BYTES } else { 0 };
        (0..self.count as usize).map(move |i| match self.wire {
            Wire::Legacy => {
                let end = self.ends[i] as usize;
                let value = &self.plain[at..end];
                at = end;
                value
            }
            Wire::Middle => message_set::next_value(&self.plain, &mut at),
            Wire::Modern => {
                let length = read_varint(&self.plain, &mut at);
                let end = at + length;
                // Behind the attributes: time, place, key.
                at += 1;
                read_varint(&self.plain, &mut at);
                read_varint(&self.plain, &mut at);
                let key_len = read_varint(&self.plain, &mut at);
                at += key_len;
                let value_len = read_varint(&self.plain, &mut at);
                let value = &self.plain[at..at + value_len];
                at = end;
                value
            }
        })
    }

    /// The key of the first record.
    pub fn first_key(&self) -> Option<&[u8]> {
        match self.wire {
            _ if self.count == 0 => None,
            Wire::Legacy => self.keys.first()?.as_deref(),
            Wire::Middle => message_set::first_key(&self.plain),
            Wire::Modern => {
                let mut at = self.first_key_at();
                let is_none = self.plain[at] & 1 == 1;
                let key = read_bytes(&self.plain, &mut at);
                (!is_none).then_some(key)
            }
        }
    }

    /// The headers of the first record; none on wires that have none.
    pub fn first_headers(&self) -> Vec<(String, String)> {
        if self.count == 0 || self.wire != Wire::Modern {
            return Vec::new();
        }
        let (plain, mut at) = (&self.plain[..], self.first_key_at());
        let (_key, _value) = (read_bytes(plain, &mut at), read_bytes(plain, &mut at));
        let text = |at: &mut usize| String::from_utf8_lossy(read_bytes(plain, at)).into_owned();
        let headers = read_varint(plain, &mut at);
        (0..headers).map(|_| (text(&mut at), text(&mut at))).collect()
    }

    /// Where the length of the first record's key stands.
    fn first_key_at(&self) -> usize {
        let mut at = HEADER_BYTES;
        read_varint(&self.plain, &mut at);
        // Attributes, time, place.
        at += 1;
        read_varint(&self.plain, &mut at);
        read_varint(&self.plain, &mut at);
        at
    }

    /// CRC-32 over the CRC-32s (each little endian) of the values, and the CRC-32 of the first
    /// value: what a log without identities is searched for. 0, 0 for an empty batch.
    pub fn content_crcs(&self) -> (u32, u32) {
        let mut all = crc32fast::Hasher::new();
        let mut first = None;
        for value in self.values() {
            let crc = crc32fast::hash(value);
            first.get_or_insert(crc);
            all.update(&crc.to_le_bytes());
        }
        first.map_or((0, 0), |first| (all.finalize(), first))
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The length of a key that is not there, -1 in zigzag.
const NO_KEY: u8 = 1;

/// A small field of a record in a register, where one in memory would cost as much as the body.
#[derive(Clone, Copy)]
struct Field {
    /// The first byte is the lowest; zero behind the last.
    bytes: u64,
    len: u32,
}

impl Field {
    const BYTES_MAX: usize = 8;

    /// A non-negative number below 2^41 in zigzag, seven bits a byte, lowest first: with two
    /// bytes of room behind it.
    fn varint(value: u64) -> Field {
        let (mut rest, mut bytes, mut shift) = (value << 1, 0, 0);
        while rest >= 0x80 {
            bytes |= (rest & 0x7F | 0x80) << shift;
            rest >>= 7;
            shift += 8;
        }
        Field { bytes: bytes | rest << shift, len: shift / 8 + 1 }
    }

    /// A byte behind it.
    fn then(self, byte: u8) -> Field {
        debug_assert!((self.len as usize) < Field::BYTES_MAX, "lengths fit into four bytes");
        Field { bytes: self.bytes | u64::from(byte) << (8 * self.len), len: self.len + 1 }
    }

    /// All of the register and back again: a copy of constant length is one move, where one of a
    /// few bytes is a call.
    fn append_to(self, out: &mut Vec<u8>) {
        let end = out.len() + self.len as usize;
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.truncate(end);
    }
}

/// Reads a zigzag varint that was written here; of a negative one only that it is skipped. (The length of
/// a key that is not there reads as 0.)
fn read_varint(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0usize, 0u32);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f).unbounded_shl(shift);
        if byte < 0x80 {
            return value >> 1;
        }
        shift += 7;
    }
}

/// Bytes behind their length.
fn read_bytes<'a>(bytes: &'a [u8], at: &mut usize) -> &'a [u8] {
    let length = read_varint(bytes, at);
    *at += length;
    &bytes[*at - length..*at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::records as kp;

    const ID: Identity = Identity { producer_id: 4711, epoch: 3 };

    fn bodies() -> Vec<Vec<u8>> {
        [0usize, 1, 62, 63, 64, 110, 8_190, 8_192, 70_000]
            .into_iter()
            .cycle()
            .take(300)
            .enumerate()
            .map(|(i, n)| (0..n).map(|k| (i + k * 7) as u8).collect())
            .collect()
    }

    fn filled(wire: Wire, format: ValueFormat, compression: Compression) -> Batch {
        let mut batch = Batch::new(wire, format, compression);
        batch.begin(2, 1_700_000_000_123);
        for body in bodies() {
            batch.push(&[0], &body);
        }
        batch.seal(ID, 99);
        batch
    }

    fn reference(values: &[Vec<u8>]) -> Vec<u8> {
        let records: Vec<kp::Record> = values
            .iter()
            .enumerate()
            .map(|(i, value)| kp::Record {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: -1,
                producer_id: ID.producer_id,
                producer_epoch: ID.epoch,
                timestamp_type: kp::TimestampType::Creation,
                offset: i as i64,
                sequence: 99 + i as i32,
                timestamp: 1_700_000_000_123,
                key: None,
                value: Some(value.clone().into()),
                headers: Default::default(),
            })
            .collect();
        let mut out = Vec::new();
        let options = kp::RecordEncodeOptions { version: 2, compression: kp::Compression::None };
        kp::RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
        out
    }

    fn avro(body: &[u8]) -> Vec<u8> {
        let mut value = vec![0];
        Field::varint(body.len() as u64).append_to(&mut value);
        value.extend_from_slice(body);
        value
    }

    #[test]
    fn bytes_are_those_of_another_encoder() {
        let values: Vec<Vec<u8>> = bodies().iter().map(|b| avro(b)).collect();
        let batch = filled(Wire::Modern, ValueFormat::Avro, Compression::None);
        assert!(batch.sealed_bytes() == reference(&values));
        assert_eq!(batch.size(), batch.sealed_bytes().len());
        let batch = filled(Wire::Modern, ValueFormat::Bare, Compression::None);
        assert!(batch.sealed_bytes() == reference(&bodies()));
    }

    #[test]
    fn a_compressed_batch_unfolds_to_the_plain_one() {
        let plain = filled(Wire::Modern, ValueFormat::Avro, Compression::None);
        for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            if !compression.is_supported() {
                continue;
            }
            let batch = filled(Wire::Modern, ValueFormat::Avro, compression);
            let bytes = batch.sealed_bytes();
            let mut back = Vec::new();
            let codec = codec_id(compression);
            super::super::compress::unpack(codec, &bytes[HEADER_BYTES..], &mut back).unwrap();
            assert!(back == plain.sealed_bytes()[HEADER_BYTES..]);
            assert_eq!(bytes[17..21], crc32c::crc32c(&bytes[21..]).to_be_bytes());
            assert_eq!(i16::from_be_bytes([bytes[21], bytes[22]]), codec);
        }
    }

    #[test]
    fn values_and_their_checksums_are_the_same_on_all_wires() {
        let values: Vec<Vec<u8>> = bodies().iter().map(|b| avro(b)).collect();
        let legacy = filled(Wire::Legacy, ValueFormat::Avro, Compression::None);
        for compression in [Compression::None, Compression::Snappy] {
            let modern = filled(Wire::Modern, ValueFormat::Avro, compression);
            assert!(modern.values().eq(values.iter().map(|v| &v[..])));
            assert_eq!(modern.content_crcs(), legacy.content_crcs());
            let middle = filled(Wire::Middle, ValueFormat::Avro, compression);
            assert!(middle.values().eq(values.iter().map(|v| &v[..])));
            assert_eq!(middle.content_crcs(), legacy.content_crcs());
        }
        assert!(legacy.values().eq(values.iter().map(|v| &v[..])));
        let bytes: usize = values.iter().map(|v| v.len() + 26).sum();
        assert_eq!(legacy.size(), bytes);
    }

    #[test]
    fn sealing_again_changes_the_identity_alone() {
        for compression in [Compression::None, Compression::Gzip] {
            let mut batch = filled(Wire::Modern, ValueFormat::Bare, compression);
            let first = batch.sealed_bytes().to_vec();
            batch.seal(Identity { producer_id: 1, epoch: 0 }, 0);
            assert!(batch.sealed_bytes() != first);
            batch.seal(ID, 99);
            assert!(batch.sealed_bytes() == first);
        }
    }
}
