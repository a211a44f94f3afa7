//! Answers that never come, come late, or come in half; requests that arrive in half or after
//! the agent has given them up. A proxy does it to the k-th Produce request, on all wires,
//! and the topic has to be exact afterwards.

use std::collections::HashSet;
use std::time::Duration;

use crate::routes::{LAST_DIGIT, with_keys};
use crate::support::certificates::Certificates;
use crate::support::proxy::{Cut, Proxy};
use crate::support::torture::{
    ARRIVE_MAX, ELDERS, Group, Growing, Tally, V010, V39, V43, hazard, is_long, lines,
};
use crate::support::tunnel::Tunnel;
use crate::support::{Agent, Brokers, Cluster, Topic, Work, eventually, shared};
use flume_ng::checkpoint::slots::read_newest;

/// `kafka.request.timeout.ms` here; the agent waits two seconds more for an answer.
const REQUEST_TIMEOUT_MS: u64 = 300;
const PAST_TIMEOUT: Duration = Duration::from_millis(2_800);
/// Less than the agent waits, before 0.11, before it takes "not there" for the truth.
const WITHIN_SETTLE: Duration = Duration::from_millis(500);
const FILE: &str = "010_{H}.log";

/// What is done on the wire from 0.11 on. There a request may come as late as it likes.
const CUTS_MODERN: [Cut; 8] = [
    Cut::BeforeRequest,
    Cut::MidRequest,
    Cut::Answer,
    Cut::MidAnswer,
    Cut::LateAnswer(PAST_TIMEOUT),
    Cut::LateRequest(WITHIN_SETTLE),
    Cut::LateRequest(PAST_TIMEOUT),
    Cut::Silence,
];
const CUTS_NAMELESS: [Cut; 7] = [
    Cut::BeforeRequest,
    Cut::MidRequest,
    Cut::Answer,
    Cut::MidAnswer,
    Cut::LateAnswer(PAST_TIMEOUT),
    Cut::LateRequest(WITHIN_SETTLE),
    Cut::Silence,
];

fn work(topic: &Topic) -> Work {
    Work::new(topic).set("a1.channels.c1.kafka.request.timeout.ms", REQUEST_TIMEOUT_MS)
}

/// A cluster behind a proxy, and how an agent gets to it.
struct Field {
    proxy: Proxy,
    /// As the tests see it.
    brokers: Brokers,
    /// Where it is of this test's own.
    _cluster: Option<Cluster>,
    /// Properties of the channel besides the usual ones.
    settings: Vec<(&'static str, String)>,
    _ends: Vec<Tunnel>,
    _certificates: Option<Certificates>,
}

impl Field {
    fn plain(version: &str) -> Field {
        let (proxy, _cluster, brokers) = behind_a_proxy(version);
        let (settings, _ends, _certificates) = (Vec::new(), Vec::new(), None);
        Field { proxy, brokers, _cluster, settings, _ends, _certificates }
    }

    fn work(&self, topic: &Topic) -> Work {
        self.settings.iter().fold(work(topic), |work, (key, value)| {
            work.set(&format!("a1.channels.c1.{key}"), value)
        })
    }
}

/// Fills several requests in flight.
const BACKLOG: u64 = 20_000;

/// A backlog that fills several requests in flight, then a trickle until the cut is done.
fn strike(field: &Field, tally: &mut Tally, cut: Cut, k: u64, has_keys: bool) {
    let proxy = &field.proxy;
    let case = format!("{cut:?} at request {k}");
    let topic = field.brokers.fresh_topic("lost", if k.is_multiple_of(2) { 3 } else { 1 });
    let work = field.work(&topic).file(FILE, &lines("a", 0, BACKLOG), 0);
    let work = if has_keys { with_keys(work, &topic, LAST_DIGIT) } else { work };
    proxy.arm(cut, k);
    let mut agent = work.start();
    let growing = Growing::start(&work, FILE, "a", BACKLOG, 20);
    agent.expect(&case, ARRIVE_MAX, || proxy.has_struck());
    // Some more in flight behind it.
    let then = growing.written();
    agent.expect(&case, ARRIVE_MAX, || growing.written() > then + 100);
    settle(agent, growing, &topic, tally, cut, &case);
}

/// The agent is killed while the request is on its way, and started again.
fn strike_and_kill(field: &Field, tally: &mut Tally, cut: Cut, k: u64) {
    let proxy = &field.proxy;
    let case = format!("{cut:?} at request {k}, and kill -9");
    let topic = field.brokers.fresh_topic("killed", 1);
    let work = field.work(&topic).file(FILE, &lines("a", 0, 20_000), 0);
    proxy.arm(cut, k);
    let mut agent = work.start();
    let growing = Growing::start(&work, FILE, "a", 20_000, 20);
    agent.expect(&case, ARRIVE_MAX, || proxy.has_struck());
    agent.kill9();
    let agent = work.start();
    settle(agent, growing, &topic, tally, cut, &case);
}

/// A backlog for which one connection is not enough, and a link on which that is so however fast the
/// broker is. The cut strikes one of the two connections; every other time the agent is killed.
fn strike_one_of_two(field: &Field, way: &str, cuts: &[Cut]) {
    const BACKLOG: u64 = 250_000;
    let proxy = &field.proxy;
    let mut tally = Tally::new("answer or request lost on one of two connections", way);
    proxy.slow_down(20_000_000);
    for (n, &cut) in cuts.iter().enumerate() {
        let case = format!("{cut:?} on one of two connections");
        let topic = field.brokers.fresh_topic("two", 3);
        let work = field.work(&topic).file(FILE, &lines("a", 0, BACKLOG), 0);
        let mut agent = work.start();
        let growing = Growing::start(&work, FILE, "a", BACKLOG, 20);
        eventually("a second connection", ARRIVE_MAX, || {
            let log = agent.log();
            if log.contains(" once more: ") { Ok(()) } else { Err(log) }
        });
        proxy.arm(cut, 3);
        agent.expect(&case, ARRIVE_MAX, || proxy.has_struck());
        if n % 2 == 1 {
            agent.kill9();
            agent = work.start();
        }
        settle(agent, growing, &topic, &mut tally, cut, &case);
    }
    proxy.slow_down(0);
}

/// The writer ends, everything arrives, and after the last copy could have come it is exact.
fn settle(
    mut agent: Agent,
    growing: Growing,
    topic: &Topic,
    tally: &mut Tally,
    cut: Cut,
    case: &str,
) {
    let written = growing.stop();
    agent.expect_records(topic, written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{case}\n{}", agent.log());
    // Longer than any request that is still on its way.
    if let Cut::LateRequest(delay) = cut {
        std::thread::sleep(delay);
    }
    tally.exact(case, topic, &[("a", written)], &agent);
}

/// A hundred lines are in the topic, and the request with the next hundred gets lost.
fn second_request_lost(
    proxy: &Proxy,
    brokers: &Brokers,
    name: &str,
    cut: Cut,
) -> (Topic, Work, Agent) {
    let topic = brokers.fresh_topic(name, 1);
    let work = work(&topic).file(FILE, &lines("a", 0, 100), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    proxy.arm(cut, 1);
    work.append(FILE, &lines("a", 100, 200));
    agent.expect("a request that nobody gets", ARRIVE_MAX, || proxy.has_struck());
    (topic, work, agent)
}

/// A broker of today that has to be spoken to like one before 0.10.
const OLD: &str = "before 0.10";

fn behind_a_proxy(version: &str) -> (Proxy, Option<Cluster>, Brokers) {
    if ELDERS.contains(&version) {
        let (proxy, cluster, brokers) = Proxy::cluster(version);
        return (proxy, Some(cluster), brokers);
    }
    let (proxy, brokers) = Proxy::to_shared(if version == OLD { V010 } else { version });
    if version == OLD {
        proxy.be_old();
    }
    (proxy, None, brokers)
}

fn run(version: &str, cuts: &[Cut]) {
    run_in(&Field::plain(version), version, cuts);
}

fn run_in(field: &Field, way: &str, cuts: &[Cut]) {
    let mut tally = Tally::new("answer or request lost, cut or late", way);
    for (number, &cut) in cuts.iter().enumerate() {
        let few = [1, 4][number % 2];
        for k in if is_long() { 1..=8 } else { few..=few } {
            strike(field, &mut tally, cut, k, false);
        }
    }
    drop(tally);
    let mut tally = Tally::new("answer or request lost while keys choose the partition", way);
    for cut in [Cut::MidRequest, Cut::Answer, Cut::LateRequest(WITHIN_SETTLE)] {
        strike(field, &mut tally, cut, 2, true);
    }
    drop(tally);
    let mut tally = Tally::new("answer or request lost, and the agent killed", way);
    let ks: Vec<u64> = if is_long() { (1..=5).collect() } else { vec![2] };
    for cut in [Cut::BeforeRequest, Cut::Answer, Cut::LateRequest(WITHIN_SETTLE)] {
        for &k in &ks {
            strike_and_kill(field, &mut tally, cut, k);
        }
    }
}

/// A broker at which one logs in over TLS. The proxy stands between two ends of TLS, since it has to see what
/// it cuts; the tests themselves look past all that.
fn behind_a_login_over_tls(version: &str) -> Field {
    const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let certificates = Certificates::new();
    certificates.issue("broker");
    let path = |file: &str| certificates.path(file);
    let proxy = Proxy::new();
    let near = Tunnel::from_tls(&path("broker.pem"), &path("broker.key"), &proxy.address());
    let mut plan = Cluster::with(version).logins().listener("SASL_SSL");
    for (key, value) in certificates.of_broker("broker") {
        plan = plan.set(&key, value);
    }
    if version != V010 {
        let jaas = format!("{MODULE} user_alice=\"alice-secret\";");
        plan = plan
            .set("listener.name.sasl_ssl.sasl.enabled.mechanisms", "PLAIN")
            .set("listener.name.sasl_ssl.plain.sasl.jaas.config", jaas);
    }
    let cluster = plan.advertised("SASL_SSL", &near.address()).start();
    let far = Tunnel::to_tls(&path("ca.pem"), &cluster.listener("SASL_SSL"));
    proxy.aim(&far.address());
    let jaas = format!("{MODULE} username=\"alice\" password=\"alice-secret\";");
    let settings = vec![
        ("brokerList", near.address()),
        ("kafka.producer.security.protocol", "SASL_SSL".to_string()),
        ("kafka.producer.sasl.mechanism", "PLAIN".to_string()),
        ("kafka.producer.sasl.jaas.config", jaas),
        ("kafka.producer.ssl.truststore.location", path("ca.pem").display().to_string()),
    ];
    Field {
        proxy,
        brokers: Brokers::at(cluster.bootstrap()),
        _cluster: Some(cluster),
        settings,
        _ends: vec![near, far],
        _certificates: Some(certificates),
    }
}

/// A link that needs far longer for a round than a broker has for its answer. Each round was once
/// given up and sent again as a whole, for ever.
fn slow_link(version: &str, total: u64, bytes_s: u64) {
    let (proxy, _cluster, brokers) = behind_a_proxy(version);
    let mut tally = Tally::new("a link that is too slow for a round in its time", version);
    let topic = brokers.fresh_topic("slow", 3);
    let text = lines("a", 0, total);
    let bytes = text.len() as u64;
    let work = work(&topic).file(FILE, &text, 0);
    proxy.slow_down(bytes_s);
    let mut agent = work.start();
    agent.expect_records(&topic, total as usize, ARRIVE_MAX);
    proxy.slow_down(0);
    assert!(bytes / bytes_s > 2 * (REQUEST_TIMEOUT_MS + 2_000) / 1_000, "{bytes} bytes");
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("slow", &topic, &[("a", total)], &agent);
}

#[test]
fn a_slow_link_of_4_3_1() {
    slow_link("4.3.1", 40_000, 250_000);
}

#[test]
#[ignore = "long: make torture"]
fn a_slow_link_of_0_10_2_0() {
    slow_link("0.10.2.0", 40_000, 250_000);
}

/// A quota has the broker read nothing for longer than an answer may take. Requests under way were
/// once given up for that.
#[test]
fn a_quota_is_waited_for() {
    const TOTAL: u64 = 25_000;
    let mut tally = Tally::row(Group::Sticks, "quota of the client used up", V43);
    let topic = shared(V43).fresh_topic("quota", 1);
    // Nobody else has it.
    let client = topic.name();
    topic.set_quota(client, "producer_byte_rate", 100_000.0);
    let work = work(&topic).set("a1.channels.c1.kafka.client.id", client).file(
        FILE,
        &lines("a", 0, TOTAL),
        0,
    );
    let metrics = work.dir().join("a1.prom");
    let work = work.set("a1.monitoring.textfile", metrics.display());
    let mut agent = work.start();
    agent.expect_records(&topic, TOTAL as usize, ARRIVE_MAX);
    agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("quota", &topic, &[("a", TOTAL)], &agent);
    let log = agent.log();
    let told = format!(" throttles client.id {client}");
    assert_eq!(log.matches(&told).count(), 1, "{log}");
    assert_eq!(log.matches("no answer in").count() + log.matches("in doubt").count(), 0, "{log}");
    let page = std::fs::read_to_string(metrics).expect("the metrics");
    let line = page.lines().find(|line| line.starts_with("flume_ng_throttle_seconds_total{"));
    let seconds = line.and_then(|line| line.rsplit(' ').next()).and_then(|n| n.parse().ok());
    assert!(seconds.is_some_and(|s: f64| s > REQUEST_TIMEOUT_MS as f64 / 1_000.0 + 2.0), "{page}");
}

/// Before 0.10 a call of the `kafka` crate is given up after the time limit, whatever the link
/// carries. What the kernel still held went out behind it once, after the settle time.
#[test]
fn a_slow_link_before_0_10() {
    slow_link(OLD, 40_000, 250_000);
}

#[test]
fn kafka_0_10_2_0() {
    run("0.10.2.0", &CUTS_NAMELESS);
}

#[test]
fn before_0_10() {
    run(OLD, &CUTS_NAMELESS);
}

#[test]
#[ignore = "long: make torture"]
fn kafka_0_8_2_2() {
    run("0.8.2.2", &CUTS_NAMELESS);
}

#[test]
#[ignore = "long: make torture"]
fn kafka_0_9_0_1() {
    run("0.9.0.1", &CUTS_NAMELESS);
}

#[test]
fn kafka_4_3_1() {
    run("4.3.1", &CUTS_MODERN);
}

#[test]
fn on_one_of_two_connections() {
    let field = Field::plain(V43);
    strike_one_of_two(&field, V43, &[Cut::MidRequest, Cut::Answer, Cut::Silence]);
}

#[test]
#[ignore = "long: make torture"]
fn on_one_of_two_connections_by_all_means() {
    strike_one_of_two(&Field::plain("0.11.0.3"), "0.11.0.3", &CUTS_MODERN);
    strike_one_of_two(&behind_a_login_over_tls(V43), "4.3.1, SASL_SSL", &CUTS_MODERN);
}

#[test]
#[ignore = "long: make torture"]
fn kafka_3_9_1() {
    run(V39, &CUTS_MODERN);
}

#[test]
fn over_sasl_ssl_with_4_3_1() {
    run_in(&behind_a_login_over_tls(V43), "4.3.1, SASL_SSL", &CUTS_MODERN);
}

#[test]
#[ignore = "long: make torture"]
fn over_sasl_ssl_with_3_9_1() {
    run_in(&behind_a_login_over_tls(V39), "3.9.1, SASL_SSL", &CUTS_MODERN);
}

#[test]
#[ignore = "long: make torture"]
fn over_sasl_ssl_with_0_10_2_0() {
    run_in(&behind_a_login_over_tls(V010), "0.10.2.0, SASL_SSL", &CUTS_NAMELESS);
}

/// A batch may end where nothing in the file does: at a cut of a line that is too long. Were it looked for what
/// tells there that an event ends, it could not be read again, and would be told as lost.
#[test]
fn a_batch_that_ends_where_a_long_line_was_cut_is_sent_again() {
    let _row = hazard(Group::Deaths, "spooldir: long lines, requests lost, and kill -9", V43);
    let (proxy, brokers) = Proxy::to_shared(V43);
    // Many pieces a line, and several batches: nearly all end at a cut.
    let length = |n: usize| if n % 40 == 39 { 904 } else { 2048 };
    let pieces: Vec<String> =
        (0..1200).map(|n| format!("{n:0width$}", width = length(n))).collect();
    let content: String = pieces.chunks(40).map(|line| line.concat() + "\n").collect();
    for cut in [Cut::BeforeRequest, Cut::Answer] {
        let topic = brokers.fresh_topic("long", 1);
        let work = Work::new(&topic)
            .conf(crate::spooldir::CONF)
            .set("a1.channels.c1.kafka.request.timeout.ms", REQUEST_TIMEOUT_MS)
            .set("a1.sources.r1.batchSize", 1)
            .file("long", content.as_bytes(), 5);
        proxy.arm(cut, 1);
        let mut agent = work.start();
        agent.expect("a request that is lost", ARRIVE_MAX, || proxy.has_struck());
        agent.kill9();
        let mut agent = work.start();
        agent.expect_records(&topic, pieces.len(), ARRIVE_MAX);
        assert_eq!(agent.term().code(), Some(0), "{cut:?}\n{}", agent.log());
        assert_eq!(topic.bodies(), pieces, "{cut:?}\n{}", agent.log());
    }
}

/// What an agent has in doubt goes out under a new producer id if its checkpoint is a copy:
/// two processes under one id lose data in silence.
#[test]
fn a_copied_checkpoint_never_uses_its_producer_id_again() {
    let (proxy, brokers) = Proxy::to_shared("4.3.1");
    let (topic, work, mut agent) = second_request_lost(&proxy, &brokers, "copied", Cut::Silence);
    agent.kill9();

    let checkpoint = work.tracker_dir().join("checkpoint");
    let copy = work.tracker_dir().join("copy");
    std::fs::copy(&checkpoint, &copy).expect("a copy");
    std::fs::rename(&copy, &checkpoint).expect("renamed");
    work.append(FILE, &lines("a", 200, 300));
    let mut agent = work.start();
    agent.expect_records(&topic, 300, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::new("copied checkpoint with a batch in doubt", "4.3.1");
    tally.exact("copied", &topic, &[("a", 300)], &agent);

    let records = topic.all();
    let ids = |from: usize, to: usize| -> HashSet<i64> {
        records[from..to].iter().map(|r| r.producer.expect("a producer").id).collect()
    };
    let (before, after) = (ids(0, 100), ids(100, 300));
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
}

/// On the old wire the second copy of a batch is waited for as long as the first: the connection
/// ends under it, and the broker gets it only after the agent is back.
#[test]
fn a_resend_that_is_late_is_waited_for() {
    let (proxy, brokers) = Proxy::to_shared("0.10.2.0");
    let (topic, _work, mut agent) =
        second_request_lost(&proxy, &brokers, "late", Cut::BeforeRequest);
    proxy.arm(Cut::LateRequest(WITHIN_SETTLE), 1);
    agent.expect("the second that is late", ARRIVE_MAX, || proxy.has_struck());
    agent.expect_records(&topic, 200, ARRIVE_MAX);
    std::thread::sleep(2 * WITHIN_SETTLE);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::new("a resend that is late", "0.10.2.0");
    tally.exact("late", &topic, &[("a", 200)], &agent);
}

/// The request to stop comes while an answer is awaited: out within two seconds, nothing is
/// lost by it.
#[test]
fn a_stop_with_an_answer_outstanding() {
    for version in ["0.10.2.0", "4.3.1"] {
        let (proxy, brokers) = Proxy::to_shared(version);
        let mut tally = Tally::new("SIGTERM while an answer is outstanding", version);
        for cut in [Cut::Silence, Cut::LateAnswer(PAST_TIMEOUT)] {
            let topic = brokers.fresh_topic("stop", 1);
            let work = Work::new(&topic).file(FILE, &lines("a", 0, 1_000), 0);
            proxy.arm(cut, 1);
            let mut agent = work.start();
            agent.expect("a request", ARRIVE_MAX, || proxy.has_struck());
            let (status, took) = agent.term_timed();
            assert_eq!(status.code(), Some(0), "{version} {cut:?}\n{}", agent.log());
            assert!(took <= Duration::from_secs(2), "{took:?}\n{}", agent.log());
            let mut agent = work.start();
            agent.expect_records(&topic, 1_000, ARRIVE_MAX);
            eventually("the doubt is spoken of", ARRIVE_MAX, || {
                let log = agent.log();
                if log.contains("Batch in doubt") { Ok(()) } else { Err(log) }
            });
            assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
            tally.exact(&format!("{cut:?}"), &topic, &[("a", 1_000)], &agent);
        }
    }
}

/// Two sources, two addresses: the one that keeps silent does not take the time in which the other
/// answers, whose lines would be in doubt at the next start.
#[test]
fn a_stop_waits_for_one_broker_though_another_is_silent() {
    let (silent, first_brokers) = Proxy::to_shared("4.3.1");
    let (late, second_brokers) = Proxy::to_shared("4.3.1");
    let topics = [first_brokers.fresh_topic("one", 1), second_brokers.fresh_topic("two", 1)];
    let work = Work::new(&topics[0]).file(FILE, &lines("a", 0, 10), 0);
    let other = Work::new(&topics[1]).file(FILE, &lines("a", 0, 10), 0);
    let work = work
        .set("a1.sources", "r1 r2")
        .set("a1.channels", "c1 c2")
        .set("a1.sources.r2.type", "com.github.ningg.flume.source.SpoolDirectoryTailFileSource")
        .set("a1.sources.r2.channels", "c2")
        .set("a1.sources.r2.spoolDir", other.spool().display())
        .set("a1.sources.r2.targetPattern", ".*")
        .set("a1.sources.r2.targetFilename", "yyyyMMddHH")
        .set("a1.channels.c2.type", "org.apache.flume.channel.kafka.KafkaChannel")
        .set("a1.channels.c2.brokerList", topics[1].bootstrap())
        .set("a1.channels.c2.topic", topics[1].name());
    let mut agent = work.start();
    for topic in &topics {
        agent.expect_records(topic, 10, ARRIVE_MAX);
    }
    silent.arm(Cut::Silence, 1);
    late.arm(Cut::LateAnswer(Duration::from_millis(600)), 1);
    for work in [&work, &other] {
        work.append(FILE, &lines("a", 10, 20));
    }
    agent.expect("both requests", ARRIVE_MAX, || silent.has_struck() && late.has_struck());
    let (status, took) = agent.term_timed();
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    assert!(took <= Duration::from_secs(2), "{took:?}\n{}", agent.log());
    let in_doubt = [&work, &other].map(|work| {
        let record =
            read_newest(&work.tracker_dir()).expect("it can be read").expect("a checkpoint");
        record.batches.iter().filter(|b| b.fate.is_in_doubt()).count()
    });
    assert_eq!(in_doubt, [1, 0], "{}", agent.log());
}
