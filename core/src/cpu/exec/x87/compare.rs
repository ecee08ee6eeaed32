//! FCOM FUCOM FCOMI FUCOMI FICOM FTST FXAM (SDM vol. 1, 8.3.6).

use super::source::Source;
use super::state::{complete, context, invalid_masked, wait};
use crate::cpu::env::Env;
use crate::cpu::flags::{CF, PF, ZF};
use crate::cpu::insn::{Exec, Insn};
use crate::cpu::state::Vcpu;
use crate::softfloat::f80_compare;
use crate::softfloat::f80_context::{C0, C1, C2, C3, IE, SF};
use crate::softfloat::{F80, Num};
use std::cmp::Ordering;

/// FCOM m32fp, m64fp; FICOM.
pub fn memory<S: Source, const POPS: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let b = S::load(cpu, env, insn)?;
    let b = if cpu.x87.is_empty(0) { None } else { Some(b) };
    compare::<true, POPS>(cpu, env, insn, b);
    Ok(())
}

/// FCOM ST(i), FUCOM ST(i).
pub fn stack<const ORDERED: bool, const POPS: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    // FCOMPP and FUCOMPP name no operands: ST(1) is meant.
    let i = usize::from(insn.r[1]);
    compare_st::<ORDERED, POPS>(cpu, env, insn, if i < 8 { i } else { 1 })
}

fn compare_st<const ORDERED: bool, const POPS: usize>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    i: usize,
) -> Exec {
    wait(cpu)?;
    let empty = cpu.x87.is_empty(0) || cpu.x87.is_empty(i);
    let b = if empty { None } else { Some(cpu.x87.st(i).unpack()) };
    compare::<ORDERED, POPS>(cpu, env, insn, b);
    Ok(())
}

/// FTST: ST(0) with +0.
pub fn test(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let b = if cpu.x87.is_empty(0) { None } else { Some(F80::ZERO.unpack()) };
    compare::<true, 0>(cpu, env, insn, b);
    Ok(())
}

/// ST(0) with `b`, or a stack fault.
fn compare<const ORDERED: bool, const POPS: usize>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    b: Option<Num>,
) {
    let (order, flags, stopped) = outcome(cpu, b, ORDERED);
    let codes = match order {
        None => C3 | C2 | C0,
        Some(Ordering::Less) => C0,
        Some(Ordering::Equal) => C3,
        Some(Ordering::Greater) => 0,
    };
    // The codes are set even if an unmasked exception forbids the pop.
    cpu.x87.status = cpu.x87.status & !(C3 | C2 | C0) | codes;
    if !stopped {
        for _ in 0..POPS {
            cpu.x87.pop();
        }
    }
    complete(cpu, env, insn, flags);
}

/// The order, the exceptions, and whether one of them forbids a result.
fn outcome(cpu: &Vcpu, b: Option<Num>, ordered: bool) -> (Option<Ordering>, u16, bool) {
    let Some(b) = b else { return (None, IE | SF, !invalid_masked(cpu)) };
    let mut ctx = context(cpu);
    let order = f80_compare::compare(&mut ctx, cpu.x87.st(0).unpack(), b, ordered);
    (order, ctx.flags, ctx.stopped())
}

/// FCOMI, FUCOMI: the outcome goes to ZF, PF and CF.
pub fn stack_flags<const ORDERED: bool, const POPS: usize>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec {
    wait(cpu)?;
    let i = usize::from(insn.r[1]);
    let empty = cpu.x87.is_empty(0) || cpu.x87.is_empty(i);
    let b = if empty { None } else { Some(cpu.x87.st(i).unpack()) };
    let (order, flags, stopped) = outcome(cpu, b, ORDERED);
    let codes = match order {
        None => ZF | PF | CF,
        Some(Ordering::Less) => CF,
        Some(Ordering::Equal) => ZF,
        Some(Ordering::Greater) => 0,
    };
    cpu.flags.set_arithmetic(codes);
    if !stopped {
        for _ in 0..POPS {
            cpu.x87.pop();
        }
    }
    let kept = if flags & SF == 0 { cpu.x87.status & C1 } else { 0 };
    complete(cpu, env, insn, flags | kept);
    Ok(())
}

/// FXAM.
pub fn examine(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    wait(cpu)?;
    let codes = f80_compare::examine(cpu.x87.st(0), cpu.x87.is_empty(0));
    cpu.x87.status = cpu.x87.status & !(C0 | C1 | C2 | C3) | codes;
    Ok(())
}
