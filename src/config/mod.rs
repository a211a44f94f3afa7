//! From a properties file to a validated agent.

pub mod date;
pub mod model;
pub mod pattern;
