//! Interceptors: headers for all events of a batch, and filters on bodies.
//!
//! All events of a batch have the same headers, since the timestamp is that of the
//! batch: encoding a batch again with the stamp recorded for it gives the same bytes.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::event::HeaderMap;
use crate::os;

/// One interceptor of a source's chain.
pub enum Interceptor {
    /// `timestamp`: ms since 1970.
    Timestamp {
        /// `header`, by default `timestamp`.
        header: String,
        /// `preserveExisting`, by default false.
        preserve_existing: bool,
    },
    /// `host`: this machine.
    Host {
        /// `hostHeader`, by default `host`.
        header: String,
        /// From [`local_host`], once at the start.
        value: String,
        /// `preserveExisting`, by default false.
        preserve_existing: bool,
    },
    /// `static`: a fixed header.
    Static {
        /// `key`, by default `key`.
        key: String,
        /// `value`, by default `value`.
        value: String,
        /// `preserveExisting`, by default true.
        preserve_existing: bool,
    },
    /// `regex_filter`: drops events.
    RegexFilter {
        /// Whether the pattern is found anywhere in a body.
        find: Box<dyn Fn(&str) -> bool + Send + Sync>,
        /// `excludeEvents`, by default false: whether a find drops or keeps the event.
        exclude_events: bool,
    },
}

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interceptor::Timestamp { header, .. } => write!(f, "Timestamp({header})"),
            Interceptor::Host { header, value, .. } => write!(f, "Host({header}={value})"),
            Interceptor::Static { key, value, .. } => write!(f, "Static({key}={value})"),
            Interceptor::RegexFilter { exclude_events, .. } => {
                write!(f, "RegexFilter(exclude: {exclude_events})")
            }
        }
    }
}

/// The headers of a batch: `base` (of the file) as the chain changes it.
/// `stamp_ms` is the batch's time in ms since 1970.
pub fn headers(chain: &[Interceptor], base: HeaderMap, stamp_ms: i64) -> HeaderMap {
    let mut headers = base;
    let mut set = |key: &str, value: &str, preserve: bool| {
        if !preserve || headers.get(key).is_none() {
            headers.insert(key, value);
        }
    };
    for interceptor in chain {
        match interceptor {
            Interceptor::Timestamp { header, preserve_existing } => {
                set(header, &stamp_ms.to_string(), *preserve_existing);
            }
            Interceptor::Host { header, value, preserve_existing } => {
                set(header, value, *preserve_existing);
            }
            Interceptor::Static { key, value, preserve_existing } => {
                set(key, value, *preserve_existing);
            }
            Interceptor::RegexFilter { .. } => {}
        }
    }
    headers
}

/// How long the filters of one round may take. A pattern that backtracks takes up to 0.1 s for a
/// line, and a round holds thousands of them: it ends early, so that a request to stop, and the
/// answers of brokers, do not wait for it.
const ROUND_MAX: Duration = Duration::from_millis(250);

/// Until when the filters of a round may take events.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// `None`: for as long as it takes.
    until: Option<Instant>,
}

impl Patience {
    /// Where an end is given that must be reached.
    pub const ENDLESS: Patience = Patience { until: None };

    /// Of a round that begins now. Without filters nothing takes time.
    pub fn begin(chain: &[Interceptor]) -> Patience {
        Patience { until: filters(chain).then(|| Instant::now() + ROUND_MAX) }
    }

    pub fn is_over(self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Whether [`keeps`] can be false, so that bodies need looking at.
pub fn filters(chain: &[Interceptor]) -> bool {
    chain.iter().any(|interceptor| matches!(interceptor, Interceptor::RegexFilter { .. }))
}

/// Whether all filters of the chain let an event with this body pass. The body is read
/// as UTF-8 whatever the output charset, as Flume does; what is not becomes U+FFFD.
pub fn keeps(chain: &[Interceptor], body: &[u8]) -> bool {
    let mut text: Option<Cow<'_, str>> = None;
    chain.iter().all(|interceptor| match interceptor {
        Interceptor::RegexFilter { find, exclude_events } => {
            find(text.get_or_insert_with(|| String::from_utf8_lossy(body))) != *exclude_events
        }
        _ => true,
    })
}

/// The value of the `host` header: the IPv4 address that this machine's name stands for,
/// or with `use_ip` false the name.
///
/// The second part is a note to log if there is no such address (the value is then the
/// name) or no name (then `localhost`). Asks the system's resolver, which for the own
/// name reads `/etc/hosts` first; call it once, at the start.
pub fn local_host(use_ip: bool) -> (String, Option<String>) {
    let Some(name) = os::host_name() else {
        return ("localhost".into(), Some("This machine has no name; using localhost.".into()));
    };
    if !use_ip {
        return (name, None);
    }
    match (name.as_str(), 0).to_socket_addrs() {
        Ok(addresses) => {
            let mut ips = addresses.map(|address| address.ip());
            if let Some(ip) = ips.find(IpAddr::is_ipv4) {
                return (ip.to_string(), None);
            }
            let note = format!("The host name {name} has no IPv4 address; using the name.");
            (name, Some(note))
        }
        Err(error) => {
            let note = format!("No address of the host name {name}: {error}; using the name.");
            (name, Some(note))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(word: &'static str, exclude_events: bool) -> Interceptor {
        Interceptor::RegexFilter {
            find: Box::new(move |text: &str| text.contains(word)),
            exclude_events,
        }
    }

    fn fixed(key: &str, value: &str, preserve_existing: bool) -> Interceptor {
        Interceptor::Static { key: key.into(), value: value.into(), preserve_existing }
    }

    #[test]
    fn the_chain_sets_headers_in_order_and_preserves_where_told() {
        let chain = [
            Interceptor::Timestamp { header: "timestamp".into(), preserve_existing: false },
            Interceptor::Host {
                header: "host".into(),
                value: "10.0.0.7".into(),
                preserve_existing: false,
            },
            fixed("host", "kept out", true),
            fixed("file", "replaced", false),
        ];
        let mut base = HeaderMap::new();
        base.insert("file", "/spool/a.log");
        let headers = headers(&chain, base, 1_480_000_000_123);
        assert_eq!(
            [headers.get("timestamp"), headers.get("host"), headers.get("file")],
            [Some("1480000000123"), Some("10.0.0.7"), Some("replaced")]
        );
    }

    #[test]
    fn filters_keep_or_exclude_what_they_find() {
        let chain = [filter("keep", false), filter("DEBUG", true), fixed("a", "b", true)];
        assert!(filters(&chain) && !filters(&chain[2..]));
        assert!(keeps(&chain, b"keep 1"));
        assert!(!keeps(&chain, b"keep DEBUG"));
        assert!(!keeps(&chain, b"other"));
        assert!(keeps(&[filter("\u{fffd}", false)], b"not \xFF utf-8"));
        assert!(keeps(&[], b""));
    }

    #[test]
    fn this_machine_has_a_value() {
        let (name, note) = local_host(false);
        assert!(!name.is_empty() && note.is_none());
        let (value, note) = local_host(true);
        assert!(note.is_some() || value.parse::<IpAddr>().is_ok(), "{value} {note:?}");
    }
}
