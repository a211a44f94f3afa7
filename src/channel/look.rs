//! Walks a partition of a log to tell which batches stand in it. Nothing here waits.
//!
//! A batch of record format v2 bears its producer id, epoch and first sequence in its header,
//! which is never compressed: by these it is known beyond doubt. An older message bears nothing,
//! and is known by what is in it.
//!
//! What was walked without finding anything is not walked again: what readers see of a log stays as it is. A look
//! that is repeated, or that a lost connection has cut short, goes on where the one before it was, as long as it seeks
//! nothing that was not sought before. Where nothing but the log itself tells whether it is another one by now, that
//! holds in one row of looks, and the entry that was read last is read again first.

use std::mem::take;
use std::time::Duration;

use super::broker::{Fault, Found, Progress, Sought};
use super::content::ContentSearch;
use super::records::{Entry, ReadError};
use super::seen::Seen;
use super::walk::{Log, Step, Walk, each_entry};
use crate::checkpoint::record::BatchRecord;

/// Partitions that are read at a time, each a fetch.
const WALKS_MAX: usize = 4;

/// The looks at the partitions of a topic, and how far each has come. It outlives connections.
#[derive(Default)]
pub struct Looks {
    partitions: Vec<PartitionLook>,
    /// One has begun and is not done.
    is_under_way: bool,
    /// Nothing else was asked, and no connection made, since the last one.
    is_in_row: bool,
}

struct PartitionLook {
    partition: i32,
    search: Search,
    walk: Walk,
    is_done: bool,
    /// Of no use to a look of another row.
    is_afresh: bool,
    /// What has to be there, or the log is another one.
    expected: Option<Seen>,
    /// Said once.
    floor_is_gone: bool,
    ends_before_floor: bool,
}

impl Looks {
    /// Reads each partition of `sought` from its floor to the end that the log has at the first
    /// fetch, or until all that is wanted there is found. `by_identity`: whether the log keeps
    /// producer ids (the wire from 0.11 on); batches without one are sought by content in any case.
    ///
    /// Memory: a fetch (1 MiB, or the largest batch) and what it unfolds to, for four partitions at
    /// a time.
    ///
    /// # Errors
    /// Those of `log`. What was walked is kept.
    pub fn step(
        &mut self,
        log: &mut dyn Log,
        sought: &[Sought<'_>],
        by_identity: bool,
    ) -> Result<Progress<Vec<Found>>, Fault> {
        if !self.is_under_way {
            self.begin(sought, by_identity);
        }
        let result = self.walk_on(log, sought);
        if result.is_err() {
            self.interrupt();
        }
        result
    }

    fn begin(&mut self, sought: &[Sought<'_>], by_identity: bool) {
        let mut before = std::mem::take(&mut self.partitions);
        before.retain(|look| !look.is_afresh || self.is_in_row);
        for Sought { partition, floor, wanted, afresh } in sought {
            let covers = |look: &PartitionLook| {
                look.partition == *partition
                    && look.is_afresh == *afresh
                    && look.search.covers(wanted, by_identity)
                    && !(*afresh && look.search.is_complete(wanted))
            };
            let known = before.iter().position(covers);
            let look = match known {
                Some(at) => before.swap_remove(at).again(*floor),
                None => PartitionLook::new(*partition, *floor, wanted, by_identity),
            };
            self.partitions.push(PartitionLook { is_afresh: *afresh, ..look });
        }
        self.is_under_way = true;
    }

    fn walk_on(
        &mut self,
        log: &mut dyn Log,
        sought: &[Sought<'_>],
    ) -> Result<Progress<Vec<Found>>, Fault> {
        let mut under_way = 0;
        for (look, Sought { floor, wanted, .. }) in self.partitions.iter_mut().zip(sought) {
            if under_way == WALKS_MAX {
                break;
            }
            if !look.is_done {
                look.step(log, *floor, wanted)?;
            }
            under_way += usize::from(!look.is_done);
        }
        if under_way > 0 {
            return Ok(Progress::Pending);
        }
        (self.is_under_way, self.is_in_row) = (false, true);
        let found =
            self.partitions.iter_mut().zip(sought).map(|(look, Sought { wanted, .. })| Found {
                offsets: look.search.found(wanted),
                // What is looked for afresh goes on with what was told of it before.
                floor_is_gone: look.is_afresh && look.floor_is_gone
                    || take(&mut look.floor_is_gone),
                ends_before_floor: look.ends_before_floor,
            });
        Ok(Progress::Done(found.collect()))
    }

    /// Has one begun that is not done?
    pub fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// The connections are gone, or something else is asked. How far each walk has come is kept.
    pub fn interrupt(&mut self) {
        (self.is_under_way, self.is_in_row) = (false, false);
        for look in &mut self.partitions {
            look.walk = Walk::new(look.partition, look.walk.at, None);
        }
    }

    /// The log is another one.
    pub fn forget(&mut self) {
        *self = Looks::default();
    }

    /// See [`Walk::patience`].
    pub fn patience(&self) -> Option<Duration> {
        if !self.is_under_way {
            return None;
        }
        self.partitions.iter().filter(|look| !look.is_done).filter_map(|l| l.walk.patience()).min()
    }
}

impl PartitionLook {
    fn new(
        partition: i32,
        floor: i64,
        wanted: &[&BatchRecord],
        by_identity: bool,
    ) -> PartitionLook {
        PartitionLook {
            partition,
            search: Search::new(wanted, by_identity),
            walk: Walk::new(partition, floor, None),
            is_done: false,
            is_afresh: false,
            expected: None,
            floor_is_gone: false,
            ends_before_floor: false,
        }
    }

    /// From where the last walk has come to, or from the entry before that, to know the log by it.
    fn again(self, floor: i64) -> PartitionLook {
        let expected = self.search.last.filter(|_| self.is_afresh);
        let from = match expected {
            Some(seen) => seen.base_offset,
            // Nothing was there.
            None if self.is_afresh => floor,
            None => self.walk.at.max(floor),
        };
        let walk = Walk::new(self.partition, from, None);
        PartitionLook { walk, expected, is_done: false, ends_before_floor: false, ..self }
    }

    fn step(
        &mut self,
        log: &mut dyn Log,
        floor: i64,
        wanted: &[&BatchRecord],
    ) -> Result<(), Fault> {
        if self.search.is_complete(wanted) {
            self.is_done = true;
            return Ok(());
        }
        let PartitionLook { search, expected, .. } = self;
        let progress = self.walk.step(log, &mut |records, mut at| {
            if let Some(seen) = *expected {
                match Seen::first(records, at)? {
                    Some(there) if there == seen => at = seen.next_offset,
                    Some(_) => return Ok(Step::Enough),
                    None => return Ok(Step::To(at)),
                }
                *expected = None;
            }
            let next = search.take(records, at)?;
            Ok(if search.is_complete(wanted) { Step::Enough } else { Step::To(next) })
        })?;
        self.floor_is_gone |= std::mem::take(&mut self.walk.begins_behind);
        self.is_done = progress == Progress::Done(());
        let is_cut_back = self.walk.is_cut_back || self.walk.ends_before;
        let is_other = self.expected.is_some() || is_cut_back && self.walk.from > floor.max(0);
        if self.is_done && is_other {
            // What was walked is not there any more, something else may be.
            let is_afresh = self.is_afresh;
            let look = PartitionLook::new(self.partition, floor, wanted, self.search.by_identity);
            *self = PartitionLook { is_afresh, ..look };
        }
        self.ends_before_floor = self.walk.ends_before;
        Ok(())
    }
}

/// What makes a batch known, and which one it is: two may have the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    file: u64,
    start: u64,
    end: u64,
    producer_id: i64,
    epoch: i16,
    sequence: i32,
    count: u32,
    values_crc: u32,
    first_crc: u32,
}

impl Key {
    fn of(batch: &BatchRecord) -> Key {
        Key {
            file: batch.file,
            start: batch.start,
            end: batch.end,
            producer_id: batch.producer_id,
            epoch: batch.producer_epoch,
            sequence: batch.base_sequence,
            count: batch.count,
            values_crc: batch.values_crc,
            first_crc: batch.first_crc,
        }
    }

    /// How many events of an entry of its producer and epoch stand before it, if it is there: it may be a part of
    /// what was sent as a whole. Sequences go on at 0 behind the largest.
    fn stands_in(&self, entry: &Entry<'_>) -> Option<i64> {
        let before = i64::from(self.sequence.wrapping_sub(entry.base_sequence) & i32::MAX);
        (before + i64::from(self.count) <= i64::from(entry.count)).then_some(before)
    }
}

/// The two ways of knowing a batch, side by side.
struct Search {
    sought: Vec<Key>,
    by_identity: bool,
    offsets: Vec<Option<i64>>,
    /// Indices into `sought` of those sought by content.
    nameless: Vec<usize>,
    content: ContentSearch,
    /// The entry that was taken last.
    last: Option<Seen>,
    scratch: Vec<u8>,
}

impl Search {
    fn new(wanted: &[&BatchRecord], by_identity: bool) -> Search {
        let nameless: Vec<usize> =
            (0..wanted.len()).filter(|i| !by_identity || wanted[*i].producer_id < 0).collect();
        let of_content: Vec<&BatchRecord> = nameless.iter().map(|i| wanted[*i]).collect();
        Search {
            sought: wanted.iter().map(|batch| Key::of(batch)).collect(),
            by_identity,
            offsets: vec![None; wanted.len()],
            content: ContentSearch::new(&of_content),
            nameless,
            last: None,
            scratch: Vec::new(),
        }
    }

    /// Has it sought each of `wanted` from its beginning on, and in the same way?
    fn covers(&self, wanted: &[&BatchRecord], by_identity: bool) -> bool {
        self.by_identity == by_identity && self.places(wanted).is_some()
    }

    /// Where in `sought` each of `wanted` is.
    fn places(&self, wanted: &[&BatchRecord]) -> Option<Vec<usize>> {
        let mut from = 0;
        let places = wanted.iter().map(|batch| {
            let key = Key::of(batch);
            let at = from + self.sought[from..].iter().position(|k| *k == key)?;
            from = at + 1;
            Some(at)
        });
        places.collect()
    }

    /// Takes a piece of log in; returns the offset to go on from.
    fn take(&mut self, records: &[u8], from: i64) -> Result<i64, Fault> {
        each_entry(records, from, &mut |entry| {
            self.recognise(entry);
            self.last = Some(Seen::of(entry));
            if self.nameless.is_empty() { Ok(()) } else { self.read(entry, from) }
        })
    }

    fn recognise(&mut self, entry: &Entry<'_>) {
        if !self.by_identity || entry.producer_id < 0 {
            return;
        }
        for (sought, offset) in self.sought.iter().zip(&mut self.offsets) {
            if sought.producer_id == entry.producer_id
                && sought.epoch == entry.producer_epoch
                && let Some(before) = sought.stands_in(entry)
            {
                *offset = Some(entry.base_offset + before);
            }
        }
    }

    fn read(&mut self, entry: &Entry<'_>, from: i64) -> Result<(), ReadError> {
        let content = &mut self.content;
        entry.values(&mut self.scratch, &mut |offset, record| {
            if offset >= from {
                content.feed(offset, record.value);
            }
        })
    }

    fn is_complete(&self, wanted: &[&BatchRecord]) -> bool {
        self.found(wanted).iter().all(Option::is_some)
    }

    fn found(&self, wanted: &[&BatchRecord]) -> Vec<Option<i64>> {
        let mut offsets = self.offsets.clone();
        for (index, offset) in self.nameless.iter().zip(self.content.found()) {
            offsets[*index] = offset;
        }
        let places = self.places(wanted).unwrap_or_default();
        let mut found: Vec<Option<i64>> = places.into_iter().map(|at| offsets[at]).collect();
        found.resize(wanted.len(), None);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Batch;
    use super::super::batch::{Identity, Wire};
    use super::super::walk::{FIRST, Piece, Ticket};
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
        /// The connection breaks behind so many.
        fetches_max: usize,
        /// Offset and bytes of the last fetch, or what offset was asked for.
        asked: (i64, usize),
    }

    impl Log for Memory {
        fn ask_piece(&mut self, _: i32, offset: i64, bytes_max: usize) -> Result<Ticket, Fault> {
            self.fetches += 1;
            self.asked = (offset, bytes_max);
            Ok(TICKET)
        }

        fn take_piece(&mut self, _: Ticket) -> Result<Progress<Piece>, Fault> {
            if self.fetches > self.fetches_max {
                return Err(Fault::Lost("cut".to_string()));
            }
            let (offset, bytes_max) = self.asked;
            if offset < self.first || offset > self.end {
                return Ok(Progress::Done(Piece::OutOfRange));
            }
            let mut records = Vec::new();
            for (_, bytes) in self.entries.iter().filter(|(next, _)| *next > offset) {
                let room = bytes_max.saturating_sub(records.len());
                let keep = if records.is_empty() && !self.cuts_first { bytes.len() } else { room };
                records.extend_from_slice(&bytes[..bytes.len().min(keep)]);
            }
            let high_watermark = self.end_told.unwrap_or(self.end);
            Ok(Progress::Done(Piece::Log { records, high_watermark }))
        }

        fn ask_offset(&mut self, _: i32, time: i64) -> Result<Ticket, Fault> {
            self.asked = (time, 0);
            Ok(TICKET)
        }

        fn take_offset(&mut self, _: Ticket) -> Result<Progress<Option<i64>>, Fault> {
            Ok(Progress::Done(Some(if self.asked.0 == FIRST { self.first } else { self.end })))
        }
    }

    const TICKET: Ticket = Ticket { partition: 0, lane: 0, correlation: 0, version: 0 };

    impl Looks {
        /// Until it is done.
        fn look(
            &mut self,
            log: &mut Memory,
            floor: i64,
            wanted: &[&BatchRecord],
            by_identity: bool,
        ) -> Result<Found, Fault> {
            let sought = [Sought { partition: 0, floor, wanted: wanted.to_vec(), afresh: false }];
            loop {
                if let Progress::Done(mut found) = self.step(log, &sought, by_identity)? {
                    return Ok(found.remove(0));
                }
            }
        }
    }

    fn look(
        log: &mut Memory,
        floor: i64,
        wanted: &[&BatchRecord],
        by_identity: bool,
    ) -> Result<Found, Fault> {
        Looks::default().look(log, floor, wanted, by_identity)
    }

    fn memory(batches: &[(Identity, i32, &[&[u8]])]) -> (Memory, Vec<BatchRecord>) {
        let mut log = Memory {
            first: 0,
            entries: Vec::new(),
            end: 0,
            end_told: None,
            cuts_first: false,
            fetches: 0,
            fetches_max: usize::MAX,
            asked: (0, 0),
        };
        let mut records = Vec::new();
        for (identity, sequence, values) in batches {
            let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
            batch.begin(0, 1);
            values.iter().for_each(|v| batch.push(&[], v));
            batch.seal(*identity, *sequence);
            let (values_crc, first_crc) = batch.content_crcs();
            records.push(BatchRecord {
                start: records.len() as u64,
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
        assert_eq!(fault, Fault::Lost("offset 1 cannot be read".to_string()));
    }

    #[test]
    fn the_log_may_begin_behind_the_floor_or_end_before_it() {
        let (mut log, records) = memory(&[(ID, 0, &[b"a", b"b"]), (ID, 2, &[b"c"])]);
        log.first = 2;
        let wanted = [&records[0], &records[1]];
        let found = look(&mut log, 0, &wanted, true).unwrap();
        let offsets = vec![None, Some(2)];
        assert_eq!(found, Found { offsets, floor_is_gone: true, ends_before_floor: false });
        let found = look(&mut log, 9, &wanted, true).unwrap();
        let offsets = vec![None, None];
        assert_eq!(found, Found { offsets, floor_is_gone: false, ends_before_floor: true });
        let found = look(&mut log, 3, &wanted, true).unwrap();
        assert_eq!(found.offsets, [None, None]);
        assert!(!found.ends_before_floor);
    }

    /// Half a megabyte of what others wrote, so that a fetch brings two batches of it.
    fn long_log(count: i32) -> (Memory, Vec<BatchRecord>) {
        let large = vec![b'x'; 500_000];
        let values: [&[u8]; 1] = [&large];
        let other = Identity { producer_id: 77, epoch: 0 };
        let batches: Vec<(Identity, i32, &[&[u8]])> =
            (0..count).map(|n| (other, n, &values[..])).collect();
        memory(&batches)
    }

    fn absent(start: u64) -> BatchRecord {
        BatchRecord { start, producer_id: 5, count: 1, ..BatchRecord::default() }
    }

    #[test]
    fn what_was_walked_is_not_read_again() {
        for by_identity in [true, false] {
            let (mut log, _) = long_log(20);
            let wanted = [absent(1), absent(2)];
            let wanted: Vec<&BatchRecord> = wanted.iter().collect();
            let mut looks = Looks::default();
            let none = vec![None, None];
            assert_eq!(looks.look(&mut log, 0, &wanted, by_identity).unwrap().offsets, none);
            assert!(log.fetches >= 10);
            // Again, also for a part of it, it asks for what has come since.
            log.fetches = 0;
            assert_eq!(looks.look(&mut log, 0, &wanted, by_identity).unwrap().offsets, none);
            assert_eq!(looks.look(&mut log, 0, &wanted[1..], by_identity).unwrap().offsets, [None]);
            assert_eq!((log.fetches, log.asked.0), (2, 20));
            // What was not sought before may stand anywhere.
            let other = absent(3);
            looks.look(&mut log, 0, &[&other], by_identity).unwrap();
            assert!(log.fetches >= 12);
        }
    }

    #[test]
    fn a_look_that_was_cut_short_goes_on_where_it_was() {
        let (mut log, records) = long_log(20);
        let wanted = [&records[1], &absent(7)];
        let mut looks = Looks::default();
        log.fetches_max = 6;
        assert!(looks.look(&mut log, 0, &wanted, true).is_err());
        log.fetches_max = usize::MAX;
        let found = looks.look(&mut log, 0, &wanted, true).unwrap();
        // The first was found before the cut.
        assert_eq!(found.offsets, [Some(1), None]);
        assert!(log.fetches < 16, "{}", log.fetches);
    }

    #[test]
    fn two_of_the_same_content_stay_two() {
        let (mut log, records) = memory(&[(Identity::NONE, -1, &[b"c", b"d"])]);
        let second = BatchRecord { start: 9, ..records[0].clone() };
        let mut looks = Looks::default();
        let both = [&records[0], &second];
        assert_eq!(looks.look(&mut log, 0, &both, false).unwrap().offsets, [Some(0), None]);
        assert_eq!(looks.look(&mut log, 0, &[&second], false).unwrap().offsets, [None]);
    }

    #[test]
    fn a_log_that_ends_before_what_was_walked_is_read_from_the_floor() {
        let (mut log, records) = long_log(6);
        let wanted = [&absent(7), &records[1]];
        let mut looks = Looks::default();
        assert_eq!(looks.look(&mut log, 2, &wanted, true).unwrap().offsets, [None, None]);
        // Made anew, with our batch in it.
        log.entries.truncate(3);
        log.end = 3;
        let found = looks.look(&mut log, 0, &wanted, true).unwrap();
        assert_eq!(found.offsets, [None, Some(1)]);
        assert!(!found.ends_before_floor);
        // It ends before the floor as well.
        let wanted = [&absent(7)];
        assert!(looks.look(&mut log, 5, &wanted, true).unwrap().ends_before_floor);
    }

    #[test]
    fn what_is_sought_afresh_is_read_though_it_was_found_before() {
        let (mut log, records) = long_log(6);
        let mut looks = Looks::default();
        let mark = [Sought { partition: 0, floor: 4, wanted: vec![&records[4]], afresh: true }];
        let mut is_there = |log: &mut Memory| loop {
            if let Progress::Done(found) = looks.step(log, &mark, true).unwrap() {
                return found[0].offsets == [Some(4)];
            }
        };
        assert!(is_there(&mut log));
        // Made anew by others, and longer.
        log.entries = long_log(9).0.entries.split_off(5);
        (log.first, log.end) = (5, 9);
        assert!(!is_there(&mut log));
    }

    /// A batch was split while the whole stood in the log, above what a reader could see.
    #[test]
    fn a_part_is_found_in_the_whole_that_stands_there() {
        let (mut log, records) =
            memory(&[(ID, 0, &[b"a"]), (ID, i32::MAX - 1, &[b"b", b"c", b"d", b"e"])]);
        let part = |base_sequence: i32, start: u64, count: u32| BatchRecord {
            base_sequence,
            start,
            count,
            ..records[1].clone()
        };
        // Sequences go on at 0 behind the last.
        let parts = [part(i32::MAX - 1, 1, 2), part(0, 2, 1), part(1, 3, 1), part(1, 4, 2)];
        let wanted: Vec<&BatchRecord> = parts.iter().collect();
        let found = look(&mut log, 0, &wanted, true).unwrap();
        assert_eq!(found.offsets, [Some(1), Some(3), Some(4), None]);
    }

    fn look_afresh(
        looks: &mut Looks,
        log: &mut Memory,
        floor: i64,
        it: &BatchRecord,
    ) -> Option<i64> {
        log.fetches = 0;
        let sought = [Sought { partition: 0, floor, wanted: vec![it], afresh: true }];
        loop {
            if let Progress::Done(found) = looks.step(log, &sought, true).unwrap() {
                return found[0].offsets[0];
            }
        }
    }

    /// By the entry that was read last, in one row of looks.
    #[test]
    fn what_is_sought_afresh_is_gone_on_with_where_the_log_is_known_again() {
        let (mut log, records) = long_log(20);
        let mut looks = Looks::default();
        assert_eq!(look_afresh(&mut looks, &mut log, 2, &absent(7)), None);
        assert!(log.fetches >= 9);
        assert_eq!(look_afresh(&mut looks, &mut log, 2, &absent(7)), None);
        assert_eq!(log.fetches, 1);
        // Something has come.
        let (mut longer, _) = long_log(21);
        assert_eq!(look_afresh(&mut looks, &mut longer, 2, &absent(7)), None);
        assert_eq!((longer.fetches, longer.asked.0), (1, 19));
        // Made anew, as long as it was.
        let other = Identity { producer_id: 78, epoch: 0 };
        let values: [&[u8]; 1] = [&[b'y'; 400_000]];
        let batches: Vec<(Identity, i32, &[&[u8]])> =
            (0..22).map(|n| (other, n, &values[..])).collect();
        let (mut anew, _) = memory(&batches);
        assert_eq!(look_afresh(&mut looks, &mut anew, 2, &absent(7)), None);
        assert!(anew.fetches >= 9);
        // Nobody has looked for a while.
        looks.interrupt();
        assert_eq!(look_afresh(&mut looks, &mut anew, 2, &absent(7)), None);
        assert!(anew.fetches >= 9);
        // What was found is read again.
        let mut looks = Looks::default();
        for _ in 0..2 {
            assert_eq!(look_afresh(&mut looks, &mut log, 4, &records[4]), Some(4));
            assert_eq!(log.fetches, 1);
        }
    }
}
