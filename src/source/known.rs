//! Files that were done before: a finished file is known again by its receipt.
//!
//! *At a start and once an hour* every finished file is looked at, a few in each turn of the loop:
//! one that has grown since its receipt had a writer that outlived the grace time, and is read
//! from where the receipt ends. *A candidate* that is the very inode of a receipt (another hard
//! link, a file renamed back, a directory that was away) goes on there, too. Of a hundred thousand
//! receipts 8 bytes each are held in memory; the rest is looked up in the file.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::tracked::{self, born_ns, is_other_birth};
use crate::checkpoint::receipt::{self, ReadAll, Receipt};
use crate::checkpoint::record::TAIL_BYTES;
use crate::log;

/// Receipts looked at in one turn of the loop: about a millisecond.
const SWEEP_STEP: usize = 200;

/// A sweep begins so long after the end of the last one, ms.
const SWEEP_INTERVAL_MS: u64 = 3_600_000;

/// See the module.
pub struct Known {
    dir: PathBuf,
    /// Device and inode of every receipt, hashed and sorted.
    seen: Vec<u64>,
    sweep: Option<Sweep>,
    next_sweep_ms: u64,
}

struct Sweep {
    receipts: ReadAll,
    /// Files that are longer than some receipt of theirs, by device and inode: the newest receipt
    /// and the length.
    grown: HashMap<(u64, u64), (Receipt, u64)>,
}

impl Known {
    /// Reads the receipts in the tracker directory.
    pub fn load(dir: &Path) -> Known {
        let mut known =
            Known { dir: dir.to_owned(), seen: Vec::new(), sweep: None, next_sweep_ms: 0 };
        let mut damaged = 0;
        match receipt::read_all(dir) {
            Ok(all) => {
                for item in all {
                    match item {
                        Ok(r) => known.seen.push(key(r.device, r.inode)),
                        Err(_) => damaged += 1,
                    }
                }
            }
            Err(e) => log::warn(super::READER, format_args!("{e}")),
        }
        if damaged > 0 {
            log::warn(
                super::READER,
                format_args!(
                    "{damaged} lines of {} can not be read: their files are not known again.",
                    dir.join(receipt::FILE_NAME).display()
                ),
            );
        }
        known.seen.sort_unstable();
        known.seen.dedup();
        known
    }

    /// A receipt was written.
    pub fn add(&mut self, device: u64, inode: u64) {
        let key = key(device, inode);
        if let Err(at) = self.seen.binary_search(&key) {
            self.seen.insert(at, key);
        }
    }

    /// The newest receipt of this very file, if its first bytes are still those that were read.
    pub fn find(&self, file: &File, stat: &Metadata) -> Option<Receipt> {
        self.seen.binary_search(&key(stat.dev(), stat.ino())).ok()?;
        let mut newest = None;
        for receipt in receipt::read_all(&self.dir).ok()?.flatten() {
            if (receipt.device, receipt.inode) == (stat.dev(), stat.ino()) {
                newest = Some(receipt);
            }
        }
        newest.filter(|r| is_same(file, stat, r, false))
    }

    /// Looks at some finished files, if it is time to. Returns those that have grown.
    pub fn sweep(&mut self, now_ms: u64, path: impl Fn(&[u8]) -> PathBuf) -> Vec<Receipt> {
        if self.sweep.is_none() && now_ms >= self.next_sweep_ms {
            self.next_sweep_ms = now_ms + SWEEP_INTERVAL_MS;
            let receipts = receipt::read_all(&self.dir).ok();
            self.sweep = receipts.map(|receipts| Sweep { receipts, grown: HashMap::new() });
        }
        let Some(sweep) = &mut self.sweep else { return Vec::new() };
        for _ in 0..SWEEP_STEP {
            match sweep.receipts.next() {
                Some(Ok(receipt)) => sweep.look_at(receipt, &path),
                Some(Err(_)) => {}
                None => {
                    let grown = self.sweep.take().map(|s| s.grown).unwrap_or_default();
                    let is_longer = |(r, len): (Receipt, u64)| (len > r.size).then_some(r);
                    return grown.into_values().filter_map(is_longer).collect();
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
        let key = (receipt.device, receipt.inode);
        if let Some((newest, _)) = self.grown.get_mut(&key) {
            *newest = receipt;
            return;
        }
        if receipt.completed.is_empty() {
            return;
        }
        let Ok(stat) = std::fs::metadata(path(&receipt.completed)) else { return };
        if stat.ino() == receipt.inode && stat.is_file() && stat.len() > receipt.size {
            self.grown.insert(key, (receipt, stat.len()));
        }
    }
}

/// Is `file` the one that the receipt speaks of, by birth and fingerprints?
///
/// `is_in_place`: it has the name that the receipt says, so that it may have been written to.
pub fn is_same(file: &File, stat: &Metadata, receipt: &Receipt, is_in_place: bool) -> bool {
    if stat.ino() != receipt.inode
        || is_other_birth(born_ns(stat), receipt.born_ns)
        || stat.len() < receipt.size
    {
        return false;
    }
    // Without a time of birth, an inode that was used again may hold the same few bytes: then only
    // a file that has not been written to since can be the old one.
    let is_born = born_ns(stat) != 0 && receipt.born_ns != 0;
    if !is_born && !is_in_place && tracked::modified_ms(stat) > receipt.finished_ms {
        return false;
    }
    let tail_len = receipt.size.min(TAIL_BYTES as u64);
    let head = tracked::bytes_match(file, 0, receipt.head_len as usize, receipt.head_crc);
    let tail =
        tracked::bytes_match(file, receipt.size - tail_len, tail_len as usize, receipt.tail_crc);
    head.unwrap_or(false) && tail.unwrap_or(false)
}

fn key(device: u64, inode: u64) -> u64 {
    inode ^ device.rotate_left(40)
}
