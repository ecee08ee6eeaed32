//! The two formats, taking encodings apart and putting them together with rounding.

use super::{Context, Rounding, mxcsr};

/// A binary interchange format of IEEE 754.
pub trait Format: Copy + 'static {
    /// Significand bits, the implicit one included.
    const PRECISION: u32;
    /// The size of an encoding in bits.
    const BITS: u32;
    /// Fraction bits.
    const FRACTION_BITS: u32 = Self::PRECISION - 1;
    /// The largest exponent, which is also the bias.
    const BIAS: i32 = (1 << (Self::BITS - Self::PRECISION - 1)) - 1;
    /// The exponent field of infinities and NaNs.
    const EXPONENT_MAX: u64 = (1 << (Self::BITS - Self::PRECISION)) - 1;
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// The fraction field.
    const FRACTION: u64 = (1 << Self::FRACTION_BITS) - 1;
    /// Positive infinity.
    const INFINITY: u64 = Self::EXPONENT_MAX << Self::FRACTION_BITS;
    /// The bit that makes a NaN quiet.
    const QUIET: u64 = 1 << (Self::FRACTION_BITS - 1);
    /// The NaN of invalid operations.
    const DEFAULT_NAN: u64 = Self::SIGN | Self::INFINITY | Self::QUIET;

    /// The host's addition.
    fn host_add(a: u64, b: u64) -> u64;
    /// The rounding error of the host's addition `a + b = sum`, as an encoding.
    fn host_add_error(a: u64, b: u64, sum: u64) -> u64;
    /// The host's multiplication.
    fn host_mul(a: u64, b: u64) -> u64;
    /// The host's division.
    fn host_div(a: u64, b: u64) -> u64;
    /// The host's square root.
    fn host_sqrt(a: u64) -> u64;

    /// The exponent field.
    #[inline(always)]
    fn exponent(v: u64) -> u64 {
        v >> Self::FRACTION_BITS & Self::EXPONENT_MAX
    }
    /// Whether it is a NaN.
    #[inline(always)]
    fn is_nan(v: u64) -> bool {
        v & !Self::SIGN > Self::INFINITY
    }
    /// Whether it is a signalling NaN.
    #[inline(always)]
    fn is_signaling(v: u64) -> bool {
        Self::is_nan(v) && v & Self::QUIET == 0
    }
    /// Whether it is an infinity.
    #[inline(always)]
    fn is_infinite(v: u64) -> bool {
        v & !Self::SIGN == Self::INFINITY
    }
    /// Whether it is a zero.
    #[inline(always)]
    fn is_zero(v: u64) -> bool {
        v & !Self::SIGN == 0
    }
    /// Whether it is denormal.
    #[inline(always)]
    fn is_denormal(v: u64) -> bool {
        Self::exponent(v) == 0 && v & Self::FRACTION != 0
    }
}

macro_rules! format {
    ($(#[$doc:meta])* $name:ident, $float:ty, $bits:ty, $precision:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Format for $name {
            const PRECISION: u32 = $precision;
            const BITS: u32 = <$bits>::BITS;

            #[inline(always)]
            fn host_add(a: u64, b: u64) -> u64 {
                (<$float>::from_bits(a as $bits) + <$float>::from_bits(b as $bits)).to_bits().into()
            }
            #[inline(always)]
            fn host_add_error(a: u64, b: u64, sum: u64) -> u64 {
                let (a, b) = (<$float>::from_bits(a as $bits), <$float>::from_bits(b as $bits));
                let sum = <$float>::from_bits(sum as $bits);
                let from_b = sum - a;
                ((a - (sum - from_b)) + (b - from_b)).to_bits().into()
            }
            #[inline(always)]
            fn host_mul(a: u64, b: u64) -> u64 {
                (<$float>::from_bits(a as $bits) * <$float>::from_bits(b as $bits)).to_bits().into()
            }
            #[inline(always)]
            fn host_div(a: u64, b: u64) -> u64 {
                (<$float>::from_bits(a as $bits) / <$float>::from_bits(b as $bits)).to_bits().into()
            }
            #[inline(always)]
            fn host_sqrt(a: u64) -> u64 {
                <$float>::from_bits(a as $bits).sqrt().to_bits().into()
            }
        }
    };
}

format!(
    /// Single precision (binary32).
    Single, f32, u32, 24
);
format!(
    /// Double precision (binary64).
    Double, f64, u64, 53
);

/// A finite value that is not zero: `significand / 2^63 * 2^exponent`, bit 63 of the
/// significand set. Bits below the precision stand for themselves, bit 0 for all below it too.
#[derive(Clone, Copy, Debug)]
pub struct Unpacked {
    pub negative: bool,
    pub exponent: i32,
    pub significand: u64,
}

/// Takes apart a finite value that is not zero.
#[inline]
pub fn unpack<F: Format>(v: u64) -> Unpacked {
    let negative = v & F::SIGN != 0;
    let field = F::exponent(v) as i32;
    let fraction = v & F::FRACTION;
    let left = u64::BITS - F::PRECISION;
    if field != 0 {
        let significand = (fraction | 1 << F::FRACTION_BITS) << left;
        return Unpacked { negative, exponent: field - F::BIAS, significand };
    }
    let shift = (fraction << left).leading_zeros();
    Unpacked { negative, exponent: 1 - F::BIAS - shift as i32, significand: fraction << left << shift }
}

/// Shifts right; bits shifted out are kept as one in bit 0.
#[inline]
pub fn shift_right_jam(v: u64, n: u32) -> u64 {
    match n {
        0 => v,
        1..=63 => v >> n | u64::from(v << (64 - n) != 0),
        _ => u64::from(v != 0),
    }
}

/// Whether discarding `dropped` of the low `bits` bits rounds the magnitude up.
#[inline]
pub fn rounds_up(rounding: Rounding, negative: bool, odd: bool, dropped: u64, bits: u32) -> bool {
    let half = 1u64 << (bits - 1);
    match rounding {
        Rounding::Nearest => dropped > half || (dropped == half && odd),
        Rounding::Down => negative && dropped != 0,
        Rounding::Up => !negative && dropped != 0,
        Rounding::Zero => false,
    }
}

/// The significand rounded to the format's precision, and what was dropped.
#[inline]
fn round_significand<F: Format>(u: &Unpacked, rounding: Rounding) -> (u64, u64) {
    let bits = u64::BITS - F::PRECISION;
    let kept = u.significand >> bits;
    let dropped = u.significand & ((1 << bits) - 1);
    let up = rounds_up(rounding, u.negative, kept & 1 != 0, dropped, bits);
    (kept + u64::from(up), dropped)
}

/// Rounds to an encoding; overflow, underflow and inexactness raise their flags.
pub fn round_pack<F: Format>(u: Unpacked, cx: &mut Context) -> u64 {
    let sign = if u.negative { F::SIGN } else { 0 };
    if u.exponent < 1 - F::BIAS {
        return sign | round_tiny::<F>(u, cx);
    }
    let (kept, dropped) = round_significand::<F>(&u, cx.rounding());
    let inexact = if dropped != 0 { mxcsr::PE } else { 0 };
    // The carry of a significand that became 2 goes into the exponent by itself.
    let biased = (u.exponent + F::BIAS - 1) as u64;
    let magnitude = (biased << F::FRACTION_BITS) + kept;
    if magnitude >= F::INFINITY {
        // Unmasked, the result would be one with an unbounded exponent: PE is that one's.
        cx.raise(if cx.has(mxcsr::OM) { mxcsr::OE | mxcsr::PE } else { mxcsr::OE | inexact });
        return sign | overflow::<F>(u.negative, cx);
    }
    cx.raise(inexact);
    sign | magnitude
}

/// The result of an overflow (SDM vol. 1, table 4-10).
#[cold]
fn overflow<F: Format>(negative: bool, cx: &Context) -> u64 {
    let to_infinity = match cx.rounding() {
        Rounding::Nearest => true,
        Rounding::Down => negative,
        Rounding::Up => !negative,
        Rounding::Zero => false,
    };
    if to_infinity { F::INFINITY } else { F::INFINITY - 1 }
}

/// The magnitude of a result below the smallest normal number. It is tiny if it still is after
/// rounding to the full precision with an unbounded exponent (SDM vol. 1, 4.9.1.5).
#[cold]
fn round_tiny<F: Format>(u: Unpacked, cx: &mut Context) -> u64 {
    let rounding = cx.rounding();
    let below = (1 - F::BIAS - u.exponent) as u32;
    let (unbounded, unbounded_dropped) = round_significand::<F>(&u, rounding);
    let tiny = below > 1 || unbounded >> F::PRECISION == 0;
    if tiny && !cx.has(mxcsr::UM) {
        // The result would be the one with an unbounded exponent: PE is that one's.
        cx.raise(if unbounded_dropped != 0 { mxcsr::UE | mxcsr::PE } else { mxcsr::UE });
        return 0;
    }
    if tiny && cx.has(mxcsr::FTZ) {
        cx.raise(mxcsr::UE | mxcsr::PE);
        return 0;
    }
    let shifted = Unpacked { significand: shift_right_jam(u.significand, below), ..u };
    let (kept, dropped) = round_significand::<F>(&shifted, rounding);
    if dropped != 0 {
        cx.raise(if tiny { mxcsr::UE | mxcsr::PE } else { mxcsr::PE });
    }
    kept
}
