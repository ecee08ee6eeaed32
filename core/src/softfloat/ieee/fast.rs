//! The host's floating-point unit where its result is known to be the right one: rounding to
//! nearest, nothing unmasked, no FTZ or DAZ, operands zero or normal, and a result that is
//! neither tiny nor an overflow. IEEE 754 leaves no choice there. Inexactness is computed
//! exactly, unless PE is set already.

use super::{Context, Format, mxcsr};

/// Whether an operand is zero or normal.
#[inline(always)]
fn plain<F: Format>(v: u64) -> bool {
    F::is_zero(v) || normal::<F>(v)
}

/// Whether a value is normal.
#[inline(always)]
fn normal<F: Format>(v: u64) -> bool {
    F::exponent(v).wrapping_sub(1) < F::EXPONENT_MAX - 1
}

/// Whether a result is normal and so far from the denormals that it was not tiny.
#[inline(always)]
fn safe<F: Format>(v: u64) -> bool {
    F::exponent(v).wrapping_sub(2) < F::EXPONENT_MAX - 2
}

/// The significand of a normal number as an integer.
#[inline(always)]
fn significand<F: Format>(v: u64) -> u64 {
    v & F::FRACTION | 1 << F::FRACTION_BITS
}

#[inline(always)]
fn note(cx: &mut Context, inexact: impl FnOnce() -> bool) {
    if cx.wants_inexact() && inexact() {
        cx.raise(mxcsr::PE);
    }
}

/// `a + b`, if this way is safe.
#[inline(always)]
pub fn add<F: Format>(a: u64, b: u64, cx: &mut Context) -> Option<u64> {
    if !cx.fast || !plain::<F>(a) || !plain::<F>(b) {
        return None;
    }
    let sum = F::host_add(a, b);
    // A tiny sum is exact, but the difference matters to nobody on this path.
    if !safe::<F>(sum) && !F::is_zero(sum) {
        return None;
    }
    note(cx, || !F::is_zero(F::host_add_error(a, b, sum)));
    Some(sum)
}

/// `a * b`, if this way is safe.
#[inline(always)]
pub fn mul<F: Format>(a: u64, b: u64, cx: &mut Context) -> Option<u64> {
    if !cx.fast || !normal::<F>(a) || !normal::<F>(b) {
        return None;
    }
    let product = F::host_mul(a, b);
    if !safe::<F>(product) {
        return None;
    }
    note(cx, || {
        let (sa, sb) = (significand::<F>(a), significand::<F>(b));
        let length = 128 - (u128::from(sa) * u128::from(sb)).leading_zeros();
        length - sa.trailing_zeros() - sb.trailing_zeros() > F::PRECISION
    });
    Some(product)
}

/// `a / b`, if this way is safe.
#[inline(always)]
pub fn div<F: Format>(a: u64, b: u64, cx: &mut Context) -> Option<u64> {
    if !cx.fast || !normal::<F>(a) || !normal::<F>(b) {
        return None;
    }
    let quotient = F::host_div(a, b);
    if !safe::<F>(quotient) {
        return None;
    }
    note(cx, || {
        // Exact if quotient * b = a; the exponents agree then, up to the position of the top bit.
        let product = u128::from(significand::<F>(quotient)) * u128::from(significand::<F>(b));
        let target = u128::from(significand::<F>(a));
        product >> product.trailing_zeros() != target >> target.trailing_zeros()
    });
    Some(quotient)
}

/// The square root of `a`, if this way is safe.
#[inline(always)]
pub fn sqrt<F: Format>(a: u64, cx: &mut Context) -> Option<u64> {
    if !cx.fast || !normal::<F>(a) || a & F::SIGN != 0 {
        return None;
    }
    let root = F::host_sqrt(a);
    note(cx, || {
        let square = u128::from(significand::<F>(root)).pow(2);
        let target = u128::from(significand::<F>(a));
        square >> square.trailing_zeros() != target >> target.trailing_zeros()
    });
    Some(root)
}
