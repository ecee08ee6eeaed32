//! XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B (SDM vol. 2).
//!
//! vCPUs take turns between instructions, so every read-modify-write is atomic; LOCK has
//! nothing to add.

use super::form::{by_width, width};
use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::ZF;
use crate::cpu::insn::{Exec, Handler, Insn, NO_REG};
use crate::cpu::state::{RAX, RBX, RCX, RDX, Vcpu};
use crate::types::Exception;
use iced_x86::{Instruction, Mnemonic};

fn xadd<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let b = T::get(cpu, insn.r[1]);
    if insn.r[0] != NO_REG {
        let a = T::get(cpu, insn.r[0]);
        let r = a.wrapping_add(b);
        // In this order: with the same register twice the sum remains.
        T::set(cpu, insn.r[1], a);
        T::set(cpu, insn.r[0], r);
        cpu.state.flags.set_add::<T>(a, b, r);
        return Ok(());
    }
    let va = cpu.linear(insn, T::SIZE, true)?;
    let a = cpu.load_for_write::<T>(env, va)?.widen();
    let r = a.wrapping_add(b);
    cpu.store(env, va, T::narrow(r))?;
    T::set(cpu, insn.r[1], a);
    cpu.state.flags.set_add::<T>(a, b, r);
    Ok(())
}

/// Memory is written in either case. A 32-bit register that is not the accumulator's equal
/// keeps its upper half.
fn cmpxchg<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let accumulator = T::get(cpu, RAX as u8);
    let new = T::get(cpu, insn.r[1]);
    let in_register = insn.r[0] != NO_REG;
    let (va, old) = if in_register {
        (0, T::get(cpu, insn.r[0]))
    } else {
        let va = cpu.linear(insn, T::SIZE, true)?;
        (va, cpu.load_for_write::<T>(env, va)?.widen())
    };
    let equal = old == accumulator;
    if !in_register {
        cpu.store(env, va, T::narrow(if equal { new } else { old }))?;
    } else if equal {
        T::set(cpu, insn.r[0], new);
    }
    if !equal {
        T::set(cpu, RAX as u8, old);
    }
    cpu.state.flags.set_sub::<T>(accumulator, old, accumulator.wrapping_sub(old));
    Ok(())
}

fn cmpxchg8b(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let va = cpu.linear(insn, 8, true)?;
    let old = cpu.load_for_write::<u64>(env, va)?;
    let pair = |cpu: &Vcpu, high: usize, low: usize| cpu.regs[high] << 32 | u64::from(cpu.regs[low] as u32);
    let equal = old == pair(cpu, RDX, RAX);
    let new = if equal { pair(cpu, RCX, RBX) } else { old };
    cpu.store(env, va, new)?;
    if !equal {
        u32::set(cpu, RAX as u8, old);
        u32::set(cpu, RDX as u8, old >> 32);
    }
    cpu.state.flags.update_arithmetic(ZF, if equal { ZF } else { 0 });
    Ok(())
}

fn cmpxchg16b(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let va = cpu.linear(insn, 16, true)?;
    if va & 15 != 0 {
        return Err(Exception::GP0);
    }
    let old = cpu.load_for_write::<u128>(env, va)?;
    let pair =
        |cpu: &Vcpu, high: usize, low: usize| u128::from(cpu.regs[high]) << 64 | u128::from(cpu.regs[low]);
    let equal = old == pair(cpu, RDX, RAX);
    let new = if equal { pair(cpu, RCX, RBX) } else { old };
    cpu.store(env, va, new)?;
    if !equal {
        cpu.regs[RAX] = old as u64;
        cpu.regs[RDX] = (old >> 64) as u64;
    }
    cpu.state.flags.update_arithmetic(ZF, if equal { ZF } else { 0 });
    Ok(())
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.mnemonic() {
        Mnemonic::Xadd => by_width!(width(i), xadd),
        Mnemonic::Cmpxchg => by_width!(width(i), cmpxchg),
        Mnemonic::Cmpxchg8b => cmpxchg8b,
        Mnemonic::Cmpxchg16b => cmpxchg16b,
        _ => return None,
    })
}
