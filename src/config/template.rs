//! Names of topics that are made of an event's headers, as Flume's `BucketPath` makes them.

use crate::clock::LocalTime;
use crate::java::date::DatePattern;

/// The header that date escapes read, ms since 1970.
pub(super) const TIMESTAMP: &str = "timestamp";

/// How an event names its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// The header with the name.
    pub header: Option<String>,
    /// The topic of an event that has none.
    pub template: Template,
    /// Which topics that will be is known by no configuration: each is opened when an event names it.
    pub is_open: bool,
}

impl TopicRule {
    /// By which no event is for any topic.
    pub fn nobody() -> TopicRule {
        TopicRule { header: None, template: Template::default(), is_open: true }
    }

    /// The topic of an event with these headers; perhaps none that can be.
    ///
    /// # Errors
    /// What is missing for a name, in words.
    pub fn topic<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        local: impl Fn(i64) -> LocalTime,
    ) -> Result<String, String> {
        match self.header.as_deref().and_then(&header) {
            Some(topic) => Ok(topic.to_owned()),
            None => self.template.fill(header, local),
        }
    }

    /// The headers of which the name is made.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.as_deref().into_iter().chain(self.template.names())
    }

    /// All that a name depends on beside headers, as text.
    pub fn text(&self) -> String {
        format!("{}|{}", self.header.as_deref().unwrap_or_default(), self.template.text)
    }
}

/// A topic in which escapes stand for headers and times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `%{NAME}`; an absent header is nothing.
    Header(String),
    Date(DatePattern),
    /// `%s`
    Seconds,
    /// `%t`
    Millis,
}

impl Template {
    /// Reads one as Flume does: what is no escape stands for itself.
    ///
    /// # Errors
    /// An escape that no topic can be made by, with what to write.
    pub fn parse(text: &str) -> Result<Template, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('%') {
            let escape = read_escape(after)?;
            let Some((part, length)) = escape else {
                push_text(&mut parts, &rest[..=before.len()]);
                rest = after;
                continue;
            };
            push_text(&mut parts, before);
            parts.push(part);
            rest = &after[length..];
        }
        push_text(&mut parts, rest);
        Ok(Template { text: text.to_owned(), parts })
    }

    /// Is it the same for all events?
    pub fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Text in it that no topic can have in its name.
    pub fn illegal_text(&self, is_legal: impl Fn(char) -> bool) -> Option<&str> {
        self.parts.iter().find_map(|part| match part {
            Part::Text(text) if !text.chars().all(&is_legal) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Is a time a part of it?
    pub fn has_time(&self) -> bool {
        self.parts.iter().any(Part::is_time)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The headers that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Header(name) => Some(name.as_str()),
            Part::Date(_) | Part::Seconds | Part::Millis => Some(TIMESTAMP),
        })
    }

    fn fill<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        local: impl Fn(i64) -> LocalTime,
    ) -> Result<String, String> {
        let mut time = None;
        if self.has_time() {
            let text = header(TIMESTAMP).ok_or_else(|| {
                format!("it has no header {TIMESTAMP}, of which its topic is made")
            })?;
            let ms = text.parse::<i64>().map_err(|_| {
                format!(
                    "the header {TIMESTAMP} = \"{text}\" is no time, of which its topic is made"
                )
            })?;
            time = Some(local(ms));
        }
        let mut topic = String::new();
        for part in &self.parts {
            match (part, &time) {
                (Part::Text(text), _) => topic += text,
                (Part::Header(name), _) => topic += header(name).unwrap_or_default(),
                (Part::Date(pattern), Some(time)) => topic += &pattern.format(time),
                (Part::Seconds, Some(time)) => topic += &(time.epoch_ms() / 1000).to_string(),
                (Part::Millis, _) => topic += header(TIMESTAMP).unwrap_or_default(),
                // A time was read if a part needs one.
                (Part::Date(_) | Part::Seconds, None) => {}
            }
        }
        Ok(topic)
    }
}

impl Part {
    fn is_time(&self) -> bool {
        matches!(self, Part::Date(_) | Part::Seconds | Part::Millis)
    }
}

fn push_text(parts: &mut Vec<Part>, more: &str) {
    match parts.last_mut() {
        _ if more.is_empty() => {}
        Some(Part::Text(text)) => text.push_str(more),
        _ => parts.push(Part::Text(more.to_owned())),
    }
}

/// What stands behind a `%`, and how many bytes of it; `None`: it is no escape.
fn read_escape(after: &str) -> Result<Option<(Part, usize)>, String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if let Some(rest) = after.strip_prefix('{') {
        let name = rest.split_once('}').map(|(name, _)| name);
        let name = name.filter(|name| !name.is_empty() && name.chars().all(is_of_name));
        return Ok(name.map(|name| (Part::Header(name.to_owned()), name.len() + 2)));
    }
    if after.starts_with('[') {
        return Err(
            "%[...] stands for this machine's name or address: write that itself".to_owned()
        );
    }
    let Some(letter) = after.chars().next() else { return Ok(None) };
    let part = match letter {
        's' => Part::Seconds,
        't' => Part::Millis,
        _ if letter.is_ascii_alphanumeric() || letter == '_' => match date_of(letter) {
            None => return Err(format!("%{letter} can be no part of a topic's name: remove it")),
            Some(java) => {
                let pattern = DatePattern::parse(java);
                Part::Date(pattern.map_err(|e| format!("%{letter}: {e}"))?)
            }
        },
        _ => return Ok(None),
    };
    Ok(Some((part, 1)))
}

/// As Java writes what a letter stands for; those are left out that no topic can have in it.
fn date_of(letter: char) -> Option<&'static str> {
    Some(match letter {
        'a' => "EEE",
        'A' => "EEEE",
        'b' => "MMM",
        'B' => "MMMM",
        'd' => "dd",
        'e' => "d",
        'H' => "HH",
        'I' => "hh",
        'j' => "DDD",
        'k' => "H",
        'l' => "h",
        'm' => "MM",
        'M' => "mm",
        'n' => "M",
        'p' => "a",
        'S' => "ss",
        'y' => "yy",
        'Y' => "yyyy",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, headers: &[(&str, &'static str)]) -> Result<String, String> {
        let template = Template::parse(template).unwrap();
        let header = |name: &str| headers.iter().find(|(own, _)| *own == name).map(|(_, v)| *v);
        template.fill(header, |ms| LocalTime::new(ms, 3_600, "CET"))
    }

    #[test]
    fn escapes_are_those_of_flume() {
        // 2026-03-01 00:30:05 in a zone one hour east.
        let at = ("timestamp", "1772321405006");
        let filled = [
            ("plain", "plain"),
            ("app-%{a.b-c_d}", "app-v"),
            ("app-%{none}.x", "app-.x"),
            ("%{a b}%{", "%{a b}%{"),
            ("100%", "100%"),
            ("50%-%-x", "50%-%-x"),
            ("l-%Y%m%d-%H%M%S", "l-20260301-003005"),
            ("%y.%n.%e.%k.%l.%I.%p", "26.3.1.0.12.12.AM"),
            ("%a-%A-%b-%B-%j", "Sun-Sunday-Mar-March-060"),
            ("%s.%t", "1772321405.1772321405006"),
        ];
        for (template, topic) in filled {
            assert_eq!(fill(template, &[at, ("a.b-c_d", "v")]), Ok(topic.to_owned()), "{template}");
        }
    }

    #[test]
    fn a_date_needs_a_time() {
        assert!(fill("l-%Y", &[]).unwrap_err().contains("has no header timestamp"));
        assert!(fill("l-%t", &[("timestamp", "x")]).unwrap_err().contains("\"x\" is no time"));
        assert_eq!(fill("l-%{timestamp}", &[]), Ok("l-".to_owned()));
    }

    #[test]
    fn what_can_be_no_part_of_a_topic_is_refused() {
        for text in ["%[localhost]", "%[ip]-x", "a%q", "%D", "%c", "%z", "%1", "%_"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        // Not an escape, and no name of a topic.
        assert!(Template::parse("%%").unwrap().is_fixed());
    }

    #[test]
    fn a_rule_names_the_headers_that_it_reads() {
        let template = Template::parse("%{dc}-%Y-%m").unwrap();
        let rule = TopicRule { header: Some("topic".to_owned()), template, is_open: false };
        assert_eq!(rule.names().collect::<Vec<_>>(), ["topic", "dc", "timestamp", "timestamp"]);
        let with = |name: &str| (name == "topic").then_some("t");
        assert_eq!(rule.topic(with, |ms| LocalTime::new(ms, 0, "")), Ok("t".to_owned()));
    }
}
