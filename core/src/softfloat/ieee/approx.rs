//! RCPPS and RSQRTPS. Processors differ here, so the machine has a result of its own: the true
//! value truncated to 12 fraction bits. Its relative error is below 2^-12; the SDM promises
//! 1.5 * 2^-12. MXCSR neither changes it nor learns of it.

use super::format::unpack;
use super::{Format, Single};

/// Fraction bits of a result.
const BITS: u32 = 12;

/// The encoding of `significand / 2^BITS * 2^exponent`, with a significand of BITS + 1 bits.
fn pack(sign: u64, exponent: i32, significand: u64) -> u64 {
    let biased = exponent + Single::BIAS;
    if biased <= 0 {
        return sign;
    }
    let fraction = significand << (Single::FRACTION_BITS - BITS) & Single::FRACTION;
    sign | (biased as u64) << Single::FRACTION_BITS | fraction
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
        return pack(sign, -u.exponent, 1 << BITS);
    }
    let quotient = (1u128 << (63 + 1 + BITS)) / u128::from(u.significand);
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
        return pack(0, -half, 1 << BITS);
    }
    let root = ((1u128 << (63 + 2 * (BITS + 1))) / m).isqrt();
    pack(0, -half - 1, root as u64)
}
