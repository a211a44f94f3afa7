//! The files without a descriptor: their records, and what is asked of all of them at once.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::hash::{BuildHasher, Hash};

use super::hints::Hints;
use super::numbers::ByNumbers;
use super::tracked::Watch;
use crate::checkpoint::record::{FileRecord, FileState, HEAD_BYTES};

/// A file without a descriptor. All of it that was read is in the topic.
pub struct Parked {
    pub record: FileRecord,
    /// Size and modification time (s, ns) at the last look before it was parked.
    pub(super) seen: (u64, i64, i64),
    /// Since when it was left alone then.
    pub(super) watch: Option<Watch>,
    /// Monotonic time at which the grace time of one that was moved aside may be over.
    pub(super) due_ms: u64,
    /// See [`Tracked::away_ms`].
    pub(super) away_ms: Option<u64>,
    /// Monotonic time from which on the record needs no marks, nor names that the file had.
    pub(super) marks_end_ms: u64,
}

impl Parked {
    pub(super) fn is_draining(&self) -> bool {
        self.record.state == FileState::Draining
    }
}

/// Files whose descriptors are closed, looked at by name.
#[derive(Default)]
pub struct Parking {
    pub(super) files: Vec<Parked>,
    /// Device and inode of each of them, and how many have them by their records: a candidate of ten thousand is
    /// asked for every listing.
    identities: HashMap<(u64, u64), usize, ByNumbers>,
    /// How many of them begin with 256 bytes of this CRC-32, and how many are none of these: each file that is
    /// begun is compared with all of them.
    heads: HashMap<u32, usize>,
    short: usize,
    /// How many of them are draining.
    pub(super) draining: usize,
    pub(super) next: usize,
    pub(super) looked_ms: u64,
    /// A notice tells of each change.
    pub(super) is_told: bool,
    /// So many are to be looked at all the same, and soon: notices were lost, or they changed before there
    /// were any.
    pub(super) untold: usize,
    /// Names that were written to, as the kernel says, and that no open file has.
    pub(super) notices: HashSet<OsString>,
    /// In this look there was no room for one that may end.
    pub(super) lacks_room: bool,
}

impl Parking {
    /// Does a record have these numbers? They may be another file's by now: only one that is open keeps its own.
    pub fn holds(&self, device: u64, inode: u64) -> bool {
        self.identities.contains_key(&(device, inode))
    }

    /// Records that have these numbers and no other time of birth.
    pub(super) fn alike(&self, hints: Hints) -> impl Iterator<Item = &FileRecord> {
        let is_held = self.holds(hints.device, hints.inode);
        let files = if is_held { &self.files[..] } else { &[] };
        let records = files.iter().map(|parked| &parked.record);
        records.filter(move |record| Hints::of_record(record).agree(hints))
    }

    pub fn records(&self) -> impl Iterator<Item = &FileRecord> {
        self.files.iter().map(|p| &p.record)
    }

    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut FileRecord> {
        self.files.iter_mut().map(|p| &mut p.record)
    }

    /// Records, each with the size at which nothing was left to read of its file.
    pub fn read_to(&self) -> impl Iterator<Item = (&FileRecord, u64)> {
        self.files.iter().map(|parked| (&parked.record, parked.seen.0))
    }

    pub(super) fn push(&mut self, mut parked: Parked) {
        let record = &mut parked.record;
        record.ranges.shrink_to_fit();
        *self.identities.entry((record.device, record.inode)).or_default() += 1;
        match whole_head(&parked.record) {
            Some(crc) => *self.heads.entry(crc).or_default() += 1,
            None => self.short += 1,
        }
        self.draining += usize::from(parked.is_draining());
        self.files.push(parked);
    }

    pub(super) fn take(&mut self, at: usize) -> Parked {
        let parked = self.files.swap_remove(at);
        take_one(&mut self.identities, (parked.record.device, parked.record.inode));
        match whole_head(&parked.record) {
            Some(crc) => take_one(&mut self.heads, crc),
            None => self.short -= 1,
        }
        self.draining -= usize::from(parked.is_draining());
        parked
    }

    pub(super) fn place_of(&self, id: u64) -> Option<usize> {
        self.files.iter().position(|parked| parked.record.id == id)
    }

    /// May one of them begin like a file of which the first 256 bytes have that CRC-32?
    pub(super) fn may_begin_so(&self, head_crc: u32) -> bool {
        self.short > 0 || self.heads.contains_key(&head_crc)
    }

    /// Does a notice tell of each change?
    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Each file may have changed without a notice.
    pub(super) fn distrust_notices(&mut self) {
        self.untold = self.files.len();
    }
}

/// One less of that key.
fn take_one<K: Eq + Hash, S: BuildHasher>(counts: &mut HashMap<K, usize, S>, key: K) {
    if let Entry::Occupied(mut others) = counts.entry(key) {
        *others.get_mut() -= 1;
        if *others.get() == 0 {
            others.remove();
        }
    }
}

/// CRC-32 of the first 256 bytes, if so many of it were read.
fn whole_head(record: &FileRecord) -> Option<u32> {
    (record.head_len as usize == HEAD_BYTES).then_some(record.head_crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two records have one number while one of them is not known to have lost it.
    #[test]
    fn a_number_is_held_until_the_last_one_is_taken_that_has_it() {
        let mut parking = Parking::default();
        for id in [1, 2] {
            let record = FileRecord { id, inode: 7, ..FileRecord::default() };
            let (seen, watch, away_ms) = ((0, 0, 0), None, None);
            parking.push(Parked { record, seen, watch, due_ms: 0, away_ms, marks_end_ms: 0 });
        }
        parking.take(0);
        assert!(parking.holds(0, 7));
        parking.take(0);
        assert!(!parking.holds(0, 7));
    }

    #[test]
    fn a_file_that_is_begun_is_compared_with_those_that_may_begin_so() {
        let record = |id, head_len, head_crc| FileRecord {
            id,
            inode: id,
            head_len,
            head_crc,
            ..FileRecord::default()
        };
        let whole = HEAD_BYTES as u32;
        let mut parking = Parking::default();
        let park = |record| {
            let (watch, away_ms) = (None, None);
            let seen = (0, 0, 0);
            parking.push(Parked { record, seen, watch, due_ms: 0, away_ms, marks_end_ms: 0 });
        };
        [record(1, whole, 7), record(2, whole, 7), record(3, 255, 9)].into_iter().for_each(park);
        assert!(parking.may_begin_so(7) && parking.may_begin_so(8));
        // Of the one with fewer bytes they may be the same.
        parking.take(2);
        assert!(parking.may_begin_so(7) && !parking.may_begin_so(8) && !parking.may_begin_so(9));
        parking.take(0);
        assert!(parking.may_begin_so(7));
        parking.take(0);
        assert!(!parking.may_begin_so(7));
    }
}
