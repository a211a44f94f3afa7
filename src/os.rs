//! What the standard library does not offer of the operating system: signals, waiting on several
//! descriptors, locks, durable directories. Each wrapper is small and says why it is sound; the
//! rest of the program has no `unsafe`.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

/// The signal that asked the agent to stop, 0 for none.
static STOP_SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Write end of the pipe that ends a wait when a signal comes; -1 before [`install_signals`].
static WAKE_WRITE: AtomicI32 = AtomicI32::new(-1);
static WAKE_READ: AtomicI32 = AtomicI32::new(-1);
/// The last words of [`arm_last_words`], written by the alarm's handler.
static LAST_WORDS: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static LAST_WORDS_LEN: AtomicUsize = AtomicUsize::new(0);

/// Longest time between a request to stop and the end of the process while a call that can not
/// be cut short (the wire before 0.11) is under way.
const STOP_GRACE_US: i32 = 800_000;

/// Has the agent been asked to stop? The number of the signal.
pub fn stop_requested() -> Option<i32> {
    match STOP_SIGNAL.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

fn wake() {
    let fd = WAKE_WRITE.load(Ordering::Relaxed);
    if fd >= 0 {
        // SAFETY: write(2) is async-signal-safe and the byte outlives the call. A full pipe
        // (EAGAIN) is as good as a written byte: the waiter wakes.
        unsafe { libc::write(fd, [0u8].as_ptr().cast(), 1) };
    }
}

extern "C" fn on_stop_signal(signal: libc::c_int) {
    STOP_SIGNAL.store(signal, Ordering::Relaxed);
    wake();
    if !LAST_WORDS.load(Ordering::Acquire).is_null() {
        start_alarm();
    }
}

/// Starts the timer that ends a blocked call's process. Async-signal-safe.
fn start_alarm() {
    let timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: STOP_GRACE_US.into() },
    };
    // SAFETY: setitimer reads `timer` only.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

/// Ends a process whose broker does not answer. Everything that must survive is in the fsynced
/// checkpoint already: the batch that is under way was announced there before it was sent.
extern "C" fn on_alarm(_: libc::c_int) {
    let words = LAST_WORDS.load(Ordering::Acquire);
    if words.is_null() {
        return;
    }
    // SAFETY: write and _exit are async-signal-safe; pointer and length belong to a leaked
    // buffer, published with Release before the blocking call began.
    unsafe {
        libc::write(2, words.cast(), LAST_WORDS_LEN.load(Ordering::Relaxed));
        libc::_exit(0);
    }
}

/// Guards a call that can not be cut short: while the guard lives, a request to stop ends the
/// process with exit code 0 after 0.8 s, with `words` on stderr.
pub fn arm_last_words(words: String) -> LastWords {
    let bytes = words.into_bytes().into_boxed_slice();
    LAST_WORDS_LEN.store(bytes.len(), Ordering::Relaxed);
    LAST_WORDS.store(Box::into_raw(bytes).cast(), Ordering::Release);
    if stop_requested().is_some() {
        start_alarm();
    }
    LastWords(())
}

/// See [`arm_last_words`]; dropping it takes the guard away.
pub struct LastWords(());

impl Drop for LastWords {
    fn drop(&mut self) {
        let words = LAST_WORDS.swap(std::ptr::null_mut(), Ordering::AcqRel);
        let len = LAST_WORDS_LEN.load(Ordering::Relaxed);
        if !words.is_null() {
            // SAFETY: made by Box::into_raw of a boxed slice of this length in arm_last_words,
            // and swapped out, so nobody else frees it. The handler runs on this thread only and
            // does not return once it has taken the pointer.
            drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(words, len)) });
        }
    }
}

/// Catches TERM, INT and HUP (HUP not if it was inherited as ignored, as under nohup), and
/// ignores PIPE and IO.
pub fn install_signals() -> io::Result<()> {
    let mut fds = [0; 2];
    // SAFETY: pipe2 writes two descriptors into the array.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    WAKE_READ.store(fds[0], Ordering::Relaxed);
    WAKE_WRITE.store(fds[1], Ordering::Relaxed);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        set_handler(signal, on_stop_signal as *const () as usize)?;
    }
    if !is_ignored(libc::SIGHUP)? {
        set_handler(libc::SIGHUP, on_stop_signal as *const () as usize)?;
    }
    set_handler(libc::SIGALRM, on_alarm as *const () as usize)?;
    // See `is_open_for_writing`.
    set_handler(libc::SIGIO, libc::SIG_IGN)?;
    set_handler(libc::SIGPIPE, libc::SIG_IGN)
}

fn set_handler(signal: libc::c_int, handler: usize) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one; the handlers above call only
    // async-signal-safe functions.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        check(libc::sigaction(signal, &action, std::ptr::null_mut()))
    }
}

fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    // SAFETY: with a null new action, sigaction only writes the present one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        check(libc::sigaction(signal, std::ptr::null(), &mut action))?;
        Ok(action.sa_sigaction == libc::SIG_IGN)
    }
}

/// A descriptor to wait on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    pub fd: RawFd,
    /// Wait for room to write as well as for something to read.
    pub write: bool,
}

/// Waits until one of `interests` is ready, a request to stop arrives, or `timeout` is over.
/// Returns whether something is ready. Never fails on EINTR: the caller looks at its state anyway.
pub fn wait(interests: &[Interest], timeout: Duration) -> io::Result<bool> {
    let mut polls: Vec<libc::pollfd> = Vec::with_capacity(interests.len() + 1);
    polls.push(libc::pollfd {
        fd: WAKE_READ.load(Ordering::Relaxed),
        events: libc::POLLIN,
        revents: 0,
    });
    polls.extend(interests.iter().map(|i| libc::pollfd {
        fd: i.fd,
        events: libc::POLLIN | if i.write { libc::POLLOUT } else { 0 },
        revents: 0,
    }));
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(86_400) as _,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the array outlives the call and its length is given; a negative descriptor (no
    // signal pipe yet) is skipped by the kernel.
    let ready = unsafe {
        libc::ppoll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, &timeout, std::ptr::null())
    };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) };
    }
    if polls[0].revents != 0 {
        drain_wake_pipe();
    }
    Ok(polls[1..].iter().any(|p| p.revents != 0))
}

fn drain_wake_pipe() {
    let mut buffer = [0u8; 64];
    let fd = WAKE_READ.load(Ordering::Relaxed);
    // SAFETY: reads at most the buffer's length; the pipe is non-blocking.
    while unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
}

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

/// Descriptors beside those of the sources' files: sockets, state, directories.
const DESCRIPTORS_BESIDE: u64 = 96;
/// Files that a source may hold open at least and at most, whatever the limit.
const FILES_OPEN_MIN: u64 = 16;
const FILES_OPEN_MAX: u64 = 512;

/// Of one source; see [`share_descriptors`].
static FILES_OPEN: AtomicUsize = AtomicUsize::new(FILES_OPEN_MAX as usize);

/// How many files a source may hold open.
pub fn files_open_max() -> usize {
    FILES_OPEN.load(Ordering::Relaxed)
}

/// Raises the limit of descriptors to the most that this process may have, and divides them among
/// so many sources.
pub fn share_descriptors(sources: usize) {
    // SAFETY: an all-zero rlimit is a valid one; getrlimit writes to it and setrlimit reads it.
    let limit = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        match libc::setrlimit(libc::RLIMIT_NOFILE, &raised) {
            0 => raised.rlim_cur,
            _ => limit.rlim_cur,
        }
    };
    let share = limit.saturating_sub(DESCRIPTORS_BESIDE) / sources.max(1) as u64;
    let share = share.clamp(FILES_OPEN_MIN, FILES_OPEN_MAX);
    FILES_OPEN.store(share as usize, Ordering::Relaxed);
}

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

/// Reserves `len` bytes on the disk, so that writing there can not fail for want of space.
/// Where the file system can not, zeros are written.
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

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Begins to connect a non-blocking TCP socket and returns at once. The connection stands when
/// the descriptor can be written to and `take_error` of the stream gives `None`.
pub fn connect_start(address: &SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes numbers only.
    let fd = unsafe { libc::socket(family, kind, 0) };
    check(fd)?;
    // SAFETY: the descriptor is new and nobody else's; from here on the stream closes it.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    let result = match address {
        SocketAddr::V4(v4) => connect_to(&stream, &socket_address_v4(v4)),
        SocketAddr::V6(v6) => connect_to(&stream, &socket_address_v6(v6)),
    };
    match result {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(stream),
    }
}

/// `T` is one of the two socket addresses below.
fn connect_to<T>(stream: &TcpStream, address: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: reads `len` bytes of a plain C structure that outlives the call.
    check(unsafe { libc::connect(stream.as_raw_fd(), (address as *const T).cast(), len) })
}

fn socket_address_v4(v4: &SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: v4.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn socket_address_v6(v6: &SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: v6.port().to_be(),
        sin6_flowinfo: v6.flowinfo(),
        sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
        sin6_scope_id: v6.scope_id(),
    }
}

/// The sockets that this process has open, as /proc tells; empty where it does not.
pub fn open_sockets() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut sockets: Vec<RawFd> = entries
        .flatten()
        .filter(|e| {
            std::fs::read_link(e.path())
                .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
        })
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    sockets.sort_unstable();
    sockets
}

/// Limits how long a blocking read or write of a socket may take, for sockets that a library
/// opened and does not hand out. A descriptor that is closed or no socket is an error, no harm.
pub fn set_io_timeout(fd: RawFd, timeout: Duration) -> io::Result<()> {
    let value =
        libc::timeval { tv_sec: timeout.as_secs() as _, tv_usec: timeout.subsec_micros() as _ };
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        // SAFETY: setsockopt reads the timeval, whose length is given; it changes nothing but a
        // number in the kernel, so that the library that owns the descriptor stays right.
        check(unsafe {
            let len = size_of::<libc::timeval>() as libc::socklen_t;
            libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const value).cast(), len)
        })?;
    }
    Ok(())
}

/// `gethostname`, unless it is empty or no UTF-8.
pub fn host_name() -> Option<String> {
    // Linux names have 64 bytes at most; the last byte stays 0 whatever is written.
    let mut buffer = [0u8; 256];
    // SAFETY: the call writes at most the given length, one less than the buffer has.
    let result = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
    let name = CStr::from_bytes_until_nul(&buffer).ok()?.to_str().ok()?;
    (result == 0 && !name.is_empty()).then(|| name.to_string())
}

/// Reads the time zone (`TZ`, /etc/localtime) anew, once in a process.
pub fn read_time_zone() {
    unsafe extern "C" {
        // Not in the `libc` crate.
        fn tzset();
    }
    static ZONE: Once = Once::new();
    // SAFETY: tzset has no preconditions but that no other thread changes the environment meanwhile,
    // which this program never does.
    ZONE.call_once(|| unsafe { tzset() });
}

/// The local zone at a time: seconds east of UTC, and its abbreviation. `None` for a year that does
/// not fit.
///
/// This asks `localtime_r` rather than the `time` crate: that one refuses in a process with several
/// threads, which tests are, reads `/proc` at each call to count them, and does not tell the zone's
/// name.
pub fn local_zone(epoch_s: i64) -> Option<(i32, String)> {
    // Of 64 bits wherever the agent is built for.
    let at = epoch_s as _;
    // SAFETY: all-zero bytes are a valid `tm`, whose pointer may be null.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call. Reading `TZ` races only with a change of the
    // environment, which this program never does.
    if unsafe { libc::localtime_r(&at, &mut tm) }.is_null() {
        return None;
    }
    if tm.tm_zone.is_null() {
        return Some((tm.tm_gmtoff as i32, String::new()));
    }
    // SAFETY: the C library keeps the zone's names as strings as long as the zone is not changed;
    // this one is copied at once.
    let name = unsafe { CStr::from_ptr(tm.tm_zone) };
    Some((tm.tm_gmtoff as i32, name.to_string_lossy().into_owned()))
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

/// TERM and INT as bits of what /proc tells of waiting signals.
pub const STOP_SIGNALS: u64 = 1 << (libc::SIGTERM - 1) | 1 << (libc::SIGINT - 1);

/// Makes a copy of this process. `true` in the copy.
pub fn fork() -> io::Result<bool> {
    // SAFETY: the process has one thread, so that the copy has no lock of another one in it.
    let pid = unsafe { libc::fork() };
    check(pid)?;
    Ok(pid == 0)
}

/// Makes of a copy a process that holds nothing of what `parent` holds, files and locks least of
/// all, leaves requests to stop to it, and ends when it does. `false`: it has ended already.
pub fn become_guard(parent: u32) -> bool {
    // SAFETY: numbers only. What the closed descriptors belonged to is not used in this process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGALRM] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::close(0);
        libc::close(1);
        if libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) != 0 {
            // Linux before 5.9.
            (3..4096).for_each(|fd| {
                libc::close(fd);
            });
        }
        u32::try_from(libc::getppid()) == Ok(parent)
    }
}

/// SIGKILL.
pub fn kill(pid: u32) {
    // SAFETY: numbers only.
    unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
}

/// Ends the process without anything of what usually goes before it.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
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
