//! What becomes of each property of a file: taken, ignored, refused. For `check`.

use super::diagnostics::Diagnostics;
use super::files::ConfFiles;
use super::known::{self, Scope, Status};
use super::section::Section;
use super::{buffer, graph, read_file, read_properties, setting, sink, source};
use crate::java::properties::Properties;

/// One property of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub key: String,
    /// As it may be shown.
    pub value: String,
    pub line: usize,
    pub fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its meaning.
    Taken(&'static str),
    /// Why it has none here.
    Ignored(&'static str),
    /// Why it cannot be.
    Refused(&'static str),
    /// Neither Flume's nor ours, as far as we know.
    Unknown,
}

/// The properties of an agent's components in the order of the file. Empty where the file cannot
/// be read; `load` says why.
pub(crate) fn read(files: &ConfFiles, agent: &str, system: &[(String, String)]) -> Vec<Listed> {
    // What is to be said about them `load` says.
    let mut unused = Diagnostics::new("");
    let mut properties = Properties::default();
    for path in files.paths() {
        let Ok(bytes) = read_file(path) else { return Vec::new() };
        properties.entries.extend(read_properties(&bytes, &mut unused).entries);
    }
    let Some(graph) = graph::read(&properties, agent, &setting(system), &mut unused) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    graph.sources.iter().for_each(|section| add(&mut list, section, source::scopes(section)));
    for section in &graph.channels {
        let scope = if buffer::is_one(section) { Scope::Buffer } else { Scope::Channel };
        add(&mut list, section, &[scope]);
    }
    graph.sinks.iter().for_each(|section| add(&mut list, section, sink::scopes(section)));
    graph.sinkgroups.iter().for_each(|section| add(&mut list, section, &[Scope::SinkGroup]));
    add(&mut list, &graph.monitoring, &[Scope::Monitoring]);
    list.sort_by_key(|l| l.line);
    list
}

fn add(list: &mut Vec<Listed>, section: &Section, scopes: &[Scope]) {
    for prop in &section.props {
        let fate = match known::find(scopes, &prop.name) {
            None => Fate::Unknown,
            Some(known) => match known.status {
                Status::Supported => Fate::Taken(known.meaning),
                Status::Ignored => Fate::Ignored(known.meaning),
                Status::Refused(why) => Fate::Refused(why),
            },
        };
        let (key, value) = (section.key(&prop.name), prop.shown().to_string());
        list.push(Listed { key, value, line: prop.line, fate });
    }
}
