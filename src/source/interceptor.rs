//! Interceptors: headers for all events of a batch, and filters on bodies.
//!
//! Nothing is drawn or measured for an event: the timestamp is that of its batch, a UUID is made of
//! that stamp and of where the event stands. So encoding a batch again with the stamp recorded for it
//! gives the same bytes. Unless an interceptor looks at bodies or counts events, all events of a batch
//! have the same headers, which are made once.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::json::is_json;
use crate::config::model::{InterceptorConfig, Serializer};
use crate::event::HeaderMap;
use crate::java::pattern::{Groups, Pattern, Replacement};
use crate::log;
use crate::os::{self, LastWords};

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
    /// `regex_extractor`: headers from the first match in a body.
    RegexExtractor { groups: Arc<Groups>, serializers: Vec<Serializer> },
    /// `search_replace`: every match in a body.
    SearchReplace { groups: Arc<Groups>, replacement: Replacement },
    /// `remove_header`.
    RemoveHeader { names: Vec<String>, matching: Option<Pattern> },
    /// `UUIDInterceptor`.
    Uuid { header: String, prefix: String, preserve_existing: bool },
    /// `json_filter`, which is not Flume's: drops what is not JSON.
    JsonFilter,
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
            Interceptor::RegexExtractor { serializers, .. } => {
                write!(f, "RegexExtractor({} headers)", serializers.len())
            }
            Interceptor::SearchReplace { .. } => write!(f, "SearchReplace"),
            Interceptor::RemoveHeader { names, .. } => write!(f, "RemoveHeader({names:?})"),
            Interceptor::Uuid { header, .. } => write!(f, "Uuid({header})"),
            Interceptor::JsonFilter => write!(f, "JsonFilter"),
        }
    }
}

/// The chain that the configuration of a source describes.
pub(crate) fn build(configs: &[InterceptorConfig]) -> Arc<[Interceptor]> {
    configs.iter().map(build_one).collect()
}

fn build_one(config: &InterceptorConfig) -> Interceptor {
    match config {
        InterceptorConfig::Timestamp { header, preserve_existing } => {
            Interceptor::Timestamp { header: header.clone(), preserve_existing: *preserve_existing }
        }
        InterceptorConfig::Host { use_ip, header, preserve_existing } => {
            let (value, note) = local_host(*use_ip);
            if let Some(note) = note {
                log::warn("interceptor.HostInterceptor", format_args!("{note}"));
            }
            Interceptor::Host {
                header: header.clone(),
                value,
                preserve_existing: *preserve_existing,
            }
        }
        InterceptorConfig::Static { key, value, preserve_existing } => Interceptor::Static {
            key: key.clone(),
            value: value.clone(),
            preserve_existing: *preserve_existing,
        },
        InterceptorConfig::RegexFilter { pattern, exclude_events } => {
            let (pattern, exclude) = (pattern.clone(), *exclude_events);
            Interceptor::RegexFilter {
                find: Box::new(move |text| find_or_keep(&pattern, text, exclude)),
                exclude_events: exclude,
            }
        }
        InterceptorConfig::RegexExtractor { groups, serializers } => {
            Interceptor::RegexExtractor { groups: groups.clone(), serializers: serializers.clone() }
        }
        InterceptorConfig::SearchReplace { groups, replacement } => {
            Interceptor::SearchReplace { groups: groups.clone(), replacement: replacement.clone() }
        }
        InterceptorConfig::RemoveHeader { names, matching } => {
            Interceptor::RemoveHeader { names: names.clone(), matching: matching.clone() }
        }
        InterceptorConfig::Uuid { header, prefix, preserve_existing } => Interceptor::Uuid {
            header: header.clone(),
            prefix: prefix.clone(),
            preserve_existing: *preserve_existing,
        },
        InterceptorConfig::JsonFilter => Interceptor::JsonFilter,
    }
}

/// A pattern that runs away on a text (limited in steps) must not cost an event: it is kept.
fn find_or_keep(pattern: &Pattern, text: &str, exclude: bool) -> bool {
    pattern.find(text).unwrap_or_else(|e| {
        log::warn(
            "interceptor.RegexFilteringInterceptor",
            format_args!("An event is kept unfiltered: {e}."),
        );
        !exclude
    })
}

/// The headers of a batch: `base` (of the file) as the chain changes it.
/// `stamp_ms` is the batch's time in ms since 1970.
pub fn headers(chain: &[Interceptor], base: HeaderMap, stamp_ms: i64) -> HeaderMap {
    let mut headers = base;
    chain.iter().for_each(|interceptor| set_shared(interceptor, &mut headers, stamp_ms));
    headers
}

/// What an interceptor does to the headers of all events of a batch alike.
fn set_shared(interceptor: &Interceptor, headers: &mut HeaderMap, stamp_ms: i64) {
    match interceptor {
        Interceptor::Timestamp { header, preserve_existing } => {
            set(headers, header, &stamp_ms.to_string(), *preserve_existing);
        }
        Interceptor::Host { header, value, preserve_existing } => {
            set(headers, header, value, *preserve_existing);
        }
        Interceptor::Static { key, value, preserve_existing } => {
            set(headers, key, value, *preserve_existing);
        }
        Interceptor::RemoveHeader { names, matching } => headers.remove(|header| {
            let is_named = names.iter().any(|name| name == header);
            // A match that is given up takes nothing out.
            is_named
                || matching
                    .as_ref()
                    .is_some_and(|pattern| pattern.full_match(header.as_bytes()).unwrap_or(false))
        }),
        _ => {}
    }
}

fn set(headers: &mut HeaderMap, key: &str, value: &str, preserve: bool) {
    if !preserve || headers.get(key).is_none() {
        headers.insert(key, value);
    }
}

/// Does each event have headers or a body of its own making, see [`shape`]?
pub fn is_per_event(chain: &[Interceptor]) -> bool {
    chain.iter().any(|interceptor| {
        matches!(
            interceptor,
            Interceptor::RegexExtractor { .. }
                | Interceptor::SearchReplace { .. }
                | Interceptor::Uuid { .. }
        )
    })
}

/// When and where an event was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin {
    /// That of its batch, ms since 1970.
    pub stamp_ms: i64,
    /// Tells its file from every other one, on any machine: [`origin_seed`].
    pub seed: u64,
    /// The byte of the file at which it begins.
    pub at: u64,
}

/// What tells file `id` of an agent's source from others elsewhere, as far as the chain asks for it.
pub fn origin_seed(
    chain: &[Interceptor],
    agent: &str,
    source: &str,
    tracker_dir: &Path,
    id: u64,
) -> u64 {
    if !chain.iter().any(|interceptor| matches!(interceptor, Interceptor::Uuid { .. })) {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    os::host_name().hash(&mut hasher);
    std::fs::read("/etc/machine-id").unwrap_or_default().hash(&mut hasher);
    (agent, source, tracker_dir, id).hash(&mut hasher);
    hasher.finish()
}

/// Takes an event through the chain: `headers` are those of its file and become its own. `None`: it
/// is filtered out. What is left of the body is returned, as it is where nothing replaces a part.
pub fn shape<'b>(
    chain: &[Interceptor],
    headers: &mut HeaderMap,
    body: &'b [u8],
    origin: Origin,
) -> Option<Cow<'b, [u8]>> {
    let mut body = Cow::Borrowed(body);
    for interceptor in chain {
        match interceptor {
            Interceptor::RegexExtractor { groups, serializers } => {
                extract(groups, serializers, &body, headers);
            }
            Interceptor::Uuid { header, prefix, preserve_existing } => {
                let value = format!("{prefix}{}", uuid(origin));
                set(headers, header, &value, *preserve_existing);
            }
            _ => {
                set_shared(interceptor, headers, origin.stamp_ms);
                if !pass(interceptor, &mut body) {
                    return None;
                }
            }
        }
    }
    Some(body)
}

fn extract(groups: &Groups, serializers: &[Serializer], body: &[u8], headers: &mut HeaderMap) {
    let text = text_of(body);
    // A group that took no part gives no header, and neither does a time that is none.
    let found = groups.first(&text, |group, part| {
        let Some(serializer) = serializers.get(group - 1) else { return };
        match &serializer.time {
            None => headers.insert(&serializer.header, part),
            Some(pattern) => {
                if let Some(ms) = pattern.read(part) {
                    headers.insert(&serializer.header, &ms.to_string());
                }
            }
        }
    });
    if let Err(e) = found {
        log::warn(EXTRACTOR, format_args!("An event goes without its headers: {e}."));
    }
}

const EXTRACTOR: &str = "interceptor.RegexExtractorInterceptor";

/// A UUID of version 4 in form, of an event: the same whenever it is made for the same batch.
fn uuid(origin: Origin) -> String {
    let half = |which: u8| {
        let mut hasher = DefaultHasher::new();
        (which, origin.stamp_ms, origin.seed, origin.at).hash(&mut hasher);
        hasher.finish()
    };
    let high = half(0) & 0xffff_ffff_ffff_0fff | 0x4000;
    let low = half(1) & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// How long the filters of one round may take. A pattern that backtracks takes up to 0.1 s for a
/// line, and a round holds thousands of them: it ends early, so that a request to stop, and the
/// answers of brokers, do not wait for it.
const ROUND_MAX: Duration = Duration::from_millis(250);

/// Until when the filters of a round may take events.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// By [`os::coarse_time`]. `None`: for as long as it takes.
    until: Option<Duration>,
}

impl Patience {
    /// Where an end is given that must be reached.
    pub const ENDLESS: Patience = Patience { until: None };

    /// Of a round that begins now. Without filters nothing takes time.
    pub fn begin(chain: &[Interceptor]) -> Patience {
        Patience { until: takes_time(chain).then(|| os::coarse_time() + ROUND_MAX) }
    }

    pub fn is_over(self) -> bool {
        self.until.is_some_and(|until| os::coarse_time() >= until)
    }
}

/// While it lives, a request to stop ends the process after a moment: a match cannot be cut short, and though
/// its steps are counted, each may read the line to its end. Nothing but events may be made meanwhile.
pub fn guard(chain: &[Interceptor]) -> Option<LastWords> {
    let words = || "stopped while an interceptor looked at a line\n".to_owned();
    takes_time(chain).then(|| os::arm_last_words(words()))
}

/// Is something done with each line?
pub fn takes_time(chain: &[Interceptor]) -> bool {
    filters(chain) || is_per_event(chain)
}

/// Whether [`keeps`] can be false, so that bodies need looking at.
pub fn filters(chain: &[Interceptor]) -> bool {
    chain.iter().any(|interceptor| {
        matches!(interceptor, Interceptor::RegexFilter { .. } | Interceptor::JsonFilter)
    })
}

/// Whether all filters of the chain let an event with this body pass. The body is read
/// as UTF-8 whatever the output charset, as Flume does; what is not becomes U+FFFD.
pub fn keeps(chain: &[Interceptor], body: &[u8]) -> bool {
    let mut body = Cow::Borrowed(body);
    chain.iter().all(|interceptor| pass(interceptor, &mut body))
}

/// What is not UTF-8 is U+FFFD.
fn text_of(body: &[u8]) -> Cow<'_, str> {
    match simdutf8::basic::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
}

/// Takes a body through an interceptor; `false`: it is filtered out.
fn pass(interceptor: &Interceptor, body: &mut Cow<'_, [u8]>) -> bool {
    match interceptor {
        Interceptor::RegexFilter { find, exclude_events } => {
            find(&text_of(body)) != *exclude_events
        }
        Interceptor::JsonFilter => is_json(body),
        Interceptor::SearchReplace { groups, replacement } => {
            let replaced = groups.replace_all(&text_of(body), replacement);
            match replaced {
                Ok(Some(text)) => *body = Cow::Owned(text.into_bytes()),
                // Without a match every byte stays as it is.
                Ok(None) => {}
                Err(e) => log::warn(
                    "interceptor.SearchAndReplaceInterceptor",
                    format_args!("An event stays as it is: {e}."),
                ),
            }
            true
        }
        _ => true,
    }
}

/// The value of the `host` header: the IPv4 address that this machine's name stands for,
/// or with `use_ip` false the name.
///
/// The second part is a note to log if there is no such address (the value is then the
/// name) or no name (then `localhost`). Asks the system's resolver, which for the own
/// name reads `/etc/hosts` first; call it once, at the start.
fn local_host(use_ip: bool) -> (String, Option<String>) {
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

    fn groups(pattern: &str) -> Arc<Groups> {
        Arc::new(Groups::compile(pattern).unwrap())
    }

    fn extractor(pattern: &str, headers: &[&str]) -> Interceptor {
        let serializer = |header: &&str| Serializer { header: (*header).to_owned(), time: None };
        let serializers = headers.iter().map(serializer).collect();
        Interceptor::RegexExtractor { groups: groups(pattern), serializers }
    }

    fn shaped(chain: &[Interceptor], body: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        let origin = Origin { stamp_ms: 5, seed: 7, at: 9 };
        let body = shape(chain, &mut headers, body.as_bytes(), origin)?;
        Some((headers.to_string(), String::from_utf8_lossy(&body).into_owned()))
    }

    #[test]
    fn each_interceptor_sees_what_the_one_before_it_left() {
        let replace = |pattern: &str, with: &str| {
            let groups = groups(pattern);
            let replacement = Replacement::parse(with, groups.count()).unwrap();
            Interceptor::SearchReplace { groups, replacement }
        };
        let chain = [
            extractor(r"^(\w+):(\w+)?", &["kind", "word"]),
            replace(r"^\w+:", ""),
            filter("secret", true),
            fixed("kind", "kept out", true),
        ];
        assert!(is_per_event(&chain) && filters(&chain));
        let is = |h: &str, b: &str| Some((h.to_owned(), b.to_owned()));
        assert_eq!(shaped(&chain, "a:b c"), is("{kind=a, word=b}", "b c"));
        assert_eq!(shaped(&chain, "a: c"), is("{kind=a}", " c"));
        assert_eq!(shaped(&chain, "none"), is("{kind=kept out}", "none"));
        assert_eq!(shaped(&chain, "secret:x"), is("{kind=secret, word=x}", "x"));
        assert_eq!(shaped(&chain, "x:secret"), None);
        assert!(!keeps(&chain, b"x:secret") && keeps(&chain, b"secret:x"));
        let remove = |names: &[&str], matching: Option<&str>| Interceptor::RemoveHeader {
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            matching: matching.map(|m| Pattern::compile(m).unwrap()),
        };
        let chain = [fixed("ab", "1", false), fixed("b", "2", false), fixed("c", "3", false)];
        let with = |last: Interceptor| {
            let [a, b, c] = &chain;
            let copy = |i: &Interceptor| match i {
                Interceptor::Static { key, value, .. } => fixed(key, value, false),
                _ => unreachable!("they are static"),
            };
            let chain = [copy(a), copy(b), copy(c), last];
            headers(&chain, HeaderMap::new(), 0).to_string()
        };
        assert_eq!(with(remove(&["c"], Some("b"))), "{ab=1}");
        assert_eq!(with(remove(&["x"], Some(".b"))), "{b=2, c=3}");
    }

    #[test]
    fn a_body_that_is_no_text_stays_as_it_is_where_nothing_is_replaced() {
        let groups = groups("x");
        let replacement = Replacement::parse("y", 0).unwrap();
        let chain = [Interceptor::SearchReplace { groups, replacement }];
        let body = shape(&chain, &mut HeaderMap::new(), b"\xff\xfe", Origin::default());
        assert_eq!(body.unwrap().as_ref(), b"\xff\xfe");
    }

    #[test]
    fn an_event_that_is_made_again_has_the_uuid_that_it_had() {
        let origin = Origin { stamp_ms: 1, seed: 2, at: 3 };
        let one = uuid(origin);
        assert_eq!(one, uuid(origin));
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
        assert!("89ab".contains(&one[19..20]), "{one}");
        for other in [
            Origin { stamp_ms: 2, ..origin },
            Origin { seed: 3, ..origin },
            Origin { at: 4, ..origin },
        ] {
            assert_ne!(one, uuid(other));
        }
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
