//! Connections that are being made: TCP, and TLS above it. Nothing here waits, but for the system's
//! resolver.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::{Duration, Instant};

use super::broker::Fault;
use super::client::Client;
use super::tls::Session;
use super::transport::Transport;
use super::wire::{Connection, reason};
use crate::checkpoint::room;
use crate::os;

/// Longest wait for a TCP connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_000);

/// A connection that is being made.
pub struct Connecting {
    peer: String,
    stage: Stage,
    /// By TLS, once the connection stands.
    session: Option<Box<Session>>,
    deadline: Instant,
}

enum Stage {
    Tcp {
        stream: TcpStream,
        /// Addresses of the name that were not tried yet.
        left: VecDeque<SocketAddr>,
        /// When this address is given up.
        until: Instant,
    },
    /// The connection stands.
    Handshake(Transport),
}

impl Connecting {
    /// Begins to connect to `peer` (`host:port`), at `address` if that is known, else at every address
    /// of its name in turn, until `deadline`.
    ///
    /// # Errors
    /// `Fault::Unreachable` with the last address's reason alone; `Distrusted` where TLS does not come
    /// about.
    pub fn start(
        peer: &str,
        address: Option<SocketAddr>,
        client: &Client,
        deadline: Instant,
    ) -> Result<Connecting, Fault> {
        let session = client.session(peer).map_err(Fault::Distrusted)?;
        let mut left = match address {
            Some(address) => [address].into(),
            None => resolve(peer)?,
        };
        let none = "the name has no address".to_string();
        let (stream, until) = begin_next(&mut left, deadline, none)?;
        let stage = Stage::Tcp { stream, left, until };
        Ok(Connecting { peer: peer.to_string(), stage, session, deadline })
    }

    /// Looks whether it is made. Never blocks.
    ///
    /// # Errors
    /// As [`Connecting::start`].
    pub fn poll(mut self) -> Result<Attempt, Fault> {
        loop {
            self.stage = match self.stage {
                Stage::Tcp { stream, mut left, until } => {
                    let why = match stream.take_error() {
                        Ok(Some(e)) | Err(e) => reason(&e),
                        Ok(None) if stream.peer_addr().is_ok() => {
                            // A round is written in one piece; waiting for more would only delay it.
                            let _ = stream.set_nodelay(true);
                            let session = self.session.take();
                            self.stage = Stage::Handshake(Transport::new(stream, session));
                            continue;
                        }
                        Ok(None) if Instant::now() < until => {
                            let stage = Stage::Tcp { stream, left, until };
                            return Ok(Attempt::Later(Connecting { stage, ..self }));
                        }
                        Ok(None) => "no connection in time".to_string(),
                    };
                    let (stream, until) = begin_next(&mut left, self.deadline, why)?;
                    Stage::Tcp { stream, left, until }
                }
                Stage::Handshake(mut transport) => {
                    // Who answers at another address of the name is no other broker.
                    let distrusted = |e: io::Error| Fault::Distrusted(reason(&e));
                    if transport.handshake().map_err(distrusted)? {
                        return Ok(Attempt::Made(Connection::over(transport, &self.peer)));
                    }
                    if Instant::now() >= self.deadline {
                        let why = "it does not continue the TLS handshake; does its listener \
                                   speak TLS?";
                        return Err(Fault::Distrusted(why.to_string()));
                    }
                    let stage = Stage::Handshake(transport);
                    return Ok(Attempt::Later(Connecting { stage, ..self }));
                }
            };
        }
    }

    /// What is waited for.
    pub fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        match &self.stage {
            Stage::Tcp { stream, .. } => add(stream.as_raw_fd(), true),
            Stage::Handshake(transport) => add(transport.fd(), transport.wants_write()),
        }
    }
}

/// What has become of a connection that is being made.
pub enum Attempt {
    Made(Connection),
    Later(Connecting),
}

/// Begins to connect to the first of the addresses for which that is possible. `why`: what is said
/// if there is none.
fn begin_next(
    left: &mut VecDeque<SocketAddr>,
    deadline: Instant,
    mut why: String,
) -> Result<(TcpStream, Instant), Fault> {
    while let Some(address) = left.pop_front() {
        match os::connect_start(&address) {
            Ok(stream) => return Ok((stream, deadline.min(Instant::now() + CONNECT_TIMEOUT))),
            Err(e) => match no_descriptor(&e) {
                Some(fault) => return Err(fault),
                None => why = reason(&e),
            },
        }
    }
    Err(Fault::Unreachable(why))
}

/// The fault, if it is one of this machine.
fn no_descriptor(error: &io::Error) -> Option<Fault> {
    room::is_out_of_descriptors(error).then(|| {
        let (why, way_out) = (reason(error), room::way_out(error));
        Fault::NoDescriptor(format!("no connection can be opened now: {why}{way_out}"))
    })
}

/// The addresses of `host:port`. The system's resolver cannot be cut short, hence the guard.
fn resolve(peer: &str) -> Result<VecDeque<SocketAddr>, Fault> {
    if let Ok(address) = peer.parse() {
        return Ok([address].into());
    }
    let _guard = os::arm_last_words(format!("stopped while resolving {peer}\n"));
    match peer.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(e) => Err(no_descriptor(&e).unwrap_or_else(|| Fault::Unreachable(reason(&e)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_descriptor_left_is_not_the_brokers_fault() {
        let told = |code| no_descriptor(&io::Error::from_raw_os_error(code));
        let Some(Fault::NoDescriptor(why)) = told(libc::EMFILE) else { panic!() };
        assert!(
            why.starts_with("no connection can be opened now: Too many open files; this process")
        );
        assert!(why.contains("LimitNOFILE"), "{why}");
        assert!(told(libc::ENFILE).is_some());
        assert_eq!(told(libc::ECONNREFUSED), None);
    }
}
