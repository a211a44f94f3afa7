//! Counting both sides of a topic: what the files' events ought to be, what stands there.
//!
//! For each value, by its [`key`](super::key):
//! * a record in the recorded ranges of a file (partition, offsets, producer id) that has an event
//!   with its value which is not found yet, is that event: *found*;
//! * events left over are *missing*;
//! * records left over, of a value that the files have, are *repeated*, unless they are in the same
//!   way events of other files that the agent knows, or may be such that a live file has behind its
//!   position; those in the ranges of files whose bytes are gone are only told, not counted;
//! * records in a file's offset ranges whose value the file does not have are *foreign* to it.
//!
//! Memory: all values at once would need more than there is. So the values are divided by their
//! hash into as many parts as needed for one part to fit into the table, and the files and the
//! topic are read once for each part; where that is more than one, only those that
//! [sums](super::sums) leave in doubt.

use std::collections::HashSet;
use std::io;
use std::iter;
use std::rc::Rc;

use super::content::{FileEvent, Survey, each_event};
use super::divide::Sieve;
use super::inventory::{Bytes, Extent, State, Subject};
use super::judge::{Cover, GONE_FILES, Judge, Place, Strangers, behind};
use super::keys::Keys;
use super::letters::{Letters, Refused};
use super::progress::Progress;
use super::reach::{self, Bounds, Reach, Searched};
use super::report::{EXAMPLES_MAX, Missing, Report, Row};
use super::sums::{Cells, NO_GROUP, Sums, join, leave_out_part_read};
use super::table::{OTHER_FILES, Table, Tally, capacity};
use super::targets::Target;
use super::{Origin, Trouble};
use crate::channel::reader::TopicReader;
use crate::checkpoint::receipt::ReceiptRange;
use crate::rebuild::key::{FileKey, Keyer};
use crate::text::counted;

/// Records stamped so much before the file was opened cannot be its events: two clocks differ.
const CLOCK_MARGIN_MS: i64 = 10 * 60 * 1000;

/// One topic's count.
pub(super) struct Counting<'a> {
    pub origins: &'a [Origin<'a>],
    pub subjects: &'a [Subject],
    pub surveys: &'a [Survey],
    /// Of each origin.
    pub letters: &'a [Letters],
    pub target: Target,
    pub reach: Reach,
    pub table_bytes: usize,
    /// Records that are no line of any file are told.
    pub tells_unclaimed: bool,
}

/// A file to read in every pass.
struct Task<'a> {
    bytes: &'a Bytes,
    origin: &'a Origin<'a>,
    extent: Extent,
    key: FileKey,
    group: u32,
    /// Those of its events that are in the dead-letter file.
    refused: Refused,
    /// Some of its events are recorded nowhere: they may stand anywhere.
    is_anywhere: bool,
    /// Which of the events are for the topic.
    sieve: Rc<Sieve<'a>>,
}

impl Task<'_> {
    /// Hands those of its events that are for the topic to `visit`; `read` gets the bytes.
    fn each_event(
        &self,
        read: &mut dyn FnMut(&[u8], u64),
        visit: &mut dyn FnMut(FileEvent<'_>),
    ) -> io::Result<()> {
        let mut sifted = |event: FileEvent<'_>| {
            if self.sieve.takes(event.body, event.end) {
                visit(event);
            }
        };
        each_event(self.bytes, self.origin, self.extent, read, &mut sifted).map(drop)
    }
}

/// A stretch of a partition to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    partition: i32,
    from: i64,
    to: i64,
}

/// What is read, and against what.
struct Plan<'a> {
    keyer: Keyer,
    verified: Vec<Task<'a>>,
    others: Vec<Task<'a>>,
    /// What live files have behind their positions: it may be in the topic already.
    unrecorded: Vec<Task<'a>>,
    rows: Vec<Row>,
    places: Vec<Place>,
    spans: Vec<Span>,
    shows_producers: bool,
    /// Files that are not gone, so far.
    files: u32,
    /// Places in `others`: those whose ranges are read whole.
    summed_others: Vec<usize>,
}

/// What reading everything once for the sums has shown.
struct Summed {
    doubtful: Cells,
    seen: Seen,
}

/// Of each verified file, how many events were looked at, and how many records in its ranges.
struct Seen {
    events: Vec<u64>,
    covered: Vec<u64>,
}

impl Seen {
    fn of(files: usize) -> Seen {
        Seen { events: vec![0; files], covered: vec![0; files] }
    }

    /// A record is in these places.
    fn cover(&mut self, covering: &[usize], places: &[Place]) {
        for (n, at) in covering.iter().enumerate() {
            let file = places[*at].file;
            let is_told = covering[..n].iter().any(|before| places[*before].file == file);
            if file < GONE_FILES && !is_told {
                self.covered[file as usize] += 1;
            }
        }
    }
}

/// The values that one reading counts.
#[derive(Clone, Copy)]
struct Share<'a> {
    /// Those whose hash is `number` modulo `passes`,
    number: u64,
    passes: u64,
    /// and of them those in doubt, where that is known.
    doubtful: Option<&'a Cells>,
}

impl Share<'_> {
    fn has(&self, key: u64) -> bool {
        key % self.passes == self.number && self.doubtful.is_none_or(|doubtful| doubtful.has(key))
    }
}

impl Counting<'_> {
    pub(super) fn run(&self, progress: &mut Progress, report: &mut Report) -> Result<(), Trouble> {
        let mut reader = TopicReader::open(&self.target.channel)?;
        let (mut plan, searched) = self.plan(&mut reader)?;
        report.searched.extend(searched);
        self.count_gone(&mut reader, report)?;
        if plan.verified.is_empty() {
            return Ok(());
        }
        let events: u64 = plan.rows.iter().map(|row| row.events).sum();
        // A value that other files have, too, has an entry for them.
        let values = if plan.others.is_empty() { events } else { 2 * events };
        let mut keys = Keys::of(&self.target.channel, reader.partitions().len());
        let room = capacity(self.table_bytes).max(1) as u64;
        let summed = match values > room {
            true => Some(self.sum(&plan, &mut reader, keys.as_mut(), progress)?),
            false => None,
        };
        let values = summed.as_ref().map_or(values, |summed| summed.doubtful.part_of(values));
        let mut counted = Seen::of(plan.rows.len());
        if !summed.as_ref().is_some_and(|summed| summed.doubtful.is_empty()) {
            let doubtful = summed.as_ref().map(|summed| &summed.doubtful);
            let passes = values.div_ceil(room).max(1);
            // A tenth more than their share: chance does not divide evenly.
            let share = values / passes;
            let share = if passes == 1 { share } else { room.min(share * 11 / 10) };
            let mut table = Table::with_room(usize::try_from(share).unwrap_or(usize::MAX));
            for number in 0..passes {
                progress.begin(&self.label(number, passes), plan.work());
                let share = Share { number, passes, doubtful };
                let keys = keys.as_mut().filter(|_| summed.is_none());
                let mut count =
                    Pass { plan: &mut plan, table: &mut table, share, keys, counted: &mut counted };
                count.run(self, &mut reader, progress, report)?;
            }
        }
        if let Some(Summed { seen, .. }) = &summed {
            plan.add_agreed(seen, &counted);
        }
        report.rows.append(&mut plan.rows);
        report.remarks.extend(keys.and_then(|keys| keys.remark(&self.target.channel.topic)));
        Ok(())
    }

    fn label(&self, number: u64, passes: u64) -> String {
        let topic = &self.target.channel.topic;
        match passes {
            1 => format!("topic {topic}"),
            _ => format!("topic {topic}, pass {} of {passes}", number + 1),
        }
    }

    /// Reads files and topic for their [sums](super::sums).
    fn sum(
        &self,
        plan: &Plan<'_>,
        reader: &mut TopicReader,
        mut keys: Option<&mut Keys>,
        progress: &mut Progress,
    ) -> Result<Summed, Trouble> {
        let mut sums = Sums::new();
        let mut seen = Seen::of(plan.rows.len());
        progress.begin(&format!("topic {}, sums", self.target.channel.topic), plan.work());
        for (file, task) in plan.verified.iter().enumerate() {
            let mut read = |bytes: &[u8], _| progress.advance(bytes.len() as u64);
            let mut visit = |event: FileEvent<'_>| {
                seen.events[file] += 1;
                sums.expect(task.key.of_event(event.body), task.group);
            };
            task.each_event(&mut read, &mut visit).map_err(|e| self.unreadable(plan, file, &e))?;
        }
        for task in plan.summed_others.iter().map(|at| &plan.others[*at]) {
            let mut visit = |event: FileEvent<'_>| {
                sums.expect(task.key.of_event(event.body), task.group);
            };
            // What cannot be read leaves its records in doubt.
            let _ = task.each_event(&mut |_, _| {}, &mut visit);
        }
        let each_record = plan.work() / 2 / plan.records().max(1);
        for span in &plan.spans {
            let mut cover = Cover::new(&plan.places, span.partition);
            reader.read(span.partition, span.from, span.to, &mut |record| {
                progress.advance(each_record);
                let key = plan.keyer.of_record(record.value);
                let covering = cover.at(record.offset);
                seen.cover(covering, &plan.places);
                let is_by = |place: &&Place| {
                    !plan.shows_producers || place.range.producer_id == record.producer_id
                };
                let mut by = covering.iter().map(|at| &plan.places[*at]).filter(is_by);
                if plan.shows_producers
                    && let Some(keys) = keys.as_mut().filter(|_| by.clone().next().is_some())
                {
                    keys.look_at(&record);
                }
                match by.find(|place| place.group != NO_GROUP) {
                    Some(place) => sums.meet(key, place.group),
                    None => sums.meet_stray(key),
                }
            })?;
        }
        Ok(Summed { doubtful: sums.doubtful(), seen })
    }

    fn unreadable(&self, plan: &Plan<'_>, file: usize, e: &std::io::Error) -> Trouble {
        let subject = &self.subjects[plan.rows[file].subject];
        Trouble::Temporary(format!("{}: {e}", subject.label))
    }

    fn plan(&self, reader: &mut TopicReader) -> Result<(Plan<'_>, Option<Searched>), Trouble> {
        let mut plan = Plan {
            keyer: Keyer::new(
                self.target.channel.value_format,
                self.origins.iter().map(|o| o.config),
            ),
            verified: Vec::new(),
            others: Vec::new(),
            unrecorded: Vec::new(),
            rows: Vec::new(),
            places: Vec::new(),
            spans: Vec::new(),
            shows_producers: reader.shows_producers(),
            files: 0,
            summed_others: Vec::new(),
        };
        for (at, ranges) in &self.target.files {
            let subject = &self.subjects[*at];
            let (file, group) = self.add_file(&mut plan, *at, subject, ranges.is_empty())?;
            let place = |range: &ReceiptRange| Place { file, group, range: range.clone() };
            plan.places.extend(ranges.iter().map(place));
        }
        let searched = self.find_spans(reader, &mut plan)?;
        plan.places.sort_by_key(|place| (place.range.partition, place.range.first));
        plan.join_files();
        Ok((plan, searched))
    }

    /// Returns how the file is called in places and in the table, and its own group.
    fn add_file<'a>(
        &'a self,
        plan: &mut Plan<'a>,
        at: usize,
        subject: &'a Subject,
        is_unrecorded: bool,
    ) -> Result<(u32, u32), Trouble> {
        if subject.bytes.are_gone() {
            return Ok((GONE_FILES, NO_GROUP));
        }
        let bytes = &subject.bytes;
        let origin = &self.origins[subject.origin];
        let keyer = &plan.keyer;
        let group = plan.files;
        let (channel, letters) = (&self.target.channel, &self.letters[subject.origin]);
        let place = origin.division.as_ref().and_then(|d| Some((d, d.place_of(channel)?)));
        let sorter = place.map(|(division, place)| {
            (division.of_file(origin.config, &subject.name), place, channel.topic.clone())
        });
        let sieve = Rc::new(Sieve::new(sorter, letters.line_ends(&subject.name)));
        let task = |extent| {
            let key = keyer.of_file(origin.config, &origin.chain, &subject.name);
            let (refused, is_anywhere, sieve) = (Refused::default(), false, sieve.clone());
            Task { bytes, origin, extent, key, group, refused, is_anywhere, sieve }
        };
        plan.files += 1;
        if subject.state == State::Live {
            let rest = Extent { start: subject.extent.end, end: u64::MAX, is_final: false };
            plan.unrecorded.push(task(rest));
        }
        let mut task = task(Extent { start: self.surveys[at].start, ..subject.extent });
        if !subject.is_selected {
            plan.others.push(task);
            return Ok((OTHER_FILES, group));
        }
        // The places in a topic that had to make room for others are forgotten.
        task.is_anywhere = self.surveys[at].skipped > 0
            || letters.sent(&subject.name) > 0
            || is_unrecorded && channel.is_on_demand();
        let topic = &channel.topic;
        task.refused = letters
            .events(&subject.name, topic, keyer)
            .map_err(|e| Trouble::Temporary(format!("{}: {e}", letters.path.display())))?;
        plan.verified.push(task);
        let mut row = Row::new(at, subject, &self.surveys[at], topic.clone());
        if let Some((_, place)) = place {
            let events = self.surveys[at].topics.get(&(place, topic.clone()));
            row.events = events.copied().unwrap_or(0) + self.surveys[at].giants;
        }
        plan.rows.push(row);
        Ok((plan.rows.len() as u32 - 1, group))
    }

    /// The whole topic, or from the first recorded offset of each partition to its end; partitions
    /// without one then from the time on at which the first file was opened. `None` where there is
    /// nothing to be sought.
    fn find_spans(
        &self,
        reader: &mut TopicReader,
        plan: &mut Plan<'_>,
    ) -> Result<Option<Searched>, Trouble> {
        if plan.verified.is_empty() {
            return Ok(None);
        }
        let opened = plan.rows.iter().map(|row| self.subjects[row.subject].opened_ms).min();
        let since_ms = opened.unwrap_or(0).saturating_sub(CLOCK_MARGIN_MS).max(0);
        let mut all = Vec::new();
        for partition in reader.partitions().to_vec() {
            let (first, end) = reader.bounds(partition)?;
            tell_bounds(plan, partition, (first, end));
            let recorded = match plan.recorded(partition).map(|range| range.first).min() {
                Some(recorded) => recorded.clamp(first, end),
                None => reader.offset_at(partition, since_ms, (first, end))?,
            };
            all.push(Bounds { partition, first, end, recorded });
        }
        let topic = &self.target.channel.topic;
        let searched = reach::decide(self.reach, reader, topic, &all)?;
        for Bounds { partition, first, end, recorded } in all {
            match &searched {
                Searched::Ranges { .. } => {
                    let to_span = |r: &ReceiptRange| {
                        let to = behind(r).min(end);
                        Span { partition, from: r.first, to }
                    };
                    plan.spans.extend(merged(plan.recorded(partition).map(to_span).collect()));
                }
                Searched::Whole => plan.spans.push(Span { partition, from: first, to: end }),
                Searched::From { .. } => {
                    plan.spans.push(Span { partition, from: recorded, to: end });
                }
                Searched::Nothing { .. } => {}
            }
        }
        plan.spans.retain(|span| span.from < span.to);
        Ok(Some(searched))
    }

    /// Of a file whose bytes are gone no more can be told than how many records of its producer
    /// stand in its ranges.
    fn count_gone(&self, reader: &mut TopicReader, report: &mut Report) -> Result<(), Trouble> {
        let shows_producers = reader.shows_producers();
        for (at, ranges) in &self.target.files {
            let subject = &self.subjects[*at];
            if !subject.is_selected || !subject.bytes.are_gone() {
                continue;
            }
            let topic = self.target.channel.topic.clone();
            let mut row = Row::new(*at, subject, &self.surveys[*at], topic);
            let mut records = 0u64;
            for range in ranges {
                reader.read(range.partition, range.first, behind(range), &mut |record| {
                    let is_its = !shows_producers || record.producer_id == range.producer_id;
                    records += u64::from(is_its);
                })?;
            }
            row.missing = row.events.saturating_sub(records);
            row.notes.push(format!(
                "the bytes are gone: only the number of records can be compared; of {} the \
                 recorded ranges hold {} of their producer",
                counted(row.events, "event"),
                counted(records, "record")
            ));
            report.rows.push(row);
        }
        Ok(())
    }
}

/// Says where the topic no longer holds, or does not reach, what was recorded.
fn tell_bounds(plan: &mut Plan<'_>, partition: i32, (first, end): (i64, i64)) {
    for place in plan.places.iter().filter(|place| place.range.partition == partition) {
        let range = &place.range;
        let Some(row) = plan.rows.get_mut(place.file as usize) else { continue };
        let notes = &mut row.notes;
        if range.first < first {
            notes.push(format!(
                "partition {partition} begins at offset {first}, behind {} where the file's \
                 events begin: retention has removed some",
                range.first
            ));
        }
        if range.last >= end {
            notes.push(format!(
                "partition {partition} ends at offset {end}, before {} where the file's events \
                 end: the topic was cut back or recreated",
                range.last
            ));
        }
    }
}

/// Spans of one partition without overlaps, ascending.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
            _ => merged.push(span),
        }
    }
    merged
}

impl Plan<'_> {
    /// The recorded ranges of the verified files in a partition.
    fn recorded(&self, partition: i32) -> impl Iterator<Item = &ReceiptRange> {
        let verified = self.places.iter().filter(|place| place.file < GONE_FILES);
        verified.map(|place| &place.range).filter(move |range| range.partition == partition)
    }

    fn join_files(&mut self) {
        let spans = &self.spans;
        let is_read = |range: &ReceiptRange| {
            let mut of_it = spans.iter().filter(|span| span.partition == range.partition);
            of_it.any(|span| span.from <= range.first && behind(range) <= span.to)
        };
        let others: HashSet<u32> = self.others.iter().map(|task| task.group).collect();
        let is_other = |file| others.contains(&file);
        let left_out = leave_out_part_read(&mut self.places, is_other, is_read);
        self.summed_others = (0..self.others.len())
            .filter(|at| !left_out.contains(&self.others[*at].group))
            .collect();
        let groups = join(&mut self.places, self.files, self.shows_producers);
        for task in self.verified.iter_mut().chain(&mut self.others) {
            task.group = groups[task.group as usize];
        }
    }

    /// What was not counted one by one stands in its place.
    fn add_agreed(&mut self, seen: &Seen, counted: &Seen) {
        for (at, row) in self.rows.iter_mut().enumerate() {
            let events = seen.events[at].saturating_sub(counted.events[at]);
            let covered = seen.covered[at].saturating_sub(counted.covered[at]);
            row.once += events;
            row.others += covered.saturating_sub(events);
        }
    }

    /// Files whose lines are neither in the table nor known by their place.
    fn unplaced(&self) -> Vec<&Task<'_>> {
        let others = self.others.iter().filter(|_| !self.shows_producers);
        others.chain(&self.unrecorded).collect()
    }

    /// Bytes of the files, and as many again for the topic.
    fn work(&self) -> u64 {
        2 * self.verified.iter().map(|task| task.extent.end - task.extent.start).sum::<u64>()
    }

    fn records(&self) -> u64 {
        let lengths = self.spans.iter().map(|span| span.from.abs_diff(span.to));
        lengths.fold(0, u64::saturating_add)
    }
}

/// One reading of everything, for a share of the values.
struct Pass<'p, 'a> {
    plan: &'p mut Plan<'a>,
    table: &'p mut Table,
    share: Share<'p>,
    /// `None` also where all records were looked at before.
    keys: Option<&'p mut Keys>,
    /// By all readings.
    counted: &'p mut Seen,
}

impl Pass<'_, '_> {
    fn run(
        &mut self,
        counting: &Counting<'_>,
        reader: &mut TopicReader,
        progress: &mut Progress,
        report: &mut Report,
    ) -> Result<(), Trouble> {
        self.table.clear();
        self.read_files(counting, progress)?;
        let each_record = self.plan.work() / 2 / self.plan.records().max(1);
        let share = self.share;
        let anywhere: Vec<bool> = self.plan.verified.iter().map(|task| task.is_anywhere).collect();
        let mut rows = std::mem::take(&mut self.plan.rows);
        let plan = &*self.plan;
        let unplaced = plan.unplaced();
        // What of another file cannot be read is no fault of the verified ones.
        let mut lines_of_others = |take: &mut dyn FnMut(u64)| {
            for task in &unplaced {
                let mut visit = |event: FileEvent<'_>| take(task.key.of_event(event.body));
                let _ = task.each_event(&mut |_, _| {}, &mut visit);
            }
        };
        let mut judge = Judge {
            keyer: &plan.keyer,
            table: &mut *self.table,
            rows: &mut rows,
            anywhere: &anywhere,
            covered: &mut self.counted.covered,
            shows_producers: plan.shows_producers,
            channel: &counting.target.channel,
            report: &mut *report,
            strangers: Strangers::default(),
            tells_unclaimed: counting.tells_unclaimed,
            lines_of_others: (!unplaced.is_empty()).then_some(&mut lines_of_others),
        };
        for span in &plan.spans {
            let mut cover = Cover::new(&plan.places, span.partition);
            reader.read(span.partition, span.from, span.to, &mut |record| {
                progress.advance(each_record);
                let key = judge.keyer.of_record(record.value);
                if share.has(key) {
                    let covering = cover.at(record.offset);
                    if let Some(keys) = &mut self.keys
                        && judge.is_of_files(key, &record, covering, &plan.places)
                    {
                        keys.look_at(&record);
                    }
                    judge.judge(key, record, covering, &plan.places);
                }
            })?;
        }
        judge.name_strangers();
        self.plan.rows = rows;
        let mut tallies = vec![Tally::default(); self.plan.rows.len()];
        self.table.tally(&mut tallies);
        for (row, tally) in self.plan.rows.iter_mut().zip(&tallies) {
            row.once += tally.once;
            row.missing += tally.missing;
            row.repeated += tally.repeated;
        }
        if tallies.iter().any(|tally| tally.missing > 0) {
            self.find_refused(counting)?;
            self.find_missing(counting, report)?;
        }
        Ok(())
    }

    fn read_files(
        &mut self,
        counting: &Counting<'_>,
        progress: &mut Progress,
    ) -> Result<(), Trouble> {
        let share = self.share;
        for (file, task) in self.plan.verified.iter().enumerate() {
            let mut read = |bytes: &[u8], _| progress.advance(bytes.len() as u64);
            let mut visit = |event: FileEvent<'_>| {
                let key = task.key.of_event(event.body);
                if share.has(key) {
                    self.counted.events[file] += 1;
                    self.table.expect(key, file as u32);
                }
            };
            task.each_event(&mut read, &mut visit)
                .map_err(|e| counting.unreadable(self.plan, file, &e))?;
        }
        let (others, unrecorded) = (self.plan.others.iter(), self.plan.unrecorded.iter());
        for (task, is_recorded) in
            others.zip(iter::repeat(true)).chain(unrecorded.zip(iter::repeat(false)))
        {
            let mut visit = |event: FileEvent<'_>| {
                let key = task.key.of_event(event.body);
                match (share.has(key), is_recorded) {
                    (true, true) => self.table.expect_of_others(key),
                    (true, false) => self.table.allow(key),
                    (false, _) => {}
                }
            };
            // What of another file cannot be read is no fault of the verified ones.
            let _ = task.each_event(&mut |_, _| {}, &mut visit);
        }
        Ok(())
    }

    /// Reads the files again for those of the missing events that are in a dead-letter file.
    fn find_refused(&mut self, counting: &Counting<'_>) -> Result<(), Trouble> {
        let share = self.share;
        for file in 0..self.plan.verified.len() {
            let mut refused = std::mem::take(&mut self.plan.verified[file].refused);
            if refused.is_empty() {
                continue;
            }
            let task = &self.plan.verified[file];
            let mut found = 0;
            let mut visit = |event: FileEvent<'_>| {
                let key = task.key.of_event(event.body);
                let is_refused = share.has(key) && refused.take(key, event.end);
                found += u64::from(is_refused && self.table.take_missing(key, file as u32));
            };
            let read = task.each_event(&mut |_, _| {}, &mut visit);
            read.map_err(|e| counting.unreadable(self.plan, file, &e))?;
            self.plan.verified[file].refused = refused;
            let row = &mut self.plan.rows[file];
            row.missing -= found;
            row.dead_letters += found;
        }
        Ok(())
    }

    /// Reads the files again to say which lines are missing.
    fn find_missing(
        &mut self,
        counting: &Counting<'_>,
        report: &mut Report,
    ) -> Result<(), Trouble> {
        let share = self.share;
        for (file, task) in self.plan.verified.iter().enumerate() {
            if report.missing.len() == EXAMPLES_MAX {
                break;
            }
            let subject = &counting.subjects[self.plan.rows[file].subject];
            let mut visit = |event: FileEvent<'_>| {
                let key = task.key.of_event(event.body);
                if report.missing.len() < EXAMPLES_MAX
                    && share.has(key)
                    && self.table.take_missing(key, file as u32)
                {
                    report.missing.push(Missing::new(&subject.label, event.end, event.body));
                }
            };
            task.each_event(&mut |_, _| {}, &mut visit)
                .map_err(|e| counting.unreadable(self.plan, file, &e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_are_read_once() {
        let span = |from, to| Span { partition: 0, from, to };
        let spans = vec![span(10, 20), span(0, 5), span(5, 7), span(15, 17), span(30, 31)];
        assert_eq!(merged(spans), [span(0, 7), span(10, 20), span(30, 31)]);
    }
}
