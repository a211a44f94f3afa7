//! From events to an acknowledged place in a topic.

pub mod batch;
pub mod broker;
pub mod compress;
pub mod content;
pub mod records;
pub mod outlet;
