//! The four codecs of Kafka, as its clients frame them. Compression runs into a reused buffer. What is
//! read unfolds a piece at a time, because a few bytes may hold gigabytes.

use std::fmt;
use std::io::{self, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::config::model::Compression;

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
    /// A codec that this build cannot read.
    Codec(i16),
    /// Not what the codec would have written, or more than is read of one batch.
    Malformed,
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnpackError::Codec(3) => f.write_str("compressed with lz4, which this build lacks"),
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
/// If this build cannot write `compression`; see [`Compression::is_supported`].
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

/// What `packed` unfolds to, to be read. `codec` is that of the attributes, `magic` that of the batch or
/// message; whatever is wrong with the data shows as an error of a read.
///
/// Memory: what a codec has to look back at. For gzip that is 32 KiB, for lz4 a block of 4 MiB at most, for
/// zstd 16 MiB at most, and for snappy a block, of at most 22 times what it takes packed.
pub fn reader<'a>(
    codec: i16,
    magic: u8,
    packed: &'a [u8],
) -> Result<Box<dyn Read + 'a>, UnpackError> {
    Ok(match (codec, magic) {
        (0, _) => Box::new(packed),
        (1, _) => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        (2, _) => Box::new(Snappy::new(packed)),
        #[cfg(feature = "lz4")]
        (3, 0) => {
            let (head, rest) = lz4_head_of_old(packed);
            Box::new(lz4_flex::frame::FrameDecoder::new(io::Cursor::new(head).chain(rest)))
        }
        #[cfg(feature = "lz4")]
        (3, _) => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
        (4, _) => Box::new(Zstd { rest: packed, frame: None, is_wide: false, bytes: 0 }),
        (other, _) => return Err(UnpackError::Codec(other)),
    })
}

/// The head of an lz4 frame in a message of magic 0, with the checksum of the standard, and what is behind it. The
/// clients of those days take that of the frame's magic number as well (KAFKA-3160), and Kafka itself does not
/// look at it there: the message has a checksum around all of it.
#[cfg(feature = "lz4")]
fn lz4_head_of_old(packed: &[u8]) -> (Vec<u8>, &[u8]) {
    const MAGIC_BYTES: usize = 4;
    let flags = packed.get(MAGIC_BYTES).copied().unwrap_or(0);
    // Two bytes, the length of the content, and the number of a dictionary.
    let length = 2 + 8 * usize::from(flags >> 3 & 1) + 4 * usize::from(flags & 1);
    let Some((head, rest)) = packed.split_at_checked(MAGIC_BYTES + length + 1) else {
        return (packed.to_vec(), &[]);
    };
    let mut head = head.to_vec();
    head[MAGIC_BYTES + length] = (xxh32(&head[MAGIC_BYTES..MAGIC_BYTES + length]) >> 8) as u8;
    (head, rest)
}

/// xxHash, 32 bits, with seed 0, of less than 16 bytes.
#[cfg(feature = "lz4")]
fn xxh32(bytes: &[u8]) -> u32 {
    const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let mut hash = PRIMES[4].wrapping_add(bytes.len() as u32);
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash = hash.wrapping_add(word.wrapping_mul(PRIMES[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in rest {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 16
}

fn malformed() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// Windows of zstd that are read whatever comes in them: those of all levels but the three highest.
const WINDOW_BYTES: u64 = 8 << 20;
/// A frame with a larger window is held in memory as far as it has come, and may unfold to so much.
const WIDE_BYTES_MAX: u64 = 16 << 20;

/// Frame by frame. The checksum that a frame may have is not looked at: the batch around it has one.
struct Zstd<'a> {
    /// Behind the frames that were begun.
    rest: &'a [u8],
    frame: Option<StreamingDecoder<&'a [u8], FrameDecoder>>,
    is_wide: bool,
    /// What the frame has unfolded to.
    bytes: u64,
}

impl Read for Zstd<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(out)?;
                self.bytes += count as u64;
                if self.is_wide && self.bytes > WIDE_BYTES_MAX {
                    return Err(malformed());
                }
                if count > 0 {
                    return Ok(count);
                }
            }
            if let Some(frame) = self.frame.take() {
                self.rest = frame.into_inner();
            }
            if self.rest.is_empty() {
                return Ok(0);
            }
            let narrow = StreamingDecoder::new_with_max_window_size(self.rest, WINDOW_BYTES);
            (self.is_wide, self.bytes) = (narrow.is_err(), 0);
            let frame = narrow.or_else(|_| StreamingDecoder::new(self.rest));
            self.frame = Some(frame.map_err(|_| malformed())?);
        }
    }
}

/// The framed form, or one bare block (as librdkafka and the `kafka` crate write it).
struct Snappy<'a> {
    rest: &'a [u8],
    is_framed: bool,
    /// The present one, unfolded, and how much of it was read.
    block: Vec<u8>,
    at: usize,
}

impl<'a> Snappy<'a> {
    fn new(packed: &'a [u8]) -> Snappy<'a> {
        // Readers ignore the two version numbers, as the Java one does.
        let is_framed = packed.len() >= 16 && packed[..8] == SNAPPY_MAGIC[..8];
        let rest = if is_framed { &packed[16..] } else { packed };
        Snappy { rest, is_framed, block: Vec::new(), at: 0 }
    }

    /// The next block, packed; `None` behind the last.
    fn next_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if !self.is_framed {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let (head, tail) = self.rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        let length = u32::from_be_bytes(*head) as usize;
        let (block, rest) = tail.split_at_checked(length).ok_or_else(malformed)?;
        self.rest = rest;
        Ok(Some(block))
    }
}

impl Read for Snappy<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            let Some(block) = self.next_block()? else { return Ok(0) };
            let length = snap::raw::decompress_len(block).map_err(|_| malformed())?;
            // 64 bytes from three is all that snappy can; a claim beyond it is not worth an allocation.
            if length > block.len().saturating_mul(22) + 64 {
                return Err(malformed());
            }
            self.at = 0;
            self.block.clear();
            self.block.resize(length, 0);
            let unfolded = snap::raw::Decoder::new().decompress(block, &mut self.block);
            unfolded.map_err(|_| malformed())?;
        }
        let count = (&self.block[self.at..]).read(out)?;
        self.at += count;
        Ok(count)
    }
}

/// Appends what `packed` unfolds to, at most 256 MiB.
#[cfg(any(test, fuzzing, debug_assertions))]
pub fn unpack(codec: i16, packed: &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
    const LIMIT: u64 = 256 << 20;
    match reader(codec, 2, packed)?.take(LIMIT + 1).read_to_end(out) {
        Ok(count) if count as u64 <= LIMIT => Ok(()),
        _ => Err(UnpackError::Malformed),
    }
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

    /// As the library of the Java producers writes it; most builds of this program only read it.
    #[test]
    fn zstd_is_read_by_every_build() {
        const PACKED: &[u8] = b"\x28\xb5\x2f\xfd\x00\x58\xfd\x0c\x00\xd6\x21\x42\x10\xb0\xa5\xd8\x8e\xe0\x92\x40\x25\x11\x65\x66\x7e\x09\x5c\x1c\x10\x41\x00\x3a\x00\x3c\x00\xdb\xb6\x4d\x44\x44\x44\x24\x22\x22\x22\x22\x42\xfe\xff\xff\xff\xaa\xaa\xaa\xaa\x2a\x22\x22\x22\x22\xa2\x99\x99\x99\x99\x19\xdb\xb6\x6d\xbb\x6d\xdb\xb6\x25\x49\x92\x24\xb7\x6d\xdb\x36\x11\x11\x11\x11\x79\xd1\xb8\x9c\x0c\x80\x41\x40\x20\xc4\x00\x18\x04\x04\x01\xb6\xdb\xb6\x6d\x5b\x92\x24\x49\x72\xdb\xb6\x6d\x13\x11\x11\x11\x11\x89\xc5\x62\xb1\x58\x2c\x16\x8b\xc5\xfe\xff\xff\xff\xaa\xaa\xaa\xaa\x2a\x22\x22\x22\x22\xa2\x99\x99\x99\x99\x19\xdb\xb6\x6d\xbb\x6d\xdb\xb6\x25\x49\x92\x24\xb7\x05\x44\x44\x44\x44\x34\x33\x33\x33\x33\x63\xdb\xb6\x6d\xb7\x6d\xdb\xb6\x24\x49\x92\xe4\xb6\x6d\xdb\x26\x22\x22\x22\x22\x12\x0c\x06\x83\xc1\x60\x30\x18\x0c\xfe\xff\xff\xff\x55\x55\x55\x55\x55\x44\x44\x44\x44\x44\x33\x33\x33\x33\x33\xb6\x6d\x3b\xc2\xff\xff\xff\xff\xaa\xaa\xaa\xaa\x2a\x22\x22\x22\x22\xa2\x99\x99\x99\x99\x19\xdb\xb6\x6d\xbb\x6d\xdb\xb6\x25\x49\x92\x24\xb7\x6d\xdb\x36\x11\x11\x11\x11\x91\x68\x34\x1a\x8d\x46\xa3\xd1\x68\xf4\xff\xff\xff\xaf\xaa\xaa\xaa\xaa\xa2\x81\xf2\xa8\x21\xec\xee\x67\xe1\x2b\xcb\x1a\x11\x28\x40\x7e\x0c\xfb\xfc\xef\x7f\xff\xf7\xbf\x7f\xd6\x15\x4d\xd3\x54\x9a\xa6\xad\x00\x82\x08\x21\x84\x10\x42\x06\x45\xa5\x69\x9a\xa6\x69\xda\x0a\x20\x88\x20\x82\x08\x21\xc4\xa0\x68\x9a\xa6\x69\x9a\xa6\x4d\x01\x84\x08\x22\x88\x20\x82\x8c\xa8\x53\x51\xc0\x65\xd5\xb2\xca\xad\xda\x56\xd1\x56\x65\xab\x62\xab\x5c\xab\x58\xab\xaa\x55\x80\x1a\xfa\xff\xff\xff\xfd\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xf7\xff\xff\xff\x7f\xff\x7f\xe9\x49\x5d\x52\x8f\xd4\x21\xf5\x47\xbd\xa3\xde\xa8\x33\xea\xd1\xa2\x2a\x39\x00\x00\x00\x00\x00\x2c\x00\x24\xe0\xaf\x02";
        let mut out = b"kept".to_vec();
        unpack(4, PACKED, &mut out).unwrap();
        let lines: Vec<u8> = (0..500u32).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
        assert_eq!(out, [b"kept", &lines[..]].concat());
        // Two frames are read one behind the other, and half a frame is none.
        let mut twice = Vec::new();
        unpack(4, &[PACKED, PACKED].concat(), &mut twice).unwrap();
        assert_eq!(twice, lines.repeat(2));
        for cut in 1..PACKED.len() {
            assert_eq!(unpack(4, &PACKED[..cut], &mut Vec::new()), Err(UnpackError::Malformed));
        }
        // Damaged, it may unfold to something else, and never to more than the limit.
        for at in 0..PACKED.len() {
            let mut bytes = PACKED.to_vec();
            bytes[at] ^= 0x55;
            let _ = unpack(4, &bytes, &mut Vec::new());
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
