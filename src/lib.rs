//! Tails hourly log files into Kafka.

pub mod event;
pub mod sink;
pub mod source;
