//! This process, and a second one that watches over it.

use std::io::{self, PipeReader};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, Signal, getppid, kill_process, set_parent_process_death_signal as set_death_signal,
};

use rustix::time::{ClockId, clock_gettime};

use super::{check, signal};

/// What this process has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time, µs.
    pub cpu_us: u64,
    /// Main memory at present; 0 where the system does not tell.
    pub memory_bytes: u64,
}

/// See [`Usage`].
pub fn usage() -> Usage {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory_kb = memory.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Usage {
        cpu_us: cpu.tv_sec as u64 * 1_000_000 + cpu.tv_nsec as u64 / 1_000,
        memory_bytes: memory_kb.unwrap_or(0) * 1_024,
    }
}

/// A time that never goes back, a few milliseconds late at most, and at a fifth of the cost of
/// `Instant::now`: for who asks at every line.
pub fn coarse_time() -> Duration {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Keeps up to so many freed bytes for the next use, 32 MiB at most, in place of giving them back to the
/// kernel each time: for who takes and frees large pieces over and over. Only glibc is told.
pub fn keep_freed_memory(bytes: i32) {
    // SAFETY: it sets two numbers of the allocator.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Gives freed memory back to the kernel that lies between what is in use. Only glibc is told.
pub fn give_back_memory() {
    // SAFETY: it has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Makes a copy of this process. `true` in the copy.
pub fn fork() -> io::Result<bool> {
    // SAFETY: the process has one thread, so that the copy has no lock of another one in it.
    let pid = unsafe { libc::fork() };
    check(pid)?;
    Ok(pid == 0)
}

/// Makes of a copy a process that holds nothing of what `parent` holds, files and locks least of
/// all, leaves requests to stop to it, and ends when it does. `false`: it has ended already.
/// `hears`: the one pipe that it keeps, see [`is_hung_up`].
pub fn become_guard(parent: u32, hears: Option<PipeReader>) -> bool {
    // These calls cannot fail with such arguments.
    let _ = set_death_signal(Some(Signal::KILL));
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGALRM] {
        let _ = signal::ignore(signal);
    }
    let hears = hears.is_some_and(|pipe| rustix::stdio::dup2_stdin(pipe).is_ok());
    close_all_but_stderr(hears);
    getppid() == pid_of(parent)
}

/// Takes back that this process ends when its parent does.
pub fn outlive_parent() {
    // It cannot fail with such an argument.
    let _ = set_death_signal(None);
}

/// Has the pipe of a guard no end to write to any more? Also if it has none at all.
pub fn is_hung_up() -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut polls = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)];
    poll(&mut polls, Some(&now)).is_ok_and(|ready| ready > 0)
}

fn close_all_but_stderr(and_stdin: bool) {
    // SAFETY: numbers only. What the descriptors belonged to is not used in this process any more.
    unsafe {
        if !and_stdin {
            libc::close(0);
        }
        libc::close(1);
        if libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) != 0 {
            // Linux before 5.9.
            (3..4096).for_each(|fd| {
                libc::close(fd);
            });
        }
    }
}

fn pid_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// SIGKILL.
pub fn kill(pid: u32) {
    if let Some(pid) = pid_of(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Ends the process without anything of what usually goes before it. Async-signal-safe.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}
