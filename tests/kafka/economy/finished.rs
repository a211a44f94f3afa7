//! What files that are done, or that cannot be opened, cost those that are read.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use flume_ng::checkpoint::lock::make_directory;
use flume_ng::checkpoint::receipt::{Receipt, Receipts};
use flume_ng::clock::{Clock, ManualClock, SystemClock};
use flume_ng::config;
use flume_ng::source::{Files, reach};

use crate::support::torture::{Group, NONE, hazard};
use crate::support::{Brokers, Work};

fn work() -> Work {
    Work::new(&Brokers::at("127.0.0.1:1").topic("nowhere"))
}

fn files(work: &Work, clock: &ManualClock) -> Files {
    let loaded = config::load(&work.write_conf(), "a1").expect("the reference configuration");
    let source = loaded.config.sources.into_iter().next().expect("a source");
    make_directory(&source.tracker_dir).expect("a tracker directory");
    Files::new(Rc::new(source), Rc::new(clock.clone()))
}

fn now() -> ManualClock {
    ManualClock::new(SystemClock::new().now_ms(), 0)
}

/// Bytes that this thread has read so far, by the kernel's count.
fn bytes_read() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/io").expect("the thread's counts");
    let line = counts.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("rchar");
    line.parse().expect("a number")
}

/// Processor time of this thread, ns.
fn processor_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes to `time` alone.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Reads what there is to read; how many files that was.
fn read_all(files: &mut Files) -> usize {
    let mut read = 0;
    while let Some(at) = files.choose() {
        let tracked = files.at_mut(at);
        let size = tracked.file.metadata().expect("a file").len();
        tracked.read_position = size;
        tracked.record.position = size;
        read += 1;
    }
    read
}

/// The inodes of files that were deleted are given to new ones, of which each was looked up in all
/// receipts.
#[test]
fn a_file_whose_inode_was_used_before_does_not_read_all_receipts() {
    let _row = hazard(Group::Sticks, "file whose inode was used before, 20000 receipts", NONE);
    const FILES: u64 = 200;
    const RECEIPTS: u64 = 20_000;
    let clock = now();
    let work = work();
    let mut receipts = Vec::new();
    for n in 0..FILES {
        let name = format!("{n:03}_{{H}}.log");
        work.write(&name, b"a line\n", 0);
        let stat = std::fs::metadata(work.path(&name)).expect("a file");
        receipts.push(Receipt {
            device: stat.dev(),
            inode: stat.ino(),
            born_ns: 1,
            name: b"of_old.log".to_vec(),
            ..Receipt::default()
        });
    }
    let first = receipts[0].clone();
    receipts.extend((0..RECEIPTS).map(|n| Receipt { inode: 1 << 40 | n, ..first.clone() }));
    let tracker = work.tracker_dir();
    make_directory(&tracker).expect("a tracker directory");
    Receipts::new(&tracker).append_all(&receipts).expect("room");
    let all = std::fs::metadata(tracker.join("receipts")).expect("receipts").len();

    let before = bytes_read();
    let mut files = files(&work, &clock);
    files.refresh(true);
    assert_eq!(read_all(&mut files), FILES as usize);
    let read = bytes_read() - before;
    println!("{read} bytes read, of {all} bytes of receipts");
    assert!(read < 2 * all, "{read} bytes read, of {all} bytes of receipts");
}

/// A spool directory with so many files that cannot be opened, half of them of a past hour, and
/// one that can. The least processor time, ns, of a turn of the loop in which a line of this is
/// found.
fn time_of_a_line(unreadable: u64) -> u64 {
    let clock = now();
    let work = work();
    for n in 0..unreadable {
        let hour = if n % 2 == 0 { "H-1" } else { "H" };
        work.write(&format!("bad{n:05}_{{{hour}}}.log"), b"a line\n", 10);
    }
    work.write("good_{H}.log", b"first\n", 0);
    let mut files = files(&work, &clock);
    files.refresh(true);
    let tries = Rc::new(Cell::new(0));
    let counted = tries.clone();
    reach::set_mishap(Some(Box::new(move |path| {
        let is_bad = path.file_name()?.to_str()?.starts_with("bad");
        is_bad.then(|| {
            counted.set(counted.get() + 1);
            std::io::Error::from_raw_os_error(libc::EACCES)
        })
    })));
    assert_eq!(read_all(&mut files), 1);
    let mut least = u64::MAX;
    let turns = 20;
    for _ in 0..turns {
        clock.advance(50);
        work.append("good_{H}.log", b"one more\n");
        let before = processor_ns();
        assert!(files.choose().is_some(), "the line is read");
        least = least.min(processor_ns() - before);
        read_all(&mut files);
    }
    // Within these two seconds each is tried once more at most, if a try in a second is due.
    reach::set_mishap(None);
    let tries = tries.get();
    println!("{unreadable} files: {least} ns a line, {tries} tries to open one");
    let due = 1 + turns * 50 / unreadable.max(1_000);
    assert!(tries <= unreadable * (due + 1), "{tries} tries for {unreadable} files");
    least
}

/// Each of them was looked for among all of them, for each line of another one.
#[test]
fn files_that_cannot_be_opened_cost_a_line_no_more_than_a_look_at_each() {
    let _row = hazard(Group::Sticks, "20000 files that cannot be opened", NONE);
    let many = time_of_a_line(20_000);
    // A look at each takes far less, also where other programs use the caches; one at all for each takes seconds.
    assert!(many < 20_000 * 2_000, "{many} ns");
}
