//! The properties of Kafka sinks and of the channels before them: a part of the table in `known`.

use super::known::Scope::{Buffer, KafkaSink};
use super::known::{INT_MAX, Property, ignores, refuses, takes};

const IS_BUFFER: &str = "the log files are the buffer";
const NO_FILES: &str = "the channel has no files of its own here";

pub(super) const PROPERTIES: &[Property] = &[
    takes(
        Buffer,
        "type",
        "required",
        "`memory`, `file`, `SPILLABLEMEMORY` or `jdbc`, or their class names, with Kafka sinks behind it",
    ),
    takes(
        Buffer,
        "checkpointDir",
        "–",
        "of a `file` channel: looked at, and refused while Flume has events there; then unused",
    ),
    takes(Buffer, "dataDirs", "–", "the same"),
    ignores(Buffer, "capacity", IS_BUFFER),
    ignores(Buffer, "transactionCapacity", IS_BUFFER),
    ignores(Buffer, "keep-alive", IS_BUFFER),
    ignores(Buffer, "byteCapacity", IS_BUFFER),
    ignores(Buffer, "byteCapacityBufferPercentage", IS_BUFFER),
    ignores(Buffer, "memoryCapacity", IS_BUFFER),
    ignores(Buffer, "overflowCapacity", IS_BUFFER),
    ignores(Buffer, "overflowTimeout", IS_BUFFER),
    ignores(Buffer, "overflowDeactivationThreshold", IS_BUFFER),
    ignores(Buffer, "avgEventSize", IS_BUFFER),
    ignores(Buffer, "useDualCheckpoints", NO_FILES),
    ignores(Buffer, "backupCheckpointDir", NO_FILES),
    ignores(Buffer, "compressBackupCheckpoint", NO_FILES),
    ignores(Buffer, "checkpointInterval", NO_FILES),
    ignores(Buffer, "checkpointTimeout", NO_FILES),
    ignores(Buffer, "checkpointOnClose", NO_FILES),
    ignores(Buffer, "maxFileSize", NO_FILES),
    ignores(Buffer, "minimumRequiredSpace", NO_FILES),
    ignores(Buffer, "write-timeout", NO_FILES),
    ignores(Buffer, "use-log-replay-v1", NO_FILES),
    ignores(Buffer, "use-fast-replay", NO_FILES),
    ignores(Buffer, "fsyncPerTransaction", NO_FILES),
    ignores(Buffer, "fsyncInterval", NO_FILES),
    ignores(Buffer, "encryption.*", NO_FILES),
    ignores(Buffer, "db.*", NO_FILES),
    ignores(Buffer, "driver.*", NO_FILES),
    ignores(Buffer, "create.*", NO_FILES),
    ignores(Buffer, "connection.*", NO_FILES),
    ignores(Buffer, "maximum.*", NO_FILES),
    ignores(Buffer, "sysprop.*", NO_FILES),
    ignores(Buffer, "transaction.isolation", NO_FILES),
    takes(
        KafkaSink,
        "kafka.bootstrap.servers",
        "required",
        "`host:port,host:port`; besides, every `kafka.…` property of a Kafka channel",
    ),
    takes(KafkaSink, "brokerList", "required", "the same under its name in Flume 1.6"),
    takes(
        KafkaSink,
        "kafka.topic",
        "default-flume-topic",
        "the topic; `%{header}` and dates (`%Y%m%d`, of the header `timestamp`) in it are replaced",
    ),
    takes(KafkaSink, "topic", "default-flume-topic", "the same under its name in Flume 1.6"),
    takes(
        KafkaSink,
        "useFlumeEventFormat",
        "false",
        "`true` writes Avro events (headers and body), as a Kafka channel does, in place of bare lines",
    ),
    takes(
        KafkaSink,
        "kafka.producer.acks",
        "all",
        "`all` or `-1`; `0` and `1` are raised to it, with a warning",
    ),
    takes(KafkaSink, "requiredAcks", "-1", "the same under its name in Flume 1.6"),
    takes(
        KafkaSink,
        "flumeBatchSize",
        "100",
        "accepted; the source's `batchSize` is the transaction, and rounds are filled by what waits",
    )
    .within(1, INT_MAX),
    takes(KafkaSink, "batchSize", "100", "the same under its name in Flume 1.6").within(1, INT_MAX),
    takes(
        KafkaSink,
        "kafka.flumeBatchSize",
        "100",
        "the same, as Flume's guide has it (which Flume does not read)",
    )
    .within(1, INT_MAX),
    ignores(KafkaSink, "serializer.class", "values are bytes"),
    ignores(KafkaSink, "key.serializer.class", "keys are text"),
    refuses(
        KafkaSink,
        "parseAsFlumeEvent",
        "a sink writes bare lines unless useFlumeEventFormat = true; remove it",
    ),
    takes(
        KafkaSink,
        "timestampHeader",
        "–",
        "the event's header that becomes the record's time, ms since 1970; one that is no number is the \
         present time (from Kafka 0.10 on)",
    ),
    takes(
        KafkaSink,
        "header.*",
        "–",
        "`header.EVENTHEADER = KAFKAHEADER`: an event's header becomes one of the record (from Kafka 0.11 on)",
    ),
    takes(
        KafkaSink,
        "allowTopicOverride",
        "true",
        "an event's header may choose the topic; refused where one could do so",
    ),
    takes(KafkaSink, "topicHeader", "topic", "that header's name"),
];
