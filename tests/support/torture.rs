//! What the tests of faults share: how much of them runs, lines that can be counted, and a
//! tally of what came of it, from which docs/reliability.md is made.
//!
//! | variable | |
//! | --- | --- |
//! | `FLUME_NG_TORTURE=1` | the long part runs too |
//! | `TORTURE_ROUNDS` | how often the long part repeats what is left to chance (1) |
//! | `FLUME_NG_SEED` | the seed of all chance; printed by every test that uses it |
//! | `FLUME_NG_TORTURE_RESULTS` | file to which each test appends what came of it |

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::avro::decode_event;
use super::topic::Topic;
use super::work::{Agent, Work};

/// Longest wait for all lines to be in the topic.
pub const ARRIVE_MAX: Duration = Duration::from_secs(180);

/// Does the long part run?
pub fn is_long() -> bool {
    std::env::var("FLUME_NG_TORTURE").is_ok_and(|v| v == "1")
}

/// So many times a fault at a moment that chance chooses is done: `most` in the long part, and a few of
/// them in `make test`, which runs more often.
pub fn times(most: u64) -> u64 {
    if is_long() { most } else { most.min(5) }
}

/// How often the long part repeats what is left to chance; 1 in the quick part.
pub fn rounds() -> u64 {
    let rounds = std::env::var("TORTURE_ROUNDS").ok().and_then(|v| v.parse().ok());
    if is_long() { rounds.unwrap_or(1).max(1) } else { 1 }
}

/// Chance that can be repeated (SplitMix64).
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// From `FLUME_NG_SEED`, else from the clock; printed, so that a failure shows it.
    pub fn new() -> Chance {
        let given = std::env::var("FLUME_NG_SEED").ok().and_then(|v| v.parse().ok());
        let seed = given.unwrap_or_else(|| {
            std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos() as u64
        });
        println!("FLUME_NG_SEED={seed}");
        Chance(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// Line `number` of the series `label` (one for each file), without its end.
pub fn line(label: &str, number: u64) -> String {
    let width = 30 + (number * 7 % 60) as usize;
    format!("{label} {number} {:x<width$}", "")
}

/// The lines from `first` to before `end`.
pub fn lines(label: &str, first: u64, end: u64) -> Vec<u8> {
    let mut text = String::new();
    for number in first..end {
        text.push_str(&line(label, number));
        text.push('\n');
    }
    text.into_bytes()
}

/// How a topic differs from the series that it should hold.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Difference {
    pub lost: u64,
    pub repeated: u64,
    /// Lines behind a later one of their series in the same partition.
    pub misplaced: u64,
    /// Records that are no line of any series.
    pub foreign: u64,
    /// The first few of each, for a reader.
    pub examples: Vec<String>,
}

impl Difference {
    pub fn is_none(&self) -> bool {
        *self == Difference::default()
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < 20 {
            self.examples.push(text);
        }
    }
}

/// Compares a topic with the series (label, number of lines) that it should hold.
pub fn difference(topic: &Topic, series: &[(&str, u64)]) -> Difference {
    let mut found: HashMap<String, Vec<u32>> =
        series.iter().map(|(l, n)| (l.to_string(), vec![0; *n as usize])).collect();
    let mut difference = Difference::default();
    for (partition, records) in topic.records().iter().enumerate() {
        let mut latest: HashMap<String, u64> = HashMap::new();
        for record in records {
            let event = decode_event(record.value.as_deref().expect("a value"));
            let body = String::from_utf8_lossy(&event.body).into_owned();
            let mut words = body.split(' ');
            let label = words.next().unwrap_or_default().to_string();
            let number: Option<u64> = words.next().and_then(|word| word.parse().ok());
            let place = found.get_mut(&label).zip(number);
            let place = place.and_then(|(f, n)| f.get_mut(n as usize).map(|count| (count, n)));
            let at = format!("partition {partition} offset {}: {body:.40}", record.offset);
            match place {
                Some((count, number)) if body == line(&label, number) => {
                    *count += 1;
                    if *count > 1 {
                        difference.repeated += 1;
                        difference.example(format!("again, {at}"));
                    }
                    let before = latest.insert(label, number);
                    if before.is_some_and(|before| before > number) {
                        difference.misplaced += 1;
                        difference.example(format!("behind {before:?}, {at}"));
                    }
                }
                _ => {
                    difference.foreign += 1;
                    difference.example(format!("foreign, {at}"));
                }
            }
        }
    }
    for (label, counts) in &found {
        for (number, _) in counts.iter().enumerate().filter(|(_, count)| **count == 0) {
            difference.lost += 1;
            difference.example(format!("lost: {label} {number}"));
        }
    }
    difference
}

/// Under which heading of the report a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Kills, stops and crashes of the agent and of brokers, lost answers.
    Deaths,
    /// Which file is it: renamed, copied, replaced, truncated, renumbered.
    Identity,
    /// What may be believed when something cannot be opened or is not there.
    Absence,
    /// Which bytes are lines, and when a file is over.
    Lines,
    /// Which log is it: clusters and topics that are replaced.
    Log,
    /// What must not stick, and limits.
    Sticks,
    /// What `check`, `status`, `verify` and the metrics may claim.
    Claims,
    /// The state was lost, and the topic tells.
    StateLost,
}

impl Group {
    /// The heading, after a number for its place.
    fn heading(self) -> &'static str {
        match self {
            Group::Deaths => "1 Kills, stops, crashes and lost answers",
            Group::Identity => "2 Which file is it",
            Group::Absence => "3 What is not there, or cannot be opened",
            Group::Lines => "4 Which bytes are lines, and when a file is over",
            Group::Log => "5 Which log is it",
            Group::Sticks => "6 What must not stick, and limits",
            Group::Claims => "7 What is claimed",
            Group::StateLost => "8 The state is lost",
        }
    }
}

/// What a test did, how often, and what came of it. Noted when it goes, also where the test
/// fails.
#[derive(Debug)]
pub struct Tally {
    group: Group,
    what: String,
    version: String,
    pub times: u64,
    lines: u64,
    difference: Difference,
}

impl Tally {
    pub fn new(what: &str, version: &str) -> Tally {
        Tally::row(Group::Deaths, what, version)
    }

    /// A row of its own under a heading. A test that counts nothing else has run once when it ends;
    /// `version` is that of Kafka, "-" where none takes part.
    pub fn row(group: Group, what: &str, version: &str) -> Tally {
        Tally {
            group,
            what: what.to_string(),
            version: version.to_string(),
            times: 0,
            lines: 0,
            difference: Difference::default(),
        }
    }

    /// Counts faults after which a topic was found exact.
    pub fn add(&mut self, times: u64, lines: u64) {
        self.times += times;
        self.lines += lines;
    }

    /// Counts a fault as done, and panics where the topic is not exact.
    #[track_caller]
    pub fn exact(&mut self, case: &str, topic: &Topic, series: &[(&str, u64)], agent: &Agent) {
        self.times += 1;
        self.lines += series.iter().map(|(_, n)| n).sum::<u64>();
        let found = difference(topic, series);
        self.difference.lost += found.lost;
        self.difference.repeated += found.repeated;
        self.difference.misplaced += found.misplaced + found.foreign;
        assert!(
            found.is_none(),
            "{} on {}, {case}: {found:#?}\nthe last agent:\n{}",
            self.what,
            self.version,
            agent.log()
        );
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("FLUME_NG_TORTURE_RESULTS") else { return };
        let outcome = if std::thread::panicking() { "failed" } else { "held" };
        let Tally { group, what, version, times, lines, difference: d } = self;
        let (group, times) = (group.heading(), (*times).max(1));
        let entry = format!(
            "{group}\t{what}\t{version}\t{times}\t{lines}\t{}\t{}\t{}\t{outcome}\n",
            d.lost, d.repeated, d.misplaced
        );
        // One write of a short line: those of several tests do not mix.
        let file = OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(entry.as_bytes()));
    }
}

/// The oldest release, with which most tests of files work.
pub const V010: &str = "0.10.2.0";
pub const V28: &str = "2.8.2";
pub const V39: &str = "3.9.1";
pub const V43: &str = "4.3.1";
/// Releases that the `kafka` crate writes to.
pub const ELDERS: [&str; 2] = ["0.8.2.2", "0.9.0.1"];
/// No broker takes part.
pub const NONE: &str = "-";

thread_local! {
    static ROW: RefCell<Option<Tally>> = const { RefCell::new(None) };
}

/// Makes a test a row of the report: noted when what is returned goes, at the end of the test. All
/// that a test has to do is to begin with it.
#[must_use]
pub fn hazard(group: Group, what: &str, version: &str) -> Row {
    ROW.with(|row| *row.borrow_mut() = Some(Tally::row(group, what, version)));
    Row(())
}

/// See [`hazard`].
#[derive(Debug)]
pub struct Row(());

impl Drop for Row {
    fn drop(&mut self) {
        forget(ROW.take(), false);
    }
}

/// So many lines were found exact; for the row of the test, if it is one.
pub fn count_lines(lines: usize) {
    ROW.with(|row| {
        if let Some(tally) = &mut *row.borrow_mut() {
            tally.add(0, lines as u64);
        }
    });
}

/// The test cannot be done here.
pub fn forget_row() {
    forget(ROW.take(), true);
}

fn forget(tally: Option<Tally>, is_void: bool) {
    match tally {
        Some(tally) if is_void => std::mem::forget(tally),
        tally => drop(tally),
    }
}

/// A file that grows, in pieces that cut lines anywhere, until it is told to stop.
#[derive(Debug)]
pub struct Growing {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writer: Option<JoinHandle<u64>>,
}

impl Growing {
    /// Appends to the file of the spool directory the series `label` from line `first` on,
    /// about `pace` lines in each of the moments that chance gives.
    pub fn start(work: &Work, name: &str, label: &str, first: u64, pace: u64) -> Growing {
        let path: PathBuf = work.path(name);
        let label = label.to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(first));
        let writer = {
            let (stop, written) = (stop.clone(), written.clone());
            std::thread::spawn(move || {
                let mut chance = Chance::new();
                let mut next = first;
                while !stop.load(Ordering::Relaxed) {
                    let end = next + 1 + chance.below(2 * pace);
                    let text = lines(&label, next, end);
                    let cut = chance.below(text.len() as u64) as usize;
                    for piece in [&text[..cut], &text[cut..]] {
                        let file = OpenOptions::new().append(true).create(true).open(&path);
                        let result = file.and_then(|mut file| file.write_all(piece));
                        result.expect("a file to append to");
                        std::thread::sleep(Duration::from_millis(chance.below(10)));
                    }
                    next = end;
                    written.store(next, Ordering::Relaxed);
                }
                next
            })
        };
        Growing { stop, written, writer: Some(writer) }
    }

    /// How many lines there are by now.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends it; how many lines there are.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.take().expect("it is stopped once").join().expect("it writes")
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Halts a process at moments that chance chooses (SIGSTOP, SIGCONT), as a machine under load does, until it
/// goes.
#[derive(Debug)]
pub struct Halting {
    stop: Arc<AtomicBool>,
    halter: Option<JoinHandle<()>>,
}

impl Halting {
    /// The process has to live on until this has gone.
    pub fn start(pid: u32) -> Halting {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let halter = std::thread::spawn(move || {
            let mut chance = Chance::new();
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(chance.below(60)));
                super::children::signal_pid(pid, libc::SIGSTOP);
                let most = [20, 100, 400][chance.below(3) as usize];
                std::thread::sleep(Duration::from_millis(chance.below(most)));
                super::children::signal_pid(pid, libc::SIGCONT);
            }
        });
        Halting { stop, halter: Some(halter) }
    }
}

impl Drop for Halting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(halter) = self.halter.take() {
            let _ = halter.join();
        }
    }
}
