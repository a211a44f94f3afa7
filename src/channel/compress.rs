//! The four codecs of Kafka, as its clients frame them. Compression runs into a reused buffer;
//! decompression is bounded, because a few bytes of garbage may claim to hold gigabytes.

use std::fmt;
use std::io::Read;

use crate::config::model::Compression;

/// Most bytes that one batch or wrapper message may unfold to. A batch is limited to
/// `message.max.bytes` (1 MB by default) as it travels; this allows for a ratio of 256.
pub const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// Uncompressed bytes of one snappy block; the size that the Java clients choose.
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;

/// What `org.xerial.snappy.SnappyOutputStream` begins with: magic, version 1, compatible with 1.
/// Every Java client and broker reads this framing, in message sets and in record batches.
const SNAPPY_MAGIC: &[u8; 16] = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01";

/// RFC 1952: deflate, no name, no time, unknown system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The number that stands in the lowest three bits of the attributes of a batch or a message.
pub fn codec_id(compression: Compression) -> i16 {
    match compression {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        Compression::Zstd => 4,
    }
}

/// Why a set of records could not be unfolded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnpackError {
    /// A codec that this build can not read.
    Codec(i16),
    /// Not what the codec would have written, or larger than [`UNPACKED_BYTES_MAX`].
    Malformed,
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnpackError::Codec(3) => f.write_str("compressed with lz4, which this build lacks"),
            UnpackError::Codec(4) => f.write_str("compressed with zstd, which this build lacks"),
            UnpackError::Codec(id) => write!(f, "compressed with unknown codec {id}"),
            UnpackError::Malformed => f.write_str("compressed data are malformed"),
        }
    }
}

/// Appends `plain`, compressed, to `out`. A compressor's state (a third of a megabyte for deflate)
/// lives as long as the call: kept in each batch it took the agent's peak from 11.7 to 12.3 MB, and
/// a line cost the same (`BENCH_ONLY=codecs make bench`).
///
/// # Panics
/// If this build can not write `compression`; see [`Compression::is_supported`].
pub fn pack(compression: Compression, plain: &[u8], out: &mut Vec<u8>) {
    match compression {
        Compression::None => out.extend_from_slice(plain),
        Compression::Gzip => gzip(plain, out),
        Compression::Snappy => snappy(plain, out),
        Compression::Lz4 => lz4(plain, out),
        Compression::Zstd => zstd(plain, out),
    }
}

fn gzip(plain: &[u8], out: &mut Vec<u8>) {
    let mut deflate = flate2::Compress::new(flate2::Compression::default(), false);
    out.extend_from_slice(&GZIP_HEAD);
    // Deflate grows incompressible data by less than a thousandth; the loop is for safety.
    out.reserve(plain.len() + plain.len() / 512 + 64);
    loop {
        let done = deflate.total_in() as usize;
        let status = deflate
            .compress_vec(&plain[done..], out, flate2::FlushCompress::Finish)
            .expect("deflate takes any input");
        if status == flate2::Status::StreamEnd {
            break;
        }
        out.reserve(4096);
    }
    out.extend_from_slice(&crc32fast::hash(plain).to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
}

fn snappy(plain: &[u8], out: &mut Vec<u8>) {
    let mut encoder = snap::raw::Encoder::new();
    out.extend_from_slice(SNAPPY_MAGIC);
    for block in plain.chunks(SNAPPY_BLOCK_BYTES) {
        let head = out.len();
        out.resize(head + 4 + snap::raw::max_compress_len(block.len()), 0);
        let packed = encoder
            .compress(block, &mut out[head + 4..])
            .expect("the buffer has the length that the encoder asks for");
        out[head..head + 4].copy_from_slice(&(packed as u32).to_be_bytes());
        out.truncate(head + 4 + packed);
    }
}

#[cfg(feature = "lz4")]
fn lz4(plain: &[u8], out: &mut Vec<u8>) {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    // Kafka's own reader, before 2.x, knows neither linked blocks nor a content checksum.
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(plain).expect("a Vec takes any write");
    encoder.finish().expect("a Vec takes any write");
}

#[cfg(not(feature = "lz4"))]
fn lz4(_: &[u8], _: &mut Vec<u8>) {
    unreachable!("refused with the configuration");
}

#[cfg(feature = "zstd")]
fn zstd(plain: &[u8], out: &mut Vec<u8>) {
    // 3 is the level of the Java producer.
    zstd::stream::copy_encode(plain, out, 3).expect("a Vec takes any write");
}

#[cfg(not(feature = "zstd"))]
fn zstd(_: &[u8], _: &mut Vec<u8>) {
    unreachable!("refused with the configuration");
}

/// Appends what `packed` unfolds to. `codec` is that of the attributes.
pub fn unpack(codec: i16, packed: &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
    match codec {
        0 => {
            out.extend_from_slice(packed);
            Ok(())
        }
        1 => read_bounded(flate2::read::MultiGzDecoder::new(packed), out),
        2 => unpack_snappy(packed, out),
        #[cfg(feature = "lz4")]
        3 => read_bounded(lz4_flex::frame::FrameDecoder::new(packed), out),
        #[cfg(feature = "zstd")]
        4 => {
            let reader = zstd::stream::Decoder::new(packed);
            read_bounded(reader.map_err(|_| UnpackError::Malformed)?, out)
        }
        other => Err(UnpackError::Codec(other)),
    }
}

fn read_bounded(reader: impl Read, out: &mut Vec<u8>) -> Result<(), UnpackError> {
    let limit = UNPACKED_BYTES_MAX as u64;
    match reader.take(limit + 1).read_to_end(out) {
        Ok(n) if n as u64 <= limit => Ok(()),
        _ => Err(UnpackError::Malformed),
    }
}

/// The framed form, or one bare block (as librdkafka and the `kafka` crate write it).
fn unpack_snappy(packed: &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
    // Readers ignore the two version numbers, as the Java one does.
    if packed.len() < 16 || packed[..8] != SNAPPY_MAGIC[..8] {
        return unpack_snappy_block(packed, out);
    }
    let mut rest = &packed[16..];
    while !rest.is_empty() {
        let (head, tail) = rest.split_first_chunk::<4>().ok_or(UnpackError::Malformed)?;
        let len = u32::from_be_bytes(*head) as usize;
        if len > tail.len() {
            return Err(UnpackError::Malformed);
        }
        unpack_snappy_block(&tail[..len], out)?;
        rest = &tail[len..];
    }
    Ok(())
}

fn unpack_snappy_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
    let len = snap::raw::decompress_len(block).map_err(|_| UnpackError::Malformed)?;
    let start = out.len();
    // Snappy's best ratio is below 32; a claim beyond it is not worth an allocation.
    if start + len > UNPACKED_BYTES_MAX || len > block.len().saturating_mul(32) {
        return Err(UnpackError::Malformed);
    }
    out.resize(start + len, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut out[start..])
        .map(drop)
        .map_err(|_| UnpackError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        let lines: Vec<u8> = (0..200_000u32).flat_map(|i| i.to_string().into_bytes()).collect();
        for compression in ALL.into_iter().filter(|c| c.is_supported()) {
            for plain in [&lines[..], b"", b"x", &[0u8; 100_000]] {
                let mut packed = b"kept".to_vec();
                pack(compression, plain, &mut packed);
                let mut back = Vec::new();
                unpack(codec_id(compression), &packed[4..], &mut back).unwrap();
                assert!(back == plain, "{compression:?} of {} bytes", plain.len());
            }
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic() {
        let mut seed = 7u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        for len in 0..300 {
            let mut garbage: Vec<u8> = (0..len).map(|_| random()).collect();
            for codec in 1..8 {
                let _ = unpack(codec, &garbage, &mut Vec::new());
            }
            let head = len.min(16);
            garbage[..head].copy_from_slice(&SNAPPY_MAGIC[..head]);
            let _ = unpack(2, &garbage, &mut Vec::new());
        }
    }
}
