//! Connecting without waiting, and the sockets that a library opened.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::Duration;

use super::check;

/// Begins to connect a non-blocking TCP socket and returns at once. The connection stands when
/// the descriptor can be written to and `take_error` of the stream gives `None`.
pub fn connect_start(address: &SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes numbers only.
    let fd = unsafe { libc::socket(family, kind, 0) };
    check(fd)?;
    // SAFETY: the descriptor is new and nobody else's; from here on the stream closes it.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    let result = match address {
        SocketAddr::V4(v4) => connect_to(&stream, &socket_address_v4(v4)),
        SocketAddr::V6(v6) => connect_to(&stream, &socket_address_v6(v6)),
    };
    match result {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(stream),
    }
}

/// `T` is one of the two socket addresses below.
fn connect_to<T>(stream: &TcpStream, address: &T) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: reads `len` bytes of a plain C structure that outlives the call.
    check(unsafe { libc::connect(stream.as_raw_fd(), (address as *const T).cast(), len) })
}

fn socket_address_v4(v4: &SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: v4.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn socket_address_v6(v6: &SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: v6.port().to_be(),
        sin6_flowinfo: v6.flowinfo(),
        sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
        sin6_scope_id: v6.scope_id(),
    }
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

/// Limits how long a blocking read or write of a socket may take, for sockets that a library
/// opened and does not hand out. A descriptor that is closed or no socket is an error, no harm.
pub fn set_io_timeout(fd: RawFd, timeout: Duration) -> io::Result<()> {
    let value =
        libc::timeval { tv_sec: timeout.as_secs() as _, tv_usec: timeout.subsec_micros() as _ };
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        // SAFETY: setsockopt reads the timeval, whose length is given; it changes nothing but a
        // number in the kernel, so that the library that owns the descriptor stays right.
        check(unsafe {
            let len = size_of::<libc::timeval>() as libc::socklen_t;
            libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const value).cast(), len)
        })?;
    }
    Ok(())
}
