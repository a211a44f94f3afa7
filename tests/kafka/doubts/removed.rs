//! A channel is removed while it has batches in doubt: positions cross what was announced there all the same.

use std::fs;
use std::path::Path;

use flume_ng::clock::ManualClock;

use super::{Cluster, Shared, directory, run, run_with, shared, values};
use crate::support::torture::{Group, NONE, hazard};

const PARTITIONS: [i32; 3] = [0, 1, 2];

/// The first channel is silent, the second answers; the lines are written one after the other.
fn written(root: &Path, lines: &[&str], clock: &ManualClock) -> Shared {
    let partitions = PARTITIONS.to_vec();
    let silent = shared(Cluster { partitions: partitions.clone(), ..Cluster::default() });
    let other = shared(Cluster { answers: true, partitions, ..Cluster::default() });
    let channels = [("c1", &silent), ("c2", &other)];
    let mut text = String::new();
    let in_doubt = run_with(root, &channels, clock, 20, &mut |step| {
        if let Some(line) = lines.get(step as usize / 3).filter(|_| step % 3 == 0) {
            text += &format!("{line}\n");
            fs::write(root.join("spool/f"), &text).unwrap();
        }
    });
    assert!(in_doubt > 0);
    // What was acknowledged since the last commit is looked for: a line each.
    let heads = other.borrow().heads.clone();
    other.borrow_mut().foreign = heads.iter().map(|head| (head.0, head.1, head.2, 1)).collect();
    other
}

/// What was announced for no channel was noted under the number of the removed one, and was forgotten with it.
#[test]
fn a_channel_removed_while_batches_are_in_doubt_leaves_no_hole_where_a_line_was_filtered() {
    let _row = hazard(Group::Log, "channel removed while batches are in doubt", NONE);
    let root = directory("removed");
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let filter = "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = regex_filter\n\
                  a1.sources.r1.interceptors.i1.regex = ^no\na1.sources.r1.interceptors.i1.excludeEvents = true\n";
    fs::write(root.join("more.conf"), filter).unwrap();
    let other = written(&root, &["one", "no", "three"], &clock);
    // Nothing is left behind a position: the run itself makes sure of that.
    assert_eq!(run(&root, &[("c2", &other)], &clock, 100), 0);
    assert_eq!(other.borrow().appended, values(&["one", "three"]));
    fs::remove_dir_all(&root).unwrap();
}

/// Lines that were for the removed channel alone stand between those of the other one.
#[test]
fn a_channel_removed_while_batches_are_in_doubt_leaves_no_hole_where_a_selector_chose_it() {
    let root = directory("removed-selector");
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let selector = "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = regex_extractor\n\
                    a1.sources.r1.interceptors.i1.regex = ^(.)\na1.sources.r1.interceptors.i1.serializers = s\n\
                    a1.sources.r1.interceptors.i1.serializers.s.name = level\n\
                    a1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.header = level\n\
                    a1.sources.r1.selector.default = c2\n";
    let errors = format!("{selector}a1.sources.r1.selector.mapping.E = c1\n");
    fs::write(root.join("more.conf"), errors).unwrap();
    let other = written(&root, &["E1", "I2", "E3", "I4"], &clock);
    fs::write(root.join("more.conf"), selector).unwrap();
    assert_eq!(run(&root, &[("c2", &other)], &clock, 100), 0);
    assert_eq!(other.borrow().appended.len(), 2);
    fs::remove_dir_all(&root).unwrap();
}
