//! Before the first byte of a file is read: is it a copy of one that is being read, or has it taken
//! that one's place? See [`super::quest`].

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::follow::is_deleted;
use super::hints::Hints;
use super::quest::{PROOF_BYTES, Quest, Suspect, Whose, begin_alike};
use super::scan::Candidate;
use super::tracked::{Tracked, Vetting, bytes_match, head_matches};
use super::window::{HeadBytes, TailBytes};
use super::{Files, Handle, reach, tell};
use crate::checkpoint::record::{FileRecord, HEAD_BYTES};
use crate::log::Level;

/// How long a file that is a copy of one that is being read waits for its original to be truncated,
/// ms.
pub(super) const COPY_WAIT_MS: u64 = 10_000;
/// That a file has lost its name is seen within this time, ms.
pub(super) const NOTICE_MS: u64 = 2_000;
/// How much of a copy is compared with its original to begin with, bytes.
const COPY_LOOK_BYTES: u64 = 64 * 1024;

/// What a file that nothing was read of has to do with one that is being read.
enum Kin {
    /// It has taken the other one's place.
    Successor,
    Copy,
    /// The other one has, or had, its name, and is parked.
    Parked,
}

impl Files {
    /// May the first byte of this file be read? Not while it may be one that is being looked for, or
    /// a copy whose original is about to be truncated.
    pub(super) fn may_begin(&mut self, handle: Handle) -> bool {
        let fresh = &self.tracked[handle];
        if fresh.read_position > 0 || fresh.vetting == Vetting::Passed {
            return true;
        }
        self.list_new_suspects();
        let fresh = &self.tracked[handle];
        if self.quests.holds(fresh.record.device, fresh.record.inode)
            || self.quests.has_yet_to_ask(fresh.name(), fresh.opened_ms)
            || self.may_be_copy_of_unreachable(fresh)
            || self.may_be_copy_of_away(fresh)
        {
            return false;
        }
        let fresh = &mut self.tracked[handle];
        if fresh.size == 0 {
            // What it is, is asked when it holds something.
            if matches!(fresh.vetting, Vetting::Copy { .. }) {
                fresh.vetting = Vetting::Due;
            }
            return true;
        }
        if self.may_be_waited_for(handle) {
            return false;
        }
        let now_ms = self.clock().monotonic_ms();
        let kin = self.kin_of(handle).unwrap_or(None);
        match (kin, self.tracked[handle].vetting) {
            (None, _) => {}
            (Some((id, Kin::Successor)), _) => {
                let fresh = &self.tracked[handle];
                let hints = Hints::of_record(&fresh.record);
                let suspect =
                    Suspect::new(fresh.name().to_owned(), hints, fresh.file.try_clone().ok());
                let whose = Whose::Replaced { id, by: hints };
                self.quests.push(Quest::new(whose, VecDeque::from([suspect]), true));
                return false;
            }
            (Some((id, Kin::Parked)), _) => {
                // Opened, it may turn out to be the one whose place this one has taken.
                self.unpark_id(id);
                return false;
            }
            (Some((_, Kin::Copy)), Vetting::Copy { until_ms, .. }) if now_ms < until_ms => {
                return false;
            }
            (Some((of, Kin::Copy)), Vetting::Due) => {
                self.tracked[handle].vetting =
                    Vetting::Copy { of, until_ms: now_ms + COPY_WAIT_MS };
                self.tell_copy(handle, of);
                return false;
            }
            // A look at the original comes first: it may have been truncated long ago.
            (Some((of, Kin::Copy)), _) if self.is_cut_unseen(of) => {
                self.look_again(of);
                return false;
            }
            (Some((_, Kin::Copy)), _) => tell(
                Level::Info,
                self.tracked[handle].name(),
                format_args!(
                    "File:{} is a copy whose original goes on; it is read as a file of its own.",
                    self.tracked[handle].name().display()
                ),
            ),
        }
        self.tracked[handle].vetting = Vetting::Passed;
        true
    }

    /// May this file be one that is waited for? One that was opened by its name was asked before; a
    /// record of which nothing was read says no more than that name.
    fn may_be_waited_for(&mut self, handle: Handle) -> bool {
        let fresh = &mut self.tracked[handle];
        if fresh.vetting != Vetting::Unasked {
            return false;
        }
        fresh.vetting = Vetting::Due;
        if self.absent.waiting().next().is_none() {
            return false;
        }
        let name = fresh.name().to_owned();
        let (Ok(file), Ok(stat)) = (fresh.file.try_clone(), fresh.file.metadata()) else {
            fresh.vetting = Vetting::Unasked;
            return true;
        };
        self.ask_waiting(&name, &file, &stat);
        self.quests.holds(stat.dev(), stat.ino())
    }

    /// Does the file no longer hold what was read of it, without that having been noticed yet?
    pub(super) fn is_cut_unseen(&self, id: u64) -> bool {
        let tracked = self.handle_of(id).map(|handle| &self.tracked[handle]);
        tracked
            .is_some_and(|t| !t.is_superseded() && t.is_intact().is_ok_and(|is_intact| !is_intact))
    }

    /// A file that has lost its name may live on in the one that has it now, or, where it has no name any
    /// more, under one that nobody has looked at yet: it was renamed, unseen, and replaced by its like there.
    /// Asked once, before its end is believed. `is_put`: it stands where it was put. `false`: it does not, as far as
    /// can be told.
    pub(super) fn may_have_heir(&mut self, handle: Handle, is_put: bool) -> bool {
        let tracked = &self.tracked[handle];
        let record = &tracked.record;
        let is_proof = record.position >= PROOF_BYTES && !record.is_remnant;
        if tracked.has_asked_heirs || tracked.is_superseded() || !is_proof {
            return false;
        }
        let is_anywhere = !is_put && has_no_place(tracked);
        let now_ms = self.clock().monotonic_ms();
        if now_ms < self.heirs_ms {
            return true;
        }
        let may_be = |name: &OsStr| is_anywhere || name == tracked.name();
        // A name of which could not be told what it is may be its, and so may one that came since they were
        // listed, where it has no name itself.
        let mut fault = self.scanner.unjudged().iter().any(|(name, _)| may_be(name));
        fault |= is_anywhere && self.scanner.is_stale().unwrap_or(true);
        let mut suspects = Vec::new();
        // What most of thousands were renamed from is free.
        let is_free = || self.root.stat(tracked.name()).is_err_and(|e| reach::is_nothing_there(&e));
        let candidates = match is_anywhere || !is_free() {
            true => self.scanner.candidates(),
            false => &[],
        };
        for candidate in candidates {
            if !may_be(&candidate.name) || self.is_told(candidate) {
                continue;
            }
            match self.heir(&candidate.name, tracked) {
                Ok(found) => suspects.extend(found),
                Err(e) => fault |= !(reach::is_nothing_there(&e) || reach::is_no_file(&e)),
            }
        }
        let id = tracked.record.id;
        let took_ms = self.clock().monotonic_ms() - now_ms;
        self.heirs_ms = now_ms + took_ms * 10;
        let tracked = &mut self.tracked[handle];
        let since_ms = *tracked.asks_heirs_ms.get_or_insert(now_ms);
        let is_asked = !fault || now_ms >= since_ms + COPY_WAIT_MS;
        tracked.has_asked_heirs = is_asked;
        // What holds all of it comes before what may be a copy that lacks something.
        suspects.sort_by_key(|(len, _)| Reverse(*len));
        let suspects: VecDeque<Suspect> =
            suspects.into_iter().map(|(_, suspect)| suspect).collect();
        let Some(by) = suspects.front().map(|suspect| suspect.hints) else { return !is_asked };
        self.quests.push(Quest::new(Whose::Replaced { id, by }, suspects, true));
        true
    }

    /// Is that a file of which is known what it is?
    pub(super) fn is_told(&self, candidate: &Candidate) -> bool {
        let (device, inode) = (candidate.device, candidate.inode);
        let is_told = |t: &Tracked| t.read_position > 0 || t.vetting == Vetting::Passed;
        let is_it = |t: &Tracked| t.is_inode(device, inode) && is_told(t);
        self.parking.holds(device, inode) || self.tracked.iter().any(is_it)
    }

    /// The file of that name and its length, if it begins as what was read of the other one.
    fn heir(&self, name: &OsStr, tracked: &Tracked) -> io::Result<Option<(u64, Suspect)>> {
        let file = self.root.open(name)?;
        let stat = file.metadata()?;
        let begins_so = stat.len() >= PROOF_BYTES && head_matches(&file, &tracked.record)?;
        let home = self.home_of(&file, name);
        let suspect = Suspect::new(name.to_owned(), Hints::of(&stat), Some(file));
        Ok(begins_so.then(|| (stat.len(), Suspect { home, ..suspect })))
    }

    fn tell_copy(&self, handle: Handle, of: u64) {
        let original = self.records().find(|record| record.id == of);
        let original = original.map_or(&b"?"[..], |record| &record.name);
        tell(
            Level::Info,
            self.tracked[handle].name(),
            format_args!(
                "File:{} is a copy of {}, which is being read; it waits {} seconds for that to be \
                 truncated.",
                self.tracked[handle].name().display(),
                String::from_utf8_lossy(original),
                COPY_WAIT_MS / 1_000
            ),
        );
    }

    /// The file that is being read and begins as this one does.
    fn kin_of(&self, handle: Handle) -> io::Result<Option<(u64, Kin)>> {
        let fresh = &self.tracked[handle];
        let mut head = [0u8; HEAD_BYTES];
        let len = HEAD_BYTES.min(usize::try_from(fresh.size).unwrap_or(HEAD_BYTES));
        fresh.file.read_exact_at(&mut head[..len], 0)?;
        let crc = crc32fast::hash(&head[..len]);
        let is_whole = len == HEAD_BYTES;
        let is_other = |other: &&Tracked| {
            other.record.id != fresh.record.id && !other.is_superseded() && other.read_position > 0
        };
        let mut others: Vec<&Tracked> = self.tracked.iter().filter(|t| is_other(t)).collect();
        // Of several that had the name, the last one was there before this one.
        others.sort_by_key(|t| Reverse((t.lost_name_ms, t.record.id)));
        for other in others {
            let record = &other.record;
            let may_be = match is_whole && other.read_position >= PROOF_BYTES {
                true if record.head_len as usize == HEAD_BYTES => record.head_crc == crc,
                // Nothing of it is in the topic yet.
                true => {
                    let read = other.head.as_slice();
                    read.len() < HEAD_BYTES || read == head
                }
                false => self.is_copys(fresh.name(), record),
            };
            // All that follows asks the file system, of each of hundreds of files.
            if !may_be {
                continue;
            }
            // Its old writer may have gone on writing to the other one.
            let look = if may_succeed(fresh, other) { PROOF_BYTES } else { COPY_LOOK_BYTES };
            let end = fresh.size.min(other.read_position).min(look);
            let is_alike = || begin_alike(&fresh.file, &other.file, end).unwrap_or(false);
            if is_alike() {
                return Ok(kin(fresh, other)?.map(|kin| (record.id, kin)));
            }
            if begins_as_was_read(fresh, other).unwrap_or(false) {
                // Also of one that has no place any more: it had one when it was copied.
                return Ok(Some((record.id, kin(fresh, other)?.unwrap_or(Kin::Copy))));
            }
        }
        // Of thousands that are parked none needs to be gone through then.
        if is_whole && !self.parking.may_begin_so(crc) {
            return Ok(None);
        }
        // One that is parked may have been copied before its last lines were written.
        let may_be_copied = |r: &&FileRecord| {
            let len = r.head_len as usize;
            // Of thousands most are told apart by that.
            fresh.size < r.position
                && self.is_copys(fresh.name(), r)
                && (fresh.size < len as u64
                    || bytes_match(&fresh.file, 0, len, r.head_crc).unwrap_or(true))
        };
        if let Some(record) = self.parking.records().find(may_be_copied) {
            return Ok(Some((record.id, Kin::Parked)));
        }
        if !is_whole {
            return Ok(None);
        }
        // One that is parked was read to its end.
        let is_it = |r: &&FileRecord| {
            r.head_len as usize == HEAD_BYTES
                && r.head_crc == crc
                && r.position <= fresh.size
                && TailBytes::read(&fresh.file, r.position).is_ok_and(|t| t.crc() == r.tail_crc)
        };
        let found = self.parking.records().find(is_it);
        Ok(found.map(|record| {
            // What has its name has taken its place, be it known already that it has moved or not.
            let had_its_name = record.name == fresh.record.name;
            (record.id, if had_its_name { Kin::Parked } else { Kin::Copy })
        }))
    }
}

/// The other one may have been truncated since the last look at it, and hold no more what was read.
/// Does this one begin so?
fn begins_as_was_read(fresh: &Tracked, other: &Tracked) -> io::Result<bool> {
    let len = other.head.as_slice().len() as u64;
    if len == 0 || fresh.size < len || other.is_intact()? {
        return Ok(false);
    }
    Ok(HeadBytes::read(&fresh.file, len)?.as_slice() == other.head.as_slice())
}

/// Has the other file left its name to this one, or no place at all?
fn may_succeed(fresh: &Tracked, other: &Tracked) -> bool {
    let name = &fresh.record.name;
    let had_its_name = other.former_name() == Some(name.as_slice())
        || !other.is_named() && other.record.name == *name;
    had_its_name || has_no_place(other)
}

/// Has the other file no name any more? It may have been seen under one that was taken since.
pub(super) fn has_no_place(other: &Tracked) -> bool {
    !other.is_named() && (other.record.current_name.is_empty() || is_deleted(&other.file))
}

fn kin(fresh: &Tracked, other: &Tracked) -> io::Result<Option<Kin>> {
    if may_succeed(fresh, other) {
        let since_ms = other.lost_name_ms.unwrap_or(0).saturating_sub(NOTICE_MS);
        let is_partly = other.marks.before(fresh.size, since_ms).is_some();
        let has_tail = fresh.size >= other.read_position && {
            let tail = TailBytes::read(&fresh.file, other.read_position)?;
            tail.as_slice().ends_with(other.tail.as_slice())
        };
        let is_worth_it = has_tail || is_partly || other.has_uncommitted();
        if is_worth_it && other.read_position >= PROOF_BYTES {
            return Ok(Some(Kin::Successor));
        }
    }
    Ok((!has_no_place(other)).then_some(Kin::Copy))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, FileTimes};

    use std::path::Path;

    use super::*;
    use crate::source::absent::Absence;
    use crate::source::parked::Spare;
    use crate::source::scene::{Scene, named};

    /// A file of the present hour that was read, and has no descriptor. Its name, id, and how far it was read.
    fn parked(scene: &mut Scene, numbers: Option<Hints>) -> (String, u64, u64) {
        let name = scene.name("f");
        scene.write(&name, 0..100);
        let handle = scene.is_read(&name, 0);
        let tracked = &mut scene.files.tracked[handle];
        if let Some(Hints { device, inode, .. }) = numbers {
            (tracked.record.device, tracked.record.inode) = (device, inode);
        }
        let (id, position) = (tracked.record.id, tracked.read_position);
        assert!(scene.files.park_one(&[Spare::Live]));
        (name, id, position)
    }

    /// As `rsync -t` puts a file in the place of its like: with its length, its stamp and an inode of its own.
    fn restore_in_place(scene: &Scene, name: &str) {
        let (path, beside) = (scene.path(name), scene.path("beside"));
        let modified = path.metadata().unwrap().modified().unwrap();
        fs::copy(&path, &beside).unwrap();
        let copy = File::options().write(true).open(&beside).unwrap();
        copy.set_times(FileTimes::new().set_modified(modified)).unwrap();
        fs::rename(beside, path).unwrap();
    }

    /// Longer than parked files are not looked at, and than a copy waits for its original.
    const LATER_MS: u64 = 2 * COPY_WAIT_MS;

    /// Its length and stamp were taken for its being what it was, and what has its name for a copy of it.
    #[test]
    fn a_parked_file_in_whose_place_its_like_was_put_is_not_sent_twice() {
        for is_looked_at_first in [true, false] {
            let mut scene = Scene::new(&format!("parked-restored-{is_looked_at_first}"));
            let (name, id, position) = parked(&mut scene, None);
            if !is_looked_at_first {
                // It is looked at again later than what has its name.
                assert!(scene.files.choose().is_none());
            }
            restore_in_place(&scene, &name);
            scene.clock.advance(if is_looked_at_first { 1_000 } else { 200 });
            for _ in 0..4 {
                scene.files.refresh(true);
                assert!(scene.files.choose().is_none());
                scene.files.recognise(|_| None);
            }
            scene.clock.advance(LATER_MS);
            scene.files.refresh(true);
            assert!(scene.files.choose().is_none(), "{is_looked_at_first}");
            assert_eq!(scene.reads(id), named(&name, position));
            scene.write(&name, 100..101);
            let chosen = scene.files.choose().unwrap();
            assert_eq!(scene.files.at(chosen).record.id, id);
        }
    }

    /// Nothing else is asked of a file that has the number of a parked one.
    #[test]
    fn a_new_file_that_has_got_the_inode_of_a_parked_one_is_read() {
        let mut scene = Scene::new("parked-inode");
        let fresh = scene.name("h");
        scene.write(&fresh, 500..600);
        // As if its like had been put in the place of the parked one, and this file had got its inode.
        let numbers = Hints::of(&scene.path(&fresh).metadata().unwrap());
        let (name, id, position) = parked(&mut scene, Some(numbers));
        scene.clock.advance(1_000);
        for _ in 0..4 {
            scene.files.refresh(true);
            scene.files.choose();
            scene.files.recognise(|_| None);
        }
        assert_eq!(scene.reads(id), named(&name, position));
        let chosen = scene.files.choose().expect("the new file");
        assert_eq!(scene.files.at(chosen).name(), fresh.as_str());
    }

    /// All were replaced by their like, and there is not a descriptor for each at once. An inode number was given on
    /// meanwhile: its last holder, which nobody has looked at yet, kept the new one from being asked.
    #[test]
    fn a_parked_file_is_found_under_a_number_that_another_one_has_lost() {
        for (n, (born_ns, is_deleted, is_read)) in
            [(1, false, true), (0, false, true), (0, true, true), (0, false, false)]
                .into_iter()
                .enumerate()
        {
            let mut scene = Scene::new(&format!("parked-number-{n}"));
            let other = scene.name("g");
            scene.write(&other, 500..600);
            let handle = scene.is_read(&other, 0);
            let mut record = scene.files.tracked.remove(handle).record;
            let (name, id, position) = parked(&mut scene, None);
            restore_in_place(&scene, &name);
            match is_deleted {
                true => fs::remove_file(scene.path(&other)).unwrap(),
                false => restore_in_place(&scene, &other),
            }
            record.inode = scene.path(&name).metadata().unwrap().ino();
            record.born_ns = born_ns;
            if !is_read {
                (record.position, record.head_len, record.head_crc, record.tail_crc) = (0, 0, 0, 0);
            }
            scene.files.park_record(record);
            scene.files.unpark_id(id);
            scene.files.recognise(|_| None);
            assert_eq!(scene.reads(id), named(&name, position));
            assert_eq!(scene.files.absent().records().count(), 0);
        }
    }

    /// Where no time of birth is known, it is known by what it holds under a name that nobody has seen yet.
    #[test]
    fn a_parked_file_that_was_renamed_and_replaced_is_no_other_ones() {
        let mut scene = Scene::new("parked-renamed-unseen");
        let name = scene.name("f");
        scene.write(&name, 0..100);
        let handle = scene.is_read(&name, 0);
        let mut record = scene.files.tracked.remove(handle).record;
        record.born_ns = 0;
        scene.files.park_record(record);
        let moved = scene.path(&format!("{name}.1"));
        fs::rename(scene.path(&name), &moved).unwrap();
        scene.write(&name, 500..600);
        let is_taken = |path: &Path| {
            let file = File::open(path).unwrap();
            let stat = file.metadata().unwrap();
            scene.files.is_taken(&file, &stat).unwrap()
        };
        assert!(is_taken(&moved) && !is_taken(&scene.path(&name)));
    }

    /// It was recognised under a number that a later one, which is gone, had before, and was superseded by that.
    #[test]
    fn a_record_is_not_superseded_by_one_of_another_time_of_birth() {
        let mut scene = Scene::new("restored-number");
        let name = scene.name("f");
        scene.write(&name, 0..100);
        let handle = scene.is_read(&name, 0);
        let Tracked { record, read_position, .. } = scene.files.tracked.remove(handle);
        let id = record.id;
        if record.born_ns == 0 {
            return;
        }
        let gone = FileRecord {
            id: id + 4,
            name: b"gone".to_vec(),
            current_name: b"gone".to_vec(),
            born_ns: record.born_ns - 1,
            ..record.clone()
        };
        let committed = FileRecord { position: read_position, ..record };
        scene.files.restore(vec![committed, gone], id + 5, |_| None);
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&name, read_position));
    }

    /// What waits for its directory keeps the number of its file, which is another's by now.
    #[test]
    fn a_record_that_waits_is_not_that_of_a_file_of_another_time_of_birth() {
        let mut scene = Scene::new("absent-number");
        let name = scene.name("f");
        scene.write(&name, 0..100);
        let stat = scene.path(&name).metadata().unwrap();
        let Hints { device, inode, .. } = Hints::of(&stat);
        for born_ns in [1, Hints::of(&stat).born_ns] {
            let record = FileRecord { id: 7, device, inode, born_ns, ..FileRecord::default() };
            scene.files.put_absent(record, Absence::Unreachable("why".to_owned()), None);
            let is_its = scene.files.has_record_of(OsStr::new(&name), &stat);
            assert_eq!(is_its, born_ns != 1 || Hints::of(&stat).born_ns == 0);
        }
    }

    const DROPPED: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = @DIR@/spool
a1.sources.r1.trackerDir = @DIR@/tracker
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = localhost:9092
a1.channels.c1.kafka.topic = t
";

    /// No bytes are those that any file begins with. When it has some it is asked what it is.
    #[test]
    fn an_empty_file_is_no_copy_before_it_holds_something() {
        let mut scene = Scene::of("kin-empty", DROPPED);
        scene.write("a", 0..100);
        scene.is_read("a", 0);
        scene.write("a.1", 0..0);
        scene.files.refresh(true);
        assert!(scene.files.choose().is_none());
        let fresh = scene.files.handle_by_name(OsStr::new("a.1")).expect("the empty file");
        assert!(scene.files.may_begin(fresh));
        assert_eq!(scene.files.tracked[fresh].vetting, Vetting::Due);
        scene.write("a.1", 0..100);
        assert!(scene.files.choose().is_none());
        let vetting = scene.files.tracked[fresh].vetting;
        assert!(matches!(vetting, Vetting::Copy { .. }), "{vetting:?}");
    }
}
