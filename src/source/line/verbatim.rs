//! Lines whose bytes are taken as they are.

use memchr::{memchr, memchr_iter};

use super::{Split, Tail};

/// Splits a block at its newlines. One carriage return before a newline belongs to it.
pub(super) fn split(
    block: &[u8],
    tail: Tail,
    emit: &mut impl FnMut(&[u8], usize) -> bool,
) -> Split {
    let mut split = Split::default();
    for newline in memchr_iter(b'\n', block) {
        let line = &block[split.consumed..newline];
        split.consumed = newline + 1;
        split.lines += 1;
        if !emit(line.strip_suffix(b"\r").unwrap_or(line), split.consumed) {
            split.stopped = true;
            return split;
        }
    }
    if tail != Tail::Open && split.consumed < block.len() {
        let line = &block[split.consumed..];
        split.consumed = block.len();
        split.lines += u64::from(tail != Tail::Cut);
        split.stopped = !emit(line, split.consumed);
    }
    split
}

/// How many bytes at the beginning of a block are left of a line that was an event before its newline
/// came: that newline is none. `None`: it depends on what comes.
pub(crate) fn late_newline(block: &[u8], tail: Tail) -> Option<usize> {
    match block {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        [b'\r'] if tail == Tail::Open => None,
        _ => Some(0),
    }
}

/// How many bytes at the beginning of a block are left of a line that is to be passed over. `None`: its
/// newline has not come.
pub(crate) fn rest_of_line(block: &[u8], tail: Tail) -> Option<usize> {
    match memchr(b'\n', block) {
        Some(at) => Some(at + 1),
        None if tail == Tail::Open => None,
        None => Some(block.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CutCharacter;
    use super::*;

    fn events(block: &[u8], tail: Tail) -> (Vec<Vec<u8>>, usize) {
        let mut events = Vec::new();
        let split = split(block, tail, &mut |body, _| {
            events.push(body.to_vec());
            true
        });
        (events, split.consumed)
    }

    #[test]
    fn one_carriage_return_before_the_newline_goes_and_all_else_stays() {
        let block = b"one\r\n\n\r\r\ntwo\rthree\n\xff\0\xc3\n\r\nrest\r";
        let whole: Vec<&[u8]> = vec![b"one", b"", b"\r", b"two\rthree", b"\xff\0\xc3", b""];
        assert_eq!(events(block, Tail::Open), (whole.iter().map(|l| l.to_vec()).collect(), 25));
        let (all, consumed) = events(block, Tail::Final(CutCharacter::Drop));
        assert_eq!((all.len(), all[6].as_slice(), consumed), (7, &b"rest\r"[..], block.len()));
        assert_eq!(events(b"", Tail::Final(CutCharacter::Drop)).0.len(), 0);
    }

    #[test]
    fn a_newline_that_comes_late_is_left_of_its_line() {
        let last = Tail::Final(CutCharacter::Drop);
        assert_eq!(late_newline(b"\nnext\n", Tail::Open), Some(1));
        assert_eq!(late_newline(b"\r\nnext\n", Tail::Open), Some(2));
        assert_eq!(late_newline(b"\r", Tail::Open), None);
        assert_eq!(late_newline(b"\r", last), Some(0));
        assert_eq!(late_newline(b"more\n", Tail::Open), Some(0));
        assert_eq!(rest_of_line(b"of it\nnext", Tail::Open), Some(6));
        assert_eq!(rest_of_line(b"of it", Tail::Open), None);
        assert_eq!(rest_of_line(b"of it", last), Some(5));
    }
}
