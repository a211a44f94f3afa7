//! A proxy between an agent and a broker that cuts and delays where it is told to. It
//! understands just enough of Kafka's framing to know a Produce request and its answer.
//!
//! Brokers advertise their own address, so a broker behind a proxy has to be started with
//! `advertised.listeners` naming the proxy: see [`Proxy::cluster`].

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::children::lock;
use super::cluster::{Brokers, Cluster, end_with_program};
use super::elder;

/// What happens to a Produce request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The connection ends; the broker has seen nothing.
    BeforeRequest,
    /// The broker gets half of it.
    MidRequest,
    /// The broker gets it, the answer is dropped with the connection.
    Answer,
    /// Half of the answer arrives.
    MidAnswer,
    /// The answer comes after so long.
    LateAnswer(Duration),
    /// The connection ends at once, yet the broker gets the request after so long.
    LateRequest(Duration),
    /// The connection falls silent: nothing goes on, nothing is closed.
    Silence,
}

/// A cut that waits for its request.
#[derive(Debug, Default)]
struct Armed {
    cut: Option<Cut>,
    /// Which Produce request it is for, counted from now: 1 for the next.
    left: u64,
    /// Produce requests since it was armed.
    seen: u64,
    has_struck: bool,
}

#[derive(Debug, Default)]
struct Shared {
    target: Mutex<Option<String>>,
    armed: Mutex<Armed>,
    links: Mutex<Vec<Weak<Link>>>,
    /// Bytes that pass towards the broker in a second, on each connection; 0: all.
    bytes_s: AtomicU64,
    /// On a question for its versions the broker closes the connection, as those before 0.10 do.
    is_old: AtomicBool,
    is_over: AtomicBool,
}

/// A proxy in front of a broker; everything ends when this value is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens; what connects waits until `aim` says where to.
    pub fn new() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = of_thread.clone();
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Proxy { port, shared }
    }

    /// One broker that is reached through a proxy alone; the brokers' address is the proxy's.
    pub fn cluster(version: &str) -> (Proxy, Cluster, Brokers) {
        let proxy = Proxy::new();
        let address = proxy.address();
        let listener = format!("PLAINTEXT://{address}");
        let plan = match version.starts_with("0.8.") {
            true => Cluster::with(version).set("advertised.port", proxy.port),
            false => Cluster::with(version).set("advertised.listeners", listener),
        };
        // A broker may speak to itself at its advertised address while it starts.
        let cluster = plan.start_when_prepared(|bootstrap| proxy.aim(bootstrap));
        if let Some(dir) = elder::dir(cluster.bootstrap()) {
            elder::note(&address, &dir);
        }
        let brokers = Brokers::at(&address);
        (proxy, cluster, brokers)
    }

    /// The same, with a broker that other tests have, too (from 0.10.2 on): it has a listener for each of a
    /// few proxies, since a broker costs more than most of the tests that want one.
    pub fn to_shared(version: &str) -> (Proxy, Brokers) {
        static FREE: Mutex<Option<HashMap<String, Vec<Proxy>>>> = Mutex::new(None);
        let mut free = lock(&FREE);
        let free = free.get_or_insert_default().entry(version.to_string()).or_default();
        if free.is_empty() {
            *free = Proxy::before_one(version);
        }
        let proxy = free.pop().expect("some were made");
        let brokers = Brokers::at(&proxy.address());
        (proxy, brokers)
    }

    /// Proxies before the listeners of one broker, which ends with the program.
    fn before_one(version: &str) -> Vec<Proxy> {
        const COUNT: usize = 8;
        let named: Vec<_> = (0..COUNT).map(|n| (format!("LINK{n}"), Proxy::new())).collect();
        let plan = named.iter().fold(Cluster::with(version), |plan, (name, proxy)| {
            plan.listener(&format!("{name}:PLAINTEXT")).advertised(name, &proxy.address())
        });
        let cluster = end_with_program(plan.start());
        let aimed = named.into_iter().map(|(name, proxy)| {
            proxy.aim(&cluster.listener(&name));
            proxy
        });
        aimed.collect()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it is aimed at now.
    pub fn target(&self) -> String {
        lock(&self.shared.target).clone().expect("it was aimed")
    }

    pub fn aim(&self, target: &str) {
        *lock(&self.shared.target) = Some(target.to_string());
    }

    /// Does `cut` to the `k`th Produce request from now, counted from 1.
    pub fn arm(&self, cut: Cut, k: u64) {
        *lock(&self.shared.armed) = Armed { cut: Some(cut), left: k, ..Armed::default() };
    }

    /// From now on connections are made over a link that carries so much in a second. (What stands
    /// in buffers of this machine on the way is as good as delivered, so they are made small.)
    pub fn slow_down(&self, bytes_s: u64) {
        self.shared.bytes_s.store(bytes_s, Ordering::Relaxed);
    }

    /// From now on the broker is one that knows no ApiVersions, and closes the connection on it: the
    /// wire before 0.10 is left.
    pub fn be_old(&self) {
        self.shared.is_old.store(true, Ordering::Relaxed);
    }

    /// Has the cut been done?
    pub fn has_struck(&self) -> bool {
        lock(&self.shared.armed).has_struck
    }

    /// Produce requests since it was armed.
    pub fn seen(&self) -> u64 {
        lock(&self.shared.armed).seen
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for link in lock(&self.shared.links).drain(..).filter_map(|link| link.upgrade()) {
            link.close();
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn strike(&self) -> Option<Cut> {
        let mut armed = lock(&self.armed);
        armed.seen += 1;
        if armed.left == 0 {
            return None;
        }
        armed.left -= 1;
        if armed.left > 0 {
            return None;
        }
        armed.has_struck = true;
        armed.cut
    }

    fn serve(self: Arc<Shared>, client: TcpStream) {
        let Some(broker) = self.connect() else { return };
        let (_, _) = (client.set_nodelay(true), broker.set_nodelay(true));
        if self.bytes_s.load(Ordering::Relaxed) > 0 {
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&client, 16 << 10);
        }
        let link = Arc::new(Link { client, broker, awaited: Mutex::new(None) });
        {
            // Readers that poll the topic come and go by the thousand: none is held longer than
            // it lives.
            let mut links = lock(&self.links);
            links.retain(|link| link.strong_count() > 0);
            links.push(Arc::downgrade(&link));
        }
        let answers = link.clone();
        let other = std::thread::spawn(move || {
            let _ = answers.pass_answers();
            answers.close();
        });
        let _ = link.pass_requests(&self);
        link.close();
        let _ = other.join();
    }

    fn connect(&self) -> Option<TcpStream> {
        loop {
            let target = lock(&self.target).clone();
            if let Some(target) = target {
                return TcpStream::connect(target).ok();
            }
            if self.is_over.load(Ordering::Relaxed) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A client's connection and the one to the broker that was made for it.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    broker: TcpStream,
    /// Correlation id of the request whose answer is to be cut.
    awaited: Mutex<Option<(i32, Cut)>>,
}

impl Link {
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    fn pass_requests(&self, shared: &Shared) -> io::Result<()> {
        loop {
            let request = match shared.bytes_s.load(Ordering::Relaxed) {
                0 => read_frame(&self.client)?,
                bytes_s => read_frame(&mut Slow { stream: &self.client, bytes_s })?,
            };
            // The readers of the tests may know.
            let is_ours = request.get(14..).is_some_and(|r| r.starts_with(b"flume-ng-tests"));
            let asks_versions = request.get(4..6) == Some(&[0, 18]) && !is_ours;
            if asks_versions && shared.is_old.load(Ordering::Relaxed) {
                return Ok(());
            }
            let is_produce = request.get(4..6) == Some(&[0, 0]) && request.len() > 12;
            let cut = if is_produce { shared.strike() } else { None };
            match cut {
                None => (&self.broker).write_all(&request)?,
                Some(Cut::BeforeRequest) => return Ok(()),
                Some(Cut::MidRequest) => {
                    return (&self.broker).write_all(&request[..request.len() / 2]);
                }
                Some(cut @ (Cut::Answer | Cut::MidAnswer | Cut::LateAnswer(_))) => {
                    let correlation = request[8..12].try_into().expect("a request has a head");
                    *lock(&self.awaited) = Some((i32::from_be_bytes(correlation), cut));
                    (&self.broker).write_all(&request)?;
                }
                Some(Cut::LateRequest(delay)) => {
                    let _ = self.client.shutdown(Shutdown::Both);
                    std::thread::sleep(delay);
                    (&self.broker).write_all(&request)?;
                    // Until the broker has worked on it; nobody is there for the answer.
                    let _ = self.broker.set_read_timeout(Some(Duration::from_secs(2)));
                    let _ = (&self.broker).read(&mut [0; 1]);
                    return Ok(());
                }
                Some(Cut::Silence) => loop {
                    // The client will close it in the end.
                    read_frame(&self.client)?;
                },
            }
        }
    }

    fn pass_answers(&self) -> io::Result<()> {
        loop {
            let answer = read_frame(&self.broker)?;
            // A bare token of a login may be shorter.
            let correlation = answer.get(4..8).and_then(|four| four.try_into().ok());
            let correlation = correlation.map(i32::from_be_bytes);
            let awaited = *lock(&self.awaited);
            match awaited.filter(|(c, _)| Some(*c) == correlation).map(|(_, cut)| cut) {
                Some(Cut::Answer) => return Ok(()),
                Some(Cut::MidAnswer) => {
                    (&self.client).write_all(&answer[..answer.len() / 2])?;
                    return Ok(());
                }
                Some(Cut::LateAnswer(delay)) => {
                    std::thread::sleep(delay);
                    (&self.client).write_all(&answer)?;
                }
                _ => (&self.client).write_all(&answer)?,
            }
        }
    }
}

/// Brings so many bytes in a second.
struct Slow<'a> {
    stream: &'a TcpStream,
    bytes_s: u64,
}

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(4 << 10);
        let count = self.stream.read(&mut into[..most])?;
        std::thread::sleep(Duration::from_micros(1_000_000 * count as u64 / self.bytes_s));
        Ok(count)
    }
}

/// Length and all.
fn read_frame(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let length = i32::from_be_bytes(size);
    if !(0..=256 << 20).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = size.to_vec();
    frame.resize(4 + length as usize, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}
