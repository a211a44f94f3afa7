//! Files of our own, in directories that others may know the way to. Whoever may write in such a
//! directory can put a link, or a pipe, where one of our files is about to be: a program with more
//! rights than he has would write into what he points at, or wait for him.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Who may put files into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Custody {
    /// This user, or root, alone.
    Ours,
    /// Its owner is another user.
    Foreign { uid: u32 },
    /// Its mode lets others write in it.
    Shared { mode: u32 },
}

/// What stands in the place of a file of ours. It is inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Link,
    OtherName,
    NoFile,
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Planted::Link => "it is a symbolic link, which is not followed; remove it",
            Planted::OtherName => {
                "it has another name elsewhere (a hard link) and others may write in this directory; \
                 remove it"
            }
            Planted::NoFile => "it is not a regular file; remove it",
        })
    }
}

impl std::error::Error for Planted {}

impl From<Planted> for io::Error {
    fn from(planted: Planted) -> io::Error {
        io::Error::other(planted)
    }
}

/// Opens a file of ours as `options` say, which must not cut it off: what it is, is known once it is
/// open. Follows no link and never waits.
///
/// # Errors
/// Of the system; a link, a pipe, a device, a directory in its place; a file that has a second name,
/// if others may have given it that.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|e| match e.raw_os_error() {
        Some(libc::ELOOP) => Planted::Link.into(),
        // A pipe that nobody reads, a socket; a directory.
        Some(libc::ENXIO | libc::EISDIR) => Planted::NoFile.into(),
        _ => e,
    })?;
    let stat = file.metadata()?;
    if !stat.is_file() {
        return Err(Planted::NoFile.into());
    }
    // A backup of links to files (`cp -al`) is as good as any other where nobody else can make them.
    if stat.nlink() > 1 && custody(directory_of(path))? != Custody::Ours {
        return Err(Planted::OtherName.into());
    }
    Ok(file)
}

/// Opens a file of ours for reading; see [`open_own`].
pub fn read_own(path: &Path) -> io::Result<File> {
    open_own(path, OpenOptions::new().read(true))
}

/// Makes a file with these bytes; one that a crash has left under the name is removed before.
pub fn write_anew(path: &Path, bytes: &[u8]) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Makes a file in `dir` whose name cannot be guessed, with this beginning and end.
pub fn make_unforeseen(dir: &Path, begin: &str, end: &str) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    // Its keys are the system's random numbers.
    let random = std::hash::RandomState::new().build_hasher().finish();
    let path = dir.join(format!("{begin}{random:016x}{end}"));
    let file = options.open(&path)?;
    Ok((path, file))
}

/// Who may put files into `dir`, which is there?
///
/// # Errors
/// Of the system.
pub fn custody(dir: &Path) -> io::Result<Custody> {
    let stat = std::fs::metadata(dir)?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if let Some(custody) = judge(&stat, uid, gid) {
        return Ok(custody);
    }
    // A server may know this user under another number (root of an NFS client is nobody there): what
    // is made here tells it.
    let Ok((path, file)) = make_unforeseen(dir, ".flume-ng-", ".owner") else {
        return Ok(Custody::Foreign { uid: stat.uid() });
    };
    let made = file.metadata();
    std::fs::remove_file(path)?;
    Ok(match made?.uid() == stat.uid() {
        true => Custody::Ours,
        false => Custody::Foreign { uid: stat.uid() },
    })
}

/// `None`: its owner is neither this user nor root, by the numbers.
fn judge(stat: &Metadata, uid: u32, gid: u32) -> Option<Custody> {
    // The group of this user may be his own (`umask 002`), or those who look after the agent.
    let others = if stat.gid() == gid { 0o002 } else { 0o022 };
    if stat.mode() & others != 0 {
        return Some(Custody::Shared { mode: stat.mode() & 0o7777 });
    }
    (stat.uid() == uid || stat.uid() == 0).then_some(Custody::Ours)
}

/// The directory in which a name stands.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("flume-ng-own-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_planted_link_pipe_or_directory_is_no_file_of_ours() {
        let dir = scratch("planted");
        let victim = dir.join("victim");
        std::fs::write(&victim, "keep").unwrap();
        let at = dir.join("own");
        let refused = |want: Planted| {
            for options in [OpenOptions::new().read(true), OpenOptions::new().write(true)] {
                let error = open_own(&at, options).unwrap_err();
                assert_eq!(error.to_string(), want.to_string());
            }
        };
        symlink(&victim, &at).unwrap();
        refused(Planted::Link);
        std::fs::remove_file(&at).unwrap();
        symlink(dir.join("dangling"), &at).unwrap();
        let create = open_own(&at, OpenOptions::new().append(true).create(true));
        assert_eq!(create.unwrap_err().to_string(), Planted::Link.to_string());
        assert!(!dir.join("dangling").exists());
        std::fs::remove_file(&at).unwrap();
        // Neither for reading nor for writing does a pipe hold us up.
        let made = std::process::Command::new("mkfifo").arg(&at).status().unwrap();
        assert!(made.success());
        refused(Planted::NoFile);
        std::fs::remove_file(&at).unwrap();
        std::fs::hard_link(&victim, &at).unwrap();
        // Nobody else can have made it.
        assert!(read_own(&at).is_ok());
        set_mode(&dir, 0o777);
        refused(Planted::OtherName);
        std::fs::remove_file(&at).unwrap();
        symlink(&victim, &at).unwrap();
        write_anew(&at, b"new").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"keep");
        assert_eq!(std::fs::read(&at).unwrap(), b"new");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_not_ours() {
        let dir = scratch("custody");
        let stat = std::fs::metadata(&dir).unwrap();
        for (mode, want) in [
            (0o755, Custody::Ours),
            (0o775, Custody::Ours),
            (0o777, Custody::Shared { mode: 0o777 }),
            (0o1777, Custody::Shared { mode: 0o1777 }),
        ] {
            set_mode(&dir, mode);
            assert_eq!(custody(&dir).unwrap(), want, "{mode:o}");
        }
        set_mode(&dir, 0o775);
        let stat_775 = std::fs::metadata(&dir).unwrap();
        // Its group is not this user's own.
        let shared = Some(Custody::Shared { mode: 0o775 });
        assert_eq!(judge(&stat_775, stat.uid(), stat.gid() + 1), shared);
        set_mode(&dir, 0o700);
        let stat = std::fs::metadata(&dir).unwrap();
        assert_eq!(judge(&stat, stat.uid(), 0), Some(Custody::Ours));
        if stat.uid() != 0 {
            assert_eq!(judge(&stat, stat.uid() + 1, 0), None);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
