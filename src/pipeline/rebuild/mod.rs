//! The state is lost: what is in the topic is read back, and a state is made of it as the last run
//! might have left it.
//!
//! 1. *Settle*: the last run's requests may still be under way, and nothing fences a producer
//!    whose id is not known. So the topic's ends count only after the time in which a copy would
//!    have shown (see [`super::recovery`]).
//! 2. *Compare* ([`compare`]): which events of which files are in the topic, for each channel.
//! 3. *Apply* ([`apply`]): what is there counts as acknowledged; what is missing before something
//!    that is there is announced; what is behind is read as usual. Where headers choose channels or
//!    partitions, each event is looked for where it goes ([`divide`]).
//!
//! Recovery then gives an identity to what was announced, commits, and sends it. Until every
//! channel has done so a marker stands in the tracker directory ([`super::marker`]), and a start
//! begins with the topic again: there is nothing on the disk to be trusted before.
//!
//! A turn of the loop reads one answer of a broker, or one slice of a file.

mod apply;
mod compare;
mod divide;

use std::ffi::OsString;
use std::io;

use super::recovery::{LOOK_AGAIN_MS, Pause, REPLICA_LAG_MS, SETTLE_SINGLE_MS};
use super::room::Halt;
use super::{CHANNEL, Fatal, Pace, Pipeline, REST_MS, SOURCE, marker};
use crate::channel::broker::Fault;
use crate::channel::outlet::DoubtIdentity;
use crate::channel::reader::History;
use crate::checkpoint::record::{LettersKnown, OffsetRange};
use crate::checkpoint::room;
use crate::clock::Backoff;
use crate::log::{self, counted};
use crate::rebuild::Marks;
use crate::source::past::PastFile;
use apply::Apply;
use compare::Compare;

/// Waits after a file or directory that cannot be read, ms.
const RETRY_MS: u64 = 4_000;

/// How often the log says how far it is, ms.
const TELL_MS: u64 = 10_000;

/// Memory for the table of values, bytes.
const TABLE_BYTES: usize = 64 << 20;

/// How far the topic is read back.
pub(super) struct Rebuild {
    stage: Stage,
    /// One for each channel.
    logs: Vec<Log>,
    subjects: Vec<Subject>,
    told_ms: u64,
}

enum Stage {
    Settle,
    Compare(Box<Compare>),
    Apply(Apply),
}

/// The topic of a channel.
#[derive(Default)]
struct Log {
    history: Option<Box<dyn History>>,
    spans: Vec<Span>,
    /// Monotonic time of the first of an unbroken row of answers.
    since_ms: Option<u64>,
    is_settled: bool,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy)]
struct Span {
    partition: i32,
    first: i64,
    end: i64,
}

/// A file, and what was found out about it.
struct Subject {
    past: PastFile,
    events: u64,
    /// Where the last of them ends, or what is no event behind it, and the CRC-32 of all before.
    end: u64,
    crc: u32,
    /// One for each channel.
    marks: Vec<Marks>,
    /// Events that are for each channel.
    expected: Vec<u64>,
    ranges: Vec<OffsetRange>,
}

/// Why it does not go on now.
enum Trouble {
    Wait(u64),
    /// The brokers of a channel.
    Broker(usize, Fault),
    File(OsString, io::Error),
    /// A file went away, or became another, while it was read: all counts are to be taken anew.
    Changed(OsString),
    /// The topic of a channel has more partitions by now than were compared.
    Grown(usize),
    Fatal(Fatal),
}

/// There is no other way to halt: nothing is committed before all is read back. The half of a state may not come
/// to the disk, nor be waited for where that has no room.
impl From<Fatal> for Trouble {
    fn from(fatal: Fatal) -> Trouble {
        Trouble::Fatal(fatal)
    }
}

impl Rebuild {
    pub(super) fn new(channels: usize) -> Rebuild {
        Rebuild {
            stage: Stage::Settle,
            logs: (0..channels).map(|_| Log::default()).collect(),
            subjects: Vec::new(),
            told_ms: 0,
        }
    }
}

impl Pipeline {
    /// One turn of it.
    pub(super) fn step_rebuild(&mut self) -> Result<Pace, Halt> {
        let now_ms = self.clock.monotonic_ms();
        if self.is_stopping {
            return Ok(Pace::Rest(REST_MS));
        }
        if now_ms < self.retry_at_ms {
            return Ok(Pace::Rest(self.retry_at_ms - now_ms));
        }
        let Some(mut rebuild) = self.rebuild.take() else { return Ok(Pace::Again) };
        let result = match &mut rebuild.stage {
            Stage::Settle => self.settle_logs(&mut rebuild.logs),
            Stage::Compare(compare) => {
                self.compare(compare, &mut rebuild.logs, &mut rebuild.subjects)
            }
            Stage::Apply(apply) => self.apply(apply, &rebuild.logs, &rebuild.subjects),
        };
        match result {
            Ok(false) => {
                self.tell_rebuild(&mut rebuild);
                self.rebuild = Some(rebuild);
                Ok(Pace::Again)
            }
            Ok(true) => self.next_stage(rebuild),
            Err(trouble) => self.wait_for_rebuild(rebuild, trouble),
        }
    }

    fn next_stage(&mut self, mut rebuild: Rebuild) -> Result<Pace, Halt> {
        rebuild.stage = match rebuild.stage {
            Stage::Settle => {
                let past = match self.files.past() {
                    Ok(past) => past,
                    Err(e) => {
                        let dir = self.config.spool_dir.clone().into_os_string();
                        return self.wait_for_rebuild(rebuild, Trouble::File(dir, e));
                    }
                };
                rebuild.subjects = past.into_iter().map(|p| self.subject(p)).collect();
                self.tell_begin(&rebuild);
                Stage::Compare(Box::new(Compare::new()))
            }
            Stage::Compare(_) => Stage::Apply(Apply::default()),
            Stage::Apply(_) => {
                self.end_rebuild(&rebuild);
                return Ok(Pace::Again);
            }
        };
        self.rebuild = Some(rebuild);
        Ok(Pace::Again)
    }

    fn subject(&self, past: PastFile) -> Subject {
        let marks = |_| if past.is_finished { Marks::end() } else { Marks::each() };
        let marks = (0..self.outlets.len()).map(marks).collect();
        let expected = vec![0; self.outlets.len()];
        Subject { past, events: 0, end: 0, crc: 0, marks, expected, ranges: Vec::new() }
    }

    fn tell_begin(&self, rebuild: &Rebuild) {
        let records = |log: &Log| log.spans.iter().map(|s| s.end - s.first).sum::<i64>();
        for (outlet, log) in self.outlets.iter().zip(&rebuild.logs) {
            log::info(
                SOURCE,
                format_args!(
                    "The positions are lost; reading topic {} back ({} in {}) to compare it with {} in {}.",
                    outlet.config.topic,
                    counted(records(log).unsigned_abs(), "record"),
                    counted(log.spans.len() as u64, "partition"),
                    counted(rebuild.subjects.len() as u64, "file"),
                    self.config.spool_dir.display()
                ),
            );
            for span in log.spans.iter().filter(|span| span.first > 0) {
                log::warn(
                    CHANNEL,
                    format_args!(
                        "Partition {} of {} begins at offset {}: what stood before cannot be seen. \
                         Lines of the files that are not behind it are sent, perhaps once more.",
                        span.partition, outlet.config.topic, span.first
                    ),
                );
            }
        }
    }

    /// Nothing of this run is on its way, and what the last one had sent has had its time.
    fn settle_logs(&mut self, logs: &mut [Log]) -> Result<bool, Trouble> {
        let mut wait_ms = None;
        for at in 0..logs.len() {
            if logs[at].is_settled {
                continue;
            }
            let asked_ms = self.clock.monotonic_ms();
            let (spans, replicas) = match self.ask_spans(at, &mut logs[at]) {
                Ok(answer) => answer,
                Err(fault) => {
                    logs.iter_mut().filter(|l| !l.is_settled).for_each(|l| l.since_ms = None);
                    return Err(Trouble::Broker(at, fault));
                }
            };
            let now_ms = self.clock.monotonic_ms();
            let log = &mut logs[at];
            log.spans = spans;
            // One that took its time to answer may have been frozen, with requests in its queues.
            if now_ms - asked_ms > LOOK_AGAIN_MS {
                log.since_ms = None;
            }
            let settle_ms = match replicas {
                0 | 1 => SETTLE_SINGLE_MS,
                _ => u64::from(self.outlets[at].config.request_timeout_ms) + REPLICA_LAG_MS,
            };
            let waited_ms = now_ms - *log.since_ms.get_or_insert(now_ms);
            log.is_settled = waited_ms >= settle_ms;
            if !log.is_settled {
                let left_ms = (settle_ms - waited_ms).min(LOOK_AGAIN_MS);
                wait_ms = Some(wait_ms.map_or(left_ms, |ms: u64| ms.min(left_ms)));
            }
        }
        wait_ms.map_or(Ok(true), |ms| Err(Trouble::Wait(ms)))
    }

    fn ask_spans(&mut self, at: usize, log: &mut Log) -> Result<(Vec<Span>, usize), Fault> {
        let mut history = match log.history.take() {
            Some(history) => history,
            None => self.outlets[at].broker.history()?,
        };
        let mut spans = Vec::new();
        for partition in history.partitions().to_vec() {
            let (first, end) = history.bounds(partition)?;
            spans.push(Span { partition, first, end });
        }
        let replicas = history.replicas();
        log.history = Some(history);
        Ok((spans, replicas))
    }

    fn tell_rebuild(&self, rebuild: &mut Rebuild) {
        let now_ms = self.clock.monotonic_ms();
        if rebuild.told_ms == 0 {
            rebuild.told_ms = now_ms;
        }
        if now_ms - rebuild.told_ms < TELL_MS {
            return;
        }
        rebuild.told_ms = now_ms;
        let (logs, subjects) = (&rebuild.logs, &rebuild.subjects);
        let what = match &rebuild.stage {
            Stage::Settle => return,
            Stage::Compare(compare) => self.compare_text(compare, logs, subjects),
            Stage::Apply(apply) => apply.text(subjects),
        };
        log::info(SOURCE, format_args!("Reading the positions back from the topic: {what}."));
    }

    fn wait_for_rebuild(&mut self, rebuild: Rebuild, trouble: Trouble) -> Result<Pace, Halt> {
        let now_ms = self.clock.monotonic_ms();
        match trouble {
            Trouble::Fatal(fatal) => return Err(fatal.into()),
            Trouble::Wait(ms) => {
                self.rebuild = Some(rebuild);
                self.retry_at_ms = now_ms + ms;
                return Ok(Pace::Rest(ms));
            }
            Trouble::Broker(at, fault) => {
                self.rebuild = Some(rebuild);
                let pace = self.back_off(at, &fault);
                if let Pace::Rest(ms) = pace {
                    self.retry_at_ms = now_ms + ms;
                }
                return Ok(pace);
            }
            Trouble::File(name, e) => {
                let path = self.files.path(&name).display().to_string();
                if self.repeats.is_due(&path, &e.to_string(), now_ms) {
                    log::warn(
                        SOURCE,
                        format_args!(
                            "Cannot read {path}: {e}. Without it the positions cannot be read back; \
                             next try in {RETRY_MS} milliseconds."
                        ),
                    );
                }
            }
            Trouble::Grown(at) => {
                let topic = &self.outlets[at].config.topic;
                log::info(
                    CHANNEL,
                    format_args!(
                        "Topic {topic} has got partitions while it was compared with the files; beginning \
                         again."
                    ),
                );
            }
            Trouble::Changed(name) => {
                log::info(
                    SOURCE,
                    format_args!(
                        "{} went away or was overwritten while it was compared with the topic; \
                         beginning again.",
                        self.files.path(&name).display()
                    ),
                );
            }
        }
        // Nothing was written down or sent.
        self.files.forget_past();
        self.announced.clear();
        // Those that were claimed may come up again.
        self.inherit_letters(LettersKnown::NOTHING);
        self.rebuild = Some(Rebuild::new(self.outlets.len()));
        self.retry_at_ms = now_ms + RETRY_MS;
        Ok(Pace::Rest(RETRY_MS))
    }

    /// From here on everything is as after a start with a checkpoint.
    fn end_rebuild(&mut self, rebuild: &Rebuild) {
        for (outlet, log) in self.outlets.iter_mut().zip(&rebuild.logs) {
            outlet.doubt_identity = DoubtIdentity::Missing;
            outlet.backoff = Backoff::default();
            for span in &log.spans {
                outlet.partition(span.partition).floor_offset = span.end;
            }
        }
        self.is_rebuilt = true;
        self.is_dirty = true;
        log::info(
            SOURCE,
            format_args!(
                "The positions were read back from the topic: {} under way, {} to send that it lacks.",
                counted(self.files.records().count() as u64, "file"),
                counted(self.in_doubt() as u64, "batch")
            ),
        );
    }

    /// What was announced by a rebuild gets an identity; nothing of it was ever sent.
    pub(super) fn identify_rebuilt(&mut self, at: usize) -> Result<(), Pause> {
        // Both before anything is changed: this is done again until they are there.
        let identity = self.fresh_identity(at)?;
        let ends = self.ends(at)?;
        self.outlets[at].take_identity(identity);
        for n in self.doubts(at) {
            self.rename(at, n)?;
            // There may be many: each is encoded again when its turn comes.
            if let Some(batch) = self.announced[n].encoded.take() {
                self.outlets[at].give_back(batch);
            }
        }
        self.set_floors(at, &ends);
        self.commit()?;
        self.outlets[at].doubt_identity = DoubtIdentity::Ours;
        Ok(())
    }

    /// Every channel has its identities: the checkpoint tells all from now on. `Some`: the marker
    /// cannot be removed now, for lack of a descriptor perhaps; so long, ms, nothing is sent. Should
    /// it stay all the same, the next start reads the topic back, and repeats nothing.
    pub(super) fn trust_rebuilt(&mut self) -> Result<Option<u64>, Halt> {
        let now_ms = self.clock.monotonic_ms();
        if now_ms < self.retry_at_ms {
            return Ok(Some(self.retry_at_ms - now_ms));
        }
        self.commit()?;
        let dir = &self.config.tracker_dir;
        if let Err(e) = marker::remove(dir) {
            let path = dir.join(marker::FILE_NAME);
            log::warn(
                SOURCE,
                format_args!(
                    "Cannot remove {}: {e}{}. As long as it is there, each start reads the topic \
                     back, and nothing is sent; next try in {RETRY_MS} milliseconds.",
                    path.display(),
                    room::way_out(&e)
                ),
            );
            self.retry_at_ms = now_ms + RETRY_MS;
            return Ok(Some(RETRY_MS));
        }
        self.is_rebuilt = false;
        Ok(None)
    }
}
