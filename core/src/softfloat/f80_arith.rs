//! Addition, subtraction, multiplication, division and square root of 80-bit numbers.

use super::f80::{BIAS, Class, F80, Num};
use super::f80_context::{Context, Rounding, ZE, shift_right_sticky};

/// `a + b`.
pub fn add(ctx: &mut Context, a: Num, b: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&a, &b) {
        return nan;
    }
    add_signed(ctx, a, b)
}

/// `a - b`. A NaN is propagated as it is, not negated.
pub fn sub(ctx: &mut Context, a: Num, b: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&a, &b) {
        return nan;
    }
    add_signed(ctx, a, Num { sign: !b.sign, ..b })
}

fn add_signed(ctx: &mut Context, a: Num, b: Num) -> F80 {
    if a.class == Class::Infinity && b.class == Class::Infinity && a.sign != b.sign {
        return ctx.invalid();
    }
    if ctx.denormal(a.denormal | b.denormal) {
        return F80::INDEFINITE;
    }
    match (a.class, b.class) {
        (Class::Infinity, _) => F80::infinity(a.sign),
        (_, Class::Infinity) => F80::infinity(b.sign),
        (Class::Zero, Class::Zero) => F80::zero(sum_of_zeros(ctx, a.sign, b.sign)),
        (Class::Zero, _) => ctx.round(b.sign, b.exp, u128::from(b.sig) << 64),
        (_, Class::Zero) => ctx.round(a.sign, a.exp, u128::from(a.sig) << 64),
        _ => add_finite(ctx, a, b),
    }
}

/// The sign of a zero that is the sum of a positive and a negative number.
fn exact_zero_sign(ctx: &Context) -> bool {
    ctx.rounding == Rounding::Down
}

fn sum_of_zeros(ctx: &Context, a: bool, b: bool) -> bool {
    if a == b { a } else { exact_zero_sign(ctx) }
}

fn add_finite(ctx: &mut Context, a: Num, b: Num) -> F80 {
    let (big, small) = if (a.exp, a.sig) >= (b.exp, b.sig) { (a, b) } else { (b, a) };
    // One bit of headroom for the carry.
    let x = u128::from(big.sig) << 63;
    let y = shift_right_sticky(u128::from(small.sig) << 63, (big.exp - small.exp) as u32);
    let sum = if a.sign == b.sign { x + y } else { x - y };
    if sum == 0 {
        return F80::zero(exact_zero_sign(ctx));
    }
    let shift = sum.leading_zeros();
    ctx.round(big.sign, big.exp + 1 - shift as i32, sum << shift)
}

/// `a * b`.
pub fn mul(ctx: &mut Context, a: Num, b: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&a, &b) {
        return nan;
    }
    if matches!((a.class, b.class), (Class::Zero, Class::Infinity) | (Class::Infinity, Class::Zero)) {
        return ctx.invalid();
    }
    if ctx.denormal(a.denormal | b.denormal) {
        return F80::INDEFINITE;
    }
    let sign = a.sign != b.sign;
    if a.class == Class::Infinity || b.class == Class::Infinity {
        return F80::infinity(sign);
    }
    if a.class == Class::Zero || b.class == Class::Zero {
        return F80::zero(sign);
    }
    let product = u128::from(a.sig) * u128::from(b.sig);
    let shift = product.leading_zeros();
    ctx.round(sign, a.exp + b.exp - BIAS + 1 - shift as i32, product << shift)
}

/// `a / b`.
pub fn div(ctx: &mut Context, a: Num, b: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&a, &b) {
        return nan;
    }
    if a.class == b.class && matches!(a.class, Class::Zero | Class::Infinity) {
        return ctx.invalid();
    }
    let sign = a.sign != b.sign;
    if a.class == Class::Finite && b.class == Class::Zero {
        // ZE wins over DE.
        ctx.raise(ZE);
        return F80::infinity(sign);
    }
    if ctx.denormal(a.denormal | b.denormal) {
        return F80::INDEFINITE;
    }
    match (a.class, b.class) {
        (Class::Infinity, _) => F80::infinity(sign),
        (_, Class::Infinity) | (Class::Zero, _) => F80::zero(sign),
        _ => div_finite(ctx, sign, a, b),
    }
}

fn div_finite(ctx: &mut Context, sign: bool, a: Num, b: Num) -> F80 {
    let divisor = u128::from(b.sig);
    // The quotient of the significands is in (1/2, 2): 63 or 64 bits, then 32 more.
    let dividend = u128::from(a.sig) << 63;
    let (high, rest) = (dividend / divisor, dividend % divisor);
    let (low, rest) = ((rest << 32) / divisor, (rest << 32) % divisor);
    let quotient = (high << 32 | low) << 32 | u128::from(rest != 0);
    let shift = quotient.leading_zeros();
    ctx.round(sign, a.exp - b.exp + BIAS - shift as i32, quotient << shift)
}

/// The square root.
pub fn sqrt(ctx: &mut Context, a: Num) -> F80 {
    if let Some(nan) = ctx.nan1(&a) {
        return nan;
    }
    if a.sign && a.class != Class::Zero {
        return ctx.invalid();
    }
    if ctx.denormal(a.denormal) {
        return F80::INDEFINITE;
    }
    match a.class {
        Class::Zero => F80::zero(a.sign),
        Class::Infinity => F80::infinity(false),
        _ => sqrt_finite(ctx, a),
    }
}

fn sqrt_finite(ctx: &mut Context, a: Num) -> F80 {
    let e = a.exp - BIAS;
    let odd = e & 1;
    // sig * 2^63 or 2^64: the root then has 64 bits, the top one set.
    let n = u128::from(a.sig) << (63 + odd);
    let root = n.isqrt();
    let rest = n - root * root;
    // (root + 1/2)^2 = root^2 + root + 1/4
    let guard = u128::from(rest > root);
    let sig = root << 64 | guard << 63 | u128::from(rest != 0);
    ctx.round(false, ((e - odd) >> 1) + BIAS, sig)
}
