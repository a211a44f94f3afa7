//! A channel that the source has no longer. What was announced there is not looked for any more, and yet a position
//! has to cross its ranges: it moves from the end of one range to the beginning of the next, and a range may have
//! been announced for that channel alone, or for none and noted under its number (every line was filtered out).

use std::collections::HashMap;

use super::doubt::add_range;
use crate::checkpoint::record::{BatchRecord, Fate, Record};

/// Gives all batches the place that their channel has now. `new_place`: `None` where it is gone.
pub(super) fn leave_channels(record: &mut Record, new_place: impl Fn(u16) -> Option<u16>) {
    let (mut kept, mut left) = (Vec::with_capacity(record.batches.len()), Vec::new());
    for mut batch in std::mem::take(&mut record.batches) {
        match new_place(batch.channel) {
            Some(new) => {
                batch.channel = new;
                kept.push(batch);
            }
            None => left.push(batch),
        }
    }
    for file in &mut record.files {
        file.ranges.retain_mut(|range| match new_place(range.channel) {
            Some(new) => {
                range.channel = new;
                true
            }
            None => false,
        });
    }
    record.batches = kept;
    if !left.is_empty() {
        // Behind what others have announced nothing is crossed: it is read again, for the channels that there are.
        let mut ends: HashMap<u64, u64> = HashMap::new();
        for batch in &record.batches {
            let end = ends.entry(batch.file).or_default();
            *end = batch.end.max(*end);
        }
        fold_straddling(record);
        bridge(record, left, &ends);
    }
}

/// A channel whose batch was split has brought a position into the middle of another one's batch, which is in the
/// topic: it waits for nothing but the parts behind that position.
fn fold_straddling(record: &mut Record) {
    let Record { files, batches, .. } = record;
    batches.retain(|batch| {
        let its = files.iter_mut().find(|file| {
            file.id == batch.file && batch.start < file.position && file.position < batch.end
        });
        match its {
            Some(file) if !batch.fate.is_in_doubt() => {
                add_range(&mut file.ranges, batch);
                false
            }
            _ => true,
        }
    });
}

/// Where a position comes to a range that no other channel has, what is left behind stays announced, as a range
/// of which nothing is in doubt. No two that are announced overlap for that: what follows one another is joined.
/// `until`: of each file, where what other channels have announced ends.
fn bridge(record: &mut Record, left: Vec<BatchRecord>, until: &HashMap<u64, u64>) {
    let key = |batch: &BatchRecord| (batch.file, batch.start);
    let ends: HashMap<(u64, u64), u64> = record.batches.iter().map(|b| (key(b), b.end)).collect();
    let mut left: HashMap<(u64, u64), BatchRecord> =
        left.into_iter().map(|batch| (key(&batch), batch)).collect();
    for file in &record.files {
        let (mut at, end) = (file.position, until.get(&file.id).copied().unwrap_or(0));
        while at < end {
            if let Some(end) = ends.get(&(file.id, at)).filter(|end| **end > at) {
                at = *end;
                continue;
            }
            let Some(batch) = left.remove(&(file.id, at)) else { break };
            at = batch.end;
            record.batches.push(void(batch));
        }
    }
}

/// It counts as its file's events like any other of the range would.
fn void(batch: BatchRecord) -> BatchRecord {
    BatchRecord {
        channel: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count: batch.range_events(),
        fate: Fate::Nowhere,
        share: None,
        ..batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::{FileRecord, OffsetRange, Share};

    fn batch(channel: u16, start: u64, end: u64, fate: Fate) -> BatchRecord {
        let count = u32::try_from(end - start).expect("small");
        BatchRecord { channel, file: 1, start, end, count, fate, ..BatchRecord::default() }
    }

    /// Channel 0 is removed; what is announced then, and how many events of it are none in doubt.
    fn removed(position: u64, batches: Vec<BatchRecord>) -> (Vec<BatchRecord>, Vec<OffsetRange>) {
        let file = FileRecord { id: 1, position, ..FileRecord::default() };
        let mut record = Record { batches, files: vec![file], ..Record::default() };
        leave_channels(&mut record, |channel| channel.checked_sub(1));
        (record.batches, record.files.remove(0).ranges)
    }

    /// Channel, range and fate of each.
    fn told(batches: &[BatchRecord]) -> Vec<(u16, u64, u64, u32, Fate)> {
        batches.iter().map(|b| (b.channel, b.start, b.end, b.count, b.fate)).collect()
    }

    #[test]
    fn what_no_other_channel_has_stays_announced_and_holds_nothing() {
        let filtered = BatchRecord { count: 0, ..batch(0, 10, 20, Fate::Nowhere) };
        let (batches, _) = removed(
            0,
            vec![
                batch(0, 0, 10, Fate::InDoubt),
                batch(1, 0, 10, Fate::At(3)),
                filtered,
                batch(0, 20, 30, Fate::At(7)),
                batch(0, 30, 40, Fate::InDoubt),
                batch(1, 30, 40, Fate::InDoubt),
            ],
        );
        let expected = [
            (0, 0, 10, 10, Fate::At(3)),
            (0, 30, 40, 10, Fate::InDoubt),
            (0, 10, 20, 0, Fate::Nowhere),
            (0, 20, 30, 10, Fate::Nowhere),
        ];
        assert_eq!(told(&batches), expected);
        assert_eq!(batches[3].base_sequence, -1);
    }

    /// Several batches of a channel divide a range, and it was split.
    #[test]
    fn a_range_that_headers_divide_is_crossed_once() {
        let share = |start: u64, end: u64, of: i32, events: u32| {
            let share = Share { rule: 1, partitions: 2, of, has_free: false, read_ms: 1, events };
            BatchRecord { share: Some(share), ..batch(0, start, end, Fate::InDoubt) }
        };
        let divided = vec![share(0, 4, 0, 0), share(4, 10, 0, 7), share(0, 10, 1, 7)];
        let (mut batches, _) =
            removed(0, [divided, vec![batch(1, 10, 20, Fate::InDoubt)]].concat());
        assert_eq!(batches.remove(0).start, 10);
        let events: u32 = batches.iter().map(|batch| batch.count).sum();
        assert_eq!((events, batches.last().map(|batch| batch.end)), (7, Some(10)));
        assert!(batches.iter().all(|b| b.fate == Fate::Nowhere && b.share.is_none()));
        assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    /// What was to go to the channel alone goes where the others go, and is not crossed.
    #[test]
    fn lines_that_a_removed_channel_alone_had_at_the_end_are_read_again() {
        assert_eq!(removed(0, vec![batch(0, 0, 10, Fate::InDoubt)]), (vec![], vec![]));
        let both = vec![
            batch(0, 0, 10, Fate::InDoubt),
            batch(1, 0, 10, Fate::At(3)),
            batch(0, 10, 20, Fate::InDoubt),
        ];
        let (batches, _) = removed(0, both);
        assert_eq!(told(&batches), [(0, 0, 10, 10, Fate::At(3))]);
    }

    /// The position stands within the other channel's batch.
    #[test]
    fn what_was_split_and_is_behind_the_position_is_crossed() {
        let (batches, ranges) =
            removed(4, vec![batch(0, 4, 10, Fate::InDoubt), batch(1, 0, 10, Fate::At(20))]);
        assert_eq!(told(&batches), [(0, 4, 10, 6, Fate::Nowhere)]);
        let range =
            OffsetRange { channel: 0, first: 20, last: 29, events: 10, ..OffsetRange::default() };
        assert_eq!(ranges, [range]);
        // While the other is in doubt, nothing has moved into it.
        let (batches, _) = removed(
            0,
            vec![
                batch(0, 0, 4, Fate::At(9)),
                batch(0, 4, 10, Fate::InDoubt),
                batch(1, 0, 10, Fate::InDoubt),
            ],
        );
        assert_eq!(told(&batches), [(0, 0, 10, 10, Fate::InDoubt)]);
    }
}
