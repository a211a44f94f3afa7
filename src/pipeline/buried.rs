//! What lies among the dead letters stays there. The agent may have died after a letter was written and
//! before a record said so. Then its event is in doubt, and might be taken now: its file has a shorter name,
//! which is among the headers, or the topic has another limit.

use super::Pipeline;
use super::announced::Ticket;
use super::recovery::Pause;
use crate::checkpoint::record::BatchRecord;
use crate::config::model::ValueFormat;
use crate::event;

impl Pipeline {
    /// Takes the first event that is a letter already out of what is to be sent. Was there one?
    pub(super) fn leave_buried(&mut self, at: usize, firsts: &[Ticket]) -> Result<bool, Pause> {
        let reason = "it was put there before the agent ended";
        for &n in firsts {
            let Some(place) = self.buried_in(at, n)? else { continue };
            match self.announced[n].record.count {
                1 => self.bury(at, n, reason)?,
                _ => self.bury_one(at, n, place, reason)?,
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

/// What a value has of its line.
pub(super) fn body_of(format: ValueFormat, value: &[u8]) -> &[u8] {
    match format {
        ValueFormat::Bare => value,
        ValueFormat::Avro => event::decode(value).map_or(value, |event| event.body),
    }
}
