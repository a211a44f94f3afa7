//! What each line of a configuration means, or why it is refused.

mod interceptors;
mod sinks;
mod spooldir;
mod taildir;

use std::path::Path;

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::files::ConfFiles;
use super::model::{
    Compression, ConsumeOrder, DeletePolicy, InterceptorConfig, OnBadCheckpoint, OnNoCheckpoint,
    PartitionBy, Selector, SinkKind, ValueFormat,
};
use super::{Loaded, load_with, parse, setting};

/// Ten lines that run; tests add lines behind them, or take some out.
const BASE: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = spooltail
a1.sources.r1.spoolDir = /logs/
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.brokerList = h1:9092,h2:9093
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
";

fn load(text: &str) -> Loaded {
    match parse(text.as_bytes(), "a1", &setting(&[]), false, Diagnostics::new("x.conf")) {
        Ok(loaded) => loaded,
        Err(findings) => panic!("{findings:#?}"),
    }
}

/// What is said about a text that runs, of warnings and errors.
fn warnings(text: &str) -> Vec<String> {
    let findings = load(text).findings.into_iter().filter(|d| d.severity == Severity::Warning);
    findings.map(|d| d.to_string()).collect()
}

fn errors(text: &str) -> Vec<String> {
    match parse(text.as_bytes(), "a1", &setting(&[]), false, Diagnostics::new("x.conf")) {
        Ok(loaded) => panic!("accepted: {loaded:#?}"),
        Err(findings) => findings
            .into_iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| d.to_string())
            .collect(),
    }
}

fn with(line: &str) -> String {
    format!("{BASE}{line}\n")
}

fn without(start: &str) -> String {
    let kept = BASE.lines().filter(|line| !line.starts_with(start));
    kept.map(|line| format!("{line}\n")).collect()
}

#[test]
fn defaults() {
    let config = load(BASE).config;
    let source = &config.sources[0];
    assert_eq!(source.spool_dir_text, "/logs/");
    assert_eq!(source.tracker_dir.to_str(), Some("/logs/.flumespooltail"));
    assert_eq!(source.file_suffix, ".COMPLETED");
    assert_eq!(source.delete_policy, DeletePolicy::Never);
    assert_eq!(source.consume_order, ConsumeOrder::Oldest);
    assert_eq!((source.batch_size, source.max_line_units), (100, 2048));
    assert_eq!((source.backoff_ms_max, source.retire_grace_ms), (4000, 60_000));
    assert_eq!(source.on_bad_checkpoint, OnBadCheckpoint::Fail);
    assert_eq!(source.on_no_checkpoint, OnNoCheckpoint::Beginning);
    assert_eq!((&source.file_header, &source.basename_header), (&None, &None));
    assert_eq!(source.destinations, [0]);
    let channel = &config.destinations[0];
    assert_eq!(channel.brokers, ["h1:9092", "h2:9093"]);
    assert_eq!(channel.topic, "flume-channel");
    assert_eq!((channel.value_format, channel.compression), (ValueFormat::Avro, Compression::None));
    assert_eq!((channel.partition_by, channel.default_partition), (PartitionBy::Transaction, None));
    assert_eq!((channel.client_id.as_str(), channel.request_timeout_ms), ("a1", 10_000));
    assert_eq!(config.sinks[0].kind, SinkKind::Null { batch_size: 100, log_every: 10_000 });
}

#[test]
fn values_in_any_letter_case() {
    let text = format!(
        "{BASE}a1.sources.r1.deletePolicy = IMMEDIATE\na1.sources.r1.consumeOrder = Youngest
a1.sources.r1.onBadCheckpoint = End\na1.sources.r1.onNoCheckpoint = topic
a1.channels.c1.partitionBy = FILE
a1.sources.r1.fileHeader = TRUE\na1.sources.r1.fileHeaderKey = path\na1.sources.r1.batchSize = +7
a1.channels.c1.kafka.compression.codec = 2\na1.sources.r1.trackerDir = /var/t\n"
    );
    let config = load(&text).config;
    let source = &config.sources[0];
    assert_eq!(source.delete_policy, DeletePolicy::Immediate);
    assert_eq!(source.consume_order, ConsumeOrder::Youngest);
    assert_eq!(source.on_bad_checkpoint, OnBadCheckpoint::End);
    assert_eq!(source.on_no_checkpoint, OnNoCheckpoint::Topic);
    assert_eq!(source.file_header.as_deref(), Some("path"));
    assert_eq!(source.batch_size, 7);
    assert_eq!(source.tracker_dir.to_str(), Some("/var/t"));
    assert_eq!(config.destinations[0].partition_by, PartitionBy::File);
    assert_eq!(config.destinations[0].compression, Compression::Snappy);
}

#[test]
fn names_of_1_7() {
    let text = without("a1.channels.c1.brokerList")
        + "a1.channels.c1.kafka.bootstrap.servers = h3:1\na1.channels.c1.kafka.topic = t\n\
           a1.channels.c1.parseAsFlumeEvent = false\na1.channels.c1.defaultPartitionId = 2\n\
           a1.channels.c1.kafka.producer.compression.type = gzip\n\
           a1.channels.c1.kafka.consumer.group.id = g\n";
    let loaded = load(&text);
    let channel = &loaded.config.destinations[0];
    assert_eq!(
        (channel.brokers.as_slice(), channel.topic.as_str()),
        (&["h3:1".to_string()][..], "t")
    );
    assert_eq!(channel.value_format, ValueFormat::Bare);
    assert_eq!((channel.default_partition, channel.compression), (Some(2), Compression::Gzip));
    let infos: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
    assert!(
        infos.iter().any(|i| i.ends_with("channel c1 uses property names of Flume 1.7 and later"))
    );
    assert!(
        infos
            .iter()
            .any(|i| i.contains("without meaning here: a1.channels.c1.kafka.consumer.group.id"))
    );
}

#[test]
fn the_newer_name_wins() {
    let text = with("a1.channels.c1.kafka.bootstrap.servers = n:1");
    assert_eq!(load(&text).config.destinations[0].brokers, ["n:1"]);
    let expected = "a1.channels.c1.brokerList (x.conf line 8): a1.channels.c1.kafka.bootstrap.servers \
                    (line 11) says otherwise and wins; remove this one";
    assert_eq!(warnings(&text), [expected]);
}

#[test]
fn bare_values_need_a_name_of_1_7() {
    let text = with("a1.channels.c1.parseAsFlumeEvent = false");
    assert_eq!(load(&text).config.destinations[0].value_format, ValueFormat::Avro);
    assert!(warnings(&text)[0].contains("Flume 1.6 writes Avro"));
}

#[test]
fn interceptors_in_their_order() {
    let text = with(
        "a1.sources.r1.interceptors = i2 i1 i3 i4\na1.sources.r1.interceptors.i1.type = STATIC
a1.sources.r1.interceptors.i1.value = v\na1.sources.r1.interceptors.i2.type = regex_filter
a1.sources.r1.interceptors.i2.regex = ^D\na1.sources.r1.interceptors.i2.excludeEvents = true
a1.sources.r1.interceptors.i3.type = org.apache.flume.interceptor.HostInterceptor$Builder
a1.sources.r1.interceptors.i4.type = timestamp",
    );
    let config = load(&text).config;
    let chain = &config.sources[0].interceptors;
    assert!(matches!(&chain[0], InterceptorConfig::RegexFilter { exclude_events: true, .. }));
    assert!(
        matches!(&chain[1], InterceptorConfig::Static { key, value, preserve_existing: true } if key == "key" && value == "v")
    );
    assert!(matches!(&chain[2], InterceptorConfig::Host { use_ip: true, .. }));
    assert!(matches!(&chain[3], InterceptorConfig::Timestamp { preserve_existing: false, .. }));
}

#[test]
fn all_errors_are_told_with_their_lines() {
    let text = with(
        "a1.sources.r1.batchSize = ten\na1.sources.r1.targetFilename = yyyyQ
a1.sources.r1.decodeErrorPolicy = SKIP\na1.sources.r1.ignorePattern = (",
    );
    let errors = errors(&text);
    assert_eq!(
        errors[0],
        "a1.sources.r1.batchSize (x.conf line 11): \"ten\" is not a whole number; write one such as 100"
    );
    assert!(errors[1].starts_with("a1.sources.r1.targetFilename (x.conf line 12): "), "{errors:?}");
    assert!(errors[2].starts_with("a1.sources.r1.decodeErrorPolicy (x.conf line 13): "));
    assert!(errors[3].starts_with("a1.sources.r1.ignorePattern (x.conf line 14): "));
    assert_eq!(errors.len(), 4);
}

#[test]
fn unknown_names() {
    let near = &errors(&with("a1.sources.r1.batchsize = 5"))[0];
    assert!(near.contains("did you mean a1.sources.r1.batchSize?"), "{near}");
    let set = warnings(&with("a1.sources.r1.batchSize = 5\na1.sources.r1.batchSiez = 6"));
    assert!(set[0].contains("line 12") && set[0].contains("did you mean"), "{set:?}");
    let far = warnings(&with("a1.sources.r1.bufferMaxLines = 5"));
    assert_eq!(far, ["a1.sources.r1.bufferMaxLines (x.conf line 11): unknown property, ignored"]);
    let list = &errors(&with("a1.source.r1.batchSize = 5"))[0];
    assert!(list.contains("did you mean a1.sources.r1.batchSize?"), "{list}");
    let agent = warnings(&with("A1.sources.r1.batchSize = 5"));
    assert!(agent[0].contains("did you mean a1.sources.r1.batchSize?"), "{agent:?}");
    let component = &errors(&with("a1.sources.R1.batchSize = 5"))[0];
    assert!(component.contains("letter case counts"), "{component}");
}

/// One fault was told in two or three lines, that of a consequence first.
#[test]
fn a_property_that_is_misspelt_is_told_alone() {
    let servers = without("a1.channels.c1.brokerList")
        + "a1.channels.c1.kafka.bootstrap.server = h:1\na1.channels.c1.kafka.topic = t\n";
    let disagree = with("a1.sources.r1.targetFilename = yyyy-MM\na1.sources.r1.targetPatern = .*");
    let sink = BASE.replace("k1.channel = c1", "k1.channels = c1");
    let filegroup = "a1.sources.r1.filegroup = f1\na1.sources.r1.filegroups.f1 = /logs/.*\n";
    let taildir = without("a1.sources.r1.spoolDir").replace("spooltail", "TAILDIR") + filegroup;
    for (text, wrong, meant) in [
        (servers, "c1.kafka.bootstrap.server", "c1.kafka.bootstrap.servers"),
        (BASE.replace("brokerList", "brokersList"), "c1.brokersList", "c1.brokerList"),
        (BASE.replace("r1.channels", "r1.channel"), "r1.channel", "r1.channels"),
        (BASE.replace("r1.spoolDir", "r1.spoolDirr"), "r1.spoolDirr", "r1.spoolDir"),
        (disagree, "r1.targetPatern", "r1.targetPattern"),
        (sink, "k1.channels", "k1.channel"),
        (taildir, "r1.filegroup", "r1.filegroups"),
    ] {
        let told = match parse(text.as_bytes(), "a1", &setting(&[]), false, Diagnostics::new("x")) {
            Ok(_) => panic!("accepted: {text}"),
            Err(findings) => findings.into_iter().filter(|d| d.severity > Severity::Info),
        };
        let told: Vec<String> = told.map(|d| d.to_string()).collect();
        let [only] = told.as_slice() else { panic!("{wrong}: {told:#?}") };
        assert!(only.contains(&format!(".{wrong} (")), "{only}");
        assert!(only.contains(&format!(".{meant}? ")), "{only}");
    }
    // In the words of the version whose names are there.
    let none = without("a1.channels.c1.brokerList") + "a1.channels.c1.kafka.topic = t\n";
    assert!(
        errors(&none)[0]
            .ends_with("write a1.channels.c1.kafka.bootstrap.servers = host1:9092,host2:9092")
    );
}

#[test]
fn the_way_out_of_a_compression_names_all_that_this_build_writes() {
    let told = errors(&with("a1.channels.c1.kafka.compression.codec = lzma"));
    let lz4 = if cfg!(feature = "lz4") { ", lz4" } else { "" };
    let zstd = if cfg!(feature = "zstd") { ", zstd" } else { "" };
    let all = format!("\"lzma\" is not known; write one of none, gzip, snappy{lz4}{zstd}");
    assert!(told[0].ends_with(&all), "{told:?}");
}

#[test]
fn a_type_that_is_misspelt_is_told_with_what_was_meant() {
    let kafka = "org.apache.flume.channel.kafka.KafkaChannel";
    let filter = "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = ";
    for (text, way_out) in [
        (BASE.replace("spooltail", "spooltial"), "spooltial; did you mean spooltail?".to_owned()),
        (BASE.replace("spooltail", "TailDirr"), "TailDirr; did you mean TAILDIR?".to_owned()),
        (
            BASE.replace(kafka, "KafkaChanel"),
            format!("Unable to load channel type: KafkaChanel; did you mean {kafka}?"),
        ),
        (BASE.replace("= null", "= nul"), "nul; did you mean null?".to_owned()),
        (with(&format!("{filter}regexfilter")), "did you mean regex_filter?".to_owned()),
        (with(&format!("{filter}com.example.Mine$Builder")), "json_filter".to_owned()),
    ] {
        let told = errors(&text);
        assert!(told[0].ends_with(&way_out), "{told:#?}");
    }
}

#[test]
fn other_agents_are_left_alone() {
    let text = with("b1.sources = r9\nb1.sources.r9.type = nonsense\nb1.bogus.x = 1");
    assert!(warnings(&text).is_empty());
    let idle =
        parse(BASE.as_bytes(), "b1", &setting(&[]), false, Diagnostics::new("x.conf")).unwrap_err();
    assert_eq!(
        idle[0].to_string(),
        "x.conf: No configuration found for this host:b1; it configures agent a1: start with --name a1"
    );
}

#[test]
fn duplicates_and_booleans_are_warned_about() {
    let text = with("a1.sources.r1.spoolDir = /other\na1.sources.r1.fileHeader = yes");
    assert_eq!(load(&text).config.sources[0].spool_dir_text, "/other");
    let warnings = warnings(&text);
    assert!(warnings[0].contains("set on line 5 and again on line 11"), "{warnings:?}");
    assert!(warnings[1].contains("\"yes\" is taken as false"), "{warnings:?}");
}

#[test]
fn unused_components_are_left_out() {
    let text = BASE.replace("a1.channels = c1", "a1.channels = c2 c1")
        + "a1.channels.c2.type = org.apache.flume.channel.kafka.KafkaChannel\n";
    let loaded = load(&text);
    assert_eq!(loaded.config.destinations.len(), 1);
    assert_eq!(loaded.config.sources[0].destinations, [0]);
    assert!(
        warnings(&text)[0].contains("Channel c2 has no components connected and has been removed.")
    );
    let config = load(&BASE.replace("k1.channel = c1", "k1.channel = c9")).config;
    assert!(config.sinks.is_empty());
}

#[test]
fn trackers_are_not_shared() {
    let text = with(
        "a1.sources = r1 r2\na1.sources.r2.type = spooltail\na1.sources.r2.channels = c1
a1.sources.r2.spoolDir = /logs/../logs",
    );
    let errors = errors(&text);
    assert!(errors[0].starts_with("a1.sources.r2.trackerDir (x.conf line 14): "), "{errors:?}");
    assert!(errors[0].contains("also that of source r1 (line 5); give each its own trackerDir"));
    load(&(text + "a1.sources.r2.spoolDir = /others\n"));
}

/// A file that two sources take would be renamed by one under the hands of the other.
#[test]
fn files_are_not_shared() {
    let second = "a1.sources = r1 r2\na1.sources.r2.type = spooltail\na1.sources.r2.channels = c1
a1.sources.r2.spoolDir = /logs/../logs\na1.sources.r2.trackerDir = .second\n";
    let patterns = |one: &str, two: &str, more: &str| {
        with(&format!(
            "{second}a1.sources.r1.targetPattern = {one}\na1.sources.r2.targetPattern = {two}\n{more}"
        ))
    };
    let shared = "a1.sources.r1.sharedSpoolDir = true\na1.sources.r2.sharedSpoolDir = true\n";
    let found = errors(&with(second));
    assert!(found[0].starts_with("a1.sources.r2.spoolDir (x.conf line 14): "), "{found:?}");
    assert!(found[0].contains("also that of source r1 (line 5), and both take "), "{found:?}");
    assert_eq!(errors(&(with(second) + shared)).len(), 1, "a name is known that both take");
    // Told apart by how they begin, how they end, or by what one leaves out.
    for (one, two) in [("app-.*", "sys-.*"), (".*\\\\.log", ".*\\\\.txt"), ("a.*", "b.*")] {
        load(&patterns(one, two, ""));
    }
    load(&patterns("app-.*", ".*", "a1.sources.r2.ignorePattern = app-.*\n"));
    // Nobody knows.
    let unknown = patterns("x[a-f]+", "[e-k]+9", "");
    assert!(errors(&unknown)[0].contains("sharedSpoolDir = true for both"), "{unknown}");
    load(&(unknown + shared));
}

/// All lines of it were sent a second time.
#[test]
fn what_one_source_has_finished_is_not_new_to_the_other() {
    let two = |lines: &[&str]| {
        let second = "a1.sources = r1 r2\na1.sources.r2.type = spooltail\na1.sources.r2.channels = c1\n\
                      a1.sources.r2.spoolDir = /logs\na1.sources.r2.trackerDir = .second\n";
        let lines = lines.iter().map(|line| format!("a1.sources.{line}\n"));
        with(&(second.to_owned() + &lines.collect::<String>()))
    };
    let errors_of = ["r1.targetPattern = ^.*\\\\.err$", "r2.targetPattern = .*"];
    let left_out = [&errors_of[..], &["r2.ignorePattern = ^.*\\\\.err$"]].concat();
    let and = |more: &[&'static str]| [&left_out[..], more].concat();
    let other_suffix = "r2.fileSuffix = .DONE";
    let found = errors(&two(&and(&[other_suffix])));
    assert!(
        found[0].contains("one takes 1.err.COMPLETED, which the other has finished"),
        "{found:?}"
    );
    let shared = ["r1.sharedSpoolDir = true", "r2.sharedSpoolDir = true", other_suffix];
    assert_eq!(errors(&two(&and(&shared))).len(), 1, "a name is known");
    // By a suffix that both leave alone, or since it has no other name, or is left out under that, too.
    load(&two(&left_out));
    load(&two(&and(&["r1.fileSuffix = .err.DONE", other_suffix])));
    load(&two(&and(&["r1.deletePolicy = immediate", other_suffix])));
    let prefix = ["r1.targetPattern = app-.*", "r2.targetPattern = .*", other_suffix];
    load(&two(&[&prefix[..], &["r2.ignorePattern = app-.*"]].concat()));
    // What is left out by one may be the other's with what the one puts behind it.
    let odd = [&prefix[..], &["r2.ignorePattern = app-.*", "r2.fileSuffix = -.app-"]].concat();
    assert!(errors(&two(&odd))[0].contains("or those of finished files"), "{odd:?}");
    // The same with more letters behind it, and as a part of what is left out.
    let whole = ["r1.targetPattern = .*\\\\.err", "r2.targetPattern = .*", other_suffix];
    load(&two(&[&whole[..], &["r2.ignorePattern = .*\\\\.tmp|.*\\\\.err.*"]].concat()));
    let found = errors(&two(&[&whole[..], &["r2.ignorePattern = .*\\\\.tmp|.*\\\\.err"]].concat()));
    assert!(found[0].contains("one takes 1.err.COMPLETED"), "{found:?}");
    // Told apart by their ends, with and without the suffixes.
    let logs = ["r1.targetPattern = .*\\\\.log", "r2.targetPattern = .*\\\\.txt", other_suffix];
    load(&two(&logs));
    let done = [&logs[..], &["r1.fileSuffix = .txt"]].concat();
    assert!(errors(&two(&done))[0].contains(".log.txt, which the other has finished"), "{done:?}");
    // Where there is such a name, the next one has a number behind it.
    let numbered = |pattern: &'static str| {
        vec!["r1.targetPattern = .*\\\\.err", "r1.fileSuffix = .DONE", pattern]
    };
    let one = numbered("r2.targetPattern = .*\\\\.1");
    let found = errors(&two(&one));
    assert!(found[0].contains("takes 1.err.DONE.1, which the other has finished"), "{found:?}");
    load(&two(&[&one[..], &[other_suffix]].concat()));
    let found = errors(&two(&numbered("r2.targetPattern = .*E\\\\.17")));
    assert!(found[0].contains("or those of finished files"), "{found:?}");
    load(&two(&numbered("r2.targetPattern = .*D\\\\.17")));
    load(&two(&numbered("r2.targetPattern = .*-17")));
}

/// It is the other's only by its suffix, or by the number behind that: digits are no letters of either.
#[test]
fn a_source_for_all_but_dated_names_may_have_its_own_suffix() {
    let two = |ignored: &str, suffix: &str, more: &str| {
        with(&format!(
            "a1.sources = r1 r2\na1.sources.r2.type = spooltail\na1.sources.r2.channels = c1\n\
             a1.sources.r2.spoolDir = /logs\na1.sources.r2.trackerDir = .second\n\
             a1.sources.r2.targetPattern = .*\na1.sources.r2.ignorePattern = {ignored}\n\
             a1.sources.r2.fileSuffix = {suffix}\n{more}"
        ))
    };
    let dates = ".*(\\\\d){4}-(\\\\d){2}-(\\\\d){2}.*";
    let hours = ".*(\\\\d){10}.*";
    let of_hours = format!("a1.sources.r1.targetPattern = {hours}\n");
    load(&two(dates, ".DONE", ""));
    load(&two(&format!("^$|{dates}"), ".DONE", ""));
    load(&two(hours, ".DONE", &of_hours));
    // 1 and 234567890 are ten digits.
    let found = errors(&two(hours, "234567890", &of_hours));
    assert!(found[0].contains("234567890, which the other has finished"), "{found:?}");
    // A number has nine at most.
    let nine = ".*(\\\\d){9}.*";
    let found = errors(&two(nine, ".DONE", &format!("a1.sources.r1.targetPattern = {nine}\n")));
    assert!(found[0].contains("or those of finished files"), "{found:?}");
}

#[test]
fn names_that_can_not_agree_are_warned_about() {
    let agreeing = "a1.sources.r1.targetFilename = yyyyMMddHH\na1.sources.r1.targetPattern = ";
    let warned = warnings(&with(&format!("{agreeing}.*(\\\\d){{4}}-(\\\\d){{2}}.*")));
    assert!(warned[0].contains("make the two select the same files"), "{warned:?}");
    assert!(warnings(&with(&format!("{agreeing}.*(\\\\d){{10}}.*"))).is_empty());
    assert!(warnings(&with(&format!("{agreeing}[0-9]+\\\\.log"))).is_empty());
    assert!(warnings(BASE).is_empty());
}

#[test]
fn a_backslash_that_vanishes_is_warned_about() {
    let pattern = r"a1.sources.r1.targetPattern = .*(\d){4}.*";
    let warned = warnings(&with(pattern));
    assert!(
        warned[0].contains(r"double the backslash") && warned[0].contains(r"write \\d"),
        "{warned:?}"
    );
    let regex =
        "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = regex_filter\n";
    let warned = warnings(&with(&format!(r"{regex}a1.sources.r1.interceptors.i1.regex = \w+")));
    assert!(warned[0].contains(r"write \\w"), "{warned:?}");
}

#[test]
fn letters_of_other_date_patterns_are_warned_about() {
    let written = |pattern: &str| {
        let names = "a1.sources.r1.targetPattern = .*\na1.sources.r1.targetFilename = ";
        warnings(&with(&format!("{names}{pattern}")))
    };
    for (pattern, words) in [
        ("YYYYMMDDHH", &["Y is the year of the week", "D is the day of the year"][..]),
        ("yyyymmddHH", &["m is the minute"]),
        ("yyyyMMddhh", &["h is the hour from 1 to 12"]),
        ("yyyyMMddHHmm", &[]),
        ("yyyy-MM-dd'T'hh a", &[]),
    ] {
        let warned = written(pattern);
        assert_eq!(warned.len(), words.len(), "{warned:?}");
        assert!(
            warned.iter().zip(words).all(|(warned, words)| warned.contains(words)),
            "{warned:?}"
        );
    }
}

#[test]
fn what_another_source_calls_it_is_known() {
    let text = with("").replace("a1.sources.r1.spoolDir ", "a1.sources.r1.spoolDirectory ");
    let text = text.replace("a1.sources.r1.spoolDir=", "a1.sources.r1.spoolDirectory=");
    let told = errors(&text);
    assert!(told.iter().any(|e| e.contains("did you mean a1.sources.r1.spoolDir?")), "{told:?}");
    // Flume passes over it, and so do we.
    let told = warnings(&with("a1.sources.r1.includePattern = x"));
    assert!(told[0].contains("did you mean a1.sources.r1.targetPattern?"), "{told:?}");
}

#[test]
fn backoff_under_both_names() {
    for (lines, ms) in [
        ("a1.sources.r1.maxBackoff = 900", 900),
        ("a1.sources.r1.msxBackoff = 800", 800),
        ("a1.sources.r1.maxBackoff = 900\na1.sources.r1.msxBackoff = 800", 800),
        ("a1.sources.r1.maxBackoff = 10", 250),
    ] {
        assert_eq!(load(&with(lines)).config.sources[0].backoff_ms_max, ms, "{lines}");
    }
}

#[test]
fn the_tree_names_what_matters() {
    let tree = load(BASE).config.to_string();
    for text in
        ["source r1", "/logs/", "channel c1", "flume-channel", "h1:9092 h2:9093", "sink k1: null"]
    {
        assert!(tree.contains(text), "{tree}");
    }
}

#[test]
fn a_byte_order_mark_is_told() {
    let loaded = load(&format!("\u{feff}{BASE}"));
    assert!(loaded.findings[0].message.contains("byte order mark"));
}

#[test]
fn a_client_id_that_no_request_can_hold_is_refused() {
    let line = |length: usize| format!("a1.channels.c1.kafka.client.id = {}", "x".repeat(length));
    assert_eq!(load(&with(&line(32_767))).config.destinations[0].client_id.len(), 32_767);
    let found = errors(&with(&line(32_768)));
    assert!(
        found.len() == 1 && found[0].contains("a name of 32768 bytes is too long"),
        "{found:?}"
    );
}

#[test]
fn a_file_without_an_end_is_refused() {
    let found = super::load(Path::new("/dev/zero"), "a1").unwrap_err();
    assert!(found[0].message.starts_with("it has more than 16777216 bytes"), "{found:?}");
}

#[test]
fn values_refer_to_the_environment_and_to_system_properties() {
    let system = [("logs.topic".to_string(), "app".to_string())];
    let text = with("a1.channels.c1.topic = ${sys:logs.topic}-${env:FLUME_NG_NOT_SET:-dev}");
    let found = Diagnostics::new("x.conf");
    let loaded = parse(text.as_bytes(), "a1", &setting(&system), false, found).unwrap();
    assert_eq!(loaded.config.destinations[0].topic, "app-dev");
    let told = errors(&with("a1.channels.c1.topic = ${env:FLUME_NG_NOT_SET}"));
    assert!(told[0].contains("${env:FLUME_NG_NOT_SET} is not set; set it"), "{told:?}");
}

#[test]
fn a_filter_gives_values_and_is_no_component() {
    let filter = "a1.configfilters = f1\na1.configfilters.f1.type = external\n\
                  a1.configfilters.f1.command = printf %s\n\
                  a1.channels.c1.topic = ${f1['of-mine']}\n";
    let loaded = load(&with(filter));
    assert_eq!(loaded.config.destinations[0].topic, "of-mine");
    assert!(warnings(&with(filter)).is_empty());
    let unknown = filter.replace("external", "hadoop");
    let told = errors(&with(&unknown));
    assert!(told[0].contains("\"hadoop\" is not supported; write env or external"), "{told:?}");
}

#[test]
fn a_secret_that_everybody_may_read_is_told_and_never_shown() {
    let text = with("a1.channels.c1.kafka.consumer.ssl.keystore.password = topsecret");
    let found = Diagnostics::new("x.conf");
    let loaded = parse(text.as_bytes(), "a1", &setting(&[]), true, found).unwrap();
    let told: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|t| t.contains("chmod o-r the file")), "{told:?}");
    assert!(told.iter().all(|t| !t.contains("topsecret")), "{told:?}");
}

#[test]
fn of_several_files_the_later_one_wins_and_each_counts_its_own_lines() {
    let dir = std::env::temp_dir().join(format!("flume-ng-files-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (base, own) = (dir.join("base.conf"), dir.join("own.conf"));
    // Without a newline at its end.
    std::fs::write(&base, BASE.trim_end()).unwrap();
    std::fs::write(&own, "# ours\na1.sources.r1.batchSize = 7\n").unwrap();
    let mut files = ConfFiles::from(&base);
    files.push(own.clone());
    let loaded = load_with(&files, "a1", &[]).unwrap();
    assert_eq!(loaded.config.sources[0].batch_size, 7);
    let is_about = |d: &&Diagnostic| d.message.contains("the last one wins");
    assert_eq!(loaded.findings.iter().find(is_about), None);
    std::fs::write(&own, "# ours\na1.sources.r1.batchSize = x\n").unwrap();
    let findings = load_with(&files, "a1", &[]).unwrap_err();
    std::fs::remove_dir_all(&dir).unwrap();
    let error = findings.iter().find(|d| d.severity == Severity::Error).unwrap();
    let place = format!("a1.sources.r1.batchSize ({} line 2)", own.display());
    assert!(error.to_string().starts_with(&place), "{error}");
}
