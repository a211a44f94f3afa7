//! Which headers a source's events may have, and what becomes of them behind it.

use super::diagnostics::Diagnostics;
use super::model::{
    BYTE_OFFSET, Destination, EventText, FileGroup, InterceptorConfig, KEY_HEADER, KeyPartitioner,
    OnBadCheckpoint, OnNoCheckpoint, Selector, SourceConfig, TopicRule,
};
use super::section::Section;

/// What headers choose is said, and what does not go with that is refused.
pub(super) fn check_routes(
    section: &Section,
    source: &SourceConfig,
    destinations: &[Destination],
    found: &mut Diagnostics,
) {
    let headers = source.header_names();
    let has = |name: &str| headers.iter().any(|header| header == name);
    for destination in source.destinations.iter().filter_map(|at| destinations.get(*at)) {
        if has(KEY_HEADER) {
            tell_key(section, destination, found);
        }
    }
    let asked = [
        ("onBadCheckpoint", source.on_bad_checkpoint == OnBadCheckpoint::Topic),
        ("onNoCheckpoint", source.on_no_checkpoint == OnNoCheckpoint::Topic),
    ];
    for (name, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
        if let Some(why) = source.hides_topics(destinations) {
            let message =
                format!("{why}: a state cannot be read back; write fail, beginning or end");
            section.error(found, name, &message);
        }
    }
}

fn tell_key(section: &Section, destination: &Destination, found: &mut Diagnostics) {
    let (source, channel) = (&section.name, &destination.name);
    let Some(partitioner) = destination.rule.key else {
        found.info(format!(
            "source {source}: the header {KEY_HEADER} is no record's key in channel {channel}, as in Flume 1.6"
        ));
        return;
    };
    let which = match partitioner {
        KeyPartitioner::HashCode => "as Flume 1.6 does (Java's hashCode)",
        KeyPartitioner::Murmur2 => "as Flume 1.7 and later do (murmur2)",
    };
    found.info(match destination.default_partition {
        Some(partition) => format!(
            "source {source}: the header {KEY_HEADER} is the record's key in channel {channel}; \
             defaultPartitionId = {partition} says the partition"
        ),
        None => format!(
            "source {source}: the header {KEY_HEADER} is the record's key in channel {channel}, and chooses \
             its partition {which}; keyPartitioner says another rule"
        ),
    });
}

impl SourceConfig {
    /// Why its files do not tell which event should be in which topic, if they do not.
    pub fn hides_topics(&self, destinations: &[Destination]) -> Option<String> {
        if !self.optional.is_empty() {
            return Some(
                "an optional channel holds nothing up, and would have to be waited for".to_owned(),
            );
        }
        let own = self.destinations.iter().filter_map(|at| destinations.get(*at));
        if own.clone().any(Destination::is_on_demand) {
            return Some(
                "events name topics that nobody knows before the lines are read".to_owned(),
            );
        }
        let possible = self.header_names();
        let rules: Vec<_> = own.map(|d| d.rule.for_headers(&possible)).collect();
        let mut choosing: Vec<&str> = rules
            .iter()
            .filter_map(|rule| rule.topic.as_ref())
            .flat_map(TopicRule::names)
            .collect();
        if let Selector::Multiplexing { header, .. } = &self.selector {
            choosing.push(header);
        }
        let passing = self.passing_headers();
        let header = choosing.into_iter().find(|header| passing.contains(header))?;
        Some(format!(
            "the header {header} chooses topics or channels, and its values are those of the moment or the \
             place of reading"
        ))
    }

    /// Headers whose values are drawn or measured when an event is read.
    pub fn passing_headers(&self) -> Vec<&str> {
        let of_moment = self.interceptors.iter().filter_map(|interceptor| match interceptor {
            InterceptorConfig::Timestamp { header, .. }
            | InterceptorConfig::Uuid { header, .. } => Some(header.as_str()),
            _ => None,
        });
        of_moment.chain([BYTE_OFFSET]).collect()
    }

    /// The names of all headers that its events may have.
    pub fn header_names(&self) -> Vec<String> {
        let groups = self.kind.tail().into_iter().flat_map(|tail| &tail.groups);
        possible(self, groups)
    }

    /// The same of the files of one group, or of none.
    pub fn header_names_of(&self, group: Option<&FileGroup>) -> Vec<String> {
        possible(self, group.into_iter())
    }
}

/// The names of all headers that events of this source may have, whose files are of these groups.
fn possible<'a>(source: &SourceConfig, groups: impl Iterator<Item = &'a FileGroup>) -> Vec<String> {
    let of_file = source.file_header.iter().chain(&source.basename_header).cloned();
    let set = source.interceptors.iter().flat_map(|interceptor| match interceptor {
        InterceptorConfig::Timestamp { header, .. } | InterceptorConfig::Host { header, .. } => {
            vec![header.clone()]
        }
        InterceptorConfig::Static { key, .. } => vec![key.clone()],
        InterceptorConfig::Uuid { header, .. } => vec![header.clone()],
        InterceptorConfig::RegexExtractor { serializers, .. } => {
            serializers.iter().map(|serializer| serializer.header.clone()).collect()
        }
        InterceptorConfig::RegexFilter { .. }
        | InterceptorConfig::SearchReplace { .. }
        | InterceptorConfig::RemoveHeader { .. }
        | InterceptorConfig::JsonFilter => Vec::new(),
    });
    let of_groups = groups.flat_map(|group| &group.headers).map(|(key, _)| key.clone());
    let of_lines = source.kind.tail().filter(|tail| tail.byte_offset_header);
    let of_lines = of_lines.map(|_| BYTE_OFFSET.to_owned());
    of_file.chain(of_groups).chain(set).chain(of_lines).collect()
}

/// What of a source's properties decides how lines become events with headers, as text.
pub(super) fn event_text(section: &Section) -> EventText {
    const DECIDING: [&str; 6] = [
        "interceptors",
        "selector",
        "fileHeader",
        "basenameHeader",
        "byteOffsetHeader",
        "deserializer",
    ];
    const OF_GROUPS: [&str; 2] = ["filegroups", "headers"];
    let begins = |name: &str, starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    let decides = |name: &str| begins(name, &DECIDING) || name == "inputCharset";
    let text = |is_in: &dyn Fn(&str) -> bool| {
        let deciding = section.props.iter().filter(|prop| is_in(&prop.name));
        let mut lines: Vec<String> =
            deciding.map(|prop| format!("{}={}\n", prop.name, prop.value)).collect();
        lines.sort_unstable();
        lines.concat()
    };
    EventText {
        of_all: text(&decides),
        with_groups: text(&|name| decides(name) || begins(name, &OF_GROUPS)),
    }
}
