//! A spool directory, an agent, a writer and a topic, in sentences.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::rc::Rc;
use std::time::{Duration, Instant};

use flume_ng::clock::ManualClock;
use flume_ng::config;
use flume_ng::source::Files;

use crate::support::torture;
use crate::support::{Agent, Topic, Work, eventually, shared, wait_for};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// So long a file must be left alone before it is done, in the tests' configuration.
pub const GRACE_MS: u64 = 400;

/// A file of a past hour that nobody writes to any more.
pub const OLD_S: u64 = 7_200;

/// How the agent's command is changed before each start.
type Change = Box<dyn Fn(&mut Command)>;

/// A source directory, a topic and an agent. Names are templates: `{H}` is the present hour, `{H-1}` the one before.
pub struct Scene {
    pub topic: Topic,
    pub work: Work,
    agent: Option<Agent>,
    command: Option<Change>,
}

/// An empty spool directory, a topic of one partition, and the reference configuration with a
/// short grace time.
pub fn spool(label: &str) -> Scene {
    spool_with_partitions(label, 1)
}

pub fn spool_with_partitions(label: &str, partitions: i32) -> Scene {
    spool_of(shared("0.10.2.0").fresh_topic(label, partitions))
}

/// The same with a topic of another broker.
pub fn spool_of(topic: Topic) -> Scene {
    let work = Work::new(&topic).set("a1.sources.r1.retireGraceMs", GRACE_MS);
    Scene { topic, work, agent: None, command: None }
}

/// An hour that is finished (`a_{H-1}.log`: one) and the present one (`a_{H}.log`: two), both in
/// the topic, and the agent stopped.
pub fn stopped_after_an_hour(label: &str) -> Scene {
    let mut scene =
        spool(label).file("a_{H-1}.log", "one\n", OLD_S).file("a_{H}.log", "two\n", 0).agent_runs();
    scene.receipts(1);
    scene.arrive(2);
    scene.stop();
    scene
}

impl Scene {
    pub fn source(mut self, key: &str, value: impl std::fmt::Display) -> Scene {
        self.work = self.work.set(&format!("a1.sources.r1.{key}"), value);
        self
    }

    /// A file that was last modified so many seconds ago.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>, age_s: u64) -> Scene {
        self.work.write(name, content.as_ref(), age_s);
        self
    }

    /// How the agent is started, beyond the usual.
    pub fn run_by(mut self, user: u32) -> Scene {
        self.work = self.work.run_by(user);
        self
    }

    pub fn command(mut self, change: impl Fn(&mut Command) + 'static) -> Scene {
        self.command = Some(Box::new(change));
        self
    }

    pub fn agent_runs(mut self) -> Scene {
        self.start();
        self
    }

    /// Starts an agent; the one before has ended.
    pub fn start(&mut self) {
        let mut command = self.work.command();
        self.agent = Some(match &self.command {
            Some(change) => {
                change(&mut command);
                self.work.start_prepared(command)
            }
            None => self.work.start_command(command),
        });
    }

    pub fn agent(&mut self) -> &mut Agent {
        self.agent.as_mut().expect("an agent was started")
    }

    pub fn log(&self) -> String {
        self.agent.as_ref().map_or_else(String::new, Agent::log)
    }

    pub fn kill(&mut self) {
        self.agent().kill9();
    }

    /// Processor time that the agent has taken so far, in hundredths of a second.
    pub fn ticks(&mut self) -> u64 {
        let pid = self.agent().pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("it").split_whitespace().collect();
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
    }

    /// SIGTERM; it must end at once and in order.
    #[track_caller]
    pub fn stop(&mut self) {
        let status = self.agent().term();
        assert_eq!(status.code(), Some(0), "exit code\n{}", self.log());
    }

    #[track_caller]
    pub fn ends_by_itself(&mut self) -> ExitStatus {
        let status = self.agent().wait(PATIENCE);
        status.unwrap_or_else(|| panic!("it should end by itself:\n{}", self.log()))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work.path(name)
    }

    pub fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        self.work.append(name, content.as_ref());
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("a rename");
    }

    pub fn delete(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("a file to delete");
    }

    /// copytruncate's second half.
    pub fn truncate(&self, name: &str) {
        OpenOptions::new().write(true).truncate(true).open(self.path(name)).expect("a file");
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// A writer that keeps its descriptor.
    pub fn writer(&self, name: &str) -> Writer {
        let file = OpenOptions::new().append(true).create(true).open(self.path(name));
        Writer(file.expect("a file to write to"))
    }

    #[track_caller]
    pub fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(wait_for(PATIENCE, condition), "{what}: not within {PATIENCE:?}\n{}", self.log());
    }

    #[track_caller]
    pub fn log_says(&self, text: &str) {
        let text = self.work.name(text);
        self.until(&text, || self.log().contains(&text));
    }

    /// How many lines of the log hold the text.
    pub fn log_lines(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    #[track_caller]
    pub fn becomes(&self, name: &str) {
        self.until(&self.work.name(name), || self.exists(name));
    }

    #[track_caller]
    pub fn vanishes(&self, name: &str) {
        self.until(&format!("{} is gone", self.work.name(name)), || !self.exists(name));
    }

    /// Waits for so many records.
    #[track_caller]
    pub fn arrive(&self, count: usize) {
        let start = Instant::now();
        let counter = self.topic.counter();
        let all = wait_for(PATIENCE, || counter.has(count));
        let found = || self.topic.count();
        assert!(all, "{} of {count} after {:?}\n{}", found(), start.elapsed(), self.log());
    }

    /// Waits for that many receipts in the tracker directory.
    #[track_caller]
    pub fn receipts(&self, count: usize) {
        eventually(&format!("{count} receipts\n{}", self.log()), PATIENCE, || {
            let found = self.receipt_lines().len();
            if found >= count { Ok(()) } else { Err(format!("{found}\n{}", self.log())) }
        });
    }

    pub fn receipt_lines(&self) -> Vec<String> {
        let path = self.work.tracker_dir().join("receipts");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter(|l| l.starts_with("name=")).map(str::to_owned).collect()
    }

    /// The end: the topic holds these lines in this order, the agent stops in order, and then
    /// there is no line more.
    #[track_caller]
    pub fn in_the_end<T: AsRef<str>>(&mut self, lines: &[T]) {
        self.arrive(lines.len());
        self.stop();
        let found = self.topic.bodies();
        let wanted: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        assert!(found == wanted, "{}\n{}", differ(&found, &wanted), self.log());
        torture::count_lines(lines.len());
    }

    /// The same in any order.
    #[track_caller]
    pub fn in_the_end_in_any_order<T: AsRef<str>>(&mut self, lines: &[T]) {
        self.arrive(lines.len());
        self.stop();
        let mut found = self.topic.bodies();
        let mut wanted: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        found.sort();
        wanted.sort_unstable();
        assert!(found == wanted, "{}\n{}", differ(&found, &wanted), self.log());
        torture::count_lines(lines.len());
    }
}

/// What a reader of a failure wants to know first.
pub fn differ(found: &[String], wanted: &[&str]) -> String {
    let count = |list: &[&str]| {
        let mut counts = std::collections::BTreeMap::new();
        list.iter().for_each(|l| *counts.entry((*l).to_owned()).or_insert(0i64) += 1);
        counts
    };
    let have = count(&found.iter().map(String::as_str).collect::<Vec<_>>());
    let want = count(wanted);
    let short = |l: &str| l.chars().take(60).collect::<String>();
    let lost: Vec<String> = want
        .iter()
        .filter(|(l, n)| have.get(*l).unwrap_or(&0) < n)
        .map(|(l, _)| short(l))
        .collect();
    let more: Vec<String> = have
        .iter()
        .filter(|(l, n)| want.get(*l).unwrap_or(&0) < n)
        .map(|(l, _)| short(l))
        .collect();
    let at = found.iter().zip(wanted).position(|(f, w)| f != w);
    format!(
        "{} records for {} lines; {} lost {:?}; {} too many {:?}; first difference at {at:?}",
        found.len(),
        wanted.len(),
        lost.len(),
        lost.iter().take(8).collect::<Vec<_>>(),
        more.len(),
        more.iter().take(8).collect::<Vec<_>>()
    )
}

pub struct Writer(File);

impl Writer {
    pub fn writes(&mut self, content: impl AsRef<[u8]>) {
        self.0.write_all(content.as_ref()).expect("a write");
    }
}

/// `text 0\n` ... and the lines without their newlines.
pub fn numbered(text: &str, numbers: std::ops::Range<usize>) -> (String, Vec<String>) {
    let lines: Vec<String> = numbers.map(|n| format!("{text} {n}")).collect();
    let content = lines.iter().map(|l| format!("{l}\n")).collect();
    (content, lines)
}

/// Is this a run as root, which may mount and become others?
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// For a test that needs what this machine does not permit.
pub fn skipped(why: &str) {
    torture::forget_row();
    eprintln!("skipped: {why}");
}

/// The reader of a source whose `targetFilename` is `pattern`, alone, by `clock`.
pub fn reader(pattern: &str, clock: &ManualClock) -> (Scene, Files) {
    let scene = spool("hours").source("targetFilename", pattern);
    let files = reader_of(&scene, clock);
    (scene, files)
}

/// The reader of that scene's source, alone, by `clock`.
pub fn reader_of(scene: &Scene, clock: &ManualClock) -> Files {
    let conf = scene.work.write_conf();
    let loaded = config::load(&conf, "a1").unwrap_or_else(|f| panic!("{f:?}"));
    let source = loaded.config.sources.into_iter().next().expect("a source");
    Files::new(Rc::new(source), Rc::new(clock.clone()))
}
