//! The page at `/`: how things stand, for people. One file, nothing from elsewhere.
//!
//! It is made here, whole, each time: without script the browser asks again every five seconds, with it
//! the part that changes is exchanged each second. Everything that comes from a name, a broker or a log
//! line is escaped in one place ([`text`]).

use std::fmt::Write as _;

use super::exposition::FileView;
use super::{SourceStats, Stats};
use crate::checkpoint::trouble::Trouble;
use crate::text::{grouped, size, span};

/// Rows of a table; what is beyond is counted.
const ROWS_MAX: usize = 500;
/// Width and height of a chart.
const CHART: (f64, f64) = (600.0, 60.0);

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<style>
:root { color-scheme: light dark; --line: #8884; --good: #2a8; --wait: #c80; --bad: #d33; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; }
h1 { font-size: 1.4rem; border-left: .5rem solid var(--good); padding-left: .6rem; overflow-wrap: anywhere; }
h1.wait { border-color: var(--wait); } h1.bad { border-color: var(--bad); }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; } p { margin: .2rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .15rem .5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; }
progress { width: 6rem; } svg { width: 100%; height: 60px; } polyline { fill: none; stroke: var(--good); stroke-width: 1.5; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
</style>"#;

const SCRIPT: &str = r#"<script>
setInterval(async () => {
  try {
    const answer = await fetch("/");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.title = page.title;
  } catch { document.querySelector("h1").textContent = "no answer: the agent has ended, or stands still"; }
}, 1000);
</script>"#;

/// How things stand, in the order of their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    Wait,
    Bad,
}

impl Mood {
    fn class(self) -> &'static str {
        match self {
            Mood::Good => "good",
            Mood::Wait => "wait",
            Mood::Bad => "bad",
        }
    }
}

/// For HTML, between tags and in quoted attributes.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // No control character, and none that turns the direction of what follows.
            c if c.is_control() || is_direction(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The whole page.
pub(super) fn page(stats: &Stats, warnings: &[String]) -> String {
    let (mood, verdict) = verdict(stats);
    let (agent, mut out) = (text(&stats.agent), String::from(HEAD));
    // Writing to a String does not fail, hence `let _ =` throughout.
    let _ = write!(out, "<title>{agent}: {}</title></head><body><main>", text(&verdict));
    let _ = write!(out, "<h1 class=\"{}\">{}</h1>", mood.class(), text(&verdict));
    let up = span(u64::try_from(stats.now_ms.saturating_sub(stats.start_ms)).unwrap_or(0));
    let _ = write!(
        out,
        "<p>agent {agent}, flume-ng {}, up {up}, at {}</p>",
        env!("CARGO_PKG_VERSION"),
        text(&stats.now)
    );
    for source in &stats.sources {
        write_source(&mut out, source);
    }
    let warnings: Vec<String> = warnings.iter().rev().map(|line| text(line)).collect();
    let _ = write!(out, "<h2>Last warnings</h2><pre>{}</pre>", warnings.join("\n"));
    out.push_str("<p>For Flume metrics please click <a href=\"/metrics\">here</a>; for others ");
    out.push_str(
        "<a href=\"/prometheus\">here</a>; for scripts <a href=\"/status.json\">here</a>.</p>",
    );
    let _ = write!(out, "</main>{SCRIPT}</body></html>\n");
    out
}

/// The first sentence: what a person at night wants to know.
fn verdict(stats: &Stats) -> (Mood, String) {
    let mut faults = stats.sources.iter().filter_map(|source| source.fault.as_deref());
    if let Some(fault) = faults.next() {
        return (Mood::Bad, format!("needs somebody: {fault}"));
    }
    let mut apart = stats.sources.iter().flat_map(|source| &source.apart);
    if let Some(why) = apart.next() {
        return (Mood::Wait, format!("waiting for Kafka: {why}"));
    }
    let behind: u64 = stats.sources.iter().flat_map(|s| &s.files).map(FileView::behind).sum();
    let rate: f64 = stats.sources.iter().filter_map(|s| s.rate).map(|rate| rate.bytes_per_s).sum();
    let letters: u64 = stats.sources.iter().filter_map(|s| s.dead_letters).sum();
    if letters > 0 {
        let s = if letters == 1 { "" } else { "s" };
        return (Mood::Bad, format!("needs somebody: {} dead letter{s}", grouped(letters)));
    }
    match behind {
        0 => (Mood::Good, "caught up".to_string()),
        _ if rate >= 1.0 => {
            let ms = (behind as f64 * 1_000.0 / rate) as u64;
            (Mood::Good, format!("delivering, {} to catch up ({})", span(ms), size(behind)))
        }
        _ => (Mood::Good, format!("{} behind", size(behind))),
    }
}

fn write_source(out: &mut String, source: &SourceStats) {
    let _ = write!(out, "<h2>Source {}: {}</h2>", text(&source.name), text(&source.spool_dir));
    for (what, rate) in [("now", source.rate), ("last hour", source.last_hour)] {
        let Some(rate) = rate else { continue };
        let (lines, bytes) = (grouped(rate.lines_per_s as u64), size(rate.bytes_per_s as u64));
        let _ = write!(out, "<p>{what}: {lines} lines/s, {bytes}/s</p>");
    }
    write_chart(out, &source.curve);
    let behind = source.files.iter().map(FileView::behind).sum::<u64>();
    let _ = write!(out, "<p>{} behind, {} batches in doubt", size(behind), source.in_doubt);
    if let Some(letters) = source.dead_letters {
        let _ = write!(out, ", {} dead letters", grouped(letters));
    }
    out.push_str("</p>");
    for trouble in &source.troubles {
        let (Trouble::Brokers { why, .. } | Trouble::End { why, .. }) = trouble;
        let _ = write!(out, "<p>{}</p>", text(why));
    }
    write_files(out, &source.files);
    write_channels(out, source);
}

/// Lines a second, of the last hour at most.
fn write_chart(out: &mut String, curve: &[f64]) {
    let most = curve.iter().copied().fold(1.0, f64::max);
    if curve.len() < 2 {
        return;
    }
    let (width, height) = CHART;
    let step = width / (curve.len() - 1) as f64;
    let points: Vec<String> = curve
        .iter()
        .enumerate()
        .map(|(at, y)| {
            format!("{:.1},{:.1}", at as f64 * step, (height - 2.0) * (1.0 - y / most) + 1.0)
        })
        .collect();
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"lines per second of the last hour, at most {}\"><polyline points=\"{}\"/></svg>",
        grouped(most as u64),
        points.join(" ")
    );
}

fn write_files(out: &mut String, files: &[FileView]) {
    out.push_str("<div class=\"scroll\"><table><tr><th>file</th><th>state</th><th>delivered</th>");
    out.push_str("<th>size</th><th>behind</th><th>lines</th></tr>");
    for file in files.iter().take(ROWS_MAX) {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td><progress max=\"{}\" value=\"{}\"></progress></td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>",
            text(&file.name),
            file.state,
            file.size.max(1),
            if file.size == 0 { 1 } else { file.position },
            size(file.size),
            size(file.behind()),
            grouped(file.lines)
        );
    }
    out.push_str("</table></div>");
    if files.len() > ROWS_MAX {
        let _ = write!(out, "<p>and {} more files</p>", files.len() - ROWS_MAX);
    }
}

fn write_channels(out: &mut String, source: &SourceStats) {
    for (at, channel) in source.channels.iter().enumerate() {
        let (name, topic) = (text(&channel.name), text(&channel.topic));
        let _ = write!(out, "<h2>Channel {name}: topic {topic}</h2>");
        out.push_str("<div class=\"scroll\"><table><tr><th>partition</th><th>offset</th>");
        out.push_str("<th>next sequence</th><th>in doubt</th></tr>");
        for partition in channel.partitions.iter().take(ROWS_MAX) {
            let id = partition.partition;
            let doubts = source.doubts.iter().filter(|doubt| **doubt == (at, id)).count();
            let _ = write!(
                out,
                "<tr><td>{id}</td><td>{}</td><td>{}</td><td>{doubts}</td></tr>",
                partition.floor_offset, partition.next_sequence
            );
        }
        out.push_str("</table></div>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::rates::Rate;

    fn stats() -> Stats {
        let file = FileView { name: "a".into(), size: 100, position: 100, ..FileView::default() };
        let source = SourceStats { started: true, files: vec![file], ..SourceStats::default() };
        Stats { agent: "a1".into(), sources: vec![source], ..Stats::default() }
    }

    #[test]
    fn the_verdict_says_the_worst() {
        let mut stats = stats();
        assert_eq!(verdict(&stats), (Mood::Good, "caught up".to_string()));
        stats.sources[0].files[0].size = 12_100;
        stats.sources[0].rate = Some(Rate { bytes_per_s: 1_000.0, lines_per_s: 10.0 });
        assert!(verdict(&stats).1.starts_with("delivering, 12"), "{}", verdict(&stats).1);
        stats.sources[0].dead_letters = Some(1);
        assert_eq!(verdict(&stats), (Mood::Bad, "needs somebody: 1 dead letter".to_string()));
        stats.sources[0].apart.push("Channel c1 (topic t): no".into());
        let waits = "waiting for Kafka: Channel c1 (topic t): no".to_string();
        assert_eq!(verdict(&stats), (Mood::Wait, waits));
        stats.sources[0].fault = Some("Source r1 cannot start: no".into());
        let needs = "needs somebody: Source r1 cannot start: no".to_string();
        assert_eq!(verdict(&stats), (Mood::Bad, needs));
    }

    /// Whoever can name a file, or a topic, must not be able to write the page.
    #[test]
    fn hostile_names_are_text() {
        let hostile = "</td><script>alert('1')</script>\"&\u{202e}gol\u{7}";
        let mut stats = stats();
        stats.agent = hostile.into();
        stats.now = hostile.into();
        let source = &mut stats.sources[0];
        (source.name, source.spool_dir) = (hostile.into(), hostile.into());
        source.files[0].name = hostile.into();
        source.fault = Some(hostile.into());
        source.apart = vec![hostile.into()];
        source.troubles =
            vec![Trouble::Brokers { channel: hostile.into(), since_ms: 0, why: hostile.into() }];
        source.channels.push(crate::checkpoint::record::ChannelRecord {
            name: hostile.into(),
            topic: hostile.into(),
            ..Default::default()
        });
        let page = page(&stats, &[hostile.to_string()]);
        assert_eq!(page.matches("<script>").count(), 1, "our own");
        assert!(
            !page.contains("alert('1')") && !page.contains('\u{202e}') && !page.contains('\u{7}')
        );
        assert!(page.matches("&lt;script&gt;alert(&#39;1&#39;)").count() >= 9);
    }

    #[test]
    fn thousands_of_files_are_a_page_of_bounded_length() {
        let mut stats = stats();
        let file = stats.sources[0].files[0].clone();
        stats.sources[0].files = vec![file; 20_000];
        stats.sources[0].curve = (0..120).map(f64::from).collect();
        let page = page(&stats, &[]);
        assert!(page.contains("and 19500 more files"));
        assert!(page.len() < 200_000, "{}", page.len());
        assert!(page.contains("<polyline points=\"0.0,59.0 "), "{page}");
    }
}
