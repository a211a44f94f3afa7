//! Another directory stands in the place of the spool directory, or that cannot be asked, told step by step.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};

use flume_ng::clock::Clock;
use flume_ng::config::model::{DeletePolicy, FirstByte};
use flume_ng::source::reach;

use crate::cluster::Version;
use crate::hazards::{Story, ours};
use crate::rng::Rng;
use crate::scenario::{self, Kind, Scenario};
use crate::world::{End, Renumbering};
use crate::writers::SECOND;

/// Longer than any wait but the hour, ms.
const LONG_MS: u64 = 60_000;

fn calm() -> Scenario {
    Scenario { line_max: 500, ..Scenario::calm(Version::V11) }
}

impl Story {
    /// Lets the agent go on for so long.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end_ms = self.world.clock.monotonic_ms() + ms;
        while self.world.clock.monotonic_ms() < end_ms {
            if let Err(why) = self.world.turns(1) {
                self.fail(&why);
            }
            self.world.clock.advance(500);
        }
    }

    /// Writes lines that are sent and do not arrive, and kills the agent.
    fn leave_in_doubt(&mut self, lines: u64) {
        self.cluster().trouble.request_lost = 100;
        let serial = self.cluster().serial;
        self.write(lines);
        self.until(|cluster| cluster.serial > serial);
        self.world.end(End::Kill);
        self.cluster().trouble.request_lost = 0;
    }

    /// Calls on the names for which this is so fail from now on.
    pub(crate) fn refuse(&self, is_it: impl Fn(&Path) -> bool + 'static) {
        let error = || io::Error::from_raw_os_error(libc::EIO);
        reach::set_mishap(Some(Box::new(move |path| is_it(path).then(error))));
    }

    /// Copies the first file, writes a line behind that and truncates it. Returns where the copy is.
    fn copy_and_truncate(&mut self) -> PathBuf {
        let (path, wall_ms) = (self.world.path_of(0), self.world.clock.now_ms());
        let copy = self.world.writers.copy(0, &path, true, wall_ms);
        let sent = self.sent();
        let world = &mut self.world;
        world.writers.append(0, 1, wall_ms, &mut world.rng, false);
        self.until(|cluster| cluster.logs.iter().map(ours).sum::<usize>() > sent);
        self.pass(5_000);
        self.world.end(End::Kill);
        self.world.writers.truncate(0, wall_ms);
        path.with_file_name(copy)
    }

    /// Starts the agent on a device with another number: what comes is sent in less than the hour for which
    /// another directory is not believed.
    fn go_on_at_once(mut self) {
        self.world.renumbering = Some(Renumbering::Device);
        self.start();
        let sent = self.sent();
        self.write_another();
        self.until(|cluster| cluster.logs.iter().map(ours).sum::<usize>() > sent);
        self.conclude();
    }

    /// Writes a line to another file, of the present hour.
    pub(crate) fn write_another(&mut self) {
        let wall_ms = self.world.clock.now_ms();
        let name = format!("{wall_ms}-{}.log", scenario::hour(&self.world.clock));
        let at = self.world.writers.create(&name, wall_ms);
        scenario::write_lines(&mut self.world, at, 1);
    }

    pub(crate) fn sent(&self) -> usize {
        self.cluster().logs.iter().map(ours).sum()
    }
}

/// A batch is in doubt. Another directory stands there for almost an hour, then another one: neither is
/// believed.
#[test]
fn the_hour_for_which_another_directory_is_not_believed_is_unbroken() {
    let mut story = Story::begin(calm());
    story.write(3);
    story.until_sent(0, 3);
    story.leave_in_doubt(2);
    story.world.writers.take_away(true);
    story.start();
    story.pass(LONG_MS);
    story.world.clock.advance(3_500_000);
    story.world.writers.bring_back();
    story.world.writers.take_away(true);
    story.pass(2 * LONG_MS);
    story.world.writers.bring_back();
    story.conclude();
}

/// A file is replaced by its like while lines of it are in doubt. The agent has seen that it has no name any
/// more, is killed, and finds another directory when it starts.
#[test]
fn what_was_read_of_a_replaced_file_waits_for_the_directory_in_which_it_lives_on() {
    let mut story = Story::begin(calm());
    story.write(20);
    story.until_sent(0, 20);
    story.cluster().trouble.request_lost = 100;
    let serial = story.cluster().serial;
    story.write(2);
    story.until(|cluster| cluster.serial > serial);
    let path = story.world.path_of(0);
    let wall_ms = story.world.clock.now_ms();
    story.world.writers.replace_by_same(0, &path, wall_ms);
    // It is seen, and in the checkpoint with the next try to send what is in doubt.
    story.pass(5_000);
    story.world.end(End::Kill);
    story.cluster().trouble.request_lost = 0;
    story.world.writers.take_away(true);
    story.start();
    story.pass(LONG_MS);
    assert_eq!(story.sent(), 20);
    story.world.writers.bring_back();
    story.write(1);
    story.until_sent(0, 23);
    story.conclude();
}

/// The directory is listed, cannot be asked for a while, and then a file in it is opened.
#[test]
fn a_file_is_known_by_the_directory_that_was_listed_though_that_cannot_be_asked_any_more() {
    let mut story = Story::begin(calm());
    story.cluster().restart(5_000);
    story.pass(1_000);
    let spool = story.world.writers.spool.clone();
    let cannot = move |path: &std::path::Path| {
        (path == spool).then(|| io::Error::from_raw_os_error(libc::EIO))
    };
    reach::set_mishap(Some(Box::new(cannot)));
    story.pass(5_000);
    story.leave_in_doubt(5);
    reach::set_mishap(None);
    story.world.writers.take_away(true);
    story.start();
    story.pass(LONG_MS);
    story.world.writers.bring_back();
    story.conclude();
}

/// A file ends in half a line, and another directory stands in the place of its own for longer than its
/// grace time.
#[test]
fn half_a_line_waits_while_another_directory_stands_in_the_place_of_its_own() {
    let mut story = Story::begin(calm());
    story.write(3);
    story.until_sent(0, 3);
    let world = &mut story.world;
    let wall_ms = world.clock.now_ms();
    world.writers.append_half(0, wall_ms, &mut world.rng, true);
    world.writers.take_away(true);
    story.pass(LONG_MS);
    assert_eq!(story.sent(), 3);
    story.world.writers.bring_back();
    story.pass(5_000);
    story.write(1);
    story.until_sent(0, 5);
    story.conclude();
}

/// Everything is copied while another directory stands there, the agent looks in vain, and is killed.
#[test]
fn no_directory_is_believed_by_the_numbers_of_a_copied_state() {
    let mut story = Story::begin(calm());
    story.write(20);
    story.until_sent(0, 20);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.writers.take_away(true);
    story.world.renumbering = Some(Renumbering::Copy);
    for _ in 0..2 {
        story.start();
        story.pass(5_000);
        story.world.end(End::Kill);
    }
    story.start();
    story.pass(5_000);
    story.world.writers.bring_back();
    story.pass(5_000);
    story.write(2);
    story.until_sent(0, 22);
    story.conclude();
}

/// A file that was replaced by its like while no agent ran is known by its content. After that was opened,
/// and before it was compared, another directory takes the place of its own: what it lacks is not gone.
#[test]
fn a_directory_that_comes_while_a_file_is_compared_is_not_that_of_the_file() {
    let mut story = Story::begin(calm());
    story.write(20);
    let wall_ms = story.world.clock.now_ms();
    let name = format!("f99-{}.log", scenario::hour(&story.world.clock));
    let other = story.world.writers.create(&name, wall_ms);
    scenario::write_lines(&mut story.world, other, 20);
    story.until(|cluster| ours(&cluster.logs[0]) == 40);
    story.pass(5_000);
    story.leave_in_doubt(5);
    let path = story.world.path_of(other);
    story.world.writers.replace_by_same(other, &path, wall_ms);
    let own = story.world.path_of(0);
    let cannot = move |path: &std::path::Path| {
        (path == own).then(|| io::Error::from_raw_os_error(libc::EIO))
    };
    reach::set_mishap(Some(Box::new(cannot)));
    story.start();
    reach::set_mishap(None);
    story.world.writers.take_away(true);
    story.pass(LONG_MS);
    story.world.writers.bring_back();
    story.conclude();
}

/// Some lines of a file were sent, and others are under way for a while.
fn with_late_answers() -> Story {
    let mut story = Story::begin(Scenario { delete: DeletePolicy::Immediate, ..calm() });
    story.write(20);
    story.until_sent(0, 20);
    story.cluster().trouble.answer_late = 100;
    story
}

/// What was read of a file is compared with this one while another directory stands in the place of their own. That is
/// back when the file waits to be deleted elsewhere.
fn goes_on_elsewhere_in(mut story: Story, at: usize) {
    story.world.list_now();
    story.turns_until(|world| world.is_tracked(at));
    assert!(!story.world.is_begun(at));
    story.world.writers.take_away(true);
    story.turns_until(|world| world.is_begun(at));
    story.cluster().trouble.answer_late = 0;
    story.world.writers.bring_back();
    story.world.clock.advance(7_200_000);
    story.conclude();
}

/// It is replaced by its like, and that is opened.
#[test]
fn a_file_that_goes_on_in_its_like_is_in_the_directory_in_which_that_was_opened() {
    let mut story = with_late_answers();
    let serial = story.cluster().serial;
    story.write(2);
    story.until(|cluster| cluster.serial > serial);
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    story.world.writers.replace_by_same(0, &path, wall_ms);
    goes_on_elsewhere_in(story, 0);
}

/// It is truncated, and its copy, which lacks what is under way, is opened.
#[test]
fn a_file_that_goes_on_in_its_copy_is_in_the_directory_in_which_that_was_opened() {
    let mut story = with_late_answers();
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    let copy = story.world.writers.inodes.len();
    story.world.writers.copy(0, &path, true, wall_ms);
    let serial = story.cluster().serial;
    story.write(2);
    story.until(|cluster| cluster.serial > serial);
    story.world.writers.truncate(0, wall_ms);
    // That it was truncated is seen before the directory is another one.
    story.world.list_now();
    for _ in 0..3 {
        if let Err(why) = story.world.turn() {
            story.fail(&why);
        }
    }
    goes_on_elsewhere_in(story, copy);
}

/// A file was truncated while no agent ran, and has grown beyond what was read of it. Its copy lacks the last
/// line and cannot be opened at first.
#[test]
fn a_copy_that_cannot_be_opened_at_a_start_is_waited_for() {
    let mut story = Story::begin(calm());
    story.write(20);
    story.until_sent(0, 20);
    let copy = story.copy_and_truncate();
    story.write(60);
    story.refuse(move |path| path == copy);
    story.start();
    story.pass(5_000);
    reach::set_mishap(None);
    story.conclude();
}

/// What was truncated is looked for in its copy, which cannot be opened, and then by the next run, while
/// another directory stands in the place of its own.
#[test]
fn a_copy_is_looked_for_by_the_next_run_when_its_directory_is_back() {
    let mut story = Story::begin(calm());
    story.write(20);
    story.until_sent(0, 20);
    let copy = story.copy_and_truncate();
    story.refuse(move |path| path == copy);
    story.start();
    story.pass(5_000);
    story.world.end(End::Kill);
    story.world.writers.take_away(true);
    story.start();
    story.pass(5_000);
    reach::set_mishap(None);
    story.pass(5_000);
    story.world.writers.bring_back();
    story.conclude();
}

/// So little was read of a file that nothing but its name tells what its copy is. It is truncated while no agent runs,
/// another directory stands there at the start, and its own is back when that is listed first.
#[test]
fn a_copy_is_not_read_before_its_original_was_looked_for_in_the_directory_that_is_back() {
    let mut story = Story::begin(Scenario { line_max: 20, ..calm() });
    story.write(2);
    story.until_sent(0, 2);
    story.world.end(End::Kill);
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    story.world.writers.copy(0, &path, true, wall_ms);
    // The copy is the older one, and none of the files is of the present hour.
    story.world.clock.advance(7_200_000);
    let wall_ms = story.world.clock.now_ms();
    story.world.writers.truncate(0, wall_ms);
    story.write(30);
    story.world.writers.take_away(true);
    story.start();
    story.world.writers.bring_back();
    story.conclude();
}

/// A file was truncated, which the agent has seen, and its copy cannot be opened. The device gets another number, and the
/// directory cannot be asked at the next start.
#[test]
fn a_copy_waits_for_its_directory_though_the_device_has_another_number() {
    let mut story = Story::begin(calm());
    story.write(20);
    story.until_sent(0, 20);
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    let copy = path.with_file_name(story.world.writers.copy(0, &path, true, wall_ms));
    story.refuse(move |path| path == copy);
    story.world.writers.truncate(0, wall_ms);
    story.write(1);
    story.until_sent(0, 21);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.renumbering = Some(Renumbering::Device);
    let spool = story.world.writers.spool.clone();
    story.refuse(move |path| path == spool);
    story.start();
    reach::set_mishap(None);
    story.conclude();
}

/// Everything is copied, and a file of which nothing was read, and which keeps its name, cannot be opened at first. It
/// is read as a new one, and done, before its record was looked for, and the agent dies.
#[test]
fn a_file_of_a_copied_state_of_which_nothing_was_read_has_one_record() {
    let mut story = Story::begin(calm());
    let (hour, wall_ms) = (scenario::hour(&story.world.clock), story.world.clock.now_ms());
    let name = format!("g-{}{hour}.log", "y".repeat(230));
    let at = story.world.writers.create(&name, wall_ms);
    story.pass(2_000);
    story.write(1);
    story.until_sent(0, 1);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.renumbering = Some(Renumbering::Copy);
    let (own, tracker) = (story.world.path_of(at), story.world.writers.tracker.clone());
    story.refuse(move |path| path == own);
    story.start();
    // Nobody can tell what stands where, and what is in the directory is read.
    story.refuse(move |path| path == tracker);
    scenario::write_lines(&mut story.world, at, 3);
    story.until_sent(0, 4);
    story.world.clock.advance(7_200_000);
    story.write_another();
    story.pass(LONG_MS);
    story.world.end(End::Kill);
    story.start();
    reach::set_mishap(None);
    story.pass(LONG_MS);
    story.conclude();
}

/// A file is moved away and done. It is written to, and another directory stands there when it is read on.
#[test]
fn a_file_that_is_read_on_elsewhere_does_not_wait_for_a_directory() {
    let mut story = Story::begin(calm());
    story.write(3);
    story.until_sent(0, 3);
    let path = story.world.path_of(0);
    story.world.writers.move_out(0, &path);
    story.pass(LONG_MS);
    story.world.end(End::Kill);
    story.world.writers.take_away(true);
    story.write(1);
    story.start();
    story.until(|cluster| ours(&cluster.logs[0]) == 4);
    story.world.writers.bring_back();
    story.conclude();
}

/// A finished file that keeps its name is read on from its receipt, everything is copied, and its record waits where it
/// could not be opened at the start.
#[test]
fn a_file_that_waits_in_a_copied_state_is_not_read_by_its_receipt() {
    let mut story = Story::begin(Scenario { line_max: 50, ..calm() });
    let (hour, wall_ms) = (scenario::hour(&story.world.clock), story.world.clock.now_ms());
    let name = format!("g-{}{hour}.log", "y".repeat(230));
    let at = story.world.writers.create(&name, wall_ms);
    scenario::write_lines(&mut story.world, at, 2);
    story.until_sent(0, 2);
    story.world.clock.advance(7_200_000);
    story.write_another();
    story.pass(LONG_MS);
    scenario::write_lines(&mut story.world, at, 10);
    story.until(|cluster| ours(&cluster.logs[0]) == 13);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.renumbering = Some(Renumbering::Copy);
    let (own, tracker) = (story.world.path_of(at), story.world.writers.tracker.clone());
    story.refuse(move |path| path == own);
    story.start();
    // Nobody can tell what stands where, and what is in the directory is read.
    story.refuse(move |path| path == tracker);
    story.pass(5_000);
    reach::set_mishap(None);
    story.conclude();
}

/// The listing of another directory that stands there for a while is cut short. Then a file of the right one
/// is opened, which was listed before.
#[test]
fn a_listing_that_is_cut_short_tells_of_no_file_that_was_listed_before() {
    let mut story = Story::begin(calm());
    story.cluster().restart(20_000);
    let wall_ms = story.world.clock.now_ms();
    let name = format!("f99-{}.log", scenario::hour(&story.world.clock));
    let at = story.world.writers.create(&name, wall_ms);
    scenario::write_lines(&mut story.world, at, 20);
    story.pass(2_000);
    let spool = story.world.writers.spool.clone();
    story.world.writers.take_away(true);
    // Half of all calls on it fail, so that none of its listings comes to an end.
    (0..30).for_each(|n| std::fs::write(spool.join(format!(".other-{n}")), "").expect("a file"));
    let draws = RefCell::new(Rng::new(1));
    let own = spool.clone();
    story.refuse(move |path| path == own && draws.borrow_mut().chance(50));
    story.pass(8_000);
    story.world.writers.bring_back();
    story.refuse(move |path| path == spool);
    story.pass(10_000);
    reach::set_mishap(None);
    story.until_sent(0, 20);
    let path = story.world.path_of(at);
    story.world.writers.copy(at, &path, false, wall_ms);
    story.world.writers.truncate(at, wall_ms);
    scenario::write_lines(&mut story.world, at, 3);
    story.until_sent(0, 23);
    story.conclude();
}

/// Everything is copied, and a file with new lines is deleted after the start has opened it and before it was
/// compared. These are in doubt, the agent dies, and the device gets another number.
#[test]
fn a_file_that_was_deleted_while_it_was_compared_was_in_the_directory_in_which_it_was_opened() {
    let mut story = Story::begin(calm());
    story.write(20);
    story.until_sent(0, 20);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.write(2);
    story.world.renumbering = Some(Renumbering::Copy);
    story.start();
    let generation = story.world.writers.inodes[0].generation;
    story.world.excuse(generation, 0);
    let path = story.world.path_of(0);
    story.world.writers.delete(0, &path);
    story.cluster().trouble.request_lost = 100;
    let serial = story.cluster().serial;
    story.until(|cluster| cluster.serial > serial);
    story.pass(2_000);
    story.world.end(End::Kill);
    story.cluster().trouble.request_lost = 0;
    story.go_on_at_once();
}

/// Everything is copied, with a file that waits to be deleted elsewhere and has late lines. They are in doubt when
/// somebody deletes it, the agent dies, and the device gets another number.
#[test]
fn a_file_that_waited_to_be_deleted_was_on_the_device_of_the_others() {
    let mut story = Story::begin(Scenario { delete: DeletePolicy::Immediate, ..calm() });
    story.write(20);
    story.until_sent(0, 20);
    story.world.clock.advance(7_200_000);
    story.write_another();
    let spool = story.world.writers.spool.clone();
    let path = story.world.path_of(0);
    story.until(|_| !path.exists());
    let hidden = story.world.path_of(0);
    assert!(hidden.exists() && !hidden.starts_with(&spool));
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.write(2);
    story.world.renumbering = Some(Renumbering::Copy);
    story.cluster().trouble.request_lost = 100;
    story.start();
    let serial = story.cluster().serial;
    story.until(|cluster| cluster.serial > serial);
    let generation = story.world.writers.inodes[0].generation;
    story.world.excuse(generation, 0);
    story.world.writers.delete(0, &hidden);
    story.pass(2_000);
    story.world.end(End::Kill);
    story.cluster().trouble.request_lost = 0;
    story.go_on_at_once();
}

/// A followed file that ends in half a line is moved to another directory that is followed, and that cannot be
/// listed for longer than its grace time.
#[test]
fn half_a_line_waits_while_its_file_is_in_a_directory_that_cannot_be_listed() {
    let kind = Kind::Followed { first: FirstByte::Beginning, idle_ms: None };
    let mut story = Story::begin(Scenario { kind, ..calm() });
    story.world.writers.add_second();
    story.write(3);
    story.until_sent(0, 3);
    let world = &mut story.world;
    let wall_ms = world.clock.now_ms();
    world.writers.append_half(0, wall_ms, &mut world.rng, true);
    let (path, second) = (story.world.path_of(0), story.world.writers.spool.join(SECOND));
    std::fs::rename(path, second.join("f99.log")).expect("a name of our own");
    story.refuse(move |path| path == second);
    story.pass(LONG_MS);
    assert_eq!(story.sent(), 3);
    reach::set_mishap(None);
    story.write(1);
    story.until_sent(0, 5);
    story.conclude();
}

/// A file was truncated and written again while no agent ran, and what was read of it is looked for where nothing
/// can be listed. It is read as a new file, and truncated to less than was read of it first.
#[test]
fn what_is_read_as_a_new_file_is_not_what_waits_as_well() {
    let mut story = Story::begin(Scenario { line_max: 60, ..calm() });
    story.write(20);
    story.until_sent(0, 20);
    story.world.end(End::Kill);
    let wall_ms = story.world.clock.now_ms();
    story.world.writers.truncate(0, wall_ms);
    story.write(60);
    let tracker = story.world.writers.tracker.clone();
    story.refuse(move |path| path == tracker);
    story.start();
    story.until_sent(0, 80);
    story.world.writers.truncate(0, wall_ms);
    story.write(1);
    story.pass(5_000);
    reach::set_mishap(None);
    story.conclude();
}

/// A finished file whose name has no room for the suffix. All is copied twice, and its inode has by chance the number
/// that is in the receipt.
#[test]
fn a_copied_receipt_is_asked_by_its_name_though_its_numbers_are_those_of_the_file() {
    let mut story = Story::begin(Scenario { line_max: 60, ..calm() });
    let wall_ms = story.world.clock.now_ms();
    let name = format!("g-{}2024030101.log", "y".repeat(230));
    let at = story.world.writers.create(&name, wall_ms);
    scenario::write_lines(&mut story.world, at, 1);
    story.write(1);
    story.until(|cluster| ours(&cluster.logs[0]) == 2);
    let receipts = |story: &Story| story.world.book.borrow().receipts.len();
    while receipts(&story) == 0 {
        story.pass(1_000);
    }
    for _ in 0..2 {
        assert_eq!(story.world.stop_in_order(), Ok(true));
        story.world.renumbering = Some(Renumbering::Copy);
        story.start();
    }
    story.conclude();
}

/// A file is moved to the directory below while no agent runs. The next start cannot list the one above at first, and
/// so does not know that there is another.
#[test]
fn what_is_looked_for_may_be_in_a_directory_that_was_not_found_yet() {
    let kind = Kind::Spooled { is_recursive: true, marks_done: true };
    let mut story = Story::begin(Scenario { kind, ..calm() });
    story.world.writers.add_second();
    story.write(20);
    story.until(|cluster| ours(&cluster.logs[0]) == 20);
    story.leave_in_doubt(5);
    let (path, spool) = (story.world.path_of(0), story.world.writers.spool.clone());
    std::fs::rename(path, spool.join(SECOND).join("moved.log")).expect("a name of our own");
    let is_first = Cell::new(true);
    story.refuse(move |path| path == spool && is_first.replace(false));
    story.start();
    story.conclude();
}

/// Another directory stands there when it is listed. The right one is back, and cannot be asked, when a finished file
/// in it is written to.
#[test]
fn a_finished_file_that_is_read_on_is_not_in_a_directory_that_was_listed_without_it() {
    let kind = Kind::Spooled { is_recursive: false, marks_done: false };
    let mut story = Story::begin(Scenario { kind, ..calm() });
    story.write(20);
    story.until_sent(0, 20);
    while story.world.book.borrow().receipts.is_empty() {
        story.pass(1_000);
    }
    story.world.writers.take_away(true);
    story.world.list_now();
    story.world.writers.bring_back();
    let spool = story.world.writers.spool.clone();
    story.refuse(move |path| path == spool);
    story.write(1);
    story.until_sent(0, 21);
    reach::set_mishap(None);
    story.conclude();
}
