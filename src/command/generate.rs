//! `flume-ng generate`: numbered lines in hourly files, as the reference's `FileDataCreate` makes
//! them, for trials and tests.
//!
//! A line is the run (start in ms and pid), its number within the run, the time, and letters up to
//! the length asked for; so no two lines of any runs are equal. Lines are written with `O_APPEND`,
//! and each write(2) is a number of whole lines (the kernel may show a reader a part of it for a
//! moment, page by page); with `--torn` each line comes in pieces.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::look;
use serde_json::json;

use crate::cli::GenerateArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::config::model::{FileGroup, SourceConfig};
use crate::exit::Exit;
use crate::java::date::DatePattern;
use crate::log::{self, Level};
use crate::text::{counted, grouped, size};
use crate::{os, text};

/// Unthrottled lines are written in pieces of about this size, bytes.
const CHUNK_BYTES: usize = 256 << 10;
/// With a rate, how often what is due is written.
const TICK: Duration = Duration::from_millis(10);
/// Digits of a line's number.
const NUMBER_WIDTH: usize = 10;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// With `--torn`, each so many lines the writer rests in the middle of one.
const TORN_PAUSE_LINES: u64 = 64;

/// Where, under which names.
struct Target {
    dir: PathBuf,
    pattern: DatePattern,
}

/// Runs the command.
pub fn run(args: &GenerateArgs) -> ExitCode {
    let mut config = None;
    if let Some(agent) = &args.agent {
        config = look::load(&agent.conf_files, &agent.name, &agent.system_properties);
        if config.is_none() {
            return Exit::Configuration.into();
        }
    }
    let source = config.as_ref().and_then(|config| config.sources.first());
    match generate(args, source) {
        Ok(()) => Exit::Clean.into(),
        Err((exit, why)) => {
            log::continuation(Level::Error, format_args!("flume-ng: {why}"));
            exit.into()
        }
    }
}

fn generate(args: &GenerateArgs, source: Option<&SourceConfig>) -> Result<(), (Exit, String)> {
    let target = target(args, source)?;
    os::install_signals(Exit::Clean.code())
        .map_err(|e| (Exit::Temporary, format!("cannot catch signals: {e}")))?;
    let mut generator = Generator::new(target, args).map_err(|why| (Exit::Usage, why))?;
    let result = generator.run();
    // Of what failed before its first line there is nothing to report but that.
    if result.is_ok() || generator.written > 0 {
        generator.report(args.json);
    }
    result.map_err(|e| (Exit::Temporary, format!("{}: {e}", generator.path.display())))
}

/// What the command line does not say comes from `source`.
fn target(args: &GenerateArgs, source: Option<&SourceConfig>) -> Result<Target, (Exit, String)> {
    let mut dir = args.dir.clone();
    let mut pattern = args.pattern.clone();
    if let Some(source) = source {
        match source.kind.tail().and_then(|tail| tail.groups.first()) {
            Some(group) => {
                dir = dir.or_else(|| Some(source.spool_dir.join(&group.place)));
                pattern = pattern.or_else(|| name_of(group));
            }
            None => {
                dir = dir.or_else(|| Some(source.spool_dir.clone()));
                let dated = || Some(format!("'010_'{}", source.target_filename.as_str()));
                pattern = pattern.or_else(dated);
            }
        }
    }
    let dir = dir.unwrap_or_default();
    let text = pattern.unwrap_or_default();
    let pattern = friendly(&text).map_err(|why| (Exit::Usage, why))?;
    if !dir.is_dir() {
        let dir = dir.display();
        let text = format!("{dir}: no such directory; create it first with mkdir -p \"{dir}\"");
        return Err((Exit::Temporary, text));
    }
    Ok(Target { dir, pattern })
}

/// A name that a group takes, quoted as a date pattern has it.
fn name_of(group: &FileGroup) -> Option<String> {
    let java = group.text.rsplit('/').next().unwrap_or_default();
    let plain = java.replace('\\', "");
    let names = [plain.replace(".*", "app").replace(".+", "app"), plain];
    let more = ["app.log", "access.log", "app"].map(str::to_owned);
    let takes = |name: &String| {
        !name.starts_with('.') && group.pattern.full_match(name.as_bytes()).unwrap_or(false)
    };
    let name = names.into_iter().chain(more).find(takes)?;
    Some(format!("'{}'", name.replace('\'', "''")))
}

/// A date pattern in which other words need no quotes: `app-yyyyMMddHH.log`. One with quotes is
/// taken as Java takes it.
fn friendly(text: &str) -> Result<DatePattern, String> {
    let java = if text.contains('\'') { text.to_string() } else { quote_words(text) };
    let pattern = DatePattern::parse(&java).map_err(|e| format!("--pattern {e}"))?;
    let sample = pattern.format(&SystemClock::new().local(0));
    if sample.is_empty() || sample.contains('/') || sample.starts_with('.') {
        return Err(format!(
            "--pattern \"{text}\": \"{sample}\" is not the name of a log file; write one such as \
             010_yyyyMMddHH"
        ));
    }
    Ok(pattern)
}

fn quote_words(text: &str) -> String {
    let mut java = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_letter = first.is_ascii_alphabetic();
        let same = |c: char| c.is_ascii_alphabetic() == is_letter;
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        if is_letter && !is_date_fields(run) {
            java.push('\'');
            java.push_str(run);
            java.push('\'');
        } else {
            java.push_str(run);
        }
        rest = behind;
    }
    java
}

/// Is a run of letters nothing but fields as they are used in names?
fn is_date_fields(run: &str) -> bool {
    let mut rest = run;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| c != first).unwrap_or(rest.len());
        let known = ["yyyy", "yy", "MM", "dd", "HH", "mm", "ss", "SSS"];
        if !known.contains(&&rest[..end]) {
            return false;
        }
        rest = &rest[end..];
    }
    true
}

struct Generator {
    target: Target,
    clock: SystemClock,
    started: Instant,
    /// Of the file that is open.
    path: PathBuf,
    file: Option<File>,
    name_second: i64,
    /// One line; number and time are written into it in place.
    line: Vec<u8>,
    number_at: usize,
    stamp_at: usize,
    written: u64,
    limit: u64,
    rate: Option<u64>,
    torn: bool,
    seed: u64,
    chunk: Vec<u8>,
    progress: Option<Instant>,
}

impl Generator {
    fn new(target: Target, args: &GenerateArgs) -> Result<Generator, String> {
        let clock = SystemClock::new();
        let now_ms = clock.now_ms();
        let mut line = format!("{now_ms}-{} ", std::process::id()).into_bytes();
        let number_at = line.len();
        line.extend_from_slice(&[b'0'; NUMBER_WIDTH]);
        line.push(b' ');
        let stamp_at = line.len();
        line.extend_from_slice(clock.local(now_ms).log_stamp().as_str().as_bytes());
        if args.size < line.len() + 1 {
            let least = line.len() + 1;
            return Err(format!("--size: a line that is unique needs {least} bytes at least"));
        }
        if args.size > line.len() + 1 {
            line.push(b' ');
        }
        let padding = args.size - 1 - line.len();
        line.extend((0..padding).map(|i| b'a' + (i % 26) as u8));
        line.push(b'\n');
        Ok(Generator {
            target,
            clock,
            started: Instant::now(),
            path: PathBuf::new(),
            file: None,
            name_second: i64::MIN,
            line,
            number_at,
            stamp_at,
            written: 0,
            limit: args.lines.unwrap_or(u64::MAX),
            rate: args.rate,
            torn: args.torn,
            seed: now_ms as u64 | 1,
            chunk: Vec::with_capacity(CHUNK_BYTES + args.size),
            progress: std::io::stderr().is_terminal().then(Instant::now),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        while self.written < self.limit && os::stop_requested().is_none() {
            let due = self.due();
            if due == 0 {
                os::wait(&[], TICK)?;
                continue;
            }
            self.roll()?;
            if self.torn {
                self.write_torn(due)?;
            } else {
                self.write_whole(due)?;
            }
            self.show_progress();
        }
        Ok(())
    }

    /// Lines to be written now: what the rate asks for, never more than a chunk.
    fn due(&self) -> u64 {
        let by_rate = self.rate.map_or(u64::MAX, |rate| {
            let so_far = self.started.elapsed().as_secs_f64() * rate as f64;
            // The first line is due at once.
            (so_far as u64 + 1).saturating_sub(self.written)
        });
        let chunk = (CHUNK_BYTES / self.line.len()).max(1) as u64;
        by_rate.min(chunk).min(self.limit - self.written)
    }

    /// Opens the file of this second, and puts the time into the line.
    fn roll(&mut self) -> io::Result<()> {
        let now_ms = self.clock.now_ms();
        if now_ms.div_euclid(1000) == self.name_second {
            return Ok(());
        }
        self.name_second = now_ms.div_euclid(1000);
        let local = self.clock.local(now_ms);
        let stamp = local.log_stamp();
        let stamp = stamp.as_str().as_bytes();
        self.line[self.stamp_at..self.stamp_at + stamp.len()].copy_from_slice(stamp);
        let path = self.target.dir.join(self.target.pattern.format(&local));
        if self.file.is_none() || path != self.path {
            self.path = path;
            self.file = Some(open(&self.path)?);
        }
        Ok(())
    }

    fn write_whole(&mut self, lines: u64) -> io::Result<()> {
        self.chunk.clear();
        for _ in 0..lines {
            self.next_number();
            self.chunk.extend_from_slice(&self.line);
        }
        if let Some(file) = &mut self.file {
            // One write(2), unless the disk is full or a signal comes in between.
            file.write_all(&self.chunk)?;
        }
        self.written += lines;
        Ok(())
    }

    fn write_torn(&mut self, lines: u64) -> io::Result<()> {
        for _ in 0..lines {
            self.next_number();
            let mut cuts = [self.random(self.line.len()), self.random(self.line.len())];
            cuts.sort_unstable();
            let Some(file) = &mut self.file else { return Ok(()) };
            file.write_all(&self.line[..cuts[0]])?;
            if self.written.is_multiple_of(TORN_PAUSE_LINES) {
                std::thread::sleep(Duration::from_millis(1));
            }
            file.write_all(&self.line[cuts[0]..cuts[1]])?;
            file.write_all(&self.line[cuts[1]..])?;
            self.written += 1;
        }
        Ok(())
    }

    /// Adds one to the digits in the line.
    fn next_number(&mut self) {
        for digit in self.line[self.number_at..self.number_at + NUMBER_WIDTH].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }

    /// xorshift; below `bound`.
    fn random(&mut self, bound: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % bound.max(1) as u64) as usize
    }

    fn speed(&self) -> u64 {
        (self.written as f64 / self.started.elapsed().as_secs_f64().max(0.000_001)) as u64
    }

    fn file_name(&self) -> String {
        self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn show_progress(&mut self) {
        let Some(last) = self.progress else { return };
        if last.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.progress = Some(Instant::now());
        let (lines, speed) = (grouped(self.written), grouped(self.speed()));
        // Progress that nobody sees is no fault.
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{lines} lines, {speed} lines/s, now {}",
            self.file_name()
        );
    }

    fn report(&self, json: bool) {
        if self.progress.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        let bytes = self.written * self.line.len() as u64;
        let elapsed = self.started.elapsed();
        if json {
            let map = json!({
                "lines": self.written,
                "bytes": bytes,
                "seconds": text::rounded(elapsed.as_secs_f64()),
                "lines_per_second": self.speed(),
                "last_file": self.path.to_string_lossy(),
            });
            return text::print(format_args!("{map}\n"));
        }
        text::print(format_args!(
            "{}, {} in {:.1} s ({} lines/s); last file {}\n",
            counted(self.written, "line"),
            size(bytes),
            elapsed.as_secs_f64(),
            grouped(self.speed()),
            self.path.display()
        ));
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_no_quotes() {
        for (text, name) in [
            ("010_yyyyMMddHH", "010_1970010100"),
            ("app-yyyyMMddHH.log", "app-1970010100.log"),
            ("'app'yyyy", "app1970"),
            ("yyyy-MM-dd-HH", "1970-01-01-00"),
            ("commands.yyMMdd_HHmm", "commands.700101_0000"),
        ] {
            let at = crate::clock::LocalTime::new(0, 0, "UTC");
            assert_eq!(friendly(text).unwrap().format(&at), name, "{text}");
        }
        for text in ["", "yyyy/MM", ".yyyy", "'yyyy", "'a'Q"] {
            assert!(friendly(text).is_err(), "{text}");
        }
    }
}
