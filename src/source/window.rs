//! Bytes of a file on their way to the line decoder: one read buffer for all files of a source,
//! since only one file is read at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::checkpoint::record::{HEAD_BYTES, TAIL_BYTES};

/// How much is asked of the file at once. Large enough that the system call vanishes beside the
/// work on the lines, small enough to stay in a processor's second-level cache.
pub const BLOCK_BYTES: usize = 128 * 1024;

/// The longest line that is held in memory, bytes, with its newline: far more than a broker takes by
/// default. A longer one, which can only come with a raised `maxLineLength`, is not an event; see
/// [`super::giant`].
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The read buffer, which holds a part of one file.
#[derive(Default)]
pub struct Window {
    /// Which file (`FileRecord::id`); 0 for none.
    file_id: u64,
    /// Offset in the file of `buffer[0]`.
    start: u64,
    buffer: Vec<u8>,
    filled: usize,
    /// The last read came to the end of the file, or to what is not written yet.
    at_end: bool,
    /// What it holds may be zeros that are not written yet: of use for no other read.
    pub is_raw: bool,
}

impl Window {
    /// Forgets what it holds: the file may have changed under it.
    pub fn clear(&mut self) {
        self.file_id = 0;
        self.filled = 0;
        if self.buffer.len() > 4 * BLOCK_BYTES {
            // A giant line is over; its memory is not kept for the next one.
            self.buffer = Vec::new();
        }
    }

    /// What it holds of file `file_id` from `position` on; empty if nothing.
    pub fn bytes(&self, file_id: u64, position: u64) -> &[u8] {
        if self.file_id != file_id || position < self.start {
            return &[];
        }
        let skip = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        self.buffer[..self.filled].get(skip..).unwrap_or(&[])
    }

    /// Did the last read end at the end of the file?
    pub fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Drops what is there from `offset` on: it is not text yet. The window ends there for now.
    pub fn end_at(&mut self, offset: u64) {
        let keep = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.filled = self.filled.min(keep);
        self.at_end = true;
    }

    /// What the last read brought, of which `came` bytes: the bytes and their offset.
    pub fn last_read(&self, came: usize) -> (&[u8], u64) {
        let from = self.filled - came;
        (&self.buffer[from..self.filled], self.start + from as u64)
    }

    /// Reads more of the file: keeps what is held from `position` on and appends a block to it.
    /// Returns how many bytes came. `size`: how long the file was a moment ago. A read that brings less than it
    /// was asked for, and ends there, has come to the end; no other one is made that would bring nothing.
    pub fn read_more(
        &mut self,
        file_id: u64,
        file: &File,
        position: u64,
        size: u64,
    ) -> io::Result<usize> {
        self.read_up_to(file_id, file, position, (u64::MAX, u64::MAX), Some(size))
    }

    /// The same of a file that is as if zeros stood in it from offset `size` to `end`.
    pub fn read_padded(
        &mut self,
        file_id: u64,
        file: &File,
        position: u64,
        size: u64,
        end: u64,
    ) -> io::Result<usize> {
        self.read_up_to(file_id, file, position, (size, end), None)
    }

    fn read_up_to(
        &mut self,
        file_id: u64,
        file: &File,
        position: u64,
        (size, end): (u64, u64),
        known_end: Option<u64>,
    ) -> io::Result<usize> {
        let kept = self.bytes(file_id, position).len();
        if kept > 0 {
            let from = self.filled - kept;
            self.buffer.copy_within(from..self.filled, 0);
        }
        self.file_id = file_id;
        self.start = position;
        self.filled = kept;
        // A line longer than a block doubles the buffer, so that reading it stays linear.
        let want = (kept + BLOCK_BYTES.max(kept)).min(EVENT_BYTES_MAX);
        if kept == want {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a line is longer than {EVENT_BYTES_MAX} bytes"),
            ));
        }
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        let mut came = 0;
        self.at_end = false;
        while self.filled < want {
            let at = position + self.filled as u64;
            let room = &mut self.buffer[self.filled..want];
            let left = if at < size { size - at } else { end.saturating_sub(at) };
            let len = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let result = if at < size {
                file.read_at(&mut room[..len], at)
            } else {
                room[..len].fill(0);
                Ok(len)
            };
            match result {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(n) => {
                    self.filled += n;
                    came += n;
                    if n < len && known_end == Some(at + n as u64) {
                        self.at_end = true;
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(came)
    }
}

/// The bytes just before a position, at most [`TAIL_BYTES`]: whether they are still there tells
/// whether the file was truncated and has grown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailBytes {
    bytes: [u8; TAIL_BYTES],
    len: usize,
}

impl Default for TailBytes {
    fn default() -> TailBytes {
        TailBytes { bytes: [0; TAIL_BYTES], len: 0 }
    }
}

impl TailBytes {
    /// The `TAIL_BYTES` before `position`, read from the file.
    pub fn read(file: &File, position: u64) -> io::Result<TailBytes> {
        let len = TAIL_BYTES.min(usize::try_from(position).unwrap_or(usize::MAX));
        let mut tail = TailBytes { bytes: [0; TAIL_BYTES], len };
        file.read_exact_at(&mut tail.bytes[..len], position - len as u64)?;
        Ok(tail)
    }

    /// Takes account of `chunk`, which follows what was seen so far.
    pub fn push(&mut self, chunk: &[u8]) {
        if chunk.len() >= TAIL_BYTES {
            self.bytes.copy_from_slice(&chunk[chunk.len() - TAIL_BYTES..]);
            self.len = TAIL_BYTES;
            return;
        }
        let keep = self.len.min(TAIL_BYTES - chunk.len());
        self.bytes.copy_within(self.len - keep..self.len, 0);
        self.bytes[keep..keep + chunk.len()].copy_from_slice(chunk);
        self.len = keep + chunk.len();
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn crc(&self) -> u32 {
        crc32fast::hash(self.as_slice())
    }
}

/// The first bytes of a file, at most [`HEAD_BYTES`], as they were read. Whether they are still there
/// tells it from its successor in the same inode, of which the rows may end alike, from its first
/// slice on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadBytes {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Default for HeadBytes {
    fn default() -> HeadBytes {
        HeadBytes { bytes: [0; HEAD_BYTES], len: 0 }
    }
}

impl HeadBytes {
    /// Those of the file that stand before `position`.
    pub fn read(file: &File, position: u64) -> io::Result<HeadBytes> {
        let len = HEAD_BYTES.min(usize::try_from(position).unwrap_or(HEAD_BYTES));
        let mut head = HeadBytes { bytes: [0; HEAD_BYTES], len };
        file.read_exact_at(&mut head.bytes[..len], 0)?;
        Ok(head)
    }

    /// Takes account of `chunk`, which was read at offset `at`.
    pub fn push(&mut self, chunk: &[u8], at: u64) {
        if at != self.len as u64 {
            return;
        }
        let len = chunk.len().min(HEAD_BYTES - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&chunk[..len]);
        self.len += len;
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_bytes_are_the_first_ones_whatever_the_chunks() {
        let all: Vec<u8> = (0..600).map(|n| (n % 251) as u8).collect();
        for step in [1, 7, 255, 256, 257, 600] {
            let (mut head, mut at) = (HeadBytes::default(), 0);
            for chunk in all.chunks(step) {
                head.push(chunk, at as u64);
                at += chunk.len();
                assert_eq!(head.as_slice(), &all[..at.min(HEAD_BYTES)], "{step}");
            }
        }
        let mut head = HeadBytes::default();
        head.push(b"not the first", 5);
        assert_eq!(head.as_slice(), b"");
    }

    /// However little of it came at a time: what is an event does not depend on its writer's pace.
    #[test]
    fn a_line_is_too_long_when_it_is_longer_than_the_most() {
        let path = std::env::temp_dir().join(format!("flume-ng-window-{}", std::process::id()));
        std::fs::write(&path, vec![b'x'; 9 << 20]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut window = Window::default();
        while !window.is_at_end() {
            window.read_more(1, &file, 0, 9 << 20).unwrap();
        }
        assert_eq!(window.bytes(1, 0).len(), 9 << 20);
        file.set_len(1 << 30).unwrap();
        assert!(window.read_more(1, &file, 0, 1 << 30).unwrap() > 0);
        assert_eq!(window.bytes(1, 0).len(), EVENT_BYTES_MAX);
        let error = window.read_more(1, &file, 0, 1 << 30).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        std::fs::remove_file(&path).unwrap();
    }

    /// It may have grown, or have become shorter, since it was asked how long it is.
    #[test]
    fn a_file_is_read_to_its_end_however_long_it_was_a_moment_ago() {
        let path = std::env::temp_dir().join(format!("flume-ng-end-{}", std::process::id()));
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let file = File::open(&path).unwrap();
        for size in [0, 4, 8, 12] {
            let mut window = Window::default();
            assert_eq!(window.read_more(1, &file, 0, size).unwrap(), 8, "{size}");
            assert_eq!((window.bytes(1, 0), window.is_at_end()), (&b"one\ntwo\n"[..], true));
            assert_eq!(window.read_more(1, &file, 8, size).unwrap(), 0, "{size}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn tail_bytes_are_the_last_ones_whatever_the_chunks() {
        let all: Vec<u8> = (0..=255).collect();
        for step in [1, 3, 40, 63, 64, 65, 200] {
            let mut tail = TailBytes::default();
            for (n, chunk) in all.chunks(step).enumerate() {
                tail.push(chunk);
                let seen = (n * step + chunk.len()).min(all.len());
                assert_eq!(tail.as_slice(), &all[seen.saturating_sub(TAIL_BYTES)..seen]);
            }
        }
    }
}
