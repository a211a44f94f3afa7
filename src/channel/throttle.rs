//! Quotas: how long the brokers make a channel wait. The log says so when it begins and when it is over.

use super::broker::Throttled;

/// It is over when nothing of it was heard for so long after the last pause, ms: brokers reckon a
/// rate over some ten seconds.
const QUIET_MS: u64 = 30_000;

/// The pauses that brokers have asked a channel for.
#[derive(Debug, Default)]
pub struct Throttle {
    /// All pauses, ms.
    pub total_ms: u64,
    spell: Option<Spell>,
}

#[derive(Debug)]
struct Spell {
    ms: u64,
    /// Monotonic time before which it is not over.
    until_ms: u64,
}

impl Throttle {
    /// A broker has asked for a pause. Is it the first?
    pub fn note(&mut self, throttled: &Throttled, now_ms: u64) -> bool {
        let is_first = self.spell.is_none();
        let spell = self.spell.get_or_insert(Spell { ms: 0, until_ms: 0 });
        spell.ms += throttled.ms;
        spell.until_ms = spell.until_ms.max(now_ms + throttled.ms + QUIET_MS);
        self.total_ms += throttled.ms;
        is_first
    }

    /// How long the pauses were together, ms, where they are over now.
    pub fn take_end(&mut self, now_ms: u64) -> Option<u64> {
        let spell = self.spell.take_if(|spell| now_ms >= spell.until_ms)?;
        Some(spell.ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_told_when_it_begins_and_when_it_is_over() {
        let asks = |ms| Throttled { peer: "h:1".to_string(), ms };
        let mut throttle = Throttle::default();
        assert_eq!(throttle.take_end(0), None);
        assert!(throttle.note(&asks(4_000), 0));
        assert!(!throttle.note(&asks(1_000), 4_000));
        assert_eq!(throttle.take_end(34_999), None);
        assert_eq!(throttle.take_end(35_000), Some(5_000));
        assert_eq!(throttle.take_end(35_000), None);
        assert!(throttle.note(&asks(1), 40_000));
        assert_eq!(throttle.total_ms, 5_001);
    }
}
