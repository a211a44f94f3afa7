//! The same where headers choose the channels and partitions of events: each is looked for where it goes.
//!
//! Where an event goes follows from its headers, as for a batch that is read again (`routed.rs`): so it is
//! known of each event of a file in which topics it should be. What is lacking is announced as a round would
//! announce it, in batches of one byte range, each with the events of it that one partition has
//! ([`Share`]). So a range ends where, of the events that go to one place, some are in the topic and the
//! next is not, or the other way round.

use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;
use std::sync::Arc;

use super::super::rounds::Outcome;
use super::super::routed::{BATCHES_MAX, why_none};
use super::super::routes::{Place, Router};
use super::super::{Announced, Copies};
use super::apply::{BATCH_BYTES, EVENT_OVERHEAD, Work};
use super::{Log, Pipeline, RETRY_MS, Subject, Trouble};
use crate::channel::outlet::Surveyed;
use crate::checkpoint::record::{BatchRecord, Fate, Share};
use crate::config::model::{PartitionBy, SourceConfig};
use crate::event::HeaderMap;
use crate::rebuild::evidence::ANYWHERE;
use crate::rebuild::marks::Segment;
use crate::source::interceptor::{self, Interceptor, Origin};
use crate::source::past::PastFile;
use crate::source::slice::{self, Bound, Slice, SliceError, Take};
use crate::source::{Handle, headers};

/// Where the events of one file go.
pub(super) struct Lanes(Option<Divided>);

struct Divided {
    router: Rc<Router>,
    chain: Arc<[Interceptor]>,
    /// Of the file; where no interceptor looks at the line, of all its events.
    headers: HeaderMap,
    is_per_event: bool,
    /// Those of the present event.
    of_event: HeaderMap,
}

impl Lanes {
    pub(super) fn of(
        router: Option<&Rc<Router>>,
        config: &SourceConfig,
        chain: &Arc<[Interceptor]>,
        past: &PastFile,
    ) -> Lanes {
        Lanes(router.map(|router| {
            let of_file = headers::of_file(config, &past.name);
            let is_per_event = interceptor::is_per_event(chain);
            let headers = match is_per_event {
                true => of_file,
                false => interceptor::headers(chain, of_file, 0),
            };
            let (router, chain, of_event) = (router.clone(), chain.clone(), headers.clone());
            Divided { router, chain, headers, is_per_event, of_event }
        }))
    }

    /// Adds an event to the channels that it is for.
    pub(super) fn count(&mut self, body: &[u8], expected: &mut [u64]) {
        let Some(divided) = &mut self.0 else {
            return expected.iter_mut().for_each(|n| *n += 1);
        };
        divided.look_at(body);
        let choice = divided.router.choose(&divided.of_event);
        choice.channels.iter().for_each(|&at| expected[at] += 1);
    }

    /// In which partition of `channel` an event goes before or behind which others; `None`: it is not for
    /// that channel.
    pub(super) fn lane(&mut self, body: &[u8], channel: usize, partitions: usize) -> Option<i32> {
        let Some(divided) = &mut self.0 else { return Some(ANYWHERE) };
        divided.look_at(body);
        let Divided { router, of_event, .. } = divided;
        if !router.choose(of_event).channels.contains(&channel) {
            return None;
        }
        match router.place(channel, of_event, partitions as u32) {
            Place::Partition(partition) => Some(partition),
            Place::Free | Place::None { .. } => Some(ANYWHERE),
        }
    }
}

impl Divided {
    fn look_at(&mut self, body: &[u8]) {
        if self.is_per_event {
            self.of_event.clone_from(&self.headers);
            // What is filtered out was so before.
            interceptor::shape(&self.chain, &mut self.of_event, body, Origin::default());
        }
    }
}

/// A run of events, and what of it is where.
#[derive(Debug, Default)]
struct Run {
    /// Events that no filter takes, and those of them that go anywhere.
    passed: u32,
    placed: u32,
    bytes: usize,
    slots: Vec<Slot>,
    /// The next event belongs to another run.
    is_cut: bool,
    /// The first event can go nowhere.
    stray: Option<Stray>,
}

/// An event that can go nowhere in a channel.
#[derive(Debug)]
struct Stray {
    channel: usize,
    /// Where it begins.
    at: u64,
    reason: String,
    /// The partition that it names, which the topic may have by now.
    named: Option<i32>,
}

/// The events of a run that go to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    channel: usize,
    /// `None`: wherever there is room.
    partition: Option<i32>,
    is_there: bool,
    events: u32,
    /// Number of the first of them.
    first: u64,
}

impl Run {
    /// Adds an event with these places. `false`: in one of them it is there, and others of the run are
    /// not, or the other way round; or what goes anywhere would find no partition of those that suit it
    /// (`suitable`) of which nothing is there.
    fn add(&mut self, places: &[Slot], suitable: &dyn Fn(&Slot) -> Vec<i32>) -> bool {
        let of = |place: &Slot| (place.channel, place.partition);
        let known = self.slots.len();
        for place in places {
            match self.slots[..known].iter().find(|slot| of(slot) == of(place)) {
                Some(slot) if slot.is_there == place.is_there => {}
                Some(_) => return self.take_back(known),
                None => self.slots.push(Slot { events: 0, ..place.clone() }),
            }
        }
        let finds_room = |slot: &Slot| {
            let is_lacking = |at: i32| is_lacking(&self.slots, slot.channel, at);
            slot.partition.is_some() || slot.is_there || suitable(slot).into_iter().any(is_lacking)
        };
        let has_grown = known > 0 && self.slots.len() > known;
        if has_grown && (self.slots.len() > BATCHES_MAX || !self.slots.iter().all(finds_room)) {
            return self.take_back(known);
        }
        for slot in &mut self.slots {
            slot.events += u32::from(places.iter().any(|place| of(place) == of(slot)));
        }
        self.passed += 1;
        self.placed += u32::from(!places.is_empty());
        true
    }

    fn take_back(&mut self, known: usize) -> bool {
        self.slots.truncate(known);
        false
    }

    /// The channels and partitions that lack something, with the number of events, and whether those are
    /// among them that go anywhere; these go where `choose` says.
    fn lacking(&self, choose: impl Fn(&Slot) -> i32) -> Vec<(usize, i32, u32, bool)> {
        let mut lacking: Vec<(usize, i32, u32, bool)> = Vec::new();
        let missing = || self.slots.iter().filter(|slot| !slot.is_there);
        for slot in missing() {
            if let Some(partition) = slot.partition {
                lacking.push((slot.channel, partition, slot.events, false));
            }
        }
        for slot in missing().filter(|slot| slot.partition.is_none()) {
            let partition = choose(slot);
            match lacking.iter_mut().find(|l| (l.0, l.1) == (slot.channel, partition)) {
                Some(with_keys) => (with_keys.2, with_keys.3) = (with_keys.2 + slot.events, true),
                None => lacking.push((slot.channel, partition, slot.events, true)),
            }
        }
        lacking
    }
}

/// Is nothing of what goes to that partition there?
fn is_lacking(slots: &[Slot], channel: usize, partition: i32) -> bool {
    let is_there = |s: &Slot| s.channel == channel && s.partition == Some(partition) && s.is_there;
    !slots.iter().any(is_there)
}

impl Pipeline {
    /// Announces what is lacking of the next events of a file. Returns what is left of the segment.
    pub(super) fn apply_run(
        &mut self,
        router: &Router,
        (handle, subject): (Handle, &Subject),
        segment: Segment,
        work: &mut Work,
        logs: &[Log],
        turn: &mut usize,
    ) -> Result<Option<Segment>, Trouble> {
        let changed = || Trouble::Changed(subject.past.found_as.clone());
        let stamp_ms = self.clock.now_ms();
        let is_last = work.left.is_empty() && work.is_whole;
        let bound = subject.past.bound(self.files.at(handle).read_position, is_last);
        let of = (handle, subject, work.event);
        let read = self.read_run(router, of, logs, (segment.events, bound, stamp_ms));
        // Again without the event that does not belong to it.
        let read = match read {
            Ok((_, run)) if run.is_cut && run.passed > 0 => {
                self.read_run(router, of, logs, (run.passed.into(), bound, stamp_ms))
            }
            read => read,
        };
        let (slice, run) = match read {
            Ok(read) => read,
            Err(e) => return self.unread(handle, subject, e).map(|()| Some(segment)),
        };
        if slice.end == slice.start {
            return Err(changed());
        }
        let events = run.passed + u32::from(run.stray.is_some());
        let left = segment.events.saturating_sub(events.into());
        let is_final = self.is_final(handle, slice.end, bound, is_last && left == 0);
        if let Some(Stray { channel, at, reason, named }) = &run.stray {
            if let Some(partition) = named {
                self.ask_for_added(handle, *channel, *partition, &logs[*channel])?;
            }
            let bound = if is_final { Bound::Final } else { Bound::Open };
            let of = (*channel, *at, &**reason);
            if self.bury_stray(handle, &slice, of, bound)? == Outcome::Later {
                self.retry_at_ms = self.clock.monotonic_ms() + RETRY_MS;
                return Ok(Some(segment));
            }
        } else {
            let place = (subject, *turn);
            *turn += usize::from(run.slots.iter().any(|slot| !slot.is_there));
            self.push_run(router, (handle, &slice), &run, place, logs, (stamp_ms, is_final));
        }
        work.event += u64::from(events);
        self.fold();
        Ok((left > 0).then_some(Segment { events: left, ..segment }))
    }

    /// An event names that partition, which the log does not have. `Ok`: the topic has none, certainly.
    ///
    /// # Errors
    /// `Grown`, or it is asked again.
    fn ask_for_added(
        &mut self,
        handle: Handle,
        at: usize,
        partition: i32,
        log: &Log,
    ) -> Result<(), Trouble> {
        let partitions = log.spans.len();
        if self.ask_again_ms(handle, at, partition, partitions).is_none() {
            return Ok(());
        }
        let asked_ms = self.clock.monotonic_ms();
        let outlet = &mut self.outlets[at];
        let history = outlet.broker.history().map_err(|fault| Trouble::Broker(at, fault))?;
        if history.partitions().len() > partitions {
            return Err(Trouble::Grown(at));
        }
        outlet.surveyed_ms = Some(Surveyed { asked_ms, told_ms: self.clock.monotonic_ms() });
        match self.ask_again_ms(handle, at, partition, partitions) {
            // Each question is a connection of its own.
            Some(_) => Err(Trouble::Wait(RETRY_MS)),
            None => Ok(()),
        }
    }

    fn read_run(
        &mut self,
        router: &Router,
        (handle, subject, first): (Handle, &Subject, u64),
        logs: &[Log],
        (events_max, bound, stamp_ms): (u64, Bound, i64),
    ) -> Result<(Slice, Run), SliceError> {
        let all: Vec<Vec<i32>> = (0..logs.len()).map(|at| self.candidates(at, &logs[at])).collect();
        let suitable =
            |slot: &Slot| subject.marks[slot.channel].all_suitable(slot.first, &all[slot.channel]);
        let mut maker = self.maker(handle, stamp_ms);
        let event_bytes = maker.headers().len() + EVENT_OVERHEAD;
        let (window, tracked) = self.files.to_read(handle);
        let start = tracked.read_position;
        let mut run = Run::default();
        let slice = slice::read(window, tracked, start, bound, |line, at| {
            let Some(body) = maker.make(line, at) else { return Take::More };
            let choice = router.choose(maker.headers());
            let event = first + u64::from(run.passed);
            let mut places = Vec::with_capacity(choice.channels.len());
            let stray = |channel, reason, named| Stray { channel, at, reason, named };
            let nowhere = choice.nowhere.first().cloned();
            let mut found = nowhere.map(|(channel, reason)| stray(channel, reason, None));
            for &channel in &choice.channels {
                let is_there = subject.marks[channel].has(event);
                let partitions = logs[channel].spans.len() as u32;
                let partition = match router.place(channel, maker.headers(), partitions) {
                    Place::Free => None,
                    Place::Partition(partition) => Some(partition),
                    Place::None { header, value, named } if !is_there => {
                        found = Some(stray(channel, why_none(&header, &value, partitions), named));
                        continue;
                    }
                    Place::None { .. } => continue,
                };
                places.push(Slot { channel, partition, is_there, events: 1, first: event });
            }
            if found.is_some() {
                run.is_cut = run.passed > 0;
                run.stray = found.filter(|_| !run.is_cut);
                return Take::Enough;
            }
            if !run.add(&places, &suitable) {
                run.is_cut = true;
                return Take::Enough;
            }
            let is_lacking = places.iter().any(|place| !place.is_there);
            run.bytes += if is_lacking { body.len() + event_bytes } else { 0 };
            let is_enough = u64::from(run.passed) >= events_max || run.bytes >= BATCH_BYTES;
            if is_enough { Take::Enough } else { Take::More }
        })?;
        Ok((slice, run))
    }

    /// The partitions that may be chosen for what has no place of its own.
    fn candidates(&self, at: usize, log: &Log) -> Vec<i32> {
        match self.outlets[at].config.default_partition {
            Some(fixed) => vec![fixed],
            None => log.spans.iter().map(|span| span.partition).collect(),
        }
    }

    fn push_run(
        &mut self,
        router: &Router,
        (handle, slice): (Handle, &Slice),
        run: &Run,
        (subject, turn): (&Subject, usize),
        logs: &[Log],
        (stamp_ms, is_final): (i64, bool),
    ) {
        let bound = if is_final { Bound::Final } else { Bound::Open };
        let base = BatchRecord {
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            is_final,
            ..self.range(handle, slice, stamp_ms, bound)
        };
        let choose = |slot: &Slot| {
            let channel = slot.channel;
            let mut candidates = self.candidates(channel, &logs[channel]);
            candidates.retain(|partition| is_lacking(&run.slots, channel, *partition));
            let turn = match self.outlets[channel].config.partition_by {
                PartitionBy::File => crc32fast::hash(subject.past.name.as_bytes()) as usize,
                PartitionBy::Transaction => turn,
            };
            subject.marks[channel].suitable(slot.first, &candidates, turn).unwrap_or(0)
        };
        let lacking = run.lacking(choose);
        self.files.announced(handle, slice, is_final);
        let announced = |record| Announced::new(record, None, 0, Copies::Any);
        if lacking.is_empty() {
            let record = BatchRecord { count: run.placed, fate: Fate::Nowhere, ..base };
            self.announced.push(announced(record));
            return;
        }
        let group = self.group_of(handle);
        for (channel, partition, count, has_free) in lacking {
            let share = Share {
                rule: router.rule(channel, group),
                partitions: logs[channel].spans.len() as u32,
                of: partition,
                has_free,
                read_ms: stamp_ms,
                events: run.placed,
            };
            let (channel, share) = (channel as u16, Some(share));
            let record = BatchRecord { channel, partition, count, share, ..base.clone() };
            self.announced.push(announced(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(channel: usize, partition: Option<i32>, is_there: bool) -> Slot {
        Slot { channel, partition, is_there, events: 1, first: 0 }
    }

    /// Adds events until one belongs to another run; how many. What goes anywhere may go to these.
    fn run_of(events: &[&[Slot]], suitable: &[i32]) -> (Run, usize) {
        let mut run = Run::default();
        let suitable = |_: &Slot| suitable.to_vec();
        let taken = events.iter().take_while(|places| run.add(places, &suitable)).count();
        (run, taken)
    }

    #[test]
    fn a_run_ends_where_a_place_has_one_event_and_not_the_next() {
        let (there, missing) = ([slot(0, Some(0), true)], [slot(0, Some(1), false)]);
        let events: [&[Slot]; 5] = [&there, &missing, &there, &missing, &[slot(0, Some(0), false)]];
        let (run, taken) = run_of(&events, &[0, 1]);
        assert_eq!((taken, run.placed), (4, 4));
        assert_eq!(run.lacking(|_| panic!("nothing goes anywhere")), [(0, 1, 2, false)]);
    }

    #[test]
    fn what_goes_anywhere_goes_where_nothing_of_the_run_is() {
        let anywhere = slot(0, None, false);
        let events: [&[Slot]; 3] =
            [std::slice::from_ref(&anywhere), &[slot(0, Some(0), true)], &[slot(0, Some(1), true)]];
        let (run, taken) = run_of(&events, &[0, 1]);
        // With the third no partition would be left for the first.
        assert_eq!((taken, run.slots.len()), (2, 2));
        let first = |_: &Slot| [0, 1].into_iter().find(|p| is_lacking(&run.slots, 0, *p)).unwrap();
        assert_eq!(run.lacking(first), [(0, 1, 1, true)]);
        // Nor with the second where something later stands in the other one.
        assert_eq!(run_of(&events, &[0]).1, 1);
        // Beside keys that are missing as well it is one batch with them.
        let events: [&[Slot]; 2] = [&[slot(0, Some(1), false)], std::slice::from_ref(&anywhere)];
        let (run, taken) = run_of(&events, &[0, 1]);
        assert_eq!((taken, run.lacking(|_| 1)), (2, vec![(0, 1, 2, true)]));
    }

    #[test]
    fn channels_are_told_apart_and_what_is_for_none_is_in_any_run() {
        let both = [slot(0, None, true), slot(1, None, false)];
        let events: [&[Slot]; 4] = [&both, &[], &[slot(1, None, false)], &[slot(0, None, false)]];
        let (run, taken) = run_of(&events, &[0]);
        assert_eq!((taken, run.passed, run.placed), (3, 3, 2));
        assert_eq!(run.lacking(|_| 0), [(1, 0, 2, true)]);
    }
}
