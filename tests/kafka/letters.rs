//! Dead letters: they are listed, sent again each once whatever kills the sender, and dropped; and
//! everybody who counts them counts those that nobody has settled.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use flume_ng::checkpoint::lock::{self, Locked};
use flume_ng::checkpoint::record::{BatchRecord, ChannelRecord, Record};
use flume_ng::checkpoint::slots::{FileStore, Opened, Slots};

use crate::support::torture::{Group, V010, V43, hazard};
use crate::support::{Topic, Work, decode_event, eventually, fresh_name, shared};

const PATIENCE: Duration = Duration::from_secs(60);
const FILE: &str = "010_{H}.log";

fn letters(work: &Work, options: &[&str]) -> Output {
    let mut command = work.program();
    command.args(["letters", "--name", "a1", "--conf-file"]).arg(work.write_conf()).args(options);
    command.output().expect("the program runs")
}

/// A topic that takes no record of more than 2 kB, from its first moment: what is asked of a topic that is
/// there reaches its leaders some time after the answer.
fn narrow_topic(label: &str, partitions: i32) -> Topic {
    let settings = [("max.message.bytes", "2000")];
    shared("4.3.1").create_topic_with(&fresh_name(label), partitions, 1, &settings)
}

/// Widens it, and sends again what it refused, as often as its leaders have not heard of that.
fn widen_and_resend(topic: &Topic, work: &Work) {
    topic.configure(&[("max.message.bytes", "1000000")]);
    eventually("letters sent", PATIENCE, || {
        let sent = letters(work, &["--resend"]);
        match sent.status.code() {
            Some(0) if String::from_utf8_lossy(&sent.stdout).contains(" sent") => Ok(()),
            Some(75) => Err(format!("{sent:?}")),
            _ => panic!("{sent:?}"),
        }
    });
}

fn json(work: &Work) -> serde_json::Value {
    let output = letters(work, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub fn states(work: &Work) -> Vec<String> {
    let told = json(work);
    let letters = told["sources"][0]["letters"].as_array().expect("letters").clone();
    letters.iter().map(|letter| letter["state"].as_str().expect("a state").to_string()).collect()
}

/// Their bytes.
pub fn values(work: &Work) -> Vec<Vec<u8>> {
    let numbers = 1..=states(work).len();
    numbers.map(|number| letters(work, &["--raw", &number.to_string()]).stdout).collect()
}

/// Puts a letter there as an agent does, with that value.
fn put(work: &Work, topic: &Topic, partition: i32, value: &str) {
    fs::create_dir_all(work.tracker_dir()).unwrap();
    let path = work.tracker_dir().join("dead-letter");
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    let entry = format!(
        "time=1792000000000 topic={} partition={partition} file=x start=0 end=9 bytes={} \
         reason=too%20large\n{value}\n",
        topic.name(),
        value.len()
    );
    file.write_all(entry.as_bytes()).unwrap();
}

/// How often each value is in the topic.
fn counts(topic: &Topic) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in topic.all() {
        let value =
            String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// A topic that takes short records, a file with long lines, and what becomes of it beside the agent
/// that goes on.
#[test]
fn a_refused_line_is_sent_again_once_the_topic_takes_it() {
    let _row = hazard(Group::Sticks, "dead letters sent again beside the agent", V43);
    let topic = narrow_topic("letters", 2);
    let long = |n: usize| vec![b'a' + n as u8; 5_000];
    let text = [&b"one\n"[..], &long(0), b"\ntwo\n", &long(1), b"\n", &long(2), b"\n"].concat();
    let work = Work::new(&topic)
        .set("a1.sources.r1.deserializer.maxLineLength", 10_000)
        .file(FILE, &text, 0);
    let mut agent = work.start();
    agent.expect("three letters", PATIENCE, || {
        work.tracker_dir().join("dead-letter").exists() && states(&work).len() == 3
    });
    agent.expect_records(&topic, 2, PATIENCE);
    agent.expect("all of it is committed", PATIENCE, || work.is_committed());
    let told = json(&work);
    let second = &told["sources"][0]["letters"][1];
    assert_eq!((&second["number"], &second["line"]), (&2.into(), &4.into()), "{told}");
    assert_eq!((&second["start"], &second["end"]), (&5009.into(), &10010.into()), "{told}");
    let listed = String::from_utf8(letters(&work, &[]).stdout).unwrap();
    assert!(listed.contains("3 dead letters, 3 not settled"), "{listed}");
    assert!(listed.contains(&work.name(FILE)) && listed.contains("unsettled"), "{listed}");
    let raw = letters(&work, &["--raw", "2"]).stdout;
    assert_eq!(decode_event(&raw).body, long(1));
    // As long as the topic does not take them they stay as they are.
    let refused = letters(&work, &["--resend"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    assert!(said.contains("letter 3 is left: refused again"), "{said}");
    let logged = String::from_utf8_lossy(&refused.stderr);
    assert!(!logged.contains("went to the dead-letter file"), "it stays where it is: {logged}");
    assert_eq!(states(&work), ["unsettled"; 3]);
    assert_eq!(letters(&work, &["--drop", "3"]).status.code(), Some(0));
    widen_and_resend(&topic, &work);
    assert_eq!(states(&work), ["sent", "sent", "dropped"]);
    // Nothing is left for another one.
    assert_eq!(letters(&work, &["--resend"]).status.code(), Some(0));
    let mut bodies = topic.bodies();
    bodies.sort();
    let text = |n: usize| String::from_utf8(long(n)).unwrap();
    assert_eq!(bodies, [text(0), text(1), "one".into(), "two".into()]);
    let status = |option: &str| {
        let mut command = work.program();
        command.args(["status", option, "--name", "a1", "--conf-file"]).arg(work.write_conf());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(status("--json").contains("\"dead_letters\":0"), "{}", status("--json"));
    assert!(status("--prometheus").contains("source=\"r1\"} 0"), "{}", status("--prometheus"));
    assert_eq!(agent.term().code(), Some(0));
    // One line was dropped; nothing else is to be said of any byte of the file.
    let mut verify = work.program();
    verify.args(["verify", "--json", "--name", "a1", "--conf-file"]).arg(work.write_conf());
    let told: serde_json::Value = serde_json::from_slice(&verify.output().unwrap().stdout).unwrap();
    let file = &told["files"][0];
    assert_eq!((&file["found_once"], &file["missing"]), (&4.into(), &0.into()), "{told}");
    assert_eq!(
        (&file["dead_letters"], &file["notes"]),
        (&1.into(), &serde_json::json!([])),
        "{told}"
    );
}

/// It goes where its key leads, as it would have at first.
#[test]
fn a_line_that_is_sent_again_keeps_its_key() {
    let topic = narrow_topic("letters-keys", 3);
    let long = "x".repeat(5_000);
    let text = format!("k=a b {long}\nk=c short\nno key {long}\n");
    let work = Work::new(&topic)
        .set("a1.channels.c1.kafka.topic", topic.name())
        .set("a1.sources.r1.deserializer.maxLineLength", 10_000)
        .set("a1.sources.r1.interceptors", "i1")
        .set("a1.sources.r1.interceptors.i1.type", "regex_extractor")
        .set("a1.sources.r1.interceptors.i1.regex", "^k=(\\\\S+ \\\\S)")
        .set("a1.sources.r1.interceptors.i1.serializers", "s1")
        .set("a1.sources.r1.interceptors.i1.serializers.s1.name", "key")
        .file(FILE, text.as_bytes(), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, PATIENCE);
    agent.expect("all of it is committed", PATIENCE, || work.is_committed());
    assert_eq!(states(&work), ["unsettled"; 2]);
    widen_and_resend(&topic, &work);
    let mut keys: Vec<Option<Vec<u8>>> = topic.all().into_iter().map(|record| record.key).collect();
    keys.sort();
    assert_eq!(keys, [None, Some(b"a b".to_vec()), Some(b"c s".to_vec())]);
    assert_eq!(agent.term().code(), Some(0));
}

/// A compacted topic takes no record without a key. A broker names those of a batch beside others, and none where they
/// are all that it has.
#[test]
fn lines_without_a_key_do_not_hold_up_a_compacted_topic_wherever_they_stand() {
    let _row = hazard(Group::Sticks, "compacted topic, lines without a key beside others", V43);
    let settings = [("cleanup.policy", "compact")];
    let topic =
        shared("4.3.1").create_topic_with(&fresh_name("letters-compacted"), 1, 1, &settings);
    let text = "none one\nk1 good\nnone two\nk2 good\nnone three\nnone four\n";
    let work = Work::new(&topic)
        .set("a1.channels.c1.kafka.topic", topic.name())
        .set("a1.sources.r1.interceptors", "i1")
        .set("a1.sources.r1.interceptors.i1.type", "regex_extractor")
        .set("a1.sources.r1.interceptors.i1.regex", "^(k.)")
        .set("a1.sources.r1.interceptors.i1.serializers", "s1")
        .set("a1.sources.r1.interceptors.i1.serializers.s1.name", "key")
        .file(FILE, text.as_bytes(), 0);
    let mut agent = work.start();
    agent.expect("all of it is committed", PATIENCE, || work.is_committed());
    assert_eq!(states(&work), ["unsettled"; 4]);
    assert_eq!(topic.bodies(), ["k1 good", "k2 good"]);
    assert_eq!(agent.term().code(), Some(0));
}

/// A sink puts what stands in headers of an event into headers of its record.
#[test]
fn a_line_that_is_sent_again_keeps_the_headers_of_its_record() {
    let _row = hazard(Group::Sticks, "dead letters with headers of records sent again", V43);
    let topic = narrow_topic("letters-headers", 1);
    let long = "x".repeat(5_000);
    let text = format!("k=a, {long}\nk=b: short\n");
    let conf = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = spooltail\n\
        a1.sources.r1.spoolDir = @SPOOL@\na1.sources.r1.targetPattern = .*(\\\\d){10}.*\n\
        a1.sources.r1.targetFilename = yyyyMMddHH\na1.sources.r1.channels = c1\n\
        a1.sources.r1.deserializer.maxLineLength = 10000\na1.sources.r1.basenameHeader = true\n\
        a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = regex_extractor\n\
        a1.sources.r1.interceptors.i1.regex = ^(k=.. ?)\n\
        a1.sources.r1.interceptors.i1.serializers = s1\n\
        a1.sources.r1.interceptors.i1.serializers.s1.name = kind\n\
        a1.channels.c1.type = memory\na1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\n\
        a1.sinks.k1.channel = c1\na1.sinks.k1.kafka.bootstrap.servers = @BROKERS@\n\
        a1.sinks.k1.kafka.topic = @TOPIC@\na1.sinks.k1.header.kind = x-kind\n\
        a1.sinks.k1.header.basename = x:file\n";
    let work = Work::new(&topic).conf(conf).file(FILE, text.as_bytes(), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, PATIENCE);
    agent.expect("all of it is committed", PATIENCE, || work.is_committed());
    assert_eq!(states(&work), ["unsettled"], "{}", agent.log());
    widen_and_resend(&topic, &work);
    let name = work.name(FILE);
    let header = |name: &str, value: &str| (name.to_string(), Some(value.as_bytes().to_vec()));
    let headers: Vec<_> = topic.all().into_iter().map(|record| record.headers).collect();
    let expected = |kind: &str| vec![header("x-kind", kind), header("x:file", &name)];
    assert_eq!(headers.len(), 2);
    for kind in ["k=a, ", "k=b: "] {
        let mut expected = expected(kind);
        expected.sort();
        let is_it = |headers: &Vec<(String, Option<Vec<u8>>)>| {
            let mut headers = headers.clone();
            headers.sort();
            headers == expected
        };
        assert!(headers.iter().any(is_it), "{kind}: {headers:?}");
    }
    assert_eq!(agent.term().code(), Some(0));
}

/// What cannot be done is said, and nothing is done of it.
#[test]
fn wrong_numbers_settle_nothing() {
    let topic = shared("4.3.1").fresh_topic("letters-numbers", 1);
    let work = Work::new(&topic);
    put(&work, &topic, 0, "one");
    for options in [["--drop", "1-2"], ["--drop", "0"], ["--raw", "2"], ["--drop", "x"]] {
        assert_eq!(letters(&work, &options).status.code(), Some(2), "{options:?}");
    }
    assert_eq!(letters(&work, &["--source", "r9"]).status.code(), Some(2));
    assert_eq!(states(&work), ["unsettled"]);
    let work = work.set("a1.channels.c1.brokerList", "127.0.0.1:1");
    let output = letters(&work, &["--resend", "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("not all of them were sent; the others stay unsettled"), "{said}");
    assert_eq!(states(&work), ["unsettled"]);
}

/// The command under strace, with what that does to it.
fn traced(work: &Work, trace: &str, options: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-D", "-qq", "-e", &format!("trace={trace}")]).args(options);
    command.arg(env!("CARGO_BIN_EXE_flume-ng"));
    command.args(["letters", "--resend", "--name", "a1", "--conf-file"]).arg(work.write_conf());
    command.current_dir(work.dir()).stdin(Stdio::null());
    command
}

/// One has read which letters are not settled and gets the lock when the other has sent them.
#[test]
fn syscalls_two_resends_send_a_letter_once() {
    let topic = shared("4.3.1").fresh_topic("letters-twice", 1);
    let work = Work::new(&topic);
    put(&work, &topic, 0, "one");
    let trace = work.dir().join("trace");
    let log = trace.to_str().expect("UTF-8");
    let delay = ["-o", log, "-e", "inject=flock:delay_enter=5000000:when=1"];
    let mut command = traced(&work, "flock,openat", &delay);
    let second = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace");
    eventually("the second one has read the letters", PATIENCE, || {
        let traced = fs::read_to_string(&trace).unwrap_or_default();
        if traced.contains("dead-letter") { Ok(()) } else { Err(traced) }
    });
    let first = letters(&work, &["--resend"]);
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_eq!(states(&work), ["sent"]);
    let second = second.wait_with_output().expect("it ends");
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    assert_eq!(counts(&topic), BTreeMap::from([("one".to_string(), 1)]));
}

/// What a resend has announced of the first letter, when it was cut short.
fn announce(work: &Work) {
    announce_in(work, &[("c1", "")]);
}

/// The same of the first letters, each in the channel with that name and topic.
fn announce_in(work: &Work, channels: &[(&str, &str)]) {
    let content = fs::read(work.tracker_dir().join("dead-letter")).unwrap();
    let line_end = |at: usize| at + content[at..].iter().position(|b| *b == b'\n').unwrap();
    let mut record = Record { next_file_id: 2, ..Record::default() };
    let mut end = 0;
    for (n, (name, topic)) in channels.iter().enumerate() {
        let start = line_end(if n == 0 { 0 } else { end + 1 }) + 1;
        end = line_end(start);
        record.channels.push(ChannelRecord {
            name: (*name).into(),
            topic: (*topic).into(),
            producer_id: -1,
            ..ChannelRecord::default()
        });
        record.batches.push(BatchRecord {
            channel: n as u16,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: 1,
            file: 1,
            start: start as u64,
            end: end as u64,
            bytes_crc: crc32fast::hash(&content[start..end]),
            ..BatchRecord::default()
        });
    }
    let dir = work.tracker_dir().join("resend");
    fs::create_dir_all(&dir).unwrap();
    let opened = Slots::open(FileStore::open(&dir).unwrap()).unwrap();
    let (Opened::Absent(mut slots) | Opened::Valid { mut slots, .. }) = opened else {
        panic!("{opened:?}");
    };
    slots.write(&mut record).unwrap();
}

/// What became of the others said that it was sent.
#[test]
fn a_letter_in_doubt_of_a_channel_that_is_gone_is_not_taken_for_sent() {
    let topics = [1, 2].map(|_| shared("4.3.1").fresh_topic("letters-gone", 1));
    let work = Work::new(&topics[0]);
    put(&work, &topics[0], 0, "one");
    put(&work, &topics[1], 0, "two");
    announce_in(&work, &[("c1", topics[0].name()), ("c2", topics[1].name())]);
    let refused = letters(&work, &["--resend", "--timeout", "30"]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains(&format!("may be in topic {}: ", topics[1].name())), "{said}");
    assert!(said.contains("run --resend again"), "{said}");
    assert_eq!(states(&work), ["unsettled"; 2]);
    assert_eq!(counts(&topics[0]), BTreeMap::new());
    // Its channel is there again.
    let work = work
        .set("a1.channels", "c1 c2")
        .set("a1.sources.r1.channels", "c1 c2")
        .set("a1.channels.c2.type", "org.apache.flume.channel.kafka.KafkaChannel")
        .set("a1.channels.c2.brokerList", topics[1].bootstrap())
        .set("a1.channels.c2.topic", topics[1].name());
    let sent = letters(&work, &["--resend"]);
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    assert_eq!(states(&work), ["sent"; 2]);
    for (topic, value) in topics.iter().zip(["one", "two"]) {
        assert_eq!(counts(topic), BTreeMap::from([(value.to_string(), 1)]));
    }
}

/// It was refused for ever then, and so were the letters of other sources.
#[test]
fn a_letter_in_doubt_of_a_channel_that_is_gone_holds_up_no_other_source_and_is_given_up() {
    let topics = [1, 2].map(|_| shared("4.3.1").fresh_topic("letters-given-up", 1));
    let work = Work::new(&topics[0]);
    let spool = work.dir().join("second");
    let work = work
        .set("a1.sources", "r1 r2")
        .set("a1.sources.r2.type", "spooltail")
        .set("a1.sources.r2.spoolDir", spool.display().to_string())
        .set("a1.sources.r2.targetPattern", ".*")
        .set("a1.sources.r2.channels", "c1");
    put(&work, &topics[0], 0, "one");
    let second = spool.join(".flumespooltail");
    fs::create_dir_all(&second).unwrap();
    fs::copy(work.tracker_dir().join("dead-letter"), second.join("dead-letter")).unwrap();
    put(&work, &topics[1], 0, "two");
    announce_in(&work, &[("c1", topics[0].name()), ("c2", topics[1].name())]);
    let refused = letters(&work, &["--resend", "--timeout", "30"]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains(&format!("may be in topic {}: ", topics[1].name())), "{said}");
    assert!(said.contains("source r1: ") && said.contains("run --give-up"), "{said}");
    assert_eq!(counts(&topics[0]), BTreeMap::from([("one".to_string(), 1)]));
    assert_eq!(states(&work), ["unsettled"; 2]);
    let state = work.tracker_dir().join("resend/checkpoint");
    let before = fs::read(&state).unwrap();
    for _ in 0..2 {
        let given_up = letters(&work, &["--give-up"]);
        assert_eq!(given_up.status.code(), Some(0), "{given_up:?}");
        let said = String::from_utf8_lossy(&given_up.stdout).into_owned();
        let expected = format!("letter 2 is given up; it may be in topic {}\n", topics[1].name());
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("source r2: nothing is in doubt"), "{said}");
        assert_eq!(states(&work), ["unsettled", "dropped"]);
        let again = letters(&work, &["--give-up", "--source", "r1"]);
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(again.status.success() && said.contains("r1: nothing is in doubt"), "{again:?}");
        // Killed between the mark and the record.
        fs::write(&state, &before).unwrap();
    }
    assert_eq!(letters(&work, &["--give-up"]).status.code(), Some(0));
    let sent = letters(&work, &["--resend"]);
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    assert_eq!(states(&work), ["sent", "dropped"]);
    assert_eq!(counts(&topics[0]), BTreeMap::from([("one".to_string(), 2)]));
    assert_eq!(counts(&topics[1]), BTreeMap::new());
}

/// Lines name the topics of its sink.
fn named(topic: &Topic) -> Work {
    let conf = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = spooltail\n\
        a1.sources.r1.spoolDir = @SPOOL@\na1.sources.r1.targetPattern = .*(\\\\d){10}.*\n\
        a1.sources.r1.targetFilename = yyyyMMddHH\na1.sources.r1.channels = c1\n\
        a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = regex_extractor\n\
        a1.sources.r1.interceptors.i1.regex = ^(\\\\S+)\n\
        a1.sources.r1.interceptors.i1.serializers = s1\n\
        a1.sources.r1.interceptors.i1.serializers.s1.name = level\n\
        a1.channels.c1.type = memory\na1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\n\
        a1.sinks.k1.channel = c1\na1.sinks.k1.kafka.bootstrap.servers = @BROKERS@\n\
        a1.sinks.k1.kafka.topic = %{level}\n";
    Work::new(topic).conf(conf)
}

/// It was looked for in no topic, again and again.
#[test]
fn a_letter_in_doubt_whose_topic_no_other_letter_names_is_looked_for() {
    let [old, new] = [1, 2].map(|_| shared("4.3.1").fresh_topic("letters-named", 1));
    for has_other in [false, true] {
        let work = named(&old);
        let path = work.tracker_dir().join("dead-letter");
        put(&work, &old, 0, "old");
        announce_in(&work, &[(&format!("c1:{}", old.name()), old.name())]);
        fs::rename(&path, work.dir().join("dealt-with")).unwrap();
        if has_other {
            put(&work, &new, 0, "new");
        }
        let sent = letters(&work, &["--resend", "--timeout", "30"]);
        let said = String::from_utf8_lossy(&sent.stdout);
        assert_eq!(sent.status.code(), Some(75), "{sent:?}");
        assert!(said.contains("not sent: 1 letter left in doubt before"), "{sent:?}");
        assert!(!said.contains("not all of them have an answer"), "{sent:?}");
        if has_other {
            assert_eq!(states(&work), ["sent"]);
        }
        let again = letters(&work, &["--resend", "--timeout", "30"]);
        assert_eq!(again.status.code(), Some(0), "{again:?}");
    }
    assert_eq!(counts(&old), BTreeMap::new());
    assert_eq!(counts(&new), BTreeMap::from([("new".to_string(), 1)]));
}

/// An earlier version has appended to what a kill has left of a letter.
#[test]
fn letters_behind_half_a_one_are_sent_and_the_half_is_not() {
    let topic = shared("4.3.1").fresh_topic("letters-half", 1);
    let work = Work::new(&topic);
    let path = work.tracker_dir().join("dead-letter");
    put(&work, &topic, 0, "one");
    let append = |text: &str| {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let at = fs::metadata(&path).unwrap().len();
    let head = |bytes: usize| {
        format!(
            "time=1792000000000 topic={} partition=0 file=x start=9 end=99 bytes={bytes} reason=too%20large\n",
            topic.name()
        )
    };
    append(&(head(300) + "half"));
    put(&work, &topic, 0, "two");
    append(&head(300)[..90]);
    put(&work, &topic, 0, "three");
    // The length of one ends with the next letter.
    append(&(head(head(5).len() + 9) + "half"));
    append(&(head(5) + "inner\n"));
    let listed = letters(&work, &[]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(said.contains(&format!("from byte {at} on belong to no whole letter")), "{said}");
    assert_eq!(said.matches("belong to no whole letter").count(), 2, "{said}");
    let sent = letters(&work, &["--resend"]);
    assert_eq!(sent.status.code(), Some(75), "{sent:?}");
    let said = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert!(said.contains("letter 4 is left: another letter stands in its bytes"), "{said}");
    assert_eq!(states(&work), ["sent", "sent", "sent", "unsettled"]);
    let expected = ["one", "two", "three"].map(|value| (value.to_string(), 1));
    assert_eq!(counts(&topic), BTreeMap::from(expected));
}

/// Killed, too, between the mark and the record that says so: then no letter is open that names the topic.
#[test]
fn syscalls_kill_a_resend_to_a_topic_that_a_letter_names() {
    let topic = shared("4.3.1").fresh_topic("letters-named-killed", 1);
    let work = named(&topic);
    for k in 1..40 {
        put(&work, &topic, 0, &format!("letter {k}"));
        let blow = format!("inject=pwrite64:signal=SIGKILL:when={k}");
        let options = ["-o", "/dev/null", "-e", &blow];
        let killed = traced(&work, "pwrite64", &options).output().expect("strace runs");
        let last = letters(&work, &["--resend", "--timeout", "30"]);
        assert_eq!(last.status.code(), Some(0), "{k}: {last:?}");
        assert!(states(&work).iter().all(|state| state == "sent"), "{k}: {:?}", states(&work));
        if killed.status.signal().is_none() {
            let expected = (1..=k).map(|n| (format!("letter {n}"), 1)).collect();
            assert_eq!(counts(&topic), expected);
            assert!(k > 3, "{k}");
            return;
        }
    }
    panic!("it does not end");
}

#[test]
fn what_is_being_sent_or_may_be_in_the_topic_is_not_dropped() {
    let topic = shared("4.3.1").fresh_topic("letters-dropped", 1);
    let work = Work::new(&topic);
    put(&work, &topic, 0, "one");
    put(&work, &topic, 0, "two");
    let dir = work.tracker_dir().join("resend");
    let Locked::Held(lock) = lock::acquire(&dir, "a1", "now").expect("a lock") else { panic!() };
    for options in [&["--drop", "1"][..], &["--resend"]] {
        let busy = letters(&work, options);
        assert_eq!(busy.status.code(), Some(75), "{busy:?}");
        assert!(String::from_utf8_lossy(&busy.stderr).contains("try again"), "{busy:?}");
    }
    drop(lock);
    announce(&work);
    let refused = letters(&work, &["--drop", "1-2"]);
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("letter 1 may be in the topic") && said.contains("--resend"), "{said}");
    assert_eq!(states(&work), ["unsettled"; 2]);
    // The other one was never announced.
    assert_eq!(letters(&work, &["--drop", "2"]).status.code(), Some(0));
    assert_eq!(letters(&work, &["--resend"]).status.code(), Some(0));
    assert_eq!(states(&work), ["sent", "dropped"]);
    assert_eq!(letters(&work, &["--drop", "1-2"]).status.code(), Some(0));
    assert_eq!(states(&work), ["sent", "dropped"]);
    assert_eq!(counts(&topic), BTreeMap::from([("one".to_string(), 1)]));
}

/// The file is moved away, and another letter comes into the place of the one that is in doubt.
fn moved_away(version: &str) {
    let topic = shared(version).fresh_topic("letters-moved", 1);
    let work = Work::new(&topic).set("a1.channels.c1.kafka.request.timeout.ms", 500);
    let path = work.tracker_dir().join("dead-letter");
    let (mut was_sent, mut was_not) = (false, false);
    for k in 0..40 {
        let (old, new) = (format!("old {k:02}"), format!("new {k:02}"));
        put(&work, &topic, 0, &old);
        if k == 0 {
            announce(&work);
        } else {
            let blow = format!("inject=pwrite64:signal=SIGKILL:when={k}");
            let options = ["-o", "/dev/null", "-e", &blow];
            let killed = traced(&work, "pwrite64", &options).output().expect("strace runs");
            if killed.status.signal().is_none() {
                assert_eq!(killed.status.code(), Some(0), "{k}: {killed:?}");
                assert!(was_sent && was_not, "{k}");
                return;
            }
        }
        fs::rename(&path, work.dir().join("dealt-with")).unwrap();
        put(&work, &topic, 0, &new);
        let sent = letters(&work, &["--resend", "--timeout", "60"]);
        let said = String::from_utf8_lossy(&sent.stdout);
        let is_gone = said.contains("not sent: 1 letter left in doubt before");
        let code = if is_gone { 75 } else { 0 };
        assert_eq!(sent.status.code(), Some(code), "{k}: {sent:?}");
        assert_eq!(states(&work), ["sent"], "{k}: {sent:?}");
        let counts = counts(&topic);
        assert_eq!(counts.get(&new), Some(&1), "{k}: {counts:?}");
        let is_sent = counts.contains_key(&old);
        assert!(counts.get(&old).is_none_or(|n| *n == 1) && !(is_gone && is_sent), "{k}");
        (was_sent, was_not) = (was_sent | is_sent, was_not | is_gone);
        fs::remove_file(&path).unwrap();
    }
    panic!("it does not end");
}

#[test]
fn syscalls_another_letter_in_the_place_of_one_in_doubt_4_3_1() {
    moved_away("4.3.1");
}

#[test]
fn syscalls_another_letter_in_the_place_of_one_in_doubt_0_10_2_0() {
    moved_away("0.10.2.0");
}

/// Killed at one system call after the other, with a new letter for each try: in the end each is in the
/// topic once, and marked.
fn killed_at_each_call(version: &str, row: &str) {
    let _row = hazard(Group::Sticks, "resend of dead letters killed (-9) at each system call", row);
    let topic = shared(version).fresh_topic("letters-killed", 2);
    let work = Work::new(&topic);
    let mut count = 0;
    let calls =
        ["pwrite64", "fdatasync", "write", "writev", "sendmsg", "sendto", "renameat", "rename"];
    for call in calls {
        for k in 1..40 {
            count += 1;
            put(&work, &topic, count % 2, &format!("letter {count}"));
            let blow = format!("inject={call}:signal=SIGKILL:when={k}");
            let options = ["-o", "/dev/null", "-e", &blow];
            let output = traced(&work, call, &options).output().expect("strace runs");
            if output.status.signal().is_none() {
                assert_eq!(output.status.code(), Some(0), "{call} {k}: {output:?}");
                break;
            }
        }
    }
    let last = letters(&work, &["--resend"]);
    assert_eq!(last.status.code(), Some(0), "{last:?}");
    assert!(states(&work).iter().all(|state| state == "sent"), "{:?}", states(&work));
    let expected: BTreeMap<String, usize> =
        (1..=count).map(|n| (format!("letter {n}"), 1)).collect();
    assert_eq!(counts(&topic), expected);
    assert!(count > 8, "{count}");
}

#[test]
fn syscalls_kill_a_resend_4_3_1() {
    killed_at_each_call("4.3.1", V43);
}

#[test]
fn syscalls_kill_a_resend_0_10_2_0() {
    killed_at_each_call("0.10.2.0", V010);
}
