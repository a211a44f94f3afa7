//! What the monitor shows of the agent at a moment, put together for each request from what is in memory.

use std::path::Path;

use super::{Agent, Running};
use crate::channel::outlet::Outlet;
use crate::channel::tls::Summary;
use crate::checkpoint::slots;
use crate::clock::Clock;
use crate::histogram::Histogram;
use crate::log::{self, without_numbers};
use crate::monitor::{
    Apart, ChannelStats, ConfStats, LinkStats, OWN, SinkStats, SourceStats, Stats,
};
use crate::os;
use crate::source::hints::modified_ms;

/// Points of the chart of the last hour.
const CURVE_POINTS: usize = 240;

impl Running {
    /// Why nothing is sent, whatever the brokers do.
    fn fault(&self) -> Option<String> {
        let name = &self.pipeline.config.name;
        let no_room = self.pipeline.is_waiting_for_room().then_some("no room for the checkpoint");
        let absent = self.pipeline.files().is_directory_absent().then_some("its directory is away");
        let why = self.pause.as_deref().or(no_room).or(absent)?;
        Some(format!("Source {name}: {why}"))
    }

    /// Channels that have not reached their brokers, or not since their last trouble, with the reason.
    fn apart(&self, clock: &dyn Clock) -> Vec<Apart> {
        let outlets = self.pipeline.outlets().iter().zip(&self.reached);
        let apart =
            outlets.filter(|(o, reached)| !o.is_settled() && (!**reached || o.trouble.is_some()));
        let sentence = |outlet: &Outlet| {
            let why = outlet.trouble.as_ref().map_or("no answer yet", |(_, why)| why.as_str());
            let why =
                format!("Channel {} (topic {}): {why}", outlet.config.name, outlet.config.topic);
            let since = outlet.trouble.as_ref().map(|(since_ms, _)| since(clock, *since_ms));
            Apart { why, since }
        };
        apart.map(|(outlet, _)| sentence(outlet)).collect()
    }
}

impl Agent {
    /// Of a channel, from all its sources.
    fn round_trips(&self, channel: usize) -> Histogram {
        let mut all = Histogram::default();
        let outlets = self.running.iter().flat_map(|r| r.pipeline.outlets());
        outlets.filter(|o| o.channel == channel).for_each(|o| all.add(&o.trips.all));
        all
    }

    /// Of a channel, by the address of the broker; what several sources know of one is told once, as the
    /// one that ends first has it.
    fn certificates(&self, channel: usize) -> Vec<(String, Summary)> {
        let mut all: Vec<(String, Summary)> = Vec::new();
        let outlets = self.running.iter().flat_map(|r| r.pipeline.outlets());
        for standings in
            outlets.filter(|o| o.channel == channel).filter_map(|o| o.broker.standings())
        {
            let shown = standings.brokers().into_iter();
            let shown = shown.filter_map(|broker| Some((broker.address, broker.certificate?)));
            let own = standings.own.iter().map(|own| (OWN.to_string(), own.clone()));
            all.extend(shown.chain(own));
        }
        all.sort_by(|(a, one), (b, other)| (a, one.not_after).cmp(&(b, other.not_after)));
        all.dedup_by(|(later, _), (name, _)| later == name);
        all
    }

    pub(super) fn stats(&self, up: bool) -> Stats {
        let waiting = self.waiting.iter().map(|w| {
            let name = w.config.name.clone();
            let why = w.why.as_deref().unwrap_or("not tried yet");
            let fault = Some(format!("Source {name} cannot start: {why}"));
            let spool_dir = w.config.spool_dir.to_string_lossy().into_owned();
            SourceStats { name, fault, spool_dir, ..SourceStats::default() }
        });
        let own = self.channels.iter().enumerate().filter(|(_, channel)| channel.base.is_none());
        let channels = own.map(|(at, channel)| ChannelStats {
            name: channel.name.clone(),
            topic: channel.topic.clone(),
            connected: self
                .running
                .iter()
                .flat_map(|r| r.pipeline.outlets())
                .all(|o| o.channel != at || o.is_settled()),
            leaderless: self
                .running
                .iter()
                .flat_map(|r| r.pipeline.outlets())
                .filter(|o| o.channel == at)
                .map(|o| o.told_leaderless.len())
                .max()
                .unwrap_or(0),
            attempted: self
                .running
                .iter()
                .filter(|r| r.pipeline.outlets().iter().any(|o| o.channel == at))
                .map(|r| r.pipeline.counters.events_received)
                .sum(),
            acked: self.sinks.acked_by_channel[at],
            throttled_ms: self
                .running
                .iter()
                .flat_map(|r| r.pipeline.outlets())
                .filter(|o| o.channel == at)
                .map(|o| o.throttle.total_ms)
                .sum(),
            logins_refused: self
                .running
                .iter()
                .flat_map(|r| r.pipeline.outlets())
                .filter(|o| o.channel == at)
                .map(|o| o.logins_refused)
                .sum(),
            certificates: self.certificates(at),
            round_trips: self.round_trips(at),
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
                .map(|r| source_stats(r, &*self.clock))
                .chain(waiting)
                .collect(),
            channels: channels.collect(),
            sinks: sinks.collect(),
            conf: ConfStats {
                is_refused: self.reload.as_ref().is_some_and(|reload| reload.is_refused()),
                ..self.conf.clone()
            },
            usage: os::usage(),
            lines_passed: self.lines_passed
                + self.running.iter().map(|r| r.pipeline.counters.lines_passed).sum::<u64>(),
            warnings: log::last_warnings(),
        }
    }
}

/// When the checkpoint was last written, Unix ms.
fn checkpoint_ms(tracker_dir: &Path) -> Option<i64> {
    let stat = std::fs::metadata(tracker_dir.join(slots::FILE_NAME)).ok()?;
    Some(modified_ms(&stat))
}

/// The time of day, with the day where it is another one.
fn since(clock: &dyn Clock, ms: i64) -> String {
    let stamp = |ms: i64| clock.local(ms).log_stamp().as_str().to_string();
    let (since, now) = (stamp(ms), stamp(clock.now_ms()));
    match (since.split_once(' '), now.split_once(' ')) {
        (Some((day, time)), Some((today, _))) if day == today => time.to_string(),
        _ => since,
    }
}

fn link_stats(outlet: &Outlet) -> LinkStats {
    let standings = outlet.broker.standings();
    let partitions = || outlet.record.partitions.iter().map(|p| p.partition);
    let leader = |id| standings.and_then(|s| s.leader(id)).map(str::to_string);
    LinkStats {
        brokers: standings.map(|standings| standings.brokers()).unwrap_or_default(),
        leaders: partitions().map(leader).collect(),
        trips: partitions().map(|id| outlet.trips.of(id)).collect(),
        own_certificate: standings.and_then(|standings| standings.own.clone()),
    }
}

fn source_stats(running: &Running, clock: &dyn Clock) -> SourceStats {
    let now_ms = (clock.monotonic_ms(), clock.now_ms());
    let pipeline = &running.pipeline;
    let mut looks = running.looks.borrow_mut();
    SourceStats {
        name: pipeline.config.name.clone(),
        started: true,
        counters: pipeline.counters,
        files: looks.views(pipeline, now_ms),
        in_doubt: pipeline.in_doubt(),
        dead_letters: looks.dead_letters(pipeline, now_ms.0),
        channels: pipeline.outlets().iter().map(|o| o.record.clone()).collect(),
        spool_dir: pipeline.config.spool_dir.to_string_lossy().into_owned(),
        fault: running.fault().map(|why| without_numbers(&why).into_owned()),
        apart: running.apart(clock),
        troubles: running.told.clone(),
        generation: pipeline.generation(),
        checkpoint_ms: checkpoint_ms(&pipeline.config.tracker_dir),
        doubts: pipeline.doubts_by_partition().collect(),
        rate: running.rates.now(),
        last_hour: running.rates.last_hour(),
        curve: running.rates.curve(CURVE_POINTS),
        curve_ms: running.rates.covers_ms(),
        delivery: pipeline.delivery.clone(),
        flights: pipeline.flights_by_partition().collect(),
        links: pipeline.outlets().iter().map(link_stats).collect(),
        letters: looks.last_letters(),
        finished: looks.finished(pipeline),
    }
}
