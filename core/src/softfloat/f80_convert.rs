//! 80-bit numbers to singles, doubles and integers, and rounding to an integral value.

use super::f80::{BIAS, Class, F80, Num};
use super::f80_context::{C1, Context, IE, OE, PE, Rounding, UE, shift_right_sticky};

/// An IEEE interchange format.
struct Format {
    width: u32,
    bias: i32,
    exp_max: i32,
}

const SINGLE: Format = Format { width: 24, bias: 127, exp_max: 0xFF };
const DOUBLE: Format = Format { width: 53, bias: 1023, exp_max: 0x7FF };

impl Format {
    fn pack(&self, sign: bool, exp: i32, fraction: u64) -> u64 {
        let fraction_bits = self.width - 1;
        let exponent_bits = self.exp_max.trailing_ones();
        u64::from(sign) << (fraction_bits + exponent_bits)
            | (exp as u64) << fraction_bits
            | (fraction & ((1 << fraction_bits) - 1))
    }
}

/// To a single; `None` if an unmasked overflow or underflow forbids the store.
pub fn to_f32(ctx: &mut Context, a: Num) -> Option<u32> {
    to_format(ctx, a, &SINGLE).map(|v| v as u32)
}

/// To a double; `None` if an unmasked overflow or underflow forbids the store.
pub fn to_f64(ctx: &mut Context, a: Num) -> Option<u64> {
    to_format(ctx, a, &DOUBLE)
}

fn to_format(ctx: &mut Context, a: Num, f: &Format) -> Option<u64> {
    if let Some(nan) = ctx.nan1(&a) {
        return Some(f.pack(nan.sign(), f.exp_max, nan.significand >> (64 - f.width)));
    }
    match a.class {
        Class::Zero => Some(f.pack(a.sign, 0, 0)),
        Class::Infinity => Some(f.pack(a.sign, f.exp_max, 0)),
        _ => round_to_format(ctx, a, f),
    }
}

fn round_to_format(ctx: &mut Context, a: Num, f: &Format) -> Option<u64> {
    let exp = a.exp - BIAS + f.bias;
    let (sig, up, inexact) = cut(ctx, a.sign, u128::from(a.sig) << 64, f.width);
    let carry = sig >> f.width != 0;
    let rounded_exp = exp + i32::from(carry);
    if exp > 0 && rounded_exp < f.exp_max {
        note(ctx, up, inexact);
        return Some(f.pack(a.sign, rounded_exp, sig));
    }
    if exp > 0 {
        return overflow_format(ctx, a.sign, f);
    }
    let tiny = exp < 0 || !carry;
    if tiny && ctx.unmasked(UE) {
        ctx.raise(UE);
        return None;
    }
    let shifted = shift_right_sticky(u128::from(a.sig) << 64, (1 - exp) as u32);
    let (sig, up, inexact) = cut(ctx, a.sign, shifted, f.width);
    note(ctx, up, inexact);
    if tiny && inexact {
        ctx.raise(UE);
    }
    Some(f.pack(a.sign, (sig >> (f.width - 1)) as i32, sig))
}

fn overflow_format(ctx: &mut Context, sign: bool, f: &Format) -> Option<u64> {
    ctx.raise(OE);
    if ctx.unmasked(OE) {
        return None;
    }
    ctx.raise(PE);
    if ctx.overflows_to_infinity(sign) {
        ctx.raise(C1);
        return Some(f.pack(sign, f.exp_max, 0));
    }
    Some(f.pack(sign, f.exp_max - 1, u64::MAX))
}

/// The top `width` bits rounded, whether that went up, whether it was inexact.
fn cut(ctx: &Context, sign: bool, sig: u128, width: u32) -> (u64, bool, bool) {
    let kept = (sig >> (128 - width)) as u64;
    let guard = sig >> (127 - width) & 1 != 0;
    let sticky = sig << (width + 1) != 0;
    let up = ctx.rounds_up(sign, kept & 1 != 0, guard, sticky);
    (kept + u64::from(up), up, guard || sticky)
}

fn note(ctx: &mut Context, up: bool, inexact: bool) {
    ctx.raise(if inexact { PE } else { 0 } | if up { C1 } else { 0 });
}

/// The magnitude of a finite number rounded to an integer; `None` from 2^64 on.
fn integer_magnitude(ctx: &Context, a: &Num) -> Option<(u64, bool, bool)> {
    let e = a.exp - BIAS;
    if e >= 64 {
        return None;
    }
    if e == 63 {
        return Some((a.sig, false, false));
    }
    // The binary point below bit 64 of a u128.
    let fixed = shift_right_sticky(u128::from(a.sig) << 64, (63 - e) as u32);
    let kept = (fixed >> 64) as u64;
    let (guard, sticky) = (fixed >> 63 & 1 != 0, fixed << 65 != 0);
    let up = ctx.rounds_up(a.sign, kept & 1 != 0, guard, sticky);
    Some((kept + u64::from(up), up, guard || sticky))
}

/// To a signed integer of `bits` bits; the "integer indefinite" (the most negative one) and IE
/// for what does not fit.
pub fn to_int(ctx: &mut Context, a: Num, bits: u32) -> i64 {
    let limit = 1u64 << (bits - 1);
    match a.class {
        Class::Zero => 0,
        Class::Finite => match integer_magnitude(ctx, &a) {
            Some((m, up, inexact)) if m < limit || (m == limit && a.sign) => {
                note(ctx, up, inexact);
                if a.sign { (m as i64).wrapping_neg() } else { m as i64 }
            }
            _ => integer_indefinite(ctx, limit),
        },
        _ => integer_indefinite(ctx, limit),
    }
}

fn integer_indefinite(ctx: &mut Context, limit: u64) -> i64 {
    ctx.raise(IE);
    (limit as i64).wrapping_neg()
}

/// To a signed integer toward zero (FISTTP).
pub fn to_int_truncated(ctx: &mut Context, a: Num, bits: u32) -> i64 {
    let rounding = std::mem::replace(&mut ctx.rounding, Rounding::Zero);
    let v = to_int(ctx, a, bits);
    ctx.rounding = rounding;
    v
}

/// The nearest 18-digit integer for FBSTP: sign and magnitude; `None` and IE if there is none.
pub fn to_bcd_integer(ctx: &mut Context, a: Num) -> Option<u64> {
    let magnitude = match a.class {
        Class::Zero => Some((0, false, false)),
        Class::Finite => integer_magnitude(ctx, &a),
        _ => None,
    };
    match magnitude {
        Some((m, up, inexact)) if m < 1_000_000_000_000_000_000 => {
            note(ctx, up, inexact);
            Some(m)
        }
        _ => {
            ctx.raise(IE);
            None
        }
    }
}

/// FRNDINT.
pub fn round_int(ctx: &mut Context, a: Num) -> F80 {
    if let Some(nan) = ctx.nan1(&a) {
        return nan;
    }
    if ctx.denormal(a.denormal) {
        return F80::INDEFINITE;
    }
    if a.class != Class::Finite {
        return a.pack_exact();
    }
    match integer_magnitude(ctx, &a) {
        None => a.pack_exact(),
        Some((m, up, inexact)) => {
            note(ctx, up, inexact);
            if m == 0 { F80::zero(a.sign) } else { Num::finite(a.sign, BIAS + 63, m).pack_exact() }
        }
    }
}
