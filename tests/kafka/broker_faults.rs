//! What brokers do to an agent: being down, dying, hanging, restarting, changing leaders,
//! forgetting producers, refusing batches. Against real ones; the topic is exact afterwards.

use std::fs;
use std::time::Duration;

use crate::support::torture::{ARRIVE_MAX, ELDERS, Growing, Tally, is_long, lines, rounds};
use crate::support::wire::{Body, Connection, Input};
use crate::support::{Agent, Cluster, Topic, Work, decode_event, shared, wait_for};

const FILE: &str = "010_{H}.log";
/// Between the newest and the oldest, which `make test` looks at.
const BETWEEN: [&str; 4] = ["0.11.0.3", "1.1.1", "2.8.2", "3.9.1"];

fn log_lines(agent: &Agent, text: &str) -> usize {
    agent.log().lines().filter(|line| line.contains(text)).count()
}

/// A broker that is not there yet: one line with the reason, however many tries there are, one that it
/// is over, and everything arrives.
fn down_at_start(cluster: &Cluster, version: &str) {
    let topic = cluster.fresh_topic("down", 1);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 1_000), 0);
    cluster.kill9(0);
    let mut agent = work.start();
    let tries = "Next try in";
    agent.expect("a try", ARRIVE_MAX, || log_lines_of(&work, tries) >= 1);
    for line in agent.log().lines().filter(|line| line.contains(tries)) {
        assert!(line.contains("Connection refused"), "{line}");
        assert!(line.contains(topic.name()) && line.contains(topic.bootstrap()), "{line}");
        assert!(line.contains(", in trouble since "), "{line}");
    }
    cluster.restart(0);
    make_known(cluster, &topic);
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert!(agent.log().contains(" goes on."), "{}", agent.log());
    let log = agent.log();
    let reasons = log.lines().filter_map(|line| line.split_once(tries)).map(|(told, _)| {
        // Without its stamp; since when is the same for all.
        told.split_once(", in trouble since ").map_or(told, |(_, why)| why)
    });
    let mut last = "";
    for why in reasons {
        assert_ne!(std::mem::replace(&mut last, why), why, "told twice: {log}");
    }
    Tally::new("broker down at the agent's start", version).exact(
        "down",
        &topic,
        &[("a", 1_000)],
        &agent,
    );
}

/// Killed in the wrong moment, a broker of 0.8 to 0.10 has been seen to come back as a controller that
/// tells itself of no partition, for good: it is started again until it knows the topic.
fn make_known(cluster: &Cluster, topic: &Topic) {
    let is_known = (0..5).any(|_| {
        let is_known = wait_for(Duration::from_secs(60), || topic.is_known());
        if !is_known {
            cluster.terminate(0);
            cluster.restart(0);
        }
        is_known
    });
    assert!(is_known, "{}", cluster.log(0));
}

/// In the logs of all agents of a work directory.
pub fn log_lines_of(work: &Work, text: &str) -> usize {
    let entries = fs::read_dir(work.dir()).expect("the work directory").flatten();
    let logs = entries.filter(|e| e.file_name().to_string_lossy().starts_with("agent-"));
    logs.filter_map(|e| fs::read_to_string(e.path()).ok())
        .map(|log| log.lines().filter(|line| line.contains(text)).count())
        .sum()
}

/// Something is done to the broker while a file grows.
fn in_mid_run(cluster: &Cluster, version: &str, what: &str, act: impl Fn(&Cluster)) {
    let mut tally = Tally::new(what, version);
    let topic = cluster.fresh_topic("mid", 3);
    make_known(cluster, &topic);
    let work = Work::new(&topic).set("a1.channels.c1.kafka.request.timeout.ms", 1_000).file(
        FILE,
        &lines("a", 0, 20_000),
        0,
    );
    let growing = Growing::start(&work, FILE, "a", 20_000, 20);
    let mut agent = work.start();
    agent.expect("some records", ARRIVE_MAX, || topic.count() > 0);
    act(cluster);
    make_known(cluster, &topic);
    let then = growing.written();
    agent.expect(what, ARRIVE_MAX, || growing.written() > then + 200);
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{what}\n{}", agent.log());
    tally.exact(what, &topic, &[("a", written)], &agent);
}

fn the_usual(version: &str) {
    let cluster = Cluster::start(version);
    down_at_start(&cluster, version);
    for _ in 0..rounds() {
        in_mid_run(&cluster, version, "broker killed (-9) in mid-run and restarted", |cluster| {
            cluster.kill9(0);
            std::thread::sleep(Duration::from_millis(500));
            cluster.restart(0);
        });
        in_mid_run(&cluster, version, "broker stopped (SIGTERM) in mid-run and restarted", |c| {
            c.terminate(0);
            c.restart(0);
        });
        let frozen = if is_long() { Duration::from_secs(25) } else { Duration::from_secs(5) };
        let what = format!("broker frozen (SIGSTOP) for {} s in mid-run", frozen.as_secs());
        in_mid_run(&cluster, version, &what, |cluster| {
            cluster.pause(0);
            std::thread::sleep(frozen);
            cluster.resume(0);
        });
    }
}

#[test]
fn the_usual_with_0_10_2_0() {
    the_usual("0.10.2.0");
}

#[test]
fn the_usual_with_4_3_1() {
    the_usual("4.3.1");
}

#[test]
#[ignore = "long: make torture"]
fn the_usual_with_all_other_versions() {
    ELDERS.iter().chain(&BETWEEN).for_each(|version| the_usual(version));
}

/// Three brokers, of which two have to have everything; the leader is killed again and again.
#[test]
#[ignore = "long: make torture"]
fn leaders_are_killed_in_turn() {
    let version = "4.3.1";
    let cluster = Cluster::with(version).brokers(3).set("min.insync.replicas", 2).start();
    let mut tally = Tally::new("three brokers, the leaders killed (-9) in turn", version);
    for round in 0..rounds() {
        let topic = cluster.create_topic_with(&format!("led-{round}"), 3, 3, &[]);
        let work = Work::new(&topic).file(FILE, &lines("a", 0, 20_000), 0);
        let growing = Growing::start(&work, FILE, "a", 20_000, 20);
        let mut agent = work.start();
        for broker in [0, 1, 2, 0, 1, 2] {
            let before = topic.count();
            agent.expect("records", ARRIVE_MAX, || topic.count() > before + 100);
            cluster.kill9(broker);
            // It goes on without this one.
            let before = topic.count();
            agent.expect("records without one", ARRIVE_MAX, || topic.count() > before + 100);
            cluster.restart(broker);
        }
        // Two at once: nothing can be written (19 or 20) until one is back.
        cluster.kill9(0);
        cluster.kill9(1);
        std::thread::sleep(Duration::from_secs(3));
        cluster.restart(0);
        cluster.restart(1);
        let written = growing.stop();
        agent.expect_records(&topic, written as usize, ARRIVE_MAX);
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        tally.exact("leaders", &topic, &[("a", written)], &agent);
    }
}

/// Errors 19 and 20: too few replicas in sync, then enough of them.
#[test]
#[ignore = "long: make torture"]
fn too_few_replicas_for_a_while() {
    let version = "4.3.1";
    let cluster = Cluster::with(version).brokers(3).start();
    // Two replicas of three brokers: the controllers keep their majority without one.
    let settings = [("min.insync.replicas", "2")];
    let topic = cluster.create_topic_with("few", 1, 2, &settings);
    let work = Work::new(&topic).set("a1.channels.c1.kafka.request.timeout.ms", 2_000).file(
        FILE,
        &lines("a", 0, 1_000),
        0,
    );
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    let mut tally = Tally::new("too few replicas in sync for a while (errors 19, 20)", version);
    let too_few = || log_lines_of(&work, "(error 19)") + log_lines_of(&work, "(error 20)");
    let (mut written, mut refusals) = (1_000, 0);
    // Two of the three hold a replica; the frozen one leaves the replicas in sync when its session
    // is over, and from then on what comes is refused.
    for broker in 0..3 {
        let before = too_few();
        cluster.pause(broker);
        work.append(FILE, &lines("a", written, written + 500));
        written += 500;
        agent.expect("a refusal, or the lines", ARRIVE_MAX, || {
            too_few() > before || work.is_committed()
        });
        refusals += u64::from(too_few() > before);
        cluster.resume(broker);
        agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    }
    assert_eq!(refusals, 2, "{}", agent.log());
    let log = agent.log();
    for line in log.lines().filter(|l| l.contains("(error 19)") || l.contains("(error 20)")) {
        assert!(line.contains("partition 0 (127.0.0.1:"), "the broker is named: {line}");
    }
    for line in log.lines().filter(|l| l.contains("Next try in")) {
        assert!(line.contains(", in trouble since "), "{line}");
    }
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("few", &topic, &[("a", written)], &agent);
}

/// A batch that the broker took while the agent was killed, and of whose writer the broker
/// knows nothing any more when the agent comes back: a blind resend would be appended.
fn forgotten_while_away(version: &str) {
    let cluster = forgetful(version);
    let mut tally = Tally::new("producer forgotten while a batch was in doubt", version);
    for round in 0..rounds() {
        let topic = cluster.create_topic(&format!("forgotten-{round}"), 1);
        let work = Work::new(&topic).file(FILE, &lines("a", 0, 100), 0);
        let mut agent = work.start();
        agent.expect_records(&topic, 100, ARRIVE_MAX);
        agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
        cluster.pause(0);
        let checkpoint = work.tracker_dir().join("checkpoint");
        let before = fs::read(&checkpoint).expect("a checkpoint");
        let batch = lines("a", 100, 200);
        work.append(FILE, &batch);
        agent.expect("an announcement", ARRIVE_MAX, || {
            fs::read(&checkpoint).expect("a checkpoint") != before
        });
        // All of it: the kernel takes a large request in pieces.
        agent.expect("the request, in the frozen broker's socket", ARRIVE_MAX, || {
            cluster.unread(0) > batch.len() as u64
        });
        agent.kill9();
        cluster.resume(0);
        crate::support::eventually("the batch arrives all the same", ARRIVE_MAX, || {
            if topic.count() == 200 { Ok(()) } else { Err(topic.count().to_string()) }
        });
        std::thread::sleep(Duration::from_secs(5));
        // Old brokers look only every ten minutes for who is to be forgotten, and at a start.
        cluster.terminate(0);
        cluster.restart(0);
        work.append(FILE, &lines("a", 200, 300));
        let mut agent = work.start();
        agent.expect_records(&topic, 300, ARRIVE_MAX);
        // And the live agent's own silence.
        std::thread::sleep(Duration::from_secs(5));
        work.append(FILE, &lines("a", 300, 400));
        agent.expect_records(&topic, 400, ARRIVE_MAX);
        cluster.terminate(0);
        cluster.restart(0);
        work.append(FILE, &lines("a", 400, 500));
        agent.expect_records(&topic, 500, ARRIVE_MAX);
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        tally.exact("forgotten", &topic, &[("a", 500)], &agent);
    }
}

/// Producers are forgotten after three seconds of silence, by the name of each version.
fn forgetful(version: &str) -> Cluster {
    let plan = Cluster::with(version).set("transactional.id.expiration.ms", 3_000);
    let plan = plan.set("producer.id.expiration.ms", 3_000);
    plan.set("producer.id.expiration.check.interval.ms", 500).start()
}

#[test]
fn forgotten_by_4_3_1() {
    forgotten_while_away("4.3.1");
}

#[test]
#[ignore = "long: make torture"]
fn forgotten_by_the_versions_between() {
    BETWEEN.iter().for_each(|version| forgotten_while_away(version));
}

/// A frozen broker that thaws after it has forgotten the producer.
#[test]
#[ignore = "long: make torture"]
fn forgotten_by_a_frozen_broker() {
    let cluster = forgetful("4.3.1");
    let what = "broker frozen (SIGSTOP) for longer than it remembers producers";
    in_mid_run(&cluster, "4.3.1", what, |cluster| {
        cluster.pause(0);
        std::thread::sleep(Duration::from_secs(8));
        cluster.resume(0);
    });
}

/// Error 43: the topic keeps an older format, so it is written in the old way.
fn old_format(version: &str) {
    let mut tally = Tally::new("topic with message.format.version=0.10 (error 43)", version);
    let cluster = Cluster::start(version);
    let settings = [("message.format.version", "0.10.2")];
    let topic = cluster.create_topic_with("old-format", 2, 1, &settings);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 20_000), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 20_000, ARRIVE_MAX);
    let growing = Growing::start(&work, FILE, "a", 20_000, 20);
    for _ in 0..3 {
        let before = growing.written();
        agent.expect("lines", ARRIVE_MAX, || growing.written() > before + 200);
        agent.kill9();
        agent = work.start();
    }
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert!(topic.all().iter().all(|record| record.producer.is_none()));
    tally.exact("old format", &topic, &[("a", written)], &agent);
}

#[test]
#[ignore = "long: make torture"]
fn topics_of_an_older_format() {
    ["0.11.0.3", "1.1.1", "2.8.2"].iter().for_each(|version| old_format(version));
}

/// Error 10: what is too large as a whole is split; a single event that is too large goes to
/// the dead-letter file, is spoken of, and reading goes on.
fn too_large(version: &str) {
    too_large_for(version, "max.message.bytes", "small");
}

/// The same by error 18: a batch that no segment can hold.
#[test]
#[ignore = "long: make torture"]
fn too_large_for_a_segment() {
    // From 4.0 on no segment may be so small.
    ["0.10.2.0"].iter().chain(&BETWEEN).for_each(|version| {
        too_large_for(version, "segment.bytes", "segment");
    });
}

fn too_large_for(version: &str, setting: &str, label: &str) {
    let what = format!("batches and single events too large for {setting}");
    let mut tally = Tally::new(&what, version);
    let settings = [(setting, "2000")];
    let name = format!("{label}-{}", std::process::id());
    let topic = shared(version).create_topic_with(&name, 1, 1, &settings);
    let mut content = lines("a", 0, 300);
    let start = content.len();
    let giant = format!("giant {}\n", "x".repeat(5_000));
    content.extend(giant.as_bytes());
    content.extend(lines("a", 300, 600));
    let work = Work::new(&topic)
        .set("a1.sources.r1.deserializer.maxLineLength", 10_000)
        .file(FILE, &content, 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 600, ARRIVE_MAX);
    work.append(FILE, &lines("a", 600, 700));
    agent.expect_records(&topic, 700, ARRIVE_MAX);
    // A start finds nothing left to do.
    agent.kill9();
    let mut agent = work.start();
    work.append(FILE, &lines("a", 700, 800));
    agent.expect_records(&topic, 800, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("too large", &topic, &[("a", 800)], &agent);

    let letters = fs::read(work.tracker_dir().join("dead-letter")).expect("a dead letter");
    let head_end = letters.iter().position(|&b| b == b'\n').expect("a head");
    let head = String::from_utf8(letters[..head_end].to_vec()).expect("text");
    let value = &letters[head_end + 1..letters.len() - 1];
    let event = decode_event(value);
    assert_eq!(event.body, giant.trim_end().as_bytes(), "one letter, whole");
    for word in [
        format!("topic={}", topic.name()),
        format!("file={}", work.name(FILE)),
        format!("start={start}"),
        format!("end={}", start + giant.len()),
        format!("bytes={}", value.len()),
    ] {
        assert!(head.split(' ').any(|w| w == word), "{word} is not in {head}");
    }
    assert_eq!(log_lines_of(&work, "went to the dead-letter file"), 1, "{}", agent.log());
    assert!(log_lines_of(&work, "refused as a whole") <= 4, "{}", agent.log());
}

#[test]
fn too_large_for_0_10_2_0() {
    too_large("0.10.2.0");
}

#[test]
fn too_large_for_4_3_1() {
    too_large("4.3.1");
}

#[test]
#[ignore = "long: make torture"]
fn too_large_for_the_versions_between() {
    BETWEEN.iter().for_each(|version| too_large(version));
}

/// Error 47: somebody else has raised the epoch of our producer id. The agent ends and says so.
fn fenced(version: &str) {
    let topic = shared(version).fresh_topic("fenced", 1);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 100), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    let ours = topic.all()[0].producer.expect("a producer");
    write_as(&topic, ours.id, ours.epoch + 1);
    work.append(FILE, &lines("a", 100, 200));
    let status = agent.wait(Duration::from_secs(30));
    let log = agent.log();
    assert_eq!(status.and_then(|s| s.code()), Some(70), "{log}");
    assert!(log.contains(&format!("under our producer id {}", ours.id)), "{log}");
    assert_eq!(topic.count(), 101);
}

#[test]
fn fenced_by_4_3_1() {
    fenced("4.3.1");
}

#[test]
#[ignore = "long: make torture"]
fn fenced_by_the_versions_between() {
    BETWEEN.iter().for_each(|version| fenced(version));
}

/// One record, with sequence 0, of a producer that is not the agent.
fn write_as(topic: &Topic, id: i64, epoch: i16) {
    use flume_ng::channel::batch::Batch;
    use flume_ng::channel::batch::{Identity, Wire};
    use flume_ng::config::model::{Compression, ValueFormat};
    let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_millis() as i64;
    batch.begin(0, now);
    batch.push(&[0], b"foreign");
    batch.seal(Identity { producer_id: id, epoch }, 0);
    let mut body = Body::new();
    body.i16(-1).i16(-1).i32(10_000).i32(1).string(topic.name()).i32(1).i32(0);
    body.bytes(batch.sealed_bytes());
    let mut broker = Connection::open(topic.bootstrap()).expect("a connection");
    let answer = broker.call(0, 3, &body).expect("an answer");
    let mut input = Input(&answer);
    input.i32();
    input.string();
    input.take(8);
    assert_eq!(input.i16(), 0, "the other producer's record");
}

/// Errors 29 and 31: not authorised. The agent says so and waits for the operator.
#[test]
#[ignore = "long: make torture"]
fn not_authorised_for_a_while() {
    let version = "4.3.1";
    let mut tally = Tally::new("not authorised to write for a while (error 29)", version);
    let cluster = Cluster::with(version)
        .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .set("allow.everyone.if.no.acl.found", true)
        .start();
    let topic = cluster.create_topic("guarded", 1);
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 500), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 500, ARRIVE_MAX);
    // All is allowed, but for writing (operation 4), which is denied (permission 2).
    for (operation, permission) in [(2, 3), (4, 2)] {
        let mut body = Body::new();
        body.i32(1).i8(2).string(topic.name()).i8(3).string("User:ANONYMOUS").string("*");
        body.i8(operation).i8(permission);
        ask_for_acls(&topic, 30, &body);
    }
    work.append(FILE, &lines("a", 500, 900));
    agent.expect("a word on it", ARRIVE_MAX, || log_lines_of(&work, "authoris") >= 1);
    assert_eq!(topic.count(), 500);
    assert!(agent.log().contains("the operation Write on topic guarded"), "{}", agent.log());
    let mut body = Body::new();
    body.i32(1).i8(2).string(topic.name()).i8(3).i16(-1).i16(-1).i8(1).i8(1);
    ask_for_acls(&topic, 31, &body);
    agent.expect_records(&topic, 900, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("denied", &topic, &[("a", 900)], &agent);
}

/// CreateAcls (30) or DeleteAcls (31).
fn ask_for_acls(topic: &Topic, api: i16, body: &Body) {
    let mut broker = Connection::open(topic.bootstrap()).expect("a connection");
    let answer = broker.call(api, 1, body).expect("an answer");
    let mut input = Input(&answer);
    input.take(8); // throttle time, results
    assert_eq!(input.i16(), 0, "api {api}");
}

/// Error 3 for a while: the topic is not there yet and the brokers do not make topics.
fn topic_comes_later(version: &str) {
    let mut tally = Tally::new("topic made after the agent's start (error 3)", version);
    let cluster = Cluster::with(version).set("auto.create.topics.enable", false).start();
    let topic = cluster.topic("later");
    let work = Work::new(&topic).file(FILE, &lines("a", 0, 1_000), 0);
    let mut agent = work.start();
    agent.expect("a try", ARRIVE_MAX, || log_lines_of(&work, "Next try in") >= 1);
    let topic = cluster.create_topic("later", 2);
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert_eq!(log_lines(&agent, "LOST"), 0);
    tally.exact("later", &topic, &[("a", 1_000)], &agent);
}

#[test]
#[ignore = "long: make torture"]
fn the_topic_comes_later() {
    ["0.10.2.0"].iter().chain(&BETWEEN).chain(&["4.3.1"]).for_each(|v| topic_comes_later(v));
}
