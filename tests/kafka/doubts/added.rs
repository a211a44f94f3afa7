//! A state is read back from the topic, and a line that names a partition which the topic does not have stands before
//! one that the topic has: partitions may have been added since.

use std::fs;
use std::path::PathBuf;

use flume_ng::clock::{Clock, ManualClock};

use super::read_back::{PARTITIONS, assert_exact, letters};
use super::{Cluster, Shared, directory, run_with, shared};
use crate::support::torture::{Group, NONE, hazard};

/// Of events whose only header is the partition.
fn values(lines: &[&str]) -> Vec<Vec<u8>> {
    let value = |line: &&str| {
        let head =
            [&[2, 8], &b"part"[..], &[2], &line.as_bytes()[1..2], &[0, 2 * line.len() as u8]];
        [&head.concat(), line.as_bytes()].concat()
    };
    lines.iter().map(value).collect()
}

/// There is no state, and the topic has the last of these lines.
fn begin(name: &str, lines: &[&str]) -> (PathBuf, ManualClock, Shared) {
    let root = directory(name);
    let topic = "a1.sources.r1.onNoCheckpoint = topic\n";
    fs::write(root.join("more.conf"), [topic, PARTITIONS].concat()).unwrap();
    fs::write(root.join("spool/f"), lines.join("\n") + "\n").unwrap();
    let appended = values(&lines[lines.len() - 1..]);
    let cluster = shared(Cluster { answers: true, appended, ..Cluster::default() });
    (root, ManualClock::new(1_700_000_000_000, 0), cluster)
}

#[test]
fn a_partition_that_is_added_while_a_state_is_read_back_is_asked_for() {
    let _row = hazard(Group::StateLost, "no checkpoint, a partition is added meanwhile", NONE);
    let lines = ["p0 one", "p1 new", "p0 two"];
    for added in [0, 20, 45, 100, 400] {
        let (root, clock, cluster) = begin("added", &lines);
        let left = run_with(&root, &[("c1", &cluster)], &clock, 800, &mut |step| {
            if step == added {
                cluster.borrow_mut().partitions = vec![0, 1];
            }
        });
        assert_eq!((left, letters(&root)), (0, 0), "{added}");
        let mut appended = cluster.borrow().appended.clone();
        appended.sort();
        let mut expected = values(&lines);
        expected.sort();
        assert_eq!(appended, expected, "{added}");
        fs::remove_dir_all(&root).unwrap();
    }
}

/// Of two lines that name one not each waits for a minute.
#[test]
fn a_partition_that_is_not_there_is_asked_for_a_minute_while_a_state_is_read_back() {
    let _row = hazard(Group::StateLost, "no checkpoint, lines name no partition", NONE);
    let (root, clock, cluster) = begin("not-added", &["p1 none", "p7 none", "p0 two"]);
    let mut buried_ms = None;
    let begin_ms = clock.monotonic_ms();
    let left = run_with(&root, &[("c1", &cluster)], &clock, 900, &mut |_| {
        if letters(&root) > 0 {
            buried_ms.get_or_insert(clock.monotonic_ms() - begin_ms);
        }
    });
    assert_eq!(left, 0);
    assert!(buried_ms.is_some_and(|ms| (60_000..80_000).contains(&ms)), "{buried_ms:?}");
    assert_exact(&root, &cluster);
    fs::remove_dir_all(&root).unwrap();
}
