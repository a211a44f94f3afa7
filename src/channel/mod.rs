//! From events to an acknowledged place in a topic.

pub mod admin;
pub mod batch;
pub mod broker;
pub mod client;
pub mod cluster;
pub mod compress;
pub mod connect;
pub mod connecting;
pub mod content;
pub mod finding;
pub mod finish;
pub mod greet;
mod growth;
pub mod lane;
mod lanes;
pub mod legacy;
pub mod limit;
pub mod look;
mod message_set;
pub mod middle;
pub mod modern;
pub mod outlet;
pub mod protocol;
pub mod reader;
mod record;
pub mod records;
pub mod sasl;
mod seen;
pub mod standing;
pub mod throttle;
#[cfg_attr(not(feature = "tls"), path = "tls/absent.rs")]
pub mod tls;
pub mod transport;
pub mod trips;
pub mod unfolded;
pub mod walk;
pub mod wire;
