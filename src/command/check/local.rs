//! What stands on this machine: directories, disks, tracker, files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{AgentNow, FOR_GOOD, FOR_NOW, Report};
use crate::checkpoint::ledger::DEAD_LETTER_FILE;
use crate::checkpoint::lock::{self, LockError, Tenant};
use crate::checkpoint::record::Record;
use crate::checkpoint::room::try_room;
use crate::checkpoint::spool_lock::{self, SpoolLocked};
use crate::checkpoint::{receipt, slots};
use crate::clock::{Clock as _, SystemClock};
use crate::command::look::{self, SourceLook};
use crate::config::model::{SourceConfig, SourceKind, TailConfig};
use crate::exit::Exit;
use crate::log::Level;
use crate::os;
use crate::os::canary;
use crate::pipeline::StartError;
use crate::pipeline::plan::{self, Step};
use crate::source::scan;
use crate::text::{State, counted, size, span};

/// From here on a full disk is worth a word, and a failure.
const DISK_WARN_PERCENT: u8 = 75;
const DISK_FAIL_PERCENT: u8 = 95;

pub(super) fn check(report: &mut Report, agent: &str, source: &SourceConfig) {
    report.begin(format!("source {}", source.name));
    if !spool_directory(report, source) {
        return;
    }
    let look = look::look(source);
    last_end(report, &look);
    let is_accessible = tracker_directory(report, source);
    disks(report, source);
    if is_accessible {
        tenant(report, agent, &look);
    }
    reader(report, source, &look);
    if is_accessible {
        tracker(report, source, &look);
    }
    names(report, source);
    files(report, source, &look);
}

/// `false`: there is nothing to look at further on.
fn spool_directory(report: &mut Report, source: &SourceConfig) -> bool {
    if let Some(tail) = source.kind.tail() {
        return file_groups(report, source, tail);
    }
    let (name, dir) = ("spool directory", &source.spool_dir);
    match fs::metadata(dir) {
        Err(e) => {
            let text = format!("{}: {e}; create it, or correct spoolDir", dir.display());
            report.add(name, FOR_NOW, text);
            return false;
        }
        Ok(stat) if !stat.is_dir() => {
            let text = format!("{} is not a directory; correct spoolDir", dir.display());
            report.add(name, FOR_GOOD, text);
            return false;
        }
        Ok(_) => {}
    }
    if let Err(e) = fs::read_dir(dir) {
        report.add(name, FOR_GOOD, format!("{} cannot be listed: {e}", dir.display()));
        return false;
    }
    if source.kind.marks_done() {
        report.add(name, State::Ok, format!("{}, can be listed", dir.display()));
        return true;
    }
    match canary(dir) {
        Ok(()) => report.add(name, State::Ok, format!("{}, writable", dir.display())),
        Err(e) => {
            let then = match os::is_full(&e) {
                true => "files are read and renamed all the same, but their writers need room",
                false => "files are read, but not renamed",
            };
            report.add(name, State::Warn, format!("{}: {e}: {then}", dir.display()));
        }
    }
    true
}

/// Nothing is written in the directories of groups.
fn file_groups(report: &mut Report, source: &SourceConfig, tail: &TailConfig) -> bool {
    let mut any = false;
    for group in &tail.groups {
        let name = format!("group {}", group.name);
        let dir = source.spool_dir.join(&group.place);
        match fs::read_dir(&dir) {
            Ok(_) => {
                any = true;
                report.add(&name, State::Ok, format!("{}, can be listed", dir.display()));
            }
            Err(e) => report.add(
                &name,
                if e.kind() == io::ErrorKind::NotFound { FOR_NOW } else { FOR_GOOD },
                format!(
                    "{} cannot be listed: {e}; create it, or correct {}",
                    dir.display(),
                    group.text
                ),
            ),
        }
    }
    any
}

/// `false`: nothing of what is in it can be judged; why is said.
fn tracker_directory(report: &mut Report, source: &SourceConfig) -> bool {
    let (name, dir) = ("tracker directory", &source.tracker_dir);
    if !dir.exists() {
        return tracker_directory_to_be_made(report, dir);
    }
    if let Err(e @ LockError::Unsafe { .. }) = lock::guarded(dir) {
        report.add(name, FOR_GOOD, e.to_string());
        return true;
    }
    match canary(dir) {
        Ok(()) => report.add(name, State::Ok, format!("{}, writable", dir.display())),
        // A checkpoint that exists needs no room: see the next row.
        Err(e) if os::is_full(&e) => report.add(
            name,
            FOR_NOW,
            format!("{}: {e}; receipts and dead letters need room", dir.display()),
        ),
        Err(e) => {
            let way_out = match e.kind() {
                io::ErrorKind::PermissionDenied => "chown it to the user of the agent",
                _ => {
                    "positions cannot be kept there: set trackerDir to a directory that can be written"
                }
            };
            report.add(name, FOR_GOOD, format!("{}: {e}; {way_out}", dir.display()));
            return false;
        }
    }
    if !own_files(report, dir) {
        return false;
    }
    room(report, dir, dir);
    true
}

fn tracker_directory_to_be_made(report: &mut Report, dir: &Path) -> bool {
    let name = "tracker directory";
    // The first level above it that is there has to take the new name.
    let above = dir.ancestors().skip(1).find(|d| d.exists()).unwrap_or(Path::new("."));
    match os::try_access_to_write(above) {
        Ok(()) => {
            report.add(name, State::Ok, format!("{}, to be made", dir.display()));
            room(report, dir, above);
            true
        }
        // In the words of the agent.
        Err(error) => {
            let denied = LockError::Directory { path: dir.to_owned(), error };
            report.add(name, FOR_GOOD, denied.to_string());
            false
        }
    }
}

/// A checkpoint is written in place once it is there; the first one needs its room.
fn room(report: &mut Report, dir: &Path, there: &Path) {
    let name = "room for the checkpoint";
    if dir.join(slots::FILE_NAME).exists() {
        return report.add(name, State::Ok, "it is there, and is written in place");
    }
    match try_room(there) {
        Ok(()) => report.add(name, State::Ok, "tried and removed again"),
        Err(e) => {
            let text =
                format!("{}: {e}; free disk space, nothing is sent without it", there.display());
            report.add(name, if os::is_full(&e) { FOR_NOW } else { FOR_GOOD }, text);
        }
    }
}

/// An agent that was started once as root leaves files which its own user cannot write. Are there none?
fn own_files(report: &mut Report, dir: &Path) -> bool {
    let mut are_ours = true;
    for name in [slots::FILE_NAME, lock::FILE_NAME, receipt::FILE_NAME, DEAD_LETTER_FILE] {
        let path = dir.join(name);
        match os::open_own(&path, fs::OpenOptions::new().read(true).write(true)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                // What else there may be says itself what is to be done.
                let way_out = match e.kind() {
                    io::ErrorKind::PermissionDenied => "; chown it to the user of the agent",
                    _ => "",
                };
                report.add("own files", FOR_GOOD, format!("{}: {e}{way_out}", path.display()));
                are_ours = false;
            }
            _ => {}
        }
    }
    are_ours
}

fn disks(report: &mut Report, source: &SourceConfig) {
    disk(report, "disk of spool", &source.spool_dir);
    let there = source.tracker_dir.ancestors().find(|d| d.exists());
    if let Some(dir) = there.filter(|d| !is_same_device(d, &source.spool_dir)) {
        disk(report, "disk of tracker", dir);
    }
}

fn is_same_device(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |p: &Path| fs::metadata(p).map(|s| s.dev()).ok();
    device(a) == device(b)
}

fn disk(report: &mut Report, name: &str, dir: &Path) {
    match os::disk_use(dir) {
        Err(e) => report.add(name, State::Warn, format!("{}: {e}", dir.display())),
        Ok(disk) => {
            let full = disk.used_percent.max(disk.inodes_used_percent);
            let inodes = match disk.inodes_used_percent {
                n if n >= DISK_WARN_PERCENT => format!(", {n} % of the inodes"),
                _ => String::new(),
            };
            let text = format!(
                "{} % used{inodes}, {} left",
                disk.used_percent,
                size(disk.available_bytes)
            );
            report.add(name, disk_state(full), text);
        }
    }
}

fn disk_state(used_percent: u8) -> State {
    match used_percent {
        DISK_FAIL_PERCENT.. => FOR_NOW,
        DISK_WARN_PERCENT.. => State::Warn,
        _ => State::Ok,
    }
}

/// Whether its reason is still there only somebody who has read it can say: so it is no failure, but
/// nothing is called startable either.
fn last_end(report: &mut Report, look: &SourceLook) {
    if look.end().is_none() {
        return;
    }
    report.agent = report.agent.max(AgentNow::Ended);
    for text in look.trouble_texts() {
        report.add("last end", State::Warn, text);
    }
}

/// An agent of that name which holds the directory is the one that was asked about.
fn tenant(report: &mut Report, agent: &str, look: &SourceLook) {
    let name = "no other agent";
    match &look.tenant {
        Ok(Tenant::Nobody(_)) => report.add(name, State::Ok, "the lock is free"),
        Ok(Tenant::Agent(Some(holder))) if holder.agent == agent => {
            report.agent = report.agent.max(AgentNow::Runs);
            report.add(name, State::Ok, format!("this agent runs: the lock is {holder}"));
            for text in look.current_trouble_texts() {
                report.add("agent", State::Warn, text);
            }
        }
        Ok(Tenant::Agent(Some(holder))) => {
            report.add(name, FOR_NOW, format!("the lock is {holder}"))
        }
        Ok(Tenant::Agent(None)) => report.add(name, FOR_NOW, "the lock is held by another agent"),
        Err(e) => report.add(name, State::Warn, format!("the lock cannot be examined: {e}")),
    }
}

/// Another agent may read the directory under another tracker directory.
fn reader(report: &mut Report, source: &SourceConfig, look: &SourceLook) {
    if source.kind.tail().is_some() {
        return;
    }
    let name = "no other reader";
    let shares = source.shares_spool_dir;
    let others = |dir: &PathBuf| matches!(spool_lock::look(dir, shares), Ok(SpoolLocked::Busy(_)));
    // A directory below it that another agent reads; else its own.
    let below = scan::places_below(source).into_iter().find(others);
    let dir = &below.unwrap_or_else(|| source.spool_dir.clone());
    match spool_lock::look(dir, shares) {
        Ok(SpoolLocked::Held(())) if shares => {
            report.add(name, State::Ok, "shared with agents that set it (sharedSpoolDir = true)");
        }
        Ok(SpoolLocked::Held(())) => {
            report.add(name, State::Ok, "the lock on the spool directory is free");
        }
        // That is told already.
        Ok(SpoolLocked::Busy(_)) if matches!(look.tenant, Ok(Tenant::Agent(_))) => {}
        Ok(SpoolLocked::Busy(pid)) => {
            report.add(name, FOR_NOW, spool_lock::busy_message(dir, pid));
        }
        Ok(SpoolLocked::Impossible(e)) | Err(e) => {
            let text = format!(
                "{}: cannot be locked: {e}; make sure that no other agent reads it",
                dir.display()
            );
            report.add(name, State::Warn, text);
        }
    }
}

fn tracker(report: &mut Report, source: &SourceConfig, look: &SourceLook) {
    match &look.record {
        // It goes on, and what Flume's files say is its own.
        Ok(Some(record)) if look.is_running() => valid(report, look, record),
        record => next_start(report, source, look, record.as_ref().ok().and_then(Option::as_ref)),
    }
    if let Some(fault) = &look.receipts.fault {
        report.add("receipts", State::Warn, fault.to_string());
    }
    if look.dead_letters > 0 {
        let text = format!(
            "{} that no broker took: flume-ng letters lists them, sends or drops them",
            counted(look.dead_letters, "event")
        );
        report.add("dead letters", State::Warn, text);
    }
}

/// What the agent would say, from the plan by which it starts.
fn next_start(
    report: &mut Report,
    source: &SourceConfig,
    look: &SourceLook,
    record: Option<&Record>,
) {
    let name = "tracker";
    let ends = |why: String, exit: Exit| {
        format!("{why}; the agent would end with exit code {}", exit.code())
    };
    let plan = match plan::of_next_start(source) {
        Ok(plan) => plan,
        Err(StartError::NotYet(why)) => return report.add(name, FOR_NOW, why),
        Err(StartError::Broken(why)) => {
            return report.add(name, FOR_GOOD, ends(why, Exit::BrokenPromise));
        }
        Err(StartError::Unsettled(why)) => {
            return report.add(name, FOR_GOOD, ends(why, Exit::Configuration));
        }
    };
    if let (Step::GoOn, Some(record)) = (&plan.step, record) {
        valid(report, look, record);
    }
    for (level, text) in plan.told {
        let state = match (level, &plan.step) {
            (Level::Warn | Level::Error | Level::Fatal, _) => State::Warn,
            (_, Step::Begin(Some(from), _)) if from.is_there() => State::Ok,
            _ => State::Info,
        };
        report.add(name, state, text);
    }
}

fn valid(report: &mut Report, look: &SourceLook, record: &Record) {
    let name = "tracker";
    let now_ms = SystemClock::new().now_ms();
    let age = look.checkpoint_ms.map_or(0, |ms| now_ms.saturating_sub(ms).max(0) as u64);
    let doubt = record.batches.iter().filter(|b| b.fate.is_in_doubt()).count();
    let text = format!(
        "valid, generation {}, written {} ago, {} in doubt",
        record.generation,
        span(age),
        counted(doubt as u64, "batch")
    );
    report.add(name, State::Ok, text);
    if look.is_copied {
        let text = "the checkpoint is a copy or was restored: where this agent has read on elsewhere, \
                    lines will be sent twice";
        report.add(name, State::Warn, text);
    }
}

/// Do `targetPattern` and `targetFilename` mean the same files? Flume retires a file by the one
/// and finds it by the other, and nobody tells when they differ.
fn names(report: &mut Report, source: &SourceConfig) {
    if !matches!(source.kind, SourceKind::SpoolTail) {
        return;
    }
    let likely = source.likely_names();
    let now = &likely[0];
    let name = "names agree";
    let list = fs::read_dir(&source.spool_dir).into_iter().flatten().flatten();
    let existing: Vec<String> =
        list.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let suffix = source.file_suffix.to_string_lossy();
    let lower = now.to_lowercase();
    let is_of_now = |n: &&String| {
        n.to_lowercase().contains(&lower) && !n.starts_with('.') && !n.ends_with(suffix.as_ref())
    };
    let matches = |n: &str| source.target_pattern.full_match(n.as_bytes()).unwrap_or(false);
    let ignored = |n: &str| source.ignore_pattern.full_match(n.as_bytes()).unwrap_or(false);
    if let Some(left) = existing.iter().find(|n| is_of_now(n) && !matches(n) && !ignored(n)) {
        let text = format!("{left} holds the present time {now}, but targetPattern leaves it out");
        return report.add(name, State::Warn, text);
    }
    if let Some(found) = existing.iter().find(|n| is_of_now(n) && matches(n)) {
        let text = format!("{found} is the file of the present time {now}");
        return report.add(name, State::Ok, text);
    }
    match likely.iter().find(|n| matches(n)) {
        Some(found) => report.add(name, State::Ok, format!("{found} would be read at present")),
        None => report.add(
            name,
            State::Warn,
            format!(
                "targetPattern takes no likely name with {now} in it, the present time by \
                 targetFilename {}: do both mean the same files?",
                source.target_filename_text
            ),
        ),
    }
}

fn files(report: &mut Report, source: &SourceConfig, look: &SourceLook) {
    let name = "files";
    if let Some(fault) = &look.files_fault {
        return report.add(name, FOR_GOOD, fault.to_string());
    }
    if look.files.is_empty() {
        return report.add(name, State::Info, "none match now");
    }
    let behind: u64 = look.files.iter().map(|f| f.view.behind()).sum();
    let about = if look.files.iter().any(|f| f.is_estimate) { "about " } else { "" };
    let lines = look.lines_behind().map(|lines| format!(" and {about}{}", counted(lines, "line")));
    let text = format!(
        "{} now, {}{} behind",
        counted(look.files.len() as u64, "file"),
        size(behind),
        lines.unwrap_or_default()
    );
    report.add(name, State::Ok, text);
    for remark in &look.odd_names {
        report.add("odd names", State::Warn, remark.as_str());
    }
    for file in &look.files {
        if let Some(why) = &file.fault {
            let text = format!(
                "{} cannot be read: {why}; let the user of the agent read it, or leave it out by \
                 ignorePattern",
                source.spool_dir.join(&file.view.name).display()
            );
            report.add("unreadable file", FOR_GOOD, text);
        }
    }
    for file in look.files.iter().filter(|f| f.view.position > f.view.size) {
        let text = format!(
            "{} has {} bytes but was read to {}: it was truncated and will be read from its start",
            file.view.name, file.view.size, file.view.position
        );
        report.add(name, State::Warn, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_warn_from_75_and_fail_from_95_percent() {
        let states = [0, 74, 75, 94, 95, 100].map(disk_state);
        assert_eq!(states, [State::Ok, State::Ok, State::Warn, State::Warn, FOR_NOW, FOR_NOW]);
    }
}
