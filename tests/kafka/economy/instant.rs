//! A broker that has taken everything by the next time it is asked.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::channel::broker::{Answer, Broker, Fault, Found, Progress, Sought, Topic, Verdict};
use flume_ng::channel::finish::Waits;

const PARTITIONS: i32 = 3;

pub struct Instant {
    wire: Wire,
    ends: [i64; PARTITIONS as usize],
    answers: Vec<Answer>,
    rounds: Rc<Cell<u64>>,
    is_mute: Rc<Cell<bool>>,
    /// Rounds that are not answered.
    in_flight: usize,
}

impl Instant {
    pub fn new(wire: Wire) -> Instant {
        let ends = [0; PARTITIONS as usize];
        let (rounds, is_mute) = Default::default();
        Instant { wire, ends, answers: Vec::new(), rounds, is_mute, in_flight: 0 }
    }

    /// While it is set, answers are kept back.
    pub fn is_mute(&self) -> Rc<Cell<bool>> {
        self.is_mute.clone()
    }

    /// Counts the rounds that come.
    pub fn rounds(&self) -> Rc<Cell<u64>> {
        self.rounds.clone()
    }
}

impl Broker for Instant {
    fn open(&mut self) -> Result<Progress<Topic>, Fault> {
        Ok(Progress::Done(Topic {
            wire: self.wire,
            cluster_id: String::new(),
            topic_id: [0; 16],
            partitions: (0..PARTITIONS).collect(),
            leaderless: Vec::new(),
            replicas: 1,
        }))
    }

    fn survey(&mut self) -> Result<Progress<Topic>, Fault> {
        self.open()
    }

    fn init_producer(&mut self) -> Result<Progress<Identity>, Fault> {
        Ok(Progress::Done(match self.wire {
            Wire::Modern => Identity { producer_id: 1, epoch: 0 },
            Wire::Middle | Wire::Legacy => Identity::NONE,
        }))
    }

    fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault> {
        Ok(Progress::Done(partitions.iter().map(|p| self.ends[*p as usize]).collect()))
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        self.rounds.set(self.rounds.get() + 1);
        self.in_flight += 1;
        assert!(self.in_flight <= self.rounds_in_flight_max(), "rounds under way");
        for batch in round {
            let partition = batch.partition();
            let end = &mut self.ends[partition as usize];
            let verdict = Verdict::Acked { base_offset: *end };
            *end += i64::from(batch.count());
            let base_sequence = batch.base_sequence();
            self.answers.push(Answer { partition, base_sequence, verdict });
        }
        Ok(())
    }

    fn takes(&self, _: i32) -> bool {
        self.in_flight < self.rounds_in_flight_max()
    }

    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        if !self.is_mute.get() {
            answers.append(&mut self.answers);
            self.in_flight = 0;
        }
        Ok(())
    }

    fn look(&mut self, sought: &[Sought<'_>]) -> Result<Progress<Vec<Found>>, Fault> {
        let found = sought.iter().map(|s| Found {
            offsets: vec![None; s.wanted.len()],
            floor_is_gone: false,
            ends_before_floor: false,
        });
        Ok(Progress::Done(found.collect()))
    }

    fn forget_looks(&mut self) {}

    fn rounds_in_flight_max(&self) -> usize {
        if self.wire == Wire::Legacy { 1 } else { 5 }
    }

    fn use_legacy(&mut self) {}
}

impl Waits for Instant {
    fn descriptors(&self, _: &mut dyn FnMut(RawFd, bool)) {}

    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}
