//! What Flume's file channel has left in its directories.
//!
//! Here the log files themselves are the buffer, so nothing is read from a file channel. Events that
//! Flume has put there and not taken yet must not be left behind in silence: they are counted, and
//! where there are any, or where they cannot be counted, the agent does not start.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::os::open_regular;

/// What the directories hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Events(u64),
    /// It cannot be told; why.
    Unknown(String),
}

/// Puts and takes of more events than that are not compared: a channel holds a million by default.
const ENTRIES_MAX: usize = 20_000_000;
/// The message of a log's meta file and of the checkpoint's is far smaller.
const META_BYTES_MAX: u64 = 1 << 20;
/// First byte of a record, of one that was made void, and of room that is not written to.
const RECORD: u8 = 0x7f;
const VOID: u8 = 0;
const UNWRITTEN: u8 = 0x80;
/// Kinds of records.
const PUT: u64 = 1;
const TAKE: u64 = 2;
const ROLLBACK: u64 = 3;
const COMMIT: u64 = 4;

/// Looks at the directories of a channel; changes nothing there.
pub(super) fn left(checkpoint_dir: &Path, data_dirs: &[PathBuf]) -> Left {
    match look(checkpoint_dir, data_dirs) {
        Ok(0) => Left::Nothing,
        Ok(events) => Left::Events(events),
        Err(why) => Left::Unknown(why),
    }
}

fn look(checkpoint_dir: &Path, data_dirs: &[PathBuf]) -> Result<u64, String> {
    let mut logs = Vec::new();
    for dir in data_dirs {
        list_logs(dir, &mut logs)?;
    }
    logs.sort_unstable();
    if logs.is_empty() {
        return Ok(0);
    }
    // Each log ends where the checkpoint has it: then the checkpoint's own count holds.
    let mut is_settled = true;
    for (_, path) in &logs {
        is_settled &= ends_at_checkpoint(path)?;
    }
    let counted = read_meta(&checkpoint_dir.join("checkpoint.meta"))?;
    match counted.and_then(|fields| fields.number(3)) {
        Some(events) if is_settled => Ok(events),
        _ => replay(&logs),
    }
}

fn list_logs(dir: &Path, logs: &mut Vec<(u64, PathBuf)>) -> Result<(), String> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(told(dir, &e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| told(dir, &e))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix("log-")?.parse::<u64>().ok());
        if let Some(number) = number {
            logs.push((number, entry.path()));
        }
    }
    Ok(())
}

fn told(path: &Path, e: &io::Error) -> String {
    format!("{} cannot be read: {e}", path.display())
}

/// Does nothing follow the place up to which the checkpoint knows this log?
fn ends_at_checkpoint(log: &Path) -> Result<bool, String> {
    let mut meta = log.as_os_str().to_owned();
    meta.push(".meta");
    let position = match read_meta(Path::new(&meta))? {
        Some(fields) if fields.has(5) => {
            return Err(format!("{} is encrypted", log.display()));
        }
        Some(fields) => fields.number(3).unwrap_or(0),
        None => 0,
    };
    let mut file = open_regular(log, 0).map_err(|e| told(log, &e))?;
    file.seek(SeekFrom::Start(position)).map_err(|e| told(log, &e))?;
    let mut byte = [0];
    let count = file.read(&mut byte).map_err(|e| told(log, &e))?;
    Ok(count == 0 || byte[0] == UNWRITTEN)
}

/// The fields of the one message in a meta file; `None` where there is no such file.
fn read_meta(path: &Path) -> Result<Option<Fields>, String> {
    let file = match open_regular(path, 0) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(told(path, &e)),
    };
    let mut bytes = Vec::new();
    file.take(META_BYTES_MAX).read_to_end(&mut bytes).map_err(|e| told(path, &e))?;
    let mut rest = &bytes[..];
    let fields = take_message(&mut rest);
    fields.map(Some).ok_or_else(|| format!("{} is not a file of a file channel", path.display()))
}

/// Puts that were committed and that no committed take names.
fn replay(logs: &[(u64, PathBuf)]) -> Result<u64, String> {
    let mut replay = Replay::default();
    for (number, path) in logs {
        let file = open_regular(path, 0).map_err(|e| told(path, &e))?;
        replay.read(*number, &mut BufReader::new(file)).map_err(|e| told(path, &e))?;
        if replay.puts.len() + replay.takes.len() + replay.open.len() > ENTRIES_MAX {
            return Err(format!("more than {ENTRIES_MAX} events would have to be compared"));
        }
    }
    Ok(replay.puts.difference(&replay.takes).count() as u64)
}

/// An event's log and its record's place there.
type Place = (u64, u64);

#[derive(Default)]
struct Replay {
    /// By transaction, not committed yet.
    open: HashMap<u64, (Vec<Place>, Vec<Place>)>,
    puts: HashSet<Place>,
    takes: HashSet<Place>,
}

impl Replay {
    /// Reads a log to its end, or to a record that was not written whole.
    fn read(&mut self, log: u64, file: &mut impl io::Read) -> io::Result<()> {
        let mut at = 0u64;
        loop {
            let mut head = [0; 5];
            if !fill(file, &mut head)? || ![RECORD, VOID].contains(&head[0]) {
                return Ok(());
            }
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut record = Vec::new();
            file.take(length.into()).read_to_end(&mut record)?;
            if record.len() < length as usize {
                return Ok(());
            }
            if head[0] == RECORD && self.take(log, at, &record).is_none() {
                return Err(io::Error::other(format!("the record at byte {at} is damaged")));
            }
            at += head.len() as u64 + u64::from(length);
        }
    }

    fn take(&mut self, log: u64, at: u64, record: &[u8]) -> Option<()> {
        let mut rest = record;
        let header = take_message(&mut rest)?;
        let transaction = header.number(2)?;
        match header.number(1)? {
            PUT => self.open.entry(transaction).or_default().0.push((log, at)),
            TAKE => {
                let body = take_message(&mut rest)?;
                let place = (body.number(1)?, body.number(2).unwrap_or(0));
                self.open.entry(transaction).or_default().1.push(place);
            }
            ROLLBACK => drop(self.open.remove(&transaction)),
            COMMIT => {
                let (puts, takes) = self.open.remove(&transaction).unwrap_or_default();
                self.puts.extend(puts);
                self.takes.extend(takes);
            }
            _ => {}
        }
        Some(())
    }
}

/// Fills the buffer; `false` at the end of the file.
fn fill(file: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// Fields of a protobuf message: their numbers, and the values of those that are numbers.
#[derive(Debug, Default)]
struct Fields(Vec<(u64, u64)>);

impl Fields {
    fn has(&self, field: u64) -> bool {
        self.0.iter().any(|(number, _)| *number == field)
    }

    fn number(&self, field: u64) -> Option<u64> {
        self.0.iter().find(|(number, _)| *number == field).map(|(_, value)| *value)
    }
}

/// A message with its length before it.
fn take_message(rest: &mut &[u8]) -> Option<Fields> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (mut message, after) = rest.split_at_checked(length)?;
    *rest = after;
    let mut fields = Fields::default();
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let value = match key & 7 {
            0 => take_varint(&mut message)?,
            1 => u64::from_le_bytes(take(&mut message, 8)?.try_into().ok()?),
            2 => {
                let length = take_varint(&mut message)?;
                take(&mut message, usize::try_from(length).ok()?)?;
                length
            }
            5 => u32::from_le_bytes(take(&mut message, 4)?.try_into().ok()?).into(),
            _ => return None,
        };
        fields.0.push((key >> 3, value));
    }
    Some(fields)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-1.11").join(name).join("input")
    }

    /// The recorded directories, laid out as Flume has them.
    fn laid_out(label: &str, name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("flume-ng-fc-{label}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("checkpoint")).unwrap();
        fs::create_dir_all(dir.join("data")).unwrap();
        for entry in fs::read_dir(case(name)).unwrap() {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            if let Some((below, file)) = file.split_once('.') {
                fs::copy(entry.path(), dir.join(below).join(file)).unwrap();
            }
        }
        dir
    }

    fn look_at(dir: &Path) -> Left {
        left(&dir.join("checkpoint"), &[dir.join("data")])
    }

    #[test]
    fn events_that_flume_left_behind_are_counted() {
        let full = laid_out("full", "S29-file-channel-with-events");
        let empty = laid_out("empty", "S30-file-channel-empty");
        assert_eq!(look_at(&full), Left::Events(3));
        assert_eq!(look_at(&empty), Left::Nothing);
        // Without the checkpoint the logs tell the same.
        for dir in [&full, &empty] {
            fs::remove_dir_all(dir.join("checkpoint")).unwrap();
        }
        assert_eq!(look_at(&full), Left::Events(3));
        assert_eq!(look_at(&empty), Left::Nothing);
        // An unclean end: more was written than the checkpoint knows.
        fs::remove_file(full.join("data/log-1.meta")).unwrap();
        assert_eq!(look_at(&full), Left::Events(3));
        for dir in [full, empty] {
            fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn directories_that_are_not_there_hold_nothing() {
        let dir = std::env::temp_dir().join(format!("flume-ng-fc-none-{}", std::process::id()));
        assert_eq!(look_at(&dir), Left::Nothing);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_empty() {
        let dir = laid_out("odd", "S30-file-channel-empty");
        fs::write(dir.join("checkpoint/checkpoint.meta"), [0xff; 40]).unwrap();
        assert!(matches!(look_at(&dir), Left::Unknown(why) if why.contains("checkpoint.meta")));
        fs::remove_file(dir.join("checkpoint/checkpoint.meta")).unwrap();
        // A record of three bytes that make no message.
        fs::write(dir.join("data/log-1"), [RECORD, 0, 0, 0, 3, 9, 9, 9]).unwrap();
        assert!(matches!(look_at(&dir), Left::Unknown(why) if why.contains("damaged")));
        fs::remove_dir_all(dir).unwrap();
    }
}
