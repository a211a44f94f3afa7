//! What probes and scripts ask: does the loop turn, can lines go, how do things stand.

use serde_json::{Map, Value, json};

use super::ages::Age;
use super::exposition::{FileView, channel_json, file_json, members, partition_json};
use super::page::{self, verdict};
use super::rates::Rate;
use super::{LinkStats, SourceStats, Stats};
use crate::channel::standing::Standing;
use crate::channel::tls::Summary;
use crate::checkpoint::dead_letter::Letter;
use crate::checkpoint::receipt::{Receipt, ReceiptRange};
use crate::checkpoint::trouble::Trouble;
use crate::log::json_text;
use crate::text::rounded;

/// Is every directory held, and has every channel reached its brokers?
///
/// # Errors
/// The sentences that say what is not so, as the log has them.
pub(super) fn ready(stats: &Stats) -> Result<(), String> {
    let mut reasons: Vec<&str> = Vec::new();
    for source in &stats.sources {
        reasons.extend(source.fault.as_deref());
        reasons.extend(source.apart.iter().map(|apart| apart.why.as_str()));
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
}

/// In the shape of `status --json`. What the agent does not know without reading files is null, or
/// marked as an estimate: no request can make it read.
pub(super) fn status_json(stats: &Stats) -> String {
    let sources: Vec<Value> = stats.sources.iter().map(|s| source_json(stats, s)).collect();
    let (mood, verdict) = verdict::verdict(stats);
    let up_ms = stats.now_ms.saturating_sub(stats.start_ms).max(0);
    let status = json!({
        "agent": stats.agent,
        "running": stats.up,
        "sources": sources,
        "verdict": { "state": mood.name(), "text": verdict },
        "now": stats.now,
        "now_ms": stats.now_ms,
        "uptime_ms": up_ms,
        "version": env!("CARGO_PKG_VERSION"),
        "configuration": stats.conf.file,
        "configuration_loaded_ms": stats.conf.loaded_ms,
        "configuration_is_refused": stats.conf.is_refused,
        "cpu_ms": stats.usage.cpu_us / 1_000,
        "cpu_us_per_line": stats.cpu_us_per_line().map(rounded),
        "memory_bytes": stats.usage.memory_bytes,
        "last_warnings": stats.warnings,
        "shape": page::shape(stats),
    });
    format!("{}\n", json_text(&status))
}

fn source_json(stats: &Stats, source: &SourceStats) -> Value {
    let behind = source.started.then(|| source.files.iter().map(FileView::behind).sum::<u64>());
    let lines = source.started.then(|| source.files.iter().map(lines_behind).sum::<u64>());
    let files: Vec<Value> = source.files.iter().map(file).collect();
    let none = LinkStats::default();
    let channels: Vec<Value> = source
        .channels
        .iter()
        .enumerate()
        .map(|(at, channel)| {
            let link = source.links.get(at).unwrap_or(&none);
            let partitions = channel.partitions.iter().enumerate().map(|(row, p)| {
                let is_it = |entry: &&(usize, i32)| **entry == (at, p.partition);
                let trip = link.trips.get(row).copied().flatten();
                let mut told = partition_json(p, source.doubts.iter().filter(is_it).count());
                told.append(&mut members(json!({
                    "batches_in_flight": source.flights.iter().filter(is_it).count(),
                    "last_offset": page::last_offset(p),
                    "leader": link.leaders.get(row),
                    "round_trip_ms_p50": trip.map(|(median, _)| rounded(median)),
                    "round_trip_ms_p99": trip.map(|(_, most)| rounded(most)),
                })));
                told
            });
            let mut told = channel_json(channel, partitions);
            told.append(&mut members(json!({
                "brokers": link.brokers.iter().map(|b| broker_json(b, stats)).collect::<Vec<Value>>(),
                "own_certificate": certificate_json(link.own_certificate.as_ref(), stats),
            })));
            Value::Object(told)
        })
        .collect();
    let rate = |of: fn(&Rate) -> f64| source.rate.as_ref().map(|rate| rounded(of(rate)));
    let last_hour = |of: fn(&Rate) -> f64| source.last_hour.as_ref().map(|rate| rounded(of(rate)));
    let catch_up_ms = behind.and_then(|behind| source.catch_up_ms(behind));
    let (at_most_ms, at_least_ms) = ages(source.oldest());
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
        "oldest_unsent_at_least_ms": at_least_ms,
        "bytes_per_second": rate(|r| r.bytes_per_s),
        "lines_per_second": rate(|r| r.lines_per_s),
        "bytes_per_second_last_hour": last_hour(|r| r.bytes_per_s),
        "lines_per_second_last_hour": last_hour(|r| r.lines_per_s),
        "catch_up_seconds": catch_up_ms.map(|ms| rounded(ms as f64 / 1_000.0)),
        "batches_in_doubt": source.started.then_some(source.in_doubt),
        "dead_letters": source.dead_letters,
        "files": files,
        "channels": channels,
        "receipts": null,
        "last_receipts": source.finished.iter().map(receipt_json).collect::<Vec<Value>>(),
        "oldest_unsent_at_most_ms": at_most_ms,
        "catch_up_ms": catch_up_ms.filter(|_| behind > Some(0)),
        "last_dead_letters": source.letters.iter().map(letter_json).collect::<Vec<Value>>(),
    })
}

fn file(view: &FileView) -> Value {
    let mut members: Map<String, Value> = file_json(view);
    members.insert("lines_behind".to_string(), json!(lines_behind(view)));
    members.insert("lines_behind_is_estimate".to_string(), json!(true));
    members.insert("modified_ms".to_string(), json!(view.modified_ms));
    let (at_most_ms, at_least_ms) = ages(view.oldest);
    members.insert("oldest_unsent_at_most_ms".to_string(), json!(at_most_ms));
    members.insert("oldest_unsent_at_least_ms".to_string(), json!(at_least_ms));
    members.insert("catch_up_ms".to_string(), json!(view.catch_up_ms));
    members.insert("is_unfinished".to_string(), json!(view.is_unfinished));
    Value::Object(members)
}

/// At most, at least.
fn ages(age: Option<Age>) -> (Option<u64>, Option<u64>) {
    match age {
        Some(Age::AtMost(ms)) => (Some(ms), None),
        Some(Age::AtLeast(ms)) => (None, Some(ms)),
        None => (None, None),
    }
}

/// `null` where there is none.
fn certificate_json(certificate: Option<&Summary>, stats: &Stats) -> Value {
    certificate.map_or(Value::Null, |certificate| {
        json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "ends_ms": certificate.not_after.saturating_mul(1_000),
            "days_left": certificate.days_left(stats.now_ms.div_euclid(1_000)),
        })
    })
}

fn broker_json(broker: &Standing, stats: &Stats) -> Value {
    let error = broker.last_error.as_ref();
    json!({
        "address": broker.address,
        "state": broker.state.name(),
        "last_error": error.map(|(why, _)| why),
        "last_error_ms_ago": error.map(|(_, ago)| ago.as_millis() as u64),
        "certificate": certificate_json(broker.certificate.as_ref(), stats),
    })
}

/// A dead letter for scripts, without its body.
pub(crate) fn letter_json(letter: &Letter) -> Value {
    json!({
        "state": letter.state.name(),
        "topic": letter.topic,
        "file": letter.file,
        "start": letter.start,
        "end": letter.end,
        "bytes": letter.bytes,
        "time_ms": letter.time_ms,
        "reason": letter.reason,
    })
}

/// A receipt for scripts.
pub(crate) fn receipt_json(receipt: &Receipt) -> Value {
    let range = |range: &ReceiptRange| {
        json!({
            "channel": range.channel,
            "topic": range.topic,
            "partition": range.partition,
            "first": range.first,
            "last": range.last,
            "events": range.events,
        })
    };
    json!({
        "name": String::from_utf8_lossy(&receipt.name),
        "completed": String::from_utf8_lossy(&receipt.completed),
        "size": receipt.size,
        "lines": receipt.lines,
        "events": receipt.events,
        "crc32": format!("{:08x}", receipt.bytes_crc),
        "opened_ms": receipt.opened_ms,
        "finished_ms": receipt.finished_ms,
        "ranges": receipt.ranges.iter().map(range).collect::<Vec<Value>>(),
    })
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
    use crate::monitor::Apart;

    #[test]
    fn readiness_has_the_sentences_of_all_that_is_missing() {
        let mut stats = Stats { sources: vec![SourceStats::default()], ..Stats::default() };
        assert_eq!(ready(&stats), Ok(()));
        let why = "Channel c1 (topic t): no broker can be reached".to_string();
        stats.sources[0].apart = vec![Apart { why, since: None }];
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
