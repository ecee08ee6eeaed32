//! Comparison and classification of 80-bit numbers.

use super::f80::{Class, F80, Num};
use super::f80_context::{C0, C1, C2, C3, Context, IE};
use std::cmp::Ordering;

/// Compares; `None` if unordered. A quiet NaN raises IE only if `ordered` (FCOM, not FUCOM).
pub fn compare(ctx: &mut Context, a: Num, b: Num, ordered: bool) -> Option<Ordering> {
    let refused = |n: &Num| matches!(n.class, Class::SignallingNan | Class::Unsupported);
    if refused(&a) || refused(&b) {
        ctx.raise(IE);
        return None;
    }
    if a.is_nan() || b.is_nan() {
        if ordered {
            ctx.raise(IE);
        }
        return None;
    }
    ctx.denormal(a.denormal | b.denormal);
    Some(order(&a, &b))
}

fn order(a: &Num, b: &Num) -> Ordering {
    let zero = |n: &Num| n.class == Class::Zero;
    if zero(a) && zero(b) {
        return Ordering::Equal;
    }
    if a.sign != b.sign {
        return if a.sign { Ordering::Less } else { Ordering::Greater };
    }
    let magnitude = |n: &Num| match n.class {
        Class::Zero => (i32::MIN, 0),
        Class::Infinity => (i32::MAX, 0),
        _ => (n.exp, n.sig),
    };
    let o = magnitude(a).cmp(&magnitude(b));
    if a.sign { o.reverse() } else { o }
}

/// C3, C2 and C0 of FXAM, and C1 = sign (SDM vol. 2, table 3-38).
pub fn examine(v: F80, empty: bool) -> u16 {
    let class = match v.class() {
        _ if empty => C3 | C0,
        Class::Unsupported => 0,
        Class::QuietNan | Class::SignallingNan => C0,
        Class::Infinity => C2 | C0,
        Class::Zero => C3,
        Class::Finite if v.exponent() == 0 => C3 | C2,
        Class::Finite => C2,
    };
    class | if v.sign() { C1 } else { 0 }
}
