//! A batch in doubt leaves a partition that is gone while its file cannot be read. It had the number of the new
//! partition once, and its old identity, which is that of another batch there.

use std::fs;

use flume_ng::clock::ManualClock;

use super::{Cluster, directory, run_with, shared, values};
use crate::support::torture::{Group, NONE, hazard};

#[test]
fn a_doubt_leaves_a_partition_that_is_gone_though_its_file_cannot_be_read() {
    let _row = hazard(Group::Log, "topic made anew with fewer partitions, files overwritten", NONE);
    // Both begin with sequence 0, each in its partition. That of the first has come to the new topic.
    for second in ["new four\nnew five\n", "n4\n", ""] {
        let root = directory("missing");
        fs::write(root.join("spool/f"), "one\ntwo\n").unwrap();
        fs::write(root.join("spool/g"), "four\nfive\n").unwrap();
        let clock = ManualClock::new(1_700_000_000_000, 0);
        let topic = shared(Cluster { partitions: vec![0, 1], ..Cluster::default() });
        let link = topic.clone();
        let left = run_with(&root, &[("c1", &topic)], &clock, 2_000, &mut |step| {
            let mut topic = link.borrow_mut();
            match step {
                20 => {
                    assert_eq!(topic.unanswered, [0, 0]);
                    topic.is_down = true;
                }
                40 => {
                    (topic.is_down, topic.answers) = (false, true);
                    topic.partitions = vec![0];
                    topic.foreign = vec![(0, 0, 0, 2)];
                }
                // When another partition is about to be chosen.
                600 => fs::write(root.join("spool/g"), second).unwrap(),
                _ => {}
            }
        });
        assert_eq!(left, 0, "{second:?}");
        let mut appended = topic.borrow().appended.clone();
        appended.sort();
        let mut expected: Vec<&str> = ["four", "five"].into_iter().chain(second.lines()).collect();
        expected.sort_unstable_by_key(|line| (line.len(), *line));
        assert_eq!(appended, values(&expected), "{second:?}");
        fs::remove_dir_all(&root).unwrap();
    }
}
