//! What was truncated lives on in its copy (copytruncate): where that is read on.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::quest::{Compared, Quest, Suspect, Whose};
use super::restore::AnnouncedRange;
use super::tracked::Mark;
use super::window::TailBytes;
use super::{Files, Handle, tell};
use crate::log::Level;

impl Files {
    /// What was read of a file that was truncated may live on in a copy.
    pub(super) fn seek_copy(&mut self, id: u64) {
        self.quests.push(Quest::new(Whose::Truncated { id }, VecDeque::new(), false));
        if !self.is_restoring {
            self.list_suspects();
        }
    }

    /// Is that a copy that lacks the last lines? While something is in doubt of what was read, it is
    /// compared as far as the position, and then waits.
    pub(super) fn compare_partly(
        &self,
        id: u64,
        is_told: &mut bool,
        suspect: &mut Suspect,
        file: &File,
        budget: &mut u64,
    ) -> io::Result<Compared> {
        let Some(handle) = self.handle_of(id) else { return Ok(Compared::Other) };
        let tracked = &self.tracked[handle];
        let size = file.metadata()?.len();
        let compared = suspect.partly.filter(|mark| mark.position == suspect.hashed);
        let mark = self.mark_before(tracked, size).filter(|m| m.position >= suspect.hashed);
        let mark = mark.or(compared).filter(|mark| mark.position > 0);
        if let Some(mark) = mark {
            suspect.partly = Some(mark);
            self.tell_comparison(is_told, suspect, mark.position);
            if !suspect.hash_to(file, mark.position, budget)? {
                return Ok(Compared::NotYet);
            }
            if suspect.crc() != mark.bytes_crc {
                return Ok(Compared::Other);
            }
        }
        suspect.waits = tracked.has_uncommitted();
        Ok(if suspect.waits { Compared::NotYet } else { Compared::of(mark.is_some()) })
    }

    /// A range of file `id` is to be read again. Where the file was truncated, and a copy that lacks
    /// the last lines holds the range, it is read there.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn read_in_copy(&mut self, id: u64, range: AnnouncedRange) -> io::Result<()> {
        match self.waiting_copy(id)? {
            Some((copy, _)) if range.is_in(&copy) => self.read_ranges_in(id, copy),
            _ => {}
        }
        Ok(())
    }

    /// A range of file `id` that begins at `start` is in no file as a whole. A copy that lacks the
    /// last lines may hold its first bytes: then it is read there, up to this offset.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn copy_end(&mut self, id: u64, start: u64) -> io::Result<Option<u64>> {
        let Some((copy, mark)) = self.waiting_copy(id)? else { return Ok(None) };
        let end = copy.metadata()?.len();
        if mark.position == 0 || end <= start {
            return Ok(None);
        }
        self.read_ranges_in(id, copy);
        Ok(Some(end))
    }

    fn waiting_copy(&self, id: u64) -> io::Result<Option<(File, Mark)>> {
        let Some(suspect) = self.quests.waiting_copy(id) else { return Ok(None) };
        let (Some(file), Some(mark)) = (&suspect.file, suspect.partly) else { return Ok(None) };
        Ok(Some((file.try_clone()?, mark)))
    }

    fn read_ranges_in(&mut self, id: u64, copy: File) {
        if let Some(handle) = self.handle_of(id) {
            self.tracked[handle].file = copy;
            self.window.clear();
        }
    }

    pub(super) fn goes_on_in_copy(&mut self, id: u64, suspect: Suspect, file: File) {
        let Some(handle) = self.handle_of(id) else { return };
        let size = file.metadata().map_or(0, |stat| stat.len());
        let is_named = self.accepts(&suspect.name);
        if let Some(mark) = suspect.partly
            && let Err(e) = self.step_back(handle, &suspect, &file, mark, size)
        {
            let name = suspect.name.clone();
            return self.complain(&name, &e.to_string());
        }
        let now_ms = self.clock().monotonic_ms();
        let tracked = &mut self.tracked[handle];
        let original = tracked.name().to_owned();
        tracked.go_on_in(file, now_ms);
        self.take_name(handle, &suspect, is_named);
        tell(
            Level::Info,
            &suspect.name,
            format_args!(
                "What was read of {} is in {} now (copied before it was truncated); reading goes \
                 on there at byte {} of {size}.",
                original.display(),
                suspect.name.display(),
                self.tracked[handle].read_position,
            ),
        );
    }

    /// The copy was made before the last lines were written that were read of the original: all of
    /// the copy is in the topic.
    fn step_back(
        &mut self,
        handle: Handle,
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
        let tracked = &mut self.tracked[handle];
        (tracked.read_position, tracked.tail) = (size, tail);
        let record = &mut tracked.record;
        record.position = size;
        record.bytes_crc = hasher.finalize();
        record.lines = mark.lines + lines;
        record.events = mark.events + lines;
        record.tail_len = tail.as_slice().len() as u32;
        record.tail_crc = tail.crc();
        tracked.cut_marks();
        Ok(())
    }
}
