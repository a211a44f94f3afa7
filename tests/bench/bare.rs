//! What is left of a run when nothing is read, encoded or committed: batches that were made before the
//! clock starts go over our wire again and again. It shows what the broker and its disk take on this
//! machine, and so how much of a run's time can be ours at all.
//!
//! The benchmark runs itself once more for that: `--bare HOST:PORT TOPIC BYTES LINES BATCH_BYTES ROUNDS`.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use flume_ng::channel::batch::{Batch, Identity};
use flume_ng::channel::broker::{Broker, Topic, Verdict};
use flume_ng::channel::connect::connect;
use flume_ng::config::model::{Compression, ValueFormat};
use flume_ng::os::{self, Interest};

use crate::data::Lines;
use crate::support::destination::destination;
use crate::support::patient::Patient as _;

pub const ARGUMENT: &str = "--bare";

/// What is sent how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Of a line.
    pub bytes: usize,
    pub lines: u64,
    /// Of the lines in a batch; each round has one for each partition.
    pub batch_bytes: usize,
    /// So many rounds are on their way at most.
    pub rounds: usize,
}

impl Load {
    /// What an agent has on its way at most, where one file holds all lines.
    pub const LARGE: Load = Load { bytes: 0, lines: 0, batch_bytes: 512 * 1024, rounds: 2 };

    pub fn arguments(&self) -> [String; 4] {
        let Load { bytes, lines, batch_bytes, rounds } = self;
        [bytes.to_string(), lines.to_string(), batch_bytes.to_string(), rounds.to_string()]
    }
}

struct Bare {
    broker: Box<dyn Broker>,
    rounds: usize,
    /// Of each round that is under way the batches without an answer. The only broker answers in order.
    under_way: VecDeque<usize>,
}

impl Bare {
    fn send(&mut self, round: &[Batch]) {
        while self.under_way.len() == self.rounds {
            self.receive();
        }
        self.broker.send(&round.iter().collect::<Vec<_>>()).expect("a round");
        self.under_way.push_back(round.len());
    }

    /// Takes the answers that are there; waits where there is none.
    fn receive(&mut self) {
        let mut answers = Vec::new();
        self.broker.receive(&mut answers).expect("answers");
        if answers.is_empty() {
            let mut interests = Vec::new();
            self.broker.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
            os::wait(&interests, Duration::from_millis(100)).expect("a wait");
        }
        for answer in &answers {
            assert!(matches!(answer.verdict, Verdict::Acked { .. }), "{answer:?}");
            let left = self.under_way.front_mut().expect("a round that was sent");
            *left -= 1;
            if *left == 0 {
                self.under_way.pop_front();
            }
        }
    }
}

/// What the benchmark does where it is told `--bare`.
pub fn run(words: &[String]) {
    let [address, topic, numbers @ ..] = words else { panic!("{ARGUMENT} {words:?}") };
    let numbers: Vec<usize> = numbers.iter().map(|word| word.parse().expect("a number")).collect();
    let [bytes, lines, batch_bytes, rounds] = numbers[..] else { panic!("{ARGUMENT} {words:?}") };
    let mut broker = connect(&destination(address, topic));
    let topic = broker.ready();
    let new = |_: &i32| Batch::new(topic.wire, ValueFormat::Avro, Compression::None);
    let mut round: Vec<Batch> = topic.partitions.iter().map(new).collect();
    let mut bare = Bare { broker, rounds, under_way: VecDeque::new() };
    let partitions = round.len();
    let per_round = partitions * (batch_bytes / bytes).max(1);
    fill(&mut round, &topic, bytes, per_round);
    (0..lines / per_round).for_each(|_| bare.send(&round));
    if lines % per_round > 0 {
        round.truncate(lines % per_round);
        fill(&mut round, &topic, bytes, lines % per_round);
        bare.send(&round);
    }
    while !bare.under_way.is_empty() {
        bare.receive();
    }
}

/// As many lines in each batch as in any other, give or take one.
fn fill(round: &mut [Batch], topic: &Topic, bytes: usize, lines: usize) {
    let (mut source, mut line) = (Lines::of_bytes(bytes), Vec::new());
    let batches = round.len();
    for (n, (batch, partition)) in round.iter_mut().zip(&topic.partitions).enumerate() {
        batch.begin(*partition, now_ms());
        for _ in 0..lines / batches + usize::from(n < lines % batches) {
            line.clear();
            source.push(&mut line);
            batch.push(&[0], &line[..bytes]);
        }
        // Without an identity nothing is taken for a resend.
        batch.seal(Identity::NONE, -1);
    }
}

fn now_ms() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)
}
