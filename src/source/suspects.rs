//! Which files may be one that is looked for: cheap tests, before every byte is compared.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use super::absent::{Absence, ELSEWHERE_MS};
use super::directories::{is_void, place_of};
use super::hints::{Hints, is_other_birth};
use super::quest::{PROOF_BYTES, Quest, Suspect, Unasked, Whose};
use super::restore::Announced;
use super::retire::HIDDEN;
use super::tracked::{self, Mark, Tie, Tracked};
use super::window::TailBytes;
use super::{Files, READER, reach, root};
use crate::checkpoint::record::{FileRecord, FileState, HEAD_BYTES};
use crate::log;

/// Lines that a copy lacks were written, and read, while it was made: in the last ms of the original.
const COPYING_MS: u64 = 20_000;

/// For the log, of a file that was truncated.
const COPY_IS_AWAY: &str = "was truncated, and is looked for in a copy when its directory is back";

/// Descriptors of suspects that are kept: a copy may be deleted or packed before it is compared.
const KEPT_OPEN_MAX: usize = 32;

/// What was read of a file, as far as a look at its ends can tell.
struct Ends {
    head_len: u32,
    head_crc: u32,
    /// Up to here it was announced; the CRC-32 of the bytes before, if that is known.
    end: u64,
    tail_crc: Option<u32>,
}

impl Ends {
    fn of_record(record: &FileRecord, reached: Option<&Announced>) -> Ends {
        let tail_crc = reached.and_then(|r| r.tail_crc).unwrap_or(record.tail_crc);
        let end = reached.map_or(record.position, |r| r.end);
        let (head_len, head_crc) = (record.head_len, record.head_crc);
        Ends { head_len, head_crc, end, tail_crc: Some(tail_crc) }
    }

    fn fit(&self, file: &File, stat: &Metadata) -> io::Result<bool> {
        if stat.len() < self.end
            || !tracked::bytes_match(file, 0, self.head_len as usize, self.head_crc)?
        {
            return Ok(false);
        }
        let Some(tail_crc) = self.tail_crc else { return Ok(true) };
        Ok(TailBytes::read(file, self.end)?.crc() == tail_crc)
    }
}

/// Those that hold all that was read first, then those that hold more of it than others.
fn larger_first(suspects: &mut VecDeque<Suspect>) {
    suspects.make_contiguous().sort_by_cached_key(|suspect| {
        let len = || Some(suspect.file.as_ref()?.metadata().ok()?.len());
        suspect.partly.map(|_| Reverse(len().unwrap_or(0)))
    });
}

/// The names of the directories, read once for all quests that need them, and what a look at each
/// file has found: thousands of records may look at thousands of files.
#[derive(Default)]
struct Names {
    list: Option<Vec<(OsString, Option<Glance>)>>,
    /// Those in directories that no group has any more: only copies of files that were there are looked for in them.
    left: Vec<OsString>,
    /// Directories that may hold others, and why.
    unlisted: Vec<(OsString, String)>,
    /// The same of those that no group has any more.
    unlisted_left: Vec<(OsString, String)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Glance {
    /// 0 for what cannot be opened, or is not a file.
    size: u64,
    head_crc: u32,
    /// It could not be opened now.
    is_unasked: bool,
}

impl Names {
    fn list(&mut self, files: &Files) -> &mut Vec<(OsString, Option<Glance>)> {
        let (unlisted, left) = (&mut self.unlisted, &mut self.left);
        let unlisted_left = &mut self.unlisted_left;
        self.list.get_or_insert_with(|| {
            let mut names: Vec<OsString> = Vec::new();
            *unlisted_left = files.for_each_name_left(|entry| left.push(entry.name));
            left.sort_unstable();
            *unlisted = files.for_each_name(|entry| names.push(entry.name));
            let tracker = &files.config.tracker_dir;
            let result = reach::list(tracker).and_then(|entries| {
                for entry in entries {
                    let entry = entry?;
                    if entry.file_name().as_bytes().starts_with(HIDDEN.as_bytes()) {
                        names.push(entry.path().into_os_string());
                    }
                }
                Ok(())
            });
            if let Err(e) = result {
                unlisted.push((tracker.into(), format!("{}: {e}", tracker.display())));
            }
            names.sort_unstable();
            names.into_iter().map(|name| (name, None)).collect()
        })
    }

    /// Why they may not be complete.
    fn fault(&self) -> Option<String> {
        self.unlisted.first().map(|(_, why)| why.clone())
    }

    /// Those that satisfy `is_wanted`.
    fn which(&mut self, files: &Files, is_wanted: impl Fn(&OsStr) -> bool) -> Vec<OsString> {
        let names = self.list(files).iter().map(|(name, _)| name);
        names.filter(|name| is_wanted(name)).cloned().collect()
    }

    /// Those of copies of the record's file, and those that satisfy `is_wanted`.
    fn copies(
        &mut self,
        files: &Files,
        record: &FileRecord,
        is_wanted: impl Fn(&OsStr) -> bool,
    ) -> Vec<OsString> {
        let is_copys = |name: &OsStr| files.is_copys(name, record);
        let mut found = self.which(files, |name| is_wanted(name) || is_copys(name));
        found.extend(self.left.iter().filter(|name| is_copys(name)).cloned());
        found
    }

    /// Could the directory in which the file of the record was not be listed, which no group has any more?
    fn has_left_out(&self, record: &FileRecord) -> bool {
        self.unlisted_left.iter().any(|(place, _)| place == place_of(record))
    }

    /// Those of files that are long enough and begin so.
    fn alike(
        &mut self,
        files: &Files,
        ends: &Ends,
        is_wanted: impl Fn(&OsStr) -> bool,
    ) -> Vec<OsString> {
        let mut found = Vec::new();
        for (name, glance) in self.list(files) {
            if !is_wanted(name) {
                continue;
            }
            let glance = *glance.get_or_insert_with(|| glance_at(files, name));
            let is_head = ends.head_len as usize != HEAD_BYTES || ends.head_crc == glance.head_crc;
            if glance.is_unasked || glance.size >= ends.end && is_head {
                found.push(name.clone());
            }
        }
        found
    }
}

fn glance_at(files: &Files, name: &OsStr) -> Glance {
    let path = files.path(name);
    let file = match reach::open(&path) {
        Ok(file) => file,
        Err(e) => {
            let is_unasked = !(reach::is_nothing_there(&e) || reach::is_no_file(&e));
            return Glance { is_unasked, ..Glance::default() };
        }
    };
    let mut head = [0; HEAD_BYTES];
    let is_long = file.read_exact_at(&mut head, 0).is_ok();
    let head_crc = if is_long { crc32fast::hash(&head) } else { 0 };
    let size = file.metadata().map_or(0, |stat| stat.len());
    Glance { size, head_crc, is_unasked: false }
}

impl Files {
    /// Looks for suspects for all quests that have none yet.
    pub(super) fn list_suspects(&mut self) {
        let mut names = Names::default();
        let now_ms = self.clock().monotonic_ms();
        for _ in 0..self.quests.list.len() {
            let Some(mut quest) = self.quests.list.pop_front() else { return };
            if quest.retry_ms <= now_ms && !std::mem::replace(&mut quest.is_listed, true) {
                let mut unasked = Unasked::default();
                quest.suspects = match &mut quest.whose {
                    // Of what was truncated there may be a copy, but not in another directory.
                    Whose::Stray { record, absence, .. }
                        if absence.hope().is_none()
                            && self.is_awaited(record, &mut quest.away_ms, COPY_IS_AWAY) =>
                    {
                        unasked.is_away = true;
                        VecDeque::new()
                    }
                    Whose::Stray { record, absence, reached } => {
                        let reached = reached.as_ref();
                        let (found, fault) = self.suspects_of_stray(
                            record,
                            reached,
                            quest.is_wide,
                            &mut names,
                            &mut unasked,
                        );
                        let since_ms = &mut quest.away_ms;
                        unasked.is_away = absence.hope().is_none()
                            && self.is_awaited(record, since_ms, COPY_IS_AWAY);
                        quest.is_wide |= found.is_empty();
                        if let Some(why) = fault.filter(|_| *absence != Absence::Superseded) {
                            *absence = Absence::Unreachable(why);
                        }
                        found
                    }
                    Whose::Truncated { id } => {
                        let since_ms = &mut quest.away_ms;
                        self.copies_here(*id, since_ms, &mut names, &mut unasked)
                    }
                    Whose::Replaced { .. } | Whose::Finished { .. } => VecDeque::new(),
                };
                if quest.suspects.is_empty() && !unasked.is_away {
                    self.seek_partly(&mut quest, &mut names, &mut unasked);
                }
                unasked.unlisted = names.unlisted.iter().map(|(place, _)| place.clone()).collect();
                self.wait_for_left(&mut quest, &names, &mut unasked);
                quest.listed_ms = now_ms;
                quest.unasked = match &quest.whose {
                    Whose::Stray { absence: Absence::Superseded, .. } | Whose::Truncated { .. } => {
                        Some(unasked)
                    }
                    Whose::Stray { record, absence: Absence::Gone, .. } => {
                        let since_ms = *quest.gone_ms.get_or_insert(now_ms);
                        let is_awaited = now_ms - since_ms < ELSEWHERE_MS;
                        let is_copys = |name: &OsStr| self.is_copys(name, record);
                        is_awaited.then(|| unasked.of_copies(is_copys))
                    }
                    // They are waited for with their records.
                    _ => None,
                }
                .unwrap_or_default();
                self.quests.hold(&quest);
            }
            self.quests.list.push_back(quest);
        }
        // A file that holds what was read of several is the one of which most was read.
        let mut list = std::mem::take(&mut self.quests.list);
        let read = |quest: &Quest| match &quest.whose {
            Whose::Stray { record, reached, .. } => {
                reached.as_ref().map_or(record.position, |r| r.end.max(record.position))
            }
            Whose::Truncated { id } | Whose::Replaced { id, .. } => {
                self.handle_of(*id).map_or(0, |handle| self.tracked[handle].read_position)
            }
            Whose::Finished { receipt, .. } => receipt.size,
        };
        list.make_contiguous().sort_by_cached_key(|quest| Reverse(read(quest)));
        self.quests.list = list;
    }

    /// A copy may be in a directory that no group has any more and that cannot be listed now. Nobody has to make that
    /// possible for this source: it is waited for an hour.
    fn wait_for_left(&self, quest: &mut Quest, names: &Names, unasked: &mut Unasked) {
        let open = quest.id().and_then(|id| self.handle_of(id)).map(|at| &self.tracked[at].record);
        let record = match &quest.whose {
            Whose::Stray { record, .. } => Some(&**record),
            _ => open,
        };
        let Some(record) = record.filter(|record| names.has_left_out(record)) else { return };
        let place = place_of(record).to_owned();
        let now_ms = self.clock().monotonic_ms();
        if now_ms - *quest.gone_ms.get_or_insert(now_ms) < ELSEWHERE_MS {
            unasked.unlisted.push(place);
        }
    }

    /// The recorded names first, whatever their directory is called now, then those that begin with
    /// them, then all others. `is_wide`: the first that were found are not it.
    fn suspects_of_stray(
        &self,
        record: &FileRecord,
        reached: Option<&Announced>,
        is_wide: bool,
        names: &mut Names,
        unasked: &mut Unasked,
    ) -> (VecDeque<Suspect>, Option<String>) {
        let (mut found, mut fault) = (VecDeque::new(), None);
        let ends = Ends::of_record(record, reached);
        let is_superseded = record.state == FileState::Superseded;
        if !is_superseded && !is_wide {
            for name in self.recorded_names(record) {
                if !found.is_empty() {
                    break;
                }
                if let Err(e) = self.suspect(&name, record, &ends, &mut found) {
                    fault = Some(format!("{}: {e}", self.path(&name).display()));
                }
            }
        }
        if !is_wide && found.is_empty() && ends.end >= PROOF_BYTES {
            self.open_suspects(&ends, &mut found);
            self.unread_suspects(record, &ends, &mut found);
        }
        if ends.end < PROOF_BYTES && !is_superseded {
            found.retain(|suspect: &Suspect| self.do_names_decide(record, suspect));
        }
        if !found.is_empty() || ends.end == 0 {
            return (found, fault);
        }
        let begins = |name: &OsStr| self.is_copys(name, record);
        let leaf = record.current_name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        // A hidden file keeps its name where the directory has another one.
        let is_hidden = |name: &OsStr| {
            leaf.starts_with(HIDDEN.as_bytes())
                && std::path::Path::new(name).file_name() == Some(OsStr::from_bytes(leaf))
        };
        for name in names.copies(self, record, is_hidden) {
            // It may be the copy in which it lives on.
            if let Err(e) = self.suspect(&name, record, &ends, &mut found) {
                unasked.names.push(name.clone());
                fault.get_or_insert_with(|| format!("{}: {e}", self.path(&name).display()));
            }
        }
        if !found.is_empty() && !is_wide || ends.end < PROOF_BYTES {
            return (found, fault.or_else(|| names.fault()));
        }
        let is_other = |name: &OsStr| !begins(name) && !self.is_completed(name);
        for name in names.alike(self, &ends, is_other) {
            if self.suspect(&name, record, &ends, &mut found).is_err() && self.accepts(&name) {
                unasked.names.push(name);
            }
        }
        (found, fault.or_else(|| names.fault()))
    }

    /// Adds what is open, has no name among the listed ones, and was not read yet.
    fn open_suspects(&self, ends: &Ends, found: &mut VecDeque<Suspect>) {
        let is_unread = |t: &&Tracked| !t.is_named() && !t.is_superseded() && t.read_position == 0;
        for tracked in self.tracked.iter().filter(is_unread) {
            if let (Ok(file), Ok(stat)) = (tracked.file.try_clone(), tracked.file.metadata())
                && ends.fit(&file, &stat).unwrap_or(false)
            {
                found.push_back(Suspect::new(tracked.current_name(), Hints::of(&stat), Some(file)));
            }
        }
    }

    /// Adds what is looked for itself, has no name among the listed ones, and was not read yet.
    fn unread_suspects(&self, of: &FileRecord, ends: &Ends, found: &mut VecDeque<Suspect>) {
        for record in self.quests.records().filter(|r| r.position == 0) {
            let name = OsStr::from_bytes(&record.current_name);
            if root::is_outside(name) {
                // What cannot be opened is waited for by its own record.
                let _ = self.suspect(name, of, ends, found);
            }
        }
    }

    /// Adds the file of that name, unless a look at it tells that it is another one, or another
    /// record's.
    fn suspect(
        &self,
        name: &OsStr,
        record: &FileRecord,
        ends: &Ends,
        found: &mut VecDeque<Suspect>,
    ) -> io::Result<()> {
        let Some((file, stat)) = self.open_free(name)? else { return Ok(()) };
        let is_own = self.is_own_inode(record, &stat);
        if !is_own && ends.fit(&file, &stat)? {
            found.push_back(self.new_suspect(name, file, &stat, found.len()));
        }
        Ok(())
    }

    /// The inode of a truncated file holds its new content.
    fn is_own_inode(&self, record: &FileRecord, stat: &Metadata) -> bool {
        record.state == FileState::Superseded && Hints::of(stat).agree(Hints::of_record(record))
    }

    fn new_suspect(&self, name: &OsStr, file: File, stat: &Metadata, before: usize) -> Suspect {
        let keeps = before + self.quests.list.len() < KEPT_OPEN_MAX;
        let home = self.home_of(&file, name);
        let file = keeps.then_some(file);
        Suspect { home, ..Suspect::new(name.to_owned(), Hints::of(stat), file) }
    }

    /// A regular file of which no record speaks that is being read.
    fn open_free(&self, name: &OsStr) -> io::Result<Option<(File, Metadata)>> {
        let file = match self.root.open(name) {
            Ok(file) => file,
            Err(e) if reach::is_nothing_there(&e) || reach::is_no_file(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let stat = file.metadata()?;
        Ok((!self.is_taken(&file, &stat)?).then_some((file, stat)))
    }

    /// Is that a file of which something was read, as one of its own?
    pub(super) fn is_taken(&self, file: &File, stat: &Metadata) -> io::Result<bool> {
        Ok(self.is_being_read(Hints::of(stat)) || self.is_parked(file, stat)?)
    }

    /// The same of a suspect that was found to be what is looked for.
    pub(super) fn is_taken_meanwhile(&self, hints: Hints, file: &File) -> bool {
        let is_parked = || file.metadata().and_then(|stat| self.is_parked(file, &stat));
        let may_be_parked = |_| self.parking.alike(hints).next().is_some();
        self.is_being_read(hints) || is_parked().unwrap_or_else(may_be_parked)
    }

    fn is_being_read(&self, hints: Hints) -> bool {
        let is_it = |t: &Tracked| t.is_inode(hints.device, hints.inode) && t.read_position > 0;
        self.tracked.iter().any(is_it)
    }

    /// Is that a parked file? Only an open file keeps its number: that of a parked one may be another's by now.
    pub(super) fn is_parked(&self, file: &File, stat: &Metadata) -> io::Result<bool> {
        let born_ns = Hints::of(stat).born_ns;
        for record in self.parking.alike(Hints::of(stat)) {
            let is_told_by_birth = record.born_ns != 0 && born_ns != 0;
            if is_told_by_birth || self.has_its_number_still(record, file, stat)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where no time of birth is known, what has the parked one's name tells, or else what the file holds.
    fn has_its_number_still(
        &self,
        record: &FileRecord,
        file: &File,
        stat: &Metadata,
    ) -> io::Result<bool> {
        let is_proof = record.position >= PROOF_BYTES && !record.is_unseen();
        let fits = || Ends::of_record(record, None).fit(file, stat);
        match reach::metadata(&self.path(OsStr::from_bytes(&record.current_name))) {
            Ok(found) if Hints::of(&found).agree(Hints::of(stat)) => Ok(true),
            Ok(_) => Ok(is_proof && fits()?),
            Err(e) if reach::is_nothing_there(&e) => Ok(!is_proof || fits()?),
            Err(_) => Ok(true),
        }
    }

    /// Too little was read to prove anything: is the file of the recorded name the recorded one?
    pub(super) fn do_names_decide(&self, record: &FileRecord, suspect: &Suspect) -> bool {
        let (hints, old) = (suspect.hints, Hints::of_record(record));
        let is_same_inode = hints.inode == old.inode && !is_other_birth(hints.born_ns, old.born_ns);
        let are_void = self.hints_are_void || old.inode == 0;
        let is_same = is_same_inode || hints.device != old.device || are_void;
        let name = String::from_utf8_lossy(&record.name);
        let (what, why) = match is_same {
            true => {
                ("is taken for the same file", "its name and the few bytes that were read agree")
            }
            false => ("is read as a new file", "its inode or its time of birth is another one"),
        };
        log::info(READER, format_args!("File:{name} {what}: {why}."));
        is_same
    }

    /// What an earlier run has read of a file is in no file as a whole: it was truncated. A copy that lacks the last lines may hold the rest: from then on it is looked for as in that
    /// run.
    fn seek_partly(&mut self, quest: &mut Quest, names: &mut Names, unasked: &mut Unasked) {
        let Whose::Stray { record, absence, reached } = &quest.whose else { return };
        // Of a copied state the copy tells that it is the right directory.
        let is_here = match absence {
            Absence::Gone | Absence::Superseded => true,
            Absence::Elsewhere(_) => is_void(record),
            Absence::Unreachable(_) => false,
        };
        if !is_here {
            return;
        }
        let end = reached.as_ref().map_or(record.position, |r| r.end.max(record.position));
        let mut found = VecDeque::new();
        for name in names.copies(self, record, |_| false) {
            if self.is_completed(&name) || self.is_elsewhere(&name) {
                continue;
            }
            let free = self.open_free(&name);
            if free.is_err() {
                unasked.names.push(name.clone());
            }
            if let Ok(Some((file, stat))) = free
                && stat.len() < end
                && let Some(suspect) = self.partly(&name, file, &stat, record)
            {
                found.push_back(suspect);
            }
        }
        let first = found.front().and_then(|s| s.file.as_ref()).map(File::try_clone);
        let file = match first {
            Some(Ok(file)) => file,
            // No descriptor is left for it now.
            Some(Err(_)) => {
                return unasked.names.extend(found.into_iter().map(|suspect| suspect.name));
            }
            None => return,
        };
        larger_first(&mut found);
        let record = (**record).clone();
        quest.whose = Whose::Truncated { id: record.id };
        quest.suspects = found;
        let stat = file.metadata().ok();
        let handle = self.push(record, file, stat.as_ref(), end);
        self.tracked[handle].tie = Tie::Superseded;
    }

    /// The file of that name as a copy that was made before the last lines were written.
    fn partly(
        &self,
        name: &OsStr,
        file: File,
        stat: &Metadata,
        record: &FileRecord,
    ) -> Option<Suspect> {
        let begins_so = stat.len() > 0 && tracked::head_matches(&file, record).unwrap_or(false);
        begins_so.then(|| {
            let (home, partly) = (self.home_of(&file, name), Some(Mark::default()));
            let suspect = Suspect::new(name.to_owned(), Hints::of(stat), Some(file));
            Suspect { home, partly, ..suspect }
        })
    }

    /// The same as [`Files::copies_of`], but not while another directory stands in the place of the
    /// file's own, as long as that is waited for.
    fn copies_here(
        &self,
        id: u64,
        since_ms: &mut Option<u64>,
        names: &mut Names,
        unasked: &mut Unasked,
    ) -> VecDeque<Suspect> {
        let record = self.handle_of(id).map(|handle| &self.tracked[handle].record);
        let mut is_awaited = || record.is_some_and(|r| self.is_awaited(r, since_ms, COPY_IS_AWAY));
        unasked.is_away = is_awaited();
        if unasked.is_away {
            return VecDeque::new();
        }
        let found = self.copies_of(id, names, unasked);
        unasked.is_away = is_awaited();
        found
    }

    /// Files that may hold what was read of file `id` before it was truncated.
    fn copies_of(&self, id: u64, names: &mut Names, unasked: &mut Unasked) -> VecDeque<Suspect> {
        let mut found = VecDeque::new();
        let Some(handle) = self.handle_of(id) else { return found };
        let tracked = &self.tracked[handle];
        let record = &tracked.record;
        let ends = Ends {
            end: tracked.read_position,
            tail_crc: (!tracked.tail.as_slice().is_empty()).then(|| tracked.tail.crc()),
            ..Ends::of_record(record, None)
        };
        let is_small = ends.end < PROOF_BYTES;
        let is_copys = |name: &OsStr| self.is_copys(name, record);
        let is_other = |name: &OsStr| !is_small && !is_copys(name);
        let mut wanted = names.copies(self, record, |_| false);
        wanted.extend(names.which(self, is_other));
        for name in &wanted {
            if self.is_completed(name) || self.is_elsewhere(name) {
                continue;
            }
            let free = self.open_free(name);
            if free.is_err() && (is_copys(name) || self.accepts(name)) {
                unasked.names.push(name.clone());
            }
            let Ok(Some((file, stat))) = free else { continue };
            if stat.len() < ends.end {
                if Hints::of(&stat).agree(Hints::of_record(record)) {
                    continue;
                }
                // Copied before the last lines were written? What is known of less is known when
                // nothing of it is in doubt any more. Under another name, what it holds behind the
                // last known position may be another writer's.
                if is_copys(name)
                    && let Some(suspect) = self.partly(name, file, &stat, record)
                {
                    found.push_back(suspect);
                }
            } else if ends.fit(&file, &stat).unwrap_or(false) {
                found.push_back(self.new_suspect(name, file, &stat, found.len()));
            }
        }
        larger_first(&mut found);
        found
    }

    /// The last position that is known not to be behind the end of a copy that lacks lines.
    pub(super) fn mark_before(&self, tracked: &Tracked, size: u64) -> Option<Mark> {
        let record = &tracked.record;
        let mark = match record.position <= size {
            true => Some(Mark::of(record)),
            false => tracked.marks.read_last(size, COPYING_MS),
        };
        mark.filter(|m| m.position > 0)
    }

    /// Does the name lead out of the root, and to no directory that a group has had?
    fn is_elsewhere(&self, name: &OsStr) -> bool {
        root::is_outside(name) && !self.is_place_left(root::split(name).0)
    }

    fn is_completed(&self, name: &OsStr) -> bool {
        self.scanner.is_completed(name)
    }
}

#[cfg(test)]
mod tests {
    use crate::checkpoint::record::FileState;
    use crate::source::scene::{self, Scene, named};

    /// It would be read as a new file from its first byte on.
    #[test]
    fn a_copy_that_lacks_lines_and_for_which_no_descriptor_is_left_is_asked_again() {
        let test = "source::suspects::tests::a_copy_that_lacks_lines_and_for_which_no_descriptor_is_left_is_asked_again";
        if !scene::is_alone(test) {
            return;
        }
        let mut scene = Scene::new("suspects-without-descriptor");
        let name = scene.name("app");
        let copy = format!("{name}.1");
        scene.write(&copy, 0..100);
        let copied = scene.path(&copy).metadata().unwrap().len();
        scene.write(&name, 0..103);
        let handle = scene.is_read(&name, copied);
        let id = scene.truncate(handle);
        let handle = scene.files.handle_of(id).unwrap();
        let record = scene.files.at(handle).record.clone();
        assert_eq!(record.state, FileState::Superseded);
        scene.restart();
        scene::with_descriptors(1, || {
            scene.files.restore(vec![record], id + 1, |_| None);
            scene.files.recognise(|_| None);
        });
        assert!(scene.files.is_sought(id));
        scene.clock.advance(1_000);
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&copy, copied));
    }
}
