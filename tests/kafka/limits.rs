//! What must not grow with the cluster: requests and memory with many partitions.

use std::fs;

use crate::support::torture::{ARRIVE_MAX, Group, Tally, lines};
use crate::support::{Agent, Cluster, Work, shared};

const FILE: &str = "010_{H}.log";
const OLD_FILE: &str = "010_{H-2}.log";

/// The promise is 12 MB for the program as it is released; without optimisation and with all its
/// symbols it is larger.
const MEMORY_KB_MAX: u64 = if cfg!(debug_assertions) { 24_000 } else { 12_288 };

/// The most memory that the agent has had, kB.
fn peak_kb(agent: &Agent) -> u64 {
    status_kb(agent, "VmHWM:")
}

fn status_kb(agent: &Agent, field: &str) -> u64 {
    let path = format!("/proc/{}/status", agent.pid());
    let status = fs::read_to_string(path).expect("the status of a process that runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A backlog for 200 partitions that one broker leads: in a request with a batch for each it
/// would be refused, at each try anew. What is in doubt goes out in portions as well.
fn many_partitions(version: &str) {
    let cluster = Cluster::with(version).set("socket.request.max.bytes", 3_000_000).start();
    let what = "backlog for 200 partitions of one broker, killed (-9) in the middle";
    let mut tally = Tally::row(Group::Sticks, what, version);
    let topic = cluster.fresh_topic("many", 200);
    let total = 300_000;
    // Whatever the machine does besides, no answer is given up: a refusal alone has it try anew.
    let work = Work::new(&topic)
        .set("a1.channels.c1.kafka.request.timeout.ms", 120_000)
        .file(OLD_FILE, &lines("a", 0, total), 7_200)
        .file(FILE, &lines("b", 0, 10), 0);
    let mut agent = work.start();
    agent.expect("some records", ARRIVE_MAX, || topic.count() > 20_000);
    agent.kill9();
    let mut agent = work.start();
    agent.expect_records(&topic, total as usize + 10, ARRIVE_MAX);
    let peak = peak_kb(&agent);
    println!("{version}: {peak} kB of memory");
    assert!(peak < MEMORY_KB_MAX, "{peak} kB of memory");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert!(!agent.log().contains("Next try in"), "{}", agent.log());
    tally.exact("many", &topic, &[("a", total), ("b", 10)], &agent);
}

#[test]
fn many_partitions_of_0_10_2_0() {
    many_partitions("0.10.2.0");
}

#[test]
#[ignore = "long: make torture"]
fn many_partitions_of_4_3_1() {
    many_partitions("4.3.1");
}

/// Of the code that is in memory for the agent more than a third has read its configuration and connected.
#[test]
fn code_that_only_the_start_needs_is_given_back() {
    let topic = shared("4.3.1").topic("code");
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 10), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 10, ARRIVE_MAX);
    agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    let (now, peak) = (status_kb(&agent, "RssFile:"), peak_kb(&agent));
    println!("{now} kB of files are mapped, of {peak} kB of memory at most");
    assert!(now * 3 < peak * 2, "{now} kB of files are mapped, of {peak} kB of memory at most");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
}
