//! FNINIT FNCLEX FLDCW FNSTCW FNSTSW FFREE FINCSTP FDECSTP FNOP FWAIT (SDM vol. 1, 8.3.8 ff.).

use super::state::{BUSY, ES, EXCEPTIONS, available, complete, pending, wait};
use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Insn};
use crate::cpu::state::{RAX, Vcpu, X87, cr0};
use crate::softfloat::f80_context::SF;
use crate::types::Exception;

/// The bits of the control word that can be set.
const CONTROL_WRITABLE: u16 = 0x1F3F;
/// The bit of the control word that always reads 1.
const CONTROL_ALWAYS_1: u16 = 0x40;

impl X87 {
    /// Writes the control word; what it unmasks becomes pending.
    pub fn set_control(&mut self, v: u16) {
        self.control = v & CONTROL_WRITABLE | CONTROL_ALWAYS_1;
        self.update_summary();
    }
}

/// FNINIT: the registers keep their contents.
pub fn init(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    available(cpu)?;
    reset(cpu);
    Ok(())
}

/// What FNINIT and FNSAVE leave.
pub fn reset(cpu: &mut Vcpu) {
    cpu.x87 = X87 { regs: cpu.x87.regs, ..X87::default() };
}

/// FNCLEX.
pub fn clear_exceptions(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    available(cpu)?;
    cpu.x87.status &= !(EXCEPTIONS | SF | ES | BUSY);
    Ok(())
}

/// FLDCW.
pub fn load_control(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let v = cpu.load_operand(env, insn)?;
    cpu.x87.set_control(v);
    Ok(())
}

/// FNSTCW.
pub fn store_control(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    available(cpu)?;
    cpu.store_operand(env, insn, cpu.x87.control)
}

/// FNSTSW m16.
pub fn store_status(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    available(cpu)?;
    cpu.store_operand(env, insn, cpu.x87.status)
}

/// FNSTSW AX.
pub fn store_status_ax(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    available(cpu)?;
    cpu.regs[RAX] = cpu.regs[RAX] & !0xFFFF | u64::from(cpu.x87.status);
    Ok(())
}

/// FFREE, FFREEP.
pub fn free<const POP: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    cpu.x87.free(usize::from(insn.r[0]));
    if POP {
        cpu.x87.pop();
    }
    complete(cpu, env, insn, 0);
    Ok(())
}

/// FINCSTP, FDECSTP: `STEP` is 1 or 7 (= -1 modulo 8).
pub fn rotate<const STEP: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let top = cpu.x87.top() + STEP;
    cpu.x87.set_top(top);
    complete(cpu, env, insn, 0);
    Ok(())
}

/// FNOP.
pub fn nop(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    wait(cpu)
}

/// FNENI, FNDISI, FNSETPM: nothing since the 80387.
pub fn obsolete(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    available(cpu)
}

/// FWAIT: #NM only if CR0.MP and CR0.TS are both set.
pub fn fwait(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let both = cr0::MP | cr0::TS;
    if cpu.cr0 & both == both {
        return Err(Exception::NM);
    }
    pending(cpu)
}
