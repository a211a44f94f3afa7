//! What need not be in a topic though somebody wrote it: see the table in `model`.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use flume_ng::checkpoint::receipt;
use flume_ng::checkpoint::record::{FileRecord, FileState, Record};
use flume_ng::checkpoint::slots::{Opened, Slots};
use flume_ng::clock::Clock;
use flume_ng::source::tracked::Tracked;

use super::{PROOF_BYTES, Renumbering, World};
use crate::cluster::Cluster;
use crate::crash_store::CrashStore;
use crate::model;
use crate::writers::Inode;

impl World {
    /// Bodies that are where they belong, in every topic that requires them.
    fn delivered(&self) -> HashSet<Vec<u8>> {
        let (here, division) = (self.arrived(), self.scenario.division);
        let is_everywhere = |body: &&Vec<u8>| {
            let mut topics = here.iter().enumerate();
            topics.all(|(at, here)| here.contains(*body) || !division.requires(at, body))
        };
        here.iter().flatten().filter(is_everywhere).cloned().collect()
    }

    /// Bodies in each topic, and among the dead letters for it.
    pub(super) fn arrived(&self) -> Vec<HashSet<Vec<u8>>> {
        let book = self.book.borrow();
        let of_cluster = |cluster: &Rc<RefCell<Cluster>>| {
            let cluster = cluster.borrow();
            let sent = model::bodies(&cluster);
            sent.chain(model::letters(&book, &cluster.name)).map(model::without_zeros).collect()
        };
        self.clusters.iter().map(of_cluster).collect()
    }

    /// What has not arrived of this content, from byte `from` on, need not any more.
    pub fn excuse(&mut self, generation: usize, from: u64) {
        let delivered = self.delivered();
        self.writers.excuse(generation, from, |text| delivered.contains(text));
    }

    /// A line that was sent as the file's last, without its newline, may get one later all the
    /// same: it will not be there as a whole.
    pub fn excuse_sent_half(&mut self, inode: usize) {
        let generation = self.writers.inodes[inode].generation;
        let Some(open) = &self.writers.generations[generation].open else { return };
        let half = open.text[..open.written].to_vec();
        let is_sent = self.is_announced_as_last(inode) || self.delivered().contains(&half);
        let is_delivered = open.written > 0 && is_sent;
        let alone_ms = self.clock.monotonic_ms() - self.writers.inodes[inode].written_ms;
        // One that was there before the last write was judged then; and where the clock has jumped its stamp
        // says that it was left alone for long.
        let may_be_early = open.is_optional || self.scenario.is_spooled() && self.has_jumped;
        if is_delivered && !may_be_early && alone_ms < self.scenario.half_ms() {
            self.torn.get_or_insert(format!(
                "half a line was sent {alone_ms} ms after it was written: {}",
                String::from_utf8_lossy(&half)
            ));
        }
        if is_delivered && let Some(open) = &mut self.writers.generations[generation].open {
            open.is_optional = true;
        }
    }

    /// After a start: files that neither have a candidate's name nor stand in the checkpoint are
    /// out of the agent's sight.
    pub fn excuse_unknown(&mut self, record: Option<&Record>) {
        self.excuse_last_lines(record);
        let places = self.writers.places();
        for at in 0..self.writers.inodes.len() {
            let inode = &self.writers.inodes[at];
            let (number, generation) = (inode.number, inode.generation);
            let known = record.and_then(|r| {
                let mut of_inode = r.files.iter().filter(|f| f.inode == number);
                let file = of_inode.find(|f| f.state != FileState::Superseded)?;
                // By its first bytes it is known; a shorter file may have been truncated, unless its
                // numbers say nothing.
                let content = &self.writers.generations[generation].content;
                let head = content.get(..file.head_len as usize);
                let is_copied = self.is_renumbered_as_copy;
                if head.map_or(is_copied, |head| crc32fast::hash(head) != file.head_crc) {
                    return None;
                }
                let last = r.batches.iter().find(|b| b.file == file.id && b.is_final);
                Some(last.map(|b| b.end))
            });
            match known {
                Some(Some(end)) if places.contains_key(&number) => self.excuse(generation, end),
                Some(None) if places.contains_key(&number) => {}
                _ if self.writers.is_candidate_now(&places, number) => {}
                _ => self.excuse(generation, 0),
            }
        }
    }

    /// Was a file renamed, unseen, of which nothing else would tell what it is in a copied state? So little was
    /// read of it, or it was finished: under another name it would be a copy of a finished file.
    pub(super) fn has_unknown(&self, record: &Record) -> bool {
        let places = self.writers.places();
        let has_other_name = |file: &FileRecord| {
            let place = places.get(&file.inode).map(|place| place.as_os_str().as_bytes());
            place.is_some_and(|at| !at.ends_with(&file.name) && !at.ends_with(&file.current_name))
        };
        let is_in_state = |inode: u64| record.files.iter().any(|file| file.inode == inode);
        let book = self.book.borrow();
        let kept = book.receipts.iter().filter(|r| r.state != FileState::Superseded);
        let newest: HashMap<u64, &FileRecord> = kept.map(|r| (r.inode, r)).collect();
        let is_unknown = |(inode, receipt): (&u64, &&FileRecord)| {
            let is_candidate = self.writers.is_candidate_now(&places, *inode);
            is_candidate && !is_in_state(*inode) && has_other_name(receipt)
        };
        newest.iter().any(is_unknown)
            || record.files.iter().any(|f| f.position < PROOF_BYTES && has_other_name(f))
    }

    /// What was announced as the last line of a file gets its other half later: another file with the same
    /// bytes may have its place by then.
    fn excuse_last_lines(&mut self, record: Option<&Record>) {
        let batches = record.into_iter().flat_map(|r| &r.batches).filter(|b| b.is_final);
        for batch in batches {
            let range = batch.start as usize..batch.end as usize;
            for generation in &mut self.writers.generations {
                let bytes = generation.content.get(range.clone());
                if bytes.is_some_and(|bytes| crc32fast::hash(bytes) == batch.bytes_crc) {
                    generation.excuse_line_at(batch.end);
                }
            }
        }
    }

    /// Was so little read of this file that nothing but its name tells what a copy of it is? While there is no agent
    /// its state says that.
    pub fn is_known_by_name(&self, inode: usize) -> bool {
        if self.is_alive() {
            return self.is_begun(inode) && !self.is_proven(inode);
        }
        let Inode { number, generation, .. } = self.writers.inodes[inode];
        let content = &self.writers.generations[generation].content;
        let holds = |start: u64, end: u64, crc: u32| {
            let bytes = content.get(start as usize..end as usize);
            start < end && bytes.is_some_and(|bytes| crc32fast::hash(bytes) == crc)
        };
        let Some(record) = self.record_on_disk() else { return false };
        let is_begun = |file: &FileRecord| {
            let mut batches = record.batches.iter().filter(|batch| batch.file == file.id);
            holds(0, file.position, file.bytes_crc)
                || batches.any(|batch| holds(batch.start, batch.end, batch.bytes_crc))
        };
        let is_it = |file: &&FileRecord| file.inode == number && is_begun(file);
        record.files.iter().filter(is_it).any(|file| file.position < PROOF_BYTES)
    }

    /// Would nothing but its name tell the next start what this file is? Little was read of it, everything was copied,
    /// and the agent has written down nothing since.
    pub fn is_known_by_name_alone(&self, inode: usize) -> bool {
        let is_copied =
            |record: Record| self.last_renumbering == Some((Renumbering::Copy, record.generation));
        let is_bound = self.writers.inodes[inode].is_bound;
        is_bound && self.record_on_disk().is_some_and(is_copied)
            || self.is_known_by_copied_receipt(inode)
    }

    /// Does nothing but its name tell what this file is?
    pub fn is_bound(&self, inode: usize) -> bool {
        self.writers.inodes[inode].is_bound || self.is_known_by_copied_receipt(inode)
    }

    /// Or of one in the second directory what that is?
    pub fn is_second_bound(&self) -> bool {
        let there = self.writers.in_second();
        let mut inodes = self.writers.inodes.iter().enumerate();
        inodes.any(|(at, i)| there.contains(&i.number) && self.is_known_by_copied_receipt(at))
    }

    /// Was this file finished before everything was copied, and has no agent written down since that it has seen it?
    /// Under another name it would be a copy of a finished file.
    fn is_known_by_copied_receipt(&self, inode: usize) -> bool {
        let inode = &self.writers.inodes[inode];
        let book = self.book.borrow();
        let is_its = |f: &&FileRecord| f.inode == inode.number && f.state != FileState::Superseded;
        let finished: HashSet<(u64, u32)> =
            book.receipts.iter().filter(is_its).map(|f| (f.position, f.bytes_crc)).collect();
        if finished.is_empty() {
            return false;
        }
        let receipts = receipt::read_all(&self.writers.tracker).into_iter().flatten().flatten();
        let mut of_it = receipts.filter(|r| finished.contains(&(r.size, r.bytes_crc)));
        let numbers = (inode.number, inode.born_ns());
        let has_receipt = of_it.any(|r| (r.inode, r.born_ns) == numbers);
        let is_recorded = |r: Record| r.files.iter().any(|file| file.inode == inode.number);
        !has_receipt && !self.record_on_disk().is_some_and(is_recorded)
    }

    /// Is nothing known of what stands in this file before its position, so that whatever does is believed? It could
    /// not be opened when that was given, nor since, as far as the state tells.
    pub fn is_unseen(&self, inode: usize) -> bool {
        let number = self.writers.inodes[inode].number;
        let record = self.record_on_disk();
        let mut files = record.iter().flat_map(|record| &record.files);
        files.any(|file| file.inode == number && file.is_unseen())
    }

    /// The state with which an agent would start now.
    fn record_on_disk(&self) -> Option<Record> {
        let disk = Rc::new(RefCell::new(self.disk.borrow().clone()));
        match Slots::open(CrashStore::open(&disk)) {
            Ok(Opened::Valid { record, .. }) => Some(record),
            _ => None,
        }
    }

    /// Is all that this file holds announced, its unfinished line as its last?
    fn is_announced_as_last(&self, inode: usize) -> bool {
        let Inode { number, generation, .. } = self.writers.inodes[inode];
        let content = &self.writers.generations[generation].content;
        let len = content.len() as u64;
        let has_read_it = |t: &Tracked| {
            let text = model::without_zeros(t.tail.as_slice());
            let has_zeros = text.len() < t.tail.as_slice().len();
            let is_end = t.read_position == len || t.read_position > len && has_zeros;
            let head = content.get(..t.record.head_len as usize);
            let is_head = head.is_some_and(|head| crc32fast::hash(head) == t.record.head_crc);
            !t.is_superseded() && is_end && is_head && content.ends_with(&text)
        };
        self.pipeline.as_ref().is_some_and(|p| {
            let mut tracked = p.files().tracked();
            tracked.any(|t| t.record.inode == number && has_read_it(t))
        })
    }
}
