//! The requests that are made of a broker, in versions whose fields are plain (before the
//! "flexible" ones), which every broker from 0.11 to 4.x takes. One is flexible: the first version
//! of Metadata that brings a topic's id.
//!
//! `kafka-protocol` reserves memory for as many elements as an array claims to have, before it has
//! seen one: four bytes of garbage would end the process. So each answer's shape is walked first,
//! and only what is whole is decoded.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::broker::{Fault, OFFSET_MAX, Progress, Verdict};
use super::finish::finish;
use super::records::{ReadError, Reader};
use super::wire::{ANSWER_BYTES_MAX, Call, Connection};

/// Most elements that the lists of an answer may have together: decoded, each takes up to some 200
/// bytes, though the wire needs no more than six. A topic of 100,000 partitions has 700,000.
const ELEMENTS_MAX: u32 = 1 << 20;

/// A broker that asks for more patience than this is asked again.
const THROTTLE_MAX: Duration = Duration::from_secs(600);

/// A request, and the versions of it that this program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    pub lowest: i16,
    pub highest: i16,
}

pub const PRODUCE: Api = Api { key: 0, name: "Produce", lowest: 3, highest: 8 };
pub const FETCH: Api = Api { key: 1, name: "Fetch", lowest: 4, highest: 10 };
pub const LIST_OFFSETS: Api = Api { key: 2, name: "ListOffsets", lowest: 1, highest: 3 };
/// With message sets of magic 1, for Kafka 0.10.
pub const PRODUCE_MIDDLE: Api = Api { key: 0, name: "Produce", lowest: 2, highest: 2 };
pub const METADATA: Api = Api { key: 3, name: "Metadata", lowest: 4, highest: 5 };
/// From 2.8 on: with the topic's id.
pub const METADATA_ID: Api = Api { key: 3, name: "Metadata", lowest: 10, highest: 10 };
pub const METADATA_OLD: Api = Api { key: 3, name: "Metadata", lowest: 0, highest: 2 };
pub const INIT_PRODUCER_ID: Api = Api { key: 22, name: "InitProducerId", lowest: 0, highest: 1 };
/// Version 1 (1.0) says that tokens come as requests of their own.
pub const SASL_HANDSHAKE: Api = Api { key: 17, name: "SaslHandshake", lowest: 0, highest: 1 };
/// Version 1 (2.2) brings the time for which a login is believed.
pub const SASL_AUTHENTICATE: Api = Api { key: 36, name: "SaslAuthenticate", lowest: 0, highest: 1 };
pub const API_VERSIONS: Api = Api { key: 18, name: "ApiVersions", lowest: 0, highest: 0 };

/// What a broker says it speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(Vec<(i16, i16, i16)>);

impl Versions {
    /// Asks. A broker before 0.10 closes the connection instead of answering.
    pub fn ask(
        connection: &mut Connection,
        client: &str,
        deadline: Instant,
    ) -> Result<Asked, Fault> {
        let request = ApiVersionsRequest::default();
        ask(connection, API_VERSIONS, 0, client, &request, ANSWER_BYTES_MAX, deadline)
    }

    /// Of the answer.
    pub fn of(answer: &ApiVersionsResponse) -> Versions {
        let keys = answer.api_keys.iter();
        Versions(keys.map(|k| (k.api_key, k.min_version, k.max_version)).collect())
    }

    /// The highest version of a request; -1 where there is none. (The lowest one cannot be
    /// trusted: Kafka 4.x names Produce from 0 on, KAFKA-18659.)
    pub fn highest(&self, api: Api) -> i16 {
        self.0.iter().find(|k| k.0 == api.key).map_or(-1, |k| k.2)
    }

    /// The highest version that both sides speak. Records in zstd may only be written with Produce
    /// from 7 on and read with Fetch from 10 on (KIP-110), whoever wrote them.
    pub fn common(&self, api: Api, peer: &str) -> Result<i16, Fault> {
        let (_, lowest, highest) =
            self.0.iter().find(|k| k.0 == api.key).copied().unwrap_or((api.key, 0, -1));
        let version = highest.min(api.highest);
        if version >= lowest.max(api.lowest) {
            return Ok(version);
        }
        Err(Fault::Incompatible(format!(
            "{peer} speaks {} {lowest} to {highest}, this program {} to {}",
            api.name, api.lowest, api.highest
        )))
    }
}

/// A question whose answer is awaited on a connection that carries nothing else.
#[derive(Debug)]
pub struct Asked {
    call: Call,
    api: Api,
    version: i16,
}

/// Asks. `bytes_max`: of the answer.
///
/// # Errors
/// `Fault::Lost`.
pub fn ask<Q: Encodable>(
    connection: &mut Connection,
    api: Api,
    version: i16,
    client: &str,
    request: &Q,
    bytes_max: usize,
    deadline: Instant,
) -> Result<Asked, Fault> {
    let correlation = connection.next_correlation();
    let frame = frame(api, version, correlation, client, request)?;
    let call = connection.begin(&frame, correlation, bytes_max, deadline)?;
    Ok(Asked { call, api, version })
}

impl Asked {
    /// The answer, decoded, if it has come. Never blocks.
    ///
    /// # Errors
    /// `Fault::Lost`, also where it is overdue.
    pub fn poll<A: Decodable>(&self, connection: &mut Connection) -> Result<Progress<A>, Fault> {
        Ok(match connection.poll(&self.call)? {
            Progress::Pending => Progress::Pending,
            Progress::Done(answer) => {
                connection.hold(throttle((self.api.key, self.version), &answer));
                Progress::Done(decode(self.api, self.version, &answer, connection.peer())?)
            }
        })
    }
}

/// One request and its answer, decoded; waits for it.
pub fn call<Q: Encodable, A: Decodable>(
    connection: &mut Connection,
    api: Api,
    version: i16,
    client: &str,
    request: &Q,
    bytes_max: usize,
    deadline: Instant,
) -> Result<A, Fault> {
    let asked = ask(connection, api, version, client, request, bytes_max, deadline)?;
    finish(connection, |connection| asked.poll(connection))
}

/// A whole request.
pub fn frame<Q: Encodable>(
    api: Api,
    version: i16,
    correlation: i32,
    client: &str,
    request: &Q,
) -> Result<Vec<u8>, Fault> {
    let mut frame = begin_frame(api, version, correlation, client);
    request
        .encode(&mut frame, version)
        .map_err(|e| Fault::Lost(format!("{} {version} could not be encoded: {e}", api.name)))?;
    end_frame(&mut frame, 0);
    Ok(frame)
}

/// Are lengths in this version varints, and may fields follow that are not known here?
fn is_flexible(api: Api, version: i16) -> bool {
    api.key == METADATA_ID.key && version >= 9
}

/// Length (to be filled in) and request header v1, or v2 where the version is flexible: key,
/// version, correlation id, client id; no further fields.
pub fn begin_frame(api: Api, version: i16, correlation: i32, client: &str) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&api.key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&correlation.to_be_bytes());
    put_string(&mut frame, client);
    if is_flexible(api, version) {
        frame.push(0);
    }
    frame
}

/// Fills the length in; `beyond`: bytes that follow and are not in `frame`.
pub fn end_frame(frame: &mut [u8], beyond: usize) {
    let length = (frame.len() - 4 + beyond) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
}

/// A string behind its 16-bit length. The configuration lets no longer topic or client id pass.
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("checked with the configuration");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Decodes an answer (behind its correlation id) once its shape is known to be right.
///
/// # Errors
/// `Fault::Lost` where it is not.
pub fn decode<A: Decodable>(api: Api, version: i16, answer: &[u8], peer: &str) -> Result<A, Fault> {
    let mut elements_left = ELEMENTS_MAX;
    let mut body = Reader(answer);
    if is_flexible(api, version) {
        // Of the header.
        walk(&[Tags], &mut body, &mut elements_left).map_err(|_| garbled(api, peer))?;
    }
    walk(shape(api, version), &mut Reader(body.0), &mut elements_left)
        .map_err(|_| garbled(api, peer))?;
    A::decode(&mut { body.0 }, version).map_err(|_| garbled(api, peer))
}

/// An answer that cannot be read.
pub fn garbled(api: Api, peer: &str) -> Fault {
    Fault::Lost(format!("{peer} gave an invalid answer to {}", api.name))
}

/// A piece of an answer.
enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// 16-bit length, -1 for null, and UTF-8.
    Text,
    /// 32-bit length, -1 for null, and bytes.
    Blob,
    /// 32-bit count, -1 for null, and so many of these.
    Each(&'static [Shape]),
    /// As `Text` and `Each`; the length is a varint, one more than it is, 0 for null.
    Compact,
    CompactEach(&'static [Shape]),
    /// Fields that the version does not name: their count, and each one's number, length and bytes.
    Tags,
}

use Shape::{Blob, Compact, CompactEach, Each, Fixed, Tags, Text};

/// `elements_left`: how many there may be.
fn walk(shape: &[Shape], r: &mut Reader<'_>, elements_left: &mut u32) -> Result<(), ReadError> {
    for piece in shape {
        match piece {
            Fixed(n) => {
                r.take(*n)?;
            }
            Text => {
                r.text()?;
            }
            Blob => {
                r.bytes()?;
            }
            Each(shape) => match r.i32()? {
                n if n < -1 => return Err(ReadError::Malformed),
                n => {
                    let count = u32::try_from(n).unwrap_or(0);
                    each(count, shape, r, elements_left)?;
                }
            },
            Compact => {
                let length = varint(r)?.saturating_sub(1);
                let text = r.take(length as usize)?;
                std::str::from_utf8(text).map_err(|_| ReadError::Malformed)?;
            }
            CompactEach(shape) => {
                let count = varint(r)?.saturating_sub(1);
                each(count, shape, r, elements_left)?;
            }
            Tags => {
                let count = varint(r)?;
                *elements_left = elements_left.checked_sub(count).ok_or(ReadError::Malformed)?;
                for _ in 0..count {
                    varint(r)?;
                    let length = varint(r)?;
                    r.take(length as usize)?;
                }
            }
        }
    }
    Ok(())
}

fn each(
    count: u32,
    shape: &[Shape],
    r: &mut Reader<'_>,
    elements_left: &mut u32,
) -> Result<(), ReadError> {
    *elements_left = elements_left.checked_sub(count).ok_or(ReadError::Malformed)?;
    (0..count).try_for_each(|_| walk(shape, r, elements_left))
}

/// An unsigned number, seven bits in each byte, the lowest first; at most five bytes.
fn varint(r: &mut Reader<'_>) -> Result<u32, ReadError> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = r.take(1)?[0];
        let bits = u32::from(byte & 0x7f);
        value |=
            bits.checked_shl(shift).filter(|v| v >> shift == bits).ok_or(ReadError::Malformed)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ReadError::Malformed)
}

const IDS: Shape = Each(&[Fixed(4)]);
const BROKERS_0: Shape = Each(&[Fixed(4), Text, Fixed(4)]);
const BROKERS_1: Shape = Each(&[Fixed(4), Text, Fixed(4), Text]);
const TOPICS_0: Shape = Each(&[Fixed(2), Text, Each(&[Fixed(10), IDS, IDS])]);
const TOPICS_1: Shape = Each(&[Fixed(2), Text, Fixed(1), Each(&[Fixed(10), IDS, IDS])]);
const TOPICS_5: Shape = Each(&[Fixed(2), Text, Fixed(1), Each(&[Fixed(10), IDS, IDS, IDS])]);

const IDS_10: Shape = CompactEach(&[Fixed(4)]);
const BROKERS_10: Shape = CompactEach(&[Fixed(4), Compact, Fixed(4), Compact, Tags]);
const PARTITIONS_10: Shape = CompactEach(&[Fixed(14), IDS_10, IDS_10, IDS_10, Tags]);
const TOPICS_10: Shape =
    CompactEach(&[Fixed(2), Compact, Fixed(17), PARTITIONS_10, Fixed(4), Tags]);

/// From the message definitions of Apache Kafka (clients/src/main/resources/common/message).
fn shape(api: Api, version: i16) -> &'static [Shape] {
    match (api.key, version) {
        (0, ..=4) => &[Each(&[Text, Each(&[Fixed(22)])]), Fixed(4)],
        (0, ..=7) => &[Each(&[Text, Each(&[Fixed(30)])]), Fixed(4)],
        (0, _) => &[Each(&[Text, Each(&[Fixed(30), Each(&[Fixed(4), Text]), Text])]), Fixed(4)],
        (1, ..=4) => &[Fixed(4), Each(&[Text, Each(&[Fixed(22), Each(&[Fixed(16)]), Blob])])],
        (1, ..=6) => &[Fixed(4), Each(&[Text, Each(&[Fixed(30), Each(&[Fixed(16)]), Blob])])],
        (1, _) => &[Fixed(10), Each(&[Text, Each(&[Fixed(30), Each(&[Fixed(16)]), Blob])])],
        (2, ..=1) => &[Each(&[Text, Each(&[Fixed(22)])])],
        (2, _) => &[Fixed(4), Each(&[Text, Each(&[Fixed(22)])])],
        (3, 0) => &[BROKERS_0, TOPICS_0],
        (3, 1) => &[BROKERS_1, Fixed(4), TOPICS_1],
        (3, 2) => &[BROKERS_1, Text, Fixed(4), TOPICS_1],
        (3, 3..=4) => &[Fixed(4), BROKERS_1, Text, Fixed(4), TOPICS_1],
        (3, 5) => &[Fixed(4), BROKERS_1, Text, Fixed(4), TOPICS_5],
        (3, 10) => &[Fixed(4), BROKERS_10, Compact, Fixed(4), TOPICS_10, Fixed(4), Tags],
        (17, _) => &[Fixed(2), Each(&[Text])],
        (18, _) => &[Fixed(2), Each(&[Fixed(6)])],
        (22, _) => &[Fixed(16)],
        (36, 0) => &[Fixed(2), Text, Blob],
        (36, _) => &[Fixed(2), Text, Blob, Fixed(8)],
        _ => unreachable!("every request of this module has a shape"),
    }
}

/// Key and version of a request.
pub fn asked(frame: &[u8]) -> (i16, i16) {
    let number =
        |at: usize| frame.get(at..at + 2).map_or(-1, |two| i16::from_be_bytes([two[0], two[1]]));
    (number(4), number(6))
}

/// For how long a broker asks in its answer (behind the correlation id) not to be written to, since
/// a quota is used up. Zero from those that wait themselves before they answer, which are older than
/// 2.0: these versions of the requests are the first by which a client says that it knows (KIP-219).
pub fn throttle((key, version): (i16, i16), answer: &[u8]) -> Duration {
    let at = match (key, version) {
        (0, 6..) => answer.len().checked_sub(4),
        (1, 8..) | (2, 3..) | (22, 1..) => Some(0),
        // Behind the header's further fields, of which there are none yet.
        (3, 9..) if answer.first() == Some(&0) => Some(1),
        (3, 6..=8) => Some(0),
        _ => None,
    };
    let told = at.and_then(|at| answer.get(at..)).and_then(|rest| rest.first_chunk::<4>());
    let ms = told.map_or(0, |told| i32::from_be_bytes(*told));
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(THROTTLE_MAX)
}

/// What an error code means for the whole conversation, where it is not about one batch.
pub fn fault(code: i16, what: &str) -> Fault {
    use ResponseError as E;
    let not_ready = |why: &str| Fault::NotReady(format!("{what}: {why} (error {code})"));
    match E::try_from_code(code) {
        Some(E::UnknownTopicOrPartition) => not_ready("unknown topic or partition"),
        Some(
            E::LeaderNotAvailable
            | E::NotLeaderOrFollower
            | E::ReplicaNotAvailable
            | E::CoordinatorLoadInProgress
            | E::CoordinatorNotAvailable
            | E::NotCoordinator
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::OffsetNotAvailable,
        ) => not_ready("no leader or coordinator yet"),
        Some(E::InvalidTopicException) => not_ready("not a valid topic name"),
        Some(
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::TransactionalIdAuthorizationFailed,
        ) => Fault::Unauthorised(format!("{what}: not authorised (error {code})")),
        _ => Fault::Lost(format!("{what}: error {code}")),
    }
}

/// The same of a whole topic: one that is not there can be created.
pub fn topic_fault(code: i16, topic: &str) -> Fault {
    match (fault(code, &format!("topic {topic}")), ResponseError::try_from_code(code)) {
        (Fault::NotReady(why), Some(ResponseError::UnknownTopicOrPartition)) => Fault::NotReady(
            format!("{why}; unless the brokers create it, flume-ng check --create-topic 3:1 does"),
        ),
        (fault, _) => fault,
    }
}

/// Likewise, where it answers `api`, asked about one partition.
pub fn partition_fault(api: Api, code: i16, partition: i32, topic: &str) -> Fault {
    match denial(code) {
        Some(denial) => denied(api, denial, topic),
        None => fault(code, &format!("partition {partition} of topic {topic}")),
    }
}

/// What a right is missing on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    Topic,
    Group,
    Cluster,
}

/// Does the code say that a right is missing?
pub fn denial(code: i16) -> Option<Denial> {
    match ResponseError::try_from_code(code)? {
        ResponseError::TopicAuthorizationFailed => Some(Denial::Topic),
        ResponseError::GroupAuthorizationFailed => Some(Denial::Group),
        ResponseError::ClusterAuthorizationFailed => Some(Denial::Cluster),
        _ => None,
    }
}

/// What the brokers' ACLs have to allow; to which user: [`Fault::asked_by`].
pub fn denied(api: Api, denial: Denial, topic: &str) -> Fault {
    let error = match denial {
        Denial::Topic => ResponseError::TopicAuthorizationFailed,
        Denial::Group => ResponseError::GroupAuthorizationFailed,
        Denial::Cluster => ResponseError::ClusterAuthorizationFailed,
    };
    let needed = match (api.key, denial) {
        (_, Denial::Group) => "Read on the group".to_string(),
        (0, Denial::Cluster) => "IdempotentWrite on the cluster".to_string(),
        (22, _) => {
            format!("IdempotentWrite on the cluster (from 2.8 on, Write on topic {topic} will do)")
        }
        (_, Denial::Cluster) => "ClusterAction on the cluster".to_string(),
        (0, _) => format!("Write on topic {topic}"),
        (1, _) => format!("Read on topic {topic}, to look for what is in doubt"),
        _ => format!("Describe on topic {topic} (and Create, if it is to be made)"),
    };
    Fault::Unauthorised(format!(
        "not authorised (error {}): allow the operation {needed}",
        error.code()
    ))
}

/// An offset that a broker tells; `None` for -1, by which it says that there is none, and for
/// what no log has.
pub fn told_offset(offset: i64) -> Option<i64> {
    Some(offset).filter(|offset| (0..=OFFSET_MAX).contains(offset))
}

/// What a produce answer says of a batch; all wires.
///
/// # Errors
/// `Lost` where it acknowledges without an offset; `Unauthorised`.
pub fn verdict(code: i16, base_offset: i64, topic: &str, peer: &str) -> Result<Verdict, Fault> {
    use ResponseError as E;
    let Some(error) = E::try_from_code(code) else {
        return match told_offset(base_offset) {
            Some(_) => Ok(Verdict::Acked { base_offset }),
            None => Err(Fault::Lost(format!("{peer} acknowledged without an offset"))),
        };
    };
    if let Some(denial) = denial(code) {
        return Err(denied(PRODUCE, denial, topic));
    }
    Ok(match error {
        E::MessageTooLarge | E::RecordListTooLarge => Verdict::TooLarge,
        E::UnsupportedForMessageFormat => Verdict::OldFormat,
        E::InvalidProducerEpoch | E::ProducerFenced => Verdict::Fenced,
        // A duplicate older than what it remembers is in the log, as a look will show.
        E::OutOfOrderSequenceNumber | E::DuplicateSequenceNumber | E::UnknownProducerId => {
            Verdict::OutOfSequence { error }
        }
        E::InvalidTimestamp => Verdict::StampRefused,
        E::UnsupportedCompressionType => Verdict::Barred { error },
        E::InvalidRecord => Verdict::Rejected { error, records: Vec::new() },
        _ => Verdict::Doubtful { error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{
        FetchResponse, InitProducerIdResponse, ListOffsetsResponse, MetadataResponse,
        ProduceResponse,
    };

    /// Decodes as every kind of answer that is ever awaited; it must not panic.
    fn decode_as_all(bytes: &[u8]) {
        for version in 0..=8 {
            let _ = decode::<ProduceResponse>(PRODUCE, version.max(3), bytes, "p");
            let _ = decode::<FetchResponse>(FETCH, version.max(4) + 2, bytes, "p");
            let _ = decode::<ListOffsetsResponse>(LIST_OFFSETS, version.clamp(1, 3), bytes, "p");
            let _ = decode::<MetadataResponse>(METADATA, version.min(5), bytes, "p");
            let _ = decode::<MetadataResponse>(METADATA_ID, 10, bytes, "p");
            let _ = decode::<InitProducerIdResponse>(INIT_PRODUCER_ID, version.min(1), bytes, "p");
            let _ = decode::<ApiVersionsResponse>(API_VERSIONS, 0, bytes, "p");
        }
    }

    #[test]
    fn a_topic_that_is_not_there_is_told_with_the_way_to_create_it() {
        let Fault::NotReady(why) = topic_fault(3, "t") else { panic!("another fault") };
        assert!(why.starts_with("topic t: unknown topic or partition (error 3); "), "{why}");
        assert!(why.ends_with("flume-ng check --create-topic 3:1 does"), "{why}");
        let Fault::NotReady(why) = topic_fault(5, "t") else { panic!("another fault") };
        assert!(!why.contains("--create-topic"), "{why}");
    }

    #[test]
    fn garbage_neither_panics_nor_takes_memory() {
        let mut seed = 1u64;
        for len in 0..400usize {
            let garbage: Vec<u8> = (0..len)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Many zeros, so that lengths are often small enough to go on.
                    if seed >> 62 == 0 { (seed >> 40) as u8 } else { 0 }
                })
                .collect();
            decode_as_all(&garbage);
            decode_as_all(&[&[0x7f; 4], &garbage[..]].concat());
            decode_as_all(&[&[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], &garbage[..]].concat());
        }
    }

    /// Version 10: one broker, cluster id "C", topic "t" with an id and one partition; a field of
    /// the header and one behind the topic that a later release may add.
    #[test]
    fn a_topic_tells_its_id() {
        let mut answer = vec![1, 9, 2, 0xab, 0xcd];
        answer.extend([0; 4]);
        answer.extend([2, 0, 0, 0, 1, 2, b'h', 0, 0, 0x23, 0x84, 0, 0]);
        answer.extend([2, b'C', 0, 0, 0, 1]);
        answer.extend([2, 0, 0, 2, b't']);
        answer.extend([7; 16]);
        answer.push(0);
        answer.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3]);
        answer.extend([2, 0, 0, 0, 1, 2, 0, 0, 0, 1, 1, 0]);
        answer.extend([0, 0, 0, 0, 1, 5, 1, 0xee]);
        answer.extend([0, 0, 0, 0, 0]);
        let told = decode::<MetadataResponse>(METADATA_ID, 10, &answer, "h:1").unwrap();
        assert_eq!(told.cluster_id.as_deref(), Some("C"));
        assert_eq!(told.topics[0].topic_id.into_bytes(), [7; 16]);
        assert_eq!(told.topics[0].partitions[0].leader_id.0, 1);
        for len in 0..answer.len() {
            let cut = decode::<MetadataResponse>(METADATA_ID, 10, &answer[..len], "h:1");
            assert_eq!(cut.map(drop), Err(garbled(METADATA_ID, "h:1")), "{len}");
        }
    }

    #[test]
    fn the_time_that_a_broker_asks_for_is_read() {
        let ms = Duration::from_millis;
        let (first, last) = ([0, 0, 0x0f, 0xa0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0, 0, 0x0f, 0xa0]);
        let later = [0, 0, 0, 0x0f, 0xa0, 1, 2, 3, 4];
        for (api, version) in [(FETCH, 10), (LIST_OFFSETS, 3), (INIT_PRODUCER_ID, 1)] {
            assert_eq!(throttle((api.key, version), &first), ms(4_000), "{}", api.name);
        }
        assert_eq!(throttle((PRODUCE.key, 8), &last), ms(4_000));
        assert_eq!(throttle((METADATA.key, 10), &later), ms(4_000));
        // These brokers have waited already.
        assert_eq!(throttle((PRODUCE.key, 5), &last), Duration::ZERO);
        assert_eq!(throttle((FETCH.key, 7), &first), Duration::ZERO);
        // What makes no sense, or would be for weeks.
        assert_eq!(throttle((PRODUCE.key, 8), &[0xff; 4]), Duration::ZERO);
        assert_eq!(throttle((PRODUCE.key, 8), &[0x7f; 4]), THROTTLE_MAX);
        for length in 0..4 {
            assert_eq!(throttle((PRODUCE.key, 8), &[0x7f; 4][..length]), Duration::ZERO);
            assert_eq!(throttle((FETCH.key, 8), &[0x7f; 4][..length]), Duration::ZERO);
        }
        let frame =
            frame(METADATA, 5, 1, "c", &kafka_protocol::messages::MetadataRequest::default());
        assert_eq!(asked(&frame.unwrap()), (3, 5));
    }

    #[test]
    fn many_small_elements_take_no_memory() {
        let fetched = |topics: u32| {
            let mut answer = vec![0; 4];
            answer.extend_from_slice(&topics.to_be_bytes());
            // Each an empty name and no partitions.
            answer.resize(answer.len() + 6 * topics as usize, 0);
            decode::<FetchResponse>(FETCH, 4, &answer, "h:1")
        };
        assert_eq!(fetched(1_000).unwrap().responses.len(), 1_000);
        assert_eq!(fetched(ELEMENTS_MAX + 1), Err(garbled(FETCH, "h:1")));
    }

    #[test]
    fn an_acknowledgement_without_a_possible_offset_is_a_doubt() {
        let verdict = |offset| verdict(0, offset, "t", "h:1");
        for base_offset in [0, OFFSET_MAX] {
            assert_eq!(verdict(base_offset), Ok(Verdict::Acked { base_offset }));
        }
        for offset in [-1, i64::MIN, i64::MAX] {
            assert!(matches!(verdict(offset), Err(Fault::Lost(_))), "{offset}");
        }
    }

    #[test]
    fn the_permission_that_is_missing_is_named() {
        let told = |api, code| partition_fault(api, code, 0, "t").to_string();
        let needs = "not authorised (error 29): allow the operation";
        assert_eq!(
            told(FETCH, 29),
            format!("{needs} Read on topic t, to look for what is in doubt")
        );
        assert_eq!(verdict(29, -1, "t", "h:1").unwrap_err().to_string(), {
            format!("{needs} Write on topic t")
        });
        assert!(told(LIST_OFFSETS, 29).starts_with(&format!("{needs} Describe on topic t")));
        assert!(
            denied(INIT_PRODUCER_ID, Denial::Cluster, "t").to_string().contains("IdempotentWrite")
        );
    }

    #[test]
    fn versions_that_do_not_meet_are_named() {
        let versions = Versions(vec![(0, 0, 13), (1, 11, 18)]);
        assert_eq!(versions.common(PRODUCE, "h:1"), Ok(8));
        let Err(Fault::Incompatible(why)) = versions.common(FETCH, "h:1") else { panic!() };
        assert_eq!(why, "h:1 speaks Fetch 11 to 18, this program 4 to 10");
        assert_eq!(versions.highest(INIT_PRODUCER_ID), -1);
    }
}
