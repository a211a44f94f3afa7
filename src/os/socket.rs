//! Connecting without waiting, and the sockets that a library opened.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getpeername, socket_with};

/// Begins to connect a non-blocking TCP socket and returns at once. The connection stands when
/// the descriptor can be written to and `take_error` of the stream gives `None`.
pub fn connect_start(address: &SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, address) {
        Err(e) if e != Errno::INPROGRESS => Err(e.into()),
        _ => Ok(TcpStream::from(socket)),
    }
}

/// Bytes that were written to a TCP socket and that its peer has not acknowledged yet.
pub fn unacknowledged_bytes(stream: &TcpStream) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int to where the pointer leads, and there is one.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes.max(0) as u64) }
}

/// The sockets that this process has open, as /proc tells; empty where it does not.
pub fn open_sockets() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let mut sockets: Vec<RawFd> = entries
        .flatten()
        .filter(|e| {
            std::fs::read_link(e.path())
                .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
        })
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect();
    sockets.sort_unstable();
    sockets
}

/// The port at the other end of a socket that a library opened, if it is one of TCP and connected.
pub fn peer_port(fd: RawFd) -> Option<u16> {
    // SAFETY: as in `set_io_timeout`: one call, which changes nothing.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let peer = SocketAddr::try_from(getpeername(socket).ok()??).ok()?;
    Some(peer.port())
}

/// Limits how long a blocking read or write of a socket may take, for sockets that a library
/// opened and does not hand out. A descriptor that is closed or no socket is an error, no harm.
pub fn set_io_timeout(fd: RawFd, timeout: Duration) -> io::Result<()> {
    // SAFETY: borrowed for two calls that change nothing but a number in the kernel, so that the
    // library that owns the descriptor stays right.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    set_socket_timeout(socket, Timeout::Recv, Some(timeout))?;
    Ok(set_socket_timeout(socket, Timeout::Send, Some(timeout))?)
}

/// Has a socket reset its connection when it is closed, by whatever end of the
/// process: what its peer has not acknowledged by then is not sent any more. A descriptor that is
/// closed or no socket is an error, no harm.
pub fn reset_at_close(fd: RawFd) -> io::Result<()> {
    // SAFETY: as in `set_io_timeout`.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(set_socket_linger(socket, Some(Duration::ZERO))?)
}
