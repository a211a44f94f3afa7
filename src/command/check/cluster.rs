//! What stands in the network: brokers host by host, the cluster, the topic, our rights.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::{FOR_GOOD, FOR_NOW, Report};
use crate::channel::admin::{
    self, Admin, MAY_DESCRIBE, MAY_READ, MAY_WRITE, PartitionView, Resource, TopicView, View,
};
use crate::channel::broker::Fault;
use crate::channel::client::Client;
use crate::channel::greet::{Spoken, greet};
use crate::channel::limit::BATCH_BYTES_MAX;
use crate::channel::protocol::{self, Versions};
use crate::channel::standing::DAYS_LEFT_MIN;
use crate::channel::tls::Summary;
use crate::channel::wire::{Connection, pause, reason};
use crate::config::inventory::Listed;
use crate::config::model::{Destination, SourceConfig};
use crate::text::{State, counted, size};

/// How long one broker has for everything that it is asked.
const BROKER_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a topic that was made may take to have its leaders.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(15);
const TOPIC_PAUSE: Duration = Duration::from_millis(100);
const ZOOKEEPER_TIMEOUT: Duration = Duration::from_secs(2);
/// What a record needs beside its line: headers, lengths, the batch around it.
const EVENT_OVERHEAD_BYTES: u64 = 1024;
/// UTF-8 needs three bytes for a UTF-16 unit at most.
const UNIT_BYTES_MAX: u64 = 3;

/// A broker that answers.
struct Peer {
    connection: Connection,
    versions: Versions,
}

impl Peer {
    fn admin<'a>(&'a mut self, client: &'a str) -> Admin<'a> {
        let deadline = Instant::now() + BROKER_TIMEOUT;
        Admin { connection: &mut self.connection, versions: &self.versions, client, deadline }
    }
}

pub(super) fn check(
    report: &mut Report,
    channel: &Destination,
    writers: &[&SourceConfig],
    create: Option<(i32, i16)>,
) {
    let client = &Client::of(channel);
    let Some(mut peer) = brokers(report, channel, client) else { return };
    own_certificate(report, client);
    login(report, channel);
    if channel.is_on_demand() {
        let text = format!("{}: made of events, each is opened when one names it", channel.topic);
        return report.add("topic", State::Info, text);
    }
    let mut view = match peer.admin(&channel.client_id).view(&channel.topic) {
        Ok(view) => view,
        Err(fault) => return report.add("cluster", FOR_NOW, fault.to_string()),
    };
    let id = view.cluster_id.clone().unwrap_or_else(|| "not reported by this broker".to_string());
    let text = format!(
        "id {id}, {}, controller {}",
        counted(view.brokers.len() as u64, "broker"),
        view.controller
    );
    report.add("cluster", State::Ok, text);
    advertised(report, channel, client, &view);
    if let Some(wanted) = create {
        create_topic(report, channel, &mut peer, &mut view, wanted);
    }
    match &view.topic {
        None => missing_topic(report, channel, &view, &peer.versions),
        Some(topic) if protocol::denial(topic.error).is_some() => {
            let who = Client::of(channel).principal();
            let text = format!(
                "Describe, Write and Read on topic {} are needed, and not even the first is granted to \
                 {who}: grant them by kafka-acls --add",
                channel.topic
            );
            report.add("rights", FOR_NOW, text);
        }
        Some(topic) => {
            let min_in_sync = limits(report, channel, &mut peer, writers);
            partitions(report, channel, &view, topic, min_in_sync);
            rights(report, channel, topic, &mut peer);
        }
    }
}

fn shape(topic: &str, partitions: usize, replicas: usize) -> String {
    let replicas = match replicas {
        1 => "1 replica".to_string(),
        n => format!("{n} replicas"),
    };
    format!("{topic}: {}, {replicas} of each", counted(partitions as u64, "partition"))
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// Every broker of the list, one by one. The first that answers.
fn brokers(report: &mut Report, channel: &Destination, client: &Client) -> Option<Peer> {
    let (mut found, mut old, mut rows) = (None, false, Vec::new());
    for broker in &channel.brokers {
        let since = Instant::now();
        match greet(broker, &channel.topic, client, since + BROKER_TIMEOUT) {
            Ok((connection, spoken)) => {
                let text = format!("Kafka {}{}", admin::release(&spoken), spoken_by(&connection));
                rows.push((broker, Ok((text, connection.tls())), ms(since)));
                match spoken {
                    Spoken::Versions(versions) => {
                        found.get_or_insert(Peer { connection, versions });
                    }
                    Spoken::Elder(_) => old = true,
                }
            }
            Err(fault) => rows.push((broker, Err(fault), ms(since))),
        }
    }
    let fault_state = if found.is_some() || old { State::Warn } else { FOR_NOW };
    // In the order of the list: whether one that is down matters is known only at its end.
    for (broker, answer, ms) in rows {
        match answer {
            Ok((text, tls)) => {
                report.timed(broker, State::Ok, text, ms);
                if let Some(certificate) = tls.and_then(|tls| tls.certificate) {
                    judge_certificate(report, &format!("certificate of {broker}"), &certificate);
                }
            }
            Err(fault) => {
                // Asked once more: a fault says why, and not of what kind the reason is.
                let is_known = broker.to_socket_addrs().is_ok();
                report.timed(broker, fault_state, with_way_out(&fault, is_known), ms);
            }
        }
    }
    if found.is_none() && old {
        report.add("cluster", State::Info, "not reported by brokers before 0.10");
    }
    found
}

/// A broker's fault, and what to look at first. `is_known`: its name has an address here.
fn with_way_out(fault: &Fault, is_known: bool) -> String {
    if !is_known {
        return "this name is not known here; correct it, or make it known in DNS or /etc/hosts"
            .to_string();
    }
    match fault {
        // These say by themselves what is to be done, and a broker that says so runs.
        Fault::Distrusted(_)
        | Fault::Incompatible(_)
        | Fault::NoDescriptor(_)
        | Fault::Unauthorised(_)
        | Fault::NotReady(_)
        | Fault::Stopped => fault.to_string(),
        Fault::LoginRefused(_) => {
            format!("{fault}; correct the user, the password or sasl.mechanism")
        }
        Fault::Unreachable(_) | Fault::Lost(_) | Fault::Overdue(_) | Fault::Idle(_) => {
            format!("{fault}; is it running, and is the list of brokers right?")
        }
    }
}

/// How it is encrypted.
fn spoken_by(connection: &Connection) -> String {
    match connection.tls() {
        Some(tls) => format!(", by {} with {}", tls.version, tls.cipher),
        None => String::new(),
    }
}

/// Whose a certificate is, and how long it holds. One that is over may be taken all the same: where
/// the trust store holds it itself, or where it is our own.
fn judge_certificate(report: &mut Report, name: &str, certificate: &Summary) {
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as i64);
    let days = certificate.days_left(now);
    let Summary { subject, issuer, .. } = certificate;
    let end = certificate.end();
    let whose = format!("{subject}, issued by {issuer}");
    let (state, text) = match days {
        ..0 => (FOR_GOOD, format!("{whose}, has expired on {end}; renew it")),
        0..DAYS_LEFT_MIN => {
            let left = counted(days as u64, "day");
            (State::Warn, format!("{whose}, ends in {left}, on {end}; renew it before that"))
        }
        _ => {
            let left = counted(days as u64, "day");
            (State::Ok, format!("{whose}, holds for {left}, until {end}"))
        }
    };
    report.add(name, state, text);
}

/// The one that we show to brokers.
fn own_certificate(report: &mut Report, client: &Client) {
    if let Some(certificate) = client.own_certificate() {
        judge_certificate(report, "own certificate", &certificate);
    }
}

/// Brokers tell under which addresses they want to be spoken to; those need not be reachable from
/// here just because the list is.
fn advertised(report: &mut Report, channel: &Destination, client: &Client, view: &View) {
    let leads = |id: i32| {
        let partitions = view.topic.iter().flat_map(|t| &t.partitions);
        partitions.filter(|p| p.leader == id).count()
    };
    for (id, address) in view.brokers.iter().filter(|(_, a)| !channel.brokers.contains(a)) {
        let since = Instant::now();
        let name = format!("{address} (broker {id})");
        match greet(address, &channel.topic, client, since + BROKER_TIMEOUT) {
            Ok((_, spoken)) => {
                let text = format!("reported by the cluster; Kafka {}", admin::release(&spoken));
                report.timed(&name, State::Ok, text, ms(since));
            }
            Err(fault) => {
                let led = leads(*id);
                let state = if led > 0 { FOR_NOW } else { State::Warn };
                let text = format!(
                    "reported by the cluster, leads {}: {fault}",
                    counted(led as u64, "partition")
                );
                report.timed(&name, state, text, ms(since));
            }
        }
    }
}

fn controller(channel: &Destination, view: &View) -> Result<Peer, Fault> {
    let address = view.brokers.iter().find(|(id, _)| *id == view.controller);
    let Some((_, address)) = address else {
        return Err(Fault::NotReady("the cluster has no controller".to_string()));
    };
    let deadline = Instant::now() + BROKER_TIMEOUT;
    match greet(address, &channel.topic, &Client::of(channel), deadline)? {
        (connection, Spoken::Versions(versions)) => Ok(Peer { connection, versions }),
        (_, Spoken::Elder(_)) => Err(Fault::NotReady(format!("{address} is older than 0.10"))),
    }
}

fn create_topic(
    report: &mut Report,
    channel: &Destination,
    peer: &mut Peer,
    view: &mut View,
    (partitions, replication): (i32, i16),
) {
    let name = "make topic";
    if view.topic.is_some() {
        let text = format!("{} exists already and is left as it is", channel.topic);
        return report.add(name, State::Info, text);
    }
    let made = controller(channel, view).and_then(|mut controller| {
        controller.admin(&channel.client_id).create_topic(&channel.topic, partitions, replication)
    });
    if let Err(fault) = made {
        return report.add(name, FOR_GOOD, fault.to_string());
    }
    let deadline = Instant::now() + TOPIC_TIMEOUT;
    let is_whole = |topic: &TopicView| {
        topic.partitions.len() == partitions as usize
            && topic.partitions.iter().all(|p| p.leader >= 0)
    };
    while Instant::now() < deadline && !view.topic.as_ref().is_some_and(is_whole) {
        match peer.admin(&channel.client_id).view(&channel.topic) {
            Ok(now) => *view = now,
            Err(fault) => return report.add(name, FOR_NOW, fault.to_string()),
        }
        if pause(TOPIC_PAUSE).is_err() {
            break;
        }
    }
    let text = shape(&channel.topic, partitions as usize, replication as usize);
    report.add(name, State::Ok, text);
}

fn missing_topic(report: &mut Report, channel: &Destination, view: &View, versions: &Versions) {
    let names = ["auto.create.topics.enable", "num.partitions", "default.replication.factor"];
    let told = controller(channel, view).and_then(|mut controller| {
        controller.admin(&channel.client_id).configs(Resource::Broker(view.controller), &names)
    });
    let told = told.ok().flatten().unwrap_or_default();
    let value = |name: &str| told.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let topic = &channel.topic;
    let replicas = view.brokers.len().clamp(1, 3);
    let way_out = format!("to create it now, give --create-topic 3:{replicas}");
    let (state, text) = match value(names[0]) {
        Some("true") => {
            let shown = |name: &str| format!("{name} = {}", value(name).unwrap_or("?"));
            let (count, factor) = (shown(names[1]), shown(names[2]));
            let text = format!(
                "{topic} does not exist; the brokers create it when it is first asked for \
                 ({count}, \
                 {factor}); {way_out}"
            );
            (State::Warn, text)
        }
        Some(_) => {
            let text = format!(
                "{topic} does not exist, and the brokers do not create it; \
                                {way_out}"
            );
            (FOR_NOW, text)
        }
        // Those before 0.11 tell nothing of their settings, and a broker makes topics unless it is told
        // not to.
        None => {
            let text = format!(
                "{topic} does not exist; the brokers create it when it is first asked for, \
                 unless their \
                 {} is false, which this one does not report; {way_out}",
                names[0]
            );
            (State::Warn, text)
        }
    };
    report.add("topic", state, text);
    // The first to tell such a topic from none spoke Metadata v5.
    if channel.security.login.is_some() && versions.highest(protocol::METADATA) < 5 {
        let who = Client::of(channel).principal();
        let text = format!(
            "brokers before 1.0 say the same of a topic that {who} may not read, write or describe"
        );
        report.add("rights", State::Info, text);
    }
}

fn partitions(
    report: &mut Report,
    channel: &Destination,
    view: &View,
    topic: &TopicView,
    min_in_sync: Option<usize>,
) {
    if topic.error != 0 {
        let text = format!("{}: error {}", channel.topic, topic.error);
        return report.add("topic", FOR_NOW, text);
    }
    let count = topic.partitions.len();
    let replicas = topic.partitions.iter().map(|p| p.replicas).min().unwrap_or(0);
    let text = shape(&channel.topic, count, replicas);
    let is_thin = replicas == 1 && view.brokers.len() > 1;
    let (state, text) = match is_thin {
        true => (State::Warn, format!("{text}: what a lost broker had is lost")),
        false => (State::Ok, text),
    };
    report.add("topic", state, text);
    if let Some(fixed) = channel.default_partition
        && !topic.partitions.iter().any(|p| p.partition == fixed)
    {
        let text = format!("defaultPartitionId {fixed} is no partition of {}", channel.topic);
        report.add("partition", FOR_GOOD, text);
    }
    let list = |which: &dyn Fn(&PartitionView) -> bool| {
        let numbers = topic.partitions.iter().filter(|p| which(p));
        numbers.map(|p| p.partition.to_string()).collect::<Vec<_>>().join(", ")
    };
    let headless = list(&|p| p.leader < 0);
    match headless.is_empty() {
        true => report.add("leaders", State::Ok, "every partition has one"),
        false => report.add("leaders", FOR_NOW, format!("none for partition {headless}")),
    }
    let needed = min_in_sync.unwrap_or(1);
    let short = list(&|p| p.in_sync < needed);
    let thin = list(&|p| p.in_sync < p.replicas);
    if !short.is_empty() {
        let text = format!(
            "partition {short}: fewer in sync than min.insync.replicas ({needed}): nothing is \
             accepted there"
        );
        report.add("replicas in sync", FOR_NOW, text);
    } else if !thin.is_empty() {
        report.add(
            "replicas in sync",
            State::Warn,
            format!("partition {thin}: a replica is behind, or its broker is down"),
        );
    } else {
        report.add("replicas in sync", State::Ok, "all");
    }
}

/// Sizes that the topic takes against those that we send. Returns `min.insync.replicas`.
fn limits(
    report: &mut Report,
    channel: &Destination,
    peer: &mut Peer,
    writers: &[&SourceConfig],
) -> Option<usize> {
    let name = "record sizes";
    let names = ["max.message.bytes", "min.insync.replicas", "cleanup.policy"];
    let told = peer.admin(&channel.client_id).configs(Resource::Topic(&channel.topic), &names);
    let told = match told {
        Ok(Some(told)) => told,
        Ok(None) => {
            let text = "max.message.bytes, min.insync.replicas and cleanup.policy: not reported \
                        by this broker (before 0.11)";
            report.add(name, State::Info, text);
            return None;
        }
        Err(fault) => {
            report.add(name, State::Info, format!("not reported by this broker: {fault}"));
            return None;
        }
    };
    let value = |name: &str| -> Option<u64> {
        told.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.parse().ok())
    };
    if let Some(limit) = value(names[0]) {
        let units = writers.iter().map(|s| s.max_line_units as u64).max().unwrap_or(0);
        let (state, text) = judge_limit(limit, units);
        report.add(name, state, text);
    }
    let policy = told.iter().find(|(n, _)| n == names[2]).map_or("", |(_, v)| v.as_str());
    if policy.split(',').any(|p| p.trim() == "compact") {
        let text = format!(
            "{policy}: a compacted topic takes no records without key, and ours have none; set \
             cleanup.policy=delete, or choose another topic"
        );
        report.add("cleanup.policy", FOR_GOOD, text);
    }
    value(names[1]).map(|n| n as usize)
}

fn judge_limit(limit: u64, units: u64) -> (State, String) {
    // Of a source whose lines may be as long as they like.
    if units == usize::MAX as u64 {
        let text = format!(
            "max.message.bytes is {}: a longer line goes to the dead-letter file",
            size(limit)
        );
        return (State::Info, text);
    }
    let largest = units.saturating_mul(UNIT_BYTES_MAX).saturating_add(EVENT_OVERHEAD_BYTES);
    let taken = format!("max.message.bytes is {}", size(limit));
    if largest > limit {
        let text = format!(
            "{taken}, a line of maxLineLength {units} can need {}: such lines would go to the \
             dead-letter file",
            size(largest)
        );
        return (State::Warn, text);
    }
    if limit < BATCH_BYTES_MAX as u64 + largest {
        let text = format!(
            "{taken}, batches have up to {}: they will be refused and halved at first",
            size(BATCH_BYTES_MAX as u64)
        );
        return (State::Warn, text);
    }
    (State::Ok, format!("{taken}, the longest line needs {} at most", size(largest)))
}

fn rights(report: &mut Report, channel: &Destination, topic: &TopicView, peer: &mut Peer) {
    let who = Client::of(channel).principal();
    // From 2.8 on it comes with Write on a topic; before that it is a right of its own.
    let may_number = peer.admin(&channel.client_id).may_number();
    let is_numbering_denied = matches!(may_number, Ok(Some(false)));
    let Some(rights) = topic.rights else {
        let text = "not reported by this broker (before 2.3)";
        report.add("rights", State::Info, text);
        if is_numbering_denied {
            let text = format!("IdempotentWrite on the cluster is missing for {who}");
            report.add("rights", FOR_NOW, text);
        }
        return;
    };
    let needed = [("Describe", MAY_DESCRIBE), ("Write", MAY_WRITE), ("Read", MAY_READ)];
    let missing: Vec<&str> =
        needed.iter().filter(|(_, bit)| rights & bit == 0).map(|(name, _)| *name).collect();
    let mut text = match missing.is_empty() {
        true => String::new(),
        false => format!("{} on topic {}", missing.join(" and "), channel.topic),
    };
    if is_numbering_denied && rights & MAY_WRITE != 0 {
        text += if text.is_empty() { "" } else { ", and " };
        text += "IdempotentWrite on the cluster";
    }
    if text.is_empty() {
        return report.add("rights", State::Ok, "Describe, Write and Read are granted");
    }
    report.add(
        "rights",
        FOR_NOW,
        format!("missing for {who}: {text}; grant it by kafka-acls --add"),
    );
}

/// The user that we have logged in as.
fn login(report: &mut Report, channel: &Destination) {
    let Some(login) = &channel.security.login else { return };
    let who = login.principal().unwrap_or("the user that the brokers take this agent for");
    report.add("login", State::Ok, format!("{} as {who}", login.mechanism()));
}

/// Asks the ZooKeeper of the configuration how it is. It is not needed, so it is only told.
pub(super) fn zookeeper(report: &mut Report, properties: &[Listed], agent: &str, channel: &str) {
    let key = format!("{agent}.channels.{channel}.zookeeperConnect");
    let Some(listed) = properties.iter().find(|p| p.key == key) else { return };
    // A path behind the last host is the root of Kafka's nodes.
    let hosts = listed.value.split('/').next().unwrap_or_default();
    for host in hosts.split(',').map(str::trim).filter(|h| !h.is_empty()) {
        let since = Instant::now();
        let text = match ask_zookeeper(host) {
            Ok(answer) if answer == "imok" => "imok (not needed)".to_string(),
            Ok(_) => "answers, but not to ruok (not needed)".to_string(),
            Err(e) => format!("{} (not needed)", reason(&e)),
        };
        report.timed(&format!("ZooKeeper {host}"), State::Info, text, ms(since));
    }
}

fn ask_zookeeper(host: &str) -> std::io::Result<String> {
    let host = if host.contains(':') { host.to_string() } else { format!("{host}:2181") };
    let Some(address) = host.to_socket_addrs()?.next() else {
        return Err(std::io::ErrorKind::NotFound.into());
    };
    let mut stream = TcpStream::connect_timeout(&address, ZOOKEEPER_TIMEOUT)?;
    stream.set_read_timeout(Some(ZOOKEEPER_TIMEOUT))?;
    stream.write_all(b"ruok")?;
    let mut answer = String::new();
    stream.take(64).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_is_no_broker_that_is_down() {
        let fault = Fault::Unreachable("Connection refused".to_string());
        let text = with_way_out(&fault, false);
        assert!(text.starts_with("this name is not known here; correct it"), "{text}");
        let text = with_way_out(&fault, true);
        assert!(text.starts_with("Connection refused; is it running"), "{text}");
        let fault = Fault::Distrusted("its certificate is over; renew it".to_string());
        assert_eq!(with_way_out(&fault, true), "its certificate is over; renew it");
    }

    #[test]
    fn a_broker_that_refuses_a_login_is_not_asked_whether_it_runs() {
        let text = with_way_out(&Fault::LoginRefused("no login as alice".to_string()), true);
        assert_eq!(text, "no login as alice; correct the user, the password or sasl.mechanism");
    }

    #[test]
    fn sizes_are_judged() {
        assert_eq!(judge_limit(1_048_588, 2048).0, State::Ok);
        let (state, text) = judge_limit(1_048_588, 1_000_000);
        assert_eq!(state, State::Warn);
        assert!(text.contains("dead-letter"), "{text}");
        let (state, text) = judge_limit(100_000, 2048);
        assert_eq!(state, State::Warn);
        assert!(text.contains("halved"), "{text}");
    }
}
