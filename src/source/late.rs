//! Finished files that are written to: where the kernel names them, each goes on from its receipt
//! within a second, and does not wait for the hourly look at all of them ([`super::known`]).

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::hints::Hints;
use super::policy::Names;
use super::{Files, reach};
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::FileRecord;

/// Names that are kept until the next look at most; what is beyond is found by the hourly one.
const NAMES_MAX: usize = 512;

/// How often the receipts are read for them at most, ms; also at most a tenth of the time.
const LOOK_INTERVAL_MS: u64 = 500;

/// How often open files are asked whether one can spare its descriptor, where none could, ms.
const ROOM_INTERVAL_MS: u64 = 250;

/// Files that were finished last, of which is known how long they were then.
const ENDED_MAX: usize = 1_024;

/// Names of finished files that were written to, as the kernel says.
#[derive(Default)]
pub(super) struct Late {
    names: HashSet<OsString>,
    /// Device, inode and length of files that have ended: the kernel tells of the names that we give them as well.
    ended: HashMap<(u64, u64), u64>,
    /// Device and inode of finished files that no group takes any more: they are written to all the same, and their
    /// receipts are passed over each time.
    released: HashSet<(u64, u64)>,
    next_ms: u64,
    /// No open file could spare its descriptor for one that has grown; asked again from this time on.
    no_room_ms: u64,
}

impl Late {
    /// A file has ended, this long.
    pub(super) fn note_end(&mut self, record: &FileRecord, size: u64) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.clear();
        }
        self.ended.insert((record.device, record.inode), size);
    }

    /// The file that was found under this name is passed over from now on.
    fn pass_over(&mut self, name: &[u8], written: &HashMap<(u64, u64), OsString>) {
        if self.released.len() >= ENDED_MAX {
            self.released.clear();
        }
        let its = written.iter().filter(|(_, other)| other.as_bytes() == name);
        self.released.extend(its.map(|(identity, _)| identity));
    }

    /// Another receipt was written of it, or of another file that has its inode by now.
    pub(super) fn note_receipt(&mut self, record: &FileRecord) {
        self.released.remove(&(record.device, record.inode));
    }

    fn is_released(&self, stat: &Metadata) -> bool {
        self.released.contains(&(stat.dev(), stat.ino()))
    }

    /// Has it not grown since?
    fn is_as_ended(&self, stat: &Metadata) -> bool {
        self.ended.get(&(stat.dev(), stat.ino())) == Some(&stat.len())
    }
}

impl Files {
    /// A change notice: is it of a finished file? Asked for each write to any file of the
    /// directory: what costs least comes first.
    pub(super) fn notice_late(&mut self, name: &OsStr) {
        let is_done = match &self.policy.names {
            Names::Matched { suffix, .. } => {
                let suffix = suffix.as_bytes();
                memchr::memmem::find(name.as_bytes(), suffix).is_some_and(|at| at > 0)
            }
            // One that was moved out of the pattern.
            Names::Grouped(_) => !self.accepts(name),
        };
        if !is_done || self.late.names.len() >= NAMES_MAX || self.late.names.contains(name) {
            return;
        }
        let Ok(stat) = std::fs::metadata(self.path(name)) else { return };
        // A file that has not ended, which we have renamed perhaps, is looked at before it does.
        if self.late.is_as_ended(&stat)
            || self.late.is_released(&stat)
            || self.parking.alike(Hints::of(&stat)).next().is_some()
            || self.tracked.iter().any(|t| t.is_inode(stat.dev(), stat.ino()))
        {
            return;
        }
        if self.known.may_hold(stat.dev(), stat.ino()) || self.may_be_renumbered(name, &stat) {
            self.late.names.insert(name.to_owned());
        }
    }

    /// May there be a receipt of the file by the name that it was read under, and its first bytes?
    /// Its numbers are others since a copy or another disk.
    fn may_be_renumbered(&mut self, name: &OsStr, stat: &Metadata) -> bool {
        let Some(before) = self.scanner.name_before(name) else { return false };
        let Ok(file) = reach::open(&self.path(name)) else { return false };
        self.known.may_hold_name(before.as_bytes(), &file, stat)
    }

    /// Looks for the receipts of those that were written to. What has grown is read on.
    pub(super) fn look_at_late(&mut self) {
        let now_ms = self.clock().monotonic_ms();
        if self.late.names.is_empty() || now_ms < self.late.next_ms {
            return;
        }
        let mut written: HashMap<(u64, u64), OsString> = HashMap::new();
        let mut names = std::mem::take(&mut self.late.names);
        // Those that wait for a descriptor are written to all the time.
        self.grown.iter().for_each(|waiting| {
            names.remove(OsStr::from_bytes(&waiting.completed));
        });
        for name in names {
            let Ok(stat) = std::fs::metadata(self.path(&name)) else { continue };
            let identity = (stat.dev(), stat.ino());
            if stat.is_file() && !self.is_recorded(&stat) {
                written.insert(identity, name);
            }
        }
        if !written.is_empty() {
            let found = newest_of(&written, self.known.receipts());
            let takes = |r: &Receipt| self.takes_still(OsStr::from_bytes(&r.name));
            let (found, released): (Vec<_>, Vec<_>) = found.into_iter().partition(takes);
            for receipt in released {
                self.late.pass_over(&receipt.completed, &written);
            }
            put_grown(&mut self.grown, found);
        }
        let took_ms = self.clock().monotonic_ms() - now_ms;
        self.late.next_ms = now_ms + LOOK_INTERVAL_MS.max(took_ms * 10);
    }

    /// Is there a finished file that has grown, and a descriptor for it? Files that are followed for ever leave
    /// no place by themselves: a quiet one gives its own.
    pub(super) fn has_room_for_grown(&mut self) -> bool {
        let now_ms = self.clock().monotonic_ms();
        if self.grown.is_empty() || now_ms < self.late.no_room_ms {
            return false;
        }
        let has_room = self.has_room();
        if !has_room {
            self.late.no_room_ms = now_ms + ROOM_INTERVAL_MS;
        }
        has_room
    }
}

/// Of those that wait under the same names each was found once more.
pub(super) fn put_grown(grown: &mut Vec<Receipt>, found: Vec<Receipt>) {
    if !found.is_empty() && !grown.is_empty() {
        let names: HashSet<&[u8]> = found.iter().map(|r| r.completed.as_slice()).collect();
        grown.retain(|waiting| !names.contains(waiting.completed.as_slice()));
    }
    grown.extend(found);
}

/// The newest receipt of each, if it says that the file was left under this name; where none has its
/// number, the newest of that name: what the bytes are tells then. Where another file had the name
/// since, or this one another name, the hourly look decides.
fn newest_of(
    written: &HashMap<(u64, u64), OsString>,
    receipts: impl Iterator<Item = Receipt>,
) -> Vec<Receipt> {
    let names: HashSet<&[u8]> = written.values().map(|name| name.as_bytes()).collect();
    let (mut numbered, mut named) = (HashSet::new(), HashMap::new());
    for receipt in receipts {
        let identity = (receipt.device, receipt.inode);
        if let Some(name) = written.get(&identity) {
            numbered.insert(identity);
            if name.as_bytes() != receipt.completed {
                // It was left under another name since.
                named.remove(name.as_bytes());
                continue;
            }
        }
        if names.contains(receipt.completed.as_slice()) {
            named.insert(receipt.completed.clone(), receipt);
        }
    }
    let is_its = |identity: &(u64, u64), receipt: &Receipt| {
        (receipt.device, receipt.inode) == *identity || !numbered.contains(identity)
    };
    let found = |(identity, name): (&(u64, u64), &OsString)| {
        let receipt = named.get(name.as_bytes())?;
        is_its(identity, receipt).then(|| receipt.clone())
    };
    written.iter().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::receipt::Receipts;
    use crate::source::hints::born_ns;
    use crate::source::scene::Scene;

    const CONF: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.channels = c1
a1.sources.r1.type = TAILDIR
a1.sources.r1.positionFile = @DIR@/tracker/position.json
a1.sources.r1.filegroups = f1
a1.sources.r1.filegroups.f1 = @DIR@/spool/a.*
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = h:1
a1.channels.c1.kafka.topic = t
";

    /// All receipts were read twice a second, as long as it was written to.
    #[test]
    fn a_finished_file_that_no_group_takes_any_more_asks_for_its_receipt_once() {
        let mut scene = Scene::of("late-released", CONF);
        let name = "b.log";
        scene.write(name, 0..3);
        let stat = scene.path(name).metadata().unwrap();
        let receipt = Receipt {
            name: name.into(),
            device: stat.dev(),
            born_ns: born_ns(&stat),
            ..receipt(stat.ino(), name, stat.len())
        };
        let state = scene.files.config.tracker_dir.clone();
        std::fs::create_dir(&state).unwrap();
        Receipts::new(&state).append(&receipt).unwrap();
        scene.restart();
        scene.files.refresh(true);
        for (lines, asks) in [(3..5, true), (5..7, false)] {
            scene.write(name, lines);
            scene.files.notice_late(OsStr::new(name));
            assert_eq!(!scene.files.late.names.is_empty(), asks);
            scene.clock.advance(LOOK_INTERVAL_MS);
            scene.files.look_at_late();
            assert!(scene.files.late.names.is_empty() && scene.files.grown.is_empty());
        }
        // Another file may have its inode, once it has come to its end.
        let (device, inode) = (stat.dev(), stat.ino());
        scene.files.note_receipts(&[FileRecord { device, inode, ..FileRecord::default() }]);
        scene.files.notice_late(OsStr::new(name));
        assert!(!scene.files.late.names.is_empty());
    }

    fn receipt(inode: u64, completed: &str, size: u64) -> Receipt {
        let completed = completed.as_bytes().to_vec();
        Receipt { inode, completed, size, ..Receipt::default() }
    }

    #[test]
    fn a_finished_file_that_has_grown_waits_once_however_often_it_is_found() {
        let mut grown = Vec::new();
        for size in [5, 5, 9] {
            put_grown(&mut grown, vec![receipt(1, "a.C", size), receipt(2, "b.C", size)]);
            put_grown(&mut grown, vec![receipt(3, "c.C", size)]);
        }
        let found: Vec<_> = grown.iter().map(|r| (r.completed.as_slice(), r.size)).collect();
        assert_eq!(found, [(&b"a.C"[..], 9), (b"b.C", 9), (b"c.C", 9)]);
    }

    #[test]
    fn the_name_that_a_file_was_given_at_its_end_asks_for_no_receipt() {
        // Any file will do.
        let stat = std::fs::metadata(std::env::current_exe().unwrap()).unwrap();
        let record = FileRecord { device: stat.dev(), inode: stat.ino(), ..FileRecord::default() };
        let mut late = Late::default();
        assert!(!late.is_as_ended(&stat));
        late.note_end(&record, stat.len());
        assert!(late.is_as_ended(&stat));
        // It has grown.
        late.note_end(&record, stat.len() - 1);
        assert!(!late.is_as_ended(&stat));
        for inode in 0..2 * ENDED_MAX as u64 {
            late.note_end(&FileRecord { inode, ..FileRecord::default() }, 0);
            assert!(late.ended.len() <= ENDED_MAX);
        }
    }

    #[test]
    fn the_newest_receipt_counts_where_name_and_number_agree() {
        let written = |name: &str| HashMap::from([((0, 1), OsString::from(name))]);
        let found = |all: &[Receipt]| newest_of(&written("a.C"), all.iter().cloned());
        let sizes = |all: &[Receipt]| found(all).iter().map(|r| r.size).collect::<Vec<_>>();
        assert_eq!(sizes(&[receipt(1, "a.C", 5), receipt(1, "a.C", 9)]), [9]);
        assert_eq!(sizes(&[receipt(1, "a.C", 5), receipt(1, "b.C", 9)]), [0u64; 0]);
        assert_eq!(sizes(&[receipt(1, "a.C", 5), receipt(2, "a.C", 9)]), [0u64; 0]);
        assert_eq!(sizes(&[receipt(2, "a.C", 5), receipt(1, "a.C", 9)]), [9]);
        // Renumbered: no receipt has its number.
        assert_eq!(sizes(&[receipt(2, "a.C", 5), receipt(3, "a.C", 9)]), [9]);
        assert_eq!(sizes(&[receipt(2, "b.C", 5)]), [0u64; 0]);
    }
}
