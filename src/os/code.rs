//! The program's own code in memory.

use std::fs;

/// Unmaps the code that is in memory, which stays in the page cache: what is run again is mapped again, 64 kB
/// at a time. Of 4 MB that are mapped when an agent has started, one that sends lines needs half; the rest has
/// read the configuration, the state and the directory.
///
/// Nothing where the system does not tell what is mapped.
pub fn give_back_code() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, end) in maps.lines().filter_map(as_in_the_file) {
        // SAFETY: the pages are what the file holds, and never were anything else in this process, so they
        // are found again when they are touched. Nothing points to a page but by its address, which stays.
        // What is not given back stays where it is.
        let _ =
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// Where a mapping of that line of the list begins and ends, if nobody can have written to it: code, or what
/// stands before the code in its file. What stands behind it may have been written to at the start, when
/// addresses were put in, and be protected since.
fn as_in_the_file(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let is_of_file = fields.nth(2)?.starts_with('/');
    let is_code = rights == "r-xp";
    let is_before_code = rights == "r--p" && offset.bytes().all(|digit| digit == b'0');
    if !is_of_file || !(is_code || is_before_code) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let number = |hex| usize::from_str_radix(hex, 16).ok();
    Some((number(start)?, number(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_to_is_kept() {
        let taken = |line| as_in_the_file(line).is_some();
        assert_eq!(
            as_in_the_file("55a0b000-55a1c000 r-xp 0010b000 fe:00 7 /usr/bin/flume-ng"),
            Some((0x55a0_b000, 0x55a1_c000))
        );
        assert!(taken("55a00000-55a0b000 r--p 00000000 fe:00 7 /usr/bin/flume-ng (deleted)"));
        assert!(!taken("55a1c000-55a2c000 r--p 0011c000 fe:00 7 /usr/bin/flume-ng"), "relocated");
        assert!(!taken("55a2c000-55a2d000 rw-p 0012c000 fe:00 7 /usr/bin/flume-ng"), "data");
        assert!(!taken("55a2d000-55b2d000 rw-p 00000000 00:00 0 [heap]"));
        assert!(!taken("7f000000-7f001000 rw-p 00000000 00:00 0"), "memory");
        assert!(!taken("7f000000-7f001000 r-xp 00000000 00:00 0 [vdso]"));
        assert!(!taken("7f000000-7f001000 r--s 00000000 fe:00 9 /var/cache/x"), "shared");
        assert!(!taken("7f"));
    }

    #[test]
    fn the_program_goes_on_after_it() {
        let text = format!("{:?}", std::env::args().collect::<Vec<_>>());
        give_back_code();
        assert_eq!(format!("{:?}", std::env::args().collect::<Vec<_>>()), text);
    }
}
