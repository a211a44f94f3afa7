//! Names that match the pattern and hardly should: copies that a rotating tool leaves beside a file
//! (copytruncate), and compressed files, whose bytes are no lines. Only told: who matches them may know
//! why.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::scan::Candidate;

/// What compressors put behind a name.
const PACKED: [&[u8]; 7] = [b".gz", b".bz2", b".xz", b".zst", b".lz4", b".zip", b".Z"];

/// What there is to say of them, in sentences without an end.
pub fn remarks(candidates: &[Candidate]) -> Vec<String> {
    let names: Vec<&OsStr> = candidates.iter().map(|c| c.name.as_os_str()).collect();
    of_names(&names)
}

fn of_names(names: &[&OsStr]) -> Vec<String> {
    let mut remarks = Vec::new();
    let packed: Vec<&OsStr> = names.iter().copied().filter(|name| is_packed(name)).collect();
    if let Some(first) = packed.first() {
        remarks.push(format!(
            "{} match targetPattern and are compressed ({}): their bytes are sent as lines; leave \
             them out by ignorePattern",
            files(packed.len()),
            first.display()
        ));
    }
    let all: HashSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    let copies = names.iter().filter(|name| !is_packed(name));
    let copies: Vec<(&OsStr, &OsStr)> =
        copies.filter_map(|name| original(name, &all).map(|of| (*name, of))).collect();
    if let Some((copy, of)) = copies.first() {
        remarks.push(format!(
            "{} match targetPattern and look like copies of others ({} of {}): a tool that copies \
             and truncates loses what is written in between; let it rename, or leave the copies out \
             by ignorePattern",
            files(copies.len()),
            copy.display(),
            of.display()
        ));
    }
    remarks
}

fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

fn is_packed(name: &OsStr) -> bool {
    PACKED.iter().any(|end| name.as_bytes().ends_with(end))
}

/// The other name to which this one adds a number or a date: `app.log` of `app.log.1` and of
/// `app.log-20170412`.
fn original<'a>(name: &'a OsStr, all: &HashSet<&[u8]>) -> Option<&'a OsStr> {
    let bytes = name.as_bytes();
    let is_of_number = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let digits = bytes.iter().rev().take_while(|b| is_of_number(b)).count();
    // The longest name first: each separator may be where the number begins.
    let begin = bytes.len() - digits;
    let ends = (begin..bytes.len()).rev().filter(|at| matches!(bytes[*at], b'-' | b'_' | b'.'));
    let mut originals = ends.map(|at| &bytes[..at]).filter(|of| !of.is_empty() && all.contains(of));
    originals.next().map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<String> {
        of_names(&names.iter().map(OsStr::new).collect::<Vec<_>>())
    }

    #[test]
    fn copies_and_compressed_files_are_noticed() {
        assert_eq!(of(&["010_2017041212.log", "010_2017041213.log", "010_2017041213"]), [""; 0]);
        let remarks = of(&["010_2017041212.log", "010_2017041212.log.1", "x-2017041212.log.gz"]);
        assert!(remarks[0].starts_with("1 file match"), "{remarks:?}");
        assert!(remarks[0].contains("(x-2017041212.log.gz)"), "{remarks:?}");
        assert!(remarks[1].contains("(010_2017041212.log.1 of 010_2017041212.log)"), "{remarks:?}");
        let remarks = of(&["2017041212", "2017041212-20170413-1", "2017041212_2"]);
        assert!(remarks[0].starts_with("2 files match"), "{remarks:?}");
        // A name that is longer by more than a number is another hour's, or another program's.
        assert_eq!(of(&["app", "app-b.2017041212", "app2017041212"]), [""; 0]);
    }
}
