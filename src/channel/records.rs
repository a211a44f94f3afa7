//! Reads what a Fetch brings: a piece of a log, made of record batches v2 and, from older times,
//! of messages of magic 0 and 1, some of them wrappers around a compressed set.
//!
//! The piece ends where the answer's size limit cut it, mostly in the middle of a batch; what is
//! not whole is left for the next fetch. Lengths are checked before they are believed.

use super::broker::OFFSET_MAX;
use super::compress::UnpackError;
use super::unfolded::Unfolded;

/// Bytes before the part that differs: offset and length.
const LOG_OVERHEAD: usize = 12;
/// CRC, magic, attributes, key length, value length of a message of magic 0.
const MESSAGE_BYTES_MIN: usize = 14;
const MAGIC_AT: usize = 16;
/// Of a record batch; a message has it at its beginning.
const CRC_AT: usize = 17;
const CODEC_MASK: i16 = 7;
const VARINT_BYTES_MAX: usize = 10;
const IS_CONTROL: i16 = 1 << 5;

/// One entry of the log: a record batch, or a message (with all that it wraps).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Offset of the first record of a batch; of a wrapper message, that of its last.
    pub base_offset: i64,
    /// Where the next entry's offsets begin at the earliest.
    pub next_offset: i64,
    /// -1 without one.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// Offsets that it covers; the number of its records when it was written.
    pub count: u32,
    magic: u8,
    attributes: i16,
    bytes: &'a [u8],
}

/// Why a log could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// Not a log, or not whole.
    Malformed,
    Unpack(UnpackError),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Malformed => f.write_str("malformed records"),
            ReadError::Unpack(why) => why.fmt(f),
        }
    }
}

/// Takes the first whole entry off `log`; `None` where none is left.
pub fn next_entry<'a>(log: &mut &'a [u8]) -> Result<Option<Entry<'a>>, ReadError> {
    if log.len() <= MAGIC_AT {
        return Ok(None);
    }
    let mut head = Reader(log);
    let base_offset = head.i64()?;
    let length = head.i32()?;
    if length < MESSAGE_BYTES_MIN as i32 {
        return Err(ReadError::Malformed);
    }
    let total = LOG_OVERHEAD + length as usize;
    // A broker that converts for an old reader fills the rest up with the head of a message at
    // offset -1 that claims two gigabytes (LazyDownConversionRecordsSend): not whole either.
    if log.len() < total {
        return Ok(None);
    }
    if !(0..=OFFSET_MAX).contains(&base_offset) {
        return Err(ReadError::Malformed);
    }
    let bytes = &log[..total];
    *log = &log[total..];
    match bytes[MAGIC_AT] {
        2 => batch_entry(base_offset, bytes).map(Some),
        magic @ (0 | 1) => Ok(Some(Entry {
            base_offset,
            next_offset: base_offset + 1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: 1,
            magic,
            attributes: i16::from(bytes[MAGIC_AT + 1]),
            bytes,
        })),
        _ => Err(ReadError::Malformed),
    }
}

/// How many bytes the first entry of `log` takes, if its length can be seen already.
pub fn first_entry_bytes(log: &[u8]) -> Option<usize> {
    let mut head = Reader(log);
    match (head.i64(), head.i32()) {
        (Ok(0..), Ok(length @ 0..)) => Some(length as usize + LOG_OVERHEAD),
        _ => None,
    }
}

fn batch_entry(base_offset: i64, bytes: &[u8]) -> Result<Entry<'_>, ReadError> {
    let mut r = Reader(bytes.get(21..).ok_or(ReadError::Malformed)?);
    let attributes = r.i16()?;
    let last_offset_delta = r.i32()?;
    r.take(16)?;
    let producer_id = r.i64()?;
    let producer_epoch = r.i16()?;
    let base_sequence = r.i32()?;
    r.i32()?;
    // Not the count of the header: compaction lowers that one, but never the offsets.
    let count = u32::try_from(last_offset_delta).map_err(|_| ReadError::Malformed)? + 1;
    Ok(Entry {
        base_offset,
        next_offset: base_offset + i64::from(count),
        producer_id,
        producer_epoch,
        base_sequence,
        count,
        magic: 2,
        attributes,
        bytes,
    })
}

/// What a record is made of. `None`: null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl Content<'_> {
    fn part(bytes: &[u8]) -> Content<'_> {
        Content { key: None, value: Some(bytes) }
    }
}

impl Entry<'_> {
    /// What it says itself that its content adds up to.
    pub fn checksum(&self) -> u32 {
        let at = if self.magic == 2 { CRC_AT } else { LOG_OVERHEAD };
        self.bytes[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// Hands each record's offset and content to `visit`, in order. `scratch` is
    /// where compressed ones are unfolded; it may be reused.
    ///
    /// Of a record that unfolds to more than [`HELD_BYTES_MAX`](super::unfolded::HELD_BYTES_MAX) its first bytes are handed over, so many,
    /// in place of the value, and no key. No event is so long, so nothing takes it for one.
    ///
    /// # Errors
    /// What comes before the fault has been handed over.
    pub fn values(
        &self,
        scratch: &mut Vec<u8>,
        visit: &mut dyn FnMut(i64, Content<'_>),
    ) -> Result<(), ReadError> {
        if self.magic == 2 { self.batch_values(scratch, visit) } else { self.set(scratch, visit) }
    }

    fn batch_values(
        &self,
        scratch: &mut Vec<u8>,
        visit: &mut dyn FnMut(i64, Content<'_>),
    ) -> Result<(), ReadError> {
        // Markers of transactions: not anybody's events.
        if self.attributes & IS_CONTROL != 0 {
            return Ok(());
        }
        let records = &self.bytes[super::batch::HEADER_BYTES..];
        let codec = self.attributes & CODEC_MASK;
        if codec != 0 {
            return self
                .unfolded_values(Unfolded::new(codec, self.magic, records, scratch)?, visit);
        }
        let mut r = Reader(records);
        while !r.0.is_empty() {
            let length = r.varint()?;
            let mut record = Reader(r.take(to_len(length)?)?);
            let offset = self.offset(&mut record)?;
            visit(offset, record_content(&mut record)?);
        }
        Ok(())
    }

    fn unfolded_values(
        &self,
        mut records: Unfolded<'_, '_>,
        visit: &mut dyn FnMut(i64, Content<'_>),
    ) -> Result<(), ReadError> {
        loop {
            let head = records.peek(VARINT_BYTES_MAX)?;
            if head.is_empty() {
                return Ok(());
            }
            let mut r = Reader(head);
            let length = to_len(r.varint()?)?;
            let head_bytes = head.len() - r.0.len();
            records.skip(head_bytes)?;
            let (bytes, is_whole) = records.take(length)?;
            let mut record = Reader(bytes);
            let offset = self.offset(&mut record)?;
            visit(
                offset,
                if is_whole { record_content(&mut record)? } else { Content::part(bytes) },
            );
            records.skip(length)?;
        }
    }

    /// The offset of a record of a batch.
    fn offset(&self, record: &mut Reader<'_>) -> Result<i64, ReadError> {
        record.take(1)?;
        record.varint()?;
        let delta = record.varint()?;
        match (0..i64::from(self.count)).contains(&delta) {
            true => Ok(self.base_offset + delta),
            false => Err(ReadError::Malformed),
        }
    }

    /// A message of magic 0 or 1, alone or with the set that it wraps.
    fn set(
        &self,
        scratch: &mut Vec<u8>,
        visit: &mut dyn FnMut(i64, Content<'_>),
    ) -> Result<(), ReadError> {
        let content = self.message_content()?;
        let codec = self.attributes & CODEC_MASK;
        if codec == 0 {
            visit(self.base_offset, content);
            return Ok(());
        }
        let packed = content.value.ok_or(ReadError::Malformed)?;
        // Magic 0 has true offsets inside; magic 1 counts from the first and the wrapper bears the
        // last (KIP-31).
        let mut shift = 0;
        if self.magic == 1 {
            let mut last = 0;
            let inner = Unfolded::new(codec, self.magic, packed, scratch)?;
            each_message(inner, &mut |offset, _| last = offset)?;
            shift = self.base_offset.saturating_sub(last);
        }
        let inner = Unfolded::new(codec, self.magic, packed, scratch)?;
        each_message(inner, &mut |offset, content| {
            visit(offset.saturating_add(shift), content);
        })
    }

    fn message_content(&self) -> Result<Content<'_>, ReadError> {
        let mut r = Reader(&self.bytes[MAGIC_AT + 2..]);
        if self.magic == 1 {
            r.i64()?;
        }
        Ok(Content { key: r.bytes()?, value: r.bytes()? })
    }
}

/// What follows the offset in a record of a batch, but for its headers.
fn record_content<'a>(record: &mut Reader<'a>) -> Result<Content<'a>, ReadError> {
    let mut next = || match record.varint()? {
        ..0 => Ok(None),
        length => record.take(to_len(length)?).map(Some),
    };
    Ok(Content { key: next()?, value: next()? })
}

/// The messages of a set that a wrapper held.
fn each_message(
    mut set: Unfolded<'_, '_>,
    visit: &mut dyn FnMut(i64, Content<'_>),
) -> Result<(), ReadError> {
    loop {
        let head = set.peek(LOG_OVERHEAD)?;
        if head.is_empty() {
            return Ok(());
        }
        let mut r = Reader(head);
        let (offset, length) = (r.i64()?, to_len(r.i32()?.into())?);
        let (bytes, is_whole) = set.take(LOG_OVERHEAD + length)?;
        if is_whole {
            let message = next_entry(&mut &bytes[..])?.ok_or(ReadError::Malformed)?;
            // A wrapper in a wrapper is what no client writes.
            if message.magic == 2 || message.attributes & CODEC_MASK != 0 {
                return Err(ReadError::Malformed);
            }
            visit(offset, message.message_content()?);
        } else if (0..=OFFSET_MAX).contains(&offset) {
            visit(offset, Content::part(bytes));
        } else {
            return Err(ReadError::Malformed);
        }
        set.skip(LOG_OVERHEAD + length)?;
    }
}

fn to_len(value: i64) -> Result<usize, ReadError> {
    usize::try_from(value).map_err(|_| ReadError::Malformed)
}

/// Takes big-endian numbers off a slice; an end too early is an error, never a panic.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], ReadError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(ReadError::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(ReadError::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn i16(&mut self) -> Result<i16, ReadError> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, ReadError> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, ReadError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Bytes behind a 32-bit length, of which -1 is null.
    pub fn bytes(&mut self) -> Result<Option<&'a [u8]>, ReadError> {
        match self.i32()? {
            -1 => Ok(None),
            n => self.take(to_len(n.into())?).map(Some),
        }
    }

    /// Text behind a 16-bit length, of which -1 is null.
    pub fn text(&mut self) -> Result<Option<&'a str>, ReadError> {
        match self.i16()? {
            -1 => Ok(None),
            n => {
                let bytes = self.take(to_len(n.into())?)?;
                std::str::from_utf8(bytes).map(Some).map_err(|_| ReadError::Malformed)
            }
        }
    }

    fn varint(&mut self) -> Result<i64, ReadError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.array::<1>()?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(ReadError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Batch;
    use super::super::batch::{Identity, Wire};
    use super::super::compress::{codec_id, pack};
    use super::super::unfolded::HELD_BYTES_MAX;
    use super::*;
    use crate::config::model::{Compression, ValueFormat};

    fn message(magic: u8, offset: i64, codec: u8, value: Option<&[u8]>) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 0, magic, codec];
        if magic == 1 {
            body.extend_from_slice(&7i64.to_be_bytes());
        }
        body.extend_from_slice(&(-1i32).to_be_bytes());
        match value {
            None => body.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(v) => {
                body.extend_from_slice(&(v.len() as i32).to_be_bytes());
                body.extend_from_slice(v);
            }
        }
        let mut out = offset.to_be_bytes().to_vec();
        out.extend_from_slice(&(body.len() as i32).to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    type Found = (i64, Option<Vec<u8>>);

    fn read(mut log: &[u8]) -> Result<Vec<Found>, ReadError> {
        let (mut found, mut scratch) = (Vec::new(), Vec::new());
        while let Some(entry) = next_entry(&mut log)? {
            entry.values(&mut scratch, &mut |offset, content| {
                found.push((offset, content.value.map(<[u8]>::to_vec)));
            })?;
        }
        Ok(found)
    }

    fn sealed(compression: Compression) -> Vec<u8> {
        let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, compression);
        batch.begin(0, 1);
        batch.push(&[], b"alpha");
        batch.push(&[], b"");
        batch.push(&[], &[b'z'; 300]);
        batch.seal(Identity { producer_id: 9, epoch: 2 }, 40);
        batch.sealed_bytes().to_vec()
    }

    #[test]
    fn batches_of_every_codec() {
        for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            if !codec.is_supported() {
                continue;
            }
            let mut log = sealed(codec);
            log[..8].copy_from_slice(&1000i64.to_be_bytes());
            let entry = next_entry(&mut &log[..]).unwrap().unwrap();
            let of = (entry.producer_id, entry.producer_epoch, entry.base_sequence, entry.count);
            assert_eq!(of, (9, 2, 40, 3));
            assert_eq!((entry.base_offset, entry.next_offset), (1000, 1003));
            let values = read(&log).unwrap();
            assert_eq!(values.len(), 3);
            assert_eq!(values[1], (1001, Some(Vec::new())));
            assert_eq!(values[2], (1002, Some(vec![b'z'; 300])));
        }
    }

    #[test]
    fn old_messages_alone_and_wrapped() {
        for magic in [0, 1] {
            let start = if magic == 0 { 6 } else { 0 };
            let inner = [message(magic, start, 0, Some(b"c")), message(magic, start + 1, 0, None)];
            for codec in [Compression::Gzip, Compression::Snappy] {
                let mut packed = Vec::new();
                pack(codec, &inner.concat(), &mut packed);
                let log = [
                    message(magic, 5, 0, Some(b"plain")),
                    message(magic, 7, codec_id(codec) as u8, Some(&packed)),
                    message(magic, 8, 0, Some(b"")),
                ];
                let expected = vec![
                    (5, Some(b"plain".to_vec())),
                    (6, Some(b"c".to_vec())),
                    (7, None),
                    (8, Some(Vec::new())),
                ];
                assert_eq!(read(&log.concat()), Ok(expected));
            }
        }
    }

    /// What `MemoryRecords` of Kafka's client 0.9.0.1 makes of two lines. The checksum of its frame's head (0x1a)
    /// takes in the frame's magic number, which is wrong (0x82 is right).
    #[cfg(feature = "lz4")]
    const OF_0_9: &[u8] =
        b"\0\0\0\0\0\0\0\x01\0\0\0\x58\x2f\xb5\x1f\xa4\0\x03\xff\xff\xff\xff\0\0\0\x4a\
          \x04\x22\x4d\x18\x60\x40\x1a\x3b\0\0\0\x16\0\x01\0\xf3\x03\x11\x0c\x94\xf8\x9c\0\0\xff\xff\xff\xff\
          \0\0\0\x03one\x1c\0\x95\x01\0\0\0\x34\x32\x74\x7d\x2e\x1d\0\xbf\x26\xe4\xb8\xad\xe6\x96\x87 two\x04\0\
          \x04Po two\0\0\0\0";

    /// It would end every look, as long as it is behind the floor.
    #[test]
    #[cfg(feature = "lz4")]
    fn lz4_of_old_java_clients_is_read() {
        const CHECKSUM_AT: usize = 32;
        let lines = ["one", "\u{4e2d}\u{6587} two two two two two two two two"];
        let found = |(offset, line): (i64, &str)| (offset, Some(line.as_bytes().to_vec()));
        let expected: Vec<Found> = (0..).zip(lines).map(found).collect();
        // Others made it right, or had their own way.
        for checksum in [OF_0_9[CHECKSUM_AT], 0x82, 0] {
            let mut log = OF_0_9.to_vec();
            log[CHECKSUM_AT] = checksum;
            assert_eq!(read(&log), Ok(expected.clone()), "{checksum}");
        }
        // Frames that end too early, with heads of every kind, are no reason to panic.
        for cut in 0..OF_0_9.len() - 26 {
            for flags in [0x60, 0x68, 0x61, 0x69] {
                let mut packed = OF_0_9[26..26 + cut].to_vec();
                packed.iter_mut().skip(4).take(1).for_each(|byte| *byte = flags);
                let _ = read(&message(0, 1, 3, Some(&packed)));
            }
        }
    }

    /// Two lines with 40 MB of nothing between them, in 40 kB: what a look may hold is bounded, and it
    /// goes on behind.
    #[test]
    fn what_unfolds_to_more_than_any_event_is_cut_off_and_takes_no_memory() {
        let large = vec![0; 40 << 20];
        let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::Gzip);
        batch.begin(0, 1);
        [&b"before"[..], &large, b"behind"].iter().for_each(|value| batch.push(&[], value));
        batch.seal(Identity::NONE, -1);
        let inner = [
            message(1, 0, 0, Some(b"before")),
            message(1, 1, 0, Some(&large)),
            message(1, 2, 0, Some(b"behind")),
        ];
        let mut packed = Vec::new();
        pack(Compression::Gzip, &inner.concat(), &mut packed);
        for log in [batch.sealed_bytes().to_vec(), message(1, 2, 1, Some(&packed))] {
            assert!(log.len() < 100_000);
            let entry = next_entry(&mut &log[..]).unwrap().unwrap();
            let (mut found, mut scratch) = (Vec::new(), Vec::new());
            let mut visit = |offset, content: Content<'_>| {
                let value = content.value.unwrap();
                found.push((offset, value.len(), value[..6].to_vec()));
            };
            entry.values(&mut scratch, &mut visit).unwrap();
            assert_eq!(
                [&found[0], &found[2]],
                [&(0, 6, b"before".to_vec()), &(2, 6, b"behind".to_vec())]
            );
            assert_eq!((found[1].0, found[1].1), (1, HELD_BYTES_MAX));
            assert!(scratch.capacity() <= 1 << 20, "{}", scratch.capacity());
        }
    }

    #[test]
    fn a_cut_log_gives_its_whole_entries() {
        let one = message(0, 0, 0, Some(b"one"));
        let log = [one.clone(), sealed(Compression::None)].concat();
        for cut in 0..log.len() {
            let values = read(&log[..cut]).unwrap();
            assert_eq!(values.len(), usize::from(cut >= one.len()));
        }
        assert_eq!(read(&log).unwrap().len(), 4);
    }

    #[test]
    fn offsets_that_no_log_has_are_refused() {
        let far = [i64::MAX, OFFSET_MAX + 1, -1];
        for base_offset in far {
            for mut log in [message(1, 0, 0, Some(b"one")), sealed(Compression::None)] {
                log[..8].copy_from_slice(&base_offset.to_be_bytes());
                assert_eq!(read(&log), Err(ReadError::Malformed), "{base_offset}");
            }
        }
        let mut log = sealed(Compression::None);
        log[..8].copy_from_slice(&OFFSET_MAX.to_be_bytes());
        assert_eq!(read(&log).unwrap()[2].0, OFFSET_MAX + 2);
        // Of the first record: length, attributes, time, and then what is added to the offset.
        let delta = &mut log[super::super::batch::HEADER_BYTES + 3];
        assert_eq!(std::mem::replace(delta, 0x7f), 0);
        assert_eq!(read(&log), Err(ReadError::Malformed));
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let log = [
            message(1, 0, 0, Some(b"one")),
            sealed(Compression::None),
            sealed(Compression::Snappy),
            sealed(Compression::Gzip),
        ]
        .concat();
        for at in 0..log.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = log.clone();
                bad[at] ^= flip;
                let _ = read(&bad);
            }
        }
    }
}
