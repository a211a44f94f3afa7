//! For as long as one likes: `make soak MINUTES=60`. Files roll over every minute under load, with a
//! writer that keeps the old one for a while; the agent is killed, stopped and started again;
//! memory and descriptors are recorded; at the end each line is looked for in the topic, and a
//! report is printed.

#[path = "../support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Hour, Work, decode_event, shared, wait_for};

const LINES_A_SECOND: u64 = 20_000;
const TICK: Duration = Duration::from_millis(10);
/// So long after a roll-over one tick in ten still goes to the old file.
const LINGER: Duration = Duration::from_secs(4);
/// Between two ends of the agent, s: one of these after the other.
const LIVES_S: [u64; 5] = [37, 12, 61, 5, 23];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Writes numbered lines until it is told to stop; the next number is in `next`.
fn write_lines(work: &Work, next: &AtomicU64, stop: &AtomicBool) {
    let open = |name: &str| -> File {
        let file = OpenOptions::new().append(true).create(true).open(work.spool().join(name));
        file.expect("a file to write to")
    };
    let present = || Hour::present("%Y%m%d%H%M").name("010_{H}.log");
    let mut name = present();
    let mut file = open(&name);
    let mut old: Option<(File, Instant)> = None;
    let start = Instant::now();
    let mut ticks = 0u32;
    while !stop.load(Ordering::Relaxed) {
        let now = present();
        if now != name {
            name = now;
            old = Some((std::mem::replace(&mut file, open(&name)), Instant::now()));
        }
        old = old.filter(|(_, since)| since.elapsed() < LINGER);
        let mut text = String::new();
        for _ in 0..LINES_A_SECOND * TICK.as_millis() as u64 / 1000 {
            let n = next.fetch_add(1, Ordering::Relaxed);
            text.push_str(&format!("{n} GET /some/path/of/a/request HTTP/1.1 200 中文 agent\n"));
        }
        let to = match &mut old {
            Some((old, _)) if ticks.is_multiple_of(10) => old,
            _ => &mut file,
        };
        to.write_all(text.as_bytes()).expect("room for the logs");
        ticks += 1;
        std::thread::sleep((TICK * ticks).saturating_sub(start.elapsed()));
    }
}

#[derive(Default)]
struct Extremes {
    memory_kb: u64,
    descriptors: usize,
    behind: u64,
}

impl Extremes {
    fn look(&mut self, pid: u32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let memory = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let memory = memory.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok());
        self.memory_kb = self.memory_kb.max(memory.unwrap_or(0));
        let open = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.descriptors = self.descriptors.max(open);
    }
}

#[test]
#[ignore = "make soak MINUTES=..."]
fn soak() {
    let minutes = number("FLUME_NG_SOAK_MINUTES", 10);
    let topic = shared("0.10.2.0").fresh_topic("soak", 3);
    let work = Work::new(&topic)
        .set("a1.sources.r1.targetFilename", "yyyyMMddHHmm")
        .set("a1.sources.r1.targetPattern", ".*(\\\\d){12}.*")
        .set("a1.sources.r1.retireGraceMs", 10_000);
    let work = Arc::new(work);
    let (next, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (work, next, stop) = (work.clone(), next.clone(), stop.clone());
        std::thread::spawn(move || write_lines(&work, &next, &stop))
    };
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut lives: VecDeque<u64> = LIVES_S.into();
    let (mut kills, mut stops) = (0, 0);
    let mut extremes = Extremes::default();
    let mut agent = work.start();
    while Instant::now() < end {
        let life = lives.pop_front().expect("lives");
        lives.push_back(life);
        let over = Instant::now() + Duration::from_secs(life);
        while Instant::now() < over.min(end) {
            std::thread::sleep(Duration::from_millis(500));
            assert!(agent.is_running(), "the agent ended by itself:\n{}", agent.log());
            extremes.look(agent.pid());
            let behind = next.load(Ordering::Relaxed).saturating_sub(topic.count() as u64);
            extremes.behind = extremes.behind.max(behind);
        }
        if kills <= stops {
            agent.kill9();
            kills += 1;
        } else {
            agent.term();
            stops += 1;
        }
        agent = work.start();
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().expect("the writer");
    let wanted = next.load(Ordering::Relaxed);
    let drained = Instant::now();
    let all = wait_for(Duration::from_secs(300), || topic.count() as u64 >= wanted);
    let took = drained.elapsed();
    extremes.look(agent.pid());
    let status = agent.term();
    let mut seen = vec![0u8; wanted as usize];
    let mut strangers = 0u64;
    for partition in 0..topic.partitions() as i32 {
        topic.for_each(partition, |record| {
            let event = decode_event(record.value.as_deref().expect("a value"));
            let digits = event.body.split(|b| *b == b' ').next().expect("a word");
            let number: Option<usize> =
                std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
            match number.and_then(|n| seen.get_mut(n)) {
                Some(count) => *count = count.saturating_add(1),
                None => strangers += 1,
            }
        });
    }
    let lost = seen.iter().filter(|n| **n == 0).count();
    let repeated = seen.iter().filter(|n| **n > 1).count();
    let files = fs::read_dir(work.spool()).expect("the spool directory").count() - 1;
    println!(
        "soak: {minutes} minutes, {wanted} lines in {files} files, {kills} kills, {stops} stops"
    );
    println!("      lost {lost}, repeated {repeated}, torn or strange {strangers}");
    println!(
        "      memory at most {} kB, descriptors at most {}",
        extremes.memory_kb, extremes.descriptors
    );
    println!(
        "      at most {} lines behind; {took:?} to the last line after the end",
        extremes.behind
    );
    assert!(all && lost == 0 && repeated == 0 && strangers == 0, "see the report");
    assert_eq!(status.code(), Some(0));
}
