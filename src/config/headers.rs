//! Which headers a source's events may have, and what a Kafka sink would do with them.

use super::buffer;
use super::channel;
use super::diagnostics::Diagnostics;
use super::graph::Graph;
use super::kafka_sink;
use super::model::{Destination, InterceptorConfig, SourceConfig};
use super::section::Section;

/// The header that Flume makes the record's key of.
const KEY: &str = "key";

/// Record keys, and topics that events name, are not supported: rather than leave them out in
/// silence, what would make them is refused.
pub(super) fn refuse_routes(
    section: &Section,
    source: &SourceConfig,
    graph: &Graph,
    destinations: &[Destination],
    found: &mut Diagnostics,
) {
    let headers = possible(source);
    let has = |name: &str| headers.iter().any(|header| header == name);
    for destination in source.destinations.iter().filter_map(|at| destinations.get(*at)) {
        let is_its = |channel: &&Section| channel.name == destination.name;
        if let Some(channel) = graph.channels.iter().find(is_its)
            && !buffer::is_one(channel)
            && channel::uses_new_names(channel)
            && has(KEY)
        {
            let message = format!(
                "Flume 1.7 and later would make the header {KEY} the record's key; here records of \
                 channel {} have none",
                channel.name
            );
            section.warn(found, "interceptors", message);
        }
        for sink in graph.sinks.iter().filter(|sink| kafka_sink::is_one(sink)) {
            if sink.get("channel").is_none_or(|prop| prop.value != destination.name) {
                continue;
            }
            if has(KEY) {
                let message = format!(
                    "the header {KEY} would be the record's key in sink {}, and record keys are not \
                     supported; give the header another name",
                    sink.name
                );
                section.error(found, "interceptors", message);
            }
            if let Some(header) = kafka_sink::topic_header(sink).filter(|header| has(header)) {
                let message = format!(
                    "the header {header} would choose the topic in sink {}, which is not supported; write \
                     {} = false, or give the header another name",
                    sink.name,
                    sink.key("allowTopicOverride")
                );
                section.error(found, "interceptors", message);
            }
        }
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
    of_file.chain(of_groups).chain(set).collect()
}
