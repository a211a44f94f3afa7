//! How long brokers take from a round to the answers to it: for those who look, and for nothing else.

use crate::histogram::{Histogram, Recent};

/// Rounds of which the time of sending is known: more than are under way at once.
const ROUNDS_MAX: usize = 8;
/// Partitions that are told apart.
const PARTITIONS_MAX: usize = 1_024;

/// Round trips of a channel.
#[derive(Debug, Default)]
pub struct Trips {
    /// Number of the round and monotonic time, the latest ones.
    sent: [(u64, u64); ROUNDS_MAX],
    next: usize,
    /// Of this run.
    pub all: Histogram,
    /// The last ones of each partition, ascending.
    recent: Vec<(i32, Recent)>,
}

impl Trips {
    /// Round `round` (from 1 on) is on its way.
    pub fn sent(&mut self, round: u64, now_ms: u64) {
        self.sent[self.next] = (round, now_ms);
        self.next = (self.next + 1) % ROUNDS_MAX;
    }

    /// A batch of that round was acknowledged.
    pub fn answered(&mut self, round: u64, partition: i32, now_ms: u64) {
        let Some((_, sent_ms)) = self.sent.iter().find(|(number, _)| round > 0 && *number == round)
        else {
            return;
        };
        let ms = now_ms.saturating_sub(*sent_ms);
        self.all.note(ms);
        match self.recent.binary_search_by_key(&partition, |(id, _)| *id) {
            Ok(at) => self.recent[at].1.note(ms),
            Err(at) if self.recent.len() < PARTITIONS_MAX => {
                let mut recent = Recent::default();
                recent.note(ms);
                self.recent.insert(at, (partition, recent));
            }
            Err(_) => {}
        }
    }

    /// Median and 99th percentile of the last few hundred of a partition, ms.
    pub fn of(&self, partition: i32) -> Option<(f64, f64)> {
        let at = self.recent.binary_search_by_key(&partition, |(id, _)| *id).ok()?;
        let recent = &self.recent[at].1;
        recent.quantile(0.5).zip(recent.quantile(0.99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_in_this_run_is_measured() {
        let mut trips = Trips::default();
        trips.answered(0, 1, 5);
        for round in 1..=100 {
            trips.sent(round, round * 10);
            trips.answered(round, 1, round * 10 + 4);
        }
        // Long ago.
        trips.answered(1, 2, 10_000);
        assert_eq!((trips.all.count(), trips.of(2)), (100, None));
        let (median, most) = trips.of(1).unwrap();
        assert!(median >= 2.0 && most <= 5.0 && median < most);
        for partition in 0..5_000 {
            trips.answered(100, partition, 1_001);
        }
        assert_eq!(trips.recent.len(), PARTITIONS_MAX);
    }
}
