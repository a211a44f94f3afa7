//! What a channel points to is not what it was: another cluster, a topic made anew, a channel that
//! was added, while batches are in doubt.
//!
//! *The same configuration, another cluster behind it.* Producer ids begin at 0 on every cluster, so
//! a batch in doubt that keeps its old identity there can be taken for somebody else's, and its
//! lines are lost in silence. Here the new cluster's coordinator is not ready at first, which once
//! made the second try forget that the cluster was another one.

mod added;
mod ahead;
mod cramped;
mod letters;
mod missing;
mod read_back;
mod removed;
mod renamed;
mod reshaped;

use crate::support::torture::{Group, V010, hazard};
use std::cell::RefCell;
use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::channel::broker::{
    Answer, Broker, Fault, Found, Progress, ResponseError, Sought, Topic, Verdict,
};
use flume_ng::channel::connect;
use flume_ng::channel::finish::Waits;
use flume_ng::channel::reader::History;
use flume_ng::checkpoint::record::BatchRecord;
use flume_ng::clock::ManualClock;
use flume_ng::config;
use flume_ng::pipeline::{self, Observer, Pipeline, Startup};

use cramped::{Cramped, Letters};

/// A cluster with one topic.
struct Cluster {
    id: &'static str,
    wire: Wire,
    replicas: usize,
    partitions: Vec<i32>,
    leaderless: Vec<i32>,
    /// Does it answer to a round, or keep silent?
    answers: bool,
    /// Nobody can connect, and who waits for an answer is cut off.
    is_down: bool,
    /// Batches of more events are too large for it.
    events_max: u32,
    /// So many questions for a producer id fail.
    init_faults: u32,
    /// The epoch that each producer id is given with.
    epoch: i16,
    next_producer_id: i64,
    /// Producer id, epoch, base sequence and count of what somebody else has written.
    foreign: Vec<(i64, i16, i32, u32)>,
    /// The end of each partition.
    end: i64,
    /// The broker's clock, where it refuses time stamps that differ by more than an hour.
    clock_ms: Option<i64>,
    /// The brokers have lost what they knew of producers: of epoch 0 they expect sequence 0.
    has_forgotten: bool,
    /// A record with this text is refused with error 87; the empty text is in all.
    refused: Option<&'static str>,
    /// Producer id, epoch, base sequence and stamp of each batch that was appended.
    heads: Vec<(i64, i16, i32, i64)>,
    appended: Vec<Vec<u8>>,
    pending: Vec<Answer>,
    /// Base sequences of what was sent and is not answered, as requests.
    unanswered: Vec<i32>,
    /// Partition of what was looked for last, and whether it was to be read whatever was read.
    sought: Vec<(i32, bool)>,
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            id: "A",
            wire: Wire::Modern,
            replicas: 1,
            partitions: vec![0],
            leaderless: Vec::new(),
            answers: false,
            is_down: false,
            events_max: u32::MAX,
            init_faults: 0,
            epoch: 0,
            next_producer_id: 0,
            foreign: Vec::new(),
            end: 0,
            clock_ms: None,
            has_forgotten: false,
            refused: None,
            heads: Vec::new(),
            appended: Vec::new(),
            pending: Vec::new(),
            unanswered: Vec::new(),
            sought: Vec::new(),
        }
    }
}

type Shared = Rc<RefCell<Cluster>>;

fn shared(cluster: Cluster) -> Shared {
    Rc::new(RefCell::new(cluster))
}

/// Producer id, epoch, base sequence and time stamp in the header of a batch, if it has one.
fn head(batch: &Batch, wire: Wire) -> (i64, i16, i32, i64) {
    if wire == Wire::Legacy {
        return (-1, -1, -1, 0);
    }
    let bytes = batch.sealed_bytes();
    let long = |at: usize| i64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
    if wire == Wire::Middle {
        return (-1, -1, -1, long(18));
    }
    (long(43), (long(51) >> 48) as i16, batch.base_sequence(), long(27))
}

/// The places of the records with this text, if there are any; none are named if all have it.
fn refused_of(batch: &Batch, text: Option<&str>) -> Option<Vec<u32>> {
    let has_it = |v: &[u8]| text.is_some_and(|text| String::from_utf8_lossy(v).contains(text));
    let values = (0..).zip(batch.values());
    let refused: Vec<u32> = values.filter(|(_, v)| has_it(v)).map(|(at, _)| at).collect();
    match refused.len() as u32 {
        0 => None,
        count if count == batch.count() => Some(Vec::new()),
        _ => Some(refused),
    }
}

/// What it tells of its topic.
fn topic(cluster: &Cluster) -> Topic {
    let cluster_id = cluster.id.to_string();
    let partitions = cluster.partitions.clone();
    let (wire, replicas, topic_id) = (cluster.wire, cluster.replicas, [0; 16]);
    let leaderless = cluster.leaderless.clone();
    Topic { wire, cluster_id, topic_id, partitions, leaderless, replicas }
}

struct Link(Shared);

impl Broker for Link {
    fn open(&mut self) -> Result<Progress<Topic>, Fault> {
        let mut cluster = self.0.borrow_mut();
        cluster.pending.clear();
        cluster.unanswered.clear();
        if cluster.is_down {
            return Err(Fault::Unreachable("down".to_string()));
        }
        Ok(Progress::Done(topic(&cluster)))
    }

    fn init_producer(&mut self) -> Result<Progress<Identity>, Fault> {
        let mut cluster = self.0.borrow_mut();
        if cluster.init_faults > 0 {
            cluster.init_faults -= 1;
            return Err(Fault::Lost("no coordinator yet".to_string()));
        }
        if !cluster.wire.has_identity() {
            return Ok(Progress::Done(Identity::NONE));
        }
        cluster.next_producer_id += 1;
        let producer_id = cluster.next_producer_id - 1;
        Ok(Progress::Done(Identity { producer_id, epoch: cluster.epoch }))
    }

    fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault> {
        Ok(Progress::Done(vec![self.0.borrow().end; partitions.len()]))
    }

    fn survey(&mut self) -> Result<Progress<Topic>, Fault> {
        Ok(Progress::Done(topic(&self.0.borrow())))
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        let mut cluster = self.0.borrow_mut();
        if !cluster.answers {
            cluster.unanswered.extend(round.iter().map(|batch| batch.base_sequence()));
        }
        for batch in round.iter().filter(|_| cluster.answers).collect::<Vec<_>>() {
            let (partition, base_sequence) = (batch.partition(), batch.base_sequence());
            assert!(cluster.partitions.contains(&partition), "there is no partition {partition}");
            let head = head(batch, cluster.wire);
            let is_off = |broker_ms: i64| (head.3 - broker_ms).abs() > 3_600_000;
            let verdict = if batch.values().count() > cluster.events_max as usize {
                Verdict::TooLarge
            } else if cluster.clock_ms.is_some_and(is_off) {
                Verdict::StampRefused
            } else if let Some(records) = refused_of(batch, cluster.refused) {
                Verdict::Rejected { error: ResponseError::InvalidRecord, records }
            } else if cluster.has_forgotten && head.1 == 0 {
                Verdict::OutOfSequence { error: ResponseError::OutOfOrderSequenceNumber }
            } else {
                let base_offset = cluster.appended.len() as i64;
                cluster.appended.extend(batch.values().map(<[u8]>::to_vec));
                cluster.heads.push(head);
                Verdict::Acked { base_offset }
            };
            cluster.pending.push(Answer { partition, base_sequence, verdict });
        }
        Ok(())
    }

    fn takes(&self, _: i32) -> bool {
        self.0.borrow().unanswered.len() < self.rounds_in_flight_max()
    }

    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        let mut cluster = self.0.borrow_mut();
        answers.append(&mut cluster.pending);
        let is_cut = cluster.is_down && !cluster.unanswered.is_empty();
        if is_cut { Err(Fault::Lost("down".to_string())) } else { Ok(()) }
    }

    fn look(&mut self, sought: &[Sought<'_>]) -> Result<Progress<Vec<Found>>, Fault> {
        let mut cluster = self.0.borrow_mut();
        cluster.sought = sought.iter().map(|s| (s.partition, s.afresh)).collect();
        let find = |w: &&BatchRecord| {
            let it = (w.producer_id, w.producer_epoch, w.base_sequence, w.count);
            cluster.foreign.iter().position(|f| *f == it).map(|at| at as i64)
        };
        let found = sought.iter().map(|s| Found {
            offsets: s.wanted.iter().map(find).collect(),
            floor_is_gone: false,
            ends_before_floor: false,
        });
        Ok(Progress::Done(found.collect()))
    }

    fn history(&mut self) -> Result<Box<dyn History>, Fault> {
        let cluster = self.0.borrow();
        Ok(Box::new(read_back::Values(cluster.appended.clone(), cluster.partitions.clone())))
    }

    fn forget_looks(&mut self) {}

    fn rounds_in_flight_max(&self) -> usize {
        if self.0.borrow().wire == Wire::Legacy { 1 } else { 5 }
    }

    fn use_legacy(&mut self) {}
}

impl Waits for Link {
    fn descriptors(&self, _: &mut dyn FnMut(RawFd, bool)) {}

    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

struct Nobody;

impl Observer for Nobody {
    fn acked(&mut self, _: usize, _: u64, _: Option<&Batch>) {}
}

/// A run of `steps` steps, of 100 ms each, that ends as by kill -9: channels by name. Returns how
/// many batches were under way at its end.
fn run(root: &Path, channels: &[(&str, &Shared)], clock: &ManualClock, steps: u32) -> usize {
    run_with(root, channels, clock, steps, &mut |_| ())
}

/// The same; `before` comes before each step.
fn run_with(
    root: &Path,
    channels: &[(&str, &Shared)],
    clock: &ManualClock,
    steps: u32,
    before: &mut dyn FnMut(u32),
) -> usize {
    let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
    let names = names.join(" ");
    let mut conf = format!(
        "a1.sources = r1\na1.channels = {names}\na1.sources.r1.type = spooltail\n\
         a1.sources.r1.channels = {names}\na1.sources.r1.spoolDir = {}\n\
         a1.sources.r1.targetPattern = .*\na1.sources.r1.batchSize = 2\n",
        root.join("spool").display()
    );
    for (name, _) in channels {
        conf += &format!(
            "a1.channels.{name}.type = org.apache.flume.channel.kafka.KafkaChannel\n\
             a1.channels.{name}.brokerList = h:1\na1.channels.{name}.topic = t-{name}\n"
        );
    }
    conf += &fs::read_to_string(root.join("more.conf")).unwrap_or_default();
    let path = root.join("c.conf");
    fs::write(&path, conf).unwrap();
    let mut agent = config::load(&path, "a1").unwrap().config;
    let source = Rc::new(agent.sources.remove(0));
    fs::create_dir_all(&source.tracker_dir).unwrap();
    let mut inherited = pipeline::inherit(&source, 0).unwrap();
    inherited.journal = Box::new(Cramped(inherited.journal, root.join("no-room")));
    let link = |cluster: &Shared| -> Box<dyn Broker> { Box::new(Link(cluster.clone())) };
    let configs = agent.destinations.into_iter().map(Rc::new).enumerate();
    let startup = Startup {
        agent: "a1".to_string(),
        ledger: Box::new(Letters::new(root, &source.tracker_dir)),
        config: source,
        channels: configs
            .zip(channels)
            .map(|((at, c), (_, link_to))| (at, c, link(link_to)))
            .collect(),
        clock: Rc::new(clock.clone()),
        connect: Rc::new(connect::connect),
    };
    let mut pipeline = Pipeline::assemble(startup, inherited).unwrap();
    for step in 0..steps {
        before(step);
        pipeline.step(&mut Nobody).unwrap();
        clock.advance(100);
    }
    assert!(pipeline.files().tracked().all(|t| !t.has_uncommitted() || pipeline.in_doubt() > 0));
    pipeline.in_doubt()
}

/// Values of events without headers, as they stand in the topic.
fn values(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|l| [&[0, 2 * l.len() as u8], l.as_bytes()].concat()).collect()
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("flume-ng-test-{}-{name}", std::process::id()));
    fs::create_dir_all(path.join("spool")).unwrap();
    path
}

#[test]
fn doubts_are_not_looked_for_on_another_cluster_whatever_fails_there() {
    let _row = hazard(Group::Log, "another cluster in the configuration, batches in doubt", V010);
    for init_faults in 0..4 {
        let root = directory("other-cluster");
        fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
        let clock = ManualClock::new(1_700_000_000_000, 0);
        // Announced under producer id 0 and sent to A, which never answers.
        let a = shared(Cluster::default());
        run(&root, &[("c1", &a)], &clock, 20);
        let b = shared(Cluster {
            id: "B",
            answers: true,
            init_faults,
            next_producer_id: 7,
            foreign: vec![(0, 0, 0, 2)],
            ..Cluster::default()
        });
        run(&root, &[("c1", &b)], &clock, 100);
        // A third run finds nothing in doubt.
        run(&root, &[("c1", &b)], &clock, 20);
        let appended = b.borrow().appended.clone();
        assert_eq!(appended, values(&["one", "two"]), "{init_faults}");
        fs::remove_dir_all(&root).unwrap();
    }
}

/// Two sinks of one channel name brokers that have nothing in common: whichever cluster was written to
/// first is kept to, however long only the other one answers.
#[test]
fn sinks_that_name_two_clusters_never_write_to_the_second() {
    let _row = hazard(Group::Log, "sinks of one channel name brokers of two clusters", V010);
    let root = directory("two-clusters");
    fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
    let sink = |name: &str, broker: &str| {
        format!(
            "a1.sinks.{name}.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.{name}.channel = c1\n\
             a1.sinks.{name}.topic = t\na1.sinks.{name}.brokerList = {broker}\n"
        )
    };
    let sinks = [sink("k1", "h:1"), sink("k2", "g:1")].concat();
    let more = format!("a1.channels.c1.type = memory\na1.sinks = k1 k2\n{sinks}");
    fs::write(root.join("more.conf"), more).unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let first = shared(Cluster::default());
    assert_eq!(run(&root, &[("c1", &first)], &clock, 20), 1);
    let second = shared(Cluster { id: "B", answers: true, ..Cluster::default() });
    assert_eq!(run(&root, &[("c1", &second)], &clock, 1_000), 1);
    assert_eq!(second.borrow().appended, values(&[]));
    let first = shared(Cluster { answers: true, next_producer_id: 9, ..Cluster::default() });
    assert_eq!(run(&root, &[("c1", &first)], &clock, 100), 0);
    assert_eq!(first.borrow().appended, [b"one".to_vec(), b"two".to_vec()]);
    fs::remove_dir_all(&root).unwrap();
}

/// The topic was deleted and made anew with fewer partitions: the batch in doubt for the one that
/// is gone once waited for it for ever, and everything behind it with it.
#[test]
fn a_doubt_in_a_partition_that_is_gone_goes_to_another_after_a_minute() {
    let _row = hazard(Group::Log, "topic made anew with fewer partitions, batches in doubt", V010);
    let root = directory("fewer-partitions");
    // A batch of each, in one partition each.
    fs::write(root.join("spool/f"), "one\ntwo\nthree\n").unwrap();
    fs::write(root.join("spool/g"), "four\nfive\nsix\n").unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let silent = shared(Cluster { partitions: vec![0, 1], ..Cluster::default() });
    assert!(run(&root, &[("c1", &silent)], &clock, 20) >= 2);
    let answering = || shared(Cluster { answers: true, next_producer_id: 9, ..Cluster::default() });
    // A broker that has not heard of the partition yet: nothing is decided within half a minute.
    let early = answering();
    assert!(run(&root, &[("c1", &early)], &clock, 300) >= 2);
    assert_eq!(early.borrow().appended, values(&[]));
    let late = answering();
    assert_eq!(run(&root, &[("c1", &late)], &clock, 800), 0);
    let mut appended = late.borrow().appended.clone();
    appended.sort();
    let mut expected = values(&["one", "two", "three", "four", "five", "six"]);
    expected.sort();
    assert_eq!(appended, expected);
    fs::remove_dir_all(&root).unwrap();
}

/// The new channel has no batch at the position, and once kept it from ever moving again when it
/// was named first.
#[test]
fn a_channel_added_while_batches_are_in_doubt_does_not_hold_the_position() {
    let _row = hazard(Group::Log, "channel added while batches are in doubt", V010);
    for second in [["c1", "c2"], ["c2", "c1"]] {
        let root = directory(&format!("added-{}", second[0]));
        fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
        let clock = ManualClock::new(1_700_000_000_000, 0);
        let silent = shared(Cluster::default());
        assert_eq!(run(&root, &[("c1", &silent)], &clock, 20), 1);
        fs::write(root.join("spool/f"), "one\ntwo\nthree\n").unwrap();
        let ours = || shared(Cluster { answers: true, ..Cluster::default() });
        let (old, new) = (ours(), ours());
        let link = |name: &str| if name == "c1" { old.clone() } else { new.clone() };
        let links = second.map(|name| (name, link(name)));
        let channels = [(links[0].0, &links[0].1), (links[1].0, &links[1].1)];
        assert_eq!(run(&root, &channels, &clock, 100), 0);
        assert_eq!(old.borrow().appended, values(&["one", "two", "three"]));
        // It begins with what had not been announced when it joined.
        assert_eq!(new.borrow().appended, values(&["three"]));
        fs::remove_dir_all(&root).unwrap();
    }
}

/// The agent's clock was a day ahead when a batch was announced. The broker refused its time stamp
/// for ever, also when the clock was right again.
#[test]
fn a_batch_whose_time_stamp_is_refused_is_stamped_anew() {
    let _row = hazard(Group::Sticks, "time stamp of a batch in doubt refused (error 32)", V010);
    const NOW_MS: i64 = 1_700_000_000_000;
    const DAY_MS: i64 = 86_400_000;
    let root = directory("stamp-refused");
    fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
    let clock = ManualClock::new(NOW_MS + DAY_MS, 0);
    let silent = shared(Cluster::default());
    assert_eq!(run(&root, &[("c1", &silent)], &clock, 20), 1);
    let strict = Cluster { answers: true, clock_ms: Some(NOW_MS), ..Cluster::default() };
    let strict = shared(strict);
    // Ahead for a while yet: it waits, whatever is tried.
    assert_eq!(run(&root, &[("c1", &strict)], &clock, 100), 1);
    clock.set_wall(NOW_MS);
    assert_eq!(run(&root, &[("c1", &strict)], &clock, 100), 0);
    let cluster = strict.borrow();
    assert_eq!(cluster.appended, values(&["one", "two"]));
    let (producer_id, epoch, sequence, stamp_ms) = cluster.heads[0];
    assert_eq!((producer_id, epoch, sequence), (0, 0, 0), "its identity stays");
    assert!((stamp_ms - NOW_MS).abs() < 60_000, "{stamp_ms}");
    drop(cluster);
    fs::remove_dir_all(&root).unwrap();
}

/// Kafka 0.11 forgets producers with the records that retention removes. Each partition once
/// waited its minute after the one before it.
#[test]
fn what_brokers_have_forgotten_is_waited_out_in_all_partitions_at_once() {
    let _row =
        hazard(Group::Sticks, "producers forgotten with their records, all partitions", V010);
    let root = directory("forgotten");
    let lines = ["one", "two", "three", "four", "five"];
    for line in lines {
        fs::write(root.join("spool").join(line), format!("{line}\n")).unwrap();
    }
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let partitions = vec![0, 1, 2, 3, 4];
    let silent = shared(Cluster { partitions: partitions.clone(), ..Cluster::default() });
    assert_eq!(run(&root, &[("c1", &silent)], &clock, 20), 5);
    let forgetful = shared(Cluster {
        answers: true,
        has_forgotten: true,
        next_producer_id: 1,
        partitions,
        ..Cluster::default()
    });
    assert_eq!(run(&root, &[("c1", &forgetful)], &clock, 500), 5, "a minute is waited");
    assert_eq!(run(&root, &[("c1", &forgetful)], &clock, 700), 0);
    let mut appended = forgetful.borrow().appended.clone();
    appended.sort();
    let mut expected = values(&lines);
    expected.sort();
    assert_eq!(appended, expected);
    fs::remove_dir_all(&root).unwrap();
}

/// A compacted topic takes no record without a key. All lines once went to the dead letters.
#[test]
fn what_a_topic_refuses_of_every_record_is_waited_for() {
    let _row = hazard(Group::Sticks, "compacted topic refuses every record (error 87)", V010);
    let root = directory("compacted");
    fs::write(root.join("spool/f"), "one\ntwo\nthree\n").unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let topic = shared(Cluster { answers: true, refused: Some(""), ..Cluster::default() });
    assert!(run(&root, &[("c1", &topic)], &clock, 300) > 0);
    topic.borrow_mut().refused = None;
    assert_eq!(run(&root, &[("c1", &topic)], &clock, 300), 0);
    assert_eq!(topic.borrow().appended, values(&["one", "two", "three"]));
    assert!(!root.join("spool/.flumespooltail/dead-letter").exists());
    fs::remove_dir_all(&root).unwrap();
}

/// That a batch was taken a moment before says nothing of a topic that was changed in that moment.
/// One event was once buried for it.
#[test]
fn a_record_is_not_buried_for_what_passed_before_the_topic_was_changed() {
    let root = directory("compacted-later");
    fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
    fs::write(root.join("spool/g"), "three\n").unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let silent = shared(Cluster::default());
    assert_eq!(run(&root, &[("c1", &silent)], &clock, 20), 1);
    let topic = shared(Cluster { answers: true, next_producer_id: 1, ..Cluster::default() });
    let left = run_with(&root, &[("c1", &topic)], &clock, 400, &mut |step| {
        let mut topic = topic.borrow_mut();
        // As soon as the first is there, for a while.
        let has_changed = !topic.appended.is_empty() && step < 300;
        topic.refused = has_changed.then_some("");
    });
    assert_eq!(left, 0);
    assert_eq!(topic.borrow().appended, values(&["one", "two", "three"]));
    assert!(!root.join("spool/.flumespooltail/dead-letter").exists());
    fs::remove_dir_all(&root).unwrap();
}

/// A producer id has 32,768 epochs, and each letter takes one: when they are out, another id is
/// asked for before anything is changed.
#[test]
fn epochs_that_run_out_while_a_batch_is_split_cost_nothing() {
    let root = directory("epochs");
    let lines = ["one", "bad 1", "two", "three", "bad 2", "bad 3", "four", "five"];
    fs::write(root.join("spool/f"), lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let epoch = i16::MAX - 1;
    let topic = Cluster { answers: true, refused: Some("bad"), epoch, ..Cluster::default() };
    let topic = shared(topic);
    assert_eq!(run(&root, &[("c1", &topic)], &clock, 300), 0);
    let topic = topic.borrow();
    assert_eq!(topic.appended, values(&["one", "two", "three", "four", "five"]));
    let ids: Vec<(i64, i16)> = topic.heads.iter().map(|(id, epoch, ..)| (*id, *epoch)).collect();
    assert!(ids.contains(&(0, i16::MAX)), "{ids:?}");
    assert!(ids.iter().any(|(id, _)| *id > 0), "{ids:?}");
    let letters = fs::read(root.join("spool/.flumespooltail/dead-letter")).unwrap();
    let letters = String::from_utf8_lossy(&letters).into_owned();
    for bad in ["bad 1", "bad 2", "bad 3"] {
        assert_eq!(letters.matches(bad).count(), 1, "{letters}");
    }
    fs::remove_dir_all(&root).unwrap();
}

/// Before 2.8 nothing but the batch that was acknowledged last tells a log from another one of its
/// name, which may have grown past what was read of the old one.
#[test]
fn a_log_that_nothing_is_known_again_by_is_read_from_its_floor_each_time() {
    let root = directory("no-mark");
    fs::write(root.join("spool/f"), "one\n").unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let topic = shared(Cluster::default());
    run(&root, &[("c1", &topic)], &clock, 20);
    run(&root, &[("c1", &topic)], &clock, 20);
    assert_eq!(topic.borrow().sought, [(0, true)]);
    // With a mark, that is read each time, and what was read before it stays so.
    topic.borrow_mut().foreign = vec![(0, 0, 0, 1)];
    assert_eq!(run(&root, &[("c1", &topic)], &clock, 100), 0);
    fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
    run(&root, &[("c1", &topic)], &clock, 20);
    run(&root, &[("c1", &topic)], &clock, 1);
    assert_eq!(topic.borrow().sought, [(0, false), (0, true)]);
    fs::remove_dir_all(&root).unwrap();
}

/// What is true of one record alone holds up nothing.
#[test]
fn a_record_that_is_refused_beside_others_that_pass_is_buried() {
    let _row = hazard(Group::Sticks, "one record refused beside others that pass", V010);
    let root = directory("refused");
    fs::write(root.join("spool/f"), "one\nbad\ntwo\nthree\n").unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let topic = shared(Cluster { answers: true, refused: Some("bad"), ..Cluster::default() });
    assert_eq!(run(&root, &[("c1", &topic)], &clock, 300), 0);
    assert_eq!(topic.borrow().appended, values(&["one", "two", "three"]));
    let letters = fs::read(root.join("spool/.flumespooltail/dead-letter")).unwrap();
    assert!(String::from_utf8_lossy(&letters).contains("bad"));
    fs::remove_dir_all(&root).unwrap();
}

/// "Too large" means that nothing was appended. On the wire before 0.11 each such round once waited
/// as long as followers may lag, 21 s, before its halves were sent.
#[test]
fn a_batch_without_identity_that_is_too_large_needs_no_settle_time() {
    let root = directory("too-large-legacy");
    let lines = ["one", "two", "three", "four", "five", "six"];
    fs::write(root.join("spool/f"), lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let small = || Cluster { wire: Wire::Legacy, replicas: 3, events_max: 1, ..Cluster::default() };
    let topic = shared(Cluster { answers: true, ..small() });
    assert_eq!(run(&root, &[("c1", &topic)], &clock, 20), 0);
    assert_eq!(topic.borrow().appended, values(&lines));
    fs::remove_dir_all(&root).unwrap();

    // One whose answer is lost does need it: a copy may be on its way.
    fs::create_dir_all(root.join("spool")).unwrap();
    fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
    let silent = shared(small());
    assert_eq!(run(&root, &[("c1", &silent)], &clock, 20), 1);
    let topic = shared(Cluster { answers: true, ..small() });
    assert_eq!(run(&root, &[("c1", &topic)], &clock, 200), 1);
    assert_eq!(topic.borrow().appended, values(&[]));
    assert_eq!(run(&root, &[("c1", &topic)], &clock, 400), 0);
    assert_eq!(topic.borrow().appended, values(&["one", "two"]));
    fs::remove_dir_all(&root).unwrap();
}

/// Rows of one shape: what was written over a file in doubt ends, where the batch ended, in the
/// same bytes. Reading once went on there, in the middle of a line.
#[test]
fn a_file_overwritten_with_like_rows_while_in_doubt_is_read_from_its_beginning() {
    let _row = hazard(Group::Identity, "file overwritten with like rows while in doubt", V010);
    let root = directory("like-rows");
    let row = |text: &str| format!("{text:-<99}\n");
    let path = root.join("spool/f");
    fs::write(&path, row("a") + &row("b")).unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let silent = shared(Cluster::default());
    assert_eq!(run(&root, &[("c1", &silent)], &clock, 20), 1);
    fs::write(&path, row("c") + &row("d") + &row("e")).unwrap();
    let answering = shared(Cluster { answers: true, ..Cluster::default() });
    assert_eq!(run(&root, &[("c1", &answering)], &clock, 800), 0);
    let rows = answering.borrow().appended.clone();
    let starts: Vec<u8> = rows.iter().map(|value| value[3]).collect();
    assert_eq!(starts, b"cde");
    fs::remove_dir_all(&root).unwrap();
}

/// The broker refuses a batch as too large, and while it is away the file is overwritten: the
/// halves, read again, would be other lines, which are read once more as what they are.
#[test]
fn a_batch_that_is_split_after_its_file_was_overwritten_is_given_up() {
    let _row = hazard(Group::Identity, "file overwritten before a batch is split", V010);
    let root = directory("split-overwritten");
    let path = root.join("spool/f");
    fs::write(&path, "a1\na2\n").unwrap();
    // Another file, whose bytes are those that are still in memory.
    fs::write(root.join("spool/g"), "c1\nc2\n").unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let partitions = vec![0, 1];
    let cluster =
        shared(Cluster { answers: true, events_max: 1, partitions, ..Cluster::default() });
    let mut overwritten = None;
    let left = run_with(&root, &[("c1", &cluster)], &clock, 1_000, &mut |step| {
        let mut cluster = cluster.borrow_mut();
        if overwritten.is_none() && !cluster.pending.is_empty() {
            fs::write(&path, "b1\nb2\nb3\n").unwrap();
            cluster.is_down = true;
            overwritten = Some(step);
        }
        cluster.is_down &= overwritten.is_none_or(|at| step < at + 20);
    });
    assert_eq!(left, 0);
    let mut appended = cluster.borrow().appended.clone();
    appended.sort();
    assert_eq!(appended, values(&["b1", "b2", "b3", "c1", "c2"]));
    fs::remove_dir_all(&root).unwrap();
}

/// A filter that was added takes every event of a batch in doubt. It once ended the agent in a
/// panic, at each start again.
#[test]
fn a_batch_in_doubt_that_a_new_filter_takes_whole_is_given_up() {
    let root = directory("filtered");
    let path = root.join("spool/f");
    fs::write(&path, "one\ntwo\n").unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let silent = shared(Cluster::default());
    assert_eq!(run(&root, &[("c1", &silent)], &clock, 20), 1);
    fs::write(&path, "one\ntwo\nthree\n").unwrap();
    let filter = "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = \
                  regex_filter\na1.sources.r1.interceptors.i1.regex = ^(one|two)$\n\
                  a1.sources.r1.interceptors.i1.excludeEvents = true\n";
    fs::write(root.join("more.conf"), filter).unwrap();
    let answering = shared(Cluster { answers: true, ..Cluster::default() });
    assert_eq!(run(&root, &[("c1", &answering)], &clock, 800), 0);
    assert_eq!(answering.borrow().appended, values(&["three"]));
    fs::remove_dir_all(&root).unwrap();
}
