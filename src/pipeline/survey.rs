//! How the topic is now, asked every few minutes as Kafka's own clients do: partitions that are added
//! are used without a restart. While partitions have no leader it is asked every two seconds.
//!
//! What has changed is taken in by opening the channel anew, once nothing is under way there, so that
//! there is one place only where a topic is compared with the record.

use super::Pipeline;
use crate::channel::broker::{Fault, Progress, Topic};

impl Pipeline {
    /// Asks where it is time to, and opens anew what is not as it was.
    pub(super) fn survey(&mut self) {
        let now_ms = self.clock.monotonic_ms();
        for at in 0..self.outlets.len() {
            let outlet = &mut self.outlets[at];
            if outlet.is_open() && !outlet.is_outdated && now_ms >= outlet.survey_at_ms {
                self.survey_one(at, now_ms);
            }
            if self.outlets[at].is_outdated && self.asked_doubts(at).is_empty() {
                let topic = self.outlets[at].config.topic.clone();
                self.reopen(
                    at,
                    &format!("topic {topic} has other partitions or leaders than before"),
                );
            }
        }
    }

    fn survey_one(&mut self, at: usize, now_ms: u64) {
        let outlet = &mut self.outlets[at];
        match outlet.broker.survey() {
            Ok(Progress::Pending) => return,
            Ok(Progress::Done(told)) => {
                outlet.is_outdated = outlet.topic.as_ref().is_some_and(|had| differs(had, &told));
            }
            // Not now: what is under way goes on.
            Err(Fault::NotReady(_) | Fault::Unauthorised(_) | Fault::Stopped) => {}
            Err(Fault::Idle(why)) if self.asked_doubts(at).is_empty() => self.reopen(at, &why),
            Err(fault) => self.distrust(at, &fault.to_string()),
        }
        let outlet = &mut self.outlets[at];
        outlet.survey_at_ms = now_ms + outlet.survey_pause_ms();
    }
}

/// Is it to be opened anew for that?
fn differs(had: &Topic, told: &Topic) -> bool {
    had.partitions != told.partitions
        || had.leaderless != told.leaderless
        || had.topic_id != told.topic_id
}
