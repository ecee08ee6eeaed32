//! Rounding to an integral value.

use super::format::{Unpacked, rounds_up, shift_right_jam, unpack};
use super::{Context, Format, Rounding, mxcsr};

/// The magnitude of a value below 2^64 as an integer, and whether it was not one.
#[inline]
pub fn round_magnitude(u: &Unpacked, rounding: Rounding) -> (u64, bool) {
    if u.exponent == 63 {
        return (u.significand, false);
    }
    // One more bit than the integer is kept below it: half or not, and the rest jammed.
    let below = (61 - u.exponent) as u32;
    let fixed = if u.exponent == 62 {
        u128::from(u.significand) << 1
    } else {
        shift_right_jam(u.significand, below).into()
    };
    let (kept, dropped) = ((fixed >> 2) as u64, fixed as u64 & 3);
    let up = rounds_up(rounding, u.negative, kept & 1 != 0, dropped, 2);
    (kept + u64::from(up), dropped != 0)
}

/// ROUNDPS: the integral value in the same format. PE is raised if it differs and
/// `raise_inexact`.
#[inline]
pub fn round_to_integral<F: Format>(
    v: u64,
    rounding: Rounding,
    raise_inexact: bool,
    cx: &mut Context,
) -> u64 {
    let v = cx.daz::<F>(v);
    if F::is_nan(v) {
        return cx.propagate::<F>(v, v);
    }
    let sign = v & F::SIGN;
    if F::is_zero(v) || F::exponent(v) as i32 - F::BIAS >= F::FRACTION_BITS as i32 {
        return v;
    }
    let (magnitude, inexact) = round_magnitude(&unpack::<F>(v), rounding);
    if inexact && raise_inexact {
        cx.raise(mxcsr::PE);
    }
    if magnitude == 0 {
        return sign;
    }
    // An integer of at most PRECISION bits: representable.
    let shift = magnitude.leading_zeros();
    let exponent = (63 - shift as i32 + F::BIAS - 1) as u64;
    let significand = magnitude << shift >> (u64::BITS - F::PRECISION);
    sign | ((exponent << F::FRACTION_BITS) + significand)
}
