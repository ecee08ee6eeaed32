//! What is asked of a guest at a place: the state of its vCPUs and its physical memory.
//!
//! A machine that runs, one that replays, and a dump of memory can all answer that. All reads
//! look only: no accessed bit is set, and nothing here can change the run.

use dejavm_core::cpu::{CpuState, quiet_walk};
use dejavm_core::machine::Machine;
use dejavm_core::types::{Gpa, VcpuId};

/// Registers and memory of a guest at a place.
pub trait Guest {
    /// How many vCPUs it has.
    fn vcpus(&self) -> usize;
    /// The state of one.
    fn cpu(&self, vcpu: VcpuId) -> Option<&CpuState>;
    /// How many bytes of RAM there are, to know what cannot be true.
    fn ram_bytes(&self) -> u64;
    /// Reads RAM; false if not all of it is RAM.
    fn read_physical(&self, gpa: u64, bytes: &mut [u8]) -> bool;
}

impl Guest for Machine {
    fn vcpus(&self) -> usize {
        Machine::vcpus(self).len()
    }

    fn cpu(&self, vcpu: VcpuId) -> Option<&CpuState> {
        Machine::vcpus(self).get(vcpu).map(|cpu| &cpu.state)
    }

    fn ram_bytes(&self) -> u64 {
        self.memory().bytes()
    }

    fn read_physical(&self, gpa: u64, bytes: &mut [u8]) -> bool {
        quiet_walk::read_physical(self.memory(), Gpa(gpa), bytes)
    }
}
