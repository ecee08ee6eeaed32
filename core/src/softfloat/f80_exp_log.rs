//! F2XM1 FYL2X FYL2XP1.

use super::f80::{BIAS, Class, F80, Num};
use super::f80_constants::{LN_2, TWO_OVER_LN_2};
use super::f80_context::{Context, PE, UE, ZE};
use super::f80_wide::{FIXED_ONE, Wide, mul_high};
use std::cmp::Ordering;

/// Terms that bring the exponential series below 2^-128 for arguments up to ln 2.
const EXP_TERMS: u128 = 33;
/// Terms that bring the logarithm's series below 2^-128 for m from √½ to √2.
const LOG_TERMS: u128 = 27;
/// √2 with 63 bits of fraction.
const SQRT_2: u64 = 0xB504_F333_F9DE_6484;

/// 2^x - 1. Beyond [-1, 1] the hardware's answer is the operand.
pub fn exp2_minus_1(ctx: &mut Context, x: Num) -> F80 {
    if let Some(nan) = ctx.nan1(&x) {
        return nan;
    }
    if ctx.denormal(x.denormal) {
        return F80::INDEFINITE;
    }
    match x.class {
        Class::Zero => F80::zero(x.sign),
        Class::Infinity if x.sign => F80::ONE.with_sign(true),
        Class::Infinity => F80::infinity(false),
        _ if x.exp >= BIAS => {
            ctx.raise(PE);
            if x.sig == 1 << 63 && x.exp == BIAS && x.sign {
                return F80::new(true, BIAS as u16 - 1, 1 << 63);
            }
            x.pack_exact()
        }
        _ => exp2_minus_1_series(&x).round(ctx),
    }
}

/// r (1 + r/2 (1 + r/3 (...))), r = x ln 2.
fn exp2_minus_1_series(x: &Num) -> Wide {
    let r = Wide::from_num(x).mul(LN_2);
    let magnitude = r.fraction();
    let sum = (2..EXP_TERMS + 2).rev().fold(FIXED_ONE, |t, k| {
        let term = mul_high(magnitude, t) / k;
        if x.sign { FIXED_ONE - term } else { FIXED_ONE + term }
    });
    r.mul(Wide::from_fixed(sum))
}

/// y log2 x.
pub fn y_log2_x(ctx: &mut Context, y: Num, x: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&y, &x) {
        return nan;
    }
    let to_one = if x.class == Class::Finite { compare_with_one(&x) } else { Ordering::Less };
    let log_is_zero = to_one == Ordering::Equal;
    let log_is_infinite = matches!(x.class, Class::Zero | Class::Infinity);
    let invalid = (x.sign && x.class != Class::Zero)
        || (log_is_infinite && y.class == Class::Zero)
        || (log_is_zero && y.class == Class::Infinity);
    if invalid {
        return ctx.invalid();
    }
    let log_negative = x.class != Class::Infinity && to_one == Ordering::Less;
    let sign = y.sign != log_negative;
    if x.class == Class::Zero && y.class == Class::Finite {
        // ZE wins over DE.
        ctx.raise(ZE);
        return F80::infinity(sign);
    }
    if ctx.denormal(y.denormal | x.denormal) {
        return F80::INDEFINITE;
    }
    if log_is_infinite || y.class == Class::Infinity {
        return F80::infinity(sign);
    }
    if log_is_zero || y.class == Class::Zero {
        return F80::zero(sign);
    }
    times_log(ctx, &y, log2(&x))
}

/// y times a logarithm, rounded. The hardware takes exact results for inexact: PE, and UE of a
/// denormal one.
fn times_log(ctx: &mut Context, y: &Num, log: Log2) -> F80 {
    match log {
        Log2::Irrational(l) => l.mul(Wide::from_num(y)).round(ctx),
        Log2::Integer(k) => {
            let product = Wide::from_num(y).mul(Wide::from_integer(k < 0, k.unsigned_abs().into(), 0));
            let result = product.round_exact(ctx);
            ctx.raise(if result.exponent() == 0 { PE | UE } else { PE });
            result
        }
    }
}

/// A logarithm.
enum Log2 {
    /// Of a power of two.
    Integer(i32),
    Irrational(Wide),
}

/// A positive finite number.
fn compare_with_one(x: &Num) -> Ordering {
    (x.exp, x.sig).cmp(&(BIAS, 1 << 63))
}

/// log2 of a positive finite number that is not 1.
fn log2(x: &Num) -> Log2 {
    log2_wide(Wide::from_num(x))
}

fn log2_wide(x: Wide) -> Log2 {
    let (mut exponent, mut m) = (x.exp, Wide { exp: 0, ..x });
    if x.sig == 1 << 127 {
        return Log2::Integer(exponent);
    }
    if x.sig >> 64 > u128::from(SQRT_2) {
        exponent += 1;
        m.exp = -1;
    }
    let fraction = log2_ratio(m.add(Wide::ONE.negate()), m.add(Wide::ONE));
    let integer = Wide::from_integer(exponent < 0, exponent.unsigned_abs().into(), 0);
    Log2::Irrational(integer.add(fraction))
}

/// log2((1 + f) / (1 - f)) for f = numerator / denominator: 2/ln2 f (1 + f²/3 + f⁴/5 + ...).
fn log2_ratio(numerator: Wide, denominator: Wide) -> Wide {
    let f = numerator.div(denominator);
    let z = f.mul(f).fraction();
    let sum = (0..LOG_TERMS).rev().fold(0, |s, k| FIXED_ONE / (2 * k + 1) + mul_high(z, s));
    f.mul(Wide::from_fixed(sum)).mul(TWO_OVER_LN_2)
}

/// y log2(1 + x).
pub fn y_log2_1_plus_x(ctx: &mut Context, y: Num, x: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&y, &x) {
        return nan;
    }
    let zero_times_infinity = (x.class == Class::Zero && y.class == Class::Infinity)
        || (x.class == Class::Infinity && y.class == Class::Zero);
    if zero_times_infinity || (x.class == Class::Infinity && x.sign) {
        return ctx.invalid();
    }
    if ctx.denormal(y.denormal | x.denormal) {
        return F80::INDEFINITE;
    }
    let sign = y.sign != x.sign;
    if x.class == Class::Infinity || y.class == Class::Infinity {
        return F80::infinity(sign);
    }
    if x.class == Class::Zero || y.class == Class::Zero {
        return F80::zero(sign);
    }
    if x.sign && compare_with_one(&x) != Ordering::Less {
        ctx.raise(PE);
        return x.pack_exact();
    }
    times_log(ctx, &y, log2_1_plus(&x))
}

/// log2(1 + x) for x above -1 that is not 0.
fn log2_1_plus(x: &Num) -> Log2 {
    let w = Wide::from_num(x);
    if x.exp < BIAS - 2 {
        // f = x / (2 + x)
        return Log2::Irrational(log2_ratio(w, Wide::new(false, 1, 1 << 127).add(w)));
    }
    log2_wide(Wide::ONE.add(w))
}
