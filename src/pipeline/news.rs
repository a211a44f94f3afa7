//! What the files have learnt before every channel is open, at a start above all: a file has other numbers since a
//! remount or a copy, or another name. While no broker answers nothing else would be written, and a kill would throw that
//! away; changed once more meanwhile, the file would be one that no record tells.
//!
//! So it is written at once, where nothing else is to be written: no position moves by that, and nothing that is in
//! doubt becomes anything else.

use super::Pipeline;
use super::room::Halt;
use crate::source::view::News;

/// It is written so often at most, ms: of thousands of files that are compared each is news.
const NEWS_MS: u64 = 1_000;

/// What is not written yet of that.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    has_news: bool,
    /// The record that is written first decides more: where files begin, or that what was in doubt in a channel which
    /// is gone is given up.
    decides: bool,
    /// Monotonic time before which it is not written.
    due_ms: u64,
}

impl Learnt {
    /// See [`Learnt::decides`].
    pub(super) fn of_start(decides: bool) -> Learnt {
        Learnt { decides, ..Learnt::default() }
    }

    pub(super) fn note_written(&mut self) {
        (self.has_news, self.decides) = (false, false);
    }
}

impl Pipeline {
    /// Takes note of what the files have learnt.
    pub(super) fn take_news(&mut self) {
        match self.files.take_news() {
            News::Nothing => {}
            News::Facts => self.learnt.has_news = true,
            News::Positions => self.is_dirty = true,
        }
    }

    /// Is anything not in the record that was written last?
    pub(super) fn is_unwritten(&self) -> bool {
        self.is_dirty || self.learnt.has_news
    }

    /// Writes it though not every channel is open.
    pub(super) fn keep_news(&mut self) -> Result<(), Halt> {
        let now_ms = self.clock.monotonic_ms();
        let Learnt { has_news, decides, due_ms } = self.learnt;
        if !has_news || decides || self.is_dirty || now_ms < due_ms {
            return Ok(());
        }
        self.learnt.due_ms = now_ms + NEWS_MS;
        self.commit()
    }
}
