//! More files of the present hour than descriptors: those without one are found when they grow.

use crate::support::torture::{Group, V010, hazard};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::Write;

use flume_ng::clock::ManualClock;
use flume_ng::source::Files;

use super::scene::{OLD_S, Scene, reader, spool};

const NOW_MS: i64 = 1_709_164_799_000;
const FILES: usize = 1_200;

/// Reads everything that there is, as the pipeline would, and has it committed.
fn read_all(files: &mut Files) -> Vec<OsString> {
    let mut read = Vec::new();
    while let Some(at) = files.choose() {
        let tracked = &mut files.tracked[at];
        let size = tracked.file.metadata().expect("a file").len();
        tracked.read_position = size;
        tracked.record.position = size;
        read.push(tracked.name().to_owned());
    }
    read
}

/// Files of the present hour, all of them read, and more than may be open.
fn scene(clock: &ManualClock) -> (Scene, Files) {
    let (scene, mut files) = reader("yyyyMMddHH", clock);
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
    names.filter(|name| files.tracked.iter().all(|t| t.name() != name)).collect()
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
