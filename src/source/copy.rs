//! What was truncated lives on in its copy (copytruncate): where that is read on.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use super::quest::{Quest, Suspect, Whose};
use super::tracked::Mark;
use super::window::TailBytes;
use super::{Files, READER};
use crate::log;

impl Files {
    /// What was read of a file that was truncated may live on in a copy.
    pub(super) fn seek_copy(&mut self, id: u64) {
        self.quests.push(Quest::new(Whose::Truncated { id }, VecDeque::new(), false));
        if !self.is_restoring {
            self.list_suspects();
        }
    }

    pub(super) fn goes_on_in_copy(&mut self, id: u64, suspect: Suspect, file: File) {
        let Some(index) = self.index_of(id) else { return };
        let size = file.metadata().map_or(0, |stat| stat.len());
        let is_named = !suspect.name.as_bytes().contains(&b'/') && self.accepts(&suspect.name);
        if let Some(mark) = suspect.partly
            && let Err(e) = self.step_back(index, &suspect, &file, mark, size)
        {
            let name = suspect.name.clone();
            return self.complain(&name, &e.to_string());
        }
        let tracked = &mut self.tracked[index];
        let original = tracked.name().to_owned();
        tracked.go_on_in(file);
        self.take_name(index, &suspect.name, is_named);
        log::info(
            READER,
            format_args!(
                "What was read of {} is in {} now (copied before it was truncated); reading goes \
                 on there at byte {} of {size}.",
                original.display(),
                suspect.name.display(),
                self.tracked[index].read_position,
            ),
        );
    }

    /// The copy was made before the last lines were written that were read of the original: all of
    /// the copy is in the topic.
    fn step_back(
        &mut self,
        index: usize,
        suspect: &Suspect,
        file: &File,
        mark: Mark,
        size: u64,
    ) -> io::Result<()> {
        let mut rest = vec![0; usize::try_from(size - mark.position).unwrap_or(0)];
        file.read_exact_at(&mut rest, mark.position)?;
        let mut hasher = suspect.hasher.clone();
        hasher.update(&rest);
        let lines = memchr::memchr_iter(b'\n', &rest).count() as u64;
        let tail = TailBytes::read(file, size)?;
        let tracked = &mut self.tracked[index];
        (tracked.read_position, tracked.tail) = (size, tail);
        let record = &mut tracked.record;
        record.position = size;
        record.bytes_crc = hasher.finalize();
        record.lines = mark.lines + lines;
        record.events = mark.events + lines;
        record.tail_len = tail.as_slice().len() as u32;
        record.tail_crc = tail.crc();
        Ok(())
    }
}
