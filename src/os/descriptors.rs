//! How many files each source may hold open.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of the sources' files: sockets, state, directories.
const DESCRIPTORS_BESIDE: u64 = 96;
/// Files that a source may hold open at least and at most, whatever the limit.
const FILES_OPEN_MIN: u64 = 16;
const FILES_OPEN_MAX: u64 = 512;

/// Of one source; see [`share_descriptors`].
static FILES_OPEN: AtomicUsize = AtomicUsize::new(FILES_OPEN_MAX as usize);

/// Subdirectories of one source that are locked at most, whatever the limit.
const DIRECTORIES_LOCKED_MAX: u64 = 4_096;

/// Of one source; see [`share_descriptors`].
static DIRECTORIES_LOCKED: AtomicUsize = AtomicUsize::new(DIRECTORIES_LOCKED_MAX as usize);

/// How many directories a source may hold locked, beside its files.
pub fn directories_locked_max() -> usize {
    DIRECTORIES_LOCKED.load(Ordering::Relaxed)
}

/// How many files a source may hold open.
pub fn files_open_max() -> usize {
    FILES_OPEN.load(Ordering::Relaxed)
}

/// Raises the limit of descriptors to the most that this process may have, and divides them among
/// so many sources.
pub fn share_descriptors(sources: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    // None is no limit.
    let limit = limit.current.unwrap_or(u64::MAX);
    let sources = sources.max(1) as u64;
    // An eighth of all: there is no harm but a warning where a directory is not locked.
    let locked = (limit / 8 / sources).min(DIRECTORIES_LOCKED_MAX);
    DIRECTORIES_LOCKED.store(locked as usize, Ordering::Relaxed);
    let share = limit.saturating_sub(DESCRIPTORS_BESIDE) / sources;
    let share = share.clamp(FILES_OPEN_MIN, FILES_OPEN_MAX);
    FILES_OPEN.store(share as usize, Ordering::Relaxed);
}

/// So many at most from now on, or as many as this process may have; for a test in a process of its own.
#[cfg(test)]
pub fn limit_descriptors(most: Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    let current = most.or(limit.maximum);
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("a limit that is permitted");
}
