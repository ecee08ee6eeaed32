//! The 80-bit double extended-precision format (SDM vol. 1, 4.2.2): encodings, classes, and
//! unpacked numbers. Arithmetic is in the other `f80_*` files.

use serde::{Deserialize, Serialize};

/// An 80-bit value as its encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct F80 {
    /// The significand with its explicit integer bit.
    pub significand: u64,
    /// Sign in bit 15, biased exponent in bits 14:0.
    pub sign_exponent: u16,
}

/// The explicit integer bit of a significand.
pub const INTEGER_BIT: u64 = 1 << 63;
/// The bit of a NaN's significand that makes it quiet.
pub const QUIET_BIT: u64 = 1 << 62;
/// The biased exponent of infinities and NaNs.
pub const EXP_MAX: u16 = 0x7FFF;
/// What is added to an exponent of the value 1.0.
pub const BIAS: i32 = 0x3FFF;

/// What an encoding stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Zero.
    Zero,
    /// A finite number that is not zero.
    Finite,
    /// Infinity.
    Infinity,
    /// A quiet NaN.
    QuietNan,
    /// A signalling NaN.
    SignallingNan,
    /// An encoding that the 80387 and later refuse: unnormals, pseudo-infinities, pseudo-NaNs.
    Unsupported,
}

/// An operand taken apart. Of a finite number, `sig` has its top bit set and the value is
/// `sig * 2^(exp - BIAS - 63)`; `exp` is below 1 for denormals. Of a NaN, `sig` is the
/// significand as encoded.
#[derive(Clone, Copy, Debug)]
pub struct Num {
    /// What it is.
    pub class: Class,
    /// Negative.
    pub sign: bool,
    /// Biased exponent.
    pub exp: i32,
    /// Significand.
    pub sig: u64,
    /// It was a denormal (or pseudo-denormal) in the format that it came from.
    pub denormal: bool,
}

impl F80 {
    /// +0.
    pub const ZERO: Self = Self::new(false, 0, 0);
    /// 1.0.
    pub const ONE: Self = Self::new(false, BIAS as u16, INTEGER_BIT);
    /// The default NaN ("real indefinite").
    pub const INDEFINITE: Self = Self::new(true, EXP_MAX, INTEGER_BIT | QUIET_BIT);

    /// From sign, biased exponent and significand.
    pub const fn new(sign: bool, exponent: u16, significand: u64) -> Self {
        Self { significand, sign_exponent: (sign as u16) << 15 | exponent }
    }

    /// Zero with a sign.
    pub const fn zero(sign: bool) -> Self {
        Self::new(sign, 0, 0)
    }

    /// Infinity with a sign.
    pub const fn infinity(sign: bool) -> Self {
        Self::new(sign, EXP_MAX, INTEGER_BIT)
    }

    /// From the 80 low bits of a u128, as in memory.
    pub const fn from_bits(bits: u128) -> Self {
        Self { significand: bits as u64, sign_exponent: (bits >> 64) as u16 }
    }

    /// The encoding in the 80 low bits, as in memory.
    pub const fn bits(self) -> u128 {
        (self.sign_exponent as u128) << 64 | self.significand as u128
    }

    /// The sign bit.
    pub const fn sign(self) -> bool {
        self.sign_exponent >> 15 != 0
    }

    /// The biased exponent.
    pub const fn exponent(self) -> u16 {
        self.sign_exponent & EXP_MAX
    }

    /// With the sign given.
    #[must_use]
    pub const fn with_sign(self, sign: bool) -> Self {
        Self::new(sign, self.exponent(), self.significand)
    }

    /// What it stands for.
    pub const fn class(self) -> Class {
        let integer_bit = self.significand & INTEGER_BIT != 0;
        match self.exponent() {
            0 if self.significand == 0 => Class::Zero,
            0 => Class::Finite,
            _ if !integer_bit => Class::Unsupported,
            EXP_MAX if self.significand == INTEGER_BIT => Class::Infinity,
            EXP_MAX if self.significand & QUIET_BIT != 0 => Class::QuietNan,
            EXP_MAX => Class::SignallingNan,
            _ => Class::Finite,
        }
    }

    /// Taken apart, normalised.
    #[inline]
    pub fn unpack(self) -> Num {
        let class = self.class();
        let mut n = Num {
            class,
            sign: self.sign(),
            exp: i32::from(self.exponent()),
            sig: self.significand,
            denormal: false,
        };
        if n.exp == 0 && class == Class::Finite {
            let shift = n.sig.leading_zeros();
            n.sig <<= shift;
            n.exp = 1 - shift as i32;
            n.denormal = true;
        }
        n
    }
}

impl Num {
    /// A zero.
    pub const fn zero(sign: bool) -> Self {
        Self { class: Class::Zero, sign, exp: 0, sig: 0, denormal: false }
    }

    /// A finite number that is not zero, from a biased exponent and a significand that may
    /// have leading zeros.
    pub fn finite(sign: bool, exp: i32, sig: u64) -> Self {
        let shift = sig.leading_zeros();
        Self { class: Class::Finite, sign, exp: exp - shift as i32, sig: sig << shift, denormal: false }
    }

    /// An integer.
    pub fn from_i64(v: i64) -> Self {
        if v == 0 { Self::zero(false) } else { Self::finite(v < 0, BIAS + 63, v.unsigned_abs()) }
    }

    /// A single.
    pub fn from_f32(bits: u32) -> Self {
        let fraction = u64::from(bits & 0x7F_FFFF) << 40;
        Self::from_ieee(bits >> 31 != 0, (bits >> 23 & 0xFF) as i32, fraction, 0xFF, 127)
    }

    /// A double.
    pub fn from_f64(bits: u64) -> Self {
        let fraction = (bits & 0xF_FFFF_FFFF_FFFF) << 11;
        Self::from_ieee(bits >> 63 != 0, (bits >> 52 & 0x7FF) as i32, fraction, 0x7FF, 1023)
    }

    /// `fraction` is already at its place below the integer bit.
    fn from_ieee(sign: bool, exp: i32, fraction: u64, exp_max: i32, bias: i32) -> Self {
        let sig = INTEGER_BIT | fraction;
        let special = |class| Self { class, sign, exp: i32::from(EXP_MAX), sig, denormal: false };
        if exp == exp_max {
            return special(match fraction {
                0 => Class::Infinity,
                f if f & QUIET_BIT != 0 => Class::QuietNan,
                _ => Class::SignallingNan,
            });
        }
        match (exp, fraction) {
            (0, 0) => Self::zero(sign),
            (0, _) => Self { denormal: true, ..Self::finite(sign, 1 - bias + BIAS, fraction) },
            _ => Self { class: Class::Finite, sign, exp: exp - bias + BIAS, sig, denormal: false },
        }
    }

    /// A number of another format put together as 80 bits, which is always exact; NaNs as
    /// they are.
    pub fn pack_exact(self) -> F80 {
        match self.class {
            Class::Zero => F80::zero(self.sign),
            _ => F80::new(self.sign, self.exp as u16, self.sig),
        }
    }

    /// Whether it is a NaN.
    pub const fn is_nan(&self) -> bool {
        matches!(self.class, Class::QuietNan | Class::SignallingNan)
    }
}
