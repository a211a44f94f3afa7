//! Which files there are to be verified: receipts of finished ones, the checkpoint's live ones.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Origin, Trouble};
use crate::checkpoint::ledger::receipt_ranges;
use crate::checkpoint::lock;
use crate::checkpoint::receipt::{self, Receipt, ReceiptRange};
use crate::checkpoint::record::{FileRecord, FileState, Record};
use crate::checkpoint::slots;
use crate::pipeline::handover;
use crate::source::hints::Hints;
use crate::source::policy::Names;
use crate::source::quest::{PROOF_BYTES, prefix_crc};
use crate::source::reach;

/// Bytes of a file that are read. A `start` other than 0 is where an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extent {
    pub start: u64,
    pub end: u64,
    /// The last line needs no newline.
    pub is_final: bool,
}

/// What is known of a file beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has a receipt.
    Finished,
    /// It is in the checkpoint.
    Live,
}

/// What receipt or checkpoint say of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Claim {
    pub size: u64,
    pub lines: u64,
    pub events: u64,
    pub bytes_crc: u32,
}

/// Where a file's bytes are.
#[derive(Debug)]
pub(super) enum Bytes {
    /// Opened each time: there may be more finished files than descriptors.
    At(PathBuf),
    /// Kept open: a live file may be renamed at any time.
    Open(File),
    Gone,
}

impl Bytes {
    pub(super) fn are_gone(&self) -> bool {
        matches!(self, Bytes::Gone)
    }

    pub(super) fn open(&self) -> io::Result<File> {
        match self {
            Bytes::At(path) => reach::open(path),
            Bytes::Open(file) => file.try_clone(),
            Bytes::Gone => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A file that the agent has read.
#[derive(Debug)]
pub(super) struct Subject {
    /// Index of its source.
    pub origin: usize,
    /// Bare name under which it was read; headers name it so.
    pub name: OsString,
    /// Where it is now, for people.
    pub label: String,
    pub state: State,
    /// It is to be verified; others only account for the lines that they share with those.
    pub is_selected: bool,
    pub bytes: Bytes,
    /// What of it ought to be in the topic.
    pub extent: Extent,
    pub claim: Claim,
    /// Where Flume's tracker stands, if it is for a file of this name.
    pub java_offset: Option<u64>,
    /// Unix time of the first read, ms.
    pub opened_ms: i64,
    /// And of its receipt.
    pub finished_ms: Option<i64>,
    pub ranges: Vec<ReceiptRange>,
}

#[derive(Debug)]
pub(super) struct Inventory {
    pub subjects: Vec<Subject>,
    /// What keeps the result from being whole, in sentences.
    pub problems: Vec<String>,
    /// What is left out without a fault of anybody.
    pub remarks: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Names or paths of files; all if empty.
    pub words: &'a [String],
    /// Files that are gone are no difference.
    pub allow_gone: bool,
    /// Of all, those that were finished since then (Unix time, ms), or are not.
    pub since_ms: Option<i64>,
}

impl Inventory {
    /// Reads checkpoint and receipts of all sources and selects the files that are wanted, or all
    /// that still exist.
    pub(super) fn take(origins: &[Origin<'_>], wanted: Wanted<'_>) -> Result<Inventory, Trouble> {
        let words = wanted.words;
        let mut inventory =
            Inventory { subjects: Vec::new(), problems: Vec::new(), remarks: Vec::new() };
        for (at, origin) in origins.iter().enumerate() {
            let has_state = inventory.add_source(at, origin)?;
            if !has_state && words.is_empty() {
                inventory.problems.push(no_state(origin));
            }
        }
        if words.is_empty() {
            inventory.select_all(wanted);
        }
        let places: Vec<String> =
            origins.iter().map(|o| o.config.tracker_dir.display().to_string()).collect();
        for word in words {
            inventory.select(Path::new(word), &places.join(", "))?;
        }
        Ok(inventory)
    }

    /// Returns whether an agent has left anything in the tracker directory.
    fn add_source(&mut self, at: usize, origin: &Origin<'_>) -> Result<bool, Trouble> {
        let dir = &origin.config.tracker_dir;
        // The checkpoint first: a file that is retired meanwhile is then in it or has a receipt.
        let record = slots::read_newest(dir).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => Trouble::State(e.to_string()),
            _ => Trouble::Temporary(format!("{}: {e}", dir.display())),
        })?;
        let root = &origin.config.spool_dir;
        let mut receipts: Vec<Receipt> = Vec::new();
        for item in receipt::read_all(dir).map_err(|e| Trouble::Temporary(e.to_string()))? {
            match item {
                Ok(receipt) => receipts.push(receipt.told_from(root)),
                Err(e) => self.problems.push(e.to_string()),
            }
        }
        let has_state = record.is_some() || !receipts.is_empty();
        let covers = |later: &Receipt, earlier: &Receipt| match later.completed.is_empty() {
            true => false,
            false => is_covered(&Bytes::At(path_of(origin, &later.completed)), earlier),
        };
        let mut receipts = last_of_each(receipts, covers);
        let taken_over = handover::taken_over(origin.config);
        let begun = |inode: u64| taken_over.iter().find(|p| p.inode == inode).map(|p| p.pos);
        let mut record = record.unwrap_or_default();
        record.tell_names_from(root);
        for file in &record.files {
            let has_receipt = receipts.iter().any(|r| Kinship::of(r, file).is_whole(r, file));
            if !has_receipt && file.state != FileState::Superseded {
                let subject = live(at, origin, file, &record)?;
                // One that is read on from a receipt speaks for what that covers as well.
                receipts.retain(|r| match Kinship::of(r, file) {
                    Kinship::Numbers => false,
                    Kinship::Name => r.size > file.position || !is_covered(&subject.bytes, r),
                    Kinship::None => true,
                });
                self.subjects.push(Subject { java_offset: begun(file.inode), ..subject });
            }
        }
        for receipt in receipts {
            let java_offset = begun(receipt.inode);
            self.subjects.push(Subject { java_offset, ..finished(at, origin, receipt)? });
        }
        if let Some((name, offset)) = handover::position(origin.config) {
            for subject in self.subjects.iter_mut().filter(|s| s.origin == at && s.name == name) {
                subject.java_offset = Some(offset);
            }
        }
        Ok(has_state)
    }

    fn select_all(&mut self, wanted: Wanted<'_>) {
        let is_of_then = |subject: &Subject| {
            let times = subject.finished_ms.zip(wanted.since_ms);
            times.is_none_or(|(finished_ms, since_ms)| finished_ms >= since_ms)
        };
        let mut gone = 0;
        for subject in self.subjects.iter_mut().filter(|subject| is_of_then(subject)) {
            subject.is_selected = !subject.bytes.are_gone();
            gone += usize::from(!subject.is_selected);
        }
        let files = match gone {
            0 => return,
            1 => "1 collected file is".to_string(),
            n => format!("{n} collected files are"),
        };
        match wanted.allow_gone {
            true => {
                self.remarks.push(format!("{files} gone (deleted or moved away): not verified"))
            }
            false => self.problems.push(format!(
                "{files} gone (deleted or moved away) and cannot be verified: name it by its path \
                 where it was moved to, or give --allow-gone if what is done may be deleted"
            )),
        }
    }

    /// Selects what `word`, a path or a bare name, means: a live file, else the name under which
    /// a finished one was left, else that under which it was read.
    fn select(&mut self, word: &Path, places: &str) -> Result<(), Trouble> {
        let bare = word.file_name().unwrap_or(word.as_os_str());
        let left_as = |s: &Subject| Path::new(&s.label).file_name() == Some(bare);
        let is_live = |s: &Subject| s.state == State::Live && (s.name == bare || left_as(s));
        let mut chosen = self.places(is_live);
        if chosen.is_empty() {
            chosen = self.places(left_as);
        }
        if chosen.is_empty() {
            chosen = self.places(|s| s.name == bare);
        }
        if chosen.is_empty() {
            self.problems.push(format!(
                "{}: no receipt and not in the checkpoint (looked in {places}): this agent has \
                 not collected it",
                word.display()
            ));
        }
        let is_path = word.as_os_str().as_bytes().contains(&b'/') && word.is_file();
        if let ([only], true) = (&chosen[..], is_path)
            && self.subjects[*only].state == State::Finished
        {
            // It may have been moved to an archive since.
            let subject = &mut self.subjects[*only];
            let failed = |e| Trouble::Temporary(format!("{}: {e}", word.display()));
            subject.extent.end = word.metadata().map_err(failed)?.len();
            subject.label = word.display().to_string();
            subject.bytes = Bytes::At(word.to_owned());
        }
        for at in chosen {
            self.subjects[at].is_selected = true;
        }
        Ok(())
    }

    fn places(&self, is_it: impl Fn(&Subject) -> bool) -> Vec<usize> {
        (0..self.subjects.len()).filter(|at| is_it(&self.subjects[*at])).collect()
    }
}

/// Is a receipt that of a file in the checkpoint?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinship {
    /// It is: an inode alone may have been given out again since, but not at that time.
    Numbers,
    /// It may be: numbers are others after everything was copied. Or it is that of the file that this one
    /// is a copy of, which stood in its place and was read on as well.
    Name,
    None,
}

impl Kinship {
    fn of(receipt: &Receipt, file: &FileRecord) -> Kinship {
        if receipt.opened_ms != file.opened_ms {
            return Kinship::None;
        }
        // A device may have another number since; a copy beside it has another inode.
        match (receipt.device == file.device, receipt.inode == file.inode) {
            (true, true) => Kinship::Numbers,
            _ if receipt.name != file.name => Kinship::None,
            (false, true) => Kinship::Numbers,
            (_, false) => Kinship::Name,
        }
    }

    /// Does the receipt speak for all that was read of the file, which was retired while we looked, or is
    /// about to be read on?
    fn is_whole(self, receipt: &Receipt, file: &FileRecord) -> bool {
        match self {
            Kinship::Numbers => receipt.size >= file.position,
            Kinship::Name => (receipt.size, receipt.bytes_crc) == (file.position, file.bytes_crc),
            Kinship::None => false,
        }
    }
}

/// Does the file begin with the bytes that the receipt is for? What cannot be read does not, as far as is known.
fn is_covered(bytes: &Bytes, receipt: &Receipt) -> bool {
    let crc = bytes.open().and_then(|file| match file.metadata()?.len() >= receipt.size {
        true => prefix_crc(&file, receipt.size).map(Some),
        false => Ok(None),
    });
    matches!(crc, Ok(Some(crc)) if crc == receipt.bytes_crc)
}

/// A directory in which no agent has worked proves nothing, and is mostly another one than is meant.
fn no_state(origin: &Origin<'_>) -> String {
    let (name, dir) = (&origin.config.name, &origin.config.tracker_dir);
    if dir.join(lock::FILE_NAME).exists() {
        return format!(
            "source {name}: nothing can be verified yet, since nothing is acknowledged of what the agent \
             with {} reads: wait with status --wait 60",
            dir.display()
        );
    }
    let here = std::env::current_dir().unwrap_or_default();
    let way_out = match Path::new(&origin.config.spool_dir_text).is_relative() {
        true => format!(
            "; spoolDir is relative to {}: start verify in the directory in which the agent runs",
            here.display()
        ),
        false => "; correct spoolDir and trackerDir if one has".to_string(),
    };
    format!(
        "source {name}: nothing can be verified, since no agent has worked with {}: there is neither a \
         checkpoint nor a receipt{way_out}",
        dir.display()
    )
}

/// After a crash the same receipt may be there again, and a file that was read on has one that covers what
/// it was before as well; the later one counts, also where it has other numbers, since everything was copied or the
/// device has another number. One with another inode may be that of a copy that was read on beside the file itself:
/// whether it covers that is for `covers`. Found by a key, since there may be a hundred thousand.
fn last_of_each(
    receipts: Vec<Receipt>,
    covers: impl Fn(&Receipt, &Receipt) -> bool,
) -> Vec<Receipt> {
    let mut kept: Vec<Receipt> = Vec::new();
    let mut places: HashMap<(u64, u64), Vec<usize>> = HashMap::new();
    let mut opened: HashMap<(Vec<u8>, i64), Vec<usize>> = HashMap::new();
    for receipt in receipts.into_iter().rev() {
        let alike = places.entry((receipt.inode, receipt.size)).or_default();
        let of_one = opened.entry((receipt.name.clone(), receipt.opened_ms)).or_default();
        let goes_on = |later: &Receipt| {
            later.size >= receipt.size
                && (later.inode == receipt.inode
                    || (later.size, later.bytes_crc) == (receipt.size, receipt.bytes_crc)
                    || covers(later, &receipt))
        };
        if !alike.iter().any(|at| kept[*at].is_same_file(&receipt))
            && !of_one.iter().any(|at| goes_on(&kept[*at]))
        {
            alike.push(kept.len());
            of_one.push(kept.len());
            kept.push(receipt);
        }
    }
    kept.reverse();
    kept
}

fn finished(at: usize, origin: &Origin<'_>, receipt: Receipt) -> Result<Subject, Trouble> {
    let is_gone = receipt.completed.is_empty();
    let shown = if is_gone { &receipt.name } else { &receipt.completed };
    let path = path_of(origin, shown);
    let metadata = if is_gone { None } else { regular_file(&path)? };
    let len = metadata.as_ref().map_or(0, Metadata::len);
    // What no group takes any more was read no further.
    let is_released = origin.config.kind.tail().is_some()
        && Names::group(origin.config, OsStr::from_bytes(&receipt.name)).is_none();
    let end = if is_released { len.min(receipt.size) } else { len };
    let bytes = if metadata.is_some() { Bytes::At(path.clone()) } else { Bytes::Gone };
    Ok(Subject {
        origin: at,
        label: path.display().to_string(),
        name: OsString::from_vec(receipt.name),
        state: State::Finished,
        is_selected: false,
        bytes,
        extent: Extent { start: 0, end, is_final: true },
        claim: Claim {
            size: receipt.size,
            lines: receipt.lines,
            events: receipt.events,
            bytes_crc: receipt.bytes_crc,
        },
        java_offset: None,
        opened_ms: receipt.opened_ms,
        finished_ms: Some(receipt.finished_ms),
        ranges: receipt.ranges,
    })
}

fn live(
    at: usize,
    origin: &Origin<'_>,
    file: &FileRecord,
    record: &Record,
) -> Result<Subject, Trouble> {
    let mut label = path_of(origin, &file.name);
    let mut bytes = Bytes::Gone;
    for name in [&file.current_name, &file.name] {
        let path = path_of(origin, name);
        if regular_file(&path)?.is_none() {
            continue;
        }
        let failed = |e| Trouble::Temporary(format!("{}: {e}", path.display()));
        let found = reach::open(&path).map_err(failed)?;
        let metadata = found.metadata().map_err(failed)?;
        let is_it = Hints::of(&metadata).agree(Hints::of_record(file));
        if is_it || holds(&found, &metadata, file).map_err(failed)? {
            (label, bytes) = (path, Bytes::Open(found));
            break;
        }
    }
    Ok(Subject {
        origin: at,
        name: OsString::from_vec(file.name.clone()),
        label: label.display().to_string(),
        state: State::Live,
        is_selected: false,
        bytes,
        // Its position is where an event ended: a last line without newline before it was sent.
        extent: Extent { start: 0, end: file.position, is_final: true },
        claim: Claim {
            size: file.position,
            lines: file.lines,
            events: file.events,
            bytes_crc: file.bytes_crc,
        },
        java_offset: None,
        opened_ms: file.opened_ms,
        finished_ms: None,
        ranges: receipt_ranges(file, &record.channels),
    })
}

fn path_of(origin: &Origin<'_>, name: &[u8]) -> PathBuf {
    origin.config.spool_dir.join(OsStr::from_bytes(name))
}

/// Numbers change with a remount, a restore or a copy: are these the bytes that were read?
fn holds(found: &File, stat: &Metadata, file: &FileRecord) -> io::Result<bool> {
    let is_proof = file.position >= PROOF_BYTES && stat.len() >= file.position;
    Ok(is_proof && prefix_crc(found, file.position)? == file.bytes_crc)
}

/// `None` if there is no such file.
fn regular_file(path: &Path) -> Result<Option<Metadata>, Trouble> {
    match path.metadata() {
        Ok(metadata) => Ok(Some(metadata).filter(Metadata::is_file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Trouble::Temporary(format!("{}: {e}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_receipts_for_the_same_bytes_the_last_counts() {
        let receipt = |name: &str, size, finished_ms| Receipt {
            name: name.into(),
            inode: 7,
            size,
            finished_ms,
            ..Receipt::default()
        };
        let all = [
            receipt("a", 1, 1),
            receipt("b", 1, 2),
            receipt("a", 2, 3),
            receipt("a", 1, 4),
            receipt("c", 1, 5),
        ];
        let kept = last_of_each(all.to_vec(), |_, _| false);
        assert_eq!(kept, [all[1].clone(), all[2].clone(), all[3].clone(), all[4].clone()]);
    }

    #[test]
    fn a_file_that_has_other_numbers_since_it_was_copied_is_counted_once() {
        let receipt = |device, inode, size| Receipt {
            name: "a".into(),
            device,
            inode,
            size,
            opened_ms: 7,
            ..Receipt::default()
        };
        let other = Receipt { opened_ms: 8, ..receipt(1, 2, 3) };
        let all = [receipt(1, 1, 3), other.clone(), receipt(2, 1, 3), receipt(1, 2, 5)];
        assert_eq!(last_of_each(all.to_vec(), |_, _| true), [other.clone(), receipt(1, 2, 5)]);
        // A copy that lacks something of it, and was read on beside it, says nothing of that.
        let both = [other, receipt(2, 1, 3), receipt(1, 2, 5)];
        assert_eq!(last_of_each(all.to_vec(), |_, _| false), both);
    }

    /// `app.log` was replaced by a copy that lacks its last line. Both are read on, as one that was opened once: what
    /// the other one had is not in this one.
    #[test]
    fn a_copy_that_was_read_on_does_not_speak_for_what_it_lacks() {
        let crc = |text: &str| crc32fast::hash(text.as_bytes());
        let (inode, before, after) = (8, "one\ntwo\n", "one\nother\nthree\n");
        let receipt = Receipt {
            name: "app.log".into(),
            inode: 7,
            size: 8,
            bytes_crc: crc(before),
            opened_ms: 5,
            ..Receipt::default()
        };
        let file = |position: u64, text: &str| FileRecord {
            name: "app.log".into(),
            inode,
            position,
            bytes_crc: crc(text),
            opened_ms: 5,
            ..FileRecord::default()
        };
        let kinship = Kinship::of(&receipt, &file(16, after));
        assert_eq!(kinship, Kinship::Name);
        for (position, text) in [(16, after), (4, "one\n"), (8, "one\nothe")] {
            assert!(!kinship.is_whole(&receipt, &file(position, text)), "{position}");
        }
        assert!(kinship.is_whole(&receipt, &file(8, before)));
        for device in [0, 3] {
            let same = FileRecord { inode: 7, device, ..file(4, "one\n") };
            assert!(Kinship::of(&receipt, &same).is_whole(&receipt, &same));
        }
        let path = std::env::temp_dir().join(format!("flume-ng-forks-{}", std::process::id()));
        let is_covered_by = |text: &str| {
            std::fs::write(&path, text).unwrap();
            is_covered(&Bytes::At(path.clone()), &receipt)
        };
        assert!(!is_covered_by(after) && !is_covered_by("one\n"));
        assert!(is_covered_by(&format!("{before}three\n")));
        std::fs::remove_file(&path).unwrap();
        assert!(!is_covered(&Bytes::Gone, &receipt));
    }
}
