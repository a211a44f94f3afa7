//! Waiting on several descriptors and on a request to stop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::signal;

/// A descriptor to wait on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    pub fd: RawFd,
    /// Wait for room to write as well as for something to read.
    pub write: bool,
}

/// Waits until one of `interests` is ready, a request to stop arrives, or `timeout` is over.
/// Returns whether something is ready. Never fails on EINTR: the caller looks at its state anyway.
pub fn wait(interests: &[Interest], timeout: Duration) -> io::Result<bool> {
    let mut polls = Vec::with_capacity(interests.len() + 1);
    polls.extend(interests.iter().map(|interest| {
        // SAFETY: borrowed for this call only, in which nothing is closed. One that its owner has
        // closed before would be reported by the kernel (POLLNVAL).
        let fd = unsafe { BorrowedFd::borrow_raw(interest.fd) };
        let room = if interest.write { PollFlags::OUT } else { PollFlags::empty() };
        PollFd::from_borrowed_fd(fd, PollFlags::IN | room)
    }));
    let stop = signal::wake_pipe();
    polls.extend(stop.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
    let timeout = Timespec {
        tv_sec: timeout.as_secs().min(86_400) as _,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match poll(&mut polls, Some(&timeout)) {
        Err(Errno::INTR) => return Ok(false),
        result => result?,
    };
    let is_ready = |polls: &[PollFd]| polls.iter().any(|p| !p.revents().is_empty());
    let (of_callers, of_stop) = polls.split_at(interests.len());
    if let Some(pipe) = stop.filter(|_| is_ready(of_stop)) {
        drain(pipe.as_fd());
    }
    Ok(is_ready(of_callers))
}

/// Empties the pipe, which is non-blocking.
fn drain(pipe: BorrowedFd<'_>) {
    let mut buffer = [0u8; 64];
    while rustix::io::read(pipe, &mut buffer).is_ok_and(|len| len > 0) {}
}
