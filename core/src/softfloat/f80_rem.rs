//! FPREM and FPREM1: the exact remainder, in steps for far exponents.

use super::f80::{Class, F80, Num};
use super::f80_context::{C0, C1, C2, C3, Context};

/// Which remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotient {
    /// FPREM: the quotient is truncated.
    Truncated,
    /// FPREM1: the quotient is rounded to nearest, ties to even (IEEE 754 remainder).
    Nearest,
}

/// The remainder of `a / b`, and C3 C2 C1 C0: C2 if the reduction is partial, else the low
/// bits of the quotient; `None` if there is no quotient.
pub fn rem(ctx: &mut Context, a: Num, b: Num, kind: Quotient) -> (F80, Option<u16>) {
    if let Some(nan) = ctx.nan2(&a, &b) {
        return (nan, None);
    }
    if a.class == Class::Infinity || b.class == Class::Zero {
        return (ctx.invalid(), None);
    }
    if ctx.denormal(a.denormal | b.denormal) {
        return (F80::INDEFINITE, None);
    }
    let (result, codes) = rem_numbers(ctx, a, b, kind);
    (result, Some(codes))
}

fn rem_numbers(ctx: &mut Context, a: Num, b: Num, kind: Quotient) -> (F80, u16) {
    match (a.class, b.class) {
        (Class::Zero, _) => (F80::zero(a.sign), 0),
        (_, Class::Infinity) => (round_exact(ctx, a.sign, a.exp, u128::from(a.sig)), 0),
        _ => rem_finite(ctx, a, b, kind),
    }
}

fn rem_finite(ctx: &mut Context, a: Num, b: Num, kind: Quotient) -> (F80, u16) {
    let distance = a.exp - b.exp;
    if distance < -1 {
        return (round_exact(ctx, a.sign, a.exp, u128::from(a.sig)), 0);
    }
    if distance >= 64 {
        // One step: the distance falls by 32 to 63, to a multiple of 32.
        let left = (distance / 32 - 1) * 32;
        let (_, r) = divide(a.sig, b.sig, (distance - left) as u32);
        return (round_exact(ctx, a.sign, b.exp + left, r), C2);
    }
    // In units of the last place of the smaller exponent.
    let (exp, dividend_shift, divisor) = if distance < 0 {
        (a.exp, 0, u128::from(b.sig) << 1)
    } else {
        (b.exp, distance as u32, u128::from(b.sig))
    };
    let (mut q, mut r) =
        if distance < 0 { (0, u128::from(a.sig)) } else { divide(a.sig, b.sig, dividend_shift) };
    let mut sign = a.sign;
    if kind == Quotient::Nearest && (2 * r > divisor || (2 * r == divisor && q & 1 != 0)) {
        r = divisor - r;
        sign = !sign;
        q += 1;
    }
    let bit = |n: u32, flag: u16| if q >> n & 1 != 0 { flag } else { 0 };
    let codes = bit(0, C1) | bit(1, C3) | bit(2, C0);
    let result = if r == 0 { F80::zero(a.sign) } else { round_exact(ctx, sign, exp, r) };
    (result, codes)
}

/// Low bits of the quotient, and the remainder, of `a * 2^shift / b`; `shift` is below 64.
fn divide(a: u64, b: u64, shift: u32) -> (u64, u128) {
    let (n, b) = (u128::from(a) << shift, u128::from(b));
    ((n / b) as u64, n % b)
}

/// `r * 2^(exp - BIAS - 63)`, which the format can hold but for an unmasked underflow.
fn round_exact(ctx: &mut Context, sign: bool, exp: i32, r: u128) -> F80 {
    if r == 0 {
        return F80::zero(sign);
    }
    let shift = r.leading_zeros();
    ctx.round(sign, exp + 64 - shift as i32, r << shift)
}
