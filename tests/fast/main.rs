//! What needs no broker: the command line, configurations, the checkpoint's slots, and documents.

mod checkpoint_slots;
mod cli;
mod completions;
mod config;
mod documents;
mod generate;
mod packaging;
mod planted;
#[path = "../support/mod.rs"]
mod support;
mod unread;
