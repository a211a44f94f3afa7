//! `flume-ng verify` against real brokers: it says "exact" of what is exact, and finds each kind
//! of difference that a test makes by hand.

mod large;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::destination::destination;
use crate::support::json::{Json, Members as _};
use crate::support::patient::Patient as _;
use crate::support::torture::{ELDERS, Group, V010, V43, hazard};
use crate::support::{Agent, Topic, Work, shared, wait_for};
use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::Wire;
use flume_ng::channel::broker::{Answer, Verdict};
use flume_ng::channel::connect::connect;
use flume_ng::config::model::{Compression, ValueFormat};

const OLD: &str = "0.10.2.0";
const NEW: &str = "4.3.1";
const ARRIVE_MAX: Duration = Duration::from_secs(60);

/// Numbered lines, so that each is unique.
fn lines(label: &str, count: usize) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        let _ = writeln!(text, "{label} line {number:07} of an hour's log");
    }
    text.into_bytes()
}

struct Bench {
    topic: Topic,
    work: Work,
}

impl Bench {
    fn new(version: &str, label: &str, partitions: i32) -> Bench {
        let topic = shared(version).fresh_topic(label, partitions);
        let work = Work::new(&topic).set("a1.sources.r1.retireGraceMs", 100);
        Bench { topic, work }
    }

    /// An hour that is over, with 2,000 lines, and the present one with 500.
    fn two_hours(version: &str, label: &str, partitions: i32) -> Bench {
        let mut bench = Bench::new(version, label, partitions);
        bench.work = bench.work.file("010_{H-1}.log", &lines("done", 2_000), 600).file(
            "010_{H}.log",
            &lines("live", 500),
            0,
        );
        bench
    }

    /// A second channel, to that topic.
    fn with_channel(mut self, topic: &Topic) -> Bench {
        for (key, value) in [
            ("sources.r1.channels", "c1 c2"),
            ("channels", "c1 c2"),
            ("channels.c2.type", "org.apache.flume.channel.kafka.KafkaChannel"),
            ("channels.c2.brokerList", topic.bootstrap()),
            ("channels.c2.zookeeperConnect", "127.0.0.1:1"),
            ("channels.c2.topic", topic.name()),
            ("sinks", "k1 k2"),
            ("sinks.k2.type", "null"),
            ("sinks.k2.channel", "c2"),
        ] {
            self.work = self.work.set(&format!("a1.{key}"), value);
        }
        self
    }

    /// Runs the agent until the topic holds `records`, `receipts` files have a receipt and the
    /// checkpoint says so.
    fn collect(&self, records: usize, receipts: usize) {
        let mut agent = self.work.start();
        agent.expect_records(&self.topic, records, ARRIVE_MAX);
        self.expect_receipts(&agent, receipts);
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    }

    fn expect_receipts(&self, agent: &Agent, receipts: usize) {
        let path = self.work.tracker_dir().join("receipts");
        let count = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
        assert!(wait_for(ARRIVE_MAX, || count() >= receipts), "{}", agent.log());
    }

    fn verify(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it runs")
    }

    fn command(&self, args: &[&str]) -> Command {
        self.work.write_conf();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
        command.args(["verify", "--name", "a1", "--conf-file", "log010.conf"]).args(args);
        command.current_dir(self.work.dir()).stdin(Stdio::null());
        command
    }

    /// The exit code and what `--json` says.
    fn json(&self, args: &[&str]) -> (Option<i32>, Json) {
        let output = self.verify(&[args, &["--json"]].concat());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(stderr, "", "{stdout}");
        let json = Json::parse(&stdout);
        let is_exact = json.get("exact") == Some(&Json::Bool(true));
        let is_whole = json.list("searched_in_part").is_empty();
        assert!(is_whole || !is_exact, "{stdout}");
        assert!(!is_whole || (output.status.code() == Some(0)) == is_exact, "{stdout}");
        (output.status.code(), json)
    }

    /// Writes values (whole Avro events without headers) to partition 0 as another producer does.
    fn produce(&self, bodies: &[&str]) {
        let bodies: Vec<&[u8]> = bodies.iter().map(|body| body.as_bytes()).collect();
        self.produce_packed(Compression::None, &[0], &bodies);
    }

    /// One batch of events with these headers, as they stand in a record.
    fn produce_packed(&self, compression: Compression, headers: &[u8], bodies: &[&[u8]]) {
        let config = destination(self.topic.bootstrap(), self.topic.name());
        let mut broker = connect(&config);
        let wire = broker.opened().expect("the topic").wire;
        let identity = broker.producer().expect("an id");
        let mut batch = Batch::new(wire, ValueFormat::Avro, compression);
        batch.begin(0, std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as i64);
        bodies.iter().for_each(|body| batch.push(headers, body));
        batch.seal(identity, if wire == Wire::Modern { 0 } else { -1 });
        broker.send(&[&batch]).expect("sent");
        let mut answers: Vec<Answer> = Vec::new();
        while answers.is_empty() {
            broker.receive(&mut answers).expect("an answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(matches!(answers[0].verdict, Verdict::Acked { .. }), "{answers:?}");
    }
}

/// Lines, events, found once, missing, repeated, foreign of the file whose name ends so.
fn counts(json: &Json, name: &str) -> [u64; 6] {
    let files = json.list("files");
    let mut of_name = files.iter().filter(|file| file.text("file").ends_with(name));
    let file = of_name.next().unwrap_or_else(|| panic!("{name} in {json:?}"));
    ["lines", "events", "found_once", "missing", "repeated", "foreign"].map(|key| file.number(key))
}

fn each_version(test: impl Fn(&str)) {
    for version in [OLD, NEW] {
        test(version);
    }
}

#[test]
fn what_was_collected_is_exact() {
    each_version(collected_is_exact);
}

#[test]
#[ignore = "long: make torture"]
fn what_was_collected_before_0_10_is_exact() {
    ELDERS.into_iter().for_each(collected_is_exact);
}

fn collected_is_exact(version: &str) {
    let bench = Bench::two_hours(version, "verify-exact", 3);
    bench.collect(2_500, 1);
    let (code, json) = bench.json(&[]);
    assert_eq!(code, Some(0), "{json:?}");
    assert_eq!(counts(&json, ".COMPLETED")[..5], [2_000, 2_000, 2_000, 0, 0]);
    assert_eq!(counts(&json, ".log")[..5], [500, 500, 500, 0, 0]);
    assert_eq!(json.list("files").len(), 2);
    // What was finished since then, and what is not finished.
    assert_eq!(bench.json(&["--since", "1h"]).1.list("files").len(), 2);
    let (code, json) = bench.json(&["--since", "2999-01-01T12:00"]);
    assert_eq!((code, json.list("files").len()), (Some(0), 1), "{json:?}");
    assert_eq!(counts(&json, ".log")[..5], [500, 500, 500, 0, 0]);

    // Many passes count the same.
    let output = bench.verify(&["--memory", "1"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("\nExact: 2 files, 2500 events, each there once.\n"), "{text}");
    // Who looks at less than the topic does not say so much.
    let output = bench.verify(&["--range-only", "--memory", "1"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("Exact") && text.contains("--range-only"), "{text}");
    assert!(text.starts_with("FILE "), "{text}");
}

/// Two hosts and a third writer: each line is somebody's, or told.
#[test]
fn what_no_agent_of_a_fleet_has_written_is_told() {
    each_version(|version| {
        let one = Bench::two_hours(version, "verify-fleet", 2);
        one.collect(2_500, 1);
        let mut two = Bench { topic: one.topic.clone(), work: Work::new(&one.topic) };
        two.work = two.work.file("020_{H}.log", &lines("another host", 700), 0);
        let mut agent = two.work.start();
        agent.expect_records(&one.topic, 3_200, ARRIVE_MAX);
        agent.expect("all of it is committed", ARRIVE_MAX, || two.work.is_committed());
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        one.produce(&["somebody else", "once more"]);
        let conf = two.work.write_conf();
        let conf = conf.to_str().expect("UTF-8");
        let (code, json) = one.json(&["--all-agents", conf]);
        assert_eq!((code, json.number("by_none")), (Some(0), 2), "{json:?}");
        let first = json.list("first_by_none");
        assert_eq!(first.len(), 2);
        assert_eq!(first[0].text("text"), "somebody else");
        assert_eq!(json.list("files").len(), 3);
        // One of them alone knows nothing of the other's.
        let (_, json) = one.json(&["--all-agents"]);
        assert_eq!(json.number("by_none"), 702);
    });
}

/// What a running agent writes is neither touched nor misjudged.
#[test]
fn a_live_file_is_verified_beside_a_running_agent() {
    let bench = Bench::two_hours(NEW, "verify-live", 2);
    let mut agent = bench.work.start();
    agent.expect_records(&bench.topic, 2_500, ARRIVE_MAX);
    bench.expect_receipts(&agent, 1);
    let live = bench.work.name("010_{H}.log");
    for round in 0..20 {
        bench.work.append("010_{H}.log", &lines(&format!("round {round}"), 500));
        let (code, json) = bench.json(&[&live]);
        assert_eq!(code, Some(0), "{json:?}");
        assert_eq!(counts(&json, &live)[3..5], [0, 0]);
        assert_eq!(json.list("files").len(), 1);
    }
    assert!(agent.is_running());
    agent.expect_records(&bench.topic, 12_500, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0));
    let (code, json) = bench.json(&[]);
    assert_eq!(code, Some(0), "{json:?}");
    assert_eq!(counts(&json, &live)[..5], [10_500, 10_500, 10_500, 0, 0]);
}

#[test]
fn a_line_that_is_not_in_the_topic_is_missing() {
    let _row = hazard(Group::Claims, "verify with a line missing", V010);
    each_version(|version| {
        let bench = Bench::two_hours(version, "verify-missing", 1);
        bench.collect(2_500, 1);
        let done = "010_{H-1}.log.COMPLETED";
        let mut bytes = std::fs::read(bench.work.path(done)).expect("the completed file");
        bytes[5] = b'L';
        bytes.extend_from_slice(b"one line more\n");
        bench.work.write(done, &bytes, 600);

        let (code, json) = bench.json(&[&bench.work.name(done)]);
        assert_eq!(code, Some(1));
        // The line that was changed is foreign now, and so are the other file's if interleaved.
        let [lines, events, once, missing, repeated, foreign] = counts(&json, ".COMPLETED");
        assert_eq!([lines, events, once, missing, repeated], [2_001, 2_001, 1_999, 2, 0]);
        assert!(foreign >= 1);
        let texts: Vec<&str> = json.list("missing").iter().map(|m| m.text("text")).collect();
        assert_eq!(texts, ["done Line 0000000 of an hour's log", "one line more"]);
        let notes = json.list("files")[0].list("notes");
        assert!(
            matches!(&notes[0], Json::String(note) if note.contains("has changed")),
            "{notes:?}"
        );
    });
}

/// What the brokers refuse is accounted for by its letter, and missing without one.
#[test]
fn what_is_in_the_dead_letter_file_is_not_missing() {
    each_version(|version| {
        let settings = [("max.message.bytes", "6000")];
        let name = format!("verify-letters-{}", std::process::id());
        let topic = shared(version).create_topic_with(&name, 2, 1, &settings);
        let mut content = lines("a", 1_000);
        for n in 0..3 {
            content.extend(format!("too large {}\n", "x".repeat(8_000)).as_bytes());
            content.extend(lines(&format!("b{n}"), 100));
        }
        // Longer than what is held in memory, so no event at all.
        content.resize(content.len() + (17 << 20), b'y');
        content.extend(b"\nthe last line\n");
        let work = Work::new(&topic)
            .set("a1.sources.r1.retireGraceMs", 100)
            .set("a1.sources.r1.deserializer.maxLineLength", 40_000_000)
            .file("010_{H-1}.log", &content, 600)
            .file("010_{H}.log", b"live\n", 0);
        let bench = Bench { topic, work };
        bench.collect(1_302, 1);

        let (code, json) = bench.json(&[]);
        assert_eq!(code, Some(1));
        assert_eq!(counts(&json, ".COMPLETED")[..5], [1_305, 1_305, 1_301, 0, 0], "{json:?}");
        let mut files = json.list("files").iter();
        let done = files.find(|f| f.text("file").ends_with(".COMPLETED")).expect("its row");
        assert_eq!(done.number("dead_letters"), 4);
        assert!(done.list("notes").is_empty() && json.list("missing").is_empty(), "{json:?}");
        let text = String::from_utf8(bench.verify(&["--memory", "1"]).stdout).expect("UTF-8");
        let verdict = "NOT exact: 4 of 1306 events in the dead-letter file";
        assert!(text.lines().last().is_some_and(|line| line.starts_with(verdict)), "{text}");

        let letters = bench.work.tracker_dir().join("dead-letter");
        std::fs::remove_file(&letters).expect("it is there");
        let (_, json) = bench.json(&[]);
        assert_eq!(counts(&json, ".COMPLETED")[..5], [1_305, 1_305, 1_301, 4, 0], "{json:?}");
        assert_eq!((json.list("missing").len(), json.list("remarks").len()), (3, 0), "{json:?}");
        // Not readable, by whoever asks.
        std::fs::create_dir(&letters).expect("a new directory");
        let (code, json) = bench.json(&[]);
        assert_eq!((code, json.list("remarks").len()), (Some(1), 1), "{json:?}");
    });
}

/// "Exact: 2 files, 40 events, each there once": one of two topics had nothing of them.
#[test]
fn a_topic_that_refused_all_of_a_file_is_told() {
    let _row = hazard(Group::Claims, "verify of a file that one of two topics has refused", V43);
    let settings = [("max.message.bytes", "6000")];
    let name = format!("verify-refused-{}", std::process::id());
    let narrow = shared(NEW).create_topic_with(&name, 1, 1, &settings);
    let mut bench = Bench::new(NEW, "verify-taken", 1);
    let long = |n: usize| format!("{n} {}\n", "x".repeat(8_000));
    let content: String = (0..20).map(long).collect();
    bench.work = bench
        .work
        .set("a1.sources.r1.deserializer.maxLineLength", 10_000)
        .file("010_{H-1}.log", content.as_bytes(), 600)
        .file("010_{H}.log", b"live\n", 0);
    let bench = bench.with_channel(&narrow);
    bench.collect(21, 1);

    let (code, json) = bench.json(&[]);
    assert_eq!((code, json.list("missing").len()), (Some(1), 0), "{json:?}");
    let mut files = json.list("files").iter();
    let refused = files.find(|f| f.text("topic") == narrow.name() && f.number("events") == 20);
    let refused = refused.unwrap_or_else(|| panic!("no row in {json:?}"));
    assert_eq!((refused.number("found_once"), refused.number("dead_letters")), (0, 20));
    let text = String::from_utf8(bench.verify(&[]).stdout).expect("UTF-8");
    let verdict = "NOT exact: 20 of 42 events in the dead-letter file";
    assert!(text.lines().last().is_some_and(|line| line.starts_with(verdict)), "{text}");
}

#[test]
fn a_record_too_many_is_found_wherever_it_stands() {
    let _row = hazard(Group::Claims, "verify with a record too many", V010);
    each_version(|version| {
        let bench = Bench::two_hours(version, "verify-repeated", 2);
        bench.collect(2_500, 1);
        bench.produce(&["done line 0000007 of an hour's log", "somebody else's"]);

        let (code, json) = bench.json(&[]);
        assert_eq!(code, Some(1));
        assert_eq!(counts(&json, ".COMPLETED")[..5], [2_000, 2_000, 1_999, 0, 1]);
        assert_eq!(counts(&json, ".log")[3..5], [0, 0]);
        let repeats = json.list("repeated");
        assert_eq!(repeats.len(), 1);
        assert_eq!(repeats[0].text("text"), "done line 0000007 of an hour's log");
        assert_eq!(repeats[0].number("partition"), 0);

        // It stands behind the file's own range.
        let (code, json) = bench.json(&["--range-only", &bench.work.name("010_{H-1}.log")]);
        assert_eq!(code, Some(0), "{json:?}");
    });
}

#[test]
fn records_of_others_between_are_foreign() {
    let bench = Bench::two_hours(NEW, "verify-foreign", 1);
    let mut agent = bench.work.start();
    agent.expect_records(&bench.topic, 2_500, ARRIVE_MAX);
    bench.produce(&["not", "of", "any file"]);
    bench.work.append("010_{H}.log", &lines("later", 100));
    agent.expect_records(&bench.topic, 2_603, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0));
    let live = bench.work.name("010_{H}.log");
    let (code, json) = bench.json(&[&live]);
    assert_eq!(code, Some(0), "{json:?}");
    let [lines, events, once, .., foreign] = counts(&json, &live);
    assert_eq!([lines, events, once], [600; 3]);
    assert!(foreign >= 3, "{json:?}");
}

/// Lines that legitimately occur several times, in one file and in several.
#[test]
fn identical_lines_are_counted_not_suspected() {
    each_version(|version| {
        let mut bench = Bench::new(version, "verify-identical", 3);
        let same = "the same\n\n".repeat(1_000);
        bench.work = bench
            .work
            .file("010_{H-2}.log", same.as_bytes(), 1_200)
            .file("010_{H-1}.log", same.as_bytes(), 600)
            .file("010_{H}.log", same.as_bytes(), 0);
        bench.collect(6_000, 2);
        for args in [&[][..], &[&bench.work.name("010_{H-2}.log")[..]]] {
            let (code, json) = bench.json(args);
            assert_eq!(code, Some(0), "{args:?} {json:?}");
        }
        bench.produce(&["", ""]);
        let (code, json) = bench.json(&[&bench.work.name("010_{H-1}.log")]);
        assert_eq!(code, Some(1));
        assert_eq!(counts(&json, ".COMPLETED")[..5], [2_000, 2_000, 1_998, 0, 2]);
    });
}

/// Filters, headers (also those that change from batch to batch) and two channels.
#[test]
fn headers_filters_and_channels_are_those_of_the_configuration() {
    let mut bench = Bench::two_hours(NEW, "verify-headers", 2);
    let second = shared(NEW).fresh_topic("verify-second", 1);
    for (key, value) in [
        ("sources.r1.basenameHeader", "true"),
        ("sources.r1.fileHeader", "true"),
        ("sources.r1.interceptors", "t h f"),
        ("sources.r1.interceptors.t.type", "timestamp"),
        ("sources.r1.interceptors.h.type", "host"),
        ("sources.r1.interceptors.f.type", "regex_filter"),
        ("sources.r1.interceptors.f.regex", "00 of"),
        ("sources.r1.interceptors.f.excludeEvents", "true"),
    ] {
        bench.work = bench.work.set(&format!("a1.{key}"), value);
    }
    let bench = bench.with_channel(&second);
    bench.collect(2_475, 1);
    let (code, json) = bench.json(&[]);
    assert_eq!(code, Some(0), "{json:?}");
    assert_eq!(json.list("files").len(), 4);
    assert_eq!(counts(&json, ".COMPLETED")[..5], [2_000, 1_980, 1_980, 0, 0]);
    let topics: Vec<&str> = json.list("files").iter().map(|file| file.text("topic")).collect();
    assert!(topics.contains(&second.name()) && topics.contains(&bench.topic.name()));
}

/// The broker writes it as its topic says, whatever a producer may do.
#[test]
fn a_topic_in_zstd_is_read_by_every_build() {
    let _row = hazard(Group::Sticks, "topic in zstd", V010);
    let name = format!("verify-zstd-{}", std::process::id());
    let topic = shared(NEW).create_topic_with(&name, 1, 1, &[("compression.type", "zstd")]);
    let work = Work::new(&topic).file("010_{H}.log", &lines("live", 3_000), 0);
    let bench = Bench { topic, work };
    let mut agent = bench.work.start();
    let name = bench.work.name("010_{H}.log");
    let is_exact = || {
        let json = bench.json(&[]).1;
        !json.list("files").is_empty() && counts(&json, &name)[2] == 3_000
    };
    agent.expect("3,000 lines found", ARRIVE_MAX, is_exact);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(bench.json(&[]).0, Some(0));
}

/// What the Java agent had sent before is not ours to prove.
#[test]
fn a_file_that_was_taken_over_is_verified_from_there_on() {
    let mut bench = Bench::two_hours(OLD, "verify-takeover", 1);
    let taken = lines("done", 700).len() as u64;
    bench.work = bench.work.java_tracker("010_{H-1}.log", taken);
    bench.collect(1_800, 1);
    let (code, json) = bench.json(&[]);
    assert_eq!(code, Some(0), "{json:?}");
    assert_eq!(counts(&json, ".COMPLETED")[1..5], [1_300, 1_300, 0, 0]);
}

#[test]
fn a_deleted_file_is_said_to_be_gone() {
    let mut bench = Bench::two_hours(NEW, "verify-gone", 1);
    bench.work = bench.work.set("a1.sources.r1.deletePolicy", "immediate");
    bench.collect(2_500, 1);
    let (code, json) = bench.json(&[]);
    assert_eq!((code, json.list("files").len()), (Some(1), 1), "{json:?}");
    let problem = &json.list("problems")[0];
    assert!(matches!(problem, Json::String(text) if text.contains("--allow-gone")), "{problem:?}");
    let (code, json) = bench.json(&["--allow-gone"]);
    assert_eq!((code, json.list("files").len()), (Some(0), 1), "{json:?}");
    assert_eq!(json.list("remarks").len(), 1, "{json:?}");
    let (code, json) = bench.json(&[&bench.work.name("010_{H-1}.log")]);
    assert_eq!(code, Some(1));
    let file = &json.list("files")[0];
    assert_eq!((file.text("state"), file.number("missing")), ("gone", 0));
    let note = &file.list("notes")[0];
    assert!(matches!(note, Json::String(note) if note.contains("bytes are gone")), "{note:?}");
}

/// Deleted by whoever cleans up: neither all nor some of it is proven any more.
#[test]
fn without_any_file_nothing_is_proven() {
    let _row = hazard(Group::Claims, "verify with every collected file gone", V010);
    let bench = Bench::two_hours(NEW, "verify-all-gone", 1);
    bench.collect(2_500, 1);
    for name in ["010_{H-1}.log.COMPLETED", "010_{H}.log"] {
        std::fs::remove_file(bench.work.path(name)).expect("it is there");
    }
    let output = bench.verify(&[]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("2 collected files are gone"), "{text}");
    assert!(text.ends_with("\nNothing was verified: see above.\n"), "{text}");
    let output = bench.verify(&["--allow-gone"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("\nNothing to verify:"), "{text}");
}

/// Relative paths of a configuration mean other directories there.
#[test]
fn a_directory_in_which_no_agent_has_worked_proves_nothing() {
    let _row = hazard(Group::Claims, "verify from the wrong directory", V010);
    let bench = Bench::new(NEW, "verify-elsewhere", 1);
    for (key, dir) in [("spoolDir", "elsewhere"), ("trackerDir", "/nowhere/at/all")] {
        let work = Work::new(&bench.topic).set(&format!("a1.sources.r1.{key}"), dir);
        let bench = Bench { topic: bench.topic.clone(), work };
        let output = bench.verify(&[]);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with("source r1: nothing can be verified"), "{text}");
        assert!(text.contains(dir), "{text}");
        assert_eq!(dir == "elsewhere", text.contains("start verify in the directory"), "{text}");
    }
}

/// An agent is there, but its brokers have acknowledged nothing: it is no other directory that is meant.
#[test]
fn before_anything_is_acknowledged_verify_says_how_to_wait() {
    let bench = Bench::new(NEW, "verify-early", 1);
    let work = bench.work.file("010_{H}.log", b"one\n", 1);
    let work = work.set("a1.channels.c1.brokerList", "127.0.0.1:1");
    let mut agent = work.start();
    agent.expect("the lock", ARRIVE_MAX, || work.tracker_dir().join("lock").exists());
    let work = work.set("a1.channels.c1.brokerList", bench.topic.bootstrap());
    let bench = Bench { topic: bench.topic, work };
    let output = bench.verify(&[]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("source r1: nothing can be verified yet"), "{text}");
    assert!(text.contains("status --wait 60"), "{text}");
    agent.kill9();
}

/// What the state that was lost knew of stands before everything that the present one knows of.
#[test]
fn lines_that_were_sent_before_the_checkpoint_was_lost_are_repeated() {
    let _row =
        hazard(Group::Claims, "verify after the checkpoint was removed and all sent again", V010);
    each_version(|version| {
        let mut bench = Bench::new(version, "verify-lost-state", 2);
        bench.work = bench.work.file("010_{H}.log", &lines("live", 5_000), 0);
        bench.collect(5_000, 0);
        std::fs::remove_file(bench.work.tracker_dir().join("checkpoint")).expect("a checkpoint");
        bench.collect(10_000, 0);
        let (code, json) = bench.json(&[]);
        assert_eq!(code, Some(1));
        assert_eq!(counts(&json, ".log")[1..5], [5_000, 0, 0, 5_000], "{json:?}");
        let text = String::from_utf8(bench.verify(&["--range-only"]).stdout).expect("UTF-8");
        assert!(!text.contains("Exact"), "{text}");
    });
}

/// What a start skipped is somebody's claim, not a proof: each of these lines is looked for.
#[test]
fn what_a_start_has_skipped_is_looked_for_in_the_whole_topic() {
    let _row = hazard(Group::Claims, "verify after onBadCheckpoint = end", V010);
    each_version(|version| {
        let mut bench = Bench::new(version, "verify-skipped", 2);
        bench.work = bench.work.set("a1.sources.r1.onBadCheckpoint", "end").file(
            "010_{H}.log",
            &lines("live", 5_000),
            0,
        );
        bench.collect(5_000, 0);
        let checkpoint = bench.work.tracker_dir().join("checkpoint");
        let length = std::fs::metadata(&checkpoint).expect("a checkpoint").len();
        let damage = || std::fs::write(&checkpoint, vec![7; length as usize]).expect("written");

        damage();
        let go_on = |label: &str, records: usize| {
            let mut agent = bench.work.start();
            agent.expect("an end", ARRIVE_MAX, || agent_reads(&bench, &checkpoint));
            bench.work.append("010_{H}.log", &lines(label, 10));
            agent.expect_records(&bench.topic, records, ARRIVE_MAX);
            assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        };
        go_on("behind", 5_010);
        let (code, json) = bench.json(&[]);
        assert_eq!(counts(&json, ".log")[..5], [5_010, 5_010, 5_010, 0, 0], "{json:?}");
        assert_eq!(code, Some(0), "{json:?}");

        bench.work.append("010_{H}.log", &lines("never sent", 100));
        damage();
        go_on("last", 5_020);
        let (code, json) = bench.json(&[]);
        assert_eq!(counts(&json, ".log")[..5], [5_120, 5_120, 5_020, 100, 0], "{json:?}");
        assert_eq!(code, Some(1), "{json:?}");
    });
}

/// Has a new checkpoint taken the place of the damaged one?
fn agent_reads(bench: &Bench, checkpoint: &Path) -> bool {
    let bytes = std::fs::read(checkpoint).unwrap_or_default();
    let name = bench.work.name("010_{H}.log");
    bytes.windows(name.len()).any(|window| window == name.as_bytes())
}

/// A file that another one is read beside: only what nobody here wrote is foreign to it.
#[test]
fn lines_of_other_files_of_the_agent_are_not_foreign() {
    let _row = hazard(Group::Claims, "verify beside other files of the same agent", V010);
    each_version(|version| {
        let bench = Bench::new(version, "verify-others", 1);
        let mut agent = bench.work.start();
        let mut records = 0;
        for round in 0..5 {
            for name in ["010_{H}.log", "011_{H}.log"] {
                bench.work.append(name, &lines(&format!("{name} round {round}"), 100));
                records += 100;
                agent.expect_records(&bench.topic, records, ARRIVE_MAX);
            }
            if round == 2 {
                bench.produce(&["not", "of", "any file"]);
                records += 3;
            }
        }
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        let name = bench.work.name("010_{H}.log");
        for args in [&[][..], &[name.as_str()]] {
            let (code, json) = bench.json(args);
            assert_eq!(code, Some(0), "{json:?}");
            let files = json.list("files").iter();
            let file = files.into_iter().find(|f| f.text("file").ends_with(&name)).expect("a row");
            assert_eq!((file.number("others"), file.number("foreign")), (400, 3), "{json:?}");
        }
    });
}

#[test]
fn a_file_from_an_archive_is_verified_by_its_path() {
    let bench = Bench::two_hours(OLD, "verify-archive", 1);
    bench.collect(2_500, 1);
    let name = bench.work.name("010_{H-1}.log.COMPLETED");
    let archived = bench.work.dir().join(&name);
    std::fs::rename(bench.work.path(&name), &archived).expect("moved");
    let path = archived.to_str().expect("UTF-8");
    let (code, json) = bench.json(&[path]);
    assert_eq!(code, Some(0), "{json:?}");
    assert_eq!(json.list("files")[0].text("file"), path);
}

#[test]
fn what_can_not_be_verified_has_its_exit_code() {
    let bench = Bench::two_hours(OLD, "verify-codes", 1);
    let (code, json) = bench.json(&["nowhere.log"]);
    assert_eq!(code, Some(1));
    let problem = &json.list("problems")[0];
    assert!(matches!(problem, Json::String(text) if text.contains("no receipt")), "{problem:?}");

    bench.collect(2_500, 1);
    let code_of = |name: &str, conf: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
        let output = command.args(["verify", "-n", name, "-f"]).arg(conf).output().expect("runs");
        assert!(!output.stderr.is_empty());
        output.status.code()
    };
    let conf = bench.work.write_conf();
    assert_eq!(code_of("b7", &conf), Some(78));
    assert_eq!(code_of("a1", Path::new("/nowhere.conf")), Some(78));
    let text = std::fs::read_to_string(&conf).expect("the configuration");
    let deaf = text.replace(bench.topic.bootstrap(), "127.0.0.1:1");
    std::fs::write(&conf, deaf).expect("a configuration");
    assert_eq!(code_of("a1", &conf), Some(75));
    let checkpoint = bench.work.tracker_dir().join("checkpoint");
    let length = std::fs::metadata(&checkpoint).expect("a checkpoint").len();
    std::fs::write(&checkpoint, vec![7; length as usize]).expect("a bad checkpoint");
    assert_eq!(code_of("a1", &conf), Some(70));
}
