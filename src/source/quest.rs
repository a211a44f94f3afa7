//! What is being looked for: a file by its content.
//!
//! A file is the recorded one if the bytes before the position are the ones that were read. Where
//! device, inode and time of birth all agree, the fingerprints of beginning and end are enough;
//! where one differs, or what was read is no longer where it was, every byte is compared. That may
//! be gigabytes, so it is done in steps; what is compared meanwhile is not read as a new file.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use super::absent::Absence;
use super::directories::Home;
use super::hints::Hints;
use super::restore::Announced;
use super::root;
use super::tracked::Mark;
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::FileRecord;

/// What one read asks for, bytes.
const BLOCK_BYTES: usize = 128 * 1024;

/// Fewer bytes than this prove nothing: names and numbers decide.
pub const PROOF_BYTES: u64 = 256;

/// Whose content is looked for.
pub enum Whose {
    /// A file of the last run, or one that gave its descriptor away, which is not where it was.
    Stray { record: Box<FileRecord>, absence: Absence, reached: Option<Announced> },
    /// An open file (by its id) that was truncated: its content may live on in a copy.
    Truncated { id: u64 },
    /// An open file that has lost its name: another one may hold what was read.
    Replaced { id: u64, by: Hints },
    /// A finished file, and where it may be.
    Finished { receipt: Box<Receipt>, then: Then, at: OsString, hints: Hints },
}

/// What is done with a finished file that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is a candidate: read from where its receipt ends, else as a new one.
    Candidate,
    /// It has grown under its last name.
    Grown,
    /// It was left to be deleted.
    Leftover,
    /// It keeps its name, and was copied: its receipt is renewed.
    Renewed,
}

/// A file that may be it.
pub struct Suspect {
    /// Below the spool directory, or absolute.
    pub name: OsString,
    pub hints: Hints,
    /// `None`: opened when its turn comes, since there may be more of them than descriptors.
    pub file: Option<File>,
    /// The directory in which it stood under this name when it was opened first: it may have lost that name
    /// before it is compared.
    pub(super) home: Option<Home>,
    /// It holds less than was read: it was made before the last lines were written. What it has in
    /// common with what was read, at least.
    pub partly: Option<Mark>,
    /// Length and modification time (s, ns) with which it was asked where it ends without the zeros that
    /// a receipt speaks of, and the answer.
    pub end: Option<((u64, i64, i64), u64)>,
    /// It holds less, and was compared as far as can be told while something is in doubt of what was
    /// read.
    pub waits: bool,
    /// Its first bytes, so many, and their CRC-32.
    pub hashed: u64,
    pub hasher: crc32fast::Hasher,
}

/// Whether a suspect holds what was read, as far as that was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Other,
    NotYet,
}

impl Compared {
    pub(super) fn of(is_same: bool) -> Compared {
        if is_same { Compared::Same } else { Compared::Other }
    }
}

impl Suspect {
    pub fn new(name: OsString, hints: Hints, file: Option<File>) -> Suspect {
        let hasher = crc32fast::Hasher::new();
        Suspect {
            name,
            hints,
            file,
            home: None,
            partly: None,
            end: None,
            waits: false,
            hashed: 0,
            hasher,
        }
    }

    /// Goes on to offset `end`, `budget` bytes at most. `false`: not there yet. An end of the file
    /// before it is an error.
    pub fn hash_to(&mut self, file: &File, end: u64, budget: &mut u64) -> io::Result<bool> {
        let mut block = vec![0; BLOCK_BYTES];
        while self.hashed < end && *budget > 0 {
            let left = (end - self.hashed).min(*budget);
            let len = BLOCK_BYTES.min(usize::try_from(left).unwrap_or(BLOCK_BYTES));
            file.read_exact_at(&mut block[..len], self.hashed)?;
            self.hasher.update(&block[..len]);
            self.hashed += len as u64;
            *budget -= len as u64;
        }
        Ok(self.hashed >= end)
    }

    pub fn crc(&self) -> u32 {
        self.hasher.clone().finalize()
    }
}

/// What a search for the copy of something truncated could not look at.
#[derive(Debug, Default)]
pub struct Unasked {
    /// Directories that could not be listed.
    pub unlisted: Vec<OsString>,
    /// Another directory stands in the place of its own.
    pub is_away: bool,
    /// Names that could not be opened, and would be read as new files, or are those of copies.
    pub names: Vec<OsString>,
}

impl Unasked {
    /// Without names that are not those of a copy.
    pub(super) fn of_copies(mut self, is_copys: impl Fn(&OsStr) -> bool) -> Unasked {
        self.names.retain(|unasked| is_copys(unasked));
        self
    }

    pub fn is_empty(&self) -> bool {
        self.unlisted.is_empty() && !self.is_away && self.names.is_empty()
    }
}

/// One search.
pub struct Quest {
    pub whose: Whose,
    pub suspects: VecDeque<Suspect>,
    /// The directory was searched for suspects.
    pub is_listed: bool,
    /// Those under the names that come first are not it: all are asked.
    pub is_wide: bool,
    /// Monotonic time at which it was searched last.
    pub listed_ms: u64,
    /// What could not be asked then whether it holds what was truncated: the search is repeated.
    pub unasked: Unasked,
    /// Monotonic time since which another directory stands in the place of its own.
    pub away_ms: Option<u64>,
    /// Monotonic time since which a file that is gone is looked for in copies.
    pub gone_ms: Option<u64>,
    /// Monotonic time before which nothing is compared, after a failed read.
    pub retry_ms: u64,
    /// That a long comparison has begun was said.
    pub is_told: bool,
}

impl Quest {
    pub fn new(whose: Whose, suspects: VecDeque<Suspect>, is_listed: bool) -> Quest {
        let unasked = Unasked::default();
        Quest {
            whose,
            suspects,
            is_listed,
            is_wide: false,
            listed_ms: 0,
            unasked,
            away_ms: None,
            gone_ms: None,
            retry_ms: 0,
            is_told: false,
        }
    }

    /// Is there more to be asked than those that come first?
    pub fn is_narrow(&self) -> bool {
        matches!(self.whose, Whose::Stray { .. }) && !self.is_wide
    }

    /// The file whose content is looked for, if it is one that is being read.
    pub fn id(&self) -> Option<u64> {
        match &self.whose {
            Whose::Stray { record, .. } => Some(record.id),
            Whose::Truncated { id } | Whose::Replaced { id, .. } => Some(*id),
            Whose::Finished { .. } => None,
        }
    }

    /// Can nothing of it be read until it is found?
    fn is_lost(&self) -> bool {
        match &self.whose {
            Whose::Stray { .. } => true,
            // What one holds that has less than was read is read there meanwhile.
            Whose::Truncated { .. } => self.suspects.front().is_none_or(|s| !s.waits),
            Whose::Replaced { .. } | Whose::Finished { .. } => false,
        }
    }
}

/// All searches; the first one is worked on.
#[derive(Default)]
pub struct Quests {
    pub list: VecDeque<Quest>,
    /// Device and inode of every suspect.
    held: HashMap<(u64, u64), u32>,
    /// The last turn has brought a comparison forward.
    pub is_busy: bool,
}

impl Quests {
    pub fn push(&mut self, quest: Quest) {
        self.hold(&quest);
        self.list.push_back(quest);
    }

    /// Takes note of the suspects of a quest.
    pub fn hold(&mut self, quest: &Quest) {
        for suspect in &quest.suspects {
            *self.held.entry((suspect.hints.device, suspect.hints.inode)).or_default() += 1;
        }
    }

    /// A suspect was looked at, or is no longer one.
    pub fn release(&mut self, suspect: &Suspect) {
        let key = (suspect.hints.device, suspect.hints.inode);
        if let Some(count) = self.held.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&key);
            }
        }
    }

    /// May this be a file that is looked for?
    pub fn holds(&self, device: u64, inode: u64) -> bool {
        !self.held.is_empty() && self.held.contains_key(&(device, inode))
    }

    /// May that name be of a file that is looked for, which could not be asked? It could not where its
    /// directory was not listed. What was opened since (`opened_ms`) may have come from there, and is asked by
    /// the next search.
    pub fn has_yet_to_ask(&self, name: &OsStr, opened_ms: u64) -> bool {
        let (place, _) = root::split(name);
        self.list.iter().any(|quest| {
            let Unasked { unlisted, names, .. } = &quest.unasked;
            let is_searched_again = !unlisted.is_empty() && quest.suspects.is_empty();
            unlisted.iter().any(|unlisted| unlisted == place)
                || names.iter().any(|unasked| unasked == name)
                || is_searched_again && opened_ms >= quest.listed_ms
        })
    }

    /// Files that were truncated, and whose directory has another one in its place.
    pub fn away(&self) -> impl Iterator<Item = &Quest> {
        self.list.iter().filter(|quest| quest.unasked.is_away)
    }

    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut FileRecord> {
        self.list.iter_mut().filter_map(|quest| match &mut quest.whose {
            Whose::Stray { record, .. } => Some(&mut **record),
            _ => None,
        })
    }

    /// Records of files that are not open.
    pub fn records(&self) -> impl Iterator<Item = &FileRecord> {
        self.list.iter().filter_map(|quest| match &quest.whose {
            Whose::Stray { record, .. } => Some(&**record),
            _ => None,
        })
    }

    pub fn seeks(&self, id: u64) -> bool {
        self.list.iter().any(|quest| quest.id() == Some(id))
    }

    /// A copy of file `id`, which was truncated, that lacks the last lines and waits until nothing is
    /// in doubt of what was read.
    pub fn waiting_copy(&self, id: u64) -> Option<&Suspect> {
        let is_it = |quest: &&Quest| matches!(quest.whose, Whose::Truncated { id: of } if of == id);
        self.list.iter().find(is_it)?.suspects.front().filter(|suspect| suspect.waits)
    }

    /// Monotonic time before which that file is not looked for again.
    pub fn retry_ms(&self, id: u64) -> u64 {
        let quest = self.list.iter().find(|quest| quest.id() == Some(id));
        quest.map_or(0, |quest| quest.retry_ms)
    }

    pub fn has_lost(&self, id: u64) -> bool {
        self.list.iter().any(|quest| quest.id() == Some(id) && quest.is_lost())
    }
}

/// Is that a name that a rotating tool gives to a copy (`app.log` to `app.log.1`,
/// `app.log-20170412`)?
pub fn is_copys_name(copy: &OsStr, original: &[u8]) -> bool {
    copy.len() > original.len() && copy.as_bytes().starts_with(original)
}

/// Are the first `end` bytes of the two files the same?
pub fn begin_alike(one: &File, other: &File, end: u64) -> io::Result<bool> {
    // Files with one heading differ soon behind it.
    let mut blocks = [[0u8; 4096]; 2];
    let mut at = 0;
    while at < end {
        let len = blocks[0].len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let [first, second] = &mut blocks;
        for (file, block) in [(one, &mut *first), (other, &mut *second)] {
            match file.read_exact_at(&mut block[..len], at) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        if first[..len] != second[..len] {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

/// What two files have in common, from some offset on.
pub struct Common {
    /// Offset behind the last whole line, and how many lines that is.
    pub lines_end: u64,
    pub lines: u64,
    /// Offset of the first byte that is not the same.
    pub end: u64,
}

impl Common {
    /// Up to offset `end` at most.
    pub fn of(one: &File, other: &File, from: u64, end: u64) -> io::Result<Common> {
        let mut common = Common { lines_end: from, lines: 0, end: from };
        let mut blocks = [[0u8; 4096]; 2];
        while common.end < end {
            let left = usize::try_from(end - common.end).unwrap_or(usize::MAX);
            let want = blocks[0].len().min(left);
            let first = one.read_at(&mut blocks[0][..want], common.end)?;
            let second = other.read_at(&mut blocks[1][..first], common.end)?;
            let pairs = blocks[0][..second].iter().zip(&blocks[1]);
            let same = pairs.take_while(|(a, b)| a == b).count();
            if let Some(last) = memchr::memrchr(b'\n', &blocks[0][..same]) {
                common.lines += memchr::memchr_iter(b'\n', &blocks[0][..same]).count() as u64;
                common.lines_end = common.end + last as u64 + 1;
            }
            common.end += same as u64;
            if same < want {
                break;
            }
        }
        Ok(common)
    }
}

/// The CRC-32 of the bytes before `end`, by that of those before the position.
pub fn crc_on(file: &File, record: &FileRecord, end: u64) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new_with_initial_len(record.bytes_crc, record.position);
    let mut block = vec![0; 64 * 1024];
    let mut at = record.position;
    while at < end {
        let len = block.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        file.read_exact_at(&mut block[..len], at)?;
        hasher.update(&block[..len]);
        at += len as u64;
    }
    Ok(hasher.finalize())
}

/// The CRC-32 of the first `end` bytes; of all there are, if they are fewer.
pub fn prefix_crc(file: &File, end: u64) -> io::Result<u32> {
    let hints = Hints { device: 0, inode: 0, born_ns: 0 };
    let mut whole = Suspect::new(OsString::new(), hints, None);
    let mut unlimited = u64::MAX;
    whole.hash_to(file, end, &mut unlimited)?;
    Ok(whole.crc())
}
