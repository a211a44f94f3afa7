//! Lines that are equal to others, told step by step: everywhere else each line is the only one of its kind.

use flume_ng::clock::Clock;

use crate::cluster::Version;
use crate::hazards::Story;
use crate::model;
use crate::scenario::Scenario;
use crate::world::End;

fn write(story: &mut Story, lines: &[&str]) {
    let world = &mut story.world;
    let wall_ms = world.clock.now_ms();
    world.writers.now_ms = world.clock.monotonic_ms();
    world.writers.append_equal(0, lines, wall_ms);
    world.notice(0);
}

/// A batch is in the log and its answer on the way, and the next one waits for that, announced: the lines of it are
/// equal to some of the first. Then the agent is killed.
#[test]
fn what_was_not_sent_is_not_found_within_what_was() {
    let cases: [(&[&str], &[&str]); 4] = [
        (&["x", "y", "z"], &["y"]),
        (&["x", "y", "z"], &["x", "y"]),
        (&["s", "s", "s"], &["s", "s"]),
        (&["x", "y"], &["y", "z"]),
    ];
    for (first, second) in cases {
        let calm = Scenario::calm(Version::V010);
        let mut story = Story::begin(Scenario { replicas: 3, ..calm });
        // An ack of the last second permits two batches in a partition.
        story.write(1);
        story.until(|cluster| cluster.is_answered() && cluster.logs[0].end == 1);
        story.cluster().held_ms = 1_500;
        write(&mut story, first);
        let end = 1 + first.len() as i64;
        story.until(|cluster| cluster.logs[0].end == end);
        write(&mut story, second);
        story.turns_until(|world| world.in_doubt() == Some(2));
        assert_eq!(story.cluster().logs[0].end, end, "the second was sent");
        story.world.end(End::Kill);
        story.cluster().held_ms = 0;
        story.start();
        story.turns_until(|world| world.in_doubt() == Some(0));
        let cluster = story.cluster();
        let found = model::bodies(&cluster).skip(1).map(String::from_utf8_lossy);
        let found: Vec<_> = found.collect();
        assert_eq!(found, [first, second].concat());
    }
}
