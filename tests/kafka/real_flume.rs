//! From Flume and back, with the real one: `tests/bench/fetch flume` gets its jars from Maven Central. Where they
//! cannot be had the tests say so.

use std::fs;
use std::process::Command;

use crate::files::scene::skipped;
use crate::support::torture::{ARRIVE_MAX, Group, Tally, V43, lines};
use crate::support::{Agent, Topic, Work, shared};
use crate::taildir::CONF;

/// The folder of the jars.
fn jars() -> Option<String> {
    let fetch = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/fetch");
    let output = Command::new(fetch).arg("flume").output().ok()?;
    let dir = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !dir.is_empty()).then_some(dir)
}

/// Flume, with the configuration file of the work directory.
fn flume(jars: &str, work: &Work, name: &str) -> Agent {
    let conf = work.write_conf();
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]);
    command.args(["-cp", &format!("{jars}/*"), "org.apache.flume.node.Application"]);
    command.args(["--name", "a1", "--no-reload-conf", "--conf-file"]).arg(conf);
    command.current_dir(work.dir());
    Agent::start(command, &work.dir().join(name))
}

/// Both files grow by so many lines, and all of it comes.
fn grow(work: &Work, topic: &Topic, agent: &mut Agent, from: u64, to: u64) {
    work.append("one/a.log", &lines("a", from, to));
    work.append("two/b.log", &lines("b", from, to));
    agent.expect_records(topic, 2 * to as usize, 3 * ARRIVE_MAX);
}

#[track_caller]
fn goes(work: &Work, mut agent: Agent, code: i32) {
    if code == 0 {
        agent.expect("an end of it", ARRIVE_MAX, || work.is_committed());
    }
    // A JVM that is told to go says so by 143.
    assert_eq!(agent.term().code(), Some(code), "{}", agent.log());
}

#[test]
fn flume_then_this_agent_then_flume_on_growing_files() {
    let Some(jars) = jars() else { return skipped("the jars of Flume 1.11 cannot be had") };
    let mut tally = Tally::row(Group::Identity, "TAILDIR: real Flume 1.11, and back", V43);
    let topic = shared(V43).fresh_topic("flume-and-back", 1);
    let work = Work::new(&topic).conf(CONF).subdirectory("one").subdirectory("two");
    let series = |end: u64| [("a", end), ("b", end)];
    let mut agent = flume(&jars, &work, "flume-1.log");
    grow(&work, &topic, &mut agent, 0, 300);
    goes(&work, agent, 143);

    // Between them files grow, and one is renamed.
    work.append("one/a.log", &lines("a", 300, 320));
    fs::rename(work.path("one/a.log"), work.path("one/a.log.1")).expect("a rename");
    fs::rename(work.path("one/a.log.1"), work.path("one/a.log")).expect("and back");
    let mut agent = work.start();
    work.append("two/b.log", &lines("b", 300, 320));
    grow(&work, &topic, &mut agent, 320, 600);
    let file = work.path("one/a.log");
    tally.exact("Flume, then this agent", &topic, &series(600), &agent);
    goes(&work, agent, 0);
    let kept = fs::read_to_string(work.dir().join("state/position.json")).expect("positions");
    let size = fs::metadata(&file).expect("a file").len();
    assert!(kept.contains(&format!("\"pos\":{size},\"file\":\"{}\"", file.display())), "{kept}");

    let mut agent = flume(&jars, &work, "flume-2.log");
    grow(&work, &topic, &mut agent, 600, 900);
    tally.exact("and Flume again", &topic, &series(900), &agent);
    goes(&work, agent, 143);

    // Nobody comes back without a word.
    let mut agent = work.start();
    let status = agent.wait(ARRIVE_MAX).expect("an end");
    assert_eq!(status.code(), Some(78), "{}", agent.log());
    fs::remove_dir_all(work.dir().join("state/position.json.d")).expect("the state");
    let mut agent = work.start();
    grow(&work, &topic, &mut agent, 900, 1_000);
    tally.exact("and this agent again", &topic, &series(1_000), &agent);
    goes(&work, agent, 0);
}
