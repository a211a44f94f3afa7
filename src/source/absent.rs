//! Files that the checkpoint speaks of and that are not open: what may be believed of them.
//!
//! That a file cannot be opened now (no right, a failing disk, no descriptor left, a file system
//! that is not mounted) says nothing about the file. It is *gone* only when its directory was
//! listed from the first name to the last without it, its names answer that there is nothing, and
//! the directory is the one in which it was. Until then its record waits: it is looked for again
//! every second, its position moves with what is found in the topic, and before any name is taken
//! for a new file the records that wait are asked whether it is theirs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;

use super::directories::{is_void, place_of};
use super::hints::{Hints, born_ns, is_other_birth};
use super::parked::Spare;
use super::quest::{PROOF_BYTES, Quest, Suspect, Whose};
use super::restore::Announced;
use super::root::Entry;
use super::tracked::{self, Tracked};
use super::{Files, Handle, reach, tell};
use crate::checkpoint::record::{FileRecord, FileState, FormerName, HEAD_BYTES};
use crate::checkpoint::room::why_not_opened;
use crate::log::Level;

/// How often what waits is looked for, ms.
const LOOK_MS: u64 = 1_000;

/// How many records are looked for at a time; the others have their turn in the next looks.
const LOOK_MAX: usize = 64;

/// So many that are gone get their receipts at a time.
const ENDED_MAX: usize = 192;

/// How many files that wait are named in the log one by one.
const TOLD_MAX: usize = 20;
const MORE: &str = " More files are waited for like this; they are not named one by one.";

/// How long a record whose directory is another one waits, ms. Then it gets a receipt, by which its
/// file is known again should it come back. What is in doubt of it waits on, unless the other
/// directory is on the same file system, or no group has its own any more.
pub(super) const ELSEWHERE_MS: u64 = 3_600_000;

/// Why the file of a record is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// It may well be there, but could not be opened or looked for: why.
    Unreachable(String),
    /// It is not in the directory, which is not the one in which it was: why.
    Elsewhere(String),
    /// The right directory was listed without it.
    Gone,
    /// Its content was thrown away: what was read of it is all there will ever be.
    Superseded,
}

impl Absence {
    /// Why the file may still come back, if it may.
    pub fn hope(&self) -> Option<&str> {
        match self {
            Absence::Unreachable(why) | Absence::Elsewhere(why) => Some(why),
            Absence::Gone | Absence::Superseded => None,
        }
    }
}

/// A record without an open file.
pub struct Absent {
    pub record: FileRecord,
    pub absence: Absence,
    /// How far it was announced when the last run ended.
    pub(super) reached: Option<Announced>,
    /// The directory that stands in the place of its own, if one does.
    other: Option<Hints>,
    /// Monotonic time since which it has waited for the same reason: as long as that one stands there.
    since_ms: u64,
}

impl Absent {
    /// What a look has found; `other` as in the field. Is it another reason than before? The hour for
    /// which another directory is not believed is one in which it stood there all the time.
    fn note(&mut self, absence: Absence, other: Option<Hints>, now_ms: u64) -> bool {
        let is_elsewhere = matches!(absence, Absence::Elsewhere(_));
        let was_elsewhere = matches!(self.absence, Absence::Elsewhere(_));
        // One that cannot be asked in this moment is the same.
        let is_other = other.is_some() && self.other.is_some() && other != self.other;
        let is_news = is_elsewhere != was_elsewhere || is_other;
        if is_news {
            self.since_ms = now_ms;
        }
        self.other = if is_elsewhere { other.or(self.other) } else { None };
        self.absence = absence;
        is_news
    }
}

/// All records without an open file.
#[derive(Default)]
pub struct Absents {
    list: Vec<Absent>,
    looked_ms: u64,
}

impl Absents {
    pub fn records(&self) -> impl Iterator<Item = &FileRecord> {
        self.list.iter().map(|a| &a.record)
    }

    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut FileRecord> {
        self.list.iter_mut().map(|a| &mut a.record)
    }

    pub fn find(&self, id: u64) -> Option<&Absent> {
        self.list.iter().find(|a| a.record.id == id)
    }

    pub(super) fn record_mut(&mut self, id: u64) -> Option<&mut FileRecord> {
        self.list.iter_mut().find(|a| a.record.id == id).map(|a| &mut a.record)
    }

    /// The first that may get their receipts: each is gone, or its directory has been another one for a
    /// long time, and `is_settled` says that nothing of it is in doubt.
    pub fn ended(&self, now_ms: u64, is_settled: impl Fn(u64) -> bool) -> Vec<FileRecord> {
        let has_ended = |a: &Absent| match a.absence {
            Absence::Gone | Absence::Superseded => true,
            Absence::Elsewhere(_) => now_ms - a.since_ms >= ELSEWHERE_MS,
            Absence::Unreachable(_) => false,
        };
        let ended = self.list.iter().filter(|a| has_ended(a) && is_settled(a.record.id));
        ended.take(ENDED_MAX).map(|a| a.record.clone()).collect()
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.list.retain(|a| a.record.id != id);
    }

    /// Records that wait for their file.
    pub fn waiting(&self) -> impl Iterator<Item = &Absent> {
        self.list.iter().filter(|a| a.absence.hope().is_some())
    }
}

/// The names under which some inodes stand in the spool and tracker directories, from one pass
/// over each.
#[derive(Default)]
pub(super) struct Census {
    names: HashMap<u64, Vec<OsString>>,
    /// Why it may not be complete.
    fault: Option<String>,
    /// Directories that no group has any more and of which it may lack names, and why. They hold nothing but files of
    /// their own records.
    left_out: Vec<(OsString, String)>,
}

impl Files {
    /// Takes a record whose file is not open.
    pub(super) fn put_absent(
        &mut self,
        mut record: FileRecord,
        absence: Absence,
        reached: Option<Announced>,
    ) {
        if absence == Absence::Gone && !record.current_name.is_empty() {
            record.current_name.clear();
            self.has_news = true;
        }
        let waiting = self.absent.waiting().count();
        if let Some(why) = absence.hope().filter(|_| waiting < TOLD_MAX) {
            let others = if waiting + 1 == TOLD_MAX { MORE } else { "" };
            tell(
                Level::Warn,
                OsStr::from_bytes(&record.name),
                format_args!(
                    "Cannot open {} (read to byte {}): {why}. It is waited for; what is behind \
                     that byte is sent when it is there.{others}",
                    self.path(OsStr::from_bytes(&record.current_name)).display(),
                    record.position
                ),
            );
        }
        let since_ms = self.clock().monotonic_ms();
        let other = self.other_directory(&record, &absence);
        self.absent.list.push(Absent { record, absence, reached, other, since_ms });
    }

    /// May nothing of this file be read before it is known whether one that cannot be opened now was
    /// truncated, and lives on in it? Nor while its directory is back, and it was not looked for there yet.
    pub(super) fn may_be_copy_of_unreachable(&self, fresh: &Tracked) -> bool {
        let may_come = |record: &FileRecord, absence: &Absence| match absence {
            Absence::Unreachable(_) => true,
            Absence::Elsewhere(_) => self.right_directory(record).is_some(),
            Absence::Gone | Absence::Superseded => false,
        };
        let may_be = |record: &FileRecord, absence: &Absence, is_announced: bool| {
            absence.hope().is_some()
                && self.is_copys(fresh.name(), record)
                && (record.position > 0 || is_announced)
                && !record.is_unseen()
                && tracked::head_matches(&fresh.file, record).unwrap_or(true)
                && may_come(record, absence)
        };
        let mut strays = self.quests.list.iter().filter_map(|quest| match &quest.whose {
            Whose::Stray { record, absence, reached } => Some((record, absence, reached)),
            _ => None,
        });
        strays.any(|(record, absence, reached)| may_be(record, absence, reached.is_some()))
            || self.absent.list.iter().any(|a| may_be(&a.record, &a.absence, a.reached.is_some()))
    }

    /// Looks for the files that are waited for, once a second; `now`: at once.
    pub(super) fn look_for_absent(&mut self, now: bool) {
        let now_ms = self.clock().monotonic_ms();
        let is_due = now || now_ms >= self.absent.looked_ms + LOOK_MS;
        if !is_due || self.absent.waiting().next().is_none() {
            return;
        }
        self.absent.looked_ms = now_ms;
        self.renew_devices();
        let ids: Vec<u64> = self.absent.waiting().map(|a| a.record.id).take(LOOK_MAX).collect();
        let wanted = ids.iter().filter_map(|id| self.absent.find(*id)).map(|a| a.record.inode);
        let census = self.take_census(&wanted.collect());
        for id in ids {
            // Nothing of a channel goes on before what is in doubt of it can be read.
            let Some(absent) = self.absent.find(id) else { continue };
            let is_in_doubt = absent.reached.is_some();
            let is_here = census.names_of(absent.record.inode).next().is_some()
                || absent.record.inode == 0 && self.has_recorded_name(&absent.record);
            // Files that are followed for ever leave no place by themselves.
            if is_in_doubt
                || self.tracked.len() < self.open_max
                || is_here && self.park_one(&[Spare::Draining, Spare::Empty, Spare::Live])
            {
                self.look_for(id, &census);
            }
        }
    }

    /// Does anything stand under a name of the record? Of a copied state no number tells.
    fn has_recorded_name(&self, record: &FileRecord) -> bool {
        let mut names = [&record.current_name, &record.name].into_iter().filter(|n| !n.is_empty());
        names.any(|name| self.root.stat(OsStr::from_bytes(name)).is_ok())
    }

    fn look_for(&mut self, id: u64, census: &Census) {
        let Some(at) = self.absent.list.iter().position(|a| a.record.id == id) else { return };
        match self.locate_in(&self.absent.list[at].record, census) {
            Ok((file, found)) => {
                let Absent { record, reached, .. } = self.absent.list.remove(at);
                self.restore_found(record, file, &found, reached);
            }
            Err(absence) => {
                // To the end of the row: the others have their turn.
                let mut absent = self.absent.list.remove(at);
                let other = self.other_directory(&absent.record, &absence);
                let is_news = absent.note(absence, other, self.clock().monotonic_ms());
                if self.is_replaced_for_good(&absent) {
                    absent.absence = Absence::Gone;
                }
                let is_unreachable = matches!(absent.absence, Absence::Unreachable(_));
                if absent.absence == Absence::Gone || is_news && !is_unreachable {
                    let Absent { mut record, absence, reached, .. } = absent;
                    self.note_names_now(&mut record, &absence, census);
                    return self.is_missed(record, absence, reached);
                }
                self.absent.list.push(absent);
            }
        }
    }

    /// Is the opened candidate a file that is waited for? Then it is taken up where it was.
    ///
    /// # Errors
    /// Where that cannot be told now: to take it for a new file would repeat it.
    pub(super) fn take_up(
        &mut self,
        name: &OsStr,
        file: &File,
        stat: &Metadata,
    ) -> io::Result<Option<Handle>> {
        let mut found = None;
        for (at, absent) in self.absent.list.iter().enumerate() {
            let is_own_name = name.as_bytes() == absent.record.name;
            if absent.absence != Absence::Superseded
                && is_same(file, stat, &absent.record, !is_own_name)?
            {
                found = Some(at);
                break;
            }
        }
        let Some(at) = found else {
            self.forget_namesake(name);
            return Ok(None);
        };
        let file = file.try_clone()?;
        let Absent { record, reached, .. } = self.absent.list.remove(at);
        Ok(Some(self.restore_found(record, file, name, reached)))
    }

    /// A record of a copied state, of whose file nothing was read, says no more than its name. What has that now
    /// gets one of its own: of two, each would read it from its beginning.
    fn forget_namesake(&mut self, name: &OsStr) {
        let is_it = |Absent { record, reached, .. }: &Absent| {
            let is_empty = record.position == 0 && reached.is_none();
            is_empty && record.inode == 0 && record.current_name == name.as_bytes()
        };
        let count = self.absent.list.len();
        self.absent.list.retain(|absent| !is_it(absent));
        self.has_news |= self.absent.list.len() < count;
    }

    /// The opened candidate has other numbers than the files that are waited for. Of those that it
    /// may be by its name or by its first bytes the content is compared, before it is read as a new
    /// file.
    pub(super) fn ask_waiting(&mut self, name: &OsStr, file: &File, stat: &Metadata) {
        if self.absent.list.is_empty() {
            return;
        }
        let home = self.home_of(file, name);
        let suspect = || Suspect {
            home,
            ..Suspect::new(name.to_owned(), Hints::of(stat), file.try_clone().ok())
        };
        let waiting = std::mem::take(&mut self.absent.list);
        let may_be = |absent: &Absent| {
            let Absent { record, reached, .. } = absent;
            let end = reached.as_ref().map_or(record.position, |r| r.end.max(record.position));
            let is_named =
                [&record.name, &record.current_name].iter().any(|n| **n == name.as_bytes());
            let is_proof = record.head_len as usize == HEAD_BYTES && end >= PROOF_BYTES;
            absent.absence.hope().is_some()
                && end > 0
                && stat.len() >= end
                && (is_named || is_proof)
                && tracked::head_matches(file, record).unwrap_or(is_named)
                && (end >= PROOF_BYTES || self.do_names_decide(record, &suspect()))
        };
        let (asked, others): (Vec<Absent>, Vec<Absent>) = waiting.into_iter().partition(may_be);
        self.absent.list = others;
        for Absent { record, absence, reached, .. } in asked {
            let whose = Whose::Stray { record: Box::new(record), absence, reached };
            self.quests.push(Quest::new(whose, VecDeque::from([suspect()]), true));
        }
    }

    /// Finds the file of a record by inode and the bytes it begins with: under its present name,
    /// its old one, or any other in the spool and tracker directories.
    pub(super) fn locate(&mut self, record: &mut FileRecord) -> Result<(File, OsString), Absence> {
        match self.locate_by_name(record) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(why) => return Err(Absence::Unreachable(why)),
        }
        let census = self.take_census(&HashSet::from([record.inode]));
        let found = self.locate_in(record, &census);
        if let Err(absence) = &found {
            self.note_names_now(record, absence, &census);
        }
        found
    }

    /// The inode of the record holds something else: it may have been renamed, unseen, and copied under that name,
    /// before it was truncated. Where the inode is nowhere, nothing was truncated, and a name that the file had says
    /// nothing of another one that has it now: that is known by its bytes, or not at all.
    pub(super) fn note_names_now(
        &mut self,
        record: &mut FileRecord,
        absence: &Absence,
        census: &Census,
    ) {
        if census.names_of(record.inode).next().is_none() {
            if *absence == Absence::Gone && record.position < PROOF_BYTES {
                record.former_names.clear();
            }
            return;
        }
        let was_had = |name: &OsStr| {
            let had = record.former_names.iter().map(|had| &had.name);
            had.chain([&record.name, &record.current_name]).any(|had| **had == *name.as_bytes())
        };
        let is_it = |name: &&OsStr| {
            let is_very = |stat: Metadata| !is_other_birth(born_ns(&stat), record.born_ns);
            !was_had(name) && self.is_in_place(name) && self.root.stat(name).is_ok_and(is_very)
        };
        let named: Vec<&OsStr> = census.names_of(record.inode).filter(is_it).collect();
        for name in named {
            let mut here = FormerName { name: name.as_bytes().to_vec(), ..FormerName::of(record) };
            if let Some(home) = self.directory_now(name) {
                let Hints { device, inode, born_ns } = home.own;
                (here.device, here.directory, here.directory_born_ns) = (device, inode, born_ns);
            }
            record.note_former_name(here);
            self.has_news = true;
        }
    }

    pub(super) fn locate_in(
        &self,
        record: &FileRecord,
        census: &Census,
    ) -> Result<(File, OsString), Absence> {
        let by_name = self.locate_by_name(record);
        if let Ok(Some(found)) = by_name {
            return Ok(found);
        }
        let mut fault = by_name.err().or_else(|| census.fault_for(record));
        for name in census.names.get(&record.inode).into_iter().flatten() {
            match self.open_if_same(name, record, true) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                // A directory has the number by now, or a pipe: no file of ours has it.
                Err(e) if reach::is_no_file(&e) => {}
                // Gone since the listing: the next one tells.
                Err(e) => fault = fault.or_else(|| Some(told(&self.path(name), &e))),
            }
        }
        match fault {
            Some(why) => Err(Absence::Unreachable(why)),
            None => Err(self.absence_here(record, census)),
        }
    }

    pub(super) fn locate_by_name(
        &self,
        record: &FileRecord,
    ) -> Result<Option<(File, OsString)>, String> {
        let mut fault = None;
        for name in [&record.current_name, &record.name].into_iter().filter(|n| !n.is_empty()) {
            let name = OsStr::from_bytes(name);
            match self.open_if_same(name, record, false) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(e) if reach::is_nothing_there(&e) || reach::is_no_file(&e) => {}
                Err(e) => fault = Some(told(&self.path(name), &e)),
            }
        }
        fault.map_or(Ok(None), Err)
    }

    fn open_if_same(
        &self,
        name: &OsStr,
        record: &FileRecord,
        same_device: bool,
    ) -> io::Result<Option<(File, OsString)>> {
        let file = self.root.open(name)?;
        let stat = file.metadata()?;
        let is_it = is_same(&file, &stat, record, same_device)?;
        let is_it = is_it && !self.is_read_as_another(&file, &stat)?;
        Ok(is_it.then(|| (file, name.to_owned())))
    }

    /// Was another content seen in that inode since the record's, so that a record of its own is read on there?
    fn is_read_as_another(&self, file: &File, stat: &Metadata) -> io::Result<bool> {
        let (device, inode) = (stat.dev(), stat.ino());
        let is_it = |tracked: &Tracked| tracked.is_inode(device, inode);
        Ok(self.tracked.iter().any(is_it) || self.is_parked(file, stat)?)
    }

    /// Under which names do these inodes stand?
    pub(super) fn take_census(&self, inodes: &HashSet<u64>) -> Census {
        let mut census = Census::default();
        let unlisted = self.for_each_name(|entry| census.count(entry, inodes));
        census.fault = unlisted.into_iter().next().map(|(_, why)| why);
        census.left_out = self.for_each_name_left(|entry| census.count(entry, inodes));
        let tracker = &self.config.tracker_dir;
        let hidden = reach::list(tracker).and_then(|mut entries| {
            entries.try_for_each(|entry| {
                let entry = entry?;
                let (name, inode) = (entry.path().into_os_string(), entry.ino());
                census.count(Entry { name, inode, is_directory: false }, inodes);
                Ok(())
            })
        });
        if let Err(e) = hidden {
            census.fault.get_or_insert_with(|| told(tracker, &e));
        }
        census
    }

    /// Goes through the names in the directories. Returns in which there may be others, and why. One that is not
    /// there, and was not since the start, holds none, unless the others are gone with it.
    pub(super) fn for_each_name(&self, mut act: impl FnMut(Entry)) -> Vec<(OsString, String)> {
        let (mut unlisted, mut missing) = (Vec::new(), Vec::new());
        let mut is_any_listed = false;
        for place in self.scanner.places() {
            let listed = self.root.list(place).and_then(|mut entries| {
                entries.try_for_each(|entry| {
                    let entry = entry?;
                    if self.scanner.is_unlisted_place(&entry) {
                        let path = self.root.place(&entry.name);
                        let why = format!("{}: it was not listed yet", path.display());
                        unlisted.push((entry.name.clone(), why));
                    }
                    act(entry);
                    Ok(())
                })
            });
            match listed {
                Ok(()) => is_any_listed = true,
                Err(e) => {
                    let was_never_there =
                        reach::is_nothing_there(&e) && self.scanner.was_never_listed(place);
                    let list = if was_never_there { &mut missing } else { &mut unlisted };
                    list.push((place.to_owned(), told(&self.root.place(place), &e)));
                }
            }
        }
        if !is_any_listed {
            unlisted.append(&mut missing);
        }
        unlisted
    }

    /// Does the very inode stand in the spool directory, under whatever name? A time of birth is no
    /// other inode's.
    fn is_inode_here(&self, record: &FileRecord, census: &Census) -> bool {
        let named = census.names.get(&record.inode).into_iter().flatten();
        let recorded = [&record.current_name, &record.name].map(|name| OsStr::from_bytes(name));
        let names = recorded.into_iter().chain(named.map(OsString::as_os_str));
        names.filter(|name| self.is_in_place(name)).any(|name| {
            reach::metadata(&self.path(name)).is_ok_and(|stat| is_very_inode(&stat, record))
        })
    }

    /// What it means that the directory was listed without the record's file. It is not believed of
    /// another directory than that of the file (a link that was switched, another file system),
    /// unless some file that was in the same one was found there: numbers change with a reboot, or
    /// when all is copied.
    pub(super) fn absence_here(&self, record: &FileRecord, census: &Census) -> Absence {
        // Its inode holds something else by now. Or a run that had the directory has seen it go, and so
        // little was read of it that nothing else can hold that: what is more may live on in the file
        // that has got its name.
        let is_little = record.position < PROOF_BYTES;
        if record.current_name.is_empty() && is_little || self.is_inode_here(record, census) {
            return Absence::Gone;
        }
        let dir = self.dir_of(record);
        let stat = match reach::metadata(&dir) {
            Ok(stat) => stat,
            Err(e) => return Absence::Unreachable(told(&dir, &e)),
        };
        if self.is_directory_of(record, &stat) || self.has_lost_place(record) {
            return Absence::Gone;
        }
        let what = if stat.dev() == record.device {
            "another directory"
        } else {
            "on another file system"
        };
        Absence::Elsewhere(format!(
            "{} is {what} than it was, and none of the files is there; is everything mounted, and \
             spoolDir right?",
            dir.display()
        ))
    }

    /// Another directory has stood in the place of the record's own for a long time, on the same
    /// file system: nothing that may be mounted later can bring it back. Where a copied state does not
    /// tell which file system that was, or nobody mounts it for this source any more, the time alone decides.
    fn is_replaced_for_good(&self, absent: &Absent) -> bool {
        let Some(other) = absent.other else { return false };
        let waited_ms = self.clock().monotonic_ms() - absent.since_ms;
        let record = &absent.record;
        let may_be_mounted = other.device != record.device
            && !is_void(record)
            && !self.is_place_left(place_of(record));
        waited_ms >= ELSEWHERE_MS && !may_be_mounted
    }
}

impl Census {
    /// What could not be listed, and why.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The same, as far as the file of that record may be there.
    fn fault_for(&self, record: &FileRecord) -> Option<String> {
        let place = place_of(record);
        let of_place = self.left_out.iter().find(|(left, _)| left == place);
        self.fault.clone().or_else(|| of_place.map(|(_, why)| why.clone()))
    }

    pub(super) fn names_of(&self, inode: u64) -> impl Iterator<Item = &OsStr> {
        self.names.get(&inode).into_iter().flatten().map(OsString::as_os_str)
    }

    fn count(&mut self, Entry { name, inode, .. }: Entry, inodes: &HashSet<u64>) {
        if inodes.contains(&inode) {
            self.names.entry(inode).or_default().push(name);
        }
    }
}

pub(super) fn told(path: &Path, e: &io::Error) -> String {
    format!("{}: {}", path.display(), why_not_opened(e))
}

/// The same inode, by its time of birth, whatever number its device has by now?
fn is_very_inode(stat: &Metadata, record: &FileRecord) -> bool {
    let born_ns = born_ns(stat);
    born_ns != 0 && (stat.ino(), born_ns) == (record.inode, record.born_ns)
}

/// Is this the file of the record? The device number of a file system may change at a reboot;
/// under a known name, or where the time of birth is known, inode and first bytes are enough.
fn is_same(
    file: &File,
    stat: &Metadata,
    record: &FileRecord,
    same_device: bool,
) -> io::Result<bool> {
    if stat.ino() != record.inode
        || same_device && stat.dev() != record.device && !is_very_inode(stat, record)
        || is_other_birth(born_ns(stat), record.born_ns)
        || record.state == FileState::Superseded
    {
        return Ok(false);
    }
    // A shorter file was truncated: still the same one.
    let is_short = stat.len() < u64::from(record.head_len);
    Ok(is_short || tracked::head_matches(file, record)?)
}
