//! Message sets of magic 1 (KIP-31, KIP-32), as Kafka 0.10 keeps them: each message with a time
//! stamp and a checksum of its own, without a producer's identity. What a broker gave us is read by
//! `records.rs`.
//!
//! Offsets count from 0 in each set: a broker puts the true ones in their place, in a compressed set
//! without unfolding it, as long as they are those.

use super::compress::{self, codec_id};
use crate::config::model::Compression;

/// Bytes of a message beside its value.
pub(super) const OVERHEAD: usize = 34;

/// Where the fields of a message begin.
mod field {
    pub(super) const SIZE: usize = 8;
    pub(super) const CRC: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const STAMP: usize = 18;
    pub(super) const KEY_LENGTH: usize = 26;
    pub(super) const VALUE_LENGTH: usize = 30;
}

/// What a message's value is made of, one behind the other.
pub(super) type Parts<'a> = [&'a [u8]; 3];

/// Appends message number `index` with a value made of `parts`. Stamp and checksum are those of
/// [`seal`].
pub(super) fn push(out: &mut Vec<u8>, index: u32, parts: Parts<'_>) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend_from_slice(&head(index, 0, length));
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// The same of a message with a time, ms since 1970, and perhaps a key.
pub(super) fn push_with(
    out: &mut Vec<u8>,
    index: u32,
    parts: Parts<'_>,
    key: Option<&[u8]>,
    time_ms: i64,
) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let key_bytes = key.map_or(0, <[u8]>::len);
    let mut head = head(index, 0, length);
    let size = (OVERHEAD - field::CRC + key_bytes + length) as u32;
    head[field::SIZE..field::CRC].copy_from_slice(&size.to_be_bytes());
    head[field::STAMP..field::KEY_LENGTH].copy_from_slice(&time_ms.to_be_bytes());
    let key_length = key.map_or(-1, |key| key.len() as i32);
    head[field::KEY_LENGTH..field::VALUE_LENGTH].copy_from_slice(&key_length.to_be_bytes());
    out.extend_from_slice(&head[..field::VALUE_LENGTH]);
    out.extend_from_slice(key.unwrap_or_default());
    out.extend_from_slice(&head[field::VALUE_LENGTH..]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// All of a message before its value: no key, no stamp and no checksum yet.
fn head(index: u32, attributes: u8, length: usize) -> [u8; OVERHEAD] {
    let mut head = [0; OVERHEAD];
    let size = (OVERHEAD - field::CRC + length) as u32;
    head[..field::SIZE].copy_from_slice(&u64::from(index).to_be_bytes());
    head[field::SIZE..field::CRC].copy_from_slice(&size.to_be_bytes());
    head[field::MAGIC] = 1;
    head[field::MAGIC + 1] = attributes;
    head[field::KEY_LENGTH..field::VALUE_LENGTH].copy_from_slice(&(-1i32).to_be_bytes());
    head[field::VALUE_LENGTH..].copy_from_slice(&(length as u32).to_be_bytes());
    head
}

/// Stamps all messages of a set with `stamp_ms` (Unix time, ms), if they have no times of their own, and
/// computes their checksums.
pub(super) fn seal(set: &mut [u8], stamp_ms: Option<i64>) {
    let mut rest = set;
    while !rest.is_empty() {
        let (message, behind) = rest.split_at_mut(message_bytes(rest));
        seal_one(message, stamp_ms);
        rest = behind;
    }
}

fn seal_one(message: &mut [u8], stamp_ms: Option<i64>) {
    if let Some(stamp_ms) = stamp_ms {
        message[field::STAMP..field::KEY_LENGTH].copy_from_slice(&stamp_ms.to_be_bytes());
    }
    let crc = crc32fast::hash(&message[field::MAGIC..]);
    message[field::CRC..field::MAGIC].copy_from_slice(&crc.to_be_bytes());
}

/// Makes `out` one message that holds `set`, which is sealed and has `count` messages, compressed.
/// It bears the offset of its last message and the latest stamp in it.
pub(super) fn wrap(
    out: &mut Vec<u8>,
    compression: Compression,
    set: &[u8],
    count: u32,
    stamp_ms: i64,
) {
    out.clear();
    out.resize(OVERHEAD, 0);
    compress::pack(compression, set, out);
    let length = out.len() - OVERHEAD;
    let codec = codec_id(compression) as u8;
    out[..OVERHEAD].copy_from_slice(&head(count - 1, codec, length));
    seal_one(out, Some(stamp_ms));
}

/// Of the first message of a set that this module wrote.
fn message_bytes(set: &[u8]) -> usize {
    field::CRC + number(set, field::SIZE)
}

fn number(set: &[u8], at: usize) -> usize {
    u32::from_be_bytes(std::array::from_fn(|i| set[at + i])) as usize
}

/// The key of the first message of a set that this module wrote.
pub(super) fn first_key(set: &[u8]) -> Option<&[u8]> {
    let bytes = usize::try_from(number(set, field::KEY_LENGTH) as u32 as i32).ok()?;
    set.get(field::KEY_LENGTH + 4..field::KEY_LENGTH + 4 + bytes)
}

/// The value of the message at `at` of a set that this module wrote; moves `at` behind it.
pub(super) fn next_value<'a>(set: &'a [u8], at: &mut usize) -> &'a [u8] {
    let key_bytes = match number(set, *at + field::KEY_LENGTH) as u32 as i32 {
        ..0 => 0,
        bytes => bytes as usize,
    };
    let start = *at + OVERHEAD + key_bytes;
    *at = start + number(set, start - 4);
    &set[start..*at]
}

#[cfg(test)]
mod tests {
    use super::super::batch::{Batch, Identity, Wire};
    use super::super::records::{Content, next_entry};
    use crate::config::model::{Compression, ValueFormat};

    /// What stood in the log of a broker 0.10.2.0 after `kafka.tools.ConsoleProducer` of the same
    /// release had sent two lines: uncompressed, by gzip, by snappy, by lz4.
    const KEPT: [(Compression, &str); 4] = [
        (
            Compression::None,
            "0000000000000000000000198f68a2ef0100000001a2235fae97ffffffff000000036f6e65\
             00000000000000010000003ce3342ab40100000001a2235faee7ffffffff00000026\
             e4b8ade696872074776f2074776f2074776f2074776f2074776f2074776f2074776f2074776f",
        ),
        (
            Compression::Gzip,
            "000000000000000100000060fb71460d0101000001a2235fae35ffffffff0000004a\
             1f8b08000000000000ff63608003c982d0670b18810cc645caf16b6ffc07022087393f2f15aa0024\
             67e3a6597f0da6689d295491da931d6b9f4d6b572829cfc78701d7fcae986d000000",
        ),
        (
            Compression::Snappy,
            "00000000000000010000006cade08edd0102000001a2235fb11cffffffff00000056\
             82534e41505059000000000100000001000000426d000019016419c48345040100000001a2235fb0\
             9bffffffff000000036f6e650d24011c103c7b2656c40109012504b11c0d252826e4b8ade6968720\
             74776f6e0400",
        ),
        (
            Compression::Lz4,
            "00000000000000010000006f7f597a820103000001a2235fb0bfffffffff00000059\
             04224d186040824a00000016000100f30b193745e9600100000001a2235fafacffffffff00000003\
             6f6e652400001c00503c6d0bbb74090000250023b0bf2500bf26e4b8ade696872074776f04000450\
             6f2074776f00000000",
        ),
    ];
    const LINES: [&str; 2] = ["one", "\u{4e2d}\u{6587} two two two two two two two two"];

    fn bytes_of(hex: &str) -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
        (0..hex.len()).step_by(2).map(pair).collect()
    }

    fn filled(compression: Compression, stamp_ms: i64) -> Batch {
        let mut batch = Batch::new(Wire::Middle, ValueFormat::Bare, compression);
        batch.begin(0, stamp_ms);
        LINES.iter().for_each(|line| batch.push(&[], line.as_bytes()));
        batch.seal(Identity::NONE, -1);
        batch
    }

    fn read(mut set: &[u8]) -> Vec<(i64, String)> {
        let (mut read, mut scratch) = (Vec::new(), Vec::new());
        while let Some(entry) = next_entry(&mut set).expect("a message set") {
            let mut visit = |offset, content: Content<'_>| {
                let value = content.value.expect("no null");
                let text = String::from_utf8_lossy(value).into_owned();
                read.push((offset, text));
            };
            entry.values(&mut scratch, &mut visit).expect("values");
        }
        assert!(set.is_empty());
        read
    }

    fn codecs() -> impl Iterator<Item = (Compression, Vec<u8>)> {
        let is_supported = |(codec, _): &(Compression, &str)| codec.is_supported();
        KEPT.into_iter().filter(is_supported).map(|(codec, hex)| (codec, bytes_of(hex)))
    }

    #[test]
    fn what_a_broker_0_10_kept_is_read() {
        let lines = [(0, LINES[0].to_owned()), (1, LINES[1].to_owned())];
        for (codec, kept) in codecs() {
            assert_eq!(read(&kept), lines, "{codec:?}");
        }
    }

    #[test]
    fn bytes_are_those_of_the_java_producer() {
        let kept = bytes_of(KEPT[0].1);
        let (first, second) = kept.split_at(37);
        // Each line had a stamp of its own.
        let ours = filled(Compression::None, 0x01a2_235f_ae97).sealed_bytes().to_vec();
        assert_eq!(ours[..37], *first);
        let mut batch = filled(Compression::None, 0);
        batch.stamp(0x01a2_235f_aee7);
        batch.seal(Identity::NONE, -1);
        assert_eq!(batch.sealed_bytes()[37..], *second);
        assert_eq!(batch.size(), kept.len());
    }

    #[test]
    fn a_compressed_set_is_framed_as_the_java_producer_does_it() {
        let stamp_ms = 0x01a2_235f_ae35;
        let plain = filled(Compression::None, stamp_ms).sealed_bytes().to_vec();
        for (codec, kept) in codecs().filter(|(codec, _)| *codec != Compression::None) {
            let batch = filled(codec, stamp_ms);
            let ours = batch.sealed_bytes();
            assert_eq!(read(ours), read(&kept), "{codec:?}");
            // Offset of the last message; magic and codec; no key; the head of the frame (of an
            // lz4 frame with its checksum, which magic 0 has computed wrongly).
            let head = if codec == Compression::Lz4 { 41 } else { 44 };
            assert_eq!(ours[..8], kept[..8], "{codec:?}");
            assert_eq!(ours[16..18], kept[16..18], "{codec:?}");
            assert_eq!(ours[26..30], kept[26..30], "{codec:?}");
            assert_eq!(ours[34..head], kept[34..head], "{codec:?}");
            assert_eq!(ours[18..26], stamp_ms.to_be_bytes());
            assert_eq!(ours[12..16], crc32fast::hash(&ours[16..]).to_be_bytes());
            assert_eq!(ours[8..12], (ours.len() as u32 - 12).to_be_bytes());
            let mut inner = Vec::new();
            let id = super::codec_id(codec);
            super::super::compress::unpack(id, &ours[34..], &mut inner).expect("what we packed");
            assert!(inner == plain, "{codec:?}");
        }
    }

    #[test]
    fn another_stamp_reaches_every_message_of_a_compressed_set() {
        let mut batch = filled(Compression::Snappy, 1);
        batch.stamp(2);
        batch.seal(Identity::NONE, -1);
        assert!(batch.sealed_bytes() == filled(Compression::Snappy, 2).sealed_bytes());
    }
}
