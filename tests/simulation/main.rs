//! The whole pipeline in a simulated world: scripted brokers, a disk that loses what was not
//! synced, unruly writers, a jumping clock, and a process that may die at any call.
//!
//! A run is told by its seed. Three hundred of each kind are run at each `cargo test`; others with
//! `FLUME_NG_SIM_SEEDS=n`, and from another one on with `FLUME_NG_SIM_FIRST=n`. `make torture` runs
//! seeds that nobody has run before and notes how many. `FLUME_NG_SIM_ALL=1` tells each that fails and
//! goes on. A seed that fails is replayed alone, with all that happened, by
//! `FLUME_NG_SIM_SEED=seed cargo test --test simulation one_seed -- --nocapture`. With
//! `FLUME_NG_SIM_NEW_NUMBERS=1` files are copied and truncated, replaced by their like, and
//! renumbered in each run, with 0 in none. With `FLUME_NG_SIM_HARD=1` each run is longer and has crashes,
//! unruly writers, directories that are not there for a while, and mostly files that keep their names: a
//! seed says something else then, and such runs find what plain ones hardly do.

mod absences;
mod added;
mod broker;
mod cluster;
mod copied;
mod copies;
#[path = "../support/crash_store.rs"]
#[allow(dead_code)]
mod crash_store;
#[path = "../support/destination.rs"]
mod destination;
mod equal;
mod fuse;
mod hazards;
mod kept;
mod looks;
mod model;
mod numbers;
mod optional;
mod places;
mod returns;
mod rng;
mod room;
mod scenario;
mod world;
mod writers;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flume_ng::log::{self, Level};

use cluster::Version;
use fuse::Trace;
use rng::Rng;
use scenario::Scenario;
use world::World;

/// So many of each kind are in a plain test run.
const SEEDS: u64 = 300;
/// Seeds of a round of `make torture`.
const TORTURE_SEEDS: u64 = 20_000;
/// Lines of a failed run that are printed.
const TOLD: usize = 120;

/// A fault that is put in on purpose: the simulator must find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    Nothing,
    /// What is in doubt is sent again as something new, without a look.
    ResendUnderFreshId,
    /// A batch counts as sent when it is announced.
    CommitBeforeAck,
    /// On the wire before 0.11 "not there" is believed too early.
    NoSettleTime,
    /// fdatasync reports success and does nothing.
    DiskLies,
    /// The broker acknowledges what it does not append.
    AckWithoutAppend,
    /// The broker tells the old ids of a cluster and a topic that are other ones.
    HideOtherLogs,
    /// The state does not say where else what is in doubt may be.
    ForgetFormerLogs,
}

/// A directory in memory, if there is one: every run makes and renames files.
struct Ground(PathBuf);

impl Ground {
    fn new() -> Ground {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "flume-ng-sim-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let memory = Path::new("/dev/shm");
        let root = match std::env::var_os("FLUME_NG_SIM_DIR") {
            Some(dir) => PathBuf::from(dir),
            None if memory.is_dir() => memory.to_owned(),
            None => std::env::temp_dir(),
        };
        let path = root.join(name);
        std::fs::create_dir_all(&path).expect("a directory for the simulation");
        Ground(path)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Seeds from here on follow files of several directories (TAILDIR).
const FOLLOWED: u64 = 1 << 40;
/// Seeds from here on drop whole files (spooldir).
const SPOOLED: u64 = 1 << 41;

fn is_hard() -> bool {
    number("FLUME_NG_SIM_HARD") == Some(1)
}

fn is_torture() -> bool {
    number("FLUME_NG_TORTURE") == Some(1)
}

fn world(seed: u64, is_hard: bool, ground: &Ground, plant: Plant, trace: Trace) -> World {
    let mut draws = Rng::new(!seed);
    let mut scenario = match seed {
        ..FOLLOWED => Scenario::usual(&mut draws),
        FOLLOWED..SPOOLED => Scenario::followed(&mut draws),
        _ => Scenario::spooled(&mut draws),
    };
    scenario = scenario.divided(seed);
    if is_hard {
        scenario = scenario.hardened();
    }
    if let Some(has) = number("FLUME_NG_SIM_NEW_NUMBERS") {
        scenario.has_new_numbers = has == 1 && !scenario.loses_tracker && !scenario.is_followed();
    }
    trace.say(|| format!("{scenario:?}"));
    World::new(seed, &ground.0, scenario, plant, trace)
}

/// Returns how many lines were compared.
fn run(seed: u64, ground: &Ground, plant: Plant, trace: Trace) -> Result<u64, String> {
    let mut world = world(seed, is_hard(), ground, plant, trace);
    scenario::run(&mut world).map(|()| world.lines())
}

/// The run once more, with everything that happens told.
fn replay(seed: u64, ground: &Ground, plant: Plant, lines: usize) -> String {
    log::set_level(Level::Info);
    let trace = Trace::telling();
    let result = run(seed, ground, plant, trace.clone());
    log::set_level(Level::Off);
    let result = result.map(|_| ());
    format!("{}\n{result:?}", trace.last(lines).join("\n"))
}

/// What came of many seeds.
struct Hunt {
    ran: u64,
    /// Lines that were compared.
    lines: u64,
    /// Seed and reason of the first.
    failed: Option<(u64, String)>,
}

/// Runs seeds on all processors until one fails.
fn run_many(first: u64, count: u64, plant: Plant) -> Hunt {
    let goes_on = number("FLUME_NG_SIM_ALL") == Some(1);
    let next = AtomicU64::new(first);
    let (ran, lines) = (AtomicU64::new(0), AtomicU64::new(0));
    let is_over = AtomicBool::new(false);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                log::set_level(Level::Off);
                let ground = Ground::new();
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let result = run(seed, &ground, plant, Trace::default());
                    ran.fetch_add(1, Ordering::Relaxed);
                    match result {
                        Ok(compared) => {
                            lines.fetch_add(compared, Ordering::Relaxed);
                        }
                        Err(why) if goes_on => {
                            println!("seed {seed}: {why}");
                            let mut failed = failed.lock().expect("no panic holds it");
                            failed.get_or_insert((seed, why));
                        }
                        Err(why) => {
                            is_over.store(true, Ordering::Relaxed);
                            failed.lock().expect("no panic holds it").get_or_insert((seed, why));
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic holds it");
    Hunt { ran: ran.into_inner(), lines: lines.into_inner(), failed }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn how_to_replay(seed: u64) -> String {
    let hard = if is_hard() { "FLUME_NG_SIM_HARD=1 " } else { "" };
    format!("{hard}FLUME_NG_SIM_SEED={seed} cargo test --test simulation one_seed -- --nocapture")
}

#[test]
fn every_line_is_there_exactly_once_whatever_happens() {
    hunt(0, "by seed");
}

/// `FLUME_NG_SIM_FIRST` counts from the first of these.
#[test]
fn followed_files_are_there_exactly_once_whatever_happens() {
    hunt(FOLLOWED, "files of two directories followed");
}

/// Likewise.
#[test]
fn dropped_files_are_there_exactly_once_whatever_happens() {
    hunt(SPOOLED, "files dropped into directories");
}

fn hunt(base: u64, what: &str) {
    let rounds = number("TORTURE_ROUNDS").unwrap_or(1).max(1);
    let usual = if is_torture() { TORTURE_SEEDS * rounds } else { SEEDS };
    let count = number("FLUME_NG_SIM_SEEDS").unwrap_or(usual);
    let now_s = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs();
    let unused = if is_torture() { now_s * TORTURE_SEEDS } else { 0 };
    let first = base + number("FLUME_NG_SIM_FIRST").unwrap_or(unused);
    let begun = std::time::Instant::now();
    let Hunt { ran, lines, failed } = run_many(first, count, Plant::Nothing);
    note(what, ran, lines, failed.is_none());
    let seconds = begun.elapsed().as_secs_f64();
    println!("{ran} seeds in {seconds:.1} s, {:.0} a second", ran as f64 / seconds);
    if let Some((seed, why)) = failed {
        let told = replay(seed, &Ground::new(), Plant::Nothing, TOLD);
        panic!("{told}\nseed {seed}: {why}\n{}", how_to_replay(seed));
    }
}

/// Where the row stands in the table; see tests/support/torture.rs.
const HEADING: &str = "1 Kills, stops, crashes and lost answers";

/// For the table of `make torture`; see tests/torture-report.
fn note(what: &str, ran: u64, lines: u64, is_held: bool) {
    let Some(path) = std::env::var_os("FLUME_NG_TORTURE_RESULTS") else { return };
    let outcome = if is_held { "held" } else { "failed" };
    let entry = format!(
        "{HEADING}\tsimulated: brokers, disk, writers, clock and kills at once, {what}\tscripted\t{ran}\t{lines}\t0\t0\t0\t{outcome}\n"
    );
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(entry.as_bytes())).expect("a file for results");
}

/// Replays the seed of `FLUME_NG_SIM_SEED`, if that is set, and tells all.
#[test]
fn one_seed() {
    let Some(seed) = number("FLUME_NG_SIM_SEED") else { return };
    let told = replay(seed, &Ground::new(), Plant::Nothing, usize::MAX);
    println!("{told}");
    assert!(told.ends_with("Ok(())"), "seed {seed} fails");
}

/// The process dies at its first call of a seam, at its second, and so on until a run passes
/// untouched. `make torture` tries each call, `make check` every third.
fn crash_at_every_call(seed: u64, version: Version) {
    log::set_level(Level::Off);
    let ground = Ground::new();
    let step = if is_torture() { 1 } else { 3 };
    for calls in (1..).step_by(step) {
        let go = |trace: Trace| {
            let scenario = Scenario::short(version);
            let mut world = World::new(seed, &ground.0, scenario, Plant::Nothing, trace);
            world.fuse.light(calls);
            (scenario::run(&mut world), world.ends())
        };
        let (result, ends) = go(Trace::default());
        if let Err(why) = result {
            log::set_level(Level::Info);
            let trace = Trace::telling();
            let _ = go(trace.clone());
            log::set_level(Level::Off);
            panic!("{}\n{version:?}, killed at call {calls}: {why}", trace.last(TOLD).join("\n"));
        }
        if ends == 0 {
            println!("{version:?}: {calls} calls");
            return;
        }
    }
}

#[test]
fn a_crash_at_every_call_0_9() {
    crash_at_every_call(1, Version::V09);
}

#[test]
fn a_crash_at_every_call_0_10() {
    crash_at_every_call(1, Version::V010);
}

#[test]
fn a_crash_at_every_call_0_11() {
    crash_at_every_call(2, Version::V011);
}

#[test]
fn a_crash_at_every_call_1_1() {
    crash_at_every_call(3, Version::V11);
}

#[test]
fn a_crash_at_every_call_2_8() {
    crash_at_every_call(4, Version::V28);
}

/// The disk fails at the first call on the checkpoint, at the second, and so on. What was announced
/// by a write that failed must not be sent by the turns in which the agent ends.
#[test]
fn a_disk_that_fails_at_every_call_sends_nothing_unwritten() {
    log::set_level(Level::Off);
    let ground = Ground::new();
    for version in [Version::V09, Version::V010, Version::V011, Version::V28] {
        let go = |fail_in: Option<u32>| {
            let scenario = Scenario { actions: 60, ..Scenario::short(version) };
            let mut world = World::new(1, &ground.0, scenario, Plant::Nothing, Trace::default());
            let started = world.start();
            fail_in.into_iter().for_each(|calls| world.fail_disk(calls));
            let result = started.and_then(|_| scenario::run(&mut world));
            assert_eq!(result, Ok(()), "{version:?}, the disk fails at call {fail_in:?}");
            (world.disk_calls(), world.ends())
        };
        let (calls, _) = go(None);
        let ends: u64 = (0..calls).map(|call| go(Some(call)).1).sum();
        println!("{version:?}: {calls} calls, {ends} ends");
        assert!(ends > 10);
    }
}

/// A simulator that finds nothing proves nothing: each of these faults must be found soon.
#[test]
fn planted_faults_are_found() {
    // The search begins a little before the first seed that is known to find it.
    let plants = [
        (Plant::ResendUnderFreshId, 0, 200),
        (Plant::CommitBeforeAck, 0, 200),
        (Plant::NoSettleTime, 560, 2_000),
        (Plant::DiskLies, 0, 500),
        (Plant::AckWithoutAppend, 0, 200),
        (Plant::HideOtherLogs, 820, 10_000),
    ];
    for (plant, first, seeds_max) in plants {
        let Hunt { ran, failed, .. } = run_many(first, seeds_max, plant);
        let Some((seed, why)) = failed else { panic!("{plant:?} passed {ran} seeds") };
        println!("{plant:?} found after {ran} seeds (seed {seed}): {why}");
    }
}
