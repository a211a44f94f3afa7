//! How the letters of earlier runs end. Who is killed while a letter is written leaves half an entry, and so
//! does a power failure. What is appended behind that would be taken for the rest of it.

use std::fs;
use std::io;
use std::path::Path;

use crate::checkpoint::dead_letter::{self, Letter, Reading};
use crate::checkpoint::half_letter::Half;
use crate::checkpoint::record::LettersKnown;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Inherited {
    /// Letters of which the record does not know.
    pub(super) unknown: Vec<Letter>,
    /// Where the next one belongs.
    pub(super) end: u64,
    /// What stands behind that is half an entry.
    pub(super) is_torn: bool,
    /// Half entries before that.
    pub(super) halves: Vec<Half>,
}

pub(super) fn find(path: &Path, known: LettersKnown) -> io::Result<Inherited> {
    let len = match fs::metadata(path) {
        Ok(stat) => stat.len(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Inherited::default()),
        Err(e) => return Err(e),
    };
    let bytes = match known {
        LettersKnown::Bytes(bytes) | LettersKnown::Recalled(bytes) => Some(bytes),
        LettersKnown::Unsaid => None,
    };
    let (mut unknown, mut is_begin) = (Vec::new(), false);
    let Reading { end, halves } = dead_letter::each(path, &mut |letter| {
        is_begin |= bytes == Some(letter.head_at);
        let is_unknown = match known {
            LettersKnown::Bytes(known) => known <= letter.head_at,
            LettersKnown::Recalled(_) => true,
            LettersKnown::Unsaid => {
                // Each was followed by a record, but perhaps the last.
                unknown.clear();
                true
            }
        };
        if is_unknown {
            unknown.push(letter);
        }
    })?;
    if is_begin || bytes == Some(end) {
        // No record knows of what is no whole entry there.
        return Ok(Inherited { unknown, end, is_torn: end < len, halves });
    }
    // Somebody has edited it, or moved it away; or half an entry of an earlier version is within.
    let mut ends = [end; 2];
    if let Some(known) = bytes.filter(|known| (end..=len).contains(known)) {
        ends[1] = dead_letter::each_from(path, known, &mut |letter| unknown.push(letter))?.end;
    }
    for end in ends {
        if end < len && dead_letter::is_torn(path, end)? {
            return Ok(Inherited { unknown, end, is_torn: true, halves });
        }
    }
    Ok(Inherited { unknown, end: len, is_torn: false, halves })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::checkpoint::ledger::{
        DEAD_LETTER_FILE, DeadLetter, FileLedger, Ledger, LedgerError,
    };
    use crate::checkpoint::record::BatchRecord;
    use crate::checkpoint::scratch::Scratch;

    fn begin(scratch: &Scratch, known: Option<u64>) -> FileLedger {
        inherit(scratch, known.map_or(LettersKnown::Unsaid, LettersKnown::Bytes))
    }

    fn inherit(scratch: &Scratch, known: LettersKnown) -> FileLedger {
        let mut ledger = FileLedger::new(&scratch.dir);
        ledger.inherit_letters(known);
        ledger
    }

    fn keep(ledger: &mut FileLedger, start: u64, value: &str) {
        try_to_keep(ledger, start, value).unwrap();
    }

    fn try_to_keep(ledger: &mut FileLedger, start: u64, value: &str) -> Result<(), LedgerError> {
        let batch = BatchRecord { start, end: start + 9, ..BatchRecord::default() };
        let letter = DeadLetter {
            topic: "t",
            file: b"log",
            batch: &batch,
            key: None,
            headers: &[],
            value: value.as_bytes(),
            body: value.as_bytes(),
            reason: "too large",
            now_ms: 1,
        };
        ledger.dead_letter(&letter)
    }

    fn file(scratch: &Scratch) -> PathBuf {
        scratch.dir.join(DEAD_LETTER_FILE)
    }

    fn bodies(scratch: &Scratch) -> Vec<String> {
        let bytes = fs::read(file(scratch)).unwrap();
        let mut bodies = Vec::new();
        let each = dead_letter::each(&file(scratch), &mut |letter| {
            let body = &bytes[letter.at as usize..(letter.at + letter.bytes) as usize];
            bodies.push(String::from_utf8_lossy(body).into_owned());
        });
        each.unwrap();
        bodies
    }

    /// A whole entry, and another one.
    fn entries(scratch: &Scratch) -> [Vec<u8>; 2] {
        let mut ledger = begin(scratch, None);
        keep(&mut ledger, 10, "first");
        let length = fs::metadata(file(scratch)).unwrap().len() as usize;
        keep(&mut ledger, 20, "second that died");
        let second = fs::read(file(scratch)).unwrap().split_off(length);
        let first = fs::read(file(scratch)).unwrap()[..length].to_vec();
        fs::remove_file(file(scratch)).unwrap();
        [first, second]
    }

    #[test]
    fn half_a_letter_of_a_run_that_died_hides_none_that_comes_behind_it() {
        let scratch = Scratch::new("half-a-letter");
        let [whole, other] = entries(&scratch);
        let length = whole.len() as u64;
        for cut in 0..other.len() {
            for zeros in [0, other.len() - cut, 9_000] {
                let left = [&whole[..], &other[..cut], &vec![0; zeros]].concat();
                for known in [Some(length), Some(0), None] {
                    fs::write(file(&scratch), &left).unwrap();
                    let mut ledger = begin(&scratch, known);
                    let what = format!("{cut} and {zeros}, {known:?}");
                    let expected = if known == Some(length) { length } else { 0 };
                    assert_eq!(ledger.letters_known(), LettersKnown::Bytes(expected), "{what}");
                    assert_eq!(fs::read(file(&scratch)).unwrap(), whole, "{what}");
                    keep(&mut ledger, 30, "third");
                    keep(&mut ledger, 20, "second that died");
                    assert_eq!(bodies(&scratch), ["first", "third", "second that died"], "{what}");
                }
            }
        }
    }

    /// There was no descriptor for it, or the disk failed once. What was appended went behind half a letter, and
    /// one that no record knew of came a second time.
    #[test]
    fn letters_that_cannot_be_read_at_the_start_are_read_before_the_next_one() {
        let scratch = Scratch::new("unread-letters");
        let [whole, other] = entries(&scratch);
        let length = whole.len() as u64;
        let aside = scratch.dir.join("aside");
        let all = LettersKnown::NOTHING;
        for known in
            [LettersKnown::Bytes(length), LettersKnown::Bytes(0), LettersKnown::Unsaid, all]
        {
            fs::write(&aside, [&whole[..], &other[..other.len() - 3]].concat()).unwrap();
            // A link that leads to itself.
            std::os::unix::fs::symlink(file(&scratch), file(&scratch)).unwrap();
            let mut ledger = inherit(&scratch, known);
            assert_eq!(ledger.letters_known(), known);
            let batch = BatchRecord { start: 10, end: 19, count: 1, ..BatchRecord::default() };
            assert!(ledger.letters_in("t", "log", &batch).is_err(), "{known:?}");
            let kept = try_to_keep(&mut ledger, 30, "third");
            assert!(matches!(kept, Err(LedgerError::Later(_))), "{known:?}: {kept:?}");
            assert_eq!(ledger.letters_known(), known);
            fs::rename(&aside, file(&scratch)).unwrap();
            keep(&mut ledger, 30, "third");
            assert_eq!(bodies(&scratch), ["first", "third"], "{known:?}");
            let is_known = known == LettersKnown::Bytes(length);
            let found = ledger.letters_in("t", "log", &batch).unwrap();
            assert_eq!(found.is_empty(), is_known, "{known:?}");
            keep(&mut ledger, 10, "first");
            assert_eq!(bodies(&scratch).len(), if is_known { 3 } else { 2 }, "{known:?}");
            fs::remove_file(file(&scratch)).unwrap();
        }
    }

    /// The file was edited or moved away, or an earlier version has appended to half an entry.
    #[test]
    fn nothing_that_may_be_a_letter_is_cut_off() {
        let scratch = Scratch::new("no-half-letter");
        let [whole, other] = entries(&scratch);
        let length = whole.len() as u64;
        let two = [&whole[..], &other].concat();
        let two_whole = two.clone();
        let shortened = [&whole[..], &other[..40], &other[41..]].concat();
        let hidden = [&other[..other.len() - 8], &whole].concat();
        let hidden_in_head = [&other[..9], &whole].concat();
        let edited = [b"a note\n", &whole[..]].concat();
        for content in [two, shortened, hidden, hidden_in_head, edited] {
            let end = content.len() as u64;
            let behind = content.len() - whole.len();
            for known in [None, Some(3), Some(behind as u64), Some(end), Some(end + length)] {
                if known == Some(length) {
                    continue;
                }
                fs::write(file(&scratch), &content).unwrap();
                begin(&scratch, known);
                let left = fs::read(file(&scratch)).unwrap();
                assert!(left == content, "{known:?}: {}", String::from_utf8_lossy(&content));
            }
        }
        // Nor where there is no record.
        for content in [
            [&two_whole[..], b"a note\n", &whole].concat(),
            [&whole[..], &other[..40], &other[41..]].concat(),
        ] {
            fs::write(file(&scratch), &content).unwrap();
            inherit(&scratch, LettersKnown::NOTHING);
            assert!(fs::read(file(&scratch)).unwrap() == content);
        }
        // What a record knew of an earlier file says nothing of this one.
        for known in [Some(3), Some(length)] {
            fs::write(file(&scratch), &other[..other.len() - 2]).unwrap();
            keep(&mut begin(&scratch, known), 30, "third");
            assert_eq!(bodies(&scratch), ["third"], "{known:?}");
        }
    }

    /// Where the record is lost, files are read again: each of their letters may come up, in any order.
    #[test]
    fn without_a_record_every_letter_is_known_again_until_the_files_were_read() {
        let scratch = Scratch::new("recalled-letters");
        let values = ["first", "second", "third"];
        let keep_all = |ledger: &mut FileLedger| {
            values.iter().rev().for_each(|value| keep(ledger, value.len() as u64, value));
        };
        keep_all(&mut begin(&scratch, None));
        let end = fs::metadata(file(&scratch)).unwrap().len();
        let mut ledger = FileLedger::new(&scratch.dir);
        for _ in 0..2 {
            // Once more, since a file was overwritten while it was read.
            ledger.inherit_letters(LettersKnown::NOTHING);
            keep_all(&mut ledger);
            assert_eq!(bodies(&scratch), ["third", "second", "first"]);
        }
        // A record of this run knows none before all have come up; what comes meanwhile is not known either.
        ledger.inherit_letters(LettersKnown::NOTHING);
        keep(&mut ledger, 5, "first");
        assert_eq!(ledger.letters_known(), LettersKnown::Recalled(end));
        let mut second = inherit(&scratch, ledger.letters_known());
        keep(&mut inherit(&scratch, second.letters_known()), 40, "fourth");
        let mut third = inherit(&scratch, second.letters_known());
        assert_eq!(third.letters_known(), LettersKnown::Recalled(end));
        keep_all(&mut third);
        assert_eq!(third.letters_known(), LettersKnown::Bytes(end));
        keep(&mut third, 40, "fourth");
        assert_eq!(bodies(&scratch).len(), 4);
        second.forget_recalled();
        assert_eq!(second.letters_known(), LettersKnown::Bytes(end));
        keep_all(&mut second);
        assert_eq!(bodies(&scratch).len(), 7);
    }
}
