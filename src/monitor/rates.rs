//! How fast a source goes: a point each second, of the last hour and no more.

use std::collections::VecDeque;

/// Points that are kept: an hour, 86 kB.
const POINTS_MAX: usize = 3_600;
/// None is older, ms.
const HOUR_MS: u64 = 3_600_000;
/// They are so far apart at least, ms.
const INTERVAL_MS: u64 = 1_000;
/// Over how many intervals the present rate is taken.
const NOW_POINTS: usize = 10;

#[derive(Debug, Clone, Copy)]
struct Point {
    /// Monotonic.
    at_ms: u64,
    /// Sums since the start.
    bytes: u64,
    lines: u64,
}

/// What is acknowledged in a second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rate {
    pub bytes_per_s: f64,
    pub lines_per_s: f64,
}

/// The points of a source.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    points: VecDeque<Point>,
}

impl Rates {
    /// Takes the sums since the start, unless that was done within the last second.
    pub(crate) fn note(&mut self, at_ms: u64, bytes: u64, lines: u64) {
        if self.points.back().is_some_and(|last| at_ms < last.at_ms + INTERVAL_MS) {
            return;
        }
        let is_old = |first: &Point| first.at_ms + HOUR_MS < at_ms;
        while self.points.len() == POINTS_MAX || self.points.front().is_some_and(is_old) {
            self.points.pop_front();
        }
        self.points.push_back(Point { at_ms, bytes, lines });
    }

    /// Of the last ten seconds. `None` as long as there are no two points.
    pub(crate) fn now(&self) -> Option<Rate> {
        self.since(self.points.len().saturating_sub(NOW_POINTS + 1))
    }

    /// Of the last hour, or since the start.
    pub(crate) fn last_hour(&self) -> Option<Rate> {
        self.since(0)
    }

    /// The rates of the last hour, the oldest first: all points in so many pieces at most.
    pub(crate) fn curve(&self, pieces: usize) -> Vec<Rate> {
        let width = self.points.len().div_ceil(pieces.max(1)).max(1);
        let ends: Vec<Point> = self.points.iter().copied().step_by(width).collect();
        ends.windows(2).map(|pair| rate(pair[0], pair[1])).collect()
    }

    /// How long the time is that the points cover, ms.
    pub(crate) fn covers_ms(&self) -> u64 {
        let ends = self.points.front().zip(self.points.back());
        ends.map_or(0, |(first, last)| last.at_ms - first.at_ms)
    }

    fn since(&self, first: usize) -> Option<Rate> {
        let (first, last) = (self.points.get(first)?, self.points.back()?);
        (last.at_ms > first.at_ms).then(|| rate(*first, *last))
    }
}

fn rate(from: Point, to: Point) -> Rate {
    let ms = to.at_ms.saturating_sub(from.at_ms).max(1);
    let per_s = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1_000.0 / ms as f64;
    Rate { bytes_per_s: per_s(from.bytes, to.bytes), lines_per_s: per_s(from.lines, to.lines) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_of_points_takes_the_memory_of_an_hour() {
        let mut rates = Rates::default();
        assert_eq!((rates.now(), rates.last_hour()), (None, None));
        for second in 0..7 * 86_400 {
            let lines = second.min(600_000);
            rates.note(second * 1_000, lines * 100, lines);
            // Too soon for another.
            rates.note(second * 1_000 + 999, u64::MAX, u64::MAX);
        }
        assert_eq!(rates.points.len(), POINTS_MAX);
        assert!(rates.points.capacity() <= 2 * POINTS_MAX);
        assert_eq!(rates.now(), Some(Rate::default()));
        let mut rates = Rates::default();
        for second in 0..3_000 {
            rates.note(second * 1_000, second.max(2_000) * 100, second.max(2_000));
        }
        assert_eq!(rates.now(), Some(Rate { bytes_per_s: 100.0, lines_per_s: 1.0 }));
        assert!(rates.last_hour().unwrap().lines_per_s < 0.4);
        let curve = rates.curve(120);
        let lines = |at: usize| curve[at].lines_per_s;
        assert_eq!((curve.len(), lines(0), lines(118)), (119, 0.0, 1.0));
        assert_eq!(rates.covers_ms(), 2_999_000);
        // A process that was stopped for a day.
        rates.note(90_000_000, 0, 0);
        assert_eq!((rates.points.len(), rates.now()), (1, None));
    }
}
