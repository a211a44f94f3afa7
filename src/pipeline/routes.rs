//! Which events go where, where their headers decide: to which channels, and there to which partition.
//!
//! All of it is a pure function of the event's headers, of the configuration and of how many partitions
//! the topic has. So an event that is read again goes where it went; and a configuration that would
//! decide otherwise is known by its checksum ([`Router::rule`]).

use std::rc::Rc;

use crate::channel::batch::{Extras, Wire};
use crate::config::model::{
    Destination, KEY_HEADER, KeyPartitioner, RecordRule, Selector, SourceConfig, TopicRule,
};
use crate::event::HeaderMap;
use crate::java::hash::{murmur2, string_hash};
use crate::source::interceptor::{self, Interceptor};

/// To be raised with every change of a rule below: what older batches hold is not known then.
const VERSION: u32 = 1;

/// The rules of a source's channels.
pub(super) struct Router {
    selector: Selector,
    channels: Vec<Channel>,
}

struct Channel {
    topic: String,
    /// As far as it matters for events of this source.
    rule: RecordRule,
    default_partition: Option<i32>,
    checksum: u32,
}

/// Where a channel puts an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Wherever there is room.
    Free,
    Partition(i32),
    /// Nowhere: its header names no partition of the topic.
    None {
        header: String,
        value: String,
    },
}

impl Router {
    /// `None` where every channel gets every event, and nothing of it but its value.
    pub(super) fn new(
        config: &SourceConfig,
        destinations: &[Rc<Destination>],
        chain: &[Interceptor],
    ) -> Option<Router> {
        let possible = config.header_names();
        let rules: Vec<RecordRule> =
            destinations.iter().map(|d| d.rule.for_headers(&possible)).collect();
        let is_plain = rules.iter().all(RecordRule::is_plain) && config.optional.is_empty();
        if config.selector == Selector::Replicating && is_plain {
            return None;
        }
        let mut deciding: Vec<&str> = Vec::new();
        if let Selector::Multiplexing { header, .. } = &config.selector {
            deciding.push(header);
        }
        for rule in &rules {
            deciding.extend(rule.key.map(|_| KEY_HEADER));
            deciding.extend(rule.partition_header.as_deref());
            let topic = rule.topic.iter();
            deciding.extend(topic.flat_map(|t| t.names().chain(t.header.as_deref())));
        }
        let source = format!(
            "{VERSION}\n{}{}",
            config.event_text,
            of_this_machine(config, chain, &deciding)
        );
        let channel = |(destination, rule): (&Rc<Destination>, RecordRule)| {
            let default_partition = destination.default_partition;
            let text = format!(
                "{source}\nchannel={}\ntopic={}\nkey={}\npartition={}\ndefault={}",
                destination.name,
                rule.topic.as_ref().map_or("", |_| &destination.topic),
                rule.key.map_or("", KeyPartitioner::name),
                rule.partition_header.as_deref().unwrap_or_default(),
                default_partition.map_or(-1, i64::from),
            );
            let checksum = crc32fast::hash(text.as_bytes());
            Channel { topic: destination.topic.clone(), rule, default_partition, checksum }
        };
        let channels = destinations.iter().zip(rules).map(channel).collect();
        Some(Router { selector: config.selector.clone(), channels })
    }

    /// Stands for all that decides which events of a range a batch of channel `at` has.
    pub(super) fn rule(&self, at: usize) -> u32 {
        self.channels[at].checksum
    }

    /// What channel `at` would make of headers, and the brokers of that wire do not know.
    pub(super) fn unknown_to(&self, at: usize, wire: Wire) -> Option<String> {
        let rule = &self.channels[at].rule;
        if !wire.has_identity() && !rule.headers.is_empty() {
            return Some(
                "the topic takes no headers of records, which exist from Kafka 0.11 on: remove header.* from \
                 the sink, or write to newer brokers"
                    .to_owned(),
            );
        }
        (wire == Wire::Legacy && rule.timestamp_header.is_some()).then(|| {
            "the brokers know no times of records, which exist from Kafka 0.10 on: remove timestampHeader \
             from the sink, or write to newer brokers"
                .to_owned()
        })
    }

    /// In the words of Flume, a time that a record cannot have.
    pub(super) fn bad_time(&self, at: usize, headers: &HeaderMap) -> Option<String> {
        let header = self.channels[at].rule.timestamp_header.as_ref()?;
        let value = headers.get(header)?;
        let is_bad = time(value).is_none();
        is_bad.then(|| format!("Invalid timestamp in header {header} - {value}"))
    }

    /// Do headers choose the partition in channel `at`?
    pub(super) fn is_spread(&self, at: usize) -> bool {
        let Channel { rule, default_partition, .. } = &self.channels[at];
        rule.partition_header.is_some() || rule.key.is_some() && default_partition.is_none()
    }

    /// Does channel `at` get an event with these headers?
    pub(super) fn selects(&self, at: usize, headers: &HeaderMap) -> bool {
        let Channel { topic, rule, .. } = &self.channels[at];
        let is_its = |rule: &TopicRule| rule.topic(|header| headers.get(header)) == *topic;
        if !rule.topic.as_ref().is_none_or(is_its) {
            return false;
        }
        match &self.selector {
            Selector::Replicating => true,
            Selector::Multiplexing { header, mapping, default } => {
                let value = headers.get(header);
                let mapped = value.and_then(|value| mapping.iter().find(|(v, _)| v == value));
                mapped.map_or(default, |(_, channels)| channels).contains(&at)
            }
        }
    }

    /// Where channel `at` puts an event with these headers, in a topic of so many partitions.
    pub(super) fn place(&self, at: usize, headers: &HeaderMap, partitions: u32) -> Place {
        let Channel { rule, default_partition, .. } = &self.channels[at];
        if let Some(header) = &rule.partition_header
            && let Some(value) = headers.get(header)
        {
            return match value.parse::<i32>() {
                Ok(partition) if u32::try_from(partition).is_ok_and(|p| p < partitions) => {
                    Place::Partition(partition)
                }
                _ => Place::None { header: header.clone(), value: value.to_owned() },
            };
        }
        match (default_partition, rule.key, headers.get(KEY_HEADER)) {
            (Some(_), ..) | (_, None, _) | (.., None) => Place::Free,
            (None, Some(partitioner), Some(key)) => {
                Place::Partition(partition_of(partitioner, key, partitions))
            }
        }
    }

    /// What the record of an event has in channel `at` beside its value; `names` is room for headers.
    pub(super) fn extras<'a>(
        &'a self,
        at: usize,
        headers: &'a HeaderMap,
        names: &'a mut Vec<(&'a str, &'a str)>,
    ) -> Extras<'a> {
        let rule = &self.channels[at].rule;
        let copied =
            |(event, record): &'a (String, String)| Some((record.as_str(), headers.get(event)?));
        names.extend(rule.headers.iter().filter_map(copied));
        Extras {
            key: rule.key.and_then(|_| headers.get(KEY_HEADER)).map(str::as_bytes),
            time_ms: rule.timestamp_header.as_ref().and_then(|header| time(headers.get(header)?)),
            headers: names,
        }
    }
}

/// A time that a record can have.
fn time(text: &str) -> Option<i64> {
    text.parse().ok().filter(|ms| *ms >= 0)
}

fn partition_of(partitioner: KeyPartitioner, key: &str, partitions: u32) -> i32 {
    let hash = match partitioner {
        KeyPartitioner::HashCode => string_hash(key),
        KeyPartitioner::Murmur2 => murmur2(key.as_bytes()),
    };
    // A topic has one at least.
    ((hash & 0x7fff_ffff) % partitions.max(1)) as i32
}

/// Values of headers that another machine, or this one under another name, would not make: where they
/// choose, they are a part of the rule.
fn of_this_machine(config: &SourceConfig, chain: &[Interceptor], deciding: &[&str]) -> String {
    let mut text = String::new();
    for interceptor in chain {
        match interceptor {
            Interceptor::Host { header, value, .. } if deciding.contains(&header.as_str()) => {
                text += &format!("{header}={value}\n")
            }
            Interceptor::Uuid { header, .. } if deciding.contains(&header.as_str()) => {
                let seed =
                    interceptor::origin_seed(chain, "", &config.name, &config.tracker_dir, 0);
                text += &format!("{header}={seed}\n");
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        pairs.iter().for_each(|(key, value)| map.insert(key, value));
        map
    }

    fn router(rule: RecordRule, default_partition: Option<i32>, selector: Selector) -> Router {
        let topic = String::new();
        let channel =
            || Channel { topic: topic.clone(), rule: rule.clone(), default_partition, checksum: 0 };
        Router { selector, channels: (0..3).map(|_| channel()).collect() }
    }

    #[test]
    fn a_partition_in_a_header_comes_before_the_default_and_that_before_the_key() {
        let rule = RecordRule {
            key: Some(KeyPartitioner::Murmur2),
            partition_header: Some("part".to_owned()),
            ..RecordRule::default()
        };
        let with_default = router(rule.clone(), Some(3), Selector::Replicating);
        let both = headers(&[("part", "+2"), ("key", "alpha")]);
        assert_eq!(with_default.place(0, &both, 5), Place::Partition(2));
        // The channel's own default.
        assert_eq!(with_default.place(0, &headers(&[("key", "alpha")]), 5), Place::Free);
        let without = router(rule, None, Selector::Replicating);
        assert_eq!(without.place(0, &headers(&[("key", "alpha")]), 5), Place::Partition(3));
        assert_eq!(without.place(0, &headers(&[("key", "")]), 5), Place::Partition(1));
        assert_eq!(without.place(0, &headers(&[]), 5), Place::Free);
        for bad in ["x", " 1", "-1", "5", "", "99999999999"] {
            let place = without.place(0, &headers(&[("part", bad), ("key", "a")]), 5);
            assert!(matches!(place, Place::None { .. }), "{bad}");
        }
        assert_eq!(without.place(0, &headers(&[("part", "02")]), 5), Place::Partition(2));
    }

    #[test]
    fn a_value_that_is_not_mapped_goes_to_the_default_channels() {
        let selector = Selector::Multiplexing {
            header: "type".to_owned(),
            mapping: vec![("A".to_owned(), vec![1, 2]), ("B".to_owned(), vec![])],
            default: vec![0],
        };
        let router = router(RecordRule::default(), None, selector);
        let of = |pairs: &[(&str, &str)]| {
            let map = headers(pairs);
            (0..3).filter(|at| router.selects(*at, &map)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[("type", "A")]), [1, 2]);
        assert_eq!(of(&[("type", "B")]), [] as [usize; 0]);
        assert_eq!(of(&[("type", "a")]), [0]);
        assert_eq!(of(&[]), [0]);
    }
}
