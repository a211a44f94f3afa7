//! Waiting for room for the state. Nothing is sent, moved or finished that is not in a checkpoint on
//! the disk; so where a larger one cannot be made, all of that waits, in memory as it is, until one
//! can. What was announced meanwhile may or may not have been sent, as after a crash, and is looked
//! for before anything goes on.

use super::{Fatal, Observer, Pace, Pipeline, REST_MS, SOURCE};
use crate::channel::outlet::Absence;
use crate::checkpoint::slots::WriteError;
use crate::log;

/// Between two tries to write the state, ms.
const ROOM_RETRY_MS: u64 = 4_000;
/// The log has a line this often for as long as it lasts, ms.
const ROOM_TOLD_MS: u64 = 60_000;

/// Why a turn went no further.
#[derive(Debug)]
pub(super) enum Halt {
    Fatal(Fatal),
    /// There is no room for the state. Nothing of it was written.
    NoRoom(WriteError),
}

impl From<Fatal> for Halt {
    fn from(fatal: Fatal) -> Halt {
        Halt::Fatal(fatal)
    }
}

impl From<WriteError> for Halt {
    fn from(error: WriteError) -> Halt {
        match error.is_final() {
            true => Halt::Fatal(Fatal::State(error.to_string())),
            false => Halt::NoRoom(error),
        }
    }
}

/// The state could not be written; monotonic times, ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unwritten {
    retry_at_ms: u64,
    told_at_ms: u64,
}

impl Pipeline {
    /// Does everything wait for room for the checkpoint?
    pub fn is_waiting_for_room(&self) -> bool {
        self.unwritten.is_some()
    }

    /// From now on [`Pipeline::owe_state`] stands in for the turns of the loop. It takes no channel a step further, so
    /// one that is being opened begins anew behind it: the answer that it waits for would end each rest at once.
    pub(super) fn wait_for_room(&mut self, error: &WriteError) -> Pace {
        let now_ms = self.clock.monotonic_ms();
        for outlet in self.outlets.iter_mut().filter(|outlet| outlet.is_being_opened()) {
            outlet.close(now_ms);
        }
        let told_at_ms = self.unwritten.map(|unwritten| unwritten.told_at_ms);
        let is_told = told_at_ms.is_some_and(|at_ms| now_ms - at_ms < ROOM_TOLD_MS);
        if !is_told {
            log::error(
                SOURCE,
                format_args!(
                    "Source {}: {error}. Nothing is sent until it can be; it is tried every {} seconds.",
                    self.config.name,
                    ROOM_RETRY_MS / 1_000
                ),
            );
        }
        let told_at_ms = told_at_ms.filter(|_| is_told).unwrap_or(now_ms);
        self.unwritten = Some(Unwritten { retry_at_ms: now_ms + ROOM_RETRY_MS, told_at_ms });
        Pace::Rest(REST_MS)
    }

    /// A turn while the state is unwritten. Files that go and answers that come make it smaller.
    pub(super) fn owe_state(
        &mut self,
        unwritten: Unwritten,
        observer: &mut dyn Observer,
    ) -> Result<Pace, Halt> {
        self.files.refresh(false);
        self.receive(observer);
        self.fold();
        let now_ms = self.clock.monotonic_ms();
        if now_ms < unwritten.retry_at_ms {
            return Ok(Pace::Rest((unwritten.retry_at_ms - now_ms).min(REST_MS)));
        }
        self.commit()?;
        self.unwritten = None;
        log::info(
            SOURCE,
            format_args!("Source {}: the checkpoint is written again.", self.config.name),
        );
        for at in 0..self.outlets.len() {
            if !self.doubts(at).is_empty() || !self.outlets[at].is_open() {
                self.outlets[at].close(now_ms);
                // Nobody looked meanwhile, and what an earlier row of looks said is of other batches.
                self.outlets[at].absence = Absence::Unknown;
            }
        }
        Ok(Pace::Again)
    }
}
