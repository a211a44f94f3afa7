//! Batches that were announced and are not yet folded into the files' positions: those in doubt, and those
//! that are in the topic but stand behind one in doubt.

use super::Pipeline;
use super::announced::Ticket;
use crate::channel::batch::Batch;
use crate::checkpoint::record::{BatchRecord, Fate, Mark, OffsetRange, TAIL_BYTES};
use crate::source::Handle;

/// A batch that was announced, with its encoding unless an earlier run made it.
pub(crate) struct Announced {
    /// Given by the list.
    pub(super) id: u64,
    pub record: BatchRecord,
    pub encoded: Option<Batch>,
    /// Number of the round that it went out with; 0 for what an earlier run announced.
    pub round: u64,
    pub copies: Copies,
    /// The topic refuses the times that its records have of their own: they get that of the batch.
    pub(super) levels_times: bool,
    /// Its file's position has moved over it: it goes off the list.
    pub(super) is_folded: bool,
    /// As the record has it that is on the disk: set where that is written, and nowhere else.
    pub(super) on_disk: Option<BatchRecord>,
}

/// What may still come of a batch in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    /// Nothing: none was sent, or each was answered with a refusal.
    None,
    /// One was sent that has not been answered.
    One,
    /// Other copies, or it is not known.
    Any,
    /// Earlier ones than the last, which was refused: nothing more is sent before these would have shown.
    Earlier,
}

impl Copies {
    /// One more is sent.
    pub(super) fn sent(self) -> Copies {
        if self == Copies::None { Copies::One } else { Copies::Any }
    }

    /// The last that was sent is refused.
    pub(super) fn refused(self) -> Copies {
        if self == Copies::One { Copies::None } else { self }
    }
}

impl Announced {
    /// One that no record on the disk holds yet.
    pub(super) fn new(
        record: BatchRecord,
        encoded: Option<Batch>,
        round: u64,
        copies: Copies,
    ) -> Announced {
        let (levels_times, is_folded, on_disk) = (false, false, None);
        Announced { id: 0, record, encoded, round, copies, levels_times, is_folded, on_disk }
    }

    /// One that was read from the disk.
    pub(super) fn inherited(record: BatchRecord) -> Announced {
        let on_disk = Some(record.clone());
        Announced { on_disk, ..Announced::new(record, None, 0, Copies::Any) }
    }

    /// Is it on the disk as it would be sent? Nothing else may go out.
    pub(super) fn is_on_disk(&self) -> bool {
        self.on_disk.as_ref() == Some(&self.record)
    }

    /// Was it, or what it is a part of, announced by an earlier run?
    pub(super) fn is_inherited(&self) -> bool {
        self.round == 0
    }

    pub(super) fn encoded_bytes(&self) -> usize {
        self.encoded.as_ref().map_or(0, Batch::size)
    }
}

impl Pipeline {
    /// Moves the files' positions over everything that all channels have acknowledged, and drops
    /// the batches that lie before them.
    pub(super) fn fold(&mut self) {
        let mut has_folded = false;
        while let Some(at) = self.next_foldable() {
            self.fold_one(at);
            has_folded = true;
        }
        if has_folded {
            // At once: each that goes moves those behind it.
            self.announced.drop_folded();
        }
        self.join_acked();
    }

    /// See [`is_foldable`]. What is looked for by its content waits until it is found.
    fn next_foldable(&self) -> Option<Ticket> {
        let is_next = |b: &BatchRecord| {
            let is_waited_for =
                self.files.is_sought(b.file) && self.files.handle_of(b.file).is_none();
            !is_waited_for && self.files.record(b.file).is_none_or(|r| r.position == b.start)
        };
        self.announced.find(|a| !a.is_folded && is_foldable(&self.announced, a, is_next))
    }

    fn fold_one(&mut self, at: Ticket) {
        let now_ms = self.clock.monotonic_ms();
        let lead = self.announced[at].record.clone();
        self.is_dirty = true;
        // Here, not at each ack: only now every channel has them. Where headers decide, the batch that was
        // announced first of a range may have gone nowhere beside others that arrived.
        let is_there = |a: &Announced| {
            let b = &a.record;
            let is_of_it = (b.file, b.start, b.end) == (lead.file, lead.start, lead.end);
            is_of_it && !a.is_folded && matches!(b.fate, Fate::At(_))
        };
        if lead.fate == Fate::Spread {
            // They were counted as batches when they became one.
            self.counters.events_accepted += u64::from(lead.count);
        } else if self.announced.iter().any(is_there) {
            self.counters.events_accepted += u64::from(lead.range_events());
            self.counters.batches_accepted += 1;
        }
        self.counters.bytes_passed += lead.end - lead.start;
        self.counters.lines_passed += lead.lines;
        if let Some(handle) = self.files.handle_of(lead.file) {
            self.files.at_mut(handle).note_position(now_ms);
            self.note_delivery(handle, lead.stamp_ms);
        }
        // Also of a file that is not open now: what was found in the topic is not sent again.
        if let Some(record) = self.files.record_mut(lead.file) {
            record.position = lead.end;
            record.skips_line = false;
            record.lines += lead.lines;
            record.events += u64::from(lead.range_events());
            record.bytes_crc = combine_crc(record.bytes_crc, lead.bytes_crc, lead.end - lead.start);
            record.tail_crc = lead.tail_crc;
            record.tail_len = lead.end.min(TAIL_BYTES as u64) as u32;
        }
        if let Some(handle) = self.files.handle_of(lead.file) {
            self.files.at_mut(handle).update_head();
        }
        for announced in self.announced.iter_mut() {
            let b = &announced.record;
            if b.file == lead.file
                && b.end <= lead.end
                && !b.fate.is_in_doubt()
                && !announced.is_folded
            {
                announced.is_folded = true;
                if let Some(record) = self.files.record_mut(b.file) {
                    add_range(&mut record.ranges, b);
                }
            }
        }
    }

    /// Bytes that were read at `stamp_ms` (Unix time) are delivered. They were written before that, and
    /// not after the last write to the file.
    fn note_delivery(&mut self, handle: Handle, stamp_ms: i64) {
        let tracked = self.files.at(handle);
        let written_ms = tracked.last_written_ms().map_or(stamp_ms, |ms| ms.min(stamp_ms));
        let ms = u64::try_from(self.clock.now_ms().saturating_sub(written_ms)).unwrap_or(0);
        self.delivery[usize::from(!self.files.is_live(handle))].note(ms);
    }
}

/// Is it a batch for which it is time by `is_next` (it begins at its file's position), and up to whose end every
/// channel has everything that was announced for it? Any channel's: one that was added since has
/// nothing there.
fn is_foldable(
    announced: &[Announced],
    one: &Announced,
    is_next: impl Fn(&BatchRecord) -> bool,
) -> bool {
    let b = &one.record;
    let is_doubt_in = |o: &BatchRecord| o.file == b.file && o.start < b.end && o.fate.is_in_doubt();
    // Most of what is next is in doubt itself.
    !b.fate.is_in_doubt() && is_next(b) && !announced.iter().any(|other| is_doubt_in(&other.record))
}

/// Does each byte that was announced from `first_new` on belong to one batch of its channel? Batches that
/// divide a range by its events' headers have each their share of it.
pub(super) fn are_announced_once(announced: &[Announced], first_new: usize) -> bool {
    let is_apart = |new: &BatchRecord, old: &BatchRecord| {
        let is_divided = (new.start, new.end) == (old.start, old.end)
            && matches!((new.share, old.share), (Some(new), Some(old)) if new.of != old.of);
        (new.channel, new.file) != (old.channel, old.file)
            || new.end <= old.start
            || old.end <= new.start
            || is_divided
    };
    (first_new..announced.len()).all(|at| {
        let new = &announced[at].record;
        announced[..at].iter().all(|old| is_apart(new, &old.record))
    })
}

/// How many batches in doubt a partition of a channel has, if the round that begins with the
/// announcement `first_new` may hold one for it: one of a round at most.
pub(super) fn doubts_before(
    announced: &[Announced],
    first_new: usize,
    (channel, partition): (usize, i32),
) -> Option<usize> {
    let there = announced.iter().enumerate().filter(|(_, a)| {
        usize::from(a.record.channel) == channel
            && a.record.partition == partition
            && a.record.fate.is_in_doubt()
    });
    let is_in_round = there.clone().any(|(n, _)| n >= first_new);
    (!is_in_round).then(|| there.count())
}

/// By which the log is known again in which a batch stands.
pub(super) fn mark(batch: &BatchRecord, offset: i64) -> Mark {
    Mark {
        offset,
        producer_id: batch.producer_id,
        producer_epoch: batch.producer_epoch,
        base_sequence: batch.base_sequence,
        count: batch.count,
        values_crc: batch.values_crc,
        first_crc: batch.first_crc,
    }
}

/// CRC-32 of two runs of bytes one behind the other.
pub(super) fn combine_crc(first: u32, second: u32, second_len: u64) -> u32 {
    let mut whole = crc32fast::Hasher::new_with_initial(first);
    whole.combine(&crc32fast::Hasher::new_with_initial_len(second, second_len));
    whole.finalize()
}

/// Extends the file's range of offsets in the batch's partition.
pub(super) fn add_range(ranges: &mut Vec<OffsetRange>, batch: &BatchRecord) {
    // What was found by its values has no batch: where it stands is in the file's record already.
    let Some(first) = batch.fate.offset().filter(|_| batch.count > 0) else { return };
    let last = first + i64::from(batch.count) - 1;
    let events = u64::from(batch.count);
    merge_range(
        ranges,
        OffsetRange {
            channel: batch.channel,
            partition: batch.partition,
            producer_id: batch.producer_id,
            first,
            last,
            events,
        },
    );
}

/// Adds `new` to the range of its channel, partition and producer id.
pub(super) fn merge_range(ranges: &mut Vec<OffsetRange>, new: OffsetRange) {
    let key = |r: &OffsetRange| (r.channel, r.partition, r.producer_id);
    match ranges.iter_mut().find(|r| key(r) == key(&new)) {
        Some(range) => {
            range.first = range.first.min(new.first);
            range.last = range.last.max(new.last);
            range.events += new.events;
        }
        None => ranges.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::Share;
    use crate::pipeline::start::reached;

    #[test]
    fn the_crc_of_a_file_is_that_of_its_slices_in_order() {
        let (a, b) = (b"first slice\n".as_slice(), b"and the second\n".as_slice());
        let whole = crc32fast::hash(&[a, b].concat());
        let combined = combine_crc(crc32fast::hash(a), crc32fast::hash(b), b.len() as u64);
        assert_eq!(combined, whole);
        assert_eq!(combine_crc(0, crc32fast::hash(a), a.len() as u64), crc32fast::hash(a));
    }

    fn announced(channel: u16, start: u64, end: u64, fate: Fate) -> Announced {
        let record = BatchRecord { channel, file: 1, start, end, fate, ..BatchRecord::default() };
        Announced::inherited(record)
    }

    /// Of the invariants in docs/design.md the second.
    #[test]
    fn a_byte_is_announced_once_for_each_channel_until_a_position_has_moved_over_it() {
        let list = || {
            vec![
                announced(0, 0, 10, Fate::At(5)),
                announced(1, 0, 10, Fate::InDoubt),
                announced(0, 10, 20, Fate::InDoubt),
                announced(1, 10, 20, Fate::Nowhere),
            ]
        };
        let with = |new: BatchRecord| {
            let mut list = list();
            list.push(Announced::inherited(new));
            are_announced_once(&list, 4)
        };
        let new =
            |channel: u16, start: u64, end: u64| announced(channel, start, end, Fate::InDoubt);
        assert!(are_announced_once(&list(), 0));
        // A start reads on behind the furthest batch of any channel, be it in doubt or not.
        assert_eq!(reached(&list(), 1).map(|reached| reached.end), Some(20));
        assert!(with(new(0, 20, 30).record) && with(new(1, 20, 30).record));
        for (start, end) in [(0, 10), (5, 15), (9, 30), (19, 21), (10, 20)] {
            assert!(!with(new(0, start, end).record), "{start}-{end}");
            assert!(!with(new(1, start, end).record), "{start}-{end}");
        }
        // Another file's bytes are others, and a channel that was added has nothing there.
        assert!(with(BatchRecord { file: 2, ..new(0, 0, 10).record }));
        assert!(with(new(2, 0, 10).record));
    }

    #[test]
    fn an_event_belongs_to_one_share_of_its_range() {
        let share = |of: i32, end: u64| {
            let share =
                Share { rule: 1, partitions: 4, of, has_free: false, read_ms: 1, events: 9 };
            let record = announced(0, 0, end, Fate::InDoubt).record;
            Announced::inherited(BatchRecord { share: Some(share), ..record })
        };
        assert!(are_announced_once(&[share(0, 10), share(3, 10)], 0));
        assert!(!are_announced_once(&[share(0, 10), share(0, 10)], 0));
        assert!(!are_announced_once(&[share(0, 10), share(3, 12)], 0));
        assert!(!are_announced_once(&[share(0, 10), announced(0, 0, 10, Fate::InDoubt)], 0));
    }

    #[test]
    fn a_position_moves_over_what_every_channel_has_and_nothing_else() {
        let at_position = |position: u64| move |b: &BatchRecord| b.start == position;
        let next_foldable = |list: &[Announced], position: u64| {
            list.iter().position(|one| is_foldable(list, one, at_position(position)))
        };
        let mut list = vec![
            announced(0, 0, 10, Fate::At(5)),
            announced(1, 0, 10, Fate::InDoubt),
            announced(0, 10, 20, Fate::At(7)),
            announced(1, 10, 20, Fate::At(3)),
        ];
        assert_eq!(next_foldable(&list, 0), None);
        // What stands behind it is not reached before it.
        list[1].record.fate = Fate::Nowhere;
        assert_eq!(next_foldable(&list, 0), Some(0));
        // Another file's doubts hold nothing up, and what is behind is no part of it.
        list[3].record.fate = Fate::InDoubt;
        assert_eq!(next_foldable(&list, 0), Some(0));
        assert_eq!(next_foldable(&list, 10), None);
        list[3].record.file = 2;
        list.drain(..2);
        assert!(is_foldable(&list, &list[0], |b| b.file == 1));
    }
}
