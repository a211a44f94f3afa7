//! `<trackerDir>/rebuilding`: as long as it is there, no checkpoint in the directory is trusted,
//! and a start reads the topic back.

use std::io;
use std::path::Path;

use crate::os;

pub const FILE_NAME: &str = "rebuilding";

const TEXT: &str = "The positions were lost and are being read back from the topic. As long as this \
                    file is here, each start begins with that.\n";

pub fn is_there(dir: &Path) -> io::Result<bool> {
    dir.join(FILE_NAME).try_exists()
}

/// Makes it, durably.
pub fn make(dir: &Path) -> io::Result<()> {
    os::write_anew(&dir.join(FILE_NAME), TEXT.as_bytes())?.sync_all()?;
    os::sync_directory(dir)
}

/// Takes it away, durably.
pub fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_file(dir.join(FILE_NAME)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => os::sync_directory(dir),
    }
}
