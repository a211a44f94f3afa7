//! TAILDIR, and exec with tail: files in several directories that are followed for ever, beside real
//! brokers, whatever writers, tools and operators do to them.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::support::torture::{
    ARRIVE_MAX, Chance, Group, Halting, Tally, V010, difference, hazard, lines, rounds, times,
};
use crate::support::{Agent, Topic, Work, shared, wait_for};

const V4: &str = "4.3.1";

/// Files of two directories, which names with `.log` in them belong to.
pub(crate) const CONF: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = TAILDIR
a1.sources.r1.positionFile = @SPOOL@/../state/position.json
a1.sources.r1.filegroups = f1 f2
a1.sources.r1.filegroups.f1 = @SPOOL@/one/.*\\\\.log.*
a1.sources.r1.filegroups.f2 = @SPOOL@/two/.*\\\\.log
a1.sources.r1.writePosInterval = 200
a1.sources.r1.retireGraceMs = 1000
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @BROKERS@
a1.channels.c1.kafka.topic = @TOPIC@
";

/// The same by `exec`.
pub(crate) const EXEC: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = exec
a1.sources.r1.command = tail -q -n +1 -F @SPOOL@/one/app.log @SPOOL@/one/new.log @SPOOL@/two/old.log
a1.sources.r1.trackerDir = @SPOOL@/../state
a1.sources.r1.retireGraceMs = 1000
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @BROKERS@
a1.channels.c1.kafka.topic = @TOPIC@
";

fn scene(partitions: i32) -> (Topic, Work) {
    scene_of(CONF, partitions)
}

fn scene_of(conf: &str, partitions: i32) -> (Topic, Work) {
    scene_on(V4, conf, partitions)
}

fn scene_on(version: &str, conf: &str, partitions: i32) -> (Topic, Work) {
    let topic = shared(version).fresh_topic("taildir", partitions);
    let work = Work::new(&topic).conf(conf).subdirectory("one").subdirectory("two");
    (topic, work)
}

fn kind(conf: &str) -> &'static str {
    if conf == EXEC { "exec tail" } else { "TAILDIR" }
}

fn ends_well(agent: &mut Agent) {
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
}

/// What the position file says, by the last part of each name.
fn positions(work: &Work) -> Vec<(String, u64, u64)> {
    let text = fs::read_to_string(work.dir().join("state/position.json")).unwrap_or_default();
    let entries: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let entry = |e: &serde_json::Value| {
        let name = e["file"].as_str().expect("a file").rsplit('/').next().expect("a name");
        (
            name.to_owned(),
            e["inode"].as_u64().expect("a number"),
            e["pos"].as_u64().expect("a number"),
        )
    };
    let mut positions: Vec<_> = entries.as_array().into_iter().flatten().map(entry).collect();
    positions.sort();
    positions
}

#[test]
fn files_of_several_directories_come_with_the_headers_of_their_groups() {
    let (topic, work) = scene(1);
    let work = work
        .set("a1.sources.r1.headers.f1.from", "one")
        .set("a1.sources.r1.headers.f2.from", "two")
        .set("a1.sources.r1.fileHeader", "true")
        .file("one/a.log", b"a0\na1\n", 10)
        .file("two/b.log", b"b0\n", 5)
        .file("two/b.log.1", b"not this\n", 5);
    let mut agent = work.start();
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    agent.expect("the positions", ARRIVE_MAX, || {
        positions(&work).iter().map(|p| p.2).sum::<u64>() == 9
    });
    ends_well(&mut agent);
    let mut found: Vec<_> = topic
        .events()
        .into_iter()
        .map(|e| (String::from_utf8(e.body).unwrap(), e.headers))
        .collect();
    found.sort();
    let of = |body: &str, from: &str, name: &str| {
        let path = work.spool().join(name).display().to_string();
        (body.to_owned(), vec![("from".to_owned(), from.to_owned()), ("file".to_owned(), path)])
    };
    let expected =
        [of("a0", "one", "one/a.log"), of("a1", "one", "one/a.log"), of("b0", "two", "two/b.log")];
    for ((body, mut headers), (wanted, mut wanted_headers)) in found.into_iter().zip(expected) {
        headers.sort();
        wanted_headers.sort();
        assert_eq!((body, headers), (wanted, wanted_headers));
    }
}

#[test]
fn two_names_of_one_file_and_a_socket_hold_nothing_up() {
    let (topic, work) = scene(1);
    let work = work.file("one/a.log", &lines("a", 0, 3), 10);
    symlink(work.path("one/a.log"), work.path("one/current.log")).unwrap();
    fs::hard_link(work.path("one/a.log"), work.path("two/b.log")).unwrap();
    let _socket = UnixListener::bind(work.path("one/socket.log")).unwrap();
    let mut agent = work.start();
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    work.append("one/a.log", &lines("a", 3, 6));
    work.append("two/c.log", &lines("c", 0, 2));
    agent.expect_records(&topic, 8, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    ends_well(&mut agent);
    assert!(difference(&topic, &[("a", 6), ("c", 2)]).is_none(), "{}", agent.log());
}

#[test]
fn a_directory_that_is_not_there_holds_up_no_other() {
    let (topic, work) = scene(1);
    let work = work.file("one/a.log", &lines("a", 0, 3), 10);
    fs::remove_dir(work.path("two")).unwrap();
    let mut agent = work.start();
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    fs::create_dir(work.path("two")).unwrap();
    work.append("two/b.log", &lines("b", 0, 3));
    agent.expect_records(&topic, 6, ARRIVE_MAX);
    // And away again, with a file that is read.
    fs::rename(work.path("two"), work.path("away")).unwrap();
    work.append("one/a.log", &lines("a", 3, 6));
    agent.expect_records(&topic, 9, ARRIVE_MAX);
    fs::rename(work.path("away"), work.path("two")).unwrap();
    work.append("two/b.log", &lines("b", 3, 6));
    agent.expect_records(&topic, 12, ARRIVE_MAX);
    ends_well(&mut agent);
    assert!(difference(&topic, &[("a", 6), ("b", 6)]).is_none(), "{}", agent.log());
}

#[test]
fn a_late_newline_ends_the_line_that_was_sent() {
    let (topic, work) = scene(1);
    let work = work.set("a1.sources.r1.idleTimeout", 300).file("one/a.log", b"whole\nhalf", 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 2, ARRIVE_MAX);
    agent.expect("its position", ARRIVE_MAX, || positions(&work).iter().any(|p| p.2 == 10));
    agent.kill9();
    let mut agent = work.start();
    work.append("one/a.log", b"\r\nnext\n");
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    // A line that goes on is another event, as Flume has it.
    work.append("one/a.log", b"slow");
    agent.expect_records(&topic, 4, ARRIVE_MAX);
    work.append("one/a.log", b" and done\n");
    agent.expect_records(&topic, 5, ARRIVE_MAX);
    ends_well(&mut agent);
    assert_eq!(topic.bodies(), ["whole", "half", "next", "slow", " and done"], "{}", agent.log());
    // The bytes of the file do not tell that a line was cut.
    let mut verify = work.program();
    verify.args(["verify", "--name", "a1", "--conf-file", "log010.conf"]);
    let output = verify.output().expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("Exact: 1 file, 5 events"), "{told}");
}

/// The topic has both halves of such a line as events, and one that is still without its newline.
#[test]
fn lines_that_were_sent_before_their_newline_are_not_sent_again_when_the_topic_is_read_back() {
    let what = "lines sent at idleTimeout, read back from the topic";
    let _row = hazard(Group::StateLost, what, V4);
    let (topic, work) = scene(1);
    let work = work
        .set("a1.sources.r1.idleTimeout", 300)
        .set("a1.sources.r1.onNoCheckpoint", "topic")
        .file("one/a.log", b"whole\nhalf", 0)
        .file("two/b.log", b"open", 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    work.append("one/a.log", b" and rest\n");
    agent.expect_records(&topic, 4, ARRIVE_MAX);
    ends_well(&mut agent);
    let state = work.dir().join("state/position.json.d");
    fs::remove_file(state.join("checkpoint")).expect("a checkpoint");
    fs::remove_file(work.dir().join("state/position.json")).expect("positions");
    let mut agent = work.start();
    let is_trusted = || state.join("checkpoint").exists() && !state.join("rebuilding").exists();
    agent.expect("a checkpoint that is trusted", ARRIVE_MAX, is_trusted);
    work.append("two/b.log", b"\nnext\n");
    agent.expect_records(&topic, 5, ARRIVE_MAX);
    ends_well(&mut agent);
    let mut bodies = topic.bodies();
    bodies.sort();
    assert_eq!(bodies, [" and rest", "half", "next", "open", "whole"], "{}", agent.log());
}

#[test]
fn a_skipped_file_begins_with_the_next_line() {
    let (topic, work) = scene(1);
    let work = work.set("a1.sources.r1.skipToEnd", "true").file("one/a.log", b"old\nhal", 10);
    let mut agent = work.start();
    agent.expect("its position", ARRIVE_MAX, || positions(&work).iter().any(|p| p.2 == 7));
    agent.kill9();
    // Not skipped: it came after the first start.
    work.append("two/new.log", b"new\n");
    let mut agent = work.start();
    work.append("one/a.log", b"f of it\nnext\n");
    agent.expect_records(&topic, 2, ARRIVE_MAX);
    ends_well(&mut agent);
    let mut bodies = topic.bodies();
    bodies.sort();
    assert_eq!(bodies, ["new", "next"], "{}", agent.log());
}

#[test]
fn positions_of_flume_are_taken_over_and_kept_up() {
    let (topic, work) = scene(1);
    let work = work.file("one/a.log", b"sent\nunsent\n", 10).file("one/b.log.1", b"sent\n+\n", 10);
    let inode = |name: &str| fs::metadata(work.path(name)).unwrap().ino();
    fs::create_dir(work.dir().join("state")).unwrap();
    let entry = |name: &str, pos: u64| {
        let path = work.path("one/gone.log").display().to_string();
        format!("{{\"inode\":{},\"pos\":{pos},\"file\":\"{path}\"}}", inode(name))
    };
    let text = format!("[{},{}]", entry("one/a.log", 5), entry("one/b.log.1", 5));
    fs::write(work.dir().join("state/position.json"), text).unwrap();
    let mut agent = work.start();
    agent.expect_records(&topic, 2, ARRIVE_MAX);
    work.append("one/a.log", b"more\n");
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    ends_well(&mut agent);
    let mut bodies = topic.bodies();
    bodies.sort();
    assert_eq!(bodies, ["+", "more", "unsent"], "{}", agent.log());
    let expected = [
        ("a.log".to_owned(), inode("one/a.log"), 17),
        ("b.log.1".to_owned(), inode("one/b.log.1"), 7),
    ];
    assert_eq!(positions(&work), expected);
    // Flume reads on, and somebody comes back without a word.
    let text = format!("[{}]", entry("one/a.log", 22));
    work.append("one/a.log", b"more\n");
    std::thread::sleep(Duration::from_millis(20));
    fs::write(work.dir().join("state/position.json"), text.replace("gone.log", "a.log")).unwrap();
    for _ in 0..2 {
        let mut agent = work.start();
        let code = agent.wait(ARRIVE_MAX).and_then(|status| status.code());
        assert_eq!(code, Some(78), "{}", agent.log());
        assert!(agent.log().contains("Flume has run here since"), "{}", agent.log());
    }
    assert_eq!(topic.count(), 3);
}

/// What a writer does to its file between two lines.
#[derive(Clone, Copy, PartialEq)]
enum Rotation {
    Rename,
    Delete,
    CopyTruncate,
}

/// What becomes of the agent meanwhile.
#[derive(Clone, Copy, PartialEq)]
enum Agents {
    LeftAlone,
    Killed,
    /// Halted for a moment again and again, wherever it is: between a look at a file and the read, too.
    Halted,
}

/// A writer that is rotated again and again, with an agent that is killed or left alone. Lines that
/// were destroyed before anybody could have read them do not count: there are none, since the writer
/// waits for the agent before it deletes.
fn rotated(conf: &str, rotation: Rotation, agents: Agents) {
    const ROTATIONS: u64 = 12;
    const EACH: u64 = 400;
    let (topic, work) = scene_of(conf, 3);
    let mut chance = Chance::new();
    let mut agent = work.start();
    let halting = (agents == Agents::Halted).then(|| Halting::start(agent.pid()));
    let path = work.path("one/app.log");
    let labels: Vec<String> = (0..ROTATIONS).map(|at| format!("a{at}")).collect();
    for (at, label) in labels.iter().enumerate() {
        // Opened for each line, as a writer does that is not told of a rotation.
        for number in 0..EACH {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            file.and_then(|mut f| f.write_all(&lines(label, number, number + 1))).expect("a line");
            if agents == Agents::Killed && chance.below(150) == 0 {
                agent.kill9();
                agent = work.start();
            }
        }
        // What had its name for no longer than a look at the directory takes nobody has seen.
        agent.expect_records(&topic, at * EACH as usize + 1, ARRIVE_MAX);
        let older = work.path(&format!("one/app.log.{at}"));
        match rotation {
            Rotation::Rename => fs::rename(&path, &older).expect("a renamed file"),
            Rotation::Delete => {
                agent.expect_records(&topic, (at + 1) * EACH as usize, ARRIVE_MAX);
                agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
                fs::remove_file(&path).expect("a deleted file");
            }
            Rotation::CopyTruncate => {
                fs::copy(&path, &older).expect("a copy");
                let file = OpenOptions::new().write(true).open(&path);
                file.and_then(|file| file.set_len(0)).expect("a truncated file");
            }
        }
    }
    agent.expect_records(&topic, (ROTATIONS * EACH) as usize, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    drop(halting);
    ends_well(&mut agent);
    let what = match rotation {
        Rotation::Rename => "a writer is rotated by renaming",
        Rotation::Delete => "a writer's file is deleted and made anew",
        Rotation::CopyTruncate => "a writer is rotated by copying and truncating",
    };
    let mut tally = Tally::new(&format!("{}: {what}", kind(conf)), V4);
    // Each is a file of its own.
    let series: Vec<(&str, u64)> = labels.iter().map(|label| (label.as_str(), EACH)).collect();
    tally.exact("rotations", &topic, &series, &agent);
}

#[test]
fn rotated_by_renaming() {
    for conf in [CONF, EXEC] {
        rotated(conf, Rotation::Rename, Agents::LeftAlone);
        rotated(conf, Rotation::Rename, Agents::Killed);
    }
}

#[test]
fn deleted_and_made_anew() {
    for conf in [CONF, EXEC] {
        rotated(conf, Rotation::Delete, Agents::LeftAlone);
    }
}

#[test]
fn rotated_by_copying_and_truncating() {
    for conf in [CONF, EXEC] {
        rotated(conf, Rotation::CopyTruncate, Agents::LeftAlone);
        rotated(conf, Rotation::CopyTruncate, Agents::Killed);
    }
}

#[test]
fn rotated_while_the_agent_is_halted() {
    for rotation in [Rotation::Rename, Rotation::CopyTruncate] {
        rotated(CONF, rotation, Agents::Halted);
    }
}

/// Kills at moments that chance chooses, on a backlog in one directory and a growing file in another.
#[test]
fn kill_9() {
    const KILLS: u64 = 15;
    let turns = [(CONF, 1, V4), (EXEC, 3, V010), (CONF, 3, V010), (EXEC, 1, V4)];
    for (conf, partitions, version) in turns.into_iter().cycle().take(4 * rounds() as usize) {
        let what = format!("{}: kill -9 on files of two directories", kind(conf));
        let mut tally = Tally::new(&what, version);
        let mut chance = Chance::new();
        let (topic, work) = scene_on(version, conf, partitions);
        let work = work.file("two/old.log", &lines("old", 0, 20_000), 3_600);
        let mut written = 0;
        for _ in 0..times(KILLS) {
            let mut agent = work.start();
            let until = topic.count() + 1 + chance.below(2_000) as usize;
            let quick = chance.below(2) == 0;
            for _ in 0..40 {
                work.append("one/new.log", &lines("new", written, written + 50));
                written += 50;
                if quick || topic.count() >= until {
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(chance.below(300)));
            agent.kill9();
        }
        let mut agent = work.start();
        agent.expect_records(&topic, 20_000 + written as usize, ARRIVE_MAX);
        ends_well(&mut agent);
        tally.exact("15 kills", &topic, &[("old", 20_000), ("new", written)], &agent);
        tally.add(times(KILLS) - 1, 0);
    }
}

#[test]
fn a_deleted_file_is_let_go_when_it_is_read() {
    let (topic, work) = scene(1);
    let work = work
        .set("a1.sources.r1.retireGraceMs", 600_000)
        .file("one/a.log", &lines("a", 0, 3), 10)
        .file("two/b.log", &lines("b", 0, 1), 10);
    let mut agent = work.start();
    agent.expect_records(&topic, 4, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    fs::remove_file(work.path("one/a.log")).unwrap();
    let holds = |agent: &Agent| {
        let links =
            fs::read_dir(format!("/proc/{}/fd", agent.pid())).into_iter().flatten().flatten();
        links
            .filter_map(|l| fs::read_link(l.path()).ok())
            .any(|p| p.to_string_lossy().contains("a.log"))
    };
    assert!(wait_for(ARRIVE_MAX, || !holds(&agent)), "{}", agent.log());
    ends_well(&mut agent);
}

#[test]
fn tail_f_stays_with_the_file_that_was_renamed() {
    let (topic, work) = scene_of(EXEC, 1);
    let command = format!("tail -f {}", work.path("one/app.log").display());
    let work =
        work.set("a1.sources.r1.command", command).file("one/app.log", &lines("x", 0, 12), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 10, ARRIVE_MAX);
    fs::rename(work.path("one/app.log"), work.path("one/app.log.1")).unwrap();
    work.append("one/app.log", b"new\n");
    agent.expect("a word", ARRIVE_MAX, || agent_log_has(&work, "stays with the file"));
    work.append("one/app.log.1", b"late\n");
    agent.expect_records(&topic, 11, ARRIVE_MAX);
    ends_well(&mut agent);
    assert_eq!(topic.bodies().last().map(String::as_str), Some("late"));
    // A start goes over to the file that has the name.
    let mut agent = work.start();
    agent.expect_records(&topic, 12, ARRIVE_MAX);
    ends_well(&mut agent);
    assert_eq!(topic.bodies().last().map(String::as_str), Some("new"), "{}", agent.log());
}

fn agent_log_has(work: &Work, words: &str) -> bool {
    let logs = fs::read_dir(work.dir()).into_iter().flatten().flatten();
    logs.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"))
        .any(|entry| fs::read_to_string(entry.path()).is_ok_and(|log| log.contains(words)))
}

/// Runs a command of the program on the configuration of `work`.
fn run(work: &Work, command: &str, more: &[&str]) -> (Option<i32>, String) {
    let conf = work.write_conf();
    let mut program = work.program();
    program.arg(command).arg("--conf-file").arg(conf).args(["--name", "a1"]).args(more);
    let output = program.output().expect("the program runs");
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn generate_check_status_and_verify_know_it() {
    for conf in [CONF, EXEC] {
        let (topic, work) = scene_of(conf, 2);
        let work = work.file("one/new.log", &lines("before", 0, 20), 5);
        let command = format!("tail -n 5 -F {}", work.path("one/new.log").display());
        let work = match conf == EXEC {
            true => work.set("a1.sources.r1.command", command),
            false => work.set("a1.sources.r1.skipToEnd", "true"),
        };
        let skipped = if conf == EXEC { 15 } else { 20 };
        let (code, told) = run(&work, "check", &[]);
        assert_eq!(code, Some(0), "{told}");
        let mut agent = work.start();
        agent.expect("a checkpoint", ARRIVE_MAX, || work.is_committed());
        let (code, told) = run(&work, "generate", &["--lines", "100"]);
        assert_eq!(code, Some(0), "{told}");
        agent.expect_records(&topic, 100 + 20 - skipped, ARRIVE_MAX);
        agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
        let (code, told) = run(&work, "status", &[]);
        assert!(code == Some(0) && told.contains("new.log"), "{code:?} {told}");
        let (code, told) = run(&work, "verify", &[]);
        assert_eq!(code, Some(0), "{told}");
        ends_well(&mut agent);
    }
}

/// What ten thousand files cost that nobody writes to: memory, and hundredths of a second of a processor.
#[test]
#[ignore = "long: make torture"]
fn ten_thousand_files_cost_little() {
    const FILES: u64 = 10_000;
    let (topic, work) = scene(1);
    for at in 0..FILES {
        fs::write(work.path(&format!("one/{at}.log")), lines(&at.to_string(), 0, 1)).unwrap();
    }
    let mut agent = work.start();
    agent.expect_records(&topic, FILES as usize, 4 * ARRIVE_MAX);
    agent.expect("an end of it", 4 * ARRIVE_MAX, || work.is_committed());
    let proc = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", agent.pid())).unwrap();
    let ticks = || {
        let stat = proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(30));
    let spent = ticks() - before;
    let status = proc("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("{FILES} files: {kib} KiB, {spent} hundredths of a second in 30 s");
    assert!(kib <= 14 * 1024, "{kib} KiB");
    assert!(spent <= 9, "{spent} hundredths of a second in 30 s");
    ends_well(&mut agent);
}
