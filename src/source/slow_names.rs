//! Names that take long to be matched. A pattern that backtracks takes up to 0.01 s for a name that was
//! made for it, and a directory holds any number of them, which stay there: a listing spends a limited
//! time on them, and none is matched twice.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::policy::Names;

/// A name that takes longer is remembered.
const SLOW_NAME: Duration = Duration::from_millis(1);
/// No more are remembered (255 bytes each at most).
const SLOW_NAMES_MAX: usize = 65_536;
/// How long a listing may match such names. The others are judged at the next one, which follows at once.
const LISTING_MAX: Duration = Duration::from_millis(500);

/// What is known of them.
#[derive(Default)]
pub(super) struct SlowNames {
    verdicts: HashMap<OsString, Result<bool, String>>,
    /// In the present listing.
    spent: Duration,
}

impl SlowNames {
    pub(super) fn begin_listing(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Has this listing no time left for the name?
    pub(super) fn is_late_for(&self, name: &OsStr) -> bool {
        self.spent >= LISTING_MAX && !self.verdicts.contains_key(name)
    }

    /// As [`Names::accept`].
    pub(super) fn accept(&mut self, names: &Names, name: &OsStr) -> Result<bool, String> {
        if names.is_out(name) {
            return Ok(false);
        }
        if let Some(verdict) = self.verdicts.get(name) {
            return verdict.clone();
        }
        let begun = Instant::now();
        let verdict = names.accept(name);
        let took = begun.elapsed();
        if took > SLOW_NAME {
            self.spent += took;
            if self.verdicts.len() < SLOW_NAMES_MAX {
                self.verdicts.insert(name.to_owned(), verdict.clone());
            }
        }
        verdict
    }
}
