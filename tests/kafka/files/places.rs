//! Lock, checkpoint and directories are taken away, or replaced, under a running agent; and a
//! second agent comes by another door.

use crate::support::lend;
use crate::support::torture::{Group, V010, V43, hazard};
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use super::scene::{Scene, spool, spool_of};

/// A second configuration beside the scene's, with these lines more, and a command for it.
fn second(scene: &Scene, command: &str, lines: &str) -> Command {
    let conf = scene.work.write_conf();
    let text = fs::read_to_string(&conf).expect("the configuration");
    let path = conf.with_file_name("second.conf");
    fs::write(&path, format!("{text}\n{lines}\n")).expect("another configuration");
    let mut second = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
    second.args([command, "--conf", "conf", "--name", "a1", "--conf-file"]).arg(path);
    second.current_dir(scene.work.dir());
    second
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// `find -mtime +7 -delete` takes it.
#[test]
fn a_lock_file_that_is_deleted_is_locked_anew() {
    let _row = hazard(Group::Absence, "lock deleted under the agent", V010);
    let mut scene = spool("lock-gone").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    fs::remove_file(scene.work.tracker_dir().join("lock")).expect("the lock");
    scene.log_says("was removed or replaced under this agent; it is locked again");
    let mut other = scene.work.start();
    let status = other.wait(super::scene::PATIENCE).expect("it ends by itself");
    assert_eq!(status.code(), Some(75), "{}", other.log());
    scene.append("a_{H}.log", "two\n");
    scene.in_the_end(&["one", "two"]);
}

/// Whoever begins before that is noticed finds the spool directory locked.
#[test]
fn between_the_deletion_of_the_lock_and_its_renewal_nobody_else_begins() {
    let _row = hazard(Group::Absence, "lock deleted, a second agent started at once", V010);
    let mut scene = spool("lock-race").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    for n in 0..5 {
        fs::remove_file(scene.work.tracker_dir().join("lock")).expect("the lock");
        let mut other = scene.work.start();
        let status = other.wait(super::scene::PATIENCE).expect("it ends by itself");
        assert_eq!(status.code(), Some(75), "{}", other.log());
        scene.until("the lock is back", || {
            scene.log_lines("it is locked again") > n
                && scene.work.tracker_dir().join("lock").exists()
        });
    }
    scene.append("a_{H}.log", "two\n");
    scene.in_the_end(&["one", "two"]);
}

#[test]
fn a_checkpoint_that_is_deleted_is_written_anew() {
    let _row = hazard(Group::Absence, "checkpoint deleted under the agent, killed (-9)", V010);
    let mut scene = spool("state-gone").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    fs::remove_file(scene.work.tracker_dir().join("checkpoint")).expect("the checkpoint");
    scene.log_says("the checkpoint was removed under this agent; it was written again");
    scene.kill();
    scene.append("a_{H}.log", "two\n");
    scene.start();
    scene.in_the_end(&["one", "two"]);
}

/// It came a second time.
#[test]
fn a_checkpoint_that_is_written_anew_forgets_no_letter_of_a_run_that_died() {
    let long = "y".repeat(3_000_000);
    let mut scene = spool("letter-anew").source("deserializer.maxLineLength", 10_000_000).file(
        "a_{H}.log",
        "one\n",
        0,
    );
    let (topic, name) = (scene.topic.name(), scene.work.name("a_{H}.log"));
    let (bytes, end) = (long.len(), 4 + long.len() + 1);
    let head = format!("topic={topic} partition=0 file={name} start=4 end={end} bytes={bytes}");
    fs::create_dir_all(scene.work.tracker_dir()).expect("the tracker directory");
    let path = scene.work.tracker_dir().join("dead-letter");
    fs::write(&path, format!("time=1 {head} reason=large\n{long}\n")).expect("a letter");
    scene.start();
    scene.arrive(1);
    fs::remove_file(scene.work.tracker_dir().join("checkpoint")).expect("the checkpoint");
    scene.log_says("the checkpoint was removed under this agent; it was written again");
    scene.append("a_{H}.log", format!("{long}\ntwo\n"));
    scene.in_the_end(&["one", "two"]);
    let letters = fs::read(&path).expect("the letters");
    let letters = String::from_utf8_lossy(&letters);
    assert_eq!(letters.matches("time=").count(), 1, "{}", scene.log());
}

/// `rm -rf` and mkdir of the spool directory, with the tracker in it.
#[test]
fn a_spool_directory_made_anew_gets_its_state_anew() {
    let _row = hazard(Group::Absence, "spool directory removed and made anew", V010);
    let mut scene = spool("anew").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    fs::remove_dir_all(scene.work.spool()).expect("everything goes");
    scene.log_says("Nothing is sent until it can be written again");
    fs::create_dir(scene.work.spool()).expect("and a new one comes");
    scene.append("b_{H}.log", "two\n");
    scene.log_says("it was written again");
    scene.arrive(2);
    scene.kill();
    scene.append("b_{H}.log", "three\n");
    scene.start();
    scene.in_the_end(&["one", "two", "three"]);
}

/// The answer to what was under way cannot be taken then: it made the loop turn without a rest for as long as
/// the directory was away.
#[test]
fn an_answer_that_comes_while_the_state_has_no_place_does_not_make_the_agent_spin() {
    let _row = hazard(Group::Absence, "tracker directory removed, an answer comes after that", V43);
    let cluster = lend("4.3.1");
    let topic = cluster.fresh_topic("paused", 1);
    let mut scene = spool_of(topic).file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    scene.until("nothing is under way", || scene.work.is_committed());
    cluster.pause(0);
    let checkpoint = scene.work.tracker_dir().join("checkpoint");
    let before = fs::read(&checkpoint).expect("a checkpoint");
    scene.append("a_{H}.log", "two\n");
    scene.until("it is announced", || fs::read(&checkpoint).expect("it") != before);
    fs::remove_dir_all(scene.work.spool()).expect("everything goes");
    scene.log_says("Nothing is sent until it can be written again");
    cluster.resume(0);
    scene.arrive(2);
    let before = scene.ticks();
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(scene.ticks() - before <= 20, "it spins\n{}", scene.log());
    fs::create_dir(scene.work.spool()).expect("and a new one comes");
    scene.append("b_{H}.log", "three\n");
    scene.in_the_end(&["one", "two", "three"]);
}

/// Moved away, where the state goes on to be written until there is a place for a new one; and
/// put back over that.
#[test]
fn a_tracker_directory_that_is_moved_away_and_back_says_what_was_sent() {
    let _row = hazard(Group::Absence, "tracker directory moved away and back", V010);
    let mut scene = spool("moved-state").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let (here, away) = (scene.work.tracker_dir(), scene.work.dir().join("away"));
    fs::rename(&here, &away).expect("a move");
    scene.log_says("it was written again");
    scene.append("a_{H}.log", "two\n");
    scene.arrive(2);
    fs::rename(&here, scene.work.dir().join("the-newer-one")).expect("a move");
    fs::rename(&away, &here).expect("and back");
    scene.log_says("is there again");
    scene.kill();
    scene.append("a_{H}.log", "three\n");
    scene.start();
    scene.in_the_end(&["one", "two", "three"]);
}

#[test]
fn a_checkpoint_that_somebody_replaced_ends_the_agent() {
    let _row = hazard(Group::Absence, "checkpoint replaced under the agent", V010);
    let mut scene = spool("replaced-state").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let checkpoint = scene.work.tracker_dir().join("checkpoint");
    let backup = scene.work.dir().join("backup");
    scene.until("a checkpoint", || fs::copy(&checkpoint, &backup).is_ok());
    fs::rename(&backup, &checkpoint).expect("a backup is put back");
    assert_eq!(scene.ends_by_itself().code(), Some(75), "{}", scene.log());
    assert!(scene.log().contains("was replaced under this agent"), "{}", scene.log());
}

/// Under another tracker directory all lines were sent twice.
#[test]
fn a_second_reader_of_the_spool_directory_is_refused() {
    let _row =
        hazard(Group::Claims, "second agent on the spool directory, another trackerDir", V010);
    let mut scene = spool("second-reader").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let lines = "a1.sources.r1.trackerDir = ../other-tracker";
    let refused = second(&scene, "agent", lines).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(75), "{}", told(&refused));
    assert!(told(&refused).contains("sharedSpoolDir = true"), "{}", told(&refused));
    // One side alone cannot declare it shared.
    let shared = format!("{lines}\na1.sources.r1.sharedSpoolDir = true");
    let refused = second(&scene, "agent", &shared).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(75), "{}", told(&refused));
    scene.append("a_{H}.log", "two\n");
    scene.in_the_end(&["one", "two"]);
}

/// "the lock is free", said `check` of the other tracker directory.
#[test]
fn check_names_the_reader_of_the_spool_directory_under_another_tracker_directory() {
    let what = "check of a spool directory that is read under another trackerDir";
    let _row = hazard(Group::Claims, what, V010);
    let mut scene = spool("second-check").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let lines = "a1.sources.r1.trackerDir = ../other-tracker";
    let checked = second(&scene, "check", lines).output().expect("it runs");
    assert_eq!(checked.status.code(), Some(75), "{}", told(&checked));
    let pid = format!("read by pid {}", scene.agent().pid());
    assert!(told(&checked).contains(&pid), "{}", told(&checked));
    scene.in_the_end(&["one"]);
    // With nobody there it says so.
    let checked = second(&scene, "check", lines).output().expect("it runs");
    assert!(!told(&checked).contains("read by pid"), "{}", told(&checked));
}

#[test]
fn agents_that_divide_a_directory_share_it() {
    let _row = hazard(Group::Claims, "agents that divide a spool directory", V010);
    let mut scene = spool("divided")
        .source("sharedSpoolDir", true)
        .source("targetPattern", "a_.*")
        .file("a_{H}.log", "one\n", 0)
        .file("b_{H}.log", "two\n", 0)
        .agent_runs();
    scene.arrive(1);
    let lines = "a1.sources.r1.trackerDir = ../other-tracker\na1.sources.r1.targetPattern = b_.*";
    let mut other = scene.work.start_command(second(&scene, "agent", lines));
    scene.arrive(2);
    scene.append("a_{H}.log", "three\n");
    scene.arrive(3);
    assert_eq!(other.term().code(), Some(0), "{}", other.log());
    scene.in_the_end_in_any_order(&["one", "two", "three"]);
}

/// One channel missed 580 lines of 590, and nobody said a word.
#[test]
fn two_sources_of_one_agent_that_take_the_same_files_are_refused() {
    let _row = hazard(Group::Absence, "two sources that take the same files", V010);
    let mut scene = spool("two-sources").file("a_{H}.log", "one\n", 0);
    let spool = scene.work.spool();
    scene.work = scene
        .work
        .set("a1.sources", "r1 r2")
        .set("a1.sources.r2.type", "spooltail")
        .set("a1.sources.r2.channels", "c1")
        .set("a1.sources.r2.spoolDir", spool.display())
        .set("a1.sources.r2.targetPattern", ".*(\\\\d){10}.*")
        .set("a1.sources.r2.targetFilename", "yyyyMMddHH")
        .set("a1.sources.r2.trackerDir", "../other-tracker");
    scene.start();
    assert_eq!(scene.ends_by_itself().code(), Some(78), "{}", scene.log());
    assert!(scene.log().contains("each file is for one source"), "{}", scene.log());
    assert_eq!(scene.topic.count(), 0);
}
