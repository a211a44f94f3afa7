//! Partitions that an event's header names and the topic does not have, as far as is known.
//!
//! They may have been added since the brokers were asked last, which may be minutes ago, and for a moment a broker
//! may not know of one that others know. So they are asked again, and the file waits, as Kafka's own producer waits for
//! the partition of a record. Only what is missing for a minute is missing.
//!
//! Where a state is read back, no survey runs: there they are asked when the event comes up, and the reading back
//! waits. It begins again with the partitions that there are then, if there are more.
//!
//! What has been waited out holds for each later event that names that partition or one behind it: it waits for one
//! more answer, unless the last is a moment old.

use super::moved::PARTITION_MISSING_MS;
use super::optional::PATIENCE_MS;
use super::recovery::LOOK_AGAIN_MS;
use super::{CHANNEL, Pipeline};
use crate::channel::outlet::{Missing, Stage, Surveyed};
use crate::log::{self, About, Level};
use crate::source::Handle;

/// For so long an answer holds for other events that name a partition which has been waited for, ms.
const ANSWER_HOLDS_MS: u64 = 1_000;
/// When the file is tried again while that answer is awaited, ms.
const ANSWER_MS: u64 = 50;

impl Pipeline {
    /// May the topic of channel `at` have `partition` by now, which the next event of the file names? Then the brokers
    /// are asked, and the file waits.
    pub(super) fn may_be_added(&mut self, handle: Handle, at: usize, partition: i32) -> bool {
        let now_ms = self.clock.monotonic_ms();
        let topic = self.outlets[at].topic.as_ref();
        let partitions = topic.map_or(0, |topic| topic.partitions.len());
        let Some(retry_ms) = self.ask_again_ms(handle, at, partition, partitions) else {
            return false;
        };
        if let Stage::Open { survey_at_ms } = &mut self.outlets[at].stage {
            *survey_at_ms = now_ms.min(*survey_at_ms);
        }
        self.files.retry_later(handle, retry_ms);
        true
    }

    /// When to look again for that partition, which the topic does not have as far as is known; `None`: it has
    /// none.
    pub(super) fn ask_again_ms(
        &mut self,
        handle: Handle,
        at: usize,
        partition: i32,
        partitions: usize,
    ) -> Option<u64> {
        let now_ms = self.clock.monotonic_ms();
        let outlet = &mut self.outlets[at];
        let is_of_it = |one: &Missing| one.partitions == partitions && one.least <= partition;
        let is_first = !outlet.missing.as_ref().is_some_and(is_of_it);
        if is_first {
            outlet.missing = Some(Missing { least: partition, partitions, since_ms: now_ms });
        }
        let since_ms = outlet.missing.as_ref().map_or(now_ms, |one| one.since_ms);
        let is_optional = outlet.optional.is_some();
        let patience_ms = if is_optional { PATIENCE_MS } else { PARTITION_MISSING_MS };
        // To ask may take longer than the answer holds: a connection of its own, a leader that is silent.
        let is_certain = |Surveyed { asked_ms, told_ms }| {
            asked_ms >= since_ms + patience_ms && now_ms - told_ms <= ANSWER_HOLDS_MS
        };
        if outlet.surveyed_ms.is_some_and(is_certain) {
            return None;
        }
        if is_first {
            self.tell_missing(handle, at, partition, partitions);
        }
        let is_waited_out = now_ms >= since_ms + patience_ms;
        Some(if is_waited_out { ANSWER_MS } else { LOOK_AGAIN_MS })
    }

    fn tell_missing(&self, handle: Handle, at: usize, partition: i32, partitions: usize) {
        let file = String::from_utf8_lossy(&self.files.at(handle).record.name);
        let (name, topic) = (&self.outlets[at].config.name, &self.outlets[at].config.topic);
        log::log_about(
            Level::Info,
            CHANNEL,
            &About { file: Some(&file), topic: Some(topic), ..About::default() },
            format_args!(
                "Channel {name}: an event of {file} names partition {partition} of topic {topic}, which has \
                 {partitions} as far as is known; the brokers are asked whether it was added."
            ),
        );
    }
}
