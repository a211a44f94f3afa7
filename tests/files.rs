//! Files as they really behave: written late, in pieces, renamed, truncated, replaced, deleted, too
//! many, too long, on disks that are full, while clocks jump. Each test is a hazard, told as what
//! the spool directory holds, what the writer does, and what the topic holds in the end, on a real
//! broker 0.10.2.0.

#[path = "files/absence.rs"]
mod absence;
#[path = "files/charsets.rs"]
mod charsets;
#[path = "files/disks.rs"]
mod disks;
#[path = "files/hours.rs"]
mod hours;
#[path = "files/hung.rs"]
mod hung;
#[path = "files/identity.rs"]
mod identity;
#[path = "files/idle.rs"]
mod idle;
#[path = "files/late.rs"]
mod late;
#[path = "files/lines.rs"]
mod lines;
#[path = "files/names.rs"]
mod names;
#[path = "files/parked.rs"]
mod parked;
#[path = "files/places.rs"]
mod places;
#[path = "files/random.rs"]
mod random;
#[path = "files/reload.rs"]
mod reload;
#[path = "files/restarts.rs"]
mod restarts;
#[path = "files/scene.rs"]
#[allow(dead_code, clippy::type_complexity)]
mod scene;
#[path = "files/sizes.rs"]
mod sizes;
mod support;
#[path = "files/turns.rs"]
mod turns;
#[path = "files/unwritten.rs"]
mod unwritten;
