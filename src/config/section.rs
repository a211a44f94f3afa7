//! The properties of one component, read by name with their faults told by line.

use super::diagnostics::Diagnostics;
use super::known::{self, Property, Range, Scope, Status};
use super::secret::SHOWN;

/// A property's value and the line it stands on.
#[derive(Debug, Clone)]
pub(crate) struct Prop {
    /// Without the component's part of the key.
    pub name: String,
    /// Trimmed, never empty.
    pub value: String,
    pub line: usize,
    /// A character of the value that has lost its backslash, see [`Entry::bare`].
    ///
    /// [`Entry::bare`]: crate::java::properties::Entry::bare
    pub bare: Option<char>,
    /// It must not be printed, see [`secret`](super::secret).
    pub is_secret: bool,
}

impl Prop {
    /// The value for messages.
    pub(crate) fn shown(&self) -> &str {
        if self.is_secret { SHOWN } else { &self.value }
    }
}

/// All properties of one component.
#[derive(Debug)]
pub(crate) struct Section {
    /// `a1.sources.r1`
    pub prefix: String,
    /// `r1`
    pub name: String,
    /// Where the component is listed.
    pub list_line: usize,
    pub props: Vec<Prop>,
}

impl Section {
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Prop> {
        self.props.iter().find(|p| p.name == name)
    }

    /// The first line on which anything is said about this component besides its name.
    pub(crate) fn line(&self) -> usize {
        self.props.iter().map(|p| p.line).min().unwrap_or(self.list_line)
    }

    /// The value as it stands, or the default.
    pub(crate) fn text(&self, row: &Property) -> String {
        self.get(row.name).map_or(row.default, |p| p.value.as_str()).to_string()
    }

    /// An error at the property, or at the component's first line if it is not there.
    pub(crate) fn error(&self, found: &mut Diagnostics, name: &str, message: impl Into<String>) {
        let line = self.get(name).map_or_else(|| self.line(), |p| p.line);
        found.error(&self.key(name), line, message);
    }

    pub(crate) fn warn(&self, found: &mut Diagnostics, name: &str, message: impl Into<String>) {
        let line = self.get(name).map_or_else(|| self.line(), |p| p.line);
        found.warn(&self.key(name), line, message);
    }

    /// A decimal number in the row's range. On a fault: an error, and the default.
    pub(crate) fn number(&self, found: &mut Diagnostics, row: &Property) -> u64 {
        let (name, range) = (row.name, row.range);
        let Range { min, default, max } = range.unwrap_or(Range::ANY);
        let Some(prop) = self.get(name) else { return default };
        let value = prop.shown();
        match prop.value.parse::<i128>() {
            Ok(n) => match u64::try_from(n) {
                Ok(n) if (min..=max).contains(&n) => return n,
                _ => self.error(
                    found,
                    name,
                    format!("{value} is out of range; write a number from {min} to {max}"),
                ),
            },
            Err(_) => self.error(
                found,
                name,
                format!("\"{value}\" is not a whole number; write one such as {default}"),
            ),
        }
        default
    }

    /// As Flume: `true` in any letter case is true, everything else is false; but it is said.
    pub(crate) fn boolean(&self, found: &mut Diagnostics, row: &Property) -> bool {
        let name = row.name;
        let Some(prop) = self.get(name) else { return row.default == "true" };
        let value = prop.value.to_ascii_lowercase();
        if value != "true" && value != "false" {
            self.warn(
                found,
                name,
                format!("\"{}\" is taken as false; write true or false", prop.shown()),
            );
        }
        value == "true"
    }

    /// One of some words, letter case aside; of which one is the row's default. On a fault: an
    /// error, and the default.
    pub(crate) fn choice<T: Copy, const N: usize>(
        &self,
        found: &mut Diagnostics,
        row: &Property,
        words: [(&str, T); N],
    ) -> T {
        let name = row.name;
        let default = words.iter().find(|(w, _)| *w == row.default).unwrap_or(&words[0]).1;
        let Some(prop) = self.get(name) else { return default };
        if let Some((_, value)) = words.iter().find(|(w, _)| w.eq_ignore_ascii_case(&prop.value)) {
            return *value;
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message =
            format!("\"{}\" is not known; write one of {}", prop.shown(), names.join(", "));
        self.error(found, name, message);
        default
    }

    /// Is this a word of one of these types (an alias or a class name), letter case aside?
    pub(crate) fn type_is(&self, names: &[&str]) -> bool {
        let value = self.get("type").map(|p| p.value.as_str());
        value.is_some_and(|v| names.iter().any(|n| n.eq_ignore_ascii_case(v)))
    }

    /// Judges every property by the table of known ones. Returns the names that have no meaning
    /// here, to be told once.
    pub(crate) fn check_names(&self, found: &mut Diagnostics, scopes: &[Scope]) -> Vec<String> {
        let mut ignored = Vec::new();
        for prop in &self.props {
            match known::find(scopes, &prop.name).map(|p| p.status) {
                Some(Status::Supported) => self.warn_if_quoted(found, prop),
                Some(Status::Ignored) => ignored.push(self.key(&prop.name)),
                Some(Status::Refused(reason)) => self.error(found, &prop.name, reason),
                None => self.unknown(found, scopes, prop),
            }
        }
        ignored
    }

    fn warn_if_quoted(&self, found: &mut Diagnostics, prop: &Prop) {
        // With more of them inside, as in "en":"(\\w+)", the outer ones are meant.
        let quoted = |q: char| {
            let inside = prop.value.strip_prefix(q).and_then(|rest| rest.strip_suffix(q));
            inside.is_some_and(|inside| !inside.contains(q))
        };
        if quoted('"') || quoted('\'') && prop.name != "targetFilename" {
            self.warn(found, &prop.name, "the quotes are part of the value; leave them out");
        }
    }

    /// Of a regular expression: `(\d)` is `(d)` by the time that it is one.
    pub(crate) fn warn_if_bare(&self, found: &mut Diagnostics, row: &Property) {
        let Some(prop) = self.get(row.name) else { return };
        if let Some(c) = prop.bare {
            let message = format!(
                "double the backslash: a properties file drops a single one, so that \\{c} is {c} \
                 here, and the pattern is {}; write \\\\{c}",
                prop.value
            );
            self.warn(found, row.name, message);
        }
    }

    /// The property that is not set and seems to be meant by one of another name: that was told, or will be.
    pub(crate) fn misspelt(&self, scopes: &[Scope], name: &str) -> Option<&Prop> {
        let is_meant = |prop: &&Prop| {
            known::find(scopes, &prop.name).is_none()
                && meant(scopes, prop).is_some_and(|near| near.name == name)
        };
        self.props.iter().find(is_meant).filter(|_| self.get(name).is_none())
    }

    /// Of a property that must be set: an error, unless another name stands there that was meant for it.
    pub(crate) fn missing(
        &self,
        found: &mut Diagnostics,
        scopes: &[Scope],
        name: &str,
        message: impl Into<String>,
    ) {
        if self.misspelt(scopes, name).is_none() {
            self.error(found, name, message);
        }
    }

    /// A near miss of a property that is not set would let its default apply in silence: an error.
    fn unknown(&self, found: &mut Diagnostics, scopes: &[Scope], prop: &Prop) {
        let synonym = known::synonym(scopes, &prop.name);
        let Some(near) = meant(scopes, prop) else {
            return self.warn(found, &prop.name, "unknown property, ignored");
        };
        let suggestion = format!("did you mean {}?", self.key(near.name));
        // Another source's name of it may stand here for long, and be known to mean nothing.
        // Flume's own sources run with the default, which it does not say.
        let is_flumes = scopes.contains(&Scope::EachSource);
        let is_harmless = (synonym.is_some() || is_flumes) && near.default != known::REQUIRED;
        if is_harmless || self.get(near.name).is_some() || near.status != Status::Supported {
            return self.warn(
                found,
                &prop.name,
                format!("unknown property, ignored; {suggestion}"),
            );
        }
        let message = match near.default {
            known::REQUIRED => format!("unknown property; {suggestion} It must be set"),
            default => format!(
                "unknown property; {suggestion} It is not set and its default ({default}) would apply"
            ),
        };
        self.error(found, &prop.name, message);
    }
}

/// The known property that seems to be meant by one that nobody knows.
fn meant(scopes: &[Scope], prop: &Prop) -> Option<&'static Property> {
    known::synonym(scopes, &prop.name).or_else(|| known::nearest(scopes, &prop.name))
}

/// Of a type that is not known: "did you mean", or else what is.
pub(super) fn type_meant(value: &str, names: &[&'static str], all: &str) -> String {
    let leaves: Vec<&'static str> = names.iter().map(|name| leaf(name)).collect();
    let by_leaf = |near: &str| names.iter().copied().find(|name| leaf(name) == near);
    let near = known::nearest_word(names, value)
        .or_else(|| known::nearest_word(&leaves, value).and_then(by_leaf));
    near.map_or_else(|| all.to_owned(), |near| format!("did you mean {near}?"))
}

/// The class without its package.
fn leaf(name: &'static str) -> &'static str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The words of a list. A comma is no separator in Flume, which would take `r1,` for a name.
pub(super) fn words(found: &mut Diagnostics, key: &str, value: &str, line: usize) -> Vec<String> {
    if value.contains(',') {
        let fixed: Vec<&str> = value
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|w| !w.is_empty())
            .collect();
        let message = format!(
            "\"{value}\" holds a comma, but names are split at blanks; write {}",
            fixed.join(" ")
        );
        found.error(key, line, message);
        return fixed.into_iter().map(str::to_string).collect();
    }
    let mut list: Vec<String> = Vec::new();
    for word in value.split_whitespace() {
        if list.iter().any(|w| w == word) {
            found.warn(key, line, format!("{word} is listed twice; once is enough"));
        } else {
            list.push(word.to_string());
        }
    }
    list
}
