//! What other sources, channels and clients call a property.

use super::known::Scope::{Channel, KafkaSink, Source};
use super::known::{Property, Scope, find};

/// Names that are not near, but that other sources, channels and clients have for it.
pub(super) const SYNONYMS: &[(Scope, &str, &[&str])] = &[
    (
        Source,
        "spoolDir",
        &[
            "spoolDirectory",
            "spoolingDir",
            "spoolingDirectory",
            "directory",
            "dir",
            "path",
            "logDir",
            "filegroups",
        ],
    ),
    (Source, "targetPattern", &["includePattern", "filePattern", "fileNamePattern", "pattern"]),
    (Source, "ignorePattern", &["excludePattern"]),
    (Source, "targetFilename", &["datePattern", "dateFormat", "filenamePattern"]),
    (Source, "fileSuffix", &["completedSuffix", "suffix"]),
    (Source, "trackerDir", &["trackerDirectory", "trackingDir", "checkpointDir", "positionFile"]),
    (Source, "inputCharset", &["charset", "encoding", "inputEncoding"]),
    (Source, "deserializer.maxLineLength", &["maxLineLength", "bufferMaxLineLength"]),
    (Source, "batchSize", &["transactionSize", "capacity"]),
    (
        Channel,
        "kafka.bootstrap.servers",
        &[
            "bootstrapServers",
            "bootstrap.servers",
            "kafka.bootstrapServers",
            "brokers",
            "kafka.brokers",
            "kafka.brokerList",
            "metadata.broker.list",
        ],
    ),
    (KafkaSink, "kafka.bootstrap.servers", &["bootstrap.servers", "kafka.brokerList"]),
    (KafkaSink, "flumeBatchSize", &["kafka.batchSize", "kafka.producer.flumeBatchSize"]),
    (Channel, "kafka.topic", &["topicName", "kafka.topicName", "kafkaTopic"]),
];

/// The property that a word of another source or client means.
pub fn synonym(scopes: &[Scope], name: &str) -> Option<&'static Property> {
    let (scope, meant, _) = SYNONYMS.iter().find(|(scope, _, words)| {
        scopes.contains(scope) && words.iter().any(|word| word.eq_ignore_ascii_case(name))
    })?;
    find(&[*scope], meant)
}
