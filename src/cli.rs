//! From the words of the command line to a [`Command`].
//!
//! Flume's command line passes through two parsers, and so does ours: its shell script takes the
//! options for the JVM out of any place, commons-cli reads what is left, with its own idea of
//! `-n=a1`, `-na1` and `-conf-file F`. Those forms are brought to one, which `getopts` then reads.
//! One table of options feeds both parsers and the usage text.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::log::{self, Level};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Help,
    Version,
    Agent(AgentArgs),
    Verify(VerifyArgs),
}

/// `flume-ng agent ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentArgs {
    /// `--name`
    pub name: String,
    /// `--conf-file`, as given.
    pub conf_file: PathBuf,
    /// `--dryrun`: check the configuration, print it and stop.
    pub dry_run: bool,
    /// `--no-reload-conf` was not given.
    pub reload_conf: bool,
    /// Said as `node`, its deprecated name.
    pub said_node: bool,
    /// `-Dkey=value` in order; an empty value where there is no `=`.
    pub system_properties: Vec<(String, String)>,
}

/// `flume-ng verify ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyArgs {
    /// `--name`
    pub name: String,
    /// `--conf-file`, as given.
    pub conf_file: PathBuf,
    /// `--json`: for scripts.
    pub json: bool,
    /// `--range-only`: look for repeats nowhere but in the recorded ranges.
    pub range_only: bool,
    /// `--memory`: MiB of the table of values.
    pub memory_mib: usize,
    /// Files to verify; all if empty.
    pub files: Vec<String>,
}

/// MiB of `verify`'s table of values unless `--memory` is given: some two million values.
const MEMORY_MIB_DEFAULT: usize = 64;
/// A terabyte: more is a slip of the finger.
const MEMORY_MIB_MAX: usize = 1 << 20;

impl AgentArgs {
    /// The value of a system property; the last one wins, as in the JVM.
    pub fn system_property(&self, key: &str) -> Option<&str> {
        let found = self.system_properties.iter().rev().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
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
    /// An option whose argument is no number in its range.
    BadNumber(String),
    /// No `--name`.
    NoName,
    /// No `--conf-file`.
    NoConfFile,
    /// `-z` or `-p`.
    ZooKeeper(String),
    /// A word that is not UTF-8.
    NotUtf8(String),
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
            UsageError::NoConfFile => return Some("java.lang.NullPointerException".to_string()),
            _ => return None,
        };
        Some(format!("org.apache.commons.cli.{text}"))
    }

    /// Tells it on stderr: Flume's words, then ours.
    pub fn report(&self) {
        if let Some(exception) = self.exception() {
            log::error("node.Application", format_args!("{FATAL}"));
            log::continuation(Level::Error, format_args!("{exception}"));
        }
        if !matches!(self, UsageError::UnknownCommand(_) | UsageError::ScriptArgument(_)) {
            log::continuation(Level::Error, format_args!("flume-ng: {self}"));
        } else {
            log::continuation(Level::Error, format_args!("Error: {self}"));
        }
    }
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
                write!(f, "option {option} needs an argument; see flume-ng help")
            }
            UsageError::UnrecognizedOption(option) => {
                write!(
                    f,
                    "there is no option {option}; options are not abbreviated, see flume-ng help"
                )
            }
            UsageError::BadNumber(option) => {
                write!(f, "option {option} needs a number from 1 to {MEMORY_MIB_MAX}")
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
        }
    }
}

impl std::error::Error for UsageError {}

/// Who takes an option: Flume's shell script, whatever the command; `agent`, `verify`, or both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenBy {
    Script,
    Agent,
    Verify,
    Both,
}

struct OptionRow {
    short: &'static str,
    long: &'static str,
    /// Name of its argument, empty for none.
    argument: &'static str,
    taken_by: TakenBy,
    help: &'static str,
}

const fn row(
    short: &'static str,
    long: &'static str,
    argument: &'static str,
    taken_by: TakenBy,
    help: &'static str,
) -> OptionRow {
    OptionRow { short, long, argument, taken_by, help }
}

use TakenBy::{Agent, Both, Script, Verify};

const OPTIONS: &[OptionRow] = &[
    row("n", "name", "NAME", Both, "the agent: first word of its keys (required)"),
    row("f", "conf-file", "FILE", Both, "its properties file (required)"),
    row("d", "dryrun", "", Script, "agent: check the configuration, print it and stop"),
    row("", "no-reload-conf", "", Agent, "agent: do not look for changes of the file"),
    row("", "json", "", Verify, "verify: for scripts"),
    row("", "range-only", "", Verify, "verify: no search for repeats beyond the receipts"),
    row("", "memory", "MIB", Verify, "verify: table of values, 64 by default"),
    row("c", "conf", "DIR", Script, "accepted for Flume's sake, as -C and -X"),
    row("C", "classpath", "PATH", Script, ""),
    row("", "plugins-path", "DIRS", Script, ""),
    row("z", "zkConnString", "HOSTS", Agent, ""),
    row("p", "zkBasePath", "PATH", Agent, ""),
    row("h", "help", "", Both, "show this text"),
];

/// The text of `flume-ng help`; it fits a screen.
pub fn usage() -> String {
    let mut text = String::from(
        "Usage: flume-ng <command> [options]

commands:
  agent                    tail hourly log files into Kafka
  verify [FILE...]         prove collected files (all) against the topic
  help                     show this text
  version                  show the version

options:
",
    );
    for option in OPTIONS.iter().filter(|o| !o.help.is_empty()) {
        let short =
            if option.short.is_empty() { "   ".to_string() } else { format!("-{},", option.short) };
        let long = format!("--{} {}", option.long, option.argument);
        text.push_str(&format!("  {short} {long:<20} {}\n", option.help));
    }
    text.push_str(
        "  -Dkey=value              -Dflume.root.logger=LEVEL,console sets the log level

exit codes: 0 clean stop, 1 verify found a difference, 2 usage, 70 exactly-once
can not be kept, 75 try again later, 78 configuration
",
    );
    text
}

/// The five lines of `flume-ng version`, in Flume's shape.
pub fn version() -> String {
    let revision = option_env!("FLUME_NG_REVISION").unwrap_or("unknown");
    let date = option_env!("FLUME_NG_BUILD_DATE").unwrap_or("an unknown date");
    format!(
        "Flume 1.6.0 compatible: flume-ng {}
Source code repository: {}
Revision: {revision}
Compiled by cargo for {}-{} on {date}
From source with checksum unknown
",
        env!("CARGO_PKG_VERSION"),
        option_env!("FLUME_NG_REPOSITORY").unwrap_or("unknown"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}

/// Reads the words behind the program's name.
///
/// # Errors
/// The first fault, in the order in which Flume would find it.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut text = Vec::new();
    for word in words {
        text.push(word.into_string().map_err(|w| UsageError::NotUtf8(format!("{w:?}")))?);
    }
    let Some((command, rest)) = text.split_first() else {
        return Err(UsageError::UnknownCommand(String::new()));
    };
    match command.as_str() {
        "help" | "--help" | "-h" => Ok(Command::Help),
        "version" | "--version" => Ok(Command::Version),
        "agent" => parse_agent(rest, false),
        "node" => parse_agent(rest, true),
        "verify" => parse_verify(rest),
        other => Err(UsageError::UnknownCommand(other.to_string())),
    }
}

fn parse_agent(words: &[String], said_node: bool) -> Result<Command, UsageError> {
    let mut args = AgentArgs { said_node, ..AgentArgs::default() };
    let rest = take_script_options(words, &mut args)?;
    // Words that belong to no option are left alone, as commons-cli does.
    let (matches, _) = match_options(&rest, Agent)?;
    if matches.opt_present("help") {
        return Ok(Command::Help);
    }
    args.name = first(&matches, "name").ok_or(UsageError::NoName)?;
    for option in ["zkConnString", "zkBasePath"] {
        if matches.opt_present(option) {
            return Err(UsageError::ZooKeeper(format!("--{option}")));
        }
    }
    args.conf_file = first(&matches, "conf-file").ok_or(UsageError::NoConfFile)?.into();
    args.reload_conf = !matches.opt_present("no-reload-conf");
    Ok(Command::Agent(args))
}

fn parse_verify(words: &[String]) -> Result<Command, UsageError> {
    let rest = take_script_options(words, &mut AgentArgs::default())?;
    let (matches, files) = match_options(&rest, Verify)?;
    if matches.opt_present("help") {
        return Ok(Command::Help);
    }
    let memory_mib = match first(&matches, "memory") {
        None => MEMORY_MIB_DEFAULT,
        Some(text) => match text.parse() {
            Ok(mib @ 1..=MEMORY_MIB_MAX) => mib,
            _ => return Err(UsageError::BadNumber("--memory".to_string())),
        },
    };
    Ok(Command::Verify(VerifyArgs {
        name: first(&matches, "name").ok_or(UsageError::NoName)?,
        conf_file: first(&matches, "conf-file").ok_or(UsageError::NoConfFile)?.into(),
        json: matches.opt_present("json"),
        range_only: matches.opt_present("range-only"),
        memory_mib,
        files,
    }))
}

/// The options of a command, and the words that belong to none.
fn match_options(
    words: &[String],
    command: TakenBy,
) -> Result<(getopts::Matches, Vec<String>), UsageError> {
    let (normal, others) = normalise(words, command)?;
    let matches = options_of(command).parse(&normal).map_err(|fail| match fail {
        // The normal form leaves getopts nothing to refuse; should it, its words will do.
        getopts::Fail::ArgumentMissing(option) => UsageError::MissingArgument(option),
        other => UsageError::UnrecognizedOption(other.to_string()),
    })?;
    Ok((matches, others))
}

/// Of a repeated option commons-cli hands out the first.
fn first(matches: &getopts::Matches, option: &str) -> Option<String> {
    matches.opt_strs(option).into_iter().next()
}

/// Flume's shell script: takes its options, from wherever they stand, and leaves the others.
fn take_script_options(words: &[String], args: &mut AgentArgs) -> Result<Vec<String>, UsageError> {
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(definition) = word.strip_prefix("-D") {
            let (key, value) = definition.split_once('=').unwrap_or((definition, ""));
            args.system_properties.push((key.to_string(), value.to_string()));
            continue;
        }
        let for_jvm = ["-X", "-agentlib", "-agentpath", "-javaagent"];
        if for_jvm.iter().any(|start| word.starts_with(start)) {
            continue;
        }
        let Some((option, joined)) = script_option(word) else {
            rest.push(word.clone());
            continue;
        };
        if option.long == "dryrun" {
            args.dry_run = true;
        } else if !joined && words.next().is_none_or(|argument| argument.is_empty()) {
            return Err(UsageError::ScriptArgument(word.clone()));
        }
    }
    Ok(rest)
}

/// The script's option that a word is, and whether its argument is joined to it by `=` (which
/// the script does not know; it is so natural that it is taken).
fn script_option(word: &str) -> Option<(&'static OptionRow, bool)> {
    OPTIONS.iter().filter(|o| o.taken_by == Script).find_map(|option| {
        let long = word.strip_prefix("--").and_then(|w| w.strip_prefix(option.long));
        let short = word.strip_prefix('-').is_some_and(|w| w == option.short && !w.is_empty());
        match long {
            Some("") => Some((option, false)),
            Some(value) if value.starts_with('=') && !option.argument.is_empty() => {
                Some((option, true))
            }
            _ => short.then_some((option, false)),
        }
    })
}

/// The command's option of that name, with any number of hyphens before it.
fn option_of(command: TakenBy, word: &str) -> Option<&'static OptionRow> {
    let name = word.trim_start_matches('-');
    let mut options = OPTIONS.iter().filter(|o| o.taken_by == command || o.taken_by == Both);
    options.find(|o| name == o.long || (name == o.short && !name.is_empty()))
}

/// Brings the forms that commons-cli takes to `--option` and `--option=argument`. The other words
/// come second.
fn normalise(words: &[String], command: TakenBy) -> Result<(Vec<String>, Vec<String>), UsageError> {
    let mut flat = flatten(words, command).into_iter().peekable();
    let (mut normal, mut others) = (Vec::new(), Vec::new());
    while let Some(word) = flat.next() {
        if word == "--" {
            others.extend(flat);
            break;
        }
        if word == "-" || !word.starts_with('-') {
            others.push(word);
            continue;
        }
        let option = option_of(command, &word).ok_or(UsageError::UnrecognizedOption(word))?;
        if option.argument.is_empty() {
            normal.push(format!("--{}", option.long));
            continue;
        }
        // A word with a hyphen is an argument too, unless it is an option.
        let is_option = |word: &str| word.starts_with('-') && option_of(command, word).is_some();
        match flat.next_if(|next| !is_option(next)) {
            Some(argument) => normal.push(format!("--{}={}", option.long, unquote(&argument))),
            None => {
                let name = if option.short.is_empty() { option.long } else { option.short };
                return Err(UsageError::MissingArgument(name.to_string()));
            }
        }
    }
    Ok((normal, others))
}

/// Splits `--name=a1`, `-n=a1` and `-na1` in two words.
fn flatten(words: &[String], command: TakenBy) -> Vec<String> {
    let is_option = |word: &str| option_of(command, word).is_some();
    let mut flat = Vec::new();
    for word in words {
        let joined = word.split_once('=').filter(|(option, _)| is_option(option));
        let second = word.char_indices().nth(2).map(|(at, _)| word.split_at(at));
        match (joined, second) {
            _ if !word.starts_with('-') || is_option(word) => flat.push(word.clone()),
            (Some((option, value)), _) => flat.extend([option.to_string(), value.to_string()]),
            (None, Some((option, value))) if is_option(option) => {
                flat.extend([option.to_string(), value.to_string()]);
            }
            _ => flat.push(word.clone()),
        }
    }
    flat
}

/// commons-cli takes a pair of quotes off an argument.
fn unquote(argument: &str) -> &str {
    let inner = argument.strip_prefix('"').unwrap_or(argument);
    inner.strip_suffix('"').unwrap_or(inner)
}

fn options_of(command: TakenBy) -> getopts::Options {
    let mut options = getopts::Options::new();
    for row in OPTIONS.iter().filter(|o| o.taken_by == command || o.taken_by == Both) {
        if row.argument.is_empty() {
            options.optflagmulti(row.short, row.long, row.help);
        } else {
            options.optmulti(row.short, row.long, row.help, row.argument);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn agent(line: &str) -> AgentArgs {
        match parse_line(line) {
            Ok(Command::Agent(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_form_of_name_and_file() {
        for line in [
            "agent --name a1 --conf-file F",
            "agent -n a1 -f F",
            "agent --name=a1 --conf-file=F",
            "agent -n=a1 -f=F",
            "agent -na1 -fF",
            "agent -name a1 -conf-file F",
            "agent -name=a1 -conf-file=F",
            "agent --n a1 --f F",
            "agent stray -n a1 words - -f F more",
            "agent -n a1 --name b1 -f F -f G",
            "agent -c conf -n a1 -f F",
            "agent -f F --conf conf -n a1 -C x.jar --plugins-path p:q -Xmx512m",
            "agent --conf=conf -n a1 -f F --no-reload-conf",
            "agent -n -d a1 -f F",
            "agent -n a1 -f F -- --bogus",
            "agent -n \"a1\" -f F",
        ] {
            let args = agent(line);
            assert_eq!((args.name.as_str(), args.conf_file.to_str()), ("a1", Some("F")), "{line}");
        }
    }

    #[test]
    fn flags_and_system_properties() {
        let args = agent(
            "node -Dflume.root.logger=DEBUG,console -n a1 -Da -f F -d --no-reload-conf -Da=b=c",
        );
        assert!(args.dry_run && args.said_node && !args.reload_conf);
        assert_eq!(args.system_property("a"), Some("b=c"));
        assert_eq!(args.log_level(), Ok(Some(Level::Debug)));
        let args = agent("agent -n a1 -f F -Dflume.root.logger=LOUD");
        assert!(!args.dry_run && args.reload_conf);
        assert_eq!(args.log_level(), Err("LOUD".to_string()));
        assert_eq!(agent("agent -n a1 -f F").log_level(), Ok(None));
    }

    #[test]
    fn refusals() {
        use UsageError::{
            MissingArgument, NoConfFile, NoName, ScriptArgument, UnknownCommand,
            UnrecognizedOption, ZooKeeper,
        };
        for (line, error) in [
            ("", UnknownCommand(String::new())),
            ("agnet -n a1", UnknownCommand("agnet".into())),
            ("avro-client", UnknownCommand("avro-client".into())),
            ("agent", NoName),
            ("agent -f F", NoName),
            ("agent -n a1", NoConfFile),
            ("agent --na a1 -f F", UnrecognizedOption("--na".into())),
            ("agent --bogus", UnrecognizedOption("--bogus".into())),
            ("agent -n a1 -f F -q", UnrecognizedOption("-q".into())),
            ("agent -conf conf", UnrecognizedOption("-conf".into())),
            ("agent -n", MissingArgument("n".into())),
            ("agent -n -f F", MissingArgument("n".into())),
            ("agent -n a1 --conf", ScriptArgument("--conf".into())),
            ("agent -n a1 -C", ScriptArgument("-C".into())),
            ("agent -n a1 -z host:2181", ZooKeeper("--zkConnString".into())),
            ("agent -n a1 -f F -p /flume", ZooKeeper("--zkBasePath".into())),
        ] {
            assert_eq!(parse_line(line), Err(error), "{line}");
        }
    }

    #[test]
    fn verify_takes_files_and_options_in_any_order() {
        let expected = VerifyArgs {
            name: "a1".into(),
            conf_file: "F".into(),
            json: true,
            range_only: false,
            memory_mib: 7,
            files: vec!["a.log".into(), "b.log".into(), "-x".into()],
        };
        let line = "verify a.log --name a1 -c conf --json -f F --memory 7 b.log -- -x";
        assert_eq!(parse_line(line), Ok(Command::Verify(expected)));
    }

    #[test]
    fn verify_refuses() {
        for (line, error) in [
            ("verify", UsageError::NoName),
            ("verify -n a1", UsageError::NoConfFile),
            ("verify -n a1 -f F --memory 0", UsageError::BadNumber("--memory".into())),
            ("verify -n a1 -f F --memory", UsageError::MissingArgument("memory".into())),
            (
                "verify -n a1 -f F --no-reload-conf",
                UsageError::UnrecognizedOption("--no-reload-conf".into()),
            ),
            ("agent -n a1 -f F --json", UsageError::UnrecognizedOption("--json".into())),
        ] {
            assert_eq!(parse_line(line), Err(error), "{line}");
        }
        assert_eq!(parse_line("verify -h"), Ok(Command::Help));
    }

    #[test]
    fn help_in_any_place() {
        for line in
            ["help", "help agent", "--help", "agent -h", "agent -n a1 --help", "agent -help"]
        {
            assert_eq!(parse_line(line), Ok(Command::Help), "{line}");
        }
        assert_eq!(parse_line("version -x"), Ok(Command::Version));
        assert!(matches!(parse_line("agent -n --bogus -f F"), Ok(Command::Agent(_))));
    }

    #[test]
    fn usage_fits_a_screen() {
        let usage = usage();
        assert!(usage.lines().count() <= 24, "{}", usage.lines().count());
        assert!(usage.lines().all(|line| line.chars().count() <= 80), "{usage}");
        assert_eq!(version().lines().count(), 5);
    }

    #[test]
    fn words_that_are_no_text() {
        use std::os::unix::ffi::OsStringExt;
        let word = OsString::from_vec(vec![b'x', 0xff]);
        assert!(matches!(parse(["agent".into(), word]), Err(UsageError::NotUtf8(_))));
    }
}
