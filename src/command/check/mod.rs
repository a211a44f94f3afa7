//! `flume-ng check`: everything an agent needs, looked at before it is started.
//!
//! Each look is a row with its outcome; nothing stops at the first fault. A row fails for good
//! (exit code 78: somebody has to change something) or for now (75: the same may pass later, as an
//! unreachable cluster or another agent that still runs).

mod cluster;
mod local;

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::CheckArgs;
use crate::config::diagnostics::{Diagnostic, Severity};
use crate::config::inventory::{self, Fate, Listed};
use crate::config::model::AgentConfig;
use crate::config::{self, Loaded};
use crate::exit::Exit;
use crate::log::json_text;
use crate::os;
use crate::text;
use crate::text::{State, Style, columns, counted, printable, rounded};

/// One look.
#[derive(Debug)]
struct Row {
    group: String,
    name: String,
    state: State,
    text: String,
    ms: Option<f64>,
}

/// The table as it grows.
#[derive(Debug, Default)]
struct Report {
    group: String,
    /// Nothing waits for what the group is about: what may pass is no failure there.
    is_optional: bool,
    rows: Vec<Row>,
    /// What the agent is doing already.
    agent: AgentNow,
}

/// What is to be said of the agent itself. The worst of its sources counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum AgentNow {
    /// It can be started if nothing fails.
    #[default]
    Stopped,
    /// It runs, and holds what it needs.
    Runs,
    /// It ended by itself, which no look can say anything against.
    Ended,
}

/// A failure that a person has to fix.
const FOR_GOOD: State = State::Fail { may_pass: false };
/// A failure that may pass.
const FOR_NOW: State = State::Fail { may_pass: true };
/// What a failure of an optional channel means.
const GO_ON: &str = "the channel is optional: events go without it while this lasts";

impl Report {
    fn begin(&mut self, group: impl Into<String>) {
        (self.group, self.is_optional) = (group.into(), false);
    }

    /// Of an optional channel.
    fn begin_optional(&mut self, group: impl Into<String>) {
        (self.group, self.is_optional) = (group.into(), true);
    }

    fn add(&mut self, name: &str, state: State, text: impl Into<String>) {
        self.push(name, state, text.into(), None);
    }

    /// With how long it took.
    fn timed(&mut self, name: &str, state: State, text: impl Into<String>, ms: f64) {
        self.push(name, state, text.into(), Some(ms));
    }

    fn push(&mut self, name: &str, state: State, text: String, ms: Option<f64>) {
        let (group, name) = (self.group.clone(), name.to_string());
        let (state, text) = match self.is_optional && state == FOR_NOW {
            true => (State::Warn, format!("{text} ({GO_ON})")),
            false => (state, text),
        };
        self.rows.push(Row { group, name, state, text, ms });
    }

    fn exit(&self) -> Exit {
        let failed = |may_pass| self.rows.iter().any(|r| r.state == State::Fail { may_pass });
        match (failed(false), failed(true)) {
            (true, _) => Exit::Configuration,
            (_, true) => Exit::Temporary,
            _ => Exit::Clean,
        }
    }

    fn count(&self, word: &str) -> usize {
        self.rows.iter().filter(|r| r.state.word() == word).count()
    }
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> ExitCode {
    let mut report = Report::default();
    let (file, agent) = (&args.agent.conf_files, &args.agent.name);
    let properties = inventory::read(file, agent, &args.agent.system_properties);
    report.begin("configuration");
    let (loaded, findings) = match config::load_with(file, agent, &args.agent.system_properties) {
        Ok(Loaded { config, findings }) => (Some(config), findings),
        Err(findings) => (None, findings),
    };
    configuration(&mut report, args, loaded.as_ref(), &findings);
    if let Some(path) = loaded.as_ref().and_then(|config| config.monitoring.textfile.as_ref()) {
        textfile(&mut report, path);
    }
    if let Some(config) = &loaded {
        for source in &config.sources {
            local::check(&mut report, agent, source);
        }
        for (at, channel) in config.destinations.iter().enumerate() {
            let writers: Vec<_> =
                config.sources.iter().filter(|s| s.destinations.contains(&at)).collect();
            if writers.is_empty() {
                // Its events name other topics.
                continue;
            }
            let title = format!("channel {}", channel.name);
            match writers.iter().all(|source| source.is_optional(at)) {
                true => report.begin_optional(title),
                false => report.begin(title),
            }
            cluster::check(&mut report, channel, &writers, args.create_topic);
            if args.verbose || args.json {
                cluster::zookeeper(&mut report, &properties, agent, &channel.name);
            }
        }
    }
    let exit = report.exit();
    if args.json {
        text::print(format_args!("{}\n", json_text(&to_json(args, &report, &properties))));
    } else {
        let style = Style::of_stdout();
        text::print(format_args!("{}", to_text(args, &report, &properties, style)));
    }
    exit.into()
}

/// What the file is, and everything that was found in it.
fn configuration(
    report: &mut Report,
    args: &CheckArgs,
    loaded: Option<&AgentConfig>,
    findings: &[Diagnostic],
) {
    let (file, agent) = (&args.agent.conf_files, &args.agent.name);
    if let Some(config) = loaded {
        let parts = [config.sources.len(), config.channels().count(), config.sinks.len()];
        let parts = parts.map(|n| n as u64);
        let [sources, channels, sinks] = parts;
        let text = format!(
            "{}: agent {agent} with {}, {}, {}",
            file.absolute(),
            counted(sources, "source"),
            counted(channels, "channel"),
            counted(sinks, "sink")
        );
        report.add("file", State::Ok, text);
    }
    for finding in findings {
        let state = match finding.severity {
            Severity::Info => State::Info,
            Severity::Warning => State::Warn,
            Severity::Error => FOR_GOOD,
        };
        let place = finding.line.map_or_else(|| "file".to_string(), |n| format!("line {n}"));
        let key = finding.key.as_ref().map_or_else(String::new, |key| format!("{key}: "));
        report.add(&place, state, format!("{key}{}", finding.message));
    }
}

/// The agent runs without its text file, so it is a warning; but whoever reads it waits in vain.
fn textfile(report: &mut Report, path: &Path) {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match os::canary(dir) {
        Ok(()) => report.add("monitoring.textfile", State::Ok, path.display().to_string()),
        Err(e) => {
            let dir = dir.display();
            let text = format!("{}: {dir} cannot be written: {e}", path.display());
            report.add("monitoring.textfile", State::Warn, text);
        }
    }
}

/// Places of rows: failures, warnings, what is well, what is only told.
fn rank(state: State) -> u8 {
    match state {
        State::Fail { .. } => 0,
        State::Warn => 1,
        State::Ok => 2,
        State::Info => 3,
    }
}

fn to_text(args: &CheckArgs, report: &Report, properties: &[Listed], style: Style) -> String {
    let title = format!("check of agent {}, {}", args.agent.name, args.agent.conf_files.absolute());
    let mut out = style.bold(&title) + "\n";
    // What wants somebody comes first; rows of one state stay in the order of the looks.
    let mut rows: Vec<&Row> = report.rows.iter().collect();
    rows.sort_by_key(|row| rank(row.state));
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let time = row.ms.map_or_else(String::new, |ms| format!(" ({ms:.1} ms)"));
            let text = format!("{}{time}", printable(&row.text));
            vec![row.group.clone(), row.name.clone(), text]
        })
        .collect();
    let mut last = None;
    for (row, line) in rows.iter().zip(columns(&cells, 0).lines()) {
        if last.replace(rank(row.state)) != Some(rank(row.state)) {
            out.push('\n');
        }
        out.push_str(&format!("  {}  {line}\n", style.state(row.state)));
    }
    if args.verbose && !properties.is_empty() {
        out.push_str(&format!("\n{}\n{}", style.bold("properties"), property_lines(properties)));
    }
    let exit = report.exit();
    let state = match exit {
        Exit::Clean if report.count("warn") > 0 => State::Warn,
        Exit::Clean => State::Ok,
        _ => FOR_GOOD,
    };
    let verdict = match exit {
        Exit::Clean => match report.agent {
            AgentNow::Stopped => "the agent can be started",
            AgentNow::Runs => "the agent runs",
            AgentNow::Ended => {
                "nothing else prevents a start, but the last agent ended by itself: fix that first"
            }
        },
        Exit::Temporary => "not yet: see what failed, and try again",
        _ => "not before what failed is fixed",
    };
    out.push_str(&format!(
        "\n{}  {verdict}: {}, {} (exit code {})\n",
        style.state(state),
        counted(report.count("fail") as u64, "failure"),
        counted(report.count("warn") as u64, "warning"),
        exit.code()
    ));
    out
}

fn fate(listed: &Listed) -> (&'static str, &'static str) {
    match listed.fate {
        Fate::Taken(meaning) => ("taken", meaning),
        Fate::Ignored(why) => ("ignored", why),
        Fate::Refused(why) => ("refused", why),
        Fate::Unknown => ("unknown", "not a property of Flume 1.6 or of this agent"),
    }
}

fn property_lines(properties: &[Listed]) -> String {
    let rows: Vec<Vec<String>> = properties
        .iter()
        .map(|listed| {
            let (word, note) = fate(listed);
            let note = if word == "taken" { String::new() } else { format!(" ({note})") };
            let text = format!("{} = {}{note}", listed.key, listed.value);
            vec![word.to_string(), printable(&text)]
        })
        .collect();
    columns(&rows, 2)
}

fn to_json(args: &CheckArgs, report: &Report, properties: &[Listed]) -> Value {
    let rows = report.rows.iter().map(|row| {
        json!({
            "group": row.group,
            "name": row.name,
            "state": row.state.word(),
            "text": row.text,
            "ms": row.ms.map(rounded),
        })
    });
    let properties = properties.iter().map(|listed| {
        let (word, note) = fate(listed);
        json!({
            "key": listed.key,
            "value": listed.value,
            "line": listed.line,
            "fate": word,
            "note": note,
        })
    });
    json!({
        "agent": args.agent.name,
        "conf_file": args.agent.conf_files.to_string(),
        "exit": report.exit().code(),
        "failures": report.count("fail"),
        "warnings": report.count("warn"),
        "checks": rows.collect::<Vec<Value>>(),
        "properties": properties.collect::<Vec<Value>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wants_somebody_is_printed_first() {
        let mut report = Report::default();
        report.begin("source r1");
        report.add("disk", State::Ok, "7 % used");
        report.add("files", State::Warn, "truncated");
        report.begin("channel c1");
        report.add("topic", FOR_NOW, "not there");
        let listed = |key: &str| Listed {
            key: key.into(),
            value: "1".into(),
            line: 1,
            fate: Fate::Taken(""),
        };
        let properties = [listed("a1.sources.r1.batchSize")];
        let mut args = CheckArgs::default();
        let text = |args: &CheckArgs| to_text(args, &report, &properties, Style::PLAIN);
        let rows = "\n  fail  channel c1  topic  not there\n\n  warn  source r1   files  truncated\n\n  \
                    ok    source r1   disk   7 % used\n\nfail";
        assert!(text(&args).contains(rows), "{}", text(&args));
        args.verbose = true;
        assert!(text(&args).contains("a1.sources.r1.batchSize = 1\n"), "{}", text(&args));
    }

    #[test]
    fn nothing_fails_for_an_optional_channel_that_may_come_back() {
        let mut report = Report::default();
        report.begin_optional("channel c2");
        report.add("h:1", FOR_NOW, "Connection refused");
        assert_eq!((report.exit(), report.rows[0].state), (Exit::Clean, State::Warn));
        assert_eq!(report.rows[0].text, format!("Connection refused ({GO_ON})"));
        // What somebody has to mend is one all the same.
        report.add("cleanup.policy", FOR_GOOD, "compact");
        assert_eq!(report.exit(), Exit::Configuration);
        let mut report = Report::default();
        report.begin_optional("channel c2");
        report.begin("channel c3");
        report.add("h:1", FOR_NOW, "Connection refused");
        assert_eq!(
            (report.exit(), report.rows[0].text.as_str()),
            (Exit::Temporary, "Connection refused")
        );
    }

    #[test]
    fn what_has_to_be_mended_outweighs_what_may_pass() {
        let mut report = Report::default();
        report.add("a", State::Warn, "");
        assert_eq!(report.exit(), Exit::Clean);
        report.add("b", FOR_NOW, "");
        assert_eq!(report.exit(), Exit::Temporary);
        report.add("c", FOR_GOOD, "");
        assert_eq!(report.exit(), Exit::Configuration);
        assert_eq!((report.count("fail"), report.count("warn")), (2, 1));
    }
}
