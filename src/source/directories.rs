//! Which directory it is: a file is believed to have gone only where its own was listed without it
//! ([`super::absent`]). Another one may stand in its place, as a link that was switched does, or what is
//! below a file system that is not mounted.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::absent::{Absence, ELSEWHERE_MS};
use super::follow::{is_deleted, last_directory, path_of};
use super::hints::{Hints, born_ns, is_other_birth};
use super::quest::{Quest, Whose, is_copys_name};
use super::scan::{Candidate, Scanner};
use super::tracked::{self, Tracked};
use super::{Files, Handle, READER, reach, root};
use crate::checkpoint::record::{FileRecord, FormerName};
use crate::log;

/// A directory by device and inode.
pub(super) type Directory = (u64, u64);

/// The spool directory in which the file of the record was found last; inode 0 where that is not
/// known.
pub(super) fn was_in(record: &FileRecord) -> Directory {
    (record.device, record.directory)
}

/// The place of which its name tells.
pub(super) fn place_of(record: &FileRecord) -> &OsStr {
    root::split(OsStr::from_bytes(&record.name)).0
}

/// Does the record, which is from a copied state, not tell any more in which directory its file was?
pub(super) fn is_void(record: &FileRecord) -> bool {
    record.inode == 0 && record.directory == 0
}

/// Is it the very directory in which the file of the record was, whatever number its device has by now?
pub(super) fn is_very_directory(stat: &Metadata, record: &FileRecord) -> bool {
    let born_ns = born_ns(stat);
    born_ns != 0 && (stat.ino(), born_ns) == (record.directory, record.directory_born_ns)
}

/// Was a file that was in the same directory found here? Of a record that names none, but its device: one
/// that was on the same.
pub(super) fn is_home(
    homes: &HashSet<(Directory, Directory)>,
    here: Directory,
    record: &FileRecord,
) -> bool {
    let is_of_any = record.directory == 0 && !is_void(record);
    let was_on = |(now, was): &(Directory, Directory)| *now == here && was.0 == record.device;
    homes.contains(&(here, was_in(record))) || is_of_any && homes.iter().any(was_on)
}

/// The directory in which a file is, and the spool directory, if that is another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    pub own: Hints,
    root: Option<Hints>,
}

impl Home {
    /// Where files of that place were, by the last listing.
    pub(super) fn listed(scanner: &Scanner, place: &OsStr) -> Option<Home> {
        let above = (!place.is_empty()).then(|| scanner.directory_of(OsStr::new(""))).flatten();
        Some(Home { own: scanner.directory_of(place)?, root: above })
    }

    /// As the record has it.
    pub(super) fn of_record(record: &FileRecord) -> Option<Home> {
        let at = |inode, born_ns| Hints { device: record.device, inode, born_ns };
        let own = at(record.directory, record.directory_born_ns);
        let root = (record.root != 0).then(|| at(record.root, record.root_born_ns));
        (record.directory != 0).then_some(Home { own, root })
    }

    pub(super) fn is_that_of(self, record: &FileRecord) -> bool {
        let mut same = record.clone();
        self.note(&mut same);
        same == *record
    }

    pub(super) fn note(self, record: &mut FileRecord) {
        (record.directory, record.directory_born_ns) = (self.own.inode, self.own.born_ns);
        let root = self.root.map_or((0, 0), |root| (root.inode, root.born_ns));
        (record.root, record.root_born_ns) = root;
    }
}

/// The file of this record is where that of the other one is.
pub(super) fn note_same_home(record: &mut FileRecord, other: &FileRecord) {
    (record.directory, record.directory_born_ns) = (other.directory, other.directory_born_ns);
    (record.root, record.root_born_ns) = (other.root, other.root_born_ns);
}

/// Where the file of this record is, is not known any more.
pub(super) fn forget_home(record: &mut FileRecord) {
    (record.directory, record.directory_born_ns) = (0, 0);
    (record.root, record.root_born_ns) = (0, 0);
}

impl Files {
    /// Is it the directory in which the file of the record was?
    pub(super) fn is_directory_of(&self, record: &FileRecord, stat: &Metadata) -> bool {
        let here = (stat.dev(), stat.ino());
        if is_very_directory(stat, record) || is_home(&self.homes, here, record) {
            return true;
        }
        if self.hints_are_void && self.is_restoring || is_void(record) {
            // A copied state: only what is found in a directory tells that it is the right one.
            return false;
        }
        // Another one may have got the number of one that was removed.
        let is_same =
            here.1 == record.directory && !is_other_birth(born_ns(stat), record.directory_born_ns);
        here.0 == record.device && (is_same || record.directory == 0)
    }

    /// Has the directory of the record, one below the spool directory, been renamed, moved away or removed?
    /// Then it was listed without the file under its new name, or what is above it without it. What was
    /// renamed since that listing is not in it.
    pub(super) fn has_lost_place(&self, record: &FileRecord) -> bool {
        let own = root::split(OsStr::from_bytes(&record.name)).0;
        if own.is_empty() || record.directory == 0 || !self.scanner.knows_places() {
            return false;
        }
        let is_it = |place: &OsStr| place != own && self.is_directory_at(record, place);
        if self.scanner.places().any(is_it) {
            return true;
        }
        if !self.root.stat_place(own).is_err_and(|e| reach::is_nothing_there(&e)) {
            return false;
        }
        let was_here = |left: &Hints| {
            (left.device, left.inode) == was_in(record)
                && !is_other_birth(left.born_ns, record.directory_born_ns)
        };
        let first = own.as_bytes().split(|b| *b == b'/').next().unwrap_or_default();
        let is_first_there = self.scanner.places().any(|place| place.as_bytes() == first);
        self.scanner.gone().any(was_here)
            || self.is_root_of(record)
                && (!is_first_there || self.is_removed_from_above(record, own))
    }

    /// Was the directory in the one above it that is still there? No record says which that was. But it is
    /// on the same file system, is as old as the directory that was in it, and names were put into it or
    /// taken from it when there was the file. What is below a file system that is not mounted is none of that.
    fn is_removed_from_above(&self, record: &FileRecord, own: &OsStr) -> bool {
        let is_listed = |place: &OsStr| self.scanner.places().any(|p| p == place);
        let mut above = root::split(own).0;
        while !above.is_empty() && !is_listed(above) {
            above = root::split(above).0;
        }
        let stats = (self.root.stat_place(above), self.root.stat_place(OsStr::new("")));
        let (Ok(stat), Ok(root)) = stats else { return false };
        let modified_ns = stat.mtime().saturating_mul(1_000_000_000) + stat.mtime_nsec();
        let is_old = born_ns(&stat) != 0 && born_ns(&stat) <= record.directory_born_ns;
        let was_changed = record.born_ns != 0 && modified_ns >= record.born_ns;
        [stat.dev(), root.dev()] == [record.device; 2] && is_old && was_changed
    }

    /// Does the directory in which the file of the record was stand in that place now?
    pub(super) fn is_directory_at(&self, record: &FileRecord, place: &OsStr) -> bool {
        let is_it = |stat: &Metadata| self.is_directory_of(record, stat);
        record.directory != 0 && self.root.stat_place(place).is_ok_and(|stat| is_it(&stat))
    }

    /// The names of the record, and what they are where its directory has another name by now.
    pub(super) fn recorded_names(&self, record: &FileRecord) -> Vec<OsString> {
        let names = [&record.current_name, &record.name].map(|name| OsStr::from_bytes(name));
        let mut names: Vec<OsString> = names.map(OsStr::to_owned).into();
        names.retain(|name| !name.is_empty());
        let own = place_of(record);
        let is_it = |place: &&OsStr| self.is_directory_at(record, place);
        let now = if is_it(&own) { None } else { self.scanner.places().find(is_it) };
        for at in 0..names.len() {
            let (place, leaf) = root::split(&names[at]);
            if let Some(now) = now.filter(|_| place == own) {
                names.push(root::below(now, leaf));
            }
        }
        names
    }

    /// Is that the name of a copy of the file of the record, by any name that this had while it was open?
    pub(super) fn is_copys(&self, copy: &OsStr, record: &FileRecord) -> bool {
        let is_at = |place: &OsStr| self.is_directory_at(record, place);
        is_copys_of(copy, &record.name, is_at)
            || record.former_names.iter().any(|had| {
                is_copys_of(copy, &had.name, |place| {
                    self.is_directory_at(&where_it_had(had), place)
                })
            })
    }

    /// Is the spool directory the one below which the file of the record was?
    fn is_root_of(&self, record: &FileRecord) -> bool {
        let Ok(stat) = self.root.stat_place(OsStr::new("")) else { return false };
        let (here, was) = ((stat.dev(), stat.ino()), (record.device, record.root));
        let born_ns = born_ns(&stat);
        let is_very = born_ns != 0 && (here.1, born_ns) == (was.1, record.root_born_ns);
        let is_same = here == was && !is_other_birth(born_ns, record.root_born_ns);
        let are_void = self.hints_are_void && self.is_restoring;
        was.1 != 0 && (is_very || is_same && !are_void || self.homes.contains(&(here, was)))
    }

    /// The directory of the record, where that is known to be the one in its place.
    pub(super) fn right_directory(&self, record: &FileRecord) -> Option<Hints> {
        let stat = reach::metadata(&self.dir_of(record)).ok()?;
        self.is_directory_of(record, &stat).then(|| Hints::of(&stat))
    }

    /// Does another directory stand in the place of the record's own, and is that waited for? It is for
    /// an hour from the first time on that this is asked, as long as it stands there. `why`: what the
    /// log says of it.
    pub(super) fn is_awaited(
        &self,
        record: &FileRecord,
        since_ms: &mut Option<u64>,
        why: &str,
    ) -> bool {
        let own = root::split(OsStr::from_bytes(&record.name)).0;
        if record.directory == 0 || !self.scanner.places().any(|place| place == own) {
            return false;
        }
        let mut is_known = true;
        // The name that it has now may be in another place than the one before.
        let others = self.scanner.places().filter(|place| *place != own);
        for place in std::iter::once(own).chain(others) {
            match reach::metadata(&self.root.place(place)) {
                Ok(stat) if self.is_directory_of(record, &stat) => {
                    *since_ms = None;
                    return false;
                }
                Ok(_) => {}
                Err(e) if place != own && reach::is_nothing_there(&e) => {}
                Err(_) => is_known = false,
            }
        }
        if !is_known {
            *since_ms = None;
            return true;
        }
        let now_ms = self.clock().monotonic_ms();
        if since_ms.is_none() {
            log::warn(
                READER,
                format_args!(
                    "{} {why}, for an hour at most: another directory stands in the place of its own.",
                    self.path(OsStr::from_bytes(&record.name)).display()
                ),
            );
        }
        now_ms - *since_ms.get_or_insert(now_ms) < ELSEWHERE_MS
    }

    /// Has an open file lost its name only because another directory stands in the place of its own? Then
    /// it may come back, with more in it.
    pub(super) fn is_away(&mut self, handle: Handle) -> bool {
        let tracked = &self.tracked[handle];
        if tracked.is_superseded() || has_lost_directory(tracked) {
            return false;
        }
        let record = &tracked.record;
        if let Some(now) = self.right_directory(record) {
            let is_listed = self.was_listed_as(record, now);
            self.tracked[handle].away_ms = None;
            return !is_listed;
        }
        let mut since_ms = tracked.away_ms;
        let why = "is read on and does not end before its directory is back";
        let is_away = self.is_awaited(record, &mut since_ms, why);
        self.tracked[handle].away_ms = since_ms;
        is_away
    }

    /// Has an open file that has lost its name another one that is taken, which the listing could not tell? It is
    /// in a directory that could not be listed, or could not be asked what it is. Where that cannot be told
    /// either it is believed for an hour.
    pub(super) fn is_unlisted(&mut self, handle: Handle) -> bool {
        let tracked = &self.tracked[handle];
        if tracked.is_superseded() {
            // The name is that of what the file holds now.
            return false;
        }
        if self.is_where_it_was_put(tracked) {
            return false;
        }
        if let Some(path) = path_of(&tracked.file) {
            return self.is_taken_path(&path);
        }
        let inode = tracked.record.inode;
        let is_unjudged = self.scanner.unjudged().iter().any(|(_, of)| *of == inode);
        let is_anywhere = is_unjudged || self.scanner.faulty().next().is_some();
        let may_be = is_anywhere && !is_deleted(&tracked.file);
        let now_ms = self.clock().monotonic_ms();
        let since_ms = &mut self.tracked[handle].unlisted_ms;
        *since_ms = may_be.then_some(since_ms.unwrap_or(now_ms));
        since_ms.is_some_and(|since_ms| now_ms - since_ms < ELSEWHERE_MS)
    }

    /// Does it stand under the name that was given to it when it was read, which no file to be read has? One
    /// question in place of those that tell where an open file is.
    fn is_where_it_was_put(&self, tracked: &Tracked) -> bool {
        let name = OsStr::from_bytes(&tracked.record.current_name);
        let is_it = |stat: Metadata| tracked.is_inode(stat.dev(), stat.ino());
        !name.is_empty()
            && !self.accepts(name)
            && reach::link_metadata(&self.path(name)).is_ok_and(is_it)
    }

    /// The same, and is that a name that we give? Others may have put it anywhere; what a superseded file holds
    /// now has its name.
    pub(super) fn is_where_we_put_it(&self, tracked: &Tracked) -> bool {
        self.is_named_as_done(tracked) && self.is_where_it_was_put(tracked)
    }

    /// Was it given a name that we give, as far as is known?
    pub(super) fn is_named_as_done(&self, tracked: &Tracked) -> bool {
        !tracked.is_superseded() && self.is_name_when_done(tracked.name(), &tracked.current_name())
    }

    /// Is it that of a file to be read, in one of the directories?
    fn is_taken_path(&self, path: &Path) -> bool {
        let (Some(dir), Some(leaf)) = (path.parent(), path.file_name()) else { return false };
        let at = std::fs::metadata(dir).ok().map(|stat| Hints::of(&stat));
        let is_it = |place: &OsStr| {
            at.is_some() && self.scanner.directory_of(place) == at || self.root.place(place) == dir
        };
        let places = self.scanner.places().filter(|place| is_it(place));
        let mut names = places.map(|place| root::below(place, leaf));
        names.any(|name| self.accepts(&name) && !self.scanner.marked().any(|other| other == name))
    }

    /// Is what was listed last in the place of the record's directory the one that stands there now, `now`? What
    /// the listing of another one lacks is not gone.
    fn was_listed_as(&self, record: &FileRecord, now: Hints) -> bool {
        let place = place_of(record);
        let mut listed = self.scanner.directories();
        let Some((_, listed)) = listed.find(|(name, _)| *name == place) else { return true };
        record.directory == 0 || listed == Some((now.device, now.inode))
    }

    /// May this be the copy of a file that was truncated, whose directory has another one in its place?
    pub(super) fn may_be_copy_of_away(&self, fresh: &Tracked) -> bool {
        let record_of = |quest: &'_ Quest| match &quest.whose {
            Whose::Stray { record, .. } => Some((**record).clone()),
            _ => Some(self.tracked[self.handle_of(quest.id()?)?].record.clone()),
        };
        let here = was_in(&fresh.record);
        // The device may have got another number since.
        let is_same = |record: &FileRecord| {
            let born_ns = (record.directory_born_ns, fresh.record.directory_born_ns);
            let is_very = born_ns.0 != 0 && born_ns.0 == born_ns.1 && record.directory == here.1;
            is_very || was_in(record) == here || is_home(&self.homes, here, record)
        };
        let mut away = self.quests.away().filter_map(record_of);
        away.any(|record| {
            let record = &record;
            is_same(record)
                && record.inode != fresh.record.inode
                && tracked::head_matches(&fresh.file, record).unwrap_or(true)
        })
    }

    /// The directory in which something of that name stands, as it was listed last.
    pub(super) fn listed_directory(&self, name: &OsStr) -> Option<Home> {
        Home::listed(&self.scanner, root::split(name).0)
    }

    /// The same, as it is now if it can be asked.
    pub(super) fn directory_of_listed(&self, name: &OsStr) -> Option<Home> {
        self.directory_now(name).or_else(|| self.listed_directory(name))
    }

    /// The directory in which this very file was listed last under that name. Another directory may have stood
    /// there then, which tells nothing of a file that was opened by its name alone.
    pub(super) fn listed_directory_of(&self, name: &OsStr, file: &File) -> Option<Home> {
        let stat = file.metadata().ok()?;
        let is_it =
            |c: &Candidate| c.name == name && (c.device, c.inode) == (stat.dev(), stat.ino());
        let is_listed = self.scanner.candidates().iter().any(is_it);
        self.listed_directory(name).filter(|_| is_listed)
    }

    /// A file that was found when its directory could not be asked is in the one that was listed with it; one that
    /// is not listed, in that in which it stands.
    pub(super) fn learn_directories(&mut self) {
        for handle in self.tracked.handles() {
            let tracked = &self.tracked[handle];
            if tracked.record.directory != 0 || tracked.is_superseded() {
                continue;
            }
            let (name, inode) = (tracked.name(), tracked.record.inode);
            let here = match tracked.is_named() {
                true => self.listed_directory(name),
                false => self.home_of(&tracked.file, &tracked.current_name()),
            };
            if let Some(here) = here.filter(|_| !self.scanner.is_unjudged(name, inode)) {
                here.note(&mut self.tracked[handle].record);
                self.has_news = true;
            }
        }
    }

    /// The directory in which something of that name stands, as it is now, if files are looked for there.
    pub(super) fn directory_now(&self, name: &OsStr) -> Option<Home> {
        let place = root::split(name).0;
        let stat = self.root.stat_place(place).ok()?;
        let above =
            (!place.is_empty()).then(|| self.root.stat_place(OsStr::new("")).ok()).flatten();
        let home = Home { own: Hints::of(&stat), root: above.map(|stat| Hints::of(&stat)) };
        self.is_in_place(name).then_some(home)
    }

    /// The directory in which the open file stands under that name. It may have been opened a while ago, and
    /// another directory stand there since.
    pub(super) fn home_of(&self, file: &File, name: &OsStr) -> Option<Home> {
        let here = self.directory_now(name)?;
        let (now, stat) = (self.root.stat(name).ok()?, file.metadata().ok()?);
        Hints::of(&now).agree(Hints::of(&stat)).then_some(here)
    }

    /// The file of the record was found in that directory.
    pub(super) fn note_home(&mut self, record: &mut FileRecord, home: Option<Home>) {
        if let Some(here) = home {
            self.homes.insert(((here.own.device, here.own.inode), was_in(record)));
            self.has_news |= !here.is_that_of(record);
            here.note(record);
        } else if self.hints_are_void {
            // Of one that waits to be deleted elsewhere nothing else tells in which it was.
            forget_home(record);
        }
    }

    /// A file of a copied state that stands under its own name outside all directories was moved with its own, as far
    /// as can be told: it does not end before that is back.
    pub(super) fn note_moved_home(&self, record: &mut FileRecord, found: &OsStr) {
        let path = Path::new(found);
        let leaf = root::split(OsStr::from_bytes(&record.name)).1;
        if !root::is_outside(found) || path.file_name() != Some(leaf) {
            return;
        }
        if let Some(stat) = path.parent().and_then(|dir| reach::metadata(dir).ok()) {
            Home { own: Hints::of(&stat), root: None }.note(record);
        }
    }

    /// Tells which directories are others than they were at the last listing.
    pub(super) fn tell_other_directories(&self, before: &[(OsString, Option<Directory>)]) {
        for (place, now) in self.scanner.directories() {
            let before = before.iter().find(|(name, _)| name == place).and_then(|(_, at)| *at);
            if before.is_some() && now.is_some() && before != now {
                log::warn(
                    READER,
                    format_args!(
                        "{} is another directory now. Files of the one before that are open are \
                         read on; others are waited for.",
                        self.root.place(place).display()
                    ),
                );
            }
        }
    }

    /// The directory that stands in the place of the record's own.
    pub(super) fn other_directory(&self, record: &FileRecord, absence: &Absence) -> Option<Hints> {
        let is_elsewhere = matches!(absence, Absence::Elsewhere(_));
        let dir = is_elsewhere.then(|| reach::metadata(&self.dir_of(record)).ok());
        dir.flatten().map(|stat| Hints::of(&stat))
    }

    /// The directory in which the file of a record should be: that of its name, if files are looked for
    /// there, or were by the configuration before.
    pub(super) fn dir_of(&self, record: &FileRecord) -> PathBuf {
        let place = place_of(record);
        if self.scanner.places().any(|p| p == place) {
            return self.root.place(place);
        }
        if !self.is_place_left(place) {
            return self.root.dir().to_owned();
        }
        // Nobody mounts it for this source any more: what is above it is not it, and not waited for without end.
        let own = self.root.place(place);
        let is_there =
            |dir: &&Path| !reach::metadata(dir).is_err_and(|e| reach::is_nothing_there(&e));
        own.ancestors().find(is_there).unwrap_or(&own).to_owned()
    }
}

/// Is that the name of a copy of a file that had this name? Its directory may have another one by now, and the
/// copy is in it: `is_at` tells where it is.
fn is_copys_of(copy: &OsStr, name: &[u8], is_at: impl Fn(&OsStr) -> bool) -> bool {
    if is_copys_name(copy, name) {
        return true;
    }
    let (own, name) = root::split(OsStr::from_bytes(name));
    let (place, leaf) = root::split(copy);
    place != own && is_copys_name(leaf, name.as_bytes()) && is_at(place)
}

/// What a record would tell of the directory in which a file had that name.
fn where_it_had(had: &FormerName) -> FileRecord {
    let FormerName { device, directory, directory_born_ns, .. } = *had;
    FileRecord { device, directory, directory_born_ns, ..FileRecord::default() }
}

/// Was the file deleted, and its directory with it? That one may have been moved, and is then found
/// where it is.
fn has_lost_directory(tracked: &Tracked) -> bool {
    let directory = (tracked.record.device, tracked.record.directory);
    is_deleted(&tracked.file)
        && last_directory(&tracked.file).is_none_or(|now| (now.device, now.inode) != directory)
}
