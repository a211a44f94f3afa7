//! Metrics in Prometheus's text format, from a running agent and from `status` alike.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};

use serde_json::{Map, Value, json};

use super::ages::Age;
use crate::checkpoint::record::{ChannelRecord, FileRecord, FileState, FormerLog, PartitionRecord};
use crate::histogram::Histogram;
use crate::text::printable;

/// Name, type and help of every metric there is, in the order of printing.
const METRICS: &[(&str, &str, &str)] = &[
    ("flume_ng_up", "gauge", "1 while the agent runs"),
    ("flume_ng_start_time_seconds", "gauge", "Unix time of the agent's start"),
    ("flume_ng_cpu_seconds_total", "counter", "processor time of the agent"),
    ("flume_ng_memory_bytes", "gauge", "main memory of the agent"),
    ("flume_ng_needs_somebody", "gauge", "1 while the source cannot go on by itself"),
    ("flume_ng_connected", "gauge", "1 while the channel's brokers are connected"),
    (
        "flume_ng_partitions_without_leader",
        "gauge",
        "partitions of the channel's topic that wait for a leader",
    ),
    (
        "flume_ng_events_received_total",
        "counter",
        "events read by this process, or announced by the one before",
    ),
    ("flume_ng_events_accepted_total", "counter", "events that every channel has"),
    ("flume_ng_events_acked_total", "counter", "events acknowledged by the brokers"),
    (
        "flume_ng_throttle_seconds_total",
        "counter",
        "time for which the brokers asked not to be written to (quotas)",
    ),
    ("flume_ng_logins_refused_total", "counter", "logins that the brokers refused"),
    (
        "flume_ng_certificate_days_left",
        "gauge",
        "whole days until the certificate ends that this broker showed last, or that it is shown (own)",
    ),
    (
        "flume_ng_round_trip_seconds",
        "histogram",
        "time from a round to the acknowledgement of each of its batches",
    ),
    (
        "flume_ng_delivery_seconds",
        "histogram",
        "time from the write of a batch's last line to its acknowledgement by every channel",
    ),
    ("flume_ng_files", "gauge", "files that are tailed, drained or waiting"),
    ("flume_ng_file_size_bytes", "gauge", "size of the file, or of those of one name"),
    ("flume_ng_file_position_bytes", "gauge", "everything before it is acknowledged"),
    ("flume_ng_file_lines", "gauge", "lines before the position"),
    ("flume_ng_behind_bytes", "gauge", "bytes that are not acknowledged yet, over all files"),
    (
        "flume_ng_oldest_unsent_seconds",
        "gauge",
        "age of the oldest line that is not delivered, as far as it is known",
    ),
    ("flume_ng_batches_in_doubt", "gauge", "announced batches without an answer"),
    ("flume_ng_next_sequence", "gauge", "sequence of the partition's next event"),
    ("flume_ng_floor_offset", "gauge", "batches in doubt stand at or behind this offset"),
    ("flume_ng_dead_letters", "gauge", "events that the brokers never take and nobody has settled"),
    ("flume_ng_receipts", "gauge", "finished files"),
    ("flume_ng_checkpoint_time_seconds", "gauge", "Unix time of the last write"),
];

/// A file that is read or waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FileView {
    pub name: String,
    pub state: &'static str,
    pub size: u64,
    pub position: u64,
    pub lines: u64,
    pub events: u64,
    /// Last modification, Unix ms.
    pub modified_ms: Option<i64>,
    /// What is not delivered is the beginning of a line, or not written yet: its writer is waited for.
    pub is_unfinished: bool,
    /// Of its lines that are not delivered.
    pub oldest: Option<Age>,
    /// At the rate of the last seconds.
    pub catch_up_ms: Option<u64>,
}

impl FileView {
    pub(crate) fn of_record(record: &FileRecord, size: u64) -> FileView {
        FileView {
            name: String::from_utf8_lossy(&record.name).into_owned(),
            state: match record.state {
                FileState::Live => "live",
                FileState::Draining => "draining",
                FileState::Superseded => "superseded",
            },
            size,
            position: record.position,
            lines: record.lines,
            events: record.events,
            ..FileView::default()
        }
    }

    /// The same of one that the configuration does not take any more.
    pub(crate) fn released(self) -> FileView {
        FileView { state: "released", ..self }
    }

    /// Of a file whose content was thrown away, or that is read no further, nothing is left to send.
    pub(crate) fn behind(&self) -> u64 {
        match self.state {
            "superseded" | "released" => 0,
            _ => self.size.saturating_sub(self.position),
        }
    }
}

/// Collects samples; those of a metric are printed together, as the format wants it.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    samples: Vec<(&'static str, String)>,
}

impl Exposition {
    pub(crate) fn add(&mut self, name: &'static str, labels: &[(&str, &str)], value: impl Display) {
        debug_assert!(METRICS.iter().any(|(n, _, _)| *n == name), "{name}");
        let mut line = String::from(name);
        write_labels(&mut line, labels);
        let _ = write!(line, " {value}");
        self.samples.push((name, line));
    }

    /// A histogram of times, in seconds.
    pub(crate) fn add_times(
        &mut self,
        name: &'static str,
        labels: &[(&str, &str)],
        times: &Histogram,
    ) {
        let mut add = |suffix: &str, more: Option<&str>, value: String| {
            let all: Vec<(&str, &str)> =
                labels.iter().copied().chain(more.map(|le| ("le", le))).collect();
            let mut line = format!("{name}{suffix}");
            write_labels(&mut line, &all);
            let _ = write!(line, " {value}");
            self.samples.push((name, line));
        };
        for (bound_ms, count) in times.cumulated() {
            let bound = bound_ms as f64 / 1_000.0;
            // OpenMetrics wants floats.
            add("_bucket", Some(&format!("{bound:?}")), count.to_string());
        }
        add("_bucket", Some("+Inf"), times.count().to_string());
        add("_sum", None, (times.sum_ms() as f64 / 1_000.0).to_string());
        add("_count", None, times.count().to_string());
    }

    /// The files of a source, and what is behind.
    pub(crate) fn add_files(&mut self, agent: &str, source: &str, files: &[FileView]) {
        let of_source = [("agent", agent), ("source", source)];
        self.add("flume_ng_files", &of_source, files.len());
        self.add(
            "flume_ng_behind_bytes",
            &of_source,
            files.iter().map(FileView::behind).sum::<u64>(),
        );
        // Two samples with the same labels make a reader refuse all: the files that had one name (one
        // is drained, the next is there already) are one series, which is the sum of them.
        let mut by_name: Vec<(&str, [u64; 3])> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for file in files.iter().filter(|f| f.state != "superseded") {
            let place = *places.entry(file.name.as_str()).or_insert(by_name.len());
            if place == by_name.len() {
                by_name.push((file.name.as_str(), [0; 3]));
            }
            let sums = by_name[place].1.iter_mut();
            sums.zip([file.size, file.position, file.lines]).for_each(|(sum, n)| *sum += n);
        }
        for (name, [size, position, lines]) in by_name {
            let labels = [("agent", agent), ("source", source), ("file", name)];
            self.add("flume_ng_file_size_bytes", &labels, size);
            self.add("flume_ng_file_position_bytes", &labels, position);
            self.add("flume_ng_file_lines", &labels, lines);
        }
    }

    pub(crate) fn add_partitions(&mut self, agent: &str, source: &str, channel: &ChannelRecord) {
        for p in &channel.partitions {
            let partition = p.partition.to_string();
            let labels = [
                ("agent", agent),
                ("source", source),
                ("channel", channel.name.as_str()),
                ("topic", channel.topic.as_str()),
                ("partition", partition.as_str()),
            ];
            self.add("flume_ng_next_sequence", &labels, p.next_sequence);
            self.add("flume_ng_floor_offset", &labels, p.floor_offset);
        }
    }

    /// In Prometheus's own format.
    pub(crate) fn text(&self) -> String {
        self.written(|name, kind, help| format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"))
    }

    /// As OpenMetrics has it: families of counters without `_total`, units, an end.
    pub(crate) fn open_metrics(&self) -> String {
        let text = self.written(|name, kind, help| {
            let family = name.strip_suffix("_total").unwrap_or(name);
            let unit = ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(unit));
            let unit = unit.map(|unit| format!("# UNIT {family} {unit}\n")).unwrap_or_default();
            format!("# TYPE {family} {kind}\n{unit}# HELP {family} {help}\n")
        });
        text + "# EOF\n"
    }

    fn written(&self, head: impl Fn(&str, &str, &str) -> String) -> String {
        let mut out = String::new();
        for (name, kind, help) in METRICS {
            let mut lines = self.samples.iter().filter(|(n, _)| n == name).peekable();
            if lines.peek().is_none() {
                continue;
            }
            out.push_str(&head(name, kind, help));
            lines.for_each(|(_, line)| {
                let _ = writeln!(out, "{line}");
            });
        }
        out
    }
}

fn write_labels(line: &mut String, labels: &[(&str, &str)]) {
    for (at, (label, text)) in labels.iter().enumerate() {
        // The format knows three escapes; of other characters that a collector's page should not
        // have to deal with, ours.
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let text = printable(&text).replace("\\u{", "\\\\u{");
        // Writing to a String does not fail.
        let _ = write!(line, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
    }
    if !labels.is_empty() {
        line.push('}');
    }
}

/// For `status --json`.
pub(crate) fn file_json(file: &FileView) -> Map<String, Value> {
    members(json!({
        "name": file.name,
        "state": file.state,
        "size": file.size,
        "position": file.position,
        "lines": file.lines,
        "events": file.events,
        "behind_bytes": file.behind(),
    }))
}

/// A channel as its record has it, for `status --json`; `partitions`: of each what
/// [`partition_json`] says, and more.
pub(crate) fn channel_json(
    channel: &ChannelRecord,
    partitions: impl Iterator<Item = Map<String, Value>>,
) -> Map<String, Value> {
    members(json!({
        "name": channel.name,
        "topic": channel.topic,
        "cluster_id": channel.cluster_id,
        "producer_id": channel.producer_id,
        "producer_epoch": channel.producer_epoch,
        "partitions": partitions.map(Value::Object).collect::<Vec<Value>>(),
        "former_logs": channel.former.iter().map(former_json).collect::<Vec<Value>>(),
    }))
}

/// A log in which something may be that is in doubt, though the channel was moved away from it.
fn former_json(log: &FormerLog) -> Value {
    json!({ "topic": log.topic, "cluster_id": log.cluster_id })
}

/// A partition as its record has it; `in_doubt`: batches of it.
pub(crate) fn partition_json(partition: &PartitionRecord, in_doubt: usize) -> Map<String, Value> {
    members(json!({
        "partition": partition.partition,
        "next_sequence": partition.next_sequence,
        "floor_offset": partition.floor_offset,
        "batches_in_doubt": in_doubt,
    }))
}

/// Those of an object, to which more may come.
pub(super) fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => unreachable!("braces make an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules, dashboards and documents speak of metrics that there are.
    #[test]
    fn every_metric_that_is_named_elsewhere_is_served() {
        let texts = [
            include_str!("../../packaging/prometheus/flume-ng.rules.yml"),
            include_str!("../../packaging/grafana/flume-ng.json"),
            include_str!("../../docs/operating.md"),
        ];
        for text in texts {
            let mut count = 0;
            for rest in text.split("flume_ng_").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
                let name = format!("flume_ng_{}", &rest[..end.unwrap_or(rest.len())]);
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
                let is = |name: &str| METRICS.iter().any(|(n, _, _)| *n == name);
                assert!(is(&name) || base.is_some_and(is), "there is no metric {name}");
                count += 1;
            }
            assert!(count > 5, "{count}");
        }
    }

    /// Each alert says for how long, how bad, and what to do.
    #[test]
    fn every_alert_has_a_time_a_severity_and_a_way_out() {
        let rules = include_str!("../../packaging/prometheus/flume-ng.rules.yml");
        let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
        assert!(alerts.len() >= 8);
        for alert in alerts {
            for part in ["expr: ", "for: ", "severity: ", "summary: ", "description: "] {
                assert!(alert.contains(part), "{part}: {alert}");
            }
        }
    }

    /// The dashboard is JSON; each of its panels asks something.
    #[test]
    fn the_dashboard_can_be_read() {
        let text = include_str!("../../packaging/grafana/flume-ng.json");
        let dashboard: Value = serde_json::from_str(text).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        assert!(panels.len() > 8);
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let queries = panel["targets"].as_array().unwrap();
            assert!(queries.iter().all(|q| q["expr"].as_str().unwrap().contains("flume_ng_")));
        }
    }

    #[test]
    fn open_metrics_has_units_families_and_an_end() {
        let mut times = Histogram::default();
        times.note(3);
        let mut out = Exposition::default();
        out.add("flume_ng_throttle_seconds_total", &[("agent", "a1")], 1.5);
        out.add_times("flume_ng_round_trip_seconds", &[("agent", "a1")], &times);
        let text = out.open_metrics();
        let throttle = "# TYPE flume_ng_throttle_seconds counter\n\
                        # UNIT flume_ng_throttle_seconds seconds\n";
        assert!(text.starts_with(throttle), "{text}");
        assert!(text.contains("\nflume_ng_throttle_seconds_total{agent=\"a1\"} 1.5\n"), "{text}");
        let bucket = |le: &str, n: u32| {
            format!("\nflume_ng_round_trip_seconds_bucket{{agent=\"a1\",le=\"{le}\"}} {n}\n")
        };
        for (le, n) in [("0.002", 0), ("0.005", 1), ("1.0", 1), ("86400.0", 1), ("+Inf", 1)] {
            assert!(text.contains(&bucket(le, n)), "{le}: {text}");
        }
        assert!(text.contains("_sum{agent=\"a1\"} 0.003\n") && text.ends_with("\n# EOF\n"));
        let own = out.text();
        assert!(!own.contains("EOF") && own.contains("TYPE flume_ng_throttle_seconds_total"));
    }

    #[test]
    fn samples_of_a_metric_stand_together() {
        let mut out = Exposition::default();
        let file = |name: &str, size| FileView {
            name: name.to_string(),
            state: "live",
            size,
            position: 4,
            ..FileView::default()
        };
        out.add_files("a1", "r1", &[file("x\"\\\n", 10), file("y", 5)]);
        out.add("flume_ng_up", &[("agent", "a1")], 1);
        let text = out.text();
        assert!(text.starts_with(
            "# HELP flume_ng_up 1 while the agent runs\n# TYPE flume_ng_up gauge\n\
             flume_ng_up{agent=\"a1\"} 1\n"
        ));
        assert!(text.contains(
            "flume_ng_file_size_bytes{agent=\"a1\",source=\"r1\",file=\"x\\\"\\\\\\n\"} 10\n\
             flume_ng_file_size_bytes{agent=\"a1\",source=\"r1\",file=\"y\"} 5\n"
        ));
        assert!(text.contains("flume_ng_behind_bytes{agent=\"a1\",source=\"r1\"} 7\n"), "{text}");
    }

    /// Its lines are not sent before a group takes it again: that would be behind for ever, and ever older.
    #[test]
    fn nothing_is_behind_in_a_file_of_a_group_that_was_removed() {
        let record = FileRecord { position: 2, ..FileRecord::default() };
        let view = FileView::of_record(&record, 9);
        assert_eq!(view.behind(), 7);
        let view = view.released();
        assert_eq!((view.state, view.size, view.behind()), ("released", 9, 0));
    }

    #[test]
    fn no_two_samples_have_the_same_labels() {
        let file = |name: &str, state, size| FileView {
            name: name.to_string(),
            state,
            size,
            ..FileView::default()
        };
        let files = [
            file("x", "superseded", 1),
            file("x", "draining", 2),
            file("y", "live", 3),
            file("x", "live", 4),
        ];
        let mut out = Exposition::default();
        out.add_files("a1", "r1", &files);
        let text = out.text();
        let of = |metric: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(&format!("{metric}{{")));
            lines
                .filter_map(|line| line.split_once(',')?.1.rsplit_once(','))
                .map(|(_, end)| end.to_string())
                .collect()
        };
        assert_eq!(of("flume_ng_file_size_bytes"), ["file=\"x\"} 6", "file=\"y\"} 3"]);
        // The others are still to be sent.
        assert!(text.contains("flume_ng_files{agent=\"a1\",source=\"r1\"} 4\n"), "{text}");
        assert!(text.contains("flume_ng_behind_bytes{agent=\"a1\",source=\"r1\"} 9\n"), "{text}");
    }
}
