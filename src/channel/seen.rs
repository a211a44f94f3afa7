//! By which a log is known again where the brokers tell nothing of it that could not be another log's as well.

use super::broker::Fault;
use super::records::Entry;
use super::walk::each_entry;

/// An entry that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) base_offset: i64,
    pub(super) next_offset: i64,
    checksum: u32,
}

impl Seen {
    pub(super) fn of(entry: &Entry<'_>) -> Seen {
        let Entry { base_offset, next_offset, .. } = *entry;
        Seen { base_offset, next_offset, checksum: entry.checksum() }
    }

    /// The first whole entry of what was asked for from `from` on.
    pub(super) fn first(records: &[u8], from: i64) -> Result<Option<Seen>, Fault> {
        let mut first = None;
        each_entry(records, from, &mut |entry| {
            first.get_or_insert(Seen::of(entry));
            Ok(())
        })?;
        Ok(first)
    }
}
