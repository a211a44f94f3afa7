//! Topics that events named when they were announced, and do not name any more.

use std::rc::Rc;

use crate::checkpoint::record::Record;
use crate::config::model::{Destination, RecordRule, SourceConfig, TopicRule};

/// The channel that a destination is of, by its name.
fn channel_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(channel, _)| channel)
}

/// Where batches are in doubt that no destination of the source would look for, though it has the channel
/// still: no new event goes there.
pub(super) fn left(
    record: &Record,
    config: &SourceConfig,
    destinations: &[Rc<Destination>],
) -> Vec<Destination> {
    let own: Vec<(usize, &Rc<Destination>)> =
        config.destinations.iter().map(|&at| (at, &destinations[at])).collect();
    let mut left = Vec::new();
    for (at, channel) in record.channels.iter().enumerate() {
        let is_its = |batch: &&crate::checkpoint::record::BatchRecord| {
            usize::from(batch.channel) == at && batch.fate.is_in_doubt()
        };
        let is_known = own.iter().any(|(_, d)| d.name == channel.name || d.topic == channel.topic);
        if is_known || !record.batches.iter().any(|batch| is_its(&batch)) {
            continue;
        }
        let of_channel = own.iter().find(|(_, d)| channel_of(&d.name) == channel_of(&channel.name));
        if let Some((base, destination)) = of_channel {
            let nobody = TopicRule { header: None, template: String::new() };
            let rule = RecordRule { topic: Some(nobody), ..destination.rule.clone() };
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
    use crate::checkpoint::record::{BatchRecord, ChannelRecord};

    #[test]
    fn what_is_in_doubt_in_a_topic_that_no_event_names_any_more_is_looked_for_there() {
        let text = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = spooltail\n\
                    a1.sources.r1.spoolDir = /logs\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
                    a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
                    a1.sinks.k1.kafka.bootstrap.servers = h:1\na1.sinks.k1.kafka.topic = t\n";
        let path = std::env::temp_dir().join(format!("flume-ng-left-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let config = crate::config::load(&path, "a1").unwrap().config;
        std::fs::remove_file(&path).unwrap();
        let destinations: Vec<Rc<Destination>> =
            config.destinations.into_iter().map(Rc::new).collect();
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
        ];
        let batch = |channel| BatchRecord { channel, ..BatchRecord::default() };
        let record =
            Record { channels, batches: vec![batch(0), batch(1), batch(3)], ..Record::default() };
        let left = left(&record, &config.sources[0], &destinations);
        let names: Vec<(&str, &str)> =
            left.iter().map(|d| (d.name.as_str(), d.topic.as_str())).collect();
        assert_eq!(names, [("c1:a", "a")]);
        assert!(!left[0].rule.is_plain());
    }
}
