//! Zeros where lines will be: writers that reserve the length of their files, map them into memory,
//! or write out of order.

use crate::support::torture::{Group, V010, hazard};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::scene::{GRACE_MS, OLD_S, Scene, spool};

/// How a writer makes its file longer than its text.
#[derive(Debug, Clone, Copy)]
enum Reserve {
    /// log4j2's MemoryMappedFile, and who else maps a file.
    Length,
    Fallocate,
    /// Zeros that are on the disk.
    Zeros,
}

const RESERVED: u64 = 3 * 1024 * 1024;

struct Mapped {
    file: File,
    written: u64,
}

impl Mapped {
    fn open(scene: &Scene, name: &str) -> Mapped {
        let file = File::options().write(true).open(scene.path(name)).expect("a file");
        let written = file.metadata().expect("a file").len();
        Mapped { file, written }
    }

    fn reserves(&self, how: Reserve) {
        match how {
            Reserve::Length => self.file.set_len(RESERVED).expect("a longer file"),
            Reserve::Fallocate => {
                // SAFETY: fallocate on a descriptor that `file` keeps open.
                let done = unsafe {
                    libc::fallocate(self.file.as_raw_fd(), 0, 0, RESERVED as libc::off_t)
                };
                assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            }
            Reserve::Zeros => {
                let zeros = vec![0; (RESERVED - self.written) as usize];
                self.file.write_all_at(&zeros, self.written).expect("zeros");
            }
        }
    }

    fn writes(&mut self, text: &str) {
        self.file.write_all_at(text.as_bytes(), self.written).expect("a write");
        self.written += text.len() as u64;
    }

    /// What was not used goes.
    fn closes(self) {
        self.file.set_len(self.written).expect("a shorter file");
    }
}

#[test]
fn zeros_that_a_writer_has_reserved_are_no_text() {
    let _row = hazard(Group::Lines, "zeros that a writer has reserved (fallocate, mmap)", V010);
    for how in [Reserve::Length, Reserve::Fallocate, Reserve::Zeros] {
        let mut scene = spool("reserved").file("a_{H}.log", "one\n", 0);
        let mut writer = Mapped::open(&scene, "a_{H}.log");
        writer.reserves(how);
        scene.start();
        scene.arrive(1);
        writer.writes("two\nth");
        scene.arrive(2);
        writer.writes("ree\n");
        scene.arrive(3);
        // What is reserved stays so, however long it takes.
        std::thread::sleep(std::time::Duration::from_millis(2 * GRACE_MS));
        scene.kill();
        writer.writes("four\n");
        scene.start();
        scene.arrive(4);
        writer.writes("five\n");
        writer.closes();
        scene.in_the_end(&["one", "two", "three", "four", "five"]);
        assert_eq!(scene.log_lines("begins again"), 0, "{how:?}\n{}", scene.log());
    }
}

#[test]
fn lines_written_out_of_order_are_waited_for() {
    let _row = hazard(Group::Lines, "lines written out of order, a hole before them", V010);
    let mut scene = spool("backwards")
        .source("retireGraceMs", 20_000)
        .file("a_{H}.log", "one\n", 0)
        .agent_runs();
    scene.arrive(1);
    let mut writer = Mapped::open(&scene, "a_{H}.log");
    let long = "x".repeat(1_500);
    let first: String = (0..40).map(|n| format!("{long} {n}\n")).collect();
    let behind = writer.written + first.len() as u64;
    writer.file.write_all_at(b"last\n", behind).expect("a write");
    // Another file's line shows that this one was looked at.
    scene.append("b_{H}.log", "other\n");
    scene.arrive(2);
    writer.writes(&first);
    let mut wanted: Vec<String> = (0..40).map(|n| format!("{long} {n}")).collect();
    wanted.extend(["one", "other", "last"].map(str::to_owned));
    scene.in_the_end_in_any_order(&wanted);
}

#[test]
fn a_hole_that_nobody_fills_is_text_after_the_grace_time() {
    let _row = hazard(Group::Lines, "hole that nobody fills", V010);
    let mut scene =
        spool("hole").source("deserializer.maxLineLength", 100_000).file("a_{H}.log", "one\n", 0);
    let writer = Mapped::open(&scene, "a_{H}.log");
    writer.file.write_all_at(b"two\n", 20_000).expect("a write");
    scene.start();
    scene.arrive(2);
    scene.append("a_{H}.log", "three\n");
    let two = format!("{}two", "\0".repeat(20_000 - 4));
    scene.in_the_end(&["one", &two, "three"]);
}

/// They are its last line, as Flume would read it.
#[test]
fn zeros_at_the_end_of_a_finished_file_are_its_last_line() {
    let _row = hazard(Group::Lines, "finished file that ends in zeros", V010);
    let mut scene = spool("zeros-end")
        .file("a_{H-1}.log", "one\n\0\0\0", OLD_S)
        .file("a_{H}.log", "two\n", 0)
        .agent_runs();
    scene.receipts(1);
    scene.in_the_end_in_any_order(&["one", "\0\0\0", "two"]);
}

/// They were announced as its last line; then its writer cuts it to size, and goes on.
#[test]
fn zeros_that_are_cut_off_after_they_were_sent_repeat_nothing() {
    for is_running in [true, false] {
        // Done under its name, which has no room for the suffix.
        let name = format!("{}_{{H-1}}.log", "y".repeat(236));
        let lines: String = (0..60).map(|n| format!("line {n}\n")).collect();
        let content = format!("{lines}{}", "\0".repeat(5_000));
        let mut scene = spool("cut-to-size")
            .source("deserializer.maxLineLength", 100_000)
            .file(&name, &content, OLD_S)
            .file("a_{H}.log", "other\n", 0)
            .agent_runs();
        scene.receipts(1);
        scene.arrive(62);
        if !is_running {
            scene.stop();
        }
        let file = File::options().write(true).open(scene.path(&name)).expect("a file");
        file.set_len(lines.len() as u64).expect("a shorter file");
        if !is_running {
            scene.start();
        }
        scene.log_says("what is before it was sent");
        scene.append(&name, "more\n");
        let mut wanted: Vec<String> = lines.lines().map(str::to_owned).collect();
        wanted.extend(["other".to_owned(), "\0".repeat(5_000), "more".to_owned()]);
        scene.in_the_end_in_any_order(&wanted);
    }
}

/// They were announced as its last line; then its writer writes the lines that it had kept the room
/// for.
#[test]
fn lines_over_zeros_that_were_sent_come_alone() {
    for is_running in [true, false] {
        let name = format!("{}_{{H-1}}.log", "y".repeat(236));
        let lines: String = (0..60).map(|n| format!("line {n}\n")).collect();
        let content = format!("{lines}{}", "\0".repeat(60));
        let mut scene = spool("written-over")
            .file(&name, &content, OLD_S)
            .file("a_{H}.log", "other\n", 0)
            .agent_runs();
        scene.arrive(62);
        if !is_running {
            scene.receipts(1);
            scene.stop();
        }
        let file = File::options().write(true).open(scene.path(&name)).expect("a file");
        let more: String = (0..20).map(|n| format!("more {n}\n")).collect();
        file.write_all_at(more.as_bytes(), lines.len() as u64).expect("lines over the zeros");
        if !is_running {
            scene.start();
        }
        let mut wanted: Vec<String> = lines.lines().map(str::to_owned).collect();
        wanted.extend(["other".to_owned(), "\0".repeat(60)]);
        wanted.extend(more.lines().map(str::to_owned));
        scene.in_the_end_in_any_order(&wanted);
    }
}

/// A newline of UTF-16 ends in a zero byte.
#[test]
fn the_zero_bytes_of_utf_16_are_text() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut scene = spool("wide")
        .source("inputCharset", "UTF-16LE")
        .file("a_{H}.log", wide("one\n"), 0)
        .agent_runs();
    scene.arrive(1);
    let mut zeros = wide("two\n");
    zeros.extend([0; 64]);
    scene.append("a_{H}.log", zeros);
    scene.arrive(2);
    let file = File::options().write(true).open(scene.path("a_{H}.log")).expect("a file");
    file.write_all_at(&wide("three\n"), 16).expect("a write");
    scene.in_the_end(&["one", "two", "three"]);
}
