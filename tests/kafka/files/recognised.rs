//! A file is the recorded one if the bytes before the position are the ones that were read, whatever
//! its device, inode and time of birth are now: remounted, restored, migrated, copied, replaced by
//! itself, rotated by copying.

use crate::support::lend;
use crate::support::torture::{Group, V010, hazard};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use flume_ng::checkpoint::receipt::{self, Receipt, Receipts};
use flume_ng::checkpoint::record::FileRecord;
use flume_ng::checkpoint::slots::{self, FileStore, Opened, Slots};

use super::scene::{OLD_S, Scene, is_root, numbered, skipped, spool, spool_of};

/// The directory in its place with every inode made anew, as after a copy to another disk or a
/// backup that was put back.
fn copy_over(dir: &Path) {
    let (new, old) = (dir.with_extension("new"), dir.with_extension("old"));
    let status = Command::new("cp").arg("-a").arg(dir).arg(&new).status();
    assert!(status.is_ok_and(|s| s.success()), "cp -a");
    fs::rename(dir, &old).expect("a rename");
    fs::rename(&new, dir).expect("a rename");
    fs::remove_dir_all(&old).expect("the old directory goes");
}

/// Writes the records of files in the checkpoint anew.
fn edit_records(tracker_dir: &Path, edit: impl FnMut(&mut FileRecord)) {
    let opened = FileStore::open(tracker_dir).and_then(Slots::open).expect("a checkpoint");
    let Opened::Valid { mut slots, mut record, .. } = opened else { panic!("no checkpoint") };
    record.files.iter_mut().for_each(edit);
    slots.write(&mut record).expect("a write");
}

/// The device has another number than when the state was written, as after a reboot or a remount:
/// the state is written once more with another one.
fn renumber(scene: &Scene) {
    let dir = scene.work.tracker_dir();
    edit_records(&dir, |file| file.device += 1);
    let receipts: Vec<Receipt> =
        receipt::read_all(&dir).expect("receipts").map(|r| r.expect("a receipt")).collect();
    if receipts.is_empty() {
        return;
    }
    fs::remove_file(dir.join(receipt::FILE_NAME)).expect("the receipts");
    let mut anew = Receipts::new(&dir);
    for mut receipt in receipts {
        receipt.device += 1;
        anew.append(&receipt).expect("a receipt");
    }
}

/// `a_{H}.log` with 100 lines, and `b_{H-1}.log` moved out of the pattern with 50, which both have a
/// writer; all in the topic, and the agent stopped.
fn two_unfinished(label: &str) -> (Scene, Vec<String>) {
    let (a, mut lines) = numbered("line of a", 0..100);
    let (b, more) = numbered("line of b", 0..50);
    lines.extend(more);
    let mut scene = spool(label)
        .source("retireGraceMs", 60_000)
        .file("a_{H}.log", a, 0)
        .file("b_{H}.log", b, 0)
        .agent_runs();
    scene.arrive(150);
    scene.rename("b_{H}.log", "aside");
    scene.log_says("was moved to");
    scene.append("a_{H}.log", "before the end\n");
    lines.push("before the end".to_owned());
    scene.arrive(151);
    scene.stop();
    (scene, lines)
}

#[test]
fn unfinished_files_go_on_after_their_device_has_another_number() {
    let _row = hazard(Group::Identity, "device number changed, files unfinished", V010);
    let (mut scene, mut lines) = two_unfinished("renumbered");
    for n in 0..2 {
        renumber(&scene);
        for name in ["a_{H}.log", "aside"] {
            let line = format!("{n} late in {name}");
            scene.append(name, format!("{line}\n"));
            lines.push(line);
        }
        scene.start();
        scene.arrive(lines.len());
        // One descriptor reads it, not two.
        let line = format!("{n} while it runs");
        scene.append("a_{H}.log", format!("{line}\n"));
        lines.push(line);
        scene.arrive(lines.len());
        scene.stop();
    }
    scene.start();
    scene.in_the_end_in_any_order(&lines);
}

#[test]
fn few_bytes_and_another_device_number_are_the_same_file() {
    let _row = hazard(Group::Identity, "device number changed, few bytes read", V010);
    let mut scene = spool("renumbered-few").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    scene.stop();
    renumber(&scene);
    scene.append("a_{H}.log", "two\n");
    scene.start();
    scene.arrive(2);
    scene.in_the_end(&["one", "two"]);
}

#[test]
fn spool_and_tracker_copied_elsewhere_go_on_there() {
    let _row = hazard(Group::Identity, "spool and tracker copied to another disk", V010);
    let (mut scene, mut lines) = two_unfinished("copied");
    scene = scene.file("few_{H}.log", "few\n", 0);
    lines.push("few".to_owned());
    scene.start();
    scene.arrive(lines.len());
    scene.stop();
    copy_over(&scene.work.spool());
    for name in ["a_{H}.log", "aside", "few_{H}.log"] {
        scene.append(name, format!("late in {name}\n"));
        lines.push(format!("late in {name}"));
    }
    scene.start();
    scene.arrive(lines.len());
    scene.append("a_{H}.log", "and more\n");
    lines.push("and more".to_owned());
    scene.in_the_end_in_any_order(&lines);
}

/// Everything is copied, and the agent that recognises a file by its name is killed while its broker is frozen. Under
/// another name nothing but the checkpoint tells what it is.
#[test]
fn a_file_that_is_renamed_after_a_kill_is_known_though_no_broker_has_answered() {
    let what = "copied, killed before a broker answers, few bytes read, renamed";
    let _row = hazard(Group::Identity, what, V010);
    let cluster = lend("0.10.2.0");
    let topic = cluster.fresh_topic("early", 1);
    let mut scene = spool_of(topic).file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    scene.stop();
    copy_over(&scene.work.spool());
    cluster.pause(0);
    scene.start();
    let inode = fs::metadata(scene.path("a_{H}.log")).expect("the copy").ino();
    let tracker_dir = scene.work.tracker_dir();
    scene.until("its number is written", || {
        let record = slots::read_newest(&tracker_dir).expect("a checkpoint");
        record.is_some_and(|record| record.files.iter().any(|file| file.inode == inode))
    });
    scene.kill();
    scene.rename("a_{H}.log", "b_{H}.log");
    scene.append("b_{H}.log", "two\n");
    scene.start();
    cluster.resume(0);
    scene.in_the_end(&["one", "two"]);
}

/// Killed with batches in doubt, copied, and gone on with there, after `change`.
fn copied_in_doubt(label: &str, change: impl Fn(&Scene)) {
    let (content, lines) = numbered("line", 0..60_000);
    let mut scene = spool(label).file("a_{H}.log", content, 0).agent_runs();
    for n in 1..=3 {
        scene.arrive(n * 10_000);
        scene.kill();
        copy_over(&scene.work.spool());
        change(&scene);
        scene.start();
    }
    scene.in_the_end(&lines);
}

#[test]
fn a_copy_with_batches_in_doubt_goes_on_there() {
    let _row = hazard(Group::Identity, "spool and tracker copied, batches in doubt", V010);
    copied_in_doubt("copied-doubt", |_| {});
}

/// What was removed from the old place gives its inode numbers away, to anything: here to a directory.
#[test]
fn a_directory_with_the_inode_number_of_a_file_in_doubt_is_not_waited_for() {
    let _row =
        hazard(Group::Identity, "copied in doubt, a directory has the old inode number", V010);
    copied_in_doubt("number-of-directory", |scene| {
        let tracker_dir = scene.work.tracker_dir();
        let directory = fs::metadata(&tracker_dir).expect("the tracker directory").ino();
        edit_records(&tracker_dir, |file| file.inode = directory);
    });
}

/// A backup of both is an hour old: what was sent since is sent again, and nothing else.
#[test]
fn an_older_spool_and_tracker_put_back_go_on_from_there() {
    let _row = hazard(Group::Identity, "backup of an hour ago put back", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("backup").file("a_{H}.log", content, 0).agent_runs();
    scene.arrive(100);
    scene.stop();
    let backup = scene.work.dir().join("backup");
    let copy = |from: &Path, to: &Path| {
        let status = Command::new("cp").arg("-a").arg(from).arg(to).status();
        assert!(status.is_ok_and(|s| s.success()), "cp -a");
    };
    copy(&scene.work.spool(), &backup);
    scene.append("a_{H}.log", "after the backup\n");
    scene.start();
    scene.arrive(101);
    scene.stop();
    fs::remove_dir_all(scene.work.spool()).expect("the spool goes");
    copy(&backup, &scene.work.spool());
    scene.append("a_{H}.log", "another line\n");
    lines.extend(["after the backup".to_owned(), "another line".to_owned()]);
    scene.start();
    scene.in_the_end(&lines);
}

#[test]
fn a_finished_file_is_known_by_its_receipt_under_another_device_number() {
    let _row = hazard(Group::Identity, "device number changed, finished file comes back", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("receipt-device")
        .file("a_{H-1}.log", content, OLD_S)
        .file("b_{H-1}.log", "few\n", OLD_S)
        .file("z_{H}.log", "live\n", 0)
        .agent_runs();
    scene.receipts(2);
    scene.arrive(102);
    scene.stop();
    lines.extend(["few".to_owned(), "live".to_owned(), "late".to_owned()]);
    renumber(&scene);
    scene.rename("a_{H-1}.log.COMPLETED", "a_{H-1}.log");
    scene.rename("b_{H-1}.log.COMPLETED", "b_{H-1}.log");
    scene.append("a_{H-1}.log", "late\n");
    scene.start();
    scene.receipts(4);
    scene.in_the_end_in_any_order(&lines);
}

#[test]
fn finished_files_that_were_copied_elsewhere_are_read_where_they_have_grown() {
    let _row =
        hazard(Group::Identity, "finished files copied to another disk, one has grown", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("receipt-copied")
        .file("a_{H-1}.log", content, OLD_S)
        .file("z_{H}.log", "live\n", 0)
        .agent_runs();
    scene.receipts(1);
    scene.arrive(101);
    scene.stop();
    lines.push("live".to_owned());
    for n in 0..2 {
        copy_over(&scene.work.spool());
        let line = format!("late {n}");
        scene.append("a_{H-1}.log.COMPLETED", format!("{line}\n"));
        lines.push(line);
        scene.start();
        scene.receipts(2 + n);
        scene.arrive(lines.len());
        scene.stop();
    }
    scene.start();
    scene.in_the_end_in_any_order(&lines);
}

#[test]
fn a_hidden_file_is_deleted_after_it_was_copied_elsewhere() {
    let _row =
        hazard(Group::Identity, "file that waits for its deletion copied to another disk", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("hidden-copied")
        .source("deletePolicy", "immediate")
        .source("retireGraceMs", 60_000)
        .file("a_{H-1}.log", content, 1)
        .file("b_{H-1}.log", "few\n", 1)
        .file("z_{H}.log", "live\n", 0)
        .agent_runs();
    scene.vanishes("a_{H-1}.log");
    scene.vanishes("b_{H-1}.log");
    scene.arrive(102);
    scene.stop();
    lines.extend(["few".to_owned(), "live".to_owned()]);
    copy_over(&scene.work.spool());
    scene = scene.source("retireGraceMs", 1);
    scene.start();
    scene.receipts(2);
    let hidden = |scene: &Scene| {
        let names = fs::read_dir(scene.work.tracker_dir()).expect("the tracker directory");
        names.flatten().any(|e| e.file_name().to_string_lossy().starts_with("deleted-"))
    };
    scene.until("the hidden files are deleted", || !hidden(&scene));
    scene.in_the_end_in_any_order(&lines);
}

/// `sed -i` that changes nothing, and `rsync` of a file that grows at its source: another inode
/// with the same bytes, and more of them.
#[test]
fn a_file_replaced_by_the_same_bytes_and_more_goes_on() {
    let _row =
        hazard(Group::Identity, "file replaced by the same bytes and more (rsync, sed -i)", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("same-bytes").file("a_{H}.log", content, 0).agent_runs();
    scene.arrive(100);
    let mut old = scene.writer("a_{H}.log");
    for n in 0..4 {
        let path = scene.path("a_{H}.log");
        fs::copy(&path, scene.path("new")).expect("a copy");
        if n == 2 {
            scene.kill();
        }
        scene.rename("new", "a_{H}.log");
        scene.append("a_{H}.log", format!("more {n}\n"));
        lines.push(format!("more {n}"));
        if n == 0 {
            // Its old writer has not noticed.
            old.writes("into the old one\n");
            lines.push("into the old one".to_owned());
        }
        if n == 2 {
            scene.start();
        }
        scene.arrive(lines.len());
    }
    scene.in_the_end_in_any_order(&lines);
}

#[test]
fn a_byte_changed_before_the_position_makes_a_new_file() {
    let _row =
        hazard(Group::Identity, "file replaced with a byte changed before the position", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("changed-byte").file("a_{H}.log", &content, 0).agent_runs();
    scene.arrive(100);
    // What was read a moment ago may have been written to the old one only.
    std::thread::sleep(Duration::from_millis(2_500));
    let changed = content.replace("line 50\n", "LINE 50\n");
    fs::write(scene.path("new"), &changed).expect("a file");
    scene.rename("new", "a_{H}.log");
    lines.extend(changed.lines().map(str::to_owned));
    scene.in_the_end_in_any_order(&lines);
}

/// copytruncate as `logrotate` does it, to a name that matches the pattern and to one that does not,
/// while the agent runs and while it does not; lines that nobody had read are in the copy.
#[test]
fn copytruncate_goes_on_in_the_copy() {
    let _row = hazard(Group::Identity, "copytruncate, unread lines in a copy that matches", V010);
    for (label, suffix) in [("copy-matches", ".1"), ("copy-aside", "-backup")] {
        let (content, mut lines) = numbered("line", 0..100);
        let mut scene = spool(label).source("targetPattern", "a_[0-9]{10}[.]log([.][0-9])?").file(
            "a_{H}.log",
            content,
            0,
        );
        scene.start();
        scene.arrive(100);
        for n in 0..2 {
            if n == 1 {
                scene.until("all of it is committed", || scene.work.is_committed());
                scene.kill();
            }
            let unread = format!("unread {n}");
            scene.append("a_{H}.log", format!("{unread}\n"));
            lines.push(unread);
            let copy = scene.work.path(&format!("a_{{H}}.log{suffix}"));
            if n == 1 {
                let _ = fs::rename(&copy, copy.with_extension("9"));
            }
            fs::copy(scene.path("a_{H}.log"), &copy).expect("a copy");
            scene.truncate("a_{H}.log");
            // Less than was read before, whatever of it the record has: it shows as truncated.
            let (after, more) = numbered(&format!("after {n}"), 0..30 - 15 * n);
            scene.append("a_{H}.log", after);
            lines.extend(more);
            if n == 1 {
                scene.start();
            }
            scene.arrive(lines.len());
            scene.log_says("copied before it was truncated");
        }
        scene.in_the_end_in_any_order(&lines);
    }
}

/// Some lines only, of which nothing could be proven: the name of the copy decides.
#[test]
fn copytruncate_of_a_few_lines_goes_on_in_the_copy() {
    let _row = hazard(Group::Identity, "copytruncate of a few lines", V010);
    let mut scene = spool("copy-few").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    for n in 0..3 {
        fs::copy(scene.path("a_{H}.log"), scene.path(&format!("a_{{H}}.log.{n}"))).expect("a copy");
        scene.truncate("a_{H}.log");
        scene.append("a_{H}.log", format!("line {n}\n"));
        scene.arrive(2 + n);
    }
    scene.in_the_end(&["one", "line 0", "line 1", "line 2"]);
}

/// The tool destroys what was written between its copy and its truncation; the agent had read it.
#[test]
fn a_copy_that_lacks_the_last_lines_that_were_read_is_not_sent_again() {
    let _row =
        hazard(Group::Identity, "copytruncate, lines written between copy and truncation", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("copy-lacks").file("a_{H}.log", content, 0).agent_runs();
    scene.arrive(100);
    fs::copy(scene.path("a_{H}.log"), scene.path("a_{H}.log.1")).expect("a copy");
    scene.append("a_{H}.log", "behind the copy\n");
    scene.arrive(101);
    scene.truncate("a_{H}.log");
    scene.append("a_{H}.log", "and after\n");
    lines.extend(["behind the copy".to_owned(), "and after".to_owned()]);
    scene.log_says("copied before it was truncated");
    scene.in_the_end(&lines);
}

#[test]
fn a_copy_whose_original_goes_on_is_a_file_of_its_own_after_ten_seconds() {
    let _row = hazard(Group::Identity, "copy whose original goes on", V010);
    let (content, mut lines) = numbered("line", 0..100);
    let mut scene = spool("copy-waits").file("a_{H}.log", &content, 0).agent_runs();
    scene.arrive(100);
    fs::copy(scene.path("a_{H}.log"), scene.path("b_{H}.log")).expect("a copy");
    scene.log_says("waits 10 seconds");
    assert_eq!(scene.topic.count(), 100);
    scene.log_says("file of its own");
    lines.extend(content.lines().map(str::to_owned));
    scene.in_the_end(&lines);
}

/// Gigabytes are compared without holding up other files.
#[test]
fn a_large_file_is_compared_while_others_are_read() {
    let _row = hazard(Group::Identity, "large file compared while others are read", V010);
    let line = "x".repeat(1_000);
    let content: String = (0..70_000).map(|n| format!("{n} {line}\n")).collect();
    let mut scene = spool("large").file("a_{H}.log", &content, 0).agent_runs();
    scene.arrive(70_000);
    scene.stop();
    copy_over(&scene.work.spool());
    scene.append("a_{H}.log", "late\n");
    scene.start();
    scene.arrive(70_001);
    scene.log_says("Comparing the first");
    scene.stop();
}

/// ext2 with inodes of 128 bytes keeps no time of birth.
#[test]
fn without_a_time_of_birth_a_finished_file_that_comes_back_grown_is_known() {
    let _row = hazard(Group::Identity, "no time of birth: finished file comes back grown", V010);
    let mut scene = spool("no-birth");
    let image = scene.work.dir().join("image");
    let made = is_root()
        && File::create(&image).and_then(|f| f.set_len(8 << 20)).is_ok()
        && Command::new("mkfs.ext2")
            .args(["-q", "-I", "128"])
            .arg(&image)
            .status()
            .is_ok_and(|s| s.success());
    let spool_dir = scene.work.spool();
    let mount = || {
        let mut command = Command::new("mount");
        command.args(["-o", "loop"]).arg(&image).arg(&spool_dir);
        command.stderr(std::process::Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !made || !mount() {
        return skipped("no right to mount an ext2 file system");
    }
    let mounted = Mounted(spool_dir.clone());
    let (content, mut lines) = numbered("line", 0..100);
    scene = scene.file("a_{H-1}.log", content, OLD_S).file("z_{H}.log", "live\n", 0).agent_runs();
    scene.receipts(1);
    scene.arrive(101);
    lines.push("live".to_owned());
    // Away, grown, and back.
    let away = spool_dir.join("lost+found").join("away");
    fs::rename(scene.path("a_{H-1}.log.COMPLETED"), &away).expect("a move");
    let file = File::options().append(true).open(&away).expect("the file");
    std::io::Write::write_all(&mut &file, b"late\n").expect("a write");
    file.set_modified(SystemTime::now() + Duration::from_secs(1)).expect("a time");
    drop(file);
    lines.push("late".to_owned());
    fs::rename(&away, scene.path("a_{H-1}.log")).expect("a move");
    scene.receipts(2);
    scene.in_the_end_in_any_order(&lines);
    drop(mounted);
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}
