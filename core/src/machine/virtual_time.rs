//! Icount and virtual time: what counts, and how much time passes. The one place that says so.
//!
//! **Icount** counts, since power-on and over all vCPUs together:
//! - each instruction that retires, and each that faults (the delivery of the fault is part of
//!   it), one;
//! - a REP string one per iteration; with a count of zero it counts one all the same. If it
//!   stops half-way (budget, fault), what was done is counted, and going on counts from there;
//! - HLT, PAUSE, and I/O one, like any other;
//! - the delivery of an external interrupt, an NMI or an IPI nothing.
//!
//! So between two positions of equal icount no instruction ran, and a guest cannot loop without
//! icount growing.
//!
//! **Virtual time**, in nanoseconds, is icount (one instruction takes one) plus what was skipped:
//! - idle: when no vCPU can run, time jumps to the next deadline (or to an inbound event);
//! - [`PORT_IO_NS`] per port access and [`PAUSE_NS`] per PAUSE, since on hardware they take
//!   about that long and loops around them wait for time, not for work.
//!
//! The TSC runs at 1 GHz: it is virtual time plus the guest's own offset. Every other timer is
//! computed from virtual time.

pub use crate::cpu::env::{PAUSE_NS, PORT_IO_NS};

/// The longest slice between two looks at the outside, in instructions. It bounds how long a
/// kick takes, and changes nothing that the guest can see.
pub const SLICE_ICOUNT: u64 = 1 << 20;

/// The last moment that idle time jumps to, some 146 years after power-on: no timer fires later,
/// so that adding to a moment never overflows.
pub const LAST_NS: u64 = 1 << 62;
