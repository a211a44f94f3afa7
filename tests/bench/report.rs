//! What was measured, as Markdown.

use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A table with what stands before and after it.
pub struct Section {
    pub title: String,
    pub text: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    /// What was left out, and why.
    pub missing: Vec<String>,
}

impl Section {
    fn write(&self, out: &mut String) {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let columns: Vec<String> = self.columns.iter().map(|c| c.to_string()).collect();
        // The first column is text, the others are numbers.
        let rule: Vec<String> =
            (0..columns.len()).map(|i| if i == 0 { "---" } else { "---:" }.to_string()).collect();
        write!(out, "\n## {}\n\n{}\n\n", self.title, self.text).expect("a String takes all");
        *out += &row(&columns);
        *out += &row(&rule);
        self.rows.iter().for_each(|cells| *out += &row(cells));
        if !self.missing.is_empty() {
            *out += "\n";
            self.missing.iter().for_each(|line| *out += &format!("- {line}\n"));
        }
    }
}

/// The whole document.
pub fn document(day: &str, machine: &[String], commands: &[String], body: &[Section]) -> String {
    let mut out = format!(
        "<!-- Written by `make bench`; its next run overwrites changes made by hand. -->\n\
         # Measurements\n\n\
         ![Lines per second, flume-ng and others](bench.svg)\n\n\
         Measured on {day} by\n\n```sh\n{}\n```\n\non\n\n",
        commands.join("\n")
    );
    machine.iter().for_each(|line| out += &format!("- {line}\n"));
    body.iter().for_each(|section| section.write(&mut out));
    out
}

/// Name and content of each file; none is half written, since each is renamed into place.
pub fn publish(dir: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(dir).expect("a directory for the report");
    for (name, content) in files {
        let temp = dir.join(format!(".{name}.new"));
        fs::write(&temp, content).expect("room for the report");
        fs::rename(&temp, dir.join(name)).expect("the report in place");
    }
}
