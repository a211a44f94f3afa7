//! Whose turn it is to be read.
//!
//! The backlog is read in `consumeOrder` and, unless the order is `youngest`, before the live
//! files; but once a second every live file that has something gets a slice, however long the
//! backlog. Files that were read to their end before (late lines of a retired file, a straggler
//! that is written to under an old name) take turns with those that were not, so that a busy one
//! holds up no other.

use std::collections::HashSet;
use std::ffi::OsStr;

use super::numbers::ByNumbers;
use super::parked::Spare;
use super::scan::Candidate;
use super::tracked::{Look, Tracked};
use super::{Files, Handle};
use crate::config::model::ConsumeOrder;

/// How long a file of the other class (live or backlog) waits for its turn at most, ms.
const TURN_MS: u64 = 1_000;

/// How often files that were read to their end are looked at while there is other backlog, ms.
const LATE_LOOK_MS: u64 = 20;

/// Of open files that no notice tells of, where one tells of each change, so many are looked at in each turn
/// at least, and each in so many turns.
const UNTOLD_LOOK_MIN: usize = 64;
const UNTOLD_TURNS: usize = 4;

/// When each file was served.
pub(super) struct Turns {
    /// Something could be read before: until then no file waits for a turn, however long brokers take
    /// to answer.
    has_begun: bool,
    /// Monotonic time of the end of the last turn of the live files, and of the last slice from
    /// the backlog.
    live_ms: u64,
    backlog_ms: u64,
    /// The live files have their turn; it began at this time.
    live_since_ms: Option<u64>,
    /// The last slice of the backlog came from a file that had been read to its end before.
    was_late: bool,
    /// No file that was read to its end before has grown; looked at again from this time on, or
    /// when there is nothing else to read.
    none_late_ms: u64,
    /// Files wait that there was no room for when one was chosen last.
    lacks_room: bool,
    /// Every file of the present hour is open or parked; looked for again from this time on.
    none_waits_ms: u64,
    /// Some wait, and no file could spare its descriptor; it is asked again from this time on, or when there is
    /// nothing else to read.
    no_room_ms: u64,
    /// So many of the first candidates had nothing to be read when all were gone through last: they are not
    /// asked before each slice again. That is believed as long as they are the first, and up to this time.
    passed: usize,
    passed_ms: u64,
}

impl Turns {
    pub(super) fn new(now_ms: u64) -> Turns {
        Turns {
            has_begun: false,
            live_ms: now_ms,
            backlog_ms: now_ms,
            live_since_ms: None,
            was_late: false,
            none_late_ms: 0,
            lacks_room: false,
            none_waits_ms: 0,
            no_room_ms: 0,
            passed: 0,
            passed_ms: 0,
        }
    }

    /// Another listing, or another hour: files of the present hour may be waiting to be opened.
    pub(super) fn look_for_waiting(&mut self) {
        self.none_waits_ms = 0;
        self.candidates_change();
    }

    /// Other candidates are the first.
    pub(super) fn candidates_change(&mut self) {
        (self.passed, self.passed_ms) = (0, 0);
    }
}

impl Files {
    /// Which file is to be read now? Opens waiting files as their turn comes. `None`: nothing to
    /// read anywhere.
    pub fn choose(&mut self) -> Option<Handle> {
        let now_ms = self.clock().monotonic_ms();
        if !self.turns.has_begun {
            self.turns = Turns { has_begun: true, ..Turns::new(now_ms) };
        }
        self.update_present();
        self.look_at_parked();
        self.list_new_suspects();
        self.look_at_kept();
        if self.policy.order == ConsumeOrder::Youngest {
            return self.choose_youngest(now_ms);
        }
        if now_ms - self.turns.live_ms >= TURN_MS {
            self.turns.live_since_ms.get_or_insert(now_ms);
        }
        if let Some(since_ms) = self.turns.live_since_ms {
            if let Some(live) = self.choose_live(since_ms) {
                return Some(live);
            }
            self.live_turn_is_over(now_ms);
        }
        if let Some(handle) = self.choose_backlog() {
            return Some(handle);
        }
        self.live_turn_is_over(now_ms);
        self.choose_live(u64::MAX)
    }

    fn live_turn_is_over(&mut self, now_ms: u64) {
        self.turns.live_ms = now_ms;
        self.turns.live_since_ms = None;
    }

    fn choose_youngest(&mut self, now_ms: u64) -> Option<Handle> {
        if now_ms - self.turns.backlog_ms < TURN_MS
            && let Some(live) = self.choose_live(u64::MAX)
        {
            return Some(live);
        }
        self.turns.backlog_ms = now_ms;
        self.choose_backlog().or_else(|| self.choose_live(u64::MAX))
    }

    /// The live file that has waited longest, of those that were last served before `before_ms`.
    fn choose_live(&mut self, before_ms: u64) -> Option<Handle> {
        self.open_waiting(false);
        let found = self.choose_open(before_ms);
        if found.is_none() && self.open_waiting(true) {
            return self.choose_open(before_ms);
        }
        found
    }

    /// The same, of those that are open. They are looked at in this order, so that of hundreds that were read
    /// a moment ago not each is looked at again before the one that comes next. Where notices tell of each
    /// change, a part of those that they do not tell of is enough, those looked at longest ago.
    fn choose_open(&mut self, before_ms: u64) -> Option<Handle> {
        let mut due = self.tracked.handles();
        due.retain(|&handle| self.tracked[handle].served_ms < before_ms && self.is_live(handle));
        due.sort_by_key(|&handle| self.tracked[handle].served());
        let mut looks = match self.parking.is_told() {
            true => due.len().div_ceil(UNTOLD_TURNS).max(UNTOLD_LOOK_MIN),
            false => usize::MAX,
        };
        due.into_iter().find(|&handle| {
            let tracked = &mut self.tracked[handle];
            tracked.watch.was_live = true;
            if !tracked.may_be_unseen {
                if looks == 0 {
                    return false;
                }
                looks -= 1;
            }
            self.is_readable(handle)
        })
    }

    /// Has the file the present hour in its name, or one to come, as of the last look at the clock?
    pub fn is_live(&self, handle: Handle) -> bool {
        self.tracked[handle].is_named() && self.present.is_current(self.tracked[handle].name())
    }

    fn choose_backlog(&mut self) -> Option<Handle> {
        let now_ms = self.clock().monotonic_ms();
        // Each of hundreds of files would be asked for its length before every slice.
        let late_first = !self.turns.was_late && now_ms >= self.turns.none_late_ms;
        for late in [late_first, !late_first] {
            if late && self.turns.lacks_room && now_ms < self.turns.none_late_ms {
                continue;
            }
            let found = if late { self.choose_late() } else { self.choose_fresh() };
            if late && found.is_none() {
                self.turns.none_late_ms = now_ms + LATE_LOOK_MS;
            }
            if found.is_some() {
                self.turns.was_late = late;
                return found;
            }
        }
        None
    }

    /// A file that was moved aside or vanished, or that was read to its end under an old name,
    /// and has grown since.
    fn choose_late(&mut self) -> Option<Handle> {
        let mut best: Option<Handle> = None;
        for handle in self.tracked.handles() {
            let tracked = &self.tracked[handle];
            let is_late = !tracked.is_named() || tracked.is_caught_up;
            let is_older = best.is_none_or(|b| tracked.served_ms < self.tracked[b].served_ms);
            if is_late && is_older && !self.is_live(handle) && self.is_readable(handle) {
                best = Some(handle);
            }
        }
        best
    }

    /// The first file in `consumeOrder` that is not of the present hour and was not read to its
    /// end yet.
    fn choose_fresh(&mut self) -> Option<Handle> {
        self.turns.lacks_room = false;
        if !self.scanner.has_past() {
            return None;
        }
        let now_ms = self.clock().monotonic_ms();
        if self.turns.passed > 0 && now_ms < self.turns.passed_ms {
            let found = self.choose_fresh_from(self.turns.passed);
            if found.is_some() || self.turns.lacks_room {
                return found;
            }
        }
        (self.turns.passed, self.turns.passed_ms) = (0, now_ms + LATE_LOOK_MS);
        self.choose_fresh_from(0)
    }

    /// The same of those from this place on.
    fn choose_fresh_from(&mut self, first: usize) -> Option<Handle> {
        let (mut next, mut is_passing) = (first, true);
        while let Some(candidate) = self.scanner.candidates().get(next) {
            let at = next;
            next += 1;
            // First what most of ten thousand are, and what is found out without a search.
            let is_left_alone = candidate.is_present || self.is_closed(candidate);
            if !is_left_alone && self.is_refused(&candidate.name) {
                is_passing = false;
                continue;
            }
            let open = if is_left_alone { None } else { self.open_of(at) };
            if is_left_alone || open.is_some_and(|handle| self.tracked[handle].is_caught_up) {
                if is_passing {
                    self.turns.passed = next;
                }
                continue;
            }
            is_passing = false;
            let Some(handle) = open.or_else(|| self.open_fresh(at)) else {
                if self.turns.lacks_room {
                    return self.choose_begun();
                }
                continue;
            };
            if self.is_readable(handle) {
                return Some(handle);
            }
        }
        None
    }

    /// Opens a file of the backlog, if it is not open under another name and there is room for it.
    fn open_fresh(&mut self, at: usize) -> Option<Handle> {
        if self.is_tracked(&self.scanner.candidates()[at]) {
            return None;
        }
        let has_room =
            self.has_backlog_room() || self.names_are_stuck() && self.park_one(&[Spare::Backlog]);
        self.turns.lacks_room = !has_room;
        if has_room { self.track(at) } else { None }
    }

    /// There is no room for another file: one that is open and was not read to its end yet, be it
    /// behind those that wait.
    fn choose_begun(&mut self) -> Option<Handle> {
        self.tracked.handles().into_iter().find(|&handle| {
            let tracked = &self.tracked[handle];
            let is_begun = tracked.is_named() && !tracked.is_caught_up;
            is_begun && !self.is_live(handle) && self.is_readable(handle)
        })
    }

    /// Is the candidate a file that is known and not open: parked, done under its name, or perhaps
    /// one that is looked for?
    pub(super) fn is_closed(&self, candidate: &Candidate) -> bool {
        let (device, inode) = (candidate.device, candidate.inode);
        self.parking.holds(device, inode)
            || self.is_kept(device, inode)
            || self.quests.holds(device, inode)
    }

    pub(super) fn is_tracked(&self, candidate: &Candidate) -> bool {
        let (device, inode) = (candidate.device, candidate.inode);
        self.tracked.iter().any(|t| t.is_named() && t.is_inode(device, inode))
    }

    /// The open file that has the name of a candidate. Hundreds that were read stand before the one that comes
    /// next, and each was found before.
    fn open_of(&mut self, at: usize) -> Option<Handle> {
        let name = &self.scanner.candidates()[at].name;
        let is_its = |t: &Tracked| t.is_named() && t.name() == name;
        let hint = self.scanner.open_hint(at).and_then(|handle| self.tracked.again(handle));
        let found = hint.filter(|handle| is_its(&self.tracked[*handle]));
        let found = found.or_else(|| self.tracked.find(is_its));
        self.scanner.note_open(at, found);
        found
    }

    pub(super) fn handle_by_name(&self, name: &OsStr) -> Option<Handle> {
        self.tracked.find(|t| t.is_named() && t.name() == name)
    }

    /// Opens the waiting files of the present hour. If there was no room for them a moment ago, only with
    /// `at_once`: thousands of names are gone through. `false`: none was opened.
    fn open_waiting(&mut self, at_once: bool) -> bool {
        let now_ms = self.clock().monotonic_ms();
        if now_ms < self.turns.none_waits_ms || now_ms < self.turns.no_room_ms && !at_once {
            return false;
        }
        let waiting = self.waiting();
        if waiting.is_empty() {
            // What is refused now waits as well. Hundreds are not tried again one by one.
            let retry_ms = self.refusals.next_retry_ms(now_ms).unwrap_or(u64::MAX);
            self.turns.none_waits_ms = retry_ms.clamp(now_ms + LATE_LOOK_MS, now_ms + TURN_MS);
        }
        let mut is_any_open = false;
        for at in waiting {
            let candidate = &self.scanner.candidates()[at];
            // Opened since under another name.
            if self.is_closed(candidate) || self.is_tracked(candidate) {
                continue;
            }
            let kinds = [Spare::Draining, Spare::Empty, Spare::Live];
            if self.tracked.len() >= self.open_max && !self.park_one(&kinds) {
                self.turns.no_room_ms = now_ms + LATE_LOOK_MS;
                break;
            }
            // It has waited since before the turn that it is opened in: it is not left for the next.
            let Some(handle) = self.track(at) else { continue };
            is_any_open = true;
            if let Some(since_ms) = self.turns.live_since_ms {
                self.tracked[handle].served_ms = since_ms.saturating_sub(1);
            }
        }
        is_any_open
    }

    /// Places of the candidates of the present hour that are neither open nor parked, in their order. All of them:
    /// thousands that cannot be opened may stand before one that can.
    fn waiting(&self) -> Vec<usize> {
        let named = || self.tracked.iter().filter(|t| t.is_named());
        let inodes: HashSet<_, ByNumbers> =
            named().map(|t| (t.record.device, t.record.inode)).collect();
        let names: HashSet<_> = named().map(Tracked::name).collect();
        let waits = |c: &Candidate| {
            c.is_present
                && !self.is_closed(c)
                && !inodes.contains(&(c.device, c.inode))
                && !names.contains(c.name.as_os_str())
                && !self.is_refused(&c.name)
        };
        let candidates = self.scanner.candidates().iter().enumerate();
        candidates.filter(|(_, candidate)| waits(candidate)).map(|(at, _)| at).collect()
    }

    /// Takes note of what became of this file, before bytes of it are read once more: what was
    /// truncated may be in a copy.
    pub fn look_again(&mut self, id: u64) {
        if let Some(handle) = self.handle_of(id) {
            self.is_readable(handle);
        }
    }

    fn is_readable(&mut self, handle: Handle) -> bool {
        let now_ms = self.clock().monotonic_ms();
        if self.tracked[handle].read_retry_ms > now_ms {
            return false;
        }
        match self.tracked[handle].look(now_ms) {
            Ok(Look::Readable) => !self.tracked[handle].is_barred && self.may_begin(handle),
            Ok(Look::Quiet) => false,
            Ok(Look::Truncated { size }) if self.is_without_zeros(handle, size) => false,
            Ok(Look::Truncated { .. }) if self.is_filled(handle) => false,
            Ok(Look::Truncated { size }) => {
                self.begin_again(handle, &format!("was truncated to {size} bytes"));
                false
            }
            Ok(Look::Rewritten) if self.is_filled(handle) => false,
            Ok(Look::Rewritten) => {
                self.begin_again(handle, "was truncated or overwritten");
                false
            }
            Err(e) => {
                let name = self.tracked[handle].name().to_owned();
                self.complain(&name, &e.to_string());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::Clock;
    use crate::source::reach;
    use crate::source::scene::Scene;

    /// A file of the present hour that is listed and cannot be opened.
    fn refused(scene: &mut Scene) -> String {
        let name = scene.name("refused");
        scene.write(&name, 0..3);
        scene.files.refresh(true);
        let path = scene.path(&name);
        let error = || std::io::Error::from_raw_os_error(libc::EACCES);
        reach::set_mishap(Some(Box::new(move |asked: &Path| (asked == path).then(error))));
        assert!(scene.files.choose().is_none());
        reach::set_mishap(None);
        assert_eq!(scene.files.refusals.count(), 1);
        name
    }

    /// Each was waited for a little longer by all others, for as long as the agent ran.
    #[test]
    fn a_refused_name_is_forgotten_when_its_file_is_gone() {
        let mut scene = Scene::new("refused-gone");
        let name = refused(&mut scene);
        scene.clock.advance(CONFIRMED_MS);
        scene.files.refresh(true);
        assert_eq!(scene.files.refusals.count(), 1);
        std::fs::remove_file(scene.path(&name)).unwrap();
        scene.clock.advance(CONFIRMED_MS);
        scene.files.refresh(true);
        assert_eq!(scene.files.refusals.count(), 0);
    }

    /// It was told of again at each listing.
    #[test]
    fn what_was_refused_of_an_open_file_that_is_gone_is_told_once() {
        let mut scene = Scene::new("refused-open");
        let name = scene.name("open");
        scene.write(&name, 0..3);
        scene.is_read(&name, 16);
        scene.files.complain(OsStr::new(&name), "stale");
        std::fs::remove_file(scene.path(&name)).unwrap();
        scene.clock.advance(CONFIRMED_MS);
        scene.files.refresh(true);
        assert_eq!(scene.files.refusals.count(), 1);
    }

    /// Longer than the time after which a directory is listed once more.
    const CONFIRMED_MS: u64 = 2_000;

    /// Each slice of a live file was preceded by a pass over ten thousand names.
    #[test]
    fn a_refused_name_does_not_make_each_choice_a_pass_over_all_names() {
        let mut scene = Scene::new("refused-passes");
        let name = refused(&mut scene);
        let now_ms = scene.clock.monotonic_ms();
        assert!(scene.files.turns.none_waits_ms > now_ms, "it is looked for at once");
        scene.clock.advance(TURN_MS);
        let handle = scene.files.choose().unwrap();
        assert_eq!(scene.files.at(handle).name(), name.as_str());
    }

    const CONF: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.channels = c1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = @DIR@/spool
a1.sources.r1.trackerDir = @DIR@/tracker
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = localhost:9092
a1.channels.c1.kafka.topic = t
";

    impl Scene {
        /// The file that is chosen is read to its end. Its name.
        fn reads_next(&mut self) -> Option<String> {
            let handle = self.files.choose()?;
            let tracked = &mut self.files.tracked[handle];
            tracked.read_position = tracked.size;
            tracked.record.position = tracked.size;
            (tracked.is_caught_up, tracked.exhausted_at) = (true, Some(tracked.size));
            Some(tracked.name().to_str().unwrap().to_owned())
        }
    }

    /// Those that were read stand before those that wait, and are not asked before each of these again.
    #[test]
    fn a_file_that_has_something_again_behind_others_that_were_passed_is_read() {
        let mut scene = Scene::of("passed", CONF);
        let names = ["a", "b", "c", "d"];
        for (n, name) in (0..).zip(names) {
            scene.write(name, n * 100..n * 100 + 30);
        }
        scene.files.refresh(true);
        let [first, second] = [(); 2].map(|()| scene.reads_next());
        assert_eq!([first.as_deref(), second.as_deref()], [Some("a"), Some("b")]);
        assert_eq!(scene.files.turns.passed, 1);
        scene.write("a", 30..40);
        let handle = scene.files.handle_by_name(OsStr::new("a")).unwrap();
        scene.files.tracked[handle].is_caught_up = false;
        // Though no time passes.
        let mut rest = Vec::from_iter(std::iter::from_fn(|| scene.reads_next()));
        rest.sort_unstable();
        assert_eq!(rest, ["a", "c", "d"]);
    }
}
