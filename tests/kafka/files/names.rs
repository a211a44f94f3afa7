//! Names and directories that give trouble.

use crate::support::torture::{Group, V010, hazard};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use super::scene::{OLD_S, is_root, spool};

/// Somebody without rights.
pub const NOBODY: u32 = 65_534;

/// Row 6: the original was dead at each start.
#[test]
fn a_completed_name_that_exists_is_numbered() {
    let mut scene = spool("taken")
        .file("a_{H-1}.log", "one\n", OLD_S)
        .file("a_{H-1}.log.COMPLETED", "an old one\n", 2 * OLD_S)
        .file("a_{H-1}.log.COMPLETED.1", "another\n", 2 * OLD_S)
        .file("a_{H}.log", "two\n", 0)
        .agent_runs();
    scene.becomes("a_{H-1}.log.COMPLETED.2");
    scene.in_the_end(&["one", "two"]);
}

#[test]
fn a_name_that_is_no_text_is_as_good_as_another() {
    let mut scene = spool("bytes").file("a_{H}.log", "two\n", 0);
    let odd = |scene: &super::scene::Scene, end: &[u8]| {
        let mut name = b"\xff\xfe ".to_vec();
        name.extend(scene.work.name("{H-1}.log").as_bytes());
        name.extend(end);
        scene.work.spool().join(OsStr::from_bytes(&name))
    };
    fs::write(odd(&scene, b""), "one\n").expect("a file with an odd name");
    scene.start();
    let completed = odd(&scene, b".COMPLETED");
    scene.until("the odd name is completed", || completed.exists());
    scene.receipts(1);
    scene.kill();
    fs::write(&completed, "one\nlate\n").expect("the same file, longer");
    scene.start();
    scene.in_the_end_in_any_order(&["one", "two", "late"]);
}

/// Who may write into the directory and not read a file could have it sent.
#[test]
fn a_link_is_left_alone_where_links_are_not_followed() {
    let mut scene = spool("link").source("followLinks", "false").file("a_{H}.log", "one\n", 0);
    let secret = scene.work.dir().join("secret");
    fs::write(&secret, "secret\n").expect("a file elsewhere");
    let link = scene.work.path("b_{H-1}.log");
    std::os::unix::fs::symlink(&secret, &link).expect("a link");
    scene.start();
    scene.in_the_end(&["one"]);
    assert!(link.is_symlink() && secret.exists());
}

/// Names that have no room for the suffix are done by their receipts, and hold up nobody.
#[test]
fn names_too_long_for_the_suffix_are_done_by_receipt_alone() {
    let _row = hazard(Group::Sticks, "48 names without room for the suffix", V010);
    let mut scene = spool("long-name");
    let mut wanted: Vec<String> = ["two", "three", "late"].map(str::to_owned).into();
    let long = |n: usize| format!("{n:0>2}{}_{{H-1}}.log", "x".repeat(232));
    for n in 0..60 {
        let name = scene.work.name(&long(n));
        assert!(name.len() <= 255 && name.len() + ".COMPLETED".len() > 255);
        scene = scene.file(&name, format!("long {n}\n"), 2 * OLD_S);
        wanted.push(format!("long {n}"));
    }
    scene = scene.file("a_{H-1}.log", "two\n", OLD_S).file("a_{H}.log", "three\n", 0).agent_runs();
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.receipts(61);
    assert_eq!(scene.log_lines("Unable to move"), 60, "{}", scene.log());
    // What comes later is read, now and by the next run.
    scene.append(&long(7), "late\n");
    scene.arrive(63);
    scene.receipts(62);
    scene.stop();
    scene.start();
    scene.append(&long(8), "later\n");
    wanted.push("later".to_owned());
    scene.receipts(63);
    scene.in_the_end_in_any_order(&wanted);
    assert_eq!(scene.receipt_lines().len(), 63, "{}", scene.log());
}

/// chattr +i: its fault, not the directory's.
#[test]
fn a_file_that_cannot_be_renamed_holds_up_no_other() {
    let _row = hazard(Group::Sticks, "file that cannot be renamed (immutable)", V010);
    let mut scene = spool("immutable")
        .file("a_{H-1}.log", "one\n", 2 * OLD_S)
        .file("b_{H-1}.log", "two\n", OLD_S)
        .file("c_{H}.log", "three\n", 0);
    let path = scene.path("a_{H-1}.log");
    let chattr = |flag: &str| {
        let done = std::process::Command::new("chattr").arg(flag).arg(&path).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !chattr("+i") {
        super::scene::skipped("no file can be made immutable here");
        return;
    }
    scene.start();
    let is_renamed = crate::support::wait_for(super::scene::PATIENCE, || {
        scene.exists("b_{H-1}.log.COMPLETED") && scene.receipt_lines().len() == 2
    });
    assert!(chattr("-i"));
    assert!(is_renamed, "{}", scene.log());
    assert!(scene.exists("a_{H-1}.log"));
    scene.stop();
    scene.start();
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.in_the_end(&["one", "two", "three"]);
}

#[test]
fn a_directory_that_is_renamed_is_waited_for() {
    let _row = hazard(Group::Absence, "spool directory renamed", V010);
    let mut scene = spool("away").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let (here, away) = (scene.work.spool(), scene.work.dir().join("away"));
    let mut writer = scene.writer("a_{H}.log");
    fs::rename(&here, &away).expect("a rename of the directory");
    scene.log_says("Cannot list");
    // Open files are read on.
    writer.writes("two\n");
    scene.arrive(2);
    let name = scene.work.name("b_{H}.log");
    fs::write(away.join(name), "three\n").expect("a new file");
    fs::rename(&away, &here).expect("and back");
    scene.log_says("is there again");
    scene.arrive(3);
    writer.writes("four\n");
    scene.in_the_end(&["one", "two", "three", "four"]);
    assert_eq!(scene.log_lines("Cannot list"), 1, "{}", scene.log());
}

#[test]
fn a_file_without_read_permission_is_told_once_and_tried_again() {
    let _row = hazard(Group::Absence, "file without read permission", V010);
    let mut scene = spool("unreadable")
        .file("a_{H-1}.log", "secret\n", OLD_S)
        .file("b_{H-1}.log", "one\n", OLD_S)
        .file("c_{H}.log", "two\n", 0);
    let set = |scene: &super::scene::Scene, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(scene.path("a_{H-1}.log"), permissions).expect("a mode");
    };
    set(&scene, 0o000);
    if is_root() {
        // Root reads everything.
        std::os::unix::fs::chown(scene.work.spool(), Some(NOBODY), None).expect("another owner");
        scene = scene.run_by(NOBODY);
    }
    scene.start();
    scene.becomes("b_{H-1}.log.COMPLETED");
    scene.arrive(2);
    scene.log_says("Cannot read");
    // Longer than it takes to try again.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(scene.log_lines("Cannot read"), 1, "{}", scene.log());
    set(&scene, 0o644);
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.in_the_end(&["one", "two", "secret"]);
}
