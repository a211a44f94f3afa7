//! One reader for each directory that a recursive source finds below its own.
//!
//! The source's own directory is locked before it starts. One below it is locked when it is first listed, and
//! nothing in it is a candidate before. So no second agent begins there, whatever its own directory is: this
//! one, or one above it. Where another agent has been first, the directory is its own: this run leaves it
//! alone, also when that agent has ended, since what it has sent would be sent again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::READER;
use crate::checkpoint::spool_lock::{self, SpoolLock, SpoolLocked};
use crate::log;
use crate::os;

/// Device and inode of a directory.
type Directory = (u64, u64);

/// What became of the lock of a directory.
enum Claim {
    Held(Rc<SpoolLock>),
    /// There can be none, or no descriptor is to be spared for it. It is read all the same.
    Unlocked,
    /// Another agent reads it.
    Others,
}

/// See the module.
pub(super) struct Claims {
    /// `sharedSpoolDir`.
    shares: bool,
    /// Each lock is a descriptor.
    locks_max: usize,
    of: HashMap<Directory, Claim>,
    has_told_unlocked: bool,
}

impl Claims {
    pub(super) fn new(shares: bool) -> Claims {
        let locks_max = os::directories_locked_max();
        Claims { shares, locks_max, of: HashMap::new(), has_told_unlocked: false }
    }

    /// May the directory be listed? Locks it if it is new.
    ///
    /// # Errors
    /// It cannot be opened, or is another one by now.
    pub(super) fn may_list(&mut self, path: &Path, directory: Directory) -> io::Result<bool> {
        if let Some(claim) = self.of.get(&directory) {
            return Ok(!matches!(claim, Claim::Others));
        }
        let claim = self.claim(path, directory)?;
        let may_list = !matches!(claim, Claim::Others);
        self.of.insert(directory, claim);
        Ok(may_list)
    }

    fn claim(&mut self, path: &Path, directory: Directory) -> io::Result<Claim> {
        if self.locks().count() >= self.locks_max {
            self.tell_unlocked(path, &format!("there are {} others", self.locks_max));
            return Ok(Claim::Unlocked);
        }
        match spool_lock::acquire(path, self.shares)? {
            SpoolLocked::Held(lock) if lock.directory == directory => Ok(Claim::Held(lock)),
            SpoolLocked::Held(_) => Err(io::Error::other("it has just been replaced")),
            SpoolLocked::Busy(pid) => {
                log::error(
                    READER,
                    format_args!(
                        "{}. This agent leaves that directory alone until it is started again.",
                        spool_lock::busy_message(path, pid)
                    ),
                );
                Ok(Claim::Others)
            }
            SpoolLocked::Impossible(e) => {
                self.tell_unlocked(path, &e.to_string());
                Ok(Claim::Unlocked)
            }
        }
    }

    fn tell_unlocked(&mut self, path: &Path, why: &str) {
        if !std::mem::replace(&mut self.has_told_unlocked, true) {
            log::info(
                READER,
                format_args!(
                    "{} cannot be locked: {why}; make sure that no other agent reads it, or another \
                     directory that is found from now on.",
                    path.display()
                ),
            );
        }
    }

    /// After a listing: of those that are not there any more nothing is remembered.
    pub(super) fn keep(&mut self, there: &HashSet<Directory>) {
        self.of.retain(|directory, _| there.contains(directory));
    }

    pub(super) fn locks(&self) -> impl Iterator<Item = &Rc<SpoolLock>> {
        self.of.values().filter_map(|claim| match claim {
            Claim::Held(lock) => Some(lock),
            Claim::Unlocked | Claim::Others => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::mpsc::{self, Sender};
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config;
    use crate::source::reach;
    use crate::source::scan::Scanner;

    const CONF: &str = "
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = @DIR@/spool
a1.sources.r1.trackerDir = @DIR@/state
a1.sources.r1.recursiveDirectorySearch = true
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = localhost:9092
a1.channels.c1.kafka.topic = t
a1.channels.c1.parseAsFlumeEvent = false
";

    /// A recursive source whose directories `deep/own` and `deep/other` have a file each.
    fn recursive(label: &str) -> (std::path::PathBuf, Scanner) {
        let dir = std::env::temp_dir();
        let dir = dir.join(format!("flume-ng-claims-{label}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("state")).unwrap();
        for place in ["own", "other"] {
            std::fs::create_dir_all(dir.join("spool/deep").join(place)).unwrap();
            std::fs::write(dir.join("spool/deep").join(place).join("a.log"), "line\n").unwrap();
        }
        std::fs::write(dir.join("conf"), CONF.replace("@DIR@", dir.to_str().unwrap())).unwrap();
        let loaded = config::load(&dir.join("conf"), "a1");
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults:?}"));
        let scanner = Scanner::to_read(&loaded.config.sources[0]);
        (dir, scanner)
    }

    fn names(scanner: &Scanner) -> Vec<&str> {
        scanner.candidates().iter().filter_map(|c| c.name.to_str()).collect()
    }

    fn is_free(path: &Path) -> bool {
        let path = path.to_owned();
        let by_another = std::thread::spawn(move || {
            matches!(spool_lock::acquire(&path, true), Ok(SpoolLocked::Held(_)))
        });
        by_another.join().unwrap()
    }

    /// A failing disk or a lack of descriptors is over a moment later. Whose a directory is stays as it was:
    /// the one of another agent is not read, and the own one not by others.
    #[test]
    fn a_directory_that_cannot_be_listed_once_stays_whose_it_was() {
        let faults = ["/spool/deep", "/spool/deep/own", "/spool/deep/other"];
        for (n, fault) in faults.into_iter().enumerate() {
            let (dir, mut scanner) = recursive(&n.to_string());
            let [own, others] = ["own", "other"].map(|place| dir.join("spool/deep").join(place));
            let other = Other::reads(&others);
            scanner.refresh(0).unwrap();
            assert_eq!(names(&scanner), ["deep/own/a.log"], "{fault}");
            let at = dir.to_str().unwrap().to_owned() + fault;
            reach::set_mishap(Some(Box::new(move |path: &Path| {
                (path == Path::new(&at)).then(|| io::Error::from_raw_os_error(libc::EIO))
            })));
            let listed = scanner.refresh(1);
            reach::set_mishap(None);
            let place = fault.trim_start_matches("/spool/");
            let unlisted: Vec<_> = listed.unwrap().into_iter().map(|(name, _)| name).collect();
            assert_eq!(unlisted, [place]);
            assert!(!is_free(&own), "{fault}");
            other.ends();
            scanner.refresh(2).unwrap();
            assert_eq!(names(&scanner), ["deep/own/a.log"], "{fault}");
            assert!(!is_free(&own), "{fault}");
            // One that is gone is given away.
            std::fs::rename(&own, dir.join("moved")).unwrap();
            scanner.refresh(3).unwrap();
            assert!(is_free_in_the_end(&dir.join("moved")), "{fault}");
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }

    /// A child that another test has forked holds what we hold, until it becomes another program.
    fn is_free_in_the_end(dir: &Path) -> bool {
        let begun = Instant::now();
        while !is_free(dir) {
            if begun.elapsed() > Duration::from_secs(10) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// As another process would: what a thread has locked is not known to another one.
    struct Other {
        end: Sender<()>,
        thread: JoinHandle<()>,
    }

    impl Other {
        fn reads(dir: &Path) -> Other {
            let dir = dir.to_owned();
            let (ready, is_ready) = mpsc::channel();
            let (end, has_ended) = mpsc::channel::<()>();
            let thread = std::thread::spawn(move || {
                let locked = spool_lock::acquire(&dir, false);
                assert!(matches!(locked, Ok(SpoolLocked::Held(_))));
                ready.send(()).unwrap();
                // Until the other half is dropped.
                has_ended.recv().unwrap_err();
            });
            is_ready.recv().unwrap();
            Other { end, thread }
        }

        fn ends(self) {
            drop(self.end);
            self.thread.join().unwrap();
        }
    }

    #[test]
    fn a_directory_that_another_agent_reads_is_left_alone_for_good() {
        let path = std::env::temp_dir().join(format!("flume-ng-claims-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let stat = path.metadata().unwrap();
        let directory = (stat.dev(), stat.ino());
        let other = Other::reads(&path);
        let mut claims = Claims::new(false);
        assert!(!claims.may_list(&path, directory).unwrap());
        other.ends();
        assert!(!claims.may_list(&path, directory).unwrap());
        // It is gone, and this is another one that has its number.
        claims.keep(&HashSet::new());
        assert!(claims.may_list(&path, directory).unwrap());
        assert_eq!(claims.locks().count(), 1);
        let by_another = std::thread::spawn({
            let path = path.clone();
            move || matches!(spool_lock::acquire(&path, true), Ok(SpoolLocked::Busy(_)))
        });
        assert!(by_another.join().unwrap());
        // Another directory under the same name is not what was listed.
        assert!(claims.may_list(&path, (stat.dev(), stat.ino() + 1)).is_err());
        std::fs::remove_dir(&path).unwrap();
    }
}
