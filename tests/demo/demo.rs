//! `make demo`: the reference deployment in small. A real broker, three hours of log files with
//! 1,000,000 lines, an agent that runs on `flume.conf.example` and is killed with -9 five times
//! while it works, the roll-over to the next hour, and a count by a reader that shares no code
//! with the program.
//!
//! The agent's clock is the system's, but its time zone is made so that the hour ends when the
//! demo wants it to: `TZ=DEMO-0:12:34` is a zone like any other.
//!
//! Everything stands below one temporary directory. A small shell waits for the end of this
//! process, however it ends, and removes it; the broker and the agent die with this process.

mod lines;
#[path = "../support/mod.rs"]
mod support;
mod tally;

use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lines::Line;
use support::{Cluster, Topic};
use tally::Tally;

const LINES: u64 = 1_000_000;
/// Of the lines of the present hour: written while the agent runs, in torn pieces.
const GROWING: u64 = 200_000;
/// Of the lines of the present hour: written after its file was renamed, by who still has it open.
const LATE: u64 = 1_000;
/// Lines of the next hour's file, beyond the 1,000,000.
const NEXT_HOUR: u64 = 1_000;
const KILLS: u64 = 5;
/// The agent is killed when so many more lines are in the topic than at the kill before.
const KILL_EVERY: u64 = 120_000;
/// Seconds that the hour still has when the agent is started for the last time.
const LAST_START_BEFORE_HOUR_S: i64 = 10;
const TIMEOUT: Duration = Duration::from_secs(180);

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let version = std::env::args().nth(1).unwrap_or_else(|| "0.10.2.0".to_string());
    match run(&version) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("\ndemo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(version: &str) -> Result<bool> {
    fetch(version)?;
    let ground = Ground::new()?;
    let start = Instant::now();
    say(start, format_args!("starting Kafka {version}"));
    let cluster = Cluster::start(version);
    let topic = cluster.create_topic("filetest10", 3);
    let mut stage = Stage::new(&ground.dir, &topic, start)?;
    stage.write_hours()?;
    stage.survive_kills()?;
    stage.roll_the_hour()?;
    stage.stop_agent()?;
    say(start, format_args!("reading the topic back"));
    let tally = tally::count(&topic, stage.written);
    Ok(stage.report(version, &tally))
}

/// Said by the script itself: the first time takes a while.
fn fetch(version: &str) -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker");
    let status = Command::new(script).args(["fetch", version]).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("Kafka {version} cannot be had, see above")),
        Err(e) => Err(format!("{script}: {e}")),
    }
}

fn say(start: Instant, text: std::fmt::Arguments<'_>) {
    let clear = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
    eprintln!("{clear}[{:5.1} s] {text}", start.elapsed().as_secs_f64());
}

/// The directory below which everything stands, and who removes it.
struct Ground {
    dir: PathBuf,
    guard: Child,
    pipe: Option<ChildStdin>,
}

impl Ground {
    fn new() -> Result<Ground> {
        let dir = std::env::temp_dir().join(format!("flume-ng-demo-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        // Ends when the pipe to it does. In a process group of its own, out of reach of Ctrl-C.
        let mut guard = Command::new("sh")
            .args([
                "-c",
                "read end; for try in 1 2 3 4 5; do rm -rf \"$0\" && break; sleep 0.2; done",
            ])
            .arg(&dir)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| format!("sh: {e}"))?;
        let pipe = guard.stdin.take();
        // SAFETY: no other thread has been started yet.
        unsafe { std::env::set_var("TMPDIR", &dir) };
        Ok(Ground { dir, guard, pipe })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.guard.wait();
    }
}

/// The spool directory, the agent in it, and what is known of both.
struct Stage<'a> {
    dir: PathBuf,
    spool: PathBuf,
    topic: &'a Topic,
    /// Hours since 1970 of the hour that is present for the agent.
    hour: i64,
    /// The file of the present hour, open as its writer has it.
    present: File,
    agent: Option<Child>,
    runs: u64,
    /// Lines written so far; the number of the next one.
    written: u64,
    kills_at_work: u64,
    /// Most memory that an agent has had, kB.
    memory_kb: u64,
    start: Instant,
    told: Instant,
}

impl<'a> Stage<'a> {
    fn new(dir: &Path, topic: &'a Topic, start: Instant) -> Result<Stage<'a>> {
        let spool = dir.join("testdata");
        fs::create_dir(&spool).map_err(|e| format!("{}: {e}", spool.display()))?;
        let example = include_str!("../../flume.conf.example");
        let mut conf = example.to_string();
        for (from, to) in [
            ("spoolDir = testdata/", format!("spoolDir = {}/", spool.display())),
            ("brokerList = localhost:9092", format!("brokerList = {}", topic.bootstrap())),
        ] {
            if !conf.contains(from) {
                return Err(format!("flume.conf.example does not say {from}"));
            }
            conf = conf.replace(from, &to);
        }
        write_file(&dir.join("flume.conf"), conf.as_bytes())?;
        let hour = now_s() / 3600;
        let path = spool.join(name(hour));
        let present = OpenOptions::new().append(true).create(true).open(&path);
        Ok(Stage {
            dir: dir.to_owned(),
            present: present.map_err(|e| format!("{}: {e}", path.display()))?,
            spool,
            topic,
            hour,
            agent: None,
            runs: 0,
            written: 0,
            kills_at_work: 0,
            memory_kb: 0,
            start,
            told: start,
        })
    }

    /// The two past hours whole, the present one in part.
    fn write_hours(&mut self) -> Result<()> {
        let past = LINES / 3;
        for (hour, lines) in [
            (self.hour - 2, past),
            (self.hour - 1, past),
            (self.hour, LINES - 2 * past - GROWING - LATE),
        ] {
            let name = name(hour);
            say(self.start, format_args!("writing {lines} lines to {name}"));
            let bytes = self.next_lines(hour, lines);
            if hour == self.hour {
                self.append(&bytes)?;
                continue;
            }
            let path = self.spool.join(name);
            write_file(&path, &bytes)?;
            // Last written to when its hour ended.
            let end = UNIX_EPOCH + Duration::from_secs((hour as u64 + 1) * 3600);
            let file = OpenOptions::new().append(true).open(&path);
            file.and_then(|f| f.set_modified(end.min(SystemTime::now())))
                .map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(())
    }

    fn next_lines(&mut self, hour: i64, count: u64) -> Vec<u8> {
        let hour = stamp(hour);
        let mut bytes = Vec::new();
        for number in self.written..self.written + count {
            lines::push(Line { hour, number }, &mut bytes);
        }
        self.written += count;
        bytes
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.present.write_all(bytes).map_err(|e| format!("the present hour's file: {e}"))
    }

    /// Runs the agent and kills it, again and again, while the present hour's file grows.
    fn survive_kills(&mut self) -> Result<()> {
        let mut growth = Growth::new(self);
        self.start_agent(600)?;
        let mut last = 0;
        for kill in 1..=KILLS {
            let deadline = Instant::now() + TIMEOUT;
            while self.count()? < last + KILL_EVERY {
                growth.step(&mut self.present)?;
                self.expect_alive(deadline)?;
            }
            // Not always at the same place of its work.
            let pause_us = (now_ns() / 1_000) % 25_000;
            std::thread::sleep(Duration::from_micros(pause_us));
            self.kill_agent();
            last = self.count()?;
            let at_work = last < self.written;
            self.kills_at_work += u64::from(at_work);
            say(
                self.start,
                format_args!("kill -9 no. {kill}, with {last} of {LINES} lines in the topic"),
            );
            let before_end_s = if kill == KILLS { LAST_START_BEFORE_HOUR_S } else { 3_000 };
            self.start_agent(3_600 - before_end_s)?;
        }
        while !growth.is_done() {
            growth.step(&mut self.present)?;
            self.show(self.topic.count() as u64);
        }
        Ok(())
    }

    /// The next hour comes, and with it the next file: the present one is retired.
    fn roll_the_hour(&mut self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        let over_at = Instant::now() + Duration::from_secs(LAST_START_BEFORE_HOUR_S as u64);
        say(
            self.start,
            format_args!("the hour ends in {LAST_START_BEFORE_HOUR_S} s for the agent"),
        );
        while Instant::now() < over_at {
            self.count()?;
            self.expect_alive(deadline)?;
        }
        let next = name(self.hour + 1);
        say(self.start, format_args!("the hour is over: {NEXT_HOUR} lines to {next}"));
        let bytes = self.next_lines(self.hour + 1, NEXT_HOUR);
        write_file(&self.spool.join(next), &bytes)?;
        let completed = self.spool.join(name(self.hour) + ".COMPLETED");
        while !completed.exists() {
            self.count()?;
            self.expect_alive(deadline)?;
        }
        say(self.start, format_args!("{} was retired: {LATE} late lines to it", name(self.hour)));
        let bytes = self.next_lines(self.hour, LATE);
        self.append(&bytes)?;
        while self.count()? < self.written {
            self.expect_alive(deadline)?;
        }
        Ok(())
    }

    /// Starts the agent in a time zone in which the present hour is `second` seconds old.
    fn start_agent(&mut self, second: i64) -> Result<()> {
        let shift_s = self.hour * 3600 + second - now_s();
        // POSIX counts west of Greenwich.
        let (sign, s) = if shift_s >= 0 { ('-', shift_s) } else { ('+', -shift_s) };
        let zone = format!("DEMO{sign}{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
        self.runs += 1;
        let log = File::create(self.log_path(self.runs)).map_err(|e| e.to_string())?;
        let mut command = Command::new(program()?);
        command
            .args(["agent", "--conf", "conf", "--conf-file", "flume.conf", "--name", "a1"])
            .current_dir(&self.dir)
            .env("TZ", zone)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let agent = support::spawn(command).map_err(|e| format!("flume-ng: {e}"))?;
        self.agent = Some(agent);
        Ok(())
    }

    fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            self.memory_kb = self.memory_kb.max(peak_memory_kb(&agent));
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }

    fn stop_agent(&mut self) -> Result<()> {
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        self.memory_kb = self.memory_kb.max(peak_memory_kb(&agent));
        support::signal(&agent, libc::SIGTERM);
        match support::wait_exit(&mut agent, Duration::from_secs(10)) {
            Some(status) if status.success() => Ok(()),
            other => Err(self.failure(&format!("SIGTERM: {other:?} in place of exit code 0"))),
        }
    }

    fn count(&mut self) -> Result<u64> {
        let count = self.topic.count() as u64;
        self.show(count);
        std::thread::sleep(Duration::from_millis(2));
        Ok(count)
    }

    /// A line that is written over on a terminal, and now and then elsewhere.
    fn show(&mut self, count: u64) {
        let is_terminal = std::io::stderr().is_terminal();
        let pause_ms = if is_terminal { 100 } else { 5_000 };
        if self.told.elapsed() < Duration::from_millis(pause_ms) {
            return;
        }
        self.told = Instant::now();
        let (start, end) = if is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let s = self.start.elapsed().as_secs_f64();
        eprint!("{start}[{s:5.1} s] {count} of {} lines in the topic{end}", LINES + NEXT_HOUR);
    }

    fn expect_alive(&mut self, deadline: Instant) -> Result<()> {
        let agent = self.agent.as_mut().ok_or("no agent")?;
        if let Ok(Some(status)) = agent.try_wait() {
            return Err(self.failure(&format!("the agent has ended by itself: {status}")));
        }
        if Instant::now() > deadline {
            return Err(self.failure("the agent does not get on"));
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> String {
        let log = fs::read_to_string(self.log_path(self.runs)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        format!("{what}; its log ends so:\n{tail}")
    }

    fn log_path(&self, run: u64) -> PathBuf {
        self.dir.join(format!("agent-{run}.log"))
    }

    fn logged(&self, words: &str) -> usize {
        let count = |run| {
            let log = fs::read_to_string(self.log_path(run)).unwrap_or_default();
            log.lines().filter(|line| line.contains(words)).count()
        };
        (1..=self.runs).map(count).sum()
    }

    /// Prints the table. Is all as it must be?
    fn report(&self, version: &str, tally: &Tally) -> bool {
        let retired = (self.hour - 2..=self.hour + 1)
            .filter(|&hour| self.spool.join(name(hour) + ".COMPLETED").exists())
            .count();
        let found = self.logged("found in the topic at offset");
        let again = self.logged("sent again, at offset");
        let rows = [
            ("lines written", self.written.to_string()),
            ("lines in Kafka", tally.records.to_string()),
            ("missing", tally.missing.to_string()),
            ("duplicated", tally.duplicated.to_string()),
            ("altered or foreign", tally.foreign.to_string()),
            ("out of order", tally.disordered.to_string()),
            ("files retired", format!("{retired} of 3, the next hour's is live")),
            ("kill -9 at work", format!("{} of {KILLS}", self.kills_at_work)),
            ("batches in doubt", format!("{found} found in Kafka, {again} sent again")),
            ("agent's memory", format!("{:.1} MB at most", self.memory_kb as f64 / 1024.0)),
        ];
        println!("\nKafka {version}, 3 partitions, {:.0} s", self.start.elapsed().as_secs_f64());
        for (what, value) in rows {
            println!("  {what:<20}{value}");
        }
        let is_exact = [tally.missing, tally.duplicated, tally.foreign, tally.disordered] == [0; 4]
            && tally.records == self.written;
        let is_good = is_exact && retired == 3 && self.kills_at_work == KILLS;
        println!("{}", if is_good { "every line exactly once" } else { "FAILED" });
        is_good
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.kill_agent();
    }
}

/// The part of the present hour's file that comes while the agent runs, in pieces that end
/// anywhere in a line.
struct Growth {
    bytes: Vec<u8>,
    at: usize,
}

impl Growth {
    fn new(stage: &mut Stage<'_>) -> Growth {
        Growth { bytes: stage.next_lines(stage.hour, GROWING), at: 0 }
    }

    fn step(&mut self, file: &mut File) -> Result<()> {
        let piece = (now_ns() % 60_000) as usize + 1;
        let end = (self.at + piece).min(self.bytes.len());
        file.write_all(&self.bytes[self.at..end]).map_err(|e| e.to_string())?;
        self.at = end;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// Beside this program: `target/release/examples/demo`, `target/release/flume-ng`.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let program = own.parent().and_then(Path::parent).map(|dir| dir.join("flume-ng"));
    program.filter(|p| p.exists()).ok_or_else(|| "flume-ng is not built; use make demo".to_string())
}

/// What the kernel says that a process has had in memory at most.
fn peak_memory_kb(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}

fn now_s() -> i64 {
    UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs() as i64)
}

fn now_ns() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos() as u64)
}

/// The reference's: 010_yyyyMMddHH.
fn name(hour: i64) -> String {
    format!("010_{}", stamp(hour))
}

/// yyyyMMddHH of an hour since 1970 in a zone that is less than an hour off UTC.
fn stamp(hour: i64) -> u32 {
    let at = time::OffsetDateTime::from_unix_timestamp(hour * 3600)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let date = at.year() as u32 * 10_000 + u32::from(u8::from(at.month())) * 100;
    (date + u32::from(at.day())) * 100 + u32::from(at.hour())
}
