//! From a properties file to a validated agent.
//!
//! [`load`] reads text ([`properties`]), sorts its keys to components ([`graph`]) and gives them
//! their meaning ([`model`]). Every finding has its line, and all errors are told at once. What
//! would leave Flume idle for ever is an error here.

mod buffer;
mod channel;
mod destination;
pub mod diagnostics;
mod exec;
mod expand;
mod file_channel;
pub mod files;
mod filter;
mod graph;
mod headers;
mod interceptor;
pub(crate) mod inventory;
pub mod jaas;
mod kafka_sink;
pub mod known;
mod known_interceptors;
mod known_security;
mod known_sinks;
mod known_sources;
mod likeness;
pub mod model;
pub mod sasl;
pub mod secret;
mod section;
pub mod security;
mod selector;
mod sharing;
mod sink;
pub(crate) mod source;
mod spooldir;
mod synonyms;
mod tail_command;
mod taildir;
mod template;
pub mod tls;
mod topics;
mod tree;

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::java::properties::{self, Properties};
use diagnostics::{Diagnostic, Diagnostics, Severity};
use expand::Setting;
use files::ConfFiles;
use graph::Graph;
use known::Scope;
use model::{AgentConfig, Destination, MonitoringConfig, SinkConfig, SourceConfig};
use section::Section;
use sink::Bound;

/// Larger files are no configuration; 1.6's users have a few hundred lines.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded {
    pub config: AgentConfig,
    /// Warnings and information, in the order of the file's lines.
    pub findings: Vec<Diagnostic>,
}

/// Reads the configuration of one agent.
///
/// # Errors
/// All findings if one of them is an [error](Severity::Error), in the order of the file's lines.
pub fn load(path: &Path, agent: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(&path.into(), agent, &[])
}

/// The same of several files, with the system properties (`-Dkey=value`), to which values may refer.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    files: &ConfFiles,
    agent: &str,
    system: &[(String, String)],
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut found = Diagnostics::new("");
    let mut properties = Properties::default();
    for path in files.paths() {
        found.begin_file(&path.display().to_string());
        match read_file(path) {
            Ok(bytes) => {
                let own = read_properties(&bytes, &mut found);
                if is_readable_by_others(path) {
                    secret::warn_of_written_ones(&own, agent, &mut found);
                }
                properties.entries.extend(own.entries);
            }
            Err(message) => found.push(Severity::Error, None, None, message),
        }
    }
    if found.has_errors() {
        return Err(found.into_list());
    }
    resolve(&properties, agent, &setting(system), found)
}

/// The properties of a file, whose lines are counted behind those of the files before it.
fn read_properties(bytes: &[u8], found: &mut Diagnostics) -> Properties {
    let before = found.lines_before();
    let mut own = Properties::default();
    match properties::parse(bytes) {
        Ok(properties) => own = properties,
        Err(errors) => {
            for error in errors {
                found.push(Severity::Error, None, Some(before + error.line), error.to_string());
            }
        }
    }
    own.entries.iter_mut().for_each(|entry| entry.line += before);
    if own.had_bom {
        found.info("a byte order mark at the start is left out (Java takes it for a part of the first key)");
    }
    found.end_file(bytes.iter().filter(|byte| **byte == b'\n').count() + 1);
    own
}

/// One file with these bytes.
#[cfg(any(test, fuzzing, debug_assertions))]
fn parse(
    bytes: &[u8],
    agent: &str,
    setting: &Setting<'_>,
    is_open: bool,
    mut found: Diagnostics,
) -> Result<Loaded, Vec<Diagnostic>> {
    let properties = read_properties(bytes, &mut found);
    if is_open {
        secret::warn_of_written_ones(&properties, agent, &mut found);
    }
    match found.has_errors() {
        true => Err(found.into_list()),
        false => resolve(&properties, agent, setting, found),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("the configuration file cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(told)?;
    let mut bytes = Vec::new();
    // The length of a pipe or a device is told as 0.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(
            "it has more than {FILE_BYTES_MAX} bytes and is not a configuration; give the right \
             file"
        ));
    }
    Ok(bytes)
}

/// What values may refer to in this process.
fn setting(system: &[(String, String)]) -> Setting<'_> {
    Setting { system, variable: &|name| std::env::var(name).ok() }
}

fn is_readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|stat| stat.is_file() && stat.mode() & 0o004 != 0)
}

fn resolve(
    properties: &Properties,
    agent: &str,
    setting: &Setting<'_>,
    mut found: Diagnostics,
) -> Result<Loaded, Vec<Diagnostic>> {
    let config = graph::read(properties, agent, setting, &mut found).map(|graph| {
        check_lists(&graph, agent, &mut found);
        build(&graph, agent, setting, &mut found)
    });
    match config {
        Some(config) if !found.has_errors() => Ok(Loaded { config, findings: found.into_list() }),
        _ => Err(found.into_list()),
    }
}

/// An agent needs a source and a channel.
fn check_lists(graph: &Graph, agent: &str, found: &mut Diagnostics) {
    for (sections, list, name) in
        [(&graph.sources, "sources", "r1"), (&graph.channels, "channels", "c1")]
    {
        if sections.is_empty() {
            let message = format!(
                "Agent configuration for '{agent}' does not contain any {list}; write {agent}.{list} = {name}"
            );
            found.push(Severity::Error, Some(&format!("{agent}.{list}")), None, message);
        }
    }
}

fn build(
    graph: &Graph,
    agent: &str,
    setting: &Setting<'_>,
    found: &mut Diagnostics,
) -> AgentConfig {
    let mut ignored = Vec::new();
    let mut destinations = destinations(graph, agent, setting, found, &mut ignored);
    let channels: Vec<String> = destinations.iter().map(|d| d.name.clone()).collect();
    let index = |name: &str| channels.iter().position(|channel| channel == name);
    let declared = |name: &str| graph.channels.iter().any(|s| s.name == name);
    // A channel of a wrong type is declared all the same; its own error stops the agent.
    let resolve = |name: &str| index(name).or(declared(name).then_some(0));
    let mut built = Vec::new();
    for section in &graph.sources {
        if let Some(source) = source::build(section, found, resolve) {
            built.push((section, source));
        }
    }
    let pairs: Vec<_> = built.iter().map(|(section, source)| (*section, source)).collect();
    source::refuse_shared_trackers(&pairs, found);
    source::refuse_shared_files(&pairs, found);
    for (section, source) in &mut built {
        topics::expand(section, source, &mut destinations, found);
        headers::check_routes(section, source, &destinations, found);
    }
    let bind = |name: &str| match index(name) {
        Some(index) => Bound::To(index),
        None if declared(name) => Bound::Unused,
        None => Bound::Undeclared,
    };
    let sinks: Vec<SinkConfig> =
        graph.sinks.iter().filter_map(|section| sink::build(section, found, bind)).collect();
    check_sinkgroups(graph, found, &mut ignored);
    let monitoring = monitoring(graph, found);
    if !ignored.is_empty() {
        found.info(format!("accepted, without meaning here: {}", ignored.join(", ")));
    }
    let sources: Vec<SourceConfig> = built.into_iter().map(|(_, source)| source).collect();
    AgentConfig { name: agent.to_string(), sources, destinations, sinks, monitoring }
}

fn monitoring(graph: &Graph, found: &mut Diagnostics) -> MonitoringConfig {
    let section = &graph.monitoring;
    section.check_names(found, &[Scope::Monitoring]);
    let textfile = section.get("textfile").map(|prop| {
        // Fails only where there is no current directory; then every use of it will.
        std::path::absolute(&prop.value).unwrap_or_else(|_| prop.value.clone().into())
    });
    let page = section.boolean(found, const { known::row(Scope::Monitoring, "page") });
    MonitoringConfig { textfile, page }
}

/// Where the channels lead that a source writes to.
fn destinations(
    graph: &Graph,
    agent: &str,
    setting: &Setting<'_>,
    found: &mut Diagnostics,
    ignored: &mut Vec<String>,
) -> Vec<Destination> {
    let used: Vec<String> = graph.sources.iter().flat_map(source::channel_names).collect();
    let mut destinations = Vec::new();
    for section in &graph.channels {
        if section.props.is_empty() {
            continue;
        }
        let Some(kind) = channel::kind(section, found) else { continue };
        let sinks: Vec<&Section> = kafka_sinks(graph, &section.name).collect();
        if !used.contains(&section.name) {
            let message = format!(
                "Channel {} has no components connected and has been removed. Name it in a source's \
                 channels, or remove it",
                section.name
            );
            found.warn(&section.prefix, section.list_line, message);
            continue;
        }
        match kind {
            channel::Kind::Kafka => {
                sinks.iter().for_each(|sink| refuse_reader(section, sink, found));
                destinations.push(channel::build(section, agent, setting, found, ignored));
            }
            channel::Kind::Buffer => {
                let built = buffer::build(section, &sinks, agent, setting, found, ignored);
                destinations.extend(built);
            }
        }
    }
    destinations
}

/// The Kafka sinks that are bound to a channel.
fn kafka_sinks<'a>(graph: &'a Graph, channel: &'a str) -> impl Iterator<Item = &'a Section> {
    let is_its = move |sink: &&Section| {
        kafka_sink::is_one(sink) && sink.get("channel").is_some_and(|prop| prop.value == channel)
    };
    graph.sinks.iter().filter(is_its)
}

/// Topics are written to, not read from.
fn refuse_reader(channel: &Section, sink: &Section, found: &mut Diagnostics) {
    let message = format!(
        "sink {} would read from the topic of channel {}, which this agent does not do: make the channel \
         a memory channel, so that events go to the sink's topic, or remove the sink",
        sink.name, channel.name
    );
    sink.error(found, "channel", message);
}

/// Groups choose among sinks. Those of one channel are one destination, or are refused, so that a
/// group changes nothing.
fn check_sinkgroups(graph: &Graph, found: &mut Diagnostics, ignored: &mut Vec<String>) {
    for section in &graph.sinkgroups {
        ignored.extend(section.check_names(found, &[Scope::SinkGroup]));
        let kind = section.get("processor.type").map_or("default", |prop| &prop.value);
        if !kind.eq_ignore_ascii_case("default") {
            let message = format!(
                "{kind} is ignored: the sinks of a channel write to one place, each event once"
            );
            section.warn(found, "processor.type", message);
        }
    }
}

/// Whatever it is.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let system = [("a".to_string(), "${env:B}".to_string())];
    let variable = |name: &str| (name.len() < 3).then(|| format!("${{sys:{name}}}x"));
    let setting = Setting { system: &system, variable: &variable };
    let found = Diagnostics::new("x.conf");
    if let Err(findings) = parse(bytes, "a1", &setting, true, found) {
        assert!(!findings.is_empty());
    }
}

#[cfg(test)]
mod tests;
