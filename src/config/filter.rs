//! Config filters of Flume 1.9: where a value such as a password comes from, if not from the file.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::diagnostics::Diagnostics;
use super::section::words;
use crate::os::{self, Interest};

/// How long a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(10);
/// What is read of its answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// `env`: the environment.
    Environment,
    /// `external`: a program, which gets the key as its last argument and prints the value.
    External { command: Vec<String> },
}

impl Filter {
    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// A command that cannot be run, fails or does not end, in words.
    pub(super) fn value(
        &self,
        key: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, String> {
        match self {
            Filter::Environment => Ok(variable(key)),
            Filter::External { command } => ask(command, key).map(Some),
        }
    }
}

/// Takes the filters of an agent out of its keys: full key, value and line of each.
pub(super) fn take<'k>(
    keys: impl Iterator<Item = (&'k str, &'k str, usize)>,
    agent: &str,
    found: &mut Diagnostics,
) -> BTreeMap<String, Filter> {
    let list = format!("{agent}.configfilters");
    let (mut listed, mut props) = (Vec::new(), BTreeMap::new());
    for (key, value, line) in keys {
        match key.strip_prefix(&list) {
            Some("") => listed = words(found, key, value, line),
            Some(rest) => drop(props.insert(rest.trim_start_matches('.'), (key, value, line))),
            None => {}
        }
    }
    let mut filters = BTreeMap::new();
    for name in listed {
        let get = |property: &str| props.get(format!("{name}.{property}").as_str()).copied();
        let kind = get("type").map_or("", |(_, value, _)| value);
        let filter = match (kind.to_ascii_lowercase().as_str(), get("command")) {
            ("env", _) => Filter::Environment,
            ("external", Some((_, command, _))) => {
                Filter::External { command: command.split(' ').map(str::to_string).collect() }
            }
            ("external", None) => {
                let message = "it must be set: the program that prints the value of a key";
                found.error(
                    &format!("{list}.{name}.command"),
                    get("type").map_or(0, |t| t.2),
                    message,
                );
                continue;
            }
            _ => {
                let (key, line) = get("type").map_or_else(
                    || (format!("{list}.{name}.type"), 0),
                    |(key, _, line)| (key.to_string(), line),
                );
                let message = format!("\"{kind}\" is not supported; write env or external");
                found.error(&key, line, message);
                continue;
            }
        };
        filters.insert(name, filter);
    }
    filters
}

/// Runs a command without a shell, as Flume does: the first line of what it prints is the value.
fn ask(command: &[String], key: &str) -> Result<String, String> {
    let program = command.first().map_or("", String::as_str);
    let told = |what: &str| format!("the filter's command {program} {what}");
    let mut child = Command::new(program)
        .args(&command[1.min(command.len())..])
        .arg(key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| told(&format!("cannot be run: {e}")))?;
    let answer = match child.stdout.take() {
        Some(stdout) => read(stdout, Instant::now() + COMMAND_MAX),
        None => Ok(Vec::new()),
    };
    if answer.is_err() {
        let _ = child.kill();
    }
    let is_well = end(&mut child);
    let answer = answer.map_err(|why| told(&why))?;
    if !is_well {
        return Err(told(&format!("failed for {key}")));
    }
    let text =
        String::from_utf8(answer).map_err(|_| told("printed something that is not UTF-8"))?;
    Ok(text.lines().next().unwrap_or_default().to_string())
}

/// Reads until the end, which a command that hangs does not reach.
fn read(mut stdout: ChildStdout, until: Instant) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < ANSWER_BYTES_MAX {
        let left = until.saturating_duration_since(Instant::now());
        let interest = [Interest { fd: stdout.as_raw_fd(), write: false }];
        if left.is_zero() || os::stop_requested().is_some() {
            return Err(format!("did not end within {} s", COMMAND_MAX.as_secs()));
        }
        if !os::wait(&interest, left.min(Duration::from_millis(100))).map_err(|e| e.to_string())? {
            continue;
        }
        match stdout.read(&mut piece).map_err(|e| e.to_string())? {
            0 => return Ok(answer),
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    Ok(answer)
}

/// Did it end well? It has closed its output, so it is about to end, or was killed.
fn end(child: &mut Child) -> bool {
    let until = Instant::now() + COMMAND_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Filter {
        Filter::External { command: words.iter().map(|w| w.to_string()).collect() }
    }

    #[test]
    fn a_command_prints_the_value_of_a_key() {
        let nothing = |_: &str| None;
        let value = command(&["echo", "-n", "secret of"]).value("KEY", &nothing);
        assert_eq!(value, Ok(Some("secret of KEY".to_string())));
        let told = |words: &[&str]| command(words).value("KEY", &nothing).unwrap_err();
        assert!(told(&["false"]).contains("the filter's command false failed for KEY"));
        assert!(told(&["/nonexistent/x"]).contains("cannot be run"));
    }
}
