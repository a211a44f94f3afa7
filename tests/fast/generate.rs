//! `flume-ng generate`: unique lines, whole or torn, in files that follow the clock.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::json::{Json, Members as _};
use crate::support::{TempDir, signal, wait_exit, wait_for};

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flume-ng"));
    command.arg("generate").arg("--dir").arg(dir).args(args);
    command
}

fn generate(dir: &Path, args: &[&str]) -> String {
    let output = command(dir, args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All lines of all files, by name.
fn lines(dir: &Path) -> Vec<(String, Vec<String>)> {
    let mut files: Vec<(String, Vec<String>)> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'));
            (entry.file_name().into_string().unwrap(), text.lines().map(str::to_string).collect())
        })
        .collect();
    files.sort();
    files
}

fn start(dir: &Path, args: &[&str]) -> Child {
    command(dir, args).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn no_two_lines_of_any_runs_are_equal() {
    let dir = TempDir::new("generate");
    for torn in [&[][..], &["--torn"]] {
        for _ in 0..2 {
            let args = ["--pattern", "010_yyyy", "--lines", "5000", "--size", "64", "--json"];
            let json = Json::parse(generate(dir.path(), &[&args[..], torn].concat()).trim());
            assert_eq!((json.number("lines"), json.number("bytes")), (5_000, 320_000));
        }
    }
    let files = lines(dir.path());
    assert_eq!(files.len(), 1);
    let (name, lines) = &files[0];
    assert!(name.starts_with("010_20") && name.len() == 8, "{name}");
    assert_eq!(lines.len(), 20_000);
    assert!(lines.iter().all(|line| line.len() == 63));
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 20_000);
    // Numbered in order within a run.
    let numbers = lines[..5_000].iter().map(|l| l.split(' ').nth(1).unwrap().parse::<u64>());
    assert!(numbers.map(Result::unwrap).eq(1..=5_000));
}

/// What each read(2) gets of a pipe that stands in the file's place. Short writes to a pipe are
/// never shared among reads, those to a file may be.
fn reads(args: &[&str]) -> Vec<Vec<u8>> {
    let dir = TempDir::new("generate-pipe");
    let path = dir.path().join("x");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let args = [&["--pattern", "'x'", "--lines", "50", "--rate", "100", "--size", "64"], args];
    let mut child = start(dir.path(), &args.concat());
    let mut pipe = std::fs::File::open(&path).unwrap();
    let mut reads = Vec::new();
    loop {
        let mut buffer = vec![0; 8192];
        let n = pipe.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        reads.push(buffer[..n].to_vec());
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(reads.iter().map(Vec::len).sum::<usize>(), 50 * 64);
    reads
}

#[test]
fn writes_are_whole_lines_unless_asked_for_pieces() {
    assert!(reads(&[]).iter().all(|read| read.len() % 64 == 0 && read.ends_with(b"\n")));
    assert!(reads(&["--torn"]).iter().any(|read| read.len() % 64 != 0));
}

#[test]
fn it_rolls_with_the_clock_and_keeps_the_rate() {
    let dir = TempDir::new("generate-roll");
    let start = Instant::now();
    let args = ["--pattern", "app-yyyyMMddHHmmss.log", "--lines", "500", "--rate", "200"];
    generate(dir.path(), &args);
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(2_400), "{elapsed:?}");
    let files = lines(dir.path());
    assert!(files.len() >= 3, "{files:?}");
    assert!(files.iter().all(|(name, _)| name.len() == 22 && name.starts_with("app-20")));
    assert_eq!(files.iter().map(|(_, lines)| lines.len()).sum::<usize>(), 500);
    // Each line bears the second of its file.
    for (name, lines) in &files {
        let second = &name[16..18];
        assert!(lines.iter().all(|l| &l.split(' ').nth(3).unwrap()[6..] == second), "{name}");
    }
}

#[test]
fn a_signal_ends_it_with_whole_lines() {
    let dir = TempDir::new("generate-signal");
    let mut child = start(dir.path(), &["--pattern", "'x'", "--rate", "1000"]);
    assert!(wait_for(Duration::from_secs(20), || dir.path().join("x").exists()));
    signal(&child, libc::SIGTERM);
    assert_eq!(wait_exit(&mut child, Duration::from_secs(5)).unwrap().code(), Some(0));
    let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert!(said.contains(" line") && said.contains("last file "), "{said}");
    assert!(!lines(dir.path())[0].1.is_empty());
}

#[test]
fn what_can_not_be_done_says_why() {
    let dir = TempDir::new("generate-wrong");
    for (args, code, text) in [
        (&["--pattern", "yyyy", "--size", "10"][..], 2, "needs "),
        (&["--pattern", "yyyy/MM"], 2, "is not the name of a log file"),
        (&["--pattern", "'yyyy"], 2, "Unterminated quote"),
        (&[], 2, "give --pattern"),
    ] {
        let output = command(dir.path(), args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
    let output = command(Path::new("/nowhere"), &["--pattern", "yyyy"]).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.ends_with("with mkdir -p \"/nowhere\"\n"), "{stderr}");
    // A disk that is full says so, and what was written is counted.
    let output = command(dir.path(), &["--pattern", "'full'", "--lines", "10"]);
    std::os::unix::fs::symlink("/dev/full", dir.path().join("full")).unwrap();
    let output = { output }.output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
    // Where not one line was written, the error is all that there is to say.
    std::fs::create_dir(dir.path().join("taken")).unwrap();
    let output = command(dir.path(), &["--pattern", "'taken'", "--lines", "10"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(75), &b""[..]));
}
