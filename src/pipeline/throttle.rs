//! Quotas of the brokers, in the log: one line when they begin to hold a channel up, one when that
//! is over.

use super::{CHANNEL, Pipeline};
use crate::log;

impl Pipeline {
    /// Says what has changed since the last turn.
    pub(super) fn tell_throttles(&mut self) {
        let now_ms = self.clock.monotonic_ms();
        for outlet in &mut self.outlets {
            let (name, topic) = (&outlet.config.name, &outlet.config.topic);
            if let Some(throttled) = outlet.broker.throttled()
                && outlet.throttle.note(&throttled, now_ms)
            {
                log::warn(
                    CHANNEL,
                    format_args!(
                        "Channel {name} (topic {topic}): {} throttles client.id {}, a quota is used \
                         up; nothing is written to it for {} milliseconds. Lines wait, none is lost.",
                        throttled.peer, outlet.config.client_id, throttled.ms
                    ),
                );
            }
            if let Some(ms) = outlet.throttle.take_end(now_ms) {
                log::info(
                    CHANNEL,
                    format_args!(
                        "Channel {name} (topic {topic}): the brokers throttle it no longer; they \
                         asked for {ms} milliseconds together."
                    ),
                );
            }
        }
    }
}
