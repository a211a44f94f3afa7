//! More files than descriptors: a file that has nothing to read gives its descriptor to one that
//! waits, and is looked at by its name meanwhile: at once if the kernel says that it was written
//! to, and in its turn in any case. One that was moved aside does so as well, and is opened again
//! when its grace time is over.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::hints::Hints;
use super::parking::{Parked, Parking};
use super::policy::Current;
use super::tracked::{Look, Tracked, Watch};
use super::{BACKLOG_OPEN_MAX, Files, Handle, reach};
use crate::checkpoint::record::FileRecord;
use crate::os;

/// Parked files that are looked at in one turn of the loop.
const LOOK_MAX: usize = 512;

/// How often they are looked at, ms.
const LOOK_INTERVAL_MS: u64 = 250;

/// Where notices tell of each change, the looks are for those that no notice tells of all the same (who
/// writes through a mapping, or another hard link): in so many turns each file is looked at, two a second
/// while nothing happens, and so many files in each turn at least.
const TOLD_TURNS: usize = 60;
const TOLD_LOOK_MIN: usize = 128;

/// How often it is asked for one of them whether its directory is back, ms.
const AWAY_LOOK_MS: u64 = 10_000;

/// So long after the last reading its marks and the names that it had are kept: a copy that lacks the last lines is
/// there by then, and was looked at. Thousands of files have no need of them in each checkpoint, ms.
const MARKS_MS: u64 = 60_000;

/// With more files than that it is worth a pass over the memory when a time of much reading is over.
const GIVE_BACK_MIN: usize = 1_000;

/// Notices that are kept until then at most; what is beyond is found in its turn.
const NOTICES_MAX: usize = LOOK_MAX;

/// Nobody looks for a copy that lacks something any more.
fn forget_copies(record: &mut FileRecord) {
    (record.marks, record.former_names) = (Vec::new(), Vec::new());
}

/// A parked file that was not under its name when it was looked at.
struct Missed {
    id: u64,
    inode: u64,
}

/// Files that can spare a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spare {
    /// A file that was moved aside and waits for the end of its grace time.
    Draining,
    /// One of a past hour that waits for its first line.
    Empty,
    /// One of the present hour.
    Live,
    /// One of a past hour that has its name still.
    Backlog,
}

impl Files {
    /// Takes the descriptor from a quiet file, of the first of these kinds that can spare one.
    /// `false`: none can.
    pub(super) fn park_one(&mut self, kinds: &[Spare]) -> bool {
        let found = kinds.iter().find_map(|kind| match kind {
            Spare::Draining => self.find_draining(),
            Spare::Empty => self.find_quiet(false, |t| t.size == 0 && t.read_position == 0),
            Spare::Live => self.find_quiet(true, |_| true),
            Spare::Backlog => self.find_quiet(false, |_| true),
        });
        let Some((handle, due_ms)) = found else { return false };
        let tracked = self.tracked.remove(handle);
        // As it was when nothing was left to read: what is written from then on is a change.
        let (seen, watch) = (tracked.last_look(), Some(tracked.watch));
        let now_ms = self.clock().monotonic_ms();
        let marks_end_ms = tracked.marks.last_read_ms().map_or(0, |ms| ms + MARKS_MS);
        let Tracked { mut record, away_ms, .. } = tracked;
        if now_ms >= marks_end_ms {
            forget_copies(&mut record);
        }
        self.parking.push(Parked { record, seen, watch, due_ms, away_ms, marks_end_ms });
        true
    }

    /// The one that has had nothing to read for longest, of the present hour (`live`) or of the
    /// backlog.
    fn find_quiet(
        &mut self,
        live: bool,
        is_wanted: impl Fn(&Tracked) -> bool,
    ) -> Option<(Handle, u64)> {
        let now_ms = self.clock().monotonic_ms();
        let mut best: Option<Handle> = None;
        for handle in self.tracked.handles() {
            let tracked = &self.tracked[handle];
            let is_older = best.is_none_or(|b| tracked.served_ms < self.tracked[b].served_ms);
            if !tracked.is_named()
                || tracked.is_superseded()
                || tracked.has_uncommitted()
                || !is_older
            {
                continue;
            }
            if self.present.is_current(tracked.name()) != live || !is_wanted(tracked) {
                continue;
            }
            // Its last line is sent when it was left alone for long enough.
            if self.policy.rest_ms().is_some() && tracked.has_rest() {
                continue;
            }
            if matches!(self.tracked[handle].look(now_ms), Ok(Look::Quiet)) {
                best = Some(handle);
            }
        }
        best.map(|handle| (handle, 0))
    }

    /// One that was moved aside and has some of its grace time left, and when that is over. It must
    /// stand where its record says: what has no name any more cannot be opened again.
    fn find_draining(&mut self) -> Option<(Handle, u64)> {
        // Of each of hundreds.
        let now = (self.clock().now_ms(), self.clock().monotonic_ms());
        let handles = self.tracked.handles().into_iter().rev();
        handles.into_iter().find_map(|handle| Some((handle, self.grace_end_ms(handle, now)?)))
    }

    /// `now`: by the wall clock and the monotonic one.
    fn grace_end_ms(&mut self, handle: Handle, now: (i64, u64)) -> Option<u64> {
        let (wall_ms, now_ms) = now;
        let tracked = &self.tracked[handle];
        let is_open_for_its_end = tracked.is_named()
            || tracked.is_superseded()
            || tracked.has_uncommitted()
            || tracked.record.current_name.is_empty()
            // That what is behind the position is no event, nobody else knows.
            || tracked.finished_at.is_some_and(|size| size != tracked.read_position)
            || tracked.has_zeros()
            || self.is_sought(tracked.record.id);
        if is_open_for_its_end {
            return None;
        }
        let grace_ms = self.config.retire_grace_ms;
        // Of hundreds that wait for their receipts nothing is asked: those that are not where they were put could
        // not be parked either.
        let looked = tracked.left_alone_as_looked(wall_ms, now_ms);
        if looked.quiet_ms >= grace_ms && self.is_named_as_done(tracked) {
            return None;
        }
        let is_put = self.is_where_we_put_it(tracked);
        if self.tracked[handle].look(now_ms).ok()? != Look::Quiet {
            return None;
        }
        let grace_ms = grace_ms.saturating_sub(self.left_alone_as_looked_ms(handle, now)?);
        if is_put {
            return (grace_ms > 0).then_some(now_ms + grace_ms);
        }
        let away_ms = if self.is_away(handle) { AWAY_LOOK_MS } else { 0 };
        let left_ms = grace_ms.max(away_ms);
        let tracked = &self.tracked[handle];
        let is_there = reach::metadata(&self.path(&tracked.current_name()))
            .is_ok_and(|stat| tracked.is_inode(stat.dev(), stat.ino()));
        (left_ms > 0 && is_there).then_some(now_ms + left_ms)
    }

    /// Parks the record of the last run without opening the file.
    pub(super) fn park_record(&mut self, record: FileRecord) {
        let seen = (0, 0, 0);
        let marks_end_ms = self.clock().monotonic_ms() + MARKS_MS;
        let (watch, away_ms) = (None, None);
        self.parking.push(Parked { record, seen, watch, due_ms: 0, away_ms, marks_end_ms });
        self.parking.distrust_notices();
    }

    /// Does a notice tell of each change in the directories from now on, and did it since the last call?
    pub fn trust_notices(&mut self, is_told: bool, are_lost: bool) {
        if are_lost || is_told && !self.parking.is_told {
            self.parking.distrust_notices();
            self.tracked.iter_mut().for_each(|tracked| tracked.may_be_unseen = true);
        }
        self.parking.is_told = is_told;
    }

    /// The kernel says that `name` was written to.
    pub fn notice(&mut self, name: &OsStr) {
        self.notice_kept(name);
        self.notice_late(name);
        if let Some(handle) = self.handle_by_name(name) {
            self.tracked[handle].may_be_unseen = true;
            return;
        }
        let is_wanted = !self.parking.files.is_empty() && !self.parking.notices.contains(name);
        if is_wanted && self.parking.notices.len() < NOTICES_MAX {
            self.parking.notices.insert(name.to_owned());
        } else if is_wanted {
            self.parking.distrust_notices();
        }
    }

    /// Opens parked files that have changed again, and those of the backlog where there is room
    /// to retire them.
    pub(super) fn look_at_parked(&mut self) {
        self.look_at_noticed();
        let now_ms = self.clock().monotonic_ms();
        if self.parking.files.is_empty() || now_ms < self.parking.looked_ms + LOOK_INTERVAL_MS {
            return;
        }
        self.parking.looked_ms = now_ms;
        self.parking.lacks_room = false;
        let mut missed = Vec::new();
        self.look_at_some(&mut missed);
        self.find_missed(missed);
    }

    fn look_at_some(&mut self, missed: &mut Vec<Missed>) {
        for _ in 0..self.looks_now() {
            let was_untold = self.parking.untold > 0;
            let count = self.parking.files.len();
            if self.parking.next >= count {
                self.parking.next = 0;
            }
            let has_room = count == 0 || self.look_at(self.parking.next, missed);
            // Another one has the place of one that was opened.
            if !has_room || self.parking.files.len() >= count {
                self.parking.next += 1;
            }
            if !has_room {
                return;
            }
            self.parking.untold = self.parking.untold.saturating_sub(1);
            if self.parking.untold == 0 && was_untold {
                self.give_back_memory();
            }
        }
    }

    /// What was read of thousands of files one after the other, and the records written of them, leave holes
    /// of more than a megabyte.
    pub fn give_back_memory(&self) {
        if self.parking.files.len() > GIVE_BACK_MIN {
            os::give_back_memory();
            os::give_back_code();
        }
    }

    /// How many are to be looked at in this turn.
    fn looks_now(&self) -> usize {
        let Parking { files, draining, is_told, untold, .. } = &self.parking;
        // Others may be due without having changed.
        let may_wait = matches!(self.policy.current, Current::Each) && *draining == 0;
        let most = match may_wait && *is_told && *untold == 0 {
            true => files.len().div_ceil(TOLD_TURNS).clamp(TOLD_LOOK_MIN, LOOK_MAX),
            false => LOOK_MAX,
        };
        most.min(files.len())
    }

    fn look_at_noticed(&mut self) {
        if self.parking.notices.is_empty() {
            return;
        }
        let notices = std::mem::take(&mut self.parking.notices);
        self.parking.lacks_room = false;
        let mut missed = Vec::new();
        // From the end: what takes the place of an opened one was looked at before.
        for at in (0..self.parking.files.len()).rev() {
            let Some(parked) = self.parking.files.get(at) else { continue };
            let is_noticed = notices.contains(OsStr::from_bytes(&parked.record.current_name));
            if is_noticed && !self.look_at(at, &mut missed) {
                self.parking.distrust_notices();
                break;
            }
        }
        self.find_missed(missed);
    }

    /// Opens a parked file if it has changed or may be retired, and notes one that is not under its name. `false`: there
    /// is no descriptor for it.
    fn look_at(&mut self, at: usize, missed: &mut Vec<Missed>) -> bool {
        let now_ms = self.clock().monotonic_ms();
        let parked = &self.parking.files[at];
        let path = self.path(OsStr::from_bytes(&parked.record.current_name));
        let Ok(stat) = reach::metadata(&path) else {
            missed.push(Missed { id: parked.record.id, inode: parked.record.inode });
            return true;
        };
        // One that has another's name is found, or waited for, when it is opened. Who puts its like in its place may
        // keep length and stamp.
        let is_it = Hints::of(&stat).agree(Hints::of_record(&parked.record));
        let has_changed = !is_it || seen(&stat) != parked.seen;
        if !has_changed && !self.may_end(at) {
            // Nobody may have looked at it for longer, while no channel was open.
            let parked = &mut self.parking.files[at];
            if now_ms >= parked.marks_end_ms {
                forget_copies(&mut parked.record);
            }
            return true;
        }
        if !self.has_descriptor() {
            return false;
        }
        self.unpark(at, has_changed);
        true
    }

    /// Is there a descriptor for one more file? The quietest makes room.
    fn has_descriptor(&mut self) -> bool {
        let kinds = [Spare::Draining, Spare::Empty, Spare::Live, Spare::Backlog];
        self.tracked.len() < self.open_max || self.park_one(&kinds)
    }

    /// Files that were not under their names: renamed, or deleted, or not to be asked now. The directories are listed
    /// once for all of them, since hundreds may be deleted together.
    fn find_missed(&mut self, missed: Vec<Missed>) {
        if missed.is_empty() {
            return;
        }
        let census = self.take_census(&missed.iter().map(|missed| missed.inode).collect());
        for Missed { id, .. } in missed {
            let Some(at) = self.parking.place_of(id) else { continue };
            let parked = self.parking.take(at);
            match self.locate_in(&parked.record, &census) {
                Ok((file, found)) if self.has_descriptor() => {
                    let Parked { record, watch, away_ms, .. } = parked;
                    let handle = self.restore_found(record, file, &found, None);
                    self.watch_on(handle, id, (watch, away_ms), true);
                }
                Ok(_) => {
                    self.parking.push(parked);
                    self.parking.distrust_notices();
                }
                Err(absence) => {
                    let Parked { mut record, .. } = parked;
                    self.note_names_now(&mut record, &absence, &census);
                    self.is_missed(record, absence, None);
                }
            }
        }
        if self.parking.untold > 0 {
            // Another one has the place of each, and was perhaps not looked at yet.
            self.parking.distrust_notices();
        }
    }

    /// May the parked file be retired, or be done, and is there room for that?
    fn may_end(&mut self, at: usize) -> bool {
        let now_ms = self.clock().monotonic_ms();
        let parked = &self.parking.files[at];
        if parked.is_draining() {
            return parked.due_ms <= now_ms && self.has_room_for_end();
        }
        let live = self.present.is_current(OsStr::from_bytes(&parked.record.name));
        let (size, modified_s, _) = parked.seen;
        let is_empty = size == 0 && parked.record.position == 0;
        let is_new = is_empty && self.is_of_this_hour(modified_s.saturating_mul(1000));
        !live && !is_new && !self.names_are_stuck() && self.has_backlog_room()
    }

    fn unpark(&mut self, at: usize, has_changed: bool) {
        let Parked { record, watch, away_ms, .. } = self.parking.take(at);
        let id = record.id;
        if let Some(handle) = self.restore_one(record, None) {
            self.watch_on(handle, id, (watch, away_ms), has_changed);
        }
    }

    /// What was known of file `id` when it was parked is known again, but not of what another content has begun under
    /// its name.
    fn watch_on(
        &mut self,
        handle: Handle,
        id: u64,
        (watch, away_ms): (Option<Watch>, Option<u64>),
        has_changed: bool,
    ) {
        let now_ms = self.clock().monotonic_ms();
        if let Some(watch) = watch.filter(|_| self.tracked[handle].record.id == id) {
            self.tracked[handle].watch_on(watch, has_changed.then_some(now_ms));
            self.tracked[handle].away_ms = away_ms;
        }
    }

    /// Opens the parked file with that id.
    pub(super) fn unpark_id(&mut self, id: u64) {
        if let Some(at) = self.parking.place_of(id) {
            self.unpark(at, false);
        }
    }

    /// So many files of the backlog may be open under their names.
    pub fn backlog_open_max(&self) -> usize {
        BACKLOG_OPEN_MAX.min(self.open_max / 2)
    }

    /// Is there room for one more file of a past hour under its name? Quiet files make some.
    pub(super) fn has_backlog_room(&mut self) -> bool {
        self.backlog_open() < self.backlog_open_max() && self.has_room()
    }

    /// Asked once in each look: of hundreds whose time is over at once, each would ask hundreds of open ones
    /// whether they can spare theirs.
    fn has_room_for_end(&mut self) -> bool {
        if !self.parking.lacks_room {
            self.parking.lacks_room = !self.has_room();
        }
        !self.parking.lacks_room
    }

    /// A quarter of the descriptors is left to the present hour, unless some of its files can spare
    /// theirs.
    pub(super) fn has_room(&mut self) -> bool {
        self.tracked.len() < self.open_max * 3 / 4
            || self.park_one(&[Spare::Draining, Spare::Empty, Spare::Live])
    }

    /// Files whose hour is over and that still have their names. One that is empty may wait for its
    /// first line, and one whose partition has no leader for that; they have no part in this.
    fn backlog_open(&self) -> usize {
        let is_backlog = |t: &&super::Tracked| {
            t.is_named() && t.size > 0 && !t.is_barred && !self.present.is_current(t.name())
        };
        self.tracked.iter().filter(is_backlog).count()
    }
}

fn seen(stat: &std::fs::Metadata) -> (u64, i64, i64) {
    (stat.len(), stat.mtime(), stat.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::source::scene::{Scene, named};

    const LINES: u32 = 100;

    /// The file of that number is read and parked. Returns its id and how far it was read.
    fn is_parked(scene: &mut Scene, number: u32) -> (u64, u64) {
        let name = scene.name(&format!("f{number}"));
        scene.write(&name, number * LINES..(number + 1) * LINES);
        let handle = scene.is_read(&name, 0);
        let tracked = scene.files.at(handle);
        let read = (tracked.record.id, tracked.read_position);
        assert!(scene.files.park_one(&[Spare::Live]));
        read
    }

    /// Each of them had all others listed and opened.
    #[test]
    fn parked_files_that_are_deleted_together_are_looked_for_together() {
        const FILES: u32 = 300;
        const DELETED: u32 = 100;
        let mut scene = Scene::new("parked-deleted");
        for number in 0..FILES {
            is_parked(&mut scene, number);
        }
        for number in 0..DELETED {
            std::fs::remove_file(scene.path(&scene.name(&format!("f{number}")))).unwrap();
        }
        scene.clock.advance(LOOK_INTERVAL_MS);
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        reach::set_mishap(Some(Box::new(move |_| {
            counted.set(counted.get() + 1);
            None
        })));
        assert!(scene.files.choose().is_none());
        scene.files.recognise(|_| None);
        reach::set_mishap(None);
        assert_eq!(scene.files.absent().records().count(), DELETED as usize);
        assert_eq!(scene.files.parked().count(), (FILES - DELETED) as usize);
        assert!(calls.get() < 12 * FILES, "{} calls", calls.get());
    }

    /// As `mv` does it from one file system to another: it is known before anything of it is read as a new file.
    #[test]
    fn a_parked_file_that_was_copied_and_deleted_is_not_read_anew() {
        let mut scene = Scene::new("parked-copied");
        let (id, position) = is_parked(&mut scene, 1);
        let [old, new] = ["f1", "g"].map(|stem| scene.name(stem));
        std::fs::copy(scene.path(&old), scene.path(&new)).unwrap();
        scene.files.refresh(true);
        std::fs::remove_file(scene.path(&old)).unwrap();
        scene.clock.advance(2_000);
        scene.files.refresh(true);
        assert!(scene.files.choose().is_none());
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&new, position));
        assert_eq!(scene.files.parked().count(), 0);
    }

    /// Under its new name it counts as one that is held already: nobody else opens it.
    #[test]
    fn a_file_that_was_parked_unseen_and_renamed_is_opened_under_its_new_name() {
        let mut scene = Scene::new("parked-unseen");
        let [old, new] = ["old", "new"].map(|stem| scene.name(stem));
        scene.write(&old, 0..3);
        let handle = scene.is_read(&old, 0);
        let tracked = scene.files.tracked.remove(handle);
        let (id, position) = (tracked.record.id, tracked.read_position);
        scene.files.park_record(tracked.record);
        std::fs::rename(scene.path(&old), scene.path(&new)).unwrap();
        scene.clock.advance(LOOK_INTERVAL_MS);
        scene.files.look_at_parked();
        assert_eq!(scene.reads(id), named(&new, position));
        assert_eq!(scene.files.parked().count(), 0);
    }

    /// It lacks the last lines, and was made under the name that the file had before it was renamed, parked and
    /// truncated.
    #[test]
    fn a_copy_of_a_file_that_was_renamed_and_parked_is_known_by_the_name_before() {
        let mut scene = Scene::new("parked-renamed");
        let [old, new] = ["old", "new"].map(|stem| scene.name(stem));
        let copy = format!("{old}.1");
        scene.write(&copy, 0..100);
        scene.write(&old, 0..103);
        let copied = scene.path(&copy).metadata().unwrap().len();
        let mut handle = scene.is_read(&old, copied);
        let id = scene.files.at(handle).record.id;
        std::fs::rename(scene.path(&old), scene.path(&new)).unwrap();
        // For longer than a copy is waited for, no channel was open.
        for (len, later_ms) in [(None, LOOK_INTERVAL_MS), (Some(0), 61_000)] {
            let tracked = scene.files.tracked.remove(handle);
            scene.files.park_record(tracked.record);
            if let Some(len) = len {
                let file = std::fs::File::options().write(true).open(scene.path(&new));
                file.unwrap().set_len(len).unwrap();
            }
            scene.clock.advance(later_ms);
            scene.files.look_at_parked();
            handle = scene.files.handle_of(id).unwrap();
        }
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&copy, copied));
    }
}
