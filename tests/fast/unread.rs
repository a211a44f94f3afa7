//! Standard error is a pipe that nobody reads any more: the terminal hangs, the collector of the log was
//! stopped. The agent goes on, stops on request, and says what of its log was lost.

use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::Stdio;
use std::time::Duration;

use super::planted::Site;
use super::support::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);

/// A pipe that is full, and how much that is.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter, usize) {
    let (read, mut write) = std::io::pipe().unwrap();
    // SAFETY: numbers only.
    let size = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, 32_768) };
    let size = size.try_into().unwrap();
    write.write_all(&vec![b'x'; size]).unwrap();
    (read, write, size)
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_the_agent_nor_its_stop() {
    for reads_in_the_end in [false, true] {
        let site = Site::new(&format!("unread-{reads_in_the_end}"), "tracker", "");
        let (mut read, write, size) = full_pipe();
        let quiet = Stdio::null;
        let mut command = site.command(&["agent"]);
        let spawned = command.stdin(quiet()).stdout(quiet()).stderr(write).spawn();
        // It has the pipe's end to write to.
        drop(command);
        let mut agent = spawned.unwrap();
        // It has told that no broker is there.
        let works = wait_for(PATIENCE, || site.path("tracker/trouble").exists());
        let mut log = vec![0; size];
        if reads_in_the_end {
            read.read_exact(&mut log).unwrap();
            log.clear();
        }
        // SAFETY: numbers only.
        unsafe { libc::kill(agent.id().cast_signed(), libc::SIGTERM) };
        let mut status = None;
        wait_for(PATIENCE, || {
            status = agent.try_wait().unwrap();
            status.is_some()
        });
        let _ = agent.kill();
        let _ = agent.wait();
        assert!(works, "it does not start");
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{status:?}");
        if reads_in_the_end {
            read.read_to_end(&mut log).unwrap();
            let log = String::from_utf8_lossy(&log);
            let first = log.lines().next().unwrap_or_default();
            assert!(first.contains("lines of this log lost"), "{log}");
            assert!(log.contains("Configuration provider stopping"), "{log}");
        }
    }
}
