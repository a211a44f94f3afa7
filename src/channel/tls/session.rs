//! One session of TLS over a socket that does not block, and its faults in words.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use rustls::{AlertDescription, CertificateError, ClientConnection, Error, PeerIncompatible};

use super::{Spoken, Summary};
use crate::channel::transport::{Received, is_not_now};

/// What a session keeps of output that the kernel has not taken, bytes.
const OUTPUT_BYTES_MAX: usize = 128 << 10;
/// What one read of the socket asks for, bytes: some records of 16 KiB.
const READ_BYTES: usize = 64 << 10;

/// A TLS session; the caller owns the socket.
pub struct Session {
    connection: ClientConnection,
    /// Have we a certificate to show?
    has_identity: bool,
    /// Bytes that the kernel has taken, and brought.
    written: u64,
    received: u64,
    scratch: Vec<u8>,
}

impl Session {
    pub(super) fn new(mut connection: ClientConnection, has_identity: bool) -> Session {
        connection.set_buffer_limit(Some(OUTPUT_BYTES_MAX));
        Session { connection, has_identity, written: 0, received: 0, scratch: Vec::new() }
    }

    /// Goes on with the handshake; `true` when it is done. Never blocks.
    ///
    /// # Errors
    /// In words.
    pub fn handshake(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut early = Vec::new();
        while self.connection.is_handshaking() {
            self.flush(stream)?;
            let read = match self.read(stream, &mut early) {
                // What it has not read of our greeting makes an end a reset.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Received::End,
                other => other?,
            };
            match read {
                Received::Some => {}
                Received::Nothing => return Ok(false),
                Received::End if self.received == 0 => {
                    return Err(told(
                        "it closed the connection when TLS began; a listener without TLS does so: name \
                         one of SSL or SASL_SSL, or correct security.protocol",
                    ));
                }
                Received::End => return Err(told("it closed the connection while TLS began")),
            }
        }
        self.flush(stream)?;
        // Nobody answers before they are asked.
        if early.is_empty() { Ok(true) } else { Err(told("it said something before it was asked")) }
    }

    /// Gives on what the session has for the kernel, as far as that takes it.
    pub fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n as u64,
                Err(e) if is_not_now(&e) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// See `Transport::write`.
    pub fn write(&mut self, stream: &mut TcpStream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        for part in parts {
            let mut rest = &part[..];
            while !rest.is_empty() {
                let some = self.connection.writer().write(rest)?;
                rest = &rest[some..];
                taken += some;
                if some == 0 {
                    self.flush(stream)?;
                    if self.connection.wants_write() {
                        return if taken > 0 {
                            Ok(taken)
                        } else {
                            Err(io::ErrorKind::WouldBlock.into())
                        };
                    }
                }
            }
        }
        self.flush(stream)?;
        Ok(taken)
    }

    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// See `Transport::read`. All that can be read of what has come is appended: nothing stays in the
    /// session that the kernel would not tell of.
    pub fn read(&mut self, stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Received> {
        self.scratch.resize(READ_BYTES, 0);
        let received = match stream.read(&mut self.scratch) {
            Ok(0) => return Ok(Received::End),
            Ok(n) => n,
            Err(e) if is_not_now(&e) => return Ok(Received::Nothing),
            Err(e) => return Err(e),
        };
        self.received += received as u64;
        let mut rest = &self.scratch[..received];
        let mut is_over = false;
        while !rest.is_empty() && !is_over {
            // Nothing is taken any more behind the other side's last word.
            is_over = self.connection.read_tls(&mut rest)? == 0;
            let state = match self.connection.process_new_packets() {
                Ok(state) => state,
                Err(e) => {
                    // It is told why, if the kernel takes it.
                    let _ = self.connection.write_tls(stream);
                    return Err(told(&words(&e, self.has_identity)));
                }
            };
            let (len, more) = (input.len(), state.plaintext_bytes_to_read());
            input.resize(len + more, 0);
            self.connection.reader().read_exact(&mut input[len..])?;
            is_over |= state.peer_has_closed();
        }
        Ok(if is_over { Received::End } else { Received::Some })
    }

    /// Bytes that the kernel has taken, and those that it has brought.
    pub fn counts(&self) -> (u64, u64) {
        (self.written, self.received)
    }

    /// What is spoken; `None` before the handshake is done.
    pub fn spoken(&self) -> Option<Spoken> {
        let version = match self.connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let suite = self.connection.negotiated_cipher_suite()?.suite();
        let cipher = suite.as_str().map(super::java_name).unwrap_or_default();
        let certificate = self.connection.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.and_then(|der| Summary::of(der));
        Some(Spoken { version, cipher, certificate })
    }
}

fn told(words: &str) -> io::Error {
    io::Error::other(words.to_string())
}

/// What is wrong, and what mends it. `has_identity`: we have a certificate to show.
fn words(error: &Error, has_identity: bool) -> String {
    let ciphers = "this program has TLS 1.2 and 1.3, with ECDHE and AES-GCM or ChaCha20; allow these in \
                   the broker's ssl.enabled.protocols and ssl.cipher.suites";
    match error {
        Error::InvalidCertificate(CertificateError::Other(refusal)) => refusal.to_string(),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity => {
                format!("it has no version of TLS or no cipher in common with us: {ciphers}")
            }
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::NoCertificate
                if !has_identity =>
            {
                "it wants a certificate of ours, and there is none: set ssl.keystore.location"
                    .to_string()
            }
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => format!(
                "it refuses our certificate ({alert:?}): is that still valid, and its issuer in the \
                 broker's trust store?"
            ),
            other => format!("it ended TLS with the alert {other:?}"),
        },
        // In place of an alert those of 0.10 send a piece of the handshake once more, and those of 2.8 one
        // that nobody can decrypt.
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::DecryptError => {
            let why = match has_identity {
                false => {
                    "it wants a certificate of ours, and there is none: set ssl.keystore.location"
                }
                true => "it refuses our certificate",
            };
            format!("it broke TLS off, as brokers before 3.0 do; perhaps {why} ({error})")
        }
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            format!("it speaks an older version of TLS only: {ciphers}")
        }
        Error::PeerIncompatible(_) => format!("it has nothing in common with us: {ciphers}"),
        Error::InvalidMessage(_) => {
            "it does not speak TLS; name a listener of SSL or SASL_SSL, or correct \
                                     security.protocol"
                .to_string()
        }
        other => format!("TLS: {other}"),
    }
}
