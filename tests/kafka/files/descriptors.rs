//! A limit of descriptors that does not suffice: it is waited for and said, and nothing ends.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::scene::{OLD_S, Scene, spool};
use crate::support::torture::{Group, V010, hazard};

/// The usual limit.
const ENOUGH: u64 = 1_024;

/// The most descriptors that the process may have from now on.
fn limit_descriptors(scene: &mut Scene, most: u64) {
    let pid = scene.agent().pid() as libc::pid_t;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: ENOUGH };
    // SAFETY: prlimit reads the limit.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &limit, std::ptr::null_mut()) };
    assert_eq!(result, 0, "a new limit");
}

/// The same, from the start on.
fn with_descriptors(scene: Scene, most: u64) -> Scene {
    scene.command(move |command| begin_with_descriptors(command, most))
}

/// The most descriptors that a process has from its start on.
pub(crate) fn begin_with_descriptors(command: &mut Command, most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: setrlimit reads the limit and is async-signal-safe.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

/// What is open goes on, what is not is waited for: a listing, a new file, a receipt.
#[test]
fn without_a_descriptor_left_everything_is_waited_for() {
    let _row =
        hazard(Group::Sticks, "no descriptor left for files, directories and receipts", V010);
    let mut scene = spool("none-left")
        .source("retireGraceMs", 1_500)
        .file("a_{H-1}.log", "a one\n", 0)
        .file("b_{H}.log", "b one\n", 0);
    // It may be renamed any time.
    let mut a = scene.writer("a_{H-1}.log");
    scene.start();
    scene.arrive(2);
    scene.until("a commit", || scene.work.is_committed());
    limit_descriptors(&mut scene, 3);
    scene.append("b_{H}.log", "b two\n");
    scene.arrive(3);
    scene.work.write("c_{H}.log", b"c one\n", 0);
    a.writes("a two\n");
    scene.arrive(4);
    scene.log_says("Too many open files");
    scene.log_says("ulimit -Hn");
    scene.append("b_{H}.log", "b three\n");
    scene.arrive(5);
    limit_descriptors(&mut scene, ENOUGH);
    scene.receipts(1);
    scene.becomes("a_{H-1}.log.COMPLETED");
    let lines = ["a one", "b one", "b two", "a two", "b three", "c one"];
    scene.in_the_end_in_any_order(&lines);
}

/// Starts that have descriptors for the lock, or for the locks and the checkpoint, and nothing else.
#[test]
fn a_start_without_descriptors_waits_and_goes_on_where_it_was() {
    let _row = hazard(Group::Sticks, "started with hardly a descriptor, killed (-9)", V010);
    let mut scene = spool("start-without")
        .file("a_{H}.log", "a one\n", 0)
        .file("b_{H}.log", "b one\n", 0)
        .agent_runs();
    scene.arrive(2);
    scene.until("a commit", || scene.work.is_committed());
    scene.kill();
    scene.append("a_{H}.log", "a two\n");
    for most in [6, 7, 8, 9] {
        scene = with_descriptors(scene, most);
        scene.start();
        scene.log_says("Too many open files");
        scene.kill();
    }
    let mut scene = with_descriptors(scene, ENOUGH);
    scene.start();
    scene.in_the_end_in_any_order(&["a one", "b one", "a two"]);
}

/// More files than the limit, in two sources: they share what there is.
#[test]
fn two_sources_of_six_hundred_files_share_a_thousand_descriptors() {
    const FILES: usize = 600;
    let what = "two sources of 600 files at 1024 descriptors, killed (-9) in the middle";
    let _row = hazard(Group::Sticks, what, V010);
    let mut scene = with_descriptors(spool("two-of-600"), ENOUGH);
    let other = scene.work.dir().join("other");
    fs::create_dir(&other).expect("a directory");
    scene.work = scene
        .work
        .set("a1.sources", "r1 r2")
        .set("a1.sources.r2.type", "spooltail")
        .set("a1.sources.r2.channels", "c1")
        .set("a1.sources.r2.spoolDir", other.display())
        .set("a1.sources.r2.targetPattern", ".*(\\\\d){10}.*")
        .set("a1.sources.r2.targetFilename", "yyyyMMddHH")
        .set("a1.sources.r2.retireGraceMs", 400);
    let mut wanted = Vec::new();
    for n in 0..FILES {
        let hour = if n % 2 == 0 { "H-1" } else { "H" };
        let name = format!("{n:03}_{{{hour}}}.log");
        let age = if n % 2 == 0 { OLD_S } else { 0 };
        scene.work.write(&name, format!("one {n}\n").as_bytes(), age);
        // Before 0.11 equal lines of somebody else would be taken for what is in doubt.
        fs::write(other.join(scene.work.name(&name)), format!("other {n}\n")).expect("room");
        wanted.extend([format!("one {n}"), format!("other {n}"), format!("two {n}")]);
    }
    scene.start();
    scene.arrive(FILES / 2);
    scene.kill();
    scene.start();
    scene.arrive(2 * FILES);
    for n in 0..FILES {
        let hour = if n % 2 == 0 { "H-1" } else { "H" };
        let name = scene.work.name(&format!("{n:03}_{{{hour}}}.log"));
        let there = [name.clone(), format!("{name}.COMPLETED")];
        // It may be renamed at any moment, but only from the first to the second.
        let open = |name| fs::OpenOptions::new().append(true).open(other.join(name)).ok();
        let mut file = there.into_iter().find_map(open).expect("the file");
        std::io::Write::write_all(&mut file, format!("two {n}\n").as_bytes()).expect("room");
    }
    scene.in_the_end_in_any_order(&wanted);
    assert_eq!(scene.log_lines("Too many open files"), 0, "{}", scene.log());
}
