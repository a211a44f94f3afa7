//! What is shipped, as it is run. The units of packaging/ under a real systemd, in a container of
//! systemd-nspawn: ready, started again after kill -9 and after a loop that stands still, stopped in good
//! order, and not one line twice. The program for another processor, by qemu.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::torture::{ARRIVE_MAX, lines};
use crate::support::{TempDir, Work, shared};

const LINES: u64 = 5_000;

/// systemd-nspawn on the programs of this machine, with nothing else of it but the network.
fn container(out: &Path) -> Command {
    let mut command = Command::new("systemd-nspawn");
    command.args(["--quiet", "--register=no", "--keep-unit", "--directory=/", "--volatile=yes"]);
    command.arg(format!("--machine=flume-ng-{}", std::process::id()));
    command.arg(format!("--bind={}:/out", out.display())).arg("--console=pipe");
    command.stdin(Stdio::null());
    command
}

/// Why it cannot be had here.
fn lacks(out: &Path) -> Option<String> {
    let output: Output = match container(out).arg("/bin/true").output() {
        Ok(output) => output,
        Err(e) => return Some(format!("systemd-nspawn: {e}")),
    };
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_string();
    (!output.status.success()).then(said)
}

#[test]
fn systemd_runs_the_units() {
    let out = TempDir::new("units");
    if let Some(why) = lacks(out.path()) {
        return eprintln!("service::systemd_runs_the_units is left out: {why}");
    }
    let topic = shared("4.3.1").fresh_topic("units", 2);
    let work = Work::new(&topic).file("010_{H}.log", &lines("a", 0, LINES), 0);
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let home = work.spool().parent().expect("its work directory").display().to_string();
    let put = |name: &str, text: &str| {
        fs::write(out.path().join(name), text).expect("a file for the container");
        out.path().join(name).display().to_string()
    };
    let conf = fs::read_to_string(work.write_conf()).expect("its configuration");
    let conf = put("flume.conf", &conf.replace(&home, "/var/lib/flume-ng"));
    // Times for a trial.
    let times = put("times.conf", "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n");
    let trial = "[Service]\nType=oneshot\nExecStart=/opt/units\n\
                 [Unit]\nSuccessAction=exit\nFailureAction=exit\n";
    let trial = put("trial.service", trial);
    let mut command = container(out.path());
    command.arg(format!("--bind={home}:/var/lib/flume-ng"));
    let mut show = |from: &str, to: &str| {
        command.arg(format!("--bind-ro={from}:{to}"));
    };
    show(env!("CARGO_BIN_EXE_flume-ng"), "/opt/flume-ng");
    show(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/units"), "/opt/units");
    show(&conf, "/etc/flume-ng/flume.conf");
    show(&trial, "/etc/systemd/system/trial.service");
    for name in ["flume-ng.service", "flume-ng-hardened.service"] {
        let unit = fs::read_to_string(packaging.join(name)).expect("a unit");
        let unit = put(name, &unit.replace("/usr/local/bin/", "/opt/"));
        show(&unit, &format!("/etc/systemd/system/{name}"));
        show(&times, &format!("/etc/systemd/system/{name}.d/times.conf"));
    }
    command.args(["--boot", "systemd.unit=trial.service"]);
    let output = command.output().expect("systemd-nspawn runs");
    let read = |name: &str| fs::read_to_string(out.path().join(name)).unwrap_or_default();
    let (steps, log) = (read("steps"), read("log"));
    assert!(output.status.success(), "after\n{steps}\n{log}\n{output:?}");
    assert_eq!(steps.lines().count(), 10, "{steps}\n{log}");
    let mut bodies = topic.bodies();
    bodies.sort();
    bodies.dedup();
    assert_eq!((topic.count() as u64, bodies.len() as u64), (LINES, LINES), "{steps}\n{log}");
}

/// What `make release` has built for aarch64, where that is there, and qemu-user.
#[test]
fn the_program_for_aarch64_delivers_under_qemu() {
    const TEST: &str = "service::the_program_for_aarch64_delivers_under_qemu";
    let program =
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/aarch64-unknown-linux-musl/release/flume-ng");
    if !Path::new(program).exists() {
        return eprintln!("{TEST} is left out: make release has built no {program}");
    }
    let is_there = |qemu: &&str| Command::new(qemu).arg("--version").output().is_ok();
    let Some(qemu) = ["qemu-aarch64-static", "qemu-aarch64"].into_iter().find(is_there) else {
        return eprintln!("{TEST} is left out: there is no qemu-aarch64");
    };
    let topic = shared("4.3.1").fresh_topic("aarch64", 2);
    let work = Work::new(&topic).run_through(&[qemu, program]);
    let work = work.file("010_{H}.log", &lines("a", 0, LINES), 0);
    let mut agent = work.start();
    agent.expect_records(&topic, LINES as usize, ARRIVE_MAX);
    agent.kill9();
    work.append("010_{H}.log", &lines("a", LINES, 2 * LINES));
    let mut agent = work.start();
    agent.expect_records(&topic, 2 * LINES as usize, ARRIVE_MAX);
    agent.expect("all is known to be there", ARRIVE_MAX, || work.is_committed());
    assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
    let mut bodies = topic.bodies();
    bodies.sort();
    bodies.dedup();
    assert_eq!((topic.count(), bodies.len()), (2 * LINES as usize, 2 * LINES as usize));
}
