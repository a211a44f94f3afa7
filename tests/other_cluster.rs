//! The same configuration, another cluster behind it. Producer ids begin at 0 on every cluster, so
//! a batch in doubt that keeps its old identity there can be taken for somebody else's, and its
//! lines are lost in silence. Here the new cluster's coordinator is not ready at first, which once
//! made the second try forget that the cluster was another one.

use std::cell::RefCell;
use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::broker::{Answer, Broker, Fault, Identity, Topic, Verdict, Wire};
use flume_ng::checkpoint::record::BatchRecord;
use flume_ng::clock::ManualClock;
use flume_ng::config;
use flume_ng::ledger::FileLedger;
use flume_ng::pipeline::{self, Observer, Pipeline, Startup};

/// A cluster of one partition.
#[derive(Default)]
struct Cluster {
    id: &'static str,
    /// Does it answer to a round, or keep silent?
    answers: bool,
    /// So many questions for a producer id fail.
    init_faults: u32,
    next_producer_id: i64,
    /// Producer id, epoch, base sequence and count of what somebody else has written.
    foreign: Vec<(i64, i16, i32, u32)>,
    appended: Vec<Vec<u8>>,
    pending: Vec<Answer>,
}

struct Link(Rc<RefCell<Cluster>>);

impl Broker for Link {
    fn open(&mut self) -> Result<Topic, Fault> {
        let mut cluster = self.0.borrow_mut();
        cluster.pending.clear();
        let cluster_id = cluster.id.to_string();
        Ok(Topic { wire: Wire::Modern, cluster_id, partitions: vec![0], replicas: 1 })
    }

    fn init_producer(&mut self) -> Result<Identity, Fault> {
        let mut cluster = self.0.borrow_mut();
        if cluster.init_faults > 0 {
            cluster.init_faults -= 1;
            return Err(Fault::Lost("no coordinator yet".to_string()));
        }
        cluster.next_producer_id += 1;
        Ok(Identity { producer_id: cluster.next_producer_id - 1, epoch: 0 })
    }

    fn end_offset(&mut self, _: i32) -> Result<i64, Fault> {
        Ok(0)
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        let mut cluster = self.0.borrow_mut();
        for batch in round.iter().filter(|_| cluster.answers).collect::<Vec<_>>() {
            cluster.appended.extend(batch.values().map(<[u8]>::to_vec));
            let verdict = Verdict::Acked { base_offset: 100 };
            let base_sequence = batch.base_sequence();
            cluster.pending.push(Answer { partition: 0, base_sequence, verdict });
        }
        Ok(())
    }

    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        answers.append(&mut self.0.borrow_mut().pending);
        Ok(())
    }

    fn look(&mut self, _: i32, _: i64, wanted: &[&BatchRecord]) -> Result<Vec<Option<i64>>, Fault> {
        let cluster = self.0.borrow();
        let find = |w: &&BatchRecord| {
            let it = (w.producer_id, w.producer_epoch, w.base_sequence, w.count);
            cluster.foreign.iter().position(|f| *f == it).map(|at| at as i64)
        };
        Ok(wanted.iter().map(find).collect())
    }

    fn wait(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn rounds_in_flight_max(&self) -> usize {
        5
    }

    fn use_legacy(&mut self) {}

    fn descriptors(&self, _: &mut dyn FnMut(RawFd, bool)) {}
}

struct Nobody;

impl Observer for Nobody {
    fn acked(&mut self, _: usize, _: u64, _: Option<&Batch>) {}
}

/// A run of `steps` steps that ends as by kill -9.
fn run(root: &Path, cluster: &Rc<RefCell<Cluster>>, clock: &ManualClock, steps: u32) {
    let spool = root.join("spool");
    let conf = format!(
        "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = spooltail\n\
         a1.sources.r1.channels = c1\na1.sources.r1.spoolDir = {}\n\
         a1.sources.r1.targetPattern = .*\n\
         a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
         a1.channels.c1.brokerList = h:1\na1.channels.c1.topic = t\n",
        spool.display()
    );
    let path = root.join("c.conf");
    fs::write(&path, conf).unwrap();
    let mut agent = config::load(&path, "a1").unwrap().config;
    let (source, channel) = (Rc::new(agent.sources.remove(0)), Rc::new(agent.channels.remove(0)));
    fs::create_dir_all(&source.tracker_dir).unwrap();
    let inherited = pipeline::inherit(&source, 0).unwrap();
    let startup = Startup {
        agent: "a1".to_string(),
        ledger: Box::new(FileLedger::new(&source.tracker_dir)),
        config: source,
        channels: vec![(0, channel, Box::new(Link(cluster.clone())))],
        clock: Rc::new(clock.clone()),
    };
    let mut pipeline = Pipeline::assemble(startup, inherited);
    for _ in 0..steps {
        pipeline.step(&mut Nobody).unwrap();
        clock.advance(100);
    }
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("flume-ng-test-{}-{name}", std::process::id()));
    fs::create_dir_all(path.join("spool")).unwrap();
    path
}

#[test]
fn doubts_are_not_looked_for_on_another_cluster_whatever_fails_there() {
    for init_faults in 0..4 {
        let root = directory("other-cluster");
        fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
        let clock = ManualClock::new(1_700_000_000_000, 0);
        // Announced under producer id 0 and sent to A, which never answers.
        let a = Rc::new(RefCell::new(Cluster { id: "A", ..Cluster::default() }));
        run(&root, &a, &clock, 20);
        let b = Rc::new(RefCell::new(Cluster {
            id: "B",
            answers: true,
            init_faults,
            next_producer_id: 7,
            foreign: vec![(0, 0, 0, 2)],
            ..Cluster::default()
        }));
        run(&root, &b, &clock, 100);
        // A third run finds nothing in doubt.
        run(&root, &b, &clock, 20);
        let appended = b.borrow().appended.clone();
        assert_eq!(appended, [b"\x00\x06one".to_vec(), b"\x00\x06two".to_vec()], "{init_faults}");
        fs::remove_dir_all(&root).unwrap();
    }
}
