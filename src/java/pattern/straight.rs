//! Patterns that leave no choice, walked from the first byte to the last.
//!
//! `^(\d+) .{19} (INFO|WARN|DEBUG)` is what an extractor usually asks of a line: behind a beginning that is
//! fixed, each byte says alone how it goes on. Such a pattern needs no automaton, which costs 4 ns for each
//! byte where groups are asked; a look at a table costs less than one.
//!
//! What makes a walk right: a run takes all that it may, and what comes behind it cannot begin with a byte of
//! the run's. With fewer bytes the pattern could not go on, so that the first way is the only one. Or what
//! comes behind it cannot fail, as in ` +(.*)`: the first way is the one that counts. Alternatives begin with
//! different bytes. A pattern that does not keep to this is none of these.

use std::ops::Range;

use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};

use super::direct::{GROUPS_MAX, SLOTS_MAX};
use super::is_plain;

/// ASCII characters, a bit for each.
type Set = u128;

/// A pattern for plain texts (see [`is_plain`]).
#[derive(Debug)]
pub(super) struct Straight {
    steps: Vec<Step>,
    /// Beginnings and ends of the groups, the whole match first.
    slots: usize,
}

#[derive(Debug)]
enum Step {
    Literal(Box<[u8]>),
    /// From `min` to `max` bytes of those in the table, as many as there are.
    Run {
        table: Box<[bool; 128]>,
        min: usize,
        max: usize,
    },
    /// From `min` to `max` bytes whatever they are.
    Any {
        min: usize,
        max: usize,
    },
    /// One of these, by its first byte.
    Either {
        ways: Vec<Vec<Step>>,
        by_first: Box<[u8; 128]>,
    },
    /// Here is the beginning or end of a group.
    Mark(usize),
    End,
}

/// Steps, and what they look like from before them.
type Way = (Vec<Step>, Ahead);

/// What is known of all that comes, up to the end of the pattern.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    /// With one of these it goes on, or it takes nothing.
    first: Set,
    /// It matches whatever comes.
    is_sure: bool,
    /// It matches where nothing comes.
    is_sure_at_end: bool,
}

/// Nothing comes.
const OVER: Ahead = Ahead { first: 0, is_sure: true, is_sure_at_end: true };

impl Ahead {
    /// It takes one of these bytes at least.
    fn of(first: Set) -> Ahead {
        Ahead { first, is_sure: false, is_sure_at_end: false }
    }
}

impl Straight {
    /// `None`: the pattern leaves a choice, or begins anywhere.
    pub(super) fn compile(translated: &str, count: usize) -> Option<Straight> {
        if count > GROUPS_MAX {
            return None;
        }
        let hir = regex_syntax::parse(translated).ok()?;
        let HirKind::Concat(parts) = hir.kind() else { return None };
        let (first, parts) = parts.split_first()?;
        if !matches!(first.kind(), HirKind::Look(Look::Start)) {
            return None;
        }
        let (steps, _) = concat(parts, OVER)?;
        Some(Straight { steps, slots: 2 * (count + 1) })
    }

    /// Calls `act` for each group of the match that took part in it, with its number, from 1 on.
    pub(super) fn first(&self, text: &str, mut act: impl FnMut(usize, Range<usize>)) {
        debug_assert!(is_plain(text));
        let mut slots = [usize::MAX; SLOTS_MAX];
        if walk(&self.steps, text.as_bytes(), 0, &mut slots).is_none() {
            return;
        }
        for (group, ends) in slots[..self.slots].chunks_exact(2).enumerate().skip(1) {
            if let [start, end] = *ends
                && end != usize::MAX
            {
                act(group, start..end);
            }
        }
    }
}

/// Returns where the steps lead from `at`, if they lead through the text.
fn walk(steps: &[Step], text: &[u8], mut at: usize, slots: &mut [usize]) -> Option<usize> {
    for step in steps {
        let rest = &text[at..];
        match step {
            Step::Literal(literal) => {
                at += rest.starts_with(literal).then_some(literal.len())?;
            }
            Step::Run { table, min, max } => {
                let most = &rest[..rest.len().min(*max)];
                let is_other = |byte: &u8| !table[usize::from(byte & 0x7f)];
                let taken = most.iter().position(is_other).unwrap_or(most.len());
                at += (taken >= *min).then_some(taken)?;
            }
            Step::Any { min, max } => {
                let taken = rest.len().min(*max);
                at += (taken >= *min).then_some(taken)?;
            }
            Step::Either { ways, by_first } => {
                let first = usize::from(*rest.first()? & 0x7f);
                let way = ways.get(usize::from(by_first[first]))?;
                at = walk(way, text, at, slots)?;
            }
            Step::Mark(slot) => slots[*slot] = at,
            Step::End => {
                if !rest.is_empty() {
                    return None;
                }
            }
        }
    }
    Some(at)
}

/// The steps of parts one behind the other, and of what comes `after` them.
fn concat(parts: &[Hir], after: Ahead) -> Option<Way> {
    let mut all = Vec::new();
    let mut after = after;
    for part in parts.iter().rev() {
        let (mut steps, ahead) = way(part, after)?;
        steps.append(&mut all);
        (all, after) = (steps, ahead);
    }
    Some((all, after))
}

fn way(hir: &Hir, after: Ahead) -> Option<Way> {
    match hir.kind() {
        HirKind::Empty => Some((Vec::new(), after)),
        HirKind::Literal(literal) => {
            let first = *literal.0.first().filter(|_| literal.0.is_ascii())?;
            Some((vec![Step::Literal(literal.0.clone())], Ahead::of(1 << first)))
        }
        HirKind::Class(class) => {
            let set = set(class);
            Some((vec![run(set, 1, 1)], Ahead::of(set)))
        }
        HirKind::Look(Look::End) => Some((vec![Step::End], Ahead { is_sure: false, ..OVER })),
        HirKind::Look(_) => None,
        HirKind::Repetition(repetition) => repeat(repetition, after),
        HirKind::Capture(capture) => group(capture, after),
        HirKind::Concat(parts) => concat(parts, after),
        HirKind::Alternation(parts) => either(parts, after),
    }
}

fn repeat(repetition: &Repetition, after: Ahead) -> Option<Way> {
    let set = match repetition.sub.kind() {
        HirKind::Class(class) => set(class),
        HirKind::Literal(literal) => match *literal.0 {
            [byte] if byte.is_ascii() => 1 << byte,
            _ => return None,
        },
        _ => return None,
    };
    let min = repetition.min as usize;
    let max = repetition.max.map_or(usize::MAX, |max| max as usize);
    let has_choice = min != max;
    let step = run(set, min, max);
    let takes_all = matches!(step, Step::Any { max: usize::MAX, .. });
    let cannot_fail = after.is_sure || takes_all && after.is_sure_at_end;
    let is_first_right = set & after.first == 0 || cannot_fail;
    if has_choice && !(repetition.greedy && is_first_right) {
        return None;
    }
    let ahead = if min > 0 {
        Ahead::of(set)
    } else {
        Ahead { first: set | after.first, is_sure: cannot_fail, ..after }
    };
    Some((vec![step], ahead))
}

fn group(capture: &Capture, after: Ahead) -> Option<Way> {
    let slot = 2 * capture.index as usize;
    let (mut steps, ahead) = way(&capture.sub, after)?;
    steps.insert(0, Step::Mark(slot));
    steps.push(Step::Mark(slot + 1));
    Some((steps, ahead))
}

fn either(parts: &[Hir], after: Ahead) -> Option<Way> {
    let mut ways = Vec::new();
    let mut by_first = Box::new([u8::MAX; 128]);
    let mut all = 0;
    for part in parts {
        if part.properties().minimum_len().is_none_or(|min| min == 0) {
            return None;
        }
        let (steps, Ahead { first, .. }) = way(part, after)?;
        if all & first != 0 {
            return None;
        }
        if first == 0 {
            // It begins with what no plain text has.
            continue;
        }
        all |= first;
        let firsts = by_first.iter_mut().zip(0..).filter(|(_, byte)| has(first, *byte));
        // There are fewer ways than bytes, since each has some of its own.
        firsts.for_each(|(way, _)| *way = ways.len() as u8);
        ways.push(steps);
    }
    Some((vec![Step::Either { ways, by_first }], Ahead::of(all)))
}

/// A step for `min` to `max` bytes of a set.
fn run(set: Set, min: usize, max: usize) -> Step {
    let line_ends = 1 << b'\n' | 1 << b'\r';
    if set | line_ends == Set::MAX {
        return Step::Any { min, max };
    }
    Step::Run { table: Box::new(std::array::from_fn(|byte| has(set, byte as u8))), min, max }
}

fn has(set: Set, byte: u8) -> bool {
    set & (1 << (byte & 0x7f)) != 0
}

/// What is ASCII of a class.
fn set(class: &Class) -> Set {
    let bits = |start: u32, end: u32| -> Set {
        (start..=end.min(0x7f)).fold(0, |set, byte| set | 1 << byte)
    };
    match class {
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .fold(0, |set, range| set | bits(range.start().into(), range.end().into())),
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .fold(0, |set, range| set | bits(range.start().into(), range.end().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Groups, translate};
    use super::Straight;

    /// Those of the second half leave a choice.
    const PATTERNS: [(&str, bool); 29] = [
        (r"^(\d+) .{19} (INFO|WARN|DEBUG)", true),
        (r"^([^ ]*) (\S+) ?(\w{2,4})?", false),
        (r"^(\d{4})-(\d\d)-(\d\d)[ T](\d\d)(.*)$", true),
        (r"^\[([^\]]+)\] +(.*)", true),
        (r"^(a{0,2})(b?)(c|d)", true),
        (r"^(a{0,2})(b?)$", true),
        (r"^(a*)(b*)", true),
        (r"^(?:(a+)|(b+)c|(d))(.?)", true),
        (r"^(?i)(error|warn)[: ]+(\w*)", true),
        (r"^(x)(y|)(z)?", false),
        (r"^()(a?)", true),
        (r"^.{3}(b|a)", true),
        (r"^(a+)(.*)$", true),
        (r"^(a+)(.*)(b?)$", true),
        (r"^(a+)(b*)(.{2})$", false),
        (r"^(a+)(a?)(.*)", true),
        (r"^(a+)(a?)$", false),
        (r"^(a|ab)(c|bcd)(d*)", false),
        (r"^(a*)(ab)", false),
        (r"^(a*?)(b)", false),
        (r"^(.*) (.*)", false),
        (r"(\w+)", false),
        (r"^(WARN|WARNING)", false),
        (r"^(\w++)(b)", false),
        (r"^(a{2,3}+)(a)?", false),
        (r"^(ab)*(c)", false),
        (r"^(a)|(b)", false),
        (r"^(a?b*)(a)", false),
        (r"^(é)(a)", false),
    ];

    /// All that an alphabet of these can say in a few letters, and some lines.
    fn texts() -> Vec<String> {
        let lines = [
            "0000000017 2026-11-30 10:00:00 WARN abc",
            "0000000017 2026-11-30 10:00:00 TRACE abc",
            "2026-11-30T10:00:00 x",
            "[main] an Error: no room",
            "eRRor: disk",
            "WARNING: x",
            "",
            "10.0.0.1 - - [30/Nov]",
            "é a",
        ];
        let mut texts: Vec<String> = lines.map(str::to_owned).into();
        let mut words = vec![String::new()];
        for _ in 0..5 {
            words = words
                .iter()
                .flat_map(|word| "abcdx ".chars().map(move |c| format!("{word}{c}")))
                .collect();
            texts.extend(words.iter().cloned());
        }
        texts
    }

    #[test]
    fn a_walk_finds_what_the_automata_find() {
        let texts = texts();
        for (pattern, is_straight) in PATTERNS {
            let mut groups = Groups::compile(pattern).unwrap();
            let translation = translate::translate_with_groups(pattern).unwrap();
            let plain = translation.plain.as_ref().unwrap_or(&translation.exact);
            assert_eq!(
                Straight::compile(plain, groups.count()).is_some(),
                is_straight,
                "{pattern}"
            );
            let walked: Vec<_> = texts.iter().map(|text| groups.found(text)).collect();
            groups.without_directs();
            for (text, walked) in texts.iter().zip(walked) {
                assert_eq!(walked, groups.found(text), "{pattern} on {text:?}");
            }
        }
    }
}
