//! Whether it matters which source reads the lines, and what a key or a route costs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bare::Load;
use crate::contenders::{Contender, Job};
use crate::data::{LINE_BYTES, Lines, Text};
use crate::flat;
use crate::rate::{PARTITIONS, Rate, measure_all};
use crate::report::Section;
use crate::stats::{short, thousands};
use crate::support::{Brokers, Topic};
use crate::{NEW, sections::Bench};

/// What is dropped into a spooling directory: so many files, each of at most so many bytes.
const DROPPED: usize = 10_000;
const DROPPED_BYTES: usize = 10_000;

/// What a connection has on its way at most, where brokers keep the order of batches.
const SMALL_ROUNDS: usize = 5;

/// The channel of every configuration here that is not the reference.
const CHANNEL: &str = "a1.sources = r1
a1.channels = c1
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @BROKERS@
a1.channels.c1.kafka.topic = @TOPIC@
";

/// A number and a level of each line become headers.
fn extractor(number: &str, level: &str) -> String {
    format!(
        "
a1.sources.r1.interceptors = i1
a1.sources.r1.interceptors.i1.type = regex_extractor
a1.sources.r1.interceptors.i1.regex = ^(\\\\d+) .{{19}} (INFO|WARN|DEBUG)
a1.sources.r1.interceptors.i1.serializers = s1 s2
a1.sources.r1.interceptors.i1.serializers.s1.name = {number}
a1.sources.r1.interceptors.i1.serializers.s2.name = {level}
"
    )
}

/// INFO, which is half of the lines, to the second topic.
fn selector(topic: &str) -> String {
    format!(
        "
a1.channels = c1 c2
a1.sources.r1.channels = c1 c2
a1.sources.r1.selector.type = multiplexing
a1.sources.r1.selector.header = level
a1.sources.r1.selector.mapping.INFO = c2
a1.sources.r1.selector.default = c1
a1.channels.c2.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c2.kafka.bootstrap.servers = @BROKERS@
a1.channels.c2.kafka.topic = {topic}
"
    )
}

/// TAILDIR over the files of a job, as their own configuration says.
fn taildir(job: &Job) -> String {
    let dir = job.dir.path().display();
    format!(
        "{CHANNEL}a1.sources.r1.type = TAILDIR
a1.sources.r1.filegroups = f1
a1.sources.r1.filegroups.f1 = {dir}/spool/.*
a1.sources.r1.positionFile = {dir}/position.json
"
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hourly,
    Taildir,
    Exec,
    Spooldir,
    Headers,
    Keyed,
    Multiplexed,
}

const KINDS: [Kind; 7] = [
    Kind::Hourly,
    Kind::Taildir,
    Kind::Exec,
    Kind::Spooldir,
    Kind::Headers,
    Kind::Keyed,
    Kind::Multiplexed,
];

impl Kind {
    fn label(self) -> String {
        match self {
            Kind::Hourly => "hourly files, the reference configuration".to_string(),
            Kind::Taildir => "TAILDIR".to_string(),
            Kind::Exec => "exec, `tail -n +1 -F`".to_string(),
            Kind::Spooldir => format!(
                "spooldir, {} files of {} kB",
                thousands(DROPPED as f64),
                DROPPED_BYTES / 1_000
            ),
            Kind::Headers => "the reference, two headers by regex_extractor".to_string(),
            Kind::Keyed => "the same, one of them the record's key".to_string(),
            Kind::Multiplexed => "the same, one of them selects one of two channels".to_string(),
        }
    }

    /// Of the files of `one`, or of those in `dropped`.
    fn job(self, one: &Path, dropped: &[PathBuf], second: &Topic) -> Job {
        let mut job = match self {
            Kind::Spooldir => flat::of_files(dropped),
            _ => Job::new().link(one),
        };
        let dir = job.dir.path().display();
        match self {
            Kind::Hourly => {}
            Kind::Taildir => job.configuration = Some(taildir(&job)),
            Kind::Exec => {
                job.configuration = Some(format!(
                    "{CHANNEL}a1.sources.r1.type = exec
a1.sources.r1.command = tail -n +1 -F {}
a1.sources.r1.trackerDir = {dir}/state
",
                    job.live().display()
                ));
            }
            Kind::Spooldir => {
                job.configuration = Some(format!(
                    "{CHANNEL}a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = {dir}/spool
"
                ));
            }
            Kind::Headers => job.properties = extractor("number", "level"),
            Kind::Keyed => job.properties = extractor("key", "level"),
            Kind::Multiplexed => {
                job.properties = extractor("number", "level") + &selector(second.name());
            }
        }
        job
    }
}

impl Bench {
    pub fn kinds(&mut self) {
        let (cluster, is_in_memory) = self.cluster_without_disk(NEW);
        let one = self.file(Text::Plain);
        let dropped = self.dropped();
        let of_dropped = (DROPPED * (DROPPED_BYTES / (LINE_BYTES + 1))) as u64;
        let mut rates = vec![Vec::new(); KINDS.len()];
        // Batches as small as the dropped files, and as many of them on their way as the wire has.
        let small = Contender::Bare(Load {
            bytes: LINE_BYTES,
            lines: of_dropped,
            batch_bytes: DROPPED_BYTES,
            rounds: SMALL_ROUNDS,
        });
        let mut small_rates = Vec::new();
        for run in 0..self.runs() {
            for (kind, rates) in KINDS.into_iter().zip(&mut rates) {
                let topics = ["first", "second"].map(|name| cluster.fresh_topic(name, PARTITIONS));
                let lines = match kind {
                    Kind::Spooldir => of_dropped,
                    _ => self.settings.lines,
                };
                let job = kind.job(&one, &dropped, &topics[1]);
                flat::read_into_cache(&job);
                let rate = measure_all(&Contender::Ours, &job, &topics, lines);
                eprintln!("bench: {}, run {}: {rate}", kind.label(), run + 1);
                rates.push(rate);
            }
            let topic = cluster.fresh_topic("bare", PARTITIONS);
            let rate = measure_all(&small, &Job::new(), &[topic], of_dropped);
            eprintln!(
                "bench: {}, batches of a dropped file, run {}: {rate}",
                small.name(),
                run + 1
            );
            small_rates.push(rate);
        }
        let rates: Vec<Rate> = rates.iter().map(|runs| Rate::medians(runs)).collect();
        let labels = KINDS.into_iter().map(Kind::label);
        let labels = labels.chain([format!("{}, a batch for each dropped file", small.name())]);
        let small_rate = Rate::medians(&small_rates);
        let rows = labels.zip(rates.iter().chain([&small_rate])).map(|(label, rate)| {
            vec![
                label,
                thousands(rate.lines_per_s),
                short(rate.lines_per_s / rates[0].lines_per_s),
                short(rate.cpu_us_per_line),
                short(rate.peak_mb),
            ]
        });
        self.sections.push(Section {
            title: "Sources, keys and routes".to_string(),
            text: format!(
                "flume-ng into Kafka {NEW}: {} lines of {LINE_BYTES} bytes in one file; medians of \
                 {}. {}",
                thousands(self.settings.lines as f64),
                self.settings.runs,
                super::place_of_broker(is_in_memory)
            ),
            columns: vec!["", "lines/s", "x first", "CPU µs/line", "peak MB"],
            rows: rows.collect(),
            missing: Vec::new(),
        });
        self.many_tailed(&cluster);
    }

    /// The files that are dropped into the spooling directory, made once.
    fn dropped(&self) -> Vec<PathBuf> {
        let dir = self.data.path().join("dropped");
        fs::create_dir(&dir).expect("a new directory");
        let mut lines = Lines::new(Text::Plain);
        let write = |n| {
            let path = dir.join(format!("{n:06}.log"));
            lines.write(&path, (DROPPED_BYTES / (LINE_BYTES + 1)) as u64);
            path
        };
        (0..DROPPED).map(write).collect()
    }

    fn many_tailed(&mut self, cluster: &Brokers) {
        let length = Duration::from_secs(self.settings.seconds);
        let rows = [1, self.settings.candidates as usize].map(|count| {
            let mut job = Job::new();
            job.configuration = Some(taildir(&job));
            let topic = cluster.fresh_topic("tailed", PARTITIONS);
            let [found, again] = [(); 2].map(|()| flat::candidates_of(&job, &topic, count, length));
            eprintln!("bench: {count} tailed files: {found:?}, after a restart {again:?}");
            vec![
                thousands(count as f64),
                short(found.look_ms),
                format!("{:.3}", found.idle_percent),
                short(found.resident_mb),
                short(again.resident_mb),
            ]
        });
        self.sections.push(Section {
            title: "Many files under TAILDIR".to_string(),
            text: "flume-ng: the cost of a look at the directory after a change in it, and of \
                   waiting; each file holds one line. The last column is after a restart."
                .to_string(),
            columns: vec!["files", "CPU ms a look", "idle CPU %", "resident MB", "restarted MB"],
            rows: rows.to_vec(),
            missing: Vec::new(),
        });
    }
}
