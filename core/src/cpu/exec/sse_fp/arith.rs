//! ADDPS and its kin, square roots, horizontal operations, dot products.

use super::shape::{ElementOp, Lowest, Packed, VectorOp, build, element, fp_table};
use crate::cpu::insn::Handler;
use crate::softfloat::ieee::{self, Context, Double, Format, Single};
use iced_x86::Instruction;
use std::marker::PhantomData;

/// The handler of an arithmetic form.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_packed(i).or_else(|| select_scalar(i)).or_else(|| select_across(i))
}

fn select_packed(i: &Instruction) -> Option<Handler> {
    fp_table! { i;
        Addps_xmm_xmmm128 => Packed<Single, Add>;
        Addpd_xmm_xmmm128 => Packed<Double, Add>;
        Subps_xmm_xmmm128 => Packed<Single, Sub>;
        Subpd_xmm_xmmm128 => Packed<Double, Sub>;
        Mulps_xmm_xmmm128 => Packed<Single, Mul>;
        Mulpd_xmm_xmmm128 => Packed<Double, Mul>;
        Divps_xmm_xmmm128 => Packed<Single, Div>;
        Divpd_xmm_xmmm128 => Packed<Double, Div>;
        Minps_xmm_xmmm128 => Packed<Single, Min>;
        Minpd_xmm_xmmm128 => Packed<Double, Min>;
        Maxps_xmm_xmmm128 => Packed<Single, Max>;
        Maxpd_xmm_xmmm128 => Packed<Double, Max>;
        Sqrtps_xmm_xmmm128 => Packed<Single, Sqrt>;
        Sqrtpd_xmm_xmmm128 => Packed<Double, Sqrt>;
    }
}

fn select_scalar(i: &Instruction) -> Option<Handler> {
    fp_table! { i;
        Addss_xmm_xmmm32 => Lowest<Single, Add>, u32;
        Addsd_xmm_xmmm64 => Lowest<Double, Add>, u64;
        Subss_xmm_xmmm32 => Lowest<Single, Sub>, u32;
        Subsd_xmm_xmmm64 => Lowest<Double, Sub>, u64;
        Mulss_xmm_xmmm32 => Lowest<Single, Mul>, u32;
        Mulsd_xmm_xmmm64 => Lowest<Double, Mul>, u64;
        Divss_xmm_xmmm32 => Lowest<Single, Div>, u32;
        Divsd_xmm_xmmm64 => Lowest<Double, Div>, u64;
        Minss_xmm_xmmm32 => Lowest<Single, Min>, u32;
        Minsd_xmm_xmmm64 => Lowest<Double, Min>, u64;
        Maxss_xmm_xmmm32 => Lowest<Single, Max>, u32;
        Maxsd_xmm_xmmm64 => Lowest<Double, Max>, u64;
        Sqrtss_xmm_xmmm32 => Lowest<Single, Sqrt>, u32;
        Sqrtsd_xmm_xmmm64 => Lowest<Double, Sqrt>, u64;
    }
}

fn select_across(i: &Instruction) -> Option<Handler> {
    fp_table! { i;
        Haddps_xmm_xmmm128 => Horizontal<Single, Add>;
        Haddpd_xmm_xmmm128 => Horizontal<Double, Add>;
        Hsubps_xmm_xmmm128 => Horizontal<Single, Sub>;
        Hsubpd_xmm_xmmm128 => Horizontal<Double, Sub>;
        Addsubps_xmm_xmmm128 => AddSub<Single>;
        Addsubpd_xmm_xmmm128 => AddSub<Double>;
        Dpps_xmm_xmmm128_imm8 => DotSingle;
        Dppd_xmm_xmmm128_imm8 => DotDouble;
    }
}

macro_rules! element_ops {
    ($($name:ident = $function:ident;)*) => {$(
        struct $name;
        impl ElementOp for $name {
            #[inline(always)]
            fn apply<F: Format>(a: u64, b: u64, _: u8, cx: &mut Context) -> u64 {
                ieee::$function::<F>(a, b, cx)
            }
        }
    )*};
}
element_ops! {
    Add = add;
    Sub = sub;
    Mul = mul;
    Div = div;
    Min = min;
    Max = max;
}

struct Sqrt;

impl ElementOp for Sqrt {
    #[inline(always)]
    fn apply<F: Format>(_: u64, b: u64, _: u8, cx: &mut Context) -> u64 {
        ieee::sqrt::<F>(b, cx)
    }
}

/// The operation between neighbours of the destination, then of the source.
struct Horizontal<F, O>(PhantomData<(F, O)>);

impl<F: Format, O: ElementOp> VectorOp for Horizontal<F, O> {
    fn apply(a: u128, b: u128, imm: u8, cx: &mut Context) -> u128 {
        let n = 128 / F::BITS;
        build::<F>(|k| {
            let from = if 2 * k < n { a } else { b };
            let at = 2 * k % n;
            O::apply::<F>(element::<F>(from, at), element::<F>(from, at + 1), imm, cx)
        })
    }
}

/// Subtraction in even elements, addition in odd ones.
struct AddSub<F>(PhantomData<F>);

impl<F: Format> VectorOp for AddSub<F> {
    fn apply(a: u128, b: u128, _: u8, cx: &mut Context) -> u128 {
        build::<F>(|k| {
            let (x, y) = (element::<F>(a, k), element::<F>(b, k));
            if k % 2 == 0 { ieee::sub::<F>(x, y, cx) } else { ieee::add::<F>(x, y, cx) }
        })
    }
}

/// The product of elements `k` if the immediate selects it, else zero.
fn product<F: Format>(a: u128, b: u128, k: u32, imm: u8, cx: &mut Context) -> u64 {
    if imm >> (4 + k) & 1 == 0 {
        return 0;
    }
    ieee::mul::<F>(element::<F>(a, k), element::<F>(b, k), cx)
}

/// DPPS: the products are added in pairs.
struct DotSingle;

impl VectorOp for DotSingle {
    fn apply(a: u128, b: u128, imm: u8, cx: &mut Context) -> u128 {
        let [p0, p1, p2, p3] = std::array::from_fn(|k| product::<Single>(a, b, k as u32, imm, cx));
        if cx.stops() {
            return a;
        }
        let low = ieee::add::<Single>(p0, p1, cx);
        let high = ieee::add::<Single>(p2, p3, cx);
        if cx.stops() {
            return a;
        }
        let sum = ieee::add::<Single>(low, high, cx);
        build::<Single>(|k| if imm >> k & 1 != 0 { sum } else { 0 })
    }
}

/// DPPD.
struct DotDouble;

impl VectorOp for DotDouble {
    fn apply(a: u128, b: u128, imm: u8, cx: &mut Context) -> u128 {
        let [p0, p1] = std::array::from_fn(|k| product::<Double>(a, b, k as u32, imm, cx));
        if cx.stops() {
            return a;
        }
        let sum = ieee::add::<Double>(p0, p1, cx);
        build::<Double>(|k| if imm >> k & 1 != 0 { sum } else { 0 })
    }
}
