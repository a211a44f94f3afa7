//! Two sources on one directory: can their patterns match the same name?
//!
//! A file that two sources take is read by both, and whoever is first renames it under the other's
//! hands. One that a source has finished must not be new to the other under its name with the suffix, nor
//! with the number behind that where such a name is taken.
//! Whether two regular expressions have a text in common is not asked in general: they are
//! told apart by the letters and digits with which every match begins, or ends; a file that a command names is
//! asked of the other pattern. What cannot be told apart so is refused, unless both sources say `sharedSpoolDir = true` and no name is known that both take.

use std::path::{Path, PathBuf};

use super::model::{
    DeletePolicy, FileGroup, NUMBER_DIGITS_MAX, SourceConfig, SourceKind, is_completed,
};
use crate::java::pattern::Pattern;

/// No pattern is looked at further than so many digits in a row.
const DIGITS_MAX: usize = 64;
/// What no `.` of a pattern stands for.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// What is known of two sources on one directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    /// No name matches both.
    Never,
    /// This one does.
    Found(String),
    /// One finishes a file under this name, and the other takes that.
    Finished(String),
    /// It cannot be told.
    Unknown,
}

/// What takes names in one directory: a source, or one of its groups.
#[derive(Clone, Copy)]
pub(super) enum Taker<'a> {
    Spool(&'a SourceConfig),
    Group(&'a FileGroup),
    /// A file that a command names: that name and no other.
    Named(&'a FileGroup),
}

/// Each with its directory.
pub(super) fn takers(source: &SourceConfig) -> Vec<(PathBuf, Taker<'_>)> {
    match &source.kind {
        SourceKind::SpoolTail | SourceKind::SpoolDir(_) => {
            vec![(source.spool_dir.clone(), Taker::Spool(source))]
        }
        SourceKind::Tail(tail) => {
            let taker = |group| match tail.command {
                Some(_) => Taker::Named(group),
                None => Taker::Group(group),
            };
            let dir = |group: &FileGroup| source.spool_dir.join(&group.place);
            tail.groups.iter().map(|group| (dir(group), taker(group))).collect()
        }
    }
}

/// Do these take the same names of one directory?
pub(super) fn overlap(dir: &Path, a: Taker<'_>, b: Taker<'_>) -> Overlap {
    if let Some((name, other)) = a.only_name().map(|n| (n, b)).or(b.only_name().map(|n| (n, a))) {
        return other.overlap_with(name);
    }
    if let Some(found) = common_name(dir, a, b) {
        return found;
    }
    let (ends_a, ends_b) = (Ends::of(a.pattern().as_str()), Ends::of(b.pattern().as_str()));
    if !starts_alike(&ends_a.first, &ends_b.first) {
        return Overlap::Never;
    }
    let differ_at_end = !starts_alike(&ends_a.last, &ends_b.last);
    let are_apart = differ_at_end || a.leaves_out(b) || b.leaves_out(a);
    match are_apart && !hands_on(a, b) && !hands_on(b, a) {
        true => Overlap::Never,
        false => Overlap::Unknown,
    }
}

/// Of the names that are there, and of those that are likely, one that both take, or that one takes when
/// the other has finished it.
fn common_name(dir: &Path, a: Taker<'_>, b: Taker<'_>) -> Option<Overlap> {
    let likely = a.likely_names().into_iter().chain(b.likely_names());
    likely.chain(names_in(dir)).find_map(|name| {
        let (of_a, of_b) = (a.takes(&name), b.takes(&name));
        let finished = |one: Taker<'_>, other: Taker<'_>| {
            let suffix = one.suffix()?;
            let mut finished = ["", ".1", ".2"].map(|n| format!("{name}{suffix}{n}")).into_iter();
            finished.find(|finished| other.takes(finished)).map(Overlap::Finished)
        };
        match (of_a, of_b) {
            (true, true) => Some(Overlap::Found(name)),
            (true, false) => finished(a, b),
            (false, true) => finished(b, a),
            (false, false) => None,
        }
    })
}

/// May a file of `one` be one of `other`'s when it is finished and has its suffix, or a number behind that?
fn hands_on(one: Taker<'_>, other: Taker<'_>) -> bool {
    let Some(suffix) = one.suffix() else { return false };
    let own = other.pattern().as_str();
    let last = Ends::of(own).last;
    let may_match = ends_alike(&suffix, &last) || ends_alike_numbered(&suffix, &last);
    if other.has_finished(&suffix) || !may_match {
        return false;
    }
    if other.leaves_out_longer(one) && !suffix.contains(LINE_ENDS) {
        return false;
    }
    // What is no name of the other's without the suffix is none with it, if nothing in that ends a match.
    let ends = one.leaves_out(other).then(|| open_end(own)).flatten();
    ends.is_none_or(|ends| {
        let dotted = format!("{suffix}.");
        let mut heads = dotted.char_indices().map(|(at, c)| &dotted[..at + c.len_utf8()]);
        heads.any(|head| ends_alike(head, &ends.last)) || ends_alike_numbered(&suffix, &ends.last)
    })
}

/// May what ends in these letters end in those, which are given from the last one on?
fn ends_alike(letters: &str, last: &[Sign]) -> bool {
    let from_last: Vec<Sign> = letters.chars().rev().map(Sign::Letter).collect();
    starts_alike(&from_last, last)
}

/// The same with a dot and any number behind the letters.
fn ends_alike_numbered(letters: &str, last: &[Sign]) -> bool {
    let digits = last.iter().take_while(|sign| sign.is_alike(Sign::Digit)).count();
    let is_all =
        digits == last.len() || digits > 0 && ends_alike(&format!("{letters}."), &last[digits..]);
    digits <= NUMBER_DIGITS_MAX && is_all
}

/// What stands for itself between the bars of an alternation, and the pattern itself. Where a part may mean something
/// else by itself (flags, quotes, references), only that.
fn alternatives(java: &str) -> Vec<&str> {
    // The first of a class closes none.
    if java.contains("[]") || java.contains("[^]") {
        return vec![java];
    }
    let mut all = vec![java];
    let (mut depth, mut in_class, mut from) = (0u32, 0u32, 0);
    let mut letters = java.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'Q' | 'k' | 'c' | '1'..='9')) | None => return vec![java],
                Some(_) => {}
            },
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            '(' if in_class == 0 && letters.peek().is_some_and(|(_, c)| *c == '?') => {
                return vec![java];
            }
            '(' if in_class == 0 => depth += 1,
            ')' if in_class == 0 => depth = depth.saturating_sub(1),
            '|' if in_class == 0 && depth == 0 => {
                all.push(&java[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    all.push(&java[from..]);
    all
}

/// The ends of what stands before the `.*` at the end of a pattern, whose matches may all go on as they like.
fn open_end(java: &str) -> Option<Ends> {
    let java = java.strip_suffix('$').unwrap_or(java);
    let before = java.strip_suffix(".*").filter(|before| !before.ends_with('\\'))?;
    (parts(before).is_some() && !before.ends_with('$')).then(|| Ends::of(before))
}

impl Taker<'_> {
    fn pattern(&self) -> &Pattern {
        match self {
            Taker::Spool(source) => &source.target_pattern,
            Taker::Group(group) | Taker::Named(group) => &group.pattern,
        }
    }

    /// The one name that it takes.
    fn only_name(&self) -> Option<&str> {
        match self {
            Taker::Named(group) => group.text.rsplit('/').next(),
            Taker::Spool(_) | Taker::Group(_) => None,
        }
    }

    /// Does it take that name, or finish a file under it?
    fn overlap_with(&self, name: &str) -> Overlap {
        if self.takes(name) {
            return Overlap::Found(name.to_owned());
        }
        let before = self.suffix().and_then(|suffix| {
            let is_finished = is_completed(name.as_bytes(), suffix.as_bytes());
            name.rfind(&suffix).filter(|_| is_finished).map(|at| &name[..at])
        });
        match before.is_some_and(|before| self.takes(before)) {
            true => Overlap::Finished(name.to_owned()),
            false => Overlap::Never,
        }
    }

    /// The property that says which names it takes.
    pub(super) fn property(&self) -> String {
        match self {
            Taker::Spool(_) => "targetPattern".to_owned(),
            Taker::Group(group) => format!("filegroups.{}", group.name),
            Taker::Named(_) => "command".to_owned(),
        }
    }

    fn spool(&self) -> Option<&SourceConfig> {
        match self {
            Taker::Spool(source) => Some(source),
            Taker::Group(_) | Taker::Named(_) => None,
        }
    }

    /// What is put behind the name of a finished file, if it gets another name at all.
    fn suffix(&self) -> Option<String> {
        let is_renamed =
            |s: &&SourceConfig| s.delete_policy == DeletePolicy::Never && !s.kind.marks_done();
        let source = self.spool().filter(is_renamed)?;
        Some(source.file_suffix.to_string_lossy().into_owned())
    }

    /// Is it the name of a file that it has finished?
    fn has_finished(&self, name: &str) -> bool {
        self.spool().is_some_and(|s| {
            is_completed(name.as_bytes(), s.file_suffix.to_string_lossy().as_bytes())
        })
    }

    /// Does it ignore all names of the other?
    fn leaves_out(&self, other: Taker<'_>) -> bool {
        self.ignores(other.pattern().as_str()) || self.leaves_out_longer(other)
    }

    /// And the same with more letters behind them?
    fn leaves_out_longer(&self, other: Taker<'_>) -> bool {
        let own = other.pattern().as_str();
        // Behind an alternation more letters would be those of its last part.
        let is_one = || parts(own).is_some() && !own.ends_with('$');
        self.ignores(own) && open_end(own).is_some()
            || self.ignores(&format!("{own}.*")) && is_one()
    }

    /// Is that what it ignores, or a part of it?
    fn ignores(&self, java: &str) -> bool {
        self.spool().is_some_and(|s| alternatives(s.ignore_pattern.as_str()).contains(&java))
    }

    /// Names that its files are likely to have.
    fn likely_names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Taker::Spool(source) => source.likely_names().into(),
            // A pattern without anything special is a name.
            Taker::Group(group) | Taker::Named(group) => {
                let java = group.text.rsplit('/').next().unwrap_or_default();
                vec![java.replace('\\', ""), "app.log".to_owned(), "access.log".to_owned()]
            }
        };
        let sample = parts(self.pattern().as_str()).unwrap_or_default();
        names.push(sample.into_iter().map(|part| part.map_or('1', Sign::sample)).collect());
        names
    }

    fn takes(&self, name: &str) -> bool {
        let matches = |pattern: &Pattern| pattern.full_match(name.as_bytes());
        let is_out = match self {
            Taker::Spool(source) => {
                name.starts_with('.')
                    || self.has_finished(name)
                    || matches(&source.ignore_pattern).unwrap_or(false)
            }
            Taker::Group(_) | Taker::Named(_) => false,
        };
        !is_out && matches(self.pattern()).unwrap_or(false)
    }
}

/// As many as tell something; the rest of a large directory looks alike.
fn names_in(dir: &Path) -> impl Iterator<Item = String> {
    const NAMES_MAX: usize = 10_000;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().take(NAMES_MAX);
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// What a pattern says of one letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Letter(char),
    /// Any of `0` to `9`.
    Digit,
}

impl Sign {
    /// Can it be the same letter?
    fn is_alike(self, other: Sign) -> bool {
        match (self, other) {
            (Sign::Letter(a), Sign::Letter(b)) => a == b,
            (Sign::Letter(c), Sign::Digit) | (Sign::Digit, Sign::Letter(c)) => c.is_ascii_digit(),
            (Sign::Digit, Sign::Digit) => true,
        }
    }

    fn sample(self) -> char {
        match self {
            Sign::Letter(c) => c,
            Sign::Digit => '1',
        }
    }
}

/// Can one be the beginning of the other?
fn starts_alike(a: &[Sign], b: &[Sign]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.is_alike(*b))
}

/// The letters and digits with which every match of a pattern begins, and those with which it ends, from the
/// last one on. Empty where they cannot be told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    first: Vec<Sign>,
    last: Vec<Sign>,
}

impl Ends {
    fn of(java: &str) -> Ends {
        let Some(parts) = parts(java) else { return Ends::default() };
        let first = parts.iter().map_while(|p| *p).collect();
        let last = parts.iter().rev().map_while(|p| *p).collect();
        Ends { first, last }
    }
}

/// Digits at the beginning of a pattern, of which every match has so many, and what stands behind them there.
fn digits(java: &str) -> Option<(usize, &str)> {
    const ONE: [&str; 3] = ["\\d", "(\\d)", "[0-9]"];
    let rest = ONE.iter().find_map(|one| java.strip_prefix(one))?;
    let repeated = rest.strip_prefix('{').and_then(|behind| behind.split_once('}'));
    let Some((count, rest)) = repeated else { return Some((1, rest)) };
    // What may follow says something else of it.
    let is_said = !rest.starts_with(['*', '?', '+', '{']);
    let count = count.parse().ok().filter(|count| (1..=DIGITS_MAX).contains(count))?;
    is_said.then_some((count, rest))
}

/// A pattern as letters that stand for themselves, digits, and parts that may be anything (`None`). `None`
/// as a whole: not understood.
fn parts(java: &str) -> Option<Vec<Option<Sign>>> {
    let mut parts: Vec<Option<Sign>> = Vec::new();
    let mut depth = 0u32;
    let mut in_class = 0u32;
    let mut letters = java.chars();
    loop {
        let is_inside = depth > 0 || in_class > 0;
        if let Some((count, rest)) = digits(letters.as_str()).filter(|_| !is_inside) {
            parts.extend(std::iter::repeat_n(Some(Sign::Digit), count));
            letters = rest.chars();
            continue;
        }
        let Some(letter) = letters.next() else { break };
        let part = match letter {
            '\\' => match letters.next()? {
                // Of the others the letters behind them would be misread.
                'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'h' | 'H' | 'v' | 'V' | 't' => None,
                escaped if escaped.is_ascii_alphanumeric() => return None,
                escaped => Some(Sign::Letter(escaped)),
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
                if letters.as_str().starts_with('?') {
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
            // A match is the whole name.
            '^' if parts.is_empty() => continue,
            '$' if letters.as_str().is_empty() => continue,
            '.' | '^' | '$' => None,
            plain => Some(Sign::Letter(plain)),
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
        let shown = |sign| match sign {
            Sign::Letter(c) => c,
            Sign::Digit => '#',
        };
        (first.into_iter().map(shown).collect(), last.into_iter().rev().map(shown).collect())
    }

    #[test]
    fn letters_that_every_match_begins_and_ends_with() {
        let cases = [
            (r"app-\d{10}\.log", "app-##########.log", "app-##########.log"),
            (r"a(\d){2}-[0-9].*", "a##-#", ""),
            (r".*(\d){4}-(\d){2}", "", "####-##"),
            (r"a\d+", "a#", ""),
            (r"a\d*b", "a", "b"),
            (r"a\d{2,3}b", "a", "b"),
            (r"a\d{2}*b", "a", "b"),
            (r"a(\d)?b", "a", "b"),
            (r"a(\d\d){2}b", "a", "b"),
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
            (r"^app$", "app", "app"),
            (r"a^b$c", "a", "c"),
            (r"^.*\.err$", "", ".err"),
            (r"a\$", "a$", "a$"),
        ];
        for (java, first, last) in cases {
            assert_eq!(ends(java), (first.to_owned(), last.to_owned()), "{java}");
        }
    }

    #[test]
    fn only_what_means_the_same_by_itself_is_a_part_of_an_alternation() {
        assert_eq!(alternatives("a|b[|]|(c|d)"), ["a|b[|]|(c|d)", "a", "b[|]", "(c|d)"]);
        assert_eq!(alternatives(r"a\|b"), [r"a\|b", r"a\|b"]);
        for java in [r"(?i)a|b", r"\Qa|b\E", r"(a)|\1", r"[]|]", r"\c|", "a\\"] {
            assert_eq!(alternatives(java), [java], "{java}");
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
