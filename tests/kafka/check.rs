//! `flume-ng check` against real brokers: what it finds, what it says, how it ends.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::json::{Json, Members as _};
use crate::support::torture::{Group, V43, hazard};
use crate::support::{Work, java_tracker, shared, wait_for};
use crate::taildir;

/// Somebody without rights.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs it in the work directory; the exit code and what it printed.
fn check(work: &Work, args: &[&str]) -> (i32, String) {
    run(&work.write_conf(), work.dir(), args)
}

fn run(conf: &Path, dir: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args(["check", "--name", "a1", "--conf-file"])
        .arg(conf)
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn check_json(work: &Work, args: &[&str]) -> (i32, Json) {
    let (code, text) = check(work, &[args, &["--json"]].concat());
    let json = Json::parse(text.trim());
    assert_eq!(json.number("exit"), code as u64);
    (code, json)
}

/// State and text of the row of that name.
#[track_caller]
fn row<'a>(json: &'a Json, name: &str) -> (&'a str, &'a str) {
    let rows = json.list("checks");
    let row = rows.iter().find(|row| row.text("name") == name);
    let row = row.unwrap_or_else(|| panic!("no {name} in {json:?}"));
    (row.text("state"), row.text("text"))
}

#[test]
fn a_missing_topic_is_told_and_made_on_the_oldest_broker() {
    let brokers = shared("0.10.2.0");
    let topic = brokers.topic(&format!("check-{}", std::process::id()));
    let work = Work::new(&topic).file("010_{H-1}.log", b"one\ntwo\n", 60);
    let (code, json) = check_json(&work, &[]);
    // It does not tell whether it makes topics; unless it was told not to, it does.
    let (state, text) = row(&json, "topic");
    assert_eq!((code, state), (0, "warn"), "{text}");
    assert!(text.contains("--create-topic 3:1"), "{text}");
    assert!(row(&json, brokers.bootstrap()).1.starts_with("Kafka 0.10.2"));
    assert_eq!(row(&json, "files").0, "ok");
    assert!(row(&json, "files").1.contains("8 B and 2 lines behind"));
    // Asking has not made it.
    let (code, json) = check_json(&work, &["--create-topic", "3:1"]);
    assert_eq!(code, 0, "{json:?}");
    assert_eq!(row(&json, "make topic").0, "ok");
    assert_eq!(topic.partitions(), 3);
    assert!(row(&json, "record sizes").1.contains("not reported by this broker"));
    let zookeeper = row(&json, "ZooKeeper 127.0.0.1:1");
    assert!(zookeeper.0 == "info" && zookeeper.1.contains("not needed"));
    // It is there now, and is left alone.
    let (code, json) = check_json(&work, &["--create-topic", "5:1"]);
    assert_eq!((code, row(&json, "make topic").0), (0, "info"));
    assert_eq!(topic.partitions(), 3);
}

/// One of them is silent where the other closes the connection: neither is taken for one that is
/// down.
#[test]
fn brokers_before_0_10_are_told_by_their_release() {
    for (version, release) in [("0.8.2.2", "Kafka 0.8.2 or before"), ("0.9.0.1", "Kafka 0.9")] {
        let topic = shared(version).fresh_topic("check-oldest", 1);
        let (code, json) = check_json(&Work::new(&topic), &[]);
        assert_eq!(row(&json, topic.bootstrap()), ("ok", release));
        assert_eq!((code, row(&json, "cluster").0), (0, "info"), "{json:?}");
    }
}

#[test]
fn a_topic_that_can_not_be_made_says_why() {
    for version in ["0.10.2.0", "4.3.1"] {
        let topic = shared(version).topic(&format!("check-many-{}", std::process::id()));
        let (code, json) = check_json(&Work::new(&topic), &["--create-topic", "1:7"]);
        let (state, text) = row(&json, "make topic");
        assert_eq!((code, state), (78, "fail"), "{version}");
        assert!(text.to_lowercase().contains("replication factor"), "{version}: {text}");
    }
}

#[test]
fn the_newest_broker_tells_limits_and_rights() {
    let topic = shared("4.3.1").fresh_topic("check", 2);
    let (code, json) = check_json(&Work::new(&topic), &[]);
    assert_eq!(code, 0, "{json:?}");
    assert!(row(&json, "record sizes").1.starts_with("max.message.bytes is 1.0 MB"));
    assert_eq!(row(&json, "rights"), ("ok", "Describe, Write and Read are granted"));
    assert!(row(&json, "topic").1.contains("2 partitions, 1 replica"));
    assert_eq!(row(&json, "leaders").0, "ok");
    assert!(row(&json, shared("4.3.1").bootstrap()).1.contains("or later"));
}

#[test]
fn small_limits_are_a_warning() {
    let settings = [("max.message.bytes", "5000")];
    let topic = shared("4.3.1").create_topic_with(
        &format!("check-small-{}", std::process::id()),
        1,
        1,
        &settings,
    );
    let (code, json) = check_json(&Work::new(&topic), &[]);
    let (state, text) = row(&json, "record sizes");
    assert_eq!((code, state), (0, "warn"));
    assert!(text.contains("maxLineLength 2048") && text.contains("dead-letter"), "{text}");
}

/// A compacted topic takes no record without a key.
#[test]
fn a_compacted_topic_fails() {
    let name = format!("check-compacted-{}", std::process::id());
    let settings = [("cleanup.policy", "compact,delete")];
    let topic = shared("4.3.1").create_topic_with(&name, 1, 1, &settings);
    let (code, json) = check_json(&Work::new(&topic), &[]);
    let (state, text) = row(&json, "cleanup.policy");
    assert_eq!((code, state), (78, "fail"));
    assert!(text.contains("cleanup.policy=delete"), "{text}");
    // Those before 0.11 do not tell how a topic is configured, and the row says so.
    let settings = [("cleanup.policy", "compact")];
    let topic = shared("0.10.2.0").create_topic_with(&name, 1, 1, &settings);
    let (code, json) = check_json(&Work::new(&topic), &[]);
    let (state, text) = row(&json, "record sizes");
    assert_eq!((code, state), (0, "info"));
    assert!(text.contains("cleanup.policy"), "{text}");
}

/// Each property has its fate, and a slip is a failure with the name that was meant.
#[test]
fn properties_one_by_one_and_did_you_mean() {
    let topic = shared("0.10.2.0").fresh_topic("check-props", 1);
    let work = Work::new(&topic).set("a1.channels.c1.kafka.consumer.x", 1);
    let (_, json) = check_json(&work, &[]);
    let fate = |json: &Json, key: &str| {
        let list = json.list("properties");
        let listed = list.iter().find(|p| p.text("key") == key).unwrap();
        listed.text("fate").to_string()
    };
    assert_eq!(fate(&json, "a1.sources.r1.spoolDir"), "taken");
    assert_eq!(fate(&json, "a1.channels.c1.capacity"), "ignored");
    assert_eq!(fate(&json, "a1.channels.c1.kafka.consumer.x"), "ignored");
    let work = Work::new(&topic)
        .set("a1.sources.r1.fileHeadr", "true")
        .set("a1.channels.c1.kafka.ssl.keystore", "x")
        .set("a1.monitoring.textfle", "x");
    let (code, json) = check_json(&work, &[]);
    assert_eq!(code, 78);
    assert_eq!(fate(&json, "a1.sources.r1.fileHeadr"), "unknown");
    assert_eq!(fate(&json, "a1.channels.c1.kafka.ssl.keystore"), "refused");
    let texts: Vec<&str> = json.list("checks").iter().map(|r| r.text("text")).collect();
    for meant in ["a1.sources.r1.fileHeader?", "a1.monitoring.textfile?"] {
        assert!(texts.iter().any(|t| t.contains("did you mean") && t.contains(meant)), "{texts:?}");
    }
}

#[test]
fn without_a_terminal_there_are_words_and_no_colours() {
    let topic = shared("0.10.2.0").fresh_topic("check-plain", 1);
    let (code, text) = check(&Work::new(&topic), &[]);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains('\x1b') && !text.contains('✔'));
    assert!(text.contains("\n  ok    source r1      spool directory "), "{text}");
    // What is not needed is shown to who asks for it.
    assert!(!text.contains("ZooKeeper") && !text.contains("a1.sources"), "{text}");
    let (_, text) = check(&Work::new(&topic), &["-v"]);
    assert!(text.contains("ZooKeeper 127.0.0.1:1") && text.contains("a1.sources"), "{text}");
    assert!(text.trim_end().ends_with("(exit code 0)"), "{text}");
}

#[test]
fn one_of_two_brokers_is_enough_and_none_is_not() {
    let topic = shared("0.10.2.0").fresh_topic("check-hosts", 1);
    let both = format!("127.0.0.1:1,{}", topic.bootstrap());
    let (code, json) = check_json(&Work::new(&topic).set("a1.channels.c1.brokerList", both), &[]);
    assert_eq!((code, row(&json, "127.0.0.1:1").0), (0, "warn"));
    // In the order of the list, so that a person finds a host where it was written.
    let names: Vec<&str> = json.list("checks").iter().map(|r| r.text("name")).collect();
    let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
    assert_eq!(at("127.0.0.1:1") + 1, at(topic.bootstrap()));
    let none = Work::new(&topic).set("a1.channels.c1.brokerList", "127.0.0.1:1,localhost:1");
    let (code, json) = check_json(&none, &[]);
    assert_eq!((code, row(&json, "localhost:1").0), (75, "fail"));
    let way_out = "Connection refused; is it running, and is the list of brokers right?";
    assert_eq!(row(&json, "localhost:1").1, way_out);
}

/// Looking must not cost a running agent its lock, nor keep one from starting.
#[test]
fn a_running_agent_is_named_and_not_disturbed() {
    let topic = shared("0.10.2.0").fresh_topic("check-running", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, Duration::from_secs(30));
    for _ in 0..5 {
        let (code, json) = check_json(&work, &[]);
        let (state, text) = row(&json, "no other agent");
        assert_eq!((code, state), (0, "ok"));
        assert!(text.contains(&format!("held by pid {} (agent a1", agent.pid())), "{text}");
        assert_eq!(row(&json, "tracker").0, "ok");
    }
    let (_, text) = check(&work, &[]);
    assert!(text.contains("the agent runs: 0 failures"), "{text}");
    work.append("010_{H}.log", b"two\n");
    agent.expect_records(&topic, 2, Duration::from_secs(30));
    assert_eq!(agent.term().code(), Some(0));
    let (code, json) = check_json(&work, &[]);
    assert_eq!((code, row(&json, "no other agent").0), (0, "ok"));
}

#[test]
fn what_is_wrong_with_the_directories() {
    let topic = shared("0.10.2.0").fresh_topic("check-dirs", 1);
    let nowhere = Work::new(&topic).set("a1.sources.r1.spoolDir", "/nowhere/at/all");
    let (code, json) = check_json(&nowhere, &[]);
    assert_eq!((code, row(&json, "spool directory").0), (75, "fail"));
    let work = Work::new(&topic).file("no-directory", b"", 1);
    let path = work.path("no-directory").display().to_string();
    let (code, json) = check_json(&work.set("a1.sources.r1.spoolDir", path), &[]);
    assert_eq!((code, row(&json, "spool directory").0), (78, "fail"));
    let work = Work::new(&topic);
    std::fs::create_dir(work.tracker_dir()).unwrap();
    std::fs::write(work.tracker_dir().join("checkpoint"), vec![7; 8192]).unwrap();
    let (code, json) = check_json(&work, &[]);
    let (state, text) = row(&json, "tracker");
    assert_eq!((code, state), (78, "fail"));
    assert!(text.contains("slot 0: does not begin with the magic bytes"), "{text}");
}

#[test]
fn a_text_file_that_can_not_be_written_is_told_before_the_start() {
    let topic = shared("0.10.2.0").fresh_topic("check-textfile", 1);
    let work = Work::new(&topic).set("a1.monitoring.textfile", "nowhere/a1.prom");
    let (code, json) = check_json(&work, &[]);
    let (state, text) = row(&json, "monitoring.textfile");
    assert_eq!((code, state), (0, "warn"));
    assert!(text.contains("nowhere cannot be written"), "{text}");
    let work = work.set("a1.monitoring.textfile", "a1.prom");
    assert_eq!(row(&check_json(&work, &[]).1, "monitoring.textfile").0, "ok");
    let left = std::fs::read_dir(work.dir()).unwrap().flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("check-")));
}

#[test]
fn names_that_do_not_agree_are_told() {
    let topic = shared("0.10.2.0").fresh_topic("check-names", 1);
    let work = Work::new(&topic).file("app.{H}", b"", 1);
    let work = work.set("a1.sources.r1.targetPattern", r"010_\\d{10}");
    let (code, json) = check_json(&work, &[]);
    let (state, text) = row(&json, "names agree");
    assert_eq!((code, state), (0, "warn"));
    assert!(text.contains("targetPattern leaves it out"), "{text}");
    let work = Work::new(&topic).set("a1.sources.r1.targetFilename", "'nothing'");
    assert_eq!(row(&check_json(&work, &[]).1, "names agree").0, "warn");
}

fn write_tracker(work: &Work, bytes: &[u8]) {
    fs::create_dir_all(work.tracker_dir()).unwrap();
    fs::write(work.tracker_dir().join(".flumespooltailfile-main.meta"), bytes).unwrap();
}

/// To begin at 0 sends again what Flume has sent: `check` says what a start says, and nothing is sent.
#[test]
fn a_tracker_of_flume_that_can_not_be_used_stops_check_and_start_alike() {
    let _row = hazard(Group::Claims, "Flume's tracker elsewhere, empty or damaged", V43);
    for (label, bytes, words) in [
        (
            "elsewhere",
            java_tracker("/old/spool/010_2017041212.log", 4),
            "write spoolDir = /old/spool",
        ),
        ("empty", Vec::new(), "tells no position (it is empty"),
        ("noise", b"no Avro at all".to_vec(), "tells no position (it is not an Avro file"),
    ] {
        let topic = shared("4.3.1").fresh_topic(&format!("check-tracker-{label}"), 1);
        let work = Work::new(&topic).file("010_{H}.log", b"one\ntwo\n", 1);
        write_tracker(&work, &bytes);
        let (code, json) = check_json(&work, &[]);
        let (state, text) = row(&json, "tracker");
        assert_eq!((code, state), (78, "fail"), "{text}");
        assert!(text.contains(words) && text.contains("remove"), "{text}");
        let mut agent = work.start();
        let status = agent.wait(PATIENCE).expect("it ends by itself");
        assert_eq!(status.code(), Some(78), "{}", agent.log());
        let said = text.split("; the agent would").next().unwrap();
        assert!(agent.log().contains(said), "{said} in {}", agent.log());
        assert_eq!(topic.count(), 0);
        assert!(!work.tracker_dir().join("checkpoint").exists());
    }
}

/// Flume's positions are ahead of the checkpoint: to go on would send again what Flume has sent.
#[test]
fn flume_that_has_run_again_stops_check_and_start_alike() {
    let topic = shared("4.3.1").fresh_topic("check-flume-again", 1);
    let work = Work::new(&topic).conf(taildir::CONF).subdirectory("one").subdirectory("two");
    let work = work.file("one/a.log", b"one\n", 10);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, PATIENCE);
    assert_eq!(agent.term().code(), Some(0));
    let (code, json) = check_json(&work, &[]);
    assert_eq!((code, row(&json, "tracker").0), (0, "ok"), "{json:?}");
    work.append("one/a.log", b"two\n");
    let path = work.path("one/a.log");
    let inode = fs::metadata(&path).unwrap().ino();
    let text = format!("[{{\"inode\":{inode},\"pos\":8,\"file\":\"{}\"}}]", path.display());
    std::thread::sleep(Duration::from_millis(20));
    fs::write(work.dir().join("state/position.json"), text).unwrap();
    // And as often as it is asked: neither a look nor a start makes it the agent's own.
    for _ in 0..2 {
        let (code, json) = check_json(&work, &[]);
        let (state, text) = row(&json, "tracker");
        assert_eq!((code, state), (78, "fail"), "{text}");
        assert!(text.contains("Flume has run here since"), "{text}");
        let mut agent = work.start();
        assert_eq!(agent.wait(PATIENCE).expect("it ends by itself").code(), Some(78));
        let said = text.split("; the agent would").next().unwrap();
        assert!(agent.log().contains(said), "{said} in {}", agent.log());
        // Whoever asks for the state is told to mend it, not that the promise is broken.
        let mut status = work.program();
        status.args(["status", "--name", "a1", "--conf-file", "log010.conf"]);
        assert_eq!(status.output().unwrap().status.code(), Some(78));
    }
}

/// One plan, told by the one and carried out by the other.
#[test]
fn check_says_of_a_lost_state_what_the_start_says() {
    for (bad, words) in [
        ("beginning", "every file is read from its beginning"),
        ("end", "what the files hold now is skipped"),
        ("topic", "the topic is read back, and what it lacks is sent"),
    ] {
        let topic = shared("4.3.1").fresh_topic(&format!("check-lost-{bad}"), 1);
        let work = Work::new(&topic).set("a1.sources.r1.onBadCheckpoint", bad);
        let work = work.file("010_{H}.log", b"one\n", 1);
        fs::create_dir(work.tracker_dir()).unwrap();
        fs::write(work.tracker_dir().join("checkpoint"), vec![7; 8192]).unwrap();
        let (code, json) = check_json(&work, &[]);
        let (state, text) = row(&json, "tracker");
        assert_eq!((code, state), (0, "warn"), "{text}");
        assert!(text.contains("slot 0: ") && text.ends_with(words), "{text}");
        let mut agent = work.start();
        assert!(wait_for(PATIENCE, || agent.log().contains(text)), "{}", agent.log());
        assert_eq!(agent.term().code(), Some(0));
    }
    // With which an earlier start has begun counts, whatever the checkpoint says.
    let topic = shared("4.3.1").fresh_topic("check-rebuilding", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    fs::create_dir(work.tracker_dir()).unwrap();
    fs::write(work.tracker_dir().join("rebuilding"), "").unwrap();
    let (code, json) = check_json(&work, &[]);
    assert_eq!((code, row(&json, "tracker").0), (0, "info"));
    assert!(row(&json, "tracker").1.contains("rebuilding is there: the topic is read back"));
}

/// The same directory by another path is not another one.
#[test]
fn a_tracker_of_flume_that_leads_into_the_same_directory_is_taken_over() {
    let topic = shared("4.3.1").fresh_topic("check-tracker-link", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\ntwo\n", 1);
    let link = work.dir().join("link");
    symlink(work.spool(), &link).unwrap();
    let file = link.join(work.name("010_{H}.log"));
    write_tracker(&work, &java_tracker(file.to_str().unwrap(), 4));
    let (code, json) = check_json(&work, &[]);
    assert_eq!((code, row(&json, "tracker").0), (0, "ok"), "{json:?}");
    assert!(row(&json, "tracker").1.contains("taking over from Flume"), "{json:?}");
    assert!(row(&json, "files").1.contains("4 B and 1 line behind"), "{json:?}");
    let mut agent = work.start();
    agent.expect_records(&topic, 1, PATIENCE);
    assert_eq!(topic.bodies(), ["two"]);
}

#[test]
fn a_tracker_of_flume_whose_file_is_done_or_gone_means_nothing() {
    let _row = hazard(Group::Claims, "Flume's tracker for a finished file", V43);
    for (label, left_as, words) in [
        ("done", Some("010_{H-1}.log.COMPLETED"), "which is finished"),
        ("gone", None, "which is no longer"),
    ] {
        let topic = shared("4.3.1").fresh_topic(&format!("check-tracker-{label}"), 1);
        let mut work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
        work = work.java_tracker("010_{H-1}.log", 4);
        if let Some(name) = left_as {
            work.write(name, b"old\n", 4_000);
        }
        let (code, json) = check_json(&work, &[]);
        assert_eq!(code, 0, "{json:?}");
        assert!(row(&json, "tracker").1.contains(words), "{json:?}");
        let mut agent = work.start();
        agent.expect_records(&topic, 1, PATIENCE);
        assert!(agent.log().contains(words), "{}", agent.log());
        assert_eq!(topic.bodies(), ["one"]);
    }
}

#[test]
fn a_file_that_can_not_be_read_is_told_before_the_start() {
    let _row = hazard(Group::Claims, "check with an unreadable file", V43);
    let topic = shared("4.3.1").fresh_topic("check-unreadable", 1);
    let mut work =
        Work::new(&topic).file("010_{H-1}.log", b"one\n", 60).file("010_{H}.log", b"", 1);
    fs::set_permissions(work.path("010_{H-1}.log"), fs::Permissions::from_mode(0o000)).unwrap();
    work.write_conf();
    // Root reads everything. SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        chown(work.spool(), Some(NOBODY), None).unwrap();
        work = work.run_by(NOBODY);
    }
    let mut command = work.program();
    command.args(["check", "--name", "a1", "--conf-file", "log010.conf", "--json"]);
    let output = command.output().unwrap();
    let json = Json::parse(String::from_utf8(output.stdout).unwrap().trim());
    assert_eq!(output.status.code(), Some(78), "{json:?}");
    let (state, text) = row(&json, "unreadable file");
    assert_eq!(state, "fail");
    assert!(text.contains(&work.name("010_{H-1}.log")) && text.contains("denied"), "{text}");
    // Its lines are not known, which is not the same as none.
    assert_eq!(row(&json, "files").1, "2 files now, 4 B behind");
}

/// Text of each row that fails, as somebody without rights is told.
fn failures(work: &Work) -> Vec<String> {
    let mut command = work.program();
    command.args(["check", "--name", "a1", "--conf-file", "log010.conf", "--json"]);
    let json = Json::parse(String::from_utf8(command.output().unwrap().stdout).unwrap().trim());
    let rows = json.list("checks").iter();
    rows.filter(|row| row.text("state") == "fail").map(|row| row.text("text").to_owned()).collect()
}

/// One fault, one row: what is behind a closed door nobody can judge.
#[test]
fn a_tracker_directory_that_is_closed_fails_once_with_the_way_out() {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return eprintln!("skipped: no right to give a directory to somebody else");
    }
    let topic = shared("4.3.1").fresh_topic("check-closed", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    let above = work.dir().join("above");
    let tracker = above.join("tracker");
    let work = work.set("a1.sources.r1.trackerDir", tracker.display());
    work.write_conf();
    chown(work.spool(), Some(NOBODY), None).unwrap();
    let work = work.run_by(NOBODY);
    // It is to be made where only root may make anything.
    fs::create_dir(&above).unwrap();
    fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).unwrap();
    let told = failures(&work);
    let words = "cannot be created: Permission denied; create it, or set trackerDir to";
    assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    // Root has started the agent once.
    fs::create_dir(&tracker).unwrap();
    fs::set_permissions(&tracker, fs::Permissions::from_mode(0o700)).unwrap();
    let way_out = "Permission denied; chown it to the user of the agent";
    let told = failures(&work);
    assert!(told.len() == 1 && told[0].ends_with(way_out), "{told:?}");
    chown(&tracker, Some(NOBODY), None).unwrap();
    fs::write(tracker.join("receipts"), "").unwrap();
    fs::set_permissions(tracker.join("receipts"), fs::Permissions::from_mode(0o600)).unwrap();
    let told = failures(&work);
    assert!(told.len() == 1 && told[0].ends_with(&format!("receipts: {way_out}")), "{told:?}");
    fs::remove_file(tracker.join("receipts")).unwrap();
    assert_eq!(failures(&work), [""; 0]);
}

#[test]
fn a_directory_in_the_place_of_the_checkpoint_is_named_by_check_and_start() {
    let topic = shared("4.3.1").fresh_topic("check-no-file", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    fs::create_dir_all(work.tracker_dir().join("checkpoint")).unwrap();
    let (code, json) = check_json(&work, &[]);
    let (state, text) = row(&json, "own files");
    assert_eq!((code, state), (78, "fail"), "{text}");
    assert!(text.ends_with("checkpoint: it is not a regular file; remove it"), "{text}");
    let mut agent = work.start();
    assert!(wait_for(PATIENCE, || agent.log().contains(text)), "{}", agent.log());
    fs::remove_dir(work.tracker_dir().join("checkpoint")).unwrap();
    agent.expect_records(&topic, 1, PATIENCE);
    assert_eq!(agent.term().code(), Some(0));
}

/// The first checkpoint needs its room, and a look must not take the last of it.
#[test]
fn without_room_for_the_checkpoint_it_is_told_and_nothing_is_left_behind() {
    let _row = hazard(Group::Claims, "check with no room for the checkpoint", V43);
    let unshare =
        |command: &str| Command::new("unshare").args(["-m", "sh", "-c", command]).output();
    if !unshare("true").is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: no right to mount a small file system");
    }
    let topic = shared("4.3.1").fresh_topic("check-room", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    let tracker = work.dir().join("tracker");
    fs::create_dir(&tracker).unwrap();
    let work = work.set("a1.sources.r1.trackerDir", tracker.display());
    work.write_conf();
    let program = env!("CARGO_BIN_EXE_flume-ng");
    let look = |size: &str, filler: &str| {
        let output = unshare(&format!(
            "mount -t tmpfs -o size={size},mode=755 none {dir} && cd {work} && {filler}
             {program} check --name a1 --conf-file log010.conf --json; code=$?
             ls -A {dir} >&2; exit $code",
            dir = tracker.display(),
            work = work.dir().display(),
        ));
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let json = Json::parse(String::from_utf8(output.stdout).unwrap().trim());
        (output.status.code(), json, stderr)
    };
    let (code, json, left) = look("256k", "");
    assert_eq!((code, row(&json, "room for the checkpoint").0), (Some(0), "ok"), "{json:?}");
    assert_eq!(left, "");
    let (code, json, left) = look("64k", "");
    let (state, text) = row(&json, "room for the checkpoint");
    assert_eq!((code, state), (Some(75), "fail"), "{json:?}");
    assert!(text.contains("free disk space"), "{text}");
    assert_eq!(left, "");
    // Full to the last byte.
    let filler = format!("head -c 100000 /dev/zero >{}/filler 2>/dev/null;", tracker.display());
    let (code, json, left) = look("64k", &filler);
    assert_eq!((code, row(&json, "tracker directory").0), (Some(75), "fail"), "{json:?}");
    assert_eq!(left, "filler\n");
}

/// It takes no byte more, but another name.
#[test]
fn a_full_disk_of_the_spool_directory_is_told_as_what_it_is() {
    let unshare =
        |command: &str| Command::new("unshare").args(["-m", "sh", "-c", command]).output();
    if !unshare("true").is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: no right to mount a small file system");
    }
    let topic = shared("4.3.1").fresh_topic("check-full", 1);
    let work = Work::new(&topic);
    let tracker = work.dir().join("tracker");
    let work = work.set("a1.sources.r1.trackerDir", tracker.display());
    work.write_conf();
    let (program, name) = (env!("CARGO_BIN_EXE_flume-ng"), work.name("010_{H-2}.log"));
    let present = work.name("010_{H}.log");
    let output = unshare(&format!(
        "cd {work} && mount -t tmpfs -o size=64k,mode=755 none {spool} &&
         echo one >{spool}/{name} && touch -d '3 hours ago' {spool}/{name} &&
         echo two >{spool}/{present} || exit 3
         head -c 100000 /dev/zero >{spool}/filler 2>/dev/null
         {program} check --name a1 --conf-file log010.conf --json
         {program} agent --name a1 --conf-file log010.conf --once --timeout 60 2>&1
         ls {spool}",
        work = work.dir().display(),
        spool = work.spool().display(),
    ));
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let (json, log) = text.split_once('\n').unwrap();
    let json = Json::parse(json);
    let (state, words) = row(&json, "spool directory");
    assert_eq!(state, "warn", "{words}");
    assert!(words.contains("No space left") && words.contains("renamed all the same"), "{words}");
    assert!(log.contains("The disk of the spooling directory is full"), "{log}");
    assert!(log.contains(&format!("\n{name}.COMPLETED\n")), "{log}");
}

#[test]
fn names_that_should_not_match_are_told() {
    let _row = hazard(Group::Claims, "copies and compressed files that match the pattern", V43);
    let topic = shared("4.3.1").fresh_topic("check-odd", 1);
    let work = Work::new(&topic)
        .file("010_{H}.log", b"one\n", 1)
        .file("010_{H}.log.1", b"zero\n", 60)
        .file("010_{H-1}.log.gz", b"\x1f\x8b\n", 60);
    let (code, json) = check_json(&work, &[]);
    let texts: Vec<&str> = json.list("checks").iter().map(|r| r.text("text")).collect();
    assert_eq!(code, 0, "{json:?}");
    for words in ["and are compressed (", "look like copies of others ("] {
        assert!(texts.iter().any(|text| text.contains(words)), "{words} in {texts:?}");
    }
    let mut agent = work.start();
    agent.expect_records(&topic, 3, PATIENCE);
    for words in ["and are compressed (", "look like copies of others ("] {
        assert!(agent.log().contains(words), "{words} in {}", agent.log());
    }
}
