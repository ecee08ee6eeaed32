//! FSCALE and FXTRACT: exponents as numbers.

use super::f80::{BIAS, Class, F80, INTEGER_BIT, Num};
use super::f80_context::{Context, ZE};

/// `a * 2^trunc(b)`.
pub fn scale(ctx: &mut Context, a: Num, b: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&a, &b) {
        return nan;
    }
    let infinite = b.class == Class::Infinity;
    let refused = if b.sign { Class::Infinity } else { Class::Zero };
    if infinite && a.class == refused {
        // Infinity times zero.
        return ctx.invalid();
    }
    if ctx.denormal(a.denormal | b.denormal) {
        return F80::INDEFINITE;
    }
    match a.class {
        Class::Finite if infinite && b.sign => F80::zero(a.sign),
        Class::Finite if infinite => F80::infinity(a.sign),
        Class::Finite => ctx.round(a.sign, a.exp + exponent_step(&b), u128::from(a.sig) << 64),
        _ => a.pack_exact(),
    }
}

/// `trunc(b)`, held to what is beyond every exponent.
fn exponent_step(b: &Num) -> i32 {
    let e = b.exp - BIAS;
    let magnitude = match b.class {
        Class::Finite if e >= 17 => 1 << 17,
        Class::Finite if e >= 0 => (b.sig >> (63 - e)) as i32,
        _ => 0,
    };
    if b.sign { -magnitude } else { magnitude }
}

/// The significand in [1, 2) and the exponent, in this order.
pub fn extract(ctx: &mut Context, a: Num) -> (F80, F80) {
    if let Some(nan) = ctx.nan1(&a) {
        return (nan, nan);
    }
    if ctx.denormal(a.denormal) {
        return (F80::INDEFINITE, F80::INDEFINITE);
    }
    match a.class {
        Class::Zero => {
            ctx.raise(ZE);
            (F80::zero(a.sign), F80::infinity(true))
        }
        Class::Infinity => (F80::infinity(a.sign), F80::infinity(false)),
        _ => {
            debug_assert!(a.sig & INTEGER_BIT != 0);
            (F80::new(a.sign, BIAS as u16, a.sig), Num::from_i64(i64::from(a.exp - BIAS)).pack_exact())
        }
    }
}
