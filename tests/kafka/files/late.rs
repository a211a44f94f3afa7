//! Lines that come after their file's time.

use super::scene::{OLD_S, numbered, spool, stopped_after_an_hour};
use crate::support::torture::{Group, V010, hazard};

/// Row 1: the original lost ten lines of ten.
#[test]
fn lines_written_after_the_retirement_are_sent() {
    let _row = hazard(Group::Lines, "lines written after the retirement", V010);
    let mut scene = spool("late").file("a_{H-1}.log", "one\n", 10).agent_runs();
    scene.arrive(1);
    let mut writer = scene.writer("a_{H-1}.log");
    scene.append("a_{H}.log", "next hour\n");
    scene.becomes("a_{H-1}.log.COMPLETED");
    let (late, mut lines) = numbered("late", 0..10);
    for line in late.lines() {
        writer.writes(format!("{line}\n"));
    }
    lines.extend(["one".to_owned(), "next hour".to_owned()]);
    scene.receipts(1);
    scene.in_the_end_in_any_order(&lines);
}

#[test]
fn lines_written_after_the_retirement_are_sent_by_the_next_run() {
    let _row =
        hazard(Group::Lines, "lines written after the retirement, read by the next run", V010);
    let mut scene = spool("late-kill")
        .source("retireGraceMs", 60_000)
        .file("a_{H-1}.log", "one\n", 10)
        .file("a_{H}.log", "two\n", 0)
        .agent_runs();
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.arrive(2);
    scene.kill();
    scene.append("a_{H-1}.log.COMPLETED", "late\n");
    scene.start();
    scene.in_the_end(&["one", "two", "late"]);
}

/// A writer that outlives the grace time: the receipt is written already.
#[test]
fn a_completed_file_that_has_grown_is_read_at_the_next_start() {
    let _row = hazard(Group::Lines, "finished file that has grown while no agent ran", V010);
    let mut scene = stopped_after_an_hour("grown");
    scene.append("a_{H-1}.log.COMPLETED", "much later\n");
    scene.start();
    scene.receipts(2);
    scene.in_the_end(&["one", "two", "much later"]);
    let receipts = scene.receipt_lines();
    assert!(receipts[1].contains("size=15 lines=2 events=2"), "{receipts:?}");
    // The offsets of both parts are in the new receipt.
    assert!(receipts[1].contains(":0-2:2"), "{receipts:?}");
    scene.start();
    scene.log_says("a_{H}.log at byte 4");
    scene.in_the_end(&["one", "two", "much later"]);
    assert_eq!(scene.receipt_lines().len(), 2);
}

/// Its receipt has other numbers than the file: moved to another disk and back, for one.
#[test]
fn a_completed_file_with_new_numbers_that_is_written_to_is_read_on_at_once() {
    let what = "finished file written to after its inode number changed";
    let _row = hazard(Group::Lines, what, V010);
    let (text, mut lines) = numbered("line", 0..100);
    let mut scene = spool("renumbered-done")
        .file("a_{H-1}.log", &text, 10)
        .file("b_{H}.log", "present\n", 0)
        .agent_runs();
    scene.receipts(1);
    let (done, aside) = (scene.path("a_{H-1}.log.COMPLETED"), scene.work.dir().join("aside"));
    std::fs::copy(&done, &aside).expect("a copy");
    std::fs::rename(&aside, &done).expect("in its place");
    scene.append("a_{H-1}.log.COMPLETED", "late\n");
    lines.extend(["present".to_owned(), "late".to_owned()]);
    scene.arrive(lines.len());
    scene.receipts(2);
    scene.in_the_end_in_any_order(&lines);
}

/// The change notice names it: nobody waits for the next start, nor for the hourly look.
#[test]
fn a_completed_file_that_is_written_to_is_read_on_at_once() {
    let _row = hazard(Group::Lines, "finished file written to", V010);
    let mut scene = spool("written-done").file("a_{H-1}.log", "one\n", 10).agent_runs();
    scene.arrive(1);
    scene.append("a_{H}.log", "two\n");
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.receipts(1);
    scene.append("a_{H-1}.log.COMPLETED", "much later\n");
    scene.receipts(2);
    scene.append("a_{H-1}.log.COMPLETED", "later still\n");
    scene.receipts(3);
    scene.in_the_end_in_any_order(&["one", "two", "much later", "later still"]);
}

/// Row 9: a quiet hour is tailed on, and retired when the next file shows up.
#[test]
fn a_quiet_hour_is_tailed_until_another_file_shows_up() {
    let mut scene = spool("quiet").file("a_{H-3}.log", "one\n", OLD_S).agent_runs();
    scene.arrive(1);
    scene.append("a_{H-3}.log", "still here\n");
    scene.arrive(2);
    assert!(scene.exists("a_{H-3}.log"));
    let mut writer = scene.writer("a_{H-3}.log");
    scene.append("a_{H}.log", "next\n");
    writer.writes("and here\n");
    scene.becomes("a_{H-3}.log.COMPLETED");
    writer.writes("and after it\n");
    scene.receipts(1);
    scene.in_the_end_in_any_order(&["one", "still here", "next", "and here", "and after it"]);
}

/// The last line without a newline waits for the grace time, not for ever.
#[test]
fn an_unterminated_last_line_is_sent_when_the_file_is_left_alone() {
    let mut scene = spool("rest").file("a_{H-1}.log", "one\ntw", 0).agent_runs();
    scene.arrive(1);
    scene.append("a_{H-1}.log", "o");
    scene.append("a_{H}.log", "three\n");
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.append("a_{H-1}.log.COMPLETED", " is whole");
    scene.receipts(1);
    scene.in_the_end_in_any_order(&["one", "three", "two is whole"]);
}

#[test]
fn a_file_to_be_deleted_is_hidden_for_its_grace_time() {
    let mut scene = spool("hidden")
        .source("deletePolicy", "immediate")
        .source("retireGraceMs", 60_000)
        .file("a_{H-1}.log", "one\n", 1)
        .file("a_{H}.log", "two\n", 0);
    let mut writer = scene.writer("a_{H-1}.log");
    scene.start();
    scene.vanishes("a_{H-1}.log");
    writer.writes("late\n");
    scene.arrive(3);
    scene.kill();
    writer.writes("while nobody looked\n");
    scene.start();
    scene.arrive(4);
    scene.stop();
    // Its time is over at the next start.
    scene = scene.source("retireGraceMs", 1);
    scene.start();
    scene.receipts(1);
    let hidden = |scene: &super::scene::Scene| {
        let names = std::fs::read_dir(scene.work.tracker_dir()).expect("the tracker directory");
        names.flatten().any(|e| e.file_name().to_string_lossy().starts_with("deleted-"))
    };
    scene.until("the hidden file is deleted", || !hidden(&scene));
    scene.in_the_end(&["one", "two", "late", "while nobody looked"]);
}

/// A crash after the receipt and before the deletion.
#[test]
fn what_the_last_run_had_left_to_be_deleted_is_deleted_at_a_start() {
    let mut scene = spool("leftovers")
        .source("deletePolicy", "immediate")
        .source("retireGraceMs", 1)
        .file("a_{H-1}.log", "one\n", 3)
        .file("b_{H-1}.log", "two\n", 2)
        .file("c_{H-1}.log", "three\n", 1)
        .file("d_{H}.log", "four\n", 0);
    // Their other names keep the files, so that they are what the receipts speak of.
    let kept = ["a", "b", "c"].map(|name| scene.work.dir().join(name));
    for (kept, name) in kept.iter().zip(["a_{H-1}.log", "b_{H-1}.log", "c_{H-1}.log"]) {
        std::fs::hard_link(scene.path(name), kept).expect("a second name");
    }
    scene.start();
    scene.receipts(3);
    scene.stop();
    let (beside, grown) = (".flume-ng-deleted-2-2", ".flume-ng-deleted-3-3");
    let left = [
        scene.work.tracker_dir().join("deleted-1-1"),
        scene.path(beside),
        scene.path(grown),
        scene.path(".flume-ng-of-someone-else"),
    ];
    for (kept, left) in kept.iter().zip(&left) {
        std::fs::rename(kept, left).expect("a leftover");
    }
    std::fs::write(&left[3], "not ours\n").expect("a file");
    scene.append(grown, "late\n");
    scene.start();
    scene.log_says("of-someone-else has no receipt; it is left alone.");
    scene.until("what was done is deleted", || !left[..3].iter().any(|path| path.exists()));
    assert!(left[3].exists(), "what has no receipt is left alone");
    scene.in_the_end(&["one", "two", "three", "four", "late"]);
}
