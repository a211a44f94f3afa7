//! The directory that the files of a source live in, and all that is asked of it. A file is known by its
//! directory and the name below it, beside its identity.
//!
//! Files may live in several directories. They are *places* of one root, the directory that all of them
//! have in common, and a name leads from the root through its place to the file: `web/access.log`. So a
//! file that moves from one place to another is one that was renamed.
//!
//! One implementation, on this machine. Absolute names lead out of it: to the tracker directory, where
//! what is to be deleted waits.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use super::reach;
use crate::config::model::SourceConfig;
use crate::os;

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Root {
    dir: PathBuf,
    /// Where its files are, below `dir`. The empty name is `dir` itself.
    places: Vec<OsString>,
    /// A symbolic link stands for what it points to; otherwise it is not a file.
    follows_links: bool,
}

/// What a listing tells of a name.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Below the root.
    pub name: OsString,
    pub inode: u64,
    /// Itself, and not what a link leads to.
    pub is_directory: bool,
}

impl Root {
    /// The directory is absolute. It need not be there yet.
    pub fn of(config: &SourceConfig) -> Root {
        Root {
            dir: config.spool_dir.clone(),
            places: config.places(),
            follows_links: config.follows_links,
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// For messages, and for what is handed on as a path.
    pub fn path(&self, name: &OsStr) -> PathBuf {
        self.dir.join(name)
    }

    /// Where its files are, below the directory; one at least. The empty name is the directory itself.
    pub fn places(&self) -> &[OsString] {
        &self.places
    }

    /// The entries of one place; any of them may be an error.
    pub fn list(
        &self,
        place: &OsStr,
    ) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        let listing = reach::list(&self.place(place))?;
        let place = place.to_owned();
        Ok(listing.map(move |entry| {
            let entry = entry?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            Ok(Entry { name: below(&place, &entry.file_name()), inode: entry.ino(), is_directory })
        }))
    }

    /// The path of a place.
    pub fn place(&self, place: &OsStr) -> PathBuf {
        // Joining the empty name would put a slash behind it.
        if place.is_empty() { self.dir.clone() } else { self.dir.join(place) }
    }

    /// Opens a file for reading, without ever waiting; anything but a regular file is an error.
    pub fn open(&self, name: &OsStr) -> io::Result<File> {
        self.open_asked(name).map(|(file, _)| file)
    }

    /// The same with what the kernel says of it.
    pub fn open_asked(&self, name: &OsStr) -> io::Result<(File, Metadata)> {
        let open = if self.follows_links { reach::open_asked } else { reach::open_asked_no_link };
        open(&self.path(name))
    }

    /// Of what stands under the name; of a link that is not followed, the link.
    pub fn stat(&self, name: &OsStr) -> io::Result<Metadata> {
        let stat = if self.follows_links { reach::metadata } else { reach::link_metadata };
        stat(&self.path(name))
    }

    /// Of the link itself, if it is one.
    pub fn stat_link(&self, name: &OsStr) -> io::Result<Metadata> {
        self.path(name).symlink_metadata()
    }

    /// Of a place.
    pub fn stat_place(&self, place: &OsStr) -> io::Result<Metadata> {
        reach::metadata(&self.place(place))
    }

    /// Gives a file another name, if that is free.
    ///
    /// # Errors
    /// `AlreadyExists` where it is not.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        os::rename_no_replace(&self.path(from), &self.path(to))
    }

    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    /// Makes the names in a place durable.
    pub fn sync(&self, place: &OsStr) -> io::Result<()> {
        os::sync_directory(&self.place(place))
    }

    /// May this process change names in it, by its rights?
    pub fn may_write(&self) -> bool {
        os::may_write(&self.dir)
    }
}

/// The name of what stands in a place.
pub fn below(place: &OsStr, leaf: &OsStr) -> OsString {
    if place.is_empty() {
        return leaf.to_owned();
    }
    let mut name = OsString::with_capacity(place.len() + 1 + leaf.len());
    name.push(place);
    name.push("/");
    name.push(leaf);
    name
}

/// The place of a name, and the last part of it.
pub fn split(name: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = name.as_bytes();
    match memchr::memrchr(b'/', bytes) {
        Some(at) => (OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..])),
        None => (OsStr::new(""), name),
    }
}

/// Does the name lead out of the root?
pub fn is_outside(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"/")
}
