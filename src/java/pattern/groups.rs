//! What the groups of a pattern matched, and replacing what a pattern finds.

use std::ops::Range;

use super::direct::Directs;
use super::{
    BACKTRACK_LIMIT, Engine, MatchError, Pattern, PatternError, TOO_LONG, Text, translate,
};

/// Where the groups of a match are, the whole of it first; a group that took no part is `None`.
pub type Match = Vec<Option<Range<usize>>>;

/// A line may have thousands of matches. So many of them may take all the steps that a match has, and so
/// many more at most these; with those the replacing is given up, after about a second. What never falls
/// back, as no match of the linear engine does, is not counted.
const LONG_MAX: usize = 5;
const BRIEF_MAX: usize = 3_000;
const BRIEF_LIMIT: usize = 10_000;

/// A pattern whose groups are of interest.
#[derive(Debug)]
pub struct Groups {
    pattern: Pattern,
    engine: Engine,
    /// The same, but it gives up when it has to fall back for the first time, or after [`BRIEF_LIMIT`] steps.
    free: Engine,
    brief: Engine,
    direct: Directs,
    count: usize,
}

impl Groups {
    /// Compiles a pattern as `Pattern.compile(java)` does.
    ///
    /// # Errors
    ///
    /// As [`Pattern::compile`].
    pub fn compile(java: &str) -> Result<Groups, PatternError> {
        let pattern = Pattern::compile(java)?;
        let translation = translate::translate_with_groups(java)?;
        let within = |limit| Engine::compile(java, &translation, str::to_owned, limit);
        let engine = within(BACKTRACK_LIMIT)?;
        let count = engine.exact.captures_len().saturating_sub(1);
        let (free, brief) = (within(0)?, within(BRIEF_LIMIT)?);
        let direct = Directs::compile(&translation, count);
        Ok(Groups { pattern, engine, free, brief, direct, count })
    }

    /// From now on all texts go the usual way; did any go another one?
    #[cfg(test)]
    pub(super) fn without_directs(&mut self) -> bool {
        let none = Directs::default();
        std::mem::replace(&mut self.direct, none).of(super::Text::Plain).is_some()
    }

    /// The groups of the first match that took part in it, and what they hold.
    #[cfg(test)]
    pub(super) fn found(&self, text: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        self.first(text, |group, part| found.push((group, part.to_owned()))).unwrap();
        found
    }

    /// How many groups capture.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Calls `act` for each group of the first match that took part in it, with its number, from 1 on, and
    /// its text. Of a line it allocates nothing where the pattern needs no backtracking.
    ///
    /// # Errors
    ///
    /// The match was given up; see [`MatchError`].
    pub fn first<'t>(
        &self,
        text: &'t str,
        mut act: impl FnMut(usize, &'t str),
    ) -> Result<(), MatchError> {
        let kind = self.pattern.tell(text)?;
        if let Some(direct) = self.direct.of(kind) {
            direct.first(text, |group, range| act(group, &text[range]));
            return Ok(());
        }
        let Some(groups) = self.next(&self.engine, (text, kind), 0)? else { return Ok(()) };
        let found = groups.into_iter().enumerate().skip(1);
        found.for_each(|(group, range)| range.into_iter().for_each(|r| act(group, &text[r])));
        Ok(())
    }

    /// The next match of several in one text; `counted`: how many of them have fallen back so far.
    fn next_of_many(
        &self,
        text: (&str, Text),
        from: usize,
        counted: &mut usize,
    ) -> Result<Option<Match>, MatchError> {
        self.next(&self.free, text, from).or_else(|too_long| {
            *counted += 1;
            if *counted <= LONG_MAX {
                self.next(&self.engine, text, from)
            } else if *counted <= LONG_MAX + BRIEF_MAX {
                self.next(&self.brief, text, from)
            } else {
                Err(too_long)
            }
        })
    }

    fn next(
        &self,
        engine: &Engine,
        (text, kind): (&str, Text),
        from: usize,
    ) -> Result<Option<Match>, MatchError> {
        let found = engine
            .regex(kind)
            .captures_from_pos(text, from)
            .map_err(|_| self.pattern.give_up(TOO_LONG))?;
        Ok(found.map(|found| {
            (0..=self.count).map(|group| found.get(group).map(|m| m.range())).collect()
        }))
    }

    /// The text with every match replaced, as `Matcher.replaceAll` does it; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The match was given up; see [`MatchError`].
    pub fn replace_all(
        &self,
        text: &str,
        replacement: &Replacement,
    ) -> Result<Option<String>, MatchError> {
        if !self.pattern.find(text)? {
            return Ok(None);
        }
        let kind = self.pattern.tell(text)?;
        let mut out = String::with_capacity(text.len());
        let (mut copied, mut from, mut counted) = (0, 0, 0);
        while let Some(groups) = self.next_of_many((text, kind), from, &mut counted)? {
            let Some(whole) = groups[0].clone() else { break };
            out.push_str(&text[copied..whole.start]);
            replacement.write(text, &groups, &mut out);
            copied = whole.end;
            // Behind an empty match Java goes on with the next character.
            let behind = text[whole.end..].chars().next();
            match (whole.is_empty(), behind) {
                (true, None) => break,
                (true, Some(next)) => from = whole.end + next.len_utf8(),
                (false, _) => from = whole.end,
            }
        }
        out.push_str(&text[copied..]);
        Ok(Some(out))
    }
}

/// What takes the place of a match, in the language of `Matcher.appendReplacement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Group(usize),
}

impl Replacement {
    /// Parses a replacement for a pattern with so many groups.
    ///
    /// # Errors
    ///
    /// What Java refuses, in its words, and `${name}`.
    pub fn parse(java: &str, groups: usize) -> Result<Replacement, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = java.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => literal.push(chars.next().ok_or("character to be escaped is missing")?),
                '$' => {
                    let first =
                        chars.next().ok_or("Illegal group reference: group index is missing")?;
                    if first == '{' {
                        return Err("named groups (${name}) are not supported; use $1".to_owned());
                    }
                    let digit = first.to_digit(10).ok_or("Illegal group reference")?;
                    let mut group = digit as usize;
                    if group > groups {
                        return Err(format!("No group {group}"));
                    }
                    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                        let longer = group * 10 + digit as usize;
                        if longer > groups {
                            break;
                        }
                        group = longer;
                        chars.next();
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Group(group));
                }
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Replacement(parts))
    }

    fn write(&self, text: &str, groups: &[Option<Range<usize>>], out: &mut String) {
        for part in &self.0 {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Group(group) => {
                    if let Some(Some(range)) = groups.get(*group) {
                        out.push_str(&text[range.clone()]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, replacement: &str, text: &str) -> String {
        let groups = Groups::compile(pattern).unwrap();
        let replacement = Replacement::parse(replacement, groups.count()).unwrap();
        groups.replace_all(text, &replacement).unwrap().unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn replacing_is_that_of_java() {
        assert_eq!(
            replaced(r"card=(\d{4})\d+", "card=$1****", "a card=12345678 b"),
            "a card=1234**** b"
        );
        assert_eq!(replaced("x*", "-", "abc"), "-a-b-c-");
        assert_eq!(replaced("a*", "-", "baac"), "-b--c-");
        assert_eq!(replaced("(a)(b)?", "[$2$1$12]", "a ab"), "[aa2] [baa2]");
        assert_eq!(replaced("o", r"\$\\", "foo"), r"f$\$\");
        assert_eq!(replaced("ß", "ss", "Straße"), "Strasse");
        assert_eq!(replaced("^[A-Z] ", "", "none"), "none");
    }

    /// Ninety matches of half a million steps each, as a line of 2,048 letters can have.
    #[test]
    fn a_line_of_matches_that_backtrack_is_given_up() {
        let groups = Groups::compile("(?!x)((a|a)*b(?!x)|c)").unwrap();
        let replacement = Replacement::parse("-", groups.count()).unwrap();
        let part = "a".repeat(17) + "c";
        let replaced = |parts: usize| groups.replace_all(&part.repeat(parts), &replacement);
        assert_eq!(replaced(5), Ok(Some(("a".repeat(17) + "-").repeat(5))));
        assert!(replaced(90).is_err());
        // Thousands that take few steps, and any number that takes none.
        let groups = Groups::compile("(?<=x)y").unwrap();
        let replaced = |text: &str| groups.replace_all(text, &replacement);
        assert_eq!(replaced(&"xy".repeat(2_000)), Ok(Some("x-".repeat(2_000))));
        let groups = Groups::compile("[xy]").unwrap();
        let replaced = groups.replace_all(&"xy".repeat(50_000), &replacement);
        assert_eq!(replaced, Ok(Some("--".repeat(50_000))));
    }

    #[test]
    fn bad_replacements_are_told_in_the_words_of_java() {
        for (bad, why) in [
            ("$2", "No group 2"),
            ("a$", "group index is missing"),
            ("$x", "Illegal group reference"),
            (r"\", "escaped"),
            ("${name}", "named groups"),
        ] {
            let told = Replacement::parse(bad, 1).unwrap_err();
            assert!(told.contains(why), "{bad}: {told}");
        }
    }

    #[test]
    fn groups_are_numbered_as_in_java() {
        let groups = Groups::compile(r"(\w+)(?:=(\d+))?(;)?").unwrap();
        assert_eq!(groups.count(), 3);
        let mut found = Vec::new();
        groups.first("  key=12", |group, text| found.push((group, text))).unwrap();
        assert_eq!(found, [(1, "key"), (2, "12")]);
        found.clear();
        groups.first("  ", |group, text| found.push((group, text))).unwrap();
        assert_eq!(found, []);
        // Java's look-around and possessive quantifiers take no number.
        let groups = Groups::compile(r"(?<=x)(a)++(?:b)?(?<last>c)$").unwrap();
        assert_eq!(groups.count(), 2);
    }
}
