//! Both wires against real brokers.
//!
//! The brokers are those of `support::shared`; each test makes topics of its own by asking for
//! them, as the agent does.

use std::time::{Duration, Instant};

use crate::support::destination::destination;
use crate::support::patient::Patient as _;
use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::channel::broker::{Answer, Broker, Fault, ResponseError, Topic, Verdict};
use flume_ng::channel::connect::connect;
use flume_ng::checkpoint::record::BatchRecord;
use flume_ng::config::model::{Compression, Destination, ValueFormat};
use flume_ng::os::{self, Interest};

fn address(version: &str) -> String {
    crate::support::shared(version).bootstrap().to_string()
}

fn config(
    address: &str,
    topic: &str,
    compression: Compression,
    request_timeout_ms: u32,
) -> Destination {
    Destination { compression, request_timeout_ms, ..destination(address, topic) }
}

struct Bench {
    name: String,
    broker: Box<dyn Broker>,
    topic: Topic,
    identity: Identity,
    compression: Compression,
}

impl Bench {
    /// Opens a topic that no other test uses.
    fn new(version: &str, name: &str, compression: Compression) -> Bench {
        let stamp = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        Bench::open(&address(version), &format!("{name}-{stamp}"), compression)
    }

    fn open(address: &str, topic: &str, compression: Compression) -> Bench {
        let config = config(address, topic, compression, 10_000);
        Bench::with(config)
    }

    fn with(config: Destination) -> Bench {
        let compression = config.compression;
        let mut broker = connect(&config);
        let topic = broker.ready();
        let identity = broker.producer().unwrap();
        Bench { name: config.topic, broker, topic, identity, compression }
    }

    fn batch(&self, sequence: i32, lines: &[&[u8]]) -> Batch {
        self.batch_of(self.identity, 0, sequence, lines.iter().copied())
    }

    fn batch_of<'a>(
        &self,
        identity: Identity,
        partition: i32,
        sequence: i32,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> Batch {
        let mut batch = Batch::new(self.topic.wire, ValueFormat::Avro, self.compression);
        batch.begin(partition, now_ms());
        lines.for_each(|line| batch.push(&[0], line));
        let sequence = if self.topic.wire.has_identity() { sequence } else { -1 };
        batch.seal(identity, sequence);
        batch
    }

    fn record(&self, batch: &Batch) -> BatchRecord {
        let (values_crc, first_crc) = batch.content_crcs();
        BatchRecord {
            partition: batch.partition(),
            producer_id: self.identity.producer_id,
            producer_epoch: self.identity.epoch,
            base_sequence: batch.base_sequence(),
            count: batch.count(),
            values_crc,
            first_crc,
            ..BatchRecord::default()
        }
    }

    fn await_answers(&mut self, count: usize) -> Vec<Answer> {
        let deadline = Instant::now() + Duration::from_secs(15);
        let mut answers = Vec::new();
        loop {
            self.broker.receive(&mut answers).unwrap();
            if answers.len() >= count {
                return answers;
            }
            assert!(Instant::now() < deadline, "no answer");
            let mut interests = Vec::new();
            self.broker.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
            os::wait(&interests, Duration::from_millis(100)).unwrap();
        }
    }

    fn send(&mut self, batch: &Batch) -> Verdict {
        self.broker.send(&[batch]).unwrap();
        self.await_answers(1).remove(0).verdict
    }

    fn look(&mut self, floor: i64, batches: &[&Batch]) -> Vec<Option<i64>> {
        let records: Vec<BatchRecord> = batches.iter().map(|b| self.record(b)).collect();
        self.broker.seen(0, floor, &records.iter().collect::<Vec<_>>()).unwrap()
    }
}

fn now_ms() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64
}

fn acked(base_offset: i64) -> Verdict {
    Verdict::Acked { base_offset }
}

const CODECS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Snappy];

/// Sent, answered, seen; another is not seen.
fn send_and_look(version: &str, wire: Wire, compression: Compression) {
    let mut bench = Bench::new(version, "look", compression);
    assert_eq!(bench.topic.wire, wire);
    assert_eq!(bench.topic.partitions[0], 0);
    assert_eq!(bench.topic.cluster_id.is_empty(), wire == Wire::Legacy);
    assert_eq!(bench.broker.end(0), Ok(0));
    let first = bench.batch(0, &[b"one", b"", "\u{4e2d}\u{6587}".as_bytes()]);
    let second = bench.batch(3, &[b"four", b"five"]);
    let third = bench.batch(5, &[b"four", b"six"]);
    assert_eq!(bench.look(0, &[&first]), [None]);
    assert_eq!(bench.send(&first), acked(0));
    assert_eq!(bench.send(&second), acked(3));
    assert_eq!(bench.broker.end(0), Ok(5));
    assert_eq!(bench.look(0, &[&first, &second, &third]), [Some(0), Some(3), None]);
    assert_eq!(bench.look(3, &[&second]), [Some(3)]);
    // A name in the log is a name, though the floor lies behind its first event.
    let named = (wire == Wire::Modern).then_some(3);
    assert_eq!(bench.look(4, &[&second]), [named]);
    assert_eq!(bench.look(5, &[&second]), [None]);
    assert_eq!(bench.look(500, &[&second]), [None]);
}

/// The broker knows the second copy, and one that comes after others.
fn resend(version: &str) {
    let mut bench = Bench::new(version, "resend", Compression::None);
    let first = bench.batch(0, &[b"one", b"two"]);
    let second = bench.batch(2, &[b"three"]);
    assert_eq!(bench.send(&first), acked(0));
    assert_eq!(bench.send(&first), acked(0));
    assert_eq!(bench.send(&second), acked(2));
    assert_eq!(bench.broker.end(0), Ok(3));
}

fn refusals(version: &str) {
    let mut bench = Bench::new(version, "refusals", Compression::None);
    assert_eq!(bench.send(&bench.batch(0, &[b"one"])), acked(0));
    let gap = bench.send(&bench.batch(7, &[b"eight"]));
    assert!(
        matches!(
            gap,
            Verdict::OutOfSequence {
                error: ResponseError::OutOfOrderSequenceNumber | ResponseError::UnknownProducerId
            }
        ),
        "{gap:?}"
    );
    let large = vec![b'x'; 1_100_000];
    assert_eq!(bench.send(&bench.batch(1, &[&large])), Verdict::TooLarge);
    let raised = Identity { epoch: bench.identity.epoch + 1, ..bench.identity };
    let fencing = bench.batch_of(raised, 0, 0, [&b"raised"[..]].into_iter());
    assert_eq!(bench.send(&fencing), acked(1));
    assert_eq!(bench.send(&bench.batch(1, &[b"two"])), Verdict::Fenced);
    assert_eq!(bench.broker.end(0), Ok(2));
}

/// Five rounds under way, answered in order; while they are, the end can be asked for.
fn in_flight(version: &str) {
    let mut bench = Bench::new(version, "flight", Compression::None);
    assert_eq!(bench.broker.rounds_in_flight_max(), 5);
    let line = [b'x'; 400];
    let batches: Vec<Batch> = (0..5)
        .map(|i| bench.batch_of(bench.identity, 0, i * 2000, (0..2000).map(|_| &line[..])))
        .collect();
    for batch in &batches {
        bench.broker.send(&[batch]).unwrap();
    }
    assert!(bench.broker.end(0).unwrap() <= 10_000);
    let answers = bench.await_answers(5);
    for (i, answer) in (0..).zip(answers) {
        let expected =
            Answer { partition: 0, base_sequence: i * 2000, verdict: acked(i64::from(i) * 2000) };
        assert_eq!(answer, expected);
    }
    let wanted: Vec<&Batch> = batches.iter().collect();
    assert_eq!(bench.look(0, &wanted), [0, 2000, 4000, 6000, 8000].map(Some));
}

/// The connection goes while the answer is under way; the next one finds the batch.
fn lost_answer(version: &str) {
    let mut bench = Bench::new(version, "lost", Compression::None);
    let batch = bench.batch(0, &[b"one", b"two"]);
    bench.broker.send(&[&batch]).unwrap();
    bench.broker.ready();
    let deadline = Instant::now() + Duration::from_secs(5);
    while bench.look(0, &[&batch]) != [Some(0)] {
        assert!(Instant::now() < deadline);
    }
    if bench.topic.wire == Wire::Modern {
        assert_eq!(bench.send(&batch), acked(0));
        assert_eq!(bench.broker.end(0), Ok(2));
    }
}

/// A plain message in front of a compressed one is seen as well (the `kafka` crate's reader
/// drops it), and the content of a batch from the old wire is found on the new one.
fn mixed_content(version: &str) {
    let mut plain = Bench::new(version, "mixed", Compression::None);
    let name = plain.name.clone();
    let first = plain.batch(0, &[b"plain", b"text"]);
    assert_eq!(plain.send(&first), acked(0));
    for (i, codec) in CODECS.into_iter().enumerate() {
        let mut packed = Bench::open(&address(version), &name, codec);
        let batch = packed.batch(0, &[b"packed", b"text", i.to_string().as_bytes()]);
        let offset = 2 + 3 * i as i64;
        assert_eq!(packed.send(&batch), acked(offset));
        let mut record = packed.record(&batch);
        record.producer_id = -1;
        // By content on either wire, also where the log gives it an identity: it may have gone out
        // with one before the topic's format was made older.
        let found = packed.broker.seen(0, 0, &[&record]).unwrap();
        assert_eq!(found, [Some(offset)]);
    }
    let by_content = plain.look(0, &[&first]);
    assert_eq!(by_content, [Some(0)]);
}

/// It is said, and nothing is sent that the broker would keep and nobody could read.
fn unsupported(version: &str) {
    let config = config(&address(version), "unsupported", Compression::Zstd, 10_000);
    if Compression::Zstd.is_supported() {
        let fault = connect(&config).opened().unwrap_err();
        assert!(matches!(fault, Fault::NotReady(ref why) if why.contains("zstd")), "{fault:?}");
    }
}

/// Two partitions in one request; then, each with a stamp of its own, what the reader of the tests
/// finds in them.
fn stamps(version: &str) {
    let topic = crate::support::shared(version).fresh_topic("stamps", 2);
    for codec in CODECS {
        let mut bench = Bench::open(topic.bootstrap(), topic.name(), codec);
        let none = Identity::NONE;
        let batches = [0, 1].map(|p| bench.batch_of(none, p, -1, [&b"a"[..], b"b"].into_iter()));
        bench.broker.send(&[&batches[0], &batches[1]]).unwrap();
        let mut answers = bench.await_answers(2);
        answers.sort_by_key(|answer| answer.partition);
        let ends = [0, 1].map(|p| bench.broker.end(p).unwrap() - 2);
        for (partition, (answer, end)) in (0..).zip(answers.into_iter().zip(ends)) {
            let verdict = acked(end);
            assert_eq!(answer, Answer { partition, base_sequence: -1, verdict });
        }
    }
    assert_eq!(topic.bodies().len(), 12);
}

fn nameless_refuses_large(version: &str) {
    let mut bench = Bench::new(version, "large", Compression::None);
    let large = vec![b'x'; 1_100_000];
    assert_eq!(bench.send(&bench.batch(0, &[&large])), Verdict::TooLarge);
    // The client is still good for the next one.
    assert_eq!(bench.send(&bench.batch(0, &[b"small"])), acked(0));
    // One that fills the limit is read back whole.
    let fits = vec![b'y'; 990_000];
    let batch = bench.batch(0, &[&fits]);
    assert_eq!(bench.send(&batch), acked(1));
    assert_eq!(bench.look(0, &[&batch]), [Some(1)]);
}

fn modern(version: &str) {
    for codec in CODECS.into_iter().chain([Compression::Lz4, Compression::Zstd]) {
        // Kafka takes zstd from 2.1 on.
        let is_taken = codec != Compression::Zstd || !["0.11.0.3", "1.1.1"].contains(&version);
        if codec.is_supported() && is_taken {
            send_and_look(version, Wire::Modern, codec);
        }
    }
    resend(version);
    refusals(version);
    in_flight(version);
    lost_answer(version);
    mixed_content(version);
}

#[test]
fn kafka_0_10_2() {
    for codec in CODECS.into_iter().chain([Compression::Lz4]).filter(|c| c.is_supported()) {
        send_and_look("0.10.2.0", Wire::Middle, codec);
    }
    unsupported("0.10.2.0");
    stamps("0.10.2.0");
    lost_answer("0.10.2.0");
    mixed_content("0.10.2.0");
    nameless_refuses_large("0.10.2.0");
}

/// Over the `kafka` crate; what is read goes over our own connections.
fn before_0_10(version: &str) {
    for codec in CODECS {
        send_and_look(version, Wire::Legacy, codec);
    }
    unsupported(version);
    mixed_content(version);
    nameless_refuses_large(version);
}

#[test]
#[ignore = "one of many versions"]
fn kafka_0_8_2() {
    before_0_10("0.8.2.2");
}

#[test]
fn kafka_0_9() {
    before_0_10("0.9.0.1");
}

#[test]
fn kafka_4_3() {
    modern("4.3.1");
}

#[test]
#[ignore = "one of many versions"]
fn kafka_0_11() {
    modern("0.11.0.3");
}

#[test]
#[ignore = "one of many versions"]
fn kafka_1_1() {
    modern("1.1.1");
}

#[test]
#[ignore = "one of many versions"]
fn kafka_2_8() {
    modern("2.8.2");
}

#[test]
#[ignore = "one of many versions"]
fn kafka_3_9() {
    modern("3.9.1");
}

/// The old wire on brokers that speak both, as for a topic that answers 43.
#[test]
#[ignore = "one of many versions"]
fn the_old_wire_on_kafka_2_8() {
    let mut bench = Bench::new("2.8.2", "forced", Compression::Gzip);
    bench.broker.use_legacy();
    bench.topic = bench.broker.ready();
    assert_eq!(bench.topic.wire, Wire::Middle);
    bench.identity = bench.broker.producer().unwrap();
    assert_eq!(bench.identity, Identity::NONE);
    let batch = bench.batch(0, &[b"one", b"two"]);
    assert_eq!(bench.send(&batch), acked(0));
    assert_eq!(bench.look(0, &[&batch]), [Some(0)]);
    // The topic leaves the old ways: what was in doubt is found by content.
    let mut later = Bench::open(&address("2.8.2"), &bench.name.clone(), Compression::Gzip);
    assert_eq!(later.topic.wire, Wire::Modern);
    let record = BatchRecord { producer_id: -1, ..bench.record(&batch) };
    assert_eq!(later.broker.seen(0, 0, &[&record]), Ok(vec![Some(0)]));
}

#[test]
fn nobody_home() {
    let config = config("127.0.0.1:1,127.0.0.1:2", "t", Compression::None, 1_000);
    let config_fault = connect(&config).opened().unwrap_err();
    let why = "no broker can be reached: 127.0.0.1:1: Connection refused; \
               127.0.0.1:2: Connection refused";
    assert_eq!(config_fault, Fault::Unreachable(why.to_string()));
}
