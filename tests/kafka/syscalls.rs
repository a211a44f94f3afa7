//! kill -9 at the k-th call of every system call that the agent makes, k = 1, 2, 3 ... until a
//! run passes untouched; and a disk that fails or is full at the k-th call on the files of the
//! tracker directory. Then the agent is started again, and the topic has to be exact.
//!
//! `strace` does it. Where it cannot be had, or may not trace, the tests say so and pass.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::routes::{LAST_DIGIT, with_keys};
use crate::support::cluster::fresh_name;
use crate::support::torture::{Chance, Tally, difference, is_long, lines};
use crate::support::{Brokers, Topic, Work, shared};
use crate::{spooldir, taildir};

const FILE: &str = "010_{H}.log";
/// The first word of a line is the end of its topic's name.
const NAMED: &str = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\n\
    a1.sources.r1.type = com.github.ningg.flume.source.SpoolDirectoryTailFileSource\n\
    a1.sources.r1.spoolDir = @SPOOL@\na1.sources.r1.targetPattern = .*(\\\\d){10}.*\n\
    a1.sources.r1.targetFilename = yyyyMMddHH\na1.sources.r1.trackerDir = .flumespooltail\n\
    a1.sources.r1.channels = c1\na1.sources.r1.interceptors = i1\n\
    a1.sources.r1.interceptors.i1.type = regex_extractor\na1.sources.r1.interceptors.i1.regex = ^(old|new)\n\
    a1.sources.r1.interceptors.i1.serializers = s1\n\
    a1.sources.r1.interceptors.i1.serializers.s1.name = end\na1.channels.c1.type = memory\n\
    a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
    a1.sinks.k1.kafka.bootstrap.servers = @BROKERS@\na1.sinks.k1.useFlumeEventFormat = true\n";
const OLD_FILE: &str = "010_{H-1}.log";
const OLD: u64 = 40;
const NEW: u64 = 60;
/// A run under strace is done, or stuck, after this time.
const RUN_MAX: Duration = Duration::from_secs(60);
/// Cases at a time: mostly they wait for a disk or a broker.
const WORKERS: usize = 4;
/// Cases of a test in `make test`; `make torture` does all of them.
const QUICK: usize = 10;

/// What changes the world, and what the world answers.
const CALLS: [&str; 13] = [
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "rename",
    "renameat2",
    "writev",
    "sendto",
    "recvfrom",
    "read",
    "openat",
    "unlink",
    "ftruncate",
];
/// Between them: here it dies right after one of the above.
const CALLS_BETWEEN: [&str; 8] =
    ["close", "statx", "ppoll", "pread64", "mkdir", "flock", "fallocate", "connect"];
/// On the files of the tracker directory.
const CALLS_OF_STATE: [&str; 9] = [
    "openat",
    "write",
    "pwrite64",
    "fdatasync",
    "fsync",
    "rename",
    "ftruncate",
    "fallocate",
    "flock",
];
const FILES_OF_STATE: [&str; 5] = ["", "checkpoint", "checkpoint.new", "receipts", "lock"];

/// What is done at the k-th call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    Error(&'static str),
}

/// What kind of source it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SpoolTail,
    Taildir,
    ExecTail,
    SpoolDir,
    /// `trackingPolicy = tracker_dir`, with a subdirectory.
    SpoolDirWithMarkers,
    /// Keys choose the partition.
    Keyed,
    /// Each line names its topic.
    Named,
}

/// Where headers decide.
const ROUTED: [Kind; 2] = [Kind::Keyed, Kind::Named];
const KINDS: [Kind; 4] = [Kind::Taildir, Kind::ExecTail, Kind::SpoolDir, Kind::SpoolDirWithMarkers];

impl Kind {
    /// An old file and a new one.
    fn files(self) -> [&'static str; 2] {
        match self {
            Kind::SpoolTail | Kind::Keyed | Kind::Named => [OLD_FILE, FILE],
            Kind::Taildir | Kind::ExecTail => ["two/old.log", "one/new.log"],
            Kind::SpoolDir => ["old", "new"],
            Kind::SpoolDirWithMarkers => ["below/old", "new"],
        }
    }

    fn work(self, topic: &Topic) -> Work {
        let work = Work::new(topic);
        let work = match self {
            Kind::SpoolTail => work,
            Kind::Keyed => with_keys(work, topic, LAST_DIGIT),
            Kind::Named => {
                let base = topic.name().strip_suffix("new").expect("the new file's topic");
                work.conf(NAMED).set("a1.sinks.k1.kafka.topic", format!("{base}%{{end}}"))
            }
            Kind::Taildir => work.conf(taildir::CONF),
            Kind::ExecTail => work.conf(taildir::EXEC),
            Kind::SpoolDir => work.conf(spooldir::CONF),
            Kind::SpoolDirWithMarkers => work
                .conf(spooldir::CONF)
                .set("a1.sources.r1.recursiveDirectorySearch", "true")
                .set("a1.sources.r1.trackingPolicy", "tracker_dir"),
        };
        let work = ["one", "two", "below"]
            .into_iter()
            .filter(|dir| self.files().iter().any(|name| name.starts_with(dir)))
            .fold(work, Work::subdirectory);
        let [old, new] = self.files();
        work.set("a1.sources.r1.retireGraceMs", 50).file(old, &lines("old", 0, OLD), 3_600).file(
            new,
            &lines("new", 0, NEW),
            0,
        )
    }

    fn tracker_dir(self, work: &Work) -> PathBuf {
        match self {
            Kind::Taildir => work.dir().join("state/position.json.d"),
            Kind::ExecTail => work.dir().join("state"),
            _ => work.tracker_dir(),
        }
    }

    /// Is the old file done with?
    fn is_over(self, work: &Work) -> bool {
        let [old, _] = self.files();
        match self {
            Kind::SpoolTail | Kind::Keyed | Kind::Named | Kind::SpoolDir => {
                !work.path(old).exists()
            }
            Kind::Taildir | Kind::ExecTail => true,
            Kind::SpoolDirWithMarkers => {
                work.tracker_dir().join(format!("{old}.COMPLETED")).exists()
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    kind: Kind,
    call: &'static str,
    blow: Blow,
    k: u64,
}

/// How a run under strace went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// Nothing was done to it: everything arrived and it stopped in order.
    Untouched,
    Struck,
}

/// `make test` leaves these tests out, and says so, where strace is missing.
fn expect_strace() {
    let probe = Command::new("strace")
        .args(["-f", "-D", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let there = probe.is_ok_and(|status| status.success());
    assert!(there, "install strace, and permit it to trace; or leave out: -- --skip syscalls::");
}

/// The agent's command under strace. With -D the agent is our own child and strace its
/// grandchild, so that signals and the end of a test reach the agent itself.
fn under_strace(work: &Work, case: Case) -> Command {
    let agent = work.command();
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o"]).arg(work.dir().join("strace"));
    let blow = match case.blow {
        Blow::Kill => "signal=SIGKILL".to_string(),
        Blow::Error(name) => format!("error={name}"),
    };
    command.arg("-e").arg(format!("trace={}", case.call));
    command.arg("-e").arg(format!("inject={}:{blow}:when={}", case.call, case.k));
    if case.blow != Blow::Kill {
        for name in FILES_OF_STATE {
            let dir = case.kind.tracker_dir(work);
            command.arg("-P").arg(if name.is_empty() { dir } else { dir.join(name) });
        }
    }
    command.arg(agent.get_program()).args(agent.get_args()).current_dir(work.dir());
    command
}

/// The topics of a case; the last one is that of its configuration, or where the new file's lines go.
fn topics(brokers: &Brokers, kind: Kind) -> Vec<Topic> {
    match kind {
        Kind::Keyed => vec![brokers.fresh_topic("syscall", 3)],
        Kind::Named => {
            let base = fresh_name("syscall");
            ["old", "new"].map(|end| brokers.create_topic(&format!("{base}-{end}"), 1)).into()
        }
        _ => vec![brokers.fresh_topic("syscall", 1)],
    }
}

fn count(topics: &[Topic]) -> u64 {
    topics.iter().map(|topic| topic.count() as u64).sum()
}

/// A run that ends by `case`, if it ever comes to it.
fn killed_first(work: &Work, case: Case) {
    let mut agent = work.start_command(under_strace(work, case));
    agent.wait(Duration::from_secs(3));
    agent.kill9();
}

/// A first kill that leaves a batch in doubt of which the next start says `outcome`.
fn doubtful(brokers: &Brokers, call: &'static str, outcome: &str) -> Case {
    for k in 1..100 {
        let case = Case { kind: Kind::SpoolTail, call, blow: Blow::Kill, k };
        let topics = [brokers.fresh_topic("doubt", 1)];
        let work = case.kind.work(&topics[0]);
        killed_first(&work, case);
        let mut agent = work.start();
        agent.expect("all lines", RUN_MAX, || count(&topics) >= OLD + NEW);
        agent.term();
        if agent.log().contains(outcome) {
            return case;
        }
    }
    panic!("no {call} leaves a batch that is {outcome}");
}

/// Runs one case to its end; `first`, if any, kills the run before, so that `case` strikes
/// while that one's doubts are being resolved.
fn strike(brokers: &Brokers, version: &str, first: Option<Case>, case: Case) -> Run {
    let name = format!("{case:?} after {first:?}");
    let topics = topics(brokers, case.kind);
    let work = case.kind.work(topics.last().expect("a topic"));
    if let Some(first) = first {
        killed_first(&work, first);
    }
    let mut agent = work.start_command(under_strace(&work, case));
    let is_done = || count(&topics) >= OLD + NEW && case.kind.is_over(&work);
    let start = Instant::now();
    while agent.is_running() && !is_done() {
        assert!(start.elapsed() < RUN_MAX, "{version} {name}: it hangs\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(15));
    }
    let status = agent.term();
    let traced = std::fs::read_to_string(work.dir().join("strace")).unwrap_or_default();
    let run = match case.blow {
        Blow::Kill if status.code() == Some(0) => Run::Untouched,
        Blow::Error(_) if !traced.contains("(INJECTED)") => Run::Untouched,
        _ => Run::Struck,
    };
    let code = status.code();
    let log = agent.log();
    match case.blow {
        Blow::Kill => assert!(code == Some(0) || code.is_none(), "{name}: {status}\n{log}"),
        // Either it could wait and try again, or it says that it cannot keep its word.
        Blow::Error(error) => {
            assert!(code == Some(0) || code == Some(70), "{name}: {status}\n{log}");
            let words = match error {
                "ENOSPC" => "No space left on device",
                _ => "Input/output error",
            };
            let says_so = log.contains("FATAL") && log.contains(words);
            assert!(code == Some(0) || says_so, "{name}: {log}");
        }
    }

    let mut agent = work.start();
    work.append(case.kind.files()[1], &lines("new", NEW, NEW + 20));
    agent.expect(&format!("{version} {name}: all lines"), RUN_MAX, || {
        count(&topics) >= OLD + NEW + 20 && case.kind.is_over(&work)
    });
    assert_eq!(agent.term().code(), Some(0), "{name}\n{}", agent.log());
    let series = [("old", OLD), ("new", NEW + 20)];
    for (at, topic) in topics.iter().enumerate() {
        let its = if topics.len() == 1 { &series[..] } else { &series[at..=at] };
        let found = difference(topic, its);
        assert!(found.is_none(), "{version} {name}: {found:#?}\n{log}\nthen:\n{}", agent.log());
    }
    run
}

/// All k of a call, until a run passes untouched; how many did something.
fn sweep(
    brokers: &Brokers,
    version: &str,
    (kind, first): (Kind, Option<Case>),
    (call, blow): (&'static str, Blow),
    step: u64,
) -> u64 {
    let mut struck = 0;
    let mut k = 1;
    while strike(brokers, version, first, Case { kind, call, blow, k }) == Run::Struck {
        struck += 1;
        k += step;
    }
    struck
}

/// Every k of all calls, several calls at a time.
fn long(
    version: &str,
    (kind, first): (Kind, Option<Case>),
    (calls, blow): (&[&'static str], Blow),
    step: u64,
    tally: &mut Tally,
) {
    let brokers = shared(version);
    let next = AtomicUsize::new(0);
    let struck: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut struck = 0;
                    while let Some(&call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let times = sweep(brokers, version, (kind, first), (call, blow), step);
                        println!(
                            "{version} {kind:?} {blow:?} at {call} after {first:?}: {times} times"
                        );
                        struck += times;
                    }
                    struck
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a sweep")).sum()
    });
    tally.add(struck, struck * (OLD + NEW + 20));
}

/// A few cases that chance chooses, two at a time.
fn quick(version: &str, kinds: &[Kind], calls: &[&'static str], blows: &[Blow], tally: &mut Tally) {
    let brokers = shared(version);
    let begun = AtomicUsize::new(0);
    let struck: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut chance = Chance::new();
                    let mut struck = 0;
                    while begun.fetch_add(1, Ordering::Relaxed) < QUICK {
                        let call = calls[chance.below(calls.len() as u64) as usize];
                        let blow = blows[chance.below(blows.len() as u64) as usize];
                        let most = [4, 40][chance.below(2) as usize];
                        let k = 1 + chance.below(most);
                        let kind = kinds[chance.below(kinds.len() as u64) as usize];
                        let case = Case { kind, call, blow, k };
                        struck += u64::from(strike(brokers, version, None, case) == Run::Struck);
                    }
                    struck
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
    });
    tally.add(struck, struck * (OLD + NEW + 20));
}

fn killed(version: &str) {
    expect_strace();
    let mut tally = Tally::new("kill -9 at the k-th call of a system call", version);
    if is_long() {
        long(version, SPOOL_TAIL, (&CALLS, Blow::Kill), 1, &mut tally);
        long(version, SPOOL_TAIL, (&CALLS_BETWEEN, Blow::Kill), 3, &mut tally);
    } else {
        quick(version, &[Kind::SpoolTail], &CALLS, &[Blow::Kill], &mut tally);
    }
}

/// The same, while the start after another kill looks for what that one left in doubt: once
/// with a batch that was not sent, once with one that was and whose answer was not read.
fn killed_again(version: &str, calls: [&'static str; 2]) {
    expect_strace();
    let mut tally = Tally::new("kill -9 at the k-th call while doubts are resolved", version);
    for (call, outcome) in calls.iter().zip(["not in the topic", "found in the topic"]) {
        let first = doubtful(shared(version), call, outcome);
        long(version, (Kind::SpoolTail, Some(first)), (&CALLS, Blow::Kill), 1, &mut tally);
    }
}

#[test]
#[ignore = "long: make torture"]
fn killed_again_with_4_3_1() {
    killed_again("4.3.1", ["writev", "recvfrom"]);
}

#[test]
#[ignore = "long: make torture"]
fn killed_again_with_0_10_2_0() {
    killed_again("0.10.2.0", ["writev", "recvfrom"]);
}

#[test]
fn killed_with_4_3_1() {
    killed("4.3.1");
}

#[test]
fn killed_with_0_10_2_0() {
    killed("0.10.2.0");
}

const SPOOL_TAIL: (Kind, Option<Case>) = (Kind::SpoolTail, None);

/// A disk that fails, or is full, under the agent's own state.
#[test]
fn the_disk_fails() {
    expect_strace();
    let errors = [Blow::Error("EIO"), Blow::Error("ENOSPC")];
    let version = "4.3.1";
    let mut tally = Tally::new("EIO or ENOSPC at the k-th call on the agent's state", version);
    if is_long() {
        for blow in errors {
            long(version, SPOOL_TAIL, (&CALLS_OF_STATE, blow), 1, &mut tally);
        }
    } else {
        quick(version, &[Kind::SpoolTail], &CALLS_OF_STATE, &errors, &mut tally);
    }
}

/// The same of other kinds of sources.
fn sources(
    version: &str,
    (kinds, of): (&[Kind], &str),
    (calls, blows): (&[&'static str], &[Blow]),
    what: &str,
) {
    expect_strace();
    let mut tally = Tally::new(&format!("{of}: {what}"), version);
    if is_long() {
        for &kind in kinds {
            for blow in blows {
                long(version, (kind, None), (calls, *blow), 1, &mut tally);
            }
        }
    } else {
        quick(version, kinds, calls, blows, &mut tally);
    }
}

const OTHERS: (&[Kind], &str) = (&KINDS, "TAILDIR, exec tail, spooldir");
const DIVIDED: (&[Kind], &str) = (&ROUTED, "keys, topics that lines name");
const KILLED: &str = "kill -9 at the k-th call of a system call";
const FAILED: &str = "EIO or ENOSPC at the k-th call on the agent's state";
const ERRORS: [Blow; 2] = [Blow::Error("EIO"), Blow::Error("ENOSPC")];

#[test]
fn other_sources_killed_with_4_3_1() {
    sources("4.3.1", OTHERS, (&CALLS, &[Blow::Kill]), KILLED);
}

#[test]
fn other_sources_killed_with_0_10_2_0() {
    sources("0.10.2.0", OTHERS, (&CALLS, &[Blow::Kill]), KILLED);
}

#[test]
fn the_disk_fails_under_other_sources() {
    sources("4.3.1", OTHERS, (&CALLS_OF_STATE, &ERRORS), FAILED);
}

#[test]
fn killed_while_headers_decide_with_4_3_1() {
    sources("4.3.1", DIVIDED, (&CALLS, &[Blow::Kill]), KILLED);
}

#[test]
fn killed_while_headers_decide_with_0_10_2_0() {
    sources("0.10.2.0", DIVIDED, (&CALLS, &[Blow::Kill]), KILLED);
}

#[test]
fn the_disk_fails_while_headers_decide() {
    sources("4.3.1", DIVIDED, (&CALLS_OF_STATE, &ERRORS), FAILED);
}
