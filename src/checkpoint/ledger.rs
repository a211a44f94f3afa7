//! The two append-only files of a tracker directory: receipts of finished files, and the events
//! that the brokers never take.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::checkpoint::dead_letter::{self, Head, Letter};
use crate::checkpoint::giant_letter::{self, PIECE_BYTES};
use crate::checkpoint::inherited_letters;
use crate::checkpoint::receipt::{Receipt, ReceiptError, ReceiptRange, Receipts};
use crate::checkpoint::record::{BatchRecord, ChannelRecord, FileRecord, LettersKnown};
use crate::checkpoint::room::way_out;
use crate::os;

/// Receipts and dead letters: append-only, fsynced.
pub trait Ledger {
    /// A file is done.
    fn receipt(&mut self, receipt: &FinishedFile<'_>) -> Result<(), LedgerError>;
    /// An event that the broker never takes.
    fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<(), LedgerError>;

    /// Is a letter news? Not where each is one already, and stays one.
    fn tells_letters(&self) -> bool {
        true
    }

    /// Which letters the record that is written now knows of. Nothing else tells that others were written.
    fn letters_known(&self) -> LettersKnown {
        LettersKnown::Unsaid
    }

    /// What the record that a run begins with says of that. Letters that are recalled may come up again until
    /// [`Ledger::forget_recalled`].
    fn inherit_letters(&mut self, _known: LettersKnown) {}

    /// What comes up from now on has no letter yet, unless it was written since.
    fn forget_recalled(&mut self) {}

    /// Where events may stand that are among the letters, and no record says so: those of a topic in the
    /// range of this batch, of the file that has this name.
    ///
    /// # Errors
    /// They cannot be read now.
    fn letters_in(
        &mut self,
        _topic: &str,
        _file: &str,
        _batch: &BatchRecord,
    ) -> io::Result<Vec<(u64, u64)>> {
        Ok(Vec::new())
    }

    /// Is the event of this topic that stands there, with that body, such a letter?
    ///
    /// # Errors
    /// It cannot be read now.
    fn is_letter(&self, _topic: &str, _range: (u64, u64), _body: &[u8]) -> io::Result<bool> {
        Ok(false)
    }

    /// The record of a batch whose bytes are in no file of the source, but kept elsewhere; `None` within
    /// where they are gone from there.
    fn kept(&mut self, _batch: &BatchRecord) -> Option<io::Result<Option<Kept>>> {
        None
    }

    /// A batch that was in doubt is not in the topic, and its bytes are gone. Is it spoken of elsewhere
    /// than in the log?
    fn tell_lost(&mut self, _batch: &BatchRecord) -> bool {
        false
    }

    /// Several files are done.
    fn receipts(&mut self, finished: &[FinishedFile<'_>]) -> Result<(), LedgerError> {
        finished.iter().try_for_each(|f| self.receipt(f))
    }

    /// Receipts that were written before, with the numbers that their files have by now.
    fn renew(&mut self, receipts: &[Receipt]) -> Result<(), LedgerError>;

    /// A line that is too long to be an event: the bytes of the file as they are. Returns the
    /// CRC-32 of the bytes, whose memory stays bounded.
    fn giant_line(&mut self, line: &GiantLine<'_>) -> Result<u32, LedgerError> {
        Err(LedgerError::Final(format!("no place for a line of {} bytes", line.end - line.start)))
    }
}

/// What is left of a record that no broker took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub key: Option<Vec<u8>>,
    /// Of the record, from Kafka 0.11 on.
    pub headers: Vec<(String, String)>,
    pub value: Vec<u8>,
}

/// Why something was not kept.
#[derive(Debug)]
pub enum LedgerError {
    /// Nothing durable was written; it is tried again later.
    Later(String),
    /// It is not known what stands on the disk.
    Final(String),
}

impl From<ReceiptError> for LedgerError {
    fn from(error: ReceiptError) -> LedgerError {
        match error.is_final() {
            true => LedgerError::Final(error.to_string()),
            false => LedgerError::Later(error.to_string()),
        }
    }
}

/// A line longer than an event may be in memory.
pub struct GiantLine<'a> {
    pub topic: &'a str,
    pub name: &'a [u8],
    pub file: &'a std::fs::File,
    /// Byte range of the file, the newline with it.
    pub start: u64,
    pub end: u64,
    pub reason: &'a str,
    pub now_ms: i64,
}

/// A file of which everything is in the topic.
pub struct FinishedFile<'a> {
    pub record: &'a FileRecord,
    pub channels: &'a [ChannelRecord],
    pub done_ms: i64,
    /// As in [`Record`](super::record::Record::names_from).
    pub names_from: &'a [u8],
}

/// An event that goes to the `dead-letter` file instead of the topic.
pub struct DeadLetter<'a> {
    pub topic: &'a str,
    pub file: &'a [u8],
    pub batch: &'a BatchRecord,
    /// The record that was refused.
    pub key: Option<&'a [u8]>,
    pub headers: &'a [(String, String)],
    pub value: &'a [u8],
    /// What the value has of the line: the value may begin with headers, which change with the file's name.
    pub body: &'a [u8],
    pub reason: &'a str,
    pub now_ms: i64,
}

/// Name of the file of refused events in the tracker directory.
pub const DEAD_LETTER_FILE: &str = "dead-letter";

/// The two files on the disk.
pub struct FileLedger {
    receipts: Receipts,
    dead_letters: PathBuf,
    dir: PathBuf,
    /// Where the last whole entry in the file of letters ends.
    end: u64,
    /// Half an entry stands behind the whole ones, until it is cut off.
    torn: Option<Torn>,
    /// Letters that no checkpoint knows of, until they are asked for again: an earlier run may have died
    /// between a letter and the checkpoint that says so, and several may have, one after the other.
    unclaimed: Vec<Entry>,
    /// What earlier runs have left could not be read yet: no letter is written before.
    unread: Option<LettersKnown>,
    pub(super) names_from: Vec<u8>,
}

/// Where half an entry begins.
struct Torn {
    at: u64,
    /// Identity of the file of letters, which may be moved away before this is cut off.
    file: (u64, u64),
}

/// Where a letter stands in its file.
struct Entry {
    topic: String,
    file: String,
    /// Of the event in its file.
    start: u64,
    end: u64,
    head_at: u64,
    at: u64,
    bytes: u64,
    /// It may come up again only until what the files held has.
    is_recalled: bool,
}

impl FileLedger {
    pub fn new(tracker_dir: &Path) -> FileLedger {
        let dead_letters = tracker_dir.join(DEAD_LETTER_FILE);
        FileLedger {
            receipts: Receipts::new(tracker_dir),
            end: std::fs::metadata(&dead_letters).map_or(0, |stat| stat.len()),
            torn: None,
            unclaimed: Vec::new(),
            unread: None,
            names_from: Vec::new(),
            dead_letters,
            dir: tracker_dir.to_owned(),
        }
    }

    /// Appends the entry that `write` writes. What a failed write has left of it is cut off again:
    /// nothing durable is there then.
    fn append_letter(
        &mut self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), LedgerError> {
        // Before anything is written: what fails behind that is the disk.
        let dir = match self.dead_letters.exists() {
            true => None,
            false => Some(File::open(&self.dir).map_err(|e| self.not_kept(&e))?),
        };
        let mut file = self.letters_to_write(true).map_err(|e| self.not_kept(&e))?;
        self.cut_torn(&file).map_err(|e| self.not_kept(&e))?;
        let stat = file.metadata().map_err(|e| self.not_kept(&e))?;
        if let Err(e) = write(&mut file) {
            // Should this fail too, it comes before the next entry.
            self.torn = Some(Torn { at: stat.len(), file: os::identity(&stat) });
            let _ = self.cut_torn(&file);
            return Err(self.not_kept(&e));
        }
        self.end = file.metadata().map_or(stat.len(), |stat| stat.len());
        let synced = file.sync_data().and_then(|()| dir.map_or(Ok(()), |dir| dir.sync_all()));
        synced.map_err(|e| LedgerError::Final(self.dead_letter_error(&e)))
    }

    fn letters_to_write(&self, creates: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(creates).mode(0o600);
        os::open_own(&self.dead_letters, &mut options)
    }

    /// Cuts off half an entry, if it is (still) there.
    fn cut_torn(&mut self, file: &File) -> io::Result<()> {
        let Some(torn) = &self.torn else { return Ok(()) };
        let stat = file.metadata()?;
        if os::identity(&stat) == torn.file && stat.len() > torn.at {
            file.set_len(torn.at)?;
            file.sync_data()?;
        }
        self.torn = None;
        Ok(())
    }

    /// Reads what earlier runs have left, unless that was done.
    fn read_inherited(&mut self) -> io::Result<()> {
        let Some(known) = self.unread else { return Ok(()) };
        let found = inherited_letters::find(&self.dead_letters, known)?;
        self.unread = None;
        let entry = |letter| {
            let Letter { topic, file, start, end, head_at, at, bytes, .. } = letter;
            let is_recalled = matches!(known, LettersKnown::Recalled(bytes) if head_at < bytes);
            Entry { topic, file, start, end, head_at, at, bytes, is_recalled }
        };
        self.unclaimed = found.unknown.into_iter().map(entry).collect();
        self.end = found.end;
        found.halves.iter().for_each(|half| half.tell(&self.dead_letters));
        if found.is_torn {
            // What fails here is tried again before the next letter.
            let _ = self.inherit_torn(found.end);
        }
        Ok(())
    }

    /// Half an entry that an earlier run has left begins there.
    fn inherit_torn(&mut self, at: u64) -> io::Result<()> {
        let stat = std::fs::metadata(&self.dead_letters)?;
        self.torn = Some(Torn { at, file: os::identity(&stat) });
        let file = self.letters_to_write(false)?;
        self.cut_torn(&file)
    }

    /// Is this a letter that no checkpoint knows of? `same` compares a piece of it with that at
    /// a place in the body. It was durable only if the sync came before, so it is synced (again).
    fn is_inherited(
        &mut self,
        head: &Head<'_>,
        body_bytes: u64,
        same: impl Fn(u64, &[u8]) -> io::Result<bool>,
    ) -> bool {
        let is_it = |entry: &Entry| -> io::Result<bool> {
            let head_bytes = entry.at - entry.head_at;
            if entry.bytes != body_bytes || head_bytes > dead_letter::HEAD_BYTES_MAX {
                return Ok(false);
            }
            let file = os::read_own(&self.dead_letters)?;
            let mut piece = vec![0; head_bytes as usize];
            file.read_exact_at(&mut piece, entry.head_at)?;
            if !head.is_in(&piece) {
                return Ok(false);
            }
            piece.resize(PIECE_BYTES, 0);
            let mut at = 0;
            while at < body_bytes {
                let len = PIECE_BYTES.min(usize::try_from(body_bytes - at).unwrap_or(PIECE_BYTES));
                file.read_exact_at(&mut piece[..len], entry.at + at)?;
                if !same(at, &piece[..len])? {
                    return Ok(false);
                }
                at += len as u64;
            }
            self.sync_letters(&file)?;
            Ok(true)
        };
        let found = self.unclaimed.iter().position(|entry| is_it(entry).unwrap_or(false));
        found.map(|at| self.unclaimed.remove(at)).is_some()
    }

    /// What a run before has written of a letter was durable only if it lived to sync it.
    fn sync_letters(&self, file: &File) -> io::Result<()> {
        file.sync_data()?;
        os::sync_directory(&self.dir)
    }

    /// The place of the letter that is of the event there, whatever headers that had when it was refused.
    fn unclaimed_at(
        &self,
        topic: &str,
        range: (u64, u64),
        body: &[u8],
    ) -> io::Result<Option<usize>> {
        let body_bytes = body.len() as u64;
        for (n, entry) in self.unclaimed.iter().enumerate() {
            let is_there = entry.topic == topic && (entry.start, entry.end) == range;
            if !is_there || entry.bytes < body_bytes {
                continue;
            }
            let mut end = vec![0; body.len()];
            let file = os::read_own(&self.dead_letters)?;
            file.read_exact_at(&mut end, entry.at + entry.bytes - body_bytes)?;
            if end == body {
                self.sync_letters(&file)?;
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    fn not_kept(&self, e: &io::Error) -> LedgerError {
        LedgerError::Later(self.dead_letter_error(e))
    }

    fn dead_letter_error(&self, e: &io::Error) -> String {
        let (path, way_out) = (self.dead_letters.display(), way_out(e));
        format!("{path}: a refused event cannot be kept: {e}{way_out}")
    }
}

impl Ledger for FileLedger {
    fn letters_known(&self) -> LettersKnown {
        if let Some(known) = self.unread {
            return known;
        }
        let first = self.unclaimed.iter().find(|entry| !entry.is_recalled);
        let bytes = first.map_or(self.end, |entry| entry.head_at);
        match self.unclaimed.iter().any(|entry| entry.is_recalled) {
            true => LettersKnown::Recalled(bytes),
            false => LettersKnown::Bytes(bytes),
        }
    }

    fn inherit_letters(&mut self, known: LettersKnown) {
        self.unread = Some(known);
        // What fails here is tried again before letters are asked for, or written.
        let _ = self.read_inherited();
    }

    fn forget_recalled(&mut self) {
        self.unclaimed.retain(|entry| !entry.is_recalled);
        if let Some(LettersKnown::Recalled(bytes)) = self.unread {
            self.unread = Some(LettersKnown::Bytes(bytes));
        }
    }

    fn letters_in(
        &mut self,
        topic: &str,
        file: &str,
        batch: &BatchRecord,
    ) -> io::Result<Vec<(u64, u64)>> {
        self.read_inherited()?;
        // One by itself may have got another name since. What is beside others is sought under its own.
        let may_be = |entry: &&Entry| {
            let is_all = (entry.start, entry.end) == (batch.start, batch.end);
            let is_in = batch.start <= entry.start && entry.end <= batch.end;
            entry.topic == topic && (is_all && batch.count == 1 || is_in && entry.file == file)
        };
        let found = self.unclaimed.iter().filter(may_be);
        Ok(found.map(|entry| (entry.start, entry.end)).collect())
    }

    fn is_letter(&self, topic: &str, range: (u64, u64), body: &[u8]) -> io::Result<bool> {
        Ok(self.unclaimed_at(topic, range, body)?.is_some())
    }

    fn receipt(&mut self, finished: &FinishedFile<'_>) -> Result<(), LedgerError> {
        Ok(self.receipts.append(&receipt_of(finished))?)
    }

    fn receipts(&mut self, finished: &[FinishedFile<'_>]) -> Result<(), LedgerError> {
        let receipts: Vec<Receipt> = finished.iter().map(receipt_of).collect();
        self.renew(&receipts)
    }

    fn renew(&mut self, receipts: &[Receipt]) -> Result<(), LedgerError> {
        Ok(self.receipts.append_all(receipts)?)
    }

    fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<(), LedgerError> {
        self.read_inherited().map_err(|e| self.not_kept(&e))?;
        let names_from = self.names_from.clone();
        let head = Head {
            topic: letter.topic,
            partition: letter.batch.partition,
            file: letter.file,
            names_from: &names_from,
            start: letter.batch.start,
            end: letter.batch.end,
            bytes: letter.value.len() as u64,
            reason: letter.reason,
            key: letter.key,
            headers: letter.headers,
        };
        let value = letter.value;
        let same = |at: u64, piece: &[u8]| Ok(value[at as usize..].starts_with(piece));
        if self.is_inherited(&head, value.len() as u64, same) {
            return Ok(());
        }
        let range = (head.start, head.end);
        let again = self.unclaimed_at(letter.topic, range, letter.body);
        if let Some(at) = again.map_err(|e| self.not_kept(&e))? {
            self.unclaimed.remove(at);
            return Ok(());
        }
        // In one go: a kill has little chance to come in between.
        let entry = [head.written(letter.now_ms).as_bytes(), letter.value, b"\n"].concat();
        self.append_letter(|file| file.write_all(&entry))
    }

    fn giant_line(&mut self, line: &GiantLine<'_>) -> Result<u32, LedgerError> {
        let is_stopping = || os::stop_requested().is_some();
        self.read_inherited().map_err(|e| self.not_kept(&e))?;
        let names_from = self.names_from.clone();
        let head = Head {
            topic: line.topic,
            partition: -1,
            file: line.name,
            names_from: &names_from,
            start: line.start,
            end: line.end,
            bytes: line.end - line.start,
            reason: line.reason,
            key: None,
            headers: &[],
        };
        let crc = std::cell::RefCell::new(crc32fast::Hasher::new());
        let same = |at: u64, piece: &[u8]| {
            giant_letter::unless_stopping(is_stopping)?;
            let mut own = vec![0; piece.len()];
            line.file.read_exact_at(&mut own, line.start + at)?;
            crc.borrow_mut().update(&own);
            Ok(own == piece)
        };
        if self.is_inherited(&head, line.end - line.start, same) {
            return Ok(crc.into_inner().finalize());
        }
        let mut crc = 0;
        self.append_letter(|out| {
            out.write_all(head.written(line.now_ms).as_bytes())?;
            crc = giant_letter::copy(line, out, is_stopping)?;
            out.write_all(b"\n")
        })?;
        Ok(crc)
    }
}

/// A file's ranges as a receipt has them: with names in place of the channels' numbers.
pub fn receipt_ranges(record: &FileRecord, channels: &[ChannelRecord]) -> Vec<ReceiptRange> {
    let named = record.ranges.iter().filter_map(|range| {
        let channel = channels.get(usize::from(range.channel))?;
        Some(ReceiptRange {
            channel: channel.name.clone(),
            topic: channel.topic.clone(),
            partition: range.partition,
            producer_id: range.producer_id,
            first: range.first,
            last: range.last,
            events: range.events,
        })
    });
    named.collect()
}

fn receipt_of(finished: &FinishedFile<'_>) -> Receipt {
    let record = finished.record;
    Receipt {
        name: record.name.clone(),
        completed: record.current_name.clone(),
        device: record.device,
        inode: record.inode,
        born_ns: record.born_ns,
        head_len: record.head_len,
        head_crc: record.head_crc,
        tail_crc: record.tail_crc,
        size: record.position,
        lines: record.lines,
        events: record.events,
        bytes_crc: record.bytes_crc,
        opened_ms: record.opened_ms,
        finished_ms: finished.done_ms,
        ranges: receipt_ranges(record, finished.channels),
        names_from: finished.names_from.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::scratch::Scratch;

    #[test]
    fn a_giant_line_that_is_cut_off_meanwhile_leaves_no_letter() {
        let dir = std::env::temp_dir().join(format!("flume-ng-giant-cut-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("log");
        std::fs::write(&path, [b'x'; 1_000]).unwrap();
        let file = File::open(&path).unwrap();
        let mut line = GiantLine {
            topic: "t",
            name: b"log",
            file: &file,
            start: 0,
            end: 1_001,
            reason: "long",
            now_ms: 1,
        };
        let mut ledger = FileLedger::new(&dir);
        let Err(LedgerError::Later(why)) = ledger.giant_line(&line) else { panic!() };
        assert!(why.contains("log cannot be read: ") && !why.contains("room"), "{why}");
        let letters = dir.join(DEAD_LETTER_FILE);
        assert_eq!(std::fs::read(&letters).unwrap(), b"");
        line.end = 1_000;
        assert_eq!(ledger.giant_line(&line).unwrap(), crc32fast::hash(&[b'x'; 1_000]));
        assert!(std::fs::read(&letters).unwrap().ends_with(b"x\n"));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn half_an_entry_that_could_not_be_cut_off_is_before_the_next_letter() {
        let scratch = Scratch::new("half-an-entry");
        let path = scratch.dir.join(DEAD_LETTER_FILE);
        let mut ledger = FileLedger::new(&scratch.dir);
        let batch = BatchRecord { start: 10, end: 19, ..BatchRecord::default() };
        let letter = DeadLetter {
            topic: "t",
            file: b"log",
            batch: &batch,
            key: None,
            headers: &[],
            value: b"value",
            body: b"value",
            reason: "too large",
            now_ms: 1,
        };
        ledger.dead_letter(&letter).unwrap();
        let entry = std::fs::read(&path).unwrap();
        let torn = |path: &Path| {
            std::fs::write(path, [&entry[..], &entry[..20]].concat()).unwrap();
            let stat = std::fs::metadata(path).unwrap();
            Some(Torn { at: entry.len() as u64, file: os::identity(&stat) })
        };
        ledger.torn = torn(&path);
        ledger.dead_letter(&letter).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), entry.repeat(2));
        // Somebody has moved it away since: the one that is there now is left as it is.
        ledger.torn = torn(&path);
        std::fs::rename(&path, scratch.dir.join("aside")).unwrap();
        std::fs::write(&path, entry.repeat(3)).unwrap();
        ledger.dead_letter(&letter).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), entry.repeat(4));
    }

    /// What was read of its file is found in a copy after the crash, which has a name of its own.
    #[test]
    fn a_letter_is_known_again_under_another_name_of_its_file() {
        let dir = std::env::temp_dir().join(format!("flume-ng-renamed-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let batch = BatchRecord { start: 10, end: 19, ..BatchRecord::default() };
        let headers = [("origin".to_string(), "a, b".to_string())];
        let letter = |file: &'static str, value: &'static str| DeadLetter {
            topic: "t",
            file: file.as_bytes(),
            batch: &batch,
            key: Some(b"k 1"),
            headers: &headers,
            value: value.as_bytes(),
            body: value.as_bytes(),
            reason: "too large",
            now_ms: 1,
        };
        FileLedger::new(&dir).dead_letter(&letter("log", "value")).unwrap();
        let count = |file, value| {
            let mut ledger = FileLedger::new(&dir);
            ledger.inherit_letters(LettersKnown::Bytes(0));
            ledger.dead_letter(&letter(file, value)).unwrap();
            let text = std::fs::read(dir.join(DEAD_LETTER_FILE)).unwrap();
            text.windows(5).filter(|w| *w == b"time=").count()
        };
        assert_eq!(count("log.1", "value"), 1);
        assert_eq!(count("log 2", "valve"), 2);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// The run before died between its last letter and the checkpoint that says so; this one comes
    /// upon another refused event first.
    #[test]
    fn the_last_letter_of_a_run_that_died_is_known_again_whatever_comes_first() {
        let dir = std::env::temp_dir().join(format!("flume-ng-letters-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let keep = |ledger: &mut FileLedger, start: u64, value: &[u8]| {
            let batch = BatchRecord { start, end: start + 9, ..BatchRecord::default() };
            let letter = DeadLetter {
                topic: "t",
                file: b"log",
                batch: &batch,
                key: None,
                headers: &[],
                value,
                body: value,
                reason: "large",
                now_ms: start as i64,
            };
            ledger.dead_letter(&letter).unwrap();
        };
        let log = dir.join("log");
        std::fs::write(&log, [b'y'; 300_000]).unwrap();
        let file = File::open(&log).unwrap();
        let giant = GiantLine {
            topic: "t",
            name: b"log",
            file: &file,
            start: 7,
            end: 300_000,
            reason: "long",
            now_ms: 1,
        };
        let letters = || {
            let text = std::fs::read(dir.join(DEAD_LETTER_FILE)).unwrap();
            text.windows(5).filter(|w| *w == b"time=").count()
        };
        let begin = |known: Option<u64>| {
            let mut ledger = FileLedger::new(&dir);
            ledger.inherit_letters(known.map_or(LettersKnown::Unsaid, LettersKnown::Bytes));
            ledger
        };
        keep(&mut begin(None), 10, b"first");
        let mut second = begin(None);
        keep(&mut second, 20, b"another");
        keep(&mut second, 10, b"first");
        assert_eq!(letters(), 2);
        let crc = second.giant_line(&giant).unwrap();
        assert_eq!(letters(), 3);
        let mut third = begin(None);
        keep(&mut third, 30, b"one more");
        assert_eq!(third.giant_line(&giant).unwrap(), crc);
        assert_eq!(letters(), 4);
        // Only the very letter, and once.
        third.giant_line(&giant).unwrap();
        keep(&mut begin(None), 30, b"one mole");
        assert_eq!(letters(), 6);
        // Two runs, one after the other, died like that.
        let known = begin(None).end;
        keep(&mut begin(Some(known)), 40, b"fourth");
        let mut fifth = begin(Some(known));
        keep(&mut fifth, 50, b"fifth");
        assert_eq!((fifth.letters_known(), letters()), (LettersKnown::Bytes(known), 8));
        let mut sixth = begin(Some(known));
        keep(&mut sixth, 50, b"fifth");
        keep(&mut sixth, 40, b"fourth");
        assert_eq!((sixth.letters_known(), letters()), (LettersKnown::Bytes(sixth.end), 8));
        // What a checkpoint knows is another one when it comes again.
        keep(&mut begin(Some(sixth.end)), 40, b"fourth");
        assert_eq!(letters(), 9);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
