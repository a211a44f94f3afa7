//! Which topics are to be read, and which files were sent to each.

use std::collections::HashSet;

use super::Origin;
use super::content::Survey;
use super::divide::channel_of;
use super::inventory::Subject;
use super::letters::Letters;
use super::report::Report;
use crate::checkpoint::receipt::ReceiptRange;
use crate::config::model::{AgentConfig, Destination, SourceConfig};
use crate::text::counted;

/// A topic, and the files that were sent to it.
pub(super) struct Target {
    /// The channel of the configuration, with the topic that was written to.
    pub channel: Destination,
    /// It is so for each source whose files were sent there.
    pub is_optional: bool,
    /// Indices of subjects, and their ranges in this topic.
    pub files: Vec<(usize, Vec<ReceiptRange>)>,
}

/// Sorts the files by topic. A file whose ranges name no channel that still exists cannot be
/// verified there, and is told.
pub(super) fn targets(
    config: &AgentConfig,
    origins: &[Origin<'_>],
    (subjects, surveys): (&[Subject], &[Survey]),
    letters: &[Letters],
    report: &mut Report,
) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for (at, subject) in subjects.iter().enumerate() {
        let channels = &config.sources[subject.origin].destinations;
        let channels: Vec<&Destination> =
            channels.iter().map(|c| &config.destinations[*c]).collect();
        let mut left: Vec<&ReceiptRange> = Vec::new();
        for range in &subject.ranges {
            let by_name = channels.iter().find(|c| c.name == range.channel && !c.is_on_demand());
            let by_topic = || channels.iter().find(|c| c.topic == range.topic);
            let of_channel = |c: &&&Destination| {
                c.is_on_demand() && channel_of(&c.name) == channel_of(&range.channel)
            };
            if let Some(channel) = by_name.or_else(by_topic) {
                add(&mut targets, channel, at, Some(range));
            } else if let Some(channel) = channels.iter().find(of_channel) {
                let channel = channel.for_topic(&channel.name, &range.topic);
                add(&mut targets, &channel, at, Some(range));
            } else {
                left.push(range);
            }
        }
        if let (Some(range), true) = (left.first(), subject.is_selected) {
            report.problems.push(format!(
                "{}: it was sent to topic {} by channel {}, which the configuration does not have",
                subject.label, range.topic, range.channel
            ));
        }
        if let Some(division) = &origins[subject.origin].division {
            // Also where nothing of it was recorded.
            for (place, topic) in surveys[at].topics.keys() {
                add(&mut targets, &division.destination(*place, topic), at, None);
            }
        } else {
            // A topic that has refused all of a file has no range of it. One of a channel that was added
            // since has no letter of it either.
            let refused = letters[subject.origin].topics(subject);
            let is_asked =
                |c: &&&Destination| subject.ranges.is_empty() || refused.contains(c.topic.as_str());
            channels.iter().filter(is_asked).for_each(|c| add(&mut targets, c, at, None));
        }
    }
    report.remarks.extend(missed(config, origins, subjects, &targets));
    targets.retain(|target| target.files.iter().any(|(at, _)| subjects[*at].is_selected));
    for target in &mut targets {
        let mut sources = target.files.iter().map(|(at, _)| &config.sources[subjects[*at].origin]);
        target.is_optional = sources.all(|source| is_optional(config, source, &target.channel));
    }
    targets
}

/// Does nothing wait for the channel of that topic?
fn is_optional(config: &AgentConfig, source: &SourceConfig, topic: &Destination) -> bool {
    let mut optional = source.optional.iter().map(|place| source.destinations[*place]);
    let is_it = |own: &Destination| {
        own.name == topic.name
            || own.is_on_demand() && channel_of(&own.name) == channel_of(&topic.name)
    };
    optional.any(|at| is_it(&config.destinations[at]))
}

/// What is to be said of optional channels that have nothing of some files: they may lack it, or were added
/// since, so it is not looked for.
fn missed(
    config: &AgentConfig,
    origins: &[Origin<'_>],
    subjects: &[Subject],
    targets: &[Target],
) -> Vec<String> {
    let mut remarks = Vec::new();
    for (origin, source) in config.sources.iter().enumerate() {
        // Where headers choose, every event is expected where it is for.
        let optional = source.optional.iter().filter(|_| origins[origin].division.is_none());
        for place in optional {
            let Destination { name, topic, .. } = &config.destinations[source.destinations[*place]];
            let of_it =
                targets.iter().filter(|t| (&t.channel.name, &t.channel.topic) == (name, topic));
            let there: HashSet<usize> =
                of_it.flat_map(|target| target.files.iter().map(|(at, _)| *at)).collect();
            let is_missed = |(at, subject): &(usize, &Subject)| {
                subject.origin == origin && subject.is_selected && !there.contains(at)
            };
            let files = subjects.iter().enumerate().filter(is_missed).count() as u64;
            if files > 0 {
                remarks.push(format!(
                    "topic {topic} of the optional channel {name}: nothing of {} is recorded, and it was \
                     not looked for",
                    counted(files, "file")
                ));
            }
        }
    }
    remarks
}

fn add(
    targets: &mut Vec<Target>,
    channel: &Destination,
    subject: usize,
    range: Option<&ReceiptRange>,
) {
    let topic = range.map_or(&channel.topic, |range| &range.topic);
    let is_it = |t: &Target| t.channel.name == channel.name && t.channel.topic == *topic;
    let place = targets.iter().position(is_it).unwrap_or_else(|| {
        let channel = Destination { topic: topic.clone(), ..channel.clone() };
        targets.push(Target { channel, is_optional: false, files: Vec::new() });
        targets.len() - 1
    });
    let files = &mut targets[place].files;
    // Subjects come one after the other.
    if files.last().is_none_or(|(at, _)| *at != subject) {
        files.push((subject, Vec::new()));
    }
    if let (Some((_, ranges)), Some(range)) = (files.last_mut(), range) {
        ranges.push(range.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::command::verify::inventory::{Bytes, Claim, Extent, State};
    use crate::source::interceptor;

    /// Two channels that get each event, and a tracker directory.
    fn two_channels(dir: &Path, more: &str) -> AgentConfig {
        let channel = |name: &str| {
            format!(
                "a1.channels.{name}.type = org.apache.flume.channel.kafka.KafkaChannel\n\
                 a1.channels.{name}.kafka.bootstrap.servers = h:1\n\
                 a1.channels.{name}.kafka.topic = topic-{name}\n"
            )
        };
        let text = format!(
            "a1.sources = r1\na1.channels = c1 c2\na1.sources.r1.type = spooltail\n\
             a1.sources.r1.spoolDir = /logs\na1.sources.r1.trackerDir = {}\n\
             a1.sources.r1.channels = c1 c2\n{}{}{more}",
            dir.display(),
            channel("c1"),
            channel("c2")
        );
        let path = dir.join("x.conf");
        fs::write(&path, text).unwrap();
        crate::config::load(&path, "a1").unwrap().config
    }

    fn finished(name: &str, finished_ms: i64) -> Subject {
        let range = ReceiptRange {
            channel: "c1".to_owned(),
            topic: "topic-c1".to_owned(),
            ..ReceiptRange::default()
        };
        Subject {
            origin: 0,
            name: name.into(),
            label: name.to_owned(),
            state: State::Finished,
            is_selected: true,
            bytes: Bytes::Gone,
            extent: Extent::default(),
            claim: Claim::default(),
            java_offset: None,
            opened_ms: 0,
            finished_ms: Some(finished_ms),
            ranges: vec![range],
        }
    }

    /// The topics that are asked for each file, and the remarks, with these lines more in the configuration.
    fn asked(
        label: &str,
        more: &str,
        letters: &str,
        subjects: &[Subject],
    ) -> (Vec<Vec<String>>, Vec<String>) {
        let dir = std::env::temp_dir().join(format!("flume-ng-{label}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("dead-letter"), letters).unwrap();
        let config = two_channels(&dir, more);
        let source = &config.sources[0];
        let chain = interceptor::build(&source.interceptors);
        let origins = [Origin { config: source, chain, cuts: Vec::new(), division: None }];
        let mut report = Report::default();
        let letters = [Letters::read(&origins[0], &mut report.remarks)];
        let surveys = vec![Survey::default(); subjects.len()];
        let found = targets(&config, &origins, (subjects, &surveys), &letters, &mut report);
        fs::remove_dir_all(&dir).unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
        let of_file = |at| {
            let has = |target: &&Target| target.files.iter().any(|(file, _)| *file == at);
            found.iter().filter(has).map(|target| target.channel.topic.clone()).collect()
        };
        ((0..subjects.len()).map(of_file).collect(), report.remarks)
    }

    /// It has ranges in the other one only.
    #[test]
    fn a_topic_that_refused_all_of_a_file_is_asked_for_it() {
        let letter = |state: &str, partition: i32, file: &str| {
            format!(
                "{state}=5000 topic=topic-c2 partition={partition} file={file} start=0 end=2 bytes=1 \
                 reason=large\nx\n"
            )
        };
        let letters = [
            letter("time", 0, "refused"),
            letter("sent", 0, "sent"),
            letter("drop", 0, "dropped"),
            letter("time", -1, "a-line-too-long"),
            letter("time", 0, "before-the-channel-was-added"),
        ];
        let names = ["refused", "sent", "dropped", "a-line-too-long", "without-letters"]
            .map(|n| (n, 6_000));
        let subjects = [&names[..], &[("before-the-channel-was-added", -6_000_000)]].concat();
        let subjects: Vec<Subject> =
            subjects.into_iter().map(|(name, finished_ms)| finished(name, finished_ms)).collect();
        let (both, first) = (vec!["topic-c1", "topic-c2"], vec!["topic-c1"]);
        let expected = [&both, &both, &both, &first, &first, &first];
        let (topics, remarks) = asked("targets", "", &letters.concat(), &subjects);
        assert_eq!(topics, expected.map(Vec::clone));
        assert!(remarks.is_empty(), "{remarks:?}");
    }

    #[test]
    fn what_an_optional_channel_has_missed_is_said() {
        let subjects = ["a", "b"].map(|name| finished(name, 6_000));
        let optional = "a1.sources.r1.selector.optional = c2\n";
        let (topics, remarks) = asked("missed", optional, "", &subjects);
        assert_eq!(topics, [["topic-c1"], ["topic-c1"]]);
        assert!(remarks[0].contains("topic-c2 of the optional channel c2: nothing of 2 files"));
        assert_eq!(remarks.len(), 1, "{remarks:?}");
    }

    #[test]
    fn a_channel_that_one_source_waits_for_is_not_optional() {
        let dir = std::env::temp_dir().join(format!("flume-ng-waited-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let config = two_channels(&dir, "a1.sources.r1.selector.optional = c2\n");
        let source = &config.sources[0];
        let of = |at: usize| is_optional(&config, source, &config.destinations[at]);
        assert_eq!((of(0), of(1)), (false, true));
        fs::remove_dir_all(&dir).unwrap();
    }
}
