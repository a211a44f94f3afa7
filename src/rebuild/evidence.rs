//! The passes in which files and topic are compared.
//!
//! In each, the files are read and every event is [expected](Evidence::expect), the topic is read
//! and every record [met](Evidence::meet), the files are read again and every event
//! [claims](Evidence::claim) a record. The first passes go by value. Values that the topic holds
//! more often than the files (*common* ones) are looked at once more in pairs with their
//! neighbours: two events that follow each other in a file, two records with offsets that do. Where keys
//! choose the partitions, those of an event are the ones of its file that go to its partition (its *lane*).

use std::collections::HashMap;

use super::marks::Marks;
use super::tally::{Claim, Tally, capacity};

/// Common values that are told from each other by their neighbours at most: 8 MiB.
const COMMON_MAX: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Values,
    Neighbours,
}

/// What one pass counts. Memory: what was given for the table, and [`COMMON_MAX`] keys.
pub(crate) struct Evidence {
    room: usize,
    kind: Kind,
    /// Number of this pass, of so many of its kind; it counts the keys with that remainder.
    pass: u64,
    passes: u64,
    tally: Tally,
    /// Sorted when the passes by value are over.
    common: Vec<u64>,
    has_overflown: bool,
    common_events: u64,
    /// The event before in each lane, or the record before in that of the records.
    before: HashMap<i32, Before>,
    /// That of the records.
    partition: i32,
}

#[derive(Debug, Clone, Copy)]
struct Before {
    key: u64,
    /// Number of an event, offset of a record.
    at: i64,
}

/// The lane of records, and that of events that may be in any partition.
pub(crate) const ANYWHERE: i32 = -1;

impl Evidence {
    /// For files with so many events together, and so many bytes for the table.
    pub(crate) fn new(events: u64, table_bytes: usize) -> Evidence {
        let room = capacity(table_bytes).max(1);
        let mut evidence = Evidence {
            room,
            kind: Kind::Values,
            pass: 0,
            passes: 1,
            tally: Tally::default(),
            common: Vec::new(),
            has_overflown: false,
            common_events: 0,
            before: HashMap::new(),
            partition: 0,
        };
        evidence.begin(Kind::Values, events);
        evidence
    }

    fn begin(&mut self, kind: Kind, keys: u64) {
        (self.kind, self.pass) = (kind, 0);
        self.passes = keys.div_ceil(self.room as u64).max(1);
        self.clear(keys);
    }

    fn clear(&mut self, keys: u64) {
        // A tenth more than their share: chance does not divide evenly.
        let share = usize::try_from(keys / self.passes).unwrap_or(usize::MAX);
        self.tally = Tally::with_room(self.room.min(share.saturating_mul(11) / 10 + 1));
    }

    /// The next pass. `false`: all is said.
    pub(crate) fn next_pass(&mut self, events: u64) -> bool {
        if self.kind == Kind::Values {
            self.note_common();
        }
        self.pass += 1;
        if self.pass < self.passes {
            let keys = if self.kind == Kind::Values { events } else { 2 * self.common_events };
            self.clear(keys);
            return true;
        }
        if self.kind == Kind::Values && self.common_events > 0 && !self.has_overflown {
            self.common.sort_unstable();
            self.begin(Kind::Neighbours, 2 * self.common_events);
            return true;
        }
        self.tally = Tally::default();
        false
    }

    fn note_common(&mut self) {
        let room = COMMON_MAX - self.common.len();
        self.common.extend(self.tally.common().take(room));
        if self.common.len() == COMMON_MAX {
            self.has_overflown = true;
        }
    }

    /// For the log.
    pub(crate) fn label(&self) -> String {
        let what = if self.kind == Kind::Values { "values" } else { "neighbours" };
        match self.passes {
            1 => what.to_owned(),
            of => format!("{what}, pass {} of {of}", self.pass + 1),
        }
    }

    /// Another file begins.
    pub(crate) fn begin_file(&mut self) {
        self.before.clear();
    }

    /// Another partition begins.
    pub(crate) fn begin_partition(&mut self, partition: i32) {
        self.before.clear();
        self.partition = partition;
    }

    /// The next event of `file`, in that lane.
    pub(crate) fn expect(&mut self, key: u64, file: u32, lane: i32) {
        if self.kind == Kind::Values {
            if self.is_of_pass(key) {
                self.tally.expect(key, file);
            }
            return;
        }
        if let Some((_, pair)) = self.pair(Before { key, at: 0 }, lane)
            && self.is_of_pass(pair)
        {
            self.tally.expect(pair, file);
        }
    }

    /// The next record of the partition. Returns the file to which its range belongs, if it is an
    /// event of one.
    pub(crate) fn meet(&mut self, key: u64, offset: i64) -> Option<u32> {
        if self.kind == Kind::Values {
            return if self.is_of_pass(key) { self.tally.meet(key, self.partition) } else { None };
        }
        if let Some((before, pair)) = self.pair(Before { key, at: offset }, ANYWHERE)
            && before.at.checked_add(1) == Some(offset)
            && self.is_of_pass(pair)
        {
            self.tally.meet(pair, self.partition);
        }
        None
    }

    /// The next event, which is the `event`th of its file, asks whether it is in the topic.
    pub(crate) fn claim(&mut self, key: u64, event: u64, lane: i32, marks: &mut Marks) {
        if self.kind == Kind::Values {
            if !self.is_of_pass(key) {
                return;
            }
            match self.tally.claim(key) {
                Claim::There { partition } => marks.note_there(event, partition),
                Claim::Absent => marks.note_absent(event),
                Claim::Common => {
                    self.common_events += 1;
                    marks.note_common(event);
                }
            }
            return;
        }
        let Some((before, pair)) = self.pair(Before { key, at: event as i64 }, lane) else {
            return;
        };
        if self.is_of_pass(pair)
            && let Claim::There { partition } = self.tally.claim(pair)
        {
            // A value of its own was decided by itself.
            if self.is_common(before.key) {
                marks.note_there(before.at as u64, partition);
            }
            if self.is_common(key) {
                marks.note_there(event, partition);
            }
        }
    }

    fn is_of_pass(&self, key: u64) -> bool {
        key % self.passes == self.pass
    }

    fn is_common(&self, key: u64) -> bool {
        self.common.binary_search(&key).is_ok()
    }

    /// The predecessor, and the key of the pair, if there is a common value in it.
    fn pair(&mut self, next: Before, lane: i32) -> Option<(Before, u64)> {
        let before = self.before.insert(lane, next)?;
        if !(self.is_common(before.key) || self.is_common(next.key)) {
            return None;
        }
        let mixed = before.key.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ next.key;
        Some((before, (mixed ^ (mixed >> 32)).wrapping_mul(0xbf58_476d_1ce4_e5b9)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> u64 {
        use std::hash::{DefaultHasher, Hasher};
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// `2/word` goes to lane 2.
    fn lane(word: &str) -> (i32, &str) {
        word.split_once('/').map_or((ANYWHERE, word), |(lane, word)| (lane.parse().unwrap(), word))
    }

    /// What is known of each event: `+` there, `-` to be sent.
    fn compare_with(room: usize, files: &[(bool, &str)], partitions: &[&str]) -> Vec<String> {
        let mut marks: Vec<Marks> = files
            .iter()
            .map(|(done, _)| if *done { Marks::end() } else { Marks::each() })
            .collect();
        let events: u64 =
            files.iter().map(|(_, text)| text.split_whitespace().count() as u64).sum();
        let mut evidence = Evidence::new(events, room);
        loop {
            for (n, (_, text)) in files.iter().enumerate() {
                evidence.begin_file();
                text.split_whitespace().map(lane).for_each(|(lane, word)| {
                    evidence.expect(key(word), n as u32, lane);
                });
            }
            for (n, partition) in partitions.iter().enumerate() {
                evidence.begin_partition(n as i32);
                // A dot is a gap in the offsets.
                for (offset, word) in partition.split_whitespace().enumerate() {
                    if word != "." {
                        evidence.meet(key(word), offset as i64);
                    }
                }
            }
            for ((_, text), marks) in files.iter().zip(&mut marks) {
                evidence.begin_file();
                for (n, (lane, word)) in text.split_whitespace().map(lane).enumerate() {
                    evidence.claim(key(word), n as u64, lane, marks);
                }
            }
            if !evidence.next_pass(events) {
                break;
            }
        }
        let tell = |((_, text), marks): (&(bool, &str), &Marks)| {
            let count = text.split_whitespace().count() as u64;
            (0..count).map(|n| if marks.has(n) { '+' } else { '-' }).collect()
        };
        files.iter().zip(&marks).map(tell).collect()
    }

    /// The same with a table for all and with one for three keys at a time.
    fn compare(files: &[(bool, &str)], partitions: &[&str]) -> Vec<String> {
        let all = compare_with(1 << 20, files, partitions);
        assert_eq!(compare_with(100, files, partitions), all, "in passes");
        all
    }

    fn one(file: &str, partitions: &[&str]) -> String {
        compare(&[(false, file)], partitions).remove(0)
    }

    #[test]
    fn unique_lines_are_told_wherever_they_stand() {
        assert_eq!(one("a b c d", &["x a b y c"]), "+++-");
        assert_eq!(one("a b c d e f", &["a b", "e", "x"]), "++--+-");
        assert_eq!(one("a b", &[]), "--");
    }

    #[test]
    fn of_equal_lines_as_many_are_sent_as_are_missing() {
        assert_eq!(one("h a h b h c", &["h a h b"]), "++++--");
        assert_eq!(one("h h h h", &["h", "h"]), "++--");
        // Two files: the first one's come first.
        assert_eq!(compare(&[(false, "h h"), (false, "h x")], &["h h h"]), ["++", "+-"]);
    }

    #[test]
    fn a_finished_file_has_its_own_records() {
        // The heading of the hour before is no proof that that of this hour was sent.
        assert_eq!(compare(&[(true, "head a b"), (false, "head c")], &["head a b"]), ["+++", "--"]);
        let both = compare(&[(true, "head a b"), (false, "head c")], &["head a b head"]);
        assert_eq!(both, ["+++", "+-"]);
    }

    #[test]
    fn what_others_have_too_is_decided_by_its_neighbours() {
        // The heading stands in the topic three times, once for each hour.
        assert_eq!(one("head c d", &["head a head b head c"]), "++-");
        assert_eq!(one("head c d", &["head a head b"]), "---");
        assert_eq!(one("c tick d tick e", &["tick tick c tick x tick y d"]), "+++--");
        // Beside it in another partition, or behind a gap, is not beside it.
        assert_eq!(one("head c", &["head a head", "c"]), "-+");
        assert_eq!(one("head c", &["head a head . c"]), "-+");
        // A run of equal lines hangs on to what is at its ends.
        assert_eq!(one("a tick tick b", &["tick x a tick tick b"]), "++++");
    }

    #[test]
    fn neighbours_are_those_of_the_partition_that_a_key_chooses() {
        // Headings of other hours stand in both partitions.
        let partitions = ["head a head b head c", "head x head"];
        assert_eq!(one("0/head 1/head 0/c 1/d", &partitions), "+-+-");
        assert_eq!(one("0/head 1/c 0/d", &partitions), "-+-");
    }

    #[test]
    fn no_more_count_as_there_than_there_are() {
        let mut state = 7u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for _ in 0..2_000 {
            let mut text = |most: u64| -> String {
                (0..below(most))
                    .map(|_| format!("{} ", "abcdef".as_bytes()[below(6) as usize] as char))
                    .collect()
            };
            let (file, other, one, two) = (text(12), text(6), text(12), text(12));
            let told = compare_with(1 << 20, &[(false, &file), (false, &other)], &[&one, &two]);
            for value in ["a", "b", "c", "d", "e", "f"] {
                let there = [(&file, &told[0]), (&other, &told[1])]
                    .into_iter()
                    .flat_map(|(text, told)| text.split_whitespace().zip(told.chars()))
                    .filter(|(word, mark)| *word == value && *mark == '+')
                    .count();
                let records = [&one, &two].into_iter().flat_map(|t| t.split_whitespace());
                assert!(
                    there <= records.filter(|word| *word == value).count(),
                    "{file}|{one}|{two}"
                );
            }
        }
    }
}
