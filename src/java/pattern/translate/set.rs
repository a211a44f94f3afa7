//! Character classes and the escapes that stand for sets.

use super::super::class;
use super::{Parser, PatternError, Token};

/// One operand of a class: the union of its members.
#[derive(Debug, Default)]
struct Members {
    set: String,
    /// There is a nested class among them.
    nested: bool,
    /// There is something else among them.
    plain: bool,
}

impl Parser<'_> {
    /// Reads a class behind its `[` and gives it in brackets.
    ///
    /// Java's rules: `[a[b]]` is a union, `[a&&b]` an intersection, `]` in the
    /// first place and `-` beside a bracket are literals.
    pub(super) fn class(&mut self, depth: usize) -> Result<String, PatternError> {
        let start = self.at;
        if depth > super::MAX_DEPTH {
            return Err(self.error("classes are nested too deeply"));
        }
        let negated = self.accept('^');
        let Members { set: mut items, mut nested, .. } = self.members(depth, true)?;
        while self.accept_intersection() {
            let right = self.members(depth, false)?;
            if items.is_empty() || right.set.is_empty() {
                return Err(self.error("&& without two operands is not supported"));
            }
            if right.nested && right.plain {
                return Err(
                    self.error("a nested class beside other characters behind && is not supported")
                );
            }
            items = format!("[[{items}]&&[{}]]", right.set);
            nested = true;
        }
        if !self.accept(']') {
            return Err(self.error("Unclosed character class"));
        }
        if negated && nested {
            return Err(self.error_at(
                start,
                "a negated class with a nested class or && is not supported, Java releases differ",
            ));
        }
        Ok(if negated { format!("[^{items}]") } else { format!("[{items}]") })
    }

    fn accept_intersection(&mut self) -> bool {
        let yes = self.is(0, '&') && self.is(1, '&');
        self.at += if yes { 2 } else { 0 };
        yes
    }

    /// Reads the members of a class up to `]` or `&&`. At the beginning of a
    /// class a `]` is a member.
    fn members(&mut self, depth: usize, beginning: bool) -> Result<Members, PatternError> {
        let mut members = Members::default();
        loop {
            let Some(token) = self.peek() else {
                return Err(self.error("Unclosed character class"));
            };
            let literal = beginning && members.set.is_empty();
            if (self.is(0, ']') && !literal) || (self.is(0, '&') && self.is(1, '&')) {
                return Ok(members);
            }
            if self.accept('[') {
                members.set.push_str(&self.class(depth + 1)?);
                members.nested = true;
            } else {
                members.set.push_str(&self.class_item(token)?);
                members.plain = true;
            }
        }
    }

    /// Reads a character, a range or an escape.
    fn class_item(&mut self, token: Token) -> Result<String, PatternError> {
        let start = self.at;
        let Some(low) = self.class_char()? else {
            return self.set_escape(start);
        };
        let mut high = low;
        let range = self.is(0, '-') && !self.is(1, ']') && !self.is(1, '[');
        if range {
            if token.c == '\\' && !token.quoted && self.tokens[start + 1].c == 'v' {
                return Err(self.error_at(start, r"\v as the end of a range is not supported"));
            }
            self.at += 1;
            let Some(end) = self.class_char()? else {
                return Err(self.error("Illegal character range"));
            };
            if end < low {
                return Err(self.error_at(start, "Illegal character range"));
            }
            high = end;
        } else {
            self.check_case(low, start)?;
        }
        Ok(class::range(low, high, self.flags.case()))
    }

    /// Reads a character of a class; `None`, and nothing read, if it is an
    /// escape that stands for a set.
    fn class_char(&mut self) -> Result<Option<char>, PatternError> {
        let escape = self.is(0, '\\');
        if escape && self.tokens.get(self.at + 1).is_some_and(|t| is_set(t.c)) {
            return Ok(None);
        }
        let start = self.at;
        match self.next() {
            None => Err(self.error("Unclosed character class")),
            Some(_) if escape => self.char_escape(start).map(Some),
            Some(token) => Ok(Some(token.c)),
        }
    }

    /// Reads an escape at `start` that stands for a set, such as `\d`.
    pub(super) fn set_escape(&mut self, start: usize) -> Result<String, PatternError> {
        let letter = self.tokens[start + 1].c;
        self.at = start + 2;
        if letter == 'v' && self.is(0, '-') && !self.is(1, ']') && !self.is(1, '[') {
            return Err(self.error_at(start, r"\v- in a class is not supported"));
        }
        let unicode = self.flags.unicode_class;
        let set = match (letter.to_ascii_lowercase(), unicode) {
            ('d', false) => class::DIGIT.to_owned(),
            ('d', true) => class::UNICODE_DIGIT.to_owned(),
            ('w', false) => class::WORD.to_owned(),
            ('w', true) => class::UNICODE_WORD.to_owned(),
            ('s', false) => class::SPACE.to_owned(),
            ('s', true) => class::UNICODE_SPACE.to_owned(),
            ('h', _) => class::HORIZONTAL.to_owned(),
            ('v', _) => class::VERTICAL.to_owned(),
            _ => self.property(start)?,
        };
        Ok(if letter.is_ascii_uppercase() { format!("[^{set}]") } else { set })
    }

    /// Reads the name of `\p`, in braces or one letter.
    fn property(&mut self, start: usize) -> Result<String, PatternError> {
        let mut name = String::new();
        if self.accept('{') {
            loop {
                match self.next() {
                    None => return Err(self.error("Unclosed character family")),
                    Some(token) if token.c == '}' => break,
                    Some(token) => name.push(token.c),
                }
            }
        } else if let Some(token) = self.next() {
            name.push(token.c);
        }
        if self.flags.case_insensitive && class::tells_case(&name) {
            return Err(self.error_at(
                start,
                format!(
                    r"the property {{{name}}} under (?i) is not supported, Java releases differ"
                ),
            ));
        }
        class::property(&name, self.flags.unicode_class).ok_or_else(|| {
            self.error_at(start, format!(r"the property {{{name}}} is unknown or not supported"))
        })
    }
}

/// Whether the letter behind a backslash makes it a set.
pub(super) fn is_set(letter: char) -> bool {
    matches!(letter, 'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'h' | 'H' | 'v' | 'V' | 'p' | 'P')
}
