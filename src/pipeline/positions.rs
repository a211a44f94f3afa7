//! The position file goes on to be written as Flume writes it, for monitors that read it, and for who
//! goes back to Flume.
//!
//! It says what the checkpoint says that is on the disk, never more. So a position in it that is ahead
//! of the checkpoint is another program's.

use super::{Pipeline, SOURCE};
use crate::checkpoint::flume_positions;
use crate::log;

/// What was written last, and when that is looked at next.
#[derive(Default)]
pub(super) struct Positions {
    due_ms: u64,
    /// Of the checkpoint that it was made of.
    generation: Option<u64>,
}

/// For the words that are told once.
const FILE: &str = "positionFile";

impl Pipeline {
    /// Writes the position file if it is time to, or if this is the end.
    pub(super) fn keep_positions(&mut self, is_end: bool) {
        let Some(tail) = self.config.kind.tail() else { return };
        let Some(path) = &tail.position_file else { return };
        let now_ms = self.clock.monotonic_ms();
        if self.is_unwritten() || !is_end && now_ms < self.positions.due_ms {
            return;
        }
        self.positions.due_ms = now_ms + tail.position_interval_ms;
        // What has changed since is in a later checkpoint.
        let generation = self.generation();
        if self.positions.generation == Some(generation) && path.exists() {
            return;
        }
        let positions = self.files.flume_positions();
        let bytes = flume_positions::encode(
            positions.iter().map(|(inode, pos, file)| (*inode, *pos, file.as_str())),
        );
        match flume_positions::replace(path, &self.config.tracker_dir, &bytes) {
            Ok(()) => {
                self.positions.generation = Some(generation);
                self.tell_written(FILE);
            }
            Err(e) => {
                let why = format!("Failed writing positionFile {}: {e}", path.display());
                let name = &self.config.name;
                if self.repeats.is_due(FILE, &why, now_ms) {
                    log::warn(SOURCE, format_args!("Source {name}: {why}. Reading goes on."));
                }
            }
        }
    }
}
