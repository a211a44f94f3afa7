//! The status page at `/`, for people. One file, nothing from elsewhere.
//!
//! It is made here, whole, each time. Without script the browser asks for it again every five seconds.
//! With script it follows `/status.json` each second: each value that moves says where it is to be found
//! there ([`live`]), and where there are other rows than before (`shape`), the whole page is asked for again.

mod chart;
mod html;
pub(crate) mod verdict;

use std::fmt::Write as _;

use super::ages::Age;
use super::exposition::FileView;
use super::{LinkStats, SourceStats, Stats};
use crate::channel::standing::DAYS_LEFT_MIN;
use crate::channel::tls::Summary;
use crate::checkpoint::dead_letter::Letter;
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::PartitionRecord;
use crate::checkpoint::trouble::Trouble;
use crate::clock::{Clock as _, SystemClock};
use crate::text::{counted, grouped, size, span};
use html::{Table, live, text};

/// Rows of a table; what is beyond is counted.
const ROWS_MAX: usize = 500;
/// Characters of a broker's last error.
const ERROR_CHARS_MAX: usize = 300;

/// What is not known, or nothing.
const NONE: &str = "–";

const HEAD: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
    "<link rel=\"icon\" href=\"data:,\">",
    "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n<style>\n",
    include_str!("page.css"),
    "</style>\n"
);

const TAIL: &str = concat!(
    "<p class=\"dim\">For Flume metrics please click <a href=\"/metrics\">here</a>; for Prometheus \
     <a href=\"/prometheus\">here</a>; for scripts <a href=\"/status.json\">here</a>.</p></main>\n<script>\n",
    include_str!("page.js"),
    "</script></body></html>\n"
);

/// Tells pages with the same rows from others.
pub(super) fn shape(stats: &Stats) -> String {
    let mut crc = crc32fast::Hasher::new();
    let mut add = |part: &str| {
        crc.update(part.as_bytes());
        crc.update(b"\0");
    };
    for source in &stats.sources {
        add(&source.name);
        add(source.fault.as_deref().unwrap_or_default());
        for file in &source.files {
            add(&file.name);
            add(file.state);
        }
        for (channel, link) in source.channels.iter().zip(&source.links) {
            add(&channel.name);
            channel.partitions.iter().for_each(|p| add(&p.partition.to_string()));
            for broker in &link.brokers {
                add(&broker.address);
                add(broker.state.name());
                let certificate = broker.certificate.as_ref().or(link.own_certificate.as_ref());
                add(&certificate.map_or(String::new(), |shown| shown.not_after.to_string()));
            }
            link.leaders.iter().for_each(|leader| add(leader.as_deref().unwrap_or_default()));
        }
        for trouble in &source.troubles {
            let (Trouble::Brokers { why, .. } | Trouble::End { why, .. }) = trouble;
            add(why);
        }
        let last = source.finished.last().map_or(0, |receipt| receipt.finished_ms);
        let letters = source.dead_letters.unwrap_or(0);
        add(&format!("{last} {letters} {}", source.curve.len() < 2));
    }
    add(stats.warnings.last().map_or("", String::as_str));
    add(&format!("{} {}", stats.conf.loaded_ms, stats.conf.is_refused));
    format!("{:08x}", crc.finalize())
}

/// The whole page.
pub(super) fn page(stats: &Stats) -> String {
    let (mood, verdict) = verdict::verdict(stats);
    let (agent, mut out) = (text(&stats.agent), String::from(HEAD));
    // Writing to a String does not fail, hence `let _ =` throughout.
    let _ = write!(out, "<title>{agent}: {}</title></head><body>", text(&verdict));
    let _ = write!(out, "<main data-shape=\"{}\">", shape(stats));
    let _ = write!(
        out,
        "<h1 class=\"{}\">{} <time>{}</time></h1>",
        mood.name(),
        live("verdict.text", "text", text(&verdict)),
        live("now", "text", text(&stats.now))
    );
    write_facts(&mut out, stats);
    for (at, source) in stats.sources.iter().enumerate() {
        Section { at, source, now_ms: stats.now_ms }.write(&mut out);
    }
    if stats.warnings.is_empty() {
        out.push_str("<h2>No warnings</h2>");
    } else {
        let lines: Vec<String> = stats.warnings.iter().rev().map(|line| text(line)).collect();
        let _ = write!(out, "<h2>Last warnings</h2><pre>{}</pre>", lines.join("\n"));
    }
    out.push_str(TAIL);
    out
}

fn write_facts(out: &mut String, stats: &Stats) {
    let up_ms = u64::try_from(stats.now_ms.saturating_sub(stats.start_ms)).unwrap_or(0);
    let cpu = stats.cpu_us_per_line().map_or(NONE.to_string(), |us| format!("{us:.1} µs"));
    let conf = &stats.conf;
    let refused = if conf.is_refused {
        "; <span class=\"bad\">a later change was refused, see the warnings</span>"
    } else {
        ""
    };
    let facts = [
        ("agent", text(&stats.agent)),
        ("version", env!("CARGO_PKG_VERSION").to_string()),
        ("up", live("uptime_ms", "span", span(up_ms))),
        ("CPU for each line", live("cpu_us_per_line", "us", cpu)),
        ("CPU in all", live("cpu_ms", "span", span(stats.usage.cpu_us / 1_000))),
        ("memory", live("memory_bytes", "size", size(stats.usage.memory_bytes))),
        ("configuration", format!("{}{refused}", text(&conf.file))),
        ("loaded", text(&stamp(conf.loaded_ms))),
    ];
    out.push_str("<dl>");
    for (name, value) in facts {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    out.push_str("</dl>");
}

/// What there is of a source.
struct Section<'a> {
    /// Its place in `/status.json`.
    at: usize,
    source: &'a SourceStats,
    /// Unix time.
    now_ms: i64,
}

impl Section<'_> {
    fn live(&self, path: &str, format: &str, shown: Option<String>) -> String {
        let shown = shown.unwrap_or_else(|| NONE.to_string());
        let path = if path.is_empty() { String::new() } else { format!(".{path}") };
        live(&format!("sources.{}{path}", self.at), format, shown)
    }

    fn write(&self, out: &mut String) {
        let source = self.source;
        let _ = write!(out, "<h2>Source {}: {}</h2>", text(&source.name), text(&source.spool_dir));
        if let Some(fault) = &source.fault {
            let _ = write!(out, "<p class=\"bad\">{}</p>", text(fault));
        }
        self.write_rates(out);
        for trouble in &source.troubles {
            let _ = write!(out, "<p class=\"bad\">{}</p>", trouble_text(trouble));
        }
        self.write_files(out);
        for at in 0..source.channels.len().min(source.links.len()) {
            self.write_channel(out, at);
        }
        write_finished(out, &source.finished);
        write_letters(out, source);
    }

    fn write_rates(&self, out: &mut String) {
        let source = self.source;
        let lines = |rate: Option<super::Rate>| rate.map(|r| lines_per_s(r.lines_per_s));
        let bytes =
            |rate: Option<super::Rate>| rate.map(|r| format!("{}/s", size(r.bytes_per_s as u64)));
        let behind = source.files.iter().map(FileView::behind).sum();
        let catch_up = source.catch_up_ms(behind).filter(|_| behind > 0);
        let facts = [
            (
                "now",
                [
                    self.live("lines_per_second", "lines", lines(source.rate)),
                    self.live("bytes_per_second", "rate", bytes(source.rate)),
                ]
                .join(", "),
            ),
            (
                "last hour",
                [
                    self.live("lines_per_second_last_hour", "lines", lines(source.last_hour)),
                    self.live("bytes_per_second_last_hour", "rate", bytes(source.last_hour)),
                ]
                .join(", "),
            ),
            ("behind", self.live("behind_bytes", "size", Some(size(behind)))),
            ("oldest line not delivered", self.live("", "age", self.oldest())),
            ("time to catch up", self.live("catch_up_ms", "span", catch_up.map(span))),
            (
                "batches in doubt",
                self.live("batches_in_doubt", "grouped", Some(source.in_doubt.to_string())),
            ),
            (
                "dead letters",
                self.live("dead_letters", "grouped", source.dead_letters.map(grouped)),
            ),
        ];
        out.push_str("<dl>");
        for (name, value) in facts {
            let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        out.push_str("</dl>");
        out.push_str(&chart::chart(&source.curve, source.curve_ms));
    }

    fn oldest(&self) -> Option<String> {
        self.source.oldest().map(age)
    }

    fn write_files(&self, out: &mut String) {
        let files = &self.source.files;
        if files.is_empty() {
            out.push_str("<h3>No files to read</h3>");
            return;
        }
        out.push_str("<h3>Files</h3>");
        let heads =
            ["file", "state", "delivered", "of", "behind", "oldest line", "catch up", "lines"];
        let mut table = Table::new(&heads, &[]);
        for (at, file) in files.iter().take(ROWS_MAX).enumerate() {
            let live = |member: &str, format: &str, shown: Option<String>| {
                let member = if member.is_empty() { String::new() } else { format!(".{member}") };
                self.live(&format!("files.{at}{member}"), format, shown)
            };
            let (most, done) = if file.size == 0 { (1, 1) } else { (file.size, file.position) };
            let bar = format!(
                "<progress data-j=\"sources.{}.files.{at}\" max=\"{most}\" value=\"{done}\"></progress>",
                self.at
            );
            table.row(&[
                text(&file.name),
                if file.is_unfinished && file.behind() > 0 {
                    format!("{}, half a line", file.state)
                } else {
                    file.state.to_string()
                },
                bar,
                live("size", "size", Some(size(file.size))),
                live("behind_bytes", "size", Some(size(file.behind()))),
                live("", "age", Some(file.oldest.map(age).unwrap_or_default())),
                live("catch_up_ms", "span", file.catch_up_ms.map(span)),
                live("lines", "grouped", Some(grouped(file.lines))),
            ]);
        }
        out.push_str(&table.end());
        if files.len() > ROWS_MAX {
            let _ =
                write!(out, "<p>and {} more files</p>", grouped((files.len() - ROWS_MAX) as u64));
        }
    }

    fn write_channel(&self, out: &mut String, at: usize) {
        let (channel, link) = (&self.source.channels[at], &self.source.links[at]);
        let (name, topic) = (text(&channel.name), text(&channel.topic));
        let _ = write!(out, "<h3>Channel {name}: topic {topic}</h3>");
        let heads = [
            "partition",
            "leader",
            "last offset",
            "in flight",
            "in doubt",
            "round trip p50",
            "p99",
        ];
        let mut table = Table::new(&heads, &[]);
        for (row, partition) in channel.partitions.iter().take(ROWS_MAX).enumerate() {
            let live = |member: &str, format: &str, shown: Option<String>| {
                let path = format!("channels.{at}.partitions.{row}.{member}");
                self.live(&path, format, shown)
            };
            let trip = link.trips.get(row).copied().flatten();
            let ms = |ms: f64| format!("{ms:.1} ms");
            let count = |of: &[(usize, i32)]| {
                let is_it = |entry: &&(usize, i32)| **entry == (at, partition.partition);
                Some(of.iter().filter(is_it).count().to_string())
            };
            let leader = link.leaders.get(row).and_then(Option::as_deref);
            table.row(&[
                partition.partition.to_string(),
                text(leader.unwrap_or(NONE)),
                live(
                    "last_offset",
                    "text",
                    last_offset(partition).map(|offset| offset.to_string()),
                ),
                live("batches_in_flight", "grouped", count(&self.source.flights)),
                live("batches_in_doubt", "grouped", count(&self.source.doubts)),
                live("round_trip_ms_p50", "ms", trip.map(|(median, _)| ms(median))),
                live("round_trip_ms_p99", "ms", trip.map(|(_, most)| ms(most))),
            ]);
        }
        out.push_str(&table.end());
        write_brokers(out, link, self.now_ms);
    }
}

fn lines_per_s(lines: f64) -> String {
    format!("{} lines/s", grouped(lines.round() as u64))
}

/// Of our last event there that is acknowledged.
pub(super) fn last_offset(partition: &PartitionRecord) -> Option<i64> {
    partition.mark.map(|mark| mark.offset + i64::from(mark.count) - 1)
}

fn age(age: Age) -> String {
    match age {
        Age::AtMost(ms) => format!("≤ {}", span(ms)),
        Age::AtLeast(ms) => format!("≥ {}", span(ms)),
    }
}

fn stamp(ms: i64) -> String {
    SystemClock::new().local(ms).log_stamp().to_string()
}

fn trouble_text(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Brokers { channel, since_ms, why } => {
            format!(
                "Channel {} takes nothing since {}: {}",
                text(channel),
                stamp(*since_ms),
                text(why)
            )
        }
        Trouble::End { code, since_ms, why } => {
            format!(
                "The run before ended with exit code {code} on {}: {}",
                stamp(*since_ms),
                text(why)
            )
        }
    }
}

fn write_brokers(out: &mut String, link: &LinkStats, now_ms: i64) {
    if link.brokers.is_empty() {
        return;
    }
    let has_tls = link.brokers.iter().any(|broker| broker.certificate.is_some());
    let heads = ["broker", "state", "last error", "certificate"];
    let mut table = Table::new(if has_tls { &heads } else { &heads[..3] }, &[2]);
    for broker in link.brokers.iter().take(ROWS_MAX) {
        let error = broker.last_error.as_ref().map(|(why, ago)| {
            let why: String = why.chars().take(ERROR_CHARS_MAX).collect();
            format!("{} ({} ago)", text(&why), span(ago.as_millis() as u64))
        });
        let error = error.unwrap_or_else(|| NONE.to_string());
        let mut row = vec![text(&broker.address), broker.state.name().to_string(), error];
        if has_tls {
            let shown = broker.certificate.as_ref().map(|shown| certificate(shown, now_ms));
            row.push(shown.unwrap_or_else(|| NONE.to_string()));
        }
        table.row(&row);
    }
    out.push_str(&table.end());
    if let Some(own) = &link.own_certificate {
        let _ = write!(out, "<p>Own certificate: {}</p>", certificate(own, now_ms));
    }
}

/// Whose it is, and for how long.
fn certificate(certificate: &Summary, now_ms: i64) -> String {
    let days = certificate.days_left(now_ms.div_euclid(1_000));
    let subject: String = certificate.subject.chars().take(ERROR_CHARS_MAX).collect();
    let left = match days {
        ..0 => "<span class=\"bad\">has expired</span>".to_string(),
        0..DAYS_LEFT_MIN => {
            format!("<span class=\"bad\">{} left</span>", counted(days as u64, "day"))
        }
        _ => format!("{} left", counted(days as u64, "day")),
    };
    format!("{}: {left}", text(&subject))
}

fn write_finished(out: &mut String, finished: &[Receipt]) {
    if finished.is_empty() {
        return;
    }
    out.push_str("<h3>Finished last</h3>");
    let mut table = Table::new(&["file", "finished", "lines", "size", "offsets"], &[4]);
    for receipt in finished.iter().rev() {
        let range = |range: &crate::checkpoint::receipt::ReceiptRange| {
            format!("{}/{}: {} to {}", text(&range.topic), range.partition, range.first, range.last)
        };
        let ranges: Vec<String> = receipt.ranges.iter().map(range).collect();
        table.row(&[
            text(&String::from_utf8_lossy(&receipt.name)),
            stamp(receipt.finished_ms),
            grouped(receipt.lines),
            size(receipt.size),
            ranges.join("; "),
        ]);
    }
    out.push_str(&table.end());
}

fn write_letters(out: &mut String, source: &SourceStats) {
    if source.letters.is_empty() {
        return;
    }
    out.push_str("<h3>Dead letters</h3>");
    let mut table = Table::new(&["file", "bytes", "size", "topic", "time", "why"], &[5]);
    for letter in source.letters.iter().rev() {
        let Letter { file, start, end, bytes, topic, time_ms, reason, .. } = letter;
        table.row(&[
            text(file),
            format!("{start} to {end}"),
            size(*bytes),
            text(topic),
            stamp(*time_ms),
            text(reason),
        ]);
    }
    out.push_str(&table.end());
}

#[cfg(test)]
mod tests;
