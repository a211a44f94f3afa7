//! Copies of files that were truncated (copytruncate), told step by step.

use std::fs;

use flume_ng::clock::Clock;

use crate::cluster::Version;
use crate::hazards::Story;
use crate::scenario::{self, Scenario};
use crate::world::End;

/// A file of which all is in the topic.
fn read() -> Story {
    let mut story = Story::begin(Scenario { line_max: 500, ..Scenario::calm(Version::V28) });
    story.write(20);
    story.until_sent(0, 20);
    story
}

/// It is copied, and lines are read that the copy lacks: they are acknowledged, or in doubt. No channel is open when
/// it is truncated, so nobody looks at it, and so many lines are written then.
fn cut_behind_its_copy(story: &mut Story, is_acked: bool, lines: u64) {
    let (path, wall_ms) = (story.world.path_of(0), story.world.clock.now_ms());
    story.world.writers.copy(0, &path, true, wall_ms);
    story.cluster().trouble.request_lost = if is_acked { 0 } else { 100 };
    let serial = story.cluster().serial;
    let world = &mut story.world;
    // What is in doubt will be lost.
    world.writers.append(0, 3, wall_ms, &mut world.rng, is_acked);
    match is_acked {
        true => story.until_sent(0, 23),
        false => story.until(|cluster| cluster.serial > serial),
    }
    story.cluster().trouble.request_lost = 0;
    story.cluster().lose_leader(0, 3_600_000);
    story.cluster().cut();
    let _ = story.world.turns(20);
    story.world.writers.truncate(0, wall_ms);
    story.write(lines);
}

/// So that what is read of it is acknowledged, or in doubt; and what it holds then is less than what its record knows
/// it by, or more.
const CASES: [(bool, u64); 4] = [(true, 1), (true, 30), (false, 1), (false, 30)];

/// It is renamed, which is seen, and hidden perhaps, and the agent is started again before it has looked at what the
/// file holds now.
#[test]
fn a_copy_is_known_after_a_restart_by_a_name_that_its_original_had_before() {
    for ((is_acked, lines), is_hidden) in CASES.iter().flat_map(|c| [(*c, false), (*c, true)]) {
        let mut story = read();
        cut_behind_its_copy(&mut story, is_acked, lines);
        story.until_stamps_are_old();
        let path = story.world.path_of(0);
        story.world.writers.rename(&path);
        let path = story.world.path_of(0);
        story.turns_until(|world| world.is_known_as(0, &path));
        if is_hidden {
            story.until_stamps_are_old();
            story.world.writers.hide(&path);
            story.world.list_now();
        }
        if let Err(why) = story.world.stop() {
            story.fail(&why);
        }
        story.start();
        story.cluster().calm_down();
        story.conclude();
    }
}

/// It was renamed before it was copied, the directory cannot be listed meanwhile, and the agent dies.
#[test]
fn a_copy_is_known_by_a_name_under_which_nobody_has_seen_its_original() {
    for (is_acked, lines) in CASES {
        let mut story = read();
        story.world.fail_names(100);
        let name = format!("g-{}.log", scenario::hour(&story.world.clock));
        let to = story.world.writers.spool.join(name);
        fs::rename(story.world.path_of(0), to).expect("a name of our own");
        cut_behind_its_copy(&mut story, is_acked, lines);
        story.world.end(End::Kill);
        story.world.fail_names(0);
        story.cluster().calm_down();
        story.start();
        story.conclude();
    }
}
