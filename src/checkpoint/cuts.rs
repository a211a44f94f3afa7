//! Where a line was cut: its beginning was sent as an event when its file was left alone, before a newline
//! came. What comes behind it is another event, which the bytes of the file do not tell by themselves.
//!
//! `verify` asks for it, and a start that reads the topic back. Nothing is lost where it cannot be written, and
//! nothing waits for that: then `verify` finds such a line missing, and it is sent again when the topic is read
//! back.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::record::TAIL_BYTES;
use crate::os;

const FILE_NAME: &str = "cuts";
/// Beyond that nothing is noted any more.
const BYTES_MAX: u64 = 16 << 20;

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub inode: u64,
    /// The beginning ends there.
    pub end: u64,
    /// CRC-32 of the [`TAIL_BYTES`] (or fewer, near the beginning) before `end`.
    pub tail_crc: u32,
}

/// Adds one to those of a tracker directory.
pub(crate) fn note(dir: &Path, cut: Cut) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let mut file = os::open_own(&dir.join(FILE_NAME), &mut options)?;
    if file.metadata()?.len() < BYTES_MAX {
        let Cut { inode, end, tail_crc } = cut;
        file.write_all(format!("{inode} {end} {tail_crc:08x}\n").as_bytes())?;
    }
    Ok(())
}

/// Those of a tracker directory; what cannot be read is none.
pub(crate) fn read(dir: &Path) -> Vec<Cut> {
    let mut bytes = Vec::new();
    // The last one may have gone beyond the limit.
    let read = os::read_own(&dir.join(FILE_NAME))
        .and_then(|file| file.take(BYTES_MAX + 100).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    String::from_utf8_lossy(&bytes).lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Cut> {
    let mut words = line.split(' ');
    let inode = words.next()?.parse().ok()?;
    let end = words.next()?.parse().ok()?;
    let tail_crc = u32::from_str_radix(words.next()?, 16).ok()?;
    words.next().is_none().then_some(Cut { inode, end, tail_crc })
}

/// The places between `start` and `end`, in order, at which a line of this file was cut: it holds what it
/// held then, and no newline follows.
pub(crate) fn of_file(cuts: &[Cut], file: &File, start: u64, end: u64) -> io::Result<Vec<u64>> {
    if cuts.is_empty() {
        return Ok(Vec::new());
    }
    let inode = file.metadata()?.ino();
    let mut ends = Vec::new();
    for cut in cuts.iter().filter(|cut| cut.inode == inode && start < cut.end && cut.end < end) {
        let len = cut.end.min(TAIL_BYTES as u64);
        let mut tail = vec![0; len as usize];
        file.read_exact_at(&mut tail, cut.end - len)?;
        let mut next = [0; 2];
        let got = file.read_at(&mut next, cut.end)?;
        let is_ended = matches!(&next[..got], [b'\n', ..] | b"\r\n");
        if crc32fast::hash(&tail) == cut.tail_crc && !is_ended {
            ends.push(cut.end);
        }
    }
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::scratch::Scratch;

    #[test]
    fn a_cut_holds_for_what_the_file_held_then() {
        let scratch = Scratch::new("cuts");
        let path = scratch.dir.join("a.log");
        std::fs::write(&path, "one\nslow and late\r\nlater").unwrap();
        let file = File::open(&path).unwrap();
        let inode = file.metadata().unwrap().ino();
        let cut = |before: &str| Cut {
            inode,
            end: before.len() as u64,
            tail_crc: crc32fast::hash(before.as_bytes()),
        };
        // Cut; ended by its newline; of another content; and half a word of a crash.
        let noted = [cut("one\nslow"), cut("one\nslow and late"), cut("two\nslow and")];
        noted.iter().for_each(|cut| note(&scratch.dir, *cut).unwrap());
        note(&scratch.dir, noted[0]).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(scratch.dir.join(FILE_NAME))
            .and_then(|mut file| file.write_all(b"17 4"))
            .unwrap();
        let cuts = read(&scratch.dir);
        assert_eq!(cuts.len(), 4);
        assert_eq!(of_file(&cuts, &file, 0, 24).unwrap(), [8]);
        assert_eq!(of_file(&cuts, &file, 8, 24).unwrap(), [0; 0]);
    }
}
