//! Regular expressions in Java's dialect.
//!
//! `targetPattern`, `ignorePattern` and the `regex_filter` interceptor take
//! what `java.util.regex` takes. A pattern is translated to the syntax of the
//! `fancy-regex` crate with Java's meaning of every construct: ASCII-only
//! `\d \w \s` and `(?i)`, Java's line terminators for `.`, `^` and `$`, class
//! unions and intersections, possessive quantifiers, and so on. Where Java
//! releases disagree (`\b`), the meaning is that of Java 8 to 18. What has no
//! faithful translation is an error of [`Pattern::compile`], never a pattern
//! that matches something else.

mod class;
mod direct;
mod groups;
mod straight;
mod translate;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use fancy_regex::{Regex, RegexBuilder};

pub use groups::{Groups, Match, Replacement};
use translate::{Translation, translate};

/// How many times a match may fall back to an alternative before it is given
/// up, in steps of the engine (about 20 ns each). Look-around and
/// back-references need backtracking, which a pattern can make exponential;
/// the search of a long line needs about one step for every character.
const BACKTRACK_LIMIT: usize = 5_000_000;

/// The same for a name, of 255 bytes at most: some steps for each pair of them.
const NAME_BACKTRACK_LIMIT: usize = 500_000;

/// The longest run of combining marks (U+0300 and the like) behind a letter
/// for which `\b` is decided as Java does; the translation spells out a
/// look-behind for every length up to it.
pub(super) const MAX_MARKS: usize = 8;

/// A compiled Java pattern.
///
/// Clones share the automata.
#[derive(Debug, Clone)]
pub struct Pattern {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    java: String,
    full: Engine,
    find: Engine,
    /// Finds texts on which the translation of `\b` would not be exact.
    marks: Option<Regex>,
}

impl Pattern {
    /// Compiles a pattern as `Pattern.compile(java)` does.
    ///
    /// # Errors
    ///
    /// What Java refuses, in its words, and what cannot be translated: `\G`,
    /// `\X`, `\N{…}`, `(?x)`, block names (`\p{InGreek}`), `\p{javaLowerCase}`
    /// and its like, back-references under `(?i)` or to a group that is not
    /// closed yet, quantified assertions, look-behind of varying length,
    /// negated classes with nested ones (Java 8 and 9 differ).
    pub fn compile(java: &str) -> Result<Pattern, PatternError> {
        let translation = translate(java)?;
        let marks = if translation.word_boundary {
            Some(build(java, &format!(r"\p{{Mn}}{{{}}}", MAX_MARKS + 1), BACKTRACK_LIMIT)?)
        } else {
            None
        };
        let compiled = Compiled {
            java: java.to_owned(),
            full: Engine::compile(java, &translation, Translation::anchored, NAME_BACKTRACK_LIMIT)?,
            find: Engine::compile(java, &translation, str::to_owned, BACKTRACK_LIMIT)?,
            marks,
        };
        Ok(Pattern { compiled: Arc::new(compiled) })
    }

    /// Whether the whole file name matches, as `Matcher.matches()` says.
    ///
    /// A name that is not UTF-8 is decoded as Java does it, each malformed
    /// part to U+FFFD.
    ///
    /// # Errors
    ///
    /// The match was given up; see [`MatchError`].
    pub fn full_match(&self, name: &[u8]) -> Result<bool, MatchError> {
        self.run(&self.compiled.full, &decode(name))
    }

    /// Whether any part of the text matches, as `Matcher.find()` says.
    ///
    /// # Errors
    ///
    /// The match was given up; see [`MatchError`].
    pub fn find(&self, text: &str) -> Result<bool, MatchError> {
        self.run(&self.compiled.find, text)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.compiled.java
    }

    fn run(&self, engine: &Engine, text: &str) -> Result<bool, MatchError> {
        let regex = engine.regex(self.tell(text)?);
        regex.is_match(text).map_err(|_| self.give_up(TOO_LONG))
    }

    /// Of which kind a text is.
    ///
    /// # Errors
    ///
    /// The pattern has no meaning on it.
    fn tell(&self, text: &str) -> Result<Text, MatchError> {
        if is_plain(text) {
            return Ok(Text::Plain);
        }
        match &self.compiled.marks {
            Some(marks) if marks.is_match(text).unwrap_or(true) => {
                Err(self.give_up(r"\b beside a long run of combining marks is not supported"))
            }
            _ => Ok(Text::Any),
        }
    }

    fn give_up(&self, why: &'static str) -> MatchError {
        MatchError { pattern: self.compiled.java.clone(), why }
    }
}

/// One way to apply a pattern, with up to two automata for it.
#[derive(Debug)]
struct Engine {
    /// Java's meaning for every text.
    exact: Regex,
    /// The same for plain texts (see [`is_plain`]) only, if that is simpler:
    /// there `$` is the end of the text and needs no look-ahead, so that most
    /// patterns run on the linear-time engine.
    plain: Option<Regex>,
}

impl Engine {
    /// The one for texts of a kind.
    fn regex(&self, text: Text) -> &Regex {
        match (&self.plain, text) {
            (Some(regex), Text::Plain) => regex,
            _ => &self.exact,
        }
    }

    fn compile(
        java: &str,
        translation: &Translation,
        wrap: impl Fn(&str) -> String,
        limit: usize,
    ) -> Result<Engine, PatternError> {
        Ok(Engine {
            exact: build(java, &wrap(&translation.exact), limit)?,
            plain: match &translation.plain {
                Some(plain) => Some(build(java, &wrap(plain), limit)?),
                None => None,
            },
        })
    }
}

const TOO_LONG: &str = "gave up after too many steps of backtracking";

#[derive(Debug, Clone, Copy)]
enum Text {
    /// See [`is_plain`].
    Plain,
    Any,
}

/// Whether a text is ASCII without line terminators, the common case.
fn is_plain(text: &str) -> bool {
    // All in one pass, many bytes at a time.
    let odd = |byte: u8| byte & 0x80 | u8::from(byte == b'\n') | u8::from(byte == b'\r');
    text.bytes().fold(0, |odds, byte| odds | odd(byte)) == 0
}

fn build(java: &str, translated: &str, limit: usize) -> Result<Regex, PatternError> {
    RegexBuilder::new(translated).backtrack_limit(limit).build().map_err(|e| PatternError {
        pattern: java.to_owned(),
        what: describe(&e),
        position: None,
    })
}

/// Says in the user's terms what the engine refused; what is written by hand
/// was checked by the translation before.
fn describe(error: &fancy_regex::Error) -> String {
    use fancy_regex::{CompileError, Error, ParseError};
    match error {
        Error::CompileError(CompileError::LookBehindNotConst) => {
            "look-behind of varying length is not supported".to_owned()
        }
        Error::CompileError(CompileError::InnerError(_)) => {
            "the pattern is too large or names an unknown property".to_owned()
        }
        Error::ParseError(_, ParseError::TargetNotRepeatable) => {
            "a quantifier on something empty is not supported".to_owned()
        }
        Error::ParseError(_, ParseError::RecursionExceeded) => {
            "groups are nested too deeply".to_owned()
        }
        other => format!("not supported: {other}"),
    }
}

/// Decodes a file name as Java's UTF-8 decoder does.
///
/// It replaces what the Unicode standard calls a maximal subpart, as Rust
/// does, except that the encoded form of a surrogate is one malformed part.
fn decode(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(name) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(name.len() + 8);
    let mut rest = name;
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        let bad = &rest[chunk.valid().len()..];
        if bad.is_empty() {
            break;
        }
        text.push('\u{FFFD}');
        let length = match bad {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            [0xED, 0xA0..=0xBF, ..] => 2,
            _ => chunk.invalid().len(),
        };
        rest = &bad[length..];
    }
    Cow::Owned(text)
}

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    pattern: String,
    what: String,
    position: Option<usize>,
}

impl PatternError {
    /// What is wrong, without the pattern.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The position of the construct, counted in characters from 1, if one
    /// construct is to blame.
    pub fn position(&self) -> Option<usize> {
        self.position
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.pattern, self.what)?;
        match self.position {
            Some(position) => write!(f, " (position {position})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PatternError {}

/// A match that was given up, so that it is not known whether the text
/// matches: the pattern backtracks without end on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchError {
    pattern: String,
    why: &'static str,
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.pattern, self.why)
    }
}

impl std::error::Error for MatchError {}
