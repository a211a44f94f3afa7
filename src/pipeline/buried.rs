//! What a broker does not take of a batch goes to the dead letters, and the rest of it on its way.
//!
//! What lies among the dead letters stays there. The agent may have died after a letter was written and
//! before a record said so. Then its event is in doubt, and might be taken now: its file has a shorter name,
//! which is among the headers, or the topic has another limit.

use super::announced::Ticket;
use super::recovery::Pause;
use super::{Announced, Pipeline};
use crate::channel::batch::Batch;
use crate::checkpoint::ledger::Kept;
use crate::checkpoint::record::BatchRecord;
use crate::config::model::ValueFormat;
use crate::event;

/// So many letters are written in one go, each durable: the rest is sent, and named, again.
const LETTERS_AT_ONCE: usize = 32;

impl Pipeline {
    /// The broker has named the records of a batch that it does not take, and takes others. It names those only that
    /// are beside one that it takes, so each of them stays beside such a one until it is buried: should
    /// that fail for one, those that are left are named again.
    pub(super) fn bury_each(
        &mut self,
        at: usize,
        n: Ticket,
        places: &[u32],
        reason: &str,
    ) -> Result<(), Pause> {
        let ends = (0..self.announced[n].record.count).rev();
        let at_end = places.iter().rev().zip(ends).take_while(|(place, end)| *place == end).count();
        let (before, behind) = places.split_at(places.len() - at_end);
        // What is left of the batch, and the place at which that begins. The last that is taken is in it.
        let (mut n, mut begins) = (n, 0);
        for place in before.iter().take(LETTERS_AT_ONCE) {
            let rest = self.bury_one(at, n, place - begins, reason)?;
            // None: its bytes are gone.
            let Some(rest) = rest else { return Ok(()) };
            (n, begins) = (rest, place + 1);
        }
        let room = LETTERS_AT_ONCE.saturating_sub(before.len());
        for place in behind.iter().rev().take(room) {
            self.bury_one(at, n, place - begins, reason)?;
            if self.announced[n].record.count != place - begins {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The broker refuses the event at place `first` of a batch and has nothing against others: it
    /// goes to the dead-letter file, and what is before and behind it is sent. The batch is cut up when the
    /// letter is there, and one commit has all of that: what comes between finds the whole batch, and the
    /// next one of which the broker takes nothing is not left alone. Returns what stands behind the event.
    pub(super) fn bury_one(
        &mut self,
        at: usize,
        n: Ticket,
        first: u32,
        reason: &str,
    ) -> Result<Option<Ticket>, Pause> {
        self.prepare_epoch(at, self.announced[n].record.partition)?;
        self.tell_refused(at, n);
        let behind = self.announced[n].record.count - first - 1;
        let counts: Vec<u32> = [first, 1, behind].into_iter().filter(|count| *count > 0).collect();
        let Some(parts) = self.read_parts(at, n, &counts)? else {
            return self.write_off(at, n).map(|()| None);
        };
        let place = usize::from(first > 0);
        let (record, event) = first_event(&parts[place]);
        self.write_letter(at, &record, &event, reason)?;
        let parts = self.divide(n, parts);
        self.take_out(at, parts[place])?;
        Ok(parts.get(place + 1).copied())
    }

    /// Takes the first event that is a letter already out of what is to be sent. Was there one?
    pub(super) fn leave_buried(&mut self, at: usize, firsts: &[Ticket]) -> Result<bool, Pause> {
        let reason = "it was put there before the agent ended";
        for &n in firsts {
            let Some(place) = self.buried_in(at, n)? else { continue };
            match self.announced[n].record.count {
                1 => self.bury(at, n, reason)?,
                _ => {
                    self.bury_one(at, n, place, reason)?;
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// The place of the first event of a batch that is a letter.
    fn buried_in(&mut self, at: usize, n: Ticket) -> Result<Option<u32>, Pause> {
        let letters = self.letters_in(at, n)?;
        // What cannot be read any more is given up by those who send it.
        if letters.is_empty() || !self.encode(n)? {
            return Ok(None);
        }
        let batch = self.announced[n].record.clone();
        self.make_readable(&batch)?;
        for (start, end) in letters {
            let is_final = batch.is_final && end == batch.end;
            let before = BatchRecord { end: start, is_final: false, ..batch.clone() };
            let part = BatchRecord { start, end, count: 1, is_final, ..batch.clone() };
            let place = match start == batch.start {
                true => Some(0),
                false => self.count_part(at, &before)?,
            };
            if let Some(place) = place
                && self.is_letter(at, &part)?
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn letters_in(&mut self, at: usize, n: Ticket) -> Result<Vec<(u64, u64)>, Pause> {
        let batch = self.announced[n].record.clone();
        let file = self.file_text(batch.file);
        let letters = self.ledger.letters_in(&self.outlets[at].config.topic, &file, &batch);
        letters.map_err(|e| self.not_now(&batch, &format!("whether it is a dead letter: {e}")))
    }

    fn count_part(&mut self, at: usize, part: &BatchRecord) -> Result<Option<u32>, Pause> {
        let Some((read, encoded)) = self.read_part(at, part, part.count)? else { return Ok(None) };
        self.outlets[at].give_back(encoded);
        Ok((read.end == part.end).then_some(read.count))
    }

    fn is_letter(&mut self, at: usize, part: &BatchRecord) -> Result<bool, Pause> {
        let Some((read, encoded)) = self.read_part(at, part, 1)? else { return Ok(false) };
        let config = &self.outlets[at].config;
        let is_it = match encoded.values().next() {
            Some(value) if (read.end, read.count) == (part.end, 1) => {
                let body = body_of(config.value_format, value);
                self.ledger.is_letter(&config.topic, (part.start, part.end), body)
            }
            _ => Ok(false),
        };
        self.outlets[at].give_back(encoded);
        is_it.map_err(|e| self.not_now(part, &format!("whether it is a dead letter: {e}")))
    }
}

/// That of a batch of one, and its record.
pub(super) fn first_event(of: &Announced) -> (BatchRecord, Kept) {
    let encoded = of.encoded.as_ref();
    let value = encoded.and_then(|batch| batch.values().next().map(<[u8]>::to_vec));
    let kept = Kept {
        key: encoded.and_then(|batch| batch.first_key().map(<[u8]>::to_vec)),
        headers: encoded.map_or_else(Vec::new, Batch::first_headers),
        value: value.unwrap_or_default(),
    };
    (of.record.clone(), kept)
}

/// What a value has of its line.
pub(super) fn body_of(format: ValueFormat, value: &[u8]) -> &[u8] {
    match format {
        ValueFormat::Bare => value,
        ValueFormat::Avro => event::decode(value).map_or(value, |event| event.body),
    }
}
