//! A run that ends by itself (`--once`): when all that the files held at its start is acknowledged, or
//! when its time is up.

use super::Agent;
use crate::cli::Once;
use crate::exit::Exit;
use crate::log::{self, counted};
use crate::pipeline::{SOURCE, once::Remainder};
use crate::text::size;

/// How often to ask what is left, ms: a look at each file.
const LOOK_MS: u64 = 50;

/// When such a run ends.
pub(super) struct Run {
    /// Monotonic, ms; `None`: it takes the time that it needs.
    deadline_ms: Option<u64>,
    look_at_ms: u64,
    /// Nothing is left. It stays so, whatever comes while the agent stops.
    is_done: bool,
}

impl Run {
    pub(super) fn new(once: Once, now_ms: u64) -> Run {
        let deadline_ms = once.timeout_s.map(|s| now_ms.saturating_add(s.saturating_mul(1_000)));
        Run { deadline_ms, look_at_ms: 0, is_done: false }
    }
}

impl Agent {
    /// Is a run that ends by itself at its end?
    pub(super) fn is_over(&mut self) -> bool {
        let now_ms = self.clock.monotonic_ms();
        let Some(run) = &mut self.once else { return false };
        if now_ms < run.look_at_ms {
            return false;
        }
        let is_late = run.deadline_ms.is_some_and(|at_ms| now_ms >= at_ms);
        let is_done = self.is_nothing_left();
        if let Some(run) = &mut self.once {
            run.is_done = is_done;
            run.look_at_ms = self.clock.monotonic_ms() + LOOK_MS;
        }
        is_done || is_late
    }

    /// How long the loop may sleep, ms.
    pub(super) fn rest_at_most(&self, ms: u64) -> u64 {
        let now_ms = self.clock.monotonic_ms();
        self.once.as_ref().map_or(ms, |run| ms.min(run.look_at_ms.saturating_sub(now_ms).max(1)))
    }

    fn is_nothing_left(&mut self) -> bool {
        let mut is_none = self.waiting.is_empty();
        // Each takes stock at the first call, whatever keeps another.
        for running in &mut self.running {
            is_none &= running.pipeline.remainder().is_none && running.pause.is_none();
        }
        is_none
    }

    /// The last word of such a run, after its last answers, and its exit code.
    pub(super) fn tell_once(&mut self, exit: Exit) -> Exit {
        let Some(is_done) = self.once.as_ref().map(|run| run.is_done) else { return exit };
        if exit != Exit::Clean {
            return exit;
        }
        if is_done || self.is_nothing_left() {
            let events: u64 = self.sinks.acked_by_channel.iter().sum();
            log::info(
                SOURCE,
                format_args!(
                    "All that the files held at the start is acknowledged ({} in this run).",
                    counted(events, "event")
                ),
            );
            return Exit::Clean;
        }
        log::error(
            SOURCE,
            format_args!(
                "Not all that the files held at the start is acknowledged. Left: {}. The next \
                 run goes on there (exit code {}).",
                self.what_is_left(),
                Exit::Temporary.code()
            ),
        );
        Exit::Temporary
    }

    fn what_is_left(&mut self) -> String {
        let (mut files, mut bytes, mut in_doubt) = (0, 0, 0);
        let mut held_up: Vec<String> = Vec::new();
        for running in &mut self.running {
            let remainder: Remainder = running.pipeline.remainder();
            files += remainder.left.files;
            bytes += remainder.left.bytes;
            in_doubt += remainder.in_doubt;
            if remainder.is_held_up || running.pause.is_some() {
                held_up.push(running.pipeline.config.name.clone());
            }
        }
        held_up.extend(self.waiting.iter().map(|waiting| waiting.config.name.clone()));
        let s = |count: usize, ending: &'static str| if count == 1 { "" } else { ending };
        let mut text = format!(
            "{files} file{}, {}, {in_doubt} batch{} in doubt",
            s(files, "s"),
            size(bytes),
            s(in_doubt, "es")
        );
        if !held_up.is_empty() {
            let names = held_up.join(", ");
            text.push_str(&format!(
                "; for source {names} this is unknown: the lines above say what holds it up"
            ));
        }
        text
    }
}
