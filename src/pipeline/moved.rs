//! The log behind a channel is another one than that in which its batches are in doubt: another
//! cluster, another topic, or a topic that was deleted and made anew with fewer partitions. What
//! was acknowledged there stays there; what is in doubt is sent here under a fresh identity. Should that log answer
//! again before it is acknowledged here, it is looked for there: see [`super::former`].

use super::announced::Ticket;
use super::recovery::{LOOK_AGAIN_MS, Pause};
use super::rounds::assign;
use super::{Announced, CHANNEL, Copies, Pipeline, leaders};
use crate::channel::batch::Identity;
use crate::channel::broker::Fault;
use crate::channel::outlet::{DoubtIdentity, FLOOR_UNKNOWN, Outlet, TOPIC_ID_UNKNOWN};
use crate::log::{self, counted};

/// How long the brokers must say that a partition of a batch in doubt, or one that an event names, does not exist, ms. For a
/// moment after a partition was added, a broker may not know of it.
pub(super) const PARTITION_MISSING_MS: u64 = 60_000;

impl Pipeline {
    /// Compares what the broker says with what the checkpoint says.
    pub(super) fn adopt_topic(&mut self, at: usize) -> Result<(), Pause> {
        let outlet = &self.outlets[at];
        let Some(topic) = &outlet.topic else { return Ok(()) };
        if let Some(fixed) = outlet.config.default_partition
            && !topic.partitions.contains(&fixed)
        {
            return Err(Pause::Fault(Fault::NotReady(format!(
                "defaultPartitionId = {fixed}, but the topic has the partitions {:?}",
                topic.partitions
            ))));
        }
        if let Some(fixed) = outlet.config.default_partition
            && !topic.leads(fixed)
        {
            return Err(leaders::without(&outlet.config.topic, fixed));
        }
        let wire = topic.wire;
        let is_other_cluster = !outlet.record.cluster_id.is_empty()
            && !topic.cluster_id.is_empty()
            && outlet.record.cluster_id != topic.cluster_id;
        let is_other_topic = outlet.record.topic != outlet.config.topic;
        let is_other_wire = outlet.last_wire.is_some_and(|last| last != wire);
        let cluster_id = topic.cluster_id.clone();
        if is_other_cluster && outlet.config.keeps_cluster {
            return Err(Pause::Fault(Fault::NotReady(format!(
                "the brokers that its sinks name are of different clusters ({cluster_id} answers, \
                 {} was written to before): nothing is sent to a second one; remove one of the sinks",
                outlet.record.cluster_id
            ))));
        }
        let is_elsewhere = is_other_cluster || is_other_topic;
        self.stay_in_log(at);
        let is_former = self.answering_log(at).is_some();
        if is_elsewhere || is_former {
            self.need_leaders(at)?;
            // While it has what it is known by there.
            self.leave_log(at);
        }
        let outlet = &mut self.outlets[at];
        outlet.last_wire = Some(wire);
        if is_other_wire {
            outlet.has_own_identity = false;
            self.forget_encodings(at, wire);
        }
        if is_former {
            self.return_to_log(at, &cluster_id)?;
        } else if is_elsewhere {
            return self.move_to_other_log(at, &cluster_id);
        }
        if !cluster_id.is_empty() {
            self.outlets[at].record.cluster_id = cluster_id;
        }
        if self.has_other_id(at) || self.outlets[at].is_log_other() {
            self.begin_other_log(at)?;
        }
        if !wire.has_identity() {
            self.drop_identities(at)?;
        }
        Ok(())
    }

    /// Do the brokers tell another topic id than that of the record?
    fn has_other_id(&self, at: usize) -> bool {
        let Outlet { topic, record, .. } = &self.outlets[at];
        let told = topic.as_ref().map_or(TOPIC_ID_UNKNOWN, |topic| topic.topic_id);
        ![record.topic_id, told].contains(&TOPIC_ID_UNKNOWN) && record.topic_id != told
    }

    /// The channel points to another cluster or topic than the checkpoint: what was acked there
    /// stays there, what is in doubt cannot be looked for here and is sent here. The record names
    /// the new place only once nothing in it bears an identity of the old one, which may be
    /// another producer's here.
    fn move_to_other_log(&mut self, at: usize, cluster_id: &str) -> Result<(), Pause> {
        // All before anything is changed or said: this is done again until they are there.
        self.count_doubts(at)?;
        let identity = self.fresh_identity(at)?;
        let ends = self.ends(at)?;
        let doubts = self.doubts(at).len() as u64;
        let (in_doubt, is_one) = (counted(doubts, "batch"), doubts == 1);
        self.outlets[at].forget_place();
        self.rename_all(at, identity, &ends)?;
        // Once: what comes before is done again until it comes to its end.
        let outlet = &mut self.outlets[at];
        log::warn(
            CHANNEL,
            format_args!(
                "Channel {}: topic {} (cluster {}) is not the one for which the checkpoint was \
                 written ({}, cluster {}); positions are kept, and {in_doubt} in doubt {} sent here. Should \
                 that one answer again before, {} looked for there.",
                outlet.config.name,
                outlet.config.topic,
                cluster_id,
                outlet.record.topic,
                outlet.record.cluster_id,
                if is_one { "is" } else { "are" },
                if is_one { "it is" } else { "they are" },
            ),
        );
        outlet.record.topic.clone_from(&outlet.config.topic);
        outlet.record.cluster_id = cluster_id.to_owned();
        outlet.record.topic_id =
            outlet.topic.as_ref().map_or(TOPIC_ID_UNKNOWN, |topic| topic.topic_id);
        self.commit()?;
        let doubt_identity = &mut self.outlets[at].doubt_identity;
        if *doubt_identity == DoubtIdentity::Foreign {
            // All of it has one of our own now.
            *doubt_identity = DoubtIdentity::Ours;
        }
        Ok(())
    }

    /// The topic was deleted and made anew on its cluster. What is in doubt may have been sent to
    /// the new one already, before its offsets reached the old floor: it is looked for from the
    /// beginning, and what is absent is sent under its identity, which this cluster gave.
    pub(super) fn begin_other_log(&mut self, at: usize) -> Result<(), Pause> {
        let in_doubt = counted(self.doubts(at).len() as u64, "batch");
        if self.has_other_id(at) {
            // By its id it is known again, should it be restored.
            self.leave_log(at);
        }
        let outlet = &mut self.outlets[at];
        log::warn(
            CHANNEL,
            format_args!(
                "Channel {}: topic {} was deleted and recreated; positions are kept, and \
                 the log is searched from its beginning for {in_doubt} in doubt.",
                outlet.config.name, outlet.config.topic
            ),
        );
        outlet.forget_log();
        outlet.has_own_identity = false;
        if let Some(topic) = &outlet.topic
            && topic.topic_id != TOPIC_ID_UNKNOWN
        {
            outlet.record.topic_id = topic.topic_id;
        }
        self.commit()?;
        Ok(())
    }

    /// Gives everything in doubt of channel `at` a fresh identity, as if it had never been
    /// announced. Only where an old copy cannot stand in, or still reach, this log. The caller
    /// commits.
    pub(super) fn rename_doubts(&mut self, at: usize) -> Result<(), Pause> {
        self.count_doubts(at)?;
        let identity = self.fresh_identity(at)?;
        let ends = self.ends(at)?;
        self.rename_all(at, identity, &ends)
    }

    /// Reads again what is in doubt, so that it has as many events as it will have. Where the configuration
    /// makes others of the same bytes by now, all of the partition gets the next epoch: of the old identity,
    /// before some have the new one.
    fn count_doubts(&mut self, at: usize) -> Result<(), Pause> {
        let doubts = self.doubts(at);
        self.count_events(&doubts)
    }

    /// Likewise, of these batches.
    pub(super) fn count_events(&mut self, batches: &[Ticket]) -> Result<(), Pause> {
        for &n in batches {
            if self.encode(n)? {
                self.keep_if_small(n);
            }
        }
        Ok(())
    }

    fn rename_all(
        &mut self,
        at: usize,
        identity: Identity,
        ends: &[(i32, i64)],
    ) -> Result<(), Pause> {
        self.outlets[at].take_identity(identity);
        for n in self.doubts(at) {
            self.rename(at, n)?;
        }
        self.set_floors(at, ends);
        Ok(())
    }

    /// Batch `n` as if it had never been announced, in another partition where its own is gone.
    pub(super) fn rename(&mut self, at: usize, n: Ticket) -> Result<(), Pause> {
        if !self.encode(n)? {
            let lost = self.keep_what_is_copied(at, n)?.unwrap_or(n);
            self.tell_lost(at, lost);
            self.void(at, lost);
        }
        let Some(mut batch) = self.announced[n].encoded.take() else { return Ok(()) };
        if self.outlets[at].lacks(batch.partition())
            && let Some(partition) = self.outlets[at].next_partition(&[], |_, _| true)
        {
            // With its identity, below: its old one is perhaps that of another batch there.
            batch.set_partition(partition);
        }
        let Announced { record, encoded, copies, .. } = &mut self.announced[n];
        *encoded = Some(assign(&mut self.outlets[at], record, batch));
        record.is_foreign = false;
        // Nothing was sent under that identity.
        *copies = Copies::None;
        self.keep_if_small(n);
        Ok(())
    }

    /// Partitions of a topic do not go: where one is missing, the topic was deleted and made anew,
    /// and what is in doubt in that partition cannot stand in this log. It goes to another one.
    pub(super) fn leave_missing_partitions(&mut self, at: usize) -> Result<(), Pause> {
        let mut missing = self.doubts(at);
        missing.retain(|&n| self.outlets[at].lacks(self.announced[n].record.partition));
        let Some(&first) = missing.first() else {
            self.outlets[at].partition_missing_since_ms = None;
            return Ok(());
        };
        let now_ms = self.clock.monotonic_ms();
        let partition = self.announced[first].record.partition;
        let is_first_time = self.outlets[at].partition_missing_since_ms.is_none();
        let since_ms = *self.outlets[at].partition_missing_since_ms.get_or_insert(now_ms);
        let outlet = &self.outlets[at];
        let (channel, topic) = (&outlet.config.name, &outlet.config.topic);
        if is_first_time {
            log::warn(
                CHANNEL,
                format_args!(
                    "Channel {channel}: {} in doubt in partition {partition} of topic {topic}, \
                     which has no such partition. If that is still so in a minute, the topic was \
                     recreated, and another partition gets what is absent.",
                    counted(missing.len() as u64, "batch")
                ),
            );
        }
        if now_ms - since_ms < PARTITION_MISSING_MS {
            return Err(Pause::Wait(LOOK_AGAIN_MS));
        }
        self.need_leaders(at)?;
        let identity = self.fresh_identity(at)?;
        let ends = self.ends(at)?;
        let outlet = &self.outlets[at];
        let (channel, topic) = (&outlet.config.name, &outlet.config.topic);
        log::warn(
            CHANNEL,
            format_args!(
                "Channel {channel}: topic {topic} was recreated without partition {partition}; \
                 another one gets {} in doubt.",
                counted(missing.len() as u64, "batch")
            ),
        );
        self.outlets[at].take_identity(identity);
        for n in missing {
            self.rename(at, n)?;
            let partition = self.announced[n].record.partition;
            let outlet = &mut self.outlets[at];
            let is_unknown = outlet.partition(partition).floor_offset == FLOOR_UNKNOWN;
            if is_unknown && let Some((_, end)) = ends.iter().find(|(p, _)| *p == partition) {
                outlet.partition(partition).floor_offset = *end;
            }
        }
        self.outlets[at].partition_missing_since_ms = None;
        self.commit()?;
        Ok(())
    }
}
