//! The component graph as a tree, for `--dryrun`.

use std::fmt;

use super::model::{
    AgentConfig, Compression, Destination, SinkConfig, SinkKind, SourceConfig, ValueFormat,
};

/// Each source with what matters about it, the channels it writes to, and the sinks behind them.
impl fmt::Display for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        for (index, source) in self.sources.iter().enumerate() {
            let last = index + 1 == self.sources.len();
            let (branch, stem) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            writeln!(f, "{branch}source {}", source.name)?;
            write_source(f, source, stem)?;
            for (place, channel) in source.destinations.iter().enumerate() {
                let last = place + 1 == source.destinations.len();
                let (branch, inner) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                let inner = format!("{stem}{inner}");
                let base = self.destinations[*channel].base.unwrap_or(*channel);
                let sinks: Vec<_> = self.sinks.iter().filter(|s| s.channel == base).collect();
                writeln!(f, "{stem}{branch}channel {}", self.destinations[*channel].name)?;
                let side = if sinks.is_empty() { ' ' } else { '│' };
                write_channel(f, &self.destinations[*channel], &format!("{inner}{side}"))?;
                write_sinks(f, &sinks, &inner)?;
            }
        }
        Ok(())
    }
}

fn write_sinks(f: &mut fmt::Formatter<'_>, sinks: &[&SinkConfig], stem: &str) -> fmt::Result {
    for (index, sink) in sinks.iter().enumerate() {
        let branch = if index + 1 == sinks.len() { "└─" } else { "├─" };
        let kind = match sink.kind {
            SinkKind::Kafka => "KafkaSink".to_owned(),
            SinkKind::Null { log_every, .. } => format!("null, a line every {log_every} events"),
            SinkKind::Logger { max_bytes } => format!("logger, {max_bytes} bytes of each event"),
        };
        writeln!(f, "{stem}{branch} sink {}: {kind}", sink.name)?;
    }
    Ok(())
}

fn write_source(f: &mut fmt::Formatter<'_>, source: &SourceConfig, stem: &str) -> fmt::Result {
    if let Some(tail) = source.kind.tail() {
        if let Some(command) = &tail.command {
            writeln!(f, "{stem}│  command    {command}, by the agent itself")?;
        }
        for group in tail.groups.iter().filter(|_| tail.command.is_none()) {
            writeln!(f, "{stem}│  group      {}: {}", group.name, group.text)?;
        }
        writeln!(f, "{stem}│  positions  {}", source.tracker_dir.display())?;
        if let Some(path) = &tail.position_file {
            writeln!(f, "{stem}│  position file {}", path.display())?;
        }
        return writeln!(f, "{stem}│  order      {} events a transaction", source.batch_size);
    }
    writeln!(f, "{stem}│  directory  {}", source.spool_dir.display())?;
    writeln!(f, "{stem}│  positions  {}", source.tracker_dir.display())?;
    if !source.target_filename_text.is_empty() {
        writeln!(f, "{stem}│  now        names with {}", source.target_filename_text)?;
    }
    let order = format!("{:?}", source.consume_order).to_lowercase();
    writeln!(f, "{stem}│  order      {order} first, {} events a transaction", source.batch_size)
}

fn write_channel(f: &mut fmt::Formatter<'_>, channel: &Destination, stem: &str) -> fmt::Result {
    writeln!(f, "{stem}  topic      {}", channel.topic)?;
    writeln!(f, "{stem}  brokers    {}", channel.brokers.join(" "))?;
    let values = match channel.value_format {
        ValueFormat::Avro => "Avro events",
        ValueFormat::Bare => "bare lines",
    };
    match channel.compression {
        Compression::None => writeln!(f, "{stem}  values     {values}"),
        other => {
            writeln!(f, "{stem}  values     {values}, {}", format!("{other:?}").to_lowercase())
        }
    }
}
