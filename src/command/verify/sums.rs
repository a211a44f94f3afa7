//! Both sides of a topic as sums: what agrees needs no table, and files and topic are read once.
//!
//! Every value belongs to one of [`CELLS`] cells, by its hash. A cell adds up, for each event of the files, a
//! number made of its value and of its file's *group*, and takes off the same number for each record that
//! stands in a recorded range of the group. Where nothing is left, and no record of anybody else is in the
//! cell, the records are the events, each as often as the files have it: two different multisets come to
//! one sum with a chance of 2^-64, as two values come to one hash. Only the values of the other cells, the
//! *doubtful* ones, are counted one by one.
//!
//! A group is one file, or several whose ranges overlap under one producer id: there only the value tells
//! whose a record is.

use std::collections::{HashMap, HashSet};

use super::judge::Place;
use crate::checkpoint::receipt::ReceiptRange;

/// A power of two. A single record too many puts so small a part of the values in doubt; half a megabyte,
/// since it has to stay in a processor's cache: each event and each record goes to any of them.
const CELLS: usize = 1 << 16;
/// Of a range whose records are not added up.
pub(super) const NO_GROUP: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Sums {
    /// Of each cell: events less records.
    sums: Vec<u64>,
    /// The cells with records that are in no range.
    strays: Cells,
}

impl Sums {
    pub(super) fn new() -> Sums {
        Sums { sums: vec![0; CELLS], strays: Cells::none() }
    }

    /// An event of a file of `group` has this value.
    pub(super) fn expect(&mut self, key: u64, group: u32) {
        let sum = &mut self.sums[cell_of(key)];
        *sum = sum.wrapping_add(mixed(key, group));
    }

    /// A record in a range of `group` has it.
    pub(super) fn meet(&mut self, key: u64, group: u32) {
        let sum = &mut self.sums[cell_of(key)];
        *sum = sum.wrapping_sub(mixed(key, group));
    }

    /// A record in no range has it.
    pub(super) fn meet_stray(&mut self, key: u64) {
        self.strays.add(cell_of(key));
    }

    /// The cells whose values have to be counted one by one.
    pub(super) fn doubtful(self) -> Cells {
        let mut doubtful = self.strays;
        let differ = self.sums.iter().enumerate().filter(|(_, sum)| **sum != 0);
        differ.for_each(|(at, _)| doubtful.add(at));
        doubtful
    }
}

/// Some of the cells.
#[derive(Debug)]
pub(super) struct Cells(Vec<u64>);

impl Cells {
    fn none() -> Cells {
        Cells(vec![0; CELLS / 64])
    }

    fn add(&mut self, cell: usize) {
        self.0[cell / 64] |= 1 << (cell % 64);
    }

    pub(super) fn has(&self, key: u64) -> bool {
        let cell = cell_of(key);
        self.0[cell / 64] >> (cell % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    /// About how many of `values` are in these cells: hashes spread evenly.
    pub(super) fn part_of(&self, values: u64) -> u64 {
        let cells: u64 = self.0.iter().map(|bits| u64::from(bits.count_ones())).sum();
        (u128::from(values) * u128::from(cells)).div_ceil(CELLS as u128) as u64
    }
}

/// By bits in the middle: the upper ones choose a place in the table.
fn cell_of(key: u64) -> usize {
    (key >> 20) as usize & (CELLS - 1)
}

/// Different for each pair of the two; the finalizer of SplitMix64, which is one to one.
fn mixed(key: u64, group: u32) -> u64 {
    let mut n = key.wrapping_add(u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Leaves out the files that `may` be: those with a range that is not read whole, because it was not asked
/// for or retention has taken some of it. Their events would put all cells in doubt; so their records alone
/// do. Places come with their files as groups, as [`join`] takes them.
pub(super) fn leave_out_part_read(
    places: &mut [Place],
    may: impl Fn(u32) -> bool,
    is_read: impl Fn(&ReceiptRange) -> bool,
) -> HashSet<u32> {
    let part_read = places.iter().filter(|place| may(place.group) && !is_read(&place.range));
    let left_out: HashSet<u32> = part_read.map(|place| place.group).collect();
    for place in places.iter_mut().filter(|place| left_out.contains(&place.group)) {
        place.group = NO_GROUP;
    }
    left_out
}

/// Puts files whose ranges overlap into one group. Each place comes with a number of its file, below
/// `files`, as its group, or with [`NO_GROUP`], and they are sorted by partition and first offset. Returns
/// the groups of the files.
pub(super) fn join(places: &mut [Place], files: u32, shows_producers: bool) -> Vec<u32> {
    let mut parents: Vec<u32> = (0..files).collect();
    // How far the ranges of a producer in a partition reach, and the last file of them.
    let mut reaches: HashMap<(i32, i64), (i64, u32)> = HashMap::new();
    for place in places.iter().filter(|place| place.group != NO_GROUP) {
        let producer = if shows_producers { place.range.producer_id } else { -1 };
        let reach = reaches.entry((place.range.partition, producer)).or_insert((-1, place.group));
        if place.range.first <= reach.0 {
            let (one, other) = (root(&mut parents, reach.1), root(&mut parents, place.group));
            parents[one as usize] = other;
        }
        *reach = (reach.0.max(place.range.last), place.group);
    }
    let groups: Vec<u32> = (0..files).map(|file| root(&mut parents, file)).collect();
    for place in places.iter_mut().filter(|place| place.group != NO_GROUP) {
        place.group = groups[place.group as usize];
    }
    groups
}

fn root(parents: &mut [u32], of: u32) -> u32 {
    let mut at = of;
    while parents[at as usize] != at {
        parents[at as usize] = parents[parents[at as usize] as usize];
        at = parents[at as usize];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys as hashes are: spread over all cells.
    fn key(n: u64) -> u64 {
        mixed(n, 77)
    }

    #[test]
    fn what_agrees_is_not_doubtful_in_whatever_order() {
        let mut sums = Sums::new();
        (0..1_000).for_each(|n| sums.expect(key(n), 1));
        (0..1_000).for_each(|n| sums.expect(key(n), 2));
        (0..1_000).rev().for_each(|n| sums.meet(key(n), 2));
        (0..1_000).rev().for_each(|n| sums.meet(key(n), 1));
        let doubtful = sums.doubtful();
        assert!(doubtful.is_empty() && doubtful.part_of(1_000) == 0 && !doubtful.has(key(3)));
    }

    #[test]
    fn each_difference_puts_its_values_in_doubt() {
        let differences: [&dyn Fn(&mut Sums); 5] = [
            &|sums| sums.expect(key(7), 1),
            &|sums| sums.meet(key(7), 1),
            &|sums| sums.meet_stray(key(7)),
            // In the range of another file than the one that has it.
            &|sums| {
                sums.expect(key(7), 1);
                sums.meet(key(7), 2);
            },
            // Twice there, and another one of the cell missing.
            &|sums| {
                sums.expect(key(7) ^ 1, 1);
                sums.meet(key(7), 1);
            },
        ];
        for difference in differences {
            let mut sums = Sums::new();
            for n in 0..1_000 {
                sums.expect(key(n), 1);
                sums.meet(key(n), 1);
            }
            difference(&mut sums);
            let doubtful = sums.doubtful();
            assert!(doubtful.has(key(7)) && !doubtful.is_empty());
            assert_eq!(doubtful.part_of(CELLS as u64), 1);
        }
    }

    fn place(group: u32, partition: i32, producer_id: i64, first: i64, last: i64) -> Place {
        let range = ReceiptRange { partition, producer_id, first, last, ..ReceiptRange::default() };
        Place { file: 0, group, range }
    }

    #[test]
    fn others_that_are_read_in_part_are_left_out() {
        let mut places = [
            place(0, 0, 5, 0, 9),
            place(1, 0, 5, 5, 20),
            place(2, 0, 5, 21, 30),
            place(NO_GROUP, 0, 5, 0, 3),
            place(1, 1, 5, 0, 7),
        ];
        let is_read = |range: &ReceiptRange| range.partition == 1 || range.first >= 10;
        let left_out = leave_out_part_read(&mut places, |file| (1..3).contains(&file), is_read);
        assert_eq!(left_out, HashSet::from([1]));
        let groups: Vec<u32> = places.iter().map(|place| place.group).collect();
        assert_eq!(groups, [0, NO_GROUP, 2, NO_GROUP, NO_GROUP]);
        assert_eq!(join(&mut places, 3, true), [0, 1, 2]);
    }

    #[test]
    fn files_whose_ranges_overlap_are_one_group() {
        let places = || {
            vec![
                place(0, 0, 5, 0, 99),
                place(1, 0, 5, 90, 120),
                place(NO_GROUP, 0, 5, 100, 200),
                place(2, 0, 5, 121, 150),
                place(3, 0, 6, 130, 140),
                place(2, 1, 5, 10, 20),
                place(4, 1, 5, 20, 30),
                place(5, 1, 5, 31, 31),
            ]
        };
        let mut sorted = places();
        assert_eq!(join(&mut sorted, 6, true), [1, 1, 4, 3, 4, 5]);
        let groups: Vec<u32> = sorted.iter().map(|place| place.group).collect();
        assert_eq!(groups, [1, 1, NO_GROUP, 4, 3, 4, 4, 5]);
        // Who does not see the producer cannot tell them apart by it.
        assert_eq!(join(&mut places(), 6, false), [1, 1, 4, 4, 4, 5]);
    }
}
