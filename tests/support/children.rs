//! Processes and directories that do not outlive the test run, however it ends.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use super::wait_for;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a process that the kernel kills when this one ends, even by a signal.
///
/// The kernel ties such a child to the *thread* that started it, and a test's thread ends
/// with the test while a shared broker goes on. So one thread, which never ends, starts all.
pub fn spawn(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                if command.get_program() != SETPRIV {
                    die_with_parent(&mut command);
                }
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::channel();
    let sent = lock(nursery).send((command, answer));
    sent.expect("the nursery thread never ends");
    child.recv().expect("the nursery thread answers")
}

const SETPRIV: &str = "setpriv";

/// The same command, by way of a program that ties it to its parent before it becomes that command: where it
/// is there, `spawn` need not copy the page tables of this process, which is large, for each child. What the
/// command was given besides its words, its directory and its variables (`pre_exec`, `uid`, files) is lost.
pub fn tied(command: &Command) -> Command {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    let is_there = *IS_THERE.get_or_init(|| {
        let mut test = Command::new(SETPRIV);
        test.args(["--pdeathsig", "KILL", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        test.status().is_ok_and(|status| status.success())
    });
    let mut tied = Command::new(if is_there { SETPRIV.as_ref() } else { command.get_program() });
    if is_there {
        tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    }
    tied.args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        tied.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    tied
}

fn die_with_parent(command: &mut Command) {
    // SAFETY: prctl and getppid are async-signal-safe and touch no memory of ours.
    unsafe {
        let parent = libc::getpid();
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // It may have ended before the line above.
            if libc::getppid() != parent {
                return Err(io::Error::other("the test run has ended"));
            }
            Ok(())
        });
    }
}

pub fn signal(child: &Child, number: i32) {
    signal_pid(child.id(), number);
}

/// To a child that has not been waited for.
pub fn signal_pid(pid: u32, number: i32) {
    // SAFETY: whoever calls holds the child and has not waited for it; its pid is still its own.
    unsafe { libc::kill(pid as libc::pid_t, number) };
}

/// Waits for the end of a process, but not for ever.
pub fn wait_exit(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let mut status = None;
    wait_for(timeout, || {
        status = child.try_wait().expect("a child of ours");
        status.is_some()
    });
    status
}

/// A directory that goes when this value does. `FLUME_NG_KEEP=1` keeps all of them.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(label: &str) -> TempDir {
        TempDir::within(&std::env::temp_dir(), label)
    }

    /// In main memory.
    pub fn in_memory(label: &str) -> TempDir {
        TempDir::within(Path::new(MEMORY), label)
    }

    fn within(parent: &Path, label: &str) -> TempDir {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static SWEPT: OnceLock<()> = OnceLock::new();
        SWEPT.get_or_init(sweep);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{label}", std::process::id());
        let path = parent.join(name);
        fs::create_dir(&path).expect("a new directory for temporary files");
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn remove(&self) {
        if std::env::var_os("FLUME_NG_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        self.remove();
    }
}

const PREFIX: &str = "flume-ng-test-";
/// The file system that Linux keeps in main memory.
pub const MEMORY: &str = "/dev/shm";

/// Removes what a killed run could not.
fn sweep() {
    let parents = [std::env::temp_dir(), PathBuf::from(MEMORY)];
    let entries = parents.iter().flat_map(fs::read_dir).flatten();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let pid = pid.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A lock that a failed test has left is as good as any.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
