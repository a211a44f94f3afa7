//! Names of files are told from a directory, the root of their source. Where a source has files in several
//! directories the root is what these have in common, and another configuration has another one. A name that was
//! written means the path that it meant then: so what is written says which root that was.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::dead_letter::Letter;
use super::ledger::FileLedger;
use super::receipt::Receipt;
use super::record::Record;

/// What has that name below the directory `was`, as it is called below `now`: by its path, where it is not below
/// that.
fn moved(name: &[u8], was: &Path, now: &Path) -> Vec<u8> {
    if name.is_empty() {
        return Vec::new();
    }
    let path = was.join(OsStr::from_bytes(name));
    path.strip_prefix(now).unwrap_or(&path).as_os_str().as_bytes().to_vec()
}

impl Record {
    /// With names that are told from the directory `now`. `false`: they were, as far as is known.
    pub fn tell_names_from(&mut self, now: &Path) -> bool {
        let was = std::mem::take(&mut self.names_from);
        let is_other = !was.is_empty() && was != now.as_os_str().as_bytes();
        if !was.is_empty() {
            self.names_from = now.as_os_str().as_bytes().to_vec();
        }
        if !is_other {
            return false;
        }
        let was = Path::new(OsStr::from_bytes(&was));
        for file in &mut self.files {
            let names = [&mut file.name, &mut file.current_name].into_iter();
            let former = file.former_names.iter_mut().map(|had| &mut had.name);
            names.chain(former).for_each(|name| *name = moved(name, was, now));
            // Which directory stands in that place is not known.
            (file.root, file.root_born_ns) = (0, 0);
        }
        true
    }
}

impl Receipt {
    /// With names that are told from the directory `now`.
    pub fn told_from(mut self, now: &Path) -> Receipt {
        if !self.names_from.is_empty() && self.names_from != now.as_os_str().as_bytes() {
            let was = Path::new(OsStr::from_bytes(&self.names_from));
            self.name = moved(&self.name, was, now);
            self.completed = moved(&self.completed, was, now);
            self.names_from = now.as_os_str().as_bytes().to_vec();
        }
        self
    }
}

impl FileLedger {
    /// Writes from which directory names are told, where another configuration may have another one.
    pub fn naming_from(mut self, dir: Option<&Path>) -> FileLedger {
        self.names_from = dir.map_or_else(Vec::new, |dir| dir.as_os_str().as_bytes().to_vec());
        self
    }
}

impl Letter {
    /// The name of its file, told from the directory `now`. The letter itself stays as it is in its file.
    pub(crate) fn file_from(&self, now: &Path) -> String {
        if self.names_from.is_empty() {
            return self.file.clone();
        }
        let was = Path::new(OsStr::from_bytes(&self.names_from));
        String::from_utf8_lossy(&moved(self.file.as_bytes(), was, now)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::record::{FileRecord, FormerName};

    #[test]
    fn a_name_means_the_path_that_it_meant_when_it_was_written() {
        for (name, was, now, wanted) in [
            ("a.log", "/v/a", "/v", "a/a.log"),
            ("a/a.log", "/v", "/v/a", "a.log"),
            ("b/b.log", "/v", "/v/a", "/v/b/b.log"),
            ("/v/b/b.log", "/v/a", "/v", "b/b.log"),
            ("a/b", "/", "/a", "b"),
            ("b", "/a", "/", "a/b"),
            ("ab", "/v", "/v/a", "/v/ab"),
            ("", "/v", "/v/a", ""),
        ] {
            let found = moved(name.as_bytes(), Path::new(was), Path::new(now));
            assert_eq!(String::from_utf8(found).unwrap(), wanted, "{name} of {was} in {now}");
        }
    }

    #[test]
    fn every_name_of_a_record_is_told_from_the_new_root() {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let had = FormerName { name: bytes("b/old"), ..FormerName::default() };
        let file = FileRecord {
            name: bytes("b/log"),
            current_name: bytes("a/old/log.1"),
            former_names: vec![had],
            root: 7,
            ..FileRecord::default()
        };
        let record = Record { names_from: bytes("/v"), files: vec![file], ..Record::default() };
        let mut same = record.clone();
        assert!(!same.tell_names_from(Path::new("/v")));
        assert_eq!(same, record);
        let mut moved = record.clone();
        assert!(moved.tell_names_from(Path::new("/v/a")));
        let file = &moved.files[0];
        assert_eq!(file.name, b"/v/b/log");
        assert_eq!(file.current_name, b"old/log.1");
        assert_eq!(file.former_names[0].name, b"/v/b/old");
        assert_eq!((file.root, moved.names_from.as_slice()), (0, &b"/v/a"[..]));
        // Of one that does not say what they were told from nothing is known.
        let mut unsaid = Record { names_from: Vec::new(), ..record };
        assert!(!unsaid.tell_names_from(Path::new("/v/a")));
        assert_eq!(unsaid.files[0].name, b"b/log");
    }
}
