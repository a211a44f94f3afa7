//! From keys to components: which ones the agent lists and which properties each has.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostics::Diagnostics;
use super::expand::{Expander, Setting};
use super::section::{Prop, Section, words};
use super::{filter, known, likeness, secret};
use crate::java::properties::Properties;

/// The four lists an agent may have, in the order they are read.
const LISTS: [&str; 4] = ["sources", "channels", "sinks", "sinkgroups"];

/// The named agent's components, each listed one with its properties.
#[derive(Debug)]
pub(super) struct Graph {
    pub sources: Vec<Section>,
    pub channels: Vec<Section>,
    pub sinks: Vec<Section>,
    pub sinkgroups: Vec<Section>,
    /// `a1.monitoring.*`, which has no list.
    pub monitoring: Section,
}

/// The first word of keys that are about the agent itself.
const MONITORING: &str = "monitoring";

/// One key of the file after Flume's trimming, the last of its duplicates.
struct Key {
    full: String,
    value: String,
    line: usize,
    bare: Option<char>,
    is_secret: bool,
}

/// Sorts the file's keys to the components of one agent; `None` if it has no key at all. Faults go
/// to `found`.
pub(super) fn read(
    properties: &Properties,
    agent: &str,
    setting: &Setting<'_>,
    found: &mut Diagnostics,
) -> Option<Graph> {
    let keys = last_of_each(properties, agent, found);
    let prefix = format!("{agent}.");
    let (mut own, others): (Vec<Key>, Vec<Key>) =
        keys.into_iter().partition(|k| k.full.starts_with(&prefix));
    check_others(&own, &others, agent, found);
    expand(&mut own, agent, setting, found);
    (!own.is_empty()).then(|| Reader { agent, keys: own, found }.read())
}

/// Replaces what the values refer to. The filters have no further meaning then.
fn expand(own: &mut Vec<Key>, agent: &str, setting: &Setting<'_>, found: &mut Diagnostics) {
    let told = own.iter().map(|key| (key.full.as_str(), key.value.as_str(), key.line));
    let filters = filter::take(told, agent, found);
    let of_filters = format!("{agent}.configfilters");
    own.retain(|key| key.full.strip_prefix(&of_filters).is_none_or(|rest| !is_end_of_word(rest)));
    let mut expander = Expander::new(agent, setting, filters);
    for key in own {
        let (value, is_secret) = expander.expand(&key.full, key.line, &key.value, found);
        key.value = trim(&value).to_string();
        key.is_secret = is_secret || secret::is_secret(&key.full);
    }
}

fn is_end_of_word(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

/// Java's `String.trim`: everything up to the blank goes, other white space stays.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

fn last_of_each(properties: &Properties, agent: &str, found: &mut Diagnostics) -> Vec<Key> {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, entry) in properties.entries.iter().enumerate() {
        let key = trim(&entry.key);
        let Some(former) = last.insert(key, index) else { continue };
        let of_agent = key.strip_prefix(agent).is_some_and(|rest| rest.starts_with('.'));
        let (line, first) = (entry.line, properties.entries[former].line);
        // Of several files a later one is there to win.
        if of_agent && found.is_one_file(first, line) {
            let (first, line) = (found.shown_line(first), found.shown_line(line));
            let message =
                format!("set on {first} and again on {line}; the last one wins, remove the other");
            found.warn(key, entry.line, message);
        }
    }
    let mut indices: Vec<usize> = last.into_values().collect();
    indices.sort_unstable();
    let key = |index: usize| {
        let entry = &properties.entries[index];
        let (full, value) = (trim(&entry.key).to_string(), trim(&entry.value).to_string());
        Key { full, value, line: entry.line, bare: entry.bare, is_secret: false }
    };
    indices.into_iter().map(key).collect()
}

/// Keys of other agents are none of our business, unless there is no agent behind them.
fn check_others(own: &[Key], others: &[Key], agent: &str, found: &mut Diagnostics) {
    let mut agents = BTreeSet::new();
    for key in others {
        if let Some((name, list)) = key.full.split_once('.')
            && LISTS.contains(&list)
        {
            agents.insert(name);
        }
    }
    if own.is_empty() {
        let names: Vec<&str> = agents.into_iter().collect();
        let way_out = match names.as_slice() {
            [] => "the file defines no agent".to_string(),
            [name] => format!("it configures agent {name}: start with --name {name}"),
            _ => format!("it configures the agents {}: name one of them", names.join(", ")),
        };
        found.push(
            super::diagnostics::Severity::Error,
            None,
            None,
            format!("No configuration found for this host:{agent}; {way_out}"),
        );
        return;
    }
    for key in others {
        match key.full.split_once('.') {
            None => found.warn(
                &key.full,
                key.line,
                "Configuration property ignored: a key begins with the name of an agent and a dot",
            ),
            Some((name, rest)) if !agents.contains(name) => {
                let message = format!(
                    "belongs to an agent {name} that lists no components; did you mean {agent}.{rest}?"
                );
                found.warn(&key.full, key.line, message);
            }
            Some(_) => {}
        }
    }
}

struct Reader<'a> {
    agent: &'a str,
    keys: Vec<Key>,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn read(mut self) -> Graph {
        let mut listed: BTreeMap<&str, Vec<(String, usize)>> = BTreeMap::new();
        for list in LISTS {
            let full = format!("{}.{list}", self.agent);
            if let Some(key) = self.keys.iter().find(|k| k.full == full && !k.value.is_empty()) {
                let names = words(self.found, &full, &key.value, key.line);
                listed.insert(list, names.into_iter().map(|name| (name, key.line)).collect());
            }
        }
        let monitoring = self.take_monitoring();
        let mut props = self.sort_properties(&listed);
        let mut sections = |list: &str| self.sections(list, &listed, &mut props);
        Graph {
            sources: sections("sources"),
            channels: sections("channels"),
            sinks: sections("sinks"),
            sinkgroups: sections("sinkgroups"),
            monitoring,
        }
    }

    fn take_monitoring(&mut self) -> Section {
        let prefix = format!("{}.{MONITORING}", self.agent);
        let start = format!("{prefix}.");
        let (own, others): (Vec<Key>, Vec<Key>) = std::mem::take(&mut self.keys)
            .into_iter()
            .partition(|k| k.full.starts_with(&start) && !k.value.is_empty());
        self.keys = others;
        let props = own.into_iter().map(|key| Prop {
            name: key.full[start.len()..].to_string(),
            value: key.value,
            line: key.line,
            bare: key.bare,
            is_secret: key.is_secret,
        });
        let props: Vec<Prop> = props.collect();
        let list_line = props.first().map_or(0, |p| p.line);
        Section { prefix, name: MONITORING.to_string(), list_line, props }
    }

    /// Properties by list and component.
    fn sort_properties(
        &mut self,
        listed: &BTreeMap<&str, Vec<(String, usize)>>,
    ) -> BTreeMap<(String, String), Vec<Prop>> {
        let mut props: BTreeMap<(String, String), Vec<Prop>> = BTreeMap::new();
        let mut unlisted = BTreeSet::new();
        // A component has a type, else its name is a slip.
        let types = self.keys.iter().filter_map(|key| key.full.strip_suffix(".type"));
        let whole: BTreeSet<String> = types.map(str::to_owned).collect();
        for key in std::mem::take(&mut self.keys) {
            let rest = &key.full[self.agent.len() + 1..];
            let (list, component) = rest.split_once('.').unwrap_or((rest, ""));
            if !LISTS.contains(&list) {
                self.unknown_list(&key, list, component);
                continue;
            }
            if key.value.is_empty() {
                self.found.warn(
                    &key.full,
                    key.line,
                    "Configuration property ignored: it has no value; give it one or remove it",
                );
                continue;
            }
            if component.is_empty() {
                continue;
            }
            let Some((component, name)) = component.split_once('.').filter(|(_, n)| !n.is_empty())
            else {
                let message = "Configuration property ignored: the component's name must be \
                               followed by a dot and a property";
                self.found.warn(&key.full, key.line, message);
                continue;
            };
            let names = listed.get(list).map_or(&[][..], Vec::as_slice);
            if !names.iter().any(|(n, _)| n == component) {
                if unlisted.insert((list.to_string(), component.to_string())) {
                    let prefix = format!("{}.{list}.{component}", self.agent);
                    self.unlisted(&key, (list, component), names, whole.contains(&prefix));
                }
                continue;
            }
            let Key { value, line, bare, is_secret, .. } = key;
            let prop = Prop { name: name.to_string(), value, line, bare, is_secret };
            props.entry((list.to_string(), component.to_string())).or_default().push(prop);
        }
        props
    }

    /// `a1.source.r1.x`: what it says would be lost without a word.
    fn unknown_list(&mut self, key: &Key, list: &str, component: &str) {
        match known::nearest_word(&LISTS, list) {
            Some(near) => {
                let dot = if component.is_empty() { "" } else { "." };
                let message = format!(
                    "Invalid property specified: {list}{dot}{component}; did you mean {}.{near}{dot}{component}?",
                    self.agent
                );
                self.found.error(&key.full, key.line, message);
            }
            None => {
                let message = format!(
                    "Configuration property ignored: there is no list \"{list}\"; remove it"
                );
                self.found.warn(&key.full, key.line, message);
            }
        }
    }

    fn unlisted(
        &mut self,
        key: &Key,
        (list, component): (&str, &str),
        names: &[(String, usize)],
        is_whole: bool,
    ) {
        let (agent, prefix) = (self.agent, format!("{}.{list}.{component}", self.agent));
        match names.iter().find(|(name, _)| name.eq_ignore_ascii_case(component)) {
            Some((name, line)) => {
                let line = self.found.shown_line(*line);
                let message = format!(
                    "{component} is not listed, but {name} is ({line}): letter case counts; \
                     write {agent}.{list}.{name}"
                );
                self.found.error(&prefix, key.line, message);
            }
            None if !is_whole && !names.is_empty() => {
                let distance =
                    |(name, _): &&(String, usize)| likeness::edit_distance(name, component);
                let near = names.iter().min_by_key(distance).map_or("", |(name, _)| name);
                let message = format!(
                    "{component} is not listed and has no type; did you mean {agent}.{list}.{near}?"
                );
                self.found.error(&prefix, key.line, message);
            }
            None => {
                let message = format!(
                    "{component} is configured but not listed, so it is ignored; add it to {agent}.{list}"
                );
                self.found.warn(&prefix, key.line, message);
            }
        }
    }

    fn sections(
        &mut self,
        list: &str,
        listed: &BTreeMap<&str, Vec<(String, usize)>>,
        props: &mut BTreeMap<(String, String), Vec<Prop>>,
    ) -> Vec<Section> {
        let mut sections = Vec::new();
        for (name, list_line) in listed.get(list).map_or(&[][..], Vec::as_slice) {
            let prefix = format!("{}.{list}.{name}", self.agent);
            let props = props.remove(&(list.to_string(), name.clone())).unwrap_or_default();
            if props.is_empty() {
                let message = format!(
                    "Configuration empty for: {name}. It is listed but has no property; configure it \
                     or take it out of {}.{list}",
                    self.agent
                );
                self.found.error(&prefix, *list_line, message);
            }
            let section = Section { prefix, name: name.clone(), list_line: *list_line, props };
            sections.push(section);
        }
        sections
    }
}
