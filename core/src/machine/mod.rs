//! The machine: the board with its chips, and how it is loaded with something to run.

pub mod board_pc;
pub mod boot;
