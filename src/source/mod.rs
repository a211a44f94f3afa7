//! The spool directory source: decoding, splitting into events, interceptors.

pub mod charset;
pub mod interceptor;
pub mod line;
