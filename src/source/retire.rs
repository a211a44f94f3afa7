//! The end of a file: Flume's rule for the moment, our care for what comes after it.
//!
//! Flume gives a file up when a read came back empty, the name does not hold the present time and
//! another candidate exists. At this moment the name goes (renamed, or moved out of sight to be
//! deleted), with Flume's log lines. But a writer may still have the file open: so it is read on
//! through its descriptor until it has not been modified for `retireGraceMs`; only then is its
//! unterminated last line an event, its receipt written and, with `deletePolicy = immediate`, the
//! file deleted. Each step is announced in the checkpoint before it is taken and is safe to
//! repeat.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::tracked::{self, Look, Tracked};
use super::window::TailBytes;
use super::{Files, READER};
use crate::checkpoint::record::{FileRecord, FileState};
use crate::config::model::DeletePolicy;
use crate::{log, os};

/// Waits after a rename that the directory did not permit.
const RETRY_MS: u64 = 4_000;

/// What is to be done for a file that has nothing left to read and nothing in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Announce its last, unterminated line.
    Finish(usize),
    /// Give up its name: [`Files::intend_retirement`], commit, [`Files::move_aside`].
    Retire(usize),
    /// Write its receipt, then [`Files::forget`] it.
    Done(usize),
}

/// Where the files of the last run were found.
pub struct Restored {
    /// Records whose file is nowhere to be found.
    pub gone: Vec<FileRecord>,
    /// Tracked files whose announced move did not happen before the end of the last run.
    pub unmoved: Vec<usize>,
}

/// How far a file was announced in the last run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    pub end: u64,
    pub tail_crc: Option<u32>,
    pub is_final: bool,
}

impl Files {
    /// The next step for some file, if one is due.
    pub fn next_step(&mut self) -> Option<Step> {
        (0..self.tracked.len()).find_map(|index| self.step_of(index))
    }

    fn step_of(&mut self, index: usize) -> Option<Step> {
        let now_ms = self.clock().monotonic_ms();
        let wall_ms = self.clock().now_ms();
        if self.tracked[index].has_uncommitted() || self.tracked[index].retry_ms > now_ms {
            return None;
        }
        if self.tracked[index].look(now_ms).ok()? != Look::Quiet {
            return None;
        }
        let name = self.tracked[index].name().to_owned();
        let is_named = self.tracked[index].is_named;
        if is_named && (self.is_target(&name) || !self.has_other_candidate(&name)) {
            return None;
        }
        let grace_ms = self.config.retire_grace_ms;
        let tracked = &self.tracked[index];
        let is_quiet = tracked.is_superseded || tracked.quiet_ms(wall_ms, now_ms).ok()? >= grace_ms;
        let has_rest = tracked.size > tracked.read_position && !tracked.is_final_announced;
        match (is_named, is_quiet) {
            (_, true) if has_rest => Some(Step::Finish(index)),
            (true, _) => Some(Step::Retire(index)),
            (false, true) => Some(Step::Done(index)),
            (false, false) => None,
        }
    }

    /// Is this a backlog file that will be retired and done as soon as it is read? Then its last
    /// line needs no newline, and goes in its place, before the files behind it.
    pub fn is_ending(&mut self, index: usize) -> bool {
        let (wall_ms, now_ms) = (self.clock().now_ms(), self.clock().monotonic_ms());
        let tracked = &self.tracked[index];
        let is_quiet = tracked
            .quiet_ms(wall_ms, now_ms)
            .is_ok_and(|quiet_ms| quiet_ms >= self.config.retire_grace_ms);
        let (name, is_named) = (tracked.name().to_owned(), tracked.is_named);
        is_quiet && is_named && !self.is_target(&name) && self.has_other_candidate(&name)
    }

    /// Milliseconds until a draining file may be done, if there is one.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let (wall_ms, now_ms) = (self.clock().now_ms(), self.clock().monotonic_ms());
        let grace_ms = self.config.retire_grace_ms;
        let left = |t: &Tracked| Some(grace_ms.saturating_sub(t.quiet_ms(wall_ms, now_ms).ok()?));
        self.tracked.iter().filter(|t| !t.is_named).filter_map(left).min()
    }

    /// Says Flume's words and chooses the new name; to be committed before the move.
    pub fn intend_retirement(&mut self, index: usize) {
        let tracked = &self.tracked[index];
        let name = tracked.name().to_owned();
        let text = name.display();
        if tracked.record.state == FileState::Live {
            log::info(
                READER,
                format_args!(
                    "File:{text} is no longer a TARGET File, which will no longer be monitored."
                ),
            );
            self.tell_unchanged(index);
        }
        let path = self.path(&name);
        let target = match self.config.delete_policy {
            DeletePolicy::Never => {
                let target = self.free_name(&name);
                log::info(
                    READER,
                    format_args!(
                        "Preparing to move file {} to {}",
                        path.display(),
                        self.path(&target).display()
                    ),
                );
                target
            }
            DeletePolicy::Immediate => {
                log::info(READER, format_args!("Preparing to delete file {}", path.display()));
                self.hidden_name(index)
            }
        };
        let record = &mut self.tracked[index].record;
        record.state = FileState::Draining;
        record.current_name = target.as_bytes().to_vec();
    }

    fn tell_unchanged(&self, index: usize) {
        let tracked = &self.tracked[index];
        let Ok(stat) = tracked.file.metadata() else { return };
        let text = tracked.name().display();
        if tracked.opened == Some((stat.mtime(), stat.mtime_nsec(), stat.len())) {
            log::info(READER, format_args!("File:{text} has not been modified since being read."));
        }
        if tracked.opened.is_some_and(|(_, _, size)| size == stat.len()) {
            log::info(READER, format_args!("File:{text} has not changed size since being read."));
        }
    }

    /// `name.COMPLETED`, or the first of `.COMPLETED.1`, `.2`, … that does not exist.
    fn free_name(&self, name: &OsStr) -> OsString {
        let mut plain = name.to_owned();
        plain.push(&self.config.file_suffix);
        let numbered = |n: u32| {
            let mut name = plain.clone();
            name.push(format!(".{n}"));
            name
        };
        std::iter::once(plain.clone())
            .chain((1..).map(numbered))
            .find(|candidate| self.path(candidate).symlink_metadata().is_err())
            .unwrap_or(plain.clone())
    }

    /// Where a file to be deleted spends its grace time: in the tracker directory if that is on
    /// the same file system, else under a hidden name (never a candidate) beside the others.
    fn hidden_name(&self, index: usize) -> OsString {
        let tracked = &self.tracked[index];
        let leaf = format!("deleted-{}-{}", tracked.record.inode, tracked.record.id);
        match self.config.tracker_dir.metadata() {
            Ok(stat) if stat.dev() == tracked.record.device => {
                self.config.tracker_dir.join(leaf).into_os_string()
            }
            _ => OsString::from(format!(".flume-ng-{leaf}")),
        }
    }

    /// Carries the announced move out. `Ok(false)`: the new name was taken in this moment; intend
    /// again. A directory that does not permit it leaves the file live, to be retired later.
    pub fn move_aside(&mut self, index: usize) -> bool {
        let tracked = &self.tracked[index];
        let (name, target) = (tracked.name().to_owned(), tracked.current_name());
        let (from, to) = (self.path(&name), self.path(&target));
        match os::rename_no_replace(&from, &to) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return false,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                log::warn(
                    READER,
                    format_args!(
                        "{} vanished before it could be moved; its descriptor is read on.",
                        from.display()
                    ),
                );
                self.tracked[index].record.current_name.clear();
            }
            Err(e) => {
                self.stay_live(index, &from, &e);
                return true;
            }
        }
        self.sync_after_move(&to);
        self.tracked[index].is_named = false;
        self.scanner_forget(&name);
        true
    }

    fn stay_live(&mut self, index: usize, from: &Path, e: &io::Error) {
        log::warn(
            READER,
            format_args!(
                "Unable to move {}: {e}. It is read on and moved when the directory permits it; \
                 next try in {RETRY_MS} ms.",
                from.display()
            ),
        );
        let now_ms = self.clock().monotonic_ms();
        let tracked = &mut self.tracked[index];
        tracked.record.state = FileState::Live;
        tracked.record.current_name = tracked.record.name.clone();
        tracked.retry_ms = now_ms + RETRY_MS;
    }

    /// A rename that a power cut undoes would be done again at the next start, so a failure to
    /// sync the directory costs nothing but the repetition.
    fn sync_after_move(&self, to: &Path) {
        for dir in [Some(self.config.spool_dir.as_path()), to.parent()].into_iter().flatten() {
            if let Err(e) = os::sync_directory(dir) {
                log::warn(READER, format_args!("Can not sync {}: {e}", dir.display()));
            }
        }
    }

    /// Takes a done file off the list, deleting it where the policy says so.
    pub fn forget(&mut self, index: usize) {
        let tracked = &self.tracked[index];
        let current = tracked.current_name();
        let is_hidden = self.config.delete_policy == DeletePolicy::Immediate
            && !current.is_empty()
            && current.as_bytes() != tracked.record.name;
        if is_hidden {
            delete(&self.path(&current), tracked.record.inode);
        }
        self.tracked.remove(index);
        self.window.clear();
    }

    /// Opens the files of the last run again, wherever they are now. `announced` tells how far
    /// each was announced.
    pub fn restore(
        &mut self,
        records: Vec<FileRecord>,
        next_file_id: u64,
        announced: impl Fn(u64) -> Option<Announced>,
    ) -> Restored {
        self.set_next_file_id(next_file_id);
        let mut restored = Restored { gone: Vec::new(), unmoved: Vec::new() };
        for record in records {
            let reached = announced(record.id);
            if record.state == FileState::Superseded {
                restored.gone.push(record);
                continue;
            }
            match self.locate(&record) {
                Some((file, found)) => {
                    self.restore_one(record, file, &found, reached, &mut restored);
                }
                None => restored.gone.push(record),
            }
        }
        restored
    }

    fn restore_one(
        &mut self,
        mut record: FileRecord,
        file: std::fs::File,
        found: &OsStr,
        reached: Option<Announced>,
        restored: &mut Restored,
    ) {
        let position = record.position;
        let announced =
            reached.unwrap_or(Announced { end: position, tail_crc: None, is_final: false });
        let is_own_name = found.as_bytes() == record.name;
        let mut is_named = record.state == FileState::Live && self.accepts(found);
        if !is_named && record.state == FileState::Live {
            record.state = FileState::Draining;
            record.current_name = found.as_bytes().to_vec();
        } else if is_named && !is_own_name {
            record.name = found.as_bytes().to_vec();
            record.current_name = record.name.clone();
        }
        let unmoved = record.state == FileState::Draining && is_own_name && !is_named;
        if unmoved {
            is_named = true;
        }
        let expected_crc = announced.tail_crc.unwrap_or(record.tail_crc);
        let index = self.push_restored(record, file, announced.end, is_named);
        self.tracked[index].is_final_announced = announced.is_final;
        if unmoved {
            restored.unmoved.push(index);
        }
        self.tell_restored(index);
        self.check_restored(index, announced.end, expected_crc);
    }

    fn tell_restored(&self, index: usize) {
        let tracked = &self.tracked[index];
        let doubt = if tracked.has_uncommitted() { ", what is behind it is in doubt" } else { "" };
        let state = if tracked.is_named { "live" } else { "retired, watched for late lines" };
        log::info(
            READER,
            format_args!(
                "Opened {} at byte {} (position from the checkpoint, {state}{doubt}).",
                self.path(tracked.name()).display(),
                tracked.record.position
            ),
        );
    }

    /// Was the file truncated, and perhaps written anew, while no agent was looking?
    fn check_restored(&mut self, index: usize, end: u64, tail_crc: u32) {
        let file = &self.tracked[index].file;
        let size = file.metadata().map_or(0, |m| m.len());
        let what = if size < end {
            format!("was truncated to {size} bytes")
        } else if TailBytes::read(file, end).is_ok_and(|t| t.crc() == tail_crc) {
            return;
        } else {
            "was truncated and has grown past the old position".to_owned()
        };
        self.begin_again(index, &what);
    }

    /// Finds the file of a record by device, inode and the bytes it begins with: under its
    /// present name, its old one, or any other in the spool and tracker directories.
    fn locate(&self, record: &FileRecord) -> Option<(std::fs::File, OsString)> {
        let known = [&record.current_name, &record.name];
        let by_name = known
            .into_iter()
            .filter(|n| !n.is_empty())
            .find_map(|n| self.open_if_same(OsStr::from_bytes(n), record, false));
        by_name.or_else(|| self.locate_by_inode(record))
    }

    fn locate_by_inode(&self, record: &FileRecord) -> Option<(std::fs::File, OsString)> {
        use std::os::unix::fs::DirEntryExt;
        let dirs = [(&self.config.spool_dir, false), (&self.config.tracker_dir, true)];
        for (dir, is_absolute) in dirs {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.ino() != record.inode {
                    continue;
                }
                let name: PathBuf =
                    if is_absolute { entry.path() } else { entry.file_name().into() };
                if let Some(found) = self.open_if_same(name.as_os_str(), record, true) {
                    return Some(found);
                }
            }
        }
        None
    }

    /// The device number of a file system may change at a reboot; under a known name inode and
    /// first bytes are enough.
    fn open_if_same(
        &self,
        name: &OsStr,
        record: &FileRecord,
        same_device: bool,
    ) -> Option<(std::fs::File, OsString)> {
        let file = tracked::open(&self.path(name)).ok()?;
        let stat = file.metadata().ok()?;
        if stat.ino() != record.inode || same_device && stat.dev() != record.device {
            return None;
        }
        // A shorter file was truncated: still the same one.
        let is_short = stat.len() < u64::from(record.head_len);
        let same = is_short || tracked::head_matches(&file, record).ok()?;
        same.then(|| (file, name.to_owned()))
    }
}

/// Deletes what was hidden for deletion, and nothing else that may stand there now.
fn delete(path: &Path, inode: u64) {
    match path.symlink_metadata() {
        Ok(stat) if stat.ino() == inode => {
            if let Err(e) = std::fs::remove_file(path) {
                log::warn(READER, format_args!("Unable to delete {}: {e}", path.display()));
            }
        }
        Ok(_) | Err(_) => {
            log::warn(READER, format_args!("Unable to delete nonexistent file: {}", path.display()))
        }
    }
}
