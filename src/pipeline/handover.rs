//! What Flume's tracker means for a source: the one answer that a start acts upon and that `check`,
//! `status` and `verify` tell.
//!
//! A tracker that cannot be made sense of stops a start. To begin at 0 in its place would send again
//! what Flume has sent, and a warning among the lines of a start is read when it is too late.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::checkpoint::flume_positions::{self, FlumePosition, FlumePositions};
use crate::checkpoint::java_tracker::{self, JavaState, JavaTrackerError};
use crate::checkpoint::record::Record;
use crate::checkpoint::room::is_out_of_descriptors;
use crate::config::model::{SourceConfig, SourceKind, TailConfig};

/// What a tracker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Handover {
    /// There is no tracker.
    Nothing,
    /// Reading goes on at this byte of the file of that bare name.
    At { name: OsString, offset: u64 },
    /// The file that it is for was finished since: nothing is to be taken over.
    Finished { name: OsString, completed: OsString },
    /// The file that it is for is no longer in the directory: likewise.
    Gone { name: OsString },
    /// The position file of a `TAILDIR` source.
    Positions(TailHandover),
}

/// A tracker of which the position cannot be taken over, though there is one: exit code 78.
#[derive(Debug)]
pub(crate) enum HandoverError {
    /// It is for a file that is not in this spool directory.
    Elsewhere {
        tracker: PathBuf,
        file: Vec<u8>,
        spool_dir: PathBuf,
    },
    /// It tells neither file nor position.
    Damaged {
        tracker: PathBuf,
        why: String,
    },
    Unreadable(JavaTrackerError),
    Positions(TailHandoverError),
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandoverError::Elsewhere { tracker, file, spool_dir } => {
                let file = Path::new(OsStr::from_bytes(file));
                let dir = file.parent().unwrap_or(file);
                write!(
                    f,
                    "{}: Flume's tracker is for {}, which is not in {}; to begin at 0 would send \
                     again what Flume has sent. If it is the same directory, write spoolDir = {} as \
                     Flume had it; if that position is of no use any more, remove the tracker",
                    tracker.display(),
                    file.display(),
                    spool_dir.display(),
                    dir.display()
                )
            }
            HandoverError::Damaged { tracker, why } => write!(
                f,
                "{}: Flume's tracker tells no position ({why}); to begin at 0 would send again what \
                 Flume has sent. Put a good copy in its place, or remove it to begin at 0",
                tracker.display()
            ),
            HandoverError::Unreadable(why) => why.fmt(f),
            HandoverError::Positions(why) => why.fmt(f),
        }
    }
}

impl HandoverError {
    /// Will it be over by itself?
    pub(crate) fn is_passing(&self) -> bool {
        self.io().is_some_and(is_out_of_descriptors)
    }

    /// What the system has said, if it was the system.
    pub(crate) fn io(&self) -> Option<&std::io::Error> {
        match self {
            HandoverError::Unreadable(JavaTrackerError::Io { error, .. }) => Some(error),
            _ => None,
        }
    }
}

impl std::error::Error for HandoverError {}

/// The positions with which a source has begun, kept in its tracker directory.
pub(crate) const TAKEN_OVER: &str = "taken-over.json";

/// What Flume's position file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TailHandover {
    pub path: PathBuf,
    pub positions: Vec<FlumePosition>,
    /// What is wrong behind them.
    pub damage: Option<String>,
}

/// A position file that cannot be taken over.
#[derive(Debug)]
pub(crate) enum TailHandoverError {
    /// It cannot be read now.
    Unreadable(String),
    /// It is not valid: exit code 78.
    Unusable(String),
}

impl fmt::Display for TailHandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (TailHandoverError::Unreadable(why) | TailHandoverError::Unusable(why)) = self;
        f.write_str(why)
    }
}

/// Reads the position file of a `TAILDIR` source, if there is one. Only of use where there is no
/// checkpoint.
pub(crate) fn tail_handover(tail: &TailConfig) -> Result<Option<TailHandover>, TailHandoverError> {
    let Some(path) = &tail.position_file else { return Ok(None) };
    match flume_positions::read(path) {
        Ok(FlumePositions::Absent) => Ok(None),
        Ok(FlumePositions::Found(positions, damage)) => {
            Ok(Some(TailHandover { path: path.clone(), positions, damage }))
        }
        Ok(FlumePositions::Unusable(why)) => Err(TailHandoverError::Unusable(format!(
            "{}: this is no position file of Flume ({why}); to begin at 0 would send again what \
             Flume has sent. Put a good copy in its place, or remove it to begin at 0",
            path.display()
        ))),
        // A directory stands there: nothing was ever kept in it.
        Err(_) if path.is_dir() => Ok(None),
        Err(e) => Err(TailHandoverError::Unreadable(format!("{}: {e}", path.display()))),
    }
}

/// Why the positions in Flume's file are not this agent's: it writes none that its checkpoint does not
/// have, so one that is ahead says that Flume has run since. `written`: when the checkpoint was.
pub(crate) fn positions_ahead(
    config: &SourceConfig,
    tail: &TailConfig,
    record: &Record,
    written: Option<SystemTime>,
) -> Option<String> {
    let path = tail.position_file.as_ref()?;
    // Before this agent wrote last: then it is its own, of what has been truncated since perhaps.
    let stamp = fs::metadata(path).and_then(|stat| stat.modified()).ok();
    if stamp <= written {
        return None;
    }
    let Ok(FlumePositions::Found(positions, _)) = flume_positions::read(path) else { return None };
    let is_ahead = |position: &&FlumePosition| {
        let mut records = record.files.iter().filter(|file| file.inode == position.inode);
        // Another file may have the inode by now.
        let is_there = || {
            fs::metadata(&position.file)
                .is_ok_and(|stat| stat.ino() == position.inode && stat.len() >= position.pos)
        };
        let is_known = records.clone().next().is_some();
        is_known && records.all(|file| file.position < position.pos) && is_there()
    };
    let ahead = positions.iter().find(is_ahead)?;
    Some(format!(
        "{}: it says that {} was read to byte {}, which is more than this agent has read: Flume has \
         run here since, and to go on would send again what it has sent. To go on where Flume was, \
         remove {}; to go on where this agent was, remove the position file",
        path.display(),
        ahead.file,
        ahead.pos,
        config.tracker_dir.display()
    ))
}

/// The positions with which a `TAILDIR` source began, by inode.
pub(crate) fn taken_over(config: &SourceConfig) -> Vec<FlumePosition> {
    match flume_positions::read(&config.tracker_dir.join(TAKEN_OVER)) {
        Ok(FlumePositions::Found(positions, _)) => positions,
        _ => Vec::new(),
    }
}

/// Reads the tracker of a source. Only of use where there is no checkpoint.
pub(crate) fn handover(config: &SourceConfig) -> Result<Handover, HandoverError> {
    if let Some(tail) = config.kind.tail() {
        let found = tail_handover(tail).map_err(HandoverError::Positions)?;
        return Ok(found.map_or(Handover::Nothing, Handover::Positions));
    }
    let path = config.tracker_dir.join(tracker_name(config));
    let tracker = match java_tracker::read_java_tracker(&path) {
        Err(e) => return Err(HandoverError::Unreadable(e)),
        Ok(JavaState::Absent) => return Ok(Handover::Nothing),
        Ok(JavaState::Unusable(why)) => return Err(HandoverError::Damaged { tracker: path, why }),
        Ok(JavaState::Found(tracker)) => tracker,
    };
    let Some(name) = own_name(config, &tracker.file) else {
        let spool_dir = config.spool_dir.clone();
        return Err(HandoverError::Elsewhere { tracker: path, file: tracker.file, spool_dir });
    };
    // What cannot be looked at now is not gone: its position waits for it.
    if is_there(&config.spool_dir.join(&name)) {
        return Ok(Handover::At { name, offset: tracker.offset });
    }
    let mut completed = name.clone();
    completed.push(&config.file_suffix);
    match is_there(&config.spool_dir.join(&completed)) {
        true => Ok(Handover::Finished { name, completed }),
        false => Ok(Handover::Gone { name }),
    }
}

/// File and position of the tracker, whatever has become of the file since. `None` where a start would
/// not have taken it over.
pub(crate) fn position(config: &SourceConfig) -> Option<(OsString, u64)> {
    let path = config.tracker_dir.join(tracker_name(config));
    match java_tracker::read_java_tracker(&path) {
        Ok(JavaState::Found(tracker)) => Some((own_name(config, &tracker.file)?, tracker.offset)),
        _ => None,
    }
}

fn is_there(path: &Path) -> bool {
    !fs::metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// Where Flume's source of that kind keeps its position.
fn tracker_name(config: &SourceConfig) -> &'static str {
    match config.kind {
        SourceKind::SpoolDir(_) => java_tracker::SPOOL_FILE_NAME,
        SourceKind::SpoolTail | SourceKind::Tail(_) => java_tracker::FILE_NAME,
    }
}

/// The bare name in the tracker's path, if it is the path that Flume would build for it here, or
/// leads into the same directory.
fn own_name(config: &SourceConfig, file: &[u8]) -> Option<OsString> {
    let spool_dir = config.spool_dir.as_os_str().as_bytes();
    let below = |dir: &[u8]| {
        let dir = java_tracker::tracked_path(dir, b"");
        file.strip_prefix(&dir[..]).map(<[u8]>::to_vec)
    };
    if config.kind.is_recursive()
        && let Some(name) = below(config.spool_dir_text.as_bytes()).or_else(|| below(spool_dir))
        && !name.is_empty()
    {
        return Some(OsString::from_vec(name));
    }
    let name = file.rsplit(|&b| b == b'/').next().unwrap_or(file);
    let is_path = |dir: &[u8]| java_tracker::tracked_path(dir, name) == file;
    let is_own = is_path(config.spool_dir_text.as_bytes())
        || is_path(spool_dir)
        || is_same_directory(Path::new(OsStr::from_bytes(file)), &config.spool_dir);
    (is_own && !name.is_empty()).then(|| OsString::from_vec(name.to_vec()))
}

fn is_same_directory(file: &Path, spool_dir: &Path) -> bool {
    let identity = |dir: &Path| fs::metadata(dir).map(|stat| (stat.dev(), stat.ino())).ok();
    let dir = file.parent().and_then(identity);
    dir.is_some() && dir == identity(spool_dir)
}
