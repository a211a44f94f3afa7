//! What a compressed batch unfolds to, as it is read: of gigabytes that a few bytes may hold, no more than the
//! record that is looked at is ever in memory.

use std::io::Read;

use super::compress::{UnpackError, reader};
use super::records::ReadError;

/// Of a record, or a message, so much is held at most. More than the longest event of ours with its headers.
pub const HELD_BYTES_MAX: usize = 18 << 20;
/// What one batch may unfold to: a ratio of 1,000 (gzip can no more) for a batch of 1 MB.
const UNFOLDED_BYTES_MAX: u64 = 1 << 30;
/// What is read at a time, and kept for the next batch.
const PIECE_BYTES: usize = 64 << 10;

/// See the [module](self).
pub(super) struct Unfolded<'a, 's> {
    from: Box<dyn Read + 'a>,
    /// What was read stands in `at..end`.
    held: &'s mut Vec<u8>,
    at: usize,
    end: usize,
    /// How much may still come.
    left: u64,
}

impl<'a, 's> Unfolded<'a, 's> {
    /// `held` is where it is put; it may be reused. The rest as for [`reader`].
    pub(super) fn new(
        codec: i16,
        magic: u8,
        packed: &'a [u8],
        held: &'s mut Vec<u8>,
    ) -> Result<Unfolded<'a, 's>, ReadError> {
        let from = reader(codec, magic, packed).map_err(ReadError::Unpack)?;
        Ok(Unfolded { from, held, at: 0, end: 0, left: UNFOLDED_BYTES_MAX })
    }

    /// The next `n` bytes, [`HELD_BYTES_MAX`] at most, or what there is before the end.
    pub(super) fn peek(&mut self, n: usize) -> Result<&[u8], ReadError> {
        let n = n.min(HELD_BYTES_MAX);
        while self.end - self.at < n {
            if self.held.len() - self.at < n {
                self.held.copy_within(self.at..self.end, 0);
                (self.at, self.end) = (0, self.end - self.at);
                self.grow(n.max(PIECE_BYTES));
            }
            let end = self.end;
            match self.read(end)? {
                0 => break,
                count => self.end += count,
            }
        }
        Ok(&self.held[self.at..self.end.min(self.at + n)])
    }

    /// The next `n` bytes, and whether these are all or the first of them.
    ///
    /// # Errors
    /// It ends before.
    pub(super) fn take(&mut self, n: usize) -> Result<(&[u8], bool), ReadError> {
        let bytes = self.peek(n)?;
        match bytes.len() == n.min(HELD_BYTES_MAX) {
            true => Ok((bytes, bytes.len() == n)),
            false => Err(ReadError::Malformed),
        }
    }

    /// Goes on behind the next `n` bytes.
    ///
    /// # Errors
    /// It ends before.
    pub(super) fn skip(&mut self, n: usize) -> Result<(), ReadError> {
        let mut beyond = n.saturating_sub(self.end - self.at);
        self.at = self.end.min(self.at.saturating_add(n));
        while beyond > 0 {
            (self.at, self.end) = (0, 0);
            self.grow(PIECE_BYTES);
            let count = self.read(0)?;
            if count == 0 {
                return Err(ReadError::Malformed);
            }
            self.at = count.min(beyond);
            self.end = count;
            beyond -= self.at;
        }
        Ok(())
    }

    fn grow(&mut self, bytes: usize) {
        if self.held.len() < bytes {
            self.held.reserve_exact(bytes - self.held.len());
            self.held.resize(bytes, 0);
        }
    }

    /// Reads once, to where the held bytes have this index; 0 at the end.
    fn read(&mut self, at: usize) -> Result<usize, ReadError> {
        const MALFORMED: ReadError = ReadError::Unpack(UnpackError::Malformed);
        let count = self.from.read(&mut self.held[at..]).map_err(|_| MALFORMED)?;
        self.left = self.left.checked_sub(count as u64).ok_or(MALFORMED)?;
        Ok(count)
    }
}

impl Drop for Unfolded<'_, '_> {
    /// After a long record, gives the memory back.
    fn drop(&mut self) {
        self.held.truncate(PIECE_BYTES);
        self.held.shrink_to(PIECE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::super::compress::{codec_id, pack};
    use super::*;
    use crate::config::model::Compression;

    fn packed(plain: &[u8], compression: Compression) -> Vec<u8> {
        let mut packed = Vec::new();
        pack(compression, plain, &mut packed);
        packed
    }

    #[test]
    fn it_is_read_in_parts_of_any_length() {
        let plain: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
        for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            if !compression.is_supported() {
                continue;
            }
            let packed = packed(&plain, compression);
            let mut held = Vec::new();
            let mut unfolded = Unfolded::new(codec_id(compression), 2, &packed, &mut held).unwrap();
            let mut at = 0;
            for n in (1..200_000).step_by(997) {
                let n = n.min(plain.len() - at);
                assert_eq!(unfolded.take(n).unwrap(), (&plain[at..at + n], true));
                // What was seen, and more than that.
                let on = (n + n % 3 * n).min(plain.len() - at);
                unfolded.skip(on).unwrap();
                at += on;
            }
            assert_eq!(at, plain.len());
            assert_eq!(unfolded.peek(1), Ok(&[][..]));
            assert_eq!(unfolded.take(1), Err(ReadError::Malformed));
            assert_eq!(unfolded.skip(1), Err(ReadError::Malformed));
        }
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let packed = packed(&vec![0; 4 << 20], Compression::Gzip);
        let mut held = Vec::new();
        let mut unfolded = Unfolded::new(1, 2, &packed, &mut held).unwrap();
        unfolded.left = 2 << 20;
        assert_eq!(unfolded.skip(1 << 20), Ok(()));
        assert_eq!(unfolded.skip(2 << 20), Err(ReadError::Unpack(UnpackError::Malformed)));
    }
}
