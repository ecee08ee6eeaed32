//! The machine as a whole: the PC, how it boots, whose turn it is, where it is, what its hash is.

pub mod board_pc;
pub mod boot;
mod pc;
mod run_loop;
mod schedule;
mod state;
pub mod state_hash;
pub mod virtual_time;

pub use pc::{Machine, Prepared, RunLimit, StopReason};
pub use state::{LoadError, MachineState, RamPage};

use thiserror::Error;

/// Why a machine could not be made.
#[derive(Debug, Error)]
pub enum MachineError {
    /// The number of vCPUs is out of range.
    #[error("a machine has 1 to {max} vCPUs, not {given}", max = crate::types::MAX_VCPUS)]
    VcpuCount {
        /// What was asked for.
        given: u32,
    },
    /// The quantum is zero.
    #[error("the quantum must be at least one instruction")]
    ZeroQuantum,
    /// The host has no such memory.
    #[error("cannot reserve {bytes} bytes of guest RAM")]
    Ram {
        /// What was asked for.
        bytes: u64,
        /// The host's answer.
        source: std::io::Error,
    },
    /// The images do not boot.
    #[error(transparent)]
    Boot(#[from] boot::BootError),
}
