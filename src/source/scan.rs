//! Which names in the spool directory are candidates, and in which order they are read.
//!
//! The rules are Flume's (names ending in `fileSuffix`, hidden names and `ignorePattern` are out,
//! `targetPattern` is in; age is the modification time, the hour in the name plays no part). The
//! economy is ours: the directory is listed again only when it may have changed, and a name that
//! was judged once is not matched or stat'ed again, so that a hundred thousand finished files
//! cost one pass over their names and no more.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};

use crate::config::model::{ConsumeOrder, SourceConfig};
use crate::source::policy::Names;
use crate::source::retire::HIDDEN_BESIDE;
use crate::source::root::Root;
use crate::source::slow_names::SlowNames;
use crate::source::tracked::modified_ms;

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
    /// Place in the directory's listing, for `consumeOrder = random`; `None` if it is not in it.
    listed: Option<usize>,
}

/// The candidates of one directory, kept up to date.
pub struct Scanner {
    root: Root,
    names: Names,
    order: ConsumeOrder,
    /// What the directory's inode said at the last listing.
    seen: Option<Stamp>,
    /// The listing may have missed a change that fell into the same tick of the clock.
    seen_is_fresh: bool,
    /// Nothing had changed since the listing before.
    is_confirmed: bool,
    candidates: Vec<Candidate>,
    left: Vec<OsString>,
    slow: SlowNames,
    /// Names and inodes of the last listing of which could not be told what they are.
    unjudged: Vec<(OsString, u64)>,
}

/// Which directory it is, and when it was changed. Its modification time alone may be put back
/// (tar, rsync), and a name may lead to another directory from one moment to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(stat: &fs::Metadata) -> Stamp {
        Stamp {
            device: stat.dev(),
            inode: stat.ino(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
        }
    }

    fn is_same_directory(&self, other: &Stamp) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// May the directory be changed once more without another stamp?
    fn is_fresh(&self) -> bool {
        is_within_tick(self.modified) || is_within_tick(self.changed)
    }
}

/// A directory changed this shortly before it was listed may change again without a new stamp:
/// file systems stamp with the tick of the kernel, 10 ms at the most.
const TICK_NS: i64 = 20_000_000;

impl Scanner {
    pub fn new(config: &SourceConfig) -> Scanner {
        Scanner {
            root: Root::of(config),
            names: Names::of(config),
            order: config.consume_order,
            seen: None,
            seen_is_fresh: false,
            is_confirmed: false,
            candidates: Vec::new(),
            left: Vec::new(),
            slow: SlowNames::default(),
            unjudged: Vec::new(),
        }
    }

    /// In reading order.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// May the directory hold other names than at the last listing? One `stat`.
    pub fn is_stale(&self) -> io::Result<bool> {
        if self.seen_is_fresh {
            return Ok(true);
        }
        Ok(self.seen != Some(Stamp::of(&self.root.stat_dir()?)))
    }

    /// Device and inode of the directory that was listed last.
    pub fn directory(&self) -> Option<(u64, u64)> {
        self.seen.map(|stamp| (stamp.device, stamp.inode))
    }

    /// Did the last listing follow another with no change of the directory between them, by a
    /// stamp that is finer than whole seconds?
    pub fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// The names of the last listing in which a file waits to be deleted.
    pub fn left(&self) -> &[OsString] {
        &self.left
    }

    /// Was the name, or the inode, in the last listing, and could not be asked what it is? Then it
    /// is not known to have gone.
    pub fn is_unjudged(&self, name: &OsStr, inode: u64) -> bool {
        self.unjudged.iter().any(|(n, i)| n == name || *i == inode)
    }

    /// Names of the last listing that could not be asked what they are.
    pub fn unjudged_count(&self) -> usize {
        self.unjudged.len()
    }

    /// Notes of which candidates the name holds the present time.
    pub fn mark(&mut self, is_present: impl Fn(&OsStr) -> bool) {
        for candidate in &mut self.candidates {
            candidate.is_present = is_present(&candidate.name);
        }
    }

    /// Forgets a name that we have renamed away ourselves.
    pub fn forget(&mut self, name: &OsStr) {
        self.candidates.retain(|c| c.name != name);
    }

    /// Lists the directory again. Returns names that could not be judged or stat'ed, with the
    /// reason; they are tried again at the next listing. `now_ms`: the monotonic time.
    pub fn refresh(&mut self, now_ms: u64) -> io::Result<Vec<(OsString, String)>> {
        let stamp = Stamp::of(&self.root.stat_dir()?);
        // Before the names are read: how long that takes must not count.
        let is_fresh = stamp.is_fresh();
        if self.seen.is_some_and(|seen| !seen.is_same_directory(&stamp)) {
            // Another disk may have the same names and inode numbers.
            self.candidates.clear();
        }
        let mut problems = Vec::new();
        self.left.clear();
        self.unjudged.clear();
        // What is known already keeps its place, so that only what is new is moved by the sort.
        let mut places: HashMap<u64, usize> = HashMap::with_capacity(self.candidates.len());
        for (at, candidate) in self.candidates.iter_mut().enumerate() {
            places.insert(candidate.inode, at);
            candidate.listed = None;
        }
        self.slow.begin_listing();
        let mut is_whole = true;
        for (listed, entry) in self.root.list()?.enumerate() {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_bytes().starts_with(HIDDEN_BESIDE.as_bytes()) {
                self.left.push(name);
                continue;
            }
            let place = places.get(&entry.ino()).copied();
            if let Some(at) = place.filter(|&at| self.candidates[at].name == name) {
                self.candidates[at].listed = Some(listed);
                continue;
            }
            if self.slow.is_late_for(&name) {
                is_whole = false;
                self.unjudged.push((name, entry.ino()));
                continue;
            }
            match self.judge(&name) {
                Ok(Some(found)) => {
                    let listed = Some(listed);
                    self.candidates.push(Candidate { listed, seen_ms: now_ms, ..found });
                }
                Ok(None) => {}
                Err(why) => {
                    self.unjudged.push((name.clone(), entry.ino()));
                    problems.push((name, why));
                }
            }
        }
        self.candidates.retain(|c| c.listed.is_some());
        self.sort();
        self.is_confirmed = is_whole && self.seen == Some(stamp) && stamp.changed.1 != 0;
        self.seen = Some(stamp);
        self.seen_is_fresh = is_fresh || !is_whole;
        Ok(problems)
    }

    fn judge(&mut self, name: &OsStr) -> Result<Option<Candidate>, String> {
        if !self.slow.accept(&self.names, name)? {
            return Ok(None);
        }
        match stat_file(&self.root, name) {
            Ok(found) => Ok(found),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.to_string()),
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

/// Directories are no candidates, and links only if they are followed, as Java's `File` does.
fn stat_file(root: &Root, name: &OsStr) -> io::Result<Option<Candidate>> {
    let stat = root.stat(name)?;
    if stat.is_dir() || stat.is_symlink() {
        return Ok(None);
    }
    if !stat.is_file() {
        // A pipe or a device has no positions to go back to, so nothing could be promised of it.
        return Err(io::Error::other("not a regular file"));
    }
    Ok(Some(Candidate {
        name: name.to_owned(),
        device: stat.dev(),
        inode: stat.ino(),
        mtime_ms: modified_ms(&stat),
        is_present: false,
        seen_ms: 0,
        seen: (stat.len(), stat.mtime(), stat.mtime_nsec()),
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
