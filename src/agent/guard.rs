//! A request to stop while a call on a file system does not return.
//!
//! The server of a network file system may be gone. In a call on it the kernel runs no handler of a
//! signal, so that neither TERM nor a timer reaches the agent, and nothing but KILL ends it. Where a
//! directory of a source is on such a file system, a child process without any open file looks
//! four times a second whether a request to stop waits in vain, and ends the agent then. What must
//! survive is in the checkpoint, as at every other end.
//!
//! Cron starts an agent every minute, and each asks the file system whether it is the first one. While that
//! hangs there would be one more every minute. So an agent that has not got beyond that for a minute is ended
//! as well.

use std::io::{PipeReader, PipeWriter};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::model::{AgentConfig, SourceConfig};
use crate::log;
use crate::os;

/// How often the child looks.
const LOOK: Duration = Duration::from_millis(250);

/// How many looks in a row must find the request waiting: three quarters of a second.
const LOOKS: u32 = 4;

/// The same for an agent that starts: a minute.
const START_LOOKS: u32 = 240;

const STOPPED: &str =
    "flume-ng: stopped while a file system does not answer; what is in doubt stays so\n";
const NOT_STARTED: &str = "flume-ng: ended, since a file system has not answered for a minute; \
     the next start asks it again\n";

/// Types of file systems whose calls wait for more than the kernel, by their beginning.
const REMOTE: [&str; 15] = [
    "nfs", "cifs", "smb", "fuse", "ceph", "9p", "afs", "lustre", "gluster", "gpfs", "ocfs", "gfs2",
    "beegfs", "orangefs", "virtiofs",
];

static IS_GUARDED: AtomicBool = AtomicBool::new(false);

/// The agent starts as long as this lives.
#[derive(Debug)]
#[must_use]
pub(crate) struct Starting {
    _heard: Option<PipeWriter>,
}

/// Begins to watch over the agent, if one of its directories is on a file system that may hang, and
/// none does so yet. Asks no file system, since that might be the call that hangs.
pub(crate) fn watch_over(config: &AgentConfig) -> Starting {
    let nobody_looks = Starting { _heard: None };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let may_hang =
        |s: &SourceConfig| is_remote(&mounts, &s.spool_dir) || is_remote(&mounts, &s.tracker_dir);
    if !config.sources.iter().any(may_hang) || IS_GUARDED.swap(true, Ordering::Relaxed) {
        return nobody_looks;
    }
    let agent = std::process::id();
    let ends = std::io::pipe().ok();
    match os::fork() {
        Ok(false) => Starting { _heard: ends.map(|(_, write)| write) },
        Ok(true) => guard(agent, ends.map(|(read, _)| read)),
        Err(e) => {
            log::warn(
                "node.Application",
                format_args!(
                    "Hanging file systems are not watched: {e}; if one hangs, end this agent with KILL."
                ),
            );
            nobody_looks
        }
    }
}

/// The child's whole life.
fn guard(agent: u32, starting: Option<PipeReader>) -> ! {
    if !os::become_guard(agent, starting) {
        os::exit_now(0);
    }
    let mut waited = Waited::default();
    loop {
        std::thread::sleep(LOOK);
        let status = std::fs::read_to_string(format!("/proc/{agent}/status")).unwrap_or_default();
        if let Some(words) = waited.look(&status, !os::is_hung_up()) {
            // Not before it: nobody may read the words.
            os::outlive_parent();
            os::kill(agent);
            os::last_words(words);
            os::exit_now(0);
        }
    }
}

/// How many looks in a row have found the agent in vain.
#[derive(Debug, Default)]
struct Waited {
    to_stop: u32,
    to_start: u32,
}

impl Waited {
    /// What to say if the agent has to be ended. `status`: its /proc/PID/status.
    fn look(&mut self, status: &str, is_starting: bool) -> Option<&'static str> {
        let next = |looks: u32, in_vain: bool| if in_vain { looks + 1 } else { 0 };
        self.to_stop = next(self.to_stop, stops_in_vain(status));
        self.to_start = next(self.to_start, is_starting && is_stuck(status));
        match self {
            Waited { to_stop: LOOKS.., .. } => Some(STOPPED),
            Waited { to_start: START_LOOKS.., .. } => Some(NOT_STARTED),
            _ => None,
        }
    }
}

/// Does /proc/PID/status tell of a process in a call that no signal ends, with TERM or INT waiting?
fn stops_in_vain(status: &str) -> bool {
    let pending = |key: &str| {
        let signals = value(status, key).and_then(|text| u64::from_str_radix(text, 16).ok());
        signals.unwrap_or(0) & os::STOP_SIGNALS != 0
    };
    is_stuck(status) && (pending("SigPnd:") || pending("ShdPnd:"))
}

fn is_stuck(status: &str) -> bool {
    value(status, "State:").is_some_and(|state| state.starts_with('D'))
}

fn value<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// By the longest mount point above a path; of equal ones the last is on top. A link in the path is
/// not followed.
fn is_remote(mountinfo: &str, dir: &Path) -> bool {
    let mut best: Option<(usize, bool)> = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else {
            continue;
        };
        let point = unescaped(point);
        if dir.starts_with(&point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), REMOTE.iter().any(|remote| kind.starts_with(remote))));
        }
    }
    best.is_some_and(|(_, is_remote)| is_remote)
}

/// Blanks in mount points are written in octal.
fn unescaped(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_on_top_tells_whether_it_may_hang() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /logs rw,relatime shared:1 - nfs4 server:/logs rw
31 30 8:2 / /logs/local rw - ext4 /dev/sdb rw
32 22 0:41 / /with\\040blank rw - fuse.sshfs me@there:/ rw
33 22 0:42 / /over rw - nfs server:/x rw
34 33 8:3 / /over rw - xfs /dev/sdc rw
garbage
";
        for (dir, expected) in [
            ("/", false),
            ("/logs", true),
            ("/logs/a", true),
            ("/logsx", false),
            ("/logs/local/a", false),
            ("/with blank/a", true),
            ("/over", false),
        ] {
            assert_eq!(is_remote(mounts, Path::new(dir)), expected, "{dir}");
        }
    }

    #[test]
    fn only_a_request_that_waits_in_a_call_that_nothing_ends_is_in_vain() {
        let status = |state: &str, own: &str, shared: &str| {
            stops_in_vain(&format!(
                "Name:\tx\nState:\t{state}\nSigPnd:\t{own}\nShdPnd:\t{shared}\n"
            ))
        };
        let (none, term) = ("0000000000000000", "0000000000004000");
        assert!(status("D (disk sleep)", none, term));
        assert!(status("D (disk sleep)", term, none));
        assert!(!status("D (disk sleep)", none, none));
        assert!(!status("R (running)", none, term));
        assert!(!status("T (stopped)", none, term));
        assert!(!stops_in_vain(""));
    }

    #[test]
    fn a_start_that_hangs_for_a_minute_is_in_vain() {
        let (stuck, runs) = ("State:\tD (disk sleep)\n", "State:\tS (sleeping)\n");
        let looks = |waited: &mut Waited, status: &str, is_starting: bool| {
            let mut looks = (0..START_LOOKS).map(|_| waited.look(status, is_starting));
            looks.position(|words| words == Some(NOT_STARTED)).map(|at| at as u32 + 1)
        };
        let mut waited = Waited::default();
        assert_eq!(looks(&mut waited, stuck, false), None);
        assert_eq!(waited.look(stuck, true), None);
        assert_eq!(waited.look(runs, true), None);
        assert_eq!(looks(&mut waited, stuck, true), Some(START_LOOKS));
    }
}
