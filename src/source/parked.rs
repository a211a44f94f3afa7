//! More files than descriptors: a file that has nothing to read gives its descriptor to one that
//! waits, and is looked at by its name meanwhile.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::tracked::Look;
use super::{BACKLOG_OPEN_MAX, Files, OPEN_FILES_MAX};
use crate::checkpoint::record::FileRecord;

/// Parked files that are looked at in one turn of the loop.
const LOOK_MAX: usize = 512;

/// They are looked at so often, ms.
const LOOK_INTERVAL_MS: u64 = 250;

/// A file without a descriptor. All of it that was read is in the topic.
pub struct Parked {
    pub record: FileRecord,
    /// Size and modification time when it was parked.
    seen: (u64, i64, i64),
}

/// See the module.
#[derive(Default)]
pub struct Parking {
    files: Vec<Parked>,
    /// Device and inode of each of them: a candidate of ten thousand is asked for every listing.
    identities: HashSet<(u64, u64)>,
    next: usize,
    looked_ms: u64,
}

impl Parking {
    pub fn holds(&self, device: u64, inode: u64) -> bool {
        self.identities.contains(&(device, inode))
    }

    pub fn records(&self) -> impl Iterator<Item = &FileRecord> {
        self.files.iter().map(|p| &p.record)
    }

    fn push(&mut self, record: FileRecord, seen: (u64, i64, i64)) {
        self.identities.insert((record.device, record.inode));
        self.files.push(Parked { record, seen });
    }

    fn take(&mut self, at: usize) -> FileRecord {
        let record = self.files.swap_remove(at).record;
        self.identities.remove(&(record.device, record.inode));
        record
    }
}

impl Files {
    /// Takes the descriptor from a quiet file of the present hour (`live`) or of the backlog: the
    /// one that has had nothing to read for longest. `false`: none can spare it.
    pub(super) fn park_one(&mut self, live: bool) -> bool {
        let now_ms = self.clock().monotonic_ms();
        let mut best: Option<usize> = None;
        for index in 0..self.tracked.len() {
            let tracked = &self.tracked[index];
            let is_older = best.is_none_or(|b| tracked.served_ms < self.tracked[b].served_ms);
            if !tracked.is_named || tracked.is_superseded || tracked.has_uncommitted() || !is_older
            {
                continue;
            }
            let name = tracked.name().to_owned();
            if self.is_target(&name) != live {
                continue;
            }
            if matches!(self.tracked[index].look(now_ms), Ok(Look::Quiet)) {
                best = Some(index);
            }
        }
        let Some(index) = best else { return false };
        let tracked = self.tracked.remove(index);
        let seen = tracked.file.metadata().map_or((0, 0, 0), |m| seen(&m));
        self.parking.push(tracked.record, seen);
        true
    }

    /// Parks the record of the last run without opening the file.
    pub(super) fn park_record(&mut self, record: FileRecord) {
        self.parking.push(record, (0, 0, 0));
    }

    /// Opens parked files that have changed again, and those of the backlog where there is room
    /// to retire them.
    pub(super) fn look_at_parked(&mut self) {
        let now_ms = self.clock().monotonic_ms();
        if self.parking.files.is_empty() || now_ms < self.parking.looked_ms + LOOK_INTERVAL_MS {
            return;
        }
        self.parking.looked_ms = now_ms;
        for _ in 0..LOOK_MAX.min(self.parking.files.len()) {
            self.parking.next = (self.parking.next + 1) % self.parking.files.len().max(1);
            let at = self.parking.next;
            let Some(parked) = self.parking.files.get(at) else { break };
            let path = self.path(std::ffi::OsStr::from_bytes(&parked.record.current_name));
            let has_changed =
                std::fs::metadata(path).map_or((0, 0, 0), |m| seen(&m)) != parked.seen;
            let name = std::ffi::OsString::from(std::ffi::OsStr::from_bytes(&parked.record.name));
            let live = self.is_target(&name);
            let may_retire = !live && !self.names_are_stuck() && self.has_backlog_room();
            if !has_changed && !may_retire {
                continue;
            }
            if self.tracked.len() >= OPEN_FILES_MAX && !self.park_one(true) && !self.park_one(false)
            {
                return;
            }
            self.unpark(at);
        }
    }

    fn unpark(&mut self, at: usize) {
        let record = self.parking.take(at);
        self.restore_one(record, None);
    }

    pub(super) fn has_backlog_room(&mut self) -> bool {
        self.backlog_open() < BACKLOG_OPEN_MAX && self.tracked.len() < OPEN_FILES_MAX * 3 / 4
    }

    /// Files that are not of the present hour and still have their names.
    fn backlog_open(&mut self) -> usize {
        let mut open = 0;
        for index in 0..self.tracked.len() {
            let tracked = &self.tracked[index];
            if tracked.is_named {
                let name = tracked.name().to_owned();
                open += usize::from(!self.is_target(&name));
            }
        }
        open
    }
}

fn seen(stat: &std::fs::Metadata) -> (u64, i64, i64) {
    (stat.len(), stat.mtime(), stat.mtime_nsec())
}
