//! Topics of earlier runs: those that events name and that are opened on demand, and those that events do
//! not name any more.

use std::rc::Rc;

use crate::checkpoint::record::{BatchRecord, ChannelRecord, Record};
use crate::config::model::{Destination, RecordRule, SourceConfig, TOPICS_MAX, TopicRule};

/// The channel that a destination is of, by its name.
fn channel_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(channel, _)| channel)
}

/// Does a destination go on with what the record has of a channel?
type GoesOn<'a> = &'a dyn Fn(&Destination, &ChannelRecord) -> bool;

/// The place in the record of that which each destination goes on with: by its name; else by its topic, where
/// the record has that for the same channel, or for one that is not there any more. What one goes on with is no
/// other's: two may have topics of the same name, on different clusters perhaps.
pub(super) fn places_in(
    old: &[ChannelRecord],
    destinations: &[Rc<Destination>],
) -> Vec<Option<usize>> {
    // The name of a channel whose topics events name stands for each of them.
    let has_name = |d: &Destination, c: &ChannelRecord| {
        c.name == d.name && (!d.is_on_demand() || c.topic == d.topic)
    };
    let is_of_channel = |d: &Destination, c: &ChannelRecord| {
        c.topic == d.topic && channel_of(&c.name) == channel_of(&d.name)
    };
    let was_renamed = |d: &Destination, c: &ChannelRecord| {
        let is_its = |other: &Rc<Destination>| channel_of(&other.name) == channel_of(&c.name);
        c.topic == d.topic && !destinations.iter().any(is_its)
    };
    let mut places = vec![None; destinations.len()];
    let rules: [GoesOn; 3] = [&has_name, &is_of_channel, &was_renamed];
    for goes_on in rules {
        for (at, destination) in destinations.iter().enumerate() {
            if places[at].is_none() {
                let is_free = |place: &usize| !places.contains(&Some(*place));
                let mut free = (0..old.len()).filter(is_free);
                places[at] = free.find(|place| goes_on(destination, &old[*place]));
            }
        }
    }
    places
}

/// What is in doubt in a channel that none of these destinations goes on with: nobody would look for it.
pub fn without_place<'a>(
    record: &'a Record,
    destinations: &[Rc<Destination>],
) -> Vec<&'a BatchRecord> {
    let places = places_in(&record.channels, destinations);
    let has_place = |b: &BatchRecord| places.contains(&Some(usize::from(b.channel)));
    record.batches.iter().filter(|b| b.fate.is_in_doubt() && !has_place(b)).collect()
}

/// Where batches are announced, or files have lines, that no destination of the source would look for, though
/// it has the channel still. `destinations`: those of the agent.
pub fn left_topics(
    record: &Record,
    config: &SourceConfig,
    destinations: &[Rc<Destination>],
) -> Vec<Destination> {
    let own: Vec<(usize, Rc<Destination>)> =
        config.destinations.iter().map(|&at| (at, destinations[at].clone())).collect();
    let configured: Vec<Rc<Destination>> = own.iter().map(|(_, d)| d.clone()).collect();
    let known = places_in(&record.channels, &configured);
    let mut left = Vec::new();
    for (at, channel) in record.channels.iter().enumerate() {
        let is_its = |channel: u16| usize::from(channel) == at;
        let is_used = record.batches.iter().any(|batch| is_its(batch.channel));
        let ranges = record.files.iter().flat_map(|file| &file.ranges);
        let is_told_of = ranges.map(|range| range.channel).any(is_its);
        if known.contains(&Some(at)) || !(is_used || is_told_of) {
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
        load_text(name, &text(of_sink))
    }

    fn text(of_sink: &str) -> String {
        format!(
            "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = spooltail\n\
             a1.sources.r1.spoolDir = /logs\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
             a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
             a1.sinks.k1.kafka.bootstrap.servers = h:1\n{of_sink}"
        )
    }

    fn load_text(name: &str, text: &str) -> (AgentConfig, Vec<Rc<Destination>>) {
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

    const LEVELS: &str = "a1.sinks.k1.kafka.topic = l-%{level}\na1.sources.r1.interceptors = i1\n\
        a1.sources.r1.interceptors.i1.type = regex_extractor\na1.sources.r1.interceptors.i1.regex = (.)\n\
        a1.sources.r1.interceptors.i1.serializers = s\na1.sources.r1.interceptors.i1.serializers.s.name = level\n";

    /// A second channel, with the fixed topic `l-E`.
    fn load_two(name: &str, of_sink: &str) -> (AgentConfig, Vec<Rc<Destination>>) {
        let text = text(of_sink)
            .replace("channels = c1\n", "channels = c1 c2\n")
            .replace("a1.sinks = k1\n", "a1.sinks = k1 k2\n");
        let second = "a1.channels.c2.type = memory\na1.sinks.k2.channel = c2\n\
            a1.sinks.k2.type = org.apache.flume.sink.kafka.KafkaSink\n\
            a1.sinks.k2.kafka.bootstrap.servers = g:1\na1.sinks.k2.kafka.topic = l-E\n";
        load_text(name, &(text + second))
    }

    fn record_of(channels: &[(&str, &str)], in_doubt: &[u16]) -> Record {
        let channel = |(name, topic): &(&str, &str)| ChannelRecord {
            name: (*name).to_owned(),
            topic: (*topic).to_owned(),
            ..ChannelRecord::default()
        };
        let batch = |&channel: &u16| BatchRecord { channel, ..BatchRecord::default() };
        let channels = channels.iter().map(channel).collect();
        Record { channels, batches: in_doubt.iter().map(batch).collect(), ..Record::default() }
    }

    /// The destinations of a start with that record, and the place in it that each goes on with.
    fn started(
        (config, destinations): &(AgentConfig, Vec<Rc<Destination>>),
        record: &Record,
    ) -> Vec<(String, Option<usize>)> {
        let source = &config.sources[0];
        let left = left_topics(record, source, destinations);
        let own = source.destinations.iter().map(|&at| destinations[at].clone());
        let all: Vec<Rc<Destination>> = own.chain(left.into_iter().map(Rc::new)).collect();
        let places = places_in(&record.channels, &all);
        all.iter().map(|d| d.name.clone()).zip(places).collect()
    }

    fn named(rows: &[(&str, Option<usize>)]) -> Vec<(String, Option<usize>)> {
        rows.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect()
    }

    /// Perhaps on another cluster: what is in doubt in the one is not in the other.
    #[test]
    fn a_topic_that_an_event_named_is_no_other_channels_of_the_same_name() {
        let two = load_two("two", LEVELS);
        let record = record_of(&[("c1", "l-%{level}"), ("c2", "l-E"), ("c1:l-E", "l-E")], &[2]);
        let expected = [("c1", Some(0)), ("c2", Some(1)), ("c1:l-E", Some(2))];
        assert_eq!(started(&two, &record), named(&expected));
        // The second channel is new.
        let record = record_of(&[("c1", "l-%{level}"), ("c1:l-E", "l-E")], &[1]);
        let expected = [("c1", Some(0)), ("c2", None), ("c1:l-E", Some(1))];
        assert_eq!(started(&two, &record), named(&expected));
    }

    /// The configuration said the values of the header, and does not name that one any more.
    #[test]
    fn a_topic_that_no_event_names_any_more_is_no_other_channels_of_the_same_name() {
        let two = load_two("two-fixed", "a1.sinks.k1.kafka.topic = l-D\n");
        let record = record_of(&[("c1:l-D", "l-D"), ("c1:l-E", "l-E"), ("c2", "l-E")], &[0, 1, 2]);
        let expected = [("c1", Some(0)), ("c2", Some(2)), ("c1:l-E", Some(1))];
        assert_eq!(started(&two, &record), named(&expected));
        // A channel whose topic became another's goes on with its own place alone.
        let record = record_of(&[("c1", "l-E")], &[0]);
        assert_eq!(started(&two, &record), named(&[("c1", Some(0)), ("c2", None)]));
    }

    #[test]
    fn channels_with_other_names_go_on_with_their_topics_each_with_its_own() {
        let two = load_two("renamed", LEVELS);
        let channels = [("a", "l-%{level}"), ("b", "l-E"), ("a:l-E", "l-E"), ("a:l-F", "l-F")];
        let record = record_of(&channels, &[1, 2, 3]);
        let expected = [("c1", Some(0)), ("c2", Some(1)), ("c1:l-E", Some(2)), ("c1:l-F", Some(3))];
        assert_eq!(started(&two, &record), named(&expected));
    }

    #[test]
    fn topics_that_events_name_are_there_again_where_something_of_them_is_left() {
        let (config, destinations) = load("named", LEVELS);
        let left = left_topics(&record(), &config.sources[0], &destinations);
        let all = [("c1:t", "t"), ("c1:a", "a"), ("c1:b", "b"), ("c1:c", "c"), ("c1:d", "d")];
        assert_eq!(names(&left), all);
        let base = &destinations[config.sources[0].destinations[0]];
        assert!(left.iter().all(|d| d.rule == base.rule && d.base == base.base));
    }
}
