//! What each line of a `TAILDIR` or `exec` source means, or why it is refused.

use super::*;
use crate::config::model::{AgentConfig, FirstByte, TailConfig};

/// Two groups of files in two directories.
const TAILDIR: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = taildir
a1.sources.r1.positionFile = /state/pos.json
a1.sources.r1.filegroups = f1 f2
a1.sources.r1.filegroups.f1 = /logs/web/access\\\\.log
a1.sources.r1.filegroups.f2 = /logs/db/.*\\\\.log
a1.sources.r1.headers.f1.kind = web
a1.sources.r1.channels = c1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = h1:9092
";

/// Does one of these lines say so?
fn has(findings: &[String], words: &str) -> bool {
    findings.iter().any(|finding| finding.contains(words))
}

fn tail(config: &AgentConfig) -> &TailConfig {
    config.sources[0].kind.tail().expect("a TAILDIR source")
}

fn taildir(line: &str) -> String {
    format!("{TAILDIR}{line}\n")
}

fn taildir_without(start: &str) -> String {
    let kept = TAILDIR.lines().filter(|line| !line.starts_with(start));
    kept.map(|line| format!("{line}\n")).collect()
}

#[test]
fn defaults() {
    let config = load(TAILDIR).config;
    let source = &config.sources[0];
    assert_eq!(source.spool_dir, Path::new("/logs"));
    assert_eq!(source.tracker_dir, Path::new("/state/pos.json.d"));
    assert_eq!((source.batch_size, source.retire_grace_ms), (100, 60_000));
    let tail = tail(&config);
    assert_eq!(tail.begin, FirstByte::Beginning);
    assert_eq!((tail.position_interval_ms, tail.byte_offset_header), (3_000, false));
    let group = |name: &str| tail.groups.iter().find(|g| g.name == name).unwrap();
    assert_eq!((group("f1").place.to_str(), group("f2").place.to_str()), (Some("web"), Some("db")));
    assert_eq!(group("f1").headers, [("kind".to_owned(), "web".to_owned())]);
    assert!(group("f2").pattern.full_match(b"x.log").unwrap());
    assert_eq!(warnings(TAILDIR), Vec::<String>::new());
}

#[test]
fn faults_are_refused_with_their_lines() {
    for (text, expected) in [
        (taildir_without("a1.sources.r1.filegroups = "), "Missing param: filegroups"),
        (
            taildir_without("a1.sources.r1.filegroups.f"),
            "Mapping for tailing files is empty or invalid",
        ),
        (taildir("a1.sources.r1.filegroups.f1 = access.log"), "has no directory"),
        (taildir("a1.sources.r1.filegroups.f1 = /logs/*.log"), "x.conf line 12"),
        (taildir("a1.sources.r1.headers.f1 = x"), "a header needs a key"),
        (taildir("a1.sources.r1.batchSize = ten"), "not a whole number"),
        (taildir("a1.sources.r1.batchSize = 0"), "out of range"),
        (taildir("a1.sources.r1.trackerDir = /x"), "set positionFile"),
        (taildir("a1.sources.r1.deserializer.maxLineLength = 1"), "as they are"),
        (taildir("a1.sources.r1.selector.optional = c9"), "Selector channel not found"),
    ] {
        let errors = errors(&text);
        assert!(has(&errors, expected), "{expected}: {errors:#?}");
    }
}

#[test]
fn slips_that_flume_passes_over_are_warnings() {
    for (text, expected) in [
        (taildir_without("a1.sources.r1.filegroups.f2"), "group f2 has no pattern"),
        (taildir("a1.sources.r1.maxBatchCount = 0"), "Invalid maxBatchCount"),
        (taildir("a1.sources.r1.batchsize = 1"), "did you mean a1.sources.r1.batchSize"),
        (taildir("a1.sources.r1.skipToEnd = yes"), "taken as false"),
        (taildir("a1.sources.r1.filegroups.f3 = /x/y"), "not listed"),
        (taildir("a1.sources.r1.headers.f3.k = v"), "not listed"),
        (taildir("a1.sources.r1.positionFile = pos.json"), "has no directory"),
        (taildir("a1.sources.r1.filegroups.f1 = /logs/a\\.log"), "double the backslash"),
    ] {
        let warnings = warnings(&text);
        assert!(has(&warnings, expected), "{expected}: {warnings:#?}");
    }
}

#[test]
fn two_sources_that_would_read_the_same_file_are_refused() {
    let second = |pattern: &str, more: &str| {
        format!(
            "{}a1.sources = r1 r2\na1.sources.r2.type = TAILDIR\na1.sources.r2.positionFile = /state/2\n\
             a1.sources.r2.filegroups = g\na1.sources.r2.filegroups.g = {pattern}\n\
             a1.sources.r2.channels = c1\n{more}",
            taildir_without("a1.sources = ")
        )
    };
    load(&second("/logs/web/error\\\\.log", ""));
    load(&second("/logs/other/.*", ""));
    assert!(has(&errors(&second("/logs/web/.*", "")), "both take access.log"));
    assert!(has(&errors(&second("/logs/db/.*r.*", "")), "may match the same names"));
    let shared = "a1.sources.r1.sharedSpoolDir = true\na1.sources.r2.sharedSpoolDir = true\n";
    load(&second("/logs/db/.*r\\\\d", shared));
    let same_state = second("/logs/x/.*", "a1.sources.r2.positionFile = /state/pos.json\n");
    assert!(has(&errors(&same_state), "is also the position file of source r1 (line "));
}

/// They were told to set trackerDir, which is refused for this kind of source.
#[test]
fn two_sources_with_the_default_position_file_are_told_to_set_one() {
    let second = "a1.sources = r1 r2\na1.sources.r2.type = TAILDIR\na1.sources.r2.filegroups = g\n\
                  a1.sources.r2.filegroups.g = /elsewhere/.*\na1.sources.r2.channels = c1\n";
    let one = taildir_without("a1.sources = ");
    let kept = one.lines().filter(|line| !line.contains(".positionFile"));
    let text = kept.map(|line| format!("{line}\n")).collect::<String>() + second;
    let found = errors(&text);
    let [only] = found.as_slice() else { panic!("{found:#?}") };
    assert!(only.starts_with("a1.sources.r2.positionFile ("), "{only}");
    assert!(only.contains("sources r1 and r2 both use the default, /"), "{only}");
    assert!(only.ends_with("; set a1.sources.r2.positionFile"), "{only}");
    load(&(text + "a1.sources.r2.positionFile = /state/2.json\n"));
}

/// Two sources that Flume runs side by side: the file that a command names is no name of the pattern.
#[test]
fn a_file_that_a_command_names_is_another_sources_only_where_its_pattern_matches() {
    let beside = |pattern: &str, file: &str| {
        let exec = format!(
            "a1.sources = r1 r2\na1.sources.r2.type = exec\na1.sources.r2.trackerDir = /state/2\n\
             a1.sources.r2.command = tail -F {file}\na1.sources.r2.channels = c1\n"
        );
        let one = taildir_without("a1.sources.r1.filegroups").replace("a1.sources = r1\n", "");
        let group = "a1.sources.r1.filegroups = f2\na1.sources.r1.filegroups.f2 = ";
        format!("{one}{group}{pattern}\n{exec}")
    };
    load(&beside("/logs/.*log.*", "/logs/secure"));
    load(&beside("/logs/s[a-f]+.*", "/elsewhere/secure"));
    let found = errors(&beside("/logs/s[a-f]+.*", "/logs/secure"));
    let [only] = found.as_slice() else { panic!("{found:#?}") };
    assert!(only.starts_with("a1.sources.r2.command ("), "{only}");
    let way_out = "both take secure: each file is for one source; change filegroups.f2 of source r1 or \
                   command of source r2, or give one source both channels";
    assert!(only.ends_with(way_out), "{only}");
    let unknown = format!(
        "{}a1.sources = r1 r2\na1.sources.r2.type = TAILDIR\na1.sources.r2.positionFile = /state/2\n\
         a1.sources.r2.filegroups = g\na1.sources.r2.filegroups.g = /logs/db/.*r.*\n\
         a1.sources.r2.channels = c1\n",
        taildir_without("a1.sources = ")
    );
    let words = "filegroups.f2 of source r1 and filegroups.g of source r2 may match the same names";
    assert!(has(&errors(&unknown), words), "{:#?}", errors(&unknown));
}

/// What a spooldir source renames to the name that a command follows would be sent again.
#[test]
fn a_command_does_not_follow_what_another_source_has_finished() {
    let text = |file: &str| {
        format!(
            "a1.sources = r1 r2\na1.channels = c1\na1.sources.r1.type = spooldir\n\
             a1.sources.r1.spoolDir = /logs\na1.sources.r1.channels = c1\n\
             a1.sources.r1.includePattern = app.*\na1.sources.r2.type = exec\n\
             a1.sources.r2.trackerDir = /state/2\na1.sources.r2.command = tail -F {file}\n\
             a1.sources.r2.channels = c1\n\
             a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
             a1.channels.c1.kafka.bootstrap.servers = h1:9092\n"
        )
    };
    load(&text("/logs/other.COMPLETED"));
    for file in ["/logs/app1.COMPLETED", "/logs/app1.COMPLETED.2"] {
        let found = errors(&text(file));
        assert!(has(&found, "which the other has finished, and sends it again"), "{found:#?}");
    }
}

fn exec(command: &str) -> String {
    let kept = taildir_without("a1.sources.r1.").replace(
        "a1.channels.c1.type",
        "a1.sources.r1.type = exec\na1.sources.r1.channels = c1\na1.sources.r1.trackerDir = /state\n\
         a1.channels.c1.type",
    );
    format!("{kept}a1.sources.r1.command = {command}\n")
}

#[test]
fn tail_is_followed_by_the_agent_itself() {
    let config = load(&exec("tail -n 5 -F /var/log/a.log /srv/b.log -q")).config;
    let source = &config.sources[0];
    assert_eq!((source.spool_dir.to_str(), source.batch_size), (Some("/"), 20));
    let tail = tail(&config);
    assert_eq!((tail.begin, tail.by_descriptor), (FirstByte::LastLines(5), false));
    let takes =
        |name: &str| tail.groups.iter().any(|g| g.pattern.full_match(name.as_bytes()).unwrap());
    assert!(takes("a.log") && takes("b.log") && !takes("aXlog") && !takes("a.log.1"));
    assert_eq!(warnings(&exec("tail -q -F /a")), Vec::<String>::new());
    assert!(has(&warnings(&exec("tail -f /a")), "write tail -F"));
    assert!(has(&warnings(&exec("tail -F /a /b")), "heading"));
    for (text, expected) in [
        (exec("tail -F /a").replace("a1.sources.r1.command", "#"), "command must be specified"),
        (exec("cat /a"), "TAILDIR"),
        (exec("tail -F /a\na1.sources.r1.charset = UTF-16"), "two bytes"),
        (exec("tail -F /a\na1.sources.r1.charset = klingon"), "klingon"),
        (exec("tail -F /a | grep x\na1.sources.r1.shell = /bin/sh -c"), "regex_filter"),
    ] {
        let errors = errors(&text);
        assert!(has(&errors, expected), "{expected}: {errors:#?}");
    }
}

/// What docs/configurations.md gives to be copied runs, without a warning.
#[test]
fn the_recipes_are_configurations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configurations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let blocks = page.split("```properties\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole: Vec<&str> = blocks.filter(|block| block.starts_with("a1.sources = ")).collect();
    assert!(whole.len() >= 4);
    for block in whole {
        assert_eq!(warnings(block), Vec::<String>::new(), "{block}");
    }
}
