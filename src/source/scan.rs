//! Which names in the spool directory are candidates, and in which order they are read.
//!
//! The rules are Flume's (names ending in `fileSuffix`, hidden names and `ignorePattern` are out,
//! `targetPattern` is in; age is the modification time, the hour in the name plays no part). The
//! economy is ours: the directory is listed again only when it may have changed, and a name that
//! was judged once is not matched or stat'ed again, so that a hundred thousand finished files
//! cost one pass over their names and no more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

use crate::checkpoint::spool_lock::SpoolLock;
use crate::config::model::{ConsumeOrder, SourceConfig};
use crate::source::Handle;
use crate::source::claims::Claims;
use crate::source::hints::{Hints, born_ns, modified_ms};
use crate::source::marks::Marks;
use crate::source::policy::Names;
use crate::source::pulse;
use crate::source::retire::HIDDEN_BESIDE;
use crate::source::root::{self, Entry, Root};
use crate::source::slow_names::SlowNames;

/// A name that Flume would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub name: OsString,
    pub device: u64,
    pub inode: u64,
    /// Modification time when it was first seen, ms: what `consumeOrder` goes by.
    pub mtime_ms: i64,
    /// Its name holds the present time or one to come ([`Scanner::mark`]).
    pub is_present: bool,
    /// Monotonic time at which it was first seen, and its length and modification time (s, ns)
    /// then.
    pub seen_ms: u64,
    pub seen: (u64, i64, i64),
    /// The open file that had its name when that was asked last: it need not be looked for.
    open: Option<Handle>,
    /// Place in the directory's listing, for `consumeOrder = random`; `None` if it is not in it.
    listed: Option<usize>,
}

/// The candidates of a root, kept up to date.
pub struct Scanner {
    root: Root,
    names: Names,
    order: ConsumeOrder,
    places: Vec<Place>,
    candidates: Vec<Candidate>,
    /// How many of them have each inode number; `None` until somebody asks after a listing.
    inodes: Option<HashMap<u64, u32>>,
    /// One of them may not be of the present hour.
    has_past: bool,
    left: Vec<OsString>,
    slow: SlowNames,
    is_recursive: bool,
    /// The tracker directory: no directory of its files, wherever it is.
    tracker_dir: PathBuf,
    /// Device and inode of that at this listing.
    tracker: Option<(u64, u64)>,
    /// Names that Flume has marked as done.
    marked: HashSet<OsString>,
    /// Names and inodes of the last listing of which could not be told what they are.
    unjudged: Vec<(OsString, u64)>,
    /// Directories below the configured ones that the last listing lacked or could not judge.
    has_missed_places: bool,
    /// Those that were listed once and are not there any more, as far as that was seen.
    gone: VecDeque<Hints>,
    /// Who reads the directories below the configured ones. `None`: this is only a look.
    claims: Option<Claims>,
}

/// One directory of the root.
struct Place {
    /// See [`Root::places`].
    name: OsString,
    /// What the directory's inode said at the last listing. `None`: it could not be listed.
    seen: Option<Stamp>,
    /// The directory that was claimed here last ([`Claims`]), be it listed now or not.
    claimed: Option<(u64, u64)>,
    /// The directory of the names that were read last, be they not all.
    directory: Option<Hints>,
    /// The listing may have missed a change that fell into the same tick of the clock.
    seen_is_fresh: bool,
    /// Nothing had changed since the listing before.
    is_confirmed: bool,
    /// It could not be listed, one of several: the others are read on.
    is_faulty: bool,
    /// It is configured, or was found in another one at this listing.
    is_there: bool,
    /// The directory is another one than at the listing before.
    is_another: bool,
}

impl Place {
    fn new(name: &OsStr) -> Place {
        Place {
            name: name.to_owned(),
            seen: None,
            claimed: None,
            directory: None,
            seen_is_fresh: false,
            is_confirmed: false,
            is_faulty: false,
            is_there: true,
            is_another: false,
        }
    }

    /// Was it left alone by the last listing, which could have listed it?
    fn is_of_another_agent(&self) -> bool {
        self.is_faulty && self.seen.is_some()
    }
}

/// Which directory it is, and when it was changed. Its modification time alone may be put back
/// (tar, rsync), and a name may lead to another directory from one moment to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    born_ns: i64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &fs::Metadata) -> Stamp {
        Stamp {
            device: stat.dev(),
            inode: stat.ino(),
            born_ns: born_ns(stat),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
        }
    }

    /// May the directory be changed once more without another stamp?
    fn is_fresh(&self) -> bool {
        is_within_tick(self.modified) || is_within_tick(self.changed)
    }
}

/// A directory changed this shortly before it was listed may change again without a new stamp:
/// file systems stamp with the tick of the kernel, 10 ms at the most.
const TICK_NS: i64 = 20_000_000;

/// Each is asked for its stamp twice a second.
const PLACES_MAX: usize = 4_096;

impl Scanner {
    pub fn new(config: &SourceConfig) -> Scanner {
        let root = Root::of(config);
        Scanner {
            places: root.places().iter().map(|name| Place::new(name)).collect(),
            root,
            names: Names::of(config),
            order: config.consume_order,
            candidates: Vec::new(),
            inodes: None,
            has_past: false,
            left: Vec::new(),
            slow: SlowNames::default(),
            unjudged: Vec::new(),
            is_recursive: config.kind.is_recursive(),
            tracker_dir: config.tracker_dir.clone(),
            tracker: None,
            marked: Marks::of(config).map(|marks| marks.of_others()).unwrap_or_default(),
            has_missed_places: false,
            gone: VecDeque::new(),
            claims: None,
        }
    }

    /// To read what is found: nobody else may read the directories that come to light.
    pub fn to_read(config: &SourceConfig) -> Scanner {
        let claims = config.kind.is_recursive().then(|| Claims::new(config.shares_spool_dir));
        let mut scanner = Scanner { claims, ..Scanner::new(config) };
        scanner.find_places();
        scanner
    }

    /// Finds the directories below the configured ones, of which a record may tell before they are listed.
    fn find_places(&mut self) {
        self.tracker = self.tracker_dir.metadata().ok().map(|stat| (stat.dev(), stat.ino()));
        let mut at = 0;
        while self.is_recursive && at < self.places.len() {
            let place = self.places[at].name.clone();
            for entry in self.root.list(&place).into_iter().flatten().flatten() {
                if entry.is_directory {
                    self.note_place(&entry.name, entry.inode, &mut Vec::new());
                }
            }
            at += 1;
        }
    }

    /// The locks of the directories below the configured ones.
    pub(crate) fn locks(&self) -> impl Iterator<Item = &Rc<SpoolLock>> {
        self.claims.iter().flat_map(Claims::locks)
    }

    /// In reading order.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// May a directory hold other names than at the last listing? One `stat` for each.
    pub fn is_stale(&self) -> io::Result<bool> {
        for place in &self.places {
            if place.seen_is_fresh {
                return Ok(true);
            }
            match self.root.stat_place(&place.name) {
                Ok(stat) if place.seen == Some(Stamp::of(&stat)) => {}
                Ok(_) => return Ok(true),
                Err(e) if self.places.len() == 1 => return Err(e),
                Err(_) if place.is_faulty => {}
                Err(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The places that are listed.
    pub fn places(&self) -> impl Iterator<Item = &OsStr> {
        self.places.iter().map(|place| place.name.as_os_str())
    }

    /// The same with device and inode of the directory that was listed last.
    pub fn directories(&self) -> impl Iterator<Item = (&OsStr, Option<(u64, u64)>)> {
        self.places.iter().map(|place| {
            let directory = place.seen.map(|stamp| (stamp.device, stamp.inode));
            (place.name.as_os_str(), directory)
        })
    }

    /// The directory of a place from which names were read last.
    pub fn directory_of(&self, place: &OsStr) -> Option<Hints> {
        self.places.iter().find(|p| p.name == place)?.directory
    }

    /// Is it one that is configured, of which this run has read no name? One that was found was there.
    pub fn was_never_listed(&self, place: &OsStr) -> bool {
        self.root.places().iter().any(|p| p == place) && self.directory_of(place).is_none()
    }

    /// Are the places all directories in which there may be files, unless one was renamed since their
    /// listing?
    pub fn knows_places(&self) -> bool {
        let is_known = !self.has_missed_places && !self.places.iter().any(|place| place.is_faulty);
        is_known && !self.is_stale().unwrap_or(true)
    }

    /// Directories below the configured ones that are gone: what is above them was listed with them, and
    /// later without them.
    pub fn gone(&self) -> impl Iterator<Item = &Hints> {
        self.gone.iter()
    }

    /// Did the last listing follow another with no change of a directory between them, by a
    /// stamp that is finer than whole seconds?
    pub fn is_confirmed(&self) -> bool {
        self.places.iter().all(|place| place.is_confirmed)
    }

    /// The names of the last listing in which a file waits to be deleted.
    pub fn left(&self) -> &[OsString] {
        &self.left
    }

    /// Was the name, or the inode, in the last listing, and could not be asked what it is? Or could its
    /// directory not be listed? Then it is not known to have gone.
    pub fn is_unjudged(&self, name: &OsStr, inode: u64) -> bool {
        let mut faulty = self.places.iter().filter(|place| place.is_faulty);
        self.unjudged.iter().any(|(n, i)| n == name || *i == inode)
            || faulty.any(|place| place.name == root::split(name).0)
    }

    /// Names of the last listing that could not be asked what they are, with their inodes.
    pub fn unjudged(&self) -> &[(OsString, u64)] {
        &self.unjudged
    }

    /// How many those are.
    pub fn unjudged_count(&self) -> usize {
        self.unjudged.len()
    }

    /// Names that Flume has marked as done.
    pub fn marked(&self) -> impl Iterator<Item = &OsStr> {
        self.marked.iter().map(OsString::as_os_str)
    }

    /// The places that could not be listed.
    pub fn faulty(&self) -> impl Iterator<Item = &OsStr> {
        self.places.iter().filter(|place| place.is_faulty).map(|place| place.name.as_os_str())
    }

    /// Notes of which candidates the name holds the present time.
    pub fn mark(&mut self, is_present: impl Fn(&OsStr) -> bool) {
        for candidate in &mut self.candidates {
            candidate.is_present = is_present(&candidate.name);
        }
        self.has_past = self.candidates.iter().any(|candidate| !candidate.is_present);
    }

    /// May one of the candidates not be of the present hour?
    pub fn has_past(&self) -> bool {
        self.has_past
    }

    /// The candidate was opened: its name may lead to another file than at the listing.
    pub fn note_opened(&mut self, at: usize, stat: &fs::Metadata, now_ms: u64) {
        let Candidate { name, device, inode, is_present, listed, .. } = &self.candidates[at];
        let (is_present, listed) = (*is_present, *listed);
        if (*device, *inode) != (stat.dev(), stat.ino())
            && let Ok(Some(found)) = candidate(name, stat)
        {
            self.candidates[at] = Candidate { is_present, listed, seen_ms: now_ms, ..found };
            self.inodes = None;
        }
    }

    /// Has one of the candidates that inode number? Asked for each of thousands of files that were renamed.
    pub(super) fn has_inode(&mut self, inode: u64) -> bool {
        let candidates = &self.candidates;
        let inodes = self.inodes.get_or_insert_with(|| {
            let mut inodes = HashMap::with_capacity(candidates.len());
            candidates.iter().for_each(|c| *inodes.entry(c.inode).or_default() += 1);
            inodes
        });
        inodes.get(&inode).is_some_and(|count| *count > 0)
    }

    /// The file by which the candidate was open when that was asked last.
    pub(super) fn open_hint(&self, at: usize) -> Option<Handle> {
        self.candidates[at].open
    }

    pub(super) fn note_open(&mut self, at: usize, handle: Option<Handle>) {
        self.candidates[at].open = handle;
    }

    /// Forgets names that we have renamed away ourselves.
    pub fn forget(&mut self, names: &[OsString]) {
        // They are among the first.
        let mut left: HashSet<&OsStr> = names.iter().map(OsString::as_os_str).collect();
        let inodes = &mut self.inodes;
        self.candidates.retain(|c| {
            let stays = left.is_empty() || !left.remove(c.name.as_os_str());
            if !stays && let Some(count) = inodes.as_mut().and_then(|all| all.get_mut(&c.inode)) {
                *count -= 1;
            }
            stays
        });
    }

    /// Lists the directories again. Returns names that could not be judged or stat'ed, with the
    /// reason; they are tried again at the next listing. So is a directory, where there are several:
    /// what is in it is not a candidate meanwhile. `now_ms`: the monotonic time.
    ///
    /// # Errors
    /// None of the directories can be listed.
    pub fn refresh(&mut self, now_ms: u64) -> io::Result<Vec<(OsString, String)>> {
        let mut problems = Vec::new();
        self.inodes = None;
        self.left.clear();
        self.unjudged.clear();
        self.has_missed_places = false;
        self.slow.begin_listing();
        let mut found = Listed::of(&mut self.candidates);
        self.tracker = self.tracker_dir.metadata().ok().map(|stat| (stat.dev(), stat.ino()));
        let configured = self.root.places().len();
        self.places.iter_mut().skip(configured).for_each(|place| place.is_there = false);
        let (mut at, mut fault) = (0, None);
        while at < self.places.len() {
            if !self.places[at].is_there {
                self.keep_unless_gone(at);
            } else if let Err(e) = self.list_place(at, now_ms, &mut found, &mut problems) {
                let place = &mut self.places[at];
                (place.seen, place.is_faulty, place.is_confirmed) = (None, true, false);
                if self.places.len() > 1 {
                    problems.push((self.places[at].name.clone(), e.to_string()));
                }
                fault = Some(e);
            }
            at += 1;
        }
        if let Some(e) = fault
            && self.places.iter().all(|place| place.is_faulty)
        {
            self.places.iter_mut().for_each(|place| place.is_faulty = false);
            return Err(e);
        }
        self.note_gone();
        self.places.retain(|place| place.is_there || place.is_faulty);
        if let Some(claims) = &mut self.claims {
            // One that could not be listed this time is nobody else's for that.
            claims.keep(&self.places.iter().filter_map(|place| place.claimed).collect());
        }
        self.candidates.retain(|c| c.listed.is_some());
        // Until they are marked.
        self.has_past = true;
        self.sort();
        Ok(problems)
    }

    /// A directory that was not found where it was is gone, unless that could not be listed.
    fn keep_unless_gone(&mut self, at: usize) {
        let (above, _) = root::split(&self.places[at].name);
        let is_unknown = self.places.iter().any(|p| p.name == above && p.is_faulty);
        let place = &mut self.places[at];
        (place.seen, place.is_confirmed, place.is_faulty) = (None, false, is_unknown);
    }

    /// Of a directory that has gone with the one above it the latter tells.
    fn note_gone(&mut self) {
        let has_gone = |place: &Place| !place.is_there && !place.is_faulty;
        let above = |place: &Place| {
            let (above, _) = root::split(&place.name);
            self.places.iter().find(|p| p.name == above)
        };
        let is_seen = |place: &&Place| {
            let mut at = *place;
            while let Some(next) = above(at).filter(|_| has_gone(at)) {
                at = next;
            }
            !at.is_another && !at.is_faulty
        };
        let gone = self.places.iter().filter(|place| has_gone(place)).filter(is_seen);
        let gone: Vec<Hints> = gone.filter_map(|place| place.directory).collect();
        self.gone.extend(gone);
        let beyond = self.gone.len().saturating_sub(PLACES_MAX);
        self.gone.drain(..beyond);
    }

    /// A directory in a place: are files looked for there, too?
    fn is_searched(&self, name: &OsStr, inode: u64) -> Result<bool, String> {
        let is_tracker = || {
            self.tracker.is_some_and(|(device, own)| {
                own == inode && self.root.stat_place(name).is_ok_and(|stat| stat.dev() == device)
            })
        };
        Ok(self.is_recursive && self.names.descends(name)? && !is_tracker())
    }

    /// Is it a directory in which files are looked for, and that no listing has come to yet? What was below
    /// one that could not be listed then is found by the next, unless another agent reads that.
    pub(super) fn is_unlisted_place(&self, entry: &Entry) -> bool {
        let (above, _) = root::split(&entry.name);
        let mut others = self.places.iter().filter(|place| place.is_of_another_agent());
        entry.is_directory
            && self.places.len() < PLACES_MAX
            && !self.places.iter().any(|place| place.name == entry.name)
            && !others.any(|place| place.name == above)
            && self.is_searched(&entry.name, entry.inode).unwrap_or(false)
    }

    /// A directory was found in a place.
    fn note_place(&mut self, name: &OsStr, inode: u64, problems: &mut Vec<(OsString, String)>) {
        match self.is_searched(name, inode) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => {
                self.has_missed_places = true;
                return problems.push((name.to_owned(), why));
            }
        }
        if let Some(place) = self.places.iter_mut().find(|place| place.name == name) {
            place.is_there = true;
        } else if self.places.len() < PLACES_MAX {
            self.places.push(Place::new(name));
        } else {
            self.has_missed_places = true;
            let why = format!("only {PLACES_MAX} directories are searched; this is one more");
            problems.push((name.to_owned(), why));
        }
    }

    fn list_place(
        &mut self,
        at: usize,
        now_ms: u64,
        found: &mut Listed,
        problems: &mut Vec<(OsString, String)>,
    ) -> io::Result<()> {
        let place = self.places[at].name.clone();
        let stamp = Stamp::of(&self.root.stat_place(&place)?);
        // Before the names are read: how long that takes must not count.
        let is_fresh = stamp.is_fresh();
        let seen = self.places[at].seen;
        if at >= self.root.places().len()
            && let Some(claims) = &mut self.claims
        {
            let directory = (stamp.device, stamp.inode);
            let may_list = claims.may_list(&self.root.place(&place), directory)?;
            let place = &mut self.places[at];
            place.claimed = Some(directory);
            if !may_list {
                (place.seen, place.seen_is_fresh, place.is_confirmed) = (Some(stamp), false, true);
                place.is_faulty = true;
                return Ok(());
            }
        }
        let entries = self.root.list(&place)?;
        let Stamp { device, inode, born_ns, .. } = stamp;
        let directory = Hints { device, inode, born_ns };
        let before = self.places[at].directory.replace(directory);
        self.places[at].is_another = before != Some(directory);
        if before.is_some_and(|before| before != directory) {
            // Another disk may have the same names and inode numbers. What was in the one before is not in
            // this one, be its names read to the last or not.
            found.forget(&mut self.candidates, &place);
        }
        self.gone.retain(|gone| *gone != directory);
        let mut is_whole = true;
        for entry in entries {
            pulse::step();
            let Entry { name, inode, is_directory } = entry?;
            if is_directory && self.is_recursive {
                self.note_place(&name, inode, problems);
                continue;
            }
            found.count += 1;
            if root::split(&name).1.as_bytes().starts_with(HIDDEN_BESIDE.as_bytes()) {
                self.left.push(name);
                continue;
            }
            let known = found.places.get(&inode).copied();
            if let Some(at) = known.filter(|&at| self.candidates[at].name == name) {
                self.candidates[at].listed = Some(found.count);
                continue;
            }
            if self.slow.is_late_for(&name) {
                is_whole = false;
                self.unjudged.push((name, inode));
                continue;
            }
            match self.judge(&name) {
                Ok(Some(candidate)) => {
                    let listed = Some(found.count);
                    self.candidates.push(Candidate { listed, seen_ms: now_ms, ..candidate });
                }
                Ok(None) => {}
                // It is known that no file has this name.
                Err(Unfit::NoFile) => problems.push((name, "not a regular file".to_string())),
                Err(Unfit::Unknown(why)) => {
                    self.unjudged.push((name.clone(), inode));
                    problems.push((name, why));
                }
            }
        }
        let place = &mut self.places[at];
        place.is_confirmed = is_whole && seen == Some(stamp) && stamp.changed.1 != 0;
        place.seen = Some(stamp);
        place.seen_is_fresh = is_fresh || !is_whole;
        place.is_faulty = false;
        Ok(())
    }

    fn judge(&mut self, name: &OsStr) -> Result<Option<Candidate>, Unfit> {
        if self.marked.contains(name)
            || !self.slow.accept(&self.names, name).map_err(Unfit::Unknown)?
        {
            return Ok(None);
        }
        match self.root.stat(name) {
            Ok(stat) => candidate(name, &stat),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Unfit::Unknown(e.to_string())),
        }
    }

    fn sort(&mut self) {
        match self.order {
            ConsumeOrder::Oldest => self.candidates.sort_by(older_first),
            ConsumeOrder::Youngest => self.candidates.sort_by(younger_first),
            ConsumeOrder::Random => self.candidates.sort_by_key(|c| c.listed),
        }
    }

    /// The name that a finished file had, if this is one's that was a candidate.
    pub fn name_before(&self, name: &OsStr) -> Option<OsString> {
        self.names.name_before(name)
    }

    /// Is that the name of a finished file?
    pub fn is_completed(&self, name: &OsStr) -> bool {
        self.names.is_completed(name)
    }

    /// Would this name be a candidate?
    pub fn accepts(&self, name: &OsStr) -> bool {
        self.names.accept(name).unwrap_or(false)
    }
}

/// The directories below that of a recursive source in which it looks for files now. What cannot be listed
/// is left out.
pub(crate) fn places_below(config: &SourceConfig) -> Vec<PathBuf> {
    let mut scanner = Scanner::new(config);
    scanner.find_places();
    let below = scanner.places.iter().skip(scanner.root.places().len());
    below.map(|place| scanner.root.place(&place.name)).collect()
}

/// What a listing begins with: what is known keeps its place, so that only what is new is moved by the
/// sort.
struct Listed {
    /// Of the candidates before, by inode.
    places: HashMap<u64, usize>,
    /// Names so far.
    count: usize,
}

impl Listed {
    fn of(candidates: &mut [Candidate]) -> Listed {
        let mut places = HashMap::with_capacity(candidates.len());
        for (at, candidate) in candidates.iter_mut().enumerate() {
            places.insert(candidate.inode, at);
            candidate.listed = None;
        }
        Listed { places, count: 0 }
    }

    /// Nothing is known of a place any more.
    fn forget(&mut self, candidates: &mut Vec<Candidate>, place: &OsStr) {
        candidates.retain(|c| c.listed.is_some() || root::split(&c.name).0 != place);
        let places = candidates.iter().enumerate().map(|(at, c)| (c.inode, at));
        self.places = places.collect();
    }
}

/// Why what has a name is no candidate, which is told.
enum Unfit {
    /// A pipe or a device: it has no positions to go back to, so nothing could be promised of it.
    NoFile,
    /// It could not be asked what it is.
    Unknown(String),
}

/// Directories are no candidates, and links only if they are followed, as Java's `File` does.
fn candidate(name: &OsStr, stat: &fs::Metadata) -> Result<Option<Candidate>, Unfit> {
    if stat.is_dir() || stat.is_symlink() {
        return Ok(None);
    }
    if !stat.is_file() {
        return Err(Unfit::NoFile);
    }
    Ok(Some(Candidate {
        name: name.to_owned(),
        device: stat.dev(),
        inode: stat.ino(),
        mtime_ms: modified_ms(stat),
        is_present: false,
        seen_ms: 0,
        seen: (stat.len(), stat.mtime(), stat.mtime_nsec()),
        open: None,
        listed: None,
    }))
}

fn older_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    a.mtime_ms.cmp(&b.mtime_ms).then_with(|| utf16_order(&a.name, &b.name))
}

/// Among equals the smaller name comes first here too, as in Flume.
fn younger_first(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.mtime_ms.cmp(&a.mtime_ms).then_with(|| utf16_order(&a.name, &b.name))
}

/// Java compares strings by UTF-16 unit, which differs from byte order above U+FFFF.
fn utf16_order(a: &OsStr, b: &OsStr) -> std::cmp::Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a.cmp(b);
    }
    a.to_string_lossy().encode_utf16().cmp(b.to_string_lossy().encode_utf16())
}

fn is_within_tick((seconds, nanos): (i64, i64)) -> bool {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i64);
    let stamp = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    now.saturating_sub(stamp).saturating_abs() < TICK_NS
}
