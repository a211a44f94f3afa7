//! One run: an agent, its clusters, its disk and the writers, all on one simulated clock.

mod conclude;
mod excuses;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::broker::Broker;
use flume_ng::checkpoint::flume_positions::FlumePosition;
use flume_ng::checkpoint::ledger::FileLedger;
use flume_ng::checkpoint::receipt::{self, Receipt, Receipts};
use flume_ng::checkpoint::record::{FileRecord, FileState, Record};
use flume_ng::checkpoint::slots::{Opened, Slots};
use flume_ng::clock::{Clock, ManualClock};
use flume_ng::config::model::{Destination, SourceConfig};
use flume_ng::log;
use flume_ng::pipeline::{
    Begin, Connect, Fatal, Inheritance, Observer, Pace, Pipeline, Predecessor, StartError, Startup,
    left_topics, marker,
};
use flume_ng::source::reach;
use flume_ng::source::tracked::Tracked;

use crate::Plant;
use crate::broker::Scripted;
use crate::cluster::{Cluster, Version};
use crate::crash_store::{CrashStore, Disk};
use crate::fuse::{
    Book, Fuse, FusedClock, FusedJournal, FusedLedger, FusedStore, Killed, NoRoom, Trace,
};
use crate::returns;
use crate::rng::Rng;
use crate::scenario::{self, Detour, Kind, Scenario};
use crate::writers::{Inode, Writers};

/// Files that may be open at a time in some runs: fewer than there are.
const FEW_FILES: usize = 3;
/// And topics, with what stands for all of them: fewer than lines name.
const FEW_TOPICS: usize = 4;
/// Fewer bytes prove nothing.
const PROOF_BYTES: u64 = 256;
/// Turns of an agent that is about to end.
const DYING_TURNS: u32 = 3;

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The kernel and its memory live on.
    Kill,
    /// What was not synced is lost or torn.
    PowerCut,
}

fn renumbered(mut record: Record, renumbering: Option<Renumbering>) -> Record {
    if let Some(renumbering) = renumbering {
        for file in &mut record.files {
            renumber(renumbering, &mut file.device, &mut file.inode, &mut file.born_ns);
            if renumbering == Renumbering::Copy {
                let (directory, born_ns) = (&mut file.directory, &mut file.directory_born_ns);
                renumber(renumbering, &mut file.device, directory, born_ns);
                let (root, born_ns) = (&mut file.root, &mut file.root_born_ns);
                renumber(renumbering, &mut file.device, root, born_ns);
            }
        }
    }
    record
}

fn renumber(renumbering: Renumbering, device: &mut u64, inode: &mut u64, born_ns: &mut i64) {
    match renumbering {
        Renumbering::Device => *device += 1,
        Renumbering::Copy => {
            // One that is not known stays so.
            *inode ^= if *inode == 0 { 0 } else { 1 << 40 };
            *born_ns += i64::from(*born_ns != 0);
        }
    }
}

struct Deaf;

impl Observer for Deaf {
    fn acked(&mut self, _: usize, _: u64, _: Option<&Batch>) {}
}

pub struct World {
    pub rng: Rng,
    pub clock: ManualClock,
    pub fuse: Fuse,
    pub labour_ms: Rc<Cell<u64>>,
    pub no_room: NoRoom,
    pub trace: Trace,
    pub clusters: Vec<Rc<RefCell<Cluster>>>,
    pub writers: Writers,
    pub scenario: Scenario,
    pub plant: Plant,
    disk: Rc<RefCell<Disk>>,
    pub book: Rc<RefCell<Book>>,
    config: Rc<SourceConfig>,
    pipeline: Option<Pipeline>,
    /// The wall clock jumped: an hour that was over may be the present one again.
    pub has_jumped: bool,
    /// It went on by longer than brokers remember a producer.
    pub has_leapt: bool,
    /// A file with lines of which those before are still to be written.
    pub filling: Option<(usize, Vec<u8>)>,
    hour: String,
    /// What was sent of a line too early.
    torn: Option<String>,
    /// A topic was made anew: its brokers know no producer.
    pub has_other_log: bool,
    /// The address of this cluster leads elsewhere for a while.
    pub detour: Option<(usize, Detour)>,
    ends: u64,
    /// What is done to the numbers in the state before the next start.
    pub renumbering: Option<Renumbering>,
    /// What was done to them last, and to which generation of the state.
    last_renumbering: Option<(Renumbering, u64)>,
    /// At the last start everything had been copied.
    is_renumbered_as_copy: bool,
    /// What Flume has left.
    pub positions: Vec<FlumePosition>,
    /// It could not begin yet.
    not_yet: bool,
    /// So few files may be open at a time; by the seed alone, which leaves all draws as they are.
    pub open_max: Option<usize>,
    /// So few topics may be open at a time that lines name, likewise.
    pub topics_max: Option<usize>,
}

/// How the numbers in the state differ from those of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renumbering {
    /// Another device number.
    Device,
    /// Everything was copied: inodes and times of birth are others.
    Copy,
}

impl World {
    pub fn new(seed: u64, root: &Path, scenario: Scenario, plant: Plant, trace: Trace) -> World {
        let mut rng = Rng::new(seed);
        let clock = ManualClock::new(1_709_280_000_000 + rng.below(3_600_000) as i64, 0);
        let mut writers = Writers::new(root, scenario.line_max);
        writers.stamps_off_ms = scenario.stamps_off_ms;
        let config = Rc::new(scenario.source_config(&writers));
        let clusters = scenario::clusters(&scenario, &clock, &mut rng, &trace, plant);
        // What the run before on this thread has left.
        reach::set_mishap(None);
        World {
            rng,
            clock,
            labour_ms: Rc::default(),
            fuse: Fuse::default(),
            no_room: NoRoom::default(),
            trace,
            clusters,
            writers,
            scenario,
            plant,
            disk: Rc::default(),
            book: Rc::default(),
            config,
            pipeline: None,
            has_jumped: false,
            has_leapt: false,
            filling: None,
            hour: String::new(),
            torn: None,
            has_other_log: false,
            detour: None,
            ends: 0,
            renumbering: None,
            last_renumbering: None,
            is_renumbered_as_copy: false,
            positions: Vec::new(),
            not_yet: false,
            open_max: seed.is_multiple_of(5).then_some(FEW_FILES),
            topics_max: (seed % 20 < 10).then_some(FEW_TOPICS),
        }
    }

    pub fn is_alive(&self) -> bool {
        self.pipeline.is_some()
    }

    /// Has a first record arrived?
    pub fn is_recorded(&self) -> bool {
        self.disk.borrow().named_durable.is_some()
    }

    /// Whole lines that were written, once for each topic that they have to be in.
    pub fn lines(&self) -> u64 {
        let division = self.scenario.division;
        let is_for = |text: &[u8]| {
            (0..self.clusters.len()).filter(|at| division.is_for(*at, text)).count() as u64
        };
        self.writers.texts.keys().map(|text| is_for(text)).sum()
    }

    /// How often the process ended.
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// Calls on the disk that has the checkpoint.
    pub fn disk_calls(&self) -> u32 {
        self.disk.borrow().calls
    }

    /// What the agent writes to its log becomes part of the trace.
    fn told<T>(&mut self, act: impl FnOnce(&mut World) -> T) -> T {
        let (result, lines) = log::capture(|| act(self));
        for line in lines {
            self.trace.say(|| format!("    {}", line.get(18..).unwrap_or(&line)));
        }
        result
    }

    /// Starts the process if there is none. `Ok(false)`: it was killed at once.
    pub fn start(&mut self) -> Result<bool, String> {
        if self.is_alive() {
            return Ok(true);
        }
        self.trim_at_the_hour();
        self.trace.say(|| format!("{}: start", self.clock.monotonic_ms()));
        let begun = self.told(|world| catch_unwind(AssertUnwindSafe(|| world.begin())));
        match begun {
            Ok(Ok((pipeline, record))) => {
                self.pipeline = Some(pipeline);
                self.excuse_unknown(record.as_ref());
                Ok(true)
            }
            Ok(Err(_)) if std::mem::take(&mut self.not_yet) => {
                self.clock.advance(500);
                Ok(false)
            }
            Ok(Err(_)) if self.disk.borrow().fail_in == Some(0) => {
                self.disk.borrow_mut().fail_in = None;
                Ok(false)
            }
            Ok(Err(why)) => Err(why),
            Err(payload) => self.died_of(payload).map(|()| false),
        }
    }

    fn begin(&mut self) -> Result<(Pipeline, Option<Record>), String> {
        let store = CrashStore::open(&self.disk);
        let store = FusedStore { store, fuse: self.fuse.clone(), plant: self.plant };
        let opened =
            Slots::open(store).map_err(|e| format!("the disk failed at the start: {e}"))?;
        let (slots, record, is_copied) = match opened {
            Opened::Absent(slots) => (slots, None, false),
            Opened::Valid { slots, record, copied, .. } => (slots, Some(record), copied),
            Opened::Damaged(damage) => return Err(format!("the checkpoint is damaged: {damage}")),
        };
        let (fuse, no_room) = (self.fuse.clone(), self.no_room.clone());
        let journal = Box::new(FusedJournal { slots, fuse, plant: self.plant, no_room });
        let connect = self.connector();
        let mut configs: Vec<Rc<Destination>> = (0..self.scenario.channels)
            .map(|at| Rc::new(self.scenario.channel_config(at)))
            .collect();
        if let Some(record) = &record {
            let left = left_topics(record, &self.config, &configs);
            configs.extend(left.into_iter().map(Rc::new));
        }
        let channels = configs
            .into_iter()
            .enumerate()
            .map(|(at, config)| (config.base.unwrap_or(at), config.clone(), connect(&config)))
            .collect();
        let clock = FusedClock {
            clock: self.clock.clone(),
            fuse: self.fuse.clone(),
            labour_ms: self.labour_ms.clone(),
        };
        let startup = Startup {
            agent: "a1".to_owned(),
            config: self.config.clone(),
            channels,
            clock: Rc::new(clock),
            connect,
            ledger: Box::new(FusedLedger {
                book: self.book.clone(),
                fuse: self.fuse.clone(),
                real: FileLedger::new(&self.writers.tracker),
            }),
        };
        let tracker = &self.writers.tracker;
        let is_lost = record.is_none() && self.scenario.loses_tracker;
        if is_lost {
            marker::make(tracker).map_err(|e| e.to_string())?;
        }
        let is_rebuilding = marker::is_there(tracker).map_err(|e| e.to_string())?;
        let record = record.filter(|_| !is_rebuilding);
        let begin = if is_rebuilding { Begin::Topic } else { Begin::Beginnings };
        let record = record.map(|record| returns::as_planted(record, self.plant));
        let kept = record.clone();
        let renumbering = self.renumber_state(record.as_ref());
        self.is_renumbered_as_copy = renumbering == Some(Renumbering::Copy);
        if self.is_renumbered_as_copy {
            kept.iter().for_each(|record| self.bind_by_name(record));
        }
        let is_copied = is_copied || renumbering == Some(Renumbering::Copy);
        let record = record.map(|record| renumbered(record, renumbering));
        record.iter().flat_map(|r| &r.files).for_each(|file| self.tell_record(file));
        let java = match self.scenario.kind {
            Kind::Followed { first, .. } if record.is_none() => {
                Some(Predecessor::Positions(self.positions.clone(), first))
            }
            _ => None,
        };
        let inheritance = Inheritance { journal, record, is_copied, java, begin };
        let mut pipeline = match Pipeline::assemble(startup, inheritance) {
            Ok(pipeline) => pipeline,
            Err(e) => {
                self.not_yet = matches!(e, StartError::NotYet(_));
                return Err(e.to_string());
            }
        };
        if let Some(most) = self.topics_max {
            pipeline.topics_at_most(most);
        }
        pipeline.limit(self.open_max, self.scenario.round_bytes);
        Ok((pipeline, kept))
    }

    /// What the state says of a file.
    fn tell_record(&self, file: &FileRecord) {
        self.trace.say(|| {
            let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            format!(
                "  record {}: {:?} {} now {:?}, inode {} on {} in {} ({}), to byte {}, remnant {}",
                file.id,
                file.state,
                text(&file.name),
                text(&file.current_name),
                file.inode,
                file.device,
                file.directory,
                file.directory_born_ns % 1_000_000_000,
                file.position,
                file.is_remnant
            )
        });
    }

    /// The agent's side of the cluster that has a topic.
    fn connector(&self) -> Connect {
        let (clusters, fuse) = (self.clusters.clone(), self.fuse.clone());
        Rc::new(move |config: &Destination| -> Box<dyn Broker> {
            let has_it = |c: &&Rc<RefCell<Cluster>>| c.borrow().name == config.topic;
            // What stands for all topics of a channel is never opened.
            let cluster = clusters.iter().find(has_it).unwrap_or(&clusters[0]);
            Box::new(Scripted::new(cluster.clone(), fuse.clone()))
        })
    }

    /// How the numbers in the state differ at this start: as at the last one, if nothing was written
    /// since.
    fn renumber_state(&mut self, record: Option<&Record>) -> Option<Renumbering> {
        let generation = record.map_or(0, |record| record.generation);
        // What was copied is so until it is written, whatever becomes of its numbers.
        let is_copied = self.last_renumbering == Some((Renumbering::Copy, generation));
        if let Some(renumbering) = self.renumbering.take().filter(|_| !is_copied) {
            let renumbering = match record.is_some_and(|record| self.has_unknown(record)) {
                true => Renumbering::Device,
                false => renumbering,
            };
            self.renumber_receipts(renumbering);
            self.last_renumbering = Some((renumbering, generation));
        }
        let (renumbering, at) = self.last_renumbering?;
        (at == generation).then_some(renumbering)
    }

    /// Of a copied state nothing but the name tells what a file is of which so little was read.
    fn bind_by_name(&mut self, record: &Record) {
        for file in record.files.iter().filter(|file| file.position < PROOF_BYTES) {
            let mut inodes = self.writers.inodes.iter_mut();
            if let Some(inode) = inodes.find(|inode| inode.number == file.inode) {
                (inode.is_bound, inode.is_bound_below) = (true, true);
            }
        }
    }

    fn renumber_receipts(&self, renumbering: Renumbering) {
        let dir = &self.writers.tracker;
        let receipts: Vec<Receipt> =
            receipt::read_all(dir).into_iter().flatten().filter_map(Result::ok).collect();
        let _ = std::fs::remove_file(dir.join(receipt::FILE_NAME));
        let mut anew = Receipts::new(dir);
        for mut r in receipts {
            renumber(renumbering, &mut r.device, &mut r.inode, &mut r.born_ns);
            anew.append(&r).expect("room for a receipt");
        }
    }

    /// Ends the process in good order, with everything that it knows in its state. `false`: there is
    /// none, or it died on the way.
    pub fn stop_in_order(&mut self) -> Result<bool, String> {
        self.fuse.put_out();
        self.disk.borrow_mut().fail_in = None;
        self.no_room.for_writes(0);
        let Some(pipeline) = &mut self.pipeline else { return Ok(false) };
        pipeline.list_now();
        if pipeline.is_waiting_for_room() {
            return Ok(false);
        }
        self.stop()?;
        Ok(!self.is_alive())
    }

    /// Has the agent read enough of this file to know it by its content, for good?
    pub fn is_proven(&self, inode: usize) -> bool {
        let number = self.writers.inodes[inode].number;
        self.pipeline.as_ref().is_some_and(|p| {
            let is_it = |t: &&Tracked| t.record.inode == number && !t.is_superseded();
            let is_read = |t: &Tracked| {
                let tail = t.tail.as_slice();
                let mut now = vec![0; tail.len()];
                let at = t.read_position - tail.len() as u64;
                t.file.read_exact_at(&mut now, at).is_ok() && now == tail
            };
            let found = p.files().tracked().find(is_it);
            found.is_some_and(|t| t.record.position >= PROOF_BYTES && is_read(t))
        })
    }

    /// Is this file finished, so that a copy of it under another name is a new file?
    pub fn is_done(&self, inode: usize) -> bool {
        let content = &self.writers.generations[self.writers.inodes[inode].generation].content;
        let is_of_it = |r: &FileRecord| {
            let read = content.get(..r.position as usize).filter(|read| !read.is_empty());
            read.is_some_and(|read| crc32fast::hash(read) == r.bytes_crc)
        };
        self.book.borrow().receipts.iter().any(is_of_it)
    }

    /// Has the agent read anything of this file's present content?
    pub fn is_begun(&self, inode: usize) -> bool {
        let Inode { number, generation, .. } = self.writers.inodes[inode];
        let content = &self.writers.generations[generation].content;
        self.pipeline.as_ref().is_some_and(|p| {
            let is_it = |t: &&Tracked| t.record.inode == number && !t.is_superseded();
            let was_read = |t: &Tracked| {
                let read = content.get(..t.read_position as usize);
                t.read_position > 0 && read.is_some_and(|r| r.ends_with(t.tail.as_slice()))
            };
            // One that gave its descriptor away has a record.
            let is_read = |r: &FileRecord| {
                let read = content.get(..r.position as usize);
                let is_same = read.is_some_and(|read| crc32fast::hash(read) == r.bytes_crc);
                r.inode == number && r.position > 0 && is_same
            };
            p.files().tracked().find(is_it).is_some_and(was_read) || p.files().parked().any(is_read)
        })
    }

    /// The kernel tells that a file was written to, of every other one: finished ones are read on
    /// at once by that.
    pub fn notice(&mut self, at: usize) {
        let Some(pipeline) = &mut self.pipeline else { return };
        let number = self.writers.inodes[at].number;
        let places = self.writers.places();
        let Some(path) = places.get(&number).filter(|_| at.is_multiple_of(2)) else { return };
        if path.starts_with(&self.writers.spool) {
            pipeline.notice(self.writers.name_of(path).as_ref());
        }
    }

    /// One turn. `Ok(None)`: there is no process (any more).
    pub fn turn(&mut self) -> Result<Option<Pace>, String> {
        self.trim_at_the_hour();
        let Some(mut pipeline) = self.pipeline.take() else { return Ok(None) };
        let stepped = self.told(|_| {
            catch_unwind(AssertUnwindSafe(|| {
                let result = pipeline.step(&mut Deaf);
                (pipeline, result)
            }))
        });
        match stepped {
            Ok((pipeline, Ok(pace))) => {
                self.pipeline = Some(pipeline);
                Ok(Some(pace))
            }
            Ok((pipeline, Err(fatal))) => self.finish_rounds(pipeline, &fatal).map(|()| None),
            Err(payload) => self.died_of(payload).map(|()| None),
        }
    }

    /// Writers close the files of an hour that is over.
    fn trim_at_the_hour(&mut self) {
        let hour = scenario::hour(&self.clock);
        if hour != self.hour {
            self.hour = hour;
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.fill();
        let wall_ms = self.clock.now_ms();
        (0..self.writers.inodes.len()).for_each(|at| self.writers.trim(at, wall_ms));
    }

    /// Writes the lines before those that are there already.
    pub fn fill(&mut self) {
        let Some((at, bytes)) = self.filling.take() else { return };
        self.say(|| format!("and the first ones of file {at}"));
        self.writers.now_ms = self.clock.monotonic_ms();
        self.writers.fill(at, &bytes, self.clock.now_ms());
    }

    /// As an agent that ends: what is under way may be answered, and no more.
    fn finish_rounds(&mut self, mut pipeline: Pipeline, fatal: &Fatal) -> Result<(), String> {
        pipeline.stop();
        for _ in 0..DYING_TURNS {
            let mut step = || catch_unwind(AssertUnwindSafe(|| pipeline.step(&mut Deaf).map(drop)));
            if let Err(payload) = self.told(|_| step()) {
                return self.died_of(payload);
            }
            self.clock.advance(10);
        }
        self.gave_up(fatal)
    }

    /// The process ended itself. With a failed disk that is as it should be.
    fn gave_up(&mut self, fatal: &Fatal) -> Result<(), String> {
        self.trace.say(|| format!("the agent ends: {fatal}"));
        self.ends += 1;
        let has_failed = self.disk.borrow().fail_in == Some(0);
        match fatal {
            Fatal::State(_) if has_failed => {
                self.disk.borrow_mut().fail_in = None;
                self.fuse.put_out();
                Ok(())
            }
            _ => Err(format!("the agent gave up: {fatal}")),
        }
    }

    fn died_of(&mut self, payload: Box<dyn Any + Send>) -> Result<(), String> {
        if payload.is::<Killed>() {
            let end = if self.rng.chance(50) { End::Kill } else { End::PowerCut };
            self.end(end);
            return Ok(());
        }
        let why = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", why.unwrap_or("?")))
    }

    /// Ends the process where it stands.
    pub fn end(&mut self, end: End) {
        self.trace.say(|| format!("{}: {end:?}", self.clock.monotonic_ms()));
        self.pipeline = None;
        self.fuse.put_out();
        self.ends += 1;
        let mut disk = self.disk.borrow_mut();
        disk.fail_in = None;
        if end == End::PowerCut {
            let rng = &mut self.rng;
            disk.crash(|_| rng.chance(50));
        }
    }

    /// The process is killed, and all that it knew is deleted.
    pub fn lose_tracker(&mut self) {
        if self.is_alive() {
            self.end(End::Kill);
        }
        self.trace.say(|| format!("{}: the tracker is deleted", self.clock.monotonic_ms()));
        let _ = std::fs::remove_dir_all(&self.writers.tracker);
        std::fs::create_dir_all(&self.writers.tracker).expect("a directory of our own");
        self.disk = Rc::default();
    }

    /// A request to stop, as by SIGTERM, and up to a second in which the agent obeys.
    pub fn stop(&mut self) -> Result<(), String> {
        self.trace.say(|| format!("{}: stop", self.clock.monotonic_ms()));
        let end_ms = self.clock.monotonic_ms() + 1_200;
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.stop();
        }
        while self.clock.monotonic_ms() < end_ms {
            if self.pipeline.as_ref().is_none_or(Pipeline::is_idle) {
                break;
            }
            if let Some(Pace::Rest(ms)) = self.turn()? {
                self.clock.advance(ms.clamp(1, 20));
            }
        }
        let Some(mut pipeline) = self.pipeline.take() else { return Ok(()) };
        self.ends += 1;
        let closed = catch_unwind(AssertUnwindSafe(|| pipeline.close()));
        match closed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fatal)) => self.gave_up(&fatal),
            Err(payload) => self.died_of(payload),
        }
    }

    /// Some turns, with the pauses that the agent asks for, or shorter ones.
    pub fn turns(&mut self, count: u64) -> Result<(), String> {
        for _ in 0..count {
            match self.turn()? {
                Some(Pace::Again) => {}
                Some(Pace::Rest(ms)) => {
                    let ms = if self.rng.chance(50) { ms } else { self.rng.below(ms.max(1)) };
                    self.clock.advance(ms.clamp(1, 1_000));
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// From now on so many of a hundred calls on names of files fail, each with another error;
    /// with 0 none.
    pub fn fail_names(&mut self, percent: u64) {
        self.say(|| format!("{percent} % of the calls on names fail"));
        if percent == 0 {
            return reach::set_mishap(None);
        }
        let mut rng = self.rng.fork();
        reach::set_mishap(Some(Box::new(move |_| {
            let errors = [libc::EACCES, libc::EIO, libc::EMFILE, libc::ELOOP, libc::ESTALE];
            rng.chance(percent).then(|| io::Error::from_raw_os_error(rng.pick(&errors)))
        })));
    }

    pub fn fail_disk(&mut self, after: u32) {
        if self.is_alive() {
            self.disk.borrow_mut().fail_in = Some(after);
        }
    }

    /// Will the agent read what is written to this file now? While it is down that is not known
    /// before it starts.
    pub fn is_read(&self, inode: usize) -> bool {
        let Some(pipeline) = &self.pipeline else { return true };
        let Inode { number, is_linked, .. } = self.writers.inodes[inode];
        let mut tracked = pipeline.files().tracked().filter(|t| t.record.inode == number);
        let is_rebuilding = pipeline.is_rebuilding();
        match tracked.find(|t| !t.is_superseded() && !is_rebuilding) {
            // Behind a half line that was sent as the file's last stands its other half.
            Some(tracked) => tracked.finished_at.is_none(),
            None => {
                // Without a descriptor it is opened by its name.
                let waits = |r: &FileRecord| r.inode == number && r.state == FileState::Draining;
                is_linked && pipeline.files().parked().any(waits)
                    || self.writers.is_candidate_now(&self.writers.places(), number)
            }
        }
    }

    /// Does the agent know this file, so that it reads on whatever becomes of its name?
    pub fn is_tracked(&self, inode: usize) -> bool {
        let number = self.writers.inodes[inode].number;
        self.pipeline.as_ref().is_some_and(|p| {
            let is_it = |t: &Tracked| t.record.inode == number && !t.is_superseded();
            // While the topic is read back it may begin again, and know nothing.
            !p.is_rebuilding() && p.files().tracked().any(is_it)
        })
    }

    /// Does the agent know that this file has the name of this path?
    pub fn is_known_as(&self, inode: usize, path: &Path) -> bool {
        let number = self.writers.inodes[inode].number;
        let name = self.writers.name_of(path);
        let is_it = |t: &Tracked| t.record.inode == number && t.name().to_string_lossy() == name;
        self.pipeline.as_ref().is_some_and(|p| p.files().tracked().any(is_it))
    }

    /// From 2.5 on a broker that has forgotten a producer takes any sequence from it. It does so
    /// within the second for which an ack counts as proof only if its clock jumps over the
    /// producer's expiry meanwhile; then of two batches under way the second may stand before a
    /// first that was lost. Each is there once all the same.
    fn keeps_order(&self) -> bool {
        let takes_any = |c: &Rc<RefCell<Cluster>>| c.borrow().version >= Version::V28;
        let has_forgotten = self.has_leapt || self.has_other_log;
        !(self.clusters.iter().any(takes_any) && has_forgotten)
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        self.trace.say(|| format!("{}: {}", self.clock.monotonic_ms(), what()));
    }
}
