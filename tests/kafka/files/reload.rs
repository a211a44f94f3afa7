//! The configuration file is changed while the agent runs.

use crate::support::torture::{Group, V010, hazard};
use std::fs;
use std::io::Write as _;

use super::scene::{Scene, spool};

fn rewrite(scene: &Scene, change: impl Fn(&str) -> String) {
    let path = scene.work.dir().join("log010.conf");
    let old = fs::read_to_string(&path).expect("the configuration");
    fs::write(path, change(&old)).expect("a new configuration");
}

#[test]
fn a_changed_file_is_taken_over_without_losing_the_position() {
    let mut scene = spool("reload").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    rewrite(&scene, |old| format!("{old}\na1.sources.r1.basenameHeader = true\n"));
    scene.log_says("Shutting down configuration");
    scene.log_says("position from the checkpoint");
    scene.append("a_{H}.log", "two\n");
    scene.in_the_end(&["one", "two"]);
    let headers: Vec<usize> = scene.topic.events().iter().map(|e| e.headers.len()).collect();
    assert_eq!(headers, [0, 1]);
    let log = scene.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{log}"));
    assert!(at("Shutting down configuration") < at("Stopping Source r1"));
    assert!(at("Stopping Source r1") < at("Stopping Channel c1"));
    assert_eq!(scene.log_lines("Starting Source r1"), 2, "{log}");
}

#[test]
fn a_faulty_file_is_refused_and_the_old_one_goes_on() {
    let mut scene = spool("refused").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    rewrite(&scene, |old| old.replace("batchSize = 100", "batchSize = 0"));
    scene.log_says("is refused, the agent goes on with the configuration that it has");
    assert!(scene.log().contains("batchSize"), "{}", scene.log());
    scene.append("a_{H}.log", "two\n");
    scene.arrive(2);
    rewrite(&scene, |old| old.replace("batchSize = 0", "batchSize = 50"));
    scene.log_says("Shutting down configuration");
    scene.append("a_{H}.log", "three\n");
    scene.in_the_end(&["one", "two", "three"]);
    assert_eq!(scene.log_lines("is refused"), 1, "{}", scene.log());
}

#[test]
fn another_spool_directory_and_topic_are_taken_over_in_the_middle_of_a_load() {
    let _row = hazard(Group::Deaths, "configuration changed in the middle of a load", V010);
    let other = spool("reload-other");
    let mut scene = spool("reload-load").file("a_{H}.log", "", 0).agent_runs();
    let mut lines = Vec::new();
    for n in 0..2_000 {
        let line = format!("line {n}");
        scene.append("a_{H}.log", format!("{line}\n"));
        lines.push(line);
        if n == 1_000 {
            // Else a slow start would begin with the changed file.
            scene.until("the first lines", || scene.topic.count() > 0);
            let from = format!("c1.topic = {}", scene.topic.name());
            let to = format!("c1.topic = {}", other.topic.name());
            rewrite(&scene, |old| old.replace(&from, &to));
        }
    }
    scene.log_says("Shutting down configuration");
    scene.append("a_{H}.log", "the end\n");
    lines.push("the end".to_owned());
    scene.until("all lines", || scene.topic.count() + other.topic.count() >= lines.len());
    scene.stop();
    let found = [scene.topic.bodies(), other.topic.bodies()].concat();
    assert_eq!(found, lines, "{}", scene.log());
    assert!(other.topic.count() > 0);
}

/// Every file was sent anew, if the change was noticed before the loss.
#[test]
fn a_state_that_goes_together_with_a_change_is_written_anew_before_it_is_taken_over() {
    let _row = hazard(Group::Absence, "tracker directory removed, configuration changed", V010);
    let mut scene = spool("reload-gone").file("a_{H}.log", "0\n", 0).agent_runs();
    scene.arrive(1);
    let mut lines = vec!["0".to_owned()];
    for n in 1..=8 {
        let away = scene.work.dir().join(format!("away-{n}"));
        fs::rename(scene.work.tracker_dir(), away).expect("the tracker directory");
        rewrite(&scene, |old| format!("{old}\na1.sources.r1.batchSize = {}\n", 100 + n));
        scene.until("it is taken over", || scene.log_lines("Starting Source r1") > n);
        scene.append("a_{H}.log", format!("{n}\n"));
        lines.push(n.to_string());
        scene.arrive(lines.len());
    }
    scene.in_the_end(&lines);
}

/// So was it when the change came while nothing could be written.
#[test]
fn a_change_waits_until_the_state_can_be_written() {
    let _row = hazard(Group::Absence, "configuration changed while there is no state", V010);
    let mut scene = spool("reload-paused").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let (here, mut n) = (scene.work.tracker_dir(), 0);
    scene.until("a file in the place of the directory", || {
        n += 1;
        let _ = fs::rename(&here, scene.work.dir().join(format!("away-{n}")));
        fs::write(&here, "").is_ok()
    });
    scene.log_says("Nothing is sent until it can be written again");
    rewrite(&scene, |old| format!("{old}\na1.sources.r1.basenameHeader = true\n"));
    scene.log_says("The new configuration waits for the state of source r1");
    scene.append("a_{H}.log", "two\n");
    fs::remove_file(&here).expect("the file");
    scene.log_says("Shutting down configuration");
    scene.in_the_end(&["one", "two"]);
    assert_eq!(scene.log_lines("The new configuration waits"), 1, "{}", scene.log());
    assert_eq!(scene.log_lines("Starting Source r1"), 2, "{}", scene.log());
}

/// It was taken over as soon as the state could be written, though the file said something else by then.
#[test]
fn a_change_that_waits_counts_no_more_once_the_file_is_refused() {
    let mut scene = spool("reload-refused").file("a_{H}.log", "one\n", 0).agent_runs();
    scene.arrive(1);
    let (here, mut n) = (scene.work.tracker_dir(), 0);
    scene.until("a file in the place of the directory", || {
        n += 1;
        let _ = fs::rename(&here, scene.work.dir().join(format!("away-{n}")));
        fs::write(&here, "").is_ok()
    });
    rewrite(&scene, |old| format!("{old}\na1.sources.r1.basenameHeader = true\n"));
    scene.log_says("The new configuration waits for the state of source r1");
    rewrite(&scene, |old| format!("{old}\na1.sources.r1.batchSize = 0\n"));
    scene.log_says("is refused, the agent goes on with the configuration that it has");
    fs::remove_file(&here).expect("the file");
    scene.log_says("can be written again");
    scene.append("a_{H}.log", "two\n");
    scene.arrive(2);
    assert!(!scene.log().contains("Shutting down configuration"), "{}", scene.log());
    // A right one is taken over.
    rewrite(&scene, |old| format!("{old}\na1.sources.r1.batchSize = 50\n"));
    scene.log_says("Shutting down configuration");
    scene.append("a_{H}.log", "three\n");
    scene.in_the_end(&["one", "two", "three"]);
    let headers: Vec<usize> = scene.topic.events().iter().map(|e| e.headers.len()).collect();
    assert_eq!(headers, [0, 0, 1], "{}", scene.log());
}

/// The new source could not start at once, and would have begun without its state then.
#[test]
fn a_state_that_goes_while_the_changed_source_waits_is_waited_for() {
    let _row = hazard(Group::Absence, "tracker directory gone while a changed source waits", V010);
    let scene = spool("reload-waits").file("a_{H}.log", "one\n", 0);
    let [state, away, later] = ["state", "away", "later"].map(|name| scene.work.dir().join(name));
    let mut scene = scene.source("trackerDir", state.display()).agent_runs();
    scene.arrive(1);
    rewrite(&scene, |old| format!("{old}\na1.sources.r1.spoolDir = {}\n", later.display()));
    scene.log_says("Directory does not exist");
    fs::rename(&state, &away).expect("the tracker directory");
    fs::rename(scene.work.spool(), &later).expect("the spool directory");
    scene.log_says("the checkpoint was removed since the configuration changed");
    fs::rename(&away, &state).expect("and back");
    let file = fs::OpenOptions::new().append(true).open(later.join(scene.work.name("a_{H}.log")));
    file.expect("the file").write_all(b"two\n").expect("a line");
    scene.in_the_end(&["one", "two"]);
}

#[test]
fn a_change_is_not_looked_for_if_that_is_not_wanted() {
    let mut scene = spool("no-reload")
        .command(|c| {
            c.arg("--no-reload-conf");
        })
        .file("a_{H}.log", "one\n", 0)
        .agent_runs();
    scene.arrive(1);
    rewrite(&scene, |_| "nonsense".to_owned());
    // Longer than it takes to notice.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(scene.log_lines("Reloading"), 1, "{}", scene.log());
    scene.append("a_{H}.log", "two\n");
    scene.in_the_end(&["one", "two"]);
}
