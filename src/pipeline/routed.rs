//! A round of a source whose events' headers decide: one slice becomes several batches.
//!
//! Each channel gets a batch for each partition that an event of the slice goes to, all of the same byte
//! range, and all announced in one record. Which events of the range a batch has is not written down: it
//! follows from the rule in force ([`Router`]), of which the record has the checksum, and from how many
//! partitions the topic had ([`Share`]). So a batch that is read again has the events that it had; where
//! the rule is another one by now it is not read again at all, but waits for the old one.

use std::borrow::Cow;
use std::sync::Arc;

use super::doubt::doubts_before;
use super::recovery::Pause;
use super::room::Halt;
use super::rounds::{Outcome, Plan, assign};
use super::routes::{Place, Router};
use super::settle::DEAD_LETTERS;
use super::{Announced, Copies, Fatal, Pipeline, SOURCE, leaders};
use crate::channel::batch::{Batch, Extras};
use crate::channel::broker::Fault;
use crate::channel::outlet::Outlet;
use crate::checkpoint::ledger::{GiantLine, LedgerError};
use crate::checkpoint::record::{BatchRecord, Fate, Share};
use crate::event::{self, HeaderMap};
use crate::log::{self, About, Level};
use crate::source::interceptor::{self, Interceptor, Origin, Patience};
use crate::source::policy::Names;
use crate::source::slice::{self, Bound, Slice, SliceError, Take};
use crate::source::{Handle, headers};

/// A slice ends when it has made so many batches: each is an entry of the checkpoint.
pub(super) const BATCHES_MAX: usize = 128;

/// Waits after a dead letter that could not be written, ms.
const LETTER_RETRY_MS: u64 = 4_000;

/// The batches of a slice that is being read.
struct Lot {
    /// For each channel; none for an optional one that is not reached, or not in the partition of the file.
    shelves: Vec<Option<Shelf>>,
    /// Events that are for such a one, by channel.
    missed: Vec<u64>,
    /// Where the last event that was read goes in each channel that it is for.
    aims: Vec<Option<i32>>,
    /// Events that no filter took, and those of them that go anywhere.
    passed: u32,
    placed: u32,
    bytes: usize,
    /// Where the last event that was read begins, and why it was not taken.
    stop: Option<(u64, Refusal)>,
    /// A time in a header that is none.
    bad_time: Option<String>,
}

/// Where the lines of a lot come from, when they are read, and what divides their events.
#[derive(Clone, Copy)]
struct Supply<'a> {
    router: &'a Router,
    handle: Handle,
    start: u64,
    stamp_ms: i64,
}

struct Shelf {
    /// Where events go that may go anywhere.
    free: i32,
    /// Partitions of the topic.
    partitions: u32,
    batches: Vec<Batch>,
}

/// Why an event is not taken.
enum Refusal {
    /// It can go nowhere in a channel, unless the topic has that partition by now.
    Stray { channel: usize, reason: String, named: Option<i32> },
    /// It is for a topic that is not open.
    Closed { channel: usize },
    /// It is for a topic that no event was for before, in the channel of that place.
    Unopened { place: usize, topic: String },
}

/// Makes events with headers of the lines of a file.
pub(super) struct Maker {
    chain: Arc<[Interceptor]>,
    of_file: HeaderMap,
    has_place: bool,
    is_per_event: bool,
    has_filter: bool,
    stamp_ms: i64,
    seed: u64,
    /// Those of the event made last, and their encoding.
    headers: HeaderMap,
    encoded: Vec<u8>,
}

impl Maker {
    /// The body of an event; `None`: it is filtered out.
    pub(super) fn make<'l>(&mut self, line: &'l [u8], at: u64) -> Option<Cow<'l, [u8]>> {
        if self.is_per_event {
            self.headers.clone_from(&self.of_file);
            if self.has_place {
                self.headers.insert(headers::BYTE_OFFSET, &at.to_string());
            }
            let origin = Origin { stamp_ms: self.stamp_ms, seed: self.seed, at };
            let body = interceptor::shape(&self.chain, &mut self.headers, line, origin)?;
            self.encode();
            return Some(body);
        }
        if self.has_filter && !interceptor::keeps(&self.chain, line) {
            return None;
        }
        if self.has_place {
            self.headers.insert(headers::BYTE_OFFSET, &at.to_string());
            self.encode();
        }
        Some(Cow::Borrowed(line))
    }

    /// Those of the event made last.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn encode(&mut self) {
        self.encoded.clear();
        event::avro_headers(&self.headers, &mut self.encoded);
    }
}

impl Pipeline {
    pub(super) fn maker(&self, handle: Handle, stamp_ms: i64) -> Maker {
        let tracked = self.files.at(handle);
        let of_file = headers::of_file(&self.config, tracked.name());
        let chain = self.interceptors.clone();
        let (name, dir) = (&self.config.name, &self.config.tracker_dir);
        let mut maker = Maker {
            seed: interceptor::origin_seed(&chain, &self.agent, name, dir, tracked.record.id),
            headers: interceptor::headers(&chain, of_file.clone(), stamp_ms),
            has_place: self.config.kind.tail().is_some_and(|tail| tail.byte_offset_header),
            is_per_event: interceptor::is_per_event(&chain),
            has_filter: interceptor::filters(&chain),
            encoded: Vec::new(),
            of_file,
            chain,
            stamp_ms,
        };
        maker.encode();
        maker
    }

    /// Reads a slice of the file and announces its batches: `announce`, where headers decide.
    pub(super) fn announce_routed(
        &mut self,
        router: &Router,
        handle: Handle,
        bound: Bound,
        patience: Patience,
        first_new: usize,
    ) -> Result<Outcome, Halt> {
        let stamp_ms = self.clock.now_ms();
        let name = self.files.at(handle).record.name.clone();
        if self.outlets.iter().any(|outlet| !outlet.is_spread && outlet.is_barred(&name)) {
            self.files.bar(handle);
            return Ok(Outcome::Barred);
        }
        let Some(mut lot) = self.begin_lot(router, handle, first_new) else {
            return Ok(Outcome::Later);
        };
        let tracked = self.files.at(handle);
        let (start, left) = (tracked.read_position, tracked.left_bytes());
        let bytes_target = usize::try_from(left).unwrap_or(usize::MAX);
        let plan = Plan { bound, events_max: self.events_in_turn(), bytes_target, patience };
        let supply = Supply { router, handle, start, stamp_ms };
        match self.read_whole_lot(supply, &plan, &mut lot) {
            Ok(slice) if slice.end == slice.start => {
                self.files.exhausted(handle, &slice);
                self.give_lot_back(lot);
                Ok(Outcome::Nothing)
            }
            Ok(slice) => {
                self.tell_bad_time(&lot);
                let Some((at, refusal)) = lot.stop.take() else {
                    self.push_lot(supply, &slice, lot, bound);
                    return Ok(Outcome::Announced);
                };
                self.give_lot_back(lot);
                match refusal {
                    Refusal::Stray { channel, named: Some(partition), .. }
                        if self.may_be_added(handle, channel, partition) =>
                    {
                        Ok(Outcome::Barred)
                    }
                    Refusal::Stray { channel, reason, .. } => {
                        let of = (channel, at, &*reason);
                        let outcome = self.bury_stray(handle, &slice, of, bound)?;
                        self.commit_letter(outcome)
                    }
                    Refusal::Closed { channel } => Ok(self.want(handle, channel)),
                    Refusal::Unopened { place, topic } => Ok(self.want_new(handle, place, &topic)),
                }
            }
            Err(SliceError::Giant) => {
                self.give_lot_back(lot);
                self.files.begin_giant(handle);
                Ok(Outcome::Nothing)
            }
            Err(e) => {
                self.give_lot_back(lot);
                self.unreadable(handle, &e)?;
                Ok(Outcome::Later)
            }
        }
    }

    /// `None`: a partition that events may go to is not open in this round.
    fn begin_lot(&mut self, router: &Router, handle: Handle, first_new: usize) -> Option<Lot> {
        let name = self.files.at(handle).record.name.clone();
        let now_ms = self.clock.monotonic_ms();
        let mut shelves = Vec::with_capacity(self.outlets.len());
        for (at, outlet) in self.outlets.iter_mut().enumerate() {
            if !outlet.is_open() || outlet.is_passed_over(&name) {
                shelves.push(None);
                continue;
            }
            let announced = &self.announced;
            let is_open = |outlet: &Outlet, partition: i32| {
                doubts_before(announced, first_new, (at, partition))
                    .is_some_and(|before| outlet.may_follow(partition, before, now_ms))
            };
            // Which of them the events go to is not known before they are read.
            if router.is_spread(at) {
                let topic = outlet.topic.as_ref()?;
                let is_ready = |p: &i32| outlet.leads(*p) && is_open(outlet, *p);
                if !topic.partitions.iter().all(is_ready) {
                    return None;
                }
            }
            let free = outlet.next_partition(&name, is_open)?;
            let partitions = outlet.topic.as_ref()?.partitions.len() as u32;
            shelves.push(Some(Shelf { free, partitions, batches: Vec::new() }));
        }
        let missed = vec![0; shelves.len()];
        let aims = Vec::new();
        let (stop, bad_time) = (None, None);
        Some(Lot { shelves, missed, aims, passed: 0, placed: 0, bytes: 0, stop, bad_time })
    }

    fn give_lot_back(&mut self, lot: Lot) {
        for (outlet, shelf) in self.outlets.iter_mut().zip(lot.shelves) {
            let batches = shelf.map_or(Vec::new(), |shelf| shelf.batches);
            batches.into_iter().for_each(|batch| outlet.give_back(batch));
        }
    }

    fn empty_lot(&mut self, lot: &mut Lot) {
        for (outlet, shelf) in self.outlets.iter_mut().zip(&mut lot.shelves) {
            let Some(shelf) = shelf else { continue };
            shelf.batches.drain(..).for_each(|batch| outlet.give_back(batch));
        }
        (lot.passed, lot.placed, lot.bytes, lot.stop) = (0, 0, 0, None);
        lot.missed.fill(0);
    }

    /// The slice ends before an event that is not taken, and before a transaction in which a malformed
    /// byte stands, if anything is before it.
    fn read_whole_lot(
        &mut self,
        supply: Supply<'_>,
        plan: &Plan,
        lot: &mut Lot,
    ) -> Result<Slice, SliceError> {
        let result = self.read_lot(supply, plan, lot);
        let whole = match &result {
            Ok(_) if lot.stop.is_some() => lot.passed,
            Err(SliceError::Malformed { .. }) => lot.passed - lot.passed % self.batch_size(),
            _ => 0,
        };
        if whole == 0 {
            return result;
        }
        self.empty_lot(lot);
        let plan = Plan { events_max: whole, bytes_target: usize::MAX, ..*plan };
        self.read_lot(supply, &plan, lot)
    }

    fn read_lot(
        &mut self,
        Supply { router, handle, start, stamp_ms }: Supply<'_>,
        plan: &Plan,
        lot: &mut Lot,
    ) -> Result<Slice, SliceError> {
        let mut maker = self.maker(handle, stamp_ms);
        let batch_bytes_max =
            self.outlets.iter().map(Outlet::batch_bytes_max).min().unwrap_or(usize::MAX);
        let bytes_max =
            self.outlets.iter().map(|o| o.round_limit.bytes()).min().unwrap_or(usize::MAX);
        let batch_size = self.batch_size();
        let mut body_bytes = 0usize;
        let outlets = &mut self.outlets;
        let (window, tracked) = self.files.to_read(handle);
        slice::read(window, tracked, start, plan.bound, |line, at| {
            let is_late = plan.patience.is_over();
            let Some(body) = maker.make(line, at) else {
                return if is_late { Take::Enough } else { Take::More };
            };
            let largest = match lot.put(router, outlets, &maker, &body, stamp_ms) {
                Ok(largest) => largest,
                Err(refusal) => {
                    lot.stop = Some((at, refusal));
                    return Take::Enough;
                }
            };
            lot.passed += 1;
            body_bytes += body.len() + 1;
            let is_full = largest >= batch_bytes_max
                || lot.bytes + batch_bytes_max >= bytes_max
                || lot.batches() >= BATCHES_MAX;
            let is_enough =
                lot.passed.is_multiple_of(batch_size) && body_bytes >= plan.bytes_target;
            if is_full || is_enough || is_late || lot.passed >= plan.events_max {
                Take::Enough
            } else {
                Take::More
            }
        })
    }

    fn push_lot(&mut self, supply: Supply<'_>, slice: &Slice, lot: Lot, bound: Bound) {
        let Supply { router, handle, stamp_ms, .. } = supply;
        let base = self.range(handle, slice, stamp_ms, bound);
        if base.is_final {
            self.note_cut(handle, slice);
        }
        self.files.announced(handle, slice, base.is_final);
        self.counters.events_received += u64::from(lot.placed);
        for (at, missed) in lot.missed.iter().enumerate().filter(|(_, missed)| **missed > 0) {
            self.note_missed(at, *missed);
            self.want_again(supply.handle, at);
        }
        if lot.placed == 0 {
            let record = BatchRecord { fate: Fate::Nowhere, base_sequence: -1, ..base };
            self.announced.push(Announced::new(record, None, self.round, Copies::None));
            return self.give_lot_back(lot);
        }
        self.counters.batches_received += 1;
        let group = self.group_of(handle);
        for (at, shelf) in lot.shelves.into_iter().enumerate() {
            let Some(shelf) = shelf else { continue };
            if !shelf.batches.is_empty() {
                self.note_use(at);
            }
            for batch in shelf.batches {
                let share = Share {
                    rule: router.rule(at, group),
                    partitions: shelf.partitions,
                    of: batch.partition(),
                    has_free: batch.partition() == shelf.free,
                    read_ms: stamp_ms,
                    events: lot.placed,
                };
                let (channel, count) = (at as u16, batch.count());
                let mut record = BatchRecord { channel, count, share: Some(share), ..base.clone() };
                let batch = assign(&mut self.outlets[at], &mut record, batch);
                self.announced.push(Announced::new(record, Some(batch), self.round, Copies::None));
            }
        }
    }

    /// An event that can go nowhere, and what was filtered out before it: to the dead-letter file,
    /// durable, then on; not committed yet.
    pub(super) fn bury_stray(
        &mut self,
        handle: Handle,
        slice: &Slice,
        (channel, at, reason): (usize, u64, &str),
        bound: Bound,
    ) -> Result<Outcome, Fatal> {
        let tracked = self.files.at(handle);
        let topic = self.outlets[channel].config.topic.clone();
        let letter = GiantLine {
            topic: &topic,
            name: &tracked.record.name,
            file: &tracked.file,
            start: at,
            end: slice.end,
            reason,
            now_ms: self.clock.now_ms(),
        };
        match self.ledger.giant_line(&letter) {
            Ok(_) => self.tell_written(DEAD_LETTERS),
            Err(LedgerError::Final(why)) => return Err(Fatal::State(why)),
            Err(LedgerError::Later(why)) => {
                self.tell_unwritten(DEAD_LETTERS, &why, LETTER_RETRY_MS);
                self.files.retry_later(handle, LETTER_RETRY_MS);
                return Ok(Outcome::Later);
            }
        }
        let base = self.range(handle, slice, self.clock.now_ms(), bound);
        self.files.announced(handle, slice, base.is_final);
        let file = self.file_text(base.file);
        log::log_about(
            Level::Warn,
            SOURCE,
            &About { file: Some(&file), topic: Some(&topic), ..About::default() },
            format_args!(
                "An event ({file} bytes {at}-{}) went to the dead-letter file: {reason}.",
                slice.end
            ),
        );
        let record = BatchRecord { fate: Fate::Nowhere, base_sequence: -1, ..base };
        self.announced.push(Announced::new(record, None, self.round, Copies::None));
        Ok(Outcome::Announced)
    }

    fn tell_bad_time(&mut self, lot: &Lot) {
        let Some(bad) = &lot.bad_time else { return };
        let key = format!("times of {}", self.config.name);
        if self.repeats.is_due(&key, bad, self.clock.monotonic_ms()) {
            log::warn(
                SOURCE,
                format_args!("{bad}; the records of such events have the time of reading."),
            );
        }
    }

    /// Reads the events of batch `of` again, as many as `plan` takes, into `batch`. Where times are not
    /// kept all of them have that of the batch.
    pub(super) fn read_share(
        &mut self,
        handle: Handle,
        (of, share): (&BatchRecord, Share),
        plan: &Plan,
        batch: &mut Batch,
        keeps_times: bool,
    ) -> Result<(Slice, u32), SliceError> {
        // Whoever calls has made sure of it.
        let router = self.router.clone().ok_or(SliceError::Changed)?;
        let at = usize::from(of.channel);
        let mut maker = self.maker(handle, share.read_ms);
        let mut events = 0;
        let (window, tracked) = self.files.to_read(handle);
        let slice = slice::read(window, tracked, of.start, plan.bound, |line, place| {
            let Some(body) = maker.make(line, place) else { return Take::More };
            if !is_of(&router, at, share, &maker.headers) {
                return Take::More;
            }
            push(&router, at, batch, &maker, &body, keeps_times);
            events += 1;
            if events >= plan.events_max { Take::Enough } else { Take::More }
        })?;
        Ok((slice, events))
    }

    /// Does the topic take what headers say? Where they choose the partition, all have to have a leader.
    pub(super) fn check_routes(&self, at: usize) -> Result<(), Pause> {
        let outlet = &self.outlets[at];
        let (Some(router), Some(topic)) = (&self.router, &outlet.topic) else { return Ok(()) };
        if let Some(partition) = topic.leaderless.first().filter(|_| router.is_spread(at)) {
            return Err(leaders::without(&outlet.config.topic, *partition));
        }
        match router.unknown_to(at, topic.wire) {
            Some(why) => Err(Pause::Fault(Fault::NotReady(why))),
            None => Ok(()),
        }
    }

    /// Can the events of a batch be told that has a share of its range?
    pub(super) fn knows_share(&self, handle: Handle, of: &BatchRecord) -> Result<(), Pause> {
        let Some(share) = of.share else { return Ok(()) };
        let (at, group) = (usize::from(of.channel), self.group_of(handle));
        match &self.router {
            Some(router) if router.knows(at, group, share.rule) => Ok(()),
            _ => Err(self.not_now(
                of,
                "what chose their keys, partitions or channels (interceptors, selector, the filegroup of the \
                 file and its headers, partitionIdHeader, keyPartitioner, defaultPartitionId) has been changed \
                 since; set it back until they are sent",
            )),
        }
    }

    /// The place of the group that a file belongs to, if it is of one.
    pub(super) fn group_of(&self, handle: Handle) -> Option<usize> {
        Names::group_place(&self.config, self.files.at(handle).name())
    }
}

/// Why an event can go nowhere whose header names its partition.
pub(super) fn why_none(header: &str, value: &str, partitions: u32) -> String {
    format!(
        "the header {header} = \"{value}\" is no partition of the topic, which has {partitions}"
    )
}

/// Is an event with these headers one of that share of channel `at`?
fn is_of(router: &Router, at: usize, share: Share, headers: &HeaderMap) -> bool {
    router.selects(at, headers)
        && match router.place(at, headers, share.partitions) {
            Place::Partition(partition) => partition == share.of,
            Place::Free => share.has_free,
            Place::None { .. } => false,
        }
}

fn push(
    router: &Router,
    at: usize,
    batch: &mut Batch,
    maker: &Maker,
    body: &[u8],
    keeps_times: bool,
) {
    let mut names = Vec::new();
    let extras = router.extras(at, &maker.headers, &mut names);
    let time_ms = extras.time_ms.filter(|_| keeps_times);
    batch.push_with(&maker.encoded, body, Extras { time_ms, ..extras });
}

impl Lot {
    fn batches(&self) -> usize {
        self.shelves.iter().flatten().map(|shelf| shelf.batches.len()).sum()
    }

    /// Puts an event into the batches that it belongs to, all or none. Returns the size of the largest of
    /// them.
    fn put(
        &mut self,
        router: &Router,
        outlets: &mut [Outlet],
        maker: &Maker,
        body: &[u8],
        stamp_ms: i64,
    ) -> Result<usize, Refusal> {
        let headers = &maker.headers;
        let place = |at: usize, shelf: &Shelf| match router.place(at, headers, shelf.partitions) {
            Place::Free => Ok(shelf.free),
            Place::Partition(partition) => Ok(partition),
            Place::None { header, value, named } => Err(Refusal::Stray {
                channel: at,
                reason: why_none(&header, &value, shelf.partitions),
                named,
            }),
        };
        let choice = router.choose(headers);
        for (at, reason) in &choice.nowhere {
            if outlets[*at].optional.is_none() {
                return Err(Refusal::Stray { channel: *at, reason: reason.clone(), named: None });
            }
        }
        self.aims.clear();
        for &at in &choice.channels {
            self.aims.push(match &self.shelves[at] {
                Some(shelf) => Some(place(at, shelf)?),
                None if outlets[at].is_given_up() || outlets[at].is_open() => None,
                None => return Err(Refusal::Closed { channel: at }),
            });
        }
        // One after the other.
        if let Some((place, topic)) = choice.unopened.first().cloned() {
            return Err(Refusal::Unopened { place, topic });
        }
        choice.nowhere.iter().for_each(|(at, _)| self.missed[*at] += 1);
        let (mut largest, mut is_placed) = (0, false);
        for (&at, aim) in choice.channels.iter().zip(&self.aims) {
            let (Some(shelf), Some(partition)) = (&mut self.shelves[at], *aim) else {
                self.missed[at] += 1;
                continue;
            };
            let its = shelf.batches.iter().position(|batch| batch.partition() == partition);
            let its = its.unwrap_or_else(|| {
                let mut batch = outlets[at].take_batch();
                batch.begin(partition, stamp_ms);
                shelf.batches.push(batch);
                shelf.batches.len() - 1
            });
            let batch = &mut shelf.batches[its];
            let before = batch.size();
            push(router, at, batch, maker, body, true);
            self.bytes += batch.size() - before;
            largest = largest.max(batch.size());
            is_placed = true;
            if self.bad_time.is_none() {
                self.bad_time = router.bad_time(at, headers);
            }
        }
        self.placed += u32::from(is_placed);
        Ok(largest)
    }
}
