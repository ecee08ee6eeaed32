//! RCPPS and RSQRTPS. Processors differ here, so the machine has a result of its own: the true
//! value rounded to 12 fraction bits, ties away from zero. Its relative error is at most 2^-13; the
//! SDM promises 1.5 * 2^-12. True values up to the smallest normal number give zeros.
//! MXCSR neither changes anything nor learns of it.

use super::format::unpack;
use super::{Format, Single};

/// Fraction bits of a result.
const BITS: u32 = 12;

/// The encoding of `doubled / 2^(BITS + 1) * 2^exponent`, rounded to BITS fraction bits.
fn pack(sign: u64, exponent: i32, doubled: u64) -> u64 {
    let biased = exponent + Single::BIAS;
    if biased <= 0 {
        return sign;
    }
    // The significand's top bit, and a carry of the rounding, go into the exponent.
    let significand = doubled.div_ceil(2) << (Single::FRACTION_BITS - BITS);
    sign | (((biased - 1) as u64) << Single::FRACTION_BITS) + significand
}

/// RCPPS: denormals are zeros, tiny results are zeros.
pub fn reciprocal(v: u64) -> u64 {
    let sign = v & Single::SIGN;
    if Single::is_nan(v) {
        return v | Single::QUIET;
    }
    if Single::exponent(v) == 0 {
        return sign | Single::INFINITY;
    }
    if Single::is_infinite(v) {
        return sign;
    }
    let u = unpack::<Single>(v);
    // 1 / 1.f is 1, or in [1/2, 1): then one bit more is computed.
    if u.significand == 1 << 63 {
        if u.exponent == Single::BIAS - 1 {
            return sign;
        }
        return pack(sign, -u.exponent, 2 << BITS);
    }
    let quotient = (1u128 << (63 + 2 + BITS)) / u128::from(u.significand);
    pack(sign, -u.exponent - 1, quotient as u64)
}

/// RSQRTPS: denormals are zeros; negative numbers give the default NaN.
pub fn reciprocal_sqrt(v: u64) -> u64 {
    let sign = v & Single::SIGN;
    if Single::is_nan(v) {
        return v | Single::QUIET;
    }
    if Single::exponent(v) == 0 {
        return sign | Single::INFINITY;
    }
    if sign != 0 {
        return Single::DEFAULT_NAN;
    }
    if Single::is_infinite(v) {
        return 0;
    }
    let u = unpack::<Single>(v);
    // v = m * 4^half with m in [1, 4): 1 / sqrt(m) is 1, or in (1/2, 1).
    let half = u.exponent >> 1;
    let m = u128::from(u.significand) << (u.exponent & 1);
    if m == 1 << 63 {
        return pack(0, -half, 2 << BITS);
    }
    let root = ((1u128 << (63 + 2 * (BITS + 2))) / m).isqrt();
    pack(0, -half - 1, root as u64)
}
