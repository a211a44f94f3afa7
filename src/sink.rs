//! What the sinks print of events, line by line as Flume prints it.

use std::fmt::Write as _;

use crate::event::HeaderMap;

/// An event as the `logger` sink shows it, with at most `max_bytes` bytes of the body:
/// 16 bytes a line in hex and as ASCII, each line but the first begun by its offset.
pub fn logger_dump(headers: &HeaderMap, body: &[u8], max_bytes: usize) -> String {
    let mut out = format!("Event: {{ headers:{headers} body:");
    let shown = &body[..body.len().min(max_bytes)];
    for (i, row) in shown.chunks(16).enumerate() {
        if i == 0 {
            out.push(' ');
        } else {
            // Writing to a string can not fail.
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
pub struct NullSink {
    name: String,
    /// `logEveryNEvents`, by default 10,000; 0 = never.
    log_every: u64,
    taken: u64,
}

impl NullSink {
    /// A sink that has taken nothing yet. `log_every`: events between two lines, 0 for
    /// no lines.
    pub fn new(name: impl Into<String>, log_every: u64) -> NullSink {
        NullSink { name: name.into(), log_every, taken: 0 }
    }

    /// The name given to it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Events taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes events; gives the line to log for each multiple of `log_every` reached.
    pub fn take(&mut self, events: u64) -> impl Iterator<Item = String> + use<'_> {
        let before = self.taken.checked_div(self.log_every).unwrap_or(0);
        self.taken += events;
        let after = self.taken.checked_div(self.log_every).unwrap_or(0);
        (before + 1..=after).map(|multiple| {
            let count = multiple * self.log_every;
            format!("Null sink {} successful processed {count} events.", self.name)
        })
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
