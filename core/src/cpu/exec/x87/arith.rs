//! FADD FSUB FMUL FDIV and their reversed, popping and integer forms; FSQRT FABS FCHS FPREM
//! FPREM1 FRNDINT FSCALE FXTRACT (SDM vol. 1, 8.3.5 and 8.3.6).

use super::source::Source;
use super::state::{complete, context, invalid_masked, overflow, underflow, wait};
use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Insn};
use crate::cpu::state::Vcpu;
use crate::softfloat::f80_context::{C0, C2, C3, Context, IE, SF};
use crate::softfloat::f80_rem::{Quotient, rem};
use crate::softfloat::{F80, Num, f80_arith, f80_convert, f80_scale};

/// An operation on destination and source.
pub trait Binary {
    /// The result.
    fn apply(ctx: &mut Context, dest: Num, source: Num) -> F80;
}

/// FADD.
pub struct Add;
/// FSUB: destination - source.
pub struct Sub;
/// FSUBR: source - destination.
pub struct SubR;
/// FMUL.
pub struct Mul;
/// FDIV: destination / source.
pub struct Div;
/// FDIVR: source / destination.
pub struct DivR;

impl Binary for Add {
    #[inline(always)]
    fn apply(ctx: &mut Context, d: Num, s: Num) -> F80 {
        f80_arith::add(ctx, d, s)
    }
}
impl Binary for Sub {
    #[inline(always)]
    fn apply(ctx: &mut Context, d: Num, s: Num) -> F80 {
        f80_arith::sub(ctx, d, s)
    }
}
impl Binary for SubR {
    #[inline(always)]
    fn apply(ctx: &mut Context, d: Num, s: Num) -> F80 {
        f80_arith::sub(ctx, s, d)
    }
}
impl Binary for Mul {
    #[inline(always)]
    fn apply(ctx: &mut Context, d: Num, s: Num) -> F80 {
        f80_arith::mul(ctx, d, s)
    }
}
impl Binary for Div {
    #[inline(always)]
    fn apply(ctx: &mut Context, d: Num, s: Num) -> F80 {
        f80_arith::div(ctx, d, s)
    }
}
impl Binary for DivR {
    #[inline(always)]
    fn apply(ctx: &mut Context, d: Num, s: Num) -> F80 {
        f80_arith::div(ctx, s, d)
    }
}

/// ST(0) with a memory operand.
pub fn memory<O: Binary, S: Source>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let source = S::load(cpu, env, insn)?;
    if cpu.x87.is_empty(0) {
        return underflow(cpu, env, insn, 0, 0);
    }
    binary::<O, 0>(cpu, env, insn, 0, source);
    Ok(())
}

/// ST(r0) with ST(r1); pops afterwards if `POPS` is 1.
pub fn stack<O: Binary, const POPS: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let (dest, source) = (usize::from(insn.r[0]), usize::from(insn.r[1]));
    if cpu.x87.is_empty(dest) || cpu.x87.is_empty(source) {
        return underflow(cpu, env, insn, dest, POPS);
    }
    let source = cpu.x87.st(source).unpack();
    binary::<O, POPS>(cpu, env, insn, dest, source);
    Ok(())
}

#[inline(always)]
fn binary<O: Binary, const POPS: usize>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    dest: usize,
    source: Num,
) {
    let mut ctx = context(cpu);
    let result = O::apply(&mut ctx, cpu.x87.st(dest).unpack(), source);
    if !ctx.stopped() {
        cpu.x87.set_st(dest, result);
        if POPS == 1 {
            cpu.x87.pop();
        }
    }
    complete(cpu, env, insn, ctx.flags);
}

/// An operation on ST(0) alone.
pub trait Unary {
    /// The result.
    fn apply(ctx: &mut Context, v: Num) -> F80;
}

/// FSQRT.
pub struct Sqrt;
/// FRNDINT.
pub struct RoundInt;

impl Unary for Sqrt {
    fn apply(ctx: &mut Context, v: Num) -> F80 {
        f80_arith::sqrt(ctx, v)
    }
}
impl Unary for RoundInt {
    fn apply(ctx: &mut Context, v: Num) -> F80 {
        f80_convert::round_int(ctx, v)
    }
}

/// Replaces ST(0).
pub fn unary<O: Unary>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) {
        return underflow(cpu, env, insn, 0, 0);
    }
    let mut ctx = context(cpu);
    let result = O::apply(&mut ctx, cpu.x87.st(0).unpack());
    if !ctx.stopped() {
        cpu.x87.set_st(0, result);
    }
    complete(cpu, env, insn, ctx.flags);
    Ok(())
}

/// FABS, FCHS: the sign of whatever is in ST(0).
pub fn sign<const CHANGE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) {
        return underflow(cpu, env, insn, 0, 0);
    }
    let v = cpu.x87.st(0);
    cpu.x87.set_st(0, v.with_sign(CHANGE && !v.sign()));
    complete(cpu, env, insn, 0);
    Ok(())
}

/// FPREM, FPREM1.
pub fn remainder<const NEAREST: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    // Without a quotient C0 and C3 stay.
    cpu.x87.status &= !C2;
    let kind = if NEAREST { Quotient::Nearest } else { Quotient::Truncated };
    if cpu.x87.is_empty(0) || cpu.x87.is_empty(1) {
        return underflow(cpu, env, insn, 0, 0);
    }
    let mut ctx = context(cpu).full_precision();
    let (result, codes) = rem(&mut ctx, cpu.x87.st(0).unpack(), cpu.x87.st(1).unpack(), kind);
    if !ctx.stopped() {
        cpu.x87.set_st(0, result);
    }
    if codes.is_some() {
        cpu.x87.status &= !(C0 | C3);
    }
    complete(cpu, env, insn, ctx.flags | codes.unwrap_or(0));
    Ok(())
}

/// FSCALE.
pub fn scale(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) || cpu.x87.is_empty(1) {
        return underflow(cpu, env, insn, 0, 0);
    }
    let mut ctx = context(cpu).full_precision();
    let result = f80_scale::scale(&mut ctx, cpu.x87.st(0).unpack(), cpu.x87.st(1).unpack());
    if !ctx.stopped() {
        cpu.x87.set_st(0, result);
    }
    complete(cpu, env, insn, ctx.flags);
    Ok(())
}

/// FXTRACT: the exponent replaces ST(0), the significand is pushed.
pub fn extract(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) {
        return underflow_pushing(cpu, env, insn);
    }
    if !cpu.x87.is_empty(7) {
        return overflow_replacing(cpu, env, insn);
    }
    let mut ctx = context(cpu);
    let (significand, exponent) = f80_scale::extract(&mut ctx, cpu.x87.st(0).unpack());
    if !ctx.stopped() {
        cpu.x87.set_st(0, exponent);
        cpu.x87.push(significand);
    }
    complete(cpu, env, insn, ctx.flags);
    Ok(())
}

/// The source of an instruction with two results is empty: both become the default NaN.
#[cold]
pub fn underflow_pushing(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    if invalid_masked(cpu) {
        cpu.x87.set_st(0, F80::INDEFINITE);
        cpu.x87.push(F80::INDEFINITE);
    }
    complete(cpu, env, insn, IE | SF);
    Ok(())
}

/// No room for the second result: both become the default NaN.
#[cold]
pub fn overflow_replacing(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    if invalid_masked(cpu) {
        cpu.x87.set_st(0, F80::INDEFINITE);
    }
    overflow(cpu, env, insn)
}
