//! What an operator does beside running an agent: one command each.

pub mod agent;
pub mod check;
pub mod generate;
pub mod letters;
pub(crate) mod look;
pub mod status;
pub mod verify;
