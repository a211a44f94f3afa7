//! Metrics as Flume serves them.

use serde_json::{Map, Value, json};

use super::Stats;

/// Flume's own shape: components by type and name, all values as text.
pub(super) fn json(stats: &Stats) -> String {
    let start = stats.start_ms.to_string();
    let times = [("StartTime", start.as_str()), ("StopTime", "0")];
    let mut groups = Map::new();
    for source in &stats.sources {
        let c = &source.counters;
        let counts = [
            ("EventReceivedCount", c.events_received),
            ("EventAcceptedCount", c.events_accepted),
            ("AppendBatchReceivedCount", c.batches_received),
            ("AppendBatchAcceptedCount", c.batches_accepted),
            ("AppendReceivedCount", 0),
            ("AppendAcceptedCount", 0),
            ("OpenConnectionCount", 0),
        ];
        groups.insert(format!("SOURCE.{}", source.name), group("SOURCE", &counts, &times));
    }
    for channel in &stats.channels {
        let taken = if channel.has_sink { channel.acked } else { 0 };
        let counts = [
            ("EventPutAttemptCount", channel.attempted),
            ("EventPutSuccessCount", channel.acked),
            ("EventTakeAttemptCount", taken),
            ("EventTakeSuccessCount", taken),
            ("ChannelCapacity", 0),
            ("ChannelSize", 0),
            ("KafkaEventSendTimer", 0),
            ("KafkaEventGetTimer", 0),
            ("KafkaCommitTimer", 0),
            ("RollbackCount", 0),
        ];
        // What Flume says of a channel without a capacity: Java's largest double.
        let percentage = ("ChannelFillPercentage", "1.7976931348623157E308");
        groups.insert(
            format!("CHANNEL.{}", channel.name),
            group("CHANNEL", &counts, &[percentage, times[0], times[1]]),
        );
    }
    for sink in &stats.sinks {
        let counts = [
            ("EventDrainAttemptCount", sink.drained),
            ("EventDrainSuccessCount", sink.drained),
            ("BatchCompleteCount", 0),
            ("BatchUnderflowCount", 0),
            ("BatchEmptyCount", 0),
            ("ConnectionCreatedCount", 0),
            ("ConnectionClosedCount", 0),
            ("ConnectionFailedCount", 0),
        ];
        groups.insert(format!("SINK.{}", sink.name), group("SINK", &counts, &times));
    }
    Value::Object(groups).to_string()
}

fn group(kind: &str, counts: &[(&str, u64)], texts: &[(&str, &str)]) -> Value {
    let mut members = Map::new();
    members.insert("Type".to_string(), json!(kind));
    members.extend(counts.iter().map(|(counter, n)| (counter.to_string(), json!(n.to_string()))));
    members.extend(texts.iter().map(|(counter, text)| (counter.to_string(), json!(text))));
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::super::tests::stats;
    use super::*;

    #[test]
    fn flumes_json_has_components_by_type_and_name_and_text_values() {
        let json = json(&stats());
        let start = "{\"SOURCE.r1\":{\"Type\":\"SOURCE\",\"EventReceivedCount\":\"7\",";
        assert!(json.starts_with(start), "{json}");
        assert!(
            json.contains("\"CHANNEL.c1\":{\"Type\":\"CHANNEL\",\"EventPutAttemptCount\":\"7\"")
        );
        assert!(json.contains("\"SINK.k1\":{\"Type\":\"SINK\",\"EventDrainAttemptCount\":\"5\""));
        assert!(json.ends_with("\"StartTime\":\"1500\",\"StopTime\":\"0\"}}"), "{json}");
    }
}
