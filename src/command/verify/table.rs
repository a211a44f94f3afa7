//! Counts by value and file: how often a value ought to be in the topic, how often it was found.
//!
//! Open addressing in one allocation whose size is known beforehand: it is what the memory bound
//! rests on.

/// Bytes of a slot.
const SLOT_BYTES: usize = size_of::<Entry>();
/// At most 4 of 5 slots are in use, so that a search stays short.
const LOAD: (usize, usize) = (4, 5);

/// Stands for all files together that are known but not verified.
pub(super) const OTHER_FILES: u32 = u32::MAX - 1;

/// One value in one file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    key: u64,
    /// Place in the list of verified files plus one; 0 in an unused slot.
    file: u32,
    /// Events of the file with this value.
    expected: u32,
    /// Records with it in the file's recorded ranges, no more than expected.
    found: u32,
    /// Records with it that are nobody's, less those that other known files account for. Kept in
    /// the first entry of a value, for all of its files.
    surplus: i32,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// The value is in none of the files.
    Unknown,
    /// In its place.
    Placed,
    /// Nobody's, though the value is one of the files'.
    Surplus,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Entry>,
    used: usize,
}

/// What a file's events of one table have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub once: u64,
    pub missing: u64,
    pub repeated: u64,
}

/// How many values fit into so many bytes.
pub(super) fn capacity(bytes: usize) -> usize {
    bytes / SLOT_BYTES * LOAD.0 / LOAD.1
}

impl Table {
    /// An empty one with room for `values`.
    pub(super) fn with_room(values: usize) -> Table {
        Table { slots: vec![Entry::default(); values * LOAD.1 / LOAD.0 + 16], used: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(Entry::default());
        self.used = 0;
    }

    /// An event of `file` has this value.
    pub(super) fn expect(&mut self, key: u64, file: u32) {
        if self.used * 10 >= self.slots.len() * 9 {
            self.grow();
        }
        let at = self.seek(key, |entry| entry.file == file + 1);
        let entry = &mut self.slots[at];
        if entry.file == 0 {
            *entry = Entry { key, file: file + 1, ..Entry::default() };
            self.used += 1;
        }
        entry.expected = entry.expected.saturating_add(1);
    }

    /// An event of a file that is not verified has this value. Counted only if a verified one has
    /// it, too.
    pub(super) fn expect_of_others(&mut self, key: u64) {
        if self.has_any(key) {
            self.expect(key, OTHER_FILES);
        }
    }

    /// Some event that was read but has no recorded place yet has this value: one record more may
    /// have it.
    pub(super) fn allow(&mut self, key: u64) {
        let at = self.seek(key, |_| true);
        if self.slots[at].file != 0 {
            self.slots[at].surplus = self.slots[at].surplus.saturating_sub(1);
        }
    }

    /// A record has this value, at a place that is `its` for some files.
    pub(super) fn meet(&mut self, key: u64, its: impl Fn(u32) -> bool) -> Met {
        let is_open = |e: &Entry| e.found < e.expected && its(e.file - 1);
        let at = self.seek(key, is_open);
        if self.slots[at].file != 0 {
            self.slots[at].found += 1;
            return Met::Placed;
        }
        if self.has_any(key) { Met::Surplus } else { Met::Unknown }
    }

    /// Counts a record with this value, which the files have, as nobody's. Are there more of them
    /// now than there may be?
    pub(super) fn add_surplus(&mut self, key: u64) -> bool {
        let first = self.seek(key, |_| true);
        let entry = &mut self.slots[first];
        entry.surplus = entry.surplus.saturating_add(1);
        entry.surplus > 0
    }

    /// Does any file have an event with this value?
    pub(super) fn has_any(&self, key: u64) -> bool {
        self.slots[self.seek(key, |_| true)].file != 0
    }

    /// Does `file` have an event with this value?
    pub(super) fn has(&self, key: u64, file: u32) -> bool {
        self.slots[self.seek(key, |entry| entry.file == file + 1)].file != 0
    }

    /// Does `file` lack a record for an event with this value? Counts it as told if so.
    pub(super) fn take_missing(&mut self, key: u64, file: u32) -> bool {
        let at = self.seek(key, |entry| entry.file == file + 1);
        let entry = &mut self.slots[at];
        let is_missing = entry.file != 0 && entry.found < entry.expected;
        if is_missing {
            entry.found += 1;
        }
        is_missing
    }

    /// Adds up, for each file. A record too many spoils one that was found.
    pub(super) fn tally(&self, tallies: &mut [Tally]) {
        for entry in self.slots.iter().filter(|entry| entry.file != 0) {
            let Some(tally) = tallies.get_mut(entry.file as usize - 1) else { continue };
            let surplus = u32::try_from(entry.surplus).unwrap_or(0);
            tally.once += u64::from(entry.found.saturating_sub(surplus));
            tally.missing += u64::from(entry.expected - entry.found);
            tally.repeated += u64::from(surplus);
        }
    }

    /// The first slot of `key` that is `wanted`, or the unused one behind the last of `key`.
    fn seek(&self, key: u64, wanted: impl Fn(&Entry) -> bool) -> usize {
        // The upper bits: the lower ones tell in which pass a value is counted.
        let mut at = ((u128::from(key) * self.slots.len() as u128) >> 64) as usize;
        loop {
            let entry = &self.slots[at];
            if entry.file == 0 || entry.key == key && wanted(entry) {
                return at;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    /// Only if chance has put far more than their share of the values into one pass.
    fn grow(&mut self) {
        let larger = Table::with_room(self.slots.len()).slots;
        let old = std::mem::replace(&mut self.slots, larger);
        for entry in old.into_iter().filter(|entry| entry.file != 0) {
            let at = self.seek(entry.key, |_| false);
            self.slots[at] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(table: &Table) -> Vec<(u64, u64, u64)> {
        let mut tallies = vec![Tally::default(); 2];
        table.tally(&mut tallies);
        tallies.iter().map(|t| (t.once, t.missing, t.repeated)).collect()
    }

    #[test]
    fn a_value_is_counted_in_each_of_its_files() {
        let mut table = Table::with_room(4);
        table.expect(7, 0);
        table.expect(7, 1);
        table.expect(7, 1);
        table.expect(8, 0);
        assert_eq!(table.meet(7, |file| file == 1), Met::Placed);
        assert_eq!(table.meet(7, |file| file == 1), Met::Placed);
        assert_eq!(table.meet(7, |file| file == 1), Met::Surplus);
        assert!(table.add_surplus(7));
        assert_eq!(table.meet(9, |_| true), Met::Unknown);
        assert!(table.has(8, 0) && !table.has(8, 1));
        // Nothing tells whose the third one is: it is counted once, at the first file.
        assert_eq!(tallies(&table), [(0, 2, 1), (2, 0, 0)]);
    }

    #[test]
    fn other_files_account_for_their_share() {
        let mut table = Table::with_room(4);
        table.expect(7, 0);
        table.allow(7);
        table.allow(8);
        table.expect_of_others(8);
        assert!(!table.has_any(8));
        table.expect_of_others(7);
        assert_eq!(table.meet(7, |file| file == OTHER_FILES), Met::Placed);
        assert_eq!(table.meet(7, |_| false), Met::Surplus);
        assert!(!table.add_surplus(7));
        assert_eq!(table.meet(7, |_| true), Met::Placed);
        assert_eq!(tallies(&table)[0], (1, 0, 0));
        assert_eq!(table.meet(7, |_| true), Met::Surplus);
        assert!(table.add_surplus(7));
        assert_eq!(tallies(&table)[0], (0, 0, 1));
    }

    #[test]
    fn it_grows_rather_than_fails() {
        let mut table = Table::with_room(4);
        for key in 0..1_000u64 {
            table.expect(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0);
        }
        assert_eq!(tallies(&table)[0], (0, 1_000, 0));
        assert!(table.take_missing(0, 0) && !table.take_missing(0, 0));
    }
}
