//! The validated configuration of one agent: what the properties *mean*.
//!
//! `config::load` turns text into these types and nothing behind them looks at a property again.
//! Every number here has passed its range check, every name resolves, every pattern compiles.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::channel::is_topic;
pub use super::destination::{
    Compression, Destination, KEY_HEADER, KeyPartitioner, PartitionBy, RecordRule, ValueFormat,
};
pub use super::template::{Template, TopicRule};
pub use super::topics::TOPICS_MAX;
use crate::java::charset::Charset;
use crate::java::date::DatePattern;
use crate::java::joda::TimePattern;
use crate::java::pattern::{Groups, Pattern, Replacement};

/// Everything that `flume-ng agent --name NAME` runs.
#[derive(Debug)]
pub struct AgentConfig {
    /// `--name`, the first word of each of its keys.
    pub name: String,
    pub sources: Vec<SourceConfig>,
    pub destinations: Vec<Destination>,
    pub sinks: Vec<SinkConfig>,
    pub monitoring: MonitoringConfig,
}

impl AgentConfig {
    /// The channels, with their places among the destinations: without those that are topics of another
    /// one by the names in events.
    pub fn channels(&self) -> impl Iterator<Item = (usize, &Destination)> {
        self.destinations.iter().enumerate().filter(|(_, d)| d.base.is_none())
    }

    /// Does a source write to the channel at that place, to whatever topic?
    pub fn writes_to(&self, source: &SourceConfig, channel: usize) -> bool {
        source.destinations.iter().any(|&at| self.destinations[at].base.unwrap_or(at) == channel)
    }
}

/// `NAME.monitoring.*`, which is not Flume's.
#[derive(Debug, Default)]
pub struct MonitoringConfig {
    /// Metrics are written there; absolute.
    pub textfile: Option<PathBuf>,
    /// The monitoring port serves a page for people.
    pub page: bool,
}

/// The number behind the suffix of a finished file's name has no more digits.
pub const NUMBER_DIGITS_MAX: usize = 9;

/// Is it the name of a finished file: does it end in the suffix, or in the suffix and a number (our way
/// out when the completed name was taken)?
pub fn is_completed(name: &[u8], suffix: &[u8]) -> bool {
    if name.ends_with(suffix) {
        return true;
    }
    let stem = name.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |at| at + 1);
    stem < name.len() && name[..stem].strip_suffix(b".").is_some_and(|n| n.ends_with(suffix))
}

/// All that is configured of how a line becomes an event with headers, as text: by it a change of that is
/// noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventText {
    /// What holds for all files of a source.
    pub of_all: String,
    /// The same and all groups of files, of which others than its own decide nothing of a file: so batches
    /// were told once.
    pub with_groups: String,
}

/// One source.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    pub name: String,
    pub kind: SourceKind,
    /// Indices into [`AgentConfig::destinations`]; never empty.
    pub destinations: Vec<usize>,
    pub selector: Selector,
    /// Places in `destinations` of those that nothing waits for: while one of them is not reached, events
    /// go without it.
    pub optional: Vec<usize>,
    /// As configured (Flume puts it into log lines and into the tracker like this).
    pub spool_dir_text: String,
    /// The same made absolute, not canonical.
    pub spool_dir: PathBuf,
    /// Absolute.
    pub tracker_dir: PathBuf,
    pub file_suffix: OsString,
    pub delete_policy: DeletePolicy,
    pub ignore_pattern: Pattern,
    pub target_pattern: Pattern,
    pub target_filename: DatePattern,
    /// As configured, for log lines.
    pub target_filename_text: String,
    pub consume_order: ConsumeOrder,
    /// Events in one Flume transaction, at least 1.
    pub batch_size: usize,
    pub input_charset: Charset,
    pub output_charset: Charset,
    pub decode_policy: DecodePolicy,
    /// UTF-16 units, at least 1.
    pub max_line_units: usize,
    /// The header's key, where `fileHeader = true`.
    pub file_header: Option<String>,
    /// The header's key, where `basenameHeader = true`.
    pub basename_header: Option<String>,
    pub interceptors: Vec<InterceptorConfig>,
    pub event_text: EventText,
    /// `maxBackoff` (or `msxBackoff`): the longest wait between two tries, ms, at least 250.
    pub backoff_ms_max: u64,
    /// How long a retired file must have been left unmodified before its receipt is written, ms.
    pub retire_grace_ms: u64,
    pub on_bad_checkpoint: OnBadCheckpoint,
    pub on_no_checkpoint: OnNoCheckpoint,
    /// A symbolic link in the directory stands for what it points to; otherwise it is not a file.
    pub follows_links: bool,
    /// Others read the directory, too, each its own files: it is locked for sharing only.
    pub shares_spool_dir: bool,
}

impl SourceConfig {
    /// The directories in which it looks for files, below its own: the empty name is that itself.
    pub fn places(&self) -> Vec<OsString> {
        let Some(tail) = self.kind.tail() else { return vec![OsString::new()] };
        let mut places: Vec<OsString> = Vec::new();
        for group in &tail.groups {
            if !places.contains(&group.place) {
                places.push(group.place.clone());
            }
        }
        places
    }

    /// The directory that the names of its files are told from, where that is what several have in common: with
    /// the next configuration it may be another one.
    pub fn names_from(&self) -> Option<&Path> {
        self.kind.tail().map(|_| self.spool_dir.as_path())
    }

    /// Does nothing wait for that destination of the agent?
    pub fn is_optional(&self, destination: usize) -> bool {
        self.optional.iter().any(|place| self.destinations[*place] == destination)
    }

    /// The spool directory for a message: absolute, and how it was written where that is relative.
    pub fn shown_spool_dir(&self) -> String {
        shown(&self.spool_dir_text, &self.spool_dir)
    }
}

/// Which channels of a source get an event; they are told by their place in
/// [`SourceConfig::destinations`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selector {
    /// All of them.
    #[default]
    Replicating,
    /// Those of the value of a header, and where that is not mapped the default ones.
    Multiplexing { header: String, mapping: Vec<(String, Vec<usize>)>, default: Vec<usize> },
}

/// What kind of source it is, and what no other kind has.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// `SpoolDirectoryTailFileSource`.
    SpoolTail,
    /// Files that are followed for ever under their names.
    Tail(TailConfig),
    /// `spooldir`: whole files that are dropped into a directory.
    SpoolDir(SpoolDirConfig),
}

/// What only a `spooldir` source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolDirConfig {
    /// Files below subdirectories are its files, too.
    pub is_recursive: bool,
    /// A file that is done keeps its name; a marker in the tracker directory says so.
    pub marks_done: bool,
}

impl SourceKind {
    /// Are files below subdirectories its files, too?
    pub fn is_recursive(&self) -> bool {
        matches!(self, SourceKind::SpoolDir(spool) if spool.is_recursive)
    }

    /// Is a file that is done marked in the tracker directory, and left as it is?
    pub fn marks_done(&self) -> bool {
        matches!(self, SourceKind::SpoolDir(spool) if spool.marks_done)
    }

    pub fn tail(&self) -> Option<&TailConfig> {
        match self {
            SourceKind::SpoolTail | SourceKind::SpoolDir(_) => None,
            SourceKind::Tail(tail) => Some(tail),
        }
    }
}

/// A `TAILDIR` source, or an `exec` source whose command is tail.
#[derive(Debug, Clone)]
pub struct TailConfig {
    /// A file is that of the first one that takes its name. Never empty.
    pub groups: Vec<FileGroup>,
    /// Where Flume keeps its positions: read when there is no other state, and kept up.
    pub position_file: Option<PathBuf>,
    /// How often it is written, ms.
    pub position_interval_ms: u64,
    /// Where a file begins that is there at the very first start.
    pub begin: FirstByte,
    /// How long a file must be left alone before its unfinished last line is sent, ms. `None`: never, as
    /// long as the file has its name.
    pub idle_timeout_ms: Option<u64>,
    /// What a line is.
    pub ends: LineEnds,
    /// Of an `exec` source, the command that it stands for.
    pub command: Option<String>,
    /// A file that was renamed is followed, and not the one that gets its name.
    pub by_descriptor: bool,
    /// Transactions of one file before another one has its turn, at least 1.
    pub batches_in_turn: u64,
    /// Each event has the offset of its first byte in a header.
    pub byte_offset_header: bool,
}

/// The name of the header that TAILDIR puts the place of a line into.
pub const BYTE_OFFSET: &str = "byteoffset";

/// Names in one directory.
#[derive(Debug, Clone)]
pub struct FileGroup {
    pub name: String,
    /// As configured.
    pub text: String,
    /// The directory, below that of the source.
    pub place: OsString,
    /// It matches the last part of a name as a whole.
    pub pattern: Pattern,
    /// Of all its events.
    pub headers: Vec<(String, String)>,
}

/// Where a file begins that is there at the very first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstByte {
    Beginning,
    /// Behind its end, and behind the line that is being written.
    NextLine,
    /// With the last so many lines; none: behind its end.
    LastLines(u64),
    /// With that line, counted from 1.
    Line(u64),
    LastBytes(u64),
    /// At that offset.
    Byte(u64),
}

/// What ends a line, and what becomes of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    /// A newline; the text is decoded, and lines that are too long are cut.
    Newline,
    /// The same, but a line of exactly the longest length is not cut.
    NewlineLater,
    /// A newline, with one carriage return before it; the bytes are those of the file.
    Verbatim,
    /// A newline, a carriage return, or both; the text is decoded. As Java reads lines.
    Any,
}

/// A path for a message: absolute, and how it was written where that is relative to where the agent
/// was started.
pub(crate) fn shown(text: &str, path: &Path) -> String {
    match (Path::new(text).is_absolute(), std::env::current_dir()) {
        (false, Ok(dir)) => {
            format!("{} ({text}, relative to {})", path.display(), dir.display())
        }
        _ => path.display().to_string(),
    }
}

/// What to do with bytes that the charset does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodePolicy {
    /// Stop with the file, byte and bytes.
    Fail,
    /// U+FFFD for each malformed sequence.
    Replace,
    /// Leave them out.
    Ignore,
}

/// What happens to a file's name when it is retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletePolicy {
    /// Rename to name + fileSuffix.
    Never,
    /// Delete, after the grace time.
    Immediate,
}

/// Which waiting file is read first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumeOrder {
    Oldest,
    Youngest,
    /// As the directory lists them.
    Random,
}

/// What to do with a checkpoint of which no slot is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadCheckpoint {
    /// Exit with code 70.
    Fail,
    /// Keep it aside, send every file from its first byte.
    Beginning,
    /// Keep it aside, skip what the files hold at this moment.
    End,
    /// Keep it aside, read the topic back and send what it lacks.
    Topic,
}

/// Where to begin in a tracker directory without any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNoCheckpoint {
    /// At the first byte of every file.
    Beginning,
    /// Behind what the files hold at this moment.
    End,
    /// Read the topic back and send what it lacks.
    Topic,
}

/// What `regex_extractor` makes of a group.
#[derive(Debug, Clone)]
pub struct Serializer {
    pub header: String,
    /// The group is a time; the header says it in ms since 1970.
    pub time: Option<TimePattern>,
}

/// One interceptor of a source, in chain order.
#[derive(Debug, Clone)]
pub enum InterceptorConfig {
    Timestamp {
        header: String,
        preserve_existing: bool,
    },
    Host {
        use_ip: bool,
        header: String,
        preserve_existing: bool,
    },
    Static {
        key: String,
        value: String,
        preserve_existing: bool,
    },
    RegexFilter {
        pattern: Pattern,
        exclude_events: bool,
    },
    /// What the groups of the first match are becomes headers, group by group.
    RegexExtractor {
        groups: Arc<Groups>,
        serializers: Vec<Serializer>,
    },
    /// Every match in a body is replaced.
    SearchReplace {
        groups: Arc<Groups>,
        replacement: Replacement,
    },
    /// Headers are taken out: of this name, of one of these, whose whole name matches.
    RemoveHeader {
        names: Vec<String>,
        matching: Option<Pattern>,
    },
    Uuid {
        header: String,
        prefix: String,
        preserve_existing: bool,
    },
    /// Lines that are not JSON are dropped. Not Flume's.
    JsonFilter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    pub name: String,
    /// Index into [`AgentConfig::destinations`].
    pub channel: usize,
    pub kind: SinkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// It takes part in its channel's destination, and reports what is acknowledged there.
    Kafka,
    Null {
        batch_size: u64,
        log_every: u64,
    },
    Logger {
        max_bytes: usize,
    },
}
