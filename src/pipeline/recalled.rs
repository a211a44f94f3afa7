//! Where a state is read back from the topic, no record tells which dead letters are known, and each may be of an
//! event that comes up again. They are sought until all has come up that the files held then. An event that comes
//! later is another one, though it may be like one of long ago in all that a letter tells: it has a letter of its
//! own.

use super::Pipeline;
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
    /// All letters may come up again, from now on.
    pub(super) fn recall_letters(&mut self) {
        self.ledger.recall_letters();
        self.recalled = Recalled::Unmeasured;
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
                }
            }
        }
    }
}
