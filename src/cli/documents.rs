//! The texts that are made from the table: usage, man page, completions.

use std::fmt::Write as _;

use super::table::{
    AGENT, COMMANDS, CommandRow, DEFINE_HELP, EXAMPLES, EXIT_CODES, FILES, OPTIONS, OptionRow,
    SEE_ALSO, SYSTEM_PROPERTIES, shown,
};

// Writing to a String does not fail, hence `let _ =` throughout.

/// The text of `flume-ng help`; it fits a screen.
pub fn usage() -> String {
    let mut text = String::from("Usage: flume-ng <command> [options]\n\ncommands:\n");
    for command in COMMANDS {
        let _ = writeln!(text, "  {:<9} {}", command.name, command.summary);
    }
    text.push_str("\noptions of agent:\n");
    shown(AGENT).for_each(|option| option_line(&mut text, option));
    text.push_str(
        "  -Dkey=value              log level and monitoring: see flume-ng help agent
exit codes: 0 clean stop, 1 verify found a difference, 2 usage, 70 exactly-once
cannot be kept, 75 try again later, 78 configuration
",
    );
    text
}

/// The text of `flume-ng help COMMAND`.
pub(crate) fn command_usage(command: &CommandRow) -> String {
    let mut text = format!("Usage: flume-ng {} {}\n\n", command.name, command.synopsis);
    for line in wrap(command.about, 78) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str("\noptions:\n");
    shown(command.bit).for_each(|option| option_line(&mut text, option));
    if command.bit == AGENT {
        for (property, help) in SYSTEM_PROPERTIES {
            let _ = writeln!(text, "  -D{property:<33} {help}");
        }
    }
    text
}

/// Where the words about an option begin.
const HELP_COLUMN: usize = 27;

fn option_line(text: &mut String, option: &OptionRow) {
    let short = match option.short {
        "" => "   ".to_string(),
        short => format!("-{short},"),
    };
    let long = format!("--{} {}", option.long, option.argument);
    let (head, column) = (format!("  {short} {long:<20}"), HELP_COLUMN);
    if head.len() < HELP_COLUMN {
        let _ = writeln!(text, "{head} {}", option.help);
    } else {
        let _ = writeln!(text, "{}\n{:column$}{}", head.trim_end(), "", option.help);
    }
}

/// Words in lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        // Never empty: it begins with one line.
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            let _ = write!(line, " {word}");
        } else {
            lines.push(word.to_string());
        }
    }
    lines
}

/// The document of that name, if there is one.
pub(crate) fn document(name: &str) -> Option<String> {
    match name {
        "man" => Some(man_page()),
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

/// roff takes a hyphen for a dash, and a point or quote at the start of a line for a request.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// A paragraph in lines as short as roff's checkers want them.
fn roff_lines(text: &str) -> String {
    wrap(text, 72).iter().map(|line| roff(line)).collect::<Vec<_>>().join("\n")
}

fn man_page() -> String {
    let mut page = String::from(
        ".\\\" Made by: flume-ng --generate man\n\
         .TH FLUME-NG 1 \"\" \"flume-ng\" \"User Commands\"\n\
         .SH NAME\nflume\\-ng \\- tails hourly log files into Kafka, each line exactly once\n\
         .SH SYNOPSIS\n",
    );
    for command in COMMANDS {
        let (name, synopsis) = (roff(command.name), roff(command.synopsis));
        // Between two, not behind the last.
        let gap = if command.name == COMMANDS[0].name { "" } else { ".br\n" };
        let _ = writeln!(page, "{gap}.B flume\\-ng {name}");
        if !synopsis.is_empty() {
            let _ = writeln!(page, "{synopsis}");
        }
    }
    page.push_str(
        ".SH DESCRIPTION\nA drop\\-in for the agent of Apache Flume 1.6 with a\n\
         SpoolDirectoryTailFileSource and a KafkaChannel.\nIt takes the same command line and the \
         same properties file.\n",
    );
    for command in COMMANDS.iter().filter(|c| !c.about.is_empty()) {
        let _ = writeln!(page, ".SH {}", command.name.to_uppercase());
        let _ = writeln!(
            page,
            "{}.\n.PP\n{}",
            roff(&sentence(command.summary)),
            roff_lines(command.about)
        );
        for option in shown(command.bit) {
            man_option(&mut page, option);
        }
        if command.bit == AGENT {
            let _ = writeln!(page, ".TP\n\\fB\\-D\\fR\\fIkey\\fR=\\fIvalue\\fR\n{DEFINE_HELP}");
        }
    }
    page.push_str(".SH SYSTEM PROPERTIES\n");
    for (property, help) in SYSTEM_PROPERTIES {
        let _ = writeln!(page, ".TP\n.B \\-D{}\n{}", roff(property), roff(help));
    }
    page.push_str(".SH EXIT STATUS\n");
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(page, ".TP\n.B {code}\n{}", roff(meaning));
    }
    page.push_str(".SH FILES\n");
    for (file, meaning) in FILES {
        let _ = writeln!(page, ".TP\n.I {}\n{}", roff(file), roff(meaning));
    }
    page.push_str(
        ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nno colours on a terminal\n\
         .TP\n.B NOTIFY_SOCKET\nwhere systemd is told that the agent is ready\n\
         .TP\n.B TZ\nthe time zone by which files are named\n",
    );
    page.push_str(".SH EXAMPLES\n");
    for (command, purpose) in EXAMPLES {
        let (purpose, command) = (roff(purpose), roff(command));
        let _ = writeln!(page, "{purpose}\n.PP\n.RS 4\n.nf\n{command}\n.fi\n.RE\n.PP");
    }
    let _ = writeln!(page, ".SH SEE ALSO\n{SEE_ALSO}");
    page
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

fn man_option(page: &mut String, option: &OptionRow) {
    page.push_str(".TP\n");
    if !option.short.is_empty() {
        let _ = write!(page, "\\fB\\-{}\\fR, ", option.short);
    }
    let _ = write!(page, "\\fB\\-\\-{}\\fR", roff(option.long));
    if !option.argument.is_empty() {
        let _ = write!(page, " \\fI{}\\fR", roff(option.argument));
    }
    let _ = writeln!(page, "\n{}", roff(option.help));
}

/// What a shell is to offer behind an option.
enum Offer {
    Files,
    Directories,
    Nothing,
}

fn offer(option: &OptionRow) -> Offer {
    match option.argument {
        "FILE" => Offer::Files,
        "DIR" | "DIRS" | "PATH" => Offer::Directories,
        _ => Offer::Nothing,
    }
}

/// `-n|--name`, joined by `separator`.
fn names(option: &OptionRow, separator: &str) -> String {
    match option.short {
        "" => format!("--{}", option.long),
        short => format!("-{short}{separator}--{}", option.long),
    }
}

/// The keys behind `-D`, without their values.
fn system_keys() -> impl Iterator<Item = &'static str> {
    SYSTEM_PROPERTIES.iter().filter_map(|(property, _)| property.split('=').next())
}

/// Has it words that are names of files?
fn takes_files(command: &CommandRow) -> bool {
    command.synopsis.ends_with("[FILE...]")
}

fn with_options() -> impl Iterator<Item = &'static CommandRow> {
    COMMANDS.iter().filter(|c| c.bit != 0)
}

fn bash() -> String {
    let mut text = String::from(
        "# Made by: flume-ng --generate bash
_flume_ng() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options=
  COMPREPLY=()
  if [ \"$COMP_CWORD\" -eq 1 ]; then
",
    );
    let all: Vec<&str> = COMMANDS.iter().map(|c| c.name).collect();
    let _ = writeln!(text, "    COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))", all.join(" "));
    text.push_str("    return\n  fi\n  case $prev in\n");
    for option in OPTIONS.iter().filter(|o| !o.argument.is_empty()) {
        let action = match offer(option) {
            Offer::Files => "COMPREPLY=($(compgen -f -- \"$cur\")); ",
            Offer::Directories => "COMPREPLY=($(compgen -d -- \"$cur\")); ",
            Offer::Nothing => "",
        };
        let _ = writeln!(text, "    {}) {action}return ;;", names(option, "|"));
    }
    text.push_str("  esac\n  case ${COMP_WORDS[1]} in\n");
    for command in with_options() {
        let list: Vec<String> = shown(command.bit).map(|o| format!("--{}", o.long)).collect();
        let _ = writeln!(text, "    {}) options=\"{}\" ;;", command.name, list.join(" "));
    }
    let _ = writeln!(text, "    help) options=\"{}\" ;;", all.join(" "));
    text.push_str("  esac\n");
    let keys: Vec<String> = system_keys().map(|key| format!("-D{key}=")).collect();
    let _ = writeln!(text, "  if [ \"${{COMP_WORDS[1]}}\" = agent ]; then");
    let _ = writeln!(text, "    case $cur in");
    let _ = writeln!(
        text,
        "    -D*) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return ;;",
        keys.join(" ")
    );
    let _ = writeln!(text, "    esac\n  fi");
    let takers: Vec<&str> = with_options().filter(|c| takes_files(c)).map(|c| c.name).collect();
    let _ = writeln!(text, "  case ${{COMP_WORDS[1]}}:$cur in");
    for name in takers {
        let _ = writeln!(text, "    {name}:-*) ;;");
        let _ = writeln!(text, "    {name}:*) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;");
    }
    text.push_str(
        "  esac
  COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))
}
complete -o filenames -F _flume_ng flume-ng
",
    );
    text
}

fn zsh() -> String {
    let mut text = String::from(
        "#compdef flume-ng
# Made by: flume-ng --generate zsh
_flume_ng() {
  local -a commands
  commands=(
",
    );
    for command in COMMANDS {
        let _ = writeln!(text, "    '{}:{}'", command.name, zsh_quoted(command.summary));
    }
    text.push_str(
        "  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
",
    );
    for command in with_options() {
        let _ = writeln!(text, "    {})\n      _arguments \\", command.name);
        let mut lines: Vec<String> = shown(command.bit).flat_map(zsh_option).collect();
        if takes_files(command) {
            lines.push("        '*:FILE:_files'".to_string());
        }
        if command.bit == AGENT {
            let keys: Vec<&str> = system_keys().collect();
            lines.push(format!("        '*-D-[system property]:key:({})'", keys.join("= ") + "="));
        }
        let _ = writeln!(text, "{}\n      ;;", lines.join(" \\\n"));
    }
    text.push_str("    help) _describe command commands ;;\n  esac\n}\n_flume_ng \"$@\"\n");
    text
}

fn zsh_quoted(text: &str) -> String {
    text.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

/// One specification for each of its names.
fn zsh_option(option: &'static OptionRow) -> Vec<String> {
    let action = match (option.argument, offer(option)) {
        ("", _) => String::new(),
        (argument, Offer::Files) => format!(":{argument}:_files"),
        (argument, Offer::Directories) => format!(":{argument}:_files -/"),
        (argument, Offer::Nothing) => format!(":{}: ", zsh_quoted(argument)),
    };
    names(option, "\n")
        .lines()
        .map(|name| format!("        '{name}[{}]{action}'", zsh_quoted(option.help)))
        .collect()
}

fn fish() -> String {
    let mut text = String::from("# Made by: flume-ng --generate fish\ncomplete -c flume-ng -f\n");
    for command in COMMANDS {
        let _ = writeln!(
            text,
            "complete -c flume-ng -n __fish_use_subcommand -a {} -d '{}'",
            command.name,
            fish_quoted(command.summary)
        );
    }
    let all: Vec<&str> = with_options().map(|c| c.name).collect();
    let _ = writeln!(
        text,
        "complete -c flume-ng -n '__fish_seen_subcommand_from help' -a '{}'",
        all.join(" ")
    );
    for command in with_options() {
        if takes_files(command) {
            let _ = writeln!(
                text,
                "complete -c flume-ng -n '__fish_seen_subcommand_from {}' -F",
                command.name
            );
        }
        if command.bit == AGENT {
            for key in system_keys() {
                let _ = writeln!(
                    text,
                    "complete -c flume-ng -n '__fish_seen_subcommand_from agent' -a '-D{key}='"
                );
            }
        }
        for option in shown(command.bit) {
            let _ = write!(
                text,
                "complete -c flume-ng -n '__fish_seen_subcommand_from {}'",
                command.name
            );
            if !option.short.is_empty() {
                let _ = write!(text, " -s {}", option.short);
            }
            let _ = write!(text, " -l {}", option.long);
            text.push_str(match (option.argument, offer(option)) {
                ("", _) => "",
                (_, Offer::Files) => " -r -F",
                (_, Offer::Directories) => " -x -a '(__fish_complete_directories)'",
                (_, Offer::Nothing) => " -x",
            });
            let _ = writeln!(text, " -d '{}'", fish_quoted(option.help));
        }
    }
    text
}

fn fish_quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
