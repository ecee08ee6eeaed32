//! Conversions within XMM registers: between the formats, and from and to packed integers.

use super::shape::{VectorOp, element, fp_table, replace_low};
use crate::cpu::exec::simd::Lane;
use crate::cpu::insn::Handler;
use crate::softfloat::ieee::{self, Context, Double, Format, Rounding, Single};
use iced_x86::Instruction;

/// The handler of a conversion.
pub fn select(i: &Instruction) -> Option<Handler> {
    fp_table! { i;
        Cvtps2pd_xmm_xmmm64 => Cvtps2pd, u64;
        Cvtpd2ps_xmm_xmmm128 => Cvtpd2ps;
        Cvtss2sd_xmm_xmmm32 => Cvtss2sd, u32;
        Cvtsd2ss_xmm_xmmm64 => Cvtsd2ss, u64;
        Cvtdq2ps_xmm_xmmm128 => Cvtdq2ps;
        Cvtdq2pd_xmm_xmmm64 => Cvtdq2pd, u64;
        Cvtps2dq_xmm_xmmm128 => Cvtps2dq;
        Cvttps2dq_xmm_xmmm128 => Cvttps2dq;
        Cvtpd2dq_xmm_xmmm128 => Cvtpd2dq;
        Cvttpd2dq_xmm_xmmm128 => Cvttpd2dq;
    }
}

/// Defines types that are a [`VectorOp`] without an immediate.
macro_rules! conversions {
    ($($name:ident = |$a:pat_param, $b:ident, $cx:ident| $body:expr;)*) => {$(
        struct $name;
        impl VectorOp for $name {
            fn apply($a: u128, $b: u128, _: u8, $cx: &mut Context) -> u128 {
                $body
            }
        }
    )*};
}

conversions! {
    Cvtps2pd = |_, b, cx| u64::build(|k| ieee::widen(element::<Single>(b, k as u32), cx));
    Cvtpd2ps = |_, b, cx| low_pair(|k| ieee::narrow(element::<Double>(b, k), cx) as u32);
    Cvtss2sd = |a, b, cx| replace_low::<Double>(a, ieee::widen(element::<Single>(b, 0), cx));
    Cvtsd2ss = |a, b, cx| replace_low::<Single>(a, ieee::narrow(element::<Double>(b, 0), cx));
    Cvtdq2ps = |_, b, cx| { let v = i32::split(b); u32::build(|k| ieee::from_i32::<Single>(v[k], cx) as u32) };
    Cvtdq2pd = |_, b, cx| { let v = i32::split(b); u64::build(|k| ieee::from_i32::<Double>(v[k], cx)) };
    Cvtps2dq = |_, b, cx| i32::build(|k| ieee::to_i32::<Single>(element::<Single>(b, k as u32), cx));
    Cvttps2dq = |_, b, cx| truncating(cx, |cx| i32::build(|k| ieee::to_i32::<Single>(element::<Single>(b, k as u32), cx)));
    Cvtpd2dq = |_, b, cx| pair_to_i32::<Double>(b, cx).into();
    Cvttpd2dq = |_, b, cx| truncating(cx, |cx| pair_to_i32::<Double>(b, cx).into());
}

/// A vector of two doublewords, the rest zero.
fn low_pair(mut f: impl FnMut(u32) -> u32) -> u128 {
    u128::from(f(0)) | u128::from(f(1)) << 32
}

/// The two lowest elements as signed doublewords.
pub fn pair_to_i32<F: Format>(v: u128, cx: &mut Context) -> u64 {
    let mut half = |k| u64::from(ieee::to_i32::<F>(element::<F>(v, k), cx) as u32);
    half(0) | half(1) << 32
}

/// Runs a conversion that rounds toward zero whatever MXCSR says.
pub fn truncating<R>(cx: &mut Context, f: impl FnOnce(&mut Context) -> R) -> R {
    let mut inner = cx.with_rounding(Rounding::Zero);
    let result = f(&mut inner);
    cx.raise(inner.flags());
    result
}
