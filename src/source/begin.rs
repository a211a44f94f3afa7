//! Where files begin at the very first start: at a position of Flume's, behind what they hold, or where
//! tail would.
//!
//! What is decided then is never decided again, so it is in the first record of the checkpoint, or the
//! start is tried again. A file that cannot be opened at that moment has its record all the same: it waits
//! among the absent ones, and what stands before its position is looked at when it opens.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::absent::Absence;
use super::hints::born_ns;
use super::policy::Current;
use super::quest::prefix_crc;
use super::scan::Candidate;
use super::unwritten::text_end;
use super::window::{HeadBytes, TailBytes};
use super::{Files, READER, reach, tell};
use crate::checkpoint::record::{FileRecord, FileState};
use crate::checkpoint::room::why_not_opened;
use crate::config::model::FirstByte;
use crate::log::{self, Level};

/// So much is read of what stands before the positions, bytes: by it a copy of what was read is known
/// later. What is beyond is known by its numbers alone.
const READ_BEFORE_MAX: u64 = 4 << 30;
/// The same of one file that opens later, when all others wait for that.
const READ_LATE_MAX: u64 = 64 << 20;

/// Where one file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// At this position, which somebody has left.
    At(u64),
    Where(FirstByte),
}

/// What must be known of the directories before it is decided where files begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Every file is a new one.
    Nothing,
    /// All that they hold: what comes later is new.
    WhatIsThere,
    /// The same, and each must be there: a file with a position may be in any.
    All,
}

/// What was begun so far.
pub(super) struct FirstStart {
    /// Device and inode; a second name of one file is no second file.
    begun: HashSet<(u64, u64)>,
    /// So many bytes may still be read of what stands before positions.
    budget: u64,
}

impl Default for FirstStart {
    fn default() -> FirstStart {
        FirstStart { begun: HashSet::new(), budget: READ_BEFORE_MAX }
    }
}

impl FirstStart {
    /// CRC-32 of what stands before that position; 0 where that would be too much to read.
    pub(super) fn crc_before(&mut self, file: &File, at: u64) -> io::Result<u32> {
        let crc = if at <= self.budget { prefix_crc(file, at)? } else { 0 };
        self.budget = self.budget.saturating_sub(at);
        Ok(crc)
    }

    pub(super) fn has_begun(&self, inode: u64) -> bool {
        self.begun.iter().any(|(_, begun)| *begun == inode)
    }
}

impl Files {
    /// Begins at that position of `name` (Flume's tracker), and in other files at their beginning.
    ///
    /// # Errors
    /// The directory cannot be listed now.
    pub fn take_over(&mut self, name: &OsStr, position: u64) -> io::Result<()> {
        self.list_at_first(Need::WhatIsThere)?;
        let unjudged = self.scanner.unjudged().iter().find(|(n, _)| n == name).cloned();
        if let Some((name, inode)) = unjudged {
            self.wait_at(&name, &name, inode, position);
            return Ok(());
        }
        let candidate = self.scanner.candidates().iter().find(|c| c.name == name).cloned();
        match candidate {
            Some(found) => self.begin(&found, Begin::At(position), &mut FirstStart::default()),
            None => log::warn(
                READER,
                format_args!(
                    "The position that was taken over is of {}, which is no candidate here.",
                    self.path(name).display()
                ),
            ),
        }
        Ok(())
    }

    /// Begins behind what the files hold now (`onBadCheckpoint = end`).
    ///
    /// # Errors
    /// A directory or a name that cannot be asked now.
    pub fn take_over_ends(&mut self) -> io::Result<()> {
        self.take_over_positions(&[], FirstByte::NextLine)
    }

    /// Lists the directories before anything is decided.
    pub(super) fn list_at_first(&mut self, need: Need) -> io::Result<()> {
        let may_lack = |e: &io::Error| match need {
            Need::Nothing => true,
            Need::WhatIsThere => reach::is_nothing_there(e),
            Need::All => false,
        };
        match self.scanner.refresh(self.clock.monotonic_ms()) {
            Ok(problems) => {
                for (name, why) in problems {
                    self.complain(&name, &why);
                }
            }
            Err(e) if may_lack(&e) => return Ok(()),
            Err(e) => return Err(e),
        }
        let places: Vec<OsString> = self.scanner.faulty().map(OsStr::to_owned).collect();
        for place in places {
            match self.root.list(&place) {
                Err(e) if may_lack(&e) => {}
                Err(e) => {
                    let path = self.root.place(&place);
                    return Err(io::Error::other(format!("{}: {e}", path.display())));
                }
                // It can be listed by now, and was not.
                Ok(_) => {
                    let path = self.root.place(&place);
                    let why = format!("{}: it could not be listed a moment ago", path.display());
                    return Err(io::Error::other(why));
                }
            }
        }
        Ok(())
    }

    /// A name that cannot be asked what it is: it must not be read from its beginning later, where it
    /// begins elsewhere now.
    pub(super) fn refuse_to_guess(&self, name: &OsStr, first: FirstByte) -> io::Result<()> {
        if first != FirstByte::NextLine {
            return Ok(());
        }
        let why = match self.root.stat(name) {
            Ok(stat) if stat.is_file() => "it could not be asked a moment ago".to_owned(),
            Err(e) if !reach::is_nothing_there(&e) => why_not_opened(&e),
            _ => return Ok(()),
        };
        Err(io::Error::other(format!("{}: {why}", self.path(name).display())))
    }

    /// Tracks a candidate from there on, or notes that it waits there.
    pub(super) fn begin(&mut self, candidate: &Candidate, at: Begin, start: &mut FirstStart) {
        // Another of its names, or a new file.
        if at == Begin::Where(FirstByte::Beginning)
            || !start.begun.insert((candidate.device, candidate.inode))
        {
            return;
        }
        let name = &candidate.name;
        let opened = self.root.open(name);
        match opened.and_then(|file| self.begin_in(name, file, at, start)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => self.begin_unopened(candidate, at, &e),
        }
    }

    /// Likewise, in the opened file.
    fn begin_in(
        &mut self,
        name: &OsStr,
        file: File,
        begin: Begin,
        start: &mut FirstStart,
    ) -> io::Result<()> {
        let stat = file.metadata()?;
        let (inode, size) = (stat.ino(), stat.len());
        let at = match begin {
            Begin::At(position) if position > size => 0,
            Begin::At(position) => position,
            Begin::Where(first) => first_byte(&file, text_end(&file, size)?, first)?,
        };
        self.tell_begin(name, inode, begin, (at, size));
        let is_in_line = TailBytes::read(&file, at)?.as_slice().last().is_some_and(|b| *b != b'\n');
        let crc = start.crc_before(&file, at)?;
        let handle = self.push_tracked(name.to_owned(), file, at);
        let skips_line = is_in_line && self.skips_first_line(begin);
        let record = &mut self.tracked[handle].record;
        (record.bytes_crc, record.skips_line) = (crc, skips_line);
        if self.tracked.len() >= self.open_max * 3 / 4 {
            let tracked = self.tracked.remove(handle);
            self.park_record(tracked.record);
        }
        Ok(())
    }

    /// Its position waits for it, in the checkpoint.
    fn begin_unopened(&mut self, candidate: &Candidate, begin: Begin, e: &io::Error) {
        let size = candidate.seen.0;
        let position = match begin {
            Begin::At(position) => position,
            Begin::Where(first) => unread_first_byte(size, first),
        };
        if position == 0 {
            return;
        }
        let skips_line = self.skips_first_line(begin);
        let home = self.directory_of_listed(&candidate.name);
        let mut record = self.new_record(&candidate.name, position, home);
        record.device = candidate.device;
        record.inode = candidate.inode;
        record.born_ns = self.root.stat(&candidate.name).map_or(0, |stat| born_ns(&stat));
        record.skips_line = skips_line;
        let why = format!("{}: {}", self.path(&candidate.name).display(), why_not_opened(e));
        self.put_absent(record, Absence::Unreachable(why), None);
    }

    /// A file of which nothing but its inode and its names is known, that under which it was read and the one that
    /// it has now, waits for that position.
    pub(super) fn wait_at(&mut self, read_as: &OsStr, now: &OsStr, inode: u64, position: u64) {
        if position == 0 {
            return;
        }
        let home = self.directory_of_listed(now);
        let mut record = self.new_record(read_as, position, home);
        if now != read_as {
            (record.current_name, record.state) = (now.as_bytes().to_vec(), FileState::Draining);
        }
        record.inode = inode;
        record.device = self.directory_now(now).map_or(0, |here| here.own.device);
        let why = format!("{}: it cannot be asked now", self.path(now).display());
        self.put_absent(record, Absence::Unreachable(why), None);
    }

    /// Is the rest of a line in which a file begins no event?
    fn skips_first_line(&self, begin: Begin) -> bool {
        let is_followed = matches!(self.policy.current, Current::Each);
        is_followed && begin == Begin::Where(FirstByte::NextLine)
    }

    fn tell_begin(&self, name: &OsStr, inode: u64, begin: Begin, (at, size): (u64, u64)) {
        let path = self.path(name);
        let path = path.display();
        let is_followed = matches!(self.policy.current, Current::Each);
        match begin {
            Begin::At(position) if position > size && is_followed => log::info(
                READER,
                format_args!(
                    "Pos {position} is larger than file size! Restarting from pos 0, file: {path}, \
                     inode: {inode}"
                ),
            ),
            Begin::At(_) if is_followed => self.tell_position("Updated position", name, inode, at),
            Begin::Where(_) if is_followed => self.tell_position("Opening file", name, inode, at),
            _ => {
                let why = match begin {
                    Begin::At(position) if position > size => {
                        "shorter than the position taken over: truncated since"
                    }
                    _ => "position taken over",
                };
                tell(
                    Level::Info,
                    name,
                    format_args!("Opened {path} at byte {at} of {size} ({why})."),
                );
            }
        }
    }

    /// Now that it is open: what stands before a position of which nothing was known but its number?
    pub(super) fn see(&mut self, record: &mut FileRecord, file: &File) -> io::Result<()> {
        let size = file.metadata()?.len();
        let begin = Begin::At(record.position);
        let name = OsStr::from_bytes(&record.name);
        let mut at = if record.position > size { 0 } else { record.position };
        if record.skips_line {
            // What was reserved then and is written by now is new.
            at = text_end(file, at)?;
        }
        let (tail, head) = (TailBytes::read(file, at)?, HeadBytes::read(file, at)?);
        let crc = if at <= READ_LATE_MAX { prefix_crc(file, at)? } else { 0 };
        if at == 0 {
            self.tell_begin(name, record.inode, begin, (at, size));
        }
        record.position = at;
        record.skips_line &= tail.as_slice().last().is_some_and(|b| *b != b'\n');
        (record.tail_len, record.tail_crc) = (tail.as_slice().len() as u32, tail.crc());
        let head = head.as_slice();
        (record.head_len, record.head_crc) = (head.len() as u32, crc32fast::hash(head));
        record.bytes_crc = crc;
        self.has_moved = true;
        Ok(())
    }
}

/// Where a file begins that ends at `end`.
fn first_byte(file: &File, end: u64, first: FirstByte) -> io::Result<u64> {
    match first {
        FirstByte::Beginning => Ok(0),
        FirstByte::NextLine => Ok(end),
        FirstByte::Byte(at) => Ok(at.min(end)),
        FirstByte::LastBytes(bytes) => Ok(end.saturating_sub(bytes)),
        FirstByte::Line(line) => behind_lines(file, end, line - 1),
        FirstByte::LastLines(lines) => last_lines(file, end, lines),
    }
}

/// The same of a file that cannot be read: where that needs its content it is read from its beginning, as
/// tail does with what it cannot open at first.
fn unread_first_byte(size: u64, first: FirstByte) -> u64 {
    match first {
        FirstByte::Beginning | FirstByte::Line(_) => 0,
        FirstByte::NextLine | FirstByte::LastLines(0) => size,
        FirstByte::LastLines(_) => 0,
        FirstByte::Byte(at) => at.min(size),
        FirstByte::LastBytes(bytes) => size.saturating_sub(bytes),
    }
}

/// What one read asks for, bytes.
const BLOCK_BYTES: usize = 128 * 1024;

/// The offset behind the first so many newlines.
fn behind_lines(file: &File, end: u64, lines: u64) -> io::Result<u64> {
    let (mut block, mut at, mut left) = (vec![0; BLOCK_BYTES], 0, lines);
    while at < end && left > 0 {
        let len = BLOCK_BYTES.min(usize::try_from(end - at).unwrap_or(BLOCK_BYTES));
        file.read_exact_at(&mut block[..len], at)?;
        for newline in memchr::memchr_iter(b'\n', &block[..len]) {
            left -= 1;
            if left == 0 {
                return Ok(at + newline as u64 + 1);
            }
        }
        at += len as u64;
    }
    Ok(if left == 0 { 0 } else { end })
}

/// Where the last so many lines begin. One without a newline counts, as it does for tail.
fn last_lines(file: &File, end: u64, lines: u64) -> io::Result<u64> {
    if lines == 0 || end == 0 {
        return Ok(end);
    }
    // The newline that ends the file ends its last line.
    let (mut block, mut at, mut left) = (vec![0; BLOCK_BYTES], end - 1, lines);
    while at > 0 {
        let len = BLOCK_BYTES.min(usize::try_from(at).unwrap_or(BLOCK_BYTES));
        let start = at - len as u64;
        file.read_exact_at(&mut block[..len], start)?;
        for newline in memchr::memrchr_iter(b'\n', &block[..len]) {
            left -= 1;
            if left == 0 {
                return Ok(start + newline as u64 + 1);
            }
        }
        at = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_begins_where_tail_would() {
        let path = std::env::temp_dir().join(format!("flume-ng-first-{}", std::process::id()));
        for (content, first, expected) in [
            ("one\ntwo\nthree\n", FirstByte::LastLines(1), 8),
            ("one\ntwo\nthree\n", FirstByte::LastLines(2), 4),
            ("one\ntwo\nthree\n", FirstByte::LastLines(3), 0),
            ("one\ntwo\nthree\n", FirstByte::LastLines(9), 0),
            ("one\ntwo\nthree\n", FirstByte::LastLines(0), 14),
            ("one\ntwo\nthr", FirstByte::LastLines(1), 8),
            ("one\ntwo\nthr", FirstByte::LastLines(2), 4),
            ("\n\n", FirstByte::LastLines(1), 1),
            ("", FirstByte::LastLines(10), 0),
            ("one\ntwo\nthree\n", FirstByte::Line(2), 4),
            ("one\ntwo\nthree\n", FirstByte::Line(9), 14),
            ("one\ntwo\nthree\n", FirstByte::Byte(5), 5),
            ("one\ntwo\nthree\n", FirstByte::Byte(50), 14),
            ("one\ntwo\nthree\n", FirstByte::LastBytes(6), 8),
            ("one\ntwo\nthree\n", FirstByte::Beginning, 0),
            ("one\ntwo\nthr", FirstByte::NextLine, 11),
        ] {
            std::fs::write(&path, content).unwrap();
            let file = File::open(&path).unwrap();
            let at = first_byte(&file, content.len() as u64, first).unwrap();
            assert_eq!(at, expected, "{content:?} {first:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
