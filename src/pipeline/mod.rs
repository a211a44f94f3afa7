//! One source and its channels: the loop's body.
//!
//! A pipeline reads *slices* (runs of whole events of one file), turns each into a batch for every
//! channel, announces the batches in the checkpoint, sends them, and moves a file's position
//! forward once every channel has acknowledged what stands before it. The order is the argument:
//! nothing is sent that is not announced in an fsynced record, nothing is announced twice, and
//! after any doubt [`recovery`] looks before it sends.

mod added;
mod announced;
mod answers;
mod buried;
mod copies;
mod doubt;
mod foreign;
mod former;
pub(crate) mod handover;
mod leaders;
mod left;
pub mod marker;
mod moved;
mod news;
pub mod once;
mod optional;
pub(crate) mod plan;
mod positions;
mod rebuild;
mod recalled;
mod recovery;
mod removed;
mod reshape;
mod room;
mod rounds;
mod routed;
mod routes;
mod rules;
mod sending;
mod settle;
mod start;
mod survey;
mod throttle;
mod told;
mod topics;

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use crate::channel::batch::Batch;
use crate::channel::broker::Fault;
use crate::channel::limit::BatchLimit;
use crate::channel::outlet::{Absence, Demand, DoubtIdentity, Outlet, Stage};
use crate::channel::sasl::tries;
use crate::checkpoint::ledger::Ledger;
use crate::checkpoint::lock::Place;
use crate::checkpoint::record::{FileRecord, Record};
use crate::checkpoint::slots::WriteError;
use crate::clock::{Backoff, Clock};
use crate::config::model::SourceConfig;
use crate::histogram::Histogram;
use crate::log::{self, About, Level, Repeats, counted};
use crate::source::Files;
use crate::source::interceptor::Interceptor;
use crate::source::owed::Owed;
use announced::Announcements;
use doubt::{Announced, Copies, add_range, combine_crc, mark, merge_range};
use news::Learnt;
use positions::Positions;
use rebuild::Rebuild;
use recalled::Recalled;
use room::{Halt, Unwritten};
use sending::Flights;
use settle::Settling;

pub use left::{left_topics, without_place};
pub use plan::{Begin, Predecessor, StartError};
pub(crate) use routes::{Choice, Router, partition_of};
pub use start::{Connect, Inheritance, Startup, inherit};

/// Class names in log lines, as Flume's.
pub const SOURCE: &str = "source.SpoolDirectoryTailFileSource";
pub const CHANNEL: &str = "kafka.KafkaChannel";

/// Acks that no round follows are committed after this time, ms. A crash before that costs a look
/// at the next start, nothing else.
const COMMIT_IDLE_MS: u64 = 200;

/// The longest and the shortest rest, ms; sockets and change notices end a rest earlier.
const REST_MS: u64 = 500;
const REST_MS_MIN: u64 = 10;

/// The durable place of the state. After a failure that is final the writer must not be used again.
pub trait Journal {
    /// Writes `record` with `files` as its files, durably.
    fn write(&mut self, record: &mut Record, files: &[&FileRecord]) -> Result<(), WriteError>;

    /// Is what was written still under its name?
    fn place(&self) -> Place {
        Place::Held
    }

    /// Device and inode of the file that it is in.
    fn identity(&self) -> Option<(u64, u64)> {
        None
    }
}

/// What is told of acknowledged events (the sinks).
pub trait Observer {
    /// `count` events of channel `channel` are in the topic; `batch` is there unless they were
    /// sent by an earlier run.
    fn acked(&mut self, channel: usize, count: u64, batch: Option<&Batch>);
}

/// Ends the agent. Each says what happened and what to do.
#[derive(Debug)]
pub enum Fatal {
    /// Exit code 70: going on would break the promise.
    Broken(String),
    /// Exit code 70, too: our own state cannot be written.
    State(String),
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fatal::Broken(why) | Fatal::State(why) => f.write_str(why),
        }
    }
}

/// When the pipeline wants its next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// There is more to do at once.
    Again,
    /// Nothing to do for so many milliseconds, unless a file or a socket stirs.
    Rest(u64),
}

impl Pace {
    /// What suits both.
    pub fn sooner(self, other: Pace) -> Pace {
        match (self, other) {
            (Pace::Rest(one), Pace::Rest(two)) => Pace::Rest(one.min(two)),
            _ => Pace::Again,
        }
    }
}

/// Counts for Flume's closing lines.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counters {
    pub events_received: u64,
    pub events_accepted: u64,
    pub batches_received: u64,
    pub batches_accepted: u64,
    /// Bytes and lines of the files that every channel has, filtered ones among them.
    pub bytes_passed: u64,
    pub lines_passed: u64,
}

/// A source, its channels, and what is under way between them.
pub struct Pipeline {
    pub config: Rc<SourceConfig>,
    clock: Rc<dyn Clock>,
    files: Files,
    outlets: Vec<Outlet>,
    announced: Announcements,
    journal: Box<dyn Journal>,
    ledger: Box<dyn Ledger>,
    interceptors: Arc<[Interceptor]>,
    /// Where headers decide which events go where.
    router: Option<Rc<Router>>,
    /// Makes the brokers of topics that come up.
    connect: Connect,
    topics_max: usize,
    agent: String,
    /// Reused for each write.
    record: Record,
    /// As of the last answers, and the last commit.
    flights: Flights,
    /// Number of the round that is being filled, counted from 1.
    round: u64,
    /// Something was acked or changed that the last written record does not say.
    is_dirty: bool,
    learnt: Learnt,
    /// There was no room for the state; until there is, nothing else is done.
    unwritten: Option<Unwritten>,
    last_ack_ms: u64,
    is_stopping: bool,
    /// A little of the present file waits for the answer to what went before it.
    awaits_answer: bool,
    /// Monotonic time at which the group that is being filled goes out. `u64::MAX`: when it is full.
    fills_until_ms: u64,
    settling: Settling,
    /// Monotonic time before which receipts are not tried again.
    ledger_retry_ms: u64,
    /// Nothing is known but what the topic tells, which is being read.
    rebuild: Option<Rebuild>,
    /// It was read, and the first checkpoint since is not trusted yet.
    is_rebuilt: bool,
    recalled: Recalled,
    /// Monotonic time before which that is not gone on with.
    retry_at_ms: u64,
    positions: Positions,
    /// What the files held when a run began that is to end by itself.
    owed: Option<Owed>,
    pub counters: Counters,
    /// Times from the write of a line to its acknowledgement: of files of their own hour, and of others.
    pub delivery: [Histogram; 2],
    repeats: Repeats,
}

impl Pipeline {
    /// One turn of the loop.
    pub fn step(&mut self, observer: &mut dyn Observer) -> Result<Pace, Fatal> {
        match self.turn(observer) {
            Ok(pace) => Ok(pace),
            Err(Halt::NoRoom(error)) => Ok(self.wait_for_room(&error)),
            Err(Halt::Fatal(fatal)) => Err(fatal),
        }
    }

    fn turn(&mut self, observer: &mut dyn Observer) -> Result<Pace, Halt> {
        self.awaits_answer = false;
        if let Some(unwritten) = self.unwritten {
            return self.owe_state(unwritten, observer);
        }
        if self.rebuild.is_some() {
            return self.step_rebuild();
        }
        self.keep_positions(false);
        self.files.refresh(false);
        self.files.sweep();
        self.recognise();
        self.receive(observer);
        self.survey();
        self.tell_throttles();
        self.fold();
        self.send_ready();
        self.tend_optional(observer)?;
        let wanted = self.tend_topics(observer)?;
        if !self.is_connected() {
            let has_more = self.renew_receipts()?;
            self.keep_news()?;
            let pace = self.reconnect(observer)?;
            return Ok(if has_more { Pace::Again } else { pace });
        }
        self.files.forget_renewed();
        if self.is_rebuilt
            && let Some(ms) = self.trust_rebuilt()?
        {
            return Ok(Pace::Rest(ms.min(REST_MS)));
        }
        if !self.is_stopping && self.send_rounds()? {
            return Ok(Pace::Again);
        }
        if !self.is_stopping && self.settle()? {
            return Ok(Pace::Again);
        }
        Ok(self.commit_if_idle()?.sooner(wanted))
    }

    /// Writes the whole state to another place.
    pub fn renew_state(
        &mut self,
        journal: Box<dyn Journal>,
        mut ledger: Box<dyn Ledger>,
    ) -> Result<(), WriteError> {
        // As at a start: half a letter may stand there, and letters that no record knows of.
        ledger.inherit_letters(self.ledger.letters_known());
        (self.journal, self.ledger) = (journal, ledger);
        self.write_state()
    }

    /// The kernel says that the file of that name was written to.
    pub fn notice(&mut self, name: &OsStr) {
        self.files.notice(name);
    }

    /// Does the kernel tell of each change in the directories, and were notices lost since the last call?
    pub fn trust_notices(&mut self, is_told: bool, are_lost: bool) {
        self.files.trust_notices(is_told, are_lost);
    }

    /// Lists the directory now, whatever is known of it.
    pub fn list_now(&mut self) {
        self.files.refresh(true);
    }

    /// Limits how many files are open, and how many bytes a round has, from now on.
    pub fn limit(&mut self, open_max: Option<usize>, round_bytes: usize) {
        if let Some(most) = open_max {
            self.files.open_at_most(most);
        }
        for outlet in &mut self.outlets {
            outlet.round_limit = BatchLimit::new(round_bytes);
            let bytes = outlet.batch_limit.bytes().min(round_bytes);
            outlet.batch_limit = BatchLimit::new(bytes);
        }
    }

    /// Nothing of what was announced was ever sent.
    pub(crate) fn none_was_sent(&mut self) {
        let missing = |outlet: &mut Outlet| outlet.doubt_identity = DoubtIdentity::Missing;
        self.outlets.iter_mut().for_each(missing);
    }

    /// From now on nothing new is read.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// It is not the end after all.
    pub fn go_on(&mut self) {
        self.is_stopping = false;
    }

    /// Is the topic being read back, since nothing else tells what was sent?
    pub fn is_rebuilding(&self) -> bool {
        self.rebuild.is_some()
    }

    /// Is nothing under way any more? What waits for a leader is not.
    pub fn is_idle(&self) -> bool {
        !self.announced.iter().any(|a| self.is_under_way(a))
    }

    /// Is the next turn best when an answer has come? What files do until then changes nothing.
    pub fn awaits_answer(&self) -> bool {
        self.awaits_answer
    }

    /// The last write before a clean end. Without room for it the next start finds the record
    /// before, and in the topic what has come there since.
    pub fn close(&mut self) -> Result<(), Fatal> {
        self.fold();
        self.take_news();
        if !self.is_unwritten() {
            self.keep_positions(true);
            return Ok(());
        }
        match self.commit() {
            Err(Halt::Fatal(fatal)) => Err(fatal),
            Err(Halt::NoRoom(error)) => {
                log::warn(SOURCE, format_args!("Source {}: {error}.", self.config.name));
                Ok(())
            }
            Ok(()) => {
                self.keep_positions(true);
                Ok(())
            }
        }
    }

    /// Are all channels open that something waits for?
    pub fn is_connected(&self) -> bool {
        !self.outlets.iter().any(Outlet::is_waited_for)
    }

    /// Descriptors whose stir makes a turn worth while, with whether room to write is waited for.
    pub fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        // What a channel that is closed may have left stirs for nobody.
        let is_closed = |o: &&Outlet| matches!(o.stage, Stage::Closed { .. });
        let outlets = self.outlets.iter().filter(|o| !is_closed(o));
        outlets.for_each(|outlet| outlet.broker.descriptors(add));
    }

    /// A connection on which nothing was under way was closed. What stands behind the address now
    /// is compared with the record like at a start.
    fn reopen(&mut self, outlet: usize, why: &str) {
        let now_ms = self.clock.monotonic_ms();
        let outlet = &mut self.outlets[outlet];
        let (name, topic) = (&outlet.config.name, &outlet.config.topic);
        let then = match outlet.demand {
            None => "reopening it",
            Some(_) => "it is opened again when an event names it",
        };
        log::info(CHANNEL, format_args!("Channel {name} (topic {topic}): {why}; {then}."));
        outlet.close(now_ms);
        outlet.absence = Absence::Unknown;
    }

    /// Something came of which it is not known what it means for the batches under way.
    fn distrust(&mut self, outlet: usize, why: &str) {
        let now_ms = self.clock.monotonic_ms();
        let in_doubt = self
            .announced
            .iter()
            .filter(|a| a.record.fate.is_in_doubt() && usize::from(a.record.channel) == outlet)
            .count();
        let outlet = &mut self.outlets[outlet];
        log::log_about(
            Level::Warn,
            CHANNEL,
            &About { topic: Some(&outlet.config.topic), ..About::default() },
            format_args!(
                "Channel {} (topic {}): {why}; {} in doubt, looking in the topic.",
                outlet.config.name,
                outlet.config.topic,
                counted(in_doubt as u64, "batch")
            ),
        );
        outlet.close(now_ms);
        outlet.absence = Absence::Unknown;
    }

    /// Goes on comparing files whose names or numbers do not tell what they are.
    fn recognise(&mut self) {
        let announced = &self.announced;
        self.files.recognise(|id| start::reached(announced, id));
        self.take_news();
    }

    /// Writes the whole state, durably.
    fn commit(&mut self) -> Result<(), Halt> {
        Ok(self.write_state()?)
    }

    fn write_state(&mut self) -> Result<(), WriteError> {
        // Until it is written.
        self.is_dirty = true;
        self.take_over_ranges();
        self.forget_foreign();
        self.forget_former_logs();
        let record = &mut self.record;
        record.agent.clone_from(&self.agent);
        record.source.clone_from(&self.config.name);
        record.next_file_id = self.files.next_file_id();
        record.receipts_void = self.files.receipts_void();
        record.letters_known = self.ledger.letters_known();
        record.names_from.clear();
        record.names_from.extend_from_slice(self.files.names_from());
        record.channels.clear();
        record.channels.extend(self.outlets.iter().map(|o| o.record.clone()));
        record.batches.clear();
        record.batches.extend(self.announced.iter().map(|a| a.record.clone()));
        let files: Vec<&FileRecord> = self.files.records().collect();
        self.journal.write(record, &files)?;
        for (announced, written) in self.announced.iter_mut().zip(&record.batches) {
            announced.on_disk = Some(written.clone());
        }
        self.is_dirty = false;
        self.learnt.note_written();
        Ok(())
    }

    fn commit_if_idle(&mut self) -> Result<Pace, Halt> {
        let now_ms = self.clock.monotonic_ms();
        let idle_ms = now_ms - self.last_ack_ms;
        if self.is_idle() {
            self.forget_recalled();
        }
        if self.is_unwritten() && self.is_idle() && idle_ms >= COMMIT_IDLE_MS {
            self.commit()?;
            self.files.give_back_memory();
        }
        if self.is_unwritten() && self.is_idle() {
            return Ok(Pace::Rest(COMMIT_IDLE_MS.saturating_sub(idle_ms).max(1)));
        }
        if self.files.is_sweeping() || self.files.is_comparing() {
            return Ok(Pace::Again);
        }
        let most_ms = if self.awaits_answer { rounds::MOMENT_MS } else { REST_MS };
        Ok(Pace::Rest(self.files.next_deadline_ms().unwrap_or(most_ms).clamp(REST_MS_MIN, most_ms)))
    }

    /// Takes each channel that is not open a step further. Until all are, the source sends nothing
    /// new.
    fn reconnect(&mut self, observer: &mut dyn Observer) -> Result<Pace, Halt> {
        let mut pace = Pace::Rest(REST_MS);
        for at in 0..self.outlets.len() {
            // What nothing waits for is tried elsewhere.
            if self.outlets[at].is_waited_for() {
                pace = pace.sooner(self.reconnect_one(at, observer)?);
            }
        }
        self.count_rounds();
        self.fold();
        Ok(pace)
    }

    fn reconnect_one(&mut self, at: usize, observer: &mut dyn Observer) -> Result<Pace, Halt> {
        let now_ms = self.clock.monotonic_ms();
        if let Stage::Closed { retry_at_ms } = self.outlets[at].stage
            && now_ms < retry_at_ms
        {
            return Ok(Pace::Rest(retry_at_ms - now_ms));
        }
        match self.recover(at, observer) {
            Ok(()) => {
                let outlet = &mut self.outlets[at];
                outlet.backoff = Backoff::default();
                outlet.trouble = None;
                if self.repeats.is_over(&outlet.config.name) {
                    log::info(
                        CHANNEL,
                        format_args!(
                            "Channel {} (topic {}) goes on.",
                            outlet.config.name, outlet.config.topic
                        ),
                    );
                }
                Ok(Pace::Again)
            }
            Err(recovery::Pause::Pending) => {
                let patience_ms = self.outlets[at].broker.patience().as_millis() as u64;
                Ok(Pace::Rest(patience_ms.clamp(1, REST_MS)))
            }
            Err(recovery::Pause::Wait(ms)) => {
                let retry_at_ms = self.clock.monotonic_ms() + ms;
                self.outlets[at].close(retry_at_ms);
                Ok(Pace::Rest(ms))
            }
            Err(recovery::Pause::Fault(fault)) => Ok(self.back_off(at, &fault)),
            Err(recovery::Pause::Halt(halt)) => {
                self.outlets[at].close(now_ms);
                Err(halt)
            }
        }
    }

    /// One true log line when tries begin to fail, when they fail for another reason, and each minute.
    fn back_off(&mut self, at: usize, fault: &Fault) -> Pace {
        let now_ms = self.clock.monotonic_ms();
        let outlet = &mut self.outlets[at];
        outlet.close(now_ms);
        outlet.slow_down(fault, now_ms);
        outlet.absence.interrupt();
        if *fault == Fault::Stopped {
            return Pace::Rest(0);
        }
        let since_ms =
            outlet.trouble.as_ref().map_or(self.clock.now_ms(), |(since_ms, _)| *since_ms);
        outlet.trouble = Some((since_ms, fault.to_string()));
        let mut wait_ms = outlet.backoff.next_ms(self.config.backoff_ms_max);
        if matches!(fault, Fault::LoginRefused(_)) {
            outlet.logins_refused += 1;
            wait_ms = tries::REST.as_millis() as u64;
        }
        if self.repeats.is_due(&outlet.config.name, &fault.to_string(), now_ms) {
            let for_whom = match &outlet.demand {
                Some(Demand::Wanted { file }) => format!(", which an event of {file} is for"),
                _ => String::new(),
            };
            log::log_about(
                Level::Warn,
                CHANNEL,
                &About { topic: Some(&outlet.config.topic), ..About::default() },
                format_args!(
                    "Channel {} (topic {}){}, in trouble since {}: {fault}. Next try in {wait_ms} \
                     milliseconds.",
                    outlet.config.name,
                    outlet.config.topic,
                    for_whom,
                    self.clock.local(since_ms).log_stamp().as_str()
                ),
            );
        }
        let retry_at_ms = self.clock.monotonic_ms() + wait_ms;
        self.outlets[at].close(retry_at_ms);
        Pace::Rest(wait_ms)
    }
}
