//! The address of a cluster, or the name of a topic, leads elsewhere for a while, with something in doubt.

use flume_ng::checkpoint::record::Record;
use flume_ng::clock::Clock;

use crate::Plant;
use crate::cluster::{Cluster, Log, Stored, Trouble, Version};
use crate::hazards::{Story, ours};
use crate::scenario::Scenario;
use crate::world::{End, Renumbering};

/// The state as the plant would have it.
pub fn as_planted(mut record: Record, plant: Plant) -> Record {
    if plant == Plant::ForgetFormerLogs {
        record.channels.iter_mut().for_each(|channel| channel.former.clear());
        record.batches.iter_mut().for_each(|batch| batch.traces.clear());
    }
    record
}

const VERSIONS: [Version; 5] =
    [Version::V09, Version::V010, Version::V011, Version::V11, Version::V28];
const LEFT: &str = "positions are kept, and 1 batch in doubt is sent here";
const RETURNED: &str = "answers again, in which 1 batch in doubt may be since before";

/// Two lines are in the topic, and the agent does not hear of it.
fn landed(version: Version) -> Story {
    landed_in(Scenario::calm(version))
}

fn landed_in(scenario: Scenario) -> Story {
    let mut story = begin(scenario);
    {
        let mut cluster = story.cluster();
        (cluster.trouble.answer_lost, cluster.trouble.question_fails) = (100, 100);
    }
    story.write(2);
    story.until(|cluster| in_all(cluster) == 5);
    story
}

/// Three lines have arrived.
fn begin(scenario: Scenario) -> Story {
    let mut story = Story::begin(Scenario { metadata_ms: 300_000, ..scenario });
    story.write(3);
    until_all_sent(&mut story, 3);
    story
}

/// Our events in all partitions.
fn in_all(cluster: &Cluster) -> usize {
    cluster.logs.iter().map(ours).sum()
}

fn until_all_sent(story: &mut Story, events: usize) {
    story.until(|cluster| in_all(cluster) == events);
    if let Err(why) = story.world.turns(20) {
        story.fail(&why);
    }
}

/// Another cluster is there, which takes nothing.
fn replace(story: &mut Story) {
    let mut cluster = story.cluster();
    cluster.replace(0);
    cluster.short_from = 0;
    cluster.trouble = Trouble::default();
}

/// That which was there first.
fn go_back(story: &mut Story) {
    let mut cluster = story.cluster();
    cluster.stand_again(0);
    cluster.short_from = usize::MAX;
}

fn until_told(story: &mut Story, what: &str, times: usize) {
    for _ in 0..2_000 {
        if story.times_told(what) >= times {
            return;
        }
        if let Err(why) = story.world.turns(1) {
            story.fail(&why);
        }
    }
    story.fail(&format!("not told: {what}"));
}

fn restart(story: &mut Story) {
    story.world.end(End::PowerCut);
    story.start();
}

#[test]
fn what_came_to_a_cluster_is_found_there_when_the_address_leads_there_again() {
    for (version, is_killed) in VERSIONS.iter().flat_map(|v| [(*v, false), (*v, true)]) {
        let mut story = landed(version);
        replace(&mut story);
        until_told(&mut story, LEFT, 1);
        if is_killed {
            restart(&mut story);
        }
        go_back(&mut story);
        until_told(&mut story, RETURNED, 1);
        story.until_sent(0, 5);
        story.write(4);
        story.until_sent(0, 9);
        story.conclude();
    }
}

/// What the tests here would miss if nothing were remembered.
#[test]
fn a_state_that_does_not_say_where_else_a_batch_may_be_repeats_it() {
    for version in VERSIONS {
        let mut story = landed(version);
        replace(&mut story);
        until_told(&mut story, LEFT, 1);
        story.world.plant = Plant::ForgetFormerLogs;
        restart(&mut story);
        go_back(&mut story);
        let outcome = story.world.conclude();
        let is_found = outcome.as_ref().is_err_and(|why| why.contains("2 times"));
        assert!(is_found, "{version:?}: {outcome:?}");
    }
}

#[test]
fn a_cluster_is_known_again_behind_two_others() {
    for version in VERSIONS {
        let mut story = landed(version);
        for times in 1..=2 {
            replace(&mut story);
            until_told(&mut story, LEFT, times);
            restart(&mut story);
        }
        go_back(&mut story);
        until_told(&mut story, RETURNED, 1);
        story.until_sent(0, 5);
        story.conclude();
    }
}

/// More of them than are remembered: the log says of which that is so.
#[test]
fn of_too_many_clusters_the_first_is_forgotten() {
    let mut story = landed(Version::V28);
    for times in 1..=5 {
        replace(&mut story);
        until_told(&mut story, LEFT, times);
    }
    assert!(
        story.has_told(
            "of topic t0 (cluster C0), the first of them, nothing is remembered any more"
        )
    );
    // The second one has nothing.
    story.cluster().stand_again(1);
    story.cluster().short_from = usize::MAX;
    until_told(&mut story, RETURNED, 1);
    story.conclude();
}

/// What the other one has acknowledged is done, and what was announced there first cannot be here.
#[test]
fn what_was_announced_elsewhere_is_sent_when_the_address_leads_back() {
    for version in VERSIONS {
        let mut story = landed(version);
        replace(&mut story);
        story.cluster().short_from = usize::MAX;
        story.until_sent(0, 2);
        story.cluster().short_from = 0;
        story.write(4);
        let serial = story.cluster().serial;
        story.until(|cluster| cluster.serial > serial || cluster.version == Version::V09);
        let _ = story.world.turns(20);
        go_back(&mut story);
        until_told(&mut story, LEFT, 2);
        story.until_sent(0, 9);
        story.conclude();
    }
}

/// A topic with the former id is there again: it was deleted, recreated and restored.
#[test]
fn a_topic_that_is_restored_is_known_by_its_id() {
    for is_killed in [false, true] {
        let mut story = landed(Version::V28);
        {
            let mut cluster = story.cluster();
            cluster.cut();
            cluster.remake_topic();
            cluster.short_from = 0;
            cluster.trouble = Trouble::default();
        }
        until_told(&mut story, "was deleted and recreated; positions are kept", 1);
        if is_killed {
            restart(&mut story);
        }
        go_back(&mut story);
        until_told(&mut story, RETURNED, 1);
        story.until_sent(0, 5);
        story.conclude();
    }
}

/// The brokers do not tell the ends that are asked for, and the state is written meanwhile.
fn pass_on_the_way(story: &mut Story) {
    story.cluster().silent_at = Some("ends");
    story.pass(2_000);
    let path = story.world.path_of(0);
    story.world.writers.rename(&path);
    story.world.list_now();
    story.pass(3_000);
}

/// As many were left as are remembered, and the first of them answers. The channel is on its way there.
#[test]
fn the_cluster_that_answers_again_is_not_forgotten_on_the_way_to_it() {
    for version in VERSIONS {
        let mut story = landed(version);
        for times in 1..=4 {
            replace(&mut story);
            until_told(&mut story, LEFT, times);
        }
        go_back(&mut story);
        pass_on_the_way(&mut story);
        story.cluster().silent_at = None;
        until_told(&mut story, RETURNED, 1);
        assert!(!story.has_told("nothing is remembered any more"));
        story.until_sent(0, 5);
        story.conclude();
    }
}

/// The address has led to another cluster, and the channel was not moved there. In the first one a partition lost its
/// leader meanwhile: that of the batch in doubt, or another one.
#[test]
fn a_detour_that_has_moved_nothing_leaves_no_partition_to_wait_for() {
    let cases = VERSIONS.iter().flat_map(|v| [(*v, false), (*v, true)]);
    for (version, is_killed, has_doubt) in cases.flat_map(|(v, k)| [(v, k, false), (v, k, true)]) {
        let mut story = landed_in(Scenario { partitions: 2, ..Scenario::calm(version) });
        let of_doubt = i32::from(ours(&story.cluster().logs[1]) == 2);
        replace(&mut story);
        pass_on_the_way(&mut story);
        if is_killed {
            restart(&mut story);
            story.pass(2_000);
        }
        assert!(!story.has_told(LEFT));
        go_back(&mut story);
        story.cluster().silent_at = None;
        let leaderless = if has_doubt { of_doubt } else { 1 - of_doubt };
        story.cluster().lose_leader(leaderless, 86_400_000);
        story.write(4);
        until_all_sent(&mut story, 9);
        assert_eq!(story.world.in_doubt(), Some(usize::from(has_doubt)));
        story.conclude();
    }
}

/// A batch that was announced elsewhere comes into the partition in which another one may be. Somebody has written the
/// same lines there meanwhile.
#[test]
fn what_was_never_sent_to_a_log_is_not_found_there() {
    for version in [Version::V09, Version::V010] {
        let mut story = landed(version);
        replace(&mut story);
        story.cluster().logs.push(Log::default());
        until_told(&mut story, LEFT, 1);
        story.cluster().lose_leader(0, 86_400_000);
        story.cluster().short_from = 1;
        story.turns_until(|world| world.is_connected());
        story.write(3);
        story.turns_until(|world| world.in_doubt() == Some(2));
        go_back(&mut story);
        let lines = &story.world.writers.generations[0].lines;
        let values: Vec<Vec<u8>> = lines[5..].iter().map(|line| event(&line.text)).collect();
        write_others(&mut story, values);
        until_told(&mut story, RETURNED, 1);
        story.until_sent(0, 8);
        story.conclude();
    }
}

/// A short line as it is sent, without headers.
fn event(line: &[u8]) -> Vec<u8> {
    let length = u8::try_from(2 * line.len()).expect("short");
    [&[0, length], line].concat()
}

fn write_others(story: &mut Story, values: Vec<Vec<u8>>) {
    let mut cluster = story.cluster();
    cluster.logs.truncate(1);
    let log = &mut cluster.logs[0];
    let (base, count) = (log.end, values.len() as i64);
    log.end += count;
    log.stored.push(Stored {
        base,
        producer_id: -1,
        epoch: 0,
        sequence: 0,
        values: values.into(),
        is_ours: false,
        is_of_former: false,
        visible_ms: 0,
    });
}

/// The state is copied while the channel stands at another cluster. The agent that announced the batch to the first one
/// may be alive.
#[test]
fn what_a_copied_state_left_in_a_cluster_is_another_agents_there() {
    for (version, has_landed) in VERSIONS.iter().flat_map(|v| [(*v, false), (*v, true)]) {
        let mut story = match has_landed {
            true => landed(version),
            false => not_landed(version),
        };
        replace(&mut story);
        until_told(&mut story, LEFT, 1);
        story.world.end(End::Kill);
        story.world.renumbering = Some(Renumbering::Copy);
        go_back(&mut story);
        story.start();
        until_told(&mut story, RETURNED, 1);
        // It is killed on the way: what it has written says so as well.
        restart(&mut story);
        assert!(story.has_told("1 batch in doubt since then"));
        story.until_sent(0, 5);
        let stored: Vec<i64> =
            story.cluster().logs[0].stored.iter().map(|stored| stored.producer_id).collect();
        assert_eq!(stored[1] == stored[0], has_landed || stored[0] < 0, "{stored:?}");
        story.conclude();
    }
}

/// Two lines are announced, and the request with them is lost.
fn not_landed(version: Version) -> Story {
    let mut story = begin(Scenario::calm(version));
    lose(&mut story, |story| story.write(2));
    story
}

/// What is written is announced, and the request with it is lost.
fn lose(story: &mut Story, write: impl Fn(&mut Story)) {
    story.cluster().trouble.request_lost = 100;
    write(story);
    story.turns_until(|world| world.in_doubt() == Some(1));
    let serial = story.cluster().serial;
    story.until(|cluster| cluster.serial > serial || cluster.connection.is_none());
}

/// A batch has arrived and the agent does not hear of it; started with a filter, it makes other events of the bytes, which are
/// too large for the cluster that is there then.
#[test]
fn the_parts_of_what_a_filter_has_reshaped_are_where_the_whole_is() {
    for version in [Version::V010, Version::V011, Version::V11, Version::V28] {
        let mut story = begin(Scenario::calm(version));
        story.cluster().trouble =
            Trouble { answer_lost: 100, question_fails: 100, ..Trouble::default() };
        let lines = ["one".repeat(30), "two DROP".into(), "three".repeat(30), "DROP".into()];
        write(&mut story, &lines);
        story.until(|cluster| cluster.logs[0].end == 7);
        part_elsewhere(&mut story, true, 280);
        until_told(&mut story, "answers again, in which 2 batches in doubt may be", 1);
        story.turns_until(|world| world.in_doubt() == Some(0));
        assert_eq!(story.cluster().logs[0].end, 7);
        // What was found twice at one place tells of no other log when the channel is opened anew.
        story.cluster().cut();
        write(&mut story, &["four".into()]);
        story.until(|cluster| cluster.logs[0].end == 8);
        assert_eq!(story.world.stop_in_order(), Ok(true));
        let state = story.world.state().expect("a state");
        let ranges = &state.files[0].ranges;
        let events: Vec<u64> = ranges.iter().filter(|r| r.channel == 0).map(|r| r.events).collect();
        assert_eq!(events.iter().sum::<u64>(), 8, "{version:?}");
        let file = &state.files[0];
        assert_eq!((file.events, file.lines), (8, 8));
        assert!(!story.has_told("deleted and recreated"), "{version:?}");
    }
}

/// What a filter had made of the bytes was lost on its way. Read without it they are too large for the cluster that is
/// there then, and the first of the parts is just that.
#[test]
fn a_part_that_equals_the_whole_of_before_does_not_stand_for_the_others() {
    for version in [Version::V010, Version::V011, Version::V11, Version::V28] {
        let mut story = begin(Scenario { has_filter: true, ..Scenario::calm(version) });
        let lines = ["one".repeat(30), "three".repeat(30), "DROP ".repeat(20), "DROP-".repeat(20)];
        lose(&mut story, |story| write(story, &lines));
        part_elsewhere(&mut story, false, 420);
        story.cluster().trouble = Trouble { answer_lost: 100, ..Trouble::default() };
        until_told(&mut story, "answers again, in which 2 batches in doubt may be", 1);
        story.until(|cluster| cluster.logs[0].end >= 5);
        story.cluster().trouble = Trouble::default();
        story.turns_until(|world| world.in_doubt() == Some(0));
        let end = story.cluster().logs[0].end;
        if end != 7 {
            story.fail(&format!("{version:?}: it ends at {end}"));
        }
        assert!(!story.has_told("deleted and recreated"), "{version:?}");
    }
}

/// Started with a filter or without one, it makes other events of what is in doubt, which are too large for the cluster
/// that is there then: two parts are in doubt when the first one is there again.
fn part_elsewhere(story: &mut Story, has_filter: bool, limit: usize) {
    story.world.end(End::Kill);
    replace(story);
    story.cluster().short_from = usize::MAX;
    story.cluster().limit = limit;
    // The parts are on their way when it takes nothing any more.
    story.cluster().trouble =
        Trouble { request_late: 100, late_max_ms: 1_500, ..Trouble::default() };
    story.world.set_filter(has_filter);
    story.start();
    until_told(story, "was refused as a whole; sending its parts", 1);
    story.cluster().short_from = 0;
    let _ = story.world.turns(20);
    assert_eq!(story.world.in_doubt(), Some(2));
    story.cluster().limit = usize::MAX;
    go_back(story);
}

fn write(story: &mut Story, lines: &[String]) {
    let world = &mut story.world;
    let wall_ms = world.clock.now_ms();
    world.writers.now_ms = world.clock.monotonic_ms();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.writers.append_equal(0, &lines, wall_ms);
    world.notice(0);
}
