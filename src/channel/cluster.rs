//! What there is to find of a cluster: the topic, its leaders, and with which wire they are spoken
//! to. How it is found: `finding/`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::batch::Wire;
use super::broker::{Fault, Topic};
use super::client::Client;
use super::finding::Finding;
use super::finish::finish;
use super::greet::{Greeted, Spoken};
use super::protocol::{
    self, Api, Asked, Denial, METADATA, METADATA_ID, METADATA_OLD, PRODUCE, PRODUCE_MIDDLE,
    Versions,
};
use super::wire::{ANSWER_BYTES_MAX, Connection, host_port};
use crate::log;

/// More leaders than this have no topic of any cluster: whoever names them is no broker.
const LEADERS_MAX: usize = 10_000;

/// How long a cluster has to answer and to have the topic ready.
pub const OPEN_TIMEOUT: Duration = Duration::from_millis(10_000);

/// What to look for, and the client that asks.
#[derive(Debug, Clone, Copy)]
pub struct Quest<'a> {
    /// `host:port` each.
    pub brokers: &'a [String],
    pub topic: &'a str,
    pub client: &'a Client,
    /// The topic answered 43: take a wire before 0.11, whatever the brokers speak.
    pub legacy: bool,
    /// A missing topic is made, where the brokers are configured to do so. (Those before 0.11 do it
    /// whatever is asked.)
    pub may_create: bool,
    /// Partitions without a leader are left out, if they do not get one in a while.
    pub may_lack: bool,
}

/// A way in.
pub struct Cluster {
    pub topic: Topic,
    /// The broker that told; `host:port` of the list.
    pub told_by: String,
    /// Leaders of the topic's partitions, each connected.
    pub leaders: Vec<Leader>,
    /// Index into `leaders` of each of `topic.partitions`; `None` without a leader.
    pub led_by: Vec<Option<usize>>,
    /// Leaders that are named and do not answer, `host:port`: their partitions count as without one.
    pub unreached: Vec<String>,
}

pub struct Leader {
    pub connection: Connection,
    pub spoken: Spoken,
}

/// Finds a way in; waits for it.
///
/// # Errors
/// As [`Finding::poll`]; `Stopped`.
pub fn find(quest: Quest<'_>) -> Result<Cluster, Fault> {
    finish(&mut Finding::start(quest, OPEN_TIMEOUT), Finding::poll)
}

pub(super) fn named(topic: &str) -> MetadataRequestTopic {
    let name = TopicName(StrBytes::from_string(topic.to_string()));
    MetadataRequestTopic::default().with_name(Some(name))
}

/// The question for the topic's metadata, as a broker that speaks `versions` understands it.
pub(super) fn metadata(
    versions: Option<&Versions>,
    peer: &str,
    topic: &str,
    may_create: bool,
) -> Result<(Api, i16, MetadataRequest), Fault> {
    // Version 2 (0.10.1) brings the cluster id, version 4 (0.11) the wish to make the topic;
    // before that a broker makes it, or not, as it is configured. Version 10 (2.8) brings the
    // topic's id.
    let highest = versions.map_or(0, |v| v.highest(METADATA));
    let (api, version) = match highest {
        10.. => (METADATA_ID, METADATA_ID.highest),
        4.. => (METADATA, versions.map_or(Ok(4), |v| v.common(METADATA, peer))?),
        n => (METADATA_OLD, n.clamp(0, 2)),
    };
    let request = MetadataRequest::default()
        .with_topics(Some(vec![named(topic)]))
        .with_allow_auto_topic_creation(may_create || version < METADATA.lowest);
    Ok((api, version, request))
}

/// Asks a broker for the topic's metadata.
pub(super) fn ask_metadata(
    (connection, spoken): &mut Greeted,
    topic: &str,
    client: &str,
    may_create: bool,
    deadline: Instant,
) -> Result<Asked, Fault> {
    let (api, version, request) =
        metadata(spoken.versions(), connection.peer(), topic, may_create)?;
    protocol::ask(connection, api, version, client, &request, ANSWER_BYTES_MAX, deadline)
}

/// What one broker tells of a topic that is ready.
pub(super) struct Word {
    cluster_id: String,
    topic_id: [u8; 16],
    /// Ascending.
    partitions: Vec<i32>,
    replicas: usize,
    /// Node and `host:port`.
    pub leaders: Vec<(i32, String)>,
    /// Index into `leaders` of each of `partitions`; `None` without a leader.
    led_by: Vec<Option<usize>>,
    /// Left out of `leaders`.
    unreached: Vec<String>,
}

impl Word {
    /// # Errors
    /// `NotReady` where the topic is not there or no partition has a leader; `Unauthorised`.
    pub(super) fn of(answer: &MetadataResponse, topic: &str) -> Result<Word, Fault> {
        let seen = leaders_of(answer, topic)?;
        let addresses: HashMap<i32, String> = answer
            .brokers
            .iter()
            .rev() // The first of a node counts.
            .map(|broker| (broker.node_id.0, host_port(&broker.host, broker.port)))
            .collect();
        let mut leaders: Vec<(i32, String)> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut led_by = Vec::new();
        for (_, node) in &seen.partitions {
            let Some(address) = addresses.get(node) else {
                led_by.push(None);
                continue;
            };
            // Two nodes behind one address would be a fault of the brokers' configuration: they
            // are spoken to as one.
            let at = *known.entry(address).or_insert_with(|| {
                leaders.push((*node, address.clone()));
                leaders.len() - 1
            });
            led_by.push(Some(at));
        }
        if leaders.len() > LEADERS_MAX {
            return Err(Fault::Lost(format!(
                "the broker names {} leaders of topic {topic}; more than {LEADERS_MAX} cannot be",
                leaders.len()
            )));
        }
        if leaders.is_empty() {
            let (partition, node) = seen.partitions[0];
            return Err(without_leader(topic, partition, node));
        }
        let cluster_id = answer.cluster_id.as_ref().map(|id| id.to_string()).unwrap_or_default();
        let partitions = seen.partitions.iter().map(|(partition, _)| *partition).collect();
        Ok(Word {
            cluster_id,
            topic_id: seen.topic_id,
            partitions,
            replicas: seen.replicas,
            leaders,
            led_by,
            unreached: Vec::new(),
        })
    }

    /// `host:port` of the leader of `partition`.
    pub(super) fn leader(&self, partition: i32) -> Option<&str> {
        let at = self.partitions.binary_search(&partition).ok()?;
        self.led_by[at].map(|leader| self.leaders[leader].1.as_str())
    }

    /// Does every partition have a leader?
    pub(super) fn is_whole(&self) -> bool {
        self.led_by.iter().all(Option::is_some)
    }

    fn leaderless(&self) -> Vec<i32> {
        let led = self.partitions.iter().zip(&self.led_by);
        led.filter(|(_, leader)| leader.is_none()).map(|(partition, _)| *partition).collect()
    }

    /// `NotReady` where a partition has no leader.
    pub(super) fn whole(self, topic: &str) -> Result<Word, Fault> {
        match self.leaderless().first() {
            Some(partition) => Err(without_leader(topic, *partition, -1)),
            None => Ok(self),
        }
    }

    /// Treats partitions whose leaders cannot be reached as having none.
    ///
    /// # Errors
    /// `NotReady`: they lead all of it.
    pub(super) fn without(mut self, is_unreached: impl Fn(&str) -> bool) -> Result<Word, Fault> {
        let mut kept = Vec::new();
        let mut places = Vec::new();
        for (node, address) in self.leaders {
            if is_unreached(&address) {
                places.push(None);
                self.unreached.push(address);
            } else {
                places.push(Some(kept.len()));
                kept.push((node, address));
            }
        }
        for leader in &mut self.led_by {
            *leader = leader.and_then(|at| places[at]);
        }
        self.leaders = kept;
        match self.leaders.is_empty() {
            true => Err(Fault::NotReady("no leader answers".to_string())),
            false => Ok(self),
        }
    }

    /// What it says of the topic, which is spoken to over `wire`.
    /// A broker did not know the topic a moment ago. One that has just begun says so of each.
    pub(super) fn tell_made(&self, topic: &str) {
        log::info(
            "kafka.KafkaChannel",
            format_args!(
                "Topic {topic} did not exist a moment ago and has {} now: unless another client \
                 has created it, the brokers have (auto.create.topics.enable).",
                log::counted(self.partitions.len() as u64, "partition")
            ),
        );
    }

    pub(super) fn topic(&self, wire: Wire) -> Topic {
        Topic {
            wire,
            cluster_id: self.cluster_id.clone(),
            topic_id: self.topic_id,
            partitions: self.partitions.clone(),
            leaderless: self.leaderless(),
            replicas: self.replicas,
        }
    }

    /// With the wire of the oldest of its leaders the topic is spoken to, so that a cluster in the
    /// middle of an upgrade is served as well. `leaders`: as they stand in the word.
    pub(super) fn into_cluster(
        self,
        told_by: &str,
        leaders: Vec<Greeted>,
        legacy: bool,
    ) -> Cluster {
        let leader = |(connection, spoken)| Leader { connection, spoken };
        let leaders: Vec<Leader> = leaders.into_iter().map(leader).collect();
        let speak = |api: Api| {
            let speaks = |v: &Versions| v.highest(api) >= api.lowest;
            leaders.iter().all(|leader| leader.spoken.versions().is_some_and(speaks))
        };
        let topic = self.topic(match () {
            () if !legacy && speak(PRODUCE) => Wire::Modern,
            () if speak(PRODUCE_MIDDLE) => Wire::Middle,
            () => Wire::Legacy,
        });
        let (told_by, led_by, unreached) = (told_by.to_string(), self.led_by, self.unreached);
        Cluster { topic, told_by, leaders, led_by, unreached }
    }
}

pub(super) fn without_leader(topic: &str, partition: i32, node: i32) -> Fault {
    match node {
        ..0 => Fault::NotReady(format!("topic {topic}: partition {partition} has no leader")),
        _ => Fault::NotReady(format!("leader {node} of partition {partition} is not up")),
    }
}

struct Seen {
    /// Partition and leader (negative: none), ascending.
    partitions: Vec<(i32, i32)>,
    topic_id: [u8; 16],
    replicas: usize,
}

/// Does the broker say that there is no such topic, or that it has just begun to make it?
pub(super) fn is_missing(answer: &MetadataResponse, name: &str) -> bool {
    let is_it = |t: &&MetadataResponseTopic| t.name.as_ref().is_some_and(|n| n.0.as_str() == name);
    let error = answer.topics.iter().find(is_it).map(|topic| topic.error_code);
    let missing = [ResponseError::UnknownTopicOrPartition, ResponseError::LeaderNotAvailable];
    error.and_then(ResponseError::try_from_code).is_some_and(|error| missing.contains(&error))
}

fn leaders_of(answer: &MetadataResponse, name: &str) -> Result<Seen, Fault> {
    let what = format!("topic {name}");
    let is_it = |t: &&MetadataResponseTopic| t.name.as_ref().is_some_and(|n| n.0.as_str() == name);
    let Some(topic) = answer.topics.iter().find(is_it) else {
        return Err(Fault::NotReady(format!("{what} is not known to the broker")));
    };
    if let Some(denial @ Denial::Topic) = protocol::denial(topic.error_code) {
        return Err(protocol::denied(METADATA, denial, name));
    }
    if topic.error_code != 0 {
        return Err(protocol::topic_fault(topic.error_code, name));
    }
    if topic.partitions.is_empty() {
        return Err(Fault::NotReady(format!("{what} has no partitions yet")));
    }
    let mut partitions = Vec::new();
    for p in &topic.partitions {
        // Error 9, a replica that is down, is no hindrance as long as there is a leader.
        partitions.push((p.partition_index, p.leader_id.0));
    }
    partitions.sort_unstable();
    partitions.dedup_by_key(|p| p.0);
    let replicas = topic.partitions.iter().map(|p| p.replica_nodes.len()).max().unwrap_or(1);
    Ok(Seen { partitions, topic_id: topic.topic_id.into_bytes(), replicas })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition,
    };

    use super::*;

    /// Each of so many brokers leads a partition.
    fn answer(count: i32) -> MetadataResponse {
        let broker = |node: i32| {
            let host = StrBytes::from_string(format!("h{node}"));
            MetadataResponseBroker::default().with_node_id(BrokerId(node)).with_host(host)
        };
        let partition = |node: i32| {
            let partition = MetadataResponsePartition::default().with_partition_index(node);
            partition.with_leader_id(BrokerId(node))
        };
        let name = TopicName(StrBytes::from_static_str("t"));
        let topic = MetadataResponseTopic::default().with_name(Some(name));
        let topic = topic.with_partitions((0..count).map(partition).collect());
        let brokers = (0..count).map(broker).collect();
        MetadataResponse::default().with_brokers(brokers).with_topics(vec![topic])
    }

    /// An answer of 8 MB names hundreds of thousands of brokers and of partitions. To look for each of these
    /// among each of those took hours, in which a request to stop was not heard.
    #[test]
    fn an_answer_that_names_no_end_of_leaders_is_refused_at_once() {
        let word = Word::of(&answer(200), "t").unwrap();
        assert_eq!((word.leaders.len(), word.led_by[199]), (200, Some(199)));
        let Err(Fault::Lost(why)) = Word::of(&answer(200_000), "t") else { panic!("it is taken") };
        assert!(why.contains("200000 leaders of topic t"), "{why}");
    }
}
