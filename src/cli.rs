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

/// Which of Flume's two parsers takes an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenBy {
    Script,
    Agent,
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

use TakenBy::{Agent, Script};

const OPTIONS: &[OptionRow] = &[
    row("n", "name", "NAME", Agent, "the agent: first word of its keys (required)"),
    row("f", "conf-file", "FILE", Agent, "its properties file (required)"),
    row("d", "dryrun", "", Script, "check the configuration, print it and stop"),
    row("", "no-reload-conf", "", Agent, "do not look for changes of the file"),
    row("c", "conf", "DIR", Script, "accepted for Flume's sake, as -C and -X"),
    row("C", "classpath", "PATH", Script, ""),
    row("", "plugins-path", "DIRS", Script, ""),
    row("z", "zkConnString", "HOSTS", Agent, ""),
    row("p", "zkBasePath", "PATH", Agent, ""),
    row("h", "help", "", Agent, "show this text"),
];

/// The text of `flume-ng help`; it fits a screen.
pub fn usage() -> String {
    let mut text = String::from(
        "Usage: flume-ng <command> [options]

commands:
  agent                    tail hourly log files into Kafka
  help                     show this text
  version                  show the version

options of agent:
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

exit codes: 0 clean stop, 2 usage, 70 exactly-once can not be kept, 75 try again
later, 78 configuration
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
        other => Err(UsageError::UnknownCommand(other.to_string())),
    }
}

fn parse_agent(words: &[String], said_node: bool) -> Result<Command, UsageError> {
    let mut args = AgentArgs { said_node, ..AgentArgs::default() };
    let rest = take_script_options(words, &mut args)?;
    let normal = normalise(&rest)?;
    let matches = agent_options().parse(&normal).map_err(|fail| match fail {
        // The normal form leaves getopts nothing to refuse; should it, its words will do.
        getopts::Fail::ArgumentMissing(option) => UsageError::MissingArgument(option),
        other => UsageError::UnrecognizedOption(other.to_string()),
    })?;
    if matches.opt_present("help") {
        return Ok(Command::Help);
    }
    // Of a repeated option commons-cli hands out the first.
    let first = |option: &str| matches.opt_strs(option).into_iter().next();
    args.name = first("name").ok_or(UsageError::NoName)?;
    for option in ["zkConnString", "zkBasePath"] {
        if matches.opt_present(option) {
            return Err(UsageError::ZooKeeper(format!("--{option}")));
        }
    }
    args.conf_file = first("conf-file").ok_or(UsageError::NoConfFile)?.into();
    args.reload_conf = !matches.opt_present("no-reload-conf");
    Ok(Command::Agent(args))
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

/// The agent's option of that name, with any number of hyphens before it.
fn agent_option(word: &str) -> Option<&'static OptionRow> {
    let name = word.trim_start_matches('-');
    let mut options = OPTIONS.iter().filter(|o| o.taken_by == Agent);
    options.find(|o| name == o.long || (name == o.short && !name.is_empty()))
}

/// Brings the forms that commons-cli takes to `--option` and `--option=argument`.
fn normalise(words: &[String]) -> Result<Vec<String>, UsageError> {
    let mut flat = flatten(words).into_iter().peekable();
    let mut normal = Vec::new();
    while let Some(word) = flat.next() {
        if word == "--" {
            break;
        }
        if word == "-" || !word.starts_with('-') {
            continue;
        }
        let option = agent_option(&word).ok_or(UsageError::UnrecognizedOption(word))?;
        if option.argument.is_empty() {
            normal.push(format!("--{}", option.long));
            continue;
        }
        // A word with a hyphen is an argument too, unless it is an option.
        match flat.next_if(|next| !(next.starts_with('-') && agent_option(next).is_some())) {
            Some(argument) => normal.push(format!("--{}={}", option.long, unquote(&argument))),
            None => return Err(UsageError::MissingArgument(option.short.to_string())),
        }
    }
    Ok(normal)
}

/// Splits `--name=a1`, `-n=a1` and `-na1` in two words.
fn flatten(words: &[String]) -> Vec<String> {
    let mut flat = Vec::new();
    for word in words {
        let joined = word.split_once('=').filter(|(option, _)| agent_option(option).is_some());
        let second = word.char_indices().nth(2).map(|(at, _)| word.split_at(at));
        match (joined, second) {
            _ if !word.starts_with('-') || agent_option(word).is_some() => flat.push(word.clone()),
            (Some((option, value)), _) => flat.extend([option.to_string(), value.to_string()]),
            (None, Some((option, value))) if agent_option(option).is_some() => {
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

fn agent_options() -> getopts::Options {
    let mut options = getopts::Options::new();
    for row in OPTIONS.iter().filter(|o| o.taken_by == Agent) {
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
