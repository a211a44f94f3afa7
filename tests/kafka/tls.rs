//! TLS with real brokers: what is delivered, what is refused and in which words, certificates that are
//! renewed under load.

use std::fs;
use std::time::Duration;

use crate::support::certificates::{Certificates, PASSWORD};
use crate::support::torture::{ARRIVE_MAX, Chance, Growing, Tally, lines};
use crate::support::{Agent, Cluster, Topic, Work, wait_for};

const FILE: &str = "010_{H}.log";
const P: &str = "a1.channels.c1.kafka.producer";

/// A broker with a listener for TLS, beside the plaintext one, that wants a certificate of clients.
fn secured(version: &str, certificates: &Certificates, name: &str) -> Cluster {
    let mut plan = Cluster::with(version).listener("SSL").set("ssl.client.auth", "required");
    for (key, value) in certificates.of_broker(name) {
        plan = plan.set(&key, value);
    }
    plan.start()
}

fn work(topic: &Topic, brokers: &str) -> Work {
    Work::new(topic)
        .set("a1.channels.c1.kafka.bootstrap.servers", brokers)
        .set(&format!("{P}.security.protocol"), "SSL")
        .set("a1.sources.r1.retireGraceMs", 300)
}

/// It trusts what is in this store.
fn trusting(work: Work, certificates: &Certificates, file: &str) -> Work {
    work.set(&format!("{P}.ssl.truststore.location"), certificates.path(file).display())
        .set(&format!("{P}.ssl.truststore.password"), PASSWORD)
}

/// It shows what is in this store.
fn showing(work: Work, certificates: &Certificates, file: &str) -> Work {
    work.set(&format!("{P}.ssl.keystore.location"), certificates.path(file).display())
        .set(&format!("{P}.ssl.keystore.password"), PASSWORD)
}

/// Runs it, and waits for these words in its log; nothing is delivered, and no secret told.
#[track_caller]
fn says(work: &Work, topic: &Topic, words: &str) {
    let mut agent = work.start();
    says_soon(&agent, words);
    let _ = agent.term();
    assert_eq!(topic.count(), 0);
    assert!(!agent.log().contains(PASSWORD), "{}", agent.log());
}

#[track_caller]
fn says_soon(agent: &Agent, words: &str) {
    let said = wait_for(Duration::from_secs(60), || agent.log().contains(words));
    assert!(said, "it does not say: {words}\n{}", agent.log());
}

fn read(path: &std::path::Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Delivery by TLS with a certificate of ours, kills of the agent in between; then whatever may be wrong.
fn all_of(version: &str) {
    let certificates = Certificates::new();
    for name in ["broker", "agent"] {
        certificates.issue(name);
    }
    certificates.trust("trust.jks", "JKS");
    certificates.java_key("agent", "agent.jks");
    let foreign = Certificates::new();
    foreign.issue("agent");
    let cluster = secured(version, &certificates, "broker");
    let brokers = cluster.listener("SSL");

    let topic = cluster.fresh_topic("tls", 2);
    let work_1 = trusting(work(&topic, &brokers), &certificates, "trust.jks").file(
        "010_{H-1}.log",
        &lines("old", 0, 20_000),
        3_600,
    );
    let work_1 = showing(work_1, &certificates, "agent.jks");
    let growing = Growing::start(&work_1, FILE, "new", 0, 40);
    let mut chance = Chance::new();
    let mut tally = Tally::new("kill -9 of the agent on a growing file, by TLS", version);
    for _ in 0..4 {
        let mut agent = work_1.start();
        let before = topic.count();
        wait_for(Duration::from_secs(5), || topic.count() > before + chance.below(3_000) as usize);
        agent.kill9();
    }
    let mut agent = work_1.start();
    let written = growing.stop();
    agent.expect_records(&topic, 20_000 + written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    assert!(!agent.log().contains(PASSWORD));
    tally.exact("4 kills", &topic, &[("old", 20_000), ("new", written)], &agent);

    let topic = cluster.fresh_topic("tls-refused", 1);
    let line = || work(&topic, &brokers).file(FILE, b"one\n", 5);
    let ours = || trusting(line(), &certificates, "ca.pem");
    says(
        &ours(),
        &topic,
        "it wants a certificate of ours, and there is none: set ssl.keystore.location",
    );
    says(&showing(ours(), &foreign, "agent.p12"), &topic, "it refuses our certificate");
    let stranger = trusting(showing(line(), &certificates, "agent.p12"), &foreign, "ca.pem");
    says(
        &stranger,
        &topic,
        "(CN=broker) is not signed by the CN=Authority, O=Example that trust store",
    );
    let plain = showing(ours(), &certificates, "agent.p12")
        .set("a1.channels.c1.kafka.bootstrap.servers", cluster.bootstrap());
    says(&plain, &topic, "it closed the connection when TLS began; a listener without TLS does so");
    let clear = line().set(&format!("{P}.security.protocol"), "PLAINTEXT");
    says(&clear, &topic, "kafka.producer.security.protocol");
    let wrong = showing(ours(), &certificates, "agent.p12")
        .set(&format!("{P}.ssl.keystore.password"), "wrong-password");
    says(&wrong, &topic, "agent.p12: as PKCS12: its password is wrong, or it is damaged");
}

#[test]
fn delivery_by_tls_is_exact_and_each_refusal_says_why_with_0_10_2_0() {
    all_of("0.10.2.0");
}

#[test]
fn delivery_by_tls_is_exact_and_each_refusal_says_why_with_4_3_1() {
    all_of("4.3.1");
}

/// The broker's certificate expires; it gets another one, of another authority, which the agent is told of
/// beforehand; the agent's own is replaced as well. Nobody restarts the agent.
#[test]
#[ignore = "long: make torture"]
fn certificates_are_renewed_under_load() {
    const HAZARD: &str = "certificates of broker and agent renewed while lines come";
    let certificates = Certificates::new();
    for name in ["broker", "agent", "new-agent"] {
        certificates.issue(name);
    }
    certificates.issue_expired("expired");
    let cluster = secured("4.3.1", &certificates, "broker");
    let store = certificates.path("broker.p12");
    let replace = |from: &str| {
        let new = certificates.path("new.tmp");
        fs::copy(certificates.path(from), &new).expect("a copy");
        fs::rename(&new, &store).expect("a new store");
    };
    let topic = cluster.fresh_topic("tls-renewed", 2);
    let work = trusting(work(&topic, &cluster.listener("SSL")), &certificates, "ca.pem");
    let work = showing(work, &certificates, "agent.p12");
    let growing = Growing::start(&work, FILE, "new", 0, 20);
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    replace("expired.p12");
    cluster.restart(0);
    says_soon(&agent, "its certificate (CN=expired) has expired on 20");
    // Halfway: it is read as it was.
    fs::write(certificates.path("agent.p12"), b"").expect("a truncated store");
    fs::copy(certificates.path("new-agent.p12"), certificates.path("agent.p12")).expect("a copy");
    let certificates_2 = Certificates::new();
    certificates_2.issue("broker");
    let both = read(&certificates.path("ca.pem")) + &read(&certificates_2.path("ca.pem"));
    fs::write(certificates.path("ca.pem"), both).expect("a longer bundle");
    fs::copy(certificates_2.path("broker.p12"), certificates.path("new-broker.p12"))
        .expect("a copy");
    replace("new-broker.p12");
    cluster.restart(0);
    let before = topic.count();
    agent.expect_records(&topic, before + 2_000, ARRIVE_MAX);
    let written = growing.stop();
    agent.expect_records(&topic, written as usize, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut tally = Tally::new(HAZARD, "4.3.1");
    tally.exact("3 renewals", &topic, &[("new", written)], &agent);
}
