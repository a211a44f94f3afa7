//! Another directory stands in the place of the spool directory, or that cannot be asked, told step by step.

use std::io;

use flume_ng::clock::Clock;
use flume_ng::source::reach;

use crate::cluster::Version;
use crate::hazards::{Story, ours};
use crate::scenario::Scenario;
use crate::world::{End, Renumbering};

/// Longer than any wait but the hour, ms.
const LONG_MS: u64 = 60_000;

fn calm() -> Scenario {
    Scenario { line_max: 500, ..Scenario::calm(Version::V11) }
}

impl Story {
    /// Lets the agent go on for so long.
    fn pass(&mut self, ms: u64) {
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

    fn sent(&self) -> usize {
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
