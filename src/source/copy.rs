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

/// What is read at once of a copy, bytes.
const BLOCK_BYTES: usize = 64 * 1024;

impl Files {
    /// What was read of a file that was truncated may live on in a copy.
    pub(super) fn seek_copy(&mut self, id: u64) {
        self.quests.push(Quest::new(Whose::Truncated { id }, VecDeque::new(), false));
        if !self.is_restoring {
            self.list_suspects();
        }
    }

    /// Is that a copy that lacks the last lines? While something is in doubt of what was read, it is
    /// compared as far as the position, and then waits. `None`: it has grown, lacks none by its length, and
    /// is to be compared as any other.
    pub(super) fn compare_partly(
        &self,
        id: u64,
        is_told: &mut bool,
        suspect: &mut Suspect,
        file: &File,
        budget: &mut u64,
    ) -> io::Result<Option<Compared>> {
        let Some(handle) = self.handle_of(id) else { return Ok(Some(Compared::Other)) };
        let tracked = &self.tracked[handle];
        let size = file.metadata()?.len();
        if size >= tracked.read_position {
            (suspect.partly, suspect.waits) = (None, false);
            return Ok(None);
        }
        let compared = suspect.partly.filter(|mark| mark.position == suspect.hashed);
        let mark = self.mark_before(tracked, size).filter(|m| m.position >= suspect.hashed);
        let mark = mark.or(compared).filter(|mark| mark.position > 0);
        if let Some(mark) = mark {
            suspect.partly = Some(mark);
            self.tell_comparison(is_told, suspect, mark.position);
            if !suspect.hash_to(file, mark.position, budget)? {
                return Ok(Some(Compared::NotYet));
            }
            if suspect.crc() != mark.bytes_crc {
                return Ok(Some(Compared::Other));
            }
        }
        suspect.waits = tracked.has_uncommitted();
        Ok(Some(if suspect.waits { Compared::NotYet } else { Compared::of(mark.is_some()) }))
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
    /// the copy is in the topic. It may have grown since it was compared: no more than was read is.
    fn step_back(
        &mut self,
        handle: Handle,
        suspect: &Suspect,
        file: &File,
        mark: Mark,
        size: u64,
    ) -> io::Result<()> {
        let size = size.min(self.tracked[handle].read_position);
        if size < mark.position {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut hasher = suspect.hasher.clone();
        let (mut at, mut lines) = (mark.position, 0);
        let mut block = vec![0; BLOCK_BYTES];
        while at < size {
            let len = BLOCK_BYTES.min(usize::try_from(size - at).unwrap_or(BLOCK_BYTES));
            file.read_exact_at(&mut block[..len], at)?;
            hasher.update(&block[..len]);
            lines += memchr::memchr_iter(b'\n', &block[..len]).count() as u64;
            at += len as u64;
        }
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
        self.has_moved = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::FileRecord;
    use crate::source::scene::{Scene, named};

    /// What was read of a file that was truncated, its copy that lacks the last lines, and how much the two hold.
    fn copied(label: &str) -> (Scene, u64, String, [u64; 2]) {
        let mut scene = Scene::new(label);
        let name = scene.name("app");
        let copy = format!("{name}.1");
        scene.write(&copy, 0..100);
        scene.write(&name, 0..103);
        let [less, all] = [&copy, &name].map(|n| scene.path(n).metadata().unwrap().len());
        let handle = scene.is_read(&name, less);
        let id = scene.truncate(handle);
        (scene, id, copy, [less, all])
    }

    #[test]
    fn all_of_a_copy_that_lacks_the_last_lines_is_in_the_topic() {
        let (mut scene, id, copy, [less, _]) = copied("copy-lacks");
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&copy, less));
        let record = scene.files.record(id).unwrap();
        let crc = crc32fast::hash(&std::fs::read(scene.path(&copy)).unwrap());
        assert_eq!((record.position, record.bytes_crc), (less, crc));
    }

    #[test]
    fn lines_of_a_copy_that_has_grown_before_it_was_compared_are_not_lost() {
        let (mut scene, id, copy, [_, all]) = copied("copy-grown");
        scene.write(&copy, 100..110);
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&copy, all));
    }

    #[test]
    fn lines_of_a_copy_that_has_grown_since_it_was_compared_are_not_lost() {
        let (mut scene, id, copy, [less, all]) = copied("copy-grows");
        let mut quest = scene.files.quests.list.pop_front().unwrap();
        let mut suspect = quest.suspects.pop_front().unwrap();
        let file = suspect.file.take().unwrap();
        let result = scene.files.compare_partly(id, &mut false, &mut suspect, &file, &mut 100_000);
        assert_eq!(result.unwrap(), Some(Compared::Same));
        assert_eq!(suspect.partly.map(|mark| mark.position), Some(less));
        scene.write(&copy, 100..110);
        scene.files.goes_on_in_copy(id, suspect, file);
        assert_eq!(scene.reads(id), named(&copy, all));
        let record = scene.files.record(id).unwrap();
        let bytes = std::fs::read(scene.path(&copy)).unwrap();
        assert_eq!(record.bytes_crc, crc32fast::hash(&bytes[..all as usize]));
    }

    /// The record of `app`, which was read, copied perhaps when it held so many bytes, and renamed to `app.1`.
    fn renamed(label: &str, lines: u32, copied: u64) -> (Scene, FileRecord, [String; 2]) {
        let mut scene = Scene::new(label);
        let old = scene.name("app");
        let new = format!("{old}.1");
        scene.write(&old, 0..lines);
        let handle = scene.is_read(&old, copied);
        std::fs::rename(scene.path(&old), scene.path(&new)).unwrap();
        scene.files.refresh(true);
        let record = scene.files.tracked.remove(handle).record;
        assert_eq!(record.former_names.len(), 1);
        (scene, record, [old, new])
    }

    /// It was deleted then, and another file that begins alike has its name: no copy of anything.
    #[test]
    fn what_begins_like_a_file_that_is_gone_is_not_it_by_a_name_that_it_had_before() {
        let (mut scene, record, [_, new]) = renamed("copy-gone", 1, 16);
        let id = record.id;
        // So that its inode number is not used again.
        let _gone = std::fs::File::open(scene.path(&new)).unwrap();
        std::fs::remove_file(scene.path(&new)).unwrap();
        scene.write(&new, 0..3);
        scene.restart();
        scene.files.restore(vec![record], id + 1, |_| None);
        scene.files.refresh(true);
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), None);
    }

    /// It was renamed once more, copied under that name without its last lines, and truncated, before anybody
    /// looked at it again.
    #[test]
    fn a_copy_of_a_parked_file_is_known_by_a_name_under_which_nobody_has_seen_that() {
        let (mut scene, record, [_, seen]) = renamed("copy-unseen", 103, 1_600);
        let id = record.id;
        let unseen = scene.name("unseen");
        scene.files.park_record(record);
        std::fs::rename(scene.path(&seen), scene.path(&unseen)).unwrap();
        let copy = format!("{unseen}.1");
        scene.write(&copy, 0..100);
        let file = std::fs::File::options().write(true).open(scene.path(&unseen));
        file.unwrap().set_len(0).unwrap();
        scene.write(&unseen, 300..400);
        scene.clock.advance(2_000);
        assert!(scene.files.choose().is_none());
        scene.files.recognise(|_| None);
        assert_eq!(scene.reads(id), named(&copy, 1_600));
    }
}
