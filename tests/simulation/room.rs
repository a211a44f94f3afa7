//! There is no room for the checkpoint while a channel is on its way to be opened.

use crate::cluster::Version;
use crate::hazards::Story;
use crate::scenario::{Division, Scenario};
use crate::world::World;

/// What comes for it nobody takes, since everything waits for room: the loop would turn without a rest.
#[test]
fn a_channel_that_is_being_opened_is_closed_while_there_is_no_room_for_the_state() {
    let mut story = Story::begin(Scenario {
        division: Division::Optional,
        channels: 2,
        ..Scenario::calm(Version::V28)
    });
    story.turns_until(World::is_connected);
    {
        let mut optional = story.world.clusters[1].borrow_mut();
        optional.cut();
        optional.silent_at = Some("open");
    }
    // Until the second one is given up, and on its way all the same.
    story.write(3);
    story.turns_until(|world| world.in_doubt() == Some(0));
    story.pass(11_000);
    story.turns_until(|world| world.watched() == 2);
    story.world.no_room.for_writes(2);
    story.write(1);
    story.turns_until(World::waits_for_room);
    assert_eq!(story.world.watched(), 1);
    story.world.clusters[1].borrow_mut().silent_at = None;
    story.turns_until(|world| !world.waits_for_room());
    story.turns_until(World::is_connected);
    story.conclude();
}
