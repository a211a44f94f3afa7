//! What the brokers answer, and what becomes of the batches that it is about.

use super::announced::Ticket;
use super::sending::Flights;
use super::{Announced, Observer, Pipeline, mark};
use crate::channel::broker::{Answer, Fault, ResponseError, Verdict};
use crate::checkpoint::record::{BatchRecord, Fate};

impl Pipeline {
    /// Takes the answers that have come. A doubtful one ends trust in the connection; recovery
    /// follows in the next step.
    pub(super) fn receive(&mut self, observer: &mut dyn Observer) {
        let mut answers: Vec<Answer> = Vec::new();
        for at in 0..self.outlets.len() {
            if !self.outlets[at].is_open() {
                continue;
            }
            answers.clear();
            let result = self.outlets[at].broker.receive(&mut answers);
            for answer in &answers {
                self.take_answer(at, answer, observer);
            }
            match result {
                Ok(()) => {}
                Err(Fault::Idle(why)) => self.reopen(at, &why),
                Err(fault) => {
                    self.outlets[at].slow_down(&fault, self.clock.monotonic_ms());
                    self.distrust(at, &fault.to_string());
                }
            }
        }
        self.count_rounds();
    }

    fn take_answer(&mut self, outlet: usize, answer: &Answer, observer: &mut dyn Observer) {
        match &answer.verdict {
            Verdict::Acked { base_offset } => {
                if let Some(at) = self.find_announced(outlet, answer) {
                    let now_ms = self.clock.monotonic_ms();
                    let round = self.announced[at].round;
                    self.outlets[outlet].note_ack(answer.partition, now_ms);
                    self.outlets[outlet].trips.answered(round, answer.partition, now_ms);
                    self.mark_acked(at, *base_offset, observer);
                    if self.outlets[outlet].is_log_other() && self.outlets[outlet].is_open() {
                        self.distrust(outlet, "an acknowledged offset lies before the log's end");
                    }
                }
            }
            verdict => {
                if verdict.is_refusal()
                    && let Some(at) = self.find_announced(outlet, answer)
                {
                    self.announced[at].copies = self.announced[at].copies.refused();
                }
                if self.outlets[outlet].is_open() {
                    let leader = self.outlets[outlet].broker.leader(answer.partition);
                    self.distrust(outlet, &describe(verdict, answer.partition, leader));
                }
            }
        }
    }

    fn find_announced(&self, outlet: usize, answer: &Answer) -> Option<Ticket> {
        self.announced.find(|a| {
            a.record.fate.is_in_doubt()
                && usize::from(a.record.channel) == outlet
                && a.record.partition == answer.partition
                && (answer.base_sequence < 0 || a.record.base_sequence == answer.base_sequence)
        })
    }

    /// The batch is in the topic for good.
    pub(super) fn mark_acked(&mut self, at: Ticket, base_offset: i64, observer: &mut dyn Observer) {
        let acked = &self.announced[at].record;
        let is_in_doubt_there = |b: &BatchRecord| {
            b.fate.is_in_doubt() && b.channel == acked.channel && b.partition == acked.partition
        };
        let has_doubt_before =
            self.announced.before(at).iter().any(|a| is_in_doubt_there(&a.record));
        let Announced { record, encoded, .. } = &mut self.announced[at];
        record.fate = Fate::At(base_offset);
        let outlet = &mut self.outlets[usize::from(record.channel)];
        let behind = base_offset + i64::from(record.count);
        // Of a part whose events were counted with the one before it, that has told all.
        let is_counted = record.count == 0;
        if !is_counted && base_offset < outlet.partition(record.partition).floor_offset {
            outlet.acked_in_other_log(record.partition);
        }
        let partition = outlet.partition(record.partition);
        if !has_doubt_before && !is_counted {
            // An earlier batch that is still in doubt would stand before this one.
            partition.floor_offset = partition.floor_offset.max(behind);
            partition.mark = Some(mark(record, base_offset));
        }
        let batch = encoded.take();
        observer.acked(outlet.channel, u64::from(record.count), batch.as_ref());
        if let Some(batch) = batch {
            outlet.give_back(batch);
        }
        self.is_dirty = true;
        self.last_ack_ms = self.clock.monotonic_ms();
    }

    pub(super) fn count_rounds(&mut self) {
        let under_way = self.announced.iter().filter(|a| self.is_under_way(a));
        self.flights = Flights::of(under_way.map(|a| (a.round, a.copies)));
    }
}

/// What a verdict other than an ack says, and who says it, for the log.
pub(super) fn describe(verdict: &Verdict, partition: i32, leader: Option<String>) -> String {
    let what = match verdict {
        Verdict::Acked { base_offset } => format!("acknowledged at offset {base_offset}"),
        Verdict::TooLarge => "batch too large for the broker (error 10 or 18)".to_owned(),
        Verdict::Rejected { error, .. } => format!("batch rejected (error {})", error.code()),
        Verdict::Barred { error } => format!("every batch is refused (error {})", error.code()),
        Verdict::StampRefused => "timestamp refused (error 32)".to_owned(),
        Verdict::OldFormat => "the topic's message format is older than 0.11 (error 43)".to_owned(),
        Verdict::Fenced => "another producer uses our id (error 47)".to_owned(),
        Verdict::OutOfSequence { error } => {
            format!("not the sequence expected (error {})", error.code())
        }
        Verdict::Doubtful { error: ResponseError::CorruptMessage } => {
            "the broker refuses the records as damaged (error 2): if it \
             does so again and again, the topic is compacted, and records have no key; set \
             cleanup.policy=delete for the topic, or choose another one"
                .to_owned()
        }
        Verdict::Doubtful { error } => format!("doubtful answer (error {})", error.code()),
    };
    match leader {
        Some(leader) => format!("partition {partition} ({leader}): {what}"),
        None => format!("partition {partition}: {what}"),
    }
}
