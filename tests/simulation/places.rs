//! Files in several directories, of which one is not there or cannot be listed, or more of them than may be open,
//! told step by step.

use std::io::Write;

use flume_ng::clock::Clock;
use flume_ng::config::model::FirstByte;
use flume_ng::pipeline::Pace;
use flume_ng::source::reach;

use crate::cluster::Version;
use crate::hazards::{Story, ours};
use crate::scenario::{Kind, Scenario};
use crate::writers::SECOND;

/// Files that may be open at a time.
const FEW_FILES: usize = 4;

/// Files of two directories are followed, of which the second is not there.
fn followed() -> Story {
    let kind = Kind::Followed { first: FirstByte::Beginning, idle_ms: None };
    Story::begin(Scenario { kind, line_max: 500, ..Scenario::calm(Version::V11) })
}

impl Story {
    /// Nothing can be asked of the second directory from now on.
    fn refuse_second(&self) {
        let second = self.world.writers.spool.join(SECOND);
        self.refuse(move |path| path == second);
    }

    fn truncate(&mut self, at: usize) {
        let wall_ms = self.world.clock.now_ms();
        self.world.writers.truncate(at, wall_ms);
    }

    fn until_all_sent(&mut self, events: usize) {
        self.until(|cluster| cluster.logs.iter().map(ours).sum::<usize>() == events);
    }

    fn receipts(&self) -> usize {
        self.world.book.borrow().receipts.len()
    }

    fn until_receipt(&mut self) {
        for _ in 0..60 {
            if self.receipts() > 0 {
                return;
            }
            self.pass(1_000);
        }
        self.fail("no file is done");
    }
}

/// A file is truncated, and its copy might be in a directory that is followed and was never there.
#[test]
fn a_place_that_is_not_there_holds_up_no_other() {
    let mut story = followed();
    story.write(20);
    story.until_sent(0, 20);
    story.truncate(0);
    story.write(2);
    story.write_another();
    story.until_all_sent(23);
    // What was thrown away is not looked for any more.
    story.until_receipt();
    story.conclude();
}

/// A file is deleted while no agent runs.
#[test]
fn a_place_that_is_not_there_is_none_in_which_a_deleted_file_could_be() {
    let mut story = followed();
    story.write(20);
    story.until_sent(0, 20);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    let path = story.world.path_of(0);
    story.world.writers.delete(0, &path);
    story.start();
    story.until_receipt();
    story.conclude();
}

/// A file is truncated while the other directory cannot be listed.
#[test]
fn a_copy_may_be_in_a_place_as_long_as_it_cannot_be_listed() {
    let mut story = followed();
    story.world.writers.add_second();
    story.write(20);
    story.until_sent(0, 20);
    story.pass(5_000);
    story.refuse_second();
    story.truncate(0);
    story.write(2);
    story.write_another();
    story.until_all_sent(23);
    story.pass(5_000);
    assert_eq!(story.receipts(), 0, "it is looked for");
    story.world.clock.advance(3_600_000);
    story.pass(5_000);
    assert_eq!(story.receipts(), 0, "however long that takes");
    reach::set_mishap(None);
    story.until_receipt();
    story.conclude();
}

/// A file is copied to a directory that cannot be listed from then on, for a while, and truncated. The copy waits until
/// it was asked what it is, and nothing else does.
#[test]
fn what_is_in_a_place_that_cannot_be_listed_is_not_read_before_it_was_asked_whose_copy_it_is() {
    // It can be listed again in each moment between two searches.
    (0..5).for_each(|n| copy_to_second(n * 200));
}

fn copy_to_second(later_ms: u64) {
    let mut story = followed();
    story.world.writers.add_second();
    story.write(20);
    story.until_sent(0, 20);
    story.pass(5_000);
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    let copy = story.world.writers.copy(0, &path, true, wall_ms);
    let to = story.world.writers.spool.join(SECOND).join(&copy);
    std::fs::rename(path.with_file_name(copy), to).expect("a name of our own");
    story.refuse_second();
    story.truncate(0);
    story.write(3);
    story.pass(2_000);
    story.write_another();
    story.until_all_sent(24);
    story.pass(5_000);
    let turn = |story: &mut Story| {
        if let Err(why) = story.world.turn() {
            story.fail(&why);
        }
    };
    turn(&mut story);
    story.world.clock.advance(later_ms);
    reach::set_mishap(None);
    story.world.list_now();
    (0..3).for_each(|_| turn(&mut story));
    story.pass(5_000);
    assert_eq!(story.sent(), 24);
    story.conclude();
}

/// The loop slept for half a second behind each 17 MB.
#[test]
fn the_end_of_a_line_that_is_too_long_is_looked_for_without_a_rest() {
    let mut story = followed();
    story.write(1);
    story.until_sent(0, 1);
    let mut line = vec![b'x'; 60_000_000];
    line.push(b'\n');
    let file = std::fs::File::options().append(true).open(story.world.path_of(0));
    file.and_then(|mut file| file.write_all(&line)).expect("a file of our own");
    let mut rests = 0;
    while story.world.book.borrow().letters.is_empty() {
        match story.world.turn() {
            Ok(Some(Pace::Again)) => {}
            Ok(Some(Pace::Rest(ms))) => {
                rests += usize::from(story.has_told("the most that is held in memory"));
                story.world.clock.advance(ms.max(1));
            }
            other => story.fail(&format!("{other:?}")),
        }
    }
    assert_eq!(rests, 0);
}

/// Each that was gone got a commit of its own: thousands, where a cleaner deletes as many files.
#[test]
fn files_that_are_deleted_together_get_their_receipts_in_one_commit() {
    const FILES: usize = 40;
    let mut story = followed();
    for _ in 1..FILES {
        story.write_another();
        story.world.clock.advance(1);
    }
    story.write(1);
    story.until_all_sent(FILES);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    for at in 0..FILES {
        let path = story.world.path_of(at);
        story.world.writers.delete(at, &path);
    }
    story.start();
    let before = story.world.disk_calls();
    for _ in 0..100 {
        if story.receipts() == FILES {
            break;
        }
        story.pass(100);
    }
    assert_eq!(story.receipts(), FILES);
    let calls = story.world.disk_calls() - before;
    assert!(calls < FILES as u32, "{calls}");
    story.conclude();
}

/// A file is renamed, done, and written to once more, while as many others are followed as may be open.
#[test]
fn a_finished_file_that_has_grown_gets_the_descriptor_of_a_quiet_one() {
    let mut story = followed();
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.open_max = Some(FEW_FILES);
    story.start();
    for _ in 0..FEW_FILES + 2 {
        story.write_another();
        story.pass(1_000);
    }
    story.write(3);
    story.until_all_sent(FEW_FILES + 5);
    let path = story.world.path_of(0);
    story.world.writers.hide(&path);
    story.until_receipt();
    let open = (1..FEW_FILES + 3).filter(|at| story.world.is_tracked(*at)).count();
    assert!(open >= FEW_FILES * 3 / 4, "{open} are open");
    let end_ms = story.world.clock.monotonic_ms() + 2_000;
    story.write(1);
    story.until_all_sent(FEW_FILES + 6);
    let now_ms = story.world.clock.monotonic_ms();
    assert!(now_ms < end_ms, "{} ms too late", now_ms - end_ms);
    story.conclude();
}
