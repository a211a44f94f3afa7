use super::*;

/// Columns: pattern, text, full match, find; see the generator beside it.
const TABLE: &str = include_str!("../../../tests/data/java_regex.tsv");
/// Columns: the bytes of a name in hex, and what Java decodes them to.
const DECODE: &str = include_str!("../../../tests/data/java_decode.tsv");

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('\\') {
            out.push('\\');
            rest = tail;
        } else {
            let end = rest.find('}').expect("an escape is closed");
            let code = u32::from_str_radix(&rest[1..end], 16).expect("an escape is hex");
            out.push(char::from_u32(code).expect("an escape is a character"));
            rest = &rest[end + 1..];
        }
    }
    out + rest
}

fn compile(java: &str) -> Pattern {
    Pattern::compile(java).unwrap_or_else(|e| panic!("{e}"))
}

fn error(java: &str) -> String {
    match Pattern::compile(java) {
        Ok(_) => panic!("{java:?} was not refused"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn matches_as_java_does() {
    // Another table of the generator, made with -Dseed=N -Drandom=N.
    let extra = std::env::var("JAVA_REGEX_TABLE").ok();
    let extra = extra.map(|path| std::fs::read_to_string(path).expect("the table is readable"));
    let table = extra.as_deref().unwrap_or(TABLE);
    let mut wrong = Vec::new();
    let (mut count, mut refused) = (0, 0);
    let mut last: Option<(String, Result<Pattern, PatternError>)> = None;
    for line in table.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [pattern, text, full, find] = columns[..] else {
            panic!("bad line {line:?}");
        };
        let (java, text) = (unescape(pattern), unescape(text));
        if last.as_ref().is_none_or(|(known, _)| *known != java) {
            last = Some((java.clone(), Pattern::compile(&java)));
        }
        let Some((_, compiled)) = &last else { continue };
        count += 1;
        let got = match compiled {
            Ok(p) => {
                let bit = |r: Result<bool, MatchError>| match r {
                    Ok(yes) => u8::from(yes).to_string(),
                    Err(e) => e.to_string(),
                };
                (bit(p.full_match(text.as_bytes())), bit(p.find(&text)))
            }
            Err(e) if full == "!" => {
                assert!(!e.what().is_empty());
                ("!".to_owned(), "!".to_owned())
            }
            Err(e) => {
                refused += 1;
                if std::env::var_os("SHOW_REFUSED").is_some() {
                    println!("{e}");
                }
                continue;
            }
        };
        if (got.0.as_str(), got.1.as_str()) != (full, find) {
            wrong.push(format!("{java:?} on {text:?}: {got:?}, Java {full} {find}"));
        }
    }
    println!("{count} cases, {refused} of patterns that are refused");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 2000 && refused * 10 < count, "{count} cases, {refused} refused");
}

#[test]
fn decodes_as_java_does() {
    for line in DECODE.lines() {
        let (hex, expected) = line.split_once('\t').expect("two columns");
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex"))
            .collect();
        assert_eq!(decode(&bytes), unescape(expected), "{hex}");
    }
}

#[test]
fn what_can_not_be_translated_is_refused_by_name() {
    assert_eq!(error(r"app\.*\Gx"), r#""app\.*\Gx": \G is not supported (position 7)"#);
    let cases = [
        (r"\X", 1, r"\X is not supported"),
        (r"日\N{DIGIT ONE}", 2, r"\N is not supported"),
        (r"a\b{g}", 2, r"\b{…} is not supported"),
        (r"(?x)a b", 3, "(?x) is not supported"),
        (r"(?c)a", 3, "(?c) is not supported"),
        (r"\p{InGreek}", 1, "{InGreek} is unknown or not supported"),
        (r"a\p{javaLowerCase}", 2, "{javaLowerCase}"),
        (r"(?i)\p{Lower}", 5, "Java releases differ"),
        (r"(?i)[\p{Lu}x]", 6, "Java releases differ"),
        (r"(?iu)straße", 10, "ß under (?iu)"),
        (r"\R{2}", 3, r"a quantifier on \R"),
        (r"(?i)(a)\1", 8, "a back-reference under (?i)"),
        (r"(a)\2", 4, "a back-reference to group 2"),
        (r"(a\1)", 3, "a back-reference to group 1"),
        (r"^*a", 2, "a quantifier on an assertion"),
        (r"(?=a)?", 6, "a quantifier on an assertion"),
        (r"a{2}{3}", 5, "a quantifier behind a quantifier"),
        (r"[^a[b]]", 2, "Java releases differ"),
        (r"[^a&&b]", 2, "Java releases differ"),
        (r"[a&&[b]c]", 9, "a nested class beside other characters"),
        (r"[\v-x]", 2, r"\v- in a class"),
        (r"\ud800", 1, "half a surrogate pair"),
        (r"\Qa\E{2,1}", 10, "Illegal repetition range"),
        (r"ab)", 3, "Unmatched closing ')'"),
        (r"(ab", 4, "Unclosed group"),
        (r"\q", 1, r"Illegal/unsupported escape sequence \q"),
    ];
    for (java, position, what) in cases {
        let message = error(java);
        assert!(message.starts_with(&format!("\"{java}\": ")), "{message}");
        assert!(message.contains(what), "{message}");
        let place = format!(" (position {position})");
        assert!(message.ends_with(&place), "{message}");
    }
    for (java, what) in [
        ("(?<=a+)b", "look-behind of varying length is not supported"),
        ("(?:)*", "a quantifier on something empty is not supported"),
        ("(?:.{1000}){1000}", "too large"),
        ("\\p{IsNoSuchScript}", "unknown property"),
    ] {
        let message = error(java);
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("(", ")"), ("[a", "]"), ("(?=", ")")] {
        let java = open.repeat(100_000) + &close.repeat(100_000);
        assert!(error(&java).contains("nested too deeply"));
    }
}

#[test]
fn runaway_patterns_give_an_error() {
    let text = "a".repeat(60);
    for java in [r"(?!x)(a|a)*b", r"(a+)+\1b", r"(?=(a*)*b)c"] {
        let pattern = compile(java);
        // Whichever way it goes, it must come to an end.
        let _ = pattern.find(&text);
        let _ = pattern.full_match(text.as_bytes());
    }
    let message = compile(r"(?!x)(a|a)*b(?!x)").full_match(text.as_bytes());
    let message = message.unwrap_err().to_string();
    assert!(message.contains("gave up"), "{message}");
    // The linear-time engine has no such trouble.
    assert_eq!(compile("^(a+)+$").full_match(&[b"a".repeat(5000), vec![b'b']].concat()), Ok(false));
}

#[test]
fn look_around_searches_long_lines() {
    let line = "x".repeat(2_000_000) + "ERROR";
    assert_eq!(compile(r"(?<!y)ERROR\b").find(&line), Ok(true));
    assert_eq!(compile(r"(?<!x)ERROR\b").find(&line), Ok(false));
}

#[test]
fn names_that_are_not_utf8_match_by_their_replacement() {
    assert_eq!(compile("a.b").full_match(b"a\xFFb"), Ok(true));
    assert_eq!(compile("a..b").full_match(b"a\xFF\xC3b"), Ok(true));
    assert_eq!(compile(r"a\x{FFFD}b").full_match(b"a\xED\xA0\x80b"), Ok(true));
}

#[test]
fn common_patterns_need_no_backtracking() {
    for java in [
        "^$",
        r".*(\d){4}(\d){2}(\d){2}(\d){2}.*",
        r"^app\.\d+\.log$",
        r"(?i).*\.(log|gz)",
        r"(?<hour>\d{10})\.[a-z&&[^x]]+",
    ] {
        let translation = translate(java).unwrap();
        let simple = translation.plain.as_ref().unwrap_or(&translation.exact);
        for fancy in ["(?=", "(?!", "(?<", "(?>", r"\1"] {
            assert!(!simple.contains(fancy), "{java}: {simple}");
        }
    }
}
