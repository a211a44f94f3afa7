//! `make bench-quick BASE=commit`: this build beside another one, in two minutes. Both run in turns, so
//! that what the machine does besides falls on both, and the verdict counts only what is more than
//! their runs differ among themselves.

use std::path::Path;
use std::time::Duration;

use crate::contenders::{Contender, Job};
use crate::data::{Lines, Text};
use crate::latency;
use crate::rate::{Rate, measure};
use crate::stats::{median, short, thousands};
use crate::support::{Cluster, TempDir};
use crate::{NEW, OLD};

const LINES: u64 = 500_000;
const WARM_UPS: usize = 3;
const RUNS: usize = 7;
const LATENCY_RUNS: usize = 3;
const LATENCY_LENGTH: Duration = Duration::from_millis(1_500);
const RATE: u64 = 20_000;
/// Less than that is no difference, whatever the runs say.
const SMALLEST: f64 = 0.02;

/// One thing that is measured of both.
struct Row {
    what: &'static str,
    /// Of the base, and of this build; one number for each run.
    runs: [Vec<f64>; 2],
    more_is_better: bool,
}

impl Row {
    fn new(what: &'static str, more_is_better: bool) -> Row {
        Row { what, runs: [Vec::new(), Vec::new()], more_is_better }
    }

    fn cells(&self, version: &str) -> Vec<String> {
        let [base, this] = [0, 1].map(|at| median(&self.runs[at]));
        let change = this / base - 1.0;
        let number = |v: f64| if v >= 1e4 { thousands(v) } else { short(v) };
        vec![
            format!("{}, Kafka {version}", self.what),
            number(base),
            number(this),
            format!("{:+.1} %", change * 100.0),
            self.verdict(change).to_string(),
        ]
    }

    /// Two differ if the middle halves of their runs do not meet.
    fn verdict(&self, change: f64) -> &'static str {
        let middle = |at: usize| {
            let mut sorted = self.runs[at].clone();
            sorted.sort_by(f64::total_cmp);
            (sorted[sorted.len() / 4], sorted[(3 * sorted.len() / 4).min(sorted.len() - 1)])
        };
        let (base, this) = (middle(0), middle(1));
        let is_apart = this.0 > base.1 || this.1 < base.0;
        match () {
            () if !is_apart || change.abs() < SMALLEST => "the same",
            () if (change > 0.0) == self.more_is_better => "better",
            () => "WORSE",
        }
    }
}

/// `base`: the program of the other build.
pub fn run(base: &Path) {
    let both = [Contender::Other { program: base.to_owned(), name: "the base" }, Contender::Ours];
    let data = TempDir::new("bench-data");
    let path = data.path().join("lines");
    Lines::new(Text::Plain).write(&path, LINES);
    println!("| | base | this | change | verdict |\n| --- | ---: | ---: | ---: | --- |");
    for version in [NEW, OLD] {
        let cluster = Cluster::with(version).jvm_as_shipped().in_memory().start();
        let one = |who: &Contender| measure(who, &Job::new().link(&path), &cluster, LINES);
        for _ in 0..WARM_UPS {
            one(&both[1]);
        }
        let mut rows = [
            Row::new("lines/s", true),
            Row::new("CPU µs a line", false),
            Row::new("peak MB", false),
            Row::new("p50 ms at 20,000 lines/s", false),
            Row::new("p99 ms at 20,000 lines/s", false),
        ];
        for _ in 0..RUNS {
            for (at, who) in both.iter().enumerate() {
                let Rate { lines_per_s, cpu_us_per_line, peak_mb } = one(who);
                let found = [lines_per_s, cpu_us_per_line, peak_mb];
                rows.iter_mut().zip(found).for_each(|(row, value)| row.runs[at].push(value));
            }
        }
        for _ in 0..LATENCY_RUNS {
            for (at, who) in both.iter().enumerate() {
                let found = latency::measure(who, &cluster, RATE, LATENCY_LENGTH, 1);
                rows[3].runs[at].push(found.p50_ms);
                rows[4].runs[at].push(found.p99_ms);
            }
        }
        rows.iter().for_each(|row| println!("| {} |", row.cells(version).join(" | ")));
    }
}
