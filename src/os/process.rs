//! A second process that watches over the first.

use std::io;

use super::check;

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
