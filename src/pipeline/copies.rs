//! Copies of a batch in doubt that may still show: on their way, or in the log above what a reader may see. They are
//! known again only as long as the batch keeps its shape, so that it keeps it until they would have shown.

use super::announced::Ticket;
use super::optional::PATIENCE_MS;
use super::recovery::{LOOK_AGAIN_MS, Pause};
use super::{Announced, Copies, Pipeline};
use crate::channel::outlet::Stage;
use crate::checkpoint::record::BatchRecord;

impl Pipeline {
    /// A batch of the partition is to have another shape, or was refused while an earlier copy of it may show: time
    /// enough must have passed in which looks have found nothing of what is in doubt there.
    pub(super) fn wait_for_copies(&mut self, at: usize, partition: i32) -> Result<(), Pause> {
        // Before that, what is in doubt is on its way to another log, or has been waited for.
        let is_resending = matches!(self.outlets[at].stage, Stage::Resending { .. });
        let mut sent = self.doubts(at);
        sent.retain(|&n| {
            let Announced { record, copies, .. } = &self.announced[n];
            record.partition == partition && record.producer_id >= 0 && *copies != Copies::None
        });
        if sent.is_empty() || !is_resending {
            return Ok(());
        }
        if self.absent_ms(at) < self.late_ms(at) {
            self.bear_with(at);
            return Err(Pause::Wait(LOOK_AGAIN_MS));
        }
        for n in sent {
            self.announced[n].copies = Copies::None;
        }
        Ok(())
    }

    /// The last copy of batch `n` was refused. That says nothing of an earlier one: brokers look at its size and its
    /// records before they look whether they have it already. It is sent once more when none of these can show.
    pub(super) fn bear_final_refusal(&mut self, n: Ticket) -> Result<(), Pause> {
        let copies = &mut self.announced[n].copies;
        if *copies == Copies::None {
            return Ok(());
        }
        *copies = Copies::Earlier;
        self.bear_with(usize::from(self.announced[n].record.channel));
        Err(Pause::Wait(LOOK_AGAIN_MS))
    }

    /// Batch `n` was refused as too large, which is certain. What was sent once behind it has met that limit, though its
    /// answer was not read any more: if it is too large as well, no copy of it is in the log.
    pub(super) fn met_the_same_limit(&mut self, at: usize, n: Ticket) {
        let place =
            |record: &BatchRecord| (record.partition, record.producer_id, record.producer_epoch);
        let record = &self.announced[n].record;
        let (its, sequence) = (place(record), record.base_sequence);
        for later in self.doubts(at) {
            let Announced { record, copies, .. } = &mut self.announced[later];
            if place(record) == its && record.base_sequence > sequence && *copies == Copies::One {
                *copies = Copies::None;
            }
        }
    }

    /// Its brokers answer: an optional channel is not given up for that. But answers that lead nowhere may go on for
    /// ever, and nothing waits for it that long: the time that two rows of looks take at most is enough.
    pub(super) fn bear_with(&mut self, at: usize) {
        let now_ms = self.clock.monotonic_ms();
        let enough_ms = 2 * self.late_ms(at) + PATIENCE_MS;
        let Some(unreached) = &mut self.outlets[at].optional else { return };
        let since_ms = *unreached.borne_since_ms.get_or_insert(now_ms);
        if now_ms - since_ms < enough_ms {
            unreached.since_ms = None;
        }
    }
}
