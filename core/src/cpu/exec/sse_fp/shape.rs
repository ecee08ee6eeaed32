//! The shape of SSE floating-point instructions: operands, lanes, the outcome in MXCSR.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::simd::{load_vector, sse_ready};
use crate::cpu::insn::Insn;
use crate::cpu::state::{Vcpu, cr4};
use crate::softfloat::ieee::{Context, Format};
use crate::types::{Exception, Scalar};
use std::marker::PhantomData;

/// An operation on whole vectors: destination, source and immediate to the new destination.
pub trait VectorOp {
    /// The result; exceptions go into the context.
    fn apply(a: u128, b: u128, imm: u8, cx: &mut Context) -> u128;
}

/// An operation on one element.
pub trait ElementOp {
    /// The result; exceptions go into the context.
    fn apply<F: Format>(a: u64, b: u64, imm: u8, cx: &mut Context) -> u64;
}

/// Element `k` of a vector.
#[inline(always)]
pub fn element<F: Format>(v: u128, k: u32) -> u64 {
    (v >> (k * F::BITS)) as u64 & (F::SIGN | (F::SIGN - 1))
}

/// The vector of which element k is `f(k)`.
#[inline(always)]
pub fn build<F: Format>(mut f: impl FnMut(u32) -> u64) -> u128 {
    (0..128 / F::BITS).fold(0, |v, k| v | u128::from(f(k)) << (k * F::BITS))
}

/// All elements.
pub struct Packed<F, O>(PhantomData<(F, O)>);

impl<F: Format, O: ElementOp> VectorOp for Packed<F, O> {
    #[inline(always)]
    fn apply(a: u128, b: u128, imm: u8, cx: &mut Context) -> u128 {
        build::<F>(|k| O::apply::<F>(element::<F>(a, k), element::<F>(b, k), imm, cx))
    }
}

/// The lowest element; the others stay as in the destination.
pub struct Lowest<F, O>(PhantomData<(F, O)>);

impl<F: Format, O: ElementOp> VectorOp for Lowest<F, O> {
    #[inline(always)]
    fn apply(a: u128, b: u128, imm: u8, cx: &mut Context) -> u128 {
        let low = O::apply::<F>(element::<F>(a, 0), element::<F>(b, 0), imm, cx);
        replace_low::<F>(a, low)
    }
}

/// `a` with another lowest element.
#[inline(always)]
pub fn replace_low<F: Format>(a: u128, low: u64) -> u128 {
    a >> F::BITS << F::BITS | u128::from(low)
}

/// Ends the computation: the flags go to MXCSR.
///
/// # Errors
/// If an exception is unmasked: #XM, or #UD where the system does not handle it. MXCSR has the
/// flags then, but nothing else may be written.
#[inline(always)]
pub fn finish(cpu: &mut Vcpu, cx: &Context) -> Exec<()> {
    if cx.flags() == 0 {
        return Ok(());
    }
    let (flags, unmasked) = cx.outcome();
    cpu.mxcsr |= flags;
    if !unmasked {
        return Ok(());
    }
    Err(if cpu.cr4 & cr4::OSXMMEXCPT != 0 { Exception::XM } else { Exception::UD })
}

/// The second operand; SSE is checked first.
///
/// # Errors
/// If SSE is off; what the load raises.
#[inline(always)]
pub fn source<T: Scalar, const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<u128> {
    sse_ready(cpu)?;
    if MEM { Ok(load_vector::<T>(cpu, env, insn)?.to_u128()) } else { Ok(cpu.xmm(insn.r[1])) }
}

/// `op xmm, xmm/mem[, imm8]`.
///
/// # Errors
/// If SSE is off; what the load raises; unmasked floating-point exceptions.
pub fn fp<V: VectorOp, T: Scalar, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    let b = source::<T, MEM>(cpu, env, insn)?;
    let mut cx = Context::new(cpu.mxcsr);
    let v = V::apply(cpu.xmm(insn.r[0]), b, insn.imm as u8, &mut cx);
    finish(cpu, &cx)?;
    cpu.set_xmm(insn.r[0], v);
    Ok(())
}

/// The handlers of [`fp`] forms: `Code => Operation[, memory operand's type];`.
macro_rules! fp_table {
    ($i:expr; $($rows:tt)*) => {{
        use $crate::cpu::exec::sse_fp::shape::fp;
        $crate::cpu::exec::simd::table!(fp, u128, $i, $($rows)*)
    }};
}
pub(super) use fp_table;
