//! Clusters that run a release before 0.10. They know none of the later requests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::children::lock;
use super::cluster::SCRIPT;
use super::topic::{LIST_OFFSETS, Metadata, good, text};
use super::wire::{Body, Connection, Input};

/// Their directories, by addresses.
static ELDERS: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);

/// Is this a release before 0.10?
pub fn is_release(version: &str) -> bool {
    version.starts_with("0.8.") || version.starts_with("0.9.")
}

/// From now on what stands behind `bootstrap` is one of them.
pub fn note(bootstrap: &str, dir: &Path) {
    lock(&ELDERS).get_or_insert_default().insert(bootstrap.to_string(), dir.to_owned());
}

/// It is upgraded to a later release: read in the old way, its newer records would be shown as old ones.
pub fn forget(bootstrap: &str) {
    lock(&ELDERS).get_or_insert_default().remove(bootstrap);
}

pub fn dir(bootstrap: &str) -> Option<PathBuf> {
    lock(&ELDERS).get_or_insert_default().get(bootstrap).cloned()
}

pub fn is_one(bootstrap: &str) -> bool {
    dir(bootstrap).is_some()
}

/// Makes a topic; `false`: the cluster is none of them.
pub fn make(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    replication: i16,
    settings: &[(&str, &str)],
) -> bool {
    let Some(dir) = dir(bootstrap) else { return false };
    let mut command = Command::new(SCRIPT);
    command.arg("topic").arg(dir).arg(name).arg(partitions.to_string());
    command.arg(replication.to_string()).stdin(Stdio::null());
    command.args(settings.iter().map(|(key, value)| format!("{key}={value}")));
    let output = command.output().expect("tests/kafka/broker runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "topic {name}: {said}{failed}");
    true
}

/// The answer to ListOffsets, version 0, for one partition of one topic.
pub fn offset(leader: &mut Connection, body: &Body) -> Result<i64, String> {
    let answer = leader.call(LIST_OFFSETS, 0, body).map_err(text)?;
    let mut input = Input(&answer);
    input.i32(); // topics
    input.string();
    input.take(8); // partitions, partition
    good(input.i16(), "ListOffsets")?;
    match input.i32() {
        1 => Ok(input.i64()),
        count => Err(format!("ListOffsets: {count} offsets")),
    }
}

/// Metadata, version 0.
pub(super) fn metadata(answer: &[u8]) -> Metadata {
    let mut input = Input(answer);
    let mut brokers = HashMap::new();
    for _ in 0..input.i32() {
        let (id, host, port) = (input.i32(), input.string(), input.i32());
        brokers.insert(id, format!("{}:{port}", host.expect("a broker has a host")));
    }
    let mut leaders = HashMap::new();
    for _ in 0..input.i32() {
        input.i16(); // error
        input.string();
        for _ in 0..input.i32() {
            let (_, partition, leader) = (input.i16(), input.i32(), input.i32());
            for _replicas_then_in_sync in 0..2 {
                let count = input.i32();
                input.take(4 * count as usize);
            }
            leaders.insert(partition, brokers.get(&leader).cloned());
        }
    }
    Metadata { controller: None, leaders }
}
