//! After a start: the files of the last run, wherever they are now; what a crash left of files that
//! were to be deleted; and finished files that have grown.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::absent::Absence;
use super::directories::{Home, forget_home, is_home, is_very_directory, was_in};
use super::hints::{Hints, born_ns, is_other_birth};
use super::known::{self, Same};
use super::late::put_grown;
use super::quest::{Then, Whose};
use super::retire::{HIDDEN, Move};
use super::tracked::{Tie, Tracked};
use super::trimmed::{is_trimmed, zeros_before};
use super::window::{HeadBytes, TailBytes};
use super::{Files, Handle, READER, reach, tell};
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::{FileRecord, FileState, FormerName, HEAD_BYTES};
use crate::log::{self, Level};

/// What one read of a check asks for, bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// How far a file was announced in the last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    pub end: u64,
    pub tail_crc: Option<u32>,
    pub is_final: bool,
    /// What was announced and is not covered by the position.
    pub ranges: Vec<AnnouncedRange>,
}

/// Bytes of a file, and their CRC-32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnouncedRange {
    pub start: u64,
    pub end: u64,
    pub crc: u32,
}

impl AnnouncedRange {
    /// Does the file hold these bytes there? One that cannot be read now is believed: what is
    /// sent is compared once more.
    pub(super) fn is_in(&self, file: &File) -> bool {
        let mut hasher = crc32fast::Hasher::new();
        let mut block = vec![0; BLOCK_BYTES];
        let mut at = self.start;
        while at < self.end {
            let len = BLOCK_BYTES.min(usize::try_from(self.end - at).unwrap_or(BLOCK_BYTES));
            match file.read_exact_at(&mut block[..len], at) {
                Ok(()) => hasher.update(&block[..len]),
                Err(e) => return e.kind() != io::ErrorKind::UnexpectedEof,
            }
            at += len as u64;
        }
        hasher.finalize() == self.crc
    }
}

impl Announced {
    /// Does the file hold all that was announced?
    pub(super) fn is_in(&self, file: &File) -> bool {
        let is_long = file.metadata().is_ok_and(|stat| stat.len() >= self.end);
        is_long && self.ranges.iter().all(|range| range.is_in(file))
    }
}

impl Files {
    /// Opens the files of the last run again, wherever they are now. `announced` tells how far
    /// each was announced. What cannot be opened now is waited for ([`super::absent`]).
    pub fn restore(
        &mut self,
        records: Vec<FileRecord>,
        next_file_id: u64,
        announced: impl Fn(u64) -> Option<Announced>,
    ) {
        self.set_next_file_id(next_file_id);
        // Of several records of one inode the newest is the file; the others speak of what it held before, and would
        // each read it from its beginning once more. One with another time of birth speaks of another file, which
        // has lost the number to this one perhaps.
        let mut of_inode: HashMap<(u64, u64), Vec<(u64, i64)>> = HashMap::new();
        let is_live = |r: &&FileRecord| r.inode != 0 && r.state != FileState::Superseded;
        for record in records.iter().filter(is_live) {
            let found = of_inode.entry((record.device, record.inode)).or_default();
            found.push((record.id, record.born_ns));
        }
        let is_older = |record: &FileRecord| {
            let mut of_its_inode =
                of_inode.get(&(record.device, record.inode)).into_iter().flatten();
            of_its_inode
                .any(|&(id, born_ns)| id > record.id && !is_other_birth(born_ns, record.born_ns))
        };
        self.is_restoring = true;
        self.note_places_left(&records);
        let mut missed = Vec::new();
        for mut record in records {
            let reached = announced(record.id);
            if is_older(&record) {
                record.state = FileState::Superseded;
            }
            if record.state == FileState::Superseded {
                // Of what was truncated there may be a copy.
                let record = self.without_void_hints(record);
                self.seek_stray(record, Absence::Superseded, reached);
            } else if self.tracked.len() >= self.open_max * 3 / 4
                && reached.is_none()
                && self.is_where_it_was(&record)
            {
                self.park_record(record);
            } else {
                match self.locate_by_name(&record) {
                    Ok(Some((file, found))) => {
                        self.restore_found(record, file, &found, reached);
                    }
                    _ => missed.push((record, reached)),
                }
            }
        }
        self.restore_missed(missed);
        self.renew_devices();
        self.is_restoring = false;
        self.list_suspects();
    }

    /// Where the device of the spool directory has another number now, it has it for what is still
    /// looked for as well: the next start has nothing else by which to tell that it was here.
    pub(super) fn renew_devices(&mut self) {
        // Of several directories it cannot be told which one became which.
        let [place] = self.root.places() else { return };
        let Ok(stat) = self.root.stat_place(place) else { return };
        let here = (stat.dev(), stat.ino());
        let homes = &self.homes;
        let is_old = |r: &FileRecord| {
            let is_it = || is_very_directory(&stat, r) || is_home(homes, here, r);
            was_in(r) != here && is_it()
        };
        let sought = self.quests.list.iter_mut().filter_map(|quest| match &mut quest.whose {
            Whose::Stray { record, .. } => Some(&mut **record),
            _ => None,
        });
        for record in sought.chain(self.absent.records_mut()).filter(|record| is_old(record)) {
            let was = std::mem::replace(&mut record.device, here.0);
            let moved = record.former_names.iter_mut().filter(|had| had.device == was);
            moved.for_each(|had| had.device = here.0);
            record.directory = here.1;
            record.directory_born_ns = born_ns(&stat);
            self.has_news = true;
        }
    }

    /// Is the file of the record under its name, as far as its numbers tell?
    fn is_where_it_was(&self, record: &FileRecord) -> bool {
        let path = self.path(OsStr::from_bytes(&record.current_name));
        reach::metadata(&path).is_ok_and(|stat| Hints::of(&stat).agree(Hints::of_record(record)))
    }

    /// What is not under a name that it had: one listing for all.
    fn restore_missed(&mut self, missed: Vec<(FileRecord, Option<Announced>)>) {
        if missed.is_empty() {
            return;
        }
        let census = self.take_census(&missed.iter().map(|(r, _)| r.inode).collect());
        let mut absent = Vec::new();
        for (record, reached) in missed {
            match self.locate_in(&record, &census) {
                Ok((file, found)) => {
                    self.restore_found(record, file, &found, reached);
                }
                Err(absence) => absent.push((record, absence, reached)),
            }
        }
        for (record, absence, reached) in absent {
            // Some other file may have shown meanwhile that it is the right directory.
            let absence = match absence {
                Absence::Elsewhere(_) => self.absence_here(&record, &census),
                other => other,
            };
            let mut record = self.without_void_hints(record);
            self.note_names_now(&mut record, &absence, &census);
            self.is_missed(record, absence, reached);
        }
    }

    /// Numbers from a state that was copied say nothing, at a later start either, which does not see
    /// any more that it was copied.
    fn without_void_hints(&mut self, mut record: FileRecord) -> FileRecord {
        if self.hints_are_void && (record.inode, record.directory) != (0, 0) {
            let here = self.right_directory(&record);
            (record.inode, record.born_ns) = (0, 0);
            forget_home(&mut record);
            for had in &mut record.former_names {
                (had.directory, had.directory_born_ns) = (0, 0);
            }
            if let Some(here) = here {
                record.device = here.device;
                (record.directory, record.directory_born_ns) = (here.inode, here.born_ns);
            }
            self.has_news = true;
        }
        record
    }

    /// What the listing of a directory lacks may be there under other numbers.
    pub(super) fn is_missed(
        &mut self,
        record: FileRecord,
        absence: Absence,
        reached: Option<Announced>,
    ) {
        match absence {
            Absence::Unreachable(_) => self.put_absent(record, absence, reached),
            _ if record.is_remnant => self.put_absent(record, absence, reached),
            _ => self.seek_stray(record, absence, reached),
        }
    }

    /// Finds and opens the file of a record that is not open. Its handle, if that is possible now.
    pub(super) fn restore_one(
        &mut self,
        mut record: FileRecord,
        reached: Option<Announced>,
    ) -> Option<Handle> {
        match self.locate(&mut record) {
            Ok((file, found)) => Some(self.restore_found(record, file, &found, reached)),
            Err(absence) => {
                self.is_missed(record, absence, reached);
                None
            }
        }
    }

    /// Goes on with a file of the last run. Its handle; that of its new content if it was truncated.
    pub(super) fn restore_found(
        &mut self,
        record: FileRecord,
        file: File,
        found: &OsStr,
        reached: Option<Announced>,
    ) -> Handle {
        let home = self.home_of(&file, found);
        self.restore_in(home, record, file, found, reached)
    }

    /// The same of one that stands in that directory, or stood there when it was opened.
    pub(super) fn restore_in(
        &mut self,
        home: Option<Home>,
        mut record: FileRecord,
        file: File,
        found: &OsStr,
        reached: Option<Announced>,
    ) -> Handle {
        let is_own_name = found.as_bytes() == record.name;
        let had = FormerName::of(&record);
        let names = |r: &FileRecord| (r.state, r.name.clone(), r.current_name.clone());
        let before = names(&record);
        if let Some(name) = self.name_that_followed(&record, found) {
            record.name = name.into_vec();
        }
        self.note_home(&mut record, home);
        if home.is_none() && self.hints_are_void {
            self.note_moved_home(&mut record, found);
        }
        if record.is_unseen() && reached.is_none() {
            // What fails here fails again when it is read.
            let _ = self.see(&mut record, &file);
        }
        let position = record.position;
        let announced = reached.unwrap_or(Announced {
            end: position,
            tail_crc: None,
            is_final: false,
            ranges: Vec::new(),
        });
        let current = OsStr::from_bytes(&record.current_name);
        let is_to_be_moved = record.state == FileState::Draining
            && is_own_name
            && self.is_name_when_done(found, current);
        let is_named = self.accepts(found);
        let tie = self.tie_of(is_named, &record.name);
        if !is_named {
            record.state = FileState::Draining;
            record.current_name = found.as_bytes().to_vec();
        } else if !is_to_be_moved {
            record.state = FileState::Live;
            record.name = found.as_bytes().to_vec();
            record.current_name.clone_from(&record.name);
        }
        if record.name != had.name {
            record.note_former_name(had);
        }
        self.has_news |= names(&record) != before;
        let stat = file.metadata().ok();
        if let Some(stat) = &stat {
            let hints = Hints::of(stat);
            self.has_news |= hints != Hints::of_record(&record);
            (record.device, record.inode) = (hints.device, hints.inode);
            record.born_ns = hints.born_ns;
        }
        if let Some(here) = home {
            self.homes.insert(((here.own.device, here.own.inode), was_in(&record)));
        }
        let expected_crc = announced.tail_crc.unwrap_or(record.tail_crc);
        let handle = self.push(record, file, stat.as_ref(), announced.end);
        let tracked = &mut self.tracked[handle];
        tracked.tie = tie;
        tracked.finished_at = announced.is_final.then_some(announced.end);
        if is_to_be_moved && is_named {
            // Announced in the last run, but its end came before the rename. Once the directory has refused one, each
            // further try would double the time to the next.
            match self.names_are_stuck() {
                true => self.stay_live(handle),
                false => self.move_announced(handle),
            }
        }
        self.tell_restored(handle);
        self.check_restored(handle, expected_crc, &announced)
    }

    fn move_announced(&mut self, handle: Handle) {
        match self.move_aside(handle) {
            Move::Moved => self.sync_names(),
            Move::Taken => self.stay_live(handle),
            // What became of it is for the next listing: this one may be part of one.
            Move::Lost | Move::Kept | Move::Refused => {}
        }
    }

    fn tell_restored(&self, handle: Handle) {
        let tracked = &self.tracked[handle];
        let doubt = if tracked.has_uncommitted() { ", what is behind it is in doubt" } else { "" };
        let state = match tracked.tie {
            Tie::Named => "live",
            Tie::Released => "no longer configured",
            Tie::Nameless | Tie::Superseded => "retired, watched for late lines",
        };
        tell(
            Level::Info,
            tracked.name(),
            format_args!(
                "Opened {} at byte {} (position from the checkpoint, {state}{doubt}).",
                self.path(tracked.name()).display(),
                tracked.record.position
            ),
        );
    }

    /// Was the file truncated, and perhaps rewritten, while no agent was looking? The last bytes
    /// may be alike by chance; all that was announced is not.
    fn check_restored(&mut self, handle: Handle, tail_crc: u32, announced: &Announced) -> Handle {
        let file = &self.tracked[handle].file;
        let end = announced.end;
        let size = file.metadata().map_or(0, |m| m.len());
        let record = &self.tracked[handle].record;
        let without_zeros = || {
            let at = if size < end { Some(size) } else { zeros_before(file, end, tail_crc) };
            at.filter(|at| is_trimmed(file, *at, record, &announced.ranges).unwrap_or(false))
        };
        // What stood there when its position was given is not known.
        let is_unseen = record.is_unseen() && announced.ranges.is_empty();
        let is_intact = || {
            size >= end && is_unseen
                || size >= end
                    && TailBytes::read(file, end).is_ok_and(|t| t.crc() == tail_crc)
                    && announced.ranges.iter().all(|range| range.is_in(file))
        };
        if is_intact() {
            return handle;
        }
        if let Some(at) = without_zeros() {
            self.tracked[handle].trimmed = Some(at);
            return handle;
        }
        let what = if size < end {
            format!("was truncated to {size} bytes")
        } else {
            "was truncated and has grown past the old position".to_owned()
        };
        // Of its bytes nothing but checksums is known.
        let tracked = &mut self.tracked[handle];
        (tracked.tail, tracked.head) = (TailBytes::default(), HeadBytes::default());
        self.begin_again(handle, &what)
    }

    /// Deletes what the last run had hidden for deletion and was done with. What has been written
    /// to since its receipt is read first. `false`: not all of it could be looked at.
    pub(super) fn clear_leftovers(&mut self) -> bool {
        let mut is_complete = true;
        let mut leftovers = self.scanner.left().to_vec();
        let entries = reach::list(&self.config.tracker_dir);
        is_complete &= entries.is_ok();
        for entry in entries.into_iter().flatten() {
            let Ok(entry) = entry else {
                is_complete = false;
                continue;
            };
            if entry.file_name().as_bytes().starts_with(HIDDEN.as_bytes()) {
                leftovers.push(entry.path().into_os_string());
            }
        }
        for name in leftovers {
            let path = self.path(&name);
            let file = match reach::open(&path) {
                Ok(file) => file,
                Err(e) => {
                    is_complete &= reach::is_nothing_there(&e) || reach::is_no_file(&e);
                    continue;
                }
            };
            let Ok(stat) = file.metadata() else { continue };
            if self.has_record_of(&name, &stat) {
                continue;
            }
            match self.known.find_hidden(&file, &stat, &name) {
                Ok(Same::Yes(receipt)) => self.clear_leftover(file, &receipt, &name),
                Ok(Same::Perhaps(receipt)) => {
                    self.seek_finished(receipt, name, file, Then::Leftover);
                }
                Ok(Same::No) => self.tell_no_receipt(&name),
                Err(_) => is_complete = false,
            }
        }
        is_complete
    }

    pub(super) fn tell_no_receipt(&self, name: &OsStr) {
        let path = self.path(name);
        log::warn(READER, format_args!("{} has no receipt; it is left alone.", path.display()));
    }

    /// Deletes a file that was done, or reads on where it has grown.
    pub(super) fn clear_leftover(&mut self, file: File, receipt: &Receipt, name: &OsStr) {
        let Ok(stat) = file.metadata() else { return };
        if stat.len() != receipt.size {
            return self.resume_done(file, receipt, name);
        }
        let path = self.path(name);
        log::info(READER, format_args!("Deleting {}, which was done.", path.display()));
        super::retire::delete(&path, stat.ino());
    }

    /// Goes on with finished files that have grown, a few in each turn.
    pub fn sweep(&mut self) {
        if self.is_directory_absent() {
            return;
        }
        let now_ms = self.clock().monotonic_ms();
        let dir = self.config.spool_dir.clone();
        let mut found = self.known.sweep(now_ms, |name| dir.join(OsStr::from_bytes(name)));
        found.retain(|receipt| self.takes_still(OsStr::from_bytes(&receipt.name)));
        put_grown(&mut self.grown, found);
        self.look_at_late();
        while self.has_room_for_grown()
            && let Some(receipt) = self.grown.pop()
        {
            let name = OsString::from(OsStr::from_bytes(&receipt.completed));
            let Ok(file) = self.root.open(&name) else { continue };
            let Ok(stat) = file.metadata() else { continue };
            // What has its name while it is read on is asked by its record.
            let is_told = || self.has_record_of(&name, &stat) || self.is_read_on(&receipt);
            if stat.len() <= receipt.size || is_told() {
                continue;
            }
            match known::same(&file, &stat, receipt, known::Place::Own) {
                Same::Yes(receipt) => self.resume_done(file, &receipt, &name),
                Same::Perhaps(receipt) => self.seek_finished(receipt, name, file, Then::Grown),
                Same::No => {}
            }
        }
    }

    /// Is that the file of a record? Of one that waits for its file the numbers may be void: then the name
    /// tells whose it is, as soon as it can be opened.
    pub(super) fn has_record_of(&self, name: &OsStr, stat: &Metadata) -> bool {
        let waiting = self.absent.waiting().map(|absent| &absent.record);
        let mut waiting = waiting.chain(self.quests.records());
        self.is_recorded(stat) || waiting.any(|r| r.current_name == name.as_bytes())
    }

    /// Has a record these numbers? One that is open keeps them; of another one the time of birth is asked as well.
    pub(super) fn is_recorded(&self, stat: &Metadata) -> bool {
        let hints = Hints::of(stat);
        self.tracked.iter().any(|t| t.is_inode(hints.device, hints.inode))
            || self.records().any(|record| Hints::of_record(record).agree(hints))
    }

    /// Has the file of that receipt been read on since? Then its record says more: who has its name and
    /// begins as it did is asked by that ([`super::kin`]).
    pub(super) fn is_read_on(&self, receipt: &Receipt) -> bool {
        let is_its = |r: &FileRecord| {
            (r.device, r.inode) == (receipt.device, receipt.inode)
                && !is_other_birth(r.born_ns, receipt.born_ns)
                && (r.head_len, r.head_crc) == (receipt.head_len, receipt.head_crc)
                && receipt.head_len as usize == HEAD_BYTES
                && r.state != FileState::Superseded
        };
        let is_open = |t: &Tracked| is_its(&t.record) && t.read_position > receipt.size;
        let is_closed = |r: &FileRecord| is_its(r) && r.position > receipt.size;
        let mut closed =
            self.parking.records().chain(self.quests.records()).chain(self.absent.records());
        self.tracked.iter().any(is_open) || closed.any(is_closed)
    }

    /// Is the file being compared with what was read of one that has that name and waits, beyond the receipt?
    pub(super) fn is_asked_beyond(&self, receipt: &Receipt, name: &OsStr, stat: &Metadata) -> bool {
        let hints = Hints::of(stat);
        self.quests.list.iter().any(|quest| match &quest.whose {
            Whose::Stray { record, .. } => {
                record.current_name == name.as_bytes()
                    && record.position > receipt.size
                    && quest.suspects.iter().any(|suspect| suspect.hints == hints)
            }
            _ => false,
        })
    }

    /// Is a sweep under way?
    pub fn is_sweeping(&self) -> bool {
        self.known.is_sweeping()
    }

    /// Receipts were written.
    pub fn note_receipts(&mut self, records: &[FileRecord]) {
        for record in records {
            // What waits to be read on from an older one has been.
            // Its numbers may have been others then.
            self.grown.retain(|r| {
                (r.device, r.inode) != (record.device, record.inode)
                    && r.completed != record.current_name
            });
            self.late.note_receipt(record);
            self.known.add(record);
        }
    }

    pub(super) fn resume_done(&mut self, file: File, receipt: &Receipt, at: &OsStr) {
        let name = OsString::from(OsStr::from_bytes(&receipt.name));
        let leaf = std::path::Path::new(at).file_name().unwrap_or_default();
        let is_hidden = leaf.as_bytes().starts_with(HIDDEN.as_bytes());
        let home = self.home_of(&file, at);
        let handle = self.resume(name, file, receipt, false);
        let record = &mut self.tracked[handle].record;
        if !is_hidden {
            // It is where it stands: what is in the place of its old name may be another directory.
            forget_home(record);
            home.into_iter().for_each(|here| here.note(record));
        }
        record.state = FileState::Draining;
        record.current_name = at.as_bytes().to_vec();
    }
}
