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

use crate::checkpoint::java_tracker::{self, JavaState, JavaTrackerError};
use crate::checkpoint::room::is_out_of_descriptors;
use crate::config::model::SourceConfig;

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

/// Reads the tracker of a source. Only of use where there is no checkpoint.
pub(crate) fn handover(config: &SourceConfig) -> Result<Handover, HandoverError> {
    let path = config.tracker_dir.join(java_tracker::FILE_NAME);
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
    let path = config.tracker_dir.join(java_tracker::FILE_NAME);
    match java_tracker::read_java_tracker(&path) {
        Ok(JavaState::Found(tracker)) => Some((own_name(config, &tracker.file)?, tracker.offset)),
        _ => None,
    }
}

fn is_there(path: &Path) -> bool {
    !fs::metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// The bare name in the tracker's path, if it is the path that Flume would build for it here, or
/// leads into the same directory.
fn own_name(config: &SourceConfig, file: &[u8]) -> Option<OsString> {
    let name = file.rsplit(|&b| b == b'/').next().unwrap_or(file);
    let spool_dir = config.spool_dir.as_os_str().as_bytes();
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
