//! The files of a source that are open, in the order in which they were opened.
//!
//! Choosing a file, recognising one and forgetting one may take others off the list, so that places on
//! it shift. Nothing outside of this module has such a place: it has a [`Handle`], which is of one file
//! for ever.

use std::ops::{Index, IndexMut};

use super::tracked::Tracked;

/// One file that is open: its id, by which it is found, and the place at which it was last seen, which saves
/// the search where nothing has shifted.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    id: u64,
    place: usize,
}

/// Of the same file, wherever it was seen.
impl PartialEq for Handle {
    fn eq(&self, other: &Handle) -> bool {
        self.id == other.id
    }
}

impl Eq for Handle {}

/// See the module.
#[derive(Default)]
pub(super) struct OpenFiles {
    // A file is large, and each that goes moves those behind it.
    #[allow(clippy::vec_box)]
    files: Vec<Box<Tracked>>,
    /// The id of each, which it keeps: of each of thousands of small files it is asked several times in which
    /// place it is, and these lie side by side.
    ids: Vec<u64>,
}

impl OpenFiles {
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Tracked> {
        self.files.iter().map(Box::as_ref)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tracked> {
        self.files.iter_mut().map(Box::as_mut)
    }

    /// Those of all files. Files may be opened and let go while one goes through them.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.ids.iter().enumerate().map(|(place, &id)| Handle { id, place }).collect()
    }

    /// That of the first file of which `is_it` holds.
    pub(super) fn find(&self, mut is_it: impl FnMut(&Tracked) -> bool) -> Option<Handle> {
        let place = self.files.iter().position(|tracked| is_it(tracked))?;
        Some(Handle { id: self.ids[place], place })
    }

    /// That of the file with this id.
    pub(super) fn of_id(&self, id: u64) -> Option<Handle> {
        let place = self.ids.iter().position(|other| *other == id)?;
        Some(Handle { id, place })
    }

    /// A handle of the same file with the place that it has now. `None`: it is not open any more.
    pub(super) fn again(&self, handle: Handle) -> Option<Handle> {
        self.place(handle).map(|place| Handle { place, ..handle })
    }

    pub(super) fn push(&mut self, tracked: Tracked) -> Handle {
        let handle = Handle { id: tracked.record.id, place: self.files.len() };
        self.ids.push(handle.id);
        self.files.push(Box::new(tracked));
        handle
    }

    /// Takes the file off the list. It has to be on it.
    pub(super) fn remove(&mut self, handle: Handle) -> Tracked {
        let place = self.place(handle).unwrap_or_else(|| not_open(handle));
        self.ids.remove(place);
        *self.files.remove(place)
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.files.clear();
    }

    /// `None`: it is not open any more.
    pub(super) fn get(&self, handle: Handle) -> Option<&Tracked> {
        self.place(handle).map(|place| &*self.files[place])
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, handle: Handle) -> Option<&mut Tracked> {
        self.place(handle).map(|place| &mut *self.files[place])
    }

    fn place(&self, handle: Handle) -> Option<usize> {
        match self.ids.get(handle.place) {
            Some(id) if *id == handle.id => Some(handle.place),
            _ => self.ids.iter().position(|id| *id == handle.id),
        }
    }
}

/// Whoever lets a file go has no use for its handle: the file that has its place by now is another one, and to
/// read on there would lose its lines.
fn not_open(handle: Handle) -> ! {
    panic!("file {} is not open any more", handle.id)
}

impl Index<Handle> for OpenFiles {
    type Output = Tracked;

    /// It has to be open.
    fn index(&self, handle: Handle) -> &Tracked {
        self.get(handle).unwrap_or_else(|| not_open(handle))
    }
}

impl IndexMut<Handle> for OpenFiles {
    fn index_mut(&mut self, handle: Handle) -> &mut Tracked {
        self.get_mut(handle).unwrap_or_else(|| not_open(handle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tracked;

    #[test]
    fn a_handle_is_of_one_file_however_places_shift() {
        let path = std::env::temp_dir().join(format!("flume-ng-open-{}", std::process::id()));
        std::fs::write(&path, "one\n").unwrap();
        let mut files = OpenFiles::default();
        let [first, second, third] = [1, 2, 3].map(|id| {
            let mut tracked = tracked::new_for_test(&path);
            tracked.record.id = id;
            files.push(tracked)
        });
        std::fs::remove_file(&path).unwrap();
        assert_eq!(files.remove(second).record.id, 2);
        assert_eq!((files[first].record.id, files[third].record.id), (1, 3));
        assert_eq!(files.find(|t| t.record.id == 3), Some(third));
        assert_eq!((files.of_id(3), files.of_id(2)), (Some(third), None));
        // The file at its old place is another one by now.
        assert!(files.get(second).is_none());
        let mut other = files.remove(first);
        other.record.id = 4;
        let fourth = files.push(other);
        assert!(files.get(first).is_none());
        assert_eq!(files.handles(), [third, fourth]);
    }
}
