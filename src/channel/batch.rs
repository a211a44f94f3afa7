//! One batch of events for one partition, encoded for the wire as the events arrive.

use super::broker::{Identity, Wire};
use crate::config::model::{Compression, ValueFormat};

/// See the module. Buffers are kept from one use to the next: `begin` starts anew.
pub struct Batch {
    _todo: (),
}

impl Batch {
    pub fn new(_wire: Wire, _format: ValueFormat, _compression: Compression) -> Batch {
        todo!()
    }

    /// Empties it for a new run of events of `partition`, all stamped `stamp_ms`.
    pub fn begin(&mut self, _partition: i32, _stamp_ms: i64) {
        todo!()
    }

    /// Appends an event: `headers` is its encoded Avro header map (`event::avro_headers`; unused
    /// where the value is the bare body).
    pub fn push(&mut self, _headers: &[u8], _body: &[u8]) {
        todo!()
    }

    /// Events so far.
    pub fn count(&self) -> u32 {
        todo!()
    }

    /// Encoded size so far, before compression, bytes; what the broker's limits count.
    pub fn size(&self) -> usize {
        todo!()
    }

    /// Completes it: header, compression, checksum. Until the next `begin` it may be sent any
    /// number of times.
    pub fn seal(&mut self, _identity: Identity, _base_sequence: i32) {
        todo!()
    }

    pub fn partition(&self) -> i32 {
        todo!()
    }

    pub fn base_sequence(&self) -> i32 {
        todo!()
    }

    /// The record values, in order (also after `seal`).
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::empty()
    }

    /// CRC-32 over the CRC-32s (each little endian) of the values, and the CRC-32 of the first
    /// value: what a legacy log is searched for. 0, 0 for an empty batch.
    pub fn content_crcs(&self) -> (u32, u32) {
        todo!()
    }
}
