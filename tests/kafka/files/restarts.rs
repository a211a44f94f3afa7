//! What the original loses or repeats when it stops, is killed, or finds its own files broken.

use crate::support::torture::{Group, V010, hazard};
use std::fs;
use std::time::Duration;

use super::scene::{OLD_S, numbered, spool, spool_with_partitions};

/// Row 4: the original had up to a batch twice.
#[test]
fn a_kill_in_mid_run_costs_nothing() {
    let _row = hazard(Group::Deaths, "kill -9 in mid-run", V010);
    let (content, lines) = numbered("line", 0..60_000);
    let mut scene = spool("kill").file("a_{H}.log", content, 0).agent_runs();
    for n in 1..=3 {
        scene.arrive(n * 10_000);
        scene.kill();
        scene.start();
    }
    scene.in_the_end(&lines);
}

/// Rows 4 and 27: over several partitions each batch stays in order.
#[test]
fn a_kill_in_mid_run_costs_nothing_over_several_partitions() {
    let _row = hazard(Group::Deaths, "kill -9 in mid-run, several partitions", V010);
    let (content, lines) = numbered("line", 0..60_000);
    let mut scene = spool_with_partitions("kill-3", 3).file("a_{H}.log", content, 0).agent_runs();
    for n in 1..=3 {
        scene.arrive(n * 10_000);
        scene.kill();
        scene.start();
    }
    scene.in_the_end_in_any_order(&lines);
    for partition in scene.topic.records() {
        let number = |r: &crate::support::Record| {
            let event = crate::support::decode_event(r.value.as_deref().expect("a value"));
            let text = String::from_utf8(event.body).expect("text");
            text["line ".len()..].parse::<u64>().expect("a number")
        };
        let numbers: Vec<u64> = partition.iter().map(number).collect();
        assert!(numbers.is_sorted(), "a partition is out of order");
    }
}

/// Row 27: with `partitionBy = file` a file is read back in its order.
#[test]
fn a_file_can_be_kept_in_one_partition() {
    let (content, lines) = numbered("line", 0..5_000);
    let topic = spool_with_partitions("by-file", 4);
    let mut scene = topic.file("a_{H}.log", content, 0);
    scene.work = scene.work.set("a1.channels.c1.partitionBy", "file");
    scene.start();
    scene.in_the_end_in_any_order(&lines);
    let filled: Vec<usize> =
        scene.topic.records().iter().map(Vec::len).filter(|n| *n > 0).collect();
    assert_eq!(filled, [5_000]);
}

/// Row 5: the original took ten seconds for it.
#[test]
fn sigterm_in_the_middle_of_a_backlog_ends_at_once_and_loses_nothing() {
    let (content, lines) = numbered("line", 0..200_000);
    let mut scene = spool("term").file("a_{H}.log", content, 0).agent_runs();
    scene.arrive(2_000);
    let (status, took) = scene.agent().term_timed();
    assert_eq!(status.code(), Some(0), "{}", scene.log());
    assert!(took < Duration::from_secs(2), "{took:?}\n{}", scene.log());
    scene.start();
    scene.in_the_end(&lines);
}

/// Rows 8 and 21: the original exits with 0, or renames everything unread.
#[test]
fn a_batch_size_of_0_and_other_faults_are_refused() {
    let mut scene = spool("size-0")
        .source("batchSize", 0)
        .file("a_{H-1}.log", "one\n", OLD_S)
        .file("a_{H}.log", "two\n", 0);
    scene.start();
    assert_eq!(scene.ends_by_itself().code(), Some(78), "{}", scene.log());
    assert!(scene.exists("a_{H-1}.log"));
    assert_eq!(scene.topic.count(), 0);
}

/// Row 22: two errors a second for ever, and nothing read. To begin at 0 would send again what the
/// original has sent, so somebody has to say what is meant.
#[test]
fn an_empty_tracker_of_the_original_ends_the_start_in_words() {
    let mut scene = spool("tracker-empty").file("a_{H}.log", "one\ntwo\n", 0);
    fs::create_dir(scene.work.tracker_dir()).expect("a directory");
    let tracker = scene.work.tracker_dir().join(".flumespooltailfile-main.meta");
    fs::write(&tracker, "").expect("an empty tracker");
    scene.start();
    assert_eq!(scene.ends_by_itself().code(), Some(78), "{}", scene.log());
    assert!(scene.log().contains("tells no position"), "{}", scene.log());
    assert_eq!(scene.topic.count(), 0);
    fs::remove_file(&tracker).expect("it is there");
    scene.start();
    scene.in_the_end(&["one", "two"]);
}

#[test]
fn garbage_behind_the_last_good_record_of_a_tracker_is_passed_over() {
    let mut scene = spool("tracker-tail").file("a_{H}.log", "one\ntwo\n", 0);
    scene.work = scene.work.java_tracker("a_{H}.log", 4);
    let tracker = scene.work.tracker_dir().join(".flumespooltailfile-main.meta");
    let mut bytes = fs::read(&tracker).expect("the tracker");
    bytes.extend(b"\x02\x04garbage that is no block at all");
    fs::write(&tracker, bytes).expect("a damaged tracker");
    scene.start();
    scene.in_the_end(&["two"]);
}

/// Row 24: the original sent 70 lines of 120 twice.
#[test]
fn two_sources_do_not_share_a_tracker_directory() {
    let mut scene = spool("shared-tracker").file("a_{H}.log", "one\n", 0);
    let shared = scene.work.dir().join("tracker");
    let other = scene.work.dir().join("spool2");
    fs::create_dir(&other).expect("a directory");
    fs::write(other.join(scene.work.name("b_{H}.log")), "two\n").expect("a file");
    let shared = shared.display();
    scene = scene.source("trackerDir", &shared);
    scene.work = scene
        .work
        .set("a1.sources", "r1 r2")
        .set("a1.sources.r2.type", "spooltail")
        .set("a1.sources.r2.channels", "c1")
        .set("a1.sources.r2.spoolDir", other.display())
        .set("a1.sources.r2.targetPattern", ".*(\\\\d){4}(\\\\d){2}(\\\\d){2}(\\\\d){2}.*")
        .set("a1.sources.r2.targetFilename", "yyyyMMddHH")
        .set("a1.sources.r2.trackerDir", &shared);
    scene.start();
    let code = scene.ends_by_itself().code();
    // Nothing is read under a position that is another's.
    assert!(matches!(code, Some(75 | 78)), "{code:?}\n{}", scene.log());
}
