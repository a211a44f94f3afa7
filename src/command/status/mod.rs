//! `flume-ng status`: what an agent is doing, from what it leaves on the disk.
//!
//! The agent is not asked, so it is not disturbed, and a stopped one answers as well as a running
//! one. What the disk cannot tell (the age of a line that bears no time) is said as what it is.

mod show;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::look::{self, FileLook, SourceLook};
use crate::checkpoint::lock::Tenant;
use crate::cli::StatusArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::config::model::{AgentConfig, SourceConfig};
use crate::exit::Exit;
use crate::log::{self, Level, json_text};
use crate::text;
use crate::text::Style;

/// Pause between the two looks that a rate is made from.
const SAMPLE_PAUSE: Duration = Duration::from_millis(1_000);
const WATCH_PAUSE: Duration = Duration::from_millis(2_000);
/// Pause between two looks of `--wait`.
const WAIT_PAUSE: Duration = Duration::from_millis(250);

/// All sources of an agent at one moment.
struct Sample {
    at: Instant,
    now_ms: i64,
    sources: Vec<SourceLook>,
}

/// How fast a source goes, by two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    bytes_per_s: f64,
    lines_per_s: f64,
}

/// Runs the command.
pub fn run(args: &StatusArgs) -> ExitCode {
    let Some(config) =
        look::load(&args.agent.conf_files, &args.agent.name, &args.agent.system_properties)
    else {
        return Exit::Configuration.into();
    };
    if let Some(wait_s) = args.wait_s {
        return wait(args, &config, Duration::from_secs(wait_s));
    }
    let mut last = sample(&config);
    if args.watch {
        loop {
            std::thread::sleep(WATCH_PAUSE);
            let next = sample(&config);
            if print(args, &config, &last, &next).is_err() {
                // Nobody watches any more.
                return Exit::Clean.into();
            }
            last = next;
        }
    }
    // What cannot be printed because its reader is gone is no fault.
    let _ = if args.prometheus || !last.sources.iter().any(is_busy) {
        print(args, &config, &last, &last)
    } else {
        std::thread::sleep(SAMPLE_PAUSE);
        print(args, &config, &last, &sample(&config))
    };
    if let Some(why) = last.sources.iter().find_map(SourceLook::fault) {
        let way_out = why.way_out();
        log::continuation(
            Level::Error,
            format_args!("flume-ng: something cannot be read: {why}{way_out}"),
        );
    }
    exit(&last.sources).into()
}

/// What a supervisor asks for: is somebody needed? An end comes first, since no time mends it.
fn exit(sources: &[SourceLook]) -> Exit {
    let ends = sources.iter().filter_map(SourceLook::end);
    let has_fault = sources.iter().any(|look| look.fault().is_some());
    let plights = sources.iter().filter_map(SourceLook::plight);
    ends.chain(has_fault.then_some(Exit::Temporary)).chain(plights).fold(Exit::Clean, Exit::or)
}

/// Looks again and again until nothing is left to deliver, or the time is over.
fn wait(args: &StatusArgs, config: &AgentConfig, at_most: Duration) -> ExitCode {
    let start = Instant::now();
    let mut last = sample(config);
    while !last.sources.iter().all(is_delivered) && start.elapsed() < at_most {
        // The time that a look takes is not the agent's.
        let left = at_most.saturating_sub(start.elapsed());
        std::thread::sleep(WAIT_PAUSE.max(last.at.elapsed()).min(left));
        last = sample(config);
    }
    // What cannot be printed because its reader is gone is no fault.
    let _ = print(args, config, &last, &last);
    if last.sources.iter().all(is_delivered) {
        return Exit::Clean.into();
    }
    let left = config.sources.iter().zip(&last.sources).filter(|(_, look)| !is_delivered(look));
    let names: Vec<&str> = left.clone().map(|(config, _)| config.name.as_str()).collect();
    let why = left.filter_map(|(_, look)| look.fault()).next();
    let why = why.map(|why| format!(": {why}{}", why.way_out())).unwrap_or_default();
    log::continuation(
        Level::Error,
        format_args!(
            "flume-ng: after {} seconds not all of source {} is delivered{why}",
            at_most.as_secs(),
            names.join(", ")
        ),
    );
    Exit::Temporary.into()
}

/// Is every line that stands in the files in the topic, as far as the disk tells? Half a last line of a
/// file that is tailed under its name waits for its writer, and is not waited for.
fn is_delivered(look: &SourceLook) -> bool {
    let is_file_delivered = |file: &FileLook| {
        let is_tailed = file.view.state != "draining";
        file.fault.is_none()
            && (file.view.behind() == 0
                || is_tailed && file.lines_behind == Some(0) && !file.is_estimate)
    };
    look.fault().is_none() && in_doubt(look) == 0 && look.files.iter().all(is_file_delivered)
}

fn in_doubt(look: &SourceLook) -> usize {
    let record = look.record.as_ref().ok().and_then(Option::as_ref);
    record.map_or(0, |r| r.batches.iter().filter(|b| b.fate.is_in_doubt()).count())
}

fn sample(config: &AgentConfig) -> Sample {
    Sample {
        at: Instant::now(),
        now_ms: SystemClock::new().now_ms(),
        sources: config.sources.iter().map(look::look).collect(),
    }
}

fn is_running(look: &SourceLook) -> bool {
    matches!(look.tenant, Ok(Tenant::Agent(_)))
}

/// Is there a rate to be measured?
fn is_busy(look: &SourceLook) -> bool {
    is_running(look) && look.files.iter().any(|f| f.view.behind() > 0)
}

fn print(args: &StatusArgs, config: &AgentConfig, before: &Sample, now: &Sample) -> io::Result<()> {
    let rates: Vec<Option<Rate>> = config
        .sources
        .iter()
        .enumerate()
        .map(|(at, _)| rate(&before.sources[at], &now.sources[at], now.at - before.at))
        .collect();
    let views: Vec<Shown<'_>> = config
        .sources
        .iter()
        .zip(&now.sources)
        .zip(rates)
        .map(|((config, look), rate)| Shown { config, look, rate, now_ms: now.now_ms })
        .collect();
    if args.prometheus {
        return text::try_print(format_args!("{}", show::prometheus(&config.name, &views)));
    }
    if args.json {
        return text::try_print(format_args!("{}\n", json_text(&show::json(&config.name, &views))));
    }
    let style = Style::of_stdout();
    // Home and clear, so that it is redrawn in place.
    let clear = if args.watch && style.terminal { "\x1b[H\x1b[2J" } else { "" };
    text::try_print(format_args!("{clear}{}", show::text(&config.name, &views, style)))
}

/// One source as it is to be shown.
struct Shown<'a> {
    config: &'a SourceConfig,
    look: &'a SourceLook,
    rate: Option<Rate>,
    now_ms: i64,
}

impl Shown<'_> {
    /// Without the checkpoint or the directory nothing is known about positions: a zero, or all
    /// bytes of all files, would be believed.
    fn is_known(&self) -> bool {
        let is_settled = !matches!(self.look.java, Some(Err(_)));
        self.look.record.is_ok() && is_settled && self.look.files_fault.is_none()
    }

    fn behind(&self) -> u64 {
        self.look.files.iter().map(|f| f.view.behind()).sum()
    }

    /// `None` where those of a file are not known.
    fn lines_behind(&self) -> Option<u64> {
        self.look.lines_behind()
    }

    fn is_estimate(&self) -> bool {
        self.look.files.iter().any(|f| f.is_estimate)
    }

    /// Every line that is not sent yet was written at or before the last modification of its file:
    /// so the oldest is at least as old as the oldest of these stamps.
    fn oldest_unsent_ms(&self) -> Option<u64> {
        let behind = self.look.files.iter().filter(|f| f.view.behind() > 0);
        let oldest = behind.filter_map(|f| f.modified_ms).min()?;
        Some(self.now_ms.saturating_sub(oldest).max(0) as u64)
    }

    fn checkpoint_age_ms(&self) -> Option<u64> {
        Some(self.now_ms.saturating_sub(self.look.checkpoint_ms?).max(0) as u64)
    }

    /// Seconds until nothing is behind, if the writers were to stop now.
    fn catch_up_s(&self) -> Option<f64> {
        let rate = self.rate.filter(|rate| rate.bytes_per_s >= 1.0)?;
        Some(self.behind() as f64 / rate.bytes_per_s)
    }

    fn in_doubt(&self) -> usize {
        in_doubt(self.look)
    }
}

/// By how far the positions have moved; a file that is gone since has been read to its end.
fn rate(before: &SourceLook, now: &SourceLook, elapsed: Duration) -> Option<Rate> {
    if elapsed.is_zero() || !is_running(now) {
        return None;
    }
    let (mut bytes, mut lines) = (0u64, 0u64);
    for file in now.files.iter().filter(|f| f.id != 0) {
        let old = before.files.iter().find(|f| f.id == file.id);
        let (position, counted) = old.map_or((0, 0), |f| (f.view.position, f.view.lines));
        bytes += file.view.position.saturating_sub(position);
        lines += file.view.lines.saturating_sub(counted);
    }
    for old in before.files.iter().filter(|f| f.id != 0) {
        if !now.files.iter().any(|f| f.id == old.id) {
            bytes += old.view.behind();
            lines += old.lines_behind.unwrap_or(0);
        }
    }
    let elapsed_s = elapsed.as_secs_f64();
    Some(Rate { bytes_per_s: bytes as f64 / elapsed_s, lines_per_s: lines as f64 / elapsed_s })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::look::ReceiptsLook;
    use crate::monitor::exposition::FileView;

    fn look(files: &[(u64, u64, u64)]) -> SourceLook {
        let file = |&(id, size, position): &(u64, u64, u64)| FileLook {
            view: FileView {
                state: "live",
                size,
                position,
                lines: position / 10,
                ..FileView::default()
            },
            id,
            modified_ms: Some(5_000),
            lines_behind: Some(size.saturating_sub(position) / 10),
            is_estimate: false,
            fault: None,
        };
        SourceLook {
            tenant: Ok(Tenant::Agent(None)),
            record: Ok(None),
            checkpoint_ms: None,
            is_copied: false,
            java: None,
            files: files.iter().map(file).collect(),
            odd_names: Vec::new(),
            files_fault: None,
            receipts: ReceiptsLook::default(),
            dead_letters: 0,
            troubles: Vec::new(),
        }
    }

    #[test]
    fn a_rate_counts_new_and_finished_files() {
        let before = look(&[(1, 1_000, 900), (2, 500, 100), (0, 50, 0)]);
        let now = look(&[(2, 500, 300), (3, 50, 50)]);
        let rate = rate(&before, &now, Duration::from_secs(2)).unwrap();
        assert_eq!(rate, Rate { bytes_per_s: 175.0, lines_per_s: 17.5 });
    }

    #[test]
    fn half_a_last_line_is_waited_for_only_where_no_more_of_it_can_come() {
        let mut now = look(&[(1, 100, 100), (2, 105, 100)]);
        assert!(is_delivered(&now));
        now.files[1].view.state = "draining";
        assert!(!is_delivered(&now));
        now.files[1].view.state = "waiting";
        assert!(is_delivered(&now));
        now.files[1].lines_behind = Some(1);
        assert!(!is_delivered(&now));
        (now.files[1].lines_behind, now.files[1].is_estimate) = (Some(0), true);
        assert!(!is_delivered(&now));
        // It got another name while it was looked at.
        (now.files[1].lines_behind, now.files[1].is_estimate) = (None, false);
        assert!(!is_delivered(&now));
        now.files.pop();
        now.files_fault = Some(io::Error::other("no").into());
        assert!(!is_delivered(&now));
    }

    #[test]
    fn nothing_runs_nothing_moves() {
        let mut now = look(&[(1, 10, 5)]);
        now.tenant = Ok(Tenant::Nobody(None));
        assert_eq!(rate(&now, &now, Duration::from_secs(1)), None);
    }
}
