//! A file system whose server is gone: calls on it never return.

use crate::support::torture::{Group, V010, hazard};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::time::{Duration, Instant};

use super::scene::{is_root, skipped, spool};

#[test]
fn a_request_to_stop_ends_an_agent_in_a_call_that_never_returns() {
    let _row = hazard(Group::Absence, "SIGTERM while a file system hangs", V010);
    it_ends("hung", true, Some(libc::SIGTERM));
}

/// What watches over it has something to say, too.
#[test]
fn a_request_to_stop_ends_such_an_agent_of_which_nobody_hears() {
    it_ends("hung-unheard", false, Some(libc::SIGTERM));
}

/// Cron starts the next one in a minute, which would hang as well.
#[test]
#[ignore = "long: make torture"]
fn an_agent_that_hangs_as_it_starts_is_ended_after_a_minute() {
    let _row = hazard(Group::Absence, "a file system hangs at a start from cron", V010);
    it_ends("hung-start", true, None);
}

/// Over the spool directory lies a file system in user space of which nobody answers a question. It
/// is in a mount namespace of the agent's own, and goes with it.
fn it_ends(name: &str, is_heard: bool, signal: Option<i32>) {
    let may_mount = std::process::Command::new("unshare").args(["-m", "true"]).status();
    let is_possible = is_root()
        && may_mount.is_ok_and(|s| s.success())
        && std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !is_possible {
        return skipped("no right to mount a file system of our own");
    }
    let scene = spool(name).file("a_{H}.log", "one\n", 0);
    let dir = CString::new(scene.work.spool().as_os_str().as_bytes()).expect("a path");
    let mut scene = scene.command(move |command| {
        let dir = dir.clone();
        // SAFETY: system calls without memory of ours but the string, which lives in the closure.
        unsafe {
            command.pre_exec(move || {
                const FD: i32 = 200;
                let none = std::ptr::null();
                let private = libc::MS_REC | libc::MS_PRIVATE;
                let options = c"fd=200,rootmode=40000,user_id=0,group_id=0";
                let done = libc::unshare(libc::CLONE_NEWNS) == 0
                    && libc::mount(none, c"/".as_ptr(), none, private, none.cast()) == 0
                    && libc::dup2(libc::open(c"/dev/fuse".as_ptr(), libc::O_RDWR), FD) == FD
                    && libc::mount(
                        c"hung".as_ptr(),
                        dir.as_ptr(),
                        c"fuse".as_ptr(),
                        0,
                        options.as_ptr().cast(),
                    ) == 0
                    && (is_heard || close_reader_of_stderr());
                if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
    });
    scene.start();
    let pid = scene.agent().pid();
    // A process that begins may wait for a disk as well, and not hear a signal yet.
    let mut looks = 0;
    scene.until("it hangs", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let hangs = status.is_ok_and(|text| text.contains("State:\tD") && catches_term(&text));
        looks = if hangs { looks + 1 } else { 0 };
        looks == 5
    });
    let begun = Instant::now();
    let latest = match signal {
        Some(signal) => {
            scene.agent().signal(signal);
            Duration::from_secs(2)
        }
        None => Duration::from_secs(75),
    };
    let status = scene.agent().wait(Duration::from_secs(120)).expect("it ends by itself");
    let took = begun.elapsed();
    assert!(took < latest, "{took:?}\n{}", scene.log());
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}\n{}", scene.log());
    if is_heard {
        let words = ["while a file system does not answer", "has not answered for a minute"];
        scene.log_says(words[usize::from(signal.is_none())]);
    }
    // The next one finds everything as it was.
    let mut scene = scene.command(|_| {});
    scene.start();
    scene.in_the_end(&["one"]);
}

/// Has the process of this status a handler for SIGTERM?
fn catches_term(status: &str) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 1 << (libc::SIGTERM - 1) != 0)
}

/// Standard error becomes a pipe whose other end is closed.
///
/// # Safety
/// For a process of one thread that is about to execute another program.
unsafe fn close_reader_of_stderr() -> bool {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two; the rest is numbers.
    unsafe {
        libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) == 0
            && libc::dup2(ends[1], libc::STDERR_FILENO) == libc::STDERR_FILENO
            && libc::close(ends[0]) == 0
    }
}
