//! What writers and operators do to a file's name or content, and to the directory.

use std::path::Path;

use flume_ng::clock::Clock;

use super::{recent, write_lines};
use crate::world::{Renumbering, World};
use crate::writers::is_candidate;

/// What writers do to a file's name or content.
pub(super) fn misbehave(world: &mut World) -> Result<(), String> {
    if !world.scenario.has_rogue_writers || world.writers.inodes.is_empty() {
        return Ok(());
    }
    let at = recent(world);
    let (number, generation) = {
        let inode = &world.writers.inodes[at];
        (inode.number, inode.generation)
    };
    let places = world.writers.places();
    let is_candidate = world.writers.is_candidate_now(&places, number);
    let Some(path) = places.get(&number).cloned() else { return Ok(()) };
    let wall_ms = world.clock.now_ms();
    if world.writers.inodes[at].is_copy {
        return Ok(());
    }
    world.writers.trim(at, wall_ms);
    let is_odd = world.scenario.is_spooled() && world.rng.chance(20);
    let kind = match is_odd {
        true => 10 + world.rng.below(3),
        false => world.rng.below(if world.scenario.has_new_numbers { 10 } else { 7 }),
    };
    world.say(|| format!("mischief {kind} with file {at}, {}", path.display()));
    let name = world.writers.name_of(&path);
    match kind {
        // What stands before its position is believed.
        0 | 7 | 8 if world.is_unseen(at) => {}
        0 if is_candidate => {
            world.excuse(generation, 0);
            world.writers.truncate(at, wall_ms);
            if world.rng.chance(60) {
                let count = world.rng.between(1, 12);
                write_lines(world, at, count);
            }
        }
        1 if is_candidate => {
            excuse_unless_held(world, at);
            world.writers.replace(&name, wall_ms, &mut world.rng);
            world.writers.inodes[at].is_linked = false;
        }
        2 if is_candidate => {
            excuse_unless_held(world, at);
            world.writers.delete(at, &path);
        }
        3 if is_candidate => {
            excuse_unless_held(world, at);
            world.writers.move_out(at, &path);
        }
        // Nothing but its name tells what it is.
        4 if is_candidate && !world.is_bound(at) => {
            excuse_unless_held(world, at);
            world.writers.hide(&path);
        }
        5 if is_candidate && !world.is_bound(at) => world.writers.rename(&path),
        // Only what the agent has not forgotten: a file that comes back later is a new one.
        6 if name.starts_with(".hidden")
            && world.is_tracked(at)
            && !world.is_known_by_name_alone(at) =>
        {
            world.writers.come_back(at, &path)
        }
        7 | 8 if is_candidate => copy_and_truncate(world, at, &path)?,
        // Of fewer bytes nothing could be proven.
        9 if is_candidate && world.is_proven(at) => {
            // Half a line that was announced as its last may go on in the other file.
            world.excuse_sent_half(at);
            world.writers.replace_by_same(at, &path, wall_ms)
        }
        10 if is_candidate => world.writers.take_name(&path),
        11 if !world.is_second_bound() => world.writers.rename_second(),
        12 => remove_second(world),
        _ => {}
    }
    Ok(())
}

/// As logrotate's copytruncate does it: what is written between copy and truncation is lost unless
/// the agent is quick.
fn copy_and_truncate(world: &mut World, at: usize, path: &Path) -> Result<(), String> {
    let wall_ms = world.clock.now_ms();
    let matches = world.rng.chance(60) && !world.is_done(at);
    let (is_begun, is_proven) = (world.is_begun(at), world.is_proven(at));
    let generation = world.writers.inodes[at].generation;
    world.writers.inodes[at].is_bound |= world.is_known_by_name(at);
    let copy = world.writers.copy(at, path, matches, wall_ms);
    let is_matched = is_candidate(&copy);
    world.say(|| format!("copied to {copy}, matches: {is_matched}"));
    let is_unseen = !is_proven && !world.is_known_as(at, path);
    if !is_matched && (!is_begun || is_unseen) {
        // Nothing of it was read, and nobody will look for it; or so little that nothing but its name tells
        // what the copy is, and the agent has not seen that name.
        world.excuse(generation, 0);
    }
    if is_proven && world.rng.chance(50) {
        let count = world.rng.between(1, 4);
        world.writers.append(at, count, wall_ms, &mut world.rng, false);
        let turns = world.rng.below(4);
        world.turns(turns)?;
    }
    let wall_ms = world.clock.now_ms();
    world.writers.truncate(at, wall_ms);
    if world.rng.chance(60) {
        let count = world.rng.between(1, 12);
        write_lines(world, at, count);
    }
    Ok(())
}

/// The state says other numbers than the files have: a remount, or a copy of everything to another
/// disk.
pub(super) fn renumber(world: &mut World) -> Result<(), String> {
    let kind = world.rng.pick(&[Renumbering::Device, Renumbering::Copy]);
    if !world.stop_in_order()? {
        return Ok(());
    }
    world.say(|| format!("renumbered: {kind:?}"));
    world.renumbering = Some(kind);
    world.start().map(drop)
}

/// What is there cannot be reached for a while.
pub(super) fn hide_files(world: &mut World) {
    match world.rng.below(5) {
        0 => {
            world.say(|| "the spool directory is away".to_owned());
            // Without a state nothing tells that it is another one.
            let is_told = !world.scenario.loses_tracker;
            let is_replaced = world.writers.inodes.len() % 2 == 1 && is_told;
            world.writers.take_away(is_replaced);
        }
        1 => {
            world.say(|| "the spool directory is back".to_owned());
            world.writers.bring_back();
        }
        2 => world.fail_names(0),
        _ => {
            let percent = world.rng.pick(&[2, 20, 60, 100, 100]);
            world.fail_names(percent);
        }
    }
}

/// The subdirectory goes with all that is in it.
fn remove_second(world: &mut World) {
    let there = world.writers.in_second();
    for at in 0..world.writers.inodes.len() {
        if there.contains(&world.writers.inodes[at].number) {
            excuse_unless_held(world, at);
        }
    }
    world.writers.remove_second();
}

/// A file that leaves the directory is read on only by an agent that has it open.
fn excuse_unless_held(world: &mut World, at: usize) {
    if world.is_alive() && !world.is_tracked(at) {
        let generation = world.writers.inodes[at].generation;
        world.excuse(generation, 0);
    }
}
