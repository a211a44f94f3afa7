//! Where the events of a source go.
//!
//! Which component of Flume says so, a channel that writes to Kafka itself or a channel with sinks
//! behind it, is known only where the configuration is read. Nothing behind `config` knows.

use super::security::Security;

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
