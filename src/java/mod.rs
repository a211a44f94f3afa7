//! Java's dialects, each usable by itself: properties files, regular expressions, date formats,
//! charsets, the order of a `HashMap`. Nothing here knows of Flume or Kafka.

pub mod charset;
pub mod date;
pub(crate) mod hash;
pub mod joda;
pub mod pattern;
pub(crate) mod properties;
