//! Configurations as people have published them (`tests/data/published`): the paths, the brokers and the topic are
//! those of the test, everything else is as it was. Each first line says what must come out.

use std::fs;
use std::path::Path;

use crate::support::cluster::fresh_name;
use crate::support::torture::{ARRIVE_MAX, V43};
use crate::support::{Agent, Topic, Work, shared};

/// The configuration with these words in place of others.
fn work(topic: &Topic, name: &str, changes: &[(&str, &str)]) -> Work {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/published");
    let mut conf = fs::read_to_string(dir.join(name)).expect("a configuration");
    for (from, to) in changes {
        assert!(conf.contains(from), "{name}: {from}");
        conf = conf.replace(from, to);
    }
    Work::new(topic).conf(&conf)
}

fn start(work: &Work, agent: &str) -> Agent {
    work.write_conf();
    let mut command = work.program();
    command.args(["agent", "--conf", "conf", "--conf-file", "log010.conf", "--name", agent]);
    command.env("HOME", work.dir());
    work.start_command(command)
}

/// What comes of it, after a first start and a second one.
#[track_caller]
fn delivers(topic: &Topic, work: &Work, agent: &str, file: &str, before: &[&str]) {
    let mut running = start(work, agent);
    running.expect_records(topic, before.len(), ARRIVE_MAX);
    work.append(file, b"later\n");
    running.expect_records(topic, before.len() + 1, ARRIVE_MAX);
    assert_eq!(running.term().code(), Some(0), "{}", running.log());
    work.append(file, b"after a stop\n");
    let mut running = start(work, agent);
    running.expect_records(topic, before.len() + 2, ARRIVE_MAX);
    assert_eq!(running.term().code(), Some(0), "{}", running.log());
    let mut expected = [before, &["later", "after a stop"]].concat();
    expected.sort_unstable();
    let values = topic.all().into_iter().map(|record| record.value);
    let mut found: Vec<String> =
        values.map(|value| String::from_utf8(value.unwrap_or_default()).expect("text")).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "{}", running.log());
}

fn topic() -> Topic {
    shared(V43).fresh_topic("published", 2)
}

#[test]
fn taildir_with_a_bare_kafka_channel() {
    let topic = topic();
    let work = work(
        &topic,
        "01-taildir-kafkachannel-bare.conf",
        &[
            ("/opt/module/applog/log/", "@SPOOL@/"),
            ("/opt/module/flume/", "@SPOOL@/../state/"),
            ("hadoop102:9092,hadoop103:9092", "@BROKERS@"),
            ("topic_log", "@TOPIC@"),
        ],
    );
    let work = work.file("app.1.log", b"one\n", 9).file("other.log", b"no\n", 9);
    delivers(&topic, &work, "a1", "app.1.log", &["one"]);
}

#[test]
fn exec_tail_with_a_memory_channel_and_a_sink_of_1_6() {
    let topic = topic();
    let work = work(
        &topic,
        "02-exec-tail-memory-kafkasink-1.6.conf",
        &[
            ("/var/log/nginx/", "@SPOOL@/"),
            ("localhost:9092", "@BROKERS@"),
            ("flume2kafka", "@TOPIC@"),
        ],
    );
    let lines: Vec<String> = (0..30).map(|n| format!("line {n}")).collect();
    let work = work.file("access_log", format!("{}\n", lines.join("\n")).as_bytes(), 9);
    let last: Vec<&str> = lines[20..].iter().map(String::as_str).collect();
    delivers(&topic, &work, "agent", "access_log", &last);
}

#[test]
fn taildir_with_a_memory_channel_and_a_sink_of_1_7() {
    let topic = topic();
    let work = work(
        &topic,
        "03-taildir-memory-kafkasink-1.7.conf",
        &[
            ("/var/log/test1/", "@SPOOL@/test1/"),
            ("/var/log/test2/", "@SPOOL@/test2/"),
            ("/var/log/flume/", "@SPOOL@/../state/"),
            ("localhost:9092", "@BROKERS@"),
            ("mytopic", "@TOPIC@"),
        ],
    );
    let work = work
        .subdirectory("test1")
        .subdirectory("test2")
        .file("test1/example.log", b"one\n", 9)
        .file("test1/example.log.1", b"no\n", 9)
        .file("test2/a.log.1", b"two\n", 9);
    delivers(&topic, &work, "a1", "test2/a.log.1", &["one", "two"]);
}

#[test]
fn spooldir_with_a_file_channel_and_a_sink() {
    let topic = topic();
    let work = work(
        &topic,
        "04-spooldir-file-kafkasink.conf",
        &[
            ("/data/spool", "@SPOOL@"),
            ("/data/flume/", "@SPOOL@/../state/"),
            ("kafka1:9092,kafka2:9092,kafka3:9092", "@BROKERS@"),
            ("orders", "@TOPIC@"),
            // Records have no keys.
            ("basenameHeaderKey = key", "basenameHeaderKey = name"),
        ],
    );
    let work = work.file("a", b"one", 90).file("b.tmp", b"no\n", 90).file("c", b"two\n", 80);
    delivers(&topic, &work, "a1", "d", &["one", "two"]);
    // It is renamed when it was read, which a stop may have come before.
    let mut running = start(&work, "a1");
    running.expect("a new name", ARRIVE_MAX, || work.path("a.DONE").exists());
    assert_eq!(running.term().code(), Some(0), "{}", running.log());
    assert!(work.path("b.tmp").exists());
}

#[test]
fn key_and_topic_from_the_line() {
    let base = fresh_name("published");
    let login = shared(V43).create_topic(&format!("{base}-login"), 3);
    let rest = shared(V43).create_topic(&format!("{base}-"), 1);
    let template = format!("{base}-%{{action}}");
    let work = work(
        &login,
        "10-key-and-topic-from-the-line.conf",
        &[
            ("/srv/app/log/", "@SPOOL@/"),
            ("/var/lib/flume/", "@SPOOL@/../state/"),
            ("localhost:9092", "@BROKERS@"),
            ("app-%{action}", &template),
        ],
    );
    let text = b"2026-03-01 12:00:00 login user=4711 ok\nwithout a time\n";
    let work = work.file("app.log", text, 9);
    let mut running = start(&work, "a1");
    running.expect_records(&login, 1, ARRIVE_MAX);
    running.expect_records(&rest, 1, ARRIVE_MAX);
    assert_eq!(running.term().code(), Some(0), "{}", running.log());
    let only = |topic: &Topic| {
        let record = topic.all().remove(0);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (record.key.map(text), record.value.map(text))
    };
    let of_line = |key: Option<&str>, value: &str| (key.map(str::to_owned), Some(value.to_owned()));
    assert_eq!(only(&login), of_line(Some("4711"), "login user=4711 ok"));
    assert_eq!(only(&rest), of_line(None, "without a time"));
}
