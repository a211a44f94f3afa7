//! spooldir: whole files that are dropped into a directory, beside real brokers.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use crate::files::descriptors::begin_with_descriptors;
use crate::support::torture::{ARRIVE_MAX, Chance, Group, Tally, V010, hazard, lines};
use crate::support::{Topic, Work, shared, wait_for};

const V4: &str = "4.3.1";

pub(crate) const CONF: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = @SPOOL@
a1.sources.r1.retireGraceMs = 300
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @BROKERS@
a1.channels.c1.kafka.topic = @TOPIC@
";

fn scene(partitions: i32) -> (Topic, Work) {
    scene_on(V4, partitions)
}

fn scene_on(version: &str, partitions: i32) -> (Topic, Work) {
    let topic = shared(version).fresh_topic("spooldir", partitions);
    let work = Work::new(&topic).conf(CONF);
    (topic, work)
}

fn unfinished(work: &Work) -> usize {
    let is_waiting = |name: &str| !name.starts_with('.') && !name.ends_with(".COMPLETED");
    work.listing().iter().filter(|(name, _)| is_waiting(name)).count()
}

/// Kills at moments that chance chooses while files are dropped; the last line of each has no newline.
fn killed_while_files_are_dropped(
    (version, place): (&str, &str),
    work: (Topic, Work),
    is_done: impl Fn(&Work) -> bool,
) {
    const FILES: usize = 60;
    const EACH: u64 = 50;
    let what = format!("spooldir{place}: kill -9 while files are dropped");
    let mut tally = Tally::new(&what, version);
    let mut chance = Chance::new();
    let (topic, work) = work;
    let labels: Vec<String> = (0..FILES).map(|at| format!("f{at}")).collect();
    let mut agent = work.start();
    for label in &labels {
        let mut content = lines(label, 0, EACH);
        content.pop();
        work.write(&format!(".{label}"), &content, 5);
        let at = if place.is_empty() { label.clone() } else { format!("below/{label}") };
        fs::rename(work.path(&format!(".{label}")), work.path(&at)).expect("a dropped file");
        std::thread::sleep(Duration::from_millis(chance.below(60)));
        if chance.below(6) == 0 {
            agent.kill9();
            agent = work.start();
        }
    }
    agent.expect("no file left", ARRIVE_MAX, || is_done(&work));
    agent.expect_records(&topic, FILES * EACH as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let series: Vec<(&str, u64)> = labels.iter().map(|label| (label.as_str(), EACH)).collect();
    tally.exact("kills", &topic, &series, &agent);
}

/// Each was written a moment ago, and is watched for an hour after it was renamed. They once held all
/// descriptors meanwhile: a minute for each few hundred files at the usual grace time.
#[test]
fn files_dropped_at_once_do_not_wait_for_each_others_grace_time() {
    const FILES: usize = 300;
    let what = "spooldir: 300 files dropped at once, 64 descriptors";
    let _row = hazard(Group::Sticks, what, V4);
    let (topic, work) = scene(2);
    let work = work.set("a1.sources.r1.retireGraceMs", 3_600_000);
    let labels: Vec<String> = (0..FILES).map(|at| format!("f{at}")).collect();
    labels.iter().for_each(|label| work.write(label, &lines(label, 0, 2), 0));
    let mut command = work.command();
    begin_with_descriptors(&mut command, 64);
    let mut agent = work.start_command(command);
    agent.expect("no file left", ARRIVE_MAX, || unfinished(&work) == 0);
    agent.expect_records(&topic, 2 * FILES, ARRIVE_MAX);
    for label in &labels[..10] {
        work.append(&format!("{label}.COMPLETED"), &lines(label, 2, 3));
    }
    agent.expect_records(&topic, 2 * FILES + 10, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let written = |at: usize| if at < 10 { 3 } else { 2 };
    let series: Vec<(&str, u64)> =
        labels.iter().enumerate().map(|(at, label)| (label.as_str(), written(at))).collect();
    let mut tally = Tally::row(
        Group::Sticks,
        "spooldir: late lines of files that gave their descriptors away",
        V4,
    );
    tally.exact("dropped", &topic, &series, &agent);
}

#[test]
fn kill_9_while_files_are_dropped() {
    killed_while_files_are_dropped((V4, ""), scene(2), |work| unfinished(work) == 0);
}

#[test]
fn kill_9_while_files_are_dropped_that_are_marked() {
    let (topic, work) = scene_on(V010, 2);
    let work = work.subdirectory("below").set(RECURSIVE, "true").set(POLICY, "tracker_dir");
    let marks =
        |work: &Work| fs::read_dir(work.tracker_dir().join("below")).map_or(0, Iterator::count);
    let what = (V010, ", tracker_dir");
    killed_while_files_are_dropped(what, (topic, work), |work| marks(work) == 60);
}

const RECURSIVE: &str = "a1.sources.r1.recursiveDirectorySearch";
const POLICY: &str = "a1.sources.r1.trackingPolicy";

#[test]
fn files_of_subdirectories_are_read_and_renamed_there() {
    let (topic, work) = scene(1);
    let work = work.set(RECURSIVE, "true").set("a1.sources.r1.ignorePattern", "^skip.*$");
    for dir in [".hidden", "skipped", "one", "one/two"] {
        fs::create_dir(work.path(dir)).expect("a directory");
    }
    let work = work
        .file("a", b"a\n", 90)
        .file("one/b", b"b\n", 80)
        .file("one/two/c", b"c\n", 70)
        .file(".hidden/no", b"no\n", 70)
        .file("skipped/no", b"no\n", 70)
        .file("one/skip", b"no\n", 70);
    let mut agent = work.start();
    let has = |name: &str| work.path(name).exists();
    agent.expect("new names", ARRIVE_MAX, || {
        has("a.COMPLETED") && has("one/b.COMPLETED") && has("one/two/c.COMPLETED")
    });
    // One that comes later, with a file in it; and one that goes with a file that was not read.
    fs::create_dir(work.path(".three")).expect("a directory");
    work.write(".three/d", b"d\n", 60);
    fs::rename(work.path(".three"), work.path("three")).expect("a directory");
    agent.expect_records(&topic, 4, ARRIVE_MAX);
    agent.expect("a new name", ARRIVE_MAX, || has("three/d.COMPLETED"));
    agent.kill9();
    fs::rename(work.path("three"), work.path("one/four")).expect("a directory");
    work.append("one/four/d.COMPLETED", b"late\n");
    work.append("one/four/e", b"e\n");
    let mut agent = work.start();
    agent.expect("a new name", ARRIVE_MAX, || has("one/four/e.COMPLETED"));
    fs::remove_dir_all(work.path("one")).expect("a directory");
    work.append("f", b"f\n");
    agent.expect("a new name", ARRIVE_MAX, || has("f.COMPLETED"));
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut bodies = topic.bodies();
    bodies.retain(|body| body != "late");
    assert_eq!(bodies, ["a", "b", "c", "d", "e", "f"], "{}", agent.log());
}

/// The directory permits nothing to be changed in it, and Flume has been here.
#[test]
fn files_that_are_marked_keep_their_names_and_are_read_on() {
    let (topic, work) = scene(1);
    let tracker = work.dir().join("track");
    fs::create_dir(&tracker).expect("a directory");
    fs::set_permissions(&tracker, Permissions::from_mode(0o700)).expect("a mode");
    fs::write(tracker.join("flumes.COMPLETED"), b"").expect("a marker");
    let work = work
        .set(POLICY, "TRACKER_DIR")
        .set("a1.sources.r1.trackerDir", tracker.display())
        .file("flumes", b"sent by Flume\n", 90)
        .file("a", b"a", 80)
        .file("b", b"b\n", 70);
    let mut agent = work.start();
    let has = |name: &str| tracker.join(name).exists();
    agent.expect("markers", ARRIVE_MAX, || has("a.COMPLETED") && has("b.COMPLETED"));
    work.append("b", b"more\n");
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    agent.kill9();
    // A marker that was not made in time, and one for a file whose name another one has now.
    fs::remove_file(tracker.join("a.COMPLETED")).expect("a marker");
    fs::remove_file(work.path("b")).expect("a file");
    let mut agent = work.start();
    work.write(".b", b"another\n", 5);
    fs::rename(work.path(".b"), work.path("b")).expect("a dropped file");
    agent.expect_records(&topic, 4, ARRIVE_MAX);
    agent.expect("a marker", ARRIVE_MAX, || has("a.COMPLETED"));
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut agent = work.start();
    work.append("c", b"c\n");
    agent.expect_records(&topic, 5, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["a", "b", "more", "another", "c"], "{}", agent.log());
    let names = ["a", "b", "c", "flumes"].map(|name| work.path(name).exists());
    // The receipts of one that was read on are one file's.
    let mut verify = work.program();
    verify.args(["verify", "--allow-gone", "--name", "a1", "--conf-file", "log010.conf"]);
    let output = verify.output().expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!told.contains("missing:"), "{told}");
    assert_eq!(names, [true; 4]);
}

#[test]
fn a_name_that_is_taken_gets_the_next_free_one_and_an_empty_file_makes_no_event() {
    let (topic, work) = scene(1);
    let work = work.file("a.COMPLETED", b"old", 90).file("a", b"one", 90).file("empty", b"", 90);
    let mut agent = work.start();
    let has = |name: &str| work.path(name).exists();
    agent.expect("new names", ARRIVE_MAX, || has("a.COMPLETED.1") && has("empty.COMPLETED"));
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["one"]);
}

#[test]
fn a_run_that_ends_by_itself_sends_the_last_line_and_finishes_the_file() {
    let (topic, work) = scene(1);
    let work = work.file("a", b"one\ntwo", 0);
    let mut command = work.command();
    command.arg("--once");
    let mut agent = work.start_command(command);
    let status = agent.wait(ARRIVE_MAX).expect("an end");
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["one", "two"], "{}", agent.log());
    assert_eq!(unfinished(&work), 0);
}

/// Runs with seconds between them, each of which once ended before the marker was due: Flume would have sent
/// all of it again.
#[test]
fn a_run_that_ends_by_itself_marks_what_is_done() {
    let (topic, work) = scene(1);
    let work = work.set(POLICY, "tracker_dir").file("a", b"one\ntwo", 0).file("empty", b"", 90);
    let once = |work: &Work| {
        let mut command = work.command();
        command.arg("--once");
        let mut agent = work.start_command(command);
        let status = agent.wait(ARRIVE_MAX).expect("an end");
        assert_eq!(status.code(), Some(0), "{}", agent.log());
        let marks = ["a.COMPLETED", "empty.COMPLETED"];
        assert_eq!(marks.map(|name| work.tracker_dir().join(name).exists()), [true; 2]);
    };
    once(&work);
    // One that is read on is marked again.
    work.append("a", b"\nthree\n");
    fs::remove_file(work.tracker_dir().join("a.COMPLETED")).expect("a marker");
    once(&work);
    assert_eq!(topic.bodies(), ["one", "two", "three"]);
    once(&work);
    assert_eq!(topic.count(), 3);
}

/// Another agent with a state of its own, whose files are in the subdirectory `below`.
fn reader_of(work: &Work, below: &str, command: &str) -> Command {
    let conf = work.write_conf();
    let text = fs::read_to_string(&conf).expect("the configuration");
    let path = conf.with_file_name("below.conf");
    let (dir, tracker) = (work.path(below), work.dir().join("other-state"));
    let lines = format!(
        "a1.sources.r1.spoolDir = {}\na1.sources.r1.trackerDir = {}\n{RECURSIVE} = false\n",
        dir.display(),
        tracker.display()
    );
    fs::write(&path, format!("{text}\n{lines}")).expect("another configuration");
    let mut other = work.program();
    other.args([command, "--conf", "conf", "--name", "a1", "--conf-file"]).arg(path);
    other
}

/// Each line was sent by both, and whoever was first renamed the files under the other's hands.
#[test]
fn a_second_reader_below_a_recursive_source_is_refused_whoever_was_first() {
    let what = "second agent on a directory below a recursive source, or above it";
    let _row = hazard(Group::Claims, what, V4);
    let (topic, work) = scene(1);
    let work = work.set(RECURSIVE, "true").subdirectory("below");
    let work = work.file("a", b"a\n", 90).file("below/b", b"b\n", 80);
    let mut agent = work.start();
    agent.expect_records(&topic, 2, ARRIVE_MAX);
    agent.expect("a new name", ARRIVE_MAX, || work.path("below/b.COMPLETED").exists());
    let mut other = work.start_command(reader_of(&work, "below", "agent"));
    let status = other.wait(ARRIVE_MAX).expect("an end");
    assert_eq!(status.code(), Some(75), "{}", other.log());
    let pid = format!("below: read by pid {}", agent.pid());
    assert!(other.log().contains(&pid), "{}", other.log());
    let checked = reader_of(&work, "below", "check").output().expect("it runs");
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.code() == Some(75) && told.contains(&pid), "{told}");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());

    // The other way round.
    let mut other = work.start_command(reader_of(&work, "below", "agent"));
    work.append("below/c", b"c\n");
    other.expect_records(&topic, 3, ARRIVE_MAX);
    work.append("d", b"d\n");
    let mut agent = work.start();
    let status = agent.wait(ARRIVE_MAX).expect("an end");
    assert_eq!(status.code(), Some(75), "{}", agent.log());
    let pid = format!("below: read by pid {}", other.pid());
    assert!(agent.log().contains(&pid), "{}", agent.log());
    let mut check = work.program();
    check.args(["check", "--name", "a1", "--conf-file"]).arg(work.write_conf());
    let checked = check.output().expect("it runs");
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.code() == Some(75) && told.contains(&pid), "{told}");
    assert_eq!(other.term().code(), Some(0), "{}", other.log());
    assert_eq!(topic.bodies(), ["a", "b", "c"]);
}

/// The test is the other agent: what matters is the lock.
#[test]
fn a_new_subdirectory_that_another_agent_reads_is_left_alone() {
    let what = "another agent on a new subdirectory of a recursive source";
    let _row = hazard(Group::Claims, what, V4);
    let (topic, work) = scene(1);
    let work = work.set(RECURSIVE, "true").file("a", b"a\n", 90);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, ARRIVE_MAX);
    let outside = work.dir().join("theirs");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("b"), "theirs\n").expect("a file");
    let lock = File::open(&outside).expect("a directory");
    lock.try_lock().expect("a lock");
    fs::rename(&outside, work.path("theirs")).expect("a directory in its place");
    let is_told = || agent.log().contains("leaves that directory alone");
    assert!(wait_for(ARRIVE_MAX, is_told), "{}", agent.log());
    work.append("c", b"c\n");
    agent.expect_records(&topic, 2, ARRIVE_MAX);
    // The other one may come back, and go on where it was.
    drop(lock);
    fs::create_dir(work.path("ours")).expect("a directory");
    work.append("ours/d", b"d\n");
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    agent.expect("a new name", ARRIVE_MAX, || work.path("ours/d.COMPLETED").exists());
    assert_eq!(agent.log().matches("leaves that directory alone").count(), 1, "{}", agent.log());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["a", "c", "d"]);
    assert!(work.path("theirs/b").exists());
}
