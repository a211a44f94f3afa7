//! Brokers that hang, die, close and refuse: what the wires make of it.
//!
//! Each test has a cluster of its own, or for its time, because it does to it what no other test could bear.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::destination::destination;
use crate::support::patient::Patient as _;
use crate::support::torture::{ELDERS, Group, V010, V43, hazard};
use crate::support::{Cluster, fresh_name, lend};
use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::channel::broker::{Answer, Broker, Fault, Verdict};
use flume_ng::channel::connect::connect;
use flume_ng::checkpoint::record::BatchRecord;
use flume_ng::config::model::{Compression, Destination, ValueFormat};
use flume_ng::os::{self, Interest};

const REQUEST_TIMEOUT_MS: u32 = 1_500;

pub(crate) fn broker_at(address: &str, topic: &str) -> Box<dyn Broker> {
    let config = Destination {
        value_format: ValueFormat::Bare,
        request_timeout_ms: REQUEST_TIMEOUT_MS,
        ..destination(address, topic)
    };
    connect(&config)
}

pub(crate) fn batch(
    wire: Wire,
    identity: Identity,
    partition: i32,
    sequence: i32,
    line: &str,
) -> Batch {
    let mut batch = Batch::new(wire, ValueFormat::Bare, Compression::None);
    batch.begin(partition, std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64);
    batch.push(&[], line.as_bytes());
    batch.seal(identity, if wire.has_identity() { sequence } else { -1 });
    batch
}

fn record(batch: &Batch, identity: Identity) -> BatchRecord {
    let (values_crc, first_crc) = batch.content_crcs();
    BatchRecord {
        partition: batch.partition(),
        producer_id: identity.producer_id,
        producer_epoch: identity.epoch,
        base_sequence: batch.base_sequence(),
        count: batch.count(),
        values_crc,
        first_crc,
        ..BatchRecord::default()
    }
}

/// Sends and awaits the answers of a round.
fn exchange(broker: &mut dyn Broker, round: &[&Batch]) -> Result<Vec<Answer>, Fault> {
    broker.send(round)?;
    let mut answers = Vec::new();
    while answers.len() < round.len() {
        broker.receive(&mut answers)?;
        let mut interests = Vec::new();
        broker.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
        os::wait(&interests, Duration::from_millis(20)).unwrap();
    }
    Ok(answers)
}

/// Asks again while a partition has no leader. [`Patient::ready`] does not rule that out: a broker
/// that was frozen answers first and learns then that it has been fenced for its silence (error 6
/// until its next heartbeat is answered).
fn when_led<T>(
    broker: &mut dyn Broker,
    mut ask: impl FnMut(&mut dyn Broker) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match ask(broker) {
            Err(Fault::NotReady(why)) => {
                assert!(Instant::now() < deadline, "{why}");
                std::thread::sleep(Duration::from_millis(20));
                broker.ready();
            }
            other => return other,
        }
    }
}

fn exchange_when_led(broker: &mut dyn Broker, round: &[&Batch]) -> Result<Vec<Answer>, Fault> {
    when_led(broker, |broker| exchange(broker, round))
}

fn seen_when_led(broker: &mut dyn Broker, wanted: &[&BatchRecord]) -> Vec<Option<i64>> {
    when_led(broker, |broker| broker.seen(0, 0, wanted)).unwrap()
}

fn acked(answers: Result<Vec<Answer>, Fault>) -> i64 {
    match answers.unwrap()[..] {
        [Answer { verdict: Verdict::Acked { base_offset }, .. }] => base_offset,
        ref other => panic!("{other:?}"),
    }
}

/// A broker that hangs is given up after the request timeout and a margin; one that dies, at
/// once; afterwards the log tells what had arrived.
fn hangs_and_dies(version: &str) {
    let cluster = lend(version);
    let mut broker = broker_at(cluster.bootstrap(), &fresh_name("hang"));
    let topic = broker.ready();
    let wire = topic.wire;
    let identity = broker.producer().unwrap();
    let first = batch(wire, identity, 0, 0, "first");
    assert_eq!(acked(exchange_when_led(&mut *broker, &[&first])), 0);

    cluster.pause(0);
    let second = batch(wire, identity, 0, 1, "second");
    let start = Instant::now();
    let fault = exchange(&mut *broker, &[&second]).unwrap_err();
    assert!(matches!(fault, Fault::Overdue(_)), "{fault:?}");
    let waited = start.elapsed();
    assert!(waited > Duration::from_millis(3_000) && waited < Duration::from_secs(6), "{waited:?}");
    let start = Instant::now();
    let fault = broker.opened().unwrap_err();
    assert!(matches!(fault, Fault::Unreachable(_)), "{fault:?}");
    assert!(start.elapsed() < Duration::from_secs(25));

    cluster.resume(0);
    assert_eq!(broker.ready().wire, wire);
    let wanted = record(&second, identity);
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen_when_led(&mut *broker, &[&wanted]) != [Some(1)] {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }

    cluster.kill9(0);
    let third = batch(wire, identity, 0, 2, "third");
    let fault = exchange(&mut *broker, &[&third]).unwrap_err();
    assert!(matches!(fault, Fault::Lost(_) | Fault::Unreachable(_)), "{fault:?}");
    cluster.restart(0);
    broker.ready();
    let wanted = [&wanted, &record(&third, identity)];
    assert_eq!(seen_when_led(&mut *broker, &wanted), [Some(1), None]);
    assert_eq!(acked(exchange_when_led(&mut *broker, &[&third])), 2);
    assert_eq!(broker.end(0), Ok(3));
}

#[test]
fn a_modern_broker_hangs_and_dies() {
    let _row = hazard(Group::Deaths, "broker that hangs and dies, by itself", V43);
    hangs_and_dies("4.3.1");
}

#[test]
#[ignore = "long: make torture"]
fn the_oldest_brokers_close_what_is_idle() {
    ELDERS.into_iter().for_each(idles);
}

#[test]
fn an_old_broker_hangs_and_dies() {
    let _row = hazard(Group::Deaths, "broker that hangs and dies, by itself", V010);
    hangs_and_dies("0.10.2.0");
}

/// `connections.max.idle.ms` is no fault: nothing was under way. What stands behind the address is
/// learned anew before anything is sent there.
fn idles(version: &str) {
    let cluster = Cluster::with(version).set("connections.max.idle.ms", 3_000).start();
    let mut broker = broker_at(cluster.bootstrap(), "idle");
    let wire = broker.ready().wire;
    let identity = broker.producer().unwrap();
    for sequence in 0..3 {
        let line = batch(wire, identity, 0, sequence, "line");
        assert_eq!(acked(exchange_when_led(&mut *broker, &[&line])), i64::from(sequence));
        let deadline = Instant::now() + Duration::from_secs(20);
        let fault = loop {
            match broker.receive(&mut Vec::new()) {
                Ok(()) => std::thread::sleep(Duration::from_millis(50)),
                Err(fault) => break fault,
            }
            assert!(Instant::now() < deadline, "the connection is not closed");
        };
        assert!(matches!(fault, Fault::Idle(_)), "{fault}");
        broker.ready();
    }
    assert_eq!(broker.end(0), Ok(3));
}

#[test]
fn a_modern_broker_closes_what_is_idle() {
    idles("4.3.1");
}

#[test]
fn an_old_broker_closes_what_is_idle() {
    idles("0.10.2.0");
}

/// Leaders on several brokers; one of them dies and its partitions move.
#[test]
fn leaders_move() {
    let _row = hazard(Group::Deaths, "leaders that move", V43);
    let cluster = Cluster::with("4.3.1").brokers(3).start();
    cluster.create_topic_with("moving", 3, 3, &[("min.insync.replicas", "2")]);
    let mut broker = broker_at(cluster.bootstrap(), "moving");
    let topic = broker.ready();
    assert_eq!((&topic.partitions[..], topic.replicas), (&[0, 1, 2][..], 3));
    let identity = broker.producer().unwrap();
    let round: Vec<Batch> =
        (0..3).map(|p| batch(topic.wire, identity, p, 0, &format!("line {p}"))).collect();
    let mut answers = exchange_when_led(&mut *broker, &round.iter().collect::<Vec<_>>()).unwrap();
    answers.sort_by_key(|a| a.partition);
    let expected: Vec<Answer> = (0..3)
        .map(|partition| Answer {
            partition,
            base_sequence: 0,
            verdict: Verdict::Acked { base_offset: 0 },
        })
        .collect();
    assert_eq!(answers, expected);

    cluster.kill9(1);
    let round: Vec<Batch> =
        (0..3).map(|p| batch(topic.wire, identity, p, 1, &format!("more {p}"))).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut absent: Vec<usize> = vec![0, 1, 2];
    while !absent.is_empty() {
        assert!(Instant::now() < deadline);
        let resent: Vec<&Batch> = absent.iter().map(|p| &round[*p]).collect();
        let _ = exchange(&mut *broker, &resent);
        broker.ready();
        absent.retain(|p| {
            let wanted = record(&round[*p], identity);
            broker.seen(*p as i32, 0, &[&wanted]) != Ok(vec![Some(1)])
        });
    }
    for partition in 0..3 {
        assert_eq!(broker.end(partition), Ok(2));
    }
}

/// A topic whose format is older than 0.11 refuses batches with a producer id (error 43).
#[test]
#[ignore = "one of many versions"]
fn an_old_format_takes_the_old_wire() {
    let cluster = Cluster::start("2.8.2");
    cluster.create_topic_with("old", 1, 1, &[("message.format.version", "0.10.2")]);
    let mut broker = broker_at(cluster.bootstrap(), "old");
    assert_eq!(broker.ready().wire, Wire::Modern);
    let identity = broker.producer().unwrap();
    let line = batch(Wire::Modern, identity, 0, 0, "line");
    let answers = exchange_when_led(&mut *broker, &[&line]).unwrap();
    assert_eq!(answers[0].verdict, Verdict::OldFormat);
    broker.use_legacy();
    assert_eq!(broker.ready().wire, Wire::Middle);
    let line = batch(Wire::Middle, Identity::NONE, 0, -1, "line");
    assert_eq!(acked(exchange_when_led(&mut *broker, &[&line])), 0);
    let wanted = record(&line, Identity::NONE);
    assert_eq!(seen_when_led(&mut *broker, &[&wanted]), [Some(0)]);
}

/// A peer that speaks, but not Kafka: every answer is noise with the right frame.
#[test]
fn noise_is_no_broker() {
    let _row = hazard(Group::Deaths, "noise in place of a broker", V010);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (seed, stream) in (1..).zip(listener.incoming().flatten()) {
            std::thread::spawn(move || make_noise(stream, seed));
        }
    });
    let mut broker = broker_at(&address, "t");
    for _ in 0..100 {
        let fault = broker.opened().unwrap_err();
        assert!(!matches!(fault, Fault::Stopped), "{fault:?}");
    }
}

fn make_noise(mut stream: TcpStream, mut seed: u64) {
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    };
    while let Ok(1..) = stream.read(&mut [0; 4096]) {
        let len = random() as usize % 200;
        let mut noise = vec![0u8; 8 + len];
        noise[3] = 4 + len as u8;
        // The first request on each connection has correlation id 1.
        noise[7] = 1;
        for byte in &mut noise[8..] {
            *byte = if random() % 2 == 0 { 0 } else { random() as u8 };
        }
        if stream.write_all(&noise).is_err() {
            return;
        }
    }
}
