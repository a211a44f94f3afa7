//! From files to events.
pub mod charset;
pub mod line;
