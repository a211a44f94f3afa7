//! Room on a disk: how much there is, reserving it, and whether a directory takes a file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::check;

/// How full the file system of a path is, as `df` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// For who is not root, bytes.
    pub available_bytes: u64,
    pub used_percent: u8,
    /// 0 where the file system does not count them.
    pub inodes_used_percent: u8,
}

/// Asks statvfs.
pub fn disk_use(path: &Path) -> io::Result<DiskUse> {
    use std::os::unix::ffi::OsStrExt;
    let c_path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statvfs is a valid one, and the call writes to it and nowhere else.
    let stat = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        check(libc::statvfs(c_path.as_ptr(), &mut stat))?;
        stat
    };
    // The widths of these fields differ from system to system.
    #[allow(clippy::unnecessary_cast)]
    let (blocks, free, available) =
        (stat.f_blocks as u64, stat.f_bfree as u64, stat.f_bavail as u64);
    #[allow(clippy::unnecessary_cast)]
    let (inodes, inodes_free) = (stat.f_files as u64, stat.f_ffree as u64);
    let used = blocks.saturating_sub(free);
    Ok(DiskUse {
        available_bytes: available.saturating_mul(stat.f_frsize as u64),
        used_percent: percent(used, used.saturating_add(available)),
        inodes_used_percent: percent(inodes.saturating_sub(inodes_free), inodes),
    })
}

/// Rounded up, as `df` does.
fn percent(part: u64, whole: u64) -> u8 {
    if whole == 0 {
        return 0;
    }
    (u128::from(part) * 100).div_ceil(u128::from(whole)).min(100) as u8
}

/// Reserves `len` bytes on the disk, so that writing there cannot fail for want of space.
/// Where the file system cannot, zeros are written.
pub fn preallocate(file: &File, len: u64) -> io::Result<()> {
    // SAFETY: fallocate on a descriptor that `file` keeps open.
    match check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len as libc::off_t) }) {
        Err(e)
            if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) =>
        {
            write_zeros(file, len)
        }
        other => other,
    }
}

fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let zeros = [0u8; 4096];
    let mut at = file.metadata()?.len();
    while at < len {
        let part = zeros.len().min((len - at) as usize);
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

/// Flume tries at the start whether it may create and delete in the spool directory, since it
/// will have to rename there.
pub fn canary(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".flume-spooldir-perm-check-{}.canary", std::process::id()));
    let tried = std::fs::write(&path, b"canary").and_then(|()| std::fs::read(&path));
    // A full disk takes the name and not the bytes.
    match std::fs::remove_file(&path) {
        Err(e) if tried.is_ok() => Err(e),
        _ => tried.map(drop),
    }
}
