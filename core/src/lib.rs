//! The deterministic machine: a function of its configuration, its images and an ordered list
//! of (icount, input).
//!
//! Nothing in this crate reads host time, files, the environment, or anything in hash order.

pub mod boundary;
pub mod codemem;
pub mod cpu;
pub mod devices;
pub mod jit;
pub mod machine;
pub mod mem;
pub mod softfloat;
pub mod types;
pub mod vcpu;
