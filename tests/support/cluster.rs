//! Real brokers. `tests/kafka/broker` knows how to configure and to start them; here each
//! is a child of ours, so that a test can kill, stop, freeze and restart it.

use std::collections::HashMap;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::children::{TempDir, lock, signal, spawn, tied, wait_exit};
use super::elder;
use super::topic::{self, Topic};
use super::wait_for;

pub(super) const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker");
const START_MAX: Duration = Duration::from_secs(240);
/// No node serves sooner, and to look costs more than it seems: the kernel's table of sockets is long.
const START_MIN: Duration = Duration::from_millis(200);

/// The address of a cluster, and what can be asked of it.
#[derive(Debug, Clone)]
pub struct Brokers {
    bootstrap: String,
}

impl Brokers {
    pub fn at(bootstrap: &str) -> Brokers {
        Brokers { bootstrap: bootstrap.to_string() }
    }

    /// `host:port,...`
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A topic of that very name, one replica.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Topic {
        self.create_topic_with(name, partitions, 1, &[])
    }

    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        replication: i16,
        settings: &[(&str, &str)],
    ) -> Topic {
        topic::create(&self.bootstrap, name, partitions, replication, settings)
    }

    /// A topic of a name that nobody has used: brokers are shared between tests, test
    /// programs and runs.
    pub fn fresh_topic(&self, label: &str, partitions: i32) -> Topic {
        self.create_topic(&fresh_name(label), partitions)
    }

    /// A topic that is there already.
    pub fn topic(&self, name: &str) -> Topic {
        Topic::new(&self.bootstrap, name)
    }
}

pub fn fresh_name(label: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{label}-{}-{number}-{}", std::process::id(), since.as_millis() % 100_000_000)
}

/// One broker of a version for all tests of this program: that of
/// `FLUME_NG_TEST_BROKER_<version>` (`host:port`) if set, else one that is started now
/// and ends with the program.
pub fn shared(version: &str) -> &'static Brokers {
    static SHARED: Mutex<Option<HashMap<String, &'static Brokers>>> = Mutex::new(None);
    let mut shared = lock(&SHARED);
    let by_version = shared.get_or_insert_default();
    if let Some(brokers) = by_version.get(version) {
        return brokers;
    }
    let variable = format!("FLUME_NG_TEST_BROKER_{}", version.replace('.', "_"));
    let brokers: &'static Brokers = match std::env::var(&variable) {
        // Topics of the oldest are made by a tool that has to know where they are.
        Ok(bootstrap) if !bootstrap.is_empty() && !elder::is_release(version) => {
            Box::leak(Box::new(Brokers { bootstrap }))
        }
        _ => shared_cluster(version),
    };
    by_version.insert(version.to_string(), brokers);
    brokers
}

/// The same where a test needs more than its address, as Kafka's own commands do: one that is started here in
/// any case.
pub fn shared_cluster(version: &str) -> &'static Cluster {
    static SHARED: Mutex<Option<HashMap<String, &'static Cluster>>> = Mutex::new(None);
    let mut shared = lock(&SHARED);
    let by_version = shared.get_or_insert_default();
    by_version
        .entry(version.to_string())
        .or_insert_with(|| end_with_program(Cluster::start(version)))
}

/// A broker that a test has for itself for a while.
#[derive(Debug)]
pub struct Lent(MutexGuard<'static, Option<&'static Cluster>>);

/// One broker of a version for the tests that freeze, kill and restart it, one after the other: it costs
/// more than most of them. Each leaves it running.
pub fn lend(version: &str) -> Lent {
    type Place = &'static Mutex<Option<&'static Cluster>>;
    static PLACES: Mutex<Option<HashMap<String, Place>>> = Mutex::new(None);
    let place: Place = lock(&PLACES)
        .get_or_insert_default()
        .entry(version.to_string())
        .or_insert_with(|| Box::leak(Box::default()));
    let mut cluster = lock(place);
    cluster.get_or_insert_with(|| end_with_program(Cluster::start(version)));
    Lent(cluster)
}

impl Deref for Lent {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0.expect("it was started")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody knows what a failed test leaves: the next one has another.
        if std::thread::panicking()
            && let Some(cluster) = self.0.take()
        {
            cluster.tell();
            cluster.end();
        }
    }
}

/// Statics are not dropped. The processes would be killed with us anyhow; their
/// directory would stay.
pub(super) fn end_with_program(cluster: Cluster) -> &'static Cluster {
    static ENDING: Mutex<Vec<&'static Cluster>> = Mutex::new(Vec::new());
    static REGISTERED: OnceLock<()> = OnceLock::new();
    extern "C" fn end() {
        for cluster in lock(&ENDING).drain(..) {
            cluster.end();
        }
    }
    // SAFETY: `end` is a function without arguments that does not unwind in practice, and
    // nothing that it uses is torn down before it.
    REGISTERED.get_or_init(|| unsafe {
        libc::atexit(end);
    });
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    lock(&ENDING).push(cluster);
    cluster
}

/// A cluster of a test's own. Everything of it goes when this value does.
#[derive(Debug)]
pub struct Cluster {
    brokers: Brokers,
    dir: TempDir,
    nodes: Mutex<Vec<Node>>,
}

#[derive(Debug)]
struct Node {
    name: String,
    child: Option<Child>,
}

/// How a cluster is to be; made by `Cluster::with`.
#[derive(Debug)]
pub struct Plan {
    version: String,
    options: Vec<String>,
    is_in_memory: bool,
}

impl Plan {
    pub fn brokers(mut self, number: usize) -> Plan {
        self.options.extend(["--brokers".to_string(), number.to_string()]);
        self
    }

    /// A line of server.properties.
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Plan {
        self.options.extend(["--set".to_string(), format!("{key}={value}")]);
        self
    }

    /// A second listener, at which alice logs in by alice-secret.
    pub fn logins(mut self) -> Plan {
        self.options.push("--logins".to_string());
        self
    }

    /// One more option of each broker's JVM.
    pub fn java(mut self, option: &str) -> Plan {
        self.options.extend(["--java".to_string(), option.to_string()]);
        self
    }

    /// Another listener of this protocol (`SSL`, `SASL_SSL`, ...) beside the plaintext one; `NAME:PROTOCOL`
    /// where there are several.
    pub fn listener(mut self, protocol: &str) -> Plan {
        self.options.extend(["--listener".to_string(), protocol.to_string()]);
        self
    }

    /// Its (only) broker tells clients of that other listener that it is at this address.
    pub fn advertised(mut self, protocol: &str, address: &str) -> Plan {
        self.options.extend(["--advertised".to_string(), format!("{protocol}://{address}")]);
        self
    }

    /// Brokers in the JVM that Kafka's own scripts start, not in the small one of the tests.
    pub fn jvm_as_shipped(mut self) -> Plan {
        self.options.extend(["--jvm".to_string(), "shipped".to_string()]);
        self
    }

    /// All that it writes stays in main memory, which has to have room for it.
    pub fn in_memory(mut self) -> Plan {
        self.is_in_memory = true;
        self
    }

    pub fn start(self) -> Cluster {
        self.start_when_prepared(|_| ())
    }

    /// Tells the address (`host:port,...`) before anything runs there.
    pub fn start_when_prepared(self, tell: impl FnOnce(&str)) -> Cluster {
        let make_dir = if self.is_in_memory { TempDir::in_memory } else { TempDir::new };
        let dir = make_dir("kafka");
        let output = Command::new(SCRIPT)
            .args(["prepare", &self.version])
            .arg(dir.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .output()
            .expect("tests/kafka/broker runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tests/kafka/broker prepare {}: {said}", self.version);
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect(name);
        let bootstrap = read("bootstrap").trim().to_string();
        if elder::is_release(&self.version) {
            elder::note(&bootstrap, dir.path());
        }
        tell(&bootstrap);
        let node = |name: &str| Node { name: name.to_string(), child: None };
        let nodes = read("nodes").lines().map(node).collect();
        let cluster = Cluster { brokers: Brokers { bootstrap }, dir, nodes: Mutex::new(nodes) };
        cluster.start_all();
        cluster
    }
}

impl Cluster {
    /// One broker with the usual settings.
    pub fn start(version: &str) -> Cluster {
        Cluster::with(version).start()
    }

    pub fn with(version: &str) -> Plan {
        Plan { version: version.to_string(), options: Vec::new(), is_in_memory: false }
    }

    /// `host:port,...` of the listeners at which somebody has to log in.
    pub fn logins(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("logins")).expect("made with logins");
        text.trim().to_string()
    }

    /// `host:port,...` of a listener that was asked for.
    pub fn listener(&self, protocol: &str) -> String {
        let path = self.dir.path().join(format!("bootstrap-{protocol}"));
        fs::read_to_string(path).expect("a listener of the plan").trim().to_string()
    }

    /// kill -9 of broker `i`.
    pub fn kill9(&self, i: usize) {
        self.with_broker(i, kill);
    }

    /// SIGTERM: a controlled shutdown. Returns when it is over.
    pub fn terminate(&self, i: usize) {
        self.with_broker(i, |node| {
            let Some(mut child) = node.child.take() else {
                return;
            };
            signal(&child, libc::SIGTERM);
            if wait_exit(&mut child, Duration::from_secs(60)).is_none() {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{} did not stop within a minute", node.name);
            }
        });
    }

    /// SIGSTOP: the broker hangs, its connections stay open. On a loaded machine its threads may answer for a
    /// while after the signal was sent: they are waited for.
    pub fn pause(&self, i: usize) {
        self.with_broker(i, |node| {
            let child = node.child.as_ref().expect("it runs");
            signal(child, libc::SIGSTOP);
            let pid = child.id();
            assert!(
                wait_for(Duration::from_secs(60), || is_stopped(pid)),
                "broker {i} does not stop"
            );
        });
    }

    /// Bytes that wait in the sockets of broker `i`, which reads them or is frozen.
    pub fn unread(&self, i: usize) -> u64 {
        let address = self.bootstrap.split(',').nth(i).expect("a broker of the cluster");
        let sockets = sockets_at(address);
        // 01 is an established connection; its queues are written TO_SEND:TO_READ.
        let established = sockets.iter().filter(|fields| fields[3] == "01");
        let queues = established.filter_map(|fields| fields[4].rsplit(':').next());
        queues.map(|queue| u64::from_str_radix(queue, 16).expect("hex")).sum()
    }

    pub fn resume(&self, i: usize) {
        self.with_broker(i, |node| signal(node.child.as_ref().expect("it runs"), libc::SIGCONT));
    }

    /// Starts broker `i` again on its port and data (after a kill -9 if it still runs) and
    /// returns when it serves.
    pub fn restart(&self, i: usize) {
        self.with_broker(i, |node| {
            kill(node);
            self.start_node(node);
        });
    }

    /// Stops the only broker and starts it as another version, on its port and data. ZooKeeper
    /// stays as it is.
    pub fn upgrade(&self, version: &str) {
        self.upgrade_with(version, &[]);
    }

    /// The same, with further lines for server.properties.
    pub fn upgrade_with(&self, version: &str, settings: &[(&str, &str)]) {
        self.terminate(0);
        let path = self.dir.path().join("broker-0.properties");
        let mut text = fs::read_to_string(&path).expect("its settings");
        settings.iter().for_each(|(key, value)| text += &format!("{key}={value}\n"));
        fs::write(&path, text).expect("its settings");
        let output = Command::new(SCRIPT).args(["fetch", version]).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(self.dir.path().join("version"), version).expect("the version of the cluster");
        if !elder::is_release(version) {
            elder::forget(&self.bootstrap);
        }
        self.restart(0);
    }

    /// One of Kafka's own commands, on a cluster with ZooKeeper: what has no request yet.
    pub fn tool(&self, class: &str, args: &[&str]) {
        let mut command = Command::new(SCRIPT);
        command.arg("tool").arg(self.dir.path()).arg(class).args(args).stdin(Stdio::null());
        let output = command.output().expect("tests/kafka/broker runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{class} {args:?}: {said}{failed}");
    }

    /// `host:port` of its ZooKeeper.
    pub fn zookeeper(&self) -> String {
        let settings = fs::read_to_string(self.dir.path().join("zookeeper.properties"));
        let settings = settings.expect("a cluster with ZooKeeper");
        let port = settings.lines().find_map(|line| line.strip_prefix("clientPort="));
        format!("127.0.0.1:{}", port.expect("it has a port"))
    }

    /// Words for a shell that run `kafka-acls` of the cluster's release.
    pub fn kafka_acls(&self) -> String {
        format!("'{SCRIPT}' acls '{}'", self.dir.path().display())
    }

    pub fn is_running(&self, i: usize) -> bool {
        self.with_broker(i, |node| match &mut node.child {
            Some(child) => child.try_wait().expect("a child of ours").is_none(),
            None => false,
        })
    }

    /// What broker `i` has logged.
    pub fn log(&self, i: usize) -> String {
        let path = self.dir.path().join(format!("broker-{i}.log"));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    fn start_all(&self) {
        let mut nodes = lock(&self.nodes);
        // Brokers need ZooKeeper, which comes first, but not each other.
        for node in nodes.iter_mut() {
            if node.name == "zookeeper" {
                self.start_node(node);
            } else {
                self.launch(node);
            }
        }
        for node in nodes.iter_mut().filter(|node| node.name != "zookeeper") {
            self.await_ready(node, 0);
        }
    }

    fn start_node(&self, node: &mut Node) {
        let logged = self.launch(node);
        self.await_ready(node, logged);
    }

    /// Returns how long its log was before.
    fn launch(&self, node: &mut Node) -> usize {
        let logged = self.node_log(&node.name).len();
        let mut command = Command::new(SCRIPT);
        command.arg("exec").arg(self.dir.path()).arg(&node.name);
        let mut command = tied(&command);
        command.stdin(Stdio::null());
        node.child = Some(spawn(command).expect("tests/kafka/broker runs"));
        logged
    }

    fn await_ready(&self, node: &mut Node, mut logged: usize) {
        let deadline = Instant::now() + START_MAX;
        std::thread::sleep(START_MIN);
        loop {
            let child = node.child.as_mut().expect("it was launched");
            let mut ended = false;
            let left = deadline.saturating_duration_since(Instant::now());
            let ready = wait_for(left, || {
                ended = child.try_wait().expect("a child of ours").is_some();
                ended || self.is_ready(&node.name, logged)
            });
            if ready && !ended {
                return;
            }
            // A broker that was killed may register with ZooKeeper only after its old
            // session is over; until then it gives up at once.
            assert!(
                ended && Instant::now() < deadline,
                "{} did not start:\n{}",
                node.name,
                self.node_log(&node.name)
            );
            logged = self.launch(node);
        }
    }

    fn is_ready(&self, node: &str, logged: usize) -> bool {
        if node == "zookeeper" {
            return is_listened_at(&self.zookeeper());
        }
        self.node_log(node)[logged..]
            .lines()
            .any(|line| line.contains("kafka.server") && line.contains("started"))
    }

    fn node_log(&self, node: &str) -> String {
        let path = self.dir.path().join(format!("{node}.log"));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    fn with_broker<T>(&self, i: usize, act: impl FnOnce(&mut Node) -> T) -> T {
        let mut nodes = lock(&self.nodes);
        let name = format!("broker-{i}");
        act(nodes.iter_mut().find(|node| node.name == name).expect("a broker of the cluster"))
    }

    /// For a reader of a failed test: who still runs, and each one's last words.
    fn tell(&self) {
        for node in lock(&self.nodes).iter_mut() {
            let running = node.child.as_mut().map(|child| matches!(child.try_wait(), Ok(None)));
            let log = self.node_log(&node.name);
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(8)..].join("\n");
            eprintln!("{} (runs: {running:?}) said last:\n{last}", node.name);
        }
    }

    fn end(&self) {
        lock(&self.nodes).iter_mut().for_each(kill);
        self.dir.remove();
    }
}

/// Looked at, not knocked at: ZooKeeper 3.4 never forgets who hangs up while it still reads its
/// database, logs that end for ever, and takes a core and the disk for it.
fn is_listened_at(address: &str) -> bool {
    sockets_at(address).iter().any(|fields| fields[3] == "0A")
}

/// What the kernel tells of each socket whose own port is that of the address: number, local address, remote
/// address, state, what is to be sent and to be read, ...
fn sockets_at(address: &str) -> Vec<Vec<String>> {
    let port = address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let port = format!(":{:04X}", port.expect("an address with a port"));
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(1).is_some_and(|local| local.ends_with(&port)) && fields.len() > 4 {
                found.push(fields.into_iter().map(str::to_string).collect());
            }
        }
    }
    found
}

fn kill(node: &mut Node) {
    if let Some(mut child) = node.child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Deref for Cluster {
    type Target = Brokers;

    fn deref(&self) -> &Brokers {
        &self.brokers
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        self.end();
    }
}

/// Has each thread of a process stopped?
fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("nobody has waited for it");
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state stands behind the name, which ends with the last parenthesis.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}
