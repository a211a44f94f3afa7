//! Files and directories that no group of a source takes any more, since its configuration is another one. What was
//! announced of such a file is brought to its end, and no more is read; its directory is listed for what the
//! records tell of, and for nothing else.

use std::ffi::{OsStr, OsString};

use super::Files;
use super::directories::place_of;
use super::policy::Names;
use crate::checkpoint::record::FileRecord;

impl Files {
    /// Is what was read under this name still to be read? Where there are groups, one may have gone with the
    /// configuration before.
    pub(super) fn takes_still(&self, name: &OsStr) -> bool {
        match self.policy.names {
            Names::Grouped(_) => self.accepts(name),
            Names::Matched { .. } => true,
        }
    }

    /// The configuration may have lost directories since these records were written.
    pub(super) fn note_places_left(&mut self, records: &[FileRecord]) {
        if !matches!(self.policy.names, Names::Grouped(_)) {
            return;
        }
        let mut places: Vec<OsString> =
            records.iter().map(|record| place_of(record).to_owned()).collect();
        places.sort_unstable();
        places.dedup();
        places.retain(|place| !self.scanner.places().any(|p| p == place));
        self.places_left = places;
    }

    /// Is that a directory that no group has any more?
    pub(super) fn is_place_left(&self, place: &OsStr) -> bool {
        self.places_left.iter().any(|left| left == place)
    }
}
