//! A broker that has taken everything by the next time it is asked.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::Rc;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::channel::broker::{Answer, Broker, Fault, Found, Topic, Verdict};
use flume_ng::checkpoint::record::BatchRecord;

const PARTITIONS: i32 = 3;

pub struct Instant {
    wire: Wire,
    ends: [i64; PARTITIONS as usize],
    answers: Vec<Answer>,
    rounds: Rc<Cell<u64>>,
    is_mute: Rc<Cell<bool>>,
}

impl Instant {
    pub fn new(wire: Wire) -> Instant {
        let ends = [0; PARTITIONS as usize];
        let (rounds, is_mute) = Default::default();
        Instant { wire, ends, answers: Vec::new(), rounds, is_mute }
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
    fn open(&mut self) -> Result<Topic, Fault> {
        Ok(Topic {
            wire: self.wire,
            cluster_id: String::new(),
            topic_id: [0; 16],
            partitions: (0..PARTITIONS).collect(),
            replicas: 1,
        })
    }

    fn init_producer(&mut self) -> Result<Identity, Fault> {
        Ok(match self.wire {
            Wire::Modern => Identity { producer_id: 1, epoch: 0 },
            Wire::Legacy => Identity::NONE,
        })
    }

    fn end_offset(&mut self, partition: i32) -> Result<i64, Fault> {
        Ok(self.ends[partition as usize])
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        self.rounds.set(self.rounds.get() + 1);
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

    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        if !self.is_mute.get() {
            answers.append(&mut self.answers);
        }
        Ok(())
    }

    fn look(&mut self, _: i32, _: i64, wanted: &[&BatchRecord]) -> Result<Found, Fault> {
        let offsets = vec![None; wanted.len()];
        Ok(Found { offsets, floor_is_gone: false, ends_before_floor: false })
    }

    fn wait(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn rounds_in_flight_max(&self) -> usize {
        if self.wire == Wire::Modern { 5 } else { 1 }
    }

    fn use_legacy(&mut self) {}

    fn descriptors(&self, _: &mut dyn FnMut(RawFd, bool)) {}
}
