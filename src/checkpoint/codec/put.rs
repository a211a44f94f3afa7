//! Values as bytes, appended to those before.

/// `N` bytes of fields that follow one another: each append by itself would ask for room, and a record may have ten
/// thousand files, each with more fields than that of anything else.
pub(super) struct Fields<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Fields<N> {
    fn default() -> Fields<N> {
        Fields { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Fields<N> {
    #[inline(always)]
    pub(super) fn with<const M: usize>(mut self, field: [u8; M]) -> Fields<N> {
        self.bytes[self.len..self.len + M].copy_from_slice(&field);
        self.len += M;
        self
    }

    #[inline(always)]
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.len, N);
        out.extend_from_slice(&self.bytes);
    }
}

pub(super) fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

pub(super) fn put_length(out: &mut Vec<u8>, len: usize) {
    // A record that reaches 4 GiB cannot be: the slots refuse one of 64 MiB.
    put(out, u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}
