//! The loop (replaced at the merge).

use std::process::ExitCode;

use crate::cli::AgentArgs;
use crate::config::model::AgentConfig;
use crate::exit::Exit;
use crate::log;

/// Runs the agent until it is asked to stop.
pub fn run_agent(args: &AgentArgs, config: AgentConfig) -> ExitCode {
    let (sources, file) = (config.sources.len(), args.conf_file.display());
    log::error("node.Application", format_args!("{file}: {sources} sources, not built yet"));
    Exit::Temporary.into()
}
