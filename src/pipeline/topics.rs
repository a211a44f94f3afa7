//! Topics that are opened when an event names them.
//!
//! Such a topic is an outlet like any other, with its own place in the checkpoint, while something of it
//! is under way or in doubt. Otherwise nothing waits for it: it rests, and no start and no reconnect asks
//! for it. The file whose next event is for a topic that is not open waits, and the files behind it need not;
//! a topic that cannot be opened is tried again whenever that event comes up.

use std::rc::Rc;

use super::room::Halt;
use super::rounds::Outcome;
use super::routes::Router;
use super::{CHANNEL, Observer, Pace, Pipeline, REST_MS, SOURCE};
use crate::channel::limit::BatchLimit;
use crate::channel::outlet::{Demand, Outlet, Stage, Unreached};
use crate::checkpoint::record::ChannelRecord;
use crate::config::model::Destination;
use crate::log::{self, About, Level};
use crate::source::Handle;

/// A topic without events for so long has no connection any more, ms.
const REST_AFTER_MS: u64 = 300_000;

/// A topic that was opened is not closed for another one before it was without an event for so long, ms.
const STAY_MS: u64 = 1_000;
/// When a file is tried again whose event names one topic too many, ms.
const ROOM_RETRY_MS: u64 = 1_000;

impl Pipeline {
    /// Opens what is wanted, and lets rest what is not any more. Returns when the next turn is wanted for that.
    pub(super) fn tend_topics(&mut self, observer: &mut dyn Observer) -> Result<Pace, Halt> {
        let mut pace = Pace::Rest(REST_MS);
        if self.outlets.iter().all(|outlet| outlet.demand.is_none()) {
            return Ok(pace);
        }
        let now_ms = self.clock.monotonic_ms();
        // Nothing, something, something in doubt.
        let mut announced = vec![(false, false); self.outlets.len()];
        for record in self.announced.iter().map(|a| &a.record) {
            let (is_there, is_in_doubt) = &mut announced[usize::from(record.channel)];
            *is_there = true;
            *is_in_doubt |= record.fate.is_in_doubt();
        }
        for (at, (is_announced, is_in_doubt)) in announced.into_iter().enumerate() {
            let outlet = &mut self.outlets[at];
            let is_open = outlet.is_open();
            let is_closed = matches!(outlet.stage, Stage::Closed { .. });
            match outlet.demand {
                None => {}
                // It is waited for like any channel.
                Some(_) if is_in_doubt => outlet.demand = Some(Demand::InUse { used_ms: now_ms }),
                Some(Demand::Resting { since_ms }) if now_ms - since_ms >= REST_AFTER_MS => {
                    // Nobody waits for it any more.
                    outlet.trouble = None;
                }
                Some(Demand::Resting { .. }) => {}
                Some(Demand::InUse { .. }) if is_closed => {
                    outlet.demand = Some(Demand::Resting { since_ms: now_ms });
                    // One that waits for a leader of it asks anew.
                    self.files.unbar();
                }
                Some(Demand::InUse { used_ms })
                    if is_open && !is_announced && now_ms - used_ms >= REST_AFTER_MS =>
                {
                    self.rest(at);
                }
                Some(Demand::InUse { .. }) => {}
                Some(Demand::Wanted { .. }) if is_open => {
                    outlet.demand = Some(Demand::InUse { used_ms: now_ms });
                }
                Some(Demand::Wanted { .. }) => {
                    let is_due = !matches!(outlet.stage, Stage::Closed { retry_at_ms } if now_ms < retry_at_ms);
                    pace = pace.sooner(self.reconnect_one(at, observer)?);
                    let outlet = &mut self.outlets[at];
                    if outlet.is_open() {
                        outlet.demand = Some(Demand::InUse { used_ms: now_ms });
                    } else if is_due && matches!(outlet.stage, Stage::Closed { .. }) {
                        // Is the event still there that names it?
                        outlet.demand = Some(Demand::Resting { since_ms: now_ms });
                        self.files.unbar();
                    }
                }
            }
        }
        Ok(pace)
    }

    /// Nothing of it is announced: what comes next begins as after a start.
    fn rest(&mut self, at: usize) {
        let old = &self.outlets[at];
        let config = old.config.clone();
        let record = ChannelRecord {
            name: config.name.clone(),
            topic: config.topic.clone(),
            cluster_id: old.record.cluster_id.clone(),
            producer_id: -1,
            producer_epoch: -1,
            ..ChannelRecord::default()
        };
        let mut outlet =
            Outlet::new(config.clone(), old.channel, (self.connect)(&config), Some(record));
        let old = &mut self.outlets[at];
        outlet.is_spread = old.is_spread;
        outlet.optional = old.optional.as_ref().map(|_| Unreached::default());
        outlet.demand = Some(Demand::Resting { since_ms: self.clock.monotonic_ms() });
        outlet.throttle = std::mem::take(&mut old.throttle);
        outlet.trips = std::mem::take(&mut old.trips);
        outlet.logins_refused = old.logins_refused;
        (outlet.batch_limit, outlet.round_limit) = limits(old);
        self.outlets[at] = outlet;
        self.files.unbar();
        self.is_dirty = true;
    }

    /// The next event of the file is for channel `at`, which is not open.
    pub(super) fn want(&mut self, handle: Handle, at: usize) -> Outcome {
        let file = String::from_utf8_lossy(&self.files.at(handle).record.name).into_owned();
        self.outlets[at].demand = Some(Demand::Wanted { file });
        self.files.bar(handle);
        Outcome::Barred
    }

    /// Events of the file went without channel `at`, which is given up: it may be reached again.
    pub(super) fn want_again(&mut self, handle: Handle, at: usize) {
        let outlet = &mut self.outlets[at];
        if let Some(demand @ Demand::Resting { .. }) = &mut outlet.demand {
            let file = String::from_utf8_lossy(&self.files.at(handle).record.name).into_owned();
            *demand = Demand::Wanted { file };
        }
    }

    /// The next event of the file is for a topic that was named by none before, in the channel that `place` stands
    /// for.
    pub(super) fn want_new(&mut self, handle: Handle, place: usize, topic: &str) -> Outcome {
        let Some(at) = self.room_for_topic() else {
            self.files.retry_later(handle, ROOM_RETRY_MS);
            return Outcome::Barred;
        };
        if let Some(Demand::InUse { .. }) = self.outlets.get(at).and_then(|o| o.demand.as_ref()) {
            self.tell_too_many(handle, topic);
        }
        let base = &self.outlets[place];
        let config = Rc::new(base.config.for_topic(&base.config.name, topic));
        let mut outlet = Outlet::new(config.clone(), base.channel, (self.connect)(&config), None);
        (outlet.batch_limit, outlet.round_limit) = limits(base);
        outlet.optional = self.config.optional.contains(&place).then(Unreached::default);
        log::log_about(
            Level::Info,
            CHANNEL,
            &About { topic: Some(topic), ..About::default() },
            format_args!(
                "Channel {}: topic {topic} is opened, since an event names it.",
                config.name
            ),
        );
        if at == self.outlets.len() {
            self.outlets.push(outlet);
        } else {
            self.files.forget_ranges(at as u16);
            self.files.unbar();
            self.outlets[at] = outlet;
        }
        self.is_dirty = true;
        self.set_routes(true);
        self.want(handle, at)
    }

    fn tell_too_many(&mut self, handle: Handle, topic: &str) {
        let file = String::from_utf8_lossy(&self.files.at(handle).record.name);
        let (name, most) = (&self.config.name, self.topics_max);
        let text = format!(
            "Source {name}: an event of {file} is for topic {topic}, and {most} topics are written to: that \
             which has waited longest for an event is closed for it. Check what makes the names of topics."
        );
        let now_ms = self.clock.monotonic_ms();
        if self.repeats.is_due("number of topics", "too many", now_ms) {
            log::warn(SOURCE, format_args!("{text}"));
        }
    }

    /// So many topics at a time, what stands for all topics of a channel among them.
    pub fn topics_at_most(&mut self, most: usize) {
        self.topics_max = most;
    }

    /// Behind the outlets, or in the place of that which rests longest, or had no event for longest.
    fn room_for_topic(&self) -> Option<usize> {
        if self.outlets.len() < self.topics_max {
            return Some(self.outlets.len());
        }
        let now_ms = self.clock.monotonic_ms();
        let is_announced =
            |at: usize| self.announced.iter().any(|a| usize::from(a.record.channel) == at);
        let rank = |at: &usize| match self.outlets[*at].demand {
            Some(Demand::Resting { since_ms }) => Some((0, since_ms)),
            // It was opened for an event that has yet to be sent.
            Some(Demand::InUse { used_ms }) if now_ms - used_ms >= STAY_MS => Some((1, used_ms)),
            _ => None,
        };
        let named = self.config.destinations.len()..self.outlets.len();
        let idle = named.filter(|at| rank(at).is_some() && !is_announced(*at));
        idle.min_by_key(rank)
    }

    /// An event was put into a batch for channel `at`.
    pub(super) fn note_use(&mut self, at: usize) {
        let used_ms = self.clock.monotonic_ms();
        if let Some(demand) = &mut self.outlets[at].demand {
            *demand = Demand::InUse { used_ms };
        }
    }

    /// Makes the rules anew for the outlets that there are now. What is in doubt may have been divided by
    /// headers that no event has any more, those of a group that was removed: it is read as it was.
    pub(super) fn set_routes(&mut self, is_divided: bool) {
        let destinations: Vec<Rc<Destination>> =
            self.outlets.iter().map(|outlet| outlet.config.clone()).collect();
        let (config, chain, clock) = (&self.config, &self.interceptors, self.clock.clone());
        let router = match is_divided {
            true => Some(Router::always(config, &destinations, chain, clock)),
            false => Router::new(config, &destinations, chain, clock),
        };
        self.router = router.map(Rc::new);
        if let Some(router) = &self.router {
            for (at, outlet) in self.outlets.iter_mut().enumerate() {
                outlet.is_spread = router.is_spread(at);
            }
        }
    }
}

/// How large batches and rounds may be there, as far as that is a matter of the brokers.
fn limits(of: &Outlet) -> (BatchLimit, BatchLimit) {
    (of.batch_limit.clone(), of.round_limit.clone())
}
