//! The exit codes, which cron jobs and supervisors act upon. Never 0 on an error.

use std::process::ExitCode;

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: stopped in order, or help and version were asked for.
    Clean,
    /// 1: `verify` has found a difference, or something that cannot be proven.
    Difference,
    /// 2: the command line is wrong; the same command will fail again.
    Usage,
    /// 70: exactly-once cannot be kept (a byte that is no text under `FAIL`, a checkpoint that
    /// cannot be read or written); somebody has to look before it is started again.
    BrokenPromise,
    /// 75: another agent holds the directory, or the like; the same command may succeed later.
    Temporary,
    /// 78: the configuration file is missing or wrong.
    Configuration,
}

impl Exit {
    /// How a command ends of which one part ended like this and the other like that: what somebody has to look at
    /// comes first, and then what came first.
    pub const fn or(self, other: Exit) -> Exit {
        match (self, other) {
            (Exit::Clean, _) | (_, Exit::BrokenPromise) => other,
            _ => self,
        }
    }

    /// The one with this number.
    pub fn of_code(code: u8) -> Option<Exit> {
        use Exit::{BrokenPromise, Clean, Configuration, Difference, Temporary, Usage};
        let all = [Clean, Difference, Usage, BrokenPromise, Temporary, Configuration];
        all.into_iter().find(|exit| exit.code() == code)
    }

    /// The number that `$?` shows.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Difference => 1,
            Exit::Usage => 2,
            Exit::BrokenPromise => 70,
            Exit::Temporary => 75,
            Exit::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
