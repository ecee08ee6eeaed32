//! Whether MMX and SSE instructions may execute now (SDM vol. 3, 13.1 and 12.1), and the
//! transition from x87 to MMX operation (SDM vol. 1, 9.5).

use crate::cpu::access::Exec;
use crate::cpu::state::{Vcpu, cr0, cr4};
use crate::types::Exception;

/// Exception summary of the x87 status word.
const ES: u16 = 1 << 7;
/// TOP of the x87 status word.
const TOP: u16 = 7 << 11;

/// Checks that SSE instructions are enabled.
///
/// # Errors
/// #UD without CR4.OSFXSR or with CR0.EM, #NM with CR0.TS.
#[inline(always)]
pub fn sse_ready(cpu: &Vcpu) -> Exec<()> {
    if cpu.sse_allowed() { Ok(()) } else { Err(sse_refused(cpu)) }
}

#[cold]
fn sse_refused(cpu: &Vcpu) -> Exception {
    if cpu.cr0 & cr0::EM != 0 || cpu.cr4 & cr4::OSFXSR == 0 { Exception::UD } else { Exception::NM }
}

/// Checks that MMX instructions are enabled and that no x87 exception is pending.
///
/// # Errors
/// #UD with CR0.EM, #NM with CR0.TS, #MF.
#[inline(always)]
pub fn mmx_ready(cpu: &Vcpu) -> Exec<()> {
    if cpu.cr0 & cr0::EM != 0 {
        return Err(Exception::UD);
    }
    if cpu.cr0 & cr0::TS != 0 {
        return Err(Exception::NM);
    }
    if cpu.x87.status & ES != 0 { Err(Exception::MF) } else { Ok(()) }
}

/// Puts the x87 unit into MMX operation: TOP is 0 and every register is valid.
#[inline(always)]
pub fn mmx_enter(cpu: &mut Vcpu) {
    cpu.x87.status &= !TOP;
    cpu.x87.valid = 0xFF;
}

impl Vcpu {
    /// Whether SSE instructions are enabled.
    #[inline(always)]
    pub fn sse_allowed(&self) -> bool {
        self.cr0 & (cr0::EM | cr0::TS) == 0 && self.cr4 & cr4::OSFXSR != 0
    }

    /// MMX register `r`.
    #[inline(always)]
    pub(in crate::cpu::exec) fn mm(&self, r: u8) -> u64 {
        self.state.x87.regs[(r & 7) as usize].significand
    }

    /// Writes MMX register `r`; the exponent of its x87 register becomes all ones.
    #[inline(always)]
    pub(in crate::cpu::exec) fn set_mm(&mut self, r: u8, v: u64) {
        let reg = &mut self.state.x87.regs[(r & 7) as usize];
        reg.significand = v;
        reg.sign_exponent = 0xFFFF;
    }

    /// XMM register `r`.
    #[inline(always)]
    pub(in crate::cpu::exec) fn xmm(&self, r: u8) -> u128 {
        self.state.xmm[(r & 15) as usize]
    }

    /// Writes XMM register `r`.
    #[inline(always)]
    pub(in crate::cpu::exec) fn set_xmm(&mut self, r: u8, v: u128) {
        self.state.xmm[(r & 15) as usize] = v;
    }
}
