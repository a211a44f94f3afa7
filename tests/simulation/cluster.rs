//! A cluster with one topic: what stands in its log, whom it remembers, and what is on its way to
//! it. It lives on when the agent dies.
//!
//! The rules of a real broker that matter here: a producer id is remembered for each partition
//! with its last batches; a batch with the identity of a remembered one is answered with the old
//! offset; a gap is refused; a higher epoch begins at 0 and shuts the lower one out; what is not
//! on every replica yet is not shown to readers and not acknowledged.

mod former;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use flume_ng::channel::batch::Wire;
use flume_ng::channel::broker::{Answer, ResponseError, Verdict};
use flume_ng::clock::{Clock, ManualClock};

use crate::Plant;
use crate::fuse::Trace;
use crate::rng::Rng;
pub use former::Former;

/// Whose rules the broker follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Spoken to by the `kafka` crate.
    V09,
    /// Message sets without identity over our own connection.
    V010,
    V011,
    V11,
    /// Tells topic ids.
    V28,
    /// Speaks the wire before 0.11 no more.
    V40,
}

/// How often what goes wrong, in percent of the cases, and for how long.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// The connection breaks and the request with it.
    pub request_lost: u64,
    /// The connection breaks after the broker has the request.
    pub answer_lost: u64,
    /// The request takes its time, in which the connection may end.
    pub request_late: u64,
    pub answer_late: u64,
    /// Opening, looking and asking for offsets fails.
    pub question_fails: u64,
    /// Errors that do not tell whether the batch was appended.
    pub doubtful: u64,
    /// An appended batch stays above the high watermark for a while.
    pub invisible: u64,
    pub late_max_ms: u64,
    pub invisible_max_ms: u64,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    AnswerLost,
    /// Nobody waits for it any more when it arrives, after so many milliseconds.
    Late(u64),
}

/// A batch as it travels.
#[derive(Clone)]
pub struct Produce {
    pub partition: i32,
    pub producer_id: i64,
    pub epoch: i16,
    pub sequence: i32,
    pub values: Rc<[Vec<u8>]>,
    pub size: usize,
    /// Unix time, ms; none on the legacy wire.
    pub stamp_ms: Option<i64>,
}

/// A batch in the log.
pub struct Stored {
    pub base: i64,
    pub producer_id: i64,
    pub epoch: i16,
    pub sequence: i32,
    pub values: Rc<[Vec<u8>]>,
    pub is_ours: bool,
    /// It was sent to a topic that was deleted before it arrived.
    pub is_of_former: bool,
    /// Monotonic time from which on readers see it; never falls along the log.
    pub visible_ms: u64,
}

struct Known {
    epoch: i16,
    /// Sequence, count, offset and visibility of the last batches, newest last.
    last: VecDeque<(i32, usize, i64, u64)>,
    seen_ms: u64,
}

#[derive(Default)]
pub struct Log {
    pub stored: Vec<Stored>,
    pub end: i64,
    known: BTreeMap<i64, Known>,
    leaderless_until_ms: u64,
}

impl Log {
    pub fn visible(&self, now_ms: u64) -> impl Iterator<Item = &Stored> {
        self.stored.iter().take_while(move |s| s.visible_ms <= now_ms)
    }

    pub fn high_watermark(&self, now_ms: u64) -> i64 {
        self.visible(now_ms).last().map_or(0, |s| s.base + s.values.len() as i64)
    }
}

/// A request on its way.
struct Packet {
    at_ms: u64,
    serial: u64,
    flight: u64,
    batches: Vec<Produce>,
}

/// A request of which the connection waits for the answer.
pub struct Flight {
    id: u64,
    pub deadline_ms: u64,
    answer_lost: bool,
    answer_delay_ms: u64,
    /// When the answer is there, and what it says.
    pub answer: Option<(u64, Vec<Answer>)>,
}

#[derive(Default)]
pub struct Connection {
    pub flights: VecDeque<Flight>,
    pub breaks_at_ms: Option<u64>,
}

pub struct Cluster {
    pub name: String,
    /// Counts the clusters that stood at this address.
    pub id: u32,
    /// Counts the topics of this name.
    pub topic: u32,
    /// Topics that were at the address before, the last one at the end.
    pub former: Vec<Former>,
    /// One of them was there again.
    pub has_returned: bool,
    /// How many clusters and topics there have been.
    made: (u32, u32),
    /// Stamps that differ by more from the broker's clock are refused, ms.
    pub stamp_limit_ms: i64,
    /// Until then the topic is compacted: it takes no record without a key.
    pub compacted_until_ms: u64,
    /// The broker's wall clock less its monotonic one, ms.
    pub wall_offset_ms: i64,
    pub version: Version,
    /// The topic's message format is older than 0.11.
    pub old_format: bool,
    pub replicas: usize,
    /// Larger batches are refused.
    pub limit: usize,
    /// On a larger request the connection is closed.
    pub request_limit: usize,
    pub request_timeout_ms: u64,
    /// A producer that was silent so long is forgotten.
    pub expiry_ms: u64,
    pub trouble: Trouble,
    /// What is appended stays above the high watermark for so long, ms.
    pub held_ms: u64,
    /// How long each question takes beyond a moment, ms.
    pub question_ms: u64,
    /// Partitions from this one on have too few replicas in sync, and take nothing.
    pub short_from: usize,
    /// What becomes of the next requests on the legacy wire, where that is not drawn.
    pub fates: VecDeque<Fate>,
    /// The topic is made anew when its ends were told next.
    pub is_remade_behind_ends: bool,
    pub logs: Vec<Log>,
    pub connection: Option<Connection>,
    pub unreachable_until_ms: u64,
    /// Questions of this kind get no answer.
    pub silent_at: Option<&'static str>,
    pub clock: ManualClock,
    pub rng: Rng,
    pub trace: Trace,
    pub plant: Plant,
    network: Vec<Packet>,
    /// Counts requests.
    pub serial: u64,
    /// Those up to this one were sent to a topic that was deleted since.
    serial_of_former: u64,
    /// Such a request is arriving.
    is_of_former: bool,
    next_producer_id: i64,
}

impl Cluster {
    pub fn new(name: &str, partitions: usize, clock: ManualClock, rng: Rng) -> Cluster {
        Cluster {
            name: name.to_owned(),
            id: 0,
            topic: 0,
            former: Vec::new(),
            has_returned: false,
            made: (0, 0),
            stamp_limit_ms: i64::MAX,
            compacted_until_ms: 0,
            wall_offset_ms: clock.now_ms(),
            version: Version::V28,
            old_format: false,
            replicas: 1,
            limit: usize::MAX,
            request_limit: usize::MAX,
            request_timeout_ms: 2_000,
            expiry_ms: 7 * 86_400_000,
            trouble: Trouble::default(),
            held_ms: 0,
            question_ms: 0,
            short_from: usize::MAX,
            fates: VecDeque::new(),
            is_remade_behind_ends: false,
            logs: (0..partitions).map(|_| Log::default()).collect(),
            connection: None,
            unreachable_until_ms: 0,
            silent_at: None,
            clock,
            rng,
            trace: Trace::default(),
            plant: Plant::Nothing,
            network: Vec::new(),
            serial: 0,
            serial_of_former: 0,
            is_of_former: false,
            next_producer_id: 0,
        }
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    /// From now on nothing goes wrong; what is on its way still comes.
    pub fn calm_down(&mut self) {
        self.trouble = Trouble::default();
        self.held_ms = 0;
        self.question_ms = 0;
        self.short_from = usize::MAX;
        self.fates.clear();
        self.unreachable_until_ms = 0;
        self.compacted_until_ms = 0;
        // Somebody sets the clocks.
        self.wall_offset_ms = self.clock.now_ms() - self.now_ms() as i64;
        self.logs.iter_mut().for_each(|log| log.leaderless_until_ms = 0);
    }

    /// Is nothing under way to the broker or back?
    pub fn is_answered(&self) -> bool {
        self.connection.as_ref().is_some_and(|c| c.flights.is_empty()) && self.is_network_empty()
    }

    pub fn is_network_empty(&self) -> bool {
        self.network.is_empty()
    }

    pub fn is_all_visible(&self) -> bool {
        let now_ms = self.now_ms();
        self.logs.iter().all(|l| l.stored.last().is_none_or(|s| s.visible_ms <= now_ms))
    }

    pub fn give_producer_id(&mut self) -> i64 {
        self.next_producer_id += 1;
        self.next_producer_id - 1
    }

    /// The topic is deleted and made anew; what is on its way gets into the new one. Others may have
    /// written to that before we hear of it.
    pub fn remake_topic(&mut self) {
        let fresh = self.logs.iter().map(|_| Log::default()).collect();
        self.put_away(fresh, Vec::new());
        self.made.1 += 1;
        self.topic = self.made.1;
        self.serial_of_former = self.serial;
        if self.tells_topic_id() {
            for _ in 0..self.rng.below(6) {
                self.write_foreign();
            }
        }
    }

    /// Another cluster stands at the address, with a topic of the same name. Another agent was
    /// given the producer ids there that our own cluster gave us, and has written under them.
    pub fn replace(&mut self, for_ms: u64) {
        self.cut();
        let network = std::mem::take(&mut self.network);
        self.remake_topic();
        if let Some(left) = self.former.last_mut() {
            left.network = network;
        }
        self.made.0 += 1;
        self.id = self.made.0;
        let ids = self.next_producer_id;
        self.next_producer_id = 0;
        for producer_id in 0..ids {
            for partition in 0..self.logs.len() as i32 {
                let mut sequence = 0;
                for _ in 0..self.rng.below(3) {
                    let count = self.rng.between(1, 3);
                    let values: Vec<Vec<u8>> =
                        (0..count).map(|n| format!("theirs {n}").into()).collect();
                    let (epoch, size, stamp_ms) = (0, 0, None);
                    let values = values.into();
                    let batch =
                        Produce { partition, producer_id, epoch, sequence, values, size, stamp_ms };
                    self.store(&batch, self.now_ms(), false);
                    sequence += count as i32;
                }
            }
            self.next_producer_id = producer_id + 1;
        }
        self.unreachable_until_ms = self.now_ms() + for_ms;
        if let Some(connection) = &mut self.connection {
            connection.breaks_at_ms = Some(0);
        }
    }

    /// Are there records of others?
    pub fn has_others(&self) -> bool {
        self.logs.iter().flat_map(|log| &log.stored).any(|stored| !stored.is_ours)
    }

    pub fn tells_topic_id(&self) -> bool {
        self.version >= Version::V28
    }

    /// How long a request without identity may take to show, from when the agent gives it up.
    pub fn settle_ms(&self) -> u64 {
        if self.replicas <= 1 { 1_000 } else { self.request_timeout_ms + 11_000 }
    }

    /// Puts a request on its way, to arrive after `delay_ms`, behind all before it. Returns its
    /// number.
    fn post(&mut self, batches: Vec<Produce>, delay_ms: u64) -> u64 {
        self.serial += 1;
        let at_ms = self.now_ms() + delay_ms;
        let behind = self.connection.as_ref().and_then(|c| c.flights.back()).map(|f| f.id);
        let before = self.network.iter().filter(|p| Some(p.flight) == behind);
        let at_ms = before.map(|p| p.at_ms).max().unwrap_or(0).max(at_ms);
        let flight = self.serial;
        self.network.push(Packet { at_ms, serial: self.serial, flight, batches });
        flight
    }

    /// A request over the present connection, whose answer is awaited later.
    pub fn fly(&mut self, batches: Vec<Produce>) {
        let now_ms = self.now_ms();
        let trouble = self.trouble.clone();
        let late = self.rng.chance(trouble.request_late);
        let quick_ms = self.rng.below(4);
        let slow_ms = self.rng.below(trouble.late_max_ms + 1);
        let id = self.post(batches, if late { slow_ms } else { quick_ms });
        if self.rng.chance(trouble.request_lost) {
            self.trace.say(|| format!("  {}: request {id} will be lost", self.name));
            self.network.retain(|p| p.flight != id);
            let breaks_at_ms = now_ms + self.rng.below(500);
            let connection = self.connection.get_or_insert_default();
            let at_ms = connection.breaks_at_ms.unwrap_or(u64::MAX).min(breaks_at_ms);
            connection.breaks_at_ms = Some(at_ms);
        }
        let answer_lost = self.rng.chance(trouble.answer_lost);
        let answer_late = self.rng.chance(trouble.answer_late);
        let slow_ms = self.rng.below(2 * self.request_timeout_ms);
        let answer_delay_ms = if answer_late { slow_ms } else { self.rng.below(3) };
        let deadline_ms = now_ms + self.request_timeout_ms;
        let flight = Flight { id, deadline_ms, answer_lost, answer_delay_ms, answer: None };
        self.connection.get_or_insert_default().flights.push_back(flight);
    }

    /// A request of the legacy wire that nobody waits for any more.
    pub fn fly_alone(&mut self, batches: Vec<Produce>, delay_ms: u64) {
        let id = self.post(batches, delay_ms);
        self.trace.say(|| format!("  {}: request {id} arrives in {delay_ms} ms", self.name));
    }

    /// The connection is over. What it carried arrives later, up to some request, or never.
    pub fn cut(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let mut cut_at = self.rng.below(connection.flights.len() as u64 + 1);
        if self.rng.chance(50) {
            cut_at = connection.flights.len() as u64;
        }
        let mut later_ms = 0;
        for (n, flight) in connection.flights.iter().enumerate() {
            if n as u64 >= cut_at {
                self.network.retain(|p| p.flight != flight.id);
                continue;
            }
            if self.rng.chance(self.trouble.request_late) {
                later_ms = self.rng.below(self.trouble.late_max_ms / 2 + 1).max(later_ms);
            }
            for packet in self.network.iter_mut().filter(|p| p.flight == flight.id) {
                packet.at_ms += later_ms;
                let (id, at_ms) = (flight.id, packet.at_ms);
                self.trace.say(|| format!("  {}: request {id} will come at {at_ms}", self.name));
            }
        }
    }

    /// Lets everything arrive whose time has come, in its order.
    pub fn pump(&mut self) {
        let now_ms = self.now_ms();
        self.network.sort_by_key(|p| (p.at_ms, p.serial));
        while self.network.first().is_some_and(|p| p.at_ms <= now_ms) {
            let packet = self.network.remove(0);
            self.arrive(packet);
        }
    }

    /// When something happens next by itself.
    pub fn next_event_ms(&self) -> Option<u64> {
        let packets = self.network.iter().map(|p| p.at_ms);
        let flights = self.connection.iter().flat_map(|c| &c.flights);
        let answers = flights.filter_map(|f| f.answer.as_ref().map(|(at_ms, _)| *at_ms));
        packets.chain(answers).min()
    }

    fn arrive(&mut self, packet: Packet) {
        self.is_of_former = packet.serial <= self.serial_of_former;
        let (answers, ready_ms) = self.append_all(&packet.batches, packet.at_ms);
        self.is_of_former = false;
        self.trace.say(|| format!("  {}: request {} -> {answers:?}", self.name, packet.flight));
        let Some(connection) = &mut self.connection else { return };
        let Some(flight) = connection.flights.iter_mut().find(|f| f.id == packet.flight) else {
            return;
        };
        if flight.answer_lost {
            let at_ms = connection.breaks_at_ms.unwrap_or(u64::MAX).min(packet.at_ms);
            connection.breaks_at_ms = Some(at_ms);
        } else {
            flight.answer = Some((ready_ms + flight.answer_delay_ms, answers));
        }
    }

    /// Answers, and when the broker gives them.
    pub fn append_all(&mut self, batches: &[Produce], now_ms: u64) -> (Vec<Answer>, u64) {
        self.forget_producers(now_ms);
        let mut ready_ms = now_ms;
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            let (mut verdict, visible_ms) = self.append(batch, now_ms);
            if visible_ms > now_ms + self.request_timeout_ms {
                // Appended, but not on all replicas in time.
                verdict = Verdict::Doubtful { error: ResponseError::RequestTimedOut };
                ready_ms = ready_ms.max(now_ms + self.request_timeout_ms);
            } else {
                ready_ms = ready_ms.max(visible_ms);
            }
            let (partition, base_sequence) = (batch.partition, batch.sequence);
            answers.push(Answer { partition, base_sequence, verdict });
        }
        (answers, ready_ms)
    }

    fn append(&mut self, batch: &Produce, now_ms: u64) -> (Verdict, u64) {
        let doubtful = self.rng.chance(self.trouble.doubtful);
        let kind = self.rng.below(4);
        if self.logs[batch.partition as usize].leaderless_until_ms > now_ms {
            return (Verdict::Doubtful { error: ResponseError::NotLeaderOrFollower }, now_ms);
        }
        if batch.partition as usize >= self.short_from {
            return (Verdict::Doubtful { error: ResponseError::NotEnoughReplicas }, now_ms);
        }
        if self.old_format && batch.producer_id >= 0 {
            return (Verdict::OldFormat, now_ms);
        }
        if batch.size > self.limit {
            self.trace.say(|| format!("  {} bytes are more than {}", batch.size, self.limit));
            return (Verdict::TooLarge, now_ms);
        }
        if self.compacted_until_ms > now_ms {
            let verdict = match self.version >= Version::V28 {
                true => {
                    Verdict::Rejected { error: ResponseError::InvalidRecord, records: Vec::new() }
                }
                false => Verdict::Doubtful { error: ResponseError::CorruptMessage },
            };
            return (verdict, now_ms);
        }
        let broker_ms = self.wall_offset_ms + now_ms as i64;
        if batch.stamp_ms.is_some_and(|stamp| (stamp - broker_ms).abs() > self.stamp_limit_ms) {
            return (Verdict::StampRefused, now_ms);
        }
        if doubtful && kind == 0 {
            self.lose_leader(batch.partition, 1 + now_ms % 300);
            return (Verdict::Doubtful { error: ResponseError::NotLeaderOrFollower }, now_ms);
        }
        if doubtful && kind == 2 {
            return (Verdict::Doubtful { error: ResponseError::NotEnoughReplicas }, now_ms);
        }
        if self.plant == Plant::AckWithoutAppend && doubtful {
            return (Verdict::Acked { base_offset: 0 }, now_ms);
        }
        let (verdict, visible_ms) = match self.judge(batch) {
            Ok(Some((base_offset, visible_ms))) => (Verdict::Acked { base_offset }, visible_ms),
            Ok(None) => self.store(batch, now_ms, true),
            Err(ResponseError::InvalidProducerEpoch) => return (Verdict::Fenced, now_ms),
            Err(error) => return (Verdict::OutOfSequence { error }, now_ms),
        };
        // Appended, and yet an error: not on enough replicas.
        let verdict = if doubtful && kind == 1 {
            Verdict::Doubtful { error: ResponseError::NotEnoughReplicasAfterAppend }
        } else {
            verdict
        };
        (verdict, visible_ms)
    }

    /// `None`: to be appended; else where it stands already. Or the error.
    fn judge(&self, batch: &Produce) -> Result<Option<(i64, u64)>, ResponseError> {
        if batch.producer_id < 0 || self.plant == Plant::ResendUnderFreshId {
            return Ok(None);
        }
        let count = batch.values.len();
        let log = &self.logs[batch.partition as usize];
        let Some(known) = log.known.get(&batch.producer_id) else {
            return match self.version {
                _ if batch.sequence == 0 => Ok(None),
                Version::V28 | Version::V40 => Ok(None),
                Version::V11 => Err(ResponseError::UnknownProducerId),
                Version::V011 | Version::V010 | Version::V09 => {
                    Err(ResponseError::OutOfOrderSequenceNumber)
                }
            };
        };
        if batch.epoch < known.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.epoch > known.epoch {
            return if batch.sequence == 0 {
                Ok(None)
            } else {
                Err(ResponseError::OutOfOrderSequenceNumber)
            };
        }
        let same = |k: &&(i32, usize, i64, u64)| k.0 == batch.sequence && k.1 == count;
        if let Some((_, _, base, visible_ms)) = known.last.iter().find(same) {
            return Ok(Some((*base, *visible_ms)));
        }
        let next = known.last.back().map_or(0, |(sequence, count, ..)| sequence + *count as i32);
        if batch.sequence == next { Ok(None) } else { Err(ResponseError::OutOfOrderSequenceNumber) }
    }

    fn store(&mut self, batch: &Produce, now_ms: u64, is_ours: bool) -> (Verdict, u64) {
        let mut visible_ms = now_ms + self.held_ms;
        if self.replicas > 1 && self.rng.chance(self.trouble.invisible) {
            visible_ms += self.rng.below(self.trouble.invisible_max_ms + 1);
        }
        let remembered = if self.version == Version::V011 { 1 } else { 5 };
        // On the old format the identity is not kept.
        let keeps_ids = self.version > Version::V010 && !self.old_format;
        let log = &mut self.logs[batch.partition as usize];
        visible_ms = log.stored.last().map_or(0, |s| s.visible_ms).max(visible_ms);
        let base = log.end;
        log.end += batch.values.len() as i64;
        log.stored.push(Stored {
            base,
            producer_id: if keeps_ids { batch.producer_id } else { -1 },
            epoch: batch.epoch,
            sequence: batch.sequence,
            values: batch.values.clone(),
            is_ours,
            is_of_former: self.is_of_former,
            visible_ms,
        });
        if batch.producer_id >= 0 {
            let fresh = || Known { epoch: batch.epoch, last: VecDeque::new(), seen_ms: now_ms };
            let known = log.known.entry(batch.producer_id).or_insert_with(fresh);
            if known.epoch != batch.epoch {
                known.epoch = batch.epoch;
                known.last.clear();
            }
            known.seen_ms = now_ms;
            known.last.push_back((batch.sequence, batch.values.len(), base, visible_ms));
            while known.last.len() > remembered {
                known.last.pop_front();
            }
        }
        (Verdict::Acked { base_offset: base }, visible_ms)
    }

    /// Another producer writes.
    pub fn write_foreign(&mut self) {
        let at = self.rng.below(self.logs.len() as u64) as usize;
        let count = self.rng.between(1, 4);
        let values: Vec<Vec<u8>> = (0..count).map(|n| format!("foreign {n}").into()).collect();
        let named = self.rng.chance(50);
        let now_ms = self.now_ms();
        let log = &mut self.logs[at];
        let visible_ms = log.stored.last().map_or(0, |s| s.visible_ms).max(now_ms);
        log.stored.push(Stored {
            base: log.end,
            producer_id: if named { 1_000_000 } else { -1 },
            epoch: 0,
            sequence: 0,
            values: values.into(),
            is_ours: false,
            is_of_former: false,
            visible_ms,
        });
        log.end += count as i64;
    }

    /// The brokers restart: of each producer they remember the last batch.
    pub fn restart(&mut self, for_ms: u64) {
        for known in self.logs.iter_mut().flat_map(|l| l.known.values_mut()) {
            while known.last.len() > 1 {
                known.last.pop_front();
            }
        }
        self.unreachable_until_ms = self.now_ms() + for_ms;
        if let Some(connection) = &mut self.connection {
            connection.breaks_at_ms = Some(0);
        }
    }

    pub fn lose_leader(&mut self, partition: i32, for_ms: u64) {
        self.logs[partition as usize].leaderless_until_ms = self.now_ms() + for_ms;
    }

    /// Partitions that have no leader now.
    pub fn leaderless(&self) -> Vec<i32> {
        let is_without = |p: &i32| self.logs[*p as usize].leaderless_until_ms > self.now_ms();
        (0..self.logs.len() as i32).filter(is_without).collect()
    }

    fn forget_producers(&mut self, now_ms: u64) {
        for log in &mut self.logs {
            log.known.retain(|_, k| k.seen_ms + self.expiry_ms > now_ms);
        }
    }

    /// The wire that a client finds.
    pub fn wire(&self, asked_for_legacy: bool) -> Wire {
        match self.version {
            Version::V09 => Wire::Legacy,
            Version::V010 => Wire::Middle,
            _ if asked_for_legacy => Wire::Middle,
            _ => Wire::Modern,
        }
    }
}
