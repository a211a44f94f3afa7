//! What was announced goes on its way as soon as it may.
//!
//! Where batches have an identity, that is at once. Where they have none, a second batch of a
//! partition must not be under way beside the first: were the first lost and the second not, lines
//! would change places, and of two equal ones it could not be told which is in the log. It
//! is announced all the same while the first is answered, and goes out with that answer.
//!
//! Nothing goes out that is not in a record on the disk, as it would be sent: each batch knows
//! whether it is (`Announced::is_on_disk`), whatever has become of the turn that announced it.

use super::announced::Ticket;
use super::{Announced, Copies, Pipeline};
use crate::channel::batch::Batch;
use crate::channel::outlet::ROUND_BATCHES_MAX;

impl Pipeline {
    /// Hands over what may go out now, of all channels that are open.
    pub(super) fn send_ready(&mut self) {
        for at in 0..self.outlets.len() {
            if !self.outlets[at].is_open() {
                continue;
            }
            let ready = self.ready(at);
            if ready.is_empty() {
                continue;
            }
            let now_ms = self.clock.monotonic_ms();
            let mut last = 0;
            for &n in &ready {
                let Announced { copies, round, .. } = &mut self.announced[n];
                *copies = copies.sent();
                if *round != last {
                    self.outlets[at].trips.sent(*round, now_ms);
                    last = *round;
                }
            }
            let batches: Vec<&Batch> =
                ready.iter().filter_map(|&n| self.announced[n].encoded.as_ref()).collect();
            if let Err(fault) = self.outlets[at].broker.send(&batches) {
                self.outlets[at].slow_down(&fault, self.clock.monotonic_ms());
                self.distrust(at, &fault.to_string());
            }
        }
    }

    /// What is announced in channel `at`, was not sent yet, and may be.
    fn ready(&self, at: usize) -> Vec<Ticket> {
        let outlet = &self.outlets[at];
        let has_identity = outlet.wire().has_identity();
        let (mut ready, mut bytes) = (Vec::new(), 0);
        // Partitions of what is not answered and stands before.
        let mut behind: Vec<i32> = Vec::new();
        // What is parked has to be looked for once it has a leader again.
        for n in self.asked_doubts(at) {
            let announced = &self.announced[n];
            let partition = announced.record.partition;
            let is_next = has_identity
                || (!behind.contains(&partition)
                    && outlet.broker.takes(partition)
                    && outlet.has_room_behind(bytes)
                    && ready.len() < ROUND_BATCHES_MAX);
            if announced.copies == Copies::None && announced.is_on_disk() && is_next {
                bytes += announced.encoded_bytes();
                ready.push(n);
            }
            behind.push(partition);
        }
        ready
    }
}
