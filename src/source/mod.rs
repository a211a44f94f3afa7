//! The files of one source: which exist, which is read next, when one is retired.
//!
//! A file is *waiting* (a name that matches), *live* (tailed under its name), *draining* (read to
//! its end and moved aside, or vanished; read on through its descriptor until it is left alone)
//! and *done* (a receipt). Waiting files are [`scan::Candidate`]s, live and draining ones
//! [`tracked::Tracked`], done ones lines in the receipts. Whose turn it is to be read is in
//! [`turn`], what becomes of open files in [`follow`], what happens when a file is done in
//! [`retire`], and how a done one is known again in [`known`].

pub mod absent;
mod begin;
mod claims;
mod copy;
mod directories;
mod flume;
mod follow;
pub mod giant;
pub mod headers;
pub mod hints;
pub mod interceptor;
mod json;
mod kept;
mod kin;
pub mod known;
mod late;
pub mod line;
mod marks;
mod numbers;
pub mod odd_names;
mod open;
pub mod owed;
pub mod parked;
pub mod parking;
pub mod past;
pub mod policy;
mod present;
pub mod pulse;
pub mod quest;
pub mod reach;
mod read_marks;
mod recognise;
mod released;
mod renewed;
pub mod restore;
pub mod retire;
pub mod root;
pub mod scan;
#[cfg(test)]
mod scene;
pub mod slice;
mod slow_names;
mod suspects;
pub mod tracked;
mod trimmed;
mod turn;
mod unwritten;
pub mod view;
pub mod window;

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::rc::Rc;

use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::FileRecord;
use crate::checkpoint::room::why_not_opened;
use crate::clock::Clock;
use crate::config::model::SourceConfig;
use crate::log::{self, About, Level};
use crate::os;
use absent::Absents;
use directories::{Directory, Home};
use follow::Refusals;
use hints::Hints;
use known::{Known, Same, tells_by_numbers};
use line::LineDecoder;
use numbers::ByNumbers;
pub use open::Handle;
use open::OpenFiles;
use parking::Parking;
use policy::{Current, Policy};
use present::Present;
use quest::{Quests, Then};
use root::Root;
use scan::{Candidate, Scanner};
use tracked::{Tie, Tracked, Vetting};
use turn::Turns;
use window::{HeadBytes, TailBytes, Window};

/// Class name in log lines, as Flume's.
pub const READER: &str = "source.ReliableSpoolDirectoryTailFileEventReader";

/// How often the directory is listed at most while there is something to read, ms: during a
/// backlog each retirement changes it.
const LIST_INTERVAL_MS: u64 = 250;
/// A large directory takes longer to list: at most a tenth of the time goes into it, but it is listed
/// this often in any case, ms.
const LIST_INTERVAL_MS_MAX: u64 = 900;

/// After a change the directory is listed once more, this many ms later if that has not happened by
/// then: there are file systems that stamp their changes with whole seconds, or with another
/// machine's clock.
const CONFIRM_MS: u64 = 1_500;

/// How often the directory is listed whatever its stamp says, ms: a dangling link may have become
/// good, and a network file system may have kept an old stamp. A directory that takes long to list
/// is listed so rarely that a hundredth of the time goes into it.
const FULL_LIST_MS: u64 = 60_000;

/// Waits after a file could not be opened, ms.
const OPEN_RETRY_MS: u64 = 1_000;

/// Files of the backlog that are open under their names at most: enough to retire many of them
/// with one sync, few enough to keep the checkpoint small.
const BACKLOG_OPEN_MAX: usize = 192;

/// All files of a source.
pub struct Files {
    pub config: Rc<SourceConfig>,
    root: Root,
    policy: Policy,
    clock: Rc<dyn Clock>,
    scanner: Scanner,
    /// See [`open`].
    tracked: OpenFiles,
    window: Window,
    next_file_id: u64,
    listed_ms: Option<u64>,
    list_interval_ms: u64,
    full_list_ms: u64,
    /// When to list the directory once more though it seems unchanged.
    confirm_ms: Option<u64>,
    /// What the last run had left to be deleted was seen to.
    is_cleared: bool,
    /// Names that look odd were told once.
    has_remarked: bool,
    present: Present,
    refusals: Refusals,
    directory_fault: Option<String>,
    turns: Turns,
    /// Announced by this run.
    slices: u64,
    known: Known,
    late: late::Late,
    renewed: renewed::Renewed,
    parking: Parking,
    /// Descriptors held at most; more live files than that take turns at being open.
    open_max: usize,
    kept: kept::Kept,
    /// Records of files that are not open: waited for, or gone.
    absent: Absents,
    /// Places of files of the last run in which none are looked for any more.
    places_left: Vec<OsString>,
    /// Directories, as the checkpoint has them (second), of files that were found in this one
    /// (first): it is the one in which the others of those were, too.
    homes: HashSet<(Directory, Directory)>,
    /// Files that go on from a receipt whose offset ranges the pipeline has yet to take over.
    resumed: Vec<(u64, Receipt)>,
    /// Finished files that have grown, until there is a descriptor for them.
    grown: Vec<Receipt>,
    /// The spool directory does not permit names to be changed.
    stuck: retire::Stuck,
    /// Nothing can be moved to the tracker directory, which looks as if it were on the same file system.
    hides_beside: bool,
    /// Names of candidates that were moved away.
    moved_names: Vec<OsString>,
    /// Places in which names were changed that may not be on the disk yet.
    unsynced: Vec<OsString>,
    marks: Option<marks::Marks>,
    /// Files whose names and numbers do not tell what they are.
    quests: Quests,
    /// The state that the records are from was copied or restored: device and inode numbers in it
    /// may be those of other files.
    hints_are_void: bool,
    /// The files of the last run are being opened.
    is_restoring: bool,
    /// A record has changed otherwise than by being read.
    has_news: bool,
    /// Likewise, a position.
    has_moved: bool,
    /// Monotonic time before which no other file is asked for that lives on in another one.
    heirs_ms: u64,
}

/// Logs what is about the file of that name below the root.
fn tell(level: Level, name: &OsStr, message: fmt::Arguments<'_>) {
    let file = name.to_string_lossy();
    log::log_about(level, READER, &About { file: Some(&file), ..About::default() }, message);
}

impl Files {
    /// Nothing is opened yet; see [`Files::restore`].
    pub fn new(config: Rc<SourceConfig>, clock: Rc<dyn Clock>) -> Files {
        let now_ms = clock.monotonic_ms();
        let (policy, marks) = (Policy::of(&config), marks::Marks::of(&config));
        Files {
            scanner: Scanner::to_read(&config),
            root: Root::of(&config),
            present: Present::of(&policy.current),
            policy,
            known: Known::load(&config.tracker_dir, &config.spool_dir),
            config,
            clock,
            tracked: OpenFiles::default(),
            window: Window::default(),
            next_file_id: 1,
            listed_ms: None,
            list_interval_ms: LIST_INTERVAL_MS,
            full_list_ms: FULL_LIST_MS,
            confirm_ms: None,
            is_cleared: false,
            has_remarked: false,
            refusals: Refusals::default(),
            directory_fault: None,
            turns: Turns::new(now_ms),
            slices: 0,
            parking: Parking::default(),
            open_max: os::files_open_max(),
            kept: kept::Kept::default(),
            late: late::Late::default(),
            renewed: renewed::Renewed::default(),
            absent: Absents::default(),
            places_left: Vec::new(),
            homes: HashSet::new(),
            resumed: Vec::new(),
            grown: Vec::new(),
            stuck: retire::Stuck::default(),
            hides_beside: false,
            moved_names: Vec::new(),
            unsynced: Vec::new(),
            marks,
            quests: Quests::default(),
            hints_are_void: false,
            is_restoring: false,
            has_news: false,
            has_moved: false,
            heirs_ms: 0,
        }
    }

    /// Limits how many files are open from now on.
    pub fn open_at_most(&mut self, most: usize) {
        self.open_max = most;
    }

    /// The records that come next may be from a copy: then numbers in them, and in the receipts that
    /// there are, say nothing. `receipts_void`: nor do those in so many bytes of receipts, which a
    /// run before has found to be a copy.
    pub fn distrust_hints(&mut self, are_void: bool, receipts_void: u64) {
        self.hints_are_void = are_void;
        self.known.distrust_numbers(are_void, receipts_void);
    }

    /// Is that the name of something in a directory that is listed?
    fn is_in_place(&self, name: &OsStr) -> bool {
        let (place, _) = root::split(name);
        !root::is_outside(name) && self.scanner.places().any(|p| p == place)
    }

    /// Leaves a file alone for a while after a failed read.
    pub fn retry_later(&mut self, handle: Handle, ms: u64) {
        self.tracked[handle].read_retry_ms = self.clock.monotonic_ms() + ms;
        self.window.clear();
    }

    /// It is not read on before [`Files::unbar`]: what it has can go nowhere now. Files behind it
    /// need not wait.
    pub fn bar(&mut self, handle: Handle) {
        self.tracked[handle].is_barred = true;
    }

    pub fn unbar(&mut self) {
        self.tracked.iter_mut().for_each(|tracked| tracked.is_barred = false);
    }

    /// Lists the directory if it has changed, and takes note of tracked files that were renamed,
    /// replaced or deleted. A directory that cannot be listed is told once and tried again.
    pub fn refresh(&mut self, force: bool) {
        self.forget_moved();
        let now_ms = self.clock.monotonic_ms();
        if !force && self.listed_ms.is_some_and(|t| now_ms - t < self.list_interval_ms) {
            return;
        }
        match self.list(now_ms) {
            Ok(()) => {
                if self.directory_fault.take().is_some() {
                    log::info(READER, format_args!("{} is there again.", self.dir_text()));
                }
            }
            Err(e) => self.complain_of_directory(&e),
        }
        self.look_for_absent(false);
    }

    fn list(&mut self, now_ms: u64) -> io::Result<()> {
        self.update_present();
        let last_ms = self.listed_ms;
        let is_stale = self.scanner.is_stale()? || last_ms.is_none();
        let is_to_confirm = self.confirm_ms.is_some_and(|at| now_ms >= at);
        let is_old = last_ms.is_some_and(|t| now_ms - t >= self.full_list_ms);
        if !is_stale && !is_to_confirm && !is_old {
            return Ok(());
        }
        self.listed_ms = Some(now_ms);
        self.turns.candidates_change();
        self.confirm_ms = is_stale.then_some(now_ms + CONFIRM_MS);
        let before: Vec<_> =
            self.scanner.directories().map(|(place, at)| (place.to_owned(), at)).collect();
        let problems = self.scanner.refresh(self.clock.monotonic_ms())?;
        self.forget_refusals(&problems);
        for (name, why) in problems {
            self.complain(&name, &why);
        }
        self.tell_other_directories(&before);
        if self.scanner.is_confirmed() && last_ms.is_some_and(|t| now_ms - t >= LIST_INTERVAL_MS) {
            self.confirm_ms = None;
        }
        if !self.is_cleared {
            self.is_cleared = self.clear_leftovers();
            if !std::mem::replace(&mut self.has_remarked, true) {
                for remark in odd_names::remarks(self.scanner.candidates()) {
                    log::warn(READER, format_args!("{}: {remark}.", self.dir_text()));
                }
            }
        }
        // Before a name is taken for a new file.
        self.look_for_absent(true);
        let took_ms = self.clock.monotonic_ms() - now_ms;
        self.list_interval_ms = (took_ms * 10).clamp(LIST_INTERVAL_MS, LIST_INTERVAL_MS_MAX);
        self.full_list_ms = (took_ms * 100).max(FULL_LIST_MS);
        self.scanner.mark(|name| self.present.is_current(name));
        self.turns.look_for_waiting();
        for handle in self.moved() {
            // Notices that came since have its new name.
            self.tracked[handle].may_be_unseen = true;
            self.follow(handle);
        }
        self.learn_directories();
        Ok(())
    }

    /// The tracked files that are not where they were, by the last listing. One pass over the
    /// names, however many files there are.
    fn moved(&self) -> Vec<Handle> {
        let mut listed: HashMap<(u64, u64), Option<&OsStr>, ByNumbers> = HashMap::default();
        listed.extend(self.tracked.iter().map(|t| ((t.record.device, t.record.inode), None)));
        for candidate in self.scanner.candidates() {
            if let Some(found) = listed.get_mut(&(candidate.device, candidate.inode)) {
                *found = Some(&candidate.name);
            }
        }
        let has_moved = |tracked: &Tracked| {
            let found = listed.get(&(tracked.record.device, tracked.record.inode)).copied();
            match found.flatten() {
                Some(name) => !tracked.is_named() || name != tracked.name(),
                // What could not be asked is not gone.
                None => {
                    let (name, inode) = (tracked.name(), tracked.record.inode);
                    tracked.is_named() && !self.scanner.is_unjudged(name, inode)
                }
            }
        };
        self.tracked.handles().into_iter().filter(|at| has_moved(&self.tracked[*at])).collect()
    }

    /// The directory cannot be listed now: nothing in it is moved, nothing counts as done.
    pub fn is_directory_absent(&self) -> bool {
        self.directory_fault.is_some()
    }

    fn dir_text(&self) -> std::path::Display<'_> {
        self.root.dir().display()
    }

    fn complain_of_directory(&mut self, e: &io::Error) {
        let why = why_not_opened(e);
        if self.directory_fault.as_ref() != Some(&why) {
            log::warn(
                READER,
                format_args!(
                    "Cannot list {}: {why}. Open files are read on; the directory is looked at \
                     again twice a second.",
                    self.dir_text()
                ),
            );
            self.directory_fault = Some(why);
        }
    }

    /// Tells a candidate's fault once; it is tried again.
    fn complain(&mut self, name: &OsStr, why: &str) {
        // A try takes some microseconds: of thousands, little of the time goes into it.
        let wait_ms = OPEN_RETRY_MS.max(self.refusals.count() as u64);
        if self.refusals.note(name, self.clock.monotonic_ms() + wait_ms) {
            let path = self.path(name);
            tell(
                Level::Warn,
                name,
                format_args!("Cannot read {}: {why}. It is tried again.", path.display()),
            );
        }
    }

    /// After a listing that had these problems: of what is not there any more nothing is tried again, and another file
    /// that gets the name is told of.
    fn forget_refusals(&mut self, problems: &[(OsString, String)]) {
        if self.refusals.count() == 0 {
            return;
        }
        let candidates = self.scanner.candidates().iter().map(|c| &c.name);
        let listed: HashSet<&OsStr> = candidates
            .chain(problems.iter().map(|(name, _)| name))
            .map(OsString::as_os_str)
            // A file that has lost its name is told of by that as long as it is open.
            .chain(self.tracked.iter().map(Tracked::name))
            .chain(self.quests.list.iter().flat_map(|quest| &quest.suspects).map(|s| &*s.name))
            .collect();
        let root = &self.root;
        // Copies, for one, are no candidates.
        let is_gone = |n: &OsStr| root.stat_link(n).is_err_and(|e| reach::is_nothing_there(&e));
        self.refusals.forget_all_but(|name| listed.contains(name.as_os_str()) || !is_gone(name));
    }

    fn is_refused(&self, name: &OsStr) -> bool {
        self.refusals.count() > 0 && self.refusals.holds(name, self.clock.monotonic_ms())
    }

    /// Does the name hold the present time as `targetFilename` writes it?
    pub fn is_target(&mut self, name: &OsStr) -> bool {
        self.update_present();
        self.present.is_in(name)
    }

    /// Takes the time: which names are those of the present hour?
    fn update_present(&mut self) {
        let Current::Dated(date) = &self.policy.current else { return };
        if self.present.update(&*self.clock, date) {
            self.scanner.mark(|name| self.present.is_current(name));
            self.turns.look_for_waiting();
        }
    }

    /// Opens the candidate `at` and begins to track it. `None` where that is not possible now.
    fn track(&mut self, at: usize) -> Option<Handle> {
        let name = self.scanner.candidates()[at].name.clone();
        let (file, stat) = match self.root.open_asked(&name) {
            Ok(opened) => opened,
            // Gone between the listing and now: the next listing tells.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => {
                self.complain(&name, &why_not_opened(&e));
                return None;
            }
        };
        self.scanner.note_opened(at, &stat, self.clock.monotonic_ms());
        // It may be the very one that made room for this: opened again, it has its name back.
        if self.parking.holds(stat.dev(), stat.ino()) {
            return None;
        }
        if self.stays_with_another(&name) {
            return None;
        }
        // The same file under two names (a hard link), or renamed since: one of them is enough.
        let same = self.tracked.find(|t| t.is_inode(stat.dev(), stat.ino()));
        if let Some(handle) = same {
            let is_back = !self.tracked[handle].is_named() && self.adopt_if_back(handle);
            return is_back.then_some(handle);
        }
        match self.take_up(&name, &file, &stat) {
            Ok(None) => {}
            Ok(Some(handle)) => {
                self.refusals.forget(&name);
                return Some(handle);
            }
            Err(e) => {
                self.complain(&name, &why_not_opened(&e));
                return None;
            }
        }
        self.ask_waiting(&name, &file, &stat);
        match self.known.find(&file, &stat, name.as_bytes()) {
            Ok(Same::Yes(receipt) | Same::Perhaps(receipt))
                if self.is_read_on(&receipt) || self.is_asked_beyond(&receipt, &name, &stat) => {}
            Ok(Same::Yes(receipt)) => {
                self.refusals.forget(&name);
                if self.is_marked_as_done(&name, &stat, &receipt) {
                    return None;
                }
                return Some(self.resume(name, file, &receipt, true));
            }
            Ok(Same::Perhaps(receipt)) => {
                self.seek_finished(receipt, name, file, Then::Candidate);
                return None;
            }
            Ok(Same::No) => {}
            // To take it for a new file would repeat it.
            Err(e) => {
                self.complain(&name, &e.to_string());
                return None;
            }
        }
        self.refusals.forget(&name);
        let (path, size) = (self.path(&name), stat.len());
        tell(
            Level::Info,
            &name,
            format_args!("Opened {} at byte 0 of {size} (new file).", path.display()),
        );
        let handle = self.push_opened(name, file, Some(&stat), 0);
        self.tracked[handle].vetting = Vetting::Due;
        let candidate = &self.scanner.candidates()[at];
        if candidate.seen == (stat.len(), stat.mtime(), stat.mtime_nsec()) {
            self.tracked[handle].watched_since(candidate.seen_ms);
        }
        Some(handle)
    }

    /// Tracks a file that was done before, from the end of its receipt on.
    fn resume(&mut self, name: OsString, file: File, receipt: &Receipt, is_named: bool) -> Handle {
        tell(
            Level::Info,
            &name,
            format_args!(
                "Opened {} at byte {}: what is before it was sent when it was {} (receipt). To \
                 resend a file, copy it.",
                self.path(&name).display(),
                receipt.size,
                OsStr::from_bytes(&receipt.name).display(),
            ),
        );
        let handle = self.push_tracked(name, file, receipt.size);
        let tracked = &mut self.tracked[handle];
        tracked.tie = Tie::of(is_named);
        // Its marker under this name would be another's without a receipt that has the name, and without its numbers
        // the receipt would not tell what it is under another one.
        let numbers = Hints::of_record(&tracked.record);
        let is_its = receipt.name == tracked.record.name && tells_by_numbers(receipt, numbers);
        tracked.receipted_at = is_its.then_some(receipt.size);
        let record = &mut tracked.record;
        (record.lines, record.events) = (receipt.lines, receipt.events);
        (record.bytes_crc, record.opened_ms) = (receipt.bytes_crc, receipt.opened_ms);
        self.resumed.push((record.id, receipt.clone()));
        handle
    }

    fn push_tracked(&mut self, name: OsString, file: File, at: u64) -> Handle {
        let stat = file.metadata().ok();
        self.push_opened(name, file, stat.as_ref(), at)
    }

    /// The same of one of which was asked what it is when it was opened.
    fn push_opened(
        &mut self,
        name: OsString,
        file: File,
        stat: Option<&Metadata>,
        at: u64,
    ) -> Handle {
        let home = self.directory_now(&name).or_else(|| self.listed_directory_of(&name, &file));
        let mut record = self.new_record(&name, at, home);
        if let Some(stat) = stat {
            (record.device, record.inode) = (stat.dev(), stat.ino());
            record.born_ns = hints::born_ns(stat);
        }
        let handle = self.push(record, file, stat, at);
        let tracked = &mut self.tracked[handle];
        tracked.record.tail_len = tracked.tail.as_slice().len() as u32;
        tracked.record.tail_crc = tracked.tail.crc();
        tracked.update_head();
        handle
    }

    /// The record of a file that nothing was read of, with an id of its own.
    fn new_record(&mut self, name: &OsStr, position: u64, home: Option<Home>) -> FileRecord {
        let id = self.next_file_id;
        self.next_file_id += 1;
        let mut record = FileRecord {
            id,
            name: name.as_bytes().to_vec(),
            current_name: name.as_bytes().to_vec(),
            position,
            opened_ms: self.clock.now_ms(),
            ..FileRecord::default()
        };
        if let Some(here) = home {
            here.note(&mut record);
        }
        record
    }

    fn push(
        &mut self,
        record: FileRecord,
        file: File,
        stat: Option<&Metadata>,
        read_position: u64,
    ) -> Handle {
        let mut tracked = self.prepare(record, file, stat);
        tracked.read_position = read_position;
        tracked.size = read_position;
        tracked.tail = TailBytes::read(&tracked.file, read_position).unwrap_or_default();
        tracked.head = HeadBytes::read(&tracked.file, read_position).unwrap_or_default();
        self.tracked.push(tracked)
    }

    /// A file with its decoder, not on the list yet; `stat`: what the kernel says of it.
    fn prepare(&self, record: FileRecord, file: File, stat: Option<&Metadata>) -> Tracked {
        let config = self.policy.content.line_config();
        let looks_at_file = config.charset.looks_at_file();
        let mut decoder = LineDecoder::new(config.clone());
        if looks_at_file {
            let mut head = [0u8; 2];
            let len = file.read_at(&mut head, 0).unwrap_or(0);
            decoder.begin_file(&head[..len]);
        }
        let (now_ms, grace_ms) = (self.clock.monotonic_ms(), self.policy.grace_ms());
        Tracked::new(record, (file, stat), decoder, now_ms, grace_ms)
    }

    fn set_next_file_id(&mut self, id: u64) {
        self.next_file_id = self.next_file_id.max(id);
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Names that were moved away are no candidates: all at once, since each time is a pass over ten thousand,
    /// and before another file that has got one of them is listed.
    fn forget_moved(&mut self) {
        let names = std::mem::take(&mut self.moved_names);
        if !names.is_empty() {
            self.scanner.forget(&names);
            self.turns.candidates_change();
            names.iter().for_each(|name| self.refusals.forget(name));
        }
    }

    fn accepts(&self, name: &OsStr) -> bool {
        self.scanner.accepts(name)
    }

    /// Takes note that a slice was announced: what is behind it is read next.
    pub fn announced(&mut self, handle: Handle, slice: &slice::Slice, is_final: bool) {
        let now_ms = self.clock.monotonic_ms();
        let tracked = &mut self.tracked[handle];
        let goes_on = tracked.tail.as_slice().last() == Some(&0);
        tracked.note_read(now_ms);
        tracked.read_position = slice.end;
        (tracked.tail, tracked.head) = (slice.tail, slice.head);
        tracked.served_ms = now_ms;
        (self.slices, tracked.served_as) = (self.slices + 1, self.slices + 1);
        tracked.giant_scanned = None;
        let gap = tracked.gap.take();
        if is_final {
            tracked.finished_at = Some(slice.end);
        }
        // Many of them are several slices, of which the first is told where they begin.
        let zeros = gap.as_ref().filter(|gap| gap.start < slice.end).map(|gap| gap.start);
        // A file that ended before it was opened was never looked at with them left out.
        let zeros = zeros.or(slice.zeros_from);
        tracked.zeros_from = tracked.zeros_from.filter(|_| goes_on).or(zeros);
        tracked.gap = gap.filter(|gap| gap.start >= slice.end);
        self.exhausted(handle, slice);
    }

    /// Takes note of how far the file was looked at.
    pub fn exhausted(&mut self, handle: Handle, slice: &slice::Slice) {
        let tracked = &mut self.tracked[handle];
        tracked.exhausted_at = slice.is_exhausted.then_some(tracked.size);
        tracked.is_caught_up |= slice.is_exhausted;
        if slice.is_exhausted {
            // The beginning of a line that was read ahead is read again with its end: it may be
            // another line's by then.
            self.window.clear();
        }
    }

    /// A candidate that is neither `name` nor one of `going` exists at this moment.
    fn has_other_candidate(&self, name: &OsStr, going: &[OsString]) -> bool {
        let dir = &self.config.spool_dir;
        let stays = |c: &&Candidate| c.name != name && !going.contains(&c.name);
        let exists = |c: &Candidate| dir.join(&c.name).symlink_metadata().is_ok();
        self.scanner.candidates().iter().filter(stays).any(exists)
    }
}
