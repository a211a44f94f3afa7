//! Reading times by patterns of Joda time, as the millis serializer of `regex_extractor` does.

use crate::clock::{Clock as _, SystemClock};

/// The year of a text that tells a month or a day and none: a leap year, so that each day of a year is one.
const DEFAULT_YEAR: i64 = 2000;

/// Two digits from here on are a year of the last century. Joda counts from the year in which the agent starts
/// (80 back, 19 ahead); what an event has here must be the same when it is read again, by a later start perhaps.
const LAST_CENTURY_FROM: i64 = 50;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTHS_LONG: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A pattern that reads times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePattern(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    Field(char, usize),
}

impl Item {
    /// Is it read from digits?
    fn is_number(&self) -> bool {
        match self {
            Item::Literal(_) | Item::Field('a' | 'Z', _) => false,
            Item::Field(letter, count) => *letter != 'M' || *count < 3,
        }
    }
}

/// What the fields of a text say.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
    is_afternoon: Option<bool>,
    /// Minutes east of Greenwich.
    offset: Option<i64>,
}

impl TimePattern {
    /// Parses a pattern as `DateTimeFormat.forPattern` does.
    ///
    /// # Errors
    ///
    /// What Joda refuses, and fields that this program does not read (names of time zones and weekdays,
    /// weeks, eras).
    pub fn parse(joda: &str) -> Result<TimePattern, String> {
        let mut items: Vec<Item> = Vec::new();
        let mut chars = joda.chars().peekable();
        let literal = |items: &mut Vec<Item>, c: char| match items.last_mut() {
            Some(Item::Literal(text)) => text.push(c),
            _ => items.push(Item::Literal(c.to_string())),
        };
        while let Some(c) = chars.next() {
            if c == '\'' {
                if chars.next_if_eq(&'\'').is_some() {
                    literal(&mut items, '\'');
                    continue;
                }
                loop {
                    match chars.next() {
                        None => return Err("Unterminated quote".to_owned()),
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => {
                            literal(&mut items, '\'')
                        }
                        Some('\'') => break,
                        Some(c) => literal(&mut items, c),
                    }
                }
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if !"yMdHhmsSaZ".contains(c) || count > 9 {
                    return Err(format!("{} is not supported", String::from(c).repeat(count)));
                }
                items.push(Item::Field(c, count));
            } else {
                literal(&mut items, c);
            }
        }
        if items.is_empty() {
            return Err("Invalid pattern specification".to_owned());
        }
        Ok(TimePattern(items))
    }

    /// The time that `text` says, ms since 1970; where it tells no offset, in this machine's time zone.
    /// `None`: it says none by this pattern.
    pub fn read(&self, text: &str) -> Option<i64> {
        let tells = |letters: &str| {
            self.0.iter().any(|item| matches!(item, Item::Field(c, _) if letters.contains(*c)))
        };
        let mut fields = Fields {
            // A time of day alone is one of the first day.
            year: if tells("Md") { DEFAULT_YEAR } else { 1970 },
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            milli: 0,
            is_afternoon: None,
            offset: None,
        };
        let mut rest = text;
        for (at, item) in self.0.iter().enumerate() {
            match item {
                Item::Literal(literal) => rest = strip(rest, literal)?,
                Item::Field(letter, count) => {
                    let is_run = self.0.get(at + 1).is_some_and(Item::is_number);
                    rest = fields.read(rest, *letter, *count, is_run)?;
                }
            }
        }
        if rest.is_empty() { fields.time() } else { None }
    }
}

/// The text behind what it must begin with, letter case aside.
fn strip<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let head = text.get(..start.len())?;
    head.eq_ignore_ascii_case(start).then(|| &text[start.len()..])
}

impl Fields {
    /// Reads a field from the front of `text`. `is_run`: digits of another one follow at once.
    fn read<'a>(
        &mut self,
        text: &'a str,
        letter: char,
        count: usize,
        is_run: bool,
    ) -> Option<&'a str> {
        let digits = |most: usize| {
            let most = if is_run { count.min(most) } else { most };
            let len = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
            let number: i64 = text[..len].parse().ok()?;
            Some((number, &text[len..]))
        };
        let within = |(number, rest): (i64, &'a str), least: i64, most: i64| {
            (least..=most).contains(&number).then_some((number, rest))
        };
        let rest = match letter {
            'y' if count == 2 => {
                let (year, rest) = within(digits(9)?, 0, 9999)?;
                // Where more or fewer digits stand alone, they are the year.
                self.year = match (text.len() - rest.len(), year) {
                    (2, LAST_CENTURY_FROM..) => 1900 + year,
                    (2, _) => 2000 + year,
                    _ if is_run => return None,
                    _ => year,
                };
                rest
            }
            'y' => set(&mut self.year, within(digits(9)?, 0, 9999)?),
            'M' if count >= 3 => {
                let place = |names: &[&str; 12]| {
                    let at = names.iter().position(|name| strip(text, name).is_some())?;
                    Some((at as i64 + 1, &text[names[at].len()..]))
                };
                set(&mut self.month, place(&MONTHS_LONG).or_else(|| place(&MONTHS))?)
            }
            'M' => set(&mut self.month, within(digits(2)?, 1, 12)?),
            'd' => set(&mut self.day, within(digits(2)?, 1, 31)?),
            'H' => set(&mut self.hour, within(digits(2)?, 0, 23)?),
            'h' => set(&mut self.hour, within(digits(2)?, 1, 12)?),
            'm' => set(&mut self.minute, within(digits(2)?, 0, 59)?),
            's' => set(&mut self.second, within(digits(2)?, 0, 59)?),
            'S' => {
                let len = text.bytes().take(count).take_while(u8::is_ascii_digit).count();
                let number: i64 = text[..len].parse().ok()?;
                self.milli = match len {
                    1..=3 => number * 10i64.pow(3 - len as u32),
                    _ => number / 10i64.pow(len as u32 - 3),
                };
                &text[len..]
            }
            'a' => {
                self.is_afternoon = Some(strip(text, "pm").is_some());
                strip(text, "am").or_else(|| strip(text, "pm"))?
            }
            _ => self.read_offset(text)?,
        };
        Some(rest)
    }

    /// `+0100`, `-08:00`, `+01` or `Z`.
    fn read_offset<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        if let Some(rest) = strip(text, "z") {
            self.offset = Some(0);
            return Some(rest);
        }
        let sign = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let two = |text: &str| {
            let digits = text.get(..2)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
        };
        let hours = two(&text[1..])?;
        let rest = &text[3..];
        let behind = rest.strip_prefix(':').unwrap_or(rest);
        let (minutes, rest) = match two(behind) {
            Some(minutes) => (minutes, &behind[2..]),
            None => (0, rest),
        };
        self.offset = Some(sign * (hours * 60 + minutes));
        Some(rest)
    }

    fn time(&self) -> Option<i64> {
        let hour = match self.is_afternoon {
            Some(is_afternoon) => self.hour % 12 + if is_afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let days = days_from_civil(self.year, self.month, self.day)?;
        let seconds = ((days * 24 + hour) * 60 + self.minute) * 60 + self.second;
        let wall_ms = seconds * 1000 + self.milli;
        if let Some(offset) = self.offset {
            return Some(wall_ms - offset * 60_000);
        }
        let clock = SystemClock::new();
        let offset_ms = |ms: i64| i64::from(clock.local(ms).offset_s()) * 1000;
        // Around a change of the clocks the first guess may be an hour off.
        let guess = wall_ms - offset_ms(wall_ms);
        Some(wall_ms - offset_ms(guess))
    }
}

fn set<'a>(field: &mut i64, (value, rest): (i64, &'a str)) -> &'a str {
    *field = value;
    rest
}

/// Days since 1970 of a date of the Gregorian calendar, if there is such a day.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28 + i64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if day > length {
        return None;
    }
    let before: i64 = lengths[..(month - 1) as usize].iter().sum();
    let past = year - 1;
    let leaps = |y: i64| y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    Some((year - 1970) * 365 + leaps(past) - leaps(1969) + before + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Option<i64> {
        TimePattern::parse(pattern).unwrap().read(text)
    }

    #[test]
    fn times_with_an_offset_are_read() {
        assert_eq!(read("yyyy-MM-dd HH:mm:ss Z", "1970-01-01 00:00:00 +0000"), Some(0));
        let time = Some(1_480_000_000_000);
        assert_eq!(read("yyyy-MM-dd HH:mm:ss Z", "2016-11-24 15:06:40 +0000"), time);
        assert_eq!(read("yyyy-MM-dd'T'HH:mm:ss.SSSZ", "2016-11-24T16:06:40.000+01:00"), time);
        assert_eq!(read("dd/MMM/yyyy:HH:mm:ss Z", "24/Nov/2016:07:06:40 -0800"), time);
        assert_eq!(read("yyyyMMddHHmmssZ", "20161124150640Z"), time);
        assert_eq!(read("yyyy-MM-dd hh:mm:ss a Z", "2016-11-24 03:06:40 PM +0000"), time);
        assert_eq!(read("yyyy-MM-dd Z", "2000-02-29 +0000"), Some(951_782_400_000));
    }

    #[test]
    fn a_day_without_a_year_is_one_of_2000() {
        assert_eq!(read("MMM dd HH:mm:ss Z", "Feb 29 00:00:00 +0000"), Some(951_782_400_000));
        assert_eq!(read("MM-dd Z", "01-01 +0000"), Some(946_684_800_000));
        assert_eq!(read("dd Z", "02 +0000"), Some(946_771_200_000));
        assert_eq!(read("HH:mm Z", "00:01 +0000"), Some(60_000));
        assert_eq!(read("yyyy Z", "1970 +0000"), Some(0));
    }

    #[test]
    fn a_year_of_two_digits_is_one_of_a_century_and_others_are_what_they_are() {
        let year = |pattern: &str, text: &str| read(pattern, text).map(|ms| ms / 31_556_952_000);
        assert_eq!(read("yy Z", "00 +0000"), Some(946_684_800_000));
        assert_eq!(year("yy-MM-dd Z", "16-11-24 +0000"), Some(46));
        assert_eq!(year("yy-MM-dd Z", "2016-11-24 +0000"), Some(46));
        assert_eq!(year("yyMMdd Z", "161124 +0000"), Some(46));
        assert_eq!(read("yyMMdd Z", "20161124 +0000"), None);
        assert_eq!(year("ddMMMyy Z", "24Nov16 +0000"), Some(46));
        assert_eq!(year("yyMMMdd Z", "2016Nov24 +0000"), Some(46));
        assert_eq!(read("yy Z", "70 +0000"), Some(0));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "2016-11-24", "2016-13-24 +0000", "2015-02-29 +0000", "2016-11-24 +0000x"]
        {
            assert_eq!(read("yyyy-MM-dd Z", text), None, "{text}");
        }
        assert!(read("yyyy-MM-dd HH:mm", "2016-11-24 12:00").is_some());
        assert!(TimePattern::parse("yyyy 'x").is_err());
        assert!(TimePattern::parse("yyyy zzz").is_err());
        assert!(TimePattern::parse("").is_err());
    }
}
