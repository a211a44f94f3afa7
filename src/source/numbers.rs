//! How device and inode are hashed. Of ten thousand candidates each is asked for in every pass over the names, and
//! what makes the hash of `std` good for any input is most of such a pass.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Odd, with bits in no order.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes hashes of numbers. Each set has a key of its own: who may choose inode numbers, as the server of a file
/// system may, does not know which of them meet.
#[derive(Debug, Clone)]
pub(super) struct ByNumbers {
    key: u64,
}

impl Default for ByNumbers {
    fn default() -> ByNumbers {
        ByNumbers { key: RandomState::new().hash_one(FACTOR) }
    }
}

impl BuildHasher for ByNumbers {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher { state: self.key }
    }
}

/// See the module.
pub(super) struct NumberHasher {
    state: u64,
}

impl Hasher for NumberHasher {
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.state ^ number) * u128::from(FACTOR);
        // The upper half depends on all bits.
        self.state = product as u64 ^ (product >> 64) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A table takes its places from the lower bits, and tells apart what meets there by the upper seven.
    #[test]
    fn numbers_that_follow_one_another_are_spread() {
        let by_numbers = ByNumbers::default();
        let hashes = || (0..10_000u64).map(|inode| by_numbers.hash_one((64_768u64, inode << 5)));
        let places: HashSet<u64> = hashes().map(|hash| hash % 16_384).collect();
        let tops: HashSet<u64> = hashes().map(|hash| hash >> 57).collect();
        assert!(places.len() > 5_000, "{} places", places.len());
        assert_eq!(tops.len(), 128);
    }
}
