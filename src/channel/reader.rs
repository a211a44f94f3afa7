//! Reads a topic as a consumer without a group does, from any wire, one record at a time.

use std::time::Duration;

use super::batch::Wire;
use super::broker::{Fault, Topic};
use super::client::Client;
use super::cluster::{Quest, find};
use super::finish::{Waits, finish};
use super::middle::Middle;
use super::modern::Modern;
use super::records::{Content, next_entry};
use super::walk::{END, FIRST, Log, Piece, Step, each_entry, untold, walk, walk_ahead};
use super::wire::pause;
use crate::config::model::Destination;

/// Tries in a row to go on after a lost connection, and the pause between.
const TRIES_MAX: u32 = 10;
const TRY_PAUSE: Duration = Duration::from_millis(1_000);
/// What is fetched to tell how large records are.
const SAMPLE_BYTES: usize = 64 << 10;

/// A record of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicRecord<'a> {
    pub partition: i32,
    pub offset: i64,
    /// -1 where it was written without one, or where the wire does not show it.
    pub producer_id: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

/// What a topic holds, for an agent that has lost its state. Each call waits for a broker's answer, no
/// more than one at a time, and is not tried again inside.
pub trait History {
    /// Ascending.
    fn partitions(&self) -> &[i32];

    /// Most replicas of a partition.
    fn replicas(&self) -> usize;

    /// The partition's first offset and its end.
    fn bounds(&mut self, partition: i32) -> Result<(i64, i64), Fault>;

    /// Hands some records from `at` up to but not including `to` to `visit`, in order, and moves
    /// `at` behind them, also where it fails on the way. Where nothing is left to be read, `at`
    /// becomes `to`.
    fn read_some(
        &mut self,
        partition: i32,
        at: &mut i64,
        to: i64,
        visit: &mut dyn FnMut(TopicRecord<'_>),
    ) -> Result<(), Fault>;
}

/// A topic, connected for reading. It never makes a topic (but see [`Quest::may_create`]).
pub struct TopicReader {
    config: Destination,
    client: Client,
    link: Link,
    partitions: Vec<i32>,
    replicas: usize,
    scratch: Vec<u8>,
}

enum Link {
    Modern(Box<Modern>),
    /// And the one before it, where the crate has nothing to write.
    Middle(Box<Middle>),
}

impl TopicReader {
    /// Connects to the brokers of `config`.
    ///
    /// # Errors
    /// As [`find`].
    pub fn open(config: &Destination) -> Result<TopicReader, Fault> {
        Self::open_or_make(config, false)
    }

    /// The same; a topic that is not there is made, if the brokers do so when they are asked.
    pub fn open_own(config: &Destination) -> Result<TopicReader, Fault> {
        Self::open_or_make(config, true)
    }

    fn open_or_make(config: &Destination, may_create: bool) -> Result<TopicReader, Fault> {
        let client = Client::of(config);
        let (link, topic) = connect(config, &client, may_create)?;
        let (partitions, replicas) = (topic.partitions, topic.replicas);
        Ok(TopicReader {
            config: config.clone(),
            client,
            link,
            partitions,
            replicas,
            scratch: Vec::new(),
        })
    }

    /// Ascending.
    pub fn partitions(&self) -> &[i32] {
        &self.partitions
    }

    /// Do records show the producer that wrote them?
    pub fn shows_producers(&self) -> bool {
        matches!(self.link, Link::Modern(_))
    }

    /// The partition's first offset and its end.
    pub fn bounds(&mut self, partition: i32) -> Result<(i64, i64), Fault> {
        let mut bound = |time| self.offset(partition, time)?.ok_or_else(|| untold(partition));
        Ok((bound(FIRST)?, bound(END)?))
    }

    fn offset(&mut self, partition: i32, time: i64) -> Result<Option<i64>, Fault> {
        match &mut self.link {
            Link::Modern(modern) => offset_in(&mut **modern, partition, time),
            Link::Middle(middle) => offset_in(&mut **middle, partition, time),
        }
    }

    /// An offset before which nothing was stamped at `time_ms` or later, within `bounds`.
    pub fn offset_at(
        &mut self,
        partition: i32,
        time_ms: i64,
        bounds: (i64, i64),
    ) -> Result<i64, Fault> {
        // Where there is none: on the newer wire all is older, on the older one all is younger.
        let none = if self.shows_producers() { bounds.1 } else { bounds.0 };
        let offset = self.offset(partition, time_ms)?.unwrap_or(none);
        Ok(offset.clamp(bounds.0, bounds.1))
    }

    /// About how many bytes so many offsets take in the log, by `samples` pieces that lie evenly
    /// between `bounds`. Where nothing can be read there, 0.
    pub fn estimate_bytes(
        &mut self,
        partition: i32,
        bounds: (i64, i64),
        samples: u32,
    ) -> Result<u64, Fault> {
        let length = bounds.0.abs_diff(bounds.1);
        let (mut offsets, mut bytes) = (0u64, 0u64);
        for n in 0..u64::from(samples.max(1)).min(length) {
            let step = u128::from(length) * u128::from(n) / u128::from(samples.max(1));
            let at = bounds.0.saturating_add(step as i64);
            let piece = match &mut self.link {
                Link::Modern(modern) => piece_of(&mut **modern, partition, at)?,
                Link::Middle(middle) => piece_of(&mut **middle, partition, at)?,
            };
            if let Piece::Log { records, .. } = piece {
                let (some, their_bytes) = weigh(&records, at);
                offsets += some;
                bytes += their_bytes;
            }
        }
        let total = u128::from(length) * u128::from(bytes) / u128::from(offsets.max(1));
        Ok(u64::try_from(total).unwrap_or(u64::MAX))
    }

    /// Hands each record from `from` up to but not including `to` to `visit`, in order and once,
    /// over broken connections and failovers.
    ///
    /// # Errors
    /// What is not over after ten tries.
    pub fn read(
        &mut self,
        partition: i32,
        from: i64,
        to: i64,
        visit: &mut dyn FnMut(TopicRecord<'_>),
    ) -> Result<(), Fault> {
        let mut at = from;
        let mut tries = 0;
        loop {
            let before = at;
            match self.read_once(partition, &mut at, to, visit) {
                Ok(()) => return Ok(()),
                Err(
                    Fault::Lost(_)
                    | Fault::Overdue(_)
                    | Fault::NotReady(_)
                    | Fault::NoDescriptor(_)
                    | Fault::Unreachable(_)
                    | Fault::Incompatible(_),
                ) if tries < TRIES_MAX || at > before => {
                    tries = if at > before { 1 } else { tries + 1 };
                    pause(TRY_PAUSE)?;
                    // Where it fails, the next read does so on the dead link, and counts.
                    if let Ok((link, _)) = connect(&self.config, &self.client, false) {
                        self.link = link;
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Moves `at` behind what has been handed over.
    fn read_once(
        &mut self,
        partition: i32,
        at: &mut i64,
        to: i64,
        visit: &mut dyn FnMut(TopicRecord<'_>),
    ) -> Result<(), Fault> {
        let scratch = &mut self.scratch;
        *at = (*at).max(0);
        let from = *at;
        let mut take = |records: &[u8], from: i64| {
            // Further on than before where the log begins behind it.
            *at = from;
            *at = hand_over(records, partition, at, to, scratch, visit)?;
            Ok(Step::To(*at))
        };
        match &mut self.link {
            Link::Modern(modern) => walk_ahead(&mut **modern, partition, from, to, &mut take),
            Link::Middle(middle) => walk_ahead(&mut **middle, partition, from, to, &mut take),
        }
    }
}

impl History for TopicReader {
    fn partitions(&self) -> &[i32] {
        TopicReader::partitions(self)
    }

    fn replicas(&self) -> usize {
        self.replicas
    }

    fn bounds(&mut self, partition: i32) -> Result<(i64, i64), Fault> {
        TopicReader::bounds(self, partition)
    }

    fn read_some(
        &mut self,
        partition: i32,
        at: &mut i64,
        to: i64,
        visit: &mut dyn FnMut(TopicRecord<'_>),
    ) -> Result<(), Fault> {
        let scratch = &mut self.scratch;
        let from = *at;
        let mut take = |records: &[u8], from: i64| {
            *at = from;
            *at = hand_over(records, partition, at, to, scratch, visit)?;
            // What is larger than a fetch is asked for once more.
            Ok(if *at > from { Step::Enough } else { Step::To(*at) })
        };
        match &mut self.link {
            Link::Modern(modern) => walk(&mut **modern, partition, from, to, &mut take),
            Link::Middle(middle) => walk(&mut **middle, partition, from, to, &mut take),
        }?;
        if *at == from {
            *at = to;
        }
        Ok(())
    }
}

fn piece_of<L: Log + Waits>(log: &mut L, partition: i32, at: i64) -> Result<Piece, Fault> {
    loop {
        let ticket = log.ask_piece(partition, at, SAMPLE_BYTES)?;
        match finish(log, |log| log.take_piece(ticket))? {
            Piece::Throttled => {}
            piece => return Ok(piece),
        }
    }
}

fn offset_in<L: Log + Waits>(log: &mut L, partition: i32, time: i64) -> Result<Option<i64>, Fault> {
    let ticket = log.ask_offset(partition, time)?;
    finish(log, |log| log.take_offset(ticket))
}

fn connect(
    config: &Destination,
    client: &Client,
    may_create: bool,
) -> Result<(Link, Topic), Fault> {
    let topic = config.topic.as_str();
    let quest = Quest {
        brokers: &config.brokers,
        topic,
        client,
        legacy: false,
        may_create,
        may_lack: false,
    };
    let cluster = find(quest)?;
    let found = cluster.topic.clone();
    let timeout = config.request_timeout_ms;
    let link = match cluster.topic.wire {
        Wire::Modern => Link::Modern(Box::new(Modern::new(cluster, topic, client, timeout))),
        Wire::Middle | Wire::Legacy => {
            Link::Middle(Box::new(Middle::new(cluster, topic, &client.id, timeout)))
        }
    };
    Ok((link, found))
}

/// How many offsets, and how many bytes, the whole entries of a fetch from `at` on take. One that is
/// cut counts by what is there: it is no smaller.
fn weigh(records: &[u8], at: i64) -> (u64, u64) {
    let (mut rest, mut first, mut next) = (records, None, at);
    while let Ok(Some(entry)) = next_entry(&mut rest) {
        // A wrapper message of the old format bears the offset of its last record.
        first.get_or_insert(entry.base_offset.min(at));
        next = next.max(entry.next_offset);
    }
    match first {
        Some(first) => (first.abs_diff(next), (records.len() - rest.len()) as u64),
        None => (u64::from(!records.is_empty()), records.len() as u64),
    }
}

/// Visits the records of the whole entries of a fetch; returns the offset to go on from. `at` moves
/// with each record: where the rest cannot be read, what was handed over is not handed over again.
fn hand_over(
    records: &[u8],
    partition: i32,
    at: &mut i64,
    to: i64,
    scratch: &mut Vec<u8>,
    visit: &mut dyn FnMut(TopicRecord<'_>),
) -> Result<i64, Fault> {
    each_entry(records, *at, &mut |entry| {
        let producer_id = entry.producer_id;
        entry.values(scratch, &mut |offset, Content { key, value }| {
            if (*at..to).contains(&offset) {
                visit(TopicRecord { partition, offset, producer_id, key, value });
                *at = offset + 1;
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::batch::Batch;
    use super::super::batch::{Identity, Wire};
    use super::*;
    use crate::config::model::{Compression, ValueFormat};

    #[test]
    fn what_was_read_before_a_fault_is_not_read_again() {
        let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
        batch.begin(0, 1);
        ["a", "b", "c"].iter().for_each(|v| batch.push(&[], v.as_bytes()));
        batch.seal(Identity::NONE, -1);
        let whole = batch.sealed_bytes().to_vec();
        let mut torn = whole.clone();
        // The length of the last record.
        let last = torn.len() - "c".len() - 7;
        assert_eq!(std::mem::replace(&mut torn[last], 0x7f), 14);

        let mut at = 0;
        let mut seen = Vec::new();
        let mut read = |records: &[u8], at: &mut i64| {
            hand_over(records, 0, at, 9, &mut Vec::new(), &mut |r| {
                seen.push((r.offset, r.value.unwrap_or_default().to_vec()));
            })
        };
        assert!(matches!(read(&torn, &mut at), Err(Fault::Lost(_))));
        assert_eq!(at, 2);
        assert_eq!(read(&whole, &mut at), Ok(3));
        assert_eq!(seen, [(0, b"a".to_vec()), (1, b"b".to_vec()), (2, b"c".to_vec())]);
    }

    #[test]
    fn records_are_weighed_by_whole_entries() {
        let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
        batch.begin(0, 1);
        ["a", "b", "c"].iter().for_each(|v| batch.push(&[], v.as_bytes()));
        batch.seal(Identity::NONE, -1);
        let one = batch.sealed_bytes();
        let bytes = one.len() as u64;
        assert_eq!(weigh(one, 1), (3, bytes));
        assert_eq!(weigh(&[one, &one[..20]].concat(), 0), (3, bytes));
        assert_eq!(weigh(&one[..20], 0), (1, 20));
        assert_eq!(weigh(&[], 0), (0, 0));
    }
}
