//! Bytes of a file that its writer has reserved and not written yet.
//!
//! Who maps a file into memory, reserves its length or writes out of order leaves zeros where its
//! lines will be. A run of NULs that reaches the end of the file, and one that a hole of a sparse
//! file is in, is a [`Gap`]: what is behind its beginning is waited for. Where text follows it, it
//! is text itself (as Flume would read it) once nothing was put into it for the grace time; where
//! none follows, when the file ends. NULs in the midst of text that are on the disk are text.
//!
//! What is looked at costs next to nothing: one byte of each kilobyte that was read, since a hole
//! is no smaller, and the last one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::os;

/// No file system has smaller blocks that matters here, bytes: so long a hole is at least, and so
/// it is aligned.
const HOLE_BYTES_MIN: u64 = 1024;

/// What one read of a search asks for, bytes.
const BLOCK_BYTES: usize = 128 * 1024;

/// How many bytes on the disk one look searches for the end of a run of NULs.
const SEARCH_BYTES_MAX: u64 = 1024 * 1024;

/// What is not written yet begins at `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub start: u64,
    /// Where text goes on behind it, if it does.
    text: Option<u64>,
    /// Up to here there is none.
    searched: u64,
    /// Monotonic time since which it is as it is; `None` before the first look.
    since_ms: Option<u64>,
}

/// What became of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is as it was.
    Same,
    /// Something was written into it or behind it, but not at its beginning.
    Touched,
    /// Its beginning is written.
    Written,
    /// It was left alone long enough to count as text up to there.
    Text(u64),
}

/// A place in a file, and how its text is made up.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub file: &'a File,
    /// Before this offset NULs are text.
    pub settled: u64,
    /// Bytes of the smallest unit of text, 1 or 2.
    pub unit: u64,
}

impl Place<'_> {
    /// Where in `bytes`, which stand at offset `at` of the file and were just read, begins what is
    /// not written yet? `is_at_end`: the file ended behind them.
    pub fn find(self, bytes: &[u8], at: u64, is_at_end: bool) -> io::Result<Option<Gap>> {
        if let Some(gap) = self.find_hole(bytes, at)? {
            return Ok(Some(gap));
        }
        if bytes.last() != Some(&0) {
            return Ok(None);
        }
        let end = at + bytes.len() as u64;
        let start = self.unit_at(at + run_start(bytes, bytes.len()) as u64);
        if start >= end {
            return Ok(None);
        }
        if is_at_end {
            return Ok(Some(Gap { start, text: None, searched: end, since_ms: None }));
        }
        match search(self.file, end)? {
            Search::Text(text) => {
                let has_hole = os::hole_from(self.file, start)?.is_some_and(|hole| hole < text);
                let gap = Gap { start, text: Some(text), searched: text, since_ms: None };
                Ok(has_hole.then_some(gap))
            }
            Search::None(searched) => Ok(Some(Gap { start, text: None, searched, since_ms: None })),
        }
    }

    /// A run of NULs with a hole in it. One that goes on behind `bytes` is not judged here.
    fn find_hole(self, bytes: &[u8], at: u64) -> io::Result<Option<Gap>> {
        let mut probe = at.max(self.settled).next_multiple_of(HOLE_BYTES_MIN);
        let end = at + bytes.len() as u64;
        while probe < end {
            let index = (probe - at) as usize;
            if bytes[index] != 0 {
                probe += HOLE_BYTES_MIN;
                continue;
            }
            let Some(run_end) = bytes[index..].iter().position(|b| *b != 0) else { break };
            let run_end = probe + run_end as u64;
            let start = self.unit_at(at + run_start(bytes, index) as u64);
            if run_end - probe >= HOLE_BYTES_MIN
                && os::hole_from(self.file, start)?.is_some_and(|hole| hole < run_end)
            {
                let text = Some(run_end);
                return Ok(Some(Gap { start, text, searched: run_end, since_ms: None }));
            }
            probe = run_end.next_multiple_of(HOLE_BYTES_MIN);
        }
        Ok(None)
    }

    /// The first whole unit of text from `offset` on that is not settled.
    fn unit_at(self, offset: u64) -> u64 {
        offset.max(self.settled).next_multiple_of(self.unit)
    }

    fn is_unit_written(self, offset: u64) -> io::Result<bool> {
        let mut unit = [0u8; 2];
        let len = self.file.read_at(&mut unit[..self.unit as usize], offset)?;
        Ok(unit[..len].iter().any(|b| *b != 0))
    }
}

impl Gap {
    /// Looks at it again. `was_written`: the file was, by its length or its time. Writers that map
    /// files leave neither.
    pub fn look(
        &mut self,
        place: Place<'_>,
        now_ms: u64,
        was_written: bool,
        grace_ms: u64,
    ) -> io::Result<State> {
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        if place.is_unit_written(self.start)? {
            return Ok(State::Written);
        }
        let before = self.text;
        if was_written && self.text.is_some() {
            let size = place.file.metadata()?.len();
            if self.text.is_some_and(|text| text >= size) {
                // It was truncated: what comes there is waited for anew.
                (self.text, self.searched) = (None, self.start);
            }
        }
        if self.text.is_none() || was_written {
            let from = if self.text.is_none() { self.searched } else { self.start };
            match search(place.file, from)? {
                Search::Text(text) => (self.text, self.searched) = (Some(text), text),
                Search::None(searched) if self.text.is_none() => self.searched = searched,
                Search::None(_) => {}
            }
        }
        if self.text != before {
            self.since_ms = Some(now_ms);
            return Ok(State::Touched);
        }
        match self.text {
            Some(text) if now_ms - since_ms >= grace_ms => Ok(State::Text(text)),
            _ => Ok(State::Same),
        }
    }
}

enum Search {
    /// The first byte that is no NUL stands there.
    Text(u64),
    /// There is none before this offset.
    None(u64),
}

/// Looks for the first byte from `from` on that is no NUL: past holes, whatever their size, and
/// through [`SEARCH_BYTES_MAX`] of what is on the disk.
fn search(file: &File, from: u64) -> io::Result<Search> {
    let mut block = vec![0; BLOCK_BYTES];
    let (mut at, mut left) = (from, SEARCH_BYTES_MAX);
    while left > 0 {
        let Some(data) = os::data_from(file, at)? else { return Ok(Search::None(at)) };
        at = at.max(data);
        let len = file.read_at(&mut block, at)?;
        if len == 0 {
            break;
        }
        if let Some(text) = block[..len].iter().position(|b| *b != 0) {
            return Ok(Search::Text(at + text as u64));
        }
        at += len as u64;
        left = left.saturating_sub(len as u64);
    }
    Ok(Search::None(at))
}

/// Where the run of NULs begins that ends before `end`.
fn run_start(bytes: &[u8], end: usize) -> usize {
    bytes[..end].iter().rposition(|b| *b != 0).map_or(0, |at| at + 1)
}

/// Where the text of a file of `size` bytes ends: before the zeros that reach its end.
pub(super) fn text_end(file: &File, size: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut end = size;
    while end > 0 {
        let len = end.min(BLOCK_BYTES as u64);
        let part = &mut block[..len as usize];
        file.read_exact_at(part, end - len)?;
        match run_start(part, part.len()) {
            0 => end -= len,
            start => return Ok(end - len + start as u64),
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Sparse(File, PathBuf);

    impl Sparse {
        fn new(label: &str, len: u64, parts: &[(u64, &[u8])]) -> Sparse {
            let name = format!("flume-ng-unwritten-{label}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(true).open(&path);
            let file = file.unwrap();
            file.set_len(len).unwrap();
            parts.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
            Sparse(file, path)
        }

        fn place(&self, unit: u64) -> Place<'_> {
            Place { file: &self.0, settled: 0, unit }
        }

        fn find(&self, unit: u64, len: usize) -> Option<Gap> {
            let mut bytes = vec![0; len];
            let len = self.0.read_at(&mut bytes, 0).unwrap();
            let is_at_end = len as u64 == self.0.metadata().unwrap().len();
            self.place(unit).find(&bytes[..len], 0, is_at_end).unwrap()
        }
    }

    impl Drop for Sparse {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.1);
        }
    }

    #[test]
    fn nuls_at_the_end_are_a_gap_and_nuls_in_text_are_text() {
        let file = Sparse::new("end", 9, &[(0, b"one\n\0x\n")]);
        assert_eq!(file.find(1, 64).map(|g| g.start), Some(7));
        let file = Sparse::new("mid", 7, &[(0, b"one\n\0x\n")]);
        assert_eq!(file.find(1, 64), None);
        // As much as is on the disk as zeros: somebody wrote them.
        let zeros = vec![0; 300_000];
        let file = Sparse::new("zeros", 7, &[(0, b"one\n"), (4, &zeros), (300_004, b"x\n")]);
        assert_eq!(file.find(1, 64), None);
        assert_eq!(file.find(1, 400_000), None);
    }

    #[test]
    fn half_a_newline_of_utf_16_is_no_gap() {
        let file = Sparse::new("wide", 4, &[(0, b"a\0\n\0")]);
        assert_eq!(file.find(2, 64), None);
        let file = Sparse::new("wide-end", 8, &[(0, b"a\0\n\0")]);
        assert_eq!(file.find(2, 64).map(|g| g.start), Some(4));
    }

    #[test]
    fn a_hole_is_found_however_far_the_text_behind_it_is() {
        for far in [20_000, 5_000_000] {
            let file = Sparse::new("hole", far, &[(0, b"one\n"), (far, b"two\n")]);
            for len in [64, 8_192, 6_000_000] {
                let gap = file.find(1, len).expect("a gap");
                assert_eq!((gap.start, gap.text), (4, Some(far)), "{far} {len}");
            }
        }
    }

    #[test]
    fn a_gap_is_written_or_touched_or_becomes_text() {
        let file = Sparse::new("look", 40_000, &[(0, b"one\n")]);
        let mut gap = file.find(1, 64).expect("a gap");
        let look = |gap: &mut Gap, now_ms, was| gap.look(file.place(1), now_ms, was, 100).unwrap();
        assert_eq!(look(&mut gap, 0, false), State::Same);
        assert_eq!(look(&mut gap, 1_000, false), State::Same, "no text follows: for ever");
        file.0.write_all_at(b"three\n", 40_000).unwrap();
        assert_eq!(look(&mut gap, 1_000, true), State::Touched);
        file.0.write_all_at(b"two\n", 20_000).unwrap();
        assert_eq!(look(&mut gap, 1_050, true), State::Touched);
        assert_eq!(look(&mut gap, 1_149, false), State::Same);
        assert_eq!(look(&mut gap, 1_150, false), State::Text(20_000));
        file.0.write_all_at(b"x", 4).unwrap();
        assert_eq!(look(&mut gap, 1_150, false), State::Written);
    }

    /// Where nothing was read of a file, no other sign tells that it was truncated and is written anew.
    #[test]
    fn what_is_written_after_a_truncation_is_waited_for_anew() {
        let file = Sparse::new("cut", 0, &[(20_000, b"two\n")]);
        let mut gap = file.find(1, 64).expect("a gap");
        let look = |gap: &mut Gap, now_ms, was| gap.look(file.place(1), now_ms, was, 100).unwrap();
        assert_eq!(look(&mut gap, 0, false), State::Same);
        file.0.set_len(0).unwrap();
        assert_eq!(look(&mut gap, 50, true), State::Touched);
        assert_eq!(look(&mut gap, 1_000, false), State::Same, "there is no text");
        file.0.write_all_at(b"four\n", 20_000).unwrap();
        assert_eq!(look(&mut gap, 1_000, true), State::Touched);
        assert_eq!(look(&mut gap, 1_099, false), State::Same);
        assert_eq!(look(&mut gap, 1_100, false), State::Text(20_000));
    }

    #[test]
    fn the_text_of_a_file_ends_before_its_zeros() {
        let file = Sparse::new("text", 700_000, &[(0, b"one\n")]);
        assert_eq!(text_end(&file.0, 700_000).unwrap(), 4);
        assert_eq!(text_end(&file.0, 4).unwrap(), 4);
        assert_eq!(text_end(&file.0, 0).unwrap(), 0);
    }
}
