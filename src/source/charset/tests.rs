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
    Decoded {
        replaced: hex(replaced),
        ignored: hex(ignored),
        report,
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn decodes_malformed_input_as_java_does() {
    let mut differ: BTreeMap<&str, (usize, usize, Vec<String>)> = BTreeMap::new();
    let mut charsets: BTreeMap<&str, Charset> = BTreeMap::new();
    for line in JAVA.lines() {
        let [name, input, replaced, ignored, report] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let charset = charsets
            .entry(name)
            .or_insert_with(|| Charset::for_name(name).unwrap());
        let ours = decode(charset, &bytes_of(input));
        let java = Decoded {
            replaced: replaced.into(),
            ignored: ignored.into(),
            report: report.into(),
        };
        let entry = differ.entry(name).or_default();
        entry.1 += 1;
        if ours != java {
            entry.0 += 1;
            entry
                .2
                .push(format!("{input}: ours {ours:?}, java {java:?}"));
        }
    }
    let mut faults = String::new();
    for (name, (count, of, examples)) in &differ {
        if *count > 0 {
            faults += &format!("{name}: {count} of {of}\n");
            examples
                .iter()
                .take(6)
                .for_each(|example| faults += &format!("    {example}\n"));
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
            let unit = if units.len() == 4 {
                u16::from_str_radix(units, 16).unwrap()
            } else {
                NONE
            };
            if bytes.len() == 2 {
                single[at - 0x80] = unit
            } else {
                pair[at - 0x8000] = unit
            }
        }
        runs(name, 2, 0x80, &ours.single, &single, &mut out);
        runs(name, 4, 0x8000, &ours.pair, &pair, &mut out);
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/source/charset/double_byte.tsv"
    );
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
        let what = if unit == NONE {
            "-".to_string()
        } else {
            format!("{unit:04X}")
        };
        writeln!(
            out,
            "{name}\t{:0width$X}\t{}\t{what}",
            first + start,
            end - start
        )
        .unwrap();
        at = end;
    }
}
