//! Carrying out what [`crate::source::retire`] decides: each step durable before the next.

use super::{Fatal, FinishedFile, Pipeline, SOURCE};
use crate::log;
use crate::source::retire::Step;

/// Tries to find a free completed name before the file is left live for the time being.
const NAME_TRIES: usize = 16;

impl Pipeline {
    /// Does the next step for some file. `false`: no file needs one.
    pub(super) fn settle(&mut self) -> Result<bool, Fatal> {
        if self.settle_gone()? {
            return Ok(true);
        }
        match self.files.next_step() {
            None => Ok(false),
            Some(Step::Finish(index)) => self.finish(index),
            Some(Step::Retire(index)) => self.retire(index).map(|()| true),
            Some(Step::Done(index)) => self.done(index).map(|()| true),
        }
    }

    /// Sends the unterminated last line of a file that nobody writes to any more.
    fn finish(&mut self, index: usize) -> Result<bool, Fatal> {
        if !self.may_send() {
            return Ok(false);
        }
        let sent = self.send_final(index)?;
        if !sent && let Some(tracked) = self.files.tracked.get_mut(index) {
            // Nothing of it is an event (half a character): there is no more to wait for.
            tracked.is_final_announced = tracked.retry_ms == 0;
        }
        Ok(true)
    }

    fn retire(&mut self, index: usize) -> Result<(), Fatal> {
        for _ in 0..NAME_TRIES {
            self.files.intend_retirement(index);
            self.commit()?;
            if self.files.move_aside(index) {
                self.is_dirty = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// The receipt first, then the file's end (deleted, if so configured), then off the list.
    fn done(&mut self, index: usize) -> Result<(), Fatal> {
        let record = self.files.tracked[index].record.clone();
        self.write_receipt(&record)?;
        self.files.forget(index);
        self.commit()
    }

    /// Files that are nowhere to be found end when nothing of them is in doubt.
    fn settle_gone(&mut self) -> Result<bool, Fatal> {
        let is_settled = |id: u64| self.announced.iter().all(|a| a.record.file != id);
        let Some(at) = self.gone.iter().position(|r| is_settled(r.id)) else { return Ok(false) };
        let record = self.gone.remove(at);
        log::warn(
            SOURCE,
            format_args!(
                "File:{} is nowhere to be found any more; it was read to byte {}.",
                String::from_utf8_lossy(&record.name),
                record.position
            ),
        );
        self.write_receipt(&record)?;
        self.commit()?;
        Ok(true)
    }

    fn write_receipt(
        &mut self,
        record: &crate::checkpoint::record::FileRecord,
    ) -> Result<(), Fatal> {
        let channels: Vec<_> = self.outlets.iter().map(|o| o.record.clone()).collect();
        let finished = FinishedFile { record, channels: &channels, done_ms: self.clock.now_ms() };
        self.ledger.receipt(&finished).map_err(Fatal::State)
    }
}
