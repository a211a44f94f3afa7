//! The lines of the demo: each is unique, and what it says can be checked to the last byte.

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// yyyyMMddHH
    pub hour: u32,
    pub number: u64,
}

const FILLER: &str =
    "a line of an application's log, long enough to be like one, and of no meaning";

/// Appends the line with its newline.
pub fn push(line: Line, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a Vec does not fail.
    let _ = writeln!(out, "{} {:07} {FILLER}", line.hour, line.number);
}

/// Reads a line without its newline; `None` unless it is exactly as it was written.
pub fn parse(body: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(body).ok()?;
    let mut words = text.splitn(3, ' ');
    let line = Line { hour: words.next()?.parse().ok()?, number: words.next()?.parse().ok()? };
    let mut whole = Vec::with_capacity(body.len() + 1);
    push(line, &mut whole);
    (whole.strip_suffix(b"\n") == Some(body)).then_some(line)
}
