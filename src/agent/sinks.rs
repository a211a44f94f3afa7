//! The sinks of an agent: they report what the brokers acknowledged, line by line as Flume prints
//! it.

use std::fmt::Write as _;

use super::lifecycle;
use crate::channel::batch::Batch;
use crate::config::model::{AgentConfig, SinkKind, ValueFormat};
use crate::event::{self, HeaderMap};
use crate::log;
use crate::pipeline::Observer;

/// An event as the `logger` sink shows it, with at most `max_bytes` bytes of the body:
/// 16 bytes a line in hex and as ASCII, each line but the first begun by its offset.
pub(crate) fn logger_dump(headers: &HeaderMap, body: &[u8], max_bytes: usize) -> String {
    let mut out = format!("Event: {{ headers:{headers} body:");
    let shown = &body[..body.len().min(max_bytes)];
    for (i, row) in shown.chunks(16).enumerate() {
        if i == 0 {
            out.push(' ');
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\n{:08X} ", i * 16);
        }
        hex_row(row, &mut out);
    }
    out.push_str(" }");
    out
}

/// Up to 16 bytes in 48 columns of hex, then as ASCII.
fn hex_row(row: &[u8], out: &mut String) {
    for byte in row {
        let _ = write!(out, "{byte:02X} ");
    }
    out.extend(std::iter::repeat_n("   ", 16 - row.len()));
    out.extend(row.iter().map(
        |&byte| {
            if matches!(byte, 0x20..=0x7E) { byte as char } else { '.' }
        },
    ));
}

/// The counter of a `null` sink.
#[derive(Debug, Clone)]
pub(crate) struct NullSink {
    name: String,
    /// `logEveryNEvents`, by default 10,000; 0 = never.
    log_every: u64,
    taken: u64,
}

impl NullSink {
    /// A sink that has taken nothing yet. `log_every`: events between two lines, 0 for
    /// no lines.
    pub(crate) fn new(name: impl Into<String>, log_every: u64) -> NullSink {
        NullSink { name: name.into(), log_every, taken: 0 }
    }

    /// The name given to it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Events taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes events; gives the line to log for each multiple of `log_every` reached.
    pub(crate) fn take(&mut self, events: u64) -> impl Iterator<Item = String> + use<'_> {
        let before = self.taken.checked_div(self.log_every).unwrap_or(0);
        self.taken += events;
        let after = self.taken.checked_div(self.log_every).unwrap_or(0);
        (before + 1..=after).map(|multiple| {
            let count = multiple * self.log_every;
            format!("Null sink {} successful processed {count} events.", self.name)
        })
    }
}

/// The sinks of the agent: they report what the brokers acknowledged.
pub(crate) struct Sinks {
    /// Names of all, each with its channel.
    pub names: Vec<(String, usize)>,
    null: Vec<(usize, NullSink)>,
    logger: Vec<(usize, usize)>,
    kafka: Vec<(usize, String)>,
    formats: Vec<ValueFormat>,
    pub acked_by_channel: Vec<u64>,
}

impl Sinks {
    pub(crate) fn new(config: &AgentConfig) -> Sinks {
        let mut sinks = Sinks {
            names: config.sinks.iter().map(|s| (s.name.clone(), s.channel)).collect(),
            null: Vec::new(),
            logger: Vec::new(),
            kafka: Vec::new(),
            formats: config.destinations.iter().map(|c| c.value_format).collect(),
            acked_by_channel: vec![0; config.destinations.len()],
        };
        for sink in &config.sinks {
            match sink.kind {
                SinkKind::Kafka => sinks.kafka.push((sink.channel, sink.name.clone())),
                SinkKind::Null { log_every, .. } => {
                    sinks.null.push((sink.channel, NullSink::new(sink.name.clone(), log_every)));
                }
                SinkKind::Logger { max_bytes } => sinks.logger.push((sink.channel, max_bytes)),
            }
        }
        sinks
    }

    pub(crate) fn tell_stopped(&self) {
        for (channel, name) in &self.kafka {
            lifecycle::tell_kafka_sink_stopped(name, self.acked_by_channel[*channel]);
        }
        for (_, sink) in &self.null {
            lifecycle::tell_null_sink_stopped(sink.name(), sink.taken());
        }
    }

    fn log_event(&self, channel: usize, max_bytes: usize, value: &[u8]) {
        let mut headers = HeaderMap::new();
        let body = match self.formats[channel] {
            ValueFormat::Bare => value,
            ValueFormat::Avro => {
                event::visit(value, &mut |k, v| headers.insert(k, v)).unwrap_or(value)
            }
        };
        let dump = logger_dump(&headers, body, max_bytes);
        let mut lines = dump.split('\n');
        if let Some(first) = lines.next() {
            log::info("sink.LoggerSink", format_args!("{first}"));
        }
        for line in lines {
            log::continuation(log::Level::Info, format_args!("{line}"));
        }
    }
}

impl Observer for Sinks {
    fn acked(&mut self, channel: usize, count: u64, batch: Option<&Batch>) {
        self.acked_by_channel[channel] += count;
        for (_, sink) in self.null.iter_mut().filter(|(c, _)| *c == channel) {
            for line in sink.take(count) {
                log::info("sink.NullSink", format_args!("{line}"));
            }
        }
        let Some(batch) = batch else { return };
        for (_, max_bytes) in self.logger.iter().filter(|(c, _)| *c == channel) {
            for value in batch.values() {
                self.log_event(channel, *max_bytes, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(body: &[u8], max_bytes: usize) -> String {
        logger_dump(&HeaderMap::new(), body, max_bytes)
    }

    #[test]
    fn the_dump_is_that_of_flume() {
        assert_eq!(
            dump(b"hello", 16),
            "Event: { headers:{} body: 68 65 6C 6C 6F                                  hello }"
        );
        assert_eq!(dump(b"", 16), "Event: { headers:{} body: }");
        let mut headers = HeaderMap::new();
        headers.insert("file", "a");
        headers.insert("basename", "b");
        assert_eq!(
            logger_dump(&headers, b"\x00\x7F~ ", 2),
            format!("Event: {{ headers:{{file=a, basename=b}} body: 00 7F {}.. }}", " ".repeat(42))
        );
    }

    #[test]
    fn longer_dumps_have_a_line_for_each_16_bytes() {
        let rows = "30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 0123456789abcdef";
        assert_eq!(
            dump(b"0123456789abcdef0123456789abcdefX", 32),
            format!("Event: {{ headers:{{}} body: {rows}\n00000010 {rows} }}")
        );
    }

    #[test]
    fn the_null_sink_logs_each_multiple_it_reaches() {
        let mut sink = NullSink::new("k1", 10_000);
        assert_eq!(sink.take(9_999).count(), 0);
        let line = "Null sink k1 successful processed 10000 events.";
        assert_eq!(sink.take(1).collect::<Vec<_>>(), [line]);
        let lines: Vec<String> = sink.take(25_000).collect();
        assert_eq!(lines, [line.replace("10000", "20000"), line.replace("10000", "30000")]);
        assert_eq!(sink.taken(), 35_000);
        assert_eq!(NullSink::new("k1", 0).take(5).count(), 0);
    }
}
