//! The properties of a `KafkaChannel`, under their names of Flume 1.6 and of 1.7 and later.

use super::buffer;
use super::diagnostics::Diagnostics;
use super::expand::Setting;
use super::kafka_sink;
use super::known::{Property, Scope, row};
use super::model::{
    Compression, Destination, KeyPartitioner, PartitionBy, RecordRule, Template, ValueFormat,
};
use super::section::{Prop, Section, type_meant};
use super::security;

pub(super) const TYPE: &str = "org.apache.flume.channel.kafka.KafkaChannel";
const DEFAULT_TOPIC: &str = of("kafka.topic").default;
/// The longest name that Kafka takes for a topic.
const TOPIC_LEN_MAX: usize = 249;
/// The longest client id that a request has room for, bytes.
const CLIENT_ID_LEN_MAX: usize = i16::MAX as usize;
/// Brokers are not asked more often, whatever is configured.
const METADATA_MS_MIN: u64 = 1_000;

/// Names of 1.7 and later, each with that of 1.6.
const BOTH_NAMES: [(&str, &str); 6] = [
    ("kafka.bootstrap.servers", "brokerList"),
    ("kafka.topic", "topic"),
    ("kafka.producer.compression.type", "kafka.compression.codec"),
    ("kafka.producer.request.timeout.ms", "kafka.request.timeout.ms"),
    ("kafka.producer.client.id", "kafka.client.id"),
    ("kafka.producer.acks", "kafka.request.required.acks"),
];

const fn of(name: &str) -> &'static Property {
    row(Scope::Channel, name)
}

/// What kind of channel it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kafka,
    /// One that holds events for sinks, see [`buffer`].
    Buffer,
}

/// The channel's kind; `None` if it is of no known type, which is told.
pub(super) fn kind(section: &Section, found: &mut Diagnostics) -> Option<Kind> {
    let Some(prop) = section.get("type") else {
        let message = format!(
            "Component has no type. Cannot configure. {}; write {} = {TYPE}",
            section.name,
            section.key("type")
        );
        section.error(found, "type", message);
        return None;
    };
    if section.type_is(&[TYPE]) {
        return Some(Kind::Kafka);
    }
    if buffer::is_one(section) {
        return Some(Kind::Buffer);
    }
    let all = format!(
        "supported are {TYPE}, and memory, file, SPILLABLEMEMORY and jdbc with Kafka sinks behind them"
    );
    let names: Vec<&'static str> = std::iter::once(TYPE).chain(buffer::type_names()).collect();
    let way_out = type_meant(&prop.value, &names, &all);
    let message = format!("Unable to load channel type: {}; {way_out}", prop.shown());
    section.error(found, "type", message);
    None
}

/// Builds a channel of the known type; names without meaning here go to `ignored`. What is wrong
/// is in `found` and has a harmless value in the result.
pub(super) fn build(
    section: &Section,
    agent: &str,
    setting: &Setting<'_>,
    found: &mut Diagnostics,
    ignored: &mut Vec<String>,
) -> Destination {
    ignored.extend(section.check_names(found, &[Scope::Channel]));
    tell_names_understood(section, found);
    Destination {
        value_format: value_format(section, found),
        ..producer(section, agent, setting, DEFAULT_TOPIC, found)
    }
}

/// What Kafka's producer is told, by a channel or by a sink.
pub(super) fn producer(
    section: &Section,
    agent: &str,
    setting: &Setting<'_>,
    default_topic: &str,
    found: &mut Diagnostics,
) -> Destination {
    refuse_what_voids_the_promise(section, found);
    let default_partition = section
        .get("defaultPartitionId")
        .is_some()
        .then(|| section.number(found, const { of("defaultPartitionId") }) as i32);
    let partition_by = section.choice(
        found,
        const { of("partitionBy") },
        [("transaction", PartitionBy::Transaction), ("file", PartitionBy::File)],
    );
    let timeout = match either(section, found, "kafka.producer.request.timeout.ms") {
        Some(p) if p.name == "kafka.request.timeout.ms" => of("kafka.request.timeout.ms"),
        _ => of("kafka.producer.request.timeout.ms"),
    };
    let timeout = section.number(found, timeout);
    let metadata_ms = section.number(found, const { of("kafka.producer.metadata.max.age.ms") });
    Destination {
        metadata_ms: metadata_ms.max(METADATA_MS_MIN),
        name: section.name.clone(),
        channel_type: TYPE,
        keeps_cluster: false,
        brokers: brokers(section, found),
        topic: topic(section, default_topic, found),
        value_format: ValueFormat::Bare,
        compression: compression(section, found),
        default_partition,
        partition_by,
        client_id: client_id(section, agent, found),
        security: security::build(section, setting, found),
        request_timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX),
        rule: rule(section, found),
        topic_rule: None,
        base: None,
    }
}

/// The channel of 1.6 makes no key of a header: only what both of them have is told here.
fn rule(section: &Section, found: &mut Diagnostics) -> RecordRule {
    let is_channel = section.type_is(&[TYPE]);
    let partition_header = section.get("partitionIdHeader").map(|prop| prop.value.clone());
    let partitioner = key_partitioner(section, found);
    RecordRule {
        key: (!is_channel || uses_new_names(section)).then_some(partitioner),
        partition_header,
        ..RecordRule::default()
    }
}

/// The one that the producer of that version has; a file with names of 1.6 alone means 1.6.
fn key_partitioner(section: &Section, found: &mut Diagnostics) -> KeyPartitioner {
    let own = match uses_new_names(section) {
        true => KeyPartitioner::Murmur2,
        false => KeyPartitioner::HashCode,
    };
    section.choice(
        found,
        const { of("keyPartitioner") },
        [
            ("by version", own),
            (KeyPartitioner::HashCode.name(), KeyPartitioner::HashCode),
            (KeyPartitioner::Murmur2.name(), KeyPartitioner::Murmur2),
        ],
    )
}

/// The property under its newer name, else under its older one.
fn either<'a>(section: &'a Section, found: &mut Diagnostics, new: &str) -> Option<&'a Prop> {
    let old = BOTH_NAMES.iter().find(|(n, _)| *n == new).map_or(new, |(_, old)| old);
    let (new_prop, old_prop) = (section.get(new), section.get(old));
    if let (Some(a), Some(b)) = (new_prop, old_prop)
        && a.value != b.value
    {
        let message = format!(
            "{} ({}) says otherwise and wins; remove this one",
            section.key(new),
            found.shown_line(a.line)
        );
        section.warn(found, old, message);
    }
    new_prop.or(old_prop)
}

/// A name that only Flume 1.7 and later knows.
fn is_new_name(name: &str) -> bool {
    let starts = ["kafka.bootstrap.", "kafka.consumer.", "kafka.producer.", "header."];
    let names = [
        "kafka.topic",
        "kafka.pollTimeout",
        "defaultPartitionId",
        "partitionIdHeader",
        "flumeBatchSize",
        "useFlumeEventFormat",
        "allowTopicOverride",
        "topicHeader",
        "timestampHeader",
    ];
    // Through `kafka.*` Flume 1.6 hands producer.type to the producer.
    name != "kafka.producer.type"
        && (names.contains(&name)
            || name == "migrateZookeeperOffsets"
            || starts.iter().any(|s| name.starts_with(s)))
}

pub(super) fn uses_new_names(section: &Section) -> bool {
    section.props.iter().any(|p| is_new_name(&p.name))
}

fn tell_names_understood(section: &Section, found: &mut Diagnostics) {
    if uses_new_names(section) {
        found.info(format!("channel {} uses property names of Flume 1.7 and later", section.name));
    }
}

fn refuse_what_voids_the_promise(section: &Section, found: &mut Diagnostics) {
    for name in ["kafka.producer.acks", "kafka.request.required.acks", "requiredAcks"] {
        let Some(prop) = section.get(name) else { continue };
        match prop.value.to_ascii_lowercase().as_str() {
            "-1" | "all" => {}
            "0" | "1" => {
                let message = format!(
                    "acks = {} would lose records when a broker fails: all is used",
                    prop.shown()
                );
                section.warn(found, name, message);
            }
            _ => {
                let message =
                    format!("acks = {} is not valid; write all, or remove it", prop.shown());
                section.error(found, name, message);
            }
        }
    }
    if let Some(prop) = section.get("kafka.producer.type")
        && !prop.value.eq_ignore_ascii_case("sync")
    {
        let message =
            format!("producer type {} would lose records silently; remove it", prop.shown());
        section.error(found, "kafka.producer.type", message);
    }
    if let Some(prop) = section.get("kafka.security.protocol")
        && !prop.value.eq_ignore_ascii_case("PLAINTEXT")
    {
        let message = format!(
            "Flume 1.6 would not encrypt even so; write {} = {}, as Flume 1.7 has it",
            section.key("kafka.producer.security.protocol"),
            prop.shown()
        );
        section.error(found, "kafka.security.protocol", message);
    }
}

fn brokers(section: &Section, found: &mut Diagnostics) -> Vec<String> {
    let Some(prop) = either(section, found, "kafka.bootstrap.servers") else {
        let (new, old) = ("kafka.bootstrap.servers", "brokerList");
        let name = if uses_new_names(section) { new } else { old };
        let message = format!(
            "Broker List must be specified; write {} = host1:9092,host2:9092",
            section.key(name)
        );
        let is_told = [new, old].iter().any(|n| section.misspelt(scopes(section), n).is_some());
        if !is_told {
            section.error(found, name, message);
        }
        return Vec::new();
    };
    let entries: Vec<&str> = prop.value.split(',').map(str::trim).collect();
    let mut brokers = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_empty()) {
        match check_broker(entry) {
            Ok(()) => brokers.push((*entry).to_string()),
            Err(message) => section.error(found, &prop.name, message),
        }
    }
    // Kafka's own clients pass over empty entries, so a comma at the end is no error.
    if entries.iter().all(|entry| entry.is_empty()) {
        section.error(found, &prop.name, "names no broker; write host1:9092,host2:9092");
    } else if entries.contains(&"") {
        section.warn(found, &prop.name, "has an empty entry; remove the comma");
    }
    brokers
}

/// Which rows of the table are those of a channel, or of a sink.
fn scopes(section: &Section) -> &'static [Scope] {
    match section.type_is(&[TYPE]) {
        true => &[Scope::Channel],
        false => &kafka_sink::SCOPES,
    }
}

/// `host:port`, where a host is a name, an IPv4 address or an IPv6 address in brackets.
fn check_broker(entry: &str) -> Result<(), String> {
    let bracketed = entry.starts_with('[') && entry.ends_with(']');
    let Some((host, port)) = entry.rsplit_once(':').filter(|_| !bracketed) else {
        return Err(format!("{entry} has no port; write {entry}:9092"));
    };
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let is_host = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    if !is_host {
        return Err(format!("\"{entry}\" is not host:port; write host1:9092,host2:9092"));
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err(format!("\"{port}\" in {entry} is not a port; write one from 1 to 65535")),
    }
}

fn topic(section: &Section, default: &str, found: &mut Diagnostics) -> String {
    let Some(prop) = either(section, found, "kafka.topic") else {
        found.info(format!("Topic was not specified. Using {default} as the topic."));
        return default.to_string();
    };
    let topic = prop.value.clone();
    // Of a sink of Flume 1.8 and later: what it comes to is judged where its events are known.
    let is_template = !section.type_is(&[TYPE]) && uses_new_names(section);
    let template = is_template.then(|| Template::parse(&topic)).transpose();
    match template {
        Err(why) => section.error(found, &prop.name, why),
        Ok(Some(template)) if !template.is_fixed() => {
            if let Some(text) = template.illegal_text(is_legal) {
                let message = format!(
                    "\"{text}\" can be no part of a topic's name; use letters a-z, digits, '.', '_' and '-'"
                );
                section.error(found, &prop.name, message);
            }
        }
        Ok(_) if !is_topic(&topic) => {
            let message = format!(
                "\"{topic}\" cannot be a topic; use letters a-z, digits, '.', '_' and '-', at most \
                 {TOPIC_LEN_MAX}"
            );
            section.error(found, &prop.name, message);
        }
        Ok(_) => {}
    }
    topic
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Can a topic have this name?
pub fn is_topic(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= TOPIC_LEN_MAX
        && name.chars().all(is_legal)
        && name != "."
        && name != ".."
}

/// Without a name of its own the agent's, so that the brokers' quotas and logs tell agents apart.
fn client_id(section: &Section, agent: &str, found: &mut Diagnostics) -> String {
    let Some(prop) = either(section, found, "kafka.producer.client.id") else {
        let fits = agent.len() <= CLIENT_ID_LEN_MAX;
        return if fits { agent.to_string() } else { String::new() };
    };
    if prop.value.len() > CLIENT_ID_LEN_MAX {
        let message = format!(
            "a name of {} bytes is too long; write at most {CLIENT_ID_LEN_MAX}",
            prop.value.len()
        );
        section.error(found, &prop.name, message);
    }
    prop.value.clone()
}

/// 1.6 writes Avro whatever `parseAsFlumeEvent` says, and its users' consumers rely on it.
fn value_format(section: &Section, found: &mut Diagnostics) -> ValueFormat {
    if section.boolean(found, const { of("parseAsFlumeEvent") }) {
        return ValueFormat::Avro;
    }
    if uses_new_names(section) {
        return ValueFormat::Bare;
    }
    let message = "Flume 1.6 writes Avro events even so, and so does this agent; for bare lines use \
                   the names of Flume 1.7 (kafka.bootstrap.servers, kafka.topic)";
    section.warn(found, "parseAsFlumeEvent", message);
    ValueFormat::Avro
}

fn compression(section: &Section, found: &mut Diagnostics) -> Compression {
    let Some(prop) = either(section, found, "kafka.producer.compression.type") else {
        return Compression::None;
    };
    // The numbers are Kafka 0.8's codes for the same.
    let words = [
        ("none", Compression::None),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
        ("0", Compression::None),
        ("1", Compression::Gzip),
        ("2", Compression::Snappy),
    ];
    let is_written = |(word, c): &&(&'static str, Compression)| {
        c.is_supported() && !word.starts_with(|first: char| first.is_ascii_digit())
    };
    let known: Vec<&str> = words.iter().filter(is_written).map(|(word, _)| *word).collect();
    let chosen = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&prop.value));
    match chosen {
        Some((_, compression)) if compression.is_supported() => *compression,
        Some(_) => {
            let message = format!(
                "this build cannot write {}; write one of {}",
                prop.shown(),
                known.join(", ")
            );
            section.error(found, &prop.name, message);
            Compression::None
        }
        None => {
            let message =
                format!("\"{}\" is not known; write one of {}", prop.shown(), known.join(", "));
            section.error(found, &prop.name, message);
            Compression::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_entries() {
        for good in ["h:9092", "hadoop1.example.com:1", "127.0.0.1:65535", "[::1]:9092", "a_b:9"] {
            assert_eq!(check_broker(good), Ok(()), "{good}");
        }
        for bad in [
            "h",
            "h:",
            ":9092",
            "h:0",
            "h:65536",
            "h:+9",
            "h:x",
            "[::1]",
            "::1:9092",
            "PLAINTEXT://h:1",
            "h 1:9",
        ] {
            assert!(check_broker(bad).is_err(), "{bad}");
        }
        assert_eq!(check_broker("hadoop1").unwrap_err(), "hadoop1 has no port; write hadoop1:9092");
    }

    #[test]
    fn names_of_two_generations() {
        for name in ["kafka.topic", "kafka.consumer.group.id", "kafka.producer.acks"] {
            assert!(is_new_name(name));
        }
        for name in ["topic", "kafka.producer.type", "kafka.compression.codec", "capacity"] {
            assert!(!is_new_name(name));
        }
    }
}
