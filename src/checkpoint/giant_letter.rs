//! The body of a letter that is too long for memory: copied from its file piece by piece. A request to stop does not
//! wait for the end of gigabytes: what was copied is cut off again, and the next run copies it anew.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use crate::checkpoint::ledger::GiantLine;

/// What is copied, or compared, at a time, bytes.
pub(super) const PIECE_BYTES: usize = 128 * 1024;

/// Returns the CRC-32 of the bytes.
///
/// # Errors
/// The line cannot be read, or its copy not be written, or the agent is to stop.
pub(super) fn copy(
    line: &GiantLine<'_>,
    out: &mut File,
    is_stopping: impl Fn() -> bool,
) -> io::Result<u32> {
    let name = String::from_utf8_lossy(line.name);
    let unreadable = |e: io::Error| io::Error::other(format!("{name} cannot be read: {e}"));
    let mut crc = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = line.start;
    while at < line.end {
        unless_stopping(&is_stopping)?;
        let len = PIECE_BYTES.min(usize::try_from(line.end - at).unwrap_or(PIECE_BYTES));
        line.file.read_exact_at(&mut piece[..len], at).map_err(unreadable)?;
        crc.update(&piece[..len]);
        out.write_all(&piece[..len])?;
        at += len as u64;
    }
    Ok(crc.finalize())
}

/// # Errors
/// The agent is to stop.
pub(super) fn unless_stopping(is_stopping: impl Fn() -> bool) -> io::Result<()> {
    match is_stopping() {
        true => Err(io::Error::other("the agent stops; the next run keeps it")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::checkpoint::scratch::Scratch;

    #[test]
    fn a_request_to_stop_does_not_wait_until_a_long_letter_is_copied() {
        let scratch = Scratch::new("giant-stopped");
        let [line, letter] = ["line", "letter"].map(|name| scratch.dir.join(name));
        std::fs::write(&line, vec![b'x'; 10 * PIECE_BYTES]).unwrap();
        let file = File::open(&line).unwrap();
        let mut out = File::create(&letter).unwrap();
        let line = GiantLine {
            topic: "t",
            name: b"log",
            file: &file,
            start: 0,
            end: 10 * PIECE_BYTES as u64,
            reason: "long",
            now_ms: 1,
        };
        let asked = Cell::new(0);
        let is_stopping = || asked.replace(asked.get() + 1) == 3;
        assert!(copy(&line, &mut out, is_stopping).is_err());
        assert_eq!(letter.metadata().unwrap().len(), 3 * PIECE_BYTES as u64);
    }
}
