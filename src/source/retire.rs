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
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::kin::{COPY_WAIT_MS, has_no_place};
use super::policy::{Current, Then};
use super::scan::Candidate;
use super::tracked::{LeftAlone, Look, Tie, Tracked, Vetting};
use super::{Files, Handle, READER, reach, root, tell};
use crate::checkpoint::record::FileState;
use crate::config::model::NUMBER_DIGITS_MAX;
use crate::log::{self, Level};
use crate::os;

/// Beginning of the name of a file that waits to be deleted: in the tracker directory, and what
/// goes before it in the spool directory.
pub(super) const HIDDEN: &str = "deleted-";
pub(super) const HIDDEN_BESIDE: &str = ".flume-ng-";

/// First and longest wait after a rename that the directory did not permit, ms.
pub(super) const RETRY_MS: u64 = 4_000;
const RETRY_MS_MAX: u64 = 60_000;

/// How far the clock that stamps the files may be from ours, ms.
const CLOCKS_DIFFER_MS_MAX: u64 = 1_800_000;

/// How many files are retired, or done, in one go.
const BATCH_MAX: usize = 192;

/// What is to be done for files that have nothing left to read and nothing in flight.
#[derive(Debug, Default)]
pub struct Due {
    /// Announce its last, unterminated line.
    pub finish: Option<u64>,
    /// Give up their names: [`Files::intend_retirement`], commit, [`Files::move_aside`].
    pub retire: Vec<u64>,
    /// Write their receipts, then [`Files::forget`] them.
    pub done: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Finish,
    Retire,
    Done,
}

/// What came of a move that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Moved,
    /// The new name was taken in this moment, or cannot be had: intend again.
    Taken,
    /// Another program has renamed, replaced or deleted it since the last listing.
    Lost,
    /// The file keeps its name for now; others may have more luck.
    Kept,
    /// The directory does not permit it, for no file.
    Refused,
}

/// The spool directory does not permit names to be changed: until when it is left alone.
#[derive(Debug, Default)]
pub struct Stuck {
    until_ms: u64,
    wait_ms: u64,
}

impl Files {
    /// All steps that are due now.
    pub fn due(&mut self) -> Due {
        let mut due = Due::default();
        if self.is_directory_absent() {
            return due;
        }
        self.update_present();
        let may_retire = !self.names_are_stuck();
        // One candidate must stay, as if the files were retired one by one.
        let mut going: Vec<OsString> = Vec::new();
        for handle in self.tracked.handles() {
            let tracked = &self.tracked[handle];
            // Of one that has no name what is asked costs most, and its turn comes.
            if due.done.len() >= BATCH_MAX && !tracked.is_named() && !tracked.has_rest() {
                continue;
            }
            let id = tracked.record.id;
            let step = self.step_of(handle, &going);
            match step {
                Some(Step::Finish) if due.finish.is_none() && self.has_its_name(handle) => {
                    due.finish = Some(id);
                }
                Some(Step::Retire) if may_retire && due.retire.len() < BATCH_MAX => {
                    going.push(self.tracked[handle].name().to_owned());
                    due.retire.push(id);
                }
                Some(Step::Done) if due.done.len() < BATCH_MAX => due.done.push(id),
                _ => {}
            }
        }
        due
    }

    pub(super) fn step_of(&mut self, handle: Handle, going: &[OsString]) -> Option<Step> {
        let now_ms = self.clock().monotonic_ms();
        let tracked = &self.tracked[handle];
        if tracked.has_uncommitted() || tracked.is_barred || tracked.read_retry_ms > now_ms {
            return None;
        }
        if self.is_sought(tracked.record.id) {
            return None;
        }
        let is_named = tracked.is_named();
        if let Some(whole_ms) = self.policy.whole_ms() {
            return self.step_of_whole(handle, whole_ms);
        }
        if self.is_by_descriptor() && tracked.lost_name_ms.is_some() && !tracked.is_superseded() {
            // It is stayed with.
            return None;
        }
        if is_named && self.present.is_current(tracked.name()) {
            self.tracked[handle].watch.was_live = true;
            return self.step_of_current(handle);
        }
        if self.tracked[handle].look(now_ms).ok()? != Look::Quiet {
            return None;
        }
        if is_named && self.is_empty_and_new(handle) {
            return None;
        }
        let name = self.tracked[handle].name().to_owned();
        if is_named && !self.has_other_candidate(&name, &[]) {
            self.tracked[handle].watch.was_live = true;
            return None;
        }
        if is_named && !self.has_other_candidate(&name, going) {
            return None;
        }
        if is_named {
            self.keep_if_it_must(handle);
        }
        let tracked = &self.tracked[handle];
        let in_grace = !(is_named && tracked.watch.was_live) || tracked.keeps_name;
        let is_quiet = tracked.is_superseded()
            || tracked.is_released()
            || self.is_left_over(handle)
            || in_grace && self.left_alone_ms(handle)? >= self.policy.grace_ms();
        if self.is_waited_for(handle) || is_quiet && self.may_go_on_elsewhere(handle) {
            return None;
        }
        let tracked = &self.tracked[handle];
        match (is_named, is_quiet) {
            (_, true) if tracked.has_rest() => Some(Step::Finish),
            (true, true) if tracked.keeps_name => Some(Step::Done),
            (true, false) if tracked.keeps_name => None,
            (true, _) => Some(Step::Retire),
            // Another hard link to it, or its old name, is a candidate: not done yet.
            (false, true) if self.adopt_if_back(handle) => None,
            (false, true) => Some(Step::Done),
            (false, false) => None,
        }
    }

    /// A file that goes on: its unfinished last line may be due.
    fn step_of_current(&mut self, handle: Handle) -> Option<Step> {
        let rest_ms = self.policy.rest_ms()?;
        let now_ms = self.clock().monotonic_ms();
        // Each was looked at a moment ago, when one was chosen: hundreds that have no rest are not asked twice.
        let may_have_rest = self.tracked[handle].has_rest();
        if !may_have_rest || self.tracked[handle].look(now_ms).ok()? != Look::Quiet {
            return None;
        }
        let tracked = &self.tracked[handle];
        // Zeros at the end are not written yet, and no line.
        let is_due = tracked.has_rest()
            && tracked.gap.is_none()
            && tracked.watched_ms(now_ms).is_ok_and(|ms| ms >= rest_ms);
        (is_due && self.may_begin(handle)).then_some(Step::Finish)
    }

    /// A file that was dropped: done when it is read, whatever its name and whatever others there are.
    fn step_of_whole(&mut self, handle: Handle, whole_ms: u64) -> Option<Step> {
        let (wall_ms, now_ms) = (self.clock().now_ms(), self.clock().monotonic_ms());
        if self.tracked[handle].look(now_ms).ok()? != Look::Quiet {
            return None;
        }
        let tracked = &self.tracked[handle];
        let is_named = tracked.is_named();
        let LeftAlone { watched_ms, quiet_ms: left_ms } =
            tracked.left_alone_as_looked(wall_ms, now_ms);
        let is_whole = tracked.is_superseded() || left_ms >= whole_ms;
        // Not before it is whole, however short the grace time is: it may be copied at this moment, and truncated then.
        let is_over = is_whole && (tracked.is_superseded() || left_ms >= self.policy.grace_ms());
        // Of hundreds that were renamed and wait for the end of their grace time nothing else is asked.
        let is_in_grace = !is_named && !is_over && !tracked.has_rest();
        if is_in_grace || self.is_waited_for(handle) {
            return None;
        }
        if is_named {
            self.keep_if_it_must(handle);
        }
        let tracked = &self.tracked[handle];
        let is_begun = tracked.read_position > 0 || self.may_begin(handle);
        if is_whole && self.may_go_on_elsewhere(handle) {
            return None;
        }
        let tracked = &self.tracked[handle];
        if tracked.has_rest() {
            return (is_whole && is_begun).then_some(Step::Finish);
        }
        // Where no other file waits there is time for a writer that has dropped it too early.
        let open = self.tracked.iter().filter(|t| t.is_named()).count();
        let is_urgent = self.scanner.candidates().len() > open;
        let is_due = is_whole && (is_urgent || watched_ms >= whole_ms);
        match (is_named, tracked.keeps_name) {
            // It is looked at under its name as long as it has that, and read on.
            (true, true) if self.policy.then == Then::Mark => is_due.then_some(Step::Done),
            (true, false) => is_due.then_some(Step::Retire),
            (true, true) => is_over.then_some(Step::Done),
            // Another hard link to it, or its old name, is a candidate: not done yet.
            (false, _) if is_over && self.adopt_if_back(handle) => None,
            (false, _) => is_over.then_some(Step::Done),
        }
    }

    /// May a file that has lost its name not have come to its end? Another directory stands in the place of
    /// its own, or it may have a name that was not listed, or another inode has what was read of it, and more.
    fn may_go_on_elsewhere(&mut self, handle: Handle) -> bool {
        if self.tracked[handle].is_named() || self.tracked[handle].is_released() {
            return false;
        }
        // One question in place of those that tell where it is otherwise.
        if self.is_where_we_put_it(&self.tracked[handle]) {
            self.tracked[handle].away_ms = None;
            return self.may_have_heir(handle, true);
        }
        self.is_away(handle) || self.is_unlisted(handle) || self.may_have_heir(handle, false)
    }

    /// Was the file deleted, and is it no longer written to? Only this descriptor keeps its bytes
    /// on the disk.
    fn is_left_over(&self, handle: Handle) -> bool {
        let tracked = &self.tracked[handle];
        self.policy.then == Then::Nothing
            && !tracked.is_named()
            && !tracked.has_rest()
            && tracked.file.metadata().is_ok_and(|stat| stat.nlink() == 0)
            && os::is_open_for_writing(&tracked.file) == Some(false)
    }

    /// May another file turn out to be this one? A copy of it waits for its truncation, which nobody
    /// would see if this one ended before; or what has its name by now was not compared with it yet.
    fn is_waited_for(&self, handle: Handle) -> bool {
        let now_ms = self.clock().monotonic_ms();
        let old = &self.tracked[handle];
        let waits = |fresh: &Tracked| match fresh.vetting {
            Vetting::Passed => false,
            Vetting::Copy { of, until_ms } => of == old.record.id && now_ms < until_ms,
            Vetting::Unasked | Vetting::Due => {
                let has_its_name = !old.is_named() && fresh.record.name == old.record.name;
                has_its_name && fresh.file.metadata().is_ok_and(|stat| stat.len() > 0)
            }
        };
        let is_fresh = |t: &&Tracked| t.read_position == 0 && t.record.id != old.record.id;
        old.read_position > 0
            && (self.tracked.iter().filter(is_fresh).any(waits) || self.may_be_copied(old, now_ms))
    }

    /// Another file has got its name from this one a moment ago, or it has lost its last one. Is there a
    /// name like that of a copy which nobody has looked at yet? The copy may be what another file, which had
    /// the name for a while, held before it was truncated.
    fn may_be_copied(&self, old: &Tracked, now_ms: u64) -> bool {
        let lost_ms = old.lost_name_ms.filter(|at| !old.is_named() && now_ms < at + COPY_WAIT_MS);
        let Some(lost_ms) = lost_ms else { return false };
        let is_its = |c: &Candidate| c.name.as_bytes() == old.record.name;
        let is_listed = self.listed_ms.is_some_and(|at| at > lost_ms);
        let record = &old.record;
        let is_copys = |c: &Candidate| self.is_copys(&c.name, record);
        let is_new = |c: &Candidate| is_copys(c) && !self.is_told(c);
        let candidates = self.scanner.candidates();
        let is_copy_there = candidates.iter().any(is_new);
        match candidates.iter().any(is_its) {
            true => !is_listed || is_copy_there,
            false => is_copy_there && has_no_place(old),
        }
    }

    /// For how long was the file left alone, ms? Where all lines are whole, its stamp is good
    /// enough, since what comes later is read all the same. What is no whole line is final only
    /// after we have watched it ourselves: the stamp may be of another clock. One that is older by
    /// far counts, unless the file is open for writing.
    pub(super) fn left_alone_ms(&self, handle: Handle) -> Option<u64> {
        let (wall_ms, now_ms) = (self.clock().now_ms(), self.clock().monotonic_ms());
        let tracked = &self.tracked[handle];
        let LeftAlone { watched_ms, quiet_ms } = tracked.left_alone(wall_ms, now_ms).ok()?;
        if !tracked.has_rest() {
            return Some(quiet_ms);
        }
        let by_stamp_ms = quiet_ms.saturating_sub(CLOCKS_DIFFER_MS_MAX);
        if by_stamp_ms <= watched_ms || os::is_open_for_writing(&tracked.file) == Some(true) {
            return Some(watched_ms);
        }
        Some(by_stamp_ms)
    }

    /// The same as it was looked at last, if its lines are whole; `now`: by the wall clock and the monotonic one.
    pub(super) fn left_alone_as_looked_ms(&self, handle: Handle, now: (i64, u64)) -> Option<u64> {
        let tracked = &self.tracked[handle];
        match tracked.has_rest() {
            true => self.left_alone_ms(handle),
            false => Some(tracked.left_alone_as_looked(now.0, now.1).quiet_ms),
        }
    }

    /// Has its writer made the file a moment ago, or in the present hour, and not begun yet? It has
    /// its lines before it.
    fn is_empty_and_new(&self, handle: Handle) -> bool {
        let tracked = &self.tracked[handle];
        if tracked.size > 0 || tracked.record.position > 0 {
            return false;
        }
        let Ok(stat) = tracked.file.metadata() else { return false };
        let watched_ms = tracked.watched_ms(self.clock().monotonic_ms()).unwrap_or(0);
        watched_ms < self.policy.grace_ms()
            || self.is_of_this_hour(super::hints::modified_ms(&stat))
    }

    /// Is that time of modification in the present hour, or later?
    pub(super) fn is_of_this_hour(&self, modified_ms: i64) -> bool {
        match &self.policy.current {
            Current::Dated(date) => self.present.is_since(modified_ms, self.clock(), date),
            Current::Each => true,
            Current::None => false,
        }
    }

    /// Is this a backlog file that will be retired and done as soon as it is read? Then its last
    /// line needs no newline, and goes in its place, before the files behind it.
    pub fn is_ending(&mut self, handle: Handle) -> bool {
        self.is_about_to_end(handle)
            && (!ends_in_mid_line(&self.tracked[handle]) || self.has_its_name(handle))
    }

    /// Does its name, if it has one, still lead to this very file? Half a line may go on in another one that has got
    /// the name since the last listing, or, where that cannot be asked now, may have got it.
    fn has_its_name(&self, handle: Handle) -> bool {
        let tracked = &self.tracked[handle];
        let is_it = |stat: Metadata| tracked.is_inode(stat.dev(), stat.ino());
        !tracked.is_named() || self.root.stat(tracked.name()).is_ok_and(is_it)
    }

    /// Likewise, whatever its last line is.
    fn is_about_to_end(&mut self, handle: Handle) -> bool {
        let tracked = &self.tracked[handle];
        if let Some(whole_ms) = self.policy.whole_ms() {
            let (wall_ms, now_ms) = (self.clock().now_ms(), self.clock().monotonic_ms());
            // It was looked at when it was chosen.
            let left = tracked.left_alone_as_looked(wall_ms, now_ms);
            return tracked.is_named() && left.quiet_ms >= whole_ms;
        }
        let (name, is_named) =
            (tracked.name().to_owned(), tracked.is_named() && !tracked.watch.was_live);
        self.update_present();
        let is_past = !self.present.is_current(&name);
        is_named
            && is_past
            && self.left_alone_ms(handle).is_some_and(|ms| ms >= self.policy.grace_ms())
            && self.has_other_candidate(&name, &[])
    }

    /// Milliseconds until the grace time of some file may be over, if one is running. Asked in each turn: the
    /// last look at a file whose lines are whole is good enough, since one that was written to since is only
    /// looked at too early.
    pub fn next_deadline_ms(&mut self) -> Option<u64> {
        let grace_ms = self.policy.grace_ms();
        let now = (self.clock().now_ms(), self.clock().monotonic_ms());
        let left = |handle| grace_ms.checked_sub(self.left_alone_as_looked_ms(handle, now)?);
        // One whose time is over waits for something else, of which its length tells nothing.
        let is_retired = |handle: &Handle| !self.tracked[*handle].is_named();
        let handles = self.tracked.handles().into_iter();
        handles.filter(is_retired).filter_map(left).filter(|ms| *ms > 0).min()
    }

    /// Says Flume's words and chooses the new name; to be committed before the move.
    pub fn intend_retirement(&mut self, handle: Handle) {
        let tracked = &self.tracked[handle];
        let name = tracked.name().to_owned();
        let text = name.display();
        if tracked.record.state == FileState::Live && self.policy.whole_ms().is_none() {
            log::info(
                READER,
                format_args!(
                    "File:{text} is no longer a TARGET File, which will no longer be monitored."
                ),
            );
            self.tell_unchanged(handle);
        }
        let path = self.path(&name);
        let target = match self.policy.then {
            Then::Rename => {
                let target = self.free_name(&name);
                tell(
                    Level::Info,
                    &name,
                    format_args!(
                        "Preparing to move file {} to {}",
                        path.display(),
                        self.path(&target).display()
                    ),
                );
                target
            }
            Then::Delete => {
                tell(
                    Level::Info,
                    &name,
                    format_args!("Preparing to delete file {}", path.display()),
                );
                self.hidden_name(handle)
            }
            Then::Mark | Then::Nothing => name,
        };
        let record = &mut self.tracked[handle].record;
        record.state = FileState::Draining;
        record.current_name = target.as_bytes().to_vec();
    }

    fn tell_unchanged(&self, handle: Handle) {
        let tracked = &self.tracked[handle];
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
        let plain = self.policy.names.completed(name);
        let numbered = |n: u32| {
            let mut name = plain.clone();
            name.push(format!(".{n}"));
            name
        };
        std::iter::once(plain.clone())
            .chain((1..10u32.pow(NUMBER_DIGITS_MAX as u32)).map(numbered))
            .find(|candidate| self.root.stat_link(candidate).is_err())
            .unwrap_or(plain.clone())
    }

    /// Where a file to be deleted spends its grace time: in the tracker directory if that is on
    /// the same file system, else under a hidden name (never a candidate) in its own directory, which
    /// may be a mount of its own. A symbolic link stays where what it says is right.
    fn hidden_name(&self, handle: Handle) -> OsString {
        let tracked = &self.tracked[handle];
        let leaf = format!("{HIDDEN}{}-{}", tracked.record.inode, tracked.record.id);
        let is_link = self.root.stat_link(tracked.name()).is_ok_and(|stat| stat.is_symlink());
        match self.config.tracker_dir.metadata() {
            Ok(stat) if stat.dev() == tracked.record.device && !is_link && !self.hides_beside => {
                self.config.tracker_dir.join(leaf).into_os_string()
            }
            _ => {
                let leaf = OsString::from(format!("{HIDDEN_BESIDE}{leaf}"));
                root::below(root::split(tracked.name()).0, &leaf)
            }
        }
    }

    /// Is that a name that [`Files::hidden_name`] makes?
    fn is_hidden(&self, name: &OsStr) -> bool {
        if root::is_outside(name) {
            let in_tracker = self.config.tracker_dir.join(HIDDEN);
            return name.as_bytes().starts_with(in_tracker.as_os_str().as_bytes());
        }
        let beside = [HIDDEN_BESIDE, HIDDEN].concat();
        root::split(name).1.as_bytes().starts_with(beside.as_bytes())
    }

    /// Is that the name that we give a finished file of this name? Any other one it got from another program,
    /// which may take that back.
    pub(super) fn is_name_when_done(&self, name: &OsStr, target: &OsStr) -> bool {
        match self.policy.then {
            Then::Rename => {
                let plain = self.policy.names.completed(name);
                let number = target.as_bytes().strip_prefix(plain.as_bytes());
                number.is_some_and(|n| {
                    n.is_empty() || n.starts_with(b".") && n[1..].iter().all(u8::is_ascii_digit)
                })
            }
            Then::Delete => self.is_hidden(target),
            Then::Mark | Then::Nothing => false,
        }
    }

    /// Carries the announced move out; durable after [`Files::sync_names`].
    pub fn move_aside(&mut self, handle: Handle) -> Move {
        let tracked = &self.tracked[handle];
        let (name, target) = (tracked.name().to_owned(), tracked.current_name());
        let (from, to) = (self.path(&name), self.path(&target));
        let own = numbers(&self.tracked[handle]);
        if is_other_file(own, &from) {
            return self.lose_move(handle);
        }
        match self.root.rename(&name, &target) {
            Ok(()) if is_other_file(own, &to) => {
                // It was replaced in this very moment: its successor gets the name back.
                if let Err(e) = self.root.rename(&target, &name) {
                    let (from, to) = (from.display(), to.display());
                    log::error(READER, format_args!("{from} was moved to {to} by mistake: {e}"));
                }
                return self.lose_move(handle);
            }
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Move::Taken,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.lose_move(handle),
            // Two mounts of one file system, or two projects of its quota.
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices && root::is_outside(&target) => {
                self.hides_beside = true;
                return Move::Taken;
            }
            Err(e) => return self.bear_refusal(handle, &from, &e),
        }
        self.stuck = Stuck::default();
        self.unsynced.push(root::split(&name).0.to_owned());
        self.note_renamed_at_last(handle);
        let now_ms = self.clock().monotonic_ms();
        self.tracked[handle].begin_grace(now_ms);
        self.tracked[handle].tie = Tie::Nameless;
        self.moved_names.push(name);
        Move::Moved
    }

    fn lose_move(&mut self, handle: Handle) -> Move {
        self.stay_live(handle);
        Move::Lost
    }

    /// Another program has renamed, replaced or deleted it since the last listing: it is
    /// followed to its new name, if it has one, and not taken for a new file there.
    pub fn follow_lost(&mut self, handle: Handle) {
        self.refresh(true);
        // It may have spared its descriptor to one that was found by that listing.
        let Some(tracked) = self.tracked.get(handle) else { return };
        let path = self.path(tracked.name());
        let is_there = !matches!(reach::metadata(&path), Err(e) if reach::is_nothing_there(&e));
        if tracked.is_named() && (!is_there || is_other_file(numbers(tracked), &path)) {
            // The directory could not be listed.
            self.lose_name(handle, is_there);
        }
    }

    /// One file that cannot be renamed is that file's trouble; where none can, it is the
    /// directory's.
    fn bear_refusal(&mut self, handle: Handle, from: &Path, e: &io::Error) -> Move {
        self.stay_live(handle);
        if self.is_own_fault(e) {
            self.keep(handle, &e.to_string());
            return Move::Kept;
        }
        let now_ms = self.clock().monotonic_ms();
        let wait_ms = (self.stuck.wait_ms * 2).clamp(RETRY_MS, RETRY_MS_MAX);
        tell(
            Level::Warn,
            self.tracked[handle].name(),
            format_args!(
                "Unable to move {}: {e}. It is read on and moved when that is possible; next try \
                 in {wait_ms} milliseconds.",
                from.display()
            ),
        );
        self.stuck = Stuck { until_ms: now_ms + wait_ms, wait_ms };
        Move::Refused
    }

    /// Takes an announced move back.
    pub fn stay_live(&mut self, handle: Handle) {
        let record = &mut self.tracked[handle].record;
        record.state = FileState::Live;
        record.current_name.clone_from(&record.name);
    }

    /// Did the directory refuse to change a name a short while ago?
    pub fn names_are_stuck(&self) -> bool {
        self.stuck.until_ms > self.clock().monotonic_ms()
    }

    /// Makes moves durable. A rename that a power cut undoes would be done again at the next
    /// start, so a failure costs nothing but the repetition.
    pub fn sync_names(&mut self) {
        self.forget_moved();
        let hides = self.policy.then == Then::Delete;
        let told = |dir: &Path, result: io::Result<()>| {
            if let Err(e) = result {
                log::warn(READER, format_args!("Cannot sync {}: {e}", dir.display()));
            }
        };
        let mut places = std::mem::take(&mut self.unsynced);
        places.sort_unstable();
        places.dedup();
        for place in places {
            told(&self.root.place(&place), self.root.sync(&place));
        }
        if hides {
            told(&self.config.tracker_dir, os::sync_directory(&self.config.tracker_dir));
        }
    }

    /// Takes a done file off the list, deleting it where the policy says so.
    pub fn forget(&mut self, id: u64) {
        let Some(handle) = self.handle_of(id) else { return };
        let tracked = &self.tracked[handle];
        let current = tracked.current_name();
        // What somebody else has moved away is his.
        if self.tracked[handle].keeps_name {
            if self.policy.then == Then::Mark {
                let name = self.tracked[handle].name().to_owned();
                self.mark(&name);
            }
            self.set_aside(handle);
        } else if self.is_hidden(&current) {
            delete(&self.path(&current), tracked.record.inode);
        }
        let ended = self.tracked.remove(handle);
        self.late.note_end(&ended.record, ended.size);
        self.window.clear();
    }
}

/// Is its last byte none that ends a line, at the length that was seen last?
fn ends_in_mid_line(tracked: &Tracked) -> bool {
    let (mut last, size) = ([0], tracked.size);
    let is_read = size > 0 && tracked.file.read_exact_at(&mut last, size - 1).is_ok();
    is_read && last != *b"\n"
}

/// Device and inode of an open file. The device number of a file system may have changed since the record was
/// written.
fn numbers(tracked: &super::Tracked) -> (u64, u64) {
    let recorded = (tracked.record.device, tracked.record.inode);
    tracked.file.metadata().map_or(recorded, |stat| os::identity(&stat))
}

/// Does another file than the one of these numbers stand there?
fn is_other_file(own: (u64, u64), path: &Path) -> bool {
    path.metadata().is_ok_and(|stat| os::identity(&stat) != own)
}

/// Deletes what was hidden for deletion (or the link to it), and nothing else that may stand there
/// now.
pub(super) fn delete(path: &Path, inode: u64) {
    match path.symlink_metadata() {
        Ok(stat) if stat.ino() == inode || stat.is_symlink() => {
            if let Err(e) = std::fs::remove_file(path) {
                log::warn(READER, format_args!("Unable to delete {}: {e}", path.display()));
            }
        }
        Err(e) if !reach::is_nothing_there(&e) => {
            log::warn(READER, format_args!("Unable to delete {}: {e}", path.display()));
        }
        // Another file has that name.
        Ok(_) | Err(_) => {
            log::warn(READER, format_args!("Unable to delete nonexistent file: {}", path.display()))
        }
    }
}
