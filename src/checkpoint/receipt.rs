//! The file `receipts`: one line for each finished file, which proves it against the topic.
//!
//! ```text
//! name=010_2017041212.log completed=… device=64512 inode=131 size=400000 lines=20000
//! events=20000 bytes_crc32=0badcafe opened_ms=… finished_ms=… born_ns=… head=256:1234abcd
//! tail_crc32=… range=c1:topic:0:4711:100-6766:6667 range=… crc32=deadbeef   (all in one line)
//! ```
//!
//! Values are percent-escaped wherever they could be taken for something else or are no ASCII, so
//! that names of any bytes survive. `crc32` covers the line before it. Keys that are not known are
//! left alone. Lines that begin with `#` say nothing.
//!
//! The file is only ever appended to. A crash in mid-append leaves a piece of a line at the end;
//! readers ignore it. The next append ends the piece with a newline and says `#torn` behind it,
//! which tells the remains of a crash from damage for ever. After a crash the same receipt may be
//! appended again: the last one counts.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::room::way_out;
use crate::os;

/// Name of the file in the tracker directory.
pub const FILE_NAME: &str = "receipts";
/// No line is longer, bytes (some 150,000 offset ranges).
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What stands before the checksum of a line.
const CRC_KEY: &str = " crc32=";
/// How much of the file's end is read first to find its last line, bytes; then twice as much.
const TAIL_STEP_BYTES: usize = 64 * 1024;

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Bare name under which it was read.
    pub name: Vec<u8>,
    /// Path below the spool directory under which it was left; empty if it was deleted.
    pub completed: Vec<u8>,
    pub device: u64,
    pub inode: u64,
    /// When the inode was made, ns since 1970; 0 where it is not known.
    pub born_ns: i64,
    /// Length and CRC-32 of the fingerprint of its beginning, and CRC-32 of the (at most
    /// [`TAIL_BYTES`](super::record::TAIL_BYTES)) bytes before its end: whether the bytes are still those that were read.
    pub head_len: u32,
    pub head_crc: u32,
    pub tail_crc: u32,
    /// Bytes that were read and are covered by the rest.
    pub size: u64,
    pub lines: u64,
    pub events: u64,
    /// CRC-32 of its bytes.
    pub bytes_crc: u32,
    /// Unix times of the first read and of the receipt, ms.
    pub opened_ms: i64,
    pub finished_ms: i64,
    pub ranges: Vec<ReceiptRange>,
    /// As in [`Record`](super::record::Record::names_from).
    pub names_from: Vec<u8>,
}

/// Where events of the file stand: in one partition, sent under one producer id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptRange {
    pub channel: String,
    pub topic: String,
    pub partition: i32,
    /// -1 on the wire before 0.11.
    pub producer_id: i64,
    /// Offsets of the first and the last event; other files' events may stand between them.
    pub first: i64,
    pub last: i64,
    pub events: u64,
}

impl Receipt {
    /// Is `other` for the same bytes of the same file (and the later one of them to be taken)?
    pub fn is_same_file(&self, other: &Receipt) -> bool {
        (self.device, self.inode, self.size, &self.name)
            == (other.device, other.inode, other.size, &other.name)
    }

    /// The line with its checksum and newline.
    fn to_line(&self) -> String {
        let mut line = format!(
            "name={} completed={} device={} inode={} size={} lines={} events={} \
             bytes_crc32={:08x} opened_ms={} finished_ms={} born_ns={} head={}:{:08x} \
             tail_crc32={:08x}",
            Escaped(&self.name),
            Escaped(&self.completed),
            self.device,
            self.inode,
            self.size,
            self.lines,
            self.events,
            self.bytes_crc,
            self.opened_ms,
            self.finished_ms,
            self.born_ns,
            self.head_len,
            self.head_crc,
            self.tail_crc
        );
        if !self.names_from.is_empty() {
            let _ = write!(line, " names_from={}", Escaped(&self.names_from));
        }
        for range in &self.ranges {
            // Writing to a String does not fail.
            let _ = write!(line, " range={range}");
        }
        let crc = crc32fast::hash(line.as_bytes());
        let _ = writeln!(line, "{CRC_KEY}{crc:08x}");
        line
    }

    /// Reads a line (without its newline); `None` if its checksum or a value is wrong.
    pub(super) fn parse(line: &[u8]) -> Option<Receipt> {
        let line = std::str::from_utf8(checked(line)?).ok()?;
        let mut receipt = Receipt::default();
        // A bit for each key that must be there.
        let mut seen = 0u32;
        for pair in line.split(' ') {
            let (key, value) = pair.split_once('=')?;
            let bit = match key {
                "name" => set(&mut receipt.name, unescape(value), 0),
                "completed" => set(&mut receipt.completed, unescape(value), 1),
                "device" => set(&mut receipt.device, value.parse().ok(), 2),
                "inode" => set(&mut receipt.inode, value.parse().ok(), 3),
                "size" => set(&mut receipt.size, value.parse().ok(), 4),
                "lines" => set(&mut receipt.lines, value.parse().ok(), 5),
                "events" => set(&mut receipt.events, value.parse().ok(), 6),
                "bytes_crc32" => {
                    set(&mut receipt.bytes_crc, u32::from_str_radix(value, 16).ok(), 7)
                }
                "opened_ms" => set(&mut receipt.opened_ms, value.parse().ok(), 8),
                "finished_ms" => set(&mut receipt.finished_ms, value.parse().ok(), 9),
                "born_ns" => {
                    receipt.born_ns = value.parse().ok()?;
                    continue;
                }
                "head" => {
                    let (len, crc) = value.split_once(':')?;
                    receipt.head_len = len.parse().ok()?;
                    receipt.head_crc = u32::from_str_radix(crc, 16).ok()?;
                    continue;
                }
                "tail_crc32" => {
                    receipt.tail_crc = u32::from_str_radix(value, 16).ok()?;
                    continue;
                }
                "names_from" => {
                    receipt.names_from = unescape(value)?;
                    continue;
                }
                "range" => {
                    receipt.ranges.push(ReceiptRange::parse(value)?);
                    continue;
                }
                _ => continue,
            };
            seen |= 1 << bit?;
        }
        (seen == (1 << 10) - 1).then_some(receipt)
    }
}

/// Stores a value and passes `bit` on; `None` if there is no value.
fn set<T>(place: &mut T, value: Option<T>, bit: u32) -> Option<u32> {
    *place = value?;
    Some(bit)
}

impl fmt::Display for ReceiptRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}:{}:{}-{}:{}",
            Escaped(self.channel.as_bytes()),
            Escaped(self.topic.as_bytes()),
            self.partition,
            self.producer_id,
            self.first,
            self.last,
            self.events
        )
    }
}

impl ReceiptRange {
    fn parse(value: &str) -> Option<ReceiptRange> {
        let mut parts = value.split(':');
        let mut next = || parts.next();
        let channel = String::from_utf8(unescape(next()?)?).ok()?;
        let topic = String::from_utf8(unescape(next()?)?).ok()?;
        let partition = next()?.parse().ok()?;
        let producer_id = next()?.parse().ok()?;
        let (first, last) = next()?.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        let events = next()?.parse().ok()?;
        let range = ReceiptRange { channel, topic, partition, producer_id, first, last, events };
        next().is_none().then_some(range)
    }
}

/// Bytes of any kind as printable ASCII without what separates values.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            if byte.is_ascii_graphic() && !matches!(byte, b'%' | b':' | b'=') {
                f.write_char(byte.into())?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let digit = |d: u8| char::from(d).to_digit(16);
            bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
            rest = after;
        } else {
            bytes.push(*byte);
        }
    }
    Some(bytes)
}

/// The part of a line that its checksum covers, if that is right.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (text, crc) = line.split_at_checked(line.len().checked_sub(CRC_KEY.len() + 8)?)?;
    let computed = format!("{CRC_KEY}{:08x}", crc32fast::hash(text));
    (crc == computed.as_bytes()).then_some(text)
}

/// Is a line (without its newline) a whole one?
fn is_whole(line: &[u8]) -> bool {
    line.starts_with(b"#") || checked(line).is_some()
}

/// Why a receipt was not written or cannot be read.
#[derive(Debug)]
pub enum ReceiptError {
    /// Nothing durable was written; it may be tried again, with room on the disk for instance.
    Write {
        path: PathBuf,
        error: io::Error,
    },
    /// It is not known what stands on the disk. Final: a second fdatasync would report success
    /// without having written anything.
    Sync {
        path: PathBuf,
        error: io::Error,
    },
    /// Its offset ranges do not fit into [`LINE_BYTES_MAX`].
    TooLong {
        path: PathBuf,
        bytes: usize,
    },
    Read {
        path: PathBuf,
        error: io::Error,
    },
    /// A line (counted from 1) is not as it was written, and no crash has left it so.
    Damaged {
        path: PathBuf,
        line: u64,
    },
}

impl ReceiptError {
    /// What the system has said, if it was the system.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            ReceiptError::Write { error, .. }
            | ReceiptError::Sync { error, .. }
            | ReceiptError::Read { error, .. } => Some(error),
            ReceiptError::TooLong { .. } | ReceiptError::Damaged { .. } => None,
        }
    }

    /// Must the agent end?
    pub fn is_final(&self) -> bool {
        matches!(self, ReceiptError::Sync { .. })
    }
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiptError::Write { path, error } => write!(
                f,
                "{}: a receipt cannot be appended: {error}{}",
                path.display(),
                way_out(error)
            ),
            ReceiptError::Sync { path, error } => write!(
                f,
                "{}: a receipt may not have reached the disk: {error}; check the disk, then start \
                 again",
                path.display()
            ),
            ReceiptError::TooLong { path, bytes } => write!(
                f,
                "{}: a receipt of {bytes} bytes is longer than {LINE_BYTES_MAX}; let the topic \
                 have fewer partitions",
                path.display()
            ),
            ReceiptError::Read { path, error } => {
                write!(f, "{}: cannot be read: {error}", path.display())
            }
            ReceiptError::Damaged { path, line } => write!(
                f,
                "{}: line {line} is damaged: its file cannot be verified; the other lines are \
                 not affected",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ReceiptError {}

/// The receipts of a tracker directory, for appending. Only for who holds its lock.
#[derive(Debug)]
pub struct Receipts {
    dir: PathBuf,
    path: PathBuf,
    sync_failed: bool,
}

impl Receipts {
    /// Nothing is opened or made before the first [`Receipts::append`].
    pub fn new(dir: &Path) -> Receipts {
        Receipts { dir: dir.to_owned(), path: dir.join(FILE_NAME), sync_failed: false }
    }

    /// Appends `receipt`; durable when it returns. Repairs a torn end first.
    pub fn append(&mut self, receipt: &Receipt) -> Result<(), ReceiptError> {
        self.append_all(std::slice::from_ref(receipt))
    }

    /// Appends them all with one write and one sync.
    pub fn append_all(&mut self, receipts: &[Receipt]) -> Result<(), ReceiptError> {
        let mut lines = String::new();
        for receipt in receipts {
            let line = receipt.to_line();
            if line.len() > LINE_BYTES_MAX {
                return Err(ReceiptError::TooLong { path: self.path.clone(), bytes: line.len() });
            }
            lines.push_str(&line);
        }
        if self.sync_failed {
            let error = io::Error::other("an earlier one did not");
            return Err(ReceiptError::Sync { path: self.path.clone(), error });
        }
        let (file, dir) = self
            .write(lines.as_bytes())
            .map_err(|error| ReceiptError::Write { path: self.path.clone(), error })?;
        let synced = match dir {
            Some(dir) => file.sync_all().and_then(|()| dir.sync_all()),
            None => file.sync_data(),
        };
        synced.map_err(|error| {
            self.sync_failed = true;
            ReceiptError::Sync { path: self.path.clone(), error }
        })
    }

    /// The file is opened for each write: there is one an hour, and it may be moved in between. With
    /// the directory, where the name of the file is to be made durable: opened before anything is
    /// written, so that what fails behind that is the disk.
    fn write(&self, lines: &[u8]) -> io::Result<(File, Option<File>)> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = os::open_own(&self.path, &mut options)?;
        let len = file.metadata()?.len();
        // One that was made but never synced is empty: its name is not durable either.
        let dir = if len == 0 { Some(File::open(&self.dir)?) } else { None };
        let mut bytes = repair(&file, len)?.to_vec();
        bytes.extend_from_slice(lines);
        file.write_all_at(&bytes, len)?;
        Ok((file, dir))
    }
}

/// What must stand between the end of the file and a new line.
fn repair(file: &File, len: u64) -> io::Result<&'static [u8]> {
    if len == 0 {
        return Ok(b"");
    }
    let tail = last_line(file, len)?;
    Ok(match tail.strip_suffix(b"\n") {
        Some(line) if is_whole(line) => b"",
        // All of it but something in its middle has arrived.
        Some(_) => b"#torn\n",
        None if checked(&tail).is_some() => b"\n",
        None => b"\n#torn\n",
    })
}

/// The last line with its newline if it has one; of one that is too long for a receipt, its end.
fn last_line(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let mut start = len;
    while start > 0 && tail.len() <= LINE_BYTES_MAX {
        let step = start.min(tail.len().max(TAIL_STEP_BYTES) as u64);
        start -= step;
        let mut bytes = vec![0; step as usize];
        file.read_exact_at(&mut bytes, start)?;
        bytes.append(&mut tail);
        tail = bytes;
        let before_end = &tail[..tail.len() - 1];
        if let Some(newline) = memchr::memrchr(b'\n', before_end) {
            tail.drain(..=newline);
            break;
        }
    }
    Ok(tail)
}

/// Reads all receipts of the tracker directory `dir`, in the order of their writing, with one
/// line in memory at a time. No file: no receipts. A damaged line is an error item; the lines
/// behind it follow.
pub fn read_all(dir: &Path) -> Result<ReadAll, ReceiptError> {
    let path = dir.join(FILE_NAME);
    let input = match os::read_own(&path) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(ReceiptError::Read { path, error }),
    };
    Ok(ReadAll::begin(path, input, 0))
}

/// Reads what stands in the file behind `from`, of which no more than the last `bytes_max` bytes: whole
/// lines that are receipts go to `take`. Returns up to where it has read; where the file is shorter than
/// `from` it is another one, and is read from its beginning.
pub(crate) fn read_end(
    dir: &Path,
    from: u64,
    bytes_max: u64,
    take: &mut dyn FnMut(Receipt),
) -> io::Result<u64> {
    let file = match os::read_own(&dir.join(FILE_NAME)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let len = file.metadata()?.len();
    let from = if len < from { 0 } else { from };
    let start = from.max(len.saturating_sub(bytes_max));
    let mut bytes = vec![0; usize::try_from(len - start).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start)?;
    // Begun in the middle of a line, it goes on with the next one.
    let first =
        if start == from { Some(0) } else { memchr::memchr(b'\n', &bytes).map(|at| at + 1) };
    let Some((first, last)) = first.zip(memchr::memrchr(b'\n', &bytes)) else { return Ok(start) };
    let lines = bytes.get(first..last).unwrap_or_default().split(|byte| *byte == b'\n');
    lines.filter_map(Receipt::parse).for_each(take);
    Ok(start + last as u64 + 1)
}

/// See [`read_all`].
#[derive(Debug)]
pub struct ReadAll {
    path: PathBuf,
    /// `None` at the end.
    input: Option<BufReader<File>>,
    line: Vec<u8>,
    /// Lines read so far.
    number: u64,
    /// Number of a line that is not whole, until the line behind it shows why.
    bad: Option<u64>,
    /// Where the line that was read last begins and ends.
    start: u64,
    end: u64,
    is_cut: bool,
}

impl Iterator for ReadAll {
    type Item = Result<Receipt, ReceiptError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // Still unread if the line before it was reported as damaged.
            if self.line.is_empty() {
                match self.read_line() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => {
                        self.input = None;
                        return Some(Err(ReceiptError::Read { path: self.path.clone(), error }));
                    }
                }
            }
            let is_comment = self.line.starts_with(b"#");
            if let Some(line) = self.bad.take()
                && !is_comment
            {
                return Some(Err(ReceiptError::Damaged { path: self.path.clone(), line }));
            }
            let line = std::mem::take(&mut self.line);
            let receipt = Receipt::parse(line.strip_suffix(b"\n").unwrap_or(&line));
            match receipt {
                Some(receipt) => return Some(Ok(receipt)),
                None if is_comment => {}
                None => self.bad = Some(self.number),
            }
        }
    }
}

impl ReadAll {
    /// Reads `file`, which stands at the byte `at`, where a line begins.
    pub(super) fn of(path: PathBuf, file: File, at: u64) -> ReadAll {
        ReadAll::begin(path, Some(file), at)
    }

    fn begin(path: PathBuf, file: Option<File>, at: u64) -> ReadAll {
        ReadAll {
            path,
            input: file.map(BufReader::new),
            line: Vec::new(),
            number: 0,
            bad: None,
            start: at,
            end: at,
            is_cut: false,
        }
    }

    /// Where the line of the receipt begins that came last.
    pub(super) fn start_of_last(&self) -> u64 {
        self.start
    }

    /// Up to where there are whole lines.
    pub(super) fn end_of_whole(&self) -> u64 {
        if self.is_cut { self.start } else { self.end }
    }

    /// Reads the next line; of one that is too long, its beginning. `false` at the end.
    fn read_line(&mut self) -> io::Result<bool> {
        let Some(input) = &mut self.input else { return Ok(false) };
        let max = LINE_BYTES_MAX as u64;
        let mut len = input.by_ref().take(max).read_until(b'\n', &mut self.line)?;
        let has_end = self.line.ends_with(b"\n");
        if self.line.len() == LINE_BYTES_MAX && !has_end {
            len += input.skip_until(b'\n')?;
        }
        if len == 0 {
            return Ok(false);
        }
        self.number += 1;
        (self.start, self.end, self.is_cut) = (self.end, self.end + len as u64, !has_end);
        Ok(true)
    }
}

/// Whatever it is, with its own checksum and with the right one: what is read is written as it was.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn fuzz(line: &[u8]) {
    let crc = format!("{CRC_KEY}{:08x}", crc32fast::hash(line));
    for line in [line, &[line, crc.as_bytes()].concat()] {
        if let Some(receipt) = Receipt::parse(line) {
            let written = receipt.to_line();
            assert_eq!(Receipt::parse(written.trim_end_matches('\n').as_bytes()), Some(receipt));
        }
    }
}

#[cfg(test)]
mod tests;
