//! What another agent has announced: the state was copied, or put back from a backup, with batches in doubt. The
//! agent that announced them may be alive, and may have sent them, or may be about to, under their identities or others.
//!
//! That a state is a copy shows in the numbers of its file, until it is written for the first time. So each of these
//! batches is marked, for every later start, until it is found in the topic or has an identity of our own.

use super::{Pipeline, SOURCE};
use crate::channel::outlet::DoubtIdentity;
use crate::log::{self, counted};

impl Pipeline {
    /// What was inherited in doubt is another agent's if the state is a copy, or was one and is marked.
    pub(super) fn inherit_foreign(&mut self, is_copied: bool) {
        let mut marked = 0;
        for announced in self.announced.iter_mut().filter(|a| a.record.fate.is_in_doubt()) {
            let record = &mut announced.record;
            record.is_foreign |= is_copied;
            if record.is_foreign {
                marked += 1;
                let outlet = &mut self.outlets[usize::from(record.channel)];
                outlet.doubt_identity = DoubtIdentity::Foreign;
            }
        }
        if marked > 0 && !is_copied {
            log::warn(
                SOURCE,
                format_args!(
                    "The checkpoint was a copy or was restored, and {} in doubt since then: what is \
                     not in the topic is sent under new producer ids.",
                    counted(marked, "batch")
                ),
            );
        }
    }

    /// Of what is not in doubt any more it makes no difference who announced it.
    pub(super) fn forget_foreign(&mut self) {
        for announced in self.announced.iter_mut().filter(|a| !a.record.fate.is_in_doubt()) {
            announced.record.is_foreign = false;
        }
    }
}
