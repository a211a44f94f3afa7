//! What others are told of a running agent: Flume's JSON and Prometheus's text over HTTP, a text
//! file, and systemd.
//!
//! All of it is driven by the agent's loop ([`Monitor::turn`]) and none of it matters for the
//! events: a fault here is logged once and the agent goes on.

pub(crate) mod ages;
pub(crate) mod exposition;
pub(crate) mod files;
mod finished;
mod flume;
pub(crate) mod health;
mod http;
mod page;
pub(crate) mod rates;
pub(crate) mod systemd;

use std::fs::Permissions;
use std::os::fd::RawFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::channel::standing::Standing;
use crate::channel::tls::Summary;
use crate::checkpoint::dead_letter::Letter;
use crate::checkpoint::receipt::Receipt;
use crate::checkpoint::record::ChannelRecord;
use crate::checkpoint::trouble::Trouble;
use crate::cli::AgentArgs;
use crate::config::model::MonitoringConfig;
use crate::histogram::Histogram;
use crate::log;
use crate::os::{self, Usage};
use crate::pipeline::Counters;
use crate::source::pulse;
use crate::text::size;
use ages::Age;
use exposition::{Exposition, FileView};
use http::{Http, Page};
use rates::Rate;
use systemd::Notifier;

const CLASS: &str = "instrumentation.MonitorService";

/// How often the text file and systemd's status line are renewed, ms.
const INTERVAL_MS: u64 = 15_000;
/// The same while systemd, which was behind, does not know that the agent is ready, ms.
const READY_AGAIN_MS: u64 = 1_000;
/// How often sockets are looked at while there is much to do, ms.
const HTTP_INTERVAL_MS: u64 = 5;
/// How long a page is kept before it is made again, ms.
const PAGE_MS: u64 = 250;
/// Flume's default for `flume.monitoring.port`.
const PORT_DEFAULT: u16 = 41_414;

/// The agent at this moment.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub agent: String,
    pub start_ms: i64,
    /// The same in local time, as the log has it.
    pub since: String,
    /// The present time, and the same as the log has it.
    pub now_ms: i64,
    pub now: String,
    /// False once it has been stopped.
    pub up: bool,
    pub sources: Vec<SourceStats>,
    pub channels: Vec<ChannelStats>,
    pub sinks: Vec<SinkStats>,
    pub conf: ConfStats,
    /// Of this process.
    pub usage: Usage,
    /// Lines that every channel has, since the start.
    pub lines_passed: u64,
    /// The last warnings, oldest first.
    pub warnings: Vec<String>,
}

impl Stats {
    /// Processor time since the start for each line, µs.
    pub(crate) fn cpu_us_per_line(&self) -> Option<f64> {
        (self.lines_passed > 0).then(|| self.usage.cpu_us as f64 / self.lines_passed as f64)
    }
}

#[derive(Debug, Default)]
pub(crate) struct SourceStats {
    pub name: String,
    /// It has its directory and its lock.
    pub started: bool,
    pub counters: Counters,
    pub files: Vec<FileView>,
    pub in_doubt: usize,
    /// Events that the brokers never take; `None` where that is not known.
    pub dead_letters: Option<u64>,
    pub channels: Vec<ChannelRecord>,
    pub spool_dir: String,
    /// Why it is not started, or why nothing is sent, as the log has it.
    pub fault: Option<String>,
    /// Channels that have not reached their brokers.
    pub apart: Vec<Apart>,
    pub troubles: Vec<Trouble>,
    pub generation: u64,
    /// When the checkpoint was last written, Unix ms.
    pub checkpoint_ms: Option<i64>,
    /// Of each batch in doubt, place of its channel and partition.
    pub doubts: Vec<(usize, i32)>,
    pub rate: Option<Rate>,
    pub last_hour: Option<Rate>,
    /// Rates of the last hour, the oldest first, and what time they cover, ms.
    pub curve: Vec<Rate>,
    pub curve_ms: u64,
    /// Of each batch that is on its way, as `doubts`.
    pub flights: Vec<(usize, i32)>,
    /// Times from write to acknowledgement: of files of their own hour, and of others.
    pub delivery: [Histogram; 2],
    /// One for each of `channels`.
    pub links: Vec<LinkStats>,
    /// The last dead letters, oldest first.
    pub letters: Vec<Letter>,
    /// The files that were finished last, oldest first.
    pub finished: Vec<Receipt>,
}

impl SourceStats {
    /// Of the lines that are not delivered, those that wait for their end left out.
    pub(crate) fn oldest(&self) -> Option<Age> {
        let ages = self.files.iter().filter(|file| !file.is_unfinished).filter_map(|f| f.oldest);
        ages.max_by_key(|age| age.ms())
    }

    /// Until so many bytes are delivered, at the present rate, ms.
    pub(crate) fn catch_up_ms(&self, bytes: u64) -> Option<u64> {
        let rate = self.rate.filter(|rate| rate.bytes_per_s >= 1.0)?;
        Some((bytes as f64 * 1_000.0 / rate.bytes_per_s) as u64)
    }
}

/// A channel that has not reached its brokers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Apart {
    /// The sentence that the log has.
    pub why: String,
    /// Local time.
    pub since: Option<String>,
}

/// How a channel's connections are.
#[derive(Debug, Default)]
pub(crate) struct LinkStats {
    pub brokers: Vec<Standing>,
    /// For each partition of the record its leader's address.
    pub leaders: Vec<Option<String>>,
    /// And median and 99th percentile of the last round trips, ms.
    pub trips: Vec<Option<(f64, f64)>>,
    /// The certificate that brokers are shown.
    pub own_certificate: Option<Summary>,
}

/// The configuration that is in force.
#[derive(Debug, Default, Clone)]
pub(crate) struct ConfStats {
    pub file: String,
    pub loaded_ms: i64,
    /// The file was changed since, and what it holds is wrong.
    pub is_refused: bool,
}

/// In place of a broker's address: the certificate is ours.
pub(crate) const OWN: &str = "own";

#[derive(Debug, Default)]
pub(crate) struct ChannelStats {
    pub name: String,
    pub topic: String,
    pub connected: bool,
    /// Partitions of its topic that wait for a leader.
    pub leaderless: usize,
    /// Events handed to it, and events acknowledged by its brokers.
    pub attempted: u64,
    pub acked: u64,
    /// For how long its brokers have asked not to be written to (quotas), ms.
    pub throttled_ms: u64,
    /// How often its brokers did not believe who we are.
    pub logins_refused: u64,
    /// By a name for each: the address of the broker that has shown it, or [`OWN`].
    pub certificates: Vec<(String, Summary)>,
    /// From rounds to answers.
    pub round_trips: Histogram,
    pub has_sink: bool,
}

#[derive(Debug, Default)]
pub(crate) struct SinkStats {
    pub name: String,
    pub drained: u64,
}

/// All who are told.
pub(crate) struct Monitor {
    /// What the command line wants of HTTP, until the first turn: only then is it certain that no
    /// other agent has our directory, and perhaps our port.
    wanted: Option<AgentArgs>,
    http: Option<Http>,
    http_due_ms: u64,
    pages: Pages,
    textfile: Option<PathBuf>,
    textfile_fault: Option<String>,
    systemd: Notifier,
    /// systemd knows that the agent is ready.
    is_ready: bool,
    /// The agent has had its turn: the text file is its own.
    has_turned: bool,
    due_ms: u64,
    was_connected: Option<bool>,
}

impl Monitor {
    /// As the command line, the configuration and the environment want it.
    pub(crate) fn new(args: &AgentArgs, config: &MonitoringConfig) -> Monitor {
        let systemd = Notifier::from_environment();
        if let Some(beat) = systemd.beat() {
            pulse::at_each_beat(beat);
        }
        Monitor {
            wanted: Some(args.clone()),
            textfile: config.textfile.clone(),
            pages: Pages { has_page: config.page, ..Pages::default() },
            systemd,
            ..Monitor::absent()
        }
    }

    /// One that reports nothing.
    pub(crate) fn absent() -> Monitor {
        Monitor {
            wanted: None,
            http: None,
            http_due_ms: 0,
            pages: Pages::default(),
            textfile: None,
            textfile_fault: None,
            systemd: Notifier::nobody(),
            is_ready: false,
            has_turned: false,
            due_ms: 0,
            was_connected: None,
        }
    }

    pub(crate) fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        if let Some(http) = &self.http {
            http.descriptors(add);
        }
    }

    /// Does what is due. `stats` is asked for only where it is needed. While the agent is not busy,
    /// a socket has woken it up and is looked at in any case.
    pub(crate) fn turn(
        &mut self,
        now_ms: u64,
        busy: bool,
        connected: bool,
        stats: &dyn Fn() -> Stats,
    ) {
        if let Some(args) = self.wanted.take() {
            self.http = start_http(&args);
        }
        self.systemd.alive(now_ms);
        if (!busy || now_ms >= self.http_due_ms)
            && let Some(http) = &mut self.http
        {
            self.http_due_ms = now_ms + HTTP_INTERVAL_MS;
            let pages = &mut self.pages;
            http.turn(now_ms, &mut |path| pages.get(path, now_ms, stats));
        }
        if now_ms < self.due_ms && self.was_connected == Some(connected) {
            return;
        }
        self.was_connected = Some(connected);
        self.due_ms = now_ms + INTERVAL_MS;
        self.has_turned = true;
        if self.textfile.is_none() && !self.systemd.is_listening() {
            return;
        }
        let stats = stats();
        self.write_textfile(&stats);
        let ready = if self.is_ready { "" } else { "READY=1\n" };
        let is_told = self.systemd.tell(&format!("{ready}STATUS={}", status_line(&stats)));
        self.is_ready |= is_told;
        if !self.is_ready {
            self.due_ms = now_ms + READY_AGAIN_MS;
        }
    }

    /// The agent begins to stop: no request is served any more.
    pub(crate) fn stopping(&mut self) {
        self.http = None;
        self.systemd.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// The last word. An agent that never had its turn, because another one holds its directory,
    /// has none: the text file is the other one's.
    pub(crate) fn stopped(&mut self, stats: &Stats) {
        if self.has_turned {
            self.write_textfile(stats);
        }
    }

    /// The configuration has changed.
    pub(crate) fn configure(&mut self, config: &MonitoringConfig) {
        self.textfile = config.textfile.clone();
        self.pages = Pages { has_page: config.page, ..Pages::default() };
        self.due_ms = 0;
    }

    fn write_textfile(&mut self, stats: &Stats) {
        let Some(path) = &self.textfile else { return };
        let fault = replace(path, &prometheus(stats)).err().map(|e| e.to_string());
        if let Some(why) = &fault
            && self.textfile_fault != fault
        {
            log::warn(
                CLASS,
                format_args!("Metrics cannot be written to {}: {why}.", path.display()),
            );
        }
        self.textfile_fault = fault;
    }
}

/// Writes beside and renames, so that a reader never sees half of it. Not synced: it is worth
/// nothing after a power cut.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    // Node exporters read what ends in `.prom`.
    beside.push(".tmp");
    let file = os::write_anew(Path::new(&beside), text.as_bytes())?;
    // Exporters run as other users, whatever umask there is for files of ours.
    file.set_permissions(Permissions::from_mode(0o644))?;
    std::fs::rename(&beside, path)
}

/// Where the metrics are to be served; `None`: nowhere. What is wrong with that is said.
pub(crate) fn http_place(args: &AgentArgs) -> Option<(&str, u16)> {
    let kind = args.system_property("flume.monitoring.type")?;
    if !kind.eq_ignore_ascii_case("http") {
        let text = "is not supported, http is; the agent runs without it";
        log::warn(CLASS, format_args!("-Dflume.monitoring.type={kind} {text}."));
        return None;
    }
    let host = args.system_property("flume.monitoring.host").unwrap_or("127.0.0.1");
    let Some(value) = args.system_property("flume.monitoring.port") else {
        return Some((host, PORT_DEFAULT));
    };
    let Ok(port) = value.parse() else {
        log::error(
            CLASS,
            format_args!(
                "-Dflume.monitoring.port={value} is not a port (0 to 65535): no monitoring."
            ),
        );
        return None;
    };
    Some((host, port))
}

fn start_http(args: &AgentArgs) -> Option<Http> {
    let (host, port) = http_place(args)?;
    let names = std::iter::once(host.to_string()).chain(os::host_name()).collect();
    match Http::bind((host, port), names) {
        Ok(http) => {
            let address = http.address().map(|a| a.to_string()).unwrap_or_default();
            log::info(
                CLASS,
                format_args!("Metrics at http://{address}/metrics and http://{address}/prometheus"),
            );
            Some(http)
        }
        Err(e) => {
            log::error(
                CLASS,
                format_args!(
                    "{host}:{port}: {e}: no monitoring; -Dflume.monitoring.port takes another."
                ),
            );
            None
        }
    }
}

/// Pages that were made a moment ago: a client that asks again and again costs no more than one that asks
/// four times a second, however many files there are.
#[derive(Default)]
struct Pages {
    /// Path, monotonic time, page.
    made: Vec<(&'static str, u64, Page)>,
    /// `/` shows how things stand.
    has_page: bool,
}

impl Pages {
    fn get(&mut self, path: &str, now_ms: u64, stats: &dyn Fn() -> Stats) -> Option<Page> {
        if path == "/" && !self.has_page {
            let text = "For Flume metrics please click <a href=\"/metrics\">here</a>.\n";
            return Some(Page::new(HTML, text.to_string()));
        }
        let &(path, make) = PAGES.iter().find(|(name, _)| *name == path)?;
        self.made.retain(|(_, at_ms, _)| now_ms < at_ms + PAGE_MS);
        if let Some((.., page)) = self.made.iter().find(|(name, ..)| *name == path) {
            return Some(page.clone());
        }
        let page = make(stats);
        self.made.push((path, now_ms, page.clone()));
        Some(page)
    }
}

type Make = fn(&dyn Fn() -> Stats) -> Page;

const JSON: &str = "application/json;charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Under this name [`http`] asks for it.
const OPEN_METRICS: &str = "/openmetrics";

const PAGES: &[(&str, Make)] = &[
    ("/metrics", |stats| Page::new(JSON, flume::json(&stats()))),
    ("/prometheus", |stats| {
        Page::new("text/plain; version=0.0.4; charset=utf-8", prometheus(&stats()))
    }),
    // The same for who asks for OpenMetrics.
    (OPEN_METRICS, |stats| {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Page::new(kind, exposition(&stats()).open_metrics())
    }),
    ("/status.json", |stats| Page::new(JSON, health::status_json(&stats()))),
    // The loop answers: one that stands still does not.
    ("/healthz", |_| Page::new(TEXT, "the loop turns\n".to_string())),
    ("/readyz", |stats| match health::ready(&stats()) {
        Ok(()) => {
            Page::new(TEXT, "every directory is held, every broker was reached\n".to_string())
        }
        Err(why) => {
            let (status, body) = ("503 Service Unavailable", format!("{why}\n"));
            Page { status, kind: TEXT, body }
        }
    }),
    ("/", |stats| Page::new(HTML, page::page(&stats()))),
];

fn prometheus(stats: &Stats) -> String {
    exposition(stats).text()
}

fn exposition(stats: &Stats) -> Exposition {
    let agent = stats.agent.as_str();
    let mut out = Exposition::default();
    out.add("flume_ng_up", &[("agent", agent)], u8::from(stats.up));
    let start_s = stats.start_ms as f64 / 1000.0;
    out.add("flume_ng_start_time_seconds", &[("agent", agent)], start_s);
    let cpu_s = stats.usage.cpu_us as f64 / 1_000_000.0;
    out.add("flume_ng_cpu_seconds_total", &[("agent", agent)], cpu_s);
    out.add("flume_ng_memory_bytes", &[("agent", agent)], stats.usage.memory_bytes);
    for channel in &stats.channels {
        let labels = [("agent", agent), ("channel", &channel.name), ("topic", &channel.topic)];
        out.add("flume_ng_connected", &labels, u8::from(channel.connected));
        out.add("flume_ng_partitions_without_leader", &labels, channel.leaderless);
        out.add("flume_ng_events_acked_total", &labels, channel.acked);
        let throttled_s = channel.throttled_ms as f64 / 1000.0;
        out.add("flume_ng_throttle_seconds_total", &labels, throttled_s);
        out.add("flume_ng_logins_refused_total", &labels, channel.logins_refused);
        for (name, certificate) in &channel.certificates {
            let [agent, channel, topic] = labels;
            let labels = [agent, channel, topic, ("certificate", name.as_str())];
            let days = certificate.days_left(stats.now_ms.div_euclid(1_000));
            out.add("flume_ng_certificate_days_left", &labels, days);
        }
        out.add_times("flume_ng_round_trip_seconds", &labels, &channel.round_trips);
    }
    for source in &stats.sources {
        let labels = [("agent", agent), ("source", source.name.as_str())];
        out.add("flume_ng_events_received_total", &labels, source.counters.events_received);
        out.add("flume_ng_events_accepted_total", &labels, source.counters.events_accepted);
        out.add("flume_ng_batches_in_doubt", &labels, source.in_doubt);
        out.add("flume_ng_needs_somebody", &labels, u8::from(source.fault.is_some()));
        if source.started {
            let oldest_s = source.oldest().map_or(0.0, |age| age.ms() as f64 / 1_000.0);
            out.add("flume_ng_oldest_unsent_seconds", &labels, oldest_s);
            for (age, times) in ["present", "past"].into_iter().zip(&source.delivery) {
                let labels = [labels[0], labels[1], ("file_age", age)];
                out.add_times("flume_ng_delivery_seconds", &labels, times);
            }
        }
        if let Some(letters) = source.dead_letters {
            out.add("flume_ng_dead_letters", &labels, letters);
        }
        out.add_files(agent, &source.name, &source.files);
        for channel in &source.channels {
            out.add_partitions(agent, &source.name, channel);
        }
    }
    out
}

/// For `systemctl status`.
fn status_line(stats: &Stats) -> String {
    let waiting: Vec<&str> =
        stats.sources.iter().filter(|s| !s.started).map(|s| s.name.as_str()).collect();
    if !waiting.is_empty() {
        return format!("source {} cannot start yet, see the log", waiting.join(", "));
    }
    let apart: Vec<&str> =
        stats.channels.iter().filter(|c| !c.connected).map(|c| c.name.as_str()).collect();
    let state = match apart.is_empty() {
        true => "connected".to_string(),
        false => format!("channel {}: waiting for its brokers", apart.join(", ")),
    };
    let files: usize = stats.sources.iter().map(|s| s.files.len()).sum();
    let behind: u64 = stats.sources.iter().flat_map(|s| &s.files).map(FileView::behind).sum();
    let acked: u64 = stats.channels.iter().map(|c| c.acked).sum();
    format!(
        "{state}; {}, {} behind, {} acknowledged",
        log::counted(files as u64, "file"),
        size(behind),
        log::counted(acked, "event")
    )
}

/// Whatever a client may ask.
#[cfg(any(test, fuzzing, debug_assertions))]
pub(crate) fn fuzz(request: &[u8]) {
    http::fuzz(request);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn stats() -> Stats {
        Stats {
            agent: "a1".into(),
            start_ms: 1_500,
            now_ms: 1_500,
            up: true,
            sources: vec![SourceStats {
                name: "r1".into(),
                started: true,
                counters: Counters { events_received: 7, ..Counters::default() },
                ..SourceStats::default()
            }],
            channels: vec![ChannelStats {
                name: "c1".into(),
                topic: "t".into(),
                connected: true,
                leaderless: 0,
                attempted: 7,
                acked: 5,
                has_sink: true,
                ..ChannelStats::default()
            }],
            sinks: vec![SinkStats { name: "k1".into(), drained: 5 }],
            ..Stats::default()
        }
    }

    #[test]
    fn the_text_file_can_be_read_by_others() {
        let name = format!("flume-ng-mode-{}.prom", std::process::id());
        let path = std::env::temp_dir().join(name);
        replace(&path, "x 1\n").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn ready_is_said_until_systemd_knows() {
        use systemd::tests::{drain, fill, listen, notifier};
        let name = format!("flume-ng-test-ready-{}", std::process::id());
        let listener = listen(&name);
        let mut monitor = Monitor { systemd: notifier(&name), ..Monitor::absent() };
        let turn = |monitor: &mut Monitor, now_ms| monitor.turn(now_ms, false, true, &stats);
        let ready = |said: &[String]| said.iter().filter(|s| s.starts_with("READY=1\n")).count();
        fill(&name);
        turn(&mut monitor, 1_000);
        assert_eq!(ready(&drain(&listener)), 0);
        turn(&mut monitor, 1_000 + READY_AGAIN_MS);
        assert_eq!(ready(&drain(&listener)), 1);
        turn(&mut monitor, 1_000 + READY_AGAIN_MS + INTERVAL_MS);
        let said = drain(&listener);
        assert!(said.iter().any(|s| s.starts_with("STATUS=")) && ready(&said) == 0, "{said:?}");
    }

    #[test]
    fn systemd_is_told_what_is_missing() {
        let mut stats = stats();
        assert_eq!(status_line(&stats), "connected; 0 files, 0 B behind, 5 events acknowledged");
        stats.channels[0].connected = false;
        assert!(status_line(&stats).starts_with("channel c1: waiting for its brokers; 0 files"));
        stats.sources[0].started = false;
        assert_eq!(status_line(&stats), "source r1 cannot start yet, see the log");
    }
}
