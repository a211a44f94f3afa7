//! `flume-ng`: tails hourly log files into Kafka, each line exactly once.
//!
//! The rooms, from the top down; what a file imports stands below it (docs/design.md). Public is what
//! `main.rs`, tests and benches use.

#![warn(unreachable_pub)]

pub mod command;

#[cfg(any(test, fuzzing, debug_assertions))]
pub mod fuzz;

mod agent;

mod monitor;

pub mod pipeline;

mod rebuild;

pub mod channel;
pub mod source;

pub mod cli;

pub mod config;

pub mod checkpoint;
pub mod java;

pub mod clock;
pub mod event;
pub mod exit;
pub mod histogram;
pub mod log;
pub mod os;
pub mod text;
