//! Which events go where, where their headers decide: to which channels, and there to which partition.
//!
//! All of it is a pure function of the event's headers, of the configuration and of how many partitions
//! the topic has. So an event that is read again goes where it went; and a configuration that would
//! decide otherwise is known by its checksum ([`Rules`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;

use super::rules::Rules;
use crate::channel::batch::{Extras, Wire};
use crate::clock::Clock;
use crate::config::model::{
    Destination, KEY_HEADER, KeyPartitioner, RecordRule, Selector, SourceConfig, TopicRule,
    is_topic,
};
use crate::event::HeaderMap;
use crate::java::hash::{murmur2, string_hash};
use crate::source::interceptor::{self, Interceptor};

/// Choices that are kept, since events with the same values come again and again.
const CHOICES_MAX: usize = 4_096;

/// So many are looked through before a choice is looked up among all.
const FIRST_MAX: usize = 6;

/// The rules of a source's channels.
pub(crate) struct Router {
    selector: Selector,
    channels: Vec<Channel>,
    /// Of channels whose topics events name: which of `channels` has that topic.
    members: HashMap<(usize, String), usize>,
    /// The headers that choose channels.
    choosing: Vec<String>,
    choices: RefCell<Choices>,
    clock: Rc<dyn Clock>,
}

struct Channel {
    topic: String,
    /// As far as it matters for events of this source.
    rule: RecordRule,
    default_partition: Option<i32>,
    rules: Rules,
    /// By which the selector knows it. `None`: no new event is for it.
    place: Option<usize>,
}

/// A choice, and the headers that it was made of, in the order of `choosing`.
type Made = (Vec<Option<String>>, Rc<Choice>);

#[derive(Default)]
struct Choices {
    /// Those that were made first: where there are few, no text has to be made to find one.
    first: Vec<Made>,
    known: HashMap<String, Rc<Choice>>,
    /// Room for a key.
    key: String,
}

/// Which channels an event is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub channels: Vec<usize>,
    /// It is for topics that are not opened yet: the places of their channels, and the topics.
    pub unopened: Vec<(usize, String)>,
    /// Channels in which no topic can have the name that the event makes, by their place, and why.
    pub nowhere: Vec<(usize, String)>,
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
        /// The partition that it names, if there can be one.
        named: Option<i32>,
    },
}

impl Router {
    /// `None` where every channel gets every event, and nothing of it but its value. Of `destinations`
    /// the first are those of the source.
    pub(crate) fn new(
        config: &SourceConfig,
        destinations: &[Rc<Destination>],
        chain: &[Interceptor],
        clock: Rc<dyn Clock>,
    ) -> Option<Router> {
        let possible = config.header_names();
        let mut rules = destinations.iter().map(|d| d.rule.for_headers(&possible));
        let is_plain = rules.all(|rule| rule.is_plain()) && config.optional.is_empty();
        let is_needed = config.selector != Selector::Replicating || !is_plain;
        is_needed.then(|| Router::always(config, destinations, chain, clock))
    }

    /// One where none is needed, for what was divided when one was.
    pub(super) fn always(
        config: &SourceConfig,
        destinations: &[Rc<Destination>],
        chain: &[Interceptor],
        clock: Rc<dyn Clock>,
    ) -> Router {
        let possible = config.header_names();
        let rules: Vec<RecordRule> =
            destinations.iter().map(|d| d.rule.for_headers(&possible)).collect();
        let mut choosing: Vec<&str> = Vec::new();
        if let Selector::Multiplexing { header, .. } = &config.selector {
            choosing.push(header);
        }
        choosing
            .extend(rules.iter().filter_map(|rule| rule.topic.as_ref()).flat_map(TopicRule::names));
        choosing.sort_unstable();
        choosing.dedup();
        let mut deciding = choosing.clone();
        for rule in &rules {
            deciding.extend(rule.key.map(|_| KEY_HEADER));
            deciding.extend(rule.partition_header.as_deref());
        }
        let machine = of_this_machine(config, chain, &deciding);
        let choosing = choosing.into_iter().map(str::to_owned).collect();
        let mut channels = Vec::with_capacity(destinations.len());
        let mut members = HashMap::new();
        for (at, (destination, rule)) in destinations.iter().zip(rules).enumerate() {
            let place = place_of(config, destinations, at);
            if let Some(place) = place.filter(|_| destination.is_on_demand()) {
                members.insert((place, destination.topic.clone()), at);
            }
            channels.push(Channel {
                topic: destination.topic.clone(),
                rules: Rules::of(config, destination, &machine, &*clock),
                default_partition: destination.default_partition,
                rule,
                place,
            });
        }
        let selector = config.selector.clone();
        Router { selector, channels, members, choosing, choices: Default::default(), clock }
    }

    /// Stands for all that decides which events of a range a batch of channel `at` has, where the file is
    /// of that group.
    pub(super) fn rule(&self, at: usize, group: Option<usize>) -> u32 {
        self.channels[at].rules.sum(group)
    }

    /// Are the events of a batch that has this rule told as they were?
    pub(super) fn knows(&self, at: usize, group: Option<usize>, rule: u32) -> bool {
        self.channels[at].rules.has(group, rule)
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

    /// The headers that choose channels and topics.
    pub(crate) fn choosing(&self) -> &[String] {
        &self.choosing
    }

    /// Which channels get an event with these headers?
    pub(crate) fn choose(&self, headers: &HeaderMap) -> Rc<Choice> {
        let choices = &mut *self.choices.borrow_mut();
        let is_it = |(known, _): &&Made| {
            let mut pairs = known.iter().zip(&self.choosing);
            pairs.all(|(value, header)| value.as_deref() == headers.get(header))
        };
        if let Some((_, choice)) = choices.first.iter().find(is_it) {
            return choice.clone();
        }
        let choice = self.choose_among_all(headers, choices);
        if choices.first.len() < FIRST_MAX {
            let values = self.choosing.iter().map(|header| headers.get(header).map(str::to_owned));
            choices.first.push((values.collect(), choice.clone()));
        }
        choice
    }

    fn choose_among_all(&self, headers: &HeaderMap, choices: &mut Choices) -> Rc<Choice> {
        choices.key.clear();
        for header in &self.choosing {
            // Writing to a string does not fail.
            let _ = match headers.get(header) {
                Some(value) => write!(choices.key, "{}:{value}", value.len()),
                None => write!(choices.key, "-"),
            };
        }
        if let Some(known) = choices.known.get(&choices.key) {
            return known.clone();
        }
        let choice = Rc::new(self.make_choice(headers));
        if choices.known.len() >= CHOICES_MAX {
            choices.known.clear();
        }
        choices.known.insert(choices.key.clone(), choice.clone());
        choice
    }

    fn make_choice(&self, headers: &HeaderMap) -> Choice {
        let mut choice = Choice::default();
        for (at, channel) in self.channels.iter().enumerate() {
            let Some(place) = channel.place else { continue };
            match channel.rule.topic.as_ref().filter(|rule| rule.is_open) {
                None if self.selects(at, headers) => choice.channels.push(at),
                // Which of its topics it is is asked once.
                Some(rule) if at == place && self.selects_place(place, headers) => {
                    self.choose_topic(place, rule, headers, &mut choice);
                }
                _ => {}
            }
        }
        choice
    }

    fn choose_topic(
        &self,
        place: usize,
        rule: &TopicRule,
        headers: &HeaderMap,
        choice: &mut Choice,
    ) {
        match self.topic(rule, headers) {
            Err(why) => choice.nowhere.push((place, why)),
            Ok(topic) if !is_topic(&topic) => {
                let shown: String = topic.chars().take(TOPIC_SHOWN_MAX).collect();
                let why =
                    format!("its topic would be \"{}\", which cannot be one", shown.escape_debug());
                choice.nowhere.push((place, why));
            }
            Ok(topic) => {
                let key = (place, topic);
                match self.members.get(&key) {
                    Some(at) => choice.channels.push(*at),
                    None => choice.unopened.push(key),
                }
            }
        }
    }

    fn topic(&self, rule: &TopicRule, headers: &HeaderMap) -> Result<String, String> {
        rule.topic(|header| headers.get(header), |ms| self.clock.local(ms))
    }

    /// Does channel `at` get an event with these headers?
    pub(super) fn selects(&self, at: usize, headers: &HeaderMap) -> bool {
        let Channel { topic, rule, place, .. } = &self.channels[at];
        let is_its = |rule: &TopicRule| self.topic(rule, headers).as_ref() == Ok(topic);
        place.is_some_and(|place| self.selects_place(place, headers))
            && rule.topic.as_ref().is_none_or(is_its)
    }

    fn selects_place(&self, place: usize, headers: &HeaderMap) -> bool {
        match &self.selector {
            Selector::Replicating => true,
            Selector::Multiplexing { header, mapping, default } => {
                let value = headers.get(header);
                let mapped = value.and_then(|value| mapping.iter().find(|(v, _)| v == value));
                mapped.map_or(default, |(_, channels)| channels).contains(&place)
            }
        }
    }

    /// Where channel `at` puts an event with these headers, in a topic of so many partitions.
    pub(super) fn place(&self, at: usize, headers: &HeaderMap, partitions: u32) -> Place {
        let Channel { rule, default_partition, .. } = &self.channels[at];
        if let Some(header) = &rule.partition_header
            && let Some(value) = headers.get(header)
        {
            let named = value.parse::<i32>().ok().filter(|partition| *partition >= 0);
            return match named {
                Some(partition) if (partition as u32) < partitions => Place::Partition(partition),
                _ => Place::None { header: header.clone(), value: value.to_owned(), named },
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

/// As much of a name that cannot be one is told, in characters.
const TOPIC_SHOWN_MAX: usize = 64;

/// The place among the source's destinations by which the selector knows that at `at`.
pub(super) fn place_of(
    config: &SourceConfig,
    destinations: &[Rc<Destination>],
    at: usize,
) -> Option<usize> {
    let own = config.destinations.len();
    if at < own {
        return Some(at);
    }
    let one = &destinations[at];
    let is_base = |place: &usize| {
        let base = &destinations[*place];
        base.is_on_demand() && one.base == base.base && one.rule.topic == base.rule.topic
    };
    (0..own).find(is_base)
}

/// A time that a record can have.
fn time(text: &str) -> Option<i64> {
    text.parse().ok().filter(|ms| *ms >= 0)
}

/// Where the producer of a version of Flume puts a record with that key.
pub(crate) fn partition_of(partitioner: KeyPartitioner, key: &str, partitions: u32) -> i32 {
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
    use crate::clock::ManualClock;
    use crate::config::model::Template;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        pairs.iter().for_each(|(key, value)| map.insert(key, value));
        map
    }

    fn router(rule: RecordRule, default_partition: Option<i32>, selector: Selector) -> Router {
        let channel = |at| Channel {
            topic: if at == 0 {
                rule.topic.as_ref().map_or("", |t| t.template.as_str())
            } else {
                "b"
            }
            .to_owned(),
            rule: rule.clone(),
            default_partition,
            rules: Rules::default(),
            place: Some(if rule.topic.is_some() { 0 } else { at }),
        };
        Router {
            selector,
            channels: (0..3).map(channel).collect(),
            members: HashMap::from([((0, "b".to_owned()), 1)]),
            choosing: vec!["type".to_owned(), "key".to_owned()],
            choices: Default::default(),
            clock: Rc::new(ManualClock::new(0, 0)),
        }
    }

    #[test]
    fn a_topic_that_an_event_names_is_open_or_to_be_opened_or_none() {
        let template = Template::parse("%{type}").unwrap();
        let topic = Some(TopicRule { header: None, template, is_open: true });
        let router =
            router(RecordRule { topic, ..RecordRule::default() }, None, Selector::Replicating);
        let of = |pairs: &[(&str, &str)]| router.choose(&headers(pairs));
        assert_eq!(of(&[("type", "b")]).channels, [1]);
        assert!(router.selects(1, &headers(&[("type", "b")])));
        assert!(!router.selects(0, &headers(&[("type", "b")])));
        for _ in 0..2 {
            let new = of(&[("type", "new")]);
            assert_eq!(new.unopened, [(0, "new".to_owned())]);
            assert!(new.channels.is_empty());
        }
        for bad in ["", "a/b", "..", "%{type}", &"x".repeat(300)] {
            let choice = of(&[("type", bad)]);
            assert_eq!((choice.nowhere.len(), choice.unopened.len()), (1, 0), "{bad}");
            assert!(choice.nowhere[0].1.contains("cannot be one"), "{:?}", choice.nowhere);
        }
        // Values are told apart, wherever one ends.
        assert_eq!(of(&[("type", "b1:x")]).nowhere.len(), 1);
        assert_eq!(of(&[("type", "b"), ("key", "x")]).channels, [1]);
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
        // A topic may get one of that number.
        let bad = [("x", None), (" 1", None), ("-1", None), ("5", Some(5)), ("", None)];
        for (value, number) in bad.into_iter().chain([("99999999999", None)]) {
            let place = without.place(0, &headers(&[("part", value), ("key", "a")]), 5);
            let is_it = matches!(place, Place::None { named, .. } if named == number);
            assert!(is_it, "{value}: {place:?}");
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
        let of = |pairs: &[(&str, &str)]| router.choose(&headers(pairs)).channels.clone();
        assert_eq!(of(&[("type", "A")]), [1, 2]);
        assert_eq!(of(&[("type", "B")]), [] as [usize; 0]);
        assert_eq!(of(&[("type", "a")]), [0]);
        assert_eq!(of(&[]), [0]);
    }
}
