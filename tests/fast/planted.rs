//! Who writes into the spool directory may plant links and pipes where the agent, which may have more
//! rights, is about to write. Nothing of them is followed or waited for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory with a configuration and one file to be read, whose broker is nowhere.
pub(super) struct Site {
    dir: PathBuf,
}

impl Site {
    pub(super) fn new(name: &str, tracker: &str, more: &str) -> Site {
        let dir = std::env::temp_dir().join(format!("flume-ng-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("spool")).unwrap();
        fs::write(dir.join("spool/app-2017041212.log"), "one\n").unwrap();
        let root = dir.display();
        let conf = format!(
            "a1.sources = r1\na1.channels = c1\n\
             a1.sources.r1.type = spooltail\n\
             a1.sources.r1.channels = c1\n\
             a1.sources.r1.spoolDir = {root}/spool\n\
             a1.sources.r1.trackerDir = {root}/{tracker}\n\
             a1.sources.r1.targetPattern = .*(\\\\d){{10}}.*\n\
             a1.sources.r1.targetFilename = yyyyMMddHH\n\
             a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
             a1.channels.c1.brokerList = 127.0.0.1:1\n\
             a1.channels.c1.topic = t\n{more}"
        );
        fs::write(dir.join("a.conf"), conf).unwrap();
        Site { dir }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
        command.args(args).args(["--name", "a1", "--conf-file"]).arg(self.path("a.conf"));
        command.current_dir(&self.dir);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs the agent for a second at most: exit code and log.
    fn agent(&self) -> (Option<i32>, String) {
        let output = self.run(&["agent", "--once", "--timeout", "1"]);
        let log = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(log).unwrap())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_tracker_directory_that_others_may_write_to_is_refused() {
    let site = Site::new("planted-open", "spool/.flumespool", "");
    let tracker = site.path("spool/.flumespool");
    fs::create_dir(&tracker).unwrap();
    set_mode(&tracker, 0o777);
    let way_out = format!("chmod go-w {}", tracker.display());
    let (code, log) = site.agent();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains(&way_out), "{log}");
    assert!(log.contains("see \"What is in trackerDir\" in docs/operating.md."), "{log}");
    assert_eq!(fs::read_dir(&tracker).unwrap().count(), 0, "something was written there");
    let check = site.run(&["check"]);
    let table = String::from_utf8(check.stdout).unwrap();
    assert_ne!(check.status.code(), Some(0));
    assert!(table.contains("other users may write in the tracker directory"), "{table}");
    set_mode(&tracker, 0o755);
    let (code, log) = site.agent();
    assert_eq!(code, Some(75), "{log}");
}

const NAMES: [&str; 10] = [
    "lock",
    "checkpoint",
    "checkpoint.new",
    "receipts",
    "dead-letter",
    "trouble",
    "trouble.new",
    "rebuilding",
    "cuts",
    ".flumespooltailfile-main.meta",
];

#[derive(Debug, Clone, Copy)]
enum Plant {
    Link,
    DanglingLink,
    Pipe,
}

/// Each of our files, as a link to a file that must stay as it is, and as a pipe.
#[test]
fn planted_links_and_pipes_are_neither_followed_nor_waited_for() {
    std::thread::scope(|scope| {
        for plant in [Plant::Link, Plant::DanglingLink, Plant::Pipe] {
            for name in NAMES {
                scope.spawn(move || planted(plant, name));
            }
        }
    });
}

fn planted(plant: Plant, name: &str) {
    let site = Site::new(&format!("planted-{plant:?}-{name}"), "tracker", "");
    let (tracker, victim) = (site.path("tracker"), site.path("victim"));
    fs::create_dir(&tracker).unwrap();
    let at = tracker.join(name);
    match plant {
        Plant::Link => {
            fs::write(&victim, "keep").unwrap();
            symlink(&victim, &at).unwrap();
        }
        Plant::DanglingLink => symlink(&victim, &at).unwrap(),
        Plant::Pipe => assert!(Command::new("mkfifo").arg(&at).status().unwrap().success()),
    }
    let (code, log) = site.agent();
    assert!(matches!(code, Some(70 | 75 | 78)), "{plant:?} {name}: {code:?} {log}");
    assert!(log.contains("Starting Source r1"), "{log}");
    for look in ["check", "status"] {
        assert!(site.run(&[look]).status.code().is_some(), "{plant:?} {name}");
    }
    match plant {
        Plant::Link => assert_eq!(fs::read(&victim).unwrap(), b"keep", "{name}"),
        Plant::DanglingLink | Plant::Pipe => assert!(!victim.exists(), "{plant:?} {name}"),
    }
}

#[test]
fn a_planted_link_beside_the_text_file_is_not_followed() {
    let site = Site::new("planted-textfile", "tracker", "");
    let (text, victim) = (site.path("metrics.prom"), site.path("victim"));
    fs::write(&victim, "keep").unwrap();
    let conf = fs::read_to_string(site.path("a.conf")).unwrap();
    let textfile = format!("a1.monitoring.textfile = {}\n", text.display());
    fs::write(site.path("a.conf"), conf + &textfile).unwrap();
    symlink(&victim, site.path("metrics.prom.tmp")).unwrap();
    symlink(&victim, &text).unwrap();
    let (code, log) = site.agent();
    assert_eq!(code, Some(75), "{log}");
    assert_eq!(fs::read(&victim).unwrap(), b"keep");
    let metrics = fs::read_to_string(&text).unwrap();
    assert!(metrics.contains("flume_ng_up"), "{metrics}");
}
