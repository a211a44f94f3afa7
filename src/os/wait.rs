//! Waiting on several descriptors and on a request to stop.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::signal::WAKE_READ;

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
    let mut polls: Vec<libc::pollfd> = Vec::with_capacity(interests.len() + 1);
    polls.push(libc::pollfd {
        fd: WAKE_READ.load(Ordering::Relaxed),
        events: libc::POLLIN,
        revents: 0,
    });
    polls.extend(interests.iter().map(|i| libc::pollfd {
        fd: i.fd,
        events: libc::POLLIN | if i.write { libc::POLLOUT } else { 0 },
        revents: 0,
    }));
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(86_400) as _,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the array outlives the call and its length is given; a negative descriptor (no
    // signal pipe yet) is skipped by the kernel.
    let ready = unsafe {
        libc::ppoll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, &timeout, std::ptr::null())
    };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    if polls[0].revents != 0 {
        drain_wake_pipe();
    }
    Ok(polls[1..].iter().any(|p| p.revents != 0))
}

fn drain_wake_pipe() {
    let mut buffer = [0u8; 64];
    let fd = WAKE_READ.load(Ordering::Relaxed);
    // SAFETY: reads at most the buffer's length; the pipe is non-blocking.
    while unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}
