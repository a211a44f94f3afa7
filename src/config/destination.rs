//! Where the events of a source go.
//!
//! Which component of Flume says so, a channel that writes to Kafka itself or a channel with sinks
//! behind it, is known only where the configuration is read. Nothing behind `config` knows.

use super::security::Security;
use super::template::TopicRule;

/// A topic and how events become records there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The channel's: by it the checkpoint, the log and the metrics know this destination.
    pub name: String,
    /// The channel's type, for the lines that Flume logs.
    pub channel_type: &'static str,
    /// Its brokers were named by several sinks, so that they may be of several clusters: the one
    /// that was written to first is kept to.
    pub keeps_cluster: bool,
    /// `host:port` each, never empty, in the order given.
    pub brokers: Vec<String>,
    pub topic: String,
    pub value_format: ValueFormat,
    pub compression: Compression,
    /// `defaultPartitionId`: every batch goes there.
    pub default_partition: Option<i32>,
    pub partition_by: PartitionBy,
    /// The agent's name by default: what quotas and the brokers' logs know it by.
    pub client_id: String,
    pub security: Security,
    /// How often the brokers are asked how the topic is, ms.
    pub metadata_ms: u64,
    /// How long a broker may take to acknowledge, and how long an answer is waited for, ms.
    pub request_timeout_ms: u32,
    pub rule: RecordRule,
    /// Events may name another topic: see `topics`, which makes a destination of each.
    pub topic_rule: Option<TopicRule>,
    /// Of a destination that was made so: the index of that which stands for the channel.
    pub base: Option<usize>,
}

impl Destination {
    /// Is it opened only when an event names it, or are such topics opened beside it?
    pub fn is_on_demand(&self) -> bool {
        self.rule.topic.as_ref().is_some_and(|rule| rule.is_open)
    }

    /// That of another topic of its channel.
    pub fn for_topic(&self, channel: &str, topic: &str) -> Destination {
        let name = match topic == self.topic {
            true => channel.to_owned(),
            false => format!("{channel}:{topic}"),
        };
        Destination { name, topic: topic.to_owned(), ..self.clone() }
    }
}

/// What the headers of an event say of its record, beside the value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordRule {
    /// The header [`KEY_HEADER`] is the record's key and, where nothing else says the partition, chooses
    /// it so. `None`: records have no key.
    pub key: Option<KeyPartitioner>,
    /// The header with the number of the partition.
    pub partition_header: Option<String>,
    /// The header with the record's time, ms since 1970.
    pub timestamp_header: Option<String>,
    /// Headers of events that become headers of records, with their names there.
    pub headers: Vec<(String, String)>,
    /// Only events that name this topic so are for it.
    pub topic: Option<TopicRule>,
}

impl RecordRule {
    /// What of it matters for events that can have no other headers than these.
    pub fn for_headers(&self, possible: &[String]) -> RecordRule {
        let is_possible = |name: &String| possible.contains(name);
        RecordRule {
            key: self.key.filter(|_| possible.iter().any(|name| name == KEY_HEADER)),
            partition_header: self.partition_header.clone().filter(is_possible),
            timestamp_header: self.timestamp_header.clone().filter(is_possible),
            headers: self.headers.iter().filter(|(name, _)| is_possible(name)).cloned().collect(),
            topic: self.topic.clone(),
        }
    }

    /// Are records values alone, in whatever partition?
    pub fn is_plain(&self) -> bool {
        *self == RecordRule::default()
    }
}

/// The header that Flume makes the record's key of.
pub const KEY_HEADER: &str = "key";

/// From a key to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPartitioner {
    /// `String.hashCode`, as the producer of Flume 1.6.
    HashCode,
    /// murmur2 of the bytes, as Kafka's Java producer, and that of Flume 1.7 and later.
    Murmur2,
}

impl KeyPartitioner {
    /// As it is configured.
    pub fn name(self) -> &'static str {
        match self {
            KeyPartitioner::HashCode => "hashCode",
            KeyPartitioner::Murmur2 => "murmur2",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueFormat {
    /// AvroFlumeEvent: headers and body.
    Avro,
    /// The body alone (`parseAsFlumeEvent = false` under the 1.7 names).
    Bare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    /// Can this build compress so? lz4 and zstd are cargo features.
    pub fn is_supported(self) -> bool {
        match self {
            Compression::None | Compression::Gzip | Compression::Snappy => true,
            Compression::Lz4 => cfg!(feature = "lz4"),
            Compression::Zstd => cfg!(feature = "zstd"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionBy {
    /// Transactions to the partitions in turn.
    Transaction,
    /// A whole file to one partition.
    File,
}
