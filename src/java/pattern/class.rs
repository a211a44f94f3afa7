//! Sets of characters: predefined classes, properties, ranges with case.
//!
//! Every function gives what stands between the brackets of a class in the
//! syntax of the `regex` crate.

use std::fmt::Write;

pub(super) const DIGIT: &str = "0-9";
pub(super) const WORD: &str = "a-zA-Z0-9_";
pub(super) const SPACE: &str = r"\t\n\x0B\x0C\r\x20";
pub(super) const HORIZONTAL: &str =
    r"\t\x20\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}";
pub(super) const VERTICAL: &str = r"\n\x0B\x0C\r\x{85}\x{2028}\x{2029}";
/// The line terminators of `.`, `^` and `$`.
pub(super) const TERMINATOR: &str = r"\n\r\x{85}\x{2028}\x{2029}";

// The same under UNICODE_CHARACTER_CLASS.
pub(super) const UNICODE_DIGIT: &str = r"\p{Nd}";
pub(super) const UNICODE_WORD: &str = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}";
pub(super) const UNICODE_SPACE: &str = r"\p{White_Space}";

const GENERAL_CATEGORIES: &[&str] = &[
    "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Me", "Mc", "Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc",
    "Cf", "Co", "Pd", "Ps", "Pe", "Pc", "Po", "Sm", "Sc", "Sk", "So", "Pi", "Pf", "L", "M", "N",
    "Z", "P", "S", "C", "LC",
];

/// How letters of other case are matched too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// Not at all.
    Sensitive,
    /// `(?i)`: A to Z only.
    Ascii,
    /// `(?iu)`: all letters.
    Unicode,
}

/// The set of a range of characters; `low` and `high` may be the same.
pub(super) fn range(low: char, high: char, case: Case) -> String {
    let mut set = String::new();
    push_range(&mut set, low, high);
    match case {
        Case::Sensitive => {}
        Case::Ascii => {
            for c in ('a'..='z').chain('A'..='Z') {
                let other = char::from(c as u8 ^ 0x20);
                if (low..=high).contains(&other) && !(low..=high).contains(&c) {
                    push_range(&mut set, c, c);
                }
            }
        }
        Case::Unicode => {
            // Java compares lower(upper(c)); above U+1FFFF no letter has case.
            let folded = lower(upper(low));
            for c in '\0'..='\u{1FFFF}' {
                let (up, fold) = (upper(c), lower(upper(c)));
                let same = if low == high {
                    c == folded || fold == folded
                } else {
                    (low..=high).contains(&up) || (low..=high).contains(&fold)
                };
                if same && !(low..=high).contains(&c) {
                    push_range(&mut set, c, c);
                }
            }
        }
    }
    set
}

fn push_range(set: &mut String, low: char, high: char) {
    push_char(set, low);
    if low != high {
        set.push('-');
        push_char(set, high);
    }
}

/// Writes a literal character so that it is one in a class and outside.
pub(super) fn push_char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        // Writing to a string does not fail.
        let _ = write!(out, r"\x{{{:X}}}", u32::from(c));
    }
}

/// `Character.toUpperCase`: the mapping of one character to one character.
fn upper(c: char) -> char {
    let code = u32::from(c);
    let single = match code {
        0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7 => code + 8,
        0x1FB3 | 0x1FC3 | 0x1FF3 => code + 9,
        _ => return only(c.to_uppercase(), c),
    };
    char::from_u32(single).unwrap_or(c)
}

/// `Character.toLowerCase`.
fn lower(c: char) -> char {
    match c {
        '\u{130}' => 'i',
        _ => only(c.to_lowercase(), c),
    }
}

fn only(mut mapped: impl Iterator<Item = char>, c: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// The set of `\p{name}`; `None` if it is not known or differs between Java
/// and the engine. `unicode` tells of UNICODE_CHARACTER_CLASS.
pub(super) fn property(name: &str, unicode: bool) -> Option<String> {
    if let Some((key, value)) = name.split_once('=') {
        return match key.to_ascii_lowercase().as_str() {
            "sc" | "script" => script(value),
            "gc" | "general_category" => category(value),
            _ => None,
        };
    }
    if let Some(rest) = name.strip_prefix("Is") {
        return binary(rest).or_else(|| category(rest)).or_else(|| script(rest));
    }
    if unicode {
        match posix_unicode(name) {
            PosixUnicode::Set(set) => return Some(set.to_owned()),
            PosixUnicode::NotOffered => return None,
            PosixUnicode::Unchanged => {}
        }
    }
    posix(name).map(str::to_owned).or_else(|| category(name))
}

/// Whether a property tells letters of one case from the other. Under `(?i)`
/// some Java releases take these for letters of any case.
pub(super) fn tells_case(name: &str) -> bool {
    let value = name.rsplit('=').next().unwrap_or(name);
    let value = value.strip_prefix("Is").unwrap_or(value);
    matches!(
        value.to_ascii_lowercase().as_str(),
        "lower" | "upper" | "lowercase" | "uppercase" | "titlecase" | "lu" | "ll" | "lt"
    )
}

fn posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "0-9a-zA-Z",
        "Punct" => r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
        "Graph" => r"\x21-\x7E",
        "Print" => r"\x20-\x7E",
        "Blank" => r"\x20\t",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => SPACE,
        "L1" => r"\x{00}-\x{FF}",
        "LD" => r"\p{L}\p{Nd}",
        "all" => r"\x{0}-\x{10FFFF}",
        _ => return None,
    })
}

/// What `(?U)` makes of a name.
enum PosixUnicode {
    Set(&'static str),
    /// A POSIX name whose Unicode form is not offered here.
    NotOffered,
    /// It means the same as without `(?U)`, or is no POSIX name.
    Unchanged,
}

fn posix_unicode(name: &str) -> PosixUnicode {
    PosixUnicode::Set(match name.to_ascii_lowercase().as_str() {
        "lower" => r"\p{Lowercase}",
        "upper" => r"\p{Uppercase}",
        "alpha" => r"\p{Alphabetic}",
        "digit" => UNICODE_DIGIT,
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "punct" => r"\p{P}",
        "space" => UNICODE_SPACE,
        "graph" | "print" | "blank" | "cntrl" | "xdigit" => return PosixUnicode::NotOffered,
        _ => return PosixUnicode::Unchanged,
    })
}

fn binary(name: &str) -> Option<String> {
    let set = match name.to_ascii_uppercase().as_str() {
        "ALPHABETIC" => r"\p{Alphabetic}",
        "LETTER" => r"\p{L}",
        "IDEOGRAPHIC" => r"\p{Ideographic}",
        "LOWERCASE" => r"\p{Lowercase}",
        "UPPERCASE" => r"\p{Uppercase}",
        "TITLECASE" => r"\p{Lt}",
        "WHITE_SPACE" | "WHITESPACE" => UNICODE_SPACE,
        "CONTROL" => r"\p{Cc}",
        "PUNCTUATION" => r"\p{P}",
        "DIGIT" => UNICODE_DIGIT,
        "ASSIGNED" => r"\P{Cn}",
        _ => return None,
    };
    Some(set.to_owned())
}

fn category(name: &str) -> Option<String> {
    GENERAL_CATEGORIES.contains(&name).then(|| format!(r"\p{{gc={name}}}"))
}

fn script(name: &str) -> Option<String> {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain.then(|| format!(r"\p{{sc={name}}}"))
}
