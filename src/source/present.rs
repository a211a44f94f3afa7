//! The present time as `targetFilename` writes it: what makes a file live.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::policy::Current;
use crate::clock::Clock;
use crate::java::date::{DatePattern, Moment};

/// Steps to the next text, ms: a minute, an hour, a day, a month.
const STEPS_MS: [i64; 4] = [60_000, 3_600_000, 86_400_000, 31 * 86_400_000];

/// The present time as text. Every candidate is asked for it in each turn of the loop, so that it is written
/// anew only when the second changes, and compared without a copy.
pub(super) struct Present {
    /// In lower case: Flume compares so.
    text: String,
    second: i64,
    /// Where the pattern writes times in their order, which one it is.
    ordered: Option<(DatePattern, Moment)>,
    /// Else the text of the hour to come.
    next: String,
    /// No name holds a time: each is current, or none.
    whatever: Option<bool>,
}

impl Present {
    pub(super) fn unknown() -> Present {
        Present {
            text: String::new(),
            second: i64::MIN,
            ordered: None,
            next: String::new(),
            whatever: None,
        }
    }

    pub(super) fn of(current: &Current) -> Present {
        let whatever = match current {
            Current::Dated(_) => None,
            Current::Each => Some(true),
            Current::None => Some(false),
        };
        Present { whatever, ..Present::unknown() }
    }

    /// Takes the time of `clock`. Has what the names must hold changed?
    pub(super) fn update(&mut self, clock: &dyn Clock, format: &DatePattern) -> bool {
        let now_ms = clock.now_ms();
        let second = now_ms.div_euclid(1000);
        if second == self.second {
            return false;
        }
        self.second = second;
        let write = |ms: i64| format.format(&clock.local(ms)).to_lowercase();
        let text = write(now_ms);
        if text == self.text {
            return false;
        }
        self.ordered = format.read(text.as_bytes()).map(|moment| (format.clone(), moment));
        let coming = STEPS_MS.iter().map(|step| write(now_ms.saturating_add(*step)));
        self.next = coming.into_iter().find(|next| *next != text).unwrap_or_default();
        self.text = text;
        true
    }

    /// Is the name one whose time is not over: of the present time, or of one to come? A file may
    /// be made, and its writer may have it open, before its hour begins. A time more than a year
    /// ahead is a number that happens to look like one.
    pub(super) fn is_current(&self, name: &OsStr) -> bool {
        self.whatever.unwrap_or_else(|| self.is_in(name) || self.is_coming(name.as_bytes()))
    }

    fn is_coming(&self, name: &[u8]) -> bool {
        let Some((format, now)) = &self.ordered else {
            let next = self.next.as_bytes();
            let holds = |part: &[u8]| part.eq_ignore_ascii_case(next);
            return !next.is_empty() && name.windows(next.len()).any(holds);
        };
        (0..name.len()).filter_map(|at| format.read(&name[at..])).any(|moment| {
            let mut most = *now;
            most[0] += 1;
            moment > *now && moment <= most
        })
    }

    /// Was a file that was last written to at that Unix time written to in the present hour, or
    /// later by its file system's clock?
    pub(super) fn is_since(
        &self,
        modified_ms: i64,
        clock: &dyn Clock,
        format: &DatePattern,
    ) -> bool {
        let modified = clock.local(modified_ms.min(clock.now_ms()));
        format.format(&modified).to_lowercase() == self.text
    }

    /// Does the name hold the present time?
    pub(super) fn is_in(&self, name: &OsStr) -> bool {
        if let Some(whatever) = self.whatever {
            return whatever;
        }
        let (name, text) = (name.as_bytes(), self.text.as_bytes());
        if !name.is_ascii() {
            let name = String::from_utf8_lossy(name).to_lowercase();
            return name.contains(&self.text);
        }
        text.is_empty() || name.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(text: &str) -> Present {
        Present { text: text.to_lowercase(), second: 0, ..Present::unknown() }
    }

    #[test]
    fn a_name_may_hold_a_time_to_come() {
        // 2024-02-28 23:59:59 UTC.
        let clock = crate::clock::ManualClock::new(1_709_164_799_000, 0);
        for (pattern, name, expected) in [
            ("yyyyMMddHH", "010_2024022823.log", true),
            ("yyyyMMddHH", "010_2024022900.log", true),
            ("yyyyMMddHH", "2025022800.log", true),
            ("yyyyMMddHH", "010_2024022822.log", false),
            ("yyyyMMddHH", "9912123100.log", false),
            ("yyyyMMddHH", "access.log", false),
            ("yyyy-MM", "a.2024-03", true),
            ("HH", "a.00", true),
            ("HH", "a.22", false),
            ("MMddHH", "022900", true),
            ("MMddHH", "022901", false),
        ] {
            let mut present = Present::unknown();
            present.update(&clock, &DatePattern::parse(pattern).unwrap());
            assert_eq!(present.is_current(OsStr::new(name)), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_holds_the_present_time_in_either_case_and_in_any_script() {
        let lossy = OsStr::from_bytes(b"\xff_2017-JAN-04");
        for (text, name, expected) in [
            ("2017041212", OsStr::new("010_2017041212"), true),
            ("2017041212", OsStr::new("010_2017041213"), false),
            ("2017041212", OsStr::new("2017"), false),
            ("", OsStr::new("anything"), true),
            ("Jan-04", OsStr::new("x.JAN-04.log"), true),
            ("jan-04", lossy, true),
            ("Märch", OsStr::new("log_MÄRCH"), true),
            ("märch", OsStr::new("log_march"), false),
            // The Kelvin sign is a k in lower case.
            ("k", OsStr::new("\u{212a}"), true),
        ] {
            assert_eq!(present(text).is_in(name), expected, "{text} in {}", name.display());
            let plain = name.to_string_lossy().to_lowercase().contains(&text.to_lowercase());
            assert_eq!(plain, expected, "{text} in {}, as it is meant", name.display());
        }
    }
}
