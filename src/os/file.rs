//! Names and locks of files, who writes to them, and where their holes are.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Access, CWD, RenameFlags, SeekFrom, access, renameat_with, seek};
use rustix::io::Errno;

use super::check;

/// Makes the names in a directory durable (a rename or a new file is lost by a power cut before).
pub fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Device and inode, by which a file is told from all others that are there with it.
pub fn identity(stat: &Metadata) -> (u64, u64) {
    (stat.dev(), stat.ino())
}

/// Opens for reading what others write. Never waits, as the opening of a pipe does; takes regular files only.
/// `flags`: further ones of open(2).
pub fn open_regular(path: &Path, flags: i32) -> io::Result<File> {
    open_regular_asked(path, flags).map(|(file, _)| file)
}

/// The same, with what had to be asked of it for that.
pub fn open_regular_asked(path: &Path, flags: i32) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | flags).open(path)?;
    let stat = file.metadata()?;
    if stat.is_file() { Ok((file, stat)) } else { Err(io::Error::other("not a regular file")) }
}

/// Renames, but never over an existing name (`AlreadyExists`).
pub fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems without the flag (some network ones): look first. Nobody but us makes
        // completed names, and one agent holds the directory, so nothing slips in between.
        Err(Errno::INVAL | Errno::NOSYS) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            std::fs::rename(from, to)
        }
        result => Ok(result?),
    }
}

/// May this user write in a directory (or to a file)?
pub fn may_write(path: &Path) -> bool {
    try_access_to_write(path).is_ok()
}

/// The same, with the reason.
pub fn try_access_to_write(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::WRITE_OK)?)
}

/// Takes the exclusive lock of an open file, without waiting. `false`: another process has it.
/// The lock ends with the process, however it ends.
pub fn try_lock(file: &File) -> io::Result<bool> {
    taken(file.try_lock())
}

/// The same, shared with others who only look.
pub fn try_lock_shared(file: &File) -> io::Result<bool> {
    taken(file.try_lock_shared())
}

fn taken(result: Result<(), TryLockError>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Has any process the file open for writing? `None` where the system does not tell: to who neither
/// owns the file nor is root, and on network file systems.
pub fn is_open_for_writing(file: &File) -> Option<bool> {
    let set = |kind: libc::c_int| {
        // SAFETY: fcntl with a number, on a descriptor that `file` keeps open. A lease for reading
        // is refused while there is a writer. It is given back at once; one who opens the file for
        // writing meanwhile waits for that, and the signal that tells of him is ignored.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) })
    };
    match set(libc::F_RDLCK) {
        Ok(()) => set(libc::F_UNLCK).ok().map(|()| false),
        Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Some(true),
        Err(_) => None,
    }
}

/// The offset of the first hole from `offset` on: bytes that were never written. What is behind the
/// end of the file is one. `None`: `offset` is not in the file, or the file system cannot tell.
pub fn hole_from(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Hole(offset)) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The offset of the first byte from `offset` on that is in no hole; `offset` itself where the file
/// system cannot tell. `None`: there is none.
pub fn data_from(file: &File, offset: u64) -> io::Result<Option<u64>> {
    // This moves the offset of the descriptor, as above; every read says where it reads.
    match seek(file, SeekFrom::Data(offset)) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
        Err(e) => Err(e.into()),
    }
}
