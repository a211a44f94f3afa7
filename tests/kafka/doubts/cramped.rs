//! A disk without room.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use flume_ng::checkpoint::ledger::{
    DeadLetter, FileLedger, FinishedFile, GiantLine, Ledger, LedgerError,
};
use flume_ng::checkpoint::receipt::Receipt;
use flume_ng::checkpoint::record::{BatchRecord, FileRecord, LettersKnown, Record};
use flume_ng::checkpoint::slots::WriteError;
use flume_ng::pipeline::Journal;

/// There is no room for the checkpoint while that file is there.
pub struct Cramped(pub Box<dyn Journal>, pub PathBuf);

impl Journal for Cramped {
    fn write(&mut self, record: &mut Record, files: &[&FileRecord]) -> Result<(), WriteError> {
        if self.1.exists() {
            let (path, error) = (self.1.clone(), ErrorKind::StorageFull.into());
            return Err(WriteError::NoRoom { path, bytes: 1, error });
        }
        self.0.write(record, files)
    }
}

/// There is room for so many letters more as that file says, if it is there.
pub struct Letters {
    ledger: FileLedger,
    room: PathBuf,
}

impl Letters {
    pub fn new(root: &Path, tracker_dir: &Path) -> Letters {
        Letters { ledger: FileLedger::new(tracker_dir), room: root.join("room-for-letters") }
    }
}

impl Ledger for Letters {
    fn receipt(&mut self, receipt: &FinishedFile<'_>) -> Result<(), LedgerError> {
        self.ledger.receipt(receipt)
    }

    fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<(), LedgerError> {
        if let Ok(room) = fs::read_to_string(&self.room) {
            let room: u32 = room.parse().unwrap();
            let Some(left) = room.checked_sub(1) else {
                return Err(LedgerError::Later("No space left on device".to_string()));
            };
            fs::write(&self.room, left.to_string()).unwrap();
        }
        self.ledger.dead_letter(letter)
    }

    fn letters_known(&self) -> LettersKnown {
        self.ledger.letters_known()
    }

    fn inherit_letters(&mut self, known: LettersKnown) {
        self.ledger.inherit_letters(known);
    }

    fn forget_recalled(&mut self) {
        self.ledger.forget_recalled();
    }

    fn letters_in(
        &mut self,
        topic: &str,
        file: &str,
        batch: &BatchRecord,
    ) -> io::Result<Vec<(u64, u64)>> {
        self.ledger.letters_in(topic, file, batch)
    }

    fn is_letter(&self, topic: &str, range: (u64, u64), body: &[u8]) -> io::Result<bool> {
        self.ledger.is_letter(topic, range, body)
    }

    fn renew(&mut self, receipts: &[Receipt]) -> Result<(), LedgerError> {
        self.ledger.renew(receipts)
    }

    fn receipts(&mut self, finished: &[FinishedFile<'_>]) -> Result<(), LedgerError> {
        self.ledger.receipts(finished)
    }

    fn giant_line(&mut self, line: &GiantLine<'_>) -> Result<u32, LedgerError> {
        self.ledger.giant_line(line)
    }
}
