//! What is to be said about a configuration file, each with its place and the way out.

use std::fmt;

use crate::log::{self, Level};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    /// The agent does not start.
    Error,
}

/// One finding: `a1.sources.r1.batchSize (log010.conf line 12): "ten" is not a whole number; ...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The full key it is about.
    pub key: Option<String>,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// The file's name as it was given.
    pub file: String,
    /// What is wrong; then the way out.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, self.line) {
            (Some(key), Some(line)) => write!(f, "{key} ({} line {line})", self.file)?,
            (Some(key), None) => write!(f, "{key} ({})", self.file)?,
            (None, Some(line)) => write!(f, "{} line {line}", self.file)?,
            (None, None) => f.write_str(&self.file)?,
        }
        write!(f, ": {}", self.message)
    }
}

/// Collects findings, so that all errors of a file are told at once.
#[derive(Debug)]
pub struct Diagnostics {
    /// Each with how many lines are before it. Lines are counted through all of them.
    files: Vec<(String, usize)>,
    /// How many lines all files so far have.
    lines: usize,
    list: Vec<(usize, Diagnostic)>,
}

impl Diagnostics {
    pub fn new(file: &str) -> Self {
        Diagnostics { files: vec![(file.to_string(), 0)], lines: 0, list: Vec::new() }
    }

    /// What is said from now on without a line is about that file.
    pub fn begin_file(&mut self, file: &str) {
        if self.lines == 0 {
            self.files.clear();
        }
        self.files.push((file.to_string(), self.lines));
    }

    /// So many lines are in the files before this one.
    pub fn lines_before(&self) -> usize {
        self.lines
    }

    pub fn end_file(&mut self, lines: usize) {
        self.lines += lines;
    }

    /// File and line, as they are there.
    fn place(&self, line: usize) -> (&str, usize) {
        let at = self.files.iter().rev().find(|(_, before)| *before < line);
        at.or(self.files.first())
            .map_or(("", line), |(file, before)| (file, line - before.min(&line)))
    }

    /// Are the two in one file?
    pub fn is_one_file(&self, first: usize, second: usize) -> bool {
        self.place(first).0 == self.place(second).0
    }

    /// The line as a message names it that is about another one.
    pub fn shown_line(&self, line: usize) -> String {
        let (file, own) = self.place(line);
        if self.files.len() > 1 { format!("line {own} of {file}") } else { format!("line {own}") }
    }

    pub fn error(&mut self, key: &str, line: usize, message: impl Into<String>) {
        self.push(Severity::Error, Some(key), Some(line), message.into());
    }

    pub fn warn(&mut self, key: &str, line: usize, message: impl Into<String>) {
        self.push(Severity::Warning, Some(key), Some(line), message.into());
    }

    pub fn info(&mut self, message: impl Into<String>) {
        self.push(Severity::Info, None, None, message.into());
    }

    pub fn push(
        &mut self,
        severity: Severity,
        key: Option<&str>,
        line: Option<usize>,
        message: String,
    ) {
        let key = key.map(str::to_string);
        let (file, own) = match line {
            Some(line) => {
                let (file, own) = self.place(line);
                (file, Some(own))
            }
            None => (self.files.last().map_or("", |(file, _)| file), None),
        };
        let file = file.to_string();
        let finding = Diagnostic { severity, key, line: own, file, message };
        self.list.push((line.unwrap_or(0), finding));
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|(_, d)| d.severity == Severity::Error)
    }

    /// All findings in the order of the file's lines, those without a line first.
    pub fn into_list(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|(line, _)| *line);
        self.list.into_iter().map(|(_, finding)| finding).collect()
    }
}

/// Logs what was found in a configuration.
pub fn tell(findings: &[Diagnostic]) {
    for finding in findings {
        let level = match finding.severity {
            Severity::Info => Level::Info,
            Severity::Warning => Level::Warn,
            Severity::Error => Level::Error,
        };
        log::log(level, "conf.FlumeConfiguration", format_args!("{finding}"));
    }
}
