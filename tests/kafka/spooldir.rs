//! spooldir: whole files that are dropped into a directory, beside real brokers.

use std::fs;
use std::time::Duration;

use crate::support::torture::{ARRIVE_MAX, Chance, Tally, lines};
use crate::support::{Topic, Work, shared};

const V4: &str = "4.3.1";

const CONF: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = @SPOOL@
a1.sources.r1.retireGraceMs = 300
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @BROKERS@
a1.channels.c1.kafka.topic = @TOPIC@
";

fn scene(partitions: i32) -> (Topic, Work) {
    let topic = shared(V4).fresh_topic("spooldir", partitions);
    let work = Work::new(&topic).conf(CONF);
    (topic, work)
}

fn unfinished(work: &Work) -> usize {
    let is_waiting = |name: &str| !name.starts_with('.') && !name.ends_with(".COMPLETED");
    work.listing().iter().filter(|(name, _)| is_waiting(name)).count()
}

/// Kills at moments that chance chooses while files are dropped; the last line of each has no newline.
#[test]
fn kill_9_while_files_are_dropped() {
    const FILES: usize = 60;
    const EACH: u64 = 50;
    let mut tally = Tally::new("spooldir: kill -9 while files are dropped", V4);
    let mut chance = Chance::new();
    let (topic, work) = scene(2);
    let labels: Vec<String> = (0..FILES).map(|at| format!("f{at}")).collect();
    let mut agent = work.start();
    for label in &labels {
        let mut content = lines(label, 0, EACH);
        content.pop();
        work.write(&format!(".{label}"), &content, 5);
        fs::rename(work.path(&format!(".{label}")), work.path(label)).expect("a dropped file");
        std::thread::sleep(Duration::from_millis(chance.below(60)));
        if chance.below(6) == 0 {
            agent.kill9();
            agent = work.start();
        }
    }
    agent.expect("no file left", ARRIVE_MAX, || unfinished(&work) == 0);
    agent.expect_records(&topic, FILES * EACH as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let series: Vec<(&str, u64)> = labels.iter().map(|label| (label.as_str(), EACH)).collect();
    tally.exact("kills", &topic, &series, &agent);
}

#[test]
fn a_name_that_is_taken_gets_the_next_free_one_and_an_empty_file_makes_no_event() {
    let (topic, work) = scene(1);
    let work = work.file("a.COMPLETED", b"old", 90).file("a", b"one", 90).file("empty", b"", 90);
    let mut agent = work.start();
    let has = |name: &str| work.path(name).exists();
    agent.expect("new names", ARRIVE_MAX, || has("a.COMPLETED.1") && has("empty.COMPLETED"));
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["one"]);
}

#[test]
fn a_run_that_ends_by_itself_sends_the_last_line_and_finishes_the_file() {
    let (topic, work) = scene(1);
    let work = work.file("a", b"one\ntwo", 0);
    let mut command = work.command();
    command.arg("--once");
    let mut agent = work.start_command(command);
    let status = agent.wait(ARRIVE_MAX).expect("an end");
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    assert_eq!(topic.bodies(), ["one", "two"], "{}", agent.log());
    assert_eq!(unfinished(&work), 0);
}
