//! Finished files of a source that changes nothing in the spool directory (`trackingPolicy = tracker_dir`): an
//! empty file in the tracker directory, with the name that the file would have got, says that it is done.
//!
//! To this agent a receipt says it. The marker is for Flume, should somebody go back to it, and where
//! there is no receipt it is Flume's: then the file of that name is left alone, as Flume leaves it.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::root::below;
use super::{Files, READER};
use crate::checkpoint::receipt;
use crate::config::model::SourceConfig;
use crate::log;

/// See the [module](self).
pub(super) struct Marks {
    dir: PathBuf,
    suffix: OsString,
}

impl Marks {
    /// `None`: finished files of this source are renamed or deleted.
    pub(super) fn of(config: &SourceConfig) -> Option<Marks> {
        let dir = config.tracker_dir.clone();
        let suffix = config.file_suffix.clone();
        config.kind.marks_done().then_some(Marks { dir, suffix })
    }

    fn path(&self, name: &OsStr) -> PathBuf {
        let mut path = self.dir.join(name).into_os_string();
        path.push(&self.suffix);
        path.into()
    }

    /// `false`: it was there.
    fn make(&self, path: &Path) -> io::Result<bool> {
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o640).open(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Names that are marked and have no receipt.
    pub(super) fn of_others(&self) -> HashSet<OsString> {
        let mut names = HashSet::new();
        let mut places = vec![OsString::new()];
        while let Some(place) = places.pop() {
            let dir = if place.is_empty() { self.dir.clone() } else { self.dir.join(&place) };
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let name = below(&place, &entry.file_name());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    places.push(name);
                } else if let Some(marked) = name.as_bytes().strip_suffix(self.suffix.as_bytes()) {
                    names.insert(OsString::from_vec(marked.to_vec()));
                }
            }
        }
        if !names.is_empty() {
            for receipt in receipt::read_all(&self.dir).into_iter().flatten().flatten() {
                names.remove(OsStr::from_bytes(&receipt.name));
            }
        }
        names
    }
}

impl Files {
    /// Marks a file as done, if it is not. Its receipt is on the disk.
    pub(super) fn mark(&self, name: &OsStr) {
        let Some(marks) = &self.marks else { return };
        let (path, marker) = (self.path(name), marks.path(name));
        match marks.make(&marker) {
            Ok(true) => log::info(
                READER,
                format_args!(
                    "Preparing to create tracker file for {} at {}",
                    path.display(),
                    marker.display()
                ),
            ),
            Ok(false) => {}
            Err(e) => log::warn(
                READER,
                format_args!(
                    "Cannot create {}: {e}. {} is done by its receipt; only Flume would not know.",
                    marker.display(),
                    path.display()
                ),
            ),
        }
    }
}
