//! More than one connection to a leader, where one does not carry what there is to send.
//!
//! A broker works on one request of a connection at a time, and reads no other from it meanwhile: with
//! a backlog we wait for it, and then it waits for us. So a connection that is never empty for a while
//! gets another one beside it, to the same address, and every other of its partitions goes over that from
//! then on; and so once more. An agent that keeps up has one connection to each leader.
//!
//! The promise does not notice: a partition changes over only when nothing of it is under way, so its
//! batches arrive in order, and what ends one connection ends all (`open` makes them anew). Another
//! cluster may have taken the address since the first connection was made. So before the new connection
//! carries anything, it must tell the same cluster, the same topic and the same leaders.
//!
//! Another connection is a matter of speed alone: one that is not to be had, since the broker counts
//! them (`max.connections.per.ip`) or refuses another login, is done without until all are made anew.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use kafka_protocol::messages::MetadataResponse;

use super::batch::Wire;
use super::broker::{Fault, Progress, Topic};
use super::client::Client;
use super::cluster::{Leader, Word, ask_metadata};
use super::finish::Waits as _;
use super::greet::{Greeted, Greeting};
use super::lanes::Lanes;
use super::protocol::Asked;
use crate::log;

/// Connections to one leader: so many threads of a broker read from its clients, unless it is told
/// otherwise (`num.network.threads`).
const CONNECTIONS_MAX: usize = 3;

/// A connection is full with so much under way, in two requests or more.
const FULL_BYTES: usize = 256 << 10;

/// So many requests in a row must have found it not empty and left it full.
const FULL_ROUNDS: u32 = 8;

/// How long a broker has to greet and to tell.
const PATIENCE: Duration = Duration::from_millis(2_000);

/// See the module.
pub(super) struct Growth {
    /// How the topic was when all was connected.
    cluster_id: String,
    topic_id: [u8; 16],
    /// Requests in a row that left each connection full; in the order of `Lanes::all`.
    full_rounds: Vec<u32>,
    /// `host:port` of leaders to whom no other connection is to be had.
    refused: Vec<String>,
    step: Step,
}

/// One connection is made at a time.
enum Step {
    Rest,
    /// Beside that one, an index into `Lanes::all`.
    Making(usize, Attempt),
    /// These partitions go over `to` once nothing of them is under way.
    Moving {
        left: Vec<i32>,
        to: usize,
    },
}

enum Attempt {
    Greeting(Box<Greeting>),
    /// Whether it leads to the same cluster.
    Asking(Box<Greeted>, Asked),
}

impl Growth {
    pub(super) fn new(topic: &Topic) -> Growth {
        Growth {
            cluster_id: topic.cluster_id.clone(),
            topic_id: topic.topic_id,
            full_rounds: Vec::new(),
            refused: Vec::new(),
            step: Step::Rest,
        }
    }

    /// May a batch of `partition` be sent? Not while it waits to change over.
    pub(super) fn takes(&self, partition: i32) -> bool {
        !matches!(&self.step, Step::Moving { left, .. } if left.contains(&partition))
    }

    /// A round was sent.
    pub(super) fn sent(&mut self, lanes: &Lanes) {
        self.full_rounds.resize(lanes.all.len(), 0);
        for (full, lane) in self.full_rounds.iter_mut().zip(&lanes.all) {
            match lane.rounds() {
                0 | 1 => *full = 0,
                _ if lane.bytes_under_way() >= FULL_BYTES => *full += 1,
                _ => {}
            }
        }
    }

    /// Goes as far as it can now.
    pub(super) fn step(&mut self, lanes: &mut Lanes, client: &Client) {
        self.step = match std::mem::replace(&mut self.step, Step::Rest) {
            Step::Rest => self.begin(lanes, client),
            Step::Making(beside, attempt) => {
                let step = self.go_on(lanes, beside, attempt, client);
                step.unwrap_or_else(|fault| self.refuse(lanes.all[beside].peer(), &fault))
            }
            Step::Moving { left, to } => change_over(lanes, left, to),
        };
    }

    /// Is there a connection that stays full, of which another one can take something?
    fn begin(&mut self, lanes: &Lanes, client: &Client) -> Step {
        let full = self.full_rounds.iter().position(|full| *full >= FULL_ROUNDS);
        let Some(at) = full else { return Step::Rest };
        self.full_rounds[at] = 0;
        let peer = lanes.all[at].peer();
        let connections = lanes.all.iter().filter(|lane| lane.peer() == peer).count();
        let is_refused = self.refused.iter().any(|refused| refused == peer);
        // One that nothing is sent over would be closed for idleness, and all others with it.
        let busy =
            lanes.partitions_of(at).into_iter().filter(|p| lanes.all[at].carries(*p)).count();
        if connections >= CONNECTIONS_MAX || busy < 2 || is_refused {
            return Step::Rest;
        }
        let until = Instant::now() + PATIENCE;
        match Greeting::start_beside(lanes.all[at].connection(), &lanes.topic, client, until) {
            Ok(greeting) => Step::Making(at, Attempt::Greeting(Box::new(greeting))),
            Err(fault) => self.refuse(peer, &fault),
        }
    }

    fn go_on(
        &self,
        lanes: &mut Lanes,
        beside: usize,
        attempt: Attempt,
        client: &Client,
    ) -> Result<Step, Fault> {
        match attempt {
            Attempt::Greeting(mut greeting) => {
                let Progress::Done(mut greeted) = greeting.poll()? else {
                    return Ok(Step::Making(beside, Attempt::Greeting(greeting)));
                };
                let until = Instant::now() + PATIENCE;
                let asked = ask_metadata(&mut greeted, &lanes.topic, &client.id, false, until)?;
                Ok(Step::Making(beside, Attempt::Asking(Box::new(greeted), asked)))
            }
            Attempt::Asking(mut greeted, asked) => {
                let answer = asked.poll::<MetadataResponse>(&mut greeted.0)?;
                let Progress::Done(answer) = answer else {
                    return Ok(Step::Making(beside, Attempt::Asking(greeted, asked)));
                };
                let word = Word::of(&answer, &lanes.topic)?;
                self.expect_same(&word, lanes, beside)?;
                Ok(divide(lanes, beside, *greeted))
            }
        }
    }

    /// # Errors
    /// `NotReady`: what is told over the new connection is not what was told over those that there
    /// are.
    fn expect_same(&self, word: &Word, lanes: &Lanes, beside: usize) -> Result<(), Fault> {
        let topic = word.topic(Wire::Modern);
        let peer = lanes.all[beside].peer();
        let mut partitions = lanes.partitions_of(beside).into_iter();
        let is_same = topic.cluster_id == self.cluster_id
            && topic.topic_id == self.topic_id
            && partitions.all(|partition| word.leader(partition) == Some(peer));
        match is_same {
            true => Ok(()),
            false => {
                let why = "it tells of another cluster, another topic or other leaders";
                Err(Fault::NotReady(why.to_owned()))
            }
        }
    }

    /// Does without.
    fn refuse(&mut self, peer: &str, fault: &Fault) -> Step {
        log::info(
            "producer.SyncProducer",
            format_args!("No further connection to {peer} is to be had, going on without: {fault}"),
        );
        self.refused.push(peer.to_owned());
        Step::Rest
    }

    /// What is waited for.
    pub(super) fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        match &self.step {
            Step::Rest | Step::Moving { .. } => {}
            Step::Making(_, Attempt::Greeting(greeting)) => greeting.descriptors(add),
            Step::Making(_, Attempt::Asking(greeted, _)) => {
                add(greeted.0.fd(), greeted.0.wants_write());
            }
        }
    }
}

/// Has every other partition of `beside` go over the new connection, of those with batches under way as
/// of the rest.
fn divide(lanes: &mut Lanes, beside: usize, (connection, spoken): Greeted) -> Step {
    log::info(
        "producer.SyncProducer",
        format_args!(
            "Connected to {} once more: one connection does not carry what there is to send",
            connection.peer()
        ),
    );
    let (mut left, rest): (Vec<i32>, Vec<i32>) =
        lanes.partitions_of(beside).into_iter().partition(|p| lanes.all[beside].carries(*p));
    left.extend(rest);
    let left = left.into_iter().skip(1).step_by(2).collect();
    let to = lanes.add(Leader { connection, spoken });
    change_over(lanes, left, to)
}

/// Those of `left` of which nothing is under way go over `to` from now on.
fn change_over(lanes: &mut Lanes, mut left: Vec<i32>, to: usize) -> Step {
    left.retain(|partition| !lanes.change_over(*partition, to));
    if left.is_empty() { Step::Rest } else { Step::Moving { left, to } }
}
