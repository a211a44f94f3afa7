//! The agent's own ends: kill -9 at any moment, a request to stop in the middle of things, two
//! agents in one place, a checkpoint that is damaged. Against real brokers; whatever happens,
//! the topic holds each line once and a partition keeps their order.

use std::fs;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use crate::letters;
use crate::support::torture::{
    ARRIVE_MAX, Chance, ELDERS, Group, Growing, Tally, is_long, lines, rounds, times,
};
use crate::support::{Agent, Brokers, Cluster, Topic, Work, decode_event, lend, shared, wait_for};

const FILE: &str = "010_{H}.log";
const STOP_MAX: Duration = Duration::from_secs(2);
/// In the long part.
const KILLS: u64 = 20;
const DELETIONS: u64 = 10;
/// A topic to which nothing came for so long gets no more.
const QUIET: Duration = Duration::from_millis(500);

/// Kills the agent at a moment that chance chooses: in its first moments, or when it has
/// brought something to the topic.
pub fn kill_sometime(agent: &mut Agent, topic: &Topic, chance: &mut Chance) {
    if chance.below(2) == 0 {
        std::thread::sleep(Duration::from_millis(chance.below(400)));
    } else {
        let before = topic.count();
        let enough = before + 1 + chance.below(3_000) as usize;
        let (mut last, mut since) = (before, Instant::now());
        // Not always comes so much: its end is no condition of the kill. Nor is it waited for when
        // all is there.
        wait_for(Duration::from_secs(5), || {
            let count = topic.count();
            if count != last {
                (last, since) = (count, Instant::now());
            }
            count >= enough || since.elapsed() > if count > before { QUIET } else { 4 * QUIET }
        });
        std::thread::sleep(Duration::from_micros(chance.below(20_000)));
    }
    agent.kill9();
}

fn kill_loop(brokers: &Brokers, version: &str, partitions: i32) {
    let tally = Tally::new("kill -9 of the agent on a growing file", version);
    kill_loop_with(brokers, partitions, "none", tally);
}

fn kill_loop_with(brokers: &Brokers, partitions: i32, codec: &str, tally: Tally) {
    let topic = brokers.fresh_topic("kills", partitions);
    // A backlog of an hour before beside the growing file.
    let work = Work::new(&topic)
        .set("a1.sources.r1.retireGraceMs", 300)
        .set("a1.channels.c1.kafka.compression.codec", codec)
        .file("010_{H-1}.log", &lines("old", 0, 30_000), 3_600);
    killed_while_growing(&work, &topic, times(KILLS), tally);
}

/// Kills the agent while one file grows and `old` with 30,000 lines is read beside it; in the end each
/// line of both is in the topic once.
pub fn killed_while_growing(work: &Work, topic: &Topic, kills: u64, mut tally: Tally) {
    let mut chance = Chance::new();
    let growing = Growing::start(work, FILE, "new", 0, 40);
    for _ in 0..kills {
        kill_sometime(&mut work.start(), topic, &mut chance);
    }
    let mut agent = work.start();
    let written = growing.stop();
    agent.expect_records(topic, 30_000 + written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("kills", topic, &[("old", 30_000), ("new", written)], &agent);
    // It counts the comparison; here each kill was a fault.
    tally.add(kills - 1, 0);
}

#[test]
fn kill_9_with_0_10_2_0() {
    for partitions in [1, 3].into_iter().cycle().take(2 * rounds() as usize - 1) {
        kill_loop(shared("0.10.2.0"), "0.10.2.0", partitions);
    }
}

#[test]
fn kill_9_with_4_3_1() {
    for partitions in [3, 1].into_iter().cycle().take(2 * rounds() as usize - 1) {
        kill_loop(shared("4.3.1"), "4.3.1", partitions);
    }
}

#[test]
#[ignore = "long: make torture"]
fn kill_9_with_all_other_versions() {
    for version in ELDERS.into_iter().chain(["0.11.0.3", "1.1.1", "2.8.2", "3.9.1"]) {
        let cluster = Cluster::start(version);
        for round in 0..rounds() {
            kill_loop(&cluster, version, [3, 1][round as usize % 2]);
        }
    }
}

/// On the old wire a batch is looked for by its values, which are then in a compressed set.
#[test]
#[ignore = "long: make torture"]
fn kill_9_with_compressed_batches() {
    for version in ["0.10.2.0", "4.3.1"] {
        for codec in ["gzip", "snappy"] {
            let what = format!("kill -9 of the agent on a growing file, {codec}");
            let tally = Tally::new(&what, version);
            kill_loop_with(shared(version), 1, codec, tally);
        }
    }
}

/// Kills while batches are split and single events go to the dead-letter file: what is in one
/// of the two places is there once.
fn kill_loop_with_refusals(version: &str, kills: u64) {
    const LINES: u64 = 4_000;
    let mut chance = Chance::new();
    let mut tally = Tally::new("kill -9 while refused batches are split and buried", version);
    let settings = [("max.message.bytes", "6000")];
    let name = format!("refusals-{}-{}", std::process::id(), chance.below(1 << 40));
    let topic = shared(version).create_topic_with(&name, 2, 1, &settings);
    let work = Work::new(&topic).set("a1.sources.r1.deserializer.maxLineLength", 20_000);
    let (mut content, mut giants) = (Vec::new(), Vec::new());
    for first in (0..LINES).step_by(200) {
        content.extend(lines("a", first, first + 200));
        let giant = format!("giant {first} {}", "x".repeat(8_000));
        content.extend(giant.as_bytes());
        content.push(b'\n');
        giants.push(giant.into_bytes());
    }
    work.append(FILE, &content);
    for _ in 0..kills {
        let mut agent = work.start();
        let length = || fs::metadata(work.tracker_dir().join("dead-letter")).map_or(0, |m| m.len());
        let before = length();
        if chance.below(2) == 0 {
            wait_for(Duration::from_secs(3), || length() > before);
            std::thread::sleep(Duration::from_micros(chance.below(2_000)));
        } else {
            std::thread::sleep(Duration::from_millis(30 + chance.below(300)));
        }
        agent.kill9();
    }
    let mut agent = work.start();
    agent.expect_records(&topic, LINES as usize, ARRIVE_MAX);
    agent.expect("all letters", ARRIVE_MAX, || letters::states(&work).len() >= giants.len());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("kills", &topic, &[("a", LINES)], &agent);
    tally.add(kills - 1, 0);
    let mut kept: Vec<Vec<u8>> =
        letters::values(&work).iter().map(|value| decode_event(value).body).collect();
    kept.sort();
    giants.sort();
    assert!(kept == giants, "{version}: {} letters", kept.len());
}

#[test]
fn kill_9_with_refusals_of_0_10_2_0() {
    kill_loop_with_refusals("0.10.2.0", if is_long() { 20 } else { 6 });
}

#[test]
fn kill_9_with_refusals_of_4_3_1() {
    kill_loop_with_refusals("4.3.1", if is_long() { 20 } else { 6 });
}

#[test]
fn a_second_agent_says_who_is_there() {
    let topic = shared("4.3.1").fresh_topic("second", 1);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 10), 0);
    let mut first = work.start();
    first.expect_records(&topic, 10, ARRIVE_MAX);
    let mut second = work.start();
    let status = second.wait(STOP_MAX).expect("it ends by itself");
    let log = second.log();
    assert_eq!(status.code(), Some(75), "{log}");
    let pid = first.pid().to_string();
    // One line: cron starts a second one every minute, into the log of the first.
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains(" INFO ") && log.contains(&pid), "{log}");
    // The first is none the worse.
    work.append(FILE, &lines("a", 10, 20));
    first.expect_records(&topic, 20, ARRIVE_MAX);
    assert_eq!(first.term().code(), Some(0), "{}", first.log());
    Tally::new("second agent in the same place", "4.3.1").exact("", &topic, &[("a", 20)], &first);
}

fn stop_with_backlog(version: &str) {
    const BACKLOG: u64 = 200_000;
    let topic = shared(version).fresh_topic("backlog", 3);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, BACKLOG), 0);
    let mut tally = Tally::new("SIGTERM in the middle of a backlog", version);
    let mut stops = 0;
    let mut agent = loop {
        let before = topic.count();
        let mut agent = work.start();
        agent.expect("some records", ARRIVE_MAX, || topic.count() > before);
        if topic.count() as u64 == BACKLOG || stops == 8 {
            break agent;
        }
        let (status, took) = agent.term_timed();
        assert_eq!(status.code(), Some(0), "{}", agent.log());
        assert!(took <= STOP_MAX, "{took:?}\n{}", agent.log());
        stops += 1;
        if topic.count() as u64 == BACKLOG {
            break agent;
        }
    };
    if agent.is_running() {
        agent.expect_records(&topic, BACKLOG as usize, ARRIVE_MAX);
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    }
    tally.times = stops.max(1) - 1;
    tally.exact("stops", &topic, &[("a", BACKLOG)], &agent);
}

#[test]
fn sigterm_with_a_backlog_with_0_10_2_0() {
    stop_with_backlog("0.10.2.0");
}

#[test]
fn sigterm_with_a_backlog_with_4_3_1() {
    stop_with_backlog("4.3.1");
}

/// What the checkpoint holds, to see it change.
fn checkpoint(work: &Work) -> Vec<u8> {
    fs::read(work.tracker_dir().join("checkpoint")).unwrap_or_default()
}

fn stop_with_frozen_broker(version: &str) {
    let cluster = lend(version);
    let topic = cluster.fresh_topic("frozen", 1);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 100), 0);
    let mut tally = Tally::new("SIGTERM while the broker is frozen", version);
    let mut agent = work.start();
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    // The acks are in the checkpoint, so that its next change is an announcement.
    agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
    cluster.pause(0);
    let before = checkpoint(&work);
    work.append(FILE, &lines("a", 100, 200));
    agent.expect("an announcement", ARRIVE_MAX, || checkpoint(&work) != before);
    let (status, took) = agent.term_timed();
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    assert!(took <= STOP_MAX, "{took:?}\n{}", agent.log());
    // Nobody answers: a start and a stop change nothing, and are as quick.
    let mut agent = work.start();
    agent.expect("a start", ARRIVE_MAX, || agent_log_has(&work, "Starting Source"));
    let (status, took) = agent.term_timed();
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    assert!(took <= STOP_MAX, "{took:?}\n{}", agent.log());
    cluster.resume(0);
    let mut agent = work.start();
    agent.expect_records(&topic, 200, ARRIVE_MAX);
    agent.expect("the doubt's end", ARRIVE_MAX, || agent_log_has(&work, "Batch in doubt"));
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("", &topic, &[("a", 200)], &agent);
}

/// Does the newest agent's log say so?
fn agent_log_has(work: &Work, text: &str) -> bool {
    let entries = fs::read_dir(work.dir()).expect("the work directory").flatten();
    let logs = entries.filter(|e| e.file_name().to_string_lossy().starts_with("agent-"));
    let newest = logs.max_by_key(|e| e.metadata().and_then(|m| m.modified()).ok());
    newest.is_some_and(|e| fs::read_to_string(e.path()).is_ok_and(|log| log.contains(text)))
}

#[test]
fn sigterm_with_a_frozen_broker_of_0_10_2_0() {
    stop_with_frozen_broker("0.10.2.0");
}

#[test]
#[ignore = "long: make torture"]
fn sigterm_with_a_frozen_broker_before_0_10() {
    ELDERS.into_iter().for_each(stop_with_frozen_broker);
}

#[test]
fn sigterm_with_a_frozen_broker_of_4_3_1() {
    stop_with_frozen_broker("4.3.1");
}

/// Under nohup a hangup is inherited as ignored, and stays so; else it asks to stop.
#[test]
fn a_hangup_counts_only_where_it_was_not_ignored() {
    let topic = shared("4.3.1").fresh_topic("hangup", 1);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 10), 0);
    // The tests themselves may run under nohup.
    let start = |inherited: libc::sighandler_t| {
        let mut command = work.command();
        // SAFETY: signal is async-signal-safe.
        unsafe {
            command.pre_exec(move || {
                libc::signal(libc::SIGHUP, inherited);
                Ok(())
            });
        }
        work.start_prepared(command)
    };
    let mut agent = start(libc::SIG_IGN);
    agent.expect_records(&topic, 10, ARRIVE_MAX);
    agent.signal(libc::SIGHUP);
    work.append(FILE, &lines("a", 10, 20));
    agent.expect_records(&topic, 20, ARRIVE_MAX);
    assert!(agent.is_running(), "{}", agent.log());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());

    let mut agent = start(libc::SIG_DFL);
    work.append(FILE, &lines("a", 20, 30));
    agent.expect_records(&topic, 30, ARRIVE_MAX);
    agent.signal(libc::SIGHUP);
    let status = agent.wait(STOP_MAX).expect("it stops");
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    Tally::new("SIGHUP", "4.3.1").exact("", &topic, &[("a", 30)], &agent);
}

/// Where the positions are unreadable, nothing is guessed unless the configuration says so.
#[test]
fn a_damaged_checkpoint_is_not_guessed_at() {
    let topic = shared("4.3.1").fresh_topic("damaged", 1);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 50), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 50, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let path = work.tracker_dir().join("checkpoint");
    let damage = || {
        let length = fs::metadata(&path).expect("a checkpoint").len() as usize;
        fs::write(&path, vec![0x5a; length]).expect("damaged");
    };

    damage();
    let damaged = fs::read(&path).expect("readable");
    let mut agent = work.start();
    let status = agent.wait(Duration::from_secs(10)).expect("it ends by itself");
    let log = agent.log();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains(path.to_str().expect("UTF-8")), "{log}");
    assert_eq!(fs::read(&path).expect("still there"), damaged, "it was changed");
    assert_eq!(topic.count(), 50);

    let work = work.set("a1.sources.r1.onBadCheckpoint", "end");
    let mut agent = work.start();
    agent.expect("a start", ARRIVE_MAX, || checkpoint(&work) != damaged);
    agent.expect("a start", ARRIVE_MAX, || agent_log_has(&work, "Opened"));
    work.append(FILE, &lines("a", 50, 60));
    agent.expect_records(&topic, 60, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::new("damaged checkpoint", "4.3.1");
    tally.exact("end", &topic, &[("a", 60)], &agent);

    damage();
    let work = work.set("a1.sources.r1.onBadCheckpoint", "beginning");
    let mut agent = work.start();
    agent.expect_records(&topic, 120, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let (all, expected) = (topic.bodies(), lines("a", 0, 60));
    let expected: Vec<String> =
        String::from_utf8(expected).expect("text").lines().map(str::to_string).collect();
    assert_eq!(all[60..], expected, "everything once more");
    let kept = fs::read_dir(work.tracker_dir()).expect("the tracker directory").flatten();
    let kept = kept.filter(|e| fs::read(e.path()).is_ok_and(|bytes| bytes == damaged)).count();
    assert_eq!(kept, 2, "the bad ones are kept aside");
}

/// Kills the agent, takes everything away that it knew, and starts it again, under load: the topic
/// alone tells what has been sent.
fn tracker_loop(version: &str, partitions: i32) {
    let mut tally =
        Tally::row(Group::StateLost, "kill -9, and the tracker directory deleted", version);
    let mut chance = Chance::new();
    let topic = shared(version).fresh_topic("trackerless", partitions);
    let work = Work::new(&topic)
        .set("a1.sources.r1.retireGraceMs", 300)
        .set("a1.sources.r1.onNoCheckpoint", "topic")
        .file("010_{H-1}.log", &lines("old", 0, 30_000), 3_600);
    let growing = Growing::start(&work, FILE, "new", 0, 40);
    for _ in 0..times(DELETIONS) {
        kill_sometime(&mut work.start(), &topic, &mut chance);
        match fs::remove_dir_all(work.tracker_dir()) {
            // Killed before it was made.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.expect("it is ours"),
        }
    }
    let mut agent = work.start();
    let written = growing.stop();
    agent.expect_records(&topic, 30_000 + written as usize, ARRIVE_MAX);
    let (checkpoint, marker) =
        (work.tracker_dir().join("checkpoint"), work.tracker_dir().join("rebuilding"));
    agent.expect("a state", ARRIVE_MAX, || checkpoint.exists() && !marker.exists());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("deletions", &topic, &[("old", 30_000), ("new", written)], &agent);
    tally.add(times(DELETIONS) - 1, 0);
}

#[test]
fn the_tracker_is_deleted_again_and_again_with_0_10_2_0() {
    for partitions in [3, 1].into_iter().cycle().take(2 * rounds() as usize - 1) {
        tracker_loop("0.10.2.0", partitions);
    }
}

#[test]
fn the_tracker_is_deleted_again_and_again_with_4_3_1() {
    for partitions in [3, 1].into_iter().cycle().take(2 * rounds() as usize - 1) {
        tracker_loop("4.3.1", partitions);
    }
}

/// Damage is kept aside, and what the topic lacks is sent: no line twice, none lost, and `verify`
/// finds the file exact.
#[test]
fn a_damaged_checkpoint_is_read_back_from_the_topic() {
    for version in ["0.10.2.0", "4.3.1"] {
        let topic = shared(version).fresh_topic("readback", 3);
        let work = Work::new(&topic).set("a1.sources.r1.onBadCheckpoint", "topic").file(
            FILE,
            &lines("a", 0, 3_000),
            0,
        );
        let mut agent = work.start();
        agent.expect_records(&topic, 3_000, ARRIVE_MAX);
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        let path = work.tracker_dir().join("checkpoint");
        let length = fs::metadata(&path).expect("a checkpoint").len() as usize;
        fs::write(&path, vec![0x5a; length]).expect("damaged");
        work.append(FILE, &lines("a", 3_000, 3_500));

        let mut agent = work.start();
        agent.expect_records(&topic, 3_500, ARRIVE_MAX);
        let marker = work.tracker_dir().join("rebuilding");
        agent.expect("a checkpoint that is trusted", ARRIVE_MAX, || !marker.exists());
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        let mut tally =
            Tally::row(Group::StateLost, "damaged checkpoint, read back from the topic", version);
        tally.exact("topic", &topic, &[("a", 3_500)], &agent);
        let kept = fs::read_dir(work.tracker_dir()).expect("the tracker directory").flatten();
        let is_kept = |name: &str| name.starts_with("checkpoint.bad-");
        assert_eq!(kept.filter(|e| is_kept(&e.file_name().to_string_lossy())).count(), 1);

        let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_flume-ng"));
        verify.args(["verify", "--name", "a1", "--conf-file"]).arg(work.write_conf());
        let output = verify.arg(work.name(FILE)).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("Exact"), "{version}: {output:?}");
    }
}

/// Of equal lines as many are sent as are missing.
#[test]
fn equal_lines_are_counted_when_the_tracker_is_deleted() {
    for version in ["0.10.2.0", "4.3.1"] {
        let topic = shared(version).fresh_topic("equal", 2);
        let work = Work::new(&topic).set("a1.sources.r1.onNoCheckpoint", "topic");
        let text = |lines: usize| "tick\n".repeat(lines).into_bytes();
        work.append(FILE, &text(2_000));
        let mut agent = work.start();
        agent.expect_records(&topic, 2_000, ARRIVE_MAX);
        agent.kill9();
        fs::remove_dir_all(work.tracker_dir()).expect("a tracker directory");
        work.append(FILE, &text(345));
        let mut agent = work.start();
        let marker = work.tracker_dir().join("rebuilding");
        let is_trusted = || work.tracker_dir().join("checkpoint").exists() && !marker.exists();
        agent.expect("a checkpoint that is trusted", ARRIVE_MAX, is_trusted);
        agent.expect_records(&topic, 2_345, ARRIVE_MAX);
        work.append(FILE, b"the last one\n");
        agent.expect_records(&topic, 2_346, ARRIVE_MAX);
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        assert_eq!(topic.count(), 2_346, "{}", agent.log());
    }
}
