//! The virtual CPU: its state, its accesses to memory, its instructions.

pub mod access;
pub mod breakpoint;
pub mod decode_cache;
pub mod env;
pub mod exec;
pub mod flags;
pub mod insn;
pub mod model;
pub mod probes;
pub mod quiet_walk;
pub mod state;
pub mod step;
pub mod stops;
pub mod system;

pub use crate::types::Entropy;
pub use env::{Clock, Env};
pub use flags::Flags;
pub use insn::{Exec, Handler, Insn};
pub use state::{Activity, CpuState, Segment, Vcpu};
