//! `flume-ng`: tails hourly log files into Kafka, each line exactly once.

pub mod channel;
pub mod checkpoint;
pub mod clock;
pub mod config;
pub mod os;
pub mod source;
