//! What decides which events of a range a batch has, as a checksum: by it a configuration is known that
//! would decide otherwise.
//!
//! Only what decides the events of the very file is in it. Of the groups of a `TAILDIR` source that is the
//! headers of its own: a group that comes or goes changes nothing for the files of the others.

use std::fmt::Write as _;

use crate::clock::Clock;
use crate::config::model::{
    Destination, FileGroup, KEY_HEADER, KeyPartitioner, RecordRule, Selector, SourceConfig,
    TopicRule,
};

/// To be raised with every change of a rule: what older batches hold is not known then.
const VERSION: u32 = 1;

/// Those of one channel.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// For the files of each group.
    of_groups: Vec<u32>,
    /// For those of none.
    of_none: u32,
    /// As it was for the files of all groups, when all groups were in it.
    former: u32,
}

impl Rules {
    /// `machine` is what this machine adds to headers that choose.
    pub(super) fn of(
        config: &SourceConfig,
        destination: &Destination,
        machine: &str,
        clock: &dyn Clock,
    ) -> Rules {
        let sum = |events: &str,
                   names: &[String],
                   topic: Option<&TopicRule>,
                   group: Option<&FileGroup>| {
            let rule = RecordRule { topic: topic.cloned(), ..destination.rule.for_headers(names) };
            let mut text = format!("{VERSION}\n{events}{machine}");
            text += &of_channel(destination, &rule, clock);
            for (key, value) in group.into_iter().flat_map(|group| &group.headers) {
                if decides(key, &rule, &config.selector) {
                    // Writing to a string does not fail.
                    let _ = write!(text, "\nheader {key}={value}");
                }
            }
            crc32fast::hash(text.as_bytes())
        };
        let events = &config.event_text;
        // With the last other topic that a group names the question goes which of them an event is for.
        let topic = destination.rule.topic.clone().or_else(|| destination.topic_rule.clone());
        let of_group = |group: Option<&FileGroup>| {
            sum(&events.of_all, &config.header_names_of(group), topic.as_ref(), group)
        };
        let groups = config.kind.tail().into_iter().flat_map(|tail| &tail.groups);
        let in_force = destination.rule.topic.as_ref();
        Rules {
            of_groups: groups.map(|group| of_group(Some(group))).collect(),
            of_none: of_group(None),
            former: sum(&events.with_groups, &config.header_names(), in_force, None),
        }
    }

    /// For a file of the group at that place, or of none.
    pub(super) fn sum(&self, group: Option<usize>) -> u32 {
        group.and_then(|at| self.of_groups.get(at)).copied().unwrap_or(self.of_none)
    }

    /// Is it that of a file of this group, in the form of now or in that of before?
    pub(super) fn has(&self, group: Option<usize>, sum: u32) -> bool {
        sum == self.sum(group) || sum == self.former
    }
}

fn of_channel(destination: &Destination, rule: &RecordRule, clock: &dyn Clock) -> String {
    let mut text = format!(
        "\nchannel={}\ntopic={}\nkey={}\npartition={}\ndefault={}",
        destination.name,
        rule.topic.as_ref().map_or("", |_| &destination.topic),
        rule.key.map_or("", KeyPartitioner::name),
        rule.partition_header.as_deref().unwrap_or_default(),
        destination.default_partition.map_or(-1, i64::from),
    );
    if let Some(topic) = &rule.topic {
        let _ = write!(text, "\nrule={}", topic.text());
        if topic.template.has_time() {
            text += &zone_text(clock);
        }
    }
    text
}

/// Does this header choose the channel, the topic or the partition?
fn decides(header: &str, rule: &RecordRule, selector: &Selector) -> bool {
    let is_of_selector =
        matches!(selector, Selector::Multiplexing { header: chooses, .. } if chooses == header);
    let mut of_topic = rule.topic.iter().flat_map(TopicRule::names);
    let is_key = rule.key.is_some() && header == KEY_HEADER;
    is_of_selector
        || is_key
        || rule.partition_header.as_deref() == Some(header)
        || of_topic.any(|name| name == header)
}

/// Dates in names of topics are those of this zone, known by its offsets in winter and summer.
fn zone_text(clock: &dyn Clock) -> String {
    const HALF_YEAR_MS: i64 = 182 * 86_400_000;
    const FROM_MS: i64 = 1_577_836_800_000;
    let offset = |half: i64| clock.local(FROM_MS + half * HALF_YEAR_MS).offset_s();
    (0..32).fold(String::from("\nzone="), |text, half| text + &format!("{},", offset(half)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::{self, Loaded};

    const CONF: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = TAILDIR
a1.sources.r1.positionFile = /p/positions.json
a1.sources.r1.filegroups.f1 = /v/a/.*log
a1.sources.r1.filegroups.f2 = /v/b/.*log
a1.sources.r1.filegroups.f3 = /v/c/.*log
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = localhost:9092
a1.channels.c1.kafka.topic = t
a1.channels.c1.keyPartitioner = murmur2
";

    /// The checksum of the first channel for files of the group `f1`, and that of all groups.
    fn sums(test: &str, groups: &str, more: &str) -> (u32, u32) {
        let path = std::env::temp_dir().join(format!("flume-ng-{test}-{}", std::process::id()));
        let text = format!("{CONF}a1.sources.r1.filegroups = {groups}\n{more}");
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(&path, "a1");
        std::fs::remove_file(&path).unwrap();
        let Loaded { config, .. } = loaded.unwrap();
        let source = &config.sources[0];
        let rules = Rules::of(source, &config.destinations[0], "", &ManualClock::new(0, 0));
        let tail = source.kind.tail().unwrap();
        let f1 = tail.groups.iter().position(|group| group.name == "f1");
        (rules.sum(f1), rules.former)
    }

    #[test]
    fn groups_that_come_and_go_are_no_change_for_files_of_others() {
        let sums = |groups: &str, more: &str| sums("rules-groups", groups, more);
        let key = "a1.sources.r1.headers.f1.key = k\n";
        let (own, all) = sums("f1 f2", key);
        let (with_more, all_with_more) = sums("f1 f2 f3", key);
        assert_eq!(own, with_more);
        assert_ne!(all, all_with_more);
        // As it was written before groups were told apart.
        let text = "1\nfilegroups.f1=/v/a/.*log\nfilegroups.f2=/v/b/.*log\nfilegroups.f3=/v/c/.*log\n\
                    filegroups=f1 f2\nheaders.f1.key=k\n\nchannel=c1\ntopic=\nkey=murmur2\npartition=\n\
                    default=-1";
        assert_eq!(all, crc32fast::hash(text.as_bytes()));
        assert_eq!(own, sums("f1", key).0);
        // Headers of other groups, and those that choose nothing.
        let others =
            format!("{key}a1.sources.r1.headers.f2.key = x\na1.sources.r1.headers.f1.app = y\n");
        assert_eq!(own, sums("f1 f2", &others).0);
        // With a group whose files have keys others begin to be divided.
        let plain = sums("f1", "").0;
        assert_eq!(plain, sums("f1 f2", "a1.sources.r1.headers.f2.key = x\n").0);
        // Its own key, another rule, or an interceptor that may set one.
        assert_ne!(own, plain);
        assert_ne!(own, sums("f1", "a1.sources.r1.headers.f1.key = l\n").0);
        let hash = format!("{key}a1.channels.c1.keyPartitioner = hashCode\n");
        assert_ne!(own, sums("f1", &hash).0);
        let host = format!(
            "{key}a1.sources.r1.interceptors = i\na1.sources.r1.interceptors.i.type = host\n"
        );
        assert_ne!(own, sums("f1", &host).0);
    }

    #[test]
    fn a_topic_that_is_the_last_one_named_is_told_as_one_of_several() {
        let sums = |groups: &str, topic: &str| {
            let more = format!(
                "a1.sinks = k1\na1.channels.c1.type = memory\na1.sinks.k1.channel = c1\n\
                 a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\n\
                 a1.sinks.k1.kafka.bootstrap.servers = localhost:9092\na1.sinks.k1.kafka.topic = t\n\
                 a1.sources.r1.headers.f1.topic = {topic}\na1.sources.r1.headers.f2.topic = b\n"
            );
            sums("rules-topics", groups, &more)
        };
        let ((one, all_of_one), (several, all_of_several)) = (sums("f1", "a"), sums("f1 f2", "a"));
        assert_eq!(one, several);
        assert_ne!(all_of_one, all_of_several);
        assert_ne!(one, sums("f1", "c").0);
    }

    #[test]
    fn a_batch_of_before_is_known_as_long_as_no_group_has_changed() {
        let rules = Rules { of_groups: vec![1, 2], of_none: 3, former: 9 };
        assert!(rules.has(Some(0), 1) && rules.has(Some(1), 2) && rules.has(None, 3));
        assert!(!rules.has(Some(0), 2) && !rules.has(None, 1));
        assert!(rules.has(Some(0), 9) && rules.has(None, 9));
    }
}
