//! What tells one event from another: a 64-bit hash of its value.
//!
//! SipHash under a key that is drawn anew for each run: two given values are taken for one with a
//! chance of 2^-64, in another run by another chance. Headers that depend on when and where an
//! event was sent (of timestamp, host and UUID interceptors) are left out on both sides.

use std::ffi::OsStr;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::sync::Arc;

use crate::config::model::{InterceptorConfig, SourceConfig, ValueFormat};
use crate::event::{self, HeaderMap};
use crate::source::headers;
use crate::source::interceptor::{self, Interceptor, Origin};

/// First byte that is hashed: events and other records never meet.
const EVENT: u8 = 0;
const OTHER: u8 = 1;

#[derive(Clone)]
pub(crate) struct Keyer {
    state: RandomState,
    format: ValueFormat,
    /// Headers that are left out.
    unsteady: Vec<String>,
}

impl Keyer {
    /// For the events of these sources.
    pub(crate) fn new<'a>(
        format: ValueFormat,
        sources: impl Iterator<Item = &'a SourceConfig>,
    ) -> Keyer {
        let mut unsteady = Vec::new();
        let sources: Vec<_> = sources.collect();
        if sources.iter().filter_map(|source| source.kind.tail()).any(|t| t.byte_offset_header) {
            unsteady.push(headers::BYTE_OFFSET.to_owned());
        }
        for interceptor in sources.iter().flat_map(|source| &source.interceptors) {
            match interceptor {
                InterceptorConfig::Timestamp { header, .. }
                | InterceptorConfig::Host { header, .. }
                | InterceptorConfig::Uuid { header, .. } => unsteady.push(header.clone()),
                _ => {}
            }
        }
        Keyer { state: RandomState::new(), format, unsteady }
    }

    /// What all events of a file called `name` begin with.
    pub(crate) fn of_file(
        &self,
        config: &SourceConfig,
        chain: &Arc<[Interceptor]>,
        name: &OsStr,
    ) -> FileKey {
        let map = headers::of_file(config, name);
        if interceptor::is_per_event(chain) {
            return FileKey::Each { keyer: self.clone(), chain: chain.clone(), headers: map };
        }
        let map = interceptor::headers(chain, map, 0);
        FileKey::Same(self.headers(map.iter()))
    }

    /// Of a record's value.
    pub(crate) fn of_record(&self, value: Option<&[u8]>) -> u64 {
        match (self.format, value) {
            (ValueFormat::Bare, Some(value)) => of_body(self.headers([]), value),
            (ValueFormat::Avro, Some(value)) => {
                let mut headers = self.begin();
                let body =
                    event::visit(value, &mut |key, value| self.put(&mut headers, key, value));
                match body {
                    Ok(body) => of_body(end_headers(headers), body),
                    Err(_) => self.of_other(value),
                }
            }
            (_, None) => self.of_other(&[]),
        }
    }

    fn headers<'a>(&self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> DefaultHasher {
        let mut hasher = self.begin();
        if self.format == ValueFormat::Avro {
            headers.into_iter().for_each(|(key, value)| self.put(&mut hasher, key, value));
        }
        end_headers(hasher)
    }

    fn begin(&self) -> DefaultHasher {
        let mut hasher = self.state.build_hasher();
        hasher.write_u8(EVENT);
        hasher
    }

    fn put(&self, hasher: &mut DefaultHasher, key: &str, value: &str) {
        if self.unsteady.iter().all(|unsteady| unsteady != key) {
            put(hasher, key.as_bytes());
            put(hasher, value.as_bytes());
        }
    }

    fn of_other(&self, value: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u8(OTHER);
        hasher.write(value);
        hasher.finish()
    }
}

/// The body of a record's value, to be shown.
pub(crate) fn body(format: ValueFormat, value: Option<&[u8]>) -> &[u8] {
    let value = value.unwrap_or_default();
    match (format, event::visit(value, &mut |_, _| {})) {
        (ValueFormat::Avro, Ok(body)) => body,
        _ => value,
    }
}

/// See [`Keyer::of_file`].
pub(crate) enum FileKey {
    /// All events have the same headers.
    Same(DefaultHasher),
    /// Each has its own, and perhaps another body than its line.
    Each { keyer: Keyer, chain: Arc<[Interceptor]>, headers: HeaderMap },
}

impl FileKey {
    /// Of an event that is not filtered out.
    pub(crate) fn of_event(&self, body: &[u8]) -> u64 {
        match self {
            FileKey::Same(headers) => of_body(headers.clone(), body),
            FileKey::Each { keyer, chain, headers } => {
                let mut headers = headers.clone();
                let shaped = interceptor::shape(chain, &mut headers, body, Origin::default());
                of_body(keyer.headers(headers.iter()), shaped.as_deref().unwrap_or(body))
            }
        }
    }
}

fn of_body(headers: DefaultHasher, body: &[u8]) -> u64 {
    let mut hasher = headers;
    put(&mut hasher, body);
    hasher.finish()
}

fn end_headers(mut hasher: DefaultHasher) -> DefaultHasher {
    // No length is so large: the headers end here.
    hasher.write_u64(u64::MAX);
    hasher
}

fn put(hasher: &mut DefaultHasher, bytes: &[u8]) {
    hasher.write_u64(bytes.len() as u64);
    hasher.write(bytes);
}
