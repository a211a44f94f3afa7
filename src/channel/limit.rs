//! How large a batch may be: what a broker refused makes it smaller, time makes it larger again.

/// Batches are closed at this encoded size: below the 1,000,012 bytes that the oldest brokers take
/// by default, with room for one more event of the default size.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// A batch is not split below this size: the broker's limit is for one event then.
const BATCH_BYTES_MIN: usize = 16 * 1024;

/// How long after a batch was too large larger ones are tried again, ms; twice as long each
/// time that one of these is refused.
const REGROW_MS: u64 = 60_000;
const REGROW_MS_MAX: u64 = 3_600_000;

/// How large a batch may be now.
#[derive(Debug, Clone)]
pub struct BatchLimit {
    bytes: usize,
    full: usize,
    /// Monotonic time at which larger batches are tried again, and how long that is waited for.
    regrow_at_ms: u64,
    regrow_ms: u64,
    has_regrown: bool,
}

impl BatchLimit {
    /// `full`: what it is as long as nothing is refused, bytes.
    pub fn new(full: usize) -> BatchLimit {
        BatchLimit { bytes: full, full, regrow_at_ms: 0, regrow_ms: REGROW_MS, has_regrown: false }
    }

    /// Encoded size at which a batch is closed.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A broker said "too large" to a batch of `size` bytes encoded. That may be its limit, or one
    /// large event, or a limit that is raised later.
    pub fn shrink(&mut self, size: usize, now_ms: u64) {
        self.bytes = (size / 2).max(BATCH_BYTES_MIN).min(self.bytes);
        if std::mem::take(&mut self.has_regrown) {
            self.regrow_ms = (2 * self.regrow_ms).min(REGROW_MS_MAX);
        }
        self.regrow_at_ms = now_ms + self.regrow_ms;
    }

    /// Batches may be as large as usual again, step by step.
    pub fn regrow(&mut self, now_ms: u64) {
        if self.bytes < self.full && now_ms >= self.regrow_at_ms {
            self.bytes = (2 * self.bytes).min(self.full);
            self.regrow_at_ms = now_ms + self.regrow_ms;
            self.has_regrown = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_back_after_one_that_was_too_large() {
        let mut limit = BatchLimit::new(BATCH_BYTES_MAX);
        limit.shrink(40_000, 0);
        limit.regrow(59_999);
        assert_eq!(limit.bytes(), 20_000);
        limit.regrow(60_000);
        assert_eq!(limit.bytes(), 40_000);
        // It was the broker's limit after all: tried less and less often.
        limit.shrink(40_000, 61_000);
        limit.regrow(180_999);
        assert_eq!(limit.bytes(), 20_000);
        (2..60).for_each(|n| limit.regrow(n * 120_000));
        assert_eq!(limit.bytes(), BATCH_BYTES_MAX);
    }
}
