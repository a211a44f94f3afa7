//! How much is left of what the files held at the start, for a run that ends by itself.

use super::{Announced, Pipeline};
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
        let is_open = |id: u64| self.files.handle_of(id).is_some();
        let is_settled = !self.announced.iter().any(|a| is_owed(a, is_open(a.record.file)));
        let is_none = !is_held_up && left.files == 0 && is_settled;
        Remainder { left, in_doubt: self.in_doubt(), is_held_up, is_none }
    }
}

/// Has this run to settle it? What an earlier one has left in doubt is a debt, also of a file that is read no further
/// or holds something else by now. Of what this run has announced the position of an open file tells; lines that
/// have come since are nobody's debt.
fn is_owed(announced: &Announced, is_open: bool) -> bool {
    announced.record.fate.is_in_doubt() && (announced.is_inherited() || !is_open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::{BatchRecord, Fate};
    use crate::pipeline::doubt::Copies;

    /// The run ended with 0 where no group takes the file any more, or the file was truncated and is empty.
    #[test]
    fn what_an_earlier_run_has_left_in_doubt_is_owed_whatever_became_of_its_file() {
        let record = |fate| BatchRecord { fate, ..BatchRecord::default() };
        let inherited = |fate| Announced::inherited(record(fate));
        let own = |fate| Announced::new(record(fate), None, 1, Copies::One);
        for is_open in [true, false] {
            assert!(is_owed(&inherited(Fate::InDoubt), is_open));
            assert_eq!(is_owed(&own(Fate::InDoubt), is_open), !is_open);
            assert!(!is_owed(&inherited(Fate::At(3)), is_open));
            assert!(!is_owed(&own(Fate::At(3)), is_open));
        }
    }
}
