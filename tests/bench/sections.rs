//! The tables of the report, one after the other.

mod kinds;
mod sizes;

use std::path::Path;
use std::time::Duration;

use flume_ng::config::{self, diagnostics::Severity};

use crate::chart::{Bar, Curve, Group};
use crate::contenders::{Contender, Job, Way, configure};
use crate::data::{LINE_BYTES, Lines, Text};
use crate::rate::{PARTITIONS, Rate, compare, first_record_ms, measure};
use crate::report::Section;
use crate::stats::{short, thousands};
use crate::support::certificates::Certificates;
use crate::support::{Cluster, MEMORY, Plan, TempDir};
use crate::{ELDERS, NEW, OLD, flat, latency, machine, micro, verify};

/// So many runs in a row that are no faster than those before them end the warm-up, which has so
/// many at most.
const STEADY_RUNS: usize = 6;
const WARM_UPS_MAX: usize = 40;
/// Less than that is no gain.
const GAIN: f64 = 1.03;
/// Room in memory for a broker that keeps the newest records only, with some to spare.
const MEMORY_BYTES: u64 = 4_000_000_000;
/// Of a partition whose broker is in memory: less than a run of any length writes, so that long
/// ones do not alone pay for what is forgotten.
const KEPT: u64 = 128 << 20;
/// The slow and the fast writer of the latency table, lines a second.
const RATES: [u64; 2] = [20, 20_000];
/// What the compilers in a JVM take to be done with a broker's way for small requests.
const TRICKLE_WARM_UP: Duration = Duration::from_secs(40);

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub runs: u64,
    pub lines: u64,
    pub megabytes: u64,
    pub completed: u64,
    pub candidates: u64,
    pub seconds: u64,
    pub size_mb: u64,
    pub verify_mb: u64,
}

pub struct Bench {
    settings: Settings,
    big: bool,
    pub contenders: Vec<Contender>,
    missing: Vec<String>,
    pub sections: Vec<Section>,
    pub groups: Vec<Group>,
    /// By release.
    pub curves: Vec<(String, Vec<Curve>)>,
    data: TempDir,
}

impl Bench {
    pub fn new(
        settings: Settings,
        big: bool,
        contenders: Vec<Contender>,
        missing: Vec<String>,
    ) -> Bench {
        let data = TempDir::new("bench-data");
        let (sections, groups, curves) = Default::default();
        Bench { settings, big, contenders, missing, sections, groups, curves, data }
    }

    fn runs(&self) -> usize {
        self.settings.runs as usize
    }

    /// A data file, made when it is first wanted.
    fn file(&self, text: Text) -> std::path::PathBuf {
        let path = self.data.path().join(format!("{text:?}"));
        if !path.exists() {
            Lines::new(text).write(&path, self.settings.lines);
        }
        path
    }

    /// A cluster that has warmed up: a JVM is slow at first, which would fall on whoever is first.
    fn cluster(&self, version: &str) -> Cluster {
        self.warm_cluster(Cluster::with(version))
    }

    /// One whose disk has no part in what is measured, if main memory has room for that: it
    /// keeps the newest `KEPT` bytes of each partition and forgets the rest.
    fn cluster_without_disk(&self, version: &str) -> (Cluster, bool) {
        let has_room = machine::free_in(Path::new(MEMORY)) > MEMORY_BYTES;
        let mut plan = Cluster::with(version);
        if has_room {
            plan = plan
                .in_memory()
                .set("log.segment.bytes", KEPT / 2)
                .set("log.retention.bytes", KEPT)
                .set("log.retention.check.interval.ms", 500);
        }
        (self.warm_cluster(plan), has_room)
    }

    fn warm_cluster(&self, plan: Plan) -> Cluster {
        // Topics are deleted between the runs: their files should go at once, and from the start,
        // or they fill the memory that the page cache needs.
        let plan =
            plan.set("log.segment.delete.delay.ms", 20).set("log.initial.task.delay.ms", 500);
        let cluster = plan.jvm_as_shipped().start();
        self.warm_up(&cluster, None);
        cluster
    }

    /// Runs that do not count, until the rate no longer rises: what a JVM compiles, and when,
    /// depends on the way through the broker, so a codec wants its own.
    fn warm_up(&self, cluster: &Cluster, codec: Option<&'static str>) {
        let data = self.file(Text::Plain);
        let (mut best, mut steady) = (0.0, 0);
        for run in 1..=WARM_UPS_MAX {
            let mut job = Job::new().link(&data);
            job.codec = codec;
            let rate = measure(&Contender::Ours, &job, cluster, self.settings.lines).lines_per_s;
            eprintln!("bench: warm-up {run}: {rate:.0} lines/s");
            if rate > best * GAIN {
                (best, steady) = (rate, 0);
                continue;
            }
            steady += 1;
            if steady == STEADY_RUNS {
                break;
            }
        }
    }

    pub fn throughput(&mut self) {
        let lines = self.settings.lines;
        let data = self.file(Text::Plain);
        for version in [NEW, OLD] {
            let cluster = self.cluster(version);
            let rates = compare(&self.contenders, &cluster, &data, lines, self.runs(), None);
            let kcat = self.contenders.iter().position(|c| *c == Contender::Kcat);
            let kcat = kcat.map(|at| rates[at].lines_per_s);
            let (mut rows, mut bars) = (Vec::new(), Vec::new());
            for (contender, rate) in self.contenders.iter().zip(&rates) {
                let first = first_record_ms(contender, &cluster, self.runs());
                let ratio = kcat.map_or("–".to_string(), |k| short(rate.lines_per_s / k));
                rows.push(vec![
                    contender.name().to_string(),
                    thousands(rate.lines_per_s),
                    ratio,
                    short(rate.cpu_us_per_line),
                    short(rate.peak_mb),
                    short(first),
                ]);
                bars.push(Bar {
                    name: contender.name().to_string(),
                    value: rate.lines_per_s,
                    label: format!(
                        "{} k/s, {} µs CPU a line",
                        thousands(rate.lines_per_s / 1e3),
                        short(rate.cpu_us_per_line)
                    ),
                    is_ours: *contender == Contender::Ours,
                });
            }
            self.groups.push(Group { title: format!("Kafka {version}"), bars });
            self.sections.push(Section {
                title: format!("A backlog into Kafka {version}"),
                text: format!(
                    "{} lines of {LINE_BYTES} bytes in one file, {PARTITIONS} partitions, \
                     acks=all; flume-ng with the reference configuration (batchSize = 100). \
                     Medians of {}. Lines a second count from the start of the process until the \
                     topic holds all lines. CPU is user and system time of the whole process, peak \
                     is VmHWM. First record is the time from the start of the process until the \
                     only line of a file is in the topic.",
                    thousands(lines as f64),
                    self.settings.runs
                ),
                columns: vec!["", "lines/s", "x kcat", "CPU µs/line", "peak MB", "first record ms"],
                rows,
                missing: self.missing.clone(),
            });
            if version == OLD {
                self.other_backlogs(&cluster, &data);
            }
        }
    }

    /// A longer backlog, and a topic of one partition.
    fn other_backlogs(&mut self, cluster: &Cluster, data: &Path) {
        let pair = self.pair();
        let lines = self.settings.lines;
        let more = self.data.path().join("more");
        Lines::new(Text::Plain).write(&more, 3 * lines);
        let jobs = [(3 * lines, &*more, PARTITIONS), (lines, data, 1), (3 * lines, &*more, 1)];
        let mut rows = Vec::new();
        for (lines, data, partitions) in jobs {
            let mut rates = vec![Vec::new(); pair.len()];
            for run in 0..self.runs() {
                for (contender, rates) in pair.iter().zip(&mut rates) {
                    let mut job = Job::new().link(data);
                    job.partitions = partitions;
                    let rate = measure(contender, &job, cluster, lines);
                    let name = contender.name();
                    eprintln!("bench: {name}, {partitions} partitions, run {}: {rate}", run + 1);
                    rates.push(rate);
                }
            }
            let rates: Vec<Rate> = rates.iter().map(|runs| Rate::medians(runs)).collect();
            let kcat = rates.get(1);
            rows.push(vec![
                thousands(lines as f64),
                partitions.to_string(),
                thousands(rates[0].lines_per_s),
                kcat.map_or("–".to_string(), |k| thousands(k.lines_per_s)),
                kcat.map_or("–".to_string(), |k| short(rates[0].lines_per_s / k.lines_per_s)),
                short(rates[0].cpu_us_per_line),
                short(rates[0].peak_mb),
            ]);
        }
        self.sections.push(Section {
            title: format!("More lines, fewer partitions, Kafka {OLD}"),
            text: "The same lines; flume-ng and kcat in turn.".to_string(),
            columns: vec![
                "lines",
                "partitions",
                "flume-ng lines/s",
                "kcat lines/s",
                "x kcat",
                "flume-ng CPU µs/line",
                "peak MB",
            ],
            rows,
            missing: Vec::new(),
        });
    }

    /// flume-ng and, where it is there, kcat.
    fn pair(&self) -> Vec<Contender> {
        let is_one = |c: &&Contender| matches!(c, Contender::Ours | Contender::Kcat);
        self.contenders.iter().filter(is_one).cloned().collect()
    }

    /// The same backlog in the clear, by TLS, and by TLS with a login.
    pub fn tls(&mut self) {
        const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        let lines = self.settings.lines;
        let data = self.file(Text::Plain);
        let certificates = Certificates::new();
        certificates.issue("broker");
        let mut plan = Cluster::with(NEW).logins().listener("SSL").listener("SASL_SSL");
        for (key, value) in certificates.of_broker("broker") {
            plan = plan.set(&key, value);
        }
        let plain = format!("{MODULE} user_alice=\"alice-secret\";");
        plan = plan
            .set("listener.name.sasl_ssl.sasl.enabled.mechanisms", "PLAIN")
            .set("listener.name.sasl_ssl.plain.sasl.jaas.config", plain);
        let cluster = self.warm_cluster(plan);
        let authority = certificates.path("ca.pem").display().to_string();
        let way = |protocol: &str| {
            const P: &str = "a1.channels.c1.kafka.producer";
            let mut properties = format!(
                "\n{P}.security.protocol = {protocol}\n{P}.ssl.truststore.location = {authority}\n"
            );
            let mut settings = vec![
                format!("security.protocol={}", protocol.to_lowercase()),
                format!("ssl.ca.location={authority}"),
            ];
            if protocol == "SASL_SSL" {
                properties += &format!(
                    "{P}.sasl.mechanism = PLAIN\n{P}.sasl.jaas.config = {MODULE} \
                     username=\"alice\" password=\"alice-secret\";\n"
                );
                settings.extend(
                    ["sasl.mechanism=PLAIN", "sasl.username=alice", "sasl.password=alice-secret"]
                        .map(str::to_string),
                );
            }
            Way { brokers: cluster.listener(protocol), properties, settings }
        };
        let ways = [
            ("in the clear", None),
            ("SSL", Some(way("SSL"))),
            ("SASL_SSL", Some(way("SASL_SSL"))),
        ];
        let contenders: Vec<Contender> =
            self.contenders.iter().filter(|c| !matches!(c, Contender::Flume(_))).cloned().collect();
        // All of them in turn in each round, so that what the machine does besides falls on all.
        let mut rates = vec![Vec::new(); ways.len() * contenders.len()];
        for run in 0..self.runs() {
            for (at, rates) in rates.iter_mut().enumerate() {
                let ((label, way), contender) =
                    (&ways[at / contenders.len()], &contenders[at % contenders.len()]);
                let mut job = Job::new().link(&data);
                job.way = way.clone();
                let rate = measure(contender, &job, &cluster, lines);
                eprintln!("bench: {}, {label}, run {}: {rate}", contender.name(), run + 1);
                rates.push(rate);
            }
        }
        let rates: Vec<Rate> = rates.iter().map(|runs| Rate::medians(runs)).collect();
        let kcat = contenders.iter().position(|c| *c == Contender::Kcat);
        let rows = rates.iter().enumerate().map(|(at, rate)| {
            let first = at / contenders.len() * contenders.len();
            let ratio = kcat.map(|kcat| rate.lines_per_s / rates[first + kcat].lines_per_s);
            let more = rate.cpu_us_per_line - rates[at % contenders.len()].cpu_us_per_line;
            vec![
                format!(
                    "{}, {}",
                    ways[at / contenders.len()].0,
                    contenders[at % contenders.len()].name()
                ),
                thousands(rate.lines_per_s),
                ratio.map_or("–".to_string(), short),
                short(rate.cpu_us_per_line),
                if first == 0 { "–".to_string() } else { short(more) },
                short(rate.peak_mb),
            ]
        });
        self.sections.push(Section {
            title: format!("TLS and logins, Kafka {NEW}"),
            text: format!(
                "The same {} lines in the clear, by TLS 1.3, and by TLS with a login (PLAIN); kcat and rsyslog \
                 by librdkafka with OpenSSL. Medians of {}.",
                thousands(lines as f64),
                self.settings.runs
            ),
            columns: vec!["", "lines/s", "x kcat", "CPU µs/line", "CPU more than in the clear", "peak MB"],
            rows: rows.collect(),
            missing: self.missing.clone(),
        });
    }

    /// Brokers before 0.10, to which the crate `kafka` writes.
    pub fn elders(&mut self) {
        let lines = self.settings.lines;
        let data = self.file(Text::Plain);
        let mut rows = Vec::new();
        for version in ELDERS {
            let cluster = self.cluster(version);
            let rates = compare(&[Contender::Ours], &cluster, &data, lines, self.runs(), None);
            rows.push(vec![
                version.to_string(),
                thousands(rates[0].lines_per_s),
                short(rates[0].cpu_us_per_line),
                short(rates[0].peak_mb),
            ]);
        }
        self.sections.push(Section {
            title: "Brokers before 0.10".to_string(),
            text: format!(
                "flume-ng, the same {} lines. The crate `kafka` writes to these brokers, one round at \
                 a time. It builds a table of checksums for every message, which is most of the CPU.",
                thousands(lines as f64)
            ),
            columns: vec!["Kafka", "lines/s", "CPU µs/line", "peak MB"],
            rows,
            missing: Vec::new(),
        });
    }

    pub fn codecs(&mut self) {
        let data = self.file(Text::Plain);
        let pair = self.pair();
        let cluster = self.cluster(NEW);
        let (mut rows, mut missing) = (Vec::new(), Vec::new());
        for name in ["none", "gzip", "snappy", "lz4", "zstd"] {
            if let Some(why) = refused(name) {
                missing.push(format!("{name} is left out: {why}"));
                continue;
            }
            self.warm_up(&cluster, Some(name));
            let lines = self.settings.lines;
            let rates = compare(&pair, &cluster, &data, lines, self.runs(), Some(name));
            let kcat = rates.get(1);
            let or_dash = |value: Option<f64>| value.map_or("–".to_string(), short);
            rows.push(vec![
                name.to_string(),
                thousands(rates[0].lines_per_s),
                kcat.map_or("–".to_string(), |k| thousands(k.lines_per_s)),
                or_dash(kcat.map(|k| rates[0].lines_per_s / k.lines_per_s)),
                short(rates[0].cpu_us_per_line),
                or_dash(kcat.map(|k| k.cpu_us_per_line)),
            ]);
        }
        self.sections.push(Section {
            title: "Codecs".to_string(),
            text: format!("The same lines into Kafka {NEW}, compressed by the producer."),
            columns: vec![
                "codec",
                "flume-ng lines/s",
                "kcat lines/s",
                "x kcat",
                "flume-ng CPU µs/line",
                "kcat CPU µs/line",
            ],
            rows,
            missing,
        });
    }

    pub fn text(&mut self) {
        let cluster = self.cluster(NEW);
        let lines = self.settings.lines;
        let mut rows = Vec::new();
        let mut plain = 0.0;
        for (label, text, properties) in [
            ("plain", Text::Plain, ""),
            ("GBK, half Chinese", Text::Gbk, "a1.sources.r1.inputCharset = GBK\n"),
            ("a malformed byte in each line", Text::Malformed, ""),
            (
                "headers: file, basename, timestamp",
                Text::Plain,
                "a1.sources.r1.fileHeader = true\n\
                 a1.sources.r1.basenameHeader = true\n\
                 a1.sources.r1.interceptors = i1\n\
                 a1.sources.r1.interceptors.i1.type = timestamp\n",
            ),
        ] {
            let data = self.file(text);
            let one = || {
                let mut job = Job::new().link(&data);
                job.properties = format!("\n{properties}");
                measure(&Contender::Ours, &job, &cluster, lines)
            };
            let rate = Rate::medians(&(0..self.runs()).map(|_| one()).collect::<Vec<_>>());
            if text == Text::Plain && properties.is_empty() {
                plain = rate.lines_per_s;
            }
            rows.push(vec![
                label.to_string(),
                thousands(rate.lines_per_s),
                short(rate.lines_per_s / plain),
                short(rate.cpu_us_per_line),
                short(rate.peak_mb),
            ]);
        }
        self.sections.push(Section {
            title: "Contents of the lines".to_string(),
            text: format!(
                "flume-ng, {} lines of {LINE_BYTES} bytes into Kafka {NEW}.",
                thousands(lines as f64)
            ),
            columns: vec!["", "lines/s", "x plain", "CPU µs/line", "peak MB"],
            rows,
            missing: Vec::new(),
        });
    }

    pub fn latency(&mut self) {
        let length = Duration::from_millis(self.settings.seconds * 500);
        let idle_length = Duration::from_secs(self.settings.seconds);
        let tailing: Vec<Contender> =
            self.contenders.iter().filter(|c| c.tails()).cloned().collect();
        let (mut rows, mut idle_rows) = (Vec::new(), Vec::new());
        let mut is_in_memory = true;
        for version in [NEW, OLD] {
            let (cluster, has_room) = self.cluster_without_disk(version);
            is_in_memory &= has_room;
            // Requests of a few lines take other ways through a broker than large ones.
            latency::measure(&Contender::Ours, &cluster, RATES[1], TRICKLE_WARM_UP, 1);
            for contender in &tailing {
                let mut row = vec![format!("{}, Kafka {version}", contender.name())];
                for rate in RATES {
                    let found = latency::measure(contender, &cluster, rate, length, self.runs());
                    eprintln!("bench: {} at {rate}/s: {found:?}", contender.name());
                    row.extend([short(found.p50_ms), short(found.p99_ms)]);
                }
                rows.push(row);
                let idle = latency::idle(contender, &cluster, idle_length);
                eprintln!("bench: {} idle: {idle:?}", contender.name());
                idle_rows.push(vec![
                    format!("{}, Kafka {version}", contender.name()),
                    format!("{:.3}", idle.cpu_percent),
                    idle.writes.to_string(),
                    short(idle.resident_mb),
                ]);
            }
        }
        self.sections.push(Section {
            title: "Latency from append to topic".to_string(),
            text: format!(
                "A writer appends lines with the time in them, one by one; a reader waits in a \
                 fetch for the next record. Milliseconds, over all lines of {} runs of {} s. \
                 {} The broker was warmed up with {} lines a second for {} s.",
                self.settings.runs,
                length.as_secs_f64(),
                place_of_broker(is_in_memory),
                thousands(RATES[1] as f64),
                TRICKLE_WARM_UP.as_secs()
            ),
            columns: vec!["", "20 lines/s p50", "p99", "20,000 lines/s p50", "p99"],
            rows,
            missing: Vec::new(),
        });
        self.sections.push(Section {
            title: "Idle".to_string(),
            text: format!("Over {} s without new lines.", self.settings.seconds),
            columns: vec!["", "CPU %", "calls that write", "resident MB"],
            rows: idle_rows,
            missing: Vec::new(),
        });
    }

    pub fn verify(&mut self) {
        let Settings { verify_mb, runs, .. } = self.settings;
        let has_kcat = self.contenders.contains(&Contender::Kcat);
        // Reading wants no warm-up: the broker hands over what stands in its files.
        let cluster = Cluster::with(NEW).jvm_as_shipped().start();
        let (lines, both) = verify::measure(&cluster, verify_mb, runs, has_kcat);
        let rates = both.each_ref().map(|runs| (!runs.is_empty()).then(|| Rate::medians(runs)));
        let kcat = rates[1].map(|rate| rate.lines_per_s);
        let names = ["flume-ng verify", "kcat -C into /dev/null"];
        let rows = names.iter().zip(rates).filter_map(|(name, rate)| {
            let rate = rate?;
            Some(vec![
                name.to_string(),
                short(lines as f64 / rate.lines_per_s),
                short(rate.lines_per_s * (LINE_BYTES + 1) as f64 / 1e6),
                kcat.map_or("–".to_string(), |kcat| short(rate.lines_per_s / kcat)),
                short(rate.cpu_us_per_line),
                short(rate.peak_mb),
            ])
        });
        self.sections.push(Section {
            title: format!("verify of {} MB in Kafka {NEW}", thousands(verify_mb as f64)),
            text: format!(
                "{} lines of {LINE_BYTES} bytes in one file, delivered into {PARTITIONS} \
                 partitions. Both read the whole topic, in turn; `verify` reads the file as well. \
                 Medians of {runs}.",
                thousands(lines as f64)
            ),
            columns: vec!["", "seconds", "MB/s", "x kcat", "CPU µs/line", "peak MB"],
            rows: rows.collect(),
            missing: Vec::new(),
        });
    }

    pub fn flat(&mut self) {
        let Settings { megabytes, completed, candidates, runs, .. } = self.settings;
        let (cluster, is_in_memory) = self.cluster_without_disk(NEW);
        let sizes = flat::Sizes {
            megabytes,
            completed: completed as usize,
            candidates: candidates as usize,
            big: self.big,
            runs: runs as usize,
        };
        let (found, missing) = flat::shapes(&cluster, sizes);
        let first = found[0].rate.lines_per_s;
        let broker = place_of_broker(is_in_memory);
        let row = |row: &flat::Row| {
            vec![
                row.label.clone(),
                thousands(row.rate.lines_per_s),
                short(row.rate.lines_per_s / first),
                format!("{}–{}", thousands(row.range.0), thousands(row.range.1)),
                short(row.rate.cpu_us_per_line),
                short(row.rate.peak_mb),
            ]
        };
        self.sections.push(Section {
            title: "The shape of the backlog".to_string(),
            text: format!(
                "flume-ng into Kafka {NEW}, the shapes in turn in each of {} rounds, the largest in \
                 every third; medians. The files are in the page cache. {broker}",
                flat::BIG_EVERY as u64 * runs
            ),
            columns: vec!["", "lines/s", "x first", "slowest–fastest", "CPU µs/line", "peak MB"],
            rows: found.iter().map(row).collect(),
            missing,
        });
        let length = Duration::from_secs(self.settings.seconds);
        let counts = [1, sizes.candidates];
        let rows = counts.map(|count| {
            let found = flat::candidates(&cluster, count, length);
            eprintln!("bench: {count} candidates: {found:?}");
            vec![
                thousands(count as f64),
                thousands(found.read as f64),
                short(found.look_ms),
                format!("{:.3}", found.idle_percent),
                short(found.resident_mb),
            ]
        });
        self.sections.push(Section {
            title: "Many files of the present hour".to_string(),
            text: "flume-ng: the cost of a look at the directory after a change in it, and of \
                   waiting."
                .to_string(),
            columns: vec!["candidates", "read", "CPU ms a look", "idle CPU %", "resident MB"],
            rows: rows.to_vec(),
            missing: Vec::new(),
        });
    }

    /// Returned, not kept: it is measured first, on the quiet machine, and told last.
    pub fn micro(&self) -> Section {
        let row = |row: &micro::Row| {
            let rate = if row.is_per_round { String::new() } else { thousands(1e9 / row.ns) };
            vec![row.label.clone(), short(row.ns), rate]
        };
        Section {
            title: "Steps of a line".to_string(),
            text: "Each step alone, on one core, in memory (except for the fdatasync); medians. \
                   `cargo bench --bench micro` prints this table."
                .to_string(),
            columns: vec!["step", "ns/line", "lines/s"],
            rows: micro::run().iter().map(row).collect(),
            missing: Vec::new(),
        }
    }
}

/// Why our configuration does not take a codec, if so.
fn refused(codec: &'static str) -> Option<String> {
    let mut job = Job::new();
    job.codec = Some(codec);
    let path = configure(&job, "refused", "127.0.0.1:1");
    let findings = config::load(&path, "a1").err()?;
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    Some(errors.map(|f| f.message.clone()).collect::<Vec<_>>().join("; "))
}

fn place_of_broker(is_in_memory: bool) -> &'static str {
    match is_in_memory {
        true => "The broker's files are in memory, so its disk has no influence.",
        false => "The broker shares a disk with what is measured, which can slow it down.",
    }
}
