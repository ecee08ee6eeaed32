//! Conversion between the formats, and from and to integers.

use super::format::{Unpacked, round_pack, unpack};
use super::round::round_magnitude;
use super::{Context, Double, Format, Single, mxcsr};

/// Single to double: exact.
#[inline]
pub fn widen(v: u64, cx: &mut Context) -> u64 {
    let v = cx.daz::<Single>(v);
    let sign = (v & Single::SIGN) << 32;
    if Single::is_nan(v) {
        let quiet = cx.propagate::<Single>(v, v);
        return sign | Double::INFINITY | (quiet & Single::FRACTION) << 29;
    }
    cx.note_denormal::<Single>(v);
    if Single::is_infinite(v) {
        return sign | Double::INFINITY;
    }
    if Single::is_zero(v) {
        return sign;
    }
    round_pack::<Double>(unpack::<Single>(v), cx)
}

/// Double to single.
#[inline]
pub fn narrow(v: u64, cx: &mut Context) -> u64 {
    let v = cx.daz::<Double>(v);
    let sign = v >> 32 & Single::SIGN;
    if Double::is_nan(v) {
        let quiet = cx.propagate::<Double>(v, v);
        return sign | Single::INFINITY | quiet >> 29 & Single::FRACTION;
    }
    cx.note_denormal::<Double>(v);
    if Double::is_infinite(v) {
        return sign | Single::INFINITY;
    }
    if Double::is_zero(v) {
        return sign;
    }
    round_pack::<Single>(unpack::<Double>(v), cx)
}

/// From a signed quadword.
#[inline]
pub fn from_i64<F: Format>(v: i64, cx: &mut Context) -> u64 {
    if v == 0 {
        return 0;
    }
    let magnitude = v.unsigned_abs();
    let shift = magnitude.leading_zeros();
    let u = Unpacked { negative: v < 0, exponent: 63 - shift as i32, significand: magnitude << shift };
    round_pack::<F>(u, cx)
}

/// From a signed doubleword.
#[inline]
pub fn from_i32<F: Format>(v: i32, cx: &mut Context) -> u64 {
    from_i64::<F>(v.into(), cx)
}

/// To a signed quadword; what does not fit raises IE and gives the integer indefinite.
#[inline]
pub fn to_i64<F: Format>(v: u64, cx: &mut Context) -> i64 {
    to_integer::<F>(v, 1 << 63, cx).unwrap_or(i64::MIN)
}

/// To a signed doubleword; what does not fit raises IE and gives the integer indefinite.
#[inline]
pub fn to_i32<F: Format>(v: u64, cx: &mut Context) -> i32 {
    to_integer::<F>(v, 1 << 31, cx).map_or(i32::MIN, |v| v as i32)
}

/// The rounded integer if its magnitude is below `limit` (or it is `-limit`).
fn to_integer<F: Format>(v: u64, limit: u64, cx: &mut Context) -> Option<i64> {
    let v = cx.daz::<F>(v);
    if F::is_zero(v) {
        return Some(0);
    }
    let u = unpack::<F>(v);
    if F::exponent(v) == F::EXPONENT_MAX || u.exponent >= 64 {
        cx.raise(mxcsr::IE);
        return None;
    }
    let (magnitude, inexact) = round_magnitude(&u, cx.rounding());
    if magnitude > limit || (magnitude == limit && !u.negative) {
        cx.raise(mxcsr::IE);
        return None;
    }
    if inexact {
        cx.raise(mxcsr::PE);
    }
    let integer = magnitude as i64;
    Some(if u.negative { integer.wrapping_neg() } else { integer })
}
