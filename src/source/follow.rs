//! What became of a file that is open: renamed, replaced, deleted, come back, truncated.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::directories::note_same_home;
use super::hints::Hints;
use super::tracked::Tie;
use super::{Files, Handle, tell};
use crate::checkpoint::record::{FileState, FormerName};
use crate::log::Level;

impl Files {
    /// Is the file still where it was? After a listing.
    pub(super) fn follow(&mut self, handle: Handle) {
        let tracked = &self.tracked[handle];
        let candidates = self.scanner.candidates();
        let is_it = |at: &usize| tracked.is_inode(candidates[*at].device, candidates[*at].inode);
        if !tracked.is_named() {
            self.adopt_if_back(handle);
            return;
        }
        let by_name = (0..candidates.len()).find(|&at| candidates[at].name == tracked.name());
        if by_name.is_some_and(|at| is_it(&at)) {
            return;
        }
        let elsewhere = (0..candidates.len()).find(is_it).map(|at| candidates[at].name.clone());
        match elsewhere {
            Some(new) => self.note_renamed(handle, &new),
            None => self.lose_name(handle, by_name.is_some()),
        }
    }

    fn note_renamed(&mut self, handle: Handle, new: &OsStr) {
        let now_ms = self.clock().monotonic_ms();
        let here = self.listed_directory(new);
        let tracked = &mut self.tracked[handle];
        tell(
            Level::Info,
            new,
            format_args!(
                "File:{} was renamed to {}; reading goes on at byte {}.",
                tracked.name().display(),
                new.display(),
                tracked.read_position
            ),
        );
        tracked.record.note_former_name(FormerName::of(&tracked.record));
        tracked.record.name = new.as_bytes().to_vec();
        tracked.lost_name_ms = Some(now_ms);
        // What there is of a receipt has the other name, and a copy of everything keeps but names.
        tracked.receipted_at = None;
        tracked.record.current_name.clone_from(&tracked.record.name);
        // It may be in another place now.
        if let Some(here) = here {
            here.note(&mut tracked.record);
        }
        self.has_news = true;
    }

    /// Its name is gone, or another file's now: read on through the descriptor.
    pub(super) fn lose_name(&mut self, handle: Handle, is_replaced: bool) {
        let tracked = &self.tracked[handle];
        let name = tracked.name().to_owned();
        let now_at = path_of(&tracked.file);
        let relative = now_at.as_ref().map(|path| {
            path.strip_prefix(&self.config.spool_dir).map_or_else(|_| path.clone(), PathBuf::from)
        });
        let what = match (&now_at, is_replaced) {
            (Some(path), true) => format!("was replaced and is {} now", path.display()),
            (Some(path), false) => format!("was moved to {}", path.display()),
            (None, true) => "was replaced by another file".to_owned(),
            (None, false) => "was deleted".to_owned(),
        };
        let now_ms = self.clock().monotonic_ms();
        let tracked = &mut self.tracked[handle];
        tracked.begin_grace(now_ms);
        (tracked.lost_name_ms, tracked.has_asked_heirs) = (Some(now_ms), false);
        // One that comes back keeps it anew.
        (tracked.asks_heirs_ms, tracked.unlisted_ms, tracked.keeps_name) = (None, None, false);
        tell(
            Level::Info,
            &name,
            format_args!(
                "File:{} {what}; its descriptor is read to the end (byte {} so far).",
                name.display(),
                tracked.read_position
            ),
        );
        tracked.tie = Tie::Nameless;
        tracked.record.state = FileState::Draining;
        match relative {
            Some(path) => tracked.record.current_name = path.as_os_str().as_bytes().to_vec(),
            // It has no name any more, and no later run has to wait for one.
            None if is_deleted(&tracked.file) => tracked.record.current_name.clear(),
            None => {}
        }
        self.has_news = true;
    }

    /// Is a file followed that had this name, and was renamed or deleted since? As `tail -f` does, it is
    /// stayed with, and the one that has got its name is not read in this run.
    pub(super) fn stays_with_another(&mut self, name: &OsStr) -> bool {
        let had_it = |t: &super::Tracked| {
            !t.is_named() && !t.is_superseded() && t.lost_name_ms.is_some() && t.name() == name
        };
        let stays = self.is_by_descriptor() && self.tracked.iter().any(had_it);
        if stays {
            self.complain(
                name,
                "the command is tail -f, which stays with the file that had this name; write tail -F to \
                 go over to the new one, or start the agent again",
            );
        }
        stays
    }

    pub(super) fn is_by_descriptor(&self) -> bool {
        self.config.kind.tail().is_some_and(|tail| tail.by_descriptor)
    }

    /// A file that had lost its name has one again (renamed back, or another hard link to it):
    /// the same file, read on under that name. `false`: it has none.
    pub(super) fn adopt_if_back(&mut self, handle: Handle) -> bool {
        if !self.scanner.has_inode(self.tracked[handle].record.inode) {
            return false;
        }
        let tracked = &self.tracked[handle];
        let is_it = |c: &&super::scan::Candidate| tracked.is_inode(c.device, c.inode);
        let Some(found) = self.scanner.candidates().iter().find(is_it) else { return false };
        // The listing may be older than the file's own move.
        let name = found.name.clone();
        let inode = tracked.record.inode;
        if !self.root.stat(&name).is_ok_and(|m| m.ino() == inode) {
            return false;
        }
        let here = self.listed_directory(&name);
        let tracked = &mut self.tracked[handle];
        tell(
            Level::Info,
            &name,
            format_args!(
                "File:{} is {} now; reading goes on at byte {}.",
                tracked.name().display(),
                name.display(),
                tracked.read_position
            ),
        );
        tracked.tie = Tie::Named;
        tracked.record.state = FileState::Live;
        tracked.finished_at = None;
        if tracked.name() != name {
            tracked.record.note_former_name(FormerName::of(&tracked.record));
        }
        tracked.record.name = name.as_bytes().to_vec();
        tracked.record.current_name.clone_from(&tracked.record.name);
        if let Some(here) = here {
            here.note(&mut tracked.record);
        }
        self.has_news = true;
        true
    }

    /// The file's content was thrown away by its writer: what it holds now is a new file. The old
    /// one ends where it was read to, unless it lives on in a copy (copytruncate). Returns the new one, or
    /// where there is no descriptor for it now the old one.
    pub(super) fn begin_again(&mut self, handle: Handle, what: &str) -> Handle {
        let tracked = &mut self.tracked[handle];
        let name = tracked.name().to_owned();
        // It may have been renamed since the last listing, and copied under a name like the new one.
        let now_at = path_of(&tracked.file).filter(|path| path.file_name() != Some(&name));
        if let Some(now) = now_at.as_ref().and_then(|path| path.file_name()) {
            let name = now.as_bytes().to_vec();
            let now = FormerName { name, ..FormerName::of(&tracked.record) };
            tracked.record.note_former_name(now);
        }
        let file = match tracked.file.try_clone() {
            Ok(file) => file,
            Err(e) => {
                self.complain(&name, &e.to_string());
                return handle;
            }
        };
        tell(
            Level::Warn,
            &name,
            format_args!(
                "File:{} {what} (read to byte {}); reading begins again at byte 0.",
                name.display(),
                tracked.read_position
            ),
        );
        let (old, read_position) = (tracked.record.clone(), tracked.read_position);
        let old_tie = std::mem::replace(&mut tracked.tie, Tie::Superseded);
        // The name is that of what the file holds now.
        tracked.keeps_name = false;
        tracked.record.state = FileState::Superseded;
        tracked.record.current_name.clear();
        self.window.clear();
        let new = self.push_tracked(name, file, 0);
        self.tracked[new].tie = old_tie;
        let record = &mut self.tracked[new].record;
        record.state = if old_tie == Tie::Named { FileState::Live } else { FileState::Draining };
        (record.device, record.inode, record.born_ns) = (old.device, old.inode, old.born_ns);
        note_same_home(record, &old);
        record.current_name = old.current_name;
        self.has_news = true;
        if read_position > 0 {
            self.seek_copy(old.id);
        }
        new
    }
}

pub(super) fn is_deleted(file: &File) -> bool {
    file.metadata().is_ok_and(|stat| stat.nlink() == 0)
}

/// The directory in which an open file had its last name, as what stands there now.
pub(super) fn last_directory(file: &File) -> Option<Hints> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    std::fs::metadata(path.parent()?).ok().map(|stat| Hints::of(&stat))
}

/// Where an open file is now; `None` if it was deleted or cannot be told.
pub(super) fn path_of(file: &File) -> Option<PathBuf> {
    let stat = file.metadata().ok()?;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    let now = std::fs::metadata(&path).ok()?;
    (now.ino() == stat.ino() && now.dev() == stat.dev()).then_some(path)
}

/// Names whose file could not be opened or read, and when it is tried again.
#[derive(Default)]
pub(super) struct Refusals(HashMap<OsString, u64>);

impl Refusals {
    /// Notes it; is it the first time?
    pub(super) fn note(&mut self, name: &OsStr, retry_ms: u64) -> bool {
        match self.0.get_mut(name) {
            Some(at) => {
                *at = retry_ms;
                false
            }
            None => self.0.insert(name.to_owned(), retry_ms).is_none(),
        }
    }

    pub(super) fn holds(&self, name: &OsStr, now_ms: u64) -> bool {
        !self.0.is_empty() && self.0.get(name).is_some_and(|at| *at > now_ms)
    }

    /// How many there are: many are tried again less often.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// When the first of those is tried again that are left alone now.
    pub(super) fn next_retry_ms(&self, now_ms: u64) -> Option<u64> {
        self.0.values().copied().filter(|at| *at > now_ms).min()
    }

    pub(super) fn forget(&mut self, name: &OsStr) {
        self.0.remove(name);
    }

    pub(super) fn forget_all_but(&mut self, stays: impl Fn(&OsString) -> bool) {
        self.0.retain(|name, _| stays(name));
    }
}
