//! How commands print for people: rows with ticks, sizes and times.
//!
//! Words say everything, so that a log or a blind reader misses nothing; ticks and colours are
//! added on a terminal only, colours not where `NO_COLOR` is set (no-color.org).

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use crate::log::{is_disguise, plural, without_numbers};

/// How a row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Info,
    Ok,
    Warn,
    /// The same will fail again later: exit code 75 rather than 78 if it may pass by itself.
    Fail {
        may_pass: bool,
    },
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Info => "info",
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail { .. } => "fail",
        }
    }

    fn tick(self) -> &'static str {
        match self {
            State::Info => "·",
            State::Ok => "✔",
            State::Warn => "!",
            State::Fail { .. } => "✘",
        }
    }

    /// The number of an ANSI colour.
    fn colour(self) -> u8 {
        match self {
            State::Info => 36,
            State::Ok => 32,
            State::Warn => 33,
            State::Fail { .. } => 31,
        }
    }
}

/// How much the output may shine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// It is a terminal: ticks and bars.
    pub terminal: bool,
    pub colour: bool,
}

impl Style {
    pub const PLAIN: Style = Style { terminal: false, colour: false };

    /// That of standard output.
    pub fn of_stdout() -> Style {
        let terminal = std::io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        Style { terminal, colour: terminal && !no_colour && !dumb }
    }

    pub fn bold(self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
    }

    /// The state's word, with its tick on a terminal, always as wide.
    pub fn state(self, state: State) -> String {
        let word = format!("{:<4}", state.word());
        let text = if self.terminal { format!("{} {word}", state.tick()) } else { word };
        match self.colour {
            true => format!("\x1b[{}m{text}\x1b[0m", state.colour()),
            false => text,
        }
    }

    /// A bar of ten cells; nothing where it is no terminal.
    pub fn bar(self, part: f64) -> String {
        if !self.terminal {
            return String::new();
        }
        let full = (part.clamp(0.0, 1.0) * 10.0).floor() as usize;
        format!("{}{} ", "█".repeat(full), "░".repeat(10 - full))
    }
}

/// What must not reach a terminal, or a log, raw: names of files may hold anything.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_disguise(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 line`, `2 lines`, `1,234 batches`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {}", grouped(count), plural(count, what))
}

/// Bytes in the largest unit that leaves a number of three digits, as `ls -h`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        return format!("{value:.0} {}", units[unit]);
    }
    format!("{value:.1} {}", units[unit])
}

/// A stretch of time in its two largest units.
pub fn span(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// Lines in columns as wide as their widest cell; the last column is free.
pub fn columns(rows: &[Vec<String>], indent: usize) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = (*widest).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell}{}  ", " ".repeat(width - cell.chars().count()));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Prints to stdout; a reader that has gone away is not an error.
pub fn print(text: fmt::Arguments<'_>) {
    let _ = try_print(text);
}

/// Prints to stdout, for who would go on for ever without a reader.
pub fn try_print(text: fmt::Arguments<'_>) -> io::Result<()> {
    let text = text.to_string();
    let mut stdout = io::stdout().lock();
    stdout.write_all(without_numbers(&text).as_bytes()).and_then(|()| stdout.flush())
}

/// A number for scripts, with three places after the point at most; `null` if it is none.
pub fn rounded(x: f64) -> Value {
    let x = (x * 1000.0).round() / 1000.0;
    match x.fract() == 0.0 && x.abs() < 1e15 {
        true => Value::from(x as i64),
        false => Value::from(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let counts = [(0, "line"), (1, "batch"), (1000, "batch")].map(|(n, what)| counted(n, what));
        assert_eq!(counts, ["0 lines", "1 batch", "1,000 batches"]);
        let bytes = [0, 999, 1000, 99_949, 99_960, 999_400, 999_500, u64::MAX];
        let texts = ["0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "18.4 EB"];
        assert_eq!(bytes.map(size), texts);
        let times = [12, 59_999, 61_000, 3_600_000, 90_000_000].map(span);
        assert_eq!(times, ["12 ms", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn colours_and_ticks_only_where_wanted() {
        assert_eq!(Style::PLAIN.state(State::Ok), "ok  ");
        assert_eq!(Style { terminal: true, colour: false }.state(State::Warn), "! warn");
        let bright = Style { terminal: true, colour: true };
        assert_eq!(bright.state(State::Fail { may_pass: true }), "\x1b[31m✘ fail\x1b[0m");
        assert_eq!(
            (Style::PLAIN.bar(0.5), bright.bar(0.55)),
            (String::new(), "█████░░░░░ ".into())
        );
        assert_eq!(printable("a\x1b[2J"), "a\\u{1b}[2J");
        assert_eq!(printable("a\u{202e}gol.\u{200b}b ä中"), "a\\u{202e}gol.\\u{200b}b ä中");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 3]| cells.map(str::to_string).to_vec();
        let text = columns(&[row(["a", "bb", "x"]), row(["中中", "b", ""])], 1);
        assert_eq!(text, " a   bb  x\n 中中  b\n");
    }

    #[test]
    fn numbers_for_scripts_are_short() {
        for (x, text) in [
            (0.12345, "0.123"),
            (3.0, "3"),
            (-0.0004, "0"),
            (1234.5, "1234.5"),
            (1e15, "1000000000000000.0"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(rounded(x).to_string(), text, "{x}");
        }
    }
}
