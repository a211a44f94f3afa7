//! A topic read back: every record of every partition, in order, from any broker version.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::avro::{Event, decode_event};
use super::elder;
use super::eventually;
use super::records::{self, Record};
use super::wire::{Body, Connection, Input};

/// Failovers take a while.
const PATIENCE: Duration = Duration::from_secs(180);
const FETCH_BYTES_MAX: i32 = 32 << 20;

const FETCH: i16 = 1;
pub(super) const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
const DELETE_TOPICS: i16 = 20;
const ALTER_CONFIGS: i16 = 33;
const CREATE_PARTITIONS: i16 = 37;
const ALTER_CLIENT_QUOTAS: i16 = 49;

#[derive(Debug, Clone)]
pub struct Topic {
    bootstrap: String,
    name: String,
}

impl Topic {
    pub fn new(bootstrap: &str, name: &str) -> Topic {
        Topic { bootstrap: bootstrap.to_string(), name: name.to_string() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub fn partitions(&self) -> usize {
        self.leaders().len()
    }

    /// All records up to the end of this moment, by partition.
    pub fn records(&self) -> Vec<Vec<Record>> {
        (0..self.partitions() as i32).map(|partition| self.partition(partition)).collect()
    }

    /// All records, one partition after the other.
    pub fn all(&self) -> Vec<Record> {
        self.records().into_iter().flatten().collect()
    }

    /// The values of all records as Avro events; panics at one that is none.
    pub fn events(&self) -> Vec<Event> {
        let value = |record: &Record| record.value.clone().expect("a value");
        self.all().iter().map(|record| decode_event(&value(record))).collect()
    }

    /// The bodies of all events as text.
    pub fn bodies(&self) -> Vec<String> {
        let text = |event: Event| String::from_utf8_lossy(&event.body).into_owned();
        self.events().into_iter().map(text).collect()
    }

    /// How many records there are, by the offsets alone.
    pub fn count(&self) -> usize {
        self.bounds().into_iter().map(|(start, end)| (end - start) as usize).sum()
    }

    /// Offset of the next record of each partition.
    pub fn ends(&self) -> Vec<i64> {
        self.bounds().into_iter().map(|(_, end)| end).collect()
    }

    /// First offset and high watermark of each partition, by as few questions as there can be: it is what
    /// nearly every test waits for, and asks again and again.
    fn bounds(&self) -> Vec<(i64, i64)> {
        eventually(&format!("offsets of {}", self.name), PATIENCE, || {
            let known = self.connect()?;
            let count = known.leaders.iter().map(|(_, partitions)| partitions.len()).sum();
            let mut bounds = vec![(0, 0); count];
            for (mut connection, partitions) in known.leaders {
                let starts = self.offsets(&mut connection, &partitions, -2)?;
                let ends = self.offsets(&mut connection, &partitions, -1)?;
                for ((partition, start), end) in partitions.into_iter().zip(starts).zip(ends) {
                    let bound =
                        bounds.get_mut(partition as usize).ok_or("a gap in the partitions")?;
                    *bound = (start, end);
                }
            }
            Ok(bounds)
        })
    }

    /// For who waits for records, and so asks again and again.
    pub fn counter(&self) -> Counter<'_> {
        Counter { topic: self, known: RefCell::new(None) }
    }

    /// Connections to all leaders and the partitions that they lead, as they are now.
    fn connect(&self) -> Result<Known, String> {
        let (asked, connection, metadata) = ask_metadata(&self.bootstrap, &self.name)?;
        let mut partitions: HashMap<String, Vec<i32>> = HashMap::new();
        for (partition, leader) in &metadata.leaders {
            let leader = leader.as_ref().ok_or("no leader")?;
            partitions.entry(leader.clone()).or_default().push(*partition);
        }
        if partitions.is_empty() {
            return Err("no partitions".to_string());
        }
        let mut first = Some(connection);
        let mut leaders = Vec::new();
        for (leader, partitions) in partitions {
            let connection = match first.take_if(|_| leader == asked) {
                Some(connection) => connection,
                None => Connection::open(&leader).map_err(text)?,
            };
            leaders.push((connection, partitions));
        }
        Ok(Known { since: Instant::now(), leaders })
    }

    /// Waits until there are at least `count` records.
    #[track_caller]
    pub fn wait_for(&self, count: usize, timeout: Duration) {
        let counter = self.counter();
        eventually(&format!("{count} records in {}", self.name), timeout, || {
            if counter.has(count) { Ok(()) } else { Err("there are fewer".to_string()) }
        });
    }

    fn partition(&self, partition: i32) -> Vec<Record> {
        let mut records = Vec::new();
        self.for_each(partition, |record| records.push(record));
        records
    }

    /// Hands over the records of a partition up to the end of this moment, one by one, for
    /// topics too large to be held whole.
    pub fn for_each(&self, partition: i32, mut take: impl FnMut(Record)) {
        let (start, end) = self.on_leader(partition, |leader| self.range(leader, partition));
        let mut next = start;
        while next < end {
            // A new connection only after an error: `on_leader` makes one each time.
            self.on_leader(partition, |leader| {
                while next < end {
                    let set = self.fetch(leader, partition, next)?;
                    let (found, behind) = records::parse(&set);
                    // A fetch begins with the whole batch that holds the offset.
                    let wanted = found.into_iter().filter(|r| r.offset >= next && r.offset < end);
                    wanted.for_each(&mut take);
                    next = behind.ok_or("a fetch without a whole batch")?;
                }
                Ok(())
            });
        }
    }

    /// First offset and high watermark.
    fn range(&self, leader: &mut Connection, partition: i32) -> Result<(i64, i64), String> {
        let mut bound = |at| self.offsets(leader, &[partition], at).map(|offsets| offsets[0]);
        Ok((bound(-2)?, bound(-1)?))
    }

    /// Of these partitions, in their order.
    fn offsets(
        &self,
        leader: &mut Connection,
        partitions: &[i32],
        at: i64,
    ) -> Result<Vec<i64>, String> {
        if elder::is_one(&self.bootstrap) {
            let one = |partition: &i32| {
                let mut body = Body::new();
                body.i32(-1).i32(1).string(&self.name).i32(1).i32(*partition).i64(at);
                elder::offset(leader, body.i32(1))
            };
            return partitions.iter().map(one).collect();
        }
        let mut body = Body::new();
        body.i32(-1).i32(1).string(&self.name).i32(partitions.len() as i32);
        for partition in partitions {
            body.i32(*partition).i64(at);
        }
        let answer = leader.call(LIST_OFFSETS, 1, &body).map_err(text)?;
        let mut input = Input(&answer);
        input.i32(); // topics
        input.string();
        let mut found = HashMap::new();
        for _ in 0..input.i32() {
            let partition = input.i32();
            good(input.i16(), "ListOffsets")?;
            input.i64(); // timestamp
            found.insert(partition, input.i64());
        }
        let of = |partition| found.get(partition).copied().ok_or("an answer without a partition");
        Ok(partitions.iter().map(of).collect::<Result<_, _>>()?)
    }

    fn fetch(&self, leader: &mut Connection, partition: i32, at: i64) -> Result<Vec<u8>, String> {
        // 3 is the last with message sets and the first that gives one message of any size;
        // 4 the first with record batches and the oldest of Kafka 4.
        let version = match elder::is_one(&self.bootstrap) {
            true => 0,
            false => leader.highest(FETCH).map_err(text)?.min(4),
        };
        let mut body = Body::new();
        body.i32(-1).i32(500).i32(1);
        if version >= 3 {
            body.i32(FETCH_BYTES_MAX);
        }
        if version >= 4 {
            body.i8(0);
        }
        body.i32(1).string(&self.name).i32(1).i32(partition).i64(at).i32(FETCH_BYTES_MAX);
        let answer = leader.call(FETCH, version, &body).map_err(text)?;
        let mut input = Input(&answer);
        if version >= 1 {
            input.i32(); // throttle time
        }
        input.i32(); // topics
        input.string();
        input.take(8); // partitions, partition
        good(input.i16(), "Fetch")?;
        input.i64(); // high watermark
        if version >= 4 {
            input.i64(); // last stable offset
            let aborted = input.i32().max(0);
            input.take(16 * aborted as usize);
        }
        Ok(input.bytes().unwrap_or_default().to_vec())
    }

    /// Asks the leader of a partition until it answers, whoever that is by then.
    fn on_leader<T>(
        &self,
        partition: i32,
        mut ask: impl FnMut(&mut Connection) -> Result<T, String>,
    ) -> T {
        eventually(&format!("partition {partition} of {}", self.name), PATIENCE, || {
            let leaders = metadata(&self.bootstrap, &self.name)?.leaders;
            let address = leaders.get(&partition).ok_or("no such partition")?;
            let address = address.as_ref().ok_or("no leader")?;
            ask(&mut Connection::open(address).map_err(text)?)
        })
    }

    /// Does the broker know of it?
    pub fn is_known(&self) -> bool {
        metadata(&self.bootstrap, &self.name).is_ok_and(|metadata| !metadata.leaders.is_empty())
    }

    /// Partitions whose leader is the broker at `address`, ascending.
    pub fn led_at(&self, address: &str) -> Vec<i32> {
        let leaders = self.leaders();
        let is_its = |leader: &Option<String>| leader.as_deref() == Some(address);
        let its =
            leaders.iter().filter(|(_, leader)| is_its(leader)).map(|(partition, _)| *partition);
        let mut partitions: Vec<i32> = its.collect();
        partitions.sort_unstable();
        partitions
    }

    /// The end of one partition, while others may have no leader.
    pub fn end(&self, partition: i32) -> i64 {
        self.on_leader(partition, |leader| self.range(leader, partition)).1
    }

    fn leaders(&self) -> HashMap<i32, Option<String>> {
        eventually(&format!("metadata of {}", self.name), PATIENCE, || {
            let leaders = metadata(&self.bootstrap, &self.name)?.leaders;
            if leaders.is_empty() { Err("no partitions".to_string()) } else { Ok(leaders) }
        })
    }
}

/// Who leads the partitions of a topic, asked a moment ago.
#[derive(Debug)]
struct Known {
    since: Instant,
    leaders: Vec<(Connection, Vec<i32>)>,
}

/// So long are leaders and partitions taken for what they were.
const KNOWN_MAX: Duration = Duration::from_secs(1);

/// Keeps its connections from one question to the next, and asks for no more than it needs.
#[derive(Debug)]
pub struct Counter<'a> {
    topic: &'a Topic,
    known: RefCell<Option<Known>>,
}

impl Counter<'_> {
    /// Does the topic hold at least so many records?
    pub fn has(&self, count: usize) -> bool {
        let known = &mut *self.known.borrow_mut();
        let ends = self.sum_of_ends(known);
        if ends.is_err() {
            *known = None;
        }
        // There are no more records than offsets. Fewer only where some were deleted: who has enough is
        // asked for both, and who does not answer, with patience.
        let is_short = ends.is_ok_and(|sum| sum < count as i64);
        !is_short && self.topic.count() >= count
    }

    fn sum_of_ends(&self, known: &mut Option<Known>) -> Result<i64, String> {
        let known = match known.take_if(|known| known.since.elapsed() < KNOWN_MAX) {
            Some(fresh) => known.insert(fresh),
            None => known.insert(self.topic.connect()?),
        };
        let mut sum = 0;
        for (connection, partitions) in &mut known.leaders {
            sum += self.topic.offsets(connection, partitions, -1)?.iter().sum::<i64>();
        }
        Ok(sum)
    }
}

#[derive(Debug)]
pub(super) struct Metadata {
    pub controller: Option<String>,
    /// By partition; None where there is no leader now.
    pub leaders: HashMap<i32, Option<String>>,
}

fn metadata(bootstrap: &str, topic: &str) -> Result<Metadata, String> {
    ask_metadata(bootstrap, topic).map(|(_, _, metadata)| metadata)
}

/// Also who has answered, and the connection on which.
fn ask_metadata(bootstrap: &str, topic: &str) -> Result<(String, Connection, Metadata), String> {
    let mut last = "no address".to_string();
    for address in bootstrap.split(',') {
        let asked = Connection::open(address).and_then(|mut connection| {
            let mut body = Body::new();
            let version = i16::from(!elder::is_one(bootstrap));
            let answer = connection.call(METADATA, version, body.i32(1).string(topic))?;
            Ok((connection, answer))
        });
        match asked {
            Ok((connection, answer)) => {
                let is_elder = elder::is_one(bootstrap);
                let parse = if is_elder { elder::metadata } else { parse_metadata };
                return Ok((address.to_string(), connection, parse(&answer)));
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

fn parse_metadata(answer: &[u8]) -> Metadata {
    let mut input = Input(answer);
    let mut brokers = HashMap::new();
    for _ in 0..input.i32() {
        let (id, host, port) = (input.i32(), input.string(), input.i32());
        input.string();
        brokers.insert(id, format!("{}:{port}", host.expect("a broker has a host")));
    }
    let controller = brokers.get(&input.i32()).cloned();
    let mut leaders = HashMap::new();
    for _ in 0..input.i32() {
        input.i16(); // error
        input.string();
        input.i8(); // internal
        for _ in 0..input.i32() {
            let (_, partition, leader) = (input.i16(), input.i32(), input.i32());
            for _replicas_then_in_sync in 0..2 {
                let count = input.i32();
                input.take(4 * count as usize);
            }
            leaders.insert(partition, brokers.get(&leader).cloned());
        }
    }
    Metadata { controller, leaders }
}

impl Topic {
    /// Gives it exactly these settings (brokers from 0.11 on).
    pub fn configure(&self, settings: &[(&str, &str)]) {
        let mut body = Body::new();
        body.i32(1).i8(2).string(&self.name).i32(settings.len() as i32);
        for (key, value) in settings {
            body.string(key).string(value);
        }
        body.i8(0);
        self.on_controller("AlterConfigs", ALTER_CONFIGS, &body);
    }

    /// Adds partitions until there are so many (brokers from 1.0 on).
    pub fn grow(&self, partitions: i32) {
        let mut body = Body::new();
        body.i32(1).string(&self.name).i32(partitions).i32(-1).i32(30_000).i8(0);
        self.on_controller("CreatePartitions", CREATE_PARTITIONS, &body);
        // Their leaders take a moment to know that they are.
        eventually("the new partitions", PATIENCE, || match self.bounds().len() {
            count if count == partitions as usize => Ok(()),
            count => Err(format!("{count} partitions")),
        });
    }

    /// Gives a client of this name a quota (`producer_byte_rate` for one) on each broker of the cluster
    /// (brokers from 2.6 on).
    pub fn set_quota(&self, client: &str, of: &str, bytes_s: f64) {
        let mut body = Body::new();
        body.i32(1).i32(1).string("client-id").string(client);
        body.i32(1).string(of).i64(bytes_s.to_bits() as i64).i8(0).i8(0);
        self.on_controller("AlterClientQuotas", ALTER_CLIENT_QUOTAS, &body);
    }

    fn on_controller(&self, what: &str, key: i16, body: &Body) {
        eventually(what, PATIENCE, || {
            let controller = cluster(&self.bootstrap)?.controller.ok_or("no controller")?;
            let mut controller = Connection::open(&controller).map_err(text)?;
            // Both are written alike.
            // Of quotas the second version is written in another way.
            let most = i16::from(key != ALTER_CLIENT_QUOTAS);
            let version = controller.highest(key).map_err(text)?.min(most);
            let answer = controller.call(key, version, body).map_err(text)?;
            let mut input = Input(&answer);
            input.take(8); // throttle time, results
            if key == CREATE_PARTITIONS {
                input.string();
            }
            good(input.i16(), what)
        });
    }
}

/// Deletes a topic and makes it anew; returns when every partition has a leader.
pub fn make_anew(bootstrap: &str, name: &str, partitions: i32) -> Topic {
    eventually(&format!("deletion of {name}"), PATIENCE, || {
        let controller = cluster(bootstrap)?.controller.ok_or("no controller")?;
        let mut controller = Connection::open(&controller).map_err(text)?;
        let version = controller.highest(DELETE_TOPICS).map_err(text)?.min(1);
        let mut body = Body::new();
        body.i32(1).string(name).i32(30_000);
        let answer = controller.call(DELETE_TOPICS, version, &body).map_err(text)?;
        let mut input = Input(&answer);
        if version >= 1 {
            input.i32();
        }
        input.i32(); // topics
        input.string();
        match input.i16() {
            // 3: it is gone already.
            0 | 3 => Ok(()),
            code => Err(format!("DeleteTopics: error {code}")),
        }
    });
    make(bootstrap, name, partitions, 1, &[], true)
}

/// Returns when every partition has a leader.
pub fn create(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    replication: i16,
    settings: &[(&str, &str)],
) -> Topic {
    make(bootstrap, name, partitions, replication, settings, false)
}

/// `waits`: a topic of this name is being deleted.
fn make(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    replication: i16,
    settings: &[(&str, &str)],
    waits: bool,
) -> Topic {
    if elder::make(bootstrap, name, partitions, replication, settings) {
        return led(bootstrap, name, partitions);
    }
    let mut body = Body::new();
    body.i32(1).string(name).i32(partitions).i16(replication).i32(0);
    body.i32(settings.len() as i32);
    for (key, value) in settings {
        body.string(key).string(value);
    }
    body.i32(30_000).i8(0);
    let mut asked = false;
    eventually(&format!("topic {name}"), PATIENCE, || {
        // Metadata of a topic that is not there would make it: ask for the cluster's only.
        let controller = cluster(bootstrap)?.controller.ok_or("no controller")?;
        let mut controller = Connection::open(&controller).map_err(text)?;
        let version = controller.highest(CREATE_TOPICS).map_err(text)?.min(2);
        // A slow broker makes it although nobody waits any longer for its answer.
        let asked_before = std::mem::replace(&mut asked, true);
        let answer = controller.call(CREATE_TOPICS, version, &body).map_err(text)?;
        let mut input = Input(&answer);
        if version >= 2 {
            input.i32();
        }
        input.i32(); // topics
        input.string();
        let code = input.i16();
        let why = input.string().unwrap_or_default();
        // 7 timed out, 38 too few brokers yet, 41 no longer the controller: ask again.
        match code {
            0 => Ok(()),
            36 if waits => Err("the old one is there".to_string()),
            36 if asked_before => Ok(()),
            7 | 38 | 41 | 56 => Err(format!("CreateTopics: error {code} {why}")),
            _ => panic!("topic {name} cannot be created: error {code} {why}"),
        }
    });
    led(bootstrap, name, partitions)
}

fn led(bootstrap: &str, name: &str, partitions: i32) -> Topic {
    let topic = Topic::new(bootstrap, name);
    eventually(&format!("leaders of {name}"), PATIENCE, || {
        let leaders = metadata(bootstrap, name)?.leaders;
        let whole = leaders.len() == partitions as usize && leaders.values().all(Option::is_some);
        if whole { Ok(()) } else { Err(format!("{leaders:?}")) }
    });
    // Who is named as a leader takes a moment to know that it is one.
    topic.bounds();
    topic
}

fn cluster(bootstrap: &str) -> Result<Metadata, String> {
    let mut last = "no address".to_string();
    for address in bootstrap.split(',') {
        let answer = Connection::open(address)
            .and_then(|mut connection| connection.call(METADATA, 1, Body::new().i32(0)));
        match answer {
            Ok(answer) => return Ok(parse_metadata(&answer)),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

pub(super) fn good(code: i16, request: &str) -> Result<(), String> {
    if code == 0 { Ok(()) } else { Err(format!("{request}: error {code}")) }
}

pub(super) fn text(error: std::io::Error) -> String {
    error.to_string()
}
