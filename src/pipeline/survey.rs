//! How the topic is now, asked every few minutes as Kafka's own clients do: partitions that are added
//! are used without a restart. While partitions have no leader it is asked every two seconds.
//!
//! What has changed is taken in by opening the channel anew, once nothing is under way there, so that
//! there is one place only where a topic is compared with the record.

use super::announced::Ticket;
use super::{Copies, Pipeline};
use crate::channel::broker::{Fault, Progress, Topic};
use crate::channel::outlet::{Stage, Surveyed};

impl Pipeline {
    /// Asks where it is time to, and opens anew what is not as it was.
    pub(super) fn survey(&mut self) {
        let now_ms = self.clock.monotonic_ms();
        for at in 0..self.outlets.len() {
            if let Stage::Open { survey_at_ms } = self.outlets[at].stage
                && now_ms >= survey_at_ms
            {
                self.survey_one(at, now_ms);
            }
            let is_outdated = matches!(self.outlets[at].stage, Stage::Outdated);
            // What waits to go out is looked for behind that, as what was lost would be.
            let is_sent = |n: &Ticket| self.announced[*n].copies != Copies::None;
            if is_outdated && !self.asked_doubts(at).iter().any(is_sent) {
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
        let asked_ms = *outlet.asked_ms.get_or_insert(now_ms);
        match outlet.broker.survey() {
            Ok(Progress::Pending) => return,
            Ok(Progress::Done(told)) => {
                let told_ms = self.clock.monotonic_ms();
                outlet.surveyed_ms = Some(Surveyed { asked_ms, told_ms });
                if outlet.topic.as_ref().is_some_and(|had| differs(had, &told)) {
                    outlet.stage = Stage::Outdated;
                }
            }
            // Not now: what is under way goes on.
            Err(Fault::NotReady(_) | Fault::Unauthorised(_) | Fault::Stopped) => {}
            Err(Fault::Idle(why)) if self.asked_doubts(at).is_empty() => self.reopen(at, &why),
            Err(fault) => self.distrust(at, &fault.to_string()),
        }
        let outlet = &mut self.outlets[at];
        outlet.asked_ms = None;
        let pause_ms = outlet.survey_pause_ms();
        if let Stage::Open { survey_at_ms } = &mut outlet.stage {
            *survey_at_ms = now_ms + pause_ms;
        }
    }
}

/// Is it to be opened anew for that?
fn differs(had: &Topic, told: &Topic) -> bool {
    had.partitions != told.partitions
        || had.leaderless != told.leaderless
        || had.topic_id != told.topic_id
}
