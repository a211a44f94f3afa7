//! The agent's side of a [`Cluster`]: what a connection brings and what it keeps back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::channel::broker::{Answer, Broker, Fault, Found, Progress, Sought, Topic};
use flume_ng::channel::finish::Waits;
use flume_ng::channel::look::Looks;
use flume_ng::channel::reader::{History, TopicRecord};
use flume_ng::channel::walk::{self, Log, Piece, Ticket};
use flume_ng::config::model::{Compression, ValueFormat};

use crate::Plant;
use crate::cluster::{Cluster, Connection, Fate, Produce, Stored, Trouble, Version};
use crate::fuse::Fuse;

pub const ROUNDS_IN_FLIGHT_MAX: usize = 5;

/// A client of the cluster. Its end, however it comes, is the end of its connection.
pub struct Scripted {
    pub cluster: Rc<RefCell<Cluster>>,
    pub fuse: Fuse,
    /// Asked for by `use_legacy`.
    legacy: bool,
    wire: Wire,
    /// Legacy: answers of the last round.
    answers: Vec<Answer>,
    /// What is asked, and when its answer is there.
    pending: Option<(&'static str, u64)>,
    looks: Looks,
    /// Cluster and topic of the last `open`.
    last: (String, [u8; 16]),
    /// From which offset, or for which one, each question asks.
    asked: BTreeMap<i32, i64>,
    questions: i32,
}

/// Batches that a fetch brings.
const FETCH_MAX: usize = 3;

impl Drop for Scripted {
    fn drop(&mut self) {
        self.cluster.borrow_mut().cut();
    }
}

impl Scripted {
    pub fn new(cluster: Rc<RefCell<Cluster>>, fuse: Fuse) -> Scripted {
        let wire = cluster.borrow().wire(false);
        Scripted {
            cluster,
            fuse,
            legacy: false,
            wire,
            answers: Vec::new(),
            pending: None,
            looks: Looks::default(),
            last: Default::default(),
            asked: BTreeMap::new(),
            questions: 0,
        }
    }

    /// An answer may be there at once, or take its time, in which anything may happen.
    fn is_pending(&mut self, what: &'static str) -> bool {
        self.fuse.tick();
        let mut cluster = self.cluster.borrow_mut();
        let now_ms = cluster.now_ms();
        if cluster.silent_at == Some(what) {
            self.pending = Some((what, now_ms));
            return true;
        }
        let until_ms = match self.pending {
            Some((asked, until_ms)) if asked == what => until_ms,
            _ if cluster.rng.chance(70) => now_ms,
            _ => now_ms + cluster.rng.below(40),
        };
        let is_pending = now_ms < until_ms;
        self.pending = is_pending.then_some((what, until_ms));
        is_pending
    }

    fn lost(&mut self, why: &str) -> Fault {
        self.cluster.borrow_mut().cut();
        Fault::Lost(why.to_owned())
    }

    fn be_connected(&mut self) -> Result<(), Fault> {
        let cluster = self.cluster.borrow();
        let Some(connection) = &cluster.connection else {
            return Err(Fault::Lost("not connected".to_owned()));
        };
        let is_broken = connection.breaks_at_ms.is_some_and(|at_ms| at_ms <= cluster.now_ms());
        drop(cluster);
        if is_broken { Err(self.lost("the connection broke")) } else { Ok(()) }
    }

    /// A question takes a moment, and may fail.
    fn ask(&mut self) -> Result<(), Fault> {
        self.fuse.tick();
        self.be_connected()?;
        let mut cluster = self.cluster.borrow_mut();
        let ms = cluster.rng.below(3) + cluster.question_ms;
        cluster.clock.advance(ms);
        cluster.pump();
        let percent = cluster.trouble.question_fails;
        let fails = cluster.rng.chance(percent);
        let is_down = cluster.unreachable_until_ms > cluster.now_ms();
        drop(cluster);
        if fails || is_down {
            return Err(self.lost("a question without an answer"));
        }
        Ok(())
    }

    fn ticket(&mut self, partition: i32, what: i64) -> Result<Ticket, Fault> {
        self.questions += 1;
        self.asked.insert(self.questions, what);
        Ok(Ticket { partition, lane: 0, correlation: self.questions, version: 0 })
    }

    fn carry(batch: &Batch, wire: Wire) -> Produce {
        assert_eq!(batch.wire(), wire, "encoded for another wire");
        let values: Vec<Vec<u8>> = batch.values().map(<[u8]>::to_vec).collect();
        let mut produce = Produce {
            partition: batch.partition(),
            producer_id: -1,
            epoch: -1,
            sequence: -1,
            values: values.into(),
            size: batch.size(),
            stamp_ms: None,
        };
        if wire == Wire::Middle {
            let bytes = batch.sealed_bytes();
            produce.stamp_ms = Some(i64::from_be_bytes(std::array::from_fn(|i| bytes[18 + i])));
        }
        if wire == Wire::Modern {
            // What the header says counts, not what the agent believes.
            let bytes = batch.sealed_bytes();
            produce.stamp_ms = Some(i64::from_be_bytes(std::array::from_fn(|i| bytes[27 + i])));
            produce.producer_id = i64::from_be_bytes(std::array::from_fn(|i| bytes[43 + i]));
            produce.epoch = i16::from_be_bytes(std::array::from_fn(|i| bytes[51 + i]));
            produce.sequence = i32::from_be_bytes(std::array::from_fn(|i| bytes[53 + i]));
            let count = i32::from_be_bytes(std::array::from_fn(|i| bytes[57 + i]));
            assert_eq!(count as usize, produce.values.len(), "count in the batch header");
            assert_eq!(produce.sequence, batch.base_sequence());
        }
        produce
    }

    /// Where nothing in the log tells one batch from another, one request at a time.
    fn send_middle(&mut self, round: Vec<Produce>) -> Result<(), Fault> {
        let in_flight = self.in_flight();
        assert_eq!(in_flight, 0, "a request without identity behind another");
        self.send_modern(round)
    }

    fn in_flight(&self) -> usize {
        self.cluster.borrow().connection.as_ref().map_or(0, |c| c.flights.len())
    }

    fn send_modern(&mut self, round: Vec<Produce>) -> Result<(), Fault> {
        let in_flight = self.in_flight();
        let mut cluster = self.cluster.borrow_mut();
        assert!(in_flight < ROUNDS_IN_FLIGHT_MAX, "{in_flight} requests under way already");
        cluster.fly(round);
        let percent = cluster.trouble.request_lost / 2;
        let breaks = cluster.rng.chance(percent);
        drop(cluster);
        self.fuse.tick();
        if breaks { Err(self.lost("the connection broke while sending")) } else { Ok(()) }
    }

    fn send_legacy(&mut self, round: Vec<Produce>) -> Result<(), Fault> {
        let mut cluster = self.cluster.borrow_mut();
        let fate = cluster.fates.pop_front();
        let trouble = if fate.is_some() { Trouble::default() } else { cluster.trouble.clone() };
        if let Some(Fate::Late(delay_ms)) = fate {
            cluster.fly_alone(round, delay_ms);
            drop(cluster);
            return Err(self.lost("no answer in time"));
        }
        if cluster.rng.chance(trouble.request_lost) {
            drop(cluster);
            return Err(self.lost("the request was lost"));
        }
        if cluster.rng.chance(trouble.request_late) {
            // Together with what keeps it invisible it shows within the settle time.
            let delay_ms = cluster.rng.below(trouble.late_max_ms);
            cluster.fly_alone(round, delay_ms);
            if cluster.rng.chance(30) {
                let waited_ms = cluster.request_timeout_ms.min(delay_ms);
                cluster.clock.advance(waited_ms);
                cluster.pump();
            }
            drop(cluster);
            self.fuse.tick();
            return Err(self.lost("no answer in time"));
        }
        let now_ms = cluster.now_ms();
        let (answers, ready_ms) = cluster.append_all(&round, now_ms);
        cluster.trace.say(|| format!("  {}: -> {answers:?}", cluster.name));
        let is_lost = cluster.rng.chance(trouble.answer_lost) || fate == Some(Fate::AnswerLost);
        drop(cluster);
        self.fuse.tick();
        if is_lost {
            return Err(self.lost("the answer was lost"));
        }
        self.cluster.borrow().clock.advance(ready_ms - now_ms + 1);
        for mut answer in answers {
            answer.base_sequence = -1;
            self.answers.push(answer);
        }
        Ok(())
    }
}

/// What the brokers tell of it.
fn topic(cluster: &Cluster, wire: Wire) -> Topic {
    let hides = cluster.plant == Plant::HideOtherLogs;
    let hasty = cluster.plant == Plant::NoSettleTime;
    Topic {
        wire,
        cluster_id: format!("C{}", if hides { 0 } else { cluster.id }),
        topic_id: match cluster.tells_topic_id() {
            true => [if hides { 1 } else { cluster.topic as u8 + 1 }; 16],
            false => [0; 16],
        },
        partitions: (0..cluster.logs.len() as i32).collect(),
        leaderless: cluster.leaderless(),
        replicas: if hasty { 1 } else { cluster.replicas },
    }
}

impl Broker for Scripted {
    fn open(&mut self) -> Result<Progress<Topic>, Fault> {
        self.looks.interrupt();
        if !matches!(self.pending, Some(("open", _))) {
            self.answers.clear();
            self.asked.clear();
            self.cluster.borrow_mut().cut();
        }
        if self.is_pending("open") {
            return Ok(Progress::Pending);
        }
        let mut cluster = self.cluster.borrow_mut();
        cluster.pump();
        let now_ms = cluster.now_ms();
        let percent = cluster.trouble.question_fails;
        let fails = cluster.rng.chance(percent);
        let asked_for_legacy = std::mem::take(&mut self.legacy);
        if fails || cluster.unreachable_until_ms > now_ms {
            return Err(match now_ms % 7 {
                0 => Fault::LoginRefused("no login as alice".to_owned()),
                _ => Fault::Unreachable("connection refused".to_owned()),
            });
        }
        if cluster.leaderless().len() == cluster.logs.len() {
            return Err(Fault::NotReady("no partition has a leader".to_owned()));
        }
        if asked_for_legacy && cluster.version == Version::V40 {
            return Err(Fault::Lost("not spoken any more".to_owned()));
        }
        self.wire = cluster.wire(asked_for_legacy);
        cluster.connection = Some(Connection::default());
        let topic = topic(&cluster, self.wire);
        let this = (topic.cluster_id.clone(), topic.topic_id);
        if this != self.last {
            self.looks.forget();
            self.last = this;
        }
        Ok(Progress::Done(topic))
    }

    fn init_producer(&mut self) -> Result<Progress<Identity>, Fault> {
        self.looks.interrupt();
        if self.wire != Wire::Modern {
            return Ok(Progress::Done(Identity::NONE));
        }
        if self.is_pending("producer") {
            return Ok(Progress::Pending);
        }
        self.ask()?;
        let producer_id = self.cluster.borrow_mut().give_producer_id();
        Ok(Progress::Done(Identity { producer_id, epoch: 0 }))
    }

    fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault> {
        self.looks.interrupt();
        if self.is_pending("ends") {
            return Ok(Progress::Pending);
        }
        self.ask()?;
        let cluster = self.cluster.borrow();
        if partitions.iter().any(|p| cluster.leaderless().contains(p)) {
            drop(cluster);
            return Err(self.lost("a partition without a leader"));
        }
        let end = |p: &i32| cluster.logs[*p as usize].high_watermark(cluster.now_ms());
        let ends = partitions.iter().map(end).collect();
        drop(cluster);
        let mut cluster = self.cluster.borrow_mut();
        if std::mem::take(&mut cluster.is_remade_behind_ends) {
            cluster.remake_topic();
        }
        Ok(Progress::Done(ends))
    }

    fn survey(&mut self) -> Result<Progress<Topic>, Fault> {
        self.looks.interrupt();
        if self.is_pending("survey") {
            return Ok(Progress::Pending);
        }
        self.ask()?;
        let cluster = self.cluster.borrow();
        if cluster.leaderless().len() == cluster.logs.len() {
            return Err(Fault::NotReady("no partition has a leader".to_owned()));
        }
        Ok(Progress::Done(topic(&cluster, self.wire)))
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        self.fuse.tick();
        self.be_connected()?;
        let carried: Vec<Produce> = round.iter().map(|b| Self::carry(b, self.wire)).collect();
        {
            let mut cluster = self.cluster.borrow_mut();
            cluster.pump();
            cluster.trace.say(|| {
                let tell = |p: &Produce| {
                    format!(
                        "{}: {} of {} id {}/{} seq {}",
                        p.partition,
                        String::from_utf8_lossy(&p.values[0]),
                        p.values.len(),
                        p.producer_id,
                        p.epoch,
                        p.sequence
                    )
                };
                let batches: Vec<String> = carried.iter().map(tell).collect();
                format!("  {} at {}: send {batches:?}", cluster.name, cluster.now_ms())
            });
        }
        let bytes: usize = carried.iter().map(|p| p.size).sum();
        let limit = self.cluster.borrow().request_limit;
        if bytes > limit {
            return Err(self.lost(&format!("{bytes} bytes are more than {limit}")));
        }
        match self.wire {
            Wire::Modern => self.send_modern(carried),
            Wire::Middle => self.send_middle(carried),
            Wire::Legacy => self.send_legacy(carried),
        }
    }

    fn takes(&self, _: i32) -> bool {
        match self.wire {
            Wire::Modern => self.in_flight() < ROUNDS_IN_FLIGHT_MAX,
            Wire::Middle => self.in_flight() == 0,
            Wire::Legacy => true,
        }
    }

    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        self.fuse.tick();
        let mut cluster = self.cluster.borrow_mut();
        cluster.pump();
        answers.append(&mut self.answers);
        let now_ms = cluster.now_ms();
        let Some(connection) = &mut cluster.connection else {
            return Err(Fault::Lost("not connected".to_owned()));
        };
        let breaks_at_ms = connection.breaks_at_ms.unwrap_or(u64::MAX);
        while let Some(flight) = connection.flights.front_mut() {
            match flight.answer.take() {
                Some((at_ms, told)) if at_ms <= now_ms && at_ms <= breaks_at_ms => {
                    answers.extend(told);
                    connection.flights.pop_front();
                }
                other => {
                    flight.answer = other;
                    break;
                }
            }
        }
        let is_idle = connection.flights.is_empty() && answers.is_empty();
        let is_overdue = connection.flights.front().is_some_and(|f| f.deadline_ms <= now_ms);
        drop(cluster);
        self.fuse.tick();
        if breaks_at_ms <= now_ms && is_idle {
            self.cluster.borrow_mut().cut();
            return Err(Fault::Idle("closed while idle".to_owned()));
        }
        if breaks_at_ms <= now_ms {
            return Err(self.lost("the connection broke"));
        }
        if is_overdue {
            self.lost("no answer in time");
            return Err(Fault::Overdue("no answer in time".to_owned()));
        }
        Ok(())
    }

    fn look(&mut self, sought: &[Sought<'_>]) -> Result<Progress<Vec<Found>>, Fault> {
        self.fuse.tick();
        if self.cluster.borrow().plant == Plant::ResendUnderFreshId {
            let cluster = self.cluster.borrow();
            let now_ms = cluster.now_ms();
            let nothing = sought.iter().map(|s| Found {
                offsets: vec![None; s.wanted.len()],
                floor_is_gone: false,
                ends_before_floor: {
                    let log = &cluster.logs[s.partition as usize];
                    log.high_watermark(now_ms) < s.floor
                },
            });
            return Ok(Progress::Done(nothing.collect()));
        }
        let by_identity = self.wire == Wire::Modern;
        let mut looks = std::mem::take(&mut self.looks);
        let result = looks.step(self, sought, by_identity);
        self.looks = looks;
        let Progress::Done(found) = result? else { return Ok(Progress::Pending) };
        let cluster = self.cluster.borrow();
        for (found, sought) in found.iter().zip(sought) {
            cluster.trace.say(|| {
                let (now_ms, Sought { partition, floor, .. }) = (cluster.now_ms(), sought);
                let name = &cluster.name;
                format!("  {name} at {now_ms}: look {partition} from {floor}: {:?}", found.offsets)
            });
        }
        Ok(Progress::Done(found))
    }

    fn forget_looks(&mut self) {
        self.looks.forget();
    }

    fn history(&mut self) -> Result<Box<dyn History>, Fault> {
        self.fuse.tick();
        let cluster = self.cluster.borrow();
        if cluster.unreachable_until_ms > cluster.now_ms() || !cluster.leaderless().is_empty() {
            return Err(Fault::Unreachable("connection refused".to_owned()));
        }
        let partitions = (0..cluster.logs.len() as i32).collect();
        let replicas = cluster.replicas;
        let (cluster, fuse) = (self.cluster.clone(), self.fuse.clone());
        Ok(Box::new(Reader { cluster, fuse, partitions, replicas }))
    }

    fn rounds_in_flight_max(&self) -> usize {
        match self.wire {
            Wire::Modern | Wire::Middle => ROUNDS_IN_FLIGHT_MAX,
            Wire::Legacy => 1,
        }
    }

    fn use_legacy(&mut self) {
        self.legacy = true;
    }
}

impl Waits for Scripted {
    /// One, which only counts: nothing waits for it.
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        add(-1, false);
    }

    fn patience(&self) -> Duration {
        let cluster = self.cluster.borrow();
        let now_ms = cluster.now_ms();
        let next_ms = self.pending.map_or(u64::MAX, |(_, until_ms)| until_ms);
        let next_ms = cluster.next_event_ms().unwrap_or(u64::MAX).min(next_ms).min(now_ms + 200);
        Duration::from_millis(next_ms.saturating_sub(now_ms))
    }
}

/// The log as it travels: a few batches in each fetch.
impl Log for Scripted {
    fn ask_piece(&mut self, partition: i32, offset: i64, _: usize) -> Result<Ticket, Fault> {
        self.ticket(partition, offset)
    }

    fn take_piece(&mut self, ticket: Ticket) -> Result<Progress<Piece>, Fault> {
        if self.is_pending("piece") {
            return Ok(Progress::Pending);
        }
        self.ask()?;
        if self.cluster.borrow().leaderless().contains(&ticket.partition) {
            return Err(self.lost("a partition without a leader"));
        }
        let (cluster, offset) = (self.cluster.borrow(), self.asked[&ticket.correlation]);
        let now_ms = cluster.now_ms();
        let log = &cluster.logs[ticket.partition as usize];
        if offset > log.end {
            return Ok(Progress::Done(Piece::OutOfRange));
        }
        let behind = |s: &&Stored| s.base + s.values.len() as i64 > offset;
        let visible = log.visible(now_ms).filter(behind).take(FETCH_MAX);
        let records = visible.flat_map(encoded).collect();
        Ok(Progress::Done(Piece::Log { records, high_watermark: log.high_watermark(now_ms) }))
    }

    fn ask_offset(&mut self, partition: i32, time: i64) -> Result<Ticket, Fault> {
        self.ticket(partition, time)
    }

    fn take_offset(&mut self, ticket: Ticket) -> Result<Progress<Option<i64>>, Fault> {
        self.ask()?;
        let cluster = self.cluster.borrow();
        let log = &cluster.logs[ticket.partition as usize];
        let end = log.high_watermark(cluster.now_ms());
        Ok(Progress::Done(Some(match self.asked[&ticket.correlation] {
            walk::FIRST => 0,
            _ => end,
        })))
    }
}

/// A batch of the log as a reader gets it.
fn encoded(stored: &Stored) -> Vec<u8> {
    let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
    batch.begin(0, 0);
    stored.values.iter().for_each(|value| batch.push(&[], value));
    let (identity, sequence) = match stored.producer_id {
        -1 => (Identity::NONE, -1),
        producer_id => (Identity { producer_id, epoch: stored.epoch }, stored.sequence),
    };
    batch.seal(identity, sequence);
    let mut bytes = batch.sealed_bytes().to_vec();
    bytes[..8].copy_from_slice(&stored.base.to_be_bytes());
    bytes
}

/// Reads the log over a connection of its own.
struct Reader {
    cluster: Rc<RefCell<Cluster>>,
    fuse: Fuse,
    partitions: Vec<i32>,
    replicas: usize,
}

impl Reader {
    fn ask(&mut self) -> Result<(), Fault> {
        self.fuse.tick();
        let mut cluster = self.cluster.borrow_mut();
        let ms = cluster.rng.below(3);
        cluster.clock.advance(ms);
        cluster.pump();
        let percent = cluster.trouble.question_fails;
        let fails = cluster.rng.chance(percent);
        let is_down = cluster.unreachable_until_ms > cluster.now_ms();
        if fails || is_down { Err(Fault::Lost("no answer".to_owned())) } else { Ok(()) }
    }
}

impl History for Reader {
    fn partitions(&self) -> &[i32] {
        &self.partitions
    }

    fn replicas(&self) -> usize {
        self.replicas
    }

    fn bounds(&mut self, partition: i32) -> Result<(i64, i64), Fault> {
        self.ask()?;
        let cluster = self.cluster.borrow();
        Ok((0, cluster.logs[partition as usize].high_watermark(cluster.now_ms())))
    }

    fn read_some(
        &mut self,
        partition: i32,
        at: &mut i64,
        to: i64,
        visit: &mut dyn FnMut(TopicRecord<'_>),
    ) -> Result<(), Fault> {
        self.ask()?;
        let cluster = self.cluster.borrow();
        let now_ms = cluster.now_ms();
        let from = *at;
        for stored in cluster.logs[partition as usize].visible(now_ms) {
            for (offset, value) in (stored.base..to).zip(stored.values.iter()) {
                if offset >= *at {
                    let producer_id = stored.producer_id;
                    let value = Some(&value[..]);
                    visit(TopicRecord { partition, offset, producer_id, key: None, value });
                    *at = offset + 1;
                }
            }
            if *at >= from + 50 {
                return Ok(());
            }
        }
        *at = to;
        Ok(())
    }
}
