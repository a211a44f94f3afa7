//! More connections to a leader that one does not keep busy: when they are made, and what they may not do.

use std::time::Duration;

use crate::support::patient::Patient as _;
use crate::support::proxy::Proxy;
use crate::support::torture::{Group, V43, hazard};
use crate::support::{Brokers, fresh_name, shared};
use crate::wire_faults::{batch, broker_at};
use flume_ng::channel::batch::{Batch, Identity, Wire};
use flume_ng::channel::broker::{Answer, Broker, Verdict};
use flume_ng::os::{self, Interest};

const PARTITIONS: usize = 3;
/// Of each partition.
const BATCHES: usize = 80;
/// A connection with two rounds of these is full.
const LINE_BYTES: usize = 64 << 10;
/// A link on which a round waits for the one before, however fast the broker is.
const SLOW_BYTES_S: u64 = 10_000_000;

/// A topic behind a proxy, and who writes to it.
struct Scene {
    proxy: Proxy,
    brokers: Brokers,
    topic: String,
    broker: Box<dyn Broker>,
    identity: Identity,
}

impl Scene {
    fn new() -> Scene {
        let (proxy, brokers) = Proxy::to_shared(V43);
        let topic = fresh_name("grown");
        brokers.create_topic(&topic, PARTITIONS as i32);
        proxy.slow_down(SLOW_BYTES_S);
        let mut broker = broker_at(&proxy.address(), &topic);
        assert_eq!(broker.ready().partitions.len(), PARTITIONS);
        let identity = broker.producer().unwrap();
        Scene { proxy, brokers, topic, broker, identity }
    }

    /// Sends all batches, so many of a partition under way at once. Each is acknowledged in its place.
    fn fill(&mut self, under_way: usize) {
        self.fill_some(PARTITIONS, under_way);
    }

    /// The same, of the first `count` partitions.
    fn fill_some(&mut self, count: usize, under_way: usize) {
        let line = "x".repeat(LINE_BYTES);
        let (mut sent, mut acked) = ([0; PARTITIONS], [0; PARTITIONS]);
        while acked.iter().sum::<usize>() < count * BATCHES {
            let is_due = |p: &usize| {
                sent[*p] < BATCHES
                    && sent[*p] - acked[*p] < under_way
                    && self.broker.takes(*p as i32)
            };
            let of = |p| batch(Wire::Modern, self.identity, p as i32, sent[p] as i32, &line);
            let round: Vec<Batch> = (0..count).filter(is_due).map(of).collect();
            if round.is_empty() {
                self.wait();
            } else {
                self.broker.send(&round.iter().collect::<Vec<_>>()).unwrap();
            }
            round.iter().for_each(|batch| sent[batch.partition() as usize] += 1);
            let mut answers = Vec::new();
            self.broker.receive(&mut answers).unwrap();
            for Answer { partition, base_sequence, verdict } in answers {
                let place = &mut acked[partition as usize];
                assert_eq!(base_sequence as usize, *place, "partition {partition}");
                let base_offset = *place as i64;
                assert_eq!(verdict, Verdict::Acked { base_offset }, "partition {partition}");
                *place += 1;
            }
        }
    }

    fn wait(&self) {
        let mut interests = Vec::new();
        self.broker.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
        os::wait(&interests, Duration::from_millis(100)).unwrap();
    }

    fn connections(&self) -> usize {
        let mut count = 0;
        self.broker.descriptors(&mut |_, _| count += 1);
        count
    }

    fn is_complete(&self) {
        let ends = self.brokers.topic(&self.topic).ends();
        assert_eq!(ends, [BATCHES as i64; PARTITIONS]);
    }
}

#[test]
fn connections_that_stay_full_get_others_beside_them() {
    let _row = hazard(Group::Deaths, "partitions change over to other connections", V43);
    let mut scene = Scene::new();
    assert_eq!(scene.connections(), 1);
    scene.fill(4);
    assert_eq!(scene.connections(), 3);
    scene.is_complete();
    // And goes on over all.
    let ends = scene.broker.end(1).unwrap();
    assert_eq!(ends, BATCHES as i64);
}

#[test]
fn a_connection_that_empties_stays_alone() {
    let mut scene = Scene::new();
    scene.fill(1);
    assert_eq!(scene.connections(), 1);
    scene.is_complete();
}

#[test]
fn a_connection_that_one_partition_fills_stays_alone() {
    let mut scene = Scene::new();
    scene.fill_some(1, 5);
    assert_eq!(scene.connections(), 1);
    assert_eq!(scene.brokers.topic(&scene.topic).ends(), [BATCHES as i64, 0, 0]);
}

#[test]
fn another_cluster_at_the_address_gets_nothing_by_a_second_connection() {
    let _row = hazard(Group::Deaths, "another cluster behind a second connection", V43);
    let mut scene = Scene::new();
    let (other, own) = (shared(V43), scene.proxy.target());
    let topic = other.create_topic(&scene.topic, PARTITIONS as i32);
    scene.proxy.aim(other.bootstrap());
    scene.fill(4);
    assert_eq!(scene.connections(), 1);
    scene.proxy.aim(&own);
    scene.is_complete();
    assert_eq!(topic.ends(), [0; PARTITIONS]);
}

#[test]
fn a_second_connection_that_is_refused_is_done_without() {
    let mut scene = Scene::new();
    let own = scene.proxy.target();
    // Nobody is there: what connects is closed.
    scene.proxy.aim("127.0.0.1:1");
    scene.fill(4);
    assert_eq!(scene.connections(), 1);
    scene.proxy.aim(&own);
    scene.is_complete();
}
