//! What survives a crash: the state of a source (`checkpoint`), the lock that keeps a second agent
//! away (`lock`), the proofs of what was done (`receipts`), all in the tracker directory, and
//! the tracker file of the Java agent, which is taken over.

pub mod aside;
pub mod codec;
pub(crate) mod cuts;
pub(crate) mod dead_letter;
pub mod flume_positions;
mod giant_letter;
pub(crate) mod half_letter;
mod inherited_letters;
pub(crate) mod java_tracker;
pub mod ledger;
pub mod lock;
mod names;
pub mod receipt;
pub mod receipt_index;
pub mod record;
pub mod room;
pub mod slots;
pub(crate) mod spool_lock;
pub(crate) mod trouble;

#[cfg(test)]
mod scratch;
