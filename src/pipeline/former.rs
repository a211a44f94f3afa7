//! Logs that a channel was moved away from while something was in doubt, and that may answer again: the address led
//! to another cluster for a while, a topic was recreated and then restored.
//!
//! What is in doubt may be in each of them. So of each its floors and marks are kept, and of each batch what it is
//! known by there, in the record, until the batch is acknowledged somewhere. *When one of them answers again, the
//! channel stands there as it did when it left*: each batch has the identity and the partition that it had, is looked
//! for from the floor that was, by all that holds for that log, and is sent only where it is absent. What was
//! announced since cannot be there, and is sent under a fresh identity, like all that is moved.

use super::announced::Ticket;
use super::recovery::Pause;
use super::{Announced, CHANNEL, Copies, Pipeline};
use crate::channel::batch::{Batch, Identity};
use crate::channel::outlet::{Absence, DoubtIdentity, Outlet, TOPIC_ID_UNKNOWN, sequence_after};
use crate::checkpoint::record::{
    BatchRecord, ChannelRecord, FORMER_LOGS_MAX, FormerLog, OF_THE_SAME_WHOLE, PartitionRecord,
    Trace,
};
use crate::log::{self, counted};

impl Pipeline {
    /// Notes what everything in doubt of channel `at` is known by in the log of the record, before anything
    /// changes that. Where that was begun and not come to an end, it is noted already.
    pub(super) fn leave_log(&mut self, at: usize) {
        let doubts = self.doubts(at);
        let outlet = &self.outlets[at];
        let record = &outlet.record;
        let is_left = record.former.iter().any(|log| is_that(log, record));
        // What was read back as missing was sent nowhere.
        if doubts.is_empty() || is_left || outlet.doubt_identity == DoubtIdentity::Missing {
            return;
        }
        let has_doubt = |partition: i32| {
            doubts.iter().any(|&n| self.announced[n].record.partition == partition)
        };
        let left = left(outlet, has_doubt);
        let log = record.former.len() as u16;
        self.outlets[at].record.former.push(left);
        for n in doubts {
            let trace = trace(&self.announced[n].record, log);
            self.announced[n].record.traces.push(trace);
        }
    }

    /// The former log of channel `at` that answers now, if something in doubt may be there.
    pub(super) fn answering_log(&self, at: usize) -> Option<usize> {
        let outlet = &self.outlets[at];
        let topic = outlet.topic.as_ref()?;
        let is_same_cluster =
            |id: &String| id.is_empty() || topic.cluster_id.is_empty() || *id == topic.cluster_id;
        let is_here = |name: &String, cluster_id: &String| {
            *name == outlet.config.topic && is_same_cluster(cluster_id)
        };
        let former = &outlet.record.former;
        let here = (0..former.len()).rev();
        let here = here.filter(|&n| is_here(&former[n].topic, &former[n].cluster_id));
        let here: Vec<usize> = here.filter(|&n| self.may_have_doubt(at, n)).collect();
        let has_id =
            |n: &usize| topic.topic_id != TOPIC_ID_UNKNOWN && former[*n].topic_id == topic.topic_id;
        // One that was to be left, and was not.
        let is_own = |n: &usize| is_that(&former[*n], &outlet.record);
        let find = |is_it: &dyn Fn(&usize) -> bool| here.iter().copied().find(is_it);
        // A topic that was recreated on its cluster is another one; whoever comes from elsewhere finds that out as
        // if it had never been away.
        let is_from_elsewhere = !is_here(&outlet.record.topic, &outlet.record.cluster_id);
        find(&has_id).or_else(|| find(&is_own)).or_else(|| find(&|_: &usize| is_from_elsewhere))
    }

    /// A log that was to be left, and was not, answers again, and nothing was changed of what is in doubt: it is not
    /// a former one. What can be asked of it is asked as if the channel had never been away.
    pub(super) fn stay_in_log(&mut self, at: usize) {
        let Some(log) = self.answering_log(at) else { return };
        let record = &self.outlets[at].record;
        let former = &record.former[log];
        let place_in = |partitions: &[PartitionRecord], partition: i32| {
            partitions.iter().copied().find(|p| p.partition == partition)
        };
        let is_as_noted = |n: &Ticket| {
            let batch = &self.announced[*n].record;
            let place = place_in(&record.partitions, batch.partition);
            self.trace_in(*n, log) == Some(trace(batch, log as u16))
                && place.is_some()
                && place == place_in(&former.partitions, batch.partition)
        };
        if is_that(former, record) && self.doubts(at).iter().all(is_as_noted) {
            self.drop_log(at, log);
        }
    }

    /// A log that channel `at` was moved away from answers again.
    pub(super) fn return_to_log(&mut self, at: usize, cluster_id: &str) -> Result<(), Pause> {
        let Some(log) = self.answering_log(at) else { return Ok(()) };
        let mut new = self.doubts(at);
        new.retain(|&n| self.trace_in(n, log).is_none());
        // All before anything is changed or said: this is done again until they are there.
        self.count_events(&new)?;
        let identity = self.fresh_identity(at)?;
        let ends = self.ends(at)?;
        // A write may have moved it.
        let Some(log) = self.answering_log(at) else { return Err(Pause::Wait(0)) };
        self.stand_in(at, log, &ends);
        self.outlets[at].take_identity(identity);
        let is_foreign = self.outlets[at].record.former[log].is_foreign;
        let mut resumed = 0;
        for n in self.doubts(at) {
            if let Some(trace) = self.trace_in(n, log) {
                self.resume(at, n, trace);
                self.announced[n].record.is_foreign = is_foreign;
                resumed += 1;
            }
        }
        for n in new {
            self.rename(at, n)?;
        }
        let Some(log) = self.answering_log(at) else { return Err(Pause::Wait(0)) };
        let outlet = &mut self.outlets[at];
        outlet.record.topic.clone_from(&outlet.config.topic);
        let former = &outlet.record.former[log];
        outlet.record.topic_id = former.topic_id;
        outlet.record.cluster_id = match cluster_id {
            "" => former.cluster_id.clone(),
            told => told.to_owned(),
        };
        log::warn(
            CHANNEL,
            format_args!(
                "Channel {}: topic {} (cluster {}) answers again, in which {} in doubt may be since before; \
                 positions are kept, and what is not found there is sent.",
                outlet.config.name,
                outlet.config.topic,
                outlet.record.cluster_id,
                counted(resumed, "batch")
            ),
        );
        self.drop_log(at, log);
        self.commit()?;
        Ok(())
    }

    /// Floors, marks and whose identities these are, as when the log was left. Where nothing can be that is in
    /// doubt, nothing that is there by now is taken for it.
    fn stand_in(&mut self, at: usize, log: usize, ends: &[(i32, i64)]) {
        let traced: Vec<i32> = self
            .doubts(at)
            .into_iter()
            .filter_map(|n| self.trace_in(n, log).map(|trace| trace.partition))
            .collect();
        let outlet = &mut self.outlets[at];
        outlet.forget_place();
        outlet.absence = Absence::Unknown;
        outlet.in_sequence(None);
        let FormerLog { partitions, is_foreign, .. } = outlet.record.former[log].clone();
        outlet.record.partitions = partitions;
        outlet.doubt_identity = match is_foreign {
            true => DoubtIdentity::Foreign,
            false => DoubtIdentity::Ours,
        };
        for (partition, end) in ends.iter().filter(|(partition, _)| !traced.contains(partition)) {
            outlet.partition(*partition).floor_offset = *end;
        }
    }

    /// May something in doubt be in that former log of channel `at`?
    fn may_have_doubt(&self, at: usize, log: usize) -> bool {
        self.doubts(at).into_iter().any(|n| self.trace_in(n, log).is_some())
    }

    /// What batch `n` is known by in that former log of its channel.
    fn trace_in(&self, n: Ticket, log: usize) -> Option<Trace> {
        let traces = &self.announced[n].record.traces;
        traces.iter().copied().find(|trace| usize::from(trace.log) == log)
    }

    /// Batch `n` as it was announced for the log of the trace.
    fn resume(&mut self, at: usize, n: Ticket, trace: Trace) {
        let Announced { record, encoded, copies, .. } = &mut self.announced[n];
        record.partition = trace.partition;
        record.producer_id = trace.producer_id;
        record.producer_epoch = trace.producer_epoch;
        record.base_sequence = trace.base_sequence;
        record.count = trace.count;
        (record.values_crc, record.first_crc) = (trace.values_crc, trace.first_crc);
        // One may have come there, or still be on its way.
        *copies = Copies::Any;
        if let Some(batch) = encoded.take_if(|batch| !is_as_then(batch, &trace)) {
            self.outlets[at].give_back(batch);
        } else if let Some(batch) = encoded {
            let (producer_id, epoch) = (trace.producer_id, trace.producer_epoch);
            batch.seal(Identity { producer_id, epoch }, trace.base_sequence);
        }
    }

    /// Batch `n` is sent, since the whole that it is a part of is not in the log: from now on it stands for itself, and
    /// what is found of it tells nothing of the parts behind it. `true`: that is new.
    pub(super) fn part_from(&mut self, n: Ticket) -> bool {
        let first = &self.announced[n].record;
        let (at, partition) = (usize::from(first.channel), first.partition);
        let mut is_new = false;
        for part in self.doubts(at) {
            let record = &mut self.announced[part].record;
            if record.partition == partition && record.base_sequence == OF_THE_SAME_WHOLE {
                record.base_sequence = -1;
                is_new = true;
            }
        }
        is_new
    }

    /// Is another part of the same whole known by the same identity and sequence?
    pub(super) fn shares_identity(&self, n: Ticket) -> bool {
        let identity = |record: &BatchRecord| {
            (record.partition, record.producer_id, record.producer_epoch, record.base_sequence)
        };
        let record = &self.announced[n].record;
        let doubts = self.doubts(usize::from(record.channel)).into_iter();
        let alike = doubts.filter(|&m| identity(&self.announced[m].record) == identity(record));
        record.producer_id >= 0 && alike.count() > 1
    }

    /// Before each write: logs in which nothing can be any more that is in doubt are forgotten, and so are the
    /// first ones of too many.
    pub(super) fn forget_former_logs(&mut self) {
        for announced in self.announced.iter_mut() {
            if !announced.record.fate.is_in_doubt() {
                announced.record.traces.clear();
            }
        }
        for at in 0..self.outlets.len() {
            for log in (0..self.outlets[at].record.former.len()).rev() {
                if !self.may_have_doubt(at, log) {
                    self.drop_log(at, log);
                }
            }
            while has_too_many(&self.outlets[at].record) {
                let Outlet { config, record, .. } = &self.outlets[at];
                let FormerLog { topic, cluster_id, .. } = &record.former[0];
                log::warn(
                    CHANNEL,
                    format_args!(
                        "Channel {}: it was moved to more than {FORMER_LOGS_MAX} other clusters or topics with the \
                         same batches in doubt; of topic {topic} (cluster {cluster_id}), the first of them, \
                         nothing is remembered any more, and to go back there may repeat them.",
                        config.name
                    ),
                );
                self.drop_log(at, 0);
            }
        }
    }

    fn drop_log(&mut self, at: usize, log: usize) {
        self.outlets[at].record.former.remove(log);
        let of_channel = |a: &&mut Announced| usize::from(a.record.channel) == at;
        for announced in self.announced.iter_mut().filter(of_channel) {
            let traces = &mut announced.record.traces;
            traces.retain(|trace| usize::from(trace.log) != log);
            for trace in traces.iter_mut().filter(|trace| usize::from(trace.log) > log) {
                trace.log -= 1;
            }
        }
    }
}

/// The present log of a channel, with what is known of those partitions.
fn left(outlet: &Outlet, has_doubt: impl Fn(i32) -> bool) -> FormerLog {
    let record = &outlet.record;
    let partitions = record.partitions.iter().filter(|p| has_doubt(p.partition));
    // A topic that was made anew, which only an ack has told, and nothing else will.
    let is_other = outlet.is_log_other() && record.topic_id == TOPIC_ID_UNKNOWN;
    let as_known = |p| if is_other { outlet.in_other_log(p) } else { *p };
    FormerLog {
        topic: record.topic.clone(),
        cluster_id: record.cluster_id.clone(),
        topic_id: record.topic_id,
        is_foreign: outlet.doubt_identity == DoubtIdentity::Foreign,
        partitions: partitions.map(as_known).collect(),
    }
}

/// The present log is noted before it is left, and comes on top: in the place of the first of the others it would
/// make that forgotten which answers again, or though the channel stays where it is.
fn has_too_many(record: &ChannelRecord) -> bool {
    let left = record.former.iter().filter(|log| !is_that(log, record));
    left.count() > FORMER_LOGS_MAX
}

/// Is it the present log of the record?
fn is_that(log: &FormerLog, record: &ChannelRecord) -> bool {
    (&log.topic, &log.cluster_id, log.topic_id)
        == (&record.topic, &record.cluster_id, record.topic_id)
}

fn trace(record: &BatchRecord, log: u16) -> Trace {
    Trace {
        log,
        partition: record.partition,
        producer_id: record.producer_id,
        producer_epoch: record.producer_epoch,
        base_sequence: record.base_sequence,
        count: record.count,
        values_crc: record.values_crc,
        first_crc: record.first_crc,
    }
}

/// Is that what was sent to the log of the trace? Where only the content tells a batch from others, one of as many
/// other events would never be found.
fn is_as_then(batch: &Batch, trace: &Trace) -> bool {
    let has_its_content = || batch.content_crcs() == (trace.values_crc, trace.first_crc);
    (batch.partition(), batch.count()) == (trace.partition, trace.count)
        && (trace.producer_id >= 0 || has_its_content())
}

/// These were one batch, which may be in former logs as a whole: each is known there by its own place in it.
pub(super) fn split_traces(parts: &mut [Announced]) {
    let whole: u32 = parts.iter().map(events_of).sum();
    let Some(first) = parts.first() else { return };
    for at in 0..first.record.traces.len() {
        let mut trace = parts[0].record.traces[at];
        if trace.count != whole || trace.base_sequence == OF_THE_SAME_WHOLE {
            // Other events than the bytes make now: where the whole is, all parts are. What has no identity may be
            // equal to another one, which is elsewhere.
            if trace.producer_id < 0 {
                trace.base_sequence = OF_THE_SAME_WHOLE;
                parts[1..].iter_mut().for_each(|part| part.record.traces[at] = trace);
            }
            continue;
        }
        for part in &mut *parts {
            trace.count = events_of(part);
            if trace.producer_id < 0
                && let Some(batch) = &part.encoded
            {
                (trace.values_crc, trace.first_crc) = batch.content_crcs();
            }
            part.record.traces[at] = trace;
            if trace.producer_id >= 0 {
                trace.base_sequence = sequence_after(trace.base_sequence, trace.count);
            }
        }
    }
}

fn events_of(part: &Announced) -> u32 {
    part.encoded.as_ref().map_or(part.record.count, Batch::count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    use crate::channel::batch::Wire;
    use crate::channel::connect::connect;
    use crate::checkpoint::record::Mark;
    use crate::config;
    use crate::config::model::{Compression, Destination, ValueFormat};

    const CONF: &str = "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = exec\n\
        a1.sources.r1.command = tail -F /logs/a.log\na1.sources.r1.trackerDir = /logs/state\n\
        a1.sources.r1.channels = c1\na1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
        a1.channels.c1.kafka.bootstrap.servers = h:1\n";

    fn channel() -> Rc<Destination> {
        let name = format!("flume-ng-former-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, CONF).unwrap();
        let loaded = config::load(&path, "a1").unwrap_or_else(|faults| panic!("{faults:?}"));
        std::fs::remove_file(&path).unwrap();
        Rc::new(loaded.config.destinations[0].clone())
    }

    /// The topic was made anew behind the connection, which the ack of one of two batches has told; then the address
    /// led elsewhere.
    #[test]
    fn a_topic_of_which_an_ack_told_is_looked_through_when_it_answers_again() {
        let config = channel();
        let broker = connect(&config);
        let mut outlet = Outlet::new(config, 0, broker, None);
        let marked = |offset| Some(Mark { offset, ..Mark::default() });
        for partition in 0..3 {
            let known = outlet.partition(partition);
            (known.floor_offset, known.mark) = (7, marked(5));
        }
        let known = |outlet: &Outlet| -> Vec<(i32, i64, Option<Mark>)> {
            let log = left(outlet, |partition| partition != 1);
            log.partitions.iter().map(|p| (p.partition, p.floor_offset, p.mark)).collect()
        };
        assert_eq!(known(&outlet), [(0, 7, marked(5)), (2, 7, marked(5))]);
        outlet.acked_in_other_log(0);
        outlet.partition(0).mark = marked(2);
        assert_eq!(known(&outlet), [(0, 0, marked(2)), (2, 0, None)]);
        // By its id the old one is known, in which that may be.
        outlet.record.topic_id = [1; 16];
        assert_eq!(known(&outlet)[1], (2, 7, marked(5)));
    }

    /// With another configuration the bytes made as many other events elsewhere.
    #[test]
    fn what_is_known_by_its_content_is_not_sent_with_another_one() {
        let mut batch = Batch::new(Wire::Middle, ValueFormat::Bare, Compression::None);
        batch.begin(3, 1);
        batch.push(&[], b"new");
        let (values_crc, first_crc) = batch.content_crcs();
        let trace = Trace { partition: 3, producer_id: -1, count: 1, ..Trace::default() };
        assert!(!is_as_then(&batch, &trace));
        let same = Trace { values_crc, first_crc, ..trace };
        assert!(is_as_then(&batch, &same));
        assert!(!is_as_then(&batch, &Trace { partition: 2, ..same }));
        assert!(is_as_then(&batch, &Trace { producer_id: 7, ..trace }));
    }

    /// A batch was moved, and was too large for where it went.
    #[test]
    fn the_parts_of_a_batch_are_known_where_the_whole_may_be() {
        let batch = |values: &[&str]| {
            let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
            batch.begin(0, 1);
            values.iter().for_each(|value| batch.push(&[], value.as_bytes()));
            batch.seal(Identity { producer_id: 1, epoch: 0 }, 0);
            batch
        };
        let (head, middle, tail) = (batch(&["a"]), batch(&["b", "c"]), batch(&["d"]));
        let (values_crc, first_crc) = batch(&["a", "b", "c", "d"]).content_crcs();
        let named = Trace { producer_id: 7, base_sequence: 10, count: 4, ..Trace::default() };
        let nameless = Trace {
            log: 1,
            producer_id: -1,
            base_sequence: -1,
            count: 4,
            values_crc,
            first_crc,
            ..Trace::default()
        };
        let reshaped = Trace { log: 2, count: 9, ..named };
        let nameless_reshaped = Trace { log: 3, count: 9, ..nameless };
        let traces = vec![named, nameless, reshaped, nameless_reshaped];
        let crcs = [&head, &middle, &tail].map(Batch::content_crcs);
        let part = |batch: Batch| {
            let count = batch.count();
            let record = BatchRecord { count, traces: traces.clone(), ..BatchRecord::default() };
            Announced::new(record, Some(batch), 0, Copies::Any)
        };
        let mut parts = [head, middle, tail].map(part);
        split_traces(&mut parts);
        let numbers = |part: &Announced| -> Vec<(u16, i32, u32)> {
            part.record.traces.iter().map(|t| (t.log, t.base_sequence, t.count)).collect()
        };
        let same = OF_THE_SAME_WHOLE;
        assert_eq!(numbers(&parts[0]), [(0, 10, 1), (1, -1, 1), (2, 10, 9), (3, -1, 9)]);
        assert_eq!(numbers(&parts[1]), [(0, 11, 2), (1, -1, 2), (2, 10, 9), (3, same, 9)]);
        assert_eq!(numbers(&parts[2]), [(0, 13, 1), (1, -1, 1), (2, 10, 9), (3, same, 9)]);
        let content = |part: &Announced| {
            let trace = part.record.traces[1];
            (trace.values_crc, trace.first_crc)
        };
        assert_eq!(parts.each_ref().map(content), crcs);
        assert!(parts.iter().all(|part| part.record.traces[2] == reshaped));
    }
}
