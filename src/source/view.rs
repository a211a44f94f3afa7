//! What the rooms above see of the files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use super::absent::Absents;
use super::scan::Candidate;
use super::tracked::Tracked;
use super::window::Window;
use super::{Files, Handle};
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::FileRecord;
use crate::checkpoint::spool_lock::SpoolLock;

/// What has changed in the records of files otherwise than by being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Nothing,
    /// What tells them: names, numbers, directories, states.
    Facts,
    /// A position as well.
    Positions,
}

impl Files {
    /// In so many bytes of receipts numbers say nothing.
    pub fn receipts_void(&self) -> u64 {
        self.known.void_bytes()
    }

    /// Where the names in the records are told from, as these say it.
    pub fn names_from(&self) -> &[u8] {
        self.config.names_from().map_or(&[][..], |dir| dir.as_os_str().as_bytes())
    }

    /// What has changed since the last call.
    pub fn take_news(&mut self) -> News {
        match (std::mem::take(&mut self.has_moved), std::mem::take(&mut self.has_news)) {
            (true, _) => News::Positions,
            (false, true) => News::Facts,
            (false, false) => News::Nothing,
        }
    }

    /// The records of all files that are not done.
    pub fn records(&self) -> impl Iterator<Item = &FileRecord> {
        let open = self.tracked.iter().map(|t| &t.record);
        open.chain(self.parking.records()).chain(self.quests.records()).chain(self.absent.records())
    }

    /// The records of files that gave their descriptors away.
    pub fn parked(&self) -> impl Iterator<Item = &FileRecord> {
        self.parking.records()
    }

    /// Names that are read or wait to be, by the last listing.
    pub fn candidates(&self) -> &[Candidate] {
        self.scanner.candidates()
    }

    /// Device and inode of the spool directory at the last listing; of a source with several that are
    /// configured, none.
    pub fn directory(&self) -> Option<(u64, u64)> {
        let mut places = self.scanner.directories();
        let (_, first) = places.next()?;
        if self.root.places().len() > 1 { None } else { first }
    }

    /// See [`super::root`].
    pub fn places(&self) -> impl Iterator<Item = &OsStr> {
        self.scanner.places()
    }

    /// The path of a place.
    pub fn place(&self, place: &OsStr) -> PathBuf {
        self.root.place(place)
    }

    /// The places of its files, and device and inode of each at the last listing.
    pub fn directories(&self) -> impl Iterator<Item = (&OsStr, Option<(u64, u64)>)> {
        self.scanner.directories()
    }

    /// The locks of the directories below that of a recursive source.
    pub(crate) fn locks(&self) -> impl Iterator<Item = &Rc<SpoolLock>> {
        self.scanner.locks()
    }

    pub fn next_file_id(&self) -> u64 {
        self.next_file_id
    }

    pub fn path(&self, name: &OsStr) -> PathBuf {
        self.root.path(name)
    }

    /// The record of a file that is open or waited for.
    pub fn record(&self, id: u64) -> Option<&FileRecord> {
        let tracked = self.handle_of(id).map(|at| &self.tracked[at].record);
        tracked.or_else(|| self.absent.find(id).map(|absent| &absent.record))
    }

    /// The same, to be changed.
    pub fn record_mut(&mut self, id: u64) -> Option<&mut FileRecord> {
        match self.handle_of(id) {
            Some(at) => Some(&mut self.tracked[at].record),
            None => self.absent.record_mut(id),
        }
    }

    /// Nothing that was sent to that channel is of any file: another one has its number.
    pub(crate) fn forget_ranges(&mut self, channel: u16) {
        let open = self.tracked.iter_mut().map(|t| &mut t.record);
        let others = self.parking.records_mut().chain(self.quests.records_mut());
        let all = open.chain(others).chain(self.absent.records_mut());
        all.for_each(|record| record.ranges.retain(|range| range.channel != channel));
    }

    pub fn handle_of(&self, id: u64) -> Option<Handle> {
        self.tracked.of_id(id)
    }

    /// All that are open.
    pub fn tracked(&self) -> impl ExactSizeIterator<Item = &Tracked> {
        self.tracked.iter()
    }

    /// How many files are open of which nothing was left to read at the last look, and which is in the topic.
    pub fn read_to_the_end(&self) -> usize {
        self.tracked.iter().filter(|t| t.exhausted_at.is_some() && !t.has_uncommitted()).count()
    }

    /// An open file.
    pub fn at(&self, handle: Handle) -> &Tracked {
        &self.tracked[handle]
    }

    /// The same, to be changed.
    pub fn at_mut(&mut self, handle: Handle) -> &mut Tracked {
        &mut self.tracked[handle]
    }

    /// The same, with the window through which files are read.
    pub fn to_read(&mut self, handle: Handle) -> (&mut Window, &mut Tracked) {
        (&mut self.window, &mut self.tracked[handle])
    }

    /// The records of files that are not open: waited for, or gone.
    pub fn absent(&self) -> &Absents {
        &self.absent
    }

    /// One of them has its receipt, or needs none.
    pub fn forget_absent(&mut self, id: u64) {
        self.absent.remove(id);
    }

    /// Files that go on from a receipt since the last call, by their ids: its ranges are theirs.
    pub fn take_resumed(&mut self) -> Vec<(u64, Receipt)> {
        std::mem::take(&mut self.resumed)
    }
}
