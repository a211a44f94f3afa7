//! A topic as the bench sees it: where its partitions end, and what arrives in them. Over one
//! connection that stays, so that looking costs the broker little. For clusters of one broker.

use crate::support::wire::{Body, Connection, Input};
use crate::support::{Topic, elder};

const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const DELETE_TOPICS: i16 = 20;
const FETCH_BYTES_MAX: i32 = 8 << 20;

pub struct Watch {
    connection: Connection,
    topic: String,
    partitions: i32,
    /// Its brokers are older than 0.10: they tell no versions, and delete no topic when asked to.
    is_elder: bool,
    fetch_version: i16,
    next: Vec<i64>,
}

impl Watch {
    pub fn new(topic: &Topic, partitions: i32) -> Watch {
        let mut connection = Connection::open(topic.bootstrap()).expect("a connection");
        let is_elder = elder::is_one(topic.bootstrap());
        // 3 is the last with message sets, 4 the oldest of Kafka 4.
        let fetch_version = match is_elder {
            true => 0,
            false => connection.highest(FETCH).expect("its versions").min(4),
        };
        Watch {
            connection,
            topic: topic.name().to_string(),
            partitions,
            is_elder,
            fetch_version,
            next: vec![0; partitions as usize],
        }
    }

    /// Records that have come into the topic, by its end offsets, whether they are still kept.
    pub fn count(&mut self) -> u64 {
        if self.is_elder {
            return (0..self.partitions).map(|partition| self.count_of_elder(partition)).sum();
        }
        let mut body = Body::new();
        body.i32(-1).i32(1).string(&self.topic).i32(self.partitions);
        for partition in 0..self.partitions {
            body.i32(partition).i64(-1);
        }
        let answer = self.connection.call(LIST_OFFSETS, 1, &body).expect("end offsets");
        let mut input = Input(&answer);
        input.i32();
        input.string();
        let mut count = 0;
        for _ in 0..input.i32() {
            input.i32();
            let code = input.i16();
            input.i64();
            let end = input.i64();
            if !is_not_yet(code) {
                assert_eq!(code, 0, "error of ListOffsets");
                count += end as u64;
            }
        }
        count
    }

    /// None, too, of a partition whose leader has not heard of it.
    fn count_of_elder(&mut self, partition: i32) -> u64 {
        let mut body = Body::new();
        body.i32(-1).i32(1).string(&self.topic).i32(1).i32(partition).i64(-1).i32(1);
        elder::offset(&mut self.connection, &body).map_or(0, |end| end as u64)
    }

    /// Waits for records behind those already seen, half a second at most, and hands over
    /// the batches of each partition as they are.
    pub fn arrivals(&mut self, visit: &mut dyn FnMut(&[u8])) {
        let mut body = Body::new();
        // Replica, longest wait, least bytes, most bytes.
        body.i32(-1).i32(500).i32(1).i32(FETCH_BYTES_MAX);
        if self.fetch_version >= 4 {
            body.i8(0);
        }
        body.i32(1).string(&self.topic).i32(self.partitions);
        for partition in 0..self.partitions {
            body.i32(partition).i64(self.next[partition as usize]).i32(FETCH_BYTES_MAX);
        }
        let answer = self.connection.call(FETCH, self.fetch_version, &body).expect("records");
        let mut input = Input(&answer);
        input.take(8); // throttle time, topics
        input.string();
        for _ in 0..input.i32() {
            let partition = input.i32() as usize;
            let code = input.i16();
            assert!(code == 0 || is_not_yet(code), "error {code} of Fetch");
            input.i64(); // high watermark
            if self.fetch_version >= 4 {
                input.i64(); // last stable offset
                let aborted = input.i32().max(0);
                input.take(16 * aborted as usize);
            }
            let set = input.bytes().unwrap_or_default();
            if let Some(next) = behind(set) {
                self.next[partition] = next;
                visit(set);
            }
        }
    }

    /// Deletes the topic, so that the disk does not fill up with those of earlier runs.
    pub fn delete(mut self) {
        if self.is_elder {
            return;
        }
        let version = self.connection.highest(DELETE_TOPICS).expect("its versions").min(1);
        let mut body = Body::new();
        body.i32(1).string(&self.topic).i32(30_000);
        self.connection.call(DELETE_TOPICS, version, &body).expect("the topic's end");
    }
}

/// Of a topic that was made a moment ago: its leader has not heard of it.
fn is_not_yet(code: i16) -> bool {
    matches!(code, 3 | 5 | 6)
}

/// The offset behind the last whole entry of a set, by the entries' heads alone.
fn behind(mut set: &[u8]) -> Option<i64> {
    let mut next = None;
    while set.len() >= 27 {
        let mut head = Input(set);
        let base = head.i64();
        let length = 12 + head.i32() as usize;
        if set.len() < length {
            break;
        }
        let is_batch = set[16] == 2;
        let last_delta = Input(&set[23..]).i32();
        next = Some(base + if is_batch { i64::from(last_delta) + 1 } else { 1 });
        set = &set[length..];
    }
    next
}
