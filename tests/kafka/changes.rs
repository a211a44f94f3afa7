//! What is changed about a topic or its brokers while the agent runs: another release, another
//! message format, compaction, more partitions. Against real brokers.

use std::time::Duration;

use crate::support::torture::{ARRIVE_MAX, Group, Growing, Tally, V010, V43, lines};
use crate::support::{
    Agent, Brokers, Cluster, Record, Topic, Work, eventually, fresh_name, shared, shared_cluster,
};

const FILE: &str = "010_{H}.log";

/// Does the last record of a partition bear a producer id, as on the wire from 0.11 on?
fn ends_modern(topic: &Topic) -> bool {
    let is_modern = |record: &Record| record.producer.is_some();
    topic.records().iter().any(|partition| partition.last().is_some_and(is_modern))
}

/// Appends lines until one comes by the newer wire; how many lines there are then.
fn write_until_modern(work: &Work, topic: &Topic, agent: &mut Agent, from: u64) -> u64 {
    let mut written = from;
    eventually("the newer wire", Duration::from_secs(180), || {
        work.append(FILE, &lines("a", written, written + 10));
        written += 10;
        agent.expect_records(topic, written as usize, ARRIVE_MAX);
        if ends_modern(topic) {
            return Ok(());
        }
        // Long enough for the broker to close an idle connection, of which it closes one at a time.
        std::thread::sleep(Duration::from_secs(8));
        Err(agent.log())
    });
    written
}

/// The cluster is upgraded while the agent has nothing to send.
fn upgraded_while_idle(from: &str, to: &str, settings: &[(&str, &str)]) {
    let mut tally =
        Tally::new("brokers upgraded while the agent is idle", &format!("{from}, {to}"));
    let cluster = Cluster::start(from);
    let topic = cluster.create_topic_with("upgraded", 1, 1, settings);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 1_000), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    agent.expect("it is idle", ARRIVE_MAX, || work.is_committed());
    assert!(!ends_modern(&topic), "{}", agent.log());
    cluster.upgrade(to);
    let written = write_until_modern(&work, &topic, &mut agent, 1_000);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("upgraded", &topic, &[("a", written)], &agent);
}

#[test]
fn an_upgrade_from_0_10_2_0_needs_no_restart() {
    upgraded_while_idle("0.10.2.0", "1.1.1", &[]);
}

/// A slip in its name makes another topic, and nobody looks at that one.
#[test]
fn a_topic_that_the_brokers_make_is_told() {
    for version in ["0.10.2.0", "4.3.1"] {
        let topic = shared(version).topic(&fresh_name("made"));
        let work = Work::new(&topic).file("010_{H}.log", &lines("a", 0, 10), 0);
        let mut agent = work.start();
        // Not before it was told: who asks for a topic makes it.
        let words =
            format!("Topic {} did not exist a moment ago and has 1 partition now", topic.name());
        eventually("a word on it", ARRIVE_MAX, || match agent.log().contains(&words) {
            true => Ok(()),
            false => Err(agent.log()),
        });
        agent.expect_records(&topic, 10, ARRIVE_MAX);
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    }
}

/// One broker goes through four releases on the same data, the format of its log first kept and then
/// raised, while the agent runs on. Each time a batch is on its way when it stops: what one wire
/// has left in doubt is found by the next. That a format is raised is seen by the next connection only.
#[test]
#[ignore = "long: make torture"]
fn upgrades_in_place_from_0_8_to_2_8() {
    let steps = [
        ("0.9.0.1", vec![]),
        ("0.10.2.0", vec![("log.message.format.version", "0.9.0")]),
        ("0.10.2.0", vec![("log.message.format.version", "0.10.2")]),
        ("2.8.2", vec![]),
        ("2.8.2", vec![("log.message.format.version", "2.8")]),
    ];
    let mut tally = Tally::new("upgrades in place, batches in doubt", "0.8.2, 0.9, 0.10.2, 2.8.2");
    let cluster = Cluster::with("0.8.2.2").set("connections.max.idle.ms", 6_000).start();
    let topic = cluster.create_topic("placed", 3);
    let work = Work::new(&topic).set("a1.channels.c1.kafka.request.timeout.ms", 500);
    let growing = Growing::start(&work, FILE, "a", 0, 20);
    let mut agent = work.start();
    for (version, settings) in steps {
        let told = |agent: &Agent, what: &str| agent.log().matches(what).count();
        let silent = "no answer in";
        let before = topic.count();
        let (doubts, silences) = (told(&agent, "Batch in doubt"), told(&agent, silent));
        agent.expect("records", ARRIVE_MAX, || topic.count() > before + 500);
        cluster.pause(0);
        eventually("a batch without an answer", ARRIVE_MAX, || {
            if told(&agent, silent) > silences { Ok(()) } else { Err(agent.log()) }
        });
        cluster.resume(0);
        cluster.upgrade_with(version, &settings);
        let before = topic.count();
        agent.expect("records on the next release", ARRIVE_MAX, || topic.count() > before + 500);
        assert!(told(&agent, "Batch in doubt") > doubts, "{}", agent.log());
    }
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
    let written = write_until_modern(&work, &topic, &mut agent, written);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("upgraded", &topic, &[("a", written)], &agent);
}

/// The topic answered 43 before; the newer brokers take its format for that of today.
#[test]
#[ignore = "long: make torture"]
fn an_upgrade_of_an_old_format_needs_no_restart() {
    upgraded_while_idle("2.8.2", "3.9.1", &[("message.format.version", "0.10.2")]);
}

/// Its format is raised, which no broker tells: the connection stays, and is closed some day for
/// idleness. The older wire was once kept over that.
#[test]
fn a_format_that_is_raised_is_used_from_the_next_connection_on() {
    let version = "2.8.2";
    let mut tally = Tally::new("message.format.version raised while the agent is idle", version);
    let cluster = Cluster::with(version).set("connections.max.idle.ms", 3_000).start();
    let settings = [("message.format.version", "0.10.2")];
    let topic = cluster.create_topic_with("raised", 1, 1, &settings);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 1_000), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    agent.expect("it is idle", ARRIVE_MAX, || work.is_committed());
    assert!(!ends_modern(&topic), "{}", agent.log());
    topic.configure(&[]);
    let written = write_until_modern(&work, &topic, &mut agent, 1_000);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("raised", &topic, &[("a", written)], &agent);
}

/// A compacted topic takes no record without a key, and ours have none: true of every record, so
/// that nothing is buried, and all of it comes once the topic is another.
fn compacted_for_a_while(
    (brokers, version): (&Brokers, &str),
    told: &str,
    mend: impl FnOnce(&Topic),
) {
    let mut tally = Tally::new("topic compacted for a while", version);
    let settings = [("cleanup.policy", "compact")];
    let topic = brokers.create_topic_with(&fresh_name("compacted"), 1, 1, &settings);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 300), 0);
    let words = |agent: &Agent| agent.log().matches(told).count();
    let mut agent = work.start();
    eventually("a word on it", ARRIVE_MAX, || match words(&agent) {
        0 => Err(agent.log()),
        _ => Ok(()),
    });
    assert_eq!(topic.count(), 0);
    // Nor after a start.
    agent.kill9();
    work.append(FILE, &lines("a", 300, 400));
    let mut agent = work.start();
    eventually("a word on it", ARRIVE_MAX, || match words(&agent) {
        0 => Err(agent.log()),
        _ => Ok(()),
    });
    assert_eq!(topic.count(), 0);
    mend(&topic);
    agent.expect_records(&topic, 400, ARRIVE_MAX);
    agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert!(!work.tracker_dir().join("dead-letter").exists(), "{}", agent.log());
    tally.exact("compacted", &topic, &[("a", 400)], &agent);
}

/// The oldest brokers say of such records that they are damaged.
#[test]
fn a_compacted_topic_of_0_10_2_0_is_waited_for() {
    let cluster = shared_cluster(V010);
    compacted_for_a_while((cluster, V010), "cleanup.policy=delete", |topic| {
        let delete = ["--entity-name", topic.name(), "--add-config", "cleanup.policy=delete"];
        let args = [&["--alter", "--entity-type", "topics"][..], &delete].concat();
        cluster.tool("kafka.admin.ConfigCommand", &args);
    });
}

#[test]
fn a_compacted_topic_of_4_3_1_is_waited_for() {
    let told = "the topic refuses every record (error 87)";
    compacted_for_a_while((shared(V43), V43), told, |topic| {
        topic.configure(&[("cleanup.policy", "delete")]);
    });
}

/// Partitions are added while the agent runs: they are used without a restart. Order within a
/// partition stays.
fn partitions_added(brokers: &Brokers, version: &str, add: impl FnOnce(&Topic)) {
    let mut tally = Tally::new("partitions added while lines come", version);
    let topic = brokers.fresh_topic("grows", 1);
    let work = Work::new(&topic)
        .set("a1.channels.c1.kafka.producer.metadata.max.age.ms", 1_000)
        .file(FILE, &lines("a", 0, 1_000), 0);
    let growing = Growing::start(&work, FILE, "a", 1_000, 20);
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    add(&topic);
    let is_used = || topic.partitions() == 3 && topic.ends().iter().all(|end| *end > 0);
    agent.expect("lines in the new partitions", ARRIVE_MAX, is_used);
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    assert_eq!(agent.log().matches("has other partitions or leaders than before").count(), 1);
    // What was announced and not sent yet when that was noticed is looked for first, and is not there.
    let log = agent.log();
    let looked_for =
        log.matches("): not in the topic").count() + log.matches("): sent again").count();
    assert_eq!(log.matches("in doubt").count(), looked_for, "{log}");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("grows", &topic, &[("a", written)], &agent);
}

#[test]
fn partitions_that_are_added_to_0_10_2_0_are_used() {
    let cluster = shared_cluster(V010);
    partitions_added(cluster, V010, |topic| {
        let args = ["--alter", "--topic", topic.name(), "--partitions", "3"];
        cluster.tool("kafka.admin.TopicCommand", &args);
    });
}

#[test]
fn partitions_that_are_added_to_4_3_1_are_used() {
    partitions_added(shared(V43), V43, |topic| topic.grow(3));
}

/// A partition loses its only broker: the others go on, also over a kill of the agent, and all is
/// exact when it is back. `what`, and how broker 2 goes and comes.
fn a_leader_is_lost(
    (what, version): (&str, &str),
    cluster: &Cluster,
    lose: impl Fn(),
    restore: impl Fn(),
) {
    let what = format!("the only broker of a partition {what}, the agent killed (-9) meanwhile");
    let mut tally = Tally::row(Group::Sticks, &what, version);
    let address = cluster.bootstrap().split(',').nth(2).expect("three brokers").to_string();
    // Brokers that have just started may not know of each other, and get no partition then.
    let (topic, lost) = eventually("a topic that has a part at broker 2", ARRIVE_MAX, || {
        let topic = cluster.fresh_topic("lacks", 3);
        let lost = topic.led_at(&address);
        match lost.len() {
            1 | 2 => Ok((topic, lost)),
            count => Err(format!("{count} of three partitions")),
        }
    });
    let others: Vec<i32> = (0..3).filter(|p| !lost.contains(p)).collect();
    let work = Work::new(&topic).set("a1.channels.c1.kafka.request.timeout.ms", 2_000).file(
        FILE,
        &lines("a", 0, 1_000),
        0,
    );
    let metrics = work.dir().join("metrics.prom");
    let work = work.set("a1.monitoring.textfile", metrics.display());
    let growing = Growing::start(&work, FILE, "a", 1_000, 20);
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    lose();
    let told = "no leader for partition";
    let is_told = |agent: &Agent| agent.log().contains(told);
    eventually("a word on it", ARRIVE_MAX, || is_told(&agent).then_some(()).ok_or(agent.log()));
    let go_on = |agent: &mut Agent| {
        let before: Vec<i64> = others.iter().map(|p| topic.end(*p)).collect();
        let have_grown =
            || others.iter().zip(&before).all(|(p, before)| topic.end(*p) > before + 100);
        agent.expect("lines in the other partitions", ARRIVE_MAX, have_grown);
    };
    go_on(&mut agent);
    let gauge = format!(
        "flume_ng_partitions_without_leader{{agent=\"a1\",channel=\"c1\",topic=\"{}\"}} {}\n",
        topic.name(),
        lost.len()
    );
    let is_counted = || std::fs::read_to_string(&metrics).is_ok_and(|text| text.contains(&gauge));
    agent.expect("a gauge of it", ARRIVE_MAX, is_counted);
    assert_eq!(agent.log().matches(told).count(), 1, "{}", agent.log());
    agent.kill9();
    let mut agent = work.start();
    // What the first one has not sent is sent by the second: it is told before that.
    eventually("a word on it", ARRIVE_MAX, || is_told(&agent).then_some(()).ok_or(agent.log()));
    go_on(&mut agent);
    restore();
    let log = format!("every partition of topic {} has a leader again", topic.name());
    eventually("a word on that", ARRIVE_MAX, || {
        agent.log().contains(&log).then_some(()).ok_or(agent.log())
    });
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("lacks", &topic, &[("a", written)], &agent);
}

fn a_leader_is_killed(version: &str) {
    let cluster = Cluster::with(version).brokers(3).start();
    let (lose, restore) = (|| cluster.kill9(2), || cluster.restart(2));
    a_leader_is_lost(("killed (-9)", version), &cluster, lose, restore);
}

#[test]
fn a_partition_that_loses_its_leader_stops_no_other_with_0_10_2_0() {
    a_leader_is_killed(V010);
}

#[test]
#[ignore = "long: make torture"]
fn a_partition_that_loses_its_leader_stops_no_other_with_4_3_1() {
    a_leader_is_killed(V43);
}

/// The brokers go on to name it.
#[test]
fn a_leader_that_is_named_and_silent_stops_no_other_with_4_3_1() {
    let plan = Cluster::with(V43).brokers(3).set("broker.session.timeout.ms", 600_000);
    let cluster = plan.start();
    let (lose, restore) = (|| cluster.pause(2), || cluster.resume(2));
    a_leader_is_lost(("frozen (SIGSTOP)", V43), &cluster, lose, restore);
}
