//! The files of one source: which exist, which is read next, when one is retired.
//!
//! A file is *waiting* (a name that matches), *live* (tailed under its name), *draining* (read to
//! its end and moved aside, or vanished; read on through its descriptor until it is left alone)
//! and *done* (a receipt). Waiting files are [`scan::Candidate`]s, live and draining ones
//! [`tracked::Tracked`], done ones lines in the receipts. What happens when a file is done is in
//! [`retire`].

pub mod charset;
pub mod interceptor;
pub mod line;
pub mod retire;
pub mod scan;
pub mod slice;
pub mod tracked;
pub mod window;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::rc::Rc;

use crate::checkpoint::record::{FileRecord, FileState};
use crate::clock::Clock;
use crate::config::model::{ConsumeOrder, SourceConfig};
use crate::log;
use line::{LineConfig, LineDecoder};
use scan::{Candidate, Scanner};
use tracked::{Look, Tracked};
use window::{TailBytes, Window};

/// Class name in log lines, as Flume's.
pub const READER: &str = "source.ReliableSpoolDirectoryTailFileEventReader";

/// The directory is listed at most so often while there is something to read, ms: during a
/// backlog each retirement changes it.
const LIST_INTERVAL_MS: u64 = 250;

/// A file of the other class (live or backlog) waits at most so long for its turn, ms.
const TURN_MS: u64 = 1_000;

/// Descriptors held at most; more live files than that take turns at being open.
const OPEN_FILES_MAX: usize = 512;

/// See the module.
pub struct Files {
    pub config: Rc<SourceConfig>,
    clock: Rc<dyn Clock>,
    scanner: Scanner,
    pub tracked: Vec<Tracked>,
    pub window: Window,
    next_file_id: u64,
    listed_ms: Option<u64>,
    /// The present time as `targetFilename` writes it, in lower case, and when it was written.
    target: String,
    target_second: i64,
    /// Candidates of which a fault was told already.
    complained: Vec<OsString>,
    /// Positions to begin at for names that are not tracked yet (a Java tracker, or `end`).
    start_at: Vec<(OsString, u64)>,
    directory_fault: Option<String>,
    /// Monotonic time of the last slice from a live file and from the backlog.
    live_served_ms: u64,
    backlog_served_ms: u64,
}

impl Files {
    /// Nothing is opened yet; see [`Files::restore`].
    pub fn new(config: Rc<SourceConfig>, clock: Rc<dyn Clock>) -> Files {
        let now_ms = clock.monotonic_ms();
        Files {
            scanner: Scanner::new(&config),
            config,
            clock,
            tracked: Vec::new(),
            window: Window::default(),
            next_file_id: 1,
            listed_ms: None,
            target: String::new(),
            target_second: i64::MIN,
            complained: Vec::new(),
            start_at: Vec::new(),
            directory_fault: None,
            live_served_ms: now_ms,
            backlog_served_ms: now_ms,
        }
    }

    pub fn next_file_id(&self) -> u64 {
        self.next_file_id
    }

    /// Tracks `name` from `position` on (take-over from Flume). At once, so that the first record
    /// of the checkpoint holds the position.
    pub fn take_over(&mut self, name: &OsStr, position: u64) -> io::Result<()> {
        self.scanner.refresh()?;
        let Some(at) = self.scanner.candidates().iter().position(|c| c.name == name) else {
            return Err(io::Error::other(format!("{} is no candidate here", name.display())));
        };
        self.start_at.push((name.to_owned(), position));
        self.track(at);
        Ok(())
    }

    /// Tracks every file that exists now from its end on (`onBadCheckpoint = end`).
    pub fn take_over_ends(&mut self) -> io::Result<()> {
        self.scanner.refresh()?;
        for at in 0..self.scanner.candidates().len() {
            let name = self.scanner.candidates()[at].name.clone();
            let size = std::fs::metadata(self.path(&name))?.len();
            self.start_at.push((name, size));
            self.track(at);
        }
        Ok(())
    }

    /// Leaves a file alone for a while after a failed read.
    pub fn retry_later(&mut self, index: usize, ms: u64) {
        self.tracked[index].read_retry_ms = self.clock.monotonic_ms() + ms;
        self.window.clear();
    }

    pub fn path(&self, name: &OsStr) -> PathBuf {
        self.config.spool_dir.join(name)
    }

    pub fn index_of(&self, id: u64) -> Option<usize> {
        self.tracked.iter().position(|t| t.record.id == id)
    }

    /// Lists the directory if it has changed, and takes note of tracked files that were renamed,
    /// replaced or deleted. A directory that can not be listed is told once and tried again.
    pub fn refresh(&mut self, force: bool) {
        let now_ms = self.clock.monotonic_ms();
        if !force && self.listed_ms.is_some_and(|t| now_ms - t < LIST_INTERVAL_MS) {
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
    }

    fn list(&mut self, now_ms: u64) -> io::Result<()> {
        if !self.scanner.is_stale()? && self.listed_ms.is_some() {
            return Ok(());
        }
        self.listed_ms = Some(now_ms);
        for (name, why) in self.scanner.refresh()? {
            self.complain(&name, &why);
        }
        for index in 0..self.tracked.len() {
            self.follow(index);
        }
        Ok(())
    }

    fn dir_text(&self) -> std::path::Display<'_> {
        self.config.spool_dir.display()
    }

    fn complain_of_directory(&mut self, e: &io::Error) {
        let why = e.to_string();
        if self.directory_fault.as_ref() != Some(&why) {
            log::warn(
                READER,
                format_args!(
                    "Can not list {}: {why}. Open files are read on; the directory is looked at \
                     again twice a second.",
                    self.dir_text()
                ),
            );
            self.directory_fault = Some(why);
        }
    }

    /// Tells a candidate's fault once; it is tried again at each listing.
    fn complain(&mut self, name: &OsStr, why: &str) {
        if self.complained.iter().any(|n| n == name) {
            return;
        }
        log::warn(
            READER,
            format_args!("Can not read {}: {why}. It is tried again.", self.path(name).display()),
        );
        self.complained.push(name.to_owned());
    }

    /// Is a tracked file still where it was? After a listing.
    fn follow(&mut self, index: usize) {
        let tracked = &self.tracked[index];
        if !tracked.is_named {
            return;
        }
        let is_it =
            |c: &&Candidate| c.inode == tracked.record.inode && c.device == tracked.record.device;
        let by_name = self.scanner.candidates().iter().find(|c| c.name == tracked.name());
        if by_name.is_some_and(|c| is_it(&c)) {
            return;
        }
        let is_replaced = by_name.is_some();
        let elsewhere = self.scanner.candidates().iter().find(is_it).map(|c| c.name.clone());
        let tracked = &mut self.tracked[index];
        let name = tracked.name().to_owned();
        if let Some(new) = elsewhere {
            log::info(
                READER,
                format_args!(
                    "File:{} was renamed to {}; reading goes on at byte {}.",
                    name.display(),
                    new.display(),
                    tracked.read_position
                ),
            );
            tracked.record.name = new.as_bytes().to_vec();
            tracked.record.current_name = tracked.record.name.clone();
            return;
        }
        tracked.is_named = false;
        tracked.record.state = FileState::Draining;
        tracked.record.current_name.clear();
        let what = if is_replaced { "was replaced by another file" } else { "is no longer there" };
        log::info(
            READER,
            format_args!(
                "File:{} {what}; its descriptor is read to the end (byte {} so far).",
                name.display(),
                tracked.read_position
            ),
        );
    }

    /// Does the name hold the present time as `targetFilename` writes it?
    pub fn is_target(&mut self, name: &OsStr) -> bool {
        let now_ms = self.clock.now_ms();
        if now_ms.div_euclid(1000) != self.target_second {
            self.target_second = now_ms.div_euclid(1000);
            let local = self.clock.local(now_ms);
            self.target = self.config.target_filename.format(&local).to_lowercase();
        }
        name.to_string_lossy().to_lowercase().contains(&self.target)
    }

    /// Which file is to be read now? Opens waiting files as their turn comes. `None`: nothing to
    /// read anywhere.
    pub fn choose(&mut self) -> Option<usize> {
        if let Some(late) = self.readable_draining() {
            return Some(late);
        }
        let now_ms = self.clock.monotonic_ms();
        let live_first = match self.config.consume_order {
            ConsumeOrder::Youngest => now_ms - self.backlog_served_ms < TURN_MS,
            _ => now_ms - self.live_served_ms >= TURN_MS,
        };
        for live in [live_first, !live_first] {
            let found = if live { self.choose_live() } else { self.choose_backlog() };
            let served = if live { &mut self.live_served_ms } else { &mut self.backlog_served_ms };
            *served = now_ms;
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// A file that was moved aside or vanished and has grown: its late lines come first.
    fn readable_draining(&mut self) -> Option<usize> {
        (0..self.tracked.len()).find(|&i| !self.tracked[i].is_named && self.is_readable(i))
    }

    /// The live file that has waited longest, so that none of them starves another.
    fn choose_live(&mut self) -> Option<usize> {
        self.open_waiting();
        let mut best: Option<usize> = None;
        for index in 0..self.tracked.len() {
            if !self.tracked[index].is_named {
                continue;
            }
            let name = self.tracked[index].name().to_owned();
            if !self.is_target(&name) || !self.is_readable(index) {
                continue;
            }
            if best.is_none_or(|b| self.tracked[index].served_ms < self.tracked[b].served_ms) {
                best = Some(index);
            }
        }
        best
    }

    /// The first file in `consumeOrder` that is not of the present hour and has something to read.
    fn choose_backlog(&mut self) -> Option<usize> {
        for at in 0..self.scanner.candidates().len() {
            let name = self.scanner.candidates()[at].name.clone();
            if self.is_target(&name) {
                continue;
            }
            let index = match self.index_by_name(&name) {
                Some(index) => index,
                None if self.tracked.len() >= OPEN_FILES_MAX => return None,
                None => match self.track(at) {
                    Some(index) => index,
                    None => continue,
                },
            };
            if self.is_readable(index) {
                return Some(index);
            }
        }
        None
    }

    fn index_by_name(&self, name: &OsStr) -> Option<usize> {
        self.tracked.iter().position(|t| t.is_named && t.name() == name)
    }

    /// Opens the waiting files of the present hour.
    fn open_waiting(&mut self) {
        for at in 0..self.scanner.candidates().len() {
            if self.tracked.len() >= OPEN_FILES_MAX {
                return;
            }
            let name = self.scanner.candidates()[at].name.clone();
            if self.is_target(&name) && self.index_by_name(&name).is_none() {
                self.track(at);
            }
        }
    }

    fn is_readable(&mut self, index: usize) -> bool {
        let now_ms = self.clock.monotonic_ms();
        if self.tracked[index].read_retry_ms > now_ms {
            return false;
        }
        match self.tracked[index].look(now_ms) {
            Ok(Look::Readable) => true,
            Ok(Look::Quiet) => false,
            Ok(Look::Truncated { size }) => {
                self.begin_again(index, &format!("was truncated to {size} bytes"))
            }
            Ok(Look::Rewritten) => {
                self.begin_again(index, "was truncated and has grown past the old position")
            }
            Err(e) => {
                let name = self.tracked[index].name().to_owned();
                self.complain(&name, &e.to_string());
                false
            }
        }
    }

    /// The file's content was thrown away by its writer (copytruncate): what it holds now is a
    /// new file. The old one ends where it was read to.
    fn begin_again(&mut self, index: usize, what: &str) -> bool {
        let tracked = &mut self.tracked[index];
        let name = tracked.name().to_owned();
        let record = tracked.record.clone();
        log::warn(
            READER,
            format_args!(
                "File:{} {what} (read to byte {}); reading begins again at byte 0.",
                name.display(),
                tracked.read_position
            ),
        );
        let was_named = std::mem::replace(&mut tracked.is_named, false);
        tracked.record.state = FileState::Superseded;
        tracked.record.current_name.clear();
        tracked.is_superseded = true;
        match tracked.file.try_clone() {
            Ok(file) => {
                self.window.clear();
                self.push_tracked(name, file, 0, was_named);
                if let Some(new) = self.tracked.last_mut() {
                    new.record.state =
                        if was_named { FileState::Live } else { FileState::Draining };
                    new.record.device = record.device;
                    new.record.inode = record.inode;
                }
                false
            }
            Err(e) => {
                self.complain(&name, &e.to_string());
                false
            }
        }
    }

    /// Opens the candidate `at` and begins to track it. `None` where that is not possible now.
    fn track(&mut self, at: usize) -> Option<usize> {
        let candidate = self.scanner.candidates()[at].clone();
        let opened = tracked::open(&self.path(&candidate.name)).and_then(|f| {
            let stat = f.metadata()?;
            Ok((f, stat.dev(), stat.ino(), stat.len()))
        });
        let (file, device, inode, size) = match opened {
            Ok(opened) => opened,
            // Gone between the listing and now: the next listing tells.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => {
                self.complain(&candidate.name, &e.to_string());
                return None;
            }
        };
        // The same file under two names (a hard link), or renamed since: one of them is enough.
        let same = |t: &Tracked| t.record.device == device && t.record.inode == inode;
        if self.tracked.iter().any(|t| t.is_named && same(t)) {
            return None;
        }
        self.complained.retain(|n| *n != candidate.name);
        let (position, why) = self.first_position(&candidate.name, size);
        log::info(
            READER,
            format_args!(
                "Opened {} at byte {position} of {size} ({why}).",
                self.path(&candidate.name).display()
            ),
        );
        let index = self.push_tracked(candidate.name, file, position, true);
        self.tracked[index].record.device = device;
        self.tracked[index].record.inode = inode;
        Some(index)
    }

    fn first_position(&mut self, name: &OsStr, size: u64) -> (u64, &'static str) {
        match self.start_at.iter().position(|(n, _)| n == name) {
            Some(at) => match self.start_at.swap_remove(at).1 {
                position if position <= size => (position, "position taken over"),
                _ => (0, "shorter than the position taken over: truncated since"),
            },
            None => (0, "new file"),
        }
    }

    fn push_tracked(&mut self, name: OsString, file: std::fs::File, at: u64, named: bool) -> usize {
        let record = FileRecord {
            id: self.next_file_id,
            name: name.as_bytes().to_vec(),
            current_name: name.as_bytes().to_vec(),
            position: at,
            opened_ms: self.clock.now_ms(),
            ..FileRecord::default()
        };
        self.next_file_id += 1;
        let tail = TailBytes::read(&file, at).unwrap_or_default();
        let index = self.push(record, file, tail, at, named);
        let tracked = &mut self.tracked[index];
        tracked.record.tail_len = tail.as_slice().len() as u32;
        tracked.record.tail_crc = tail.crc();
        tracked.update_head();
        index
    }

    fn push(
        &mut self,
        record: FileRecord,
        file: std::fs::File,
        tail: TailBytes,
        read_position: u64,
        is_named: bool,
    ) -> usize {
        let now_ms = self.clock.monotonic_ms();
        let opened = file.metadata().ok().map(|m| (m.mtime(), m.mtime_nsec(), m.len()));
        let mut decoder = LineDecoder::new(self.line_config());
        if self.config.input_charset.looks_at_file() {
            let mut head = [0u8; 2];
            let len = file.read_at(&mut head, 0).unwrap_or(0);
            decoder.begin_file(&head[..len]);
        }
        self.tracked.push(Tracked {
            decoder,
            file,
            read_position,
            tail,
            is_named,
            exhausted_at: None,
            size: read_position,
            size_changed_ms: now_ms,
            served_ms: now_ms,
            is_final_announced: false,
            is_superseded: false,
            opened,
            retry_ms: 0,
            read_retry_ms: 0,
            record,
        });
        self.tracked.len() - 1
    }

    fn push_restored(
        &mut self,
        record: FileRecord,
        file: std::fs::File,
        end: u64,
        is_named: bool,
    ) -> usize {
        let tail = TailBytes::read(&file, end).unwrap_or_default();
        self.push(record, file, tail, end, is_named)
    }

    fn set_next_file_id(&mut self, id: u64) {
        self.next_file_id = self.next_file_id.max(id);
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn scanner_forget(&mut self, name: &OsStr) {
        self.scanner.forget(name);
    }

    fn accepts(&self, name: &OsStr) -> bool {
        self.scanner.accepts(name)
    }

    fn line_config(&self) -> LineConfig {
        LineConfig {
            charset: self.config.input_charset.clone(),
            output: self.config.output_charset.clone(),
            policy: self.config.decode_policy,
            max_line_units: self.config.max_line_units,
        }
    }

    /// Takes note that a slice was announced: what is behind it is read next.
    pub fn announced(&mut self, index: usize, slice: &slice::Slice, is_final: bool) {
        let now_ms = self.clock.monotonic_ms();
        let tracked = &mut self.tracked[index];
        tracked.read_position = slice.end;
        tracked.tail = slice.tail;
        tracked.served_ms = now_ms;
        tracked.is_final_announced |= is_final;
        self.exhausted(index, slice);
    }

    /// Takes note of how far the file was looked at.
    pub fn exhausted(&mut self, index: usize, slice: &slice::Slice) {
        let tracked = &mut self.tracked[index];
        tracked.exhausted_at = slice.is_exhausted.then_some(tracked.size);
    }

    /// Another candidate than `name` exists at this moment.
    fn has_other_candidate(&self, name: &OsStr) -> bool {
        let dir = &self.config.spool_dir;
        let exists = |c: &&Candidate| dir.join(&c.name).symlink_metadata().is_ok();
        self.scanner.candidates().iter().filter(|c| c.name != name).any(|c| exists(&c))
    }
}
