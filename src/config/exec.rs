//! The properties of an `exec` source, whose command is tail: the files that it names are followed by the
//! agent itself, with positions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::diagnostics::Diagnostics;
use super::known::{Property, Scope, row};
use super::model::{FileGroup, LineEnds, SourceConfig, SourceKind, TailConfig};
use super::section::Section;
use super::tail_command::{self, TailCommand};
use super::taildir::{Named, bare, below_one_root, without_dots};
use super::{headers, interceptor, source};
use crate::java::charset::Charset;
use crate::java::pattern::Pattern;

pub(super) const TYPES: [&str; 2] = ["exec", "org.apache.flume.source.ExecSource"];

const fn of(name: &str) -> &'static Property {
    row(Scope::Exec, name)
}

/// Builds the source; `None` if what it needs is missing or wrong, which is told.
pub(super) fn build(
    section: &Section,
    found: &mut Diagnostics,
    resolve: impl Fn(&str) -> Option<usize>,
) -> Option<SourceConfig> {
    section.check_names(found, &[Scope::Exec, Scope::EachSource]);
    let destinations = source::channels(section, found, resolve);
    let command = command(section, found);
    let batch_size = section.number(found, const { of("batchSize") });
    let charset = charset(section, found);
    let interceptors = interceptor::build_all(section, found);
    let common = source::Common::of(section, found);
    let tracker_dir = tracker_dir(section, found);
    let (text, command) = command?;
    let named = named(section, found, &command)?;
    let (root, groups) = below_one_root(named);
    let tail = TailConfig {
        groups,
        position_file: None,
        position_interval_ms: 0,
        begin: command.begin,
        idle_timeout_ms: None,
        ends: LineEnds::Any,
        command: Some(text),
        by_descriptor: command.by_descriptor,
        batches_in_turn: u64::MAX,
        byte_offset_header: false,
    };
    let charset = charset?;
    Some(SourceConfig {
        kind: SourceKind::Tail(tail),
        batch_size: usize::try_from(batch_size).unwrap_or(usize::MAX),
        input_charset: charset.clone(),
        output_charset: charset,
        interceptors,
        event_text: headers::event_text(section),
        ..bare(section, destinations?, root, tracker_dir?, common)
    })
}

fn command(section: &Section, found: &mut Diagnostics) -> Option<(String, TailCommand)> {
    let Some(prop) = section.get("command") else {
        let message = format!(
            "The parameter command must be specified; write {} = tail -F /path/of/the.log",
            section.key("command")
        );
        section.missing(found, source::scopes(section), "command", message);
        return None;
    };
    let shell = section.get("shell").map(|prop| prop.value.as_str());
    match tail_command::parse(&prop.value, shell) {
        Ok(command) => {
            warn_of(section, found, &command);
            Some((prop.value.clone(), command))
        }
        Err(why) => {
            section.error(found, "command", why);
            None
        }
    }
}

fn warn_of(section: &Section, found: &mut Diagnostics, command: &TailCommand) {
    if command.by_descriptor {
        let message = "tail -f stays with a file that is renamed, as long as the agent runs: the \
                       file that gets its name is read after a restart; write tail -F to switch \
                       to it at once";
        section.warn(found, "command", message);
    }
    if command.has_headings {
        let message = "tail would put a heading before the lines of each file; they are left out (write -q \
                       to say so)";
        section.warn(found, "command", message);
    }
}

/// Newlines and carriage returns are looked for by bytes.
fn charset(section: &Section, found: &mut Diagnostics) -> Option<Charset> {
    let row = const { of("charset") };
    let charset = match Charset::for_name(&section.text(row)) {
        Ok(charset) => charset,
        Err(e) => {
            section.error(found, row.name, e.to_string());
            return None;
        }
    };
    if charset.looks_at_file() || charset.little_endian().is_some() {
        let message = format!(
            "{} has two bytes for a newline, which is not supported here; use a source of type spooltail",
            charset.name()
        );
        section.error(found, row.name, message);
        return None;
    }
    Some(charset)
}

/// Each file as a group of its own, whose pattern is its name.
fn named(section: &Section, found: &mut Diagnostics, command: &TailCommand) -> Option<Vec<Named>> {
    let mut named: Vec<Named> = Vec::new();
    for file in &command.files {
        let text = file.to_string_lossy().into_owned();
        let path = match std::path::absolute(file) {
            Ok(path) => without_dots(&path),
            Err(e) => {
                let message = format!("no working directory ({e}); write absolute paths");
                section.error(found, "command", message);
                return None;
            }
        };
        let (Some(dir), Some(leaf)) = (path.parent(), path.file_name()) else {
            section.error(found, "command", format!("{text} is not the name of a file"));
            return None;
        };
        let java = quoted(&leaf.to_string_lossy());
        let pattern = Pattern::compile(&java).ok()?;
        let group = FileGroup {
            name: text.clone(),
            text: path.display().to_string(),
            place: OsString::new(),
            pattern,
            headers: Vec::new(),
        };
        if named.iter().any(|(other, g)| *other == dir && g.text == group.text) {
            section.warn(found, "command", format!("{text} is named twice; once is enough"));
        } else {
            named.push((dir.to_owned(), group));
        }
    }
    Some(named)
}

/// A pattern that matches this text and no other.
fn quoted(text: &str) -> String {
    let mut java = String::new();
    for letter in text.chars() {
        if !letter.is_alphanumeric() && letter.is_ascii() {
            java.push('\\');
        }
        java.push(letter);
    }
    java
}

/// `trackerDir`, or a directory below the home directory.
fn tracker_dir(section: &Section, found: &mut Diagnostics) -> Option<PathBuf> {
    let name = "trackerDir";
    let text = match section.get(name) {
        Some(prop) => PathBuf::from(&prop.value),
        None => match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            Some(home) => {
                let agent = section.prefix.split('.').next().unwrap_or_default();
                Path::new(&home).join(".flume-ng").join(agent).join(&section.name)
            }
            None => {
                let message = "there is no home directory to keep positions in; write a path";
                section.error(found, name, message);
                return None;
            }
        },
    };
    match std::path::absolute(&text) {
        Ok(path) => Some(path),
        Err(e) => {
            section.error(
                found,
                name,
                format!("no working directory ({e}); write an absolute path"),
            );
            None
        }
    }
}
