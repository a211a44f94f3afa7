//! Do records stand in the partitions that their keys choose?
//!
//! A key leads elsewhere when partitions are added or another rule is configured: the records of before stay
//! where they are. So it is told, and makes nothing less exact.

use crate::channel::reader::TopicRecord;
use crate::config::model::{Destination, KeyPartitioner, ValueFormat};
use crate::event;
use crate::log::counted;
use crate::pipeline::partition_of;

/// As much of a key is told, in characters.
const KEY_SHOWN_MAX: usize = 64;

/// Judges the records of one topic.
pub(super) struct Keys {
    partitioner: KeyPartitioner,
    partitions: u32,
    /// A header of the event that comes before the key.
    header: Option<String>,
    astray: u64,
    first: String,
}

impl Keys {
    /// `None`: keys choose nothing there, or their values do not tell what else has chosen.
    pub(super) fn of(channel: &Destination, partitions: usize) -> Option<Keys> {
        let header = channel.rule.partition_header.clone();
        let tells_headers = channel.value_format == ValueFormat::Avro || header.is_none();
        let partitioner = channel.rule.key.filter(|_| channel.default_partition.is_none())?;
        let partitions = u32::try_from(partitions).ok()?;
        let keys = Keys { partitioner, partitions, header, astray: 0, first: String::new() };
        tells_headers.then_some(keys)
    }

    pub(super) fn look_at(&mut self, record: &TopicRecord<'_>) {
        let Some(key) = record.key else { return };
        let key = String::from_utf8_lossy(key);
        let right = partition_of(self.partitioner, &key, self.partitions);
        if right == record.partition || self.is_told_otherwise(record) {
            return;
        }
        self.astray += 1;
        if self.astray == 1 {
            let shown: String = key.chars().take(KEY_SHOWN_MAX).collect();
            self.first = format!(
                "the key \"{}\" at offset {} of partition {} leads to partition {right} of {}",
                shown.escape_debug(),
                record.offset,
                record.partition,
                self.partitions
            );
        }
    }

    fn is_told_otherwise(&self, record: &TopicRecord<'_>) -> bool {
        let Some(header) = &self.header else { return false };
        let mut is_told = false;
        let value = record.value.unwrap_or_default();
        let read = event::visit(value, &mut |name, _| is_told |= name == header);
        read.is_ok() && is_told
    }

    /// One sentence, if there is something to be said.
    pub(super) fn remark(&self, topic: &str) -> Option<String> {
        (self.astray > 0).then(|| {
            format!(
                "topic {topic}: {} in another partition than their keys choose ({}): partitions were added \
                 since, or another keyPartitioner chose",
                counted(self.astray, "record"),
                self.first
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_astray_where_its_key_does_not_lead() {
        let (partitioner, header) = (KeyPartitioner::Murmur2, None);
        let mut keys = Keys { partitioner, partitions: 5, header, astray: 0, first: String::new() };
        let record = |partition, key| TopicRecord {
            partition,
            offset: 7,
            producer_id: 1,
            key,
            value: Some(b"v"),
        };
        // As Kafka's own producer puts it.
        keys.look_at(&record(3, Some(b"alpha")));
        keys.look_at(&record(0, None));
        assert_eq!(keys.remark("t"), None);
        keys.look_at(&record(1, Some(b"alpha")));
        let told = keys.remark("t").unwrap();
        assert!(told.contains("t: 1 record in another partition"), "{told}");
        assert!(
            told.contains("\"alpha\" at offset 7 of partition 1 leads to partition 3 of 5"),
            "{told}"
        );
    }
}
