//! Where Flume's TAILDIR was: its positions taken up at the first start, and told on.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::quest::prefix_crc;
use super::tracked::Tie;
use super::unwritten::text_end;
use super::window::TailBytes;
use super::{Files, READER};
use crate::checkpoint::flume_positions::FlumePosition;
use crate::checkpoint::record::FileState;
use crate::config::model::FirstByte;
use crate::log;

/// So much is read of what stands before the positions, bytes: by it a copy of what was read is known
/// later. What is beyond is known by its numbers alone.
const READ_BEFORE_MAX: u64 = 4 << 30;

impl Files {
    /// Begins at these positions, each in the file with its inode, whatever its name is now, and in files
    /// of which they say nothing where `first` says. At once, so that the first record of the checkpoint
    /// holds all of them.
    pub fn take_over_positions(
        &mut self,
        positions: &[FlumePosition],
        first: FirstByte,
    ) -> io::Result<()> {
        for (name, why) in self.scanner.refresh(self.clock.monotonic_ms())? {
            self.complain(&name, &why);
        }
        let mut by_inode: HashMap<u64, &FlumePosition> = HashMap::new();
        for position in positions {
            by_inode.entry(position.inode).or_insert(position);
        }
        let mut budget = READ_BEFORE_MAX;
        let names: Vec<(OsString, u64, u64)> =
            self.scanner.candidates().iter().map(|c| (c.name.clone(), c.device, c.inode)).collect();
        let mut begun: HashSet<(u64, u64)> = HashSet::new();
        for (name, device, inode) in names {
            let position = by_inode.get(&inode).copied();
            // Another of its names, or a new file.
            if position.is_none() && first == FirstByte::Beginning || !begun.insert((device, inode))
            {
                continue;
            }
            let opened = self.root.open(&name);
            let begun =
                opened.and_then(|file| self.begin_at(&name, file, (position, first), &mut budget));
            if let Err(e) = begun {
                // Its position waits for it.
                self.complain(&name, &e.to_string());
                let at = position.map_or(u64::MAX, |p| p.pos);
                self.start_at.push((name, at));
            }
        }
        let begun: HashSet<u64> = begun.into_iter().map(|(_, inode)| inode).collect();
        self.take_over_renamed(by_inode.into_values().filter(|p| !begun.contains(&p.inode)));
        Ok(())
    }

    /// Positions of files that no group takes any more: what stands behind them is read all the same.
    fn take_over_renamed<'a>(&mut self, left: impl Iterator<Item = &'a FlumePosition>) {
        let left: Vec<&FlumePosition> = left.collect();
        if left.is_empty() {
            return;
        }
        let census = self.take_census(&left.iter().map(|p| p.inode).collect());
        for position in left {
            let FlumePosition { inode, pos, file: path } = position;
            let found = census.names_of(*inode).find_map(|name| {
                let file = self.root.open(name).ok()?;
                Some((name.to_owned(), file.metadata().ok()?.len(), file))
            });
            match found {
                Some((name, size, file)) if size > *pos => {
                    self.tell_position("Updated position", &name, *inode, *pos);
                    let index = self.push_tracked(name.clone(), file, *pos);
                    let tracked = &mut self.tracked[index];
                    tracked.tie = Tie::Nameless;
                    tracked.record.state = FileState::Draining;
                    tracked.record.current_name = name.as_bytes().to_vec();
                }
                Some(_) => {}
                None => log::info(
                    READER,
                    format_args!("Missing file: {path}, inode: {inode}, pos: {pos}"),
                ),
            }
        }
    }

    /// Tracks a file from there on, or from its end on where no position is known.
    fn begin_at(
        &mut self,
        name: &OsStr,
        file: File,
        (position, first): (Option<&FlumePosition>, FirstByte),
        budget: &mut u64,
    ) -> io::Result<()> {
        let stat = file.metadata()?;
        let (inode, size) = (stat.ino(), stat.len());
        let at = match position {
            Some(position) if position.pos > size => {
                log::info(
                    READER,
                    format_args!(
                        "Pos {} is larger than file size! Restarting from pos 0, file: {}, inode: \
                         {inode}",
                        position.pos,
                        self.path(name).display()
                    ),
                );
                0
            }
            Some(position) => {
                self.tell_position("Updated position", name, inode, position.pos);
                position.pos
            }
            None => {
                let at = first_byte(&file, text_end(&file, size)?, first)?;
                self.tell_position("Opening file", name, inode, at);
                at
            }
        };
        let is_in_line = TailBytes::read(&file, at)?.as_slice().last().is_some_and(|b| *b != b'\n');
        let crc = match at <= *budget {
            true => prefix_crc(&file, at)?,
            false => 0,
        };
        *budget = budget.saturating_sub(at);
        let index = self.push_tracked(name.to_owned(), file, at);
        let record = &mut self.tracked[index].record;
        record.bytes_crc = crc;
        record.skips_line = is_in_line && position.is_none() && first == FirstByte::NextLine;
        if self.tracked.len() >= self.open_max * 3 / 4 {
            let tracked = self.tracked.remove(index);
            self.park_record(tracked.record);
        }
        Ok(())
    }

    fn tell_position(&self, what: &str, name: &OsStr, inode: u64, pos: u64) {
        let file = self.path(name);
        let file = file.display();
        log::info(READER, format_args!("{what}, file: {file}, inode: {inode}, pos: {pos}"));
    }

    /// Inode, position and path of each file that has a name which is taken, in reading order as far as
    /// it is known.
    pub fn flume_positions(&self) -> Vec<(u64, u64, String)> {
        let open = self.tracked.iter().filter(|t| t.is_named() && !t.is_superseded());
        let parked = self.parked().filter(|record| record.state == FileState::Live);
        let records = open.map(|t| &t.record).chain(parked);
        let path = |name: &[u8]| self.path(OsStr::from_bytes(name)).to_string_lossy().into_owned();
        records.map(|r| (r.inode, r.position, path(&r.name))).collect()
    }
}

/// Where a file begins that ends at `end`.
fn first_byte(file: &File, end: u64, first: FirstByte) -> io::Result<u64> {
    match first {
        FirstByte::Beginning => Ok(0),
        FirstByte::NextLine => Ok(end),
        FirstByte::Byte(at) => Ok(at.min(end)),
        FirstByte::LastBytes(bytes) => Ok(end.saturating_sub(bytes)),
        FirstByte::Line(line) => behind_lines(file, end, line - 1),
        FirstByte::LastLines(lines) => last_lines(file, end, lines),
    }
}

/// What one read asks for, bytes.
const BLOCK_BYTES: usize = 128 * 1024;

/// The offset behind the first so many newlines.
fn behind_lines(file: &File, end: u64, lines: u64) -> io::Result<u64> {
    let (mut block, mut at, mut left) = (vec![0; BLOCK_BYTES], 0, lines);
    while at < end && left > 0 {
        let len = BLOCK_BYTES.min(usize::try_from(end - at).unwrap_or(BLOCK_BYTES));
        file.read_exact_at(&mut block[..len], at)?;
        for newline in memchr::memchr_iter(b'\n', &block[..len]) {
            left -= 1;
            if left == 0 {
                return Ok(at + newline as u64 + 1);
            }
        }
        at += len as u64;
    }
    Ok(if left == 0 { 0 } else { end })
}

/// Where the last so many lines begin. One without a newline counts, as it does for tail.
fn last_lines(file: &File, end: u64, lines: u64) -> io::Result<u64> {
    if lines == 0 || end == 0 {
        return Ok(end);
    }
    // The newline that ends the file ends its last line.
    let (mut block, mut at, mut left) = (vec![0; BLOCK_BYTES], end - 1, lines);
    while at > 0 {
        let len = BLOCK_BYTES.min(usize::try_from(at).unwrap_or(BLOCK_BYTES));
        let start = at - len as u64;
        file.read_exact_at(&mut block[..len], start)?;
        for newline in memchr::memrchr_iter(b'\n', &block[..len]) {
            left -= 1;
            if left == 0 {
                return Ok(start + newline as u64 + 1);
            }
        }
        at = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_begins_where_tail_would() {
        let path = std::env::temp_dir().join(format!("flume-ng-first-{}", std::process::id()));
        for (content, first, expected) in [
            ("one\ntwo\nthree\n", FirstByte::LastLines(1), 8),
            ("one\ntwo\nthree\n", FirstByte::LastLines(2), 4),
            ("one\ntwo\nthree\n", FirstByte::LastLines(3), 0),
            ("one\ntwo\nthree\n", FirstByte::LastLines(9), 0),
            ("one\ntwo\nthree\n", FirstByte::LastLines(0), 14),
            ("one\ntwo\nthr", FirstByte::LastLines(1), 8),
            ("one\ntwo\nthr", FirstByte::LastLines(2), 4),
            ("\n\n", FirstByte::LastLines(1), 1),
            ("", FirstByte::LastLines(10), 0),
            ("one\ntwo\nthree\n", FirstByte::Line(2), 4),
            ("one\ntwo\nthree\n", FirstByte::Line(9), 14),
            ("one\ntwo\nthree\n", FirstByte::Byte(5), 5),
            ("one\ntwo\nthree\n", FirstByte::Byte(50), 14),
            ("one\ntwo\nthree\n", FirstByte::LastBytes(6), 8),
            ("one\ntwo\nthree\n", FirstByte::Beginning, 0),
            ("one\ntwo\nthr", FirstByte::NextLine, 11),
        ] {
            std::fs::write(&path, content).unwrap();
            let file = File::open(&path).unwrap();
            let at = first_byte(&file, content.len() as u64, first).unwrap();
            assert_eq!(at, expected, "{content:?} {first:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
