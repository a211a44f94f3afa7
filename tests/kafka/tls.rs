//! TLS with real brokers: what is delivered, what is refused and in which words, certificates that are
//! renewed under load.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::monitor::{free_port, get};
use crate::support::certificates::{Certificates, PASSWORD};

use crate::support::torture::{ARRIVE_MAX, Chance, Group, Growing, Tally, hazard, lines};
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

#[test]
#[ignore = "long: make torture"]
fn delivery_by_tls_is_exact_and_each_refusal_says_why_with_3_9_1() {
    all_of("3.9.1");
}

#[test]
#[ignore = "long: make torture"]
fn delivery_by_tls_is_exact_and_each_refusal_says_why_with_2_8_2() {
    all_of("2.8.2");
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

/// `check` and the metrics tell of each certificate whose it is and how long it holds, ours included; one that
/// the trust store holds itself is taken when it is over, and told to be.
#[test]
fn how_long_certificates_hold_is_told() {
    let _row = hazard(Group::Claims, "check and metrics: certificates that end", "4.3.1");
    let certificates = Certificates::new();
    certificates.issue("broker");
    certificates.issue_for("agent", 90);
    certificates.issue_expired("expired");
    let cluster = secured("4.3.1", &certificates, "broker");
    let topic = cluster.fresh_topic("tls-days", 1);
    let broker = cluster.listener("SSL");
    let work = |trust: &str| {
        let work = trusting(work(&topic, &broker), &certificates, trust);
        showing(work, &certificates, "agent.p12").file(FILE, b"one\n", 5)
    };
    let check = |work: &Work| {
        let conf = work.write_conf();
        let mut output = None;
        // A broker that has just started may lack its leaders.
        wait_for(ARRIVE_MAX, || {
            let mut command = work.program();
            command.args(["check", "--json", "--name", "a1", "--conf-file"]).arg(&conf);
            output = command.output().ok();
            output.as_ref().is_some_and(|output| output.status.code() != Some(75))
        });
        let output = output.expect("the program runs");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rows = told["checks"].as_array().expect("rows").clone();
        let row = move |name: &str| {
            let row = rows.iter().find(|row| row["name"] == name).expect("a row of that name");
            format!("{} {}", row["state"].as_str().unwrap(), row["text"].as_str().unwrap())
        };
        (output.status.code(), row)
    };
    let of_broker = format!("certificate of {broker}");
    let days_left = |work: &Work, count: usize| {
        let port = free_port();
        let mut command = work.command();
        command.args(["-Dflume.monitoring.type=http", &format!("-Dflume.monitoring.port={port}")]);
        let mut agent = work.start_command(command);
        agent.expect_records(&topic, count, ARRIVE_MAX);
        let (_, metrics) = get(port, "/prometheus").expect("metrics");
        let days = |name: &str| {
            let label = format!("certificate=\"{name}\"}} ");
            let line = metrics.lines().find(|line| {
                line.starts_with("flume_ng_certificate_days_left{") && line.contains(&label)
            });
            let line = line.unwrap_or_else(|| panic!("none of {name}: {metrics}"));
            line.rsplit(' ').next().unwrap().parse::<i64>().expect("days")
        };
        let told = (days(&broker), days("own"));
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        told
    };
    let soon = work("ca.pem");
    let (code, row) = check(&soon);
    assert_eq!(code, Some(0));
    let told = row(&broker);
    assert!(told.contains(", by TLSv1.3 with TLS_AES_"), "{told}");
    let told = row(&of_broker);
    assert!(
        told.starts_with(
            "warn CN=broker, issued by CN=Authority, O=Example, ends in 19 days, on 20"
        ),
        "{told}"
    );
    let told = row("own certificate");
    assert!(
        told.starts_with("ok CN=agent, issued by CN=Authority, O=Example, holds for 89 days"),
        "{told}"
    );
    assert_eq!(days_left(&soon, 1), (19, 89));
    fs::copy(certificates.path("expired.p12"), certificates.path("new.tmp")).expect("a copy");
    fs::rename(certificates.path("new.tmp"), certificates.path("broker.p12")).expect("a new store");
    cluster.restart(0);
    let over = work("expired.pem");
    let (code, row) = check(&over);
    assert_eq!(code, Some(78));
    let told = row(&of_broker);
    let words = "fail CN=expired, issued by CN=Authority, O=Example, has expired on 20";
    assert!(told.starts_with(words), "{told}");
    assert_eq!(days_left(&over, 2), (-2, 89));
}
