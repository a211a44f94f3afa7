//! From a tracker directory to a pipeline that knows where it stands.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::announced::Announcements;
use super::handover;
use super::news::Learnt;
use super::plan::{self, Begin, Plan, Predecessor, StartError, Step};
use super::rebuild::Rebuild;
use super::recalled::Recalled;
use super::removed::leave_channels;
use super::routes::place_of;
use super::sending::Flights;
use super::settle::Settling;
use super::{Announced, CHANNEL, Counters, Journal, Pipeline, SOURCE, left, marker};
use crate::channel::broker::Broker;
use crate::channel::outlet::{Demand, FLOOR_UNKNOWN, Outlet, Unreached};
use crate::checkpoint::aside;
use crate::checkpoint::flume_positions;
use crate::checkpoint::ledger::Ledger;
use crate::checkpoint::lock::Place;
use crate::checkpoint::record::{
    BatchRecord, ChannelRecord, Fate, FileRecord, LettersKnown, Record,
};
use crate::checkpoint::slots::{FileStore, Opened, Slots, Store, WriteError};
use crate::clock::Clock;
use crate::config::model::{Destination, SourceConfig, TOPICS_MAX};
use crate::log::{self, About, Level, Repeats, counted};
use crate::source::Files;
use crate::source::interceptor;
use crate::source::restore::{Announced as Reached, AnnouncedRange};

/// What the last run left behind.
pub struct Inheritance {
    pub journal: Box<dyn Journal>,
    pub record: Option<Record>,
    /// The checkpoint is not the file that it was written into.
    pub is_copied: bool,
    /// Where the Java agent was that worked here before.
    pub java: Option<Predecessor>,
    /// Where to begin without a record and without Java's position.
    pub begin: Begin,
}

/// What a pipeline is made of.
pub struct Startup {
    pub agent: String,
    pub config: Rc<SourceConfig>,
    /// Index in the agent, configuration and broker of each channel of the source.
    pub channels: Vec<(usize, Rc<Destination>, Box<dyn Broker>)>,
    pub clock: Rc<dyn Clock>,
    pub ledger: Box<dyn Ledger>,
    /// For topics that come up while it runs.
    pub connect: Connect,
}

/// Makes a broker for a destination, not connected yet.
pub type Connect = Rc<dyn Fn(&Destination) -> Box<dyn Broker>>;

impl<S: Store> Journal for Slots<S> {
    fn write(&mut self, record: &mut Record, files: &[&FileRecord]) -> Result<(), WriteError> {
        Slots::write_with(self, record, files)
    }

    fn place(&self) -> Place {
        Slots::place(self)
    }

    fn identity(&self) -> Option<(u64, u64)> {
        Some(Slots::identity(self))
    }
}

/// Reads what the last run, or the Java agent, left in the tracker directory, and does what is to be done
/// about it. Only for who holds its lock.
pub fn inherit(config: &SourceConfig, now_ms: i64) -> Result<Inheritance, StartError> {
    let dir = &config.tracker_dir;
    let found = FileStore::open(dir).and_then(Slots::find);
    let found = found.map_err(|e| plan::unreadable(dir, &e))?;
    let Plan { step, told } = plan::of(config, &found)?;
    let (inheritance, aside) = carry_out(step, found, dir, now_ms)
        .map_err(|e| StartError::NotYet(format!("{}: {e}", dir.display())))?;
    for (level, text) in told {
        log::log(level, SOURCE, format_args!("{text}."));
    }
    if let Some(aside) = aside {
        let aside = aside.display();
        log::info(SOURCE, format_args!("The damaged checkpoint was kept aside as {aside}."));
    }
    Ok(inheritance)
}

/// What the pipeline begins with, and where a damaged checkpoint is now.
fn carry_out(
    step: Step,
    found: Opened<FileStore>,
    dir: &Path,
    now_ms: i64,
) -> io::Result<(Inheritance, Option<PathBuf>)> {
    let (journal, record, is_copied) = take_up(found, dir)?;
    let mut aside = None;
    let (java, begin) = match step {
        Step::GoOn => {
            let begin = Begin::Beginnings;
            return Ok((Inheritance { journal, record, is_copied, java: None, begin }, None));
        }
        Step::ReadOn => (None, Begin::Topic),
        Step::Begin(java, begin) => {
            if begin == Begin::Topic && java.is_none() {
                marker::make(dir)?;
            }
            (java, begin)
        }
        Step::Anew(begin) => {
            aside = Some(set_aside(dir, begin, now_ms)?);
            (None, begin)
        }
    };
    Ok((Inheritance { journal, record: None, is_copied: false, java, begin }, aside))
}

/// From here on what was found is written to.
fn take_up(
    mut found: Opened<FileStore>,
    dir: &Path,
) -> io::Result<(Box<dyn Journal>, Option<Record>, bool)> {
    found.confirm()?;
    Ok(match found {
        Opened::Absent(slots) => (Box::new(slots), None, false),
        Opened::Valid { slots, record, copied, .. } => (Box::new(slots), Some(record), copied),
        Opened::Damaged(_) => (Box::new(Slots::anew(FileStore::anew(dir))), None, false),
    })
}

/// The damage stands there until the first record takes its place: a start in between must decide
/// the same, and what it would find without one is another matter (`onNoCheckpoint`).
fn set_aside(dir: &Path, begin: Begin, now_ms: i64) -> io::Result<PathBuf> {
    match begin {
        Begin::Ends | Begin::Beginnings => aside::keep_also(dir, now_ms),
        Begin::Topic => {
            // Before the damage is out of the way: then nothing else would tell.
            marker::make(dir)?;
            aside::keep_aside(dir, now_ms)
        }
    }
}

impl Pipeline {
    /// Puts a pipeline together; opens the files that the checkpoint names, no connection yet.
    ///
    /// # Errors
    /// Where files begin cannot be told now, at a first start.
    pub fn assemble(startup: Startup, inherited: Inheritance) -> Result<Pipeline, StartError> {
        let Startup { agent, config, channels, clock, ledger, connect } = startup;
        let is_new = inherited.record.is_none();
        let mut record = inherited.record.unwrap_or_default();
        if inherited.is_copied {
            log::warn(
                SOURCE,
                format_args!(
                    "The checkpoint is a copy or was restored: its producer ids are not used again."
                ),
            );
        }
        let now_ms = clock.monotonic_ms();
        let before = announced_in(&record);
        let mut outlets = make_outlets(channels, &mut record);
        let decides = is_new || announced_in(&record) != before;
        if inherited.is_copied {
            let former = outlets.iter_mut().flat_map(|outlet| &mut outlet.record.former);
            former.for_each(|log| log.is_foreign = true);
        }
        let interceptors = interceptor::build(&config.interceptors);
        let destinations: Vec<Rc<Destination>> =
            outlets.iter().map(|outlet| outlet.config.clone()).collect();
        for (at, outlet) in outlets.iter_mut().enumerate() {
            let place = place_of(&config, &destinations, at);
            let is_optional = place.is_some_and(|place| config.optional.contains(&place));
            outlet.optional = is_optional.then(Unreached::default);
            if outlet.config.is_on_demand() {
                let is_in_doubt =
                    |b: &BatchRecord| usize::from(b.channel) == at && b.fate.is_in_doubt();
                outlet.demand = Some(match record.batches.iter().any(is_in_doubt) {
                    true => Demand::InUse { used_ms: now_ms },
                    false => Demand::Resting { since_ms: now_ms },
                });
            }
        }
        let mut pipeline = Pipeline {
            files: Files::new(config.clone(), clock.clone()),
            interceptors,
            router: None,
            connect,
            topics_max: TOPICS_MAX,
            config,
            clock,
            outlets,
            announced: Announcements::default(),
            journal: inherited.journal,
            ledger,
            agent,
            record: Record::default(),
            flights: Flights::default(),
            round: 1,
            is_dirty: false,
            learnt: Learnt::of_start(decides),
            unwritten: None,
            last_ack_ms: now_ms,
            is_stopping: false,
            awaits_answer: false,
            fills_until_ms: u64::MAX,
            settling: Settling::default(),
            ledger_retry_ms: now_ms,
            rebuild: None,
            is_rebuilt: false,
            recalled: Recalled::default(),
            retry_at_ms: now_ms,
            owed: None,
            counters: Counters::default(),
            delivery: Default::default(),
            repeats: Repeats::default(),
            positions: Default::default(),
        };
        pipeline.set_routes(record.batches.iter().any(|batch| batch.share.is_some()));
        pipeline.files.distrust_hints(inherited.is_copied, record.receipts_void);
        let letters = record.letters_known;
        pipeline.inherit_state(record);
        pipeline.inherit_foreign(inherited.is_copied);
        pipeline.inherit_positions(inherited.java, inherited.begin, is_new)?;
        let is_rebuilding = pipeline.is_rebuilding();
        pipeline.inherit_letters(if is_rebuilding { LettersKnown::NOTHING } else { letters });
        pipeline.forget_old_floors();
        Ok(pipeline)
    }

    fn inherit_state(&mut self, mut record: Record) {
        // What is written from now on says so.
        self.is_dirty |= record.tell_names_from(&self.config.spool_dir);
        for batch in record.batches {
            self.announced.push(Announced::inherited(batch));
        }
        self.count_inherited();
        let announced = &self.announced;
        let reached = |id| reached(announced, id);
        self.files.restore(record.files, record.next_file_id, reached);
        self.take_news();
    }

    /// What an earlier run has announced and this one brings to its end counts as received here as
    /// well: else more would be accepted than was received.
    fn count_inherited(&mut self) {
        let of_channel = |channel: usize| {
            let records = self.announced.iter().map(|a| &a.record);
            let is_its = move |b: &&BatchRecord| {
                usize::from(b.channel) == channel && b.count > 0 && b.fate != Fate::Nowhere
            };
            let its = records.filter(is_its);
            its.fold((0, 0), |(events, batches), b| (events + u64::from(b.count), batches + 1))
        };
        // Each channel has the same bytes, but for one that was added since.
        let most = (0..self.outlets.len()).map(of_channel).max().unwrap_or_default();
        (self.counters.events_received, self.counters.batches_received) = most;
    }

    /// What is decided here is in the first record, or nothing is.
    fn inherit_positions(
        &mut self,
        java: Option<Predecessor>,
        begin: Begin,
        is_new: bool,
    ) -> Result<(), StartError> {
        let is_tail = self.config.kind.tail().is_some();
        let begun = match (java, begin) {
            (Some(Predecessor::Tracker(name, position)), _) => {
                self.files.take_over(&name, position)
            }
            (Some(Predecessor::Positions(positions, first)), _) => {
                let taken_over = self.files.take_over_positions(&positions, first);
                taken_over.and_then(|()| self.keep_taken_over())
            }
            (None, Begin::Ends) => {
                let ends = self.files.take_over_ends();
                ends.and_then(|()| if is_tail { self.keep_taken_over() } else { Ok(()) })
            }
            (None, Begin::Topic) if is_new => {
                self.rebuild = Some(Rebuild::new(self.outlets.len()));
                return Ok(());
            }
            (None, _) => return Ok(()),
        };
        self.is_dirty = true;
        begun.map_err(|e| {
            StartError::NotYet(format!("it cannot be told now where files begin: {e}"))
        })
    }

    /// Who verifies later has to know where this source began.
    fn keep_taken_over(&self) -> io::Result<()> {
        let begun = self.files.positions_taken_over();
        if begun.is_empty() {
            return Ok(());
        }
        let dir = &self.config.tracker_dir;
        let begun = begun.iter().map(|(inode, pos, file)| (*inode, *pos, file.as_str()));
        let bytes = flume_positions::encode(begun);
        flume_positions::replace(&dir.join(handover::TAKEN_OVER), dir, &bytes)
    }

    /// Where nothing is in doubt, looking begins at the present end, not where the last run began.
    fn forget_old_floors(&mut self) {
        for (at, outlet) in self.outlets.iter_mut().enumerate() {
            for partition in &mut outlet.record.partitions {
                let is_in_doubt = self.announced.iter().any(|a| {
                    usize::from(a.record.channel) == at
                        && a.record.partition == partition.partition
                        && a.record.fate.is_in_doubt()
                });
                if !is_in_doubt {
                    partition.floor_offset = FLOOR_UNKNOWN;
                }
            }
        }
    }
}

/// How far file `id` was announced.
pub(super) fn reached(announced: &[Announced], id: u64) -> Option<Reached> {
    let of_file = announced.iter().map(|a| &a.record).filter(|b| b.file == id);
    let range = |b: &BatchRecord| AnnouncedRange { start: b.start, end: b.end, crc: b.bytes_crc };
    // Each channel has its batches of the same bytes.
    let mut ranges: Vec<AnnouncedRange> = of_file.clone().map(range).collect();
    ranges.sort_unstable_by_key(|r| (r.start, r.end));
    ranges.dedup();
    of_file.max_by_key(|b| b.end).map(|b| Reached {
        end: b.end,
        tail_crc: Some(b.tail_crc),
        is_final: b.is_final,
        ranges,
    })
}

/// How many batches the record has, and how many of them are in doubt.
fn announced_in(record: &Record) -> (usize, usize) {
    let is_in_doubt = |batch: &&BatchRecord| batch.fate.is_in_doubt();
    (record.batches.len(), record.batches.iter().filter(is_in_doubt).count())
}

/// Batches refer to places in the record, which are mapped to those of the present configuration.
fn make_outlets(
    channels: Vec<(usize, Rc<Destination>, Box<dyn Broker>)>,
    record: &mut Record,
) -> Vec<Outlet> {
    let old: Vec<ChannelRecord> = std::mem::take(&mut record.channels);
    let configs: Vec<Rc<Destination>> = channels.iter().map(|(_, c, _)| c.clone()).collect();
    let places = left::places_in(&old, &configs);
    tell_given_up(&old, &places, &record.batches);
    let new_place = |old: u16| {
        let new = places.iter().position(|place| *place == Some(usize::from(old)));
        new.map(|new| new as u16)
    };
    leave_channels(record, new_place);
    channels
        .into_iter()
        .zip(&places)
        .map(|((index, config, broker), place)| {
            let mut known = place.and_then(|p| old.get(p)).cloned();
            if let Some(known) = &mut known {
                known.name.clone_from(&config.name);
            }
            Outlet::new(config, index, broker, known)
        })
        .collect()
}

/// What is in doubt in a channel that the source does not have any more is not looked for.
fn tell_given_up(old: &[ChannelRecord], places: &[Option<usize>], batches: &[BatchRecord]) {
    for (at, channel) in old.iter().enumerate() {
        let is_its = |b: &&BatchRecord| usize::from(b.channel) == at && b.fate.is_in_doubt();
        let in_doubt = batches.iter().filter(is_its).count();
        if in_doubt == 0 || places.contains(&Some(at)) {
            continue;
        }
        log::log_about(
            Level::Warn,
            CHANNEL,
            &About { topic: Some(&channel.topic), ..About::default() },
            format_args!(
                "Channel {} (topic {}) is not configured any more: whether {} in doubt came there is \
                 not looked for, and nothing is sent there.",
                channel.name,
                channel.topic,
                counted(in_doubt as u64, "batch")
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::slots;
    use crate::config;

    const CONF: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = exec
a1.sources.r1.command = tail -F @DIR@/a.log
a1.sources.r1.trackerDir = @DIR@/state
a1.sources.r1.onBadCheckpoint = @BAD@
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = localhost:9092
a1.channels.c1.kafka.topic = t
a1.channels.c1.parseAsFlumeEvent = false
";

    /// The first record is written when the brokers are there, and the agent may end before. Without a
    /// checkpoint such a source begins where tail would: what stands before that was to be sent.
    #[test]
    fn a_start_that_ends_before_its_first_record_decides_as_the_next_one() {
        for (bad, expected) in
            [("beginning", Begin::Beginnings), ("end", Begin::Ends), ("topic", Begin::Topic)]
        {
            let dir = std::env::temp_dir();
            let dir = dir.join(format!("flume-ng-inherit-{bad}-{}", std::process::id()));
            let state = dir.join("state");
            std::fs::create_dir_all(&state).unwrap();
            std::fs::write(dir.join("a.log"), "line\n").unwrap();
            std::fs::write(state.join(slots::FILE_NAME), "damaged").unwrap();
            let text = CONF.replace("@DIR@", dir.to_str().unwrap()).replace("@BAD@", bad);
            std::fs::write(dir.join("conf"), text).unwrap();
            let loaded = config::load(&dir.join("conf"), "a1");
            let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:?}"));
            for now_ms in 0..3 {
                let inherited = inherit(&loaded.config.sources[0], now_ms);
                let inherited = inherited.unwrap_or_else(|e| panic!("{bad}: {e}"));
                assert_eq!(inherited.begin, expected, "{bad}, start {now_ms}");
                assert!(inherited.java.is_none(), "{bad}, start {now_ms}");
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }

    /// Each announcement stays with its channel; of what has none any more the log speaks.
    #[test]
    fn no_batch_in_doubt_is_dropped_in_silence() {
        let dir = std::env::temp_dir();
        let path = dir.join(format!("flume-ng-outlets-{}", std::process::id()));
        let text = CONF.replace("@DIR@", dir.to_str().unwrap()).replace("@BAD@", "fail");
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(&path, "a1").unwrap_or_else(|faults| panic!("{faults:?}"));
        std::fs::remove_file(&path).unwrap();
        let base = &loaded.config.destinations[0];
        let destination = |name: &str, topic: &str| {
            let (name, topic) = (name.to_owned(), topic.to_owned());
            Rc::new(Destination { name, topic, ..base.clone() })
        };
        let of = |all: &[Rc<Destination>]| {
            let connected =
                |c: &Rc<Destination>| (0, c.clone(), crate::channel::connect::connect(c));
            all.iter().map(connected).collect::<Vec<_>>()
        };
        let channel = |d: &Rc<Destination>| ChannelRecord {
            name: d.name.clone(),
            topic: d.topic.clone(),
            ..ChannelRecord::default()
        };
        let all = [destination("c1", "l"), destination("c2", "x"), destination("c1:x", "x")];
        let batch = |channel| BatchRecord { channel, ..BatchRecord::default() };
        let record = || Record {
            channels: all.iter().map(channel).collect(),
            batches: vec![batch(2), batch(1)],
            ..Record::default()
        };
        let kept = |configured: &[Rc<Destination>]| {
            let mut record = record();
            let before = announced_in(&record);
            let (outlets, told) = log::capture(|| make_outlets(of(configured), &mut record));
            // Only where nothing is given up may the record be written before a broker has answered.
            assert_eq!(announced_in(&record) == before, told.is_empty());
            let name = |b: &BatchRecord| outlets[usize::from(b.channel)].config.name.clone();
            (record.batches.iter().map(name).collect::<Vec<_>>(), told)
        };
        let (names, told) = kept(&all);
        assert_eq!((names, told), (vec!["c1:x".to_owned(), "c2".to_owned()], vec![]));
        let (names, told) = kept(&all[..2]);
        assert_eq!(names, ["c2"]);
        let line = "Channel c1:x (topic x) is not configured any more: whether 1 batch in doubt";
        assert!(told.len() == 1 && told[0].contains(line), "{told:?}");
    }
}
