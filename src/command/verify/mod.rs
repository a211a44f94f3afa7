//! `flume-ng verify`: proves collected files against the topic.
//!
//! What ought to be there is worked out anew from the files' bytes, with the decoder and the
//! filters of the configuration; what is there is read back from the brokers. Both sides are
//! counted as multisets of values, see [`count`]; docs/verify.md states the rule. Nothing of a
//! running agent is touched: no lock is taken, checkpoint and receipts are only read.

mod content;
mod count;
mod divide;
mod inventory;
mod judge;
mod keys;
mod letters;
mod progress;
mod reach;
mod report;
mod since;
mod sums;
mod table;
mod targets;

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;

use crate::channel::broker::Fault;
use crate::checkpoint::cuts::{self, Cut};
use crate::cli::VerifyArgs;
use crate::clock::SystemClock;
use crate::command::look;
use crate::config::model::{AgentConfig, SourceConfig};
use crate::exit::Exit;
use crate::log::{self, Level, json_text};
use crate::os;
use crate::source::interceptor::{self, Interceptor};
use crate::text::{self, counted};

use content::Survey;
use divide::Division;
use inventory::{Inventory, Subject, Wanted};
use letters::Letters;
use progress::Progress;
use reach::{Reach, Searched};
use report::{Report, Row};

/// Of what fetches and reads take, bytes: more than a few of them.
const KEPT_BYTES: i32 = 16 << 20;

/// Why nothing can be said.
#[derive(Debug)]
enum Trouble {
    /// Exit code 75: files that cannot be read now.
    Temporary(String),
    /// The same of brokers, unless they are those of an optional channel.
    Unreached(Fault),
    /// Exit code 70: the agent's own state is damaged.
    State(String),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::Unreached(fault)
    }
}

/// A source and what its configuration does to lines.
struct Origin<'a> {
    config: &'a SourceConfig,
    chain: Arc<[Interceptor]>,
    /// Where lines of its files were cut.
    cuts: Vec<Cut>,
    /// Where headers choose the topic of an event.
    division: Option<Division>,
}

/// Verifies and tells the result on stdout.
pub fn verify(args: &VerifyArgs) -> ExitCode {
    log::set_level(Level::Warn);
    os::keep_freed_memory(KEPT_BYTES);
    let Some(config) = load(args) else {
        return Exit::Configuration.into();
    };
    let origins = match origins(&config) {
        Ok(origins) => origins,
        Err(why) => {
            log::continuation(Level::Error, format_args!("flume-ng: {why}"));
            return Exit::Configuration.into();
        }
    };
    match run(args, &config, &origins) {
        Ok(report) => {
            match args.json {
                true => text::print(format_args!("{}\n", json_text(&report.json()))),
                false => text::print(format_args!("{}", report.text())),
            }
            if report.holds() { Exit::Clean.into() } else { Exit::Difference.into() }
        }
        Err(trouble) => {
            let (exit, why) = match trouble {
                Trouble::Temporary(why) => (Exit::Temporary, why),
                Trouble::Unreached(fault) => (Exit::Temporary, fault.to_string()),
                Trouble::State(why) => (Exit::BrokenPromise, why),
            };
            log::continuation(Level::Error, format_args!("flume-ng: {why}"));
            exit.into()
        }
    }
}

/// The configuration; of a fleet, all sources of all, with one channel for each topic.
fn load(args: &VerifyArgs) -> Option<AgentConfig> {
    let mut all = look::load(&args.conf_files, &args.name, &args.system_properties)?;
    for file in args.files.iter().filter(|_| args.all_agents) {
        let AgentConfig { sources, destinations: channels, .. } =
            look::load(&file.into(), &args.name, &args.system_properties)?;
        let mut places = Vec::with_capacity(channels.len());
        for channel in channels {
            let known = all.destinations.iter().position(|known| known.topic == channel.topic);
            places.push(known.unwrap_or_else(|| {
                all.destinations.push(channel);
                all.destinations.len() - 1
            }));
        }
        for mut source in sources {
            source.destinations.iter_mut().for_each(|at| *at = places[*at]);
            all.sources.push(source);
        }
    }
    Some(all)
}

/// The sources, or why the topics of one cannot be told.
fn origins(config: &AgentConfig) -> Result<Vec<Origin<'_>>, String> {
    let mut origins = Vec::with_capacity(config.sources.len());
    for source in &config.sources {
        let chain = interceptor::build(&source.interceptors);
        let division = Division::of(source, &config.destinations, &chain)
            .map_err(|why| format!("source {} {why}", source.name))?;
        let cuts = cuts::read(&source.tracker_dir);
        origins.push(Origin { config: source, chain, cuts, division });
    }
    Ok(origins)
}

fn run(args: &VerifyArgs, config: &AgentConfig, origins: &[Origin<'_>]) -> Result<Report, Trouble> {
    let words = if args.all_agents { &[][..] } else { &args.files[..] };
    let since_ms = args.since.map(|since| since::epoch_ms(since, &SystemClock::new()));
    let wanted = Wanted { words, allow_gone: args.allow_gone, since_ms };
    let inventory = Inventory::take(origins, wanted)?;
    let mut report =
        Report { problems: inventory.problems, remarks: inventory.remarks, ..Report::default() };
    let mut progress = Progress::new();
    let letters: Vec<Letters> =
        origins.iter().map(|origin| Letters::read(origin, &mut report.remarks)).collect();
    let reach = match (args.whole_topic, args.range_only) {
        (true, _) => Reach::Whole,
        (false, true) => Reach::Ranges,
        (false, false) => Reach::Affordable,
    };
    let surveys = survey_all(origins, &inventory.subjects, &letters, reach, &mut progress)?;
    let files = (&inventory.subjects[..], &surveys[..]);
    let targets = targets::targets(config, origins, files, &letters, &mut report);
    // Those that are asked for in no topic that was read.
    let mut left_out: HashSet<usize> = HashSet::new();
    for target in targets {
        // What of an optional channel was counted before its brokers went away says nothing.
        let before = target.is_optional.then(|| report.clone());
        let channel = target.channel.clone();
        let subjects: Vec<usize> = target.files.iter().map(|(at, _)| *at).collect();
        let counting = count::Counting {
            origins,
            subjects: &inventory.subjects,
            surveys: &surveys,
            letters: &letters,
            target,
            reach,
            table_bytes: args.memory_mib << 20,
            tells_unclaimed: args.all_agents,
        };
        match (counting.run(&mut progress, &mut report), before) {
            // What brokers answer, or a login, is not passed over: somebody has to mend that.
            (
                Err(Trouble::Unreached(
                    fault @ (Fault::Unreachable(_)
                    | Fault::Lost(_)
                    | Fault::Overdue(_)
                    | Fault::Idle(_)),
                )),
                Some(before),
            ) => {
                report = before;
                report.searched.push(Searched::nothing_of(&channel, &fault));
                left_out.extend(subjects);
            }
            (done, _) => done?,
        }
    }
    progress.finish();
    add_silent_rows(&inventory.subjects, &surveys, &left_out, &mut report);
    report.rows.sort_by_key(|row| row.subject);
    add_remarks(&mut report);
    Ok(report)
}

/// Reads every selected file once, for its counts and its CRC.
fn survey_all(
    origins: &[Origin<'_>],
    subjects: &[Subject],
    letters: &[Letters],
    reach: Reach,
    progress: &mut Progress,
) -> Result<Vec<Survey>, Trouble> {
    let bytes = subjects.iter().filter(|s| s.is_selected).map(|s| s.extent.end).sum();
    progress.begin("reading files", bytes);
    let mut surveys = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let is_read = subject.is_selected && !subject.bytes.are_gone();
        surveys.push(match is_read {
            true => content::survey(
                &origins[subject.origin],
                subject,
                &letters[subject.origin],
                reach == Reach::Ranges,
                progress,
            )
            .map_err(|e| Trouble::Temporary(format!("{}: {e}", subject.label)))?,
            false => Survey::default(),
        });
    }
    Ok(surveys)
}

/// Files that no topic is asked for: those without an event. What is said of a topic that was left out
/// holds for its files too.
fn add_silent_rows(
    subjects: &[Subject],
    surveys: &[Survey],
    left_out: &HashSet<usize>,
    report: &mut Report,
) {
    let told: HashSet<usize> = report.rows.iter().map(|row| row.subject).collect();
    for (at, (subject, survey)) in subjects.iter().zip(surveys).enumerate() {
        if subject.is_selected && !told.contains(&at) && !left_out.contains(&at) {
            report.rows.push(Row::new(at, subject, survey, String::new()));
        }
    }
}

fn add_remarks(report: &mut Report) {
    if report.unclaimed_records > 0 {
        let records = counted(report.unclaimed_records, "record");
        report
            .remarks
            .push(format!("{records} of what was searched: written by none of these agents"));
    }
    if report.unclear > 0 {
        report.remarks.push(format!(
            "{} records are like lines of these files, but stand among the events of files whose \
             bytes are gone: not counted",
            report.unclear
        ));
    }
}
