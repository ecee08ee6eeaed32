//! Addition, subtraction, multiplication, division, square root.

use super::format::{Unpacked, round_pack, unpack};
use super::{Context, Format, Rounding, fast, mxcsr};

/// `a + b`.
#[inline(always)]
pub fn add<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    fast::add::<F>(a, b, cx).unwrap_or_else(|| soft_add::<F>(a, b, false, cx))
}

/// `a - b`.
#[inline(always)]
pub fn sub<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    fast::add::<F>(a, b ^ F::SIGN, cx).unwrap_or_else(|| soft_add::<F>(a, b, true, cx))
}

/// `a * b`.
#[inline(always)]
pub fn mul<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    fast::mul::<F>(a, b, cx).unwrap_or_else(|| soft_mul::<F>(a, b, cx))
}

/// `a / b`.
#[inline(always)]
pub fn div<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    fast::div::<F>(a, b, cx).unwrap_or_else(|| soft_div::<F>(a, b, cx))
}

/// The square root of `a`.
#[inline(always)]
pub fn sqrt<F: Format>(a: u64, cx: &mut Context) -> u64 {
    fast::sqrt::<F>(a, cx).unwrap_or_else(|| soft_sqrt::<F>(a, cx))
}

/// Normalizes a 128-bit significand, of which the top bit stands for 2^(exponent + 1).
fn normalize(negative: bool, exponent: i32, wide: u128) -> Unpacked {
    let shift = wide.leading_zeros();
    let wide = wide << shift;
    let significand = (wide >> 64) as u64 | u64::from(wide as u64 != 0);
    Unpacked { negative, exponent: exponent + 1 - shift as i32, significand }
}

fn soft_add<F: Format>(a: u64, b: u64, subtract: bool, cx: &mut Context) -> u64 {
    let (a, b) = (cx.daz::<F>(a), cx.daz::<F>(b));
    if F::is_nan(a) || F::is_nan(b) {
        return cx.propagate::<F>(a, b);
    }
    let signed_b = if subtract { b ^ F::SIGN } else { b };
    if F::is_infinite(a) && F::is_infinite(b) && a != signed_b {
        return cx.invalid::<F>();
    }
    cx.note_denormal::<F>(a);
    cx.note_denormal::<F>(b);
    if F::is_infinite(a) {
        return a;
    }
    if F::is_infinite(b) {
        return signed_b;
    }
    match (F::is_zero(a), F::is_zero(b)) {
        (true, true) if a == signed_b => a,
        (true, true) => exact_zero::<F>(cx),
        // Rounded all the same: a denormal may have to be flushed.
        (true, false) => round_pack::<F>(unpack::<F>(signed_b), cx),
        (false, true) => round_pack::<F>(unpack::<F>(a), cx),
        (false, false) => add_finite::<F>(unpack::<F>(a), unpack::<F>(signed_b), cx),
    }
}

/// The sign of a difference that is exactly zero.
fn exact_zero<F: Format>(cx: &Context) -> u64 {
    if cx.rounding() == Rounding::Down { F::SIGN } else { 0 }
}

fn add_finite<F: Format>(a: Unpacked, b: Unpacked, cx: &mut Context) -> u64 {
    let b_is_larger = (b.exponent, b.significand) > (a.exponent, a.significand);
    let (large, small) = if b_is_larger { (b, a) } else { (a, b) };
    let distance = (large.exponent - small.exponent) as u32;
    let wide_large = u128::from(large.significand) << 63;
    let wide_small = u128::from(small.significand) << 63;
    let aligned = match distance {
        0 => wide_small,
        1..=127 => wide_small >> distance | u128::from(wide_small << (128 - distance) != 0),
        _ => 1,
    };
    let wide = if large.negative == small.negative { wide_large + aligned } else { wide_large - aligned };
    if wide == 0 {
        return exact_zero::<F>(cx);
    }
    round_pack::<F>(normalize(large.negative, large.exponent, wide), cx)
}

fn soft_mul<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    let (a, b) = (cx.daz::<F>(a), cx.daz::<F>(b));
    if F::is_nan(a) || F::is_nan(b) {
        return cx.propagate::<F>(a, b);
    }
    let sign = (a ^ b) & F::SIGN;
    let infinite = F::is_infinite(a) || F::is_infinite(b);
    let zero = F::is_zero(a) || F::is_zero(b);
    if infinite && zero {
        return cx.invalid::<F>();
    }
    cx.note_denormal::<F>(a);
    cx.note_denormal::<F>(b);
    if infinite {
        return sign | F::INFINITY;
    }
    if zero {
        return sign;
    }
    let (ua, ub) = (unpack::<F>(a), unpack::<F>(b));
    let wide = u128::from(ua.significand) * u128::from(ub.significand);
    round_pack::<F>(normalize(sign != 0, ua.exponent + ub.exponent, wide), cx)
}

fn soft_div<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    let (a, b) = (cx.daz::<F>(a), cx.daz::<F>(b));
    if F::is_nan(a) || F::is_nan(b) {
        return cx.propagate::<F>(a, b);
    }
    let sign = (a ^ b) & F::SIGN;
    if (F::is_infinite(a) && F::is_infinite(b)) || (F::is_zero(a) && F::is_zero(b)) {
        return cx.invalid::<F>();
    }
    if F::is_zero(b) && !F::is_infinite(a) {
        cx.raise(mxcsr::ZE);
        return sign | F::INFINITY;
    }
    cx.note_denormal::<F>(a);
    cx.note_denormal::<F>(b);
    if F::is_infinite(a) {
        return sign | F::INFINITY;
    }
    if F::is_zero(a) || F::is_infinite(b) {
        return sign;
    }
    let (ua, ub) = (unpack::<F>(a), unpack::<F>(b));
    let dividend = u128::from(ua.significand) << 63;
    let divisor = u128::from(ub.significand);
    // The quotient has 63 or 64 bits; its bit 63 stands for 2^(difference of exponents).
    let wide = (dividend / divisor) << 63 | u128::from(dividend % divisor != 0);
    round_pack::<F>(normalize(sign != 0, ua.exponent - ub.exponent, wide), cx)
}

fn soft_sqrt<F: Format>(a: u64, cx: &mut Context) -> u64 {
    let a = cx.daz::<F>(a);
    if F::is_nan(a) {
        return cx.propagate::<F>(a, a);
    }
    if F::is_zero(a) {
        return a;
    }
    if a & F::SIGN != 0 {
        return cx.invalid::<F>();
    }
    cx.note_denormal::<F>(a);
    if F::is_infinite(a) {
        return a;
    }
    let u = unpack::<F>(a);
    // A radicand with an even exponent, its root's top bit at bit 63.
    let radicand = u128::from(u.significand) << (63 + (u.exponent & 1));
    let root = radicand.isqrt();
    let significand = root as u64 | u64::from(root * root != radicand);
    round_pack::<F>(Unpacked { negative: false, exponent: u.exponent >> 1, significand }, cx)
}
