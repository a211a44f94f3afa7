//! One reader per spool directory, whatever tracker directory it has: a lock on the directory
//! itself. It is the kernel's (flock) and nothing is written; agents that divide one directory by
//! their patterns (`sharedSpoolDir = true`) share it, and keep all others out.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::os;

/// How often an agent asks for the lock: another program may just be looking ([`look`]).
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(5);

/// Keeps other readers out of the spool directory as long as it lives.
#[derive(Debug)]
pub(crate) struct SpoolLock {
    file: File,
    /// Device and inode of the directory.
    pub directory: (u64, u64),
}

/// The outcome of [`acquire`] and [`look`].
#[derive(Debug)]
pub(crate) enum SpoolLocked<T> {
    Held(T),
    /// Another agent has it, with this process id if the kernel tells.
    Busy(Option<u32>),
    /// The file system has no locks for directories (some network ones).
    Impossible(io::Error),
}

thread_local! {
    /// What this agent has locked: the kernel tells two descriptors of one process apart as it does those
    /// of two, so that a second source of an agent, which has its own files there, uses the same lock.
    static HELD: RefCell<Vec<Weak<SpoolLock>>> = const { RefCell::new(Vec::new()) };
}

/// Locks the directory; with `shares` beside others who do so. What this agent has locked is its own.
pub(crate) fn acquire(dir: &Path, shares: bool) -> io::Result<SpoolLocked<Rc<SpoolLock>>> {
    let file = open(dir)?;
    let stat = file.metadata()?;
    let directory = (stat.dev(), stat.ino());
    let own = HELD.with_borrow_mut(|held| {
        held.retain(|lock| lock.strong_count() > 0);
        held.iter().filter_map(Weak::upgrade).find(|lock| lock.directory == directory)
    });
    if let Some(lock) = own.filter(|lock| lock.change(shares).unwrap_or(false)) {
        return Ok(SpoolLocked::Held(lock));
    }
    let lock = Rc::new(SpoolLock { file, directory });
    let mut tries = 1;
    loop {
        match lock.change(shares) {
            Ok(true) => {
                HELD.with_borrow_mut(|held| held.push(Rc::downgrade(&lock)));
                return Ok(SpoolLocked::Held(lock));
            }
            Ok(false) if tries == TRIES => return Ok(SpoolLocked::Busy(holder(lock.directory))),
            Ok(false) => std::thread::sleep(PAUSE),
            Err(e) => return Ok(SpoolLocked::Impossible(e)),
        }
        tries += 1;
    }
}

/// Without waiting for anything that may stand there by now.
fn open(dir: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(dir)
}

/// Could it be locked now? The lock is held for a moment.
pub(crate) fn look(dir: &Path, shares: bool) -> io::Result<SpoolLocked<()>> {
    Ok(match acquire(dir, shares)? {
        SpoolLocked::Held(_) => SpoolLocked::Held(()),
        SpoolLocked::Busy(pid) => SpoolLocked::Busy(pid),
        SpoolLocked::Impossible(e) => SpoolLocked::Impossible(e),
    })
}

/// Why an agent must not read the directory, and what to do.
pub(crate) fn busy_message(dir: &Path, pid: Option<u32>) -> String {
    let who = pid.map_or_else(|| "another agent".to_owned(), |pid| format!("pid {pid}"));
    format!(
        "{}: read by {who} under another trackerDir, every line would be sent twice; if the agents \
         divide the directory by targetPattern, write sharedSpoolDir = true for all of them",
        dir.display()
    )
}

impl SpoolLock {
    /// Shared from now on, or no longer. `false`: others have it.
    pub(crate) fn change(&self, shares: bool) -> io::Result<bool> {
        if shares { os::try_lock_shared(&self.file) } else { os::try_lock(&self.file) }
    }
}

/// The process that has a lock on an inode: `1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF`.
fn holder((device, inode): (u64, u64)) -> Option<u32> {
    let (major, minor) = (libc::major(device), libc::minor(device));
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&place.as_str());
        if is_it { words.get(4)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::scratch::Scratch;

    fn is_held<T>(outcome: &SpoolLocked<T>) -> bool {
        matches!(outcome, SpoolLocked::Held(_))
    }

    #[test]
    fn one_reader_or_several_who_share() {
        let scratch = Scratch::new("spool-lock");
        let dir = &scratch.dir;
        // As another process would: what a thread has locked is not known to another one.
        let look_from_elsewhere = |shares: bool| {
            std::thread::scope(|scope| scope.spawn(|| look(dir, shares).unwrap()).join().unwrap())
        };
        let alone = acquire(dir, false).unwrap();
        assert!(is_held(&alone));
        for shares in [false, true] {
            let SpoolLocked::Busy(pid) = look_from_elsewhere(shares) else { panic!() };
            assert!(pid.is_none_or(|pid| pid == std::process::id()), "{pid:?}");
        }
        // Two sources of one agent that have files there.
        let beside = acquire(dir, false).unwrap();
        assert!(is_held(&beside));
        drop(alone);
        assert!(!is_held(&look_from_elsewhere(false)));
        drop(beside);
        let first = acquire(dir, true).unwrap();
        assert!(is_held(&first));
        assert!(!is_held(&look_from_elsewhere(false)));
        assert!(is_held(&look_from_elsewhere(true)));
        drop(first);
        assert!(is_held(&look_from_elsewhere(false)));
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0, "nothing is written");
    }
}
