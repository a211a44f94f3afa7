//! One commit announces more than may be under way.

use std::fs;

use flume_ng::clock::ManualClock;

use super::{Cluster, directory, run, run_with, shared, values};
use crate::support::torture::{Group, NONE, hazard};

/// What waits goes out in its order, and never behind
/// something unanswered of which nothing proves that the broker knows the producer; a kill leaves all of it
/// in doubt, what was sent and what was not.
#[test]
fn what_one_commit_announced_goes_out_in_order_and_once() {
    const FILES: usize = 12;
    let _row = hazard(Group::Deaths, "killed while announced rounds wait to be sent", NONE);
    let root = directory("announced-ahead");
    let clock = ManualClock::new(1_700_000_000_000, 0);
    fs::write(root.join("spool/a"), "first\n").unwrap();
    let cluster = shared(Cluster { answers: true, ..Cluster::default() });
    let is_silent = cluster.clone();
    let in_doubt = run_with(&root, &[("c1", &cluster)], &clock, 40, &mut |step| {
        if step == 5 {
            is_silent.borrow_mut().answers = false;
            for n in 0..FILES {
                fs::write(root.join(format!("spool/b{n:02}")), format!("line {n}\n")).unwrap();
            }
        }
    });
    let lines: Vec<String> = (0..FILES).map(|n| format!("line {n}")).collect();
    assert_eq!(cluster.borrow().appended, values(&["first"]));
    assert_eq!(in_doubt, FILES);
    assert_eq!(cluster.borrow().unanswered, (1..=5).collect::<Vec<i32>>());
    // They are sent as they were announced, and nothing else is.
    cluster.borrow_mut().answers = true;
    assert_eq!(run(&root, &[("c1", &cluster)], &clock, 100), 0);
    let all: Vec<&str> = std::iter::once("first").chain(lines.iter().map(String::as_str)).collect();
    assert_eq!(cluster.borrow().appended, values(&all));
    let sequences: Vec<i32> = cluster.borrow().heads.iter().map(|head| head.2).collect();
    assert_eq!(sequences, (0..=FILES as i32).collect::<Vec<i32>>());
    fs::remove_dir_all(&root).unwrap();
}

/// The broker forgets producers, and takes any sequence of one that it does not know. While a batch is not
/// answered, nothing follows it any more once the last ack is a second old, though it was announced when that
/// was young.
#[test]
fn what_was_announced_does_not_follow_where_the_last_ack_is_old() {
    let _row =
        hazard(Group::Deaths, "announced rounds wait for a second, producer forgotten", NONE);
    let root = directory("announced-long-ago");
    let clock = ManualClock::new(1_700_000_000_000, 0);
    fs::write(root.join("spool/a"), "first\n").unwrap();
    let cluster = shared(Cluster { answers: true, ..Cluster::default() });
    let link = cluster.clone();
    let mut sent_late = 0;
    let in_doubt = run_with(&root, &[("c1", &cluster)], &clock, 60, &mut |step| match step {
        5 => {
            link.borrow_mut().answers = false;
            for n in 0..12 {
                fs::write(root.join(format!("spool/b{n:02}")), format!("line {n}\n")).unwrap();
            }
        }
        // Room for more requests, and none of them was answered.
        30 => {
            sent_late = link.borrow().unanswered.len();
            link.borrow_mut().unanswered.clear();
        }
        _ => {}
    });
    assert_eq!((in_doubt, sent_late), (12, 5));
    assert_eq!(cluster.borrow().unanswered, [0; 0]);
    fs::remove_dir_all(&root).unwrap();
}
