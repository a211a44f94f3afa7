//! The directory that the files of a source live in, and all that is asked of it. A file is known by its
//! directory and the name below it, beside its identity.
//!
//! One implementation, on this machine. Absolute names lead out of it: to the tracker directory, where
//! what is to be deleted waits.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::reach::{self, Listing};
use crate::config::model::SourceConfig;
use crate::os;

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Root {
    dir: PathBuf,
    /// A symbolic link stands for what it points to; else it is no file.
    follows_links: bool,
}

impl Root {
    /// The directory is absolute. It need not be there yet.
    pub fn of(config: &SourceConfig) -> Root {
        Root { dir: config.spool_dir.clone(), follows_links: config.follows_links }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// For messages, and for what is handed on as a path.
    pub fn path(&self, name: &OsStr) -> PathBuf {
        self.dir.join(name)
    }

    /// Its entries; any of them may be an error.
    pub fn list(&self) -> io::Result<Listing> {
        reach::list(&self.dir)
    }

    /// Opens a file for reading, without ever waiting; what is no regular file is an error.
    pub fn open(&self, name: &OsStr) -> io::Result<File> {
        let open = if self.follows_links { reach::open } else { reach::open_no_link };
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

    /// Of the directory.
    pub fn stat_dir(&self) -> io::Result<Metadata> {
        reach::metadata(&self.dir)
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

    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        os::sync_directory(&self.dir)
    }

    /// May this process change names in it, by its rights?
    pub fn may_write(&self) -> bool {
        os::may_write(&self.dir)
    }
}
