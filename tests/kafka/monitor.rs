//! What is told of a running agent over HTTP, in a text file and to systemd, and that nobody can
//! hold it up by asking.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::support::json::{Json, Members as _};
use crate::support::torture::{Group, V010, V43, hazard};
use crate::support::{Agent, Topic, Work, lend, shared, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start_with_http(work: &Work) -> (Agent, u16) {
    let port = free_port();
    let mut command = work.command();
    command.args(["-Dflume.monitoring.type=http", &format!("-Dflume.monitoring.port={port}")]);
    (work.start_command(command), port)
}

/// Status line and body.
pub fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_string(), body.to_string()))
}

fn fresh(label: &str) -> (Topic, Work) {
    let topic = shared("0.10.2.0").fresh_topic(label, 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\ntwo\nthree\n", 1);
    (topic, work)
}

#[test]
fn flumes_json_and_prometheus_over_http() {
    let (topic, work) = fresh("monitor");
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 3, PATIENCE);
    let counted = || {
        let (status, body) = get(port, "/metrics").unwrap();
        assert_eq!(status, "HTTP/1.1 200 OK");
        Json::parse(&body)
    };
    agent.expect("three events", PATIENCE, || {
        counted().get("SINK.k1").unwrap().text("EventDrainSuccessCount") == "3"
    });
    let json = counted();
    for (component, kind, counters) in [
        ("SOURCE.r1", "SOURCE", &["EventReceivedCount", "EventAcceptedCount"][..]),
        ("CHANNEL.c1", "CHANNEL", &["EventPutAttemptCount", "EventTakeSuccessCount"]),
        ("SINK.k1", "SINK", &["EventDrainAttemptCount"]),
    ] {
        let component = json.get(component).unwrap();
        assert_eq!(component.text("Type"), kind);
        counters.iter().for_each(|counter| assert_eq!(component.text(counter), "3", "{counter}"));
        assert!(component.text("StartTime").parse::<u64>().unwrap() > 1_600_000_000_000);
    }
    let (_, body) = get(port, "/prometheus").unwrap();
    assert!(body.contains("flume_ng_events_received_total{agent=\"a1\",source=\"r1\"} 3\n"));
    assert!(get(port, "/other").unwrap().0.starts_with("HTTP/1.1 404"));
    assert!(agent.log().contains(&format!("Metrics at http://127.0.0.1:{port}/metrics")));
    assert_eq!(agent.term().code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// The format is that which a collector asks for.
#[test]
fn openmetrics_for_who_asks_for_it() {
    let topic = shared("4.3.1").fresh_topic("monitor-open", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\ntwo\nthree\n", 1);
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 3, PATIENCE);
    agent.expect("all of it is committed", PATIENCE, || work.is_committed());
    let ask = |accept: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let request =
            format!("GET /prometheus HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let open = ask("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");
    assert!(open.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.ends_with("# EOF\n") && open.contains("# UNIT flume_ng_cpu_seconds seconds\n"));
    let trips = open.lines().find(|l| l.starts_with("flume_ng_round_trip_seconds_count{"));
    assert!(trips.is_some_and(|line| line.ends_with(" 1")), "{trips:?}");
    let delivered = open.lines().filter(|l| l.starts_with("flume_ng_delivery_seconds_count{"));
    let delivered: Vec<&str> = delivered.collect();
    assert!(delivered.iter().any(|l| l.contains("present") && l.ends_with(" 1")), "{delivered:?}");
    assert!(ask("*/*").contains("Content-Type: text/plain; version=0.0.4"));
    assert_eq!(agent.term().code(), Some(0));
}

/// Log lines for machines.
#[test]
fn every_log_line_is_an_object_where_that_is_asked_for() {
    let topic = shared("4.3.1").fresh_topic("monitor-json-log", 1);
    let work = Work::new(&topic).set("a1.channels.c1.brokerList", "127.0.0.1:1");
    let mut command = work.command();
    command.arg("-Dflume.log.format=json");
    let mut agent = work.start_command(command);
    agent.expect("a try", PATIENCE, || agent_log(&work).contains("Next try in"));
    assert_eq!(agent.term().code(), Some(0));
    let lines: Vec<serde_json::Value> =
        agent.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.len() > 5);
    let about = lines.iter().find(|line| line["topic"] == topic.name()).expect("a topic");
    assert_eq!((&about["level"], &about["class"]), (&"WARN".into(), &"kafka.KafkaChannel".into()));
    assert!(about["time"].as_str().is_some_and(|time| time.len() == 29), "{about}");
}

#[test]
fn a_log_line_for_machines_names_the_file_that_it_is_about() {
    let topic = shared("4.3.1").fresh_topic("monitor-json-file", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"a line\n", 0);
    let mut command = work.command();
    command.arg("-Dflume.log.format=json");
    let mut agent = work.start_command(command);
    agent.expect_records(&topic, 1, PATIENCE);
    assert_eq!(agent.term().code(), Some(0));
    let lines: Vec<serde_json::Value> =
        agent.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let is_opening = |line: &&serde_json::Value| {
        line["message"].as_str().is_some_and(|message| message.starts_with("Opened "))
    };
    let line = lines.iter().find(is_opening).expect("a file");
    assert_eq!(line["file"], work.name("010_{H}.log"));
}

fn agent_log(work: &Work) -> String {
    let entries = std::fs::read_dir(work.dir()).unwrap().flatten();
    let logs = entries.filter(|e| e.file_name().to_string_lossy().starts_with("agent-"));
    logs.map(|e| std::fs::read_to_string(e.path()).unwrap_or_default()).collect()
}

/// Whoever is to be woken when lines pile up must not be told that nothing is behind just because
/// nothing can be sent: neither of files that were never opened, nor of one that has grown.
#[test]
fn what_piles_up_while_the_brokers_are_away_is_behind() {
    let _row = hazard(Group::Claims, "metrics while the brokers are away", V010);
    let (_, work) = fresh("monitor-away");
    let work = work.set("a1.channels.c1.brokerList", "127.0.0.1:1");
    let (mut agent, port) = start_with_http(&work);
    let behind = |bytes: u64| {
        let line = format!("flume_ng_behind_bytes{{agent=\"a1\",source=\"r1\"}} {bytes}\n");
        get(port, "/prometheus").is_some_and(|(_, body)| body.contains(&line))
    };
    agent.expect("14 bytes behind", PATIENCE, || behind(14));
    work.append("010_{H}.log", b"four\n");
    agent.expect("19 bytes behind", PATIENCE, || behind(19));
    assert_eq!(agent.term().code(), Some(0));
}

#[test]
fn what_piles_up_while_a_broker_hangs_is_behind() {
    let cluster = lend("4.3.1");
    let topic = cluster.fresh_topic("monitor-hangs", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 1, PATIENCE);
    let behind = |bytes: u64| {
        let line = format!("flume_ng_behind_bytes{{agent=\"a1\",source=\"r1\"}} {bytes}\n");
        get(port, "/prometheus").is_some_and(|(_, body)| body.contains(&line))
    };
    // The answer has come, too.
    agent.expect("nothing behind", PATIENCE, || behind(0));
    cluster.pause(0);
    work.append("010_{H}.log", b"two\nthree\n");
    agent.expect("10 bytes behind", PATIENCE, || behind(10));
    work.append("010_{H}.log", b"four\n");
    agent.expect("15 bytes behind", PATIENCE, || behind(15));
    cluster.resume(0);
    agent.expect_records(&topic, 4, PATIENCE);
}

/// A restart mends no broker: who asks whether the agent lives hears yes, who asks whether lines can go
/// hears why not.
#[test]
fn without_brokers_it_is_healthy_and_not_ready() {
    let topic = shared("4.3.1").fresh_topic("monitor-ready", 1);
    let work = Work::new(&topic).set("a1.channels.c1.brokerList", "127.0.0.1:1").file(
        "010_{H}.log",
        b"one\n",
        0,
    );
    let (mut agent, port) = start_with_http(&work);
    let is = |path: &str, status: &str| get(port, path).is_some_and(|(s, _)| s.contains(status));
    agent.expect("an answer", PATIENCE, || is("/healthz", " 200 "));
    let refused = || {
        let (status, body) = get(port, "/readyz").unwrap();
        status.contains(" 503 ") && body.contains("Connection refused")
    };
    agent.expect("the reason", PATIENCE, refused);
    let (_, body) = get(port, "/readyz").unwrap();
    let sentence = format!("Channel c1 (topic {}): no broker can be reached", topic.name());
    assert!(body.starts_with(&sentence), "{body}");
    let why = body.trim().split_once(": ").unwrap().1;
    assert!(agent.log().contains(why), "{body}\n{}", agent.log());
    let work = work.set("a1.channels.c1.brokerList", topic.bootstrap());
    work.write_conf();
    agent.expect("ready", PATIENCE, || is("/readyz", " 200 "));
    agent.expect_records(&topic, 1, PATIENCE);
    assert!(is("/healthz", " 200 "));
}

#[test]
fn while_a_broker_hangs_the_loop_turns() {
    let cluster = lend("4.3.1");
    let topic = cluster.fresh_topic("monitor-hang", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 0);
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 1, PATIENCE);
    let is = |path: &str, status: &str| get(port, path).is_some_and(|(s, _)| s.contains(status));
    agent.expect("ready", PATIENCE, || is("/readyz", " 200 "));
    cluster.pause(0);
    work.append("010_{H}.log", b"two\n");
    let slowest = (0..20)
        .map(|_| {
            let start = Instant::now();
            assert!(is("/healthz", " 200 "));
            start.elapsed()
        })
        .max();
    assert!(slowest < Some(Duration::from_secs(5)), "{slowest:?}");
    agent.expect("not ready", PATIENCE, || is("/readyz", " 503 "));
    cluster.resume(0);
    agent.expect("ready again", PATIENCE, || is("/readyz", " 200 "));
}

/// A source whose directory is not there.
#[test]
fn without_its_directory_it_is_not_ready() {
    let topic = shared("4.3.1").fresh_topic("monitor-no-dir", 1);
    let work = Work::new(&topic);
    std::fs::remove_dir(work.spool()).unwrap();
    let (mut agent, port) = start_with_http(&work);
    let refused = || {
        let (status, body) = get(port, "/readyz").unwrap_or_default();
        status.contains(" 503 ") && body.contains("r1 cannot start: Directory does not exist")
    };
    agent.expect("the reason", PATIENCE, refused);
    std::fs::create_dir(work.spool()).unwrap();
    let ready = || get(port, "/readyz").is_some_and(|(status, _)| status.contains(" 200 "));
    agent.expect("ready", PATIENCE, ready);
}

/// Scripts read the one as they read the other.
#[test]
fn the_status_over_http_is_that_of_the_command() {
    let topic = shared("4.3.1").fresh_topic("monitor-status", 2);
    let work = Work::new(&topic).file("010_{H}.log", b"one\ntwo\nthr", 0);
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 2, PATIENCE);
    agent.expect("three bytes behind", PATIENCE, || {
        get(port, "/status.json").is_some_and(|(_, body)| body.contains("\"behind_bytes\":3"))
    });
    let mut command = work.program();
    command.args(["status", "--json", "--name", "a1", "--conf-file"]).arg(work.write_conf());
    let output = command.output().unwrap();
    let command: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (_, body) = get(port, "/status.json").unwrap();
    let served: serde_json::Value = serde_json::from_str(&body).unwrap();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        let keys = value.as_object().unwrap().keys().cloned();
        keys.filter(|key| !key.ends_with("_last_hour")).collect()
    };
    // In the same order; behind them stands what only the agent knows.
    let has_all = |served: &serde_json::Value, command: &serde_json::Value| {
        let (served, command) = (keys(served), keys(command));
        assert!(served.starts_with(&command), "{served:?}\n{command:?}");
    };
    has_all(&served, &command);
    let (served, command) = (&served["sources"][0], &command["sources"][0]);
    has_all(served, command);
    has_all(&served["files"][0], &command["files"][0]);
    for key in ["name", "spool_dir", "running", "pid", "generation", "batches_in_doubt"] {
        assert_eq!(served[key], command[key], "{key}");
    }
    let (served_channel, channel) = (&served["channels"][0], &command["channels"][0]);
    for at in 0..2 {
        let partition = |of: &serde_json::Value| of["partitions"][at].clone();
        has_all(&partition(served_channel), &partition(channel));
        for key in keys(&partition(channel)) {
            assert_eq!(partition(served_channel)[&key], partition(channel)[&key], "{key}");
        }
    }
    for key in keys(channel).iter().filter(|key| *key != "partitions") {
        assert_eq!(served_channel[key], channel[key], "{key}");
    }
    assert_eq!(served["dead_letters"], 0);
    agent.expect("rates", PATIENCE, || {
        let body = get(port, "/status.json").map(|(_, body)| body).unwrap_or_default();
        let status: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        status["sources"][0]["lines_per_second_last_hour"].is_number()
    });
}

/// Silent, slow, endless and garbled clients, many of them: lines go on as ever, and who asks
/// properly is answered.
#[test]
fn hostile_clients_do_not_hold_up_the_loop() {
    let (topic, work) = fresh("monitor-hostile");
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 3, PATIENCE);
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut held: Vec<TcpStream> = (0..40).map(|_| connect()).collect();
    for (at, stream) in held.iter_mut().enumerate() {
        // Whoever was dropped already must not fail the test.
        let _ = match at % 4 {
            0 => Ok(()),
            1 => stream.write_all(b"GET /metr"),
            2 => stream.write_all(&vec![b'x'; 100_000]),
            _ => stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n"),
        };
        if at % 5 == 0 {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }
    let start = Instant::now();
    work.append("010_{H}.log", b"four\n");
    agent.expect_records(&topic, 4, PATIENCE);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let answered = || get(port, "/metrics").is_some_and(|(status, _)| status == "HTTP/1.1 200 OK");
    assert!(wait_for(PATIENCE, answered));
    // An idle agent with idle clients rests.
    let cpu_ms = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
        let fields: Vec<u64> =
            stat.rsplit(") ").next().unwrap().split(' ').filter_map(|f| f.parse().ok()).collect();
        // utime and stime, of which the state and the parent come before; ticks of 10 ms.
        (fields[10] + fields[11]) * 10
    };
    let before = cpu_ms();
    std::thread::sleep(Duration::from_secs(1));
    assert!(cpu_ms() - before < 300, "{} ms", cpu_ms() - before);
    drop(held);
    let (status, took) = agent.term_timed();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_port_that_is_taken_costs_the_monitoring_only() {
    let (topic, work) = fresh("monitor-taken");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut command = work.command();
    command.args(["-Dflume.monitoring.type=http", &format!("-Dflume.monitoring.port={port}")]);
    let mut agent = work.start_command(command);
    agent.expect_records(&topic, 3, PATIENCE);
    assert!(agent.log().contains("no monitoring"), "{}", agent.log());
}

/// Whoever writes `tpye` would wait for metrics that never come.
#[test]
fn a_slip_in_a_monitoring_property_is_told() {
    let (topic, work) = fresh("monitor-slip");
    let mut command = work.command();
    command.args(["-Dflume.monitoring.tpye=http", "-Dflume.monitoring.port=99999"]);
    let mut agent = work.start_command(command);
    agent.expect_records(&topic, 3, PATIENCE);
    let log = agent.log();
    assert!(log.contains("did you mean -Dflume.monitoring.type?"), "{log}");
}

#[test]
fn a_text_file_is_written_whole() {
    let (topic, work) = fresh("monitor-textfile");
    let path = work.dir().join("a1.prom");
    let work = work.set("a1.monitoring.textfile", path.display());
    let mut agent = work.start();
    agent.expect_records(&topic, 3, PATIENCE);
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    agent.expect("the text file", PATIENCE, || read().contains("flume_ng_up{agent=\"a1\"} 1\n"));
    // A second agent, as cron starts it, has no say in it.
    let mut second = work.start();
    assert_eq!(second.wait(PATIENCE).unwrap().code(), Some(75));
    assert!(read().contains("flume_ng_up{agent=\"a1\"} 1\n"));
    assert_eq!(agent.term().code(), Some(0));
    let last = read();
    assert!(last.contains("flume_ng_up{agent=\"a1\"} 0\n"), "{last}");
    let acked = format!("channel=\"c1\",topic=\"{}\"}} 3\n", topic.name());
    assert!(last.contains(&acked), "{last}");
    assert!(!work.dir().join("a1.prom.tmp").exists());
}

/// As long as the loop turns, whatever the brokers do.
#[test]
fn the_watchdog_hears_from_the_loop() {
    let topic = shared("4.3.1").fresh_topic("monitor-watchdog", 1);
    let work = Work::new(&topic).set("a1.channels.c1.brokerList", "127.0.0.1:1");
    let path = work.dir().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = work.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut agent = work.start_command(command);
    let receive = || {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut heard = 0;
    while heard < 5 {
        heard += u32::from(receive() == "WATCHDOG=1");
    }
    assert_eq!(agent.term().code(), Some(0));
}

#[test]
fn systemd_is_told_of_start_and_stop() {
    let (topic, work) = fresh("monitor-systemd");
    let path = work.dir().join("notify");
    let name = format!("flume-ng-notify-{}", std::process::id());
    let by_name = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, variable) in [
        (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
        (UnixDatagram::bind_addr(&by_name).unwrap(), format!("@{name}")),
    ] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let receive = || {
            let mut buffer = [0; 1024];
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let mut command = work.command();
        command.env("NOTIFY_SOCKET", variable);
        let mut agent = work.start_command(command);
        let ready = receive();
        assert!(ready.starts_with("READY=1\nSTATUS="), "{ready}");
        agent.expect_records(&topic, 3, PATIENCE);
        let status = agent.term();
        assert_eq!(status.code(), Some(0));
        let mut said = receive();
        while said.starts_with("STATUS=") {
            assert!(!said.contains("READY"));
            said = receive();
        }
        assert!(said.starts_with("STOPPING=1"), "{said}");
    }
}

/// The number that a series of the page has.
fn sample(port: u16, series: &str) -> Option<u64> {
    let (_, body) = get(port, "/prometheus")?;
    let line = body.lines().find(|line| line.starts_with(series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn dead_letters_are_on_the_page() {
    let _row = hazard(Group::Claims, "dead letters on the metrics page", V43);
    let settings = [("max.message.bytes", "3000")];
    let name = format!("monitor-letters-{}", std::process::id());
    let topic = shared("4.3.1").create_topic_with(&name, 1, 1, &settings);
    let long = format!("one\n{}\nthree\n", "x".repeat(6_000));
    let work = Work::new(&topic).set("a1.sources.r1.deserializer.maxLineLength", 10_000).file(
        "010_{H}.log",
        long.as_bytes(),
        1,
    );
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 2, PATIENCE);
    let letters = |count: u64| sample(port, "flume_ng_dead_letters{") == Some(count);
    agent.expect("one dead letter", PATIENCE, || letters(1));
    work.append("010_{H}.log", format!("{}\n", "y".repeat(6_000)).as_bytes());
    agent.expect("two dead letters", PATIENCE, || letters(2));
    // Whoever has dealt with them moves them away.
    std::fs::remove_file(work.tracker_dir().join("dead-letter")).unwrap();
    agent.expect("none", PATIENCE, || letters(0));
}

/// What the run before had announced and this one finds in the topic, or sends, is its work as well.
#[test]
fn no_more_is_accepted_than_received_after_a_restart() {
    let _row = hazard(Group::Claims, "counters after a kill with batches in doubt", V43);
    let cluster = lend("4.3.1");
    let topic = cluster.fresh_topic("monitor-restart", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    let (mut agent, _) = start_with_http(&work);
    agent.expect_records(&topic, 1, PATIENCE);
    agent.expect("a commit", PATIENCE, || work.is_committed());
    cluster.pause(0);
    let checkpoint = work.tracker_dir().join("checkpoint");
    let before = std::fs::metadata(&checkpoint).unwrap().modified().unwrap();
    work.append("010_{H}.log", b"two\nthree\n");
    agent.expect("an announcement", PATIENCE, || {
        std::fs::metadata(&checkpoint).unwrap().modified().unwrap() > before
    });
    agent.kill9();
    cluster.resume(0);
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 3, PATIENCE);
    work.append("010_{H}.log", b"four\n");
    agent.expect_records(&topic, 4, PATIENCE);
    let counts = || {
        let of = |name: &str| sample(port, &format!("flume_ng_events_{name}_total{{"));
        (of("received"), of("accepted"), of("acked"))
    };
    let is_even = |(received, accepted, acked): (Option<u64>, Option<u64>, Option<u64>)| {
        received == accepted && received == acked && received >= Some(3)
    };
    agent.expect("as many accepted as received", PATIENCE, || is_even(counts()));
}

/// A file that was moved aside is read on under its name, beside the one that has it now: two samples
/// with the same labels make a reader refuse the whole page.
#[test]
fn a_name_that_came_again_is_one_series() {
    let _row = hazard(Group::Claims, "series of a name that came again", V010);
    let topic = shared(V010).fresh_topic("monitor-again", 1);
    let work = Work::new(&topic).set("a1.sources.r1.retireGraceMs", 60_000).file(
        "010_{H}.log",
        b"one\n",
        1,
    );
    let (mut agent, port) = start_with_http(&work);
    agent.expect_records(&topic, 1, PATIENCE);
    std::fs::rename(work.path("010_{H}.log"), work.spool().join("rotated.1")).unwrap();
    work.write("010_{H}.log", b"another\n", 0);
    agent.expect_records(&topic, 2, PATIENCE);
    let series = |name: &str| -> Vec<String> {
        let page = get(port, "/prometheus").map(|(_, body)| body).unwrap_or_default();
        let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
    };
    agent.expect("two files, all sent", PATIENCE, || {
        series("flume_ng_files") == ["2"] && series("flume_ng_behind_bytes") == ["0"]
    });
    for metric in ["flume_ng_file_size_bytes", "flume_ng_file_position_bytes"] {
        assert_eq!(series(metric), ["12"], "{metric}: the sum of both, once");
    }
    assert_eq!(series("flume_ng_file_lines"), ["2"]);
}
