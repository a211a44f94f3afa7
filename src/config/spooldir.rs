//! The properties of a `spooldir` source: whole files that are dropped into a directory.

use super::diagnostics::Diagnostics;
use super::known::{Property, Scope, row};
use super::model::{SourceConfig, SourceKind, SpoolDirConfig};
use super::section::Section;
use super::taildir::bare;
use super::{headers, interceptor, source};

pub(super) const TYPES: [&str; 2] = ["spooldir", "org.apache.flume.source.SpoolDirectorySource"];

const fn of(name: &str) -> &'static Property {
    row(Scope::SpoolDir, name)
}

/// Builds the source; `None` if what it needs is missing or wrong, which is told.
pub(super) fn build(
    section: &Section,
    found: &mut Diagnostics,
    resolve: impl Fn(&str) -> Option<usize>,
) -> Option<SourceConfig> {
    section.check_names(found, &[Scope::SpoolDir, Scope::EachSource]);
    source::check_deserializer(section, found);
    let destinations = source::channels(section, found, resolve);
    let directories = source::directories(section, found, const { of("trackerDir") });
    let include = source::pattern(section, found, const { of("includePattern") });
    let ignore = source::pattern(section, found, const { of("ignorePattern") });
    let input = source::charset(section, found, const { of("inputCharset") });
    let output = source::charset(section, found, const { of("deserializer.outputCharset") });
    let number = |found: &mut Diagnostics, row: &Property| {
        usize::try_from(section.number(found, row)).unwrap_or(usize::MAX)
    };
    let batch_size = number(found, const { of("batchSize") });
    let old = const { of("bufferMaxLineLength") };
    let row = if section.get(old.name).is_some() {
        old
    } else {
        const { of("deserializer.maxLineLength") }
    };
    let max_line_units = number(found, row);
    let spool = SpoolDirConfig {
        is_recursive: section.boolean(found, const { of("recursiveDirectorySearch") }),
        marks_done: marks_done(section, found),
    };
    let (delete_policy, consume_order, decode_policy) = source::choices(section, found);
    let file_header =
        source::header(section, found, const { of("fileHeader") }, const { of("fileHeaderKey") });
    let basename_header = source::header(
        section,
        found,
        const { of("basenameHeader") },
        const { of("basenameHeaderKey") },
    );
    let interceptors = interceptor::build_all(section, found);
    let common = source::Common::of(section, found);
    let file_suffix = source::file_suffix(section, found).into();
    let (spool_dir_text, spool_dir, tracker_dir) = directories?;
    Some(SourceConfig {
        kind: SourceKind::SpoolDir(spool),
        spool_dir_text,
        file_suffix,
        delete_policy,
        ignore_pattern: ignore?,
        target_pattern: include?,
        consume_order,
        batch_size,
        input_charset: input?,
        output_charset: output?,
        decode_policy,
        max_line_units,
        file_header,
        basename_header,
        interceptors,
        event_text: headers::event_text(section),
        ..bare(section, destinations?, spool_dir, tracker_dir, common)
    })
}

fn marks_done(section: &Section, found: &mut Diagnostics) -> bool {
    let Some(prop) = section.get("trackingPolicy") else { return false };
    let is = |policy: &str| prop.value.eq_ignore_ascii_case(policy);
    if !is("rename") && !is("tracker_dir") {
        let message = format!("{} is neither rename nor tracker_dir", prop.shown());
        section.error(found, "trackingPolicy", message);
    }
    is("tracker_dir")
}
