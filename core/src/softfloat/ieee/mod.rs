//! Single and double precision with the behaviour of SSE (SDM vol. 1, 11.5 and 4.8): rounding
//! modes, flush-to-zero, denormals-are-zeros, exact exception flags, NaN propagation.
//!
//! Values are encodings in the low bits of a u64. Every operation takes a [`Context`], reads
//! the controls of MXCSR from it and leaves exception flags in it.

mod approx;
mod arith;
mod compare;
mod convert;
mod fast;
mod format;
mod round;

pub use approx::{reciprocal, reciprocal_sqrt};
pub use arith::{add, div, mul, sqrt, sub};
pub use compare::{Ordering, max, min, ordered_quiet, ordered_signaling};
pub use convert::{from_i32, from_i64, narrow, to_i32, to_i64, widen};
pub use format::{Double, Format, Single};
pub use round::round_to_integral;

/// Bits of MXCSR (SDM vol. 1, figure 10-3).
pub mod mxcsr {
    /// Invalid operation.
    pub const IE: u32 = 1;
    /// Denormal operand.
    pub const DE: u32 = 1 << 1;
    /// Division by zero.
    pub const ZE: u32 = 1 << 2;
    /// Overflow.
    pub const OE: u32 = 1 << 3;
    /// Underflow.
    pub const UE: u32 = 1 << 4;
    /// Precision.
    pub const PE: u32 = 1 << 5;
    /// Denormals are zeros.
    pub const DAZ: u32 = 1 << 6;
    /// Distance from a flag to its mask.
    pub const MASK_SHIFT: u32 = 7;
    /// Overflow mask.
    pub const OM: u32 = OE << MASK_SHIFT;
    /// Underflow mask.
    pub const UM: u32 = UE << MASK_SHIFT;
    /// Position of the rounding control.
    pub const RC_SHIFT: u32 = 13;
    /// Flush to zero.
    pub const FTZ: u32 = 1 << 15;
    /// The six exception flags.
    pub const FLAGS: u32 = 0x3F;
    /// The flags of exceptions that are found before the computation.
    pub const BEFORE: u32 = IE | DE | ZE;
}

/// Rounding modes, as in MXCSR.RC and the immediate of ROUNDPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Toward negative infinity.
    Down,
    /// Toward positive infinity.
    Up,
    /// Toward zero.
    Zero,
}

impl Rounding {
    /// The mode of a two-bit rounding control.
    #[inline]
    pub fn from_rc(rc: u32) -> Self {
        match rc & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// What an operation reads of MXCSR, and the exceptions of all elements so far.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    control: u32,
    /// Of this step.
    flags: u32,
    /// Of the steps before.
    earlier: u32,
    fast: bool,
}

impl Context {
    /// The context of an instruction that executes under this MXCSR.
    #[inline(always)]
    pub fn new(mxcsr: u32) -> Self {
        const DEFAULT: u32 = mxcsr::FLAGS << mxcsr::MASK_SHIFT;
        Self { control: mxcsr, flags: 0, earlier: 0, fast: mxcsr & !mxcsr::FLAGS == DEFAULT }
    }

    /// The same with another rounding mode.
    #[inline]
    pub fn with_rounding(self, rounding: Rounding) -> Self {
        let rc = rounding as u32;
        let control = self.control & !(3 << mxcsr::RC_SHIFT) | rc << mxcsr::RC_SHIFT;
        Self { control, fast: self.fast && rounding == Rounding::Nearest, ..self }
    }

    /// The exception flags raised so far.
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        self.earlier | self.flags
    }

    /// Ends a step of an instruction that computes in several (DPPS). True if an exception is
    /// unmasked: the next step must not be taken.
    #[inline]
    pub fn stops(&mut self) -> bool {
        let (_, unmasked) = self.outcome();
        if !unmasked {
            self.earlier |= std::mem::take(&mut self.flags);
        }
        unmasked
    }

    /// Raises exception flags.
    #[inline(always)]
    pub fn raise(&mut self, flags: u32) {
        self.flags |= flags;
    }

    /// The exception flags that the instruction leaves in MXCSR, and whether one of them is
    /// unmasked. An unmasked exception found before the computation hides those found after.
    #[inline(always)]
    pub fn outcome(&self) -> (u32, bool) {
        let unmasked = !(self.control >> mxcsr::MASK_SHIFT) & mxcsr::FLAGS;
        if self.flags & unmasked & mxcsr::BEFORE != 0 {
            return (self.earlier | self.flags & mxcsr::BEFORE, true);
        }
        (self.flags(), self.flags & unmasked != 0)
    }

    /// The rounding mode.
    #[inline]
    pub fn rounding(&self) -> Rounding {
        Rounding::from_rc(self.control >> mxcsr::RC_SHIFT)
    }

    fn has(&self, bit: u32) -> bool {
        self.control & bit != 0
    }

    /// Whether PE must be exact: it is not set in MXCSR already.
    #[inline(always)]
    fn wants_inexact(&self) -> bool {
        self.control & mxcsr::PE == 0
    }

    /// A denormal operand under DAZ is a zero of its sign.
    #[inline]
    fn daz<F: Format>(&self, v: u64) -> u64 {
        if self.has(mxcsr::DAZ) && F::is_denormal(v) { v & F::SIGN } else { v }
    }

    /// Raises DE if an operand is denormal.
    #[inline]
    fn note_denormal<F: Format>(&mut self, v: u64) {
        if F::is_denormal(v) {
            self.raise(mxcsr::DE);
        }
    }

    /// IE and the default NaN.
    fn invalid<F: Format>(&mut self) -> u64 {
        self.raise(mxcsr::IE);
        F::DEFAULT_NAN
    }

    /// The result of an operation of which an operand is a NaN: the first NaN, made quiet.
    #[cold]
    fn propagate<F: Format>(&mut self, a: u64, b: u64) -> u64 {
        if F::is_signaling(a) || F::is_signaling(b) {
            self.raise(mxcsr::IE);
        }
        F::QUIET | if F::is_nan(a) { a } else { b }
    }
}
