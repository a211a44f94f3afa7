//! What survives a crash.

pub mod record;
