//! Finished files that keep their names, in a state that was copied. The numbers in their receipts say nothing there, so
//! that nothing but its name tells what each of them is. As soon as it is seen under that it gets another receipt, which
//! tells it under any name.
//!
//! While channels are open that happens when its turn comes to be read. While no broker answers no file has a turn, and
//! one that is renamed meanwhile would be a new one: so those that are listed are asked here.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::hints::Hints;
use super::known::{Same, tells_by_numbers};
use super::quest::{Quest, Then, Whose};
use super::{Files, tracked};
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::FileRecord;

/// So many are opened in a turn at most.
const STEP: usize = 64;
/// And so many are compared at a time: each has a descriptor.
const COMPARED_MAX: usize = 16;
/// All were asked: what came since, or could not be, is asked after this time, ms.
const AGAIN_MS: u64 = 1_000;

/// Which files were asked, and what came of it.
#[derive(Default)]
pub(super) struct Renewed {
    /// Device and inode.
    asked: HashSet<(u64, u64)>,
    /// Place of the candidate that is asked next.
    next: usize,
    /// Monotonic time before which no pass over the candidates begins.
    again_ms: u64,
    /// With the numbers of their files, to be written.
    receipts: Vec<Receipt>,
}

impl Files {
    /// Asks some of the candidates whether a receipt with void numbers is theirs. `true`: there are more.
    pub fn renew_receipts(&mut self) -> bool {
        let now_ms = self.clock().monotonic_ms();
        let is_resting = self.renewed.next == 0 && now_ms < self.renewed.again_ms;
        if self.known.void_bytes() == 0 || is_resting || self.is_directory_absent() {
            return false;
        }
        for _ in 0..STEP {
            if self.finished_compared() >= COMPARED_MAX {
                return false;
            }
            let Some((at, name)) = self.next_unasked() else {
                (self.renewed.next, self.renewed.again_ms) = (0, now_ms + AGAIN_MS);
                return false;
            };
            self.renewed.next = at + 1;
            self.ask_copied(&name);
        }
        true
    }

    fn finished_compared(&self) -> usize {
        let is_finished = |quest: &&Quest| matches!(quest.whose, Whose::Finished { .. });
        self.quests.list.iter().filter(is_finished).count()
    }

    fn next_unasked(&self) -> Option<(usize, OsString)> {
        let candidates = self.scanner.candidates().iter().enumerate().skip(self.renewed.next);
        let mut unasked = candidates.filter(|(_, candidate)| {
            !self.renewed.asked.contains(&(candidate.device, candidate.inode))
                && !self.is_closed(candidate)
                && !self.is_tracked(candidate)
        });
        unasked.next().map(|(at, candidate)| (at, candidate.name.clone()))
    }

    /// What cannot be told now is asked again.
    fn ask_copied(&mut self, name: &OsStr) {
        let Ok((file, stat)) = self.root.open_asked(name) else { return };
        if self.may_have_record(name, &file, &stat) {
            return;
        }
        let Ok(found) = self.known.find(&file, &stat, name.as_bytes()) else { return };
        self.renewed.asked.insert((stat.dev(), stat.ino()));
        match found {
            Same::Yes(receipt) | Same::Perhaps(receipt)
                if tells_by_numbers(&receipt, Hints::of(&stat))
                    || self.is_read_on(&receipt)
                    || self.is_asked_beyond(&receipt, name, &stat) => {}
            Same::Yes(receipt) => self.renew(&receipt, name, &stat),
            Same::Perhaps(receipt) => {
                self.seek_finished(receipt, name.to_owned(), file, Then::Renewed);
            }
            Same::No => {}
        }
    }

    /// May it be the file of a record that is not open? That says more than a receipt.
    fn may_have_record(&self, name: &OsStr, file: &File, stat: &Metadata) -> bool {
        let begins_alike = |record: &FileRecord| {
            record.position > 0 && tracked::head_matches(file, record).unwrap_or(true)
        };
        self.has_record_of(name, stat)
            || self.absent.records().chain(self.quests.records()).any(begins_alike)
    }

    /// The receipt is that of the file of this name.
    pub(super) fn renew(&mut self, receipt: &Receipt, name: &OsStr, stat: &Metadata) {
        let Hints { device, inode, born_ns } = Hints::of(stat);
        let completed = name.as_bytes().to_vec();
        let renewed = Receipt { completed, device, inode, born_ns, ..receipt.clone() };
        self.renewed.receipts.push(renewed);
    }

    /// Receipts that are to be written.
    pub fn renewed(&self) -> &[Receipt] {
        &self.renewed.receipts
    }

    /// They were written.
    pub fn note_renewed(&mut self) {
        self.forget_renewed();
        self.known.note_growth();
    }

    /// Files have their turns, and later receipts may follow: none of these is written behind one.
    pub fn forget_renewed(&mut self) {
        self.renewed.receipts.clear();
    }
}
