//! A directory for one test, removed at its end.

use std::path::PathBuf;

pub(super) struct Scratch {
    pub(super) dir: PathBuf,
}

impl Scratch {
    /// `name` must be that of one test only.
    pub(super) fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("flume-ng-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch { dir }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
