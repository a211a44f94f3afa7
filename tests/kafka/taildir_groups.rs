//! TAILDIR: groups are added to the configuration and removed from it. With their directories the one changes that
//! all have in common, and names of files are told from that one.

use std::fs;

use crate::support::torture::{ARRIVE_MAX, difference, lines};
use crate::support::{Agent, Cluster, Topic, Work, lend, shared, wait_for};
use crate::taildir::CONF;

const V4: &str = "4.3.1";
const GROUPS: &str = "a1.sources.r1.filegroups";

fn work_for(topic: &Topic) -> Work {
    let work = Work::new(topic).conf(CONF).set("a1.sources.r1.headers.f2.from", "two");
    let work = work.subdirectory("one").subdirectory("two").subdirectory("one/old");
    work.set("a1.sources.r1.filegroups.f1", "@SPOOL@/one/.*\\\\.log").set(GROUPS, "f1 f2")
}

fn ends_well(agent: &mut Agent) {
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
}

/// What the program says to `command`, if it ends with 0.
fn told_by(work: &Work, command: &str, more: &[&str]) -> Result<String, String> {
    let mut program = work.program();
    program.args([command, "--name", "a1", "--conf-file", "log010.conf"]).args(more);
    let output = program.output().expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(told) } else { Err(format!("{told}\n{why}")) }
}

fn has_receipt(work: &Work, name: &str) -> bool {
    let receipts = fs::read_to_string(work.dir().join("state/position.json.d/receipts"));
    receipts.is_ok_and(|text| text.lines().any(|line| line.contains(name)))
}

/// A file of the first group was moved to a directory that nobody lists, and is at its end there: it waits for late
/// lines, or has its receipt.
fn moved_aside(grace_ms: u64) -> (Topic, Work) {
    let topic = shared(V4).fresh_topic("taildir-groups", 1);
    let work = work_for(&topic).set(GROUPS, "f1").set("a1.sources.r1.retireGraceMs", grace_ms);
    let work = work.file("one/a.log", &lines("a", 0, 10), 10);
    let mut agent = work.start();
    agent.expect_records(&topic, 10, ARRIVE_MAX);
    fs::rename(work.path("one/a.log"), work.path("one/old/a.log.1")).expect("a rename");
    work.append("one/a.log", &lines("b", 0, 5));
    agent.expect_records(&topic, 15, ARRIVE_MAX);
    agent.expect("that it was moved", ARRIVE_MAX, || {
        fs::read_dir(work.dir()).expect("a directory").flatten().any(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            text.contains("was moved to") || text.contains("was replaced and is ")
        })
    });
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    if grace_ms < 10_000 {
        agent.expect("its receipt", ARRIVE_MAX, || has_receipt(&work, "completed=old/a.log.1"));
    }
    ends_well(&mut agent);
    (topic, work)
}

/// A group is added, the file that was moved aside grows, and each line is there once.
fn goes_on_with_a_group_more(grace_ms: u64) {
    let (topic, work) = moved_aside(grace_ms);
    work.append("one/old/a.log.1", &lines("a", 10, 14));
    work.append("two/c.log", &lines("c", 0, 3));
    let work = work.set(GROUPS, "f1 f2");
    let mut agent = work.start();
    agent.expect_records(&topic, 22, ARRIVE_MAX);
    work.append("one/a.log", &lines("b", 5, 7));
    agent.expect_records(&topic, 24, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    ends_well(&mut agent);
    let found = difference(&topic, &[("a", 14), ("b", 7), ("c", 3)]);
    assert!(found.is_none(), "{found:?}\n{}", agent.log());
}

/// Its name was told from `one`, and looked for below the directory above it.
#[test]
fn a_file_in_its_grace_time_is_found_when_a_group_was_added() {
    goes_on_with_a_group_more(600_000);
}

#[test]
fn a_finished_file_that_has_grown_is_found_when_a_group_was_added() {
    goes_on_with_a_group_more(300);
}

/// Fifty lines of the second group are in doubt, seven more were not read, and nobody reads that group any more.
fn in_doubt_of_a_removed_group(cluster: &Cluster, label: &str) -> (Topic, Work) {
    let topic = cluster.fresh_topic(label, 1);
    let work = work_for(&topic).file("one/a.log", &lines("a", 0, 3), 10).file(
        "two/b.log",
        &lines("b", 0, 3),
        10,
    );
    let mut agent = work.start();
    agent.expect_records(&topic, 6, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    cluster.pause(0);
    work.append("two/b.log", &lines("b", 3, 53));
    let is_in_doubt = wait_for(ARRIVE_MAX, || {
        let told = told_by(&work, "status", &["--json"]).unwrap_or_else(|told| told);
        let told: String = told.split_whitespace().collect();
        told.contains("\"batches_in_doubt\":") && !told.contains("\"batches_in_doubt\":0,")
    });
    agent.kill9();
    cluster.resume(0);
    assert!(is_in_doubt, "{}", agent.log());
    work.append("two/b.log", &lines("b", 53, 60));
    (topic, work.set(GROUPS, "f1"))
}

/// Its bytes could not be read, and nothing of the channel was sent before an hour was over.
#[test]
fn what_is_in_doubt_of_a_removed_group_is_settled() {
    let cluster = lend(V4);
    let (topic, work) = in_doubt_of_a_removed_group(&cluster, "taildir-removed");
    let mut agent = work.start();
    agent.expect_records(&topic, 56, ARRIVE_MAX);
    work.append("one/a.log", &lines("a", 3, 6));
    agent.expect_records(&topic, 59, ARRIVE_MAX);
    agent.expect("its receipt", ARRIVE_MAX, || has_receipt(&work, "two/b.log"));
    ends_well(&mut agent);
    let found = difference(&topic, &[("a", 6), ("b", 53)]);
    assert!(found.is_none(), "{found:?}\n{}", agent.log());
}

/// It said that all was acknowledged, since nothing more of the file is to be read.
#[test]
fn a_run_that_ends_by_itself_settles_what_is_in_doubt_of_a_removed_group() {
    let cluster = lend(V4);
    let (topic, work) = in_doubt_of_a_removed_group(&cluster, "taildir-removed-once");
    let once = |args: &[&str]| {
        let mut command = work.command();
        command.arg("--once").args(args);
        let mut agent = work.start_command(command);
        let status = agent.wait(ARRIVE_MAX);
        (status.and_then(|status| status.code()), agent.log())
    };
    cluster.pause(0);
    let (code, log) = once(&["--timeout", "3"]);
    cluster.resume(0);
    assert_eq!(code, Some(75), "{log}");
    let (code, log) = once(&[]);
    assert_eq!((code, topic.count()), (Some(0), 56), "{log}");
    let found = difference(&topic, &[("a", 3), ("b", 53)]);
    assert!(found.is_none(), "{found:?}\n{log}");
}

/// It was read as long as it was written to, without the headers of its group.
#[test]
fn a_removed_group_is_read_no_further_and_goes_on_when_it_is_back() {
    let topic = shared(V4).fresh_topic("taildir-released", 1);
    let work = work_for(&topic).file("one/a.log", &lines("a", 0, 3), 10).file(
        "two/b.log",
        &lines("b", 0, 3),
        10,
    );
    let mut agent = work.start();
    agent.expect_records(&topic, 6, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    ends_well(&mut agent);
    let mut work = work.set(GROUPS, "f1");
    // The second of these has the receipt, and looks at all finished files as it starts.
    for round in 1..=2 {
        work.append("two/b.log", &lines("b", 3 * round, 3 * round + 3));
        if round == 1 {
            work.write_conf();
            let told = told_by(&work, "status", &["--json"]).unwrap_or_else(|told| told);
            let told: String = told.split_whitespace().collect();
            let is_told = told.contains("\"released\"") && told.contains("\"behind_lines\":0");
            assert!(is_told, "{told}");
        }
        let mut agent = work.start();
        agent.expect("its receipt", ARRIVE_MAX, || has_receipt(&work, "two/b.log"));
        work.append("one/a.log", &lines("a", 3 * round, 3 * round + 3));
        agent.expect_records(&topic, 6 + 3 * round as usize, ARRIVE_MAX);
        ends_well(&mut agent);
        assert_eq!(topic.count(), 6 + 3 * round as usize, "{}", agent.log());
    }
    work = work.set(GROUPS, "f1 f2");
    let mut agent = work.start();
    agent.expect_records(&topic, 18, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    ends_well(&mut agent);
    let found = difference(&topic, &[("a", 9), ("b", 9)]);
    assert!(found.is_none(), "{found:?}\n{}", agent.log());
    // It is read on from its receipt, which speaks for a part of it only.
    let told = told_by(&work, "verify", &[]);
    assert!(told.as_ref().is_ok_and(|told| told.contains("Exact")), "{told:?}");
    for event in topic.events() {
        let is_second = event.body.starts_with(b"b ");
        let has_header = event.headers.iter().any(|(key, _)| key == "from");
        assert_eq!(has_header, is_second, "{}", String::from_utf8_lossy(&event.body));
    }
}
