//! The two append-only files of a tracker directory: receipts of finished files, and the events
//! that the brokers never take.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::checkpoint::receipt::{Receipt, ReceiptRange, Receipts};
use crate::os;
use crate::pipeline::{DeadLetter, FinishedFile, Ledger};

/// Name of the file of refused events in the tracker directory.
pub const DEAD_LETTER_FILE: &str = "dead-letter";

/// See the module.
pub struct FileLedger {
    receipts: Receipts,
    dead_letters: PathBuf,
    dir: PathBuf,
}

impl FileLedger {
    pub fn new(tracker_dir: &Path) -> FileLedger {
        FileLedger {
            receipts: Receipts::new(tracker_dir),
            dead_letters: tracker_dir.join(DEAD_LETTER_FILE),
            dir: tracker_dir.to_owned(),
        }
    }

    fn append_letter(&self, letter: &DeadLetter<'_>) -> io::Result<()> {
        let is_new = !self.dead_letters.exists();
        let mut file: File =
            OpenOptions::new().append(true).create(true).mode(0o600).open(&self.dead_letters)?;
        let head = format!(
            "time={} topic={} partition={} file={} start={} end={} bytes={} reason={}\n",
            letter.now_ms,
            letter.topic,
            letter.batch.partition,
            escape(letter.file),
            letter.batch.start,
            letter.batch.end,
            letter.value.len(),
            escape(letter.reason.as_bytes()),
        );
        let mut entry = head.into_bytes();
        entry.extend_from_slice(letter.value);
        entry.push(b'\n');
        file.write_all(&entry)?;
        file.sync_data()?;
        if is_new { os::sync_directory(&self.dir) } else { Ok(()) }
    }
}

impl Ledger for FileLedger {
    fn receipt(&mut self, finished: &FinishedFile<'_>) -> Result<(), String> {
        let record = finished.record;
        let ranges = record.ranges.iter().filter_map(|range| {
            let channel = finished.channels.get(usize::from(range.channel))?;
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
        let receipt = Receipt {
            name: record.name.clone(),
            completed: record.current_name.clone(),
            device: record.device,
            inode: record.inode,
            size: record.position,
            lines: record.lines,
            events: record.events,
            bytes_crc: record.bytes_crc,
            opened_ms: record.opened_ms,
            finished_ms: finished.done_ms,
            ranges: ranges.collect(),
        };
        self.receipts.append(&receipt).map_err(|e| e.to_string())
    }

    fn dead_letter(&mut self, letter: &DeadLetter<'_>) -> Result<(), String> {
        self.append_letter(letter).map_err(|e| {
            format!(
                "{}: a refused event can not be kept: {e}; give the disk room and start again",
                self.dead_letters.display()
            )
        })
    }
}

/// Blanks, control characters, `%` and what is not ASCII as `%XX`, so that an entry's head is one
/// line of words.
fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'%' | 0..=b' ' | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}
