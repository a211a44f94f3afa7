//! A disk without room.

use std::io::ErrorKind;
use std::path::PathBuf;

use flume_ng::checkpoint::record::{FileRecord, Record};
use flume_ng::checkpoint::slots::WriteError;
use flume_ng::pipeline::Journal;

/// There is no room for the checkpoint while that file is there.
pub struct Cramped(pub Box<dyn Journal>, pub PathBuf);

impl Journal for Cramped {
    fn write(&mut self, record: &mut Record, files: &[&FileRecord]) -> Result<(), WriteError> {
        if self.1.exists() {
            let (path, error) = (self.1.clone(), ErrorKind::StorageFull.into());
            return Err(WriteError::NoRoom { path, bytes: 1, error });
        }
        self.0.write(record, files)
    }
}
