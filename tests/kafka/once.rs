//! Runs that end by themselves (`--once`): with 0 when all that the files held at the start is in the
//! topic, with 75 where that could not be, and never with a line lost or repeated.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::support::torture::{Group, Growing, Tally, V43, hazard};
use crate::support::{Agent, Topic, Work, shared};

const PATIENCE: Duration = Duration::from_secs(60);
const NOBODY: u32 = 65_534;
/// Its last modification makes a file one that was left alone for longer than clocks differ.
const LONG_AGO_S: u64 = 7_200;

fn once(work: &Work, args: &[&str]) -> Agent {
    let mut command = work.command();
    command.arg("--once").args(args);
    work.start_command(command)
}

/// Its exit code and log.
#[track_caller]
fn ends(mut agent: Agent) -> (Option<i32>, String) {
    let status = agent.wait(PATIENCE);
    let status = status.unwrap_or_else(|| panic!("it does not end:\n{}", agent.log()));
    (status.code(), agent.log())
}

#[track_caller]
fn ends_with_all_acknowledged(agent: Agent) -> String {
    let (code, log) = ends(agent);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("All that the files held at the start is acknowledged"), "{log}");
    log
}

fn sorted(topic: &Topic) -> Vec<String> {
    let mut bodies = topic.bodies();
    bodies.sort();
    bodies
}

fn fresh(label: &str) -> (Topic, Work) {
    let topic = shared("4.3.1").fresh_topic(label, 2);
    let work = Work::new(&topic);
    (topic, work)
}

fn names(work: &Work) -> Vec<String> {
    work.listing().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn it_takes_what_is_there_retires_what_is_finished_and_ends() {
    let _row = hazard(Group::Claims, "runs of --once, one after the other", V43);
    let (topic, work) = fresh("once");
    let work = work
        .file("010_{H-2}.log", b"one\ntwo\n", LONG_AGO_S)
        // Its last line is finished, too.
        .file("010_{H-1}.log", b"three\nfour", LONG_AGO_S)
        .file("010_{H}.log", b"five\nsi", 0);
    let log = ends_with_all_acknowledged(once(&work, &[]));
    assert!(log.contains("(5 events in this run)"), "{log}");
    assert_eq!(sorted(&topic), ["five", "four", "one", "three", "two"]);
    let retired = ["010_{H-2}.log.COMPLETED", "010_{H-1}.log.COMPLETED", "010_{H}.log"];
    assert_eq!(names(&work), retired.map(|name| work.name(name)));

    // Nothing new, then something.
    ends_with_all_acknowledged(once(&work, &["--timeout", "50"]));
    work.append("010_{H}.log", b"x\nseven\n");
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(sorted(&topic), ["five", "four", "one", "seven", "six", "three", "two"]);
}

/// It holds nothing that could be owed, and is never opened.
#[test]
fn a_fifo_among_the_files_keeps_no_run_from_its_end() {
    let (topic, work) = fresh("once-fifo");
    let work = work.file("010_{H}.log", b"one\n", 0);
    let fifo = work.spool().join(work.name("020_{H}.log"));
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(sorted(&topic), ["one"]);
}

/// Only what was there at the start is owed.
#[test]
fn files_that_grow_without_end_do_not_keep_it() {
    let mut tally = Tally::row(Group::Claims, "--once while a file grows without end", "4.3.1");
    let (topic, work) = fresh("once-grows");
    let growing = Growing::start(&work, "010_{H}.log", "g", 0, 200);
    let mut before = 0;
    for _ in 0..3 {
        assert!(crate::support::wait_for(PATIENCE, || growing.written() > before + 50));
        let owed = growing.written();
        ends_with_all_acknowledged(once(&work, &[]));
        assert!(topic.count() as u64 >= owed, "{} of {owed}", topic.count());
        before = growing.written();
    }
    let written = growing.stop();
    let agent = once(&work, &[]);
    let (code, log) = ends(agent);
    assert_eq!(code, Some(0), "{log}");
    let agent = work.start();
    tally.exact("grows", &topic, &[("g", written)], &agent);
}

/// Half a line of an hour that is over is an event when nobody has finished it for the grace time,
/// and it was there at the start.
#[test]
fn the_last_line_of_a_finished_file_is_waited_for() {
    let (topic, work) = fresh("once-grace");
    let work = work
        .set("a1.sources.r1.retireGraceMs", 700)
        .file("010_{H-1}.log", b"one\ntwo", 0)
        .file("010_{H}.log", b"", 0);
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(sorted(&topic), ["one", "two"]);
}

/// Of a file whose lines are whole nothing is owed when they are acknowledged: its grace time is for
/// lines that are yet to come.
#[test]
fn a_grace_time_of_which_nothing_is_owed_is_not_waited_for() {
    let (topic, work) = fresh("once-no-grace");
    let work = work
        .set("a1.sources.r1.retireGraceMs", 600_000)
        .file("010_{H-1}.log", b"one\n", 0)
        .file("010_{H}.log", b"two\n", 0);
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(names(&work), ["010_{H-1}.log.COMPLETED", "010_{H}.log"].map(|n| work.name(n)));
    let mut late = fs::OpenOptions::new();
    let late = late.append(true).open(work.path("010_{H-1}.log.COMPLETED"));
    std::io::Write::write_all(&mut late.unwrap(), b"late\n").unwrap();
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(sorted(&topic), ["late", "one", "two"]);
}

#[test]
fn without_brokers_it_ends_when_its_time_is_up_and_says_what_is_left() {
    let _row = hazard(Group::Claims, "--once without brokers, then with them", V43);
    let (topic, work) = fresh("once-away");
    let away = work.set("a1.channels.c1.brokerList", "127.0.0.1:1").file(
        "010_{H-1}.log",
        b"one\ntwo\n",
        LONG_AGO_S,
    );
    let (code, log) = ends(once(&away, &["--timeout", "1"]));
    assert_eq!(code, Some(75), "{log}");
    let left = "Left: 1 file, 8 B, 0 batches in doubt. The next run goes on there (exit code 75).";
    assert!(log.contains(left), "{log}");
    let here = away.set("a1.channels.c1.brokerList", topic.bootstrap());
    ends_with_all_acknowledged(once(&here, &[]));
    assert_eq!(sorted(&topic), ["one", "two"]);
}

#[test]
fn stopped_before_its_end_it_does_not_say_that_all_is_done() {
    let (_, work) = fresh("once-term");
    let work =
        work.set("a1.channels.c1.brokerList", "127.0.0.1:1").file("010_{H}.log", b"one\n", 0);
    let mut agent = once(&work, &[]);
    agent.expect("a try", PATIENCE, || work.tracker_dir().join("lock").exists());
    assert_eq!(agent.term().code(), Some(75), "{}", agent.log());
    assert!(agent.log().contains("Left: 1 file, 4 B"), "{}", agent.log());
}

#[test]
fn it_and_an_agent_that_stays_exclude_each_other() {
    let (topic, work) = fresh("once-lock");
    let work = work.file("010_{H}.log", b"one\n", 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, PATIENCE);
    let (code, log) = ends(once(&work, &["--timeout", "60"]));
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains(&format!("held by pid {}", agent.pid())), "{log}");
    assert_eq!(agent.term().code(), Some(0));
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(topic.bodies(), ["one"]);
}

#[test]
fn filters_that_take_everything_leave_nothing() {
    let (topic, work) = fresh("once-filter");
    let work = work
        .set("a1.sources.r1.interceptors", "f")
        .set("a1.sources.r1.interceptors.f.type", "regex_filter")
        .set("a1.sources.r1.interceptors.f.regex", "never")
        .file("010_{H-1}.log", b"one\ntwo\n", LONG_AGO_S)
        .file("010_{H}.log", b"three\n", 0);
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(topic.count(), 0);
    assert!(names(&work).contains(&work.name("010_{H-1}.log.COMPLETED")));
}

#[test]
fn a_directory_that_is_not_there_is_left_over() {
    let (_, work) = fresh("once-no-dir");
    fs::remove_dir(work.spool()).unwrap();
    let (code, log) = ends(once(&work, &["--timeout", "1"]));
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("; for source r1 this is unknown"), "{log}");
}

#[test]
fn a_file_that_cannot_be_read_is_left_over_and_others_are_delivered() {
    let topic = shared("4.3.1").fresh_topic("once-unreadable", 1);
    let work = Work::new(&topic).run_by(NOBODY);
    let work = work.file("010_{H-1}.log", b"secret\n", 0).file("010_{H}.log", b"one\n", 0);
    // Root reads everything.
    fs::set_permissions(work.path("010_{H-1}.log"), fs::Permissions::from_mode(0o000)).unwrap();
    for dir in [work.dir().to_owned(), work.spool()] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let (code, log) = ends(once(&work, &["--timeout", "3"]));
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("Left: 1 file, 7 B, 0 batches in doubt"), "{log}");
    assert_eq!(topic.bodies(), ["one"]);
    fs::set_permissions(work.path("010_{H-1}.log"), fs::Permissions::from_mode(0o644)).unwrap();
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(sorted(&topic), ["one", "secret"]);
}

/// It may be copytruncate's: the copy is not a file of its own before its original was left alone.
#[test]
fn a_copy_is_waited_for() {
    let (topic, work) = fresh("once-copy");
    let lines: String = (0..200).map(|n| format!("line {n}\n")).collect();
    let work = work.file("010_{H}.log", lines.as_bytes(), 0);
    ends_with_all_acknowledged(once(&work, &[]));
    assert_eq!(topic.count(), 200);
    fs::copy(work.path("010_{H}.log"), work.path("010_{H}.log.1")).unwrap();
    let log = ends_with_all_acknowledged(once(&work, &[]));
    assert!(log.contains("is a copy of"), "{log}");
    assert_eq!(topic.count(), 400);
}

#[test]
fn a_change_of_the_configuration_waits_for_the_next_run() {
    let (topic, work) = fresh("once-reload");
    let work = work
        .set("a1.sources.r1.retireGraceMs", 2_500)
        .file("010_{H-1}.log", b"one\ntwo", 0)
        .file("010_{H}.log", b"", 0);
    let mut agent = once(&work, &[]);
    agent.expect_records(&topic, 1, PATIENCE);
    let work = work.set("a1.sources.r1.retireGraceMs", 600_000);
    work.write_conf();
    let log = ends_with_all_acknowledged(agent);
    assert_eq!(log.matches("Reloading configuration file").count(), 1, "{log}");
    assert_eq!(sorted(&topic), ["one", "two"]);
}
