//! From the words of the command line to a [`Command`].
//!
//! Flume's command line passes through two parsers, and so does ours: its shell script takes the
//! options for the JVM out of any place, commons-cli reads what is left, with its own idea of
//! `-n=a1`, `-na1` and `-conf-file F`. Those forms are brought to one, which `getopts` then reads.
//! One table of options ([`table`]) feeds both parsers and all texts ([`documents`]).

pub mod documents;
pub mod table;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::log::{self, Level};
pub use documents::usage;
use table::{AGENT, CHECK, CommandRow, GENERATE, OPTIONS, OptionRow, STATUS, TakenBy};

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
    /// `--generate man` and its like: a text made from the table, for packagers.
    Document(String),
}

/// `flume-ng check ...`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckArgs {
    pub agent: AgentArgs,
    pub json: bool,
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

/// Length of a generated line unless another one is asked for, bytes.
pub const LINE_BYTES_DEFAULT: usize = 110;

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
    /// A word that belongs to no option.
    StrayWord(String),
    /// An option, its value, and what it should be.
    BadValue {
        option: &'static str,
        value: String,
        want: &'static str,
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
            UsageError::StrayWord(word) => {
                write!(f, "\"{word}\" belongs to no option; see flume-ng help")
            }
            UsageError::BadValue { option, value, want } => {
                write!(f, "--{option}: \"{value}\" is not {want}")
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
    let date = option_env!("FLUME_NG_BUILD_DATE").unwrap_or("an unknown date");
    format!(
        "Flume 1.6.0 compatible: flume-ng {}
Source code repository: {}
Revision: {revision}
Compiled by cargo for {}-{} on {date}, with {}
From source with checksum unknown
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
        "help" | "--help" | "-h" => {
            let about = rest.iter().find_map(|word| table::command(word));
            Ok(Command::Help(about.filter(|c| c.bit != 0 && c.bit != AGENT).map(|c| c.name)))
        }
        "version" | "--version" => Ok(Command::Version),
        "--generate" => {
            let name = rest.first().map_or("", String::as_str);
            documents::document(name).map(Command::Document).ok_or(UsageError::BadValue {
                option: "generate",
                value: name.to_string(),
                want: "one of man, bash, zsh, fish",
            })
        }
        "node" => parse_command(AGENT, rest, true),
        other => match table::command(other) {
            Some(CommandRow { bit, .. }) => parse_command(*bit, rest, false),
            None => Err(UsageError::UnknownCommand(other.to_string())),
        },
    }
}

fn parse_command(command: u8, words: &[String], said_node: bool) -> Result<Command, UsageError> {
    let mut args = AgentArgs { said_node, ..AgentArgs::default() };
    let rest = take_script_options(command, words, &mut args)?;
    let normal = normalise(command, &rest)?;
    let matches = getopts_options(command).parse(&normal).map_err(|fail| match fail {
        // The normal form leaves getopts nothing to refuse; should it, its words will do.
        getopts::Fail::ArgumentMissing(option) => UsageError::MissingArgument(option),
        other => UsageError::UnrecognizedOption(other.to_string()),
    })?;
    if matches.opt_present("help") {
        let name = table::COMMANDS.iter().find(|c| c.bit == command && command != AGENT);
        return Ok(Command::Help(name.map(|c| c.name)));
    }
    if command == GENERATE {
        return generate_args(&matches, args).map(Command::Generate);
    }
    let agent = agent_args(&matches, args)?;
    let has = |option: &str| matches.opt_present(option);
    Ok(match command {
        CHECK => {
            let create_topic = first(&matches, "create-topic").map(partitions_and_replication);
            Command::Check(CheckArgs {
                agent,
                json: has("json"),
                create_topic: create_topic.transpose()?,
            })
        }
        STATUS => Command::Status(StatusArgs {
            agent,
            json: has("json"),
            prometheus: has("prometheus"),
            watch: has("watch"),
        }),
        _ => Command::Agent(agent),
    })
}

/// Of a repeated option commons-cli hands out the first.
fn first(matches: &getopts::Matches, option: &str) -> Option<String> {
    matches.opt_strs(option).into_iter().next()
}

fn agent_args(matches: &getopts::Matches, mut args: AgentArgs) -> Result<AgentArgs, UsageError> {
    args.name = first(matches, "name").ok_or(UsageError::NoName)?;
    for option in ["zkConnString", "zkBasePath"] {
        if matches.opt_defined(option) && matches.opt_present(option) {
            return Err(UsageError::ZooKeeper(format!("--{option}")));
        }
    }
    args.conf_file = first(matches, "conf-file").ok_or(UsageError::NoConfFile)?.into();
    args.reload_conf =
        matches.opt_defined("no-reload-conf") && !matches.opt_present("no-reload-conf");
    Ok(args)
}

fn generate_args(matches: &getopts::Matches, args: AgentArgs) -> Result<GenerateArgs, UsageError> {
    let number = |option: &'static str, min: u64| {
        let Some(value) = first(matches, option) else { return Ok(None) };
        match value.parse::<u64>() {
            Ok(n) if n >= min => Ok(Some(n)),
            _ => {
                Err(UsageError::BadValue { option, value, want: "a number that can be used here" })
            }
        }
    };
    let says_agent = matches.opt_present("name") || matches.opt_present("conf-file");
    let agent = says_agent.then(|| agent_args(matches, args)).transpose()?;
    let args = GenerateArgs {
        dir: first(matches, "dir").map(PathBuf::from),
        pattern: first(matches, "pattern"),
        lines: number("lines", 0)?,
        rate: number("rate", 1)?,
        size: number("size", 1)?.map_or(LINE_BYTES_DEFAULT, |n| n as usize),
        torn: matches.opt_present("torn"),
        json: matches.opt_present("json"),
        agent,
    };
    match (&args.agent, &args.dir, &args.pattern) {
        (None, None, _) => Err(UsageError::NoDir),
        (None, _, None) => Err(UsageError::NoPattern),
        _ => Ok(args),
    }
}

fn partitions_and_replication(value: String) -> Result<(i32, i16), UsageError> {
    let both = value.split_once(':').and_then(|(partitions, replication)| {
        Some((partitions.parse().ok()?, replication.parse().ok()?))
    });
    both.filter(|(partitions, replication)| *partitions > 0 && *replication > 0).ok_or(
        UsageError::BadValue {
            option: "create-topic",
            value,
            want: "PARTITIONS:REPLICATION, such as 3:3",
        },
    )
}

/// Flume's shell script: takes its options, from wherever they stand, and leaves the others.
fn take_script_options(
    command: u8,
    words: &[String],
    args: &mut AgentArgs,
) -> Result<Vec<String>, UsageError> {
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
        let Some((option, joined)) = script_option(command, word) else {
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
fn script_option(command: u8, word: &str) -> Option<(&'static OptionRow, bool)> {
    options(command, TakenBy::Script).find_map(|option| {
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

fn options(command: u8, taken_by: TakenBy) -> impl Iterator<Item = &'static OptionRow> {
    OPTIONS.iter().filter(move |o| o.taken_by == taken_by && o.commands & command != 0)
}

/// The command's option of that name, with any number of hyphens before it.
fn agent_option(command: u8, word: &str) -> Option<&'static OptionRow> {
    let name = word.trim_start_matches('-');
    options(command, TakenBy::Agent)
        .find(|o| name == o.long || (name == o.short && !name.is_empty()))
}

/// Brings the forms that commons-cli takes to `--option` and `--option=argument`.
fn normalise(command: u8, words: &[String]) -> Result<Vec<String>, UsageError> {
    let mut flat = flatten(command, words).into_iter().peekable();
    let mut normal = Vec::new();
    while let Some(word) = flat.next() {
        if word == "--" {
            break;
        }
        if word == "-" || !word.starts_with('-') {
            // Flume passes over stray words; its scripts may have some.
            if command == AGENT {
                continue;
            }
            return Err(UsageError::StrayWord(word));
        }
        let option = agent_option(command, &word).ok_or(UsageError::UnrecognizedOption(word))?;
        if option.argument.is_empty() {
            normal.push(format!("--{}", option.long));
            continue;
        }
        // A word with a hyphen is an argument too, unless it is an option.
        match flat.next_if(|next| !(next.starts_with('-') && agent_option(command, next).is_some()))
        {
            Some(argument) => normal.push(format!("--{}={}", option.long, unquote(&argument))),
            None => {
                let name = if option.short.is_empty() { option.long } else { option.short };
                return Err(UsageError::MissingArgument(name.to_string()));
            }
        }
    }
    Ok(normal)
}

/// Splits `--name=a1`, `-n=a1` and `-na1` in two words.
fn flatten(command: u8, words: &[String]) -> Vec<String> {
    let mut flat = Vec::new();
    for word in words {
        let joined =
            word.split_once('=').filter(|(option, _)| agent_option(command, option).is_some());
        let second = word.char_indices().nth(2).map(|(at, _)| word.split_at(at));
        match (joined, second) {
            _ if !word.starts_with('-') || agent_option(command, word).is_some() => {
                flat.push(word.clone())
            }
            (Some((option, value)), _) => flat.extend([option.to_string(), value.to_string()]),
            (None, Some((option, value))) if agent_option(command, option).is_some() => {
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

fn getopts_options(command: u8) -> getopts::Options {
    let mut options = getopts::Options::new();
    for row in self::options(command, TakenBy::Agent) {
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
            assert_eq!(parse_line(line), Ok(Command::Help(None)), "{line}");
        }
        assert_eq!(parse_line("version -x"), Ok(Command::Version));
        assert!(matches!(parse_line("agent -n --bogus -f F"), Ok(Command::Agent(_))));
        assert_eq!(parse_line("help check"), Ok(Command::Help(Some("check"))));
        assert_eq!(parse_line("generate -h"), Ok(Command::Help(Some("generate"))));
    }

    #[test]
    fn commands_beside_the_agent_take_its_command_line_and_their_own() {
        let line = "check -c conf -n a1 -f F -Xmx1g -Da=b --create-topic 3:2 --json";
        let Ok(Command::Check(args)) = parse_line(line) else { panic!() };
        assert_eq!(
            (args.agent.name.as_str(), args.create_topic, args.json),
            ("a1", Some((3, 2)), true)
        );
        let Ok(Command::Status(args)) = parse_line("status -na1 -fF --watch") else { panic!() };
        assert!(args.watch && !args.json && !args.prometheus);
        let line = "generate --dir D --pattern=010_yyyyMMddHH --lines 5 --rate 10 --torn";
        let Ok(Command::Generate(args)) = parse_line(line) else { panic!() };
        assert_eq!((args.lines, args.rate, args.size, args.torn), (Some(5), Some(10), 110, true));
        for (line, start) in [
            ("check -n a1 -f F --watch", "there is no option --watch"),
            ("status -n a1 -f F stray", "\"stray\" belongs to no option"),
            ("check -n a1 -f F --create-topic 3", "--create-topic: \"3\" is not PARTITIONS"),
            ("generate --pattern x", "where to?"),
            ("generate --dir D", "which files?"),
            ("generate --dir D --pattern x --rate 0", "--rate: \"0\" is not"),
            ("generate --dir D --pattern x --lines", "option lines needs an argument"),
            ("--generate troff", "--generate: \"troff\" is not one of"),
        ] {
            let text = parse_line(line).unwrap_err().to_string();
            assert!(text.starts_with(start), "{line}: {text}");
        }
    }

    #[test]
    fn every_document_names_every_command_and_option() {
        for name in ["man", "bash", "zsh", "fish"] {
            let text = documents::document(name).unwrap().replace("\\-", "-");
            for command in table::COMMANDS {
                assert!(text.contains(command.name), "{name}: {}", command.name);
            }
            for option in table::OPTIONS.iter().filter(|o| !o.help.is_empty()) {
                assert!(text.contains(option.long), "{name}: {}", option.long);
            }
        }
    }

    #[test]
    fn usage_fits_a_screen() {
        let usage = usage();
        assert!(usage.lines().count() <= 24, "{}", usage.lines().count());
        assert!(usage.lines().all(|line| line.chars().count() <= 80), "{usage}");
        assert_eq!(version().lines().count(), 5);
        for command in table::COMMANDS.iter().filter(|c| c.bit != 0) {
            let usage = documents::command_usage(command);
            assert!(usage.lines().count() <= 24);
        }
    }

    #[test]
    fn words_that_are_no_text() {
        use std::os::unix::ffi::OsStringExt;
        let word = OsString::from_vec(vec![b'x', 0xff]);
        assert!(matches!(parse(["agent".into(), word]), Err(UsageError::NotUtf8(_))));
    }
}
