//! One file that is being read: its descriptor, how far it is read, how far it is committed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

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
    /// Size at the last look, and the monotonic time at which it last changed.
    pub size: u64,
    pub size_changed_ms: u64,
    /// Monotonic time at which it last had its turn or had nothing to read.
    pub served_ms: u64,
    /// The unterminated last line has been announced: nothing more is read from it.
    pub is_final_announced: bool,
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

    /// Looks at size and, where the file has grown after a pause, at the bytes before the
    /// position.
    pub fn look(&mut self, now_ms: u64) -> io::Result<Look> {
        if self.is_superseded {
            return Ok(Look::Quiet);
        }
        let size = self.file.metadata()?.len();
        let was_quiet = self.exhausted_at == Some(self.size) || self.size == self.read_position;
        if size != self.size {
            self.size = size;
            self.size_changed_ms = now_ms;
        }
        if size < self.read_position {
            return Ok(Look::Truncated { size });
        }
        if size == self.read_position || self.exhausted_at == Some(size) || self.is_final_announced
        {
            self.served_ms = now_ms;
            return Ok(Look::Quiet);
        }
        if was_quiet && !self.tail_is_intact()? {
            return Ok(Look::Rewritten);
        }
        Ok(Look::Readable)
    }

    fn tail_is_intact(&self) -> io::Result<bool> {
        match TailBytes::read(&self.file, self.read_position) {
            Ok(now) => Ok(now.as_slice().ends_with(self.tail.as_slice())),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// How long the file has been left alone, ms: by its own modification time, or by what we saw
    /// ourselves where its clock is ahead of ours.
    pub fn quiet_ms(&self, now_wall_ms: i64, now_ms: u64) -> io::Result<u64> {
        let stat = self.file.metadata()?;
        let modified_ms = stat.mtime() * 1000 + stat.mtime_nsec() / 1_000_000;
        let by_stamp = u64::try_from(now_wall_ms - modified_ms).unwrap_or(0);
        let by_watching = if stat.len() == self.size { now_ms - self.size_changed_ms } else { 0 };
        Ok(by_stamp.max(by_watching))
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

/// Is this the file that the record speaks of, by the bytes it begins with?
pub fn head_matches(file: &File, record: &FileRecord) -> io::Result<bool> {
    let mut head = [0u8; HEAD_BYTES];
    let len = record.head_len as usize;
    if len > HEAD_BYTES {
        return Ok(false);
    }
    match file.read_exact_at(&mut head[..len], 0) {
        Ok(()) => Ok(crc32fast::hash(&head[..len]) == record.head_crc),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
