//! Carrying out what [`crate::source::retire`] decides: each step durable before the next, and
//! many files at a time, since a step costs a sync however many it is for.

use super::room::Halt;
use super::{Fatal, Pipeline, SOURCE, merge_range};
use crate::channel::outlet::Outlet;
use crate::checkpoint::ledger::{FinishedFile, LedgerError};
use crate::checkpoint::record::{FileRecord, FileState, OffsetRange};
use crate::log;
use crate::source::retire::Move;

/// While batches are under way, files are retired so many at a time, half of what may be open of the backlog,
/// or after this time, ms.
const SETTLE_MIN: usize = 96;
const SETTLE_WAIT_MS: u64 = 500;

/// Waits after a receipt that could not be written, ms.
const LEDGER_RETRY_MS: u64 = 4_000;
/// Of the files of the tracker directory that grow, for the log.
const RECEIPTS: &str = "receipts";
pub(super) const DEAD_LETTERS: &str = "dead-letter";

/// When it was asked last what is to be done for files that are read.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Monotonic time.
    asked_ms: u64,
    /// How many there were then, if nothing was done for them.
    read: usize,
}

impl Pipeline {
    /// Does the next step for the files that are due. `false`: there is none to do now.
    pub(super) fn settle(&mut self) -> Result<bool, Halt> {
        if self.settle_gone()? {
            return Ok(true);
        }
        if !self.is_worth_asking() {
            return Ok(false);
        }
        let due = self.files.due();
        if let Some(handle) = due.finish.and_then(|id| self.files.handle_of(id))
            && self.may_send()
            && self.send_final(handle)?
        {
            self.settling.read = 0;
            return Ok(true);
        }
        let now_ms = self.clock.monotonic_ms();
        let may_note = now_ms >= self.ledger_retry_ms;
        let count = due.retire.len() + if may_note { due.done.len() } else { 0 };
        let is_due = count >= self.settle_min()
            || self.is_idle()
            || now_ms - self.settling.asked_ms >= SETTLE_WAIT_MS;
        self.settling.asked_ms = now_ms;
        if count == 0 || !is_due {
            return Ok(false);
        }
        // The next step of these files may be due at once.
        self.settling.read = 0;
        let done = if may_note { due.done } else { Vec::new() };
        self.carry_out(&due.retire, &done)
    }

    fn settle_min(&self) -> usize {
        SETTLE_MIN.min(self.files.backlog_open_max() / 2)
    }

    /// To ask for the steps that are due is a look at each open file. While batches are under way that is done only
    /// when so many more files are read that a step is worth its syncs, and twice a second.
    fn is_worth_asking(&mut self) -> bool {
        let read = self.files.read_to_the_end();
        let more = read.saturating_sub(self.settling.read);
        let is_worth_it = more >= self.settle_min()
            || self.is_idle()
            || self.clock.monotonic_ms() - self.settling.asked_ms >= SETTLE_WAIT_MS;
        self.settling.read = if is_worth_it { read } else { self.settling.read.min(read) };
        is_worth_it
    }

    /// The receipts of files that are done first, then their end (they are deleted, if so configured). One
    /// commit takes them off the list and has the new names of those that are retired, which get them behind it.
    fn carry_out(&mut self, retired: &[u64], done: &[u64]) -> Result<bool, Halt> {
        let records: Vec<FileRecord> = done
            .iter()
            .filter_map(|id| self.files.handle_of(*id).map(|handle| self.files.at(handle)))
            .filter(|t| !(t.keeps_name && t.receipted_at == Some(t.record.position)))
            .map(|t| t.record.clone())
            .filter(is_worth_a_receipt)
            .collect();
        let are_noted = records.is_empty() || self.write_receipts(&records)?;
        if are_noted {
            done.iter().rev().for_each(|id| self.files.forget(*id));
        } else if retired.is_empty() {
            return Ok(false);
        }
        for id in retired {
            if let Some(handle) = self.files.handle_of(*id) {
                self.files.intend_retirement(handle);
            }
        }
        if let Err(halt) = self.commit() {
            self.stay_live(retired);
            return Err(halt);
        }
        if !retired.is_empty() {
            self.move_aside(retired);
        }
        Ok(true)
    }

    /// Gives files the names that the checkpoint has.
    fn move_aside(&mut self, ids: &[u64]) {
        for (n, id) in ids.iter().enumerate() {
            let Some(handle) = self.files.handle_of(*id) else { continue };
            match self.files.move_aside(handle) {
                Move::Refused => {
                    self.stay_live(&ids[n + 1..]);
                    break;
                }
                Move::Lost => self.files.follow_lost(handle),
                // A name that cannot be had: another one is chosen next time.
                Move::Moved | Move::Taken | Move::Kept => {}
            }
        }
        self.files.sync_names();
        self.is_dirty = true;
    }

    fn stay_live(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some(handle) = self.files.handle_of(*id) {
                self.files.stay_live(handle);
            }
        }
    }

    /// Files that are nowhere to be found end when nothing of them is in doubt: many at a time, since a cleaner deletes
    /// hundreds together.
    fn settle_gone(&mut self) -> Result<bool, Halt> {
        if self.clock.monotonic_ms() < self.ledger_retry_ms || self.files.is_directory_absent() {
            return Ok(false);
        }
        let is_settled = |id: u64| self.announced.iter().all(|a| a.record.file != id);
        let now_ms = self.clock.monotonic_ms();
        let ended = self.files.absent().ended(now_ms, is_settled);
        if ended.is_empty() {
            return Ok(false);
        }
        let ids: Vec<u64> = ended.iter().map(|record| record.id).collect();
        let noted: Vec<FileRecord> = ended.into_iter().filter(is_worth_a_receipt).collect();
        if !noted.is_empty() && !self.write_receipts(&noted)? {
            return Ok(false);
        }
        ids.into_iter().for_each(|id| self.files.forget_absent(id));
        // What was truncated was told then.
        for record in noted.iter().filter(|record| record.state != FileState::Superseded) {
            log::warn(
                SOURCE,
                format_args!(
                    "File:{} can no longer be found; it was read to byte {}.",
                    String::from_utf8_lossy(&record.name),
                    record.position
                ),
            );
        }
        self.commit()?;
        Ok(true)
    }

    /// `false`: not now, the disk has no room for instance.
    fn write_receipts(&mut self, records: &[FileRecord]) -> Result<bool, Halt> {
        let channels: Vec<_> = self.outlets.iter().map(|o| o.record.clone()).collect();
        let done_ms = self.clock.now_ms();
        let names_from = self.files.names_from();
        let finished: Vec<FinishedFile<'_>> = records
            .iter()
            .map(|record| FinishedFile { record, channels: &channels, done_ms, names_from })
            .collect();
        let written = self.ledger.receipts(&finished);
        let are_noted = self.take_outcome(written)?;
        if are_noted {
            self.files.note_receipts(records);
        }
        Ok(are_noted)
    }

    /// `false`: not now.
    fn take_outcome(&mut self, written: Result<(), LedgerError>) -> Result<bool, Halt> {
        match written {
            Ok(()) => {
                self.tell_written(RECEIPTS);
                Ok(true)
            }
            Err(LedgerError::Final(why)) => Err(Fatal::State(why).into()),
            Err(LedgerError::Later(why)) => {
                self.tell_unwritten(RECEIPTS, &why, LEDGER_RETRY_MS);
                self.ledger_retry_ms = self.clock.monotonic_ms() + LEDGER_RETRY_MS;
                Ok(false)
            }
        }
    }

    /// Finished files that were copied with the state, and keep their names, get receipts with the numbers that they have
    /// here. No broker is needed for that. `true`: there are more.
    pub(super) fn renew_receipts(&mut self) -> Result<bool, Halt> {
        let has_more = self.files.renew_receipts();
        let renewed = self.files.renewed();
        let now_ms = self.clock.monotonic_ms();
        if renewed.is_empty() || now_ms < self.ledger_retry_ms {
            return Ok(has_more);
        }
        let written = self.ledger.renew(renewed);
        if self.take_outcome(written)? {
            self.files.note_renewed();
        }
        Ok(has_more)
    }

    /// What cannot be added to the file of that name now is tried again.
    pub(super) fn tell_unwritten(&mut self, what: &str, why: &str, wait_ms: u64) {
        if self.repeats.is_due(what, why, self.clock.monotonic_ms()) {
            let name = &self.config.name;
            let text = format_args!("Source {name}: {why}. Next try in {wait_ms} milliseconds.");
            log::warn(SOURCE, text);
        }
    }

    pub(super) fn tell_written(&mut self, what: &str) {
        if self.repeats.is_over(what) {
            let name = &self.config.name;
            log::info(SOURCE, format_args!("Source {name}: {what} can be written again."));
        }
    }

    /// A file that goes on from its receipt keeps the offset ranges that stand there.
    pub(super) fn take_over_ranges(&mut self) {
        for (id, receipt) in self.files.take_resumed() {
            let Some(handle) = self.files.handle_of(id) else { continue };
            let ranges = &mut self.files.at_mut(handle).record.ranges;
            for range in receipt.ranges {
                let is_its =
                    |o: &Outlet| o.record.name == range.channel && o.record.topic == range.topic;
                let Some(channel) = self.outlets.iter().position(is_its) else { continue };
                merge_range(
                    ranges,
                    OffsetRange {
                        channel: channel as u16,
                        partition: range.partition,
                        producer_id: range.producer_id,
                        first: range.first,
                        last: range.last,
                        events: range.events,
                    },
                );
            }
        }
    }
}

/// Was anything read under this record that no other file has taken over, or is there a file that is
/// to be known again?
fn is_worth_a_receipt(record: &FileRecord) -> bool {
    !record.current_name.is_empty()
        || record.lines > 0
        || record.events > 0
        || !record.ranges.is_empty()
}
