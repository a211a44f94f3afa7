//! A broker names the records of a batch that it does not take. That is known only as long as one that it does take is
//! sent with them: of a batch that it refuses whole it names none, and that may be true of every record of the topic.

use std::fs;
use std::path::Path;

use flume_ng::clock::ManualClock;

use super::{Cluster, directory, run, shared, values};
use crate::support::torture::{Group, NONE, hazard};

const BATCHES: [&[&str]; 5] = [
    &["one", "bad 1", "two"],
    &["one", "bad 1", "bad 2"],
    &["bad 1", "bad 2", "one"],
    &["bad 1", "one", "bad 2", "bad 3", "two", "bad 4"],
    &["bad 1", "bad 2", "one", "bad 3", "two", "three"],
];

fn is_bad(line: &&&str) -> bool {
    line.starts_with("bad")
}

/// Each of its lines is in the topic once, or among the letters.
fn assert_all_told(root: &Path, topic: &Cluster, lines: &[&str]) {
    let good: Vec<&str> = lines.iter().filter(|line| !is_bad(line)).copied().collect();
    assert_eq!(topic.appended, values(&good), "{lines:?}");
    let letters = fs::read(root.join("spool/.flumespooltail/dead-letter")).unwrap();
    let letters = String::from_utf8_lossy(&letters).into_owned();
    assert_eq!(letters.matches("bad").count(), lines.iter().filter(is_bad).count(), "{letters}");
    for bad in lines.iter().filter(is_bad) {
        assert_eq!(letters.matches(*bad).count(), 1, "{lines:?}: {letters}");
    }
}

fn of(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Those at the end of a batch were once sent by themselves, for ever.
#[test]
fn each_record_that_one_answer_names_is_buried() {
    let _row = hazard(Group::Sticks, "several records of a batch refused beside others", NONE);
    for lines in BATCHES {
        let root = directory("refused-several");
        fs::write(root.join("spool/f"), of(lines)).unwrap();
        let clock = ManualClock::new(1_700_000_000_000, 0);
        let topic = shared(Cluster { answers: true, refused: Some("bad"), ..Cluster::default() });
        assert_eq!(run(&root, &[("c1", &topic)], &clock, 300), 0, "{lines:?}");
        assert_all_told(&root, &topic.borrow(), lines);
        fs::remove_dir_all(&root).unwrap();
    }
}

/// The batch was cut up before the letter was written. What was refused stood alone in its batch then.
#[test]
fn a_record_that_is_refused_and_cannot_be_kept_now_stays_beside_those_that_pass() {
    let _row = hazard(Group::Sticks, "no room for the letter of a record that is refused", NONE);
    for lines in BATCHES {
        for room in 0..4 {
            for restarts in [false, true] {
                let root = directory("refused-cramped");
                fs::write(root.join("spool/f"), of(lines)).unwrap();
                fs::write(root.join("room-for-letters"), room.to_string()).unwrap();
                let clock = ManualClock::new(1_700_000_000_000, 0);
                let topic =
                    shared(Cluster { answers: true, refused: Some("bad"), ..Cluster::default() });
                let links = [("c1", &topic)];
                let left = if restarts {
                    let stays = room < lines.iter().filter(is_bad).count();
                    assert_eq!(run(&root, &links, &clock, 100) > 0, stays, "{lines:?} {room}");
                    fs::remove_file(root.join("room-for-letters")).unwrap();
                    run(&root, &links, &clock, 1_500)
                } else {
                    super::run_with(&root, &links, &clock, 400, &mut |step| {
                        if step == 150 {
                            fs::remove_file(root.join("room-for-letters")).unwrap();
                        }
                    })
                };
                assert_eq!(left, 0, "{lines:?}, room for {room} letters, restarts: {restarts}");
                assert_all_told(&root, &topic.borrow(), lines);
                fs::remove_dir_all(&root).unwrap();
            }
        }
    }
}
