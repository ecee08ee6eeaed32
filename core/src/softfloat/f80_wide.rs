//! Numbers with 128 bits of significand for the evaluation of transcendental functions, and
//! fixed-point series. Results are truncated, not rounded: the error of an operation is below
//! 2^-126 of its result.

use super::f80::{BIAS, F80, Num};
use super::f80_context::Context;

/// `sig * 2^(exp - 127)`; the top bit of `sig` is set, or `sig` is 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide {
    /// Negative.
    pub sign: bool,
    /// The unbiased exponent.
    pub exp: i32,
    /// The significand.
    pub sig: u128,
}

/// 1 as a fixed-point number with 126 bits of fraction, the form of sums of series.
pub(super) const FIXED_ONE: u128 = 1 << 126;

impl Wide {
    /// One.
    pub const ONE: Self = Self::new(false, 0, 1 << 127);

    /// From its parts.
    pub const fn new(sign: bool, exp: i32, sig: u128) -> Self {
        Self { sign, exp, sig }
    }

    /// `v * 2^exp`.
    pub fn from_integer(sign: bool, v: u128, exp: i32) -> Self {
        let shift = v.leading_zeros();
        if v == 0 { Self::new(sign, 0, 0) } else { Self::new(sign, exp + 127 - shift as i32, v << shift) }
    }

    /// The magnitude of a fixed-point number.
    pub fn from_fixed(v: u128) -> Self {
        Self::from_integer(false, v, -126)
    }

    /// A finite 80-bit number that is not zero.
    pub fn from_num(n: &Num) -> Self {
        Self::new(n.sign, n.exp - BIAS, u128::from(n.sig) << 64)
    }

    /// The magnitude, below 1, with 128 bits of fraction.
    pub fn fraction(&self) -> u128 {
        let shift = (-1 - self.exp) as u32;
        debug_assert!(self.exp < 0);
        self.sig.checked_shr(shift).unwrap_or(0)
    }

    /// With the other sign.
    pub fn negate(self) -> Self {
        Self { sign: !self.sign, ..self }
    }

    /// With the sign given.
    pub fn with_sign(self, sign: bool) -> Self {
        Self { sign, ..self }
    }

    /// The sum.
    pub fn add(self, other: Self) -> Self {
        if self.sig == 0 || other.sig == 0 {
            return if self.sig == 0 { other } else { self };
        }
        let swap = (other.exp, other.sig) > (self.exp, self.sig);
        let (big, small) = if swap { (other, self) } else { (self, other) };
        let x = big.sig >> 1;
        let y = (small.sig >> 1).checked_shr((big.exp - small.exp) as u32).unwrap_or(0);
        let sum = if big.sign == small.sign { x + y } else { x - y };
        Self::from_integer(big.sign, sum, big.exp - 126)
    }

    /// The product.
    pub fn mul(self, other: Self) -> Self {
        let product = mul_high(self.sig, other.sig);
        let sign = self.sign != other.sign;
        let shift = product.leading_zeros();
        if product == 0 {
            return Self::new(sign, 0, 0);
        }
        Self::new(sign, self.exp + other.exp + 1 - shift as i32, product << shift)
    }

    /// The quotient; `other` is not zero.
    pub fn div(self, other: Self) -> Self {
        let sign = self.sign != other.sign;
        let exp = self.exp - other.exp;
        if self.sig >= other.sig {
            let fraction = divide_fraction(self.sig - other.sig, other.sig);
            return Self::new(sign, exp, 1 << 127 | fraction >> 1);
        }
        let q = divide_fraction(self.sig, other.sig);
        let shift = q.leading_zeros();
        if q == 0 { Self::new(sign, 0, 0) } else { Self::new(sign, exp - 1 - shift as i32, q << shift) }
    }

    /// Rounded to 80 bits as an inexact result.
    pub fn round(self, ctx: &mut Context) -> F80 {
        ctx.round(self.sign, self.exp + BIAS, self.sig | 1)
    }

    /// Rounded to 80 bits.
    pub fn round_exact(self, ctx: &mut Context) -> F80 {
        ctx.round(self.sign, self.exp + BIAS, self.sig)
    }
}

/// The upper half of a product.
pub(super) fn mul_high(a: u128, b: u128) -> u128 {
    let (a1, a0) = (a >> 64, a & u128::from(u64::MAX));
    let (b1, b0) = (b >> 64, b & u128::from(u64::MAX));
    let low = (a0 * b0) >> 64;
    let (m1, m2) = (a1 * b0, a0 * b1);
    let middle = low + (m1 & u128::from(u64::MAX)) + (m2 & u128::from(u64::MAX));
    a1 * b1 + (m1 >> 64) + (m2 >> 64) + (middle >> 64)
}

/// `n * 2^128 / d` for `n < d`, bit by bit.
fn divide_fraction(mut n: u128, d: u128) -> u128 {
    let mut q = 0;
    for _ in 0..128 {
        let carry = n >> 127 != 0;
        n <<= 1;
        q <<= 1;
        if carry || n >= d {
            n = n.wrapping_sub(d);
            q |= 1;
        }
    }
    q
}
