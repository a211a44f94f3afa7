//! Reading files and topics against each other, a slice or an answer in each turn.

use super::super::merge_range;
use super::divide::Lanes;
use super::{Log, Pipeline, Subject, TABLE_BYTES, Trouble};
use crate::checkpoint::record::OffsetRange;
use crate::rebuild::Evidence;
use crate::rebuild::key::{FileKey, Keyer};
use crate::source::past::Reading;

/// Where the comparison is.
pub(super) struct Compare {
    part: Part,
    walk: Walk,
    /// Channel that is compared; what for, from the second part on.
    channel: usize,
    work: Option<Work>,
}

struct Work {
    keyer: Keyer,
    evidence: Evidence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// How many events there are.
    Measure,
    Expect,
    /// The partition at this place in the list, from this offset on.
    Meet {
        span: usize,
        at: i64,
    },
    Claim,
}

/// From file to file.
#[derive(Default)]
struct Walk {
    subject: usize,
    reading: Option<Open>,
}

/// A file that is read: how far, what its events have in common, and where they go.
struct Open {
    reading: Reading,
    key: Option<FileKey>,
    lanes: Lanes,
}

impl Compare {
    pub(super) fn new() -> Compare {
        Compare { part: Part::Measure, walk: Walk::default(), channel: 0, work: None }
    }
}

impl Pipeline {
    /// One turn. `true`: all is known.
    pub(super) fn compare(
        &mut self,
        compare: &mut Compare,
        logs: &mut [Log],
        subjects: &mut [Subject],
    ) -> Result<bool, Trouble> {
        if let Part::Meet { span, at } = compare.part {
            let next = self.meet(compare, logs, subjects, span, at)?;
            compare.part = next;
            return Ok(false);
        }
        if !self.walk_on(compare, logs, subjects)? {
            return Ok(false);
        }
        compare.walk = Walk::default();
        let events: u64 = subjects.iter().map(|s| s.events).sum();
        match compare.part {
            Part::Measure => compare.work = Some(self.work(0, events)),
            Part::Expect => {
                compare.part = Part::Meet { span: 0, at: -1 };
                return Ok(false);
            }
            Part::Claim => {
                let Some(work) = &mut compare.work else { return Ok(true) };
                if !work.evidence.next_pass(events) {
                    compare.channel += 1;
                    if compare.channel == logs.len() {
                        return Ok(true);
                    }
                    compare.work = Some(self.work(compare.channel, events));
                }
            }
            Part::Meet { .. } => {}
        }
        compare.part = Part::Expect;
        Ok(events == 0)
    }

    fn work(&self, channel: usize, events: u64) -> Work {
        let format = self.outlets[channel].config.value_format;
        let keyer = Keyer::new(format, std::iter::once(&*self.config));
        Work { keyer, evidence: Evidence::new(events, TABLE_BYTES) }
    }

    /// One slice of a file. `true`: all files are through.
    fn walk_on(
        &mut self,
        compare: &mut Compare,
        logs: &[Log],
        subjects: &mut [Subject],
    ) -> Result<bool, Trouble> {
        let Compare { part, walk, channel, work } = compare;
        let Some(subject) = subjects.get_mut(walk.subject) else { return Ok(true) };
        let past = &subject.past;
        let failed = |e| Trouble::File(past.found_as.clone(), e);
        let Open { mut reading, key, mut lanes } = match walk.reading.take() {
            Some(reading) => reading,
            None => {
                let begun = self.files.read_past(past, walk.subject).map_err(failed)?;
                let Some(reading) = begun else {
                    return Err(Trouble::Changed(past.found_as.clone()));
                };
                let key = work.as_mut().map(|work| {
                    work.evidence.begin_file();
                    work.keyer.of_file(&self.config, &self.interceptors, &past.name)
                });
                let lanes = Lanes::of(self.router.as_ref(), &self.config, &self.interceptors, past);
                Open { reading, key, lanes }
            }
        };
        let most = if *part == Part::Measure { u64::MAX } else { subject.events };
        let file = walk.subject as u32;
        let mut visit = |event: u64, body: &[u8]| {
            if *part == Part::Measure {
                return lanes.count(body, &mut subject.expected);
            }
            let (Some(work), Some(key)) = (work.as_mut(), &key) else { return };
            let Some(lane) = lanes.lane(body, *channel, logs[*channel].spans.len()) else { return };
            let (key, evidence) = (key.of_event(body), &mut work.evidence);
            match part {
                Part::Expect => evidence.expect(key, file, lane),
                Part::Claim => evidence.claim(key, event, lane, &mut subject.marks[*channel]),
                Part::Measure | Part::Meet { .. } => {}
            }
        };
        let chain = &self.interceptors;
        let is_over =
            self.files.read_past_on(&mut reading, past, chain, most, &mut visit).map_err(failed)?;
        if !is_over {
            walk.reading = Some(Open { reading, key, lanes });
            return Ok(false);
        }
        if *part == Part::Measure {
            subject.events = reading.events;
            (subject.end, subject.crc) = (reading.position, reading.crc());
        } else if reading.events < subject.events {
            return Err(Trouble::Changed(past.found_as.clone()));
        }
        walk.subject += 1;
        Ok(false)
    }

    /// One answer of a broker. Returns where it goes on.
    fn meet(
        &mut self,
        compare: &mut Compare,
        logs: &mut [Log],
        subjects: &mut [Subject],
        at_span: usize,
        at: i64,
    ) -> Result<Part, Trouble> {
        let channel = compare.channel;
        let log = &mut logs[channel];
        let (Some(&span), Some(work)) = (log.spans.get(at_span), &mut compare.work) else {
            return Ok(Part::Claim);
        };
        let mut next = at;
        if at < 0 {
            work.evidence.begin_partition(span.partition);
            next = span.first;
        }
        if next >= span.end {
            return Ok(Part::Meet { span: at_span + 1, at: -1 });
        }
        let failed = |fault| Trouble::Broker(channel, fault);
        let mut history = match log.history.take() {
            Some(history) => history,
            None => self.outlets[channel].broker.history().map_err(failed)?,
        };
        let mut visit = |record: crate::channel::reader::TopicRecord<'_>| {
            let key = work.keyer.of_record(record.value);
            let Some(file) = work.evidence.meet(key, record.offset) else { return };
            let range = OffsetRange {
                channel: channel as u16,
                partition: record.partition,
                producer_id: record.producer_id,
                first: record.offset,
                last: record.offset,
                events: 1,
            };
            merge_range(&mut subjects[file as usize].ranges, range);
        };
        let read = history.read_some(span.partition, &mut next, span.end, &mut visit);
        // What was handed over is not handed over again, also where the rest has to be.
        compare.part = Part::Meet { span: at_span, at: next };
        read.map_err(failed)?;
        log.history = Some(history);
        Ok(compare.part)
    }

    /// For the log.
    pub(super) fn compare_text(
        &self,
        compare: &Compare,
        logs: &[Log],
        subjects: &[Subject],
    ) -> String {
        let file = |what: &str| {
            let at = compare.walk.subject;
            let name = subjects.get(at).map_or_else(Default::default, |s| s.past.found_as.clone());
            let name = name.display();
            format!("{what} file {} of {} ({name})", at + 1, subjects.len())
        };
        let pass = compare.work.as_ref().map_or_else(String::new, |w| w.evidence.label());
        match compare.part {
            Part::Measure => file("counting the lines of"),
            Part::Expect | Part::Claim => file(&format!("{pass}:")),
            Part::Meet { span, at } => match logs[compare.channel].spans.get(span) {
                Some(span) => format!(
                    "{pass}: topic {}, partition {}, offset {} of {}",
                    self.outlets[compare.channel].config.topic,
                    span.partition,
                    at.max(span.first),
                    span.end
                ),
                None => pass,
            },
        }
    }
}
