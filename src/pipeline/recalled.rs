//! Where a state is read back from the topic, no record tells which dead letters are known, and each may be of an
//! event that comes up again. They are sought until all has come up that the files held then. An event that comes
//! later is another one, though it may be like one of long ago in all that a letter tells: it has a letter of its
//! own. A record that is written meanwhile says so ([`LettersKnown::Recalled`]): a start goes on seeking them.

use super::Pipeline;
use crate::checkpoint::record::LettersKnown;
use crate::source::owed::Owed;

/// Between two looks at the files, ms.
const LOOK_MS: u64 = 4_000;

/// Are letters sought of which no record knows, and until when?
#[derive(Default)]
pub(super) enum Recalled {
    #[default]
    No,
    /// The directory could not be listed yet.
    Unmeasured,
    /// Until that has come up. Next look at this monotonic time.
    Until { owed: Owed, look_ms: u64 },
}

impl Pipeline {
    /// What the record says of the letters that are there, if there is one.
    pub(super) fn inherit_letters(&mut self, known: LettersKnown) {
        self.ledger.inherit_letters(known);
        self.recalled = match known {
            LettersKnown::Recalled(_) => Recalled::Unmeasured,
            LettersKnown::Unsaid | LettersKnown::Bytes(_) => Recalled::No,
        };
    }

    /// To be called when nothing is under way.
    pub(super) fn forget_recalled(&mut self) {
        let now_ms = self.clock.monotonic_ms();
        match &mut self.recalled {
            Recalled::No => {}
            Recalled::Unmeasured => {
                if let Some(owed) = self.files.owe() {
                    self.recalled = Recalled::Until { owed, look_ms: now_ms };
                }
            }
            Recalled::Until { look_ms, .. } if now_ms < *look_ms => {}
            Recalled::Until { owed, look_ms } => {
                *look_ms = now_ms + LOOK_MS;
                if self.files.left(owed).is_some_and(|left| left.files == 0) {
                    self.ledger.forget_recalled();
                    self.recalled = Recalled::No;
                    // Else a later start would seek them again.
                    self.is_dirty = true;
                }
            }
        }
    }
}
