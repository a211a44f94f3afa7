//! Where a broker of a test is told to write, and what a source of a test reads. Both are read from a
//! configuration, so that a property that is added needs no word in any test.

use std::fs;

use flume_ng::config;
use flume_ng::config::model::{AgentConfig, Destination, SourceConfig};

const CONFIGURATION: &str = "a1.sources = r1
a1.channels = c1
a1.sources.r1.type = TAILDIR
a1.sources.r1.filegroups = f1
a1.sources.r1.filegroups.f1 = /nowhere/.*
a1.sources.r1.positionFile = /nowhere/positions.json
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = localhost:9092
";

thread_local! {
    static BASE: AgentConfig = load();
}

/// A channel with the default of each property.
pub fn destination(address: &str, topic: &str) -> Destination {
    let brokers = address.split(',').map(str::to_string).collect();
    let base = BASE.with(|base| base.destinations.first().cloned());
    Destination { brokers, topic: topic.to_string(), ..base.expect("a channel") }
}

/// A source (of files that are followed) with the default of each property.
#[allow(dead_code)]
pub fn source() -> SourceConfig {
    let base = BASE.with(|base| base.sources.first().cloned());
    base.expect("a source")
}

fn load() -> AgentConfig {
    let thread = format!("{:?}", std::thread::current().id());
    let name = format!("flume-ng-destination-{}-{thread}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, CONFIGURATION).expect("a configuration file");
    let loaded = config::load(&path, "a1");
    fs::remove_file(&path).expect("a file of ours");
    loaded.expect("a configuration without a fault").config
}
