//! The properties of sinks. A sink reports what its channel's destination has acknowledged, and as in Flume the source runs without it:
//! one that is not bound to a channel is left out with a warning.

use super::diagnostics::Diagnostics;
use super::kafka_sink;
use super::known::{Property, Scope, row};
use super::model::{SinkConfig, SinkKind};
use super::section::{Section, type_meant};

const NULL_TYPES: [&str; 2] = ["null", "org.apache.flume.sink.NullSink"];
const LOGGER_TYPES: [&str; 2] = ["logger", "org.apache.flume.sink.LoggerSink"];
const LOGGED_BYTES: &Property = row(Scope::LoggerSink, "maxBytesToLog");

/// Whose properties a sink may have.
pub(super) fn scopes(section: &Section) -> &'static [Scope] {
    if kafka_sink::is_one(section) {
        &kafka_sink::SCOPES
    } else if section.type_is(&LOGGER_TYPES) {
        &[Scope::Sink, Scope::LoggerSink]
    } else {
        &[Scope::Sink, Scope::NullSink]
    }
}

/// What a sink's channel turned out to be.
pub(super) enum Bound {
    /// Index of a channel that a source writes to.
    To(usize),
    /// Declared, but no source writes to it.
    Unused,
    Undeclared,
}

/// Builds the sink; `None` if it is left out, which is told.
pub(super) fn build(
    section: &Section,
    found: &mut Diagnostics,
    bind: impl Fn(&str) -> Bound,
) -> Option<SinkConfig> {
    if section.props.is_empty() {
        return None;
    }
    let Some(type_prop) = section.get("type") else {
        let message = format!(
            "Component has no type. Cannot configure. {}; the sink is left out; write {} = null",
            section.name,
            section.key("type")
        );
        section.warn(found, "type", message);
        return None;
    };
    let kind = if section.type_is(&NULL_TYPES) {
        section.check_names(found, &[Scope::Sink, Scope::NullSink]);
        SinkKind::Null {
            batch_size: section.number(found, const { row(Scope::NullSink, "batchSize") }),
            log_every: section.number(found, const { row(Scope::NullSink, "logEveryNEvents") }),
        }
    } else if kafka_sink::is_one(section) {
        // What it says is read with its channel.
        SinkKind::Kafka
    } else if section.type_is(&LOGGER_TYPES) {
        section.check_names(found, &[Scope::Sink, Scope::LoggerSink]);
        SinkKind::Logger { max_bytes: max_bytes(section, found) }
    } else {
        let all = "supported are null, logger and org.apache.flume.sink.kafka.KafkaSink";
        let names = [&NULL_TYPES[..], &LOGGER_TYPES[..], &[kafka_sink::TYPE][..]].concat();
        let way_out = type_meant(&type_prop.value, &names, all);
        let message = format!("Unable to load sink type: {}; {way_out}", type_prop.shown());
        section.error(found, "type", message);
        return None;
    };
    let channel = channel(section, found, bind)?;
    Some(SinkConfig { name: section.name.clone(), channel, kind })
}

fn channel(
    section: &Section,
    found: &mut Diagnostics,
    bind: impl Fn(&str) -> Bound,
) -> Option<usize> {
    let name = &section.name;
    let Some(prop) = section.get("channel") else {
        let message = format!(
            "No channel configured for sink: {name}; it is left out; write {} = c1",
            section.key("channel")
        );
        // The names of a Kafka sink are looked at with its channel, which this one has not.
        if kafka_sink::is_one(section) || section.misspelt(scopes(section), "channel").is_none() {
            section.warn(found, "channel", message);
        }
        return None;
    };
    let message = match bind(&prop.value) {
        Bound::To(index) => return Some(index),
        Bound::Unused => format!(
            "no source writes to channel {}, so sink {name} has nothing to report and is left out",
            prop.shown()
        ),
        Bound::Undeclared => format!(
            "Channel {} not in active set. Sink {name} is left out; name a listed channel",
            prop.shown()
        ),
    };
    section.warn(found, "channel", message);
    None
}

/// Flume takes the default for a value that is no number.
fn max_bytes(section: &Section, found: &mut Diagnostics) -> usize {
    let row = LOGGED_BYTES;
    let text = section.text(row);
    match text.parse::<i32>().ok().and_then(|n| usize::try_from(n).ok()) {
        Some(n) => n,
        None => {
            let message = format!("\"{text}\" is not a number of bytes; {} is used", row.default);
            section.warn(found, row.name, message);
            row.range.map_or(0, |range| range.default as usize)
        }
    }
}
