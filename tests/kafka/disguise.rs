//! Names and lines that somebody has made to look like something else: escape sequences, characters that turn
//! the direction of what follows or show nothing. Nothing that is printed has them as they are.

use std::process::Stdio;
use std::time::Duration;

use flume_ng::log::is_disguise;

use crate::monitor::{free_port, get};
use crate::support::torture::{Group, V010, hazard};
use crate::support::{Work, shared, wait_for};

/// `]31m`, `ESC[`, a deleted character, and a text that reads backwards.
const NAME: &str = "010_{H-1}.log\u{1b}[31m\u{202e}gol\u{9b}2J\u{7f}\u{200b}";
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn is_clean(what: &str, text: &str) {
    assert!(!text.is_empty(), "{what} says nothing");
    let found = text.chars().find(|c| is_disguise(*c) && !matches!(c, '\n' | '\t'));
    assert!(found.is_none(), "{what} has {found:?}: {}", text.escape_debug());
}

#[test]
fn nothing_that_is_printed_moves_a_cursor_or_turns_a_line() {
    let _row = hazard(Group::Claims, "names and lines that hold escape sequences", V010);
    let topic = shared(V010).fresh_topic("disguise", 1);
    // What the broker never takes becomes a dead letter.
    let giant = [&b"\x1b[2J"[..], &vec![b'x'; 1_500_000], b"\n"].concat();
    let work = Work::new(&topic);
    let metrics = work.dir().join("metrics.prom");
    let work = work
        .set("a1.sources.r1.retireGraceMs", 300)
        .set("a1.sources.r1.deserializer.maxLineLength", 3_000_000)
        .set("a1.monitoring.textfile", metrics.display())
        .file(NAME, &[b"\x1b[2Jone \xe2\x80\xae owt\n", &giant[..], b"three\n"].concat(), 600)
        .file("010_{H}.log", b"four\n", 0);
    let receipts = work.tracker_dir().join("receipts");
    for (format, records) in [("text", 3), ("json", 4)] {
        let port = free_port();
        let mut command = work.command();
        command.args(["-Dflume.monitoring.type=http", &format!("-Dflume.monitoring.port={port}")]);
        command.arg(format!("-Dflume.log.format={format}"));
        let mut agent = work.start_command(command);
        agent.expect_records(&topic, records, PATIENCE);
        let is_done = || {
            let receipts = std::fs::read_to_string(&receipts).unwrap_or_default();
            !receipts.is_empty() && metrics.exists() && get(port, "/readyz").is_some()
        };
        assert!(wait_for(PATIENCE, is_done), "{}", agent.log());
        for page in ["/", "/status.json", "/metrics", "/prometheus", "/healthz", "/readyz"] {
            let (_, body) = get(port, page).expect("a page");
            is_clean(page, &body);
        }
        is_clean("the text file", &std::fs::read_to_string(&metrics).expect("metrics"));
        assert_eq!(agent.term().code(), Some(0), "{}", agent.log());
        is_clean(format, &agent.log());
        // What the second run has to say something of: it is truncated, and has another line.
        work.write(NAME, b"\x1b[2Jnew\n", 0);
    }
    let mut told = String::new();
    for args in [
        &["check", "-v"][..],
        &["check", "--json"],
        &["status"],
        &["status", "--json"],
        &["status", "--prometheus"],
        &["verify"],
        &["verify", "--json"],
        &["letters"],
        &["letters", "--json"],
    ] {
        let mut command = work.program();
        command.args(args).args(["--name", "a1", "--conf-file"]).arg(work.write_conf());
        let output = command.stdin(Stdio::null()).output().expect("it runs");
        for text in
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
        {
            if !text.is_empty() {
                is_clean(&format!("{args:?}"), &text);
            }
            told += &text;
        }
    }
    // They do name it.
    assert!(told.contains("\\u{202e}gol") && told.contains("\\u202egol"), "{told}");
}
