//! From `flume-ng agent ...` to a running agent: log level, configuration, what there is to say
//! about it.

use std::path::Path;
use std::process::ExitCode;

use crate::agent::reload::{PROVIDER, Reload};
use crate::agent::{self, guard, lifecycle};
use crate::checkpoint::lock::{self, Tenant};
use crate::cli::{AgentArgs, FATAL};
use crate::config::diagnostics::{Severity, tell};
use crate::config::model::AgentConfig;
use crate::config::{self, Loaded};
use crate::exit::Exit;
use crate::log::{self, Format, Level};
use crate::monitor;
use crate::os;
use crate::text::print;

const APPLICATION: &str = "node.Application";

/// Checks the configuration and runs the agent, or prints the component graph (`--dryrun`).
pub fn run(args: &AgentArgs) -> ExitCode {
    set_log_level(args);
    set_log_format(args);
    // Before anything takes time: a stop in the first milliseconds is one in order, too.
    // Not all was done by then, which is what a run that ends by itself is asked.
    let cut_short = if args.once.is_some() { Exit::Temporary } else { Exit::Clean };
    if let Err(e) = os::install_signals(cut_short.code()) {
        log::error(APPLICATION, format_args!("Cannot catch signals: {e}"));
        return Exit::Temporary.into();
    }
    if args.said_node {
        let text = "Warning: The \"node\" command is deprecated. Please use \"agent\" instead.";
        log::continuation(Level::Warn, format_args!("{text}"));
    }
    if let Some(path) = args.conf_files.missing() {
        return missing_file(args, path);
    }
    let file = &args.conf_files;
    // A run that ends by itself ends with the configuration that it began with.
    let reload = (args.reload_conf && args.once.is_none()).then(|| Reload::new(args));
    let loaded = config::load_with(&args.conf_files, &args.name, &args.system_properties);
    if let Ok(Loaded { config, .. }) = &loaded
        && !args.dry_run
    {
        let starting = guard::watch_over(config);
        if let Some(held) = held_by_another(config) {
            lifecycle::tell_busy(&held);
            return Exit::Temporary.into();
        }
        drop(starting);
    }
    log::info(PROVIDER, format_args!("Configuration provider starting"));
    log::info(PROVIDER, format_args!("Reloading configuration file:{file}"));
    warn_of_slips(args);
    let Loaded { config, findings } = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            tell(&findings);
            let errors = findings.iter().filter(|d| d.severity == Severity::Error).count();
            let (s, code) = (if errors == 1 { "" } else { "s" }, Exit::Configuration.code());
            log::error(
                APPLICATION,
                format_args!(
                    "{errors} error{s} in {file}: the agent does not start (exit code {code})"
                ),
            );
            return Exit::Configuration.into();
        }
    };
    tell(&findings);
    if args.dry_run {
        // A start says it when it begins to serve them.
        let _ = monitor::http_place(args);
        print(format_args!("{config}"));
        return Exit::Clean.into();
    }
    agent::run_agent(args, config, reload)
}

/// Who holds a tracker directory already. Asked before the first line is written: cron starts a
/// second agent every minute, and twenty lines of each would bury the log of the one that works.
/// What cannot be looked at is left to the start itself, which locks and does not only look.
fn held_by_another(config: &AgentConfig) -> Option<String> {
    config.sources.iter().find_map(|source| match lock::look(&source.tracker_dir) {
        Ok(Tenant::Agent(holder)) => {
            let path = source.tracker_dir.join(lock::FILE_NAME);
            Some(lock::busy_message(&path, holder.as_ref()))
        }
        _ => None,
    })
}

/// Words of the command line that mean nothing. Flume is silent about them, so they are no errors.
fn warn_of_slips(args: &AgentArgs) {
    for word in &args.stray {
        log::warn(APPLICATION, format_args!("\"{word}\" belongs to no option, ignored"));
    }
    for (key, hint) in args.misspelt_properties() {
        log::warn(APPLICATION, format_args!("-D{key} is not known here, ignored; {hint}"));
    }
}

fn set_log_level(args: &AgentArgs) {
    match args.log_level() {
        Ok(level) => log::set_level(level.unwrap_or(Level::Info)),
        Err(word) => log::warn(
            APPLICATION,
            format_args!(
                "-Dflume.root.logger: \"{word}\" is not a level; INFO is used (TRACE, DEBUG, \
                 INFO, WARN, \
                 ERROR, FATAL, OFF are known)"
            ),
        ),
    }
}

fn set_log_format(args: &AgentArgs) {
    match args.log_format() {
        Ok(format) => log::set_format(format.unwrap_or(Format::Text)),
        Err(word) => log::warn(
            APPLICATION,
            format_args!("-Dflume.log.format: \"{word}\" is neither json nor text; text is used"),
        ),
    }
}

fn missing_file(args: &AgentArgs, path: &Path) -> ExitCode {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let path = path.display();
    log::error(APPLICATION, format_args!("{FATAL}"));
    log::continuation(
        Level::Error,
        format_args!(
            "org.apache.commons.cli.ParseException: The specified configuration file does not \
             exist: {path}"
        ),
    );
    log::continuation(
        Level::Error,
        format_args!("flume-ng: give --conf-file the properties file of agent {}", args.name),
    );
    Exit::Configuration.into()
}
