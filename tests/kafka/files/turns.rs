//! Who is read when: backlog and present, and nobody for ever behind another.

use flume_ng::clock::ManualClock;
use flume_ng::source::Files;

use super::scene::{OLD_S, numbered, reader, spool};
use crate::support::torture::{Group, V010, hazard};

/// Row 14: the original read only the older one for that hour.
#[test]
fn all_files_of_the_present_hour_are_tailed_side_by_side() {
    let mut scene = spool("two")
        .file("a_{H}.log", "a\n", 5)
        .file("b_{H}.log", "b\n", 3)
        .file("c_{H}.log", "c\n", 1)
        .agent_runs();
    scene.arrive(3);
    for n in 0..3 {
        for name in ["a", "b", "c"] {
            scene.append(&format!("{name}_{{H}}.log"), format!("{name}{n}\n"));
        }
    }
    let wanted = ["a", "b", "c", "a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"];
    scene.in_the_end_in_any_order(&wanted);
}

/// Row 13: the original threw the other file's position away and sent it all again.
#[test]
fn an_older_file_that_appears_late_costs_nobody_a_position() {
    let mut scene = spool("older").file("b_{H}.log", "one\ntwo\n", 10).agent_runs();
    scene.arrive(2);
    scene.work.write("a_{H-1}.log", b"older\n", OLD_S);
    scene.arrive(3);
    scene.kill();
    scene.work.write("a_{H-2}.log", b"older still\n", 2 * OLD_S);
    scene.start();
    scene.becomes("a_{H-2}.log.COMPLETED");
    scene.append("b_{H}.log", "three\n");
    scene.in_the_end(&["one", "two", "older", "older still", "three"]);
}

#[test]
fn a_short_backlog_comes_first_and_in_order_of_age() {
    let mut scene = spool("order")
        .file("d_{H}.log", "4\n", 0)
        .file("a_{H-1}.log", "2\n", 2 * OLD_S)
        .file("b_{H-2}.log", "3\n", OLD_S)
        .file("c_{H-1}.log", "1\n", 3 * OLD_S)
        .agent_runs();
    scene.in_the_end(&["1", "2", "3", "4"]);
}

/// In the original the older files starve.
#[test]
fn with_youngest_the_present_comes_first_and_the_rest_is_read_all_the_same() {
    let mut scene = spool("youngest")
        .source("consumeOrder", "youngest")
        .file("a_{H-2}.log", "3\n", 2 * OLD_S)
        .file("b_{H-1}.log", "2\n", OLD_S)
        .file("c_{H}.log", "1\n", 0)
        .agent_runs();
    scene.becomes("a_{H-2}.log.COMPLETED");
    scene.in_the_end(&["1", "2", "3"]);
}

/// A backlog of thousands of files, and a line is written to the present one.
#[test]
fn a_live_line_does_not_wait_for_the_end_of_the_backlog() {
    const FILES: usize = 2_000;
    let (content, _) = numbered("backlog", 0..20);
    let mut scene = spool("fair");
    for n in 0..FILES {
        scene = scene.file(&format!("f{n:04}_{{H-1}}.log"), &content, OLD_S);
    }
    scene = scene.file("live_{H}.log", "live 0\n", 0).agent_runs();
    scene.arrive(FILES * 20 + 1);
    scene.receipts(FILES);
    scene.stop();
    let records = scene.topic.all();
    assert_eq!(records.len(), FILES * 20 + 1);
    let at = scene.topic.bodies().iter().position(|b| b == "live 0").expect("the live line");
    // A second of backlog and no more. A fast machine has done with all of it by then, and a slow
    // one may take longer for one batch: so it is late only after both three seconds and most of
    // the backlog.
    let waited_ms = records[at].timestamp - records[0].timestamp;
    let is_in_time = waited_ms < 3_000 || at < records.len() * 3 / 4;
    assert!(is_in_time, "number {at}, after {waited_ms} ms\n{}", scene.log());
}

/// The same by a clock that the test moves on: whatever the machine, the turn is the live file's.
#[test]
fn after_a_second_of_backlog_it_is_the_live_files_turn() {
    let clock = ManualClock::new(1_709_164_000_000, 0);
    let (_scene, mut files) = reader("yyyyMMddHH", &clock);
    let dir = files.config.spool_dir.clone();
    for n in 0..10 {
        std::fs::write(dir.join(format!("{n}_2024022822")), "backlog\n").expect("a file");
    }
    std::fs::write(dir.join("live_2024022823"), "live\n").expect("a file");
    files.refresh(true);
    let mut chosen = Vec::new();
    for _ in 0..5 {
        chosen.push(read_next(&mut files));
        clock.advance(250);
    }
    let wanted = ["0", "1", "2", "3", "live"].map(|name| name.to_owned());
    assert_eq!(chosen, wanted);
    // The backlog waits for no second.
    assert_eq!(read_next(&mut files), "4");
}

/// Reads the whole of the file whose turn it is; the first part of its name.
fn read_next(files: &mut Files) -> String {
    let at = files.choose().expect("a file to read");
    let tracked = files.at_mut(at);
    tracked.read_position = tracked.file.metadata().expect("a file").len();
    let name = tracked.name().to_string_lossy();
    name.split('_').next().expect("a name").to_owned()
}

/// More files of the present hour than may be open at once.
#[test]
fn hundreds_of_live_files_take_turns_at_being_open() {
    let _row = hazard(Group::Sticks, "hundreds of live files", V010);
    const FILES: usize = 620;
    let mut scene = spool("many-live");
    let mut lines = Vec::new();
    for n in 0..FILES {
        scene = scene.file(&format!("f{n:03}_{{H}}.log"), format!("{n} first\n"), 0);
        lines.push(format!("{n} first"));
    }
    scene.start();
    scene.arrive(FILES);
    for n in 0..FILES {
        scene.append(&format!("f{n:03}_{{H}}.log"), format!("{n} second\n"));
        lines.push(format!("{n} second"));
    }
    scene.arrive(2 * FILES);
    let open = std::fs::read_dir(format!("/proc/{}/fd", scene.agent().pid()));
    assert!(open.expect("descriptors").count() < 550);
    scene.kill();
    scene.append("f619_{H}.log", "after a kill\n");
    lines.push("after a kill".to_owned());
    scene.start();
    scene.in_the_end_in_any_order(&lines);
}

/// A file under an old name that is written to without end holds up nobody.
#[test]
fn a_busy_straggler_does_not_starve_the_backlog() {
    let mut scene = spool("straggler").file("a_{H-3}.log", "first\n", OLD_S).agent_runs();
    scene.arrive(1);
    let mut writer = scene.writer("a_{H-3}.log");
    let mut wanted = vec!["first".to_owned()];
    for n in 0..20 {
        scene.work.write(&format!("b{n}_{{H-1}}.log"), format!("backlog {n}\n").as_bytes(), OLD_S);
        wanted.push(format!("backlog {n}"));
    }
    scene.append("z_{H}.log", "present\n");
    wanted.push("present".to_owned());
    let mut n = 0;
    while !scene.exists("b19_{H-1}.log.COMPLETED") {
        writer.writes(format!("busy {n}\n"));
        wanted.push(format!("busy {n}"));
        n += 1;
        assert!(n < 60_000, "{}", scene.log());
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    scene.in_the_end_in_any_order(&wanted);
}
