//! A batch in doubt has to change its shape, while a copy of it may be on its way, or stand in the log above what
//! a reader may see. Under another shape the broker does not know that copy again.

use std::fs;
use std::path::Path;

use flume_ng::clock::ManualClock;

use super::{Cluster, Shared, directory, run, run_with, shared, values};
use crate::support::torture::{Group, NONE, hazard};

/// Steps after which what was appended can be seen, less than a request may be late.
const HIDDEN: u32 = 50;

/// A run ends with a batch of `lines` in doubt, which was appended; the next one does not see that for a while, or
/// never.
fn goes_on(root: &Path, lines: &[&str], more: &str, next: Cluster, is_there: bool) -> Shared {
    let clock = ManualClock::new(1_700_000_000_000, 0);
    fs::write(
        root.join("spool/f"),
        lines.iter().map(|line| format!("{line}\n")).collect::<String>(),
    )
    .unwrap();
    let silent = shared(Cluster::default());
    assert_eq!(run(root, &[("c1", &silent)], &clock, 20), 1);
    fs::write(root.join("more.conf"), more).unwrap();
    let next = shared(Cluster { answers: true, next_producer_id: 1, ..next });
    let link = next.clone();
    let left = run_with(root, &[("c1", &next)], &clock, 1_500, &mut |step| {
        if is_there && step == HIDDEN {
            link.borrow_mut().foreign = vec![(0, 0, 0, lines.len() as u32)];
        }
    });
    assert_eq!(left, 0);
    next
}

#[test]
fn a_batch_in_doubt_under_a_new_filter_waits_until_its_copy_would_show() {
    let _row = hazard(Group::Log, "another filter, a batch in doubt not visible yet", NONE);
    let filter = "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = regex_filter\n\
                  a1.sources.r1.interceptors.i1.regex = ^two$\na1.sources.r1.interceptors.i1.excludeEvents = true\n";
    for is_there in [true, false] {
        let root = directory("reshaped-filter");
        let next = goes_on(&root, &["one", "two"], filter, Cluster::default(), is_there);
        let expected: &[&str] = if is_there { &[] } else { &["one"] };
        assert_eq!(next.borrow().appended, values(expected));
        fs::remove_dir_all(&root).unwrap();
    }
}

/// Kafka looks at the size of a batch before it looks whether it has it already.
#[test]
fn that_a_later_copy_is_too_large_says_nothing_of_an_earlier_one() {
    let _row = hazard(Group::Log, "limit lowered, a batch in doubt not visible yet", NONE);
    let lines = ["one", "two", "three", "four"];
    for is_there in [true, false] {
        let root = directory("reshaped-limit");
        let small = Cluster { events_max: 1, ..Cluster::default() };
        let next = goes_on(&root, &lines, "", small, is_there);
        assert_eq!(next.borrow().appended, values(if is_there { &[] } else { &lines }));
        fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn that_a_record_of_a_later_copy_is_refused_says_nothing_of_an_earlier_one() {
    for is_there in [true, false] {
        let root = directory("reshaped-refused");
        let strict = Cluster { refused: Some("bad"), ..Cluster::default() };
        let next = goes_on(&root, &["one", "bad", "two"], "", strict, is_there);
        let expected: &[&str] = if is_there { &[] } else { &["one", "two"] };
        assert_eq!(next.borrow().appended, values(expected));
        assert_eq!(root.join("spool/.flumespooltail/dead-letter").exists(), !is_there);
        fs::remove_dir_all(&root).unwrap();
    }
}
