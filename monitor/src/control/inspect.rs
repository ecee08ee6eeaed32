//! Looking at the machine. Nothing here changes what the guest will see.

use super::quiet_walk;
use dejavm_core::boundary::Position;
use dejavm_core::cpu::CpuState;
use dejavm_core::machine::Machine;
use dejavm_core::types::{Gpa, VcpuId};

/// Looking at the machine.
pub trait Inspect {
    /// The machine, to be looked at: whoever changes it makes another run of it.
    fn machine(&mut self) -> &mut Machine;

    /// Where the run is.
    fn position(&mut self) -> Position {
        self.machine().position()
    }

    /// The number of vCPUs.
    fn vcpus(&mut self) -> usize {
        self.machine().vcpus().len()
    }

    /// The architectural state of a vCPU.
    fn cpu_state(&mut self, vcpu: VcpuId) -> Option<CpuState> {
        cpu_state(self.machine(), vcpu)
    }

    /// Reads RAM; false if not all of it is RAM.
    fn read_physical(&mut self, gpa: Gpa, bytes: &mut [u8]) -> bool {
        read_physical(self.machine(), gpa, bytes)
    }

    /// Reads through the page tables of a vCPU; false if not all of it is mapped to RAM. No
    /// accessed bit is set.
    fn read_virtual(&mut self, vcpu: VcpuId, address: u64, bytes: &mut [u8]) -> bool {
        read_virtual(self.machine(), vcpu, address, bytes)
    }
}

/// The state of a vCPU.
pub fn cpu_state(machine: &Machine, vcpu: VcpuId) -> Option<CpuState> {
    machine.vcpus().get(vcpu).map(|cpu| cpu.state.clone())
}

/// Reads RAM; false if not all of it is RAM.
pub fn read_physical(machine: &Machine, gpa: Gpa, bytes: &mut [u8]) -> bool {
    quiet_walk::read_physical(machine.memory(), gpa, bytes)
}

/// Reads through the page tables of a vCPU; false if not all of it is mapped to RAM.
pub fn read_virtual(machine: &Machine, vcpu: VcpuId, address: u64, bytes: &mut [u8]) -> bool {
    let Some(cpu) = machine.vcpus().get(vcpu) else { return false };
    quiet_walk::read_virtual(machine.memory(), &cpu.state, address, bytes)
}
