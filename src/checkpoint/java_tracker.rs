//! The tracker file of the Java agent: where it stood in the one file that it was tailing.
//!
//! An Avro object container file: a header whose metadata name the tracked file, and a block for
//! each commit, each with the offset of the first byte that is not safely in the channel. The
//! last whole block wins. The Java agent appends without fsync, so the end may be cut, or be
//! anything; what is not a whole block is skipped.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::os;

/// Name of the file in the tracker directory.
pub(crate) const FILE_NAME: &str = ".flumespooltailfile-main.meta";
/// The same of Flume's `spooldir` source.
pub(crate) const SPOOL_FILE_NAME: &str = ".flumespool-main.meta";

/// No tracker is larger: one commit takes some 20 bytes, and every file starts a new one.
const TRACKER_BYTES_MAX: u64 = 256 * 1024 * 1024;

const MAGIC: &[u8] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
const KEY_SCHEMA: &[u8] = b"avro.schema";
const KEY_CODEC: &[u8] = b"avro.codec";
const KEY_FILE: &[u8] = b"file";

/// What a tracker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JavaTracker {
    /// Path of the tracked file as the Java agent built it: see [`tracked_path`].
    pub file: Vec<u8>,
    /// Bytes of it that are safely in the channel.
    pub offset: u64,
    /// Bytes of the tracker that are no whole block: a cut last one, or damage.
    pub skipped_bytes: u64,
}

/// What was found in place of a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JavaState {
    /// There is no such file.
    Absent,
    Found(JavaTracker),
    /// It tells neither file nor position, for this reason. The Java agent would fail on it.
    Unusable(String),
}

/// A tracker that may well be good but cannot be read.
#[derive(Debug)]
pub(crate) enum JavaTrackerError {
    Io { path: PathBuf, error: io::Error },
    Codec { path: PathBuf, codec: String },
    TooLarge { path: PathBuf, bytes: u64 },
}

impl fmt::Display for JavaTrackerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JavaTrackerError::Io { path, error } => write!(
                f,
                "{}: the tracker of the Java agent cannot be read or written: {error}; make it \
                 accessible, or remove it to begin without its position",
                path.display()
            ),
            JavaTrackerError::Codec { path, codec } => write!(
                f,
                "{}: the tracker is compressed with '{codec}', which the Java agent never does; \
                 write it again without a codec, or remove it to begin without its position",
                path.display()
            ),
            JavaTrackerError::TooLarge { path, bytes } => write!(
                f,
                "{}: {bytes} bytes are too many for a tracker ({TRACKER_BYTES_MAX} is the limit); \
                 remove it to begin without its position",
                path.display()
            ),
        }
    }
}

impl std::error::Error for JavaTrackerError {}

/// The path that a tracker holds for the file `name` below `spool_dir` as configured: relative
/// stays relative, doubled and trailing slashes go.
pub(crate) fn tracked_path(spool_dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(spool_dir.len() + 1 + name.len());
    for &byte in spool_dir.iter().chain(b"/") {
        if byte != b'/' || path.last() != Some(&b'/') {
            path.push(byte);
        }
    }
    path.extend_from_slice(name);
    path
}

/// Reads the tracker at `path`.
pub(crate) fn read_java_tracker(path: &Path) -> Result<JavaState, JavaTrackerError> {
    let failed = |error| JavaTrackerError::Io { path: path.to_owned(), error };
    let file = match os::read_own(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(JavaState::Absent),
        Err(e) => return Err(failed(e)),
        Ok(file) => file,
    };
    let len = file.metadata().map_err(failed)?.len();
    if len > TRACKER_BYTES_MAX {
        return Err(JavaTrackerError::TooLarge { path: path.into(), bytes: len });
    }
    let mut bytes = Vec::new();
    file.take(TRACKER_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    match parse(&bytes) {
        Ok(tracker) => Ok(JavaState::Found(tracker)),
        Err(Fault::Reason(reason)) => Ok(JavaState::Unusable(reason)),
        Err(Fault::Codec(codec)) => {
            Err(JavaTrackerError::Codec { path: path.to_owned(), codec: codec.to_string() })
        }
    }
}

enum Fault {
    Reason(String),
    Codec(String),
}

fn fault<T>(reason: &str) -> Result<T, Fault> {
    Err(Fault::Reason(reason.to_owned()))
}

fn parse(bytes: &[u8]) -> Result<JavaTracker, Fault> {
    if bytes.is_empty() {
        return fault("it is empty, as a power cut leaves it");
    }
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return fault("it is not an Avro file");
    };
    let mut input = Input { bytes: rest };
    let Some(header) = input.header() else {
        return fault("its header is cut or damaged");
    };
    match header.codec {
        None | Some(b"" | b"null") => {}
        Some(codec) => return Err(Fault::Codec(String::from_utf8_lossy(codec).into_owned())),
    }
    let schema = String::from_utf8_lossy(header.schema);
    if !schema.contains("\"offset\"") || !schema.contains("\"long\"") {
        return fault("its schema has no offset");
    }
    if header.file.is_empty() {
        return fault("its header names no file");
    }
    let (offset, skipped_bytes) = last_offset(input.bytes, header.sync)?;
    Ok(JavaTracker { file: header.file.to_vec(), offset, skipped_bytes })
}

/// The offset of the last whole block of `blocks` (0 without one), and the bytes that were
/// skipped on the way.
fn last_offset(mut blocks: &[u8], sync: &[u8]) -> Result<(u64, u64), Fault> {
    let mut offset = 0;
    let mut skipped = 0;
    let finder = memchr::memmem::Finder::new(sync);
    while !blocks.is_empty() {
        let mut input = Input { bytes: blocks };
        let resumed = match input.block(sync) {
            Block::Whole(last) => {
                offset = match last.map(u64::try_from) {
                    None => offset,
                    Some(Ok(last)) => last,
                    Some(Err(_)) => return fault("it holds a negative offset"),
                };
                blocks = input.bytes;
                continue;
            }
            Block::Damaged => blocks.len() - input.bytes.len(),
            // The marker is there to find the way back after damage.
            Block::Lost => finder.find(blocks).map_or(blocks.len(), |at| at + sync.len()),
        };
        skipped += resumed as u64;
        blocks = &blocks[resumed..];
    }
    Ok((offset, skipped))
}

struct Header<'a> {
    schema: &'a [u8],
    codec: Option<&'a [u8]>,
    file: &'a [u8],
    sync: &'a [u8],
}

/// What stands where a block should be.
enum Block {
    /// Its last offset, if it has a record.
    Whole(Option<i64>),
    /// Its end is where it says, its records are not what it says. It is skipped as a whole, so that
    /// no byte is looked at again and again.
    Damaged,
    /// Its end is not where it says.
    Lost,
}

/// What is left to read. `None` from any of its methods: it is cut or impossible.
struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn header(&mut self) -> Option<Header<'a>> {
        let mut header = Header { schema: b"", codec: None, file: b"", sync: b"" };
        loop {
            let mut count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // A negative count is followed by the size of the entries in bytes.
                self.long()?;
                count = count.checked_neg()?;
            }
            // An entry takes two bytes at least, so a false count soon ends the loop.
            for _ in 0..count {
                let (key, value) = (self.string()?, self.string()?);
                match key {
                    KEY_SCHEMA => header.schema = value,
                    KEY_CODEC => header.codec = Some(value),
                    KEY_FILE => header.file = value,
                    _ => {}
                }
            }
        }
        header.sync = self.take(SYNC_BYTES)?;
        Some(header)
    }

    fn block(&mut self, sync: &[u8]) -> Block {
        let Some((count, mut data)) = self.frame(sync) else { return Block::Lost };
        let mut last = None;
        for _ in 0..count {
            let Some(offset) = data.long() else { return Block::Damaged };
            last = Some(offset);
        }
        if data.bytes.is_empty() { Block::Whole(last) } else { Block::Damaged }
    }

    /// How many records a block has, and their bytes; the marker stands behind them.
    fn frame(&mut self, sync: &[u8]) -> Option<(i64, Input<'a>)> {
        let count = self.long()?;
        let size = usize::try_from(self.long()?).ok()?;
        let data = Input { bytes: self.take(size)? };
        (self.take(SYNC_BYTES)? == sync && count >= 0).then_some((count, data))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(taken)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.long()?).ok()?;
        self.take(len)
    }

    /// A zigzag long of at most ten bytes.
    fn long(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }
}

/// Whatever it is.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(tracker) = parse(bytes) {
        assert!(!tracker.file.is_empty() && tracker.skipped_bytes <= bytes.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::scratch::Scratch;

    const FILE: &[u8] = b"/data/spool/010_2017041212.log";
    const SYNC: [u8; SYNC_BYTES] = [7; SYNC_BYTES];
    const SCHEMA: &str = concat!(
        r#"{"type":"record","name":"TransferStateFileMeta","#,
        r#""namespace":"org.apache.flume.serialization","#,
        r#""fields":[{"name":"offset","type":"long"}]}"#
    );

    /// A tracker with one position, as the Java agent writes it when it opens a file.
    fn encode(file: &[u8], offset: u64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_long(&mut out, 2);
        for part in [KEY_SCHEMA, SCHEMA.as_bytes(), KEY_FILE, file] {
            put_long(&mut out, part.len() as i64);
            out.extend_from_slice(part);
        }
        put_long(&mut out, 0);
        out.extend_from_slice(&SYNC);
        let mut datum = Vec::new();
        put_long(&mut datum, i64::try_from(offset).unwrap());
        put_long(&mut out, 1);
        put_long(&mut out, datum.len() as i64);
        out.extend_from_slice(&datum);
        out.extend_from_slice(&SYNC);
        out
    }

    fn put_long(out: &mut Vec<u8>, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn fixture(name: &str) -> Vec<u8> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tracker");
        std::fs::read(dir.join(name).join(FILE_NAME)).unwrap()
    }

    /// A header with `metadata` in one map block, as Avro libraries other than Java's write it.
    fn header(metadata: &[(&[u8], &[u8])], negative: bool) -> Vec<u8> {
        let mut entries = Vec::new();
        for part in metadata.iter().flat_map(|(key, value)| [key, value]) {
            put_long(&mut entries, part.len() as i64);
            entries.extend_from_slice(part);
        }
        let mut out = MAGIC.to_vec();
        if negative {
            put_long(&mut out, -(metadata.len() as i64));
            put_long(&mut out, entries.len() as i64);
        } else {
            put_long(&mut out, metadata.len() as i64);
        }
        out.extend_from_slice(&entries);
        put_long(&mut out, 0);
        out.extend_from_slice(&SYNC);
        out
    }

    fn block(offsets: &[i64]) -> Vec<u8> {
        let mut data = Vec::new();
        offsets.iter().for_each(|&offset| put_long(&mut data, offset));
        let mut out = Vec::new();
        put_long(&mut out, offsets.len() as i64);
        put_long(&mut out, data.len() as i64);
        out.extend_from_slice(&data);
        out.extend_from_slice(&SYNC);
        out
    }

    fn plain(blocks: &[Vec<u8>]) -> Vec<u8> {
        let header = header(&[(KEY_SCHEMA, SCHEMA.as_bytes()), (KEY_FILE, FILE)], false);
        [header, blocks.concat()].concat()
    }

    fn found(bytes: &[u8]) -> (u64, u64) {
        match parse(bytes) {
            Ok(tracker) => {
                assert_eq!(tracker.file, FILE);
                (tracker.offset, tracker.skipped_bytes)
            }
            Err(Fault::Reason(reason) | Fault::Codec(reason)) => panic!("{reason}"),
        }
    }

    fn reason(bytes: &[u8]) -> String {
        match parse(bytes) {
            Ok(tracker) => panic!("{tracker:?}"),
            Err(Fault::Reason(reason) | Fault::Codec(reason)) => reason,
        }
    }

    /// What Flume 1.11 has left of its `spooldir` source.
    #[test]
    fn trackers_of_whole_files_are_read_alike() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-1.11/positions");
        for (name, file, offset) in [
            ("spool-killed-mid-file", "/srv/p-spool/logs/a", 11_200),
            ("spool-tracker-dir", "/srv/p-track/logs/b", 4),
        ] {
            let found = read_java_tracker(&dir.join(name).join(&SPOOL_FILE_NAME[1..])).unwrap();
            let JavaState::Found(tracker) = found else { panic!("{name}: {found:?}") };
            assert_eq!(
                (tracker.file, tracker.offset),
                (file.as_bytes().to_vec(), offset),
                "{name}"
            );
        }
    }

    #[test]
    fn trackers_of_the_java_agent_are_read() {
        for (name, position) in
            [("mid-file", 65000), ("several-commits", 86), ("fresh", 0), ("rolled", 8)]
        {
            assert_eq!(found(&fixture(name)), (position, 0), "{name}");
        }
    }

    /// Cut anywhere: the header is refused, or the position is that of the last whole commit.
    #[test]
    fn a_cut_tracker_has_the_position_of_its_last_whole_block() {
        let bytes = fixture("several-commits");
        assert_eq!(found(&bytes[..bytes.len() - 3]).0, 86);
        let blocks_at = fixture("fresh").len();
        let mut last = 0;
        for len in 0..bytes.len() {
            if len < blocks_at {
                assert!(!reason(&bytes[..len]).is_empty(), "{len}");
            } else {
                let (position, skipped) = found(&bytes[..len]);
                assert!(position >= last && position <= 86 && skipped < 21, "{len}");
                last = position;
            }
        }
    }

    #[test]
    fn garbage_is_skipped_up_to_the_next_whole_block() {
        let garbage = b"\0\0\0\0garbage".to_vec();
        assert_eq!(found(&plain(&[block(&[5]), garbage.clone()])), (5, 11));
        // The marker that ends the good block behind the garbage is where reading resumes.
        let damaged = plain(&[block(&[5]), garbage, block(&[6]), block(&[7])]);
        assert_eq!(found(&damaged).0, 7);
    }

    /// Each of its blocks claims all that follows. Looked at again behind each, it would take minutes.
    #[test]
    fn a_hostile_tracker_is_read_in_one_pass() {
        const BLOCKS: usize = 100_000;
        let mut body = Vec::new();
        for left in (0..BLOCKS).rev() {
            let mut head = Vec::new();
            put_long(&mut head, i64::MAX);
            put_long(&mut head, 0);
            let head_bytes = 14;
            // From behind its head to the last marker; the numbers have one width.
            let size = left * (head_bytes + SYNC_BYTES);
            body.extend_from_slice(&head[..head.len() - 1]);
            body.extend((0..4).map(|at| {
                let more = if at < 3 { 0x80 } else { 0 };
                ((size << 1) >> (7 * at)) as u8 & 0x7f | more
            }));
            body.extend_from_slice(&SYNC);
        }
        let tracker = plain(&[block(&[5]), body, block(&[7])]);
        assert_eq!(found(&tracker).0, 7);
    }

    #[test]
    fn blocks_of_several_records_and_of_none_are_read() {
        assert_eq!(found(&plain(&[block(&[1, 2, 300]), block(&[])])), (300, 0));
    }

    #[test]
    fn headers_of_other_libraries_are_read() {
        let metadata: &[(&[u8], &[u8])] = &[
            (KEY_FILE, FILE),
            (b"other", b""),
            (KEY_CODEC, b"null"),
            (KEY_SCHEMA, b"{ \"fields\": [{\"type\": \"long\", \"name\": \"offset\"}] }"),
        ];
        for negative in [false, true] {
            assert_eq!(found(&[header(metadata, negative), block(&[9])].concat()), (9, 0));
        }
    }

    #[test]
    fn useless_trackers_say_why() {
        assert_eq!(reason(b""), "it is empty, as a power cut leaves it");
        assert_eq!(reason(&[0; 100]), "it is not an Avro file");
        assert_eq!(reason(&header(&[(KEY_FILE, FILE)], false)), "its schema has no offset");
        let nameless = header(&[(KEY_SCHEMA, SCHEMA.as_bytes())], false);
        assert_eq!(reason(&nameless), "its header names no file");
        assert_eq!(reason(&plain(&[block(&[-1])])), "it holds a negative offset");
    }

    #[test]
    fn a_compressed_tracker_is_an_error_with_a_way_out() {
        let scratch = Scratch::new("java-codec");
        let path = scratch.dir.join(FILE_NAME);
        std::fs::write(&path, header(&[(KEY_CODEC, b"deflate")], false)).unwrap();
        let error = read_java_tracker(&path).unwrap_err().to_string();
        assert!(error.contains("'deflate'") && error.contains("remove it"), "{error}");
    }

    #[test]
    fn any_position_is_read() {
        let scratch = Scratch::new("java-write");
        let path = scratch.dir.join(FILE_NAME);
        assert_eq!(read_java_tracker(&path).unwrap(), JavaState::Absent);
        for offset in [0, 63, 64, 65000, 1 << 40] {
            std::fs::write(&path, encode(FILE, offset)).unwrap();
            let tracker = JavaTracker { file: FILE.to_vec(), offset, skipped_bytes: 0 };
            assert_eq!(read_java_tracker(&path).unwrap(), JavaState::Found(tracker));
        }
        let java = fixture("fresh");
        let markerless = java.len() - SYNC_BYTES;
        assert_eq!(encode(FILE, 0)[..markerless], java[..markerless]);
    }

    #[test]
    fn hostile_bytes_do_not_panic() {
        let java = fixture("rolled");
        for at in 0..java.len() {
            for byte in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let mut bytes = java.clone();
                bytes[at] = byte;
                let _ = parse(&bytes);
                bytes.truncate(at + 1);
                let _ = parse(&bytes);
            }
        }
    }

    #[test]
    fn tracked_paths_are_built_as_java_builds_them() {
        let path = |dir: &str| String::from_utf8(tracked_path(dir.as_bytes(), b"f")).unwrap();
        assert_eq!(path("/data/spool"), "/data/spool/f");
        assert_eq!(path("/data//spool///"), "/data/spool/f");
        assert_eq!(path("rel/./x/"), "rel/./x/f");
        assert_eq!(path("."), "./f");
        assert_eq!(path("/"), "/f");
    }
}
