//! How often a key ought to be there, how often it is, how often it was given away.
//!
//! Open addressing in one allocation whose size is known beforehand: it is what the memory bound
//! rests on.

/// At most 4 of 5 slots are in use, so that a search stays short.
const LOAD: (usize, usize) = (4, 5);

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    key: u64,
    /// Events with it; 0 in an unused slot.
    events: u32,
    /// Records with it.
    records: u32,
    /// Events to which a record was given.
    given: u32,
    /// The first file that has it.
    file: u32,
    /// Where the last record with it stands.
    partition: i32,
}

/// What the topic says to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    There {
        partition: i32,
    },
    Absent,
    /// There are more records like it than events: others have it, too.
    Common,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    slots: Vec<Entry>,
    used: usize,
}

/// How many keys fit into a number of bytes.
pub(super) fn capacity(bytes: usize) -> usize {
    bytes / size_of::<Entry>() * LOAD.0 / LOAD.1
}

impl Tally {
    /// An empty one with room for `keys`.
    pub(super) fn with_room(keys: usize) -> Tally {
        Tally { slots: vec![Entry::default(); keys * LOAD.1 / LOAD.0 + 16], used: 0 }
    }

    /// An event of `file` has this key.
    pub(super) fn expect(&mut self, key: u64, file: u32) {
        // Only if chance has put far more than their share of the keys into one pass.
        if self.used * 10 >= self.slots.len() * 9 {
            self.grow();
        }
        let at = self.seek(key);
        let entry = &mut self.slots[at];
        if entry.events == 0 {
            *entry = Entry { key, file, ..Entry::default() };
            self.used += 1;
        }
        entry.events = entry.events.saturating_add(1);
    }

    /// A record of `partition` has this key. Returns the first file that has it, while there are no more records
    /// than events.
    pub(super) fn meet(&mut self, key: u64, partition: i32) -> Option<u32> {
        let at = self.seek(key);
        let entry = &mut self.slots[at];
        if entry.events == 0 {
            return None;
        }
        entry.records = entry.records.saturating_add(1);
        entry.partition = partition;
        (entry.records <= entry.events).then_some(entry.file)
    }

    /// An event with this key, in order, asks for a record.
    pub(super) fn claim(&mut self, key: u64) -> Claim {
        let at = self.seek(key);
        let entry = &mut self.slots[at];
        if entry.records > entry.events {
            Claim::Common
        } else if entry.given < entry.records {
            entry.given += 1;
            Claim::There { partition: entry.partition }
        } else {
            Claim::Absent
        }
    }

    /// Keys of which there are more records than events.
    pub(super) fn common(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().filter(|e| e.events > 0 && e.records > e.events).map(|e| e.key)
    }

    /// The slot of `key`, or the unused one in which it would stand.
    fn seek(&self, key: u64) -> usize {
        // The upper bits: the lower ones tell in which pass a key is counted.
        let mut at = ((u128::from(key) * self.slots.len() as u128) >> 64) as usize;
        while self.slots[at].events != 0 && self.slots[at].key != key {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }

    fn grow(&mut self) {
        let larger = Tally::with_room(self.slots.len()).slots;
        let old = std::mem::replace(&mut self.slots, larger);
        for entry in old.into_iter().filter(|entry| entry.events != 0) {
            let at = self.seek(entry.key);
            self.slots[at] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_rather_than_fails() {
        let mut tally = Tally::with_room(4);
        let key = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..1_000).for_each(|n| tally.expect(key(n), 0));
        assert_eq!(tally.meet(key(5), 3), Some(0));
        assert_eq!(tally.claim(key(5)), Claim::There { partition: 3 });
        assert_eq!(tally.claim(key(6)), Claim::Absent);
        assert_eq!(tally.meet(key(5), 3), None);
        assert_eq!(tally.claim(key(5)), Claim::Common);
        assert_eq!(tally.common().collect::<Vec<_>>(), [key(5)]);
    }
}
