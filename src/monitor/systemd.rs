//! Tells systemd (or who takes its place) how the agent is, as `Type=notify` wants it: datagrams
//! to the socket that `NOTIFY_SOCKET` names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::log;

/// The socket, and what was told last. Does nothing where nobody listens.
pub(crate) struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    last: String,
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
        Notifier { to, last: String::new() }
    }

    pub(crate) fn nobody() -> Notifier {
        Notifier { to: None, last: String::new() }
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.to.is_some()
    }

    /// Sends a state unless it is the one sent last. One that does not get through is of no
    /// consequence: the socket is never waited for.
    pub(crate) fn tell(&mut self, state: &str) {
        let Some((socket, address)) = &self.to else { return };
        if state != self.last && socket.send_to_addr(state.as_bytes(), address).is_ok() {
            state.clone_into(&mut self.last);
        }
    }
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
mod tests {
    use super::*;

    #[test]
    fn abstract_names_and_paths() {
        let name = format!("flume-ng-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        let to = open(OsStr::new(&format!("@{name}"))).unwrap();
        let mut notifier = Notifier { to: Some(to), last: String::new() };
        for state in ["READY=1", "READY=1", "STOPPING=1"] {
            notifier.tell(state);
        }
        let mut buffer = [0; 64];
        for expected in ["READY=1", "STOPPING=1"] {
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        assert!(open(OsStr::new(&"/long".repeat(40))).is_err());
    }
}
