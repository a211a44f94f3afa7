//! From the append to a file to the arrival of the record at a reader, and the cost of idling.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Job};
use crate::data::LINE_BYTES;
use crate::machine;
use crate::rate::PARTITIONS;
use crate::stats::percentile;
use crate::support::{Brokers, Topic};
use crate::watch::Watch;

/// Stands before the time of each line; no other text holds it.
const MARK: &[u8] = b"@@t=";
const DIGITS: usize = 16;
/// What a start may take (a JVM), and what the last lines may.
const PATIENCE: Duration = Duration::from_secs(60);
/// After the start everything has its first time; idling begins when that is over.
const CALM: Duration = Duration::from_secs(2);

/// Milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Percentiles over the lines of `runs` runs of `length` each, at `rate` lines a second.
pub fn measure(
    contender: &Contender,
    brokers: &Brokers,
    rate: u64,
    length: Duration,
    runs: usize,
) -> Latency {
    let mut all = Vec::new();
    for _ in 0..runs {
        all.extend(one_run(contender, brokers, rate, length));
    }
    Latency { p50_ms: percentile(&all, 50.0), p99_ms: percentile(&all, 99.0) }
}

fn one_run(contender: &Contender, brokers: &Brokers, rate: u64, length: Duration) -> Vec<f64> {
    let job = Job::new();
    let topic = brokers.fresh_topic("latency", PARTITIONS);
    std::fs::write(job.live(), "before the clock\n").expect("a data file");
    machine::wait_for_calm_disk();
    let process = contender.start(&job, &topic);
    let mut watch = await_first(&topic, &process, contender);
    std::thread::sleep(CALM / 2);

    let epoch = Instant::now();
    let lines = rate * length.as_millis() as u64 / 1000;
    let path = job.live();
    let is_written = AtomicBool::new(false);
    let mut found: Vec<f64> = Vec::with_capacity(lines as usize);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            write_lines(&path, rate, lines, epoch);
            is_written.store(true, Ordering::Release);
        });
        let mut deadline = None;
        while (found.len() as u64) < lines {
            watch.arrivals(&mut |set| {
                let now_us = epoch.elapsed().as_micros() as f64;
                found.extend(stamps(set).map(|stamp_us| (now_us - stamp_us as f64) / 1e3));
            });
            if is_written.load(Ordering::Acquire) {
                let end = *deadline.get_or_insert(Instant::now() + PATIENCE);
                let (name, said) = (contender.name(), process.tail());
                assert!(Instant::now() < end, "{name}: {} of {lines}:\n{said}", found.len());
            }
        }
    });
    assert_eq!(found.len() as u64, lines, "{}: lines in the topic", contender.name());
    process.stop();
    watch.delete();
    found
}

/// Waits for the line that was there before, and reads past it.
fn await_first(topic: &Topic, process: &crate::process::Running, who: &Contender) -> Watch {
    let mut watch = Watch::new(topic, PARTITIONS);
    let mut has_come = false;
    while !has_come {
        watch.arrivals(&mut |_| has_come = true);
        let waited = process.started.elapsed();
        assert!(waited < PATIENCE, "{}: nothing came:\n{}", who.name(), process.tail());
    }
    watch
}

/// Each line in a write of its own, as loggers do, and stamped right before it.
fn write_lines(path: &std::path::Path, rate: u64, lines: u64, epoch: Instant) {
    let mut file = OpenOptions::new().append(true).open(path).expect("the live file");
    let start = Instant::now();
    let mut line = Vec::new();
    for n in 0..lines {
        let due = Duration::from_nanos(n * 1_000_000_000 / rate);
        while start.elapsed() < due {
            std::thread::sleep((due - start.elapsed().min(due)).max(Duration::from_micros(50)));
        }
        line.clear();
        line.extend(MARK);
        write!(line, "{:016} ", epoch.elapsed().as_micros()).expect("a Vec takes all");
        line.resize(LINE_BYTES, b'.');
        line.push(b'\n');
        file.write_all(&line).expect("room for a line");
    }
}

/// The times in a set that is not compressed, whatever its format.
fn stamps(set: &[u8]) -> impl Iterator<Item = u64> {
    memchr::memmem::find_iter(set, MARK).filter_map(|at| {
        let digits = set.get(at + MARK.len()..at + MARK.len() + DIGITS)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

/// What a process does while nothing happens.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    pub cpu_percent: f64,
    pub writes: u64,
    pub resident_mb: f64,
}

pub fn idle(contender: &Contender, brokers: &Brokers, length: Duration) -> Idle {
    let job = Job::new();
    let topic = brokers.fresh_topic("idle", PARTITIONS);
    std::fs::write(job.live(), "nothing follows\n").expect("a data file");
    let process = contender.start(&job, &topic);
    let watch = await_first(&topic, &process, contender);
    std::thread::sleep(CALM);
    let (cpu, writes, start) = (process.cpu(), process.writes(), Instant::now());
    std::thread::sleep(length);
    let spent = process.cpu() - cpu;
    let idle = Idle {
        cpu_percent: spent.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0,
        writes: process.writes() - writes,
        resident_mb: process.status("VmRSS").expect("VmRSS") as f64 / 1024.0,
    };
    process.stop();
    watch.delete();
    idle
}
