//! The files of a source alone, in a directory of their own: for the tests of this room.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use super::quest::prefix_crc;
use super::read_marks::{Mark, Marks};
use super::{Files, Handle};
use crate::clock::{Clock, ManualClock};
use crate::config;
use crate::os;

const CONF: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = com.github.ningg.flume.source.SpoolDirectoryTailFileSource
a1.sources.r1.spoolDir = @DIR@/spool
a1.sources.r1.trackerDir = @DIR@/tracker
a1.sources.r1.targetPattern = .*(\\\\d){10}.*
a1.sources.r1.targetFilename = yyyyMMddHH
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.brokerList = localhost:9092
a1.channels.c1.topic = t
";

const HOUR_MS: i64 = 3_600_000;

/// Tells that a test is in a process of its own.
const ALONE: &str = "FLUME_NG_TEST_ALONE";

pub(super) struct Scene {
    dir: PathBuf,
    pub(super) clock: ManualClock,
    pub(super) files: Files,
}

impl Scene {
    /// `name` must be that of one test only.
    pub(super) fn new(name: &str) -> Scene {
        Scene::of(name, CONF)
    }

    /// With another configuration, in which the directory is `@DIR@`.
    pub(super) fn of(name: &str, conf: &str) -> Scene {
        let dir = std::env::temp_dir().join(format!("flume-ng-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&dir);
        for part in ["spool", "tracker"] {
            fs::create_dir_all(dir.join(part)).unwrap();
        }
        write_conf(&dir, conf);
        // In the middle of an hour, which does not end.
        let now_ms = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let clock = ManualClock::new(now_ms / HOUR_MS * HOUR_MS + HOUR_MS / 2, 0);
        let files = reader(&dir, &clock);
        Scene { dir, clock, files }
    }

    /// The agent is another one, which knows nothing.
    pub(super) fn restart(&mut self) {
        self.files = reader(&self.dir, &self.clock);
    }

    /// Likewise, with this configuration.
    pub(super) fn reconfigure(&mut self, conf: &str) {
        write_conf(&self.dir, conf);
        self.restart();
    }

    /// A name of the present hour.
    pub(super) fn name(&self, stem: &str) -> String {
        let at = self.clock.local(self.clock.now_ms()).date_time();
        let (month, day, hour) = (u8::from(at.month()), at.day(), at.hour());
        format!("{stem}-{:04}{month:02}{day:02}{hour:02}.log", at.year())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join("spool").join(name)
    }

    /// Writes so many lines behind what the file holds.
    pub(super) fn write(&self, name: &str, lines: std::ops::Range<u32>) {
        let file = File::options().append(true).create(true).open(self.path(name));
        let text: String = lines.map(|n| format!("line {n:010}\n")).collect();
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// All of the file was read, and is in the topic. It may have been copied after so many of its bytes.
    pub(super) fn is_read(&mut self, name: &str, copied: u64) -> Handle {
        self.files.refresh(true);
        let file = File::open(self.path(name)).unwrap();
        let mark = |end| Mark {
            position: end,
            bytes_crc: prefix_crc(&file, end).unwrap(),
            ..Mark::default()
        };
        let size = file.metadata().unwrap().len();
        let (whole, mark) = (mark(size), mark(copied));
        let handle = self.files.push_tracked(OsString::from(name), file, size);
        let tracked = &mut self.files.tracked[handle];
        tracked.record.bytes_crc = whole.bytes_crc;
        tracked.record.marks = vec![mark];
        tracked.marks = Marks::of(&tracked.record, 0);
        handle
    }

    /// Where file `id` is read, and up to which byte it was.
    pub(super) fn reads(&self, id: u64) -> Option<(OsString, u64)> {
        let tracked = self.files.at(self.files.handle_of(id)?);
        Some((tracked.current_name(), tracked.read_position))
    }

    /// The file is truncated, which the agent sees. Returns the id of what was read of it.
    pub(super) fn truncate(&mut self, handle: Handle) -> u64 {
        let tracked = self.files.at(handle);
        let id = tracked.record.id;
        let path = self.path(&tracked.name().to_string_lossy());
        File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        self.files.begin_again(handle, "was truncated");
        id
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn write_conf(dir: &Path, conf: &str) {
    fs::write(dir.join("conf"), conf.replace("@DIR@", dir.to_str().unwrap())).unwrap();
}

fn reader(dir: &Path, clock: &ManualClock) -> Files {
    let loaded =
        config::load(&dir.join("conf"), "a1").unwrap_or_else(|faults| panic!("{faults:?}"));
    let source = loaded.config.sources.into_iter().next().unwrap();
    Files::new(Rc::new(source), Rc::new(clock.clone()))
}

/// Is this a process in which nothing but that test runs? If not, the test is run in one.
pub(super) fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    run_alone(Command::new(std::env::current_exe().unwrap()), test);
    false
}

/// Likewise, and in a process whose mounts nobody else sees; nor is the test run where those are not permitted.
pub(super) fn may_mount(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let permits = |options: &&str| {
        let mut probe = Command::new("unshare");
        probe.args([*options, "mount", "--bind", "/tmp", "/tmp"]);
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(options) = ["-m", "-rm"].into_iter().find(permits) else {
        eprintln!("{test} is skipped: mounts are not permitted");
        return false;
    };
    let mut command = Command::new("unshare");
    command.arg(options).arg(std::env::current_exe().unwrap());
    run_alone(command, test);
    false
}

/// A directory becomes a mount of its own, of the file system that it is on.
pub(super) fn mount(dir: &Path) {
    let status = Command::new("mount").arg("--bind").args([dir, dir]).status();
    assert!(status.unwrap().success(), "{}", dir.display());
}

/// The directory that was mounted can be removed then.
pub(super) fn unmount(dir: &Path) {
    let status = Command::new("umount").arg("-l").arg(dir).status();
    assert!(status.unwrap().success(), "{}", dir.display());
}

fn run_alone(mut command: Command, test: &str) {
    let output = command.args(["--exact", "--nocapture", test]).env(ALONE, "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{why}");
}

/// While `act` runs, this process, which has to be alone, has so many descriptors more.
pub(super) fn with_descriptors<T>(count: usize, act: impl FnOnce() -> T) -> T {
    // The lowest numbers are given first.
    let probes: Vec<File> = (0..=count).map(|_| File::open("/dev/null").unwrap()).collect();
    let last = probes.last().map_or(0, AsRawFd::as_raw_fd);
    drop(probes);
    os::limit_descriptors(Some(last as u64));
    let result = act();
    os::limit_descriptors(None);
    result
}

pub(super) fn named(name: &str, position: u64) -> Option<(OsString, u64)> {
    Some((OsStr::new(name).to_owned(), position))
}
