//! What makes one kind of file source differ from another: a question each, with one enum of its
//! answers. A kind that answers otherwise adds a variant, and the compiler shows each place that has to
//! deal with it.
//!
//! One more question has one answer so far, which is nowhere a choice. *Where does a new file begin?*
//! At its first byte, but for what stood in the directory at the first start
//! (`pipeline::start::Begin`, `config::model::FirstByte`).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::line::{LineConfig, LineEnds};
use super::root;
use crate::config::model::{
    ConsumeOrder, DeletePolicy, FileGroup, SourceConfig, SourceKind, TailConfig, is_completed,
};
use crate::java::date::DatePattern;
use crate::java::pattern::Pattern;

/// A file that was dropped into a directory may still be written by who dropped it, ms.
const REST_MS: u64 = 1_000;

/// The answers of one source.
pub struct Policy {
    pub names: Names,
    /// Which waiting file is read first?
    pub order: ConsumeOrder,
    pub current: Current,
    pub done: Done,
    pub then: Then,
    pub content: Content,
}

/// Which names of the directory are those of its files?
pub enum Names {
    /// Those that one pattern matches and the other does not, as a whole; hidden ones and finished ones
    /// (with the suffix) are out.
    ///
    /// Where it is recursive the patterns are for the last part of a name, and no directory on the way is
    /// hidden or ignored.
    Matched { target: Pattern, ignore: Pattern, suffix: OsString, is_recursive: bool },
    /// Those that some group takes, each in its directory.
    Grouped(Vec<FileGroup>),
}

/// Which file is the one that is being written now?
pub enum Current {
    /// That whose name holds the present time, or a time to come.
    Dated(DatePattern),
    /// Each that has a name which is taken.
    Each,
    /// None: a file is whole when it appears.
    None,
}

/// When is a file done that was read to its end?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// When it is not the current one, another candidate is there, and it was left alone so long, ms.
    Succeeded { grace_ms: u64 },
    /// When it was read to its end. Its unfinished last line is a line when it was left alone for
    /// `rest_ms`, by its stamp; what is written to it later is watched for so long.
    Read { rest_ms: u64, grace_ms: u64 },
    /// Never, as long as it has a name that is taken: an unfinished last line is sent when the file was
    /// left alone for `rest_ms`, if that is given, and its newline may come later. Without such a name, when it was left
    /// alone for `grace_ms`.
    Never { rest_ms: Option<u64>, grace_ms: u64 },
}

/// What happens to a file that is done?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It gets the suffix.
    Rename,
    /// It is put aside under a hidden name, and deleted with its receipt.
    Delete,
    /// It keeps its name, and a marker in the tracker directory says that it is done.
    Mark,
    Nothing,
}

/// What is in a file?
pub enum Content {
    /// Lines of text.
    Text(LineConfig),
}

impl Policy {
    pub fn of(config: &SourceConfig) -> Policy {
        let grace_ms = config.retire_grace_ms;
        let (current, done, then) = match &config.kind {
            SourceKind::SpoolTail => (
                Current::Dated(config.target_filename.clone()),
                Done::Succeeded { grace_ms },
                match config.delete_policy {
                    DeletePolicy::Never => Then::Rename,
                    DeletePolicy::Immediate => Then::Delete,
                },
            ),
            SourceKind::SpoolDir(spool) => (
                Current::None,
                Done::Read { rest_ms: REST_MS, grace_ms },
                match config.delete_policy {
                    DeletePolicy::Never if spool.marks_done => Then::Mark,
                    DeletePolicy::Never => Then::Rename,
                    DeletePolicy::Immediate => Then::Delete,
                },
            ),
            SourceKind::Tail(TailConfig { idle_timeout_ms: rest_ms, .. }) => {
                (Current::Each, Done::Never { rest_ms: *rest_ms, grace_ms }, Then::Nothing)
            }
        };
        Policy {
            names: Names::of(config),
            order: config.consume_order,
            current,
            done,
            then,
            content: Content::of(config),
        }
    }

    /// How long a file must have been left alone before it is done, ms.
    pub fn grace_ms(&self) -> u64 {
        match self.done {
            Done::Succeeded { grace_ms }
            | Done::Never { grace_ms, .. }
            | Done::Read { grace_ms, .. } => grace_ms,
        }
    }

    /// How long a file must have been left alone, by its stamp, before it is taken for whole, ms, if files
    /// are whole when they appear.
    pub fn whole_ms(&self) -> Option<u64> {
        match self.done {
            Done::Read { rest_ms, .. } => Some(rest_ms),
            Done::Succeeded { .. } | Done::Never { .. } => None,
        }
    }

    /// How long a file that keeps its name must have been left alone before its unfinished last line is
    /// sent, ms. `None`: as long as it is not done.
    pub fn rest_ms(&self) -> Option<u64> {
        match self.done {
            Done::Succeeded { .. } | Done::Read { .. } => None,
            Done::Never { rest_ms, .. } => rest_ms,
        }
    }
}

impl Content {
    pub fn of(config: &SourceConfig) -> Content {
        Content::Text(LineConfig {
            ends: match &config.kind {
                SourceKind::SpoolTail => LineEnds::Newline,
                SourceKind::SpoolDir(_) => LineEnds::NewlineLater,
                SourceKind::Tail(tail) => tail.ends,
            },
            charset: config.input_charset.clone(),
            output: config.output_charset.clone(),
            policy: config.decode_policy,
            max_line_units: config.max_line_units,
        })
    }

    pub fn line_config(&self) -> &LineConfig {
        let Content::Text(config) = self;
        config
    }
}

impl Names {
    pub fn of(config: &SourceConfig) -> Names {
        if let Some(tail) = config.kind.tail() {
            return Names::Grouped(tail.groups.clone());
        }
        Names::Matched {
            target: config.target_pattern.clone(),
            ignore: config.ignore_pattern.clone(),
            suffix: config.file_suffix.clone(),
            is_recursive: config.kind.is_recursive(),
        }
    }

    /// Is it a file's that is to be read?
    ///
    /// # Errors
    /// A pattern that gives up on this name, in words.
    pub fn accept(&self, name: &OsStr) -> Result<bool, String> {
        let matches = |pattern: &Pattern, name: &OsStr| {
            pattern.full_match(name.as_bytes()).map_err(|e| e.to_string())
        };
        match self {
            Names::Matched { target, ignore, .. } => {
                let (place, leaf) = root::split(name);
                let is_out = self.is_out(name) || !self.descends(place)?;
                Ok(!is_out && !matches(ignore, leaf)? && matches(target, leaf)?)
            }
            Names::Grouped(groups) => {
                for group in groups_of(groups, name) {
                    if matches(&group.pattern, root::split(name).1)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Are files looked for in this place?
    ///
    /// # Errors
    /// A pattern that gives up on a name on the way, in words.
    pub fn descends(&self, place: &OsStr) -> Result<bool, String> {
        let Names::Matched { ignore, is_recursive, .. } = self else { return Ok(false) };
        if place.is_empty() {
            return Ok(true);
        }
        if !is_recursive || root::is_outside(place) {
            return Ok(false);
        }
        for part in place.as_bytes().split(|b| *b == b'/') {
            let is_ignored = || ignore.full_match(part).map_err(|e| e.to_string());
            if part.starts_with(b".") || is_ignored()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The group of a source's files that a name belongs to, if it has groups.
    pub fn group<'a>(config: &'a SourceConfig, name: &OsStr) -> Option<&'a FileGroup> {
        config.kind.tail()?.groups.get(Names::group_place(config, name)?)
    }

    /// The place of that group among all.
    pub fn group_place(config: &SourceConfig, name: &OsStr) -> Option<usize> {
        let leaf = root::split(name).1.as_bytes();
        let groups = &config.kind.tail()?.groups;
        let takes = |group: &&FileGroup| group.pattern.full_match(leaf).unwrap_or(false);
        let group = groups_of(groups, name).find(takes)?;
        groups.iter().position(|other| std::ptr::eq(other, group))
    }

    /// Is it hidden, or a finished file's, whatever the patterns say?
    pub fn is_out(&self, name: &OsStr) -> bool {
        match self {
            Names::Matched { .. } => {
                root::is_outside(name)
                    || root::split(name).1.as_bytes().starts_with(b".")
                    || self.is_completed(name)
            }
            Names::Grouped(_) => root::is_outside(name),
        }
    }

    /// What is added to the name of a finished file; nothing where it keeps its name.
    pub fn suffix(&self) -> &OsStr {
        match self {
            Names::Matched { suffix, .. } => suffix,
            Names::Grouped(_) => OsStr::new(""),
        }
    }

    /// The name of a file when it is done.
    pub fn completed(&self, name: &OsStr) -> OsString {
        let mut completed = name.to_owned();
        completed.push(self.suffix());
        completed
    }

    /// Is it that of a finished file?
    pub fn is_completed(&self, name: &OsStr) -> bool {
        match self {
            Names::Matched { suffix, .. } => is_completed(name.as_bytes(), suffix.as_bytes()),
            Names::Grouped(_) => false,
        }
    }

    /// The name that a finished file had, if it was one that is accepted.
    pub fn name_before(&self, name: &OsStr) -> Option<OsString> {
        let (bytes, suffix) = (name.as_bytes(), self.suffix().as_bytes());
        if suffix.is_empty() || !is_completed(bytes, suffix) {
            return None;
        }
        let at = bytes.windows(suffix.len()).rposition(|part| part == suffix)?;
        let before = OsStr::from_bytes(&bytes[..at]);
        self.accept(before).unwrap_or(false).then(|| before.to_owned())
    }
}

/// The groups of the directory in which the name is.
fn groups_of<'a>(groups: &'a [FileGroup], name: &OsStr) -> impl Iterator<Item = &'a FileGroup> {
    let place = root::split(name).0.to_owned();
    let is_outside = root::is_outside(name);
    groups.iter().filter(move |group| !is_outside && group.place == place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_name_with_a_number_is_no_candidate_again() {
        assert!(is_completed(b"a.log.COMPLETED", b".COMPLETED"));
        assert!(is_completed(b"a.log.COMPLETED.1", b".COMPLETED"));
        assert!(is_completed(b"a.log.COMPLETED.12", b".COMPLETED"));
        assert!(!is_completed(b"a.log.COMPLETED.", b".COMPLETED"));
        assert!(!is_completed(b"a.log.COMPLETED.1x", b".COMPLETED"));
        assert!(!is_completed(b"2017041212", b".COMPLETED"));
        assert!(!is_completed(b"a.log.COMPLETED1", b".COMPLETED"));
    }
}
