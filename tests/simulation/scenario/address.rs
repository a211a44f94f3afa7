//! What an address leads to, for a while perhaps.

use crate::world::World;

/// How far an address is on its way elsewhere and back.
#[derive(Debug, Clone, Copy)]
pub enum Detour {
    /// Answers are lost, for so many more actions.
    Before(u64),
    There,
}

/// The address of a cluster leads to another one: at once, or when something is in doubt.
pub(super) fn lead_elsewhere(world: &mut World, at: usize) {
    let is_at_once = world.rng.chance(40);
    let mut cluster = world.clusters[at].borrow_mut();
    if is_at_once {
        let ms = world.rng.below(3_000);
        cluster.replace(ms);
        world.detour = None;
        return;
    }
    cluster.trouble.answer_lost = 100;
    world.detour = Some((at, Detour::Before(world.rng.between(1, 5))));
}

/// It goes on, or leads back again.
pub(super) fn go_on(world: &mut World) {
    let Some((at, detour)) = world.detour else { return };
    let mut cluster = world.clusters[at].borrow_mut();
    match detour {
        Detour::Before(actions @ 2..) => world.detour = Some((at, Detour::Before(actions - 1))),
        Detour::Before(_) => {
            cluster.replace(0);
            cluster.trouble.answer_lost = 0;
            // It takes nothing, more often than not.
            cluster.short_from = if world.rng.chance(70) { 0 } else { usize::MAX };
            world.detour = Some((at, Detour::There));
        }
        Detour::There if world.rng.chance(70) => {}
        Detour::There => {
            cluster.go_back(0);
            cluster.short_from = usize::MAX;
            world.detour = None;
        }
    }
    let name = cluster.name.clone();
    drop(cluster);
    world.say(|| format!("the address of {name}: {:?}", world.detour));
}
