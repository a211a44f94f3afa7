//! The checkpoint is damaged, and the state is read back from the topic: what lies among the dead letters stays
//! there, and nothing comes twice.

use std::fs;
use std::path::{Path, PathBuf};

use flume_ng::channel::broker::Fault;
use flume_ng::channel::reader::{History, TopicRecord};
use flume_ng::clock::ManualClock;
use flume_ng::log;

use super::{Cluster, Shared, directory, run, run_with, shared};
use crate::support::torture::{Group, NONE, hazard};

/// What stands in the first of these partitions.
pub struct Values(pub Vec<Vec<u8>>, pub Vec<i32>);

impl History for Values {
    fn partitions(&self) -> &[i32] {
        &self.1
    }

    fn replicas(&self) -> usize {
        1
    }

    fn bounds(&mut self, partition: i32) -> Result<(i64, i64), Fault> {
        Ok((0, if partition == 0 { self.0.len() as i64 } else { 0 }))
    }

    fn read_some(
        &mut self,
        partition: i32,
        at: &mut i64,
        to: i64,
        visit: &mut dyn FnMut(TopicRecord<'_>),
    ) -> Result<(), Fault> {
        for (offset, value) in (0..to).zip(&self.0).filter(|(offset, _)| offset >= at) {
            visit(TopicRecord { partition, offset, producer_id: 0, key: None, value: Some(value) });
        }
        *at = to;
        Ok(())
    }
}

const TOPIC: &str = "a1.sources.r1.onBadCheckpoint = topic\n";
/// A line says which partition it is for.
pub const PARTITIONS: &str = "a1.sources.r1.interceptors = i1\n\
    a1.sources.r1.interceptors.i1.type = regex_extractor\n\
    a1.sources.r1.interceptors.i1.regex = ^p(.)\n\
    a1.sources.r1.interceptors.i1.serializers = s1\n\
    a1.sources.r1.interceptors.i1.serializers.s1.name = part\n\
    a1.channels.c1.partitionIdHeader = part\n";

/// A run that has sent this file, but for two lines, which are letters; the checkpoint is damaged then.
fn damaged(
    name: &str,
    properties: &str,
    text: &str,
    cluster: Cluster,
) -> (PathBuf, ManualClock, Shared) {
    let root = directory(name);
    fs::write(root.join("more.conf"), [TOPIC, properties].concat()).unwrap();
    fs::write(root.join("spool/f"), text).unwrap();
    let clock = ManualClock::new(1_700_000_000_000, 0);
    let cluster = shared(Cluster { answers: true, ..cluster });
    assert_eq!(run(&root, &[("c1", &cluster)], &clock, 100), 0);
    let sent = text.lines().count() - 2;
    assert_eq!((cluster.borrow().appended.len(), letters(&root)), (sent, 2));
    fs::write(tracker(&root).join("checkpoint"), [0x5a; 8192]).unwrap();
    (root, clock, cluster)
}

fn tracker(root: &Path) -> PathBuf {
    root.join("spool/.flumespooltail")
}

pub fn letters(root: &Path) -> usize {
    let letters = fs::read_to_string(tracker(root).join("dead-letter")).unwrap_or_default();
    letters.lines().filter(|line| line.starts_with("time=")).count()
}

#[track_caller]
pub fn assert_exact(root: &Path, cluster: &Shared) {
    assert_eq!((cluster.borrow().appended.len(), letters(root)), (1, 2));
    assert!(!tracker(root).join("rebuilding").exists(), "the state is not trusted");
}

const STRAYS: &str = "pz one\npx two\np0 three\n";

#[test]
fn lines_that_can_go_nowhere_are_buried_once_though_the_state_is_read_back() {
    let _row = hazard(Group::StateLost, "damaged checkpoint, letters before sent lines", NONE);
    let (root, clock, cluster) = damaged("strays", PARTITIONS, STRAYS, Cluster::default());
    assert_eq!(run(&root, &[("c1", &cluster)], &clock, 200), 0);
    assert_exact(&root, &cluster);
    fs::remove_dir_all(&root).unwrap();
}

/// The letter of a file of long ago is like that which it would have.
#[test]
fn an_event_that_comes_after_a_state_was_read_back_has_a_letter_of_its_own() {
    let _row = hazard(Group::StateLost, "damaged checkpoint, equal letters of before", NONE);
    let (root, clock, cluster) = damaged("equal", PARTITIONS, STRAYS, Cluster::default());
    let path = tracker(&root).join("dead-letter");
    let both = fs::read_to_string(&path).unwrap();
    let first = both.find("pz one\n").unwrap() + "pz one\n".len();
    let first = &both[..first + usize::from(both[first..].starts_with('\n'))];
    fs::write(&path, [first, &both].concat()).unwrap();
    let left = run_with(&root, &[("c1", &cluster)], &clock, 300, &mut |step| {
        if step == 150 {
            assert_eq!(letters(&root), 3);
            fs::write(root.join("spool/g"), "pz one\n").unwrap();
        }
    });
    assert_eq!((left, cluster.borrow().appended.len(), letters(&root)), (0, 1, 4));
    fs::remove_dir_all(&root).unwrap();
}

/// The topic takes them by now.
#[test]
fn refused_lines_are_not_sent_though_the_state_is_read_back() {
    let _row = hazard(Group::StateLost, "damaged checkpoint, letters that are taken now", NONE);
    let refused = Cluster { refused: Some("bad"), ..Cluster::default() };
    let (root, clock, cluster) = damaged("taken", "", "bad one\nbad two\nthree\n", refused);
    cluster.borrow_mut().refused = None;
    assert_eq!(run(&root, &[("c1", &cluster)], &clock, 200), 0);
    assert_exact(&root, &cluster);
    fs::remove_dir_all(&root).unwrap();
}

/// Once the state that was read back so far was thrown away then, and everything was sent again.
#[test]
fn a_state_is_read_back_while_there_is_no_room_for_a_checkpoint() {
    let _row = hazard(Group::StateLost, "damaged checkpoint, no room for another one", NONE);
    let (root, clock, cluster) = damaged("no-room", PARTITIONS, STRAYS, Cluster::default());
    let mark = root.join("no-room");
    fs::write(&mark, "").unwrap();
    let left = run_with(&root, &[("c1", &cluster)], &clock, 400, &mut |step| {
        if step == 200 {
            fs::remove_file(&mark).unwrap();
        }
    });
    assert_eq!(left, 0);
    assert_exact(&root, &cluster);
    fs::remove_dir_all(&root).unwrap();
}

/// The state is made, and trusted, before anything comes up again that stands behind what the topic has.
#[test]
fn a_kill_after_a_state_was_read_back_makes_no_letter_come_twice() {
    let _row = hazard(Group::StateLost, "damaged checkpoint, killed again before letters", NONE);
    let lines = "p0 three\np0 four\npz one\npx two\n";
    let mut is_trusted = false;
    let mut cut = 20;
    // Killed before, and in the first moment in which it is.
    while !is_trusted {
        cut += 1;
        assert!(cut < 100, "the state is not trusted");
        let (root, clock, cluster) = damaged("cut", PARTITIONS, lines, Cluster::default());
        // It comes before them once more.
        cluster.borrow_mut().appended.truncate(1);
        run(&root, &[("c1", &cluster)], &clock, cut);
        is_trusted = !tracker(&root).join("rebuilding").exists();
        let in_doubt = run(&root, &[("c1", &cluster)], &clock, 200);
        assert_eq!((in_doubt, letters(&root)), (0, 2), "{cut}");
        fs::remove_dir_all(&root).unwrap();
    }
}

/// It begins again then; the letters that were come upon before that come up again.
#[test]
fn a_file_that_is_overwritten_while_it_is_compared_gets_no_letter_twice() {
    let _row = hazard(Group::StateLost, "damaged checkpoint, file overwritten meanwhile", NONE);
    let mut begun_again = 0;
    // Whatever it is at.
    for at in 0..80 {
        let (root, clock, cluster) = damaged("changed", PARTITIONS, STRAYS, Cluster::default());
        let file = root.join("spool/f");
        let (_, told) = log::capture(|| {
            run_with(&root, &[("c1", &cluster)], &clock, 250, &mut |step| {
                if step == at {
                    fs::write(&file, STRAYS.replace("three", "THREE")).unwrap();
                } else if step == at + 1 {
                    fs::write(&file, STRAYS).unwrap();
                }
            })
        });
        if told.iter().any(|line| line.contains("was overwritten while it was compared")) {
            begun_again += 1;
            assert_eq!((cluster.borrow().appended.len(), letters(&root)), (1, 2), "{told:#?}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
    assert!(begun_again > 0);
}
