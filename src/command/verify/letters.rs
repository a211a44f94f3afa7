//! What stands in a source's dead-letter file instead of the topic.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::Origin;
use super::inventory::Subject;
use crate::checkpoint::dead_letter::{self, Letter, State};
use crate::checkpoint::ledger::DEAD_LETTER_FILE;
use crate::os;
use crate::rebuild::key::Keyer;

/// A letter is older than its file's receipt, by a clock that may have been put right since, ms.
const CLOCK_MARGIN_MS: i64 = 10 * 60 * 1000;

/// The letters of a source.
#[derive(Debug)]
pub(super) struct Letters {
    pub path: PathBuf,
    /// By the name of the file that they are from; without those that were sent once more, which have to
    /// be in the topic like everything else.
    by_file: HashMap<String, Vec<Letter>>,
    /// Those that were.
    sent: HashMap<String, Vec<Letter>>,
}

impl Letters {
    /// Those that can be read: only the agent's user may, while checkpoint and receipts are open to
    /// others. `remarks` gets what cannot.
    pub(super) fn read(origin: &Origin<'_>, remarks: &mut Vec<String>) -> Letters {
        let path = origin.config.tracker_dir.join(DEAD_LETTER_FILE);
        let mut by_file: HashMap<String, Vec<Letter>> = HashMap::new();
        let mut sent: HashMap<String, Vec<Letter>> = HashMap::new();
        let read = dead_letter::each(&path, &mut |letter| {
            let letters = match letter.state {
                State::Sent => &mut sent,
                State::Unsettled | State::Dropped => &mut by_file,
            };
            let file = letter.file_from(&origin.config.spool_dir);
            letters.entry(file).or_default().push(letter);
        });
        if let Err(e) = read {
            let path = path.display();
            remarks.push(format!("{path}: {e}; the events in it are reported as missing"));
        }
        Letters { path, by_file, sent }
    }

    fn of(&self, file: &OsStr) -> &[Letter] {
        self.by_file.get(&*file.to_string_lossy()).map_or(&[], Vec::as_slice)
    }

    fn sent_of(&self, file: &OsStr) -> &[Letter] {
        self.sent.get(&*file.to_string_lossy()).map_or(&[], Vec::as_slice)
    }

    /// How many letters of a file were sent once more: no offset of theirs is recorded anywhere.
    pub(super) fn sent(&self, file: &OsStr) -> u64 {
        self.sent_of(file).len() as u64
    }

    /// The topics that have refused events of a file, whatever became of these since. What was written after
    /// its receipt is of a later file of its name.
    pub(super) fn topics(&self, subject: &Subject) -> HashSet<&str> {
        let end_ms = subject.finished_ms.map_or(i64::MAX, |ms| ms.saturating_add(CLOCK_MARGIN_MS));
        let is_its = |l: &&Letter| !l.is_giant && l.time_ms <= end_ms;
        let all = self.of(&subject.name).iter().chain(self.sent_of(&subject.name));
        all.filter(is_its).map(|letter| letter.topic.as_str()).collect()
    }

    /// How many events of a file the brokers refused at first, whatever the topic and whatever became of
    /// them since.
    pub(super) fn refused(&self, file: &OsStr) -> u64 {
        let left = self.of(file).iter().filter(|letter| !letter.is_giant).count() as u64;
        left + self.sent(file)
    }

    /// Is there a letter for this line, which is too long to be an event?
    pub(super) fn has_giant(&self, file: &OsStr, line: &Range<u64>) -> bool {
        self.of(file).iter().any(|l| l.is_giant && l.start == line.start && l.end == line.end)
    }

    /// Where the lines end that are letters as they stood in the file.
    pub(super) fn line_ends(&self, file: &OsStr) -> HashSet<u64> {
        self.of(file).iter().filter(|letter| letter.is_giant).map(|letter| letter.end).collect()
    }

    /// The events of a file that the brokers refused for `topic`.
    pub(super) fn events(&self, file: &OsStr, topic: &str, keyer: &Keyer) -> io::Result<Refused> {
        let mut places: HashMap<u64, Vec<Range<u64>>> = HashMap::new();
        let wanted = self.of(file).iter().filter(|l| !l.is_giant && l.topic == topic);
        let wanted: Vec<&Letter> = wanted.collect();
        if wanted.is_empty() {
            return Ok(Refused::default());
        }
        let bodies = os::read_own(&self.path)?;
        for letter in wanted {
            let mut value = vec![0; usize::try_from(letter.bytes).unwrap_or(usize::MAX)];
            bodies.read_exact_at(&mut value, letter.at)?;
            let key = keyer.of_record(Some(&value));
            places.entry(key).or_default().push(letter.start..letter.end);
        }
        Ok(Refused(places))
    }
}

/// Refused events of one file: their values' keys, and the bytes of the file that each is in.
#[derive(Debug, Default)]
pub(super) struct Refused(HashMap<u64, Vec<Range<u64>>>);

impl Refused {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is the event that ends at `end` one of them? Each is found once.
    pub(super) fn take(&mut self, key: u64, end: u64) -> bool {
        let Some(places) = self.0.get_mut(&key) else { return false };
        let at = places.iter().position(|place| place.start < end && end <= place.end);
        at.map(|at| places.swap_remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_stands_for_one_event_in_its_place() {
        let mut refused = Refused(HashMap::from([(7, vec![10..20, 30..40])]));
        assert!(!refused.take(7, 10) && !refused.take(7, 21) && !refused.take(8, 20));
        assert!(refused.take(7, 40) && !refused.take(7, 40));
        assert!(refused.take(7, 20) && !refused.take(7, 20));
    }
}
