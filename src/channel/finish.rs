//! From steps that never block to a call that does: for `check`, `verify` and the tests, which have
//! nothing else to do meanwhile.

use std::os::fd::RawFd;
use std::time::Duration;

use super::broker::{Fault, Progress};
use crate::os::{self, Interest};

/// What waits for sockets or for a time.
pub trait Waits {
    /// Descriptors to wait on, with whether room to write is waited for too.
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool));

    /// Has a socket not taken yet what was to be sent?
    fn is_congested(&self) -> bool {
        let mut is_congested = false;
        self.descriptors(&mut |_, wants_write| is_congested |= wants_write);
        is_congested
    }

    /// How long it may be left alone though no descriptor stirs.
    fn patience(&self) -> Duration;
}

/// Calls `step` until it is done, and rests between.
///
/// # Errors
/// Those of `step`; `Fault::Stopped`; `Fault::Lost` where poll itself fails.
pub fn finish<W: Waits + ?Sized, T>(
    waits: &mut W,
    mut step: impl FnMut(&mut W) -> Result<Progress<T>, Fault>,
) -> Result<T, Fault> {
    loop {
        if let Progress::Done(done) = step(waits)? {
            return Ok(done);
        }
        if os::stop_requested().is_some() {
            return Err(Fault::Stopped);
        }
        let mut interests = Vec::new();
        waits.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
        os::wait(&interests, waits.patience()).map_err(|e| Fault::Lost(format!("poll: {e}")))?;
    }
}
