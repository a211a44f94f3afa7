//! How much of a topic is searched for records that should not be there.
//!
//! A line that was sent twice may stand before everything that receipts and checkpoint know of: an
//! agent whose state was lost begins again, and what it had sent before is in no record. Only a run that has
//! looked through the whole topic can say that each line is there once. Reading it takes time, so
//! that of a large one only the part behind the first recorded offsets is read; then it is said, and
//! nothing is called exact.

use super::Trouble;
use serde_json::{Value, json};

use crate::channel::broker::Fault;
use crate::channel::reader::TopicReader;
use crate::config::model::Destination;
use crate::text::size;

/// The largest topic that is searched whole without being asked, bytes: some seconds to a minute.
pub(super) const WHOLE_BYTES_MAX: u64 = 4_000_000_000;
/// Pieces that are read to tell how large a topic is, over all of its partitions.
const SAMPLES_MAX: usize = 64;
/// In one partition at most.
const PARTITION_SAMPLES_MAX: usize = 8;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The whole topic where it is no larger than [`WHOLE_BYTES_MAX`].
    Affordable,
    /// All of it.
    Whole,
    /// The recorded ranges alone.
    Ranges,
}

/// Where a partition begins and ends, and the first offset that is recorded for a verified file, or
/// before which none of them had been opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub partition: i32,
    pub first: i64,
    pub end: i64,
    pub recorded: i64,
}

/// How much of a topic was searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Searched {
    Whole,
    /// The partitions from these offsets on; the topic takes about so many bytes.
    From {
        topic: String,
        bytes: u64,
        offsets: Vec<(i32, i64)>,
    },
    Ranges {
        topic: String,
    },
    /// Nothing of the topic of an optional channel, whose brokers are not reached.
    Nothing {
        topic: String,
        channel: String,
        why: String,
    },
}

/// Decides how much is searched.
pub(super) fn decide(
    reach: Reach,
    reader: &mut TopicReader,
    topic: &str,
    bounds: &[Bounds],
) -> Result<Searched, Trouble> {
    let begins_behind = bounds.iter().any(|b| b.recorded > b.first);
    match reach {
        Reach::Ranges => Ok(Searched::Ranges { topic: topic.to_string() }),
        Reach::Affordable if begins_behind => {
            let each = (SAMPLES_MAX / bounds.len()).clamp(1, PARTITION_SAMPLES_MAX) as u32;
            let mut bytes = 0u64;
            for b in bounds {
                let of_it = reader.estimate_bytes(b.partition, (b.first, b.end), each)?;
                bytes = bytes.saturating_add(of_it);
            }
            Ok(affordable(topic, bytes, bounds))
        }
        Reach::Whole | Reach::Affordable => Ok(Searched::Whole),
    }
}

fn affordable(topic: &str, bytes: u64, bounds: &[Bounds]) -> Searched {
    if bytes <= WHOLE_BYTES_MAX {
        return Searched::Whole;
    }
    let offsets = bounds.iter().map(|b| (b.partition, b.recorded)).collect();
    Searched::From { topic: topic.to_string(), bytes, offsets }
}

impl Searched {
    pub(super) fn nothing_of(channel: &Destination, fault: &Fault) -> Searched {
        let (topic, channel) = (channel.topic.clone(), channel.name.clone());
        Searched::Nothing { topic, channel, why: fault.to_string() }
    }

    pub(super) fn is_whole(&self) -> bool {
        *self == Searched::Whole
    }

    /// Less than all, though less was not asked for.
    pub(super) fn is_cut_short(&self) -> bool {
        matches!(self, Searched::From { .. })
    }

    /// What was left out, in a sentence; `None` where nothing was.
    pub(super) fn sentence(&self) -> Option<String> {
        match self {
            Searched::Whole => None,
            Searched::From { topic, bytes, offsets } => {
                let offsets: Vec<String> = offsets
                    .iter()
                    .map(|(partition, offset)| format!("partition {partition} from {offset}"))
                    .collect();
                Some(format!(
                    "topic {topic} (about {}) was searched from these offsets on: {}; whether \
                     there are lines before them is not known, --whole-topic looks",
                    size(*bytes),
                    offsets.join(", ")
                ))
            }
            Searched::Ranges { topic } => Some(format!(
                "topic {topic} was searched only in the recorded ranges, as --range-only says: \
                 whether there are lines elsewhere is not known"
            )),
            Searched::Nothing { topic, channel, why } => Some(format!(
                "channel {channel} is optional and cannot be reached ({why}): its topic {topic} was not \
                 compared"
            )),
        }
    }

    pub(super) fn json(&self) -> Option<Value> {
        let (topic, offsets) = match self {
            Searched::Whole => return None,
            Searched::From { topic, offsets, .. } => (topic, offsets.as_slice()),
            Searched::Ranges { topic } | Searched::Nothing { topic, .. } => (topic, &[][..]),
        };
        let offset =
            |(partition, from): &(i32, i64)| json!({ "partition": partition, "from": from });
        let partitions: Vec<Value> = offsets.iter().map(offset).collect();
        let unreached = match self {
            Searched::Nothing { channel, why, .. } => {
                json!({ "channel": channel, "why": why })
            }
            _ => Value::Null,
        };
        Some(json!({ "topic": topic, "partitions": partitions, "unreached": unreached }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_topic_is_searched_in_part_and_that_is_said() {
        let bounds = [
            Bounds { partition: 0, first: 0, end: 900, recorded: 300 },
            Bounds { partition: 1, first: 50, end: 900, recorded: 50 },
        ];
        assert_eq!(affordable("t", WHOLE_BYTES_MAX, &bounds), Searched::Whole);
        let part = affordable("t", WHOLE_BYTES_MAX + 1, &bounds);
        assert!(part.is_cut_short() && !part.is_whole());
        let text = part.sentence().unwrap();
        assert!(text.contains("partition 0 from 300, partition 1 from 50;"), "{text}");
        assert!(text.contains("--whole-topic"), "{text}");
        let ranges = Searched::Ranges { topic: "t".to_string() };
        assert!(!ranges.is_whole() && !ranges.is_cut_short());
    }

    /// A script took it for a topic that was searched in its recorded ranges.
    #[test]
    fn what_was_not_searched_at_all_is_told_from_what_was_in_part() {
        let topic = || "t".to_string();
        let json = |searched: Searched| searched.json().unwrap()["unreached"].clone();
        assert_eq!(json(Searched::Ranges { topic: topic() }), Value::Null);
        let (channel, why) = ("c2".to_string(), "refused".to_string());
        let nothing = json(Searched::Nothing { topic: topic(), channel, why });
        assert_eq!(nothing, json!({ "channel": "c2", "why": "refused" }));
    }
}
