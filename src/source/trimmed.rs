//! Files of which zeros were read that their writer had reserved: they were taken for the last line
//! when the file seemed finished, and are gone now, or lines stand in their place.
//!
//! A file that differs from what was read by nothing but these zeros was neither truncated nor
//! overwritten: it is gone on with where they began. What of the zeros was announced and is in doubt
//! can still be read until then, since zeros are easily made.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::restore::AnnouncedRange;
use super::tracked::Tracked;
use super::window::{HeadBytes, TailBytes};
use super::{Files, Handle, READER};
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::{FileRecord, TAIL_BYTES};
use crate::log;

/// What one read asks for, bytes.
const BLOCK_BYTES: usize = 128 * 1024;

/// The CRC-32 of the bytes from `start` to `end`, where zeros stand from `size` on.
pub(super) fn padded_crc(file: &File, start: u64, end: u64, size: u64) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let zeros_from = size.max(start).min(end);
    hash(&mut hasher, file, start, zeros_from)?;
    Ok(with_zeros(&hasher, end - zeros_from))
}

/// Adds the bytes from `start` to `end`, all of which are there.
fn hash(hasher: &mut crc32fast::Hasher, file: &File, start: u64, end: u64) -> io::Result<()> {
    let mut block = vec![0; block_bytes(end.saturating_sub(start))];
    let mut at = start;
    while at < end {
        let len = block_bytes(end - at);
        file.read_exact_at(&mut block[..len], at)?;
        hasher.update(&block[..len]);
        at += len as u64;
    }
    Ok(())
}

/// The CRC-32 of what was hashed and `zeros` zeros behind it.
pub(super) fn with_zeros(hasher: &crc32fast::Hasher, zeros: u64) -> u32 {
    let mut hasher = hasher.clone();
    let block = vec![0; block_bytes(zeros)];
    let mut left = zeros;
    while left > 0 {
        let len = block_bytes(left);
        hasher.update(&block[..len]);
        left -= len as u64;
    }
    hasher.finalize()
}

/// How many bytes to take at once where so many are left.
fn block_bytes(left: u64) -> usize {
    BLOCK_BYTES.min(usize::try_from(left).unwrap_or(BLOCK_BYTES))
}

/// Where that ends of what the receipt speaks of which is in `file` now, `len` bytes long: before its
/// end if zeros that were its last bytes are gone, or were written over.
pub(super) fn end_without_zeros(file: &File, len: u64, receipt: &Receipt) -> io::Result<u64> {
    if len < receipt.size {
        return Ok(len);
    }
    let start = receipt.size.saturating_sub(TAIL_BYTES as u64);
    if padded_crc(file, start, receipt.size, receipt.size)? == receipt.tail_crc {
        return Ok(receipt.size);
    }
    Ok(zeros_before(file, receipt.size, receipt.tail_crc).unwrap_or(receipt.size))
}

/// The receipt of a file of which only the first `size` bytes are left, since zeros are gone.
pub(super) fn cut_receipt(file: &File, receipt: &Receipt, size: u64) -> io::Result<Receipt> {
    let mut cut = Receipt { size, ..receipt.clone() };
    cut.bytes_crc = padded_crc(file, 0, size, size)?;
    if is_at_line_end(&TailBytes::read(file, size)?) {
        cut.events = cut.events.saturating_sub(1);
    }
    Ok(cut)
}

/// Then all that was sent of the last line was the zeros.
fn is_at_line_end(tail: &TailBytes) -> bool {
    tail.as_slice().is_empty() || tail.as_slice().ends_with(b"\n")
}

/// Is this what was read of it, but for zeros from `size` on?
pub(super) fn is_trimmed(
    file: &File,
    size: u64,
    record: &FileRecord,
    ranges: &[AnnouncedRange],
) -> io::Result<bool> {
    if what_is_left(file, size, record)?.is_none() {
        return Ok(false);
    }
    for range in ranges {
        if padded_crc(file, range.start, range.end, size)? != range.crc {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The CRC-32 of the first `size` bytes (of those before the position, if these are fewer), if they and
/// zeros behind them are what was read. Each byte is read once.
fn what_is_left(file: &File, size: u64, record: &FileRecord) -> io::Result<Option<u32>> {
    let mut hasher = crc32fast::Hasher::new();
    hash(&mut hasher, file, 0, size.min(record.position))?;
    let crc = with_zeros(&hasher, record.position.saturating_sub(size));
    Ok((crc == record.bytes_crc).then(|| hasher.finalize()))
}

/// Where zeros began in a file of which `end` bytes were read, if nothing else has changed in the
/// last ones before `end`, by their CRC-32. `None`: something else has changed, or there were more
/// zeros than that.
pub(super) fn zeros_before(file: &File, end: u64, tail_crc: u32) -> Option<u64> {
    let start = end.saturating_sub(TAIL_BYTES as u64);
    (start + 1..end).rev().find(|&at| padded_crc(file, start, end, at).is_ok_and(|c| c == tail_crc))
}

impl Tracked {
    /// Where the zeros begin that were read last, if the last bytes tell.
    fn zeros_of_tail(&self) -> Option<u64> {
        let zeros = self.tail.as_slice().iter().rev().take_while(|b| **b == 0).count();
        let is_told = zeros > 0 && zeros < self.tail.as_slice().len();
        is_told.then(|| self.read_position - zeros as u64)
    }

    /// May the bytes behind `size`, which are gone, have been zeros? By the last ones that were read.
    pub(super) fn may_be_trimmed(&self, size: u64) -> bool {
        let tail = self.tail.as_slice();
        let start = self.read_position - tail.len() as u64;
        let before = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX);
        let gone = &tail[before.min(tail.len())..];
        !gone.is_empty() && gone.iter().all(|b| *b == 0)
    }
}

impl Files {
    /// Other bytes stand where the file was read. Were they zeros at its end that its writer has
    /// used? Then it goes on where they began, as soon as nothing of it is in doubt.
    pub(super) fn is_filled(&mut self, handle: Handle) -> bool {
        let tracked = &self.tracked[handle];
        let zeros_from = tracked.zeros_from.or_else(|| tracked.zeros_of_tail());
        zeros_from.is_some_and(|start| self.is_without_zeros(handle, start))
    }

    /// From `size` on the file has not, or no longer, what was read of it. Were those bytes zeros?
    /// Then it goes on there, as soon as nothing of it is in doubt.
    pub(super) fn is_without_zeros(&mut self, handle: Handle, size: u64) -> bool {
        let tracked = &mut self.tracked[handle];
        if tracked.trimmed.is_none() && !tracked.may_be_trimmed(size) {
            return false;
        }
        let size = *tracked.trimmed.get_or_insert(size);
        if tracked.has_uncommitted() {
            return true;
        }
        let left = what_is_left(&tracked.file, size, &tracked.record).unwrap_or(None);
        let is_it = left.is_some_and(|crc| self.step_back_to(handle, size, crc).is_ok());
        self.tracked[handle].trimmed = None;
        is_it
    }

    fn tell_step_back(&self, handle: Handle, size: u64) {
        let tracked = &self.tracked[handle];
        let is_cut = tracked.size == size;
        let (name, end) = (tracked.name().display(), tracked.read_position);
        if is_cut {
            log::info(
                READER,
                format_args!(
                    "File:{name} was cut to {size} bytes by its writer: only zeros are gone (read \
                     to byte {end}); reading goes on there."
                ),
            );
        } else {
            log::info(
                READER,
                format_args!(
                    "File:{name} was written to at byte {size}, where zeros had been read (to byte \
                     {end}); reading goes on there."
                ),
            );
        }
    }

    /// `bytes_crc`: of the bytes before `size`.
    fn step_back_to(&mut self, handle: Handle, size: u64, bytes_crc: u32) -> io::Result<()> {
        let tracked = &mut self.tracked[handle];
        let file = &tracked.file;
        let (head, tail) = (HeadBytes::read(file, size)?, TailBytes::read(file, size)?);
        self.tell_step_back(handle, size);
        let tracked = &mut self.tracked[handle];
        (tracked.read_position, tracked.head, tracked.tail) = (size, head, tail);
        tracked.forget_rest();
        (tracked.gap, tracked.receipted_at, tracked.zeros_from) = (None, None, None);
        tracked.forget_looks(size);
        let record = &mut tracked.record;
        (record.position, record.bytes_crc) = (size, bytes_crc);
        record.tail_len = tail.as_slice().len() as u32;
        record.tail_crc = tail.crc();
        tracked.cut_marks();
        let record = &mut tracked.record;
        let head = &head.as_slice()[..head.as_slice().len().min(record.head_len as usize)];
        record.head_len = head.len() as u32;
        record.head_crc = crc32fast::hash(head);
        if is_at_line_end(&tail) {
            record.events = record.events.saturating_sub(1);
        }
        self.window.clear();
        self.has_moved = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::slice::{self, Bound, Slice, Take};
    use crate::source::tracked::{self, Look};
    use crate::source::window::Window;

    fn read(tracked: &mut Tracked, start: u64, bound: Bound) -> (Slice, Vec<Vec<u8>>) {
        let mut events = Vec::new();
        let slice = slice::read(&mut Window::default(), tracked, start, bound, |body, _| {
            events.push(body.to_vec());
            Take::More
        });
        (slice.expect("a slice"), events)
    }

    /// It ended before it was opened, and was never looked at with its zeros left out.
    #[test]
    fn a_slice_tells_where_the_zeros_at_its_end_begin() {
        let path = std::env::temp_dir().join(format!("flume-ng-zeros-{}", std::process::id()));
        for (text, zeros, from) in
            [("one\ntwo", 5_000, Some(7)), ("one\n", 70, Some(4)), ("one\n", 0, None)]
        {
            std::fs::write(&path, [text.as_bytes(), &vec![0; zeros]].concat()).unwrap();
            let mut tracked = tracked::new_for_test(&path);
            assert_eq!(tracked.look(0).unwrap(), Look::Readable);
            let (slice, _) = read(&mut tracked, 0, Bound::Final);
            assert_eq!((slice.end, slice.zeros_from), ((text.len() + zeros) as u64, from));
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn zeros_that_were_announced_and_cut_off_can_be_read_again() {
        let path = std::env::temp_dir().join(format!("flume-ng-trimmed-{}", std::process::id()));
        let content = [&b"one\ntwo"[..], &[0; 100]].concat();
        std::fs::write(&path, &content).unwrap();
        let mut tracked = tracked::new_for_test(&path);
        assert_eq!(tracked.look(0).unwrap(), Look::Readable);
        let (slice, events) = read(&mut tracked, 0, Bound::Final);
        (tracked.read_position, tracked.tail, tracked.head) = (slice.end, slice.tail, slice.head);
        let range = AnnouncedRange { start: 0, end: slice.end, crc: slice.bytes_crc };
        File::options().write(true).open(&path).unwrap().set_len(7).unwrap();
        assert_eq!(tracked.look(1).unwrap(), Look::Truncated { size: 7 });
        assert!(tracked.may_be_trimmed(7));
        assert!(is_trimmed(&tracked.file, 7, &tracked.record, &[range]).unwrap());
        assert!(!is_trimmed(&tracked.file, 6, &tracked.record, &[range]).unwrap());
        tracked.trimmed = Some(7);
        let exactly = Bound::Exactly { end: slice.end, is_final: true };
        let (again, same) = read(&mut tracked, 0, exactly);
        assert_eq!((again.bytes_crc, same), (slice.bytes_crc, events));
        std::fs::remove_file(&path).unwrap();
    }
}
