//! `flume-ng status`: the agent is told from outside, and does not notice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::json::{Json, Members as _};
use crate::support::torture::{Group, V43, hazard};
use crate::support::{Work, shared};

/// Somebody without rights.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(30);

fn command(work: &Work, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
    command.args(["status", "--name", "a1", "--conf-file"]);
    command.arg(work.write_conf()).args(args).current_dir(work.dir());
    command
}

fn status(work: &Work, args: &[&str]) -> String {
    let output = command(work, args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The only source.
fn source(work: &Work) -> Json {
    let json = Json::parse(status(work, &["--json"]).trim());
    assert_eq!(json.text("agent"), "a1");
    json.list("sources")[0].clone()
}

/// Names, content and times of everything in the tracker directory.
fn tracker(work: &Work) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let entries = std::fs::read_dir(work.tracker_dir()).unwrap().flatten();
    let about = |entry: std::fs::DirEntry| {
        let modified = entry.metadata().unwrap().modified().unwrap();
        let content = std::fs::read(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), (content, modified))
    };
    entries.map(about).collect()
}

#[test]
fn before_the_first_start_everything_waits() {
    let topic = shared("0.10.2.0").topic("status-never");
    let work = Work::new(&topic).file("010_{H-1}.log", b"one\ntwo\nthr", 100);
    let source = source(&work);
    assert_eq!(source.get("running"), Some(&Json::Bool(false)));
    assert_eq!((source.number("behind_bytes"), source.number("behind_lines")), (11, 2));
    assert!(source.number("oldest_unsent_at_least_ms") >= 100_000);
    assert_eq!(source.list("files")[0].text("state"), "waiting");
    assert!(!work.tracker_dir().exists());
    let text = status(&work, &[]);
    assert!(text.starts_with("info  agent a1, source r1: never started here\n"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn a_host_is_waited_for_until_nothing_is_behind() {
    let topic = shared("4.3.1").fresh_topic("status-wait", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\ntw", 0);
    let wait = |seconds: &str| {
        let output = command(&work, &["--wait", seconds]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = wait("0");
    assert_eq!(code, Some(75));
    assert_eq!(text, "flume-ng: after 0 seconds not all of source r1 is delivered\n");
    let waiting = command(&work, &["--wait", "60"]).stdout(Stdio::null()).spawn().unwrap();
    let mut agent = work.start();
    let output = waiting.wait_with_output().unwrap();
    // Half a line waits for its writer.
    assert_eq!(output.status.code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["one"]);
    work.append("010_{H}.log", b"o\n");
    assert_eq!(wait("60").0, Some(0));
    assert_eq!(topic.bodies(), ["one", "two"]);
    assert_eq!(agent.term().code(), Some(0));
    // Nobody is needed where nothing is to be done.
    assert_eq!(wait("0").0, Some(0));
    work.append("010_{H}.log", b"three\n");
    assert_eq!(wait("1").0, Some(75));
}

#[test]
fn a_running_agent_and_a_stopped_one() {
    let topic = shared("0.10.2.0").fresh_topic("status", 2);
    let work = Work::new(&topic)
        .set("a1.sources.r1.retireGraceMs", 100)
        .file("010_{H-1}.log", b"one\ntwo\n", 3600)
        .file("010_{H}.log", b"three\n", 2);
    let mut agent = work.start();
    agent.expect_records(&topic, 3, PATIENCE);
    agent.expect("the receipt", PATIENCE, || source(&work).number("receipts") == 1);
    let running = source(&work);
    assert_eq!(running.get("running"), Some(&Json::Bool(true)));
    assert_eq!(running.number("pid"), u64::from(agent.pid()));
    assert_eq!(running.list("last_receipts")[0].text("name"), work.name("010_{H-1}.log"));
    assert_eq!(running.list("last_receipts")[0].number("events"), 2);
    agent.expect("nothing behind", PATIENCE, || source(&work).number("behind_bytes") == 0);
    let text = status(&work, &[]);
    assert!(text.contains(&format!("pid {}, running since ", agent.pid())), "{text}");
    assert_eq!(agent.term().code(), Some(0));

    work.append("010_{H}.log", b"four\nfive\n");
    let before = tracker(&work);
    let stopped = source(&work);
    assert_eq!(stopped.get("running"), Some(&Json::Bool(false)));
    assert_eq!((stopped.number("behind_bytes"), stopped.number("behind_lines")), (10, 2));
    let file = &stopped.list("files")[0];
    assert_eq!((file.number("size"), file.number("position"), file.number("lines")), (16, 6, 1));
    assert_eq!(file.text("state"), "live");
    let channel = &stopped.list("channels")[0];
    assert_eq!(channel.text("topic"), topic.name());
    assert!(status(&work, &[]).contains("stopped; last started "));
    assert_eq!(tracker(&work), before, "looking has left traces");
}

#[test]
fn prometheus_text_has_each_metric_once_and_its_type() {
    let topic = shared("0.10.2.0").fresh_topic("status-prom", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, PATIENCE);
    agent.expect("nothing behind", PATIENCE, || source(&work).number("behind_bytes") == 0);
    let text = status(&work, &["--prometheus"]);
    let file = work.name("010_{H}.log");
    for line in [
        "flume_ng_up{agent=\"a1\"} 1".to_string(),
        format!("flume_ng_file_position_bytes{{agent=\"a1\",source=\"r1\",file=\"{file}\"}} 4"),
        "flume_ng_behind_bytes{agent=\"a1\",source=\"r1\"} 0".to_string(),
        "flume_ng_dead_letters{agent=\"a1\",source=\"r1\"} 0".to_string(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    let mut types: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    let count = types.len();
    types.dedup();
    assert_eq!(types.len(), count);
    agent.kill9();
    assert!(status(&work, &["--prometheus"]).contains("flume_ng_up{agent=\"a1\"} 0\n"));
}

#[test]
fn watching_goes_on_as_long_as_there_is_a_reader() {
    let topic = shared("0.10.2.0").topic("status-watch");
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 1);
    let mut child = command(&work, &["--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for size in [4, 8] {
        let json = Json::parse(&lines.next().unwrap().unwrap());
        assert_eq!(json.list("sources")[0].number("behind_bytes"), size);
        work.append("010_{H}.log", b"two\n");
    }
    // Its reader goes away.
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// "All of it behind, nothing in doubt" would be a guess that a monitor takes for the truth.
#[test]
fn what_can_not_be_read_is_not_given_as_a_number() {
    let topic = shared("0.10.2.0").topic("status-unreadable");
    let work = Work::new(&topic).file("010_{H-1}.log", b"one\ntwo\n", 100);
    std::fs::create_dir_all(work.tracker_dir()).unwrap();
    std::fs::write(work.tracker_dir().join("checkpoint"), b"no checkpoint").unwrap();
    let unsure = |args: &[&str]| {
        let output = command(&work, args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{stderr}");
        assert!(stderr.starts_with("flume-ng: something cannot be read: checkpoint: "));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = unsure(&[]);
    assert!(text.contains("behind      not known\n"), "{text}");
    assert!(!text.contains("in doubt") && !text.contains("010_"), "{text}");
    let json = Json::parse(unsure(&["--json"]).trim());
    let source = &json.list("sources")[0];
    for member in ["behind_bytes", "behind_lines", "batches_in_doubt", "dead_letters"] {
        assert_eq!(source.get(member), Some(&Json::Null), "{member}");
    }
    assert!(source.list("files").is_empty());
    let metrics = unsure(&["--prometheus"]);
    assert!(!metrics.contains("behind_bytes") && !metrics.contains("in_doubt"), "{metrics}");
    // An agent that has ended over it is not to be started again, as 75 would have it.
    let mut agent = work.start();
    assert_eq!(agent.wait(PATIENCE).expect("it ends by itself").code(), Some(70));
    assert_eq!(told(&work, &[]).0, Some(70));
}

/// Nobody counts the lines of a file that cannot be read, and a zero would be believed.
#[test]
fn a_file_that_can_not_be_read_has_no_number_of_lines() {
    let topic = shared("0.10.2.0").topic("status-unreadable-file");
    let mut work = Work::new(&topic).file("010_{H-1}.log", b"one\ntwo\n", 100).file(
        "010_{H}.log",
        b"three\n",
        1,
    );
    let name = work.name("010_{H-1}.log");
    fs::set_permissions(work.path("010_{H-1}.log"), fs::Permissions::from_mode(0o000)).unwrap();
    work.write_conf();
    // Root reads everything. SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        work = work.run_by(NOBODY);
    }
    let unsure = |args: &[&str]| {
        let mut command = work.program();
        command.args(["status", "--name", "a1", "--conf-file", "log010.conf"]).args(args);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{stderr}");
        assert!(stderr.contains(&format!("{name}: Permission denied; run it as the agent's user")));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = unsure(&[]);
    assert!(text.contains("14 B, lines not known\n"), "{text}");
    let row = text.lines().find(|line| line.contains(&name)).unwrap();
    assert!(row.contains("  -  "), "{text}");
    let json = Json::parse(unsure(&["--json"]).trim());
    let source = &json.list("sources")[0];
    assert_eq!(source.number("behind_bytes"), 14);
    assert_eq!(source.get("behind_lines"), Some(&Json::Null));
    assert!(source.text("fault").contains(&name), "{json:?}");
}

#[test]
fn a_wrong_configuration_ends_with_78() {
    let topic = shared("0.10.2.0").topic("status-wrong");
    let work = Work::new(&topic).set("a1.sources.r1.batchSize", "x");
    let output = command(&work, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("batchSize"));
}

/// Exit code and output.
fn told(work: &Work, args: &[&str]) -> (Option<i32>, String) {
    let output = command(work, args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// "ok" of an agent that can send nothing is what nobody must be told.
#[test]
fn brokers_that_take_nothing_are_told_first_and_are_no_clean_exit() {
    let _row = hazard(Group::Claims, "status with no broker in reach", V43);
    let topic = shared("4.3.1").fresh_topic("status-away", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\ntwo\n", 1);
    let away = work.set("a1.channels.c1.brokerList", "127.0.0.1:1");
    let mut agent = away.start();
    agent.expect("exit code 75", PATIENCE, || told(&away, &[]).0 == Some(75));
    let (_, text) = told(&away, &[]);
    let mut lines = text.lines();
    let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(
        first.starts_with("fail  ") && first.ends_with("but its brokers take nothing"),
        "{text}"
    );
    assert!(
        second.trim_start().starts_with("trouble ")
            && second.contains("  channel c1 takes nothing since "),
        "{text}"
    );
    assert!(second.contains("127.0.0.1:1"), "{text}");
    let third = lines.next().unwrap();
    assert_eq!(second.find("channel c1"), third.find('/'), "{text}");
    let (code, text) = told(&away, &["--json"]);
    let trouble = Json::parse(text.trim()).list("sources")[0].list("troubles")[0].clone();
    assert_eq!((code, trouble.text("kind"), trouble.text("channel")), (Some(75), "brokers", "c1"));
    assert!(trouble.number("since_ms") > 1_600_000_000_000);
    // It is not forgotten with the agent, and gone when the brokers are there.
    agent.kill9();
    assert_eq!(told(&away, &[]).0, Some(75));
    let back = away.set("a1.channels.c1.brokerList", topic.bootstrap());
    let mut agent = back.start();
    agent.expect_records(&topic, 2, PATIENCE);
    agent.expect("exit code 0", PATIENCE, || told(&back, &[]).0 == Some(0));
    assert!(!back.tracker_dir().join("trouble").exists());
    assert_eq!(agent.term().code(), Some(0));
    assert_eq!(told(&back, &[]).0, Some(0));
}

/// Neither "stopped" nor "can be started": somebody has to look first.
#[test]
fn an_agent_that_ended_by_itself_is_told_with_its_reason() {
    let _row = hazard(Group::Claims, "status after exit code 70", V43);
    let topic = shared("4.3.1").fresh_topic("status-ended", 1);
    let work = Work::new(&topic).file("010_{H}.log", b"one\nbad \xff\xfe\n", 1);
    let work = work.set("a1.sources.r1.decodeErrorPolicy", "FAIL");
    let mut agent = work.start();
    assert_eq!(agent.wait(PATIENCE).expect("it ends by itself").code(), Some(70));
    let (code, text) = told(&work, &[]);
    assert_eq!(code, Some(70), "{text}");
    assert!(text.starts_with("fail  agent a1, source r1: ended by itself"), "{text}");
    let name = work.name("010_{H}.log");
    let trouble = text.lines().nth(1).unwrap();
    assert!(trouble.contains("ended with exit code 70 on ") && trouble.contains(&name), "{text}");
    let check = |work: &Work| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
        command.args(["check", "--name", "a1", "--conf-file"]).arg(work.write_conf());
        let output = command.current_dir(work.dir()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = check(&work);
    assert!(text.contains("last end") && !text.contains("can be started"), "{text}");
    // Mended, it is over with the first connection.
    let work = work.set("a1.sources.r1.decodeErrorPolicy", "REPLACE");
    let mut agent = work.start();
    agent.expect_records(&topic, 2, PATIENCE);
    agent.expect("no trouble", PATIENCE, || !work.tracker_dir().join("trouble").exists());
    assert_eq!(agent.term().code(), Some(0));
    assert!(check(&work).contains("can be started"));
    assert_eq!(told(&work, &[]).0, Some(0));
}
