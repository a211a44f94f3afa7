//! Which headers a source's events may have, and what becomes of them behind it.

use super::diagnostics::Diagnostics;
use super::model::{
    BYTE_OFFSET, Destination, InterceptorConfig, KEY_HEADER, KeyPartitioner, OnBadCheckpoint,
    OnNoCheckpoint, Selector, SourceConfig,
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
        let is_plain = destination.rule.for_headers(&headers).is_plain();
        if source.selector != Selector::Replicating || !is_plain {
            refuse_rebuilding(section, source, found);
        }
    }
}

/// What a topic holds does not tell which events of a file should have been there.
fn refuse_rebuilding(section: &Section, source: &SourceConfig, found: &mut Diagnostics) {
    let message = "a state cannot be read back from the topic where headers say the key, the partition or \
                   the channel of an event; write fail, beginning or end";
    if source.on_bad_checkpoint == OnBadCheckpoint::Topic {
        section.error(found, "onBadCheckpoint", message);
    }
    if source.on_no_checkpoint == OnNoCheckpoint::Topic {
        section.error(found, "onNoCheckpoint", message);
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
    /// The names of all headers that its events may have.
    pub fn header_names(&self) -> Vec<String> {
        possible(self)
    }
}

/// The names of all headers that events of this source may have.
fn possible(source: &SourceConfig) -> Vec<String> {
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
    let groups = source.kind.tail().into_iter().flat_map(|tail| &tail.groups);
    let of_groups = groups.flat_map(|group| &group.headers).map(|(key, _)| key.clone());
    let of_lines = source.kind.tail().filter(|tail| tail.byte_offset_header);
    let of_lines = of_lines.map(|_| BYTE_OFFSET.to_owned());
    of_file.chain(of_groups).chain(set).chain(of_lines).collect()
}

/// What of a source's properties decides how lines become events with headers, as text.
pub(super) fn event_text(section: &Section) -> String {
    const DECIDING: [&str; 8] = [
        "interceptors",
        "selector",
        "fileHeader",
        "basenameHeader",
        "byteOffsetHeader",
        "filegroups",
        "headers",
        "deserializer",
    ];
    let decides =
        |name: &str| DECIDING.iter().any(|start| name.starts_with(start)) || name == "inputCharset";
    let deciding = section.props.iter().filter(|prop| decides(&prop.name));
    let mut lines: Vec<String> =
        deciding.map(|prop| format!("{}={}\n", prop.name, prop.value)).collect();
    lines.sort_unstable();
    lines.concat()
}
