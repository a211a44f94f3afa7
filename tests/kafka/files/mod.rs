//! Files as they really behave: written late, in pieces, renamed, truncated, replaced, deleted, too
//! many, too long, on disks that are full, while clocks jump. Each test is a hazard, told as what
//! the spool directory holds, what the writer does, and what the topic holds in the end, on a real
//! broker 0.10.2.0.

mod absence;
mod charsets;
pub(crate) mod descriptors;
mod disks;
mod hours;
mod hung;
mod identity;
mod idle;
mod late;
mod lines;
mod names;
mod parked;
mod patterns;
mod places;
mod random;
mod recognised;
mod reload;
mod restarts;
#[allow(dead_code, clippy::type_complexity)]
pub(crate) mod scene;
mod sizes;
mod turns;
mod unwritten;
