//! The bytes of a connection: in the clear, or by TLS. Never blocks.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, RawFd};

use super::tls::{Session, Spoken};
use crate::os;

/// What one read asks for, bytes.
pub const READ_BYTES: usize = 64 << 10;

/// A TCP connection that stands, and what is spoken over it.
pub struct Transport {
    stream: TcpStream,
    /// `None`: in the clear.
    tls: Option<Box<Session>>,
    /// Bytes that the kernel has taken, and brought, in the clear.
    written: u64,
    received: u64,
}

/// What a read has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The kernel has nothing.
    Nothing,
    /// Something, and there may be more.
    Some,
    /// The peer has closed the connection.
    End,
}

impl Transport {
    /// Over a connection that stands; by TLS where there is a session.
    pub fn new(stream: TcpStream, session: Option<Box<Session>>) -> Transport {
        Transport { stream, tls: session, written: 0, received: 0 }
    }

    /// Goes on with what has to be said before anything else; `true` when it is done.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub fn handshake(&mut self) -> io::Result<bool> {
        match &mut self.tls {
            None => Ok(true),
            Some(session) => session.handshake(&mut self.stream),
        }
    }

    /// Of the other end, as long as the connection stands.
    pub fn address(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    pub fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Takes the first bytes of `parts`, and tells how many: these are on their way, or kept.
    ///
    /// # Errors
    /// `WouldBlock`, `Interrupted`: none now. Any other: the connection is of no further use.
    pub fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(session) = &mut self.tls {
            return session.write(&mut self.stream, parts);
        }
        let taken = self.stream.write_vectored(parts)?;
        self.written += taken as u64;
        Ok(taken)
    }

    /// Does it keep bytes that the kernel has not taken yet?
    pub fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.wants_write())
    }

    /// Gives these on, as far as the kernel takes them.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(session) => session.flush(&mut self.stream),
        }
    }

    /// Reads once, and appends to `input` what that has brought.
    ///
    /// # Errors
    /// The connection is of no further use.
    pub fn read(&mut self, input: &mut Vec<u8>) -> io::Result<Received> {
        if let Some(session) = &mut self.tls {
            return session.read(&mut self.stream, input);
        }
        let len = input.len();
        input.resize(len + READ_BYTES, 0);
        let result = self.stream.read(&mut input[len..]);
        let received = result.as_ref().copied().unwrap_or(0);
        input.truncate(len + received);
        self.received += received as u64;
        match result {
            Ok(0) => Ok(Received::End),
            Ok(_) => Ok(Received::Some),
            Err(e) if is_not_now(&e) => Ok(Received::Nothing),
            Err(e) => Err(e),
        }
    }

    /// Bytes that have come, and that the peer's end has acknowledged: grows as long as the link
    /// carries anything, whatever the kernel holds.
    pub fn carried(&self) -> u64 {
        let waiting = os::unacknowledged_bytes(&self.stream).unwrap_or(0);
        let (written, received) = match &self.tls {
            None => (self.written, self.received),
            Some(session) => session.counts(),
        };
        received + written.saturating_sub(waiting)
    }

    /// What is spoken, where it is TLS and its handshake is done.
    pub fn spoken(&self) -> Option<Spoken> {
        self.tls.as_ref()?.spoken()
    }
}

/// Is it no fault, and may be tried again?
pub fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
