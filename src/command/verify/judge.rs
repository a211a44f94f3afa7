//! What a record of the topic means for the files: found, repeated, another file's, foreign.

use std::collections::HashMap;

use super::report::{EXAMPLES_MAX, Repeat, Report, Row};
use super::table::{Met, OTHER_FILES, Table};
use crate::channel::reader::TopicRecord;
use crate::checkpoint::receipt::ReceiptRange;
use crate::config::model::Destination;
use crate::rebuild::key::{Keyer, body};

/// Files whose bytes are gone, as [`OTHER_FILES`] are those that are not verified.
pub(super) const GONE_FILES: u32 = OTHER_FILES - 1;

/// A recorded range of the verified file `file` (index into `Plan::verified`), or of others.
pub(super) struct Place {
    pub file: u32,
    /// See [`sums`](super::sums).
    pub group: u32,
    pub range: ReceiptRange,
}

/// In place of a file: a record that stands among the events of none.
const NO_FILE: u32 = u32::MAX;

/// The offset behind a recorded range, whatever a damaged receipt says.
pub(super) fn behind(range: &ReceiptRange) -> i64 {
    range.last.saturating_add(1)
}

/// Records among the events of a file that are none of its own, and of which the table does not know
/// whose they are: by value, how many for each file.
#[derive(Debug, Default)]
pub(super) struct Strangers(HashMap<u64, Vec<(u32, u64)>>);

/// How many values of unknown origin are kept before they are named; some 5 MB.
const STRANGERS_MAX: usize = 1 << 16;

/// Hands over the hash of each line of the files that only their lines can tell from strangers.
pub(super) type LinesOfOthers<'a> = dyn FnMut(&mut dyn FnMut(u64)) + 'a;

/// Judges the records of a topic.
pub(super) struct Judge<'p> {
    pub keyer: &'p Keyer,
    pub table: &'p mut Table,
    pub rows: &'p mut [Row],
    /// Of each verified file: some of its events may stand anywhere.
    pub anywhere: &'p [bool],
    /// And how many of the records that were judged are in its ranges.
    pub covered: &'p mut [u64],
    pub shows_producers: bool,
    pub channel: &'p Destination,
    pub report: &'p mut Report,
    pub strangers: Strangers,
    /// Records that are no line of any file are told.
    pub tells_unclaimed: bool,
    /// `None` where there is no such file.
    pub lines_of_others: Option<&'p mut LinesOfOthers<'p>>,
}

impl Judge<'_> {
    /// `covering`: the places whose offsets hold the record.
    pub(super) fn judge(
        &mut self,
        key: u64,
        record: TopicRecord<'_>,
        covering: &[usize],
        places: &[Place],
    ) {
        let shows_producers = self.shows_producers;
        let is_by =
            |place: &Place| !shows_producers || place.range.producer_id == record.producer_id;
        let is_its = |file: u32| {
            covering.iter().map(|at| &places[*at]).any(|place| place.file == file && is_by(place))
        };
        let mut met = self.table.meet(key, is_its);
        if met == Met::Surplus {
            let anywhere = self.anywhere;
            let is_anywhere = |file: u32| anywhere.get(file as usize) == Some(&true);
            met = self.table.meet(key, is_anywhere);
        }
        match met {
            Met::Surplus if is_its(GONE_FILES) => self.report.unclear += 1,
            Met::Surplus if self.table.add_surplus(key) => self.show(&record),
            _ => {}
        }
        let is_placed = || covering.iter().any(|at| is_by(&places[*at]) && shows_producers);
        if self.tells_unclaimed && met == Met::Unknown && !is_placed() {
            self.add_unclaimed(key, &record);
        }
        for (n, at) in covering.iter().enumerate() {
            let file = places[*at].file;
            let is_told = covering[..n].iter().any(|before| places[*before].file == file);
            if file >= GONE_FILES || is_told {
                continue;
            }
            self.covered[file as usize] += 1;
            if self.table.has(key, file) {
                continue;
            }
            // Where no producer is shown, its place makes a record another file's only if there is
            // no line to ask.
            let is_others = |place: &Place| {
                let by_place = shows_producers || place.file == GONE_FILES;
                place.file != file && by_place && is_by(place)
            };
            if met != Met::Unknown || covering.iter().any(|at| is_others(&places[*at])) {
                self.rows[file as usize].others += 1;
            } else if self.lines_of_others.is_some() {
                self.add_stranger(key, file);
            } else {
                self.rows[file as usize].foreign += 1;
            }
        }
    }

    /// Is it an event of some file, by its place or, where no producer is shown, by its value as well?
    pub(super) fn is_of_files(
        &self,
        key: u64,
        record: &TopicRecord<'_>,
        covering: &[usize],
        places: &[Place],
    ) -> bool {
        let is_by = |place: &Place| place.range.producer_id == record.producer_id;
        match self.shows_producers {
            true => covering.iter().any(|at| is_by(&places[*at])),
            false => !covering.is_empty() && self.table.has_any(key),
        }
    }

    /// No file that was read has this value, and no recorded producer wrote it there.
    fn add_unclaimed(&mut self, key: u64, record: &TopicRecord<'_>) {
        if self.report.unclaimed.len() < EXAMPLES_MAX {
            let body = body(self.channel.value_format, record.value);
            self.report.unclaimed.push((key, Repeat::new(&self.channel.topic, record, body)));
        }
        match self.lines_of_others.is_some() {
            true => self.add_stranger(key, NO_FILE),
            false => self.report.unclaimed_records += 1,
        }
    }

    fn add_stranger(&mut self, key: u64, file: u32) {
        let files = self.strangers.0.entry(key).or_default();
        match files.iter_mut().find(|(other, _)| *other == file) {
            Some((_, records)) => *records += 1,
            None => files.push((file, 1)),
        }
        if self.strangers.0.len() >= STRANGERS_MAX {
            self.name_strangers();
        }
    }

    /// Tells the lines of other files from what no agent here wrote.
    pub(super) fn name_strangers(&mut self) {
        let mut strangers = std::mem::take(&mut self.strangers.0);
        let rows = &mut *self.rows;
        let report = &mut *self.report;
        if let Some(lines_of_others) =
            self.lines_of_others.as_mut().filter(|_| !strangers.is_empty())
        {
            lines_of_others(&mut |key| {
                for (file, records) in strangers.remove(&key).unwrap_or_default() {
                    match rows.get_mut(file as usize) {
                        Some(row) => row.others += records,
                        None => report.unclaimed.retain(|(known, _)| *known != key),
                    }
                }
            });
        }
        for (file, records) in strangers.into_values().flatten() {
            match rows.get_mut(file as usize) {
                Some(row) => row.foreign += records,
                None => report.unclaimed_records += records,
            }
        }
    }

    fn show(&mut self, record: &TopicRecord<'_>) {
        if self.report.repeats.len() < EXAMPLES_MAX {
            let channel = self.channel;
            let body = body(channel.value_format, record.value);
            self.report.repeats.push(Repeat::new(&channel.topic, record, body));
        }
    }
}

/// Which recorded ranges hold an offset; offsets come in ascending order.
pub(super) struct Cover<'p> {
    places: &'p [Place],
    /// The first that has not begun, and where those of the partition end.
    next: usize,
    end: usize,
    open: Vec<usize>,
    /// The first offset at which one of `open` is over.
    over_at: i64,
}

impl<'p> Cover<'p> {
    /// `places` are sorted by partition and first offset.
    pub(super) fn new(places: &'p [Place], partition: i32) -> Cover<'p> {
        let next = places.partition_point(|p| p.range.partition < partition);
        let end = places.partition_point(|p| p.range.partition <= partition);
        Cover { places, next, end, open: Vec::new(), over_at: i64::MAX }
    }

    pub(super) fn at(&mut self, offset: i64) -> &[usize] {
        let begins = |at: usize| self.places[at].range.first <= offset;
        let mut has_changed = offset >= self.over_at;
        while self.next < self.end && begins(self.next) {
            self.open.push(self.next);
            self.next += 1;
            has_changed = true;
        }
        if has_changed {
            self.open.retain(|at| self.places[*at].range.last >= offset);
            let over = self.open.iter().map(|at| behind(&self.places[*at].range)).min();
            self.over_at = over.unwrap_or(i64::MAX);
        }
        &self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: u32, partition: i32, first: i64, last: i64) -> Place {
        let range = ReceiptRange { partition, first, last, ..ReceiptRange::default() };
        Place { file, group: file, range }
    }

    #[test]
    fn ranges_open_and_close_as_offsets_ascend() {
        let places = [
            place(0, 0, 0, 99),
            place(0, 1, 5, 10),
            place(1, 1, 7, 20),
            place(2, 1, 21, 21),
            place(2, 2, 0, 5),
        ];
        let mut cover = Cover::new(&places, 1);
        assert_eq!(cover.at(4), [0; 0]);
        assert_eq!(cover.at(5), [1]);
        assert_eq!(cover.at(10), [1, 2]);
        assert_eq!(cover.at(11), [2]);
        assert_eq!(cover.at(21), [3]);
        assert_eq!(cover.at(22), [0; 0]);
    }

    #[test]
    fn a_range_to_the_end_of_all_numbers_is_no_end_of_the_program() {
        let places = [place(0, 0, i64::MIN, i64::MAX)];
        assert_eq!(Cover::new(&places, 0).at(5), [0]);
        assert_eq!(behind(&places[0].range), i64::MAX);
    }
}
