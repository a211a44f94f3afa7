//! Topics that events name, by a header or by escapes in the sink's topic.
//!
//! Which topics there are is known from the configuration where it says the values of these headers
//! (`static` interceptors, headers of file groups): each topic is a destination of its own then, with its
//! own place in the checkpoint, and an event is for that whose topic it names. Where the lines or the
//! time make the name, one destination stands for all of them, and the pipeline opens each topic when
//! an event names it.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::is_topic;
use super::diagnostics::Diagnostics;
use super::model::{
    BYTE_OFFSET, Destination, InterceptorConfig, RecordRule, Selector, SourceConfig, TopicRule,
};
use super::section::Section;
use super::template::TIMESTAMP;
use crate::clock::LocalTime;

/// So many topics a source writes to at a time, all channels together.
pub const TOPICS_MAX: usize = 1_000;

/// Makes destinations of the topics that events of a source name.
pub(super) fn expand(
    section: &Section,
    source: &mut SourceConfig,
    destinations: &mut Vec<Destination>,
    found: &mut Diagnostics,
) {
    let headers = Headers::of(source);
    // What becomes of each place.
    let mut places: Vec<Vec<usize>> = Vec::with_capacity(source.destinations.len());
    for &at in &source.destinations {
        let Some(rule) = destinations.get(at).and_then(|d| d.topic_rule.clone()) else {
            places.push(vec![at]);
            continue;
        };
        places.push(match headers.topics(&rule) {
            Known::Topics(topics) => {
                destinations_of(section, at, &rule, &topics, destinations, found)
            }
            Known::Header(header) => open(section, at, rule, &header, destinations, found),
            Known::NoTime => {
                let message = "its date is made of the header timestamp, which no event of this source \
                               has; add a timestamp interceptor";
                section.error(found, "interceptors", message);
                vec![at]
            }
        });
    }
    renumber(&mut source.selector, &places);
    source.optional = renumbered(&source.optional, &places);
    source.destinations = places.concat();
}

/// A selector names places, of which some have become several.
fn renumber(selector: &mut Selector, places: &[Vec<usize>]) {
    let Selector::Multiplexing { mapping, default, .. } = selector else { return };
    *default = renumbered(default, places);
    mapping.iter_mut().for_each(|(_, list)| *list = renumbered(list, places));
}

fn renumbered(list: &[usize], places: &[Vec<usize>]) -> Vec<usize> {
    let first = |place: usize| places[..place].iter().map(Vec::len).sum::<usize>();
    list.iter().flat_map(|&place| first(place)..first(place) + places[place].len()).collect()
}

/// Nobody knows yet which topics there will be.
fn open(
    section: &Section,
    at: usize,
    rule: TopicRule,
    header: &str,
    destinations: &mut Vec<Destination>,
    found: &mut Diagnostics,
) -> Vec<usize> {
    let base = destinations[at].clone();
    found.info(format!(
        "source {}: the header {header} chooses topics in channel {} ({}): each is opened when an event \
         names it, {TOPICS_MAX} at a time",
        section.name, base.name, base.topic
    ));
    let rule = RecordRule { topic: Some(TopicRule { is_open: true, ..rule }), ..base.rule.clone() };
    vec![place_of(Destination { rule, base: Some(at), ..base }, destinations)]
}

/// Where a destination is, which may be that of another source, too.
fn place_of(made: Destination, destinations: &mut Vec<Destination>) -> usize {
    let known = destinations.iter().position(|known| *known == made);
    known.unwrap_or_else(|| {
        destinations.push(made);
        destinations.len() - 1
    })
}

fn destinations_of(
    section: &Section,
    at: usize,
    rule: &TopicRule,
    topics: &[String],
    destinations: &mut Vec<Destination>,
    found: &mut Diagnostics,
) -> Vec<usize> {
    if let Some(bad) = topics.iter().find(|topic| !is_topic(topic)) {
        let message = format!(
            "events of this source would go to the topic \"{bad}\", which cannot be one; use letters a-z, \
             digits, '.', '_' and '-'"
        );
        section.error(found, "interceptors", message);
        return vec![at];
    }
    if topics.len() > TOPICS_MAX {
        section.error(found, "interceptors", format!("more than {TOPICS_MAX} topics are named"));
        return vec![at];
    }
    // All events have the same one: nothing has to be asked of any.
    let chooses = topics.len() > 1;
    if !chooses && topics[0] == destinations[at].topic {
        return vec![at];
    }
    found.info(format!(
        "source {}: its events name the topics {}",
        section.name,
        topics.join(", ")
    ));
    let base = destinations[at].clone();
    let make = |topic: &String| {
        let topic_rule = chooses.then(|| rule.clone());
        let rule = RecordRule { topic: topic_rule, ..base.rule.clone() };
        Destination { rule, base: Some(at), ..base.for_topic(&base.name, topic) }
    };
    topics.iter().map(|topic| place_of(make(topic), destinations)).collect()
}

/// What the configuration tells of the topics of a rule.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Topics(Vec<String>),
    /// The values of that header are known by no configuration.
    Header(String),
    /// A time is a part of them, and no event has one.
    NoTime,
}

/// What is known of the headers that events of a source have.
struct Headers {
    /// Those with known values, for each kind of file.
    kinds: Vec<BTreeMap<String, String>>,
    /// Those whose values are known by no configuration.
    open: BTreeSet<String>,
}

impl Headers {
    fn of(source: &SourceConfig) -> Headers {
        let of_file = source.file_header.iter().chain(&source.basename_header).cloned();
        let mut open: BTreeSet<String> = of_file.collect();
        let mut kinds = Vec::new();
        if let Some(tail) = source.kind.tail() {
            kinds =
                tail.groups.iter().map(|group| group.headers.iter().cloned().collect()).collect();
            if tail.byte_offset_header {
                open.insert(BYTE_OFFSET.to_owned());
            }
        }
        if kinds.is_empty() {
            kinds.push(BTreeMap::new());
        }
        let mut headers = Headers { kinds, open };
        source.interceptors.iter().for_each(|interceptor| headers.take(interceptor));
        headers
    }

    fn take(&mut self, interceptor: &InterceptorConfig) {
        match interceptor {
            InterceptorConfig::Static { key, value, preserve_existing } => {
                let keeps = *preserve_existing;
                if !keeps {
                    self.open.remove(key);
                }
                for kind in &mut self.kinds {
                    if !keeps || !kind.contains_key(key) {
                        kind.insert(key.clone(), value.clone());
                    }
                }
            }
            InterceptorConfig::Timestamp { header, .. }
            | InterceptorConfig::Host { header, .. }
            | InterceptorConfig::Uuid { header, .. } => {
                self.open.insert(header.clone());
            }
            InterceptorConfig::RegexExtractor { serializers, .. } => {
                self.open.extend(serializers.iter().map(|serializer| serializer.header.clone()));
            }
            InterceptorConfig::RemoveHeader { names, matching } => {
                let is_removed = |header: &String| {
                    let matches = |p: &crate::java::pattern::Pattern| {
                        p.full_match(header.as_bytes()).unwrap_or(false)
                    };
                    names.contains(header) || matching.as_ref().is_some_and(matches)
                };
                self.open.retain(|header| !is_removed(header));
                self.kinds.iter_mut().for_each(|kind| kind.retain(|header, _| !is_removed(header)));
            }
            InterceptorConfig::RegexFilter { .. }
            | InterceptorConfig::SearchReplace { .. }
            | InterceptorConfig::JsonFilter => {}
        }
    }

    fn topics(&self, rule: &TopicRule) -> Known {
        let has_time = |kind: &BTreeMap<String, String>| kind.contains_key(TIMESTAMP);
        if rule.template.has_time()
            && !self.open.contains(TIMESTAMP)
            && !self.kinds.iter().any(has_time)
        {
            return Known::NoTime;
        }
        if let Some(open) = rule.names().find(|name| self.open.contains(*name)) {
            return Known::Header(open.to_owned());
        }
        if rule.template.has_time() {
            return Known::Header(TIMESTAMP.to_owned());
        }
        let mut topics: Vec<String> = Vec::new();
        for kind in &self.kinds {
            let header = |header: &str| kind.get(header).map(String::as_str);
            // No time is asked for.
            let no_time = |ms| LocalTime::new(ms, 0, "");
            let topic = rule.topic(header, no_time).unwrap_or_default();
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        Known::Topics(topics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Template;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn topics_are_those_that_the_kinds_of_files_name() {
        let template = Template::parse("logs-%{dc}").unwrap();
        let rule = TopicRule { header: Some("topic".to_owned()), template, is_open: false };
        let named = |topics: &[&str]| Known::Topics(topics.iter().map(|&t| t.to_owned()).collect());
        let kinds =
            vec![map(&[("topic", "a")]), map(&[("dc", "zh")]), map(&[("topic", "a"), ("dc", "x")])];
        let mut headers = Headers { kinds, open: BTreeSet::new() };
        assert_eq!(headers.topics(&rule), named(&["a", "logs-zh"]));
        let fixed = |preserve_existing| InterceptorConfig::Static {
            key: "topic".to_owned(),
            value: "b".to_owned(),
            preserve_existing,
        };
        headers.take(&fixed(true));
        assert_eq!(headers.topics(&rule), named(&["a", "b"]));
        headers.take(&InterceptorConfig::Host {
            use_ip: false,
            header: "topic".to_owned(),
            preserve_existing: false,
        });
        assert_eq!(headers.topics(&rule), Known::Header("topic".to_owned()));
        headers.take(&fixed(false));
        assert_eq!(headers.topics(&rule), named(&["b"]));
        let names = vec!["topic".to_owned()];
        headers.take(&InterceptorConfig::RemoveHeader { names, matching: None });
        assert_eq!(headers.topics(&rule), named(&["logs-", "logs-zh", "logs-x"]));
        let rule = TopicRule { template: Template::parse("logs-%Y").unwrap(), ..rule };
        assert_eq!(headers.topics(&rule), Known::NoTime);
        headers.take(&InterceptorConfig::Timestamp {
            header: "timestamp".to_owned(),
            preserve_existing: false,
        });
        assert_eq!(headers.topics(&rule), Known::Header("timestamp".to_owned()));
    }

    #[test]
    fn a_selector_names_all_topics_of_a_channel() {
        let mapping = vec![("A".to_owned(), vec![1]), ("B".to_owned(), vec![0, 2])];
        let header = "h".to_owned();
        let mut selector = Selector::Multiplexing { header, mapping, default: vec![2] };
        renumber(&mut selector, &[vec![0], vec![1, 3], vec![2]]);
        let Selector::Multiplexing { mapping, default, .. } = selector else { panic!("it stays") };
        assert_eq!(mapping[0].1, [1, 2]);
        assert_eq!((&mapping[1].1[..], &default[..]), (&[0, 3][..], &[3][..]));
    }
}
