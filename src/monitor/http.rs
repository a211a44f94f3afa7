//! A tiny HTTP server for a few short pages, driven by the agent's loop.
//!
//! Nobody can hold up the loop here: every socket is non-blocking, there are few connections with
//! small buffers, a turn does a bounded amount of work, and who is slow is dropped. Each connection
//! serves one request.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};

/// Connections at most. One more takes the place of the oldest.
const CLIENTS_MAX: usize = 8;
/// Longest request, bytes.
const REQUEST_BYTES_MAX: usize = 4096;
/// A connection lives no longer, ms.
const CLIENT_MS_MAX: u64 = 3_000;
/// New connections in one turn.
const ACCEPTS_MAX: usize = 4;
/// How long nobody is accepted after that has failed, ms: who waits would wake the loop at once.
const REST_MS: u64 = 1_000;
/// Pages made in one turn.
const PAGES_MAX: usize = 2;

/// Content type and body.
pub(super) type Page = (&'static str, String);

/// The listening socket and those who have connected.
pub(super) struct Http {
    listener: TcpListener,
    /// Until then nobody is accepted.
    rests_until_ms: Option<u64>,
    clients: Vec<Client>,
}

struct Client {
    stream: TcpStream,
    since_ms: u64,
    input: Vec<u8>,
    /// Empty until the request is whole.
    output: Vec<u8>,
    output_at: usize,
}

impl Http {
    pub(super) fn bind(address: impl ToSocketAddrs) -> io::Result<Http> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Http { listener, rests_until_ms: None, clients: Vec::with_capacity(CLIENTS_MAX) })
    }

    pub(super) fn address(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// What to wait for: descriptor, and whether room to write is waited for too.
    pub(super) fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        if self.rests_until_ms.is_none() {
            add(self.listener.as_raw_fd(), false);
        }
        for client in &self.clients {
            add(client.stream.as_raw_fd(), !client.output.is_empty());
        }
    }

    /// Serves who is there. `page` makes the page of a path.
    pub(super) fn turn(&mut self, now_ms: u64, page: &mut dyn FnMut(&str) -> Option<Page>) {
        self.accept(now_ms);
        let mut pages_left = PAGES_MAX;
        self.clients.retain_mut(|client| {
            now_ms.saturating_sub(client.since_ms) < CLIENT_MS_MAX
                && client.turn(&mut pages_left, page).unwrap_or(false)
        });
    }

    fn accept(&mut self, now_ms: u64) {
        if self.rests_until_ms.is_some_and(|until_ms| now_ms < until_ms) {
            return;
        }
        self.rests_until_ms = None;
        for _ in 0..ACCEPTS_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) => return self.rest_after(&e, now_ms),
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() == CLIENTS_MAX {
                self.clients.remove(0);
            }
            self.clients.push(Client {
                stream,
                since_ms: now_ms,
                input: Vec::new(),
                output: Vec::new(),
                output_at: 0,
            });
        }
    }

    /// Without a descriptor left, who waits stays in the queue and the listener readable.
    fn rest_after(&mut self, e: &io::Error, now_ms: u64) {
        let is_over = is_not_now(e) || e.kind() == io::ErrorKind::ConnectionAborted;
        self.rests_until_ms = (!is_over).then_some(now_ms + REST_MS);
    }
}

impl Client {
    /// One step. `false`: the connection is done with.
    fn turn(
        &mut self,
        pages_left: &mut usize,
        page: &mut dyn FnMut(&str) -> Option<Page>,
    ) -> io::Result<bool> {
        if self.output.is_empty() {
            if !self.read()? {
                return Ok(false);
            }
            if !self.is_whole() {
                return Ok(true);
            }
            if *pages_left == 0 {
                return Ok(true);
            }
            *pages_left -= 1;
            self.output = answer(&self.input, page);
        } else {
            // What it says besides is of no interest, but would wake the loop again and again.
            self.input.clear();
            self.read()?;
        }
        self.write()
    }

    /// Reads once. `false` at the end of the stream.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; REQUEST_BYTES_MAX];
        let room = REQUEST_BYTES_MAX - self.input.len();
        if room == 0 {
            return Ok(true);
        }
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => Ok(false),
            Ok(n) => {
                self.input.extend_from_slice(&buffer[..n]);
                Ok(true)
            }
            Err(e) if is_not_now(&e) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// Has the head of the request come, or more than there may be?
    fn is_whole(&self) -> bool {
        let ends = |end: &[u8]| self.input.windows(end.len()).any(|w| w == end);
        self.input.len() == REQUEST_BYTES_MAX || ends(b"\r\n\r\n") || ends(b"\n\n")
    }

    fn write(&mut self) -> io::Result<bool> {
        match self.stream.write(&self.output[self.output_at..]) {
            Ok(n) => self.output_at += n,
            Err(e) if is_not_now(&e) => {}
            Err(e) => return Err(e),
        }
        if self.output_at < self.output.len() {
            return Ok(true);
        }
        let _ = self.stream.shutdown(Shutdown::Write);
        Ok(false)
    }
}

fn is_not_now(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn answer(request: &[u8], page: &mut dyn FnMut(&str) -> Option<Page>) -> Vec<u8> {
    let line = request.split(|&b| b == b'\r' || b == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !words.next().is_some_and(|version| version.starts_with("HTTP/")) {
        return plain("400 Bad Request", "this is no request");
    }
    if method != "GET" && method != "HEAD" {
        return plain("405 Method Not Allowed", "only GET and HEAD");
    }
    let path = target.split('?').next().unwrap_or_default();
    let Some((kind, body)) = page(path) else {
        return plain("404 Not Found", "there are /metrics and /prometheus");
    };
    response("200 OK", kind, &body, method == "GET")
}

fn plain(status: &str, text: &str) -> Vec<u8> {
    response(status, "text/plain; charset=utf-8", &format!("{text}\n"), true)
}

fn response(status: &str, kind: &str, body: &str, with_body: bool) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if with_body {
        out.push_str(body);
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(request: &str) -> String {
        let mut page = |path: &str| (path == "/x").then(|| ("text/plain", "body".to_string()));
        String::from_utf8(answer(request.as_bytes(), &mut page)).unwrap()
    }

    #[test]
    fn requests_and_what_is_none() {
        assert!(get("GET /x?a=b HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("\r\n\r\nbody"));
        let head = get("HEAD /x HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 4\r\n") && head.ends_with("\r\n\r\n"));
        assert!(get("GET /y HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(get("POST /x HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        for garbage in ["", "\n\n", "GET", "GET /x", "\u{0}\u{1}"] {
            assert!(get(garbage).starts_with("HTTP/1.1 400 "));
        }
    }

    #[test]
    fn a_listener_that_can_not_accept_does_not_wake_the_loop() {
        let mut http = Http::bind("127.0.0.1:0").unwrap();
        let count = |http: &Http| {
            let mut count = 0;
            http.descriptors(&mut |_, _| count += 1);
            count
        };
        http.rest_after(&io::ErrorKind::WouldBlock.into(), 0);
        assert_eq!(count(&http), 1);
        // EMFILE
        http.rest_after(&io::Error::from_raw_os_error(24), 0);
        let _client = TcpStream::connect(http.address().unwrap()).unwrap();
        http.turn(REST_MS - 1, &mut |_| None);
        assert_eq!((count(&http), http.clients.len()), (0, 0));
        http.turn(REST_MS, &mut |_| None);
        assert_eq!((count(&http), http.clients.len()), (2, 1));
    }

    #[test]
    fn many_idle_connections_give_way_to_one_that_asks() {
        let mut http = Http::bind("127.0.0.1:0").unwrap();
        let address = http.address().unwrap();
        let mut idle = Vec::new();
        for now_ms in 0..50 {
            idle.push(TcpStream::connect(address).unwrap());
            http.turn(now_ms, &mut |_| None);
        }
        assert_eq!(http.clients.len(), CLIENTS_MAX);
        let mut one = TcpStream::connect(address).unwrap();
        one.write_all(b"GET /x HTTP/1.1\r\n\r\n").unwrap();
        let mut read = String::new();
        for _ in 0..100 {
            http.turn(100, &mut |_| Some(("text/plain", "here".to_string())));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        one.read_to_string(&mut read).unwrap();
        assert!(read.ends_with("here"), "{read}");
        http.turn(100 + CLIENT_MS_MAX, &mut |_| None);
        assert!(http.clients.is_empty());
    }
}
