//! Once a second: do the names of the directories, the lock and the checkpoint that this agent holds
//! still lead to them?
//!
//! A name may lead elsewhere from one moment to the next: a cleaner removes old files, a directory is
//! moved, recreated or mounted over. The descriptors go on working, and it would go unnoticed until
//! the next start, which finds no state. So what is gone is written again if no other process holds
//! the directory. If another agent does, or there is another checkpoint, this one ends (75). While
//! nothing can be written, nothing is sent, and no new configuration is taken over.

use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::lifecycle::tell_lost;
use super::reload::PROVIDER;
use super::{Agent, End, NoStart, Running, watch};
use crate::checkpoint::ledger::FileLedger;
use crate::checkpoint::lock::{self, Locked, Place};
use crate::checkpoint::slots::{self, FileStore, Opened, Slots};
use crate::checkpoint::spool_lock::{self, SpoolLock, SpoolLocked};
use crate::config::model::SourceConfig;
use crate::config::source::shared_files;
use crate::exit::Exit;
use crate::log;
use crate::os::{self, Inotify};
use crate::pipeline::SOURCE;
use crate::source::{Files, reach, scan};

/// How long after a failure change notices are asked for again, ms.
pub(super) const WATCH_RETRY_MS: u64 = 10_000;

/// Why the own state of a source is not where it belongs.
#[derive(Debug, PartialEq, Eq)]
enum Misplaced {
    /// Nothing can be written there now; it is tried again.
    NotNow(String),
    /// Another agent's: this one must end.
    Lost(String),
}

impl Agent {
    pub(super) fn look_at_places(&mut self) -> Result<(), End> {
        for at in 0..self.running.len() {
            self.running[at].lock.keep_fresh(self.clock.monotonic_ms());
            match self.look_at_state(at) {
                Ok(()) => {
                    if self.running[at].pause.take().is_some() {
                        let dir = self.running[at].pipeline.config.tracker_dir.display();
                        log::info(SOURCE, format_args!("{dir} can be written again."));
                    }
                }
                Err(Misplaced::NotNow(why)) => self.pause(at, why),
                Err(Misplaced::Lost(why)) => {
                    tell_lost(&why);
                    return Err(End(Exit::Temporary));
                }
            }
            self.look_at_spool(at)?;
            let now_ms = self.clock.monotonic_ms();
            renew_watch(&mut self.running[at], now_ms);
        }
        Ok(())
    }

    /// Would a source that begins now not find the state of the one before? Then why is told. What can be
    /// put in its place is.
    pub(super) fn is_state_astray(&mut self) -> Result<bool, End> {
        const SUBJECT: &str = "the new configuration";
        self.look_at_places()?;
        let Some(why) = self.running.iter().find_map(astray) else {
            self.repeats.is_over(SUBJECT);
            return Ok(false);
        };
        if self.repeats.is_due(SUBJECT, &why, self.clock.monotonic_ms()) {
            log::error(
                PROVIDER,
                format_args!(
                    "The new configuration waits for the state of {why}. The agent goes on with the \
                     configuration that it has; it is tried every second."
                ),
            );
        }
        Ok(true)
    }

    /// Nothing is sent that no checkpoint on the disk announces.
    fn pause(&mut self, at: usize, why: String) {
        let running = &mut self.running[at];
        if running.pause.as_ref() != Some(&why) {
            log::error(
                SOURCE,
                format_args!(
                    "Source {}: {why}. Nothing is sent until it can be written again; it is tried \
                     every second.",
                    running.pipeline.config.name
                ),
            );
        }
        running.pause = Some(why);
    }

    fn look_at_state(&mut self, at: usize) -> Result<(), Misplaced> {
        let running = &self.running[at];
        let dir = running.pipeline.config.tracker_dir.clone();
        if is_in_place(running.lock.place())? {
            return self.look_at_checkpoint(at, &dir);
        }
        if !dir.exists() && !dir.parent().is_some_and(Path::exists) {
            // Moved away with all around it: it goes on to be written where it is.
            return match running.lock.has_name() {
                true => Ok(()),
                false => Err(Misplaced::NotNow(format!("{} was removed", dir.display()))),
            };
        }
        let since = self.clock.local(self.clock.now_ms()).log_stamp();
        let not_now = |why: String| Misplaced::NotNow(why);
        match lock::acquire(&dir, &self.name, since.as_str()).map_err(|e| not_now(e.to_string()))? {
            Locked::Held(lock) => {
                log::warn(
                    SOURCE,
                    format_args!(
                        "{} was removed or replaced under this agent; it is locked again.",
                        dir.join(lock::FILE_NAME).display()
                    ),
                );
                self.running[at].lock = lock;
                self.look_at_checkpoint(at, &dir)
            }
            // It was our own: back in its place meanwhile.
            Locked::Busy { .. } if is_in_place(self.running[at].lock.place())? => {
                self.look_at_checkpoint(at, &dir)
            }
            Locked::Busy { path, holder } => Err(Misplaced::Lost(format!(
                "the lock was removed or replaced under this agent, and another one has it now: {}",
                lock::busy_message(&path, holder.as_ref())
            ))),
        }
    }

    fn look_at_checkpoint(&mut self, at: usize, dir: &Path) -> Result<(), Misplaced> {
        let Running { pipeline, own_checkpoints, .. } = &mut self.running[at];
        match pipeline.state_place() {
            Place::Held => return Ok(()),
            Place::Unknown(why) => return Err(Misplaced::NotNow(why)),
            Place::Gone | Place::Other => {}
        }
        if let Some(own) = pipeline.state_identity().filter(|own| !own_checkpoints.contains(own)) {
            own_checkpoints.push(own);
        }
        let not_now = |e: &dyn std::fmt::Display| {
            Misplaced::NotNow(format!("{}: the checkpoint is gone: {e}", dir.display()))
        };
        let there = fs::metadata(dir.join(slots::FILE_NAME)).map(|stat| os::identity(&stat)).ok();
        let opened = FileStore::open(dir).and_then(Slots::open).map_err(|e| not_now(&e))?;
        let (slots, what) = match opened {
            Opened::Absent(slots) => (slots, "was removed under this agent; it was written again"),
            // An earlier one of this very run, that was away.
            Opened::Valid { slots, .. }
                if there.is_some_and(|id| own_checkpoints.contains(&id)) =>
            {
                (slots, "is there again; what happened meanwhile was added to it")
            }
            Opened::Valid { .. } | Opened::Damaged(_) => {
                return Err(Misplaced::Lost(format!(
                    "{}: the checkpoint was replaced under this agent; the next start goes by the \
                     one that is there now",
                    dir.display()
                )));
            }
        };
        let ledger = Box::new(ledger(&pipeline.config));
        pipeline.renew_state(Box::new(slots), ledger).map_err(|e| not_now(&e))?;
        log::warn(SOURCE, format_args!("{}: the checkpoint {what}.", dir.display()));
        Ok(())
    }

    /// The path of the spool directory may lead to another one, which needs a lock of its own.
    fn look_at_spool(&mut self, at: usize) -> Result<(), End> {
        let running = &mut self.running[at];
        let listed = running.pipeline.files().directory();
        if listed.is_some() {
            running.claimed.clear();
        }
        let Some(held) = &running.spool_lock else { return Ok(()) };
        if listed.is_none_or(|directory| directory == held.directory) {
            return Ok(());
        }
        let config = running.pipeline.config.clone();
        match self.acquire_spool(&config) {
            Ok(lock) => {
                log::warn(
                    SOURCE,
                    format_args!("{} is another directory now.", config.spool_dir.display()),
                );
                self.running[at].spool_lock = lock;
            }
            // Listing it will tell, too.
            Err(NoStart::NotYet(why)) => log::warn(SOURCE, format_args!("{why}")),
            Err(NoStart::Final(end)) => return Err(end),
        }
        Ok(())
    }

    /// Locks the spool directory. `None`: it has no locks.
    pub(super) fn acquire_spool(
        &mut self,
        config: &SourceConfig,
    ) -> Result<Option<Rc<SpoolLock>>, NoStart> {
        // Nothing is renamed or deleted: who else reads it takes nothing away.
        if config.kind.tail().is_some() {
            return Ok(None);
        }
        let dir = &config.spool_dir;
        let not_yet =
            |e: &dyn std::fmt::Display| NoStart::NotYet(format!("{}: {e}", dir.display()));
        reach::metadata(dir).map_err(|e| not_yet(&e))?;
        self.refuse_shared_files(config)?;
        match spool_lock::acquire(dir, config.shares_spool_dir) {
            Ok(SpoolLocked::Held(lock)) => Ok(Some(lock)),
            Ok(SpoolLocked::Busy(pid)) => {
                tell_lost(&spool_lock::busy_message(dir, pid));
                Err(End(Exit::Temporary).into())
            }
            Ok(SpoolLocked::Impossible(e)) => {
                log::info(
                    SOURCE,
                    format_args!(
                        "{} cannot be locked: {e}; make sure that no other agent reads it.",
                        dir.display()
                    ),
                );
                Ok(None)
            }
            Err(e) => Err(not_yet(&e)),
        }
    }

    /// Two paths may lead to one directory, or into one, only since the configuration was read.
    fn refuse_shared_files(&self, config: &SourceConfig) -> Result<(), End> {
        for running in &self.running {
            let other = &running.pipeline.config;
            if other.name == config.name {
                continue;
            }
            if let Some(why) = shared_files(other, config) {
                log::error(
                    SOURCE,
                    format_args!(
                        "Source {} reads {} too, and {why}. This agent ends (exit \
                         code 78).",
                        other.name,
                        config.spool_dir.display(),
                    ),
                );
                return Err(End(Exit::Configuration));
            }
        }
        Ok(())
    }
}

/// Locks the directories below that of a recursive source, as they are now, before anything is read. What
/// comes to light later is locked when it is listed.
pub(super) fn claim_below(config: &SourceConfig) -> Result<Vec<Rc<SpoolLock>>, NoStart> {
    let mut locks = Vec::new();
    for dir in scan::places_below(config).iter().take(os::directories_locked_max()) {
        match spool_lock::acquire(dir, config.shares_spool_dir) {
            Ok(SpoolLocked::Held(lock)) => locks.push(lock),
            Ok(SpoolLocked::Busy(pid)) => {
                tell_lost(&spool_lock::busy_message(dir, pid));
                return Err(End(Exit::Temporary).into());
            }
            // Told when it is listed.
            Ok(SpoolLocked::Impossible(_)) | Err(_) => {}
        }
    }
    Ok(locks)
}

/// Is the lock the one that the next agent will ask for? Where that cannot be told, nobody asks for it: who is
/// in the way would be this agent.
fn is_in_place(lock: Place) -> Result<bool, Misplaced> {
    match lock {
        Place::Held => Ok(true),
        Place::Gone | Place::Other => Ok(false),
        Place::Unknown(why) => Err(Misplaced::NotNow(why)),
    }
}

/// Which source's state is not found under its path, and why.
fn astray(running: &Running) -> Option<String> {
    let config = &running.pipeline.config;
    let why = running.pause.clone().or_else(|| {
        let is_held =
            [running.lock.place(), running.pipeline.state_place()] == [Place::Held, Place::Held];
        (!is_held).then(|| format!("{} was moved away", config.tracker_dir.display()))
    })?;
    Some(format!("source {}: {why}", config.name))
}

/// Notices of changes in all directories of a source.
pub(super) fn watch_all(files: &Files) -> io::Result<Inotify> {
    let mut notices = Inotify::new()?;
    for place in files.places() {
        match notices.add(&files.place(place), place) {
            // One of several that is not there is watched when it is.
            Err(e) if !is_missing(&e) || files.places().count() == 1 => return Err(e),
            _ => {}
        }
    }
    Ok(notices)
}

fn is_missing(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Notices are of a directory, not of its name. Where there was no descriptor for them, or a limit
/// was reached, there may be one later.
fn renew_watch(running: &mut Running, now_ms: u64) {
    let files = running.pipeline.files();
    let config = &running.pipeline.config;
    let mut listed = files.directories().filter_map(|(_, directory)| directory).peekable();
    if listed.peek().is_none() {
        return;
    }
    match &running.watch {
        Some(watch) if listed.all(|directory| watch.is_of(directory)) => {}
        Some(_) => running.watch = watch(config, files),
        None if now_ms >= running.watch_retry_ms => {
            running.watch_retry_ms = now_ms + WATCH_RETRY_MS;
            running.watch = watch_all(files).ok();
            if running.watch.is_some() {
                let dir = config.shown_spool_dir();
                log::info(SOURCE, format_args!("There are change notices for {dir} now."));
            }
        }
        None => {}
    }
}

/// The files beside a source's checkpoint that are appended to.
pub(super) fn ledger(config: &SourceConfig) -> FileLedger {
    FileLedger::new(&config.tracker_dir).naming_from(config.names_from())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of a network file system that does not answer for a moment is neither gone nor another's.
    #[test]
    fn a_lock_of_which_nothing_is_known_is_not_asked_for() {
        let unknown = Place::Unknown("t/lock: Input/output error".to_string());
        let waits = Err(Misplaced::NotNow("t/lock: Input/output error".to_string()));
        assert_eq!(is_in_place(unknown), waits);
        let known = [Place::Held, Place::Gone, Place::Other].map(is_in_place);
        assert_eq!(known, [Ok(true), Ok(false), Ok(false)]);
    }
}
