//! One channel as one source sees it: the broker behind the seam, who we are there, and where the
//! next batch goes.

use std::rc::Rc;

use super::batch::Batch;
use super::batch::{Identity, Wire};
use super::broker::{Answer, Broker, Fault, Topic};
use super::limit::{BATCH_BYTES_MAX, BatchLimit};
use super::throttle::Throttle;
use super::trips::Trips;
use crate::checkpoint::record::{BatchRecord, ChannelRecord, Fate, PartitionRecord};
use crate::clock::Backoff;
use crate::config::model::{Destination, PartitionBy};
use crate::log;

/// Floor of a partition to which nothing has been announced in this run.
pub const FLOOR_UNKNOWN: i64 = -1;

/// Brokers before 2.8 tell no id.
pub const TOPIC_ID_UNKNOWN: [u8; 16] = [0; 16];

/// A round takes no further batch that could carry it beyond this, encoded: three full ones, each
/// of which ends a little behind its limit, however many partitions there are. A broker closes the connection on which a request of more
/// than `socket.request.max.bytes` comes (100 MB by default), at each try anew.
pub const ROUND_BYTES_MAX: usize = 3 * BATCH_BYTES_MAX + BATCH_BYTES_MAX / 2;
/// Batches of a round at most: each is an entry of the checkpoint until it is folded.
pub const ROUND_BATCHES_MAX: usize = 64;

/// While partitions have no leader the brokers are asked again after this time, ms.
const LEADERLESS_MS: u64 = 2_000;

/// An ack is proof for so long that the broker knows our producer id in a partition, ms: less than
/// any sensible `producer.id.expiration.ms`.
const WARM_MS: u64 = 1_000;

/// A batch that the broker did not take as a whole: bytes of a file, and how many of its events
/// went to the dead-letter file so far.
pub struct Refused {
    pub file: u64,
    pub start: u64,
    pub end: u64,
    pub letters: u64,
}

impl Refused {
    /// Is this a part of it?
    pub fn holds(&self, part: &BatchRecord) -> bool {
        part.file == self.file && part.start >= self.start && part.end <= self.end
    }
}

/// How far a channel is on its way to be sent to, one after the other (see `pipeline/recovery.rs`).
#[derive(Debug)]
pub enum Stage {
    /// Not connected. Nothing is tried before this monotonic time.
    Closed { retry_at_ms: u64 },
    /// A way into the cluster is sought.
    Opening,
    /// What stands there is compared with what the checkpoint says.
    Adopting,
    /// What is in doubt is looked for, since that monotonic time.
    Looking { since_ms: u64 },
    /// What is absent may be another agent's as well: it gets an identity of its own.
    Renaming,
    /// What is absent, and was so at that monotonic time, is sent again.
    Resending { since_ms: u64, awaited: Option<Awaited> },
    /// A producer id is asked for.
    Identifying,
    /// The ends of the log are asked for.
    Flooring,
    /// Where the brokers do not prove that the topic is that of the record, the batches that were
    /// acknowledged last are looked for.
    Confirming,
    /// Rounds may be sent. At that monotonic time the brokers are asked next how the topic is.
    Open { survey_at_ms: u64 },
    /// It is open, and the topic is not as it was when it was opened: nothing new is sent, and once
    /// nothing is under way the channel is opened anew.
    Outdated,
}

/// Whose the identities are under which batches are in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtIdentity {
    Ours,
    /// Another agent's, perhaps (a copied checkpoint): nothing that is absent is sent under them.
    Foreign,
    /// Nobody's yet: what is in doubt was read from the topic as missing, and never sent.
    Missing,
}

/// What is known of that which is in doubt and was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It was not looked for yet.
    Unknown,
    /// The log says that it is not in the topic; the row of looks was broken since then.
    Told,
    /// Likewise, and an unbroken row of looks has not found it since that monotonic time, ms. Only
    /// while a broker answers does waiting for a late copy prove anything: a frozen one has requests
    /// in its queues that it works on when it is awake again.
    Since(u64),
}

impl Absence {
    /// Does the log say already that it is not in the topic?
    pub fn is_told(self) -> bool {
        self != Absence::Unknown
    }

    /// A look has ended at that monotonic time without finding it.
    pub fn go_on(&mut self, now_ms: u64) {
        if !matches!(self, Absence::Since(_)) {
            *self = Absence::Since(now_ms);
        }
    }

    /// The row of looks is broken.
    pub fn interrupt(&mut self) {
        if self.is_told() {
            *self = Absence::Told;
        }
    }
}

/// Answers that are awaited while what is absent is sent again.
#[derive(Debug)]
pub struct Awaited {
    pub count: usize,
    pub answers: Vec<Answer>,
}

/// What an optional channel has missed while it was not reached.
#[derive(Debug, Default)]
pub struct Unreached {
    /// Monotonic time since which it is not reached, ms.
    pub since_ms: Option<u64>,
    /// Monotonic time since which it is borne with, since its brokers answer, ms: before it took anything again.
    pub borne_since_ms: Option<u64>,
    /// That is too long: events go without it.
    pub is_given_up: bool,
    /// It was given up, and is open since that monotonic time, ms: whether it takes anything is to be seen.
    pub on_trial_since_ms: Option<u64>,
    /// Events.
    pub missed: u64,
    /// Partitions that have no leader while others have one.
    pub leaderless: Vec<Leaderless>,
}

/// The brokers were asked for the partitions of the topic, and when; monotonic times, ms.
#[derive(Debug, Clone, Copy)]
pub struct Surveyed {
    /// Before that they may have had fewer.
    pub asked_ms: u64,
    pub told_ms: u64,
}

/// A partition of an optional channel that has no leader.
#[derive(Debug)]
pub struct Leaderless {
    pub partition: i32,
    /// Monotonic time since which that is known, ms.
    pub since_ms: u64,
    /// That is too long: what is for it goes without.
    pub is_given_up: bool,
}

/// A partition that an event names and the topic does not have.
#[derive(Debug)]
pub struct Missing {
    /// The one with the smallest number that was named: what is behind it is missing as well.
    pub least: i32,
    /// How many the topic had then.
    pub partitions: usize,
    /// Monotonic time since which that is so, ms.
    pub since_ms: u64,
}

/// How far a topic is wanted that is written to only when events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Nothing is for it, and nothing of it is in doubt: since that monotonic time, ms.
    Resting { since_ms: u64 },
    /// The next event of that file is for it.
    Wanted { file: String },
    /// It is written to, at that monotonic time last, ms.
    InUse { used_ms: u64 },
}

/// A channel of one source.
///
/// What excludes one another is an enum: how far it is on its way ([`Stage`]), whose identities are in
/// doubt, what looks have found absent. The rest are facts of their own: a fresh identity may be at hand
/// whatever the stage is, and the one in the record may be of this run while older ones are in doubt.
pub struct Outlet {
    pub config: Rc<Destination>,
    /// Index of the channel in the agent.
    pub channel: usize,
    pub broker: Box<dyn Broker>,
    /// Headers of events choose the partition: each of them may be written to at any time.
    pub is_spread: bool,
    /// Of an optional channel: nothing waits for it.
    pub optional: Option<Unreached>,
    /// Of a topic that is opened when an event names it.
    pub demand: Option<Demand>,
    /// How far it is on its way to be sent to.
    pub stage: Stage,
    /// `None` while no broker has described it since the last doubt.
    pub topic: Option<Topic>,
    pub record: ChannelRecord,
    /// A producer id that the cluster gave and that is not used yet.
    pub fresh: Option<Identity>,
    /// The next recovery begins with a fresh producer id: the epochs of the one in use are out.
    pub needs_fresh: bool,
    /// That of the last connection.
    pub last_wire: Option<Wire>,
    /// The producer id was given in this run: new events may go under it.
    pub has_own_identity: bool,
    pub doubt_identity: DoubtIdentity,
    pub absence: Absence,
    /// Counts batches, for partitions in turn.
    turn: usize,
    pub batch_limit: BatchLimit,
    /// Encoded size beyond which a round takes no further batch: smaller after one that was not
    /// answered in time.
    pub round_limit: BatchLimit,
    /// Monotonic time at which the last look began that was answered.
    pub look_began_ms: u64,
    /// The partitions without a leader that the log speaks of already.
    pub told_leaderless: Vec<i32>,
    /// Those that were without one when what is in doubt was looked for last.
    looked_without: Vec<i32>,
    /// Partitions and the monotonic time of the first "out of sequence" there that looking did not
    /// explain.
    out_of_sequence: Vec<(i32, u64)>,
    /// Partitions in which an ack stood before the floor: the topic behind the connection was made
    /// anew.
    acked_anew: Vec<i32>,
    /// Monotonic time since which the topic lacks a partition in which something is in doubt.
    pub partition_missing_since_ms: Option<u64>,
    /// What events name and the topic does not have.
    pub missing: Option<Missing>,
    /// Monotonic time at which the brokers were asked how the topic is, while they have not answered, ms.
    pub asked_ms: Option<u64>,
    /// And at which they were asked when they answered last.
    pub surveyed_ms: Option<Surveyed>,
    pub throttle: Throttle,
    pub trips: Trips,
    /// Since when (Unix time, ms) and why the brokers take nothing.
    pub trouble: Option<(i64, String)>,
    /// The batch that was refused last, until nothing of it is in doubt.
    pub refused: Option<Refused>,
    /// How often the brokers did not believe who we are.
    pub logins_refused: u64,
    /// Of its tries to reach a broker.
    pub backoff: Backoff,
    /// Partitions and the monotonic time of the last ack there under the present identity.
    acks: Vec<(i32, u64)>,
    pool: Vec<Batch>,
}

impl Outlet {
    pub fn new(
        config: Rc<Destination>,
        channel: usize,
        broker: Box<dyn Broker>,
        record: Option<ChannelRecord>,
    ) -> Outlet {
        let fresh = ChannelRecord {
            name: config.name.clone(),
            topic: config.topic.clone(),
            producer_id: Identity::NONE.producer_id,
            producer_epoch: Identity::NONE.epoch,
            ..ChannelRecord::default()
        };
        Outlet {
            record: record.unwrap_or(fresh),
            config,
            channel,
            broker,
            is_spread: false,
            optional: None,
            demand: None,
            stage: Stage::Closed { retry_at_ms: 0 },
            topic: None,
            fresh: None,
            needs_fresh: false,
            last_wire: None,
            has_own_identity: false,
            doubt_identity: DoubtIdentity::Ours,
            absence: Absence::Unknown,
            turn: 0,
            batch_limit: BatchLimit::new(BATCH_BYTES_MAX),
            round_limit: BatchLimit::new(ROUND_BYTES_MAX),
            look_began_ms: 0,
            told_leaderless: Vec::new(),
            looked_without: Vec::new(),
            out_of_sequence: Vec::new(),
            acked_anew: Vec::new(),
            partition_missing_since_ms: None,
            missing: None,
            asked_ms: None,
            surveyed_ms: None,
            throttle: Throttle::default(),
            trips: Trips::default(),
            trouble: None,
            refused: None,
            logins_refused: 0,
            backoff: Backoff::default(),
            acks: Vec::new(),
            pool: Vec::new(),
        }
    }

    /// Has a socket not taken yet what was to be sent?
    pub fn is_congested(&self) -> bool {
        self.broker.is_congested()
    }

    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. } | Stage::Outdated)
    }

    /// Is it on its way to be opened, with a question asked perhaps?
    pub fn is_being_opened(&self) -> bool {
        !self.is_open() && !matches!(self.stage, Stage::Closed { .. })
    }

    /// Is it closed, and not one that events can go without?
    pub fn is_waited_for(&self) -> bool {
        let is_in_use = matches!(self.demand, None | Some(Demand::InUse { .. }));
        !self.is_open() && is_in_use && !self.is_given_up()
    }

    /// Is it an optional one that events go without?
    pub fn is_given_up(&self) -> bool {
        self.optional.as_ref().is_some_and(|unreached| unreached.is_given_up)
    }

    /// Is it as it should be: open, or at rest?
    pub fn is_settled(&self) -> bool {
        self.is_open() || self.is_at_rest()
    }

    /// Is it closed because nothing is for it?
    pub fn is_at_rest(&self) -> bool {
        let is_resting = matches!(self.demand, Some(Demand::Resting { .. }));
        is_resting && !self.is_open() && self.trouble.is_none()
    }

    /// Trust in the connection is over; the next try not before `retry_at_ms` (monotonic).
    pub fn close(&mut self, retry_at_ms: u64) {
        self.stage = Stage::Closed { retry_at_ms };
        self.topic = None;
        (self.asked_ms, self.surveyed_ms) = (None, None);
        // The next one may be given by another cluster.
        self.fresh = None;
    }

    pub fn wire(&self) -> Wire {
        self.topic.as_ref().map_or(Wire::Modern, |t| t.wire)
    }

    pub fn identity(&self) -> Identity {
        Identity { producer_id: self.record.producer_id, epoch: self.record.producer_epoch }
    }

    /// Is it known that the topic has no such partition?
    pub fn lacks(&self, partition: i32) -> bool {
        self.topic.as_ref().is_some_and(|topic| !topic.partitions.contains(&partition))
    }

    /// After which time the brokers are asked again how the topic is, ms.
    pub fn survey_pause_ms(&self) -> u64 {
        let is_whole = self.topic.as_ref().is_none_or(|topic| topic.leaderless.is_empty());
        if is_whole { self.config.metadata_ms } else { LEADERLESS_MS.min(self.config.metadata_ms) }
    }

    /// Is there a leader of `partition`, as far as is known?
    pub fn leads(&self, partition: i32) -> bool {
        self.topic.as_ref().is_none_or(|topic| topic.leads(partition))
    }

    /// Does a file of that name wait, since its partition has no leader?
    pub fn is_barred(&self, file_name: &[u8]) -> bool {
        self.leaderless_of(file_name).is_some_and(|partition| !self.has_given_up(partition))
    }

    /// Do events of a file of that name go without it, since its partition has had no leader for too long?
    pub fn is_passed_over(&self, file_name: &[u8]) -> bool {
        self.leaderless_of(file_name).is_some_and(|partition| self.has_given_up(partition))
    }

    /// The partition of a file of that name, where it keeps to one and that has no leader.
    fn leaderless_of(&self, file_name: &[u8]) -> Option<i32> {
        let topic = self.topic.as_ref()?;
        let is_by_file = self.config.partition_by == PartitionBy::File;
        let partition = topic.partitions[place_of(file_name, topic.partitions.len())];
        let keeps_to_one = is_by_file && self.config.default_partition.is_none();
        (keeps_to_one && !topic.leads(partition)).then_some(partition)
    }

    /// Is it optional, and `partition` one that has had no leader for too long?
    pub fn has_given_up(&self, partition: i32) -> bool {
        let mut leaderless = self.optional.iter().flat_map(|unreached| &unreached.leaderless);
        leaderless.any(|one| one.partition == partition && one.is_given_up)
    }

    /// Who leads what may be another than at the last look. Time in which a partition was not looked
    /// at proves nothing of what is in doubt there.
    pub fn adopt_leaders(&mut self, topic: &Topic) {
        if self.looked_without != topic.leaderless {
            self.looked_without.clone_from(&topic.leaderless);
            self.absence = Absence::Unknown;
        }
    }

    /// The partitions that are written to now; none before the topic is known.
    pub fn partitions_used(&self) -> Vec<i32> {
        match (&self.topic, self.config.default_partition) {
            (None, _) => Vec::new(),
            (Some(_), Some(fixed)) if !self.is_spread => vec![fixed],
            (Some(topic), _) => {
                topic.partitions.iter().copied().filter(|p| topic.leads(*p)).collect()
            }
        }
    }

    /// Partitions that a round can fill.
    pub fn width(&self) -> usize {
        match (&self.topic, self.config.default_partition) {
            (Some(topic), None) if !self.is_spread => {
                (topic.partitions.len() - topic.leaderless.len()).min(ROUND_BATCHES_MAX)
            }
            _ => 1,
        }
    }

    /// May a round of `bytes` so far take another batch, whatever that comes to?
    pub fn has_room_behind(&self, bytes: usize) -> bool {
        bytes == 0 || bytes + self.batch_bytes_max() <= self.round_limit.bytes()
    }

    /// Encoded size at which a batch is closed.
    pub fn batch_bytes_max(&self) -> usize {
        self.batch_limit.bytes().min(self.round_limit.bytes())
    }

    /// A round was not answered in time, and the link may have been the reason: smaller ones have
    /// a chance, and what is lost with them is less.
    pub fn slow_down(&mut self, fault: &Fault, now_ms: u64) {
        if matches!(fault, Fault::Overdue(_)) {
            self.round_limit.shrink(self.round_limit.bytes(), now_ms);
        }
    }

    /// Has a batch of this size, encoded, no chance to be answered in time? Before 0.10 a call is given
    /// up whatever the link carries.
    pub fn is_too_slow_for(&self, size: usize) -> bool {
        self.wire() == Wire::Legacy && size > self.round_limit.bytes()
    }

    /// The partition of the next batch: the configured one, that of the file, or the next in turn
    /// that is open. `None`: it has to wait.
    pub fn next_partition(
        &mut self,
        file_name: &[u8],
        is_open: impl Fn(&Outlet, i32) -> bool,
    ) -> Option<i32> {
        let is_open =
            |outlet: &Outlet, partition| outlet.leads(partition) && is_open(outlet, partition);
        if let Some(fixed) = self.config.default_partition {
            return is_open(self, fixed).then_some(fixed);
        }
        let partitions = &self.topic.as_ref()?.partitions;
        let count = partitions.len();
        let (first, choices) = match self.config.partition_by {
            PartitionBy::File => (place_of(file_name, count), 1),
            PartitionBy::Transaction => (self.turn % count, count),
        };
        let in_turn = (first..first + choices).map(|at| (at, partitions[at % count]));
        let (at, partition) = in_turn.into_iter().find(|(_, p)| is_open(self, *p))?;
        self.turn = at + 1;
        Some(partition)
    }

    pub fn partition(&mut self, partition: i32) -> &mut PartitionRecord {
        let at = match self.record.partitions.iter().position(|p| p.partition == partition) {
            Some(at) => at,
            None => {
                self.record.partitions.push(PartitionRecord {
                    partition,
                    next_sequence: 0,
                    floor_offset: FLOOR_UNKNOWN,
                    mark: None,
                });
                self.record.partitions.len() - 1
            }
        };
        &mut self.record.partitions[at]
    }

    /// Is it proven by the brokers that the topic is the one of the record?
    pub fn is_topic_proven(&self) -> bool {
        let told = self.topic.as_ref().map_or(TOPIC_ID_UNKNOWN, |topic| topic.topic_id);
        told != TOPIC_ID_UNKNOWN && told == self.record.topic_id
    }

    /// By which the log of `partition` is known again on the present wire, as a batch to look for;
    /// where it stands is its `fate`. (The wire before 0.11 shows no identity.)
    fn mark(&mut self, partition: i32) -> Option<BatchRecord> {
        let wire = self.wire();
        let mark = self.partition(partition).mark?;
        let is_shown = wire.has_identity() || mark.producer_id < 0;
        is_shown.then(|| BatchRecord {
            partition,
            producer_id: mark.producer_id,
            producer_epoch: mark.producer_epoch,
            base_sequence: mark.base_sequence,
            count: mark.count,
            values_crc: mark.values_crc,
            first_crc: mark.first_crc,
            fate: Fate::At(mark.offset),
            ..BatchRecord::default()
        })
    }

    /// The marks of `partitions`, where it is not proven that the topic is that of the record.
    pub fn unproven_marks(&mut self, partitions: &[i32]) -> Vec<BatchRecord> {
        if self.is_topic_proven() {
            return Vec::new();
        }
        partitions.iter().filter_map(|partition| self.mark(*partition)).collect()
    }

    pub fn tell_floor_gone(&self, partition: i32, floor: i64) {
        let topic = &self.config.topic;
        log::warn(
            "kafka.KafkaChannel",
            format_args!(
                "Partition {partition} of {topic} begins behind offset {floor}: retention has \
                 removed what may have been there, so an absent batch cannot be proven absent"
            ),
        );
    }

    /// A batch was acknowledged before the floor of its partition: it stands in another log than that
    /// of the record, and so does nothing that was known before of this partition.
    pub fn acked_in_other_log(&mut self, partition: i32) {
        self.partition(partition).mark = None;
        if !self.acked_anew.contains(&partition) {
            self.acked_anew.push(partition);
        }
    }

    /// Did an ack tell that the log is another one?
    pub fn is_log_other(&self) -> bool {
        !self.acked_anew.is_empty()
    }

    /// What is known of a partition where the log is another one.
    pub fn in_other_log(&self, partition: &PartitionRecord) -> PartitionRecord {
        let has_acked = self.acked_anew.contains(&partition.partition);
        PartitionRecord {
            floor_offset: 0,
            mark: partition.mark.filter(|_| has_acked),
            ..*partition
        }
    }

    /// The log is another one: what is in doubt may stand anywhere in it. By what was acknowledged
    /// in it this one is known from now on.
    pub fn forget_log(&mut self) {
        let partitions = self.record.partitions.iter().map(|p| self.in_other_log(p));
        self.record.partitions = partitions.collect();
        self.broker.forget_looks();
        self.absence = Absence::Unknown;
        self.acked_anew.clear();
    }

    /// Nothing of the record is true of the place that is written to from now on.
    pub fn forget_place(&mut self) {
        self.record.partitions.clear();
        self.acked_anew.clear();
        self.broker.forget_looks();
        self.has_own_identity = false;
    }

    /// Each log was compared with the record, or nothing is known of it but what it told itself: from
    /// now on the topic's id, where brokers tell one, says whether it is this one.
    pub fn adopt_topic_id(&mut self) {
        let Some(topic) = &self.topic else { return };
        if topic.leaderless.is_empty() && topic.topic_id != TOPIC_ID_UNKNOWN {
            self.record.topic_id = topic.topic_id;
        }
    }

    /// New events go under `identity` from now on, counted from 0.
    pub fn take_identity(&mut self, identity: Identity) {
        self.record.producer_id = identity.producer_id;
        self.record.producer_epoch = identity.epoch;
        for partition in &mut self.record.partitions {
            partition.next_sequence = 0;
        }
        self.has_own_identity = true;
        self.fresh = None;
        self.acks.clear();
    }

    /// The broker acknowledged a batch under the present identity.
    pub fn note_ack(&mut self, partition: i32, now_ms: u64) {
        match self.acks.iter_mut().find(|(p, _)| *p == partition) {
            Some((_, at_ms)) => *at_ms = now_ms,
            None => self.acks.push((partition, now_ms)),
        }
    }

    /// Has the broker acknowledged anything since that monotonic time?
    pub fn was_acked_since(&self, since_ms: u64) -> bool {
        self.acks.iter().any(|(_, at_ms)| *at_ms >= since_ms)
    }

    /// May a batch for `partition` be announced behind `before` others that are not answered? Only
    /// where the broker is sure to know the producer id: of an unknown one it takes (from 2.5 on)
    /// *any* sequence, so that the second would be appended though the first is refused. Without
    /// identity one waits behind the one that is under way (`pipeline/sending.rs`).
    pub fn may_follow(&self, partition: i32, before: usize, now_ms: u64) -> bool {
        match self.wire().has_identity() {
            true => before == 0 || self.is_warm(partition, now_ms),
            false => before <= 1,
        }
    }

    fn is_warm(&self, partition: i32, now_ms: u64) -> bool {
        self.acks.iter().any(|(p, at_ms)| *p == partition && now_ms - at_ms < WARM_MS)
    }

    /// The broker expects another sequence in `partition`; since when it has said so.
    pub fn out_of_sequence_since(&mut self, partition: i32, now_ms: u64) -> u64 {
        match self.out_of_sequence.iter().find(|(p, _)| *p == partition) {
            Some((_, since_ms)) => *since_ms,
            None => {
                self.out_of_sequence.push((partition, now_ms));
                now_ms
            }
        }
    }

    /// The sequence in `partition` is right again; `None`: in all of them.
    pub fn in_sequence(&mut self, partition: Option<i32>) {
        self.out_of_sequence.retain(|(p, _)| partition.is_some_and(|partition| *p != partition));
    }

    /// An empty batch of the present wire, from the pool if there is one.
    pub fn take_batch(&mut self) -> Batch {
        let wire = self.wire();
        let pooled = self.pool.pop().filter(|batch| batch.wire() == wire);
        pooled
            .unwrap_or_else(|| Batch::new(wire, self.config.value_format, self.config.compression))
    }

    /// Batches of another wire than the present one are of no use.
    pub fn give_back(&mut self, batch: Batch) {
        if self.pool.len() < 8 && batch.wire() == self.wire() {
            self.pool.push(batch);
        }
    }
}

/// The place among `count` partitions of a file that keeps to one.
fn place_of(file_name: &[u8], count: usize) -> usize {
    crc32fast::hash(file_name) as usize % count
}

/// The sequence behind `count` events that begin at `base`; wraps to 0 behind 2^31 - 1 as the
/// brokers count.
pub fn sequence_after(base: i32, count: u32) -> i32 {
    ((i64::from(base) + i64::from(count)) & 0x7fff_ffff) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_as_the_brokers_count() {
        assert_eq!(sequence_after(0, 5), 5);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX - 1, 5), 3);
    }
}
