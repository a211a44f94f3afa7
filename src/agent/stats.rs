//! What the monitor is told of the agent at a moment: put together when somebody asks, from what is in
//! memory.

use std::path::Path;

use super::{Agent, Running};
use crate::channel::outlet::Outlet;
use crate::checkpoint::slots;
use crate::log::without_numbers;
use crate::monitor::{ChannelStats, SinkStats, SourceStats, Stats};
use crate::source::tracked::modified_ms;

/// Points of the chart of the last hour.
const CURVE_POINTS: usize = 240;

impl Running {
    /// Why nothing is sent, whatever the brokers do.
    fn fault(&self) -> Option<String> {
        let name = &self.pipeline.config.name;
        let no_room = self.pipeline.is_waiting_for_room().then_some("no room for the checkpoint");
        let absent = self.pipeline.files.is_directory_absent().then_some("its directory is away");
        let why = self.pause.as_deref().or(no_room).or(absent)?;
        Some(format!("Source {name}: {why}"))
    }

    /// Channels that have not reached their brokers, or not since their last trouble, with the reason.
    fn apart(&self) -> Vec<String> {
        let outlets = self.pipeline.outlets.iter().zip(&self.reached);
        let apart =
            outlets.filter(|(o, reached)| !o.is_open() && (!**reached || o.trouble.is_some()));
        let sentence = |outlet: &Outlet| {
            let why = outlet.trouble.as_ref().map_or("no answer yet", |(_, why)| why.as_str());
            format!("Channel {} (topic {}): {why}", outlet.config.name, outlet.config.topic)
        };
        apart.map(|(outlet, _)| sentence(outlet)).collect()
    }
}

impl Agent {
    pub(super) fn stats(&self, up: bool) -> Stats {
        let waiting = self.waiting.iter().map(|w| {
            let name = w.config.name.clone();
            let why = w.why.as_deref().unwrap_or("not tried yet");
            let fault = Some(format!("Source {name} cannot start: {why}"));
            let spool_dir = w.config.spool_dir.to_string_lossy().into_owned();
            SourceStats { name, fault, spool_dir, ..SourceStats::default() }
        });
        let channels = self.channels.iter().enumerate().map(|(at, channel)| ChannelStats {
            name: channel.name.clone(),
            topic: channel.topic.clone(),
            connected: self
                .running
                .iter()
                .flat_map(|r| &r.pipeline.outlets)
                .all(|o| o.channel != at || o.is_open()),
            leaderless: self
                .running
                .iter()
                .flat_map(|r| &r.pipeline.outlets)
                .filter(|o| o.channel == at)
                .map(|o| o.told_leaderless.len())
                .max()
                .unwrap_or(0),
            attempted: self
                .running
                .iter()
                .filter(|r| r.pipeline.config.channels.contains(&at))
                .map(|r| r.pipeline.counters.events_received)
                .sum(),
            acked: self.sinks.acked_by_channel[at],
            throttled_ms: self
                .running
                .iter()
                .flat_map(|r| &r.pipeline.outlets)
                .filter(|o| o.channel == at)
                .map(|o| o.throttle.total_ms)
                .sum(),
            has_sink: self.sinks.names.iter().any(|(_, channel)| *channel == at),
        });
        let sinks = self.sinks.names.iter().map(|(name, channel)| SinkStats {
            name: name.clone(),
            drained: self.sinks.acked_by_channel[*channel],
        });
        Stats {
            agent: self.name.clone(),
            start_ms: self.start_ms,
            now_ms: self.clock.now_ms(),
            now: self.clock.local(self.clock.now_ms()).log_stamp().as_str().to_string(),
            since: self.clock.local(self.start_ms).log_stamp().as_str().to_string(),
            up,
            sources: self
                .running
                .iter()
                .map(|r| source_stats(r, self.clock.monotonic_ms()))
                .chain(waiting)
                .collect(),
            channels: channels.collect(),
            sinks: sinks.collect(),
        }
    }
}

/// When the checkpoint was last written, Unix ms.
fn checkpoint_ms(tracker_dir: &Path) -> Option<i64> {
    let stat = std::fs::metadata(tracker_dir.join(slots::FILE_NAME)).ok()?;
    Some(modified_ms(&stat))
}

fn source_stats(running: &Running, now_ms: u64) -> SourceStats {
    let pipeline = &running.pipeline;
    let mut looks = running.looks.borrow_mut();
    SourceStats {
        name: pipeline.config.name.clone(),
        started: true,
        counters: pipeline.counters,
        files: looks.views(pipeline, now_ms),
        in_doubt: pipeline.in_doubt(),
        dead_letters: looks.dead_letters(pipeline),
        channels: pipeline.outlets.iter().map(|o| o.record.clone()).collect(),
        spool_dir: pipeline.config.spool_dir.to_string_lossy().into_owned(),
        fault: running.fault().map(|why| without_numbers(&why).into_owned()),
        apart: running.apart(),
        troubles: running.told.clone(),
        generation: pipeline.generation(),
        checkpoint_ms: checkpoint_ms(&pipeline.config.tracker_dir),
        doubts: pipeline.doubts_by_partition().collect(),
        rate: running.rates.now(),
        last_hour: running.rates.last_hour(),
        curve: running.rates.curve(CURVE_POINTS),
    }
}
