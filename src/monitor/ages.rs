//! How old the oldest line of a file is that is not delivered, and when the file will be.
//!
//! A line does not tell when it was written. But a file that had a certain length when it was looked at
//! got what is behind that length later: by the lengths at earlier looks the oldest byte that is not
//! delivered is so old *at most*. Without such a look, the last write tells how old it is *at least*.

use std::collections::{HashMap, VecDeque};

use super::exposition::FileView;

/// Looks that are kept of a file that is behind.
const LOOKS_MAX: usize = 32;
/// The time over which a rate is taken, ms.
const RATE_MS: u64 = 10_000;
/// Files of which looks are kept.
const FILES_MAX: usize = 1_024;

/// The age of the oldest line that is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    AtMost(u64),
    AtLeast(u64),
}

impl Age {
    /// ms
    pub(crate) fn ms(self) -> u64 {
        let (Age::AtMost(ms) | Age::AtLeast(ms)) = self;
        ms
    }
}

#[derive(Default)]
struct Looks {
    /// Monotonic time and length.
    lengths: VecDeque<(u64, u64)>,
    /// Monotonic time and position.
    positions: VecDeque<(u64, u64)>,
    seen: u64,
}

/// Of all files of a source, by device and inode.
#[derive(Default)]
pub(crate) struct Ages {
    files: HashMap<(u64, u64), Looks>,
    count: u64,
}

impl Ages {
    /// A new look at all files. What is not noted until the next one is forgotten.
    pub(crate) fn begin(&mut self) {
        self.files.retain(|_, looks| looks.seen == self.count);
        self.count += 1;
    }

    /// Takes note of a file and puts in what that tells. `now_ms`: monotonic and Unix time.
    pub(crate) fn note(&mut self, file: (u64, u64), view: &mut FileView, now_ms: (u64, i64)) {
        let (now_ms, wall_ms) = now_ms;
        let age_ms = view.modified_ms.map(|ms| wall_ms.saturating_sub(ms).max(0) as u64);
        let at_least = age_ms.filter(|_| view.behind() > 0).map(Age::AtLeast);
        view.oldest = at_least;
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&file) {
            return;
        }
        let looks = self.files.entry(file).or_default();
        looks.seen = self.count;
        looks.note(view, now_ms);
        if view.behind() == 0 {
            return;
        }
        if let Some((at_ms, _)) = looks.lengths.front().filter(|(_, len)| *len <= view.position) {
            view.oldest = Some(Age::AtMost(now_ms - at_ms));
        }
        view.catch_up_ms = looks.catch_up_ms(view, now_ms);
    }
}

impl Looks {
    fn note(&mut self, view: &FileView, now_ms: u64) {
        // It was truncated.
        if self.lengths.back().is_some_and(|(_, len)| *len > view.size) {
            self.lengths.clear();
            self.positions.clear();
        }
        self.lengths.push_back((now_ms, view.size));
        self.positions.push_back((now_ms, view.position));
        // One that is delivered is enough, the latest.
        while self.lengths.get(1).is_some_and(|(_, len)| *len <= view.position) {
            self.lengths.pop_front();
        }
        if self.lengths.len() > LOOKS_MAX {
            let mut at = 0;
            self.lengths.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        let is_old = |(at_ms, _): &(u64, u64)| at_ms + RATE_MS < now_ms;
        while self.positions.get(1).is_some_and(is_old) || self.positions.len() > LOOKS_MAX {
            self.positions.pop_front();
        }
    }

    /// At the rate of the last seconds.
    fn catch_up_ms(&self, view: &FileView, now_ms: u64) -> Option<u64> {
        let (from_ms, from) = self.positions.front()?;
        let bytes = view.position.checked_sub(*from).filter(|bytes| *bytes > 0)?;
        let ms = u128::from(view.behind()) * u128::from(now_ms - from_ms) / u128::from(bytes);
        u64::try_from(ms).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(ages: &mut Ages, now_s: u64, size: u64, position: u64) -> FileView {
        ages.begin();
        let mut view = FileView {
            size,
            position,
            modified_ms: Some(now_s as i64 * 1_000 - 500),
            ..FileView::default()
        };
        ages.note((1, 2), &mut view, (now_s * 1_000, now_s as i64 * 1_000));
        view
    }

    #[test]
    fn a_line_is_no_older_than_the_last_look_before_it() {
        let mut ages = Ages::default();
        assert_eq!(look(&mut ages, 1, 100, 0).oldest, Some(Age::AtLeast(500)));
        assert_eq!(look(&mut ages, 2, 100, 100).oldest, None);
        assert_eq!(look(&mut ages, 3, 100, 100).oldest, None);
        assert_eq!(look(&mut ages, 4, 300, 100).oldest, Some(Age::AtMost(1_000)));
        let view = look(&mut ages, 5, 500, 200);
        assert_eq!((view.oldest, view.catch_up_ms), (Some(Age::AtMost(2_000)), Some(6_000)));
        // It is written to all the time, and never wholly delivered.
        for now_s in 6..10_000 {
            let view = look(&mut ages, now_s, now_s * 100, now_s * 100 - 50);
            let age = view.oldest.unwrap();
            assert!(now_s < 8 || age == Age::AtMost(1_000), "{now_s}: {age:?}");
        }
        // Truncated.
        assert_eq!(look(&mut ages, 10_000, 10, 0).oldest, Some(Age::AtLeast(500)));
        assert_eq!(look(&mut ages, 10_001, 10, 0).catch_up_ms, None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut ages = Ages::default();
        for now_s in 0..1_000 {
            look(&mut ages, now_s, now_s * 100, 0);
        }
        let looks = &ages.files[&(1, 2)];
        assert!(looks.lengths.len() <= LOOKS_MAX && looks.positions.len() <= LOOKS_MAX);
        ages.begin();
        for inode in 0..5_000 {
            let mut view = FileView { size: 10, ..FileView::default() };
            ages.note((3, inode), &mut view, (1_000_000, 0));
        }
        assert_eq!(ages.files.len(), FILES_MAX);
        ages.begin();
        ages.begin();
        assert!(ages.files.is_empty());
    }
}
