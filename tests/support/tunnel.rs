//! Ends of TLS on both sides of the proxy, which understands only what is in the clear: an agent speaks TLS to
//! one, the proxy stands behind that, and the other speaks TLS to the broker.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};
use rustls::{ServerConfig, ServerConnection};

/// How often the end of the test is looked for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// See the module. It takes no connections any more when this value goes.
#[derive(Debug)]
pub struct Tunnel {
    port: u16,
    is_over: Arc<AtomicBool>,
}

/// On which side it speaks TLS.
#[derive(Debug, Clone)]
enum Side {
    /// To who connects.
    In(Arc<ServerConfig>),
    /// To whom it connects.
    Out(Arc<ClientConfig>),
}

impl Tunnel {
    /// Takes TLS, with this certificate and key (PEM), and goes on to `target` in the clear.
    pub fn from_tls(certificate: &Path, key: &Path, target: &str) -> Tunnel {
        let chain = CertificateDer::from_pem_file(certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key);
        Tunnel::start(Side::In(Arc::new(config.expect("a key for the certificate"))), target)
    }

    /// Takes what is in the clear, and goes on by TLS to `target`, whose authority is this (PEM).
    pub fn to_tls(authority: &Path, target: &str) -> Tunnel {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("one");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Tunnel::start(Side::Out(Arc::new(config)), target)
    }

    fn start(side: Side, target: &str) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let is_over = Arc::new(AtomicBool::new(false));
        let (of_thread, target) = (is_over.clone(), target.to_string());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if of_thread.load(Ordering::Relaxed) {
                    return;
                }
                let (side, target, is_over) = (side.clone(), target.clone(), of_thread.clone());
                std::thread::spawn(move || {
                    let Ok(far) = TcpStream::connect(target) else { return };
                    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
                    let _ = match side {
                        Side::In(config) => {
                            let tls = ServerConnection::new(config).expect("a session");
                            carry(Connection::Server(tls), near, far, &is_over)
                        }
                        Side::Out(config) => {
                            let name = ServerName::try_from("127.0.0.1").expect("an address");
                            let tls = ClientConnection::new(config, name).expect("a session");
                            carry(Connection::Client(tls), far, near, &is_over)
                        }
                    };
                });
            }
        });
        Tunnel { port, is_over }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Between a socket with TLS and one without, until one of them ends.
fn carry(
    mut tls: Connection,
    mut crypt: TcpStream,
    mut clear: TcpStream,
    is_over: &AtomicBool,
) -> io::Result<()> {
    crypt.set_nonblocking(true)?;
    clear.set_nonblocking(true)?;
    tls.set_buffer_limit(None);
    let mut to_clear = Vec::new();
    let (mut has_crypt_ended, mut has_clear_ended) = (false, false);
    while !is_over.load(Ordering::Relaxed) {
        let may_take = !tls.wants_write() && !tls.is_handshaking();
        wait(
            &crypt,
            to_clear.is_empty(),
            tls.wants_write(),
            &clear,
            may_take,
            !to_clear.is_empty(),
        )?;
        if to_clear.is_empty() {
            match tls.read_tls(&mut crypt) {
                Ok(0) => has_crypt_ended = true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => drop(other?),
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let more = state.plaintext_bytes_to_read();
            to_clear.resize(more, 0);
            tls.reader().read_exact(&mut to_clear)?;
            has_crypt_ended |= state.peer_has_closed();
        }
        while !to_clear.is_empty() {
            match clear.write(&to_clear) {
                Ok(count) => drop(to_clear.drain(..count)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        if may_take {
            let mut some = [0; 32 << 10];
            match clear.read(&mut some) {
                Ok(0) => has_clear_ended = true,
                Ok(count) => tls.writer().write_all(&some[..count])?,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        while tls.wants_write() {
            match tls.write_tls(&mut crypt) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                other => drop(other?),
            }
        }
        if (has_crypt_ended && to_clear.is_empty()) || (has_clear_ended && !tls.wants_write()) {
            break;
        }
    }
    Ok(())
}

/// Until one of them stirs, each of them to be read and to be written where that is wanted.
fn wait(
    crypt: &TcpStream,
    reads_crypt: bool,
    writes_crypt: bool,
    clear: &TcpStream,
    reads_clear: bool,
    writes_clear: bool,
) -> io::Result<()> {
    let flags = |reads: bool, writes: bool| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads);
        flags.set(PollFlags::OUT, writes);
        flags
    };
    let mut fds = [
        PollFd::new(crypt, flags(reads_crypt, writes_crypt)),
        PollFd::new(clear, flags(reads_clear, writes_clear)),
    ];
    poll(&mut fds, Some(&LOOK))?;
    Ok(())
}
