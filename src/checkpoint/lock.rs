//! One agent per tracker directory: a lock on its file `lock`, whose content says who holds it.
//!
//! The lock is the kernel's (flock) and ends with the process, however it ends; the content is
//! for messages only and stays behind. It always has the same length, is written in one call and
//! ends with its checksum: a program that reads while it is being written sees that, and reads again.

use std::fmt;
use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::os::{self, Custody};

/// Name of the file in the tracker directory.
pub const FILE_NAME: &str = "lock";

/// Length of the content, bytes: one sector.
const CONTENT_BYTES: usize = 512;
/// What ends the content, with eight hexadecimal digits and a newline behind it.
const CRC_KEY: &str = "\ncrc32=";
const CRC_BYTES: usize = CRC_KEY.len() + 8 + 1;
/// Longer names of agents and hosts are cut, bytes.
const NAME_BYTES_MAX: usize = 128;

/// How often an agent asks for the lock: another program may just be looking ([`look`]).
const LOCK_TRIES: u32 = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How often and how long a reader waits for a holder that has the lock but has not yet said so.
const READ_TRIES: u32 = 20;
const READ_PAUSE: Duration = Duration::from_millis(5);

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub agent: String,
    /// Start of the agent, as its log writes times.
    pub since: String,
    pub host: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held by pid {} (agent {}, since {}", self.pid, self.agent, self.since)?;
        if self.host != host_name() {
            write!(f, ", on host {}", self.host)?;
        }
        f.write_str(")")
    }
}

/// The outcome of [`acquire`].
#[derive(Debug)]
pub enum Locked {
    Held(Lock),
    /// Another agent has it; `holder` is `None` if it did not say who it is.
    Busy {
        path: PathBuf,
        holder: Option<Holder>,
    },
}

/// Message of a second agent.
pub fn busy_message(path: &Path, holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!("{}: {holder}", path.display()),
        None => format!("{}: held by another agent", path.display()),
    }
}

/// Keeps other agents out of the tracker directory as long as it lives.
#[derive(Debug)]
pub struct Lock {
    // Closed when another program is executed (O_CLOEXEC, as std opens everything), so that no
    // child can hold the lock longer than the agent lives.
    file: File,
    path: PathBuf,
    /// Monotonic time of the last [`Lock::keep_fresh`], ms.
    fresh_ms: u64,
}

/// Is a file that is open still the one under its name?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Held,
    /// There is nothing of that name.
    Gone,
    /// Another file has the name.
    Other,
    /// It cannot be told now: why.
    Unknown(String),
}

/// Compares an open file with what stands under its name.
pub fn place(file: &File, path: &Path) -> Place {
    let identity = |stat: Metadata| os::identity(&stat);
    compare(file.metadata().map(identity), std::fs::metadata(path).map(identity), path)
}

/// The same by device and inode: `own` are those of the open file, `there` of what stands under its name.
fn compare(own: io::Result<(u64, u64)>, there: io::Result<(u64, u64)>, path: &Path) -> Place {
    let unknown = |e: io::Error| Place::Unknown(format!("{}: {e}", path.display()));
    let own = match own {
        Ok(own) => Some(own),
        // Another client of the file system has removed it, and that is for good.
        Err(e) if e.raw_os_error() == Some(libc::ESTALE) => None,
        Err(e) => return unknown(e),
    };
    match there {
        Ok(there) if Some(there) == own => Place::Held,
        Ok(_) => Place::Other,
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Place::Gone,
        Err(e) => unknown(e),
    }
}

/// Cleaners that go by a file's age (`find -mtime +7 -delete`) must not find the lock old: its
/// stamp is put forward so often, ms.
const FRESH_MS: u64 = 3_600_000;

impl Lock {
    /// Is the lock that is held still the one that the next agent will ask for?
    pub fn place(&self) -> Place {
        place(&self.file, &self.path)
    }

    /// Does the file have a name, wherever it is?
    pub fn has_name(&self) -> bool {
        self.file.metadata().is_ok_and(|stat| stat.nlink() > 0)
    }

    /// Puts the stamp forward once an hour. That it fails does no harm by itself.
    pub fn keep_fresh(&mut self, now_ms: u64) {
        if now_ms - self.fresh_ms >= FRESH_MS {
            self.fresh_ms = now_ms;
            let _ = self.file.set_modified(std::time::SystemTime::now());
        }
    }
}

/// Why the directory cannot be made or locked. Permanent until someone changes the directory.
#[derive(Debug)]
pub enum LockError {
    Directory {
        path: PathBuf,
        error: io::Error,
    },
    /// Others may put files into it ([`os::custody`]).
    Unsafe {
        path: PathBuf,
        custody: Custody,
    },
    File {
        path: PathBuf,
        error: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Directory { path, error } => write!(
                f,
                "{}: the tracker directory cannot be created: {error}; create it, or set trackerDir to \
                 one in which this user may write",
                path.display()
            ),
            LockError::Unsafe { path, custody } => {
                let dir = path.display();
                match custody {
                    Custody::Foreign { uid } => write!(
                        f,
                        "{dir}: the tracker directory belongs to another user (uid {uid}), who could \
                         lead this one to any file; chown it to the user of the agent, or set \
                         trackerDir to a directory of its own"
                    ),
                    Custody::Ours | Custody::Shared { .. } => write!(
                        f,
                        "{dir}: other users may write in the tracker directory, and could lead this \
                         one to any file; chmod go-w {dir}, and remove what is not the agent's from it"
                    ),
                }
            }
            LockError::File { path, error } => write!(
                f,
                "{}: cannot be locked: {error}; this user must be able to write it, and the file \
                 system must have room and support locks",
                path.display()
            ),
        }
    }
}

impl std::error::Error for LockError {}

/// Makes the tracker directory `dir` with mode 0700, and what is missing above it likewise,
/// durably. Directories that exist stay as they are.
pub fn make_directory(dir: &Path) -> Result<(), LockError> {
    let result = if dir.is_dir() { Ok(()) } else { make_missing(dir) };
    result.map_err(|error| LockError::Directory { path: dir.to_owned(), error })
}

fn make_missing(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|d| !is_there(d)).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // Each new name stands in the directory above it.
    for made in missing {
        if let Some(parent) = made.parent() {
            os::sync_directory(if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            })?;
        }
    }
    Ok(())
}

/// The empty path is what remains above the first component of a relative one.
fn is_there(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir.is_dir()
}

/// Refuses a tracker directory into which others may put files.
pub fn guarded(dir: &Path) -> Result<(), LockError> {
    match os::custody(dir) {
        Ok(Custody::Ours) => Ok(()),
        Ok(custody) => Err(LockError::Unsafe { path: dir.to_owned(), custody }),
        Err(error) => Err(LockError::Directory { path: dir.to_owned(), error }),
    }
}

/// Makes the tracker directory `dir` if need be and locks it for `agent`, without waiting for
/// whoever has it. `since` is the present time as the log writes it.
pub fn acquire(dir: &Path, agent: &str, since: &str) -> Result<Locked, LockError> {
    make_directory(dir)?;
    guarded(dir)?;
    let path = dir.join(FILE_NAME);
    match lock(&path, agent, since) {
        Ok(Some(lock)) => Ok(Locked::Held(lock)),
        Ok(None) => Ok(Locked::Busy { holder: read_holder(&path), path }),
        Err(error) => Err(LockError::File { path, error }),
    }
}

/// Who holds a tracker directory, as [`look`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenant {
    /// It is free. The last holder, if there was one.
    Nobody(Option<Holder>),
    /// An agent, which has not said who it is if `None`.
    Agent(Option<Holder>),
}

/// Looks who holds the tracker directory `dir`, without making anything. A shared lock is taken
/// for a moment; an agent that starts in this moment tries again (see [`LOCK_TRIES`]).
pub fn look(dir: &Path) -> io::Result<Tenant> {
    let path = dir.join(FILE_NAME);
    let file = match os::read_own(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Tenant::Nobody(None)),
        Err(e) => return Err(e),
    };
    if os::try_lock_shared(&file)? {
        drop(file);
        return Ok(Tenant::Nobody(read_content(&path).as_deref().and_then(parse)));
    }
    Ok(Tenant::Agent(read_holder(&path)))
}

fn lock(path: &Path, agent: &str, since: &str) -> io::Result<Option<Lock>> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = os::open_own(path, &mut options)?;
    let mut tries = 1;
    while !os::try_lock(&file)? {
        if tries == LOCK_TRIES {
            return Ok(None);
        }
        tries += 1;
        std::thread::sleep(LOCK_PAUSE);
    }
    let holder = Holder {
        pid: std::process::id(),
        agent: one_line(agent),
        since: one_line(since),
        host: host_name(),
    };
    file.write_all_at(&content(&holder), 0)?;
    // A longer content of another version would hide the checksum.
    file.set_len(CONTENT_BYTES as u64)?;
    Ok(Some(Lock { file, path: path.to_owned(), fresh_ms: 0 }))
}

fn content(holder: &Holder) -> Vec<u8> {
    let Holder { pid, agent, since, host } = holder;
    let text = format!("pid={pid}\nagent={agent}\nsince={since}\nhost={host}\n");
    let mut content = text.into_bytes();
    // Three names of at most NAME_BYTES_MAX and their keys stay below it.
    debug_assert!(content.len() <= CONTENT_BYTES - CRC_BYTES);
    content.resize(CONTENT_BYTES - CRC_BYTES, b' ');
    let crc = crc32fast::hash(&content);
    content.extend_from_slice(format!("{CRC_KEY}{crc:08x}\n").as_bytes());
    content
}

fn parse(content: &[u8]) -> Option<Holder> {
    let text = content.get(..CONTENT_BYTES - CRC_BYTES)?;
    let crc = format!("{CRC_KEY}{:08x}\n", crc32fast::hash(text));
    if content[text.len()..] != *crc.as_bytes() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Some(Holder {
        pid: value("pid")?.parse().ok()?,
        agent: value("agent")?.to_owned(),
        since: value("since")?.to_owned(),
        host: value("host")?.to_owned(),
    })
}

/// The holder of the lock. In the moment between taking the lock and writing the content, that of an
/// earlier holder may still stand there: one whose process is gone is not believed at once.
fn read_holder(path: &Path) -> Option<Holder> {
    let mut last = None;
    for attempt in 0..READ_TRIES {
        if attempt > 0 {
            std::thread::sleep(READ_PAUSE);
        }
        last = read_content(path).as_deref().and_then(parse);
        if last.as_ref().is_some_and(is_alive) {
            break;
        }
    }
    last
}

fn read_content(path: &Path) -> Option<Vec<u8>> {
    let mut content = vec![0; CONTENT_BYTES];
    os::read_own(path).and_then(|file| file.read_exact_at(&mut content, 0)).ok()?;
    Some(content)
}

fn is_alive(holder: &Holder) -> bool {
    holder.host != host_name() || Path::new("/proc").join(holder.pid.to_string()).exists()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "unknown".to_owned(), |name| one_line(name.trim()))
}

/// `text` without what would break the content's lines, cut to [`NAME_BYTES_MAX`].
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    while line.len() > NAME_BYTES_MAX {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::checkpoint::scratch::Scratch;

    /// On a network file system what another client has removed cannot be asked any more, and never again.
    #[test]
    fn a_lock_that_was_removed_on_its_server_has_lost_its_place() {
        let failed = |code| Err(io::Error::from_raw_os_error(code));
        let place = |own, there| compare(own, there, Path::new("t/lock"));
        assert_eq!(place(Ok((1, 2)), Ok((1, 2))), Place::Held);
        assert_eq!(place(Ok((1, 2)), Ok((1, 3))), Place::Other);
        assert_eq!(place(failed(libc::ESTALE), Ok((1, 3))), Place::Other);
        assert_eq!(place(failed(libc::ESTALE), failed(libc::ENOENT)), Place::Gone);
        for codes in [(libc::EIO, libc::ENOENT), (libc::ESTALE, libc::EIO)] {
            let unknown = place(failed(codes.0), failed(codes.1));
            assert!(matches!(unknown, Place::Unknown(_)), "{codes:?}: {unknown:?}");
        }
        assert!(matches!(place(Ok((1, 2)), failed(libc::ESTALE)), Place::Unknown(_)));
    }

    fn held(dir: &Path) -> Lock {
        match acquire(dir, "a1", "26/11/24 17:00:01").unwrap() {
            Locked::Held(lock) => lock,
            busy => panic!("{busy:?}"),
        }
    }

    #[test]
    fn a_second_agent_is_told_who_holds_it_until_the_first_ends() {
        let scratch = Scratch::new("lock-two");
        let first = held(&scratch.dir);
        match acquire(&scratch.dir, "a2", "26/11/24 17:00:02").unwrap() {
            Locked::Busy { path, holder } => assert_eq!(
                busy_message(&path, holder.as_ref()),
                format!(
                    "{}/lock: held by pid {} (agent a1, since 26/11/24 17:00:01)",
                    scratch.dir.display(),
                    std::process::id()
                )
            ),
            held => panic!("{held:?}"),
        }
        drop(first);
        held(&scratch.dir);
    }

    #[test]
    fn looking_tells_the_holder_and_the_last_one() {
        let scratch = Scratch::new("lock-look");
        assert_eq!(look(&scratch.dir).unwrap(), Tenant::Nobody(None));
        assert!(!scratch.dir.join(FILE_NAME).exists());
        let lock = held(&scratch.dir);
        let Tenant::Agent(Some(holder)) = look(&scratch.dir).unwrap() else { panic!() };
        assert_eq!((holder.agent.as_str(), holder.pid), ("a1", std::process::id()));
        drop(lock);
        assert_eq!(look(&scratch.dir).unwrap(), Tenant::Nobody(Some(holder)));
        drop(held(&scratch.dir));
    }

    #[test]
    fn another_process_keeps_it_and_its_end_frees_it() {
        let scratch = Scratch::new("lock-process");
        drop(held(&scratch.dir));
        let file = scratch.dir.join(FILE_NAME);
        // flock(1) says when it has it, and ends when its input does.
        let spawned = std::process::Command::new("flock")
            .args([file.as_os_str(), "sh".as_ref(), "-c".as_ref(), "echo; read x".as_ref()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("skipped: no flock(1) here");
            return;
        };
        let mut ready = [0; 1];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        assert!(matches!(acquire(&scratch.dir, "a2", "now").unwrap(), Locked::Busy { .. }));
        child.kill().unwrap();
        child.wait().unwrap();
        // The shell below flock(1) has inherited the descriptor, and ends with its input.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while matches!(acquire(&scratch.dir, "a2", "now").unwrap(), Locked::Busy { .. }) {
            assert!(std::time::Instant::now() < deadline);
        }
    }

    #[test]
    fn its_stamp_is_put_forward_each_hour_and_its_place_is_known() {
        let scratch = Scratch::new("lock-place");
        let mut lock = held(&scratch.dir);
        let path = scratch.dir.join(FILE_NAME);
        let old = std::time::UNIX_EPOCH + Duration::from_secs(1);
        lock.file.set_modified(old).unwrap();
        lock.keep_fresh(FRESH_MS - 1);
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), old);
        lock.keep_fresh(FRESH_MS);
        assert!(std::fs::metadata(&path).unwrap().modified().unwrap() > old);
        assert_eq!(lock.place(), Place::Held);
        std::fs::write(scratch.dir.join("other"), "").unwrap();
        std::fs::rename(scratch.dir.join("other"), &path).unwrap();
        assert_eq!((lock.place(), lock.has_name()), (Place::Other, false));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lock.place(), Place::Gone);
    }

    #[test]
    fn half_written_contents_are_not_believed() {
        let old = Holder { pid: 1, agent: "old".into(), since: "then".into(), host: "h".into() };
        let new = Holder { pid: 2, agent: "n".into(), since: "now".into(), host: "host".into() };
        let (old, new) = (content(&old), content(&new));
        assert_eq!((old.len(), new.len()), (CONTENT_BYTES, CONTENT_BYTES));
        assert_eq!(parse(&new).unwrap().agent, "n");
        let mut mixed = old.clone();
        for at in 0..CONTENT_BYTES {
            mixed[at] = new[at];
            let sound = mixed == old || mixed == new;
            assert_eq!(parse(&mixed).is_some(), sound, "{at}");
        }
        for len in 0..CONTENT_BYTES {
            assert_eq!(parse(&new[..len]), None);
        }
    }

    #[test]
    fn names_of_any_length_and_kind_fit() {
        let long = "日\n本".repeat(200);
        let name = one_line(&long);
        let holder = Holder { pid: u32::MAX, agent: name.clone(), since: name.clone(), host: name };
        assert_eq!(parse(&content(&holder)), Some(holder));
    }

    #[test]
    fn missing_levels_get_mode_0700_and_existing_ones_keep_theirs() {
        let scratch = Scratch::new("lock-mode");
        let mode = |dir: &Path| dir.metadata().unwrap().permissions().mode() & 0o777;
        std::fs::set_permissions(&scratch.dir, PermissionsExt::from_mode(0o755)).unwrap();
        let deep = scratch.dir.join("one/two");
        drop(held(&deep));
        drop(held(&deep));
        assert_eq!(mode(&scratch.dir), 0o755);
        assert_eq!(mode(&scratch.dir.join("one")), 0o700);
        assert_eq!(mode(&deep), 0o700);
        assert_eq!(mode(&deep.join(FILE_NAME)), 0o600);
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_an_error_with_its_name() {
        let scratch = Scratch::new("lock-file");
        let path = scratch.dir.join("tracker");
        std::fs::write(&path, "").unwrap();
        let error = acquire(&path, "a1", "now").unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: the tracker directory", path.display())));
    }
}
