//! The properties of a `SpoolDirectoryTailFileSource`.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use super::diagnostics::Diagnostics;
use super::interceptor;
use super::known::{Property, Scope, row};
use super::model::DecodePolicy;
use super::model::{
    ConsumeOrder, DeletePolicy, OnBadCheckpoint, OnNoCheckpoint, Selector, SourceConfig, SourceKind,
};
use super::section::{Section, type_meant, words};
use super::sharing::{self, Overlap, Taker};
use super::{exec, headers, selector, spooldir, taildir};
use crate::clock::{BACKOFF_MS_MIN, Clock as _, SystemClock};
use crate::java::charset::Charset;
use crate::java::date::DatePattern;
use crate::java::pattern::Pattern;

/// Names of the source's type: its alias here and its class in Flume.
const TYPES: [&str; 2] =
    ["spooltail", "com.github.ningg.flume.source.SpoolDirectoryTailFileSource"];
const LINE_DESERIALIZER: &str = "org.apache.flume.serialization.LineDeserializer$Builder";

const fn of(name: &str) -> &'static Property {
    row(Scope::Source, name)
}

/// Which rows of the table are those of a source.
pub(super) fn scopes(section: &Section) -> &'static [Scope] {
    if section.type_is(&taildir::TYPES) {
        return &[Scope::Taildir, Scope::EachSource];
    }
    if section.type_is(&exec::TYPES) {
        return &[Scope::Exec, Scope::EachSource];
    }
    if section.type_is(&spooldir::TYPES) {
        return &[Scope::SpoolDir, Scope::EachSource];
    }
    &[Scope::Source]
}

/// The names in the source's `channels`, for the graph; faults are told by [`build`].
pub(crate) fn channel_names(section: &Section) -> Vec<String> {
    let mut unheard = Diagnostics::new("");
    match section.get("channels").or_else(|| section.misspelt(scopes(section), "channels")) {
        Some(prop) => words(&mut unheard, "", &prop.value, prop.line),
        None => Vec::new(),
    }
}

/// Builds the source. `resolve` finds the index of a channel. `None` if what it needs is missing
/// or wrong; the errors are in `found`.
pub(crate) fn build(
    section: &Section,
    found: &mut Diagnostics,
    resolve: impl Fn(&str) -> Option<usize> + Copy,
) -> Option<SourceConfig> {
    if section.props.is_empty() || !has_known_type(section, found) {
        return None;
    }
    let mut source = build_kind(section, found, resolve)?;
    (source.selector, source.optional) =
        selector::build(section, found, &source.destinations, resolve);
    Some(source)
}

fn build_kind(
    section: &Section,
    found: &mut Diagnostics,
    resolve: impl Fn(&str) -> Option<usize>,
) -> Option<SourceConfig> {
    if section.type_is(&taildir::TYPES) {
        return taildir::build(section, found, resolve);
    }
    if section.type_is(&exec::TYPES) {
        return exec::build(section, found, resolve);
    }
    if section.type_is(&spooldir::TYPES) {
        return spooldir::build(section, found, resolve);
    }
    section.check_names(found, &[Scope::Source]);
    check_deserializer(section, found);
    let channels = channels(section, found, resolve);
    let directories = directories(section, found, const { of("trackerDir") });
    let ignore_pattern = pattern(section, found, const { of("ignorePattern") });
    let target_pattern = pattern(section, found, const { of("targetPattern") });
    let target_filename_text = section.text(const { of("targetFilename") });
    let target_filename =
        tell(section, found, "targetFilename", DatePattern::parse(&target_filename_text));
    let input_charset = charset(section, found, const { of("inputCharset") });
    let output_charset = charset(section, found, const { of("deserializer.outputCharset") });
    let interceptors = interceptor::build_all(section, found);
    let count = |found: &mut Diagnostics, row: &Property| {
        usize::try_from(section.number(found, row)).unwrap_or(usize::MAX)
    };
    let batch_size = count(found, const { of("batchSize") });
    let max_line_units = count(found, const { of("deserializer.maxLineLength") });
    let backoff_ms_max = backoff_ms_max(section, found);
    let retire_grace_ms = section.number(found, const { of("retireGraceMs") });
    let (delete_policy, consume_order, decode_policy) = choices(section, found);
    let (on_bad_checkpoint, on_no_checkpoint) = without_state(section, found);
    let file_header =
        header(section, found, const { of("fileHeader") }, const { of("fileHeaderKey") });
    let basename_header =
        header(section, found, const { of("basenameHeader") }, const { of("basenameHeaderKey") });
    let (spool_dir_text, spool_dir, tracker_dir) = directories?;
    let source = SourceConfig {
        name: section.name.clone(),
        kind: SourceKind::SpoolTail,
        destinations: channels?,
        selector: Selector::Replicating,
        optional: Vec::new(),
        spool_dir_text,
        spool_dir,
        tracker_dir,
        file_suffix: file_suffix(section, found).into(),
        delete_policy,
        ignore_pattern: ignore_pattern?,
        target_pattern: target_pattern?,
        target_filename: target_filename?,
        target_filename_text,
        consume_order,
        batch_size,
        input_charset: input_charset?,
        output_charset: output_charset?,
        decode_policy,
        max_line_units,
        file_header,
        basename_header,
        interceptors,
        event_text: headers::event_text(section),
        backoff_ms_max,
        retire_grace_ms,
        on_bad_checkpoint,
        on_no_checkpoint,
        follows_links: section.boolean(found, const { of("followLinks") }),
        shares_spool_dir: section.boolean(found, const { of("sharedSpoolDir") }),
    };
    warn_of_slips(section, found, &source.target_filename);
    warn_if_names_disagree(section, found, &source);
    Some(source)
}

/// What every source has.
pub(super) struct Common {
    pub backoff_ms_max: u64,
    pub retire_grace_ms: u64,
    pub on_bad_checkpoint: OnBadCheckpoint,
    pub on_no_checkpoint: OnNoCheckpoint,
    pub shares_spool_dir: bool,
}

impl Common {
    pub(super) fn of(section: &Section, found: &mut Diagnostics) -> Common {
        let (on_bad_checkpoint, on_no_checkpoint) = without_state(section, found);
        Common {
            backoff_ms_max: section.number(found, const { of("maxBackoff") }),
            retire_grace_ms: section.number(found, const { of("retireGraceMs") }),
            on_bad_checkpoint,
            on_no_checkpoint,
            shares_spool_dir: section.boolean(found, const { of("sharedSpoolDir") }),
        }
    }
}

fn has_known_type(section: &Section, found: &mut Diagnostics) -> bool {
    let Some(prop) = section.get("type") else {
        let message = format!(
            "Component has no type. Cannot configure. {}; write {} = {}",
            section.name,
            section.key("type"),
            TYPES[1]
        );
        section.error(found, "type", message);
        return false;
    };
    let known = [TYPES, taildir::TYPES, exec::TYPES, spooldir::TYPES];
    if !known.iter().any(|names| section.type_is(names)) {
        let all = format!(
            "only {} (or {}), {}, {} and {} are supported",
            TYPES[1],
            TYPES[0],
            taildir::TYPES[0],
            exec::TYPES[0],
            spooldir::TYPES[0]
        );
        let way_out = type_meant(&prop.value, known.as_flattened(), &all);
        let message = format!("Unable to load source type: {}; {way_out}", prop.shown());
        section.error(found, "type", message);
        return false;
    }
    true
}

pub(super) fn check_deserializer(section: &Section, found: &mut Diagnostics) {
    if let Some(prop) = section.get("deserializer")
        && !["LINE", LINE_DESERIALIZER].iter().any(|n| n.eq_ignore_ascii_case(&prop.value))
    {
        let message =
            format!("deserializer {} is not supported: only LINE is; write LINE", prop.shown());
        section.error(found, "deserializer", message);
    }
}

pub(super) fn channels(
    section: &Section,
    found: &mut Diagnostics,
    resolve: impl Fn(&str) -> Option<usize>,
) -> Option<Vec<usize>> {
    let Some(prop) = section.get("channels") else {
        let message =
            format!("No channels set for {}; write {} = c1", section.name, section.key("channels"));
        section.missing(found, scopes(section), "channels", message);
        return None;
    };
    let mut indices = Vec::new();
    for name in words(found, &section.key("channels"), &prop.value, prop.line) {
        match resolve(&name) {
            Some(index) => indices.push(index),
            None => {
                let message = format!(
                    "No Channels configured for {}: channel {name} is not listed; add it to the \
                     agent's channels",
                    section.name
                );
                section.error(found, "channels", message);
            }
        }
    }
    (!indices.is_empty()).then_some(indices)
}

/// spoolDir as written, spoolDir and trackerDir made absolute.
pub(super) fn directories(
    section: &Section,
    found: &mut Diagnostics,
    tracker: &Property,
) -> Option<(String, PathBuf, PathBuf)> {
    let Some(text) = section.get("spoolDir").map(|p| p.value.clone()) else {
        let message = format!(
            "Configuration must specify a spooling directory; write {} = /path/of/the/logs",
            section.key("spoolDir")
        );
        section.missing(found, scopes(section), "spoolDir", message);
        return None;
    };
    let spool_dir = match std::path::absolute(&text) {
        Ok(path) => path,
        Err(error) => {
            section.error(
                found,
                "spoolDir",
                format!("no working directory ({error}); write an absolute path"),
            );
            return None;
        }
    };
    let tracker_dir = spool_dir.join(section.text(tracker));
    Some((text, spool_dir, tracker_dir))
}

pub(super) fn file_suffix(section: &Section, found: &mut Diagnostics) -> String {
    let suffix = section.text(const { of("fileSuffix") });
    if suffix.contains(['/', '\0']) {
        let message = format!("\"{suffix}\" cannot end a file's name; write one without a slash");
        section.error(found, "fileSuffix", message);
    }
    suffix
}

/// Turns an error into a diagnostic.
fn tell<T, E: Display>(
    section: &Section,
    found: &mut Diagnostics,
    name: &str,
    result: Result<T, E>,
) -> Option<T> {
    result.map_err(|error| section.error(found, name, error.to_string())).ok()
}

pub(super) fn pattern(
    section: &Section,
    found: &mut Diagnostics,
    row: &Property,
) -> Option<Pattern> {
    section.warn_if_bare(found, row);
    tell(section, found, row.name, Pattern::compile(&section.text(row)))
}

pub(super) fn charset(
    section: &Section,
    found: &mut Diagnostics,
    row: &Property,
) -> Option<Charset> {
    tell(section, found, row.name, Charset::for_name(&section.text(row)))
}

pub(super) fn header(
    section: &Section,
    found: &mut Diagnostics,
    switch: &Property,
    key: &Property,
) -> Option<String> {
    section.boolean(found, switch).then(|| section.text(key))
}

pub(super) fn choices(
    section: &Section,
    found: &mut Diagnostics,
) -> (DeletePolicy, ConsumeOrder, DecodePolicy) {
    use ConsumeOrder::{Oldest, Random, Youngest};
    use DecodePolicy::{Fail, Ignore, Replace};
    let deletes = [("never", DeletePolicy::Never), ("immediate", DeletePolicy::Immediate)];
    let orders = [("oldest", Oldest), ("youngest", Youngest), ("random", Random)];
    let decodes = [("FAIL", Fail), ("REPLACE", Replace), ("IGNORE", Ignore)];
    (
        section.choice(found, const { of("deletePolicy") }, deletes),
        section.choice(found, const { of("consumeOrder") }, orders),
        section.choice(found, const { of("decodeErrorPolicy") }, decodes),
    )
}

/// What to do where the positions are unreadable, and where there are none.
fn without_state(section: &Section, found: &mut Diagnostics) -> (OnBadCheckpoint, OnNoCheckpoint) {
    let bad = [
        ("fail", OnBadCheckpoint::Fail),
        ("beginning", OnBadCheckpoint::Beginning),
        ("end", OnBadCheckpoint::End),
        ("topic", OnBadCheckpoint::Topic),
    ];
    let none = [
        ("beginning", OnNoCheckpoint::Beginning),
        ("end", OnNoCheckpoint::End),
        ("topic", OnNoCheckpoint::Topic),
    ];
    (
        section.choice(found, const { of("onBadCheckpoint") }, bad),
        section.choice(found, const { of("onNoCheckpoint") }, none),
    )
}

/// `msxBackoff` is the name that Flume reads, so it wins over the right spelling.
fn backoff_ms_max(section: &Section, found: &mut Diagnostics) -> u64 {
    let (meant, flumes) = (const { of("maxBackoff") }, const { of("msxBackoff") });
    let right = section.number(found, meant);
    let row = if section.get(flumes.name).is_some() { flumes } else { meant };
    let (name, value) = (row.name, section.number(found, row));
    if section.get("maxBackoff").is_some() && value != right {
        section.warn(found, "maxBackoff", "msxBackoff is set too and wins; remove one of them");
    }
    if value < BACKOFF_MS_MIN {
        let message = format!("{value} ms is less than the first wait; {BACKOFF_MS_MIN} is used");
        section.warn(found, name, message);
    }
    value.max(BACKOFF_MS_MIN)
}

impl SourceConfig {
    /// Names that the file of the present time is likely to have. The first is the time alone, as
    /// `targetFilename` writes it.
    pub fn likely_names(&self) -> [String; 6] {
        let clock = SystemClock::new();
        let now = self.target_filename.format(&clock.local(clock.now_ms()));
        [
            now.clone(),
            format!("010_{now}"),
            format!("{now}.log"),
            format!("010_{now}.log"),
            format!("app-{now}.log"),
            format!("app.log.{now}"),
        ]
    }
}

/// Letters of other languages' date patterns, which mean something else in Java: `YYYYMMDDHH` and
/// `yyyymmddHH` are right for most of a year, or for no hour at all.
fn warn_of_slips(section: &Section, found: &mut Diagnostics, pattern: &DatePattern) {
    let has = |letter| pattern.has(letter);
    let mut warn = |message: &str| section.warn(found, "targetFilename", message);
    if has('Y') {
        warn("Y is the year of the week, which differs around New Year; write y for the year");
    }
    if has('D') {
        warn("D is the day of the year (1 to 366); write dd for the day of the month");
    }
    if has('m') && !has('M') && has('d') {
        warn("m is the minute, and no M is there; write MM for the month");
    }
    if has('h') && !has('a') {
        warn("h is the hour from 1 to 12, and a (AM or PM) is not there; write HH for 0 to 23");
    }
}

/// The two must select the same files. Whether they do cannot be decided in general, so likely
/// names with the present time are tried, and it is only a warning.
fn warn_if_names_disagree(section: &Section, found: &mut Diagnostics, source: &SourceConfig) {
    let likely = source.likely_names();
    if likely.iter().any(|name| source.target_pattern.full_match(name.as_bytes()).unwrap_or(true)) {
        return;
    }
    // That one of the two is misspelt was told.
    if ["targetPattern", "targetFilename"]
        .iter()
        .any(|n| section.misspelt(scopes(section), n).is_some())
    {
        return;
    }
    let name =
        if section.get("targetPattern").is_some() { "targetPattern" } else { "targetFilename" };
    let message = format!(
        "targetPattern {} does not match names with the present targetFilename, such as {} or {}; the \
         file being written now may never be read: make the two select the same files",
        section.text(const { of("targetPattern") }),
        likely[0],
        likely[3],
    );
    section.warn(found, name, message);
}

/// Two sources with one tracker directory would spoil each other's positions.
pub(crate) fn refuse_shared_trackers(
    sections: &[(&Section, &SourceConfig)],
    found: &mut Diagnostics,
) {
    for (index, (section, source)) in sections.iter().enumerate() {
        for (former_section, former) in &sections[..index] {
            if same_directory(&source.tracker_dir, &former.tracker_dir) {
                let path = position_file_of(source);
                let key = if path.is_some() { POSITION_FILE } else { "trackerDir" };
                let message = match path.filter(|_| position_file_of(former).is_some()) {
                    Some(path) => same_position_file(section, former_section, path, found),
                    None => format!(
                        "the tracker directory {} is also that of source {} ({}); give each its own {key}",
                        source.tracker_dir.display(),
                        former_section.name,
                        found.shown_line(line_of_state(former_section)),
                    ),
                };
                found.error(&section.key(key), line_of_state(section), message);
            }
        }
    }
}

/// What says where the state of a TAILDIR source is: beside it.
const POSITION_FILE: &str = "positionFile";

fn position_file_of(source: &SourceConfig) -> Option<&Path> {
    source.kind.tail()?.position_file.as_deref()
}

/// Where it is said where a source keeps its state, or where the source begins.
fn line_of_state(section: &Section) -> usize {
    let said = [POSITION_FILE, "trackerDir", "spoolDir"].into_iter().find_map(|n| section.get(n));
    said.map_or(section.line(), |prop| prop.line)
}

fn same_position_file(
    section: &Section,
    former: &Section,
    path: &Path,
    found: &Diagnostics,
) -> String {
    let path = path.display();
    if section.get(POSITION_FILE).is_none() && former.get(POSITION_FILE).is_none() {
        return format!(
            "sources {} and {} both use the default, {path}; set {}",
            former.name,
            section.name,
            section.key(POSITION_FILE)
        );
    }
    format!(
        "{path} is also the position file of source {} ({}); give each its own {POSITION_FILE}",
        former.name,
        found.shown_line(line_of_state(former)),
    )
}

/// Two sources that read one directory must not take the same files.
pub(crate) fn refuse_shared_files(sections: &[(&Section, &SourceConfig)], found: &mut Diagnostics) {
    for (index, (section, source)) in sections.iter().enumerate() {
        for (former_section, former) in &sections[..index] {
            let Some((dir, why)) = shared(former, source) else { continue };
            let key = |s: &SourceConfig| match s.kind.tail() {
                None => "spoolDir",
                Some(tail) if tail.command.is_some() => "command",
                Some(_) => "filegroups",
            };
            let line_of = |section: &Section, source: &SourceConfig| {
                section.get(key(source)).map_or(section.line(), |p| p.line)
            };
            let what = if source.kind.tail().is_some() { "directory" } else { "spool directory" };
            let message = format!(
                "the {what} {} is also that of source {} ({}), and {why}",
                dir.display(),
                former_section.name,
                found.shown_line(line_of(former_section, former)),
            );
            found.error(&section.key(key(source)), line_of(section, source), message);
        }
    }
}

/// Why two sources must not read one directory, if they must not, and what to do.
pub(crate) fn shared_files(a: &SourceConfig, b: &SourceConfig) -> Option<String> {
    shared(a, b).map(|(_, why)| why)
}

/// The directory that both read, and why they must not.
fn shared(a: &SourceConfig, b: &SourceConfig) -> Option<(PathBuf, String)> {
    for (dir, one) in sharing::takers(a) {
        for (other_dir, other) in sharing::takers(b) {
            let is_within = a.kind.is_recursive() && is_below(&other_dir, &dir);
            let holds = b.kind.is_recursive() && is_below(&dir, &other_dir);
            if !is_within && !holds && !same_directory(&dir, &other_dir) {
                continue;
            }
            let deeper = if is_within { &other_dir } else { &dir };
            let overlap = sharing::overlap(deeper, one, other);
            let is_allowed = match overlap {
                Overlap::Never => true,
                Overlap::Unknown => a.shares_spool_dir && b.shares_spool_dir,
                Overlap::Found(_) | Overlap::Finished(_) => false,
            };
            if !is_allowed {
                let why = match (one, other) {
                    (Taker::Spool(_), Taker::Spool(_)) => why_of_spools(&overlap),
                    _ => why_of((a, one), (b, other), &overlap),
                };
                return Some((other_dir, why));
            }
        }
    }
    None
}

/// What two sources of whole files must not do, and what to write.
fn why_of_spools(overlap: &Overlap) -> String {
    match overlap {
        Overlap::Found(name) => format!(
            "both take {name}: each file is for one source; write target patterns of which no name \
             matches both, or give one source both channels"
        ),
        Overlap::Finished(name) => format!(
            "one takes {name}, which the other has finished, and sends it again: give both the same \
             fileSuffix, or write target patterns that do not match it"
        ),
        Overlap::Never | Overlap::Unknown => {
            "their target patterns may match the same names, or those of finished files: let them \
             begin or end with different letters and give both the same fileSuffix, or write \
             sharedSpoolDir = true for both if no name matches both"
                .to_owned()
        }
    }
}

/// The same where one of them follows files by its groups or its command.
fn why_of(
    (a, one): (&SourceConfig, Taker<'_>),
    (b, other): (&SourceConfig, Taker<'_>),
    overlap: &Overlap,
) -> String {
    let (one, other) = (
        format!("{} of source {}", one.property(), a.name),
        format!("{} of source {}", other.property(), b.name),
    );
    match overlap {
        Overlap::Found(name) => format!(
            "both take {name}: each file is for one source; change {one} or {other}, or give one source \
             both channels"
        ),
        Overlap::Finished(name) => format!(
            "one takes {name}, which the other has finished, and sends it again: change {one} or {other}"
        ),
        Overlap::Never | Overlap::Unknown => format!(
            "{one} and {other} may match the same names: let them begin or end with different letters, or \
             write sharedSpoolDir = true for both sources if no name matches both"
        ),
    }
}

fn same_directory(a: &Path, b: &Path) -> bool {
    real(a) == real(b)
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| without_dots(path))
}

/// Is that a subdirectory in which files of a recursive source may be? Hidden ones are not searched.
fn is_below(dir: &Path, above: &Path) -> bool {
    let (dir, above) = (real(dir), real(above));
    let is_hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    dir.strip_prefix(&above)
        .is_ok_and(|rest| rest.components().next().is_some() && !rest.components().any(is_hidden))
}

/// The path without `.` and `..`, for directories that do not exist yet.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
