//! Recognising files by their content, a step in each turn of the loop. See [`super::quest`].

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::absent::Absence;
use super::directories::{Home, note_same_home};
use super::hints::Hints;
use super::kin::NOTICE_MS;
use super::quest::{
    Common, Compared, PROOF_BYTES, Quest, Suspect, Then, Whose, crc_on, prefix_crc,
};
use super::restore::Announced;
use super::tracked::{Mark, Tracked, Vetting};
use super::trimmed::{cut_receipt, end_without_zeros, with_zeros};
use super::{Files, Handle, READER, tell};
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::{FileRecord, FileState};
use crate::log::{self, Level};

/// Bytes that are compared in one turn of the loop: some ten milliseconds.
const STEP_BYTES: u64 = 16 * 1024 * 1024;
/// What opening a file counts for, bytes.
const OPEN_COST_BYTES: u64 = 64 * 1024;
/// A comparison of more than this is said in the log, bytes.
const TOLD_BYTES: u64 = 64 * 1024 * 1024;
/// Wait after a failed read, ms.
const RETRY_MS: u64 = 1_000;

/// What a step of a comparison found.
enum Found {
    /// It is not over.
    NotYet,
    /// This one, and its descriptor: another one may not be left for it.
    It(Box<Suspect>, File),
    Nothing,
}

impl Files {
    /// Is the content of this file being looked for?
    pub fn is_sought(&self, id: u64) -> bool {
        self.quests.seeks(id)
    }

    /// Can nothing of this file be read until its content is found?
    pub fn is_lost(&self, id: u64) -> bool {
        self.quests.has_lost(id)
    }

    /// In how many milliseconds the search for this file goes on.
    pub fn sought_again_ms(&self, id: u64) -> u64 {
        self.quests.retry_ms(id).saturating_sub(self.clock().monotonic_ms())
    }

    /// Did the last step leave something to compare?
    pub fn is_comparing(&self) -> bool {
        self.quests.is_busy
    }

    /// A file of the last run is not where it was.
    pub(super) fn seek_stray(
        &mut self,
        record: FileRecord,
        absence: Absence,
        reached: Option<Announced>,
    ) {
        let whose = Whose::Stray { record: Box::new(record), absence, reached };
        // Suspects are listed for all that are missed in a turn together, before anything is read as a new file.
        self.quests.push(Quest::new(whose, VecDeque::new(), false));
    }

    /// Looks for suspects, if there is a search that has none yet.
    pub(super) fn list_new_suspects(&mut self) {
        let now_ms = self.clock().monotonic_ms();
        if self.quests.list.iter().any(|quest| !quest.is_listed && quest.retry_ms <= now_ms) {
            self.list_suspects();
        }
    }

    /// This may be a finished file.
    pub(super) fn seek_finished(&mut self, receipt: Receipt, at: OsString, file: File, then: Then) {
        let Ok(stat) = file.metadata() else { return };
        let hints = Hints::of(&stat);
        let suspect = Suspect::new(at.clone(), hints, Some(file));
        let whose = Whose::Finished { receipt: Box::new(receipt), then, at, hints };
        self.quests.push(Quest::new(whose, VecDeque::from([suspect]), true));
    }

    /// Goes on comparing. `announced` tells how far a file was announced.
    pub fn recognise(&mut self, announced: impl Fn(u64) -> Option<Announced>) {
        self.quests.is_busy = false;
        let now_ms = self.clock().monotonic_ms();
        let mut budget = STEP_BYTES;
        self.list_new_suspects();
        for _ in 0..self.quests.list.len() {
            if budget == 0 {
                self.quests.is_busy = true;
                return;
            }
            let Some(mut quest) = self.quests.list.pop_front() else { return };
            if quest.retry_ms > now_ms || !quest.is_listed {
                self.quests.list.push_back(quest);
                continue;
            }
            match self.compare(&mut quest, &mut budget, &announced) {
                // Another record was found to be its own meanwhile.
                Found::It(suspect, file) if self.is_taken_meanwhile(suspect.hints, &file) => {
                    self.quests.release(&suspect);
                    self.quests.list.push_front(quest);
                }
                // One that was begun goes on in the next turn, which comes at once.
                Found::NotYet if budget == 0 => {
                    self.quests.list.push_front(quest);
                    self.quests.is_busy = true;
                    return;
                }
                Found::NotYet => self.quests.list.push_back(quest),
                Found::It(suspect, file) => {
                    self.close(&mut quest);
                    self.quests.release(&suspect);
                    self.settle_found(quest.whose, *suspect, file, &announced);
                }
                // "Cannot be asked now" is not "none of these".
                Found::Nothing if !quest.unasked.is_empty() => {
                    (quest.is_listed, quest.retry_ms) = (false, now_ms + RETRY_MS);
                    self.quests.list.push_back(quest);
                }
                // It may have been truncated since it was listed, and live on under another name.
                Found::Nothing if quest.is_narrow() => {
                    (quest.is_listed, quest.is_wide) = (false, true);
                    self.quests.list.push_back(quest);
                    self.quests.is_busy = true;
                }
                Found::Nothing => {
                    self.close(&mut quest);
                    self.settle_nowhere(quest.whose);
                }
            }
        }
    }

    /// The suspects that are left are not it, and may be read as what they are.
    fn close(&mut self, quest: &mut Quest) {
        for suspect in quest.suspects.drain(..) {
            self.quests.release(&suspect);
        }
        self.turns.look_for_waiting();
        self.has_news = true;
    }

    fn compare(
        &mut self,
        quest: &mut Quest,
        budget: &mut u64,
        announced: &impl Fn(u64) -> Option<Announced>,
    ) -> Found {
        while let Some(mut suspect) = quest.suspects.pop_front() {
            let file = match suspect.file.take().map_or_else(|| self.open_suspect(&suspect), Ok) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.quests.release(&suspect);
                    continue;
                }
                Err(e) => return self.try_again(quest, suspect, &e),
            };
            *budget = budget.saturating_sub(OPEN_COST_BYTES);
            let result = self.compare_one(quest, &mut suspect, &file, budget, announced);
            if let Ok(Compared::Same) = result {
                return Found::It(Box::new(suspect), file);
            }
            suspect.file = Some(file);
            match result {
                Ok(Compared::Same | Compared::Other) => self.quests.release(&suspect),
                Ok(Compared::NotYet) => {
                    quest.suspects.push_front(suspect);
                    return Found::NotYet;
                }
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    self.quests.release(&suspect);
                }
                Err(e) => return self.try_again(quest, suspect, &e),
            }
        }
        Found::Nothing
    }

    fn try_again(&mut self, quest: &mut Quest, suspect: Suspect, e: &io::Error) -> Found {
        self.complain(&suspect.name.clone(), &e.to_string());
        quest.retry_ms = self.clock().monotonic_ms() + RETRY_MS;
        quest.suspects.push_front(suspect);
        Found::NotYet
    }

    /// Under its name, which may be another file's by now.
    fn open_suspect(&self, suspect: &Suspect) -> io::Result<File> {
        let file = self.root.open(&suspect.name)?;
        let is_it = Hints::of(&file.metadata()?).agree(suspect.hints);
        if is_it { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Does `file` hold what was read?
    fn compare_one(
        &self,
        quest: &mut Quest,
        suspect: &mut Suspect,
        file: &File,
        budget: &mut u64,
        announced: &impl Fn(u64) -> Option<Announced>,
    ) -> io::Result<Compared> {
        let record = match &quest.whose {
            Whose::Finished { receipt, .. } => {
                let (size, crc) = (receipt.size, receipt.bytes_crc);
                self.tell_comparison(&mut quest.is_told, suspect, size);
                let stat = file.metadata()?;
                let stamp = (stat.len(), stat.mtime(), stat.mtime_nsec());
                let end = match suspect.end {
                    Some((asked, end)) if asked == stamp => end,
                    _ => end_without_zeros(file, stat.len(), receipt)?,
                };
                suspect.end = Some((stamp, end));
                let is_there = suspect.hash_to(file, end, budget)?;
                let is_same = || with_zeros(&suspect.hasher, size - end) == crc;
                return Ok(if is_there { Compared::of(is_same()) } else { Compared::NotYet });
            }
            Whose::Stray { record, .. } => &**record,
            Whose::Truncated { id } | Whose::Replaced { id, .. } => {
                let Some(handle) = self.handle_of(*id) else { return Ok(Compared::Other) };
                let tracked = &self.tracked[handle];
                if matches!(quest.whose, Whose::Replaced { .. }) {
                    // The search for what was truncated asks it, too.
                    if tracked.is_superseded() && self.is_copys(&suspect.name, &tracked.record) {
                        return Ok(Compared::Other);
                    }
                    if tracked.has_uncommitted() {
                        return Ok(Compared::NotYet);
                    }
                }
                &tracked.record
            }
        };
        if let Whose::Replaced { id, .. } = quest.whose {
            return self.compare_successor(id, suspect, file, budget);
        }
        if suspect.partly.is_some()
            && let Some(compared) =
                self.compare_partly(record.id, &mut quest.is_told, suspect, file, budget)?
        {
            return Ok(compared);
        }
        self.tell_comparison(&mut quest.is_told, suspect, record.position);
        if !suspect.hash_to(file, record.position, budget)? {
            return Ok(Compared::NotYet);
        }
        let is_same = suspect.crc() == record.bytes_crc;
        let has_announced = || announced(record.id).is_none_or(|reached| reached.is_in(file));
        Ok(Compared::of(is_same && has_announced()))
    }

    /// What was read of the old file before it was noticed that another one had its name is not
    /// in that one.
    fn compare_successor(
        &self,
        id: u64,
        suspect: &mut Suspect,
        file: &File,
        budget: &mut u64,
    ) -> io::Result<Compared> {
        let Some(handle) = self.handle_of(id) else { return Ok(Compared::Other) };
        let tracked = &self.tracked[handle];
        let since_ms = tracked.lost_name_ms.unwrap_or(0).saturating_sub(NOTICE_MS);
        let hashed = suspect.hashed;
        let marks = tracked.marks.since(since_ms).filter(|m| m.position >= hashed);
        let size = file.metadata()?.len();
        for mark in marks.filter(|m| m.position <= size) {
            if !suspect.hash_to(file, mark.position, budget)? {
                return Ok(Compared::NotYet);
            }
            if suspect.crc() != mark.bytes_crc {
                break;
            }
            suspect.partly = Some(mark);
        }
        if size >= tracked.record.position && suspect.hashed <= tracked.record.position {
            if !suspect.hash_to(file, tracked.record.position, budget)? {
                return Ok(Compared::NotYet);
            }
            if suspect.crc() == tracked.record.bytes_crc {
                suspect.partly = None;
                return Ok(Compared::Same);
            }
        }
        let Some(mark) = suspect.partly else { return Ok(Compared::Other) };
        let end = tracked.record.position;
        // Ends of lines are looked for by bytes.
        let is_by_bytes = tracked.decoder.unit_bytes() == 1;
        let common = Common::of(&tracked.file, file, mark.position, end)?;
        Ok(Compared::of(is_by_bytes && common.lines_end >= PROOF_BYTES))
    }

    pub(super) fn tell_comparison(&self, is_told: &mut bool, suspect: &Suspect, bytes: u64) {
        if bytes > TOLD_BYTES && !std::mem::replace(is_told, true) {
            log::info(
                READER,
                format_args!(
                    "Comparing the first {bytes} bytes of {} with what was read; other files are \
                     read meanwhile.",
                    self.path(&suspect.name).display()
                ),
            );
        }
    }

    fn settle_found(
        &mut self,
        whose: Whose,
        mut suspect: Suspect,
        file: File,
        announced: &impl Fn(u64) -> Option<Announced>,
    ) {
        if let Whose::Finished { receipt, then, .. } = whose {
            return self.settle_known(file, &receipt, &suspect.name, then);
        }
        if let Whose::Replaced { id, .. } = whose
            && (suspect.partly.is_none() || self.may_be_copied_to(id, &suspect.name))
            && self.is_cut_unseen(id)
        {
            // What was read of it is looked for as that of any truncated file.
            return self.look_again(id);
        }
        let fresh_in = self.drop_fresh(suspect.hints);
        suspect.home = self.home_of(&file, &suspect.name).or(suspect.home).or(fresh_in);
        match whose {
            Whose::Stray { record, .. } => {
                let reached = announced(record.id);
                self.tell_recognised(&record, &suspect.name);
                self.stray_found(*record, file, &suspect, reached);
            }
            Whose::Truncated { id } => self.goes_on_in_copy(id, suspect, file),
            Whose::Replaced { id, .. } => match suspect.partly {
                Some(mark) => self.forks(id, &suspect, file, mark),
                None => self.goes_on_in_successor(id, &suspect, file),
            },
            Whose::Finished { .. } => {}
        }
    }

    fn is_superseded(&self, id: u64) -> bool {
        self.handle_of(id).is_some_and(|handle| self.tracked[handle].is_superseded())
    }

    fn may_be_copied_to(&self, id: u64, name: &OsStr) -> bool {
        self.handle_of(id).is_some_and(|handle| self.is_copys(name, &self.tracked[handle].record))
    }

    fn stray_found(
        &mut self,
        mut record: FileRecord,
        file: File,
        suspect: &Suspect,
        reached: Option<Announced>,
    ) {
        let (found, home) = (suspect.name.as_os_str(), suspect.home);
        let is_plain = record.state == FileState::Live
            && reached.is_none()
            && found.as_bytes() == record.current_name;
        if is_plain && self.tracked.len() >= self.open_max * 3 / 4 {
            let Ok(stat) = file.metadata() else {
                self.restore_in(home, record, file, found, reached);
                return;
            };
            self.note_home(&mut record, home);
            let hints = Hints::of(&stat);
            (record.device, record.inode, record.born_ns) =
                (hints.device, hints.inode, hints.born_ns);
            return self.park_record(record);
        }
        self.restore_in(home, record, file, found, reached);
    }

    fn tell_recognised(&self, record: &FileRecord, found: &OsStr) {
        tell(
            Level::Info,
            found,
            format_args!(
                "{} holds the bytes that were read of {}: it is the same file.",
                self.path(found).display(),
                String::from_utf8_lossy(&record.name),
            ),
        );
    }

    /// A file of which nothing was read turned out to be one that is known. Returns the directory in which it was
    /// opened.
    fn drop_fresh(&mut self, hints: Hints) -> Option<Home> {
        let is_it = |t: &Tracked| t.is_inode(hints.device, hints.inode) && t.read_position == 0;
        let fresh = self.tracked.remove(self.tracked.find(is_it)?);
        self.window.clear();
        Home::of_record(&fresh.record)
    }

    pub(super) fn take_name(&mut self, handle: Handle, suspect: &Suspect, is_named: bool) {
        let name = suspect.name.as_os_str();
        let tie = self.tie_of(is_named, &self.tracked[handle].record.name);
        let tracked = &mut self.tracked[handle];
        if let Some(home) = suspect.home.filter(|_| is_named) {
            home.note(&mut tracked.record);
        }
        tracked.tie = tie;
        tracked.record.current_name = name.as_bytes().to_vec();
        tracked.record.state = if is_named { FileState::Live } else { FileState::Draining };
        if is_named {
            tracked.record.name = name.as_bytes().to_vec();
        }
        self.window.clear();
        self.has_news = true;
    }

    /// Another file has the name and holds what was read. The old one may have a writer still: what
    /// comes behind, and is not in the new one, is read from it, too.
    fn goes_on_in_successor(&mut self, id: u64, suspect: &Suspect, file: File) {
        let name = suspect.name.as_os_str();
        let now_ms = self.clock().monotonic_ms();
        let Some(handle) = self.handle_of(id) else { return };
        let tracked = &mut self.tracked[handle];
        let old = tracked.record.clone();
        let (position, was_named) = (tracked.read_position, tracked.is_named());
        let is_by_bytes = tracked.decoder.unit_bytes() == 1;
        let most = if is_by_bytes { u64::MAX } else { position };
        let found = Common::of(&tracked.file, &file, position, most)
            .and_then(|common| Ok((crc_on(&tracked.file, &old, common.lines_end)?, common)));
        let (crc, common) = match found {
            Ok(found) => found,
            Err(e) => return self.complain(name, &e.to_string()),
        };
        tell(
            Level::Info,
            name,
            format_args!(
                "File:{} is another file now that holds the same bytes; reading goes on there at \
                 byte {position}.",
                name.display()
            ),
        );
        let was_truncated = tracked.is_superseded();
        let old_file = tracked.go_on_in(file, now_ms);
        if was_truncated {
            // What it holds by now is read as another content already.
            return self.take_name(handle, suspect, true);
        }
        let rest = old_file.metadata().map_or(0, |stat| stat.len());
        let old_name = OsStr::from_bytes(&old.name).to_owned();
        self.take_name(handle, suspect, true);
        let tie = self.tie_of(was_named, &old.name);
        let remnant = self.push_tracked(old_name, old_file, common.lines_end);
        let tracked = &mut self.tracked[remnant];
        tracked.tie = tie;
        // Half a line there stands in the other file as well.
        tracked.finished_at = (rest > common.lines_end && rest == common.end).then_some(rest);
        let record = &mut tracked.record;
        (record.bytes_crc, record.state, record.is_remnant) = (crc, old.state, true);
        note_same_home(record, &old);
        record.current_name = old.current_name;
    }

    /// Another file has the name and holds what was read but for the last lines, which a writer of
    /// the old one wrote meanwhile: both go on.
    fn forks(&mut self, id: u64, suspect: &Suspect, file: File, mark: Mark) {
        let name = suspect.name.as_os_str();
        let Some(handle) = self.handle_of(id) else { return };
        let old = &self.tracked[handle];
        let record = old.record.clone();
        let (position, lines) = match Common::of(&old.file, &file, mark.position, record.position) {
            Ok(common) => (common.lines_end, common.lines),
            Err(e) => return self.complain(name, &e.to_string()),
        };
        let crc = match prefix_crc(&file, position) {
            Ok(crc) => crc,
            Err(e) => return self.complain(name, &e.to_string()),
        };
        tell(
            Level::Info,
            name,
            format_args!(
                "File:{} is another file now that holds the same bytes up to byte {position}; \
                 both are read on.",
                name.display()
            ),
        );
        let new = self.push_tracked(name.to_owned(), file, position);
        let new = &mut self.tracked[new].record;
        (new.bytes_crc, new.opened_ms, new.ranges) = (crc, record.opened_ms, record.ranges);
        (new.lines, new.events) = (mark.lines + lines, mark.events + lines);
        if let Some(home) = suspect.home {
            home.note(new);
        }
        self.has_news = true;
    }

    fn settle_known(&mut self, file: File, receipt: &Receipt, at: &OsStr, then: Then) {
        let Ok(stat) = file.metadata() else { return };
        let cut = match end_without_zeros(&file, stat.len(), receipt) {
            Ok(end) => (end < receipt.size).then(|| cut_receipt(&file, receipt, end)),
            Err(e) => Some(Err(e)),
        };
        let receipt = match &cut {
            Some(Ok(receipt)) => receipt,
            Some(Err(e)) => return self.complain(at, &e.to_string()),
            None => receipt,
        };
        if self.is_recorded(&stat) {
            return;
        }
        match then {
            // It was read on from there meanwhile, as another inode.
            Then::Candidate if self.is_read_on(receipt) => self.known.dismiss(Hints::of(&stat)),
            Then::Candidate => {
                let handle = self.resume(at.to_owned(), file, receipt, true);
                if cut.is_some() {
                    // The receipt that stands there is of the file with its zeros.
                    self.tracked[handle].receipted_at = None;
                }
            }
            Then::Grown if self.is_read_on(receipt) => {}
            Then::Grown => self.resume_done(file, receipt, at),
            Then::Leftover => self.clear_leftover(file, receipt, at),
            Then::Renewed if self.is_read_on(receipt) => {}
            Then::Renewed => self.renew(receipt, at, &stat),
        }
    }

    fn settle_nowhere(&mut self, whose: Whose) {
        match whose {
            Whose::Stray { record, absence, reached } => self.put_absent(*record, absence, reached),
            Whose::Truncated { id } => {
                let Some(handle) = self.handle_of(id) else { return };
                log::info(
                    READER,
                    format_args!(
                        "No file in {} holds what was read of {} before it was truncated.",
                        self.config.spool_dir.display(),
                        self.tracked[handle].name().display()
                    ),
                );
            }
            // It is asked for what was truncated, and then once more.
            Whose::Replaced { id, .. } if self.is_superseded(id) => {}
            Whose::Replaced { by, .. } => {
                let mut fresh = self.tracked.iter_mut();
                if let Some(fresh) = fresh.find(|t| t.is_inode(by.device, by.inode)) {
                    fresh.vetting = Vetting::Passed;
                }
            }
            Whose::Finished { at, then: Then::Leftover, .. } => self.tell_no_receipt(&at),
            Whose::Finished { hints, .. } => self.known.dismiss(hints),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::STEP_BYTES;
    use crate::source::scene::{self, Scene, named};

    /// The loop slept for half a second after each step.
    #[test]
    fn a_comparison_that_is_the_only_one_goes_on_without_a_rest() {
        let mut scene = Scene::new("recognised-at-once");
        let name = scene.name("app");
        let copy = format!("{name}.1");
        std::fs::write(scene.path(&name), vec![b'\n'; STEP_BYTES as usize + 100_000]).unwrap();
        let handle = scene.is_read(&name, 0);
        let end = scene.files.at(handle).read_position;
        std::fs::copy(scene.path(&name), scene.path(&copy)).unwrap();
        let id = scene.truncate(handle);
        scene.files.recognise(|_| None);
        assert!(scene.files.is_sought(id) && scene.files.is_comparing());
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&copy, end));
        assert!(!scene.files.is_comparing());
    }

    /// It would be read as a new file from its first byte on.
    #[test]
    fn a_copy_that_is_found_when_no_descriptor_is_left_is_not_nowhere() {
        let test = "source::recognise::tests::a_copy_that_is_found_when_no_descriptor_is_left_is_not_nowhere";
        if !scene::is_alone(test) {
            return;
        }
        let mut scene = Scene::new("recognised-without-descriptor");
        let name = scene.name("app");
        let copy = format!("{name}.1");
        scene.write(&name, 0..100);
        let handle = scene.is_read(&name, 0);
        let end = scene.files.at(handle).read_position;
        std::fs::copy(scene.path(&name), scene.path(&copy)).unwrap();
        let id = scene.truncate(handle);
        scene::with_descriptors(0, || scene.files.recognise(|_| None));
        assert_eq!(scene.reads(id), named(&copy, end));
    }
}
