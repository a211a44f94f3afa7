//! Finds a way into a cluster: any broker of the list, the topic, its leaders, and with which
//! wire they are spoken to.

use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::batch::Wire;
use super::broker::{Fault, Topic};
use super::protocol::{self, METADATA, METADATA_ID, METADATA_OLD, PRODUCE, Versions};
use super::wire::{ANSWER_BYTES_MAX, Connection, host_port, pause};

/// How long a cluster has to answer and to have the topic ready.
pub const OPEN_TIMEOUT: Duration = Duration::from_millis(10_000);
/// How long a topic that is being made is waited for before the caller is told.
const TOPIC_TIMEOUT: Duration = Duration::from_millis(3_000);
const TOPIC_PAUSE: Duration = Duration::from_millis(50);

/// What is sought, and under which name the brokers know us.
#[derive(Debug, Clone, Copy)]
pub struct Quest<'a> {
    /// `host:port` each.
    pub brokers: &'a [String],
    pub topic: &'a str,
    pub client: &'a str,
    /// The topic answered 43: take the wire before 0.11, whatever the brokers speak.
    pub legacy: bool,
    /// A missing topic is made, where the brokers are configured to do so. (Those before 0.11 do it
    /// whatever is asked.)
    pub may_create: bool,
}

/// A way in.
pub struct Cluster {
    pub topic: Topic,
    /// The broker that told; `host:port` of the list.
    pub told_by: String,
    /// Leaders of the topic's partitions, each connected.
    pub leaders: Vec<Leader>,
    /// Index into `leaders` of each of `topic.partitions`.
    pub led_by: Vec<usize>,
}

pub struct Leader {
    pub connection: Connection,
    /// `None` before 0.10.
    pub versions: Option<Versions>,
}

/// Asks the brokers of the list in turn until one tells of a topic that is ready: what one says
/// that is cut off from the others may be long untrue.
///
/// # Errors
/// `NotReady` in the words of the first that says so, else `Unreachable` with each broker's reason
/// in one line; `Unauthorised`, `Stopped`.
pub fn find(quest: Quest<'_>) -> Result<Cluster, Fault> {
    find_within(quest, OPEN_TIMEOUT)
}

fn find_within(quest: Quest<'_>, timeout: Duration) -> Result<Cluster, Fault> {
    let deadline = Instant::now() + timeout;
    let (mut reasons, mut not_ready, mut ready_until) = (Vec::new(), None, None);
    for (broker, left) in quest.brokers.iter().zip((1..=quest.brokers.len() as u32).rev()) {
        // One that takes connections and is frozen would use up the time of all behind it.
        let now = Instant::now();
        let greet_until = now + deadline.saturating_duration_since(now) / left;
        match ask(broker, quest, greet_until, &mut ready_until, deadline) {
            Ok(cluster) => return Ok(cluster),
            Err(Fault::Unreachable(why) | Fault::Lost(why)) => {
                let named = why.starts_with(broker.as_str());
                reasons.push(if named { why } else { format!("{broker}: {why}") });
            }
            Err(fault @ Fault::NotReady(_)) => {
                not_ready.get_or_insert(fault);
            }
            Err(other) => return Err(other),
        }
    }
    let unreachable = || format!("no broker can be reached: {}", reasons.join("; "));
    Err(not_ready.unwrap_or_else(|| Fault::Unreachable(unreachable())))
}

/// `ready_until`: how long the topic is waited for, from the first broker on that answers. Later
/// ones are asked once.
fn ask(
    broker: &str,
    quest: Quest<'_>,
    greet_until: Instant,
    ready_until: &mut Option<Instant>,
    deadline: Instant,
) -> Result<Cluster, Fault> {
    let (mut connection, versions) = greet(broker, quest.topic, quest.client, greet_until)?;
    let patience = TOPIC_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()) / 2);
    let until = *ready_until.get_or_insert(Instant::now() + patience);
    // A topic that is made by our asking has no leaders for a moment, and a leader that has just
    // died stands in the metadata until its session is over.
    loop {
        let result = metadata(&mut connection, versions.as_ref(), quest, deadline)
            .and_then(|answer| visit(broker, &answer, quest, deadline));
        match result {
            Err(Fault::NotReady(_)) if Instant::now() < until => pause(TOPIC_PAUSE)?,
            Err(other) => return Err(other),
            Ok(visit) => return Ok(visit.into_cluster(broker, (connection, versions), quest)),
        }
    }
}

/// Connects and asks what the broker speaks. Brokers before 0.10 close the connection on that
/// question; so does one that is just going down, hence a second try, with a question between
/// that brokers of every version answer.
pub fn greet(
    broker: &str,
    topic: &str,
    client: &str,
    deadline: Instant,
) -> Result<(Connection, Option<Versions>), Fault> {
    let mut connection = Connection::open(broker, deadline)?;
    match Versions::ask(&mut connection, client, deadline) {
        Ok(versions) => return Ok((connection, Some(versions))),
        Err(Fault::Lost(_)) if Instant::now() < deadline => {}
        Err(other) => return Err(other),
    }
    let mut connection = Connection::open(broker, deadline)?;
    let request = MetadataRequest::default().with_topics(Some(vec![named(topic)]));
    let _: MetadataResponse = protocol::call(
        &mut connection,
        METADATA_OLD,
        0,
        client,
        &request,
        ANSWER_BYTES_MAX,
        deadline,
    )?;
    let mut second = Connection::open(broker, deadline)?;
    match Versions::ask(&mut second, client, deadline) {
        Ok(versions) => Ok((second, Some(versions))),
        Err(Fault::Lost(_)) => Ok((connection, None)),
        Err(other) => Err(other),
    }
}

fn named(topic: &str) -> MetadataRequestTopic {
    let name = TopicName(StrBytes::from_string(topic.to_string()));
    MetadataRequestTopic::default().with_name(Some(name))
}

fn metadata(
    connection: &mut Connection,
    versions: Option<&Versions>,
    quest: Quest<'_>,
    deadline: Instant,
) -> Result<MetadataResponse, Fault> {
    // Version 2 (0.10.1) brings the cluster id, version 4 (0.11) the wish to make the topic;
    // before that a broker makes it, or not, as it is configured. Version 10 (2.8) brings the
    // topic's id.
    let highest = versions.map_or(0, |v| v.highest(METADATA));
    let (api, version) = match highest {
        10.. => (METADATA_ID, METADATA_ID.highest),
        4.. => (METADATA, versions.map_or(Ok(4), |v| v.common(METADATA, connection.peer()))?),
        n => (METADATA_OLD, n.clamp(0, 2)),
    };
    let request = MetadataRequest::default()
        .with_topics(Some(vec![named(quest.topic)]))
        .with_allow_auto_topic_creation(quest.may_create || version < METADATA.lowest);
    protocol::call(connection, api, version, quest.client, &request, ANSWER_BYTES_MAX, deadline)
}

/// A connection, and what the broker behind it speaks.
type Greeted = (Connection, Option<Versions>);

/// What one broker told of a topic whose leaders all answer.
struct Visit {
    seen: Seen,
    cluster_id: String,
    /// The leaders; without a connection the broker that told, which has one already.
    leaders: Vec<(i32, Option<Greeted>)>,
    /// Index into `leaders` of each of `seen.partitions`.
    led_by: Vec<usize>,
}

/// Connects to every leader.
fn visit(
    told_by: &str,
    answer: &MetadataResponse,
    quest: Quest<'_>,
    deadline: Instant,
) -> Result<Visit, Fault> {
    let seen = leaders_of(answer, quest.topic)?;
    let mut leaders: Vec<(i32, Option<Greeted>)> = Vec::new();
    let mut led_by = Vec::new();
    for (partition, node) in &seen.partitions {
        if let Some(index) = leaders.iter().position(|(known, _)| known == node) {
            led_by.push(index);
            continue;
        }
        let address = address_of(answer, *node).ok_or_else(|| {
            Fault::NotReady(format!("leader {node} of partition {partition} is not up"))
        })?;
        // Two nodes behind one address would be a fault of the brokers' configuration, no panic.
        let is_teller = address == told_by && leaders.iter().all(|(_, known)| known.is_some());
        let greeted = match is_teller {
            true => None,
            false => Some(greet_leader(*node, &address, quest, deadline)?),
        };
        led_by.push(leaders.len());
        leaders.push((*node, greeted));
    }
    let cluster_id = answer.cluster_id.as_ref().map(|id| id.to_string()).unwrap_or_default();
    Ok(Visit { seen, cluster_id, leaders, led_by })
}

impl Visit {
    /// With the wire of the oldest of its leaders the topic is spoken to, so that a cluster in the
    /// middle of an upgrade is served as well.
    fn into_cluster(self, told_by: &str, teller: Greeted, quest: Quest<'_>) -> Cluster {
        let mut teller = Some(teller);
        let leaders: Vec<Leader> = self
            .leaders
            .into_iter()
            // One of them at most is without, so that each finds a connection.
            .filter_map(|(_, greeted)| greeted.or_else(|| teller.take()))
            .map(|(connection, versions)| Leader { connection, versions })
            .collect();
        let speaks_modern =
            |l: &Leader| l.versions.as_ref().is_some_and(|v| v.highest(PRODUCE) >= PRODUCE.lowest);
        let modern = !quest.legacy && leaders.iter().all(speaks_modern);
        let topic = Topic {
            wire: if modern { Wire::Modern } else { Wire::Legacy },
            cluster_id: self.cluster_id,
            topic_id: self.seen.topic_id,
            partitions: self.seen.partitions.iter().map(|(partition, _)| *partition).collect(),
            replicas: self.seen.replicas,
        };
        Cluster { topic, told_by: told_by.to_string(), leaders, led_by: self.led_by }
    }
}

/// A leader that is gone will be replaced: that is worth another look at the metadata.
fn greet_leader(
    node: i32,
    address: &str,
    quest: Quest<'_>,
    deadline: Instant,
) -> Result<Greeted, Fault> {
    match greet(address, quest.topic, quest.client, deadline) {
        Ok(greeted) => Ok(greeted),
        Err(Fault::Unreachable(why) | Fault::Lost(why)) => {
            Err(Fault::NotReady(format!("leader {node} at {address}: {why}")))
        }
        Err(other) => Err(other),
    }
}

fn address_of(answer: &MetadataResponse, node: i32) -> Option<String> {
    let broker = answer.brokers.iter().find(|b| b.node_id.0 == node)?;
    Some(host_port(&broker.host, broker.port))
}

struct Seen {
    /// Partition and leader, ascending.
    partitions: Vec<(i32, i32)>,
    topic_id: [u8; 16],
    replicas: usize,
}

fn leaders_of(answer: &MetadataResponse, name: &str) -> Result<Seen, Fault> {
    let what = format!("topic {name}");
    let is_it = |t: &&MetadataResponseTopic| t.name.as_ref().is_some_and(|n| n.0.as_str() == name);
    let Some(topic) = answer.topics.iter().find(is_it) else {
        return Err(Fault::NotReady(format!("{what} is not known to the broker")));
    };
    if topic.error_code == 29 {
        return Err(protocol::denied(METADATA, 29, name));
    }
    if topic.error_code != 0 {
        return Err(protocol::fault(topic.error_code, &what));
    }
    if topic.partitions.is_empty() {
        return Err(Fault::NotReady(format!("{what} has no partitions yet")));
    }
    let mut partitions = Vec::new();
    for p in &topic.partitions {
        // Error 9, a replica that is down, is no hindrance as long as there is a leader.
        if p.leader_id.0 < 0 {
            let which = p.partition_index;
            return Err(Fault::NotReady(format!("{what}: partition {which} has no leader")));
        }
        partitions.push((p.partition_index, p.leader_id.0));
    }
    partitions.sort_unstable();
    partitions.dedup_by_key(|p| p.0);
    let replicas = topic.partitions.iter().map(|p| p.replica_nodes.len()).max().unwrap_or(1);
    Ok(Seen { partitions, topic_id: topic.topic_id.into_bytes(), replicas })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::protocol::Api;
    use super::*;

    /// A broker of one partition, which it says that it leads, or that nobody does.
    fn broker(leads: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let metadata = metadata_5(address, if leads { 1 } else { -1 });
                std::thread::spawn(move || while serve(&stream, &metadata).is_ok() {});
            }
        });
        address.to_string()
    }

    /// Metadata, version 5: one broker with the id 1, no rack; no cluster id, no controller; topic
    /// "t" with one partition without replicas.
    fn metadata_5(address: SocketAddr, leader: i32) -> Vec<u8> {
        let mut out = [0i32, 1, 1].map(i32::to_be_bytes).concat();
        protocol::put_string(&mut out, &address.ip().to_string());
        out.extend_from_slice(&i32::from(address.port()).to_be_bytes());
        out.extend_from_slice(&[0xff; 8]);
        out.extend_from_slice(&[0, 0, 0, 1, 0, 0]);
        protocol::put_string(&mut out, "t");
        out.extend_from_slice(&[0, 0, 0, 0, 1, 0, 0]);
        out.extend([0, leader, 0, 0, 0].map(i32::to_be_bytes).concat());
        out
    }

    fn serve(mut stream: &TcpStream, metadata: &[u8]) -> std::io::Result<()> {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request)?;
        let mut answer = request[4..8].to_vec();
        match request[..2] {
            [0, 18] => {
                let speaks = |api: Api| [api.key, api.lowest, api.highest].map(i16::to_be_bytes);
                answer.extend_from_slice(&[0, 0, 0, 0, 0, 2]);
                answer.extend([METADATA, PRODUCE].map(speaks).concat().concat());
            }
            _ => answer.extend_from_slice(metadata),
        }
        stream.write_all(&(answer.len() as u32).to_be_bytes())?;
        stream.write_all(&answer)
    }

    #[test]
    fn a_broker_that_knows_of_no_leader_does_not_hide_one_that_does() {
        let brokers = [false, false, true].map(broker);
        let find = |brokers: &[String]| {
            let quest =
                Quest { brokers, topic: "t", client: "c", legacy: false, may_create: false };
            find_within(quest, Duration::from_millis(800))
        };
        let cluster = find(&brokers).map_err(|fault| fault.to_string()).unwrap();
        assert_eq!(
            (cluster.told_by.as_str(), cluster.topic.wire),
            (brokers[2].as_str(), Wire::Modern)
        );
        let fault = find(&brokers[..2]).map(drop).unwrap_err();
        assert_eq!(fault, Fault::NotReady("topic t: partition 0 has no leader".to_string()));
    }

    #[test]
    fn a_frozen_broker_leaves_time_for_those_behind_it() {
        // The kernel takes connections for it, and nobody answers.
        let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        let brokers = [&frozen, &gone].map(|l| l.local_addr().unwrap().to_string());
        drop(gone);
        let quest =
            Quest { brokers: &brokers, topic: "t", client: "c", legacy: false, may_create: false };
        let fault = find_within(quest, Duration::from_millis(800)).map(drop).unwrap_err();
        let [frozen, gone] = brokers;
        let why = format!(
            "no broker can be reached: {frozen} does not answer; {gone}: Connection refused"
        );
        assert_eq!(fault, Fault::Unreachable(why));
    }
}
