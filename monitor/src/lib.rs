//! Talk to a run: the one control API, the human monitor on top of it, and the multiplexer that
//! puts the monitor and the guest's console on one terminal.

pub mod condition;
pub mod control;
pub mod disassembly;
pub mod dump;
pub mod hmp;
pub mod line_editor;
pub mod mux;
