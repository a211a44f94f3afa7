//! What a run that ends by itself (`--once`) owes: what the files held when it began.
//!
//! Files go on growing while it works. What comes is sent like any other line but is not waited for,
//! or a busy file would keep the run for ever. A file of a time that is not over is owed to its last
//! whole line, one whose time is over to its end, and it is given its new name, or its marker. A grace time in
//! which nothing is owed is not waited for, since it is for lines that are yet to come.

use std::collections::{HashMap, HashSet};

use super::policy::Then;
use super::{Files, Handle};
use crate::checkpoint::record::FileState;

/// What is owed of each file, by device and inode at the first listing.
#[derive(Debug, Default)]
pub struct Owed {
    files: HashMap<(u64, u64), Debt>,
}

impl Owed {
    /// Files that there were at the start.
    pub fn count(&self) -> usize {
        self.files.len()
    }
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    /// Length of the file at the start.
    bytes: u64,
    /// Its time was not over then: more of its last line may come, and its name is still needed.
    was_live: bool,
}

/// What is not delivered yet, or not retired.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub files: usize,
    /// Bytes that the files held at the start and that are not acknowledged.
    pub bytes: u64,
}

impl Left {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl Files {
    /// Takes stock. `None` as long as the directory cannot be listed.
    pub fn owe(&mut self) -> Option<Owed> {
        self.refresh(false);
        if self.is_directory_absent() || self.listed_ms.is_none() {
            return None;
        }
        self.update_present();
        let mut files = HashMap::new();
        for candidate in self.scanner.candidates() {
            // By now it may be longer than it was when it was listed: what it had then was there.
            let bytes = self.path(&candidate.name).metadata().map_or(candidate.seen.0, |m| m.len());
            let was_live = self.present.is_current(&candidate.name);
            files.insert((candidate.device, candidate.inode), Debt { bytes, was_live });
        }
        for tracked in self.tracked.iter().filter(|t| !t.is_superseded() && !t.is_released()) {
            let identity = (tracked.record.device, tracked.record.inode);
            let bytes = tracked.file.metadata().map_or(tracked.record.position, |m| m.len());
            files.entry(identity).or_insert(Debt { bytes, was_live: false });
        }
        Some(Owed { files })
    }

    /// What is left of it; what is paid is no longer owed. `None`: the directory cannot be listed now.
    pub fn left(&mut self, owed: &mut Owed) -> Option<Left> {
        if self.is_directory_absent() {
            return None;
        }
        self.update_present();
        // One that is done stays so, however long it grows.
        owed.files.retain(|(device, inode), _| !self.is_kept(*device, *inode));
        let mut left = Left::default();
        for handle in self.tracked.handles() {
            let record = &self.tracked[handle].record;
            let (identity, position) = ((record.device, record.inode), record.position);
            let Some(debt) = owed.files.get(&identity).copied() else { continue };
            if !self.is_paid(handle, debt) {
                left.add(debt.bytes.saturating_sub(position));
            } else if !self.tracked[handle].is_superseded() {
                owed.files.remove(&identity);
            }
        }
        self.add_unopened(owed, &mut left);
        // Until it is known whose bytes they are, and where those are that a record tells of.
        let sought = self.quests.list.len() + self.absent.waiting().count();
        left.files += sought + self.scanner.unjudged_count();
        Some(left)
    }

    /// Names that wait to be opened, and those whose descriptors others have now.
    fn add_unopened(&self, owed: &Owed, left: &mut Left) {
        let parked: HashMap<(u64, u64), (u64, u64)> = self
            .parking
            .read_to()
            .map(|(record, size)| ((record.device, record.inode), (record.position, size)))
            .collect();
        let tracked: HashSet<(u64, u64)> =
            self.tracked.iter().map(|t| (t.record.device, t.record.inode)).collect();
        for (record, read_to) in self.parking.read_to() {
            // The end of its last line, which has no newline, is owed as well.
            let Some(debt) = owed.files.get(&(record.device, record.inode)) else { continue };
            let is_owed = record.position < debt.bytes && (!debt.was_live || read_to < debt.bytes);
            if record.state == FileState::Draining && is_owed {
                left.add(debt.bytes - record.position);
            }
        }
        for candidate in self.scanner.candidates() {
            let identity = (candidate.device, candidate.inode);
            let Some(debt) = owed.files.get(&identity) else { continue };
            if tracked.contains(&identity) || self.is_kept(identity.0, identity.1) {
                continue;
            }
            let Some(&(position, read_to)) = parked.get(&identity) else {
                left.add(debt.bytes);
                continue;
            };
            // It was read to its end when it was parked; one that has grown is opened again.
            let is_read = position.max(read_to) >= debt.bytes;
            let keeps_name = debt.was_live || debt.bytes == 0 || self.names_are_stuck();
            if !is_read || !keeps_name {
                left.add(debt.bytes.saturating_sub(position));
            }
        }
    }

    fn is_paid(&mut self, handle: Handle, debt: Debt) -> bool {
        let id = self.tracked[handle].record.id;
        if self.is_sought(id) || !self.is_delivered(handle, debt.bytes) {
            return false;
        }
        if debt.was_live || self.is_live(handle) {
            return true;
        }
        if self.policy.whole_ms().is_some() {
            let tracked = &self.tracked[handle];
            // Where a marker is all that says so, the file has it when it is taken off the list.
            let keeps_name = tracked.keeps_name && self.policy.then != Then::Mark;
            let has_new_name = !tracked.is_named() || keeps_name || self.names_are_stuck();
            return has_new_name && !tracked.has_rest();
        }
        let is_named = self.tracked[handle].is_named();
        if self.step_of(handle, &[]).is_some() {
            // Where no name can be changed, that was said, and the next run tries again.
            return is_named && self.names_are_stuck();
        }
        // The only file keeps its name, and the end of its last line may come.
        let tracked = &self.tracked[handle];
        let waits_for_name = is_named && !tracked.keeps_name;
        waits_for_name || tracked.record.position >= debt.bytes || !tracked.has_rest()
    }

    /// Is all acknowledged that the file held at the start, to the last whole line?
    fn is_delivered(&self, handle: Handle, bytes: u64) -> bool {
        let tracked = &self.tracked[handle];
        if tracked.record.position >= bytes {
            return true;
        }
        if tracked.has_uncommitted() {
            return false;
        }
        // It may have been cut since: then what it held is gone, and what it holds now is read.
        let Ok(size) = tracked.file.metadata().map(|stat| stat.len()) else { return false };
        let is_seen = |seen: Option<u64>| seen.is_some_and(|seen| seen >= bytes.min(size));
        tracked.is_superseded()
            || size == tracked.read_position
            || size > tracked.read_position
                && (is_seen(tracked.exhausted_at) || is_seen(tracked.finished_at))
    }
}
