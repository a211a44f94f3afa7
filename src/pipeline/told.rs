//! What others are told of a pipeline, without changing it.

use super::Pipeline;
use crate::checkpoint::lock::Place;

impl Pipeline {
    /// Is the checkpoint still under its name?
    pub fn state_place(&self) -> Place {
        self.journal.place()
    }

    /// Device and inode of the checkpoint.
    pub fn state_identity(&self) -> Option<(u64, u64)> {
        self.journal.identity()
    }

    /// Announced batches without an answer.
    pub fn in_doubt(&self) -> usize {
        self.announced.iter().filter(|a| a.record.acked.is_none()).count()
    }

    /// Of each batch without an answer, place of its channel and partition.
    pub fn doubts_by_partition(&self) -> impl Iterator<Item = (usize, i32)> {
        let in_doubt = self.announced.iter().filter(|a| a.record.acked.is_none());
        in_doubt.map(|a| (usize::from(a.record.channel), a.record.partition))
    }

    /// Generation of the checkpoint that was written last.
    pub fn generation(&self) -> u64 {
        self.record.generation
    }
}
