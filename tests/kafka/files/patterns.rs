//! Patterns that backtrack without end, on names and lines that somebody has made for them.

use std::time::Duration;

use crate::support::torture::{Group, V010, hazard};
use crate::support::{Work, shared, wait_for};

/// Each `a` may be taken in two ways, and no way leads to a `b`; the look-ahead keeps it from the engine
/// that needs no backtracking.
const RUNAWAY: &str = "(?!x)(a|a)*b(?!x)";
/// As long as a stop may take.
const STOP_MAX: Duration = Duration::from_secs(2);
/// To match 200 names on which the pattern backtracks takes ten seconds of a processor, which others use as well.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_filter_that_backtracks_does_not_hold_up_a_stop() {
    let _row = hazard(Group::Lines, "a filter that backtracks on 5,000 lines, and a stop", V010);
    let topic = shared("0.10.2.0").topic("pattern-lines");
    let lines = "a".repeat(80) + "\n";
    let work = Work::new(&topic)
        .set("a1.sources.r1.interceptors", "f")
        .set("a1.sources.r1.interceptors.f.type", "regex_filter")
        .set("a1.sources.r1.interceptors.f.regex", format!("^{RUNAWAY}"))
        .file("010_{H}.log", lines.repeat(5_000).as_bytes(), 0);
    let mut agent = work.start();
    assert!(wait_for(PATIENCE, || agent.log().contains("kept unfiltered")));
    let (status, took) = agent.term_timed();
    assert_eq!(status.code(), Some(0));
    assert!(took < STOP_MAX, "{took:?}");
}

/// A single step of a match may read the rest of the line, which nothing counts.
#[test]
fn a_match_that_reads_a_long_line_again_and_again_does_not_hold_up_a_stop() {
    let _row = hazard(
        Group::Lines,
        "a filter that reads a line of 1 MB a million times, and a stop",
        V010,
    );
    let topic = shared("0.10.2.0").topic("pattern-long");
    let line = "a".repeat(30) + &"y".repeat(1_000_000) + "\n";
    let work = Work::new(&topic)
        .set("a1.sources.r1.deserializer.maxLineLength", 2_000_000)
        .set("a1.sources.r1.interceptors", "f")
        .set("a1.sources.r1.interceptors.f.type", "regex_filter")
        .set("a1.sources.r1.interceptors.f.regex", "^(?!x)(a|a)*(?=.*z)b")
        .file("010_{H}.log", line.as_bytes(), 0);
    for (option, code) in [(None, 0), (Some("--once"), 75)] {
        let mut command = work.command();
        command.args(option);
        let mut agent = work.start_command(command);
        // Ticks of a hundredth of a second in user mode.
        let stat = format!("/proc/{}/stat", agent.pid());
        let is_busy = || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            let behind_name = stat.rsplit(')').next().unwrap_or_default();
            let ticks = behind_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok());
            ticks.is_some_and(|ticks: u64| ticks > 150)
        };
        assert!(wait_for(PATIENCE, is_busy), "{}", agent.log());
        let (status, took) = agent.term_timed();
        assert_eq!(status.code(), Some(code), "{}", agent.log());
        assert!(took < STOP_MAX, "{took:?}");
        assert!(agent.log().contains("stopped while an interceptor looked at a line"));
    }
}

#[test]
fn names_that_a_pattern_backtracks_on_hold_up_neither_a_stop_nor_other_files() {
    let _row = hazard(Group::Lines, "200 names on which targetPattern backtracks", V010);
    let topic = shared("0.10.2.0").topic("pattern-names");
    let mut work = Work::new(&topic)
        .set("a1.sources.r1.targetPattern", format!("{RUNAWAY}|.*(\\\\d){{10}}.*"))
        .file("010_{H}.log", b"one\n", 0);
    for number in 0..200 {
        work = work.file(&format!("{}-{number}", "a".repeat(100)), b"none\n", 100);
    }
    let mut agent = work.start();
    agent.expect_records(&topic, 1, PATIENCE);
    work.append("010_{H}.log", b"two\n");
    agent.expect_records(&topic, 2, PATIENCE);
    let (status, took) = agent.term_timed();
    assert_eq!(status.code(), Some(0));
    assert!(took < STOP_MAX, "{took:?}");
}
