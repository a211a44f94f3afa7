//! `flume-ng letters`: what to do with lines that no broker took.
//!
//! They are listed by number, in the order of the dead-letter file, from which nothing is ever removed.
//! What is settled gets a mark there. Listing and marking ask nothing of a running agent, and neither
//! does sending: see [`resend`].

mod give_up;
mod list;
mod resend;

use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::look;
use crate::checkpoint::dead_letter::{self, Letter, Reading, State};
use crate::checkpoint::half_letter::Half;
use crate::checkpoint::ledger::DEAD_LETTER_FILE;
use crate::cli::{LetterAction, LettersArgs};
use crate::config::model::{AgentConfig, SourceConfig};
use crate::exit::Exit;
use crate::log::{self, Level, json_text};
use crate::os;
use crate::text;

/// The body of a letter is copied in pieces of this size, bytes.
const PIECE_BYTES: u64 = 128 * 1024;

/// Why a command does not end with 0.
struct Trouble(Exit, String);

fn temporary(why: String) -> Trouble {
    Trouble(Exit::Temporary, why)
}

impl Trouble {
    /// It is that of one of several sources, and said at once. Returns how the command ends that has come to `exit`
    /// so far.
    fn of_source(self, name: &str, exit: Exit) -> Exit {
        let Trouble(own, why) = self;
        log::continuation(Level::Error, format_args!("flume-ng: source {name}: {why}"));
        exit.or(own)
    }
}

/// The letters of a source, numbered from 1 on.
struct Mail {
    path: PathBuf,
    letters: Vec<Letter>,
    /// What is in no letter.
    halves: Vec<Half>,
}

/// Runs the command.
pub fn run(args: &LettersArgs) -> ExitCode {
    log::set_level(Level::Warn);
    let Some(config) =
        look::load(&args.agent.conf_files, &args.agent.name, &args.agent.system_properties)
    else {
        return Exit::Configuration.into();
    };
    match act(args, config) {
        Ok(exit) => exit.into(),
        Err(Trouble(exit, why)) => {
            log::continuation(Level::Error, format_args!("flume-ng: {why}"));
            exit.into()
        }
    }
}

fn act(args: &LettersArgs, config: AgentConfig) -> Result<Exit, Trouble> {
    let names: Vec<String> = config.sources.iter().map(|source| source.name.clone()).collect();
    if let Some(name) = args.source.as_ref().filter(|name| !names.contains(name)) {
        let why = format!("agent {} has no source {name}, but {}", config.name, names.join(", "));
        return Err(Trouble(Exit::Usage, why));
    }
    let is_wanted = |name: &str| args.source.as_ref().is_none_or(|wanted| wanted == name);
    let wanted: Vec<usize> = (0..names.len()).filter(|&at| is_wanted(&names[at])).collect();
    match &args.action {
        LetterAction::List => {
            let sources: Vec<&SourceConfig> =
                wanted.iter().map(|&at| &config.sources[at]).collect();
            let boxes = sources.iter().map(|source| open(source)).collect::<Result<Vec<_>, _>>()?;
            for mail in &boxes {
                let texts = mail.halves.iter().map(|half| half.text(&mail.path));
                texts.for_each(|t| log::continuation(Level::Warn, format_args!("flume-ng: {t}")));
            }
            let listed = list::Listing::of(&sources, &boxes);
            match args.json {
                true => text::print(format_args!("{}\n", json_text(&listed.json()))),
                false => text::print(format_args!("{}", listed.text())),
            }
            Ok(Exit::Clean)
        }
        LetterAction::Raw(number) => write_out(&open(&config.sources[one(&wanted)?])?, *number),
        LetterAction::Drop(numbers) => {
            drop_letters(&config.name, &config.sources[one(&wanted)?], numbers)
        }
        LetterAction::GiveUp => give_up::run(config, &wanted),
        LetterAction::Resend { timeout_s } => resend::run(config, &wanted, *timeout_s),
    }
}

/// Numbers are those of one source.
fn one(wanted: &[usize]) -> Result<usize, Trouble> {
    match wanted {
        [at] => Ok(*at),
        _ => {
            let why = "the agent has several sources; --source says of which".to_string();
            Err(Trouble(Exit::Usage, why))
        }
    }
}

fn open(source: &SourceConfig) -> Result<Mail, Trouble> {
    let path = source.tracker_dir.join(DEAD_LETTER_FILE);
    let mut letters = Vec::new();
    match dead_letter::each(&path, &mut |letter| letters.push(letter)) {
        Ok(Reading { halves, .. }) => Ok(Mail { path, letters, halves }),
        Err(e) => Err(unreadable(&path, &e)),
    }
}

fn unreadable(path: &std::path::Path, e: &io::Error) -> Trouble {
    let way_out = match e.kind() {
        io::ErrorKind::PermissionDenied => "; run it as the agent's user",
        _ => "",
    };
    temporary(format!("{}: {e}{way_out}", path.display()))
}

impl Mail {
    /// That whose body begins there.
    fn at(&self, at: u64) -> Option<&Letter> {
        self.letters.iter().find(|letter| letter.at == at)
    }

    fn at_mut(&mut self, at: u64) -> Option<&mut Letter> {
        self.letters.iter_mut().find(|letter| letter.at == at)
    }

    fn letter(&self, number: u64) -> Result<&Letter, Trouble> {
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        at.and_then(|at| self.letters.get(at)).ok_or_else(|| {
            let (path, count) = (self.path.display(), self.letters.len());
            Trouble(
                Exit::Usage,
                format!("{path} has {count} letters, and none with number {number}"),
            )
        })
    }
}

fn write_out(mail: &Mail, number: u64) -> Result<Exit, Trouble> {
    let letter = mail.letter(number)?;
    let failed = |e: io::Error| unreadable(&mail.path, &e);
    let file = os::read_own(&mail.path).map_err(failed)?;
    let mut out = io::stdout().lock();
    let (mut at, end) = (letter.at, letter.at + letter.bytes);
    let mut piece = vec![0; PIECE_BYTES as usize];
    while at < end {
        let piece = &mut piece[..PIECE_BYTES.min(end - at) as usize];
        file.read_exact_at(piece, at).map_err(failed)?;
        if out.write_all(piece).is_err() {
            // Its reader has gone.
            return Ok(Exit::Clean);
        }
        at += piece.len() as u64;
    }
    let _ = out.flush();
    Ok(Exit::Clean)
}

fn drop_letters(
    agent: &str,
    source: &SourceConfig,
    numbers: &[RangeInclusive<u64>],
) -> Result<Exit, Trouble> {
    // All of them are there, or nothing is done.
    all_there(&open(source)?, numbers)?;
    // What is being sent cannot be dropped.
    let _lock = resend::hold(source, agent)?;
    let mail = open(source)?;
    all_there(&mail, numbers)?;
    let in_doubt = resend::in_doubt(source, &mail)?;
    for number in numbers.iter().cloned().flatten() {
        let letter = mail.letter(number)?;
        if letter.state == State::Unsettled && in_doubt.contains(&letter.at) {
            return Err(temporary(format!(
                "letter {number} may be in the topic: a --resend that was cut short has left it in doubt. \
                 Nothing was dropped; run --resend again, which looks for it there and settles it, or leave \
                 it out (where no channel of the source has its topic any more, --give-up drops it)"
            )));
        }
    }
    for number in numbers.iter().cloned().flatten() {
        let letter = mail.letter(number)?;
        match letter.state {
            State::Unsettled => {
                dead_letter::mark(&mail.path, letter, State::Dropped)
                    .map_err(|e| unreadable(&mail.path, &e))?;
                text::print(format_args!("letter {number}: dropped\n"));
            }
            state => text::print(format_args!("letter {number}: {} before\n", state.name())),
        }
    }
    Ok(Exit::Clean)
}

fn all_there(mail: &Mail, numbers: &[RangeInclusive<u64>]) -> Result<(), Trouble> {
    for range in numbers {
        mail.letter(*range.start())?;
        mail.letter(*range.end())?;
    }
    Ok(())
}
