//! What was found, as a table for people and as JSON for scripts.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::content::Survey;
use super::inventory::{State, Subject};
use super::reach::Searched;
use serde_json::{Value, json};

use crate::channel::reader::TopicRecord;
use crate::log::is_disguise;
use crate::text::{counted, printable};

/// How many missing and repeated lines are shown.
pub(super) const EXAMPLES_MAX: usize = 10;
/// How much of each, bytes.
const EXCERPT_BYTES: usize = 120;

/// One file in one topic.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Index of the file.
    pub subject: usize,
    pub file: String,
    /// Empty if the file has not one event.
    pub topic: String,
    pub state: &'static str,
    pub bytes: u64,
    pub lines: u64,
    pub events: u64,
    /// Events that stand in their place and nowhere else.
    pub once: u64,
    pub missing: u64,
    /// Events that are in the dead-letter file: refused by the brokers, or too long to be one.
    pub dead_letters: u64,
    pub repeated: u64,
    /// Records among its events that are lines of other files which the agent knows.
    pub others: u64,
    /// Those that belong to none of the files.
    pub foreign: u64,
    pub notes: Vec<String>,
    /// Its bytes are there and are those that were sent.
    is_provable: bool,
}

impl Row {
    pub(super) fn new(at: usize, subject: &Subject, survey: &Survey, topic: String) -> Row {
        let is_gone = subject.bytes.are_gone();
        let claim = subject.claim;
        let mut notes = Vec::new();
        if survey.start > 0 {
            notes.push(format!(
                "read from byte {} on, where another agent had stopped: what stands before is not \
                 looked for",
                survey.start
            ));
        }
        if survey.skipped > 0 {
            notes.push(format!(
                "this agent read it from byte {} on and did not send what stands before \
                 (onBadCheckpoint or onNoCheckpoint = end): that is looked for in the whole topic",
                survey.skipped
            ));
        }
        if !is_gone && !survey.is_as_recorded {
            notes.push(format!(
                "the file has changed since it was collected: {} and {} were recorded (CRC-32 {:08x})",
                counted(claim.size, "byte"),
                counted(claim.events, "event"),
                claim.bytes_crc
            ));
        }
        Row {
            subject: at,
            file: subject.label.clone(),
            topic,
            state: match (is_gone, subject.state) {
                (true, _) => "gone",
                (_, State::Finished) => "finished",
                (_, State::Live) => "live",
            },
            bytes: if is_gone { claim.size } else { survey.bytes },
            lines: if is_gone { claim.lines } else { survey.lines },
            events: if is_gone { claim.events } else { survey.events + survey.giants },
            once: 0,
            missing: survey.giants - survey.buried,
            dead_letters: survey.buried,
            repeated: 0,
            others: 0,
            foreign: 0,
            notes,
            is_provable: !is_gone && survey.is_as_recorded,
        }
    }

    fn is_exact(&self) -> bool {
        self.is_accounted() && self.dead_letters == 0
    }

    /// Is every event in the topic once, or a dead letter?
    fn is_accounted(&self) -> bool {
        let places = self.once + self.dead_letters;
        self.is_provable && self.missing == 0 && self.repeated == 0 && places == self.events
    }
}

/// A line that is not in its place in the topic.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    file: String,
    /// Where it ends in the file.
    end: u64,
    excerpt: String,
}

impl Missing {
    pub(super) fn new(file: &str, end: u64, body: &[u8]) -> Missing {
        Missing { file: file.to_string(), end, excerpt: excerpt(body) }
    }
}

/// A record that should not be there.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    topic: String,
    partition: i32,
    offset: i64,
    producer_id: i64,
    excerpt: String,
}

impl Repeat {
    pub(super) fn new(topic: &str, record: &TopicRecord<'_>, body: &[u8]) -> Repeat {
        Repeat {
            topic: topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            producer_id: record.producer_id,
            excerpt: excerpt(body),
        }
    }
}

/// Everything that was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub rows: Vec<Row>,
    /// The first ones.
    pub missing: Vec<Missing>,
    pub repeats: Vec<Repeat>,
    pub problems: Vec<String>,
    /// What does not make the result less exact.
    pub remarks: Vec<String>,
    /// Records with a value of the files in the ranges of others whose bytes are gone.
    pub unclear: u64,
    /// Records that are no line of any file, and the first ones with their keys.
    pub unclaimed_records: u64,
    pub unclaimed: Vec<(u64, Repeat)>,
    /// How much of each topic was searched.
    pub searched: Vec<Searched>,
}

impl Report {
    /// Is every event of every file there exactly once? Only a run that has seen the whole topic can say so.
    pub(super) fn is_exact(&self) -> bool {
        self.is_clean() && self.searched.iter().all(Searched::is_whole)
    }

    /// Has everything been found that was asked for, and nothing else? (Exit code 0.)
    pub(super) fn holds(&self) -> bool {
        self.is_clean() && !self.searched.iter().any(Searched::is_cut_short)
    }

    /// Was no difference found where it was looked for?
    fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.rows.iter().all(Row::is_exact)
    }

    fn is_accounted(&self) -> bool {
        self.problems.is_empty() && self.rows.iter().all(Row::is_accounted)
    }

    pub(super) fn text(&self) -> String {
        let mut out = self.table();
        for row in &self.rows {
            for note in &row.notes {
                line(&mut out, format_args!("{}: {note}", row.file));
            }
            if row.dead_letters > 0 {
                let Row { file, dead_letters: n, .. } = row;
                line(&mut out, format_args!("{file}: {n} of its events in the dead-letter file"));
            }
        }
        for missing in &self.missing {
            let Missing { file, end, excerpt } = missing;
            line(
                &mut out,
                format_args!("missing: {file}, line that ends at byte {end}: {excerpt}"),
            );
        }
        for repeat in &self.repeats {
            let Repeat { topic, partition, offset, producer_id, excerpt } = repeat;
            line(
                &mut out,
                format_args!(
                    "repeated: topic {topic}, partition {partition}, offset {offset}, producer \
                     {producer_id}: {excerpt}"
                ),
            );
        }
        for (_, Repeat { topic, partition, offset, producer_id, excerpt }) in &self.unclaimed {
            line(
                &mut out,
                format_args!(
                    "by none of these agents: topic {topic}, partition {partition}, offset {offset}, \
                     producer {producer_id}: {excerpt}"
                ),
            );
        }
        for remark in &self.remarks {
            line(&mut out, format_args!("{remark}"));
        }
        for problem in &self.problems {
            line(&mut out, format_args!("{problem}"));
        }
        for sentence in self.searched.iter().filter_map(Searched::sentence) {
            line(&mut out, format_args!("{sentence}"));
        }
        line(&mut out, format_args!("{}", self.verdict()));
        out
    }

    fn verdict(&self) -> String {
        let events = self.rows.iter().map(|r| r.events).sum::<u64>();
        let event = if events == 1 { "" } else { "s" };
        let files = self.files();
        match (self.is_clean(), self.rows.is_empty()) {
            (true, true) => "Nothing to verify: of what this agent has collected no file is there \
                             (see above), or it has not collected any."
                .to_string(),
            (true, false) if self.is_exact() => {
                format!("Exact: {files}, {events} event{event}, each there once.")
            }
            (true, false) => format!(
                "No difference where it was looked for: {files}, {events} event{event}, each there once."
            ),
            (false, true) => "Nothing was verified: see above.".to_string(),
            (false, _) if self.is_accounted() => {
                let letters: u64 = self.rows.iter().map(|row| row.dead_letters).sum();
                format!(
                    "NOT exact: {letters} of {events} event{event} in the dead-letter file (refused by the \
                     brokers, or too long); each of the others is there once."
                )
            }
            (false, _) => "NOT exact: see above.".to_string(),
        }
    }

    /// `2 files`, or `2 files in 3 topics`: a file has a row for each topic.
    fn files(&self) -> String {
        let files: HashSet<usize> = self.rows.iter().map(|row| row.subject).collect();
        let topics = self.rows.iter().map(|row| row.topic.as_str()).filter(|t| !t.is_empty());
        let topics: HashSet<&str> = topics.collect();
        let count = files.len();
        let files = format!("{count} file{}", if count == 1 { "" } else { "s" });
        match topics.len() {
            ..2 => files,
            several => format!("{files} in {several} topics"),
        }
    }

    /// With bare names unless two files share one, and with the topics if there are several.
    fn table(&self) -> String {
        let Some(first) = self.rows.first() else { return String::new() };
        let names = self.names();
        let topics: Vec<&str> = match self.rows.iter().all(|row| row.topic == first.topic) {
            true => vec![""; self.rows.len()],
            false => self.rows.iter().map(|row| row.topic.as_str()).collect(),
        };
        let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let name_width = wide(&mut names.iter().map(|n| n.chars().count())).max(4);
        let topic_width = wide(&mut topics.iter().map(|t| t.chars().count()));
        let head = if topic_width == 0 { "" } else { "TOPIC" };
        let topic_width = topic_width.max(head.len());
        let mut out = String::new();
        let gap = if topic_width == 0 { "" } else { "  " };
        line(
            &mut out,
            format_args!(
                "{:<name_width$}{gap}{head:<topic_width$}  {:<8} {:>9} {:>9} {:>10} {:>7} {:>8} {:>7} {:>7}",
                "FILE",
                "STATE",
                "LINES",
                "EVENTS",
                "FOUND ONCE",
                "MISSING",
                "REPEATED",
                "OTHERS",
                "FOREIGN"
            ),
        );
        for ((row, name), topic) in self.rows.iter().zip(&names).zip(&topics) {
            let Row { state, lines, events, once, missing, repeated, others, foreign, .. } = row;
            line(
                &mut out,
                format_args!(
                    "{name:<name_width$}{gap}{topic:<topic_width$}  {state:<8} {lines:>9} \
                     {events:>9} {once:>10} {missing:>7} {repeated:>8} {others:>7} {foreign:>7}"
                ),
            );
        }
        out
    }

    /// What to call the file of each row.
    fn names(&self) -> Vec<&str> {
        let mut bearers = HashMap::new();
        let is_alone = |row| *bearers.entry(bare_name(row)).or_insert(row.subject) == row.subject;
        match self.rows.iter().all(is_alone) {
            true => self.rows.iter().map(bare_name).collect(),
            false => self.rows.iter().map(|row| row.file.as_str()).collect(),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "exact": self.is_exact(),
            "files": self.rows.iter().map(json_row).collect::<Vec<Value>>(),
            "missing": self.missing.iter().map(json_missing).collect::<Vec<Value>>(),
            "by_none": self.unclaimed_records,
            "first_by_none": self.unclaimed.iter().map(|(_, r)| json_repeat(r)).collect::<Vec<Value>>(),
            "repeated": self.repeats.iter().map(json_repeat).collect::<Vec<Value>>(),
            "problems": self.problems,
            "remarks": self.remarks,
            "searched_in_part": self.searched.iter().filter_map(Searched::json).collect::<Vec<Value>>(),
        })
    }
}

fn bare_name(row: &Row) -> &str {
    row.file.rsplit('/').next().unwrap_or_default()
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{}", printable(&text.to_string()));
}

fn json_row(row: &Row) -> Value {
    json!({
        "file": row.file,
        "topic": row.topic,
        "state": row.state,
        "exact": row.is_exact(),
        "bytes": row.bytes,
        "lines": row.lines,
        "events": row.events,
        "found_once": row.once,
        "missing": row.missing,
        "dead_letters": row.dead_letters,
        "repeated": row.repeated,
        "others": row.others,
        "foreign": row.foreign,
        "notes": row.notes,
    })
}

fn json_missing(missing: &Missing) -> Value {
    let Missing { file, end, excerpt } = missing;
    json!({ "file": file, "end": end, "text": excerpt })
}

fn json_repeat(repeat: &Repeat) -> Value {
    let Repeat { topic, partition, offset, producer_id, excerpt } = repeat;
    json!({
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "producer_id": producer_id,
        "text": excerpt,
    })
}

/// The beginning of a line, on one line of a terminal.
fn excerpt(body: &[u8]) -> String {
    let head = &body[..body.len().min(EXCERPT_BYTES)];
    let text: String = String::from_utf8_lossy(head)
        .chars()
        .map(|c| if is_disguise(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if head.len() < body.len() { format!("{text}…") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: usize, file: &str) -> Row {
        Row {
            subject,
            file: file.to_string(),
            topic: String::new(),
            state: "live",
            bytes: 0,
            lines: 0,
            events: 0,
            once: 0,
            missing: 0,
            dead_letters: 0,
            repeated: 0,
            others: 0,
            foreign: 0,
            notes: Vec::new(),
            is_provable: true,
        }
    }

    /// Each row was counted as a file: "Exact: 5 files" of three files in two topics.
    #[test]
    fn a_file_in_two_topics_is_one_file() {
        let verdict = |rows: &[(usize, &str)]| {
            let of = |(subject, topic): &(usize, &str)| Row {
                topic: topic.to_string(),
                events: 3,
                once: 3,
                ..row(*subject, "/a/x")
            };
            let searched = vec![Searched::Whole];
            Report { rows: rows.iter().map(of).collect(), searched, ..Report::default() }.verdict()
        };
        let told =
            |files: &str, events| format!("Exact: {files}, {events} events, each there once.");
        assert_eq!(verdict(&[(0, "t")]), told("1 file", 3));
        assert_eq!(verdict(&[(0, "t"), (1, "t")]), told("2 files", 6));
        assert_eq!(verdict(&[(0, "t"), (0, "u")]), told("1 file in 2 topics", 6));
        let three = [(0, "t"), (0, "u"), (1, "t"), (1, "u"), (2, "t")];
        assert_eq!(verdict(&three), told("3 files in 2 topics", 15));
    }

    #[test]
    fn files_have_bare_names_unless_two_share_one() {
        let names = |rows: &[(usize, &str)]| -> Vec<String> {
            let rows = rows.iter().map(|(subject, file)| row(*subject, file)).collect();
            let report = Report { rows, ..Report::default() };
            report.names().iter().map(|name| name.to_string()).collect()
        };
        assert_eq!(names(&[(0, "/a/x"), (0, "/a/x"), (1, "/b/y")]), ["x", "x", "y"]);
        assert_eq!(names(&[(0, "/a/x"), (1, "/b/x")]), ["/a/x", "/b/x"]);
    }

    #[test]
    fn excerpts_are_short_and_harmless() {
        assert_eq!(excerpt(b"a\x1b[31mb\xff"), "a\u{fffd}[31mb\u{fffd}");
        assert!(excerpt(&[b'x'; 500]).ends_with("x…"));
    }

    #[test]
    fn nothing_to_verify_is_no_difference() {
        let report = Report::default();
        assert!(report.is_exact() && report.text().starts_with("Nothing"));
        let problems = vec!["x: no receipt".to_string()];
        assert!(!Report { problems, ..Report::default() }.is_exact());
    }

    #[test]
    fn nothing_is_exact_that_was_searched_in_part() {
        let from = Searched::From { topic: "t".to_string(), bytes: 1, offsets: vec![(0, 7)] };
        let ranges = Searched::Ranges { topic: "t".to_string() };
        for (searched, holds) in [(from, false), (ranges, true)] {
            let report = Report { searched: vec![Searched::Whole, searched], ..Report::default() };
            assert_eq!((report.is_exact(), report.holds()), (false, holds));
        }
    }
}
