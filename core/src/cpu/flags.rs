//! RFLAGS, with the six arithmetic flags kept lazily.
//!
//! An arithmetic instruction leaves its result and its carries; a flag is worked out when
//! somebody reads it. `result` is sign-extended to 64 bits, so ZF and SF cost one comparison
//! whatever the width. `aux` holds, by bit:
//!
//! | bits | meaning |
//! |---|---|
//! | 63, 62 | carries out of and into the top bit of the operand: CF, and OF = their difference |
//! | 16 | flips SF (for flag images that no result has: ZF and SF both set) |
//! | 15:8 | XORed into the low byte of the result before PF is taken |
//! | 3 | AF |

use crate::types::Scalar;
use serde::{Deserialize, Serialize};

/// Carry flag.
pub const CF: u64 = 1;
/// Bit 1, always set.
pub const ALWAYS_1: u64 = 1 << 1;
/// Parity flag.
pub const PF: u64 = 1 << 2;
/// Auxiliary carry flag.
pub const AF: u64 = 1 << 4;
/// Zero flag.
pub const ZF: u64 = 1 << 6;
/// Sign flag.
pub const SF: u64 = 1 << 7;
/// Trap flag.
pub const TF: u64 = 1 << 8;
/// Interrupt enable flag.
pub const IF: u64 = 1 << 9;
/// Direction flag.
pub const DF: u64 = 1 << 10;
/// Overflow flag.
pub const OF: u64 = 1 << 11;
/// I/O privilege level, two bits.
pub const IOPL: u64 = 3 << 12;
/// Nested task.
pub const NT: u64 = 1 << 14;
/// Resume flag.
pub const RF: u64 = 1 << 16;
/// Virtual-8086 mode.
pub const VM: u64 = 1 << 17;
/// Alignment check, and the SMAP override.
pub const AC: u64 = 1 << 18;
/// ID flag: writable, so CPUID exists.
pub const ID: u64 = 1 << 21;

/// The six flags that arithmetic writes.
pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;

const AUX_CF: u64 = 1 << 63;
const AUX_INTO_TOP: u64 = 1 << 62;
const AUX_FLIP_SF: u64 = 1 << 16;
const AUX_AF: u64 = 1 << 3;

/// RFLAGS of one vCPU.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Flags {
    result: u64,
    aux: u64,
    /// All flags but the arithmetic six.
    system: u64,
}

impl Default for Flags {
    fn default() -> Self {
        Self::from_bits(ALWAYS_1)
    }
}

/// Equality of the flags as a guest can see them, not of how they are held.
impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}
impl Eq for Flags {}

impl Flags {
    /// From an RFLAGS image.
    pub fn from_bits(bits: u64) -> Self {
        let mut f = Self { result: 0, aux: 0, system: (bits & !ARITHMETIC) | ALWAYS_1 };
        f.set_arithmetic(bits);
        f
    }

    /// The RFLAGS image.
    pub fn bits(&self) -> u64 {
        self.system | self.arithmetic()
    }

    /// The host address of the word with all flags but the arithmetic six.
    pub fn system_address(&mut self) -> u64 {
        std::ptr::from_mut(&mut self.system) as u64
    }

    /// The same flags in the one form that equal flags share, for saving and hashing.
    pub fn canonical(&self) -> Self {
        Self::from_bits(self.bits())
    }

    /// CF, PF, AF, ZF, SF and OF in their places.
    pub fn arithmetic(&self) -> u64 {
        let bit = |set: bool, mask: u64| if set { mask } else { 0 };
        bit(self.cf(), CF)
            | bit(self.pf(), PF)
            | bit(self.af(), AF)
            | bit(self.zf(), ZF)
            | bit(self.sf(), SF)
            | bit(self.of(), OF)
    }

    /// Sets the six arithmetic flags from an image; its other bits are ignored.
    pub fn set_arithmetic(&mut self, bits: u64) {
        let zf = bits & ZF != 0;
        self.result = if zf { 0 } else { 1 };
        let sf_flip = if bits & SF != 0 { AUX_FLIP_SF } else { 0 };
        // PF is the even parity of the low byte: of 0 it is set, of 1 clear.
        let pf_flip = u64::from((bits & PF != 0) != zf) << 8;
        let cf = bits & CF != 0;
        let into_top = cf != (bits & OF != 0);
        self.aux = sf_flip
            | pf_flip
            | if cf { AUX_CF } else { 0 }
            | if into_top { AUX_INTO_TOP } else { 0 }
            | if bits & AF != 0 { AUX_AF } else { 0 };
    }

    /// Whether the arithmetic flags are held in the same form, and so are equal.
    #[inline(always)]
    pub fn same_arithmetic(&self, other: &Self) -> bool {
        self.result == other.result && self.aux == other.aux
    }

    /// Takes over the six arithmetic flags.
    #[inline(always)]
    pub fn take_arithmetic(&mut self, other: &Self) {
        self.result = other.result;
        self.aux = other.aux;
    }

    /// Replaces just the arithmetic flags in `mask` by those of `bits`.
    pub fn update_arithmetic(&mut self, mask: u64, bits: u64) {
        let mask = mask & ARITHMETIC;
        let old = self.arithmetic();
        self.set_arithmetic((old & !mask) | (bits & mask));
    }

    /// Flags of an addition: `r = a + b (+ carry)`, all of width T.
    #[inline(always)]
    pub fn set_add<T: Scalar>(&mut self, a: u64, b: u64, r: u64) {
        self.set_carries::<T>((a & b) | ((a | b) & !r), r);
    }

    /// Flags of a subtraction or comparison: `r = a - b (- borrow)`, all of width T.
    #[inline(always)]
    pub fn set_sub<T: Scalar>(&mut self, a: u64, b: u64, r: u64) {
        self.set_carries::<T>((!a & b) | ((!a | b) & r), r);
    }

    /// Flags of AND, OR, XOR, TEST: CF, OF and AF clear.
    #[inline(always)]
    pub fn set_logic<T: Scalar>(&mut self, r: u64) {
        self.result = sign_extend::<T>(r);
        self.aux = 0;
    }

    /// `carries` has at bit i the carry out of bit i.
    #[inline(always)]
    fn set_carries<T: Scalar>(&mut self, carries: u64, r: u64) {
        self.result = sign_extend::<T>(r);
        self.aux = ((carries << (64 - 8 * T::SIZE)) & (AUX_CF | AUX_INTO_TOP)) | (carries & AUX_AF);
    }

    /// Flags of INC and DEC: as [`Self::set_add`] or [`Self::set_sub`] gave them, CF kept.
    #[inline(always)]
    pub fn keep_cf(&mut self, old_cf: bool) {
        let of = self.of();
        self.aux &= !(AUX_CF | AUX_INTO_TOP);
        if old_cf {
            self.aux |= AUX_CF;
        }
        if old_cf != of {
            self.aux |= AUX_INTO_TOP;
        }
    }

    /// SF, ZF and PF from a result of width T; CF, OF and AF as given.
    #[inline(always)]
    pub fn set_result<T: Scalar>(&mut self, r: u64, cf: bool, of: bool, af: bool) {
        self.result = sign_extend::<T>(r);
        self.aux = (u64::from(cf) << 63) | (u64::from(cf != of) << 62) | (u64::from(af) << 3);
    }

    /// Sets CF, leaving the other flags.
    #[inline]
    pub fn set_cf(&mut self, cf: bool) {
        self.keep_cf(cf);
    }

    /// Sets OF and CF, leaving the other flags.
    #[inline]
    pub fn set_cf_of(&mut self, cf: bool, of: bool) {
        self.aux &= !(AUX_CF | AUX_INTO_TOP);
        self.aux |= (u64::from(cf) << 63) | (u64::from(cf != of) << 62);
    }

    /// Carry.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.aux >> 63 != 0
    }

    /// Overflow.
    #[inline(always)]
    pub fn of(&self) -> bool {
        (self.aux ^ (self.aux << 1)) >> 63 != 0
    }

    /// Zero.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.result == 0
    }

    /// Sign.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        (self.result >> 63) ^ ((self.aux >> 16) & 1) != 0
    }

    /// Parity.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        ((self.result ^ (self.aux >> 8)) as u8).count_ones() & 1 == 0
    }

    /// Auxiliary carry.
    #[inline(always)]
    pub fn af(&self) -> bool {
        self.aux & AUX_AF != 0
    }

    /// One of the non-arithmetic flags.
    #[inline(always)]
    pub fn system(&self, flag: u64) -> bool {
        self.system & flag != 0
    }

    /// Sets or clears non-arithmetic flags.
    #[inline]
    pub fn set_system(&mut self, flags: u64, on: bool) {
        debug_assert!(flags & ARITHMETIC == 0);
        if on { self.system |= flags } else { self.system &= !flags }
    }

    /// The I/O privilege level.
    #[inline]
    pub fn iopl(&self) -> u8 {
        (self.system >> 12) as u8 & 3
    }

    /// The condition `cc` of Jcc, SETcc, CMOVcc (SDM vol. 1, appendix B): bits 3:0 of the opcode.
    #[inline(always)]
    pub fn condition(&self, cc: u8) -> bool {
        let value = match cc >> 1 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() || self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() || self.sf() != self.of(),
        };
        value != (cc & 1 != 0)
    }
}

/// The value of width T sign-extended to 64 bits.
#[inline(always)]
pub fn sign_extend<T: Scalar>(v: u64) -> u64 {
    let unused = 64 - 8 * T::SIZE as u32;
    (((v << unused) as i64) >> unused) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_survives() {
        for i in 0..64u64 {
            let bits = (i & 1) | (i & 2) << 1 | (i & 4) << 2 | (i & 8) << 3 | (i & 16) << 3 | (i & 32) << 6;
            let f = Flags::from_bits(bits | IF);
            assert_eq!(f.bits(), bits | IF | ALWAYS_1);
            for cf in [false, true] {
                let mut g = f;
                g.set_cf(cf);
                assert_eq!(g.bits() & !CF, f.bits() & !CF);
                assert_eq!(g.cf(), cf);
            }
        }
    }

    #[test]
    fn addition_and_subtraction_of_bytes() {
        for a in 0..=255u64 {
            for b in 0..=255u64 {
                let mut f = Flags::default();
                f.set_add::<u8>(a, b, a + b);
                assert_eq!(f.cf(), a + b > 255);
                assert_eq!(f.of(), (a as u8 as i8).checked_add(b as u8 as i8).is_none());
                assert_eq!(f.af(), (a & 15) + (b & 15) > 15);
                f.set_sub::<u8>(a, b, a.wrapping_sub(b));
                assert_eq!(f.cf(), a < b);
                assert_eq!(f.of(), (a as u8 as i8).checked_sub(b as u8 as i8).is_none());
                assert_eq!(f.af(), (a & 15) < (b & 15));
                assert_eq!(f.zf(), a == b);
            }
        }
    }
}
