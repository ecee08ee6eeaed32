//! The machine as a whole: the PC, how it boots, whose turn it is, where it is, what its hash is.

pub mod board_pc;
pub mod boot;
mod debugger;
mod limit;
mod outside;
mod pc;
mod run_loop;
mod schedule;
mod slice;
mod state;
pub mod state_hash;
mod translated;
mod view;
pub mod virtual_time;

pub use limit::{Accel, Prepared, RunLimit, StopReason};
pub use pc::Machine;
pub use state::{LoadError, MachineState, RamPage, STATE_VERSION};

use thiserror::Error;

/// The most RAM that a machine may have: half of what 40 bits of physical address reach.
pub const MAX_RAM_BYTES: u64 = 1 << 39;

/// Why a machine could not be made.
#[derive(Debug, Error)]
pub enum MachineError {
    /// The number of vCPUs is out of range.
    #[error("a machine has 1 to {max} vCPUs, not {given}", max = crate::types::MAX_VCPUS)]
    VcpuCount {
        /// What was asked for.
        given: u32,
    },
    /// RAM would not fit below the end of physical addresses.
    #[error("a machine has at most {max} bytes of RAM, not {given}", max = MAX_RAM_BYTES)]
    RamSize {
        /// What was asked for.
        given: u64,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::{Images, MachineConfig};

    #[test]
    fn impossible_machines_are_refused() {
        let refusal =
            |config: MachineConfig| Machine::new(&config, Images::default()).err().map(|e| e.to_string());
        let good = MachineConfig::default();
        let many = refusal(MachineConfig { vcpus: 65, ..good.clone() });
        assert_eq!(many.as_deref(), Some("a machine has 1 to 64 vCPUs, not 65"));
        assert!(refusal(MachineConfig { vcpus: 0, ..good.clone() }).is_some());
        let idle = refusal(MachineConfig { quantum_icount: 0, ..good.clone() });
        assert_eq!(idle.as_deref(), Some("the quantum must be at least one instruction"));
        let vast = refusal(MachineConfig { ram_bytes: u64::MAX, ..good.clone() });
        assert!(vast.is_some_and(|e| e.starts_with("a machine has at most 549755813888 bytes of RAM")));
        // What is possible still needs a kernel.
        assert!(refusal(good).is_some());
    }
}
