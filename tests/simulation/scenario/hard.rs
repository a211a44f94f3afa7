//! `FLUME_NG_SIM_HARD`: what finds most is in each run.

use super::{Kind, Scenario};

/// More actions of each run.
const MORE: u64 = 20;
/// So many of 100 files have names that have no room for a suffix.
const LONG_NAMES: u64 = 60;

impl Scenario {
    /// After all was drawn, and without a draw of its own: the seed's first actions stay as they are where
    /// nothing was added.
    pub fn hardened(self) -> Scenario {
        if self.loses_tracker {
            return self;
        }
        Scenario {
            long_names: if self.is_followed() { None } else { Some(LONG_NAMES) },
            has_absences: true,
            has_rogue_writers: true,
            has_crashes: true,
            has_new_numbers: self.has_new_numbers || self.kind == Kind::SpoolTail,
            actions: self.actions + MORE,
            ..self
        }
    }
}
