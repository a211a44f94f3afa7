//! Names and locks of files, who writes to them, and where their holes are.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::check;

/// Makes the names in a directory durable (a rename or a new file is lost by a power cut before).
pub fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Renames, but never over an existing name (`AlreadyExists`).
pub fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let c_string = |path: &Path| {
        std::ffi::CString::new(path.as_os_str().as_bytes())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a file name with a NUL byte"))
    };
    let (c_from, c_to) = (c_string(from)?, c_string(to)?);
    // By its number: musl, for programs without shared libraries, has no function of that name.
    // SAFETY: both are NUL-terminated strings that outlive the call.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            c_from.as_ptr(),
            libc::AT_FDCWD,
            c_to.as_ptr(),
            libc::RENAME_NOREPLACE,
        ) as libc::c_int
    });
    match result {
        // File systems without the flag (some network ones): look first. Nobody but us makes
        // completed names, and one agent holds the directory, so nothing slips in between.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            std::fs::rename(from, to)
        }
        other => other,
    }
}

/// May this user write in a directory (or to a file)?
pub fn may_write(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(c_path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a NUL-terminated string that outlives the call.
    unsafe { libc::access(c_path.as_ptr(), libc::W_OK) == 0 }
}

/// Takes the exclusive lock of an open file, without waiting. `false`: another process has it.
/// The lock ends with the process, however it ends.
pub fn try_lock(file: &File) -> io::Result<bool> {
    flock(file, libc::LOCK_EX)
}

/// The same, shared with others who only look.
pub fn try_lock_shared(file: &File) -> io::Result<bool> {
    flock(file, libc::LOCK_SH)
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

fn flock(file: &File, kind: libc::c_int) -> io::Result<bool> {
    // SAFETY: flock on a descriptor that `file` keeps open.
    match check(unsafe { libc::flock(file.as_raw_fd(), kind | libc::LOCK_NB) }) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::EWOULDBLOCK) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The offset of the first hole from `offset` on: bytes that were never written. What is behind the
/// end of the file is one. `None`: `offset` is not in the file, or the file system cannot tell.
pub fn hole_from(file: &File, offset: u64) -> io::Result<Option<u64>> {
    seek(file, offset, libc::SEEK_HOLE)
}

/// The offset of the first byte from `offset` on that is in no hole; `offset` itself where the file
/// system cannot tell. `None`: there is none.
pub fn data_from(file: &File, offset: u64) -> io::Result<Option<u64>> {
    seek(file, offset, libc::SEEK_DATA)
}

fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<Option<u64>> {
    let at = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: lseek takes numbers only. It moves the offset of a descriptor that `file` keeps open
    // and of which every read says where it reads.
    let found = unsafe { libc::lseek(file.as_raw_fd(), at, whence) };
    if let Ok(found) = u64::try_from(found) {
        return Ok(Some(found));
    }
    let e = io::Error::last_os_error();
    match e.raw_os_error() {
        Some(libc::ENXIO) => Ok(None),
        Some(libc::EINVAL | libc::EOPNOTSUPP) if whence == libc::SEEK_HOLE => Ok(None),
        Some(libc::EINVAL | libc::EOPNOTSUPP) => Ok(Some(offset)),
        _ => Err(e),
    }
}
