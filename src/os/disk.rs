//! Room on a disk: how much there is, reserving it, and whether a directory takes a file.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// How full the file system of a path is, as `df` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// For users other than root, bytes.
    pub available_bytes: u64,
    pub used_percent: u8,
    /// 0 where the file system does not count them.
    pub inodes_used_percent: u8,
}

/// Asks statvfs.
pub fn disk_use(path: &Path) -> io::Result<DiskUse> {
    let stat = rustix::fs::statvfs(path)?;
    let (blocks, free, available) = (stat.f_blocks, stat.f_bfree, stat.f_bavail);
    let (inodes, inodes_free) = (stat.f_files, stat.f_ffree);
    let used = blocks.saturating_sub(free);
    Ok(DiskUse {
        available_bytes: available.saturating_mul(stat.f_frsize),
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
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, len),
        result => Ok(result?),
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
    let (path, file) = super::make_unforeseen(dir, ".flume-spooldir-perm-check-", ".canary")?;
    let tried = (&file).write_all(b"canary");
    // A full disk takes the name and not the bytes.
    match std::fs::remove_file(&path) {
        Err(e) if tried.is_ok() => Err(e),
        _ => tried,
    }
}

/// Is it room that is missing? A file is renamed all the same.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A name that could be guessed would be there already: as a link to a file of somebody else, or as a
    /// pipe that nobody reads.
    #[test]
    fn a_canary_meets_nothing_that_was_planted_for_it() {
        let dir = std::env::temp_dir().join(format!("flume-ng-canary-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        let victim = dir.join("victim");
        std::fs::write(&victim, "keep").unwrap();
        let own = format!(".flume-spooldir-perm-check-{}.canary", std::process::id());
        symlink(&victim, dir.join(&own)).unwrap();
        canary(&dir).unwrap();
        std::fs::remove_file(dir.join(&own)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.join(&own)).status().unwrap();
        assert!(made.success());
        canary(&dir).unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"keep");
        // Its own are gone again.
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
