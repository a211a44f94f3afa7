//! Words to a [`Command`]: Flume's two parsers, and our own commands in the same forms.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::table::{self, AGENT, CHECK, CommandRow, GENERATE, LETTERS, OPTIONS, OptionRow, STATUS};
use super::table::{TakenBy, VERIFY};
use super::{
    AgentArgs, CheckArgs, Command, GenerateArgs, LINE_BYTES_DEFAULT, LINE_BYTES_MAX, LINE_RATE_MAX,
    LetterAction, LettersArgs, MEMORY_MIB_DEFAULT, MEMORY_MIB_MAX, Once, Since, StatusArgs,
    UsageError, VerifyArgs, WAIT_S_MAX, documents,
};
use crate::config::files::{self, ConfFiles};

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
            let Some(word) = rest.first() else { return Ok(Command::Help(None)) };
            let about = table::command(word);
            let about = about.ok_or_else(|| UsageError::UnknownCommand(word.clone()))?;
            Ok(Command::Help(Some(about.name).filter(|_| about.bit != 0)))
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
    let (normal, others) = normalise(command, &rest)?;
    let matches = getopts_options(command).parse(&normal).map_err(|fail| match fail {
        // The normal form leaves getopts nothing to refuse; should it, its words will do.
        getopts::Fail::ArgumentMissing(option) => UsageError::MissingArgument(option),
        other => UsageError::UnrecognizedOption(other.to_string()),
    })?;
    if matches.opt_present("help") {
        let name = table::COMMANDS.iter().find(|c| c.bit == command && command != AGENT);
        return Ok(Command::Help(name.map(|c| c.name)));
    }
    if command == VERIFY {
        return verify_args(&matches, others, args).map(Command::Verify);
    }
    // Flume passes over stray words, and its scripts may have some. Ours have none yet.
    if command == AGENT {
        args.stray = others;
    } else if let Some(word) = others.into_iter().next() {
        return Err(UsageError::StrayWord(word));
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
                verbose: has("verbose"),
                create_topic: create_topic.transpose()?,
            })
        }
        LETTERS => Command::Letters(letters_args(&matches, agent)?),
        STATUS if has("wait") && has("watch") => {
            return Err(UsageError::Apart { option: "wait", from: "watch" });
        }
        STATUS => Command::Status(StatusArgs {
            agent,
            json: has("json"),
            prometheus: has("prometheus"),
            watch: has("watch"),
            wait_s: seconds(&matches, "wait")?,
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
    args.conf_files = conf_files(matches)?;
    if args.conf_files.is_empty() {
        return Err(UsageError::NoConfFile);
    }
    args.reload_conf =
        matches.opt_defined("no-reload-conf") && !matches.opt_present("no-reload-conf");
    if matches.opt_defined("once") {
        let timeout_s = seconds(matches, "timeout")?;
        if timeout_s.is_some() && !matches.opt_present("once") {
            return Err(UsageError::Alone { option: "timeout", with: "once" });
        }
        args.once = matches.opt_present("once").then_some(Once { timeout_s });
    }
    Ok(args)
}

/// All that were given, in their order, as Flume 1.10 and later take them.
fn conf_files(matches: &getopts::Matches) -> Result<ConfFiles, UsageError> {
    let mut given: Vec<(usize, PathBuf)> = Vec::new();
    for (at, path) in matches.opt_strs_pos("conf-file") {
        given.push((at, path.into()));
    }
    for (at, uri) in matches.opt_strs_pos("conf-uri") {
        let Some(path) = files::of_uri(&uri) else {
            let want = "a file: URI; fetch what http: or classpath: names, and give the file";
            return Err(UsageError::BadValue { option: "conf-uri", value: uri, want });
        };
        given.push((at, path));
    }
    given.sort_by_key(|(at, _)| *at);
    let mut files = ConfFiles::default();
    given.into_iter().for_each(|(_, path)| files.push(path));
    Ok(files)
}

fn verify_args(
    matches: &getopts::Matches,
    files: Vec<String>,
    script: AgentArgs,
) -> Result<VerifyArgs, UsageError> {
    if matches.opt_present("whole-topic") && matches.opt_present("range-only") {
        return Err(UsageError::Apart { option: "whole-topic", from: "range-only" });
    }
    let memory =
        number(matches, "memory", 1..=MEMORY_MIB_MAX, "a number of MiB from 1 to 1048576")?;
    let name = first(matches, "name").ok_or(UsageError::NoName)?;
    let all_agents = matches.opt_present("all-agents");
    let mut files = files;
    let mut conf_files = conf_files(matches)?;
    if conf_files.is_empty() {
        // The first one is as good as named.
        if !all_agents || files.is_empty() {
            return Err(UsageError::NoConfFile);
        }
        conf_files = files.remove(0).into();
    }
    Ok(VerifyArgs {
        name,
        conf_files,
        system_properties: script.system_properties,
        all_agents,
        json: matches.opt_present("json"),
        range_only: matches.opt_present("range-only"),
        whole_topic: matches.opt_present("whole-topic"),
        allow_gone: matches.opt_present("allow-gone"),
        since: since(matches)?,
        memory_mib: memory.map_or(MEMORY_MIB_DEFAULT, |mib| mib as usize),
        files,
    })
}

fn since(matches: &getopts::Matches) -> Result<Option<Since>, UsageError> {
    let Some(value) = first(matches, "since") else { return Ok(None) };
    let want = "a time, such as 90m, 6h, 2d or 2026-11-28T14:00";
    match Since::parse(&value) {
        Some(since) => Ok(Some(since)),
        None => Err(UsageError::BadValue { option: "since", value, want }),
    }
}

fn letters_args(matches: &getopts::Matches, agent: AgentArgs) -> Result<LettersArgs, UsageError> {
    let has = |option: &str| matches.opt_present(option);
    let pairs = [("raw", "drop"), ("raw", "resend"), ("drop", "resend"), ("json", "raw")];
    let of_doubt = ["raw", "drop", "resend"].map(|option| (option, "give-up"));
    let pairs = pairs.into_iter().chain(of_doubt);
    if let Some((option, from)) = pairs.into_iter().find(|(a, b)| has(a) && has(b)) {
        return Err(UsageError::Apart { option, from });
    }
    let timeout_s = seconds(matches, "timeout")?;
    if timeout_s.is_some() && !has("resend") {
        return Err(UsageError::Alone { option: "timeout", with: "resend" });
    }
    let raw = number(matches, "raw", 1..=u64::MAX, "the number of a letter")?;
    let action = match (raw, first(matches, "drop")) {
        (Some(number), _) => LetterAction::Raw(number),
        (_, Some(value)) => LetterAction::Drop(numbers(value)?),
        _ if has("give-up") => LetterAction::GiveUp,
        _ if has("resend") => LetterAction::Resend { timeout_s },
        _ => LetterAction::List,
    };
    Ok(LettersArgs { agent, json: has("json"), source: first(matches, "source"), action })
}

/// `3,5-9` as ranges.
fn numbers(value: String) -> Result<Vec<RangeInclusive<u64>>, UsageError> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        (1..=last).contains(&first).then_some(first..=last)
    };
    let ranges: Option<Vec<_>> = value.split(',').map(range).collect();
    let want = "numbers of letters, such as 3 or 3,5-9";
    ranges.ok_or(UsageError::BadValue { option: "drop", value, want })
}

/// The argument of an option that is a number; `want` says which.
fn number(
    matches: &getopts::Matches,
    option: &'static str,
    range: RangeInclusive<u64>,
    want: &'static str,
) -> Result<Option<u64>, UsageError> {
    let Some(value) = first(matches, option) else { return Ok(None) };
    match value.parse::<u64>() {
        Ok(n) if range.contains(&n) => Ok(Some(n)),
        _ => Err(UsageError::BadValue { option, value, want }),
    }
}

fn seconds(matches: &getopts::Matches, option: &'static str) -> Result<Option<u64>, UsageError> {
    number(matches, option, 0..=WAIT_S_MAX, "a number of seconds from 0 to 31622400")
}

fn generate_args(matches: &getopts::Matches, args: AgentArgs) -> Result<GenerateArgs, UsageError> {
    let says_agent = matches.opt_present("name")
        || ["conf-file", "conf-uri"].iter().any(|option| matches.opt_present(option));
    let agent = says_agent.then(|| agent_args(matches, args)).transpose()?;
    let args = GenerateArgs {
        dir: first(matches, "dir").map(PathBuf::from),
        pattern: first(matches, "pattern"),
        lines: number(matches, "lines", 0..=u64::MAX, "a number of lines")?,
        rate: number(
            matches,
            "rate",
            1..=LINE_RATE_MAX,
            "a number of lines a second from 1 to 1000000000",
        )?,
        size: number(
            matches,
            "size",
            1..=LINE_BYTES_MAX,
            "a number of bytes from 1 to 1073741824",
        )?
        .map_or(LINE_BYTES_DEFAULT, |n| n as usize),
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
fn option_of(command: u8, word: &str) -> Option<&'static OptionRow> {
    let name = word.trim_start_matches('-');
    options(command, TakenBy::Agent)
        .find(|o| name == o.long || (name == o.short && !name.is_empty()))
}

/// Brings the forms that commons-cli takes to `--option` and `--option=argument`. The other words
/// come second.
fn normalise(command: u8, words: &[String]) -> Result<(Vec<String>, Vec<String>), UsageError> {
    let mut flat = flatten(command, words).into_iter().peekable();
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
fn flatten(command: u8, words: &[String]) -> Vec<String> {
    let mut flat = Vec::new();
    for word in words {
        let joined =
            word.split_once('=').filter(|(option, _)| option_of(command, option).is_some());
        let second = word.char_indices().nth(2).map(|(at, _)| word.split_at(at));
        match (joined, second) {
            _ if !word.starts_with('-') || option_of(command, word).is_some() => {
                flat.push(word.clone())
            }
            (Some((option, value)), _) => flat.extend([option.to_string(), value.to_string()]),
            (None, Some((option, value))) if option_of(command, option).is_some() => {
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
