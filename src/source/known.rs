//! Files that were done before: a finished file is known again by its receipt.
//!
//! *At a start and once an hour* every finished file is looked at, a few in each turn of the loop:
//! one that has grown since its receipt had a writer that outlived the grace time, and is read
//! from where the receipt ends. *A candidate* that is the very inode of a receipt (another hard
//! link, a file renamed back, a directory that was away) goes on there, too. Of a hundred thousand
//! receipts 24 bytes each are held in memory; the rest is looked up in the file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::hints::{Hints, born_ns, is_other_birth, modified_ms};
use super::quest::PROOF_BYTES;
use super::reach;
use super::retire::{HIDDEN, HIDDEN_BESIDE};
use super::tracked;
use super::trimmed::{padded_crc, zeros_before};
use crate::checkpoint::receipt::{self, ReadAll, Receipt, ReceiptError};
use crate::checkpoint::receipt_index::ReceiptIndex;
use crate::checkpoint::record::{FileRecord, HEAD_BYTES, TAIL_BYTES};
use crate::log::{self, counted};

/// Receipts looked at in one turn of the loop: about a millisecond.
const SWEEP_STEP: usize = 200;

/// Time from the end of one sweep to the next, ms.
const SWEEP_INTERVAL_MS: u64 = 3_600_000;
/// The same after a sweep for which the receipts could not be opened, ms.
const SWEEP_RETRY_MS: u64 = 4_000;

/// What is held of all receipts, and whose turn it is to be looked at.
pub struct Known {
    dir: PathBuf,
    /// Where the names of files are told from.
    root: PathBuf,
    /// By device and inode, by inode and time of birth, by name and first bytes, and by the name of what
    /// waits to be deleted.
    index: ReceiptIndex,
    /// Files that turned out to be others than the receipts with their names, by device and inode: when each was born,
    /// ns since 1970.
    dismissed: HashMap<(u64, u64), i64>,
    sweep: Option<Sweep>,
    next_sweep_ms: u64,
    /// In this many bytes of receipts the numbers are those of the files from which these were copied.
    void_bytes: u64,
}

struct Sweep {
    receipts: ReadAll,
    /// Files that are longer than some receipt of theirs: the newest receipt and the length.
    grown: Vec<(Receipt, u64)>,
    /// Where each of them is in the list: by the name that it was left under, and by device, inode and time of
    /// birth, those of the receipt and those of the file that is there now. Numbers may have changed between two
    /// receipts of one file, and may be another file's by now.
    by_number: HashMap<Number, usize>,
    by_path: HashMap<Vec<u8>, usize>,
}

/// Device, inode and time of birth.
type Number = (u64, u64, i64);

/// Is a file the one that a receipt speaks of?
#[derive(Debug, PartialEq)]
pub enum Same {
    Yes(Receipt),
    /// If every byte is the same: to be compared.
    Perhaps(Receipt),
    No,
}

/// Where a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Under the name that the receipt left it under.
    Own,
    /// Under the name that it was read under.
    Name,
    /// Likewise, in a directory that was copied or restored: numbers say nothing.
    Copied,
    Other,
}

impl Known {
    /// Reads the receipts in the tracker directory; names are told from `root`.
    pub fn load(dir: &Path, root: &Path) -> Known {
        let mut known = Known {
            dir: dir.to_owned(),
            root: root.to_owned(),
            index: ReceiptIndex::new(dir, root, keys),
            dismissed: HashMap::new(),
            sweep: None,
            next_sweep_ms: 0,
            void_bytes: 0,
        };
        if let Err(e) = known.catch_up() {
            log::warn(super::READER, format_args!("{e}. It is tried again."));
        }
        known
    }

    fn catch_up(&mut self) -> Result<(), ReceiptError> {
        let damaged = self.index.catch_up()?;
        if damaged > 0 {
            log::warn(
                super::READER,
                format_args!(
                    "{} of {} cannot be read: finished files are not recognised by them.",
                    counted(damaged, "line"),
                    self.dir.join(receipt::FILE_NAME).display()
                ),
            );
        }
        Ok(())
    }

    /// See [`super::Files::distrust_hints`].
    pub fn distrust_numbers(&mut self, are_void: bool, bytes: u64) {
        let stat = std::fs::metadata(self.dir.join(receipt::FILE_NAME));
        self.void_bytes = match stat {
            Ok(stat) if are_void => stat.len(),
            Ok(stat) => bytes.min(stat.len()),
            Err(e) if reach::is_nothing_there(&e) => 0,
            Err(_) => bytes,
        };
    }

    pub fn void_bytes(&self) -> u64 {
        self.void_bytes
    }

    /// A receipt was written.
    pub fn add(&mut self, record: &FileRecord) {
        self.dismissed.remove(&(record.device, record.inode));
        self.index.note_growth();
    }

    /// Receipts were renewed.
    pub fn note_growth(&mut self) {
        self.index.note_growth();
    }

    /// This file is not a known one, whatever its name says.
    pub fn dismiss(&mut self, hints: Hints) {
        self.dismissed.insert((hints.device, hints.inode), hints.born_ns);
    }

    /// The newest receipt of this very file, by its numbers, else of one with its name and first
    /// bytes. A copy under another name is a new file.
    ///
    /// # Errors
    /// Where the receipts cannot be read now: then it cannot be told.
    pub fn find(
        &mut self,
        file: &File,
        stat: &Metadata,
        name: &[u8],
    ) -> Result<Same, ReceiptError> {
        let dismissed = self.dismissed.get(&(stat.dev(), stat.ino()));
        if dismissed.is_some_and(|&born| !is_other_birth(born, born_ns(stat))) {
            return Ok(Same::No);
        }
        self.catch_up()?;
        let newest = self.by_numbers(stat)?;
        let by_numbers = newest.map_or(Same::No, |r| same(file, stat, r, Place::Other));
        if by_numbers != Same::No {
            return Ok(by_numbers);
        }
        let (head_len, head_crc) = head_of(file, stat).unwrap_or_default();
        let mut namesake = None;
        for len in [head_len, 0] {
            if namesake.is_none() {
                // The one with its numbers was asked, unless these are another inode's, as in a receipt that was copied.
                namesake = self.index.newest(name_key(name, len, head_crc), |r| {
                    let is_other = is_other_birth(r.born_ns, born_ns(stat));
                    r.name == name && (is_other || !has_numbers(r, stat))
                })?;
            }
        }
        Ok(namesake.map_or(Same::No, |(receipt, at)| {
            let place = if at < self.void_bytes { Place::Copied } else { Place::Name };
            same(file, stat, receipt, place)
        }))
    }

    /// The newest of this very inode, whatever number its device has by now, else of one with its numbers.
    fn by_numbers(&mut self, stat: &Metadata) -> Result<Option<Receipt>, ReceiptError> {
        // What was thrown away stands nowhere, though what the file holds now has its numbers.
        let is_very = |r: &Receipt| is_very_inode(r, stat) && !r.completed.is_empty();
        let mut found = self.index.newest(birth_key(stat.ino(), born_ns(stat)), is_very)?;
        if found.is_none() {
            let is_its = |r: &Receipt| has_numbers(r, stat) && !r.completed.is_empty();
            found = self.index.newest(key(stat.dev(), stat.ino()), is_its)?;
        }
        Ok(found.map(|(receipt, _)| receipt))
    }

    /// The newest receipt of a file that was hidden to be deleted, which has a name like no other.
    ///
    /// # Errors
    /// Where the receipts cannot be read now: then it cannot be told.
    pub fn find_hidden(
        &mut self,
        file: &File,
        stat: &Metadata,
        name: &OsStr,
    ) -> Result<Same, ReceiptError> {
        self.catch_up()?;
        let own = leaf(name.as_bytes());
        let by_name = self.index.newest(leaf_key(own), |r| leaf(&r.completed) == own)?;
        let newest = match by_name {
            Some((receipt, _)) => Some(receipt),
            None => self.by_numbers(stat)?,
        };
        Ok(newest.map_or(Same::No, |r| same(file, stat, r, Place::Copied)))
    }

    /// May there be a receipt of the file with these numbers?
    pub fn may_hold(&mut self, device: u64, inode: u64) -> bool {
        self.index.may_hold(key(device, inode))
    }

    /// May there be a receipt of a file that was read under this name and begins as this one does?
    pub fn may_hold_name(&mut self, name: &[u8], file: &File, stat: &Metadata) -> bool {
        let (head_len, head_crc) = head_of(file, stat).unwrap_or_default();
        [head_len, 0].into_iter().any(|len| self.index.may_hold(name_key(name, len, head_crc)))
    }

    /// All receipts that can be read, the newest last.
    pub fn receipts(&self) -> impl Iterator<Item = Receipt> {
        let all = receipt::read_all(&self.dir).into_iter().flatten().flatten();
        all.map(|receipt| receipt.told_from(&self.root))
    }

    /// Looks at some finished files, if it is time to. Returns those that have grown.
    pub fn sweep(&mut self, now_ms: u64, path: impl Fn(&[u8]) -> PathBuf) -> Vec<Receipt> {
        if self.sweep.is_none() && now_ms >= self.next_sweep_ms {
            self.next_sweep_ms = now_ms + SWEEP_INTERVAL_MS;
            match receipt::read_all(&self.dir) {
                Ok(receipts) => {
                    self.sweep = Some(Sweep {
                        receipts,
                        grown: Vec::new(),
                        by_number: HashMap::new(),
                        by_path: HashMap::new(),
                    });
                }
                Err(_) => self.next_sweep_ms = now_ms + SWEEP_RETRY_MS,
            }
        }
        let Some(sweep) = &mut self.sweep else { return Vec::new() };
        for _ in 0..SWEEP_STEP {
            match sweep.receipts.next() {
                Some(Ok(receipt)) => sweep.look_at(receipt.told_from(&self.root), &path),
                Some(Err(_)) => {}
                None => {
                    let grown = self.sweep.take().map(|s| s.grown).unwrap_or_default();
                    let is_longer = |(r, len): (Receipt, u64)| (len > r.size).then_some(r);
                    return grown.into_iter().filter_map(is_longer).collect();
                }
            }
        }
        Vec::new()
    }

    /// A sweep is under way: its next step should not wait.
    pub fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }
}

impl Sweep {
    fn look_at(&mut self, receipt: Receipt, path: impl Fn(&[u8]) -> PathBuf) {
        let number = (receipt.device, receipt.inode, receipt.born_ns);
        let at = self.by_number.get(&number).or_else(|| self.by_path.get(&receipt.completed));
        if let Some(&at) = at {
            self.grown[at].0 = receipt;
            return;
        }
        if receipt.completed.is_empty() {
            return;
        }
        let Ok(stat) = std::fs::metadata(path(&receipt.completed)) else { return };
        let here = (stat.dev(), stat.ino(), born_ns(&stat));
        if let Some(&at) = self.by_number.get(&here) {
            // Another name of it.
            self.grown[at].0 = receipt;
        } else if stat.is_file() && stat.len() > receipt.size {
            let at = self.grown.len();
            self.by_number.insert(here, at);
            // Without a time of birth another file may have the number that this one had.
            if receipt.born_ns != 0 || receipt.inode == stat.ino() {
                self.by_number.insert(number, at);
            }
            self.by_path.insert(receipt.completed.clone(), at);
            self.grown.push((receipt, stat.len()));
        }
    }
}

/// Is `file`, found at such a place, the one that the receipt speaks of?
pub fn same(file: &File, stat: &Metadata, receipt: Receipt, place: Place) -> Same {
    let tail_len = receipt.size.min(TAIL_BYTES as u64);
    let is_very = is_very_inode(&receipt, stat);
    let is_here = place != Place::Other || is_very || has_numbers(&receipt, stat);
    if stat.len() < receipt.size {
        let may_be = is_here && may_be_trimmed(file, stat.len(), &receipt).unwrap_or(false);
        return if may_be { Same::Perhaps(receipt) } else { Same::No };
    }
    let head = tracked::bytes_match(file, 0, receipt.head_len as usize, receipt.head_crc);
    let tail =
        tracked::bytes_match(file, receipt.size - tail_len, tail_len as usize, receipt.tail_crc);
    let is_used = || is_here && zeros_before(file, receipt.size, receipt.tail_crc).is_some();
    match (head.unwrap_or(false), tail.unwrap_or(false)) {
        (true, true) => {}
        (true, false) if is_used() => return Same::Perhaps(receipt),
        _ => return Same::No,
    }
    let old = Hints { device: receipt.device, inode: receipt.inode, born_ns: receipt.born_ns };
    let now = Hints::of(stat);
    // Without a time of birth, an inode that was used again may hold the same few bytes: then only
    // a file that has not been written to since can be the old one without a comparison.
    let is_born = now.born_ns != 0 && old.born_ns != 0;
    let is_unwritten = modified_ms(stat) <= receipt.finished_ms;
    if now.agree(old) && (is_born || is_unwritten || place == Place::Own) {
        return Same::Yes(receipt);
    }
    let is_copy = place == Place::Other && is_other_birth(now.born_ns, old.born_ns);
    if receipt.size >= PROOF_BYTES && !is_copy {
        return Same::Perhaps(receipt);
    }
    // So few bytes prove nothing: name and numbers decide.
    let is_renumbered = now.inode == old.inode
        && !is_other_birth(now.born_ns, old.born_ns)
        && (is_very || place != Place::Other);
    if is_renumbered || place == Place::Copied { Same::Yes(receipt) } else { Same::No }
}

/// Is it the file of the receipt without zeros at its end ([`super::trimmed`]), by its last bytes?
fn may_be_trimmed(file: &File, size: u64, receipt: &Receipt) -> io::Result<bool> {
    let tail_len = receipt.size.min(TAIL_BYTES as u64);
    let start = receipt.size - tail_len;
    Ok(padded_crc(file, start, receipt.size, size)? == receipt.tail_crc)
}

/// Length and CRC-32 of what is compared first of a file.
fn head_of(file: &File, stat: &Metadata) -> Option<(u32, u32)> {
    let mut head = [0u8; HEAD_BYTES];
    let len = HEAD_BYTES.min(usize::try_from(stat.len()).unwrap_or(HEAD_BYTES));
    file.read_exact_at(&mut head[..len], 0).ok()?;
    Some((len as u32, crc32fast::hash(&head[..len])))
}

fn has_numbers(receipt: &Receipt, stat: &Metadata) -> bool {
    (receipt.device, receipt.inode) == (stat.dev(), stat.ino())
}

/// The same inode, by its time of birth?
fn is_very_inode(receipt: &Receipt, stat: &Metadata) -> bool {
    let born_ns = born_ns(stat);
    born_ns != 0 && (receipt.inode, receipt.born_ns) == (stat.ino(), born_ns)
}

/// Do the numbers in the receipt tell its file, which has these, under any name? Not after everything was copied.
pub fn tells_by_numbers(receipt: &Receipt, now: Hints) -> bool {
    let old = Hints { device: receipt.device, inode: receipt.inode, born_ns: receipt.born_ns };
    let is_very = old.born_ns != 0 && (old.inode, old.born_ns) == (now.inode, now.born_ns);
    is_very || now.agree(old)
}

/// What a receipt is asked for by.
fn keys(receipt: &Receipt, tell: &mut dyn FnMut(u64)) {
    tell(key(receipt.device, receipt.inode));
    if receipt.born_ns != 0 {
        tell(birth_key(receipt.inode, receipt.born_ns));
    }
    tell(name_key(&receipt.name, receipt.head_len, receipt.head_crc));
    let leaf = leaf(&receipt.completed);
    if is_hidden(leaf) {
        tell(leaf_key(leaf));
    }
}

/// The last part of a path.
fn leaf(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

/// Is that a name under which a file waits to be deleted?
fn is_hidden(leaf: &[u8]) -> bool {
    leaf.strip_prefix(HIDDEN_BESIDE.as_bytes()).unwrap_or(leaf).starts_with(HIDDEN.as_bytes())
}

fn leaf_key(leaf: &[u8]) -> u64 {
    u64::from(crc32fast::hash(leaf)) | 1 << 62
}

fn key(device: u64, inode: u64) -> u64 {
    inode ^ device.rotate_left(40)
}

fn birth_key(inode: u64, born_ns: i64) -> u64 {
    inode ^ (born_ns as u64).rotate_left(23)
}

/// Of a file that is shorter than its fingerprint may become, the name alone.
fn name_key(name: &[u8], head_len: u32, head_crc: u32) -> u64 {
    let is_whole = head_len as usize == HEAD_BYTES;
    let content = if is_whole { u64::from(head_crc) | 1 << 32 } else { 0 };
    u64::from(crc32fast::hash(name)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ content << 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::receipt::Receipts;

    /// A directory with `a` of 30 bytes, `b` of 10, and another name of `a`, `link`.
    struct Finished(PathBuf);

    impl Finished {
        fn new(label: &str) -> Finished {
            let name = format!("flume-ng-known-{label}-{}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("a"), [b'x'; 30]).unwrap();
            std::fs::write(dir.join("b"), [b'x'; 10]).unwrap();
            std::fs::hard_link(dir.join("a"), dir.join("link")).unwrap();
            Finished(dir)
        }

        /// The receipt that the file of that name would have.
        fn receipt(&self, name: &str, size: u64) -> Receipt {
            let stat = self.0.join(name).metadata().unwrap();
            let (device, inode, born_ns) = (stat.dev(), stat.ino(), born_ns(&stat));
            let completed = name.as_bytes().to_vec();
            Receipt { completed, device, inode, born_ns, size, ..Receipt::default() }
        }

        /// What a sweep finds by these receipts: names and sizes.
        fn sweep(&self, receipts: [Receipt; 2]) -> Vec<(String, u64)> {
            let _ = std::fs::remove_file(self.0.join(receipt::FILE_NAME));
            let mut all = Receipts::new(&self.0);
            receipts.iter().for_each(|receipt| all.append(receipt).unwrap());
            let grown =
                Known::load(&self.0, &self.0).sweep(0, |name| self.0.join(OsStr::from_bytes(name)));
            let told = |r: Receipt| (String::from_utf8(r.completed).unwrap(), r.size);
            grown.into_iter().map(told).collect()
        }
    }

    impl Drop for Finished {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// The file was replaced by its like, which has grown, and a file that was done later has got its inode.
    #[test]
    fn a_receipt_of_a_file_that_has_a_grown_ones_old_inode_does_not_take_its_place() {
        let dir = Finished::new("old-inode");
        let b = dir.receipt("b", 10);
        for (born_before, born_ns) in [(1, b.born_ns), (0, 0)] {
            let a = Receipt { inode: b.inode, born_ns: born_before, ..dir.receipt("a", 10) };
            let b = Receipt { born_ns, ..b.clone() };
            assert_eq!(dir.sweep([a, b]), [("a".to_owned(), 10)], "{born_before}");
        }
    }

    #[test]
    fn a_later_receipt_of_a_grown_file_takes_the_place_of_the_one_before() {
        let dir = Finished::new("later");
        let a = dir.receipt("a", 10);
        let other = Receipt { inode: 1, born_ns: 1, ..a.clone() };
        let gone = |of: &Receipt| Receipt { completed: b"gone".to_vec(), size: 20, ..of.clone() };
        let renumbered = Receipt { device: a.device + 1, born_ns: 0, ..a.clone() };
        let found = [("gone".to_owned(), 20)];
        // By the numbers of the inode that is there, of both receipts, of both and the inode.
        assert_eq!(dir.sweep([other.clone(), gone(&a)]), found);
        assert_eq!(dir.sweep([other.clone(), gone(&other)]), found);
        assert_eq!(dir.sweep([renumbered.clone(), gone(&renumbered)]), found);
        // By its name, and by another one.
        assert_eq!(
            dir.sweep([a.clone(), Receipt { size: 25, ..other.clone() }]),
            [("a".to_owned(), 25)]
        );
        let link = Receipt { completed: b"link".to_vec(), inode: 2, ..other.clone() };
        assert_eq!(dir.sweep([other, Receipt { size: 30, ..link }]), []);
    }

    /// A file that was none of the known ones is deleted, and one that is put back gets its inode.
    #[test]
    fn what_a_file_was_not_is_not_said_of_another_one_with_its_number() {
        let dir = Finished::new("dismissed");
        let tail_crc = crc32fast::hash(&[b'x'; 30]);
        let receipt = Receipt { tail_crc, ..dir.receipt("a", 30) };
        Receipts::new(&dir.0).append(&receipt).unwrap();
        let file = File::open(dir.0.join("a")).unwrap();
        let stat = file.metadata().unwrap();
        let mut known = Known::load(&dir.0, &dir.0);
        let here = Hints::of(&stat);
        let others = Hints { born_ns: here.born_ns - 1, ..here };
        for (dismissed, is_known) in [(others, here.born_ns != 0), (here, false)] {
            known.dismiss(dismissed);
            let found = known.find(&file, &stat, b"a").unwrap();
            assert_eq!(found != Same::No, is_known);
        }
    }
}
