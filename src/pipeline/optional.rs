//! Optional channels: nothing waits for one that is not reached. Events go without it meanwhile, and how many is said.
//!
//! It is waited for like any other for a moment. Then what is in doubt there counts as done: it is
//! never sent again, so that an optional channel may lack events and has none twice. New ones go there under
//! a fresh producer id, since the numbers of what was given up are gone.

use super::announced::Ticket;
use super::room::Halt;
use super::{CHANNEL, Observer, Pipeline};
use crate::channel::outlet::{Demand, Leaderless};
use crate::log::{self, About, Level, counted};

/// For so long it is waited for like any other, ms: a broker that is started anew costs it nothing.
pub(super) const PATIENCE_MS: u64 = 10_000;

impl Pipeline {
    /// Takes each optional channel that is given up a step further, and gives up what is not reached.
    pub(super) fn tend_optional(&mut self, observer: &mut dyn Observer) -> Result<(), Halt> {
        let now_ms = self.clock.monotonic_ms();
        for at in 0..self.outlets.len() {
            let is_open = self.outlets[at].is_open();
            // Where topics are opened on demand they are tried when they are wanted.
            let is_on_demand = self.outlets[at].demand.is_some();
            if self.outlets[at].is_at_rest() {
                continue;
            }
            if self.outlets[at].optional.is_none() {
                continue;
            }
            if is_open {
                self.leave_leaderless(at);
                if self.is_reached(at, now_ms) {
                    self.tell_missed(at);
                }
                continue;
            }
            let retry_at_ms = self.end_trial(at, now_ms);
            let Some(unreached) = &mut self.outlets[at].optional else { continue };
            let since_ms = *unreached.since_ms.get_or_insert(now_ms);
            if now_ms - since_ms >= PATIENCE_MS {
                unreached.is_given_up = true;
                self.give_up_attempt(at, retry_at_ms);
                self.give_up_doubts(at, retry_at_ms);
                if !is_on_demand {
                    self.reconnect_one(at, observer)?;
                }
            }
        }
        Ok(())
    }

    /// It is open; does it take what it gets? One that was given up has to show that, for as long as it would be waited
    /// for: brokers that can be reached may refuse every batch, or those of some partitions (too few replicas in sync).
    fn is_reached(&mut self, at: usize, now_ms: u64) -> bool {
        let outlet = &mut self.outlets[at];
        let Some(unreached) = &mut outlet.optional else { return false };
        if !unreached.is_given_up {
            return true;
        }
        let since_ms = *unreached.on_trial_since_ms.get_or_insert(now_ms);
        now_ms - since_ms >= PATIENCE_MS && outlet.was_acked_since(since_ms)
    }

    /// It is not open (any more). Where it took what it got for a moment only, it is not waited for again: returns when
    /// it is tried next. Where nothing was sent to it, nothing speaks against it.
    fn end_trial(&mut self, at: usize, now_ms: u64) -> u64 {
        let has_doubts = !self.doubts(at).is_empty();
        let Some(unreached) = &mut self.outlets[at].optional else { return now_ms };
        if unreached.on_trial_since_ms.take().is_none() {
            return now_ms;
        }
        if has_doubts {
            return now_ms + PATIENCE_MS;
        }
        (unreached.since_ms, unreached.is_given_up) = (None, false);
        now_ms
    }

    /// One in use is taken a step further only while it is waited for. Closed it rests, and is opened by the next event
    /// that is for it.
    fn give_up_attempt(&mut self, at: usize, retry_at_ms: u64) {
        let outlet = &mut self.outlets[at];
        if matches!(outlet.demand, Some(Demand::InUse { .. })) && outlet.is_being_opened() {
            outlet.close(retry_at_ms);
        }
    }

    /// All that is in doubt there.
    fn give_up_doubts(&mut self, at: usize, retry_at_ms: u64) {
        let doubts = self.doubts(at);
        if doubts.is_empty() {
            return;
        }
        // An attempt that is under way speaks of what is given up.
        self.outlets[at].close(retry_at_ms);
        self.void_doubts(at, &doubts, "not reached");
    }

    /// A partition without a leader is waited for likewise, while the others go on: by what is in doubt there, and by
    /// files that keep to it.
    fn leave_leaderless(&mut self, at: usize) {
        let now_ms = self.clock.monotonic_ms();
        let outlet = &mut self.outlets[at];
        let (Some(unreached), Some(topic)) = (&mut outlet.optional, &outlet.topic) else { return };
        let known = &mut unreached.leaderless;
        known.retain(|one| !topic.leads(one.partition));
        for &partition in &topic.leaderless {
            if known.iter().all(|one| one.partition != partition) {
                known.push(Leaderless { partition, since_ms: now_ms, is_given_up: false });
            }
        }
        let is_over =
            |one: &&mut Leaderless| !one.is_given_up && now_ms - one.since_ms >= PATIENCE_MS;
        let mut is_new = false;
        for one in known.iter_mut().filter(is_over) {
            (one.is_given_up, is_new) = (true, true);
        }
        if !known.iter().any(|one| one.is_given_up) {
            return;
        }
        if is_new {
            self.files.unbar();
        }
        let mut parked = self.doubts(at);
        parked.retain(|&n| self.outlets[at].has_given_up(self.announced[n].record.partition));
        if !parked.is_empty() {
            self.void_doubts(at, &parked, "without a leader there");
        }
    }

    /// They count as done. The next opening, before which nothing goes to their partitions, gets a fresh producer id.
    fn void_doubts(&mut self, at: usize, doubts: &[Ticket], why: &str) {
        let events: u64 = doubts.iter().map(|&n| u64::from(self.announced[n].record.count)).sum();
        for &n in doubts {
            self.void(at, n);
        }
        let outlet = &mut self.outlets[at];
        outlet.has_own_identity = false;
        let (name, topic) = (&outlet.config.name, &outlet.config.topic);
        log::log_about(
            Level::Warn,
            CHANNEL,
            &About { topic: Some(topic), ..About::default() },
            format_args!(
                "Channel {name} (topic {topic}) is optional and {why}: {} that may be there or not \
                 will not be sent again.",
                counted(events, "event")
            ),
        );
        self.count_rounds();
        self.fold();
    }

    /// Events went without channel `at`.
    pub(super) fn note_missed(&mut self, at: usize, events: u64) {
        let now_ms = self.clock.monotonic_ms();
        let outlet = &mut self.outlets[at];
        let Some(unreached) = &mut outlet.optional else { return };
        unreached.missed += events;
        let missed = unreached.missed;
        let (name, topic) = (&outlet.config.name, &outlet.config.topic);
        if self.repeats.is_due(&format!("{name} optional"), "missed", now_ms) {
            log::warn(
                CHANNEL,
                format_args!(
                    "Channel {name} (topic {topic}) is optional and not reached: {} went without it so far.",
                    counted(missed, "event")
                ),
            );
        }
    }

    /// It is reached again.
    fn tell_missed(&mut self, at: usize) {
        let outlet = &mut self.outlets[at];
        let Some(unreached) = outlet.optional.as_mut() else { return };
        (unreached.since_ms, unreached.is_given_up) = (None, false);
        (unreached.on_trial_since_ms, unreached.borne_since_ms) = (None, None);
        if unreached.leaderless.iter().any(|one| one.is_given_up) {
            return;
        }
        let missed = std::mem::take(&mut unreached.missed);
        if missed > 0 {
            let (name, topic) = (&outlet.config.name, &outlet.config.topic);
            self.repeats.is_over(&format!("{name} optional"));
            log::warn(
                CHANNEL,
                format_args!(
                    "Channel {name} (topic {topic}) is reached again; {} went without it.",
                    counted(missed, "event")
                ),
            );
        }
    }
}
