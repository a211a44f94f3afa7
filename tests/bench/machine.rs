//! What the numbers were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::contenders::Contender;
use crate::support::MEMORY;

/// In this time free space changes by less than this on a calm disk. Longer than a broker of the
/// bench waits before it removes the files of a deleted topic.
const CALM_TIME: Duration = Duration::from_millis(400);
const CALM_BYTES: u64 = 1_000_000;
/// Where others write all the time, it never is.
const CALM_TRIES: u32 = 30;

/// Lines `what: value`.
pub fn describe(contenders: &[Contender], brokers: &[&str]) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let mut lines = vec![
        format!("processor: {} x {}", cores, field("/proc/cpuinfo", "model name")),
        format!("memory: {} MB", memory_mb()),
        format!("disk: {}", disk()),
        format!("kernel: Linux {}, {}", kernel.trim(), distribution()),
        format!(
            "flume-ng: {}",
            first_line(
                "rustc",
                &["--version"],
                "with all its codecs (zstd is off by default), by "
            )
        ),
        format!(
            "brokers: Kafka {} on the same machine, with the JVM options of Kafka's own scripts \
             (1 GB, G1)",
            brokers.join(" and ")
        ),
        format!("Java: {}", first_line("java", &["-version"], "")),
    ];
    for contender in contenders {
        let version = match contender {
            Contender::Ours | Contender::Bare(_) => continue,
            Contender::Kcat => all_of("kcat", &["-V"], "librdkafka"),
            Contender::Rsyslog => first_line("rsyslogd", &["-v"], ""),
            Contender::Flume(_) => format!("{}, -Xmx512m, no sink", flume_version()),
            Contender::Other { program, .. } => program.display().to_string(),
        };
        lines.push(format!("{}: {version}", contender.name()));
    }
    lines
}

/// The day, as the machine has it.
pub fn today() -> String {
    first_line("date", &["-u", "+%Y-%m-%d"], "")
}

/// Bytes free where temporary files go.
pub fn disk_free() -> u64 {
    free_in(&std::env::temp_dir())
}

/// Bytes free in the file system of a directory, 0 if there is none.
pub fn free_in(dir: &Path) -> u64 {
    let path = dir.as_os_str().to_owned().into_encoded_bytes();
    let path = std::ffi::CString::new(path).expect("no NUL in a path");
    // SAFETY: a zeroed statvfs is valid and written to alone; the path ends with a NUL.
    unsafe {
        let mut about: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(path.as_ptr(), &mut about) != 0 {
            return 0;
        }
        about.f_bavail * about.f_frsize
    }
}

/// Until what earlier runs left is gone, in memory too, and what was written is on the disk: no run
/// pays for another one. The broker removes a topic's files some time after it was told to, which
/// on a file system that discards what is freed makes whoever syncs then wait.
pub fn wait_for_calm_disk() {
    let mut free = [0; 2];
    for _ in 0..CALM_TRIES {
        // First, so that most of what is to be removed never gets to the disk.
        std::thread::sleep(CALM_TIME);
        // SAFETY: it takes nothing and cannot fail.
        unsafe { libc::sync() };
        let now = [disk_free(), free_in(Path::new(MEMORY))];
        if now.iter().zip(free).all(|(now, before)| now.abs_diff(before) < CALM_BYTES) {
            return;
        }
        free = now;
    }
}

fn memory_mb() -> u64 {
    crate::process::number_after(&read("/proc/meminfo"), "MemTotal").unwrap_or(0) / 1024
}

/// Device and file system of the temporary directory: the mount point with the longest name
/// above it.
fn disk() -> String {
    let dir = std::env::temp_dir();
    let mounts = read("/proc/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let best = mounts.filter(|(_, at, _)| dir.starts_with(at)).max_by_key(|(_, at, _)| at.len());
    best.map_or("unknown".to_string(), |(device, _, kind)| format!("{device}, {kind}"))
}

fn distribution() -> String {
    let release = read("/etc/os-release");
    let name = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_string()
}

fn flume_version() -> &'static str {
    let pom = include_str!("pom.xml");
    let version = pom.split("<flume.version>").nth(1).and_then(|rest| rest.split('<').next());
    version.expect("tests/bench/pom.xml has a version")
}

fn field(path: &str, key: &str) -> String {
    let text = read(path);
    let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
    line.split_once(':').map_or("unknown", |(_, value)| value).trim().to_string()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return String::new() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn first_line(program: &str, arguments: &[&str], before: &str) -> String {
    let said = said(program, arguments);
    let line = said.lines().find(|l| !l.starts_with("Picked up")).unwrap_or("unknown");
    format!("{before}{}", line.trim())
}

/// The line that holds `word`.
fn all_of(program: &str, arguments: &[&str], word: &str) -> String {
    let said = said(program, arguments);
    said.lines().find(|l| l.contains(word)).unwrap_or("unknown").trim().to_string()
}
