//! Charsets from the file to the topic.

use super::scene::{OLD_S, spool};

#[track_caller]
fn arrives(charset: &str, content: &[u8], lines: &[&str]) {
    let mut scene = spool(charset)
        .source("inputCharset", charset)
        .file("a_{H-1}.log", content, OLD_S)
        .file("a_{H}.log", "", 0)
        .agent_runs();
    scene.becomes("a_{H-1}.log.COMPLETED");
    scene.in_the_end(lines);
}

fn utf16(text: &str, to: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to).collect()
}

#[test]
fn utf16_of_both_orders_with_and_without_a_mark() {
    // U+0A0A and U+0D0A hold the bytes of a newline and are none.
    let text = "a\n中\u{a0a}\u{d0a}😀\n\nlast\n";
    let lines = ["a", "中\u{a0a}\u{d0a}😀", "", "last"];
    arrives("UTF-16LE", &utf16(text, u16::to_le_bytes), &lines);
    arrives("UTF-16BE", &utf16(text, u16::to_be_bytes), &lines);
    let marked = format!("\u{feff}{text}");
    arrives("UTF-16", &utf16(&marked, u16::to_le_bytes), &lines);
    arrives("UTF-16", &utf16(&marked, u16::to_be_bytes), &lines);
    arrives("UTF-16", &utf16(text, u16::to_be_bytes), &lines);
}

#[test]
fn utf16_written_byte_by_byte_is_whole() {
    let mut scene = spool("utf16-live")
        .source("inputCharset", "UTF-16LE")
        .file("a_{H}.log", "", 0)
        .agent_runs();
    let mut writer = scene.writer("a_{H}.log");
    for byte in utf16("eins\nzw中i😀\n", u16::to_le_bytes) {
        writer.writes([byte]);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    scene.in_the_end(&["eins", "zw中i😀"]);
}

#[test]
fn the_charsets_of_the_east_and_of_the_west() {
    let encode = |name: &str, text: &str| {
        let encoding = encoding_rs::Encoding::for_label(name.as_bytes()).expect("a charset");
        encoding.encode(text).0.into_owned()
    };
    arrives("GBK", &encode("gbk", "中文 line\n镕\n"), &["中文 line", "镕"]);
    arrives("GB18030", &encode("gb18030", "中文\n😀 𠀀\n"), &["中文", "😀 𠀀"]);
    arrives("Big5", &encode("big5", "繁體\n許功蓋\n"), &["繁體", "許功蓋"]);
    arrives("ISO-8859-1", b"caf\xe9\n\xff\x80\n", &["café", "ÿ\u{80}"]);
    arrives("ISO-2022-JP", &encode("iso-2022-jp", "日本 a\n語\n"), &["日本 a", "語"]);
    arrives("Shift_JIS", &encode("shift_jis", "日本語\n表示\n"), &["日本語", "表示"]);
}

#[test]
fn malformed_bytes_are_replaced_or_dropped() {
    let content = b"a\xffb\n\xe4\xb8\nc\xf0\x9f\x98\n";
    for (policy, lines) in
        [("REPLACE", ["a\u{fffd}b", "\u{fffd}", "c\u{fffd}"]), ("IGNORE", ["ab", "", "c"])]
    {
        let mut scene = spool("policy")
            .source("decodeErrorPolicy", policy)
            .file("a_{H}.log", content, 0)
            .agent_runs();
        scene.in_the_end(&lines);
    }
}

/// Row 7: the original logs a line and sits there for ever, alive.
#[test]
fn under_fail_the_agent_ends_and_names_the_place() {
    let mut scene = spool("fail")
        .source("decodeErrorPolicy", "FAIL")
        .source("batchSize", 2)
        .file("a_{H}.log", b"one\ntwo\nthree\nfour\nfive\nsi\xffx\n", 0)
        .agent_runs();
    assert_eq!(scene.ends_by_itself().code(), Some(70), "{}", scene.log());
    // Two whole transactions; the third holds the bad byte.
    assert_eq!(scene.topic.bodies(), ["one", "two", "three", "four"]);
    let log = scene.log();
    let line = log.lines().find(|l| l.contains("FF")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(&scene.work.name("a_{H}.log")) && line.contains("byte 26"), "{line}");
    // With another policy it goes on where it stood.
    scene = scene.source("decodeErrorPolicy", "REPLACE");
    scene.start();
    scene.in_the_end(&["one", "two", "three", "four", "five", "si\u{fffd}x"]);
}

/// A bad byte in the last line, for which there is no newline: nothing is passed over in silence.
#[test]
fn under_fail_a_bad_unterminated_last_line_ends_the_agent_too() {
    let mut scene = spool("fail-rest")
        .source("decodeErrorPolicy", "FAIL")
        .file("a_{H-1}.log", b"one\ntw\xffo", OLD_S)
        .file("a_{H}.log", "three\n", 0)
        .agent_runs();
    assert_eq!(scene.ends_by_itself().code(), Some(70), "{}", scene.log());
    assert!(scene.exists("a_{H-1}.log"));
    assert!(!scene.topic.bodies().iter().any(|b| b.starts_with("tw")));
}
