//! Filling a round: slices from the files, batches for the channels, one record, then the wire.

use super::doubt::{are_announced_once, doubts_before};
use super::room::Halt;
use super::settle::DEAD_LETTERS;
use super::{Announced, Copies, Fatal, Pipeline, SOURCE};
use crate::channel::batch::Batch;
use crate::channel::batch::Identity;
use crate::channel::outlet::{Outlet, Stage, sequence_after};
use crate::checkpoint::cuts::{self, Cut};
use crate::checkpoint::ledger::{GiantLine, LedgerError};
use crate::checkpoint::record::{BatchRecord, Fate};
use crate::config::model::SourceConfig;
use crate::event::{self, HeaderMap};
use crate::log;
use crate::source::giant::Giant;
use crate::source::interceptor::{self, Interceptor, Origin, Patience};
use crate::source::slice::{self, Bound, Slice, SliceError, Take};
use crate::source::{Handle, headers};

/// No round begins while so many encoded bytes are under way, all channels together: what keeps
/// the memory small.
pub(super) const IN_FLIGHT_BYTES_MAX: usize = 3 * 1024 * 1024;

/// No round begins while so many batches are announced and not folded: each is an entry of the
/// checkpoint. So many can be only where one waits for its leader for a long time.
const ANNOUNCED_MAX: usize = 8_192;

/// Where so much of the present file is left, it is sent at once, whatever is under way.
const LITTLE_BYTES: u64 = 64 * 1024;
/// After this time the answer is not waited for, ms: a broker may be far away.
pub(super) const MOMENT_MS: u64 = 10;

/// No further round is announced in one commit behind so many batches: each is an entry of the
/// checkpoint.
const GROUP_BATCHES_MAX: usize = 192;
/// So many rounds may be announced beyond those that may be under way. More are read once half of them
/// have gone out, so that a broker never waits for a commit, nor each round for one of its own.
const WAITING_ROUNDS_MAX: usize = 16;

/// A group that took so long to fill goes out, ms: where headers are made of each line, the brokers would
/// wait for it.
const FILL_MS: u64 = 3;

/// Waits after a failed read of a file, ms.
const READ_RETRY_MS: u64 = 4_000;

/// What became of an attempt to announce a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Announced,
    /// Nothing whole to read there now.
    Nothing,
    /// A piece of a line that is too long was searched for its end, and did not hold it.
    Searching,
    /// The only partition that it may go to has no leader. The files behind it need not wait.
    Barred,
    /// It has to wait, and so have the files behind it: no partition is open to it in this round, or it
    /// cannot be read now, or its dead letter cannot be written.
    Later,
}

/// What comes behind a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filled {
    /// Another one, if there is room for it.
    Further,
    /// Nothing now.
    Last,
}

/// Which events of a file make up a batch, and how the batch is made.
pub(crate) struct Plan {
    pub bound: Bound,
    /// Stop after so many kept events.
    pub events_max: u32,
    /// Stop at a transaction's end once so many bytes of bodies are in.
    pub bytes_target: usize,
    /// Of the filters.
    pub patience: Patience,
}

impl Pipeline {
    /// Fills a group of rounds, announces all of them in one commit and hands over what may go out.
    /// `false`: nothing to send now.
    pub(super) fn send_rounds(&mut self) -> Result<bool, Halt> {
        if !self.may_send() {
            return Ok(false);
        }
        let group = self.announced.len();
        let mut goes_on = false;
        let patience = Patience::begin(&self.interceptors);
        let guard = interceptor::guard(&self.interceptors);
        self.fills_until_ms = match interceptor::takes_time(&self.interceptors) {
            true => self.clock.monotonic_ms() + FILL_MS,
            false => u64::MAX,
        };
        while self.fill_round(group, patience, &mut goes_on)? == Filled::Further
            && !patience.is_over()
            && !self.has_filled_long()
            && self.has_room_in_group(group)
        {
            self.round += 1;
        }
        drop(guard);
        // Those behind a file that is barred are chosen next, and a long line is searched on.
        Ok(self.dispatch(group)? || goes_on)
    }

    /// Fills one more round of the group that begins with the announcement `group`.
    fn fill_round(
        &mut self,
        group: usize,
        patience: Patience,
        goes_on: &mut bool,
    ) -> Result<Filled, Halt> {
        let width = self.outlets.iter().filter(|o| o.is_open()).map(Outlet::width);
        let width = width.min().unwrap_or(1);
        let first_new = self.announced.len();
        let mut filled = 0;
        // A file may turn out to hold nothing whole; a few of them do not end the round.
        for _ in 0..width + 16 {
            let Some(handle) = self.files.choose() else { return Ok(Filled::Last) };
            if filled == 0 && self.may_wait(handle) {
                self.awaits_answer |= first_new == group && self.is_of_this_moment(handle);
                return Ok(Filled::Last);
            }
            if self.is_in_group(handle, group) {
                return Ok(Filled::Last);
            }
            let share = (width - filled).max(1) as u64;
            let bound = if self.files.is_ending(handle) { Bound::Final } else { Bound::Open };
            match self.announce(handle, bound, share, patience, first_new)? {
                Outcome::Announced => filled += 1,
                Outcome::Nothing => {}
                Outcome::Barred | Outcome::Searching => *goes_on = true,
                Outcome::Later => break,
            }
            let is_full = filled == width || !self.has_room_behind(group);
            if is_full || patience.is_over() || filled > 0 && self.has_filled_long() {
                break;
            }
        }
        Ok(if filled > 0 { Filled::Further } else { Filled::Last })
    }

    fn has_filled_long(&self) -> bool {
        self.fills_until_ms != u64::MAX && self.clock.monotonic_ms() >= self.fills_until_ms
    }

    /// Announces the unterminated last line of a finished file and sends it. `false`: it has to
    /// wait.
    pub(super) fn send_final(&mut self, handle: Handle) -> Result<bool, Halt> {
        let first_new = self.announced.len();
        let patience = Patience::begin(&self.interceptors);
        let guard = interceptor::guard(&self.interceptors);
        let outcome = self.announce(handle, Bound::Final, 1, patience, first_new)?;
        drop(guard);
        match outcome {
            Outcome::Later | Outcome::Barred => return Ok(false),
            Outcome::Announced | Outcome::Searching => {}
            Outcome::Nothing => {
                let tracked = self.files.at_mut(handle);
                if tracked.giant_scanned.is_none() {
                    // Nothing of it is an event (half a character): there is no more to wait for.
                    tracked.finished_at = Some(tracked.size);
                }
            }
        }
        self.dispatch(first_new)?;
        Ok(true)
    }

    /// Is it a little of the present file, of which something was sent a moment ago? With the
    /// answer to that it goes out in one request with what comes until then, as Nagle has it for
    /// TCP: a broker that is busy with five small requests answers each of them later than two
    /// larger ones, one after the other. Nor is it put behind what waits to go out.
    fn may_wait(&self, handle: Handle) -> bool {
        let is_queued = self.flights.all >= self.rounds_in_flight_max();
        self.is_little(handle)
            && match self.youngest_doubt_ms(handle) {
                Some(age_ms) => is_queued || age_ms < MOMENT_MS,
                None => false,
            }
    }

    fn is_of_this_moment(&self, handle: Handle) -> bool {
        self.youngest_doubt_ms(handle).is_some_and(|age_ms| age_ms < MOMENT_MS)
    }

    /// How long ago the last batch of the file was made that is in doubt, ms.
    fn youngest_doubt_ms(&self, handle: Handle) -> Option<u64> {
        let now_ms = self.clock.now_ms();
        let in_doubt = self.announced_of(handle, 0).filter(|a| a.record.fate.is_in_doubt());
        // A clock that was put back makes none younger than it is.
        let age_ms = |a: &Announced| u64::try_from(now_ms.saturating_sub(a.record.stamp_ms));
        in_doubt.map(|a| age_ms(a).unwrap_or(u64::MAX)).min()
    }

    /// Is all that the present file had in this group, and what has come since but a little? One
    /// more batch for a line or two would cost as much as the next round's.
    fn is_in_group(&self, handle: Handle, group: usize) -> bool {
        let is_exhausted = self.files.at(handle).exhausted_at.is_some();
        is_exhausted && self.is_little(handle) && self.announced_of(handle, group).next().is_some()
    }

    /// May another round come into the group that begins with `group`? All of them together are no
    /// larger than a single one may be: what is announced takes memory until it is answered.
    fn has_room_in_group(&self, group: usize) -> bool {
        let new = self.announced.get(group..).unwrap_or_default();
        let rounds = match (new.first(), new.last()) {
            (Some(first), Some(last)) => (last.round - first.round) as usize + 1,
            _ => 0,
        };
        // Without identity one waits behind each that is under way.
        let most = self.rounds_in_flight_max();
        let most = if self.has_identity() { most + WAITING_ROUNDS_MAX } else { most };
        self.flights.all + rounds < most
            && new.len() < GROUP_BATCHES_MAX
            && self.has_room_behind(group)
    }

    /// Could each channel take one more batch behind what was announced from `first_new` on?
    fn has_room_behind(&self, first_new: usize) -> bool {
        self.outlets.iter().enumerate().all(|(at, outlet)| {
            let of_channel = self
                .announced
                .iter()
                .skip(first_new)
                .filter(|a| usize::from(a.record.channel) == at);
            outlet.has_room_behind(of_channel.map(Announced::encoded_bytes).sum())
        })
    }

    /// Encoded bytes of all that is announced.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.announced.iter().map(Announced::encoded_bytes).sum()
    }

    fn is_little(&self, handle: Handle) -> bool {
        let tracked = self.files.at(handle);
        tracked.left_bytes() < LITTLE_BYTES && self.files.is_live(handle)
    }

    fn announced_of(&self, handle: Handle, from: usize) -> impl Iterator<Item = &Announced> {
        let id = self.files.at(handle).record.id;
        self.announced.iter().skip(from).filter(move |a| a.record.file == id)
    }

    /// Is there room for one more round?
    pub(super) fn may_send(&self) -> bool {
        let most = self.rounds_in_flight_max();
        // What a socket does not take at once is copied: it is emptied first.
        let is_congested = self.outlets.iter().any(Outlet::is_congested);
        let rounds = self.outlets.iter().map(|o| 2 * o.round_limit.bytes());
        let bytes_max = rounds.min().unwrap_or(usize::MAX).min(IN_FLIGHT_BYTES_MAX);
        let is_outdated = self.outlets.iter().any(|o| matches!(o.stage, Stage::Outdated));
        let under_way = self.announced.iter().filter(|a| self.is_under_way(a));
        let bytes: usize = under_way.map(Announced::encoded_bytes).sum();
        let has_room = match self.has_identity() {
            true => most > 0 && self.flights.waiting <= WAITING_ROUNDS_MAX / 2,
            false => self.flights.all < most,
        };
        !is_outdated
            && has_room
            && self.announced.len() < ANNOUNCED_MAX
            && bytes < bytes_max
            && !is_congested
    }

    /// How many rounds may be under way at once, in each channel that is open.
    fn rounds_in_flight_max(&self) -> usize {
        let open = self.outlets.iter().filter(|o| o.is_open());
        open.map(|o| o.broker.rounds_in_flight_max()).min().unwrap_or(1)
    }

    fn has_identity(&self) -> bool {
        self.outlets.iter().filter(|o| o.is_open()).all(|o| o.wire().has_identity())
    }

    fn dispatch(&mut self, first_new: usize) -> Result<bool, Halt> {
        if self.announced.len() == first_new {
            return Ok(false);
        }
        debug_assert!(are_announced_once(&self.announced, first_new));
        self.commit()?;
        let now_ms = self.clock.monotonic_ms();
        for at in 0..self.outlets.len() {
            self.outlets[at].batch_limit.regrow(now_ms);
            self.outlets[at].round_limit.regrow(now_ms);
        }
        self.round += 1;
        self.send_ready();
        self.count_rounds();
        Ok(true)
    }

    /// Reads a slice of the file and announces a batch of it for each channel.
    fn announce(
        &mut self,
        handle: Handle,
        bound: Bound,
        share: u64,
        patience: Patience,
        first_new: usize,
    ) -> Result<Outcome, Halt> {
        if self.files.at(handle).giant_scanned.is_some() {
            let outcome = self.pass_giant(handle, bound == Bound::Final)?;
            return self.commit_letter(outcome);
        }
        if let Some(router) = self.router.clone() {
            return self.announce_routed(&router, handle, bound, patience, first_new);
        }
        let stamp_ms = self.clock.now_ms();
        let name = self.files.at(handle).record.name.clone();
        if self.outlets.iter().any(|outlet| outlet.is_barred(&name)) {
            self.files.bar(handle);
            return Ok(Outcome::Barred);
        }
        let mut batches = Vec::with_capacity(self.outlets.len());
        let now_ms = self.clock.monotonic_ms();
        for (at, outlet) in self.outlets.iter_mut().enumerate() {
            let announced = &self.announced;
            let is_open = |outlet: &Outlet, partition: i32| {
                doubts_before(announced, first_new, (at, partition))
                    .is_some_and(|before| outlet.may_follow(partition, before, now_ms))
            };
            let Some(partition) = outlet.next_partition(&name, is_open) else {
                give_back(&mut self.outlets, batches);
                return Ok(Outcome::Later);
            };
            let mut batch = outlet.take_batch();
            batch.begin(partition, stamp_ms);
            batches.push(batch);
        }
        // What the present file has goes to all partitions. Of a backlog, file after file, each
        // batch is filled: large ones cost the broker least.
        let share = if self.files.is_live(handle) { share } else { 1 };
        let tracked = self.files.at(handle);
        let left = tracked.left_bytes();
        let plan = Plan {
            bound,
            events_max: self.events_in_turn(),
            bytes_target: usize::try_from(left / share).unwrap_or(usize::MAX),
            patience,
        };
        let start = tracked.read_position;
        match self.read_whole_transactions(handle, start, &plan, &mut batches, stamp_ms) {
            Ok((slice, _)) if slice.end == slice.start => {
                self.files.exhausted(handle, &slice);
                give_back(&mut self.outlets, batches);
                Ok(Outcome::Nothing)
            }
            Ok((slice, events)) => {
                self.push_announced(handle, &slice, events, batches, stamp_ms, bound);
                Ok(Outcome::Announced)
            }
            Err(SliceError::Giant) => {
                give_back(&mut self.outlets, batches);
                self.files.begin_giant(handle);
                Ok(Outcome::Nothing)
            }
            Err(e) => {
                give_back(&mut self.outlets, batches);
                self.unreadable(handle, &e)?;
                Ok(Outcome::Later)
            }
        }
    }

    /// A line that is too long for memory goes to the dead-letter file, durable before the slice
    /// that it makes up is announced; not committed yet.
    pub(super) fn pass_giant(&mut self, handle: Handle, is_final: bool) -> Result<Outcome, Fatal> {
        let buried = match self.files.measure_giant(handle, is_final) {
            Ok(Giant::Ends(end)) => self.bury_giant(handle, end),
            Ok(Giant::Open) => return Ok(Outcome::Nothing),
            Ok(Giant::Searching) => return Ok(Outcome::Searching),
            Err(e) => Err(cannot_read_on(&e)),
        };
        let slice = match buried {
            Ok(slice) => slice,
            Err(LedgerError::Final(why)) => return Err(Fatal::State(why)),
            Err(LedgerError::Later(why)) => {
                self.tell_unwritten(DEAD_LETTERS, &why, READ_RETRY_MS);
                self.files.retry_later(handle, READ_RETRY_MS);
                return Ok(Outcome::Later);
            }
        };
        self.tell_written(DEAD_LETTERS);
        let stamp_ms = self.clock.now_ms();
        self.push_announced(handle, &slice, 0, Vec::new(), stamp_ms, Bound::Open);
        Ok(Outcome::Announced)
    }

    /// At once: a start knows one letter again that no record knows, not two.
    pub(super) fn commit_letter(&mut self, outcome: Outcome) -> Result<Outcome, Halt> {
        if outcome == Outcome::Announced {
            self.commit()?;
        }
        Ok(outcome)
    }

    fn bury_giant(&mut self, handle: Handle, end: u64) -> Result<Slice, LedgerError> {
        let tracked = self.files.at(handle);
        let letter = GiantLine {
            topic: self.outlets.first().map_or("", |o| &o.config.topic),
            name: &tracked.record.name,
            file: &tracked.file,
            start: tracked.read_position,
            end,
            reason: "longer than is held in memory",
            now_ms: self.clock.now_ms(),
        };
        let bytes_crc = self.ledger.giant_line(&letter)?;
        self.files.giant_slice(handle, end, bytes_crc).map_err(|e| cannot_read_on(&e))
    }

    /// As Flume does, a transaction in which a malformed byte stands is not written at all: the
    /// slice ends before it.
    fn read_whole_transactions(
        &mut self,
        handle: Handle,
        start: u64,
        plan: &Plan,
        batches: &mut [Batch],
        stamp_ms: i64,
    ) -> Result<(Slice, u32), SliceError> {
        let result = self.read_events(handle, start, plan, batches, stamp_ms);
        let whole = batches.first().map_or(0, Batch::count);
        let whole = whole - whole % self.batch_size();
        match result {
            Err(SliceError::Malformed { .. }) if whole > 0 => {
                for batch in &mut *batches {
                    batch.begin(batch.partition(), stamp_ms);
                }
                let plan = Plan { events_max: whole, bytes_target: usize::MAX, ..*plan };
                self.read_events(handle, start, &plan, batches, stamp_ms)
            }
            other => other,
        }
    }

    /// Events of one file, before another has its turn.
    pub(super) fn events_in_turn(&self) -> u32 {
        let Some(tail) = self.config.kind.tail() else { return u32::MAX };
        let events = tail.batches_in_turn.saturating_mul(u64::from(self.batch_size()));
        u32::try_from(events).unwrap_or(u32::MAX)
    }

    pub(super) fn batch_size(&self) -> u32 {
        u32::try_from(self.config.batch_size).unwrap_or(u32::MAX)
    }

    /// Reads events from `start` on into all of `batches` at once.
    pub(super) fn read_events(
        &mut self,
        handle: Handle,
        start: u64,
        plan: &Plan,
        batches: &mut [Batch],
        stamp_ms: i64,
    ) -> Result<(Slice, u32), SliceError> {
        let mut headers = self.headers(handle, stamp_ms);
        // Of each event its own.
        let tail = self.config.kind.tail().filter(|tail| tail.byte_offset_header);
        let mut map = tail.map(|_| self.header_map(handle, stamp_ms));
        let is_per_event = interceptor::is_per_event(&self.interceptors);
        let of_file = headers::of_file(&self.config, self.files.at(handle).name());
        let id = self.files.at(handle).record.id;
        let SourceConfig { name, tracker_dir, .. } = &*self.config;
        let seed = interceptor::origin_seed(&self.interceptors, &self.agent, name, tracker_dir, id);
        let has_place = tail.is_some();
        let batch_size = self.batch_size();
        let limit = self.outlets.iter().map(Outlet::batch_bytes_max).min().unwrap_or(usize::MAX);
        let interceptors: &[Interceptor] = &self.interceptors;
        let has_filter = interceptor::filters(interceptors);
        let (mut events, mut bytes, mut in_transaction) = (0u32, 0usize, 0u32);
        let (window, tracked) = self.files.to_read(handle);
        let mut own = HeaderMap::new();
        let slice = slice::read(window, tracked, start, plan.bound, |line, at| {
            let is_late = plan.patience.is_over();
            let shaped;
            let mut body = line;
            if is_per_event {
                own.clone_from(&of_file);
                if has_place {
                    own.insert(headers::BYTE_OFFSET, &at.to_string());
                }
                match interceptor::shape(
                    interceptors,
                    &mut own,
                    line,
                    Origin { stamp_ms, seed, at },
                ) {
                    None => return if is_late { Take::Enough } else { Take::More },
                    Some(other) => shaped = other,
                }
                body = &shaped;
                headers.clear();
                event::avro_headers(&own, &mut headers);
            } else if has_filter && !interceptor::keeps(interceptors, line) {
                return if is_late { Take::Enough } else { Take::More };
            } else if let Some(map) = &mut map {
                map.insert(headers::BYTE_OFFSET, &at.to_string());
                headers.clear();
                event::avro_headers(map, &mut headers);
            }
            let mut largest = 0;
            for batch in &mut *batches {
                batch.push(&headers, body);
                largest = largest.max(batch.size());
            }
            events += 1;
            bytes += body.len() + 1;
            in_transaction += 1;
            if in_transaction == batch_size {
                in_transaction = 0;
            }
            let is_full = largest >= limit && !plan.is_exact();
            let is_enough = in_transaction == 0 && bytes >= plan.bytes_target;
            if is_full || is_enough || is_late || events >= plan.events_max {
                Take::Enough
            } else {
                Take::More
            }
        })?;
        Ok((slice, events))
    }

    /// The encoded header map that all events of a batch share.
    pub(super) fn headers(&self, handle: Handle, stamp_ms: i64) -> Vec<u8> {
        let mut encoded = Vec::new();
        event::avro_headers(&self.header_map(handle, stamp_ms), &mut encoded);
        encoded
    }

    fn header_map(&self, handle: Handle, stamp_ms: i64) -> HeaderMap {
        let map = headers::of_file(&self.config, self.files.at(handle).name());
        interceptor::headers(&self.interceptors, map, stamp_ms)
    }

    /// What all batches of a slice have in common.
    pub(super) fn range(
        &self,
        handle: Handle,
        slice: &Slice,
        stamp_ms: i64,
        bound: Bound,
    ) -> BatchRecord {
        BatchRecord {
            file: self.files.at(handle).record.id,
            start: slice.start,
            end: slice.end,
            lines: slice.lines,
            bytes_crc: slice.bytes_crc,
            tail_crc: slice.tail.crc(),
            stamp_ms,
            is_final: bound == Bound::Final && slice.is_exhausted,
            ..BatchRecord::default()
        }
    }

    fn push_announced(
        &mut self,
        handle: Handle,
        slice: &Slice,
        events: u32,
        batches: Vec<Batch>,
        stamp_ms: i64,
        bound: Bound,
    ) {
        let base = BatchRecord { count: events, ..self.range(handle, slice, stamp_ms, bound) };
        if base.is_final {
            self.note_cut(handle, slice);
        }
        self.files.announced(handle, slice, base.is_final);
        self.counters.events_received += u64::from(events);
        if events == 0 {
            give_back(&mut self.outlets, batches);
            let record = BatchRecord { fate: Fate::Nowhere, base_sequence: -1, ..base };
            self.announced.push(Announced::new(record, None, self.round, Copies::None));
            return;
        }
        self.counters.batches_received += 1;
        for (at, batch) in batches.into_iter().enumerate() {
            let mut record = BatchRecord { channel: at as u16, ..base.clone() };
            let batch = assign(&mut self.outlets[at], &mut record, batch);
            self.announced.push(Announced::new(record, Some(batch), self.round, Copies::None));
        }
    }

    /// The unfinished line of a file that is followed is sent: what comes behind it is another event.
    pub(super) fn note_cut(&self, handle: Handle, slice: &Slice) {
        let tracked = self.files.at(handle);
        if self.config.kind.tail().is_some() && tracked.is_named() {
            let (inode, end, tail_crc) = (tracked.record.inode, slice.end, slice.tail.crc());
            // Where that is not possible, no line is lost: see there.
            let _ = cuts::note(&self.config.tracker_dir, Cut { inode, end, tail_crc });
        }
    }

    /// A slice that could not be read: bad text ends the agent, a bad disk is waited for.
    pub(super) fn unreadable(&mut self, handle: Handle, e: &SliceError) -> Result<(), Halt> {
        let path = self.files.path(self.files.at(handle).name());
        match e {
            SliceError::Malformed { .. } if self.announced.is_empty() => {
                if self.is_unwritten() {
                    self.commit()?;
                }
                Err(Fatal::Broken(format!(
                    "{}: {e} ({}). The transaction that holds them was not sent; everything \
                     before it was. Set decodeErrorPolicy to REPLACE or IGNORE, or the right \
                     inputCharset, and start again: reading goes on at byte {}.",
                    path.display(),
                    self.config.input_charset.name(),
                    self.files.at(handle).read_position,
                ))
                .into())
            }
            // What is under way is finished first; the same bytes end the agent then.
            SliceError::Malformed { .. } => Ok(()),
            // The next look finds out what became of the file, and says so.
            SliceError::Changed => Ok(()),
            SliceError::Io(_) | SliceError::Giant => {
                log::warn(
                    SOURCE,
                    format_args!(
                        "Cannot read {}: {e}. Next try in {READ_RETRY_MS} milliseconds.",
                        path.display()
                    ),
                );
                self.files.retry_later(handle, READ_RETRY_MS);
                Ok(())
            }
        }
    }
}

impl Plan {
    fn is_exact(&self) -> bool {
        matches!(self.bound, Bound::Exactly { .. })
    }
}

/// Gives a new batch its identity and sequence, completes it, and notes both in the record.
pub(super) fn assign(outlet: &mut Outlet, record: &mut BatchRecord, mut batch: Batch) -> Batch {
    let identity = match outlet.wire().has_identity() {
        true => outlet.identity(),
        false => Identity::NONE,
    };
    record.partition = batch.partition();
    record.producer_id = identity.producer_id;
    record.producer_epoch = identity.epoch;
    let partition = outlet.partition(record.partition);
    record.base_sequence = if identity == Identity::NONE { -1 } else { partition.next_sequence };
    if identity != Identity::NONE {
        partition.next_sequence = sequence_after(partition.next_sequence, record.count);
    } else {
        (record.values_crc, record.first_crc) = batch.content_crcs();
    }
    batch.seal(identity, record.base_sequence);
    batch
}

fn cannot_read_on(e: &std::io::Error) -> LedgerError {
    LedgerError::Later(format!("Cannot read on: {e}"))
}

fn give_back(outlets: &mut [Outlet], batches: Vec<Batch>) {
    for (outlet, batch) in outlets.iter_mut().zip(batches) {
        outlet.give_back(batch);
    }
}
