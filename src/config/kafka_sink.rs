//! The properties of a `KafkaSink`, under their names of Flume 1.6 and of 1.7 and later.
//!
//! What a sink hands to Kafka's producer has the names that a `KafkaChannel` has for it, and is read
//! by the same functions (`channel`).

use super::channel;
use super::diagnostics::Diagnostics;
use super::expand::Setting;
use super::known::{Property, Scope, row};
use super::model::{Destination, RecordRule, Template, TopicRule, ValueFormat};
use super::section::Section;
use crate::java::hash::map_order;

pub(super) const TYPE: &str = "org.apache.flume.sink.kafka.KafkaSink";

/// What a sink's properties may be; a channel's own that mean nothing to a sink are refused before.
pub(super) const SCOPES: [Scope; 3] = [Scope::Sink, Scope::KafkaSink, Scope::Channel];

/// Names of 1.6 that 1.7 and later do not look at, and what is meant there.
const UNREAD: [(&str, &str); 6] = [
    ("kafka.flumeBatchSize", "flumeBatchSize?"),
    ("kafka.compression.codec", "kafka.producer.compression.type?"),
    ("kafka.request.required.acks", "kafka.producer.acks?"),
    ("kafka.producer.type", "to remove it? It is always sync"),
    ("kafka.serializer.class", "to remove it? Values are bytes"),
    ("kafka.key.serializer.class", "to remove it? Keys are text"),
];

const fn of(name: &str) -> &'static Property {
    row(Scope::KafkaSink, name)
}

pub(super) fn is_one(section: &Section) -> bool {
    section.type_is(&[TYPE])
}

/// The destination of the sinks behind one channel: they have to be the same one, since Flume would
/// divide the events between them at random.
pub(super) fn build(
    channel: &Section,
    sinks: &[&Section],
    agent: &str,
    setting: &Setting<'_>,
    found: &mut Diagnostics,
    ignored: &mut Vec<String>,
) -> Option<Destination> {
    // Each is judged, whatever the one before is like.
    let all: Vec<(&Section, Destination)> = sinks
        .iter()
        .map(|sink| (*sink, build_one(channel, sink, agent, setting, found, ignored)))
        .collect();
    let mut all = all.into_iter();
    let (first, mut destination) = all.next()?;
    for (sink, other) in all {
        let is_same = destination.topic == other.topic
            && destination.value_format == other.value_format
            && destination.default_partition == other.default_partition
            && destination.rule == other.rule
            && destination.topic_rule == other.topic_rule
            && destination.security == other.security;
        if !is_same {
            let message = format!(
                "sinks {} and {} take the events of channel {} to different places: Flume would \
                 divide them at random; give each sink a channel of its own, and the source both, or \
                 remove one",
                first.name, sink.name, channel.name
            );
            sink.error(found, "channel", message);
            continue;
        }
        join_brokers(first, sink, &mut destination, other.brokers, found);
    }
    Some(destination)
}

/// Two sinks write to one topic: their brokers are of one cluster where they have one in common, and
/// are taken for such where they have not, until one says otherwise.
fn join_brokers(
    first: &Section,
    sink: &Section,
    destination: &mut Destination,
    others: Vec<String>,
    found: &mut Diagnostics,
) {
    let is_known = |broker: &String| destination.brokers.contains(broker);
    if !others.iter().any(is_known) {
        let message = format!(
            "{} and {} name different brokers for topic {}: they are taken for one cluster, and nothing \
             is ever sent to a second one; if these are two clusters, remove one of the sinks",
            first.name, sink.name, destination.topic
        );
        found.warn(&sink.prefix, sink.line(), message);
        destination.keeps_cluster = true;
    }
    for broker in others {
        if !destination.brokers.contains(&broker) {
            destination.brokers.push(broker);
        }
    }
}

fn build_one(
    channel: &Section,
    sink: &Section,
    agent: &str,
    setting: &Setting<'_>,
    found: &mut Diagnostics,
    ignored: &mut Vec<String>,
) -> Destination {
    ignored.extend(sink.check_names(found, &SCOPES));
    warn_of_names_unread(sink, found);
    let value_format = match sink.boolean(found, const { of("useFlumeEventFormat") }) {
        true => ValueFormat::Avro,
        false => ValueFormat::Bare,
    };
    for name in ["flumeBatchSize", "batchSize", "kafka.flumeBatchSize"] {
        // Rounds are filled by what waits, so that only a slip is told.
        sink.number(found, known_number(name));
    }
    let producer = channel::producer(sink, agent, setting, of("kafka.topic").default, found);
    Destination {
        name: channel.name.clone(),
        value_format,
        topic_rule: topic_rule(sink, &producer.topic, found),
        rule: RecordRule {
            timestamp_header: sink.get("timestampHeader").map(|prop| prop.value.clone()),
            headers: record_headers(sink),
            ..producer.rule
        },
        ..producer
    }
}

/// `header.EVENTHEADER = KAFKAHEADER`, in the order in which Java's map gives them.
fn record_headers(sink: &Section) -> Vec<(String, String)> {
    let own = sink.props.iter().filter_map(|prop| Some((prop.name.strip_prefix("header.")?, prop)));
    let names: Vec<String> = own.clone().map(|(name, _)| name.to_owned()).collect();
    let value = |name: &str| {
        let prop = own.clone().find(|(own, _)| *own == name);
        prop.map(|(_, prop)| (name.to_owned(), prop.value.clone()))
    };
    map_order(&names).into_iter().filter_map(value).collect()
}

/// How events may choose their topic.
fn topic_rule(sink: &Section, topic: &str, found: &mut Diagnostics) -> Option<TopicRule> {
    let is_allowed = sink.boolean(found, const { of("allowTopicOverride") });
    let header = is_allowed.then(|| sink.text(const { of("topicHeader") }));
    // What is wrong with it is told already.
    let template = Template::parse(topic).unwrap_or_default();
    let has_escapes = !template.is_fixed();
    if has_escapes && !is_allowed {
        let message = "Flume would take what stands behind % for a part of the topic's name, and fail for \
                       ever; remove allowTopicOverride = false, or write a topic";
        sink.error(found, "allowTopicOverride", message);
    }
    (header.is_some() || has_escapes).then_some(TopicRule { header, template, is_open: false })
}

fn known_number(name: &str) -> &'static Property {
    match name {
        "flumeBatchSize" => of("flumeBatchSize"),
        "batchSize" => of("batchSize"),
        _ => of("kafka.flumeBatchSize"),
    }
}

/// A name of 1.6 beside one of 1.7: Flume itself would pass over it in silence.
fn warn_of_names_unread(sink: &Section, found: &mut Diagnostics) {
    if !channel::uses_new_names(sink) {
        return;
    }
    for (name, meant) in UNREAD {
        if sink.get(name).is_some() {
            let message = format!("Flume 1.7 and later do not read it; did you mean {meant}");
            sink.warn(found, name, message);
        }
    }
}
