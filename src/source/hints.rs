//! What the file system says of a file: whether it may be the recorded one. Its content decides.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use crate::checkpoint::record::FileRecord;

/// What the file system says of a file. Hints, no more: they change with a remount, a reboot, a
/// restore or a copy, and equal ones may be another file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    pub device: u64,
    pub inode: u64,
    /// 0 where it is not known.
    pub born_ns: i64,
}

impl Hints {
    pub fn of(stat: &Metadata) -> Hints {
        Hints { device: stat.dev(), inode: stat.ino(), born_ns: born_ns(stat) }
    }

    pub fn of_record(record: &FileRecord) -> Hints {
        Hints { device: record.device, inode: record.inode, born_ns: record.born_ns }
    }

    pub fn agree(self, other: Hints) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
            && !is_other_birth(self.born_ns, other.born_ns)
    }
}

/// Modification time, Unix ms; a file system may hold any, and the furthest ones are cut off.
pub fn modified_ms(stat: &Metadata) -> i64 {
    stat.mtime().saturating_mul(1000).saturating_add(stat.mtime_nsec() / 1_000_000)
}

/// When the inode was made, ns since 1970; 0 where the file system does not say.
pub fn born_ns(stat: &Metadata) -> i64 {
    let since = stat.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(0))
}

/// Two birth times that tell two files apart. One that is not known tells nothing.
pub fn is_other_birth(a: i64, b: i64) -> bool {
    a != 0 && b != 0 && a != b
}
