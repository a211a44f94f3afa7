//! spooldir: files that are dropped into a directory or those below it, whole as a rule.

use flume_ng::clock::Clock;
use flume_ng::config::model::DeletePolicy;

use super::{Kind, Scenario, new_name};
use crate::rng::Rng;
use crate::world::World;

impl Scenario {
    pub fn is_spooled(&self) -> bool {
        matches!(self.kind, Kind::Spooled { .. })
    }

    /// Do finished files keep their names, with markers elsewhere?
    pub fn marks_done(&self) -> bool {
        matches!(self.kind, Kind::Spooled { marks_done: true, .. })
    }

    /// Drawn as any, and then files are dropped.
    pub fn spooled(rng: &mut Rng) -> Scenario {
        let scenario = Scenario::draw(rng);
        let (is_recursive, marks_done) = (rng.chance(50), rng.chance(40));
        Scenario {
            kind: Kind::Spooled { is_recursive, marks_done },
            delete: if marks_done { DeletePolicy::Never } else { scenario.delete },
            // A copy of a finished file is a new one, and here it has a candidate's name for ever.
            has_new_numbers: rng.chance(50) && !marks_done,
            has_zeros: false,
            loses_tracker: false,
            // By its stamp a file is whole.
            stamps_off_ms: 0,
            ..scenario
        }
    }
}

pub(super) fn prepare(world: &mut World) {
    if let Kind::Spooled { is_recursive: true, .. } = world.scenario.kind {
        world.writers.add_second();
    }
}

/// A file takes its name when its lines are in it. It may be empty, and its last line need have no end.
pub(super) fn drop_file(world: &mut World) {
    let name = new_name(world);
    let (wall_ms, count) = (world.clock.now_ms(), world.rng.below(20));
    let has_half = world.rng.chance(30);
    world.say(|| format!("it is dropped with {count} lines, and half a line: {has_half}"));
    world.writers.now_ms = world.clock.monotonic_ms();
    let at = world.writers.drop_file(&name, count, has_half, wall_ms, &mut world.rng);
    world.notice(at);
}
