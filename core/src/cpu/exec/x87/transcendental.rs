//! Constants and transcendental functions (SDM vol. 1, 8.3.4, 8.3.7 and 8.3.8).

use super::arith::{overflow_replacing, underflow_pushing};
use super::load_store::push_plain;
use super::state::{complete, context, underflow, wait};
use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Insn};
use crate::cpu::state::Vcpu;
use crate::softfloat::f80_context::{C2, Context};
use crate::softfloat::{F80, Num, f80_constants, f80_exp_log, f80_trig};

/// FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ: `WHICH` is bits 2:0 of the ModRM byte.
pub fn constant<const WHICH: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let v = f80_constants::constant(context(cpu).rounding, WHICH);
    push_plain(cpu, env, insn, v)
}

/// FSIN (`COSINE` false), FCOS. C2 is set, and nothing done, for an operand of 2^63 and more.
pub fn sine<const COSINE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    cpu.x87.status &= !C2;
    if cpu.x87.is_empty(0) {
        return underflow(cpu, env, insn, 0, 0);
    }
    let mut ctx = context(cpu).full_precision();
    let v = cpu.x87.st(0).unpack();
    let result = if COSINE { f80_trig::cos(&mut ctx, v) } else { f80_trig::sin(&mut ctx, v) };
    finish_trigonometric(cpu, env, insn, &ctx, result.map(|r| (r, None)));
    Ok(())
}

/// FSINCOS: the sine replaces ST(0), the cosine is pushed.
pub fn sine_cosine(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    trigonometric_pair(cpu, env, insn, f80_trig::sin_cos)
}

/// FPTAN: the tangent replaces ST(0), 1.0 is pushed.
pub fn tangent(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    trigonometric_pair(cpu, env, insn, f80_trig::tan)
}

fn trigonometric_pair(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    function: fn(&mut Context, Num) -> Option<(F80, F80)>,
) -> Exec {
    wait(cpu)?;
    cpu.x87.status &= !C2;
    if cpu.x87.is_empty(0) {
        return underflow_pushing(cpu, env, insn);
    }
    if !cpu.x87.is_empty(7) {
        return overflow_replacing(cpu, env, insn);
    }
    let mut ctx = context(cpu).full_precision();
    let result = function(&mut ctx, cpu.x87.st(0).unpack());
    finish_trigonometric(cpu, env, insn, &ctx, result.map(|(r, pushed)| (r, Some(pushed))));
    Ok(())
}

fn finish_trigonometric(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    ctx: &Context,
    result: Option<(F80, Option<F80>)>,
) {
    if !ctx.stopped() {
        match result {
            None => cpu.x87.status |= C2,
            Some((replacing, pushed)) => {
                cpu.x87.set_st(0, replacing);
                if let Some(v) = pushed {
                    cpu.x87.push(v);
                }
            }
        }
    }
    complete(cpu, env, insn, ctx.flags);
}

/// F2XM1.
pub fn power(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) {
        return underflow(cpu, env, insn, 0, 0);
    }
    let mut ctx = context(cpu).full_precision();
    let result = f80_exp_log::exp2_minus_1(&mut ctx, cpu.x87.st(0).unpack());
    if !ctx.stopped() {
        cpu.x87.set_st(0, result);
    }
    complete(cpu, env, insn, ctx.flags);
    Ok(())
}

/// A function of ST(1) and ST(0) that replaces both by one result.
pub trait Pair {
    /// The result.
    fn apply(ctx: &mut Context, st1: Num, st0: Num) -> F80;
}

/// FPATAN.
pub struct Arctangent;
/// FYL2X.
pub struct Log;
/// FYL2XP1.
pub struct LogOnePlus;

impl Pair for Arctangent {
    fn apply(ctx: &mut Context, st1: Num, st0: Num) -> F80 {
        f80_trig::atan2(ctx, st1, st0)
    }
}
impl Pair for Log {
    fn apply(ctx: &mut Context, st1: Num, st0: Num) -> F80 {
        f80_exp_log::y_log2_x(ctx, st1, st0)
    }
}
impl Pair for LogOnePlus {
    fn apply(ctx: &mut Context, st1: Num, st0: Num) -> F80 {
        f80_exp_log::y_log2_1_plus_x(ctx, st1, st0)
    }
}

/// Executes a [`Pair`].
pub fn pair<P: Pair>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) || cpu.x87.is_empty(1) {
        return underflow(cpu, env, insn, 1, 1);
    }
    let mut ctx = context(cpu).full_precision();
    let result = P::apply(&mut ctx, cpu.x87.st(1).unpack(), cpu.x87.st(0).unpack());
    if !ctx.stopped() {
        cpu.x87.set_st(1, result);
        cpu.x87.pop();
    }
    complete(cpu, env, insn, ctx.flags);
    Ok(())
}
