//! What is in doubt and cannot be sent as it was: a batch that is read again, one that the broker
//! refuses whole, one whose bytes are gone. Whatever changes its shape gets the next epoch, and does
//! not change it while a copy of the old shape may still show.

use super::announced::Ticket;
use super::buried::{body_of, first_event};
use super::former::split_traces;
use super::recovery::Pause;
use super::rounds::{IN_FLIGHT_BYTES_MAX, Plan};
use super::settle::DEAD_LETTERS;
use super::{Announced, CHANNEL, Copies, Fatal, Pipeline, combine_crc};
use crate::channel::batch::{Batch, Extras, Identity, Wire};
use crate::channel::broker::Fault;
use crate::channel::outlet::{Refused, sequence_after};
use crate::checkpoint::ledger::{DeadLetter, Kept, LedgerError};
use crate::checkpoint::record::{BatchRecord, Fate};
use crate::log::{self, About, Level, counted};
use crate::source::interceptor::{self, Patience};
use crate::source::restore::AnnouncedRange;
use crate::source::slice::{Bound, SliceError};

/// While the file of a batch is being recognised, this is tried again so often, ms.
const SEEK_WAIT_MS: u64 = 20;

/// A stamp that differs from the clock by less is that of the present time, ms.
const STAMP_FRESH_MS: u64 = 1_000;

/// Waits after a dead letter that could not be written, ms.
const LETTER_RETRY_MS: u64 = 4_000;

impl Pipeline {
    /// The wire is another one than that for which what is in doubt was encoded.
    pub(super) fn forget_encodings(&mut self, at: usize, wire: Wire) {
        for n in self.doubts(at) {
            let Announced { record, encoded, copies, .. } = &mut self.announced[n];
            if let Some(batch) = encoded.take()
                && !wire.has_identity()
                && record.producer_id != -1
            {
                // As it was sent: read again it may have another name of its file in its headers.
                drop_identity(record, copies);
                (record.values_crc, record.first_crc) = batch.content_crcs();
            }
        }
    }

    /// On the wire before 0.11 batches go without identity, whatever they had before, and are
    /// looked for by content: which needs reading them again.
    pub(super) fn drop_identities(&mut self, at: usize) -> Result<(), Pause> {
        for n in self.doubts(at) {
            let announced = &mut self.announced[n];
            if announced.record.producer_id != -1 {
                let before = announced.record.clone();
                drop_identity(&mut announced.record, &mut announced.copies);
                announced.encoded = None;
                // What cannot be read is given up when it is to be sent; what cannot be read now is not
                // looked for without knowing what is in it.
                if let Err(pause) = self.encode(n) {
                    self.announced[n].record = before;
                    return Err(pause);
                }
                self.keep_if_small(n);
            }
        }
        Ok(())
    }

    /// Makes sure that [`Pipeline::raise_epoch`] has an identity to give, should the epochs of the
    /// present one be out. Asked for before anything is changed: recovery begins anew for it.
    pub(super) fn prepare_epoch(&mut self, at: usize, partition: i32) -> Result<(), Pause> {
        let mut records = self.doubts(at).into_iter().map(|n| &self.announced[n].record);
        let old = records.find(|record| record.partition == partition);
        let is_out = old.is_some_and(|b| b.producer_id >= 0 && b.producer_epoch == i16::MAX);
        if is_out && self.outlets[at].fresh.is_none() {
            self.outlets[at].needs_fresh = true;
            return Err(Pause::Wait(0));
        }
        Ok(())
    }

    /// What is absent of a partition gets the next epoch, counted from 0: the broker takes it
    /// whatever it remembers, and refuses from then on any copy under the old epoch.
    pub(super) fn raise_epoch(&mut self, at: usize, partition: i32) -> Result<(), Pause> {
        let doubts: Vec<Ticket> = self
            .doubts(at)
            .into_iter()
            .filter(|&n| self.announced[n].record.partition == partition)
            .collect();
        self.outlets[at].has_own_identity = false;
        let Some(&first) = doubts.first() else { return Ok(()) };
        let old = &self.announced[first].record;
        if old.producer_id < 0 {
            return Ok(());
        }
        let identity = match old.producer_epoch.checked_add(1) {
            Some(epoch) => Identity { producer_id: old.producer_id, epoch },
            // Its epochs are out. A fresh id is asked for before anything is changed.
            None => match self.outlets[at].fresh.take() {
                Some(fresh) => fresh,
                None => {
                    self.outlets[at].needs_fresh = true;
                    return Err(Pause::Wait(0));
                }
            },
        };
        let mut sequence = 0;
        for n in doubts {
            let Announced { record, encoded, copies, .. } = &mut self.announced[n];
            record.producer_id = identity.producer_id;
            record.producer_epoch = identity.epoch;
            record.base_sequence = sequence;
            sequence = sequence_after(sequence, record.count);
            // Nothing was sent under that identity.
            *copies = Copies::None;
            if let Some(batch) = encoded {
                batch.seal(identity, record.base_sequence);
            }
        }
        self.commit()?;
        Ok(())
    }

    /// Refused for its timestamp: the clock of this machine, or of the broker, was another one
    /// when it was made. The stamp is no part of what a batch is known by, so everything in doubt is
    /// stamped with the present time and keeps its identity. What is stamped so already waits for
    /// the clocks to be set.
    pub(super) fn stamp_anew(&mut self, at: usize, n: Ticket) -> Result<(), Pause> {
        if self.announced[n].encoded.as_ref().is_some_and(Batch::has_times) {
            return self.level_times(at, n);
        }
        let now_ms = self.clock.now_ms();
        let ahead_ms = self.announced[n].record.stamp_ms.saturating_sub(now_ms);
        if ahead_ms.unsigned_abs() < STAMP_FRESH_MS {
            return Err(Pause::Fault(Fault::NotReady(
                "the timestamps are too far from the broker's clock (error 32); set the clock of \
                 this machine, or that of the broker"
                    .to_owned(),
            )));
        }
        let doubts = self.doubts(at);
        log::warn(
            CHANNEL,
            format_args!(
                "Channel {}: the broker refuses a timestamp (error 32), which is {} s {} this \
                 machine's clock; {} in doubt now bear the present time.",
                self.outlets[at].config.name,
                ahead_ms.unsigned_abs() / 1000,
                if ahead_ms > 0 { "ahead of" } else { "behind" },
                counted(doubts.len() as u64, "batch")
            ),
        );
        for n in doubts {
            let Announced { record, encoded, .. } = &mut self.announced[n];
            if encoded.as_ref().is_some_and(Batch::has_times) {
                continue;
            }
            record.stamp_ms = now_ms;
            if let Some(batch) = encoded {
                batch.stamp(now_ms);
                let (producer_id, epoch) = (record.producer_id, record.producer_epoch);
                batch.seal(Identity { producer_id, epoch }, record.base_sequence);
            }
        }
        Ok(self.commit()?)
    }

    /// The times that records have of their own are none that the topic takes: it has limits
    /// (`message.timestamp.before.max.ms`). The batch goes with its own time, under its identity.
    fn level_times(&mut self, at: usize, n: Ticket) -> Result<(), Pause> {
        let Announced { record, encoded, levels_times, .. } = &mut self.announced[n];
        *levels_times = true;
        let (file, start, end) = (record.file, record.start, record.end);
        if let Some(batch) = encoded.take() {
            self.outlets[at].give_back(batch);
        }
        log::warn(
            CHANNEL,
            format_args!(
                "Channel {}: the topic refuses a time that a header says (error 32; {} bytes {start}-{end}); \
                 the records of this batch have the time of sending.",
                self.outlets[at].config.name,
                self.file_text(file),
            ),
        );
        Err(Pause::Wait(0))
    }

    pub(super) fn too_large(&mut self, at: usize, n: Ticket) -> Result<(), Pause> {
        let size = self.announced[n].encoded_bytes();
        let now_ms = self.clock.monotonic_ms();
        self.outlets[at].batch_limit.shrink(size, now_ms);
        self.bear_final_refusal(n)?;
        self.met_the_same_limit(at, n);
        self.split_or_bury(at, n, "larger than the broker takes (message.max.bytes)")
    }

    /// A batch that was refused whole: its halves are tried; a single event goes to the
    /// dead-letter file.
    pub(super) fn split_or_bury(
        &mut self,
        at: usize,
        n: Ticket,
        reason: &str,
    ) -> Result<(), Pause> {
        let count = self.announced[n].record.count;
        if count == 1 {
            return self.bury(at, n, reason);
        }
        self.tell_refused(at, n);
        if self.split(at, n, count / 2)?.is_some() {
            self.commit()?;
        }
        Ok(())
    }

    /// An absent batch of the wire before 0.10, which has no identity, is sent in halves where the link
    /// is too slow for a whole one. Nothing of it is in the topic, and a copy of the whole that comes
    /// all the same is found by its parts as well. Was it?
    pub(super) fn halve_if_too_slow(&mut self, at: usize, n: Ticket) -> Result<bool, Pause> {
        let size = self.announced[n].encoded_bytes();
        let record = &self.announced[n].record;
        let is_alone = record.count == 1 || record.producer_id >= 0;
        if is_alone || !self.outlets[at].is_too_slow_for(size) {
            return Ok(false);
        }
        let BatchRecord { file, count, start, end, .. } = self.announced[n].record;
        log::info(
            CHANNEL,
            format_args!(
                "Batch of {} ({} bytes {start}-{end}) takes longer than \
                 kafka.request.timeout.ms permits; sending its halves.",
                counted(count.into(), "event"),
                self.file_text(file)
            ),
        );
        if self.split(at, n, count / 2)?.is_some() {
            self.commit()?;
        }
        Ok(true)
    }

    /// One line for a batch, however often its parts are refused again.
    pub(super) fn tell_refused(&mut self, at: usize, n: Ticket) {
        let whole = &self.announced[n].record;
        if self.outlets[at].refused.as_ref().is_some_and(|refused| refused.holds(whole)) {
            return;
        }
        let BatchRecord { file, count, start, end, .. } = *whole;
        self.tell_letters(at);
        let name = self.file_text(file);
        log::info(
            CHANNEL,
            format_args!(
                "Batch of {} ({name} bytes {start}-{end}) was refused as a whole; sending its parts.",
                counted(count.into(), "event")
            ),
        );
        self.outlets[at].refused = Some(Refused { file, start, end, letters: 0 });
    }

    /// Nothing of the batch that was refused last is in doubt any more: how many more of its events
    /// than the one that was spoken of went to the dead-letter file.
    pub(super) fn tell_letters(&mut self, at: usize) {
        let Some(Refused { file, start, end, letters }) = self.outlets[at].refused.take() else {
            return;
        };
        if letters > 1 && self.ledger.tells_letters() {
            let (letters, name) = (counted(letters, "event"), self.file_text(file));
            log::warn(
                CHANNEL,
                format_args!(
                    "{letters} in all ({name} bytes {start}-{end}) went to the dead-letter file."
                ),
            );
        }
    }

    /// Makes two batches of `n`, `count` events in the first, and returns the second. `None`: its bytes
    /// are gone, and it was given up. The caller commits.
    fn split(&mut self, at: usize, n: Ticket, count: u32) -> Result<Option<Ticket>, Pause> {
        let behind = self.announced[n].record.count - count;
        match self.read_parts(at, n, &[count, behind])? {
            Some(parts) => Ok(self.divide(n, parts).pop()),
            None => self.write_off(at, n).map(|()| None),
        }
    }

    /// Reads batch `n` again as several, with so many events in each. `None`: its bytes are gone.
    pub(super) fn read_parts(
        &mut self,
        at: usize,
        n: Ticket,
        counts: &[u32],
    ) -> Result<Option<Vec<Announced>>, Pause> {
        let Announced { round, copies, levels_times, .. } = self.announced[n];
        let whole = self.announced[n].record.clone();
        self.make_readable(&whole)?;
        let mut rest = whole.clone();
        let mut bytes_crc = 0;
        let mut parts = Vec::with_capacity(counts.len());
        for count in counts {
            let Some((mut record, batch)) = self.read_part(at, &rest, *count)? else {
                return Ok(None);
            };
            bytes_crc = combine_crc(bytes_crc, record.bytes_crc, record.end - record.start);
            rest.start = record.end;
            rest.count -= count;
            if rest.base_sequence >= 0 {
                rest.base_sequence = sequence_after(rest.base_sequence, *count);
            }
            if rest.count > 0 {
                record.speaks_for_no_range();
            }
            let part = Announced::new(record, Some(batch), round, copies);
            parts.push(Announced { levels_times, ..part });
        }
        // The file may have been overwritten since the whole was read, and then these are other
        // lines, which will be read as what they are.
        if rest.start != whole.end || bytes_crc != whole.bytes_crc {
            return Ok(None);
        }
        split_traces(&mut parts);
        Ok(Some(parts))
    }

    /// Puts these in the place of batch `n`, which is the first of them from now on.
    pub(super) fn divide(&mut self, n: Ticket, parts: Vec<Announced>) -> Vec<Ticket> {
        let mut tickets: Vec<Ticket> = Vec::with_capacity(parts.len());
        for part in parts {
            match tickets.last() {
                Some(last) => tickets.push(self.announced.push_behind(*last, part)),
                None => {
                    self.announced.replace(n, part);
                    tickets.push(n);
                }
            }
        }
        tickets
    }

    /// Takes note of where the bytes of a batch are now, before they are read again.
    pub(super) fn make_readable(&mut self, of: &BatchRecord) -> Result<(), Pause> {
        self.files.look_again(of.file);
        if self.files.is_lost(of.file) {
            // Its bytes may be in another file, which is being compared.
            return Err(Pause::Wait(SEEK_WAIT_MS.max(self.files.sought_again_ms(of.file))));
        }
        let range = AnnouncedRange { start: of.start, end: of.end, crc: of.bytes_crc };
        let read = self.files.read_in_copy(of.file, range);
        read.map_err(|e| self.not_now(of, &e.to_string()))
    }

    /// Reads the first `count` events of a batch's range again, as a batch of their own.
    pub(super) fn read_part(
        &mut self,
        at: usize,
        of: &BatchRecord,
        count: u32,
    ) -> Result<Option<(BatchRecord, Batch)>, Pause> {
        if let Some(kept) = self.ledger.kept(of) {
            let kept = kept.map_err(|e| self.not_now(of, &e.to_string()))?;
            return Ok(kept.map(|kept| self.batch_of_kept(at, of, &kept)));
        }
        let Some(handle) = self.files.handle_of(of.file) else {
            self.wait_for_file(of)?;
            return Ok(None);
        };
        self.knows_share(handle, of)?;
        let is_all = count == of.count;
        let mut batch = self.outlets[at].take_batch();
        batch.begin(of.partition, of.stamp_ms);
        let plan = Plan {
            bound: Bound::Exactly { end: of.end, is_final: of.is_final },
            events_max: if is_all { u32::MAX } else { count },
            bytes_target: usize::MAX,
            patience: Patience::ENDLESS,
        };
        let guard = interceptor::guard(&self.interceptors);
        let result = match of.share {
            None => {
                let mut batches = [batch];
                let result = self.read_events(handle, of.start, &plan, &mut batches, of.stamp_ms);
                [batch] = batches;
                result
            }
            Some(share) => {
                let levels_times = |a: &Announced| a.levels_times && a.record.is_same_batch(of);
                let keeps_times = !self.announced.iter().any(levels_times);
                self.read_share(handle, (of, share), &plan, &mut batch, keeps_times)
            }
        };
        drop(guard);
        let (slice, events) = match result {
            Ok(read) => read,
            Err(SliceError::Io(e)) if e.raw_os_error().is_some() => {
                return Err(self.not_now(of, &e.to_string()));
            }
            Err(e) => {
                log::error(
                    CHANNEL,
                    format_args!(
                        "{}: bytes {}-{} cannot be read again: {e}.",
                        self.file_text(of.file),
                        of.start,
                        of.end
                    ),
                );
                return Ok(None);
            }
        };
        if events == 0 {
            // Overwritten, or a filter takes all of them now.
            self.outlets[at].give_back(batch);
            return Ok(None);
        }
        let (values_crc, first_crc, base_sequence) = match of.producer_id {
            // Read anew it stands for itself.
            ..0 => (batch.content_crcs().0, batch.content_crcs().1, -1),
            _ => (0, 0, of.base_sequence),
        };
        let identity = Identity { producer_id: of.producer_id, epoch: of.producer_epoch };
        batch.seal(identity, base_sequence);
        let record = BatchRecord {
            base_sequence,
            count: events,
            end: slice.end,
            lines: slice.lines,
            bytes_crc: slice.bytes_crc,
            tail_crc: slice.tail.crc(),
            is_final: of.is_final && slice.end == of.end,
            values_crc,
            first_crc,
            ..of.clone()
        };
        Ok(Some((record, batch)))
    }

    /// A batch of one record with that value, as it was announced.
    fn batch_of_kept(&mut self, at: usize, of: &BatchRecord, kept: &Kept) -> (BatchRecord, Batch) {
        let mut batch = self.outlets[at].take_batch();
        batch.begin(of.partition, of.stamp_ms);
        let headers: Vec<(&str, &str)> =
            kept.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        match (kept.key.as_deref(), &headers[..]) {
            (None, []) => batch.push(&[], &kept.value),
            (key, headers) => {
                batch.push_with(&[], &kept.value, Extras { key, time_ms: None, headers });
            }
        }
        let (values_crc, first_crc) =
            if of.producer_id < 0 { batch.content_crcs() } else { (0, 0) };
        let identity = Identity { producer_id: of.producer_id, epoch: of.producer_epoch };
        batch.seal(identity, of.base_sequence);
        (BatchRecord { values_crc, first_crc, ..of.clone() }, batch)
    }

    /// A batch whose file cannot be opened now, and which is not in the topic, waits for it.
    fn wait_for_file(&self, batch: &BatchRecord) -> Result<(), Pause> {
        match self.files.absent().find(batch.file).and_then(|absent| absent.absence.hope()) {
            Some(why) => Err(self.not_now(batch, why)),
            None => Ok(()),
        }
    }

    pub(super) fn not_now(&self, batch: &BatchRecord, why: &str) -> Pause {
        Pause::Fault(Fault::NotReady(format!(
            "bytes {}-{} of {} were announced, are not in the topic and cannot be read now: {why}",
            batch.start,
            batch.end,
            self.file_text(batch.file)
        )))
    }

    /// Makes sure that batch `n` has its encoding: from memory, or read again from its file.
    /// `false`: its bytes are gone.
    pub(super) fn encode(&mut self, n: Ticket) -> Result<bool, Pause> {
        if self.announced[n].encoded.is_some() && !self.shares_identity(n) {
            return Ok(true);
        }
        let Some(batch) = self.encode_for(n)? else { return Ok(false) };
        self.announced[n].encoded = Some(batch);
        Ok(true)
    }

    /// Batch `n` was encoded though its turn to be sent has not come. An earlier run may have left
    /// many in doubt: what does not fit beside the others is read once more then.
    pub(super) fn keep_if_small(&mut self, n: Ticket) {
        if self.encoded_bytes() > IN_FLIGHT_BYTES_MAX
            && let Some(batch) = self.announced[n].encoded.take()
        {
            self.outlets[usize::from(self.announced[n].record.channel)].give_back(batch);
        }
    }

    /// Reads batch `n` again. The range must hold the bytes that were announced; how many events
    /// they make may differ if the configuration was changed since, and then what follows in the
    /// partition is counted anew under the next epoch.
    pub(super) fn encode_for(&mut self, n: Ticket) -> Result<Option<Batch>, Pause> {
        let old = self.announced[n].record.clone();
        let at = usize::from(old.channel);
        self.make_readable(&old)?;
        let Some((record, batch)) = self.read_part(at, &old, old.count)? else { return Ok(None) };
        if record.bytes_crc != old.bytes_crc {
            return Ok(None);
        }
        // Under an identity that is not its own alone it would pass for the other one.
        let is_reshaped = record.count != old.count || self.shares_identity(n);
        if is_reshaped {
            if let Err(pause) = self.wait_for_copies(at, old.partition) {
                self.outlets[at].give_back(batch);
                return Err(pause);
            }
            self.prepare_epoch(at, old.partition)?;
        }
        let is_changed = record != old;
        self.announced[n].record = record;
        if is_reshaped {
            self.announced[n].encoded = Some(batch);
            self.raise_epoch(at, old.partition)?;
            return Ok(self.announced[n].encoded.take());
        }
        if is_changed {
            self.commit()?;
        }
        Ok(Some(batch))
    }

    /// The bytes of a batch in doubt that is not in the topic can no longer be read. A copy that is
    /// still on its way is waited for: it would save the batch, and those behind it in the
    /// partition, which get a new epoch here, would come twice.
    pub(super) fn give_up(&mut self, at: usize, n: Ticket) -> Result<(), Pause> {
        self.wait_absent(at, self.late_ms(at))?;
        self.write_off(at, n)
    }

    /// Batch `n` is not in the topic, will not come there, and cannot be sent. What a copy holds of it
    /// that lacks the last lines is a batch of its own: the rest is lost.
    pub(super) fn write_off(&mut self, at: usize, n: Ticket) -> Result<(), Pause> {
        self.prepare_epoch(at, self.announced[n].record.partition)?;
        let lost = self.keep_what_is_copied(at, n)?.unwrap_or(n);
        self.tell_lost(at, lost);
        self.take_out(at, lost)
    }

    /// Makes two batches of `n`, whose bytes are gone: what a copy holds of them, and the rest, which is
    /// returned.
    pub(super) fn keep_what_is_copied(
        &mut self,
        at: usize,
        n: Ticket,
    ) -> Result<Option<Ticket>, Pause> {
        let whole = self.announced[n].record.clone();
        let end = self.files.copy_end(whole.file, whole.start);
        let end = end.map_err(|e| self.not_now(&whole, &e.to_string()))?;
        let Some(end) = end.filter(|end| *end < whole.end) else { return Ok(None) };
        // What it ends with is all there is of its last line.
        let part = BatchRecord { end, is_final: true, ..whole.clone() };
        let Some((mut first, batch)) = self.read_part(at, &part, part.count)? else {
            return Ok(None);
        };
        first.speaks_for_no_range();
        let length = whole.end - end;
        let rest = BatchRecord {
            start: end,
            count: whole.count.saturating_sub(first.count).max(1),
            lines: whole.lines.saturating_sub(first.lines),
            bytes_crc: whole.bytes_crc ^ combine_crc(first.bytes_crc, 0, length),
            ..whole
        };
        let Announced { round, copies, .. } = self.announced[n];
        self.announced.replace(n, Announced::new(first, Some(batch), round, copies));
        // It will not be sent, so that its place among the others says nothing.
        Ok(Some(self.announced.push(Announced::new(rest, None, round, copies))))
    }

    pub(super) fn tell_lost(&mut self, at: usize, n: Ticket) {
        let b = &self.announced[n].record;
        if self.ledger.tell_lost(b) {
            return;
        }
        let file = self.file_text(b.file);
        let topic = Some(self.outlets[at].config.topic.as_str());
        let partition = Some(b.partition);
        log::log_about(
            Level::Error,
            CHANNEL,
            &About { file: Some(&file), topic, partition, offset: None },
            format_args!(
                "LOST: {} of {} (bytes {}-{}), announced, not in topic {}, no longer to be read: the file was deleted or overwritten while it was being sent, or a \
                 filter takes them now.",
                counted(b.count.into(), "event"),
                file,
                b.start,
                b.end,
                self.outlets[at].config.topic
            ),
        );
    }

    /// An event that the broker never takes: to the dead-letter file, durable, then on.
    pub(super) fn bury(&mut self, at: usize, n: Ticket, reason: &str) -> Result<(), Pause> {
        self.prepare_epoch(at, self.announced[n].record.partition)?;
        let (record, event) = first_event(&self.announced[n]);
        self.write_letter(at, &record, &event, reason)?;
        self.take_out(at, n)
    }

    pub(super) fn write_letter(
        &mut self,
        at: usize,
        b: &BatchRecord,
        event: &Kept,
        reason: &str,
    ) -> Result<(), Pause> {
        let name = self.file_text(b.file);
        let Kept { key, headers, value } = event;
        let letter = DeadLetter {
            topic: &self.outlets[at].config.topic,
            file: name.as_bytes(),
            batch: b,
            key: key.as_deref(),
            headers,
            value,
            body: body_of(self.outlets[at].config.value_format, value),
            reason,
            now_ms: self.clock.now_ms(),
        };
        match self.ledger.dead_letter(&letter) {
            Ok(()) => self.tell_written(DEAD_LETTERS),
            Err(LedgerError::Final(why)) => return Err(Fatal::State(why).into()),
            Err(LedgerError::Later(why)) => {
                self.tell_unwritten(DEAD_LETTERS, &why, LETTER_RETRY_MS);
                return Err(Pause::Wait(LETTER_RETRY_MS));
            }
        }
        let is_told = self.ledger.tells_letters()
            && match &mut self.outlets[at].refused {
                Some(refused) if refused.holds(b) => {
                    refused.letters += 1;
                    refused.letters == 1
                }
                _ => true,
            };
        if is_told {
            let topic = Some(self.outlets[at].config.topic.as_str());
            let partition = Some(b.partition);
            log::log_about(
                Level::Warn,
                CHANNEL,
                &About { file: Some(&name), topic, partition, offset: None },
                format_args!(
                    "An event of {} ({name} bytes {}-{}) went to the dead-letter file: \
                     {reason}.",
                    counted(value.len() as u64, "byte"),
                    b.start,
                    b.end
                ),
            );
        }
        Ok(())
    }

    /// Batch `n` will not be sent: its range counts as done, and what follows it in its partition
    /// is counted anew.
    pub(super) fn take_out(&mut self, at: usize, n: Ticket) -> Result<(), Pause> {
        let partition = self.announced[n].record.partition;
        self.void(at, n);
        self.raise_epoch(at, partition)?;
        // At once: of two letters that no record knows, the ledger would take the older for new.
        if self.is_unwritten() { Ok(self.commit()?) } else { Ok(()) }
    }

    /// The range of batch `n` counts as done, without an event in the topic.
    pub(super) fn void(&mut self, at: usize, n: Ticket) {
        let Announced { record, encoded, .. } = &mut self.announced[n];
        record.fate = Fate::Nowhere;
        record.count = 0;
        if let Some(batch) = encoded.take() {
            self.outlets[at].give_back(batch);
        }
        self.is_dirty = true;
    }
}

fn drop_identity(record: &mut BatchRecord, copies: &mut Copies) {
    if record.producer_epoch > 0 {
        // One may have been sent under the epoch before that.
        *copies = Copies::Any;
    }
    (record.producer_id, record.producer_epoch, record.base_sequence) = (-1, -1, -1);
}
