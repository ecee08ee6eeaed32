//! Near JMP, Jcc, CALL, RET, LOOP, JRCXZ (SDM vol. 2). Far transfers are in `far`.
//!
//! A target is checked before anything changes: canonical in 64-bit mode, within the limit of
//! CS elsewhere, else #GP. An operand-size prefix cuts the target to 16 bits even in 64-bit
//! mode, as on AMD (APM vol. 3, JMP near).

use super::form::{by_condition, condition, is_long};
use super::operand::Operand;
use super::stack::{check_push, push, release, top};
use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::access::canonical;
use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::{RCX, RSP, Vcpu, seg};
use crate::types::Exception;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// Truncates a target to the operand size T and checks it.
#[inline(always)]
fn check_target<const LONG: bool, T: Operand>(cpu: &Vcpu, target: u64) -> Result<u64, Exception> {
    let target = target & T::MASK;
    let ok = if LONG {
        T::SIZE < 8 || canonical(target)
    } else {
        target <= u64::from(cpu.state.segs[seg::CS].limit)
    };
    if ok { Ok(target) } else { Err(Exception::GP0) }
}

/// The checked target of a relative branch.
#[inline(always)]
fn relative<const LONG: bool, T: Operand>(cpu: &Vcpu, insn: &Insn) -> Result<u64, Exception> {
    check_target::<LONG, T>(cpu, cpu.rip().wrapping_add(insn.imm))
}

fn jmp_rel<const LONG: bool, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let target = relative::<LONG, T>(cpu, insn)?;
    cpu.set_rip(target);
    Ok(())
}

fn jcc<const CC: u8, const LONG: bool, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    if cpu.state.flags.condition(CC) {
        let target = relative::<LONG, T>(cpu, insn)?;
        cpu.set_rip(target);
    }
    Ok(())
}

fn jmp_indirect<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let target = cpu.operand::<T>(env, insn, 0)?;
    let target = check_target::<LONG, T>(cpu, target)?;
    cpu.set_rip(target);
    Ok(())
}

#[inline(always)]
fn note_call(cpu: &Vcpu, env: &mut Env<'_>, target: u64, back: u64) {
    let rsp = cpu.state.regs[RSP];
    cpu.note(env, ProbeKind::Call, || ProbeEvent::Call { target, back, rsp });
}

fn call_rel<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let target = relative::<LONG, T>(cpu, insn)?;
    let back = cpu.rip();
    push::<LONG, T>(cpu, env, back)?;
    cpu.set_rip(target);
    note_call(cpu, env, target, back);
    Ok(())
}

fn call_indirect<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let target = cpu.operand::<T>(env, insn, 0)?;
    let target = match check_target::<LONG, T>(cpu, target) {
        Ok(target) => target,
        // Zen 4 looks at the stack before the target.
        Err(e) => return Err(check_push::<LONG, T>(cpu, env).err().unwrap_or(e)),
    };
    let back = cpu.rip();
    push::<LONG, T>(cpu, env, back)?;
    cpu.set_rip(target);
    note_call(cpu, env, target, back);
    Ok(())
}

/// The immediate is the number of further bytes to release, 0 for the form without one.
fn ret<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let target = top::<LONG, T>(cpu, env)?;
    let target = check_target::<LONG, T>(cpu, target)?;
    let rsp = cpu.state.regs[RSP];
    release::<LONG>(cpu, T::SIZE as u64 + insn.imm);
    cpu.set_rip(target);
    cpu.note(env, ProbeKind::Return, || ProbeEvent::Return { target, rsp });
    Ok(())
}

/// Whether LOOP looks at ZF, and what it must be.
const ALWAYS: u8 = 0;
const WHILE_ZF: u8 = 1;
const WHILE_NOT_ZF: u8 = 2;

/// T is the width of the target, C that of the counter.
fn loop_rel<const KIND: u8, const LONG: bool, T: Operand, C: Operand>(
    cpu: &mut Vcpu,
    _: &mut Env<'_>,
    insn: &Insn,
) -> Exec {
    let count = C::get(cpu, RCX as u8).wrapping_sub(1) & C::MASK;
    let zf_allows = match KIND {
        WHILE_ZF => cpu.flags.zf(),
        WHILE_NOT_ZF => !cpu.flags.zf(),
        _ => true,
    };
    if count != 0 && zf_allows {
        let target = relative::<LONG, T>(cpu, insn)?;
        cpu.set_rip(target);
    }
    C::set(cpu, RCX as u8, count);
    Ok(())
}

fn jcxz<const LONG: bool, T: Operand, C: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    if C::get(cpu, RCX as u8) == 0 {
        let target = relative::<LONG, T>(cpu, insn)?;
        cpu.set_rip(target);
    }
    Ok(())
}

/// Instances by mode and operand size of a handler.
macro_rules! by_mode_and_size {
    ($i:expr, $bytes:expr, $handler:ident $(, $counter:ty)*) => {
        match (is_long($i), $bytes) {
            (true, 2) => $handler::<true, u16 $(, $counter)*> as Handler,
            (true, _) => $handler::<true, u64 $(, $counter)*>,
            (false, 2) => $handler::<false, u16 $(, $counter)*>,
            (false, _) => $handler::<false, u32 $(, $counter)*>,
        }
    };
}

/// [`by_mode_and_size`], with a leading constant and a counter.
macro_rules! loop_by_mode_and_size {
    ($i:expr, $bytes:expr, $kind:ident, $counter:ty) => {
        match (is_long($i), $bytes) {
            (true, 2) => loop_rel::<$kind, true, u16, $counter> as Handler,
            (true, _) => loop_rel::<$kind, true, u64, $counter>,
            (false, 2) => loop_rel::<$kind, false, u16, $counter>,
            (false, _) => loop_rel::<$kind, false, u32, $counter>,
        }
    };
}

/// The operand size in bytes of a relative branch.
fn branch_size(i: &Instruction) -> usize {
    match i.op0_kind() {
        OpKind::NearBranch16 => 2,
        OpKind::NearBranch32 => 4,
        _ => 8,
    }
}

fn select_jcc(i: &Instruction) -> Option<Handler> {
    let cc = condition(i)?;
    Some(match (is_long(i), branch_size(i)) {
        (true, 2) => by_condition!(cc, jcc, true, u16),
        (true, _) => by_condition!(cc, jcc, true, u64),
        (false, 2) => by_condition!(cc, jcc, false, u16),
        (false, _) => by_condition!(cc, jcc, false, u32),
    })
}

macro_rules! select_loop {
    ($i:expr, $kind:ident) => {{
        let bytes = branch_size($i);
        match counter_size($i) {
            2 => loop_by_mode_and_size!($i, bytes, $kind, u16),
            4 => loop_by_mode_and_size!($i, bytes, $kind, u32),
            _ => loop_by_mode_and_size!($i, bytes, $kind, u64),
        }
    }};
}

fn select_jcxz(i: &Instruction) -> Handler {
    let bytes = branch_size(i);
    match counter_size(i) {
        2 => by_mode_and_size!(i, bytes, jcxz, u16),
        4 => by_mode_and_size!(i, bytes, jcxz, u32),
        _ => by_mode_and_size!(i, bytes, jcxz, u64),
    }
}

/// The width in bytes of the counter of LOOP and JCXZ: the address size.
fn counter_size(i: &Instruction) -> usize {
    use Code::*;
    match i.code() {
        Loopne_rel8_16_CX | Loopne_rel8_32_CX | Loope_rel8_16_CX | Loope_rel8_32_CX | Loop_rel8_16_CX
        | Loop_rel8_32_CX | Jcxz_rel8_16 | Jcxz_rel8_32 => 2,
        Loopne_rel8_16_ECX | Loopne_rel8_32_ECX | Loopne_rel8_64_ECX | Loope_rel8_16_ECX
        | Loope_rel8_32_ECX | Loope_rel8_64_ECX | Loop_rel8_16_ECX | Loop_rel8_32_ECX | Loop_rel8_64_ECX
        | Jecxz_rel8_16 | Jecxz_rel8_32 | Jecxz_rel8_64 => 4,
        _ => 8,
    }
}

fn select_jmp(i: &Instruction) -> Option<Handler> {
    use Code::*;
    Some(match i.code() {
        Jmp_rel8_16 | Jmp_rel8_32 | Jmp_rel8_64 | Jmp_rel16 | Jmp_rel32_32 | Jmp_rel32_64 => {
            by_mode_and_size!(i, branch_size(i), jmp_rel)
        }
        Jmp_rm16 => by_mode_and_size!(i, 2, jmp_indirect),
        Jmp_rm32 | Jmp_rm64 => by_mode_and_size!(i, 8, jmp_indirect),
        _ => return None,
    })
}

fn select_call(i: &Instruction) -> Option<Handler> {
    use Code::*;
    Some(match i.code() {
        Call_rel16 | Call_rel32_32 | Call_rel32_64 => by_mode_and_size!(i, branch_size(i), call_rel),
        Call_rm16 => by_mode_and_size!(i, 2, call_indirect),
        Call_rm32 | Call_rm64 => by_mode_and_size!(i, 8, call_indirect),
        _ => return None,
    })
}

fn select_ret(i: &Instruction) -> Handler {
    match i.code() {
        Code::Retnw | Code::Retnw_imm16 => by_mode_and_size!(i, 2, ret),
        _ => by_mode_and_size!(i, 8, ret),
    }
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    if i.is_jcc_short_or_near() {
        return select_jcc(i);
    }
    Some(match i.mnemonic() {
        Mnemonic::Jmp => return select_jmp(i),
        Mnemonic::Call => return select_call(i),
        Mnemonic::Ret => select_ret(i),
        Mnemonic::Loop => select_loop!(i, ALWAYS),
        Mnemonic::Loope => select_loop!(i, WHILE_ZF),
        Mnemonic::Loopne => select_loop!(i, WHILE_NOT_ZF),
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => select_jcxz(i),
        _ => return None,
    })
}
