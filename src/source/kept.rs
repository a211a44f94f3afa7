//! Finished files that keep their names: the new name would be too long, or the file cannot be
//! renamed (made immutable, or another's in a directory with the sticky bit). They are done by
//! their receipts alone, and take no place among the files that are open. One that is written to
//! again goes on from its receipt, as any finished file does.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::hints::Hints;
use super::known::tells_by_numbers;
use super::policy::Then;
use super::{Files, Handle, READER, root};
use crate::checkpoint::receipt::Receipt;
use crate::{log, os};

/// Longest file name on Linux, bytes.
const NAME_BYTES_MAX: usize = 255;

/// A file that could not be renamed is tried again after this time, ms.
const RETRY_MS: u64 = 600_000;

/// How often they are looked at, ms, and how many at a time.
const LOOK_INTERVAL_MS: u64 = 250;
const LOOK_MAX: usize = 512;

struct KeptFile {
    name: OsString,
    /// Size and modification time (s, ns) when it was done.
    seen: (u64, i64, i64),
    /// Monotonic time from which on it is tried again; `None` for never.
    retry_ms: Option<u64>,
}

/// Those of a source. By device and inode.
#[derive(Default)]
pub(super) struct Kept {
    files: HashMap<(u64, u64), KeptFile>,
    /// Those that are still to be looked at in this round.
    queue: Vec<(u64, u64)>,
    looked_ms: u64,
    told: HashSet<(u64, u64)>,
}

impl Files {
    /// Is the candidate a finished file that keeps its name?
    pub fn is_kept(&self, device: u64, inode: u64) -> bool {
        !self.kept.files.is_empty() && self.kept.files.contains_key(&(device, inode))
    }

    /// Has the name of the file no room for the suffix?
    fn is_too_long(&self, handle: Handle) -> bool {
        let leaf = root::split(self.tracked[handle].name()).1;
        let len = leaf.len() + self.policy.names.suffix().len();
        len > NAME_BYTES_MAX && self.policy.then == Then::Rename
    }

    /// Does the file keep its name whatever happens: is it to be marked only, or has the name no room for
    /// the suffix?
    pub(super) fn keep_if_it_must(&mut self, handle: Handle) {
        let now_ms = self.clock().monotonic_ms();
        let tracked = &mut self.tracked[handle];
        if tracked.keeps_name {
            return;
        }
        if self.policy.then == Then::Mark {
            tracked.keeps_name = true;
            tracked.begin_grace(now_ms);
        } else if self.is_too_long(handle) {
            self.keep(handle, "with the suffix its name would be too long");
        }
    }

    /// Is what kept the file from being renamed its own? Else it is the directory's, and no file
    /// can be.
    pub(super) fn is_own_fault(&self, e: &io::Error) -> bool {
        // EXDEV: of another project than its directory.
        let may_be = [libc::EPERM, libc::EACCES, libc::EBUSY, libc::ETXTBSY, libc::EXDEV];
        let is_own = |code: i32| code == libc::ENAMETOOLONG || may_be.contains(&code);
        let hides = self.policy.then == Then::Delete;
        e.raw_os_error().is_some_and(is_own)
            && self.root.may_write()
            && (!hides || os::may_write(&self.config.tracker_dir))
    }

    /// From now on the file waits for its end under its name.
    pub(super) fn keep(&mut self, handle: Handle, why: &str) {
        let now_ms = self.clock().monotonic_ms();
        let tracked = &mut self.tracked[handle];
        tracked.keeps_name = true;
        tracked.begin_grace(now_ms);
        let identity = (tracked.record.device, tracked.record.inode);
        if self.kept.told.insert(identity) {
            let path = self.path(self.tracked[handle].name());
            log::warn(
                READER,
                format_args!(
                    "Unable to move {}: {why}. It keeps its name and is done by its receipt; other \
                     files are not held up.",
                    path.display()
                ),
            );
        }
    }

    /// The file is done and keeps its name.
    pub(super) fn set_aside(&mut self, handle: Handle) {
        let tracked = &self.tracked[handle];
        let is_final = self.is_too_long(handle) || self.policy.then == Then::Mark;
        let retry_ms = (!is_final).then_some(self.clock().monotonic_ms() + RETRY_MS);
        let kept =
            KeptFile { name: tracked.name().to_owned(), seen: tracked.last_look(), retry_ms };
        self.kept.files.insert((tracked.record.device, tracked.record.inode), kept);
    }

    /// Is the candidate as its receipt has left it, so that only its marker may be missing? Then nobody
    /// opens it.
    pub(super) fn is_marked_as_done(
        &mut self,
        name: &OsStr,
        stat: &Metadata,
        receipt: &Receipt,
    ) -> bool {
        let is_it = name.as_bytes() == receipt.name && stat.len() == receipt.size;
        // It has to be opened to get a receipt that tells what it is under another name.
        let is_told = tells_by_numbers(receipt, Hints::of(stat));
        if self.policy.then != Then::Mark || !is_it || !is_told {
            return false;
        }
        self.mark(name);
        let seen = (stat.len(), stat.mtime(), stat.mtime_nsec());
        let kept = KeptFile { name: name.to_owned(), seen, retry_ms: None };
        self.kept.files.insert((stat.dev(), stat.ino()), kept);
        true
    }

    /// Looks at some of them: one that was written to, that has another name, or that may be
    /// renamed by now is a candidate like others.
    pub(super) fn look_at_kept(&mut self) {
        let now_ms = self.clock().monotonic_ms();
        if self.kept.files.is_empty() || now_ms < self.kept.looked_ms + LOOK_INTERVAL_MS {
            return;
        }
        self.kept.looked_ms = now_ms;
        if self.kept.queue.is_empty() {
            self.kept.queue = self.kept.files.keys().copied().collect();
        }
        for _ in 0..LOOK_MAX {
            let Some(identity) = self.kept.queue.pop() else { break };
            let Some(kept) = self.kept.files.get(&identity) else { continue };
            let is_as_seen = std::fs::metadata(self.path(&kept.name)).is_ok_and(|stat| {
                (stat.dev(), stat.ino()) == identity
                    && (stat.len(), stat.mtime(), stat.mtime_nsec()) == kept.seen
            });
            if !is_as_seen || kept.retry_ms.is_some_and(|at| now_ms >= at) {
                self.kept.files.remove(&identity);
                self.turns.look_for_waiting();
            }
        }
    }

    /// A change notice names a kept file: it is looked at now.
    pub(super) fn notice_kept(&mut self, name: &OsStr) {
        let is_it = |(_, kept): &(&(u64, u64), &KeptFile)| kept.name == name;
        if let Some((&identity, _)) = self.kept.files.iter().find(is_it) {
            self.kept.queue.push(identity);
            self.kept.looked_ms = 0;
        }
    }

    /// The file was renamed: if it could not be before, that is over.
    pub(super) fn note_renamed_at_last(&mut self, handle: Handle) {
        let record = &self.tracked[handle].record;
        self.kept.told.remove(&(record.device, record.inode));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::source::retire::{Move, RETRY_MS};
    use crate::source::scene::{self, Scene};

    const CONF: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = @DIR@/spool
a1.sources.r1.trackerDir = @DIR@/tracker
a1.sources.r1.recursiveDirectorySearch = true
a1.sources.r1.deletePolicy = immediate
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = localhost:9092
a1.channels.c1.kafka.topic = t
a1.channels.c1.parseAsFlumeEvent = false
";

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Retires a file of the scene; how often its move had to be announced, and its name then.
    fn retire(scene: &mut Scene, name: &str) -> (u32, String) {
        std::fs::write(scene.path(name), "line\n").unwrap();
        let handle = scene.is_read(name, 0);
        let mut times = 0;
        loop {
            times += 1;
            scene.files.intend_retirement(handle);
            match scene.files.move_aside(handle) {
                Move::Moved => break,
                what => assert_eq!((what, times), (Move::Taken, 1), "{name}"),
            }
        }
        assert!(!scene.path(name).exists());
        let current = scene.files.at(handle).current_name().into_string().unwrap();
        assert!(scene.files.is_name_when_done(OsStr::new(name), OsStr::new(&current)), "{current}");
        let id = scene.files.at(handle).record.id;
        let stands_there = scene.path(&current).exists();
        scene.files.forget(id);
        assert!(stands_there && !scene.path(&current).exists(), "{current}");
        (times, current)
    }

    /// Two mounts of one file system have one device number, and no file can be moved from one to the other: the
    /// rule for volumes of containers. What has to be deleted waits in its own directory then, and all else goes on.
    #[test]
    fn files_are_deleted_where_the_tracker_directory_or_their_own_is_another_mount() {
        let test = "source::kept::tests::\
                    files_are_deleted_where_the_tracker_directory_or_their_own_is_another_mount";
        if !scene::may_mount(test) {
            return;
        }
        let mut scene = Scene::of("kept-mounts", CONF);
        std::fs::create_dir(scene.path("sub")).unwrap();
        let tracker = scene.files.config.tracker_dir.clone();
        let (_, current) = retire(&mut scene, "sub/a.log");
        assert!(Path::new(&current).starts_with(&tracker), "{current}");

        let sub = scene.path("sub");
        scene::mount(&sub);
        let (times, current) = retire(&mut scene, "sub/b.log");
        assert!(times == 2 && current.starts_with("sub/.flume-ng-deleted-"), "{times} {current}");
        assert!(!scene.files.names_are_stuck());
        // Once it is known, no other file is announced twice.
        let (times, current) = retire(&mut scene, "sub/c.log");
        assert!(times == 1 && current.starts_with("sub/.flume-ng-deleted-"), "{times} {current}");
        let (times, current) = retire(&mut scene, "d.log");
        assert!(times == 1 && current.starts_with(".flume-ng-deleted-"), "{times} {current}");
        assert_eq!(names(&sub), [""; 0]);
        scene::unmount(&sub);
    }

    /// They were announced when the last run died. Each refusal doubled the time to the next try, and was told.
    #[test]
    fn moves_that_are_refused_at_a_start_are_tried_again_soon() {
        let mut scene = Scene::of("kept-refused", CONF);
        let mut records = Vec::new();
        for name in ["a.log", "b.log", "c.log", "d.log"] {
            std::fs::write(scene.path(name), "line\n").unwrap();
            let handle = scene.is_read(name, 0);
            scene.files.intend_retirement(handle);
            records.push(scene.files.tracked.remove(handle).record);
        }
        // Nothing can be moved into what is no directory.
        let tracker = scene.files.config.tracker_dir.clone();
        std::fs::rename(&tracker, scene.path("elsewhere")).unwrap();
        std::fs::write(&tracker, "").unwrap();
        for record in records {
            let handle = scene.files.restore_one(record, None).unwrap();
            assert!(scene.files.at(handle).is_named());
        }
        assert!(scene.files.names_are_stuck());
        scene.clock.advance(RETRY_MS);
        assert!(!scene.files.names_are_stuck());
    }
}
