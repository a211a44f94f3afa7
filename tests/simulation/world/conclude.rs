//! The end of a run: everything comes to rest, and what must hold then is checked.

use std::cell::RefCell;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::rc::Rc;

use flume_ng::channel::outlet::Outlet;
use flume_ng::checkpoint::record::{FileRecord, FileState, Record};
use flume_ng::checkpoint::slots::{Opened, Slots};
use flume_ng::clock::Clock;
use flume_ng::config::model::DeletePolicy;
use flume_ng::pipeline::{Pace, marker};
use flume_ng::source::absent::{Absence, Absent};

use super::World;
use crate::cluster::Cluster;
use crate::crash_store::CrashStore;
use crate::model::{self, Rules};
use crate::scenario::{self, Kind};
use crate::writers::OpenLine;

/// Longest way to rest after everything has calmed down, simulated ms.
const REST_MAX_MS: u64 = 900_000;
/// So much later it begins where files of a directory that does not come back are waited for, an hour.
const AWAY_MAX_MS: u64 = 3_700_000;
/// More turns of the loop than this on the way to rest are a livelock. Four topics, of each of which
/// something is in doubt of a file that is waited for, an hour at most, take ten in a second.
const TURNS_MAX: u64 = 60_000;
/// Nothing happens for so long where all is over, simulated ms.
const QUIET_MS: u64 = 2_000;

impl World {
    /// Lets everything come to rest and checks what must hold then.
    pub fn conclude(&mut self) -> Result<(), String> {
        self.say(|| "calm".to_owned());
        self.trim();
        if let Some(torn) = &self.torn {
            return Err(torn.clone());
        }
        for cluster in &self.clusters {
            cluster.borrow_mut().calm_down();
        }
        self.disk.borrow_mut().fail_in = None;
        self.fail_names(0);
        self.writers.bring_back();
        // Open files keep their descriptors until their half lines are sent; others may wait for these.
        let half_ms = match self.scenario.kind {
            Kind::Followed { idle_ms, .. } => idle_ms.unwrap_or(0),
            _ => 0,
        };
        let quiet_ms = QUIET_MS + half_ms;
        let mut hour = String::new();
        let calm_ms = self.clock.monotonic_ms();
        let mut end_ms = calm_ms + REST_MAX_MS;
        let mut quiet_since_ms = None;
        let mut is_over = false;
        for turn in 0..TURNS_MAX {
            // The last candidate stays. Where a directory was waited for, the hour of the one before is over.
            if self.scenario.kind == Kind::SpoolTail && hour != scenario::hour(&self.clock) {
                scenario::write_last_file(self);
                hour = scenario::hour(&self.clock);
            }
            if !self.is_alive() && !self.start()? {
                continue;
            }
            let Some(pace) = self.turn()? else { continue };
            let Pace::Rest(ms) = pace else { continue };
            let now_ms = self.clock.monotonic_ms();
            self.clock.advance(ms.max(1));
            if turn % 8 == 0 || quiet_since_ms.is_some() {
                if self.is_at_rest() {
                    quiet_since_ms.get_or_insert(now_ms);
                } else {
                    quiet_since_ms = None;
                }
            }
            if now_ms < calm_ms + AWAY_MAX_MS && self.waits_for_directory() {
                end_ms = now_ms + REST_MAX_MS;
            }
            is_over = quiet_since_ms.is_some_and(|t| now_ms > t + quiet_ms) || now_ms > end_ms;
            if is_over {
                break;
            }
        }
        self.say(|| "the end".to_owned());
        self.fuse.put_out();
        self.check()?;
        if is_over { Ok(()) } else { Err("it does not come to rest".to_owned()) }
    }

    /// Does a channel wait for a file that is not in the directory, which is not told to be its own?
    fn waits_for_directory(&self) -> bool {
        let is_elsewhere = |a: &Absent| matches!(a.absence, Absence::Elsewhere(_));
        self.pipeline.as_ref().is_some_and(|p| {
            p.files().absent().waiting().any(is_elsewhere)
                && p.outlets().iter().any(|o| !o.is_open())
        })
    }

    fn is_at_rest(&self) -> bool {
        let Some(pipeline) = &self.pipeline else { return false };
        let is_quiet = |c: &Rc<RefCell<Cluster>>| {
            let c = c.borrow();
            c.is_network_empty() && c.is_all_visible()
        };
        // Asked every two seconds.
        let is_whole = |o: &Outlet| o.topic.as_ref().is_some_and(|t| t.leaderless.is_empty());
        // One that has not been reached yet may be missing what nobody has read.
        pipeline.outlets().iter().all(|o| o.is_at_rest() || o.is_open() && is_whole(o))
            && pipeline.is_idle()
            && !pipeline.is_rebuilding()
            // Tried again every four seconds.
            && !marker::is_there(&self.writers.tracker).unwrap_or(true)
            && !pipeline.is_waiting_for_room()
            && !pipeline.files().is_comparing()
            && self.clusters.iter().all(is_quiet)
            && self.leftovers().is_empty()
            && pipeline.files().tracked().all(|t| t.is_named() && !t.has_uncommitted())
            // Each is done when it was read.
            && (!self.scenario.is_spooled() || pipeline.files().tracked().len() == 0)
            && pipeline.files().parked().all(|r| r.state != FileState::Draining)
            && !pipeline.files().tracked().any(|t| self.is_too_long(&t.name().to_string_lossy()))
    }

    /// Is every channel open?
    pub fn is_connected(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|p| p.outlets().iter().all(Outlet::is_open))
    }

    /// Is every channel open, with a leader of each partition?
    pub fn is_whole(&self) -> bool {
        let is_whole = |o: &Outlet| o.topic.as_ref().is_some_and(|t| t.leaderless.is_empty());
        self.is_connected()
            && self.pipeline.as_ref().is_some_and(|p| p.outlets().iter().all(is_whole))
    }

    /// How many batches are in doubt; none where no agent runs.
    pub fn in_doubt(&self) -> Option<usize> {
        self.pipeline.as_ref().map(|pipeline| pipeline.in_doubt())
    }

    /// Does the agent filter lines, from the next start on?
    pub fn set_filter(&mut self, has_filter: bool) {
        self.scenario.has_filter = has_filter;
        self.config = Rc::new(self.scenario.source_config(&self.writers));
    }

    /// The state that was written last.
    pub fn state(&self) -> Option<Record> {
        match Slots::open(CrashStore::open(&self.disk)) {
            Ok(Opened::Valid { record, .. }) => Some(record),
            _ => None,
        }
    }

    /// For the answers of how many channels does the loop wait?
    pub fn watched(&self) -> usize {
        let mut count = 0;
        self.pipeline.iter().for_each(|pipeline| pipeline.descriptors(&mut |_, _| count += 1));
        count
    }

    /// Does everything wait for room for the checkpoint?
    pub fn waits_for_room(&self) -> bool {
        self.pipeline.as_ref().is_some_and(|pipeline| pipeline.is_waiting_for_room())
    }

    /// Lets the agent list the directory now.
    pub fn list_now(&mut self) {
        self.pipeline.iter_mut().for_each(|pipeline| pipeline.list_now());
    }

    /// Where this file is now.
    pub fn path_of(&self, inode: usize) -> PathBuf {
        let places = self.writers.places();
        places.get(&self.writers.inodes[inode].number).cloned().unwrap_or_default()
    }

    /// Does a marker say of each candidate that it is done?
    pub fn is_marked(&self) -> bool {
        let is_marked = |name: &String| self.has_marker(name);
        self.writers.candidates().iter().all(is_marked)
    }

    fn has_marker(&self, name: &str) -> bool {
        self.writers.tracker.join(format!("{name}.COMPLETED")).exists()
    }

    /// Candidates that should have been retired.
    fn leftovers(&self) -> Vec<String> {
        let hour = scenario::hour(&self.clock);
        let mut names = self.writers.candidates();
        if self.scenario.is_spooled() {
            let is_marked = |name: &str| self.scenario.marks_done() && self.has_marker(name);
            names.retain(|name| !is_marked(name) && !self.is_too_long(name));
            return names;
        }
        if names.len() > 1 && !self.scenario.is_followed() {
            names.retain(|n| scenario::is_past(n, &hour) && !self.may_stay(n));
            return names;
        }
        Vec::new()
    }

    /// Has the name no room for the suffix, or does the file wait for its first line?
    fn may_stay(&self, name: &str) -> bool {
        let stat = std::fs::metadata(self.writers.spool.join(name));
        let hour_s = self.clock.now_ms().div_euclid(3_600_000) * 3_600;
        let is_new = stat.is_ok_and(|stat| stat.len() == 0 && stat.mtime() >= hour_s);
        is_new || self.is_too_long(name)
    }

    fn is_too_long(&self, name: &str) -> bool {
        let leaf = name.rsplit('/').next().unwrap_or(name);
        let is_long = leaf.len() + ".COMPLETED".len() > 255;
        is_long && self.scenario.delete == DeletePolicy::Never
    }

    fn check(&mut self) -> Result<(), String> {
        let leftovers = self.leftovers();
        let hour = scenario::hour(&self.clock);
        let places = self.writers.places();
        let is_at_end = |generation: usize| {
            let inode = self.writers.inodes.iter().find(|i| i.generation == generation)?;
            let place = places.get(&inode.number)?;
            let name = place.file_name()?.to_string_lossy().into_owned();
            let is_candidate = self.writers.is_candidate_now(&places, inode.number);
            if let Kind::Followed { idle_ms, .. } = self.scenario.kind {
                // Of a line that stays as it is nobody waits for the end, unless the file was moved away
                // for a while.
                let open = self.writers.generations[generation].open.as_ref();
                let may_have_ended = open.is_some_and(OpenLine::may_have_been_last);
                return match (is_candidate, idle_ms) {
                    (true, None) => (!may_have_ended).then_some(false),
                    (true, Some(_)) => None,
                    (false, _) => Some(true),
                };
            }
            if self.scenario.is_spooled() {
                // When it was left alone it was whole, whatever its name.
                return Some(true);
            }
            let is_over = !is_candidate || scenario::is_past(&name, &hour);
            (is_over || !self.has_jumped).then_some(is_over)
        };
        let book = self.book.borrow();
        let arrived: HashSet<Vec<u8>> = self.arrived().into_iter().flatten().collect();
        let (division, count) = (self.scenario.division, self.clusters.len());
        for (at, cluster) in self.clusters.iter().enumerate() {
            let rules = Rules {
                has_filter: self.scenario.has_filter,
                // A late copy of what was given up may stand behind what came later.
                keeps_order: self.keeps_order() && !division.is_optional(at),
                is_for: &|body| division.is_for(at, body),
                requires: &|body| division.requires(at, body),
                is_for_none: &|body| !(0..count).any(|at| division.is_for(at, body)),
                arrived: &arrived,
            };
            model::check_topic(&self.writers, &cluster.borrow(), &book, &rules, is_at_end)?;
        }
        model::check_receipts(&self.writers, &book)?;
        model::check_letter_file(&self.writers, &book, self.clusters.len())?;
        if let Some(name) = self.writers.lost_of_others() {
            return Err(format!("{name} of somebody else is gone"));
        }
        if !leftovers.is_empty() {
            return Err(format!("not retired: {leftovers:?}"));
        }
        drop(book);
        self.check_checkpoint()
    }

    /// It decodes, and nothing is left in it that is not finished.
    fn check_checkpoint(&mut self) -> Result<(), String> {
        // Nothing that is in the directory proves that it is the one in which these were: they wait.
        let is_elsewhere = |a: &&Absent| matches!(a.absence, Absence::Elsewhere(_));
        let absent = self.pipeline.iter().flat_map(|p| p.files().absent().waiting());
        let waiting: Vec<u64> = absent.filter(is_elsewhere).map(|a| a.record.id).collect();
        if let Some(mut pipeline) = self.pipeline.take() {
            pipeline.close().map_err(|e| e.to_string())?;
        }
        match Slots::open(CrashStore::open(&self.disk)) {
            Ok(Opened::Valid { record, .. }) => {
                if record.has_doubt() {
                    return Err(format!("left in doubt: {:?}", record.batches));
                }
                let hour = scenario::hour(&self.clock);
                let is_done = |n: &[u8]| {
                    let name = String::from_utf8_lossy(n);
                    let is_past = scenario::is_past(&name, &hour);
                    let is_followed = self.scenario.is_followed();
                    is_past && !is_followed && record.files.len() > 1 && !self.may_stay(&name)
                };
                let is_spooled = self.scenario.is_spooled();
                let is_left =
                    |f: &&FileRecord| !waiting.contains(&f.id) && (is_spooled || is_done(&f.name));
                match record.files.iter().find(is_left) {
                    Some(f) => Err(format!("still in the checkpoint: {f:?}")),
                    None => Ok(()),
                }
            }
            // None of the files that were dropped was there when it was looked for: nothing had to be noted.
            Ok(Opened::Absent(_)) if self.scenario.is_spooled() => Ok(()),
            Ok(_) => Err("no valid checkpoint is left".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}
