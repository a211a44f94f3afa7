//! Only whole lines are events.

use super::scene::{OLD_S, spool};
use crate::support::torture::{Group, V010, hazard};

/// Row 2: the original made two events of it, and four replacement characters of two.
#[test]
fn a_line_and_a_character_written_in_pieces_are_whole() {
    let _row = hazard(Group::Lines, "line and character written in pieces", V010);
    let mut scene = spool("pieces").file("a_{H}.log", "", 0).agent_runs();
    let mut writer = scene.writer("a_{H}.log");
    for (n, byte) in "hello world, 中é😀\n".bytes().enumerate() {
        writer.writes([byte]);
        if n % 4 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
    }
    scene.in_the_end(&["hello world, 中é😀"]);
}

/// Row 3: the original stopped reading there for good.
#[test]
fn four_byte_characters_are_read() {
    let mut scene = spool("emoji")
        .file("a_{H-1}.log", "before\nsmile 😀 rest\nafter\n", OLD_S)
        .file("a_{H}.log", "𠀀\n", 0)
        .agent_runs();
    scene.in_the_end(&["before", "smile 😀 rest", "after", "𠀀"]);
}

/// Row 25: kept as it is, for byte identity.
#[test]
fn a_line_of_exactly_the_limit_gives_an_empty_event_more() {
    let line = "x".repeat(2048);
    let mut scene = spool("limit").file("a_{H}.log", format!("{line}\nend\n"), 0).agent_runs();
    scene.in_the_end(&[line.as_str(), "", "end"]);
}

#[test]
fn what_other_programs_take_for_line_ends_stays_in_the_body() {
    let text = "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{c}f\rg\0h\r";
    let mut scene = spool("ends").file("a_{H}.log", format!("{text}\n"), 0).agent_runs();
    scene.in_the_end(&[text]);
}
