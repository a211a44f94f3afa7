//! The tests' own tools against real brokers: what was written is read back whole, on
//! every version, by whichever way it was written; and a cluster can be killed, frozen
//! and restarted without losing its data or its place.

use std::time::Duration;

use crate::support::wire::{Body, Connection, Input};
use crate::support::{Brokers, Cluster, Producer, Record, Topic, eventually, shared};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, Record as Outgoing, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

/// By the `kafka` crate, which speaks Produce v0; partition `n` gets `n` + 1 messages.
fn write_old(topic: &Topic, compression: kafka::client::Compression) {
    use kafka::client::{KafkaClient, ProduceMessage, RequiredAcks};
    let mut client = KafkaClient::new(vec![topic.bootstrap().to_string()]);
    client.set_compression(compression);
    client.load_metadata(&[topic.name()]).expect("metadata");
    let values = ["one", "", "three"];
    for partition in 0..3 {
        let message = |value: &'static str| ProduceMessage {
            topic: topic.name(),
            partition: partition as i32,
            key: None,
            value: Some(value.as_bytes()),
        };
        let messages = values[..=partition].iter().map(|value| message(value));
        let confirmed = client
            .produce_messages(RequiredAcks::All, Duration::from_secs(10), messages)
            .expect("an answer");
        for confirm in confirmed {
            for partition in confirm.partition_confirms {
                partition.offset.expect("an offset");
            }
        }
    }
}

fn assert_old(topic: &Topic) {
    let read = topic.records();
    let values = ["one", "", "three"];
    for (partition, records) in read.iter().enumerate() {
        let values = &values[..=partition];
        let found: Vec<_> = records.iter().map(|r| r.value.clone().expect("a value")).collect();
        assert_eq!(found, values.iter().map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>());
        let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (0..values.len() as i64).collect::<Vec<_>>());
        assert!(records.iter().all(|record| record.key.is_none()));
    }
    assert_eq!(read.len(), 3);
    assert_eq!(topic.count(), 6);
    assert_eq!(topic.ends(), [1, 2, 3]);
}

/// By a record batch of the producer 4711, in partition 1.
fn write_batch(topic: &Topic, sequence: i32, compression: Compression) {
    let record = |number: i32| Outgoing {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: 4711,
        producer_epoch: 3,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(number),
        sequence: sequence + number,
        timestamp: 1_700_000_000_000 + i64::from(number),
        key: (number == 1).then(|| "k".into()),
        value: (number != 2).then(|| format!("value {number}").into()),
        headers: IndexMap::from([("h".into(), Some("x".into()))]),
    };
    let records: Vec<_> = (0..3).map(record).collect();
    let options = RecordEncodeOptions { version: 2, compression };
    let mut set = Vec::new();
    let pack = |plain: &mut bytes::BytesMut, out: &mut Vec<u8>, compression: Compression| {
        match compression {
            Compression::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(out, Default::default());
                std::io::Write::write_all(&mut gzip, plain)?;
                gzip.finish()?;
            }
            Compression::Snappy => {
                out.extend(snap::raw::Encoder::new().compress_vec(plain)?);
            }
            _ => out.extend_from_slice(plain),
        }
        Ok(())
    };
    RecordBatchEncoder::encode_with_custom_compression(&mut set, &records, &options, Some(pack))
        .expect("a batch");

    let mut body = Body::new();
    body.i16(-1).i16(-1).i32(10_000).i32(1).string(topic.name()).i32(1).i32(1).bytes(&set);
    eventually("produce", Duration::from_secs(30), || {
        let mut broker = Connection::open(topic.bootstrap()).map_err(|e| e.to_string())?;
        let answer = broker.call(0, 3, &body).map_err(|e| e.to_string())?;
        let mut input = Input(&answer);
        input.i32(); // topics
        input.string();
        input.take(8); // partitions, partition
        match input.i16() {
            0 => Ok(()),
            code => Err(format!("error {code}")),
        }
    });
}

fn assert_batch(records: &[Record], base: i64, sequence: i32) {
    assert_eq!(records.len(), 3);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.offset, base + number as i64);
        assert_eq!(record.timestamp, 1_700_000_000_000 + number as i64);
        assert_eq!(record.key.as_deref(), (number == 1).then_some(&b"k"[..]));
        let value = format!("value {number}");
        assert_eq!(record.value.as_deref(), (number != 2).then_some(value.as_bytes()));
        assert_eq!(record.headers, [("h".to_string(), Some(b"x".to_vec()))]);
        let sequence = sequence + number as i32;
        assert_eq!(record.producer, Some(Producer { id: 4711, epoch: 3, sequence }));
    }
}

fn reads_old(brokers: &Brokers) {
    use kafka::client::Compression::{GZIP, NONE, SNAPPY};
    for compression in [NONE, GZIP, SNAPPY] {
        let topic = brokers.fresh_topic("old", 3);
        write_old(&topic, compression);
        assert_old(&topic);
    }
}

fn reads_batches(brokers: &Brokers) {
    let topic = brokers.fresh_topic("batches", 3);
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy];
    for (round, codec) in codecs.into_iter().enumerate() {
        write_batch(&topic, 3 * round as i32, codec);
    }
    let read = topic.records();
    assert_eq!((read[0].len(), read[1].len(), read[2].len()), (0, 9, 0));
    for round in 0..3 {
        let (first, codec) = (3 * round, [0, 1, 2][round]);
        assert_batch(&read[1][first..first + 3], first as i64, first as i32);
        assert!(read[1][first..first + 3].iter().all(|record| record.codec == codec));
    }
}

#[test]
fn kafka_0_10_2_0() {
    reads_old(shared("0.10.2.0"));
}

#[test]
#[ignore = "three seconds a version"]
fn kafka_0_11_0_3() {
    reads_old(shared("0.11.0.3"));
    reads_batches(shared("0.11.0.3"));
}

#[test]
#[ignore = "three seconds a version"]
fn kafka_1_1_1() {
    reads_old(shared("1.1.1"));
    reads_batches(shared("1.1.1"));
}

#[test]
#[ignore = "three seconds a version"]
fn kafka_2_8_2() {
    reads_old(shared("2.8.2"));
    reads_batches(shared("2.8.2"));
}

#[test]
#[ignore = "three seconds a version"]
fn kafka_3_9_1() {
    reads_old(shared("3.9.1"));
    reads_batches(shared("3.9.1"));
}

/// Kafka 4 takes no Produce below v3.
#[test]
fn kafka_4_3_1() {
    reads_batches(shared("4.3.1"));
}

/// The session of a killed broker in ZooKeeper outlives it for some seconds.
#[test]
fn a_broker_of_0_10_comes_back_with_its_data() {
    let cluster = Cluster::with("0.10.2.0").set("message.max.bytes", 2_000_000).start();
    comes_back(&cluster, |topic| write_old(topic, kafka::client::Compression::NONE), assert_old);
}

#[test]
#[ignore = "long: make torture"]
fn a_broker_of_4_3_comes_back_with_its_data() {
    let cluster = Cluster::start("4.3.1");
    let assert = |topic: &Topic| assert_batch(&topic.records()[1], 0, 0);
    comes_back(&cluster, |topic| write_batch(topic, 0, Compression::None), assert);
}

fn comes_back(cluster: &Cluster, write: impl Fn(&Topic), assert: impl Fn(&Topic)) {
    let topic = cluster.create_topic("kept", 3);
    write(&topic);
    let written = topic.count();
    cluster.kill9(0);
    assert!(!cluster.is_running(0));
    assert!(Connection::open(cluster.bootstrap()).is_err(), "nobody should answer");
    cluster.restart(0);
    // The high watermark that it finds on its disk is seconds old, and moves on in a moment.
    topic.wait_for(written, Duration::from_secs(30));
    assert(&topic);

    cluster.terminate(0);
    cluster.restart(0);
    assert(&topic);

    // A frozen broker still has its port, but says nothing until it is resumed.
    cluster.pause(0);
    let waiting = std::thread::spawn({
        let topic = topic.clone();
        move || topic.count()
    });
    cluster.resume(0);
    assert!(waiting.join().expect("it ends") > 0);
}

#[test]
#[ignore = "half a minute: each killed broker is missed only after its session"]
fn three_brokers_of_4_3_go_on_without_one() {
    let cluster = Cluster::with("4.3.1").brokers(3).set("min.insync.replicas", 2).start();
    let settings = [("retention.ms", "86400000")];
    let topic = cluster.create_topic_with("replicated", 3, 3, &settings);
    assert_eq!(topic.partitions(), 3);
    for broker in 0..3 {
        cluster.kill9(broker);
        // Every partition has a leader among the other two.
        assert_eq!(topic.ends(), [0, 0, 0]);
        cluster.restart(broker);
    }
}
