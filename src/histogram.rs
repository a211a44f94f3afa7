//! How long things take, counted in classes: bounded memory, whatever comes, and a few instructions for
//! each.

/// Upper ends of the classes, ms, the end with them; the last class has none.
pub const BOUNDS_MS: [u64; 20] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000,
    1_800_000, 7_200_000, 28_800_000, 86_400_000,
];

/// The class of what takes so long.
fn class(ms: u64) -> usize {
    BOUNDS_MS.partition_point(|bound| *bound < ms)
}

/// All that there has ever been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS_MS.len() + 1],
    sum_ms: u64,
}

impl Histogram {
    pub fn note(&mut self, ms: u64) {
        self.counts[class(ms)] += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// For each class but the last its upper end, ms, and how many took no longer.
    pub fn cumulated(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut sum = 0;
        BOUNDS_MS.iter().zip(&self.counts).map(move |(bound, count)| {
            sum += count;
            (*bound, sum)
        })
    }

    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
    }
}

/// Of so many, the older half counts half.
const FADES_AT: u32 = 512;

/// The last few hundred.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    counts: [u32; BOUNDS_MS.len() + 1],
    count: u32,
}

impl Recent {
    pub fn note(&mut self, ms: u64) {
        if self.count == FADES_AT {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.count = self.counts.iter().sum();
        }
        self.counts[class(ms)] += 1;
        self.count += 1;
    }

    /// So long, ms, took this part (0.5: the median) at most, as far as classes tell. `None`: there were
    /// none.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = part * f64::from(self.count);
        let mut below = 0.0;
        for (at, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if below + count >= wanted {
                let from = if at == 0 { 0 } else { BOUNDS_MS[at - 1] } as f64;
                let to = BOUNDS_MS.get(at).map_or(from, |to| *to as f64);
                return Some(from + (to - from) * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_its_class() {
        let mut all = Histogram::default();
        for ms in [0, 1, 2, 3, 5, 86_400_000, 86_400_001, u64::MAX] {
            all.note(ms);
        }
        let cumulated: Vec<(u64, u64)> = all.cumulated().collect();
        assert_eq!(cumulated[..3], [(1, 2), (2, 3), (5, 5)]);
        assert_eq!((cumulated[19], all.count()), ((86_400_000, 6), 8));
        assert_eq!(all.sum_ms(), u64::MAX);
        let mut sum = Histogram::default();
        sum.add(&all);
        assert_eq!(sum, all);
    }

    #[test]
    fn what_was_long_ago_fades() {
        let mut recent = Recent::default();
        assert_eq!(recent.quantile(0.5), None);
        (0..100_000).for_each(|_| recent.note(4_000));
        assert!((2_000.0..=5_000.0).contains(&recent.quantile(0.5).unwrap()));
        (0..5_000).for_each(|_| recent.note(8));
        assert!((5.0..=10.0).contains(&recent.quantile(0.99).unwrap()));
        recent = Recent::default();
        (0..98).for_each(|_| recent.note(8));
        (0..2).for_each(|_| recent.note(u64::MAX));
        assert!((5.0..=10.0).contains(&recent.quantile(0.5).unwrap()));
        assert_eq!(recent.quantile(0.99), Some(86_400_000.0));
    }
}
