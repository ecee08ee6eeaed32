//! Comparison, minimum, maximum.

use super::{Context, Format, mxcsr};

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// The first is less.
    Less,
    /// They are equal.
    Equal,
    /// The first is greater.
    Greater,
    /// One is a NaN.
    Unordered,
}

/// A key that orders all values that are no NaN; both zeros have the same.
#[inline]
fn key<F: Format>(v: u64) -> i64 {
    let magnitude = (v & !F::SIGN) as i64;
    if v & F::SIGN != 0 { -magnitude } else { magnitude }
}

#[inline]
fn order<F: Format>(a: u64, b: u64) -> Ordering {
    match key::<F>(a).cmp(&key::<F>(b)) {
        std::cmp::Ordering::Less => Ordering::Less,
        std::cmp::Ordering::Equal => Ordering::Equal,
        std::cmp::Ordering::Greater => Ordering::Greater,
    }
}

/// Compares; any NaN raises IE.
#[inline]
pub fn ordered_signaling<F: Format>(a: u64, b: u64, cx: &mut Context) -> Ordering {
    if F::is_nan(a) || F::is_nan(b) {
        cx.raise(mxcsr::IE);
        return Ordering::Unordered;
    }
    order_numbers::<F>(a, b, cx)
}

/// Compares; only a signalling NaN raises IE.
#[inline]
pub fn ordered_quiet<F: Format>(a: u64, b: u64, cx: &mut Context) -> Ordering {
    if F::is_nan(a) || F::is_nan(b) {
        if F::is_signaling(a) || F::is_signaling(b) {
            cx.raise(mxcsr::IE);
        }
        return Ordering::Unordered;
    }
    order_numbers::<F>(a, b, cx)
}

#[inline]
fn order_numbers<F: Format>(a: u64, b: u64, cx: &mut Context) -> Ordering {
    let (a, b) = (cx.daz::<F>(a), cx.daz::<F>(b));
    cx.note_denormal::<F>(a);
    cx.note_denormal::<F>(b);
    order::<F>(a, b)
}

/// MINPS: the second operand unless the first is less.
#[inline]
pub fn min<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    let chosen = if ordered_signaling::<F>(a, b, cx) == Ordering::Less { a } else { b };
    cx.daz::<F>(chosen)
}

/// MAXPS: the second operand unless the first is greater.
#[inline]
pub fn max<F: Format>(a: u64, b: u64, cx: &mut Context) -> u64 {
    let chosen = if ordered_signaling::<F>(a, b, cx) == Ordering::Greater { a } else { b };
    cx.daz::<F>(chosen)
}
