//! The log behind a channel is another one than before, and nothing says so: another cluster at the
//! old address, a topic that was deleted and made anew, a topic whose format was raised. The agent
//! is idle meanwhile, and is killed with its next batch in doubt.
//!
//! *Another cluster.* Producer ids begin at 0 on each, so that the id of the agent is that of
//! somebody else there: a batch that goes out under it can be taken for one of theirs, and dropped.
//! *A topic made anew.* The next batch lands in front of where the agent would look for it.

use std::time::Duration;

use crate::support::proxy::{Cut, Proxy};
use crate::support::torture::{ARRIVE_MAX, Group, Tally, difference, lines};
use crate::support::{Agent, Brokers, Cluster, Plan, Topic, Work, eventually, topic};

const FILE: &str = "010_{H}.log";
const NAME: &str = "same-name";

/// One broker, which tells its clients the address of the proxy.
fn behind(proxy: &Proxy, plan: Plan) -> Cluster {
    let address = format!("PLAINTEXT://{}", proxy.address());
    // Nobody but the test makes a topic by asking for it.
    let cluster = plan.set("advertised.listeners", address).set("auto.create.topics.enable", false);
    cluster.start_when_prepared(|bootstrap| proxy.aim(bootstrap))
}

fn work(topic: &Topic) -> Work {
    Work::new(topic).set("a1.channels.c1.kafka.request.timeout.ms", 1_000)
}

/// The next batch arrives, its answer is lost, and the agent is killed and started again.
fn lose_an_answer_and_kill(proxy: &Proxy, work: &Work, mut agent: Agent, more: &[u8]) -> Agent {
    proxy.arm(Cut::Answer, 1);
    work.append(FILE, more);
    agent.expect("an answer that is lost", ARRIVE_MAX, || proxy.has_struck());
    agent.kill9();
    work.start()
}

fn another_cluster(version: &str) {
    let mut tally =
        Tally::row(Group::Log, "another cluster at the old address, the agent idle", version);
    let proxy = Proxy::new();
    let first = behind(&proxy, Cluster::with(version));
    let brokers = Brokers::at(&proxy.address());
    let work = work(&brokers.create_topic(NAME, 1)).file(FILE, &lines("a", 0, 100), 0);
    let topic = brokers.topic(NAME);
    let mut agent = work.start();
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    agent.expect("a commit", ARRIVE_MAX, || work.is_committed());
    // Its connection ends with the cluster.
    drop(first);
    let second = behind(&proxy, Cluster::with(version));
    let topic = brokers.create_topic(NAME, 1);
    // Somebody else writes there what has the identities of the agent's next batches.
    let others = Work::new(&second.topic(NAME)).file(FILE, &lines("b", 0, 100), 0);
    let mut other = others.start();
    other.expect_records(&topic, 100, ARRIVE_MAX);
    others.append(FILE, &lines("b", 100, 110));
    other.expect_records(&topic, 110, ARRIVE_MAX);
    assert_eq!(other.term().code(), Some(0), "{}", other.log());

    work.append(FILE, &lines("c", 0, 10));
    agent.expect_records(&topic, 120, ARRIVE_MAX);
    let mut agent = lose_an_answer_and_kill(&proxy, &work, agent, &lines("d", 0, 2_000));
    agent.expect_records(&topic, 2_120, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let expected = [("b", 110), ("c", 10), ("d", 2_000)];
    tally.exact("another cluster", &topic, &expected, &agent);
}

#[test]
fn another_cluster_at_the_old_address_0_10_2_0() {
    another_cluster("0.10.2.0");
}

#[test]
fn another_cluster_at_the_old_address_4_3_1() {
    another_cluster("4.3.1");
}

/// `is_forgotten`: until the agent is started again, the brokers forget its producer id.
fn made_anew(version: &str, is_forgotten: bool) {
    let mut tally = Tally::row(Group::Log, "topic deleted and made anew, the agent idle", version);
    let proxy = Proxy::new();
    let plan = Cluster::with(version).set("delete.topic.enable", true);
    let plan = match is_forgotten {
        true => plan
            .set("producer.id.expiration.ms", 3_000)
            .set("producer.id.expiration.check.interval.ms", 200),
        false => plan,
    };
    let _cluster = behind(&proxy, plan);
    let brokers = Brokers::at(&proxy.address());
    let topic = brokers.create_topic(NAME, 1);
    let work = work(&topic).file(FILE, &lines("a", 0, 1_000), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 1_000, ARRIVE_MAX);
    agent.expect("a commit", ARRIVE_MAX, || work.is_committed());
    topic::make_anew(topic.bootstrap(), NAME, 1);
    assert_eq!(topic.count(), 0);

    // More than stood there before: the end does not tell that it is another log.
    let more = lines("c", 0, 2_000);
    proxy.arm(Cut::Answer, 1);
    work.append(FILE, &more);
    agent.expect("an answer that is lost", ARRIVE_MAX, || proxy.has_struck());
    agent.kill9();
    eventually("the batch arrives all the same", ARRIVE_MAX, || match topic.count() {
        0 => Err("not yet".to_string()),
        _ => Ok(()),
    });
    if is_forgotten {
        std::thread::sleep(Duration::from_secs(6));
    }
    work.append(FILE, &lines("d", 0, 500));
    let mut agent = work.start();
    agent.expect_records(&topic, 2_500, ARRIVE_MAX);
    let expected = [("c", 2_000), ("d", 500)];
    let found = difference(&topic, &expected);
    assert!(found.is_none(), "{found:?}\n{}", agent.log());
    tally.add(1, 2_500);
    // And once more, with the agent alive, once it has committed.
    agent.expect("a commit", ARRIVE_MAX, || work.is_committed());
    topic::make_anew(topic.bootstrap(), NAME, 1);
    work.append(FILE, &lines("e", 0, 500));
    agent.expect_records(&topic, 500, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    tally.exact("made anew", &topic, &[("e", 500)], &agent);
}

#[test]
fn a_topic_made_anew_while_idle_0_10_2_0() {
    made_anew("0.10.2.0", false);
}

#[test]
fn a_topic_made_anew_while_idle_4_3_1() {
    made_anew("4.3.1", true);
}

/// Of the first cluster's batches one answer is lost, and its address leads to a second one, which is there but takes
/// nothing, for as long as it takes the agent to move there; once the agent is killed there, too.
fn a_moment_at_another_cluster(version: &str) {
    let what = "another cluster at the address for a moment, batches in doubt";
    let mut tally = Tally::row(Group::Log, what, version);
    let proxy = Proxy::new();
    let linked = || {
        let plan = Cluster::with(version).set("auto.create.topics.enable", false);
        plan.listener("LINK:PLAINTEXT").advertised("LINK", &proxy.address()).start()
    };
    let (first, second) = (linked(), linked());
    let topic = first.create_topic(NAME, 1);
    second.create_topic_with(NAME, 1, 1, &[("cleanup.policy", "compact")]);
    proxy.aim(&first.listener("LINK"));
    let work = work(&Brokers::at(&proxy.address()).topic(NAME)).file(FILE, &lines("a", 0, 100), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 100, ARRIVE_MAX);
    for (times, (is_killed, name)) in (1..).zip([(false, "b"), (true, "c")]) {
        agent.expect("a commit", ARRIVE_MAX, || work.is_committed());
        // The connection that there is stays where it is.
        proxy.aim(&second.listener("LINK"));
        proxy.arm(Cut::Answer, 1);
        work.append(FILE, &lines(name, 0, 2_000));
        agent.expect("an answer that is lost", ARRIVE_MAX, || proxy.has_struck());
        told(&agent, times, "is not the one for which the checkpoint was written");
        if is_killed {
            agent.kill9();
            agent = work.start();
        }
        proxy.aim(&first.listener("LINK"));
        told(&agent, 1, "answers again, in which ");
        agent.expect_records(&topic, 100 + times * 2_000, ARRIVE_MAX);
    }
    work.append(FILE, &lines("d", 0, 10));
    agent.expect_records(&topic, 4_110, ARRIVE_MAX);
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let expected = [("a", 100), ("b", 2_000), ("c", 2_000), ("d", 10)];
    tally.exact("a moment at another cluster", &topic, &expected, &agent);
}

fn told(agent: &Agent, times: usize, what: &str) {
    eventually(what, ARRIVE_MAX, || match agent.log().matches(what).count() >= times {
        true => Ok(()),
        false => Err(agent.log()),
    });
}

#[test]
fn a_moment_at_another_cluster_0_10_2_0() {
    a_moment_at_another_cluster("0.10.2.0");
}

#[test]
fn a_moment_at_another_cluster_4_3_1() {
    a_moment_at_another_cluster("4.3.1");
}
