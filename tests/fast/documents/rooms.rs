//! The rooms of src/ and who may import whom: docs/design.md, "Layout of src/".

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{quoted, read, root};

/// Rooms in the order of the table, each with those that it may import.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let design = read("docs/design.md");
    let layout = design.split("\n## Layout of src/\n").nth(1).expect("the section on the layout");
    let layout = layout.split("\n## ").next().unwrap_or_default();
    let rows = layout.lines().filter(|line| line.starts_with("| `"));
    let of_row = |row: &str| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let room = quoted(cells[0]).next().expect("a room's name").to_string();
        let may = cells.get(2).map(|cell| quoted(cell).map(str::to_string).collect());
        (room, may.unwrap_or_default())
    };
    rows.map(of_row).collect()
}

/// All files of src/ with their room.
fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let inside = path.strip_prefix(root().join("src")).unwrap().with_extension("");
            let room = inside.iter().next().unwrap().to_string_lossy().into_owned();
            found.push((room, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The rooms that `text` takes names from: what follows `crate::` (in main.rs `flume_ng::`), one by
/// one or in braces.
fn imports<'a>(text: &'a str, root: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut rooms = BTreeSet::new();
    for rest in text.split(root).skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            rooms.insert(rest.split(|c| !is_word(c)).next().unwrap_or_default());
            continue;
        };
        let mut depth = 0;
        let mut is_start = true;
        for (at, c) in list.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => is_start = true,
                c if is_start && is_word(c) && depth == 0 => {
                    rooms.insert(list[at..].split(|c| !is_word(c)).next().unwrap_or_default());
                    is_start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

#[test]
fn every_import_is_in_the_table_of_rooms() {
    let table: BTreeMap<String, BTreeSet<String>> = table().into_iter().collect();
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 100, "{} files", files.len());
    let rooms: BTreeSet<&str> = files.iter().map(|(room, _)| room.as_str()).collect();
    for room in rooms.iter().filter(|room| **room != "lib") {
        assert!(table.contains_key(*room), "src/{room} has no row in docs/design.md");
    }
    for (room, text) in files.iter().filter(|(room, _)| room != "lib") {
        let from = if room == "main" { "flume_ng::" } else { "crate::" };
        for name in imports(text, from).into_iter().filter(|n| rooms.contains(n) && *n != room) {
            let allowed = table[room].contains(name);
            assert!(allowed, "src/{room} imports {name}, which docs/design.md does not allow");
        }
    }
}

#[test]
fn the_table_of_rooms_runs_down_only() {
    let table = table();
    let order: Vec<&str> = table.iter().map(|(room, _)| room.as_str()).collect();
    for (at, (room, may)) in table.iter().enumerate() {
        for name in may {
            let below = order.iter().position(|r| r == name);
            assert!(below.is_some_and(|below| below > at), "{name} does not stand below {room}");
        }
    }
    let knows =
        |room: &str, name: &str| table.iter().any(|(r, may)| r == room && may.contains(name));
    for (one, other) in [("source", "channel"), ("channel", "source")] {
        assert!(!knows(one, other) && !knows(one, "pipeline"), "{one}");
    }
}

#[test]
fn imports_are_found_in_braces_and_without() {
    let text = "use crate::log;\nuse crate::{os, text::{a, b}, exit};\nlet x = crate::event::y();";
    let found: Vec<&str> = imports(text, "crate::").into_iter().collect();
    assert_eq!(found, ["event", "exit", "log", "os", "text"]);
}
