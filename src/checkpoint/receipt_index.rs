//! Where in the file of receipts those of a file stand, so that one of a hundred thousand is found
//! with one read.
//!
//! What a receipt may be asked for by (device and inode, for instance) is hashed to a key. Key and
//! offset of its line share eight bytes: 24 bits tell keys apart, 40 are the offset. A line that
//! is found by a key that equals another one's by chance is told by its content. Receipts that were
//! appended since are read when the next question comes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::receipt::{FILE_NAME, LINE_BYTES_MAX, ReadAll, Receipt, ReceiptError};
use crate::os;

/// Bits of an entry that are the offset; 1 TB of receipts is more than any directory has.
const OFFSET_BITS: u32 = 40;
/// What one read asks for, bytes: a line of a usual length.
const READ_BYTES: usize = 1024;

/// Tells the keys of a receipt.
pub type Keys = fn(&Receipt, &mut dyn FnMut(u64));

/// An index of all receipts in the file.
#[derive(Debug)]
pub struct ReceiptIndex {
    path: PathBuf,
    keys: Keys,
    /// Where the names in receipts are told from.
    names_from: PathBuf,
    /// Sorted: the newest receipt of a key is the last of it.
    entries: Vec<u64>,
    /// Device and inode of the file, and up to where it was read.
    read: Option<((u64, u64), u64)>,
    is_behind: bool,
}

impl ReceiptIndex {
    /// Of the tracker directory `dir`, with names that are told from `names_from`. Nothing is read yet.
    pub fn new(dir: &Path, names_from: &Path, keys: Keys) -> ReceiptIndex {
        let (path, names_from) = (dir.join(FILE_NAME), names_from.to_owned());
        ReceiptIndex { path, keys, names_from, entries: Vec::new(), read: None, is_behind: true }
    }

    /// Receipts were appended.
    pub fn note_growth(&mut self) {
        self.is_behind = true;
    }

    /// Reads what was appended since the last time, or everything if the file is another one.
    /// Returns how many lines could not be read: their files are not known again.
    ///
    /// # Errors
    /// Where the file cannot be read now. It is read on at the next call.
    pub fn catch_up(&mut self) -> Result<u64, ReceiptError> {
        if !self.is_behind {
            return Ok(0);
        }
        let failed = |error| ReceiptError::Read { path: self.path.clone(), error };
        let mut file = match os::read_own(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                (self.entries, self.read, self.is_behind) = (Vec::new(), None, false);
                return Ok(0);
            }
            Err(error) => return Err(failed(error)),
        };
        let stat = file.metadata().map_err(failed)?;
        let identity = (stat.dev(), stat.ino());
        let start = match self.read {
            Some((known, end)) if known == identity && end <= stat.len() => end,
            _ => 0,
        };
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        if start == 0 {
            self.entries.clear();
        }
        self.read = Some((identity, start));
        let mut all = ReadAll::of(self.path.clone(), file, start);
        let mut damaged = 0;
        while let Some(item) = all.next() {
            match item {
                Ok(receipt) => {
                    let (at, receipt) = (all.start_of_last(), receipt.told_from(&self.names_from));
                    (self.keys)(&receipt, &mut |key| self.entries.push(entry(key, at)));
                }
                Err(ReceiptError::Damaged { .. }) => damaged += 1,
                Err(e) => {
                    // What was read so far is read again.
                    self.sort();
                    return Err(e);
                }
            }
        }
        self.read = Some((identity, all.end_of_whole()));
        self.is_behind = false;
        self.sort();
        Ok(damaged)
    }

    fn sort(&mut self) {
        // What was sorted before is a run, into which the new ones are merged.
        self.entries.sort();
        self.entries.dedup();
    }

    /// May there be a receipt with this key? Asks the memory alone, unless receipts were appended.
    pub fn may_hold(&mut self, key: u64) -> bool {
        self.catch_up().is_err() || self.hits(key).next().is_some()
    }

    /// Offsets of the lines of this key, oldest first.
    fn hits(&self, key: u64) -> impl DoubleEndedIterator<Item = u64> {
        let end = |next: u64| self.entries.partition_point(|e| *e >> OFFSET_BITS < next);
        let hits = &self.entries[end(hash(key))..end(hash(key) + 1)];
        hits.iter().map(|entry| entry & ((1 << OFFSET_BITS) - 1))
    }

    /// The newest receipt with this key of which `is_it` is true, and the offset of its line.
    ///
    /// # Errors
    /// Where it cannot be told now.
    pub fn newest(
        &mut self,
        key: u64,
        is_it: impl Fn(&Receipt) -> bool,
    ) -> Result<Option<(Receipt, u64)>, ReceiptError> {
        self.catch_up()?;
        match self.look_up(key, &is_it)? {
            Found::Answer(answer) => Ok(answer),
            Found::OtherFile => {
                self.read = None;
                self.is_behind = true;
                self.catch_up()?;
                match self.look_up(key, &is_it)? {
                    Found::Answer(answer) => Ok(answer),
                    Found::OtherFile => {
                        let error = io::Error::other("another process is changing it");
                        Err(ReceiptError::Read { path: self.path.clone(), error })
                    }
                }
            }
        }
    }

    fn look_up(&self, key: u64, is_it: impl Fn(&Receipt) -> bool) -> Result<Found, ReceiptError> {
        let mut hits = self.hits(key).rev().peekable();
        if hits.peek().is_none() {
            return Ok(Found::Answer(None));
        }
        let file = match os::read_own(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::OtherFile),
            Err(error) => return Err(ReceiptError::Read { path: self.path.clone(), error }),
        };
        for at in hits {
            let line = line_at(&file, at)
                .map_err(|error| ReceiptError::Read { path: self.path.clone(), error })?;
            match Receipt::parse(&line).map(|receipt| receipt.told_from(&self.names_from)) {
                Some(receipt) if is_it(&receipt) => return Ok(Found::Answer(Some((receipt, at)))),
                Some(_) => {}
                None => return Ok(Found::OtherFile),
            }
        }
        Ok(Found::Answer(None))
    }
}

/// What a look at the lines of a key finds.
enum Found {
    Answer(Option<(Receipt, u64)>),
    /// The file is not the one that was read.
    OtherFile,
}

fn line_at(mut file: &File, at: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut line = Vec::new();
    let input = BufReader::with_capacity(READ_BYTES, file);
    input.take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> OFFSET_BITS
}

fn entry(key: u64, at: u64) -> u64 {
    hash(key) << OFFSET_BITS | at.min((1 << OFFSET_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::receipt::Receipts;
    use crate::checkpoint::scratch::Scratch;

    fn receipt(inode: u64, lines: u64) -> Receipt {
        Receipt { name: b"a.log".to_vec(), inode, lines, ..Receipt::default() }
    }

    fn by_inode(receipt: &Receipt, tell: &mut dyn FnMut(u64)) {
        tell(receipt.inode);
    }

    fn lines(index: &mut ReceiptIndex, inode: u64) -> Option<u64> {
        index.newest(inode, |r| r.inode == inode).unwrap().map(|(r, _)| r.lines)
    }

    #[test]
    fn the_newest_is_found_also_of_those_that_came_later() {
        let scratch = Scratch::new("receipt-index");
        let mut index = ReceiptIndex::new(&scratch.dir, &scratch.dir, by_inode);
        assert_eq!(lines(&mut index, 1), None);
        let mut receipts = Receipts::new(&scratch.dir);
        let many: Vec<Receipt> = (0..1000).map(|n| receipt(n % 500, n)).collect();
        receipts.append_all(&many).unwrap();
        assert_eq!(lines(&mut index, 1), None);
        index.note_growth();
        assert_eq!(lines(&mut index, 1), Some(501));
        assert_eq!(lines(&mut index, 499), Some(999));
        assert_eq!(lines(&mut index, 500), None);
        receipts.append(&receipt(1, 7777)).unwrap();
        index.note_growth();
        assert_eq!(lines(&mut index, 1), Some(7777));
        assert_eq!(lines(&mut index, 2), Some(502));
    }

    #[test]
    fn keys_that_are_alike_by_chance_are_told_by_the_lines() {
        let scratch = Scratch::new("receipt-index-alike");
        Receipts::new(&scratch.dir).append_all(&[receipt(1, 10), receipt(2, 20)]).unwrap();
        let mut index = ReceiptIndex::new(&scratch.dir, &scratch.dir, |_, tell| tell(0));
        let found = index.newest(0, |r| r.inode == 1).unwrap();
        assert_eq!(found.map(|(r, _)| r.lines), Some(10));
        assert_eq!(index.newest(0, |r| r.inode == 3).unwrap(), None);
    }

    /// A crash has left a piece of a line, and the file is moved away later.
    #[test]
    fn what_a_crash_or_somebody_else_does_to_the_file_is_seen() {
        let scratch = Scratch::new("receipt-index-changed");
        let path = scratch.dir.join(FILE_NAME);
        let mut receipts = Receipts::new(&scratch.dir);
        receipts.append_all(&[receipt(1, 10), receipt(2, 20)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut index = ReceiptIndex::new(&scratch.dir, &scratch.dir, by_inode);
        assert_eq!(index.catch_up().unwrap(), 0);
        receipts.append_all(&[receipt(3, 30)]).unwrap();
        index.note_growth();
        assert_eq!((lines(&mut index, 1), lines(&mut index, 2)), (Some(10), None));
        assert_eq!(lines(&mut index, 3), Some(30));
        // As long as the old one, at the same place.
        std::fs::write(&path, vec![b'x'; 4096]).unwrap();
        assert_eq!(lines(&mut index, 3), None);
        std::fs::remove_file(&path).unwrap();
        receipts.append_all(&[receipt(4, 40), receipt(3, 33)]).unwrap();
        index.note_growth();
        assert_eq!((lines(&mut index, 1), lines(&mut index, 3)), (None, Some(33)));
    }

    #[test]
    fn what_cannot_be_read_now_is_an_error_and_not_an_unknown_file() {
        let scratch = Scratch::new("receipt-index-refused");
        std::fs::create_dir(scratch.dir.join(FILE_NAME)).unwrap();
        let mut index = ReceiptIndex::new(&scratch.dir, &scratch.dir, by_inode);
        assert!(index.newest(1, |_| true).is_err());
        std::fs::remove_dir(scratch.dir.join(FILE_NAME)).unwrap();
        Receipts::new(&scratch.dir).append(&receipt(1, 10)).unwrap();
        assert_eq!(lines(&mut index, 1), Some(10));
    }
}
