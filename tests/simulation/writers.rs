//! Those who write the log files, and what they remember of it: every line that was ever written,
//! and whether its writer made it unreadable before it could be read.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use flume_ng::source::hints::born_ns;

use crate::rng::Rng;

/// Marks lines that the configured filter takes out.
pub const FILTERED: &str = "DROP";

pub struct Line {
    pub text: Vec<u8>,
    /// Where it begins in its generation.
    pub start: u64,
    /// It may be missing.
    pub is_optional: bool,
    pub is_filtered: bool,
    /// It was there before the agent, and is not its to send.
    pub is_old: bool,
}

/// A line of which the end is still to be written.
#[derive(Default)]
pub struct OpenLine {
    pub text: Vec<u8>,
    pub written: usize,
    /// Where it ended after each write.
    cuts: Vec<usize>,
    pub is_optional: bool,
    /// So much of it was there when its file, which had no candidate's name for a while, got one again.
    came_back: Option<usize>,
}

impl OpenLine {
    /// May what is there have been sent as its file's last, while that had no candidate's name?
    pub fn may_have_been_last(&self) -> bool {
        self.came_back == Some(self.written)
    }
}

/// The content of a file from when it was empty until it is truncated.
#[derive(Default)]
pub struct Generation {
    pub content: Vec<u8>,
    pub lines: Vec<Line>,
    pub open: Option<OpenLine>,
}

impl Generation {
    /// Were these `size` bytes the beginning of its content and zeros, which a writer had reserved?
    pub fn is_with_zeros(&self, size: usize, crc: u32) -> bool {
        let mut hasher = crc32fast::Hasher::new();
        (0..size.min(self.content.len() + 1)).any(|len| {
            let mut whole = hasher.clone();
            whole.combine(&zeros(size - len));
            self.content.get(len).into_iter().for_each(|byte| hasher.update(&[*byte]));
            whole.finalize() == crc
        })
    }

    /// The line in which this offset is, or at whose end, may be missing.
    pub fn excuse_line_at(&mut self, offset: u64) {
        let is_it = |l: &&mut Line| {
            let end = l.start + l.text.len() as u64;
            (l.start + 1..=end).contains(&offset)
        };
        match (self.lines.iter_mut().find(is_it), &mut self.open) {
            (Some(line), _) => line.is_optional = true,
            (None, Some(open)) if offset == self.content.len() as u64 => open.is_optional = true,
            _ => {}
        }
    }
}

/// A file and the descriptor that its writer holds.
pub struct Inode {
    pub number: u64,
    file: File,
    /// Index of its present content.
    pub generation: usize,
    /// It has a name in the spool or the tracker directory (as far as the writers know).
    pub is_linked: bool,
    /// Behind its content stand zeros, as of those who map files.
    pub is_reserved: bool,
    /// Monotonic time of the last write.
    pub written_ms: u64,
    /// Made by copying another one; nobody writes to it.
    pub is_copy: bool,
    /// It, or everything, was copied when so little of it was read that nothing but its name tells
    /// what it is: it keeps that.
    pub is_bound: bool,
    /// Everything was: the number of its directory says nothing, either.
    pub is_bound_below: bool,
}

impl Inode {
    /// As the agent knows it.
    pub fn born_ns(&self) -> i64 {
        born_ns(&self.file.metadata().expect("a file of our own"))
    }
}

pub struct Writers {
    pub spool: PathBuf,
    /// The second directory of files, below the first, if there is one.
    second: Option<&'static str>,
    /// Files of others under names that finished files would get, and what is in each.
    taken: Vec<(String, Vec<u8>)>,
    pub tracker: PathBuf,
    outside: PathBuf,
    /// The spool directory is there at present, and not under its name.
    away: Option<PathBuf>,
    pub inodes: Vec<Inode>,
    pub generations: Vec<Generation>,
    /// Whole lines: generation and place.
    pub texts: HashMap<Vec<u8>, (usize, usize)>,
    /// Beginnings of lines that once were the end of a file, and the whole lines.
    pub partials: HashMap<Vec<u8>, Vec<u8>>,
    /// Beginnings of lines that need not be there though they may have been read as the end of a file.
    pub lost_halves: HashSet<Vec<u8>>,
    /// Pieces of lines, each with the beginnings of which one must have been sent as the last of
    /// its file before: what is written behind it is an event of its own.
    pub rests: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    serial: u32,
    line_max: u64,
    /// How far the clock of the files' stamps is from the agent's.
    pub stamps_off_ms: i64,
    /// The monotonic clock.
    pub now_ms: u64,
}

/// The second directory of files, if there is one.
pub const SECOND: &str = "two";

/// So many of them, hashed.
fn zeros(count: usize) -> crc32fast::Hasher {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&vec![0; count]);
    hasher
}

/// Is this a name that the agent would read?
pub fn is_candidate(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_numbered = stem.len() < name.len() && stem.ends_with(".log.");
    !name.starts_with('.') && (name.ends_with(".log") || is_numbered)
}

impl Writers {
    pub fn new(root: &Path, line_max: u64) -> Writers {
        let _ = fs::remove_dir_all(root.join("away"));
        let dirs = ["spool", "tracker", "outside"].map(|d| root.join(d));
        for dir in &dirs {
            let _ = fs::remove_dir_all(dir);
            fs::create_dir_all(dir).expect("a directory of our own");
        }
        let [spool, tracker, outside] = dirs;
        Writers {
            spool,
            second: None,
            taken: Vec::new(),
            tracker,
            outside,
            away: None,
            inodes: Vec::new(),
            generations: Vec::new(),
            texts: HashMap::new(),
            partials: HashMap::new(),
            lost_halves: HashSet::new(),
            rests: HashMap::new(),
            serial: 0,
            line_max,
            stamps_off_ms: 0,
            now_ms: 0,
        }
    }

    /// Where each file is now; the agent moves them, too.
    pub fn places(&self) -> HashMap<u64, PathBuf> {
        let mut places = HashMap::new();
        let spool = self.away.as_ref().unwrap_or(&self.spool);
        // What stands in its place is there as well.
        let dirs =
            [(&self.tracker, &self.tracker), (&self.spool, &self.spool), (spool, &self.spool)];
        for (dir, name) in dirs {
            let mut list = |dir: &Path, name: &Path| {
                for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                    places.insert(entry.ino(), name.join(entry.file_name()));
                }
            };
            list(dir, name);
            if let Some(second) = self.second {
                list(&dir.join(second), &name.join(second));
            }
        }
        places
    }

    /// The name of a file below the spool directory.
    pub fn name_of(&self, path: &Path) -> String {
        let name = path.strip_prefix(&self.spool).ok();
        let name = name.map_or_else(|| path.file_name().unwrap_or_default(), Path::as_os_str);
        name.to_string_lossy().into_owned()
    }

    /// From now on there is a second directory.
    pub fn add_second(&mut self) {
        self.second = Some(SECOND);
        fs::create_dir(self.spool.join(SECOND)).expect("a directory of our own");
    }

    /// Where the file of that number is to be: the name of its directory and a slash, or nothing.
    pub fn place_of(&self, serial: usize) -> String {
        let second = self.second.filter(|_| serial % 2 == 1);
        second.map_or_else(String::new, |second| format!("{second}/"))
    }

    /// The second directory gets another name, unless nothing but that of a file in it tells what the file is.
    pub fn rename_second(&mut self) {
        let Some(second) = self.second else { return };
        let places = self.places();
        let is_there = |inode: &&Inode| {
            let path = places.get(&inode.number);
            path.is_some_and(|path| path.parent() == Some(&self.spool.join(second)))
        };
        if self.inodes.iter().filter(is_there).any(|inode| inode.is_bound_below) {
            return;
        }
        let other = if second == SECOND { "three" } else { SECOND };
        if fs::rename(self.spool.join(second), self.spool.join(other)).is_ok() {
            self.second = Some(other);
            for (name, _) in &mut self.taken {
                if let Some(leaf) = name.strip_prefix(second).and_then(|n| n.strip_prefix('/')) {
                    *name = format!("{other}/{leaf}");
                }
            }
        }
    }

    /// The second directory is removed with all that is in it.
    pub fn remove_second(&mut self) {
        let Some(second) = self.second.take() else { return };
        let dir = self.spool.join(second);
        let places = self.places_in(&dir);
        for inode in &mut self.inodes {
            inode.is_linked &= !places.contains(&inode.number);
        }
        self.taken.retain(|(name, _)| !Path::new(name).starts_with(second));
        let _ = fs::remove_dir_all(dir);
    }

    /// Inodes of what is in the second directory.
    pub fn in_second(&self) -> HashSet<u64> {
        self.second.map_or_else(HashSet::new, |second| self.places_in(&self.spool.join(second)))
    }

    fn places_in(&self, dir: &Path) -> HashSet<u64> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.ino()).collect()
    }

    /// Somebody makes a file under the name that this one is to get.
    pub fn take_name(&mut self, path: &Path) {
        let name = format!("{}.COMPLETED", self.name_of(path));
        let content = format!("not ours, {}\n", self.next_serial()).into_bytes();
        let file = OpenOptions::new().write(true).create_new(true).open(self.spool.join(&name));
        if let Ok(file) = file {
            file.write_all_at(&content, 0).expect("room on the disk");
            self.taken.push((name, content));
        }
    }

    /// The first file of others that is no longer as it was.
    pub fn lost_of_others(&self) -> Option<&str> {
        let is_lost = |(name, content): &&(String, Vec<u8>)| {
            !fs::read(self.spool.join(name)).is_ok_and(|now| now == *content)
        };
        self.taken.iter().find(is_lost).map(|(name, _)| name.as_str())
    }

    /// The spool directory is unmounted, as it were: there is nothing under its name, or another
    /// directory for a while.
    pub fn take_away(&mut self, is_replaced: bool) {
        let away = self.spool.with_file_name("away");
        if self.away.is_none() && fs::rename(&self.spool, &away).is_ok() {
            self.away = Some(away);
            if is_replaced {
                fs::create_dir(&self.spool).expect("another directory");
            }
        }
    }

    /// What stands in the place of the spool directory goes, with all that was written there.
    pub fn remove_stand_in(&mut self) {
        let Some(away) = &self.away else { return };
        for entry in fs::read_dir(&self.spool).into_iter().flatten().flatten() {
            fs::rename(entry.path(), away.join(entry.file_name())).expect("a move");
        }
        let _ = fs::remove_dir(&self.spool);
    }

    pub fn bring_back(&mut self) {
        self.remove_stand_in();
        if let Some(away) = self.away.take() {
            fs::rename(away, &self.spool).expect("the directory comes back");
        }
    }

    /// Candidates in the spool directory and the one below it, sorted.
    pub fn candidates(&self) -> Vec<String> {
        let mut names = Vec::new();
        for place in [Some(""), self.second].into_iter().flatten() {
            let entries = fs::read_dir(self.spool.join(place)).into_iter().flatten().flatten();
            for entry in entries {
                let leaf = entry.file_name().to_string_lossy().into_owned();
                if is_candidate(&leaf) {
                    names.push(if place.is_empty() { leaf } else { format!("{place}/{leaf}") });
                }
            }
        }
        names.sort();
        names
    }

    pub fn is_candidate_now(&self, places: &HashMap<u64, PathBuf>, number: u64) -> bool {
        places.get(&number).is_some_and(|path| {
            let is_in_second =
                || self.second.is_some_and(|s| path.parent() == Some(&self.spool.join(s)));
            (path.parent() == Some(&self.spool) || is_in_second())
                && is_candidate(&path.file_name().unwrap_or_default().to_string_lossy())
        })
    }

    fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    fn begin(&mut self, path: &Path, wall_ms: i64) -> Inode {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.expect("a new file");
        touch(&file, wall_ms + self.stamps_off_ms);
        let number = file.metadata().expect("a file of our own").ino();
        self.generations.push(Generation::default());
        Inode {
            number,
            file,
            generation: self.generations.len() - 1,
            is_linked: true,
            is_reserved: false,
            is_copy: false,
            is_bound: false,
            is_bound_below: false,
            written_ms: self.now_ms,
        }
    }

    /// A new, empty file under this name; its index.
    pub fn create(&mut self, name: &str, wall_ms: i64) -> usize {
        let path = self.spool.join(name);
        let inode = self.begin(&path, wall_ms);
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    /// A new file of which the first lines are there before it takes the name, and the place of
    /// another file.
    pub fn replace(&mut self, name: &str, wall_ms: i64, rng: &mut Rng) -> usize {
        let serial = self.next_serial();
        let path = self.spool.join(format!(".new-{serial}"));
        let inode = self.begin(&path, wall_ms);
        self.inodes.push(inode);
        let at = self.inodes.len() - 1;
        let lines = rng.below(3);
        self.append(at, lines, wall_ms, rng, true);
        fs::rename(&path, self.spool.join(name)).expect("a rename of our own");
        at
    }

    /// A new file that takes its name when these lines are in it, the last of them half perhaps.
    pub fn drop_file(
        &mut self,
        name: &str,
        count: u64,
        has_half: bool,
        wall_ms: i64,
        rng: &mut Rng,
    ) -> usize {
        let serial = self.next_serial();
        let path = self.spool.join(format!(".new-{serial}"));
        let inode = self.begin(&path, wall_ms);
        self.inodes.push(inode);
        let at = self.inodes.len() - 1;
        self.append(at, count, wall_ms, rng, true);
        if has_half {
            self.append_half(at, wall_ms, rng, true);
        }
        fs::rename(&path, self.spool.join(name)).expect("a rename of our own");
        at
    }

    fn new_line(&mut self, generation: usize, rng: &mut Rng) -> Vec<u8> {
        let serial = self.next_serial();
        let filler = rng.below(self.line_max) as usize;
        let mark = if rng.chance(10) { FILTERED } else { "" };
        let body = "abcdefghijklmnopqrstuvwxyz ".bytes().cycle().take(filler);
        let mut text = format!("g{generation}n{serial}:{mark}").into_bytes();
        text.extend(body);
        text.extend(format!("~{serial}").bytes());
        text
    }

    fn write(&mut self, at: usize, bytes: &[u8], wall_ms: i64) {
        let inode = &mut self.inodes[at];
        let content = &mut self.generations[inode.generation].content;
        inode.file.write_all_at(bytes, content.len() as u64).expect("room on the disk");
        touch(&inode.file, wall_ms + self.stamps_off_ms);
        inode.written_ms = self.now_ms;
        content.extend_from_slice(bytes);
    }

    /// Makes the file longer than its content: by a hole, or by zeros that are on the disk.
    pub fn reserve(&mut self, at: usize, bytes: usize, is_hole: bool, wall_ms: i64) {
        let inode = &mut self.inodes[at];
        let end = self.generations[inode.generation].content.len() as u64;
        let len = inode.file.metadata().map_or(0, |stat| stat.len());
        inode.file.set_len(len.max(end + bytes as u64)).expect("a file of our own");
        if !is_hole {
            inode.file.write_all_at(&vec![0; bytes], end).expect("room on the disk");
        }
        touch(&inode.file, wall_ms + self.stamps_off_ms);
        inode.written_ms = self.now_ms;
        inode.is_reserved = true;
    }

    /// Its writer closes the file: what was reserved and not used goes.
    pub fn trim(&mut self, at: usize, wall_ms: i64) {
        let inode = &mut self.inodes[at];
        if std::mem::take(&mut inode.is_reserved) {
            let end = self.generations[inode.generation].content.len() as u64;
            inode.file.set_len(end).expect("a file of our own");
            touch(&inode.file, wall_ms + self.stamps_off_ms);
        }
    }

    /// Some lines, of which the second part is in the file already; `between` happens before the
    /// first part is. Returns what is to be written.
    pub fn append_backwards(&mut self, at: usize, wall_ms: i64, rng: &mut Rng) -> Vec<u8> {
        self.end_line(at, wall_ms, true);
        let generation = self.inodes[at].generation;
        let (mut first, mut second) = (Vec::new(), Vec::new());
        // A hole is a page of a file system in memory, and begins and ends with one.
        while first.len() < 3 * 4096 {
            let mut text = self.new_line(generation, rng);
            let end = text.iter().rposition(|b| *b == b'~').unwrap_or(text.len());
            text.splice(end..end, std::iter::repeat_n(b'.', 1_500));
            first.extend_from_slice(&text);
            first.push(b'\n');
            self.note(generation, text, false);
        }
        for _ in 0..rng.between(1, 3) {
            let text = self.new_line(generation, rng);
            second.extend_from_slice(&text);
            second.push(b'\n');
            self.note(generation, text, false);
        }
        let behind = self.generations[generation].content.len() + first.len();
        let inode = &mut self.inodes[at];
        inode.file.write_all_at(&second, behind as u64).expect("room on the disk");
        touch(&inode.file, wall_ms + self.stamps_off_ms);
        inode.written_ms = self.now_ms;
        first.extend_from_slice(&second);
        first
    }

    /// The rest of [`Writers::append_backwards`].
    pub fn fill(&mut self, at: usize, bytes: &[u8], wall_ms: i64) {
        self.write(at, bytes, wall_ms);
    }

    /// Appends `count` whole lines, in one write or several; a line that was begun is ended first.
    pub fn append(&mut self, at: usize, count: u64, wall_ms: i64, rng: &mut Rng, required: bool) {
        self.end_line(at, wall_ms, required);
        let generation = self.inodes[at].generation;
        let mut bytes = Vec::new();
        for _ in 0..count {
            let text = self.new_line(generation, rng);
            bytes.extend_from_slice(&text);
            bytes.push(b'\n');
            self.note(generation, text, !required);
        }
        self.write(at, &bytes, wall_ms);
    }

    /// Appends lines that may be equal to others. Nothing checks in the end whether they have arrived.
    pub fn append_equal(&mut self, at: usize, lines: &[&str], wall_ms: i64) {
        let bytes: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.write(at, bytes.as_bytes(), wall_ms);
    }

    fn note(&mut self, generation: usize, text: Vec<u8>, is_optional: bool) {
        let lines = &mut self.generations[generation].lines;
        let start = lines.last().map_or(0, |l| l.start + l.text.len() as u64 + 1);
        let is_filtered = text.windows(FILTERED.len()).any(|w| w == FILTERED.as_bytes());
        self.texts.insert(text.clone(), (generation, lines.len()));
        lines.push(Line { text, start, is_optional, is_filtered, is_old: false });
    }

    /// Begins a line, or goes on with the one that was begun, without ending it.
    pub fn append_half(&mut self, at: usize, wall_ms: i64, rng: &mut Rng, required: bool) {
        let generation = self.inodes[at].generation;
        if self.generations[generation].open.is_none() {
            let text = self.new_line(generation, rng);
            self.generations[generation].open =
                Some(OpenLine { text, is_optional: !required, ..OpenLine::default() });
        }
        let Some(open) = &mut self.generations[generation].open else { return };
        let head = open.text.iter().position(|b| *b == b':').unwrap_or(0) + 1;
        let tail = open.text.iter().rposition(|b| *b == b'~').unwrap_or(open.text.len());
        let from = open.written.max(head);
        // At least a byte more than before, and never into the last word, which is its own.
        if from + 1 >= tail {
            return;
        }
        let to = rng.between(from as u64 + 1, tail as u64 - 1) as usize;
        let bytes = open.text[open.written..to].to_vec();
        open.written = to;
        open.is_optional |= !required;
        open.cuts.push(to);
        self.partials.insert(open.text[..to].to_vec(), open.text.clone());
        for (n, &from) in open.cuts.iter().enumerate() {
            let beginnings = open.cuts[..=n].iter().map(|cut| open.text[..*cut].to_vec());
            let beginnings: Vec<Vec<u8>> = beginnings.collect();
            for piece in [&open.text[from..to], &open.text[from..]] {
                if !piece.is_empty() {
                    self.rests.entry(piece.to_vec()).or_default().extend(beginnings.clone());
                }
            }
        }
        self.write(at, &bytes, wall_ms);
    }

    fn end_line(&mut self, at: usize, wall_ms: i64, required: bool) {
        let generation = self.inodes[at].generation;
        let Some(open) = self.generations[generation].open.take() else { return };
        let mut bytes = open.text[open.written..].to_vec();
        bytes.push(b'\n');
        self.note(generation, open.text, open.is_optional || !required);
        self.write(at, &bytes, wall_ms);
    }

    /// Throws the content away and begins anew in the same file.
    pub fn truncate(&mut self, at: usize, wall_ms: i64) {
        let inode = &mut self.inodes[at];
        inode.file.set_len(0).expect("a file of our own");
        inode.is_reserved = false;
        touch(&inode.file, wall_ms + self.stamps_off_ms);
        self.generations.push(Generation::default());
        inode.generation = self.generations.len() - 1;
    }

    /// Copies a file beside it, under a name that begins with its own. Returns the name.
    pub fn copy(&mut self, at: usize, path: &Path, matches: bool, wall_ms: i64) -> String {
        let serial = self.next_serial();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if matches { format!("{name}.{serial}") } else { format!("{name}-{serial}") };
        let to = path.with_file_name(&name);
        fs::copy(path, &to).expect("a copy of our own");
        let file = OpenOptions::new().append(true).open(&to).expect("a copy of our own");
        touch(&file, wall_ms);
        let number = file.metadata().expect("a file of our own").ino();
        let generation = self.inodes[at].generation;
        self.inodes.push(Inode {
            number,
            file,
            generation,
            is_linked: true,
            is_reserved: false,
            written_ms: self.now_ms,
            is_copy: true,
            is_bound: self.inodes[at].is_bound,
            // Nor is the directory renamed in which it has the name that tells whose copy it is.
            is_bound_below: self.inodes[at].is_bound_below,
        });
        name
    }

    /// Another inode with the same bytes takes the name, and is written to from now on.
    pub fn replace_by_same(&mut self, at: usize, path: &Path, wall_ms: i64) {
        let serial = self.next_serial();
        let new = self.spool.join(format!(".new-{serial}"));
        fs::copy(path, &new).expect("a copy of our own");
        // Not to append: it is written to at places, also before its end.
        let file = OpenOptions::new().write(true).open(&new).expect("a copy of our own");
        touch(&file, wall_ms);
        fs::rename(&new, path).expect("a rename of our own");
        self.inodes[at].number = file.metadata().expect("a file of our own").ino();
        self.inodes[at].file = file;
    }

    pub fn delete(&mut self, at: usize, path: &Path) {
        let _ = fs::remove_file(path);
        self.inodes[at].is_linked = false;
    }

    pub fn move_out(&mut self, at: usize, path: &Path) {
        let serial = self.next_serial();
        let to = self.outside.join(serial.to_string());
        if fs::rename(path, to).is_ok() {
            self.inodes[at].is_linked = false;
        }
    }

    /// Under a name that is no candidate.
    pub fn hide(&mut self, path: &Path) {
        let serial = self.next_serial();
        let _ = fs::rename(path, self.spool.join(format!(".hidden-{serial}")));
    }

    /// A file without a candidate's name gets one.
    pub fn come_back(&mut self, at: usize, path: &Path) {
        let generation = self.inodes[at].generation;
        if let Some(open) = &mut self.generations[generation].open {
            open.came_back = Some(open.written);
        }
        self.rename(path);
    }

    /// Under another candidate's name.
    pub fn rename(&mut self, path: &Path) {
        let serial = self.next_serial();
        let place = self.place_of(serial as usize);
        let _ = fs::rename(path, self.spool.join(format!("{place}x{serial}.log.1")));
    }

    /// Lines that end behind byte `from` of a generation may be missing, unless `is_there`.
    pub fn excuse(&mut self, generation: usize, from: u64, is_there: impl Fn(&[u8]) -> bool) {
        let generation = &mut self.generations[generation];
        let mut missing = Vec::new();
        for line in generation.lines.iter_mut().filter(|l| l.start + l.text.len() as u64 >= from) {
            line.is_optional |= !is_there(&line.text);
            missing.push(&line.text);
        }
        if let Some(open) = &mut generation.open {
            open.is_optional |= !is_there(&open.text[..open.written]);
            missing.push(&open.text);
        }
        // What was in doubt of a line when its file was thrown away is told as lost.
        let is_lost =
            |(half, whole): &(&Vec<u8>, &Vec<u8>)| missing.contains(whole) && !is_there(half);
        let lost = self.partials.iter().filter(is_lost).map(|(half, _)| half.clone());
        self.lost_halves.extend(lost);
    }
}

/// Modification times follow the simulated clock, and no two of them are the same, as is the case
/// where the kernel gives them.
fn touch(file: &File, wall_ms: i64) {
    thread_local!(static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
    let nanos = COUNT.with(|c| c.replace((c.get() + 1) % 1_000_000));
    let at = UNIX_EPOCH + Duration::from_millis(wall_ms.max(0) as u64);
    let at = at + Duration::from_nanos(nanos);
    file.set_modified(at).expect("a file of our own");
}
