//! Finds batches in a log by what is in them: the only way where the log holds no producer id.
//!
//! The log is fed value by value. Of the last values, as many as the longest wanted batch has, a
//! CRC-32 each is kept, and with it the CRC-32 of all CRCs before it. A CRC is linear, so the CRC
//! of any stretch follows from those of its two ends: whether a wanted batch ends at this value
//! costs a table look-up or two, even where every line is the same.

use std::collections::VecDeque;

use crate::checkpoint::record::{BatchRecord, OF_THE_SAME_WHOLE};

/// Fed value by value. Memory: 24 bytes for each event of the longest batch that is wanted.
pub struct ContentSearch {
    wanted: Vec<Wanted>,
    /// The last values in a row, oldest first.
    window: VecDeque<Seen>,
    window_max: usize,
    /// CRC-32 over the CRCs of the values in a row so far.
    running: crc32fast::Hasher,
    next_offset: i64,
}

struct Wanted {
    count: usize,
    first_crc: u32,
    values_crc: u32,
    shift: Shift,
    /// Known to be where the one before it is.
    is_of_same: bool,
    /// Where the stretch begins that it was given.
    found: Option<i64>,
}

impl Wanted {
    /// Behind the stretch that it was given.
    fn end(&self) -> Option<i64> {
        self.found.map(|first| first.saturating_add(self.count as i64))
    }
}

#[derive(Clone, Copy)]
struct Seen {
    offset: i64,
    crc: u32,
    /// `running` before this value.
    before: u32,
}

impl ContentSearch {
    /// Searches for each of `wanted`, which are in the order in which they are sent. Those without
    /// events are never found.
    pub fn new(wanted: &[&BatchRecord]) -> ContentSearch {
        let content = |b: &BatchRecord| (b.count, b.values_crc, b.first_crc);
        let is_behind = |before: &BatchRecord, b: &BatchRecord| {
            (before.file, before.end) == (b.file, b.start) && content(before) == content(b)
        };
        let is_of_same = |at: usize| {
            wanted[at].base_sequence == OF_THE_SAME_WHOLE
                && at.checked_sub(1).is_some_and(|before| is_behind(wanted[before], wanted[at]))
        };
        let wanted: Vec<Wanted> = wanted
            .iter()
            .enumerate()
            .map(|(at, b)| Wanted {
                count: b.count as usize,
                first_crc: b.first_crc,
                values_crc: b.values_crc,
                shift: Shift::over(4 * u64::from(b.count)),
                is_of_same: is_of_same(at),
                found: None,
            })
            .collect();
        ContentSearch {
            window_max: wanted.iter().map(|w| w.count).max().unwrap_or(0),
            wanted,
            window: VecDeque::new(),
            running: crc32fast::Hasher::new(),
            next_offset: -1,
        }
    }

    /// Feeds the value at `offset`; offsets ascend. `None`, as any gap, ends a run: a batch of
    /// ours stands in a row and has no null in it.
    pub fn feed(&mut self, offset: i64, value: Option<&[u8]>) {
        if offset != self.next_offset {
            self.interrupt();
        }
        // What a broken wrapper message says may be at the end of all numbers.
        self.next_offset = offset.saturating_add(1);
        let Some(value) = value else { return self.interrupt() };
        let crc = crc32fast::hash(value);
        if self.window.len() >= self.window_max {
            self.window.pop_front();
        }
        self.window.push_back(Seen { offset, crc, before: self.running.clone().finalize() });
        self.running.update(&crc.to_le_bytes());
        self.compare();
    }

    /// Something stands here that is none of ours.
    fn interrupt(&mut self) {
        self.window.clear();
        self.running = crc32fast::Hasher::new();
        self.next_offset = -1;
    }

    /// Does a wanted batch end with the last value? The first that is still sought gets the run, if
    /// no batch before it has any of it: of two with the same content each needs one of its own.
    ///
    /// What a later batch was given of it is taken back, since no later one of ours stands within an
    /// earlier one: that was announced and not sent yet, or stands behind.
    fn compare(&mut self) {
        let running = self.running.clone().finalize();
        let mut taken_before = -1;
        for (at, wanted) in self.wanted.iter().enumerate().filter(|(_, w)| !w.is_of_same) {
            if let Some(end) = wanted.end() {
                taken_before = end.max(taken_before);
                continue;
            }
            let start = self.window.len().checked_sub(wanted.count);
            let Some(first) = start.and_then(|start| self.window.get(start)).copied() else {
                continue;
            };
            if first.crc == wanted.first_crc
                && first.offset >= taken_before
                && running ^ wanted.shift.apply(first.before) == wanted.values_crc
            {
                self.give(at, first.offset);
                return;
            }
        }
    }

    /// The stretch from `first` to the last value is that of this batch.
    fn give(&mut self, at: usize, first: i64) {
        self.wanted[at].found = Some(first);
        for later in &mut self.wanted[at + 1..] {
            later.found = later.found.filter(|_| later.end() <= Some(first));
        }
    }

    pub fn is_complete(&self) -> bool {
        self.wanted.iter().all(|w| w.is_of_same || w.found.is_some())
    }

    /// The offset of the first event of each wanted batch, in the order given to `new`.
    pub fn found(&self) -> Vec<Option<i64>> {
        let mut before = None;
        let found = self.wanted.iter().map(|w| {
            before = if w.is_of_same { before } else { w.found };
            before
        });
        found.collect()
    }
}

/// What appending so many bytes does to a CRC-32: crc(AB) = shift(crc(A), |B|) ^ crc(B), a linear
/// map of 32 bits, kept as the images of the bits.
struct Shift([u32; 32]);

impl Shift {
    fn over(bytes: u64) -> Shift {
        let mut images = [0; 32];
        for (bit, image) in images.iter_mut().enumerate() {
            let mut crc = crc32fast::Hasher::new_with_initial(1 << bit);
            crc.combine(&crc32fast::Hasher::new_with_initial_len(0, bytes));
            *image = crc.finalize();
        }
        Shift(images)
    }

    fn apply(&self, crc: u32) -> u32 {
        (0..32).filter(|bit| crc >> bit & 1 == 1).fold(0, |all, bit| all ^ self.0[bit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(values: &[&str]) -> BatchRecord {
        let mut all = crc32fast::Hasher::new();
        for value in values {
            all.update(&crc32fast::hash(value.as_bytes()).to_le_bytes());
        }
        BatchRecord {
            count: values.len() as u32,
            first_crc: values.first().map_or(0, |v| crc32fast::hash(v.as_bytes())),
            values_crc: if values.is_empty() { 0 } else { all.finalize() },
            ..BatchRecord::default()
        }
    }

    fn search(log: &[(i64, Option<&str>)], batches: &[&[&str]]) -> Vec<Option<i64>> {
        let records: Vec<BatchRecord> = batches.iter().map(|b| wanted(b)).collect();
        let mut search = ContentSearch::new(&records.iter().collect::<Vec<_>>());
        for (offset, value) in log {
            search.feed(*offset, value.map(str::as_bytes));
        }
        assert_eq!(search.is_complete(), search.found().iter().all(Option::is_some));
        search.found()
    }

    fn row(values: &[&'static str]) -> Vec<(i64, Option<&'static str>)> {
        values.iter().enumerate().map(|(i, v)| (100 + i as i64, Some(*v))).collect()
    }

    #[test]
    fn a_run_is_found_among_others() {
        let log = row(&["x", "a", "a", "b", "c", "a", "b"]);
        assert_eq!(search(&log, &[&["a", "b", "c"]]), [Some(102)]);
        assert_eq!(search(&log, &[&["a", "b", "d"]]), [None]);
        assert_eq!(search(&log, &[&["a", "b"], &["c"], &["x"]]), [Some(102), Some(104), Some(100)]);
    }

    #[test]
    fn equal_batches_need_a_run_each() {
        let log = row(&["s", "s", "s", "s", "s"]);
        assert_eq!(search(&log, &[&["s", "s"], &["s", "s"]]), [Some(100), Some(102)]);
        assert_eq!(search(&log[..3], &[&["s", "s"], &["s", "s"]]), [Some(100), None]);
    }

    /// The events of a batch were others than its bytes make now, and it was split.
    #[test]
    fn the_parts_of_a_whole_are_where_it_is_and_an_equal_one_is_not() {
        let whole = wanted(&["s", "s"]);
        let part = BatchRecord { base_sequence: OF_THE_SAME_WHOLE, ..whole.clone() };
        let apart = BatchRecord { start: 1, ..part.clone() };
        let found = |batches: &[&BatchRecord], values: &[&'static str]| {
            let mut search = ContentSearch::new(batches);
            for (offset, value) in row(values) {
                search.feed(offset, value.map(str::as_bytes));
            }
            assert_eq!(search.is_complete(), search.found().iter().all(Option::is_some));
            search.found()
        };
        let three = [&whole, &part, &whole, &part];
        assert_eq!(found(&three, &["s", "s"]), [Some(100), Some(100), None, None]);
        assert_eq!(
            found(&three, &["s", "s", "s", "s"]),
            [Some(100), Some(100), Some(102), Some(102)]
        );
        // The parts before it are done.
        assert_eq!(found(&[&part, &part], &["s", "s"]), [Some(100), Some(100)]);
        assert_eq!(found(&[&whole, &apart], &["s", "s"]), [Some(100), None]);
    }

    /// It was announced behind the one that is there, and not sent.
    #[test]
    fn a_later_batch_takes_no_part_of_an_earlier_one() {
        let (whole, part): (&[&str], &[&str]) = (&["x", "y", "z"], &["y"]);
        assert_eq!(search(&row(whole), &[whole, part]), [Some(100), None]);
        let log = row(&["x", "y", "z", "y"]);
        assert_eq!(search(&log, &[whole, part]), [Some(100), Some(103)]);
        // One within the other, and at both ends of it.
        let batches = [whole, &["y", "z"], part, &["x"]];
        assert_eq!(search(&row(whole), &batches), [Some(100), None, None, None]);
        let log = row(&["x", "y", "z", "y", "z", "y", "x"]);
        assert_eq!(search(&log, &batches), [Some(100), Some(103), Some(105), Some(106)]);
    }

    /// All there is of lines of two kinds: the first so many of three batches are in the log, the rest was
    /// not sent, and others may have written between them.
    #[test]
    fn what_is_in_the_log_is_told_from_what_was_not_sent_though_lines_are_equal() {
        const LINES: [&str; 2] = ["a", "b"];
        let batches: Vec<Vec<&'static str>> = (1..=3)
            .flat_map(|count| (0..1usize << count).map(move |bits| (count, bits)))
            .map(|(count, bits)| (0..count).map(|at| LINES[bits >> at & 1]).collect())
            .collect();
        let each = |n: usize| [n % 14, n / 14 % 14, n / 196].map(|at| &batches[at][..]);
        for (n, sent, others) in (0..14 * 14 * 14 * 16).map(|n| (n / 16, n / 4 % 4, n % 4)) {
            let wanted = each(n);
            let (mut values, mut expected) = (Vec::new(), [None; 3]);
            for at in 0..sent {
                if at > 0 && others >> (at - 1) & 1 == 1 {
                    values.push("other");
                }
                expected[at] = Some(100 + values.len() as i64);
                values.extend(wanted[at]);
            }
            assert_eq!(search(&row(&values), &wanted), expected, "{wanted:?} in {values:?}");
        }
    }

    #[test]
    fn gaps_and_nulls_end_a_run() {
        let mut log = row(&["a", "b", "a", "b"]);
        log[1].0 = 150;
        log[2].0 = 160;
        log[3].0 = 161;
        assert_eq!(search(&log, &[&["a", "b"]]), [Some(160)]);
        let log = [(1, Some("a")), (2, None), (3, Some("b"))];
        assert_eq!(search(&log, &[&["a", "b"]]), [None]);
        assert_eq!(search(&log, &[&[]]), [None]);
    }

    #[test]
    fn memory_is_that_of_the_longest_wanted_batch() {
        for wanted in [&[][..], &["a", "b"]] {
            let record = self::wanted(wanted);
            let mut search = ContentSearch::new(&[&record]);
            (0..1_000).for_each(|offset| search.feed(offset, Some(b"x")));
            assert_eq!(search.window.len(), wanted.len().max(1));
        }
    }

    #[test]
    fn the_last_of_all_offsets_is_no_end_of_the_program() {
        let log = [(i64::MAX - 1, Some("a")), (i64::MAX, Some("b")), (i64::MAX, Some("c"))];
        assert_eq!(search(&log, &[&["a", "b"]]), [Some(i64::MAX - 1)]);
    }

    #[test]
    fn a_long_log_of_equal_lines_is_quick() {
        let same: Vec<&str> = vec!["same"; 20_000];
        let record = wanted(&same);
        let mut search = ContentSearch::new(&[&record]);
        search.feed(-5, Some(b"other"));
        for offset in 0..200_000 {
            // One line in between keeps each run one short.
            let value: &[u8] = if offset % 20_000 == 19_999 { b"other" } else { b"same" };
            search.feed(offset, Some(value));
        }
        assert_eq!(search.found(), [None]);
        (200_000..220_000).for_each(|offset| search.feed(offset, Some(b"same")));
        assert_eq!(search.found(), [Some(200_000)]);
    }
}
