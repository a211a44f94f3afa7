//! Headers that decide: which partition an event goes to, by its key or by a number, and which channel.
//! Whatever happens meanwhile, each line is where it belongs, once, and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::crash::{kill_sometime, killed_while_growing};
use crate::named_topics::verify;
use crate::support::torture::{ARRIVE_MAX, Chance, Group, Growing, Tally, hazard, lines, times};
use crate::support::{Agent, Topic, Work, shared, wait_for};

const FILE: &str = "010_{H}.log";
const KILLS: u64 = 8;
const DELETIONS: u64 = 8;
/// The last digit of a line's number is its key.
pub const LAST_DIGIT: &str = "^\\\\S+ \\\\d*(\\\\d) ";

fn keyed(topic: &Topic, pattern: &str) -> Work {
    with_keys(Work::new(topic).set("a1.sources.r1.retireGraceMs", 300), topic, pattern)
}

/// What the pattern finds is the record's key.
pub fn with_keys(work: Work, topic: &Topic, pattern: &str) -> Work {
    work.set("a1.channels.c1.kafka.topic", topic.name())
        .set("a1.sources.r1.interceptors", "i1")
        .set("a1.sources.r1.interceptors.i1.type", "regex_extractor")
        .set("a1.sources.r1.interceptors.i1.regex", pattern)
        .set("a1.sources.r1.interceptors.i1.serializers", "s1")
        .set("a1.sources.r1.interceptors.i1.serializers.s1.name", "key")
}

/// Kills the agent while it fills two topics, and lets it end in order when each has 20,000 events.
fn killed_until_both_have_all(work: &Work, one: &Topic, two: &Topic) -> Agent {
    let mut chance = Chance::new();
    for _ in 0..times(KILLS) {
        kill_sometime(&mut work.start(), one, &mut chance);
    }
    let mut agent = work.start();
    agent.expect_records(one, 20_000, ARRIVE_MAX);
    agent.expect_records(two, 20_000, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    agent
}

/// Each key has its own partition.
fn check_keys(topic: &Topic) {
    let mut places: BTreeMap<Vec<u8>, BTreeSet<usize>> = BTreeMap::new();
    for (partition, records) in topic.records().iter().enumerate() {
        for record in records {
            let key = record.key.clone().expect("a key");
            assert_eq!(key.len(), 1, "{key:?}");
            places.entry(key).or_default().insert(partition);
        }
    }
    assert!(places.values().all(|partitions| partitions.len() == 1), "{places:?}");
    let used: BTreeSet<usize> = places.values().flatten().copied().collect();
    assert_eq!(used.len(), topic.partitions(), "every partition gets something");
}

fn kill_loop(version: &str) {
    let tally = Tally::new("kill -9 of the agent while keys choose the partition", version);
    let topic = shared(version).fresh_topic("keys", 3);
    let work = keyed(&topic, LAST_DIGIT).file("010_{H-1}.log", &lines("old", 0, 30_000), 3_600);
    killed_while_growing(&work, &topic, times(KILLS), tally);
    check_keys(&topic);
}

#[test]
fn kill_9_with_keys_and_0_10_2_0() {
    kill_loop("0.10.2.0");
}

#[test]
fn kill_9_with_keys_and_4_3_1() {
    kill_loop("4.3.1");
}

#[test]
fn partitions_that_are_added_while_keys_choose_them() {
    let _row = hazard(Group::Log, "partitions are added while keys choose them", "4.3.1");
    let mut chance = Chance::new();
    let topic = shared("4.3.1").fresh_topic("grow", 2);
    let work =
        keyed(&topic, LAST_DIGIT).set("a1.channels.c1.kafka.producer.metadata.max.age.ms", 1_000);
    let growing = Growing::start(&work, FILE, "new", 0, 40);
    let mut agent = work.start();
    agent.expect_records(&topic, 500, ARRIVE_MAX);
    topic.grow(5);
    for _ in 0..3 {
        kill_sometime(&mut agent, &topic, &mut chance);
        agent = work.start();
    }
    agent.expect("the new partitions are used", ARRIVE_MAX, || {
        topic.ends().iter().filter(|end| **end > 0).count() > 2
    });
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally =
        Tally::row(Group::Log, "partitions are added while keys choose them, lines", "4.3.1");
    tally.exact("growing", &topic, &[("new", written)], &agent);
}

/// `verify` says when keys lead elsewhere now than where their records stand.
#[test]
fn verify_tells_records_that_their_keys_do_not_lead_to() {
    let _row = hazard(Group::Claims, "verify of keys after partitions were added", "4.3.1");
    let topic = shared("4.3.1").fresh_topic("astray", 2);
    let work = keyed(&topic, LAST_DIGIT).file("010_{H-1}.log", &lines("old", 0, 1_000), 3_600);
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let (code, told) = verify(&work);
    assert!(code == Some(0) && !told.contains("than their keys choose"), "{told}");
    topic.grow(5);
    let (code, told) = verify(&work);
    assert!(code == Some(0) && told.contains("\nExact: "), "{told}");
    let stray = (0..10u8).filter(|digit| {
        let key = [b'0' + digit];
        let places = topic.records().into_iter().position(|records| {
            records.iter().any(|record| record.key.as_deref() == Some(&key[..]))
        });
        places != Some(murmur2_of(&key, 5))
    });
    let records = 100 * stray.count();
    assert!(
        records > 0 && told.contains(&format!("{records} records in another partition")),
        "{told}"
    );
}

/// Kafka's hash of one byte, by its definition.
fn murmur2_of(key: &[u8; 1], partitions: u32) -> usize {
    const M: u32 = 0x5bd1_e995;
    let mut hash: u32 = 0x9747_b28c ^ 1;
    hash = (hash ^ u32::from(key[0])).wrapping_mul(M);
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^= hash >> 15;
    ((hash & 0x7fff_ffff) % partitions) as usize
}

/// What is in doubt was chosen by another rule: it is found in the topic, or waits until that rule is back.
#[test]
fn a_rule_that_changes_while_batches_are_in_doubt() {
    let version = "4.3.1";
    let mut tally =
        Tally::new("kill -9 of the agent, and another rule for keys at the next start", version);
    let mut chance = Chance::new();
    let topic = shared(version).fresh_topic("rules", 3);
    let rules = [LAST_DIGIT, "^\\\\S+ (\\\\d)"];
    let mut work = keyed(&topic, rules[0]).file("010_{H-1}.log", &lines("old", 0, 20_000), 3_600);
    let growing = Growing::start(&work, FILE, "new", 0, 40);
    for kill in 1..=times(KILLS) {
        kill_sometime(&mut work.start(), &topic, &mut chance);
        let rule = rules[kill as usize % 2];
        work = work.set("a1.sources.r1.interceptors.i1.regex", rule);
    }
    let written = growing.stop();
    let count = 20_000 + written as usize;
    let mut agent = work.start();
    // Where it waits, one of the two is what it waits for.
    for rule in [1, 0, 1] {
        let is_done = || topic.count() >= count;
        if wait_for(Duration::from_secs(10), is_done) || !agent.log().contains("set it back") {
            break;
        }
        agent.term();
        work = work.set("a1.sources.r1.interceptors.i1.regex", rules[rule]);
        agent = work.start();
    }
    agent.expect_records(&topic, count, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("kills", &topic, &[("old", 20_000), ("new", written)], &agent);
    tally.add(times(KILLS) - 1, 0);
}

/// Lines of four kinds in turns, so many of each.
fn kinds(count: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for first in (0..count).step_by(50) {
        for label in ["a", "b", "both", "none"] {
            text.extend(lines(label, first, first + 50));
        }
    }
    text
}

/// Of these `a` is for the first topic, `b` for the second.
fn by_kind(one: &Topic, two: &Topic) -> Work {
    let kind = "a1.sources.r1.interceptors.i1";
    Work::new(one)
        .set("a1.channels", "c1 c2")
        .set("a1.sources.r1.channels", "c1 c2")
        .set("a1.channels.c2.type", "org.apache.flume.channel.kafka.KafkaChannel")
        .set("a1.channels.c2.brokerList", two.bootstrap())
        .set("a1.channels.c2.topic", two.name())
        .set("a1.sources.r1.interceptors", "i1")
        .set(&format!("{kind}.type"), "regex_extractor")
        .set(&format!("{kind}.regex"), "^(\\\\S+)")
        .set(&format!("{kind}.serializers"), "s1")
        .set(&format!("{kind}.serializers.s1.name"), "kind")
        .set("a1.sources.r1.selector.type", "multiplexing")
        .set("a1.sources.r1.selector.header", "kind")
        .set("a1.sources.r1.selector.mapping.a", "c1")
        .set("a1.sources.r1.selector.mapping.b", "c2")
        .set("a1.sources.r1.selector.mapping.both", "c1 c2")
}

/// A channel for each kind of line, one kind to both, one to neither.
#[test]
fn kill_9_while_a_header_chooses_the_channel() {
    let version = "4.3.1";
    let mut tally = Tally::new("kill -9 of the agent while a header chooses the channel", version);
    let (one, two) = (shared(version).fresh_topic("one", 2), shared(version).fresh_topic("two", 1));
    let work = by_kind(&one, &two).file("010_{H-1}.log", &kinds(10_000), 3_600);
    let agent = killed_until_both_have_all(&work, &one, &two);
    let (code, told) = verify(&work);
    assert!(code == Some(0) && told.contains("\nExact: "), "{told}");
    tally.exact("kills", &one, &[("a", 10_000), ("both", 10_000)], &agent);
    tally.exact("kills", &two, &[("b", 10_000), ("both", 10_000)], &agent);
    tally.add(times(KILLS) - 1, 0);
}

/// Kills the agent again and again and takes away all that it knew, while lines of several kinds are written.
fn without_state(work: &Work, topic: &Topic) {
    let mut chance = Chance::new();
    for _ in 0..times(DELETIONS) {
        kill_sometime(&mut work.start(), topic, &mut chance);
        match std::fs::remove_dir_all(work.tracker_dir()) {
            // Killed before it was made.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.expect("it is ours"),
        }
    }
}

fn expect_trusted(work: &Work, agent: &mut Agent) {
    let (checkpoint, marker) =
        (work.tracker_dir().join("checkpoint"), work.tracker_dir().join("rebuilding"));
    agent.expect("a state", ARRIVE_MAX, || checkpoint.exists() && !marker.exists());
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
}

/// The topic alone tells which keys of a range are there: each has its own end in its own partition.
fn trackerless_keys(version: &str) {
    let what = "kill -9, and the tracker directory deleted, while keys choose the partition";
    let mut tally = Tally::row(Group::StateLost, what, version);
    let topic = shared(version).fresh_topic("trackerless-keys", 3);
    // Lines of which the number ends with 7 have no key, and go anywhere.
    let work = keyed(&topic, "^\\\\S+ \\\\d*([0-689]) ")
        .set("a1.sources.r1.onNoCheckpoint", "topic")
        .file("010_{H-1}.log", &lines("old", 0, 30_000), 3_600);
    let growing = Growing::start(&work, FILE, "new", 0, 40);
    without_state(&work, &topic);
    let mut agent = work.start();
    let written = growing.stop();
    agent.expect_records(&topic, 30_000 + written as usize, ARRIVE_MAX);
    expect_trusted(&work, &mut agent);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("deletions", &topic, &[("old", 30_000), ("new", written)], &agent);
    tally.add(times(DELETIONS) - 1, 0);
    let keys = topic.records().into_iter().enumerate().flat_map(|(partition, records)| {
        records.into_iter().filter_map(move |record| Some((record.key?, partition)))
    });
    let places: BTreeSet<(Vec<u8>, usize)> = keys.collect();
    assert_eq!(places.len(), 9, "each key has one partition: {places:?}");
}

#[test]
fn the_tracker_is_deleted_while_keys_choose_with_4_3_1() {
    trackerless_keys("4.3.1");
}

#[test]
fn the_tracker_is_deleted_while_keys_choose_with_0_10_2_0() {
    trackerless_keys("0.10.2.0");
}

/// Each channel's topic is asked for the events that are for it, and for no others.
#[test]
fn the_tracker_is_deleted_while_a_header_chooses_the_channel() {
    let version = "4.3.1";
    let what = "kill -9, and the tracker directory deleted, while a header chooses the channel";
    let mut tally = Tally::row(Group::StateLost, what, version);
    let (one, two) = (shared(version).fresh_topic("one", 2), shared(version).fresh_topic("two", 1));
    let work = by_kind(&one, &two).set("a1.sources.r1.onNoCheckpoint", "topic").file(
        "010_{H-1}.log",
        &kinds(10_000),
        3_600,
    );
    without_state(&work, &one);
    let mut agent = work.start();
    agent.expect_records(&one, 20_000, ARRIVE_MAX);
    agent.expect_records(&two, 20_000, ARRIVE_MAX);
    expect_trusted(&work, &mut agent);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("deletions", &one, &[("a", 10_000), ("both", 10_000)], &agent);
    tally.exact("deletions", &two, &[("b", 10_000), ("both", 10_000)], &agent);
    tally.add(times(DELETIONS) - 2, 0);
}

/// It goes to the dead letters with its bytes, once, and what is behind it goes on.
#[test]
fn a_partition_that_the_topic_does_not_have() {
    let version = "4.3.1";
    let _row = hazard(Group::Sticks, "a header names a partition that does not exist", version);
    let topic = shared(version).fresh_topic("stray", 2);
    let text = b"p0 one\np9 two\np1 three\npx four\nfive\n";
    let mut work = keyed(&topic, "^p(\\\\S+)")
        .set("a1.sources.r1.interceptors.i1.serializers.s1.name", "part")
        .set("a1.channels.c1.partitionIdHeader", "part")
        .file("010_{H-1}.log", text, 3_600);
    let mut agent = work.start();
    agent.expect_records(&topic, 3, ARRIVE_MAX);
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let letters = std::fs::read_to_string(work.tracker_dir().join("dead-letter")).expect("letters");
    for line in ["p9 two", "px four"] {
        assert_eq!(letters.matches(line).count(), 1, "{letters}");
        assert!(
            agent.log().contains("is no partition of the topic, which has 2"),
            "{}",
            agent.log()
        );
    }
    let mut bodies = topic.bodies();
    bodies.sort();
    assert_eq!(bodies, ["five", "p0 one", "p1 three"]);
    // Nothing of it comes again.
    work = work.set("a1.sources.r1.batchSize", 10);
    let mut agent = work.start();
    agent.expect("it is up", ARRIVE_MAX, || work.is_committed());
    agent.term();
    assert_eq!(topic.count(), 3);
}

/// The required channel goes on, and what the optional one misses is said; once it is there it gets what comes.
#[test]
fn an_optional_channel_whose_brokers_are_away() {
    let version = "4.3.1";
    let _row = hazard(Group::Sticks, "an optional channel has no brokers", version);
    let topic = shared(version).fresh_topic("required", 2);
    let second = "a1.channels.c2";
    let work = Work::new(&topic)
        .set("a1.channels", "c1 c2")
        .set("a1.sources.r1.channels", "c1 c2")
        .set("a1.sources.r1.selector.optional", "c2")
        .set(&format!("{second}.type"), "org.apache.flume.channel.kafka.KafkaChannel")
        .set(&format!("{second}.brokerList"), "127.0.0.1:1")
        .set(&format!("{second}.topic"), "nowhere")
        .file("010_{H-1}.log", &lines("old", 0, 5_000), 3_600);
    let mut agent = work.start();
    agent.expect_records(&topic, 5_000, ARRIVE_MAX);
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
    assert!(agent.log().contains("5000 events went without it so far"), "{}", agent.log());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::row(Group::Sticks, "an optional channel has no brokers, lines", version);
    tally.exact("optional", &topic, &[("old", 5_000)], &agent);
}

/// Before and after a run by which it got all: what `check` and `verify` say of brokers that nothing waits for.
#[test]
fn commands_go_on_without_an_optional_channel_whose_brokers_are_away() {
    let version = "4.3.1";
    let _row = hazard(Group::Sticks, "check and verify without an optional channel", version);
    let (one, two) =
        (shared(version).fresh_topic("required", 1), shared(version).fresh_topic("optional", 1));
    let work = Work::new(&one)
        .set("a1.channels", "c1 c2")
        .set("a1.sources.r1.channels", "c1 c2")
        .set("a1.sources.r1.selector.optional", "c2")
        .set("a1.channels.c2.type", "org.apache.flume.channel.kafka.KafkaChannel")
        .set("a1.channels.c2.brokerList", two.bootstrap())
        .set("a1.channels.c2.topic", two.name())
        .file("010_{H-1}.log", &lines("old", 0, 500), 3_600);
    let mut agent = work.start();
    agent.expect_records(&two, 500, ARRIVE_MAX);
    agent.expect("all of it is done", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let (code, text) = command(&work, "verify");
    assert_eq!((code, text.contains("Exact: ")), (Some(0), true), "{text}");

    let work = work.set("a1.channels.c2.brokerList", "127.0.0.1:1");
    let (code, text) = command(&work, "verify");
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains(
            "channel c2 is optional and cannot be reached (no broker can be reached: 127.0.0.1:1: "
        ),
        "{text}"
    );
    assert!(text.contains(&format!("its topic {} was not compared", two.name())), "{text}");
    assert!(
        !text.contains("Exact: ") && text.contains("No difference where it was looked for"),
        "{text}"
    );
    let (code, text) = command(&work, "check");
    assert_eq!(code, Some(0), "{text}");
    let row = text.lines().find(|line| line.contains("127.0.0.1:1 ")).unwrap_or_default();
    assert!(row.trim_start().starts_with("warn  channel c2"), "{text}");
    assert!(
        row.contains("the channel is optional: events go without it while this lasts"),
        "{text}"
    );

    // A required one is waited for.
    let work = work.set("a1.sources.r1.selector.optional", "");
    assert_eq!(command(&work, "verify").0, Some(75));
    assert_eq!(command(&work, "check").0, Some(75));
}

/// Runs a command that looks; its exit code and what it printed.
fn command(work: &Work, name: &str) -> (Option<i32>, String) {
    let mut command = work.program();
    command.args([name, "--name", "a1", "--conf-file"]).arg(work.write_conf());
    let output = command.output().expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Each group of files has its topic; what is in doubt when that changes is looked for where it was sent.
#[test]
fn kill_9_while_groups_of_files_name_their_topics() {
    let version = "4.3.1";
    let mut tally = Tally::new("kill -9 of the agent while a header names the topic", version);
    let brokers = shared(version);
    let (one, two) = (brokers.fresh_topic("group", 2), brokers.fresh_topic("group", 1));
    let text = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = TAILDIR\n\
        a1.sources.r1.positionFile = @SPOOL@/../position.json\na1.sources.r1.filegroups = g1 g2\n\
        a1.sources.r1.filegroups.g1 = @SPOOL@/a.*\na1.sources.r1.filegroups.g2 = @SPOOL@/b.*\n\
        a1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
        a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
        a1.sinks.k1.kafka.bootstrap.servers = @BROKERS@\na1.sinks.k1.kafka.topic = @TOPIC@\n\
        a1.sinks.k1.useFlumeEventFormat = true\n";
    let work = Work::new(&one)
        .conf(text)
        .set("a1.sources.r1.headers.g2.topic", two.name())
        .file("a.log", &lines("a", 0, 20_000), 60)
        .file("b.log", &lines("b", 0, 20_000), 60);
    let agent = killed_until_both_have_all(&work, &one, &two);
    tally.exact("kills", &one, &[("a", 20_000)], &agent);
    tally.exact("kills", &two, &[("b", 20_000)], &agent);
    tally.add(times(KILLS) - 1, 0);
}
