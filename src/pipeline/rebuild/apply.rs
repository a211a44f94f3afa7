//! Making a state of what was found: file after file, a slice in each turn.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;

use super::super::rounds::Outcome;
use super::super::{Announced, Copies, SOURCE};
use super::{Log, Pipeline, RETRY_MS, Subject, Trouble};
use crate::checkpoint::record::{BatchRecord, Fate};
use crate::config::model::PartitionBy;
use crate::log::{self, counted};
use crate::rebuild::marks::{Segment, segments};
use crate::source::past::Check;
use crate::source::slice::{self, Bound, Slice, SliceError, Take};
use crate::source::{Handle, interceptor};

/// Encoded bytes of a missing batch, at most and about.
pub(super) const BATCH_BYTES: usize = 512 * 1024;
/// What an event costs beside its body and headers, bytes.
pub(super) const EVENT_OVERHEAD: usize = 40;

/// Where it is.
#[derive(Default)]
pub(super) struct Apply {
    subject: usize,
    work: Option<Work>,
    /// Counts batches, for partitions in turn.
    turn: usize,
}

/// A file, and what is left to be done with it.
pub(super) struct Work {
    /// Id of its record, if something of it is in the topic.
    id: Option<u64>,
    pub(super) left: VecDeque<Segment>,
    /// Number of the next event.
    pub(super) event: u64,
    /// It is read as a whole, its last line too.
    pub(super) is_whole: bool,
    check: Option<Check>,
}

impl Apply {
    /// For the log.
    pub(super) fn text(&self, subjects: &[Subject]) -> String {
        format!("positions of file {} of {}", self.subject + 1, subjects.len())
    }
}

impl Pipeline {
    /// One turn. `true`: the state is made.
    pub(super) fn apply(
        &mut self,
        apply: &mut Apply,
        logs: &[Log],
        subjects: &[Subject],
    ) -> Result<bool, Trouble> {
        let Some(subject) = subjects.get(apply.subject) else { return Ok(true) };
        match &mut apply.work {
            None => {
                apply.work = self.begin_apply(subject)?;
                if apply.work.is_none() {
                    apply.subject += 1;
                }
            }
            Some(work) => {
                let handle = work.id.and_then(|id| self.files.handle_of(id));
                if work.id.is_some() && handle.is_none() {
                    return Err(Trouble::Changed(subject.past.found_as.clone()));
                }
                if let (Some(handle), Some(segment)) = (handle, work.left.pop_front()) {
                    let (whole, turn) = (segment.clone(), &mut apply.turn);
                    let left = self.apply_slice(handle, subject, segment, work, logs, turn);
                    // Who waits goes on with it.
                    if let Some(left) = left.as_ref().map_or(Some(&whole), Option::as_ref) {
                        work.left.push_front(left.clone());
                    }
                    left?;
                } else if self.is_as_compared(subject, work, handle)? {
                    if let Some(handle) = handle {
                        self.files.settle_past(handle);
                    }
                    (apply.work, apply.subject) = (None, apply.subject + 1);
                }
            }
        }
        Ok(false)
    }

    /// Was the file read to its end, and does it still hold what was compared?
    ///
    /// # Errors
    /// `Changed`: it was overwritten meanwhile. `File`.
    fn is_as_compared(
        &mut self,
        subject: &Subject,
        work: &mut Work,
        handle: Option<Handle>,
    ) -> Result<bool, Trouble> {
        let failed = |e| Trouble::File(subject.past.found_as.clone(), e);
        let mut check = match work.check.take() {
            Some(check) => check,
            None => match self.files.check_past(&subject.past, handle).map_err(failed)? {
                Some(check) => check,
                // Nothing of it is in the topic: it took no record from others either.
                None => return Ok(true),
            },
        };
        let crc = check.read_on(subject.end).map_err(failed)?;
        work.check = Some(check);
        match crc {
            Some(crc) if crc != subject.crc => Err(Trouble::Changed(subject.past.found_as.clone())),
            crc => Ok(crc.is_some()),
        }
    }

    /// `None`: a finished file of which nothing is to be done.
    fn begin_apply(&mut self, subject: &Subject) -> Result<Option<Work>, Trouble> {
        let past = &subject.past;
        // Of a channel that nothing of the file is for nothing is missing.
        let of_channels = subject.marks.iter().zip(&subject.expected).filter(|(_, n)| **n > 0);
        let ends: Option<Vec<u64>> = of_channels.map(|(marks, _)| marks.end_of_there()).collect();
        let Some(ends) = ends else { return Ok(None) };
        let most = ends.iter().copied().max().unwrap_or(0).min(subject.events);
        let is_complete = past.is_finished && ends.iter().all(|end| *end >= subject.events);
        self.tell_found(subject, is_complete);
        if is_complete || past.is_finished && most == 0 {
            return Ok(None);
        }
        if most == 0 {
            let left = VecDeque::new();
            return Ok(Some(Work { id: None, left, event: 0, is_whole: false, check: None }));
        }
        let tracked = self.files.track_past(past);
        let handle = match tracked.map_err(|e| Trouble::File(past.found_as.clone(), e))? {
            Some(handle) => handle,
            None => return Err(Trouble::Changed(past.found_as.clone())),
        };
        let record = &mut self.files.at_mut(handle).record;
        record.ranges.clone_from(&subject.ranges);
        let marks: Vec<_> = subject.marks.iter().collect();
        let left = match self.router {
            // What is lacking is told by each event's headers.
            Some(_) => VecDeque::from([Segment { events: most, lacking: Vec::new() }]),
            None => segments(&marks, most).into(),
        };
        let is_whole = past.is_ended && most == subject.events;
        Ok(Some(Work { id: Some(record.id), left, event: 0, is_whole, check: None }))
    }

    fn tell_found(&self, subject: &Subject, is_complete: bool) {
        if is_complete || subject.events == 0 {
            return;
        }
        let of_channels = subject.marks.iter().zip(&subject.expected);
        for (outlet, (marks, expected)) in self.outlets.iter().zip(of_channels) {
            if *expected == 0 {
                continue;
            }
            let there = marks.count(subject.events).min(*expected);
            self.files.tell_past(
                &subject.past.found_as,
                format_args!(
                    "{there} of {} in topic {}; the rest is sent.",
                    counted(*expected, "event"),
                    outlet.config.topic
                ),
            );
            let undecided = marks.undecided();
            if undecided > 0 {
                log::warn(
                    SOURCE,
                    format_args!(
                        "{}: {} with values that records of others in topic {} have as well. Whether \
                         theirs are among them cannot be decided: they are sent, perhaps once more.",
                        self.files.path(&subject.past.found_as).display(),
                        counted(undecided, "event"),
                        outlet.config.topic
                    ),
                );
            }
        }
    }

    /// Returns what is left of the segment.
    fn apply_slice(
        &mut self,
        handle: Handle,
        subject: &Subject,
        segment: Segment,
        work: &mut Work,
        logs: &[Log],
        turn: &mut usize,
    ) -> Result<Option<Segment>, Trouble> {
        if self.files.at(handle).giant_scanned.is_some() {
            if self.pass_giant(handle, subject.past.is_ended)? == Outcome::Later {
                self.retry_at_ms = self.clock.monotonic_ms() + RETRY_MS;
            }
            return Ok(Some(segment));
        }
        if let Some(router) = self.router.clone() {
            return self.apply_run(&router, (handle, subject), segment, work, logs, turn);
        }
        let is_missing = !segment.lacking.is_empty();
        let bytes_max = if is_missing { BATCH_BYTES } else { usize::MAX };
        let is_last = work.left.is_empty() && work.is_whole;
        let bound = subject.past.bound(self.files.at(handle).read_position, is_last);
        let (slice, events) = match self.read_segment(handle, segment.events, bytes_max, bound) {
            Ok(read) => read,
            Err(e) => return self.unread(handle, subject, e).map(|()| Some(segment)),
        };
        if slice.end == slice.start {
            return Err(Trouble::Changed(subject.past.found_as.clone()));
        }
        let left = segment.events - u64::from(events);
        let is_final = self.is_final(handle, slice.end, bound, is_last && left == 0);
        let partitions = self.partitions(subject, &segment.lacking, work.event, logs, *turn);
        *turn += usize::from(is_missing);
        work.event += u64::from(events);
        self.push_segment(handle, &slice, events, is_final, &partitions);
        self.fold();
        Ok((left > 0).then_some(Segment { events: left, ..segment }))
    }

    /// A part of the file could not be read. `Ok`: a giant line has to be passed first.
    pub(super) fn unread(
        &mut self,
        handle: Handle,
        subject: &Subject,
        error: SliceError,
    ) -> Result<(), Trouble> {
        let name = || subject.past.found_as.clone();
        match error {
            SliceError::Giant => {
                self.files.begin_giant(handle);
                Ok(())
            }
            SliceError::Io(e) => Err(Trouble::File(name(), e)),
            SliceError::Malformed { .. } | SliceError::Changed => Err(Trouble::Changed(name())),
        }
    }

    fn read_segment(
        &mut self,
        handle: Handle,
        events_max: u64,
        bytes_max: usize,
        bound: Bound,
    ) -> Result<(Slice, u32), SliceError> {
        let event_bytes = self.headers(handle, 0).len() + EVENT_OVERHEAD;
        let has_filter = interceptor::filters(&self.interceptors);
        let (interceptors, files) = (&self.interceptors, &mut self.files);
        let (window, tracked) = files.to_read(handle);
        let start = tracked.read_position;
        let (mut events, mut bytes) = (0u32, 0usize);
        let slice = slice::read(window, tracked, start, bound, |body, _| {
            if has_filter && !interceptor::keeps(interceptors, body) {
                return Take::More;
            }
            events += 1;
            bytes += body.len() + event_bytes;
            let is_enough = u64::from(events) >= events_max || bytes >= bytes_max;
            if is_enough { Take::Enough } else { Take::More }
        })?;
        Ok((slice, events))
    }

    /// Is what a slice ends with all there is of its line? `is_last`: no event is left behind it.
    pub(super) fn is_final(&self, handle: Handle, end: u64, bound: Bound, is_last: bool) -> bool {
        let file = &self.files.at(handle).file;
        let is_at_end = || file.metadata().is_ok_and(|stat| stat.len() == end);
        bound == Bound::Until(end) || is_last && is_at_end()
    }

    /// Where the missing events from `event` on go: channels and partitions.
    fn partitions(
        &self,
        subject: &Subject,
        lacking: &[u16],
        event: u64,
        logs: &[Log],
        turn: usize,
    ) -> Vec<(u16, i32)> {
        let choose = |channel: &u16| {
            let at = usize::from(*channel);
            let config = &self.outlets[at].config;
            let all: Vec<i32> = logs[at].spans.iter().map(|span| span.partition).collect();
            let turn = match config.partition_by {
                PartitionBy::File => crc32fast::hash(subject.past.name.as_bytes()) as usize,
                PartitionBy::Transaction => turn,
            };
            let chosen = match config.default_partition {
                Some(fixed) => Some(fixed),
                None => subject.marks[at].suitable(event, &all, turn),
            };
            (*channel, chosen.unwrap_or(0))
        };
        lacking.iter().map(choose).collect()
    }

    /// Announces a slice: for the channels of `missing`, with their partitions, or as one that is
    /// acknowledged.
    fn push_segment(
        &mut self,
        handle: Handle,
        slice: &Slice,
        events: u32,
        is_final: bool,
        missing: &[(u16, i32)],
    ) {
        let base = BatchRecord {
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: events,
            file: self.files.at(handle).record.id,
            start: slice.start,
            end: slice.end,
            lines: slice.lines,
            bytes_crc: slice.bytes_crc,
            tail_crc: slice.tail.crc(),
            stamp_ms: self.clock.now_ms(),
            is_final,
            ..BatchRecord::default()
        };
        self.files.announced(handle, slice, is_final);
        let announced = |record| Announced::new(record, None, 0, Copies::Any);
        if missing.is_empty() || events == 0 {
            self.announced.push(announced(BatchRecord { fate: Fate::Nowhere, ..base }));
            return;
        }
        for &(channel, partition) in missing {
            self.announced.push(announced(BatchRecord { channel, partition, ..base.clone() }));
        }
    }
}
