//! How much is left of what the files held at the start, for a run that ends by itself.

use super::Pipeline;
use crate::source::owed::Left;

/// What a source has not done yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Remainder {
    pub left: Left,
    /// Batches without an answer, those of lines that have come since among them.
    pub in_doubt: usize,
    /// Something must be there first: the directory, room for the state, the topic's word for lost
    /// positions.
    pub is_held_up: bool,
    /// All that was there at the start is acknowledged, and what is to be retired is retired.
    pub is_none: bool,
}

impl Pipeline {
    /// What is left; the first call takes stock.
    pub fn remainder(&mut self) -> Remainder {
        if self.owed.is_none() {
            self.owed = self.files.owe();
        }
        let left = self.owed.as_mut().and_then(|owed| self.files.left(owed));
        let is_held_up = left.is_none() || self.is_rebuilding() || self.is_waiting_for_room();
        let left = left.unwrap_or_default();
        // Of an open file its position tells; lines that have come since are nobody's debt.
        let is_doubtful = |id: u64| self.files.handle_of(id).is_none();
        let mut in_doubt = self.announced.iter().filter(|a| a.record.fate.is_in_doubt());
        let is_none =
            !is_held_up && left.files == 0 && !in_doubt.any(|a| is_doubtful(a.record.file));
        Remainder { left, in_doubt: self.in_doubt(), is_held_up, is_none }
    }
}
