//! Lines that name a partition which the topic does not have, or did not have when the brokers were asked last.

use flume_ng::clock::Clock;

use crate::cluster::{Log, Version};
use crate::hazards::{Story, ours};
use crate::scenario::{Division, Scenario};

/// Brokers that are asked how the topic is once in ten minutes.
fn story() -> Story {
    let mut story = Story::begin(Scenario {
        division: Division::Partitions,
        partitions: 2,
        has_headers: true,
        has_filter: true,
        metadata_ms: 600_000,
        ..Scenario::calm(Version::V28)
    });
    story.turns_until(|world| world.is_connected());
    story
}

fn write(story: &mut Story, at: usize, lines: &[&str]) {
    let world = &mut story.world;
    let wall_ms = world.clock.now_ms();
    world.writers.now_ms = world.clock.monotonic_ms();
    world.writers.append_equal(at, lines, wall_ms);
    world.notice(at);
}

fn letters(story: &Story) -> usize {
    story.world.book.borrow().letters.len()
}

/// A line that names it is written before the brokers are asked how the topic is.
#[test]
fn a_line_that_names_a_partition_that_was_added_a_moment_ago_is_sent_there() {
    let mut story = story();
    let begin_ms = story.world.clock.monotonic_ms();
    story.cluster().logs.push(Log::default());
    write(&mut story, 0, &["g1n0:before", "g1n2:new", "g1n1:behind"]);
    story.until(|cluster| cluster.logs.iter().map(ours).eq([1, 1, 1]));
    assert!(story.world.clock.monotonic_ms() - begin_ms < 10_000);
    assert_eq!(letters(&story), 0);
}

/// The brokers say so for a minute, in which other files go on; and of a thousand such lines not each waits for one.
#[test]
fn lines_that_name_a_partition_that_is_not_there_go_to_the_dead_letters_after_one_minute() {
    let mut story = story();
    let begin_ms = story.world.clock.monotonic_ms();
    let wrong: Vec<String> = (0..100).map(|n| format!("g{n}n{}:wrong", 4 + n % 5)).collect();
    write(&mut story, 0, &wrong.iter().map(String::as_str).collect::<Vec<_>>());
    write(&mut story, 0, &["g1nx:none", "g1n1:right"]);
    story.turns_until(|world| world.clock.monotonic_ms() > begin_ms + 5_000);
    assert_eq!(letters(&story), 0);
    let wall_ms = story.world.clock.now_ms();
    let at = story.world.writers.create("g-2024030101.log", wall_ms);
    write(&mut story, at, &["g1n0:another"]);
    story.until(|cluster| ours(&cluster.logs[0]) == 1);
    assert!(story.world.clock.monotonic_ms() - begin_ms < 30_000);
    story.turns_until(|world| world.book.borrow().letters.len() == 100);
    // What names none at all goes to any.
    story.until(|cluster| cluster.logs.iter().map(ours).sum::<usize>() == 3);
    let took_ms = story.world.clock.monotonic_ms() - begin_ms;
    assert!((60_000..90_000).contains(&took_ms), "{took_ms} ms");
    // One that is added later is not taken for missing.
    story.cluster().logs.push(Log::default());
    write(&mut story, 0, &["g1n2:new"]);
    story.until(|cluster| ours(&cluster.logs[2]) == 1);
    assert_eq!(letters(&story), 100);
}
