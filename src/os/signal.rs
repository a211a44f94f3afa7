//! Requests to stop, and the end of a call that cannot be cut short.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use super::check;

/// The signal that asked the agent to stop, 0 for none.
static STOP_SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Write end of the pipe that ends a wait when a signal comes; -1 before [`install_signals`].
static WAKE_WRITE: AtomicI32 = AtomicI32::new(-1);
pub(super) static WAKE_READ: AtomicI32 = AtomicI32::new(-1);
/// The last words of [`arm_last_words`], written by the alarm's handler.
static LAST_WORDS: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LAST_WORDS_LEN: AtomicUsize = AtomicUsize::new(0);

/// Longest time between a request to stop and the end of the process while a call that cannot
/// be cut short (the wire before 0.11) is under way.
const STOP_GRACE_US: i32 = 800_000;

/// Has the agent been asked to stop? The number of the signal.
pub fn stop_requested() -> Option<i32> {
    match STOP_SIGNAL.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

fn wake() {
    let fd = WAKE_WRITE.load(Ordering::Relaxed);
    if fd >= 0 {
        // SAFETY: write(2) is async-signal-safe and the byte outlives the call. A full pipe
        // (EAGAIN) is as good as a written byte: the waiter wakes.
        unsafe { libc::write(fd, [0u8].as_ptr().cast(), 1) };
    }
}

extern "C" fn on_stop_signal(signal: libc::c_int) {
    STOP_SIGNAL.store(signal, Ordering::Relaxed);
    wake();
    if !LAST_WORDS.load(Ordering::Acquire).is_null() {
        start_alarm();
    }
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
    let words = LAST_WORDS.load(Ordering::Acquire);
    if words.is_null() {
        return;
    }
    // SAFETY: write and _exit are async-signal-safe; pointer and length belong to a leaked
    // buffer, published with Release before the blocking call began.
    unsafe {
        libc::write(2, words.cast(), LAST_WORDS_LEN.load(Ordering::Relaxed));
        libc::_exit(0);
    }
}

/// Guards a call that cannot be cut short: while the guard lives, a request to stop ends the
/// process with exit code 0 after 0.8 s, with `words` on stderr.
pub fn arm_last_words(words: String) -> LastWords {
    let bytes = words.into_bytes().into_boxed_slice();
    LAST_WORDS_LEN.store(bytes.len(), Ordering::Relaxed);
    LAST_WORDS.store(Box::into_raw(bytes).cast(), Ordering::Release);
    if stop_requested().is_some() {
        start_alarm();
    }
    LastWords(())
}

/// See [`arm_last_words`]; dropping it takes the guard away.
pub struct LastWords(());

impl Drop for LastWords {
    fn drop(&mut self) {
        let words = LAST_WORDS.swap(std::ptr::null_mut(), Ordering::AcqRel);
        let len = LAST_WORDS_LEN.load(Ordering::Relaxed);
        if !words.is_null() {
            // SAFETY: made by Box::into_raw of a boxed slice of this length in arm_last_words,
            // and swapped out, so nobody else frees it. The handler runs on this thread only and
            // does not return once it has taken the pointer.
            drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(words, len)) });
        }
    }
}

/// Catches TERM, INT and HUP (HUP not if it was inherited as ignored, as under nohup), and
/// ignores PIPE and IO.
pub fn install_signals() -> io::Result<()> {
    let mut fds = [0; 2];
    // SAFETY: pipe2 writes two descriptors into the array.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    WAKE_READ.store(fds[0], Ordering::Relaxed);
    WAKE_WRITE.store(fds[1], Ordering::Relaxed);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        set_handler(signal, on_stop_signal as *const () as usize)?;
    }
    if !is_ignored(libc::SIGHUP)? {
        set_handler(libc::SIGHUP, on_stop_signal as *const () as usize)?;
    }
    set_handler(libc::SIGALRM, on_alarm as *const () as usize)?;
    // See `is_open_for_writing`.
    set_handler(libc::SIGIO, libc::SIG_IGN)?;
    set_handler(libc::SIGPIPE, libc::SIG_IGN)
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

/// TERM and INT as bits of what /proc tells of waiting signals.
pub const STOP_SIGNALS: u64 = 1 << (libc::SIGTERM - 1) | 1 << (libc::SIGINT - 1);
