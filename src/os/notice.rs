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
}

impl Inotify {
    /// Fails where the kernel or a limit (`fs.inotify.max_user_instances`) does not permit it.
    pub fn new() -> io::Result<Inotify> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Inotify { fd, watches: Vec::new() })
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
        let (prefix, directory) = (prefix.to_owned(), (stat.dev(), stat.ino()));
        // Two names of one directory are one watch.
        self.watches.retain(|watch| watch.number != number && watch.prefix != prefix);
        self.watches.push(Watch { number, prefix, directory, is_over: false });
        Ok(())
    }

    /// Do notices still come, and of the directory with this device and inode?
    pub fn is_of(&self, directory: (u64, u64)) -> bool {
        self.watches.iter().any(|watch| !watch.is_over && watch.directory == directory)
    }

    pub fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Reads the notices and tells the names that they are of. What has changed is looked up in
    /// the files themselves, so that a lost notice costs a little time and nothing else.
    pub fn drain(&mut self, changed: &mut dyn FnMut(&OsStr)) {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut notices = inotify::Reader::new(&self.fd, &mut buffer);
        while let Ok(notice) = notices.next() {
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
