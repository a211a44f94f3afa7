//! TAILDIR: files of two directories that are followed for ever, some of which were there before the agent.

use std::ffi::OsString;

use flume_ng::checkpoint::flume_positions::FlumePosition;
use flume_ng::clock::Clock;
use flume_ng::config::model::{
    DeletePolicy, FileGroup, FirstByte, LineEnds, SourceKind, SpoolDirConfig, TailConfig,
};
use flume_ng::java::pattern::Pattern;

use super::{Scenario, new_name, write_lines};
use crate::rng::Rng;
use crate::world::World;
use crate::writers::SECOND;

/// What kind of source reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    SpoolTail,
    Followed {
        /// Where files begin that are there before the agent, and of which Flume has left no position.
        first: FirstByte,
        /// An unfinished line is sent after so long.
        idle_ms: Option<u64>,
    },
    Spooled {
        is_recursive: bool,
        /// A finished file keeps its name.
        marks_done: bool,
    },
}

impl Kind {
    pub(super) fn source_kind(self, pattern: &Pattern) -> SourceKind {
        let (first, idle_ms) = match self {
            Kind::SpoolTail => return SourceKind::SpoolTail,
            Kind::Spooled { is_recursive, marks_done } => {
                return SourceKind::SpoolDir(SpoolDirConfig { is_recursive, marks_done });
            }
            Kind::Followed { first, idle_ms } => (first, idle_ms),
        };
        let group = |name: &str, place: &str| FileGroup {
            name: name.to_owned(),
            text: String::new(),
            place: OsString::from(place),
            pattern: pattern.clone(),
            headers: Vec::new(),
        };
        SourceKind::Tail(TailConfig {
            groups: vec![group("f1", ""), group("f2", SECOND)],
            position_file: None,
            position_interval_ms: 3_000,
            begin: first,
            idle_timeout_ms: idle_ms,
            ends: LineEnds::Verbatim,
            command: None,
            by_descriptor: false,
            batches_in_turn: 3,
            byte_offset_header: false,
        })
    }
}

impl Scenario {
    pub fn is_followed(&self) -> bool {
        matches!(self.kind, Kind::Followed { .. })
    }

    /// Drawn as any, and then files are followed.
    pub fn followed(rng: &mut Rng) -> Scenario {
        let scenario = Scenario::draw(rng);
        let first = rng.pick(&[FirstByte::Beginning, FirstByte::Beginning, FirstByte::NextLine]);
        let idle_ms = rng.pick(&[None, None, Some(3_000)]);
        Scenario {
            kind: Kind::Followed { first, idle_ms },
            delete: DeletePolicy::Never,
            has_zeros: false,
            long_names: None,
            loses_tracker: false,
            stamps_off_ms: 0,
            ..scenario
        }
    }

    /// So long half a line must have been left alone before it is sent, ms.
    pub fn half_ms(&self) -> u64 {
        match self.kind {
            Kind::SpoolTail | Kind::Followed { idle_ms: None, .. } => self.grace_ms,
            Kind::Followed { idle_ms: Some(ms), .. } => ms.min(self.grace_ms),
            Kind::Spooled { .. } => self.grace_ms.min(1_000),
        }
    }
}

/// Files that are there before the agent, with positions of Flume for some; and perhaps they cannot be
/// opened when it starts first.
pub(super) fn prepare(world: &mut World) {
    let Kind::Followed { first, .. } = world.scenario.kind else { return };
    world.writers.add_second();
    for _ in 0..world.rng.between(1, 4) {
        let wall_ms = world.clock.now_ms();
        let name = new_name(world);
        let at = world.writers.create(&name, wall_ms);
        let count = world.rng.below(6);
        write_lines(world, at, count);
        let generation = world.writers.inodes[at].generation;
        let lines = &mut world.writers.generations[generation].lines;
        let old = if first == FirstByte::NextLine {
            lines.len()
        } else if world.rng.chance(70) {
            world.rng.below(lines.len() as u64 + 1) as usize
        } else {
            0
        };
        lines[..old].iter_mut().for_each(|line| line.is_old = true);
        let end = |line: &crate::writers::Line| line.start + line.text.len() as u64 + 1;
        let pos = lines[..old].last().map_or(0, end);
        if first != FirstByte::NextLine && pos > 0 {
            let inode = world.writers.inodes[at].number;
            let file = world.writers.spool.join(&name).display().to_string();
            world.positions.push(FlumePosition { inode, pos, file });
        }
        world.say(|| format!("file {at} begins at byte {pos}"));
    }
    if world.rng.chance(50) {
        let percent = world.rng.pick(&[10, 30, 60, 100]);
        world.fail_names(percent);
    }
}

/// Until a first record says where files begin nobody writes to them.
pub(super) fn wait(world: &mut World) -> Result<(), String> {
    if world.rng.chance(20) {
        world.fail_names(0);
    }
    world.turns(1)
}
