//! A source seen from outside: its lock, checkpoint, receipts and files, read without disturbing
//! the agent. Nothing is written, and nothing is believed that cannot be read.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::checkpoint::dead_letter;
use crate::checkpoint::ledger::DEAD_LETTER_FILE;
use crate::checkpoint::lock::{self, Tenant};
use crate::checkpoint::receipt::{self, Receipt, ReceiptError};
use crate::checkpoint::record::{FileRecord, FileState, Record};
use crate::checkpoint::slots;
use crate::checkpoint::trouble::{self, Trouble};
use crate::clock::{Clock as _, SystemClock};
use crate::config::diagnostics::Severity;
use crate::config::files::ConfFiles;
use crate::config::model::{AgentConfig, SourceConfig};
use crate::config::{self, Loaded};
use crate::exit::Exit;
use crate::log::{self, Level};
use crate::monitor::exposition::FileView;
use crate::pipeline::handover::{Handover, HandoverError, handover};
use crate::source::hints::modified_ms;
use crate::source::odd_names;
use crate::source::policy::Names;
use crate::source::scan::{Candidate, Scanner};
use crate::source::tracked;
use crate::text::printable;

/// Lines behind are counted in so many bytes of all files, and estimated beyond.
const COUNTED_BYTES_MAX: u64 = 64 << 20;

/// How many of the last receipts are kept.
pub(crate) const RECEIPTS_SHOWN: usize = 5;

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unread {
    why: String,
    /// Its owner could read it.
    is_denied: bool,
}

impl Unread {
    /// The same, with the thing that could not be read before it.
    fn of(&self, what: &str) -> Unread {
        Unread { why: format!("{what}: {}", self.why), is_denied: self.is_denied }
    }

    /// What the one who reads it can do; empty where that is not known.
    pub(crate) fn way_out(&self) -> &'static str {
        if self.is_denied { "; run it as the agent's user" } else { "" }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<io::Error> for Unread {
    fn from(e: io::Error) -> Unread {
        Unread { is_denied: is_denial(&e), why: e.to_string() }
    }
}

impl From<ReceiptError> for Unread {
    fn from(e: ReceiptError) -> Unread {
        Unread { is_denied: e.io().is_some_and(is_denial), why: e.to_string() }
    }
}

impl From<&HandoverError> for Unread {
    fn from(e: &HandoverError) -> Unread {
        Unread { is_denied: e.io().is_some_and(is_denial), why: e.to_string() }
    }
}

fn is_denial(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::PermissionDenied
}

/// What was seen, or why it could not be.
pub(crate) struct SourceLook {
    pub tenant: Result<Tenant, Unread>,
    pub record: Result<Option<Record>, Unread>,
    /// When the checkpoint was last written, Unix ms.
    pub checkpoint_ms: Option<i64>,
    /// The checkpoint is not the file that it was written into.
    pub is_copied: bool,
    /// What Flume's own tracker means, if there is no checkpoint.
    pub java: Option<Result<Handover, HandoverError>>,
    pub files: Vec<FileLook>,
    /// What there is to say of names that match and hardly should.
    pub odd_names: Vec<String>,
    /// Why the directory could not be listed.
    pub files_fault: Option<Unread>,
    pub receipts: ReceiptsLook,
    pub dead_letters: u64,
    /// What keeps the agent from its work, or has ended it, as it has left word.
    pub troubles: Vec<Trouble>,
}

impl SourceLook {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.tenant, Ok(Tenant::Agent(_)))
    }

    /// What is wrong with the agent now, with its exit code: it cannot reach its brokers, or has ended
    /// by itself.
    pub(crate) fn plight(&self) -> Option<Exit> {
        let is_of_brokers = |trouble: &Trouble| matches!(trouble, Trouble::Brokers { .. });
        let brokers = || self.troubles.iter().any(is_of_brokers).then_some(Exit::Temporary);
        self.end().or_else(brokers)
    }

    /// What the agent has ended with by itself. What an earlier run ended with says nothing of one that
    /// runs.
    pub(crate) fn end(&self) -> Option<Exit> {
        let code = |trouble: &Trouble| match trouble {
            Trouble::End { code, .. } => Some(Exit::of_code(*code).unwrap_or(Exit::BrokenPromise)),
            Trouble::Brokers { .. } => None,
        };
        self.troubles.iter().find_map(code).filter(|_| !self.is_running())
    }

    /// What keeps a running agent from its work, in words.
    pub(crate) fn current_trouble_texts(&self) -> Vec<String> {
        let is_end = |trouble: &&Trouble| matches!(trouble, Trouble::End { .. });
        self.troubles.iter().filter(|t| !is_end(t)).map(|t| self.trouble_text(t)).collect()
    }

    /// The troubles in words, the worst first.
    pub(crate) fn trouble_texts(&self) -> Vec<String> {
        self.troubles.iter().map(|trouble| self.trouble_text(trouble)).collect()
    }

    fn trouble_text(&self, trouble: &Trouble) -> String {
        let stamp = |ms: i64| SystemClock::new().local(ms).log_stamp().to_string();
        match trouble {
            Trouble::Brokers { channel, since_ms, why } => {
                format!("channel {channel} takes nothing since {}: {why}", stamp(*since_ms))
            }
            Trouble::End { code, since_ms, why } => {
                let run = if self.is_running() { "the run before" } else { "it" };
                format!("{run} ended with exit code {code} on {}: {why}", stamp(*since_ms))
            }
        }
    }

    /// The first thing that could not be read.
    pub(crate) fn fault(&self) -> Option<Unread> {
        let tenant = self.tenant.as_ref().err().map(|unread| unread.of("lock"));
        let record = self.record.as_ref().err().map(|unread| unread.of("checkpoint"));
        let files = self.files_fault.as_ref().map(|unread| unread.of("spool directory"));
        let java = self.java.as_ref().and_then(|java| java.as_ref().err()).map(Unread::from);
        let all = record.or(java).or(files).or(tenant).or_else(|| self.receipts.fault.clone());
        all.or_else(|| self.file_fault())
    }

    /// Of all files; `None` where those of one are not known.
    pub(crate) fn lines_behind(&self) -> Option<u64> {
        self.files.iter().map(|file| file.lines_behind).sum()
    }

    /// The first file that cannot be read.
    pub(crate) fn file_fault(&self) -> Option<Unread> {
        let fault = |file: &FileLook| Some(file.fault.as_ref()?.of(&printable(&file.view.name)));
        self.files.iter().find_map(fault)
    }
}

/// A file that is read or waits.
#[derive(Debug, Clone)]
pub(crate) struct FileLook {
    pub view: FileView,
    /// [`FileRecord::id`]; 0 of a waiting file.
    pub id: u64,
    /// Last modification, Unix ms; `None` if the file has no name any more.
    pub modified_ms: Option<i64>,
    /// Lines behind the position; `None` where it cannot be read.
    pub lines_behind: Option<u64>,
    /// They were estimated from the length of other lines.
    pub is_estimate: bool,
    /// Why it cannot be read, though it has a name.
    pub fault: Option<Unread>,
}

#[derive(Debug, Default)]
pub(crate) struct ReceiptsLook {
    pub count: u64,
    pub fault: Option<Unread>,
    /// The last ones, oldest first.
    pub last: VecDeque<Receipt>,
}

/// The configuration for a command that only looks. Its errors are told, its warnings are not:
/// the agent has told them.
pub(crate) fn load(
    conf_files: &ConfFiles,
    agent: &str,
    system: &[(String, String)],
) -> Option<AgentConfig> {
    match config::load_with(conf_files, agent, system) {
        Ok(Loaded { config, .. }) => Some(config),
        Err(findings) => {
            for finding in findings.iter().filter(|f| f.severity == Severity::Error) {
                log::continuation(Level::Error, format_args!("flume-ng: {finding}"));
            }
            None
        }
    }
}

/// Looks at everything of a source.
pub(crate) fn look(config: &SourceConfig) -> SourceLook {
    let dir = &config.tracker_dir;
    let mut record = slots::read_newest(dir).map_err(Unread::from);
    if let Ok(Some(record)) = &mut record {
        record.tell_names_from(&config.spool_dir);
    }
    let stat = fs::metadata(dir.join(slots::FILE_NAME)).ok();
    let mut budget = COUNTED_BYTES_MAX;
    let known = record.as_ref().ok().and_then(Option::as_ref);
    let java = matches!(record, Ok(None)).then(|| handover(config));
    let mut odd_names = Vec::new();
    let (files, files_fault) =
        match files(config, known, java.as_ref(), &mut budget, &mut odd_names) {
            Ok(files) => (files, None),
            Err(e) => (Vec::new(), Some(e.into())),
        };
    SourceLook {
        tenant: lock::look(dir).map_err(Unread::from),
        checkpoint_ms: stat.as_ref().map(modified_ms),
        is_copied: known
            .zip(stat.as_ref())
            .is_some_and(|(r, s)| (r.own_device, r.own_inode) != (s.dev(), s.ino())),
        java,
        files,
        odd_names,
        files_fault,
        receipts: receipts(config),
        dead_letters: dead_letters(dir),
        troubles: trouble::read(dir).unwrap_or_default(),
        record,
    }
}

/// Those that are not settled, as many as can be read.
fn dead_letters(dir: &Path) -> u64 {
    let mut count = 0;
    let _ = dead_letter::each(&dir.join(DEAD_LETTER_FILE), &mut |letter| {
        count += u64::from(letter.state == dead_letter::State::Unsettled);
    });
    count
}

/// Those of the checkpoint, then those that wait, in reading order.
fn files(
    config: &SourceConfig,
    record: Option<&Record>,
    java: Option<&Result<Handover, HandoverError>>,
    budget: &mut u64,
    odd_names: &mut Vec<String>,
) -> io::Result<Vec<FileLook>> {
    let mut scanner = Scanner::new(config);
    scanner.refresh(0)?;
    odd_names.extend(odd_names::remarks(scanner.candidates()));
    let mut waiting: Vec<&Candidate> = scanner.candidates().iter().collect();
    let mut files = Vec::new();
    for file in record.map_or(&[][..], |r| &r.files) {
        let is_it = |c: &&Candidate| (c.device, c.inode) == (file.device, file.inode);
        let at = waiting.iter().position(|c| is_it(c) && file.state != FileState::Superseded);
        let candidate = at.map(|at| waiting.remove(at));
        files.push(known(config, file, candidate, budget));
    }
    for candidate in waiting {
        let path = config.spool_dir.join(&candidate.name);
        let Ok(stat) = fs::metadata(&path) else { continue };
        let position = match java {
            Some(Ok(Handover::At { name, offset })) if *name == candidate.name => *offset,
            Some(Ok(Handover::Positions(found))) => {
                let of_file = found.positions.iter().find(|p| p.inode == candidate.inode);
                of_file.map_or(0, |p| p.pos)
            }
            _ => 0,
        };
        let view = FileView {
            name: candidate.name.to_string_lossy().into_owned(),
            state: "waiting",
            size: stat.len(),
            position,
            ..FileView::default()
        };
        files.push(with_lines(view, 0, Some(&path), Some(modified_ms(&stat)), budget));
    }
    Ok(files)
}

fn known(
    config: &SourceConfig,
    file: &FileRecord,
    candidate: Option<&Candidate>,
    budget: &mut u64,
) -> FileLook {
    let path = match candidate {
        Some(candidate) => Some(config.spool_dir.join(&candidate.name)),
        None => aside(config, file),
    };
    let stat = path.as_ref().and_then(|p| fs::metadata(p).ok());
    let stat = stat.filter(|_| file.state != FileState::Superseded);
    // Without a name only its descriptor, which the agent has, tells the size.
    let size = stat.as_ref().map_or(file.position, fs::Metadata::len);
    let view = FileView::of_record(file, size);
    let view = if is_released(config, file, candidate) { view.released() } else { view };
    with_lines(view, file.id, path.as_deref(), stat.as_ref().map(modified_ms), budget)
}

/// Was it read under a name that no group takes any more? It is read no further then, whether it has that name still or
/// was renamed.
fn is_released(config: &SourceConfig, file: &FileRecord, candidate: Option<&Candidate>) -> bool {
    candidate.is_none()
        && file.state != FileState::Superseded
        && config.kind.tail().is_some()
        && Names::group(config, OsStr::from_bytes(&file.name)).is_none()
}

/// Where a file that was moved aside stands.
fn aside(config: &SourceConfig, file: &FileRecord) -> Option<PathBuf> {
    if file.current_name.is_empty() {
        return None;
    }
    let path = config.spool_dir.join(OsStr::from_bytes(&file.current_name));
    let stat = fs::metadata(&path).ok()?;
    ((stat.dev(), stat.ino()) == (file.device, file.inode)).then_some(path)
}

fn with_lines(
    view: FileView,
    id: u64,
    path: Option<&Path>,
    modified_ms: Option<i64>,
    budget: &mut u64,
) -> FileLook {
    let behind = view.behind();
    let counted = behind.min(*budget);
    // Opened even if there is nothing to count: whether it can be is worth knowing.
    let lines = path.map_or(Ok(0), |path| count_lines(path, view.position, counted));
    *budget -= counted;
    let (lines_behind, fault) = match lines {
        Ok(lines) if counted < behind => (Some(estimate(&view, lines, counted)), None),
        Ok(lines) => (Some(lines), None),
        // It has another name by now: what is behind in it is not known before the next look.
        Err(e) if e.kind() == io::ErrorKind::NotFound => ((behind == 0).then_some(0), None),
        Err(e) => ((behind == 0).then_some(0), Some(e.into())),
    };
    let is_estimate = counted < behind && lines_behind.is_some();
    FileLook { view, id, modified_ms, lines_behind, is_estimate, fault }
}

/// By the lines counted, else by those sent, else by lines of a hundred bytes.
fn estimate(view: &FileView, lines: u64, counted: u64) -> u64 {
    let (lines, bytes) = match (lines, view.lines) {
        (1.., _) => (lines, counted),
        (0, 1..) => (view.lines, view.position),
        _ => (1, 100),
    };
    (u128::from(view.behind()) * u128::from(lines) / u128::from(bytes.max(1))) as u64
}

fn count_lines(path: &Path, from: u64, bytes: u64) -> io::Result<u64> {
    let file = tracked::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    let (mut at, end, mut lines) = (from, from + bytes, 0);
    while at < end {
        let want = buffer.len().min((end - at) as usize);
        let n = file.read_at(&mut buffer[..want], at)?;
        if n == 0 {
            break;
        }
        lines += memchr::memchr_iter(b'\n', &buffer[..n]).count() as u64;
        at += n as u64;
    }
    Ok(lines)
}

fn receipts(config: &SourceConfig) -> ReceiptsLook {
    let mut found = ReceiptsLook::default();
    let all = match receipt::read_all(&config.tracker_dir) {
        Ok(all) => all,
        Err(e) => return ReceiptsLook { fault: Some(e.into()), ..found },
    };
    for item in all {
        match item {
            Ok(receipt) => {
                let receipt = receipt.told_from(&config.spool_dir);
                // After a crash the same one may have been written again.
                if found.last.back().is_some_and(|last| last.is_same_file(&receipt)) {
                    found.last.pop_back();
                    found.count -= 1;
                }
                found.count += 1;
                found.last.push_back(receipt);
                if found.last.len() > RECEIPTS_SHOWN {
                    found.last.pop_front();
                }
            }
            Err(e) => found.fault = Some(e.into()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agents_user_could_read_is_known_by_the_error() {
        let denied = Unread::from(io::Error::from(io::ErrorKind::PermissionDenied)).of("lock");
        assert!(denied.to_string().starts_with("lock: "), "{denied}");
        assert_eq!(denied.way_out(), "; run it as the agent's user");
        // Whatever the words are.
        let damaged = Unread::from(io::Error::other("Permission denied, it says"));
        assert_eq!(damaged.way_out(), "");
    }

    #[test]
    fn a_renamed_file_is_of_the_group_that_takes_the_name_under_which_it_was_read() {
        const CONF: &str = "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = TAILDIR\n\
            a1.sources.r1.channels = c1\na1.sources.r1.positionFile = /nonexistent/p.json\n\
            a1.sources.r1.filegroups = f1 f2\na1.sources.r1.filegroups.f1 = /nonexistent/one/a.*log\n\
            a1.sources.r1.filegroups.f2 = /nonexistent/two/a.*log\n\
            a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
            a1.channels.c1.kafka.bootstrap.servers = h:1\na1.channels.c1.kafka.topic = t\n";
        let path = std::env::temp_dir().join(format!("flume-ng-look-{}", std::process::id()));
        fs::write(&path, CONF).unwrap();
        let loaded = config::load(&path, "a1").unwrap_or_else(|faults| panic!("{faults:?}"));
        fs::remove_file(&path).unwrap();
        let config = &loaded.config.sources[0];
        let is_released = |name: &str, current_name: &str, state| {
            let (name, current_name) = (name.into(), current_name.into());
            let file = FileRecord { name, current_name, state, ..FileRecord::default() };
            is_released(config, &file, None)
        };
        assert!(is_released("one/b.log", "one/b.log", FileState::Live));
        assert!(is_released("one/b.log", "one/b.log.1", FileState::Draining));
        // Taken over, or rotated while it was read.
        assert!(!is_released("one/a.log", "one/a.log.1", FileState::Draining));
        assert!(!is_released("one/b.log", "one/b.log", FileState::Superseded));
    }

    #[test]
    fn what_is_behind_in_a_file_that_is_renamed_meanwhile_is_not_known() {
        let lines = |size| {
            let view = FileView { state: "live", size, position: 1_000, ..FileView::default() };
            let path = Path::new("/nonexistent/app.log");
            with_lines(view, 1, Some(path), Some(0), &mut 1_000_000).lines_behind
        };
        // Its size was looked at under the name that it had.
        assert_eq!(lines(5_000), None);
        assert_eq!(lines(1_000), Some(0));
    }

    #[test]
    fn what_is_too_much_to_count_is_estimated() {
        let view = |position, lines| FileView {
            state: "live",
            size: 1_000_000,
            position,
            lines,
            ..FileView::default()
        };
        assert_eq!(estimate(&view(0, 0), 50, 5_000), 10_000);
        assert_eq!(estimate(&view(500_000, 1_000), 0, 0), 1_000);
        assert_eq!(estimate(&view(0, 0), 0, 0), 10_000);
    }
}
