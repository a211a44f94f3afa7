//! A state that was copied, or put back from a backup, told step by step: the agent that wrote it may be alive.

use flume_ng::clock::Clock;

use crate::cluster::Version;
use crate::hazards::{Story, ours};
use crate::scenario::{Division, Scenario};
use crate::world::{End, Renumbering, World};

/// Longer than a story takes.
const FOR_EVER_MS: u64 = 86_400_000;

/// Two channels; a line is in both topics, and three more are announced and refused. Then everything is copied, and the
/// brokers of the channels from this one on do not answer.
fn copied_in_doubt(first_down: usize) -> Story {
    copied_in_doubt_in(Scenario { channels: 2, ..Scenario::calm(Version::V28) }, first_down)
}

fn copied_in_doubt_in(scenario: Scenario, first_down: usize) -> Story {
    let mut story = Story::begin(scenario);
    story.write(1);
    story.until_sent(0, 1);
    let of_all = |story: &Story, short_from: usize| {
        story.world.clusters.iter().for_each(|c| c.borrow_mut().short_from = short_from);
    };
    of_all(&story, 0);
    story.write(3);
    let is_quiet = |world: &World| world.clusters.iter().all(|c| c.borrow().is_network_empty());
    story.turns_until(|world| world.in_doubt() == Some(2) && is_quiet(world));
    story.world.end(End::Kill);
    of_all(&story, usize::MAX);
    for cluster in &story.world.clusters[first_down..] {
        cluster.borrow_mut().restart(FOR_EVER_MS);
    }
    story.world.renumbering = Some(Renumbering::Copy);
    story.start();
    story
}

/// What was in doubt when it was copied went out under an identity of this agent.
fn arrives_under_another_identity(mut story: Story) {
    story.world.clusters.iter().for_each(|cluster| cluster.borrow_mut().calm_down());
    let all =
        |cluster: usize| move |world: &World| ours(&world.clusters[cluster].borrow().logs[0]) == 4;
    story.turns_until(all(0));
    story.turns_until(all(1));
    for cluster in &story.world.clusters {
        let cluster = cluster.borrow();
        let ids: Vec<i64> = cluster.logs[0].stored.iter().map(|s| s.producer_id).collect();
        assert!(ids[1..].iter().all(|id| *id != ids[0]), "{}: {ids:?}", cluster.name);
    }
    story.conclude();
}

/// One channel has got identities of its own, which are written down; the agent is killed before the other was asked.
#[test]
fn what_is_in_doubt_in_a_copied_state_is_another_agents_after_a_kill_too() {
    let mut story = copied_in_doubt(1);
    story.until_sent(0, 4);
    story.world.end(End::Kill);
    story.start();
    assert!(story.has_told("1 batch in doubt since then"));
    // And once more.
    story.world.end(End::Kill);
    story.start();
    arrives_under_another_identity(story);
}

/// No broker was asked; the agent was stopped, and wrote down what it knew of its files.
#[test]
fn what_is_in_doubt_in_a_copied_state_is_another_agents_after_a_stop_too() {
    let mut story = copied_in_doubt(0);
    assert_eq!(story.world.stop_in_order(), Ok(true));
    story.start();
    assert!(story.has_told("2 batches in doubt since then"));
    arrives_under_another_identity(story);
}

/// What the original may have sent is waited for, and its brokers answer meanwhile.
#[test]
fn an_optional_channel_of_a_copied_state_is_not_given_up_while_late_copies_are_waited_for() {
    let scenario = Scenario {
        channels: 2,
        division: Division::Optional,
        has_headers: true,
        ..Scenario::calm(Version::V28)
    };
    let story = copied_in_doubt_in(scenario, 2);
    arrives_under_another_identity(story);
}

/// What the original has sent to the cluster before cannot come to that which answers now.
#[test]
fn what_is_in_doubt_in_a_copied_state_is_sent_to_another_cluster_at_once() {
    let mut story = Story::begin(Scenario::calm(Version::V28));
    story.write(1);
    story.until_sent(0, 1);
    story.cluster().short_from = 0;
    story.write(3);
    story.turns_until(|world| world.in_doubt() == Some(1));
    story.world.end(End::Kill);
    story.cluster().replace(0);
    story.cluster().short_from = usize::MAX;
    story.world.renumbering = Some(Renumbering::Copy);
    story.start();
    let begun_ms = story.world.clock.monotonic_ms();
    story.until(|cluster| ours(&cluster.logs[0]) == 3);
    let ms = story.world.clock.monotonic_ms() - begun_ms;
    assert!(ms < 5_000, "{ms} ms");
    story.conclude();
}

/// Little was read of a file, so that its name alone tells what it is where everything was copied. An agent has found
/// it by that, but no broker answers; it is killed, and the file is renamed.
#[test]
fn what_was_found_out_about_a_file_is_written_before_a_broker_answers() {
    let mut story = Story::begin(Scenario::calm(Version::V28));
    story.write(3);
    story.until_sent(0, 3);
    story.world.end(End::Kill);
    story.cluster().restart(FOR_EVER_MS);
    story.world.renumbering = Some(Renumbering::Copy);
    story.start();
    goes_on_for(&mut story, 3_000);
    story.world.end(End::Kill);
    let path = story.world.path_of(0);
    story.world.writers.rename(&path);
    story.start();
    story.write(1);
    goes_on_for(&mut story, 3_000);
    story.cluster().calm_down();
    story.conclude();
}

fn goes_on_for(story: &mut Story, ms: u64) {
    let end_ms = story.world.clock.monotonic_ms() + ms;
    story.turns_until(|world| world.clock.monotonic_ms() >= end_ms);
}
