//! What was found out about the events of one file in one topic, and what is to be done with it.

/// One bit for each event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, at: u64) {
        let word = (at / 64) as usize;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (at % 64);
    }

    fn has(&self, at: u64) -> bool {
        self.0.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The place behind the last one that is set.
    fn end(&self) -> u64 {
        let last = self.0.iter().rposition(|word| *word != 0);
        last.map_or(0, |at| (at as u64 + 1) * 64 - u64::from(self.0[at].leading_zeros()))
    }
}

/// Of the events of one file. Memory: two bits for each event, of a finished file 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Marks {
    /// A file that is still to be read.
    Each(Each),
    /// A finished file: all of it was sent before it got its name, but perhaps what was written to
    /// its end since. Number of the first event that is absent, and behind the last that is there.
    End { first_absent: u64, there_end: u64 },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Each {
    there: Bits,
    common: Bits,
    /// Partitions, and the last of its events in each.
    latest: Vec<(i32, u64)>,
}

impl Marks {
    pub(crate) fn each() -> Marks {
        Marks::Each(Each::default())
    }

    pub(crate) fn end() -> Marks {
        Marks::End { first_absent: u64::MAX, there_end: 0 }
    }

    pub(crate) fn note_there(&mut self, event: u64, partition: i32) {
        match self {
            Marks::Each(each) => {
                each.there.set(event);
                match each.latest.iter_mut().find(|(p, _)| *p == partition) {
                    Some((_, latest)) => *latest = (*latest).max(event),
                    None => each.latest.push((partition, event)),
                }
            }
            Marks::End { there_end, .. } => *there_end = (*there_end).max(event + 1),
        }
    }

    pub(crate) fn note_absent(&mut self, event: u64) {
        if let Marks::End { first_absent, .. } = self {
            *first_absent = (*first_absent).min(event);
        }
    }

    pub(crate) fn note_common(&mut self, event: u64) {
        if let Marks::Each(each) = self {
            each.common.set(event);
        }
    }

    /// Which of `partitions` suits an event that is missing: the first one, counted from the `turn`th,
    /// in which none of the file stands that comes after it, or else the one that comes closest.
    pub(crate) fn suitable(&self, event: u64, partitions: &[i32], turn: usize) -> Option<i32> {
        let first = turn % partitions.len().max(1);
        let mut in_turn = partitions[first..].iter().chain(&partitions[..first]).copied();
        let closest = || partitions.iter().copied().min_by_key(|p| self.latest(*p));
        in_turn.find(|p| self.latest(*p) <= event).or_else(closest)
    }

    /// Those of `partitions` that suit it.
    pub(crate) fn all_suitable(&self, event: u64, partitions: &[i32]) -> Vec<i32> {
        let suitable = partitions.iter().copied().filter(|p| self.latest(*p) <= event).collect();
        match partitions {
            _ if !Vec::is_empty(&suitable) => suitable,
            partitions => self.suitable(event, partitions, 0).into_iter().collect(),
        }
    }

    /// The last event in a partition, where that is known.
    fn latest(&self, partition: i32) -> u64 {
        let Marks::Each(each) = self else { return 0 };
        let found = each.latest.iter().find(|(p, _)| *p == partition);
        found.map_or(0, |(_, latest)| *latest)
    }

    /// Is it known of this event that it is in the topic?
    pub(crate) fn has(&self, event: u64) -> bool {
        match self {
            Marks::Each(each) => each.there.has(event),
            Marks::End { first_absent, .. } => event < *first_absent,
        }
    }

    /// Behind this event nothing is in the topic. Of a finished file of which anything else than
    /// its end is missing, this is unknown: `None`.
    pub(crate) fn end_of_there(&self) -> Option<u64> {
        match self {
            Marks::Each(each) => Some(each.there.end()),
            Marks::End { first_absent, there_end } => {
                let lacks_end = *there_end > 0 && first_absent >= there_end;
                lacks_end.then_some(*first_absent)
            }
        }
    }

    /// Events that are in the topic, among the first `events`.
    pub(crate) fn count(&self, events: u64) -> u64 {
        match self {
            Marks::Each(each) => each.there.count(),
            Marks::End { first_absent, .. } => events.min(*first_absent),
        }
    }

    /// Events of which it could not be decided; they count as absent.
    pub(crate) fn undecided(&self) -> u64 {
        match self {
            Marks::Each(Each { there, common, .. }) => {
                let both = |(at, word): (usize, &u64)| {
                    let there = there.0.get(at).copied().unwrap_or(0);
                    u64::from((word & !there).count_ones())
                };
                common.0.iter().enumerate().map(both).sum()
            }
            Marks::End { .. } => 0,
        }
    }
}

/// A run of events that the same topics have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub events: u64,
    /// Topics that do not have them.
    pub lacking: Vec<u16>,
}

/// The first `end` events in runs, by what each topic has of them.
pub(crate) fn segments(topics: &[&Marks], end: u64) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut lacking = Vec::new();
    for event in 0..end {
        lacking.clear();
        lacking.extend((0..topics.len() as u16).filter(|at| !topics[usize::from(*at)].has(event)));
        match segments.last_mut() {
            Some(last) if last.lacking == lacking => last.events += 1,
            _ => segments.push(Segment { events: 1, lacking: lacking.clone() }),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_where_some_topic_differs() {
        let (mut one, mut two) = (Marks::each(), Marks::each());
        [0, 1, 2, 5, 70].into_iter().for_each(|n| one.note_there(n, 0));
        (0..4).for_each(|n| two.note_there(n, 0));
        assert_eq!((one.end_of_there(), two.end_of_there()), (Some(71), Some(4)));
        let all = segments(&[&one, &two], 71);
        let expected: [(u64, &[u16]); 5] =
            [(3, &[]), (1, &[0]), (1, &[0, 1]), (1, &[1]), (64, &[0, 1])];
        for (segment, (events, lacking)) in all.iter().zip(expected) {
            assert_eq!((segment.events, &segment.lacking[..]), (events, lacking));
        }
        assert_eq!(all.last().unwrap(), &Segment { events: 1, lacking: vec![1] });
        assert_eq!(segments(&[&Marks::each()], 0), []);
    }

    #[test]
    fn of_a_finished_file_only_the_end_is_missed() {
        let mut whole = Marks::end();
        (0..9).for_each(|n| whole.note_there(n, 0));
        assert_eq!(whole.end_of_there(), Some(u64::MAX));
        let mut late = whole.clone();
        late.note_absent(9);
        late.note_absent(10);
        assert_eq!(late.end_of_there(), Some(9));
        // A line in its middle went to the dead letters, or retention took its beginning.
        let mut other = whole.clone();
        other.note_absent(4);
        assert_eq!(other.end_of_there(), None);
        assert_eq!(Marks::end().end_of_there(), None);
    }

    #[test]
    fn a_missing_event_goes_where_no_later_one_stands() {
        let mut marks = Marks::each();
        [(0, 0), (1, 1), (3, 0), (5, 2)].into_iter().for_each(|(n, p)| marks.note_there(n, p));
        assert_eq!(marks.suitable(2, &[0, 1, 2], 0), Some(1));
        assert_eq!(marks.suitable(2, &[0, 1, 2], 1), Some(1));
        assert_eq!(marks.suitable(4, &[0, 1, 2], 1), Some(1));
        assert_eq!(marks.suitable(4, &[0, 1, 2], 0), Some(0));
        assert_eq!(marks.suitable(2, &[0, 2], 0), Some(0));
        assert_eq!(marks.all_suitable(4, &[0, 1, 2]), [0, 1]);
        assert_eq!(marks.all_suitable(2, &[0, 2]), [0]);
    }
}
