//! One file that is being read: its descriptor, how far it is read, how far it is committed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::hints::{Hints, modified_ms};
use super::line::LineDecoder;
pub use super::reach::open;
pub use super::read_marks::{Mark, Marks};
use super::unwritten::{Gap, Place, State};
use super::window::{HeadBytes, TailBytes};
use crate::checkpoint::record::{FileRecord, HEAD_BYTES};

/// A file in one of the states *live* and *draining* (waiting files are only names, done ones only
/// receipts).
///
/// How it stands to its name ([`Tie`]), and how far it is known to be a file of its own ([`Vetting`]), are
/// states. The rest are facts that come and go each for itself: one that has lost its name may have no
/// room anywhere for what it holds (`is_barred`), one that cannot be renamed (`keeps_name`) may be moved
/// away by others, and the three sizes up to which its end is known (`exhausted_at`, `finished_at`,
/// `giant_scanned`) are each the outcome of another look.
pub struct Tracked {
    /// What the checkpoint says of it; `record.position` is the committed position.
    pub record: FileRecord,
    /// Kept open until the file is done: the name may go, the bytes stay.
    pub file: File,
    pub decoder: LineDecoder,
    /// Everything before it has been announced in batches (or was filtered out).
    pub read_position: u64,
    /// The bytes before `read_position`.
    pub tail: TailBytes,
    /// The first ones, as they were read.
    pub head: HeadBytes,
    pub tie: Tie,
    /// At this size nothing but an incomplete last line was left to read.
    pub exhausted_at: Option<u64>,
    /// It was read to its end once.
    pub is_caught_up: bool,
    /// What stands behind its beginning is not written yet.
    pub gap: Option<Gap>,
    /// Before this offset zeros are text: nothing was put into them for the grace time.
    settled: u64,
    /// `retireGraceMs`.
    grace_ms: u64,
    /// Size at the last look, and modification time (s, ns), if there was one.
    pub size: u64,
    modified: Option<(i64, i64)>,
    pub watch: Watch,
    /// Up to here the line that begins at `read_position` was searched for its end, if it is too
    /// long to be an event.
    pub giant_scanned: Option<u64>,
    /// Monotonic time at which it last had its turn or had nothing to read.
    pub served_ms: u64,
    /// Which slice of all files was its last one: tells apart what was served in one millisecond.
    pub served_as: u64,
    /// Up to this size its end was taken for the end, an unterminated last line included.
    pub finished_at: Option<u64>,
    /// Monotonic time at which it was opened.
    pub opened_ms: u64,
    /// Modification time (s, ns) and size when it was opened, for two of Flume's log lines.
    pub opened: Option<(i64, i64, u64)>,
    /// It cannot be renamed: it is done under its name.
    pub keeps_name: bool,
    /// A receipt covers it up to there.
    pub receipted_at: Option<u64>,
    /// Monotonic time before which it is not read again, after a failure.
    pub read_retry_ms: u64,
    /// What it has can go nowhere now.
    pub is_barred: bool,
    /// The last look found something to do, or notices tell that it may have changed since.
    pub may_be_unseen: bool,
    /// Monotonic time at which it was seen to have lost its name.
    pub lost_name_ms: Option<u64>,
    /// Monotonic time since which another directory stands in the place of its own.
    pub away_ms: Option<u64>,
    /// The names of the directory were asked whether one holds what was read of it, since it has none.
    pub has_asked_heirs: bool,
    /// Monotonic time since which they are asked.
    pub asks_heirs_ms: Option<u64>,
    /// Monotonic time since which it may be in a directory that cannot be listed.
    pub unlisted_ms: Option<u64>,
    /// Is it known whether it is a copy of another file?
    pub vetting: Vetting,
    pub marks: Marks,
    /// Where what was announced and is not covered by the position begins, and when it was read (monotonic,
    /// ms).
    reads: VecDeque<(u64, u64)>,
    /// Zeros from here on were read as its last line.
    pub zeros_from: Option<u64>,
    /// Its writer took back or used zeros that were read from here on; see [`super::trimmed`].
    pub trimmed: Option<u64>,
}

/// How a file stands to its name, `record.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// It is a candidate under that name.
    Named,
    /// It was renamed, moved away, replaced or deleted: it is read on through the descriptor.
    Nameless,
    /// No group takes the name under which it was read any more, whether it has that or another one: what was
    /// announced of it is brought to its end, and no more is read.
    Released,
    /// Its content was thrown away (truncated), and the name is that of what the file holds now: what
    /// was read of it is all there will ever be.
    Superseded,
}

impl Tie {
    /// That of a file whose content is still there.
    pub fn of(is_named: bool) -> Tie {
        if is_named { Tie::Named } else { Tie::Nameless }
    }
}

/// Before the first byte of a file is read: is it one that is known, and does it begin like another
/// one that is being read?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vetting {
    /// The records that wait for their files were not asked yet whether it is theirs.
    Unasked,
    /// It belongs to no other file, and was not compared with others yet.
    Due,
    /// It may be a copy whose original is about to be truncated; so long it waits at most
    /// (monotonic ms).
    Copy { of: u64, until_ms: u64 },
    /// A file of its own.
    Passed,
}

/// For how long a file has been left alone, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftAlone {
    /// By what we saw ourselves. The clock may jump, and be another one than that of the file's stamps:
    /// what we saw does not.
    pub watched_ms: u64,
    /// The same, but as long as we have seen nothing, by its modification time, too. For what is not
    /// final: lines that come later are read all the same.
    pub quiet_ms: u64,
}

/// Since when a file is watched, and how; it outlives the descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// It was tailed in its own time: its writer may have been waiting with its last lines, so that
    /// the grace time begins with the retirement.
    pub was_live: bool,
    /// Monotonic times since which it is watched, and at which it was last seen to be written to.
    since_ms: u64,
    written_ms: Option<u64>,
}

/// What a look at an open file found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing (but perhaps an incomplete line) behind the read position.
    Quiet,
    /// There are bytes that have not been looked at.
    Readable,
    /// It is shorter than what was read: truncated.
    Truncated { size: u64 },
    /// The bytes before the read position are not those that were read.
    Rewritten,
}

impl Tracked {
    /// A file and what the kernel says of it. `grace_ms`: how long it must be left alone before it is done.
    pub fn new(
        record: FileRecord,
        (file, stat): (File, Option<&Metadata>),
        decoder: LineDecoder,
        now_ms: u64,
        grace_ms: u64,
    ) -> Tracked {
        let opened = stat.map(|m| (m.mtime(), m.mtime_nsec(), m.len()));
        let (read_position, marks) = (record.position, Marks::of(&record, now_ms));
        Tracked {
            record,
            file,
            decoder,
            read_position,
            tail: TailBytes::default(),
            head: HeadBytes::default(),
            tie: Tie::Named,
            exhausted_at: None,
            is_caught_up: false,
            gap: None,
            settled: 0,
            grace_ms,
            size: read_position,
            modified: None,
            watch: Watch { was_live: false, since_ms: now_ms, written_ms: None },
            giant_scanned: None,
            served_ms: now_ms,
            served_as: 0,
            finished_at: None,
            opened_ms: now_ms,
            opened,
            keeps_name: false,
            receipted_at: None,
            read_retry_ms: 0,
            is_barred: false,
            may_be_unseen: true,
            lost_name_ms: None,
            away_ms: None,
            has_asked_heirs: false,
            asks_heirs_ms: None,
            unlisted_ms: None,
            vetting: Vetting::Unasked,
            marks,
            reads: VecDeque::new(),
            zeros_from: None,
            trimmed: None,
        }
    }

    /// When it was written to last, as it was looked at last, Unix ms.
    pub fn last_written_ms(&self) -> Option<i64> {
        self.modified.map(|(s, ns)| s.saturating_mul(1_000).saturating_add(ns / 1_000_000))
    }

    /// The record's position is about to move.
    pub fn note_position(&mut self, now_ms: u64) {
        let position = self.record.position;
        // What is behind the position was read with the last of these; those before it are done with.
        let read = self.reads.iter().rposition(|(start, _)| *start <= position);
        self.reads.drain(..read.unwrap_or(0));
        let read_ms = read.and_then(|_| self.reads.front()).map_or(now_ms, |(_, ms)| *ms);
        self.marks.note(&self.record, read_ms, now_ms);
        self.marks.choose(&mut self.record.marks);
    }

    /// What stands behind the read position is announced.
    pub(super) fn note_read(&mut self, now_ms: u64) {
        self.reads.push_back((self.read_position, now_ms));
    }

    /// The record's position has gone back.
    pub(super) fn cut_marks(&mut self) {
        self.marks.cut(self.record.position);
        self.marks.choose(&mut self.record.marks);
    }

    /// Goes on in another file that holds the same bytes up to the read position. Returns the old
    /// one.
    pub fn go_on_in(&mut self, file: File, now_ms: u64) -> File {
        if let Ok(stat) = file.metadata() {
            self.set_hints(Hints::of(&stat));
            self.opened = Some((stat.mtime(), stat.mtime_nsec(), stat.len()));
        }
        self.tail = TailBytes::read(&file, self.read_position).unwrap_or_default();
        (self.size, self.modified) = (self.read_position, None);
        // It may have a writer of its own.
        self.watch = Watch { since_ms: now_ms, written_ms: None, ..self.watch };
        (self.has_asked_heirs, self.asks_heirs_ms) = (false, None);
        self.forget_rest();
        if self.tie == Tie::Superseded {
            self.tie = Tie::Nameless;
        }
        std::mem::replace(&mut self.file, file)
    }

    /// What is behind the read position is looked at again.
    pub(super) fn forget_rest(&mut self) {
        (self.exhausted_at, self.finished_at, self.giant_scanned) = (None, None, None);
    }

    /// Still a candidate under `record.name`?
    pub fn is_named(&self) -> bool {
        self.tie == Tie::Named
    }

    /// Does the configuration no longer take it?
    pub fn is_released(&self) -> bool {
        self.tie == Tie::Released
    }

    /// Was its content thrown away?
    pub fn is_superseded(&self) -> bool {
        self.tie == Tie::Superseded
    }

    /// It ends at offset `size` and is looked at again.
    pub(super) fn forget_looks(&mut self, size: u64) {
        (self.size, self.settled) = (size, self.settled.min(size));
    }

    pub fn set_hints(&mut self, hints: Hints) {
        let record = &mut self.record;
        (record.device, record.inode, record.born_ns) = (hints.device, hints.inode, hints.born_ns);
    }

    /// Is this the file with that device and inode, still to be read?
    pub fn is_inode(&self, device: u64, inode: u64) -> bool {
        !self.is_superseded() && self.record.device == device && self.record.inode == inode
    }

    /// What stands behind the read position is only waited for: no whole line, not the end.
    pub fn has_rest(&self) -> bool {
        !self.is_superseded()
            && !self.is_released()
            && self.size > self.read_position
            && self.finished_at != Some(self.size)
    }

    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(&self.record.name)
    }

    /// The name that it had before it was renamed last.
    pub fn former_name(&self) -> Option<&[u8]> {
        self.record.former_names.last().map(|former| former.name.as_slice())
    }

    pub fn current_name(&self) -> OsString {
        OsString::from_vec(self.record.current_name.clone())
    }

    /// The file with the smaller one has waited longer.
    pub fn served(&self) -> (u64, u64) {
        (self.served_ms, self.served_as)
    }

    /// Announced, not yet committed?
    pub fn has_uncommitted(&self) -> bool {
        self.read_position != self.record.position
    }

    /// Looks at size and time and, where there is something to read or the file was written to,
    /// at the bytes that were read before.
    pub fn look(&mut self, now_ms: u64) -> io::Result<Look> {
        // What is in doubt of one that is released may be read again: that it is not there any more has to be seen.
        if self.is_superseded() || self.is_released() && !self.has_uncommitted() {
            return Ok(Look::Quiet);
        }
        self.may_be_unseen = true;
        let stat = self.file.metadata()?;
        let (size, modified) = (stat.len(), (stat.mtime(), stat.mtime_nsec()));
        let last = self.modified.replace(modified);
        let was_written = last != Some(modified) || size != self.size;
        // Before the first look it is watched as it was when it was opened.
        let is_watched = last.is_some() || self.opened == Some((modified.0, modified.1, size));
        if was_written && last.is_some() || !is_watched {
            self.watch.written_ms = Some(now_ms);
        }
        if was_written && size <= self.size {
            // Written to and not longer: what stood behind the position, half a line perhaps, may
            // be another's bytes now.
            (self.exhausted_at, self.giant_scanned) = (None, None);
        }
        // Zeros that come behind its end are others.
        self.settled = self.settled.min(size);
        self.size = size;
        // Until then, whatever it holds now.
        match self.trimmed {
            Some(_) if self.has_uncommitted() => return Ok(Look::Quiet),
            Some(size) => return Ok(Look::Truncated { size }),
            None => {}
        }
        if size < self.read_position {
            return Ok(Look::Truncated { size });
        }
        self.look_at_gap(now_ms, was_written)?;
        let is_quiet = size == self.read_position
            || self.exhausted_at == Some(size)
            || self.finished_at == Some(size);
        if (was_written || !is_quiet) && !self.is_intact()? {
            // Not every caller begins again: the next look must find it, too.
            self.modified = last;
            return Ok(Look::Rewritten);
        }
        if !is_quiet && !self.is_released() {
            return Ok(Look::Readable);
        }
        // Who maps a file fills zeros unseen.
        (self.served_ms, self.may_be_unseen) = (now_ms, self.gap.is_some());
        Ok(Look::Quiet)
    }

    /// Is there text by now where there was none? Who maps a file changes neither its length nor,
    /// on every file system, its time.
    fn look_at_gap(&mut self, now_ms: u64, was_written: bool) -> io::Result<()> {
        let Some(mut gap) = self.gap.take() else { return Ok(()) };
        let place = self.place();
        match gap.look(place, now_ms, was_written, self.grace_ms)? {
            State::Same => self.gap = Some(gap),
            State::Touched => {
                self.watch.written_ms = Some(now_ms);
                self.gap = Some(gap);
            }
            State::Written => {
                self.watch.written_ms = Some(now_ms);
                (self.exhausted_at, self.giant_scanned) = (None, None);
            }
            State::Text(until) => {
                self.settled = until;
                self.exhausted_at = None;
            }
        }
        Ok(())
    }

    /// Where its text ends is looked for with this.
    pub fn place(&self) -> Place<'_> {
        Place { file: &self.file, settled: self.settled, unit: self.decoder.unit_bytes() }
    }

    /// Bytes behind the read position that may be text.
    pub fn left_bytes(&self) -> u64 {
        let end = self.gap.as_ref().map_or(self.size, |gap| gap.start);
        end.saturating_sub(self.read_position)
    }

    /// Size and modification time (s, ns) at the last look; zeros before the first.
    pub fn last_look(&self) -> (u64, i64, i64) {
        self.modified.map_or((0, 0, 0), |(s, ns)| (self.size, s, ns))
    }

    /// Do the first bytes and those before the position still stand there? All that was announced
    /// counts, acknowledged or not: rows of one shape end alike.
    pub(super) fn is_intact(&self) -> io::Result<bool> {
        self.stands_there(self.read_position, self.tail.as_slice(), self.head.as_slice())
    }

    /// The same of what was read of it so far, announced or not: these first bytes, and these before
    /// `position`.
    pub(super) fn stands_there(&self, position: u64, tail: &[u8], head: &[u8]) -> io::Result<bool> {
        let is_it = || -> io::Result<bool> {
            let record_len = self.record.head_len as usize;
            let found = HeadBytes::read(&self.file, head.len().max(record_len) as u64)?;
            let found = found.as_slice();
            Ok(TailBytes::read(&self.file, position)?.as_slice().ends_with(tail)
                && found.starts_with(head)
                && crc32fast::hash(&found[..record_len]) == self.record.head_crc
                && self.are_zeros_left()?)
        };
        match is_it() {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            result => result,
        }
    }

    /// It was truncated or overwritten since the last look, and written anew: the next one finds that, even
    /// where the file has the length and the time of that look.
    pub(super) fn forget_look(&mut self) {
        self.modified = None;
    }

    /// Are the zeros that were read as the last line unused? More of them than the tail has bytes may
    /// be left behind what is written over the first ones.
    fn are_zeros_left(&self) -> io::Result<bool> {
        let Some(start) = self.zeros_from else { return Ok(true) };
        let mut first = [0; 64];
        let len =
            first.len().min(usize::try_from(self.read_position - start).unwrap_or(usize::MAX));
        self.file.read_exact_at(&mut first[..len], start)?;
        Ok(first[..len].iter().all(|b| *b == 0))
    }

    /// The grace time begins.
    pub fn begin_grace(&mut self, now_ms: u64) {
        if self.watch.was_live {
            self.watch.written_ms = Some(now_ms);
        }
    }

    /// How long the file has been left alone, by [`LeftAlone::watched_ms`].
    pub fn watched_ms(&self, now_ms: u64) -> io::Result<u64> {
        Ok(self.watched_as(&self.file.metadata()?, now_ms))
    }

    /// How long the file has been left alone, by either measure: one question to the kernel, since it is
    /// put for each open file in each turn.
    pub fn left_alone(&self, now_wall_ms: i64, now_ms: u64) -> io::Result<LeftAlone> {
        let stat = self.file.metadata()?;
        let watched_ms = self.watched_as(&stat, now_ms);
        Ok(self.left_alone_since(watched_ms, modified_ms(&stat), now_wall_ms, now_ms))
    }

    /// The same of one that was looked at in this moment.
    pub fn left_alone_as_looked(&self, now_wall_ms: i64, now_ms: u64) -> LeftAlone {
        let watched_ms = now_ms - self.watch.written_ms.unwrap_or(self.watch.since_ms);
        let modified_ms = self.last_written_ms().unwrap_or(now_wall_ms);
        self.left_alone_since(watched_ms, modified_ms, now_wall_ms, now_ms)
    }

    fn left_alone_since(
        &self,
        watched_ms: u64,
        modified_ms: i64,
        now_wall_ms: i64,
        now_ms: u64,
    ) -> LeftAlone {
        if self.watch.written_ms.is_some() || watched_ms < now_ms - self.watch.since_ms {
            return LeftAlone { watched_ms, quiet_ms: watched_ms };
        }
        let by_stamp = u64::try_from(now_wall_ms.saturating_sub(modified_ms)).unwrap_or(0);
        LeftAlone { watched_ms, quiet_ms: by_stamp.max(watched_ms) }
    }

    fn watched_as(&self, stat: &Metadata, now_ms: u64) -> u64 {
        let seen = self.modified.map(|(s, ns)| (s, ns, self.size)).or(self.opened);
        if seen != Some((stat.mtime(), stat.mtime_nsec(), stat.len())) {
            return 0;
        }
        now_ms - self.watch.written_ms.unwrap_or(self.watch.since_ms)
    }

    /// It was watched like this before it was opened; `written_ms`: when a change since was seen.
    pub fn watch_on(&mut self, watch: Watch, written_ms: Option<u64>) {
        self.watch = Watch { written_ms: written_ms.or(watch.written_ms), ..watch };
    }

    /// Are some of its zeros, or were they, not to be taken for text?
    pub fn has_zeros(&self) -> bool {
        self.gap.is_some() || self.zeros_from.is_some() || self.trimmed.is_some()
    }

    /// It was seen at this monotonic time as it is now.
    pub fn watched_since(&mut self, ms: u64) {
        self.watch.since_ms = self.watch.since_ms.min(ms);
    }

    /// Takes the fingerprint of the beginning, as long as it is still growing: of what was read, and
    /// not of what stands there by now.
    pub fn update_head(&mut self) {
        let position = usize::try_from(self.record.position).unwrap_or(HEAD_BYTES);
        let read = self.head.as_slice();
        let len = position.min(read.len());
        if len > self.record.head_len as usize {
            self.record.head_len = len as u32;
            self.record.head_crc = crc32fast::hash(&read[..len]);
        }
    }
}

/// Is this the file that the record speaks of, by the bytes it begins with?
pub fn head_matches(file: &File, record: &FileRecord) -> io::Result<bool> {
    bytes_match(file, 0, record.head_len as usize, record.head_crc)
}

/// Do the `len` bytes from `at` on have that CRC-32? At most [`HEAD_BYTES`] are ever asked for.
pub fn bytes_match(file: &File, at: u64, len: usize, crc: u32) -> io::Result<bool> {
    let mut bytes = [0u8; HEAD_BYTES];
    if len > HEAD_BYTES {
        return Ok(false);
    }
    match file.read_exact_at(&mut bytes[..len], at) {
        Ok(()) => Ok(crc32fast::hash(&bytes[..len]) == crc),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// The file at `path`, of which nothing was read, as UTF-8.
#[cfg(test)]
pub(super) fn new_for_test(path: &std::path::Path) -> Tracked {
    use super::line::{LineConfig, LineEnds};
    use crate::config::model::DecodePolicy;
    use crate::java::charset::Charset;
    let config = LineConfig {
        ends: LineEnds::Newline,
        charset: Charset::UTF_8,
        output: Charset::UTF_8,
        policy: DecodePolicy::Fail,
        max_line_units: 2048,
    };
    let file = open(path).expect("a file");
    let stat = file.metadata().ok();
    Tracked::new(FileRecord::default(), (file, stat.as_ref()), LineDecoder::new(config), 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::slice::{self, Bound, Take};
    use crate::source::window::Window;

    #[test]
    fn rows_that_end_alike_are_told_apart_before_anything_is_acknowledged() {
        let path = std::env::temp_dir().join(format!("flume-ng-tracked-{}", std::process::id()));
        let row = |id: char| format!("{id}:{}\n", "x".repeat(150)).into_bytes();
        std::fs::write(&path, row('1')).unwrap();
        let mut tracked = new_for_test(&path);
        assert_eq!(tracked.look(0).unwrap(), Look::Readable);
        let read = |_: &[u8], _| Take::More;
        let slice =
            slice::read(&mut Window::default(), &mut tracked, 0, Bound::Open, read).unwrap();
        (tracked.read_position, tracked.tail, tracked.head) = (slice.end, slice.tail, slice.head);
        assert_eq!(tracked.look(1).unwrap(), Look::Quiet);
        std::fs::write(&path, [row('2'), row('3')].concat()).unwrap();
        assert_eq!(tracked.look(2).unwrap(), Look::Rewritten);
        std::fs::remove_file(&path).unwrap();
    }
}
