//! Lines per second, CPU time, memory, and the time to the first record.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Job};
use crate::machine;
use crate::stats::median;
use crate::support::{Brokers, Topic};
use crate::watch::Watch;

pub const PARTITIONS: i32 = 3;
/// Longest time in which nothing arrives before a run counts as failed.
const STALL_MAX: Duration = Duration::from_secs(60);
/// The same once the process has ended.
const END_MAX: Duration = Duration::from_secs(5);
/// Between two looks at the topic during a run, and while the first record is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(3);
const LOOK_INTERVAL_FIRST: Duration = Duration::from_micros(200);

/// One run, or the medians of several.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub lines_per_s: f64,
    pub cpu_us_per_line: f64,
    pub peak_mb: f64,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { lines_per_s, cpu_us_per_line, peak_mb } = self;
        write!(f, "{lines_per_s:.0} lines/s, {cpu_us_per_line:.3} us/line, {peak_mb:.1} MB")
    }
}

impl Rate {
    pub fn medians(runs: &[Rate]) -> Rate {
        let of = |field: fn(&Rate) -> f64| median(&runs.iter().map(field).collect::<Vec<_>>());
        Rate {
            lines_per_s: of(|r| r.lines_per_s),
            cpu_us_per_line: of(|r| r.cpu_us_per_line),
            peak_mb: of(|r| r.peak_mb),
        }
    }
}

/// From the start of the process until the topic holds all `lines` of the job's files.
pub fn measure(contender: &Contender, job: &Job, brokers: &Brokers, lines: u64) -> Rate {
    measure_all(contender, job, &[brokers.fresh_topic("bench", job.partitions)], lines)
}

/// The same where lines go to several topics; the first is told to the contender.
pub fn measure_all(contender: &Contender, job: &Job, topics: &[Topic], lines: u64) -> Rate {
    let mut watches: Vec<Watch> = topics.iter().map(|t| Watch::new(t, job.partitions)).collect();
    let mut count = || watches.iter_mut().map(Watch::count).sum::<u64>();
    machine::wait_for_calm_disk();
    let mut process = contender.start(job, &topics[0]);
    let (mut seen, mut moved) = (0, Instant::now());
    let took = loop {
        let count = count();
        if count >= lines {
            break process.started.elapsed();
        }
        if count > seen {
            (seen, moved) = (count, Instant::now());
        }
        // kcat ends by itself, a moment before its last lines can be seen.
        let patience = if process.look() { END_MAX } else { STALL_MAX };
        assert!(
            moved.elapsed() < patience,
            "{}: {seen} of {lines} lines arrived, then no more:\n{}",
            contender.name(),
            process.tail()
        );
        std::thread::sleep(LOOK_INTERVAL);
    };
    let usage = process.stop();
    let count = count();
    assert_eq!(count, lines, "{}: records in the topic", contender.name());
    watches.into_iter().for_each(Watch::delete);
    Rate {
        lines_per_s: lines as f64 / took.as_secs_f64(),
        cpu_us_per_line: usage.cpu.as_secs_f64() * 1e6 / lines as f64,
        peak_mb: usage.peak_kb as f64 / 1024.0,
    }
}

/// Medians of `runs` runs over the file `data`, every contender in turn in each round, so that
/// what the machine does besides falls on all of them.
pub fn compare(
    contenders: &[Contender],
    brokers: &Brokers,
    data: &Path,
    lines: u64,
    runs: usize,
    codec: Option<&'static str>,
) -> Vec<Rate> {
    let mut rates = vec![Vec::new(); contenders.len()];
    for run in 0..runs {
        for (contender, rates) in contenders.iter().zip(&mut rates) {
            let mut job = Job::new().link(data);
            job.codec = codec;
            let rate = measure(contender, &job, brokers, lines);
            let codec = codec.unwrap_or_default();
            eprintln!("bench: {} {codec} run {}: {rate}", contender.name(), run + 1);
            rates.push(rate);
        }
    }
    rates.iter().map(|runs| Rate::medians(runs)).collect()
}

/// Milliseconds from the start of the process to the first record in the topic: a file of one
/// line. Median of `runs`.
pub fn first_record_ms(contender: &Contender, brokers: &Brokers, runs: usize) -> f64 {
    let times: Vec<f64> = (0..runs)
        .map(|_| {
            let job = Job::new();
            std::fs::write(job.live(), "the first line\n").expect("a data file");
            let topic = brokers.fresh_topic("first", PARTITIONS);
            let mut watch = Watch::new(&topic, PARTITIONS);
            machine::wait_for_calm_disk();
            let process = contender.start(&job, &topic);
            while watch.count() == 0 {
                let waited = process.started.elapsed();
                assert!(waited < STALL_MAX, "{}:\n{}", contender.name(), process.tail());
                std::thread::sleep(LOOK_INTERVAL_FIRST);
            }
            let took = process.started.elapsed();
            process.stop();
            watch.delete();
            took.as_secs_f64() * 1e3
        })
        .collect();
    median(&times)
}
