//! `make bench`: flume-ng and what one could take instead, measured in turn in one run, and the
//! report in docs/bench.md and docs/bench.svg.
//!
//! The report is written at the very end, so that a run that fails leaves the old one alone. A
//! run that was made smaller or shorter by one of the settings below writes to target/bench/.
//!
//!     BENCH_RUNS=5            runs of each, of which the median counts
//!     BENCH_LINES=1000000     lines of a run
//!     BENCH_MB=1000           size of the backlogs of different shapes
//!     BENCH_COMPLETED=100000  finished files beside
//!     BENCH_CANDIDATES=10000  files of the present hour
//!     BENCH_SECONDS=10        length of an idle time; half of it of a run for latency
//!     BENCH_SIZE_MB=300       size of a backlog of lines of one length
//!     BENCH_VERIFY_MB=1000    size of what is verified
//!     BENCH_BIG=1             a backlog of ten times BENCH_MB as well
//!     BENCH_ONLY=micro,...    of: throughput tls elders kinds sizes codecs text latency flat
//!                             verify micro
//!
//! `make bench-quick BASE=commit` compares with another build: quick.rs.

mod bare;
mod chart;
mod contenders;
mod data;
mod flat;
mod latency;
mod machine;
mod micro;
mod process;
mod quick;
mod rate;
mod report;
mod sections;
mod stats;
#[path = "../support/mod.rs"]
mod support;
mod verify;
mod watch;

use std::path::Path;

use contenders::Contender;
use sections::{Bench, Settings};

const NEW: &str = "4.3.1";
const OLD: &str = "0.10.2.0";
/// They are written to by the crate `kafka`.
const ELDERS: [&str; 2] = ["0.8.2.2", "0.9.0.1"];
const SECTIONS: [&str; 11] = [
    "throughput",
    "tls",
    "elders",
    "kinds",
    "sizes",
    "codecs",
    "text",
    "latency",
    "flat",
    "verify",
    "micro",
];
const NUMBERS: [(&str, u64); 8] = [
    ("BENCH_RUNS", 5),
    ("BENCH_LINES", 1_000_000),
    ("BENCH_MB", 1_000),
    ("BENCH_COMPLETED", 100_000),
    ("BENCH_CANDIDATES", 10_000),
    ("BENCH_SECONDS", 10),
    ("BENCH_SIZE_MB", 300),
    ("BENCH_VERIFY_MB", 1_000),
];

fn main() {
    // `cargo test --benches` runs this, too: there is nothing to be tested here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if let Some(at) = std::env::args().position(|argument| argument == bare::ARGUMENT) {
        return bare::run(&std::env::args().skip(at + 1).collect::<Vec<_>>());
    }
    if let Some(base) = std::env::var_os("BENCH_BASE").filter(|base| !base.is_empty()) {
        return quick::run(Path::new(&base));
    }
    let numbers = NUMBERS.map(|(name, usual)| (name, setting(name).unwrap_or(usual), usual));
    let [runs, lines, megabytes, completed, candidates, seconds, size_mb, verify_mb] =
        numbers.map(|(_, is, _)| is);
    let settings =
        Settings { runs, lines, megabytes, completed, candidates, seconds, size_mb, verify_mb };
    let big = setting("BENCH_BIG").unwrap_or(0) > 0;
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |section: &str| only.is_empty() || only.split(',').any(|o| o == section);
    let unknown = only.split(',').find(|o| !o.is_empty() && !SECTIONS.contains(o));
    assert_eq!(unknown, None, "BENCH_ONLY takes {}", SECTIONS.join(","));

    let (contenders, missing) = Contender::all();
    missing.iter().for_each(|line| eprintln!("bench: {line}"));
    let mut bench = Bench::new(settings, big, contenders, missing);
    let micro = wanted("micro").then(|| bench.micro());
    for section in SECTIONS.into_iter().filter(|s| *s != "micro" && wanted(s)) {
        eprintln!("bench: {section}");
        match section {
            "throughput" => bench.throughput(),
            "tls" => bench.tls(),
            "elders" => bench.elders(),
            "kinds" => bench.kinds(),
            "sizes" => bench.sizes(),
            "codecs" => bench.codecs(),
            "text" => bench.text(),
            "latency" => bench.latency(),
            "verify" => bench.verify(),
            _ => bench.flat(),
        }
    }
    bench.sections.extend(micro);

    let is_whole = only.is_empty() && numbers.iter().all(|(_, is, usual)| is >= usual);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or("target".to_string());
    let dir = if is_whole { root.join("docs") } else { root.join(target).join("bench") };
    let mut command: String = numbers
        .iter()
        .filter(|(_, is, usual)| is != usual)
        .map(|(name, is, _)| format!("{name}={is} "))
        .collect();
    if !only.is_empty() {
        command += &format!("BENCH_ONLY={only} ");
    }
    if big {
        command += "BENCH_BIG=1 ";
    }
    let day = machine::today();
    let about = machine::describe(&bench.contenders, &[NEW, OLD, ELDERS[0], ELDERS[1]]);
    let text = report::document(&day, &about, &[command + "make bench"], &bench.sections);
    let title = "Lines per second into Kafka, acks=all (longer is better)";
    let bars = chart::draw(title, &bench.groups);
    let curves = chart::draw_curves("MB a second by the bytes of a line", &bench.curves);
    report::publish(&dir, &[("bench.svg", &bars), ("sizes.svg", &curves), ("bench.md", &text)]);
    eprintln!("bench: written to {}", dir.join("bench.md").display());
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {text}")))
}
