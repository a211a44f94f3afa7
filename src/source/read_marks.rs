//! Positions of the last seconds at which a file may have been copied.

use std::collections::VecDeque;

use crate::checkpoint::record::FileRecord;
pub use crate::checkpoint::record::ReadMark as Mark;

/// Positions of the last seconds and what is known of the bytes before each: a copy may have been
/// made before the last lines were written that were read here.
#[derive(Debug, Default)]
pub struct Marks(VecDeque<Noted>);

#[derive(Debug, Clone, Copy)]
struct Noted {
    mark: Mark,
    /// Monotonic times at which what stands behind it was read, and at which the position moved on.
    read_ms: u64,
    moved_ms: u64,
}

impl Mark {
    pub fn of(record: &FileRecord) -> Mark {
        let (position, bytes_crc) = (record.position, record.bytes_crc);
        Mark { position, bytes_crc, lines: record.lines, events: record.events }
    }
}

/// The least time between two marks, ms, and how many are kept.
const MARK_INTERVAL_MS: u64 = 500;
const MARKS_MAX: usize = 32;
/// How many of them are in the checkpoint.
const MARKS_KEPT: usize = 6;

impl Marks {
    /// Notes where the record stands, and when what is behind it was read; one of a moment ago gives way,
    /// if there is an older one.
    pub(super) fn note(&mut self, record: &FileRecord, read_ms: u64, moved_ms: u64) {
        // Of nothing nothing is known.
        if record.position == 0 {
            return;
        }
        let len = self.0.len();
        if len >= 2 && self.0[len - 1].read_ms < self.0[len - 2].read_ms + MARK_INTERVAL_MS {
            self.0.pop_back();
        } else if len == MARKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Noted { mark: Mark::of(record), read_ms, moved_ms });
    }

    /// Those of the last run.
    pub(super) fn of(record: &FileRecord, now_ms: u64) -> Marks {
        let noted = |mark: &Mark| Noted { mark: *mark, read_ms: now_ms, moved_ms: now_ms };
        Marks(record.marks.iter().map(noted).collect())
    }

    /// The last one and some others, from the whole time that they are kept.
    pub(super) fn choose(&self, into: &mut Vec<Mark>) {
        let step = self.0.len().div_ceil(MARKS_KEPT).max(1);
        let chosen = self.0.iter().rev().step_by(step).map(|noted| noted.mark);
        into.clear();
        into.extend(chosen.filter(|mark| mark.position > 0));
        into.reverse();
    }

    /// What was read beyond that position does not count any more.
    pub(super) fn cut(&mut self, position: u64) {
        self.0.retain(|noted| noted.mark.position <= position);
    }

    /// When what stands behind the last one was read.
    pub(super) fn last_read_ms(&self) -> Option<u64> {
        self.0.back().map(|noted| noted.read_ms)
    }

    /// In ascending order, of positions that the file had since that time.
    pub fn since(&self, since_ms: u64) -> impl DoubleEndedIterator<Item = Mark> {
        self.0.iter().filter(move |noted| noted.moved_ms >= since_ms).map(|noted| noted.mark)
    }

    /// The last of these that is not behind `size`.
    pub fn before(&self, size: u64, since_ms: u64) -> Option<Mark> {
        self.since(since_ms).rev().find(|mark| mark.position <= size)
    }

    /// The last one that is not behind `size`, if what stands behind it was read in the last `last_ms` in
    /// which anything was read: when that was acknowledged says nothing of when it was written.
    pub fn read_last(&self, size: u64, last_ms: u64) -> Option<Mark> {
        let since_ms = self.0.back()?.read_ms.saturating_sub(last_ms);
        let mut last = self.0.iter().rev().take_while(|noted| noted.read_ms >= since_ms);
        last.find(|noted| noted.mark.position <= size).map(|noted| noted.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy is made a moment after the first lines were read, and lacks those that come next.
    #[test]
    fn the_first_position_is_kept_though_others_follow_at_once() {
        let mut marks = Marks::default();
        for (position, now_ms) in [(0, 10), (400, 20), (900, 30), (1_400, 40), (1_900, 50)] {
            marks.note(&FileRecord { position, ..FileRecord::default() }, now_ms, now_ms);
        }
        assert_eq!(marks.before(1_000, 0).map(|mark| mark.position), Some(400));
    }

    /// Lines are read while a copy is made, and acknowledged much later.
    #[test]
    fn a_mark_is_as_old_as_the_reading_of_what_stands_behind_it() {
        let mut marks = Marks::default();
        for (position, read_ms, moved_ms) in
            [(100, 10, 50), (400, 5_000, 5_050), (900, 6_000, 900_000), (1_400, 7_000, 900_001)]
        {
            marks.note(&FileRecord { position, ..FileRecord::default() }, read_ms, moved_ms);
        }
        let found = |size| marks.read_last(size, 3_000).map(|mark| mark.position);
        assert_eq!([found(399), found(899), found(1_000)], [None, Some(400), Some(900)]);
    }
}
