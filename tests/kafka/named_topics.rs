//! Topics that are opened when an event names them: by its line, or by its time.

use crate::broker_faults::log_lines_of;
use crate::crash::kill_sometime;
use crate::support::torture::{ARRIVE_MAX, Chance, Group, Tally, hazard, lines, times};
use crate::support::{Brokers, Cluster, Topic, Work, shared};

const KILLS: u64 = 8;

/// A sink whose topic is `template`; the header `level` is what stands first in a line, up to a blank.
fn named(topic: &Topic, template: &str, pattern: &str) -> Work {
    let text = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = TAILDIR\n\
        a1.sources.r1.positionFile = @SPOOL@/../position.json\na1.sources.r1.filegroups = g1\n\
        a1.sources.r1.filegroups.g1 = @SPOOL@/.*\\\\.log\na1.sources.r1.channels = c1\n\
        a1.channels.c1.type = memory\n\
        a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
        a1.sinks.k1.kafka.bootstrap.servers = @BROKERS@\na1.sinks.k1.useFlumeEventFormat = true\n";
    Work::new(topic)
        .conf(text)
        .set("a1.sinks.k1.kafka.topic", template)
        .set("a1.sources.r1.interceptors", "i1")
        .set("a1.sources.r1.interceptors.i1.type", "regex_extractor")
        .set("a1.sources.r1.interceptors.i1.regex", pattern)
        .set("a1.sources.r1.interceptors.i1.serializers", "s1")
        .set("a1.sources.r1.interceptors.i1.serializers.s1.name", "level")
}

/// Exit code and what was said.
pub fn verify(work: &Work) -> (Option<i32>, String) {
    let mut verify = work.program();
    verify.args(["verify", "--name", "a1", "--conf-file"]).arg(work.write_conf());
    let output = verify.output().expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn kill_loop(version: &str) {
    let mut tally = Tally::new("kill -9 of the agent while lines name their topics", version);
    let brokers: &Brokers = shared(version);
    let topics: Vec<Topic> = (1..=3).map(|n| brokers.fresh_topic("named", n)).collect();
    let mut text = Vec::new();
    for first in (0..10_000).step_by(50) {
        topics.iter().for_each(|topic| text.extend(lines(topic.name(), first, first + 50)));
    }
    let work = named(&topics[0], "%{level}", "^(\\\\S+)").file("a.log", &text, 60);
    let mut chance = Chance::new();
    for _ in 0..times(KILLS) {
        kill_sometime(&mut work.start(), &topics[0], &mut chance);
    }
    let mut agent = work.start();
    topics.iter().for_each(|topic| agent.expect_records(topic, 10_000, ARRIVE_MAX));
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let (code, told) = verify(&work);
    assert!(code == Some(0) && told.contains("\nExact: "), "{told}");
    for topic in &topics {
        tally.exact("kills", topic, &[(topic.name(), 10_000)], &agent);
    }
    tally.add(times(KILLS) - 1, 0);
}

#[test]
fn kill_9_while_lines_name_their_topics_and_0_10_2_0() {
    kill_loop("0.10.2.0");
}

#[test]
fn kill_9_while_lines_name_their_topics_and_4_3_1() {
    kill_loop("4.3.1");
}

/// It goes to the dead letters with its bytes, once, and what is behind it goes on.
#[test]
fn a_name_that_no_topic_can_have() {
    let version = "4.3.1";
    let _row = hazard(Group::Sticks, "a line names a topic that cannot be one", version);
    let topic = shared(version).fresh_topic("good", 2);
    let name = topic.name();
    let text = format!("{name}: one\na/b: two\n{name}: three\n..: four\nfive\n{name}: six\n");
    let work = named(&topic, "%{level}", "^(\\\\S+):").file("a.log", text.as_bytes(), 60);
    let mut agent = work.start();
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let letters =
        std::fs::read_to_string(work.dir().join("position.json.d/dead-letter")).expect("letters");
    for line in ["a/b: two", "..: four", "five"] {
        assert_eq!(letters.matches(line).count(), 1, "{letters}");
    }
    for name in ["a/b", "..", ""] {
        let told = format!("its topic would be \"{name}\", which cannot be one");
        assert!(agent.log().contains(&told), "{}", agent.log());
    }
    let (code, told) = verify(&work);
    assert!(code == Some(1) && told.contains("in the dead-letter file"), "{told}");
    let mut bodies = topic.bodies();
    bodies.sort();
    assert_eq!(bodies, ["one", "six", "three"].map(|end| format!("{name}: {end}")));
}

/// It is said with the topic and the file; files behind it go on, and it too once the topic is there.
#[test]
fn a_topic_that_does_not_exist_and_may_not_be_made() {
    let version = "4.3.1";
    let _row = hazard(Group::Sticks, "a line names a topic that does not exist", version);
    let cluster = Cluster::with(version).set("auto.create.topics.enable", false).start();
    let there = cluster.create_topic("there", 2);
    let work = named(&there, "%{level}", "^(\\\\S+)")
        .set("a1.sources.r1.maxBatchCount", 1)
        .file("a.log", b"there one\nmissing two\nthere three\nmissing four\n", 120)
        .file("b.log", b"there five\nthere six\n", 60);
    let mut agent = work.start();
    // The file that waits holds no other up.
    agent.expect_records(&there, 3, ARRIVE_MAX);
    agent.expect("it is said", ARRIVE_MAX, || {
        let words = "(topic missing), which an event of a.log is for, in trouble since";
        log_lines_of(&work, words) > 0
    });
    agent.kill9();
    let missing = cluster.create_topic("missing", 1);
    let mut agent = work.start();
    agent.expect_records(&missing, 2, ARRIVE_MAX);
    agent.expect_records(&there, 4, ARRIVE_MAX);
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(missing.bodies(), ["missing two", "missing four"]);
}
