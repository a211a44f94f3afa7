//! The calls on names of files: opening, asking, listing. They are the source's only ones, so that
//! a test can let any of them fail as a disk, a mount or a table of descriptors does.

use std::cell::RefCell;
use std::fs::{DirEntry, File, Metadata, ReadDir};
use std::io;
use std::path::Path;

use crate::os;

/// What a call on a path fails with, if it is to fail.
pub type Mishap = Box<dyn FnMut(&Path) -> Option<io::Error>>;

thread_local! {
    static MISHAP: RefCell<Option<Mishap>> = const { RefCell::new(None) };
}

/// From now on each call of this thread asks `mishap` first; for tests.
pub fn set_mishap(mishap: Option<Mishap>) {
    MISHAP.with(|m| *m.borrow_mut() = mishap);
}

fn ask(path: &Path) -> io::Result<()> {
    let error = MISHAP.with(|m| m.borrow_mut().as_mut().and_then(|mishap| mishap(path)));
    error.map_or(Ok(()), Err)
}

/// Opens a file for reading. Never waits, even if the name has become a pipe meanwhile.
pub fn open(path: &Path) -> io::Result<File> {
    open_asked(path).map(|(file, _)| file)
}

/// The same with what the kernel says of it, which is asked to tell that it is a file.
pub fn open_asked(path: &Path) -> io::Result<(File, Metadata)> {
    open_with(path, 0)
}

/// The same, unless it is a symbolic link (ELOOP).
pub fn open_asked_no_link(path: &Path) -> io::Result<(File, Metadata)> {
    open_with(path, libc::O_NOFOLLOW)
}

fn open_with(path: &Path, flags: i32) -> io::Result<(File, Metadata)> {
    ask(path)?;
    os::open_regular_asked(path, flags)
}

/// Opens a directory, to be synced.
pub fn open_directory(path: &Path) -> io::Result<File> {
    ask(path)?;
    File::open(path)
}

/// Follows symbolic links.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    ask(path)?;
    std::fs::metadata(path)
}

/// Of a symbolic link, the link itself.
pub fn link_metadata(path: &Path) -> io::Result<Metadata> {
    ask(path)?;
    std::fs::symlink_metadata(path)
}

/// The entries of a directory; any of them may be an error.
pub fn list(dir: &Path) -> io::Result<Listing> {
    ask(dir)?;
    Ok(Listing { entries: std::fs::read_dir(dir)?, dir: dir.to_owned() })
}

/// See [`list`].
pub struct Listing {
    entries: ReadDir,
    dir: std::path::PathBuf,
}

impl Iterator for Listing {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        let entry = self.entries.next()?;
        Some(ask(&self.dir).and(entry))
    }
}

/// Does the error say that there is nothing of that name, and nothing else? `ENOTDIR` is no such
/// answer: a directory on the way is something else now.
pub fn is_nothing_there(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::ENOENT)
}

/// Does the error say that something other than a regular file is there?
pub fn is_no_file(e: &io::Error) -> bool {
    e.raw_os_error().is_none() || matches!(e.raw_os_error(), Some(libc::ENXIO | libc::ENODEV))
}
