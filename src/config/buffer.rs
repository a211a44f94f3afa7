//! Channels that hold events between a source and its sinks: `memory`, `file` and their like.
//!
//! Nothing is held here: the log files are the buffer, and a position moves only after Kafka's
//! answer. So such a channel says one thing, which source its Kafka sinks get their events from, and
//! [`build`] makes one destination of it and of them.

use std::path::PathBuf;

use super::diagnostics::Diagnostics;
use super::expand::Setting;
use super::file_channel::{self, Left};
use super::kafka_sink;
use super::known::Scope;
use super::model::Destination;
use super::section::Section;

/// A channel type: how Flume calls it, and its class.
struct Kind {
    names: [&'static str; 2],
    keeps: Keeps,
}

/// Where a channel of Flume keeps what it has taken and not given on.
#[derive(Clone, Copy)]
enum Keeps {
    /// In memory: it ends with the agent.
    Memory,
    Files,
    /// A database, of which nothing is known here.
    Database,
}

const KINDS: [Kind; 5] = [
    Kind { names: ["memory", "org.apache.flume.channel.MemoryChannel"], keeps: Keeps::Memory },
    Kind { names: ["file", "org.apache.flume.channel.file.FileChannel"], keeps: Keeps::Files },
    Kind {
        names: ["SPILLABLEMEMORY", "org.apache.flume.channel.SpillableMemoryChannel"],
        keeps: Keeps::Files,
    },
    Kind { names: ["jdbc", "org.apache.flume.channel.jdbc.JdbcChannel"], keeps: Keeps::Database },
    Kind {
        names: ["PSEUDOTXNMEMORY", "org.apache.flume.channel.PseudoTxnMemoryChannel"],
        keeps: Keeps::Memory,
    },
];

fn kind(section: &Section) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| section.type_is(&kind.names))
}

/// Their aliases and classes.
pub(super) fn type_names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.names)
}

/// Is it a channel of one of these types?
pub(super) fn is_one(section: &Section) -> bool {
    kind(section).is_some()
}

/// One destination of the channel and the Kafka sinks behind it; `None` if there can be none, which
/// is told.
pub(super) fn build(
    section: &Section,
    sinks: &[&Section],
    agent: &str,
    setting: &Setting<'_>,
    found: &mut Diagnostics,
    ignored: &mut Vec<String>,
) -> Option<Destination> {
    let kind = kind(section)?;
    ignored.extend(section.check_names(found, &[Scope::Buffer]));
    match kind.keeps {
        Keeps::Memory => {}
        Keeps::Files => refuse_what_is_left(section, found),
        Keeps::Database => {
            let message = "what Flume's jdbc channel still holds cannot be examined; let Flume \
                           deliver it before you replace it";
            section.warn(found, "type", message);
        }
    }
    if sinks.is_empty() {
        let message = format!(
            "channel {} has no Kafka sink behind it, so nothing would be kept: add a sink of type \
             {}, or make it a channel of type {}",
            section.name,
            kafka_sink::TYPE,
            super::channel::TYPE
        );
        section.error(found, "type", message);
        return None;
    }
    let destination = kafka_sink::build(section, sinks, agent, setting, found, ignored)?;
    Some(Destination { channel_type: kind.names[0], ..destination })
}

/// Events that Flume has put into the channel and not delivered must not be left behind in silence.
fn refuse_what_is_left(section: &Section, found: &mut Diagnostics) {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
    let value = |name: &str, default: &str| match section.get(name) {
        Some(prop) => prop.value.clone(),
        None => format!("{home}/.flume/file-channel/{default}"),
    };
    let checkpoint_dir = PathBuf::from(value("checkpointDir", "checkpoint"));
    let data_dirs: Vec<PathBuf> =
        value("dataDirs", "data").split(',').map(|dir| dir.trim().into()).collect();
    let (what, name) = match file_channel::left(&checkpoint_dir, &data_dirs) {
        Left::Nothing => return,
        Left::Events(1) => ("1 event that Flume has not delivered".to_owned(), "dataDirs"),
        Left::Events(n) => (format!("{n} events that Flume has not delivered"), "dataDirs"),
        Left::Unknown(why) => (format!("something that cannot be counted ({why})"), "dataDirs"),
    };
    let message = format!(
        "the file channel still holds {what}, and they would be left behind: start Flume once more with \
         the source taken out of the configuration, stop it when the channel is empty (ChannelSize 0), \
         then start this agent; or move its directories away, if they are of no use"
    );
    section.error(found, name, message);
}
