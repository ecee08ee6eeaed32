//! What the CPU sees of everything that is not RAM.

use crate::boundary::ProbeLog;
use crate::types::{Gpa, VcpuId, VirtualNs};

/// The devices as a vCPU reaches them: port I/O, MMIO, and its local APIC.
///
/// `now` is the virtual time of the access. Every call may change interrupt lines and timers,
/// so both are looked at again after the instruction that made it.
pub trait IoBus {
    /// IN: `size` is 1, 2 or 4 bytes. A port that nobody answers reads as all ones.
    fn pio_read(&mut self, vcpu: VcpuId, now: VirtualNs, port: u16, size: u8) -> u32;
    /// OUT: `size` is 1, 2 or 4 bytes.
    fn pio_write(&mut self, vcpu: VcpuId, now: VirtualNs, port: u16, size: u8, value: u32);
    /// A load of 1 to 8 bytes from an address without RAM.
    fn mmio_read(&mut self, vcpu: VcpuId, now: VirtualNs, gpa: Gpa, size: u8) -> u64;
    /// A store of 1 to 8 bytes to an address without RAM.
    fn mmio_write(&mut self, vcpu: VcpuId, now: VirtualNs, gpa: Gpa, size: u8, value: u64);
    /// RDMSR of an MSR that the local APIC owns (IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC);
    /// `None` if there is no such MSR: #GP. IA32_TSC_DEADLINE is in virtual ns here
    /// (0 = disarmed); the CPU converts.
    fn apic_msr_read(&mut self, vcpu: VcpuId, now: VirtualNs, msr: u32) -> Option<u64>;
    /// WRMSR of an MSR that the local APIC owns; false if refused: #GP.
    fn apic_msr_write(&mut self, vcpu: VcpuId, now: VirtualNs, msr: u32, value: u64) -> bool;
    /// MOV from CR8: the task priority class, TPR bits 7:4.
    fn cr8(&self, vcpu: VcpuId) -> u64;
    /// MOV to CR8; `value` is below 16.
    fn set_cr8(&mut self, vcpu: VcpuId, now: VirtualNs, value: u64);
    /// Whether an external interrupt waits for a vCPU.
    fn interrupt_pending(&self, _: VcpuId) -> bool {
        false
    }
    /// Until when nothing happens that the run loop has to see, unless another access changes that;
    /// `None` if something has happened: a request to the machine, a signal to a vCPU, DMA.
    fn quiet_until(&self) -> Option<VirtualNs> {
        None
    }
    /// Where what probes see goes, if anywhere.
    fn probe_log(&mut self) -> Option<&mut ProbeLog> {
        None
    }
}

/// A bus on which nobody answers: for a vCPU without a board.
pub struct IdleBus;

impl IoBus for IdleBus {
    fn pio_read(&mut self, _: VcpuId, _: VirtualNs, _: u16, _: u8) -> u32 {
        u32::MAX
    }
    fn pio_write(&mut self, _: VcpuId, _: VirtualNs, _: u16, _: u8, _: u32) {}
    fn mmio_read(&mut self, _: VcpuId, _: VirtualNs, _: Gpa, _: u8) -> u64 {
        u64::MAX
    }
    fn mmio_write(&mut self, _: VcpuId, _: VirtualNs, _: Gpa, _: u8, _: u64) {}
    fn apic_msr_read(&mut self, _: VcpuId, _: VirtualNs, _: u32) -> Option<u64> {
        None
    }
    fn apic_msr_write(&mut self, _: VcpuId, _: VirtualNs, _: u32, _: u64) -> bool {
        false
    }
    fn cr8(&self, _: VcpuId) -> u64 {
        0
    }
    fn set_cr8(&mut self, _: VcpuId, _: VirtualNs, _: u64) {}
}
