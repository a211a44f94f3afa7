//! What is missing where a file cannot be made or opened, and the way out.

use std::fs::File;
use std::io;
use std::path::Path;

use super::slots::{NEW_FILE_NAME, SLOT_BYTES_DEFAULT, fill};

/// Are there no descriptors left, for this process or for the machine? Then it is waited for: others
/// give theirs back.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The end of a message: what the operator can do.
pub fn way_out(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            "; this process needs a higher limit of open files (ulimit -Hn, LimitNOFILE of the unit)"
        }
        Some(libc::ENFILE) => "; this machine needs a higher limit of open files (fs.file-max)",
        Some(libc::ENOSPC | libc::EDQUOT) => "; free disk space",
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            "; give this user the right to write there"
        }
        _ => "",
    }
}

/// Why a file or directory could not be opened for reading, with the way out where no descriptor was
/// left.
pub fn why_not_opened(error: &io::Error) -> String {
    let way_out = if is_out_of_descriptors(error) { way_out(error) } else { "" };
    format!("{error}{way_out}")
}

/// Is there room in `dir` for a checkpoint that is still to be made? Tried as it is made, with a file
/// that is removed again.
pub fn try_room(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!("{NEW_FILE_NAME}.check-{}", std::process::id()));
    let file = File::options().write(true).create_new(true).open(&path)?;
    let filled = fill(&file, 2 * SLOT_BYTES_DEFAULT).and_then(|()| file.sync_all());
    std::fs::remove_file(&path)?;
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_that_of_the_error() {
        let told = |code| way_out(&io::Error::from_raw_os_error(code));
        assert!(told(libc::EMFILE).contains("ulimit -Hn"));
        assert!(told(libc::ENFILE).contains("fs.file-max"));
        assert!(told(libc::ENOSPC).contains("space"));
        assert!(told(libc::EACCES).contains("right"));
        assert_eq!(told(libc::EIO), "");
        assert!(is_out_of_descriptors(&io::Error::from_raw_os_error(libc::ENFILE)));
        assert!(!is_out_of_descriptors(&io::Error::from_raw_os_error(libc::ENOSPC)));
    }
}
