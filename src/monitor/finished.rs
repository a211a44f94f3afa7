//! The files that were finished last, from the end of the file `receipts`: what was added to it since
//! the look before, and no more than a little.

use std::collections::VecDeque;

use crate::checkpoint::receipt::{self, Receipt};
use crate::config::model::SourceConfig;

/// How many are shown.
const SHOWN_MAX: usize = 20;
/// How many ranges of offsets of each.
const RANGES_MAX: usize = 32;
/// How much one look reads, bytes: receipts before that, or longer than that, are not shown.
const LOOK_BYTES_MAX: u64 = 256 << 10;

/// The files finished last.
#[derive(Default)]
pub(crate) struct Finished {
    last: VecDeque<Receipt>,
    /// Up to there the file was read.
    end: u64,
}

impl Finished {
    /// The last ones, oldest first. What cannot be read is left out: `status` says why.
    pub(crate) fn look(&mut self, config: &SourceConfig) -> Vec<Receipt> {
        let mut more = VecDeque::new();
        let mut take = |receipt: Receipt| {
            let mut receipt = receipt.told_from(&config.spool_dir);
            receipt.ranges.truncate(RANGES_MAX);
            // After a crash the same one may have been written again.
            if more.back().is_some_and(|last: &Receipt| last.is_same_file(&receipt)) {
                more.pop_back();
            }
            if more.len() == SHOWN_MAX {
                more.pop_front();
            }
            more.push_back(receipt);
        };
        match receipt::read_end(&config.tracker_dir, self.end, LOOK_BYTES_MAX, &mut take) {
            Ok(end) => {
                if end < self.end {
                    // Moved away.
                    self.last.clear();
                }
                self.end = end;
            }
            Err(_) => return self.last.iter().cloned().collect(),
        }
        for receipt in more {
            self.last.push_back(receipt);
        }
        let surplus = self.last.len().saturating_sub(SHOWN_MAX);
        self.last.drain(..surplus);
        self.last.iter().cloned().collect()
    }
}
