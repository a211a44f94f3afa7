//! What is announced and not yet folded, in the order in which it was announced.
//!
//! Batches are split, joined and dropped while others are being worked on, so that places on the list shift.
//! Nothing outside of this module has such a place: it has a [`Ticket`], which is of one batch for ever.

use std::ops::{Deref, DerefMut, Index, IndexMut};

use super::doubt::Announced;

/// One batch on the list: its number, by which it is found, and the place at which it was last seen, which saves
/// the search where nothing has shifted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    id: u64,
    place: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Announcements {
    list: Vec<Announced>,
    /// Number of the last one that got one.
    last_id: u64,
}

impl Announcements {
    /// Puts a batch behind all others.
    pub(super) fn push(&mut self, announced: Announced) -> Ticket {
        self.insert(self.list.len(), announced)
    }

    /// Puts a batch right behind that of the ticket.
    pub(super) fn push_behind(&mut self, before: Ticket, announced: Announced) -> Ticket {
        self.insert(self.place(before) + 1, announced)
    }

    fn insert(&mut self, place: usize, mut announced: Announced) -> Ticket {
        self.last_id += 1;
        announced.id = self.last_id;
        self.list.insert(place, announced);
        Ticket { id: self.last_id, place }
    }

    /// Another batch has the place, and the ticket, from now on.
    pub(super) fn replace(&mut self, ticket: Ticket, announced: Announced) {
        self[ticket] = Announced { id: ticket.id, ..announced };
    }

    /// Those of all batches for which `is_it` holds, in order.
    pub(super) fn tickets(&self, is_it: impl Fn(&Announced) -> bool) -> Vec<Ticket> {
        let all = self.list.iter().enumerate().filter(|(_, announced)| is_it(announced));
        all.map(|(place, announced)| Ticket { id: announced.id, place }).collect()
    }

    /// That of the first one.
    pub(super) fn find(&self, is_it: impl FnMut(&Announced) -> bool) -> Option<Ticket> {
        let place = self.list.iter().position(is_it)?;
        Some(Ticket { id: self.list[place].id, place })
    }

    /// What stands before a batch.
    pub(super) fn before(&self, ticket: Ticket) -> &[Announced] {
        &self.list[..self.place(ticket)]
    }

    /// Takes all of them off the list.
    pub(super) fn take(&mut self) -> Vec<Announced> {
        std::mem::take(&mut self.list)
    }

    /// Makes the list of what was [taken](Announcements::take) off it, or a part of that.
    pub(super) fn put_back(&mut self, list: Vec<Announced>) {
        debug_assert!(self.list.is_empty() && list.iter().all(|announced| announced.id > 0));
        self.list = list;
    }

    /// Takes those off it over which positions have moved.
    pub(super) fn drop_folded(&mut self) {
        self.list.retain(|announced| !announced.is_folded);
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    fn place(&self, ticket: Ticket) -> usize {
        let is_it = |announced: &Announced| announced.id == ticket.id;
        match self.list.get(ticket.place) {
            Some(announced) if is_it(announced) => ticket.place,
            _ => self.list.iter().position(is_it).unwrap_or_else(|| not_announced(ticket)),
        }
    }
}

/// Whoever drops a batch has no use for its ticket: that which has its place by now is another one, and to
/// note there what became of this one would lose its lines, or repeat them.
fn not_announced(ticket: Ticket) -> ! {
    panic!("announcement {} is not on the list any more", ticket.id)
}

impl Index<Ticket> for Announcements {
    type Output = Announced;

    /// It has to be on the list.
    fn index(&self, ticket: Ticket) -> &Announced {
        &self.list[self.place(ticket)]
    }
}

impl IndexMut<Ticket> for Announcements {
    fn index_mut(&mut self, ticket: Ticket) -> &mut Announced {
        let place = self.place(ticket);
        &mut self.list[place]
    }
}

impl Deref for Announcements {
    type Target = [Announced];

    fn deref(&self) -> &[Announced] {
        &self.list
    }
}

impl DerefMut for Announcements {
    fn deref_mut(&mut self) -> &mut [Announced] {
        &mut self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::BatchRecord;

    fn of(start: u64) -> Announced {
        Announced::inherited(BatchRecord { start, ..BatchRecord::default() })
    }

    #[test]
    fn a_ticket_is_of_one_batch_however_places_shift() {
        let mut list = Announcements::default();
        let (a, b) = (list.push(of(0)), list.push(of(10)));
        let between = list.push_behind(a, of(5));
        let starts = |list: &Announcements| -> Vec<u64> {
            list.iter().map(|announced| announced.record.start).collect()
        };
        assert_eq!(starts(&list), [0, 5, 10]);
        assert_eq!((list[a].record.start, list[b].record.start), (0, 10));
        list.replace(b, of(11));
        let kept: Vec<Announced> = list.take().into_iter().skip(1).collect();
        list.put_back(kept);
        assert_eq!((list[between].record.start, list[b].record.start), (5, 11));
        assert_eq!(starts(&list), [5, 11]);
        assert_eq!(list.before(b).len(), 1);
        let found = list.find(|announced| announced.record.start == 11).unwrap();
        assert_eq!(list.before(found).len(), 1);
        assert_eq!(list.tickets(|announced| announced.record.start > 5).len(), 1);
    }

    #[test]
    #[should_panic(expected = "not on the list any more")]
    fn what_was_dropped_has_no_place() {
        let mut list = Announcements::default();
        let (a, _) = (list.push(of(0)), list.push(of(10)));
        let kept: Vec<Announced> = list.take().into_iter().skip(1).collect();
        list.put_back(kept);
        let _ = &list[a];
    }
}
