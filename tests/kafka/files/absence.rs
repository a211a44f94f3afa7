//! What is not there, or cannot be opened, for a while; and another directory under the name of
//! the old one.

use crate::support::torture::{Group, V010, hazard};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flume_ng::clock::ManualClock;
use flume_ng::source::Files;

use super::scene::{Scene, reader, skipped, spool};

/// A clock of an hour of the past, with which names are `a_2024022823`.
fn clock() -> ManualClock {
    ManualClock::new(1_709_164_799_000, 0)
}

fn names(files: &Files) -> Vec<String> {
    let names = files.candidates().iter();
    names.map(|c| c.name.to_string_lossy().into_owned()).collect()
}

/// So that no change before it can fall into the same tick of the clock as one behind it.
fn a_tick_later() {
    std::thread::sleep(Duration::from_millis(60));
}

/// A directory on another file system than that of the tests, removed in the end.
struct Elsewhere(PathBuf);

impl Elsewhere {
    fn new(label: &str, other_than: &Path) -> Option<Elsewhere> {
        let root = Path::new("/dev/shm");
        let device = |p: &Path| fs::metadata(p).map(|stat| stat.dev()).ok();
        let dir = root.join(format!("flume-ng-{label}-{}", std::process::id()));
        if device(root)? == device(other_than)? {
            return None;
        }
        fs::create_dir_all(&dir).ok()?;
        Some(Elsewhere(dir))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The spool directory becomes a link, which stands for a mount point.
fn link_spool(scene: &Scene, to: &Path) {
    let spool = scene.work.spool();
    let _ = fs::remove_dir(&spool);
    let _ = fs::remove_file(&spool);
    symlink(to, &spool).expect("a link");
}

/// Cannot be opened is not gone: it was sent from its beginning once it could be opened again.
#[test]
fn a_file_that_cannot_be_opened_at_a_start_goes_on_where_it_was() {
    let _row = hazard(Group::Absence, "file refused at a start", V010);
    let mut scene = spool("loop").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    scene.stop();
    // A link that leads to itself answers every call with an error (ELOOP).
    let (path, aside) = (scene.path("a_{H}.log"), scene.work.dir().join("aside"));
    fs::rename(&path, &aside).expect("a rename");
    symlink(&path, &path).expect("a link to itself");
    scene.start();
    scene.log_says("It is waited for");
    scene.append("b_{H}.log", "two\n");
    scene.arrive(2);
    fs::remove_file(&path).expect("the link");
    fs::rename(&aside, &path).expect("and back");
    scene.append("a_{H}.log", "three\n");
    scene.in_the_end(&["one", "two", "three"]);
    assert!(scene.receipt_lines().is_empty(), "{}", scene.log());
}

/// The mount is missing at the start and comes later.
#[test]
fn a_file_system_that_is_mounted_late_goes_on_where_it_was() {
    let _row = hazard(Group::Absence, "file system mounted late, tracker elsewhere", V010);
    let mut scene = spool("mount");
    let Some(disk) = Elsewhere::new("mount", scene.work.dir()) else {
        return skipped("no second file system");
    };
    let (empty, tracker) = (scene.work.dir().join("empty"), scene.work.dir().join("tracker"));
    fs::create_dir(&empty).expect("a directory");
    link_spool(&scene, &disk.0);
    scene = scene.source("trackerDir", tracker.display()).file("a_{H}.log", "one\n", 0);
    scene.start();
    scene.arrive(1);
    scene.stop();
    link_spool(&scene, &empty);
    scene.start();
    scene.log_says("is everything mounted");
    // A file that was written into the mount point is no less a file.
    scene.append("b_{H}.log", "two\n");
    scene.arrive(2);
    scene.kill();
    scene.start();
    scene.log_says("is everything mounted");
    link_spool(&scene, &disk.0);
    scene.append("a_{H}.log", "three\n");
    scene.arrive(3);
    scene.in_the_end(&["one", "two", "three"]);
}

/// The spool directory is a link to the first of two directories, and the tracker is elsewhere; a line
/// has arrived, and the agent runs.
fn spool_by_link(name: &str) -> (Scene, [PathBuf; 2]) {
    let scene = spool(name);
    let dirs = ["first", "second"].map(|name| scene.work.dir().join(name));
    dirs.iter().for_each(|dir| fs::create_dir(dir).expect("a directory"));
    link_spool(&scene, &dirs[0]);
    let tracker = scene.work.dir().join("tracker");
    let mut scene = scene.source("trackerDir", tracker.display()).file("a_{H}.log", "one\n", 0);
    scene.start();
    scene.arrive(1);
    (scene, dirs)
}

/// In one step: at no moment is there no directory.
fn switch_spool(scene: &Scene, to: &Path) {
    let next = scene.work.dir().join("next");
    symlink(to, &next).expect("a link");
    fs::rename(&next, scene.work.spool()).expect("the link is switched");
}

/// The same file system, so that no number of a device tells: unfinished files got their receipts,
/// and what was in doubt was given up.
#[test]
fn a_spool_link_that_leads_to_another_directory_is_not_believed() {
    let _row = hazard(Group::Absence, "spool link switched while no agent runs, and back", V010);
    let (mut scene, dirs) = spool_by_link("other-dir");
    scene.stop();
    link_spool(&scene, &dirs[1]);
    for _ in 0..2 {
        scene.start();
        scene.log_says("is another directory than it was");
        scene.kill();
    }
    scene.start();
    // It goes on in the other one all the same.
    scene.append("b_{H}.log", "two\n");
    scene.arrive(2);
    scene.until("a commit", || scene.work.is_committed());
    let receipts = scene.work.dir().join("tracker/receipts");
    assert!(fs::read_to_string(receipts).is_err(), "{}", scene.log());
    switch_spool(&scene, &dirs[0]);
    scene.log_says("is another directory now");
    scene.append("a_{H}.log", "three\n");
    scene.arrive(3);
    scene.in_the_end(&["one", "two", "three"]);
}

/// Notices are of an inode, not of a name.
#[test]
fn a_spool_link_that_is_switched_is_listed_and_gets_notices_of_its_own() {
    let _row = hazard(Group::Sticks, "spool link switched", V010);
    let (mut scene, dirs) = spool_by_link("switched");
    fs::write(dirs[1].join(scene.work.name("b_{H}.log")), "two\n").expect("a file");
    switch_spool(&scene, &dirs[1]);
    scene.arrive(2);
    let inode = format!("ino:{:x} ", fs::metadata(&dirs[1]).expect("a directory").ino());
    let pid = scene.agent().pid();
    let is_watched = || {
        let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
        let mut texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
        texts.any(|text| text.contains("inotify") && text.contains(&inode))
    };
    scene.until("notices of the new directory", is_watched);
    scene.in_the_end(&["one", "two"]);
}

/// tar and rsync put a directory's time back when they are done with it.
#[test]
fn a_directory_whose_time_was_put_back_is_listed_again() {
    let _row = hazard(Group::Sticks, "directory's time put back", V010);
    let clock = clock();
    let (_scene, mut files) = reader("yyyyMMddHH", &clock);
    let dir = files.config.spool_dir.clone();
    let time = fs::metadata(&dir).and_then(|stat| stat.modified()).expect("a time");
    a_tick_later();
    files.refresh(true);
    clock.advance(2_000);
    files.refresh(true);
    assert_eq!(names(&files), [""; 0]);
    fs::write(dir.join("a_2024022823"), "one\n").expect("a file");
    File::open(&dir).and_then(|dir| dir.set_modified(time)).expect("its time is put back");
    clock.advance(1_000);
    files.refresh(true);
    assert_eq!(names(&files), ["a_2024022823"]);
}

/// What a link leads to changes without a trace in the link's directory.
#[test]
fn a_dangling_link_that_was_made_good_is_read_within_a_minute() {
    let _row = hazard(Group::Sticks, "dangling link made good", V010);
    let clock = clock();
    let (scene, mut files) = reader("yyyyMMddHH", &clock);
    let target = scene.work.dir().join("later");
    symlink(&target, files.config.spool_dir.join("a_2024022823")).expect("a link");
    a_tick_later();
    for _ in 0..3 {
        files.refresh(true);
        clock.advance(2_000);
    }
    assert_eq!(names(&files), [""; 0]);
    fs::write(&target, "one\n").expect("a file");
    clock.advance(60_000);
    files.refresh(false);
    assert_eq!(names(&files), ["a_2024022823"]);
}

/// Device numbers tell two disks apart where inode numbers and names are equal.
#[test]
fn another_directory_under_the_same_name_is_listed_from_scratch() {
    let _row = hazard(Group::Sticks, "another disk with equal inode numbers", V010);
    let clock = clock();
    let (scene, mut files) = reader("yyyyMMddHH", &clock);
    let Some(disk) = Elsewhere::new("scratch", scene.work.dir()) else {
        return skipped("no second file system");
    };
    fs::write(files.config.spool_dir.join("a_2024022823"), "one\n").expect("a file");
    fs::write(disk.0.join("a_2024022823"), "two\n").expect("a file");
    files.refresh(true);
    let before = files.candidates()[0].device;
    fs::remove_file(files.config.spool_dir.join("a_2024022823")).expect("a file to remove");
    link_spool(&scene, &disk.0);
    clock.advance(1_000);
    files.refresh(true);
    assert_eq!(names(&files), ["a_2024022823"]);
    assert_ne!(files.candidates()[0].device, before);
}
