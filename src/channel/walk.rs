//! A way through a partition's log, fetch by fetch. A step never waits.

use std::time::{Duration, Instant};

use super::broker::{Fault, Progress};
use super::finish::{Waits, finish};
use super::records::{Entry, ReadError, first_entry_bytes, next_entry};
use super::wire::FETCH_BYTES_MAX;

/// What a fetch asks for at first; more where a batch is larger.
const FETCH_BYTES: usize = 1 << 20;
/// Fetches in a row that may bring nothing though the end is not reached.
const STALLS_MAX: u32 = 20;
const STALL_PAUSE: Duration = Duration::from_millis(50);

/// A piece of a partition's log.
pub enum Piece {
    /// Whole entries and, at the end, mostly a part of one; may begin before the offset asked for.
    Log { records: Vec<u8>, high_watermark: i64 },
    /// The offset asked for is before the log's start or behind its end.
    OutOfRange,
    /// Nothing, since a quota is used up. It is asked for again, which the connection holds back as long as the
    /// broker says.
    Throttled,
}

/// A question under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub partition: i32,
    /// Which connection, and which request on it.
    pub lane: usize,
    pub correlation: i32,
    pub version: i16,
}

/// How a wire reads its partitions. Each answer is asked for until it is there.
pub trait Log {
    /// Asks for at most `bytes_max` from `offset` on, without waiting for more to come.
    fn ask_piece(&mut self, partition: i32, offset: i64, bytes_max: usize)
    -> Result<Ticket, Fault>;
    fn take_piece(&mut self, ticket: Ticket) -> Result<Progress<Piece>, Fault>;
    /// Asks for the log's first offset (`time` -2), its end (-1), or the first offset that was
    /// stamped at `time` (Unix time, ms) or later.
    fn ask_offset(&mut self, partition: i32, time: i64) -> Result<Ticket, Fault>;
    /// `None` where there is no such offset.
    fn take_offset(&mut self, ticket: Ticket) -> Result<Progress<Option<i64>>, Fault>;
}

/// `time` of [`Log::ask_offset`].
pub const FIRST: i64 = -2;
pub const END: i64 = -1;

/// Of an offset that each log has.
pub fn untold(partition: i32) -> Fault {
    Fault::Lost(format!("no offset for partition {partition} in the answer"))
}

/// What the taker of a piece of log says.
pub enum Step {
    /// Whole entries up to this offset were taken.
    To(i64),
    /// No more is wanted.
    Enough,
}

/// Takes what a fetch has brought, which was asked for from that offset on.
pub type Taker<'a> = dyn FnMut(&[u8], i64) -> Result<Step, Fault> + 'a;

/// A way through a partition's log, fetch by fetch.
pub struct Walk {
    partition: i32,
    pub(super) from: i64,
    /// Everything before was taken.
    pub(super) at: i64,
    end: Option<i64>,
    /// The log begins behind where it was to be read from.
    pub(super) begins_behind: bool,
    /// The log ends before what was taken.
    pub(super) is_cut_back: bool,
    /// The log ends before where it was to be read from.
    pub(super) ends_before: bool,
    bytes_max: usize,
    stalls: u32,
    asked: Ask,
    /// The next piece is asked for before this one is taken.
    is_ahead: bool,
}

/// What a walk waits for.
enum Ask {
    Nothing,
    Piece(Ticket),
    /// The offset asked for is out of range: first offset and end tell why.
    First(Ticket),
    End {
        first: i64,
        ticket: Ticket,
    },
    /// The log brought nothing: a moment later again.
    Later(Instant),
}

impl Walk {
    /// From `from` to `to`; `None`: the end that the log has at the first fetch.
    pub fn new(partition: i32, from: i64, to: Option<i64>) -> Walk {
        let from = from.max(0);
        Walk {
            partition,
            from,
            at: from,
            end: to,
            begins_behind: false,
            is_cut_back: false,
            ends_before: false,
            bytes_max: FETCH_BYTES,
            stalls: 0,
            asked: Ask::Nothing,
            is_ahead: false,
        }
    }

    /// With the next fetch under way while this one is taken, to read everything. Memory: twice
    /// as much.
    pub fn ahead(partition: i32, from: i64, to: i64) -> Walk {
        Walk { is_ahead: true, ..Walk::new(partition, from, Some(to)) }
    }

    /// Goes on as far as it can now, and hands what each fetch brings to `take`.
    ///
    /// Memory: a fetch (1 MiB, or the largest batch).
    pub fn step(&mut self, log: &mut dyn Log, take: &mut Taker<'_>) -> Result<Progress<()>, Fault> {
        loop {
            match self.asked {
                Ask::Nothing => {
                    if self.end.is_some_and(|end| self.at >= end) {
                        return Ok(Progress::Done(()));
                    }
                    self.asked =
                        Ask::Piece(log.ask_piece(self.partition, self.at, self.bytes_max)?);
                }
                Ask::Piece(ticket) => match log.take_piece(ticket)? {
                    Progress::Pending => return Ok(Progress::Pending),
                    Progress::Done(Piece::OutOfRange) => {
                        self.asked = Ask::First(log.ask_offset(self.partition, FIRST)?);
                    }
                    Progress::Done(Piece::Throttled) => self.asked = Ask::Nothing,
                    Progress::Done(Piece::Log { records, high_watermark }) => {
                        self.asked = Ask::Nothing;
                        let asked = self.ask_ahead(log, &records)?;
                        if !self.advance(&records, high_watermark, take)? {
                            return Ok(Progress::Done(()));
                        }
                        // What was taken ends where it seemed to, or something would be left out.
                        if asked.is_some_and(|asked| asked != self.at) {
                            return Err(Fault::Lost(format!(
                                "the log was read up to {}, which is not where the next question \
                                 began",
                                self.at
                            )));
                        }
                    }
                },
                Ask::First(ticket) => match log.take_offset(ticket)? {
                    Progress::Pending => return Ok(Progress::Pending),
                    Progress::Done(first) => {
                        let first = first.ok_or_else(|| untold(self.partition))?;
                        let ticket = log.ask_offset(self.partition, END)?;
                        self.asked = Ask::End { first, ticket };
                    }
                },
                Ask::End { first, ticket } => match log.take_offset(ticket)? {
                    Progress::Pending => return Ok(Progress::Pending),
                    Progress::Done(last) => {
                        self.asked = Ask::Nothing;
                        let last = last.ok_or_else(|| untold(self.partition))?;
                        // Behind the end: the log was cut back (or the topic is a new one), and
                        // nothing of ours is left behind the floor.
                        if self.at >= first && self.at > last {
                            self.is_cut_back = true;
                            self.ends_before |= self.from > last;
                            return Ok(Progress::Done(()));
                        }
                        let at = self.at;
                        self.stall(|| format!("offset {at} stays out of range"))?;
                        self.begins_behind |= self.at < first;
                        self.at = self.at.max(first);
                    }
                },
                Ask::Later(until) if Instant::now() < until => return Ok(Progress::Pending),
                Ask::Later(_) => self.asked = Ask::Nothing,
            }
        }
    }

    /// Asks for what comes behind these records, if it is to be read. Returns from where on.
    fn ask_ahead(&mut self, log: &mut dyn Log, records: &[u8]) -> Result<Option<i64>, Fault> {
        let Some(end) = self.end.filter(|_| self.is_ahead) else { return Ok(None) };
        let next = each_entry(records, self.at, &mut |_| Ok(()))?;
        if next <= self.at || next >= end {
            return Ok(None);
        }
        self.asked = Ask::Piece(log.ask_piece(self.partition, next, self.bytes_max)?);
        Ok(Some(next))
    }

    /// `false`: nothing more is wanted, or to be had.
    fn advance(
        &mut self,
        records: &[u8],
        high_watermark: i64,
        take: &mut Taker<'_>,
    ) -> Result<bool, Fault> {
        // An end that is none would make everything absent.
        if high_watermark < 0 {
            return Err(Fault::Lost(format!("the end of the log is given as {high_watermark}")));
        }
        self.end.get_or_insert(high_watermark);
        self.ends_before |= self.from > high_watermark;
        let at = self.at;
        let next = match take(records, at)? {
            Step::To(next) => next,
            Step::Enough => return Ok(false),
        };
        if next > at {
            self.at = next;
            self.stalls = 0;
            return Ok(true);
        }
        if at >= high_watermark {
            // The log was cut back behind the end that is walked to.
            return Ok(false);
        }
        self.stall(|| format!("offset {at} cannot be read"))?;
        match records.is_empty() {
            true => self.asked = Ask::Later(Instant::now() + STALL_PAUSE),
            false => self.bytes_max = larger(self.bytes_max, records)?,
        }
        Ok(true)
    }

    fn stall(&mut self, why: impl Fn() -> String) -> Result<(), Fault> {
        self.stalls += 1;
        if self.stalls > STALLS_MAX { Err(Fault::Lost(why())) } else { Ok(()) }
    }

    /// How long until it has something to do though nothing stirs.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self.asked {
            Ask::Later(until) => Some(until.saturating_duration_since(Instant::now())),
            // Not begun: as soon as one of those before it is done.
            _ => None,
        }
    }
}

/// Reads `partition` from `from` to `to` and hands what each fetch brings to `take`; waits for it.
pub fn walk<L: Log + Waits>(
    log: &mut L,
    partition: i32,
    from: i64,
    to: i64,
    take: &mut Taker<'_>,
) -> Result<(), Fault> {
    let mut walk = Walk::new(partition, from, Some(to));
    finish(log, |log| walk.step(log, take))
}

/// The same, see [`Walk::ahead`]. `take` takes all.
pub fn walk_ahead<L: Log + Waits>(
    log: &mut L,
    partition: i32,
    from: i64,
    to: i64,
    take: &mut Taker<'_>,
) -> Result<(), Fault> {
    let mut walk = Walk::ahead(partition, from, to);
    finish(log, |log| walk.step(log, take))
}

/// Hands the whole entries of a fetch that was asked for from `from` on to `take`, in order, but
/// for those that end before. Returns the offset to go on from.
///
/// # Errors
/// `Lost` with the offset at which the log cannot be read.
pub fn each_entry(
    records: &[u8],
    from: i64,
    take: &mut dyn FnMut(&Entry<'_>) -> Result<(), ReadError>,
) -> Result<i64, Fault> {
    let unreadable = |at: i64, why: &ReadError| {
        Fault::Lost(format!("the topic cannot be read at offset {at}: {why}"))
    };
    let mut rest = records;
    let mut at = from;
    while let Some(entry) = next_entry(&mut rest).map_err(|e| unreadable(at, &e))? {
        if entry.next_offset > from {
            take(&entry).map_err(|e| unreadable(entry.base_offset, &e))?;
            at = at.max(entry.next_offset);
        }
    }
    Ok(at)
}

/// Before Fetch v3 a broker cuts even the first message at the limit.
fn larger(bytes_max: usize, records: &[u8]) -> Result<usize, Fault> {
    let needed = first_entry_bytes(records).unwrap_or(0).max(bytes_max * 2);
    if bytes_max == FETCH_BYTES_MAX || needed > 2 * FETCH_BYTES_MAX {
        return Err(Fault::Lost(format!(
            "a batch of more than {FETCH_BYTES_MAX} bytes is in the topic"
        )));
    }
    Ok(needed.min(FETCH_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::super::batch::{Batch, Identity, Wire};
    use super::*;
    use crate::config::model::{Compression, ValueFormat};

    /// A log of batches of two records, one in each fetch, and how many pieces were asked for.
    struct Pairs {
        end: i64,
        at: i64,
        asked: Rc<Cell<usize>>,
    }

    const TICKET: Ticket = Ticket { partition: 0, lane: 0, correlation: 0, version: 0 };

    impl Log for Pairs {
        fn ask_piece(&mut self, _: i32, offset: i64, _: usize) -> Result<Ticket, Fault> {
            self.at = offset;
            self.asked.set(self.asked.get() + 1);
            Ok(TICKET)
        }

        fn take_piece(&mut self, _: Ticket) -> Result<Progress<Piece>, Fault> {
            let mut batch = Batch::new(Wire::Modern, ValueFormat::Bare, Compression::None);
            batch.begin(0, 1);
            ["a", "b"].iter().for_each(|value| batch.push(&[], value.as_bytes()));
            batch.seal(Identity::NONE, -1);
            let mut records = batch.sealed_bytes().to_vec();
            records[..8].copy_from_slice(&(self.at & !1).to_be_bytes());
            Ok(Progress::Done(Piece::Log { records, high_watermark: self.end }))
        }

        fn ask_offset(&mut self, _: i32, _: i64) -> Result<Ticket, Fault> {
            Ok(TICKET)
        }

        fn take_offset(&mut self, _: Ticket) -> Result<Progress<Option<i64>>, Fault> {
            Ok(Progress::Done(Some(0)))
        }
    }

    /// Answers with nothing at first, each time, as a broker does where a quota is used up.
    struct Throttling {
        log: Pairs,
        answers: u32,
    }

    impl Log for Throttling {
        fn ask_piece(&mut self, partition: i32, offset: i64, max: usize) -> Result<Ticket, Fault> {
            self.log.ask_piece(partition, offset, max)
        }

        fn take_piece(&mut self, ticket: Ticket) -> Result<Progress<Piece>, Fault> {
            self.answers += 1;
            match self.answers % (2 * STALLS_MAX) {
                0 => self.log.take_piece(ticket),
                _ => Ok(Progress::Done(Piece::Throttled)),
            }
        }

        fn ask_offset(&mut self, _: i32, _: i64) -> Result<Ticket, Fault> {
            Ok(TICKET)
        }

        fn take_offset(&mut self, _: Ticket) -> Result<Progress<Option<i64>>, Fault> {
            Ok(Progress::Done(Some(0)))
        }
    }

    /// However long that takes.
    #[test]
    fn what_a_quota_holds_back_is_asked_for_again() {
        for mut walk in [Walk::ahead(0, 1, 5), Walk::new(0, 1, Some(5))] {
            let log = Pairs { end: 6, at: 0, asked: Rc::default() };
            let mut log = Throttling { log, answers: 0 };
            let mut seen = Vec::new();
            let done = walk.step(&mut log, &mut |records, from| {
                seen.push(from);
                each_entry(records, from, &mut |_| Ok(())).map(Step::To)
            });
            assert!(matches!(done, Ok(Progress::Done(()))));
            assert_eq!(seen, [1, 2, 4]);
            assert_eq!(log.answers, 3 * 2 * STALLS_MAX);
        }
    }

    #[test]
    fn the_next_piece_is_on_its_way_while_one_is_taken() {
        for (is_ahead, expected) in
            [(false, [(1, 1), (2, 2), (4, 3)]), (true, [(1, 2), (2, 3), (4, 3)])]
        {
            let asked = Rc::new(Cell::new(0));
            let mut log = Pairs { end: 6, at: 0, asked: Rc::clone(&asked) };
            let mut walk = match is_ahead {
                true => Walk::ahead(0, 1, 5),
                false => Walk::new(0, 1, Some(5)),
            };
            let mut seen = Vec::new();
            let done = walk.step(&mut log, &mut |records, from| {
                seen.push((from, asked.get()));
                each_entry(records, from, &mut |_| Ok(())).map(Step::To)
            });
            assert!(matches!(done, Ok(Progress::Done(()))));
            assert_eq!(seen, expected, "ahead: {is_ahead}");
        }
    }

    #[test]
    fn what_is_taken_otherwise_than_it_was_asked_for_is_no_way_to_go_on() {
        let mut log = Pairs { end: 6, at: 0, asked: Rc::default() };
        let mut walk = Walk::ahead(0, 0, 6);
        let done = walk.step(&mut log, &mut |_, from| Ok(Step::To(from + 1)));
        assert!(matches!(done, Err(Fault::Lost(_))));
    }
}
