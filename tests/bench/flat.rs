//! Whether the backlog's shape matters: one large file, many small ones, finished ones beside.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Job};
use crate::data::{LINE_BYTES, Lines, Text};
use crate::machine;
use crate::rate::{PARTITIONS, Rate, measure};
use crate::support::{Brokers, TempDir};
use crate::watch::Watch;

const MB: u64 = 1_000_000;
/// Between two changes of the directory; the agent looks no more often by itself.
const CHANGE_INTERVAL: Duration = Duration::from_millis(500);

/// Sizes of the scenarios.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub megabytes: u64,
    pub completed: usize,
    pub candidates: usize,
    /// Ten times the megabytes as well.
    pub big: bool,
    pub runs: usize,
}

pub struct Row {
    pub label: String,
    pub rate: Rate,
}

/// One row for each shape, and a line on each that was left out.
pub fn shapes(brokers: &Brokers, sizes: Sizes) -> (Vec<Row>, Vec<String>) {
    let store = TempDir::new("bench-data");
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    let lines = sizes.megabytes * MB / (LINE_BYTES as u64 + 1);

    let one = store.path().join("one");
    Lines::new(Text::Plain).write(&one, lines);
    rows.push(run(format!("1 file of {} MB", sizes.megabytes), brokers, sizes.runs, lines, || {
        Job::new().link(&one)
    }));
    let label = format!("the same beside {} finished files", sizes.completed);
    rows.push(run(label, brokers, sizes.runs, lines, || {
        let job = Job::new().link(&one);
        for n in 0..sizes.completed {
            let name = format!("{n:06}_2017010112.log.COMPLETED");
            File::create(job.spool().join(name)).expect("room for a file");
        }
        job
    }));

    let of_small = MB / (LINE_BYTES as u64 + 1);
    let mut source = Lines::new(Text::Plain);
    let small: Vec<PathBuf> = (0..sizes.megabytes)
        .map(|n| {
            let path = store.path().join(format!("{n:06}_2017010112.log"));
            source.write(&path, of_small);
            path
        })
        .collect();
    let label = format!("{} files of 1 MB, each renamed when read", sizes.megabytes);
    rows.push(run(label, brokers, sizes.runs, of_small * sizes.megabytes, || {
        let job = Job::new();
        for path in &small {
            let name = path.file_name().expect("it has a name");
            fs::hard_link(path, job.spool().join(name)).expect("a link");
        }
        job
    }));

    if sizes.big {
        let label = format!("1 file of {} MB", 10 * sizes.megabytes);
        // The file and what the broker makes of it, twice for what is being deleted.
        if machine::disk_free() > 40 * sizes.megabytes * MB {
            let big = store.path().join("big");
            Lines::new(Text::Plain).write(&big, 10 * lines);
            rows.push(run(label, brokers, 1, 10 * lines, || Job::new().link(&big)));
        } else {
            missing.push(format!("{label} is left out: the disk has no room for it"));
        }
    }
    (rows, missing)
}

fn run(label: String, brokers: &Brokers, runs: usize, lines: u64, job: impl Fn() -> Job) -> Row {
    let rates: Vec<Rate> =
        (0..runs).map(|_| measure(&Contender::Ours, &job(), brokers, lines)).collect();
    let rate = Rate::medians(&rates);
    eprintln!("bench: {label}: {:.0} lines/s, {:.1} MB", rate.lines_per_s, rate.peak_mb);
    Row { label, rate }
}

/// What many candidates cost, all of the present hour, so that none is ever done.
#[derive(Debug, Clone, Copy)]
pub struct Candidates {
    /// Of how many the lines are in the topic.
    pub read: u64,
    /// CPU time of a look at the directory after a change, ms.
    pub look_ms: f64,
    /// CPU while nothing changes, per cent.
    pub idle_percent: f64,
    pub resident_mb: f64,
}

pub fn candidates(brokers: &Brokers, count: usize, length: Duration) -> Candidates {
    let job = Job::new();
    let first = job.live();
    let name = first.file_name().expect("it has a name").to_str().expect("UTF-8");
    for n in 0..count {
        fs::write(job.spool().join(format!("{n:06}_{name}")), "one line\n").expect("a file");
    }
    let topic = brokers.fresh_topic("candidates", PARTITIONS);
    let mut watch = Watch::new(&topic, PARTITIONS);
    let process = Contender::Ours.start(&job, &topic);
    let (mut seen, mut moved) = (0, Instant::now());
    // Until all were read, or no more are: how many are held open at once is its own business.
    while seen < count as u64 && moved.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(100));
        let now = watch.count();
        if now > seen {
            (seen, moved) = (now, Instant::now());
        }
        assert!(process.started.elapsed() < Duration::from_secs(300), "{}", process.tail());
    }
    let spend = |change: bool| {
        let (cpu, start) = (process.cpu(), Instant::now());
        let mut looks = 0u32;
        // Hidden, so no candidate: all that changes is that the directory did.
        let hidden = job.spool().join(".change");
        while start.elapsed() < length {
            if change {
                fs::write(&hidden, "").and_then(|()| fs::remove_file(&hidden)).expect("a change");
            }
            looks += 1;
            std::thread::sleep(CHANGE_INTERVAL);
        }
        let spent = (process.cpu() - cpu).as_secs_f64();
        (spent * 1e3 / f64::from(looks), spent / start.elapsed().as_secs_f64() * 100.0)
    };
    let (_, idle_percent) = spend(false);
    let (look_ms, _) = spend(true);
    let resident_mb = process.status("VmRSS").expect("VmRSS") as f64 / 1024.0;
    process.stop();
    watch.delete();
    Candidates { read: seen, look_ms, idle_percent, resident_mb }
}
