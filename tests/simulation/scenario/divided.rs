//! Events that are divided among topics, by what stands in their lines; and a channel that may miss some.

use flume_ng::config::model::{KeyPartitioner, RecordRule, Selector, Template, TopicRule};

use super::{DAY_MS, Scenario};
use crate::cluster::Version;

/// The header that divides.
pub const HEADER: &str = "pick";

/// How events are divided. What decides is the first digit behind the first `n` of a line, where that is
/// less than 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Division {
    /// Each is for every channel.
    None,
    /// The line names its topic, which is opened when that comes up.
    Topics,
    /// A selector: 0 is for the first of two channels, 1 for both, 2 for none, all others for the second.
    Selector,
    /// Each goes to both channels, and the second is optional.
    Optional,
    /// As `Topics`, of a channel that is optional.
    OptionalTopics,
    /// The first digit behind the first `n` is the partition.
    Partitions,
}

impl Division {
    /// Is an event with this body for that cluster?
    pub fn is_for(self, cluster: usize, body: &[u8]) -> bool {
        match (self, pick(body)) {
            (Division::None | Division::Optional | Division::Partitions, _) => true,
            (Division::Topics | Division::OptionalTopics, pick) => {
                cluster == pick.map_or(0, |pick| pick + 1)
            }
            (Division::Selector, Some(0)) => cluster == 0,
            (Division::Selector, Some(1)) => true,
            (Division::Selector, Some(_)) => false,
            (Division::Selector, None) => cluster == 1,
        }
    }

    /// Has it to be there in the end?
    pub fn requires(self, cluster: usize, body: &[u8]) -> bool {
        self.is_for(cluster, body) && !self.is_optional(cluster)
    }

    /// May events go without that cluster?
    pub fn is_optional(self, cluster: usize) -> bool {
        self == Division::OptionalTopics || self == Division::Optional && cluster == 1
    }

    /// Places of optional channels.
    pub(super) fn optional(self) -> Vec<usize> {
        match self {
            Division::Optional => vec![1],
            Division::OptionalTopics => vec![0],
            _ => Vec::new(),
        }
    }

    /// Do lines name their topics?
    pub(super) fn names_topics(self) -> bool {
        matches!(self, Division::Topics | Division::OptionalTopics)
    }

    pub(super) fn clusters(self, channels: usize) -> usize {
        if self.names_topics() { 4 } else { channels }
    }

    /// The topic of that cluster.
    pub(super) fn cluster(self, at: usize) -> String {
        match (self.names_topics(), at) {
            (true, 0) => "t".to_owned(),
            (true, _) => format!("t{}", at - 1),
            (false, _) => format!("t{at}"),
        }
    }

    /// As the channel has it.
    pub(super) fn topic(self, at: usize) -> String {
        match self.topic_rule() {
            Some(rule) => rule.template.as_str().to_owned(),
            None => format!("t{at}"),
        }
    }

    pub(super) fn topic_rule(self) -> Option<TopicRule> {
        let template = || Template::parse(&format!("t%{{{HEADER}}}")).expect("a template");
        self.names_topics().then(|| TopicRule { header: None, template: template(), is_open: true })
    }

    pub(super) fn selector(self) -> Selector {
        match self {
            Division::None
            | Division::Topics
            | Division::Optional
            | Division::OptionalTopics
            | Division::Partitions => Selector::Replicating,
            Division::Selector => Selector::Multiplexing {
                header: HEADER.to_owned(),
                mapping: [vec![0], vec![0, 1], vec![]]
                    .into_iter()
                    .enumerate()
                    .map(|(value, channels)| (value.to_string(), channels))
                    .collect(),
                default: vec![1],
            },
        }
    }

    pub(super) fn pattern(self) -> &'static str {
        match self {
            Division::None | Division::Optional | Division::Partitions => {
                "([a-z]+)([0-9]+)n([0-9])?"
            }
            Division::Topics | Division::OptionalTopics | Division::Selector => {
                "([a-z]+)([0-9]+)n(([0-2])|[0-9])?"
            }
        }
    }
}

impl Scenario {
    pub(super) fn record_rule(&self) -> RecordRule {
        let names_partition = self.division == Division::Partitions;
        RecordRule {
            key: self.has_keys.then_some(KeyPartitioner::Murmur2),
            topic: self.division.topic_rule(),
            partition_header: names_partition.then(|| "key".to_owned()),
            ..RecordRule::default()
        }
    }

    /// Of some seeds events have keys, or are divided: by the seed alone, which leaves all draws as they are.
    pub fn divided(self, seed: u64) -> Scenario {
        let (division, has_keys) = match seed % 20 {
            _ if self.loses_tracker => return self,
            1 | 6 | 11 | 16 => (Division::None, true),
            3 | 13 => (Division::Topics, false),
            7 | 17 => (Division::Topics, true),
            5 => (Division::Selector, false),
            9 => (Division::Selector, true),
            15 => (Division::Optional, false),
            19 => (Division::Optional, true),
            _ => return self,
        };
        let channels = match division {
            Division::None => self.channels,
            Division::Topics | Division::OptionalTopics | Division::Partitions => 1,
            Division::Selector | Division::Optional => 2,
        };
        let is_slow = self.version == Version::V011 && division != Division::None;
        Scenario {
            division,
            has_keys,
            channels,
            has_headers: true,
            has_filter: true,
            // As with several channels.
            expiry_ms: if is_slow { self.expiry_ms.max(DAY_MS) } else { self.expiry_ms },
            ..self
        }
    }
}

/// What the header says of this body, as the pattern finds it.
fn pick(body: &[u8]) -> Option<usize> {
    let run = |from: usize, is_of: fn(&u8) -> bool| {
        body[from..].iter().position(|byte| !is_of(byte)).map_or(body.len(), |end| from + end)
    };
    let behind = (0..body.len()).find_map(|at| {
        let word = run(at, u8::is_ascii_lowercase);
        let number = run(word, u8::is_ascii_digit);
        let is_found = at < word && word < number && body.get(number) == Some(&b'n');
        is_found.then_some(number + 1)
    })?;
    let digit = body.get(behind)?;
    (b'0'..=b'2').contains(digit).then(|| usize::from(digit - b'0'))
}

#[test]
fn a_line_is_for_the_topic_that_its_number_names() {
    let of =
        |body: &str| (0..4).filter(|at| Division::Topics.is_for(*at, body.as_bytes())).collect();
    let rows =
        [("g12n05:x", 1), ("g1n25:x~25", 3), ("g1n9:x", 0), ("5:xxx", 0), ("g1n", 0), ("", 0)];
    for (body, topic) in rows {
        let found: Vec<usize> = of(body);
        assert_eq!(found, [topic], "{body}");
    }
}
