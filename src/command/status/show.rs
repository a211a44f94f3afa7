//! The same look as text, JSON and Prometheus's format.

use std::fmt::Write as _;

use super::{Shown, is_running};
use serde_json::{Value, json};

use crate::checkpoint::lock::Tenant;
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::{ChannelRecord, Record};
use crate::clock::{Clock as _, SystemClock};
use crate::command::look::{FileLook, RECEIPTS_SHOWN};
use crate::monitor::exposition::{self, Exposition, FileView, file_json, partition_json};
use crate::monitor::health::{receipt_json, trouble_json};
use crate::pipeline::handover::Handover;
use crate::text::{State, Style, columns, counted, grouped, printable, rounded, size, span};

// Writing to a String does not fail, hence `let _ =` throughout.

pub(super) fn text(agent: &str, sources: &[Shown<'_>], style: Style) -> String {
    let mut out = String::new();
    for source in sources {
        let (state, what) = tenant(source);
        let title = format!("agent {agent}, source {}", source.config.name);
        let _ = writeln!(out, "{}  {}: {what}", style.state(state), style.bold(&title));
        out.push_str(&summary(source));
        if source.is_known() {
            out.push_str(&files(source, style));
        }
        if let Ok(Some(record)) = &source.look.record {
            out.push_str(&channels(record));
        }
        out.push_str(&receipts(source));
    }
    out
}

fn tenant(source: &Shown<'_>) -> (State, String) {
    match &source.look.tenant {
        Ok(Tenant::Agent(Some(holder))) => {
            let mut host = format!("pid {}, running since {}", holder.pid, holder.since);
            if source.look.plight().is_some() {
                host.push_str(", but its brokers take nothing");
                return (State::Fail { may_pass: true }, host);
            }
            match holder.agent == source_agent(source) {
                true => (State::Ok, host),
                false => (State::Warn, format!("{host}, as agent {}", holder.agent)),
            }
        }
        Ok(Tenant::Agent(None)) => (State::Ok, "running".to_string()),
        Ok(Tenant::Nobody(None)) => (State::Info, "never started here".to_string()),
        Ok(Tenant::Nobody(Some(last))) if source.look.end().is_some() => {
            let text = format!("ended by itself; last started {}", last.since);
            (State::Fail { may_pass: false }, text)
        }
        Ok(Tenant::Nobody(Some(last))) => {
            (State::Warn, format!("stopped; last started {}", last.since))
        }
        Err(e) => (State::Warn, format!("the lock cannot be examined: {e}")),
    }
}

/// The agent for which the checkpoint was written; that of the lock where there is none.
fn source_agent<'a>(source: &'a Shown<'_>) -> &'a str {
    match (&source.look.record, &source.look.tenant) {
        (Ok(Some(record)), _) => &record.agent,
        (_, Ok(Tenant::Agent(Some(holder)))) => &holder.agent,
        _ => "",
    }
}

fn summary(source: &Shown<'_>) -> String {
    let troubles = source.look.trouble_texts().into_iter();
    let mut rows: Vec<(&str, String)> = troubles.map(|text| ("trouble", text)).collect();
    rows.push(("directory", source.config.spool_dir.display().to_string()));
    let checkpoint = match &source.look.record {
        Err(e) => format!("cannot be read: {e}"),
        Ok(None) => match &source.look.java {
            Some(Ok(Handover::At { name, offset })) => {
                let name = name.to_string_lossy();
                format!("none yet; Flume's tracker stands in {name} at byte {offset}")
            }
            Some(Ok(Handover::Positions(found))) => {
                let count = found.positions.len() as u64;
                let path = found.path.display();
                format!("none yet; Flume's {path} has {}", counted(count, "position"))
            }
            Some(Err(why)) => format!("none yet; {why}"),
            _ => "none yet".to_string(),
        },
        Ok(Some(record)) => {
            let age = source.checkpoint_age_ms().map_or_else(String::new, span);
            let copied = if source.look.is_copied { ", a copy" } else { "" };
            format!("generation {}{copied}, last ack committed {age} ago", record.generation)
        }
    };
    rows.push(("checkpoint", checkpoint));
    if let Some(fault) = &source.look.files_fault {
        rows.push(("files", format!("cannot be listed: {fault}")));
    }
    match source.is_known() {
        true => known(source, &mut rows),
        false => rows.push(("behind", "not known".to_string())),
    }
    let cells: Vec<Vec<String>> =
        rows.into_iter().map(|(name, text)| vec![name.to_string(), printable(&text)]).collect();
    columns(&cells, 6)
}

fn known(source: &Shown<'_>, rows: &mut Vec<(&str, String)>) {
    rows.push(("behind", behind(source)));
    if let Some(ms) = source.oldest_unsent_ms() {
        let text = format!("at least {} old (its file was last written then)", span(ms));
        rows.push(("oldest unsent", text));
    }
    rows.push(("in doubt", counted(source.in_doubt() as u64, "batch")));
    rows.push(("dead letters", grouped(source.look.dead_letters)));
}

fn behind(source: &Shown<'_>) -> String {
    let about = if source.is_estimate() { "about " } else { "" };
    let mut text = match source.lines_behind() {
        Some(lines) => format!("{}, {about}{}", size(source.behind()), counted(lines, "line")),
        None => format!("{}, lines not known", size(source.behind())),
    };
    if let Some(rate) = source.rate {
        let _ = write!(
            text,
            "; going at {}/s, {} lines/s",
            size(rate.bytes_per_s as u64),
            grouped(rate.lines_per_s as u64)
        );
    }
    if let Some(seconds) = source.catch_up_s().filter(|_| source.behind() > 0) {
        let _ = write!(text, ", {} to catch up", span((seconds * 1000.0) as u64));
    }
    text
}

fn files(source: &Shown<'_>, style: Style) -> String {
    if source.look.files.is_empty() {
        return String::new();
    }
    let heads = ["file", "state", "size", "sent", "lines sent", "lines behind", "last write"];
    let mut rows = vec![heads.map(str::to_string).to_vec()];
    rows.extend(source.look.files.iter().map(|file| file_row(source, file, style)));
    format!("\n{}", columns(&rows, 6))
}

fn file_row(source: &Shown<'_>, file: &FileLook, style: Style) -> Vec<String> {
    let view = &file.view;
    let part = if view.size == 0 { 1.0 } else { view.position as f64 / view.size as f64 };
    let percent = (part * 100.0).floor().clamp(0.0, 100.0);
    let age = file.modified_ms.map(|ms| source.now_ms.saturating_sub(ms).max(0) as u64);
    let about = if file.is_estimate { "~" } else { "" };
    vec![
        printable(&view.name),
        view.state.to_string(),
        size(view.size),
        format!("{}{percent:.0} %, {} bytes", style.bar(part), grouped(view.position)),
        grouped(view.lines),
        file.lines_behind.map_or_else(|| "-".into(), |lines| format!("{about}{}", grouped(lines))),
        age.map_or_else(|| "without a name".to_string(), |ms| format!("{} ago", span(ms))),
    ]
}

fn doubt_of(record: &Record, channel: usize, partition: i32) -> usize {
    let of_it = |b: &&crate::checkpoint::record::BatchRecord| {
        b.fate.is_in_doubt() && usize::from(b.channel) == channel && b.partition == partition
    };
    record.batches.iter().filter(of_it).count()
}

/// How many batches in doubt may be in that former log of a channel.
fn traced_in(record: &Record, channel: usize, log: usize) -> usize {
    let of_channel = record.batches.iter().filter(|b| usize::from(b.channel) == channel);
    let is_there = |b: &&crate::checkpoint::record::BatchRecord| {
        b.fate.is_in_doubt() && b.traces.iter().any(|trace| usize::from(trace.log) == log)
    };
    of_channel.filter(is_there).count()
}

fn channels(record: &Record) -> String {
    let mut out = String::new();
    for (at, channel) in record.channels.iter().enumerate() {
        let ChannelRecord { name, topic, producer_id, producer_epoch, .. } = channel;
        let who = match producer_id {
            ..0 => String::new(),
            id => format!(", producer {id}, epoch {producer_epoch}"),
        };
        let _ = writeln!(out, "\n      channel {name}: topic {topic}{who}");
        for (log, former) in channel.former.iter().enumerate() {
            let in_doubt = counted(traced_in(record, at, log) as u64, "batch");
            let (topic, cluster) = (printable(&former.topic), printable(&former.cluster_id));
            let _ = writeln!(
                out,
                "      {in_doubt} in doubt may be in topic {topic} of cluster {cluster}: looked for there if it \
                 answers again"
            );
        }
        let heads = ["partition", "next sequence", "offset", "in doubt"];
        let mut rows = vec![heads.map(str::to_string).to_vec()];
        for p in &channel.partitions {
            let floor = match p.floor_offset {
                ..0 => "-".to_string(),
                offset => offset.to_string(),
            };
            // Before 0.11 the log has no sequences.
            let sequence = match channel.producer_id {
                ..0 => "-".to_string(),
                _ => p.next_sequence.to_string(),
            };
            rows.push(vec![
                p.partition.to_string(),
                sequence,
                floor,
                doubt_of(record, at, p.partition).to_string(),
            ]);
        }
        out.push_str(&columns(&rows, 6));
    }
    out
}

fn stamp(ms: i64) -> String {
    SystemClock::new().local(ms).log_stamp().to_string()
}

fn receipts(source: &Shown<'_>) -> String {
    let receipts = &source.look.receipts;
    let mut out = String::new();
    if let Some(fault) = &receipts.fault {
        let _ = writeln!(out, "\n      {}", printable(&fault.to_string()));
    }
    if receipts.count == 0 {
        return out;
    }
    let _ = match receipts.count {
        1 => writeln!(out, "\n      one finished file"),
        n if n <= RECEIPTS_SHOWN as u64 => writeln!(out, "\n      {n} finished files"),
        n => writeln!(out, "\n      the last {RECEIPTS_SHOWN} of {} finished files", grouped(n)),
    };
    let row = |r: &Receipt| {
        vec![
            printable(&String::from_utf8_lossy(&r.name)),
            size(r.size),
            counted(r.lines, "line"),
            counted(r.events, "event"),
            format!("{} to {}", stamp(r.opened_ms), stamp(r.finished_ms)),
        ]
    };
    let rows: Vec<Vec<String>> = receipts.last.iter().rev().map(row).collect();
    out.push_str(&columns(&rows, 6));
    out
}

pub(super) fn json(agent: &str, sources: &[Shown<'_>]) -> Value {
    json!({
        "agent": agent,
        "running": sources.iter().any(|s| is_running(s.look)),
        "sources": list(sources, source_json),
    })
}

fn list<'a, T: 'a>(items: impl IntoIterator<Item = &'a T>, to: impl Fn(&T) -> Value) -> Vec<Value> {
    items.into_iter().map(to).collect()
}

fn source_json(source: &Shown<'_>) -> Value {
    let look = source.look;
    let holder = match &look.tenant {
        Ok(Tenant::Agent(holder) | Tenant::Nobody(holder)) => holder.as_ref(),
        Err(_) => None,
    };
    let record = look.record.as_ref().ok().and_then(Option::as_ref);
    let fault = look.record.as_ref().err().or(look.files_fault.as_ref()).cloned();
    let fault = fault.or_else(|| look.file_fault());
    let is_known = source.is_known();
    let files = look.files.iter().filter(|_| is_known).map(|file| {
        let mut members = file_json(&file.view);
        members.insert("lines_behind".to_string(), json!(file.lines_behind));
        members.insert("lines_behind_is_estimate".to_string(), json!(file.is_estimate));
        members.insert("modified_ms".to_string(), json!(file.modified_ms));
        Value::Object(members)
    });
    let channels = record.iter().flat_map(|r| {
        r.channels.iter().enumerate().map(|(at, channel)| channel_json(r, at, channel))
    });
    let rate = |of: fn(&super::Rate) -> f64| source.rate.as_ref().map(|r| rounded(of(r)));
    json!({
        "name": source.config.name,
        "spool_dir": source.config.spool_dir.to_string_lossy(),
        "running": is_running(look),
        "pid": holder.map(|h| h.pid),
        "since": holder.map(|h| &h.since),
        "fault": fault.map(|unread| unread.to_string()),
        "troubles": list(&look.troubles, trouble_json),
        "generation": record.map(|r| r.generation),
        "last_ack_ms": look.checkpoint_ms,
        "behind_bytes": is_known.then(|| source.behind()),
        "behind_lines": source.lines_behind().filter(|_| is_known),
        "behind_lines_is_estimate": source.is_estimate(),
        "oldest_unsent_at_least_ms": source.oldest_unsent_ms().filter(|_| is_known),
        "bytes_per_second": rate(|r| r.bytes_per_s),
        "lines_per_second": rate(|r| r.lines_per_s),
        "catch_up_seconds": source.catch_up_s().map(rounded),
        "batches_in_doubt": is_known.then(|| source.in_doubt()),
        "dead_letters": is_known.then_some(look.dead_letters),
        "files": files.collect::<Vec<Value>>(),
        "channels": channels.collect::<Vec<Value>>(),
        "receipts": look.receipts.count,
        "last_receipts": list(&look.receipts.last, receipt_json),
    })
}

fn channel_json(record: &Record, at: usize, channel: &ChannelRecord) -> Value {
    let partitions = channel.partitions.iter();
    let partitions = partitions.map(|p| partition_json(p, doubt_of(record, at, p.partition)));
    Value::Object(exposition::channel_json(channel, partitions))
}

pub(super) fn prometheus(agent: &str, sources: &[Shown<'_>]) -> String {
    let mut out = Exposition::default();
    let up = sources.iter().any(|s| is_running(s.look));
    // A lock that cannot be looked at says neither.
    if up || sources.iter().all(|s| s.look.tenant.is_ok()) {
        out.add("flume_ng_up", &[("agent", agent)], u8::from(up));
    }
    for source in sources {
        let name = source.config.name.as_str();
        let labels = [("agent", agent), ("source", name)];
        if source.is_known() {
            let files: Vec<FileView> = source.look.files.iter().map(|f| f.view.clone()).collect();
            out.add_files(agent, name, &files);
            out.add("flume_ng_batches_in_doubt", &labels, source.in_doubt());
            out.add("flume_ng_dead_letters", &labels, source.look.dead_letters);
        }
        if source.look.receipts.fault.is_none() {
            out.add("flume_ng_receipts", &labels, source.look.receipts.count);
        }
        if let Some(ms) = source.look.checkpoint_ms {
            out.add("flume_ng_checkpoint_time_seconds", &labels, ms as f64 / 1000.0);
        }
        if let Ok(Some(record)) = &source.look.record {
            for channel in &record.channels {
                out.add_partitions(agent, name, channel);
            }
        }
    }
    out.text()
}
