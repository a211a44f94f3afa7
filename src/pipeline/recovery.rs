//! After a start and after every doubtful answer: look, then send what is absent, then go on.
//!
//! *From 0.11 on* a batch is looked for by producer id, epoch and sequence. What is absent is sent
//! again, in order, one batch of a partition at a time, under the same identity: should the first
//! copy still be on its way, or stand in the log above what a reader may see yet, the broker
//! recognises the second and drops it. Only where the broker has lost our state (45 or 59, and a
//! minute of looking finds nothing) or where a batch has to change its shape does what is absent
//! get a new epoch: that shuts out any copy under the old one.
//!
//! *Before 0.11* the log has no identity: batches are looked for by content, and what is absent is
//! sent again only after a settle time in which a copy that was still on its way would have shown.

use super::announced::Ticket;
use super::room::Halt;
use super::{Announced, CHANNEL, Copies, Fatal, Observer, Pipeline, answers};
use crate::channel::batch::{Batch, Identity};
use crate::channel::broker::{Answer, Fault, Found, Progress, ResponseError, Sought, Verdict};
use crate::channel::outlet::{Absence, Awaited, DoubtIdentity, Outlet, ROUND_BATCHES_MAX, Stage};
use crate::checkpoint::record::BatchRecord;
use crate::log::{self, About, Level, counted};

/// How long a request that reached a broker may stay invisible, beyond the ack timeout, where the
/// partition has several replicas (`replica.lag.time.max.ms` is 10 s by default), ms.
pub(super) const REPLICA_LAG_MS: u64 = 11_000;
/// The same with one replica: an append is visible within milliseconds.
pub(super) const SETTLE_SINGLE_MS: u64 = 1_000;
/// How long "out of sequence" is answered with looking before the state counts as lost, ms.
const OUT_OF_SEQUENCE_MS: u64 = 60_000;
pub(super) const LOOK_AGAIN_MS: u64 = 500;
/// What is sent again must have been absent so long ago at most, ms: a broker may forget a producer
/// (`producer.id.expiration.ms`). Another look goes on where the one before it was.
const ABSENT_MS_MAX: u64 = 30_000;

/// What a look tells of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    /// That of the record, as far as can be told.
    Same,
    /// What was acknowledged does not stand in it, or it ends before that.
    Other,
}

/// What has become of what is absent.
enum Resent {
    All,
    /// What is left was looked for too long ago.
    TooLateForMore,
}

/// Why recovery did not come to its end.
pub(super) enum Pause {
    /// An answer has not come yet; what led to the question is done again, and has to bear that.
    Pending,
    /// The brokers could not be asked.
    Fault(Fault),
    /// Too early to decide; again after so many milliseconds.
    Wait(u64),
    Halt(Halt),
}

impl From<Fault> for Pause {
    fn from(fault: Fault) -> Pause {
        Pause::Fault(fault)
    }
}

impl From<Halt> for Pause {
    fn from(halt: Halt) -> Pause {
        Pause::Halt(halt)
    }
}

impl From<Fatal> for Pause {
    fn from(fatal: Fatal) -> Pause {
        Pause::Halt(fatal.into())
    }
}

impl Pipeline {
    /// Takes channel `at` as far as it can go now: opens it and resolves everything in doubt there.
    /// Each stage is done again from its beginning until it has what it asks for, so that none
    /// changes anything before. `Ok`: it is open.
    pub(super) fn recover(&mut self, at: usize, observer: &mut dyn Observer) -> Result<(), Pause> {
        loop {
            let next = match self.outlets[at].stage {
                Stage::Closed { .. } => Stage::Opening,
                Stage::Opening => {
                    let topic = done(self.outlets[at].broker.open()?)?;
                    self.outlets[at].adopt_leaders(&topic);
                    self.outlets[at].topic = Some(topic);
                    Stage::Adopting
                }
                Stage::Adopting => {
                    if self.outlets[at].needs_fresh {
                        self.fresh_identity(at)?;
                        self.outlets[at].needs_fresh = false;
                    }
                    self.check_routes(at)?;
                    self.adopt_topic(at)?;
                    self.leave_missing_partitions(at)?;
                    self.park_leaderless(at)?;
                    match self.asked_doubts(at).is_empty() {
                        true => Stage::Identifying,
                        // Looked for and settled before it was announced.
                        false if self.outlets[at].doubt_identity == DoubtIdentity::Missing => {
                            Stage::Renaming
                        }
                        false => Stage::Looking { since_ms: self.clock.monotonic_ms() },
                    }
                }
                Stage::Looking { since_ms } => {
                    let log = self.look(at, observer)?;
                    self.outlets[at].look_began_ms = since_ms;
                    let now_ms = self.clock.monotonic_ms();
                    if now_ms - since_ms > ABSENT_MS_MAX {
                        // The first partitions were looked at too long ago.
                        self.outlets[at].stage = Stage::Looking { since_ms: now_ms };
                        continue;
                    }
                    if log == Log::Other && !self.asked_doubts(at).is_empty() {
                        self.wait_for_followers(at)?;
                        self.begin_other_log(at)?;
                        self.outlets[at].stage = Stage::Looking { since_ms: now_ms };
                        continue;
                    }
                    self.wait_until_settled(at)?;
                    match self.outlets[at].doubt_identity {
                        DoubtIdentity::Ours => Stage::Resending { since_ms, awaited: None },
                        DoubtIdentity::Foreign | DoubtIdentity::Missing => Stage::Renaming,
                    }
                }
                Stage::Renaming => {
                    if self.outlets[at].doubt_identity == DoubtIdentity::Missing {
                        self.identify_rebuilt(at)?;
                    } else {
                        // Another agent may be using these identities: nothing new goes under them.
                        self.rename_doubts(at)?;
                        self.commit()?;
                        // They are our own now, and keep them whatever becomes of the first copy.
                        self.outlets[at].doubt_identity = DoubtIdentity::Ours;
                    }
                    // Nothing was ever sent under them.
                    Stage::Resending { since_ms: self.clock.monotonic_ms(), awaited: None }
                }
                Stage::Resending { since_ms, .. } => {
                    match self.send_doubts(at, since_ms, observer)? {
                        Resent::All => Stage::Identifying,
                        Resent::TooLateForMore => {
                            Stage::Looking { since_ms: self.clock.monotonic_ms() }
                        }
                    }
                }
                Stage::Identifying => {
                    if !self.outlets[at].has_own_identity {
                        let identity = self.fresh_identity(at)?;
                        self.outlets[at].take_identity(identity);
                    }
                    self.outlets[at].doubt_identity = DoubtIdentity::Ours;
                    Stage::Flooring
                }
                Stage::Flooring => {
                    self.refresh_floors(at)?;
                    self.outlets[at].in_sequence(None);
                    Stage::Confirming
                }
                Stage::Confirming => {
                    if !self.confirm_marks(at)? {
                        // The ends were perhaps told before the topic was made anew.
                        self.outlets[at].stage = Stage::Flooring;
                        continue;
                    }
                    self.outlets[at].adopt_topic_id();
                    self.tell_letters(at);
                    let pause_ms = self.outlets[at].survey_pause_ms();
                    self.tell_leaderless(at);
                    self.files.unbar();
                    Stage::Open { survey_at_ms: self.clock.monotonic_ms() + pause_ms }
                }
                Stage::Open { .. } | Stage::Outdated => return Ok(()),
            };
            self.outlets[at].stage = next;
        }
    }

    /// A producer id that nothing was sent under; the same until it is taken.
    pub(super) fn fresh_identity(&mut self, at: usize) -> Result<Identity, Pause> {
        let outlet = &mut self.outlets[at];
        if let Some(identity) = outlet.fresh {
            return Ok(identity);
        }
        let identity = done(outlet.broker.init_producer()?)?;
        outlet.fresh = Some(identity);
        Ok(identity)
    }

    /// What is in doubt in channel `at`, in sending order.
    pub(super) fn doubts(&self, at: usize) -> Vec<Ticket> {
        self.announced
            .tickets(|a| a.record.fate.is_in_doubt() && usize::from(a.record.channel) == at)
    }

    /// Looks for everything in doubt and marks what is found. Where the brokers do not prove that
    /// the topic is that of the record, the batches are looked for, too, that were acknowledged
    /// last.
    fn look(&mut self, at: usize, observer: &mut dyn Observer) -> Result<Log, Pause> {
        let doubts = self.asked_doubts(at);
        let mut partitions: Vec<i32> =
            doubts.iter().map(|&n| self.announced[n].record.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let of_partition = |partition: i32| -> Vec<Ticket> {
            let is_its = |n: &Ticket| self.announced[*n].record.partition == partition;
            let its = doubts.iter().copied().filter(is_its);
            let (sent, kept): (Vec<Ticket>, Vec<Ticket>) = its.partition(|n| self.may_be_known(*n));
            // Alone they are looked for all the same: that tells whether the log is another one.
            if sent.is_empty() { kept } else { sent }
        };
        let by_partition: Vec<Vec<Ticket>> = partitions.iter().copied().map(of_partition).collect();
        let outlet = &mut self.outlets[at];
        let is_proven = outlet.is_topic_proven();
        let marks = outlet.unproven_marks(&partitions);
        let mut floors = Vec::with_capacity(by_partition.len());
        let sought = |of_partition: &Vec<Ticket>| {
            let wanted: Vec<&BatchRecord> =
                of_partition.iter().map(|&n| &self.announced[n].record).collect();
            let partition = wanted[0].partition;
            let floor = outlet.partition(partition).floor_offset.max(0);
            floors.push((partition, floor));
            // What was walked belongs to another log if the topic was made anew since, and may be
            // shorter than that: only a topic id, or the mark, tells.
            let afresh = !is_proven && marks.iter().all(|mark| mark.partition != partition);
            Sought { partition, floor, wanted, afresh }
        };
        let mut sought: Vec<Sought<'_>> = by_partition.iter().map(sought).collect();
        sought.extend(marks.iter().map(sought_mark));
        let mut found = done(outlet.broker.look(&sought)?)?;
        let marks_found = found.split_off(by_partition.len());
        let has_left = |(mark, found): (&BatchRecord, &Found)| {
            !stands_there(mark, found) && !found.floor_is_gone
        };
        let ends_before = !is_proven && found.iter().any(|found| found.ends_before_floor);
        let is_other = ends_before || marks.iter().zip(&marks_found).any(has_left);
        for ((partition, floor), _) in floors.iter().zip(&found).filter(|(_, f)| f.floor_is_gone) {
            outlet.tell_floor_gone(*partition, *floor);
        }
        let offsets = found.into_iter().flat_map(|found| found.offsets);
        let mut last: Option<(i32, i64)> = None;
        for (n, offset) in by_partition.into_iter().flatten().zip(offsets) {
            let offset = offset.filter(|_| self.may_be_known(n));
            if offset.is_some() || !self.outlets[at].absence.is_told() {
                self.tell_doubt(n, offset);
            }
            if let Some(offset) = offset {
                let place = (self.announced[n].record.partition, offset);
                if last == Some(place) {
                    // Both are parts of what stands there, whose events were counted with the first.
                    self.announced[n].record.count = 0;
                }
                self.mark_acked(n, offset, observer);
                last = Some(place);
            }
        }
        let now_ms = self.clock.monotonic_ms();
        // Looking goes on twice a second perhaps; the log says it once.
        self.outlets[at].absence.go_on(now_ms);
        Ok(if is_other { Log::Other } else { Log::Same })
    }

    /// Can it be told of batch `n` whether it is in the log? Where the log has no identities, equal lines of others
    /// would be taken for one that was never sent there, or of which each copy was refused.
    fn may_be_known(&self, n: Ticket) -> bool {
        let Announced { record, copies, .. } = &self.announced[n];
        record.producer_id >= 0 || *copies != Copies::None
    }

    fn tell_doubt(&self, n: Ticket, offset: Option<i64>) {
        let b = &self.announced[n].record;
        let outcome = match offset {
            Some(offset) => format!("found in the topic at offset {offset}"),
            None => "not in the topic".to_owned(),
        };
        let file = self.file_text(b.file);
        let topic = &self.outlets[usize::from(b.channel)].config.topic;
        log::log_about(
            Level::Info,
            CHANNEL,
            &About { file: Some(&file), topic: Some(topic), partition: Some(b.partition), offset },
            format_args!(
                "Batch in doubt ({}, {} bytes {}-{}, partition {}, sequence {}): {outcome}.",
                counted(b.count.into(), "event"),
                file,
                b.start,
                b.end,
                b.partition,
                b.base_sequence
            ),
        );
    }

    pub(super) fn file_text(&self, id: u64) -> String {
        self.files
            .record(id)
            .map_or_else(|| format!("file {id}"), |r| String::from_utf8_lossy(&r.name).into_owned())
    }

    /// Without identity in the log, "not there" is believed only after a while, unless the broker
    /// has said so of every copy.
    fn wait_until_settled(&mut self, at: usize) -> Result<(), Pause> {
        if self.outlets[at].doubt_identity == DoubtIdentity::Foreign {
            // What is absent gets another identity, by which the broker does not know a late copy.
            return self.wait_absent(at, self.late_ms(at));
        }
        let is_sure = |&n: &Ticket| {
            self.announced[n].record.producer_id >= 0 || self.announced[n].copies == Copies::None
        };
        if self.asked_doubts(at).iter().all(is_sure) {
            return Ok(());
        }
        self.wait_for_followers(at)
    }

    /// What every replica has shows within this time. (Right after a new leader was chosen, a log
    /// may end, for readers, before what was acknowledged.)
    fn wait_for_followers(&mut self, at: usize) -> Result<(), Pause> {
        let outlet = &self.outlets[at];
        let replicas = outlet.topic.as_ref().map_or(1, |t| t.replicas);
        let settle_ms = if replicas <= 1 { SETTLE_SINGLE_MS } else { self.late_ms(at) };
        self.wait_absent(at, settle_ms)
    }

    /// For how long a request that was sent may be late, and its batch invisible, ms.
    pub(super) fn late_ms(&self, at: usize) -> u64 {
        u64::from(self.outlets[at].config.request_timeout_ms) + REPLICA_LAG_MS
    }

    pub(super) fn wait_absent(&mut self, at: usize, settle_ms: u64) -> Result<(), Pause> {
        let waited_ms = self.absent_ms(at);
        if waited_ms >= settle_ms {
            return Ok(());
        }
        self.bear_with(at);
        Err(Pause::Wait((settle_ms - waited_ms).min(LOOK_AGAIN_MS)))
    }

    /// How long looks have gone on without finding what is in doubt, ms: from the end of the first
    /// to the beginning of the last, since a partition may have been looked at in the first moment
    /// of a look.
    pub(super) fn absent_ms(&self, at: usize) -> u64 {
        let outlet = &self.outlets[at];
        match outlet.absence {
            Absence::Since(since_ms) => outlet.look_began_ms.saturating_sub(since_ms),
            Absence::Unknown | Absence::Told => 0,
        }
    }

    /// Sends what is absent, the first batch of every partition at a time and as many partitions as
    /// a round has room for, until nothing is left. `since_ms`: when it was absent.
    fn send_doubts(
        &mut self,
        at: usize,
        since_ms: u64,
        observer: &mut dyn Observer,
    ) -> Result<Resent, Pause> {
        loop {
            let answers = self.hear(at)?;
            // Whatever is not answered now was under way until now.
            if !answers.is_empty() {
                self.outlets[at].absence.interrupt();
            }
            // All of them, before any is waited for: what is to be waited out is so at once.
            let mut pause = Ok(());
            for answer in answers {
                match self.settle_answer(at, &answer, observer) {
                    Err(Pause::Halt(halt)) => return Err(halt.into()),
                    settled => pause = pause.and(settled),
                }
            }
            pause?;
            let firsts = self.first_doubts(at);
            if firsts.is_empty() {
                return Ok(Resent::All);
            }
            if self.clock.monotonic_ms() - since_ms > ABSENT_MS_MAX {
                return Ok(Resent::TooLateForMore);
            }
            if self.leave_buried(at, &firsts)? {
                continue;
            }
            let mut ready = Vec::new();
            let mut has_changed = false;
            let mut bytes = 0;
            for &n in &firsts {
                if !self.outlets[at].has_room_behind(bytes) || ready.len() == ROUND_BATCHES_MAX {
                    break;
                }
                if self.announced[n].copies == Copies::Earlier {
                    self.wait_for_copies(at, self.announced[n].record.partition)?;
                }
                if self.encode(n)? {
                    if self.halve_if_too_slow(at, n)? {
                        has_changed = true;
                        break;
                    }
                    bytes += self.announced[n].encoded_bytes();
                    ready.push(n);
                } else {
                    self.give_up(at, n)?;
                    has_changed = true;
                }
            }
            // What stands behind it in its partition is the first now.
            if !has_changed {
                self.hand_over(at, &ready)?;
            }
        }
    }

    /// A batch of which records are none that the topic takes: those that are named, where it takes others.
    /// Only what the same answer says of the records beside them tells whether that is true of every record, of
    /// a topic that is compacted for one: what passed a moment before may have done so before the topic was
    /// changed.
    fn rejected(&mut self, at: usize, n: Ticket, code: i16, records: &[u32]) -> Result<(), Pause> {
        if records.is_empty() {
            return Err(Pause::Fault(Fault::NotReady(format!(
                "the topic refuses every record (error {code}): is it compacted? Records have no \
                 key; set cleanup.policy=delete for the topic, or choose another one"
            ))));
        }
        self.bear_final_refusal(n)?;
        self.bury_each(at, n, records, &format!("the broker answers error {code}"))
    }

    /// The answers to what was handed over, once all are there.
    fn hear(&mut self, at: usize) -> Result<Vec<Answer>, Pause> {
        let Outlet { stage, broker, .. } = &mut self.outlets[at];
        let Stage::Resending { awaited, .. } = stage else { return Ok(Vec::new()) };
        let Some(Awaited { count, answers }) = awaited else { return Ok(Vec::new()) };
        broker.receive(answers)?;
        if answers.len() < *count {
            return Err(Pause::Pending);
        }
        let answers = std::mem::take(answers);
        *awaited = None;
        Ok(answers)
    }

    fn first_doubts(&self, at: usize) -> Vec<Ticket> {
        let mut firsts: Vec<Ticket> = Vec::new();
        for n in self.asked_doubts(at) {
            let partition = self.announced[n].record.partition;
            if firsts.iter().all(|&f| self.announced[f].record.partition != partition) {
                firsts.push(n);
            }
        }
        firsts
    }

    fn hand_over(&mut self, at: usize, batches: &[Ticket]) -> Result<(), Pause> {
        let mut are_parted = false;
        for &n in batches {
            are_parted |= self.part_from(n);
        }
        // What was acknowledged stands before these: a start that does not know of it, and finds the
        // topic made anew meanwhile, would send it behind them.
        if are_parted
            || self.is_unwritten()
            || !batches.iter().all(|&n| self.announced[n].is_on_disk())
        {
            self.commit()?;
        }
        for &n in batches {
            self.announced[n].copies = self.announced[n].copies.sent();
        }
        let round: Vec<&Batch> =
            batches.iter().filter_map(|&n| self.announced[n].encoded.as_ref()).collect();
        let outlet = &mut self.outlets[at];
        // This copy may be late as well as the one before it: the settle time begins again.
        outlet.absence.interrupt();
        outlet.broker.send(&round)?;
        if let Stage::Resending { awaited, .. } = &mut outlet.stage {
            *awaited = Some(Awaited { count: round.len(), answers: Vec::new() });
        }
        Ok(())
    }

    fn settle_answer(
        &mut self,
        at: usize,
        answer: &Answer,
        observer: &mut dyn Observer,
    ) -> Result<(), Pause> {
        // Of each partition the first batch in doubt was sent.
        let is_of_partition = |&n: &Ticket| self.announced[n].record.partition == answer.partition;
        let Some(n) = self.first_doubts(at).into_iter().find(is_of_partition) else {
            return Ok(());
        };
        if answer.verdict.is_refusal() {
            let announced = &mut self.announced[n];
            // Without identity it was sent only when no earlier copy could come any more.
            announced.copies = match announced.record.producer_id {
                ..0 => Copies::None,
                _ => announced.copies.refused(),
            };
        }
        match &answer.verdict {
            Verdict::Acked { base_offset } => {
                let b = &self.announced[n].record;
                let file = self.file_text(b.file);
                let topic = Some(self.outlets[at].config.topic.as_str());
                let (partition, offset) = (Some(b.partition), Some(*base_offset));
                log::log_about(
                    Level::Info,
                    CHANNEL,
                    &About { file: Some(&file), topic, partition, offset },
                    format_args!(
                        "Batch in doubt ({}, {} bytes {}-{}, partition {}): sent again, at \
                         offset {base_offset}.",
                        counted(b.count.into(), "event"),
                        file,
                        b.start,
                        b.end,
                        b.partition
                    ),
                );
                self.mark_acked(n, *base_offset, observer);
                self.outlets[at].in_sequence(Some(answer.partition));
                // What else is in doubt is looked for in the whole log first.
                if self.outlets[at].is_log_other() { Err(Pause::Wait(0)) } else { Ok(()) }
            }
            Verdict::TooLarge => self.too_large(at, n),
            // True of every batch, so none is given up.
            Verdict::Barred { error } => Err(Pause::Fault(Fault::NotReady(format!(
                "the broker does not know the compression (error {}); configure another",
                error.code()
            )))),
            Verdict::StampRefused => self.stamp_anew(at, n),
            Verdict::Rejected { error, records } => self.rejected(at, n, error.code(), records),
            Verdict::OutOfSequence { error } => self.out_of_sequence(at, n, *error),
            Verdict::OldFormat => {
                self.outlets[at].broker.use_legacy();
                Err(Pause::Wait(0))
            }
            Verdict::Fenced => Err(Fatal::Broken(format!(
                "{}: another process writes to topic {} under our producer id {}. Is this tracker \
                 directory a copy that runs twice? Stop one of them.",
                self.outlets[at].config.name,
                self.outlets[at].config.topic,
                self.announced[n].record.producer_id
            ))
            .into()),
            Verdict::Doubtful { .. } => {
                let leader = self.outlets[at].broker.leader(answer.partition);
                let why = answers::describe(&answer.verdict, answer.partition, leader);
                Err(Pause::Fault(Fault::Lost(why)))
            }
        }
    }

    /// Looked for and absent, and yet the broker expects another sequence: it may stand above the
    /// high watermark, invisible, for a while; after a minute the broker's state is lost. With 59 it
    /// says so itself: it has no batch of this producer that is young enough to be still unseen.
    /// Only a look at the end of that time proves something, not that an answer came after it.
    fn out_of_sequence(&mut self, at: usize, n: Ticket, error: ResponseError) -> Result<(), Pause> {
        let now_ms = self.clock.monotonic_ms();
        let patience_ms = match error {
            ResponseError::UnknownProducerId => LOOK_AGAIN_MS,
            _ => OUT_OF_SEQUENCE_MS,
        };
        let partition = self.announced[n].record.partition;
        let outlet = &mut self.outlets[at];
        let since_ms = outlet.out_of_sequence_since(partition, now_ms);
        if outlet.look_began_ms.saturating_sub(since_ms) < patience_ms {
            return Err(Pause::Wait(LOOK_AGAIN_MS));
        }
        self.prepare_epoch(at, partition)?;
        let outlet = &mut self.outlets[at];
        outlet.in_sequence(Some(partition));
        let topic = Some(outlet.config.topic.as_str());
        log::log_about(
            Level::Warn,
            CHANNEL,
            &About { topic, partition: Some(partition), ..About::default() },
            format_args!(
                "{}: the brokers no longer know producer id {}; partition {} goes on under its \
                 next epoch.",
                outlet.config.name, self.announced[n].record.producer_id, partition
            ),
        );
        self.raise_epoch(at, partition)
    }

    /// From where to look for what will be announced next: the present end, since nothing is in
    /// doubt now. (An end that an ack told may be that of a topic deleted and made anew since.)
    fn refresh_floors(&mut self, at: usize) -> Result<(), Pause> {
        let ends = self.ends(at)?;
        self.set_floors(at, &ends);
        Ok(())
    }

    /// The end of each partition that is written to.
    pub(super) fn ends(&mut self, at: usize) -> Result<Vec<(i32, i64)>, Pause> {
        let outlet = &mut self.outlets[at];
        let partitions = outlet.partitions_used();
        let ends = done(outlet.broker.end_offsets(&partitions)?)?;
        Ok(partitions.into_iter().zip(ends).collect())
    }

    pub(super) fn set_floors(&mut self, at: usize, ends: &[(i32, i64)]) {
        for (partition, end) in ends {
            self.outlets[at].partition(*partition).floor_offset = *end;
        }
    }

    /// A mark that is not found belongs to another log: it would make this one suspect as soon as
    /// something is in doubt. It is forgotten, and `false` returned: of this log the ends count that
    /// are told from then on.
    fn confirm_marks(&mut self, at: usize) -> Result<bool, Pause> {
        let outlet = &mut self.outlets[at];
        let partitions = outlet.partitions_used();
        let marks = outlet.unproven_marks(&partitions);
        if marks.is_empty() {
            return Ok(true);
        }
        let sought: Vec<Sought<'_>> = marks.iter().map(sought_mark).collect();
        let found = done(outlet.broker.look(&sought)?)?;
        let mut stand_all = true;
        for (mark, found) in marks.iter().zip(&found) {
            if !stands_there(mark, found) {
                outlet.partition(mark.partition).mark = None;
                stand_all = false;
            }
        }
        Ok(stand_all)
    }
}

/// The log may have been made anew since it was read: what stood there says nothing.
fn sought_mark(mark: &BatchRecord) -> Sought<'_> {
    let floor = mark.fate.offset().unwrap_or(0);
    Sought { partition: mark.partition, floor, wanted: vec![mark], afresh: true }
}

/// Is what was acknowledged last where it was?
fn stands_there(mark: &BatchRecord, found: &Found) -> bool {
    found.offsets.first() == Some(&mark.fate.offset())
}

/// What was asked for, if it is there.
fn done<T>(progress: Progress<T>) -> Result<T, Pause> {
    match progress {
        Progress::Done(done) => Ok(done),
        Progress::Pending => Err(Pause::Pending),
    }
}
