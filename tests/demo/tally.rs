//! The count, line by line: which of the lines written stand in the topic, and how often.

use std::collections::HashMap;

use crate::lines::{self, Line};
use crate::support::{Topic, decode_event};

/// What a reader of the whole topic has found.
#[derive(Debug, Default)]
pub struct Tally {
    /// Records in the topic.
    pub records: u64,
    /// Lines that are not there.
    pub missing: u64,
    /// Records of lines that were there before.
    pub duplicated: u64,
    /// Records that are none of the lines, or not exactly.
    pub foreign: u64,
    /// Records that stand behind a later line of their file in the same partition.
    pub disordered: u64,
}

/// Reads all of `topic`, in which the lines 0 to `written` - 1 should stand.
pub fn count(topic: &Topic, written: u64) -> Tally {
    let mut tally = Tally::default();
    let mut seen = vec![false; written as usize];
    for partition in 0..topic.partitions() as i32 {
        let mut last_of_file: HashMap<u32, u64> = HashMap::new();
        topic.for_each(partition, |record| {
            tally.records += 1;
            let body = decode_event(&record.value.unwrap_or_default()).body;
            let line = lines::parse(&body).filter(|line| line.number < written);
            let Some(Line { hour, number }) = line else {
                tally.foreign += 1;
                return;
            };
            if std::mem::replace(&mut seen[number as usize], true) {
                tally.duplicated += 1;
                return;
            }
            let last = last_of_file.entry(hour).or_default();
            tally.disordered += u64::from(number < *last);
            *last = number;
        });
    }
    tally.missing = seen.iter().filter(|seen| !**seen).count() as u64;
    tally
}
