//! Looks at logs that are long, or that tell little of themselves.

use crate::cluster::Version;
use crate::hazards::{Story, ours};
use crate::scenario::Scenario;
use crate::world::{End, World};

/// The first batch that is ever announced there falls into doubt, brokers tell no topic id, and others have written
/// so much that one look takes longer than its answer may be old. Each look once began at the floor again.
#[test]
fn a_long_look_at_a_log_that_nothing_is_known_again_by_comes_to_its_end() {
    let mut story = Story::begin(Scenario::calm(Version::V11));
    story.turns_until(World::is_connected);
    story.cluster().trouble.request_lost = 100;
    story.write(3);
    story.until(|cluster| cluster.serial > 0);
    story.world.end(End::Kill);
    {
        let mut cluster = story.cluster();
        cluster.trouble.request_lost = 0;
        (0..200).for_each(|_| cluster.write_foreign());
        cluster.question_ms = 1_000;
    }
    story.start();
    story.until(|cluster| ours(&cluster.logs[0]) == 3);
    story.conclude();
}
