//! `<trackerDir>/rebuilding`: as long as it is there, no checkpoint in the directory is trusted,
//! and a start reads the topic back.

use std::io;
use std::path::Path;

use crate::os;
use crate::source::reach;

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

/// Takes it away, durably. May be tried again after any error.
pub fn remove(dir: &Path) -> io::Result<()> {
    let directory = reach::open_directory(dir)?;
    match std::fs::remove_file(dir.join(FILE_NAME)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => directory.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::room::is_out_of_descriptors;

    #[test]
    fn without_a_descriptor_it_stays_and_is_removed_later() {
        let dir = std::env::temp_dir().join(format!("flume-ng-marker-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        make(&dir).unwrap();
        let none_left = |_: &Path| Some(io::Error::from_raw_os_error(libc::EMFILE));
        reach::set_mishap(Some(Box::new(none_left)));
        assert!(is_out_of_descriptors(&remove(&dir).unwrap_err()));
        assert!(is_there(&dir).unwrap());
        reach::set_mishap(None);
        remove(&dir).unwrap();
        assert!(!is_there(&dir).unwrap());
        remove(&dir).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
