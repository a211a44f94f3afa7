//! Whether the backlog's shape matters: one large file, many small ones, finished ones beside.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Job};
use crate::data::{LINE_BYTES, Lines, Text};
use crate::machine;
use crate::rate::{PARTITIONS, Rate, measure};
use crate::support::{Brokers, TempDir, Topic};
use crate::watch::Watch;

const MB: u64 = 1_000_000;
/// A run of a few seconds meets good and bad moments of the machine: of those there are as many
/// times more, while one of ten times the length is its own mean.
pub const BIG_EVERY: usize = 3;
/// Of one finished file.
const NAMES: usize = 10_000;
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
    /// Of the big one; of the others `BIG_EVERY` times as many.
    pub runs: usize,
}

pub struct Row {
    pub label: String,
    pub rate: Rate,
    /// Lines a second of the slowest and of the fastest run.
    pub range: (f64, f64),
}

/// A backlog that can be laid out anew for every run.
struct Shape {
    label: String,
    lines: u64,
    is_big: bool,
    job: Box<dyn Fn() -> Job>,
}

/// One row for each shape, and a line on each that was left out. Every shape in turn in each
/// round, so that what the disk and the machine do besides falls on all of them.
pub fn shapes(brokers: &Brokers, sizes: Sizes) -> (Vec<Row>, Vec<String>) {
    let store = TempDir::new("bench-data");
    let (shapes, missing) = lay_out(store.path(), sizes);
    let mut rates = vec![Vec::new(); shapes.len()];
    for round in 0..=sizes.runs * BIG_EVERY {
        for (shape, rates) in shapes.iter().zip(&mut rates) {
            if shape.is_big && round % BIG_EVERY != 1 {
                continue;
            }
            let job = (shape.job)();
            read_into_cache(&job);
            let rate = measure(&Contender::Ours, &job, brokers, shape.lines);
            eprintln!("bench: {} round {round}: {rate}", shape.label);
            // The broker's JVM is still warming up in the first round.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let rows = shapes.into_iter().zip(&rates).map(|(shape, runs)| Row {
        label: shape.label,
        rate: Rate::medians(runs),
        range: runs.iter().fold((f64::MAX, 0.0), |(least, most), run| {
            (run.lines_per_s.min(least), run.lines_per_s.max(most))
        }),
    });
    (rows.collect(), missing)
}

/// Writes what the shapes are made of to `store`.
fn lay_out(store: &Path, sizes: Sizes) -> (Vec<Shape>, Vec<String>) {
    let lines = sizes.megabytes * MB / (LINE_BYTES as u64 + 1);
    let one = store.join("one");
    Lines::new(Text::Plain).write(&one, lines);
    let of_small = MB / (LINE_BYTES as u64 + 1);
    let mut source = Lines::new(Text::Plain);
    let small: Vec<PathBuf> = (0..sizes.megabytes)
        .map(|n| {
            let path = store.join(format!("{n:06}_2017010112.log"));
            source.write(&path, of_small);
            path
        })
        .collect();

    let alone = one.clone();
    let mut shapes = vec![
        Shape {
            label: format!("1 file of {} MB", sizes.megabytes),
            lines,
            is_big: false,
            job: Box::new(move || Job::new().link(&alone)),
        },
        Shape {
            label: format!("the same beside {} finished files", sizes.completed),
            lines,
            is_big: false,
            job: Box::new(move || beside_finished(&one, sizes.completed)),
        },
        Shape {
            label: format!("{} files of 1 MB, each renamed when read", sizes.megabytes),
            lines: of_small * sizes.megabytes,
            is_big: false,
            job: Box::new(move || of_files(&small)),
        },
    ];
    let mut missing = Vec::new();
    if sizes.big {
        let label = format!("1 file of {} MB", 10 * sizes.megabytes);
        // The file and what the broker makes of it, twice for what is being deleted.
        if machine::disk_free() > 40 * sizes.megabytes * MB {
            let big = store.join("big");
            Lines::new(Text::Plain).write(&big, 10 * lines);
            let job = Box::new(move || Job::new().link(&big));
            shapes.push(Shape { label, lines: 10 * lines, is_big: true, job });
        } else {
            missing.push(format!("{label} is left out: the disk has no room for it"));
        }
    }
    (shapes, missing)
}

/// How fast the disk is that the files stand on is not what is measured.
pub fn read_into_cache(job: &Job) {
    let mut buffer = vec![0; 1 << 20];
    for entry in fs::read_dir(job.spool()).expect("a spool directory").flatten() {
        let mut file = File::open(entry.path()).expect("a file");
        while file.read(&mut buffer).expect("its bytes") > 0 {}
    }
}

/// Names of few files: ext4 looks for longer and longer for an inode that no one has left in the
/// last seconds, which every run did by the hundred thousand. A file has 65,000 names at most.
fn beside_finished(file: &Path, count: usize) -> Job {
    let job = Job::new().link(file);
    let name = |n| job.spool().join(format!("{n:06}_2017010112.log.COMPLETED"));
    for n in 0..count {
        let made = match n % NAMES {
            0 => File::create(name(n)).map(drop),
            rest => fs::hard_link(name(n - rest), name(n)),
        };
        made.expect("room for a file");
    }
    job
}

pub fn of_files(files: &[PathBuf]) -> Job {
    let job = Job::new();
    for path in files {
        let name = path.file_name().expect("it has a name");
        fs::hard_link(path, job.spool().join(name)).expect("a link");
    }
    job
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
    let (job, topic) = (Job::new(), brokers.fresh_topic("candidates", PARTITIONS));
    let found = candidates_of(&job, &topic, count, length);
    Watch::new(&topic, PARTITIONS).delete();
    found
}

/// `job` has no files yet, or those of the same call before.
pub fn candidates_of(job: &Job, topic: &Topic, count: usize, length: Duration) -> Candidates {
    let first = job.live();
    let name = first.file_name().expect("it has a name").to_str().expect("UTF-8");
    let is_first = !job.spool().join(format!("{:06}_{name}", 0)).exists();
    for n in (0..count).filter(|_| is_first) {
        fs::write(job.spool().join(format!("{n:06}_{name}")), "one line\n").expect("a file");
    }
    let mut watch = Watch::new(topic, PARTITIONS);
    let process = Contender::Ours.start(job, topic);
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
    Candidates { read: seen, look_ms, idle_percent, resident_mb }
}
