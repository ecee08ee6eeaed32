//! Talk to a run: the one control API, the monitors for people and for programs on top of it, and
//! the multiplexer that puts a monitor and the guest's console on one terminal.

pub mod chardev;
pub mod condition;
pub mod control;
pub mod descriptors;
pub mod disassembly;
pub mod dump;
#[cfg(test)]
mod fuzz;
pub mod gdb;
pub mod hmp;
pub mod hub;
pub mod keys;
pub mod line_editor;
pub mod linux;
pub mod mux;
pub mod names;
mod pci;
pub mod profile;
pub mod qmp;
pub mod qom;
pub mod services;
pub mod translation;
pub mod transport;
