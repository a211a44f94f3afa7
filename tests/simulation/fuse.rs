//! What kills the agent at a chosen call of a seam, and the seams that count.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use flume_ng::checkpoint::ledger::{
    DeadLetter, FileLedger, FinishedFile, GiantLine, Ledger, LedgerError,
};
use flume_ng::checkpoint::receipt::Receipt;
use flume_ng::checkpoint::record::{BatchRecord, FileRecord, LettersKnown, Record};
use flume_ng::checkpoint::slots::{Slots, Store, WriteError};
use flume_ng::clock::{Clock, LocalTime, ManualClock};
use flume_ng::pipeline::Journal;

use crate::Plant;
use crate::crash_store::CrashStore;

/// What unwinds from a seam, as `kill -9` would end the process there.
pub struct Killed;

/// Burns with each call of a seam: how many are left. Clones share it.
#[derive(Clone, Default)]
pub struct Fuse(Rc<Cell<Option<u64>>>);

impl Fuse {
    /// The process dies at the `calls`-th call from now on.
    pub fn light(&self, calls: u64) {
        self.0.set(Some(calls));
    }

    pub fn put_out(&self) {
        self.0.set(None);
    }

    pub fn tick(&self) {
        match self.0.get() {
            Some(0 | 1) => {
                self.0.set(None);
                // Unlike `panic_any` this does not call the panic hook.
                std::panic::resume_unwind(Box::new(Killed));
            }
            Some(left) => self.0.set(Some(left - 1)),
            None => {}
        }
    }
}

/// What happened, in order; kept only where a run is told.
#[derive(Clone, Default)]
pub struct Trace(Option<Rc<RefCell<VecDeque<String>>>>);

impl Trace {
    const LINES_MAX: usize = 20_000;

    pub fn telling() -> Trace {
        Trace(Some(Rc::default()))
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            let mut lines = lines.borrow_mut();
            if lines.len() == Trace::LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(what());
        }
    }

    /// The last `count` lines.
    pub fn last(&self, count: usize) -> Vec<String> {
        let Some(lines) = &self.0 else { return Vec::new() };
        let lines = lines.borrow();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// The agent's clock: asking it may be the last thing that the process does.
pub struct FusedClock {
    pub clock: ManualClock,
    pub fuse: Fuse,
    /// How long it takes the agent to get from one look at the clock to the next, ms.
    pub labour_ms: Rc<Cell<u64>>,
}

impl Clock for FusedClock {
    fn now_ms(&self) -> i64 {
        self.fuse.tick();
        self.clock.now_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        self.fuse.tick();
        if self.labour_ms.get() > 0 {
            self.clock.advance(self.labour_ms.get());
        }
        self.clock.monotonic_ms()
    }

    fn local(&self, epoch_ms: i64) -> LocalTime {
        self.clock.local(epoch_ms)
    }
}

/// The disk under the checkpoint, which may be left in the middle of anything.
pub struct FusedStore {
    pub store: CrashStore,
    pub fuse: Fuse,
    pub plant: Plant,
}

impl Store for FusedStore {
    fn path(&self) -> &Path {
        self.store.path()
    }

    fn file_bytes(&self) -> io::Result<Option<u64>> {
        self.store.file_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.store.read_at(offset, buffer)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.fuse.tick();
        self.store.write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fuse.tick();
        if self.plant == Plant::DiskLies {
            return Ok(());
        }
        self.store.sync()
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        self.store.identity()
    }

    fn successor(&self, len: u64) -> io::Result<FusedStore> {
        self.fuse.tick();
        let store = self.store.successor(len)?;
        Ok(FusedStore { store, fuse: self.fuse.clone(), plant: self.plant })
    }

    fn publish(&mut self) -> io::Result<()> {
        self.fuse.tick();
        self.store.publish()?;
        self.fuse.tick();
        Ok(())
    }
}

/// Of the disk, for a larger checkpoint: how many writes find none. Clones share it.
#[derive(Clone, Default)]
pub struct NoRoom(Rc<Cell<u64>>);

impl NoRoom {
    pub fn for_writes(&self, writes: u64) {
        self.0.set(writes);
    }

    fn is_so(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// The journal, with the planted fault of one that counts batches as sent when they are announced.
pub struct FusedJournal {
    pub slots: Slots<FusedStore>,
    pub fuse: Fuse,
    pub plant: Plant,
    pub no_room: NoRoom,
}

impl Journal for FusedJournal {
    fn write(&mut self, record: &mut Record, files: &[&FileRecord]) -> Result<(), WriteError> {
        self.fuse.tick();
        if self.no_room.is_so() {
            let error = io::Error::from(io::ErrorKind::StorageFull);
            return Err(WriteError::NoRoom { path: "checkpoint".into(), bytes: 1 << 20, error });
        }
        let result = if self.plant == Plant::CommitBeforeAck {
            let mut files: Vec<FileRecord> = files.iter().map(|&file| file.clone()).collect();
            commit_before_ack(record, &mut files);
            self.slots.write_with(record, &Vec::from_iter(&files))
        } else {
            self.slots.write_with(record, files)
        };
        self.fuse.tick();
        result
    }
}

fn commit_before_ack(record: &mut Record, files: &mut [FileRecord]) {
    for file in files {
        let of_file = record.batches.iter().filter(|b| b.file == file.id);
        if let Some(last) = of_file.max_by_key(|b| b.end) {
            file.position = last.end;
            file.tail_crc = last.tail_crc;
        }
    }
    record.batches.clear();
}

/// Receipts and dead letters; they outlive the process.
#[derive(Default)]
pub struct Book {
    pub receipts: Vec<FileRecord>,
    /// Topic, value and reason.
    pub letters: Vec<(String, Vec<u8>, String)>,
}

pub struct FusedLedger {
    pub book: Rc<RefCell<Book>>,
    pub fuse: Fuse,
    pub real: FileLedger,
}

impl Ledger for FusedLedger {
    fn receipt(&mut self, receipt: &FinishedFile<'_>) -> Result<(), LedgerError> {
        self.fuse.tick();
        self.book.borrow_mut().receipts.push(receipt.record.clone());
        // By the receipts on the disk a file is known again that comes back when it is done.
        self.real.receipt(receipt)?;
        self.fuse.tick();
        Ok(())
    }

    fn renew(&mut self, receipts: &[Receipt]) -> Result<(), LedgerError> {
        self.fuse.tick();
        self.real.renew(receipts)?;
        self.fuse.tick();
        Ok(())
    }

    fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<(), LedgerError> {
        self.fuse.tick();
        let entry = (letter.topic.to_owned(), letter.value.to_vec(), letter.reason.to_owned());
        self.book.borrow_mut().letters.push(entry);
        self.real.dead_letter(letter)?;
        self.fuse.tick();
        Ok(())
    }

    fn giant_line(&mut self, line: &GiantLine<'_>) -> Result<u32, LedgerError> {
        self.fuse.tick();
        let mut value = vec![0; (line.end - line.start) as usize];
        line.file.read_exact_at(&mut value, line.start).expect("a line of our own");
        self.book.borrow_mut().letters.push((line.topic.to_owned(), value, line.reason.to_owned()));
        let crc = self.real.giant_line(line)?;
        self.fuse.tick();
        Ok(crc)
    }

    fn letters_known(&self) -> LettersKnown {
        self.real.letters_known()
    }

    fn inherit_letters(&mut self, known: LettersKnown) {
        self.real.inherit_letters(known);
    }

    fn forget_recalled(&mut self) {
        self.real.forget_recalled();
    }

    fn letters_in(
        &mut self,
        topic: &str,
        file: &str,
        batch: &BatchRecord,
    ) -> io::Result<Vec<(u64, u64)>> {
        self.real.letters_in(topic, file, batch)
    }

    fn is_letter(&self, topic: &str, range: (u64, u64), body: &[u8]) -> io::Result<bool> {
        self.real.is_letter(topic, range, body)
    }
}
