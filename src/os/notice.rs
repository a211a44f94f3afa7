//! Notices of changes in a directory (inotify).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use super::check;

/// Notices of changes in one directory: something in it was written, made, renamed or deleted.
pub struct Inotify {
    file: File,
    /// Device and inode of the directory.
    directory: (u64, u64),
    /// The directory was removed or unmounted: no notice will come any more.
    is_over: bool,
}

/// Masks and names in a buffer of inotify events (inotify(7)): wd i32, mask u32, cookie u32, length
/// u32, and the name, filled up with zeros to that length.
fn each_event(events: &[u8], tell: &mut dyn FnMut(u32, &OsStr)) {
    use std::os::unix::ffi::OsStrExt;
    let mut rest = events;
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let mask = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
        let length = u32::from_ne_bytes([header[12], header[13], header[14], header[15]]) as usize;
        let Some((name, next)) = behind.split_at_checked(length) else { return };
        let end = name.iter().position(|b| *b == 0).unwrap_or(length);
        tell(mask, OsStr::from_bytes(&name[..end]));
        rest = next;
    }
}

impl Inotify {
    /// Fails where the kernel or a limit (`fs.inotify.max_user_instances`) does not permit it.
    pub fn watch(dir: &Path) -> io::Result<Inotify> {
        use std::os::fd::FromRawFd;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::MetadataExt;
        let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
        // Before the watch is set: should the name lead elsewhere in between, that is found later.
        let stat = std::fs::metadata(dir)?;
        // SAFETY: inotify_init1 returns a fresh descriptor or -1, which is checked before it is
        // given to the File that owns it from then on.
        let file = unsafe {
            let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            check(fd)?;
            File::from_raw_fd(fd)
        };
        let changes = libc::IN_MODIFY
            | libc::IN_CREATE
            | libc::IN_DELETE
            | libc::IN_MOVED_FROM
            | libc::IN_MOVED_TO;
        // SAFETY: the path is NUL-terminated and outlives the call.
        check(unsafe { libc::inotify_add_watch(file.as_raw_fd(), path.as_ptr(), changes) })?;
        Ok(Inotify { file, directory: (stat.dev(), stat.ino()), is_over: false })
    }

    /// Do notices still come, and of the directory with this device and inode?
    pub fn is_of(&self, directory: (u64, u64)) -> bool {
        !self.is_over && self.directory == directory
    }

    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Reads the notices and tells the names that they are of. What has changed is looked up in
    /// the files themselves, so that a lost notice costs a little time and nothing else.
    pub fn drain(&mut self, changed: &mut dyn FnMut(&OsStr)) {
        use std::io::Read;
        let mut buffer = [0u8; 16 * 1024];
        while let Ok(len @ 1..) = self.file.read(&mut buffer) {
            each_event(&buffer[..len], &mut |mask, name| {
                self.is_over |= mask & (libc::IN_IGNORED | libc::IN_UNMOUNT) != 0;
                if !name.is_empty() {
                    changed(name);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &[u8], filled_to: u32) -> Vec<u8> {
        let mut bytes = [1i32.to_ne_bytes(), 2i32.to_ne_bytes(), [0; 4]].concat();
        bytes.extend(filled_to.to_ne_bytes());
        bytes.extend(name);
        bytes.resize(16 + filled_to as usize, 0);
        bytes
    }

    fn names(events: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        each_event(events, &mut |mask, name| {
            assert_eq!(mask, 2);
            names.push(name.to_string_lossy().into_owned());
        });
        names
    }

    #[test]
    fn names_of_notices_are_told_also_behind_one_of_the_directory_itself() {
        let events = [event(b"a", 16), event(b"", 0), event(b"0123456789abcdef", 32)].concat();
        assert_eq!(names(&events), ["a", "", "0123456789abcdef"]);
    }

    #[test]
    fn a_notice_cut_short_or_of_an_impossible_length_ends_the_list() {
        let whole = [event(b"a", 16), event(b"b", 16)].concat();
        for len in 0..whole.len() {
            let told = usize::from(len >= 32);
            assert_eq!(names(&whole[..len]).len(), told, "{len} bytes");
        }
        let mut endless = event(b"a", 16);
        endless[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(names(&endless), [""; 0]);
    }
}
