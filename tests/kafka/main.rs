//! The program beside real brokers (`tests/kafka/broker`), which it shares with nobody else's code.

mod broker_faults;
mod brokers;
mod changes;
mod check;
mod crash;
mod doubts;
mod economy;
mod files;
mod first_start;
mod golden;
mod golden_1_11;
mod golden_flume;
mod letters;
mod limits;
mod logrotate;
mod lost_answers;
mod monitor;
mod named_topics;
mod once;
mod other_log;
mod published;
mod real_flume;
mod routes;
mod sasl;
mod service;
mod silent_brokers;
mod spooldir;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod syscalls;
mod taildir;
mod tls;
mod verify;
mod wire;
mod wire_faults;
