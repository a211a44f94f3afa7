//! The connections to all leaders of a topic: which partition goes by which of them, and how a round of
//! batches goes out. What is asked beside it, and how answers read, is the business of each wire
//! (`modern.rs`, `middle.rs`).

use std::io::IoSlice;
use std::time::Duration;

use super::batch::Batch;
use super::broker::{Answer, Fault};
use super::cluster::{Leader, without_leader};
use super::lane::{InFlight, Lane, Sent};
use super::protocol::{self, Api, begin_frame, end_frame, put_string};

/// From this version of Produce on a transactional id stands before everything else.
const PRODUCE_TRANSACTIONAL: i16 = 3;

/// See the module.
pub(super) struct Lanes {
    pub(super) topic: String,
    /// The name under which brokers know us.
    pub(super) client_id: String,
    pub(super) request_timeout_ms: u32,
    /// In ascending order.
    partitions: Vec<i32>,
    /// Index into `all` of each of `partitions`.
    led_by: Vec<Option<usize>>,
    /// More may come, and none goes as long as these are used.
    pub(super) all: Vec<Lane>,
    /// Of one answer.
    timeout: Duration,
    /// Reused for the frame and the heads of the partitions of each request.
    heads: Vec<u8>,
}

/// Who speaks, of what, and how long a broker may take to answer for all replicas.
pub(super) struct Speaker<'a> {
    pub(super) topic: &'a str,
    pub(super) client_id: &'a str,
    pub(super) request_timeout_ms: u32,
}

impl Lanes {
    /// Over the connections to `leaders`; `timeout`: of one answer.
    pub(super) fn new(
        speaker: Speaker<'_>,
        partitions: Vec<i32>,
        led_by: Vec<Option<usize>>,
        leaders: Vec<Leader>,
        timeout: Duration,
    ) -> Lanes {
        Lanes {
            topic: speaker.topic.to_string(),
            client_id: speaker.client_id.to_string(),
            request_timeout_ms: speaker.request_timeout_ms,
            partitions,
            led_by,
            all: leaders.into_iter().map(|leader| Lane::new(leader, timeout)).collect(),
            timeout,
            heads: Vec::new(),
        }
    }

    /// Index into `all` of that by which `partition` goes.
    ///
    /// # Errors
    /// `NotReady`: it has no leader, or there is no such partition.
    pub(super) fn lane_of(&self, partition: i32) -> Result<usize, Fault> {
        match self.partitions.binary_search(&partition) {
            Ok(index) => {
                self.led_by[index].ok_or_else(|| without_leader(&self.topic, partition, -1))
            }
            Err(_) => Err(Fault::NotReady(format!("{} has no partition {partition}", self.topic))),
        }
    }

    /// Those that go by the connection at `lane`, ascending.
    pub(super) fn partitions_of(&self, lane: usize) -> Vec<i32> {
        let led = self.partitions.iter().zip(&self.led_by);
        led.filter(|(_, by)| **by == Some(lane)).map(|(partition, _)| *partition).collect()
    }

    /// Takes another connection in, by which nothing goes yet. Returns its index in `all`.
    pub(super) fn add(&mut self, leader: Leader) -> usize {
        self.all.push(Lane::new(leader, self.timeout));
        self.all.len() - 1
    }

    /// Has `partition` go by the connection at `to` from now on, unless batches of it are under way:
    /// what comes after them must not overtake them. Returns whether it does.
    pub(super) fn change_over(&mut self, partition: i32, to: usize) -> bool {
        let Ok(at) = self.partitions.binary_search(&partition) else { return true };
        let Some(from) = self.led_by[at] else { return true };
        let is_free = !self.all[from].carries(partition);
        if is_free {
            self.led_by[at] = Some(to);
        }
        is_free
    }

    /// See `Broker::leader`.
    pub(super) fn leader(&self, partition: i32) -> Option<String> {
        self.lane_of(partition).ok().map(|lane| self.all[lane].peer().to_owned())
    }

    /// The fault that `code` is in an answer to `api`, told by the leader of `partition`.
    pub(super) fn partition_fault(&self, api: Api, code: i16, partition: i32) -> Fault {
        let fault = protocol::partition_fault(api, code, partition, &self.topic);
        match self.leader(partition) {
            Some(peer) => fault.told_by(&peer),
            None => fault,
        }
    }

    /// See `Broker::send`; `api`: the versions of Produce that may be spoken. The batches go to the
    /// kernel as they are, without another copy; what it does not take at once is copied and goes out
    /// with the next `receive`.
    pub(super) fn send(&mut self, api: Api, round: &[&Batch]) -> Result<(), Fault> {
        for lane in 0..self.all.len() {
            let mut batches = Vec::new();
            for batch in round {
                if self.lane_of(batch.partition())? == lane {
                    batches.push(*batch);
                }
            }
            if !batches.is_empty() {
                self.send_to(lane, api, &batches)?;
            }
        }
        Ok(())
    }

    fn send_to(&mut self, lane: usize, api: Api, batches: &[&Batch]) -> Result<(), Fault> {
        let lane = &mut self.all[lane];
        let version = lane.versions.common(api, lane.peer())?;
        let correlation = lane.next_correlation();

        self.heads.clear();
        self.heads.append(&mut begin_frame(api, version, correlation, &self.client_id));
        let gaps =
            put_produce(&mut self.heads, version, &self.topic, self.request_timeout_ms, batches);
        let payload = batches.iter().map(|b| b.sealed_bytes().len()).sum();
        end_frame(&mut self.heads, payload);

        let mut parts = Vec::with_capacity(2 * batches.len());
        let mut at = 0;
        for (batch, gap) in batches.iter().zip(gaps) {
            parts.push(IoSlice::new(&self.heads[at..gap]));
            parts.push(IoSlice::new(batch.sealed_bytes()));
            at = gap;
        }
        let batches = batches.iter().map(|b| InFlight::of(b)).collect();
        lane.send(&parts, correlation, Sent { version, batches })
    }

    /// Has a broker closed a connection while nothing is under way on any, and nothing has come?
    ///
    /// # Errors
    /// `Idle`.
    pub(super) fn expect_open(&self, answers: &[Answer]) -> Result<(), Fault> {
        let is_idle = answers.is_empty() && !self.all.iter().any(Lane::is_busy);
        match self.all.iter().find(|lane| lane.is_closed()) {
            Some(lane) if is_idle => {
                Err(Fault::Idle(format!("{} closed the idle connection", lane.peer())))
            }
            _ => Ok(()),
        }
    }

    /// Is there a connection to every leader?
    pub(super) fn is_whole(&self) -> bool {
        !self.all.iter().any(Lane::is_closed)
    }
}

/// A produce request behind its header: the transactional id, from version 3 on (none); acks, time
/// limit, one topic; with a gap behind each partition's length where its batch goes. Up to version 8
/// the rest is written alike. Returns where each gap is.
fn put_produce(
    out: &mut Vec<u8>,
    version: i16,
    topic: &str,
    timeout_ms: u32,
    batches: &[&Batch],
) -> Vec<usize> {
    if version >= PRODUCE_TRANSACTIONAL {
        out.extend_from_slice(&(-1i16).to_be_bytes());
    }
    out.extend_from_slice(&(-1i16).to_be_bytes());
    out.extend_from_slice(&(timeout_ms as i32).to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    put_string(out, topic);
    out.extend_from_slice(&(batches.len() as i32).to_be_bytes());
    let mut gaps = Vec::with_capacity(batches.len());
    for batch in batches {
        out.extend_from_slice(&batch.partition().to_be_bytes());
        out.extend_from_slice(&(batch.sealed_bytes().len() as i32).to_be_bytes());
        gaps.push(out.len());
    }
    gaps
}
