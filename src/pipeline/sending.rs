//! What was announced goes on its way as soon as it may.
//!
//! One commit announces several rounds, more than may be under way at once. They go out in their order, each as a
//! request of its own, as answers to those before them come. Two things may keep a batch back:
//!
//! - *Where batches have an identity*, a connection carries five requests at most, and a batch follows one of its
//!   partition that is not answered only while an ack of the last second proves that the broker knows the
//!   producer there. That was so when it was announced; it is asked again when it is sent. None goes out before
//!   one of its partition that waits.
//! - *Where they have none*, a second batch of a partition must not be under way beside the first: were the first
//!   lost and the second not, lines would change places, and of two equal ones it could not be told
//!   which is in the log. It goes out with the answer to the first.
//!
//! Nothing goes out that is not in a record on the disk, as it would be sent: each batch knows
//! whether it is (`Announced::is_on_disk`), whatever has become of the turn that announced it.

use super::announced::Ticket;
use super::{Announced, Copies, Pipeline};
use crate::channel::batch::Batch;
use crate::channel::outlet::{ROUND_BATCHES_MAX, Stage};

/// Rounds that are announced and not wholly answered.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Flights {
    pub(super) all: usize,
    /// Those of which a batch was not sent yet.
    pub(super) waiting: usize,
}

impl Flights {
    /// Of the rounds of these batches, each in doubt, in the order in which they were announced. A round may fill
    /// some partitions only, so the queues of those do not tell how many there are.
    pub(super) fn of(batches: impl Iterator<Item = (u64, Copies)>) -> Flights {
        let mut flights = Flights::default();
        let (mut last, mut last_waiting) = (None, None);
        for (round, copies) in batches {
            flights.all += usize::from(last.replace(round) != Some(round));
            if copies == Copies::None {
                flights.waiting += usize::from(last_waiting.replace(round) != Some(round));
            }
        }
        flights
    }
}

impl Pipeline {
    /// Hands over what may go out now, of all channels that are open.
    pub(super) fn send_ready(&mut self) {
        for at in 0..self.outlets.len() {
            // Into another topic than the record tells of nothing goes without a look.
            while matches!(self.outlets[at].stage, Stage::Open { .. }) {
                let ready = self.ready(at);
                let has_identity = self.outlets[at].wire().has_identity();
                if ready.is_empty() || !self.send_round(at, &ready) || !has_identity {
                    break;
                }
            }
        }
    }

    /// `false`: the connection is lost.
    fn send_round(&mut self, at: usize, batches: &[Ticket]) -> bool {
        let now_ms = self.clock.monotonic_ms();
        let mut last = 0;
        for &n in batches {
            let Announced { copies, round, .. } = &mut self.announced[n];
            *copies = copies.sent();
            if *round != last {
                self.outlets[at].trips.sent(*round, now_ms);
                last = *round;
            }
        }
        let batches: Vec<&Batch> =
            batches.iter().filter_map(|&n| self.announced[n].encoded.as_ref()).collect();
        let Err(fault) = self.outlets[at].broker.send(&batches) else { return true };
        self.outlets[at].slow_down(&fault, now_ms);
        self.distrust(at, &fault.to_string());
        false
    }

    /// What is announced in channel `at`, was not sent yet, and may be, in one request to each leader.
    fn ready(&self, at: usize) -> Vec<Ticket> {
        let outlet = &self.outlets[at];
        let is_closed = outlet.broker.rounds_in_flight_max() == 0;
        match outlet.wire().has_identity() {
            // What a socket has not taken yet is a copy in memory.
            true if is_closed || outlet.is_congested() => Vec::new(),
            true => self.ready_round(at),
            false => self.ready_firsts(at),
        }
    }

    /// Where batches have an identity: those of the first round that waits which may go out.
    fn ready_round(&self, at: usize) -> Vec<Ticket> {
        let (outlet, now_ms) = (&self.outlets[at], self.clock.monotonic_ms());
        let (mut ready, mut of_round) = (Vec::new(), None);
        // Partitions of what is not answered and stands before, and of that of it which goes out later, or now.
        let (mut behind, mut taken): (Vec<i32>, Vec<i32>) = (Vec::new(), Vec::new());
        for n in self.asked_doubts(at) {
            let announced = &self.announced[n];
            let partition = announced.record.partition;
            if announced.copies == Copies::None {
                let before = behind.iter().filter(|p| **p == partition).count();
                let may_go = announced.is_on_disk()
                    && !taken.contains(&partition)
                    && of_round.is_none_or(|round| round == announced.round)
                    && outlet.may_follow(partition, before, now_ms)
                    && outlet.broker.takes(partition);
                if may_go {
                    of_round = Some(announced.round);
                    ready.push(n);
                }
                taken.push(partition);
            }
            behind.push(partition);
        }
        ready
    }

    /// Where they have none: of each partition the first that is not answered.
    fn ready_firsts(&self, at: usize) -> Vec<Ticket> {
        let outlet = &self.outlets[at];
        let (mut ready, mut bytes) = (Vec::new(), 0);
        let mut behind: Vec<i32> = Vec::new();
        // What is parked has to be looked for once it has a leader again.
        for n in self.asked_doubts(at) {
            let announced = &self.announced[n];
            let partition = announced.record.partition;
            let is_next = !behind.contains(&partition)
                && outlet.broker.takes(partition)
                && outlet.has_room_behind(bytes)
                && ready.len() < ROUND_BATCHES_MAX;
            if announced.copies == Copies::None && announced.is_on_disk() && is_next {
                bytes += announced.encoded_bytes();
                ready.push(n);
            }
            behind.push(partition);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_counted_whatever_partitions_they_fill() {
        let sent = Copies::One;
        let list = [(3, sent), (3, sent), (4, sent), (4, Copies::None), (5, Copies::None)];
        let flights = Flights::of(list.into_iter());
        assert_eq!((flights.all, flights.waiting), (3, 2));
        let none = Flights::of(std::iter::empty());
        assert_eq!((none.all, none.waiting), (0, 0));
    }
}
