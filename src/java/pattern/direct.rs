//! Groups of patterns that need no backtracking, straight from the automata.
//!
//! `fancy-regex` hands such a pattern to `regex-automata` as well, but makes room for the groups of every text
//! and takes it away again. Where each line of a log is asked for two groups that is a third of the work.

use std::ops::Range;

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::primitives::NonMaxUsize;

use super::Text;
use super::straight::Straight;
use super::translate::Translation;

/// A pattern with more groups goes the usual way: their room is on the stack.
pub(super) const GROUPS_MAX: usize = 15;

/// Beginnings and ends of the groups and of the whole match.
pub(super) const SLOTS_MAX: usize = 2 * (GROUPS_MAX + 1);

/// The automata of a pattern, as far as there are any, for each kind of text.
#[derive(Debug, Default)]
pub(super) struct Directs {
    straight: Option<Straight>,
    plain: Option<Direct>,
    any: Option<Direct>,
}

/// How groups are found without a detour.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'d> {
    Straight(&'d Straight),
    Automata(&'d Direct),
}

impl Directs {
    /// For a pattern with so many groups.
    pub(super) fn compile(translation: &Translation, count: usize) -> Directs {
        let direct = |translated: &String| Direct::compile(translated, count);
        let any = direct(&translation.exact);
        let plain = translation.plain.as_ref().and_then(direct);
        let simplest = translation.plain.as_ref().unwrap_or(&translation.exact);
        let is_alike = !may_be_possessive(simplest);
        let straight = is_alike.then(|| Straight::compile(simplest, count)).flatten();
        Directs { straight, plain, any }
    }

    pub(super) fn of(&self, text: Text) -> Option<Way<'_>> {
        let any = self.any.as_ref().map(Way::Automata);
        match text {
            Text::Plain => {
                let straight = self.straight.as_ref().map(Way::Straight);
                straight.or(self.plain.as_ref().map(Way::Automata)).or(any)
            }
            Text::Any => any,
        }
    }
}

impl Way<'_> {
    /// Calls `act` for each group of the first match that took part in it, with its number, from 1 on.
    pub(super) fn first(self, text: &str, act: impl FnMut(usize, Range<usize>)) {
        match self {
            Way::Straight(straight) => straight.first(text, act),
            Way::Automata(direct) => direct.first(text, act),
        }
    }
}

#[derive(Debug)]
pub(super) struct Direct {
    regex: Regex,
    slots: usize,
}

impl Direct {
    /// `None` where the pattern needs backtracking.
    fn compile(translated: &str, count: usize) -> Option<Direct> {
        if count > GROUPS_MAX || may_be_possessive(translated) {
            return None;
        }
        // It takes neither look-around nor back-references nor atomic groups.
        let regex = Regex::new(translated).ok()?;
        Some(Direct { regex, slots: 2 * (count + 1) })
    }

    fn first(&self, text: &str, mut act: impl FnMut(usize, Range<usize>)) {
        let mut slots: [Option<NonMaxUsize>; SLOTS_MAX] = [None; SLOTS_MAX];
        let slots = &mut slots[..self.slots];
        if self.regex.search_slots(&Input::new(text), slots).is_none() {
            return;
        }
        for (group, ends) in slots.chunks_exact(2).enumerate().skip(1) {
            if let [Some(start), Some(end)] = ends {
                act(group, start.get()..end.get());
            }
        }
    }
}

/// A quantifier behind another one makes it possessive in Java and in `fancy-regex`; to `regex-automata` it is
/// a second one, with another meaning.
fn may_be_possessive(translated: &str) -> bool {
    ["++", "*+", "?+", "}+"].iter().any(|twice| translated.contains(twice))
}

#[cfg(test)]
mod tests {
    use super::super::Groups;

    const PATTERNS: [&str; 14] = [
        r"^(\d+) .{19} (INFO|WARN|DEBUG)",
        r"(\w+)(?:=(\d+))?(;)?",
        r"(a|ab)(c|bcd)(d*)",
        r"(a*)(a*)",
        r"(a*?)(b+?)$",
        r"(?i)(error|WARN)[: ]+(.*)",
        r#"([^ ]*) - - \[([^\]]+)\] "(\S+)"#,
        r"^$|(x)",
        r"(\s*)(\S*+)(.*)",
        r"(\+++)(b)?",
        r"(?=(a+))a*b\1",
        r"(a{2,3}+)(a)?",
        r"\b(\w+)\b",
        r"(é|[à-ü]+)(.?)",
    ];

    const TEXTS: [&str; 14] = [
        "0000000017 2026-11-30 10:00:00 WARN abc",
        "  key=12;",
        "abcd",
        "aaaa",
        "aab",
        "an Error: no room",
        "10.0.0.1 - - [30/Nov/2026:10:00:00] \"GET / HTTP/1.1\"",
        "",
        "x",
        "++++b",
        "baaabac",
        "élève à côté",
        "two\nlines é",
        "a\u{301}b c\u{2028}d",
    ];

    #[test]
    fn groups_are_those_that_the_usual_way_finds() {
        let mut direct = 0;
        for pattern in PATTERNS {
            let mut groups = Groups::compile(pattern).unwrap();
            let straight: Vec<_> = TEXTS.iter().map(|text| groups.found(text)).collect();
            direct += usize::from(groups.without_directs());
            for (text, straight) in TEXTS.iter().zip(straight) {
                assert_eq!(straight, groups.found(text), "{pattern} on {text:?}");
            }
        }
        assert!((9..PATTERNS.len()).contains(&direct), "{direct} patterns need no backtracking");
    }
}
