//! `verify` beside a reader that only reads: kcat into /dev/null.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::contenders::{Contender, Job, configure};
use crate::data::{LINE_BYTES, Lines, Text};
use crate::process::Running;
use crate::rate::{PARTITIONS, Rate};
use crate::support::{Brokers, Topic};
use crate::watch::Watch;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Delivers so many megabytes in one file, then reads them back in turns: as verify does it, and, where
/// it is there, as kcat. Returns the lines, and what each run of both came to.
pub fn measure(
    brokers: &Brokers,
    megabytes: u64,
    runs: u64,
    has_kcat: bool,
) -> (u64, [Vec<Rate>; 2]) {
    let lines = megabytes * 1_000_000 / (LINE_BYTES as u64 + 1);
    let job = Job::new();
    Lines::new(Text::Plain).write(&job.live(), lines);
    let topic = brokers.fresh_topic("verified", PARTITIONS);
    let mut watch = Watch::new(&topic, PARTITIONS);
    let agent = Contender::Ours.start(&job, &topic);
    while watch.count() < lines {
        std::thread::sleep(LOOK_INTERVAL);
    }
    agent.stop();
    assert_eq!(watch.count(), lines, "records in the topic");
    let mut rates = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        let rate = read_back(verify(&job, &topic), &job.dir.path().join("verified"), lines);
        eprintln!("bench: verify, run {run}: {rate}");
        rates[0].push(rate);
        let said = std::fs::read_to_string(job.dir.path().join("verified")).unwrap_or_default();
        assert!(said.contains("Exact: 1 file,"), "{said}");
        if has_kcat {
            let rate = read_back(kcat(&topic), Path::new("/dev/null"), lines);
            eprintln!("bench: kcat -C, run {run}: {rate}");
            rates[1].push(rate);
        }
    }
    watch.delete();
    (lines, rates)
}

fn verify(job: &Job, topic: &Topic) -> Command {
    let conf = configure(job, topic.name(), topic.bootstrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
    command.args(["verify", "--whole-topic", "--name", "a1", "--conf-file"]).arg(conf);
    command
}

fn kcat(topic: &Topic) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-C", "-q", "-e", "-o", "beginning"]);
    command.args(["-b", topic.bootstrap(), "-t", topic.name()]);
    command
}

/// From the start of the process to its end.
fn read_back(command: Command, out: &Path, lines: u64) -> Rate {
    let mut process = Running::start(command, out);
    while !process.look() {
        std::thread::sleep(LOOK_INTERVAL);
    }
    let took = process.started.elapsed();
    let usage = process.stop();
    Rate {
        lines_per_s: lines as f64 / took.as_secs_f64(),
        cpu_us_per_line: usage.cpu.as_secs_f64() * 1e6 / lines as f64,
        peak_mb: usage.peak_kb as f64 / 1024.0,
    }
}
