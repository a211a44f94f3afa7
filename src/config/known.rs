//! Every property there is, once: parsing, "did you mean" and the documentation all read this table.

use std::fmt::Write as _;

use super::known_interceptors;
use super::known_sinks;
use super::likeness::likeness;
pub use super::synonyms::synonym;

/// What a property belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Source,
    /// No table of its own: those rows of `Source` that every source has.
    EachSource,
    Taildir,
    Exec,
    SpoolDir,
    TimestampInterceptor,
    HostInterceptor,
    StaticInterceptor,
    RegexFilterInterceptor,
    RegexExtractorInterceptor,
    SearchReplaceInterceptor,
    RemoveHeaderInterceptor,
    UuidInterceptor,
    JsonFilterInterceptor,
    Channel,
    /// Channels of Flume that hold events for sinks.
    Buffer,
    /// Sinks of any type.
    Sink,
    KafkaSink,
    NullSink,
    LoggerSink,
    SinkGroup,
    /// Of the agent itself.
    Monitoring,
}

impl Scope {
    /// How the documentation writes keys of this scope before the property's name.
    fn key_prefix(self) -> &'static str {
        match self {
            Scope::Source | Scope::EachSource | Scope::Taildir | Scope::Exec | Scope::SpoolDir => {
                "sources.r1."
            }
            Scope::TimestampInterceptor
            | Scope::HostInterceptor
            | Scope::StaticInterceptor
            | Scope::RegexFilterInterceptor
            | Scope::RegexExtractorInterceptor
            | Scope::SearchReplaceInterceptor
            | Scope::RemoveHeaderInterceptor
            | Scope::UuidInterceptor
            | Scope::JsonFilterInterceptor => "sources.r1.interceptors.i1.",
            Scope::Channel | Scope::Buffer => "channels.c1.",
            Scope::Sink | Scope::KafkaSink | Scope::NullSink | Scope::LoggerSink => "sinks.k1.",
            Scope::SinkGroup => "sinkgroups.g1.",
            Scope::Monitoring => "monitoring.",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Scope::Source | Scope::EachSource => "Source",
            Scope::Taildir => "Source `TAILDIR`",
            Scope::Exec => "Source `exec`",
            Scope::SpoolDir => "Source `spooldir`",
            Scope::TimestampInterceptor => "Interceptor `timestamp`",
            Scope::HostInterceptor => "Interceptor `host`",
            Scope::StaticInterceptor => "Interceptor `static`",
            Scope::RegexFilterInterceptor => "Interceptor `regex_filter`",
            Scope::RegexExtractorInterceptor => "Interceptor `regex_extractor`",
            Scope::SearchReplaceInterceptor => "Interceptor `search_replace`",
            Scope::RemoveHeaderInterceptor => "Interceptor `remove_header`",
            Scope::UuidInterceptor => "Interceptor `UUIDInterceptor`",
            Scope::JsonFilterInterceptor => "Interceptor `json_filter`",
            Scope::Channel => "Channel",
            Scope::Buffer => "Channels `memory`, `file`, `SPILLABLEMEMORY`, `jdbc`",
            Scope::Sink => "Sinks",
            Scope::KafkaSink => "Sink `KafkaSink`",
            Scope::NullSink => "Sink `null`",
            Scope::LoggerSink => "Sink `logger`",
            Scope::SinkGroup => "Sink groups",
            Scope::Monitoring => "Monitoring",
        }
    }
}

/// What becomes of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Supported,
    /// Accepted; without meaning here.
    Ignored,
    /// An error, for this reason.
    Refused(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    pub scope: Scope,
    /// A `*` at its end stands for any further characters.
    pub name: &'static str,
    /// As the documentation shows it; `–` where there is none.
    pub default: &'static str,
    pub meaning: &'static str,
    pub status: Status,
    /// Of a number.
    pub range: Option<Range>,
}

/// What a number may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub min: u64,
    /// 0 where there is no default.
    pub default: u64,
    pub max: u64,
}

impl Range {
    pub const ANY: Range = Range { min: 0, default: 0, max: u64::MAX };
}

impl Property {
    /// A number from `min` to `max`.
    pub(super) const fn within(self, min: u64, max: u64) -> Property {
        let default = if is_same(self.default, NO_DEFAULT) { 0 } else { number(self.default) };
        assert!(min <= default && default <= max, "the default is out of the range");
        Property { range: Some(Range { min, default, max }), ..self }
    }
}

/// The row of a property that is read. Where there is none the program is not built.
pub(super) const fn row(scope: Scope, name: &str) -> &'static Property {
    let mut table = 0;
    while table < TABLES.len() {
        let (rows, mut at) = (TABLES[table], 0);
        while at < rows.len() {
            if rows[at].scope as u8 == scope as u8 && is_same(rows[at].name, name) {
                return &rows[at];
            }
            at += 1;
        }
        table += 1;
    }
    panic!("no row in the table of properties")
}

/// What is said of a sink comes before what it shares with a channel.
const TABLES: [&[Property]; 5] = [
    known_sinks::PROPERTIES,
    known_interceptors::PROPERTIES,
    PROPERTIES,
    super::known_sources::ROWS,
    super::known_security::ROWS,
];

/// All rows.
pub fn properties() -> impl Iterator<Item = &'static Property> {
    TABLES.into_iter().flatten()
}

/// Is a property of the first source one that every source has?
fn is_for_each_source(name: &str) -> bool {
    const EACH: [&str; 8] = [
        "channels",
        "interceptors",
        "selector",
        "retireGraceMs",
        "onBadCheckpoint",
        "onNoCheckpoint",
        "maxBackoff",
        "sharedSpoolDir",
    ];
    EACH.iter().any(|each| {
        name.strip_prefix(each).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Is it a property of one of these scopes?
fn is_of(property: &Property, scopes: &[Scope]) -> bool {
    scopes.contains(&property.scope)
        || property.scope == Scope::Source
            && scopes.contains(&Scope::EachSource)
            && is_for_each_source(property.name)
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

const fn number(digits: &str) -> u64 {
    match u64::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("the default is no number"),
    }
}

/// What stands in place of a default where there can be none.
pub(super) const REQUIRED: &str = "required";
/// How the table says that a property has no default.
const NO_DEFAULT: &str = "–";
pub(super) const INT_MAX: u64 = i32::MAX as u64;
const LONG_MAX: u64 = i64::MAX as u64;
const WEEK_MS: u64 = 7 * 86_400_000;
const HOUR_MS: u64 = 3_600_000;

pub(super) const fn takes(
    scope: Scope,
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Property {
    Property { scope, name, default, meaning, status: Status::Supported, range: None }
}

pub(super) const fn ignores(scope: Scope, name: &'static str, meaning: &'static str) -> Property {
    Property { scope, name, default: NO_DEFAULT, meaning, status: Status::Ignored, range: None }
}

pub(super) const fn refuses(scope: Scope, name: &'static str, reason: &'static str) -> Property {
    let status = Status::Refused(reason);
    Property { scope, name, default: NO_DEFAULT, meaning: "", status, range: None }
}

const OWN_RETRY: &str = "the agent repeats by itself, without repeats in the topic";

use Scope::{
    Channel, HostInterceptor, LoggerSink, Monitoring, NullSink, RegexFilterInterceptor, Sink,
    SinkGroup, Source, StaticInterceptor, TimestampInterceptor,
};

/// The table. Order is that of the documentation; a name comes before patterns that cover it.
pub const PROPERTIES: &[Property] = &[
    takes(
        Source,
        "type",
        "required",
        "`com.github.ningg.flume.source.SpoolDirectoryTailFileSource` or `spooltail`",
    ),
    takes(
        Source,
        "channels",
        "required",
        "names of the channels that get every event, split at blanks",
    ),
    takes(Source, "spoolDir", "required", "the directory of the log files, not recursive"),
    takes(Source, "fileSuffix", ".COMPLETED", "added to the name of a file that is done"),
    takes(
        Source,
        "deletePolicy",
        "never",
        "`never` renames a file that is done, `immediate` deletes it",
    ),
    takes(
        Source,
        "ignorePattern",
        "^$",
        "names it matches as a whole (Java regular expression) are left alone",
    ),
    takes(
        Source,
        "targetPattern",
        r".*(\d){4}-(\d){2}-(\d){2}.*",
        "names it matches as a whole are read",
    ),
    takes(
        Source,
        "targetFilename",
        "yyyy-MM-dd",
        "date pattern (Java) in the name of the file being written now",
    ),
    takes(
        Source,
        "trackerDir",
        ".flumespooltail",
        "where positions are kept; relative to spoolDir",
    ),
    takes(Source, "consumeOrder", "oldest", "`oldest`, `youngest` or `random` waiting file first"),
    takes(Source, "batchSize", "100", "events in one transaction, at least 1").within(1, INT_MAX),
    takes(Source, "inputCharset", "UTF-8", "character set of the files"),
    takes(
        Source,
        "decodeErrorPolicy",
        "FAIL",
        "bytes that are not text: `FAIL` stops, `REPLACE` by U+FFFD, `IGNORE`",
    ),
    takes(Source, "fileHeader", "false", "put the absolute path into a header"),
    takes(Source, "fileHeaderKey", "file", "that header's name"),
    takes(Source, "basenameHeader", "false", "put the bare name into a header"),
    takes(Source, "basenameHeaderKey", "basename", "that header's name"),
    takes(Source, "deserializer", "LINE", "`LINE` only"),
    takes(
        Source,
        "deserializer.maxLineLength",
        "2048",
        "longer lines are cut into several events, UTF-16 units",
    )
    .within(1, INT_MAX),
    takes(Source, "deserializer.outputCharset", "UTF-8", "character set of the event's body"),
    takes(
        Source,
        "msxBackoff",
        "4000",
        "longest wait between two tries, ms, at least 250 (Flume's spelling)",
    )
    .within(0, HOUR_MS),
    takes(Source, "maxBackoff", "4000", "the same, spelt correctly").within(0, HOUR_MS),
    takes(Source, "interceptors", "–", "names of interceptors in their order, split at blanks"),
    takes(Source, "interceptors.*", "–", "see the interceptors"),
    takes(
        Source,
        "selector.type",
        "replicating",
        "`replicating`: every event to every channel; `multiplexing`: by the value of a header",
    ),
    takes(
        Source,
        "selector.header",
        "flume.selector.header",
        "of `multiplexing`: the header that chooses the channels",
    ),
    takes(
        Source,
        "selector.mapping.*",
        "–",
        "of `multiplexing`: `selector.mapping.VALUE = c1 c2`; letter case counts",
    ),
    takes(
        Source,
        "selector.default",
        "–",
        "of `multiplexing`: the channels of every other event; without it they go nowhere",
    ),
    takes(
        Source,
        "selector.optional.*",
        "–",
        "of `multiplexing`: further channels of a value; nothing waits for one that is required nowhere",
    ),
    takes(
        Source,
        "retireGraceMs",
        "60000",
        "how long a file that is done is watched for late lines, and half a line is waited for, ms (not Flume's)",
    )
    .within(0, WEEK_MS),
    takes(
        Source,
        "onBadCheckpoint",
        "fail",
        "positions unreadable: `fail` stops, `beginning` or `end` of the files, or `topic`: what it \
         lacks is sent (not Flume's)",
    ),
    takes(
        Source,
        "onNoCheckpoint",
        "beginning",
        "no positions at all: `beginning` or `end` of the files, or `topic`: what it lacks is sent \
         (not Flume's)",
    ),
    takes(
        Source,
        "followLinks",
        "true",
        "read what a symbolic link in `spoolDir` points to, as Flume does; `false`: leave links alone (not \
         Flume's)",
    ),
    takes(
        Source,
        "sharedSpoolDir",
        "false",
        "other agents read `spoolDir` too, each its own files by `targetPattern`; all of them \
         set this (not Flume's)",
    ),
    takes(
        Source,
        "selector.optional",
        "–",
        "of `replicating`: channels that nothing waits for; what one of them misses while it is not reached is \
         said",
    ),
    takes(TimestampInterceptor, "type", "required", "`timestamp`: the time of reading, ms"),
    takes(TimestampInterceptor, "preserveExisting", "false", "keep an existing header"),
    takes(TimestampInterceptor, "headerName", "timestamp", "the header's name (Flume 1.8)"),
    takes(HostInterceptor, "type", "required", "`host`: this machine"),
    takes(HostInterceptor, "preserveExisting", "false", "keep an existing header"),
    takes(HostInterceptor, "useIP", "true", "its address, else its name"),
    takes(HostInterceptor, "hostHeader", "host", "the header's name"),
    takes(StaticInterceptor, "type", "required", "`static`: a fixed header"),
    takes(StaticInterceptor, "preserveExisting", "true", "keep an existing header"),
    takes(StaticInterceptor, "key", "key", "the header's name"),
    takes(StaticInterceptor, "value", "value", "the header's value"),
    takes(RegexFilterInterceptor, "type", "required", "`regex_filter`: only some lines"),
    takes(
        RegexFilterInterceptor,
        "regex",
        ".*",
        "lines in which it is found (Java regular expression)",
    ),
    takes(
        RegexFilterInterceptor,
        "excludeEvents",
        "false",
        "leave those lines out instead of the others",
    ),
    takes(Channel, "type", "required", "`org.apache.flume.channel.kafka.KafkaChannel`"),
    takes(Channel, "kafka.bootstrap.servers", "required", "`host:port,host:port`"),
    takes(Channel, "brokerList", "required", "the same under its name in Flume 1.6"),
    takes(Channel, "kafka.topic", "flume-channel", "the topic"),
    takes(Channel, "topic", "flume-channel", "the same under its name in Flume 1.6"),
    takes(
        Channel,
        "parseAsFlumeEvent",
        "true",
        "`false` writes bare lines, if a name of Flume 1.7 or later is used",
    ),
    takes(Channel, "defaultPartitionId", "–", "all records go to this partition")
        .within(0, INT_MAX),
    takes(
        Channel,
        "partitionBy",
        "transaction",
        "`transaction`: to the partitions in turn; `file`: a file to one partition (not Flume's)",
    ),
    takes(
        Channel,
        "partitionIdHeader",
        "–",
        "the event's header with the number of its partition, before `defaultPartitionId` and the key; an \
         event whose header is none of the topic's goes to the dead letters",
    ),
    takes(
        Channel,
        "keyPartitioner",
        "by version",
        "from the record's key to its partition: `hashCode` as Flume 1.6, `murmur2` as 1.7 and later; by \
         default 1.6 where no name of 1.7 or later is used (not Flume's)",
    ),
    takes(
        Channel,
        "kafka.producer.compression.type",
        "none",
        "`none`, `gzip`, `snappy`, `lz4` (brokers from 0.10 on)",
    ),
    takes(Channel, "kafka.compression.codec", "none", "the same under its name in Flume 1.6"),
    takes(
        Channel,
        "kafka.producer.request.timeout.ms",
        "10000",
        "how long an answer is waited for, ms",
    )
    .within(1, INT_MAX),
    takes(Channel, "kafka.request.timeout.ms", "10000", "the same under its name in Flume 1.6")
        .within(1, INT_MAX),
    takes(
        Channel,
        "kafka.producer.metadata.max.age.ms",
        "300000",
        "how often the brokers are asked which partitions there are, ms; 1,000 at least",
    )
    .within(0, LONG_MAX),
    takes(
        Channel,
        "kafka.producer.client.id",
        "–",
        "the name that brokers log and that quotas are for; the agent's name where it is not given",
    ),
    takes(Channel, "kafka.client.id", "–", "the same under its name in Flume 1.6"),
    takes(
        Channel,
        "kafka.producer.acks",
        "all",
        "`all` or `-1`; `0` and `1` are raised to it, with a warning",
    ),
    takes(Channel, "kafka.request.required.acks", "-1", "the same under its name in Flume 1.6"),
    takes(Channel, "kafka.producer.type", "sync", "`sync` only: `async` would break the promise"),
    ignores(Channel, "capacity", "Flume's Kafka channel does not read it either"),
    ignores(Channel, "transactionCapacity", "Flume's Kafka channel does not read it either"),
    ignores(Channel, "zookeeperConnect", "ZooKeeper is not needed"),
    ignores(Channel, "groupId", "nothing is read from the topic by a group"),
    ignores(Channel, "readSmallestOffset", "nothing is read from the topic by a group"),
    ignores(Channel, "timeout", "nothing is read from the topic by a group"),
    ignores(Channel, "migrateZookeeperOffsets", "there are no offsets in ZooKeeper"),
    ignores(Channel, "kafka.pollTimeout", "nothing is read from the topic by a group"),
    ignores(Channel, "kafka.consumer.*", "nothing is read from the topic by a group"),
    ignores(Channel, "kafka.zookeeper.*", "ZooKeeper is not needed"),
    ignores(Channel, "kafka.group.id", "nothing is read from the topic by a group"),
    ignores(Channel, "kafka.auto.*", "nothing is read from the topic by a group"),
    ignores(Channel, "kafka.fetch.*", "nothing is read from the topic by a group"),
    ignores(Channel, "kafka.metadata.broker.list", "Flume overwrites it by brokerList"),
    ignores(Channel, "kafka.batch.num.messages", "rounds are filled by what waits"),
    ignores(Channel, "kafka.queue.*", "for the asynchronous producer only"),
    ignores(Channel, "kafka.message.send.max.retries", OWN_RETRY),
    ignores(Channel, "kafka.retry.backoff.ms", OWN_RETRY),
    ignores(
        Channel,
        "kafka.topic.metadata.refresh.interval.ms",
        "kafka.producer.metadata.max.age.ms is how often they are asked",
    ),
    ignores(Channel, "kafka.send.buffer.bytes", "left to the system"),
    ignores(Channel, "kafka.serializer.class", "values are bytes"),
    ignores(Channel, "kafka.key.serializer.class", "keys are null"),
    ignores(Channel, "kafka.producer.key.serializer", "keys are null"),
    ignores(Channel, "kafka.producer.value.serializer", "values are bytes"),
    ignores(Channel, "kafka.producer.linger.ms", "a round does not wait to be filled"),
    ignores(Channel, "kafka.producer.batch.size", "rounds are filled by what waits"),
    ignores(Channel, "kafka.producer.buffer.memory", "rounds are bounded"),
    ignores(Channel, "kafka.producer.max.block.ms", "the agent waits by itself"),
    ignores(Channel, "kafka.producer.max.request.size", "rounds are bounded"),
    ignores(Channel, "kafka.producer.retries", OWN_RETRY),
    ignores(Channel, "kafka.producer.retry.backoff.ms", OWN_RETRY),
    ignores(Channel, "kafka.producer.delivery.timeout.ms", OWN_RETRY),
    ignores(Channel, "kafka.producer.enable.idempotence", "always, where the broker can"),
    ignores(
        Channel,
        "kafka.producer.max.in.flight.requests.per.connection",
        "order is kept in any case",
    ),
    ignores(Channel, "kafka.producer.send.buffer.bytes", "left to the system"),
    ignores(Channel, "kafka.producer.receive.buffer.bytes", "left to the system"),
    takes(Sink, "type", "required", "`null`, `logger`, `org.apache.flume.sink.kafka.KafkaSink`"),
    takes(Sink, "channel", "required", "the channel whose acknowledged events are reported"),
    takes(NullSink, "batchSize", "100", "shown in the log, at least 1").within(1, INT_MAX),
    takes(NullSink, "logEveryNEvents", "10000", "a line each so many events, at least 1")
        .within(1, INT_MAX),
    takes(LoggerSink, "maxBytesToLog", "16", "bytes of each event in the log").within(0, INT_MAX),
    ignores(SinkGroup, "sinks", "sinks only report"),
    ignores(SinkGroup, "processor.*", "sinks only report"),
    takes(
        Monitoring,
        "textfile",
        "–",
        "metrics are written to this file, for the node exporter of Prometheus (not Flume's)",
    ),
    takes(
        Monitoring,
        "page",
        "true",
        "where HTTP is served, with a status page at `/` (not Flume's)",
    ),
];

/// Does the row's name, perhaps with a `*` at its end, cover this one?
fn covers(property: &Property, name: &str) -> bool {
    match property.name.strip_suffix('*') {
        Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
        None => property.name == name,
    }
}

/// The row for a property of one of these scopes.
pub fn find(scopes: &[Scope], name: &str) -> Option<&'static Property> {
    properties().filter(|p| is_of(p, scopes)).find(|p| covers(p, name))
}

/// The known name of these scopes that looks most like an unknown one.
pub fn nearest(scopes: &[Scope], name: &str) -> Option<&'static Property> {
    let rows = properties().filter(|p| is_of(p, scopes) && !p.name.ends_with('*'));
    rows.filter_map(|p| likeness(name, p.name).map(|d| (d, p)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, p)| p)
}

/// The word of a list that looks most like this one.
pub fn nearest_word<'a>(words: &[&'a str], word: &str) -> Option<&'a str> {
    let near = words.iter().filter_map(|w| likeness(word, w).map(|d| (d, *w)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, w)| w)
}

/// The table for the documentation, in Markdown.
pub fn markdown() -> String {
    let mut out = String::new();
    let mut title = "";
    let tables = [
        PROPERTIES,
        known_interceptors::PROPERTIES,
        super::known_sources::ROWS,
        known_sinks::PROPERTIES,
        super::known_security::ROWS,
    ];
    for property in tables.into_iter().flatten() {
        if title != property.scope.title() {
            title = property.scope.title();
            // Writing to a String cannot fail.
            let _ = write!(out, "\n**{title}** (`a1.{}…`)\n\n", property.scope.key_prefix());
            out.push_str("| property | default | | meaning |\n|---|---|---|---|\n");
        }
        let (status, meaning) = match property.status {
            Status::Supported => ("supported", property.meaning),
            Status::Ignored => ("ignored", property.meaning),
            Status::Refused(reason) => ("**refused**", reason),
        };
        let default = match property.default {
            plain @ ("–" | "required" | "empty") => plain.to_string(),
            value => format!("`{}`", value.replace('|', "\\|")),
        };
        let _ = writeln!(out, "| `{}` | {default} | {status} | {meaning} |", property.name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_hidden_by_an_earlier_one() {
        for property in properties() {
            let found = find(&[property.scope], property.name).unwrap();
            assert!(std::ptr::eq(found, property) || found.name == property.name);
        }
    }

    #[test]
    fn patterns_cover_what_follows_them() {
        let refused = find(&[Channel], "kafka.ssl.keystore.location").unwrap();
        assert!(matches!(refused.status, Status::Refused(_)));
        assert_eq!(find(&[Channel], "kafka.consumer.group.id").unwrap().status, Status::Ignored);
        assert!(find(&[Channel], "kafka.consumer.").is_none());
        assert!(find(&[Source], "brokerList").is_none());
    }

    #[test]
    fn near_misses() {
        let near = |name| nearest(&[Source], name).map(|p| p.name);
        assert_eq!(near("batchsize"), Some("batchSize"));
        assert_eq!(near("bacthSize"), Some("batchSize"));
        assert_eq!(near("fileHeader x"), Some("fileHeader"));
        assert_eq!(near("maxBackof"), Some("maxBackoff"));
        assert_eq!(near("targetFileName"), Some("targetFilename"));
        assert_eq!(near("bufferMaxLines"), None);
        assert_eq!(near("pollDelay"), None);
        assert_eq!(nearest(&[Sink, NullSink], "channels").map(|p| p.name), Some("channel"));
        assert_eq!(nearest_word(&["sources", "sinks", "channels"], "source"), Some("sources"));
    }

    #[test]
    fn other_words_for_it() {
        let meant = |name| synonym(&[Source], name).map(|p| p.name);
        assert_eq!(meant("spoolDirectory"), Some("spoolDir"));
        assert_eq!(meant("excludepattern"), Some("ignorePattern"));
        assert_eq!(meant("topicName"), None);
        for (scope, meant, words) in super::super::synonyms::SYNONYMS {
            let property = find(&[*scope], meant).unwrap();
            assert_eq!((property.name, property.status), (*meant, Status::Supported));
            for word in *words {
                assert!(find(&[*scope], word).is_none(), "{word} is a property");
            }
        }
    }
}
