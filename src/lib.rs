//! `flume-ng`: tails hourly log files into Kafka, each line exactly once.

pub mod agent;
pub mod channel;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod event;
pub mod exit;
pub mod exposition;
pub mod java;
pub mod json;
pub mod ledger;
pub mod letters;
pub mod lifecycle;
pub mod log;
pub mod monitor;
pub mod os;
pub mod pipeline;
pub mod reload;
pub mod sink;
pub mod source;
pub mod start;
pub mod systemd;
pub mod verify;
