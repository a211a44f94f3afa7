//! Which topics are to be read, and which files were sent to each.

use super::Origin;
use super::content::Survey;
use super::divide::channel_of;
use super::inventory::Subject;
use super::report::Report;
use crate::checkpoint::receipt::ReceiptRange;
use crate::config::model::{AgentConfig, Destination};

/// A topic, and the files that were sent to it.
pub(super) struct Target {
    /// The channel of the configuration, with the topic that was written to.
    pub channel: Destination,
    /// Indices of subjects, and their ranges in this topic.
    pub files: Vec<(usize, Vec<ReceiptRange>)>,
}

/// Sorts the files by topic. A file whose ranges name no channel that still exists cannot be
/// verified there, and is told.
pub(super) fn targets(
    config: &AgentConfig,
    origins: &[Origin<'_>],
    (subjects, surveys): (&[Subject], &[Survey]),
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
        } else if subject.ranges.is_empty() {
            channels.iter().for_each(|channel| add(&mut targets, channel, at, None));
        }
    }
    targets.retain(|target| target.files.iter().any(|(at, _)| subjects[*at].is_selected));
    targets
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
        targets.push(Target { channel, files: Vec::new() });
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
