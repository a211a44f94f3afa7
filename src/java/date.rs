//! Date patterns in the language of `java.text.SimpleDateFormat`.
//!
//! `targetFilename` tells by such a pattern how the present hour is written
//! in file names. Names and week rules are those of the locale `en_US`:
//! English, weeks begin on Sunday, week 1 is the one with January 1st.

mod read;

use std::fmt::{self, Write};

use crate::clock::LocalTime;
pub use read::Moment;

/// The letters that stand for a field.
const LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A parsed date pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatePattern {
    java: String,
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    /// A letter and how many times it is repeated.
    Field(char, usize),
}

impl DatePattern {
    /// Parses a pattern as `new SimpleDateFormat(pattern)` does.
    ///
    /// # Errors
    ///
    /// What Java refuses: a letter without meaning, a quote that is not
    /// closed, more than three `X`. Beside that `zzzz`, the long name of the
    /// time zone, which the system does not know.
    pub fn parse(java: &str) -> Result<DatePattern, DateError> {
        let mut items = Vec::new();
        let mut chars = java.chars().enumerate().peekable();
        let mut open_quote = None;
        while let Some((at, c)) = chars.next() {
            if c == '\'' {
                if chars.next_if(|&(_, c)| c == '\'').is_some() {
                    // A quote, inside quotes and outside.
                    push_literal(&mut items, '\'');
                } else if open_quote.take().is_none() {
                    open_quote = Some(at);
                }
            } else if open_quote.is_some() || !c.is_ascii_alphabetic() {
                push_literal(&mut items, c);
            } else {
                let mut count = 1;
                while chars.next_if(|&(_, next)| next == c).is_some() {
                    count += 1;
                }
                check_field(c, count).map_err(|what| DateError::new(java, what, at))?;
                items.push(Item::Field(c, count));
            }
        }
        match open_quote {
            Some(at) => Err(DateError::new(java, UNTERMINATED.to_owned(), at)),
            None => Ok(DatePattern { java: java.to_owned(), items }),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.java
    }

    /// Is there a field of that letter?
    pub fn has(&self, letter: char) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Field(own, _) if *own == letter))
    }

    /// Writes a point in time by this pattern.
    pub fn format(&self, t: &LocalTime) -> String {
        let mut out = String::with_capacity(self.java.len() + 8);
        for item in &self.items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Field(letter, count) => field(&mut out, *letter, *count, t),
            }
        }
        out
    }
}

fn push_literal(items: &mut Vec<Item>, c: char) {
    match items.last_mut() {
        Some(Item::Literal(text)) => text.push(c),
        _ => items.push(Item::Literal(c.to_string())),
    }
}

/// Java's words for text without quotes, and for one of two quotes.
const ILLEGAL: &str = "Illegal pattern character";
const UNTERMINATED: &str = "Unterminated quote";

/// No file name is longer, bytes.
const NAME_BYTES_MAX: usize = 255;

fn check_field(letter: char, count: usize) -> Result<(), String> {
    if count > NAME_BYTES_MAX {
        return Err(format!("{count} letters '{letter}': no file name is so long"));
    }
    match letter {
        'X' if count > 3 => Err(format!("invalid ISO 8601 format: length={count}")),
        'z' if count > 3 => Err("long zone names (zzzz) are not supported".to_owned()),
        _ if LETTERS.contains(letter) => Ok(()),
        _ => Err(format!("{ILLEGAL} '{letter}'")),
    }
}

fn field(out: &mut String, letter: char, count: usize, t: &LocalTime) {
    let at = t.date_time();
    let weekday = usize::from(at.weekday().number_days_from_sunday());
    let hour = i32::from(at.hour());
    let number = match letter {
        'G' => return out.push_str(if at.year() > 0 { "AD" } else { "BC" }),
        'y' => return year(out, year_of_era(at.year()), count),
        'Y' => return year(out, week_year(t).0, count),
        'M' | 'L' => {
            let month = u8::from(at.month());
            if count >= 3 {
                return name(out, MONTHS[usize::from(month) - 1], count);
            }
            i32::from(month)
        }
        'E' => return name(out, WEEKDAYS[weekday], count),
        'a' => return out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'z' => return zone_name(out, t),
        'Z' => return zone_offset(out, t.offset_s(), "", 2),
        'X' if t.offset_s() == 0 => return out.push('Z'),
        'X' => {
            let separator = if count == 3 { ":" } else { "" };
            return zone_offset(out, t.offset_s(), separator, count);
        }
        'u' => i32::from(at.weekday().number_from_monday()),
        'w' => week_year(t).1,
        'W' => week_of(i32::from(at.day()), weekday),
        'D' => i32::from(at.ordinal()),
        'd' => i32::from(at.day()),
        'F' => (i32::from(at.day()) - 1) / 7 + 1,
        'H' => hour,
        'k' => (hour + 23) % 24 + 1,
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => i32::from(at.minute()),
        's' => i32::from(at.second()),
        // 'S'; `parse` let no other letter pass.
        _ => i32::from(at.millisecond()),
    };
    pad(out, number, count);
}

fn pad(out: &mut String, number: i32, width: usize) {
    // Writing to a string does not fail.
    let _ = write!(out, "{number:0width$}");
}

/// Short for up to three letters, full from four on.
fn name(out: &mut String, full: &str, count: usize) {
    // All names are ASCII and have three letters at least.
    out.push_str(if count >= 4 { full } else { &full[..3] });
}

fn year(out: &mut String, year: i32, count: usize) {
    if count == 2 {
        pad(out, year.rem_euclid(100), 2);
    } else {
        pad(out, year, count);
    }
}

/// There is no year 0 in Java: the one before 1 AD is 1 BC.
fn year_of_era(year: i32) -> i32 {
    if year > 0 { year } else { 1 - year }
}

/// The week of a month or year that has the given day (from 1) on the given
/// weekday (Sunday is 0), where week 1 has the first day.
fn week_of(day: i32, weekday: usize) -> i32 {
    // Both fit easily; the first Sunday on or before day 1 begins week 1.
    let weekday = weekday as i32;
    let first_weekday = (weekday - (day - 1)).rem_euclid(7);
    (day - 1 + first_weekday) / 7 + 1
}

/// The year and number of the week: the last days of December belong to
/// week 1 if January begins in their week.
fn week_year(t: &LocalTime) -> (i32, i32) {
    let at = t.date_time();
    let weekday = at.weekday().number_days_from_sunday();
    let days = i32::from(time::util::days_in_year(at.year()));
    let saturday = i32::from(at.ordinal()) + 6 - i32::from(weekday);
    if saturday > days {
        (at.year() + 1, 1)
    } else {
        (at.year(), week_of(i32::from(at.ordinal()), usize::from(weekday)))
    }
}

/// `z`: the system's abbreviation; where it has none but digits (`+0545`),
/// the form Java uses for zones without a name.
fn zone_name(out: &mut String, t: &LocalTime) {
    let name = t.zone();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        out.push_str(name);
    } else {
        out.push_str("GMT");
        zone_offset(out, t.offset_s(), ":", 2);
    }
}

/// Sign, two digits of hours and, if `parts` is more than 1, of minutes.
fn zone_offset(out: &mut String, offset_s: i32, separator: &str, parts: usize) {
    let minutes = offset_s / 60;
    out.push(if minutes < 0 { '-' } else { '+' });
    pad(out, minutes.abs() / 60, 2);
    if parts > 1 {
        out.push_str(separator);
        pad(out, minutes.abs() % 60, 2);
    }
}

/// Why a date pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateError {
    pattern: String,
    what: String,
    position: usize,
}

impl DateError {
    fn new(pattern: &str, what: String, at: usize) -> DateError {
        DateError { pattern: pattern.to_owned(), what, position: at + 1 }
    }

    /// What is wrong, in Java's words, without the pattern.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it is, counted in characters from 1.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for DateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {} (position {})", self.pattern, self.what, self.position)?;
        match self.what.starts_with(ILLEGAL) || self.what == UNTERMINATED {
            true => f.write_str("; text stands between single quotes, as in 'app-'yyyyMMddHH"),
            false => Ok(()),
        }
    }
}

impl std::error::Error for DateError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: pattern, epoch ms, zone id, offset in seconds, abbreviation,
    /// and what Java made of it, or `!` and its message.
    const TABLE: &str = include_str!("../../tests/data/simple_date_format.tsv");

    #[test]
    fn formats_as_java_does() {
        let mut wrong = Vec::new();
        let mut count = 0;
        for line in TABLE.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [pattern, ms, zone, offset, short, expected] = columns[..] else {
                panic!("bad line {line:?}");
            };
            let t = LocalTime::new(ms.parse().unwrap(), offset.parse().unwrap(), short);
            let got = match DatePattern::parse(pattern) {
                Ok(parsed) => parsed.format(&t),
                Err(e) => format!("!{}", e.what()),
            };
            count += 1;
            if got != expected {
                wrong.push(format!("{pattern} {ms} {zone}: {got:?}, Java {expected:?}"));
            }
        }
        assert!(count > 300, "only {count} cases");
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn a_field_that_no_name_has_room_for_is_refused() {
        let told = DatePattern::parse(&"y".repeat(70_000)).unwrap_err().what().to_string();
        assert_eq!(told, "70000 letters 'y': no file name is so long");
        assert!(DatePattern::parse(&"y".repeat(255)).is_ok());
    }

    #[test]
    fn errors_name_the_place() {
        let error = |p: &str| DatePattern::parse(p).unwrap_err().to_string();
        let quotes = "text stands between single quotes, as in 'app-'yyyyMMddHH";
        let illegal = "\"yyyyQ\": Illegal pattern character 'Q' (position 5)";
        assert_eq!(error("yyyyQ"), format!("{illegal}; {quotes}"));
        assert_eq!(error("yy'x"), format!("\"yy'x\": Unterminated quote (position 3); {quotes}"));
        assert_eq!(
            error("zzzz"),
            "\"zzzz\": long zone names (zzzz) are not supported (position 1)"
        );
    }

    #[test]
    fn a_zone_without_letters_is_written_by_offset() {
        let t = LocalTime::new(0, 20_700, "+0545");
        assert_eq!(DatePattern::parse("z").unwrap().format(&t), "GMT+05:45");
    }
}
