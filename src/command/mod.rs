//! What an operator does beside running an agent: one command each.

pub mod check;
pub mod generate;
pub mod look;
pub mod status;
pub mod table;
