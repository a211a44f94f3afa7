//! Questions about a cluster that only `check` asks: who leads what, how a topic is configured,
//! what we may do; and the making of a topic.
//!
//! Requests and answers are written and read by hand here: their oldest versions, which brokers
//! from 0.10.2 to 4.x all have, are a few plain fields each.

use std::time::Instant;

use kafka_protocol::error::ResponseError;

use super::broker::Fault;
use super::greet::{Elder, Spoken};
use super::protocol::{self, Api, INIT_PRODUCER_ID, Versions};
use super::records::{ReadError, Reader};
use super::wire::{ANSWER_BYTES_MAX, Connection, host_port};

/// Version 1 brings the controller, 4 asks without making the topic, 8 tells what we may do.
const METADATA: Api = Api { key: 3, name: "Metadata", lowest: 1, highest: 8 };
const CREATE_TOPICS: Api = Api { key: 19, name: "CreateTopics", lowest: 0, highest: 3 };
const DESCRIBE_CONFIGS: Api = Api { key: 32, name: "DescribeConfigs", lowest: 0, highest: 1 };

/// How long the controller may take to make a topic, ms.
const CREATE_TIMEOUT_MS: i32 = 10_000;

/// Bits of the operations that a broker says we may do.
pub const MAY_READ: i32 = 1 << 3;
pub const MAY_WRITE: i32 = 1 << 4;
pub const MAY_DESCRIBE: i32 = 1 << 8;
/// "Not told", in Kafka's own words.
const RIGHTS_UNKNOWN: i32 = i32::MIN;

/// A connection with what its broker speaks.
pub struct Admin<'a> {
    pub connection: &'a mut Connection,
    pub versions: &'a Versions,
    pub client: &'a str,
    pub deadline: Instant,
}

/// A cluster as one of its brokers sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Id and `host:port`.
    pub brokers: Vec<(i32, String)>,
    /// Not told before 0.10.1.
    pub cluster_id: Option<String>,
    pub controller: i32,
    /// `None` where there is no such topic.
    pub topic: Option<TopicView>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct TopicView {
    /// Of the topic as a whole; 0 is none.
    pub error: i16,
    pub partitions: Vec<PartitionView>,
    /// Bits of `MAY_...`; `None` where the broker does not tell.
    pub rights: Option<i32>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PartitionView {
    pub partition: i32,
    /// -1 for none.
    pub leader: i32,
    pub replicas: usize,
    pub in_sync: usize,
}

/// What is configured for a topic or a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    Topic(&'a str),
    Broker(i32),
}

impl Admin<'_> {
    fn call(&mut self, api: Api, version: i16, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let correlation = self.connection.next_correlation();
        let mut frame = protocol::begin_frame(api, version, correlation, self.client);
        frame.extend_from_slice(body);
        protocol::end_frame(&mut frame, 0);
        self.connection.call(&frame, correlation, ANSWER_BYTES_MAX, self.deadline)
    }

    fn garbled(&self, api: Api) -> Fault {
        protocol::garbled(api, self.connection.peer())
    }

    /// Looks at the cluster and at `topic`, without making the topic: before 0.11 a broker may
    /// make what it is asked for, so there it is asked for all that it has.
    pub fn view(&mut self, topic: &str) -> Result<View, Fault> {
        let version = self.versions.common(METADATA, self.connection.peer())?;
        let mut body = Vec::new();
        if version >= 4 {
            body.extend_from_slice(&1i32.to_be_bytes());
            protocol::put_string(&mut body, topic);
            body.push(0);
        } else {
            body.extend_from_slice(&(-1i32).to_be_bytes());
        }
        if version >= 8 {
            body.extend_from_slice(&[0, 1]);
        }
        let answer = self.call(METADATA, version, &body)?;
        read_view(&mut Reader(&answer), version, topic).map_err(|_| self.garbled(METADATA))
    }

    /// Names and values; `None` where the broker (before 0.11) does not tell.
    pub fn configs(
        &mut self,
        resource: Resource<'_>,
        names: &[&str],
    ) -> Result<Option<Vec<(String, String)>>, Fault> {
        if self.versions.highest(DESCRIBE_CONFIGS) < 0 {
            return Ok(None);
        }
        let version = self.versions.common(DESCRIBE_CONFIGS, self.connection.peer())?;
        let mut body = 1i32.to_be_bytes().to_vec();
        let (kind, name) = match resource {
            Resource::Topic(name) => (2, name.to_string()),
            Resource::Broker(id) => (4, id.to_string()),
        };
        body.push(kind);
        protocol::put_string(&mut body, &name);
        body.extend_from_slice(&(names.len() as i32).to_be_bytes());
        names.iter().for_each(|name| protocol::put_string(&mut body, name));
        if version >= 1 {
            body.push(0);
        }
        let answer = self.call(DESCRIBE_CONFIGS, version, &body)?;
        let (error, message, found) = read_configs(&mut Reader(&answer), version)
            .map_err(|_| self.garbled(DESCRIBE_CONFIGS))?;
        if error != 0 {
            let what = format!("configuration of {name}: {}", message.unwrap_or_default());
            return Err(protocol::fault(error, what.trim_end_matches(": ")));
        }
        Ok(Some(found))
    }

    /// May we number what we write? `None` where a broker (before 0.11) knows no numbers.
    pub fn may_number(&mut self) -> Result<Option<bool>, Fault> {
        if self.versions.highest(INIT_PRODUCER_ID) < 0 {
            return Ok(None);
        }
        // No transaction, and so no time limit of one.
        let body = [0xff, 0xff, 0, 0, 0, 0];
        let answer = self.call(INIT_PRODUCER_ID, 0, &body)?;
        let mut r = Reader(&answer);
        let code = r.i32().and_then(|_| r.i16()).map_err(|_| self.garbled(INIT_PRODUCER_ID))?;
        Ok(match protocol::denial(code) {
            Some(_) => Some(false),
            None if code == 0 => Some(true),
            None => None,
        })
    }

    /// Makes a topic; only the controller can.
    ///
    /// # Errors
    /// The broker's reason.
    pub fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        replication: i16,
    ) -> Result<(), Fault> {
        let version = self.versions.common(CREATE_TOPICS, self.connection.peer())?;
        let mut body = 1i32.to_be_bytes().to_vec();
        protocol::put_string(&mut body, topic);
        body.extend_from_slice(&partitions.to_be_bytes());
        body.extend_from_slice(&replication.to_be_bytes());
        // Neither replicas by hand nor settings.
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(&CREATE_TIMEOUT_MS.to_be_bytes());
        if version >= 1 {
            body.push(0);
        }
        let answer = self.call(CREATE_TOPICS, version, &body)?;
        let (error, message) =
            read_created(&mut Reader(&answer), version).map_err(|_| self.garbled(CREATE_TOPICS))?;
        if error == 0 {
            return Ok(());
        }
        let why = message.unwrap_or_else(|| create_error(error).to_string());
        Err(Fault::NotReady(format!("topic {topic} cannot be made: {why} (error {error})")))
    }
}

/// In words, for brokers that give none.
fn create_error(code: i16) -> &'static str {
    use ResponseError as E;
    match E::try_from_code(code) {
        Some(
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed,
        ) => "not authorised",
        Some(E::TopicAlreadyExists) => "it exists",
        Some(E::InvalidPartitions) => "that number of partitions is not possible",
        Some(E::InvalidReplicationFactor) => "there are not so many brokers",
        Some(E::NotController) => "the broker asked is not the controller",
        Some(E::PolicyViolation) => "a policy of the cluster forbids it",
        _ => "the broker refuses",
    }
}

fn text(r: &mut Reader<'_>) -> Result<Option<String>, ReadError> {
    Ok(r.text()?.map(str::to_string))
}

/// Reads so many elements as are claimed, without believing the claim: each takes bytes.
fn each<'a, T>(
    r: &mut Reader<'a>,
    mut element: impl FnMut(&mut Reader<'a>) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let count = r.i32()?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(element(r)?);
    }
    Ok(list)
}

fn read_view(r: &mut Reader<'_>, version: i16, wanted: &str) -> Result<View, ReadError> {
    if version >= 3 {
        r.i32()?;
    }
    let brokers = each(r, |r| {
        let (id, host, port) = (r.i32()?, r.text()?.unwrap_or_default(), r.i32()?);
        r.text()?;
        Ok((id, host_port(host, port)))
    })?;
    let cluster_id = if version >= 2 { text(r)? } else { None };
    let controller = r.i32()?;
    let topics = each(r, |r| read_topic(r, version))?;
    let topic = topics.into_iter().find(|(name, _)| name == wanted).map(|(_, topic)| topic);
    let is_none =
        |error| ResponseError::try_from_code(error) == Some(ResponseError::UnknownTopicOrPartition);
    let topic = topic.filter(|t| !is_none(t.error));
    Ok(View { brokers, cluster_id, controller, topic })
}

fn read_topic(r: &mut Reader<'_>, version: i16) -> Result<(String, TopicView), ReadError> {
    let error = r.i16()?;
    let name = text(r)?.unwrap_or_default();
    r.take(1)?;
    let mut partitions = each(r, |r| read_partition(r, version))?;
    partitions.sort_by_key(|p| p.partition);
    let rights = if version >= 8 { Some(r.i32()?) } else { None };
    let rights = rights.filter(|rights| *rights != RIGHTS_UNKNOWN);
    Ok((name, TopicView { error, partitions, rights }))
}

fn read_partition(r: &mut Reader<'_>, version: i16) -> Result<PartitionView, ReadError> {
    r.i16()?;
    let (partition, leader) = (r.i32()?, r.i32()?);
    if version >= 7 {
        r.i32()?;
    }
    let replicas = each(r, Reader::i32)?.len();
    let in_sync = each(r, Reader::i32)?.len();
    if version >= 5 {
        each(r, Reader::i32)?;
    }
    Ok(PartitionView { partition, leader, replicas, in_sync })
}

type Configs = (i16, Option<String>, Vec<(String, String)>);

fn read_configs(r: &mut Reader<'_>, version: i16) -> Result<Configs, ReadError> {
    r.i32()?;
    let mut resources = each(r, |r| {
        let (error, message) = (r.i16()?, text(r)?);
        r.take(1)?;
        text(r)?;
        let configs = each(r, |r| {
            let pair = (text(r)?.unwrap_or_default(), text(r)?.unwrap_or_default());
            // Read-only, default or source, sensitive.
            r.take(3)?;
            if version >= 1 {
                each(r, |r| Ok((text(r)?, text(r)?, r.take(1)?.len())))?;
            }
            Ok(pair)
        })?;
        Ok((error, message, configs))
    })?;
    resources.pop().ok_or(ReadError::Malformed)
}

fn read_created(r: &mut Reader<'_>, version: i16) -> Result<(i16, Option<String>), ReadError> {
    if version >= 2 {
        r.i32()?;
    }
    let mut topics = each(r, |r| {
        text(r)?;
        let error = r.i16()?;
        Ok((error, if version >= 1 { text(r)? } else { None }))
    })?;
    topics.pop().ok_or(ReadError::Malformed)
}

/// By what a broker speaks, the release that it is at least, and whether a later one may speak
/// the same. (Request, version) pairs that a release was the first to have.
const FIRSTS: &[(&str, i16, i16)] = &[
    ("4.1", 0, 13),
    ("4.0", 0, 12),
    ("3.8", 0, 11),
    ("3.7", 1, 16),
    ("3.5", 1, 15),
    ("3.1", 1, 13),
    ("2.8", 0, 9),
    ("2.7", 1, 12),
    ("2.4", 0, 8),
    ("2.3", 1, 11),
    ("2.1", 0, 7),
    ("2.0", 0, 6),
    ("1.1", 1, 7),
    ("1.0", 0, 5),
    ("0.11", 0, 3),
    ("0.10.2", 19, 1),
    ("0.10.1", 19, 0),
];

/// The release of a broker, as far as it can be told from what it speaks.
pub fn release(spoken: &Spoken) -> String {
    let versions = match spoken {
        Spoken::Versions(versions) => versions,
        Spoken::Elder(Elder::V08) => return "0.8.2 or before".to_string(),
        Spoken::Elder(Elder::V09) => return "0.9".to_string(),
    };
    let speaks =
        |key, version| versions.highest(Api { key, name: "", lowest: 0, highest: 0 }) >= version;
    let at = FIRSTS.iter().position(|(_, key, version)| speaks(*key, *version));
    match at {
        None => "0.10.0".to_string(),
        Some(0) => format!("{} or later", FIRSTS[0].0),
        Some(at) => format!("{} or later, before {}", FIRSTS[at].0, FIRSTS[at - 1].0),
    }
}

/// Whatever a broker may answer.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn fuzz(answer: &[u8], version: i16) {
    let _ = read_view(&mut Reader(answer), version, "t");
    let _ = read_configs(&mut Reader(answer), version);
    let _ = read_created(&mut Reader(answer), version);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_neither_panics_nor_takes_memory() {
        let mut seed = 7u64;
        for len in 0..600usize {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    if seed >> 61 == 0 { (seed >> 40) as u8 } else { 0 }
                })
                .collect();
            for version in 0..=8 {
                let _ = read_view(&mut Reader(&bytes), version.max(1), "t");
                let _ = read_configs(&mut Reader(&bytes), version.min(1));
                let _ = read_created(&mut Reader(&bytes), version.min(3));
                let full = [&[0x7f; 4], &bytes[..]].concat();
                let _ = read_view(&mut Reader(&full), version.max(1), "t");
            }
        }
    }
}
