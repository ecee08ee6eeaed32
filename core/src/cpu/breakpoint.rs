//! Which breakpoints of DR0-DR3 something hits (SDM vol. 3, 17.2 and 17.3.1).

use super::flags;
use super::state::{Vcpu, cr4};
use crate::mem::AccessKind;

/// DR6.BS: a single step.
pub const DR6_BS: u64 = 1 << 14;
/// IA32_DEBUGCTL.BTF: TF traps behind taken branches only.
pub const DEBUGCTL_BTF: u64 = 1 << 1;

/// The R/W field of a breakpoint in DR7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Execution,
    Store,
    /// With CR4.DE; without it the condition is undefined, and here nothing hits it.
    PortAccess,
    LoadOrStore,
}

impl Vcpu {
    /// Whether DR7 enables any breakpoint.
    #[inline]
    pub fn has_breakpoints(&self) -> bool {
        self.dr[7] & 0xFF != 0
    }

    /// The bits in DR6 of the enabled breakpoints whose condition `wanted` accepts, and whose
    /// range has a byte in common with the `size` bytes at `start`.
    fn hits(&self, start: u64, size: usize, wanted: impl Fn(Condition) -> bool) -> u64 {
        let dr7 = self.dr[7];
        let last = start.wrapping_add(size as u64 - 1);
        let hit = |n: usize| {
            let enabled = dr7 >> (2 * n) & 3 != 0;
            let condition = match dr7 >> (16 + 4 * n) & 3 {
                0 => Condition::Execution,
                1 => Condition::Store,
                2 => Condition::PortAccess,
                _ => Condition::LoadOrStore,
            };
            let len = [1u64, 2, 8, 4][(dr7 >> (18 + 4 * n) & 3) as usize];
            let first = self.dr[n] & !(len - 1);
            enabled && wanted(condition) && start <= first + (len - 1) && last >= first
        };
        (0..4).filter(|&n| hit(n)).fold(0, |all, n| all | 1 << n)
    }

    /// Leaves a debug trap for the end of the instruction.
    fn trap_after(&mut self, hits: u64) {
        if hits != 0 {
            self.state.pending_debug |= hits;
            self.leave_block();
        }
    }

    /// Data breakpoints: the trap comes after the instruction.
    pub(super) fn note_data_access(&mut self, va: u64, size: usize, kind: AccessKind) {
        if !self.watching {
            return;
        }
        let hits = self.hits(va, size, |condition| match condition {
            Condition::Store => kind == AccessKind::Write,
            Condition::LoadOrStore => true,
            Condition::Execution | Condition::PortAccess => false,
        });
        self.trap_after(hits);
    }

    /// I/O breakpoints: the trap comes after the instruction, or after the iteration of a
    /// repeated one.
    pub(super) fn note_port_access(&mut self, port: u16, size: usize) {
        if self.watching && self.cr4 & cr4::DE != 0 {
            let hits = self.hits(port.into(), size, |condition| condition == Condition::PortAccess);
            self.trap_after(hits);
        }
    }

    /// The instruction breakpoints at the next instruction, which come before it, unless RF is
    /// set; 0 if there are none. Their length has no meaning.
    pub fn instruction_breakpoints(&self) -> u64 {
        if !self.has_breakpoints() || self.flags.system(flags::RF) {
            return 0;
        }
        let Ok(linear) = self.fetch_address() else { return 0 };
        let all = self.hits(linear, 1, |condition| condition == Condition::Execution);
        (0..4).filter(|&n| self.dr[n] == linear).fold(0, |exact, n| exact | all & 1 << n)
    }

    /// Whether TF traps behind branches only.
    pub fn steps_by_branch(&self) -> bool {
        self.msrs.debugctl & DEBUGCTL_BTF != 0
    }
}
