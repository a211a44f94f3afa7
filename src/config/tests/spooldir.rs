//! Directories below that of a recursive source.

use super::*;

/// One that searches its subdirectories, and another with these lines more.
fn two(lines: &str) -> String {
    format!(
        "a1.sources = r1 r2\na1.channels = c1\na1.sources.r1.type = spooldir\n\
         a1.sources.r1.spoolDir = /logs\na1.sources.r1.recursiveDirectorySearch = true\n\
         a1.sources.r1.channels = c1\na1.sources.r2.type = spooldir\n\
         a1.sources.r2.trackerDir = /state\na1.sources.r2.channels = c1\n\
         a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel\n\
         a1.channels.c1.kafka.bootstrap.servers = h1:9092\n{lines}\n"
    )
}

#[test]
fn a_source_below_a_recursive_one_is_refused_where_both_take_the_same_names() {
    for dir in ["/logs", "/logs/web", "/logs/web/old", "/logs/x/../web"] {
        let errors = errors(&two(&format!("a1.sources.r2.spoolDir = {dir}")));
        assert!(errors[0].contains("is also that of source r1"), "{dir}: {errors:#?}");
    }
    // Above it, and recursive itself.
    let above = "a1.sources.r2.spoolDir = /\na1.sources.r2.recursiveDirectorySearch = true";
    assert_eq!(errors(&two(above)).len(), 1);
    let beside = [
        "a1.sources.r2.spoolDir = /logs/.hidden",
        "a1.sources.r2.spoolDir = /logs2",
        "a1.sources.r2.spoolDir = /",
        "a1.sources.r2.spoolDir = /logs/web\na1.sources.r1.includePattern = a.*\n\
         a1.sources.r2.includePattern = b.*",
    ];
    for lines in beside {
        assert_eq!(load(&two(lines)).config.sources.len(), 2, "{lines}");
    }
}
