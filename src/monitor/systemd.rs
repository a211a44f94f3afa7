//! Tells systemd (or who takes its place) how the agent is, as `Type=notify` wants it: datagrams
//! to the socket that `NOTIFY_SOCKET` names. Where it watches (`WatchdogSec=`), a turn of the loop says that
//! it turns: one that stands still is killed and started again, and finds its batches in doubt.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::log;

/// How often it is said that a turn goes on which takes long.
const GOES_ON_EVERY: Duration = Duration::from_secs(10);
/// For how much longer systemd is asked to wait then.
const EXTENSION: Duration = Duration::from_secs(60);

/// The socket, and what was sent last. Does nothing if there is no listener.
pub(crate) struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    last: String,
    /// How often to say that the loop turns, ms, and when next (monotonic).
    watchdog_ms: Option<u64>,
    alive_due_ms: u64,
}

impl Notifier {
    pub(crate) fn from_environment() -> Notifier {
        let to = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let to = to.and_then(|name| {
            open(&name)
                .inspect_err(|e| {
                    log::warn(
                        "node.Application",
                        format_args!("NOTIFY_SOCKET {}: {e}", name.display()),
                    );
                })
                .ok()
        });
        let watchdog_ms = watchdog_ms(
            std::env::var("WATCHDOG_USEC").ok().as_deref(),
            std::env::var("WATCHDOG_PID").ok().as_deref(),
        );
        Notifier { to, watchdog_ms, ..Notifier::nobody() }
    }

    pub(crate) fn nobody() -> Notifier {
        Notifier { to: None, last: String::new(), watchdog_ms: None, alive_due_ms: 0 }
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.to.is_some()
    }

    /// The loop turns.
    pub(crate) fn alive(&mut self, now_ms: u64) {
        let (Some((socket, address)), Some(every_ms)) = (&self.to, self.watchdog_ms) else {
            return;
        };
        // What does not get through, as systemd is behind, the next turn says again.
        if now_ms >= self.alive_due_ms && socket.send_to_addr(b"WATCHDOG=1", address).is_ok() {
            self.alive_due_ms = now_ms + every_ms;
        }
    }

    /// Says, when it is called often enough, that a turn of the loop goes on which takes long; `None`: nobody listens.
    /// The first turn is a part of the start, for which systemd waits a minute and a half (`TimeoutStartSec=`).
    pub(crate) fn beat(&self) -> Option<impl FnMut() + use<>> {
        let every = self.watchdog_ms.map_or(GOES_ON_EVERY, Duration::from_millis);
        self.beat_every(every.min(GOES_ON_EVERY))
    }

    fn beat_every(&self, every: Duration) -> Option<impl FnMut() + use<>> {
        let (socket, address) = self.to.as_ref()?;
        let (socket, address) = (socket.try_clone().ok()?, address.clone());
        let text = format!("WATCHDOG=1\nEXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros());
        let mut due = Instant::now() + every;
        Some(move || {
            let now = Instant::now();
            if now >= due && socket.send_to_addr(text.as_bytes(), &address).is_ok() {
                due = now + every;
            }
        })
    }

    /// Sends a state unless it is the one sent last. The socket is never waited for. Does the listener,
    /// if there is one, have it?
    pub(crate) fn tell(&mut self, state: &str) -> bool {
        let Some((socket, address)) = &self.to else { return true };
        let has_it = state == self.last || socket.send_to_addr(state.as_bytes(), address).is_ok();
        if has_it {
            state.clone_into(&mut self.last);
        }
        has_it
    }
}

/// Half of what systemd waits, if it watches this process.
fn watchdog_ms(usec: Option<&str>, pid: Option<&str>) -> Option<u64> {
    let is_ours = pid.is_none_or(|pid| pid == std::process::id().to_string());
    let usec: u64 = usec.filter(|_| is_ours)?.parse().ok()?;
    (usec > 0).then_some((usec / 2_000).max(1))
}

/// A path, or an abstract name behind `@`.
fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn abstract_names_and_paths() {
        let name = format!("flume-ng-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        let to = open(OsStr::new(&format!("@{name}"))).unwrap();
        let mut notifier = Notifier { to: Some(to), watchdog_ms: Some(500), ..Notifier::nobody() };
        for state in ["READY=1", "READY=1", "STOPPING=1"] {
            notifier.tell(state);
        }
        let mut buffer = [0; 64];
        for expected in ["READY=1", "STOPPING=1"] {
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        for now_ms in [1_000, 1_400, 1_500] {
            notifier.alive(now_ms);
        }
        notifier.tell("STATUS=x");
        for expected in ["WATCHDOG=1", "WATCHDOG=1", "STATUS=x"] {
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        assert!(open(OsStr::new(&"/long".repeat(40))).is_err());
    }

    /// Fills the listener's queue: not even a new socket finds room in it.
    pub(in super::super) fn fill(name: &str) {
        let fills_it = |_: &i32| {
            let (socket, address) = open(OsStr::new(&format!("@{name}"))).unwrap();
            (0..).take_while(|_| socket.send_to_addr(b"X=1", &address).is_ok()).count() > 0
        };
        assert!((0..10_000).take_while(fills_it).count() > 0);
    }

    /// What the listener has got.
    pub(in super::super) fn drain(listener: &UnixDatagram) -> Vec<String> {
        listener.set_nonblocking(true).unwrap();
        let mut buffer = [0; 512];
        let text = |length: usize, buffer: &[u8]| String::from_utf8(buffer[..length].to_vec());
        std::iter::from_fn(|| Some(text(listener.recv(&mut buffer).ok()?, &buffer).unwrap()))
            .collect()
    }

    pub(in super::super) fn listen(name: &str) -> UnixDatagram {
        UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
    }

    pub(in super::super) fn notifier(name: &str) -> Notifier {
        let to = open(OsStr::new(&format!("@{name}"))).unwrap();
        Notifier { to: Some(to), watchdog_ms: Some(60_000), ..Notifier::nobody() }
    }

    /// The second chance would come as late as systemd waits, and be too late.
    #[test]
    fn that_the_loop_turns_is_said_again_where_it_did_not_get_through() {
        let name = format!("flume-ng-test-alive-{}", std::process::id());
        let (listener, mut notifier) = (listen(&name), notifier(&name));
        fill(&name);
        notifier.alive(1_000);
        drain(&listener);
        notifier.alive(1_001);
        assert_eq!(drain(&listener), ["WATCHDOG=1"]);
        notifier.alive(1_002);
        assert!(drain(&listener).is_empty());
    }

    #[test]
    fn a_turn_that_takes_long_and_goes_on_is_said_to() {
        let name = format!("flume-ng-test-beat-{}", std::process::id());
        let (listener, notifier) = (listen(&name), notifier(&name));
        let mut beat = notifier.beat_every(Duration::ZERO).unwrap();
        beat();
        assert_eq!(drain(&listener), ["WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000"]);
        // A short one says nothing.
        let mut beat = notifier.beat().unwrap();
        (0..1_000).for_each(|_| beat());
        assert!(drain(&listener).is_empty());
        assert!(Notifier::nobody().beat().is_none());
    }

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let own = std::process::id().to_string();
        assert_eq!(watchdog_ms(Some("120000000"), None), Some(60_000));
        assert_eq!(watchdog_ms(Some("120000000"), Some(&own)), Some(60_000));
        assert_eq!(watchdog_ms(Some("120000000"), Some("1")), None);
        for nothing in [None, Some("0"), Some(""), Some("-1"), Some("x")] {
            assert_eq!(watchdog_ms(nothing, None), None);
        }
        assert_eq!(watchdog_ms(Some("1"), None), Some(1));
    }
}
