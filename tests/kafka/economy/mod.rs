//! What a line costs in allocations and in calls of the kernel, counted: counts are the same on
//! every machine, so a step backwards shows here and not only in `make bench`.

mod allocations;
mod finished;
mod instant;
mod trace;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Brokers, Work, shared};
use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::Wire;
use flume_ng::channel::connect;
use flume_ng::checkpoint::ledger::FileLedger;
use flume_ng::checkpoint::lock::make_directory;
use flume_ng::clock::{Clock, LocalTime, ManualClock, SystemClock};
use flume_ng::config;
use flume_ng::pipeline::{Observer, Pace, Pipeline, Startup, inherit};
use instant::Instant;
use trace::Calls;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// 108 bytes and a newline each.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("{n:0108}\n").into_bytes()).collect()
}

/// Counts what was acknowledged: lines and batches.
#[derive(Default)]
struct Acked {
    lines: u64,
    batches: u64,
}

impl Observer for Acked {
    fn acked(&mut self, _: usize, count: u64, _: Option<&Batch>) {
        self.lines += count;
        self.batches += 1;
    }
}

/// A clock that shows, each time it is looked at, that a writer has written one more line.
struct WriterClock {
    work: Work,
    clock: ManualClock,
    left: Cell<u32>,
}

impl Clock for WriterClock {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        if self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            self.work.append("010_{H}.log", b"one more\n");
        }
        self.clock.monotonic_ms()
    }

    fn local(&self, epoch_ms: i64) -> LocalTime {
        self.clock.local(epoch_ms)
    }
}

/// Sends `count` lines through a pipeline to a broker that takes all; returns how often memory
/// was allocated after the first quarter, and how many rounds those were.
fn allocations_of(wire: Wire, count: usize) -> (u64, u64) {
    let work = work(count);
    let broker = Instant::new(wire);
    let rounds = broker.rounds();
    let mut pipeline = pipeline(&work, broker, Rc::new(SystemClock::new()));
    let mut acked = Acked::default();
    let mut step_until = |end: u64| {
        while acked.lines < end {
            pipeline.step(&mut acked).expect("no fault");
        }
    };
    // Buffers have grown to their sizes by then.
    step_until(count as u64 / 4);
    let (allocated, sent) = (allocations::count(), rounds.get());
    step_until(count as u64);
    (allocations::count() - allocated, rounds.get() - sent)
}

/// With a file of the present hour.
fn work(count: usize) -> Work {
    let topic = Brokers::at("127.0.0.1:1").topic("nowhere");
    Work::new(&topic).file("010_{H}.log", &lines(count), 5)
}

fn pipeline(work: &Work, broker: Instant, clock: Rc<dyn Clock>) -> Pipeline {
    let loaded = config::load(&work.write_conf(), "a1").expect("the reference configuration");
    let mut config = loaded.config;
    let source = Rc::new(config.sources.remove(0));
    let channel = Rc::new(config.destinations.remove(0));
    make_directory(&source.tracker_dir).expect("a tracker directory");
    let startup = Startup {
        agent: "a1".to_string(),
        config: source.clone(),
        channels: vec![(0, channel, Box::new(broker))],
        clock,
        connect: Rc::new(connect::connect),
        ledger: Box::new(FileLedger::new(&source.tracker_dir)),
    };
    let inherited = inherit(&source, 0).expect("an empty tracker directory");
    Pipeline::assemble(startup, inherited).expect("an empty directory")
}

/// More rounds may allocate more, more lines may not.
#[track_caller]
fn assert_allocations(wire: Wire, a_round_max: u64) {
    let (allocations, rounds) = allocations_of(wire, 200_000);
    println!("{wire:?}: {allocations} allocations in {rounds} rounds");
    assert!(rounds > 0, "it was all over before it was counted");
    let most = a_round_max * (rounds + 1);
    assert!(allocations <= most, "{wire:?}: {allocations} allocations in {rounds} rounds");
}

#[test]
fn a_line_costs_no_allocation() {
    assert_allocations(Wire::Modern, 50);
    assert_allocations(Wire::Middle, 50);
    assert_allocations(Wire::Legacy, 50);
}

/// A busy broker answers five small requests later than two larger ones.
#[test]
fn a_few_lines_behind_a_request_do_not_become_a_request_each() {
    let work = work(1000);
    let now_ms = SystemClock::new().now_ms();
    let clock = Rc::new(ManualClock::new(now_ms, 0));
    let broker = Instant::new(Wire::Modern);
    let (rounds, is_mute) = (broker.rounds(), broker.is_mute());
    let mut pipeline = pipeline(&work, broker, clock.clone());
    let mut acked = Acked::default();
    let mut rounds_after = |step: &str, text: &[u8]| {
        work.append("010_{H}.log", text);
        for _ in 0..50 {
            pipeline.step(&mut acked).expect(step);
        }
        (rounds.get(), acked.lines)
    };
    let (first, all) = rounds_after("the file", b"");
    assert_eq!(all, 1000);
    is_mute.set(true);
    assert_eq!(rounds_after("nothing under way", b"one\n"), (first + 1, all));
    assert_eq!(rounds_after("little behind it", b"two\n"), (first + 1, all));
    assert_eq!(rounds_after("little behind it", b"three\n"), (first + 1, all));
    assert_eq!(rounds_after("much behind it", &lines(1000)), (first + 2, all));
    assert_eq!(rounds_after("little again", b"four\n"), (first + 2, all));
    clock.advance(10);
    assert_eq!(rounds_after("no answer for a while", b"five\n"), (first + 3, all));
    assert_eq!(rounds_after("little again", b"six\n"), (first + 3, all));
    is_mute.set(false);
    assert_eq!(rounds_after("the answers", b""), (first + 4, all + 1006));
}

/// Each line that is written would wake the agent, which could do nothing about it.
#[test]
fn while_a_few_lines_wait_for_an_answer_their_file_wakes_nobody() {
    let work = work(1000);
    let clock = Rc::new(ManualClock::new(SystemClock::new().now_ms(), 0));
    let broker = Instant::new(Wire::Modern);
    let is_mute = broker.is_mute();
    let mut pipeline = pipeline(&work, broker, clock.clone());
    let mut acked = Acked::default();
    let mut rest_after = |text: &[u8]| {
        work.append("010_{H}.log", text);
        loop {
            if let Pace::Rest(ms) = pipeline.step(&mut acked).expect("no fault") {
                return (pipeline.awaits_answer(), ms);
            }
        }
    };
    assert!(!rest_after(b"").0, "nothing is under way");
    is_mute.set(true);
    assert!(!rest_after(b"one\n").0, "nothing waits");
    let (awaits_answer, ms) = rest_after(b"two\n");
    assert!(awaits_answer);
    assert!(ms <= 10, "without an answer it goes out all the same");
    clock.advance(10);
    assert!(!rest_after(b"").0, "it has gone out");
    is_mute.set(false);
    assert!(!rest_after(b"").0, "all is answered");
}

/// A round that took along what was written while it was made went out in a batch of many lines
/// and one or two of a line each.
#[test]
fn a_writer_that_never_rests_does_not_get_a_batch_for_each_line() {
    const LINES: u32 = 2_000;
    let written = Rc::new(WriterClock {
        work: work(1),
        clock: ManualClock::new(SystemClock::new().now_ms(), 0),
        left: Cell::new(LINES),
    });
    let broker = Instant::new(Wire::Modern);
    let rounds = broker.rounds();
    let mut pipeline = pipeline(&written.work, broker, written.clone());
    let mut acked = Acked::default();
    while acked.lines < u64::from(LINES) + 1 {
        pipeline.step(&mut acked).expect("no fault");
    }
    assert_eq!(acked.batches, rounds.get(), "batches, rounds of {LINES} lines");
}

/// Each three of them had a commit of their own: ten thousand files took more than three thousand syncs.
#[test]
fn small_files_share_commits() {
    const FILES: u64 = 45;
    let work = work(1);
    for n in 0..FILES {
        work.write(&format!("{n:03}_{{H-1}}.log"), b"a line\n", 10);
    }
    let broker = Instant::new(Wire::Modern);
    let rounds = broker.rounds();
    let mut pipeline = pipeline(&work, broker, Rc::new(SystemClock::new()));
    let mut acked = Acked::default();
    while acked.lines < FILES {
        pipeline.step(&mut acked).expect("no fault");
    }
    let (commits, rounds) = (pipeline.generation(), rounds.get());
    println!("{commits} commits, {rounds} rounds");
    assert!(rounds >= FILES / 3, "{rounds} rounds");
    // The first round goes alone: only its answer proves that the broker knows the producer.
    assert!(commits <= 5, "{commits} commits for {rounds} rounds");
}

/// Runs the agent over `count` lines and counts its calls.
fn calls_of(version: &str, count: usize) -> Calls {
    let topic = shared(version).fresh_topic("calls", 3);
    let work = Work::new(&topic).file("010_{H}.log", &lines(count), 5);
    let stop = {
        let topic = topic.clone();
        move || topic.wait_for(count, Duration::from_secs(60))
    };
    trace::run(work.command(), &work.dir().join("traced.log"), stop)
}

/// By a short run and a long one, so that start and end, which are in both, do not count.
fn assert_calls(version: &str) {
    const FEW: usize = 20_000;
    const MANY: usize = 200_000;
    const BLOCK_BYTES: u64 = 128 * 1024;
    let (few, many) = (calls_of(version, FEW), calls_of(version, MANY));
    let more = |number| many.of(number).saturating_sub(few.of(number));
    let bytes = ((MANY - FEW) * 109) as u64;
    let rounds = more(libc::SYS_fdatasync);
    println!("{version}: {rounds} rounds, short run {few:?}, long run {many:?}");
    // A round fills three batches of 512 KiB.
    assert!(rounds <= bytes / 1_000_000, "{rounds} rounds for {bytes} bytes");
    let writes = more(libc::SYS_pwrite64);
    assert!(writes <= rounds + 1, "{writes} writes for {rounds} syncs of the checkpoint");
    // Before each of a round's three slices, and after each block, the file's first bytes and those
    // before the position are compared; a block that a slice ends in may be read on in two.
    let reads = more(libc::SYS_pread64);
    assert!(reads <= 3 * bytes / BLOCK_BYTES + 8 * rounds, "{reads} reads of {bytes} bytes");
    // What is left: the connection, the clock, looks at the files, a log line for 10,000 events.
    let rest = many.all() - few.all() - reads;
    assert!(rest <= 40 * rounds, "{rest} further calls in {rounds} rounds");
}

#[test]
fn a_line_costs_no_call_of_its_own_on_the_modern_wire() {
    assert_calls("4.3.1");
}

#[test]
fn a_line_costs_no_call_of_its_own_on_the_middle_wire() {
    assert_calls("0.10.2.0");
}

/// Files that are dropped into a directory at once: what is asked of the file system for each.
#[test]
fn a_dropped_file_is_not_asked_for_again_and_again() {
    const FILES: usize = 1_000;
    let topic = shared("4.3.1").fresh_topic("dropped", 3);
    let work = Work::new(&topic).conf(crate::spooldir::CONF);
    for n in 0..FILES {
        work.write(&format!("{n:04}.log"), b"a line\n", 60);
    }
    let until = {
        let topic = topic.clone();
        let last = work.path("0999.log.COMPLETED");
        move || {
            topic.wait_for(FILES, Duration::from_secs(60));
            let ends = std::time::Instant::now() + Duration::from_secs(60);
            while !last.exists() && std::time::Instant::now() < ends {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    let calls = trace::run(work.command(), &work.dir().join("traced.log"), until);
    println!("{calls:?}");
    let asked = calls.of(libc::SYS_statx) + calls.of(libc::SYS_readlink);
    // Each is opened, looked at, renamed, looked for under both names and done.
    assert!(asked < 120 * FILES as u64, "{asked} questions for {FILES} files");
}

/// From the start until the first record is in the topic.
#[test]
fn a_start_lists_the_directory_once() {
    const FINISHED: usize = 20_000;
    let topic = shared("4.3.1").fresh_topic("listed", 3);
    let work = Work::new(&topic).file("010_{H}.log", b"one\n", 5);
    let mut agent = work.start();
    agent.expect_records(&topic, 1, Duration::from_secs(60));
    agent.term();
    for n in 0..FINISHED {
        std::fs::write(work.path(&format!("{n:05}_2017010112.log.COMPLETED")), "").expect("a file");
    }
    let all = std::fs::read_dir(work.spool()).expect("the spool directory").count();
    work.append("010_{H}.log", b"two\n");
    // The stamp of what was made above is not of the present tick of the clock any more.
    std::thread::sleep(Duration::from_millis(30));
    let started = std::time::Instant::now();
    let until = {
        let topic = topic.clone();
        move || topic.wait_for(2, Duration::from_secs(60))
    };
    let calls = trace::run(work.command(), &work.dir().join("traced.log"), until);
    // The kernel's answer has 32 KB, and a name of this length takes 56 bytes of it; two more end
    // each listing, and the tracker directory has one.
    let listing = all as u64 * 56 / 32_768 + 4;
    // One more is due after 250 ms, which a busy machine may need.
    let listings = 1 + started.elapsed().as_millis() as u64 / 250;
    let made = calls.of(libc::SYS_getdents64);
    assert!(made <= listing * listings + 4, "{made} calls for {listings} listings of {listing}");
}
