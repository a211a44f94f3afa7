//! A tiny HTTP server for a few short pages, driven by the agent's loop.
//!
//! No client can hold up the loop here: every socket is non-blocking, there are few connections with
//! small buffers, a turn does a bounded amount of work, and slow clients are dropped. Each connection
//! serves one request.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};

/// Connections at most. One more takes the place of the oldest.
const CLIENTS_MAX: usize = 8;
/// Longest request, bytes.
const REQUEST_BYTES_MAX: usize = 4096;
/// What a browser may do with a page of ours.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'\r\n";
/// Header fields of a request.
const HEADERS_MAX: usize = 64;
/// A connection lives no longer, ms.
const CLIENT_MS_MAX: u64 = 3_000;
/// New connections in one turn.
const ACCEPTS_MAX: usize = 4;
/// How long no client is accepted after that has failed, ms: a waiting one would wake the loop at once.
const REST_MS: u64 = 1_000;
/// Pages made in one turn.
const PAGES_MAX: usize = 2;

/// What is served under a path.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Such as `200 OK`.
    pub status: &'static str,
    /// Content type.
    pub kind: &'static str,
    pub body: String,
}

impl Page {
    pub(super) fn new(kind: &'static str, body: String) -> Page {
        Page { status: "200 OK", kind, body }
    }
}

/// The listening socket and those who have connected.
pub(super) struct Http {
    listener: TcpListener,
    /// By which it may be asked, besides addresses and `localhost`.
    names: Vec<String>,
    /// Until then no client is accepted.
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
    /// It sends no more.
    is_ended: bool,
}

impl Http {
    pub(super) fn bind(address: impl ToSocketAddrs, names: Vec<String>) -> io::Result<Http> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Http { listener, names, rests_until_ms: None, clients: Vec::with_capacity(CLIENTS_MAX) })
    }

    pub(super) fn address(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// What to wait for: descriptor, and whether room to write is waited for too.
    pub(super) fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        if self.rests_until_ms.is_none() {
            add(self.listener.as_raw_fd(), false);
        }
        // The end of what a client says stirs for ever: it gets what is left in the loop's own turns.
        for client in self.clients.iter().filter(|client| !client.is_ended) {
            add(client.stream.as_raw_fd(), !client.output.is_empty());
        }
    }

    /// Serves the waiting clients. `page` makes the page of a path.
    pub(super) fn turn(&mut self, now_ms: u64, page: &mut dyn FnMut(&str) -> Option<Page>) {
        self.accept(now_ms);
        let mut pages_left = PAGES_MAX;
        let names = &self.names;
        self.clients.retain_mut(|client| {
            now_ms.saturating_sub(client.since_ms) < CLIENT_MS_MAX
                && client.turn(&mut pages_left, names, page).unwrap_or(false)
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
                is_ended: false,
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
        names: &[String],
        page: &mut dyn FnMut(&str) -> Option<Page>,
    ) -> io::Result<bool> {
        if self.output.is_empty() {
            self.read()?;
            if *pages_left == 0 {
                return Ok(true);
            }
            let Some(output) = answer(&self.input, names, page) else {
                // Of one that has ended no more comes.
                return Ok(!self.is_ended);
            };
            *pages_left -= 1;
            self.output = output;
        } else {
            // What it says besides is of no interest, but would wake the loop again and again.
            self.input.clear();
            self.read()?;
        }
        self.write()
    }

    /// Reads once.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; REQUEST_BYTES_MAX];
        let room = REQUEST_BYTES_MAX - self.input.len();
        if room == 0 || self.is_ended {
            return Ok(());
        }
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => self.is_ended = true,
            Ok(n) => self.input.extend_from_slice(&buffer[..n]),
            Err(e) if is_not_now(&e) => {}
            Err(e) => return Err(e),
        }
        Ok(())
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

/// The answer to what has come; `None` as long as it is not whole.
fn answer(
    input: &[u8],
    names: &[String],
    page: &mut dyn FnMut(&str) -> Option<Page>,
) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input) {
        Ok(httparse::Status::Complete(_)) => Some(answer_head(&request, names, page)),
        Ok(httparse::Status::Partial) if input.len() < REQUEST_BYTES_MAX => None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            Some(plain("431 Request Header Fields Too Large", "the head is too long"))
        }
        Err(_) => Some(plain("400 Bad Request", "this is not a request")),
    }
}

fn answer_head(
    request: &httparse::Request<'_, '_>,
    names: &[String],
    page: &mut dyn FnMut(&str) -> Option<Page>,
) -> Vec<u8> {
    let method = request.method.unwrap_or_default();
    if method != "GET" && method != "HEAD" {
        return plain("405 Method Not Allowed", "only GET and HEAD");
    }
    let mut hosts = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_ours(host.value, names) => {}
        (Some(_), None) => {
            // A page from elsewhere whose name was made to lead here must not read what is here.
            return plain(
                "421 Misdirected Request",
                "ask by address, as localhost, by this machine's name, or by the name that \
                 -Dflume.monitoring.host gives",
            );
        }
        // Browsers always say whom they ask, and so does whoever speaks 1.1.
        (None, _) if request.version == Some(0) => {}
        _ => return plain("400 Bad Request", "one Host header, no more and no less"),
    }
    let mut path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
    if path == "/prometheus" && accepts_open_metrics(request) {
        path = super::OPEN_METRICS;
    }
    let Some(page) = page(path) else {
        let text = "there are /healthz, /readyz, /status.json, /metrics and /prometheus";
        return plain("404 Not Found", text);
    };
    response(page.status, page.kind, &page.body, method == "GET")
}

fn accepts_open_metrics(request: &httparse::Request<'_, '_>) -> bool {
    let accepts = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case("accept"));
    let kinds = accepts.filter_map(|h| std::str::from_utf8(h.value).ok());
    let mut kinds = kinds.flat_map(|kinds| kinds.split(','));
    kinds.any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/openmetrics-text")
    })
}

/// Is it an address, `localhost` or one of `names`, with or without a port?
fn is_ours(host: &[u8], names: &[String]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let host = host.trim();
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    if let Some((inner, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_port = port.strip_prefix(':').map_or(port.is_empty(), is_port);
        return is_port && inner.parse::<Ipv6Addr>().is_ok();
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn plain(status: &str, text: &str) -> Vec<u8> {
    response(status, "text/plain; charset=utf-8", &format!("{text}\n"), true)
}

fn response(status: &str, kind: &str, body: &str, with_body: bool) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if kind.starts_with("text/html") {
        // Nothing from elsewhere, whatever a name in it may say.
        let end = out.len() - 2;
        out.insert_str(end, POLICY);
    }
    if with_body {
        out.push_str(body);
    }
    out.into_bytes()
}

/// Whatever a client may ask.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(super) fn fuzz(request: &[u8]) {
    let mut page = |path: &str| (path == "/x").then(|| Page::new("text/plain", String::new()));
    if let Some(answer) = answer(request, &["log.example".to_string()], &mut page) {
        assert!(answer.starts_with(b"HTTP/1.1 "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(request: &str) -> Option<String> {
        let mut page =
            |path: &str| (path == "/x").then(|| Page::new("text/plain", "body".to_string()));
        let answer = answer(request.as_bytes(), &["Log.example".to_string()], &mut page);
        answer.map(|answer| String::from_utf8(answer).unwrap())
    }

    #[test]
    fn requests_and_what_is_none() {
        let host = "Host: localhost:1\r\n";
        let said = |request: &str| get(request).unwrap();
        assert!(said(&format!("GET /x?a=b HTTP/1.1\r\n{host}\r\n")).ends_with("\r\n\r\nbody"));
        let head = said("HEAD /x HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 4\r\n") && head.ends_with("\r\n\r\n"));
        assert!(said(&format!("GET /y HTTP/1.1\r\n{host}\r\n")).starts_with("HTTP/1.1 404 "));
        assert!(said(&format!("POST /x HTTP/1.1\r\n{host}\r\n")).starts_with("HTTP/1.1 405 "));
        for garbage in ["GET /x\r\n\r\n", "\u{0}\u{1}", "GET /x HTTP/9.9\r\n\r\n", "GET\n\n"] {
            assert!(said(garbage).starts_with("HTTP/1.1 400 "), "{garbage}");
        }
        for part in ["", "\r\n", "GET", "GET /x", "GET /x HTTP/1.1\r\nHost: 1.2.3.4\r\n"] {
            assert_eq!(get(part), None, "{part}");
        }
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(REQUEST_BYTES_MAX));
        assert!(said(&long[..REQUEST_BYTES_MAX]).starts_with("HTTP/1.1 431 "));
        let many = format!("GET /x HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(said(&many).starts_with("HTTP/1.1 431 "));
    }

    /// A page from elsewhere could have a name that leads here and read everything.
    #[test]
    fn a_name_that_is_not_ours_is_refused() {
        let status = |host: &str| {
            let said = get(&format!("GET /x HTTP/1.1\r\n{host}\r\n")).unwrap();
            said.split(' ').nth(1).unwrap().to_string()
        };
        let names =
            ["127.0.0.1", "127.0.0.1:41414", "[::1]:8", "[::1]", "LOCALHOST", "localhost.:1"];
        for host in names.iter().chain(&["log.example:80", "10.0.0.7"]) {
            assert_eq!(status(&format!("Host: {host}\r\n")), "200", "{host}");
        }
        let foreign =
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1"];
        for host in foreign.iter().chain(&["::1", "log.example:x", "[::1]x", "a@127.0.0.1"]) {
            assert_eq!(status(&format!("Host: {host}\r\n")), "421", "{host}");
        }
        assert_eq!(status(""), "400");
        assert_eq!(status("Host: localhost\r\nHost: evil.example\r\n"), "400");
    }

    /// Who shuts its side down after the request waits for the answer, and does not wake the loop.
    #[test]
    fn a_half_closed_client_is_answered_and_stirs_no_more() {
        let mut http = Http::bind("127.0.0.1:0", Vec::new()).unwrap();
        let mut client = TcpStream::connect(http.address().unwrap()).unwrap();
        client.write_all(b"GET /x HTTP/1.0\r\n\r\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let large = "x".repeat(20 << 20);
        let mut page = |_: &str| Some(Page::new("text/plain", large.clone()));
        let ended = |http: &Http| http.clients.first().is_some_and(|c| c.is_ended);
        for _ in 0..1_000 {
            http.turn(0, &mut page);
            if ended(&http) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(ended(&http));
        let mut count = 0;
        http.descriptors(&mut |_, _| count += 1);
        assert_eq!(count, 1, "the listener alone");
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            client.read_to_end(&mut read).unwrap();
            read.len()
        });
        while !http.clients.is_empty() {
            http.turn(0, &mut page);
        }
        assert!(reader.join().unwrap() > large.len());
    }

    #[test]
    fn a_listener_that_can_not_accept_does_not_wake_the_loop() {
        let mut http = Http::bind("127.0.0.1:0", Vec::new()).unwrap();
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
        let mut http = Http::bind("127.0.0.1:0", Vec::new()).unwrap();
        let address = http.address().unwrap();
        let mut idle = Vec::new();
        for now_ms in 0..50 {
            idle.push(TcpStream::connect(address).unwrap());
            http.turn(now_ms, &mut |_| None);
        }
        assert_eq!(http.clients.len(), CLIENTS_MAX);
        let mut one = TcpStream::connect(address).unwrap();
        one.write_all(b"GET /x HTTP/1.0\r\n\r\n").unwrap();
        let mut read = String::new();
        for _ in 0..100 {
            http.turn(100, &mut |_| Some(Page::new("text/plain", "here".to_string())));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        one.read_to_string(&mut read).unwrap();
        assert!(read.ends_with("here"), "{read}");
        http.turn(100 + CLIENT_MS_MAX, &mut |_| None);
        assert!(http.clients.is_empty());
    }
}
