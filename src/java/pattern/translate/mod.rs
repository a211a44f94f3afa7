//! The parser of Java's pattern syntax, which writes the engine's as it goes.

use super::PatternError;
use super::class::{self, Case};

mod atom;
mod set;

/// Groups may be nested this deep, below the limit of the engine.
const MAX_DEPTH: usize = 50;

/// A pattern in the engine's syntax.
#[derive(Debug)]
pub(super) struct Translation {
    /// For every text.
    pub(super) exact: String,
    /// For plain texts, if that differs to advantage.
    pub(super) plain: Option<String>,
    /// Whether `\b` or `\B` occur with Java's own notion of a word.
    pub(super) word_boundary: bool,
}

impl Translation {
    /// Makes a full match of a translated pattern.
    pub(super) fn anchored(body: &str) -> String {
        format!(r"\A(?:{body})\z")
    }
}

/// Translates a pattern.
///
/// # Errors
///
/// Syntax errors, in Java's words, and what cannot be translated.
pub(super) fn translate(java: &str) -> Result<Translation, PatternError> {
    translate_to(java, false)
}

/// The same, each group remembered.
pub(super) fn translate_with_groups(java: &str) -> Result<Translation, PatternError> {
    translate_to(java, true)
}

fn translate_to(java: &str, captures: bool) -> Result<Translation, PatternError> {
    let tokens = tokens(java);
    let mut parser = Parser {
        java,
        captures: captures || uses_groups(&tokens),
        tokens,
        at: 0,
        flags: Flags::default(),
        out: Out::default(),
        opened: 0,
        closed: Vec::new(),
        names: Vec::new(),
        fancy: false,
        word_boundary: false,
    };
    parser.alternatives(0)?;
    if parser.peek().is_some() {
        return Err(parser.error("Unmatched closing ')'"));
    }
    let Out { exact, plain } = parser.out;
    Ok(Translation {
        plain: (parser.fancy && plain != exact).then_some(plain),
        exact,
        word_boundary: parser.word_boundary,
    })
}

/// A character of the pattern; `\Q` and `\E` are already taken out.
#[derive(Debug, Clone, Copy)]
struct Token {
    c: char,
    /// It stood between `\Q` and `\E`: a literal whatever it is.
    quoted: bool,
    /// Its position in the pattern, in characters from 1.
    position: usize,
}

fn tokens(java: &str) -> Vec<Token> {
    let chars: Vec<char> = java.chars().collect();
    let mut tokens = Vec::with_capacity(chars.len());
    let mut quoted = false;
    let mut i = 0;
    while let Some(&c) = chars.get(i) {
        let next = chars.get(i + 1).copied();
        let mut push = |c, i| {
            tokens.push(Token { c, quoted, position: i + 1 });
        };
        match (c, next) {
            ('\\', Some('E')) if quoted => {
                quoted = false;
                i += 2;
            }
            ('\\', Some('Q')) if !quoted => {
                quoted = true;
                i += 2;
            }
            // An escaped backslash does not begin the next escape.
            ('\\', Some(next)) if !quoted => {
                push(c, i);
                push(next, i + 1);
                i += 2;
            }
            _ => {
                push(c, i);
                i += 1;
            }
        }
    }
    tokens
}

/// Whether there may be a back-reference. Without one no group needs to
/// capture, and the engine is spared to remember them.
fn uses_groups(tokens: &[Token]) -> bool {
    tokens.windows(2).any(|pair| {
        let [a, b] = pair else { return false };
        a.c == '\\' && !a.quoted && matches!(b.c, '1'..='9' | 'k')
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    case_insensitive: bool,
    unicode_case: bool,
    unicode_class: bool,
    dot_all: bool,
    multi_line: bool,
    unix_lines: bool,
}

impl Flags {
    fn case(self) -> Case {
        match (self.case_insensitive, self.unicode_case) {
            (false, _) => Case::Sensitive,
            (true, false) => Case::Ascii,
            (true, true) => Case::Unicode,
        }
    }
}

/// Both translations, written side by side.
#[derive(Debug, Default)]
struct Out {
    exact: String,
    plain: String,
}

impl Out {
    fn push(&mut self, both: &str) {
        self.exact.push_str(both);
        self.plain.push_str(both);
    }

    fn push_each(&mut self, exact: &str, plain: &str) {
        self.exact.push_str(exact);
        self.plain.push_str(plain);
    }

    fn mark(&self) -> (usize, usize) {
        (self.exact.len(), self.plain.len())
    }

    /// Puts what was written since the mark between two strings.
    fn wrap(&mut self, mark: (usize, usize), before: &str, after: &str) {
        self.exact.insert_str(mark.0, before);
        self.plain.insert_str(mark.1, before);
        self.push(after);
    }
}

/// What was parsed last, as to what a quantifier may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Atom {
    /// One character or a class.
    Single,
    /// Something that may match in several ways.
    Group,
    /// An assertion, which matches nothing.
    Assertion,
    /// `\R`, of one character or two.
    LineEnd,
    /// Nothing: flags were changed.
    Flags,
}

struct Parser<'a> {
    java: &'a str,
    tokens: Vec<Token>,
    at: usize,
    flags: Flags,
    out: Out,
    captures: bool,
    /// How many capturing groups were opened.
    opened: usize,
    /// The numbers of those that are closed.
    closed: Vec<usize>,
    names: Vec<(String, usize)>,
    /// The pattern has something for which the plain form is worth having.
    fancy: bool,
    word_boundary: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    /// Whether the token `ahead` of the present one is this syntax character.
    fn is(&self, ahead: usize, c: char) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|t| t.c == c && !t.quoted)
    }

    fn accept(&mut self, c: char) -> bool {
        let yes = self.is(0, c);
        self.at += usize::from(yes);
        yes
    }

    /// An error at the present token, or behind the last one.
    fn error(&self, what: impl Into<String>) -> PatternError {
        self.error_at(self.at, what)
    }

    fn error_at(&self, index: usize, what: impl Into<String>) -> PatternError {
        let position = match (self.tokens.get(index), self.tokens.last()) {
            (Some(token), _) => token.position,
            (None, Some(last)) => last.position + 1,
            (None, None) => 1,
        };
        PatternError { pattern: self.java.to_owned(), what: what.into(), position: Some(position) }
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), PatternError> {
        if depth > MAX_DEPTH {
            return Err(self.error("groups are nested too deeply"));
        }
        self.sequence(depth)?;
        while self.accept('|') {
            self.out.push("|");
            self.sequence(depth)?;
        }
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<(), PatternError> {
        while let Some(token) = self.peek() {
            if !token.quoted && matches!(token.c, '|' | ')') {
                break;
            }
            let mark = self.out.mark();
            let atom = self.atom(token, depth)?;
            self.quantifier(atom, mark)?;
        }
        Ok(())
    }

    fn quantifier(&mut self, atom: Atom, mark: (usize, usize)) -> Result<(), PatternError> {
        let at = self.at;
        let Some(count) = self.count()? else {
            return Ok(());
        };
        match atom {
            Atom::Assertion => {
                return Err(self.error_at(at, "a quantifier on an assertion is not supported"));
            }
            Atom::LineEnd => {
                return Err(
                    self.error_at(at, r"a quantifier on \R is not supported, Java releases differ")
                );
            }
            Atom::Flags => {
                let c = self.tokens[at].c;
                return Err(self.error_at(at, format!("Dangling meta character '{c}'")));
            }
            Atom::Single | Atom::Group => {}
        }
        if self.accept('+') {
            self.fancy = true;
            // Java matches each round of a possessive group for itself.
            let (before, inner) = match atom {
                Atom::Group => ("(?>(?>", ")"),
                _ => ("(?>(?:", ")"),
            };
            self.out.wrap(mark, before, &format!("{inner}{count})"));
        } else {
            let lazy = if self.accept('?') { "?" } else { "" };
            self.out.wrap(mark, "(?:", &format!("){count}{lazy}"));
        }
        if self.is(0, '{') {
            // Java ignores it in silence.
            return Err(self.error("a quantifier behind a quantifier is not supported"));
        }
        Ok(())
    }

    /// Reads `?`, `*`, `+` or `{…}`, if one is next, to the engine's syntax.
    fn count(&mut self) -> Result<Option<String>, PatternError> {
        for (c, count) in [('?', "?"), ('*', "*"), ('+', "+")] {
            if self.accept(c) {
                return Ok(Some(count.to_owned()));
            }
        }
        if !self.accept('{') {
            return Ok(None);
        }
        let Some(low) = self.number()? else {
            return Err(self.error("Illegal repetition"));
        };
        let count = if self.accept(',') {
            match self.number()? {
                Some(high) if high < low => return Err(self.error("Illegal repetition range")),
                Some(high) => format!("{{{low},{high}}}"),
                None => format!("{{{low},}}"),
            }
        } else {
            format!("{{{low}}}")
        };
        if !self.accept('}') {
            return Err(self.error("Unclosed counted closure"));
        }
        Ok(Some(count))
    }

    fn number(&mut self) -> Result<Option<u32>, PatternError> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(|t| !t.quoted).and_then(|t| t.c.to_digit(10)) {
            let next = number
                .unwrap_or(0u32)
                .checked_mul(10)
                .and_then(|n| n.checked_add(digit))
                .filter(|&n| n <= i32::MAX as u32);
            number = match next {
                Some(n) => Some(n),
                None => return Err(self.error("Illegal repetition range")),
            };
            self.at += 1;
        }
        Ok(number)
    }

    /// Writes one character of the text, which stands at `start`.
    fn literal(&mut self, c: char, start: usize) -> Result<(), PatternError> {
        match self.flags.case() {
            Case::Sensitive => {
                let mut text = String::new();
                class::push_char(&mut text, c);
                self.out.push(&text);
            }
            case => {
                self.check_case(c, start)?;
                self.set(&class::range(c, c, case));
            }
        }
        Ok(())
    }

    /// Refuses the one letter of which Java is not of one mind: whether ß is
    /// equal to a capital ẞ depends on what stands beside it.
    fn check_case(&self, c: char, start: usize) -> Result<(), PatternError> {
        if c == 'ß' && self.flags.case() == Case::Unicode {
            return Err(self.error_at(start, "ß under (?iu) is not supported"));
        }
        Ok(())
    }

    fn set(&mut self, set: &str) {
        self.out.push(&format!("[{set}]"));
    }
}
