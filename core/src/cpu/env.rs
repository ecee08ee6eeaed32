//! What a vCPU executes against: memory, devices, the clock, entropy.

use crate::mem::{IoBus, Memory};
use crate::types::{Entropy, Icount, VirtualNs};
use serde::{Deserialize, Serialize};

/// The world outside one vCPU, lent to it for a slice of instructions.
pub struct Env<'a> {
    /// Guest physical memory.
    pub mem: &'a mut Memory,
    /// Devices and local APICs.
    pub io: &'a mut dyn IoBus,
    /// The clock.
    pub clock: &'a mut Clock,
    /// The source of RDRAND and RDSEED.
    pub entropy: &'a mut Entropy,
}

/// The clock of the machine. Virtual time is icount in nanoseconds plus what was skipped; see
/// [`crate::machine::virtual_time`] for what is skipped and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Instructions retired since power-on, the one that is executing included.
    pub icount: Icount,
    /// Virtual time that passed without instructions.
    pub skipped_ns: VirtualNs,
    /// The icount at which the current slice ends at the latest; a REP string stops there.
    pub limit: Icount,
}

/// What one port access takes beyond its instruction: about what an ISA cycle takes.
pub const PORT_IO_NS: VirtualNs = 500;
/// What one PAUSE takes beyond its instruction: about what it takes on current hardware.
pub const PAUSE_NS: VirtualNs = 50;

impl Clock {
    /// Virtual time now.
    #[inline(always)]
    pub fn now_ns(&self) -> VirtualNs {
        self.icount + self.skipped_ns
    }

    /// Lets time pass without instructions.
    #[inline]
    pub fn skip(&mut self, ns: VirtualNs) {
        self.skipped_ns += ns;
    }
}
