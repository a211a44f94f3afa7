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
    file: String,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub fn new(file: &str) -> Self {
        Diagnostics { file: file.to_string(), list: Vec::new() }
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
        let (key, file) = (key.map(str::to_string), self.file.clone());
        self.list.push(Diagnostic { severity, key, line, file, message });
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// All findings in the order of the file's lines, those without a line first.
    pub fn into_list(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|d| d.line);
        self.list
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
