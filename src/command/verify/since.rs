//! From a time that was asked for to one that receipts can be held against.

use crate::cli::Since;
use crate::clock::Clock;

/// Unix time, ms.
pub(super) fn epoch_ms(since: Since, clock: &dyn Clock) -> i64 {
    match since {
        Since::Ago(ms) => clock.now_ms().saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)),
        Since::Local(time) => {
            let utc_ms = time.assume_utc().unix_timestamp() * 1_000;
            // The offset is that of the time itself, which is known once the offset is.
            let offset_ms = |ms: i64| i64::from(clock.local(ms).offset_s()) * 1_000;
            utc_ms - offset_ms(utc_ms - offset_ms(utc_ms))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn times_are_those_of_the_wall() {
        let clock = SystemClock::new();
        let of = |text: &str| epoch_ms(Since::parse(text).unwrap(), &clock);
        for text in ["2026-11-28T14:05", "2026-07-01 00:00", "1999-12-31T23:59"] {
            let local = clock.local(of(text)).date_time();
            let told = format!(
                "{:04}-{:02}-{:02}{}{:02}:{:02}",
                local.year(),
                u8::from(local.month()),
                local.day(),
                &text[10..11],
                local.hour(),
                local.minute()
            );
            assert_eq!(told, text);
        }
        assert_eq!(of("2026-11-28"), of("2026-11-28T00:00"));
        assert!((clock.now_ms() - of("6h") - 6 * 3_600_000).abs() < 60_000);
        let wrong = ["", "6", "h", "-1h", "2026-13-01", "2026-02-30", "2026-01-01T24:00", "x"];
        for text in wrong.into_iter().chain(["2026-01-01T10", "2026-01", "99999999999999999999d"]) {
            assert_eq!(Since::parse(text), None, "{text}");
        }
    }
}
