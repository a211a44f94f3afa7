//! From the words of the command line to a [`Command`].
//!
//! Flume's command line passes through two parsers, and so does ours: its shell script takes the
//! options for the JVM out of any place, commons-cli reads what is left, with its own idea of
//! `-n=a1`, `-na1` and `-conf-file F`. Those forms are brought to one, which `getopts` then reads.
//! One table of options ([`table`]) feeds both parsers and all texts ([`documents`]).

pub(crate) mod documents;
mod parse;
pub(crate) mod table;

use std::fmt;
use std::path::PathBuf;

use time::{Date, Month, PrimitiveDateTime, Time};

use crate::config::files::ConfFiles;
use crate::config::known;
use crate::log::{self, Format, Level};
pub use documents::usage;
pub use parse::parse;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show the usage: of everything, or of the command of that name.
    Help(Option<&'static str>),
    Version,
    Agent(AgentArgs),
    Check(CheckArgs),
    Status(StatusArgs),
    Generate(GenerateArgs),
    Verify(VerifyArgs),
    Letters(LettersArgs),
    /// `--generate man` and its like: a text made from the table, for packagers.
    Document(String),
}

/// `flume-ng check ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckArgs {
    pub agent: AgentArgs,
    pub json: bool,
    /// `--verbose`: properties and ZooKeeper, too.
    pub verbose: bool,
    /// Partitions and replication of topics that are to be made where they are missing.
    pub create_topic: Option<(i32, i16)>,
}

/// `flume-ng status ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusArgs {
    pub agent: AgentArgs,
    pub json: bool,
    pub prometheus: bool,
    pub watch: bool,
    /// `--wait`: seconds to wait until nothing is behind.
    pub wait_s: Option<u64>,
}

/// `flume-ng generate ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenerateArgs {
    /// Directory and pattern that are not given come from this agent's configuration.
    pub agent: Option<AgentArgs>,
    pub dir: Option<PathBuf>,
    pub pattern: Option<String>,
    pub lines: Option<u64>,
    /// Lines a second.
    pub rate: Option<u64>,
    /// Bytes with the newline.
    pub size: usize,
    pub torn: bool,
    pub json: bool,
}

/// `flume-ng letters ...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LettersArgs {
    pub agent: AgentArgs,
    pub json: bool,
    /// `--source`: of this one alone.
    pub source: Option<String>,
    pub action: LetterAction,
}

/// What is to be done with dead letters. They are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterAction {
    List,
    /// Write out the bytes of one.
    Raw(u64),
    /// Send what is not settled.
    Resend {
        timeout_s: Option<u64>,
    },
    /// Settle these.
    Drop(Vec<std::ops::RangeInclusive<u64>>),
    /// Settle what may be in a topic that no channel has any more.
    GiveUp,
}

/// `flume-ng verify ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyArgs {
    /// `--name`
    pub name: String,
    /// `--conf-file` and `--conf-uri`, as given.
    pub conf_files: ConfFiles,
    /// `-Dkey=value` in order.
    pub system_properties: Vec<(String, String)>,
    /// `--json`: for scripts.
    pub json: bool,
    /// `--range-only`: look for repeats nowhere but in the recorded ranges.
    pub range_only: bool,
    /// `--whole-topic`: search all of the topic, however large it is.
    pub whole_topic: bool,
    /// `--allow-gone`: collected files that are no longer there are no difference.
    pub allow_gone: bool,
    /// `--since`: only files that were finished since then, or are not.
    pub since: Option<Since>,
    /// `--memory`: MiB of the table of values.
    pub memory_mib: usize,
    /// `--all-agents`: `files` are configurations of further agents, and what none has written is told.
    pub all_agents: bool,
    /// Files to verify; all if empty.
    pub files: Vec<String>,
}

/// A time that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So many milliseconds ago.
    Ago(u64),
    /// In local time.
    Local(PrimitiveDateTime),
}

impl Since {
    /// `90m`, `6h`, `2d`, or a local date, with a time of day or without.
    pub(crate) fn parse(text: &str) -> Option<Since> {
        let units = [('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
        for (unit, ms) in units {
            if let Some(number) = text.strip_suffix(unit) {
                return number.parse::<u64>().ok()?.checked_mul(ms).map(Since::Ago);
            }
        }
        let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
        let numbers = |text: &str, sign: char| -> Option<Vec<u16>> {
            text.split(sign).map(|part| part.parse().ok()).collect()
        };
        let ([year, month, day], [hour, minute]) =
            (numbers(day, '-')?.try_into().ok()?, numbers(time, ':')?.try_into().ok()?);
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let day: u16 = day;
        let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?);
        let (hour, minute): (u16, u16) = (hour, minute);
        let time = Time::from_hms(u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, 0);
        Some(Since::Local(PrimitiveDateTime::new(date.ok()?, time.ok()?)))
    }
}

/// MiB of `verify`'s table of values unless `--memory` is given: some million values.
const MEMORY_MIB_DEFAULT: usize = 32;
/// A terabyte: more is a slip of the finger.
const MEMORY_MIB_MAX: u64 = 1 << 20;

/// Length of a generated line unless another one is asked for, bytes.
pub const LINE_BYTES_DEFAULT: usize = 110;

/// A line is held in memory, and more is a slip of the finger.
const LINE_BYTES_MAX: u64 = 1 << 30;
/// A year: more is a slip of the finger.
const WAIT_S_MAX: u64 = 366 * 86_400;

const LINE_RATE_MAX: u64 = 1_000_000_000;

/// `--once`: take what the files hold, and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Once {
    /// `--timeout`: seconds after which it ends in any case.
    pub timeout_s: Option<u64>,
}

/// `flume-ng agent ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentArgs {
    /// `--name`
    pub name: String,
    /// `--conf-file` and `--conf-uri`, as given.
    pub conf_files: ConfFiles,
    /// `--dryrun`: check the configuration, print it and stop.
    pub dry_run: bool,
    /// `--no-reload-conf` was not given.
    pub reload_conf: bool,
    /// `--once`
    pub once: Option<Once>,
    /// Said as `node`, its deprecated name.
    pub said_node: bool,
    /// `-Dkey=value` in order; an empty value where there is no `=`.
    pub system_properties: Vec<(String, String)>,
    /// Words that belong to no option, which Flume passes over.
    pub stray: Vec<String>,
}

/// What `-D` may set, for us or for the log of Flume.
const SYSTEM_PROPERTIES: [&str; 7] = [
    "flume.root.logger",
    "flume.log.format",
    "flume.log.dir",
    "flume.log.file",
    "flume.monitoring.type",
    "flume.monitoring.port",
    "flume.monitoring.host",
];

impl AgentArgs {
    /// The value of a system property; the last one wins, as in the JVM.
    pub fn system_property(&self, key: &str) -> Option<&str> {
        let found = self.system_properties.iter().rev().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Of each system property that begins like one of ours and is none: its name, and what to write. Such a slip
    /// would leave the agent without monitoring, or with another log, in silence.
    pub fn misspelt_properties(&self) -> Vec<(&str, String)> {
        let stems = ["flume.root.", "flume.log.", "flume.monitoring."];
        let mut found = Vec::new();
        for (key, _) in &self.system_properties {
            let stem = stems.iter().find(|stem| key.starts_with(*stem));
            let Some(stem) = stem.filter(|_| !SYSTEM_PROPERTIES.contains(&key.as_str())) else {
                continue;
            };
            let hint = match known::nearest_word(&SYSTEM_PROPERTIES, key) {
                Some(near) => format!("did you mean -D{near}?"),
                None => {
                    let known = SYSTEM_PROPERTIES.iter().filter(|name| name.starts_with(stem));
                    let known: Vec<String> = known.map(|name| format!("-D{name}")).collect();
                    format!("known are {}", known.join(", "))
                }
            };
            found.push((key.as_str(), hint));
        }
        found
    }

    /// The format of `-Dflume.log.format=json`; `None` if not given.
    ///
    /// # Errors
    /// The word, if it is no format.
    pub fn log_format(&self) -> Result<Option<Format>, String> {
        match self.system_property("flume.log.format") {
            None => Ok(None),
            Some("json") => Ok(Some(Format::Json)),
            Some("text") => Ok(Some(Format::Text)),
            Some(word) => Err(word.to_string()),
        }
    }

    /// The level of `-Dflume.root.logger=LEVEL,target`; `None` if not given.
    ///
    /// # Errors
    /// The word, if it is no level.
    pub fn log_level(&self) -> Result<Option<Level>, String> {
        let Some(value) = self.system_property("flume.root.logger") else { return Ok(None) };
        let word = value.split(',').next().unwrap_or_default().trim();
        Level::for_name(word).map(Some).ok_or_else(|| word.to_string())
    }
}

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageError {
    /// Not a command, or none at all (empty).
    UnknownCommand(String),
    /// An option of the shell script without its argument.
    ScriptArgument(String),
    /// An option of the agent without its argument.
    MissingArgument(String),
    UnrecognizedOption(String),
    /// No `--name`.
    NoName,
    /// No `--conf-file`.
    NoConfFile,
    /// `-z` or `-p`.
    ZooKeeper(String),
    /// A word that is not UTF-8.
    NotUtf8(String),
    /// A word where none is expected.
    StrayWord(String),
    /// An option, its value, and what it should be.
    BadValue {
        option: &'static str,
        value: String,
        want: &'static str,
    },
    /// Two options of which each wants another end.
    Apart {
        option: &'static str,
        from: &'static str,
    },
    /// An option that means something with another one only.
    Alone {
        option: &'static str,
        with: &'static str,
    },
    /// `generate` has to know where.
    NoDir,
    NoPattern,
}

impl UsageError {
    /// The exception that Flume shows; `None` where its shell script speaks.
    fn exception(&self) -> Option<String> {
        let text = match self {
            UsageError::MissingArgument(option) => {
                format!("MissingArgumentException: Missing argument for option: {option}")
            }
            UsageError::UnrecognizedOption(option) => {
                format!("UnrecognizedOptionException: Unrecognized option: {option}")
            }
            UsageError::NoName => "MissingOptionException: Missing required option: n".to_string(),
            _ => return None,
        };
        Some(format!("org.apache.commons.cli.{text}"))
    }

    /// Tells it on stderr: Flume's words where Flume has that command, then ours.
    pub fn report(&self, command: &str) {
        if let Some(exception) = self.exception().filter(|_| is_flumes(command)) {
            log::error("node.Application", format_args!("{FATAL}"));
            log::continuation(Level::Error, format_args!("{exception}"));
        }
        if matches!(self, UsageError::UnknownCommand(_) | UsageError::ScriptArgument(_)) {
            log::continuation(Level::Error, format_args!("Error: {self}"));
            if let Some(near) = self.nearest(command) {
                log::continuation(Level::Error, format_args!("flume-ng: did you mean {near}?"));
            }
        } else {
            let way_out = self.way_out(command);
            log::continuation(Level::Error, format_args!("flume-ng: {self}{way_out}"));
        }
    }

    /// Where to read on.
    fn way_out(&self, command: &str) -> String {
        let help = if is_flumes(command) { "" } else { command };
        let help = format!("flume-ng help {help}");
        let help = help.trim_end();
        match self {
            UsageError::UnrecognizedOption(_) => match self.nearest(command) {
                Some(near) => format!("; did you mean {near}? See {help}"),
                None if self.is_abbreviation(command) => {
                    format!("; options are not abbreviated, see {help}")
                }
                None => format!("; see {help}"),
            },
            UsageError::MissingArgument(_) | UsageError::StrayWord(_) => format!("; see {help}"),
            _ => String::new(),
        }
    }

    /// The command or option that was probably meant.
    fn nearest(&self, command: &str) -> Option<String> {
        match self {
            UsageError::UnknownCommand(word) => {
                let names: Vec<&str> = table::COMMANDS.iter().map(|c| c.name).collect();
                known::nearest_word(&names, word).map(str::to_string)
            }
            UsageError::UnrecognizedOption(word) => {
                known::nearest_word(&options_of(command), name_of(word))
                    .map(|name| format!("--{name}"))
            }
            _ => None,
        }
    }

    /// Does an option of the command begin so?
    fn is_abbreviation(&self, command: &str) -> bool {
        let UsageError::UnrecognizedOption(word) = self else { return false };
        options_of(command).iter().any(|name| name.starts_with(name_of(word)))
    }
}

/// The long names of the command's options.
fn options_of(command: &str) -> Vec<&'static str> {
    let command = if is_flumes(command) { "agent" } else { command };
    let bit = table::command(command).map_or(0, |command| command.bit);
    table::shown(bit).map(|option| option.long).collect()
}

/// `--name=x` without hyphens and value.
fn name_of(word: &str) -> &str {
    word.split('=').next().unwrap_or_default().trim_start_matches('-')
}

/// Commands that Flume has, too.
fn is_flumes(command: &str) -> bool {
    matches!(command, "agent" | "node")
}

/// First line of every start that fails, as operators know it.
pub const FATAL: &str = "A fatal error occurred while running. Exception follows.";

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::UnknownCommand(word) => {
                write!(f, "Unknown or unspecified command '{word}'")
            }
            UsageError::ScriptArgument(option) => write!(f, "Option {option} requires an argument"),
            UsageError::MissingArgument(option) => {
                write!(f, "option {option} needs an argument")
            }
            UsageError::UnrecognizedOption(option) => {
                write!(f, "there is no option {option}")
            }
            UsageError::NoName => f.write_str(
                "which agent? give --name with the first word of its keys, as in --name a1",
            ),
            UsageError::NoConfFile => {
                f.write_str("which configuration? give --conf-file with the properties file")
            }
            UsageError::ZooKeeper(option) => write!(
                f,
                "{option}: a configuration in ZooKeeper is not supported; \
                 save it to a file and give --conf-file"
            ),
            UsageError::NotUtf8(word) => write!(f, "the word {word} is not UTF-8"),
            UsageError::StrayWord(word) => {
                write!(f, "unexpected argument \"{word}\"")
            }
            UsageError::BadValue { option, value, want } => {
                write!(f, "--{option}: \"{value}\" is not {want}")
            }
            UsageError::Apart { option, from } => {
                write!(f, "--{option} and --{from} exclude each other; give one of them")
            }
            UsageError::Alone { option, with } => {
                write!(f, "--{option} is for --{with}; give both, or neither")
            }
            UsageError::NoDir => f.write_str(
                "where to? give --dir, or --name and --conf-file of an agent whose spoolDir it is",
            ),
            UsageError::NoPattern => {
                f.write_str("which files? give --pattern, such as 010_yyyyMMddHH")
            }
        }
    }
}

impl std::error::Error for UsageError {}

/// The usage of a command, or of everything.
pub fn help(about: Option<&str>) -> String {
    match about.and_then(table::command) {
        Some(command) => documents::command_usage(command),
        None => usage(),
    }
}

/// The five lines of `flume-ng version`, in Flume's shape.
pub fn version() -> String {
    let revision = option_env!("FLUME_NG_REVISION").unwrap_or("unknown");
    let checksum = option_env!("FLUME_NG_CHECKSUM").unwrap_or("unknown");
    let date = option_env!("FLUME_NG_BUILD_DATE").unwrap_or("an unknown date");
    format!(
        "Flume 1.6.0 compatible: flume-ng {}
Source code repository: {}
Revision: {revision}
Compiled by cargo for {}-{} on {date}, with {}
From source with checksum {checksum}
",
        env!("CARGO_PKG_VERSION"),
        option_env!("FLUME_NG_REPOSITORY").unwrap_or("unknown"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        features(),
    )
}

/// What can be compiled in or left out.
fn features() -> String {
    let mut names = vec!["gzip", "snappy"];
    names.extend(cfg!(feature = "lz4").then_some("lz4"));
    names.extend(cfg!(feature = "zstd").then_some("zstd"));
    names.join(", ")
}

#[cfg(test)]
mod tests;
