//! The letters as a table or as JSON.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Mail;
use crate::checkpoint::dead_letter::{Letter, State};
use crate::clock::{Clock as _, SystemClock};
use crate::config::model::SourceConfig;
use crate::log::counted;
use crate::monitor::health::letter_json;
use crate::os;
use crate::text::{columns, grouped, printable, size};

/// How much of the log files is read to count lines, bytes, all letters together.
const COUNTED_BYTES_MAX: u64 = 1 << 30;

/// Letters with the lines that they are from.
pub(super) struct Listing<'a> {
    sources: Vec<(&'a SourceConfig, Vec<Row<'a>>)>,
}

struct Row<'a> {
    number: usize,
    letter: &'a Letter,
    /// The name of its file by the configuration of now.
    file: String,
    /// Counted from 1; `None` where the file is gone.
    line: Option<u64>,
}

impl<'a> Listing<'a> {
    pub(super) fn of(sources: &[&'a SourceConfig], boxes: &'a [Mail]) -> Listing<'a> {
        let mut budget = COUNTED_BYTES_MAX;
        let rows = |(source, mail): (&&'a SourceConfig, &'a Mail)| {
            let mut rows: Vec<Row<'a>> = mail
                .letters
                .iter()
                .enumerate()
                .map(|(at, letter)| {
                    let file = letter.file_from(&source.spool_dir);
                    Row { number: at + 1, letter, file, line: None }
                })
                .collect();
            find_lines(source, &mut rows, &mut budget);
            (*source, rows)
        };
        Listing { sources: sources.iter().zip(boxes).map(rows).collect() }
    }

    pub(super) fn json(&self) -> Value {
        let row = |row: &Row<'_>| {
            let mut members = json!({ "number": row.number, "line": row.line });
            if let (Value::Object(members), Value::Object(more)) =
                (&mut members, letter_json(row.letter))
            {
                members.extend(more);
                members.insert("file".to_string(), json!(row.file));
                members.insert("partition".to_string(), json!(row.letter.partition));
                members.insert("is_whole_line".to_string(), json!(row.letter.is_giant));
            }
            members
        };
        let sources = self.sources.iter().map(|(source, rows)| {
            let unsettled = rows.iter().filter(|row| row.letter.state == State::Unsettled).count();
            json!({
                "name": source.name,
                "unsettled": unsettled,
                "letters": rows.iter().map(row).collect::<Vec<Value>>(),
            })
        });
        json!({ "sources": sources.collect::<Vec<Value>>() })
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (source, rows) in &self.sources {
            let unsettled = rows.iter().filter(|row| row.letter.state == State::Unsettled).count();
            out.push_str(&format!(
                "source {}: {}, {} not settled\n",
                source.name,
                counted(rows.len() as u64, "dead letter"),
                grouped(unsettled as u64)
            ));
            if rows.is_empty() {
                continue;
            }
            let heads = ["", "state", "file", "line", "bytes", "size", "time", "why"];
            let mut cells = vec![heads.map(str::to_string).to_vec()];
            cells.extend(rows.iter().map(text_row));
            out.push_str(&columns(&cells, 2));
        }
        out
    }
}

fn text_row(row: &Row<'_>) -> Vec<String> {
    let letter = row.letter;
    vec![
        row.number.to_string(),
        letter.state.name().to_string(),
        printable(&row.file),
        row.line.map_or_else(|| "-".to_string(), grouped),
        format!("{} to {}", letter.start, letter.end),
        size(letter.bytes),
        SystemClock::new().local(letter.time_ms).log_stamp().to_string(),
        printable(&letter.reason),
    ]
}

/// Counts in each file once. A file that holds other bytes by now gives other lines: it is looked for by
/// its name, as it was read and as it was left.
fn find_lines(source: &SourceConfig, rows: &mut [Row<'_>], budget: &mut u64) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| {
        let key = |at: usize| (&rows[at].file, rows[at].letter.start);
        key(a).cmp(&key(b))
    });
    let mut open: Option<(String, Option<Lines>)> = None;
    for at in order {
        let Row { letter, file, .. } = &rows[at];
        if open.as_ref().is_none_or(|(name, _)| name != file) {
            open = Some((file.clone(), Lines::open(source, file)));
        }
        let start = letter.start;
        let lines = open.as_mut().and_then(|(_, lines)| lines.as_mut());
        rows[at].line = lines.and_then(|lines| lines.before(start, budget)).map(|n| n + 1);
    }
}

/// Counts the newlines of a file, forwards only.
struct Lines {
    file: File,
    at: u64,
    count: u64,
}

impl Lines {
    fn open(source: &SourceConfig, name: &str) -> Option<Lines> {
        let mut left = source.spool_dir.join(name).into_os_string();
        left.push(&source.file_suffix);
        let paths = [source.spool_dir.join(name), PathBuf::from(left)];
        let file = paths.iter().find_map(|path| os::open_regular(path, 0).ok())?;
        Some(Lines { file, at: 0, count: 0 })
    }

    /// `None` where the file is shorter, or enough was read.
    fn before(&mut self, end: u64, budget: &mut u64) -> Option<u64> {
        let mut buffer = vec![0; 256 << 10];
        while self.at < end {
            let want = buffer.len().min(usize::try_from(end - self.at).unwrap_or(usize::MAX));
            *budget = budget.checked_sub(want as u64)?;
            let n = self.file.read(&mut buffer[..want]).ok().filter(|n| *n > 0)?;
            self.count += memchr::memchr_iter(b'\n', &buffer[..n]).count() as u64;
            self.at += n as u64;
        }
        (self.at == end).then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::dead_letter;
    use crate::config;
    use std::fs;

    /// With another group the root of all is another one, below which another file has the name of this.
    #[test]
    fn a_letter_is_of_the_file_that_had_its_name_when_it_was_written() {
        let dir =
            std::env::temp_dir().join(format!("flume-ng-letter-names-{}", std::process::id()));
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::write(dir.join("app.log"), "x\n".repeat(9)).unwrap();
        fs::write(dir.join("a/app.log"), "one\ntwo\nthree\n").unwrap();
        let shown = dir.display();
        let conf = format!(
            "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = TAILDIR\na1.sources.r1.channels = c1\n\
             a1.sources.r1.positionFile = {shown}/positions.json\na1.sources.r1.filegroups = f1 f2\n\
             a1.sources.r1.filegroups.f1 = {shown}/a/.*log\na1.sources.r1.filegroups.f2 = {shown}/.*log\n\
             a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
             a1.channels.c1.kafka.bootstrap.servers = localhost:9092\na1.channels.c1.kafka.topic = t\n"
        );
        fs::write(dir.join("conf"), conf).unwrap();
        let loaded = config::load(&dir.join("conf"), "a1").unwrap();
        let letter = |from: &str| {
            format!(
                "time=1 topic=t partition=0 file=app.log{from} start=4 end=8 bytes=3 reason=x\ntwo\n"
            )
        };
        let path = dir.join("dead-letter");
        let from = format!(" names_from={shown}/a");
        fs::write(&path, [letter(&from), letter("")].concat()).unwrap();
        let mut letters = Vec::new();
        dead_letter::each(&path, &mut |letter| letters.push(letter)).unwrap();
        let mail = [Mail { path, letters, halves: Vec::new() }];
        let listing = Listing::of(&[&loaded.config.sources[0]], &mail).json();
        fs::remove_dir_all(&dir).unwrap();
        let of = |at: usize| {
            let letter = &listing["sources"][0]["letters"][at];
            (letter["file"].as_str().unwrap().to_string(), letter["line"].as_u64())
        };
        assert_eq!(of(0), ("a/app.log".to_string(), Some(2)));
        // Those of before do not say from where it is.
        assert_eq!(of(1), ("app.log".to_string(), Some(3)));
    }
}
