//! Single hazards, each told step by step: what a seed once found, whatever the seeds draw by now.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use flume_ng::clock::Clock;
use flume_ng::config::model::{FirstByte, PartitionBy};
use flume_ng::log::{self, Level};

use crate::cluster::{Cluster, Fate, Log, Version};
use crate::fuse::Trace;
use crate::scenario::{self, Kind, Scenario, write_lines};
use crate::world::{End, Renumbering, World};
use crate::{Ground, Plant};

/// Longer than the tick by which file systems stamp.
const TICK: Duration = Duration::from_millis(30);

/// Turns in which what is waited for must have come.
const TURNS_MAX: usize = 2_000;

/// A world in which nothing happens but what is told.
pub(crate) struct Story {
    pub(crate) world: World,
    trace: Trace,
    _ground: Ground,
}

impl Story {
    /// An agent that has been started, and a file without lines.
    pub(crate) fn begin(scenario: Scenario) -> Story {
        Story::with_file(scenario, |_| true)
    }

    /// Likewise, with a file of a name that suits.
    pub(crate) fn with_file(scenario: Scenario, suits: impl Fn(&str) -> bool) -> Story {
        let ground = Ground::new();
        log::set_level(Level::Info);
        let trace = Trace::telling();
        let mut world = World::new(1, &ground.0, scenario, Plant::Nothing, trace.clone());
        let wall_ms = world.clock.now_ms();
        let hour = scenario::hour(&world.clock);
        let mut names = (0..).map(|n| format!("f{n}-{hour}.log"));
        let name = names.find(|name| suits(name)).expect("one that suits");
        world.writers.create(&name, wall_ms);
        let mut story = Story { world, trace, _ground: ground };
        story.start();
        story
    }

    /// Does the log say so?
    pub(crate) fn has_told(&self, what: &str) -> bool {
        self.times_told(what) > 0
    }

    pub(crate) fn times_told(&self, what: &str) -> usize {
        self.trace.last(usize::MAX).iter().filter(|line| line.contains(what)).count()
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!("{}\n{why}", self.trace.last(120).join("\n"))
    }

    pub(crate) fn start(&mut self) {
        if let Err(why) = self.world.start() {
            self.fail(&why);
        }
    }

    pub(crate) fn write(&mut self, lines: u64) {
        write_lines(&mut self.world, 0, lines);
    }

    /// Lets the agent go on until this is so of its cluster.
    pub(crate) fn until(&mut self, is_so: impl Fn(&Cluster) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_so(&self.cluster()) {
                return;
            }
            if let Err(why) = self.world.turns(1) {
                self.fail(&why);
            }
        }
        self.fail("what was waited for does not come");
    }

    /// Lets the agent go on until nothing is in doubt and so many of our events stand in a partition.
    pub(crate) fn until_sent(&mut self, partition: usize, events: usize) {
        self.until(|cluster| ours(&cluster.logs[partition]) == events);
        for _ in 0..20 {
            if let Err(why) = self.world.turns(1) {
                self.fail(&why);
            }
        }
    }

    /// Lets the agent go on until this is so.
    pub(crate) fn turns_until(&mut self, is_so: impl Fn(&World) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_so(&self.world) {
                return;
            }
            if let Err(why) = self.world.turns(1) {
                self.fail(&why);
            }
        }
        self.fail("what was waited for does not come");
    }

    /// Until what is changed in a directory from now on gives it another stamp. The kernel's clock makes
    /// them, which does not run with that of the story: before that, no listing is taken for the last word.
    pub(crate) fn until_stamps_are_old(&self) {
        let spool = &self.world.writers.spool;
        let dirs = [spool.clone(), spool.join("two"), spool.join("three")];
        let age =
            |dir| Some(fs::metadata(dir).ok()?.modified().ok()?.elapsed().unwrap_or_default());
        while dirs.iter().filter_map(age).any(|age| age < TICK) {
            std::thread::sleep(TICK / 10);
        }
    }

    pub(crate) fn cluster(&self) -> std::cell::RefMut<'_, Cluster> {
        self.world.clusters[0].borrow_mut()
    }

    /// Everything must be where it belongs in the end.
    pub(crate) fn conclude(mut self) {
        if let Err(why) = self.world.conclude() {
            self.fail(&why);
        }
    }
}

pub(crate) fn ours(log: &Log) -> usize {
    log.stored.iter().filter(|s| s.is_ours).map(|s| s.values.len()).sum()
}

/// A request that arrives when nobody waits for its answer any more.
const LATE: Fate = Fate::Late(400);

/// Brokers that tell no topic id; the topic is made anew, an ack says so, and then it is made anew
/// again. The batch whose ack told of the new log is the mark of that log.
#[test]
fn a_log_that_an_ack_told_of_is_known_when_it_is_made_anew_too() {
    let mut story = Story::begin(Scenario::calm(Version::V09));
    story.write(3);
    story.until_sent(0, 3);
    story.cluster().remake_topic();
    story.write(2);
    story.until_sent(0, 2);
    story.cluster().fates.push_back(LATE);
    story.write(4);
    story.until(|cluster| cluster.fates.is_empty());
    story.cluster().remake_topic();
    // It has grown past the floor when it is looked at.
    story.until(|cluster| ours(&cluster.logs[0]) == 4);
    story.conclude();
}

/// The topic is made anew and the brokers are upgraded to ones that tell topic ids, while a batch is
/// in doubt. That of the new topic is the first that is ever told.
#[test]
fn a_topic_id_that_is_told_for_the_first_time_proves_nothing_of_the_log_before() {
    let mut story = Story::begin(Scenario::calm(Version::V09));
    story.write(5);
    story.until_sent(0, 5);
    story.cluster().fates.push_back(LATE);
    story.write(2);
    story.until(|cluster| cluster.fates.is_empty());
    story.world.end(End::Kill);
    story.cluster().remake_topic();
    story.cluster().version = Version::V28;
    story.start();
    story.conclude();
}

/// Of two batches in doubt in a partition the first is found, and the second is on its way when the
/// agent dies and the topic is made anew. A start that looks for the first one again finds the
/// second alone.
#[test]
fn what_is_found_is_noted_before_what_stands_behind_it_is_sent() {
    let mut story = Story::begin(Scenario { limit: 300, ..Scenario::calm(Version::V09) });
    // Refused, refused as a whole, its first half, its second half.
    story.cluster().fates.extend([Fate::Answered, Fate::Answered, Fate::AnswerLost, LATE]);
    story.write(10);
    story.until(|cluster| cluster.fates.is_empty());
    story.world.end(End::PowerCut);
    story.cluster().remake_topic();
    story.start();
    story.conclude();
}

/// The first lines of a file wait in a partition without a leader; then partitions are added and it
/// goes on in another one. The state is lost, and the topic says that these lines are missing.
#[test]
fn what_the_topic_lacks_does_not_go_behind_later_lines_of_its_file() {
    let scenario = Scenario {
        partitions: 2,
        partition_by: PartitionBy::File,
        loses_tracker: true,
        ..Scenario::calm(Version::V09)
    };
    let moves = |name: &str| {
        let hash = crc32fast::hash(name.as_bytes()) as usize;
        [hash % 2, hash % 3] == [0, 1]
    };
    let mut story = Story::with_file(scenario, moves);
    story.until(|cluster| cluster.connection.is_some());
    story.cluster().lose_leader(0, 3_600_000);
    story.cluster().fates.push_back(Fate::Answered);
    story.write(5);
    story.until(|cluster| cluster.fates.is_empty());
    story.cluster().logs.push(Log::default());
    story.write(6);
    story.until_sent(1, 6);
    story.world.lose_tracker();
    story.conclude();
}

/// Two batches stand above the high watermark; the broker remembers the second only, and expects what
/// comes behind it. The agent is stopped for longer than the minute of patience while it waits for
/// an answer.
#[test]
fn a_minute_in_which_nobody_looked_does_not_prove_that_a_producer_is_forgotten() {
    let mut story = Story::begin(Scenario { replicas: 3, ..Scenario::calm(Version::V011) });
    story.write(3);
    // An ack of the last second permits two batches in a partition.
    story.until(|cluster| cluster.is_answered() && cluster.logs[0].end == 3);
    story.cluster().held_ms = 20_000;
    for end in [6, 9] {
        story.write(3);
        story.until(|cluster| cluster.logs[0].end == end);
        story.world.clock.advance(20);
    }
    story.cluster().held_ms = 0;
    // The first that is sent again is out of sequence, and once more after another look.
    story.until(|cluster| cluster.serial == 5);
    story.world.clock.advance(120_000);
    story.conclude();
}

/// The topic is made anew between two answers that an agent gets when it starts: what its ends are,
/// and whether the batch that was acknowledged last is there. The first batch in the new one grows
/// past the old end, and the agent dies before it notes the ack.
#[test]
fn ends_that_were_told_of_a_log_that_is_no_more_are_not_kept() {
    let mut story = Story::begin(Scenario::calm(Version::V09));
    story.write(3);
    story.until_sent(0, 3);
    story.world.end(End::Kill);
    story.cluster().is_remade_behind_ends = true;
    story.start();
    story.write(5);
    story.until(|cluster| ours(&cluster.logs[0]) == 5);
    story.world.end(End::Kill);
    story.start();
    story.conclude();
}

/// Whole files, in two directories, that keep their names when they are done.
fn spooled() -> Scenario {
    let kind = Kind::Spooled { is_recursive: true, marks_done: true };
    Scenario { kind, ..Scenario::calm(Version::V28) }
}

/// A finished file that keeps its name is renamed, which changes nothing of it; lines come while no agent
/// runs. A marker of that name alone would be Flume's, whose file is left alone.
#[test]
fn a_marked_file_that_was_renamed_is_read_on() {
    let mut story = Story::begin(spooled());
    story.write(3);
    story.until_sent(0, 3);
    story.turns_until(|world| world.is_marked());
    let path = story.world.path_of(0);
    story.world.writers.rename(&path);
    story.turns_until(|world| world.is_marked());
    story.world.end(End::Kill);
    story.write(2);
    story.start();
    story.until_sent(0, 5);
    story.conclude();
}

/// What a record tells of is looked for in a subdirectory before that was listed.
#[test]
fn a_file_of_a_subdirectory_that_was_truncated_is_found_in_its_copy_at_a_start() {
    let mut story = Story::begin(spooled());
    story.world.writers.add_second();
    let wall_ms = story.world.clock.now_ms();
    let at = story.world.writers.create("two/log.log", wall_ms);
    write_lines(&mut story.world, at, 60);
    // Before it is left alone for long enough to be done.
    story.until(|cluster| ours(&cluster.logs[0]) == 60);
    story.world.end(End::Kill);
    let path = story.world.path_of(at);
    story.world.writers.copy(at, &path, true, wall_ms);
    story.world.writers.truncate(at, wall_ms);
    write_lines(&mut story.world, at, 2);
    story.start();
    story.conclude();
}

/// So little was read of a file in the second directory that nothing but its name tells what its copy is. It is
/// copied and truncated; no agent runs then, or it does not look before the next turn. The file and its place.
fn copied_in_second(is_running: bool) -> (Story, usize, PathBuf) {
    let mut story = Story::begin(spooled());
    story.world.writers.add_second();
    let wall_ms = story.world.clock.now_ms();
    let at = story.world.writers.create("two/log.log", wall_ms);
    write_lines(&mut story.world, at, 3);
    story.until(|cluster| ours(&cluster.logs[0]) == 3);
    // What is announced next comes with the position, and before the file is done.
    story.write(1);
    story.until(|cluster| ours(&cluster.logs[0]) == 4);
    if !is_running {
        story.world.end(End::Kill);
    }
    let path = story.world.path_of(at);
    story.world.writers.copy(at, &path, true, wall_ms);
    story.world.writers.truncate(at, wall_ms);
    (story, at, path)
}

/// Its directory is renamed before the agent looks at it again: also one that is running.
#[test]
fn a_copy_is_known_by_its_name_in_a_directory_that_was_renamed() {
    for is_running in [false, true] {
        let (mut story, at, path) = copied_in_second(is_running);
        if is_running {
            story.world.writers.delete(at, &path);
        } else {
            // More than there was: what stands there is none that was cut off only.
            write_lines(&mut story.world, at, 6);
        }
        story.world.writers.rename_second();
        story.until_stamps_are_old();
        if !is_running {
            story.start();
        }
        story.conclude();
    }
}

/// Likewise, and the original is moved to another directory before.
#[test]
fn a_copy_is_known_by_a_name_that_its_original_had_in_a_directory_that_was_renamed() {
    for is_running in [false, true] {
        let (mut story, at, path) = copied_in_second(is_running);
        let moved = story.world.writers.spool.join("moved.log");
        fs::rename(path, moved).expect("a name of our own");
        story.world.writers.rename_second();
        story.until_stamps_are_old();
        if !is_running {
            story.start();
        }
        write_lines(&mut story.world, at, 6);
        story.conclude();
    }
}

/// Lines are in doubt in a partition without a leader when their file is truncated. What it holds then is
/// sent, and finished, before that is settled: the receipt of the first content is the newer one, with the
/// same numbers. Then somebody gives the file its name back.
#[test]
fn a_receipt_of_what_was_truncated_away_is_not_that_of_what_came_after() {
    let mut story = Story::begin(Scenario { partitions: 2, ..Scenario::calm(Version::V28) });
    story.until(|cluster| cluster.connection.is_some());
    story.cluster().trouble.request_lost = 100;
    story.write(3);
    story.until(|cluster| cluster.serial > 0);
    story.cluster().trouble.request_lost = 0;
    story.cluster().lose_leader(0, 3_600_000);
    let wall_ms = story.world.clock.now_ms();
    story.world.excuse(0, 0);
    story.world.writers.truncate(0, wall_ms);
    story.write(4);
    story.until_sent(1, 4);
    scenario::write_last_file(&mut story.world);
    story.world.clock.advance(3_600_000);
    scenario::write_last_file(&mut story.world);
    story.turns_until(|world| world.book.borrow().receipts.len() == 2);
    story.cluster().calm_down();
    story.turns_until(|world| world.book.borrow().receipts.len() == 3);
    let path = story.world.path_of(0);
    story.world.writers.rename(&path);
    story.world.clock.advance(3_600_000);
    story.conclude();
}

/// The last file of a subdirectory is deleted while a batch of it is in doubt, and that is renamed or
/// removed. No other directory stands in its place, and nothing has to be waited for.
#[test]
fn a_subdirectory_that_was_renamed_or_removed_is_gone() {
    for is_removed in [false, true] {
        for is_running in [false, true] {
            let mut story = Story::begin(spooled());
            story.world.writers.add_second();
            let wall_ms = story.world.clock.now_ms();
            let at = story.world.writers.create("two/log.log", wall_ms);
            write_lines(&mut story.world, at, 60);
            story.until(|cluster| ours(&cluster.logs[0]) == 60);
            story.cluster().trouble.request_lost = 100;
            let serial = story.cluster().serial;
            write_lines(&mut story.world, at, 2);
            story.until(|cluster| cluster.serial > serial);
            story.world.end(End::Kill);
            story.cluster().trouble.request_lost = 0;
            let generation = story.world.writers.inodes[at].generation;
            story.world.excuse(generation, 0);
            if is_running {
                // It cannot be opened at first.
                story.world.fail_names(100);
                story.start();
                story.turns_until(|world| world.clock.monotonic_ms() > 10_000);
                story.world.fail_names(0);
            }
            let path = story.world.path_of(at);
            story.world.writers.delete(at, &path);
            match is_removed {
                true => story.world.writers.remove_second(),
                false => story.world.writers.rename_second(),
            }
            story.until_stamps_are_old();
            story.start();
            story.write(1);
            // In less than the hour for which another directory is not believed.
            story.until(|cluster| ours(&cluster.logs[0]) == 61);
            story.conclude();
        }
    }
}

/// A file is replaced by its like while the brokers are away. When they are back that is renamed, behind the
/// listing by which the agent goes on.
#[test]
fn a_file_is_not_done_by_a_listing_that_is_out_of_date() {
    let mut story = Story::begin(Scenario { line_max: 500, ..Scenario::calm(Version::V28) });
    story.write(20);
    story.until_sent(0, 20);
    story.cluster().restart(5_000);
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    story.world.writers.replace_by_same(0, &path, wall_ms);
    story.turns_until(|world| world.clock.monotonic_ms() > 4_000);
    while !story.world.is_connected() {
        story.world.clock.advance(5);
        let _ = story.world.turn();
    }
    story.world.list_now();
    story.world.writers.rename(&path);
    for _ in 0..5 {
        let _ = story.world.turn();
    }
    story.conclude();
}

/// What is done with each line takes long: the brokers do not wait until as much is made of them as may be under
/// way, and have done with the first when the next comes.
#[test]
fn what_takes_long_to_make_goes_out_meanwhile() {
    let sent_at_first = |labour_ms| {
        let scenario = Scenario {
            line_max: 500,
            batch_size: 1_000,
            has_filter: true,
            ..Scenario::calm(Version::V28)
        };
        let mut story = Story::begin(scenario);
        story.world.labour_ms.set(labour_ms);
        story.write(15_000);
        story.until(|cluster| ours(&cluster.logs[0]) > 0);
        let sent = ours(&story.cluster().logs[0]);
        story.world.labour_ms.set(0);
        story.conclude();
        sent
    };
    let (quick, slow) = (sent_at_first(0), sent_at_first(2));
    assert!(slow < quick, "{slow} of {quick}");
}

/// A finished file that keeps its name is truncated before its grace time is over, and what it holds then
/// has to wait for a leader. When the first content is done, that is not done with it.
#[test]
fn what_was_truncated_away_takes_no_name_with_it() {
    let scenario = Scenario { partitions: 2, partition_by: PartitionBy::File, ..spooled() };
    let mut story =
        Story::with_file(scenario, |name| crc32fast::hash(name.as_bytes()).is_multiple_of(2));
    story.write(3);
    story.until_sent(0, 3);
    story.cluster().lose_leader(0, 3_600_000);
    let wall_ms = story.world.clock.now_ms();
    story.world.writers.truncate(0, wall_ms);
    story.write(1);
    let end_ms = story.world.clock.monotonic_ms() + 20_000;
    story.turns_until(|world| world.clock.monotonic_ms() > end_ms);
    story.cluster().calm_down();
    story.until_sent(0, 4);
    story.conclude();
}

/// A batch stands above the high watermark when the topic's format is lowered and its file is renamed: what is
/// looked for by its content from then on has the old name in its headers.
#[test]
fn what_was_sent_is_known_without_an_identity_though_its_file_was_renamed() {
    let scenario = Scenario { replicas: 3, has_headers: true, ..Scenario::calm(Version::V28) };
    let mut story = Story::begin(scenario);
    story.write(3);
    story.until_sent(0, 3);
    story.cluster().held_ms = 10_000;
    story.write(2);
    story.until(|cluster| cluster.logs[0].end == 5);
    story.cluster().held_ms = 0;
    story.cluster().old_format = true;
    let path = story.world.path_of(0);
    story.world.writers.rename(&path);
    story.conclude();
}

/// A file is replaced by its like. The new one is opened, and moved out of the directory before it was compared.
/// Then everything is copied.
#[test]
fn what_took_a_files_place_and_was_moved_away_is_known_in_a_copied_state() {
    let mut story = Story::begin(Scenario { line_max: 500, ..Scenario::calm(Version::V28) });
    story.write(20);
    story.until_sent(0, 20);
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    story.world.writers.replace_by_same(0, &path, wall_ms);
    story.write(2);
    story.turns_until(|world| world.is_tracked(0));
    story.world.writers.move_out(0, &path);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.renumbering = Some(Renumbering::Copy);
    story.start();
    story.until_sent(0, 22);
    story.conclude();
}

/// A finished file whose name has no room for the suffix is opened again by its receipt at a start, and renamed
/// by somebody. Then everything is copied.
#[test]
fn a_finished_file_that_was_renamed_is_known_by_its_new_name_in_a_copied_state() {
    let mut story = Story::begin(Scenario { line_max: 500, ..Scenario::calm(Version::V28) });
    let wall_ms = story.world.clock.now_ms();
    let name = format!("g-{}2024030101.log", "y".repeat(230));
    let at = story.world.writers.create(&name, wall_ms);
    write_lines(&mut story.world, at, 20);
    story.write(1);
    story.turns_until(|world| world.book.borrow().receipts.len() == 1);
    story.world.end(End::Kill);
    // What is under way lets it wait for its end.
    story.write(1);
    story.start();
    story.turns_until(|world| world.is_tracked(at));
    let path = story.world.path_of(at);
    story.world.writers.rename(&path);
    for _ in 0..50 {
        let _ = story.world.turn();
        story.world.clock.advance(100);
    }
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.renumbering = Some(Renumbering::Copy);
    story.start();
    story.conclude();
}

/// The same of a subdirectory that was in another one, which is left.
#[test]
fn a_subdirectory_that_was_removed_from_one_that_is_left_is_gone() {
    let mut story = Story::begin(spooled());
    story.world.writers.add_second();
    let deep = story.world.writers.spool.join("two/deep");
    fs::create_dir(&deep).expect("a directory of our own");
    let wall_ms = story.world.clock.now_ms();
    let at = story.world.writers.create("two/deep/log.log", wall_ms);
    write_lines(&mut story.world, at, 60);
    story.until(|cluster| ours(&cluster.logs[0]) == 60);
    story.cluster().trouble.request_lost = 100;
    let serial = story.cluster().serial;
    write_lines(&mut story.world, at, 2);
    story.until(|cluster| cluster.serial > serial);
    story.world.end(End::Kill);
    story.cluster().trouble.request_lost = 0;
    let generation = story.world.writers.inodes[at].generation;
    story.world.excuse(generation, 0);
    story.world.writers.delete(at, &deep.join("log.log"));
    fs::remove_dir(&deep).expect("it is empty");
    story.until_stamps_are_old();
    story.start();
    story.write(1);
    // In less than the hour for which another directory is not believed.
    story.until(|cluster| ours(&cluster.logs[0]) == 61);
    story.conclude();
}

/// A finished file whose name has no room for the suffix is renamed while no agent runs, and the device gets
/// another number. So little was read of it that its inode alone tells what it is, or more.
#[test]
fn a_finished_file_that_was_renamed_is_known_on_another_device() {
    for lines in [2, 20] {
        let mut story = Story::begin(Scenario { line_max: 500, ..Scenario::calm(Version::V28) });
        let wall_ms = story.world.clock.now_ms();
        let name = format!("g-{}2024030101.log", "y".repeat(230));
        let at = story.world.writers.create(&name, wall_ms);
        write_lines(&mut story.world, at, lines);
        story.write(1);
        story.turns_until(|world| world.book.borrow().receipts.len() == 1);
        assert_eq!(story.world.stop_in_order(), Ok(true));
        let path = story.world.path_of(at);
        story.world.writers.rename(&path);
        story.world.renumbering = Some(Renumbering::Device);
        story.start();
        story.write(1);
        story.until_sent(0, lines as usize + 2);
        story.conclude();
    }
}

/// An event goes to the dead letters, the agent dies at any call, and its file is renamed: with the shorter
/// name in its headers the event would be taken now.
#[test]
fn what_lies_among_the_dead_letters_is_not_sent_though_it_fits_by_now() {
    for calls in 1.. {
        // Less than with the name that it has, more than with the one that it gets.
        let limit = 102;
        let mut story =
            Story::begin(Scenario { limit, has_headers: true, ..Scenario::calm(Version::V28) });
        story.until(|cluster| cluster.connection.is_some());
        story.write(1);
        story.world.fuse.light(calls);
        let is_buried = |world: &World| !world.book.borrow().letters.is_empty();
        story.turns_until(|world| !world.is_alive() || is_buried(world));
        for _ in 0..20 {
            let _ = story.world.turn();
        }
        let (is_over, is_letter) = (story.world.is_alive(), is_buried(&story.world));
        story.world.fuse.put_out();
        if !is_over {
            let path = story.world.path_of(0);
            story.world.writers.rename(&path);
            story.start();
        }
        story.conclude();
        if is_over {
            assert!(is_letter && calls > 10);
            return;
        }
    }
}

/// A followed file is moved out of its directory and is read on there. The agent dies, and the file is put back.
#[test]
fn a_file_that_was_put_back_is_not_moved_away_again() {
    let kind = Kind::Followed { first: FirstByte::Beginning, idle_ms: None };
    let calm = Scenario::calm(Version::V28);
    let mut story = Story::begin(Scenario { kind, grace_ms: 60_000, ..calm });
    story.write(3);
    story.until_sent(0, 3);
    let path = story.world.path_of(0);
    let aside = story.world.writers.spool.with_file_name("aside");
    story.until_stamps_are_old();
    fs::rename(&path, &aside).expect("a name of our own");
    story.world.list_now();
    story.write(1);
    story.until_sent(0, 4);
    story.world.end(End::Kill);
    fs::rename(&aside, &path).expect("a name of our own");
    story.start();
    story.write(2);
    story.until_sent(0, 6);
    assert!(path.exists(), "moved away again");
    story.conclude();
}

/// Lines are read while a file is copied, and no channel is open when it is truncated. Nobody looks at it before
/// it was renamed twice.
#[test]
fn a_copy_is_known_by_the_name_that_its_original_had_when_it_was_made() {
    let mut story = Story::begin(Scenario { line_max: 500, ..Scenario::calm(Version::V28) });
    story.write(20);
    story.until_sent(0, 20);
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    story.world.writers.copy(0, &path, true, wall_ms);
    story.write(3);
    story.until_sent(0, 23);
    story.cluster().lose_leader(0, 3_600_000);
    story.cluster().cut();
    let _ = story.world.turns(20);
    story.world.writers.truncate(0, wall_ms);
    story.write(2);
    for _ in 0..2 {
        story.until_stamps_are_old();
        let path = story.world.path_of(0);
        story.world.writers.rename(&path);
        let path = story.world.path_of(0);
        story.turns_until(|world| world.is_known_as(0, &path));
    }
    story.cluster().calm_down();
    story.conclude();
}
