use std::collections::BTreeMap;

use super::tables::{DOUBLE, NONE, Pairs};
use super::*;

static JAVA: &str = include_str!("../../../tests/data/java_decoding.tsv");

/// Java's results of one input: REPLACE, IGNORE, first malformed bytes.
#[derive(Debug, PartialEq)]
struct Decoded {
    replaced: String,
    ignored: String,
    report: String,
}

fn decode(charset: &Charset, bytes: &[u8]) -> Decoded {
    let (charset, mut at) = charset.for_file(bytes);
    let (mut replaced, mut ignored) = (String::new(), String::new());
    let mut report = "ok".to_string();
    let mut mode = Mode::default();
    while at < bytes.len() {
        let step = match charset.step(&bytes[at..], &mut mode) {
            Step::Short => Step::Bad(bytes.len() - at),
            step => step,
        };
        at += match step {
            Step::Char(c, n) => {
                replaced.push(c);
                ignored.push(c);
                n
            }
            Step::Bad(n) => {
                replaced.push('\u{FFFD}');
                if report == "ok" {
                    report = format!("{at}+{n}");
                }
                n
            }
            Step::Shift(n) => n,
            Step::Short => unreachable!(),
        };
    }
    let hex = |s: String| s.encode_utf16().map(|u| format!("{u:04X}")).collect();
    Decoded { replaced: hex(replaced), ignored: hex(ignored), report }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn decodes_malformed_input_as_java_does() {
    let mut differ: BTreeMap<&str, (usize, usize, Vec<String>)> = BTreeMap::new();
    let mut charsets: BTreeMap<&str, Charset> = BTreeMap::new();
    for line in JAVA.lines() {
        let [name, input, replaced, ignored, report] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let charset = charsets.entry(name).or_insert_with(|| Charset::for_name(name).unwrap());
        let ours = decode(charset, &bytes_of(input));
        let java =
            Decoded { replaced: replaced.into(), ignored: ignored.into(), report: report.into() };
        let entry = differ.entry(name).or_default();
        entry.1 += 1;
        if ours != java {
            entry.0 += 1;
            entry.2.push(format!("{input}: ours {ours:?}, java {java:?}"));
        }
    }
    let mut faults = String::new();
    for (name, (count, of, examples)) in &differ {
        if *count > 0 {
            faults += &format!("{name}: {count} of {of}\n");
            examples.iter().take(6).for_each(|example| faults += &format!("    {example}\n"));
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Makes `double_byte.tsv` from the dumps of tests/data/JavaPairs.java.
#[test]
#[ignore = "writes a source file; needs FLUME_NG_PAIRS"]
fn regenerate_double_byte() {
    let dir = std::env::var("FLUME_NG_PAIRS").unwrap();
    let mut out = String::new();
    for (name, base) in DOUBLE {
        let ours = Pairs::whatwg(base);
        let text = std::fs::read_to_string(format!("{dir}/{name}.pairs")).unwrap();
        let (mut single, mut pair) = (vec![NONE; 128], vec![NONE; 128 * 256]);
        for line in text.lines() {
            let (bytes, units) = line.split_once('\t').unwrap();
            let at = usize::from_str_radix(bytes, 16).unwrap();
            let unit =
                if units.len() == 4 { u16::from_str_radix(units, 16).unwrap() } else { NONE };
            if bytes.len() == 2 { single[at - 0x80] = unit } else { pair[at - 0x8000] = unit }
        }
        runs(name, 2, 0x80, &ours.single, &single, &mut out);
        runs(name, 4, 0x8000, &ours.pair, &pair, &mut out);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/java/charset/double_byte.tsv");
    std::fs::write(path, out).unwrap();
}

/// Runs of differences: cleared ones may span slots that are empty in both.
fn runs(name: &str, width: usize, first: usize, ours: &[u16], java: &[u16], out: &mut String) {
    use std::fmt::Write as _;
    let mut at = 0;
    while at < java.len() {
        if ours[at] == java[at] {
            at += 1;
            continue;
        }
        let (start, unit) = (at, java[at]);
        let mut end = at + 1;
        if unit == NONE {
            at += 1;
            while at < java.len() && java[at] == NONE {
                at += 1;
                if ours[at - 1] != NONE {
                    end = at;
                }
            }
        } else {
            while end < java.len() && java[end] as usize == unit as usize + (end - start) {
                end += 1;
            }
        }
        let what = if unit == NONE { "-".to_string() } else { format!("{unit:04X}") };
        writeln!(out, "{name}\t{:0width$X}\t{}\t{what}", first + start, end - start).unwrap();
        at = end;
    }
}

#[test]
fn encodes_as_java_does() {
    for line in include_str!("../../../tests/data/java_encoding.tsv").lines() {
        let [name, crc, sample] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let charset = Charset::for_name(name).unwrap();
        let mut out = Vec::new();
        charset.encode("a中😀é", &mut out);
        if name == "EUC-JP" {
            // JIS X 0212 is not encoded: é becomes a question mark.
            assert_eq!(&out, b"a\xC3\xE6??");
            continue;
        }
        assert_eq!(out, bytes_of(sample), "{name}");
        if name == "GB18030" {
            // 18 private characters are encoded as in the standard of 2000.
            continue;
        }
        out.clear();
        let chars = (0..=0xFFFF).filter_map(char::from_u32);
        chars.for_each(|c| charset.encode(c.encode_utf8(&mut [0; 4]), &mut out));
        assert_eq!(format!("{:x}", crc32fast::hash(&out)), crc, "{name}");
    }
}

#[test]
fn names_are_those_of_java_then_those_of_the_web() {
    for (name, java) in [
        ("UTF-8", "UTF-8"),
        (" utf8 ", "UTF-8"),
        ("ISO8859_1", "ISO-8859-1"),
        ("latin1", "ISO-8859-1"),
        ("ascii", "US-ASCII"),
        ("Cp1252", "windows-1252"),
        ("windows-1251", "windows-1251"),
        ("GBK", "GBK"),
        ("CP936", "GBK"),
        ("MS936", "x-mswin-936"),
        ("GB2312", "GB2312"),
        ("EUC_CN", "GB2312"),
        ("GB18030", "GB18030"),
        ("Big5", "Big5"),
        ("EUC-KR", "EUC-KR"),
        ("MS949", "x-windows-949"),
        ("Shift_JIS", "Shift_JIS"),
        ("SJIS", "Shift_JIS"),
        ("MS932", "windows-31j"),
        ("EUC-JP", "EUC-JP"),
        ("ISO-2022-JP", "ISO-2022-JP"),
        ("KOI8-R", "KOI8-R"),
        ("UTF-16", "UTF-16"),
        ("UTF_16LE", "UTF-16LE"),
        ("UnicodeBigUnmarked", "UTF-16BE"),
        ("x-UTF-16LE-BOM", "x-UTF-16LE-BOM"),
        ("IBM850", "IBM850"),
        ("x-gbk", "GBK"),
        ("macintosh", "x-MacRoman"),
        ("iso-8859-14", "ISO-8859-14"),
    ] {
        assert_eq!(Charset::for_name(name).unwrap().name(), java, "{name}");
    }
}

#[test]
fn an_unknown_name_suggests_near_ones() {
    let error = Charset::for_name("UFT-8").unwrap_err();
    assert_eq!(error.to_string(), "unknown charset \"UFT-8\"; did you mean UTF-8?");
    assert_eq!(Charset::for_name("GB-K").unwrap_err().near[0], "GBK");
    let error = Charset::for_name("klingon-encoding").unwrap_err();
    assert_eq!(error.to_string(), "unknown charset \"klingon-encoding\"");
    assert!(Charset::for_name("").is_err() && Charset::for_name("replacement").is_err());
}
