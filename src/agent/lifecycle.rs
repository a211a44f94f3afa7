//! The lines that an operator of Flume waits and greps for when an agent starts and stops, in
//! Flume's words.

use crate::config::model::{
    AgentConfig, FileGroup, FirstByte, SinkConfig, SinkKind, SourceConfig, SourceKind, TailConfig,
};
use crate::exit::Exit;
use crate::log;
use crate::os;
use crate::pipeline::{CHANNEL, Counters, SOURCE};

const APPLICATION: &str = "node.Application";
const PROVIDER: &str = "node.AbstractConfigurationProvider";
const METRICS: &str = "instrumentation.MonitoredCounterGroup";
const SPOOL_DIR: &str = "source.SpoolDirectorySource";
const EXEC: &str = "source.ExecSource";
const TAILDIR: &str = "taildir.TaildirSource";
const NULL_SINK: &str = "sink.NullSink";
const KAFKA_SINK: &str = "kafka.KafkaSink";

/// The last word of an agent whose directory another one holds. Cron starts one every minute: it is
/// no fault.
pub(crate) fn tell_busy(held: &str) {
    log::info(SOURCE, format_args!("{held}. This agent ends (exit code 75)."));
}

/// The last word of an agent that must not go on with a directory which is another's by now, or which
/// another one reads without saying so.
pub(crate) fn tell_lost(why: &str) {
    log::error(SOURCE, format_args!("{why}. This agent ends (exit code 75)."));
}

/// What an agent ends by itself for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Going on would break the promise.
    Broken,
    /// Somebody has to say what is meant, mostly of what Flume has left.
    Unsettled,
    /// Others may write in the tracker directory.
    UnsafeDirectory,
}

impl Ending {
    pub(crate) fn exit(self) -> Exit {
        match self {
            Ending::Broken => Exit::BrokenPromise,
            Ending::Unsettled | Ending::UnsafeDirectory => Exit::Configuration,
        }
    }

    fn page(self) -> &'static str {
        match self {
            Ending::Broken => "\"Exit code 70\" in docs/operating.md",
            Ending::Unsettled => "docs/migrating.md",
            Ending::UnsafeDirectory => "\"What is in trackerDir\" in docs/operating.md",
        }
    }
}

/// Why an agent ends by itself, with what code, and where to read on.
pub(crate) fn tell_fatal(why: &str, ending: Ending) {
    let (why, page) = (why.trim_end_matches('.'), ending.page());
    let code = ending.exit().code();
    log::fatal(SOURCE, format_args!("{why}. This agent ends (exit code {code}); see {page}."));
}

/// Only a warning: reading works all the same.
pub(crate) fn tell_canary(config: &SourceConfig) {
    // Of a source that changes no name there nothing is written there, either.
    if config.kind.tail().is_some() || config.kind.marks_done() {
        return;
    }
    if let Err(e) = os::canary(&config.spool_dir) {
        let dir = config.shown_spool_dir();
        match os::is_full(&e) {
            true => log::warn(
                SOURCE,
                format_args!(
                    "The disk of the spooling directory is full: {dir}: {e}. Files are read and \
                     renamed all the same, but their writers need room."
                ),
            ),
            false => log::warn(
                SOURCE,
                format_args!(
                    "Unable to read and modify files in the spooling directory: {dir}: {e}. Files \
                     are read, but not renamed until this is fixed."
                ),
            ),
        }
    }
}

/// From the configuration to the source's start.
pub(crate) fn tell_start(config: &AgentConfig) {
    tell_creation(config);
    for (_, channel) in config.channels() {
        log::info(APPLICATION, format_args!("Starting Channel {}", channel.name));
        log::info(CHANNEL, format_args!("Starting Kafka Channel: {}", channel.name));
        log::info(CHANNEL, format_args!("Topic = {}", channel.topic));
        tell_group("CHANNEL", &channel.name, "started");
    }
    for sink in &config.sinks {
        log::info(APPLICATION, format_args!("Starting Sink {}", sink.name));
        if let SinkKind::Null { batch_size, .. } = sink.kind {
            let name = &sink.name;
            log::info(
                NULL_SINK,
                format_args!("Starting NullSink {name} {{ batchSize: {batch_size} }}..."),
            );
            log::info(NULL_SINK, format_args!("Null sink {name} started."));
        }
        if sink.kind == SinkKind::Kafka {
            let topic = &config.destinations[sink.channel].topic;
            log::info(KAFKA_SINK, format_args!("Using the static topic {topic}."));
            tell_group("SINK", &sink.name, "started");
        }
    }
    for source in &config.sources {
        log::info(APPLICATION, format_args!("Starting Source {}", source.name));
        tell_source_starting(source);
        tell_group("SOURCE", &source.name, "started");
    }
}

fn tell_creation(config: &AgentConfig) {
    log::info(PROVIDER, format_args!("Creating channels"));
    for (_, channel) in config.channels() {
        log::info(
            "channel.DefaultChannelFactory",
            format_args!(
                "Creating instance of channel {} type {}",
                channel.name, channel.channel_type
            ),
        );
        log::info(PROVIDER, format_args!("Created channel {}", channel.name));
    }
    for source in &config.sources {
        log::info(
            "source.DefaultSourceFactory",
            format_args!(
                "Creating instance of source {}, type {}",
                source.name,
                source_type(source)
            ),
        );
    }
    for sink in &config.sinks {
        log::info(
            "sink.DefaultSinkFactory",
            format_args!("Creating instance of sink: {}, type: {}", sink.name, sink_type(sink)),
        );
    }
    for (at, channel) in config.channels() {
        let sources = config.sources.iter().filter(|s| config.writes_to(s, at)).map(|s| &s.name);
        let sinks = config.sinks.iter().filter(|s| s.channel == at).map(|s| &s.name);
        let ends: Vec<&str> = sources.chain(sinks).map(String::as_str).collect();
        log::info(
            PROVIDER,
            format_args!("Channel {} connected to [{}]", channel.name, ends.join(", ")),
        );
    }
    log::info(
        APPLICATION,
        format_args!("Starting new configuration:{{ sourceRunners:{} }}", runners(config)),
    );
}

fn runners(config: &AgentConfig) -> String {
    let sources: Vec<String> = config.sources.iter().map(source_runner).collect();
    let sinks: Vec<String> = config
        .sinks
        .iter()
        .map(|s| {
            format!(
                "{}=SinkRunner: {{ policy:org.apache.flume.sink.DefaultSinkProcessor \
                 counterGroup:{{ name:null counters:{{}} }} }}",
                s.name
            )
        })
        .collect();
    let channels: Vec<String> = config
        .channels()
        .map(|(_, c)| format!("{0}={1}{{name: {0}}}", c.name, c.channel_type))
        .collect();
    format!(
        "{{{}}} sinkRunners:{{{}}} channels:{{{}}}",
        sources.join(", "),
        sinks.join(", "),
        channels.join(", ")
    )
}

fn source_type(source: &SourceConfig) -> &'static str {
    match &source.kind {
        SourceKind::SpoolTail => "com.github.ningg.flume.source.SpoolDirectoryTailFileSource",
        SourceKind::SpoolDir(_) => "spooldir",
        SourceKind::Tail(tail) if tail.command.is_some() => "exec",
        SourceKind::Tail(_) => "TAILDIR",
    }
}

fn tell_source_starting(source: &SourceConfig) {
    match &source.kind {
        SourceKind::SpoolTail => log::info(
            SOURCE,
            format_args!(
                "SpoolDirectoryTailFileSource source starting with directory: {}, targetFilename: \
                 {}",
                source.spool_dir_text, source.target_filename_text
            ),
        ),
        SourceKind::SpoolDir(_) => log::info(
            SPOOL_DIR,
            format_args!(
                "SpoolDirectorySource source starting with directory: {}",
                source.spool_dir_text
            ),
        ),
        SourceKind::Tail(TailConfig { command: Some(command), .. }) => {
            log::info(EXEC, format_args!("Exec source starting with command: {command}"));
        }
        SourceKind::Tail(tail) => {
            let group = |g: &FileGroup| format!("{}={}", g.name, g.text);
            let groups: Vec<String> = tail.groups.iter().map(group).collect();
            log::info(
                TAILDIR,
                format_args!(
                    "{} TaildirSource source starting with directory: {{{}}}",
                    source.name,
                    groups.join(", ")
                ),
            );
        }
    }
}

fn source_runner(source: &SourceConfig) -> String {
    let name = &source.name;
    match &source.kind {
        SourceKind::SpoolTail => format!(
            "{name}=EventDrivenSourceRunner: {{ source:Spool Directory Tail File source {name}: {{ \
             spoolDir: {}, targetFilename: {} }} }}",
            source.spool_dir_text, source.target_filename_text
        ),
        SourceKind::SpoolDir(_) => format!(
            "{name}=EventDrivenSourceRunner: {{ source:Spool Directory source {name}: {{ spoolDir: {} }} }}",
            source.spool_dir_text
        ),
        SourceKind::Tail(tail) if tail.command.is_some() => format!(
            "{name}=EventDrivenSourceRunner: {{ \
             source:org.apache.flume.source.ExecSource{{name:{name},state:IDLE}} }}"
        ),
        SourceKind::Tail(tail) => {
            let path = tail.position_file.as_ref().map(|path| path.display().to_string());
            format!(
                "{name}=PollableSourceRunner: {{ source:Taildir source: {{ positionFile: {}, \
                 skipToEnd: {}, byteOffsetHeader: {}, idleTimeout: {}, writePosInterval: {} }} \
                 counterGroup:{{ name:null counters:{{}} }} }}",
                path.unwrap_or_default(),
                tail.begin == FirstByte::NextLine,
                tail.byte_offset_header,
                tail.idle_timeout_ms.unwrap_or_default(),
                tail.position_interval_ms
            )
        }
    }
}

fn sink_type(sink: &SinkConfig) -> &'static str {
    match sink.kind {
        SinkKind::Kafka => "org.apache.flume.sink.kafka.KafkaSink",
        SinkKind::Null { .. } => "null",
        SinkKind::Logger { .. } => "logger",
    }
}

fn tell_group(kind: &str, name: &str, what: &str) {
    log::info(METRICS, format_args!("Component type: {kind}, name: {name} {what}"));
}

fn tell_metrics(kind: &str, name: &str, metrics: &[(&str, u64)]) {
    for (metric, value) in metrics {
        log::info(
            METRICS,
            format_args!("Shutdown Metric for type: {kind}, name: {name}. {metric} == {value}"),
        );
    }
}

/// The old configuration ends, since a new one takes its place.
pub(crate) fn tell_shutting_down<'a>(
    sources: impl Iterator<Item = &'a str>,
    channels: impl Iterator<Item = &'a str>,
) {
    log::info(APPLICATION, format_args!("Shutting down configuration: a new one takes over"));
    for source in sources {
        log::info(APPLICATION, format_args!("Stopping Source {source}"));
    }
    for channel in channels {
        log::info(APPLICATION, format_args!("Stopping Channel {channel}"));
    }
}

/// Flume's first word after a signal.
pub(crate) fn tell_stopping() {
    log::info(
        "lifecycle.LifecycleSupervisor",
        format_args!("Stopping lifecycle supervisor {}", std::process::id()),
    );
}

/// The source's closing lines.
pub(crate) fn tell_source_stopped(source: &SourceConfig, counters: &Counters) {
    let name = &source.name;
    tell_group("SOURCE", name, "stopped");
    let metrics = [
        ("src.append-batch.accepted", counters.batches_accepted),
        ("src.append-batch.received", counters.batches_received),
        ("src.events.accepted", counters.events_accepted),
        ("src.events.received", counters.events_received),
    ];
    tell_metrics("SOURCE", name, &metrics);
    let metrics = join(&metrics);
    match &source.kind {
        SourceKind::SpoolDir(_) => log::info(
            SPOOL_DIR,
            format_args!("SpoolDir source {name} stopped. Metrics: SOURCE:{name}{{{metrics}}}"),
        ),
        SourceKind::Tail(TailConfig { command: Some(command), .. }) => {
            log::info(EXEC, format_args!("Stopping exec source with command: {command}"));
        }
        SourceKind::SpoolTail => log::info(
            SOURCE,
            format_args!(
                "SpoolDirTailFile source {name} stopped. Metrics: SOURCE:{name}{{{metrics}}}"
            ),
        ),
        SourceKind::Tail(_) => log::info(
            TAILDIR,
            format_args!("Taildir source {name} stopped. Metrics: SOURCE:{name}{{{metrics}}}"),
        ),
    }
}

/// The channel's closing lines; `events` were acknowledged by the brokers.
pub(crate) fn tell_channel_stopped(name: &str, events: u64) {
    tell_group("CHANNEL", name, "stopped");
    let metrics = [("channel.event.put.success", events)];
    tell_metrics("CHANNEL", name, &metrics);
    log::info(
        CHANNEL,
        format_args!("Kafka channel {name} stopped. Metrics: CHANNEL:{name}{{{}}}", join(&metrics)),
    );
}

/// The closing lines of a Kafka sink; `events` were acknowledged by the brokers.
pub(crate) fn tell_kafka_sink_stopped(name: &str, events: u64) {
    tell_group("SINK", name, "stopped");
    let metrics = [("sink.event.drain.sucess", events)];
    tell_metrics("SINK", name, &metrics);
    log::info(
        KAFKA_SINK,
        format_args!("Kafka Sink {name} stopped. Metrics: SINK:{name}{{{}}}", join(&metrics)),
    );
}

/// The null sink's closing lines.
pub(crate) fn tell_null_sink_stopped(name: &str, events: u64) {
    log::info(NULL_SINK, format_args!("Null sink {name} stopping..."));
    log::info(
        NULL_SINK,
        format_args!(
            "Null sink {name} stopped. Event metrics: {{ name:{name} counters:{{events.success=\
             {events}}} }}"
        ),
    );
}

/// Flume's last word.
pub(crate) fn tell_stopped() {
    log::info(
        "node.PollingPropertiesFileConfigurationProvider",
        format_args!("Configuration provider stopping"),
    );
}

fn join(metrics: &[(&str, u64)]) -> String {
    let parts: Vec<String> =
        metrics.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join(", ")
}
