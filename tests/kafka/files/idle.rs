//! Latency, and what an agent costs that has nothing to do.

use std::fs;
use std::time::{Duration, Instant};

use super::scene::spool;

/// System calls that write, and processor time in hundredths of a second, so far.
fn spent(pid: u32) -> (u64, u64) {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).expect("io");
    let writes = io.lines().find_map(|l| l.strip_prefix("syscw: ")).expect("syscw");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("ticks");
    (writes.parse().expect("a number"), ticks(11) + ticks(12))
}

/// Row 23: the tracker of the original grows by 137 kB an hour then.
#[test]
fn an_idle_agent_writes_nothing_and_takes_no_time() {
    let mut scene = spool("idle").file("a_{H}.log", "one\npart", 0).agent_runs();
    scene.arrive(1);
    let pid = scene.agent().pid();
    // Until the last commit and the sweep are over.
    let mut last = spent(pid);
    scene.until("it is quiet", || {
        std::thread::sleep(Duration::from_millis(400));
        let now = spent(pid);
        std::mem::replace(&mut last, now).0 == now.0
    });
    let checkpoint = scene.work.tracker_dir().join("checkpoint");
    let before = (fs::metadata(&checkpoint).expect("it").modified().expect("a time"), spent(pid));
    std::thread::sleep(Duration::from_secs(2));
    let after = (fs::metadata(&checkpoint).expect("it").modified().expect("a time"), spent(pid));
    assert_eq!(after.0, before.0, "the checkpoint was written");
    assert_eq!(after.1.0, before.1.0, "something was written\n{}", scene.log());
    assert!(after.1.1 - before.1.1 <= 4, "{:?} of 200 hundredths", after.1.1 - before.1.1);
    scene.append("a_{H}.log", "ial\n");
    scene.in_the_end(&["one", "partial"]);
}

#[test]
fn a_line_is_in_the_topic_soon_after_its_newline() {
    let mut scene = spool("latency").file("a_{H}.log", "", 0).agent_runs();
    scene.append("a_{H}.log", "first\n");
    scene.arrive(1);
    let mut lines = vec!["first".to_owned()];
    let mut took = Vec::new();
    for n in 0..25 {
        let line = format!("line {n}");
        let start = Instant::now();
        scene.append("a_{H}.log", format!("{line}\n"));
        lines.push(line);
        scene.arrive(lines.len());
        took.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(7));
    }
    took.sort();
    eprintln!("median {:?}, longest {:?}", took[took.len() / 2], took[took.len() - 1]);
    // Far below the half second of polling, also beside other tests.
    assert!(took[took.len() / 2] < Duration::from_millis(250), "{took:?}");
    scene.in_the_end(&lines);
}
