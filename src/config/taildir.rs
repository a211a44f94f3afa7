//! The properties of a `TAILDIR` source.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::diagnostics::Diagnostics;
use super::known::{Property, Scope, row};
use super::model::{
    ConsumeOrder, DecodePolicy, DeletePolicy, EventText, FileGroup, FirstByte, LineEnds, Selector,
    SourceConfig, SourceKind, TailConfig,
};
use super::section::{Section, words};
use super::{headers, interceptor, source};
use crate::clock::BACKOFF_MS_MIN;
use crate::java::charset::Charset;
use crate::java::date::DatePattern;
use crate::java::hash::map_order;
use crate::java::pattern::Pattern;

pub(super) const TYPES: [&str; 2] = ["TAILDIR", "org.apache.flume.source.taildir.TaildirSource"];

const FILEGROUPS: &str = "filegroups";

const fn of(name: &str) -> &'static Property {
    row(Scope::Taildir, name)
}

/// Builds the source; `None` if what it needs is missing or wrong, which is told.
pub(super) fn build(
    section: &Section,
    found: &mut Diagnostics,
    resolve: impl Fn(&str) -> Option<usize>,
) -> Option<SourceConfig> {
    section.check_names(found, &[Scope::Taildir, Scope::EachSource]);
    let channels = source::channels(section, found, resolve);
    let named = groups(section, found);
    let position_file = position_file(section, found);
    let batch_size = section.number(found, const { of("batchSize") });
    let batches = const { of("maxBatchCount") };
    let batches_in_turn = match section.number(found, batches) {
        0 => {
            let text = "Invalid maxBatchCount specified, initializing source default maxBatchCount \
                        of 9223372036854775807; write 1 or more";
            section.warn(found, batches.name, text);
            u64::MAX
        }
        n => n,
    };
    let begin = match section.boolean(found, const { of("skipToEnd") }) {
        true => FirstByte::NextLine,
        false => FirstByte::Beginning,
    };
    let file_header =
        source::header(section, found, const { of("fileHeader") }, const { of("fileHeaderKey") });
    let byte_offset_header = section.boolean(found, const { of("byteOffsetHeader") });
    let idle_timeout_ms = section.number(found, const { of("idleTimeout") });
    let position_interval_ms = section.number(found, const { of("writePosInterval") });
    let interceptors = interceptor::build_all(section, found);
    let common = source::Common::of(section, found);
    let (position_file, named) = (position_file?, named?);
    let (root, groups) = below_one_root(named);
    let mut tracker_dir = position_file.clone().into_os_string();
    tracker_dir.push(".d");
    let tail = TailConfig {
        groups,
        position_file: Some(position_file),
        position_interval_ms,
        begin,
        idle_timeout_ms: Some(idle_timeout_ms),
        ends: LineEnds::Verbatim,
        command: None,
        by_descriptor: false,
        batches_in_turn,
        byte_offset_header,
    };
    let base = bare(section, channels?, root, tracker_dir.into(), common);
    Some(SourceConfig {
        kind: SourceKind::Tail(tail),
        batch_size: usize::try_from(batch_size).unwrap_or(usize::MAX),
        file_header,
        interceptors,
        event_text: headers::event_text(section),
        ..base
    })
}

/// A source of this directory without anything that only one kind of source has.
pub(super) fn bare(
    section: &Section,
    channels: Vec<usize>,
    root: PathBuf,
    tracker_dir: PathBuf,
    common: source::Common,
) -> SourceConfig {
    // Of a source whose files have no dates.
    let every = || Pattern::compile(".*").expect("a pattern that matches everything");
    let none = || Pattern::compile("^$").expect("a pattern that matches nothing");
    SourceConfig {
        name: section.name.clone(),
        kind: SourceKind::SpoolTail,
        destinations: channels,
        selector: Selector::Replicating,
        optional: Vec::new(),
        spool_dir_text: root.display().to_string(),
        spool_dir: root,
        tracker_dir,
        file_suffix: OsString::new(),
        delete_policy: DeletePolicy::Never,
        ignore_pattern: none(),
        target_pattern: every(),
        target_filename: DatePattern::parse("yyyy").expect("a date pattern"),
        target_filename_text: String::new(),
        consume_order: ConsumeOrder::Oldest,
        batch_size: 100,
        input_charset: Charset::UTF_8,
        output_charset: Charset::UTF_8,
        decode_policy: DecodePolicy::Replace,
        max_line_units: usize::MAX,
        file_header: None,
        basename_header: None,
        interceptors: Vec::new(),
        event_text: EventText::default(),
        backoff_ms_max: common.backoff_ms_max.max(BACKOFF_MS_MIN),
        retire_grace_ms: common.retire_grace_ms,
        on_bad_checkpoint: common.on_bad_checkpoint,
        on_no_checkpoint: common.on_no_checkpoint,
        follows_links: true,
        shares_spool_dir: common.shares_spool_dir,
    }
}

/// A group and the directory of its files, absolute.
pub(super) type Named = (PathBuf, FileGroup);

/// The groups in the order in which Flume looks at them. `None`: there is none, which is told.
fn groups(section: &Section, found: &mut Diagnostics) -> Option<Vec<Named>> {
    let Some(list) = section.get(FILEGROUPS) else {
        let message = format!(
            "Missing param: filegroups; write {} = f1 and {} = /path/of/the/logs/.*log",
            section.key(FILEGROUPS),
            section.key("filegroups.f1")
        );
        section.missing(found, source::scopes(section), FILEGROUPS, message);
        return None;
    };
    let names = words(found, &section.key(FILEGROUPS), &list.value, list.line);
    warn_unlisted(section, found, &names);
    let mut is_right = true;
    let mut groups = Vec::new();
    for name in map_order(&names) {
        let key = format!("{FILEGROUPS}.{name}");
        let Some(prop) = section.get(&key) else {
            let message = format!(
                "group {name} has no pattern, so it is left out; write {} = /path/of/the/logs/.*log",
                section.key(&key)
            );
            section.warn(found, FILEGROUPS, message);
            continue;
        };
        let text = prop.value.clone();
        match group(section, found, name, &key, &text) {
            Some(group) => groups.push(group),
            None => is_right = false,
        }
    }
    if groups.is_empty() && is_right {
        let message = "Mapping for tailing files is empty or invalid: no group has a pattern";
        section.error(found, FILEGROUPS, message);
    }
    (is_right && !groups.is_empty()).then_some(groups)
}

fn group(
    section: &Section,
    found: &mut Diagnostics,
    name: &str,
    key: &str,
    text: &str,
) -> Option<Named> {
    let Some((dir, java)) = text.rsplit_once('/') else {
        let message =
            format!("\"{text}\" has no directory; write a path such as /path/of/the/logs/{text}");
        section.error(found, key, message);
        return None;
    };
    if let Some(c) = section.get(key).and_then(|prop| prop.bare) {
        let message = format!(
            "double the backslash: a properties file drops a single one, so that \\{c} is {c} here, and \
             the pattern is {java}; write \\\\{c}"
        );
        section.warn(found, key, message);
    }
    let dir = if dir.is_empty() { "/" } else { dir };
    let dir = match std::path::absolute(dir) {
        Ok(dir) => without_dots(&dir),
        Err(e) => {
            section.error(
                found,
                key,
                format!("no working directory ({e}); write an absolute path"),
            );
            return None;
        }
    };
    let pattern = match Pattern::compile(java) {
        Ok(pattern) => pattern,
        Err(e) => {
            let message =
                format!("{e} (the pattern begins behind the last slash and cannot hold one)");
            section.error(found, key, message);
            return None;
        }
    };
    let headers = headers(section, found, name);
    let place = OsString::new();
    let group = FileGroup { name: name.to_owned(), text: text.to_owned(), place, pattern, headers };
    Some((dir, group))
}

/// `headers.GROUP.KEY`.
fn headers(section: &Section, found: &mut Diagnostics, group: &str) -> Vec<(String, String)> {
    let start = format!("headers.{group}");
    let mut headers = Vec::new();
    for prop in &section.props {
        let Some(rest) = prop.name.strip_prefix(&start) else { continue };
        match rest.strip_prefix('.') {
            Some(key) if !key.is_empty() => headers.push((key.to_owned(), prop.value.clone())),
            _ if rest.is_empty() || rest == "." => {
                let message = format!("a header needs a key; write {}.KEY", section.key(&start));
                section.error(found, &prop.name, message);
            }
            // Another group's, whose name is longer.
            _ => {}
        }
    }
    headers
}

fn warn_unlisted(section: &Section, found: &mut Diagnostics, names: &[String]) {
    for prop in &section.props {
        let of_group = prop.name.strip_prefix("filegroups.");
        let of_header = prop.name.strip_prefix("headers.");
        let is_listed = |rest: &str, exact: bool| {
            names.iter().any(|name| match rest.strip_prefix(name.as_str()) {
                Some(rest) => rest.is_empty() || !exact && rest.starts_with('.'),
                None => false,
            })
        };
        let is_unlisted = of_group.is_some_and(|rest| !is_listed(rest, true))
            || of_header.is_some_and(|rest| !is_listed(rest, false));
        if is_unlisted {
            let message = format!(
                "that group is not listed, so it is ignored; add it to {}",
                section.key(FILEGROUPS)
            );
            section.warn(found, &prop.name, message);
        }
    }
}

/// Absolute.
fn position_file(section: &Section, found: &mut Diagnostics) -> Option<PathBuf> {
    let name = "positionFile";
    let text = match section.get(name) {
        Some(prop) => PathBuf::from(&prop.value),
        None => match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            Some(home) => Path::new(&home).join(".flume/taildir_position.json"),
            None => {
                let message = "there is no home directory for its default; write a path";
                section.error(found, name, message);
                return None;
            }
        },
    };
    let is_bare = text.parent().is_none_or(|parent| parent.as_os_str().is_empty());
    let path = match std::path::absolute(&text) {
        Ok(path) => path,
        Err(e) => {
            section.error(
                found,
                name,
                format!("no working directory ({e}); write an absolute path"),
            );
            return None;
        }
    };
    if path.file_name().is_none() {
        section.error(found, name, format!("{} is not the name of a file", path.display()));
        return None;
    }
    if is_bare {
        let message = format!(
            "it has no directory (Flume fails at that); {} is meant, from where the agent is started",
            path.display()
        );
        section.warn(found, name, message);
    }
    Some(path)
}

/// The directory that all groups have in common, and the groups below it.
pub(super) fn below_one_root(named: Vec<Named>) -> (PathBuf, Vec<FileGroup>) {
    let mut root = named[0].0.clone();
    for (dir, _) in &named {
        while !dir.starts_with(&root) {
            root.pop();
        }
    }
    let below = |(dir, group): Named| {
        let place = dir.strip_prefix(&root).unwrap_or(&dir).as_os_str().to_owned();
        FileGroup { place, ..group }
    };
    let groups = named.into_iter().map(below).collect();
    (root, groups)
}

/// Doubled slashes and `.` go, `..` stays: behind a symbolic link it leads elsewhere.
pub(super) fn without_dots(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_one_root() {
        let group = |dir: &str| {
            let pattern = Pattern::compile(".*").unwrap();
            let (name, text, place) = (String::new(), String::new(), OsString::new());
            (PathBuf::from(dir), FileGroup { name, text, place, pattern, headers: Vec::new() })
        };
        for (dirs, root, places) in [
            (vec!["/a/b"], "/a/b", vec![""]),
            (vec!["/a/b", "/a/b"], "/a/b", vec!["", ""]),
            (vec!["/a/b", "/a/c/d"], "/a", vec!["b", "c/d"]),
            (vec!["/a/b", "/a"], "/a", vec!["b", ""]),
            (vec!["/a", "/b"], "/", vec!["a", "b"]),
            (vec!["/ab", "/a"], "/", vec!["ab", "a"]),
        ] {
            let (found, groups) = below_one_root(dirs.iter().map(|dir| group(dir)).collect());
            assert_eq!(found, Path::new(root), "{dirs:?}");
            let found: Vec<_> = groups.iter().map(|g| g.place.to_str().unwrap()).collect();
            assert_eq!(found, places, "{dirs:?}");
        }
    }
}
