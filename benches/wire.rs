//! `cargo bench --bench wire -- HOST:PORT TOPIC`: lines a second that the raw wire carries, with one, two
//! and five rounds in flight where the broker permits it. The topic exists, with three partitions for
//! instance; 3,000,000 lines go into it for each row.

use std::time::{Duration, Instant};

use flume_ng::channel::batch::{Batch, Identity, Wire};
use flume_ng::channel::broker::{Broker, Topic, Verdict};
use flume_ng::channel::connect::connect;
use flume_ng::config::model::{Compression, Destination, ValueFormat};
use flume_ng::os::{self, Interest};
use support::destination::destination;
use support::patient::Patient as _;

#[path = "../tests/support/mod.rs"]
mod support;

const LINES: usize = 3_000_000;
const BATCH_LINES: usize = 5_000;
/// Without its newline.
const LINE: [u8; 108] = [b'l'; 108];

struct Bench {
    broker: Box<dyn Broker>,
    topic: Topic,
    identity: Identity,
    sequence: i32,
}

impl Bench {
    fn open(config: &Destination) -> Bench {
        let mut broker = connect(config);
        let topic = broker.ready();
        let identity = broker.producer().expect("a producer id");
        Bench { broker, topic, identity, sequence: 0 }
    }

    /// Sum of the ends of all partitions.
    fn ends(&mut self) -> i64 {
        let partitions = self.topic.partitions.clone();
        partitions.into_iter().map(|p| self.broker.end(p).expect("an end")).sum()
    }

    /// Fills a batch for each partition and hands them over.
    fn send(&mut self, round: &mut [Batch]) {
        let sequence = if self.topic.wire == Wire::Modern { self.sequence } else { -1 };
        for (batch, partition) in round.iter_mut().zip(&self.topic.partitions) {
            batch.begin(*partition, now_ms());
            (0..BATCH_LINES).for_each(|_| batch.push(&[0], &LINE));
            batch.seal(self.identity, sequence);
        }
        self.sequence += BATCH_LINES as i32;
        self.broker.send(&round.iter().collect::<Vec<_>>()).expect("a round");
    }

    /// How many batches were acknowledged since the last call.
    fn acks(&mut self, may_wait: bool) -> usize {
        let mut answers = Vec::new();
        self.broker.receive(&mut answers).expect("answers");
        if answers.is_empty() && may_wait {
            let mut interests = Vec::new();
            self.broker.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
            os::wait(&interests, Duration::from_millis(100)).expect("a wait");
        }
        for answer in &answers {
            assert!(matches!(answer.verdict, Verdict::Acked { .. }), "{answer:?}");
        }
        answers.len()
    }
}

fn measure(address: &str, topic: &str, rounds_in_flight: usize) {
    let mut bench = Bench::open(&destination(address, topic));
    let per_round = BATCH_LINES * bench.topic.partitions.len();
    let new = |_: &i32| Batch::new(bench.topic.wire, ValueFormat::Avro, Compression::None);
    let mut rounds: Vec<Vec<Batch>> =
        (0..rounds_in_flight).map(|_| bench.topic.partitions.iter().map(new).collect()).collect();
    let total = LINES / per_round * per_round;
    let before = bench.ends();
    let (start, cpu) = (Instant::now(), cpu_ms());
    let (mut sent, mut acked) = (0, 0);
    while acked < total {
        let is_room = sent < total && (sent - acked).div_ceil(per_round) < rounds_in_flight;
        if is_room {
            bench.send(&mut rounds[sent / per_round % rounds_in_flight]);
            sent += per_round;
        }
        acked += BATCH_LINES * bench.acks(!is_room);
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu_us = (cpu_ms() - cpu) as f64 * 1000.0 / total as f64;
    // A round that the broker took for a resend would be answered as well.
    assert_eq!(bench.ends() - before, total as i64, "acknowledged and not appended");
    println!(
        "{rounds_in_flight} in flight: {:.0} lines/s, {cpu_us:.2} us CPU a line",
        total as f64 / seconds
    );
}

fn now_ms() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_millis() as i64)
}

/// User and system time of this process, ms.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
    ticks.sum::<u64>() * 10
}

fn main() {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with("--")).collect();
    let [address, topic] = &words[..] else {
        eprintln!("usage: cargo bench --bench wire -- HOST:PORT TOPIC");
        return;
    };
    let most = connect(&destination(address, topic)).rounds_in_flight_max().max(1);
    for rounds in [1, 2, 5].into_iter().filter(|n| *n <= most) {
        measure(address, topic, rounds);
    }
}
