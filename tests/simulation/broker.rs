//! The agent's side of a [`Cluster`]: what a connection brings and what it keeps back.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::rc::Rc;

use flume_ng::channel::batch::Batch;
use flume_ng::channel::batch::{Identity, Wire};
use flume_ng::channel::broker::{Answer, Broker, Fault, Found, Topic};
use flume_ng::channel::content::ContentSearch;
use flume_ng::channel::reader::{History, TopicRecord};
use flume_ng::checkpoint::record::BatchRecord;

use crate::Plant;
use crate::cluster::{Cluster, Connection, Produce, Version};
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
    /// The agent was asked to stop: waiting is over.
    pub is_stopping: Rc<std::cell::Cell<bool>>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.cluster.borrow_mut().cut();
    }
}

impl Scripted {
    pub fn new(
        cluster: Rc<RefCell<Cluster>>,
        fuse: Fuse,
        is_stopping: Rc<std::cell::Cell<bool>>,
    ) -> Scripted {
        let wire = cluster.borrow().wire(false);
        Scripted { cluster, fuse, legacy: false, wire, answers: Vec::new(), is_stopping }
    }

    fn lost(&mut self, why: &str) -> Fault {
        self.cluster.borrow_mut().cut();
        self.legacy &= self.wire == Wire::Modern;
        Fault::Lost(why.to_owned())
    }

    /// A question takes a moment, and may fail.
    fn ask(&mut self) -> Result<(), Fault> {
        self.fuse.tick();
        let mut cluster = self.cluster.borrow_mut();
        if cluster.connection.is_none() {
            return Err(Fault::Lost("not connected".to_owned()));
        }
        let ms = cluster.rng.below(3);
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

    fn carry(batch: &Batch, wire: Wire) -> Produce {
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

    fn send_modern(&mut self, round: Vec<Produce>) -> Result<(), Fault> {
        let mut cluster = self.cluster.borrow_mut();
        let in_flight = cluster.connection.as_ref().map_or(0, |c| c.flights.len());
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
        let trouble = cluster.trouble.clone();
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
        let is_lost = cluster.rng.chance(trouble.answer_lost);
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

impl Broker for Scripted {
    fn open(&mut self) -> Result<Topic, Fault> {
        self.fuse.tick();
        self.answers.clear();
        let mut cluster = self.cluster.borrow_mut();
        cluster.cut();
        cluster.pump();
        let now_ms = cluster.now_ms();
        let percent = cluster.trouble.question_fails;
        let fails = cluster.rng.chance(percent);
        let asked_for_legacy = std::mem::take(&mut self.legacy);
        if fails || cluster.unreachable_until_ms > now_ms {
            return Err(Fault::Unreachable("connection refused".to_owned()));
        }
        if cluster.is_leaderless() {
            return Err(Fault::NotReady("a partition without a leader".to_owned()));
        }
        if asked_for_legacy && cluster.version == Version::V40 {
            return Err(Fault::Lost("not spoken any more".to_owned()));
        }
        self.legacy = asked_for_legacy;
        self.wire = cluster.wire(self.legacy);
        cluster.connection = Some(Connection::default());
        let hides = cluster.plant == Plant::HideOtherLogs;
        let hasty = cluster.plant == Plant::NoSettleTime;
        Ok(Topic {
            wire: self.wire,
            cluster_id: format!("C{}", if hides { 0 } else { cluster.id }),
            topic_id: match cluster.tells_topic_id() {
                true => [if hides { 1 } else { cluster.topic as u8 + 1 }; 16],
                false => [0; 16],
            },
            partitions: (0..cluster.logs.len() as i32).collect(),
            replicas: if hasty { 1 } else { cluster.replicas },
        })
    }

    fn init_producer(&mut self) -> Result<Identity, Fault> {
        if self.wire == Wire::Legacy {
            return Ok(Identity::NONE);
        }
        self.ask()?;
        let producer_id = self.cluster.borrow_mut().give_producer_id();
        Ok(Identity { producer_id, epoch: 0 })
    }

    fn end_offset(&mut self, partition: i32) -> Result<i64, Fault> {
        self.ask()?;
        let cluster = self.cluster.borrow();
        Ok(cluster.logs[partition as usize].high_watermark(cluster.now_ms()))
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        self.fuse.tick();
        if self.cluster.borrow().connection.is_none() {
            return Err(Fault::Lost("not connected".to_owned()));
        }
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
            Wire::Legacy => self.send_legacy(carried),
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
        if is_overdue { Err(self.lost("no answer in time")) } else { Ok(()) }
    }

    fn look(
        &mut self,
        partition: i32,
        floor: i64,
        wanted: &[&BatchRecord],
    ) -> Result<Found, Fault> {
        self.ask()?;
        let cluster = self.cluster.borrow();
        let mut found = vec![None; wanted.len()];
        let end = cluster.logs[partition as usize].high_watermark(cluster.now_ms());
        let ends_before_floor = end < floor;
        if cluster.plant == Plant::ResendUnderFreshId {
            return Ok(Found { offsets: found, floor_is_gone: false, ends_before_floor });
        }
        let by_identity = self.wire == Wire::Modern;
        let is_nameless = |w: &BatchRecord| !by_identity || w.producer_id < 0;
        let nameless: Vec<usize> = (0..wanted.len()).filter(|&i| is_nameless(wanted[i])).collect();
        let sought: Vec<&BatchRecord> = nameless.iter().map(|&i| wanted[i]).collect();
        let mut content = ContentSearch::new(&sought);
        let now_ms = cluster.now_ms();
        for stored in cluster.logs[partition as usize].visible(now_ms) {
            if stored.base + (stored.values.len() as i64) <= floor {
                continue;
            }
            if by_identity && stored.producer_id >= 0 {
                for (wanted, found) in wanted.iter().zip(&mut found) {
                    if !is_nameless(wanted)
                        && wanted.producer_id == stored.producer_id
                        && wanted.producer_epoch == stored.epoch
                        && wanted.base_sequence == stored.sequence
                        && wanted.count as usize == stored.values.len()
                    {
                        *found = Some(stored.base);
                    }
                }
            }
            for (offset, value) in (stored.base..).zip(stored.values.iter()) {
                if offset >= floor {
                    content.feed(offset, Some(value));
                }
            }
        }
        for (index, offset) in nameless.into_iter().zip(content.found()) {
            found[index] = offset;
        }
        cluster.trace.say(|| {
            format!("  {} at {now_ms}: look {partition} from {floor}: {found:?}", cluster.name)
        });
        Ok(Found { offsets: found, floor_is_gone: false, ends_before_floor })
    }

    fn history(&mut self) -> Result<Box<dyn History>, Fault> {
        self.fuse.tick();
        let cluster = self.cluster.borrow();
        if cluster.unreachable_until_ms > cluster.now_ms() || cluster.is_leaderless() {
            return Err(Fault::Unreachable("connection refused".to_owned()));
        }
        let partitions = (0..cluster.logs.len() as i32).collect();
        let replicas = cluster.replicas;
        let (cluster, fuse) = (self.cluster.clone(), self.fuse.clone());
        Ok(Box::new(Reader { cluster, fuse, partitions, replicas }))
    }

    fn wait(&mut self) -> Result<(), Fault> {
        self.fuse.tick();
        if self.is_stopping.get() {
            return Err(Fault::Stopped);
        }
        let mut cluster = self.cluster.borrow_mut();
        let now_ms = cluster.now_ms();
        let next_ms = cluster.next_event_ms().unwrap_or(now_ms + 200);
        cluster.clock.advance(next_ms.saturating_sub(now_ms).clamp(1, 200));
        cluster.pump();
        Ok(())
    }

    fn rounds_in_flight_max(&self) -> usize {
        match self.wire {
            Wire::Modern => ROUNDS_IN_FLIGHT_MAX,
            Wire::Legacy => 1,
        }
    }

    fn use_legacy(&mut self) {
        self.legacy = true;
    }

    fn descriptors(&self, _: &mut dyn FnMut(RawFd, bool)) {}
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
                    visit(TopicRecord { partition, offset, producer_id, value });
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
