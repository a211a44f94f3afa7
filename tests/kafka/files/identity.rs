//! Which file is it? Renamed, truncated, replaced, deleted, linked, come back.

use crate::support::torture::{Group, V010, hazard};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use flume_ng::clock::ManualClock;
use flume_ng::source::tracked::Look;
use flume_ng::source::window::HeadBytes;

use super::scene::{OLD_S, numbered, reader, spool, stopped_after_an_hour};

/// Row 10: the original did not read the next file at all.
#[test]
fn a_file_deleted_while_open_is_read_to_its_end() {
    let _row = hazard(Group::Identity, "file deleted while it is read", V010);
    let mut scene = spool("deleted").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let mut writer = scene.writer("a_{H}.log");
    scene.delete("a_{H}.log");
    writer.writes("into nowhere\n");
    scene.append("b_{H}.log", "next\n");
    scene.in_the_end_in_any_order(&["one", "into nowhere", "next"]);
    assert_eq!(scene.log_lines("was deleted"), 1, "{}", scene.log());
}

#[test]
fn a_file_moved_to_a_name_outside_the_pattern_is_read_on() {
    let _row =
        hazard(Group::Identity, "file moved to a name outside the pattern, killed (-9)", V010);
    let mut scene = spool("moved").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let mut writer = scene.writer("a_{H}.log");
    scene.rename("a_{H}.log", "rotated.1");
    writer.writes("two\n");
    scene.arrive(2);
    scene.log_says("was moved to");
    scene.kill();
    writer.writes("three\n");
    scene.start();
    scene.arrive(3);
    scene.append("a_{H}.log", "next\n");
    scene.in_the_end(&["one", "two", "three", "next"]);
}

/// `deletePolicy = immediate` is about the file's own name.
#[test]
fn a_file_that_somebody_else_moved_is_not_deleted() {
    let _row =
        hazard(Group::Identity, "file moved by somebody else, deletePolicy = immediate", V010);
    let mut scene = spool("moved-del")
        .source("deletePolicy", "immediate")
        .file("a_{H-1}.log", "one\n", 1)
        .file("b_{H}.log", "two\n", 0);
    let archive = scene.work.dir().join("archive.log");
    // As long as it is the only one it stays; then it is moved before its end.
    scene = scene.source("retireGraceMs", 600).agent_runs();
    scene.vanishes("a_{H-1}.log");
    fs::rename(scene.path("b_{H}.log"), &archive).expect("a move");
    scene.append("c_{H}.log", "three\n");
    scene.log_says("was moved to");
    scene.receipts(2);
    scene.in_the_end(&["one", "two", "three"]);
    assert_eq!(fs::read_to_string(&archive).expect("it is there"), "two\n");
}

#[test]
fn a_file_renamed_to_another_candidate_keeps_its_position() {
    let _row = hazard(Group::Identity, "file renamed to another candidate", V010);
    let mut scene = spool("renamed").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    scene.rename("a_{H}.log", "b_{H}.log");
    scene.append("b_{H}.log", "two\n");
    scene.arrive(2);
    scene.kill();
    scene.rename("b_{H}.log", "c_{H}.log");
    scene.append("c_{H}.log", "three\n");
    scene.start();
    scene.in_the_end(&["one", "two", "three"]);
}

#[test]
fn a_file_that_goes_and_comes_back_is_the_same_file() {
    let _row = hazard(Group::Identity, "file that goes and comes back", V010);
    let mut scene = spool("back").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    scene.rename("a_{H}.log", "away");
    scene.log_says("was moved to");
    scene.rename("away", "a_{H}.log");
    scene.append("a_{H}.log", "two\n");
    scene.arrive(2);
    // So long that it counts as done meanwhile.
    scene.rename("a_{H}.log", "away");
    scene.receipts(1);
    scene.rename("away", "a_{H}.log");
    scene.append("a_{H}.log", "three\n");
    scene.in_the_end(&["one", "two", "three"]);
}

#[test]
fn a_completed_file_that_is_renamed_back_is_not_sent_twice() {
    let _row = hazard(Group::Identity, "finished file renamed back", V010);
    let mut scene = stopped_after_an_hour("again");
    scene.rename("a_{H-1}.log.COMPLETED", "a_{H-1}.log");
    scene.start();
    scene.log_says("copy it");
    scene.receipts(2);
    // A copy is another file.
    fs::copy(scene.path("a_{H-1}.log.COMPLETED"), scene.path("c_{H}.log")).expect("a copy");
    scene.in_the_end(&["one", "two", "one"]);
}

/// Row 11: the original lost 87 lines of 100 and tore one.
#[test]
fn copytruncate_loses_nothing() {
    let _row = hazard(Group::Identity, "copytruncate", V010);
    let (before, mut lines) = numbered("before", 0..100);
    let (after, more) = numbered("after", 0..20);
    let mut scene = spool("truncate").file("a_{H}.log", before, 0).agent_runs();
    scene.arrive(100);
    scene.truncate("a_{H}.log");
    scene.append("a_{H}.log", after);
    lines.extend(more);
    scene.arrive(120);
    scene.log_says("was truncated");
    scene.in_the_end(&lines);
}

#[test]
fn truncated_and_grown_past_the_old_position_is_noticed() {
    let _row = hazard(Group::Identity, "truncated, and grown past the old position", V010);
    let (before, mut lines) = numbered("before", 0..10);
    let (after, more) = numbered("after, and longer", 0..200);
    let mut scene = spool("regrown").file("a_{H}.log", before, 0).agent_runs();
    scene.arrive(10);
    // In the agent's absence, too, and while it lives.
    scene.kill();
    fs::write(scene.path("a_{H}.log"), &after).expect("new content in the same inode");
    lines.extend(more);
    scene.start();
    scene.arrive(210);
    let (third, more) = numbered("third time", 0..400);
    fs::write(scene.path("a_{H}.log"), &third).expect("new content in the same inode");
    lines.extend(more);
    scene.in_the_end(&lines);
}

/// The same length to the byte: the time of modification and the fingerprint tell.
#[test]
fn overwritten_by_as_many_bytes_is_noticed() {
    let _row = hazard(Group::Identity, "overwritten by as many bytes", V010);
    let mut scene = spool("same-size").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    fs::write(scene.path("a_{H}.log"), "two\n").expect("new content in the same inode");
    scene.in_the_end(&["one", "two"]);
}

/// Row 12: the original lost four lines of ten and tore one.
#[test]
fn a_file_replaced_under_its_name_is_a_new_file() {
    let _row = hazard(Group::Identity, "file replaced under its name", V010);
    let mut scene = spool("replaced").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let mut old = scene.writer("a_{H}.log");
    scene.append("new", "two\nthree\n");
    scene.rename("new", "a_{H}.log");
    old.writes("to the old one\n");
    scene.arrive(4);
    scene.kill();
    scene.append("new", "four\n");
    scene.rename("new", "a_{H}.log");
    scene.start();
    scene.in_the_end_in_any_order(&["one", "two", "three", "to the old one", "four"]);
}

#[test]
fn an_inode_that_is_used_again_is_a_new_file() {
    let _row = hazard(Group::Identity, "inode used again", V010);
    let mut scene = spool("reuse").file("a_{H}.log", "same\n", 0).agent_runs();
    scene.arrive(1);
    scene.stop();
    let inode = fs::metadata(scene.path("a_{H}.log")).expect("a file").ino();
    scene.delete("a_{H}.log");
    // Most file systems give the number to the next file; in any case it is another file, of
    // which every byte is the same.
    scene.append("a_{H}.log", "same\nmore\n");
    let again = fs::metadata(scene.path("a_{H}.log")).expect("a file").ino();
    eprintln!("the inode was {inode} and is {again}");
    scene.start();
    scene.in_the_end(&["same", "same", "more"]);
}

#[test]
fn two_hard_links_are_one_file() {
    let _row = hazard(Group::Identity, "two hard links", V010);
    let mut scene =
        spool("links").file("a_{H-1}.log", "one\n", OLD_S).file("z_{H}.log", "live\n", 0);
    fs::hard_link(scene.path("a_{H-1}.log"), scene.path("b_{H-1}.log")).expect("a link");
    fs::hard_link(scene.path("a_{H-1}.log"), scene.path("c_{H}.log")).expect("a link");
    scene.start();
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.becomes("b_{H-1}.log.COMPLETED");
    scene.append("c_{H}.log", "two\n");
    scene.in_the_end_in_any_order(&["one", "live", "two"]);
}

#[test]
fn a_symbolic_link_is_read_through_and_retired_itself() {
    let mut scene = spool("symlink").file("z_{H}.log", "live\n", 0);
    let real = scene.work.dir().join("elsewhere.log");
    fs::write(&real, "one\n").expect("a file elsewhere");
    symlink("../elsewhere.log", scene.path("a_{H-1}.log")).expect("a link");
    scene.start();
    scene.becomes("a_{H-1}.log.COMPLETED");
    assert!(real.exists());
    scene.in_the_end_in_any_order(&["one", "live"]);
}

/// `current.log`-style: the link turns to the next file.
#[test]
fn a_symbolic_link_that_turns_to_another_file_is_a_replacement() {
    let _row = hazard(Group::Identity, "symbolic link that turns to another file", V010);
    let mut scene = spool("turned");
    let file = |n: u32| scene.work.dir().join(format!("real-{n}"));
    fs::write(file(1), "one\n").expect("a file");
    fs::write(file(2), "two\n").expect("a file");
    symlink(file(1), scene.path("a_{H}.log")).expect("a link");
    let (second, link) = (file(2), scene.path("new"));
    scene.start();
    scene.arrive(1);
    symlink(second, link).expect("a link");
    scene.rename("new", "a_{H}.log");
    scene.in_the_end(&["one", "two"]);
}

#[test]
fn a_symbolic_link_is_deleted_and_its_file_is_not() {
    let mut scene =
        spool("symlink-del").source("deletePolicy", "immediate").file("z_{H}.log", "live\n", 0);
    let real = scene.work.dir().join("elsewhere.log");
    fs::write(&real, "one\n").expect("a file elsewhere");
    scene.work.dir();
    symlink("../elsewhere.log", scene.path("a_{H-1}.log")).expect("a link");
    scene.start();
    scene.vanishes("a_{H-1}.log");
    scene.receipts(1);
    scene.in_the_end_in_any_order(&["one", "live"]);
    assert!(real.exists());
    let left = scene.work.listing();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Truncated and written again between two looks, and as long as before: half a line that was
/// waited for became three whole ones.
#[test]
fn half_a_line_that_is_overwritten_by_whole_ones_of_the_same_length_is_looked_at_again() {
    let _row = hazard(Group::Identity, "half a line overwritten by whole ones of its length", V010);
    let clock = ManualClock::new(1_709_164_799_000, 0);
    let (_scene, mut files) = reader("yyyyMMddHH", &clock);
    let path = files.config.spool_dir.join("a_2024022823");
    std::fs::write(&path, "half a").expect("a file");
    files.refresh(true);
    let at = files.choose().expect("something to read");
    files.at_mut(at).exhausted_at = Some(6);
    assert_eq!(files.choose(), None);
    overwrite_later(&path, "a\nb\nc\n");
    assert_eq!(files.choose(), Some(at));
}

/// As long as what was read of it: whoever looks first, and leaves it to others to begin again,
/// must not hide it from them.
#[test]
fn a_file_overwritten_to_its_very_length_is_found_at_every_look() {
    let clock = ManualClock::new(1_709_164_799_000, 0);
    let (_scene, mut files) = reader("yyyyMMddHH", &clock);
    let path = files.config.spool_dir.join("a_2024022823");
    std::fs::write(&path, "old\n").expect("a file");
    files.refresh(true);
    let at = files.choose().expect("something to read");
    let tracked = files.at_mut(at);
    (tracked.read_position, tracked.record.position) = (4, 4);
    tracked.head = HeadBytes::read(&tracked.file, 4).expect("what was read");
    tracked.update_head();
    assert_eq!(tracked.look(0).expect("a look"), Look::Quiet);
    overwrite_later(&path, "new\n");
    for _ in 0..3 {
        assert_eq!(tracked.look(1).expect("a look"), Look::Rewritten);
    }
}

/// With a time that no earlier writing can have had, however coarse the file system's clock.
fn overwrite_later(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    let file = std::fs::File::options().append(true).open(path).expect("a file");
    file.set_modified(later).expect("a time");
}
