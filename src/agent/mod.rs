//! The loop: one process, one thread. Everything that happens, happens here in an order that can
//! be read from top to bottom: signals, pipelines, then sleep until something can happen.

pub(crate) mod guard;
pub(crate) mod lifecycle;
mod once;
mod places;
pub(crate) mod reload;
pub(crate) mod sinks;
mod stats;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use crate::channel::broker::Broker;
use crate::channel::connect;
use crate::checkpoint::lock::{self, Lock, LockError, Locked, Place};
use crate::checkpoint::slots;
use crate::checkpoint::spool_lock::SpoolLock;
use crate::checkpoint::trouble::{self, Trouble};
use crate::cli::AgentArgs;
use crate::clock::{Backoff, Clock, SystemClock};
use crate::config::model::{AgentConfig, Destination, SourceConfig};
use crate::exit::Exit;
use crate::log::{self, Repeats, counted};
use crate::monitor::files::FileLooks;
use crate::monitor::rates::Rates;
use crate::monitor::{ConfStats, Monitor};
use crate::os::{self, Inotify, Interest};
use crate::pipeline::{
    self, CHANNEL, Counters, Fatal, Inheritance, Pace, Pipeline, SOURCE, StartError, Startup,
};

use crate::source::Files;
use lifecycle::Ending;
use reload::Reload;
use sinks::Sinks;

/// How long a round that is under way at a request to stop is waited for, ms.
const STOP_WAIT_MS: u64 = 1_200;

/// How often the words of a lasting trouble are written again at most, ms.
const TROUBLE_WORDS_MS: u64 = 10_000;

/// Sleeps no longer than this without a look at the directories, ms (Flume looks as often).
const POLL_MS: u64 = 500;

/// How often to check that the directories are still those that were opened, ms.
const PLACES_MS: u64 = 1_000;

/// Why a source cannot be started now, and when to try again.
struct Waiting {
    config: Rc<SourceConfig>,
    /// Of the last try.
    why: Option<String>,
    retry_at_ms: u64,
    backoff: Backoff,
}

impl Waiting {
    fn new(config: SourceConfig) -> Waiting {
        Waiting { config: Rc::new(config), why: None, retry_at_ms: 0, backoff: Backoff::default() }
    }
}

/// A started source. The locks live as long as it does.
struct Running {
    pipeline: Pipeline,
    watch: Option<Inotify>,
    /// Monotonic time before which change notices that are not to be had are not asked for again.
    watch_retry_ms: u64,
    lock: Lock,
    /// `None`: the file system has no locks for directories.
    spool_lock: Option<Rc<SpoolLock>>,
    /// Of the directories below it as they were at the start, until they are listed.
    claimed: Vec<Rc<SpoolLock>>,
    /// Why its state cannot be written at present: nothing is sent.
    pause: Option<String>,
    /// Device and inode of the checkpoints that it has written and that lost their names.
    own_checkpoints: Vec<(u64, u64)>,
    /// For the metrics, which are made from an agent that they must not change.
    looks: RefCell<FileLooks>,
    /// What the file `trouble` says, and when its words may be changed again (monotonic, ms).
    told: Vec<Trouble>,
    words_due_ms: u64,
    rates: Rates,
    /// Which channels have reached their brokers, each once.
    reached: Vec<bool>,
}

impl Running {
    /// For the rates, and for the question whether the brokers were reached.
    fn note_progress(&mut self, now_ms: u64) {
        let Counters { bytes_passed, lines_passed, .. } = self.pipeline.counters;
        self.rates.note(now_ms, bytes_passed, lines_passed);
        // Topics may have come up.
        self.reached.resize(self.pipeline.outlets().len(), false);
        for (reached, outlet) in self.reached.iter_mut().zip(self.pipeline.outlets()) {
            *reached |= outlet.is_open();
        }
    }

    /// Keeps the file `trouble` as things are. What an earlier run had ended with stays there until
    /// the brokers are reached: by then this one works.
    fn tell_trouble(&mut self, now_ms: u64) {
        let mut troubles: Vec<Trouble> = Vec::new();
        for outlet in self.pipeline.outlets() {
            if let Some((since_ms, why)) = &outlet.trouble {
                let (channel, why) = (outlet.config.name.clone(), why.clone());
                troubles.push(Trouble::Brokers { channel, since_ms: *since_ms, why });
            }
        }
        let is_connected = self.pipeline.is_settled();
        if !is_connected {
            let ends = self.told.iter().filter(|told| matches!(told, Trouble::End { .. }));
            let ends: Vec<Trouble> = ends.cloned().collect();
            if troubles.is_empty() && !self.told.is_empty() {
                return;
            }
            troubles.extend(ends);
        }
        let is_alike = troubles.len() == self.told.len()
            && troubles.iter().zip(&self.told).all(|(a, b)| a.is_alike(b));
        if troubles == self.told || (is_alike && now_ms < self.words_due_ms) {
            return;
        }
        self.words_due_ms = now_ms + TROUBLE_WORDS_MS;
        // It is for those who ask; the log has it in any case.
        let _ = trouble::write(&self.pipeline.config.tracker_dir, &troubles);
        self.told = troubles;
    }
}

/// Why a source has not started.
enum NoStart {
    /// It may pass, and is tried again.
    NotYet(String),
    /// The agent ends.
    Final(End),
}

impl From<End> for NoStart {
    fn from(end: End) -> NoStart {
        NoStart::Final(end)
    }
}

/// Ends the loop with this code.
struct End(Exit);

/// Runs the agent until it is asked to stop or cannot go on. Without `reload` its configuration
/// stays as it is.
pub(crate) fn run_agent(args: &AgentArgs, config: AgentConfig, reload: Option<Reload>) -> ExitCode {
    let monitor = Monitor::new(args, &config.monitoring);
    let mut agent = Agent::new(config, monitor, reload);
    agent.conf.file = args.conf_files.to_string();
    agent.once = args.once.map(|once| once::Run::new(once, agent.clock.monotonic_ms()));
    let exit = agent.run();
    exit.into()
}

/// How far the start of a configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    UnderWay,
    /// All sources run and are connected to their brokers; what they had lost sight of is looked for.
    Connected,
    /// There was nothing to do for a moment.
    Over,
}

/// What the loop turns: the sources, those that cannot be started yet, and what they share.
struct Agent {
    name: String,
    clock: Rc<dyn Clock>,
    channels: Vec<Rc<Destination>>,
    sinks: Sinks,
    waiting: Vec<Waiting>,
    running: Vec<Running>,
    monitor: Monitor,
    start_ms: i64,
    conf: ConfStats,
    /// By sources that a new configuration has replaced.
    lines_passed: u64,
    reload: Option<Reload>,
    /// It ends by itself.
    once: Option<once::Run>,
    /// When to look next whether the directories are what they were.
    look_at_places_ms: u64,
    /// Of the configuration before, which the sources of the new one take over.
    left: Vec<LeftBehind>,
    spool_locks: Vec<Rc<SpoolLock>>,
    repeats: Repeats,
    start: Start,
}

/// What a source of the configuration before has left in its tracker directory.
struct LeftBehind {
    dir: PathBuf,
    /// Until it is taken over: at no moment could another agent begin.
    lock: Option<Lock>,
    has_checkpoint: bool,
}

impl Agent {
    fn new(config: AgentConfig, monitor: Monitor, reload: Option<Reload>) -> Agent {
        let clock: Rc<dyn Clock> = Rc::new(SystemClock::new());
        lifecycle::tell_start(&config);
        os::share_descriptors(config.sources.len());
        Agent {
            name: config.name.clone(),
            start_ms: clock.now_ms(),
            conf: ConfStats { loaded_ms: clock.now_ms(), ..ConfStats::default() },
            lines_passed: 0,
            monitor,
            clock,
            sinks: Sinks::new(&config),
            waiting: config.sources.into_iter().map(Waiting::new).collect(),
            channels: config.destinations.into_iter().map(Rc::new).collect(),
            running: Vec::new(),
            reload,
            once: None,
            look_at_places_ms: 0,
            left: Vec::new(),
            spool_locks: Vec::new(),
            repeats: Repeats::default(),
            start: Start::UnderWay,
        }
    }

    /// A new configuration takes the place of the old one. What is under way is finished or stays
    /// in doubt in the checkpoint, from which the new sources begin. Where that is not in its place,
    /// the old one goes on, which has it in memory.
    fn take_over(&mut self, config: AgentConfig) -> Result<(), End> {
        if self.is_state_astray()? {
            self.take_over_later(config);
            return Ok(());
        }
        // It has started.
        drop(guard::watch_over(&config));
        let own = self.channels.iter().filter(|c| c.base.is_none());
        let channels = own.map(|c| c.name.as_str());
        let sources = self.running.iter().map(|r| r.pipeline.config.name.as_str());
        lifecycle::tell_shutting_down(sources, channels);
        match self.finish_rounds() {
            Exit::Clean => {}
            exit => return Err(End(exit)),
        }
        // That took its time.
        if self.is_state_astray()? {
            self.running.iter_mut().for_each(|running| running.pipeline.go_on());
            self.take_over_later(config);
            return Ok(());
        }
        for running in self.running.drain(..) {
            self.lines_passed += running.pipeline.counters.lines_passed;
            let dir = running.pipeline.config.tracker_dir.clone();
            let has_checkpoint = dir.join(slots::FILE_NAME).exists();
            self.left.push(LeftBehind { dir, lock: Some(running.lock), has_checkpoint });
            self.spool_locks.extend(running.spool_lock);
            self.spool_locks.extend(running.claimed);
            self.spool_locks.extend(running.pipeline.files().locks().cloned());
        }
        lifecycle::tell_start(&config);
        os::share_descriptors(config.sources.len());
        self.monitor.configure(&config.monitoring);
        self.conf.loaded_ms = self.clock.now_ms();
        self.sinks = Sinks::new(&config);
        self.waiting = config.sources.into_iter().map(Waiting::new).collect();
        self.channels = config.destinations.into_iter().map(Rc::new).collect();
        let dirs: Vec<&PathBuf> = self.waiting.iter().map(|w| &w.config.tracker_dir).collect();
        self.left.retain(|left| dirs.contains(&&left.dir));
        self.start = Start::UnderWay;
        Ok(())
    }

    fn take_over_later(&mut self, config: AgentConfig) {
        if let Some(reload) = &mut self.reload {
            reload.put_back(config);
        }
    }

    fn acquire(&mut self, dir: &Path) -> Result<Locked, LockError> {
        let mut left = self.left.iter_mut().filter(|left| left.dir == *dir);
        // One without its name keeps nobody out.
        if let Some(lock) = left.find_map(|left| left.lock.take())
            && lock.place() == Place::Held
        {
            return Ok(Locked::Held(lock));
        }
        let since = self.clock.local(self.clock.now_ms()).log_stamp();
        lock::acquire(dir, &self.name, since.as_str())
    }

    fn run(&mut self) -> Exit {
        loop {
            if os::stop_requested().is_some() {
                return self.stop();
            }
            let pace = match self.turn() {
                Ok(pace) => pace,
                Err(End(exit)) => {
                    let last = self.stats(false);
                    self.monitor.stopped(&last);
                    return exit;
                }
            };
            self.tend_monitor(pace == Pace::Again);
            if self.is_over() {
                return self.stop();
            }
            self.note_start(pace);
            if let Pace::Rest(ms) = pace {
                let stepped = self.stepped();
                self.rest(self.rest_at_most(ms), &stepped);
            }
        }
    }

    /// One turn for everybody.
    fn turn(&mut self) -> Result<Pace, End> {
        let mut pace = Pace::Rest(POLL_MS);
        let now_ms = self.clock.monotonic_ms();
        if self.reload.as_mut().is_some_and(|reload| reload.look(now_ms)) {
            self.look_at_places_ms = now_ms;
        }
        if now_ms >= self.look_at_places_ms
            && let Some(config) = self.reload.as_mut().and_then(Reload::take)
        {
            self.take_over(config)?;
        }
        if let Some(ms) = self.start_waiting()? {
            pace = Pace::Rest(ms.min(POLL_MS));
        }
        if now_ms >= self.look_at_places_ms {
            self.look_at_places_ms = now_ms + PLACES_MS;
            self.look_at_places()?;
        }
        for at in self.stepped() {
            match self.running[at].pipeline.step(&mut self.sinks) {
                Ok(own) => pace = pace.sooner(own),
                Err(fatal) => return Err(self.die(at, &fatal)),
            }
        }
        Ok(pace)
    }

    /// The sources that go on at present.
    fn stepped(&self) -> Vec<usize> {
        (0..self.running.len()).filter(|&at| self.running[at].pause.is_none()).collect()
    }

    /// What is run from now on is another part of the program.
    fn note_start(&mut self, pace: Pace) {
        let is_connected = |running: &Running| running.pipeline.is_connected();
        self.start = match (self.start, pace) {
            (Start::UnderWay, _)
                if self.waiting.is_empty() && self.running.iter().all(is_connected) =>
            {
                Start::Connected
            }
            (Start::Connected, Pace::Rest(_)) => Start::Over,
            _ => return,
        };
        os::give_back_code();
    }

    /// Says why, after the others have finished what they have under way.
    fn die(&mut self, at: usize, fatal: &Fatal) -> End {
        lifecycle::tell_fatal(&fatal.to_string(), Ending::Broken);
        self.finish_rounds();
        let dir = self.running[at].pipeline.config.tracker_dir.clone();
        self.end(&dir, Exit::BrokenPromise, &fatal.to_string())
    }

    /// The end, which the file `trouble` keeps for who looks later.
    fn end(&self, dir: &Path, exit: Exit, why: &str) -> End {
        let _ = trouble::add_end(dir, exit.code(), self.clock.now_ms(), why);
        End(exit)
    }

    /// Starts the sources that are not started yet. Milliseconds until the next try, if one is
    /// left.
    fn start_waiting(&mut self) -> Result<Option<u64>, End> {
        let now_ms = self.clock.monotonic_ms();
        let mut left = Vec::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            if waiting.retry_at_ms > now_ms {
                left.push(waiting);
                continue;
            }
            match self.start(&waiting.config) {
                Ok(running) => {
                    let name = &waiting.config.name;
                    if self.repeats.is_over(name) {
                        log::info(SOURCE, format_args!("Source {name} has started."));
                    }
                    self.running.push(running);
                }
                Err(NoStart::Final(end)) => return Err(end),
                Err(NoStart::NotYet(why)) => {
                    let wait_ms = waiting.backoff.next_ms(waiting.config.backoff_ms_max);
                    let name = &waiting.config.name;
                    if self.repeats.is_due(name, &why, now_ms) {
                        log::error(
                            SOURCE,
                            format_args!(
                                "Source {name} cannot start: {why}. Next try in {wait_ms} \
                                 milliseconds."
                            ),
                        );
                    }
                    waiting.retry_at_ms = now_ms + wait_ms;
                    waiting.why = Some(why);
                    left.push(waiting);
                }
            }
        }
        self.waiting = left;
        if self.waiting.is_empty() {
            // What the new configuration has not taken over it does not need.
            (self.left, self.spool_locks) = Default::default();
        }
        let next = self.waiting.iter().map(|w| w.retry_at_ms.saturating_sub(now_ms)).min();
        Ok(next)
    }

    /// Locks the tracker directory and puts the pipeline together.
    fn start(&mut self, config: &Rc<SourceConfig>) -> Result<Running, NoStart> {
        if !config.spool_dir.exists() {
            let why = format!("Directory does not exist: {}", config.shown_spool_dir());
            return Err(NoStart::NotYet(why));
        }
        let dir = &config.tracker_dir;
        let has_left = self.left.iter().any(|left| left.dir == *dir && left.has_checkpoint);
        if has_left && !dir.join(slots::FILE_NAME).exists() {
            let why = format!(
                "{}: the checkpoint was removed since the configuration changed; put it back, or \
                 restart the agent to begin without it",
                dir.display()
            );
            return Err(NoStart::NotYet(why));
        }
        let lock = match self.acquire(&config.tracker_dir) {
            Ok(Locked::Held(lock)) => lock,
            Ok(Locked::Busy { path, holder }) => {
                lifecycle::tell_busy(&lock::busy_message(&path, holder.as_ref()));
                return Err(End(Exit::Temporary).into());
            }
            Err(e @ LockError::Unsafe { .. }) => {
                lifecycle::tell_fatal(&e.to_string(), Ending::UnsafeDirectory);
                // Nothing is written there, not even why.
                return Err(End(Ending::UnsafeDirectory.exit()).into());
            }
            Err(e) => return Err(NoStart::NotYet(e.to_string())),
        };
        let spool_lock = self.acquire_spool(config)?;
        let claimed = places::claim_below(config)?;
        let inherited = match pipeline::inherit(config, self.clock.now_ms()) {
            Ok(inherited) => inherited,
            Err(StartError::NotYet(why)) => return Err(NoStart::NotYet(why)),
            Err(StartError::Broken(why)) => return Err(self.refuse(config, Ending::Broken, &why)),
            Err(StartError::Unsettled(why)) => {
                return Err(self.refuse(config, Ending::Unsettled, &why));
            }
        };
        lifecycle::tell_canary(config);
        let mut running = self.assemble(config, inherited, (lock, spool_lock))?;
        running.claimed = claimed;
        Ok(running)
    }

    /// A start that is not to be tried again.
    fn refuse(&self, config: &SourceConfig, ending: Ending, why: &str) -> NoStart {
        lifecycle::tell_fatal(why, ending);
        self.end(&config.tracker_dir, ending.exit(), why).into()
    }

    fn assemble(
        &self,
        config: &Rc<SourceConfig>,
        inherited: Inheritance,
        (lock, spool_lock): (Lock, Option<Rc<SpoolLock>>),
    ) -> Result<Running, NoStart> {
        let connected = |channel: Rc<Destination>, at: usize| {
            let broker: Box<dyn Broker> = connect::connect(&channel);
            (channel.base.unwrap_or(at), channel, broker)
        };
        let mut channels: Vec<_> = config
            .destinations
            .iter()
            .map(|&at| connected(self.channels[at].clone(), at))
            .collect();
        if let Some(record) = &inherited.record {
            let left = pipeline::left_topics(record, config, &self.channels);
            channels.extend(left.into_iter().map(|channel| connected(Rc::new(channel), 0)));
        }
        let startup = Startup {
            agent: self.name.clone(),
            config: config.clone(),
            channels,
            clock: self.clock.clone(),
            connect: Rc::new(connect::connect),
            ledger: Box::new(places::ledger(config)),
        };
        let looks = RefCell::new(FileLooks::default());
        let told = trouble::read(&config.tracker_dir).unwrap_or_default();
        let pipeline =
            Pipeline::assemble(startup, inherited).map_err(|e| NoStart::NotYet(e.to_string()))?;
        let reached = vec![false; pipeline.outlets().len()];
        let watch = watch(config, pipeline.files());
        Ok(Running {
            pipeline,
            watch,
            watch_retry_ms: self.clock.monotonic_ms() + places::WATCH_RETRY_MS,
            lock,
            spool_lock,
            claimed: Vec::new(),
            pause: None,
            own_checkpoints: Vec::new(),
            looks,
            told,
            words_due_ms: 0,
            rates: Rates::default(),
            reached,
        })
    }

    fn tend_monitor(&mut self, busy: bool) {
        let is_connected = |r: &Running| r.pipeline.is_settled();
        let connected = self.waiting.is_empty() && self.running.iter().all(is_connected);
        let now_ms = self.clock.monotonic_ms();
        for running in &mut self.running {
            running.tell_trouble(now_ms);
            running.note_progress(now_ms);
        }
        // Out of the way for a moment: it asks for everything else.
        let mut monitor = std::mem::replace(&mut self.monitor, Monitor::absent());
        monitor.turn(now_ms, busy, connected, &|| self.stats(true));
        self.monitor = monitor;
    }

    /// Sleeps until a file or a socket stirs, a signal comes, or the time is over. What comes for a source that is not
    /// `stepped` nobody would read, and it would end each sleep at once; what the kernel tells of files is taken here.
    fn rest(&mut self, ms: u64, stepped: &[usize]) {
        let mut interests = Vec::new();
        self.monitor.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
        for (at, running) in self.running.iter().enumerate() {
            if let Some(watch) = &running.watch
                && !running.pipeline.awaits_answer()
            {
                interests.push(Interest { fd: watch.descriptor(), write: false });
            }
            if stepped.contains(&at) {
                let pipeline = &running.pipeline;
                pipeline.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
            }
        }
        if let Err(e) = os::wait(&interests, Duration::from_millis(ms)) {
            log::error("node.Application", format_args!("Cannot wait: {e}"));
            std::thread::sleep(Duration::from_millis(POLL_MS));
        }
        for running in &mut self.running {
            let pipeline = &mut running.pipeline;
            let (is_told, are_lost) = match &mut running.watch {
                Some(watch) => {
                    let are_lost = watch.drain(&mut |name| pipeline.notice(name));
                    (watch.tells_all(), are_lost)
                }
                None => (false, false),
            };
            pipeline.trust_notices(is_told, are_lost);
        }
    }

    /// The orderly end: what is under way is finished if the broker answers in time, else it
    /// stays in doubt in the checkpoint.
    fn stop(&mut self) -> Exit {
        lifecycle::tell_stopping();
        self.monitor.stopping();
        let exit = self.finish_rounds();
        let exit = self.tell_once(exit);
        for running in &self.running {
            let pipeline = &running.pipeline;
            let left = pipeline.in_doubt();
            if left > 0 {
                log::warn(
                    CHANNEL,
                    format_args!(
                        "{} without an answer: in doubt in the checkpoint, and looked for at the \
                         next start.",
                        counted(left as u64, "batch")
                    ),
                );
            }
            lifecycle::tell_source_stopped(&pipeline.config, &pipeline.counters);
        }
        let own = self.channels.iter().enumerate().filter(|(_, channel)| channel.base.is_none());
        for (at, channel) in own {
            lifecycle::tell_channel_stopped(&channel.name, self.sinks.acked_by_channel[at]);
        }
        self.sinks.tell_stopped();
        let last = self.stats(false);
        self.monitor.stopped(&last);
        lifecycle::tell_stopped();
        exit
    }

    /// Steps the pipelines in turn, without new rounds, until nothing is under way or time is up:
    /// one whose broker is silent does not take the time of the others.
    fn finish_rounds(&mut self) -> Exit {
        let end_ms = self.clock.monotonic_ms() + STOP_WAIT_MS;
        let mut exit = Exit::Clean;
        let now_ms = self.clock.now_ms();
        let mut fatal = |dir: &Path, why: &Fatal| {
            exit = Exit::BrokenPromise;
            lifecycle::tell_fatal(&why.to_string(), Ending::Broken);
            let _ = trouble::add_end(dir, exit.code(), now_ms, &why.to_string());
        };
        self.running.iter_mut().for_each(|running| running.pipeline.stop());
        let mut under_way = self.stepped();
        while self.clock.monotonic_ms() < end_ms {
            under_way.retain(|&at| !self.running[at].pipeline.is_idle());
            let mut pace: Option<Pace> = None;
            under_way.retain(|&at| match self.running[at].pipeline.step(&mut self.sinks) {
                Ok(own) => {
                    pace = Some(pace.map_or(own, |others| others.sooner(own)));
                    true
                }
                Err(why) => {
                    fatal(&self.running[at].pipeline.config.tracker_dir, &why);
                    false
                }
            });
            match pace {
                None => break,
                Some(Pace::Again) => {}
                Some(Pace::Rest(ms)) => {
                    let left = end_ms.saturating_sub(self.clock.monotonic_ms());
                    self.rest(ms.clamp(1, 20).min(left), &under_way);
                }
            }
        }
        for running in self.running.iter_mut().filter(|r| r.pause.is_none()) {
            if let Err(why) = running.pipeline.close() {
                fatal(&running.pipeline.config.tracker_dir, &why);
            }
        }
        exit
    }
}

/// Notices of changes in the spool directory, where they are to be had.
fn watch(config: &SourceConfig, files: &Files) -> Option<Inotify> {
    let watch = places::watch_all(files).inspect_err(|e| {
        log::info(
            SOURCE,
            format_args!(
                "No change notices for {}: {e}; it is looked at twice a second.",
                config.shown_spool_dir()
            ),
        );
    });
    watch.ok()
}
