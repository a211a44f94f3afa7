//! Whole files, told step by step: most keep their names when they are finished, since these have no room for the suffix.

use flume_ng::clock::Clock;
use flume_ng::config::model::DeletePolicy;

use crate::cluster::Version;
use crate::hazards::{Story, ours};
use crate::scenario::{Kind, Scenario, write_lines};
use crate::world::{End, Renumbering};

/// Whole files that have no grace time.
fn at_once() -> Scenario {
    let kind = Kind::Spooled { is_recursive: false, marks_done: false };
    let delete = DeletePolicy::Never;
    Scenario { kind, delete, grace_ms: 0, line_max: 60, ..Scenario::calm(Version::V28) }
}

/// A name that has no room for a suffix, but for the number of a copy.
fn long_name() -> String {
    format!("g-{}2024030101.log", "y".repeat(230))
}

/// Copied, written to, and truncated, all before the copy is listed.
#[test]
fn a_file_that_keeps_its_name_is_not_done_while_it_is_copied() {
    let mut story = Story::begin(at_once());
    let wall_ms = story.world.clock.now_ms();
    let at = story.world.writers.create(&long_name(), wall_ms);
    write_lines(&mut story.world, at, 20);
    story.until(|cluster| ours(&cluster.logs[0]) == 20);
    let path = story.world.path_of(at);
    story.world.writers.copy(at, &path, true, wall_ms);
    write_lines(&mut story.world, at, 1);
    for _ in 0..50 {
        if let Err(why) = story.world.turn() {
            story.fail(&why);
        }
        story.world.clock.advance(1);
    }
    assert_eq!(ours(&story.cluster().logs[0]), 21);
    story.world.writers.truncate(at, wall_ms);
    write_lines(&mut story.world, at, 2);
    story.conclude();
}

/// It is listed before the brokers answer, and then replaced by a file that was left alone for long enough.
#[test]
fn a_file_that_was_replaced_since_the_listing_is_opened_once() {
    let mut story = Story::begin(at_once());
    let left_alone_ms = story.world.clock.now_ms() - 10_000;
    let mut at = story.world.writers.create(&long_name(), left_alone_ms);
    for _ in 0..5 {
        story.world.end(End::Kill);
        story.start();
        if let Err(why) = story.world.turn() {
            story.fail(&why);
        }
        let world = &mut story.world;
        let generation = world.writers.inodes[at].generation;
        world.excuse(generation, 0);
        world.writers.inodes[at].is_linked = false;
        at = world.writers.replace(&long_name(), left_alone_ms, &mut world.rng);
        let end_ms = world.clock.monotonic_ms() + 1_000;
        story.turns_until(|world| world.clock.monotonic_ms() >= end_ms);
    }
    story.conclude();
}

/// A file of so many lines is done and keeps its name; where it is among the files.
fn done_under_its_name(lines: u64, marks_done: bool) -> (Story, usize) {
    let kind = Kind::Spooled { is_recursive: false, marks_done };
    let mut story = Story::begin(Scenario { kind, ..at_once() });
    let wall_ms = story.world.clock.now_ms();
    let at = story.world.writers.create(&long_name(), wall_ms);
    write_lines(&mut story.world, at, lines);
    story.until(move |cluster| ours(&cluster.logs[0]) as u64 == lines);
    let end_ms = story.world.clock.monotonic_ms() + 10_000;
    story.turns_until(|world| world.clock.monotonic_ms() >= end_ms);
    (story, at)
}

/// It is written to and read on from its receipt, the agent dies, and the next one has opened it when another file with
/// the same bytes takes its name: it looks at that as a finished one that has grown.
#[test]
fn what_replaces_a_file_that_was_read_on_is_not_read_by_the_receipt() {
    let (mut story, at) = done_under_its_name(20, false);
    write_lines(&mut story.world, at, 1);
    story.until(|cluster| ours(&cluster.logs[0]) == 21);
    story.world.end(End::Kill);
    story.start();
    let path = story.world.path_of(at);
    let wall_ms = story.world.clock.now_ms();
    story.world.writers.replace_by_same(at, &path, wall_ms);
    write_lines(&mut story.world, at, 4);
    story.conclude();
}

/// Everything is copied after it was finished, and the device gets another number before anything was written down.
#[test]
fn a_receipt_is_a_copied_one_until_the_state_is_written() {
    let (mut story, _) = done_under_its_name(1, false);
    for renumbering in [Renumbering::Copy, Renumbering::Device] {
        assert_eq!(story.world.stop_in_order(), Ok(true));
        story.world.renumbering = Some(renumbering);
        story.start();
    }
    story.conclude();
}

/// A file ends in half a line, and another one with the same bytes takes its place in the moment in which it was left
/// alone for long enough, before the next listing. The line goes on there.
#[test]
fn half_a_line_is_not_the_last_one_of_a_file_that_was_replaced_since_the_listing() {
    for delete in [DeletePolicy::Never, DeletePolicy::Immediate] {
        let mut story = Story::begin(Scenario { delete, ..at_once() });
        story.write(20);
        story.until(|cluster| ours(&cluster.logs[0]) == 20);
        let world = &mut story.world;
        let wall_ms = world.clock.now_ms();
        world.writers.append_half(0, wall_ms, &mut world.rng, true);
        if let Err(why) = world.turn() {
            story.fail(&why);
        }
        let world = &mut story.world;
        world.clock.advance(990);
        world.list_now();
        world.clock.advance(20);
        let (path, wall_ms) = (world.path_of(0), world.clock.now_ms());
        world.writers.replace_by_same(0, &path, wall_ms);
        if let Err(why) = world.turn() {
            story.fail(&why);
        }
        write_lines(&mut story.world, 0, 2);
        story.until(|cluster| ours(&cluster.logs[0]) == 23);
        story.conclude();
    }
}

/// Everything is copied after it was finished; an agent has seen it under its name there, and then it is renamed.
#[test]
fn a_finished_file_of_a_copied_state_is_known_under_another_name_once_it_was_seen() {
    for (marks_done, lines) in [(false, 3), (false, 20), (true, 3), (true, 20)] {
        let (mut story, at) = done_under_its_name(lines, marks_done);
        assert_eq!(story.world.stop_in_order(), Ok(true));
        story.world.renumbering = Some(Renumbering::Copy);
        story.start();
        let end_ms = story.world.clock.monotonic_ms() + 10_000;
        story.turns_until(|world| world.clock.monotonic_ms() >= end_ms);
        let path = story.world.path_of(at);
        story.world.writers.rename(&path);
        story.conclude();
    }
}

/// Likewise, but no broker answers before it is renamed. The agent is killed before, or goes on.
#[test]
fn a_finished_file_of_a_copied_state_is_seen_though_no_broker_answers() {
    let kinds = [(false, 3), (false, 20), (true, 3), (true, 20)];
    for ((marks_done, lines), is_killed) in kinds.into_iter().flat_map(|k| [(k, false), (k, true)])
    {
        let (mut story, at) = done_under_its_name(lines, marks_done);
        assert_eq!(story.world.stop_in_order(), Ok(true));
        story.cluster().restart(86_400_000);
        story.world.renumbering = Some(Renumbering::Copy);
        story.start();
        let end_ms = story.world.clock.monotonic_ms() + 5_000;
        story.turns_until(|world| world.clock.monotonic_ms() >= end_ms);
        if is_killed {
            story.world.end(End::Kill);
        }
        let path = story.world.path_of(at);
        story.world.writers.rename(&path);
        story.start();
        let end_ms = story.world.clock.monotonic_ms() + 5_000;
        story.turns_until(|world| world.clock.monotonic_ms() >= end_ms);
        story.cluster().calm_down();
        story.conclude();
    }
}
