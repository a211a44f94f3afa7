//! The page of the monitoring port in a real browser, beside real brokers.
//!
//! Chromium is driven over its own protocol, through a pipe: no other program and no crate is needed.

mod browser;
mod page;
#[path = "../support/mod.rs"]
mod support;
