//! MOV between general registers, memory and immediates, MOVZX, MOVSX, MOVSXD, MOVNTI, XCHG, LEA,
//! CMOVcc, SETcc, XLAT, BSWAP. Moves of segment, control and debug registers are elsewhere.

use super::form::{Shape, by_condition, by_wide_width, by_width, condition, shape, width, width_of};
use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::sign_extend;
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::{RAX, RBX, Vcpu};
use iced_x86::{Instruction, Mnemonic, OpKind};

fn mov_reg_reg<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = T::get(cpu, insn.r[1]);
    T::set(cpu, insn.r[0], v);
    Ok(())
}

fn mov_reg_imm<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    T::set(cpu, insn.r[0], insn.imm);
    Ok(())
}

fn mov_reg_mem<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = cpu.load_operand::<T>(env, insn)?;
    T::set(cpu, insn.r[0], v.widen());
    Ok(())
}

fn mov_mem_reg<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = T::get(cpu, insn.r[1]);
    cpu.store_operand(env, insn, T::narrow(v))
}

fn mov_mem_imm<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    cpu.store_operand(env, insn, T::narrow(insn.imm))
}

/// Operand 1 of width S, zero-extended or sign-extended, to the register of width D.
fn extend_reg<const SIGNED: bool, S: Operand, D: Operand>(
    cpu: &mut Vcpu,
    _: &mut Env<'_>,
    insn: &Insn,
) -> Exec {
    let v = S::get(cpu, insn.r[1]);
    D::set(cpu, insn.r[0], if SIGNED { sign_extend::<S>(v) } else { v });
    Ok(())
}

fn extend_mem<const SIGNED: bool, S: Operand, D: Operand>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec {
    let v = cpu.load_operand::<S>(env, insn)?.widen();
    D::set(cpu, insn.r[0], if SIGNED { sign_extend::<S>(v) } else { v });
    Ok(())
}

/// MOVSXD with 16 bits to go: the operand in memory has 32 all the same (Zen 4).
fn movsxd_16_mem(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = cpu.load_operand::<u32>(env, insn)?.widen();
    u16::set(cpu, insn.r[0], v);
    Ok(())
}

fn xchg_reg_reg<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let (a, b) = (T::get(cpu, insn.r[0]), T::get(cpu, insn.r[1]));
    T::set(cpu, insn.r[0], b);
    T::set(cpu, insn.r[1], a);
    Ok(())
}

/// One of the operands is memory, the other a register, in whatever order they are written.
fn xchg_mem<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let register = insn.r[0].min(insn.r[1]);
    let va = cpu.linear(insn, T::SIZE, true)?;
    let old = cpu.load_for_write::<T>(env, va)?;
    let new = T::get(cpu, register);
    cpu.store(env, va, T::narrow(new))?;
    T::set(cpu, register, old.widen());
    Ok(())
}

fn lea<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let ea = cpu.effective_address(insn);
    T::set(cpu, insn.r[0], ea);
    Ok(())
}

fn cmov_reg<const CC: u8, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let chosen = insn.r[if cpu.state.flags.condition(CC) { 1 } else { 0 }];
    // Written even if the condition is false: a 32-bit destination loses its upper half.
    let v = T::get(cpu, chosen);
    T::set(cpu, insn.r[0], v);
    Ok(())
}

/// The load happens, and may fault, whatever the condition.
fn cmov_mem<const CC: u8, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let loaded = cpu.load_operand::<T>(env, insn)?.widen();
    let old = T::get(cpu, insn.r[0]);
    T::set(cpu, insn.r[0], if cpu.state.flags.condition(CC) { loaded } else { old });
    Ok(())
}

fn setcc_reg<const CC: u8>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = u64::from(cpu.state.flags.condition(CC));
    u8::set(cpu, insn.r[0], v);
    Ok(())
}

fn setcc_mem<const CC: u8>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = u8::from(cpu.state.flags.condition(CC));
    cpu.store_operand(env, insn, v)
}

/// The index is AL, not all of RAX as in a normal memory operand.
fn xlat(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let al = cpu.regs[RAX] & 0xFF;
    let ea = cpu.regs[RBX].wrapping_add(al) & insn.addr_mask;
    let va = cpu.linear_at(insn, insn.seg as usize, ea, 1, false)?;
    let v = cpu.load::<u8>(env, va)?;
    u8::set(cpu, 0, v.into());
    Ok(())
}

fn bswap<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = T::get(cpu, insn.r[0]);
    let swapped = match T::SIZE {
        // Undefined by the manuals; Zen 4 writes 0.
        2 => 0,
        4 => u64::from((v as u32).swap_bytes()),
        _ => v.swap_bytes(),
    };
    T::set(cpu, insn.r[0], swapped);
    Ok(())
}

fn mov(i: &Instruction) -> Option<Handler> {
    // Segment, control and debug registers belong to other families.
    let general = |k: u32| i.op_kind(k) != OpKind::Register || i.op_register(k).is_gpr();
    if !general(0) || !general(1) {
        return None;
    }
    let bytes = width(i);
    Some(match shape(i)? {
        Shape::RegReg => by_width!(bytes, mov_reg_reg),
        Shape::RegImm => by_width!(bytes, mov_reg_imm),
        Shape::RegMem => by_width!(bytes, mov_reg_mem),
        Shape::MemReg => by_width!(bytes, mov_mem_reg),
        Shape::MemImm => by_width!(bytes, mov_mem_imm),
        Shape::Reg | Shape::Mem => return None,
    })
}

fn extend<const SIGNED: bool>(i: &Instruction) -> Option<Handler> {
    let bytes = width(i);
    let from_memory = shape(i)? == Shape::RegMem;
    if i.mnemonic() == Mnemonic::Movsxd && bytes == 2 {
        return Some(if from_memory { movsxd_16_mem } else { mov_reg_reg::<u16> });
    }
    Some(match (width_of(i, 1), from_memory) {
        (1, false) => by_wide_width!(bytes, extend_reg, SIGNED, u8),
        (2, false) => by_wide_width!(bytes, extend_reg, SIGNED, u16),
        (_, false) => by_wide_width!(bytes, extend_reg, SIGNED, u32),
        (1, true) => by_wide_width!(bytes, extend_mem, SIGNED, u8),
        (2, true) => by_wide_width!(bytes, extend_mem, SIGNED, u16),
        (_, true) => by_wide_width!(bytes, extend_mem, SIGNED, u32),
    })
}

fn xchg(i: &Instruction) -> Option<Handler> {
    let bytes = width(i);
    Some(if shape(i)? == Shape::RegReg { by_width!(bytes, xchg_reg_reg) } else { by_width!(bytes, xchg_mem) })
}

fn cmov(i: &Instruction) -> Option<Handler> {
    let cc = condition(i)?;
    let from_memory = shape(i)? == Shape::RegMem;
    Some(match (width(i), from_memory) {
        (2, false) => by_condition!(cc, cmov_reg, u16),
        (4, false) => by_condition!(cc, cmov_reg, u32),
        (_, false) => by_condition!(cc, cmov_reg, u64),
        (2, true) => by_condition!(cc, cmov_mem, u16),
        (4, true) => by_condition!(cc, cmov_mem, u32),
        (_, true) => by_condition!(cc, cmov_mem, u64),
    })
}

fn setcc(i: &Instruction) -> Option<Handler> {
    let cc = condition(i)?;
    Some(if shape(i)? == Shape::Reg { by_condition!(cc, setcc_reg) } else { by_condition!(cc, setcc_mem) })
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    match i.mnemonic() {
        Cmovo | Cmovno | Cmovb | Cmovae | Cmove | Cmovne | Cmovbe | Cmova | Cmovs | Cmovns | Cmovp
        | Cmovnp | Cmovl | Cmovge | Cmovle | Cmovg => cmov(i),
        Seto | Setno | Setb | Setae | Sete | Setne | Setbe | Seta | Sets | Setns | Setp | Setnp | Setl
        | Setge | Setle | Setg => setcc(i),
        Mov | Movnti => mov(i),
        Movzx => extend::<false>(i),
        Movsx | Movsxd => extend::<true>(i),
        Xchg => xchg(i),
        Lea => Some(by_wide_width!(width(i), lea)),
        Xlatb => Some(xlat),
        Bswap => Some(by_wide_width!(width(i), bswap)),
        _ => None,
    }
}
