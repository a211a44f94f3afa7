//! What becomes of a checkpoint that cannot be read: nothing of it is ever overwritten.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::slots::FILE_NAME;
use crate::os;

/// Moves the checkpoint of the tracker directory `dir` out of the way, durably, to
/// `checkpoint.bad-<now_ms>` (Unix time, ms; later where that name is taken). Returns the new path.
pub fn keep_aside(dir: &Path, now_ms: i64) -> io::Result<PathBuf> {
    let aside = free_name(dir, now_ms)?;
    // Nobody else makes files here: the lock is ours.
    std::fs::rename(dir.join(FILE_NAME), &aside)?;
    os::sync_directory(dir)?;
    Ok(aside)
}

/// The same, but the checkpoint keeps its name as well until another one takes its place; not where the
/// file system has no second names. A second name that it has is not made once more.
pub fn keep_also(dir: &Path, now_ms: i64) -> io::Result<PathBuf> {
    let path = dir.join(FILE_NAME);
    let inode = |path: &Path| std::fs::metadata(path).map(|stat| (stat.dev(), stat.ino()));
    let own = inode(&path)?;
    let beginning = format!("{FILE_NAME}.bad-");
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_aside = entry.file_name().as_bytes().starts_with(beginning.as_bytes());
        if is_aside && inode(&entry.path()).is_ok_and(|other| other == own) {
            return Ok(entry.path());
        }
    }
    let aside = free_name(dir, now_ms)?;
    if std::fs::hard_link(&path, &aside).is_err() {
        return keep_aside(dir, now_ms);
    }
    os::sync_directory(dir)?;
    Ok(aside)
}

fn free_name(dir: &Path, now_ms: i64) -> io::Result<PathBuf> {
    let mut stamp = now_ms;
    loop {
        let aside = dir.join(format!("{FILE_NAME}.bad-{stamp}"));
        match aside.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(aside),
            Err(e) => return Err(e),
            Ok(_) => stamp += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::scratch::Scratch;

    #[test]
    fn a_bad_checkpoint_that_stays_until_another_takes_its_place_is_kept_once() {
        let scratch = Scratch::new("kept-also");
        let dir = &scratch.dir;
        std::fs::write(dir.join(FILE_NAME), "bad").unwrap();
        let aside = keep_also(dir, 17).unwrap();
        assert_eq!(keep_also(dir, 18).unwrap(), aside);
        assert_eq!(std::fs::read(dir.join(FILE_NAME)).unwrap(), b"bad");
        std::fs::write(dir.join("new"), "good").unwrap();
        std::fs::rename(dir.join("new"), dir.join(FILE_NAME)).unwrap();
        assert_eq!(std::fs::read(&aside).unwrap(), b"bad");
        assert_ne!(keep_also(dir, 17).unwrap(), aside);
    }
}
