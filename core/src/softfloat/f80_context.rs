//! What an x87 operation needs beside its operands, and how it reports: control word in,
//! exception flags and C1 out; NaN rules; rounding (SDM vol. 1, 4.8, 4.9 and 8.1; AMD APM
//! vol. 1, 6.8).

use super::f80::{Class, EXP_MAX, F80, INTEGER_BIT, Num, QUIET_BIT};

/// Status word: invalid operation.
pub const IE: u16 = 1;
/// Status word: denormal operand.
pub const DE: u16 = 1 << 1;
/// Status word: division by zero.
pub const ZE: u16 = 1 << 2;
/// Status word: overflow.
pub const OE: u16 = 1 << 3;
/// Status word: underflow.
pub const UE: u16 = 1 << 4;
/// Status word: precision (inexact).
pub const PE: u16 = 1 << 5;
/// Status word: stack fault.
pub const SF: u16 = 1 << 6;
/// Status word: condition code 0.
pub const C0: u16 = 1 << 8;
/// Status word: condition code 1; set when a result was rounded up in magnitude.
pub const C1: u16 = 1 << 9;
/// Status word: condition code 2.
pub const C2: u16 = 1 << 10;
/// Status word: condition code 3.
pub const C3: u16 = 1 << 14;

/// Rounding control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Toward minus infinity.
    Down,
    /// Toward plus infinity.
    Up,
    /// Toward zero.
    Zero,
}

/// What an unmasked overflow or underflow adds to the exponent to bring it into range.
const WRAP: i32 = 0x6000;

/// The environment of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Rounding control.
    pub rounding: Rounding,
    /// Bits of significand: 24, 53 or 64.
    pub width: u32,
    /// The masked exceptions, as in the control word.
    pub masks: u16,
    /// The exceptions raised, and C1, as in the status word.
    pub flags: u16,
}

/// A significand rounded to a width.
struct Rounded {
    sig: u64,
    /// The rounding carried out of the top: `sig` is the integer bit then.
    carry: bool,
    up: bool,
    inexact: bool,
}

impl Context {
    /// From a control word.
    pub fn new(control: u16) -> Self {
        let rounding = [Rounding::Nearest, Rounding::Down, Rounding::Up, Rounding::Zero];
        // Precision 01 is reserved and acts as 64 bits.
        let width = [24, 64, 53, 64];
        Self {
            rounding: rounding[usize::from(control >> 10 & 3)],
            width: width[usize::from(control >> 8 & 3)],
            masks: control & 0x3F,
            flags: 0,
        }
    }

    /// The same, with full precision.
    #[must_use]
    pub fn full_precision(self) -> Self {
        Self { width: 64, ..self }
    }

    /// Raises exceptions.
    #[inline]
    pub fn raise(&mut self, flags: u16) {
        self.flags |= flags;
    }

    /// Whether an exception is unmasked.
    #[inline]
    pub fn unmasked(&self, flag: u16) -> bool {
        self.masks & flag == 0
    }

    /// Whether an unmasked exception forbids a result: it is found before the operation.
    #[inline]
    pub fn stopped(&self) -> bool {
        self.flags & !self.masks & (IE | DE | ZE) != 0
    }

    /// The answer to an invalid operation.
    pub fn invalid(&mut self) -> F80 {
        self.raise(IE);
        F80::INDEFINITE
    }

    /// Raises DE if one of the operands is denormal; true if the operation must stop there.
    #[inline]
    pub fn denormal(&mut self, any: bool) -> bool {
        if any {
            self.raise(DE);
        }
        any && self.unmasked(DE)
    }

    /// The result if an operand is a NaN or unsupported.
    #[inline]
    pub fn nan1(&mut self, a: &Num) -> Option<F80> {
        match a.class {
            Class::Unsupported => Some(self.invalid()),
            Class::QuietNan | Class::SignallingNan => Some(self.quiet(a)),
            _ => None,
        }
    }

    /// A NaN made quiet; IE if it was signalling.
    pub fn quiet(&mut self, a: &Num) -> F80 {
        if a.class == Class::SignallingNan {
            self.raise(IE);
        }
        F80::new(a.sign, EXP_MAX, a.sig | QUIET_BIT)
    }

    /// The result if one of two operands is a NaN or unsupported (SDM vol. 1, table 4-7).
    #[inline]
    pub fn nan2(&mut self, a: &Num, b: &Num) -> Option<F80> {
        let special = |n: &Num| n.is_nan() || n.class == Class::Unsupported;
        if special(a) || special(b) { Some(self.choose_nan(a, b)) } else { None }
    }

    #[cold]
    fn choose_nan(&mut self, a: &Num, b: &Num) -> F80 {
        if a.class == Class::Unsupported || b.class == Class::Unsupported {
            return self.invalid();
        }
        let signalling = |n: &Num| n.class == Class::SignallingNan;
        if signalling(a) || signalling(b) {
            self.raise(IE);
        }
        let chosen = match (a.is_nan(), b.is_nan()) {
            (true, false) => a,
            (false, true) => b,
            // A quiet NaN wins over a signalling one, ...
            _ if signalling(a) != signalling(b) => {
                if signalling(a) {
                    b
                } else {
                    a
                }
            }
            // ... among equals the larger significand, then the positive one.
            _ if a.sig != b.sig => {
                if a.sig > b.sig {
                    a
                } else {
                    b
                }
            }
            _ => {
                if a.sign {
                    b
                } else {
                    a
                }
            }
        };
        F80::new(chosen.sign, EXP_MAX, chosen.sig | QUIET_BIT)
    }

    /// Rounds `sig * 2^(exp - BIAS - 127)`, top bit of `sig` set, to the precision of the
    /// context and to the format; the last bit of `sig` may be sticky.
    #[inline]
    pub fn round(&mut self, sign: bool, exp: i32, sig: u128) -> F80 {
        debug_assert!(sig >> 127 != 0);
        let r = self.round_significand(sign, sig, self.width);
        let rounded_exp = exp + i32::from(r.carry);
        if exp > 0 && rounded_exp < i32::from(EXP_MAX) {
            self.note_rounding(&r);
            return F80::new(sign, rounded_exp as u16, r.sig);
        }
        if exp > 0 { self.overflow(sign, rounded_exp, &r) } else { self.underflow(sign, exp, sig, &r) }
    }

    fn note_rounding(&mut self, r: &Rounded) {
        if r.inexact {
            self.raise(PE);
        }
        if r.up {
            self.raise(C1);
        }
    }

    /// Whether to add one to the kept bits of a significand, from what is cut off.
    #[inline]
    pub fn rounds_up(&self, sign: bool, odd: bool, guard: bool, sticky: bool) -> bool {
        match self.rounding {
            Rounding::Nearest => guard && (sticky || odd),
            Rounding::Down => sign && (guard || sticky),
            Rounding::Up => !sign && (guard || sticky),
            Rounding::Zero => false,
        }
    }

    #[inline]
    fn round_significand(&self, sign: bool, sig: u128, width: u32) -> Rounded {
        let drop = 128 - width;
        let kept = (sig >> drop) as u64;
        let guard = sig >> (drop - 1) & 1 != 0;
        let sticky = sig << (width + 1) != 0;
        let up = self.rounds_up(sign, kept & 1 != 0, guard, sticky);
        let (sig, carry) = (kept << (64 - width)).overflowing_add(u64::from(up) << (64 - width));
        Rounded { sig: if carry { INTEGER_BIT } else { sig }, carry, up, inexact: guard || sticky }
    }

    /// The result is too large; `exp` is after rounding.
    #[cold]
    fn overflow(&mut self, sign: bool, exp: i32, r: &Rounded) -> F80 {
        self.raise(OE);
        if self.unmasked(OE) {
            let wrapped = exp - WRAP;
            if wrapped >= i32::from(EXP_MAX) {
                // Only FSCALE goes so far.
                self.raise(PE | C1);
                return F80::infinity(sign);
            }
            self.note_rounding(r);
            return F80::new(sign, wrapped as u16, r.sig);
        }
        self.raise(PE);
        if self.overflows_to_infinity(sign) {
            self.raise(C1);
            return F80::infinity(sign);
        }
        F80::new(sign, EXP_MAX - 1, u64::MAX << (64 - self.width))
    }

    /// Whether a masked overflow gives infinity and not the largest number.
    pub fn overflows_to_infinity(&self, sign: bool) -> bool {
        match self.rounding {
            Rounding::Nearest => true,
            Rounding::Down => sign,
            Rounding::Up => !sign,
            Rounding::Zero => false,
        }
    }

    /// The exponent is below 1; `r` is the result rounded as if it had no lower limit.
    #[cold]
    fn underflow(&mut self, sign: bool, exp: i32, sig: u128, r: &Rounded) -> F80 {
        // Tininess is detected after rounding.
        let tiny = exp < 0 || !r.carry;
        if tiny && self.unmasked(UE) {
            self.raise(UE);
            let wrapped = exp + i32::from(r.carry) + WRAP;
            if wrapped <= 0 {
                self.raise(PE);
                return F80::zero(sign);
            }
            self.note_rounding(r);
            return F80::new(sign, wrapped as u16, r.sig);
        }
        let r = self.round_significand(sign, shift_right_sticky(sig, (1 - exp) as u32), self.width);
        self.note_rounding(&r);
        if tiny && r.inexact {
            self.raise(UE);
        }
        F80::new(sign, (r.sig >> 63) as u16, r.sig)
    }
}

/// `v >> n`, with every bit that is lost ORed into the last.
#[inline]
pub fn shift_right_sticky(v: u128, n: u32) -> u128 {
    match n {
        0 => v,
        1..=127 => v >> n | u128::from(v << (128 - n) != 0),
        _ => u128::from(v != 0),
    }
}
