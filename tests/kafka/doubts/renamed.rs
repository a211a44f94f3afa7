//! What is in doubt is another batch by now, or the looks that did not find it were for others.

use std::fs;

use flume_ng::channel::batch::Wire;
use flume_ng::clock::ManualClock;

use super::{Cluster, directory, run, run_with, shared, values};
use crate::support::torture::{Group, NONE, hazard};

/// Of two changes at once, another cluster and a filter, one gave new identities and the other raised the
/// epochs of some of them: what came later in the partition had the older epoch, which brokers refuse for ever.
#[test]
fn doubts_that_move_to_another_cluster_under_a_new_filter_have_one_epoch() {
    let _row = hazard(Group::Log, "another cluster and another filter, batches in doubt", NONE);
    let root = directory("moved-filtered");
    let clock = ManualClock::new(1_700_000_000_000, 0);
    fs::write(root.join("spool/a"), "first\n").unwrap();
    let old = shared(Cluster { answers: true, ..Cluster::default() });
    let link = old.clone();
    let in_doubt = run_with(&root, &[("c1", &old)], &clock, 40, &mut |step| {
        if step == 5 {
            link.borrow_mut().answers = false;
            for n in 0..3 {
                fs::write(root.join(format!("spool/b{n}")), format!("line {n}\nmore {n}\n"))
                    .unwrap();
            }
        }
    });
    assert_eq!(in_doubt, 3);
    let filter = "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = \
                  regex_filter\na1.sources.r1.interceptors.i1.regex = ^more 1$\n\
                  a1.sources.r1.interceptors.i1.excludeEvents = true\n";
    fs::write(root.join("more.conf"), filter).unwrap();
    let new = Cluster { id: "B", answers: true, next_producer_id: 7, ..Cluster::default() };
    let new = shared(new);
    assert_eq!(run(&root, &[("c1", &new)], &clock, 800), 0);
    let cluster = new.borrow();
    assert_eq!(cluster.appended, values(&["line 0", "more 0", "line 1", "line 2", "more 2"]));
    let heads: Vec<_> = cluster.heads.iter().map(|head| (head.0, head.1, head.2)).collect();
    let (id, epoch, _) = heads[0];
    assert_eq!(heads, [(id, epoch, 0), (id, epoch, 2), (id, epoch, 3)]);
    fs::remove_dir_all(&root).unwrap();
}

/// A look that ended well long ago counted as the beginning of a row that had not found what was sent since,
/// where the channel was closed because the checkpoint had no room: it was sent again at once.
#[test]
fn a_wait_for_room_does_not_prove_that_a_batch_is_absent() {
    let _row = hazard(Group::Deaths, "no room for the checkpoint, a follower lags", NONE);
    let root = directory("cramped");
    let clock = ManualClock::new(1_700_000_000_000, 0);
    fs::write(root.join("spool/a"), "first\n").unwrap();
    let (wire, partitions) = (Wire::Middle, vec![0, 1]);
    let cluster = shared(Cluster { wire, replicas: 3, partitions, ..Cluster::default() });
    assert_eq!(run(&root, &[("c1", &cluster)], &clock, 20), 1);
    let link = cluster.clone();
    let mark = root.join("no-room");
    let left = run_with(&root, &[("c1", &cluster)], &clock, 900, &mut |step| {
        let mut link = link.borrow_mut();
        match step {
            // The first one is found.
            0 => (link.foreign, link.end) = (vec![(-1, -1, -1, 1)], 1),
            // Appended, but neither answered nor to be seen yet.
            400 => fs::write(root.join("spool/b"), "second\nof two\n").unwrap(),
            410 => {
                fs::write(&mark, "").unwrap();
                fs::write(root.join("spool/c"), "third\nof three\nthree\n").unwrap();
            }
            470 => {
                fs::remove_file(&mark).unwrap();
                link.answers = true;
            }
            500 => {
                assert_eq!(link.appended, values(&[]), "nothing is sent before it is looked for");
                link.foreign.push((-1, -1, -1, 2));
            }
            _ => {}
        }
    });
    assert_eq!(left, 0);
    assert_eq!(cluster.borrow().appended, values(&["third", "of three", "three"]));
    fs::remove_dir_all(&root).unwrap();
}
