//! The binary on configurations: what leaves Flume idle for ever ends here with code 78, names
//! its line and the way out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own for a test, removed behind it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("flume-ng-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> &Dir {
        std::fs::write(self.0.join(name), bytes).unwrap();
        self
    }

    /// `flume-ng agent --dryrun` on `x.conf` in this directory.
    fn dry_run(&self, name: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_flume-ng"))
            .args(["agent", "-d", "-f", "x.conf", "-n", name])
            .current_dir(&self.0)
            .output()
            .unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const REFERENCE: &str = include_str!("../data/log010.conf");

/// Exit code and stderr for a configuration of agent a1.
fn check(conf: &[u8]) -> (i32, String) {
    let dir = Dir::new();
    let output = dir.write("x.conf", conf).dry_run("a1");
    let code = output.status.code().expect("no signal");
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The reference with a line replaced (the start of its key is given), or one added if none is.
fn changed(key: &str, line: &str) -> String {
    let mut found = false;
    let mut text = String::new();
    for old in REFERENCE.lines() {
        let hit = !key.is_empty() && old.starts_with(key);
        found |= hit;
        text.push_str(if hit { line } else { old });
        text.push('\n');
    }
    if key.is_empty() {
        text.push_str(line);
        text.push('\n');
    } else {
        assert!(found, "{key}");
    }
    text
}

#[test]
fn the_reference_verbatim() {
    let dir = Dir::new();
    let output = dir.write("x.conf", REFERENCE.as_bytes()).dry_run("a1");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for text in
        ["source r1", "/home/hadoop1/testdata/", "filetest10", "hadoop5:9092", "sink k1: null"]
    {
        assert!(stdout.contains(text), "{stdout}");
    }
    assert!(!stderr.contains(" WARN ") && !stderr.contains(" ERROR "), "{stderr}");
    let ignored = "without meaning here: a1.channels.c1.capacity, \
                   a1.channels.c1.transactionCapacity, a1.channels.c1.zookeeperConnect";
    assert_eq!(stderr.matches(ignored).count(), 1, "{stderr}");
}

#[test]
fn the_example_is_sound() {
    let (code, stderr) = check(include_bytes!("../../flume.conf.example"));
    assert_eq!(code, 0, "{stderr}");
    assert!(!stderr.contains(" WARN "), "{stderr}");
}

/// What is changed in the reference; the key and line that the error names; a part of its text.
/// Lines: 2 sources, 3 sinks, 4 channels, 6 type, 7 spoolDir, 15 batchSize, 20 sink type,
/// 22 channel type, 25 brokerList, 29 and 30 bindings, 31 what is added.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    ("a1.channels =", "", "a1.channels (x.conf)", "does not contain any channels"),
    ("a1.sources =", "", "a1.sources (x.conf)", "does not contain any sources"),
    ("a1.sources =", "a1.sources = r1, r2", "a1.sources (x.conf line 2)", "write r1 r2"),
    (
        "a1.sources =",
        "a1.sources = r1 r2",
        "a1.sources.r2 (x.conf line 2)",
        "Configuration empty for: r2.",
    ),
    ("a1.sinks =", "a1.sinks = k1 k2", "a1.sinks.k2 (x.conf line 3)", "listed but has no property"),
    (
        "a1.channels =",
        "a1.channels = c1 c2",
        "a1.channels.c2 (x.conf line 4)",
        "listed but has no property",
    ),
    (
        "a1.sources.r1.channels",
        "",
        "a1.sources.r1.channels (x.conf line 6)",
        "No channels set for r1",
    ),
    (
        "a1.sources.r1.channels",
        "a1.sources.r1.channels = c9",
        "a1.sources.r1.channels (x.conf line 29)",
        "No Channels configured for r1",
    ),
    (
        "a1.sources.r1.channels",
        "a1.sources.r1.channels = c1,c9",
        "a1.sources.r1.channels (x.conf line 29)",
        "comma",
    ),
    (
        "a1.sources.r1.type",
        "",
        "a1.sources.r1.type (x.conf line 7)",
        "Component has no type. Cannot configure. r1",
    ),
    (
        "a1.sources.r1.type",
        "a1.sources.r1.type = com.example.Nope",
        "a1.sources.r1.type (x.conf line 6)",
        "Unable to load source type: com.example.Nope",
    ),
    (
        "a1.channels.c1.type",
        "a1.channels.c1.type = KAFKA",
        "a1.channels.c1.type (x.conf line 22)",
        "Unable to load channel type: KAFKA",
    ),
    (
        "a1.channels.c1.type",
        "a1.channels.c1.type = memory",
        "a1.channels.c1.type (x.conf line 22)",
        "no Kafka sink behind it",
    ),
    ("a1.channels.c1.type", "", "a1.channels.c1.type (x.conf line 23)", "Component has no type"),
    (
        "a1.sinks.k1.type",
        "a1.sinks.k1.type = hdfs",
        "a1.sinks.k1.type (x.conf line 20)",
        "supported are null, logger and",
    ),
    (
        "a1.sources.r1.spoolDir",
        "",
        "a1.sources.r1.spoolDir (x.conf line 6)",
        "must specify a spooling directory",
    ),
    (
        "a1.sources.r1.spoolDir",
        "a1.sources.r1.spoolDir =",
        "a1.sources.r1.spoolDir (x.conf line 6)",
        "must specify a spooling directory",
    ),
    (
        "a1.sources.r1.batchSize",
        "a1.sources.r1.batchSize = ten",
        "a1.sources.r1.batchSize (x.conf line 15)",
        "\"ten\" is not a whole number",
    ),
    (
        "a1.sources.r1.batchSize",
        "a1.sources.r1.batchSize = 0",
        "a1.sources.r1.batchSize (x.conf line 15)",
        "from 1 to",
    ),
    (
        "a1.sources.r1.batchSize",
        "a1.sources.r1.batchSize = -5",
        "a1.sources.r1.batchSize (x.conf line 15)",
        "from 1 to",
    ),
    (
        "a1.sources.r1.batchSize",
        "a1.sources.r1.batchSize = 99999999999999999999",
        "a1.sources.r1.batchSize (x.conf line 15)",
        "from 1 to",
    ),
    (
        "a1.sources.r1.batchSize",
        "a1.sources.r1.batchsize = 10",
        "a1.sources.r1.batchsize (x.conf line 15)",
        "did you mean a1.sources.r1.batchSize?",
    ),
    (
        "a1.sources.r1.decodeErrorPolicy",
        "a1.sources.r1.decodeErrorPolicy = SKIP",
        "a1.sources.r1.decodeErrorPolicy (x.conf line 17)",
        "FAIL, REPLACE, IGNORE",
    ),
    (
        "a1.sources.r1.consumeOrder",
        "a1.sources.r1.consumeOrder = newest",
        "a1.sources.r1.consumeOrder (x.conf line 14)",
        "oldest, youngest, random",
    ),
    (
        "a1.sources.r1.deletePolicy",
        "a1.sources.r1.deletePolicy = later",
        "a1.sources.r1.deletePolicy (x.conf line 9)",
        "never, immediate",
    ),
    (
        "a1.sources.r1.targetPattern",
        "a1.sources.r1.targetPattern = (",
        "a1.sources.r1.targetPattern (x.conf line 11)",
        "",
    ),
    (
        "a1.sources.r1.targetFilename",
        "a1.sources.r1.targetFilename = yyyyQ",
        "a1.sources.r1.targetFilename (x.conf line 12)",
        "Q",
    ),
    (
        "a1.sources.r1.inputCharset",
        "a1.sources.r1.inputCharset = klingon",
        "a1.sources.r1.inputCharset (x.conf line 16)",
        "klingon",
    ),
    (
        "a1.sources.r1.deserializer",
        "a1.sources.r1.deserializer = AVRO",
        "a1.sources.r1.deserializer (x.conf line 18)",
        "only LINE",
    ),
    (
        "",
        "a1.sources.r1.deserializer.maxLineLength = 0",
        "a1.sources.r1.deserializer.maxLineLength (x.conf line 31)",
        "from 1 to",
    ),
    (
        "",
        "a1.sources.r1.selector.type = load_balancing",
        "a1.sources.r1.selector.type (x.conf line 31)",
        "only replicating",
    ),
    (
        "",
        "a1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.default = c9",
        "a1.sources.r1.selector.default (x.conf line 32)",
        "Selector channel not found: c9",
    ),
    (
        "",
        "a1.sources.r1.selector.optional = c2",
        "a1.sources.r1.selector.optional (x.conf line 31)",
        "Selector channel not found: c2",
    ),
    (
        "",
        "a1.sources.r1.interceptors = i1",
        "a1.sources.r1.interceptors.i1.type (x.conf line 31)",
        "has no type",
    ),
    (
        "",
        "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = morphline",
        "a1.sources.r1.interceptors.i1.type (x.conf line 32)",
        "Interceptor.Builder not found",
    ),
    (
        "a1.sources.r1.fileSuffix",
        "a1.sources.r1.fileSuffix = /done",
        "a1.sources.r1.fileSuffix (x.conf line 8)",
        "without a slash",
    ),
    (
        "a1.channels.c1.brokerList",
        "a1.channels.c1.brokerList = ,",
        "a1.channels.c1.brokerList (x.conf line 25)",
        "names no broker",
    ),
    (
        "",
        "a1.sinks.k1.logEveryNEvents = 0",
        "a1.sinks.k1.logEveryNEvents (x.conf line 31)",
        "from 1 to",
    ),
    (
        "a1.sinks.k1.channel",
        "a1.sinks.k1.channels = c1",
        "a1.sinks.k1.channels (x.conf line 30)",
        "did you mean a1.sinks.k1.channel?",
    ),
    (
        "a1.channels.c1.brokerList",
        "",
        "a1.channels.c1.brokerList (x.conf line 22)",
        "Broker List must be specified",
    ),
    (
        "a1.channels.c1.brokerList",
        "a1.channels.c1.brokerList = hadoop1,hadoop2:9092",
        "a1.channels.c1.brokerList (x.conf line 25)",
        "write hadoop1:9092",
    ),
    (
        "a1.channels.c1.topic",
        "a1.channels.c1.topic = a/b",
        "a1.channels.c1.topic (x.conf line 26)",
        "cannot be a topic",
    ),
    (
        "a1.channels.c1.topic",
        "a1.channels.c1.topics = x",
        "a1.channels.c1.topics (x.conf line 26)",
        "did you mean a1.channels.c1.topic?",
    ),
    (
        "",
        "a1.channels.c1.kafka.producer.type = async",
        "a1.channels.c1.kafka.producer.type (x.conf line 31)",
        "lose records",
    ),
    (
        "",
        "a1.channels.c1.kafka.request.required.acks = two",
        "a1.channels.c1.kafka.request.required.acks (x.conf line 31)",
        "acks = two is not valid",
    ),
    (
        "",
        "a1.channels.c1.kafka.producer.acks = 2",
        "a1.channels.c1.kafka.producer.acks (x.conf line 31)",
        "acks = 2 is not valid",
    ),
    (
        "",
        "a1.channels.c1.kafka.security.protocol = SSL",
        "a1.channels.c1.kafka.security.protocol (x.conf line 31)",
        "a1.channels.c1.kafka.producer.security.protocol = SSL",
    ),
    (
        "",
        "a1.channels.c1.kafka.ssl.truststore.location = /x",
        "a1.channels.c1.kafka.ssl.truststore.location (x.conf line 31)",
        "write it as Flume 1.7 has it",
    ),
    (
        "",
        "a1.channels.c1.kafka.compression.codec = lzma",
        "a1.channels.c1.kafka.compression.codec (x.conf line 31)",
        "is not known; write one of none, gzip, snappy",
    ),
    (
        "",
        "a1.channels.c1.kafka.producer.compression.type = zstd",
        "a1.channels.c1.kafka.producer.compression.type (x.conf line 31)",
        "this build cannot write zstd; write one of none, gzip, snappy",
    ),
    (
        "",
        "a1.channels.c1.keyPartitioner = md5",
        "a1.channels.c1.keyPartitioner (x.conf line 31)",
        "hashCode, murmur2",
    ),
    (
        "",
        "a1.channels.c1.defaultPartitionId = -1",
        "a1.channels.c1.defaultPartitionId (x.conf line 31)",
        "from 0 to",
    ),
    (
        "",
        "a1.source.r1.batchSize = 5",
        "a1.source.r1.batchSize (x.conf line 31)",
        "did you mean a1.sources.r1.batchSize?",
    ),
    ("", "a1.sources.R1.batchSize = 5", "a1.sources.R1 (x.conf line 31)", "letter case counts"),
    ("", "\n# c\nx = \\u12", "x.conf line 33", "Malformed \\uxxxx encoding"),
];

#[test]
fn faults_end_with_78_and_name_their_line() {
    for (key, line, place, text) in FAULTS {
        let (code, stderr) = check(changed(key, line).as_bytes());
        let error = stderr
            .lines()
            .filter(|l| l.contains(" ERROR conf.FlumeConfiguration: "))
            .find(|l| l.contains(&format!(": {place}: ")));
        assert_eq!(code, 78, "{line}: {stderr}");
        let error = error.unwrap_or_else(|| panic!("{line}: no {place} in\n{stderr}"));
        assert!(error.contains(text), "{line}: {error}");
    }
}

/// Each runs with one warning.
const WARNINGS: &[(&str, &str, &str, &str)] = &[
    (
        "a1.sinks.k1.channel",
        "",
        "a1.sinks.k1.channel (x.conf line 20)",
        "No channel configured for sink: k1",
    ),
    (
        "a1.sinks.k1.channel",
        "a1.sinks.k1.channel = c9",
        "a1.sinks.k1.channel (x.conf line 30)",
        "Channel c9 not in active set.",
    ),
    (
        "a1.channels.c1.brokerList",
        "a1.channels.c1.brokerList = h1:9092, h2:9092,",
        "a1.channels.c1.brokerList (x.conf line 25)",
        "empty entry",
    ),
    ("", "foo = bar", "foo (x.conf line 31)", "Configuration property ignored"),
    ("", "a1.bogus.x.y = 1", "a1.bogus.x.y (x.conf line 31)", "there is no list \"bogus\""),
    (
        "",
        "a1.sources.r1.fileHeaderKey =",
        "a1.sources.r1.fileHeaderKey (x.conf line 31)",
        "no value",
    ),
    ("", "a1.sources.r9.type = null", "a1.sources.r9 (x.conf line 31)", "not listed"),
    (
        "",
        "a1.sources.r1.fileHeader\\ x = ignored\na1.sources.r1.fileHeader = true",
        "a1.sources.r1.fileHeader x (x.conf line 31)",
        "unknown property",
    ),
    (
        "a1.sources.r1.spoolDir",
        "a1.sources.r1.spoolDir = \"/x\"",
        "a1.sources.r1.spoolDir (x.conf line 7)",
        "quotes are part of the value",
    ),
    (
        "",
        "a1.sinkgroups = g\na1.sinkgroups.g.processor.type = failover",
        "a1.sinkgroups.g.processor.type (x.conf line 32)",
        "failover is ignored",
    ),
    (
        "",
        "a1.channels.c1.kafka.frobnicate = 1",
        "a1.channels.c1.kafka.frobnicate (x.conf line 31)",
        "unknown property",
    ),
    (
        "",
        "a1.sources.r1.batchSize = 7",
        "a1.sources.r1.batchSize (x.conf line 31)",
        "set on line 15 and again on line 31",
    ),
];

#[test]
fn what_flume_runs_with_runs_here_with_a_warning() {
    for (key, line, place, text) in WARNINGS {
        let (code, stderr) = check(changed(key, line).as_bytes());
        assert_eq!(code, 0, "{line}: {stderr}");
        let warnings: Vec<&str> = stderr.lines().filter(|l| l.contains(" WARN ")).collect();
        assert_eq!(warnings.len(), 1, "{line}: {stderr}");
        assert!(warnings[0].contains(&format!(": {place}: ")), "{line}: {stderr}");
        assert!(warnings[0].contains(text), "{line}: {stderr}");
    }
}

#[test]
fn files_that_are_none() {
    for (conf, text) in [
        (&b""[..], "No configuration found for this host:a1; the file defines no agent"),
        (b"b1.sources = r1\n", "it configures agent b1: start with --name b1"),
        (b"a = \xff\n", "x.conf line 1: byte 5 of the line is not UTF-8"),
    ] {
        let (code, stderr) = check(conf);
        assert_eq!(code, 78, "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
    let dir = Dir::new();
    let output = dir.dry_run("a1");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    let path = dir.0.join("x.conf");
    let exception =
        "org.apache.commons.cli.ParseException: The specified configuration file does not exist: ";
    assert!(stderr.contains(&format!("{exception}{}", path.display())), "{stderr}");
    std::fs::create_dir(path).unwrap();
    assert_eq!(dir.dry_run("a1").status.code(), Some(78));
}

#[test]
fn no_command_prints_a_secret() {
    let dir = Dir::new();
    // At that broker nobody answers, at once.
    let conf = changed(
        "a1.channels.c1.brokerList",
        "a1.channels.c1.brokerList = 127.0.0.1:1\n\
                            a1.channels.c1.kafka.consumer.ssl.keystore.password = topsecret\n\
                            a1.channels.c1.kafka.producer.sasl.jaas.config = x password=\"topsecret\"\n\
                            a1.channels.c1.kafka.producer.ssl.keystore.key = topsecret\n\
                            a1.channels.c1.kafka.producer.ssl.key.password = ${env:OF_THE_TEST}",
    );
    dir.write("x.conf", conf.as_bytes());
    for args in [&["check", "-v"][..], &["check", "--json", "-v"], &["agent", "-d"], &["status"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_flume-ng"))
            .args(args)
            .args(["-f", "x.conf", "-n", "a1"])
            .current_dir(&dir.0)
            .env("OF_THE_TEST", "topsecret")
            .output()
            .unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!told.is_empty() && !told.contains("topsecret"), "{args:?}: {told}");
    }
}

#[test]
fn several_errors_are_told_at_once_and_counted() {
    let text = changed("a1.sources.r1.batchSize", "a1.sources.r1.batchSize = x")
        .replace("hadoop1:9092", "hadoop1")
        .replace("k1.type = null", "k1.type = none");
    let (code, stderr) = check(text.as_bytes());
    assert_eq!(code, 78);
    assert!(
        stderr.contains("3 errors in x.conf: the agent does not start (exit code 78)"),
        "{stderr}"
    );
}

/// `docs/properties.md` is the table of known properties. To write it anew:
/// `FLUME_NG_WRITE_DOCS=1 cargo test --test fast documentation`.
#[test]
fn the_documentation_has_every_property() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/properties.md");
    let begin = "<!-- properties: written by tests/fast/config.rs -->\n";
    let end = "<!-- end of properties -->";
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(begin).expect("the begin mark");
    let (table, tail) = rest.split_once(end).expect("the end mark");
    let expected = format!("{}\n", flume_ng::config::known::markdown());
    if std::env::var_os("FLUME_NG_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{begin}{expected}{end}{tail}")).unwrap();
    } else {
        assert!(
            table == expected,
            "docs/properties.md is out of date: FLUME_NG_WRITE_DOCS=1 cargo test --test fast documentation"
        );
    }
}

/// Complete configurations as people publish them, and the case whose topics only its lines know: each runs,
/// or is refused with the words that help. The first line of each says what comes of it.
#[test]
fn published_configurations_run_or_are_refused_in_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-1.11");
    let rows = [
        ("configs/01-taildir-kafkachannel-bare.conf", "a1", 0, ""),
        ("configs/02-exec-tail-memory-kafkasink-1.6.conf", "agent", 0, "acks = 1 would lose"),
        ("configs/03-taildir-memory-kafkasink-1.7.conf", "a1", 0, "acks = 1 would lose"),
        ("configs/04-spooldir-file-kafkasink.conf", "a1", 0, "(murmur2)"),
        ("configs/05-multiplexing-two-kafka-channels.conf", "a1", 0, ""),
        ("configs/06-failover-two-kafka-sinks.conf", "a1", 0, "taken for one cluster"),
        ("configs/07-environment.conf", "agent1", 78, "${env:LOG_DIR} is not set"),
        ("configs/08-wrong-spellings-in-the-manual.conf", "a1", 0, "did you mean flumeBatchSize?"),
        ("configs/09-typing-errors.conf", "a1", 78, "did you mean a1.sources.r1?"),
        ("configs/10-key-and-topic-from-the-line.conf", "a1", 0, "chooses topics in channel c1"),
        ("configs/11-replicating-bare-and-avro.conf", "a1", 0, ""),
        ("configs/12-sasl-scram-over-tls.conf", "a1", 0, ""),
        ("S08-header-in-topic-name/conf.tmpl", "a1", 0, "each is opened when an event"),
    ];
    for (name, agent, code, words) in rows {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let text = text.replace("@DIR@", "/x").replace("@BROKERS@", "h:1");
        let text = text.replace("@PRE@", "p-").replace("@SUF@", "-s");
        let dir = Dir::new();
        let output = dir.write("x.conf", text.as_bytes()).dry_run(agent);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {told}");
        assert!(told.contains(words), "{name}: {told}");
        let first = text.lines().next().unwrap_or_default();
        if first.ends_with("no warnings.") {
            // What raises acks to all is told all the same.
            let is_one = |l: &str| l.contains(" WARN ") && !l.contains("acks = 1 would lose");
            assert!(!told.lines().any(is_one), "{name}: {told}");
        }
    }
}
