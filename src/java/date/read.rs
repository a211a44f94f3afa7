//! The way back: which time does a text hold that a pattern has written? Only for patterns that tell
//! any two times apart in the order of their fields: a year, its months and days or its days alone,
//! hours, minutes, seconds, each with what is above it.

use super::{DatePattern, Item, MONTHS};

/// Year, month, day (of the month, or of the year in month 0), hour, minute, second; what the
/// pattern does not write is 0. Later times are greater.
pub type Moment = [i32; 6];

/// Places in a [`Moment`].
const YEAR: usize = 0;
const MONTH: usize = 1;
const DAY: usize = 2;
const HOUR: usize = 3;
const MINUTE: usize = 4;
const SECOND: usize = 5;

impl DatePattern {
    /// The moment that `text` begins with, as this pattern writes it. `None`: it begins with none,
    /// or the pattern does not tell times apart in their order.
    pub fn read(&self, text: &[u8]) -> Option<Moment> {
        let (mut moment, mut seen) = ([0; 6], [false; 6]);
        let mut rest = text;
        for item in &self.items {
            match item {
                Item::Literal(literal) => {
                    let (head, tail) = rest.split_at_checked(literal.len())?;
                    rest = head.eq_ignore_ascii_case(literal.as_bytes()).then_some(tail)?;
                }
                Item::Field(letter, count) => {
                    let (place, value, tail) = read_field(rest, *letter, *count)?;
                    rest = tail;
                    // Once written twice, it must be the same.
                    if std::mem::replace(&mut seen[place], true) && moment[place] != value {
                        return None;
                    }
                    moment[place] = value;
                }
            }
        }
        let has_year_day = self.items.iter().any(|i| matches!(i, Item::Field('D', _)));
        let chain: &[usize] = match has_year_day {
            true if seen[MONTH] => return None,
            true => &[YEAR, DAY, HOUR, MINUTE, SECOND],
            false => &[YEAR, MONTH, DAY, HOUR, MINUTE, SECOND],
        };
        let is_ordered = chain.windows(2).all(|pair| seen[pair[0]] || !seen[pair[1]]);
        (is_ordered && seen[YEAR]).then_some(moment)
    }
}

/// The place and value of a field that `text` begins with, and what is behind it.
fn read_field(text: &[u8], letter: char, count: usize) -> Option<(usize, i32, &[u8])> {
    if letter == 'M' && count >= 3 {
        let month = (0..12).find(|&month| {
            let name = if count >= 4 { MONTHS[month] } else { &MONTHS[month][..3] };
            text.get(..name.len()).is_some_and(|t| t.eq_ignore_ascii_case(name.as_bytes()))
        })?;
        let len = if count >= 4 { MONTHS[month].len() } else { 3 };
        return Some((MONTH, month as i32 + 1, &text[len..]));
    }
    let (place, digits, range) = match letter {
        'y' if count == 2 => (YEAR, (2, 2), 0..=99),
        'y' => (YEAR, (4, 4), 1970..=9999),
        'M' => (MONTH, (count, 2), 1..=12),
        'd' => (DAY, (count, 2), 1..=31),
        'D' => (DAY, (count, 3), 1..=366),
        'H' => (HOUR, (count, 2), 0..=23),
        'm' => (MINUTE, (count, 2), 0..=59),
        's' => (SECOND, (count, 2), 0..=59),
        _ => return None,
    };
    let (least, most) = digits;
    let len = text.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    if len < least {
        return None;
    }
    let value = text[..len].iter().fold(0, |value, b| value * 10 + i32::from(b - b'0'));
    range.contains(&value).then_some((place, value, &text[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Option<Moment> {
        DatePattern::parse(pattern).unwrap().read(text.as_bytes())
    }

    #[test]
    fn a_moment_is_read_back_and_orders_like_time() {
        assert_eq!(read("yyyyMMddHH", "2026112814.log"), Some([2026, 11, 28, 14, 0, 0]));
        assert_eq!(read("yyyy-MM-dd'T'HH", "2026-11-28t09"), Some([2026, 11, 28, 9, 0, 0]));
        assert_eq!(read("yyyyDDD", "2026332"), Some([2026, 0, 332, 0, 0, 0]));
        assert_eq!(read("yyyy-MMM", "2026-NOV"), Some([2026, 11, 0, 0, 0, 0]));
        assert_eq!(read("yyyy.M.d", "2026.1.9"), Some([2026, 1, 9, 0, 0, 0]));
        assert_eq!(read("yyMMdd", "261128"), Some([26, 11, 28, 0, 0, 0]));
    }

    #[test]
    fn what_is_no_moment_or_has_no_order_is_none() {
        assert_eq!(read("yyyyMMddHH", "2026132814"), None, "month 13");
        assert_eq!(read("yyyyMMddHH", "202611281"), None, "too short");
        assert_eq!(read("HH", "14"), None, "of which day?");
        assert_eq!(read("MMddHH", "112814"), None, "of which year?");
        assert_eq!(read("yyyyMMHH", "20261114"), None, "of which day?");
        assert_eq!(read("yyyy-ww", "2026-48"), None);
        assert_eq!(read("yyyyMMddhh", "2026112802"), None, "morning or evening?");
    }
}
