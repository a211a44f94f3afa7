//! Files of which nothing is known: which there are, and how their events are read without being
//! announced.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::hints::modified_ms;
use super::interceptor::{self, Interceptor, Patience};
use super::slice::{self, Bound, SliceError, Take};
use super::tracked::{self, Tie, Tracked};
use super::{Files, Handle, READER, reach};
use crate::checkpoint::cuts::{self, Cut};
use crate::checkpoint::record::{FileRecord, FileState};

/// What is read of a file in one step where no lines are told apart, bytes.
const STEP_BYTES: usize = 64 << 20;
const BLOCK_BYTES: usize = 1 << 20;

/// A file that was there when the state was missed.
#[derive(Debug, Clone)]
pub struct PastFile {
    /// The name under which it is (or was) read; headers name it so.
    pub name: OsString,
    /// Its name in the directory now.
    pub found_as: OsString,
    pub is_finished: bool,
    /// An unterminated last line of it may have been sent.
    pub is_ended: bool,
    pub size: u64,
    /// Lines of it were sent up to there before their newline came ([`cuts`]), in order.
    pub cuts: Vec<u64>,
    device: u64,
    inode: u64,
}

/// A file on its way through a reading.
pub struct Reading {
    tracked: Tracked,
    /// Where the next event begins.
    pub position: u64,
    /// Events so far.
    pub events: u64,
    /// Of the bytes before the position.
    crc: crc32fast::Hasher,
    giant: Option<Giant>,
}

/// An overlong line.
struct Giant {
    /// Up to here it was searched for its end.
    at: u64,
    crc: crc32fast::Hasher,
}

/// A file that is compared with what was read of it.
pub struct Check {
    file: File,
    at: u64,
    crc: crc32fast::Hasher,
}

impl PastFile {
    /// How far a slice from there on may go. `is_last`: to the end of the file, too.
    pub fn bound(&self, position: u64, is_last: bool) -> Bound {
        match self.cuts.iter().find(|cut| **cut > position) {
            Some(cut) => Bound::Until(*cut),
            None if is_last => Bound::Final,
            None => Bound::Open,
        }
    }
}

impl Reading {
    /// CRC-32 of the bytes before the position.
    pub fn crc(&self) -> u32 {
        self.crc.clone().finalize()
    }
}

impl Files {
    /// Finished files first, then the candidates in reading order.
    pub fn past(&mut self) -> io::Result<Vec<PastFile>> {
        self.update_present();
        for (name, why) in self.scanner.refresh(self.clock.monotonic_ms())? {
            self.complain(&name, &why);
            // What cannot be asked now may be a file of which everything is in the topic.
            match self.root.stat(&name) {
                Ok(stat) if stat.is_file() => return Err(io::Error::other(why)),
                Err(e) if !reach::is_nothing_there(&e) => return Err(e),
                _ => {}
            }
        }
        self.scanner.mark(|name| self.present.is_in(name));
        let mut names = Vec::new();
        for place in self.scanner.places() {
            for entry in self.root.list(place)? {
                let found_as = entry?.name;
                if let Some(name) = self.scanner.name_before(&found_as) {
                    names.push((name, found_as, true));
                }
            }
        }
        for name in self.scanner.marked() {
            names.push((name.to_owned(), name.to_owned(), true));
        }
        names.sort();
        let candidates = self.scanner.candidates().iter();
        names.extend(candidates.map(|c| (c.name.clone(), c.name.clone(), false)));
        let noted = cuts::read(&self.config.tracker_dir);
        let (mut past, mut seen) = (Vec::new(), HashSet::new());
        for (name, found_as, is_finished) in names {
            let stat = match self.root.stat(&found_as) {
                Ok(stat) if stat.is_file() => stat,
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            // One name of a file is enough.
            if !seen.insert((stat.dev(), stat.ino())) {
                continue;
            }
            let cuts = match self.cuts_of(&noted, &found_as, &stat) {
                Ok(cuts) => cuts,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let quiet_ms = self.clock.now_ms().saturating_sub(modified_ms(&stat));
            let is_over = is_finished || !self.present.is_in(&name);
            let grace_ms = i64::try_from(self.policy.grace_ms()).unwrap_or(i64::MAX);
            past.push(PastFile {
                is_ended: is_over && quiet_ms >= grace_ms,
                name,
                found_as,
                is_finished,
                size: stat.len(),
                cuts,
                device: stat.dev(),
                inode: stat.ino(),
            });
        }
        Ok(past)
    }

    fn cuts_of(&self, noted: &[Cut], name: &OsStr, stat: &Metadata) -> io::Result<Vec<u64>> {
        if !noted.iter().any(|cut| cut.inode == stat.ino()) {
            return Ok(Vec::new());
        }
        // Also the one at its end: whether anything has come behind it makes no difference.
        cuts::of_file(noted, &self.root.open(name)?, 0, stat.len() + 1)
    }

    /// Opens it again, also under another name. `None`: it is not there any more.
    pub fn open_past(&self, past: &PastFile) -> io::Result<Option<File>> {
        let is_it =
            |file: &File| file.metadata().map(|s| (s.dev(), s.ino()) == (past.device, past.inode));
        match self.root.open(&past.found_as) {
            Ok(file) if is_it(&file)? => return Ok(Some(file)),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        for place in self.scanner.places() {
            for entry in self.root.list(place)? {
                let entry = entry?;
                if entry.inode == past.inode
                    && let Ok(file) = tracked::open(&self.root.path(&entry.name))
                    && is_it(&file)?
                {
                    return Ok(Some(file));
                }
            }
        }
        Ok(None)
    }

    /// Begins to read it. `None`: it is not there any more.
    pub fn read_past(&self, past: &PastFile, at: usize) -> io::Result<Option<Reading>> {
        let Some(file) = self.open_past(past)? else { return Ok(None) };
        // No file that is tracked has such an id: what the window holds of one is not taken for it.
        let record = FileRecord { id: u64::MAX - at as u64, ..FileRecord::default() };
        let stat = file.metadata().ok();
        let tracked = self.prepare(record, file, stat.as_ref());
        let crc = crc32fast::Hasher::new();
        Ok(Some(Reading { tracked, position: 0, events: 0, crc, giant: None }))
    }

    /// Reads on and hands the events that pass the filters to `visit`, with their numbers, up to
    /// the `most`th. Returns whether this is the end of what there is of it.
    pub fn read_past_on(
        &mut self,
        reading: &mut Reading,
        past: &PastFile,
        chain: &[Interceptor],
        most: u64,
        visit: &mut dyn FnMut(u64, &[u8]),
    ) -> io::Result<bool> {
        let Reading { tracked, position, events, crc, giant: overlong } = reading;
        if *events >= most {
            return Ok(true);
        }
        if let Some(giant) = overlong {
            let end = search_giant(tracked, giant)?;
            if let Some(end) = end {
                (*position, *crc) = (end, giant.crc.clone());
                *overlong = None;
            }
            let is_over = overlong.as_ref().is_some_and(|giant| giant.at >= past.size);
            return Ok(is_over);
        }
        let bound = past.bound(*position, past.is_ended);
        let has_filter = interceptor::filters(chain);
        let patience = Patience::begin(chain);
        let _guard = interceptor::guard(chain);
        let read = slice::read(&mut self.window, tracked, *position, bound, |body, _| {
            if !has_filter || interceptor::keeps(chain, body) {
                visit(*events, body);
                *events += 1;
            }
            if *events >= most || patience.is_over() { Take::Enough } else { Take::More }
        });
        match read {
            Ok(slice) => {
                let is_over = slice.is_exhausted || slice.end == *position;
                let length = slice.end - slice.start;
                crc.combine(&crc32fast::Hasher::new_with_initial_len(slice.bytes_crc, length));
                *position = slice.end;
                Ok(is_over || *events >= most || slice.end >= past.size)
            }
            Err(SliceError::Giant) => {
                *overlong = Some(Giant { at: *position, crc: crc.clone() });
                Ok(false)
            }
            // The last run ended here, too.
            Err(SliceError::Malformed { .. } | SliceError::Changed) => Ok(true),
            Err(SliceError::Io(e)) => Err(e),
        }
    }

    /// Begins to compare it with what was read of it, by its descriptor where it is
    /// open. `None`: it is not there any more.
    pub fn check_past(&self, past: &PastFile, handle: Option<Handle>) -> io::Result<Option<Check>> {
        let file = match handle {
            Some(handle) => Some(self.tracked[handle].file.try_clone()?),
            None => self.open_past(past)?,
        };
        Ok(file.map(|file| Check { file, at: 0, crc: crc32fast::Hasher::new() }))
    }

    /// Tracks it from its first byte on. `None`: it is not there any more.
    pub fn track_past(&mut self, past: &PastFile) -> io::Result<Option<Handle>> {
        let Some(file) = self.open_past(past)? else { return Ok(None) };
        let handle = self.push_tracked(past.name.clone(), file, 0);
        if past.is_finished {
            let tracked = &mut self.tracked[handle];
            tracked.tie = Tie::Nameless;
            tracked.record.state = FileState::Draining;
            tracked.record.current_name = past.found_as.as_bytes().to_vec();
        }
        self.window.clear();
        Ok(Some(handle))
    }

    /// Where there are many, one of which nothing is left to do gives its descriptor away.
    pub fn settle_past(&mut self, handle: Handle) {
        let tracked = &self.tracked[handle];
        if self.tracked.len() > self.backlog_open_max()
            && tracked.is_named()
            && !tracked.has_uncommitted()
        {
            let tracked = self.tracked.remove(handle);
            self.park_record(tracked.record);
        }
    }

    /// Nothing of what was tracked counts.
    pub fn forget_past(&mut self) {
        self.tracked.clear();
        self.parking = super::Parking::default();
        self.window.clear();
    }

    /// One line of the log.
    pub fn tell_past(&self, name: &OsStr, what: std::fmt::Arguments<'_>) {
        crate::log::info(READER, format_args!("{}: {what}", self.path(name).display()));
    }
}

impl Check {
    /// Reads on towards `end`. Returns the CRC-32 of the bytes before it once they are read; of
    /// fewer, if there are fewer.
    pub fn read_on(&mut self, end: u64) -> io::Result<Option<u32>> {
        let mut block = vec![0; BLOCK_BYTES];
        for _ in 0..STEP_BYTES / BLOCK_BYTES {
            let left = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(BLOCK_BYTES);
            let filled = fill(&self.file, &mut block[..left], self.at)?;
            self.crc.update(&block[..filled]);
            self.at += filled as u64;
            if self.at == end || filled < left {
                return Ok(Some(self.crc.clone().finalize()));
            }
        }
        Ok(None)
    }
}

/// Searches on for the end of an overlong line. Returns where it ends, if that is known now.
fn search_giant(tracked: &Tracked, giant: &mut Giant) -> io::Result<Option<u64>> {
    let mut block = vec![0; BLOCK_BYTES];
    for _ in 0..STEP_BYTES / BLOCK_BYTES {
        let filled = fill(&tracked.file, &mut block, giant.at)?;
        let end = tracked.decoder.newline_end(&block[..filled]);
        let taken = end.unwrap_or(filled);
        giant.crc.update(&block[..taken]);
        giant.at += taken as u64;
        if end.is_some() {
            return Ok(Some(giant.at));
        }
        if filled < BLOCK_BYTES {
            // An end of the file is one, too: there is no more to search.
            giant.at = u64::MAX;
            break;
        }
    }
    Ok(None)
}

/// Reads until the block is full or the file ends.
fn fill(file: &File, block: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], at + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use crate::checkpoint::cuts::{self, Cut};
    use crate::source::scene::Scene;

    /// Each half of such a line is in the topic as an event. The line as a whole would be looked for there in
    /// vain, and sent.
    #[test]
    fn a_line_that_was_sent_before_its_newline_came_is_read_back_as_it_was_sent() {
        let mut scene = Scene::new("past-cuts");
        let cases: [(&str, &str, &[&str]); 4] = [
            ("a", "whole\nhalf and rest\nlast\nopen", &["whole", "half", " and rest", "last"]),
            ("b", "whole\nhalf", &["whole", "half"]),
            ("c", "whole\nhalf\nlast\n", &["whole", "half", "last"]),
            ("d", "other\nhalt and rest\n", &["other", "halt and rest"]),
        ];
        for (stem, content, _) in cases {
            let path = scene.path(&scene.name(stem));
            std::fs::write(&path, content).unwrap();
            let (inode, before) = (path.metadata().unwrap().ino(), b"whole\nhalf");
            let cut = Cut { inode, end: 10, tail_crc: crc32fast::hash(before) };
            cuts::note(&scene.files.config.tracker_dir, cut).unwrap();
        }
        for (at, past) in scene.files.past().unwrap().into_iter().enumerate() {
            let mut reading = scene.files.read_past(&past, at).unwrap().unwrap();
            let mut events = Vec::new();
            let mut visit = |n: u64, body: &[u8]| {
                assert_eq!(n, events.len() as u64);
                events.push(String::from_utf8(body.to_vec()).unwrap());
            };
            let files = &mut scene.files;
            while !files.read_past_on(&mut reading, &past, &[], u64::MAX, &mut visit).unwrap() {}
            let stem = past.name.to_string_lossy();
            let (_, content, expected) = cases.iter().find(|c| stem.starts_with(c.0)).unwrap();
            assert_eq!(events, *expected, "{content:?}");
        }
    }

    /// To read a state back from the topic opens file after file; one more than there are descriptors for would
    /// fail again and again.
    #[test]
    fn what_is_read_back_is_no_more_open_than_a_small_share_of_descriptors_permits() {
        let mut scene = Scene::new("past-share");
        for n in 0..10 {
            scene.write(&scene.name(&n.to_string()), 0..3);
        }
        scene.files.open_at_most(8);
        for past in scene.files.past().unwrap() {
            let handle = scene.files.track_past(&past).unwrap().unwrap();
            scene.files.settle_past(handle);
        }
        assert_eq!((scene.files.tracked().len(), scene.files.parked().count()), (4, 6));
    }
}
