//! An optional channel that takes nothing, or not everything: nothing waits for it, and what it misses is said.

use flume_ng::clock::Clock;
use flume_ng::config::model::PartitionBy;

use crate::cluster::{Cluster, Version};
use crate::hazards::{Story, ours};
use crate::scenario::{Division, Scenario};
use crate::world::World;

/// Longer than a story takes.
const FOR_EVER_MS: u64 = 86_400_000;

fn scenario(partition_by: PartitionBy) -> Scenario {
    Scenario {
        division: Division::Optional,
        channels: 2,
        partitions: 2,
        partition_by,
        has_headers: true,
        ..Scenario::calm(Version::V28)
    }
}

fn optional(story: &Story) -> std::cell::RefMut<'_, Cluster> {
    story.world.clusters[1].borrow_mut()
}

/// Our events in all partitions of a cluster.
fn events(world: &World, cluster: usize) -> usize {
    world.clusters[cluster].borrow().logs.iter().map(ours).sum()
}

/// Has the required channel so many events, and does nothing wait?
fn is_done(world: &World, required: usize) -> bool {
    events(world, 0) == required && world.in_doubt() == Some(0)
}

/// What is in doubt there is given up, files that keep to the partition go on without it, and so does everything
/// once it has a leader again.
#[test]
fn a_partition_of_an_optional_channel_that_has_no_leader_holds_nothing_up() {
    for partition_by in [PartitionBy::File, PartitionBy::Transaction] {
        let is_first = |name: &str| crc32fast::hash(name.as_bytes()).is_multiple_of(2);
        let mut story = Story::with_file(scenario(partition_by), is_first);
        story.turns_until(World::is_connected);
        optional(&story).lose_leader(0, FOR_EVER_MS);
        story.write(3);
        story.turns_until(|world| is_done(world, 3));
        assert!(story.has_told("without a leader there: 3 events"));
        story.write(4);
        story.turns_until(|world| is_done(world, 7));
        let goes_without = partition_by == PartitionBy::File;
        assert_eq!(events(&story.world, 1), if goes_without { 0 } else { 4 });
        assert_eq!(story.has_told("4 events went without it so far"), goes_without);
        optional(&story).calm_down();
        story.turns_until(|world| world.is_whole());
        story.write(2);
        story.turns_until(|world| is_done(world, 9));
        assert_eq!(events(&story.world, 1), if goes_without { 2 } else { 6 });
        assert_eq!(story.has_told("is reached again; 4 events went without it"), goes_without);
        story.conclude();
    }
}

/// Brokers that can be reached refuse every batch, or those of one partition. That is waited out once, not after each
/// opening, and it is not said to be reached before it takes what it gets.
#[test]
fn an_optional_channel_that_opens_and_takes_nothing_is_waited_for_once() {
    for short_from in [0, 1] {
        let mut story = Story::begin(scenario(PartitionBy::Transaction));
        story.turns_until(World::is_connected);
        optional(&story).short_from = short_from;
        let mut sent = 0;
        let mut write = |story: &mut Story| {
            let begin_ms = story.world.clock.monotonic_ms();
            sent += 4;
            story.write(4);
            story.turns_until(|world| events(world, 0) == sent);
            story.world.clock.monotonic_ms() - begin_ms
        };
        // Until it is given up for the first time.
        while !story.has_told("is optional and not reached") {
            write(&mut story);
        }
        let mut longest_ms = 0;
        let end_ms = story.world.clock.monotonic_ms() + 120_000;
        while story.world.clock.monotonic_ms() < end_ms {
            longest_ms = longest_ms.max(write(&mut story));
            story.world.clock.advance(500);
        }
        assert!(longest_ms < 5_000, "{longest_ms} ms");
        assert!(!story.has_told("is reached again"), "{short_from}");
        optional(&story).calm_down();
        while !story.has_told("is reached again") {
            write(&mut story);
            story.world.clock.advance(500);
        }
        story.conclude();
    }
}

/// Where a log holds no identities, what is not found is looked for again and again, and each time its brokers answer.
#[test]
fn an_optional_channel_whose_brokers_answer_and_take_nothing_is_given_up() {
    let scenario = Scenario { version: Version::V010, ..scenario(PartitionBy::Transaction) };
    let mut story = Story::begin(scenario);
    story.turns_until(World::is_connected);
    optional(&story).short_from = 0;
    let begin_ms = story.world.clock.monotonic_ms();
    story.write(3);
    while !story.has_told("is optional and not reached") {
        story.pass(500);
        assert!(story.world.clock.monotonic_ms() < begin_ms + 120_000, "it is waited for");
    }
    story.write(4);
    story.turns_until(|world| is_done(world, 7));
    optional(&story).calm_down();
    story.conclude();
}

/// A batch is in doubt in a topic that lines name, and found there; then the broker says nothing more until the channel
/// is given up, so that nothing was left to be given up but the way on which it was. Nobody went on with that, and
/// events went without the topic until the next start.
#[test]
fn a_named_topic_that_is_given_up_on_its_way_is_opened_again() {
    let scenario = Scenario {
        division: Division::OptionalTopics,
        channels: 1,
        has_filter: true,
        has_headers: true,
        ..Scenario::calm(Version::V28)
    };
    let mut story = Story::begin(scenario);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.world.topics_max = None;
    story.start();
    // Lines 100 to 199 are for the third.
    let third = |world: &World| events(world, 2);
    story.write(110);
    story.pass(5_000);
    assert_eq!(story.world.in_doubt(), Some(0));
    story.world.clusters[2].borrow_mut().held_ms = 3_000;
    let before = third(&story.world);
    // Some are filtered.
    while third(&story.world) == before {
        story.write(1);
        story.pass(1);
    }
    assert_eq!(story.world.in_doubt(), Some(1));
    {
        let mut cluster = story.world.clusters[2].borrow_mut();
        cluster.cut();
        cluster.silent_at = Some("ends");
    }
    story.pass(12_000);
    assert_eq!(story.world.in_doubt(), Some(0));
    assert!(!story.has_told("will not be sent again"));
    {
        let mut cluster = story.world.clusters[2].borrow_mut();
        (cluster.held_ms, cluster.silent_at) = (0, None);
    }
    let before = third(&story.world);
    for _ in 0..40 {
        story.write(1);
        story.pass(500);
    }
    let events = third(&story.world) - before;
    assert!(events > 25, "{events}");
    story.conclude();
}
