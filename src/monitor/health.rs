//! What probes and scripts ask: does the loop turn, can lines go, how do things stand.

use serde_json::{Map, Value, json};

use super::exposition::{FileView, file_json};
use super::rates::Rate;
use super::{SourceStats, Stats};
use crate::checkpoint::trouble::Trouble;
use crate::text::rounded;

/// Is every directory held, and has every channel reached its brokers?
///
/// # Errors
/// The sentences that say what is not so, as the log has them.
pub(super) fn ready(stats: &Stats) -> Result<(), String> {
    let mut reasons: Vec<&str> = Vec::new();
    for source in &stats.sources {
        reasons.extend(source.fault.as_deref());
        reasons.extend(source.apart.iter().map(String::as_str));
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
}

/// In the shape of `status --json`. What the agent does not know without reading files is null, or
/// told to be an estimate: nobody who asks can make it read.
pub(super) fn status_json(stats: &Stats) -> String {
    let sources: Vec<Value> = stats.sources.iter().map(|s| source_json(stats, s)).collect();
    let status = json!({ "agent": stats.agent, "running": stats.up, "sources": sources });
    format!("{status}\n")
}

fn source_json(stats: &Stats, source: &SourceStats) -> Value {
    let behind = source.started.then(|| source.files.iter().map(FileView::behind).sum::<u64>());
    let lines = source.started.then(|| source.files.iter().map(lines_behind).sum::<u64>());
    let files: Vec<Value> = source.files.iter().map(file).collect();
    let channels: Vec<Value> = source
        .channels
        .iter()
        .map(|channel| {
            let partitions = channel.partitions.iter().map(|p| {
                let at = |&&(of, id): &&(usize, i32)| {
                    id == p.partition && source.channels.get(of).is_some_and(|c| c == channel)
                };
                json!({
                    "partition": p.partition,
                    "next_sequence": p.next_sequence,
                    "floor_offset": p.floor_offset,
                    "batches_in_doubt": source.doubts.iter().filter(at).count(),
                })
            });
            json!({
                "name": channel.name,
                "topic": channel.topic,
                "cluster_id": channel.cluster_id,
                "producer_id": channel.producer_id,
                "producer_epoch": channel.producer_epoch,
                "partitions": partitions.collect::<Vec<Value>>(),
            })
        })
        .collect();
    let rate = |of: fn(&Rate) -> f64| source.rate.as_ref().map(|rate| rounded(of(rate)));
    let last_hour = |of: fn(&Rate) -> f64| source.last_hour.as_ref().map(|rate| rounded(of(rate)));
    let catch_up = source.rate.filter(|rate| rate.bytes_per_s >= 1.0).zip(behind);
    json!({
        "name": source.name,
        "spool_dir": source.spool_dir,
        "running": source.started,
        "pid": std::process::id(),
        "since": stats.since,
        "fault": source.fault,
        "troubles": source.troubles.iter().map(trouble_json).collect::<Vec<Value>>(),
        "generation": source.started.then_some(source.generation),
        "last_ack_ms": source.checkpoint_ms,
        "behind_bytes": behind,
        "behind_lines": lines,
        "behind_lines_is_estimate": true,
        "oldest_unsent_at_least_ms": null,
        "bytes_per_second": rate(|r| r.bytes_per_s),
        "lines_per_second": rate(|r| r.lines_per_s),
        "bytes_per_second_last_hour": last_hour(|r| r.bytes_per_s),
        "lines_per_second_last_hour": last_hour(|r| r.lines_per_s),
        "catch_up_seconds": catch_up.map(|(r, behind)| rounded(behind as f64 / r.bytes_per_s)),
        "batches_in_doubt": source.started.then_some(source.in_doubt),
        "dead_letters": source.dead_letters,
        "files": files,
        "channels": channels,
        "receipts": null,
        "last_receipts": [],
    })
}

fn file(view: &FileView) -> Value {
    let mut members: Map<String, Value> = file_json(view);
    members.insert("lines_behind".to_string(), json!(lines_behind(view)));
    members.insert("lines_behind_is_estimate".to_string(), json!(true));
    members.insert("modified_ms".to_string(), Value::Null);
    Value::Object(members)
}

/// By the length of the lines sent, else by lines of a hundred bytes.
fn lines_behind(view: &FileView) -> u64 {
    let (lines, bytes) = if view.lines > 0 { (view.lines, view.position) } else { (1, 100) };
    (u128::from(view.behind()) * u128::from(lines) / u128::from(bytes.max(1))) as u64
}

/// A trouble for scripts.
pub(crate) fn trouble_json(trouble: &Trouble) -> Value {
    let (kind, channel, code, since_ms, why) = match trouble {
        Trouble::Brokers { channel, since_ms, why } => {
            ("brokers", Some(channel), None, since_ms, why)
        }
        Trouble::End { code, since_ms, why } => ("end", None, Some(*code), since_ms, why),
    };
    json!({ "kind": kind, "channel": channel, "exit": code, "since_ms": since_ms, "why": why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_has_the_sentences_of_all_that_is_missing() {
        let mut stats = Stats { sources: vec![SourceStats::default()], ..Stats::default() };
        assert_eq!(ready(&stats), Ok(()));
        stats.sources[0].apart = vec!["Channel c1 (topic t): no broker can be reached".into()];
        stats
            .sources
            .push(SourceStats { fault: Some("no directory".into()), ..SourceStats::default() });
        let why = "Channel c1 (topic t): no broker can be reached\nno directory";
        assert_eq!(ready(&stats), Err(why.to_string()));
    }

    #[test]
    fn names_and_reasons_are_whole_in_json() {
        let name = "a\"\n\u{7}<b>\\";
        let view = FileView { name: name.into(), size: 200, ..FileView::default() };
        let source = SourceStats { started: true, files: vec![view], ..SourceStats::default() };
        let text = status_json(&Stats { sources: vec![source], ..Stats::default() });
        let json: Value = serde_json::from_str(&text).unwrap();
        let source = &json["sources"][0];
        assert_eq!(source["files"][0]["name"], name);
        assert_eq!((&source["behind_bytes"], &source["behind_lines"]), (&json!(200), &json!(2)));
    }
}
