//! Where Flume's TAILDIR was: its positions taken up at the first start, and told on.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::begin::{Begin, FirstStart, Need};
use super::tracked::Tie;
use super::{Files, READER, reach, root};
use crate::checkpoint::flume_positions::FlumePosition;
use crate::checkpoint::record::{FileRecord, FileState};
use crate::config::model::FirstByte;
use crate::log;

impl Files {
    /// Begins at these positions, each in the file with its inode, whatever its name is now, and in files
    /// of which they say nothing where `first` says. At once, so that the first record of the checkpoint
    /// holds all of them.
    ///
    /// # Errors
    /// A directory or a name that cannot be asked now, where that decides where a file begins.
    pub fn take_over_positions(
        &mut self,
        positions: &[FlumePosition],
        first: FirstByte,
    ) -> io::Result<()> {
        let need = match (positions.is_empty(), first) {
            (false, _) => Need::All,
            (true, FirstByte::Beginning) => Need::Nothing,
            (true, _) => Need::WhatIsThere,
        };
        self.list_at_first(need)?;
        let mut by_inode: HashMap<u64, &FlumePosition> = HashMap::new();
        for position in positions {
            by_inode.entry(position.inode).or_insert(position);
        }
        for (name, inode) in self.scanner.unjudged().to_vec() {
            match by_inode.remove(&inode) {
                Some(position) => self.wait_at(&name, &name, inode, position.pos),
                None => self.refuse_to_guess(&name, first)?,
            }
        }
        let mut start = FirstStart::default();
        for candidate in self.scanner.candidates().to_vec() {
            let position = by_inode.get(&candidate.inode).map(|p| p.pos);
            let at = position.map_or(Begin::Where(first), Begin::At);
            self.begin(&candidate, at, &mut start);
        }
        let left = by_inode.into_values().filter(|p| !start.has_begun(p.inode)).collect();
        self.take_over_renamed(left, &mut start)
    }

    /// Positions of files that have other names by now, which no group takes: what stands behind them is read all
    /// the same, if one takes the name that they had.
    fn take_over_renamed(
        &mut self,
        left: Vec<&FlumePosition>,
        start: &mut FirstStart,
    ) -> io::Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        let census = self.take_census(&left.iter().map(|p| p.inode).collect());
        if let Some(why) = census.fault() {
            return Err(io::Error::other(why.to_owned()));
        }
        for position in left {
            let FlumePosition { inode, pos, file: path } = position;
            let Some(now) = census.names_of(*inode).next().map(OsStr::to_owned) else {
                log::info(READER, format_args!("Missing file: {path}, inode: {inode}, pos: {pos}"));
                continue;
            };
            let read_as = self.name_taken_over(path, &now);
            match self.begin_renamed(position, &read_as, &now, start) {
                Err(e) if !reach::is_no_file(&e) && !reach::is_nothing_there(&e) => {
                    self.wait_at(&read_as, &now, *inode, *pos);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_renamed(
        &mut self,
        position: &FlumePosition,
        read_as: &OsStr,
        now: &OsStr,
        start: &mut FirstStart,
    ) -> io::Result<()> {
        let FlumePosition { inode, pos, .. } = *position;
        let file = self.root.open(now)?;
        if file.metadata()?.len() <= pos {
            return Ok(());
        }
        let bytes_crc = start.crc_before(&file, pos)?;
        let tie = self.tie_of(false, read_as.as_bytes());
        match tie {
            Tie::Released => self.tell_left(read_as, now, pos),
            _ => self.tell_position("Updated position", now, inode, pos),
        }
        let handle = self.push_tracked(now.to_owned(), file, pos);
        let tracked = &mut self.tracked[handle];
        tracked.tie = tie;
        let record = &mut tracked.record;
        record.name = read_as.as_bytes().to_vec();
        (record.state, record.bytes_crc) = (FileState::Draining, bytes_crc);
        Ok(())
    }

    fn tell_left(&self, read_as: &OsStr, now: &OsStr, pos: u64) {
        let [file, was] = [now, read_as].map(|name| self.path(name));
        log::info(
            READER,
            format_args!(
                "{} is left at byte {pos}: no filegroup takes {}, the name under which Flume has read it.",
                file.display(),
                was.display()
            ),
        );
    }

    /// Under which name Flume has read a file that is `now` there: it says to which group it belongs. The path may
    /// lead through a directory that is called otherwise by now, and that is where the file is.
    fn name_taken_over(&self, path: &str, now: &OsStr) -> OsString {
        let path = std::path::absolute(path).unwrap_or_else(|_| self.path(now));
        let name = path.strip_prefix(self.root.dir()).unwrap_or(&path).as_os_str();
        let here = path.file_name().map(|leaf| root::below(root::split(now).0, leaf));
        let here = here.filter(|here| !self.accepts(name) && self.accepts(here));
        here.unwrap_or_else(|| name.to_owned())
    }

    pub(super) fn tell_position(&self, what: &str, name: &OsStr, inode: u64, pos: u64) {
        let file = self.path(name);
        let file = file.display();
        log::info(READER, format_args!("{what}, file: {file}, inode: {inode}, pos: {pos}"));
    }

    /// Inode, position and path of each file that has a name which is taken, in reading order as far as
    /// it is known. One that cannot be opened now has its position all the same.
    pub fn flume_positions(&self) -> Vec<(u64, u64, String)> {
        let open = self.tracked.iter().filter(|t| t.is_named() && !t.is_superseded());
        let waiting = self.absent.waiting().map(|absent| &absent.record);
        let closed = self.parked().chain(waiting).filter(|r| r.state == FileState::Live);
        self.told_as_flume(open.map(|t| &t.record).chain(closed))
    }

    /// The same of all that there are, whatever names they have: where each begins, at a first start.
    pub fn positions_taken_over(&self) -> Vec<(u64, u64, String)> {
        self.told_as_flume(self.records())
    }

    fn told_as_flume<'a>(
        &self,
        records: impl Iterator<Item = &'a FileRecord>,
    ) -> Vec<(u64, u64, String)> {
        let path = |name: &[u8]| self.path(OsStr::from_bytes(name)).to_string_lossy().into_owned();
        records.map(|r| (r.inode, r.position, path(&r.name))).collect()
    }
}
