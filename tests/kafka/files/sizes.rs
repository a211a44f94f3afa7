//! Much of it: long lines, long files, many files.

use crate::support::torture::{Group, V010, hazard};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use super::scene::{OLD_S, Scene, numbered, spool};

/// Most memory that the agent had, kB.
fn memory_kb(scene: &mut Scene) -> u64 {
    let pid = scene.agent().pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The promise is 12 MB for the program as it is released; without optimisation and with all its
/// symbols it is larger.
const MEMORY_KB_MAX: u64 = if cfg!(debug_assertions) { 24_000 } else { 12_288 };

/// Row 26: 64-bit positions, and nothing is scanned.
#[test]
fn a_sparse_file_of_five_gigabytes_is_read_from_its_position() {
    const SIZE: u64 = 5 << 30;
    let mut scene = spool("sparse").file("a_{H}.log", "", 0);
    let mut file = OpenOptions::new().write(true).open(scene.path("a_{H}.log")).expect("a file");
    file.set_len(SIZE).expect("a sparse file");
    file.seek(SeekFrom::End(0)).expect("its end");
    file.write_all(b"one\ntwo\n").expect("lines behind it");
    scene.work = scene.work.java_tracker("a_{H}.log", SIZE + 4);
    scene.start();
    scene.arrive(1);
    scene.kill();
    scene.append("a_{H}.log", "three\n");
    scene.start();
    scene.arrive(2);
    assert!(memory_kb(&mut scene) < MEMORY_KB_MAX);
    scene.in_the_end(&["two", "three"]);
}

#[test]
fn a_line_of_100_mb_goes_to_the_dead_letters_without_being_held_in_memory() {
    let _row = hazard(Group::Sticks, "line of 100 MB", V010);
    const MB: usize = 1 << 20;
    let mut scene = spool("giant").source("deserializer.maxLineLength", 200_000_000).file(
        "a_{H}.log",
        "before\n",
        0,
    );
    let mut writer = scene.writer("a_{H}.log");
    let block = vec![b'x'; MB];
    (0..100).for_each(|_| writer.writes(&block));
    scene.start();
    scene.arrive(1);
    scene.log_says("the line at byte 7 is longer");
    // Not whole yet.
    writer.writes("the end of it");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!scene.work.tracker_dir().join("dead-letter").exists());
    writer.writes("\nafter\n");
    scene.arrive(2);
    let memory = memory_kb(&mut scene);
    assert!(memory < MEMORY_KB_MAX + 24_000, "{memory} kB");
    let letter = fs::read(scene.work.tracker_dir().join("dead-letter")).expect("a dead letter");
    let head = letter.iter().position(|b| *b == b'\n').expect("a head");
    let text = String::from_utf8_lossy(&letter[..head]);
    let end = 7 + 100 * MB + "the end of it\n".len();
    assert!(text.contains(&format!("start=7 end={end} ")), "{text}");
    assert!(letter[head + 1..].starts_with(&block) && letter.ends_with(b"xthe end of it\n\n"));
    scene.kill();
    scene.append("a_{H}.log", "later\n");
    scene.start();
    scene.in_the_end(&["before", "after", "later"]);
}

/// Larger than the broker takes, small enough for the memory.
#[test]
fn a_line_that_the_broker_does_not_take_goes_to_the_dead_letters() {
    let long = "y".repeat(3_000_000);
    let mut scene = spool("too-large")
        .source("deserializer.maxLineLength", 10_000_000)
        .file("a_{H}.log", format!("before\n{long}\nafter\n"), 0)
        .agent_runs();
    scene.in_the_end(&["before", "after"]);
    let letter = fs::read(scene.work.tracker_dir().join("dead-letter")).expect("a dead letter");
    assert!(letter.len() > long.len());
}

/// With the default it is cut as the original cuts it.
#[test]
fn a_long_line_is_cut_by_default() {
    let long = "z".repeat(1_000_000);
    let mut scene = spool("cut").file("a_{H}.log", format!("{long}\nend\n"), 0).agent_runs();
    let mut lines: Vec<String> = Vec::new();
    let mut rest = long.as_str();
    while !rest.is_empty() {
        let (part, more) = rest.split_at(rest.len().min(2048));
        lines.push(part.to_owned());
        rest = more;
    }
    lines.push("end".to_owned());
    scene.in_the_end(&lines);
}

/// The cost of a poll does not grow with what is finished.
#[test]
fn tens_of_thousands_of_completed_files_cost_nothing() {
    const FILES: usize = 30_000;
    let mut scene = spool("completed");
    for n in 0..FILES {
        let name = scene.work.name(&format!("old{n}_{{H-1}}.log.COMPLETED"));
        File::create(scene.work.spool().join(name)).expect("a file");
    }
    scene = scene.file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let ticks = |scene: &mut Scene| {
        let pid = scene.agent().pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("it").split_whitespace().collect();
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
    };
    std::thread::sleep(Duration::from_millis(2_500));
    let before = ticks(&mut scene);
    let (content, mut lines) = numbered("line", 0..100);
    for line in content.lines() {
        scene.append("a_{H}.log", format!("{line}\n"));
        std::thread::sleep(Duration::from_millis(10));
    }
    scene.arrive(101);
    let spent = ticks(&mut scene) - before;
    assert!(spent <= 60, "{spent} hundredths of a second of processor time for 100 lines");
    assert!(memory_kb(&mut scene) < MEMORY_KB_MAX);
    lines.insert(0, "one".to_owned());
    scene.in_the_end(&lines);
}

fn backlog(files: usize, lines_each: usize) {
    let mut scene = spool("backlog");
    let mut lines = Vec::new();
    for n in 0..files {
        let (content, some) = numbered(&format!("file {n} line"), 0..lines_each);
        // Ages in the order of the names.
        scene = scene.file(&format!("f{n:05}_{{H-1}}.log"), content, OLD_S + (files - n) as u64);
        lines.extend(some);
    }
    scene = scene.file("z_{H}.log", "", 0);
    let start = std::time::Instant::now();
    scene.start();
    let all = crate::support::wait_for(Duration::from_secs(300), || {
        std::thread::sleep(Duration::from_millis(50));
        scene.receipt_lines().len() >= files
    });
    assert!(all, "{} of {files} receipts", scene.receipt_lines().len());
    let memory = memory_kb(&mut scene);
    eprintln!("{files} files in {:?}, {memory} kB", start.elapsed());
    assert!(memory < MEMORY_KB_MAX, "{memory} kB");
    scene.in_the_end(&lines);
}

#[test]
fn a_backlog_of_a_thousand_files_is_read_in_order_within_the_memory() {
    let _row = hazard(Group::Sticks, "backlog of a thousand files", V010);
    backlog(1_000, 5);
}

#[test]
#[ignore = "takes minutes beside other tests; see `make soak`"]
fn a_backlog_of_ten_thousand_files_is_read_in_order_within_the_memory() {
    backlog(10_000, 20);
}
