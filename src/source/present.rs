//! The present time as `targetFilename` writes it: what makes a file live.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::clock::Clock;
use crate::java::date::DatePattern;

/// See the module. Every candidate is asked for it in each turn of the loop, so that it is written
/// anew only when the second changes, and compared without a copy.
pub(super) struct Present {
    /// In lower case: Flume compares so.
    text: String,
    second: i64,
}

impl Present {
    pub fn unknown() -> Present {
        Present { text: String::new(), second: i64::MIN }
    }

    /// Takes the time of `clock`. Has what the names must hold changed?
    pub fn update(&mut self, clock: &dyn Clock, format: &DatePattern) -> bool {
        let now_ms = clock.now_ms();
        let second = now_ms.div_euclid(1000);
        if second == self.second {
            return false;
        }
        self.second = second;
        let text = format.format(&clock.local(now_ms)).to_lowercase();
        let has_changed = text != self.text;
        self.text = text;
        has_changed
    }

    /// Does the name hold the present time?
    pub fn is_in(&self, name: &OsStr) -> bool {
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
        Present { text: text.to_lowercase(), second: 0 }
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
