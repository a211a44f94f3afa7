//! What is read that others write, for `fuzz/`: a function of bytes for each, which may neither panic nor hang
//! nor take memory without a limit, and that says what else has to hold. `make check` runs each on what is kept
//! in `fuzz/corpus/`. Built for tests and fuzzing, and in
//! every build with debug assertions: so each `make check` compiles it without what only unit tests have.

use kafka_protocol::messages::{
    ApiVersionsResponse, FetchResponse, InitProducerIdResponse, ListOffsetsResponse,
    MetadataResponse, ProduceResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use kafka_protocol::protocol::Decodable;

use crate::channel::protocol::{
    self, API_VERSIONS, Api, FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, METADATA, METADATA_ID,
    METADATA_OLD, PRODUCE, SASL_AUTHENTICATE, SASL_HANDSHAKE,
};
use crate::channel::sasl::crypto::Hash;
use crate::channel::sasl::oauth::OAuth;
use crate::channel::sasl::scram::Scram;
use crate::channel::sasl::token;
use crate::channel::{admin, compress, records};
use crate::checkpoint::{codec, flume_positions, java_tracker, receipt};
use crate::config::{self, jaas};
use crate::java::date::DatePattern;
use crate::java::joda::TimePattern;
use crate::java::pattern::Pattern;
use crate::java::properties;
use crate::monitor;

/// One kind of input.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders in `fuzz/corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("properties", properties),
    ("expansion", expansion),
    ("jaas", jaas),
    ("jks", jks),
    ("pkcs12", pkcs12),
    ("pem", pem),
    ("tracker", tracker),
    ("positions", positions),
    ("checkpoint", checkpoint),
    ("receipts", receipts),
    ("answers", answers),
    ("batches", batches),
    ("sasl", sasl),
    ("http", http),
    ("patterns", patterns),
    ("dates", dates),
];

/// Runs the target of that name.
///
/// # Panics
/// On what must not be, and if there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    target(data);
}

fn properties(data: &[u8]) {
    match properties::parse(data) {
        Ok(read) => assert!(read.entries.iter().all(|entry| entry.line > 0)),
        Err(errors) => assert!(!errors.is_empty()),
    }
}

/// A whole configuration, in which references may lead anywhere.
fn expansion(data: &[u8]) {
    config::fuzz(data);
}

fn jaas(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = jaas::read_property(&text).map_err(|wrong| wrong.to_string());
    let _ = jaas::read_file(&text, "KafkaClient").map_err(|wrong| wrong.to_string());
}

/// The password is what stands before the first newline, if there is one; so with the next two.
fn jks(data: &[u8]) {
    store(data);
}

fn pkcs12(data: &[u8]) {
    store(data);
}

fn pem(data: &[u8]) {
    store(data);
}

fn store(data: &[u8]) {
    #[cfg(feature = "tls")]
    {
        let (password, bytes) = split(data);
        crate::channel::tls::store::fuzz(bytes, &password.unwrap_or_default());
    }
    let _ = data;
}

fn tracker(data: &[u8]) {
    java_tracker::fuzz(data);
}

fn positions(data: &[u8]) {
    let _ = flume_positions::parse(data);
}

/// A record has one encoding.
fn checkpoint(data: &[u8]) {
    let Ok(record) = codec::decode(data) else { return };
    let mut encoded = Vec::new();
    codec::encode_into(&record, &Vec::from_iter(&record.files), &mut encoded);
    assert_eq!(codec::decode(&encoded).as_ref(), Ok(&record));
}

fn receipts(data: &[u8]) {
    data.split(|byte| *byte == b'\n').for_each(receipt::fuzz);
}

/// The first byte says in which version; the rest is read as the answer to each request.
fn answers(data: &[u8]) {
    let [version, answer @ ..] = data else { return };
    let version = i16::from(*version);
    read::<ApiVersionsResponse>(API_VERSIONS, version, answer);
    read::<MetadataResponse>(METADATA, version, answer);
    read::<MetadataResponse>(METADATA_ID, version, answer);
    read::<MetadataResponse>(METADATA_OLD, version, answer);
    read::<ProduceResponse>(PRODUCE, version, answer);
    read::<FetchResponse>(FETCH, version, answer);
    read::<ListOffsetsResponse>(LIST_OFFSETS, version, answer);
    read::<InitProducerIdResponse>(INIT_PRODUCER_ID, version, answer);
    read::<SaslHandshakeResponse>(SASL_HANDSHAKE, version, answer);
    read::<SaslAuthenticateResponse>(SASL_AUTHENTICATE, version, answer);
    admin::fuzz(answer, version % 9);
}

fn read<A: Decodable>(api: Api, version: i16, answer: &[u8]) {
    let version = api.lowest + version % (api.highest - api.lowest + 1);
    let _ = protocol::decode::<A>(api, version, answer, "h:9092");
    let _ = protocol::throttle((api.key, version), answer);
}

/// A log as it is fetched; and the rest behind the first byte as packed by the codec of that number.
fn batches(data: &[u8]) {
    let (mut log, mut scratch, mut bytes) = (data, Vec::new(), 0);
    while let Ok(Some(entry)) = records::next_entry(&mut log) {
        let mut visit = |_, content: records::Content<'_>| {
            bytes += content.value.map_or(0, <[u8]>::len);
        };
        let _ = entry.values(&mut scratch, &mut visit);
    }
    if let [codec, packed @ ..] = data {
        let mut plain = Vec::new();
        let _ = compress::unpack(i16::from(codec % 6), packed, &mut plain);
    }
}

/// What a broker says in a login, a line for each token; `NONCE` stands for ours.
fn sasl(data: &[u8]) {
    for hash in [Hash::Sha256, Hash::Sha512] {
        let Ok((mut scram, first)) = Scram::start(hash, "alice", "secret") else { return };
        let first = String::from_utf8_lossy(&first).into_owned();
        let nonce = first.rsplit_once("r=").map_or("", |(_, nonce)| nonce);
        for token in String::from_utf8_lossy(data).replace("NONCE", nonce).split('\n') {
            if scram.answer(token.as_bytes()).is_err() {
                break;
            }
        }
    }
    let (mut oauth, _) = OAuth::start("token", &[]);
    let _ = oauth.answer(data).and_then(|_| oauth.answer(data));
    let whole = token::read(data, true);
    if let Ok(Some(given)) = &whole {
        assert!(given.bearer.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let _ = token::read(data, false);
}

fn http(data: &[u8]) {
    monitor::fuzz(data);
}

/// A pattern, and behind the first newline what it is to match.
fn patterns(data: &[u8]) {
    let (pattern, name) = split(data);
    let Ok(pattern) = Pattern::compile(pattern.as_deref().unwrap_or_default()) else { return };
    let _ = pattern.full_match(name);
    let _ = pattern.find(&String::from_utf8_lossy(name));
}

/// A format, and behind the first newline what is to be read by it.
fn dates(data: &[u8]) {
    let (format, text) = split(data);
    let format = format.unwrap_or_default();
    if let Ok(format) = DatePattern::parse(&format) {
        let _ = format.read(text);
    }
    if let Ok(format) = TimePattern::parse(&format) {
        let _ = format.read(&String::from_utf8_lossy(text));
    }
}

/// What stands before the first newline, if there is one, and what behind it.
fn split(data: &[u8]) -> (Option<String>, &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (Some(String::from_utf8_lossy(&data[..at]).into_owned()), &data[at + 1..]),
        None => (None, data),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;

    /// A stop that takes longer would be noticed; a loaded machine is slower.
    const TIME_MAX: Duration = Duration::from_secs(10);

    #[test]
    fn every_target_survives_its_corpus() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        for (name, target) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "fuzz/Cargo.toml: {name}");
            let inputs = fs::read_dir(root.join("corpus").join(name)).expect(name);
            let mut count = 0;
            for path in inputs.map(|input| input.unwrap().path()) {
                let (data, start) = (fs::read(&path).unwrap(), Instant::now());
                target(&data);
                assert!(start.elapsed() < TIME_MAX, "{}", path.display());
                // Cut off anywhere it is what a crash leaves; as long as that does not take minutes.
                let step = (data.len() / 50).max(1);
                (0..data.len()).step_by(step).for_each(|end| target(&data[..end]));
                count += 1;
            }
            assert!(count > 0, "fuzz/corpus/{name} is empty");
        }
        let kept = fs::read_dir(root.join("corpus")).unwrap().count();
        assert_eq!(kept, TARGETS.len(), "a folder in fuzz/corpus without a target");
    }
}
