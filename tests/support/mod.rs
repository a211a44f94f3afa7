//! What the integration tests stand on: real Kafka brokers, a reader of topics that
//! shares no code with the program (it judges it), and a work directory with an agent.
//!
//! ```ignore
//! let topic = shared("0.10.2.0").fresh_topic("plain", 1);
//! let work = Work::new(&topic).file("010_{H}.log", b"hello\n", 5);
//! let mut agent = work.start();
//! agent.expect_records(&topic, 1, Duration::from_secs(20));
//! assert_eq!(agent.term().code(), Some(0));
//! assert_eq!(topic.bodies(), ["hello"]);
//! ```

// Every test file compiles this module for itself and none uses all of it.
#![allow(dead_code, unused_imports)]

mod avro;
pub mod case;
pub mod certificates;
mod children;
pub mod cluster;
pub mod destination;
pub mod elder;
pub mod json;
pub mod patient;
pub mod proxy;
mod records;
pub mod topic;
pub mod torture;
pub mod tunnel;
pub mod wire;
mod work;

use std::time::{Duration, Instant};

pub use avro::{Event, decode_event};
pub use children::{MEMORY, TempDir, signal, spawn, wait_exit};
pub use cluster::{Brokers, Cluster, Plan, fresh_name, lend, shared, shared_cluster};
pub use records::{Producer, Record};
pub use topic::Topic;
pub use work::{Agent, Hour, Work, java_tracker};

/// Longest pause before `condition` is asked again: what is asked of brokers takes them time.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Asks `condition` every few milliseconds until it holds. False when the time is over.
pub fn wait_for(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(2);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// Repeats `attempt` until it succeeds; panics with the last error when the time is over.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    timeout: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> T {
    let mut last = String::new();
    let mut result = None;
    wait_for(timeout, || match attempt() {
        Ok(value) => {
            result = Some(value);
            true
        }
        Err(error) => {
            last = error;
            false
        }
    });
    match result {
        Some(value) => value,
        None => panic!("{what}: not within {timeout:?}: {last}"),
    }
}
