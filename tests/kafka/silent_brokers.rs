//! A broker that takes connections and then says nothing, or half of what it should, costs the
//! source whose it is. Every other source of the agent goes on as if it were alone, and the agent
//! can be stopped. When each connection was waited for, a line of the other source took seconds.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::torture::{ARRIVE_MAX, Tally, lines};
use crate::support::{Topic, Work, shared};

const FILE: &str = "010_{H}.log";
/// One after the other, each line when the one before it has arrived.
const LINES: u64 = 30;
/// Time for all of them: far more than they need, and less than a tenth of what they took when one
/// source waited for the other's broker (4.7 s each).
const LINES_MAX: Duration = Duration::from_secs(30);

/// What the silent one says to a connection before it falls silent.
#[derive(Debug, Clone, Copy)]
enum Says {
    Nothing,
    /// The first half of an answer.
    Half,
    /// Which requests it knows, and no more.
    Versions,
}

/// A broker that is none, and how many requests it has had.
fn silent(says: Says) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its port").to_string();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = count.clone();
            std::thread::spawn(move || keep_silent(stream, says, &count));
        }
    });
    (address, asked)
}

fn keep_silent(mut stream: TcpStream, says: Says, asked: &AtomicU64) {
    let mut request = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut request) {
        asked.fetch_add(1, Ordering::Relaxed);
        // ApiVersions, version 0: Produce and Metadata.
        let answer: &[u8] = &[0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 8, 0, 3, 0, 4, 0, 5];
        let mut frame = ((answer.len() + 4) as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(&request[8..12.min(length)]);
        frame.extend_from_slice(answer);
        let said = match says {
            Says::Versions if request[5] == 18 => frame.len(),
            Says::Half => frame.len() / 2,
            Says::Versions | Says::Nothing => 0,
        };
        if stream.write_all(&frame[..said]).is_err() {
            return;
        }
    }
}

/// The source and channel of the reference, and before it another one whose broker is `address`.
fn work(topic: &Topic, address: &str) -> Work {
    let work = Work::new(topic);
    let spool = work.dir().join("other");
    std::fs::create_dir(&spool).expect("a new directory");
    let mut work = work
        .set("a1.sources", "r0 r1")
        .set("a1.channels", "c0 c1")
        .set("a1.sources.r0.spoolDir", spool.display())
        .set("a1.sources.r0.channels", "c0")
        .set("a1.channels.c0.type", "org.apache.flume.channel.kafka.KafkaChannel")
        .set("a1.channels.c0.brokerList", address)
        .set("a1.channels.c0.topic", "silent");
    for (key, value) in [
        ("type", "com.github.ningg.flume.source.SpoolDirectoryTailFileSource"),
        ("fileSuffix", ".COMPLETED"),
        ("ignorePattern", "^$"),
        ("targetPattern", r".*(\\d){4}(\\d){2}(\\d){2}(\\d){2}.*"),
        ("targetFilename", "yyyyMMddHH"),
        ("trackerDir", ".flumespooltail"),
    ] {
        work = work.set(&format!("a1.sources.r0.{key}"), value);
    }
    std::fs::write(spool.join(work.name(FILE)), lines("b", 0, 100)).expect("room on the disk");
    work
}

fn costs_no_other_source(version: &str, says: Says) {
    let (address, asked) = silent(says);
    let topic = shared(version).fresh_topic("aside", 1);
    let work = work(&topic, &address).file(FILE, &lines("a", 0, 1), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, ARRIVE_MAX);
    agent.expect("a question to the silent one", ARRIVE_MAX, || asked.load(Ordering::Relaxed) > 0);
    let begun = Instant::now();
    for number in 1..LINES {
        work.append(FILE, &lines("a", number, number + 1));
        agent.expect_records(&topic, number as usize + 1, ARRIVE_MAX);
    }
    let took = begun.elapsed();
    assert!(took < LINES_MAX, "{LINES} lines took {took:?}\n{}", agent.log());
    let (status, took) = agent.term_timed();
    assert_eq!(status.code(), Some(0), "{}", agent.log());
    assert!(took < Duration::from_secs(5), "the stop took {took:?}");
    let mut tally = Tally::new("a silent broker of another source", version);
    tally.exact(&format!("{says:?}"), &topic, &[("a", LINES)], &agent);
}

#[test]
fn that_say_nothing_cost_no_other_source() {
    costs_no_other_source("4.3.1", Says::Nothing);
}

#[test]
fn that_say_half_an_answer_cost_no_other_source() {
    costs_no_other_source("4.3.1", Says::Half);
}

#[test]
fn that_greet_and_fall_silent_cost_no_other_source() {
    costs_no_other_source("4.3.1", Says::Versions);
}

#[test]
fn that_say_nothing_cost_no_other_source_with_0_10_2_0() {
    costs_no_other_source("0.10.2.0", Says::Nothing);
}
