//! A measured process: how long it ran, what it took.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::spawn;

/// Time for an end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A running process, killed when this value goes.
pub struct Running {
    pid: libc::pid_t,
    log: PathBuf,
    pub started: Instant,
    peak_kb: u64,
    reaped: bool,
}

/// What it took from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    pub peak_kb: u64,
}

impl Running {
    /// What it says goes to `log`.
    pub fn start(mut command: Command, log: &Path) -> Running {
        let file = File::create(log).expect("a log file");
        let other = file.try_clone().expect("a second descriptor");
        command.stdin(Stdio::null()).stdout(other).stderr(file);
        let started = Instant::now();
        // Waited for with wait4 in `reap`: std does not tell what a child took.
        #[allow(clippy::zombie_processes)]
        let child = spawn(command).unwrap_or_else(|e| panic!("it does not start: {e}"));
        let pid = child.id() as libc::pid_t;
        Running { pid, log: log.to_owned(), started, peak_kb: 0, reaped: false }
    }

    /// Takes note of its memory, and tells whether it has ended. `ru_maxrss` would not do: it
    /// counts what the child had before its exec, that is, our own memory.
    pub fn look(&mut self) -> bool {
        if let Some(kb) = self.status("VmHWM") {
            self.peak_kb = self.peak_kb.max(kb);
        }
        // SAFETY: a zeroed siginfo is valid; waitid writes to it alone, and with WNOWAIT the
        // child stays to be waited for.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            let result = libc::waitid(libc::P_PID, self.pid as libc::id_t, &mut info, options);
            result == 0 && info.si_pid() != 0
        }
    }

    /// A field of /proc/PID/status.
    pub fn status(&self, key: &str) -> Option<u64> {
        number_after(&self.proc("status")?, key)
    }

    /// Calls that write, counted by the kernel.
    pub fn writes(&self) -> u64 {
        let io = self.proc("io").expect("/proc/PID/io");
        number_after(&io, "syscw").expect("syscw")
    }

    /// CPU time so far, of all its threads that live, to the nanosecond.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("its threads");
        let of_task = |task: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        };
        Duration::from_nanos(tasks.flatten().filter_map(of_task).sum())
    }

    fn proc(&self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid)).ok()
    }

    /// SIGTERM (harmless if it has ended), and what it took.
    pub fn stop(mut self) -> Usage {
        self.look();
        // SAFETY: it has not been waited for, so the pid is still its own.
        unsafe { libc::kill(self.pid, libc::SIGTERM) };
        let deadline = Instant::now() + STOP_MAX;
        while !self.look() {
            assert!(Instant::now() < deadline, "it does not stop:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(2));
        }
        let usage = self.reap();
        let time = |t: libc::timeval| {
            Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
        };
        Usage { cpu: time(usage.ru_utime) + time(usage.ru_stime), peak_kb: self.peak_kb }
    }

    fn reap(&mut self) -> libc::rusage {
        self.reaped = true;
        // SAFETY: a zeroed rusage is valid, wait4 writes to it and to `status` alone.
        unsafe {
            let (mut usage, mut status) = (std::mem::zeroed(), 0);
            libc::wait4(self.pid, &mut status, 0, &mut usage);
            usage
        }
    }

    /// The end of what it said.
    pub fn tail(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(4_000)..]).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: as in `stop`.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.reap();
        }
    }
}

/// The number behind `key:` at the beginning of a line.
pub fn number_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
