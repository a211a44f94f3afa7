//! Disks that are full, read-only, or fail.

use crate::support::torture::{Group, V010, hazard};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::NOBODY;
use super::scene::{OLD_S, Scene, is_root, skipped, spool};

/// The agent gets a mount namespace of its own, in which `dir` is a small tmpfs: it goes with the
/// agent.
fn with_small_disk(scene: Scene, dir: &Path, bytes: usize) -> Scene {
    let dir = CString::new(dir.as_os_str().as_bytes()).expect("a path");
    let options = CString::new(format!("size={bytes},mode=755")).expect("options");
    scene.command(move |command| {
        let (dir, options) = (dir.clone(), options.clone());
        // SAFETY: unshare and mount are system calls without memory of ours but the strings,
        // which live in the closure.
        unsafe {
            command.pre_exec(move || {
                let none = std::ptr::null();
                let private = libc::MS_REC | libc::MS_PRIVATE;
                let done = libc::unshare(libc::CLONE_NEWNS) == 0
                    && libc::mount(none, c"/".as_ptr(), none, private, none.cast()) == 0
                    && libc::mount(
                        c"none".as_ptr(),
                        dir.as_ptr(),
                        c"tmpfs".as_ptr(),
                        0,
                        options.as_ptr().cast(),
                    ) == 0;
                if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
    })
}

fn may_mount() -> bool {
    let status = std::process::Command::new("unshare").args(["-m", "true"]).status();
    is_root() && status.is_ok_and(|s| s.success())
}

/// The agent's view of a path.
fn seen_by(scene: &mut Scene, path: &Path) -> PathBuf {
    let pid = scene.agent().pid();
    PathBuf::from(format!("/proc/{pid}/root{}", path.display()))
}

/// Makes the disk of [`with_small_disk`] a large one.
fn grow(scene: &mut Scene, dir: &Path) {
    let pid = scene.agent().pid().to_string();
    let status = std::process::Command::new("nsenter")
        .args(["-t", &pid, "-m", "mount", "-o", "remount,size=4m"])
        .arg(dir)
        .status();
    assert!(status.is_ok_and(|s| s.success()), "{} does not grow", dir.display());
}

#[test]
fn a_full_tracker_directory_stops_nothing_but_the_receipts() {
    let _row = hazard(Group::Sticks, "tracker directory full", V010);
    if !may_mount() {
        return skipped("no right to mount a small file system");
    }
    let scene = spool("full");
    let tracker = scene.work.dir().join("tracker");
    fs::create_dir(&tracker).expect("a directory");
    let scene = scene.source("trackerDir", tracker.display()).file("a_{H-1}.log", "one\n", OLD_S);
    let mut scene = with_small_disk(scene, &tracker, 256 * 1024).agent_runs();
    scene.arrive(1);
    let filler = seen_by(&mut scene, &tracker).join("filler");
    // Until nothing more fits.
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    scene.append("a_{H-1}.log", "two\n");
    scene.append("b_{H}.log", "three\n");
    scene.arrive(3);
    scene.log_says("a receipt cannot be appended");
    scene.append("b_{H}.log", "four\n");
    scene.arrive(4);
    assert!(scene.log_lines("a receipt cannot be appended") <= 3, "{}", scene.log());
    fs::remove_file(&filler).expect("room again");
    let receipts = seen_by(&mut scene, &tracker).join("receipts");
    scene.until("the receipt", || {
        fs::read_to_string(&receipts).is_ok_and(|text| text.contains("size=8 "))
    });
    scene.in_the_end_in_any_order(&["one", "two", "three", "four"]);
}

/// Not even the first checkpoint has room: it is told once, and it goes on as soon as there is some.
#[test]
fn without_room_for_a_checkpoint_the_agent_waits() {
    let _row = hazard(Group::Sticks, "no room for the first checkpoint", V010);
    if !may_mount() {
        return skipped("no right to mount a small file system");
    }
    let scene = spool("no-room");
    let tracker = scene.work.dir().join("tracker");
    fs::create_dir(&tracker).expect("a directory");
    let scene = scene.source("trackerDir", tracker.display()).file("a_{H}.log", "one\n", 0);
    let mut scene = with_small_disk(scene, &tracker, 64 * 1024).agent_runs();
    scene.log_says("No space left");
    scene.append("a_{H}.log", "two\n");
    assert_eq!(scene.topic.count(), 0);
    grow(&mut scene, &tracker);
    scene.log_says("the checkpoint is written again");
    assert_eq!(scene.log_lines("No space left"), 1, "{}", scene.log());
    scene.in_the_end(&["one", "two"]);
}

/// The checkpoint of many files needs a larger one, for which there is no room: what is there
/// waits, nothing ends, and a larger disk is all that it takes.
#[test]
fn without_room_to_grow_the_checkpoint_the_agent_waits() {
    const FILES: usize = 600;
    if !may_mount() {
        return skipped("no right to mount a small file system");
    }
    let mut scene = spool("no-room-to-grow");
    let tracker = scene.work.dir().join("tracker");
    fs::create_dir(&tracker).expect("a directory");
    let mut lines = Vec::new();
    let name = "n".repeat(180);
    for n in 0..FILES {
        scene = scene.file(&format!("{name}{n:03}_{{H}}.log"), format!("{n}\n"), 0);
        lines.push(n.to_string());
    }
    let scene = scene.source("trackerDir", tracker.display());
    let mut scene = with_small_disk(scene, &tracker, 256 * 1024).agent_runs();
    scene.log_says("Nothing is sent until it can be");
    grow(&mut scene, &tracker);
    scene.log_says("the checkpoint is written again");
    scene.in_the_end_in_any_order(&lines);
}

/// Files are read and keep their names, more of them than may be open at once; when names can be
/// changed again, they are.
#[test]
fn a_spool_directory_that_permits_no_renaming_is_read_all_the_same() {
    let _row = hazard(Group::Sticks, "spool directory that permits no renaming", V010);
    const FILES: usize = 120;
    if !is_root() {
        return skipped("only root can take a right away from another user and give it back");
    }
    let mut scene = spool("read-only");
    let tracker = scene.work.dir().join("tracker");
    fs::create_dir(&tracker).expect("a directory");
    chown(&tracker, Some(NOBODY), Some(NOBODY)).expect("another owner");
    let mut lines = Vec::new();
    for n in 0..FILES {
        scene = scene.file(&format!("a{n:03}_{{H-1}}.log"), format!("{n}\n"), OLD_S);
        lines.push(n.to_string());
    }
    let mut scene = scene
        .file("z_{H}.log", "present\n", 0)
        .source("trackerDir", tracker.display())
        .run_by(NOBODY)
        .agent_runs();
    lines.push("present".to_owned());
    scene.arrive(FILES + 1);
    scene.append("a000_{H-1}.log", "late\n");
    scene.append("a119_{H-1}.log", "late too\n");
    lines.extend(["late".to_owned(), "late too".to_owned()]);
    scene.arrive(FILES + 3);
    assert!(scene.log_lines("Unable to move") <= 3, "{}", scene.log());
    // The positions of those that are not open are kept, too.
    scene.kill();
    scene.append("a060_{H-1}.log", "after a kill\n");
    lines.push("after a kill".to_owned());
    scene.start();
    scene.arrive(FILES + 4);
    fs::set_permissions(scene.work.spool(), Permissions::from_mode(0o777)).expect("a mode");
    let completed = |scene: &Scene| {
        scene.work.listing().iter().filter(|(name, _)| name.ends_with(".COMPLETED")).count()
    };
    scene.until("all are completed", || completed(&scene) == FILES);
    scene.in_the_end_in_any_order(&lines);
}

/// A file of which every read fails is told once for each try, and others go on.
#[test]
fn a_failing_read_is_tried_again_and_holds_up_nobody() {
    let _row = hazard(Group::Sticks, "failing read", V010);
    let broken = Path::new("/sys/class/net/lo/speed");
    if fs::metadata(broken).is_err() || fs::read(broken).is_ok() {
        return skipped("there is no file here that can be opened and not be read");
    }
    let mut scene = spool("eio").file("b_{H-1}.log", "one\n", OLD_S).file("c_{H}.log", "two\n", 0);
    symlink(broken, scene.path("a_{H-1}.log")).expect("a link");
    scene.start();
    scene.arrive(2);
    scene.log_says("Cannot read");
    let before = scene.ticks();
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(scene.ticks() - before <= 20, "it spins\n{}", scene.log());
    assert!(scene.log_lines("Cannot read") <= 2, "{}", scene.log());
    fs::remove_file(scene.path("a_{H-1}.log")).expect("the link");
    scene.append("c_{H}.log", "three\n");
    scene.in_the_end(&["one", "two", "three"]);
}
