//! FSIN FCOS FSINCOS FPTAN FPATAN. Arguments are reduced with π cut to 66 bits, as the
//! hardware does it; docs/x87.md has the definition.

use super::f80::{BIAS, Class, F80, Num};
use super::f80_constants::{ATAN_EIGHTHS, HALF_PI, PI, QUARTER_PI, THREE_QUARTERS_PI};
use super::f80_context::Context;
use super::f80_wide::{FIXED_ONE, Wide, mul_high};

/// π/2 in units of 2^-65.
const HALF_PI_66: u128 = 0x3_243F_6A88_85A3_08D3;
/// Terms that bring the series of sine and cosine below 2^-128 for arguments up to π/4.
const SINE_TERMS: u128 = 17;
/// Terms that bring the series of the arctangent below 2^-128 for arguments up to 1/16.
const ARCTANGENT_TERMS: u128 = 17;
/// Below 2^this, tan r is r but for the sticky bit.
const TINY: i32 = -60;

/// What the operand alone decides, before any evaluation.
enum Start {
    Done(F80),
    OutOfRange,
    /// A zero; results are exact.
    Zero,
    Reduced {
        r: Wide,
        quadrant: u128,
    },
}

fn start(ctx: &mut Context, a: &Num) -> Start {
    if let Some(nan) = ctx.nan1(a) {
        return Start::Done(nan);
    }
    if a.class == Class::Infinity {
        return Start::Done(ctx.invalid());
    }
    if ctx.denormal(a.denormal) {
        return Start::Done(F80::INDEFINITE);
    }
    match a.class {
        Class::Zero => Start::Zero,
        _ if a.exp >= BIAS + 63 => Start::OutOfRange,
        _ => reduce(a),
    }
}

/// |a| = quadrant * π/2 + r with |r| at most π/4.
fn reduce(a: &Num) -> Start {
    if a.exp < BIAS - 1 {
        return Start::Reduced { r: Wide::from_num(a).with_sign(false), quadrant: 0 };
    }
    let scaled = u128::from(a.sig) << (a.exp - BIAS + 2);
    let (mut quadrant, mut rest) = (scaled / HALF_PI_66, scaled % HALF_PI_66);
    let negative = 2 * rest > HALF_PI_66;
    if negative {
        rest = HALF_PI_66 - rest;
        quadrant += 1;
    }
    Start::Reduced { r: Wide::from_integer(negative, rest, -65), quadrant: quadrant & 3 }
}

/// 1 - z/(a(a+1)) (1 - z/((a+2)(a+3)) (...)), z with 128 bits of fraction; below 1.
fn alternating_factorials(z: u128, first: u128) -> u128 {
    let sum = (0..SINE_TERMS).rev().fold(FIXED_ONE, |t, k| {
        let n = first + 2 * k;
        FIXED_ONE - mul_high(z, t) / (n * (n + 1))
    });
    sum.min(FIXED_ONE - 1)
}

fn sine_of_reduced(r: Wide) -> Wide {
    let z = r.mul(r).fraction();
    r.mul(Wide::from_fixed(alternating_factorials(z, 2)))
}

fn cosine_of_reduced(r: Wide) -> Wide {
    let z = r.mul(r).fraction();
    Wide::from_fixed(alternating_factorials(z, 1))
}

/// sin(r + quadrant π/2)
fn sine_in(r: Wide, quadrant: u128) -> Wide {
    let v = if quadrant & 1 == 0 { sine_of_reduced(r) } else { cosine_of_reduced(r) };
    if quadrant & 2 == 0 { v } else { v.negate() }
}

fn signed_sine(a: &Num, r: Wide, quadrant: u128) -> Wide {
    let v = sine_in(r, quadrant);
    v.with_sign(v.sign != a.sign)
}

/// The sine; `None` if the operand is out of range.
pub fn sin(ctx: &mut Context, a: Num) -> Option<F80> {
    match start(ctx, &a) {
        Start::Done(v) => Some(v),
        Start::OutOfRange => None,
        Start::Zero => Some(F80::zero(a.sign)),
        Start::Reduced { r, quadrant } => Some(signed_sine(&a, r, quadrant).round(ctx)),
    }
}

/// The cosine; `None` if the operand is out of range.
pub fn cos(ctx: &mut Context, a: Num) -> Option<F80> {
    match start(ctx, &a) {
        Start::Done(v) => Some(v),
        Start::OutOfRange => None,
        Start::Zero => Some(F80::ONE),
        Start::Reduced { r, quadrant } => Some(sine_in(r, quadrant + 1).round(ctx)),
    }
}

/// Sine and cosine; `None` if the operand is out of range.
pub fn sin_cos(ctx: &mut Context, a: Num) -> Option<(F80, F80)> {
    match start(ctx, &a) {
        Start::Done(v) => Some((v, v)),
        Start::OutOfRange => None,
        Start::Zero => Some((F80::zero(a.sign), F80::ONE)),
        Start::Reduced { r, quadrant } => {
            let sine = signed_sine(&a, r, quadrant).round(ctx);
            Some((sine, sine_in(r, quadrant + 1).round(ctx)))
        }
    }
}

/// The tangent, and what FPTAN pushes: 1.0, or the NaN again. `None` if out of range.
pub fn tan(ctx: &mut Context, a: Num) -> Option<(F80, F80)> {
    match start(ctx, &a) {
        Start::Done(v) => Some((v, v)),
        Start::OutOfRange => None,
        Start::Zero => Some((F80::zero(a.sign), F80::ONE)),
        Start::Reduced { r, quadrant } => {
            let v = tangent_in(r, quadrant);
            Some((v.with_sign(v.sign != a.sign).round(ctx), F80::ONE))
        }
    }
}

fn tangent_in(r: Wide, quadrant: u128) -> Wide {
    if quadrant & 1 == 0 && r.exp < TINY {
        return r;
    }
    sine_in(r, quadrant).div(sine_in(r, quadrant + 1))
}

/// atan2(y, x): the angle of the point (x, y), from -π to π.
pub fn atan2(ctx: &mut Context, y: Num, x: Num) -> F80 {
    if let Some(nan) = ctx.nan2(&y, &x) {
        return nan;
    }
    if ctx.denormal(y.denormal | x.denormal) {
        return F80::INDEFINITE;
    }
    let angle = match (y.class, x.class) {
        (Class::Infinity, Class::Infinity) if x.sign => THREE_QUARTERS_PI,
        (Class::Infinity, Class::Infinity) => QUARTER_PI,
        (Class::Zero, _) | (_, Class::Infinity) if x.sign => PI,
        (Class::Zero, _) | (_, Class::Infinity) => return F80::zero(y.sign),
        (Class::Infinity, _) | (_, Class::Zero) => HALF_PI,
        _ => finite_angle(&y, &x),
    };
    angle.with_sign(y.sign).round(ctx)
}

fn finite_angle(y: &Num, x: &Num) -> Wide {
    let (ay, ax) = (Wide::from_num(y).with_sign(false), Wide::from_num(x).with_sign(false));
    let steep = (ay.exp, ay.sig) > (ax.exp, ax.sig);
    let acute = if steep { HALF_PI.add(arctangent(ax.div(ay)).negate()) } else { arctangent(ay.div(ax)) };
    if x.sign { PI.add(acute.negate()) } else { acute }
}

/// The arctangent of a number from 0 to 1.
fn arctangent(t: Wide) -> Wide {
    // t in sixteenths, truncated, then the nearest eighth.
    let sixteenths = if t.exp < -4 { 0 } else { (t.sig >> (123 - t.exp)) as usize };
    let eighths = sixteenths.div_ceil(2);
    if eighths == 0 {
        return arctangent_near_zero(t);
    }
    // atan t = atan c + atan((t - c) / (1 + c t))
    let c = Wide::from_integer(false, eighths as u128, -3);
    let u = t.add(c.negate()).div(Wide::ONE.add(c.mul(t)));
    let rest = if u.sig == 0 { u } else { arctangent_near_zero(u) };
    ATAN_EIGHTHS[eighths - 1].add(rest)
}

/// t (1 - t²/3 + t⁴/5 - ...) for |t| up to 1/16.
fn arctangent_near_zero(t: Wide) -> Wide {
    let z = t.mul(t).fraction();
    let sum = (0..ARCTANGENT_TERMS).rev().fold(0, |s, k| FIXED_ONE / (2 * k + 1) - mul_high(z, s));
    t.mul(Wide::from_fixed(sum.min(FIXED_ONE - 1)))
}
