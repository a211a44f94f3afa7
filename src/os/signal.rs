//! Requests to stop, and the end of a call that cannot be cut short.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};

use super::check;

/// The signal that asked the agent to stop, 0 for none.
static STOP_SIGNAL: AtomicI32 = AtomicI32::new(0);
/// The pipe that ends a wait when a signal comes; its ends to read from and to write to.
static WAKE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
/// What [`arm_last_words`] was given, written by the alarm's handler.
static LAST_WORDS: AtomicPtr<String> = AtomicPtr::new(std::ptr::null_mut());
/// What [`install_signals`] was given.
static EXIT_CUT_SHORT: AtomicI32 = AtomicI32::new(0);

/// Longest time between a request to stop and the end of the process while a call that cannot
/// be cut short (the wire before 0.10) is under way.
const STOP_GRACE_US: i32 = 800_000;

/// TERM and INT as bits of what /proc tells of waiting signals.
pub const STOP_SIGNALS: u64 = 1 << (libc::SIGTERM - 1) | 1 << (libc::SIGINT - 1);

/// Has the agent been asked to stop? The number of the signal.
pub fn stop_requested() -> Option<i32> {
    match STOP_SIGNAL.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

/// Can be read from when a request to stop has come. `None` before [`install_signals`].
pub(super) fn wake_pipe() -> Option<&'static OwnedFd> {
    WAKE.get().map(|(read, _)| read)
}

/// What is called here is async-signal-safe: atomics (`OnceLock::get` is one load), and system
/// calls that are made without the C library, so that `errno` stays as it is.
extern "C" fn on_stop_signal(signal: libc::c_int) {
    STOP_SIGNAL.store(signal, Ordering::Relaxed);
    if let Some((_, write)) = WAKE.get() {
        wake(write);
    }
    if !LAST_WORDS.load(Ordering::Acquire).is_null() {
        start_alarm();
    }
}

/// Async-signal-safe.
fn wake(write: &OwnedFd) {
    // A full pipe is as good as a written byte: the waiter wakes.
    let _ = rustix::io::write(write, &[0]);
}

/// Starts the timer that ends a blocked call's process. Async-signal-safe.
fn start_alarm() {
    let timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: STOP_GRACE_US.into() },
    };
    // SAFETY: setitimer reads `timer` only.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

/// Ends a process whose broker does not answer. Everything that must survive is in the fsynced
/// checkpoint already: the batch that is under way was announced there before it was sent.
extern "C" fn on_alarm(_: libc::c_int) {
    // SAFETY: the pointer is null or of a leaked box, published with Release, which nobody frees
    // while this handler runs: it interrupts the only thread and does not return to it.
    if let Some(words) = unsafe { LAST_WORDS.load(Ordering::Acquire).as_ref() } {
        super::last_words(words);
        super::exit_now(EXIT_CUT_SHORT.load(Ordering::Relaxed));
    }
}

/// Guards a call that cannot be cut short: while the guard lives, a request to stop ends the
/// process after 0.8 s, with `words` on stderr and the exit code that [`install_signals`] was given.
pub fn arm_last_words(words: String) -> LastWords {
    LAST_WORDS.store(Box::into_raw(Box::new(words)), Ordering::Release);
    if stop_requested().is_some() {
        start_alarm();
    }
    LastWords(())
}

/// The guard of [`arm_last_words`]; dropping it takes it away.
pub struct LastWords(());

impl Drop for LastWords {
    fn drop(&mut self) {
        let words = LAST_WORDS.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !words.is_null() {
            // SAFETY: made by Box::into_raw in arm_last_words, and swapped out, so that nobody else
            // frees it. The handler runs on this thread only and does not return once it has taken
            // the pointer.
            drop(unsafe { Box::from_raw(words) });
        }
    }
}

/// Catches TERM, INT and HUP (HUP not if it was inherited as ignored, as under nohup), and
/// ignores PIPE and IO. `exit_cut_short`: the exit code where a request to stop has to end a call that
/// cannot be cut short.
pub fn install_signals(exit_cut_short: u8) -> io::Result<()> {
    EXIT_CUT_SHORT.store(exit_cut_short.into(), Ordering::Relaxed);
    if WAKE.get().is_none() {
        let _ = WAKE.set(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?);
    }
    let on_stop = on_stop_signal as *const () as usize;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        set_handler(signal, on_stop)?;
    }
    if !is_ignored(libc::SIGHUP)? {
        set_handler(libc::SIGHUP, on_stop)?;
    }
    set_handler(libc::SIGALRM, on_alarm as *const () as usize)?;
    // `is_open_for_writing` may bring one.
    ignore(libc::SIGIO)?;
    ignore(libc::SIGPIPE)
}

/// Makes this process ignore a signal.
pub(super) fn ignore(signal: libc::c_int) -> io::Result<()> {
    set_handler(signal, libc::SIG_IGN)
}

fn set_handler(signal: libc::c_int, handler: usize) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one; the handlers above call only
    // async-signal-safe functions.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        check(libc::sigaction(signal, &action, std::ptr::null_mut()))
    }
}

fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    // SAFETY: with a null new action, sigaction only writes the present one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        check(libc::sigaction(signal, std::ptr::null(), &mut action))?;
        Ok(action.sa_sigaction == libc::SIG_IGN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is interrupted may be about to read what its own call has left there.
    #[test]
    fn a_handler_that_cannot_write_leaves_errno_as_it_is() {
        let (_read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        while rustix::io::write(&write, &[0; 4096]).is_ok() {}
        // SAFETY: it is this thread's own, and nothing is called in between but what is looked at.
        let errno = unsafe {
            *libc::__errno_location() = libc::EINTR;
            wake(&write);
            *libc::__errno_location()
        };
        assert_eq!(errno, libc::EINTR);
    }
}
