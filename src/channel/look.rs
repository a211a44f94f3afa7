//! Walks a partition of a log to tell which batches stand in it.
//!
//! A batch of record format v2 bears its producer id, epoch and first sequence in its header,
//! which is never compressed: by these it is known beyond doubt. An older message bears nothing,
//! and is known by what is in it.

use std::time::Duration;

use super::broker::{Fault, Found};
use super::content::ContentSearch;
use super::records::{Entry, ReadError, first_entry_bytes, next_entry};
use super::wire::{FETCH_BYTES_MAX, pause};
use crate::checkpoint::record::BatchRecord;

/// What a fetch asks for at first; more where a batch is larger.
const FETCH_BYTES: usize = 1 << 20;
/// Fetches in a row that may bring nothing though the end is not reached.
const STALLS_MAX: u32 = 20;
const STALL_PAUSE: Duration = Duration::from_millis(50);

/// A piece of a partition's log.
pub enum Piece {
    /// Whole entries and, at the end, mostly a part of one; may begin before the offset asked for.
    Log { records: Vec<u8>, high_watermark: i64 },
    /// The offset asked for is before the log's start or behind its end.
    OutOfRange,
}

/// How a wire reads a partition.
pub trait Fetch {
    /// Reads at most `bytes_max` from `offset` on, without waiting for more to come.
    fn fetch(&mut self, offset: i64, bytes_max: usize) -> Result<Piece, Fault>;
    /// The log's first offset and its end.
    fn bounds(&mut self) -> Result<(i64, i64), Fault>;
}

/// Reads from `floor` to the end that the log has at the first fetch, or until all of `wanted` is
/// found. `by_identity`: whether the log keeps producer ids (the wire from 0.11 on); batches
/// without one are sought by content in any case.
///
/// Memory: a fetch (1 MiB, or the largest batch) and what it unfolds to.
pub fn look(
    log: &mut dyn Fetch,
    floor: i64,
    wanted: &[&BatchRecord],
    by_identity: bool,
) -> Result<Found, Fault> {
    let mut search = Search::new(wanted, by_identity);
    let mut walked = Walked::default();
    if !search.is_complete() {
        walked = walk(log, floor, None, &mut |records, at| {
            let next = search.take(records, at)?;
            Ok(if search.is_complete() { Step::Enough } else { Step::To(next) })
        })?;
    }
    let Walked { begins_behind, ends_before } = walked;
    let offsets = search.found();
    Ok(Found { offsets, floor_is_gone: begins_behind, ends_before_floor: ends_before })
}

/// What the taker of a piece of log says.
pub enum Step {
    /// Whole entries up to this offset were taken.
    To(i64),
    /// No more is wanted.
    Enough,
}

/// Where a log stands that was walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Walked {
    /// It begins behind the offset from which it was to be read.
    pub begins_behind: bool,
    /// It ends before that offset.
    pub ends_before: bool,
}

/// Takes what a fetch has brought, which was asked for from that offset on.
pub type Taker<'a> = dyn FnMut(&[u8], i64) -> Result<Step, Fault> + 'a;

/// Reads from `from` to `to` (`None`: the end that the log has at the first fetch) and hands what
/// each fetch brings to `take`.
///
/// Memory: a fetch (1 MiB, or the largest batch).
pub fn walk(
    log: &mut dyn Fetch,
    from: i64,
    to: Option<i64>,
    take: &mut Taker<'_>,
) -> Result<Walked, Fault> {
    let mut at = from.max(0);
    let mut end = to;
    let mut walked = Walked::default();
    let mut bytes_max = FETCH_BYTES;
    let mut stalls = 0;
    while end.is_none_or(|end| at < end) {
        let (records, high_watermark) = match log.fetch(at, bytes_max)? {
            Piece::Log { records, high_watermark } => (records, high_watermark),
            Piece::OutOfRange => {
                let (first, last) = log.bounds()?;
                // Behind the end: the log was cut back (or the topic is a new one), and nothing
                // of ours is left behind the floor.
                if at >= first && at > last {
                    walked.ends_before |= from > last;
                    break;
                }
                stall(&mut stalls, || format!("offset {at} stays out of range"))?;
                walked.begins_behind |= at < first;
                at = at.max(first);
                continue;
            }
        };
        // An end that is none would make everything absent.
        if high_watermark < 0 {
            return Err(Fault::Lost(format!("the end of the log is told as {high_watermark}")));
        }
        end.get_or_insert(high_watermark);
        walked.ends_before |= from > high_watermark;
        let next = match take(&records, at)? {
            Step::To(next) => next,
            Step::Enough => break,
        };
        if next > at {
            at = next;
            stalls = 0;
        } else if at < high_watermark {
            stall(&mut stalls, || format!("offset {at} can not be read"))?;
            match records.is_empty() {
                true => pause(STALL_PAUSE)?,
                false => bytes_max = larger(bytes_max, &records)?,
            }
        } else {
            // The log was cut back behind `to`.
            break;
        }
    }
    Ok(walked)
}

fn stall(stalls: &mut u32, why: impl Fn() -> String) -> Result<(), Fault> {
    *stalls += 1;
    if *stalls > STALLS_MAX { Err(Fault::Lost(why())) } else { Ok(()) }
}

/// Hands the whole entries of a fetch that was asked for from `from` on to `take`, in order, but
/// for those that end before. Returns the offset to go on from.
///
/// # Errors
/// `Lost` with the offset at which the log can not be read.
pub fn each_entry(
    records: &[u8],
    from: i64,
    take: &mut dyn FnMut(&Entry<'_>) -> Result<(), ReadError>,
) -> Result<i64, Fault> {
    let unreadable = |at: i64, why: &ReadError| {
        Fault::Lost(format!("the topic can not be read at offset {at}: {why}"))
    };
    let mut rest = records;
    let mut at = from;
    while let Some(entry) = next_entry(&mut rest).map_err(|e| unreadable(at, &e))? {
        if entry.next_offset > from {
            take(&entry).map_err(|e| unreadable(entry.base_offset, &e))?;
            at = at.max(entry.next_offset);
        }
    }
    Ok(at)
}

/// Before Fetch v3 a broker cuts even the first message at the limit.
fn larger(bytes_max: usize, records: &[u8]) -> Result<usize, Fault> {
    let needed = first_entry_bytes(records).unwrap_or(0).max(bytes_max * 2);
    if bytes_max == FETCH_BYTES_MAX || needed > 2 * FETCH_BYTES_MAX {
        return Err(Fault::Lost(format!(
            "a batch of more than {FETCH_BYTES_MAX} bytes stands in the topic"
        )));
    }
    Ok(needed.min(FETCH_BYTES_MAX))
}

/// The two ways of knowing a batch, side by side.
struct Search<'a> {
    wanted: &'a [&'a BatchRecord],
    by_identity: bool,
    offsets: Vec<Option<i64>>,
    /// Indices into `wanted` of those sought by content.
    nameless: Vec<usize>,
    content: ContentSearch,
    scratch: Vec<u8>,
}

impl<'a> Search<'a> {
    fn new(wanted: &'a [&'a BatchRecord], by_identity: bool) -> Search<'a> {
        let nameless: Vec<usize> =
            (0..wanted.len()).filter(|i| !by_identity || wanted[*i].producer_id < 0).collect();
        let sought: Vec<&BatchRecord> = nameless.iter().map(|i| wanted[*i]).collect();
        Search {
            wanted,
            by_identity,
            offsets: vec![None; wanted.len()],
            content: ContentSearch::new(&sought),
            nameless,
            scratch: Vec::new(),
        }
    }

    /// Takes a piece of log in; returns the offset to go on from.
    fn take(&mut self, records: &[u8], from: i64) -> Result<i64, Fault> {
        each_entry(records, from, &mut |entry| {
            self.recognise(entry);
            if self.nameless.is_empty() { Ok(()) } else { self.read(entry, from) }
        })
    }

    fn recognise(&mut self, entry: &Entry<'_>) {
        if !self.by_identity || entry.producer_id < 0 {
            return;
        }
        for (wanted, offset) in self.wanted.iter().zip(&mut self.offsets) {
            if wanted.producer_id == entry.producer_id
                && wanted.producer_epoch == entry.producer_epoch
                && wanted.base_sequence == entry.base_sequence
                && wanted.count == entry.count
            {
                *offset = Some(entry.base_offset);
            }
        }
    }

    fn read(&mut self, entry: &Entry<'_>, from: i64) -> Result<(), ReadError> {
        let content = &mut self.content;
        entry.values(&mut self.scratch, &mut |offset, value| {
            if offset >= from {
                content.feed(offset, value);
            }
        })
    }

    fn is_complete(&self) -> bool {
        self.found().iter().all(Option::is_some)
    }

    fn found(&self) -> Vec<Option<i64>> {
        let mut offsets = self.offsets.clone();
        for (index, offset) in self.nameless.iter().zip(self.content.found()) {
            offsets[*index] = offset;
        }
        offsets
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Batch;
    use super::super::batch::{Identity, Wire};
    use super::*;
    use crate::config::model::{Compression, ValueFormat};

    /// A log in memory that cuts as a broker does.
    struct Memory {
        first: i64,
        entries: Vec<(i64, Vec<u8>)>,
        end: i64,
        /// In place of `end`.
        end_told: Option<i64>,
        cuts_first: bool,
        fetches: usize,
    }

    impl Fetch for Memory {
        fn fetch(&mut self, offset: i64, bytes_max: usize) -> Result<Piece, Fault> {
            self.fetches += 1;
            if offset < self.first || offset > self.end {
                return Ok(Piece::OutOfRange);
            }
            let mut records = Vec::new();
            for (next, bytes) in self.entries.iter().filter(|(next, _)| *next > offset) {
                let room = bytes_max.saturating_sub(records.len());
                let keep = if records.is_empty() && !self.cuts_first { bytes.len() } else { room };
                records.extend_from_slice(&bytes[..bytes.len().min(keep)]);
                let _ = next;
            }
            Ok(Piece::Log { records, high_watermark: self.end_told.unwrap_or(self.end) })
        }

        fn bounds(&mut self) -> Result<(i64, i64), Fault> {
            Ok((self.first, self.end))
        }
    }

    fn memory(batches: &[(Identity, i32, &[&[u8]])]) -> (Memory, Vec<BatchRecord>) {
        let mut log = Memory {
            first: 0,
            entries: Vec::new(),
            end: 0,
            end_told: None,
            cuts_first: false,
            fetches: 0,
        };
        let mut records = Vec::new();
        for (identity, sequence, values) in batches {
            let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
            batch.begin(0, 1);
            values.iter().for_each(|v| batch.push(&[], v));
            batch.seal(*identity, *sequence);
            let (values_crc, first_crc) = batch.content_crcs();
            records.push(BatchRecord {
                producer_id: identity.producer_id,
                producer_epoch: identity.epoch,
                base_sequence: *sequence,
                count: batch.count(),
                values_crc,
                first_crc,
                ..BatchRecord::default()
            });
            let mut bytes = batch.sealed_bytes().to_vec();
            bytes[..8].copy_from_slice(&log.end.to_be_bytes());
            log.end += i64::from(batch.count());
            log.entries.push((log.end, bytes));
        }
        (log, records)
    }

    const ID: Identity = Identity { producer_id: 5, epoch: 1 };

    #[test]
    fn by_identity_and_by_content_at_once() {
        let (mut log, mut records) = memory(&[
            (ID, 0, &[b"a", b"b"]),
            (Identity::NONE, -1, &[b"c", b"d"]),
            (ID, 2, &[b"c", b"d", b"e"]),
        ]);
        records.push(BatchRecord { base_sequence: 5, ..records[2].clone() });
        let wanted: Vec<&BatchRecord> = records.iter().collect();
        let found = look(&mut log, 0, &wanted, true).unwrap();
        assert_eq!(found.offsets, [Some(0), Some(2), Some(4), None]);
        assert!(!found.floor_is_gone);
        let found = look(&mut log, 2, &wanted[..3], true).unwrap();
        assert_eq!(found.offsets, [None, Some(2), Some(4)]);
    }

    #[test]
    fn a_batch_larger_than_a_fetch_is_read() {
        let large = vec![b'x'; 3 << 20];
        for cuts_first in [false, true] {
            let (mut log, records) = memory(&[(ID, 0, &[&large]), (ID, 1, &[b"after"])]);
            log.cuts_first = cuts_first;
            let found = look(&mut log, 0, &[&records[1]], true).unwrap();
            assert_eq!(found.offsets, [Some(1)]);
            assert!(log.fetches <= 3);
        }
    }

    #[test]
    fn an_end_that_is_none_proves_nothing_absent() {
        let (mut log, records) = memory(&[(ID, 0, &[b"a"])]);
        log.end_told = Some(-1);
        for by_identity in [true, false] {
            assert!(matches!(look(&mut log, 0, &[&records[0]], by_identity), Err(Fault::Lost(_))));
        }
    }

    #[test]
    fn a_log_that_stays_empty_before_its_end_is_no_large_batch() {
        let (mut log, records) = memory(&[(ID, 0, &[b"a"])]);
        log.end_told = Some(7);
        log.end = 7;
        let wanted = BatchRecord { base_sequence: 9, ..records[0].clone() };
        let fault = look(&mut log, 0, &[&wanted], true).unwrap_err();
        assert_eq!(fault, Fault::Lost("offset 1 can not be read".to_string()));
    }

    #[test]
    fn the_log_may_begin_behind_the_floor_or_end_before_it() {
        let (mut log, records) = memory(&[(ID, 0, &[b"a", b"b"]), (ID, 2, &[b"c"])]);
        log.first = 2;
        let wanted = [&records[0], &records[1]];
        let found = look(&mut log, 0, &wanted, true).unwrap();
        let (floor_is_gone, ends_before_floor) = (true, false);
        let offsets = vec![None, Some(2)];
        assert_eq!(found, Found { offsets, floor_is_gone, ends_before_floor });
        let found = look(&mut log, 9, &wanted, true).unwrap();
        let (floor_is_gone, ends_before_floor) = (false, true);
        let offsets = vec![None, None];
        assert_eq!(found, Found { offsets, floor_is_gone, ends_before_floor });
        let found = look(&mut log, 3, &wanted, true).unwrap();
        assert_eq!((found.offsets, found.ends_before_floor), (vec![None, None], false));
    }
}
