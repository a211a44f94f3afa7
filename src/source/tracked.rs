//! One file that is being read: its descriptor, how far it is read, how far it is committed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::line::LineDecoder;
use super::window::TailBytes;
use crate::checkpoint::record::{FileRecord, HEAD_BYTES};

/// A file in one of the states *live* and *draining* (waiting files are only names, done ones only
/// receipts).
pub struct Tracked {
    /// What the checkpoint says of it; `record.position` is the committed position.
    pub record: FileRecord,
    /// Kept open until the file is done: the name may go, the bytes stay.
    pub file: File,
    pub decoder: LineDecoder,
    /// Everything before it has been announced in batches (or was filtered out).
    pub read_position: u64,
    /// The bytes before `read_position`.
    pub tail: TailBytes,
    /// Still a candidate under `record.name`.
    pub is_named: bool,
    /// At this size nothing but an incomplete last line was left to read.
    pub exhausted_at: Option<u64>,
    /// It was read to its end once.
    pub is_caught_up: bool,
    /// Size at the last look, and modification time (s, ns), if there was one.
    pub size: u64,
    modified: Option<(i64, i64)>,
    /// Monotonic times of its being opened, and at which it was last seen to be written to.
    opened_ms: u64,
    written_ms: Option<u64>,
    /// It was tailed in its own time: its writer may have been waiting with its last lines, so that
    /// the grace time begins with the retirement.
    pub was_live: bool,
    /// Up to here the line that begins at `read_position` was searched for its end, if it is too
    /// long to be an event.
    pub giant_scanned: Option<u64>,
    /// Monotonic time at which it last had its turn or had nothing to read.
    pub served_ms: u64,
    /// Up to this size its end was taken for the end, an unterminated last line included.
    pub finished_at: Option<u64>,
    /// Its content was thrown away (truncated): what was read of it is all there will ever be.
    pub is_superseded: bool,
    /// Modification time (s, ns) and size when it was opened, for two of Flume's log lines.
    pub opened: Option<(i64, i64, u64)>,
    /// Monotonic time before which its name is not touched again, after a failure.
    pub retry_ms: u64,
    /// Monotonic time before which it is not read again, after a failure.
    pub read_retry_ms: u64,
}

/// What a look at an open file found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing (but perhaps an incomplete line) behind the read position.
    Quiet,
    /// There are bytes that have not been looked at.
    Readable,
    /// It is shorter than what was read: truncated.
    Truncated { size: u64 },
    /// The bytes before the read position are not those that were read.
    Rewritten,
}

impl Tracked {
    pub fn new(record: FileRecord, file: File, decoder: LineDecoder, now_ms: u64) -> Tracked {
        let opened = file.metadata().ok().map(|m| (m.mtime(), m.mtime_nsec(), m.len()));
        let read_position = record.position;
        Tracked {
            record,
            file,
            decoder,
            read_position,
            tail: TailBytes::default(),
            is_named: true,
            exhausted_at: None,
            is_caught_up: false,
            size: read_position,
            modified: None,
            opened_ms: now_ms,
            written_ms: None,
            was_live: false,
            giant_scanned: None,
            served_ms: now_ms,
            finished_at: None,
            is_superseded: false,
            opened,
            retry_ms: 0,
            read_retry_ms: 0,
        }
    }

    /// Is this the file with that device and inode, still to be read?
    pub fn is_inode(&self, device: u64, inode: u64) -> bool {
        !self.is_superseded && self.record.device == device && self.record.inode == inode
    }

    /// What stands behind the read position is only waited for: no whole line, not the end.
    pub fn has_rest(&self) -> bool {
        !self.is_superseded && self.size > self.read_position && self.finished_at != Some(self.size)
    }

    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.record.name)
    }

    pub fn current_name(&self) -> OsString {
        OsString::from_vec(self.record.current_name.clone())
    }

    /// Announced, not yet committed?
    pub fn has_uncommitted(&self) -> bool {
        self.read_position != self.record.position
    }

    /// Looks at size and time and, where there is something to read or the file was written to,
    /// at the bytes that were read before.
    pub fn look(&mut self, now_ms: u64) -> io::Result<Look> {
        if self.is_superseded {
            return Ok(Look::Quiet);
        }
        let stat = self.file.metadata()?;
        let size = stat.len();
        let modified = (stat.mtime(), stat.mtime_nsec());
        let last = self.modified.replace(modified);
        let was_written = last != Some(modified) || size != self.size;
        if was_written && last.is_some() {
            self.written_ms = Some(now_ms);
        }
        if was_written && size <= self.size {
            // Written to and not longer: what stood behind the position, half a line perhaps, may
            // be another's bytes now.
            (self.exhausted_at, self.giant_scanned) = (None, None);
        }
        self.size = size;
        if size < self.read_position {
            return Ok(Look::Truncated { size });
        }
        let is_quiet = size == self.read_position
            || self.exhausted_at == Some(size)
            || self.finished_at == Some(size);
        if (was_written || !is_quiet) && !self.is_intact()? {
            // Not every caller begins again: the next look must find it, too.
            self.modified = last;
            return Ok(Look::Rewritten);
        }
        if is_quiet {
            self.served_ms = now_ms;
            return Ok(Look::Quiet);
        }
        Ok(Look::Readable)
    }

    /// Size and modification time (s, ns) at the last look; zeros before the first.
    pub fn last_look(&self) -> (u64, i64, i64) {
        self.modified.map_or((0, 0, 0), |(s, ns)| (self.size, s, ns))
    }

    /// Do the fingerprints of the beginning and of the bytes before the position still hold?
    fn is_intact(&self) -> io::Result<bool> {
        if !head_matches(&self.file, &self.record)? {
            return Ok(false);
        }
        match TailBytes::read(&self.file, self.read_position) {
            Ok(now) => Ok(now.as_slice().ends_with(self.tail.as_slice())),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The grace time begins.
    pub fn begin_grace(&mut self, now_ms: u64) {
        if self.was_live {
            self.written_ms = Some(now_ms);
        }
    }

    /// How long the file has been left alone, ms: by what we saw ourselves; as long as we have
    /// seen nothing, by its own modification time. The clock may jump: what we saw does not.
    pub fn quiet_ms(&self, now_wall_ms: i64, now_ms: u64) -> io::Result<u64> {
        let stat = self.file.metadata()?;
        let is_as_seen = stat.len() == self.size
            && self.modified.is_none_or(|seen| seen == (stat.mtime(), stat.mtime_nsec()));
        if !is_as_seen && self.modified.is_some() {
            return Ok(0);
        }
        if let Some(written_ms) = self.written_ms {
            return Ok(now_ms - written_ms);
        }
        let by_stamp = u64::try_from(now_wall_ms.saturating_sub(modified_ms(&stat))).unwrap_or(0);
        Ok(by_stamp.max(now_ms - self.opened_ms))
    }

    /// Takes the fingerprint of the beginning, as long as it is still growing.
    pub fn update_head(&mut self) {
        let want = HEAD_BYTES.min(usize::try_from(self.record.position).unwrap_or(HEAD_BYTES));
        if want <= self.record.head_len as usize {
            return;
        }
        let mut head = [0u8; HEAD_BYTES];
        // A file truncated in this moment keeps its shorter fingerprint.
        if self.file.read_exact_at(&mut head[..want], 0).is_ok() {
            self.record.head_len = want as u32;
            self.record.head_crc = crc32fast::hash(&head[..want]);
        }
    }
}

/// Opens a file for reading. Never waits, even if the name has become a pipe meanwhile.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Modification time, Unix ms; a file system may hold any, and the furthest ones are cut off.
pub fn modified_ms(stat: &Metadata) -> i64 {
    stat.mtime().saturating_mul(1000).saturating_add(stat.mtime_nsec() / 1_000_000)
}

/// When the inode was made, ns since 1970; 0 where the file system does not say.
pub fn born_ns(stat: &Metadata) -> i64 {
    let since = stat.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(0))
}

/// Two birth times that tell two files apart. One that is not known tells nothing.
pub fn is_other_birth(a: i64, b: i64) -> bool {
    a != 0 && b != 0 && a != b
}

/// Is this the file that the record speaks of, by the bytes it begins with?
pub fn head_matches(file: &File, record: &FileRecord) -> io::Result<bool> {
    bytes_match(file, 0, record.head_len as usize, record.head_crc)
}

/// Do the `len` bytes from `at` on have that CRC-32? At most [`HEAD_BYTES`] are ever asked for.
pub fn bytes_match(file: &File, at: u64, len: usize, crc: u32) -> io::Result<bool> {
    let mut bytes = [0u8; HEAD_BYTES];
    if len > HEAD_BYTES {
        return Ok(false);
    }
    match file.read_exact_at(&mut bytes[..len], at) {
        Ok(()) => Ok(crc32fast::hash(&bytes[..len]) == crc),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
