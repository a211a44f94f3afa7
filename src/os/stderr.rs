//! Standard error, where who reads it may have stopped.
//!
//! A write to a pipe, a terminal or a socket waits for its reader as long as that takes, and a request to
//! stop does not end the wait. So it is asked first whether there is room, and a piece that a pipe takes
//! whole or not at all is written. Where it can be had, a description of our own does not wait either: there
//! may be other writers, and a terminal may have less room than a piece takes. (That of the descriptor
//! itself is shared with whoever started us, and is left as it is.)

use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::stdio::stderr;

use super::signal;

/// `PIPE_BUF`: what a pipe takes at once. One that has room has so much.
const PIECE: usize = 4_096;

/// How much of a text was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Also where nothing can be written at all (it is closed, the disk is full): waiting mends nothing.
    Whole,
    Part,
    Nothing,
}

/// What standard error is, as it was at the first text.
enum Target {
    /// Nobody reads while it is written.
    File,
    /// Somebody reads; our own description that never waits, if there is one.
    Reader(Option<OwnedFd>),
}

static TARGET: OnceLock<Target> = OnceLock::new();

impl Target {
    fn find() -> Target {
        let Ok(stat) = rustix::fs::fstat(stderr()) else { return Target::File };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::RegularFile {
            return Target::File;
        }
        let can_be_opened = kind == FileType::Fifo || std::io::stderr().is_terminal();
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let own = || rustix::fs::open("/proc/self/fd/2", flags, Mode::empty()).ok();
        Target::Reader(if can_be_opened { own() } else { None })
    }
}

/// Writes `text`; a reader that is behind is waited for as long as `patience` in all, and not once a stop
/// is requested.
pub fn write_stderr(text: &[u8], patience: Duration) -> Taken {
    match TARGET.get_or_init(Target::find) {
        Target::File => {
            // Its failure is no event.
            let _ = rustix::io::write(stderr(), text);
            Taken::Whole
        }
        Target::Reader(Some(own)) => hand_over(own.as_fd(), text, patience),
        Target::Reader(None) => hand_over(stderr(), text, patience),
    }
}

/// Writes `words`, of at most 4,096 bytes, if there is room for them. Async-signal-safe; also for a copy of
/// this process that has closed everything else.
pub fn last_words(words: &str) {
    hand_over(stderr(), words.as_bytes(), Duration::ZERO);
}

fn hand_over(to: BorrowedFd<'_>, text: &[u8], patience: Duration) -> Taken {
    let begun = (!patience.is_zero()).then(Instant::now);
    let left = || match signal::stop_requested() {
        None => begun.map_or(Duration::ZERO, |begun| patience.saturating_sub(begun.elapsed())),
        Some(_) => Duration::ZERO,
    };
    let mut rest = text;
    while !rest.is_empty() {
        let taken = match has_room(to, left()) {
            true => rustix::io::write(to, &rest[..rest.len().min(PIECE)]),
            false => Err(Errno::TIMEDOUT),
        };
        match taken {
            Ok(0) => return Taken::Whole,
            Ok(length) => rest = &rest[length..],
            // There was room, and is none: another writer was faster.
            Err(Errno::AGAIN | Errno::INTR) if !left().is_zero() => {}
            Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {
                return if rest.len() == text.len() { Taken::Nothing } else { Taken::Part };
            }
            Err(_) => return Taken::Whole,
        }
    }
    Taken::Whole
}

/// One that is closed has room: the write says what is wrong with it.
fn has_room(to: BorrowedFd<'_>, patience: Duration) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
    let mut polls = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
    // A signal that ends the wait is a request to stop.
    poll(&mut polls, Some(&timeout)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

    use super::*;

    /// Each call ends, with a pipe that waits as with one that does not.
    #[test]
    fn a_pipe_that_nobody_reads_takes_what_it_has_room_for_and_holds_nobody_up() {
        for flags in [PipeFlags::CLOEXEC, PipeFlags::CLOEXEC | PipeFlags::NONBLOCK] {
            let (read, write) = pipe_with(flags).unwrap();
            let size = fcntl_setpipe_size(&write, 2 * PIECE).unwrap();
            let patience = Duration::from_millis(20);
            let put = |bytes| hand_over(write.as_fd(), &vec![b'x'; bytes], patience);
            assert_eq!(put(size + 1), Taken::Part);
            assert_eq!(put(1), Taken::Nothing);
            let mut buffer = vec![0; size];
            assert_eq!(rustix::io::read(&read, &mut buffer[..]), Ok(size));
            assert_eq!(put(size), Taken::Whole);
            drop(read);
            // Nobody will ever read it.
            assert_eq!(put(1), Taken::Whole);
        }
    }
}
