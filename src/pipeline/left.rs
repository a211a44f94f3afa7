//! Topics of earlier runs: those that events name and that are opened on demand, and those that events do
//! not name any more.

use std::rc::Rc;

use crate::checkpoint::record::{ChannelRecord, Record};
use crate::config::model::{Destination, RecordRule, SourceConfig, TOPICS_MAX, TopicRule};

/// The channel that a destination is of, by its name.
fn channel_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(channel, _)| channel)
}

/// Where batches are announced, or files have lines, that no destination of the source would look for, though
/// it has the channel still. `destinations`: those of the agent.
pub fn left_topics(
    record: &Record,
    config: &SourceConfig,
    destinations: &[Rc<Destination>],
) -> Vec<Destination> {
    let own: Vec<(usize, &Rc<Destination>)> =
        config.destinations.iter().map(|&at| (at, &destinations[at])).collect();
    let is_known = |channel: &ChannelRecord| {
        let is_it = |d: &Destination| {
            let is_named = d.name == channel.name && !d.is_on_demand();
            is_named || d.topic == channel.topic
        };
        own.iter().any(|(_, d)| is_it(d))
    };
    let mut left = Vec::new();
    for (at, channel) in record.channels.iter().enumerate() {
        let is_its = |channel: u16| usize::from(channel) == at;
        let is_used = record.batches.iter().any(|batch| is_its(batch.channel));
        let ranges = record.files.iter().flat_map(|file| &file.ranges);
        let is_told_of = ranges.map(|range| range.channel).any(is_its);
        if is_known(channel) || !(is_used || is_told_of) {
            continue;
        }
        let is_of_channel = |d: &Destination| channel_of(&d.name) == channel_of(&channel.name);
        let of_channel = own.iter().find(|(_, d)| is_of_channel(d));
        // A channel that was renamed.
        let of_channel = of_channel.or_else(|| own.iter().find(|(_, d)| d.is_on_demand()));
        let Some((base, destination)) = of_channel else { continue };
        if destination.is_on_demand() {
            let has_room = own.len() + left.len() < TOPICS_MAX;
            if is_used || has_room {
                left.push(destination.for_topic(channel_of(&destination.name), &channel.topic));
            }
        } else if is_used {
            let rule = RecordRule { topic: Some(TopicRule::nobody()), ..destination.rule.clone() };
            left.push(Destination {
                name: channel.name.clone(),
                topic: channel.topic.clone(),
                rule,
                base: destination.base.or(Some(*base)),
                ..Destination::clone(destination)
            });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::{BatchRecord, ChannelRecord, Fate, FileRecord, OffsetRange};
    use crate::config::model::AgentConfig;

    fn load(name: &str, of_sink: &str) -> (AgentConfig, Vec<Rc<Destination>>) {
        let text = format!(
            "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = spooltail\n\
             a1.sources.r1.spoolDir = /logs\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
             a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
             a1.sinks.k1.kafka.bootstrap.servers = h:1\n{of_sink}"
        );
        let path = std::env::temp_dir().join(format!("flume-ng-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let config = crate::config::load(&path, "a1").unwrap().config;
        std::fs::remove_file(&path).unwrap();
        let destinations = config.destinations.iter().cloned().map(Rc::new).collect();
        (config, destinations)
    }

    fn record() -> Record {
        let channel = |name: &str, topic: &str| ChannelRecord {
            name: name.to_owned(),
            topic: topic.to_owned(),
            ..ChannelRecord::default()
        };
        let channels = vec![
            channel("c1", "t"),
            channel("c1:a", "a"),
            channel("c1:b", "b"),
            channel("c2", "c"),
            channel("c1:d", "d"),
        ];
        let batch = |channel| BatchRecord { channel, ..BatchRecord::default() };
        let acked = BatchRecord { fate: Fate::At(7), ..batch(4) };
        let range =
            OffsetRange { channel: 2, partition: 0, producer_id: 1, first: 0, last: 0, events: 1 };
        let files = vec![FileRecord { ranges: vec![range], ..FileRecord::default() }];
        let batches = vec![batch(0), batch(1), batch(3), acked];
        Record { channels, batches, files, ..Record::default() }
    }

    fn names(left: &[Destination]) -> Vec<(&str, &str)> {
        left.iter().map(|d| (d.name.as_str(), d.topic.as_str())).collect()
    }

    /// What is acknowledged there may stand behind something in doubt, and is read again if it is forgotten.
    #[test]
    fn what_is_announced_in_a_topic_that_no_event_names_any_more_stays_there() {
        let (config, destinations) = load("left", "a1.sinks.k1.kafka.topic = t\n");
        let left = left_topics(&record(), &config.sources[0], &destinations);
        assert_eq!(names(&left), [("c1:a", "a"), ("c1:d", "d")]);
        assert!(left.iter().all(|d| !d.rule.is_plain() && d.is_on_demand()));
    }

    #[test]
    fn topics_that_events_name_are_there_again_where_something_of_them_is_left() {
        let of_sink = "a1.sinks.k1.kafka.topic = l-%{level}\na1.sources.r1.interceptors = i1\n\
            a1.sources.r1.interceptors.i1.type = regex_extractor\na1.sources.r1.interceptors.i1.regex = (.)\n\
            a1.sources.r1.interceptors.i1.serializers = s\na1.sources.r1.interceptors.i1.serializers.s.name = level\n";
        let (config, destinations) = load("named", of_sink);
        let left = left_topics(&record(), &config.sources[0], &destinations);
        let all = [("c1:t", "t"), ("c1:a", "a"), ("c1:b", "b"), ("c1:c", "c"), ("c1:d", "d")];
        assert_eq!(names(&left), all);
        let base = &destinations[config.sources[0].destinations[0]];
        assert!(left.iter().all(|d| d.rule == base.rule && d.base == base.base));
    }
}
