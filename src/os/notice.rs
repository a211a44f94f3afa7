//! Notices of changes in directories (inotify).

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// Notices of changes in some directories: something in one was written, made, renamed or deleted.
pub struct Inotify {
    fd: OwnedFd,
    watches: Vec<Watch>,
    /// Nothing is known of what changed before.
    is_new: bool,
}

struct Watch {
    /// The kernel's number of it.
    number: i32,
    /// What the names in the directory are told with, and a slash; where it is empty, nothing.
    prefix: OsString,
    /// Device and inode of the directory.
    directory: (u64, u64),
    /// The directory was removed or unmounted: no notice will come any more.
    is_over: bool,
    /// All that changes in it is changed through this kernel.
    is_local: bool,
}

/// File systems of one machine, by the numbers of statfs(2): ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS.
const LOCAL: [u64; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010, 0x2fc1_2fc1];

impl Inotify {
    /// Fails where the kernel or a limit (`fs.inotify.max_user_instances`) does not permit it.
    pub fn new() -> io::Result<Inotify> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Inotify { fd, watches: Vec::new(), is_new: true })
    }

    /// Of one directory, whose names are told as they are.
    pub fn watch(dir: &Path) -> io::Result<Inotify> {
        let mut notices = Inotify::new()?;
        notices.add(dir, OsStr::new(""))?;
        Ok(notices)
    }

    /// Watches this directory too. Its names are told with `prefix` and a slash before them.
    pub fn add(&mut self, dir: &Path, prefix: &OsStr) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        // Before the watch is set: should the name lead elsewhere in between, that is found later.
        let stat = std::fs::metadata(dir)?;
        let changes = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO;
        let number = inotify::add_watch(&self.fd, dir, changes)?;
        let kind = rustix::fs::statfs(dir).map(|system| system.f_type as u64);
        let is_local = kind.is_ok_and(|kind| LOCAL.contains(&(kind & 0xffff_ffff)));
        let (prefix, directory) = (prefix.to_owned(), (stat.dev(), stat.ino()));
        // Two names of one directory are one watch.
        self.watches.retain(|watch| watch.number != number && watch.prefix != prefix);
        self.watches.push(Watch { number, prefix, directory, is_over: false, is_local });
        Ok(())
    }

    /// Do notices still come, and of the directory with this device and inode?
    pub fn is_of(&self, directory: (u64, u64)) -> bool {
        self.watches.iter().any(|watch| !watch.is_over && watch.directory == directory)
    }

    /// Does a notice tell of each write to a file by its name in one of the directories? Not what another
    /// machine writes.
    pub fn tells_all(&self) -> bool {
        !self.watches.is_empty() && self.watches.iter().all(|w| w.is_local && !w.is_over)
    }

    pub fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Reads the notices and tells the names that they are of. What has changed is looked up in
    /// the files themselves, so that a lost notice costs a little time and nothing else. Returns whether
    /// there may have been others, lost or before the first call.
    pub fn drain(&mut self, changed: &mut dyn FnMut(&OsStr)) -> bool {
        let mut are_lost = std::mem::take(&mut self.is_new);
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut notices = inotify::Reader::new(&self.fd, &mut buffer);
        while let Ok(notice) = notices.next() {
            are_lost |= notice.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let number = notice.wd();
            let Some(watch) = self.watches.iter_mut().find(|w| w.number == number) else {
                continue;
            };
            watch.is_over |= notice.events().intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT);
            // One of the directory itself has no name.
            let Some(name) = notice.file_name() else { continue };
            let name = OsStr::from_bytes(name.to_bytes());
            if watch.prefix.is_empty() {
                changed(name);
            } else {
                let mut below = watch.prefix.clone();
                below.push("/");
                below.push(name);
                changed(&below);
            }
        }
        are_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn names_are_told_and_that_the_directory_itself_is_gone() {
        let dir = std::env::temp_dir().join(format!("flume-ng-notices-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let stat = dir.metadata().unwrap();
        let directory = (stat.dev(), stat.ino());
        let mut notices = Inotify::watch(&dir).unwrap();
        let mut is_any_missed = || notices.drain(&mut |_| {});
        assert_eq!([is_any_missed(), is_any_missed()], [true, false], "what was before is unknown");
        let names = ["a", "of sixteen bytes", "中"];
        for name in names {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let told = |notices: &mut Inotify| {
            let mut told = Vec::new();
            notices.drain(&mut |name| told.push(name.to_os_string()));
            told
        };
        assert_eq!(told(&mut notices), names);
        assert!(notices.is_of(directory));
        std::fs::remove_dir_all(&dir).unwrap();
        let mut removed = told(&mut notices);
        removed.sort();
        assert_eq!(removed, names, "and none of the directory, which has no name");
        assert!(!notices.is_of(directory));
    }
}
