//! What a command of tail asks for: which files, from where, followed how.

use std::ffi::OsString;

use super::model::FirstByte;

/// A command that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TailCommand {
    /// As written.
    pub files: Vec<OsString>,
    pub begin: FirstByte,
    /// The file that is open is followed, not its name.
    pub by_descriptor: bool,
    /// Headings would stand between the lines of several files.
    pub has_headings: bool,
}

/// Where the last ten lines begin: tail's own beginning.
const LAST_LINES: u64 = 10;

const ALTERNATIVES: &str = "only tail -f or tail -F of named files is supported, done by the \
                            agent itself; instead of grep use an interceptor regex_filter, for \
                            files by a pattern a TAILDIR source, and for the output of a program \
                            write it to a file and follow that";

/// Reads a command as Flume runs it: split at white space, or handed to `shell`.
///
/// # Errors
/// What cannot be run, and what to do instead.
pub(super) fn parse(command: &str, shell: Option<&str>) -> Result<TailCommand, String> {
    let words = match shell {
        None => {
            // Without a shell these would be names of files.
            let special = |word: &str| word.chars().find(|c| "|;&<>*$`".contains(*c));
            match command.split_whitespace().find_map(special) {
                Some(letter) => return Err(meant(letter)),
                None => command.split_whitespace().map(str::to_owned).collect(),
            }
        }
        Some(shell) => {
            check_shell(shell)?;
            shell_words(command)?
        }
    };
    let mut words = words.as_slice();
    if shell.is_some() && words.first().is_some_and(|word| word == "exec") {
        words = &words[1..];
    }
    let Some((program, arguments)) = words.split_first() else {
        return Err(format!("the command is empty; {ALTERNATIVES}"));
    };
    if program.rsplit('/').next() != Some("tail") {
        return Err(format!("\"{program}\" is not supported: {ALTERNATIVES}"));
    }
    arguments_of_tail(arguments)
}

fn check_shell(shell: &str) -> Result<(), String> {
    let words: Vec<&str> = shell.split_whitespace().collect();
    let is_known = match words.as_slice() {
        [program, "-c"] | [program, "-l", "-c"] | [program, "-lc"] => {
            let name = program.rsplit('/').next().unwrap_or_default();
            ["sh", "bash", "dash", "ksh", "zsh"].contains(&name)
        }
        _ => false,
    };
    if is_known {
        return Ok(());
    }
    Err(format!("\"{shell}\" is not supported; write /bin/sh -c, or leave it out"))
}

/// The words of a command that has nothing else in it that a shell would act upon.
fn shell_words(command: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = command.trim().chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => {
                            return Err(format!("a quote ({letter}) is not closed in: {command}"));
                        }
                        Some(end) if end == letter => break,
                        Some('\\') if letter == '"' => word.extend(letters.next()),
                        Some(special @ ('$' | '`')) if letter == '"' => return Err(meant(special)),
                        Some(other) => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            '|' | ';' | '&' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | '{' | '\n' => {
                return Err(meant(letter));
            }
            '~' | '#' if word.is_none() => return Err(meant(letter)),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// What was meant by something that only a shell understands.
fn meant(letter: char) -> String {
    let instead = match letter {
        '|' => {
            "a pipe is not supported: for grep use an interceptor regex_filter, for sed search_replace, and \
             write the output of any other program to a file and follow that"
        }
        '*' | '?' | '[' | '{' => {
            "a pattern of names is not supported: use a source of type TAILDIR"
        }
        '$' | '`' => {
            "the shell's variables and commands are not supported: write the path, or \
             ${env:NAME}"
        }
        '~' => "write the path of the home directory",
        '<' | '>' => {
            "redirection is not supported: leave it out, what tail says of itself is in the log"
        }
        _ => return format!("{letter}: only one command can be run; {ALTERNATIVES}"),
    };
    format!("{letter}: {instead}")
}

#[derive(Default)]
struct Options {
    follows: bool,
    by_descriptor: bool,
    is_quiet: bool,
    begin: Option<FirstByte>,
    files: Vec<OsString>,
}

fn arguments_of_tail(arguments: &[String]) -> Result<TailCommand, String> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    let mut only_files = false;
    while let Some(word) = rest.next() {
        if only_files || !word.starts_with('-') {
            options.files.push(word.into());
        } else if word == "--" {
            only_files = true;
        } else if word == "-" {
            return Err(format!("standard input cannot be followed: {ALTERNATIVES}"));
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            options.long(word, name, value, &mut rest)?;
        } else {
            options.short(word, &mut rest)?;
        }
    }
    if !options.follows {
        return Err(format!("tail without -f or -F ends at once; write tail -F. {ALTERNATIVES}"));
    }
    if options.files.is_empty() {
        return Err(format!("no file is named: {ALTERNATIVES}"));
    }
    Ok(TailCommand {
        begin: options.begin.unwrap_or(FirstByte::LastLines(LAST_LINES)),
        by_descriptor: options.by_descriptor,
        has_headings: options.files.len() > 1 && !options.is_quiet,
        files: options.files,
    })
}

impl Options {
    fn long<'a>(
        &mut self,
        word: &str,
        name: &str,
        value: Option<String>,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), String> {
        let mut needed = || {
            let next = value.clone().or_else(|| rest.next().cloned());
            next.ok_or_else(|| format!("{word} needs a value"))
        };
        match name {
            "follow" => {
                self.follows = true;
                match value.as_deref() {
                    None | Some("descriptor") => self.by_descriptor = true,
                    Some("name") => self.by_descriptor = false,
                    Some(other) => {
                        return Err(format!("--follow={other} is not known; write --follow=name"));
                    }
                }
            }
            "retry" => {}
            "quiet" | "silent" => self.is_quiet = true,
            "lines" => self.begin = Some(lines(&needed()?)?),
            "bytes" => self.begin = Some(bytes(&needed()?)?),
            "sleep-interval" | "max-unchanged-stats" => {
                needed()?;
            }
            _ => return Err(unknown(word)),
        }
        Ok(())
    }

    /// `-n5F`, `-F`, `-20f`.
    fn short<'a>(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), String> {
        let mut letters = word[1..].chars();
        // The old way to say -n.
        if word[1..].starts_with(|c: char| c.is_ascii_digit()) {
            let digits: String = letters.by_ref().take_while(char::is_ascii_digit).collect();
            let behind = &word[1 + digits.len()..];
            self.begin = Some(lines(&digits)?);
            letters = behind.chars();
        }
        while let Some(letter) = letters.next() {
            let mut value = || {
                let own: String = letters.as_str().to_owned();
                letters = "".chars();
                let next = Some(own).filter(|own| !own.is_empty()).or_else(|| rest.next().cloned());
                next.ok_or_else(|| format!("-{letter} needs a value"))
            };
            match letter {
                'f' => (self.follows, self.by_descriptor) = (true, true),
                'F' => (self.follows, self.by_descriptor) = (true, false),
                'q' => self.is_quiet = true,
                'n' => self.begin = Some(lines(&value()?)?),
                'c' => self.begin = Some(bytes(&value()?)?),
                's' => {
                    value()?;
                }
                _ => return Err(unknown(word)),
            }
        }
        Ok(())
    }
}

fn unknown(word: &str) -> String {
    format!("tail's option {word} is not supported; -f, -F, --follow, -n, -c, -q and -s are")
}

/// `N`: the last so many; `+N`: from the Nth on, counted from 1.
fn lines(text: &str) -> Result<FirstByte, String> {
    Ok(match count(text)? {
        (true, 0 | 1) => FirstByte::Beginning,
        (true, line) => FirstByte::Line(line),
        (false, lines) => FirstByte::LastLines(lines),
    })
}

fn bytes(text: &str) -> Result<FirstByte, String> {
    Ok(match count(text)? {
        (true, 0 | 1) => FirstByte::Beginning,
        (true, byte) => FirstByte::Byte(byte - 1),
        (false, bytes) => FirstByte::LastBytes(bytes),
    })
}

/// Is it counted from the beginning, and how many?
fn count(text: &str) -> Result<(bool, u64), String> {
    let (from_start, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('-').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let unit = match &rest[end..] {
        "" => 1,
        "b" => 512,
        "kB" => 1_000,
        "k" | "K" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "m" | "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        _ => return Err(format!("\"{text}\" is not a number; write one such as 10 or +1")),
    };
    let number: u64 = rest[..end]
        .parse()
        .map_err(|_| format!("\"{text}\" is not a number; write one such as 10 or +1"))?;
    Ok((from_start, number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_follow_files() {
        use FirstByte::{Beginning, Byte, LastBytes, LastLines, Line};
        let sh = Some("/bin/sh -c");
        for (command, shell, files, begin, by_descriptor) in [
            ("tail -F /a", None, vec!["/a"], LastLines(10), false),
            ("tail -f /a", None, vec!["/a"], LastLines(10), true),
            ("/usr/bin/tail -n +1 -F /a", None, vec!["/a"], Beginning, false),
            ("tail -n0 -F /a", sh, vec!["/a"], LastLines(0), false),
            ("exec tail -Fn 0 /a", sh, vec!["/a"], LastLines(0), false),
            ("tail -f -n 100 /a", None, vec!["/a"], LastLines(100), true),
            ("tail -100f /a", None, vec!["/a"], LastLines(100), true),
            ("tail --follow=name --retry /a", None, vec!["/a"], LastLines(10), false),
            ("tail --follow /a", None, vec!["/a"], LastLines(10), true),
            ("tail --lines=+5 -F /a", None, vec!["/a"], Line(5), false),
            ("tail -c +0 -F /a", None, vec!["/a"], Beginning, false),
            ("tail -c +7 -F /a", None, vec!["/a"], Byte(6), false),
            ("tail -c 2K -F /a", None, vec!["/a"], LastBytes(2048), false),
            ("tail -q -s 0.5 -F /a /b", None, vec!["/a", "/b"], LastLines(10), false),
            (
                "tail -F '/a b' \"/c d\" /e\\ f",
                sh,
                vec!["/a b", "/c d", "/e f"],
                LastLines(10),
                false,
            ),
            ("tail -F \"a b\"", None, vec!["\"a", "b\""], LastLines(10), false),
            ("tail -F -- -x", None, vec!["-x"], LastLines(10), false),
        ] {
            let found = parse(command, shell).unwrap_or_else(|e| panic!("{command}: {e}"));
            let names: Vec<&str> = found.files.iter().map(|f| f.to_str().unwrap()).collect();
            assert_eq!(names, files, "{command}");
            assert_eq!((found.begin, found.by_descriptor), (begin, by_descriptor), "{command}");
        }
    }

    #[test]
    fn other_commands_are_refused_with_what_to_do() {
        let sh = Some("/bin/bash -c");
        for (command, shell, word) in [
            ("", None, "TAILDIR"),
            ("cat /a", None, "TAILDIR"),
            ("tail /a", None, "-F"),
            ("tail -F", None, "no file"),
            ("tail -F /a | grep x", sh, "regex_filter"),
            ("tail -F /a | grep x", None, "regex_filter"),
            ("tail -F /a/*.log", None, "TAILDIR"),
            ("tail -F /a/*.log", sh, "TAILDIR"),
            ("tail -F $HOME/a", sh, "${env:NAME}"),
            ("tail -F \"$HOME/a\"", sh, "${env:NAME}"),
            ("tail -F ~/a", sh, "home"),
            ("tail -F /a > /b", sh, "redirection"),
            ("tail -F /a; ls", sh, "one command"),
            ("tail -F '/a", sh, "quote"),
            ("tail -F /a", Some("/usr/bin/python -c"), "/bin/sh -c"),
            ("tail -v -F /a", None, "-v"),
            ("tail --pid=1 -F /a", None, "--pid"),
            ("tail -n x -F /a", None, "not a number"),
            ("tail -F -n", None, "value"),
            ("tail -f -", None, "standard input"),
            ("/opt/x.sh", None, "write it to a file"),
        ] {
            let why = parse(command, shell).expect_err(command);
            assert!(why.contains(word), "{command}: {why}");
            // What to do is said once.
            for way_out in ["regex_filter", "TAILDIR"] {
                assert!(why.matches(way_out).count() < 2, "{command}: {why}");
            }
        }
    }
}
