//! Arguments, command, exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use flume_ng::cli::{self, Command, UsageError};
use flume_ng::command::{agent, check, generate, letters, status, verify};
use flume_ng::exit::Exit;
use flume_ng::text;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match cli::parse(words.iter().cloned()) {
        Ok(Command::Help(about)) => text::print(format_args!("{}", cli::help(about))),
        Ok(Command::Document(text)) => text::print(format_args!("{text}")),
        Ok(Command::Version) => text::print(format_args!("{}", cli::version())),
        Ok(Command::Agent(args)) => return agent::run(&args),
        Ok(Command::Check(args)) => return check::run(&args),
        Ok(Command::Status(args)) => return status::run(&args),
        Ok(Command::Letters(args)) => return letters::run(&args),
        Ok(Command::Generate(args)) => return generate::run(&args),
        Ok(Command::Verify(args)) => return verify::verify(&args),
        Err(error) => {
            error.report(&words.first().cloned().unwrap_or_default().to_string_lossy());
            if let UsageError::UnknownCommand(_) = error {
                text::print(format_args!("\n{}", cli::usage()));
            }
            return Exit::Usage.into();
        }
    }
    Exit::Clean.into()
}
