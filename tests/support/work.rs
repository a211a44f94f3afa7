//! A work directory with a spool directory and a configuration, and the agent in it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::children::{TempDir, signal, spawn, tied, wait_exit};
use super::topic::Topic;
use super::wait_for;

const CONF: &str = "log010.conf";
/// Not there in `make demo`, which finds it beside itself.
const PROGRAM: Option<&str> = option_env!("CARGO_BIN_EXE_flume-ng");
const TRACKER: &str = ".flumespooltail";
const TRACKER_OF_SPOOLDIR: &str = ".flumespool";
const STOP_MAX: Duration = Duration::from_secs(20);

/// The hour that a test takes as the present one, so that the clock cannot change the
/// names under it.
#[derive(Debug, Clone)]
pub struct Hour {
    now: i64,
    format: String,
}

/// A test that makes files of the present hour takes no longer than this, s.
const CALM_S: i32 = 180;

impl Hour {
    /// `format` is one of strftime.
    pub fn present(format: &str) -> Hour {
        let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
        Hour { now: since.as_secs() as i64, format: format.to_string() }
    }

    /// The same, but the hour will not end within the next minutes, in which a test has its end even
    /// on a loaded machine: if it would, this waits for the next one.
    pub fn calm(format: &str) -> Hour {
        loop {
            let hour = Hour::present(format);
            let time = local(hour.now);
            let left_s = 3600 - (time.tm_min * 60 + time.tm_sec).min(3600);
            if left_s >= CALM_S {
                return hour;
            }
            std::thread::sleep(Duration::from_secs(left_s as u64 + 1));
        }
    }

    /// Whether the clock has left this hour.
    pub fn is_over(&self) -> bool {
        Hour::present(&self.format).name("{H}") != self.name("{H}")
    }

    /// `{H}` becomes the hour in local time, `{H-2}` that of two hours before.
    pub fn name(&self, template: &str) -> String {
        let mut name = String::new();
        let mut rest = template;
        while let Some(start) = rest.find("{H") {
            let length = rest[start..].find('}').expect("the end of {H...}");
            let shift = &rest[start + 2..start + length];
            let shift = if shift.is_empty() { 0 } else { shift.parse().expect("{H-number}") };
            name.push_str(&rest[..start]);
            name.push_str(&strftime(&self.format, self.now + 3600 * shift));
            rest = &rest[start + length + 1..];
        }
        name + rest
    }
}

fn local(time: i64) -> libc::tm {
    // SAFETY: a tm of zeros is valid, and localtime_r writes to it and nowhere else.
    unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        let seconds = time as libc::time_t;
        assert!(!libc::localtime_r(&seconds, &mut tm).is_null());
        tm
    }
}

fn strftime(format: &str, time: i64) -> String {
    let format = std::ffi::CString::new(format).expect("no NUL in a format");
    let tm = local(time);
    let mut buffer = [0u8; 256];
    // SAFETY: strftime writes at most the length it is given.
    let length =
        unsafe { libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &tm) };
    String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")
}

/// Names of files are templates of `Hour::name` throughout.
#[derive(Debug)]
pub struct Work {
    dir: TempDir,
    hour: Hour,
    topic: Topic,
    conf: String,
    program: PathBuf,
    user: Option<u32>,
    /// Of the environment.
    variables: Vec<(String, String)>,
}

impl Work {
    /// The reference configuration, with names like 010_{H}.log, and no files.
    pub fn new(topic: &Topic) -> Work {
        let dir = TempDir::new("work");
        fs::create_dir(dir.path().join("spool")).expect("a new directory");
        fs::create_dir(dir.path().join("conf")).expect("a new directory");
        let conf = include_str!("log010.conf").to_string();
        let program = PROGRAM.expect("only tests have it built").into();
        let hour = Hour::calm("%Y%m%d%H");
        let variables = Vec::new();
        Work { dir, hour, topic: topic.clone(), conf, program, user: None, variables }
    }

    pub fn hour(mut self, hour: Hour) -> Work {
        self.hour = hour;
        self
    }

    /// Another configuration. `@SPOOL@`, `@TOPIC@`, `@BROKERS@`, `@ZK@` and `@GROUP@` in
    /// it are filled in.
    pub fn conf(mut self, template: &str) -> Work {
        self.conf = template.to_string();
        self
    }

    /// The program runs as this user from now on, from a copy: the checkout may be where only its
    /// owner may go.
    pub fn run_by(mut self, user: u32) -> Work {
        let copy = self.dir().join("flume-ng");
        fs::copy(&self.program, &copy).expect("a copy of the program");
        (self.program, self.user) = (copy, Some(user));
        self
    }

    /// The program is run by these words from now on.
    pub fn run_through(mut self, words: &[&str]) -> Work {
        let script = self.dir().join("flume-ng");
        fs::write(&script, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))
            .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
            .expect("a script");
        self.program = script;
        self
    }

    /// One more variable in the environment of the program.
    pub fn variable(mut self, name: &str, value: &str) -> Work {
        self.variables.push((name.to_string(), value.to_string()));
        self
    }

    /// One more line of configuration; the last one for a key counts.
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Work {
        self.conf.push_str(&format!("\n{key} = {value}\n"));
        self
    }

    /// A file in the spool directory, last modified so many seconds ago.
    pub fn file(self, name: &str, content: &[u8], age_s: u64) -> Work {
        self.write(name, content, age_s);
        self
    }

    pub fn subdirectory(self, name: &str) -> Work {
        fs::create_dir(self.path(name)).expect("a new directory");
        self
    }

    /// The tracker file that the Java source leaves when it has read so far in a file.
    pub fn java_tracker(self, name: &str, position: u64) -> Work {
        let dir = self.tracker_dir();
        fs::create_dir_all(&dir).expect("a new directory");
        let path = self.path(name);
        let tracker = java_tracker(path.to_str().expect("UTF-8"), position);
        let name = ".flumespooltailfile-main.meta";
        fs::write(dir.join(name), tracker).expect("a new file");
        self
    }

    pub fn write(&self, name: &str, content: &[u8], age_s: u64) {
        fs::write(self.path(name), content).expect("a file in the spool directory");
        self.set_age(name, age_s);
    }

    pub fn append(&self, name: &str, content: &[u8]) {
        let file = OpenOptions::new().append(true).create(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(content)).expect("a file to append to");
    }

    pub fn set_age(&self, name: &str, age_s: u64) {
        let modified = SystemTime::now() - Duration::from_secs(age_s);
        let file = OpenOptions::new().write(true).open(self.path(name));
        file.and_then(|file| file.set_modified(modified)).expect("a modification time");
    }

    /// Name of a template.
    pub fn name(&self, template: &str) -> String {
        self.hour.name(template)
    }

    /// Path of a file in the spool directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.spool().join(self.name(name))
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn spool(&self) -> PathBuf {
        self.dir().join("spool")
    }

    /// Where the agent keeps its state unless its configuration names another place.
    pub fn tracker_dir(&self) -> PathBuf {
        let is_spooldir = self.conf.lines().any(|line| line == "a1.sources.r1.type = spooldir");
        self.spool().join(if is_spooldir { TRACKER_OF_SPOOLDIR } else { TRACKER })
    }

    /// Names and sizes in the spool directory, sorted, without the tracker directory.
    /// Directories have no size.
    pub fn listing(&self) -> Vec<(String, Option<u64>)> {
        let mut listing = Vec::new();
        for entry in fs::read_dir(self.spool()).expect("the spool directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("UTF-8");
            // A file may go between its being listed and being looked at.
            let Ok(about) = entry.metadata() else {
                continue;
            };
            if name != TRACKER {
                listing.push((name, about.is_file().then_some(about.len())));
            }
        }
        listing.sort();
        listing
    }

    pub fn write_conf(&self) -> PathBuf {
        let group = format!("{}-group", self.topic.name());
        let conf = self
            .conf
            .replace("@SPOOL@", self.spool().to_str().expect("UTF-8"))
            .replace("@TOPIC@", self.topic.name())
            .replace("@BROKERS@", self.topic.bootstrap())
            .replace("@GROUP@", &group)
            // Nothing listens there: the agent must not want ZooKeeper.
            .replace("@ZK@", "127.0.0.1:1");
        let path = self.dir().join(CONF);
        // In one step, and only if it is another one: a program that runs may be reading it.
        if !fs::read_to_string(&path).is_ok_and(|before| before == conf) {
            let new = self.dir().join(".conf.new");
            fs::write(&new, conf).expect("a configuration file");
            fs::rename(&new, &path).expect("a configuration file");
        }
        path
    }

    /// The agent's command line in the work directory, as the reference has it.
    pub fn command(&self) -> Command {
        self.write_conf();
        let mut command = self.program();
        command.args(["agent", "--conf", "conf", "--conf-file", CONF, "--name", "a1"]);
        command
    }

    /// The program without arguments, in the work directory.
    pub fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.current_dir(self.dir()).envs(self.variables.iter().cloned());
        command
    }

    /// Is everything that stands in the files acknowledged, and does the checkpoint say so? A record
    /// is in the topic before its acknowledgement has reached the agent.
    pub fn is_committed(&self) -> bool {
        let mut command = self.program();
        command.args(["status", "--json", "--name", "a1", "--conf-file", CONF]);
        let output = command.output().expect("the program runs");
        let told: String = String::from_utf8_lossy(&output.stdout).split_whitespace().collect();
        told.contains("\"behind_bytes\":0,") && told.contains("\"batches_in_doubt\":0,")
    }

    pub fn start(&self) -> Agent {
        self.start_command(self.command())
    }

    /// Starts a `command()` of which the words, the directory or the variables were changed.
    pub fn start_command(&self, command: Command) -> Agent {
        self.start_prepared(if self.user.is_some() { command } else { tied(&command) })
    }

    /// Starts a `command()` that has more to do before it becomes the program (`pre_exec`).
    pub fn start_prepared(&self, command: Command) -> Agent {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Agent::start(command, &self.dir().join(format!("agent-{number}.log")))
    }
}

/// A running agent, killed when this value goes.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// Runs the command, whose words go to the file `log`.
    pub fn start(mut command: Command, log: &Path) -> Agent {
        let file = File::create(log).expect("a log file");
        let other = file.try_clone().expect("a second descriptor");
        command.stdin(Stdio::null()).stdout(other).stderr(file);
        Agent { child: spawn(command).expect("the agent runs"), log: log.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Only while it has not been waited for.
    pub fn signal(&self, number: i32) {
        signal(&self.child, number);
    }

    /// SIGTERM, and how it ended.
    pub fn term(&mut self) -> ExitStatus {
        self.term_timed().0
    }

    /// The same, and how long it took.
    pub fn term_timed(&mut self) -> (ExitStatus, Duration) {
        // Before its first word it may not have got to the point of catching signals: what was
        // expected may be an earlier agent's work.
        wait_for(STOP_MAX, || !self.log().is_empty() || !self.is_running());
        let start = Instant::now();
        if self.is_running() {
            self.signal(libc::SIGTERM);
        }
        let status = self.wait(STOP_MAX);
        let status = status.unwrap_or_else(|| panic!("it did not stop:\n{}", self.log()));
        (status, start.elapsed())
    }

    /// Waits for a condition that this agent is to bring about; panics with its log if it
    /// does not, or ends.
    #[track_caller]
    pub fn expect(&mut self, what: &str, timeout: Duration, condition: impl Fn() -> bool) {
        let mut ended = false;
        let met = wait_for(timeout, || {
            condition() || {
                ended = !self.is_running();
                ended
            }
        });
        // What it brought about last it may have done after we looked.
        if !met || (ended && !condition()) {
            let how = if ended {
                "before the agent ended".to_string()
            } else {
                format!("within {timeout:?}")
            };
            panic!("not {how}: {what}\n{}", self.log());
        }
    }

    /// Waits until its topic holds so many records.
    #[track_caller]
    pub fn expect_records(&mut self, topic: &Topic, count: usize, timeout: Duration) {
        let counter = topic.counter();
        self.expect(&format!("{count} records"), timeout, || counter.has(count));
    }

    /// How it ended, if it does by itself within this time.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        wait_exit(&mut self.child, timeout)
    }

    /// All that it wrote to stdout and stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A tracker file of the Java source: an Avro container file with one record.
pub fn java_tracker(path: &str, position: u64) -> Vec<u8> {
    const SCHEMA: &str = concat!(
        r#"{"type":"record","name":"TransferStateFileMeta","#,
        r#""namespace":"org.apache.flume.serialization","#,
        r#""fields":[{"name":"offset","type":"long"}]}"#
    );
    const SYNC: &[u8; 16] = b"0123456789abcdef";
    let mut file = b"Obj\x01".to_vec();
    let text = |file: &mut Vec<u8>, text: &str| {
        zigzag(file, text.len() as i64);
        file.extend(text.as_bytes());
    };
    zigzag(&mut file, 2);
    for entry in ["avro.schema", SCHEMA, "file", path] {
        text(&mut file, entry);
    }
    zigzag(&mut file, 0);
    file.extend(SYNC);
    let mut record = Vec::new();
    zigzag(&mut record, position as i64);
    zigzag(&mut file, 1);
    zigzag(&mut file, record.len() as i64);
    file.extend(record);
    file.extend(SYNC);
    file
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
