//! Partitions without a leader: nothing can be asked of them or sent there, and the others go on.
//!
//! What is in doubt in such a partition is *parked*: it keeps its identity and its place, and the
//! position of its file stays before it. Nothing new goes there. Once it has a leader the channel is
//! opened anew, and what is parked is looked for like everything else that is in doubt.

use std::collections::HashMap;

use super::announced::Ticket;
use super::recovery::Pause;
use super::{Announced, CHANNEL, Pipeline, add_range, combine_crc};
use crate::channel::broker::Fault;
use crate::channel::outlet::DoubtIdentity;
use crate::checkpoint::record::{BatchRecord, Fate};
use crate::log::{self, counted};

/// With more batches than this announced and not folded, those that are acknowledged are joined.
const JOINED_FROM: usize = 256;

/// How much of what is parked stays in memory, encoded, bytes; the rest is read again.
const PARKED_BYTES_MAX: usize = 1024 * 1024;

impl Pipeline {
    /// In doubt, and not parked.
    pub(super) fn is_under_way(&self, announced: &Announced) -> bool {
        let record = &announced.record;
        record.fate.is_in_doubt()
            && self.outlets[usize::from(record.channel)].leads(record.partition)
    }

    /// Tickets of what is in doubt in channel `at` and can be asked for, in sending order.
    pub(super) fn asked_doubts(&self, at: usize) -> Vec<Ticket> {
        let mut doubts = self.doubts(at);
        doubts.retain(|&n| self.is_under_way(&self.announced[n]));
        doubts
    }

    /// What gives everything in doubt another identity, or another partition, has to look at all of
    /// it, and waits until every partition has a leader.
    pub(super) fn need_leaders(&self, at: usize) -> Result<(), Pause> {
        let outlet = &self.outlets[at];
        let leaderless = outlet.topic.as_ref().and_then(|topic| topic.leaderless.first());
        match leaderless.filter(|_| !self.doubts(at).is_empty()) {
            Some(partition) => Err(without(&outlet.config.topic, *partition)),
            None => Ok(()),
        }
    }

    /// What is in doubt in a partition without a leader waits for it.
    pub(super) fn park_leaderless(&mut self, at: usize) -> Result<(), Pause> {
        if self.outlets[at].doubt_identity != DoubtIdentity::Ours {
            self.need_leaders(at)?;
        }
        let mut bytes = 0;
        for n in self.doubts(at) {
            if self.is_under_way(&self.announced[n]) {
                continue;
            }
            // Memory is for what is under way.
            bytes += self.announced[n].encoded_bytes();
            if bytes > PARKED_BYTES_MAX
                && let Some(batch) = self.announced[n].encoded.take()
            {
                self.outlets[at].give_back(batch);
            }
        }
        Ok(())
    }

    /// Once, where it is not as it was before.
    pub(super) fn tell_leaderless(&mut self, at: usize) {
        let parked = counted(self.doubts(at).len() as u64, "batch");
        let outlet = &mut self.outlets[at];
        let leaderless = outlet.topic.as_ref().map_or(Vec::new(), |t| t.leaderless.clone());
        if leaderless == outlet.told_leaderless {
            return;
        }
        let (channel, topic) = (&outlet.config.name, &outlet.config.topic);
        if leaderless.is_empty() {
            log::info(
                CHANNEL,
                format_args!(
                    "Channel {channel}: every partition of topic {topic} has a leader again."
                ),
            );
        } else {
            let list: Vec<String> = leaderless.iter().map(i32::to_string).collect();
            log::warn(
                CHANNEL,
                format_args!(
                    "Channel {channel} (topic {topic}): no leader for partition {}, or none that \
                     answers; the others go on, {parked} in doubt must wait for it. Check the \
                     brokers.",
                    list.join(", ")
                ),
            );
        }
        outlet.told_leaderless = leaderless;
    }

    /// Behind a batch that is parked all that is acknowledged stays announced. What stands one
    /// behind the other in a file becomes one entry, so that these are few however long that takes.
    /// (With several channels they are not joined: each batch of one belongs to one of another.)
    pub(super) fn join_acked(&mut self) {
        if self.announced.len() <= JOINED_FROM || self.outlets.len() > 1 {
            return;
        }
        let mut kept: Vec<Announced> = Vec::with_capacity(self.announced.len());
        let mut last_of: HashMap<u64, usize> = HashMap::new();
        for next in self.announced.take() {
            let file = next.record.file;
            let last = last_of.get(&file).map(|&at| &mut kept[at]);
            let Some(last) = last.filter(|last| may_join(&last.record, &next.record)) else {
                last_of.insert(file, kept.len());
                kept.push(next);
                continue;
            };
            for part in [&last.record, &next.record] {
                if let Some(file) = self.files.record_mut(part.file) {
                    add_range(&mut file.ranges, part);
                }
                self.counters.batches_accepted += u64::from(part.fate.offset().is_some());
            }
            join(&mut last.record, &next.record);
            self.is_dirty = true;
        }
        self.announced.put_back(kept);
    }
}

/// Nothing can be decided before `partition` has a leader.
pub(super) fn without(topic: &str, partition: i32) -> Pause {
    Pause::Fault(Fault::NotReady(format!("topic {topic}: partition {partition} has no leader")))
}

/// Are both acknowledged, and one behind the other?
fn may_join(first: &BatchRecord, second: &BatchRecord) -> bool {
    let stands = |b: &BatchRecord| match b.fate {
        Fate::InDoubt => false,
        Fate::At(_) | Fate::Spread => true,
        Fate::Nowhere => b.count == 0,
    };
    // One of several of a range says nothing of the others.
    let is_whole = first.share.is_none() && second.share.is_none();
    is_whole
        && stands(first)
        && stands(second)
        && first.end == second.start
        && first.count.checked_add(second.count).is_some()
}

/// Their offsets are in the file's record already.
fn join(first: &mut BatchRecord, second: &BatchRecord) {
    first.bytes_crc = combine_crc(first.bytes_crc, second.bytes_crc, second.end - second.start);
    first.tail_crc = second.tail_crc;
    first.end = second.end;
    first.lines += second.lines;
    first.count += second.count;
    first.is_final = second.is_final;
    first.fate = Fate::Spread;
}
