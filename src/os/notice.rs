//! Notices of changes in a directory (inotify).

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// Notices of changes in one directory: something in it was written, made, renamed or deleted.
pub struct Inotify {
    fd: OwnedFd,
    /// Device and inode of the directory.
    directory: (u64, u64),
    /// The directory was removed or unmounted: no notice will come any more.
    is_over: bool,
}

impl Inotify {
    /// Fails where the kernel or a limit (`fs.inotify.max_user_instances`) does not permit it.
    pub fn watch(dir: &Path) -> io::Result<Inotify> {
        use std::os::unix::fs::MetadataExt;
        // Before the watch is set: should the name lead elsewhere in between, that is found later.
        let stat = std::fs::metadata(dir)?;
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let changes = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, dir, changes)?;
        Ok(Inotify { fd, directory: (stat.dev(), stat.ino()), is_over: false })
    }

    /// Do notices still come, and of the directory with this device and inode?
    pub fn is_of(&self, directory: (u64, u64)) -> bool {
        !self.is_over && self.directory == directory
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
            self.is_over |= notice.events().intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT);
            // One of the directory itself has no name.
            if let Some(name) = notice.file_name() {
                changed(OsStr::from_bytes(name.to_bytes()));
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
