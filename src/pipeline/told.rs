//! What others are told of a pipeline, without changing it.

use super::{Announced, Copies, Pipeline};
use crate::channel::outlet::Outlet;
use crate::checkpoint::lock::Place;
use crate::source::Files;

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
        self.announced.iter().filter(|a| a.record.fate.is_in_doubt()).count()
    }

    /// Of each batch without an answer, place of its channel and partition.
    pub fn doubts_by_partition(&self) -> impl Iterator<Item = (usize, i32)> {
        let in_doubt = self.announced.iter().filter(|a| a.record.fate.is_in_doubt());
        in_doubt.map(|a| (usize::from(a.record.channel), a.record.partition))
    }

    /// The same of those that are on their way over a connection that is trusted.
    pub fn flights_by_partition(&self) -> impl Iterator<Item = (usize, i32)> {
        let is_open = |a: &&Announced| self.outlets[usize::from(a.record.channel)].is_open();
        let is_sent = |a: &&Announced| self.is_under_way(a) && a.copies != Copies::None;
        let in_flight = self.announced.iter().filter(is_sent).filter(is_open);
        in_flight.map(|a| (usize::from(a.record.channel), a.record.partition))
    }

    /// Its files, as they are now.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Its channels, in the order of the configuration, as they are now.
    pub fn outlets(&self) -> &[Outlet] {
        &self.outlets
    }

    /// Can lines go to every channel that they are for?
    pub fn is_settled(&self) -> bool {
        self.outlets.iter().all(Outlet::is_settled)
    }

    /// Generation of the checkpoint that was written last.
    pub fn generation(&self) -> u64 {
        self.record.generation
    }
}
