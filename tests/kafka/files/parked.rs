//! More files than descriptors: those of the present hour that have none are found when they grow,
//! and those that wait for the end of their grace time keep none from them.

use crate::support::torture::{Group, NONE, V010, hazard};
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

use flume_ng::clock::ManualClock;
use flume_ng::source::Files;
use flume_ng::source::reach;
use flume_ng::source::retire::Move;
use flume_ng::source::window::TailBytes;

use super::scene::{OLD_S, Scene, numbered, reader_of, spool};

const NOW_MS: i64 = 1_709_164_799_000;
const FILES: usize = 1_200;
const LONG_GRACE_MS: u64 = 60_000;

/// Reads everything that there is, as the pipeline would, and has it committed.
fn read_all(files: &mut Files) -> Vec<OsString> {
    let mut read = Vec::new();
    while let Some(at) = files.choose() {
        let tracked = files.at_mut(at);
        let size = tracked.file.metadata().expect("a file").len();
        tracked.read_position = size;
        tracked.record.position = size;
        tracked.tail = TailBytes::read(&tracked.file, size).expect("a file");
        tracked.record.tail_crc = tracked.tail.crc();
        read.push(tracked.name().to_owned());
    }
    read
}

/// Files of the present hour, all of them read, and more than may be open.
fn scene(clock: &ManualClock) -> (Scene, Files) {
    let scene = spool("hours").source("targetFilename", "yyyyMMddHH");
    let scene = scene.source("retireGraceMs", LONG_GRACE_MS);
    let mut files = reader_of(&scene, clock);
    let dir = files.config.spool_dir.clone();
    for n in 0..FILES {
        std::fs::write(dir.join(format!("{n:04}_2024022823")), "first\n").expect("a file");
    }
    files.refresh(true);
    let read: HashSet<OsString> = read_all(&mut files).into_iter().collect();
    assert_eq!(read.len(), FILES);
    (scene, files)
}

fn parked(files: &Files) -> Vec<OsString> {
    let dir = files.config.spool_dir.read_dir().expect("the spool directory");
    let names = dir.map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| files.tracked().all(|t| t.name() != name)).collect()
}

fn append(files: &Files, name: &OsStr) {
    let path = files.path(name);
    let mut file = std::fs::File::options().append(true).open(path).expect("a file");
    file.write_all(b"second\n").expect("room");
}

#[test]
fn a_parked_file_that_the_kernel_tells_of_is_read_at_once() {
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files) = scene(&clock);
    clock.advance(250);
    assert_eq!(read_all(&mut files), Vec::<OsString>::new());
    let (first, second) = (parked(&files).remove(0), parked(&files).remove(1));
    for name in [&first, &second] {
        append(&files, name);
    }
    // No time passes, so that nobody's turn to be looked at comes.
    assert_eq!(read_all(&mut files), Vec::<OsString>::new());
    for name in [&first, &second] {
        files.notice(name);
    }
    files.notice(OsStr::new("nobody_2024022823"));
    let found: HashSet<OsString> = read_all(&mut files).into_iter().collect();
    assert_eq!(found, HashSet::from([first, second]));
}

/// A network file system tells nothing of what another machine writes.
#[test]
fn a_parked_file_that_nobody_tells_of_is_read_in_its_turn() {
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files) = scene(&clock);
    let names = parked(&files);
    for name in &names {
        append(&files, name);
    }
    let mut found = HashSet::new();
    for _ in 0..FILES / 100 {
        clock.advance(250);
        found.extend(read_all(&mut files));
    }
    assert_eq!(found, names.into_iter().collect());
}

/// Files that are followed for ever.
const FOLLOWED: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = TAILDIR
a1.sources.r1.positionFile = @SPOOL@/../state/position.json
a1.sources.r1.filegroups = f1
a1.sources.r1.filegroups.f1 = @SPOOL@/.*
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @BROKERS@
a1.channels.c1.kafka.topic = @TOPIC@
";

/// Files that are followed, all of them read, in directories in which notices tell of each change; the
/// parked ones, which were looked at since.
fn told(clock: &ManualClock) -> (Scene, Files, Vec<OsString>) {
    let mut scene = spool("told");
    scene.work = scene.work.conf(FOLLOWED);
    let mut files = reader_of(&scene, clock);
    for n in 0..FILES {
        std::fs::write(scene.work.path(&format!("{n:04}")), "first\n").expect("a file");
    }
    files.refresh(true);
    assert_eq!(read_all(&mut files).len(), FILES);
    files.trust_notices(true, false);
    assert!(read_in(&mut files, clock, 4).is_empty());
    let names = files.parked().map(|record| OsString::from_vec(record.current_name.clone()));
    let names: Vec<OsString> = names.collect();
    assert!(names.len() > 512, "{} are parked", names.len());
    (scene, files, names)
}

/// What is found in so many turns of half a second.
fn read_in(files: &mut Files, clock: &ManualClock, turns: usize) -> Vec<OsString> {
    let mut found = Vec::new();
    for _ in 0..turns {
        clock.advance(500);
        found.extend(read_all(files));
    }
    found.sort();
    found
}

fn sorted(mut names: Vec<OsString>) -> Vec<OsString> {
    names.sort();
    names
}

/// Ten thousand files that nobody writes to cost next to nothing.
#[test]
fn files_of_which_notices_tell_are_rarely_looked_at() {
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files, _) = told(&clock);
    let looks = Rc::new(Cell::new(0));
    let counted = looks.clone();
    reach::set_mishap(Some(Box::new(move |_| {
        counted.set(counted.get() + 1);
        None
    })));
    assert!(read_in(&mut files, &clock, 1).is_empty());
    let told = looks.take();
    files.trust_notices(false, false);
    assert!(read_in(&mut files, &clock, 1).is_empty());
    reach::set_mishap(None);
    assert_eq!((told, looks.get()), (128, 512));
}

/// Who writes through a mapping, or another hard link, gives no notice.
#[test]
fn a_file_that_notices_should_tell_of_and_do_not_is_read_in_its_turn() {
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files, _) = told(&clock);
    let names: Vec<OsString> = (0..FILES).map(|n| OsString::from(format!("{n:04}"))).collect();
    names.iter().for_each(|name| append(&files, name));
    assert_eq!(read_in(&mut files, &clock, 60), names);
}

/// The kernel keeps so many notices and no more, and so does the agent.
#[test]
fn files_of_which_notices_were_lost_are_read_soon() {
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files, names) = told(&clock);
    let open = files.tracked().map(|tracked| tracked.name().to_owned()).collect();
    let all = sorted([names.clone(), open].concat());
    all.iter().for_each(|name| append(&files, name));
    files.trust_notices(true, true);
    assert_eq!(read_in(&mut files, &clock, 4), all);
    all.iter().for_each(|name| append(&files, name));
    all.iter().for_each(|name| files.notice(name));
    assert_eq!(read_in(&mut files, &clock, 4), all);
}

/// An open file is as quick as a parked one.
#[test]
fn an_open_file_that_a_notice_tells_of_is_read_at_once() {
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files, _) = told(&clock);
    let open: Vec<OsString> = files.tracked().map(|tracked| tracked.name().to_owned()).collect();
    let open = sorted(open);
    open.iter().for_each(|name| append(&files, name));
    open.iter().for_each(|name| files.notice(name));
    assert_eq!(sorted(read_all(&mut files)), open);
    // Nobody tells.
    open.iter().for_each(|name| append(&files, name));
    assert_eq!(read_in(&mut files, &clock, 4), open);
}

/// Retires what is due, as the pipeline would; how many files are done.
fn settle(files: &mut Files) -> usize {
    let due = files.due();
    for id in &due.retire {
        let file = files.handle_of(*id).expect("an open file");
        files.intend_retirement(file);
        assert_eq!(files.move_aside(file), Move::Moved);
    }
    if due.retire.is_empty() {
        due.done.iter().rev().for_each(|id| files.forget(*id));
        return due.done.len();
    }
    0
}

/// An hour ends, and its files have their grace time before them: more than may be open.
#[test]
fn files_that_wait_for_their_grace_time_hold_up_no_others() {
    let _row = hazard(Group::Sticks, "more files in their grace time than descriptors", NONE);
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files) = scene(&clock);
    clock.advance(2_000);
    for n in 0..FILES {
        std::fs::write(files.path(format!("{n:04}_2024022900").as_ref()), "first\n").expect("room");
    }
    files.refresh(true);
    let mut found = HashSet::new();
    // Within a sixth of the grace time.
    for _ in 0..40 {
        clock.advance(250);
        found.extend(read_all(&mut files));
        settle(&mut files);
        files.refresh(true);
    }
    assert_eq!(found.len(), FILES, "all files of the new hour are read");
    let is_moved = |n: usize| files.path(format!("{n:04}_2024022823.COMPLETED").as_ref()).exists();
    assert_eq!((0..FILES).filter(|n| is_moved(*n)).count(), FILES, "and all old ones moved");
    assert!(files.tracked().len() <= 512, "{} files are open", files.tracked().len());
    // One of those is written to once more.
    let late = OsStr::new("0003_2024022823.COMPLETED");
    append(&files, late);
    files.notice(late);
    assert_eq!(read_all(&mut files), ["0003_2024022823"]);
    let mut done = 0;
    for s in 12..2 * LONG_GRACE_MS / 1_000 {
        clock.advance(1_000);
        read_all(&mut files);
        for _ in 0..8 {
            done += settle(&mut files);
        }
        assert!(done == 0 || s >= LONG_GRACE_MS / 1_000, "{done} done after {s} s");
    }
    assert_eq!(done, FILES, "each has had its grace time");
}

/// Each of those that had no descriptor asked each that had one whether it could spare that: for a minute
/// nothing else was read.
#[test]
fn files_whose_grace_time_is_over_at_once_do_not_ask_each_other_for_room() {
    let clock = ManualClock::new(NOW_MS, 0);
    let (_scene, mut files) = scene(&clock);
    clock.advance(2_000);
    std::fs::write(files.path("0000_2024022900".as_ref()), "first\n").expect("room");
    files.refresh(true);
    for _ in 0..40 {
        clock.advance(250);
        read_all(&mut files);
        settle(&mut files);
    }
    assert!(files.parked().count() > FILES / 2, "{} are parked", files.parked().count());
    clock.advance(LONG_GRACE_MS);
    let looks = Rc::new(Cell::new(0));
    let counted = looks.clone();
    reach::set_mishap(Some(Box::new(move |_| {
        counted.set(counted.get() + 1);
        None
    })));
    read_all(&mut files);
    reach::set_mishap(None);
    assert!(looks.get() < 20 * FILES, "{} looks at {FILES} files", looks.get());
}

/// The same in a run, and over a restart; what was written meanwhile, and half a line at the end, is
/// sent.
#[test]
fn a_low_limit_of_descriptors_and_a_long_grace_time() {
    const FILES: usize = 60;
    let what = "60 files in their grace time at 16 descriptors, stopped and started";
    let _row = hazard(Group::Sticks, what, V010);
    let mut scene = few_descriptors("grace-descriptors").source("retireGraceMs", 3_600_000);
    let mut wanted = Vec::new();
    for n in 0..FILES {
        scene = scene.file(&format!("a{n}_{{H}}.log"), format!("first {n}\n"), 0);
        wanted.extend([format!("first {n}"), format!("half {n}"), format!("second {n}")]);
    }
    scene.start();
    scene.arrive(FILES);
    for n in 0..FILES {
        scene.rename(&format!("a{n}_{{H}}.log"), &format!("a{n}.aside"));
        scene.append(&format!("a{n}.aside"), format!("half {n}"));
    }
    for n in 0..FILES {
        scene.work.write(&format!("b{n}_{{H}}.log"), format!("second {n}\n").as_bytes(), 0);
    }
    scene.arrive(2 * FILES);
    assert_eq!(scene.receipt_lines().len(), 0, "{}", scene.log());
    scene.append("a7.aside", " and more\nlate");
    wanted.push("late".to_owned());
    wanted[7 * 3 + 1].push_str(" and more");
    scene.arrive(2 * FILES + 1);
    scene.stop();
    scene = scene.source("retireGraceMs", 400);
    scene.start();
    scene.receipts(FILES);
    scene.in_the_end_in_any_order(&wanted);
    assert_eq!(scene.log_lines("Too many open files"), 0, "{}", scene.log());
}

/// With 16 descriptors for its files.
fn few_descriptors(label: &str) -> Scene {
    use std::os::unix::process::CommandExt;
    spool(label).command(|command| {
        let limit = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
        // SAFETY: setrlimit reads the limit and is async-signal-safe.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    })
}

/// A limit of descriptors that cannot be raised: files take turns at being open, and there are
/// enough left for the state and the brokers.
#[test]
fn a_low_limit_of_descriptors_is_kept() {
    let _row = hazard(Group::Sticks, "300 files at 100 descriptors", V010);
    use std::os::unix::process::CommandExt;
    let mut scene = spool("few-descriptors").command(|command| {
        let limit = libc::rlimit { rlim_cur: 100, rlim_max: 128 };
        // SAFETY: setrlimit reads the limit and is async-signal-safe.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    });
    let mut wanted = Vec::new();
    for n in 0..150 {
        scene = scene.file(&format!("old{n}_{{H-1}}.log"), format!("old {n}\n"), OLD_S).file(
            &format!("new{n}_{{H}}.log"),
            format!("new {n}\n"),
            0,
        );
        wanted.extend([format!("old {n}"), format!("new {n}"), format!("more {n}")]);
    }
    scene.start();
    scene.receipts(150);
    for n in 0..150 {
        scene.append(&format!("new{n}_{{H}}.log"), format!("more {n}\n"));
    }
    scene.in_the_end_in_any_order(&wanted);
    assert_eq!(scene.log_lines("Too many open files"), 0, "{}", scene.log());
}

/// As a restore, or `rsync -t`, does it: each file has another inode, and its length and stamp.
#[test]
fn parked_files_in_whose_places_their_likes_are_put_are_sent_once() {
    const FILES: usize = 60;
    let mut scene = few_descriptors("restored-in-place");
    let mut wanted = Vec::new();
    for n in 0..FILES {
        let (content, lines) = numbered(&format!("a line of file {n}, and its number:"), 0..20);
        scene = scene.file(&format!("a{n}_{{H}}.log"), content, 0);
        wanted.extend(lines);
    }
    scene.start();
    scene.arrive(wanted.len());
    for n in 0..FILES {
        let name = format!("a{n}_{{H}}.log");
        let modified = scene.path(&name).metadata().expect("a file").modified().expect("a stamp");
        std::fs::copy(scene.path(&name), scene.path("beside")).expect("room");
        let copy = std::fs::File::options().write(true).open(scene.path("beside"));
        let times = std::fs::FileTimes::new().set_modified(modified);
        copy.expect("a copy").set_times(times).expect("a stamp");
        scene.rename("beside", &name);
    }
    // Longer than a copy is waited for.
    std::thread::sleep(std::time::Duration::from_secs(12));
    for n in 0..FILES {
        scene.append(&format!("a{n}_{{H}}.log"), format!("late {n}\n"));
        wanted.push(format!("late {n}"));
    }
    scene.in_the_end_in_any_order(&wanted);
}
