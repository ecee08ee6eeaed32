//! Questions about selectors that answer in flags: LAR, LSL, VERR, VERW, and ARPL (SDM vol. 2).

use super::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::ZF;
use crate::cpu::insn::{Exec, Handler, Insn, NO_REG};
use crate::cpu::state::Vcpu;
use crate::cpu::system::descriptor::{self, Descriptor, is_null, rpl, system_type};
use crate::types::{Exception, vector};
use iced_x86::{Code, Instruction};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Lar_r16_rm16 => lar::<u16>,
        Code::Lar_r32_r32m16 => lar::<u32>,
        Code::Lar_r64_r64m16 => lar::<u64>,
        Code::Lsl_r16_rm16 => lsl::<u16>,
        Code::Lsl_r32_r32m16 => lsl::<u32>,
        Code::Lsl_r64_r64m16 => lsl::<u64>,
        Code::Verr_rm16 | Code::Verr_r32m16 | Code::Verr_r64m16 => verr,
        Code::Verw_rm16 | Code::Verw_r32m16 | Code::Verw_r64m16 => verw,
        Code::Arpl_rm16_r16 | Code::Arpl_r32m16_r32 => arpl,
        _ => return None,
    })
}

/// The descriptor that a selector names, if there is one.
fn find(cpu: &mut Vcpu, env: &mut Env<'_>, selector: u16) -> Result<Option<Descriptor>, Exception> {
    if is_null(selector) {
        return Ok(None);
    }
    match descriptor::read(cpu, env, selector, vector::GP, 0) {
        Ok(d) => Ok(Some(d)),
        Err(e) if e.vector == vector::GP => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether the descriptor may be seen from here with the selector's RPL.
fn visible(cpu: &Vcpu, d: &Descriptor, selector: u16) -> bool {
    d.is_conforming() || (cpu.cpl <= d.dpl() && rpl(selector) <= d.dpl())
}

fn set_zf(cpu: &mut Vcpu, on: bool) {
    cpu.flags.update_arithmetic(ZF, if on { ZF } else { 0 });
}

/// The selector operand `k`, and the descriptor if it may be seen.
fn visible_descriptor(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    k: usize,
) -> Result<Option<Descriptor>, Exception> {
    if cpu.paragraph_selectors() {
        return Err(Exception::UD);
    }
    let selector = cpu.operand::<u16>(env, insn, k)? as u16;
    let d = find(cpu, env, selector)?;
    Ok(d.filter(|d| visible(cpu, d, selector)))
}

fn lar<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let d = visible_descriptor(cpu, env, insn, 1)?;
    let long = cpu.long_mode();
    let known = d.filter(|d| d.is_segment() || has_rights(d.kind(), long));
    if let Some(d) = known {
        T::set(cpu, insn.r[0], d.raw >> 32 & 0x00FF_FF00);
    }
    set_zf(cpu, known.is_some());
    Ok(())
}

/// The system descriptors that LAR knows.
fn has_rights(kind: u16, long: bool) -> bool {
    use system_type as t;
    match kind {
        t::LDT | t::TSS | t::TSS_BUSY | t::CALL_GATE => true,
        t::TSS16 | t::TSS16_BUSY | t::CALL_GATE16 | t::TASK_GATE => !long,
        _ => false,
    }
}

fn lsl<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let d = visible_descriptor(cpu, env, insn, 1)?;
    let long = cpu.long_mode();
    let known = d.filter(|d| d.is_segment() || has_limit(d.kind(), long));
    if let Some(d) = known {
        T::set(cpu, insn.r[0], d.limit().into());
    }
    set_zf(cpu, known.is_some());
    Ok(())
}

/// The system descriptors that LSL knows.
fn has_limit(kind: u16, long: bool) -> bool {
    use system_type as t;
    match kind {
        t::LDT | t::TSS | t::TSS_BUSY => true,
        t::TSS16 | t::TSS16_BUSY => !long,
        _ => false,
    }
}

fn verr(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let d = visible_descriptor(cpu, env, insn, 0)?;
    set_zf(cpu, d.is_some_and(|d| d.is_readable()));
    Ok(())
}

fn verw(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let d = visible_descriptor(cpu, env, insn, 0)?;
    set_zf(cpu, d.is_some_and(|d| d.is_writable_data()));
    Ok(())
}

fn arpl(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    if cpu.paragraph_selectors() {
        return Err(Exception::UD);
    }
    let wanted = u16::get(cpu, insn.r[1]) & 3;
    if insn.r[0] != NO_REG {
        let old = u16::get(cpu, insn.r[0]);
        if old & 3 < wanted {
            u16::set(cpu, insn.r[0], old & !3 | wanted);
        }
        set_zf(cpu, old & 3 < wanted);
        return Ok(());
    }
    let va = cpu.linear(insn, 2, true)?;
    let old = u64::from(cpu.load_for_write::<u16>(env, va)?);
    if old & 3 < wanted {
        cpu.store(env, va, (old & !3 | wanted) as u16)?;
    }
    set_zf(cpu, old & 3 < wanted);
    Ok(())
}
