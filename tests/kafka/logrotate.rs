//! The real logrotate with its usual options, under a writer that does not wait for it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::files::scene::{is_root, skipped};
use crate::support::torture::{ARRIVE_MAX, Chance, Group, Tally, V43, line};
use crate::support::{Topic, Work, shared};
use crate::taildir::{CONF, EXEC};

const ROTATIONS: usize = 8;

/// Does logrotate's way to rotate destroy lines that are written meanwhile?
#[derive(Clone, Copy, PartialEq)]
enum Ways {
    Moves,
    Truncates,
}

fn logrotate(work: &Work, options: &str) {
    let conf = work.dir().join("logrotate.conf");
    let path = work.path("one/app.log");
    let text = format!("{} {{\n{}\n}}\n", path.display(), options.replace(' ', "\n"));
    fs::write(&conf, text.replace('=', " ")).expect("a configuration file");
    let state = work.dir().join("logrotate.state");
    let mut command = Command::new("logrotate");
    command.arg("-f").arg("-s").arg(state).arg(conf);
    let output = command.output().expect("logrotate runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "logrotate: {told}");
}

fn has_logrotate() -> bool {
    let mut command = Command::new("logrotate");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A writer that keeps its descriptor until it sees that the name leads to another file, as one that is
/// told of a rotation.
fn write_until(path: &Path, stop: &AtomicBool, written: &AtomicU64) {
    let open = || OpenOptions::new().append(true).create(true).open(path).expect("a file");
    let inode = |file: &File| file.metadata().map(|stat| stat.ino()).ok();
    let mut file = open();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let is_other = fs::metadata(path).map(|stat| stat.ino()).ok() != inode(&file);
        if number % 20 == 0 && is_other {
            file = open();
        }
        file.write_all(format!("{}\n", line("a", number)).as_bytes()).expect("a line");
        number += 1;
        written.store(number, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// The number of the first line that is in the file now.
fn first_number(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next()?.split(' ').nth(1)?.parse().ok()
}

/// All lines that stand in any file now, also in those that were packed, if they were moved there: a copy
/// that is packed at once has lines that its original lost unread.
fn lines_that_are_left(work: &Work, ways: Ways) -> Vec<String> {
    let mut text = Vec::new();
    for entry in fs::read_dir(work.path("one")).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ext| ext == "gz") {
            if ways == Ways::Truncates {
                continue;
            }
            let output = Command::new("gzip").arg("-dc").arg(&path).output().expect("gzip runs");
            text.extend(output.stdout);
        } else {
            text.extend(fs::read(&path).expect("a file"));
        }
    }
    String::from_utf8(text).expect("text").lines().map(str::to_owned).collect()
}

/// What there is comes once; what logrotate has destroyed comes once at most, and nothing is torn.
fn rotated(conf: &str, options: &str, ways: Ways) {
    if !is_root() || !has_logrotate() {
        return skipped("there is no logrotate, or no root to run it");
    }
    let topic: Topic = shared(V43).fresh_topic("logrotate", 1);
    let work = Work::new(&topic).conf(conf).subdirectory("one").subdirectory("two");
    // Not what is packed.
    let work = match conf == EXEC {
        true => work,
        false => work.set("a1.sources.r1.filegroups.f1", "@SPOOL@/one/app\\\\.log(\\\\.\\\\d+)?"),
    };
    let kind = if conf == EXEC { "exec tail" } else { "TAILDIR" };
    let mut tally = Tally::row(Group::Identity, &format!("{kind}: logrotate, {options}"), V43);
    let mut chance = Chance::new();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let path = work.path("one/app.log");
    let mut agent = work.start();
    let is_there = |numbers: std::ops::Range<u64>| {
        let bodies: HashSet<String> = topic.bodies().into_iter().collect();
        numbers.into_iter().all(|number| bodies.contains(&line("a", number)))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| write_until(&path, &stop, &written));
        for at in 0..ROTATIONS {
            let enough = topic.count() + 100 + chance.below(300) as usize;
            agent.expect_records(&topic, enough, ARRIVE_MAX);
            // What is packed before it was opened cannot be read, however late the agent was.
            agent.expect("the present file is read", ARRIVE_MAX, || {
                first_number(&path).is_some_and(|first| is_there(first..first + 1))
            });
            if at % 3 == 2 {
                // What was packed is read by its descriptor, which a killed agent loses.
                agent.expect("what was there before it is read", ARRIVE_MAX, || {
                    ways == Ways::Truncates
                        || first_number(&path).is_some_and(|end| is_there(0..end))
                });
                agent.kill9();
                agent = work.start();
                // Only the agent that runs now adds to these: it has opened the present file.
                agent.expect_records(&topic, topic.count() + 50, ARRIVE_MAX);
            }
            logrotate(&work, options);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let left = lines_that_are_left(&work, ways);
    agent.expect("all that is there", ARRIVE_MAX, || {
        let bodies: HashSet<String> = topic.bodies().into_iter().collect();
        left.iter().all(|line| bodies.contains(line))
    });
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut counts: HashMap<String, u64> = HashMap::new();
    for body in topic.bodies() {
        *counts.entry(body).or_default() += 1;
    }
    let written = written.into_inner();
    let is_known = |body: &str| (0..written).any(|number| line("a", number) == *body);
    for (body, count) in &counts {
        assert_eq!(*count, 1, "{options}: {body:?}\n{}", agent.log());
    }
    let missing: Vec<u64> =
        (0..written).filter(|number| !counts.contains_key(&line("a", *number))).collect();
    assert_eq!(counts.len() + missing.len(), written as usize, "something is torn");
    assert!(counts.keys().take(5).all(|body| is_known(body)));
    if ways == Ways::Moves {
        assert!(missing.is_empty(), "{options}: {missing:?}\n{}", agent.log());
    }
    println!("{kind}, {options}: {written} lines, {} destroyed unread", missing.len());
    tally.add(ROTATIONS as u64, written);
}

#[test]
fn renamed_and_made_anew() {
    rotated(CONF, "create rotate=20 missingok notifempty", Ways::Moves);
    rotated(EXEC, "create rotate=20", Ways::Moves);
}

#[test]
fn renamed_and_made_by_the_writer() {
    rotated(CONF, "nocreate rotate=20", Ways::Moves);
}

#[test]
fn renamed_and_packed() {
    rotated(CONF, "create rotate=20 compress", Ways::Moves);
    rotated(CONF, "create rotate=20 compress delaycompress", Ways::Moves);
}

#[test]
fn copied_and_truncated() {
    rotated(CONF, "copytruncate rotate=20", Ways::Truncates);
    rotated(EXEC, "copytruncate rotate=20", Ways::Truncates);
    rotated(CONF, "copytruncate rotate=20 compress", Ways::Truncates);
}
