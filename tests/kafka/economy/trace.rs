//! Counts the calls of the kernel that a child makes, with ptrace: no tool has to be there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// How often each call was made, by its number.
#[derive(Debug, Default)]
pub struct Calls(BTreeMap<i64, u64>);

impl Calls {
    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn of(&self, number: libc::c_long) -> u64 {
        self.0.get(&number).copied().unwrap_or(0)
    }
}

/// Runs `command` until `until` returns, which it does in a thread of its own, then ends it with
/// SIGTERM. What it says goes to `log`. It must have one thread only.
pub fn run(mut command: Command, log: &Path, until: impl FnOnce() + Send) -> Calls {
    let file = File::create(log).expect("a log file");
    let other = file.try_clone().expect("a second descriptor");
    command.stdin(Stdio::null()).stdout(other).stderr(file);
    // SAFETY: ptrace is async-signal-safe and touches no memory here.
    unsafe {
        command.pre_exec(|| match ptrace(libc::PTRACE_TRACEME, 0, 0) {
            Ok(()) => Ok(()),
            Err(e) => Err(e),
        });
    }
    // From this very thread: a child is traced by the thread that started it.
    // `follow` waits for it.
    #[allow(clippy::zombie_processes)]
    let child = command.spawn().expect("the agent runs and may be traced");
    let pid = child.id() as libc::pid_t;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            until();
            // SAFETY: it has not been waited for to its end: only this makes it end.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        });
        follow(pid)
    })
}

/// Until it ends.
fn follow(pid: libc::pid_t) -> Calls {
    let mut calls = Calls::default();
    let mut is_first = true;
    let mut enters = true;
    loop {
        let mut status = 0;
        // SAFETY: waitpid writes to `status` alone.
        let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!(waited, pid, "waitpid: {}", io::Error::last_os_error());
        if !libc::WIFSTOPPED(status) {
            return calls;
        }
        let mut signal = libc::WSTOPSIG(status);
        if is_first {
            // The exec: calls are told from signals by the bit 0x80 from now on.
            is_first = false;
            signal = 0;
            let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
            ptrace(libc::PTRACE_SETOPTIONS, pid, options.into()).expect("options of ptrace");
        } else if signal == libc::SIGTRAP | 0x80 {
            signal = 0;
            if enters {
                *calls.0.entry(number(pid)).or_default() += 1;
            }
            enters = !enters;
        }
        ptrace(libc::PTRACE_SYSCALL, pid, signal.into()).expect("it goes on");
    }
}

/// Which call it is about to make.
fn number(pid: libc::pid_t) -> i64 {
    // SAFETY: a zeroed value is valid, and the kernel writes at most the size it is given.
    unsafe {
        let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
        let size = std::mem::size_of_val(&info);
        let result = libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &mut info);
        assert!(result > 0, "the call: {}", io::Error::last_os_error());
        info.u.entry.nr as i64
    }
}

fn ptrace(request: libc::c_uint, pid: libc::pid_t, data: i64) -> io::Result<()> {
    // SAFETY: none of the requests made here has the kernel write to our memory.
    let result = unsafe { libc::ptrace(request, pid, 0usize, data) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
