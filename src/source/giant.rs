//! A line that is too long to be an event ([`EVENT_BYTES_MAX`]): where does it end? It is looked
//! for piece by piece, so that neither the memory nor a turn of the loop grows with the line.

use std::io;
use std::os::unix::fs::FileExt;

use super::slice::Slice;
use super::window::{EVENT_BYTES_MAX, HeadBytes, TailBytes};
use super::{Files, Handle};

/// Bytes that are searched in one turn.
const PIECE_BYTES: usize = 1024 * 1024;
/// Bytes that are read at once. Even: a unit of UTF-16 is never cut.
const BLOCK_BYTES: usize = 128 * 1024;

/// What is known of a giant line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giant {
    /// It ends before this offset.
    Ends(u64),
    /// The file holds no end of it yet.
    Open,
    /// Not searched to the end yet.
    Searching,
}

impl Files {
    /// The line at the read position of the file turned out to be too long.
    pub fn begin_giant(&mut self, handle: Handle) {
        let tracked = &mut self.tracked[handle];
        // The first part was in memory and has no end in it; begin there all the same, the
        // search is much faster than the decoder was.
        tracked.giant_scanned = Some(tracked.read_position);
        self.window.clear();
        log_giant(tracked.name(), tracked.read_position);
    }

    /// Searches on for its end. With `is_final` the end of the file is one.
    pub fn measure_giant(&mut self, handle: Handle, is_final: bool) -> io::Result<Giant> {
        let tracked = &mut self.tracked[handle];
        let mut at = tracked.giant_scanned.unwrap_or(tracked.read_position);
        let mut block = vec![0; BLOCK_BYTES];
        for _ in 0..PIECE_BYTES / BLOCK_BYTES {
            let mut filled = 0;
            while filled < BLOCK_BYTES {
                match tracked.file.read_at(&mut block[filled..], at + filled as u64)? {
                    0 => break,
                    n => filled += n,
                }
            }
            let is_at_end = filled < BLOCK_BYTES;
            let gap = match is_final {
                true => None,
                false => tracked.place().find(&block[..filled], at, is_at_end)?,
            };
            filled = gap.as_ref().map_or(filled, |gap| (gap.start - at) as usize);
            let is_at_end = is_at_end || gap.is_some();
            tracked.gap = gap;
            if let Some(end) = tracked.decoder.newline_end(&block[..filled]) {
                return Ok(Giant::Ends(at + end as u64));
            }
            if is_at_end {
                // An odd byte may be half of a newline.
                tracked.giant_scanned = Some(at + (filled & !1) as u64);
                tracked.exhausted_at = Some(tracked.size);
                tracked.is_caught_up = true;
                return Ok(if is_final { Giant::Ends(at + filled as u64) } else { Giant::Open });
            }
            at += filled as u64;
            tracked.giant_scanned = Some(at);
        }
        Ok(Giant::Searching)
    }

    /// The giant line as a slice without events; `bytes_crc` is that of its bytes.
    pub fn giant_slice(&self, handle: Handle, end: u64, bytes_crc: u32) -> io::Result<Slice> {
        let tracked = &self.tracked[handle];
        Ok(Slice {
            start: tracked.read_position,
            end,
            lines: 1,
            bytes_crc,
            tail: TailBytes::read(&tracked.file, end)?,
            head: HeadBytes::read(&tracked.file, end)?,
            zeros_from: None,
            is_exhausted: false,
        })
    }
}

fn log_giant(name: &std::ffi::OsStr, at: u64) {
    crate::log::warn(
        super::READER,
        format_args!(
            "File:{}: the line at byte {at} is longer than {EVENT_BYTES_MAX} bytes, the most that \
             is held in memory; it goes to the dead-letter file as it is.",
            name.display()
        ),
    );
}
