//! Framed requests and answers on one non-blocking TCP connection.
//!
//! Nothing here waits but `call` and `pause`, which `check` and `verify` use; these go through
//! `os::wait`, so that a request to stop ends them at once. Nothing that the peer says is believed before it is checked: memory grows with the bytes that have arrived, not
//! with the length that was claimed.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::broker::{Fault, Progress};
use super::finish::{Waits, finish};
use super::greet::LOOK_PAUSE;
use super::sasl::Session;
use super::tls::Spoken;
use super::transport::{READ_BYTES, Received, Transport, is_not_now};
use crate::os::{self, Interest};

/// Largest answer to anything but a Fetch, bytes. Metadata of one topic with 10,000 partitions is
/// half a megabyte.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Largest answer to a Fetch, bytes: room for one batch of a very large `message.max.bytes`.
pub const FETCH_BYTES_MAX: usize = 128 << 20;
/// How long after the broker's own time limit its answer is still waited for.
const ANSWER_MARGIN: Duration = Duration::from_millis(2_000);

/// A connection to one broker. After any error it is of no further use.
pub struct Connection {
    transport: Transport,
    peer: String,
    /// Written by the caller, not yet taken by the transport; from `output_at` on.
    output: Vec<u8>,
    output_at: usize,
    /// Received and not yet asked for, from `input_at` on.
    input: Vec<u8>,
    input_at: usize,
    last_correlation: i32,
    /// Nothing is written before; what is sent meanwhile is kept.
    held_until: Option<Instant>,
    /// How long it was held since that was last asked for.
    held: Duration,
    /// The peer has closed it.
    has_ended: bool,
    /// For how long the peer believes who we are, if it tells.
    session: Option<Box<Session>>,
}

/// A request under way on a connection that carries nothing else.
#[derive(Debug)]
pub struct Call {
    correlation: i32,
    bytes_max: usize,
    deadline: Instant,
}

impl Connection {
    pub(super) fn over(transport: Transport, peer: &str) -> Connection {
        Connection {
            transport,
            peer: peer.to_string(),
            output: Vec::new(),
            output_at: 0,
            input: Vec::new(),
            input_at: 0,
            last_correlation: 0,
            held_until: None,
            held: Duration::ZERO,
            has_ended: false,
            session: None,
        }
    }

    /// When it is closed, or this process ends, the kernel drops what it has not delivered yet, and
    /// resets the connection in place of ending it.
    pub fn reset_at_close(&self) {
        // Where it cannot be set, what is left may be carried for a while, as on any connection.
        let _ = os::reset_at_close(self.fd());
    }

    /// `host:port`, as it was asked for.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Where it leads, as long as it stands.
    pub fn address(&self) -> Option<SocketAddr> {
        self.transport.address()
    }

    pub fn fd(&self) -> RawFd {
        self.transport.fd()
    }

    /// Is there output that the kernel has not taken yet and may be given?
    pub fn wants_write(&self) -> bool {
        self.transport.wants_write() || self.has_output() && self.held_until().is_none()
    }

    fn has_output(&self) -> bool {
        self.output_at < self.output.len()
    }

    /// Writes nothing more for that long: the broker has asked for it, since a quota is used up.
    pub fn hold(&mut self, pause: Duration) {
        let now = Instant::now();
        let held_until = self.held_until().unwrap_or(now);
        let until = held_until.max(now + pause);
        self.held += until - held_until;
        self.held_until = Some(until);
    }

    /// Until when nothing is written, if that is not over.
    pub fn held_until(&self) -> Option<Instant> {
        self.held_until.filter(|until| Instant::now() < *until)
    }

    /// For how long it was, or is going to be, held, that was not asked for before.
    pub fn take_held(&mut self) -> Duration {
        std::mem::take(&mut self.held)
    }

    /// Has the peer closed it?
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// We have logged in; `None` where that is believed for good.
    pub fn set_session(&mut self, session: Option<Session>) {
        self.session = session.map(Box::new);
    }

    /// The login, where it ends.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    pub fn session_mut(&mut self) -> Option<&mut Session> {
        self.session.as_deref_mut()
    }

    /// What is spoken, where it is TLS.
    pub fn tls(&self) -> Option<Spoken> {
        self.transport.spoken()
    }

    /// What more there is to say of a fault: listeners for SASL and for TLS close the connection when
    /// they are asked a question that they do not permit, or do not understand.
    pub fn hint(&self) -> &'static str {
        match self.has_ended {
            true => {
                " when it was asked; a listener for SASL or TLS does so: set \
                 kafka.producer.security.protocol, or name a plaintext one"
            }
            false => "",
        }
    }

    /// Bytes that have come, and that the peer's end has acknowledged: grows as long as the link
    /// carries anything, whatever the kernel holds.
    pub fn carried(&self) -> u64 {
        self.transport.carried()
    }

    /// A number for the next request, to be found again in its answer.
    pub fn next_correlation(&mut self) -> i32 {
        self.last_correlation = self.last_correlation.wrapping_add(1);
        self.last_correlation
    }

    /// Writes `parts` in one go as far as the kernel takes them and keeps a copy of the rest; of all
    /// while the connection is held.
    pub fn send(&mut self, parts: &[IoSlice<'_>]) -> Result<(), Fault> {
        self.flush()?;
        let mut written = 0;
        if !self.has_output() && self.held_until().is_none() {
            written = match self.transport.write(parts) {
                Ok(n) => n,
                // The rest goes out with `flush`.
                Err(e) if is_not_now(&e) => 0,
                Err(e) => return Err(self.lost(&e)),
            };
        }
        // What is written already makes room, or under steady pressure it would never be freed.
        self.output.drain(..self.output_at);
        self.output_at = 0;
        for part in parts {
            let taken = written.min(part.len());
            written -= taken;
            self.output.extend_from_slice(&part[taken..]);
        }
        self.flush()
    }

    /// Writes what is left of earlier output, as far as the kernel takes it; nothing while the
    /// connection is held.
    pub fn flush(&mut self) -> Result<(), Fault> {
        // What was encrypted before cannot be held back: the session has counted it.
        self.transport.flush().map_err(|e| self.lost(&e))?;
        if self.held_until().is_some() {
            return Ok(());
        }
        while self.has_output() {
            match self.transport.write(&[IoSlice::new(&self.output[self.output_at..])]) {
                Ok(0) => return Err(self.lost(&io::ErrorKind::WriteZero.into())),
                Ok(n) => self.output_at += n,
                Err(e) if is_not_now(&e) => return Ok(()),
                Err(e) => return Err(self.lost(&e)),
            }
        }
        self.output.clear();
        self.output_at = 0;
        Ok(())
    }

    /// Takes one whole answer (correlation id first), if it has come. Never blocks.
    ///
    /// # Errors
    /// `Fault::Lost` at the end of the stream, on an I/O error, and where the answer claims more
    /// than `bytes_max`.
    pub fn poll_answer(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            if let Some(answer) = self.take_frame(4, bytes_max)? {
                return Ok(Some(answer));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Takes one token of a login behind its length, as brokers before 1.0 send it. Never blocks.
    ///
    /// # Errors
    /// As [`Connection::poll_answer`].
    pub fn poll_token(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, Fault> {
        self.flush()?;
        loop {
            if let Some(token) = self.take_frame(0, bytes_max)? {
                return Ok(Some(token));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// All that has come, and whether nothing more will. Never blocks.
    ///
    /// # Errors
    /// `Fault::Lost` on an I/O error, and beyond `bytes_max`.
    pub fn poll_all(&mut self, bytes_max: usize) -> Result<(&[u8], bool), Fault> {
        self.flush()?;
        while !self.has_ended {
            match self.fill() {
                Ok(true) if self.input.len() > bytes_max => {
                    let why = format!("{}: the answer is too long", self.peer);
                    return Err(Fault::Lost(why));
                }
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if self.has_ended => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok((&self.input[self.input_at..], self.has_ended))
    }

    fn take_frame(&mut self, bytes_min: i32, bytes_max: usize) -> Result<Option<Vec<u8>>, Fault> {
        let Some((size, rest)) = self.input[self.input_at..].split_first_chunk::<4>() else {
            return Ok(None);
        };
        let size = i32::from_be_bytes(*size);
        if size < bytes_min || size as usize > bytes_max {
            return Err(Fault::Lost(self.no_answer(size.to_be_bytes())));
        }
        let Some(answer) = rest.get(..size as usize) else { return Ok(None) };
        let answer = answer.to_vec();
        self.input_at += 4 + size as usize;
        self.compact();
        Ok(Some(answer))
    }

    /// Gives back what was taken of the input, which a peer that always sends a little more than it
    /// was asked for would let grow for ever. Each byte is moved once at most.
    fn compact(&mut self) {
        let left = self.input.len() - self.input_at;
        if left == 0 || self.input_at >= left.max(READ_BYTES) {
            self.input.drain(..self.input_at);
            self.input_at = 0;
            // After a large fetch, give the memory back.
            self.input.shrink_to(left.max(READ_BYTES));
        }
    }

    /// What a peer is that begins its answer with these bytes in place of a length.
    fn no_answer(&self, first: [u8; 4]) -> String {
        let peer = &self.peer;
        let spoken = match &first {
            // An alert, or a greeting: the kind of record, and the version 3.x.
            [0x15 | 0x16, 0x03, ..] => {
                return format!(
                    "{peer} speaks TLS; set kafka.producer.security.protocol to SSL (with a login to SASL_SSL), \
                     or name a plaintext listener of the brokers"
                );
            }
            b"HTTP" => "HTTP",
            b"SSH-" => "SSH",
            _ => {
                let size = i32::from_be_bytes(first);
                return format!("{peer} claims an answer of {size} bytes, which is impossible");
            }
        };
        format!("{peer} speaks {spoken}; name a listener of the brokers")
    }

    /// Reads once. `false`: nothing is there.
    fn fill(&mut self) -> Result<bool, Fault> {
        let result = self.transport.read(&mut self.input);
        self.has_ended = match &result {
            Ok(received) => *received == Received::End,
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        };
        match result {
            Ok(Received::End) => Err(Fault::Lost(format!("{} closed the connection", self.peer))),
            Ok(Received::Some) => Ok(true),
            Ok(Received::Nothing) => Ok(false),
            Err(e) => Err(self.lost(&e)),
        }
    }

    /// Sends a whole request. Nothing else may be in flight. `bytes_max`: of the answer.
    ///
    /// # Errors
    /// `Fault::Lost`.
    pub fn begin(
        &mut self,
        request: &[u8],
        correlation: i32,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Call, Fault> {
        self.send(&[IoSlice::new(request)])?;
        Ok(Call { correlation, bytes_max, deadline })
    }

    /// The answer to `call` behind its correlation id, if it has come. Never blocks.
    ///
    /// # Errors
    /// `Fault::Lost`, also where it is overdue or to something else.
    pub fn poll(&mut self, call: &Call) -> Result<Progress<Vec<u8>>, Fault> {
        self.flush()?;
        if let Some(mut answer) = self.poll_answer(call.bytes_max)? {
            self.expect_correlation(&answer, call.correlation)?;
            answer.drain(..4);
            return Ok(Progress::Done(answer));
        }
        if Instant::now() < call.deadline {
            return Ok(Progress::Pending);
        }
        Err(Fault::Lost(format!("{} does not answer", self.peer)))
    }

    /// Sends a whole request and waits for its answer.
    ///
    /// # Errors
    /// As [`Connection::poll`]; `Fault::Stopped`.
    pub fn call(
        &mut self,
        request: &[u8],
        correlation: i32,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let call = self.begin(request, correlation, bytes_max, deadline)?;
        finish(self, |connection| connection.poll(&call))
    }

    /// Answers come in the order of the requests; another number means that we lost count.
    pub fn expect_correlation(&self, answer: &[u8], correlation: i32) -> Result<(), Fault> {
        if answer.get(..4) == Some(&correlation.to_be_bytes()) {
            return Ok(());
        }
        Err(Fault::Lost(format!("{} answered a request that was not sent", self.peer)))
    }

    fn lost(&self, error: &io::Error) -> Fault {
        Fault::Lost(format!("{}: {}", self.peer, reason(error)))
    }
}

impl Waits for Connection {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        add(self.fd(), self.wants_write());
    }

    fn patience(&self) -> Duration {
        LOOK_PAUSE
    }
}

/// Waits for one of `interests`; `false` when `deadline` has passed.
///
/// # Errors
/// `Fault::Stopped`; `Fault::Lost` where poll itself fails.
fn wait_until(interests: &[Interest], deadline: Instant) -> Result<bool, Fault> {
    loop {
        if os::stop_requested().is_some() {
            return Err(Fault::Stopped);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        if os::wait(interests, left).map_err(|e| Fault::Lost(format!("poll: {e}")))? {
            return Ok(true);
        }
    }
}

/// How long to wait for an answer of a broker that has so many milliseconds for its work.
pub fn answer_timeout(request_timeout_ms: u32) -> Duration {
    Duration::from_millis(request_timeout_ms.into()) + ANSWER_MARGIN
}

/// Waits `pause`, or until the agent is asked to stop.
pub fn pause(pause: Duration) -> Result<(), Fault> {
    wait_until(&[], Instant::now() + pause).map(drop)
}

/// `host:port`; an IPv6 address needs brackets before a port.
pub fn host_port(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Without the "(os error 111)" that means nothing to an operator.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::super::client::Client;
    use super::super::connecting::{Attempt, Connecting};
    use super::*;

    fn open(peer: &str, deadline: Instant) -> Result<Connection, Fault> {
        let mut connecting = Connecting::start(peer, None, &Client::plain(""), deadline)?;
        loop {
            connecting = match connecting.poll()? {
                Attempt::Made(connection) => return Ok(connection),
                Attempt::Later(connecting) => connecting,
            };
            let mut interests = Vec::new();
            connecting.descriptors(&mut |fd, write| interests.push(Interest { fd, write }));
            wait_until(&interests, deadline)?;
        }
    }

    #[test]
    fn a_connection_that_is_held_writes_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut connection = open(&address, soon()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        connection.hold(Duration::from_millis(400));
        connection.send(&[IoSlice::new(b"one ")]).unwrap();
        connection.hold(Duration::from_millis(300));
        connection.send(&[IoSlice::new(b"two")]).unwrap();
        connection.flush().unwrap();
        assert!(peer.read(&mut [0; 16]).is_err() || connection.held_until().is_none());
        while connection.held_until().is_some() {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(connection.wants_write());
        connection.flush().unwrap();
        assert!(!connection.wants_write());
        drop(connection);
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(400)
    }

    /// A peer that waits for a request, says `answer` and closes.
    fn peer(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(&answer);
        });
        address
    }

    fn call(answer: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let mut connection = open(&peer(answer), soon()).unwrap();
        let correlation = connection.next_correlation();
        connection.call(b"request", correlation, 1000, soon())
    }

    fn frame(correlation: i32, body: &[u8]) -> Vec<u8> {
        let size = (body.len() + 4) as i32;
        [&size.to_be_bytes(), &correlation.to_be_bytes(), body].concat()
    }

    #[test]
    fn an_answer_is_taken_and_a_wrong_one_refused() {
        assert_eq!(call(frame(1, b"fine")), Ok(b"fine".to_vec()));
        let wrong = [frame(2, b"fine"), vec![], vec![0, 0, 0, 1, 9], vec![0xff; 40]];
        for answer in wrong.into_iter().chain([frame(1, &[0; 2000]), b"HTTP/1.1 400".to_vec()]) {
            assert!(matches!(call(answer), Err(Fault::Lost(_))));
        }
    }

    /// There is always a part of the next answer in the buffer, so that it is never empty.
    #[test]
    fn answers_without_a_pause_do_not_make_the_input_grow() {
        const ANSWER_BYTES: usize = 300_000;
        let answers: Vec<u8> = (0..100).flat_map(|n| frame(n, &vec![7; ANSWER_BYTES])).collect();
        let mut connection = open(&peer(answers), soon()).unwrap();
        connection.send(&[IoSlice::new(b"request")]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut largest = 0;
        for correlation in 0..100 {
            let call = Call { correlation, bytes_max: 1 << 20, deadline };
            let answer = finish(&mut connection, |connection| connection.poll(&call)).unwrap();
            assert_eq!(answer.len(), ANSWER_BYTES);
            largest = largest.max(connection.input.capacity());
            // What comes meanwhile is taken with the next.
            let _ = connection.fill();
        }
        assert!(largest < 4 * ANSWER_BYTES, "{largest}");
    }

    #[test]
    fn a_peer_that_speaks_something_else_is_told_by_its_first_bytes() {
        let tls = vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50];
        let set = "TLS; set kafka.producer.security.protocol to SSL (with a login to SASL_SSL), or name a plaintext";
        for (answer, spoken) in [(tls, set), (b"HTTP/1.1 400 Bad".to_vec(), "HTTP; name a")] {
            let Err(Fault::Lost(why)) = call(answer) else { panic!("{spoken} is no answer") };
            let word = format!(" speaks {spoken} listener of the brokers");
            assert!(why.ends_with(&word), "{why}");
        }
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut connection = open(&address, soon()).unwrap();
        let start = Instant::now();
        assert!(matches!(connection.call(b"?", 1, 1000, soon()), Err(Fault::Lost(_))));
        assert!(start.elapsed() >= Duration::from_millis(390));
    }

    #[test]
    fn a_refused_connection_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let fault = open(&address, soon()).map(drop).unwrap_err();
        assert_eq!(fault, Fault::Unreachable("Connection refused".to_string()));
    }

    #[test]
    fn output_that_does_not_fit_is_sent_later() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut connection = open(&address, soon()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let sent: Vec<u8> = (0..20_000_000u32).map(|i| (i >> 3) as u8).collect();
        let parts = [&sent[..10], &sent[10..5_000_000], &sent[5_000_000..]];
        connection.send(&parts.map(IoSlice::new)).unwrap();
        assert!(connection.wants_write());
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; 20_000_000];
            server.read_exact(&mut all).unwrap();
            all
        });
        while connection.wants_write() {
            let interest = Interest { fd: connection.fd(), write: true };
            assert!(wait_until(&[interest], Instant::now() + Duration::from_secs(5)).unwrap());
            connection.flush().unwrap();
        }
        assert!(reader.join().unwrap() == sent);
    }
}
