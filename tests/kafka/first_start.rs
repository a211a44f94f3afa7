//! What is decided at the very first start about a file that cannot be opened then: it holds for the next
//! start as well, however the first agent has ended.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::files::scene::{is_root, skipped};
use crate::support::torture::{ARRIVE_MAX, Group, V010, hazard};
use crate::support::{Agent, Topic, Work, eventually, java_tracker, shared};

const NOBODY: u32 = 65_534;

const TAILDIR: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = TAILDIR
a1.sources.r1.positionFile = @SPOOL@/../state/position.json
a1.sources.r1.filegroups = f1
a1.sources.r1.filegroups.f1 = @SPOOL@/.*\\\\.log
a1.sources.r1.writePosInterval = 100
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @BROKERS@
a1.channels.c1.kafka.topic = @TOPIC@
";

/// A topic, and a place where the agent is somebody who may be denied a file.
fn scene(label: &str) -> Option<(Topic, Work)> {
    if !is_root() {
        skipped("only root can take a right away from another user and give it back");
        return None;
    }
    let topic = shared("0.10.2.0").fresh_topic(label, 1);
    let work = Work::new(&topic).run_by(NOBODY);
    let state = work.dir().join("state");
    fs::create_dir(&state).expect("a directory");
    for dir in [state, work.spool()] {
        chown(dir, Some(NOBODY), Some(NOBODY)).expect("another owner");
    }
    Some((topic, work))
}

fn deny(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o000)).expect("a mode");
}

fn permit(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("a mode");
}

/// Another file's line is there, so that this agent has committed; then it is killed, and the next one
/// may read everything.
fn kill_and_permit(mut agent: Agent, topic: &Topic, work: &Work, denied: &Path) -> Agent {
    agent.expect_records(topic, 1, ARRIVE_MAX);
    assert!(agent.log().contains("It is waited for"), "{}", agent.log());
    agent.kill9();
    permit(denied);
    work.start()
}

#[track_caller]
fn ends_with(mut agent: Agent, topic: &Topic, expected: &[&str]) {
    agent.expect_records(topic, expected.len(), ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut bodies = topic.bodies();
    bodies.sort();
    assert_eq!(bodies, expected, "{}", agent.log());
}

#[test]
fn a_position_of_flume_waits_for_a_file_that_cannot_be_opened() {
    let _row = hazard(Group::Absence, "TAILDIR: file refused at the very first start", V010);
    let Some((topic, work)) = scene("first-position") else { return };
    let work = work
        .conf(TAILDIR)
        .file("a.log", b"sent\nunsent\n", 10)
        .file("b.log", b"b\n", 10)
        .file("c.log", b"sent and replaced\n", 10);
    let denied = work.path("a.log");
    let entry = |name: &str, pos: u64| {
        let path = work.path(name);
        let inode = fs::metadata(&path).expect("a file").ino();
        format!("{{\"inode\":{inode},\"pos\":{pos},\"file\":\"{}\"}}", path.display())
    };
    let (a, c) = (entry("a.log", 5), entry("c.log", 18));
    fs::write(work.dir().join("state/position.json"), format!("[{a},{c}]")).expect("a file");
    deny(&denied);
    deny(&work.path("c.log"));
    let mut agent = work.start();
    // Whoever goes back to Flume has it, too.
    let kept = || fs::read_to_string(work.dir().join("state/position.json")).unwrap_or_default();
    agent.expect_records(&topic, 1, ARRIVE_MAX);
    agent.expect("all positions", ARRIVE_MAX, || {
        let kept = kept();
        kept.contains(&a) && kept.contains(&c) && kept.contains("b.log")
    });
    // Each is told once, however often it is looked for.
    assert_eq!(agent.log().matches("It is waited for").count(), 2, "{}", agent.log());
    // It holds something else, and less, when it can be opened.
    permit(&work.path("c.log"));
    fs::write(work.path("c.log"), b"new\n").expect("a file");
    agent.expect_records(&topic, 2, ARRIVE_MAX);
    ends_with(kill_and_permit(agent, &topic, &work, &denied), &topic, &["b", "new", "unsent"]);
}

#[test]
fn what_is_skipped_is_skipped_in_a_file_that_cannot_be_opened() {
    let _row = hazard(Group::Absence, "TAILDIR: skipToEnd, file refused at the first start", V010);
    let Some((topic, work)) = scene("first-skip") else { return };
    let work = work
        .conf(TAILDIR)
        .set("a1.sources.r1.skipToEnd", "true")
        .file("half.log", b"old\nhal", 10)
        .file("whole.log", b"old\n", 10);
    let (half, whole) = (work.path("half.log"), work.path("whole.log"));
    deny(&half);
    deny(&whole);
    let agent = work.start();
    says(&agent, "It is waited for");
    work.append("new.log", b"a\n");
    permit(&whole);
    let agent = kill_and_permit(agent, &topic, &work, &half);
    work.append("half.log", b"f of it\nb\n");
    work.append("whole.log", b"c\n");
    ends_with(agent, &topic, &["a", "b", "c"]);
}

#[track_caller]
fn says(agent: &Agent, what: &str) {
    eventually(what, ARRIVE_MAX, || {
        let log = agent.log();
        if log.contains(what) { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_tracker_of_flume_waits_for_a_file_that_cannot_be_opened() {
    let _row = hazard(Group::Absence, "Flume's tracker, file refused at the first start", V010);
    let Some((topic, work)) = scene("first-tracker") else { return };
    let tracker = work.dir().join("state");
    let work = work.set("a1.sources.r1.trackerDir", tracker.display());
    let work = work.file("010_{H}.log", b"sent\nunsent\n", 10).file("020_{H}.log", b"b\n", 10);
    let denied = work.path("010_{H}.log");
    let meta = java_tracker(denied.to_str().expect("UTF-8"), 5);
    fs::write(tracker.join(".flumespooltailfile-main.meta"), meta).expect("a file");
    deny(&denied);
    let agent = work.start();
    ends_with(kill_and_permit(agent, &topic, &work, &denied), &topic, &["b", "unsent"]);
}

#[test]
fn an_end_that_was_meant_holds_for_a_file_that_cannot_be_opened() {
    let _row = hazard(Group::Absence, "onBadCheckpoint = end, file refused then", V010);
    let Some((topic, work)) = scene("first-end") else { return };
    let tracker = work.dir().join("state");
    let work = work
        .set("a1.sources.r1.trackerDir", tracker.display())
        .set("a1.sources.r1.onBadCheckpoint", "end")
        .file("010_{H}.log", b"old\n", 10)
        .file("020_{H}.log", b"old too\n", 10);
    fs::write(tracker.join("checkpoint"), b"damaged").expect("a file");
    chown(tracker.join("checkpoint"), Some(NOBODY), Some(NOBODY)).expect("another owner");
    let denied = work.path("010_{H}.log");
    deny(&denied);
    let agent = work.start();
    says(&agent, "It is waited for");
    work.append("030_{H}.log", b"a\n");
    let agent = kill_and_permit(agent, &topic, &work, &denied);
    work.append("010_{H}.log", b"b\n");
    work.append("020_{H}.log", b"c\n");
    ends_with(agent, &topic, &["a", "b", "c"]);
}

/// Positions say which files are meant by their inodes, so all names must be known first.
#[test]
fn positions_wait_for_a_directory_that_cannot_be_listed() {
    let _row = hazard(Group::Absence, "TAILDIR: directory refused at the first start", V010);
    let Some((topic, work)) = scene("first-directory") else { return };
    let work = work
        .conf(TAILDIR)
        .set("a1.sources.r1.filegroups", "f1 f2")
        .set("a1.sources.r1.filegroups.f2", "@SPOOL@/deep/.*\\\\.log")
        .subdirectory("deep")
        .file("deep/a.log", b"sent\nunsent\n", 10);
    let path = work.path("deep/a.log");
    let inode = fs::metadata(&path).expect("a file").ino();
    let entry = format!("[{{\"inode\":{inode},\"pos\":5,\"file\":\"{}\"}}]", path.display());
    fs::write(work.dir().join("state/position.json"), entry).expect("a file");
    deny(&work.path("deep"));
    let agent = work.start();
    says(&agent, "cannot start");
    fs::set_permissions(work.path("deep"), Permissions::from_mode(0o755)).expect("a mode");
    ends_with(agent, &topic, &["unsent"]);
}
