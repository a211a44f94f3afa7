//! Two sources on one directory: can their patterns match the same name?
//!
//! A file that two sources take is read by both, and whoever is first renames it under the other's
//! hands. Whether two regular expressions have a text in common is not asked in general: they are
//! told apart by the letters with which every match begins, or ends. What cannot be told apart so
//! is refused, unless both sources say `sharedSpoolDir = true` and no name is known that both take.

use std::path::Path;

use super::model::SourceConfig;

/// What is known of two sources on one directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    /// No name matches both.
    Never,
    /// This one does.
    Found(String),
    /// It cannot be told.
    Unknown,
}

/// Do two sources on one directory take the same names?
pub(super) fn overlap(a: &SourceConfig, b: &SourceConfig) -> Overlap {
    let (java_a, java_b) = (a.target_pattern.as_str(), b.target_pattern.as_str());
    let is_left_out = |one: &SourceConfig, other: &SourceConfig| {
        one.ignore_pattern.as_str() == other.target_pattern.as_str()
    };
    if is_left_out(a, b) || is_left_out(b, a) {
        return Overlap::Never;
    }
    if let Some(name) = common_name(a, b) {
        return Overlap::Found(name);
    }
    let (ends_a, ends_b) = (Ends::of(java_a), Ends::of(java_b));
    let differ_at_start = !starts_alike(&ends_a.first, &ends_b.first);
    // A file that one has finished must not be new to the other.
    let differ_at_end = !starts_alike(&ends_a.last, &ends_b.last) && a.file_suffix == b.file_suffix;
    if differ_at_start || differ_at_end { Overlap::Never } else { Overlap::Unknown }
}

/// Of the names that are there, and of those that are likely, one that both take.
fn common_name(a: &SourceConfig, b: &SourceConfig) -> Option<String> {
    let likely = a.likely_names().into_iter().chain(b.likely_names());
    let there = names_in(&a.spool_dir);
    likely.chain(there).find(|name| takes(a, name) && takes(b, name))
}

/// As many as tell something; the rest of a large directory looks alike.
fn names_in(dir: &Path) -> impl Iterator<Item = String> {
    const NAMES_MAX: usize = 10_000;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().take(NAMES_MAX);
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn takes(source: &SourceConfig, name: &str) -> bool {
    let matches = |pattern: &crate::java::pattern::Pattern| pattern.full_match(name.as_bytes());
    let is_out = name.starts_with('.')
        || name.ends_with(&*source.file_suffix.to_string_lossy())
        || matches(&source.ignore_pattern).unwrap_or(false);
    !is_out && matches(&source.target_pattern).unwrap_or(false)
}

/// Is one the beginning of the other?
fn starts_alike(a: &[char], b: &[char]) -> bool {
    a.iter().zip(b).all(|(a, b)| a == b)
}

/// The letters with which every match of a pattern begins, and those with which it ends, from the
/// last one on. Empty where they cannot be told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    first: Vec<char>,
    last: Vec<char>,
}

impl Ends {
    fn of(java: &str) -> Ends {
        let Some(parts) = parts(java) else { return Ends::default() };
        let first = parts.iter().map_while(|p| *p).collect();
        let last = parts.iter().rev().map_while(|p| *p).collect();
        Ends { first, last }
    }
}

/// A pattern as letters that stand for themselves and parts that may be anything (`None`). `None`
/// as a whole: not understood.
fn parts(java: &str) -> Option<Vec<Option<char>>> {
    let mut parts: Vec<Option<char>> = Vec::new();
    let mut depth = 0u32;
    let mut in_class = 0u32;
    let mut letters = java.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_inside = depth > 0 || in_class > 0;
        let part = match letter {
            '\\' => match letters.next()? {
                // Of the others the letters behind them would be misread.
                'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'h' | 'H' | 'v' | 'V' | 't' => None,
                escaped if escaped.is_ascii_alphanumeric() => return None,
                escaped => Some(escaped),
            },
            '[' => {
                in_class += 1;
                None
            }
            ']' if in_class > 0 => {
                in_class -= 1;
                None
            }
            '(' if in_class == 0 => {
                // Flags would change the meaning of what follows.
                if letters.peek() == Some(&'?') {
                    return None;
                }
                depth += 1;
                None
            }
            ')' if in_class == 0 => {
                depth = depth.checked_sub(1)?;
                None
            }
            '|' if !is_inside => return None,
            '*' | '?' | '{' if !is_inside => {
                // What stands before it may be missing, or come more than once.
                if let Some(last) = parts.last_mut() {
                    *last = None;
                }
                if letter == '{' {
                    letters.by_ref().find(|c| *c == '}')?;
                }
                continue;
            }
            '+' if !is_inside => None,
            '.' | '^' | '$' => None,
            plain => Some(plain),
        };
        parts.push(if is_inside { None } else { part });
    }
    (depth == 0 && in_class == 0).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(java: &str) -> (String, String) {
        let Ends { first, last } = Ends::of(java);
        (first.into_iter().collect(), last.into_iter().rev().collect())
    }

    #[test]
    fn letters_that_every_match_begins_and_ends_with() {
        let cases = [
            (r"app-\d{10}\.log", "app-", ".log"),
            (r"app-.*(\d){10}.*", "app-", ""),
            (r".*\.log", "", ".log"),
            (r"abc", "abc", "abc"),
            (r"abc?d", "ab", "d"),
            (r"ab*", "a", ""),
            (r"ab+c", "ab", "c"),
            (r"a{2}b", "", "b"),
            (r"x[a-z]y", "x", "y"),
            (r"x(a|b)y", "x", "y"),
            (r"a|b", "", ""),
            (r"(?i)app.*", "", ""),
            (r"\Qa.b\E", "", ""),
            (r"a\x41", "", ""),
            (r"^app$", "", ""),
        ];
        for (java, first, last) in cases {
            assert_eq!(ends(java), (first.to_owned(), last.to_owned()), "{java}");
        }
    }

    #[test]
    fn what_is_not_understood_tells_nothing() {
        for java in ["", "(", "[", ")", "\\", "a{", "a**b", "[[a]&&b]c|d", "\u{0}é"] {
            let _ = Ends::of(java);
        }
        assert_eq!(ends("é.*"), ("é".to_owned(), String::new()));
    }
}
