//! Which topic an event of a file is for, where headers choose it: a selector, or topics that events name.
//!
//! It is worked out anew by the agent's own rule ([`Router`]) from what the configuration says. What is chosen
//! by a value that was drawn or measured when the event was read is not known here, and is refused in words.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::SystemClock;
use crate::config::model::{Destination, SourceConfig};
use crate::event::HeaderMap;
use crate::pipeline::{Choice, Router};
use crate::source::headers;
use crate::source::interceptor::{self, Interceptor, Origin};

/// How a source divides its events.
pub(super) struct Division {
    router: Router,
    destinations: Vec<Rc<Destination>>,
    chain: Arc<[Interceptor]>,
}

impl Division {
    /// `None`: each event is for every channel.
    ///
    /// # Errors
    /// What chooses is not known any more; in words.
    pub(super) fn of(
        source: &SourceConfig,
        destinations: &[Destination],
        chain: &Arc<[Interceptor]>,
    ) -> Result<Option<Division>, String> {
        let own = source.destinations.iter().map(|at| Rc::new(destinations[*at].clone()));
        let own: Vec<Rc<Destination>> = own.collect();
        let Some(router) = Router::new(source, &own, chain, Rc::new(SystemClock::new())) else {
            return Ok(None);
        };
        if router.choosing().is_empty() {
            return Ok(None);
        }
        let passing = source.passing_headers();
        match router.choosing().iter().find(|header| passing.contains(&header.as_str())) {
            Some(header) => Err(format!(
                "chooses topics or channels by the header {header}, whose values are those of the moment or the \
                 place of reading: verify cannot tell which topic an event went to"
            )),
            None => Ok(Some(Division { router, destinations: own, chain: chain.clone() })),
        }
    }

    /// The place among the source's destinations of the channel that writes to that topic.
    pub(super) fn place_of(&self, channel: &Destination) -> Option<usize> {
        let own = || self.destinations.iter();
        let is_it = |d: &Rc<Destination>| d.name == channel.name && d.topic == channel.topic;
        let of_topic = |d: &Rc<Destination>| d.topic == channel.topic;
        let of_channel = |d: &Rc<Destination>| {
            d.is_on_demand() && channel_of(&d.name) == channel_of(&channel.name)
        };
        own()
            .position(is_it)
            .or_else(|| own().position(of_channel))
            .or_else(|| own().position(of_topic))
    }

    /// Tells the events of a file.
    pub(super) fn of_file(&self, source: &SourceConfig, name: &OsStr) -> Sorter<'_> {
        let of_file = headers::of_file(source, name);
        let is_per_event = interceptor::is_per_event(&self.chain);
        let same = (!is_per_event).then(|| {
            let headers = interceptor::headers(&self.chain, of_file.clone(), 0);
            self.router.choose(&headers)
        });
        Sorter { division: self, of_file, same }
    }

    /// That topic of the channel at `place`.
    pub(super) fn destination(&self, place: usize, topic: &str) -> Destination {
        let channel = &self.destinations[place];
        match channel.topic == topic {
            true => Destination::clone(channel),
            false => channel.for_topic(&channel.name, topic),
        }
    }
}

/// The channel that a destination is of, by its name.
pub(super) fn channel_of(name: &str) -> &str {
    name.split_once(':').map_or(name, |(channel, _)| channel)
}

/// The events of one file.
pub(super) struct Sorter<'a> {
    division: &'a Division,
    of_file: HeaderMap,
    /// Where all of its events are for the same.
    same: Option<Rc<Choice>>,
}

impl Sorter<'_> {
    fn choice(&self, body: &[u8]) -> Rc<Choice> {
        if let Some(same) = &self.same {
            return same.clone();
        }
        let mut headers = self.of_file.clone();
        // What is filtered out was so before.
        interceptor::shape(&self.division.chain, &mut headers, body, Origin::default());
        self.division.router.choose(&headers)
    }

    /// Hands the places and topics of an event to `visit`. `false`: it can go nowhere, and is a dead letter.
    pub(super) fn each_topic(&self, body: &[u8], visit: &mut dyn FnMut(usize, &str)) -> bool {
        let choice = self.choice(body);
        if !choice.nowhere.is_empty() {
            return false;
        }
        for &place in &choice.channels {
            visit(place, &self.division.destinations[place].topic);
        }
        choice.unopened.iter().for_each(|(place, topic)| visit(*place, topic));
        true
    }
}

/// Those events of a file that are for one topic.
pub(super) struct Sieve<'a> {
    sorter: Option<(Sorter<'a>, usize, String)>,
    /// Where events end that are dead letters since they can go nowhere.
    strays: HashSet<u64>,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(
        sorter: Option<(Sorter<'a>, usize, String)>,
        strays: HashSet<u64>,
    ) -> Sieve<'a> {
        Sieve { sorter, strays }
    }

    /// Is the event with that body, which ends at `end`, one of them?
    pub(super) fn takes(&self, body: &[u8], end: u64) -> bool {
        if self.strays.contains(&end) {
            return false;
        }
        let Some((sorter, place, topic)) = &self.sorter else { return true };
        let mut is_it = false;
        sorter.each_topic(body, &mut |at, to| is_it |= at == *place && to == topic);
        is_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::AgentConfig;

    const CONF: &str = "a1.sources = r1\na1.channels = c1 c2\na1.sinks = k1 k2\n\
        a1.sources.r1.type = spooltail\na1.sources.r1.spoolDir = /logs\na1.sources.r1.channels = c1 c2\n\
        a1.channels.c1.type = memory\na1.channels.c2.type = memory\n\
        a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
        a1.sinks.k1.kafka.bootstrap.servers = h:1\na1.sinks.k1.kafka.topic = t\n\
        a1.sinks.k2.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k2.channel = c2\n\
        a1.sinks.k2.kafka.bootstrap.servers = h:1\na1.sources.r1.interceptors = i1 i2\n\
        a1.sources.r1.interceptors.i1.type = regex_extractor\n\
        a1.sources.r1.interceptors.i1.regex = ^(\\\\S+) (\\\\S+)\n\
        a1.sources.r1.interceptors.i1.serializers = a b\n\
        a1.sources.r1.interceptors.i1.serializers.a.name = kind\n\
        a1.sources.r1.interceptors.i1.serializers.b.name = level\n\
        a1.sources.r1.interceptors.i2.type = timestamp\n\
        a1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.header = kind\n\
        a1.sources.r1.selector.mapping.one = c1\na1.sources.r1.selector.mapping.both = c1 c2\n\
        a1.sources.r1.selector.mapping.two = c2\n";

    fn load(name: &str, topic: &str) -> AgentConfig {
        let path = std::env::temp_dir().join(format!("flume-ng-{name}-{}", std::process::id()));
        std::fs::write(&path, format!("{CONF}a1.sinks.k2.kafka.topic = {topic}\n")).unwrap();
        let loaded = crate::config::load(&path, "a1");
        std::fs::remove_file(&path).unwrap();
        loaded.unwrap().config
    }

    fn division(config: &AgentConfig) -> Result<Option<Division>, String> {
        let source = &config.sources[0];
        Division::of(source, &config.destinations, &interceptor::build(&source.interceptors))
    }

    #[test]
    fn an_event_is_expected_where_the_agent_sends_it() {
        let config = load("divide", "log-%{level}");
        let division = division(&config).unwrap().unwrap();
        let sorter = division.of_file(&config.sources[0], OsStr::new("f"));
        let topics = |body: &str| {
            let mut topics = Vec::new();
            let may_be = sorter.each_topic(body.as_bytes(), &mut |place, topic| {
                topics.push((place, topic.to_owned()));
            });
            may_be.then_some(topics)
        };
        let at = |place: usize, topic: &str| (place, topic.to_owned());
        assert_eq!(topics("one x y"), Some(vec![at(0, "t")]));
        assert_eq!(topics("both info y"), Some(vec![at(0, "t"), at(1, "log-info")]));
        assert_eq!(topics("other info y"), Some(vec![]));
        assert_eq!(topics("two a/b y"), None);
        let info = division.destination(1, "log-info");
        assert_eq!((info.name.as_str(), division.place_of(&info)), ("c2:log-info", Some(1)));
        let of_info = division.of_file(&config.sources[0], OsStr::new("f"));
        let sieve = Sieve::new(Some((of_info, 1, "log-info".to_owned())), HashSet::from([7]));
        assert!(sieve.takes(b"both info y", 9) && !sieve.takes(b"both info y", 7));
        assert!(!sieve.takes(b"one info y", 9) && !sieve.takes(b"both warn y", 9));
    }

    #[test]
    fn what_the_moment_of_reading_has_chosen_is_not_known() {
        let why = division(&load("dated", "log-%Y%m%d")).err().expect("refused");
        assert!(why.contains("by the header timestamp"), "{why}");
    }
}
